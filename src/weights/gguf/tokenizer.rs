//! The vocabulary of a GGUF file as `tokenizer.json` and `tokenizer_config.json`, so that one reader checks
//! both.
//!
//! Two kinds are read. `gpt2` spells bytes and has merges. `llama` is SentencePiece: it has a score for each
//! token, from which the merges follow (`merges.rs`), and spells other characters in bytes.

use serde_json::{Map, Value, json};

use super::merges;
use super::metadata::Metadata;
use super::names::Architecture;
use super::pre::Pre;
use super::vocabulary::{self, Kind, Vocabulary};
use crate::error::Result;

const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const TEMPLATE: &str = "tokenizer.chat_template";

/// How SentencePiece writes a space.
const SPACE: &str = "\u{2581}";

/// The kind of the tokenizer of a file.
enum Model {
    ByteLevel(Pre),
    SentencePiece,
}

impl Model {
    /// Errors: `BAD_FILE` if the file names none; `UNSUPPORTED_MODEL` for another kind or pre-tokenizer.
    fn of(metadata: &Metadata) -> Result<Model> {
        match metadata.text(MODEL)? {
            Some("llama") => Ok(Model::SentencePiece),
            Some("gpt2") => {
                let given = metadata.text(PRE)?.filter(|name| *name != "default");
                let name = match given {
                    Some(name) => name,
                    None => Architecture::of(metadata).map_or("default", |architecture| architecture.pre),
                };
                let known = || format!("{}; or a tokenizer.json beside the file", Pre::known());
                Pre::of(name).map(Model::ByteLevel).ok_or_else(|| metadata.unsupported(PRE, &known(), name.into()))
            }
            Some(other) => Err(metadata.unsupported(MODEL, "gpt2, llama; or a tokenizer.json beside the file", other.into())),
            None => Err(metadata.bad(MODEL, "gpt2 or llama, or a tokenizer.json beside the file", "nothing".into())),
        }
    }
}

/// `tokenizer_config.json` of a file: the tokens that have a name, and the chat templates.
///
/// Errors: `BAD_FILE` with the key.
pub(super) fn config(metadata: &Metadata) -> Result<Vec<u8>> {
    let mut config = Map::new();
    if let Some(tokens) = metadata.texts(vocabulary::TOKENS)? {
        for (name, text) in vocabulary::names(metadata, tokens)? {
            config.insert(name.into(), text.into());
        }
    }
    let adds_bos = match Model::of(metadata) {
        Ok(Model::ByteLevel(pre)) => pre.adds_bos,
        Ok(Model::SentencePiece) => true,
        // The vocabulary is not read, because the caller has a tokenizer.json.
        Err(_) => false,
    };
    let flag = |name: &str| metadata.flag(&format!("tokenizer.ggml.{name}"));
    config.insert("add_bos_token".into(), flag("add_bos_token")?.unwrap_or(adds_bos).into());
    config.insert("add_eos_token".into(), flag("add_eos_token")?.unwrap_or(false).into());
    let mut templates = Vec::new();
    for (key, _) in metadata.iter() {
        let Some(rest) = key.strip_prefix(TEMPLATE) else { continue };
        let name = if rest.is_empty() { Some("default") } else { rest.strip_prefix('.') };
        if let (Some(name), Some(text)) = (name, name.map_or(Ok(None), |_| metadata.text(key))?) {
            templates.push(json!({"name": name, "template": text}));
        }
    }
    if !templates.is_empty() {
        config.insert("chat_template".into(), templates.into());
    }
    Ok(Value::Object(config).to_string().into_bytes())
}

/// `tokenizer.json` of a file.
///
/// Errors: `BAD_FILE` with the key and the entry; `UNSUPPORTED_MODEL`.
pub(super) fn json(metadata: &Metadata) -> Result<Vec<u8>> {
    let model = Model::of(metadata)?;
    let vocabulary = Vocabulary::of(metadata)?;
    let respelt = respelt(&vocabulary, &model);
    let texts = || {
        let mut others = respelt.iter().peekable();
        let spelling = move |(id, text)| others.next_if(|(other, _)| *other == id).map_or(text, |(_, other)| other.as_str());
        vocabulary.tokens.iter().enumerate().map(spelling)
    };
    let ids = Vocabulary::ids(metadata, texts())?;

    let mut out = Vec::new();
    out.extend_from_slice(br#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":["#);
    let mut comma = Comma::default();
    for (id, content) in texts().enumerate() {
        let special = match vocabulary.kind(id) {
            Kind::Control | Kind::Unknown => true,
            Kind::UserDefined => false,
            Kind::Text | Kind::Byte => continue,
        };
        comma.put(&mut out);
        let token = json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": special});
        out.extend_from_slice(token.to_string().as_bytes());
    }
    out.extend_from_slice(b"],");
    let stages = stages(metadata, &model)?;
    for (name, stage) in ["normalizer", "pre_tokenizer", "post_processor", "decoder"].iter().zip(stages) {
        out.extend_from_slice(format!("\"{name}\":{stage},").as_bytes());
    }
    out.extend_from_slice(br#""model":{"type":"BPE","dropout":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"#);
    let unknown = vocabulary::names(metadata, vocabulary.tokens)?.into_iter().find(|(name, _)| *name == "unk_token").map(|(_, text)| text);
    let unknown = unknown.or_else(|| {
        let id = (0..vocabulary.tokens.len()).find(|&id| vocabulary.kind(id) == Kind::Unknown)?;
        vocabulary.tokens.get(id)
    });
    let spells_bytes = (0..vocabulary.tokens.len()).any(|id| vocabulary.kind(id) == Kind::Byte);
    let settings = match &model {
        Model::ByteLevel(pre) => {
            format!(r#""unk_token":null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":{},"#, pre.ignores_merges)
        }
        Model::SentencePiece => {
            let unknown = unknown.map_or(Value::Null, Value::from);
            format!(r#""unk_token":{unknown},"fuse_unk":true,"byte_fallback":{spells_bytes},"ignore_merges":false,"#)
        }
    };
    out.extend_from_slice(settings.as_bytes());
    out.extend_from_slice(br#""vocab":{"#);
    let mut comma = Comma::default();
    for (id, text) in texts().enumerate() {
        comma.put(&mut out);
        quote(&mut out, text);
        out.extend_from_slice(format!(":{id}").as_bytes());
    }
    out.extend_from_slice(br#"},"merges":["#);
    let mut comma = Comma::default();
    let mut merge = |left: &str, right: &str| {
        comma.put(&mut out);
        out.push(b'[');
        quote(&mut out, left);
        out.push(b',');
        quote(&mut out, right);
        out.push(b']');
    };
    match metadata.texts(merges::KEY)? {
        Some(lines) => merges::each(metadata, lines, &ids, &mut merge)?,
        None if matches!(model, Model::ByteLevel(_)) => return Err(metadata.bad(merges::KEY, "a list of the merges", "nothing".into())),
        None => merges::of_scores(metadata, &vocabulary, &texts().collect::<Vec<_>>(), &ids, &mut merge)?,
    }
    out.extend_from_slice(b"]}}");
    Ok(out)
}

/// Other spellings of tokens, by ascending id. Files write tokens of several spaces as they are, where the
/// vocabulary of SentencePiece has its own sign for a space.
fn respelt(vocabulary: &Vocabulary, model: &Model) -> Vec<(usize, String)> {
    if matches!(model, Model::ByteLevel(_)) {
        return Vec::new();
    }
    let spaces = |(_, text): &(usize, &str)| !text.is_empty() && text.bytes().all(|byte| byte == b' ');
    let respell = |(id, text): (usize, &str)| (id, SPACE.repeat(text.len()));
    vocabulary.tokens.iter().enumerate().filter(spaces).map(respell).collect()
}

/// Normalizer, pre-tokenizer, post-processor and decoder. BOS and EOS are put around a prompt by the flags of
/// `tokenizer_config.json`.
fn stages(metadata: &Metadata, model: &Model) -> Result<[Value; 4]> {
    if let Model::ByteLevel(pre) = model {
        let decoder = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true});
        return Ok([pre.normalizer(), pre.pre_tokenizer(), Value::Null, decoder]);
    }
    let to_sign = json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE});
    let to_space = json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "});
    let (fallback, fuse) = (json!({"type": "ByteFallback"}), json!({"type": "Fuse"}));
    let starts_with_space = metadata.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let (normalizers, decoders) = if starts_with_space {
        let strip = json!({"type": "Strip", "content": " ", "start": 1, "stop": 0});
        (vec![json!({"type": "Prepend", "prepend": SPACE}), to_sign], vec![to_space, fallback, fuse, strip])
    } else {
        (vec![to_sign], vec![to_space, fallback, fuse])
    };
    let (normalizer, decoder) =
        (json!({"type": "Sequence", "normalizers": normalizers}), json!({"type": "Sequence", "decoders": decoders}));
    Ok([normalizer, Value::Null, Value::Null, decoder])
}

/// Commas between entries.
#[derive(Default)]
struct Comma(bool);

impl Comma {
    fn put(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.0, true) {
            out.push(b',');
        }
    }
}

/// Appends a text as JSON.
fn quote(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            0..0x20 => out.extend(format!("\\u{byte:04x}").bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
