//! The cost of narrower storage: the divergence from f32 of the next token's distribution, and the
//! perplexity, on text that the models were not trained on.
//!
//! The texts are in `tests/golden/held_out.json`.
#![cfg(not(target_family = "wasm"))]

mod common;

use common::files::{folder, shared_story};
use common::{Folder, Runner};
use fireside::{Dtype, KvDtype, LoadOptions, Model};

/// The scores of a model on the texts; the first model is the reference for the others.
struct Score {
    /// Mean Kullback-Leibler divergence from the reference, in nats per token.
    divergence: f64,
    perplexity: f64,
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - max).exp()).sum();
    logits.iter().map(|&logit| f64::from(logit - max) - sum.ln()).collect()
}

/// Every model reads every text, token by token.
fn scores(models: &[Model], texts: &[String]) -> Vec<Score> {
    let mut sums = vec![(0.0, 0.0); models.len()];
    let mut count = 0.0;
    for text in texts {
        let tokens = models[0].tokenizer().encode_prompt(text).unwrap();
        let mut runners: Vec<Runner> = models.iter().map(Runner::new).collect();
        for pair in tokens.windows(2) {
            let distributions: Vec<Vec<f64>> = runners.iter_mut().map(|runner| log_softmax(&runner.feed(&pair[..1]))).collect();
            for ((divergence, loss), distribution) in sums.iter_mut().zip(&distributions) {
                *divergence += distributions[0].iter().zip(distribution).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
                *loss -= distribution[pair[1] as usize];
            }
            count += 1.0;
        }
    }
    assert!(count > 1500.0, "only {count} tokens were compared");
    sums.into_iter().map(|(divergence, loss)| Score { divergence: divergence / count, perplexity: (loss / count).exp() }).collect()
}

fn check(name: &str, folder: &Folder) {
    let held_out: serde_json::Value = serde_json::from_slice(include_bytes!("golden/held_out.json")).unwrap();
    let texts: Vec<String> = serde_json::from_value(held_out[name].clone()).unwrap();
    let load = |dtype, kv_dtype| {
        let weights: Vec<&[u8]> = folder.weights.iter().map(Vec::as_slice).collect();
        Model::from_bytes(&folder.files(), &weights, LoadOptions { dtype: Some(dtype), kv_dtype, ..LoadOptions::default() }).unwrap()
    };
    // The formats of weights and cache, the largest allowed divergence, and the largest allowed change of
    // the perplexity.
    let cases = [
        (Dtype::F32, KvDtype::F32, 0.0, 0.0),
        (Dtype::F32, KvDtype::F16, 1e-5, 1e-4),
        (Dtype::F32, KvDtype::Q8, 1e-3, 1e-3),
        (Dtype::Q8, KvDtype::F32, 0.0005, 0.004),
        (Dtype::Q4, KvDtype::F32, 0.035, 0.035),
    ];
    let models: Vec<Model> = cases.iter().map(|&(dtype, kv_dtype, ..)| load(dtype, kv_dtype)).collect();
    let scores = scores(&models, &texts);
    for ((dtype, kv_dtype, divergence_max, change_max), score) in cases.into_iter().zip(&scores) {
        let change = score.perplexity / scores[0].perplexity - 1.0;
        let line = format!(
            "{name}, {dtype}, KV cache {}: KL {:.6} nats a token, perplexity {:.4} ({:+.3} %)",
            kv_dtype.name(),
            score.divergence,
            score.perplexity,
            100.0 * change
        );
        eprintln!("{line}");
        assert!(score.divergence <= divergence_max && change.abs() <= change_max, "{line}");
    }
}

#[test]
fn the_story_model_loses_little() {
    check("story", &folder("story"));
}

#[test]
fn the_chat_model_loses_little() {
    check("chat", &folder("chat"));
}

#[test]
fn the_published_story_model_loses_little() {
    if let Some(folder) = shared_story() {
        check("shared-story", &folder);
    }
}
