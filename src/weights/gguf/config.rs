//! The metadata of a GGUF file as `config.json`, so that one reader checks both.
//!
//! An error of that reader names a field of `config.json`. [`in_words_of`] makes it name the key of the file.

use serde_json::{Map, Value, json};

use super::super::checkpoint::Header;
use super::metadata::{self, Metadata, place};
use super::names::Architecture;
use super::vocabulary;
use crate::error::{Error, Result};

/// Keys of an architecture, and the fields of `config.json` that they are.
///
/// Source: gguf 0.19, `gguf/constants.py`; llama.cpp, `src/llama-model.cpp`, for what they mean.
const FIELDS: &[(&str, &str)] = &[
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("block_count", "num_hidden_layers"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.key_length", "head_dim"),
    ("context_length", "max_position_embeddings"),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    ("rope.freq_base", "rope_theta"),
    ("vocab_size", "vocab_size"),
    ("attention.sliding_window", "sliding_window"),
    ("rope.scaling.type", "rope_scaling.rope_type"),
    ("expert_count", "num_local_experts"),
    ("expert_used_count", "num_experts_per_tok"),
    ("attn_logit_softcapping", "attn_logit_softcapping"),
    ("final_logit_softcapping", "final_logit_softcapping"),
    ("attention.scale", "attention_multiplier"),
    ("attention.clamp_kqv", "clip_qkv"),
    ("attention.max_alibi_bias", "alibi"),
    ("embedding_scale", "embedding_multiplier"),
    ("residual_scale", "residual_multiplier"),
    ("logit_scale", "logit_scale"),
    ("use_parallel_residual", "use_parallel_residual"),
];

/// Keys that every file needs. llama.cpp refuses a file without them.
const REQUIRED: [&str; 6] = [
    "embedding_length",
    "feed_forward_length",
    "block_count",
    "attention.head_count",
    "context_length",
    "attention.layer_norm_rms_epsilon",
];

/// Keys of an architecture that are read below, or change nothing.
const READ_ELSEWHERE: [&str; 9] = [
    "attention.value_length",
    "rope.dimension_count",
    "rope.scale_linear",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.finetuned",
    "attention.causal",
    "tensor_data_layout",
    "full_attention_interval",
];

/// The defaults of sampling that a file may have.
const SAMPLING: &[(&str, &str)] = &[
    ("general.sampling.temp", "temperature"),
    ("general.sampling.top_k", "top_k"),
    ("general.sampling.top_p", "top_p"),
    ("general.sampling.min_p", "min_p"),
    ("general.sampling.penalty_repeat", "repetition_penalty"),
];

/// The heads of a model.
pub(super) struct Heads {
    pub heads: u64,
    pub kv_heads: u64,
}

/// Errors: `BAD_FILE` if a number of heads is missing or 0, `UNSUPPORTED_MODEL` if layers differ in it.
pub(super) fn heads(metadata: &Metadata, architecture: &str) -> Result<Heads> {
    let count = |key: &str| {
        let key = format!("{architecture}.{key}");
        match same_in_every_layer(metadata, &key)? {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(count @ 1..) => Ok(Some(count)),
                _ => Err(metadata.bad(&key, "a whole number above 0", value.to_string())),
            },
        }
    };
    let heads = match count("attention.head_count")? {
        Some(heads) => heads,
        None => return Err(metadata.bad(&format!("{architecture}.attention.head_count"), "a whole number above 0", "nothing".into())),
    };
    Ok(Heads { heads, kv_heads: count("attention.head_count_kv")?.unwrap_or(heads) })
}

/// `config.json` of a file. `header` is that of its first part.
///
/// Errors: `BAD_FILE` and `UNSUPPORTED_MODEL` with the key.
pub(super) fn config(metadata: &Metadata, header: &Header) -> Result<Vec<u8>> {
    let architecture = Architecture::of(metadata)?;
    let key = |name: &str| format!("{}.{name}", architecture.name);
    let mut config = Map::new();
    let mut put = |field: &str, value: Value| drop(config.insert(field.into(), value));
    for name in REQUIRED {
        if metadata.get(&key(name)).is_none() {
            return Err(metadata.bad(&key(name), "a number", "nothing".into()));
        }
    }
    put("model_type", architecture.model_type.into());
    let of_file = |(name, field): &(&str, &'static str)| Ok(same_in_every_layer(metadata, &key(name))?.map(|value| (*field, value)));
    for found in FIELDS.iter().map(of_file) {
        match found? {
            // These two are objects and lists there.
            Some(("rope_scaling.rope_type" | "sliding_window", _)) | None => {}
            Some((field, value)) => put(field, value),
        }
    }
    let Heads { heads, kv_heads } = heads(metadata, architecture.name)?;
    put("num_key_value_heads", kv_heads.into());
    put("head_dim", head_dim(metadata, architecture.name, heads)?);
    if metadata.get(&key("rope.freq_base")).is_none() {
        // The default of llama.cpp in every architecture.
        put("rope_theta", 10_000.0.into());
    }
    if let Some(scaling) = scaling(metadata, architecture.name)? {
        put("rope_scaling", scaling);
    }
    if let Some(window @ 1..) = metadata.whole(&key("attention.sliding_window"))? {
        put("sliding_window", window.into());
        if architecture.name == "llama" {
            put("model_type", "mistral".into());
        }
    }
    if metadata.flag(&key("attention.causal"))? == Some(false) {
        return Err(metadata.unsupported(&key("attention.causal"), "true", "false".into()));
    }

    let has = |name: &str| header.entries.iter().any(|entry| entry.name == name);
    let embedding = header.entries.iter().find(|entry| entry.name == "token_embd.weight");
    let rows = embedding.and_then(|entry| entry.shape.first().copied());
    let tokens = || Ok(metadata.texts(vocabulary::TOKENS)?.map(|tokens| tokens.len() as u64));
    if let Some(vocab) =
        rows.map_or_else(|| metadata.whole(&key("vocab_size")), |rows| Ok(Some(rows)))?.map_or_else(tokens, |vocab| Ok(Some(vocab)))?
    {
        put("vocab_size", vocab.into());
    }
    put("tie_word_embeddings", (!has("output.weight")).into());
    if architecture.name == "llama" {
        // One flag is for both projections, as in files of Llama that have it.
        put("attention_bias", has("blk.0.attn_q.bias").into());
        put("mlp_bias", has("blk.0.ffn_gate.bias").into());
    }
    put("bos_token_id", vocabulary::id(metadata, "bos")?.map_or(Value::Null, Value::from));
    put("eos_token_id", vocabulary::ends(metadata)?.into());
    for (name, field) in SAMPLING {
        if let Some(value) = metadata.get(name).and_then(number) {
            put(field, value);
        }
    }
    for (name, value) in metadata.iter() {
        // What is not known is listed as not used.
        let own = name.strip_prefix(architecture.name).and_then(|rest| rest.strip_prefix('.'));
        if own.is_some_and(|own| !FIELDS.iter().any(|(known, _)| *known == own) && !READ_ELSEWHERE.contains(&own)) {
            put(name, value.show().into());
        }
    }
    Ok(Value::Object(config).to_string().into_bytes())
}

/// A number, a truth value or a text as JSON. Of a list, its entry if all are equal: some files have one for
/// each layer.
///
/// Errors: `UNSUPPORTED_MODEL` if layers differ.
fn same_in_every_layer(metadata: &Metadata, key: &str) -> Result<Option<Value>> {
    let Some(value) = metadata.get(key) else { return Ok(None) };
    let metadata::Value::Numbers(numbers) = value else {
        return match number(value) {
            Some(value) => Ok(Some(value)),
            None => Err(metadata.bad(key, "a number or a text", value.show())),
        };
    };
    let mut values = numbers.iter().filter_map(|value| number(&value));
    let first = values.next();
    match values.find(|value| Some(value) != first.as_ref()) {
        Some(other) => {
            let got = format!("{} in one layer, {other} in another", first.unwrap_or_default());
            Err(metadata.unsupported(key, "one number for all layers", got))
        }
        None => Ok(first),
    }
}

fn number(value: &metadata::Value) -> Option<Value> {
    Some(match value {
        metadata::Value::Whole(number) => (*number).into(),
        metadata::Value::Negative(number) => (*number).into(),
        // Not finite: its name, which no field takes.
        metadata::Value::Float(number) => serde_json::Number::from_f64(*number).map_or_else(|| number.to_string().into(), Value::Number),
        metadata::Value::Bool(flag) => (*flag).into(),
        metadata::Value::Text(text) => text.as_str().into(),
        metadata::Value::Texts(_) | metadata::Value::Numbers(_) => return None,
    })
}

/// The width of a head: that of keys and values, all of which rope turns.
fn head_dim(metadata: &Metadata, architecture: &str, heads: u64) -> Result<Value> {
    let size = |name: &str| metadata.whole(&format!("{architecture}.{name}"));
    let equal = match size("embedding_length")? {
        Some(hidden) if hidden % heads == 0 => Some(hidden / heads),
        _ => None,
    };
    let own = size("attention.key_length")?.or(equal);
    for name in ["attention.value_length", "rope.dimension_count"] {
        if let (Some(own), Some(other)) = (own, size(name)?)
            && own != other
        {
            return Err(metadata.unsupported(&format!("{architecture}.{name}"), &format!("{own}, the width of a head"), other.to_string()));
        }
    }
    // Null if the hidden width is no multiple of the heads: the reader of config.json names it.
    Ok(own.map_or(Value::Null, Value::from))
}

/// `rope_scaling`: a factor without a type is linear, as in llama.cpp.
fn scaling(metadata: &Metadata, architecture: &str) -> Result<Option<Value>> {
    let key = |name: &str| format!("{architecture}.{name}");
    let factor = metadata.get(&key("rope.scaling.factor")).or(metadata.get(&key("rope.scale_linear"))).and_then(number);
    let neutral = factor.as_ref().is_none_or(|factor| matches!(factor.as_f64(), Some(0.0 | 1.0)));
    match metadata.text(&key("rope.scaling.type"))? {
        Some("none") => Ok(None),
        None | Some("linear") if neutral => Ok(None),
        kind => Ok(Some(json!({"rope_type": kind.unwrap_or("linear"), "factor": factor}))),
    }
}

/// An error of the readers of `config.json`, `tokenizer_config.json` and `tokenizer.json`, which were made of
/// the metadata of `file`, with the names of that file.
pub(super) fn in_words_of(metadata: &Metadata, error: Error) -> Error {
    let file = metadata.file().to_owned();
    let architecture = metadata.text("general.architecture").ok().flatten().unwrap_or_default();
    let own = |field: String| match FIELDS.iter().find(|(_, known)| *known == field) {
        Some((key, _)) => place(&format!("{architecture}.{key}")),
        None => format!("metadata, as config.json: {field}"),
    };
    match error {
        Error::BadFile { file: made, at, expected, got } if made == "config.json" => Error::BadFile { file, at: own(at), expected, got },
        Error::BadFile { at, expected, got, .. } => Error::BadFile { file, at: format!("metadata, {at}"), expected, got },
        Error::UnsupportedModel { field, expected, got, .. } => Error::UnsupportedModel { file, field: own(field), expected, got },
        Error::BadTokenizer { at, expected, got } => Error::BadFile { file, at: format!("metadata, tokenizer: {at}"), expected, got },
        other => other,
    }
}
