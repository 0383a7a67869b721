//! What the fuzz targets share: the small files they start from, a model of a few hundred bytes, and edits
//! of JSON.
//!
//! Everything is compiled into the binary: a target reads nothing but its input.

use std::sync::Arc;

use fireside::internals::{Tensor, Weights};
use fireside::{LoadOptions, Model, ModelFiles};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

/// Tokenizers to encode texts with: byte level and metaspace, with and without a normalizer, tiny ones and
/// those of the bundled models.
pub const TOKENIZERS: [&[u8]; 6] = [
    include_bytes!("../tests/fixtures/text/byte-level/tokenizer.json"),
    include_bytes!("../tests/fixtures/text/metaspace/tokenizer.json"),
    include_bytes!("../tests/fixtures/llama-odd-f32/tokenizer.json"),
    include_bytes!("../tests/fixtures/qwen3-f32/tokenizer.json"),
    include_bytes!("../models/story/tokenizer.json"),
    include_bytes!("../models/chat/tokenizer.json"),
];

/// A config of each family, and one of a quantised model.
pub const CONFIGS: [&[u8]; 7] = [
    include_bytes!("../tests/fixtures/llama-untied-f32/config.json"),
    include_bytes!("../tests/fixtures/llama3-rope-bf16/config.json"),
    include_bytes!("../tests/fixtures/mlx-mixed-bf16/config.json"),
    include_bytes!("../tests/fixtures/mistral-window-f16/config.json"),
    include_bytes!("../tests/fixtures/qwen2-window-f16/config.json"),
    include_bytes!("../tests/fixtures/qwen3-f32/config.json"),
    include_bytes!("../tests/fixtures/smollm3-bf16/config.json"),
];

/// The config of a model whose weights fit into a fuzzer's input.
pub const TINY: &str = r#"{"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":3,"hidden_size":2,"intermediate_size":2,
    "num_hidden_layers":1,"num_attention_heads":1,"num_key_value_heads":1,"max_position_embeddings":16,"hidden_act":"silu",
    "rms_norm_eps":1e-6,"tie_word_embeddings":false,"bos_token_id":null,"eos_token_id":null}"#;

/// Its tokenizer: three letters.
pub const TINY_TOKENIZER: &str = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,"pre_tokenizer":null,
    "post_processor":null,"decoder":{"type":"Fuse"},"model":{"type":"BPE","vocab":{"a":0,"b":1,"c":2},"merges":[]}}"#;

/// The names and shapes of its tensors.
pub const TINY_TENSORS: [(&str, &[usize]); 12] = [
    ("model.embed_tokens.weight", &[3, 2]),
    ("model.layers.0.input_layernorm.weight", &[2]),
    ("model.layers.0.self_attn.q_proj.weight", &[2, 2]),
    ("model.layers.0.self_attn.k_proj.weight", &[2, 2]),
    ("model.layers.0.self_attn.v_proj.weight", &[2, 2]),
    ("model.layers.0.self_attn.o_proj.weight", &[2, 2]),
    ("model.layers.0.post_attention_layernorm.weight", &[2]),
    ("model.layers.0.mlp.gate_proj.weight", &[2, 2]),
    ("model.layers.0.mlp.up_proj.weight", &[2, 2]),
    ("model.layers.0.mlp.down_proj.weight", &[2, 2]),
    ("model.norm.weight", &[2]),
    ("lm_head.weight", &[3, 2]),
];

/// A safetensors file in F32 of the tiny model, with values from `value`.
pub fn tiny_weights(mut value: impl FnMut() -> f32) -> Vec<u8> {
    let data = TINY_TENSORS.map(|(_, shape)| (0..shape.iter().product()).flat_map(|_| value().to_le_bytes()).collect::<Vec<u8>>());
    let tensors = TINY_TENSORS.iter().zip(&data).map(|(&(name, shape), data)| {
        (name, TensorView::new(Dtype::F32, shape.into(), data).expect("as many bytes as the shape asks for"))
    });
    safetensors::serialize(tensors, None).expect("a safetensors file")
}

/// Every number of a model's weights as bits.
pub fn bits(weights: &Weights) -> Vec<u32> {
    let mut bits: Vec<u32> = Vec::new();
    for (_, tensor) in weights.tensors() {
        match tensor {
            Tensor::Vector(values) => bits.extend(values.iter().map(|value| value.to_bits())),
            Tensor::Matrix(matrix) => {
                let mut row = vec![0.0; matrix.cols()];
                for index in 0..matrix.rows() {
                    matrix.row(index, &mut row);
                    bits.extend(row.iter().map(|value| value.to_bits()));
                }
            }
        }
    }
    bits
}

/// A fixture as a model, with a context short enough to overflow.
pub fn fixture(config: &[u8], tokenizer: &[u8], weights: &[u8], chat_template: Option<&str>, context: usize) -> Arc<Model> {
    let mut config: Value = serde_json::from_slice(config).expect("a fixture's config");
    config["max_position_embeddings"] = context.into();
    let config = config.to_string();
    let files = ModelFiles { chat_template: chat_template.map(str::as_bytes), ..ModelFiles::new(config.as_bytes(), tokenizer) };
    Arc::new(Model::from_bytes(&files, &[weights], LoadOptions::default()).expect("a fixture loads"))
}

/// A text from the input: its bytes, without any that are not UTF-8.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Words that have a meaning in one of the files.
const WORDS: [&str; 60] = [
    "",
    "a",
    "ab",
    "é",
    "▁",
    "Ġ",
    "<s>",
    "<unk>",
    "<|im_end|>",
    "<0x0A>",
    "##a",
    "A",
    "B",
    "type",
    "id",
    "content",
    "special",
    "normalized",
    "vocab",
    "merges",
    "BPE",
    "Unigram",
    "WordPiece",
    "WordLevel",
    "Sequence",
    "ByteLevel",
    "Metaspace",
    "Split",
    "Digits",
    "Whitespace",
    "Punctuation",
    "BertPreTokenizer",
    "Regex",
    "String",
    "Isolated",
    "MergedWithPrevious",
    "(a+)+$",
    "a{9}{9}",
    "\\p{L}+|\\s+(?!\\S)",
    "NFC",
    "NFKD",
    "Lowercase",
    "Replace",
    "Prepend",
    "Strip",
    "Precompiled",
    "Fuse",
    "ByteFallback",
    "CTC",
    "TemplateProcessing",
    "BertProcessing",
    "RobertaProcessing",
    "first",
    "always",
    "never",
    "llama3",
    "default",
    "yarn",
    "sliding_attention",
    "silu",
];

/// A value that a file might wrongly hold.
fn value(input: &mut Unstructured) -> Result<Value> {
    const NUMBERS: [f64; 10] = [0.0, 1.0, -1.0, 0.5, 64.0, 1e-45, 1e30, 1e308, 4_294_967_296.0, 1_048_576.0];
    Ok(match input.int_in_range(0..=9)? {
        0 => Value::Null,
        1 => input.arbitrary::<bool>()?.into(),
        2 => json!(*input.choose(&NUMBERS)?),
        3 => u64::from(input.arbitrary::<u8>()?).into(),
        4 => (1u64 << input.int_in_range(0..=63)?).into(),
        5 => input.arbitrary::<i64>()?.into(),
        6 => json!([]),
        7 => json!({}),
        8 => (*input.choose(&WORDS)?).into(),
        _ => text(input.bytes(4)?).into(),
    })
}

/// Changes one place of a JSON value: replaces, removes, doubles or renames it, or puts it inside itself.
pub fn edit(at: &mut Value, input: &mut Unstructured) -> Result<()> {
    let deeper = input.ratio(7, 8)?;
    match at {
        Value::Object(map) if deeper && !map.is_empty() => {
            let key = map.keys().nth(input.choose_index(map.len())?).cloned().unwrap_or_default();
            match input.int_in_range(0..=7)? {
                0 => drop(map.remove(&key)),
                1 => {
                    let moved = map.remove(&key).unwrap_or_default();
                    map.insert((*input.choose(&WORDS)?).into(), moved);
                }
                2 => drop(map.insert((*input.choose(&WORDS)?).into(), value(input)?)),
                _ => edit(&mut map[&key], input)?,
            }
        }
        Value::Array(list) if deeper && !list.is_empty() => {
            let index = input.choose_index(list.len())?;
            match input.int_in_range(0..=7)? {
                0 => drop(list.remove(index)),
                1 => list.push(list[index].clone()),
                2 => list.push(value(input)?),
                _ => edit(&mut list[index], input)?,
            }
        }
        _ => match input.int_in_range(0..=3)? {
            0 => *at = json!([at.take()]),
            _ => *at = value(input)?,
        },
    }
    Ok(())
}

/// The most edits, because each may double what it finds.
const EDITS_MAX: usize = 12;

/// A file from the input: the input itself, or one of `files` with a few edits. `None` if the input is too
/// short to choose.
pub fn file(files: &[&[u8]], data: &[u8]) -> Option<Vec<u8>> {
    let (&kind, rest) = data.split_first()?;
    // The first byte is a letter or a bracket: the input is a file.
    if kind >= b' ' {
        return Some(data.to_vec());
    }
    let mut json: Value = serde_json::from_slice(files[kind as usize % files.len()]).expect("a sound file");
    let mut input = Unstructured::new(rest);
    for _ in 0..EDITS_MAX {
        if input.is_empty() {
            break;
        }
        edit(&mut json, &mut input).ok()?;
    }
    Some(json.to_string().into_bytes())
}
