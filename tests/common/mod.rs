//! What the integration tests share: model folders, reference values, and the comparison of the two.
//!
//! Only `files.rs` uses a file system, so that the same comparisons run under wasm.

#![allow(dead_code)] // each test crate uses its part

pub mod equivalence;
#[cfg(not(target_family = "wasm"))]
pub mod files;
#[cfg(not(target_family = "wasm"))]
pub mod gguf;
pub mod golden;
#[cfg(not(target_family = "wasm"))]
pub mod replay;

use fireside::internals::{Cache, Executor};
use fireside::{Dtype, LoadOptions, Model, ModelFiles, Options, Result};

/// The bytes of one model folder in Hugging Face layout.
#[derive(Clone, Default)]
pub struct Folder {
    pub name: String,
    pub config: Vec<u8>,
    pub tokenizer: Vec<u8>,
    pub tokenizer_config: Option<Vec<u8>>,
    pub generation_config: Option<Vec<u8>>,
    pub chat_template: Option<String>,
    pub special_tokens_map: Option<Vec<u8>>,
    pub index: Option<Vec<u8>>,
    pub weights: Vec<Vec<u8>>,
    /// `config.json` as the other generation of transformers writes it.
    pub other_config: Option<Vec<u8>>,
}

impl Folder {
    pub fn files(&self) -> ModelFiles<'_> {
        let mut files = ModelFiles::new(&self.config, &self.tokenizer);
        files.tokenizer_config = self.tokenizer_config.as_deref();
        files.generation_config = self.generation_config.as_deref();
        files.chat_template = self.chat_template.as_deref().map(str::as_bytes);
        files.special_tokens_map = self.special_tokens_map.as_deref();
        files.index = self.index.as_deref();
        files
    }

    pub fn try_load(&self, dtype: Option<Dtype>) -> Result<Model> {
        let weights: Vec<&[u8]> = self.weights.iter().map(Vec::as_slice).collect();
        Model::from_bytes(&self.files(), &weights, LoadOptions { dtype, ..LoadOptions::default() })
    }

    pub fn load(&self) -> Model {
        self.try_load(None).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

/// A model with an empty cache and an executor, for calls of `forward`.
pub struct Runner<'m> {
    pub model: &'m Model,
    pub cache: Cache,
    pub executor: Executor,
}

impl<'m> Runner<'m> {
    pub fn new(model: &'m Model) -> Self {
        Runner { model, cache: model.network().cache(), executor: Executor::new(model.pool().clone()) }
    }

    /// Appends `tokens` in one call; returns the logits of the last.
    pub fn feed(&mut self, tokens: &[u32]) -> Vec<f32> {
        let mut logits = Vec::new();
        self.model.network().forward(tokens, &mut self.cache, &mut self.executor, &mut logits).unwrap();
        logits
    }

    /// Appends `tokens` in one call; returns the logits of each. Shapes: (tokens, vocab).
    pub fn feed_all(&mut self, tokens: &[u32]) -> Vec<f32> {
        let mut logits = Vec::new();
        self.model.network().forward_all(tokens, &mut self.cache, &mut self.executor, &mut logits).unwrap();
        logits
    }
}

impl Runner<'_> {
    /// Truncates the cache to the first `length` tokens of `text`, which it holds. Positions that a layer
    /// with a window has dropped are read again.
    pub fn cut(&mut self, length: usize, text: &[u32]) {
        let kept = self.cache.reach(length);
        self.cache.truncate(kept);
        if kept < length {
            self.feed(&text[kept..length]);
        }
    }
}

/// The id of the largest value, the first among equals.
pub fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (id, &logit) in logits.iter().enumerate() {
        if logit > logits[best] {
            best = id;
        }
    }
    best as u32
}

/// Options that always choose the likeliest token, whatever the model's defaults are.
pub fn greedy(max_tokens: usize) -> Options {
    Options { max_tokens: Some(max_tokens), temperature: Some(0.0), repetition_penalty: Some(1.0), ..Options::default() }
}

/// A small pseudo-random generator (Knuth's MMIX constants), so that the tests are the same everywhere.
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) % bound as u64) as usize
    }

    /// `total` cut into lengths of 1 to `largest`.
    pub fn cuts(&mut self, total: usize, largest: usize) -> Vec<usize> {
        let mut cuts = Vec::new();
        let mut left = total;
        while left > 0 {
            let length = (1 + self.below(largest)).min(left);
            cuts.push(length);
            left -= length;
        }
        cuts
    }
}
