//! The options of a generation: their names, ranges and defaults, in one table.
//!
//! An unknown option and a value out of range are errors that say what is known: nothing is ignored.

mod settings;

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::config::Rules;
use crate::error::{Error, Result};
use crate::text::{Now, TemplateKwargs};

pub use settings::Settings;

/// What a caller asks of one generation; `None` leaves it to the model's `generation_config.json`, then to [`Settings`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// Tokens to generate at most. Range: 1 and up.
    pub max_tokens: Option<usize>,
    /// Tokens to generate before one may end the text. Range: 0 to `max_tokens`; 0 is off.
    pub min_tokens: Option<usize>,
    /// Divides the logits; 0 is greedy. Range: 0 and up.
    pub temperature: Option<f32>,
    /// Only the k likeliest tokens; 0 is all. Range: 0 and up.
    pub top_k: Option<usize>,
    /// Only the smallest set of likeliest tokens that holds this probability. Range: above 0 to 1.
    pub top_p: Option<f32>,
    /// Only tokens at least this likely relative to the likeliest. Range: 0 to 1.
    pub min_p: Option<f32>,
    /// Only the smallest set of tokens of about the expected surprise that holds this probability. Range: above 0 to 1; 1 is off.
    pub typical_p: Option<f32>,
    /// Divides positive and multiplies negative logits of tokens already in the text. Range: above 0; 1 is none.
    pub repetition_penalty: Option<f32>,
    /// Taken from the logit of a generated token, once for each time it was generated. Range: -2 to 2; 0 is none.
    pub frequency_penalty: Option<f32>,
    /// Taken from the logit of every token that was generated, however often. Range: -2 to 2; 0 is none.
    pub presence_penalty: Option<f32>,
    /// Added to the logits of these tokens. Range: -100 to 100 each, at most 1024, ids of the model.
    pub logit_bias: Vec<(u32, f32)>,
    /// Texts that end the generation and are not part of it, besides those of the model. At most 16, none empty.
    pub stop: Vec<String>,
    /// Tokens that end the generation and are not part of it. At most 64, ids of the model.
    pub stop_tokens: Vec<u32>,
    /// Seed of the random choices. The engine has no randomness of its own: without a seed it is 0, and the doors
    /// (wasm, command line) draw one.
    pub seed: Option<u64>,
    /// Rules over tokens and sequences, in the words of transformers.
    pub rules: Rules,
    /// Report how likely each token was, and this many of the likeliest beside it. Range: 0 to 20.
    pub logprobs: Option<usize>,
    /// Continuations of one prompt. Range: 1 to 16.
    pub n: Option<usize>,
    /// What happens where the context is too short.
    pub overflow: Overflow,
    /// Values for what the chat template reads besides the messages; they stay with the session until others are given. `None` leaves those that it has.
    pub chat_template_kwargs: Option<TemplateKwargs>,
    /// The time that chat templates may print. The engine has no clock: without it a template uses its own default.
    pub now: Option<Now>,
}

/// What happens when a text does not fit into the model's context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// `CONTEXT_OVERFLOW`, and nothing has changed.
    #[default]
    Error,
    /// The oldest turns of a chat are left out, the system message never.
    DropOldest,
    /// The text runs on: its beginning and its end stay in view, what lies between is forgotten.
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
        let bad = || Error::BadOption { option: "overflow".into(), expected: OVERFLOW.into(), got: format!("{text:?}") };
        all.into_iter().find(|overflow| overflow.as_str() == text).ok_or_else(bad)
    }
}

/// The most stop strings one generation takes.
const STOP_MAX: usize = 16;

/// The most stop tokens one generation takes.
const STOP_TOKENS_MAX: usize = 64;

/// The most tokens that one generation biases.
const LOGIT_BIAS_MAX: usize = 1024;

/// The largest bias, of either sign: as in OpenAI's API, where it bans a token or makes it the only one.
const BIAS_MAX: f32 = 100.0;

/// The most alternatives that are reported beside a token.
const LOGPROBS_MAX: usize = 20;

/// The most continuations of one prompt.
const N_MAX: usize = 16;

/// The name of each option and the other spellings in use: snake case as in OpenAI's API, Hugging Face's own words.
const NAMES: [(&str, &[&str]); 31] = [
    ("maxTokens", &["max_tokens", "max_new_tokens", "maxNewTokens", "max_completion_tokens", "maxCompletionTokens"]),
    ("minTokens", &["min_tokens", "min_new_tokens", "minNewTokens"]),
    ("temperature", &[]),
    ("topK", &["top_k"]),
    ("topP", &["top_p"]),
    ("minP", &["min_p"]),
    ("typicalP", &["typical_p"]),
    ("repetitionPenalty", &["repetition_penalty"]),
    ("frequencyPenalty", &["frequency_penalty"]),
    ("presencePenalty", &["presence_penalty"]),
    ("logitBias", &["logit_bias"]),
    ("stop", &["stop_strings", "stopStrings"]),
    // vLLM's: ids beside the texts of `stop`, which takes both.
    ("stopTokenIds", &["stop_token_ids"]),
    ("seed", &[]),
    ("logprobs", &[]),
    ("n", &[]),
    ("overflow", &[]),
    ("chatTemplateKwargs", &["chat_template_kwargs"]),
    // Rules of transformers; the second spelling of each is theirs.
    ("noRepeatNgramSize", &["no_repeat_ngram_size"]),
    ("encoderNoRepeatNgramSize", &["encoder_no_repeat_ngram_size"]),
    ("encoderRepetitionPenalty", &["encoder_repetition_penalty"]),
    ("badWordsIds", &["bad_words_ids"]),
    ("sequenceBias", &["sequence_bias"]),
    ("suppressTokens", &["suppress_tokens"]),
    ("beginSuppressTokens", &["begin_suppress_tokens"]),
    ("forcedBosTokenId", &["forced_bos_token_id"]),
    ("forcedEosTokenId", &["forced_eos_token_id"]),
    ("exponentialDecayLengthPenalty", &["exponential_decay_length_penalty"]),
    ("topH", &["top_h"]),
    ("epsilonCutoff", &["epsilon_cutoff"]),
    ("etaCutoff", &["eta_cutoff"]),
];

impl Options {
    /// Reads options from a JSON object, in any of the known spellings; `null` is as good as absent.
    ///
    /// Errors: `BAD_OPTION` for an unknown name, a name given twice in two spellings, or a value out of range.
    pub fn from_json(value: &Value) -> Result<Options> {
        let object = match value {
            Value::Null => return Ok(Options::default()),
            Value::Object(object) => object,
            other => return Err(not_an_object(other)),
        };
        let mut options = Options::default();
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for (spelling, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            let name = canonical(spelling).ok_or_else(|| unknown(spelling))?;
            if seen.iter().any(|(known, _)| *known == name) {
                return Err(bad(spelling, &format!("`{name}` only once, in one spelling"), value));
            }
            seen.push((name, spelling));
            if name == "chatTemplateKwargs" {
                options.chat_template_kwargs = Some(TemplateKwargs::from_json(spelling, value)?);
                continue;
            }
            options.take(name, value).map_err(|expected| bad(spelling, expected, value))?;
            options.check().map_err(|error| respell(error, &seen))?;
        }
        Ok(options)
    }

    /// Takes the value of an option of this name; the error is what was expected.
    fn take(&mut self, name: &str, value: &Value) -> Result<(), &'static str> {
        let count = |expected| whole(value).map(|whole| whole.min(u64::from(u32::MAX)) as usize).ok_or(expected);
        let number = |expected| value.as_f64().map(|number| number as f32).ok_or(expected);
        match name {
            "maxTokens" => self.max_tokens = Some(count(WHOLE_POSITIVE)?),
            "minTokens" => self.min_tokens = Some(count(MIN_TOKENS)?),
            "temperature" => self.temperature = Some(number(TEMPERATURE)?),
            "topK" => self.top_k = Some(count(TOP_K)?),
            "topP" => self.top_p = Some(number(SHARE)?),
            "minP" => self.min_p = Some(number(MIN_P)?),
            "typicalP" => self.typical_p = Some(number(SHARE)?),
            "repetitionPenalty" => self.repetition_penalty = Some(number(PENALTY)?),
            "frequencyPenalty" => self.frequency_penalty = Some(number(PENALTY_ADDED)?),
            "presencePenalty" => self.presence_penalty = Some(number(PENALTY_ADDED)?),
            "logitBias" => self.logit_bias = biases(value).ok_or(LOGIT_BIAS)?,
            "stop" => {
                for item in list(value) {
                    match item.as_str() {
                        Some(text) => self.stop.push(text.into()),
                        None => self.stop_tokens.push(token(item).ok_or(STOP)?),
                    }
                }
            }
            "stopTokenIds" => {
                for item in list(value) {
                    self.stop_tokens.push(token(item).ok_or(STOP_TOKENS)?);
                }
            }
            "seed" => self.seed = Some(whole(value).ok_or(SEED)?),
            "logprobs" => {
                self.logprobs = match value {
                    Value::Bool(wanted) => wanted.then_some(0),
                    _ => Some(count(LOGPROBS)?),
                }
            }
            "n" => self.n = Some(count(N)?),
            "overflow" => self.overflow = value.as_str().and_then(|word| word.parse().ok()).ok_or(OVERFLOW)?,
            rule => {
                let theirs = NAMES.iter().find(|(name, _)| *name == rule).map_or(rule, |(_, spellings)| spellings[0]);
                self.rules.take(theirs, value).unwrap_or_else(|| unreachable!("{rule} stands in NAMES"))?;
            }
        }
        Ok(())
    }

    /// Checks every value against its range.
    ///
    /// Errors: `BAD_OPTION`.
    pub fn check(&self) -> Result<()> {
        let share = |value: Option<f32>| value.is_none_or(|v| v > 0.0 && v <= 1.0);
        let added = |value: Option<f32>| value.is_none_or(|v| (-2.0..=2.0).contains(&v));
        let minimum = self.min_tokens.unwrap_or(0);
        let bias = self.logit_bias.iter().find(|(_, bias)| !(-BIAS_MAX..=BIAS_MAX).contains(bias));
        let checks: [(&str, bool, &str, String); 16] = [
            ("maxTokens", self.max_tokens != Some(0), WHOLE_POSITIVE, show(self.max_tokens)),
            ("minTokens", self.max_tokens.is_none_or(|most| minimum <= most), MIN_TOKENS, minimum.to_string()),
            ("temperature", self.temperature.is_none_or(|v| v >= 0.0 && v.is_finite()), TEMPERATURE, show(self.temperature)),
            ("topP", share(self.top_p), SHARE, show(self.top_p)),
            ("minP", self.min_p.is_none_or(|v| (0.0..=1.0).contains(&v)), MIN_P, show(self.min_p)),
            ("typicalP", share(self.typical_p), SHARE, show(self.typical_p)),
            ("repetitionPenalty", self.repetition_penalty.is_none_or(|v| v > 0.0 && v.is_finite()), PENALTY, show(self.repetition_penalty)),
            ("frequencyPenalty", added(self.frequency_penalty), PENALTY_ADDED, show(self.frequency_penalty)),
            ("presencePenalty", added(self.presence_penalty), PENALTY_ADDED, show(self.presence_penalty)),
            ("logitBias", self.logit_bias.len() <= LOGIT_BIAS_MAX, LOGIT_BIAS, format!("{} tokens", self.logit_bias.len())),
            ("logitBias", bias.is_none(), LOGIT_BIAS, show(bias.map(|(token, bias)| format!("{bias} for token {token}")))),
            ("stop", self.stop.len() <= STOP_MAX, STOP, format!("{} texts", self.stop.len())),
            ("stop", self.stop.iter().all(|text| !text.is_empty()), STOP, "an empty text".into()),
            ("stop", self.stop_tokens.len() <= STOP_TOKENS_MAX, STOP, format!("{} token ids", self.stop_tokens.len())),
            ("logprobs", self.logprobs.is_none_or(|k| k <= LOGPROBS_MAX), LOGPROBS, show(self.logprobs)),
            ("n", self.n.is_none_or(|n| (1..=N_MAX).contains(&n)), N, show(self.n)),
        ];
        for (option, good, expected, got) in checks {
            if !good {
                return Err(Error::BadOption { option: option.into(), expected: expected.into(), got });
            }
        }
        match self.rules.out_of_range() {
            Some((rule, expected, got)) => Err(Error::BadOption { option: ours(rule).into(), expected: expected.into(), got }),
            None => Ok(()),
        }
    }

    /// Checks the token ids among the options against a vocabulary of this size.
    ///
    /// Errors: `BAD_OPTION`.
    pub fn check_tokens(&self, vocab: usize) -> Result<()> {
        let biased = self.logit_bias.iter().map(|(token, _)| ("logitBias", *token));
        let stops = self.stop_tokens.iter().map(|token| ("stop", *token));
        let ruled = self.rules.tokens().map(|(rule, token)| (ours(rule), token));
        match biased.chain(stops).chain(ruled).find(|(_, token)| *token as usize >= vocab) {
            Some((option, token)) => {
                let expected = format!("token ids below {vocab}, the size of the model's vocabulary");
                Err(Error::BadOption { option: option.into(), expected, got: token.to_string() })
            }
            None => Ok(()),
        }
    }
}

/// The largest whole number up to which a JavaScript number counts without gaps, 2^53 - 1.
const SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

const WHOLE_POSITIVE: &str = "a whole number from 1";
const MIN_TOKENS: &str = "a whole number from 0 to maxTokens (0 is off)";
const TEMPERATURE: &str = "a number from 0 (0 is greedy)";
const TOP_K: &str = "a whole number from 0 (0 is off)";
const SHARE: &str = "a number above 0 and at most 1";
const MIN_P: &str = "a number from 0 to 1";
const PENALTY: &str = "a number above 0 (1 is off)";
const PENALTY_ADDED: &str = "a number from -2 to 2 (0 is off)";
const LOGIT_BIAS: &str = "an object of at most 1024 token ids, each with a number from -100 to 100";
const STOP: &str = "a text or a token id or a list of them, at most 16 texts, none of them empty, and 64 ids";
const STOP_TOKENS: &str = "a token id or a list of at most 64";
const SEED: &str = "a whole number from 0 to 2^53 - 1";
const LOGPROBS: &str = "a whole number from 0 to 20, or true for 0";
const N: &str = "a whole number from 1 to 16";
const OVERFLOW: &str = "\"error\", \"drop-oldest\" or \"shift\"";

fn canonical(spelling: &str) -> Option<&'static str> {
    NAMES.iter().find(|(name, aliases)| *name == spelling || aliases.contains(&spelling)).map(|(name, _)| *name)
}

/// Our name of a rule.
fn ours(rule: &'static str) -> &'static str {
    canonical(rule).unwrap_or(rule)
}

/// The error for options that are no JSON object at all.
pub(crate) fn not_an_object(value: &Value) -> Error {
    Error::BadInput { what: "options".into(), expected: "an object".into(), got: describe(value) }
}

fn bad(option: &str, expected: &str, value: &Value) -> Error {
    Error::BadOption { option: option.into(), expected: expected.into(), got: describe(value) }
}

/// The error, with the option named as the caller spelt it.
fn respell(error: Error, seen: &[(&str, &str)]) -> Error {
    match error {
        Error::BadOption { option, expected, got } => {
            let spelling = seen.iter().find(|(name, _)| *name == option).map_or(option.clone(), |(_, spelling)| (*spelling).into());
            Error::BadOption { option: spelling, expected, got }
        }
        other => other,
    }
}

fn unknown(spelling: &str) -> Error {
    let known: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
    Error::BadOption { option: spelling.into(), expected: format!("one of {}", known.join(", ")), got: "an unknown name".into() }
}

/// A whole number that JavaScript can tell from its neighbours.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().filter(|v| v.fract() == 0.0 && (0.0..=SAFE_INTEGER).contains(v)).map(|v| v as u64))
}

fn token(value: &Value) -> Option<u32> {
    whole(value).and_then(|id| u32::try_from(id).ok())
}

/// One value or a list of them.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), |list| list)
}

/// The pairs of an object whose names are token ids, as JavaScript writes numbers.
fn biases(value: &Value) -> Option<Vec<(u32, f32)>> {
    let pair = |(name, bias): (&String, &Value)| {
        let token = name.parse().ok().filter(|token: &u32| token.to_string() == *name)?;
        Some((token, bias.as_f64()? as f32))
    };
    value.as_object()?.iter().map(pair).collect()
}

fn show<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "nothing".into(), |value| value.to_string())
}

/// A JSON value as a message shows it: numbers and short texts as they are, larger things by their kind.
fn describe(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
        Value::String(text) if text.len() > 40 => "a long text".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
