//! The interface between sessions and devices.
//!
//! A [`Device`] holds a network's weights and runs forward passes. A [`Sequence`] is one text on a device: a
//! session appends tokens to it, truncates it and forks it. No method blocks: `append` queues tokens,
//! [`Device::step`] computes a part of what all sequences have queued, and `poll` returns the logits when
//! they are ready. The CPU's device is the [`Scheduler`](super::scheduler::Scheduler).

use std::fmt::Debug;
use std::sync::Arc;
use std::task::Poll;

use crate::error::Result;

/// Runs forward passes for its sequences.
pub trait Device: Debug + Send + Sync {
    /// Creates an empty sequence.
    fn sequence(self: Arc<Self>) -> Box<dyn Sequence>;

    /// Computes a part of what sequences have queued. A step is either a decode, one token of each sequence
    /// that has queued exactly one, or a prefill, about `prefill_work` tokens times layers of longer
    /// appends. Returns the tokens times layers of a prefill, 0 for a decode, and `None` if nothing was
    /// queued.
    fn step(&self, prefill_work: usize) -> Option<usize>;
}

/// One text on a device: the keys and values of its tokens, and the tokens queued after them.
pub trait Sequence: Debug + Send + Sync {
    /// The number of tokens whose keys and values are computed. Queued tokens do not count.
    fn past(&self) -> usize;

    /// Queues `tokens`, at least one. `logits` is a buffer for the logits of the last token, if they are
    /// wanted.
    ///
    /// Panics: if tokens are still queued from an earlier call.
    ///
    /// Errors: `CONTEXT_OVERFLOW`; `BAD_INPUT` for a token outside the vocabulary.
    fn append(&mut self, tokens: &[u32], logits: Option<Vec<f32>>) -> Result<()>;

    /// Returns `Ready` when all queued tokens are computed. The first such call returns the buffer with the
    /// logits. Shapes: (vocab).
    ///
    /// Errors: `OUT_OF_MEMORY`, `NON_FINITE`. Tokens that were not yet counted are then dropped.
    fn poll(&mut self) -> Poll<Result<Option<Vec<f32>>>>;

    /// Returns and resets how much was computed for this sequence. Units: tokens times layers.
    fn take_work(&mut self) -> usize;

    /// The largest length up to `len` to which the sequence can be truncated. It is less than `len` if a
    /// layer with a window has freed entries that the next token would see.
    fn reach(&self, len: usize) -> usize;

    /// Removes all tokens from `len` on, and all queued tokens. `len` is a result of [`Sequence::reach`].
    fn truncate(&mut self, len: usize);

    /// Removes the `drop` tokens after the first `keep` and moves the later ones up.
    ///
    /// Errors: `OUT_OF_MEMORY`; the sequence then does not change.
    fn shift(&mut self, keep: usize, drop: usize) -> Result<()>;

    /// Creates an independent copy. It shares memory with the original until one of them writes to it.
    /// Queued tokens stay with the original.
    fn fork(&self) -> Box<dyn Sequence>;

    /// How many bytes [`Sequence::export`] writes for the first `len` tokens.
    fn export_bytes(&self, len: usize) -> u64;

    /// Writes the keys and values of the first `len` tokens to the end of `out`. `len` as in
    /// [`Sequence::truncate`].
    fn export(&self, len: usize, out: &mut Vec<u8>);

    /// Reads the keys and values of `len` tokens from bytes that [`Sequence::export`] wrote. The sequence
    /// must be empty. Returns `None` if the number of bytes is wrong or a value is not finite.
    ///
    /// Errors: `OUT_OF_MEMORY`; the sequence is then empty.
    fn import(&mut self, len: usize, bytes: &[u8]) -> Result<Option<()>>;

    /// The size of its keys and values, including those shared with copies. Units: bytes.
    fn bytes(&self) -> u64;

    /// The size of the keys and values that are shared with copies. Units: bytes.
    fn shared_bytes(&self) -> u64;
}
