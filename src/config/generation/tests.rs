//! Which fields of a file are read, which are ignored, and why.

use super::*;
use crate::options::Settings;
#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn read(json: &str) -> GenerationConfig {
    GenerationConfig::from_files(Some(json.as_bytes()), b"{}")
}

/// The names and reasons of what is left out.
fn ignored(json: &str) -> Vec<String> {
    read(json).ignored.into_iter().map(|Ignored { field, reason }| format!("{field} {reason}")).collect()
}

/// A file that names no tokens that end a text.
fn silent() -> GenerationConfig {
    GenerationConfig { eos: Some(Vec::new()), ..GenerationConfig::default() }
}

#[test]
fn ids_that_the_vocabulary_does_not_have_are_listed() {
    let json = br#"{"eos_token_id": [2, 999], "suppress_tokens": [3], "bad_words_ids": [[1, 320]], "sequence_bias": [[[400], 1.0]]}"#;
    let ignored = GenerationConfig::from_files(Some(json), b"{}").within(320).ignored;
    let listed: Vec<_> = ignored.iter().map(|Ignored { field, reason }| format!("{field} {reason}")).collect();
    assert_eq!(
        listed,
        [
            "bad_words_ids names 320, outside the vocabulary of 320",
            "eos_token_id names 999, outside the vocabulary of 320",
            "sequence_bias names 400, outside the vocabulary of 320"
        ]
    );
}

#[test]
fn a_published_file_gives_its_defaults() {
    // As published with Qwen3, with a list of eos ids and fields of other programs.
    let json = r#"{"bos_token_id": 151643, "do_sample": true, "eos_token_id": [151645, 151643], "pad_token_id": 151643,
        "temperature": 0.6, "top_k": 20, "top_p": 0.95, "transformers_version": "4.51.0", "_from_model_config": true}"#;
    let expected = GenerationConfig {
        eos: Some(vec![151645, 151643]),
        do_sample: Some(true),
        defaults: Options { temperature: Some(0.6), top_k: Some(20), top_p: Some(0.95), ..Options::default() },
        ..GenerationConfig::default()
    };
    assert_eq!(read(json), expected);
    assert_eq!(read("{}"), silent());
    assert_eq!(read(r#"{"eos_token_id": null, "top_k": null, "num_beams": null, "other": null}"#), silent());
}

#[test]
fn a_value_whose_meaning_is_plain_is_read() {
    let of = |json| read(json);
    let with = |defaults| GenerationConfig { defaults, ..silent() };
    assert_eq!(of(r#"{"top_k": -1}"#), with(Options { top_k: Some(0), ..Options::default() }));
    let counts = Options { top_k: Some(50), max_tokens: Some(9), ..Options::default() };
    assert_eq!(of(r#"{"top_k": 50.0, "max_new_tokens": "9"}"#), with(counts));
    let numbers = Options { temperature: Some(0.7), top_p: Some(1.0), ..Options::default() };
    assert_eq!(of(r#"{"temperature": "0.7", "top_p": 1.5}"#), with(numbers));
    assert_eq!(of(r#"{"eos_token_id": 2.0}"#).eos, Some(vec![2]));
    assert_eq!(of(r#"{"eos_token_id": ["7", -1, 9]}"#), GenerationConfig { eos: Some(vec![7, 9]), ..silent() });
    assert_eq!(of(r#"{"stop_strings": "7"}"#), GenerationConfig { stop: vec!["7".into()], ..silent() });
    assert_eq!(of(r#"{"epsilon_cutoff": 0.0, "eta_cutoff": 2, "suppress_tokens": []}"#).ignored, []);
    assert_eq!(of(r#"{"top_k": 3, "top_k": 4}"#).defaults.top_k, Some(4), "Python takes the last");
}

#[test]
fn tokens_that_end_a_text_are_counted_once_and_limited() {
    assert_eq!(read(r#"{"eos_token_id": [7, 9, 7]}"#).eos, Some(vec![7, 9]));
    let of = |ids: &[u32]| serde_json::json!({ "eos_token_id": ids }).to_string();
    assert_eq!(read(&of(&[5; 100_000])), GenerationConfig { eos: Some(vec![5]), ..silent() });
    let many: Vec<u32> = (0..1025).rev().collect();
    assert_eq!(read(&of(&many)).eos.as_deref(), Some(&many[..1024]));
    assert_eq!(ignored(&of(&many)), ["eos_token_id names 1025 tokens, of which the first 1024 hold"]);
    let with_text = of(&many).replace("[1024,", "[1024,\"x\",");
    assert_eq!(
        ignored(&with_text),
        ["eos_token_id holds \"x\", which is no token id, and names 1025 tokens, of which the first 1024 hold"]
    );
}

#[test]
fn of_a_sequence_that_has_two_biases_the_last_holds() {
    let biases = read(r#"{"sequence_bias": [[[1, 2], 3], [[1], 4], [[1, 2], 5], [[2], 6], [[1, 2], 7]]}"#).defaults.sequence_bias;
    assert_eq!(biases, Some(vec![(vec![1], 4.0), (vec![2], 6.0), (vec![1, 2], 7.0)]));
}

#[test]
fn a_value_out_of_its_range_is_left_out_and_named() {
    let cases = [
        (r#"{"temperature": -1}"#, "temperature is -1, not a number from 0"),
        (r#"{"temperature": "hot"}"#, "temperature is \"hot\", not a number from 0"),
        (r#"{"temperature": NaN}"#, "temperature is \"NaN\", not a number from 0"),
        (r#"{"temperature": -Infinity}"#, "temperature is \"-Infinity\", not a number from 0"),
        (r#"{"temperature": 1e300}"#, "temperature is 1e+300, not a number from 0"),
        (r#"{"temperature": [0.7]}"#, "temperature is [0.7], not a number from 0"),
        (r#"{"top_p": -0.1}"#, "top_p is -0.1, not a number from 0"),
        (r#"{"min_p": 1.1}"#, "min_p is 1.1, not a number from 0 to 1"),
        (r#"{"typical_p": 0}"#, "typical_p is 0, not a number above 0"),
        (r#"{"repetition_penalty": 0}"#, "repetition_penalty is 0, not a number above 0"),
        (r#"{"repetition_penalty": 1e-46}"#, "repetition_penalty is 1e-46, not a number above 0"),
        (r#"{"top_k": -2}"#, "top_k is -2, not a whole number from 0"),
        (r#"{"top_k": 0.5}"#, "top_k is 0.5, not a whole number from 0"),
        (r#"{"max_new_tokens": 0}"#, "max_new_tokens is 0, not a whole number from 1"),
        (r#"{"min_new_tokens": -1}"#, "min_new_tokens is -1, not a whole number from 0"),
        (r#"{"do_sample": 1}"#, "do_sample is 1, not true or false"),
        (r#"{"stop_strings": ["a", ""]}"#, "stop_strings is [\"a\",\"\"], not a text or a list of at most 256, none of them empty"),
        (r#"{"eos_token_id": "</s>"}"#, "eos_token_id holds \"</s>\", which is no token id"),
        (r#"{"eos_token_id": [2.5, true]}"#, "eos_token_id holds 2.5, which is no token id"),
        (r#"{"top_h": 2}"#, "top_h is 2, not a number from 0 to 1"),
        (r#"{"no_repeat_ngram_size": -3}"#, "no_repeat_ngram_size is -3, not a whole number from 0"),
        (r#"{"suppress_tokens": [[1]]}"#, "suppress_tokens is [[1]], not a token id or a list of at most 65536 (an empty list is off)"),
        (
            r#"{"sequence_bias": {"(1, 2)": 3.0}}"#,
            "sequence_bias is {\"(1, 2)\":3.0}, not a list of pairs [list of token ids, number], at most 65536 ids in all (an empty list is off)",
        ),
        (
            r#"{"exponential_decay_length_penalty": [5]}"#,
            "exponential_decay_length_penalty is [5], not a pair [whole number from 0, number from 0] (an empty list is off)",
        ),
    ];
    for (json, want) in cases {
        assert_eq!(ignored(json), [want]);
        let kept = read(json);
        assert_eq!(GenerationConfig { ignored: Vec::new(), eos: Some(Vec::new()), ..kept }, silent(), "{json}");
    }
}

#[test]
fn what_is_not_done_here_is_named_unless_it_is_off() {
    let asked = r#"{"num_beams": 4, "penalty_alpha": 0.6, "dola_layers": "high", "guidance_scale": 1.5, "watermarking_config": {"bias": 2},
        "max_time": 3, "num_return_sequences": 2, "custom": 1}"#;
    let expected = [
        "custom is not known",
        "dola_layers asks for decoding by contrasting layers",
        "guidance_scale asks for classifier-free guidance",
        "max_time asks for a limit of time; an AbortSignal sets one",
        "num_beams asks for beam search",
        "num_return_sequences asks for several answers; the option `n` gives them",
        "penalty_alpha asks for contrastive search",
        "watermarking_config asks for a watermark",
    ];
    assert_eq!(ignored(asked), expected);
    let off = r#"{"num_beams": 1, "num_beam_groups": 1, "diversity_penalty": 0.0, "penalty_alpha": 0, "guidance_scale": 1.0, "constraints": [],
        "watermarking_config": {}, "token_healing": false, "use_cache": false, "length_penalty": 2.0, "early_stopping": true}"#;
    assert_eq!(read(off), silent());
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_config_json_serves() {
    let config = br#"{"eos_token_id": 2, "hidden_size": 32, "temperature": 0.5, "top_k": 7, "num_beams": 3}"#;
    let of = |file: Option<&[u8]>| GenerationConfig::from_files(file, config);
    let legacy = of(None);
    assert_eq!(
        (legacy.eos.clone(), legacy.defaults.temperature, legacy.defaults.top_k, legacy.ignored.len()),
        (None, Some(0.5), Some(7), 1)
    );
    let cases: [(&[u8], &str); 9] = [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"<!DOCTYPE html>", "is not JSON"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is not JSON"),
        (b"\xef\xbb\xbf{}", "is not JSON"),
        (b"{\"top_k\": 3", "is not JSON"),
        (b"{\"a\": \"\xff\"}", "is not UTF-8 text"),
        (b"null", "is null, not a JSON object"),
        (b"[1]", "is [1], not a JSON object"),
    ];
    for (bytes, reason) in cases {
        let mut expected = legacy.clone();
        expected.ignored.insert(0, Ignored { field: "generation_config.json".into(), reason: reason.into() });
        assert_eq!(of(Some(bytes)), expected);
    }
    assert_eq!(of(Some(b"{}")), silent(), "a file that says nothing is one");
}

#[test]
fn nesting_without_end_is_no_file() {
    assert_eq!(ignored(&"[".repeat(100_000)), ["generation_config.json is not JSON"]);
}

#[test]
fn more_tokens_at_least_than_the_default_at_most_are_both() {
    let settings = Options { min_tokens: Some(9000), ..Options::default() }.settle(&GenerationConfig::default(), 0);
    assert_eq!((settings.min_tokens, settings.max_tokens), (9000, 9000));
}

#[test]
fn defaults_come_from_the_model_and_then_from_us() {
    let model = GenerationConfig {
        defaults: Options { temperature: Some(0.3), top_k: Some(9), ..Options::default() },
        ..GenerationConfig::default()
    };
    let settings = Options { top_k: Some(2), ..Options::default() }.settle(&model, 0);
    assert_eq!((settings.temperature, settings.top_k, settings.top_p), (0.3, 2, Settings::default().top_p));
    let greedy = GenerationConfig { do_sample: Some(false), ..model };
    assert_eq!(Settings::of(&greedy).temperature, 0.0);
}

#[test]
fn a_publisher_who_asks_for_sampling_means_the_defaults_of_transformers() {
    let of = |do_sample| {
        let Settings { temperature, top_k, top_p, .. } = Settings::of(&GenerationConfig { do_sample, ..GenerationConfig::default() });
        (temperature, top_k, top_p)
    };
    assert_eq!(of(Some(true)), (1.0, 50, 1.0));
    assert_eq!(of(None), (0.7, 0, 0.95));
    assert_eq!(of(Some(false)), (0.0, 0, 0.95));
}

#[test]
fn lengths_of_prompt_and_answer_together_become_those_of_the_answer() {
    let model = GenerationConfig { max_length: Some(50), min_length: Some(45), ..GenerationConfig::default() };
    let lengths = |model: &GenerationConfig, prompt| {
        let Settings { max_tokens, min_tokens, .. } = Options::default().settle(model, prompt);
        (max_tokens, min_tokens)
    };
    assert_eq!([lengths(&model, 0), lengths(&model, 40), lengths(&model, 46), lengths(&model, 50)], [(50, 45), (10, 5), (4, 0), (512, 0)]);
    let model = GenerationConfig { defaults: Options { max_tokens: Some(3), min_tokens: Some(2), ..Options::default() }, ..model };
    assert_eq!(lengths(&model, 40), (3, 2), "those of the answer go before them");
}
