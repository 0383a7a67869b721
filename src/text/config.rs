//! The files beside `tokenizer.json` that say more about tokens: `tokenizer_config.json`, and in folders
//! saved before transformers 4.34 also `special_tokens_map.json` and `added_tokens.json`. This is the only
//! place that reads them, and it reads the fields that tokenizing and chat templates need.
//!
//! The two older files are used only if `tokenizer_config.json` has no `added_tokens_decoder`. Then
//! `special_tokens_map.json` overrides `tokenizer_config.json`.
//!
//! Source: transformers 5.24, `tokenization_utils_base.py`, `_from_pretrained`.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Map, Value};
use tokenizers::AddedToken;

use crate::error::{Error, Result};
use crate::json::{self, show};

const FILE: &str = "tokenizer_config.json";
const MAP_FILE: &str = "special_tokens_map.json";
const ADDED_FILE: &str = "added_tokens.json";

/// The named tokens that every tokenizer may have, in the order of transformers.
const NAMES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// What a model's files say about its tokens and chat templates, beside `tokenizer.json`.
#[derive(Debug, Clone, Default)]
pub(crate) struct TokenizerConfig {
    /// The token that begins a text.
    pub(crate) bos_token: Option<String>,
    /// The token that ends a text.
    pub(crate) eos_token: Option<String>,
    /// All named tokens, `("bos_token", "<s>")`. Those that only this model has come last: `("image_token",
    /// "<image>")`.
    pub(crate) names: Vec<(String, String)>,
    /// Special tokens without a name.
    pub(crate) extra: Vec<String>,
    /// Whether a prompt gets the BOS token, if `tokenizer.json` has no post-processor.
    pub(crate) add_bos_token: bool,
    /// Whether a prompt gets the EOS token, if `tokenizer.json` has no post-processor.
    pub(crate) add_eos_token: bool,
    /// Tokens of `added_tokens_decoder`, by ascending id.
    pub(crate) added_tokens: Vec<(u32, AddedToken)>,
    /// Tokens of `added_tokens.json`, by ascending id. `tokenizer.json` overrides them.
    pub(crate) older_added_tokens: Vec<(u32, AddedToken)>,
    /// The field `chat_template`, as it is.
    chat_template: Option<Value>,
}

/// A token of `added_tokens_decoder`.
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

/// The files merged into one object, and the names of the fields that come from `special_tokens_map.json`.
struct Fields {
    map: Map<String, Value>,
    older: HashSet<String>,
}

impl Fields {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    fn bad(&self, name: &str, expected: &str, got: &Value) -> Error {
        bad(if self.older.contains(name) { MAP_FILE } else { FILE }, name, expected, got)
    }

    /// Reads a token: its text, or an object with the text in `content`.
    fn token(&mut self, name: &str) -> Result<Option<String>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let text = text_of(&value).ok_or_else(|| self.bad(name, "the text of a token, or an object with its text in `content`", &value))?;
        Ok(Some(text.to_owned()))
    }

    fn flag(&mut self, name: &str) -> Result<bool> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(self.bad(name, "true or false", &other)),
        }
    }
}

impl TokenizerConfig {
    /// Whether `special_tokens_map.json` and `added_tokens.json` are used beside this
    /// `tokenizer_config.json`. They are not used beside a broken one, because loading fails then.
    #[cfg(any(test, target_family = "wasm"))]
    pub(crate) fn reads_older_files(tokenizer_config: Option<&[u8]>) -> bool {
        tokenizer_config.is_none_or(|bytes| json::object(FILE, bytes).is_ok_and(|map| !names_added_tokens(&map)))
    }

    /// Reads `tokenizer_config.json` alone.
    #[cfg(test)]
    pub(crate) fn from_json(bytes: &[u8]) -> Result<Self> {
        Self::from_files(Some(bytes), None, None)
    }

    /// Reads `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`. Each is optional.
    ///
    /// Errors: `BAD_FILE`; `NOT_A_MODEL_FILE`.
    pub(crate) fn from_files(
        tokenizer_config: Option<&[u8]>,
        special_tokens_map: Option<&[u8]>,
        added_tokens: Option<&[u8]>,
    ) -> Result<Self> {
        let map = tokenizer_config.map_or_else(|| Ok(Map::new()), |bytes| json::object(FILE, bytes))?;
        let (special_tokens_map, added_tokens) = if names_added_tokens(&map) { (None, None) } else { (special_tokens_map, added_tokens) };
        let mut fields = Fields { map, older: HashSet::new() };
        for (name, value) in special_tokens_map.map_or_else(|| Ok(Map::new()), |bytes| json::object(MAP_FILE, bytes))? {
            let value = match (fields.map.remove(&name), value) {
                (Some(Value::Array(ours)), Value::Array(theirs)) if name == "extra_special_tokens" => [ours, theirs].concat().into(),
                (_, value) => value,
            };
            fields.older.insert(name.clone());
            fields.map.insert(name, value);
        }

        let mut names = Vec::new();
        for name in NAMES {
            names.extend(fields.token(name)?.map(|token| (name.to_owned(), token)));
        }
        let mut extra = Vec::new();
        let (current, former) = (fields.take("extra_special_tokens"), fields.take("additional_special_tokens"));
        let of_its_own = fields.map.iter().filter(|(name, _)| name.ends_with("_token"));
        names.extend(of_its_own.filter_map(|(name, value)| Some((name.clone(), text_of(value)?.to_owned()))));
        match current.or(former) {
            Some(Value::Object(tokens)) => {
                names.extend(tokens.iter().filter_map(|(name, value)| Some((name.clone(), text_of(value)?.to_owned()))));
            }
            Some(Value::Array(tokens)) => extra.extend(tokens.iter().filter_map(text_of).map(str::to_owned)),
            _ => {}
        }
        names.retain(|(_, token)| !token.is_empty());
        extra.retain(|token| !token.is_empty());
        let special = |text: &str| names.iter().any(|(_, token)| token == text) || extra.iter().any(|token| token == text);

        let older_added_tokens = added_tokens.map_or_else(|| Ok(Vec::new()), |bytes| older_added(bytes, special))?;
        let added_tokens = fields.take("added_tokens_decoder").map_or_else(|| Ok(Vec::new()), |value| added(&value, special))?;
        let named = |wanted| names.iter().find(|(name, _)| name == wanted).map(|(_, token)| token.clone());
        Ok(TokenizerConfig {
            bos_token: named("bos_token"),
            eos_token: named("eos_token"),
            add_bos_token: fields.flag("add_bos_token")?,
            add_eos_token: fields.flag("add_eos_token")?,
            added_tokens,
            older_added_tokens,
            chat_template: fields.take("chat_template"),
            names,
            extra,
        })
    }

    /// The texts of the special tokens.
    pub(crate) fn special(&self) -> impl Iterator<Item = &String> {
        self.names.iter().map(|(_, token)| token).chain(&self.extra)
    }

    /// The chat template for chats without tools: the only one, or of several named ones the one named
    /// `default`.
    ///
    /// Errors: `BAD_TEMPLATE` if there is no template named `default` among several, or the field has
    /// another type.
    pub(crate) fn chat_template<'a>(&'a self) -> Result<Option<&'a str>> {
        let named: Vec<(&'a str, &'a Value)> = match &self.chat_template {
            None => return Ok(None),
            Some(Value::String(template)) => return Ok(Some(template)),
            Some(Value::Object(templates)) => templates.iter().map(|(name, template)| (name.as_str(), template)).collect(),
            Some(Value::Array(templates)) => {
                let named = |template: &'a Value| {
                    let pair = template.get("name").and_then(Value::as_str).zip(template.get("template"));
                    pair.ok_or_else(|| bad_template(format!("expected objects with a `name` and a `template`, got {}", show(template))))
                };
                templates.iter().map(named).collect::<Result<_>>()?
            }
            Some(other) => return Err(bad_template(format!("expected a template, or templates with names, got {}", show(other)))),
        };
        // Of two templates with one name the last one counts, as in a Python dict.
        match named.iter().rfind(|(name, _)| *name == "default") {
            Some((_, Value::String(template))) => Ok(Some(template)),
            Some((_, other)) => Err(bad_template(format!("expected a template named \"default\", got {}", show(other)))),
            None if named.is_empty() => Ok(None),
            None => {
                let names = named.iter().map(|(name, _)| format!("{name:?}")).collect::<Vec<_>>().join(", ");
                Err(bad_template(format!("has templates named {names}, and none named \"default\"")))
            }
        }
    }
}

fn names_added_tokens(map: &Map<String, Value>) -> bool {
    map.get("added_tokens_decoder").is_some_and(|value| !value.is_null())
}

fn text_of(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token.get("content")?.as_str())
}

/// The tokens of `added_tokens_decoder`.
fn added(value: &Value, special: impl Fn(&str) -> bool) -> Result<Vec<(u32, AddedToken)>> {
    const AT: &str = "added_tokens_decoder";
    let Value::Object(tokens) = value else { return Err(bad(FILE, AT, "an object from ids to tokens", value)) };
    let mut added = Vec::with_capacity(tokens.len());
    for (id, token) in tokens {
        let number = id.parse::<u32>().map_err(|_| bad(FILE, AT, "ids from 0 to 4294967295", &Value::from(id.as_str())))?;
        let raw = RawAdded::deserialize(token).map_err(|_| bad(FILE, &format!("{AT}.{id}"), "a token with its `content`", token))?;
        if raw.content.is_empty() {
            continue;
        }
        let special = raw.special || special(&raw.content);
        let token = AddedToken::from(raw.content, special).single_word(raw.single_word).lstrip(raw.lstrip);
        added.push((number, token.rstrip(raw.rstrip).normalized(raw.normalized.unwrap_or(!special))));
    }
    Ok(by_id(added))
}

/// The tokens of `added_tokens.json`.
fn older_added(bytes: &[u8], special: impl Fn(&str) -> bool) -> Result<Vec<(u32, AddedToken)>> {
    let mut added = Vec::new();
    for (text, id) in json::object(ADDED_FILE, bytes)? {
        let number = id.as_u64().and_then(|id| u32::try_from(id).ok());
        let number = number.ok_or_else(|| bad(ADDED_FILE, &text, "an id from 0 to 4294967295", &id))?;
        if !text.is_empty() {
            let special = special(&text);
            added.push((number, AddedToken::from(text, special).normalized(!special)));
        }
    }
    Ok(by_id(added))
}

fn by_id(mut added: Vec<(u32, AddedToken)>) -> Vec<(u32, AddedToken)> {
    added.sort_by_key(|(id, _)| *id);
    added
}

fn bad(file: &str, at: &str, expected: &str, got: &Value) -> Error {
    Error::BadFile { file: file.into(), at: at.into(), expected: expected.into(), got: show(got) }
}

fn bad_template(detail: String) -> Error {
    Error::BadTemplate { detail: format!("{FILE}: {detail}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn names(config: &TokenizerConfig) -> Vec<(&str, &str)> {
        config.names.iter().map(|(name, token)| (name.as_str(), token.as_str())).collect()
    }

    fn with_map(config: Option<&str>, map: &str) -> TokenizerConfig {
        TokenizerConfig::from_files(config.map(str::as_bytes), Some(map.as_bytes()), None).expect("a config")
    }

    #[test]
    fn tokens_are_read_as_strings_and_as_objects() {
        let config = TokenizerConfig::from_json(
            br#"{"bos_token": "<s>", "eos_token": {"__type": "AddedToken", "content": "</s>", "lstrip": false}, "unk_token": null, "pad_token": "",
                 "added_tokens_decoder": {"2": {"content": "</s>"}, "7": {"content": "<think>", "special": false}}, "model_max_length": 1e30}"#,
        )
        .expect("a config");
        assert_eq!((config.bos_token.as_deref(), config.eos_token.as_deref()), (Some("<s>"), Some("</s>")));
        assert_eq!(config.special().collect::<Vec<_>>(), ["<s>", "</s>"]);
        let added = [AddedToken::from("</s>", true), AddedToken::from("<think>", false)];
        assert_eq!(config.added_tokens, [2, 7].into_iter().zip(added).collect::<Vec<_>>());
    }

    /// The values are those of `special_tokens_map` of an AutoTokenizer of transformers 5.24.0.
    #[test]
    fn the_map_counts_where_no_added_tokens_are_named_and_then_it_wins() {
        let map = r#"{"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>"}"#;
        let both = [("bos_token", "<s>"), ("eos_token", "</s>")];
        for silent in [None, Some("{}"), Some(r#"{"bos_token": "<unk>"}"#), Some(r#"{"added_tokens_decoder": null}"#)] {
            assert_eq!(names(&with_map(silent, map)), both, "{silent:?}");
            assert!(TokenizerConfig::reads_older_files(silent.map(str::as_bytes)));
        }
        let named = r#"{"added_tokens_decoder": {}, "eos_token": "<unk>"}"#;
        assert_eq!(names(&with_map(Some(named), map)), [("eos_token", "<unk>")]);
        assert!(!TokenizerConfig::reads_older_files(Some(named.as_bytes())) && !TokenizerConfig::reads_older_files(Some(b"<html>")));
        // A null in the map removes a name.
        assert_eq!(names(&with_map(Some(r#"{"bos_token": "<s>"}"#), r#"{"bos_token": null}"#)), []);
        assert_eq!(names(&with_map(Some(r#"{"bos_token": "<s>"}"#), "{}")), [("bos_token", "<s>")]);
    }

    /// As transformers 5.24.0: `extra_special_tokens`, its former name, and tokens with names that only this
    /// model has.
    #[test]
    fn further_special_tokens_have_names_or_none() {
        for list in ["extra_special_tokens", "additional_special_tokens"] {
            let json = format!(r#"{{"{list}": ["<x>", {{"content": "<y>"}}]}}"#);
            assert_eq!(TokenizerConfig::from_json(json.as_bytes()).expect("a config").extra, ["<x>", "<y>"]);
            assert_eq!(with_map(None, &json).extra, ["<x>", "<y>"]);
        }
        let merged = with_map(Some(r#"{"extra_special_tokens": ["<x>"]}"#), r#"{"extra_special_tokens": ["<y>"]}"#);
        assert_eq!(merged.extra, ["<x>", "<y>"]);
        for json in [r#"{"image_token": "<x>", "add_bos_token": true}"#, r#"{"extra_special_tokens": {"image_token": "<x>"}}"#] {
            assert_eq!(names(&TokenizerConfig::from_json(json.as_bytes()).expect("a config")), [("image_token", "<x>")]);
        }
    }

    #[test]
    fn older_added_tokens_are_special_where_they_are_named() {
        let added = |config: &[u8]| {
            let files = TokenizerConfig::from_files(Some(config), None, Some(br#"{"[PAD]": 9, "<x>": 8}"#)).expect("a config");
            files.older_added_tokens.iter().map(|(id, token)| (*id, token.content.clone(), token.special)).collect::<Vec<_>>()
        };
        assert_eq!(added(br#"{"pad_token": "[PAD]"}"#), [(8, "<x>".into(), false), (9, "[PAD]".into(), true)]);
        assert_eq!(added(br#"{"added_tokens_decoder": {}}"#), []);
    }

    /// As `get_chat_template()` of transformers 5.24.0.
    #[test]
    fn of_several_templates_the_default_one_is_taken() {
        let template = |json: &str| {
            let config = TokenizerConfig::from_json(format!(r#"{{"chat_template": {json}}}"#).as_bytes()).expect("a config");
            config.chat_template().map(|template| template.map(str::to_owned)).map_err(|error| error.to_string())
        };
        let found = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(template("null"), Ok(None));
        assert_eq!(template(r#""C""#), found("C"));
        assert_eq!(template(r#"{"default": "D", "tool_use": "T"}"#), found("D"));
        assert_eq!(template(r#"[{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]"#), found("D"));
        assert_eq!(template(r#"[{"name": "default", "template": "D"}, {"name": "default", "template": "E"}]"#), found("E"));
        for (json, detail) in [
            (r#"{"rag": "R"}"#, r#"has templates named "rag", and none named "default""#),
            (r#"[{"name": "rag", "template": "R"}]"#, r#"has templates named "rag", and none named "default""#),
            (r#"{"default": null}"#, r#"expected a template named "default", got null"#),
            (r#"["x"]"#, r#"expected objects with a `name` and a `template`, got "x""#),
            ("5", "expected a template, or templates with names, got 5"),
        ] {
            let error = template(json).unwrap_err();
            assert!(error.starts_with(&format!("chat template: tokenizer_config.json: {detail}. Pass")), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_file_and_field() {
        let end = "Download the file again, or report it to the publisher of the model.";
        let token = "the text of a token, or an object with its text in `content`";
        for (json, fact) in [
            (r#"{"bos_token": 1}"#, format!("bos_token: expected {token}, got 1")),
            (r#"{"add_bos_token": "yes"}"#, "add_bos_token: expected true or false, got \"yes\"".into()),
            (r#"{"added_tokens_decoder": []}"#, "added_tokens_decoder: expected an object from ids to tokens, got []".into()),
            (r#"{"added_tokens_decoder": {"-1": {}}}"#, "added_tokens_decoder: expected ids from 0 to 4294967295, got \"-1\"".into()),
            (r#"{"added_tokens_decoder": {"7": {}}}"#, "added_tokens_decoder.7: expected a token with its `content`, got {}".into()),
        ] {
            let error = TokenizerConfig::from_json(json.as_bytes()).unwrap_err();
            assert_eq!((error.code(), error.to_string()), ("BAD_FILE", format!("tokenizer_config.json: {fact}. {end}")));
        }
        let map = TokenizerConfig::from_files(None, Some(br#"{"eos_token": 2}"#), None).unwrap_err();
        assert_eq!(map.to_string(), format!("special_tokens_map.json: eos_token: expected {token}, got 2. {end}"));
        let added = TokenizerConfig::from_files(None, None, Some(br#"{"<x>": -1}"#)).unwrap_err();
        assert_eq!(added.to_string(), format!("added_tokens.json: <x>: expected an id from 0 to 4294967295, got -1. {end}"));
        assert_eq!(TokenizerConfig::from_json(b"<html>").unwrap_err().code(), "NOT_A_MODEL_FILE");
        assert_eq!(TokenizerConfig::from_json(b"{").unwrap_err().code(), "BAD_FILE");
    }
}
