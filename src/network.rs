//! The network: a plan, its weights, and the forward pass, which computes logits from rows of tokens.
//!
//! **Read this file first.** A row is one token at one position of one sequence. A comment gives the shape
//! of each new value, in the names of `config.rs`. The network does not handle text: [`Model`](crate::Model)
//! holds it beside the tokenizer and the chat template.

mod executor;
mod pass;
mod rope;
pub(crate) mod scheduler;
pub(crate) mod sequence;

use std::sync::{Arc, OnceLock};

use crate::cache::{Budget, Cache, KvDtype, Shape};
use crate::config::{Activation, Attention, Mixer, Plan};
use crate::error::{Error, Result};
use crate::kernels;
use crate::weights::Weights;
use executor::{Compute, Heads, Queries, Scratch, head_norm, rms_norm};
use rope::{Angles, Rope};

pub use executor::Executor;
pub(crate) use pass::{Pass, Reads};

/// The most rows of one pass: enough that each loaded weight serves many rows, few enough that their
/// activations stay in the processor's cache.
pub(crate) const ROWS_MAX: usize = 64;

/// The most rows whose logits one product computes: enough to share the reads of the head's weights, few
/// enough that `vocab` numbers per row need little memory.
const LOGIT_ROWS_MAX: usize = 8;

/// A loaded network. It is immutable, and all sequences share it.
#[derive(Debug)]
pub struct Network {
    plan: Plan,
    weights: Weights,
    /// One for each rope of the plan.
    ropes: Vec<Rope>,
    kv_dtype: KvDtype,
    kv_budget: Arc<Budget>,
    fingerprint: OnceLock<String>,
}

/// A place in the forward pass at which [`Network::trace`] shows the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// A value before or after the layers.
    Model(&'static str),
    /// A value inside the layer of this index.
    Layer(usize, &'static str),
}

/// The probe of an ordinary pass: it does nothing, and the compiler removes the calls.
fn no_probe(_: Probe, _: &[f32]) {}

impl Network {
    /// Creates a network from checked weights. All its KV caches share `kv_budget`.
    pub fn new(plan: Plan, weights: Weights, kv_dtype: KvDtype, kv_budget: Arc<Budget>) -> Network {
        let ropes = plan.ropes.iter().map(Rope::new).collect();
        Network { plan, weights, ropes, kv_dtype, kv_budget, fingerprint: OnceLock::new() }
    }

    /// The plan: what the network computes.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The weights as they are stored.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The storage format of keys and values.
    pub fn kv_dtype(&self) -> KvDtype {
        self.kv_dtype
    }

    /// The memory of all KV caches together, and its limit.
    pub fn kv_budget(&self) -> &Arc<Budget> {
        &self.kv_budget
    }

    /// 64 hexadecimal digits that identify the weights, their storage format and everything else that
    /// changes keys or values. A saved session works only with the fingerprint that it was saved with.
    pub fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| self.weights.fingerprint(&self.plan))
    }

    /// Creates an empty KV cache for one sequence.
    pub fn cache(&self) -> Cache {
        let shape = Shape { kv_heads: self.plan.kv_heads, head_dim: self.plan.head_dim, dtype: self.kv_dtype };
        let windows = self.plan.layers.iter().map(|layer| match &layer.mixer {
            Mixer::Attention(attention) => attention.window,
        });
        Cache::new(windows, shape, self.kv_budget.clone())
    }

    /// Appends `tokens` to one sequence and writes the logits of the last to `logits`. Shapes: `logits`
    /// (vocab).
    ///
    /// Any split of a text into calls gives the same logits, bit for bit.
    ///
    /// Errors: `CONTEXT_OVERFLOW`; `BAD_INPUT` for no token or one outside the vocabulary; `OUT_OF_MEMORY`;
    /// `NON_FINITE`. The cache then does not change.
    pub fn forward(&self, tokens: &[u32], cache: &mut Cache, executor: &mut Executor, logits: &mut Vec<f32>) -> Result<()> {
        self.read(tokens, cache, executor, logits, Reads::Last, &mut { no_probe })
    }

    /// Like [`Network::forward`], but writes the logits after every token. Shapes: `logits` (tokens, vocab).
    ///
    /// They are those that [`Network::forward`] gives when it reads the tokens one by one.
    ///
    /// Errors: those of [`Network::forward`].
    pub fn forward_all(&self, tokens: &[u32], cache: &mut Cache, executor: &mut Executor, logits: &mut Vec<f32>) -> Result<()> {
        let Plan { hidden, vocab, norm, .. } = self.plan;
        let past = cache.len();
        self.check(tokens, past)?;
        cache.reserve(tokens.len())?;
        let head = self.weights.head.as_ref().unwrap_or(&self.weights.embed);
        logits.resize(tokens.len() * vocab, 0.0);
        let mut pass = Pass::default();
        for (chunk, logits) in tokens.chunks(ROWS_MAX).zip(logits.chunks_mut(ROWS_MAX * vocab)) {
            pass.clear();
            self.add_rows(&mut pass, chunk, cache.len(), Reads::All);
            self.forward_layers(usize::MAX, &mut pass, &mut [&mut *cache], executor, &mut { no_probe });
            let Executor { compute, scratch } = &mut *executor;
            rms_norm(&pass.residual, &self.weights.norm, norm.eps, &mut scratch.x); // (rows, hidden)
            for (x, logits) in scratch.x.chunks(LOGIT_ROWS_MAX * hidden).zip(logits.chunks_mut(LOGIT_ROWS_MAX * vocab)) {
                compute.project(head, x, logits);
            }
        }
        let mut rows = logits.chunks_exact(vocab).zip(past..);
        rows.try_for_each(|(logits, position)| finite(logits, position)).inspect_err(|_| cache.truncate(cache.reach(past)))
    }

    /// Like [`Network::forward`], and calls `probe` with each intermediate value.
    ///
    /// Shapes: (rows, width), where one pass has at most `ROWS_MAX` rows; (vocab) for
    /// `Probe::Model("logits")`.
    pub fn trace(&self, tokens: &[u32], cache: &mut Cache, executor: &mut Executor, mut probe: impl FnMut(Probe, &[f32])) -> Result<()> {
        self.read(tokens, cache, executor, &mut Vec::new(), Reads::All, &mut probe)
    }

    fn read(
        &self,
        tokens: &[u32],
        cache: &mut Cache,
        executor: &mut Executor,
        logits: &mut Vec<f32>,
        reads: Reads,
        probe: &mut impl FnMut(Probe, &[f32]),
    ) -> Result<()> {
        if tokens.is_empty() {
            return Err(Error::BadInput { what: "tokens".into(), expected: "at least one".into(), got: "none".into() });
        }
        self.check(tokens, cache.len())?;
        cache.reserve(tokens.len())?;
        let past = cache.len();
        let mut pass = Pass::default();
        for chunk in tokens.chunks(ROWS_MAX) {
            let is_last = cache.len() + chunk.len() == past + tokens.len();
            pass.clear();
            self.add_rows(&mut pass, chunk, cache.len(), if is_last || reads == Reads::All { reads } else { Reads::Nothing });
            probe(Probe::Model("embed"), &pass.residual);
            self.forward_layers(usize::MAX, &mut pass, &mut [&mut *cache], executor, probe);
        }
        let finite = self.logits(&pass, &mut [logits], executor, probe);
        finite.into_iter().next().unwrap_or(Ok(())).inspect_err(|_| cache.truncate(cache.reach(past)))
    }

    /// Checks that a sequence of length `past` can take `tokens`.
    ///
    /// Errors: `CONTEXT_OVERFLOW`; `BAD_INPUT` for a token outside the vocabulary.
    pub(crate) fn check(&self, tokens: &[u32], past: usize) -> Result<()> {
        let requested = past + tokens.len();
        if requested > self.plan.context {
            return Err(Error::ContextOverflow { requested, context_window: self.plan.context });
        }
        match tokens.iter().find(|&&token| token as usize >= self.plan.vocab) {
            None => Ok(()),
            Some(token) => {
                let expected = format!("tokens that the model has, with ids below {}", self.plan.vocab);
                Err(Error::BadInput { what: "tokens".into(), expected, got: token.to_string() })
            }
        }
    }

    /// Adds the next `tokens` of a sequence of length `past` to a pass that has not begun. The residual
    /// stream of these rows starts with their embeddings.
    pub(crate) fn add_rows(&self, pass: &mut Pass, tokens: &[u32], past: usize, reads: Reads) {
        let residual = pass.add(tokens.len(), past, reads, self.plan.hidden);
        for (&token, row) in tokens.iter().zip(residual.chunks_exact_mut(self.plan.hidden)) {
            self.weights.embed.row(token as usize, row); // residual: (rows, hidden)
        }
        pass.angles.resize_with(self.ropes.len(), Angles::default);
        for (rope, angles) in self.ropes.iter().zip(&mut pass.angles) {
            rope.extend(angles, past..past + tokens.len());
        }
    }

    /// Removes the rows of the i-th sequence from a pass between two layers.
    pub(crate) fn remove_rows(&self, pass: &mut Pass, index: usize) {
        pass.remove(index, self.plan.hidden);
    }

    /// Runs all rows of a pass through the next `count` layers, so that a caller can yield between calls.
    /// After the last layer, counts the rows in their caches and returns true.
    ///
    /// `caches[i]` is the cache of the i-th sequence of the pass, with room reserved for its rows. Any split
    /// of rows into passes and of layers into calls gives the same values, bit for bit.
    pub(crate) fn forward_layers(
        &self,
        count: usize,
        pass: &mut Pass,
        caches: &mut [&mut Cache],
        executor: &mut Executor,
        probe: &mut impl FnMut(Probe, &[f32]),
    ) -> bool {
        let Executor { compute, scratch } = executor;
        let end = self.plan.layers.len().min(pass.layer.saturating_add(count));
        for index in pass.layer..end {
            let (plan, layer) = (&self.plan.layers[index], &self.weights.layers[index]);
            // Each position attends to itself and to earlier positions.
            rms_norm(&pass.residual, &layer.attn_norm, plan.mixer_norm.eps, &mut scratch.x); // (rows, hidden)
            match &plan.mixer {
                Mixer::Attention(attention) => self.attention(index, attention, pass, caches, compute, scratch, probe),
            }
            if pass.residual.is_empty() {
                break; // The last layer, and no row is read: only keys and values are needed.
            }
            kernels::add(&mut pass.residual, &scratch.x);
            // The MLP works on each position separately.
            rms_norm(&pass.residual, &layer.mlp_norm, plan.mlp_norm.eps, &mut scratch.x); // (rows, hidden)
            self.mlp(index, compute, scratch, probe);
            kernels::add(&mut pass.residual, &scratch.x);
            probe(Probe::Layer(index, "out"), &pass.residual);
        }
        pass.layer = end;
        let is_done = end == self.plan.layers.len();
        if is_done {
            pass.groups().zip(caches).for_each(|((rows, _), cache)| cache.advance(rows.len()));
        }
        is_done
    }

    /// `x = attention(x)`. Writes keys and values to the caches. Shapes: `x` (rows, hidden).
    ///
    /// The last layer drops the rows that are not read once it has their keys and values.
    #[expect(clippy::too_many_arguments, reason = "what a layer works on, borrowed apart")]
    fn attention(
        &self,
        index: usize,
        attention: &Attention,
        pass: &mut Pass,
        caches: &mut [&mut Cache],
        compute: &mut Compute,
        s: &mut Scratch,
        probe: &mut impl FnMut(Probe, &[f32]),
    ) {
        let Plan { hidden, heads, kv_heads, head_dim, .. } = self.plan;
        let layer = &self.weights.layers[index];
        let mut probe = |name, values: &[f32]| probe(Probe::Layer(index, name), values);
        probe("attn_norm", &s.x);
        if index + 1 < self.plan.layers.len() || pass.reads_all() {
            // q: (rows, heads, head_dim); k, v: (rows, kv_heads, head_dim)
            compute.linear([&layer.q, &layer.k, &layer.v], &s.x, [&mut s.q, &mut s.k, &mut s.v]);
        } else {
            compute.linear([&layer.k, &layer.v], &s.x, [&mut s.k, &mut s.v]);
            pass.reduce(&mut s.x, hidden);
            compute.linear([&layer.q], &s.x, [&mut s.q]);
        }
        if let (Some(norm), Some(q_norm), Some(k_norm)) = (attention.qk_norm, &layer.q_norm, &layer.k_norm) {
            head_norm(&mut s.q, q_norm, norm.eps, &mut s.head_row);
            head_norm(&mut s.k, k_norm, norm.eps, &mut s.head_row);
        }
        if let Some(rope) = attention.rope {
            pass.angles[rope].rotate(&mut s.q, heads, head_dim, pass.live_rows());
            pass.angles[rope].rotate(&mut s.k, kv_heads, head_dim, 0..pass.rows());
        }
        probe("q", &s.q);
        probe("k", &s.k);
        probe("v", &s.v);
        let width = kv_heads * head_dim;
        for ((rows, past), cache) in pass.groups().zip(&mut *caches) {
            let rows = rows.start * width..rows.end * width;
            cache.write(index, past, &s.k[rows.clone()], &s.v[rows]);
        }
        if pass.residual.is_empty() {
            return;
        }
        let queries = |((rows, pos), cache)| Queries { cache, rows, pos };
        let sequences: Vec<Queries> = pass.live_groups().zip(caches.iter().map(|cache| &**cache)).map(queries).collect();
        let shape = Heads { heads, kv_heads, head_dim, window: attention.window, scale: attention.scale };
        compute.attention(&s.q, &sequences, index, shape, &mut s.attn); // (rows, heads, head_dim)
        probe("attn", &s.attn);
        compute.linear([&layer.o], &s.attn, [&mut s.x]); // (rows, hidden)
        probe("attn_out", &s.x);
    }

    /// `x = down(silu(gate(x)) * up(x))`. Shapes: `x` (rows, hidden). Source: SwiGLU; Shazeer 2020.
    fn mlp(&self, index: usize, compute: &mut Compute, s: &mut Scratch, probe: &mut impl FnMut(Probe, &[f32])) {
        let layer = &self.weights.layers[index];
        let Activation::Silu = self.plan.layers[index].mlp.activation;
        probe(Probe::Layer(index, "mlp_norm"), &s.x);
        compute.gated(&layer.gate, &layer.up, &s.x, &mut s.gate, &mut s.up); // (rows, inter)
        probe(Probe::Layer(index, "mlp_in"), &s.gate);
        compute.linear([&layer.down], &s.gate, [&mut s.x]); // (rows, hidden)
        probe(Probe::Layer(index, "mlp_out"), &s.x);
    }

    /// Computes the logits after the last layer, for the last row of each sequence that reads rows.
    /// `logits[i]` is for the i-th of these sequences. Shapes: `logits[i]` (vocab).
    ///
    /// Returns one result per such sequence: `NON_FINITE` if a logit is NaN or infinite.
    pub(crate) fn logits(
        &self,
        pass: &Pass,
        logits: &mut [&mut Vec<f32>],
        executor: &mut Executor,
        probe: &mut impl FnMut(Probe, &[f32]),
    ) -> Vec<Result<()>> {
        let Executor { compute, scratch: s } = executor;
        let Plan { hidden, vocab, norm, .. } = self.plan;
        let head = self.weights.head.as_ref().unwrap_or(&self.weights.embed);
        // For each sequence with live rows: the end of its rows, and the position after the last.
        let live = pass.live_groups().filter(|(rows, _)| !rows.is_empty());
        let read: Vec<(usize, usize)> = live.map(|(rows, pos)| (rows.end, pos + rows.len())).collect();
        for (read, logits) in read.chunks(LOGIT_ROWS_MAX).zip(logits.chunks_mut(LOGIT_ROWS_MAX)) {
            s.x.resize(read.len() * hidden, 0.0);
            for ((end, _), x) in read.iter().zip(s.x.chunks_exact_mut(hidden)) {
                kernels::rms_norm(&pass.residual[(end - 1) * hidden..end * hidden], &self.weights.norm, norm.eps, x);
            }
            probe(Probe::Model("norm"), &s.x);
            logits.iter_mut().for_each(|logits| logits.resize(vocab, 0.0));
            match logits {
                [logits] => compute.project(head, &s.x, logits),
                _ => {
                    s.logits.resize(read.len() * vocab, 0.0);
                    compute.project(head, &s.x, &mut s.logits); // (sequences, vocab)
                    logits.iter_mut().zip(s.logits.chunks_exact(vocab)).for_each(|(to, from)| to.copy_from_slice(from));
                }
            }
            logits.iter().for_each(|logits| probe(Probe::Model("logits"), logits));
        }
        let check = |(logits, (_, total)): (&mut &mut Vec<f32>, (usize, usize))| finite(logits, total - 1);
        logits.iter_mut().zip(read).map(check).collect()
    }

    /// Removes the `drop` positions after the first `keep`, moves the later ones up and rotates their keys
    /// to the new positions. So a text can continue beyond the context. The remaining entries still depend
    /// on the evicted tokens.
    ///
    /// Source: Xiao et al. 2023, "Efficient Streaming Language Models with Attention Sinks", section 3.2.
    ///
    /// Errors: `OUT_OF_MEMORY`; the cache then does not change.
    pub fn shift(&self, keep: usize, drop: usize, cache: &mut Cache) -> Result<()> {
        let first = keep + drop;
        let angles: Vec<Angles> = self.ropes.iter().map(|rope| rope.shift_angles(first..cache.len(), drop)).collect();
        cache.shift(keep, drop, |layer, pos, key| {
            let Mixer::Attention(attention) = &self.plan.layers[layer].mixer;
            if let Some(rope) = attention.rope {
                angles[rope].rotate_head(key, pos - first);
            }
            attention.rope.is_some()
        })
    }
}

/// Errors: `NON_FINITE` with the first logit that is not a finite number.
fn finite(logits: &[f32], position: usize) -> Result<()> {
    match logits.iter().position(|logit| !logit.is_finite()) {
        None => Ok(()),
        Some(token) => {
            let got = if logits[token].is_nan() { "NaN" } else { "infinity" };
            Err(Error::NonFinite { token, position, got: got.into() })
        }
    }
}
