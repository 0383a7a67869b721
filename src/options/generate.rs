//! The options of a generation: one row each.
//!
//! A new option is a row here and the line of the sampler or session that reads it.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

#[cfg(not(target_family = "wasm"))]
use super::table::{Help, around, help};
use super::table::{Kind, Range, Row, Text, Type, bad, describe, each, options, row};
use super::values::{SequenceBias, id, list};
use crate::error::{Error, Result};
use crate::text::{Now, TemplateKwargs};

/// No upper bound.
const ANY: u64 = u64::MAX;

/// The most stop tokens of one generation.
const STOP_TOKENS_MAX: usize = 64;

/// The most token ids that one rule lists. Published lists of unwanted words have some thousands.
const IDS_MAX: usize = 65_536;

const IDS: &str = "a token id or a list of at most 65536 (an empty list is off)";

/// The largest number of tokens that the routes of OpenAI's API take.
#[cfg(not(target_family = "wasm"))]
const OPENAI_TOKENS_MAX: f64 = 2_147_483_647.0;

/// Makes [`Options`] and [`Settings`] from one table. The rows of `sampling` and `rules` have a
/// default, which a model may change. The rows of `run` have none.
macro_rules! generate_options {
    (
        sampling { $($(#[doc = $a:literal])+ $sampling:ident: $S:ty = $default:expr => $s_row:expr, $s_help:expr;)* }
        run { $($(#[doc = $b:literal])+ $run:ident: $R:ty => $r_row:expr, $r_help:expr;)* }
        rules { $($(#[doc = $c:literal])+ $rule:ident: $U:ty = $off:expr => $u_row:expr, $u_help:expr;)* }
    ) => {
        options! {
            /// What a caller asks of one generation. `None` takes the model's default, or else that of
            /// the row.
            #[derive(Debug, Clone, Default, PartialEq)]
            pub struct Options;
            $($(#[doc = $a])+ $sampling: Option<$S> = $default => $s_row, $s_help;)*
            $($(#[doc = $b])+ $run: $R => $r_row, $r_help;)*
            $($(#[doc = $c])+ $rule: Option<$U> = $off => $u_row, $u_help;)*
            others {
                /// The time that chat templates may print. The engine has no clock. Without a time, a
                /// template prints its own default.
                now: Option<Now>,
            }
        }

        /// Options with every default filled in: what the sampler works with.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Settings {
            $($(#[doc = $a])+ pub $sampling: $S,)*
            $($(#[doc = $b])+ pub $run: $R,)*
            $($(#[doc = $c])+ pub $rule: $U,)*
        }

        impl Settings {
            /// Those that a model's file may set, by their names in JavaScript, its rules left out.
            pub fn defaults(&self) -> Map<String, Value> {
                let values = [$(self.$sampling.json()),*];
                let rows = Options::ROWS.iter().zip(values).filter(|(row, _)| row.file.is_some());
                let mut defaults = Map::new();
                defaults.extend(rows.map(|(row, value)| (row.name(), value)));
                defaults
            }
        }

        impl Options {
            /// These options; where one is `None`, that of `model`.
            pub(crate) fn or(&self, model: &Options) -> Options {
                Options {
                    $($sampling: self.$sampling.clone().or_else(|| model.$sampling.clone()),)*
                    $($rule: self.$rule.clone().or_else(|| model.$rule.clone()),)*
                    $($run: self.$run.clone(),)*
                    now: self.now,
                }
            }

            /// Shows the part of this row's value that is out of range.
            pub(crate) fn outside(&self, row: &Row) -> Option<String> {
                match row.field {
                    $(stringify!($sampling) => self.$sampling.outside(&row.range),)*
                    $(stringify!($run) => self.$run.outside(&row.range),)*
                    $(stringify!($rule) => self.$rule.outside(&row.range),)*
                    _ => None,
                }
            }

            /// Calls `each` with every token id in the value of this row.
            fn each_id(&self, row: &Row, each: &mut dyn FnMut(u32)) {
                match row.field {
                    $(stringify!($sampling) => self.$sampling.each_id(each),)*
                    $(stringify!($run) => self.$run.each_id(each),)*
                    $(stringify!($rule) => self.$rule.each_id(each),)*
                    _ => {}
                }
            }

            /// Fills in our defaults.
            pub(crate) fn settled(self) -> Settings {
                Settings {
                    $($sampling: self.$sampling.unwrap_or($default),)*
                    $($run: self.$run,)*
                    $($rule: self.$rule.unwrap_or($off),)*
                }
            }
        }
    };
}

generate_options! {
    sampling {
        /// The most tokens to generate.
        max_tokens: usize = 512 =>
            row(&["max_tokens", "max_new_tokens", "max_completion_tokens"]).whole(1, ANY).file("max_new_tokens"),
            help().flag("max-tokens", "N").openai(1.0, OPENAI_TOKENS_MAX).default(", or `minTokens` if that is more");
        /// The least tokens to generate before the text may end.
        min_tokens: usize = 0 =>
            row(&["min_tokens", "min_new_tokens"]).whole(0, ANY).note(" to maxTokens (0 is off)").file("min_new_tokens"),
            help().flag("min-tokens", "N").openai(0.0, OPENAI_TOKENS_MAX);
        /// Divides the logits: likely tokens gain below 1, unlikely ones above 1.
        temperature: f32 = 0.7 =>
            row(&["temperature"]).from(0.0).note(" (0 is greedy)").file("temperature"),
            help().flag("temperature", "T").openai(0.0, 2.0).default("; 1 or 0 if the model's file says `do_sample: true` or `false`");
        /// Keeps only the k likeliest tokens.
        top_k: usize = 0 =>
            row(&["top_k"]).whole(0, ANY).note(" (0 is off)").file("top_k"),
            help().flag("top-k", "K").openai(0.0, OPENAI_TOKENS_MAX).default("; 50 with `do_sample: true`");
        /// Keeps the fewest of the likeliest tokens that together have this probability.
        top_p: f32 = 0.95 =>
            row(&["top_p"]).above(0.0).to(1.0).file("top_p"),
            help().flag("top-p", "P").openai(0.0, 1.0).default("; 1, which is off, with `do_sample: true`");
        /// Keeps only tokens at least this likely, relative to the likeliest.
        min_p: f32 = 0.0 =>
            row(&["min_p"]).from(0.0).to(1.0).file("min_p"),
            help().flag("min-p", "P").openai(0.0, 1.0).default(": off");
        /// Keeps the tokens whose surprise is nearest to the expected one and that together have this
        /// probability.
        typical_p: f32 = 1.0 =>
            row(&["typical_p"]).above(0.0).to(1.0).file("typical_p"),
            help().flag("typical-p", "P").openai(0.0, 1.0).default(": off");
        /// Makes tokens that are already in the text less likely: divides their logits, or multiplies
        /// them if they are negative.
        repetition_penalty: f32 = 1.0 =>
            row(&["repetition_penalty"]).above(0.0).note(" (1 is off)").file("repetition_penalty"),
            help().flag("repetition-penalty", "X").openai(0.01, 100.0);
        /// Subtracted from the logit of a token for each time it was generated.
        frequency_penalty: f32 = 0.0 =>
            row(&["frequency_penalty"]).from(-2.0).to(2.0).note(" (0 is off)"),
            help().flag("frequency-penalty", "X").openai(-2.0, 2.0);
        /// Subtracted from the logit of each token that was generated, however often.
        presence_penalty: f32 = 0.0 =>
            row(&["presence_penalty"]).from(-2.0).to(2.0).note(" (0 is off)"),
            help().flag("presence-penalty", "X").openai(-2.0, 2.0);
        /// Added to the logits of these tokens.
        logit_bias: Vec<(u32, f32)> = Vec::new() =>
            row(&["logit_bias"]).from(-100.0).to(100.0).len(1024)
                .text("an object of at most 1024 token ids, each with a number from -100 to 100"),
            help().flag("logit-bias", "ID=BIAS").openai(-100.0, 100.0);
    }
    run {
        /// The text ends before any of these texts or token ids, besides those of the model.
        stop: Vec<String> =>
            row(&["stop", "stop_strings"]).len(16)
                .text("a text or a token id or a list of them, at most 16 texts, none of them empty, and 64 ids"),
            help().flag("stop", "TEXT").openai(f64::NEG_INFINITY, f64::INFINITY).typescript("string | number | (string | number)[]").default("none; the `stop_strings` of the model's file end a text in any case");
        /// The text ends before any of these token ids, besides those of `stop`.
        stop_tokens: Vec<u32> =>
            row(&["stop_token_ids"]).text("a token id or a list of at most 64"), // `stop` has the bound of both
            help().flag("stop-token", "ID").default("none");
        /// The seed of the random choices. The same seed gives the same text.
        seed: Option<u64> =>
            row(&["seed"]).whole(0, (1 << 53) - 1).text("a whole number from 0 to 2^53 - 1"),
            help().flag("seed", "N").openai(0.0, 9_007_199_254_740_991.0).default("drawn for each run");
        /// Tells the log-probability of each token, and of this many of the likeliest in its place.
        logprobs: Option<usize> =>
            row(&["logprobs"]).whole(0, 20).note(", or true for 0"),
            help().flag("logprobs", "K").typescript("boolean | number").default("off");
        /// How many completions to generate for the prompt. The first one is a chat's answer.
        n: Option<usize> =>
            row(&["n"]).whole(1, 16),
            help().flag("n", "N").openai(1.0, 16.0).default("1");
        /// What to do when the context is full: refuse, drop the oldest turns, or forget the middle of
        /// the text.
        overflow: Overflow =>
            row(&["overflow"]).text("\"error\", \"drop-oldest\" or \"shift\""),
            help().flag("overflow", "POLICY").default("`'error'`");
        /// In a chat, what the model's chat template reads besides the messages. The session keeps it.
        chat_template_kwargs: Option<TemplateKwargs> =>
            row(&["chat_template_kwargs"]).text("an object of values for the names that the chat template reads"),
            help().default("those of the session");
    }
    rules {
        /// No sequence of this many tokens occurs twice, the prompt included.
        no_repeat_ngram_size: usize = 0 =>
            row(&["no_repeat_ngram_size"]).whole(0, ANY).note(" (0 is off)").file("no_repeat_ngram_size"),
            help();
        /// No sequence of this many tokens of the prompt is repeated.
        encoder_no_repeat_ngram_size: usize = 0 =>
            row(&["encoder_no_repeat_ngram_size"]).whole(0, ANY).note(" (0 is off)").file("encoder_no_repeat_ngram_size"),
            help();
        /// Makes tokens of the prompt more likely (above 1) or less likely (below 1).
        encoder_repetition_penalty: f32 = 1.0 =>
            row(&["encoder_repetition_penalty"]).above(0.0).note(" (1 is off)").file("encoder_repetition_penalty"),
            help();
        /// Sequences of token ids that are not generated. A token that ends the text may be.
        bad_words_ids: Vec<Vec<u32>> = Vec::new() =>
            row(&["bad_words_ids"]).len(IDS_MAX).file("bad_words_ids")
                .text("a list of lists of token ids, none of them empty, at most 65536 ids in all (an empty list is off)"),
            help();
        /// Added to the logit of the last token of a sequence if the text ends with the tokens before
        /// it.
        sequence_bias: Vec<SequenceBias> = Vec::new() =>
            row(&["sequence_bias"]).len(IDS_MAX).file("sequence_bias")
                .text("a list of pairs [list of token ids, number], at most 65536 ids in all (an empty list is off)"),
            help();
        /// Token ids that are never generated.
        suppress_tokens: Vec<u32> = Vec::new() =>
            row(&["suppress_tokens"]).len(IDS_MAX).file("suppress_tokens").text(IDS),
            help();
        /// Token ids that are not generated first.
        begin_suppress_tokens: Vec<u32> = Vec::new() =>
            row(&["begin_suppress_tokens"]).len(IDS_MAX).file("begin_suppress_tokens").text(IDS),
            help();
        /// The token after a prompt of exactly one token is one of these.
        forced_bos_token_id: Vec<u32> = Vec::new() =>
            row(&["forced_bos_token_id"]).len(IDS_MAX).file("forced_bos_token_id").text(IDS),
            help();
        /// The last token of a text that reaches `maxTokens` is one of these.
        forced_eos_token_id: Vec<u32> = Vec::new() =>
            row(&["forced_eos_token_id"]).len(IDS_MAX).file("forced_eos_token_id").text(IDS),
            help();
        /// From the first number of generated tokens on, the factor by which tokens that end the text
        /// gain with each token.
        exponential_decay_length_penalty: (usize, f32) = (0, 1.0) =>
            row(&["exponential_decay_length_penalty"]).from(0.0).file("exponential_decay_length_penalty")
                .text("a pair [whole number from 0, number from 0] (an empty list is off)"),
            help();
        /// Keeps the likeliest tokens that together have this share of the entropy.
        top_h: f32 = 0.0 =>
            row(&["top_h"]).from(0.0).to(1.0).note(" (0 is off)").file("top_h"),
            help();
        /// Keeps the tokens that are at least this likely.
        epsilon_cutoff: f32 = 0.0 =>
            row(&["epsilon_cutoff"]).from(0.0).below(1.0).note(" (0 is off)").file("epsilon_cutoff"),
            help();
        /// As `epsilonCutoff`, with a lower bound where the model is unsure.
        eta_cutoff: f32 = 0.0 =>
            row(&["eta_cutoff"]).from(0.0).below(1.0).note(" (0 is off)").file("eta_cutoff"),
            help();
    }
}

/// The options of a generation that the engine does not read.
#[cfg(not(target_family = "wasm"))]
pub const AROUND: &[Row] = &[around(
    &["signal"],
    "Aborts the run: while it waits, in its prompt and in its text.",
    "an AbortSignal",
    "AbortSignal",
    help().default("none"),
)];

impl Default for Settings {
    fn default() -> Settings {
        Options::default().settled()
    }
}

impl Options {
    /// Reads options from a JSON object. `null` is the same as absent.
    ///
    /// Errors: `BAD_OPTION` for an unknown name, for two spellings of one name, and for a value out of
    /// range.
    pub fn from_json(value: &Value) -> Result<Options> {
        let mut options = Options::default();
        let mut seen: Vec<(&Row, &str)> = Vec::new();
        each(Options::ROWS, value, |row, spelling, value| {
            seen.push((row, spelling));
            options.take(row, spelling, value)?;
            options.check().map_err(|error| respelled(error, &seen))
        })?;
        Ok(options)
    }

    /// Takes the value of an option. Three options have more than one way to say the same.
    fn take(&mut self, row: &Row, spelling: &str, value: &Value) -> Result<()> {
        let unfit = || bad(spelling, &row.range.expected(), describe(value));
        match (row.field, value) {
            ("logprobs", Value::Bool(wanted)) => self.logprobs = wanted.then_some(0),
            ("stop", _) => {
                for item in list(value) {
                    match item.as_str() {
                        Some(text) => self.stop.push(text.into()),
                        None => self.stop_tokens.push(id(item).ok_or_else(unfit)?),
                    }
                }
            }
            ("stop_tokens", _) => {
                for item in list(value) {
                    self.stop_tokens.push(id(item).ok_or_else(unfit)?);
                }
            }
            _ if !self.set(row, spelling, value)? => return Err(unfit()),
            _ => {}
        }
        Ok(())
    }

    /// Checks every value against its range.
    ///
    /// Errors: `BAD_OPTION`.
    pub fn check(&self) -> Result<()> {
        for row in Options::ROWS {
            if let Some(got) = self.outside(row) {
                return Err(bad(&row.name(), &row.range.expected(), got));
            }
        }
        let min_tokens = self.min_tokens.unwrap_or(0);
        let stops = self.stop_tokens.len();
        for (option, good, got) in [
            ("min_tokens", self.max_tokens.is_none_or(|max| min_tokens <= max), min_tokens.to_string()),
            ("stop", stops <= STOP_TOKENS_MAX, format!("{stops} token ids")),
        ] {
            if let Some(row) = Options::ROWS.iter().find(|row| row.field == option && !good) {
                return Err(bad(&row.name(), &row.range.expected(), got));
            }
        }
        Ok(())
    }

    /// Checks the token ids among the options against a vocabulary of this size.
    ///
    /// Errors: `BAD_OPTION`.
    pub(crate) fn check_tokens(&self, vocab: usize) -> Result<()> {
        for row in Options::ROWS {
            if let Some(id) = self.unknown_id(row, vocab) {
                let option = if row.field == "stop_tokens" { "stop".into() } else { row.name() };
                return Err(bad(&option, &format!("token ids below {vocab}, the size of the model's vocabulary"), id.to_string()));
            }
        }
        Ok(())
    }

    /// The first token id in the value of this row that a vocabulary of this size does not have.
    pub(crate) fn unknown_id(&self, row: &Row, vocab: usize) -> Option<u32> {
        let mut unknown = None;
        self.each_id(row, &mut |id| unknown = unknown.or((id as usize >= vocab).then_some(id)));
        unknown
    }
}

/// The error, with the option named as the caller spelled it.
fn respelled(error: Error, seen: &[(&Row, &str)]) -> Error {
    match error {
        Error::BadOption { option, expected, got } => {
            let spelling = seen.iter().find(|(row, _)| row.name() == option).map_or(option.clone(), |(_, spelling)| (*spelling).into());
            Error::BadOption { option: spelling, expected, got }
        }
        other => other,
    }
}

/// What happens when a text does not fit into the model's context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// `CONTEXT_OVERFLOW`, and nothing has changed.
    #[default]
    Error,
    /// The oldest turns of a chat are dropped, the system message never.
    DropOldest,
    /// The text runs on: its first tokens and its latest stay, what lies between is forgotten.
    Shift,
}

impl Overflow {
    /// Its word in options.
    pub fn as_str(self) -> &'static str {
        match self {
            Overflow::Error => "error",
            Overflow::DropOldest => "drop-oldest",
            Overflow::Shift => "shift",
        }
    }
}

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Overflow {
    type Err = Error;

    fn from_str(text: &str) -> Result<Overflow> {
        let all = [Overflow::Error, Overflow::DropOldest, Overflow::Shift];
        let unknown = || bad("overflow", "\"error\", \"drop-oldest\" or \"shift\"", format!("{text:?}"));
        all.into_iter().find(|overflow| overflow.as_str() == text).ok_or_else(unknown)
    }
}

impl Kind for Overflow {
    const TYPE: Type = Type { typescript: "'error' | 'drop-oldest' | 'shift'", text: Text::Text, many: false };

    fn read(_: &str, value: &Value, _: &Range) -> Result<Option<Overflow>> {
        Ok(value.as_str().and_then(|word| word.parse().ok()))
    }
}

impl Kind for TemplateKwargs {
    const TYPE: Type = Type { typescript: "Record<string, unknown>", text: Text::Text, many: true };

    fn read(option: &str, value: &Value, _: &Range) -> Result<Option<TemplateKwargs>> {
        TemplateKwargs::from_json(option, value).map(Some)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
