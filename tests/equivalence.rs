//! The fast paths equal the slow ones bit for bit; the properties are in `common/equivalence.rs`.
#![cfg(not(target_family = "wasm"))]

mod common;

use std::sync::Arc;

use common::equivalence;
use common::files::{FIXTURES, folder, shared_story};
use common::{Random, Runner};
use fireside::internals::Pool;
use fireside::{Dtype, KvDtype, LoadOptions, Model};

/// Long enough to exceed every chunk size and window.
const TOKENS: usize = 150;

#[test]
fn prefill_equals_single_steps() {
    for name in FIXTURES {
        equivalence::prefill_equals_single_steps(name, &folder(name).load(), TOKENS);
    }
}

#[test]
fn prefill_equals_single_steps_in_a_real_model() {
    equivalence::prefill_equals_single_steps("story", &folder("story").load(), TOKENS);
    if let Some(folder) = shared_story() {
        equivalence::prefill_equals_single_steps("shared-story", &folder.load(), 300);
    }
}

#[test]
fn the_logits_of_all_tokens_equal_single_steps() {
    for name in ["llama-untied-f32", "mistral-window-f16"] {
        for dtype in Dtype::ALL {
            let model = folder(name).try_load(Some(dtype)).unwrap();
            let tokens = equivalence::any_tokens(&model, 75, 11);
            let (mut steps, mut all) = (Runner::new(&model), Runner::new(&model));
            let expected: Vec<f32> = tokens.iter().flat_map(|token| steps.feed(&[*token])).collect();
            let (first, second) = (all.feed_all(&tokens[..70]), all.feed_all(&tokens[70..]));
            assert!([first, second].concat() == expected, "{name} as {dtype}");
        }
    }
}

#[test]
fn prefill_equals_single_steps_in_every_dtype() {
    for name in ["llama-odd-f32", "minueza-shape-f16"] {
        for dtype in Dtype::ALL {
            let model = folder(name).try_load(Some(dtype)).unwrap();
            equivalence::prefill_equals_single_steps(&format!("{name} as {dtype}"), &model, 70);
        }
    }
}

#[test]
fn prefill_equals_single_steps_in_every_format_of_the_cache() {
    // Heads of 26, 16 and 64 numbers, with windows and without.
    for name in ["llama-odd-f32", "minueza-shape-f16", "mistral-window-f16", "story"] {
        for kv_dtype in KvDtype::ALL {
            let files = folder(name);
            let weights: Vec<&[u8]> = files.weights.iter().map(Vec::as_slice).collect();
            let model = Model::from_bytes(&files.files(), &weights, LoadOptions { kv_dtype, ..LoadOptions::default() }).unwrap();
            equivalence::prefill_equals_single_steps(&format!("{name}, cache in {}", kv_dtype.name()), &model, 150);
        }
    }
}

#[test]
fn logits_are_the_same_on_any_number_of_threads_in_every_dtype() {
    for (name, kv_dtype) in [("story", KvDtype::F32), ("llama-odd-f32", KvDtype::F16), ("minueza-shape-f16", KvDtype::Q8)] {
        let folder = folder(name);
        let weights: Vec<&[u8]> = folder.weights.iter().map(Vec::as_slice).collect();
        for dtype in Dtype::ALL {
            let load = |threads| {
                let options = LoadOptions { dtype: Some(dtype), kv_dtype, pool: Some(Pool::new(threads)), ..LoadOptions::default() };
                Model::from_bytes(&folder.files(), &weights, options).unwrap()
            };
            let alone = load(1);
            let tokens = equivalence::any_tokens(&alone, 100, 9);
            let read = |model: &Model| {
                let mut runner = Runner::new(model);
                let mut logits = runner.feed(&tokens[..70]);
                tokens[70..].iter().for_each(|&token| logits.extend(runner.feed(&[token])));
                logits
            };
            let expected = read(&alone);
            for threads in [2, 3, 5] {
                let model = load(threads);
                assert_eq!(model.pool().threads(), threads);
                assert!(read(&model) == expected, "{name} as {dtype} on {threads} threads");
            }
        }
    }
}

#[test]
fn truncate_and_continue_equals_fresh() {
    for name in FIXTURES {
        equivalence::truncate_and_continue_equals_fresh(name, &folder(name).load(), 80);
    }
}

#[test]
fn a_window_has_the_configured_length() {
    for name in ["mistral-window-f16", "minueza-shape-f16"] {
        equivalence::a_window_has_the_configured_length(name, &folder(name).load(), TOKENS);
    }
}

#[test]
fn a_session_that_reuses_its_cache_equals_a_new_one() {
    // Models with and without a chat template.
    for name in ["llama-tied-bf16", "minueza-shape-f16", "qwen2-bf16", "smollm3-bf16", "mistral-window-f16", "llama-odd-f32"] {
        equivalence::reuse_equals_fresh(name, Arc::new(folder(name).load()), 60);
    }
}

#[test]
fn a_chat_model_that_reuses_its_cache_equals_a_new_one() {
    equivalence::reuse_equals_fresh("chat", Arc::new(folder("chat").load()), 30);
}

#[test]
fn weights_may_arrive_in_chunks_of_any_size() {
    for name in ["llama-sharded-bf16", "minueza-shape-f16", "qwen3-f32"] {
        let folder = folder(name);
        let model = folder.load();
        let tokens = equivalence::any_tokens(&model, 20, 8);
        let expected = Runner::new(&model).feed(&tokens);
        let mut random = Random(9);
        for largest in [1, 7, 4096, usize::MAX] {
            let mut loader = Model::loader(&folder.files(), LoadOptions::default()).unwrap();
            assert_eq!(loader.files().len(), folder.weights.len(), "{name}");
            for file in &folder.weights {
                let mut rest = &file[..];
                while !rest.is_empty() {
                    let (chunk, after) = rest.split_at((1 + random.below(largest)).min(rest.len()));
                    loader.push(chunk).unwrap();
                    rest = after;
                }
                loader.end_file().unwrap();
            }
            let model = loader.finish().unwrap();
            assert_eq!(Runner::new(&model).feed(&tokens), expected, "{name} in chunks of up to {largest}");
        }
    }
}

#[test]
fn an_unused_cache_is_empty_and_grows_with_the_text() {
    let folder = folder("llama-tied-bf16");
    let model = folder.load();
    let mut runner = Runner::new(&model);
    assert_eq!(runner.cache.len(), 0);
    let tokens = equivalence::any_tokens(&model, 512, 10);
    runner.feed(&tokens[..8]);
    let small = runner.cache.bytes();
    runner.feed(&tokens[8..]);
    assert_eq!(runner.cache.len(), 512);
    assert!(runner.cache.bytes() > small, "{} bytes for 8 tokens and for 512", small);
    assert!(runner.cache.bytes() >= 512 * model.config().plan.kv_bytes_per_token(model.kv_dtype()));
}
