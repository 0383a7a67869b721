//! Logits and greedy text equal those of Hugging Face transformers.
//!
//! `tests/golden` has the reference values, and the scripts that made them.
#![cfg(not(target_family = "wasm"))]

mod common;

use common::files::{FIXTURES, folder, golden, shared_story};
use common::golden::Seen;
use common::{Folder, Runner};
use fireside::Dtype;

/// The comparison may stop early only where the reference's top two logits are too close, which is rare.
fn check(name: &str, folder: &Folder, dtype: Option<Dtype>) -> Seen {
    let seen = golden(name).check(folder.try_load(dtype).unwrap());
    eprintln!("{name} as {dtype:?}: {seen:?}");
    assert!(seen.undecided <= 1 + seen.tokens / 1000, "{name}: {seen:?}");
    seen
}

#[test]
fn every_family_agrees_with_transformers() {
    let tokens: usize = FIXTURES.iter().map(|name| check(name, &folder(name), None).tokens).sum();
    assert!(tokens > FIXTURES.len() * 800, "only {tokens} tokens were compared");
}

#[test]
fn widened_to_f32_a_16_bit_file_gives_the_same() {
    for name in FIXTURES.iter().filter(|name| !name.ends_with("f32")) {
        check(name, &folder(name), Some(Dtype::F32));
    }
}

#[test]
fn both_spellings_of_the_config_are_the_same_model() {
    let mut compared = 0;
    for name in FIXTURES {
        let mut folder = folder(name);
        let Some(other) = folder.other_config.take() else { continue };
        let tokens = &golden(name).cases[0].ids;
        let logits = Runner::new(&folder.load()).feed(tokens);
        folder.config = other;
        assert_eq!(Runner::new(&folder.load()).feed(tokens), logits, "{name}");
        compared += 1;
    }
    assert_eq!(compared, 7);
}

#[test]
fn the_bundled_story_model_agrees_with_transformers() {
    check("story", &folder("story"), None);
}

#[test]
fn the_bundled_chat_model_agrees_with_transformers() {
    check("chat", &folder("chat"), None);
}

#[test]
fn the_published_story_model_agrees_with_transformers() {
    if let Some(folder) = shared_story() {
        assert!(check("shared-story", &folder, None).tokens > 400);
    }
}
