//! Loads weights as a caller does: bytes in chunks, then weights or an error.

use fireside::internals::{Loader, ModelConfig, Tensor, Weights};
use fireside::{Dtype, Result};
use serde_json::{Map, Value, json};

mod names;
mod refused;
mod shards;

/// A tensor of a file that is being built.
#[derive(Clone)]
struct FileTensor {
    name: String,
    dtype: &'static str,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

fn config(with: Value) -> ModelConfig {
    let mut config = json!({
        "model_type": "llama", "vocab_size": 37, "hidden_size": 26, "intermediate_size": 44,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 14,
    });
    config.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    ModelConfig::from_json(config.to_string().as_bytes()).unwrap()
}

/// Values that f16 and bf16 represent exactly, different from tensor to tensor.
fn values(tensor: usize, len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7 + tensor * 11) % 61) as f32 / 8.0 - 3.75).collect()
}

fn encode(dtype: &str, values: &[f32]) -> Vec<u8> {
    let bytes = |&value: &f32| match dtype {
        "F32" => value.to_le_bytes().to_vec(),
        "F16" => half::f16::from_f32(value).to_le_bytes().to_vec(),
        "BF16" => half::bf16::from_f32(value).to_le_bytes().to_vec(),
        _ => vec![0; 1],
    };
    values.iter().flat_map(bytes).collect()
}

/// All tensors of a model in one dtype.
fn tensors_of(config: &ModelConfig, dtype: &'static str) -> Vec<FileTensor> {
    let tensor = |(number, spec): (usize, fireside::internals::TensorSpec)| {
        let bytes = encode(dtype, &values(number, spec.len() as usize));
        FileTensor { name: spec.name, dtype, shape: spec.shape, bytes }
    };
    config.plan.tensors().into_iter().enumerate().map(tensor).collect()
}

/// The values of all tensors of a model, in the order of `Plan::tensors`.
fn expected(config: &ModelConfig) -> Vec<f32> {
    config.plan.tensors().into_iter().enumerate().flat_map(|(number, spec)| values(number, spec.len() as usize)).collect()
}

/// A safetensors file, written by hand: the `safetensors` crate writes no broken ones.
fn file_of(tensors: &[FileTensor]) -> Vec<u8> {
    let mut header = Map::new();
    let mut start = 0;
    for tensor in tensors {
        let end = start + tensor.bytes.len();
        header.insert(tensor.name.clone(), json!({"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end]}));
        start = end;
    }
    let header = Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    tensors.iter().for_each(|tensor| file.extend(&tensor.bytes));
    file
}

fn load(config: &ModelConfig, dtype: Option<Dtype>, file: &[u8], chunk: usize) -> Result<Weights> {
    let mut loader = Loader::new(config, None, dtype)?;
    for chunk in file.chunks(chunk) {
        loader.push(chunk)?;
    }
    loader.end_file()?;
    loader.finish()
}

/// The values of all tensors, in the order of `Plan::tensors`.
fn flat(weights: &Weights) -> Vec<f32> {
    let mut out = Vec::new();
    for (_, tensor) in weights.tensors() {
        match tensor {
            Tensor::Vector(values) => out.extend(values.iter()),
            Tensor::Matrix(matrix) => {
                let mut row = vec![f32::NAN; matrix.cols()];
                for number in 0..matrix.rows() {
                    matrix.row(number, &mut row);
                    out.extend(&row);
                }
            }
        }
    }
    out
}

fn assert_bad_file(result: Result<Weights>, fact: &str) {
    assert_bad(result, "model.safetensors", fact);
}

fn assert_bad(result: Result<Weights>, file: &str, fact: &str) {
    let error = result.expect_err(fact);
    let message = format!("{file}: {fact}. Download the file again, or report it to the publisher of the model.");
    assert_eq!((error.code(), error.to_string()), ("BAD_FILE", message));
}

#[test]
fn chunks_of_any_size_make_the_same_weights() {
    let all = json!({"attention_bias": true, "mlp_bias": true});
    for config in [config(all), config(json!({"model_type": "qwen3"})), config(json!({"tie_word_embeddings": true}))] {
        for (name, dtype) in [("F32", Dtype::F32), ("F16", Dtype::F16), ("BF16", Dtype::Bf16)] {
            let file = file_of(&tensors_of(&config, name));
            for chunk in [1, 7, 4096, file.len()] {
                let weights = load(&config, None, &file, chunk).unwrap();
                assert_eq!((weights.embed.dtype(), weights.layers[1].down.weight.dtype()), (dtype, dtype));
                assert_eq!(flat(&weights), expected(&config), "{name} in chunks of {chunk}");
                assert_eq!(weights.bytes(), config.plan.weight_bytes(dtype));
            }
        }
    }
}

#[test]
fn another_dtype_is_stored_on_request() {
    let config = config(json!({}));
    for source in ["F32", "F16", "BF16"] {
        let file = file_of(&tensors_of(&config, source));
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            let weights = load(&config, Some(dtype), &file, 1000).unwrap();
            assert_eq!((weights.embed.dtype(), weights.bytes()), (dtype, config.plan.weight_bytes(dtype)));
            assert_eq!(flat(&weights), expected(&config));
        }
    }
}

#[test]
fn double_precision_is_rounded_to_single() {
    let config = config(json!({}));
    let mut tensors = tensors_of(&config, "F32");
    let third = |value: f32| f64::from(value) / 3.0;
    let mut wanted = Vec::new();
    for (number, tensor) in tensors.iter_mut().enumerate() {
        let values = values(number, tensor.bytes.len() / 4);
        wanted.extend(values.iter().map(|&value| third(value) as f32));
        (tensor.dtype, tensor.bytes) = ("F64", values.iter().flat_map(|&value| third(value).to_le_bytes()).collect());
    }
    for chunk in [1, 61, 1 << 20] {
        let weights = load(&config, None, &file_of(&tensors), chunk).unwrap();
        assert_eq!((weights.embed.dtype(), flat(&weights)), (Dtype::F32, wanted.clone()));
    }
    assert_eq!(load(&config, Some(Dtype::F16), &file_of(&tensors), 4096).unwrap().embed.dtype(), Dtype::F16);
    for broken in [f64::NAN, f64::NEG_INFINITY, 1e39] {
        tensors[0].bytes[..8].copy_from_slice(&broken.to_le_bytes());
        let fact = "tensor model.embed_tokens.weight, row 0: expected numbers, got a NaN or an infinity";
        assert_bad_file(load(&config, None, &file_of(&tensors), 999), fact);
    }
}

#[test]
fn no_mutation_of_a_file_panics() {
    let config = config(json!({"num_hidden_layers": 1}));
    let sound = file_of(&tensors_of(&config, "F16"));
    let header = 8 + u64::from_le_bytes(sound[..8].try_into().unwrap()) as usize;
    let mut seed = 1_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); // Knuth's 64-bit generator
        (seed >> 33) as usize % below
    };
    let mut refused = 0;
    for _ in 0..3000 {
        let mut file = sound.clone();
        for _ in 0..=random(3) {
            // Mostly in the header, which determines the meaning.
            let at = if random(8) == 0 { random(file.len()) } else { random(header.min(file.len())) };
            match random(5) {
                0 => file[at] = random(256) as u8,
                1 => file[at] = b"0123456789[]{}\",:-.eE "[random(22)],
                2 => drop(file.remove(at)),
                3 => file.insert(at, b"0919]}\","[random(8)]),
                _ => file.truncate(at.max(1)),
            }
        }
        let result = load(&config, None, &file, 1 + random(600));
        refused += usize::from(result.is_err());
    }
    assert!(refused > 2500, "{refused}");
}
