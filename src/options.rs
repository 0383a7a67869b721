//! The options of a generation: their names, ranges and defaults, in one table.
//!
//! An unknown option and a value out of range are errors that say what is known: nothing is ignored.

use serde_json::Value;

use crate::config::GenerationConfig;
use crate::error::{Error, Result};
use crate::template::Now;

/// What a caller asks of one generation; `None` leaves it to the model's `generation_config.json`, then to [`Settings`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// Tokens to generate at most. Range: 1 and up.
    pub max_tokens: Option<usize>,
    /// Divides the logits; 0 is greedy. Range: 0 and up.
    pub temperature: Option<f32>,
    /// Only the k likeliest tokens; 0 is all. Range: 0 and up.
    pub top_k: Option<usize>,
    /// Only the smallest set of likeliest tokens that holds this probability. Range: above 0 to 1.
    pub top_p: Option<f32>,
    /// Only tokens at least this likely relative to the likeliest. Range: 0 to 1.
    pub min_p: Option<f32>,
    /// Divides positive and multiplies negative logits of tokens already in the text. Range: above 0; 1 is none.
    pub repetition_penalty: Option<f32>,
    /// Texts that end the generation and are not part of it. At most 16, none empty.
    pub stop: Vec<String>,
    /// Seed of the random choices. The engine has no randomness of its own: without a seed it is 0, and the doors
    /// (wasm, command line) draw one.
    pub seed: Option<u64>,
    /// The time that chat templates may print. The engine has no clock: without it a template uses its own default.
    pub now: Option<Now>,
}

/// Options with every default filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Tokens to generate at most.
    pub max_tokens: usize,
    /// Divides the logits; 0 is greedy.
    pub temperature: f32,
    /// Only the k likeliest tokens; 0 is all.
    pub top_k: usize,
    /// Only the smallest set of likeliest tokens that holds this probability.
    pub top_p: f32,
    /// Only tokens at least this likely relative to the likeliest.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens already in the text.
    pub repetition_penalty: f32,
}

/// Our defaults, where the model has none of its own.
const DEFAULTS: Settings = Settings { max_tokens: 512, temperature: 0.7, top_k: 0, top_p: 0.95, min_p: 0.0, repetition_penalty: 1.0 };

/// The most stop strings one generation takes.
const STOP_MAX: usize = 16;

/// The name of each option and the other spellings in use: snake case as in OpenAI's API, Hugging Face's own words.
const NAMES: [(&str, &[&str]); 8] = [
    ("maxTokens", &["max_tokens", "max_new_tokens", "maxNewTokens", "max_completion_tokens", "maxCompletionTokens"]),
    ("temperature", &[]),
    ("topK", &["top_k"]),
    ("topP", &["top_p"]),
    ("minP", &["min_p"]),
    ("repetitionPenalty", &["repetition_penalty"]),
    ("stop", &["stop_strings", "stopStrings"]),
    ("seed", &[]),
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
        let mut seen = Vec::new();
        for (spelling, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            let name = canonical(spelling).ok_or_else(|| unknown(spelling))?;
            let bad = |expected: &str| Error::BadOption { option: spelling.clone(), expected: expected.into(), got: describe(value) };
            if seen.contains(&name) {
                return Err(bad(&format!("`{name}` only once, in one spelling")));
            }
            seen.push(name);
            let whole = || {
                value.as_u64().or_else(|| value.as_f64().filter(|v| v.fract() == 0.0 && (0.0..=SAFE_INTEGER).contains(v)).map(|v| v as u64))
            };
            let number = || value.as_f64().map(|v| v as f32);
            match name {
                "maxTokens" => options.max_tokens = Some(whole().ok_or_else(|| bad(WHOLE_POSITIVE))?.min(u64::from(u32::MAX)) as usize),
                "temperature" => options.temperature = Some(number().ok_or_else(|| bad(TEMPERATURE))?),
                "topK" => options.top_k = Some(whole().ok_or_else(|| bad(TOP_K))?.min(u64::from(u32::MAX)) as usize),
                "topP" => options.top_p = Some(number().ok_or_else(|| bad(TOP_P))?),
                "minP" => options.min_p = Some(number().ok_or_else(|| bad(MIN_P))?),
                "repetitionPenalty" => options.repetition_penalty = Some(number().ok_or_else(|| bad(PENALTY))?),
                "stop" => options.stop = strings(value).ok_or_else(|| bad(STOP))?,
                "seed" => options.seed = Some(whole().ok_or_else(|| bad(SEED))?),
                other => unreachable!("{other} stands in NAMES"),
            }
            options.check_named(spelling)?;
        }
        Ok(options)
    }

    /// Checks every value against its range.
    ///
    /// Errors: `BAD_OPTION`.
    pub fn check(&self) -> Result<()> {
        let checks: [(&str, bool, &str, String); 7] = [
            ("maxTokens", self.max_tokens != Some(0), WHOLE_POSITIVE, show(self.max_tokens)),
            ("temperature", self.temperature.is_none_or(|v| v >= 0.0 && v.is_finite()), TEMPERATURE, show(self.temperature)),
            ("topP", self.top_p.is_none_or(|v| v > 0.0 && v <= 1.0), TOP_P, show(self.top_p)),
            ("minP", self.min_p.is_none_or(|v| (0.0..=1.0).contains(&v)), MIN_P, show(self.min_p)),
            ("repetitionPenalty", self.repetition_penalty.is_none_or(|v| v > 0.0 && v.is_finite()), PENALTY, show(self.repetition_penalty)),
            ("stop", self.stop.len() <= STOP_MAX, STOP, format!("{} texts", self.stop.len())),
            ("stop", self.stop.iter().all(|text| !text.is_empty()), STOP, "an empty text".into()),
        ];
        for (option, good, expected, got) in checks {
            if !good {
                return Err(Error::BadOption { option: option.into(), expected: expected.into(), got });
            }
        }
        Ok(())
    }

    /// As [`Options::check`], naming the option as the caller spelt it.
    fn check_named(&self, spelling: &str) -> Result<()> {
        self.check().map_err(|error| match error {
            Error::BadOption { expected, got, .. } => Error::BadOption { option: spelling.into(), expected, got },
            other => other,
        })
    }

    /// Fills in what is missing: first from the model, then from ours.
    pub fn settle(&self, model: &GenerationConfig) -> Settings {
        let defaults = Settings::of(model);
        Settings {
            max_tokens: self.max_tokens.unwrap_or(defaults.max_tokens),
            temperature: self.temperature.unwrap_or(defaults.temperature),
            top_k: self.top_k.unwrap_or(defaults.top_k),
            top_p: self.top_p.unwrap_or(defaults.top_p),
            min_p: self.min_p.unwrap_or(defaults.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(defaults.repetition_penalty),
        }
    }
}

impl Settings {
    /// The defaults for a model with this `generation_config.json`. One that says `do_sample: false` is greedy.
    pub fn of(model: &GenerationConfig) -> Settings {
        let temperature = if model.do_sample == Some(false) { Some(0.0) } else { model.temperature };
        Settings {
            max_tokens: model.max_new_tokens.unwrap_or(DEFAULTS.max_tokens),
            temperature: temperature.unwrap_or(DEFAULTS.temperature),
            top_k: model.top_k.unwrap_or(DEFAULTS.top_k),
            top_p: model.top_p.unwrap_or(DEFAULTS.top_p),
            min_p: model.min_p.unwrap_or(DEFAULTS.min_p),
            repetition_penalty: model.repetition_penalty.unwrap_or(DEFAULTS.repetition_penalty),
        }
    }
}

/// The largest whole number up to which a JavaScript number counts without gaps, 2^53 - 1.
const SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

const WHOLE_POSITIVE: &str = "a whole number from 1";
const TEMPERATURE: &str = "a number from 0 (0 is greedy)";
const TOP_K: &str = "a whole number from 0 (0 is off)";
const TOP_P: &str = "a number above 0 and at most 1";
const MIN_P: &str = "a number from 0 to 1";
const PENALTY: &str = "a number above 0 (1 is off)";
const STOP: &str = "a text or a list of at most 16 texts, none of them empty";
const SEED: &str = "a whole number from 0 to 2^53 - 1";

fn canonical(spelling: &str) -> Option<&'static str> {
    NAMES.iter().find(|(name, aliases)| *name == spelling || aliases.contains(&spelling)).map(|(name, _)| *name)
}

/// The error for options that are no JSON object at all.
pub(crate) fn not_an_object(value: &Value) -> Error {
    Error::BadInput { what: "options".into(), expected: "an object".into(), got: describe(value) }
}

fn unknown(spelling: &str) -> Error {
    let known: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
    Error::BadOption { option: spelling.into(), expected: format!("one of {}", known.join(", ")), got: "an unknown name".into() }
}

fn strings(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(list) => list.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
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
            "option `temprature`: expected one of maxTokens, temperature, topK, topP, minP, repetitionPenalty, stop, seed, got an unknown name."
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
            "option `stop`: expected a text or a list of at most 16 texts, none of them empty, got an empty text."
        );
        assert_eq!(message(json!({"topK": 1, "top_k": 2})), "option `top_k`: expected `topK` only once, in one spelling, got 2.");
        assert_eq!(message(json!([1])), "options: expected an object, got a list.");
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
