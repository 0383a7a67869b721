//! Logits to the next token: greedy, or a seeded draw from what the filters leave.
//!
//! The order is that of transformers: repetition penalty, temperature, top-k, top-p, min-p, then the draw. Without a
//! temperature the likeliest token is taken, the lowest id on ties. Nothing here sorts the vocabulary: filters first
//! narrow the candidates by a bound, and only what is left is put in order.

use crate::options::Settings;

/// Draws the tokens of one generation. The same seed and the same logits give the same tokens on every machine.
#[derive(Debug, Clone)]
pub struct Sampler {
    settings: Settings,
    random: SplitMix64,
    candidates: Vec<Candidate>,
    penalised: Vec<bool>, // (vocab): whether the repetition penalty was already applied this time
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    token: u32,
    /// The logit, then exp(logit - largest logit): a weight that is not normalised.
    weight: f32,
}

impl Sampler {
    /// A sampler with these settings and this seed.
    pub fn new(settings: Settings, seed: u64) -> Sampler {
        Sampler { settings, random: SplitMix64(seed), candidates: Vec::new(), penalised: Vec::new() }
    }

    /// The next token. Shapes: `logits` (vocab), all finite (`Model::forward` sees to it); penalised in place.
    /// `text` holds the tokens of prompt and generation so far.
    ///
    /// Panics: if there is no logit.
    pub fn sample(&mut self, logits: &mut [f32], text: &[u32]) -> u32 {
        self.penalise(logits, text);
        if self.settings.temperature == 0.0 {
            return argmax(logits);
        }
        let candidates = &mut self.candidates;
        candidates.clear();
        candidates.extend(logits.iter().enumerate().map(|(token, &weight)| Candidate { token: token as u32, weight }));

        let k = self.settings.top_k;
        if k > 0 && k < candidates.len() {
            candidates.select_nth_unstable_by(k - 1, by_weight);
            candidates.truncate(k);
        }

        let largest = candidates.iter().fold(f32::NEG_INFINITY, |largest, c| largest.max(c.weight));
        for candidate in candidates.iter_mut() {
            candidate.weight = libm::expf((candidate.weight - largest) / self.settings.temperature);
        }
        if self.settings.top_p < 1.0 {
            keep_nucleus(candidates, self.settings.top_p);
        }
        // The likeliest weighs exp(0) = 1, so a weight is already relative to it.
        candidates.retain(|c| c.weight >= self.settings.min_p);
        self.draw()
    }

    /// Makes every token that is in the text less likely, once however often it is there.
    ///
    /// Source: Keskar et al. 2019 (CTRL), section 4.1, in the form of transformers' RepetitionPenaltyLogitsProcessor.
    fn penalise(&mut self, logits: &mut [f32], text: &[u32]) {
        let penalty = self.settings.repetition_penalty;
        if penalty == 1.0 {
            return;
        }
        self.penalised.clear();
        self.penalised.resize(logits.len(), false);
        for &token in text {
            if !std::mem::replace(&mut self.penalised[token as usize], true) {
                let logit = &mut logits[token as usize];
                let penalised = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
                // A penalty may be far from 1: what it takes beyond f32 stays the largest or smallest number, and can be compared.
                *logit = penalised.clamp(f32::MIN, f32::MAX);
            }
        }
    }

    /// One of the candidates, each as often as its weight says.
    fn draw(&mut self) -> u32 {
        // In order of token, so that the draw does not depend on how the filters left the list.
        self.candidates.sort_unstable_by_key(|c| c.token);
        let total: f64 = self.candidates.iter().map(|c| f64::from(c.weight)).sum();
        let mut rest = self.random.unit() * total;
        for candidate in &self.candidates {
            rest -= f64::from(candidate.weight);
            if rest < 0.0 {
                return candidate.token;
            }
        }
        self.candidates.last().expect("the likeliest token passes every filter").token
    }
}

/// The token of the largest logit; of several, the lowest id.
pub fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (token, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = token;
        }
    }
    best as u32
}

/// Larger weights first; of equal ones, the lower token.
fn by_weight(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.weight.total_cmp(&a.weight).then(a.token.cmp(&b.token))
}

/// Keeps the smallest set of likeliest candidates whose share of the weight reaches `top_p`.
///
/// Source: Holtzman et al. 2020, section 3.1. A candidate with less than `(1 - top_p) / n` of the weight cannot be in
/// the set, because all such together have less than `1 - top_p`: so most of a vocabulary falls without being sorted.
fn keep_nucleus(candidates: &mut Vec<Candidate>, top_p: f32) {
    let total: f64 = candidates.iter().map(|c| f64::from(c.weight)).sum();
    let least = (1.0 - f64::from(top_p)) * total / candidates.len() as f64;
    candidates.retain(|c| f64::from(c.weight) >= least);
    candidates.sort_unstable_by(by_weight);
    let mut held = 0.0;
    let needed = candidates.iter().position(|c| {
        held += f64::from(c.weight);
        held >= f64::from(top_p) * total
    });
    candidates.truncate(needed.map_or(candidates.len(), |last| last + 1));
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

    /// A number in 0..1, evenly spread over the 2^53 multiples of 2^-53.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFF: Settings = Settings { max_tokens: 1, temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0 };

    /// How often each token is drawn in 20,000 draws, as shares.
    fn shares(settings: Settings, logits: &[f32]) -> Vec<f64> {
        let mut sampler = Sampler::new(settings, 1);
        let mut counts = vec![0.0; logits.len()];
        for _ in 0..20_000 {
            counts[sampler.sample(&mut logits.to_vec(), &[]) as usize] += 1.0 / 20_000.0;
        }
        counts
    }

    fn assert_close(got: &[f64], expected: &[f64]) {
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 0.015, "{got} is not near {expected}");
            assert_eq!(*got == 0.0, *expected == 0.0, "filtered or not: {got} and {expected}");
        }
    }

    /// Logits whose softmax is 0.5, 0.3, 0.15, 0.05.
    fn logits() -> Vec<f32> {
        [0.5f32, 0.3, 0.15, 0.05].iter().map(|p| p.ln()).collect()
    }

    #[test]
    fn greedy_takes_the_lowest_id_on_ties() {
        let mut sampler = Sampler::new(Settings { temperature: 0.0, ..OFF }, 7);
        assert_eq!(sampler.sample(&mut [0.0, 3.0, 3.0, -1.0], &[]), 1);
        assert_eq!(sampler.sample(&mut [0.0, 0.0], &[]), 0);
        assert_eq!(sampler.sample(&mut [-5.0], &[]), 0);
    }

    #[test]
    fn tokens_are_drawn_as_often_as_their_probability() {
        assert_close(&shares(OFF, &logits()), &[0.5, 0.3, 0.15, 0.05]);
        // Temperature 0.5 squares the probabilities: 0.25, 0.09, 0.0225, 0.0025 of 0.365.
        assert_close(&shares(Settings { temperature: 0.5, ..OFF }, &logits()), &[0.685, 0.247, 0.0616, 0.0068]);
    }

    #[test]
    fn each_filter_keeps_what_its_definition_says() {
        assert_close(&shares(Settings { top_k: 2, ..OFF }, &logits()), &[0.625, 0.375, 0.0, 0.0]);
        assert_close(&shares(Settings { top_p: 0.75, ..OFF }, &logits()), &[0.625, 0.375, 0.0, 0.0]);
        assert_close(&shares(Settings { top_p: 0.85, ..OFF }, &logits()), &[0.526, 0.316, 0.158, 0.0]);
        assert_close(&shares(Settings { top_p: 0.01, ..OFF }, &logits()), &[1.0, 0.0, 0.0, 0.0]);
        assert_close(&shares(Settings { min_p: 0.25, ..OFF }, &logits()), &[0.526, 0.316, 0.158, 0.0]);
        assert_close(&shares(Settings { min_p: 1.0, ..OFF }, &logits()), &[1.0, 0.0, 0.0, 0.0]);
        assert_close(&shares(Settings { top_k: 1, ..OFF }, &[1.0, 1.0]), &[1.0, 0.0]);
    }

    #[test]
    fn the_repetition_penalty_counts_a_token_once() {
        let mut sampler = Sampler::new(Settings { temperature: 0.0, repetition_penalty: 2.0, ..OFF }, 0);
        let mut logits = [4.0, 3.0, -1.0];
        assert_eq!(sampler.sample(&mut logits, &[0, 0, 2]), 1);
        assert_eq!(logits, [2.0, 3.0, -2.0]);
    }

    #[test]
    fn a_penalty_beyond_all_bounds_leaves_numbers() {
        // Found by fuzzing: a logit divided by 1e-45 was infinite, infinity less infinity is NaN, and no token passed the filters.
        for (penalty, expected) in [(1e-45, 0), (1e30, 2)] {
            let settings = Settings { top_k: 1, repetition_penalty: penalty, ..OFF };
            assert_eq!(Sampler::new(settings, 0).sample(&mut [4.0, -4e30, 3.0], &[0, 1]), expected);
        }
    }

    #[test]
    fn a_seed_repeats_its_tokens_and_another_does_not() {
        let draw = |seed| {
            let mut sampler = Sampler::new(OFF, seed);
            (0..40).map(|_| sampler.sample(&mut logits(), &[])).collect::<Vec<_>>()
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }

    #[test]
    fn extreme_logits_are_drawn_from_without_nan() {
        assert_close(&shares(Settings { temperature: 1e-30, ..OFF }, &[f32::MAX, f32::MIN, 0.0]), &[1.0, 0.0, 0.0]);
        assert_close(&shares(Settings { top_p: 0.5, temperature: f32::MAX, ..OFF }, &[0.0, 0.0]), &[1.0, 0.0]);
    }

    #[test]
    fn the_generator_is_the_published_one() {
        // First outputs for seed 1234567, from the reference implementation in C (Vigna, splitmix64.c).
        let mut random = SplitMix64(1234567);
        assert_eq!([random.next(), random.next()], [6457827717110365317, 3203168211198807973]);
    }
}
