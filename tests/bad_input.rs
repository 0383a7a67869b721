//! Bad input gives its own clear error with a code, and what was loaded before goes on working.
//!
//! Each message is written out in full, because a message is read by somebody who has to act on it.
#![cfg(not(target_family = "wasm"))]

mod common;

use std::sync::Arc;

use common::files::folder;
use common::{Folder, greedy};
use fireside::{LoadOptions, Message, Options, Result, Session};
use serde_json::{Value, json};

const HTML: &[u8] = b"<!DOCTYPE html>\n<html><head><title>404</title></head><body>Not Found</body></html>\n";
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n\
    oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 269060552\n";

/// The code and the whole message of a failure.
#[track_caller]
fn refused<T>(result: Result<T>, code: &str, message: &str) {
    match result {
        Ok(_) => panic!("accepted, expected {code}"),
        Err(error) => assert_eq!((error.code(), error.to_string().as_str()), (code, message)),
    }
}

/// A sound folder with one thing changed.
fn with(change: impl FnOnce(&mut Folder)) -> Folder {
    let mut folder = folder("qwen2-bf16");
    change(&mut folder);
    folder
}

#[track_caller]
fn load_refused(change: impl FnOnce(&mut Folder), code: &str, message: &str) {
    refused(with(change).try_load(None).map(drop), code, message);
}

fn edit_config(folder: &mut Folder, change: impl FnOnce(&mut serde_json::Map<String, Value>)) {
    let mut config: Value = serde_json::from_slice(&folder.config).unwrap();
    change(config.as_object_mut().unwrap());
    folder.config = serde_json::to_vec(&config).unwrap();
}

/// A safetensors file whose header is changed, with the length before it put right.
fn edit_header(folder: &mut Folder, change: impl FnOnce(&mut serde_json::Map<String, Value>)) {
    let file = &folder.weights[0];
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&file[8..8 + length]).unwrap();
    change(header.as_object_mut().unwrap());
    let header = serde_json::to_vec(&header).unwrap();
    folder.weights[0] = [&(header.len() as u64).to_le_bytes()[..], &header, &file[8 + length..]].concat();
}

#[test]
fn a_missing_weight_file_is_named() {
    load_refused(|folder| folder.weights.clear(), "BAD_INPUT", "weights: expected 1 file(s): model.safetensors, got 0.");
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

/// Every file of a folder, replaced in turn.
fn each_replaced(bytes: &[u8]) -> [(&'static str, Folder); 6] {
    let mut sharded = folder("llama-sharded-bf16");
    sharded.index = Some(bytes.to_vec());
    [
        ("config.json", with(|folder| folder.config = bytes.to_vec())),
        ("tokenizer.json", with(|folder| folder.tokenizer = bytes.to_vec())),
        ("model.safetensors", with(|folder| folder.weights[0] = bytes.to_vec())),
        ("tokenizer_config.json", with(|folder| folder.tokenizer_config = Some(bytes.to_vec()))),
        ("generation_config.json", with(|folder| folder.generation_config = Some(bytes.to_vec()))),
        ("model.safetensors.index.json", sharded),
    ]
}

#[test]
fn an_html_page_is_recognised() {
    for (file, folder) in each_replaced(HTML) {
        let message = format!(
            "{file} is not the model file it should be: it is an HTML page that begins “<!DOCTYPE html> <html><head><title>404</title></head>\
             <body>Not Found</body></htm...”. Open its address in a browser tab: it may be mistyped, or the model may ask for a login or an \
             accepted licence."
        );
        refused(folder.try_load(None).map(drop), "NOT_A_MODEL_FILE", &message);
    }
}

#[test]
fn a_git_lfs_pointer_is_recognised() {
    for (file, folder) in each_replaced(LFS_POINTER) {
        let message = format!(
            "{file} is not the model file it should be: it is a Git LFS pointer, a note that stands in for the real file of 269060552 bytes. \
             Run `git lfs pull` in the clone, or download the file itself from the model's page."
        );
        refused(folder.try_load(None).map(drop), "NOT_A_MODEL_FILE", &message);
    }
}

#[test]
fn an_empty_file_is_recognised() {
    for (file, folder) in each_replaced(b"") {
        let message =
            format!("{file} is not the model file it should be: it is empty. Download it again: the transfer ended before its first byte.");
        refused(folder.try_load(None).map(drop), "NOT_A_MODEL_FILE", &message);
    }
}

#[test]
fn other_kinds_of_model_file_are_recognised() {
    let start = |bytes: &[u8]| [bytes, &[0u8; 200]].concat();
    load_refused(
        |folder| folder.weights[0] = start(b"GGUF\x03\0\0\0"),
        "NOT_A_MODEL_FILE",
        "model.safetensors is not the model file it should be: it is a GGUF file, the format of llama.cpp. Fireside reads safetensors: use the files of the same model that end in .safetensors.",
    );
    load_refused(
        |folder| folder.weights[0] = start(b"PK\x03\x04"),
        "NOT_A_MODEL_FILE",
        "model.safetensors is not the model file it should be: it is a ZIP archive, as PyTorch's .bin and .pt files are. Fireside reads safetensors: use the files of the same model that end in .safetensors.",
    );
    load_refused(
        |folder| folder.weights[0] = br#"{"error":"Repository not found"}"#.to_vec(),
        "NOT_A_MODEL_FILE",
        "model.safetensors is not the model file it should be: it is a server's error message: “{\"error\":\"Repository not found\"}”. Open its address in a browser tab: it may be mistyped, or the model may ask for a login or an accepted licence.",
    );
    load_refused(
        |folder| folder.config = br#"{"error":"Repository not found"}"#.to_vec(),
        "NOT_A_MODEL_FILE",
        "config.json is not the model file it should be: it is a server's error message: “{\"error\":\"Repository not found\"}”. Open its address in a browser tab: it may be mistyped, or the model may ask for a login or an accepted licence.",
    );
}

#[test]
fn a_truncated_safetensors_file_says_how_much_is_missing() {
    load_refused(
        |folder| folder.weights[0].truncate(7),
        "BAD_FILE",
        "model.safetensors: the whole file: expected at least 9 bytes for the header, got 7 bytes. Download the file again, or report it to whoever published the model.",
    );
    load_refused(
        |folder| folder.weights[0].truncate(100),
        "BAD_FILE",
        "model.safetensors: the whole file: expected at least 2648 bytes for the header, got 100 bytes. Download the file again, or report it to whoever published the model.",
    );
    load_refused(
        |folder| {
            folder.weights[0].pop();
        },
        "BAD_FILE",
        "model.safetensors: the whole file: expected 117944 bytes, got 117943 bytes. Download the file again, or report it to whoever published the model.",
    );
    load_refused(
        |folder| {
            let half = folder.weights[0].len() / 2;
            folder.weights[0].truncate(half);
        },
        "BAD_FILE",
        "model.safetensors: the whole file: expected 117944 bytes, got 58972 bytes. Download the file again, or report it to whoever published the model.",
    );
}

#[test]
fn a_padded_safetensors_file_is_refused() {
    load_refused(
        |folder| folder.weights[0].push(0),
        "BAD_FILE",
        "model.safetensors: byte 117944: expected the end of the file, got more bytes. Download the file again, or report it to whoever published the model.",
    );
    load_refused(|folder| folder.weights.push(Vec::new()), "BAD_INPUT", "weights: expected 1 file(s): model.safetensors, got 2.");
}

#[test]
fn a_header_of_2_to_the_63_bytes_is_refused() {
    load_refused(
        |folder| folder.weights[0][..8].copy_from_slice(&(1u64 << 63).to_le_bytes()),
        "BAD_FILE",
        "model.safetensors: bytes 0 to 7: expected a header length from 2 to 16777216, got 9223372036854775808. Download the file again, or report it to whoever published the model.",
    );
    load_refused(
        |folder| folder.weights[0][..8].copy_from_slice(&u64::MAX.to_le_bytes()),
        "BAD_FILE",
        "model.safetensors: bytes 0 to 7: expected a header length from 2 to 16777216, got 18446744073709551615. Download the file again, or report it to whoever published the model.",
    );
    load_refused(
        |folder| folder.weights[0][..8].copy_from_slice(&100_000_001u64.to_le_bytes()),
        "BAD_FILE",
        "model.safetensors: bytes 0 to 7: expected a header length from 2 to 16777216, got 100000001. Download the file again, or report it to whoever published the model.",
    );
}

#[test]
fn a_config_without_a_needed_field_names_it() {
    let fields = [
        ("hidden_size", 1048576),
        ("intermediate_size", 1048576),
        ("num_hidden_layers", 1024),
        ("num_attention_heads", 1048576),
        ("vocab_size", 16777216),
    ];
    for (field, most) in fields {
        let folder = with(|folder| edit_config(folder, |config| drop(config.remove(field))));
        let message = format!(
            "config.json: {field}: expected a whole number from 1 to {most}, got nothing. Download the file again, or report it to whoever \
             published the model."
        );
        refused(folder.try_load(None).map(drop), "BAD_FILE", &message);
    }
    load_refused(
        |folder| folder.config = b"{".to_vec(),
        "BAD_FILE",
        "config.json: line 1, column 1: expected sound JSON, got “EOF while parsing an object”. Download the file again, or report it to whoever published the model.",
    );
    load_refused(
        |folder| folder.config = b"[]".to_vec(),
        "BAD_FILE",
        "config.json: the whole file: expected a JSON object, got []. Download the file again, or report it to whoever published the model.",
    );
}

#[test]
fn a_config_that_contradicts_itself_or_the_weights_is_refused() {
    load_refused(
        |folder| edit_config(folder, |config| drop(config.insert("num_key_value_heads".into(), json!(3)))),
        "BAD_FILE",
        "config.json: num_key_value_heads: expected a divisor of the 4 attention heads, got 3. Download the file again, or report it to whoever published the model.",
    );
    load_refused(
        |folder| edit_config(folder, |config| drop(config.insert("hidden_size".into(), json!(40)))),
        "BAD_FILE",
        "model.safetensors: tensor model.embed_tokens.weight: expected shape [328, 40], got shape [328, 48]. Download the file again, or report it to whoever published the model.",
    );
    load_refused(
        |folder| edit_config(folder, |config| drop(config.insert("num_hidden_layers".into(), json!(1_000_000_000)))),
        "BAD_FILE",
        "config.json: num_hidden_layers: expected a whole number from 1 to 1024, got 1000000000. Download the file again, or report it to whoever published the model.",
    );
    load_refused(
        |folder| edit_config(folder, |config| drop(config.insert("num_hidden_layers".into(), json!(3)))),
        "BAD_FILE",
        "model.safetensors: tensor model.layers.2.input_layernorm.weight: expected a tensor of shape [48], got nothing. Download the file again, or report it to whoever published the model.",
    );
    load_refused(
        |folder| edit_config(folder, |config| drop(config.insert("num_hidden_layers".into(), json!(1)))),
        "BAD_FILE",
        "model.safetensors: tensor model.layers.1.input_layernorm.weight: expected only tensors of the qwen2 model that config.json describes, got another one. Download the file again, or report it to whoever published the model.",
    );
}

#[test]
fn a_computation_that_is_not_implemented_is_refused_by_its_field() {
    let cases = [
        ("hidden_act", json!("gelu"), "hidden_act is \"gelu\"", "silu"),
        ("rope_scaling", json!({"rope_type": "yarn", "factor": 4.0}), "rope_scaling.rope_type is \"yarn\"", "default, llama3"),
        ("quantization_config", json!({"quant_method": "awq"}), "quantization_config is {\"quant_method\":\"awq\"}", "null"),
    ];
    for (field, value, fact, supported) in cases {
        let folder = with(|folder| edit_config(folder, |config| drop(config.insert(field.into(), value))));
        let message = format!("config.json: {fact}, which Fireside does not support (supported: {supported}). Choose another model.");
        refused(folder.try_load(None).map(drop), "UNSUPPORTED_MODEL", &message);
    }
}

#[test]
fn an_unknown_architecture_is_refused_with_the_known_ones() {
    load_refused(
        |folder| {
            edit_config(folder, |config| {
                config.insert("model_type".into(), json!("gpt2"));
                config.insert("architectures".into(), json!(["GPT2LMHeadModel"]));
            })
        },
        "UNSUPPORTED_MODEL",
        "config.json: architectures is [\"GPT2LMHeadModel\"], which Fireside does not support (supported: LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, SmolLM3ForCausalLM). Choose another model.",
    );
    load_refused(
        |folder| edit_config(folder, |config| drop(config.insert("model_type".into(), json!("gpt2")))),
        "BAD_FILE",
        "config.json: model_type: expected qwen2 as `architectures` says, got gpt2. Download the file again, or report it to whoever published the model.",
    );
}

#[test]
fn a_vocabulary_smaller_than_the_tokenizers_is_refused() {
    let folder = with(|folder| {
        let mut tokenizer: Value = serde_json::from_slice(&folder.tokenizer).unwrap();
        let mut added = tokenizer["added_tokens"][0].clone();
        added["id"] = json!(328);
        added["content"] = json!("<one too many>");
        tokenizer["added_tokens"].as_array_mut().unwrap().push(added);
        tokenizer["model"]["vocab"]["<one too many>"] = json!(328);
        folder.tokenizer = serde_json::to_vec(&tokenizer).unwrap();
    });
    refused(
        folder.try_load(None).map(drop),
        "BAD_FILE",
        "config.json: vocab_size: expected at least 329, to hold every token of tokenizer.json, got 328. Download the file again, or report it to whoever published the model.",
    );
}

#[test]
fn a_tensor_that_is_missing_or_wrong_is_named() {
    const NAME: &str = "model.layers.1.mlp.up_proj.weight";
    load_refused(
        |folder| edit_header(folder, |header| drop(header.remove(NAME))),
        "BAD_FILE",
        "model.safetensors: tensor model.layers.1.post_attention_layernorm.weight: expected data from byte 91872, got data from byte 101088: a hole before it. Download the file again, or report it to whoever published the model.",
    );
    load_refused(
        |folder| {
            edit_header(folder, |header| {
                let tensor = header.remove(NAME).unwrap();
                header.insert("model.layers.1.mlp.upproj.weight".into(), tensor);
            })
        },
        "BAD_FILE",
        "model.safetensors: tensor model.layers.1.mlp.upproj.weight: expected only tensors of the qwen2 model that config.json describes, got another one. Download the file again, or report it to whoever published the model.",
    );
    load_refused(
        |folder| edit_header(folder, |header| header[NAME]["shape"] = json!([48, 96])),
        "BAD_FILE",
        "model.safetensors: tensor model.layers.1.mlp.up_proj.weight: expected shape [96, 48], got shape [48, 96]. Download the file again, or report it to whoever published the model.",
    );
    load_refused(
        |folder| edit_header(folder, |header| header[NAME]["dtype"] = json!("F32")),
        "BAD_FILE",
        "model.safetensors: tensor model.layers.1.mlp.up_proj.weight: expected 18432 bytes for F32 [96, 48], got 9216 bytes. Download the file again, or report it to whoever published the model.",
    );
    load_refused(
        |folder| edit_header(folder, |header| header[NAME]["dtype"] = json!("I16")),
        "UNSUPPORTED_MODEL",
        "model.safetensors: the dtype of tensor model.layers.1.mlp.up_proj.weight is I16, which Fireside does not support (supported: F32, F16, BF16). Choose another model.",
    );
    load_refused(
        |folder| edit_header(folder, |header| header[NAME]["data_offsets"] = json!([0, 9216])),
        "BAD_FILE",
        "model.safetensors: tensor model.embed_tokens.weight: expected data from byte 9216, got data from byte 0: an overlap with the tensor before it. Download the file again, or report it to whoever published the model.",
    );
}

#[test]
fn a_broken_tokenizer_is_refused() {
    load_refused(
        |folder| folder.tokenizer.truncate(100),
        "BAD_TOKENIZER",
        "tokenizer.json: line 1, column 100: expected a tokenizer as JSON, got EOF while parsing a string at line 1 column 100. Use the tokenizer files published with this model.",
    );
    load_refused(
        |folder| folder.tokenizer = b"{}".to_vec(),
        "BAD_TOKENIZER",
        "tokenizer.json: line 1, column 2: expected a tokenizer as JSON, got missing field `model` at line 1 column 2. Use the tokenizer files published with this model.",
    );
}

#[test]
fn a_broken_chat_template_is_refused() {
    load_refused(
        |folder| folder.chat_template = Some("{% for message in messages %}".into()),
        "BAD_TEMPLATE",
        "chat template: syntax error: unexpected end of input, expected end of block (line 1). Pass a working template as `chatTemplate`, or use `generate` with a prompt of your own.",
    );
}

/// A session, one refused call after the other, and then a sound one.
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
fn a_prompt_longer_than_the_context_says_both_lengths() {
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
        "option `stop`: expected a text or a list of at most 16 texts, none of them empty, got an empty text.",
    );
}

#[test]
fn a_misspelt_option_is_refused_with_the_known_ones() {
    refused(
        Options::from_json(&json!({"temprature": 0.5})).map(drop),
        "BAD_OPTION",
        "option `temprature`: expected one of maxTokens, temperature, topK, topP, minP, repetitionPenalty, stop, seed, got an unknown name.",
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
        "option `type`: expected one of dtype, kvDtype, weightBytesMax, got an unknown name.",
    );
}

#[test]
fn a_chat_that_does_not_end_in_a_user_turn_is_refused() {
    let message = |role: &str, content: &str| Message { role: role.into(), content: content.into() };
    let mut survivor = Survivor::new();
    survivor.chat_refused(vec![], "BAD_INPUT", "messages: expected at least one, got an empty list.");
    survivor.chat_refused(
        vec![message("user", "hello"), message("assistant", "hi")],
        "BAD_INPUT",
        "messages: expected a last message to answer, got one of the assistant.",
    );
    refused(survivor.session.chat("", &greedy(8)).map(drop), "BAD_INPUT", "message: expected some text, got an empty one.");
    survivor.works_on();
    assert!(survivor.session.messages().is_empty());
}

/// A fixture whose first number of `tensor` is another.
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
fn a_weight_that_is_no_number_is_named() {
    refused(
        with_number("model.norm.weight", f32::NAN).try_load(None).map(drop),
        "BAD_FILE",
        "model.safetensors: tensor model.norm.weight, row 0: expected numbers, got a NaN or an infinity. Download the file again, or report it to whoever published the model.",
    );
    refused(
        with_number("model.layers.1.mlp.up_proj.weight", f32::INFINITY).try_load(None).map(drop),
        "BAD_FILE",
        "model.safetensors: tensor model.layers.1.mlp.up_proj.weight, row 0: expected numbers, got a NaN or an infinity. Download the file again, or report it to whoever published the model.",
    );
}

#[test]
fn a_model_that_computes_no_number_says_so() {
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
