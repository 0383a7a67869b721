//! The settings of one generation: the caller's options, then the publisher's defaults, then ours.

use super::GenerationConfig;
use crate::options::{Options, Settings};

/// The defaults of transformers for temperature, top-k and top-p. A file with `do_sample: true` was
/// written for them.
const SAMPLING: (f32, usize, f32) = (1.0, 50, 1.0);

impl Options {
    /// Fills in what is missing for a prompt of this many tokens. If the least number of tokens is more
    /// than the default of the most, it is both.
    pub fn settle(&self, model: &GenerationConfig, prompt: usize) -> Settings {
        let settings = self.or(&model.options(prompt)).settled();
        match self.max_tokens {
            Some(_) => settings,
            None => Settings { max_tokens: settings.max_tokens.max(settings.min_tokens), ..settings },
        }
    }
}

impl Settings {
    /// The defaults for a model, with the lengths after an empty prompt.
    pub fn of(model: &GenerationConfig) -> Settings {
        model.options(0).settled()
    }
}

impl GenerationConfig {
    /// The file's defaults after a prompt of this many tokens. `do_sample: false` is greedy,
    /// `do_sample: true` has the defaults of transformers. A `max_length` that the prompt has reached
    /// already does not count.
    fn options(&self, prompt: usize) -> Options {
        let Options { max_tokens, min_tokens, temperature, top_k, top_p, .. } = self.defaults;
        let most = || self.max_length.and_then(|length| length.checked_sub(prompt)).filter(|&most| most > 0);
        let least = || self.min_length.map(|length| length.saturating_sub(prompt));
        let (temperature, top_k, top_p) = match self.do_sample {
            Some(true) => (temperature.or(Some(SAMPLING.0)), top_k.or(Some(SAMPLING.1)), top_p.or(Some(SAMPLING.2))),
            Some(false) => (Some(0.0), top_k, top_p),
            None => (temperature, top_k, top_p),
        };
        Options {
            max_tokens: max_tokens.or_else(most),
            min_tokens: min_tokens.or_else(least),
            temperature,
            top_k,
            top_p,
            ..self.defaults.clone()
        }
    }
}
