//! Loads weights as a caller does: bytes in chunks, then weights or an error.

use fireside::Result;
use fireside::config::ModelConfig;
use fireside::quant::Dtype;
use fireside::weights::{Loader, Tensor, Weights};
use serde_json::{Map, Value, json};

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
    let tensor = |(number, spec): (usize, fireside::weights::TensorSpec)| {
        let bytes = encode(dtype, &values(number, spec.len() as usize));
        FileTensor { name: spec.name, dtype, shape: spec.shape, bytes }
    };
    config.plan.tensors().into_iter().enumerate().map(tensor).collect()
}

/// The values of all tensors of a model, in the order of `Plan::tensors`.
fn expected(config: &ModelConfig) -> Vec<f32> {
    config.plan.tensors().into_iter().enumerate().flat_map(|(number, spec)| values(number, spec.len() as usize)).collect()
}

/// A safetensors file.
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
                assert_eq!(weights.bytes(), config.weight_bytes(dtype));
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
            assert_eq!((weights.embed.dtype(), weights.bytes()), (dtype, config.weight_bytes(dtype)));
            assert_eq!(flat(&weights), expected(&config));
        }
    }
}

#[test]
fn names_without_a_prefix_and_harmless_extra_tensors_are_accepted() {
    let config = config(json!({}));
    let mut tensors = tensors_of(&config, "F16");
    for tensor in &mut tensors {
        tensor.name = tensor.name.trim_start_matches("model.").into();
    }
    let inv_freq = FileTensor { name: "layers.0.self_attn.rotary_emb.inv_freq".into(), dtype: "I64", shape: vec![7], bytes: vec![0; 56] };
    tensors.insert(3, inv_freq);
    tensors.insert(0, FileTensor { name: "rotary_emb.inv_freq".into(), dtype: "U8", shape: vec![0], bytes: vec![] });
    for chunk in [1, 50, 1 << 20] {
        assert_eq!(flat(&load(&config, None, &file_of(&tensors), chunk).unwrap()), expected(&config));
    }
}

#[test]
fn a_tied_embedding_may_have_either_name_or_both() {
    let config = config(json!({"tie_word_embeddings": true}));
    let sound = tensors_of(&config, "F32");
    let mut under_head = sound.clone();
    under_head[0].name = "lm_head.weight".into();
    let mut under_both = sound.clone();
    under_both.push(under_head[0].clone());
    for tensors in [&sound, &under_head, &under_both] {
        for chunk in [1, 1 << 20] {
            let weights = load(&config, None, &file_of(tensors), chunk).unwrap();
            assert!(weights.head.is_none());
            assert_eq!(flat(&weights), expected(&config));
        }
    }

    let fact = "tensor model.embed_tokens.weight: expected a tensor of shape [37, 26], got nothing";
    assert_bad_file(load(&config, None, &file_of(&sound[1..]), 999), fact);
}

/// Some fine-tunes trained the head and kept `tie_word_embeddings: true`. transformers 5.24.0 warns and
/// does not tie them.
#[test]
fn a_head_in_the_file_of_a_tied_model_is_used() {
    let config = config(json!({"tie_word_embeddings": true}));
    for (embed_dtype, head_dtype) in [("F32", "F32"), ("BF16", "BF16"), ("F16", "F32"), ("F32", "F16")] {
        let mut tensors = tensors_of(&config, embed_dtype);
        let values = values(0, 37 * 26);
        // Equal to the embedding in its first 36 rows and in all but one value of the last.
        let mut changed = values.clone();
        changed[36 * 26] += 1.0;
        for head_values in [&values, &changed] {
            tensors.retain(|tensor| tensor.name != "lm_head.weight");
            let bytes = encode(head_dtype, head_values);
            let head = FileTensor { name: "lm_head.weight".into(), dtype: head_dtype, shape: vec![37, 26], bytes };
            for at in [0, 1, tensors.len()] {
                let mut tensors = tensors.clone();
                tensors.insert(at, head.clone());
                for (dtype, chunk) in [(None, 61), (None, 1 << 20), (Some(Dtype::F32), 7), (Some(Dtype::F16), 999)] {
                    let weights = load(&config, dtype, &file_of(&tensors), chunk).unwrap();
                    let mut wanted = expected(&config);
                    assert_eq!(weights.head.is_some(), head_values == &changed, "{embed_dtype} {head_dtype} at {at}");
                    if weights.head.is_some() {
                        wanted.extend(&changed);
                    }
                    assert_eq!(flat(&weights), wanted, "{embed_dtype} {head_dtype} at {at}");
                }
                // In q8 and q4, the rows before the first difference equal those of the embedding, bit for
                // bit.
                for dtype in [Dtype::Q8, Dtype::Q4] {
                    let weights = load(&config, Some(dtype), &file_of(&tensors), 500).unwrap();
                    let (mut embed, mut own) = (vec![0.0; 26], vec![0.0; 26]);
                    for row in (0..37).filter(|_| weights.head.is_some()) {
                        weights.embed.row(row, &mut embed);
                        weights.head.as_ref().unwrap().row(row, &mut own);
                        assert_eq!(embed == own, row < 36, "{dtype} row {row}");
                    }
                }
            }
        }
    }
}

#[test]
fn unused_tensors_are_skipped_and_listed() {
    let config = config(json!({}));
    let mut tensors = tensors_of(&config, "F16");
    let names = [
        "mtp.layers.0.self_attn.q_proj.weight",
        "mtp.layers.1.self_attn.q_proj.weight",
        "model.layers.2.mlp.up_proj.weight",
        "model.layers.0.self_attn.k_proj.k_scale",
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        "model.layers.1.self_attn.rotary_emb.inv_freq",
        "model.layers.0.self_attn.masked_bias",
        "v_head.summary.weight",
        "score.weight",
        "vision_tower.layers.0.mlp.up_proj.weight",
    ];
    for (at, name) in names.iter().enumerate() {
        tensors.insert(at * 2, FileTensor { name: (*name).into(), dtype: "U8", shape: vec![3], bytes: vec![255; 3] });
    }
    // A bias of zeros has no effect.
    let bias = FileTensor { name: "model.layers.0.self_attn.q_proj.bias".into(), dtype: "F16", shape: vec![28], bytes: vec![0; 56] };
    tensors.push(bias.clone());
    for chunk in [1, 50, 1 << 20] {
        let mut loader = Loader::new(&config, None, None).unwrap();
        file_of(&tensors).chunks(chunk).for_each(|chunk| loader.push(chunk).unwrap());
        loader.end_file().unwrap();
        let listed = [
            "model.layers.*.mlp.up_proj.weight",
            "model.layers.*.self_attn.k_proj.k_scale",
            "model.layers.*.self_attn.masked_bias",
            "model.layers.*.self_attn.rotary_emb.inv_freq (2)",
            "mtp.layers.*.self_attn.q_proj.weight (2)",
            "score.weight",
            "v_head.summary.weight",
            "vision_tower.layers.*.mlp.up_proj.weight",
        ];
        assert_eq!(loader.passed_over(), listed);
        assert_eq!(flat(&loader.finish().unwrap()), expected(&config));
    }
    for name in ["model.layers.0.self_attn.q_proj.bias", "model.layers.1.input_layernorm.bias", "lm_head.bias"] {
        let mut bytes = vec![0; 56];
        bytes[55] = 0x3c;
        *tensors.last_mut().unwrap() = FileTensor { name: name.into(), bytes, ..bias.clone() };
        let fact = format!("tensor {name}: expected zeros, as config.json does not ask for this bias, got other values");
        assert_bad_file(load(&config, None, &file_of(&tensors), 50), &fact);
    }
}

#[test]
fn names_may_have_the_prefixes_of_other_models_and_wrappers() {
    let config = config(json!({}));
    let sound = tensors_of(&config, "F16");
    let base = |name: &str| name.trim_start_matches("model.").to_owned();
    let ways: [&dyn Fn(&str) -> String; 6] = [
        &|name| format!("model.{name}"),
        &|name| format!("language_model.{name}"),
        &|name| if name == "lm_head.weight" { name.into() } else { format!("model.language_model.{}", base(name)) },
        &|name| if name == "lm_head.weight" { name.into() } else { base(name) },
        &|name| format!("_orig_mod.module.{name}"),
        &|name| format!("base_model.model.{name}"),
    ];
    for (number, rename) in ways.iter().enumerate() {
        let mut tensors = sound.clone();
        tensors.iter_mut().for_each(|tensor| tensor.name = rename(&tensor.name));
        assert_eq!(flat(&load(&config, None, &file_of(&tensors), 4096).unwrap()), expected(&config), "{number}");
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
fn a_missing_or_wrong_tensor_is_named() {
    let config = config(json!({}));
    let sound = tensors_of(&config, "F16");
    let with = |change: &dyn Fn(&mut Vec<FileTensor>)| {
        let mut tensors = sound.clone();
        change(&mut tensors);
        load(&config, None, &file_of(&tensors), 4096)
    };
    let q = "model.layers.0.self_attn.q_proj.weight";
    let position = |name: &str| sound.iter().position(|tensor| tensor.name == name).unwrap();
    let (q_at, head_at) = (position(q), position("lm_head.weight"));

    let missing = with(&|tensors| drop(tensors.remove(q_at)));
    assert_bad_file(missing, &format!("tensor {q}: expected a tensor of shape [28, 26], got nothing"));
    let untied = with(&|tensors| drop(tensors.remove(head_at)));
    assert_bad_file(untied, "tensor lm_head.weight: expected a tensor of shape [37, 26], got nothing");
    let transposed = with(&|tensors| tensors[q_at].shape = vec![26, 28]);
    assert_bad_file(transposed, &format!("tensor {q}: expected shape [28, 26], got shape [26, 28]"));
    let flattened = with(&|tensors| tensors[q_at].shape = vec![28 * 26]);
    assert_bad_file(flattened, &format!("tensor {q}: expected shape [28, 26], got shape [728]"));
    let third = with(&|tensors| tensors[q_at].name = "model.layers.2.self_attn.q_proj.weight".into());
    assert_bad_file(third, &format!("tensor {q}: expected a tensor of shape [28, 26], got nothing"));
    let norm = FileTensor { name: "model.layers.1.self_attn.q_norm.weight".into(), dtype: "F16", shape: vec![14], bytes: vec![0; 28] };
    let only = "expected only tensors of the llama model that config.json describes, got another one";
    assert_bad_file(with(&|tensors| tensors.push(norm.clone())), &format!("tensor {}: {only}", norm.name));
    let twice = with(&|tensors| tensors.push(FileTensor { name: q.trim_start_matches("model.").into(), ..tensors[q_at].clone() }));
    let fact = "tensor layers.0.self_attn.q_proj.weight: expected one tensor of this name, with or without \u{201c}model.\u{201d}, got two";
    assert_bad_file(twice, fact);
}

#[test]
fn damaged_numbers_are_named_by_tensor_and_row() {
    let config = config(json!({}));
    for (dtype, nan, infinity) in [("F32", &f32::NAN.to_le_bytes()[..], &f32::INFINITY.to_le_bytes()[..]), ("F16", &[1, 0xfc], &[0, 0x7c])]
    {
        for (tensor, value, row) in [(0, 26 * 3, 3), (1, 25, 0)] {
            for bytes in [nan, infinity] {
                let mut tensors = tensors_of(&config, dtype);
                tensors[tensor].bytes[value * bytes.len()..][..bytes.len()].copy_from_slice(bytes);
                let name = &tensors[tensor].name;
                let fact = format!("tensor {name}, row {row}: expected numbers, got a NaN or an infinity");
                assert_bad_file(load(&config, None, &file_of(&tensors), 333), &fact);
            }
        }
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

#[test]
fn an_unsupported_dtype_is_named_with_its_tensor() {
    let config = config(json!({}));
    for (dtype, bits) in [("I64", 64), ("I8", 8), ("F8_E4M3", 8), ("F8_E8M0", 8), ("F4", 4), ("F7", 7), ("U8", 8)] {
        let mut tensors = tensors_of(&config, "F32");
        (tensors[0].dtype, tensors[0].bytes) = (dtype, vec![0; 37 * 26 * bits / 8]);
        let error = load(&config, None, &file_of(&tensors), 4096).unwrap_err();
        let message = format!(
            "model.safetensors: the dtype of tensor model.embed_tokens.weight is {dtype}, which Fireside does not support \
             (supported: F32, F16, BF16, F64). Choose another model."
        );
        assert_eq!((error.code(), error.to_string()), ("UNSUPPORTED_MODEL", message));
    }
}

#[test]
fn an_incomplete_file_reports_its_bytes() {
    let config = config(json!({}));
    let file = file_of(&tensors_of(&config, "F16"));
    let len = file.len();
    for chunk in [1, 4096, len] {
        let truncated = load(&config, None, &file[..len - 1], chunk);
        assert_bad_file(truncated, &format!("the whole file: expected {len} bytes, got {} bytes", len - 1));
        let zipped = [&file[..], b"PK\x03\x04"].concat();
        assert_bad_file(load(&config, None, &zipped, chunk), &format!("byte {len}: expected the end of the file, got more bytes"));
        let header = 8 + u64::from_le_bytes(file[..8].try_into().unwrap());
        let in_header = load(&config, None, &file[..100], chunk);
        assert_bad_file(in_header, &format!("the whole file: expected at least {header} bytes for the header, got 100 bytes"));
        let no_data = load(&config, None, &file[..header as usize], chunk);
        assert_bad_file(no_data, &format!("the whole file: expected {len} bytes, got {header} bytes"));
        let in_length = load(&config, None, &file[..7], chunk);
        assert_bad_file(in_length, "the whole file: expected at least 9 bytes for the header, got 7 bytes");
    }
}

#[test]
fn an_invalid_header_is_refused() {
    let config = config(json!({}));
    let file = |length: u64, rest: &[u8]| [&length.to_le_bytes(), rest].concat();
    let range = "bytes 0 to 7: expected a header length from 2 to 16777216";
    let cases: Vec<(Vec<u8>, String)> = vec![
        (file(0, b"{}"), format!("{range}, got 0")),
        (file(1 << 63, b"{}"), format!("{range}, got 9223372036854775808")),
        (file(100_000_001, b"{}"), format!("{range}, got 100000001")),
        (file(3, b" {}"), "byte 8: expected the `{` of the header, got the byte 0x20".into()),
        (file(5, b"\xef\xbb\xbf{}"), "byte 8: expected the `{` of the header, got the byte 0xef".into()),
        (file(2, b"{}"), "tensor model.embed_tokens.weight: expected a tensor of shape [37, 26], got nothing".into()),
    ];
    for (bytes, fact) in cases {
        for chunk in [1, 4096] {
            assert_bad_file(load(&config, None, &bytes, chunk), &fact);
        }
        let long = [&bytes[..], &[1; 5000]].concat();
        assert_bad_file(load(&config, None, &long, 777), &fact);
    }
}

#[test]
fn a_file_of_another_kind_is_named() {
    let config = config(json!({}));
    let long_page = [&b"<!DOCTYPE html><title>404</title>"[..], &[b' '; 3000]].concat();
    let cases: [(&[u8], &str); 7] = [
        (b"", "empty. Download it again: the transfer ended before its first byte."),
        (b"oops", "a text that begins \u{201c}oops\u{201d}. Open"),
        (&long_page, "an HTML page that begins \u{201c}<!DOCTYPE html><title>404</title>\u{201d}. Open"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 99\n",
            "a Git LFS pointer, a note that stands in for the real file of 99 bytes. Run",
        ),
        (b"GGUF\x03\0\0\0\0\0\0\0", "a GGUF file, the format of llama.cpp. Fireside reads safetensors"),
        // The first eight bytes of this gzip file, read as a length, are 559903.
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "compressed by gzip. Unpack"),
        (b"{\"error\":\"Repository not found\"}", "a server's error message: \u{201c}{\"error\":\"Repository not found\"}\u{201d}. Open"),
    ];
    for (bytes, found) in cases {
        for chunk in [1, 4096] {
            let error = load(&config, None, bytes, chunk).unwrap_err();
            let start = format!("model.safetensors is not the model file it should be: it is {found}");
            assert_eq!(error.code(), "NOT_A_MODEL_FILE");
            assert!(error.to_string().starts_with(&start), "{error}");
        }
    }
}

#[test]
fn a_loader_repeats_its_first_error() {
    let mut loader = Loader::new(&config(json!({})), None, None).unwrap();
    let error = loader.push(&[b'<'; 600]).unwrap_err();
    assert_eq!(loader.push(b"more").unwrap_err(), error);
    assert_eq!(loader.end_file().unwrap_err(), error);
    assert_eq!(loader.finish().unwrap_err(), error);
}

#[test]
fn a_missing_tensor_is_reported_before_the_data_is_downloaded() {
    let config = config(json!({}));
    let file = file_of(&tensors_of(&config, "F16")[1..]);
    let header = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let mut loader = Loader::new(&config, None, None).unwrap();
    assert_eq!(loader.push(&file[..header - 1]), Ok(()));
    assert_eq!(loader.push(&file[header - 1..header]).unwrap_err().code(), "BAD_FILE");
}

/// A model in two files, which get the tensors alternately.
fn sharded(config: &ModelConfig) -> (Vec<Vec<FileTensor>>, Value) {
    let mut shards = vec![Vec::new(), Vec::new()];
    let mut map = Map::new();
    for (number, tensor) in tensors_of(config, "BF16").into_iter().enumerate() {
        map.insert(tensor.name.clone(), format!("model-{}-of-2.safetensors", number % 2 + 1).into());
        shards[number % 2].push(tensor);
    }
    (shards, json!({"metadata": {"total_size": 1}, "weight_map": map}))
}

fn load_sharded(config: &ModelConfig, shards: &[Vec<FileTensor>], index: &Value) -> Result<Weights> {
    let mut loader = Loader::new(config, Some(index.to_string().as_bytes()), None)?;
    for shard in shards {
        for chunk in file_of(shard).chunks(100) {
            loader.push(chunk)?;
        }
        loader.end_file()?;
    }
    loader.finish()
}

#[test]
fn several_files_make_one_model() {
    let config = config(json!({}));
    let (shards, index) = sharded(&config);
    let loader = Loader::new(&config, Some(index.to_string().as_bytes()), None).unwrap();
    assert_eq!(loader.files(), ["model-1-of-2.safetensors", "model-2-of-2.safetensors"]);
    assert_eq!(flat(&load_sharded(&config, &shards, &index).unwrap()), expected(&config));

    let error = load_sharded(&config, &shards[..1], &index).unwrap_err();
    let message = "weight files: expected 2, got 1, and model-2-of-2.safetensors is not finished.";
    assert_eq!((error.code(), error.to_string()), ("BAD_INPUT", message.into()));
    let mut three = shards.clone();
    three.push(Vec::new());
    let error = load_sharded(&config, &three, &index).unwrap_err();
    let message = "push: expected nothing after the last weight file, got 10 more bytes.";
    assert_eq!((error.code(), error.to_string()), ("BAD_INPUT", message.into()));
}

#[test]
fn files_and_index_must_agree() {
    let config = config(json!({}));
    let (shards, index) = sharded(&config);
    let first = "model-1-of-2.safetensors";
    let embed = "model.embed_tokens.weight";

    let mut without = index.clone();
    without["weight_map"].as_object_mut().unwrap().remove(embed);
    let fact = format!("tensor {embed}: expected a tensor of shape [37, 26], got nothing");
    assert_bad(load_sharded(&config, &shards, &without), "model.safetensors.index.json", &fact);

    let mut elsewhere = index.clone();
    elsewhere["weight_map"][embed] = "model-2-of-2.safetensors".into();
    let fact = format!("tensor {embed}: expected it in model-2-of-2.safetensors, as the index says, got it in this file");
    assert_bad(load_sharded(&config, &shards, &elsewhere), first, &fact);

    let mut missing = shards.clone();
    missing[0].remove(0);
    let fact = format!("tensor {embed}: expected it in this file, as the index says, got nothing");
    assert_bad(load_sharded(&config, &missing, &index), first, &fact);

    let mut unlisted = shards.clone();
    unlisted[0].push(FileTensor { name: "extra".into(), dtype: "U8", shape: vec![1], bytes: vec![0] });
    let fact = "tensor extra: expected only tensors that the index lists, got another one";
    assert_bad(load_sharded(&config, &unlisted, &index), first, fact);

    let mut both = shards.clone();
    let again = both[0][0].clone();
    both[1].push(again);
    let fact = format!("tensor {embed}: expected it in {first}, as the index says, got it in this file");
    assert_bad(load_sharded(&config, &both, &index), "model-2-of-2.safetensors", &fact);
}

/// Loads a model folder from disk.
fn load_folder(folder: &std::path::Path) -> (ModelConfig, Weights) {
    let config = ModelConfig::from_json(&std::fs::read(folder.join("config.json")).unwrap()).unwrap();
    let index = std::fs::read(folder.join("model.safetensors.index.json")).ok();
    let mut loader = Loader::new(&config, index.as_deref(), None).unwrap();
    for file in loader.files().to_vec() {
        for chunk in std::fs::read(folder.join(file)).unwrap().chunks(1 << 16) {
            loader.push(chunk).unwrap();
        }
        loader.end_file().unwrap();
    }
    (config, loader.finish().unwrap())
}

#[test]
fn every_fixture_loads_as_published() {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut count = 0;
    for folder in std::fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path()) {
        if folder.join("config.json").exists() {
            let (config, weights) = load_folder(&folder);
            let dtype = config.dtype.unwrap();
            assert_eq!((weights.embed.dtype(), weights.bytes()), (dtype, config.weight_bytes(dtype)), "{}", folder.display());
            assert_eq!(config.ignored, [""; 0], "{}", folder.display());
            count += 1;
        }
    }
    assert!(count >= 13, "{count} fixtures");
}

#[test]
fn the_real_story_model_is_loaded() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/models/story");
    if !folder.exists() {
        return eprintln!("skipped: {} is not there", folder.display());
    }
    // Its tied embedding is published as lm_head.weight only.
    let (config, weights) = load_folder(&folder);
    assert_eq!((config.parameters(), weights.bytes(), weights.head.is_none()), (656_000, 4 * 656_000, true));
}
