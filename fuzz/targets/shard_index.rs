//! An index of any bytes gives an error, or a sorted list of distinct plain names, all of them named by the
//! index.
#![no_main]

use std::collections::BTreeSet;

use fireside::internals::{Loader, ModelConfig};
use fireside_fuzz::{TINY, TINY_TENSORS, file};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

fuzz_target!(|data: &[u8]| {
    let names = ["m-1.safetensors", "m-2.safetensors"];
    let map: Map<String, Value> = TINY_TENSORS.iter().enumerate().map(|(at, (name, _))| ((*name).into(), names[at / 6].into())).collect();
    let sound = json!({"metadata": {"total_size": 136}, "weight_map": map}).to_string();
    let Some(index) = file(&[sound.as_bytes()], data) else { return };

    let config = ModelConfig::from_json(TINY.as_bytes()).expect("the tiny config");
    let Ok(mut loader) = Loader::new(&config, Some(&index), None) else { return };
    let files = loader.files().to_vec();
    assert!(!files.is_empty() && files.is_sorted_by(|a, b| a < b), "{files:?}");
    for file in &files {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        assert!(file.ends_with(".safetensors") && file.chars().all(plain) && !file.contains(".."), "{file:?}");
    }
    let json: Value = serde_json::from_slice(&index).expect("an accepted index is JSON");
    let named: BTreeSet<&str> = json["weight_map"].as_object().expect("a map").values().filter_map(Value::as_str).collect();
    assert!(named.into_iter().eq(files.iter().map(String::as_str)));
    // No index asks for a file without tensors.
    assert!(loader.push(&[2, 0, 0, 0, 0, 0, 0, 0, b'{', b'}']).is_err());
});
