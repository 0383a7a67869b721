//! The raw wasm interface as JavaScript sees it, in a browser: names, shapes of values, errors and
//! lifetimes.
//!
//! All access is through property names, as in a page. `web_golden.rs` tests the text itself.
#![cfg(target_family = "wasm")]

use js_sys::{Array, Function, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_test::{wasm_bindgen_test as test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

const CONFIG: &[u8] = include_bytes!("../models/chat/config.json");
const TOKENIZER: &[u8] = include_bytes!("../models/chat/tokenizer.json");
const TOKENIZER_CONFIG: &[u8] = include_bytes!("../models/chat/tokenizer_config.json");
const WEIGHTS: &[u8] = include_bytes!("../models/chat/model.safetensors");

type Outcome = Result<JsValue, JsValue>;

/// A property, by its path: `get(&step, "usage.promptTokens")`.
#[track_caller]
fn get(value: &JsValue, path: &str) -> JsValue {
    path.split('.').fold(value.clone(), |value, name| Reflect::get(&value, &name.into()).unwrap())
}

#[track_caller]
fn text(value: &JsValue, path: &str) -> String {
    get(value, path).as_string().unwrap_or_else(|| panic!("{path} of {} is not a text", show(value)))
}

#[track_caller]
fn number(value: &JsValue, path: &str) -> f64 {
    get(value, path).as_f64().unwrap_or_else(|| panic!("{path} of {} is not a number", show(value)))
}

fn show(value: &JsValue) -> String {
    js_sys::JSON::stringify(value).map(String::from).unwrap_or_default()
}

/// `value.method(...arguments)`.
fn call(value: &JsValue, method: &str, arguments: &[JsValue]) -> Outcome {
    let function: Function = get(value, method).dyn_into().unwrap_or_else(|_| panic!("there is no method {method}"));
    function.apply(value, &arguments.iter().collect::<Array>())
}

/// A JavaScript value from JSON.
fn json(source: &str) -> JsValue {
    js_sys::JSON::parse(source).unwrap()
}

fn bytes(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).into()
}

/// The chat model's small files as an object, with some of them replaced.
fn files(replaced: &[(&str, &[u8])]) -> JsValue {
    let files = Object::new();
    for (name, content) in [("config", CONFIG), ("tokenizer", TOKENIZER), ("tokenizerConfig", TOKENIZER_CONFIG)].iter().chain(replaced) {
        Reflect::set(&files, &(*name).into(), &bytes(content)).unwrap();
    }
    files.into()
}

/// `new Loader(files, options)`. A test has no module object with the class, so it takes the class from an
/// instance.
fn loader(files: &JsValue, options: &JsValue) -> Outcome {
    let instance = JsValue::from(fireside::wasm::JsLoader::new(self::files(&[]), JsValue::UNDEFINED)?);
    let class: Function = get(&instance, "constructor").unchecked_into();
    Reflect::construct(&class, &Array::of2(files, options))
}

/// Pushes the weights in chunks of `chunk` bytes and finishes.
fn load(loader: &JsValue, chunk: usize) -> Outcome {
    for part in WEIGHTS.chunks(chunk) {
        call(loader, "push", &[bytes(part)])?;
    }
    call(loader, "endFile", &[])?;
    call(loader, "finish", &[])
}

fn model() -> JsValue {
    load(&loader(&files(&[]), &JsValue::UNDEFINED).unwrap(), 1 << 20).unwrap()
}

fn session() -> JsValue {
    call(&model(), "session", &[]).unwrap()
}

/// `Session.fromBytes(...)`.
fn from_bytes(weights: &JsValue, options: &JsValue) -> Outcome {
    let class = get(&session(), "constructor");
    call(&class, "fromBytes", &[bytes(CONFIG), bytes(TOKENIZER), weights.clone(), options.clone()])
}

/// Steps a run to its end. Returns the steps; the last has kind `end`.
fn finish(run: &JsValue) -> Vec<JsValue> {
    let mut steps = Vec::new();
    loop {
        let step = call(run, "step", &[]).unwrap();
        let over = text(&step, "kind") == "end";
        steps.push(step);
        if over {
            return steps;
        }
    }
}

/// The joined text of the steps.
fn joined(steps: &[JsValue]) -> String {
    steps.iter().filter(|step| text(step, "kind") != "prefill").map(|step| text(step, "text")).collect()
}

/// Asserts that the outcome is our exception with this code, and returns it.
#[track_caller]
fn refused(outcome: Outcome, code: &str) -> JsValue {
    let error = outcome.err().unwrap_or_else(|| panic!("accepted, expected {code}"));
    assert!(error.is_instance_of::<js_sys::Error>(), "{error:?} is not an Error");
    assert_eq!((text(&error, "name"), text(&error, "code")), ("FiresideError".into(), code.into()), "{}", text(&error, "message"));
    error
}

const GREEDY: &str = r#"{"temperature": 0, "maxTokens": 24}"#;

#[test]
fn the_build_reports_its_features() {
    let info = fireside::wasm::build_info().unwrap();
    assert_eq!(text(&info, "kernels"), "simd128");
    assert_eq!(text(&info, "version"), env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_loader_takes_chunks_of_any_size() {
    let answers = [1013, 65_536, WEIGHTS.len()].map(|chunk| {
        let loader = loader(&files(&[]), &json(r#"{"dtype": "auto"}"#)).unwrap();
        assert_eq!(show(&call(&loader, "files", &[]).unwrap()), r#"["model.safetensors"]"#);
        let session = call(&load(&loader, chunk).unwrap(), "session", &[]).unwrap();
        joined(&finish(&call(&session, "chat", &["Hello!".into(), json(GREEDY)]).unwrap()))
    });
    assert!(!answers[0].is_empty());
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[test]
fn a_model_reports_its_shape_its_memory_and_its_defaults() {
    let info = call(&model(), "info", &[]).unwrap();
    assert_eq!(
        (text(&info, "family"), text(&info, "chatTemplate"), text(&info, "kernels")),
        ("llama".into(), "model".into(), "simd128".into())
    );
    for name in ["parameters", "vocab", "layers", "hidden", "context", "weightBytes", "kvBytesPerToken", "defaults.maxTokens"] {
        assert!(number(&info, name) >= 1.0, "{name} of {}", show(&info));
    }
    for name in ["temperature", "topK", "topP", "minP", "typicalP", "repetitionPenalty"] {
        number(&info, &format!("defaults.{name}"));
    }
    assert!(get(&info, "ignoredConfig").is_array());
}

#[test]
fn another_dtype_is_honoured() {
    let model = load(&loader(&files(&[]), &json(r#"{"dtype": "f32"}"#)).unwrap(), WEIGHTS.len()).unwrap();
    assert_eq!(text(&call(&model, "info", &[]).unwrap(), "dtype"), "f32");
    refused(loader(&files(&[]), &json(r#"{"dtype": "f8"}"#)), "BAD_OPTION");
    refused(loader(&files(&[]), &json(r#"{"type": "f32"}"#)), "BAD_OPTION");
}

#[test]
fn tokens_and_text_convert_both_ways() {
    let model = model();
    for sample in ["Hello, world!", " two  spaces", "雪 and 🔥", ""] {
        let tokens = call(&model, "tokenize", &[sample.into()]).unwrap();
        assert!(tokens.is_instance_of::<js_sys::Uint32Array>());
        assert_eq!(call(&model, "detokenize", &[tokens]).unwrap().as_string().unwrap(), sample);
    }
}

#[test]
fn pieces_have_the_place_of_their_text() {
    let model = model();
    for sample in ["Hello, world!", "雪 and 🔥🔥 end", ""] {
        let units: Vec<u16> = sample.encode_utf16().collect();
        let pieces = Array::from(&call(&model, "pieces", &[sample.into()]).unwrap());
        let ids: Vec<f64> = pieces.iter().map(|piece| number(&piece, "id")).collect();
        let tokens = call(&model, "tokenize", &[sample.into()]).unwrap();
        assert_eq!(show(&call(&model, "detokenize", std::slice::from_ref(&tokens)).unwrap()), show(&sample.into()));
        assert_eq!(ids, js_sys::Uint32Array::from(tokens).to_vec().iter().map(|&id| f64::from(id)).collect::<Vec<_>>());
        let mut reached = 0;
        for piece in pieces.iter() {
            let (start, end) = (number(&piece, "start") as usize, number(&piece, "end") as usize);
            assert_eq!(String::from_utf16(&units[start..end]).unwrap(), text(&piece, "text"));
            assert!(start <= reached && end >= reached, "nothing of {sample:?} is left out");
            reached = end;
        }
        assert_eq!(reached, units.len());
    }
}

#[test]
fn a_run_prefills_then_generates_then_ends() {
    let steps = finish(&call(&session(), "chat", &["Hello! How are you?".into(), json(GREEDY)]).unwrap());
    let kinds: Vec<String> = steps.iter().map(|step| text(step, "kind")).collect();
    let prefills = kinds.iter().take_while(|kind| *kind == "prefill").count();
    let tokens = kinds.iter().filter(|kind| *kind == "token").count();
    assert!(prefills >= 1 && tokens >= 1, "{kinds:?}");
    assert_eq!(kinds.len(), prefills + tokens + 1, "{kinds:?}");
    let last_prefill = &steps[prefills - 1];
    assert_eq!(number(last_prefill, "done"), number(last_prefill, "total"));
    let end = steps.last().unwrap();
    assert!(["stop", "length"].contains(&text(end, "choices.0.finishReason").as_str()));
    assert!(number(end, "usage.promptTokens") >= 1.0);
    assert!(number(end, "usage.completionTokens") >= tokens as f64);
    assert_eq!(number(end, "usage.cachedTokens"), 0.0);
}

#[test]
fn a_chat_is_remembered_and_only_its_new_part_is_computed() {
    let session = session();
    finish(&call(&session, "chat", &["My name is Ada.".into(), json(GREEDY)]).unwrap());
    let steps = finish(&call(&session, "chat", &["What is my name?".into(), json(GREEDY)]).unwrap());
    assert!(joined(&steps).contains("Ada"), "{}", joined(&steps));
    assert!(number(steps.last().unwrap(), "usage.cachedTokens") > 0.0);
    let messages = Array::from(&call(&session, "messages", &[]).unwrap());
    let roles: Vec<String> = messages.iter().map(|message| text(&message, "role")).collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant"]);
    assert_eq!(text(&messages.get(3), "content"), joined(&steps));
    let stats = call(&session, "stats", &[]).unwrap();
    for name in ["contextUsage", "contextWindow", "kvBytes", "wasmBytes"] {
        assert!(number(&stats, name) > 0.0, "{name} of {}", show(&stats));
    }
    call(&session, "reset", &[]).unwrap();
    assert_eq!(Array::from(&call(&session, "messages", &[]).unwrap()).length(), 0);
}

#[test]
fn a_list_of_messages_is_a_whole_conversation() {
    let session = session();
    let history = r#"[{"role": "user", "content": "My name is Ada."}, {"role": "assistant", "content": "Nice to meet you, Ada."},
        {"role": "user", "content": "What is my name?"}]"#;
    assert!(call(&session, "measureContextUsage", &[json(history)]).unwrap().as_f64().unwrap() > 10.0);
    let steps = finish(&call(&session, "chat", &[json(history), json(GREEDY)]).unwrap());
    assert!(joined(&steps).contains("Ada"), "{}", joined(&steps));
    assert_eq!(Array::from(&call(&session, "messages", &[]).unwrap()).length(), 4);
    refused(call(&session, "chat", &[json(r#"[{"role": "user"}]"#)]), "BAD_INPUT");
    refused(call(&session, "chat", &[json("[]")]), "BAD_INPUT");
}

#[test]
fn a_session_has_one_run_at_a_time() {
    let session = session();
    let start = || call(&session, "chat", &["Hello!".into(), json(GREEDY)]);
    let run = start().unwrap();
    refused(start(), "BAD_INPUT");
    refused(call(&session, "reset", &[]), "BAD_INPUT");
    call(&run, "step", &[]).unwrap();
    let aborted = call(&run, "abort", &[]).unwrap();
    assert_eq!(text(&aborted, "choices.0.finishReason"), "abort");
    assert_eq!(Array::from(&call(&session, "messages", &[]).unwrap()).length(), 0);
    refused(call(&run, "step", &[]), "BAD_INPUT");
    // Freeing a running run ends it too.
    call(&start().unwrap(), "free", &[]).unwrap();
    finish(&start().unwrap());
    assert_eq!(Array::from(&call(&session, "messages", &[]).unwrap()).length(), 2);
}

#[test]
fn bad_options_are_named_and_the_session_keeps_working() {
    let session = session();
    let error = refused(call(&session, "generate", &["Hi".into(), json(r#"{"temperature": -1}"#)]), "BAD_OPTION");
    assert_eq!(text(&error, "details.option"), "temperature");
    let error = refused(call(&session, "generate", &["Hi".into(), json(r#"{"temprature": 1}"#)]), "BAD_OPTION");
    assert!(text(&error, "message").contains("temperature"), "{}", text(&error, "message"));
    let long = "Hello! ".repeat(5000);
    let error = refused(call(&session, "generate", &[long.into(), json(GREEDY)]), "CONTEXT_OVERFLOW");
    assert!(number(&error, "details.requested") > number(&error, "details.contextWindow"));
    finish(&call(&session, "generate", &["Hi".into(), json(GREEDY)]).unwrap());
}

#[test]
fn bad_files_are_refused_with_their_code() {
    refused(loader(&files(&[("config", b"<!doctype html><html></html>")]), &JsValue::UNDEFINED), "NOT_A_MODEL_FILE");
    refused(loader(&files(&[("tokenizer", b"{}")]), &JsValue::UNDEFINED), "BAD_TOKENIZER");
    refused(loader(&files(&[("config", b"")]), &JsValue::UNDEFINED), "NOT_A_MODEL_FILE");
    refused(from_bytes(&bytes(&WEIGHTS[..WEIGHTS.len() - 1]), &JsValue::UNDEFINED), "BAD_FILE");
    refused(from_bytes(&bytes(b"version https://git-lfs.github.com/spec/v1\n"), &JsValue::UNDEFINED), "NOT_A_MODEL_FILE");
    refused(from_bytes(&"model.safetensors".into(), &JsValue::UNDEFINED), "BAD_INPUT");
}

#[test]
fn a_session_comes_from_bytes_in_one_call() {
    for weights in [bytes(WEIGHTS), Array::of1(&bytes(WEIGHTS)).into()] {
        let options = files(&[]);
        Reflect::set(&options, &"dtype".into(), &"auto".into()).unwrap();
        let session = from_bytes(&weights, &options).unwrap();
        assert_eq!(text(&call(&session, "info", &[]).unwrap(), "chatTemplate"), "model");
        let run = call(&session, "chat", &["Hello!".into(), json(GREEDY)]).unwrap();
        assert!(!joined(&finish(&run)).is_empty());
    }
}

/// `new Class(...arguments)` of a class that an instance belongs to.
fn construct(instance: JsValue, arguments: &[JsValue]) -> Outcome {
    let class: Function = get(&instance, "constructor").unchecked_into();
    Reflect::construct(&class, &arguments.iter().collect())
}

#[test]
fn a_digest_covers_all_the_pieces() {
    let hash = construct(JsValue::from(fireside::wasm::JsSha256::new()), &[]).unwrap();
    for piece in [&b"ab"[..], b"", b"c"] {
        call(&hash, "update", &[bytes(piece)]).unwrap();
    }
    // Source: FIPS 180-4, the example of one block.
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(call(&hash, "digest", &[]).unwrap().as_string().unwrap(), expected);
}

#[test]
fn a_header_predicts_the_memory_of_the_model() {
    let estimator = |options| construct(fireside::wasm::JsEstimator::new(files(&[]), JsValue::UNDEFINED)?.into(), &[files(&[]), options]);
    let estimate = |options: &str| {
        let estimator = estimator(json(options)).unwrap();
        assert_eq!(number(&call(&estimator, "files", &[]).unwrap(), "length"), 1.0);
        let need = call(&estimator, "header", &[bytes(&WEIGHTS[..9])]).unwrap().as_f64().unwrap() as usize;
        assert!(need > 9 && need < 100_000);
        assert_eq!(call(&estimator, "header", &[bytes(&WEIGHTS[..need])]).unwrap().as_f64(), Some(need as f64));
        call(&estimator, "finish", &[]).unwrap()
    };
    let whole = estimate("{}");
    assert_eq!(number(&whole, "fileBytes"), WEIGHTS.len() as f64);
    assert_eq!(number(&whole, "weightBytes"), number(&call(&model(), "info", &[]).unwrap(), "weightBytes"));
    assert_eq!(get(&whole, "fits").as_bool(), Some(true));
    assert!(number(&estimate(r#"{"dtype": "q8"}"#), "weightBytes") < 0.7 * number(&whole, "weightBytes"));
    let small = estimate(r#"{"memoryBytesMax": 1000000}"#);
    assert_eq!(get(&small, "fits").as_bool(), Some(false));
    refused(loader(&files(&[]), &json(r#"{"memoryBytesMax": 1000000}"#)), "OUT_OF_MEMORY");
}

#[test]
fn a_history_can_be_restored() {
    let session = session();
    let history = json(r#"[{"role": "user", "content": "My name is Ada."}, {"role": "assistant", "content": "Nice to meet you, Ada!"}]"#);
    call(&session, "setMessages", std::slice::from_ref(&history)).unwrap();
    assert_eq!(show(&call(&session, "messages", &[]).unwrap()), show(&history));
    refused(call(&session, "setMessages", &[json("[1]")]), "BAD_INPUT");
    // `regenerate` answers a last user message.
    refused(call(&session, "regenerate", &[json(r#"{"maxTokens": 0}"#)]), "BAD_OPTION");
    call(&session, "setMessages", &[json(r#"[{"role": "user", "content": "My name is Ada."}]"#)]).unwrap();
    let steps = finish(&call(&session, "regenerate", &[json(GREEDY)]).unwrap());
    assert_eq!(text(&Array::from(&call(&session, "messages", &[]).unwrap()).get(1), "content"), joined(&steps));
}

#[test]
fn a_session_is_cloned_saved_and_restored() {
    let model = model();
    let session = call(&model, "session", &[]).unwrap();
    finish(&call(&session, "chat", &["My name is Ada.".into(), json(GREEDY)]).unwrap());
    let copy = call(&session, "clone", &[]).unwrap();
    assert!(number(&call(&copy, "stats", &[]).unwrap(), "sharedBytes") > 0.0);
    let state = call(&session, "save", &[]).unwrap();
    let small = call(&session, "save", &[json(r#"{"cache": false}"#)]).unwrap();
    assert!(number(&state, "length") > number(&small, "length") + 1000.0);
    refused(call(&session, "save", &[json(r#"{"cash": false}"#)]), "BAD_OPTION");
    let mut answers = Vec::new();
    for session in [session, copy, call(&model, "restore", &[state]).unwrap(), call(&model, "restore", &[small]).unwrap()] {
        answers.push(joined(&finish(&call(&session, "chat", &["What is my name?".into(), json(GREEDY)]).unwrap())));
    }
    assert!(answers[0].contains("Ada") && answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    refused(call(&model, "restore", &[bytes(b"FIRESIDE")]), "BAD_INPUT");
    let stats = call(&model, "stats", &[]).unwrap();
    assert!(number(&stats, "kvBytes") > 0.0 && number(&stats, "wasmBytes") > number(&stats, "kvBytes"), "{}", show(&stats));
}

#[test]
fn append_reads_messages_in_advance_and_uses_only_the_overflow_option() {
    let session = session();
    let ahead = json(r#"[{"role": "user", "content": "My name is Ada."}, {"role": "assistant", "content": "Hello Ada!"}]"#);
    refused(call(&session, "append", &[ahead.clone(), json(r#"{"maxTokens": 5}"#)]), "BAD_OPTION");
    let steps = finish(&call(&session, "append", &[ahead, json(r#"{"overflow": "drop-oldest"}"#)]).unwrap());
    assert_eq!((joined(&steps).as_str(), number(steps.last().unwrap(), "usage.completionTokens")), ("", 0.0));
    let steps = finish(&call(&session, "chat", &["What is my name?".into(), json(GREEDY)]).unwrap());
    assert!(number(steps.last().unwrap(), "usage.cachedTokens") > 10.0);
}

#[test]
fn tokens_have_their_probabilities() {
    let session = session();
    let options = json(r#"{"temperature": 0, "maxTokens": 6, "logprobs": 3, "n": 2}"#);
    let steps = finish(&call(&session, "chat", &["Hello!".into(), options]).unwrap());
    let tokens: Vec<_> = steps.iter().filter(|step| get(step, "logprobs").is_object()).collect();
    assert_eq!(tokens.len(), number(steps.last().unwrap(), "usage.completionTokens") as usize);
    for step in &tokens {
        // Greedy, so the drawn token is the likeliest.
        assert_eq!(number(step, "logprobs.id"), number(step, "logprobs.top.0.id"));
        let (first, third) = (number(step, "logprobs.logprob"), number(step, "logprobs.top.2.logprob"));
        assert!(first <= 0.0 && third <= first, "{}", show(step));
        assert_eq!(number(step, "logprobs.bytes.length") as usize, text(step, "logprobs.text").len(), "plain text here");
    }
    let end = steps.last().unwrap();
    assert_eq!(number(end, "choices.length"), 2.0);
    assert_eq!(text(end, "choices.0.text"), text(end, "choices.1.text"), "greedy, twice");
    assert_eq!(number(end, "choices.1.logprobs.length"), tokens.len() as f64 / 2.0);
}

#[test]
fn a_prefill_step_is_as_long_as_its_caller_says() {
    let session = session();
    let run =
        call(&session, "generate", &["one two three four five six seven eight nine ten".into(), json(r#"{"maxTokens": 1}"#)]).unwrap();
    let first = call(&run, "step", &[8.into()]).unwrap();
    assert_eq!((text(&first, "kind").as_str(), number(&first, "done"), number(&first, "work")), ("prefill", 0.0, 8.0));
    let second = call(&run, "step", &[]).unwrap();
    assert_eq!(number(&second, "work"), 8.0, "a caller without options gets the same");
}
