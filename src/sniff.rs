//! Recognises other kinds of files in place of a model file.
//!
//! Most "broken models" are sound files of another kind: a login page, a Git LFS pointer, a server's
//! `{"error": ...}`, a checkpoint in another format. Every reader of model files calls this before it
//! reports a syntax error, so that the error names the real mistake.

use crate::error::{Error, Result};

/// How many bytes at the start of a file [`sniff`] looks at.
pub(crate) const SNIFF_BYTES: usize = 512;

/// The kind of file a reader expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A JSON object.
    Json,
    /// A safetensors file. Call [`sniff`] only if the bytes are not valid safetensors, because the eight
    /// bytes of the header's length may look like anything.
    Safetensors,
    /// A GGUF file. Call [`sniff`] only if the bytes do not begin as one.
    Gguf,
}

/// Refuses a file whose start is recognised as another kind of file.
///
/// Errors: `NOT_A_MODEL_FILE`, which says what the file is and what to do. Unknown bytes pass.
pub(crate) fn sniff(file: &str, start: &[u8], expected: Expected) -> Result<()> {
    let start = &start[..start.len().min(SNIFF_BYTES)];
    match recognise(start, expected) {
        Some((found, remedy)) => Err(Error::NotAModelFile { file: file.into(), found, remedy: remedy.into() }),
        None => Ok(()),
    }
}

const SAFETENSORS: &str = "Fireside reads safetensors: use the files of the same model that end in .safetensors.";
const ADDRESS: &str = "Open its address in a browser tab: it may be mistyped, or the model may ask for a login or an accepted licence.";
const UNPACK: &str = "Unpack it first, or have the server send it with the matching Content-Encoding header.";

fn recognise(start: &[u8], expected: Expected) -> Option<(String, &'static str)> {
    let text = String::from_utf8_lossy(start);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let lower = text.to_ascii_lowercase();
    if start.is_empty() {
        return Some(("empty".into(), "Download it again: the transfer ended before its first byte."));
    }
    if text.starts_with("version https://git-lfs") {
        let size = text.lines().find_map(|line| line.strip_prefix("size ")?.trim().parse::<u64>().ok());
        let size = size.map_or(String::new(), |bytes| format!(" of {bytes} bytes"));
        return Some((
            format!("a Git LFS pointer, a note that stands in for the real file{size}"),
            "Run `git lfs pull` in the clone, or download the file itself from the model's page.",
        ));
    }
    if lower.starts_with('<') {
        let kind = if lower.contains("<html") || lower.contains("<!doctype html") { "an HTML page" } else { "an XML document" };
        return Some((format!("{kind} that begins {}", quote(text)), ADDRESS));
    }
    if start.starts_with(b"GGUF") {
        return Some(("a GGUF file, the format of llama.cpp".into(), "Load that file itself: it needs no other files."));
    }
    if start.starts_with(b"lmgg") || start.starts_with(b"tjgg") {
        return Some(("a GGML file, which llama.cpp wrote before GGUF".into(), SAFETENSORS));
    }
    if start.starts_with(b"PK\x03\x04") {
        return Some(("a ZIP archive, as PyTorch's .bin and .pt files are".into(), SAFETENSORS));
    }
    if start.len() > 1 && start[0] == 0x80 && (2..=5).contains(&start[1]) {
        return Some(("a Python pickle, as PyTorch's .bin files are".into(), SAFETENSORS));
    }
    if start.starts_with(&[0x1f, 0x8b]) {
        return Some(("compressed by gzip".into(), UNPACK));
    }
    if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Some(("compressed by Zstandard".into(), UNPACK));
    }
    let spaceless: String = lower.chars().filter(|c| !c.is_whitespace()).take(9).collect();
    if spaceless.starts_with("{\"error\":") {
        return Some((format!("a server's error message: {}", quote(text)), ADDRESS));
    }
    let json = text.starts_with(['{', '[', '"']);
    if json && expected != Expected::Json {
        return Some((format!("JSON text that begins {}", quote(text)), SAFETENSORS));
    }
    let words = text.len() > 3 && text.starts_with(|c: char| c.is_alphabetic()) && is_text(start);
    if words && !json {
        return Some((format!("a text that begins {}", quote(text)), ADDRESS));
    }
    None
}

/// Whether the bytes are UTF-8 without control characters. The last character may be incomplete.
fn is_text(start: &[u8]) -> bool {
    let valid = match std::str::from_utf8(start) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default(),
        Err(_) => return false,
    };
    valid.chars().all(|c| !c.is_control() || c.is_ascii_whitespace())
}

/// The first 80 characters on one line, in quotation marks.
fn quote(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut short: String = line.chars().filter(|c| !c.is_control()).take(80).collect();
    if short.len() < line.len() {
        short.push_str("...");
    }
    format!("\u{201c}{short}\u{201d}")
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn message(start: &[u8], expected: Expected) -> String {
        sniff("model.safetensors", start, expected).unwrap_err().to_string()
    }

    #[test]
    fn every_foreign_file_is_called_by_its_name() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 2626168\n";
        let cases: [(&[u8], &str); 12] = [
            (b"", "empty. Download"),
            (b"<!DOCTYPE html><html><head>", "an HTML page that begins \u{201c}<!DOCTYPE html><html><head>\u{201d}. Open"),
            (b"\xef\xbb\xbf \n<HTML>", "an HTML page that begins \u{201c}<HTML>\u{201d}. Open"),
            (b"<?xml version='1.0'?><Error>", "an XML document that begins"),
            (pointer, "a Git LFS pointer, a note that stands in for the real file of 2626168 bytes. Run `git lfs pull`"),
            (b"GGUF\x03\0\0\0", "a GGUF file, the format of llama.cpp. Load that file itself"),
            (b"PK\x03\x04\0\0", "a ZIP archive, as PyTorch's .bin and .pt files are. Fireside reads"),
            (b"\x80\x02}q\0", "a Python pickle, as PyTorch's .bin files are. Fireside reads"),
            (b"\x1f\x8b\x08\0", "compressed by gzip. Unpack it first"),
            (
                b"{\"error\": \"Repository not found\"}",
                "a server's error message: \u{201c}{\"error\": \"Repository not found\"}\u{201d}. Open",
            ),
            (b"Entry not found", "a text that begins \u{201c}Entry not found\u{201d}. Open"),
            (b"{\"hidden_size\": 64}", "JSON text that begins \u{201c}{\"hidden_size\": 64}\u{201d}. Fireside reads"),
        ];
        for (start, want) in cases {
            let message = message(start, Expected::Safetensors);
            let head = "model.safetensors is not the model file it should be: it is ";
            assert!(message.starts_with(&format!("{head}{want}")), "{message}");
        }
    }

    #[test]
    fn a_json_object_and_unknown_bytes_pass() {
        for start in [&b"{\"hidden_size\": 64}"[..], b" \n{}", b"[1]", b"\x01\x02\x03\x04", b"{"] {
            assert_eq!(sniff("config.json", start, Expected::Json), Ok(()));
        }
    }
}
