//! The model: what a folder of files becomes, and `forward`, one pass from tokens to logits.
//!
//! This is the page to read first. Shapes are written where values are born, in the names of `config.rs`:
//! `seq` new positions come after `past` cached ones.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::cache::{Budget, Cache, KvDtype, Shape};
use crate::config::{GenerationConfig, ModelConfig};
use crate::error::{Error, Result};
use crate::kernels;
use crate::ops::{self, Heads, Rope, Workshop};
use crate::pool::Pool;
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;
use crate::weights::Weights;

/// Positions that one pass through the layers takes at most. Enough that a matrix, once loaded, serves many positions;
/// few enough that their activations stay in the processor's cache.
pub const CHUNK: usize = 64;

/// A loaded model: immutable, shared by all its sessions.
#[derive(Debug)]
pub struct Model {
    pub(crate) config: ModelConfig,
    pub(crate) weights: Weights,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) template: ChatTemplate,
    pub(crate) generation: GenerationConfig,
    pub(crate) kv_dtype: KvDtype,
    pub(crate) kv_budget: Arc<Budget>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) passed_over: Vec<String>,
    pub(crate) fingerprint: OnceLock<String>,
    pub(crate) runs: AtomicU64,
}

/// A place in the forward pass whose values can be looked at; see [`Model::trace`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Site {
    /// A value before or after the layers.
    Model(&'static str),
    /// A value within the layer of this index.
    Layer(usize, &'static str),
}

/// Everything a forward pass writes besides the cache; made once and used for every token, so that no token allocates.
#[derive(Debug)]
pub struct Scratch {
    rope: Rope,
    workshop: Workshop,
    residual: Vec<f32>, // (seq, hidden)
    x: Vec<f32>,        // (seq, hidden)
    q: Vec<f32>,        // (seq, heads, head_dim)
    k: Vec<f32>,        // (seq, kv_heads, head_dim)
    v: Vec<f32>,        // (seq, kv_heads, head_dim)
    attn: Vec<f32>,     // (seq, heads, head_dim)
    gate: Vec<f32>,     // (seq, inter)
    up: Vec<f32>,       // (seq, inter)
    row: Vec<f32>,      // (head_dim)
    logits: Vec<f32>,   // (vocab)
}

/// What is read of the values that leave the last layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// Every position, by an observer.
    Everything,
    /// The last position, by the head.
    Last,
}

/// The observer of an ordinary pass: nobody looks, and the compiler removes the calls.
fn unobserved(_: Site, _: &[f32]) {}

impl Scratch {
    /// Scratch for passes through this model.
    pub fn new(model: &Model) -> Scratch {
        let none = Vec::new;
        Scratch {
            rope: Rope::new(&model.config),
            workshop: Workshop::new(model.pool.clone()),
            residual: none(),
            x: none(),
            q: none(),
            k: none(),
            v: none(),
            attn: none(),
            gate: none(),
            up: none(),
            row: vec![0.0; model.config.head_dim],
            logits: none(),
        }
    }

    /// The logits of the last position of the last [`Model::forward`]. Shapes: (vocab), or none before it.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// As [`Scratch::logits`], for a sampler that works in place.
    pub fn logits_mut(&mut self) -> &mut [f32] {
        &mut self.logits
    }

    /// Drops what belongs to all positions but the last `read`, of everything that the rest of a layer works on.
    fn keep_last(&mut self, config: &ModelConfig, read: usize) {
        for (values, width) in [(&mut self.residual, config.hidden), (&mut self.x, config.hidden)] {
            values.drain(..values.len() - read * width);
        }
        let query = config.heads * config.head_dim;
        for (values, width) in [(&mut self.q, query), (&mut self.attn, query), (&mut self.gate, config.inter), (&mut self.up, config.inter)]
        {
            values.truncate(read * width);
        }
    }

    /// Gives every activation its length for `seq` positions; memory is only ever grown.
    fn resize(&mut self, config: &ModelConfig, seq: usize) {
        let (query, kv) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        for (buffer, width) in [
            (&mut self.residual, config.hidden),
            (&mut self.x, config.hidden),
            (&mut self.q, query),
            (&mut self.k, kv),
            (&mut self.v, kv),
            (&mut self.attn, query),
            (&mut self.gate, config.inter),
            (&mut self.up, config.inter),
        ] {
            buffer.resize(seq * width, 0.0);
        }
    }
}

impl Model {
    /// The shape of the model and the formulas it uses.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// What the model's publisher recommends for sampling, and where it ends.
    pub fn generation(&self) -> &GenerationConfig {
        &self.generation
    }

    /// The weights as they are stored.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The model's own tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Tensors of its files that it does not read, as `mtp.layers.*.norm.weight (2)`.
    pub fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    /// The model's chat template, or ChatML where it has none; [`ChatTemplate::source`] tells.
    pub fn template(&self) -> &ChatTemplate {
        &self.template
    }

    /// The tokens that end a text, as in transformers' `generate`: those of `generation_config.json`, none where that file names none, and those of
    /// `config.json` where there is no such file.
    pub fn text_ends(&self) -> Vec<u32> {
        self.generation.ends(&self.config)
    }

    /// The tokens that end a turn of a chat. A template ends each turn with a mark, and the files often name it in one place only, so more tokens count
    /// than for a text: the tokenizer's own `eos_token`, the end mark of ChatML, and those of `config.json` where `generation_config.json` names none.
    pub fn turn_ends(&self) -> Vec<u32> {
        let mut ends = self.text_ends();
        if ends.is_empty() {
            ends.extend(&self.config.eos);
        }
        ends.extend(self.tokenizer.eos());
        ends.extend(self.tokenizer.id("<|im_end|>"));
        ends
    }

    /// The names of what was left out of the configuration files, sorted.
    pub fn ignored_config(&self) -> Vec<String> {
        let defaults = self.generation.ignored.iter().map(|ignored| ignored.field.clone());
        let mut names: Vec<String> = self.config.ignored.iter().cloned().chain(defaults).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The threads that compute.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// How keys and values are stored.
    pub fn kv_dtype(&self) -> KvDtype {
        self.kv_dtype
    }

    /// What the KV caches of all its sessions take together, and may take.
    pub fn kv_budget(&self) -> &Arc<Budget> {
        &self.kv_budget
    }

    /// Which weights these are, how they are stored, and what else keys and values depend on, as 64 hexadecimal digits: what a saved session belongs to.
    pub fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| self.weights.fingerprint(&self.config.plan))
    }

    /// A number that no other run on this model has.
    pub(crate) fn next_run(&self) -> u64 {
        self.runs.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// An empty KV cache of the model's shape.
    pub fn cache(&self) -> Cache {
        let shape = Shape { kv_heads: self.config.kv_heads, head_dim: self.config.head_dim, dtype: self.kv_dtype };
        Cache::new(self.config.layers, shape, self.kv_budget.clone())
    }

    /// Forgets the `drop` positions after the first `keep`, and moves those behind them up, their keys turned to their new positions: a text can
    /// then run on beyond the context. What the positions that stay have learnt of those that go, they keep.
    ///
    /// Source: Xiao et al. 2023, "Efficient Streaming Language Models with Attention Sinks", section 3.2.
    ///
    /// Errors: `OUT_OF_MEMORY`; the cache is then as it was.
    pub fn shift(&self, keep: usize, drop: usize, cache: &mut Cache, scratch: &mut Scratch) -> Result<()> {
        let first = keep + drop;
        let rope = &mut scratch.rope;
        rope.prepare_shift(first, cache.len() - first, drop);
        cache.shift(keep, drop, |layer, pos, key| {
            if self.config.attention[layer].rope {
                rope.rotate_head(key, pos - first);
            }
        })
    }

    /// Reads `tokens` after what the cache holds, appends them to it, and leaves the logits of the last in `scratch`.
    ///
    /// Any split of a text into calls gives the same logits, bit for bit.
    ///
    /// Errors: `CONTEXT_OVERFLOW`, `BAD_INPUT` for no token or one outside the vocabulary, `OUT_OF_MEMORY`, `NON_FINITE`;
    /// the cache is then as it was before the call.
    pub fn forward(&self, tokens: &[u32], cache: &mut Cache, scratch: &mut Scratch) -> Result<()> {
        self.read(tokens, cache, scratch, Reads::Last, &mut { unobserved })
    }

    /// Takes `tokens`, at most [`CHUNK`] of them, through some of the layers: a pass in parts, for who cannot wait for a whole one. The parts of a pass follow each
    /// other from layer 0 on, with the same tokens and an untouched scratch; only the last of them makes the tokens count. `is_last`: it leaves the logits, as
    /// [`Model::forward`]; the others leave keys and values alone.
    ///
    /// Any split into parts gives the same values, bit for bit. Errors: as there; after one the pass is over.
    pub fn part(&self, tokens: &[u32], is_last: bool, layers: Range<usize>, cache: &mut Cache, scratch: &mut Scratch) -> Result<()> {
        debug_assert!(tokens.len() <= CHUNK);
        if layers.start == 0 {
            self.check(tokens, cache)?;
            self.embed(tokens, cache, scratch, &mut { unobserved });
        } else {
            cache.reserve(tokens.len())?; // it may have been cloned in between
        }
        let ends = layers.end == self.config.layers;
        self.layers(layers, tokens.len(), usize::from(is_last), cache, scratch, &mut { unobserved });
        if ends && is_last { self.head(cache.len() - tokens.len(), cache, scratch, &mut { unobserved }) } else { Ok(()) }
    }

    /// As [`Model::forward`], showing `observe` every intermediate value as soon as it is there.
    ///
    /// Shapes: (seq, width), where seq is the positions of one pass of at most 64; `Site::Model("logits")` (vocab).
    pub fn trace(&self, tokens: &[u32], cache: &mut Cache, scratch: &mut Scratch, mut observe: impl FnMut(Site, &[f32])) -> Result<()> {
        self.read(tokens, cache, scratch, Reads::Everything, &mut observe)
    }

    fn read(
        &self,
        tokens: &[u32],
        cache: &mut Cache,
        scratch: &mut Scratch,
        reads: Reads,
        observe: &mut impl FnMut(Site, &[f32]),
    ) -> Result<()> {
        let past = cache.len();
        self.append(tokens, cache, scratch, reads, observe)?;
        self.head(past, cache, scratch, observe)
    }

    /// The logits of the last position.
    ///
    /// Errors: `NON_FINITE`; the cache is then cut back to `past`.
    fn head(&self, past: usize, cache: &mut Cache, scratch: &mut Scratch, observe: &mut impl FnMut(Site, &[f32])) -> Result<()> {
        let s = scratch;
        let last = s.residual.len() - self.config.hidden;
        let x = &mut s.x[..self.config.hidden]; // (1, hidden)
        ops::rms_norm(&s.residual[last..], &self.weights.norm, self.config.rms_eps, x);
        observe(Site::Model("norm"), x);
        let head = self.weights.head.as_ref().unwrap_or(&self.weights.embed);
        s.logits.resize(self.config.vocab, 0.0);
        s.workshop.project(head, x, &mut s.logits); // (vocab)
        observe(Site::Model("logits"), &s.logits);

        if let Some(token) = s.logits.iter().position(|logit| !logit.is_finite()) {
            let got = if s.logits[token].is_nan() { "NaN" } else { "infinity" };
            let position = cache.len() - 1;
            cache.truncate(past);
            return Err(Error::NonFinite { token, position, got: got.into() });
        }
        Ok(())
    }

    /// Checks the call, then takes the tokens through the layers in passes of at most [`CHUNK`].
    fn append(
        &self,
        tokens: &[u32],
        cache: &mut Cache,
        scratch: &mut Scratch,
        reads: Reads,
        observe: &mut impl FnMut(Site, &[f32]),
    ) -> Result<()> {
        self.check(tokens, cache)?;
        for (index, chunk) in tokens.chunks(CHUNK).enumerate() {
            let is_last = (index + 1) * CHUNK >= tokens.len();
            let read = match reads {
                Reads::Everything => chunk.len(),
                Reads::Last if is_last => 1,
                Reads::Last => 0,
            };
            self.embed(chunk, cache, scratch, observe);
            self.layers(0..self.config.layers, chunk.len(), read, cache, scratch, observe);
        }
        Ok(())
    }

    /// Checks that tokens can be read, and makes room for them.
    fn check(&self, tokens: &[u32], cache: &mut Cache) -> Result<()> {
        let requested = cache.len() + tokens.len();
        if requested > self.config.context {
            return Err(Error::ContextOverflow { requested, context_window: self.config.context });
        }
        if tokens.is_empty() {
            return Err(Error::BadInput { what: "tokens".into(), expected: "at least one".into(), got: "none".into() });
        }
        self.check_tokens(tokens)?;
        cache.reserve(tokens.len())
    }

    /// Checks that the model has a row for each token: a tokenizer may have more tokens, such as a `[PAD]` that was added to it.
    ///
    /// Errors: `BAD_INPUT` with the token's id and text.
    pub(crate) fn check_tokens(&self, tokens: &[u32]) -> Result<()> {
        let Some(&token) = tokens.iter().find(|&&token| token as usize >= self.config.vocab) else { return Ok(()) };
        let expected = format!("tokens that the model has, with ids below {}", self.config.vocab);
        let got = format!("{}. Leave it out of the text or the chat template", self.tokenizer.shown(token));
        Err(Error::BadInput { what: "tokens".into(), expected, got })
    }

    /// Begins a pass: the residual stream is the tokens' embeddings.
    fn embed(&self, tokens: &[u32], cache: &Cache, s: &mut Scratch, observe: &mut impl FnMut(Site, &[f32])) {
        s.resize(&self.config, tokens.len());
        s.rope.prepare(cache.len(), tokens.len());
        for (&token, row) in tokens.iter().zip(s.residual.chunks_exact_mut(self.config.hidden)) {
            self.weights.embed.row(token as usize, row); // residual: (seq, hidden)
        }
        observe(Site::Model("embed"), &s.residual);
    }

    /// Takes the residual stream of `seq` tokens through some layers; the last layer makes the tokens count.
    ///
    /// Of the last `read` positions alone, that is: of the others the last layer computes keys and values and no more.
    fn layers(
        &self,
        layers: Range<usize>,
        seq: usize,
        read: usize,
        cache: &mut Cache,
        scratch: &mut Scratch,
        observe: &mut impl FnMut(Site, &[f32]),
    ) {
        let (config, s) = (&self.config, scratch);
        let (past, eps) = (cache.len(), config.rms_eps);
        let ends = layers.end == config.layers;
        for index in layers {
            let layer = &self.weights.layers[index];
            let attention = config.attention[index];
            let site = |name| Site::Layer(index, name);

            // Attention: every position looks at itself and at those before it.
            ops::rms_norm(&s.residual, &layer.attn_norm, eps, &mut s.x); // (seq, hidden)
            observe(site("attn_norm"), &s.x);
            let unread = if index + 1 == config.layers { seq - read } else { 0 };
            if unread == 0 {
                // q: (seq, heads, head_dim); k, v: (seq, kv_heads, head_dim)
                s.workshop.linear([&layer.q, &layer.k, &layer.v], &s.x, [&mut s.q, &mut s.k, &mut s.v]);
            } else {
                s.workshop.linear([&layer.k, &layer.v], &s.x, [&mut s.k, &mut s.v]);
                s.keep_last(config, read);
                s.workshop.linear([&layer.q], &s.x, [&mut s.q]);
            }
            if let (Some(q_norm), Some(k_norm)) = (&layer.q_norm, &layer.k_norm) {
                ops::head_norm(&mut s.q, q_norm, eps, &mut s.row);
                ops::head_norm(&mut s.k, k_norm, eps, &mut s.row);
            }
            if attention.rope {
                s.rope.rotate(&mut s.q, config.heads, unread);
                s.rope.rotate(&mut s.k, config.kv_heads, 0);
            }
            observe(site("q"), &s.q);
            observe(site("k"), &s.k);
            observe(site("v"), &s.v);
            cache.write(index, past, &s.k, &s.v);
            if unread == seq {
                break;
            }
            let heads = Heads { heads: config.heads, kv_heads: config.kv_heads, head_dim: config.head_dim, window: attention.window };
            s.workshop.attention(&s.q, cache, index, past + unread, heads, &mut s.attn); // (seq, heads, head_dim)
            observe(site("attn"), &s.attn);
            s.workshop.linear([&layer.o], &s.attn, [&mut s.x]); // (seq, hidden)
            observe(site("attn_out"), &s.x);
            kernels::add(&mut s.residual, &s.x);

            // The gated perceptron (SwiGLU; Shazeer 2020): every position by itself.
            ops::rms_norm(&s.residual, &layer.mlp_norm, eps, &mut s.x); // (seq, hidden)
            observe(site("mlp_norm"), &s.x);
            s.workshop.gated(&layer.gate, &layer.up, &s.x, &mut s.gate, &mut s.up); // (seq, inter)
            s.workshop.linear([&layer.down], &s.gate, [&mut s.x]); // (seq, hidden)
            observe(site("mlp_out"), &s.x);
            kernels::add(&mut s.residual, &s.x);
            observe(site("out"), &s.residual);
        }
        if ends {
            cache.advance(seq);
        }
    }
}
