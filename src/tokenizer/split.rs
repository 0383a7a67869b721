//! Pre-tokenization: splits a text into the stretches that the vocabulary spells one by one.
//!
//! The stages are the library's, except `Split` and `ByteLevel`. These two search patterns, and do so here
//! in bounded time (`pattern`).

use serde::Deserialize;
use serde_json::Value;
use tokenizers::pattern::Invert;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::split::SplitPattern;
use tokenizers::{PreTokenizedString, PreTokenizer, SplitDelimiterBehavior};

use super::file::{read, stages};
use super::pattern::{Bounded, StepLimit};
use crate::error::Result;

/// The pattern of GPT-2, which is built into the library's `ByteLevel`.
///
/// Source: tokenizers 0.23.2, `pre_tokenizers/byte_level.rs`.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// The stages of a tokenizer, in order.
pub(super) struct Splitter(Vec<SplitStage>);

enum SplitStage {
    Library(PreTokenizerWrapper),
    Prefix,
    Pattern { pattern: Box<Bounded>, behavior: SplitDelimiterBehavior, invert: bool },
}

/// `Split` of the file. The library would compile its pattern by other rules.
#[derive(Deserialize)]
struct Split {
    pattern: SplitPattern,
    behavior: SplitDelimiterBehavior,
    invert: bool,
}

impl Splitter {
    /// The stages of a pre-tokenizer.
    ///
    /// Errors: `BAD_TOKENIZER` for a pattern that is invalid or too large, or for a stage that the library
    /// cannot read.
    pub(super) fn new(pre_tokenizer: &Value) -> Result<Splitter> {
        let mut splitter = Splitter(Vec::new());
        for stage in stages(pre_tokenizer, "pretokenizers") {
            splitter.add(stage)?;
        }
        Ok(splitter)
    }

    fn add(&mut self, stage: &Value) -> Result<()> {
        match stage["type"].as_str() {
            Some("Split") => {
                let Split { pattern, behavior, invert } = read("pre_tokenizer", stage)?;
                let pattern = match &pattern {
                    SplitPattern::Regex(pattern) => Bounded::new("pre_tokenizer", pattern)?,
                    SplitPattern::String(text) => Bounded::literal("pre_tokenizer", text)?,
                };
                self.0.push(SplitStage::Pattern { pattern: Box::new(pattern), behavior, invert });
            }
            Some("ByteLevel") => {
                let bytes: ByteLevel = read("pre_tokenizer", stage)?;
                if bytes.add_prefix_space {
                    self.0.push(SplitStage::Prefix);
                }
                if bytes.use_regex {
                    let pattern = Bounded::new("pre_tokenizer", GPT2)?;
                    self.0.push(SplitStage::Pattern {
                        pattern: Box::new(pattern),
                        behavior: SplitDelimiterBehavior::Isolated,
                        invert: false,
                    });
                }
                self.0.push(SplitStage::Library(ByteLevel::new(false, bytes.trim_offsets, false).into()));
            }
            _ => self.0.push(SplitStage::Library(read("pre_tokenizer", stage)?)),
        }
        Ok(())
    }

    /// Splits a text.
    ///
    /// Errors: [`crate::Error::BadTokenizer`] in a box, for a pattern that takes too many steps; and those
    /// of the library.
    pub(super) fn split(&self, text: &mut PreTokenizedString, limit: &StepLimit) -> tokenizers::Result<()> {
        for stage in &self.0 {
            match stage {
                SplitStage::Library(stage) => stage.pre_tokenize(text)?,
                SplitStage::Prefix => text.split(|_, mut stretch| {
                    if !stretch.get().starts_with(' ') {
                        stretch.prepend(" ");
                    }
                    Ok([stretch])
                })?,
                SplitStage::Pattern { pattern, behavior, invert } => {
                    let search = pattern.within(limit);
                    text.split(
                        |_, stretch| {
                            if *invert { stretch.split(Invert(&search), *behavior) } else { stretch.split(&search, *behavior) }
                        },
                    )?;
                }
            }
        }
        Ok(())
    }
}
