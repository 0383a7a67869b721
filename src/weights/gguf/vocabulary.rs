//! The vocabulary of a GGUF file: its tokens, what each of them is for, and the tokens that have a name.

use std::collections::HashMap;

use super::super::bad;
use super::metadata::{Metadata, Texts, Value, place};
use crate::error::Result;
use crate::json::show;

/// The key of the tokens.
pub(super) const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";

/// The most tokens that are accepted, as in `config.json`.
const TOKENS_MAX: usize = 1 << 24;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A piece of text, also one that the model never learned.
    Text,
    /// Stands for text that the vocabulary cannot spell.
    Unknown,
    /// Marks structure.
    Control,
    /// A piece of text that is found before the others.
    UserDefined,
    /// A byte, spelt `<0x0A>`.
    Byte,
}

/// The tokens of a file.
pub(super) struct Vocabulary<'a> {
    pub tokens: &'a Texts,
    kinds: Option<Vec<u8>>,
}

/// Names of tokens in `tokenizer_config.json`, and the words that GGUF has for them.
const NAMES: [(&str, &str); 7] = [
    ("bos_token", "bos"),
    ("eos_token", "eos"),
    ("unk_token", "unknown"),
    ("sep_token", "seperator"), // as it is spelt in files
    ("pad_token", "padding"),
    ("cls_token", "cls"),
    ("mask_token", "mask"),
];

/// Control tokens that end a text in every model that has them.
///
/// Source: llama.cpp, `src/llama-vocab.cpp`, `special_eog_ids`.
const ENDS: [&str; 11] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<turn|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "<|eom_id|>",
];

impl<'a> Vocabulary<'a> {
    /// Errors: `BAD_FILE` if there are no tokens, or not as many types as tokens, or two tokens are equal.
    pub(super) fn of(metadata: &'a Metadata) -> Result<Vocabulary<'a>> {
        let tokens = match metadata.texts(TOKENS)? {
            Some(tokens) if tokens.len() > 0 => tokens,
            other => {
                let got = if other.is_some() { "an empty one" } else { "nothing" };
                return Err(metadata.bad(TOKENS, "a list of the tokens, or a tokenizer.json beside the file", got.into()));
            }
        };
        if tokens.len() > TOKENS_MAX {
            return Err(metadata.bad(TOKENS, &format!("at most {TOKENS_MAX} tokens"), tokens.len().to_string()));
        }
        let Some(numbers) = metadata.numbers(TYPES)? else { return Ok(Vocabulary { tokens, kinds: None }) };
        if numbers.len() != tokens.len() {
            let expected = format!("a type for each of {} tokens", tokens.len());
            return Err(metadata.bad(TYPES, &expected, format!("{} of them", numbers.len())));
        }
        let mut kinds = Vec::with_capacity(tokens.len());
        for (id, kind) in numbers.iter().enumerate() {
            match kind {
                Value::Whole(kind @ 0..=6) => kinds.push(kind as u8),
                other => {
                    let at = format!("{}, entry {id}", place(TYPES));
                    return Err(bad(metadata.file(), &at, "a type from 0 to 6", other.show()));
                }
            }
        }
        Ok(Vocabulary { tokens, kinds: Some(kinds) })
    }

    pub(super) fn kind(&self, id: usize) -> Kind {
        match self.kinds.as_ref().and_then(|kinds| kinds.get(id)) {
            Some(2) => Kind::Unknown,
            Some(3) => Kind::Control,
            Some(4) => Kind::UserDefined,
            Some(6) => Kind::Byte,
            _ => Kind::Text,
        }
    }

    /// The id of each of `texts`, which are the tokens or other spellings of them.
    ///
    /// Errors: `BAD_FILE` if two tokens are equal, or one is empty.
    pub(super) fn ids<'t>(metadata: &Metadata, texts: impl Iterator<Item = &'t str>) -> Result<HashMap<&'t str, usize>> {
        let mut ids = HashMap::new();
        for (id, text) in texts.enumerate() {
            let at = || format!("{}, entry {id}", place(TOKENS));
            if text.is_empty() {
                return Err(bad(metadata.file(), &at(), "a text", "an empty one".into()));
            }
            if let Some(first) = ids.insert(text, id) {
                let got = format!("{} as in entry {first}", show(&text.into()));
                return Err(bad(metadata.file(), &at(), "a text that no other token has", got));
            }
        }
        Ok(ids)
    }
}

/// The id of a token that has a name: `bos`, `eos`, `unknown`...
pub(super) fn id(metadata: &Metadata, name: &str) -> Result<Option<u64>> {
    // Some files write -1, or the largest number, for no token.
    let key = format!("tokenizer.ggml.{name}_token_id");
    match metadata.get(&key) {
        Some(Value::Negative(_)) => Ok(None),
        _ => Ok(metadata.whole(&key)?.filter(|&id| id < u64::from(u32::MAX))),
    }
}

/// The names of tokens in `tokenizer_config.json`, with their texts.
///
/// Errors: `BAD_FILE` for an id that is no token.
pub(super) fn names<'a>(metadata: &'a Metadata, tokens: &'a Texts) -> Result<Vec<(&'static str, &'a str)>> {
    let mut names = Vec::new();
    for (name, word) in NAMES {
        let Some(id) = id(metadata, word)? else { continue };
        match usize::try_from(id).ok().and_then(|id| tokens.get(id)) {
            Some(text) => names.push((name, text)),
            // Many files name a padding token that the vocabulary was cut before. Nothing here reads it.
            None if word == "padding" => {}
            None => {
                let key = format!("tokenizer.ggml.{word}_token_id");
                return Err(metadata.bad(&key, &format!("an id below {}", tokens.len()), id.to_string()));
            }
        }
    }
    Ok(names)
}

/// The tokens that end a text.
pub(super) fn ends(metadata: &Metadata) -> Result<Vec<u64>> {
    let mut ends = Vec::new();
    for name in ["eos", "eot", "eom"] {
        ends.extend(id(metadata, name)?);
    }
    if metadata.get(TOKENS).is_some() {
        let vocabulary = Vocabulary::of(metadata)?;
        let control =
            vocabulary.tokens.iter().enumerate().filter(|(id, text)| vocabulary.kind(*id) == Kind::Control && ENDS.contains(text));
        ends.extend(control.map(|(id, _)| id as u64));
    }
    Ok(ends)
}
