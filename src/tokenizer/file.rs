//! `tokenizer.json` as the library reads it, except for the stages that search patterns.
//!
//! The library compiles the patterns of a file by the rules of its engine. They differ from those of the
//! reference (`ruby`), and some patterns do not compile. So the pre-tokenizer is ignored here and read by
//! `split`, and the patterns of other stages are translated.

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, IgnoredAny};
use serde_json::Value;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::{
    Decoder, DecoderWrapper, ModelWrapper, NormalizedString, Normalizer, PostProcessorWrapper, PreTokenizedString, PreTokenizer,
    TokenizerImpl,
};

use super::pattern::{Bounded, StepLimit};
use super::{bad, ruby};
use crate::error::Result;

/// The library's tokenizer, with normalizer, pre-tokenizer and decoder of our types.
pub(super) type Inner = TokenizerImpl<ModelWrapper, Normalizing, Elsewhere, PostProcessorWrapper, Translated>;

/// Reads a stage of the file into a type of the library.
pub(super) fn read<T: DeserializeOwned>(place: &str, stage: &Value) -> Result<T> {
    let read = serde_json::from_value(stage.clone());
    read.map_err(|error| bad(place, "a stage that the tokenizers library can read", format!("\u{201c}{error}\u{201d}")))
}

/// The stages in their order. A `Sequence` holds its stages in a field with the name `list`.
pub(super) fn stages<'a>(stage: &'a Value, list: &str) -> Vec<&'a Value> {
    match stage.get(list).and_then(Value::as_array) {
        Some(inner) => inner.iter().flat_map(|stage| stages(stage, list)).collect(),
        None if stage.is_null() => Vec::new(),
        None => vec![stage],
    }
}

/// A normalizer: stages of the library, and replacements of patterns in bounded time.
pub(super) struct Normalizing(Vec<NormalizerStage>);

enum NormalizerStage {
    Library(NormalizerWrapper),
    Replace { pattern: Box<Bounded>, content: String },
}

#[derive(Deserialize)]
struct Replace {
    pattern: ReplacePattern,
    content: String,
}

impl Normalizing {
    fn new(normalizer: &Value) -> Result<Normalizing> {
        let stage = |stage: &&Value| match stage["type"].as_str() {
            Some("Replace") => {
                let Replace { pattern, content } = read("normalizer", stage)?;
                let pattern = match &pattern {
                    ReplacePattern::Regex(pattern) => Bounded::new("normalizer", pattern)?,
                    ReplacePattern::String(text) => Bounded::literal("normalizer", text)?,
                };
                Ok(NormalizerStage::Replace { pattern: Box::new(pattern), content })
            }
            _ => read("normalizer", stage).map(NormalizerStage::Library),
        };
        stages(normalizer, "normalizers").iter().map(stage).collect::<Result<_>>().map(Normalizing)
    }
}

impl<'de> Deserialize<'de> for Normalizing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Normalizing::new(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Normalizer for Normalizing {
    fn normalize(&self, text: &mut NormalizedString) -> tokenizers::Result<()> {
        self.0.iter().try_for_each(|stage| match stage {
            NormalizerStage::Library(stage) => stage.normalize(text),
            NormalizerStage::Replace { pattern, content } => {
                let limit = StepLimit::of(text.get());
                text.replace(&pattern.within(&limit), content)
            }
        })
    }
}

/// A decoder whose patterns are translated for the library's engine.
pub(super) struct Translated(pub DecoderWrapper);

impl<'de> Deserialize<'de> for Translated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut decoder = Value::deserialize(deserializer)?;
        translate(&mut decoder).map_err(D::Error::custom)?;
        serde_json::from_value(decoder).map(Translated).map_err(D::Error::custom)
    }
}

fn translate(stage: &mut Value) -> Result<(), String> {
    if let Some(Value::String(pattern)) = stage.get_mut("pattern").and_then(|pattern| pattern.get_mut("Regex")) {
        *pattern = ruby::translate(pattern)?;
    }
    stage.get_mut("decoders").and_then(Value::as_array_mut).into_iter().flatten().try_for_each(translate)
}

impl Decoder for Translated {
    fn decode_chain(&self, tokens: Vec<String>) -> tokenizers::Result<Vec<String>> {
        self.0.decode_chain(tokens)
    }
}

/// In place of the pre-tokenizer, which `split` reads and runs.
pub(super) struct Elsewhere;

impl<'de> Deserialize<'de> for Elsewhere {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Elsewhere)
    }
}

impl PreTokenizer for Elsewhere {
    fn pre_tokenize(&self, _: &mut PreTokenizedString) -> tokenizers::Result<()> {
        Ok(())
    }
}
