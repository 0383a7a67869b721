//! Checks on `tokenizer.json` before the `tokenizers` library reads it.
//!
//! The file comes from a stranger, and the library (0.23.2) panics on some files where it should complain: JSON that breaks off or nests
//! too deeply inside a decoder, a character map that is no base64, merges longer than every token, post-processors naming tokens
//! that do not exist, pieces of length 0 (tokenizers issues 2094 and 2198, pull requests 2151 and 2153). In wasm a panic ends the engine.
//! So everything but vocabulary and merges is read here once as plain JSON, and these two are summed up without being kept.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::bad;
use crate::Result;
use crate::sniff::{Expected, sniff};

/// No vocabulary is near this; an id beyond it is a broken file, and a table that long would be a memory bomb.
const IDS_MAX: u32 = 1 << 24;

/// What was learnt on the way.
pub(super) struct Checked {
    /// The largest id + 1.
    pub vocab: usize,
    /// Text and id of the added tokens.
    pub added: Vec<(String, u32)>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    #[serde(default)]
    decoder: Value,
    #[serde(default)]
    truncation: Value,
    #[serde(default)]
    padding: Value,
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
}

#[derive(Deserialize)]
struct Model {
    r#type: Option<String>,
    dropout: Option<f64>,
    continuing_subword_prefix: Option<String>,
    unk_id: Option<u64>,
    vocab: Vocab,
    #[serde(default)]
    merges: Merges,
}

/// Checks the file and sums it up.
pub(super) fn check(json: &[u8]) -> Result<Checked> {
    sniff("tokenizer.json", json, Expected::Json)?;
    let file: File = serde_json::from_slice(json)
        .map_err(|error| bad(format!("line {}, column {}", error.line(), error.column()), "a tokenizer as JSON", error))?;
    let File { model, added_tokens, .. } = &file;
    if model.dropout.is_some_and(|dropout| dropout != 0.0) {
        return Err(bad("model.dropout", "null: the same text must give the same tokens", model.dropout.unwrap_or_default()));
    }
    if !model.merges.is_empty() || model.r#type.as_deref() == Some("BPE") {
        if let Some(prefix) = model.continuing_subword_prefix.as_ref().filter(|prefix| !prefix.is_empty()) {
            return Err(bad("model.continuing_subword_prefix", "null", format!("{prefix:?}")));
        }
        if model.merges.longest > model.vocab.longest {
            let expected = format!("none longer than the longest token ({} bytes)", model.vocab.longest);
            return Err(bad("model.merges", expected, format!("one of {} bytes", model.merges.longest)));
        }
    }
    if model.unk_id.is_some_and(|id| id >= u64::from(model.vocab.end)) {
        return Err(bad("model.unk_id", format!("an id below {}", model.vocab.end), model.unk_id.unwrap_or_default()));
    }
    let mut vocab = model.vocab.end;
    for token in added_tokens {
        if token.content.is_empty() || token.id >= IDS_MAX {
            return Err(bad("added_tokens", format!("a text and an id below {IDS_MAX}"), format!("{:?}, {}", token.content, token.id)));
        }
        vocab = vocab.max(token.id + 1);
    }
    if vocab == 0 {
        return Err(bad("model.vocab", "tokens", "none"));
    }
    stages(&file.normalizer, &mut |stage| match stage.get("precompiled_charsmap") {
        Some(_) => Err(bad("normalizer", "one that Fireside supports", "Precompiled")),
        None => Ok(()),
    })?;
    stages(&file.pre_tokenizer, &mut |stage| match stage.get("length").and_then(Value::as_u64) {
        Some(0) => Err(bad("pre_tokenizer", "a length above 0", 0)),
        _ => Ok(()),
    })?;
    stages(&file.post_processor, &mut template)?;
    let _read_for_their_syntax = (&file.decoder, &file.truncation, &file.padding);
    Ok(Checked { vocab: vocab as usize, added: file.added_tokens.into_iter().map(|token| (token.content, token.id)).collect() })
}

/// Visits a stage of the pipeline and the stages inside it.
fn stages(value: &Value, visit: &mut impl FnMut(&Value) -> Result<()>) -> Result<()> {
    visit(value)?;
    ["normalizers", "pretokenizers", "processors"]
        .iter()
        .filter_map(|list| value.get(list)?.as_array())
        .flatten()
        .try_for_each(|stage| stages(stage, visit))
}

/// A template post-processor puts only one text, and only tokens that it defines, around a text.
fn template(stage: &Value) -> Result<()> {
    let pieces = stage.get("single").and_then(Value::as_array).into_iter().flatten();
    for piece in pieces {
        let id = |kind: &str| piece.get(kind).and_then(|piece| piece.get("id")?.as_str());
        if id("Sequence").is_some_and(|id| id != "A") {
            return Err(bad("post_processor.single", "the sequence A", piece));
        }
        if let Some(id) = id("SpecialToken")
            && stage.get("special_tokens").and_then(|tokens| tokens.get(id)).is_none()
        {
            return Err(bad("post_processor.special_tokens", format!("the token {id:?} of the template"), "none"));
        }
    }
    Ok(())
}

/// A vocabulary without its texts.
#[derive(Default)]
struct Vocab {
    /// The largest id + 1.
    end: u32,
    /// Bytes of the longest token.
    longest: usize,
}

impl<'de> Deserialize<'de> for Vocab {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VocabVisitor)
    }
}

struct VocabVisitor;

impl<'de> Visitor<'de> for VocabVisitor {
    type Value = Vocab;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("tokens with their ids, or a list of pieces with their scores")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Vocab, M::Error> {
        let (mut vocab, mut taken) = (Vocab::default(), Vec::new());
        while let Some((token, id)) = map.next_entry::<Text, u32>()? {
            if id >= IDS_MAX {
                return Err(M::Error::custom(format!("id {id} is not below {IDS_MAX}")));
            }
            if taken.len() <= id as usize {
                taken.resize(id as usize + 1, false);
            }
            if std::mem::replace(&mut taken[id as usize], true) {
                return Err(M::Error::custom(format!("two tokens have the id {id}")));
            }
            vocab.end = vocab.end.max(id + 1);
            vocab.longest = vocab.longest.max(token.bytes);
        }
        Ok(vocab)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Vocab, S::Error> {
        let mut vocab = Vocab::default();
        while let Some((piece, _)) = list.next_element::<(Text, f64)>()? {
            if piece.bytes == 0 || vocab.end >= IDS_MAX {
                return Err(S::Error::custom("an empty piece, or too many"));
            }
            vocab.end += 1;
            vocab.longest = vocab.longest.max(piece.bytes);
        }
        Ok(vocab)
    }
}

/// A list of merges without its texts.
#[derive(Default)]
struct Merges {
    /// Bytes of the longest token that they make.
    longest: usize,
    any: bool,
}

impl Merges {
    fn is_empty(&self) -> bool {
        !self.any
    }
}

impl<'de> Deserialize<'de> for Merges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(MergesVisitor)
    }
}

/// `["a", "b"]`, or as older files have it `"a b"`.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a merge of two tokens")]
enum Merge {
    Pair(Text, Text),
    Line(Text),
}

struct MergesVisitor;

impl<'de> Visitor<'de> for MergesVisitor {
    type Value = Merges;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("a list of merges")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Merges, S::Error> {
        let mut merges = Merges::default();
        while let Some(merge) = list.next_element::<Merge>()? {
            let bytes = match merge {
                Merge::Pair(a, b) => a.bytes + b.bytes,
                Merge::Line(line) if line.comment => 0,
                Merge::Line(line) => line.bytes.saturating_sub(1),
            };
            merges = Merges { longest: merges.longest.max(bytes), any: true };
        }
        Ok(merges)
    }
}

/// A string of which only the length is kept.
struct Text {
    bytes: usize,
    /// A line of a merges file that is not a merge.
    comment: bool,
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text { bytes: text.len(), comment: text.starts_with("#version") })
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tokenizer::Tokenizer;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn whole() -> Value {
        json!({
            "version": "1.0",
            "added_tokens": [{"id": 3, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
            "normalizer": null,
            "pre_tokenizer": null,
            "post_processor": null,
            "decoder": {"type": "Fuse"},
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]},
        })
    }

    /// The error of a sound tokenizer with one value changed.
    fn error(pointer: &str, value: Value) -> String {
        let mut file = whole();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        file.pointer_mut(parent).expect("a parent")[key] = value;
        match Tokenizer::from_bytes(file.to_string().as_bytes(), None) {
            Ok(_) => panic!("{pointer} passed"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_sound_file_passes_and_has_the_size_of_its_largest_id() {
        let mut file = whole();
        let checked = check(file.to_string().as_bytes()).expect("sound");
        assert_eq!((checked.vocab, checked.added), (4, vec![("<s>".to_owned(), 3)]));
        // As older files write merges, and with an id that only the added tokens have.
        file["model"]["merges"] = json!(["#version: 0.2", "a b"]);
        file["added_tokens"][0]["id"] = json!(9);
        assert_eq!(check(file.to_string().as_bytes()).expect("sound").vocab, 10);
    }

    #[test]
    fn every_broken_file_has_an_error_that_names_the_place() {
        let cases = [
            ("/model/dropout", json!(0.1), "model.dropout"),
            ("/model/continuing_subword_prefix", json!("##"), "model.continuing_subword_prefix"),
            ("/model/merges", json!([["ab", "b"]]), "model.merges"),
            ("/model/merges", json!([["a", "x"]]), "`x` out of vocabulary"),
            ("/model/merges", json!([["a"]]), "expected a merge of two tokens"),
            ("/model/vocab", json!({"a": 0, "b": 0, "ab": 1}), "two tokens have the id 0"),
            ("/model/vocab", json!({"a": 4294967295u32}), "id 4294967295"),
            ("/model/vocab", json!({"a": -1}), "-1"),
            ("/model/vocab", json!("a"), "tokens with their ids"),
            ("/model", json!(null), "struct Model"),
            ("/added_tokens/0/content", json!(""), "added_tokens"),
            ("/added_tokens/0/id", json!(4294967295u32), "added_tokens"),
            ("/added_tokens/0/id", json!(7), "added token \"<s>\""),
            ("/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "?"}), "normalizer"),
            (
                "/normalizer",
                json!({"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": "AAAA"}]}),
                "normalizer",
            ),
            ("/normalizer", json!({"type": "Imaginary"}), "the file"),
            ("/pre_tokenizer", json!({"type": "FixedLength", "length": 0}), "pre_tokenizer"),
            ("/pre_tokenizer", json!({"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated", "invert": false}), "the file"),
            ("/decoder", json!({"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": true}), "CTC"),
            ("/decoder", json!({"type": "Strip", "content": " ", "start": 0, "stop": 1}), "Strip at the end"),
            ("/decoder", json!({"type": "Imaginary"}), "the file"),
            (
                "/post_processor",
                json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<x>", "type_id": 0}}], "pair": [], "special_tokens": {}}),
                "the token \"<x>\"",
            ),
            (
                "/post_processor",
                json!({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "B", "type_id": 0}}], "pair": [], "special_tokens": {}}),
                "post_processor.single",
            ),
            (
                "/post_processor",
                json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}], "pair": [],
                       "special_tokens": {"<s>": {"id": "<s>", "ids": [99], "tokens": ["<s>"]}}}),
                "ids below 4",
            ),
        ];
        for (pointer, value, names) in cases {
            let message = error(pointer, value.clone());
            assert!(message.starts_with("tokenizer.json: ") && message.contains(names), "{pointer} = {value}: {message}");
        }
    }

    #[test]
    fn a_file_that_breaks_off_anywhere_is_an_error() {
        // The library panics where the end falls inside the decoder.
        let whole = whole().to_string();
        for end in 0..whole.len() {
            assert!(Tokenizer::from_bytes(&whole.as_bytes()[..end], None).is_err(), "{end}");
        }
    }

    #[test]
    fn a_file_nested_too_deeply_is_an_error() {
        for key in ["decoder", "normalizer", "truncation"] {
            let deep = format!("{}{}{}", r#"{"type":"Sequence","decoders":["#.repeat(10_000), "null", "]}".repeat(10_000));
            let file = whole().to_string().replacen('{', &format!("{{\"{key}\":{deep},"), 1);
            assert_eq!(Tokenizer::from_bytes(file.as_bytes(), None).map(|_| ()).unwrap_err().code(), "BAD_TOKENIZER");
        }
    }

    #[test]
    fn a_file_of_another_kind_is_named() {
        let page = Tokenizer::from_bytes(b"<!DOCTYPE html><title>404</title>", None).map(|_| ()).unwrap_err();
        assert_eq!(page.code(), "NOT_A_MODEL_FILE");
        let page = Tokenizer::from_bytes(whole().to_string().as_bytes(), Some(b"<!DOCTYPE html>")).map(|_| ()).unwrap_err();
        assert_eq!(page.code(), "NOT_A_MODEL_FILE");
    }
}
