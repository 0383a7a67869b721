//! A model of a published shape with random weights, made in memory. Its safetensors file is streamed into
//! the loader and never exists as a whole.

use fireside::internals::TensorSpec;
use fireside::{LoadOptions, Model, ModelFiles};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::{Value, json};

use crate::Result;

/// (name, vocab, hidden, inter, layers, heads, kv_heads, context, rope_theta, tied)
type Shape = (&'static str, usize, usize, usize, usize, usize, usize, usize, f64, bool);

/// SmolLM2-135M, Minueza-32M and TinyStories-656K, as their `config.json` describes them.
const SHAPES: [Shape; 3] = [
    ("smollm2", 49152, 576, 1536, 30, 9, 3, 8192, 100_000.0, true),
    ("minueza", 32002, 312, 1092, 10, 12, 4, 2048, 10_000.0, false),
    ("story", 2048, 128, 384, 2, 8, 4, 512, 10_000.0, true),
];

/// How many values of the weights are drawn at a time.
const CHUNK: usize = 1 << 16;

/// Loads a shape by its name.
pub fn load(name: &str, options: LoadOptions) -> Result<Model> {
    let Some(shape) = SHAPES.iter().find(|shape| shape.0 == name) else {
        return Err(format!("unknown shape {name}: the shapes are {}", SHAPES.map(|shape| shape.0).join(", ")).into());
    };
    let config = config(shape).to_string();
    let mut loader = Model::loader(&ModelFiles::new(config.as_bytes(), tokenizer().to_string().as_bytes()), options)?;

    let specs = loader.description().expect("a description, as the small files were given").config.plan.tensors();
    let mut end = 0;
    let tensor = |spec: &TensorSpec| {
        let begin = end;
        end += spec.len() as usize * size_of::<f32>();
        (spec.name.clone(), TensorInfo { dtype: Dtype::F32, shape: spec.shape.clone(), data_offsets: (begin, end) })
    };
    let header = serde_json::to_string(&Metadata::new(None, specs.iter().map(tensor).collect())?)?;
    loader.push(&(header.len() as u64).to_le_bytes())?;
    loader.push(header.as_bytes())?;

    let mut draw = Draw(0x9E37_79B9_7F4A_7C15);
    let mut bytes = Vec::with_capacity(CHUNK * size_of::<f32>());
    for spec in &specs {
        // Norms are 1. Matrices preserve the scale of their input.
        let spread = match spec.shape[..] {
            [_, columns] => (3.0 / columns as f32).sqrt(),
            _ => 0.0,
        };
        let centre = if spec.shape.len() == 1 { 1.0 } else { 0.0 };
        let mut left = spec.len() as usize;
        while left > 0 {
            bytes.clear();
            for _ in 0..left.min(CHUNK) {
                bytes.extend_from_slice(&(centre + spread * draw.next()).to_le_bytes());
            }
            left -= left.min(CHUNK);
            loader.push(&bytes)?;
        }
    }
    loader.end_file()?;
    Ok(loader.finish()?)
}

fn config(&(_, vocab, hidden, inter, layers, heads, kv_heads, context, rope_theta, tied): &Shape) -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocab, "hidden_size": hidden, "intermediate_size": inter,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads, "max_position_embeddings": context,
        "rope_theta": rope_theta, "tie_word_embeddings": tied, "rms_norm_eps": 1e-5, "hidden_act": "silu", "torch_dtype": "float32",
        "bos_token_id": 1, "eos_token_id": 2,
    })
}

/// Any tokenizer will do, because the benchmark works with token ids.
fn tokenizer() -> Value {
    json!({ "version": "1.0", "added_tokens": [], "model": { "type": "WordLevel", "vocab": { "<unk>": 0 }, "unk_token": "<unk>" } })
}

/// Uniform random numbers between -1 and 1 (xorshift64; Marsaglia 2003).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}
