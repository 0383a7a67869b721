//! The settings of one generation: its options with every default filled in, from the model's publisher and
//! then from us.

use super::Options;
use crate::config::{GenerationConfig, Rules};

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
    /// Rules over tokens and sequences.
    pub rules: Rules,
    /// Report how likely each token was, and this many of the likeliest beside it.
    pub logprobs: Option<usize>,
}

/// Our defaults, where the model has none of its own.
pub(super) const DEFAULTS: Settings = Settings {
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
    rules: Rules::NONE,
    logprobs: None,
};

/// Temperature, top-k and top-p of transformers: what a publisher who asks for sampling had in mind for what
/// the file does not say.
const SAMPLING: (f32, usize, f32) = (1.0, 50, 1.0);

impl Options {
    /// Fills in what is missing for a prompt of so many tokens: first from the model, then from ours. More
    /// tokens at least than the default at most are both.
    pub fn settle(&self, model: &GenerationConfig, prompt: usize) -> Settings {
        let defaults = Settings::after(model, prompt);
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
            rules: self.rules.or(&defaults.rules),
            logprobs: self.logprobs,
        }
    }
}

impl Settings {
    /// The defaults for a model with these defaults of its publisher, its lengths those after an empty
    /// prompt.
    pub fn of(model: &GenerationConfig) -> Settings {
        Settings::after(model, 0)
    }

    /// The defaults after a prompt of so many tokens. `do_sample: false` is greedy; `do_sample: true` has
    /// the defaults of transformers, and a file without it has ours. A `max_length` that the prompt has
    /// reached already says nothing about the answer: our default holds then.
    fn after(model: &GenerationConfig, prompt: usize) -> Settings {
        let (temperature, top_k, top_p) = match model.do_sample {
            Some(true) => SAMPLING,
            Some(false) => (0.0, DEFAULTS.top_k, DEFAULTS.top_p),
            None => (DEFAULTS.temperature, DEFAULTS.top_k, DEFAULTS.top_p),
        };
        let most = || model.max_length.and_then(|length| length.checked_sub(prompt)).filter(|&most| most > 0);
        let least = || model.min_length.map(|length| length.saturating_sub(prompt));
        Settings {
            max_tokens: model.max_new_tokens.or_else(most).unwrap_or(DEFAULTS.max_tokens),
            min_tokens: model.min_new_tokens.or_else(least).unwrap_or(DEFAULTS.min_tokens),
            temperature: model.temperature.filter(|_| model.do_sample != Some(false)).unwrap_or(temperature),
            top_k: model.top_k.unwrap_or(top_k),
            top_p: model.top_p.unwrap_or(top_p),
            min_p: model.min_p.unwrap_or(DEFAULTS.min_p),
            typical_p: model.typical_p.unwrap_or(DEFAULTS.typical_p),
            repetition_penalty: model.repetition_penalty.unwrap_or(DEFAULTS.repetition_penalty),
            rules: model.rules.clone(),
            ..DEFAULTS
        }
    }
}
