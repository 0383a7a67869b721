//! Reads the header of a safetensors file, and checks it before any data is read.
//!
//! A file is eight bytes of header length, the header in JSON, and the data. The `safetensors` crate does
//! not serve here. It reads a whole file in one buffer, keeps the last of two tensors of one name, and
//! counts in `usize`, which has 32 bits in WebAssembly. This reader gets a file in pieces, accepts each name
//! once, and counts in 64 bits.
//!
//! Source: the format's description, <https://github.com/huggingface/safetensors#format>. Further fields of
//! an entry are skipped, as the reference does.

use super::checkpoint::{Entry, Header, RowOrder};
use crate::error::{Error, Result};
use crate::json::place_and_fact;
use crate::quant::FileDtype;
use crate::sniff::{Expected, SNIFF_BYTES, sniff};
use ::safetensors::Dtype;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde::de::{Deserialize, Deserializer, IntoDeserializer, MapAccess, Visitor};
use std::collections::HashMap;
use std::fmt;

/// The longest header that is read. Published shards have some hundred KB; the reference stops at 100 MB.
const HEADER_MAX: u64 = 16 << 20;

/// How many bytes from the beginning of a file [`read`] needs, as far as `head` tells. Never fewer than
/// `head` has.
pub(super) fn header_bytes(head: &[u8]) -> usize {
    match head.len() {
        0..9 => 9,
        _ if is_plausible(head) => 8 + header_length(head) as usize,
        _ => SNIFF_BYTES,
    }
}

/// Reads the beginning of a file: as many bytes as [`header_bytes`] says, or the whole file.
///
/// Errors: `NOT_A_MODEL_FILE`, or `BAD_FILE` with the tensor or the column.
pub(super) fn read(file: &str, head: &[u8]) -> Result<Header> {
    if head.len() < 9 || !is_plausible(head) {
        sniff(file, head, Expected::Safetensors)?;
    }
    let bad =
        |at: &str, expected: &str, got: String| Err(Error::BadFile { file: file.into(), at: at.into(), expected: expected.into(), got });
    let needed = header_bytes(head);
    if head.len() < 9 || (is_plausible(head) && head.len() < needed) {
        return bad("the whole file", &format!("at least {needed} bytes for the header"), format!("{} bytes", head.len()));
    }
    let length = header_length(head);
    if !(2..=HEADER_MAX).contains(&length) {
        return bad("bytes 0 to 7", &format!("a header length from 2 to {HEADER_MAX}"), length.to_string());
    }
    if head[8] != b'{' {
        return bad("byte 8", "the `{` of the header", format!("the byte 0x{:02x}", head[8]));
    }
    let (entries, bytes) = (parse(file, &head[8..needed])?, needed as u64);
    Ok(Header { entries, bytes, data: bytes, alignment: 1 })
}

fn header_length(head: &[u8]) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| head[i]))
}

/// True when the first nine bytes can be those of a safetensors file. No text passes: it would be an
/// enormous length.
pub(crate) fn is_plausible(head: &[u8]) -> bool {
    head.len() > 8 && (2..=HEADER_MAX).contains(&header_length(head)) && head[8] == b'{'
}

/// Reads the JSON of a header.
///
/// Errors: `BAD_FILE` with the tensor or the column.
fn parse(file: &str, header: &[u8]) -> Result<Vec<Entry>> {
    let bad = |at: String, expected: &str, got: String| Error::BadFile { file: file.into(), at, expected: expected.into(), got };
    let text = std::str::from_utf8(header).map_err(|error| {
        let at = error.valid_up_to();
        bad(format!("header, byte {at}"), "UTF-8 text", format!("the byte 0x{:02x}", header[at]))
    })?;
    let Entries(mut entries) = serde_json::from_str(text).map_err(|error| {
        let (place, fact) = place_and_fact(&error);
        bad(format!("header, {place}"), "the JSON of a safetensors header", fact)
    })?;

    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(bad(format!("tensor {}", pair[0].name), "one entry in the header", "two".into()));
    }

    entries.sort_unstable_by(|a, b| (a.start, a.end, &a.name).cmp(&(b.start, b.end, &b.name)));
    let mut covered = 0;
    for entry in &entries {
        let bad = |expected: &str, got: String| bad(format!("tensor {}", entry.name), expected, got);
        let (start, end) = (entry.start, entry.end);
        if end < start {
            return Err(bad("data that ends after it begins", format!("data_offsets [{start}, {end}]")));
        }
        if start != covered {
            let what = if start > covered { "a hole before it" } else { "an overlap with the tensor before it" };
            return Err(bad(&format!("data from byte {covered}"), format!("data from byte {start}: {what}")));
        }
        if let Some(dtype) = known(&entry.dtype_name) {
            let bits = entry.shape.iter().try_fold(dtype.bitsize() as u64, |bits, &dim| bits.checked_mul(dim));
            let what = format!("{} {:?}", entry.dtype_name, entry.shape);
            match bits {
                None => return Err(bad("fewer than 2^64 bits", what)),
                Some(bits) if bits % 8 != 0 => return Err(bad("whole bytes", format!("{what}, which is {bits} bits"))),
                Some(bits) if bits / 8 != end - start => {
                    return Err(bad(&format!("{} bytes for {what}", bits / 8), format!("{} bytes", end - start)));
                }
                Some(_) => {}
            }
        }
        covered = end;
    }
    Ok(entries)
}

/// The dtype of this name, if the format knows it.
fn known(name: &str) -> Option<Dtype> {
    let word: StrDeserializer<ValueError> = name.into_deserializer();
    Dtype::deserialize(word).ok()
}

/// The dtype of this name, if weights of it can be read.
fn file_dtype(name: &str) -> Option<FileDtype> {
    match name {
        "F64" => Some(FileDtype::F64),
        "F32" => Some(FileDtype::F32),
        "F16" => Some(FileDtype::F16),
        "BF16" => Some(FileDtype::Bf16),
        _ => None,
    }
}

/// The tensors in the order of the header.
struct Entries(Vec<Entry>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor).map(Entries)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Vec<Entry>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Entry>, A::Error> {
        #[derive(serde::Deserialize)]
        struct Info {
            dtype: String,
            shape: Vec<u64>,
            data_offsets: (u64, u64),
        }
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<Option<HashMap<String, String>>>()?;
                continue;
            }
            let info: Info = map.next_value()?;
            let (start, end) = info.data_offsets;
            // A header of many small tensors takes several times its length in memory, so equal names of
            // dtypes are shared.
            let before = entries.last().map(|entry| &entry.dtype_name).filter(|before| ***before == info.dtype);
            let dtype_name = before.cloned().unwrap_or_else(|| info.dtype.into());
            let (dtype, shape) = (file_dtype(&dtype_name), info.shape.into());
            entries.push(Entry { name, published: None, dtype, dtype_name, shape, start, end, order: RowOrder::Same });
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn message(header: &str) -> String {
        parse("model.safetensors", header.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn no_text_is_taken_for_a_header_length() {
        for text in [&b"{\"error\":{"[..], b"<!doctype html>", b"version https:", b"PK\x03\x04\x14\0\0\0{", b"Entry not found"] {
            assert!(!is_plausible(text));
        }
        assert!(is_plausible(b"\x7b\x22\0\0\0\0\0\0{")); // 8827, whose first two bytes are `{"`
    }

    #[test]
    fn tensors_come_in_the_order_of_their_data() {
        let header = r#"{"__metadata__":{"format":"pt"}, "b":{"dtype":"F32","shape":[2],"data_offsets":[2,10],"extra":[1]},
            "a":{"dtype":"BF16","shape":[1,1],"data_offsets":[0,2]}, "empty":{"dtype":"F16","shape":[0,7],"data_offsets":[2,2]},
            "new":{"dtype":"F7","shape":[3],"data_offsets":[10,13]}}   "#;
        let entries = parse("model.safetensors", header.as_bytes()).unwrap();
        let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["a", "empty", "b", "new"]);
        assert_eq!((entries[2].dtype, entries[3].dtype), (Some(FileDtype::F32), None));
    }

    #[test]
    fn offsets_beyond_32_bits_are_numbers_like_others() {
        let header = r#"{"a":{"dtype":"F32","shape":[1048576,2048],"data_offsets":[0,8589934592]}}"#;
        assert_eq!(parse("model.safetensors", header.as_bytes()).unwrap()[0].end, 1 << 33);
    }

    #[test]
    fn every_way_to_break_a_header_has_its_message() {
        let end = ". Download the file again, or report it to the publisher of the model.";
        let json = "the JSON of a safetensors header";
        let one = |rest: &str| format!(r#"{{"a":{{"dtype":"F32","shape":[1],{rest}}}}}"#);
        let two = |a: &str, b: &str| {
            format!(r#"{{"a":{{"dtype":"U8","shape":[4],"data_offsets":{a}}},"b":{{"dtype":"U8","shape":[4],"data_offsets":{b}}}}}"#)
        };
        let twice = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0061":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#;
        let overflow = r#"{"a":{"dtype":"F32","shape":[4194305,4194305,211106198978564],"data_offsets":[0,4]}}"#;
        let cases: Vec<(String, String)> = vec![
            ("{".into(), format!("header, line 1, column 1: expected {json}, got \u{201c}EOF while parsing an object\u{201d}")),
            ("{}\0".into(), format!("header, line 1, column 3: expected {json}, got \u{201c}trailing characters\u{201d}")),
            (
                "[]".into(),
                format!(
                    "header, line 1, column 0: expected {json}, got \u{201c}invalid type: sequence, expected an object of tensors\u{201d}"
                ),
            ),
            (
                one(r#""data_offsets":[-1,3]"#),
                format!("header, line 1, column 50: expected {json}, got \u{201c}invalid value: integer `-1`, expected u64\u{201d}"),
            ),
            (
                one(r#""data_offsets":[0,4.5]"#),
                format!("header, line 1, column 53: expected {json}, got \u{201c}invalid type: floating point `4.5`, expected u64\u{201d}"),
            ),
            (one(r#""dtype":"F32""#), format!("header, line 1, column 39: expected {json}, got \u{201c}duplicate field `dtype`\u{201d}")),
            (one(r#""x":1"#), format!("header, line 1, column 38: expected {json}, got \u{201c}missing field `data_offsets`\u{201d}")),
            (
                r#"{"__metadata__":{"a":1}}"#.into(),
                format!("header, line 1, column 22: expected {json}, got \u{201c}invalid type: integer `1`, expected a string\u{201d}"),
            ),
            (one(r#""data_offsets":[4,0]"#), "tensor a: expected data that ends after it begins, got data_offsets [4, 0]".into()),
            (one(r#""data_offsets":[0,5]"#), "tensor a: expected 4 bytes for F32 [1], got 5 bytes".into()),
            (one(r#""data_offsets":[1,5]"#), "tensor a: expected data from byte 0, got data from byte 1: a hole before it".into()),
            (
                two("[0,4]", "[2,6]"),
                "tensor b: expected data from byte 4, got data from byte 2: an overlap with the tensor before it".into(),
            ),
            (two("[0,4]", "[5,9]"), "tensor b: expected data from byte 4, got data from byte 5: a hole before it".into()),
            (twice.into(), "tensor a: expected one entry in the header, got two".into()),
            (overflow.into(), "tensor a: expected fewer than 2^64 bits, got F32 [4194305, 4194305, 211106198978564]".into()),
            (
                r#"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}"#.into(),
                "tensor a: expected whole bytes, got F4 [3], which is 12 bits".into(),
            ),
        ];
        for (header, want) in cases {
            assert_eq!(message(&header), format!("model.safetensors: {want}{end}"));
        }
        let deep = format!("{{\"a\":{}", "[".repeat(10_000));
        assert!(message(&deep).contains("header, line 1, column "));
        let bytes = [&b"{\"a\xff\""[..], b":1}"].concat();
        let message = parse("model.safetensors", &bytes).unwrap_err().to_string();
        assert_eq!(message, format!("model.safetensors: header, byte 3: expected UTF-8 text, got the byte 0xff{end}"));
    }
}
