//! What a session needs of whatever computes: a text that can be appended to, cut back and copied.
//!
//! A [`Device`] owns a network's weights in some memory and runs the passes; a [`Sequence`] is one text on it. Nothing
//! here waits: `append` says what is to be computed, [`Device::step`] computes a part of what all sequences asked for,
//! and `poll` says whether a sequence has its answer. The processor's device is the
//! [`Scheduler`](super::scheduler::Scheduler).

use std::fmt::Debug;
use std::sync::Arc;
use std::task::Poll;

use crate::error::Result;

/// Runs forward passes for its sequences.
pub trait Device: Debug + Send + Sync {
    /// An empty sequence.
    fn sequence(self: Arc<Self>) -> Box<dyn Sequence>;

    /// Computes a part of what sequences wait for: one token of each that has one to append, or about `prefill_work`
    /// tokens times layers of longer ones. Returns how much of the latter it was, 0 for the former, and `None` if there
    /// was nothing to compute.
    fn step(&self, prefill_work: usize) -> Option<usize>;
}

/// One text on a device: the keys and values of its tokens, and what was asked for them.
pub trait Sequence: Debug + Send + Sync {
    /// Tokens whose keys and values are there. Those that were appended count as soon as they are computed.
    fn past(&self) -> usize;

    /// Starts to read `tokens`, at least one. `logits`: a buffer for the logits of the last, if they are wanted.
    ///
    /// Panics: if the sequence still waits for what was appended before.
    ///
    /// Errors: `CONTEXT_OVERFLOW`; `BAD_INPUT` for a token outside the vocabulary.
    fn append(&mut self, tokens: &[u32], logits: Option<Vec<f32>>) -> Result<()>;

    /// Whether all that was appended is computed; then, once, the buffer with the logits. Shapes: (vocab).
    ///
    /// Errors: `OUT_OF_MEMORY`, `NON_FINITE`; what was not yet counted is then given up.
    fn poll(&mut self) -> Poll<Result<Option<Vec<f32>>>>;

    /// What was computed for this sequence since this was last asked. Units: tokens times layers.
    fn take_work(&mut self) -> usize;

    /// The length to which it can be cut back so that at most `len` tokens are left. It is less than `len` if layers
    /// with a window have given back what the next token would see.
    fn reach(&self, len: usize) -> usize;

    /// Forgets every token from `len` on, a length that [`Sequence::reach`] gave, and gives up what was appended and is not computed yet.
    fn truncate(&mut self, len: usize);

    /// Forgets the `drop` tokens after the first `keep` and moves those behind them up.
    ///
    /// Errors: `OUT_OF_MEMORY`; the sequence is then as it was.
    fn shift(&mut self, keep: usize, drop: usize) -> Result<()>;

    /// A copy that goes its own way. It shares memory with the original until one of them is written to. What was
    /// appended and is not computed yet stays with the original.
    fn fork(&self) -> Box<dyn Sequence>;

    /// Units: bytes of the first `len` tokens as [`Sequence::export`] writes them.
    fn export_bytes(&self, len: usize) -> u64;

    /// Appends the keys and values of the first `len` tokens to `out`; `len` as for [`Sequence::truncate`].
    fn export(&self, len: usize, out: &mut Vec<u8>);

    /// Takes `len` tokens from bytes that [`Sequence::export`] wrote; the sequence must be empty. Returns `None` if the
    /// length is wrong or a value is not finite.
    ///
    /// Errors: `OUT_OF_MEMORY`; the sequence is then empty.
    fn import(&mut self, len: usize, bytes: &[u8]) -> Result<Option<()>>;

    /// Units: bytes of its keys and values, those shared with copies too.
    fn bytes(&self) -> u64;

    /// Units: bytes of [`Sequence::bytes`] that copies hold as well.
    fn shared_bytes(&self) -> u64;
}
