//! The same reference values and bit-for-bit properties in WebAssembly, with the kernels that a page uses.
//!
//! Everything is compiled into the test, because a browser has no files.
#![cfg(target_family = "wasm")]

mod common;

use std::sync::Arc;

use common::golden::Golden;
use common::{Folder, equivalence};
use wasm_bindgen_test::wasm_bindgen_test;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

/// A model folder and its golden values: `model!("story", "../models/story")`, with more files as fields.
macro_rules! model {
    ($name:literal, $folder:literal) => { model!($name, $folder, ["/model.safetensors"]) };
    ($name:literal, $folder:literal, [$($weights:literal),+] $(, $field:ident: $value:expr)*) => {
        (
            Folder {
                name: $name.into(),
                config: include_bytes!(concat!($folder, "/config.json")).to_vec(),
                tokenizer: include_bytes!(concat!($folder, "/tokenizer.json")).to_vec(),
                tokenizer_config: Some(include_bytes!(concat!($folder, "/tokenizer_config.json")).to_vec()),
                generation_config: Some(include_bytes!(concat!($folder, "/generation_config.json")).to_vec()),
                weights: vec![$(include_bytes!(concat!($folder, $weights)).to_vec()),+],
                $($field: Some($value.into()),)*
                ..Folder::default()
            },
            Golden::parse(include_bytes!(concat!("golden/", $name, ".json"))),
        )
    };
}

fn check((folder, golden): (Folder, Golden)) {
    let seen = golden.check(folder.load());
    assert!(seen.undecided <= 1 + seen.tokens / 1000, "{}: {seen:?}", folder.name);
}

#[wasm_bindgen_test]
fn llama_agrees_with_transformers() {
    check(model!("llama-untied-f32", "fixtures/llama-untied-f32"));
    check(model!("llama-bias-f32", "fixtures/llama-bias-f32"));
    check(model!("llama-odd-f32", "fixtures/llama-odd-f32"));
    check(model!("llama-tied-bf16", "fixtures/llama-tied-bf16"));
    check(model!("llama-subnormal-f16", "fixtures/llama-subnormal-f16"));
    check(model!("llama3-rope-bf16", "fixtures/llama3-rope-bf16"));
}

#[wasm_bindgen_test]
fn shards_agree_with_transformers() {
    check(model!(
        "llama-sharded-bf16",
        "fixtures/llama-sharded-bf16",
        ["/model-00001-of-00003.safetensors", "/model-00002-of-00003.safetensors", "/model-00003-of-00003.safetensors"],
        chat_template: include_str!("fixtures/llama-sharded-bf16/chat_template.jinja"),
        index: include_bytes!("fixtures/llama-sharded-bf16/model.safetensors.index.json")
    ));
}

#[wasm_bindgen_test]
fn mistral_agrees_with_transformers() {
    check(model!("mistral-window-f16", "fixtures/mistral-window-f16"));
    check(model!("minueza-shape-f16", "fixtures/minueza-shape-f16"));
}

#[wasm_bindgen_test]
fn the_other_families_agree_with_transformers() {
    check(model!("qwen2-bf16", "fixtures/qwen2-bf16"));
    check(model!("qwen2-window-f16", "fixtures/qwen2-window-f16"));
    check(model!("qwen3-f32", "fixtures/qwen3-f32"));
    check(model!(
        "smollm3-bf16",
        "fixtures/smollm3-bf16",
        ["/model.safetensors"],
        chat_template: include_str!("fixtures/smollm3-bf16/chat_template.jinja")
    ));
}

#[wasm_bindgen_test]
fn the_bundled_story_model_agrees_with_transformers() {
    check(model!("story", "../models/story"));
}

#[wasm_bindgen_test]
fn the_bundled_chat_model_agrees_with_transformers() {
    check(model!("chat", "../models/chat"));
}

#[wasm_bindgen_test]
fn prefill_equals_single_steps() {
    for (folder, _) in [
        model!("llama-odd-f32", "fixtures/llama-odd-f32"),
        model!("minueza-shape-f16", "fixtures/minueza-shape-f16"),
        model!("qwen2-bf16", "fixtures/qwen2-bf16"),
    ] {
        equivalence::prefill_equals_single_steps(&folder.name, &folder.load(), 150);
        equivalence::truncate_and_continue_equals_fresh(&folder.name, &folder.load(), 80);
    }
}

#[wasm_bindgen_test]
fn a_session_that_reuses_its_cache_equals_a_new_one() {
    let (folder, _) = model!("qwen2-bf16", "fixtures/qwen2-bf16");
    equivalence::reuse_equals_fresh(&folder.name, Arc::new(folder.load()), 40);
}
