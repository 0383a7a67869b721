//! `model.safetensors.index.json`: which of a model's files holds which tensor.
//!
//! The file names come from strangers and become addresses, so only plain names are accepted.
//! `metadata.total_size` is not checked: some published indexes count tied tensors once, some twice.

use crate::error::{Error, Result};
use crate::json::{self, show};
use serde_json::Value;
use std::collections::HashMap;

const FILE: &str = "model.safetensors.index.json";

/// The files of a model, and the file of each tensor.
#[derive(Debug)]
pub(super) struct Index {
    /// The files, sorted, each once.
    pub files: Vec<String>,
    /// The number in `files` of each tensor's file.
    pub file_of: HashMap<String, usize>,
}

/// Reads the index.
///
/// Errors: `NOT_A_MODEL_FILE`, and `BAD_FILE` with the entry.
pub(super) fn parse(bytes: &[u8]) -> Result<Index> {
    let bad = |at: String, expected: &str, got: String| Error::BadFile { file: FILE.into(), at, expected: expected.into(), got };
    let mut index = json::object(FILE, bytes)?;
    let map = match index.remove("weight_map") {
        Some(Value::Object(map)) if !map.is_empty() => map,
        other => {
            let got = other.map_or("nothing".into(), |other| show(&other));
            return Err(bad("weight_map".into(), "an object from tensors to files", got));
        }
    };
    let mut names = Vec::with_capacity(map.len());
    for (tensor, file) in map {
        match file {
            Value::String(file) if is_plain(&file) => names.push((tensor, file)),
            other => return Err(bad(format!("weight_map, {tensor}"), "a plain file name that ends in .safetensors", show(&other))),
        }
    }
    let mut files: Vec<String> = names.iter().map(|(_, file)| file.clone()).collect();
    files.sort();
    files.dedup();
    let number: HashMap<&str, usize> = files.iter().enumerate().map(|(number, file)| (file.as_str(), number)).collect();
    let file_of = names.iter().map(|(tensor, file)| (tensor.clone(), number[file.as_str()])).collect();
    Ok(Index { files, file_of })
}

/// True for `[A-Za-z0-9._-]+\.safetensors` without "..". Such a name stays in its folder in any address.
fn is_plain(file: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let stem = file.strip_suffix(".safetensors").unwrap_or_default();
    !stem.is_empty() && stem.chars().all(plain) && !file.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn files_are_sorted_and_stand_once() {
        let json =
            br#"{"metadata": {"total_size": 1}, "weight_map": {"b": "m-2.safetensors", "a": "m-1.safetensors", "c": "m-2.safetensors"}}"#;
        let index = parse(json).unwrap();
        assert_eq!(index.files, ["m-1.safetensors", "m-2.safetensors"]);
        assert_eq!((index.file_of["a"], index.file_of["b"], index.file_of["c"]), (0, 1, 1));
    }

    #[test]
    fn a_file_name_that_could_leave_its_folder_is_refused() {
        let hostile = [
            "../m.safetensors",
            "/etc/m.safetensors",
            "https://example.org/m.safetensors",
            "%2e%2e%2fm.safetensors",
            "a..safetensors",
            "a\\m.safetensors",
            "m.safetensors?x",
            "m.bin",
            ".safetensors",
            "",
        ];
        for file in hostile {
            let json = serde_json::json!({"weight_map": {"model.norm.weight": file}}).to_string();
            let got = serde_json::to_string(file).unwrap();
            assert_eq!(
                parse(json.as_bytes()).unwrap_err().to_string(),
                format!(
                    "model.safetensors.index.json: weight_map, model.norm.weight: expected a plain file name that ends in .safetensors, \
                     got {got}. Download the file again, or report it to the publisher of the model."
                )
            );
        }
    }

    #[test]
    fn an_index_without_a_map_is_refused() {
        for (json, got) in [("{}", "nothing"), (r#"{"weight_map": []}"#, "[]"), (r#"{"weight_map": {}}"#, "{}")] {
            let message = parse(json.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(&format!("weight_map: expected an object from tensors to files, got {got}.")), "{message}");
        }
    }
}
