//! Reads `generation_config.json`: what the publisher of a model recommends for sampling, and which tokens
//! end a text.
//!
//! The file holds defaults that a caller may override, so nothing in it stops a load. A value is read where
//! its meaning is plain (`50.0`, `"0.7"`, `top_k: -1`). Any other value, a field that asks for something
//! this engine does not do, and a field that nobody here knows are left out and listed in
//! [`GenerationConfig::ignored`].
//!
//! Source: transformers 5.24, `generation/configuration_utils.py` and `generation/utils.py`.

mod settle;

use std::collections::HashSet;

use serde_json::Value;

use super::ModelConfig;
use crate::json::{self, show};
use crate::options::Options;

/// The name of the file. If the file cannot be read, the list of ignored fields holds this name.
const FILE: &str = "generation_config.json";

/// Defaults of generation. A field that the files do not set is `None` or empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GenerationConfig {
    /// Tokens that end a text. `None`: no file could be read, so those of `config.json` apply. Empty: the
    /// file names none.
    pub eos: Option<Vec<u32>>,
    /// Strings that end a text.
    pub stop: Vec<String>,
    /// True asks for sampling, with the defaults of transformers; false for greedy decoding.
    pub do_sample: Option<bool>,
    /// The most tokens of prompt and answer together; `max_new_tokens` takes precedence.
    pub max_length: Option<usize>,
    /// Tokens of prompt and answer together before one may end the text; `min_new_tokens` takes precedence.
    pub min_length: Option<usize>,
    /// The other fields, as the options of which they are the defaults.
    pub defaults: Options,
    /// The ignored fields, sorted by name.
    pub ignored: Vec<Ignored>,
}

/// An ignored field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ignored {
    /// Its name, or that of the whole file.
    pub field: String,
    /// The reason, as the rest of a sentence that begins with the name.
    pub reason: String,
}

/// The most stop strings.
const STOP_MAX: usize = 256;

/// The most tokens that end a text.
pub(super) const ENDS_MAX: usize = 1024;

/// Fields that have no effect here: bookkeeping, the ids of other tokens, how transformers stores and
/// computes, and parameters of methods that another field switches on (`num_beams`, an assistant model).
const INERT: &[&str] = &[
    "_commit_hash",
    "_from_model_config",
    "_name_or_path",
    "assistant_confidence_threshold",
    "assistant_early_exit",
    "assistant_ensemble_weight",
    "assistant_lookbehind",
    "bos_token_id",
    "cache_config",
    "cache_implementation",
    "compile_config",
    "continuous_batching_config",
    "decoder_start_token_id",
    "disable_compile",
    "early_stopping",
    "is_assistant",
    "length_penalty",
    "low_memory",
    "max_cache_len",
    "max_matching_ngram_size",
    "num_assistant_tokens",
    "num_assistant_tokens_schedule",
    "output_attentions",
    "output_hidden_states",
    "output_logits",
    "output_scores",
    "pad_token_id",
    "prefill_chunk_size",
    "prompt_lookup_num_tokens",
    // A logit that is not finite is an error here.
    "remove_invalid_values",
    // Probabilities are normalised when a token is drawn.
    "renormalize_logits",
    "return_dict_in_generate",
    "return_legacy_cache",
    "speculation_type",
    "target_lookbehind",
    "transformers_version",
    "use_cache",
    "use_mtp",
];

/// Fields that ask for an unsupported feature, the values that mean "off", and the feature.
const UNSUPPORTED: &[(&str, Off, &str)] = &[
    ("num_beams", Off::AtMost(1.0), "beam search"),
    ("num_beam_groups", Off::AtMost(1.0), "beam search in groups"),
    ("diversity_penalty", Off::AtMost(0.0), "beam search in groups"),
    ("constraints", Off::Empty, "constrained beam search"),
    ("force_words_ids", Off::Empty, "constrained beam search"),
    ("num_return_sequences", Off::AtMost(1.0), "several answers; the option `n` gives them"),
    ("penalty_alpha", Off::AtMost(0.0), "contrastive search"),
    ("dola_layers", Off::Empty, "decoding by contrasting layers"),
    ("guidance_scale", Off::Exactly(1.0), "classifier-free guidance"),
    ("watermarking_config", Off::Empty, "a watermark"),
    ("token_healing", Off::Empty, "token healing"),
    ("max_time", Off::Empty, "a limit of time; an AbortSignal sets one"),
];

/// The values of a field that mean "off", besides null.
#[derive(Clone, Copy)]
enum Off {
    AtMost(f64),
    Exactly(f64),
    /// False, or an empty text, list or object.
    Empty,
}

impl Off {
    fn holds(self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Null | Value::Bool(false)) => true,
            (Off::AtMost(most), _) => value.as_f64().is_some_and(|number| number <= most),
            (Off::Exactly(off), _) => value.as_f64() == Some(off),
            (Off::Empty, Value::String(text)) => text.is_empty(),
            (Off::Empty, Value::Array(list)) => list.is_empty(),
            (Off::Empty, Value::Object(map)) => map.is_empty(),
            (Off::Empty, _) => false,
        }
    }
}

impl GenerationConfig {
    /// Lists as ignored the fields with ids outside a vocabulary of size `vocab`: no such token is ever
    /// drawn.
    pub fn within(mut self, vocab: usize) -> GenerationConfig {
        let end = self.eos.iter().flatten().copied().find(|&id| id as usize >= vocab);
        let rows = Options::ROWS.iter().filter_map(|row| Some((row.file?, self.defaults.unknown_id(row, vocab)?)));
        for (field, id) in end.map(|id| ("eos_token_id", id)).into_iter().chain(rows) {
            self.ignored.push(Ignored { field: field.into(), reason: format!("names {id}, outside the vocabulary of {vocab}") });
        }
        self.ignored.sort();
        self.ignored.dedup_by(|a, b| a.field == b.field);
        self
    }

    /// The defaults of a model folder: those of `generation_config.json`, or, if that file is missing or
    /// unreadable, those of `config.json`, where transformers 4 wrote them.
    pub fn from_files(generation: Option<&[u8]>, config: &[u8]) -> GenerationConfig {
        match generation.map(fields) {
            Some(Ok(fields)) => GenerationConfig::read(fields, true),
            Some(Err(reason)) => {
                let mut defaults = GenerationConfig::of_config(config);
                defaults.ignored.push(Ignored { field: FILE.into(), reason });
                defaults.ignored.sort();
                defaults
            }
            None => GenerationConfig::of_config(config),
        }
    }

    /// The tokens that end a text.
    pub fn ends(&self, config: &ModelConfig) -> Vec<u32> {
        self.eos.clone().unwrap_or_else(|| config.eos.clone())
    }

    /// The fields of `config.json` that are defaults of generation. Its other fields are not listed as
    /// ignored.
    fn of_config(config: &[u8]) -> GenerationConfig {
        let fields = fields(config).unwrap_or_default();
        GenerationConfig { eos: None, ..GenerationConfig::read(fields, false) }
    }

    /// Reads fields. `is_own`: the file should contain nothing else, so unknown fields are listed.
    fn read(fields: Vec<(String, Value)>, is_own: bool) -> GenerationConfig {
        let mut config = GenerationConfig { eos: Some(Vec::new()), ..GenerationConfig::default() };
        let mut ignored = Vec::new();
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_null()) {
            let value = if name == "stop_strings" { value } else { plain(&value) };
            let reason = if name == "eos_token_id" {
                let (eos, other) = end_ids(&value);
                config.eos = Some(eos);
                other
            } else if let Some(read) = config.take(&name, &value) {
                read.err().map(|expected| format!("is {}, not {expected}", show(&value)))
            } else if let Some((_, off, what)) = UNSUPPORTED.iter().find(|(field, ..)| *field == name) {
                (!off.holds(&value)).then(|| format!("asks for {what}"))
            } else {
                (is_own && !INERT.contains(&name.as_str())).then(|| "is not known".into())
            };
            ignored.extend(reason.map(|reason| Ignored { field: name, reason }));
        }
        ignored.sort();
        ignored.dedup();
        GenerationConfig { ignored, ..config }
    }

    /// Takes the field of this name. The error says what was expected. Returns `None` if the field is not
    /// supported.
    fn take(&mut self, name: &str, value: &Value) -> Option<Result<(), String>> {
        let number = value.as_f64().map(|number| number as f32);
        let count = || value.as_u64().map(|count| count.min(u64::from(u32::MAX)) as usize);
        Some(match name {
            "do_sample" => put(&mut self.do_sample, value.as_bool(), "true or false"),
            "max_length" => put(&mut self.max_length, count().filter(|&count| count > 0), "a whole number from 1"),
            "min_length" => put(&mut self.min_length, count(), "a whole number from 0"),
            "stop_strings" => {
                texts(value).map(|stop| self.stop = stop).ok_or_else(|| "a text or a list of at most 256, none of them empty".into())
            }
            // Files may hold values that callers may not: each number from 1 on means off, as in
            // transformers...
            "top_p" => put(&mut self.defaults.top_p, number.filter(|&p| p >= 0.0).map(|p| p.min(1.0)), "a number from 0"),
            "typical_p" => put(&mut self.defaults.typical_p, number.filter(|&p| p > 0.0).map(|p| p.min(1.0)), "a number above 0"),
            // ...and here each number outside 0 to 1.
            "epsilon_cutoff" | "eta_cutoff" if value.as_f64().is_some_and(|cutoff| cutoff <= 0.0 || cutoff >= 1.0) => Ok(()),
            // vLLM writes -1 for all tokens.
            "top_k" if value.as_i64() == Some(-1) => put(&mut self.defaults.top_k, Some(0), ""),
            _ => {
                let row = Options::ROWS.iter().find(|row| row.file == Some(name))?;
                let mut defaults = self.defaults.clone();
                let is_read = defaults.set(row, name, value).unwrap_or(false) && defaults.outside(row).is_none();
                if is_read {
                    self.defaults = defaults;
                }
                is_read.then_some(()).ok_or_else(|| row.range.bounds())
            }
        })
    }
}

/// Sets a field to a value that was read.
fn put<T>(field: &mut Option<T>, value: Option<T>, expected: &str) -> Result<(), String> {
    *field = Some(value.ok_or_else(|| expected.to_owned())?);
    Ok(())
}

/// The fields of a file in order, read as Python's `json` reads them; of a repeated name, the last. The error
/// says what the file is.
fn fields(bytes: &[u8]) -> Result<Vec<(String, Value)>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8 text".to_string())?;
    let parsed = serde_json::from_str(text);
    match parsed.or_else(|error| json::quote_non_finite(text).map_or(Err(error), |quoted| serde_json::from_str(&quoted))) {
        Ok(Value::Object(map)) => Ok(map.into_iter().collect()),
        Ok(other) => Err(format!("is {}, not a JSON object", show(&other))),
        Err(_) if text.trim().is_empty() => Err("is empty".into()),
        Err(_) => Err("is not JSON".into()),
    }
}

/// The ids that end a text, each once, and what was left out: values that are not ids, and ids beyond
/// `ENDS_MAX`. A negative id never occurs and is skipped.
fn end_ids(value: &Value) -> (Vec<u32>, Option<String>) {
    let (mut ids, mut seen, mut other) = (Vec::new(), HashSet::new(), None);
    for value in value.as_array().map_or(std::slice::from_ref(value), |list| list) {
        match value.as_i64() {
            Some(id) => ids.extend(u32::try_from(id).ok().filter(|id| seen.insert(*id))),
            None => other = other.or_else(|| Some(format!("holds {}, which is no token id", show(value)))),
        }
    }
    if ids.len() > ENDS_MAX {
        let over = format!("names {} tokens, of which the first {ENDS_MAX} hold", ids.len());
        other = Some(other.map_or(over.clone(), |other| format!("{other}, and {over}")));
        ids.truncate(ENDS_MAX);
    }
    (ids, other)
}

/// Normalises numbers in a value: `"0.7"` becomes 0.7, and 50.0 becomes 50.
fn plain(value: &Value) -> Value {
    match value {
        Value::String(text) => match text.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => plain(&number.into()),
            _ => value.clone(),
        },
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15 => (float as i64).into(),
            _ => value.clone(),
        },
        Value::Array(list) => list.iter().map(plain).collect(),
        other => other.clone(),
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let list = value.as_array().map_or(std::slice::from_ref(value), |list| list);
    let texts: Vec<String> =
        list.iter().map(|text| text.as_str().filter(|text| !text.is_empty()).map(String::from)).collect::<Option<_>>()?;
    (texts.len() <= STOP_MAX).then_some(texts)
}

#[cfg(test)]
mod tests;
