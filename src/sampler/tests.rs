//! Compares the sampler with its specifications: transformers' values, and a naive version that sorts the
//! vocabulary for every filter.

use super::*;
use crate::options::Options;

/// Settings without filters and penalties.
fn off() -> Settings {
    Settings { temperature: 1.0, top_p: 1.0, ..Settings::of(&Default::default()) }
}

/// The share of each token in 20,000 draws.
fn shares(settings: Settings, logits: &[f32]) -> Vec<f64> {
    let mut sampler = Sampler::new(settings, 1, Vec::new());
    let mut counts = vec![0.0; logits.len()];
    for _ in 0..20_000 {
        counts[sampler.sample(&mut logits.to_vec(), &[], &[]).token as usize] += 1.0 / 20_000.0;
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
    let mut sampler = Sampler::new(Settings { temperature: 0.0, ..off() }, 7, Vec::new());
    assert_eq!(sampler.sample(&mut [0.0, 3.0, 3.0, -1.0], &[], &[]).token, 1);
    assert_eq!(sampler.sample(&mut [0.0, 0.0], &[], &[]).token, 0);
    assert_eq!(sampler.sample(&mut [-5.0], &[], &[]).token, 0);
}

#[test]
fn tokens_are_drawn_as_often_as_their_probability() {
    assert_close(&shares(off(), &logits()), &[0.5, 0.3, 0.15, 0.05]);
    // Temperature 0.5 squares the probabilities: 0.25, 0.09, 0.0225, 0.0025 of 0.365.
    assert_close(&shares(Settings { temperature: 0.5, ..off() }, &logits()), &[0.685, 0.247, 0.0616, 0.0068]);
}

#[test]
fn each_filter_keeps_what_its_definition_says() {
    assert_close(&shares(Settings { top_k: 2, ..off() }, &logits()), &[0.625, 0.375, 0.0, 0.0]);
    assert_close(&shares(Settings { top_p: 0.75, ..off() }, &logits()), &[0.625, 0.375, 0.0, 0.0]);
    assert_close(&shares(Settings { top_p: 0.85, ..off() }, &logits()), &[0.526, 0.316, 0.158, 0.0]);
    assert_close(&shares(Settings { top_p: 0.01, ..off() }, &logits()), &[1.0, 0.0, 0.0, 0.0]);
    assert_close(&shares(Settings { min_p: 0.25, ..off() }, &logits()), &[0.526, 0.316, 0.158, 0.0]);
    assert_close(&shares(Settings { min_p: 1.0, ..off() }, &logits()), &[1.0, 0.0, 0.0, 0.0]);
    // Surprises are ln 2, 1.204, 1.897, 2.996 and the entropy 1.142: the second is nearest, then the first.
    assert_close(&shares(Settings { typical_p: 0.2, ..off() }, &logits()), &[0.0, 1.0, 0.0, 0.0]);
    assert_close(&shares(Settings { typical_p: 0.6, ..off() }, &logits()), &[0.625, 0.375, 0.0, 0.0]);
}

#[test]
fn ties_are_kept_as_transformers_keeps_them() {
    // Top-k and typical keep all that equal their last. Top-p keeps as many as it needs, and we choose
    // which.
    assert_close(&shares(Settings { top_k: 1, ..off() }, &[1.0, 1.0]), &[0.5, 0.5]);
    assert_close(&shares(Settings { typical_p: 0.01, ..off() }, &[1.0, 1.0]), &[0.5, 0.5]);
    assert_close(&shares(Settings { top_p: 0.45, ..off() }, &[1.0; 5]), &[0.333, 0.333, 0.333, 0.0, 0.0]);
}

#[test]
fn the_repetition_penalty_counts_a_token_once() {
    let mut sampler = Sampler::new(Settings { temperature: 0.0, repetition_penalty: 2.0, ..off() }, 0, Vec::new());
    let mut logits = [4.0, 3.0, -1.0];
    assert_eq!(sampler.sample(&mut logits, &[0, 0], &[2]).token, 1);
    assert_eq!(logits, [2.0, 3.0, -2.0]);
}

#[test]
fn an_extreme_penalty_leaves_finite_logits() {
    // Found by fuzzing: a logit divided by 1e-45 was infinite, infinity minus infinity is NaN, and no token
    // passed the filters.
    for (penalty, expected) in [(1e-45, 0), (1e30, 2)] {
        let settings = Settings { top_k: 1, repetition_penalty: penalty, ..off() };
        assert_eq!(Sampler::new(settings, 0, Vec::new()).sample(&mut [4.0, -4e30, 3.0], &[0, 1], &[]).token, expected);
    }
}

#[test]
fn a_seed_repeats_its_tokens_and_another_does_not() {
    let draw = |seed| {
        let mut sampler = Sampler::new(off(), seed, Vec::new());
        (0..40).map(|_| sampler.sample(&mut logits(), &[], &[]).token).collect::<Vec<_>>()
    };
    assert_eq!(draw(3), draw(3));
    assert_ne!(draw(3), draw(4));
}

#[test]
fn extreme_logits_are_drawn_from_without_nan() {
    assert_close(&shares(Settings { temperature: 1e-30, ..off() }, &[f32::MAX, f32::MIN, 0.0]), &[1.0, 0.0, 0.0]);
    assert_close(&shares(Settings { top_p: 0.5, temperature: f32::MAX, ..off() }, &[0.0, 0.0]), &[1.0, 0.0]);
}

#[test]
fn the_random_generator_is_splitmix64() {
    // First outputs for seed 1234567, from the reference implementation in C (Vigna, splitmix64.c).
    let mut random = SplitMix64(1234567);
    assert_eq!([random.next(), random.next()], [6457827717110365317, 3203168211198807973]);
}

/// A row of `tests/golden/filters.json` or `rules.json`.
#[derive(serde::Deserialize)]
struct Case {
    logits: Vec<Option<f32>>,
    prompt: Vec<u32>,
    generated: Vec<u32>,
    ends: Vec<u32>,
    settings: serde_json::Value,
    logprobs: Option<Vec<Option<f64>>>,
    greedy: Option<u32>,
}

impl Case {
    /// The settings of the case; filters that it does not name are off.
    fn settings(&self) -> Settings {
        let options = Options::from_json(&self.settings).unwrap();
        Options { top_p: options.top_p.or(Some(1.0)), ..options }.settle(&Default::default(), self.prompt.len())
    }

    /// The log-probabilities by token that the sampler leaves.
    fn left(&self, logits: &mut [f32]) -> Vec<Option<f64>> {
        let mut sampler = Sampler::new(self.settings(), 1, self.ends.clone());
        sampler.penalise(logits, &self.prompt, &self.generated);
        sampler.filter(logits);
        let total = weight_of(&sampler.candidates);
        let mut left = vec![None; logits.len()];
        for candidate in &sampler.candidates {
            left[candidate.token as usize] = Some((f64::from(candidate.weight) / total).ln());
        }
        left
    }
}

/// Log-probabilities below this count as zero probability: the kernels' exponentials end at exp(-87).
const NOTHING: f64 = -85.0;

#[test]
fn filters_and_rules_leave_what_transformers_leaves() {
    #[derive(serde::Deserialize)]
    struct Golden {
        cases: Vec<Case>,
    }
    let parse = |json| serde_json::from_str::<Golden>(json).unwrap().cases;
    let filters = parse(include_str!("../../tests/golden/filters.json"));
    let rules = parse(include_str!("../../tests/golden/rules.json"));
    assert_eq!((filters.len(), rules.len()), (400, 300));
    for case in filters.into_iter().chain(rules) {
        let mut logits: Vec<f32> = case.logits.iter().map(|logit| logit.unwrap_or(f32::NEG_INFINITY)).collect();
        let place = format!("{} of {:?} after {:?} and {:?}", case.settings, case.logits, case.prompt, case.generated);
        let Some(expected) = &case.logprobs else {
            let mut sampler = Sampler::new(case.settings(), 1, case.ends.clone());
            assert_eq!(Some(sampler.sample(&mut logits, &case.prompt, &case.generated).token), case.greedy, "{place}");
            continue;
        };
        let got = case.left(&mut logits);
        // In transformers, chance decides which of equal tokens top-p keeps; here the lower ids. So equal
        // tokens are compared as a set.
        let sorted = |row: &[Option<f64>]| {
            let mut row: Vec<f64> = row.iter().flatten().copied().filter(|&value| value > NOTHING).collect();
            row.sort_unstable_by(f64::total_cmp);
            row
        };
        let (row, expected_row) = (sorted(&got), sorted(expected));
        assert_eq!(row.len(), expected_row.len(), "{place}");
        assert!(row.iter().zip(&expected_row).all(|(a, b)| (a - b).abs() < 1e-5 * b.abs().max(1.0)), "{place}: {row:?}, {expected_row:?}");
        for (token, (got, expected)) in got.iter().zip(expected).enumerate().filter(|(_, (got, _))| got.is_some_and(|got| got > NOTHING)) {
            let swapped = || {
                (token + 1..logits.len()).any(|other| logits[other] == logits[token] && case.logprobs.as_ref().unwrap()[other].is_some())
            };
            assert!(expected.is_some() || swapped(), "{place}: token {token} has {got:?}");
        }
    }
}

/// The result of the definitions, with the whole vocabulary sorted for each filter: tokens, lowest first.
fn naive(logits: &[f32], settings: &Settings) -> Vec<u32> {
    let mut left: Vec<(u32, f64)> = (0..).zip(logits.iter().map(|&logit| f64::from(logit) / f64::from(settings.temperature))).collect();
    let softmax = |left: &[(u32, f64)]| {
        let largest = left.iter().map(|(_, score)| *score).fold(f64::MIN, f64::max);
        let total: f64 = left.iter().map(|(_, score)| (score - largest).exp()).sum();
        left.iter().map(|(_, score)| (score - largest).exp() / total).collect::<Vec<f64>>()
    };
    let reach = |left: &[(u32, f64)], share: f32| {
        let mut held = 0.0;
        let enough = |p: &f64| {
            held += p;
            held >= f64::from(share)
        };
        softmax(left).iter().position(enough).map_or(left.len(), |last| last + 1)
    };
    left.sort_by(|a, b| b.1.total_cmp(&a.1));
    if settings.top_k > 0 {
        let least = left[settings.top_k.min(left.len()) - 1].1;
        left.retain(|(_, score)| *score >= least);
    }
    if settings.top_p < 1.0 {
        left.truncate(reach(&left, settings.top_p));
    }
    let shares = softmax(&left);
    left.truncate(shares.iter().take_while(|&&p| p >= f64::from(settings.min_p) * shares[0]).count());
    if settings.typical_p < 1.0 {
        let surprises: Vec<f64> = softmax(&left).iter().map(|p| -p.ln()).collect();
        let entropy: f64 = surprises.iter().map(|surprise| (-surprise).exp() * surprise).sum();
        let mut order: Vec<usize> = (0..left.len()).collect();
        order.sort_by(|&a, &b| (surprises[a] - entropy).abs().total_cmp(&(surprises[b] - entropy).abs()));
        left = order.into_iter().map(|place| left[place]).collect();
        left.truncate(reach(&left, settings.typical_p));
    }
    let mut tokens: Vec<u32> = left.into_iter().map(|(token, _)| token).collect();
    tokens.sort_unstable();
    tokens
}

#[test]
fn a_large_vocabulary_is_filtered_as_by_sorting() {
    let mut random = SplitMix64(11);
    // Flat and peaked distributions, with no two equal logits.
    for spread in [0.5, 4.0] {
        let logits: Vec<f32> = (0..49_152).map(|_| (spread * ((1..=6).map(|_| random.unit()).sum::<f64>() - 3.0)) as f32).collect();
        for (top_k, top_p, min_p, typical_p) in
            [(0, 0.9, 0.0, 1.0), (0, 1.0, 0.05, 1.0), (0, 1.0, 0.0, 0.7), (40, 0.8, 0.01, 0.5), (5000, 0.99, 0.0, 0.99)]
        {
            for temperature in [0.5, 1.0, 2.0] {
                let settings = Settings { temperature, top_k, top_p, min_p, typical_p, ..off() };
                let mut sampler = Sampler::new(settings.clone(), 1, Vec::new());
                sampler.filter(&logits);
                let got: Vec<u32> = sampler.candidates.iter().map(|c| c.token).collect();
                let expected = naive(&logits, &settings);
                // The bound is between two neighbours, which f32 rounding may swap.
                let apart = got.iter().filter(|token| expected.binary_search(token).is_err()).count() + expected.len().abs_diff(got.len());
                assert!(apart <= 2, "{settings:?}: {} tokens where the definitions leave {}, {apart} apart", got.len(), expected.len());
            }
        }
    }
}

#[test]
fn frequency_counts_and_presence_does_not() {
    let settings = Settings { frequency_penalty: 0.5, presence_penalty: 0.25, ..off() };
    let mut logits = [1.0, 1.0, 1.0];
    // The prompt does not count.
    Sampler::new(settings, 0, Vec::new()).penalise(&mut logits, &[2, 2], &[0, 1, 0]);
    assert_eq!(logits, [-0.25, 0.25, 1.0]);
}

#[test]
fn penalties_and_bias_hold_without_a_temperature() {
    let greedy = Settings { temperature: 0.0, ..off() };
    let token = |settings: Settings| Sampler::new(settings, 0, vec![1]).sample(&mut [1.0, 3.0, 2.0], &[2], &[1, 1]).token;
    assert_eq!(token(greedy.clone()), 1);
    assert_eq!(token(Settings { logit_bias: vec![(0, 2.5)], ..greedy.clone() }), 0);
    assert_eq!(token(Settings { frequency_penalty: 0.75, ..greedy.clone() }), 2);
    assert_eq!(token(Settings { presence_penalty: 1.25, ..greedy.clone() }), 2);
    assert_eq!(token(Settings { repetition_penalty: 4.0, ..greedy.clone() }), 0);
    assert_eq!(token(Settings { min_tokens: 3, ..greedy.clone() }), 2);
    assert_eq!(token(Settings { min_tokens: 2, ..greedy }), 1);
}

#[test]
fn the_end_is_masked_only_if_another_token_is_left() {
    let settings = Settings { min_tokens: 9, temperature: 0.0, ..off() };
    let mut sampler = Sampler::new(settings, 1, vec![0, 1, 1, 70]);
    assert_eq!(sampler.sample(&mut [2.0], &[], &[]).token, 0, "nothing else");
    assert_eq!(sampler.sample(&mut [2.0, 1.0], &[], &[]).token, 0, "nothing else");
    assert_eq!(sampler.sample(&mut [50.0, 50.0, -50.0], &[], &[]).token, 2, "something");
}

#[test]
fn tokens_beyond_the_vocabulary_change_nothing() {
    let settings = Settings { logit_bias: vec![(9, 1.0)], repetition_penalty: 2.0, frequency_penalty: 1.0, ..off() };
    let mut logits = [1.0, 2.0];
    Sampler::new(settings, 0, Vec::new()).penalise(&mut logits, &[7], &[8]);
    assert_eq!(logits, [1.0, 2.0]);
}

#[test]
fn logprobs_come_from_the_models_own_logits() {
    let mut random = SplitMix64(3);
    for (vocab, spread) in [(1, 1.0), (2, 80.0), (5, 1e-3), (49_152, 6.0), (49_152, 0.0)] {
        let logits: Vec<f32> = (0..vocab).map(|_| (spread * (random.unit() - 0.5)) as f32).collect();
        let largest = logits.iter().copied().fold(f32::MIN, f32::max);
        let total: f64 = logits.iter().map(|&logit| (f64::from(logit) - f64::from(largest)).exp()).sum();
        let logprob = |token: u32| f64::from(logits[token as usize]) - f64::from(largest) - total.ln();
        let mut order: Vec<u32> = (0..vocab as u32).collect();
        order.sort_by(|&a, &b| logits[b as usize].partial_cmp(&logits[a as usize]).unwrap());
        for k in [0, 1, 5, 20] {
            // Later steps do not change them.
            let settings = Settings { logprobs: Some(k), logit_bias: vec![(0, 50.0)], top_k: 3, temperature: 2.0, ..off() };
            let drawn = Sampler::new(settings, 5, Vec::new()).sample(&mut logits.clone(), &[], &[]);
            let logprobs = drawn.logprobs.unwrap();
            assert_eq!(logprobs.token, drawn.token);
            assert!((f64::from(logprobs.logprob) - logprob(drawn.token)).abs() < 1e-5);
            let (tokens, values): (Vec<u32>, Vec<f32>) = logprobs.top.into_iter().unzip();
            assert_eq!(tokens, order[..k.min(vocab)], "the likeliest first, the lower id on ties");
            assert!(tokens.iter().zip(values).all(|(&token, value)| (f64::from(value) - logprob(token)).abs() < 1e-5));
        }
    }
    assert_eq!(Sampler::new(off(), 5, Vec::new()).sample(&mut [1.0, 2.0], &[], &[]).logprobs, None);
}

#[test]
fn rules_that_exclude_every_token_are_skipped() {
    let rules = |options: serde_json::Value| Options::from_json(&options).unwrap().settle(&Default::default(), 1);
    let token = |settings: Settings| Sampler::new(settings, 0, vec![1]).sample(&mut [1.0, 3.0, 2.0], &[2], &[0, 1]).token;
    let json = |mut options: serde_json::Value, temperature: f64| {
        options["temperature"] = temperature.into();
        options
    };
    for (options, expected) in [
        (serde_json::json!({"suppressTokens": [1]}), 2),
        (serde_json::json!({"suppressTokens": [0, 1, 2]}), 1),
        (serde_json::json!({"noRepeatNgramSize": 1}), 1),
        (serde_json::json!({"badWordsIds": [[0], [2]], "suppressTokens": [1]}), 1),
        (serde_json::json!({"forcedEosTokenId": 9, "maxTokens": 3}), 1),
        (serde_json::json!({"forcedEosTokenId": 0, "maxTokens": 3}), 0),
        (serde_json::json!({"badWordsIds": [[1]]}), 1), // a token that ends the text is never a bad word
    ] {
        for temperature in [0.0, 1e-3] {
            assert_eq!(token(rules(json(options.clone(), temperature))), expected, "{options} at {temperature}");
        }
    }
}

#[test]
fn extreme_rules_leave_finite_logits() {
    let options = serde_json::json!({"sequenceBias": [[[0], 3e38], [[1, 0], 3e38], [[2], -3e38]], "exponentialDecayLengthPenalty": [0, 3e38],
        "encoderRepetitionPenalty": 1e-45, "temperature": 1, "suppressTokens": [9], "minTokens": 1});
    let settings = Options::from_json(&options).unwrap().settle(&Default::default(), 1);
    for own in [[0.0, -1.0, 3e38], [f32::MIN, f32::MAX, 0.0]] {
        let mut logits = own;
        let mut sampler = Sampler::new(settings.clone(), 0, vec![0, 1]);
        assert!(sampler.sample(&mut logits, &[2], &[1; 9]).token < 3);
        assert!(logits.iter().all(|logit| !logit.is_nan() && *logit < f32::INFINITY), "{logits:?}");
    }
}
