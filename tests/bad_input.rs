//! Bad input gives a specific error with a code, and loaded models and sessions keep working. Malformed
//! files are in `tests/hostile.rs`.
//!
//! The tests have each message in full, because somebody who reads it must know what to do.
#![cfg(not(target_family = "wasm"))]

mod common;

use std::sync::Arc;

use common::files::folder;
use common::{Folder, greedy};
use fireside::{LoadOptions, Message, Options, Result, Session};
use serde_json::{Value, json};

/// The code and the full message of a failure.
#[track_caller]
fn refused<T>(result: Result<T>, code: &str, message: &str) {
    match result {
        Ok(_) => panic!("accepted, expected {code}"),
        Err(error) => assert_eq!((error.code(), error.to_string().as_str()), (code, message)),
    }
}

#[test]
fn a_wrong_number_of_weight_files_is_reported() {
    let mut single = folder("qwen2-bf16");
    single.weights.push(Vec::new());
    refused(single.try_load(None).map(drop), "BAD_INPUT", "weights: expected 1 file(s): model.safetensors, got 2.");
    single.weights.clear();
    refused(single.try_load(None).map(drop), "BAD_INPUT", "weights: expected 1 file(s): model.safetensors, got 0.");
    let mut sharded = folder("llama-sharded-bf16");
    sharded.weights.pop();
    refused(
        sharded.try_load(None).map(drop),
        "BAD_INPUT",
        "weights: expected 3 file(s): model-00001-of-00003.safetensors, model-00002-of-00003.safetensors, model-00003-of-00003.safetensors, got 2.",
    );
    sharded.index = None;
    refused(sharded.try_load(None).map(drop), "BAD_INPUT", "weights: expected 1 file(s): model.safetensors, got 2.");
}

/// A session, on which a valid call follows each refused one.
struct Survivor {
    session: Session,
    expected: Vec<u32>,
}

impl Survivor {
    fn new() -> Survivor {
        let model = Arc::new(folder("qwen2-bf16").load());
        let expected = Session::new(model.clone()).generate("hello", &greedy(8)).unwrap().finish().unwrap().tokens;
        Survivor { session: Session::new(model), expected }
    }

    #[track_caller]
    fn generate_refused(&mut self, prompt: &str, options: &Options, code: &str, message: &str) {
        refused(self.session.generate(prompt, options).and_then(|pieces| pieces.finish()), code, message);
        self.works_on();
    }

    #[track_caller]
    fn chat_refused(&mut self, history: Vec<Message>, code: &str, message: &str) {
        refused(self.session.chat(history, &greedy(8)).and_then(|pieces| pieces.finish()), code, message);
        self.works_on();
    }

    #[track_caller]
    fn works_on(&mut self) {
        assert_eq!(self.session.generate("hello", &greedy(8)).unwrap().finish().unwrap().tokens, self.expected);
    }
}

#[test]
fn an_empty_prompt_is_refused() {
    let mut survivor = Survivor::new();
    survivor.generate_refused("", &greedy(8), "BAD_INPUT", "prompt: expected some text, got an empty one.");
}

#[test]
fn a_prompt_longer_than_the_context_reports_both_lengths() {
    let mut survivor = Survivor::new();
    survivor.generate_refused(
        &"t ".repeat(600),
        &greedy(8),
        "CONTEXT_OVERFLOW",
        "602 tokens do not fit into this model's context of 512. Shorten the prompt, reset the chat, or ask for fewer tokens.",
    );
}

#[test]
fn an_option_out_of_range_is_named_with_its_range() {
    let mut survivor = Survivor::new();
    let options = greedy(8);
    for temperature in [-1.0, f32::NAN, f32::INFINITY] {
        let options = Options { temperature: Some(temperature), ..options.clone() };
        let message = format!("option `temperature`: expected a number from 0 (0 is greedy), got {temperature}.");
        survivor.generate_refused("hello", &options, "BAD_OPTION", &message);
    }
    survivor.generate_refused(
        "hello",
        &Options { top_p: Some(1.5), ..options.clone() },
        "BAD_OPTION",
        "option `topP`: expected a number above 0 and at most 1, got 1.5.",
    );
    survivor.generate_refused(
        "hello",
        &Options { top_p: Some(-0.1), ..options.clone() },
        "BAD_OPTION",
        "option `topP`: expected a number above 0 and at most 1, got -0.1.",
    );
    survivor.generate_refused(
        "hello",
        &Options { min_p: Some(1.5), ..options.clone() },
        "BAD_OPTION",
        "option `minP`: expected a number from 0 to 1, got 1.5.",
    );
    survivor.generate_refused(
        "hello",
        &Options { repetition_penalty: Some(0.0), ..options.clone() },
        "BAD_OPTION",
        "option `repetitionPenalty`: expected a number above 0 (1 is off), got 0.",
    );
    survivor.generate_refused(
        "hello",
        &Options { stop: vec![String::new()], ..options.clone() },
        "BAD_OPTION",
        "option `stop`: expected a text or a token id or a list of them, at most 16 texts, none of them empty, and 64 ids, got an empty text.",
    );
    let vocab = survivor.session.model().tokenizer().vocab();
    let beyond = format!("token ids below {vocab}, the size of the model's vocabulary, got {vocab}.");
    let biased = Options { logit_bias: Some(vec![(0, 1.0), (vocab as u32, 1.0)]), ..options.clone() };
    survivor.generate_refused("hello", &biased, "BAD_OPTION", &format!("option `logitBias`: expected {beyond}"));
    let stopped = Options { stop_tokens: vec![vocab as u32], ..options.clone() };
    survivor.generate_refused("hello", &stopped, "BAD_OPTION", &format!("option `stop`: expected {beyond}"));
}

#[test]
fn a_misspelt_option_is_refused_with_the_known_ones() {
    refused(
        Options::from_json(&json!({"temprature": 0.5})).map(drop),
        "BAD_OPTION",
        "option `temprature`: expected one of maxTokens, minTokens, temperature, topK, topP, minP, typicalP, repetitionPenalty, \
         frequencyPenalty, presencePenalty, logitBias, stop, stopTokenIds, seed, logprobs, n, overflow, chatTemplateKwargs, \
         noRepeatNgramSize, encoderNoRepeatNgramSize, encoderRepetitionPenalty, badWordsIds, sequenceBias, suppressTokens, beginSuppressTokens, \
         forcedBosTokenId, forcedEosTokenId, exponentialDecayLengthPenalty, topH, epsilonCutoff, etaCutoff, got an unknown name.",
    );
    refused(
        Options::from_json(&json!({"maxTokens": 5, "max_tokens": 6})).map(drop),
        "BAD_OPTION",
        "option `max_tokens`: expected `maxTokens` only once, in one spelling, got 6.",
    );
    refused(
        Options::from_json(&json!({"max_new_tokens": -1})).map(drop),
        "BAD_OPTION",
        "option `max_new_tokens`: expected a whole number from 1, got -1.",
    );
    refused(
        Options::from_json(&json!({"temperature": -1})).map(drop),
        "BAD_OPTION",
        "option `temperature`: expected a number from 0 (0 is greedy), got -1.",
    );
    refused(
        LoadOptions::from_json(&json!({"dtype": "f64"})).map(drop),
        "BAD_OPTION",
        "option `dtype`: expected one of auto, f32, f16, bf16, q8, q4, got \"f64\".",
    );
    refused(
        LoadOptions::from_json(&json!({"type": "f32"})).map(drop),
        "BAD_OPTION",
        "option `type`: expected one of dtype, kvDtype, weightBytesMax, memoryBytesMax, kvBytesMax, got an unknown name.",
    );
}

#[test]
fn a_chat_that_does_not_end_in_a_user_turn_is_refused() {
    let message = |role: &str, content: &str| Message::new(role, content);
    let mut survivor = Survivor::new();
    survivor.chat_refused(vec![], "BAD_INPUT", "messages is an empty list. Pass at least one message.");
    survivor.chat_refused(
        vec![message("user", "hello"), message("assistant", "hi")],
        "BAD_INPUT",
        "messages[1] is the assistant's, and there is nothing to answer. End the list in a message to answer, or add it by `append`.",
    );
    refused(survivor.session.chat("", &greedy(8)).map(drop), "BAD_INPUT", "input is an empty text. Pass what the user says.");
    survivor.works_on();
    assert!(survivor.session.messages().is_empty());
}

/// A fixture with another first number in `tensor`.
fn with_number(tensor: &str, value: f32) -> Folder {
    let mut folder = folder("llama-untied-f32");
    let file = &mut folder.weights[0];
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&file[8..8 + length]).unwrap();
    let at = 8 + length + header[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
    file[at..at + 4].copy_from_slice(&value.to_le_bytes());
    folder
}

#[test]
fn a_model_that_computes_nan_or_infinity_gives_an_error() {
    let model = Arc::new(with_number("model.norm.weight", f32::MAX).load());
    let mut session = Session::new(model);
    for _ in 0..2 {
        refused(
            session.generate("hello", &greedy(4)).and_then(|pieces| pieces.finish()),
            "NON_FINITE",
            "the model computed a logit that is infinity for token 267 at position 8. The weights are damaged, or the model needs a wider `dtype` such as f32.",
        );
    }
    refused(
        session.chat("hello", &greedy(4)).and_then(|pieces| pieces.finish()),
        "NON_FINITE",
        "the model computed a logit that is infinity for token 270 at position 24. The weights are damaged, or the model needs a wider `dtype` such as f32.",
    );
    assert!(session.messages().is_empty());
}
