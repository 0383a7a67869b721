//! A generation_config.json of any bytes gives defaults with which the sampler works.
#![no_main]

use fireside::Options;
use fireside::internals::{GenerationConfig, Sampler};
use fireside_fuzz::file;
use libfuzzer_sys::fuzz_target;

const SOUND: [&[u8]; 2] = [
    include_bytes!("../../tests/fixtures/qwen2-bf16/generation_config.json"),
    br#"{"do_sample":true,"eos_token_id":[1,2],"temperature":0.6,"top_k":20,"top_p":0.95,"min_p":0.1,"typical_p":0.9,"repetition_penalty":1.1,"max_new_tokens":9,"min_new_tokens":2,
        "no_repeat_ngram_size":2,"bad_words_ids":[[1],[2,3]],"sequence_bias":[[[0],1.5]],"suppress_tokens":[3],"begin_suppress_tokens":[0],"forced_eos_token_id":1,
        "exponential_decay_length_penalty":[1,1.5],"encoder_repetition_penalty":1.5,"top_h":0.4,"epsilon_cutoff":0.01,"eta_cutoff":0.01,"stop_strings":["a"],"max_length":40}"#,
];

fuzz_target!(|data: &[u8]| {
    let Some(json) = file(&SOUND, data) else { return };
    let model = GenerationConfig::from_files(Some(&json), b"{}");
    assert_eq!(model, GenerationConfig::from_files(Some(&json), b"{}"));

    let settings = Options::default().settle(&model, 2);
    assert!(settings.max_tokens > 0);
    assert!(settings.temperature >= 0.0 && settings.temperature.is_finite());
    assert!((0.0..=1.0).contains(&settings.top_p) && (0.0..=1.0).contains(&settings.min_p));
    assert!(settings.typical_p > 0.0 && settings.typical_p <= 1.0);
    assert!(settings.repetition_penalty > 0.0 && settings.repetition_penalty.is_finite());
    let mut sampler = Sampler::new(settings, 1, vec![3]);
    for _ in 0..3 {
        assert!(sampler.sample(&mut [0.5, -1.0, 3.0, 3.0], &[0, 2], &[]).token < 4);
    }
});
