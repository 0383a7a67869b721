//! Pre-tokenization: a text cut into the stretches that the vocabulary spells one by one.
//!
//! The library's own stages, but for the two that search patterns (`Split` and `ByteLevel`): those search here, in bounded time (`pattern`).

use tokenizers::pattern::Invert;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::split::SplitPattern;
use tokenizers::{PreTokenizedString, PreTokenizer, SplitDelimiterBehavior};

use super::pattern::{Bounded, Budget};
use crate::Result;

/// The pattern of GPT-2, which the library has built in for `ByteLevel`.
///
/// Source: tokenizers 0.23.2, `pre_tokenizers/byte_level.rs`.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// The stages of a tokenizer, in order.
pub(super) struct Splitter(Vec<Stage>);

enum Stage {
    Library(PreTokenizerWrapper),
    Prefix,
    Pattern { pattern: Box<Bounded>, behavior: SplitDelimiterBehavior, invert: bool },
}

impl Splitter {
    /// Takes a pre-tokenizer apart.
    ///
    /// Errors: `BAD_TOKENIZER` for a pattern that is broken or too large.
    pub(super) fn new(pre_tokenizer: Option<&PreTokenizerWrapper>) -> Result<Splitter> {
        let mut splitter = Splitter(Vec::new());
        pre_tokenizer.map_or(Ok(()), |stage| splitter.add(stage))?;
        Ok(splitter)
    }

    fn add(&mut self, stage: &PreTokenizerWrapper) -> Result<()> {
        match stage {
            PreTokenizerWrapper::Sequence(stages) => return stages.as_ref().iter().try_for_each(|stage| self.add(stage)),
            PreTokenizerWrapper::Split(split) => {
                let pattern = match &split.pattern {
                    SplitPattern::Regex(pattern) => Bounded::new("pre_tokenizer", pattern)?,
                    SplitPattern::String(text) => Bounded::new("pre_tokenizer", &fancy_regex::escape(text))?,
                };
                self.0.push(Stage::Pattern { pattern: Box::new(pattern), behavior: split.behavior, invert: split.invert });
            }
            PreTokenizerWrapper::ByteLevel(bytes) => {
                if bytes.add_prefix_space {
                    self.0.push(Stage::Prefix);
                }
                if bytes.use_regex {
                    let pattern = Bounded::new("pre_tokenizer", GPT2)?;
                    self.0.push(Stage::Pattern { pattern: Box::new(pattern), behavior: SplitDelimiterBehavior::Isolated, invert: false });
                }
                self.0.push(Stage::Library(ByteLevel::new(false, bytes.trim_offsets, false).into()));
            }
            other => self.0.push(Stage::Library(other.clone())),
        }
        Ok(())
    }

    /// Cuts a text.
    ///
    /// Errors: [`crate::Error::BadTokenizer`] in a box, for a pattern that takes too many steps; and those of the library.
    pub(super) fn split(&self, text: &mut PreTokenizedString, budget: &Budget) -> tokenizers::Result<()> {
        for stage in &self.0 {
            match stage {
                Stage::Library(stage) => stage.pre_tokenize(text)?,
                Stage::Prefix => text.split(|_, mut stretch| {
                    if !stretch.get().starts_with(' ') {
                        stretch.prepend(" ");
                    }
                    Ok([stretch])
                })?,
                Stage::Pattern { pattern, behavior, invert } => {
                    let search = pattern.within(budget);
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
