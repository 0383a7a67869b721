//! Estimates a model's memory before its weights arrive: weights, cache and the peak of loading, compared
//! with the memory that there is.
//!
//! The estimate uses the config alone, or the config and the headers of the weight files ([`HeaderScan`]),
//! which give the dtype of each tensor. It covers the engine's memory only: the machine may have less than
//! its address space.

use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::options::LoadOptions;
use crate::quant::Dtype;
use crate::weights::HeaderScan;

/// Units: bytes. The engine's memory besides weights and cache: its stack, the scratch of a step, and a
/// chunk of a file.
const ENGINE_BYTES: u64 = 16 << 20;

/// Units: bytes. The memory of the tokenizer and the logits for each entry of the vocabulary. 380 to 520
/// were measured with 32,000 to 128,000 entries and their merges.
const VOCAB_ENTRY_BYTES: u64 = 512;

/// Units: tokens. A model without room for a text of this length is of no use.
const CONTEXT_MIN: usize = 256;

/// The memory that a model needs, and the memory that there is.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// How the weights are stored; `None`: each matrix in the format of its file.
    pub dtype: Option<Dtype>,
    /// Bytes of the weights.
    pub weight_bytes: u64,
    /// Bytes by which the KV cache grows with each token, until the window of a layer is full.
    pub kv_bytes_per_token: u64,
    /// The model's context, in tokens.
    pub context: usize,
    /// Bytes at the peak of loading: the weights and everything else except the cache.
    pub load_bytes: u64,
    /// Bytes of memory that there are.
    pub memory_bytes: u64,
    /// Tokens whose cache fits beside the weights, at most the context.
    context_that_fits: usize,
    /// Bytes of the cache of the shortest useful text.
    kv_bytes_min: u64,
}

impl Estimate {
    /// An estimate from a config, before any weight file is known.
    pub fn of(config: &ModelConfig, options: &LoadOptions) -> Estimate {
        let dtype = options.storage(config);
        Estimate::with(config, options, dtype, dtype.map_or_else(|| config.weight_bytes(), |dtype| config.plan.weight_bytes(dtype)))
    }

    /// An estimate from a config and the headers of all its weight files.
    pub fn of_scan(config: &ModelConfig, options: &LoadOptions, scan: &HeaderScan) -> Estimate {
        Estimate::with(config, options, options.storage(config), scan.weight_bytes_of_all())
    }

    fn with(config: &ModelConfig, options: &LoadOptions, dtype: Option<Dtype>, weight_bytes: u64) -> Estimate {
        let context = config.plan.context;
        let load_bytes = weight_bytes + ENGINE_BYTES + VOCAB_ENTRY_BYTES * config.plan.vocab as u64;
        let memory_bytes = options.memory_bytes_max.unwrap_or(u64::MAX).min(usize::MAX as u64);
        let kv_bytes = |tokens| config.plan.kv_bytes(options.kv_dtype, tokens);
        Estimate {
            dtype,
            weight_bytes,
            kv_bytes_per_token: config.plan.kv_bytes_per_token(options.kv_dtype),
            context,
            load_bytes,
            memory_bytes,
            context_that_fits: most_tokens(context, memory_bytes.saturating_sub(load_bytes), kv_bytes),
            kv_bytes_min: kv_bytes(context.min(CONTEXT_MIN)),
        }
    }

    /// How many tokens of context fit beside the weights, at most the model's context.
    pub fn context_that_fits(&self) -> usize {
        self.context_that_fits
    }

    /// Whether the model fits, with a text of useful length.
    pub fn fits(&self) -> bool {
        self.load_bytes <= self.memory_bytes && self.context_that_fits() >= self.context.min(CONTEXT_MIN)
    }

    /// Errors: `OUT_OF_MEMORY` if the model does not fit, with the widest format that does.
    pub fn check(&self, config: &ModelConfig, options: &LoadOptions) -> Result<()> {
        if self.fits() {
            return Ok(());
        }
        let narrower = [Dtype::F16, Dtype::Q8, Dtype::Q4].into_iter().map(|dtype| {
            let options = LoadOptions { dtype: Some(dtype), ..options.clone() };
            (dtype, Estimate::of(config, &options))
        });
        let remedy = match narrower.into_iter().find(|(_, other)| other.weight_bytes < self.weight_bytes && other.fits()) {
            Some((dtype, other)) => {
                let (bytes, tokens) = (other.load_bytes, other.context_that_fits());
                format!("Load it with `dtype: \"{dtype}\"`, which needs {bytes} bytes and leaves room for {tokens} tokens of context.")
            }
            None => "No `dtype` makes it fit: choose a smaller model.".into(),
        };
        Err(Error::ModelTooLarge {
            dtype: self.dtype.or(config.dtype).unwrap_or(Dtype::F32).to_string(),
            requested_bytes: self.load_bytes + self.kv_bytes_min,
            available_bytes: self.memory_bytes,
            remedy,
        })
    }
}

/// The most tokens, up to `max`, that take no more than `room` bytes, by binary search: more tokens never
/// take less.
fn most_tokens(max: usize, room: u64, bytes: impl Fn(usize) -> u64) -> usize {
    let (mut fits, mut end) = (0, max + 1);
    while end - fits > 1 {
        let middle = fits + (end - fits) / 2;
        if bytes(middle) <= room { fits = middle } else { end = middle }
    }
    fits
}

impl LoadOptions {
    /// The format in which the weights of a model will be stored; `None`: each matrix in the format of its
    /// file.
    pub fn storage(&self, config: &ModelConfig) -> Option<Dtype> {
        self.storage_of(config, config.weight_bytes())
    }

    /// As [`storage`](Self::storage), of a model whose weights take `own` bytes in the formats of their
    /// files.
    pub(crate) fn storage_of(&self, config: &ModelConfig, own: u64) -> Option<Dtype> {
        let max = self.weight_bytes_max.unwrap_or(usize::MAX as u64 / 2);
        if self.dtype.is_some() || own <= max {
            return self.dtype;
        }
        let mut narrower = [Dtype::F16, Dtype::Q8, Dtype::Q4].into_iter().filter(|&dtype| config.plan.weight_bytes(dtype) < own);
        narrower.clone().find(|&dtype| config.plan.weight_bytes(dtype) <= max).or(narrower.next_back())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// The shape of Llama 3.2 1B: 1,235,746,816 weights in matrices, 33 norms of 2,048, 16 layers, 8 KV
    /// heads of 64.
    const LLAMA_1B: &str = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192,
        "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128256,
        "max_position_embeddings": 131072, "tie_word_embeddings": true, "torch_dtype": "bfloat16"}"#;

    fn estimate(dtype: Option<Dtype>, memory_bytes_max: u64) -> (Estimate, Result<()>) {
        let config = ModelConfig::from_json(LLAMA_1B.as_bytes()).unwrap();
        let options =
            LoadOptions { dtype, weight_bytes_max: Some(u64::MAX), memory_bytes_max: Some(memory_bytes_max), ..LoadOptions::default() };
        let estimate = Estimate::of(&config, &options);
        let checked = estimate.check(&config, &options);
        (estimate, checked)
    }

    #[test]
    fn weights_cache_and_context_are_computed_from_the_config() {
        let (estimate, checked) = estimate(None, 4 << 30);
        assert_eq!(estimate.weight_bytes, 2 * 1_235_746_816 + 4 * 33 * 2048);
        assert_eq!(estimate.kv_bytes_per_token, 2 * 4 * 16 * 8 * 64);
        assert_eq!(checked, Ok(()));
        assert!((20_000..30_000).contains(&estimate.context_that_fits()), "{}", estimate.context_that_fits());
    }

    #[test]
    fn a_model_that_does_not_fit_is_refused_with_a_format_that_does() {
        let message = |dtype, memory| estimate(dtype, memory).1.unwrap_err().to_string();
        assert!(message(Some(Dtype::F32), 4 << 30).contains("Load it with `dtype: \"f16\"`"), "{}", message(Some(Dtype::F32), 4 << 30));
        assert!(message(None, 1536 << 20).contains("Load it with `dtype: \"q8\"`"));
        assert!(message(None, 1 << 30).contains("Load it with `dtype: \"q4\"`"));
        assert!(message(None, 256 << 20).ends_with("No `dtype` makes it fit: choose a smaller model."));
        assert!(message(None, 1536 << 20).starts_with("out of memory: this model as bf16 needs "));
    }

    #[test]
    fn the_context_that_fits_is_the_longest_one() {
        for (max, room, expected) in [(0, 9, 0), (10, 0, 0), (10, 6, 0), (10, 7, 1), (10, 69, 9), (10, 70, 10), (10, u64::MAX, 10)] {
            assert_eq!(most_tokens(max, room, |tokens| 7 * tokens as u64), expected, "{max} tokens, {room} bytes");
        }
        // A window that is full takes no more.
        assert_eq!(most_tokens(1000, 70, |tokens| 7 * tokens.min(10) as u64), 1000);
    }

    #[test]
    fn a_model_needs_room_for_more_than_its_weights() {
        let (whole, _) = estimate(None, 4 << 30);
        let least = whole.load_bytes + 256 * whole.kv_bytes_per_token;
        assert_eq!(estimate(None, least).1, Ok(()));
        assert_eq!(estimate(None, least - 1).1.unwrap_err().code(), "OUT_OF_MEMORY");
    }
}
