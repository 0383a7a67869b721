//! The options of a generation: their names, ranges and defaults, in one table.
//!
//! An unknown option and a value out of range are errors that say what is known: nothing is ignored.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::config::GenerationConfig;
use crate::error::{Error, Result};
use crate::template::{Now, TemplateKwargs};

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
    /// Texts that end the generation and are not part of it. At most 16, none empty.
    pub stop: Vec<String>,
    /// Tokens that end the generation and are not part of it. At most 64, ids of the model.
    pub stop_tokens: Vec<u32>,
    /// Seed of the random choices. The engine has no randomness of its own: without a seed it is 0, and the doors
    /// (wasm, command line) draw one.
    pub seed: Option<u64>,
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

/// Options with every default filled in: what the sampler works with.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Tokens to generate at most.
    pub max_tokens: usize,
    /// Tokens to generate before one may end the text.
    pub min_tokens: usize,
    /// Divides the logits; 0 is greedy.
    pub temperature: f32,
    /// Only the k likeliest tokens; 0 is all.
    pub top_k: usize,
    /// Only the smallest set of likeliest tokens that holds this probability.
    pub top_p: f32,
    /// Only tokens at least this likely relative to the likeliest.
    pub min_p: f32,
    /// Only the smallest set of tokens of about the expected surprise that holds this probability.
    pub typical_p: f32,
    /// Divides positive and multiplies negative logits of tokens already in the text.
    pub repetition_penalty: f32,
    /// Taken from the logit of a generated token, once for each time it was generated.
    pub frequency_penalty: f32,
    /// Taken from the logit of every token that was generated, however often.
    pub presence_penalty: f32,
    /// Added to the logits of these tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// Report how likely each token was, and this many of the likeliest beside it.
    pub logprobs: Option<usize>,
}

/// Our defaults, where the model has none of its own.
const DEFAULTS: Settings = Settings {
    max_tokens: 512,
    min_tokens: 0,
    temperature: 0.7,
    top_k: 0,
    top_p: 0.95,
    min_p: 0.0,
    typical_p: 1.0,
    repetition_penalty: 1.0,
    frequency_penalty: 0.0,
    presence_penalty: 0.0,
    logit_bias: Vec::new(),
    logprobs: None,
};

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
const NAMES: [(&str, &[&str]); 18] = [
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
            other => unreachable!("{other} stands in NAMES"),
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
        Ok(())
    }

    /// Checks the token ids among the options against a vocabulary of this size.
    ///
    /// Errors: `BAD_OPTION`.
    pub fn check_tokens(&self, vocab: usize) -> Result<()> {
        let biased = self.logit_bias.iter().map(|(token, _)| ("logitBias", *token));
        match biased.chain(self.stop_tokens.iter().map(|token| ("stop", *token))).find(|(_, token)| *token as usize >= vocab) {
            Some((option, token)) => {
                let expected = format!("token ids below {vocab}, the size of the model's vocabulary");
                Err(Error::BadOption { option: option.into(), expected, got: token.to_string() })
            }
            None => Ok(()),
        }
    }

    /// Fills in what is missing: first from the model, then from ours. More tokens at least than the default at most are both.
    pub fn settle(&self, model: &GenerationConfig) -> Settings {
        let defaults = Settings::of(model);
        let min_tokens = self.min_tokens.unwrap_or(defaults.min_tokens);
        Settings {
            max_tokens: self.max_tokens.unwrap_or(defaults.max_tokens.max(min_tokens)),
            min_tokens,
            temperature: self.temperature.unwrap_or(defaults.temperature),
            top_k: self.top_k.unwrap_or(defaults.top_k),
            top_p: self.top_p.unwrap_or(defaults.top_p),
            min_p: self.min_p.unwrap_or(defaults.min_p),
            typical_p: self.typical_p.unwrap_or(defaults.typical_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(defaults.repetition_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(defaults.frequency_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(defaults.presence_penalty),
            logit_bias: self.logit_bias.clone(),
            logprobs: self.logprobs,
        }
    }
}

impl Settings {
    /// The defaults for a model with this `generation_config.json`. One that says `do_sample: false` is greedy.
    pub fn of(model: &GenerationConfig) -> Settings {
        let temperature = if model.do_sample == Some(false) { Some(0.0) } else { model.temperature };
        Settings {
            max_tokens: model.max_new_tokens.unwrap_or(DEFAULTS.max_tokens),
            min_tokens: model.min_new_tokens.unwrap_or(DEFAULTS.min_tokens),
            temperature: temperature.unwrap_or(DEFAULTS.temperature),
            top_k: model.top_k.unwrap_or(DEFAULTS.top_k),
            top_p: model.top_p.unwrap_or(DEFAULTS.top_p),
            min_p: model.min_p.unwrap_or(DEFAULTS.min_p),
            typical_p: model.typical_p.unwrap_or(DEFAULTS.typical_p),
            repetition_penalty: model.repetition_penalty.unwrap_or(DEFAULTS.repetition_penalty),
            ..DEFAULTS
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
mod tests {
    use super::*;
    use serde_json::json;

    fn message(value: Value) -> String {
        Options::from_json(&value).unwrap_err().to_string()
    }

    #[test]
    fn the_spellings_of_openai_and_hugging_face_are_understood() {
        let ours = Options::from_json(&json!({"maxTokens": 5, "topP": 0.5, "stop": "a"})).unwrap();
        assert_eq!(ours, Options { max_tokens: Some(5), top_p: Some(0.5), stop: vec!["a".into()], ..Options::default() });
        for other in [
            json!({"max_tokens": 5, "top_p": 0.5, "stop": ["a"]}),
            json!({"max_new_tokens": 5.0, "topP": 0.5, "stop_strings": ["a"], "seed": null}),
        ] {
            assert_eq!(Options::from_json(&other).unwrap(), ours);
        }
        assert_eq!(Options::from_json(&Value::Null).unwrap(), Options::default());
    }

    #[test]
    fn an_unknown_option_names_the_known_ones() {
        assert_eq!(
            message(json!({"temprature": 1})),
            "option `temprature`: expected one of maxTokens, minTokens, temperature, topK, topP, minP, typicalP, \
             repetitionPenalty, frequencyPenalty, presencePenalty, logitBias, stop, stopTokenIds, seed, logprobs, n, overflow, chatTemplateKwargs, got an unknown name."
        );
    }

    #[test]
    fn a_value_out_of_range_names_the_range() {
        assert_eq!(message(json!({"temperature": -1})), "option `temperature`: expected a number from 0 (0 is greedy), got -1.");
        assert_eq!(message(json!({"top_p": 1.5})), "option `top_p`: expected a number above 0 and at most 1, got 1.5.");
        assert_eq!(message(json!({"maxTokens": 0})), "option `maxTokens`: expected a whole number from 1, got 0.");
        assert_eq!(message(json!({"maxTokens": 2.5})), "option `maxTokens`: expected a whole number from 1, got 2.5.");
        assert_eq!(message(json!({"seed": -1})), "option `seed`: expected a whole number from 0 to 2^53 - 1, got -1.");
        assert_eq!(message(json!({"minP": "x"})), "option `minP`: expected a number from 0 to 1, got \"x\".");
        assert_eq!(
            message(json!({"stop": [""]})),
            "option `stop`: expected a text or a token id or a list of them, at most 16 texts, none of them empty, and 64 ids, got an empty text."
        );
        assert_eq!(message(json!({"topK": 1, "top_k": 2})), "option `top_k`: expected `topK` only once, in one spelling, got 2.");
        assert_eq!(message(json!([1])), "options: expected an object, got a list.");
    }

    #[test]
    fn each_option_has_its_range() {
        let good = [
            (json!({"minTokens": 3, "max_tokens": 3}), Options { min_tokens: Some(3), max_tokens: Some(3), ..Options::default() }),
            (json!({"min_new_tokens": 0, "typical_p": 1}), Options { min_tokens: Some(0), typical_p: Some(1.0), ..Options::default() }),
            (
                json!({"frequency_penalty": -2, "presencePenalty": 2.0}),
                Options { frequency_penalty: Some(-2.0), presence_penalty: Some(2.0), ..Options::default() },
            ),
            (json!({"logit_bias": {"5": -100, "0": 1.5}}), Options { logit_bias: vec![(0, 1.5), (5, -100.0)], ..Options::default() }),
            (
                json!({"stop": ["a", 7, "b"], "stop_token_ids": 9}),
                Options { stop: vec!["a".into(), "b".into()], stop_tokens: vec![7, 9], ..Options::default() },
            ),
            (json!({"stop": 7}), Options { stop_tokens: vec![7], ..Options::default() }),
            (json!({"logprobs": true, "n": 16}), Options { logprobs: Some(0), n: Some(16), ..Options::default() }),
            (json!({"logprobs": 20, "overflow": "shift"}), Options { logprobs: Some(20), overflow: Overflow::Shift, ..Options::default() }),
            (json!({"logprobs": false, "overflow": "drop-oldest"}), Options { overflow: Overflow::DropOldest, ..Options::default() }),
        ];
        for (json, options) in good {
            assert_eq!(Options::from_json(&json).unwrap(), options, "{json}");
        }
        let bad = [
            (json!({"max_tokens": 3, "min_tokens": 4}), "min_tokens", MIN_TOKENS, "4"),
            (json!({"minTokens": 4, "maxTokens": 3}), "minTokens", MIN_TOKENS, "4"),
            (json!({"typicalP": 0}), "typicalP", SHARE, "0"),
            (json!({"frequencyPenalty": 2.5}), "frequencyPenalty", PENALTY_ADDED, "2.5"),
            (json!({"presence_penalty": "x"}), "presence_penalty", PENALTY_ADDED, "\"x\""),
            (json!({"logitBias": {"5": 101}}), "logitBias", LOGIT_BIAS, "101 for token 5"),
            (json!({"logitBias": {"05": 1}}), "logitBias", LOGIT_BIAS, "an object"),
            (json!({"logitBias": {"a": 1}}), "logitBias", LOGIT_BIAS, "an object"),
            (json!({"logitBias": [1]}), "logitBias", LOGIT_BIAS, "a list"),
            (json!({"stop": [-1]}), "stop", STOP, "a list"),
            (json!({"stop": 4294967296u64}), "stop", STOP, "4294967296"),
            (json!({"stop": vec![1; 65]}), "stop", STOP, "65 token ids"),
            (json!({"stop_token_ids": "a"}), "stop_token_ids", STOP_TOKENS, "\"a\""),
            (json!({"logprobs": 21}), "logprobs", LOGPROBS, "21"),
            (json!({"n": 0}), "n", N, "0"),
            (json!({"n": 17}), "n", N, "17"),
            (json!({"overflow": "wrap"}), "overflow", OVERFLOW, "\"wrap\""),
        ];
        for (json, option, expected, got) in bad {
            assert_eq!(message(json), format!("option `{option}`: expected {expected}, got {got}."));
        }
        let many: serde_json::Map<_, _> = (0..1025).map(|id| (id.to_string(), json!(1))).collect();
        assert_eq!(message(json!({"logitBias": many})), format!("option `logitBias`: expected {LOGIT_BIAS}, got 1025 tokens."));
        for number in [f32::NAN, f32::INFINITY] {
            let bad = |options: Options| assert!(options.check().is_err());
            bad(Options { typical_p: Some(number), ..Options::default() });
            bad(Options { presence_penalty: Some(number), ..Options::default() });
            bad(Options { logit_bias: vec![(0, number)], ..Options::default() });
        }
    }

    #[test]
    fn more_tokens_at_least_than_the_default_at_most_are_both() {
        let settings = Options { min_tokens: Some(9000), ..Options::default() }.settle(&GenerationConfig::default());
        assert_eq!((settings.min_tokens, settings.max_tokens), (9000, 9000));
    }

    #[test]
    fn defaults_come_from_the_model_and_then_from_us() {
        let model = GenerationConfig { temperature: Some(0.3), top_k: Some(9), ..GenerationConfig::default() };
        let settings = Options { top_k: Some(2), ..Options::default() }.settle(&model);
        assert_eq!((settings.temperature, settings.top_k, settings.top_p), (0.3, 2, DEFAULTS.top_p));
        let greedy = GenerationConfig { do_sample: Some(false), temperature: Some(0.3), ..GenerationConfig::default() };
        assert_eq!(Settings::of(&greedy).temperature, 0.0);
    }
}
