//! The tokenizers of 41 published models: ids, offsets, decoded text and chats. Their files are too large to
//! keep here.
//!
//! The folder in `FIRESIDE_TOKENIZERS` has the files, `<name>/tokenizer.json` and
//! `<name>/tokenizer_config.json`. `../shared/cases/tokenizers` has the expected values, made by tokenizers
//! 0.23.3 and transformers 5.24.0; its `files.json` says where each file was published. The test skips a
//! missing file and prints a line. The texts are 1,013 lines of all kinds: emoji, control characters, all
//! planes of Unicode.
#![cfg(not(target_family = "wasm"))]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fireside::{ChatTemplate, Message, Now, TokenSpan, Tokenizer};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

fn shared() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared")
}

/// Reads a JSON file. Every machine that builds this has gunzip.
fn values(path: &Path) -> Value {
    let bytes = if path.extension().is_some_and(|extension| extension == "gz") {
        Command::new("gunzip").arg("-c").arg(path).output().expect("gunzip").stdout
    } else {
        fs::read(path).expect("a file")
    };
    serde_json::from_slice(&bytes).expect("JSON")
}

fn hash(value: &Value) -> String {
    Sha1::digest(value.to_string())[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Offsets in characters, as in Python.
fn offsets(text: &str, pieces: &[TokenSpan]) -> Value {
    let characters = |bytes: usize| text[..bytes].chars().count();
    pieces.iter().map(|piece| json!([characters(piece.start), characters(piece.end)])).collect()
}

/// A file that contradicts itself: `sop` has one id as an added token and another in the vocabulary. The
/// reference warns and takes the latter.
const REFUSED: &str = "ort-chatglm";

/// The differences of one tokenizer, and how many values were compared.
fn compare(name: &str, folder: &Path, expected: &Value, lines: &[Value]) -> (Vec<String>, usize) {
    let json = fs::read(folder.join("tokenizer.json")).expect("tokenizer.json");
    let config = fs::read(folder.join("tokenizer_config.json")).ok();
    let tokenizer = match Tokenizer::from_bytes(&json, config.as_deref()) {
        Err(error) if expected["refused"] == true || name == REFUSED => {
            println!("{name}: refused: {error}");
            return (Vec::new(), 1);
        }
        Err(error) => return (vec![format!("{name}: {error}")], 1),
        Ok(tokenizer) => tokenizer,
    };
    let (mut differences, mut compared) = (Vec::new(), 0);
    for (line, (text, expected_line)) in lines.iter().zip(expected["lines"].as_array().into_iter().flatten()).enumerate() {
        let text = text[1].as_str().expect("a text");
        let prompt = tokenizer.encode_prompt(text);
        let literal = tokenizer.encode_text(text);
        let got = prompt.and_then(|prompt| literal.and_then(|literal| Ok((tokenizer.decode(&literal, true)?, literal, prompt))));
        let (decoded, literal, prompt) = match got {
            Ok(got) => got,
            Err(error) => {
                differences.push(format!("{name}: line {line}: {error}"));
                continue;
            }
        };
        // T5's vocabulary has the special tokens as pieces too, so in the reference a typed one becomes
        // structure.
        if name == "ort-t5-small" && tokenizer.special_tokens().iter().any(|(special, _)| text.contains(special)) {
            continue;
        }
        for (what, got, expected) in [
            ("ids", json!(prompt), &expected_line[0]),
            ("ids of text", json!(literal), &expected_line[1]),
            ("decoded", json!(decoded), &expected_line[2]),
        ] {
            compared += 1;
            if *expected != hash(&got) {
                differences.push(format!("{name}: line {line}, {what}: {text:?} is {got}"));
            }
        }
        // After a character that Falcon's vocabulary lacks, the reference's offsets are too low.
        let left_out = name == "ort-falcon-tokenizer" && decoded != text;
        if let Some(expected) = expected["offsets"].get(line).and_then(Value::as_str).filter(|_| !left_out) {
            compared += 1;
            let pieces = tokenizer.encode_with_offsets(text, false).expect("pieces");
            if expected != hash(&offsets(text, &pieces)) {
                differences.push(format!("{name}: line {line}, offsets: {text:?} is {:?}", offsets(text, &pieces).to_string()));
            }
        }
    }
    if let Some(chats) = expected["chats"].as_array() {
        let cases = values(&shared().join("cases/templates/cases.json"));
        let now = Now { unix_seconds: cases["now"][0].as_i64().expect("seconds"), utc_offset_minutes: 120 };
        let template = ChatTemplate::from_files(config.as_deref(), None).expect("a template");
        // Typed special tokens stay text here and become structure in the reference: in one case, and in
        // MiniCPM-V's marks of thoughts.
        let typed = |chat: &str| chat.starts_with("typed-special") || (name == "tpu-MiniCPMV4" && chat.starts_with("think"));
        for chat in chats.iter().filter(|chat| !chat[0].as_str().is_some_and(typed)) {
            let conversation = &cases["cases"][chat[0].as_str().expect("a name")];
            let messages = conversation[0].as_array().expect("messages").iter();
            let messages: Vec<Message> = messages
                .map(|message| serde_json::from_value(json!({"role": message[0], "content": message[1]})).expect("a message"))
                .collect();
            compared += 1;
            let rendered = template.render(&messages, conversation[1] == true, tokenizer.special_tokens(), Some(now));
            let ids = rendered.and_then(|rendered| tokenizer.encode_rendered(&rendered));
            match ids {
                Ok(ids) if json!(ids) == chat[1] => {}
                // The template refuses the conversation in the reference too.
                Err(_) if chat[1].is_null() => {}
                Ok(ids) => differences.push(format!("{name}: chat {}: {ids:?}\n  for {}", chat[0], chat[1])),
                Err(error) => differences.push(format!("{name}: chat {}: {error}", chat[0])),
            }
        }
    }
    (differences, compared)
}

#[test]
fn published_tokenizers_give_the_ids_of_the_reference() {
    let cases = shared().join("cases/tokenizers");
    let Some(folder) = std::env::var_os("FIRESIDE_TOKENIZERS").map(PathBuf::from).filter(|_| cases.exists()) else {
        println!("left out: FIRESIDE_TOKENIZERS names no folder of published tokenizers, or ../shared/cases/tokenizers is not here");
        return;
    };
    let (expected, lines) = (values(&cases.join("expected.json.gz")), values(&cases.join("lines.json.gz")));
    let (mut differences, mut compared) = (Vec::new(), 0);
    for (name, expected) in expected.as_object().expect("tokenizers by name") {
        let folder = folder.join(name);
        if !folder.join("tokenizer.json").exists() {
            println!("{name}: left out, no tokenizer.json");
            continue;
        }
        let (different, count) = compare(name, &folder, expected, lines.as_array().expect("lines"));
        println!("{name}: {count} compared, {} different", different.len());
        differences.extend(different);
        compared += count;
    }
    assert!(compared > 0, "no tokenizer was there");
    assert!(differences.is_empty(), "{} of {compared}:\n{}", differences.len(), differences.join("\n"));
}
