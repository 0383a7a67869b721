//! The sampler draws from transformers' distribution, for every filter and for all together.
#![cfg(not(target_family = "wasm"))]

use std::{fs, path::Path};

use fireside::Options;
use fireside::internals::{Sampler, Settings};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Golden {
    text: Vec<u32>,
    logits: Vec<f32>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    settings: Value,
    probabilities: Vec<f64>,
}

/// Transformers' `settings` as ours; filters that are not named are off.
fn settings(settings: &Value) -> Settings {
    let neutral = Options {
        temperature: Some(1.0),
        top_k: Some(0),
        top_p: Some(1.0),
        min_p: Some(0.0),
        repetition_penalty: Some(1.0),
        ..Options::default()
    };
    let named = Options::from_json(settings).unwrap();
    let all = Options {
        temperature: named.temperature.or(neutral.temperature),
        top_k: named.top_k.or(neutral.top_k),
        top_p: named.top_p.or(neutral.top_p),
        min_p: named.min_p.or(neutral.min_p),
        repetition_penalty: named.repetition_penalty.or(neutral.repetition_penalty),
        ..neutral
    };
    all.settle(&Default::default(), 0)
}

#[test]
fn draws_follow_the_probabilities_of_transformers() {
    const DRAWS: usize = 40_000;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/sampling.json");
    let golden: Golden = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    for case in &golden.cases {
        let mut sampler = Sampler::new(settings(&case.settings), 1, Vec::new());
        let mut counts = vec![0usize; golden.logits.len()];
        for _ in 0..DRAWS {
            counts[sampler.sample(&mut golden.logits.clone(), &golden.text, &[]).token as usize] += 1;
        }
        for (token, (&count, &expected)) in counts.iter().zip(&case.probabilities).enumerate() {
            let share = count as f64 / DRAWS as f64;
            let place = format!("{}: token {token} came {count} times, expected a share of {expected}", case.settings);
            assert!(expected > 0.0 || count == 0, "{place}");
            // Five standard deviations: a correct sampler fails one such test in a million, and this one is
            // seeded.
            assert!((share - expected).abs() <= 5.0 * (expected * (1.0 - expected) / DRAWS as f64).sqrt(), "{place}");
        }
    }
}

#[test]
fn at_temperature_0_the_likeliest_after_penalties_is_taken() {
    let mut sampler = Sampler::new(Settings { temperature: 0.0, ..settings(&Value::Null) }, 1, Vec::new());
    assert_eq!(sampler.sample(&mut [0.5, 2.0, 2.0, -1.0], &[], &[]).token, 1, "the first of equals");
    let mut sampler = Sampler::new(Settings { temperature: 0.0, repetition_penalty: 1.5, ..settings(&Value::Null) }, 1, Vec::new());
    assert_eq!(sampler.sample(&mut [0.5, 2.0, 1.4, -1.0], &[1, 1], &[]).token, 2, "a seen token counts for less");
    assert_eq!(sampler.sample(&mut [0.5, 2.0, 1.2, -1.0], &[1, 1], &[]).token, 1, "once, however often it was seen");
    assert_eq!(sampler.sample(&mut [-0.5, -0.4], &[1], &[]).token, 0, "below zero too");
}

#[test]
fn a_single_candidate_is_drawn_whatever_the_filters() {
    for filters in [r#"{"top_k": 1}"#, r#"{"top_p": 0.0001}"#, r#"{"min_p": 1.0}"#, "{}"] {
        let mut sampler = Sampler::new(settings(&serde_json::from_str(filters).unwrap()), 3, Vec::new());
        assert_eq!(sampler.sample(&mut [7.5], &[0], &[]).token, 0, "{filters}");
        assert_eq!(sampler.sample(&mut [0.0, -1e30], &[], &[]).token, 0, "{filters}");
    }
}
