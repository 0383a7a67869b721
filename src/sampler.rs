//! From logits to the next token: greedily, or by a seeded draw among the tokens that the filters leave.
//!
//! The order is that of transformers (`_get_logits_processor` of 5.24). Options that it does not have come
//! where they fit best.
//!
//! 1. the log-probabilities to report, from the model's own logits;
//! 2. logit bias and sequence bias;
//! 3. encoder repetition penalty, over the prompt, and repetition penalty, over prompt and generated tokens;
//! 4. the masks: repeated n-grams, bad words, end tokens before `min_tokens`, forced and suppressed tokens;
//! 5. frequency and presence penalty, over generated tokens (OpenAI's);
//! 6. at temperature 0, the likeliest token, the lowest id on ties; the remaining steps are then skipped;
//! 7. temperature, 8. top-h, 9. top-k, 10. top-p, 11. min-p, 12. typical, 13. epsilon, 14. eta, each over the
//!    tokens that the one before left, 15. the draw.
//!
//! At least one token always remains: every filter keeps the likeliest, except typical, which keeps the one
//! nearest to the expected surprise. The sampler does not sort the vocabulary: a filter finds its bound by
//! bisection, and the candidates stay in the order of their tokens.

mod rules;

use std::cmp::Ordering;

use crate::kernels;
use crate::options::Settings;
use rules::Text;

/// Draws the tokens of one generation. The same seed and the same logits give the same tokens on every
/// machine.
#[derive(Debug, Clone)]
pub struct Sampler {
    settings: Settings,
    random: SplitMix64,
    /// Whether any rule changes logits; usually none does.
    steers: bool,
    /// Tokens that end the text, which may not be drawn among the first `min_tokens`.
    ends: Vec<u32>,
    /// The text so far, if there are rules.
    text: Vec<u32>,
    /// The logits before masking, if there are rules.
    unmasked: Vec<f32>,
    /// The model's logits, if log-probabilities are requested.
    raw: Vec<f32>,
    /// In order of token.
    candidates: Vec<Candidate>,
    scratch: Vec<Candidate>,
    exponentials: Vec<f32>,
    counts: Vec<u32>, // (vocab): all 0 between uses
}

/// A token that was drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// The token.
    pub token: u32,
    /// Its log-probability and the alternatives, if the settings request them.
    pub logprobs: Option<TokenLogprobs>,
}

/// The model's own log-probability of a token: the natural logarithm of its softmax, before penalties,
/// filters and temperature.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprobs {
    /// The token that was drawn.
    pub token: u32,
    /// Its log-probability.
    pub logprob: f32,
    /// The likeliest tokens and their log-probabilities, likeliest first, the lower id on ties.
    pub top: Vec<(u32, f32)>,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    token: u32,
    /// The logit, then (logit - largest logit) / temperature.
    score: f32,
    /// exp(score): an unnormalised probability, 1 for the likeliest.
    weight: f32,
}

impl Sampler {
    /// A sampler with these settings and this seed; `ends` are the tokens that end the text.
    pub fn new(settings: Settings, seed: u64, ends: Vec<u32>) -> Sampler {
        let (text, unmasked, raw, candidates, scratch, exponentials, counts) = Default::default();
        let steers = rules::steer(&settings);
        Sampler { settings, random: SplitMix64(seed), steers, ends, text, unmasked, raw, candidates, scratch, exponentials, counts }
    }

    /// Returns the next token. Shapes: `logits` (vocab), all finite (`Model::forward` checks that); changed
    /// in place. `prompt` and `generated` hold the tokens of the text so far.
    ///
    /// Panics: if there are no logits.
    pub fn sample(&mut self, logits: &mut [f32], prompt: &[u32], generated: &[u32]) -> Drawn {
        if self.settings.logprobs.is_some() {
            self.raw.clear();
            self.raw.extend_from_slice(logits);
        }
        self.penalise(logits, prompt, generated);
        let token = if self.settings.temperature == 0.0 { argmax(logits) } else { self.draw(logits) };
        Drawn { token, logprobs: self.settings.logprobs.map(|k| TokenLogprobs::of(token, &self.raw, k, &mut self.exponentials)) }
    }

    /// Makes single tokens more or less likely, before the draw or the greedy choice.
    fn penalise(&mut self, logits: &mut [f32], prompt: &[u32], generated: &[u32]) {
        for &(token, bias) in &self.settings.logit_bias {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit += bias;
            }
        }
        if self.steers {
            self.steer(logits, prompt, generated);
        } else {
            penalise_repetition(logits, self.settings.repetition_penalty, prompt.iter().chain(generated), &mut self.counts);
            if generated.len() < self.settings.min_tokens {
                mask_ends(logits, &self.ends);
            }
        }
        self.penalise_generated(logits, generated);
    }

    /// Applies the rules, the repetition penalty and the minimum length, in their order.
    fn steer(&mut self, logits: &mut [f32], prompt: &[u32], generated: &[u32]) {
        self.text.clear();
        self.text.extend(prompt.iter().chain(generated));
        let settings = &self.settings;
        let text = Text { prompt, all: &self.text, ends: &self.ends };
        rules::bias(settings, logits, &text);
        // The processor penalises tokens outside the prompt; tokens inside gain by the inverse.
        let encoder = settings.encoder_repetition_penalty.recip();
        penalise_repetition(logits, encoder, prompt.iter(), &mut self.counts);
        penalise_repetition(logits, settings.repetition_penalty, self.text.iter(), &mut self.counts);
        rules::mask(settings, logits, &text, &mut self.unmasked);
    }

    /// Makes each generated token less likely, the more often it was generated.
    ///
    /// Source: OpenAI's API reference, "frequency and presence penalties": `logit -= count * frequency +
    /// (count > 0) * presence`.
    fn penalise_generated(&mut self, logits: &mut [f32], generated: &[u32]) {
        let Settings { frequency_penalty, presence_penalty, .. } = self.settings;
        if frequency_penalty == 0.0 && presence_penalty == 0.0 {
            return;
        }
        each_distinct(&mut self.counts, logits.len(), generated.iter(), |token, count| {
            let logit = logits[token];
            logits[token] = bounded(logit, logit - count as f32 * frequency_penalty - presence_penalty);
        });
    }

    /// Draws one of the tokens that the filters leave, by its probability.
    fn draw(&mut self, logits: &[f32]) -> u32 {
        self.filter(logits);
        let mut rest = self.random.unit() * weight_of(&self.candidates);
        for candidate in &self.candidates {
            rest -= f64::from(candidate.weight);
            if rest < 0.0 {
                return candidate.token;
            }
        }
        self.candidates.last().expect("every filter leaves a token").token
    }

    /// Makes candidates of the tokens that temperature and filters leave.
    fn filter(&mut self, logits: &[f32]) {
        let Settings { temperature, top_k, top_p, min_p, typical_p, top_h, epsilon_cutoff, eta_cutoff, .. } = self.settings;
        let (candidates, scratch) = (&mut self.candidates, &mut self.scratch);
        candidates.clear();
        candidates.extend(logits.iter().enumerate().map(|(token, &score)| Candidate { token: token as u32, score, weight: 0.0 }));
        if top_h > 0.0 {
            keep_top_h(candidates, scratch, temperature, top_h);
        }
        if top_k > 0 && top_k < candidates.len() {
            keep_top_k(candidates, scratch, top_k);
        }
        let largest = candidates.iter().fold(f32::NEG_INFINITY, |largest, c| largest.max(c.score));
        candidates.iter_mut().for_each(|c| c.score = (c.score - largest) / temperature);
        exponentiate(&mut self.exponentials, candidates.iter().map(|c| c.score));
        candidates.iter_mut().zip(&self.exponentials).for_each(|(c, &weight)| c.weight = weight);
        candidates.retain(|c| c.weight > 0.0);
        if top_p < 1.0 {
            keep_top_p(candidates, scratch, top_p);
        }
        // The likeliest has weight exp(0) = 1, so weights are already relative to it.
        candidates.retain(|c| c.weight >= min_p);
        if typical_p < 1.0 {
            keep_typical(candidates, scratch, typical_p);
        }
        if epsilon_cutoff > 0.0 {
            keep_min_probability(candidates, f64::from(epsilon_cutoff));
        }
        if eta_cutoff > 0.0 {
            // Source: Hewitt et al. 2022, "Truncation Sampling as Language Model Desmoothing", section 4.
            let eta = f64::from(eta_cutoff);
            keep_min_probability(candidates, eta.min(eta.sqrt() * libm::exp(-entropy(candidates))));
        }
    }
}

impl TokenLogprobs {
    /// The log-probability of a token in these logits, and the k likeliest.
    fn of(token: u32, logits: &[f32], k: usize, exponentials: &mut Vec<f32>) -> TokenLogprobs {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        exponentiate(exponentials, logits.iter().map(|logit| logit - largest));
        let total: f64 = exponentials.iter().map(|&value| f64::from(value)).sum();
        let logprob = |logit: f32| (f64::from(logit) - f64::from(largest) - libm::log(total)) as f32;
        let mut top: Vec<(u32, f32)> = Vec::with_capacity(k + 1);
        for (token, &logit) in logits.iter().enumerate() {
            if top.len() < k || top.last().is_some_and(|(_, least)| logit > *least) {
                let place = top.partition_point(|(_, likelier)| *likelier >= logit);
                top.insert(place, (token as u32, logit));
                top.truncate(k);
            }
        }
        top.iter_mut().for_each(|(_, value)| *value = logprob(*value));
        TokenLogprobs { token, logprob: logprob(logits[token as usize]), top }
    }
}

/// Masks the tokens that end the text, unless no other token is left.
fn mask_ends(logits: &mut [f32], ends: &[u32]) {
    let is_end = |token: usize| ends.iter().any(|&end| end as usize == token);
    if logits.iter().enumerate().any(|(token, &logit)| logit > f32::NEG_INFINITY && !is_end(token)) {
        for &end in ends {
            if let Some(logit) = logits.get_mut(end as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

/// The token with the largest logit; among equals the lowest id.
pub(crate) fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (token, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = token;
        }
    }
    best as u32
}

/// Makes each of these tokens less likely, once, however often it occurs.
///
/// Source: Keskar et al. 2019 (CTRL), section 4.1, in the form of transformers'
/// RepetitionPenaltyLogitsProcessor.
fn penalise_repetition<'t>(logits: &mut [f32], penalty: f32, tokens: impl Iterator<Item = &'t u32> + Clone, counts: &mut Vec<u32>) {
    if penalty == 1.0 {
        return;
    }
    each_distinct(counts, logits.len(), tokens, |token, _| {
        let logit = logits[token];
        logits[token] = bounded(logit, if logit < 0.0 { logit * penalty } else { logit / penalty });
    });
}

/// Calls `each` once for every token below `vocab`, with its count.
fn each_distinct<'t>(counts: &mut Vec<u32>, vocab: usize, tokens: impl Iterator<Item = &'t u32> + Clone, mut each: impl FnMut(usize, u32)) {
    counts.resize(vocab, 0);
    let known = tokens.map(|&token| token as usize).filter(|&token| token < vocab);
    known.clone().for_each(|token| counts[token] += 1);
    for token in known {
        match std::mem::take(&mut counts[token]) {
            0 => {}
            count => each(token, count),
        }
    }
}

/// Limits a logit after an extreme penalty to the range of f32, so that logits can still be compared.
fn bounded(before: f32, after: f32) -> f32 {
    if before.is_finite() { after.clamp(f32::MIN, f32::MAX) } else { before }
}

/// e^x for numbers up to 0; below e^-87 it is 0.
fn exponentiate(out: &mut Vec<f32>, numbers: impl Iterator<Item = f32>) {
    out.clear();
    out.extend(numbers);
    // Uses a softmax step that has seen only a 0.
    kernels::softmax_step(out, 1.0, &mut [0.0, 0.0]);
}

fn weight_of(candidates: &[Candidate]) -> f64 {
    candidates.iter().map(|c| f64::from(c.weight)).sum()
}

/// Keeps the k largest scores, and any that equal the last of them.
fn keep_top_k(candidates: &mut Vec<Candidate>, scratch: &mut Vec<Candidate>, k: usize) {
    scratch.clone_from(candidates);
    let least = scratch.select_nth_unstable_by(k - 1, |a, b| b.score.total_cmp(&a.score)).1.score;
    candidates.retain(|c| c.score >= least);
}

/// Keeps the smallest set of likeliest candidates whose share of the weight reaches `top_p`. Among equals
/// it takes the lower token first (in transformers that depends on torch's sort, which is not stable).
///
/// Source: Holtzman et al. 2020, section 3.1. A candidate with less than `(1 - top_p) / n` of the weight
/// cannot be in the set, because all such candidates together have less than `1 - top_p`. This excludes
/// most of a vocabulary at once.
fn keep_top_p(candidates: &mut Vec<Candidate>, scratch: &mut Vec<Candidate>, top_p: f32) {
    let total = weight_of(candidates);
    let least = (1.0 - f64::from(top_p)) * total / candidates.len() as f64;
    candidates.retain(|c| f64::from(c.weight) >= least);
    let likelier = |a: &Candidate, b: &Candidate| b.score.total_cmp(&a.score).then(a.token.cmp(&b.token));
    scratch.clone_from(candidates);
    let last = reach(scratch, f64::from(top_p) * total, likelier);
    candidates.retain(|c| likelier(c, &last) != Ordering::Greater);
}

/// Keeps the smallest set of candidates whose surprise is nearest to the expected one and whose share of
/// the weight reaches `typical_p`, and any as near as the last of them.
///
/// Source: Meister et al. 2022, section 4. The surprise of a candidate is `ln(total) - score` and the
/// entropy is its mean, so their difference is that of the score from the mean score.
fn keep_typical(candidates: &mut Vec<Candidate>, scratch: &mut Vec<Candidate>, typical_p: f32) {
    let total = weight_of(candidates);
    let mean = candidates.iter().map(|c| f64::from(c.weight) * f64::from(c.score)).sum::<f64>() / total;
    let distance = |c: &Candidate| (f64::from(c.score) - mean).abs();
    scratch.clone_from(candidates);
    let last = reach(scratch, f64::from(typical_p) * total, |a, b| distance(a).total_cmp(&distance(b)).then(a.token.cmp(&b.token)));
    candidates.retain(|c| distance(c) <= distance(&last));
}

/// Keeps candidates of at least this probability, and always the likeliest.
fn keep_min_probability(candidates: &mut Vec<Candidate>, probability: f64) {
    let total = weight_of(candidates);
    let largest = candidates.iter().fold(f32::NEG_INFINITY, |largest, c| largest.max(c.score));
    candidates.retain(|c| f64::from(c.weight) / total >= probability || c.score == largest);
}

/// The entropy of the candidates. Units: nats.
fn entropy(candidates: &[Candidate]) -> f64 {
    let total = weight_of(candidates);
    libm::log(total) - candidates.iter().map(|c| f64::from(c.weight) * f64::from(c.score)).sum::<f64>() / total
}

/// How many of the likeliest tokens top-h considers.
const TOP_H_AMONG: usize = 100;

/// Keeps the likeliest candidates whose terms of the entropy sum to at most its share `top_h`, and always
/// the likeliest. Entropy and probabilities are those of the 100 likeliest; among equals the lower token
/// comes first.
///
/// Source: Potraghloo et al. 2025, "Top-H Decoding", in the form of transformers' TopHLogitsWarper.
fn keep_top_h(candidates: &mut Vec<Candidate>, scratch: &mut Vec<Candidate>, temperature: f32, top_h: f32) {
    let likelier = |a: &Candidate, b: &Candidate| b.score.total_cmp(&a.score).then(a.token.cmp(&b.token));
    scratch.clone_from(candidates);
    if scratch.len() > TOP_H_AMONG {
        scratch.select_nth_unstable_by(TOP_H_AMONG - 1, likelier);
        scratch.truncate(TOP_H_AMONG);
    }
    scratch.sort_unstable_by(likelier);
    let score = |c: &Candidate| (f64::from(c.score) - f64::from(scratch[0].score)) / f64::from(temperature);
    let total: f64 = scratch.iter().map(|c| libm::exp(score(c))).sum();
    let term = |c: &Candidate| match libm::exp(score(c)) / total {
        0.0 => 0.0,
        p => -p * libm::log(p),
    };
    let most = scratch.iter().map(term).sum::<f64>() * f64::from(top_h);
    let mut held = 0.0;
    let fits = |c: &&Candidate| {
        held += term(c);
        held <= most
    };
    let last = scratch[scratch.iter().take_while(fits).count().saturating_sub(1)];
    candidates.retain(|c| likelier(c, &last) != Ordering::Greater);
}

/// The candidate at which, in this order, the cumulative weight reaches `needed`. Each round partitions the
/// remaining candidates and continues in the half that contains it, so each candidate is looked at a few
/// times. Changes the order of the list.
fn reach(candidates: &mut [Candidate], needed: f64, order: impl Fn(&Candidate, &Candidate) -> Ordering) -> Candidate {
    let (mut low, mut high, mut held) = (0, candidates.len(), 0.0); // `low` candidates weigh too little, `high` enough
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        candidates[low..high].select_nth_unstable_by(middle - low, &order);
        let with = held + weight_of(&candidates[low..middle]);
        if with >= needed {
            high = middle;
        } else {
            (low, held) = (middle, with);
        }
    }
    candidates[low]
}

/// Source: Steele, Lea & Flood 2014, "Fast Splittable Pseudorandom Number Generators", figure 16.
#[derive(Debug, Clone)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in 0..1, uniform over the 2^53 multiples of 2^-53.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

#[cfg(test)]
mod tests;
