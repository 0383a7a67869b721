//! Malformed model files, native: each case of `tests/hostile/cases.json` ends with its code and its full
//! message.
//!
//! `tests/hostile/wasm.test.js` runs the same cases on the published wasm. `tests/hostile/make.mjs` explains
//! the cases.
#![cfg(not(target_family = "wasm"))]

mod common;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::{files, greedy};
use fireside::{LoadOptions, Model, ModelFiles, ModelLoader, Now, Options, Result, Session};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    base: String,
    edits: Vec<Edit>,
    encode: Option<String>,
    prompt: Option<String>,
    decode: Option<Vec<u32>>,
    chat: Option<String>,
    code: Option<String>,
    message: Option<String>,
    tokens: Option<Vec<u32>>,
}

/// A change of a file's bytes. `tests/hostile/write.mjs` describes them.
#[derive(Deserialize)]
struct Edit {
    file: String,
    #[serde(default)]
    header: bool,
    #[serde(default)]
    remove: bool,
    text: Option<String>,
    repeat: Option<(String, String, usize, String)>,
    replace: Option<(String, String)>,
    keep: Option<i64>,
    append: Option<String>,
    at: Option<i64>,
    hex: Option<String>,
}

impl Edit {
    fn apply(&self, files: &mut HashMap<String, Vec<u8>>) {
        let mut file = files.remove(&self.file).unwrap_or_default();
        if self.remove {
            return;
        }
        if self.header {
            let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
            let header = self.change(file[8..8 + length].to_vec());
            file = [&(header.len() as u64).to_le_bytes()[..], &header, &file[8 + length..]].concat();
        } else {
            file = self.change(file);
        }
        files.insert(self.file.clone(), file);
    }

    fn change(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        if let Some(text) = &self.text {
            return text.clone().into_bytes();
        }
        if let Some((before, unit, count, after)) = &self.repeat {
            let units = (0..*count).map(|i| unit.replace("{i}", &i.to_string()));
            return [before.clone()].into_iter().chain(units).chain([after.clone()]).collect::<String>().into_bytes();
        }
        if let Some((from, to)) = &self.replace {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.contains(from), "there is no {from:?} to replace");
            return text.replacen(from, to, 1).into_bytes();
        }
        let from = |at: i64, length: usize| if at < 0 { length - at.unsigned_abs() as usize } else { at as usize };
        if let Some(keep) = self.keep {
            bytes.truncate(from(keep, bytes.len()));
        } else if let Some(more) = &self.append {
            bytes.extend(unhex(more));
        } else {
            let new = unhex(self.hex.as_ref().expect("an edit"));
            let Some(at) = self.at else { return new };
            let at = from(at, bytes.len());
            bytes[at..at + new.len()].copy_from_slice(&new);
        }
        bytes
    }
}

fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// The files of a fixture by name.
fn read(folder: &Path) -> HashMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

const GGUF: &str = "model.gguf";

/// Loads a model in chunks of this many bytes. A missing file of weights ends them.
fn load(files: &HashMap<String, Vec<u8>>, chunk: usize) -> Result<Model> {
    let file = |name: &str| files.get(name).map(Vec::as_slice);
    let small = ModelFiles {
        config: file("config.json").unwrap_or_default(),
        tokenizer: file("tokenizer.json").unwrap_or_default(),
        tokenizer_config: file("tokenizer_config.json"),
        generation_config: file("generation_config.json"),
        special_tokens_map: file("special_tokens_map.json"),
        added_tokens: file("added_tokens.json"),
        chat_template: file("chat_template.jinja"),
        index: file("model.safetensors.index.json"),
    };
    let mut loader = match files.contains_key(GGUF) {
        true => ModelLoader::gguf(GGUF, &small, LoadOptions::default())?,
        false => Model::loader(&small, LoadOptions::default())?,
    };
    for name in loader.files().to_vec() {
        let Some(weights) = file(&name) else { break };
        for chunk in weights.chunks(chunk) {
            loader.push(chunk)?;
        }
        loader.end_file()?;
    }
    loader.finish()
}

/// The outcome of a case: the tokens, if it asks for some.
fn run(case: &Case, chunk: usize) -> Result<Option<Vec<u32>>> {
    let mut files = if case.base.is_empty() { HashMap::new() } else { read(&files::path(&case.base)) };
    case.edits.iter().for_each(|edit| edit.apply(&mut files));
    let model = Arc::new(load(&files, chunk)?);
    let tokens = match (&case.encode, &case.prompt) {
        (Some(text), _) => Some(model.tokenizer().encode_text(text)?),
        (_, Some(text)) => Some(model.tokenizer().encode_prompt(text)?),
        _ => None,
    };
    if let Some(ids) = &case.decode {
        model.tokenizer().decode(ids, false)?;
    }
    if let Some(text) = &case.chat {
        let now = Some(Now { unix_seconds: 0, utc_offset_minutes: 0 });
        Session::new(model.clone()).chat(text.as_str(), &Options { now, ..greedy(1) })?.finish()?;
    }
    Ok(tokens)
}

/// Runs the cases whose names begin with one of these kinds.
fn every_case_of(kinds: &[&str], chunk: usize) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/cases.json");
    let cases: Vec<Case> = serde_json::from_slice(&fs::read(corpus).unwrap()).unwrap();
    let mut differences = Vec::new();
    let mut ran = 0;
    for case in cases.iter().filter(|case| kinds.iter().any(|kind| case.name.starts_with(kind))) {
        ran += 1;
        let got = run(case, chunk);
        let equal = match &got {
            Ok(tokens) => case.code.is_none() && (case.tokens.is_none() || *tokens == case.tokens),
            Err(error) => case.code.as_deref() == Some(error.code()) && case.message == Some(error.to_string()),
        };
        if !equal {
            let got = got.map_or_else(|error| format!("{}: {error}", error.code()), |tokens| format!("{tokens:?}"));
            let want = case
                .code
                .as_ref()
                .map_or(format!("{:?}", case.tokens), |code| format!("{code}: {}", case.message.as_deref().unwrap_or_default()));
            differences.push(format!("{}\n  wanted {want}\n  got    {got}", case.name));
        }
    }
    assert!(ran > 0, "there is no case of {kinds:?}");
    assert!(differences.is_empty(), "{} of {ran} cases:\n{}", differences.len(), differences.join("\n"));
}

const ONE: usize = usize::MAX;

#[test]
fn checkpoints_that_mlx_quantised_are_checked_before_and_while_they_are_read() {
    every_case_of(&["mlx:"], ONE);
    every_case_of(&["mlx:"], 1000);
}

#[test]
fn files_of_another_kind_are_named() {
    every_case_of(
        &[
            "config.json:",
            "tokenizer.json:",
            "tokenizer_config.json:",
            "generation_config.json:",
            "model.safetensors",
            "chat_template.jinja:",
        ],
        ONE,
    );
}

#[test]
fn weight_files_are_refused_by_the_place_that_is_wrong() {
    every_case_of(&["safetensors:", "index:", "gguf:"], ONE);
}

#[test]
fn weight_files_in_small_chunks_are_refused_in_the_same_words() {
    every_case_of(&["safetensors:", "index:", "model.safetensors", "gguf:"], 61);
}

#[test]
fn configs_are_refused_by_the_field_that_is_wrong() {
    every_case_of(&["config:", "generation config:"], ONE);
}

#[test]
fn tokenizers_are_refused_before_the_library_sees_what_breaks_it() {
    every_case_of(&["tokenizer:", "tokenizer config:"], ONE);
}

#[test]
fn templates_come_to_an_end() {
    every_case_of(&["template:"], ONE);
}
