//! The rules over tokens and sequences, like transformers' logits processors of the same names.
//!
//! Source: transformers 5.24, `generation/logits_process.py`; the order is that of `_get_logits_processor`.

use super::{bounded, mask_ends};
use crate::options::Settings;

/// The text so far, and the other inputs of the rules.
pub(super) struct Text<'t> {
    /// The tokens of the prompt.
    pub prompt: &'t [u32],
    /// The tokens of the prompt and of the generated text.
    pub all: &'t [u32],
    /// Tokens that end the text.
    pub ends: &'t [u32],
}

impl Text<'_> {
    fn generated(&self) -> usize {
        self.all.len() - self.prompt.len()
    }
}

/// Whether a rule changes logits before a token is drawn. The rules that filter candidates do not.
pub(super) fn steer(settings: &Settings) -> bool {
    let lists = [&settings.forced_bos_token_id, &settings.forced_eos_token_id, &settings.suppress_tokens, &settings.begin_suppress_tokens];
    lists.iter().any(|ids| !ids.is_empty())
        || !settings.sequence_bias.is_empty()
        || !settings.bad_words_ids.is_empty()
        || settings.encoder_repetition_penalty != 1.0
        || settings.no_repeat_ngram_size > 0
        || settings.encoder_no_repeat_ngram_size > 0
        || settings.exponential_decay_length_penalty.1 != 1.0
}

/// Adds the biases of sequences that the next token would complete.
pub(super) fn bias(settings: &Settings, logits: &mut [f32], text: &Text) {
    for (sequence, bias) in &settings.sequence_bias {
        if let Some(token) = completed(sequence, text.all)
            && let Some(logit) = logits.get_mut(token)
        {
            *logit = bounded(*logit, *logit + bias);
        }
    }
}

/// Masks the tokens that the rules exclude. If no token would be left, no rule applies to this token.
pub(super) fn mask(settings: &Settings, logits: &mut [f32], text: &Text, before: &mut Vec<f32>) {
    before.clear();
    before.extend_from_slice(logits);
    let no_ngrams = |logits: &mut [f32], seen: &[u32], size: usize| {
        if let Some(start) = (text.all.len() + 1).checked_sub(size).filter(|_| size > 0) {
            let prefix = &text.all[start..];
            seen.windows(size).filter(|window| window[..size - 1] == *prefix).for_each(|window| forbid(logits, window[size - 1] as usize));
        }
    };
    no_ngrams(logits, text.all, settings.no_repeat_ngram_size);
    no_ngrams(logits, text.prompt, settings.encoder_no_repeat_ngram_size);
    for sequence in &settings.bad_words_ids {
        let is_end = || sequence.len() == 1 && text.ends.contains(&sequence[0]);
        if let Some(token) = completed(sequence, text.all).filter(|_| !is_end()) {
            forbid(logits, token);
        }
    }
    if text.generated() < settings.min_tokens {
        mask_ends(logits, text.ends);
    }
    if text.all.len() == 1 {
        force(logits, &settings.forced_bos_token_id);
    }
    if text.generated() + 1 == settings.max_tokens {
        force(logits, &settings.forced_eos_token_id);
    }
    let (start, factor) = settings.exponential_decay_length_penalty;
    if text.generated() > start && factor != 1.0 {
        let gain = libm::pow(f64::from(factor), (text.generated() - start) as f64) - 1.0;
        each_end(logits, text.ends, |logit| {
            // In f64, where 0 times a number beyond f32 is still 0.
            let gained = f64::from(logit) + f64::from(logit.abs()) * gain.min(f64::from(f32::MAX));
            bounded(logit, gained as f32)
        });
    }
    settings.suppress_tokens.iter().for_each(|&token| forbid(logits, token as usize));
    // A token forced after a prompt of one token does not count as the first.
    let first = usize::from(text.prompt.len() <= 1 && !settings.forced_bos_token_id.is_empty());
    if text.generated() == first {
        settings.begin_suppress_tokens.iter().for_each(|&token| forbid(logits, token as usize));
    }
    if logits.iter().all(|&logit| logit == f32::NEG_INFINITY) {
        logits.copy_from_slice(before);
    }
}

/// The last token of a sequence, if the text ends with the sequence's other tokens.
fn completed(sequence: &[u32], text: &[u32]) -> Option<usize> {
    let (&last, others) = sequence.split_last()?;
    text.ends_with(others).then_some(last as usize)
}

fn forbid(logits: &mut [f32], token: usize) {
    if let Some(logit) = logits.get_mut(token) {
        *logit = f32::NEG_INFINITY;
    }
}

/// Masks all tokens except these, if there are any.
fn force(logits: &mut [f32], tokens: &[u32]) {
    if tokens.is_empty() {
        return;
    }
    logits.fill(f32::NEG_INFINITY);
    for &token in tokens {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit = 0.0;
        }
    }
}

/// Changes the logit of each token that ends the text, once, however often it is listed.
fn each_end(logits: &mut [f32], ends: &[u32], change: impl Fn(f32) -> f32) {
    for (_, &end) in ends.iter().enumerate().filter(|(place, end)| !ends[..*place].contains(end)) {
        if let Some(logit) = logits.get_mut(end as usize) {
            *logit = change(*logit);
        }
    }
}
