//! The defaults in `generation_config.json`: the same text as transformers writes with the same file, and a
//! list of the ignored fields.
#![cfg(not(target_family = "wasm"))]

mod common;

use std::{fs, path::Path, sync::Arc};

use common::{Folder, files};
use fireside::{Model, Options, Session};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

/// See `tests/golden/make_generation.py`.
#[derive(Deserialize)]
struct Case {
    name: String,
    generation_config: Option<String>,
    config: serde_json::Map<String, Value>,
    swap: Vec<usize>,
    prompt: String,
    options: Value,
    ignored: Vec<String>,
    text: String,
    finish: String,
}

impl Case {
    fn folder(&self) -> Folder {
        let mut folder = files::folder("llama-untied-f32");
        folder.generation_config = self.generation_config.clone().map(String::into_bytes);
        let mut config: serde_json::Map<String, Value> = serde_json::from_slice(&folder.config).unwrap();
        config.extend(self.config.clone());
        config.retain(|_, value| !value.is_null());
        folder.config = serde_json::to_vec(&config).unwrap();
        if let [one, other] = self.swap[..] {
            swap_head_rows(&mut folder.weights[0], one, other);
        }
        folder
    }
}

/// Exchanges two rows of `lm_head.weight` in a file of safetensors.
fn swap_head_rows(file: &mut [u8], one: usize, other: usize) {
    let header = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let tensors: Value = serde_json::from_slice(&file[8..8 + header]).unwrap();
    let head = &tensors["lm_head.weight"];
    let number = |value: &Value| value.as_u64().unwrap() as usize;
    let start = 8 + header + number(&head["data_offsets"][0]);
    let bytes = 4 * number(&head["shape"][1]);
    for byte in 0..bytes {
        file.swap(start + one * bytes + byte, start + other * bytes + byte);
    }
}

#[test]
fn every_file_gives_the_text_of_transformers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/generation.json");
    let golden: Golden = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    assert!(golden.cases.len() > 50);
    for case in golden.cases {
        let model = Arc::new(case.folder().load());
        assert_eq!(model.ignored_config(), case.ignored, "{}", case.name);
        let options = Options { temperature: Some(0.0), ..Options::from_json(&case.options).unwrap() };
        let completion = Session::new(model).generate(&case.prompt, &options).unwrap().finish().unwrap();
        let got = (completion.text.as_str(), completion.finish_reason.as_str());
        assert_eq!(got, (case.text.as_str(), case.finish.as_str()), "{}", case.name);
    }
}

/// The fixture with this generation_config.json.
fn model(generation_config: Option<&str>) -> Model {
    let mut folder = files::folder("llama-untied-f32");
    folder.generation_config = generation_config.map(|text| text.as_bytes().to_vec());
    folder.load()
}

#[test]
fn a_chat_also_ends_at_the_tokenizers_eos_token() {
    // 2 is the tokenizer's `eos_token`, 4 is `<|im_end|>`, which ends a turn in ChatML.
    let ends = |generation| {
        let model = model(generation);
        let sorted = |mut ends: Vec<u32>| {
            ends.sort_unstable();
            ends.dedup();
            ends
        };
        (sorted(model.eos_ids()), sorted(model.turn_eos_ids()))
    };
    assert_eq!(ends(Some(r#"{"eos_token_id": 319}"#)), (vec![319], vec![2, 4, 319]));
    assert_eq!(ends(Some("{}")), (vec![], vec![2, 4]));
    assert_eq!(ends(None), (vec![2], vec![2, 4]));
}

#[test]
fn the_models_stop_strings_apply_beside_the_callers() {
    let model = Arc::new(model(Some(r#"{"stop_strings": ["soi"]}"#)));
    let text = |stop: &str| {
        let options = Options { stop: vec![stop.into()], ..common::greedy(16) };
        Session::new(model.clone())
            .generate("Once upon a time there was a little cat, and it said", &options)
            .unwrap()
            .finish()
            .unwrap()
            .text
    };
    assert_eq!(text("zzz"), "itA andmita");
    assert_eq!(text("and"), "itA ");
}

#[test]
fn a_caller_turns_off_a_rule_of_the_file() {
    let model = Arc::new(model(Some(r#"{"no_repeat_ngram_size": 1, "suppress_tokens": [308]}"#)));
    let options =
        Options::from_json(&serde_json::json!({"noRepeatNgramSize": 0, "suppressTokens": [], "temperature": 0, "maxTokens": 16})).unwrap();
    let text =
        Session::new(model).generate("Once upon a time there was a little cat, and it said", &options).unwrap().finish().unwrap().text;
    assert_eq!(text, "itA andmitasoiq apen thezfT");
}
