//! `tokenizer_config.json`: what transformers adds to `tokenizer.json`. Fields that are not here are not needed to tokenize.

use serde::Deserialize;
use tokenizers::AddedToken;

use crate::json::place_and_fact;
use crate::sniff::{Expected, sniff};
use crate::{Error, Result};

const FILE: &str = "tokenizer_config.json";

/// The part of `tokenizer_config.json` that concerns tokens and chats.
#[derive(Debug, Clone, Default)]
pub struct TokenizerConfig {
    /// The token before a text.
    pub bos_token: Option<String>,
    /// The token after a text.
    pub eos_token: Option<String>,
    /// All the named tokens, in the order in which transformers has them: `("bos_token", "<s>")`...
    pub names: Vec<(&'static str, String)>,
    /// Whether a prompt gets the BOS token, where `tokenizer.json` says nothing about it.
    pub add_bos_token: bool,
    /// Whether a prompt gets the EOS token, where `tokenizer.json` says nothing about it.
    pub add_eos_token: bool,
    /// Added tokens by ascending id.
    pub added_tokens: Vec<(u32, AddedToken)>,
    /// The chat template: one, or several with names.
    pub chat_template: Option<Templates>,
}

/// The two ways to publish chat templates in `tokenizer_config.json`.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "expected a chat template, or a list of templates with names")]
pub enum Templates {
    /// The one.
    One(String),
    /// Several, chosen by name.
    Named(Vec<NamedTemplate>),
}

/// One of several templates.
#[derive(Debug, Clone, Deserialize)]
pub struct NamedTemplate {
    /// `default`, `tool_use`, `rag`...
    pub name: String,
    /// Its source.
    pub template: String,
}

/// A token is written as its text, or as an object with its text in `content`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected the text of a token, or an object with its text in `content`")]
enum Token {
    Text(String),
    Object { content: String },
}

#[derive(Deserialize)]
struct Raw {
    bos_token: Option<Token>,
    eos_token: Option<Token>,
    unk_token: Option<Token>,
    sep_token: Option<Token>,
    pad_token: Option<Token>,
    cls_token: Option<Token>,
    mask_token: Option<Token>,
    add_bos_token: Option<bool>,
    add_eos_token: Option<bool>,
    added_tokens_decoder: Option<std::collections::BTreeMap<u32, RawAdded>>,
    chat_template: Option<Templates>,
}

#[derive(Deserialize)]
struct RawAdded {
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    normalized: Option<bool>,
    #[serde(default)]
    special: bool,
}

impl TokenizerConfig {
    /// Reads the file.
    ///
    /// Errors: `BAD_FILE`; `NOT_A_MODEL_FILE`.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        sniff(FILE, bytes, Expected::Json)?;
        let raw: Raw = serde_json::from_slice(bytes).map_err(|error| {
            let (at, got) = place_and_fact(&error);
            Error::BadFile { file: FILE.into(), at, expected: "the settings of a tokenizer as JSON".into(), got }
        })?;
        let text = |token: Option<Token>| token.map(|(Token::Text(text) | Token::Object { content: text })| text);
        let names: Vec<_> = [
            ("bos_token", text(raw.bos_token)),
            ("eos_token", text(raw.eos_token)),
            ("unk_token", text(raw.unk_token)),
            ("sep_token", text(raw.sep_token)),
            ("pad_token", text(raw.pad_token)),
            ("cls_token", text(raw.cls_token)),
            ("mask_token", text(raw.mask_token)),
        ]
        .into_iter()
        .filter_map(|(name, token)| Some((name, token.filter(|token| !token.is_empty())?)))
        .collect();
        let named = |wanted| names.iter().find(|(name, _)| *name == wanted).map(|(_, token)| token.clone());
        let special = |content: &String| names.iter().any(|(_, token)| token == content);
        let added_tokens = (raw.added_tokens_decoder.unwrap_or_default().into_iter())
            .filter(|(_, token)| !token.content.is_empty())
            .map(|(id, token)| {
                let special = token.special || special(&token.content);
                let added = AddedToken::from(token.content, special).single_word(token.single_word).lstrip(token.lstrip);
                (id, added.rstrip(token.rstrip).normalized(token.normalized.unwrap_or(!special)))
            })
            .collect();
        Ok(TokenizerConfig {
            bos_token: named("bos_token"),
            eos_token: named("eos_token"),
            add_bos_token: raw.add_bos_token.unwrap_or(false),
            add_eos_token: raw.add_eos_token.unwrap_or(false),
            added_tokens,
            chat_template: raw.chat_template,
            names,
        })
    }

    /// The texts of the named tokens.
    pub fn named(&self) -> impl Iterator<Item = &String> {
        self.names.iter().map(|(_, token)| token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn tokens_are_read_as_strings_and_as_objects() {
        let config = TokenizerConfig::from_json(
            br#"{"bos_token": "<s>", "eos_token": {"__type": "AddedToken", "content": "</s>", "lstrip": false}, "unk_token": null, "pad_token": "",
                 "added_tokens_decoder": {"2": {"content": "</s>"}, "7": {"content": "<think>", "special": false}}, "model_max_length": 1e30}"#,
        )
        .expect("a config");
        assert_eq!((config.bos_token.as_deref(), config.eos_token.as_deref()), (Some("<s>"), Some("</s>")));
        assert_eq!(config.named().collect::<Vec<_>>(), ["<s>", "</s>"]);
        let added = [AddedToken::from("</s>", true), AddedToken::from("<think>", false)];
        assert_eq!(config.added_tokens, [2, 7].into_iter().zip(added).collect::<Vec<_>>());
    }

    #[test]
    fn a_config_that_is_not_one_is_an_error() {
        for (bytes, code) in [(&b"{\"bos_token\": 1}"[..], "BAD_FILE"), (b"{", "BAD_FILE"), (b"<html>", "NOT_A_MODEL_FILE")] {
            assert_eq!(TokenizerConfig::from_json(bytes).unwrap_err().code(), code);
        }
    }
}
