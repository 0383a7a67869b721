//! Checks `tokenizer.json` before the `tokenizers` library reads it. `tests/hostile` has a file for each
//! check.
//!
//! The file comes from a stranger. The library (0.23.2) panics on some files, and in wasm a panic ends the
//! engine:
//!
//! - JSON that ends early or nests too deeply inside a decoder;
//! - a character map that is not base64;
//! - merges longer than every token;
//! - post-processors with tokens that do not exist;
//! - pieces of length 0;
//! - added tokens that overlap in the spaces around them.
//!
//! On other files it takes unbounded time: words of any length, pieces that all begin alike. So everything
//! but the vocabulary and the merges is read here as plain JSON, and of these two only sums are kept.
//!
//! Source: tokenizers issues 2094 and 2198, pull requests 2151 and 2153, and reading the library.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{bad, stages};
use crate::error::Result;
use crate::json::place_and_fact;
use crate::sniff::{Expected, sniff};

/// No vocabulary is near this size. A larger id is a broken file, and a table for it would take too much
/// memory.
const IDS_MAX: u32 = 1 << 24;

/// Most tokenizers add some hundred tokens, those for speech some ten thousand.
const ADDED_MAX: usize = 1 << 18;

/// Bytes of an added token. A special token that users type is split recursively, as deep as it is long.
const ADDED_BYTES_MAX: usize = 256;

/// Bytes of a piece. The library's search takes time with the square of it for each character. SentencePiece
/// makes pieces of at most 16 characters.
const PIECE_BYTES_MAX: usize = 256;

/// Characters of a word that the library looks up in parts. The time grows with the cube of it. Published
/// tokenizers have 100.
const WORD_MAX: u64 = 1000;

/// What the check found.
pub(super) struct Checked {
    /// The largest id + 1.
    pub vocab: usize,
    /// The number of entries of the vocabulary, duplicates included.
    pub tokens: usize,
    /// The text and id of each added token.
    pub added: Vec<(String, u32)>,
    /// The pre-tokenizer, which the library does not read (`split`).
    pub pre_tokenizer: Value,
}

/// The file as an object. A derived `Deserialize` would also accept a list.
struct Object(File);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object;

            fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Object, M::Error> {
                File::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
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
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
}

#[derive(Deserialize)]
struct Model {
    r#type: Option<String>,
    dropout: Option<f64>,
    continuing_subword_prefix: Option<String>,
    unk_id: Option<u64>,
    max_input_chars_per_word: Option<u64>,
    vocab: Vocab,
    #[serde(default)]
    merges: Merges,
}

/// Checks the file.
pub(super) fn check(json: &[u8]) -> Result<Checked> {
    sniff("tokenizer.json", json, Expected::Json)?;
    let file: Object = serde_json::from_slice(json).map_err(|error| {
        let (at, fact) = place_and_fact(&error);
        bad(at, "a tokenizer as JSON", fact)
    })?;
    let Object(file) = file;
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
    if model.max_input_chars_per_word.is_some_and(|most| most > WORD_MAX) {
        let got = model.max_input_chars_per_word.unwrap_or_default();
        return Err(bad("model.max_input_chars_per_word", format!("at most {WORD_MAX}"), got));
    }
    if let Some(kind) = model.r#type.as_deref().filter(|kind| !MODELS.contains(kind)) {
        return Err(bad("model.type", format!("one of {}", MODELS.join(", ")), format!("{kind:?}")));
    }
    let vocab = added(added_tokens)?.max(model.vocab.end);
    if vocab == 0 {
        return Err(bad("model.vocab", "tokens", "none"));
    }
    stages::check(&file.normalizer, &file.pre_tokenizer, &file.post_processor, &file.decoder)?;
    let _read_for_their_syntax = (&file.truncation, &file.padding);
    let tokens = model.vocab.tokens;
    let added = file.added_tokens.into_iter().map(|token| (token.content, token.id)).collect();
    Ok(Checked { vocab: vocab as usize, tokens, added, pre_tokenizer: file.pre_tokenizer })
}

/// Checks the added tokens. Returns the largest id + 1.
fn added(tokens: &[Added]) -> Result<u32> {
    if tokens.len() > ADDED_MAX {
        return Err(bad("added_tokens", format!("at most {ADDED_MAX}"), tokens.len()));
    }
    let mut end = 0;
    for token in tokens {
        if token.content.is_empty() || token.content.len() > ADDED_BYTES_MAX {
            return Err(bad("added_tokens", format!("texts of 1 to {ADDED_BYTES_MAX} bytes"), format!("one of {}", token.content.len())));
        }
        if token.id >= IDS_MAX {
            return Err(bad("added_tokens", format!("ids below {IDS_MAX}"), token.id));
        }
        end = end.max(token.id + 1);
    }
    // A token with `rstrip` takes the spaces after it. A token that begins with spaces and has `lstrip`
    // would then end before it begins.
    let takes_before = tokens.iter().find(|token| token.lstrip && token.content.starts_with(char::is_whitespace));
    if let (Some(before), true) = (takes_before, tokens.iter().any(|token| token.rstrip)) {
        let got = format!("{:?} beside one that takes the spaces after it", before.content);
        return Err(bad("added_tokens", "none with `lstrip` that begins with a space", got));
    }
    Ok(end)
}

/// The types of models that the library has.
const MODELS: &[&str] = &["BPE", "Unigram", "WordLevel", "WordPiece"];

/// The sums of a vocabulary.
#[derive(Default)]
struct Vocab {
    /// The largest id + 1.
    end: u32,
    tokens: usize,
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
            vocab.tokens += 1;
            vocab.longest = vocab.longest.max(token.bytes);
        }
        Ok(vocab)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Vocab, S::Error> {
        let mut vocab = Vocab::default();
        while let Some((piece, _)) = list.next_element::<(Text, f64)>()? {
            if !(1..=PIECE_BYTES_MAX).contains(&piece.bytes) {
                return Err(S::Error::custom(format!("a piece of {} bytes, not of 1 to {PIECE_BYTES_MAX}", piece.bytes)));
            }
            if vocab.end >= IDS_MAX {
                return Err(S::Error::custom(format!("more than {IDS_MAX} pieces")));
            }
            vocab.end += 1;
            vocab.tokens += 1;
            vocab.longest = vocab.longest.max(piece.bytes);
        }
        Ok(vocab)
    }
}

/// The sums of a list of merges.
#[derive(Default)]
struct Merges {
    /// Bytes of the longest token that a merge makes.
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

/// `["a", "b"]`, or in older files `"a b"`.
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

/// A string, of which only the length is kept.
struct Text {
    bytes: usize,
    /// Whether this is the first line of a merges file, which is not a merge.
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
    fn a_file_that_breaks_off_anywhere_is_an_error() {
        // The library panics where the end falls inside the decoder.
        let whole = whole().to_string();
        for end in 0..whole.len() {
            assert!(Tokenizer::from_bytes(&whole.as_bytes()[..end], None).is_err(), "{end}");
        }
    }
}
