//! Reads the JSON files of a model strictly: a file is a UTF-8 object without duplicate keys.
//!
//! Most JSON parsers keep one of two equal keys silently. Two programs could then see two different models
//! in one file, so here a duplicate key is an error.
//!
//! One extension is allowed: `NaN`, `Infinity` and `-Infinity`, which Python writes. Each becomes a string,
//! because a [`Value`] holds finite numbers only. A field that needs a number refuses that string.

use crate::error::{Error, Result};
use crate::sniff::{Expected, sniff};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Parses `bytes` as one JSON object.
///
/// Errors: `NOT_A_MODEL_FILE` for another kind of file, `BAD_FILE` with line and column for broken JSON.
pub(crate) fn object(file: &str, bytes: &[u8]) -> Result<Map<String, Value>> {
    sniff(file, bytes, Expected::Json)?;
    let bad = |at: String, expected: &str, got: String| Err(Error::BadFile { file: file.into(), at, expected: expected.into(), got });
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            return bad(format!("byte {at}"), "UTF-8 text", format!("the byte 0x{:02x}", bytes[at]));
        }
    };
    // Few files have such numbers, so they are searched for only if the parser fails.
    let parsed = serde_json::from_str::<Strict>(text);
    let parsed = parsed.or_else(|error| quote_non_finite(text).map_or(Err(error), |quoted| serde_json::from_str(&quoted)));
    match parsed {
        Ok(Strict(Value::Object(map))) => Ok(map),
        Ok(Strict(other)) => bad("the whole file".into(), "a JSON object", show(&other)),
        Err(error) => {
            let (at, fact) = place_and_fact(&error);
            bad(at, "sound JSON", fact)
        }
    }
}

/// Puts quotation marks around the numbers that only Python reads: `NaN`, `Infinity`, `-Infinity`, and
/// numbers beyond the range of a double (`1e999`), which are infinity in Python. Returns `None` if the text
/// has no such number.
pub(crate) fn quote_non_finite(text: &str) -> Option<String> {
    let (mut quoted, mut rest, mut found) = (String::with_capacity(text.len() + 16), text, false);
    while let Some(first) = rest.chars().next() {
        let word = match first {
            '"' => string_bytes(rest),
            '-' | '+' | '.' | '0'..='9' | 'A'..='Z' | 'a'..='z' => {
                rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.'))).unwrap_or(rest.len())
            }
            other => other.len_utf8(),
        };
        let (word, after) = rest.split_at(word);
        let number = word.parse::<f64>().ok().filter(|_| word.ends_with(|c: char| c.is_ascii_digit()));
        let named = match (word, number) {
            ("NaN" | "Infinity" | "-Infinity", _) => Some(word),
            (_, Some(f64::INFINITY)) => Some("Infinity"),
            (_, Some(f64::NEG_INFINITY)) => Some("-Infinity"),
            _ => None,
        };
        // A name before a colon is a key. Only after such a name are blanks skipped, so the time stays
        // linear.
        let named = named.filter(|_| !after.trim_start().starts_with(':'));
        found |= named.is_some();
        match named {
            Some(name) => quoted.extend(["\"", name, "\""]),
            None => quoted += word,
        }
        rest = after;
    }
    found.then_some(quoted)
}

/// The length of the string at the start of `text`, with its quotation marks. Units: bytes.
fn string_bytes(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return at + 1,
            _ => escaped = byte == b'\\' && !escaped,
        }
    }
    text.len()
}

/// The line and column of a parser's error, and its message in quotation marks.
pub(crate) fn place_and_fact(error: &serde_json::Error) -> (String, String) {
    let message = error.to_string();
    let fact = message.rsplit_once(" at line ").map_or(&*message, |(fact, _)| fact);
    (format!("line {}, column {}", error.line(), error.column()), format!("\u{201c}{fact}\u{201d}"))
}

/// A value as an error shows it: JSON, cut after 60 characters.
pub(crate) fn show(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text,
    }
}

/// A [`Value`] without duplicate keys at any depth.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} stands twice")));
            }
            let Strict(value) = entries.next_value()?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn message(bytes: &[u8]) -> String {
        object("config.json", bytes).unwrap_err().to_string()
    }

    #[test]
    fn a_sound_object_is_read_whole() {
        let map = object("config.json", br#" {"a": [1, -2, 0.5, null, true], "b": {"a": "x\u0041"}} "#).unwrap();
        assert_eq!(Value::Object(map).to_string(), r#"{"a":[1,-2,0.5,null,true],"b":{"a":"xA"}}"#);
    }

    #[test]
    fn broken_json_is_told_with_its_place() {
        let end = ". Download the file again, or report it to the publisher of the model.";
        let cases: [(&[u8], &str); 6] = [
            (b"{\"a\": 1,\n \"\\u0061\": 2}", "line 2, column 9: expected sound JSON, got \u{201c}the key \"a\" stands twice\u{201d}"),
            (b"{\"a\": nan}", "line 1, column 8: expected sound JSON, got \u{201c}expected ident\u{201d}"),
            (b"{\"a\": 1", "line 1, column 7: expected sound JSON, got \u{201c}EOF while parsing an object\u{201d}"),
            (b"{\"a\": \"\xff\"}", "byte 7: expected UTF-8 text, got the byte 0xff"),
            (b"[1, 2]", "the whole file: expected a JSON object, got [1,2]"),
            (b"{}\0", "line 1, column 3: expected sound JSON, got \u{201c}trailing characters\u{201d}"),
        ];
        for (bytes, want) in cases {
            assert_eq!(message(bytes), format!("config.json: {want}{end}"));
        }
    }

    /// As `json.loads` of Python 3.11 reads them.
    #[test]
    fn numbers_that_only_python_writes_are_read_as_their_names() {
        let text = br#"{"a": NaN, "b": [Infinity,-Infinity], "c": 1e999, "d": -1e999, "e": "NaN, \" Infinity", "f": -0.5e-7, "NaN": "\\\\", "g": 1e308}"#;
        let map = object("config.json", text).unwrap();
        let expected = serde_json::json!({"a": "NaN", "b": ["Infinity", "-Infinity"], "c": "Infinity", "d": "-Infinity",
            "e": "NaN, \" Infinity", "f": -0.5e-7, "NaN": "\\\\", "g": 1e308});
        assert_eq!(Value::Object(map), expected);
        for broken in [&b"{\"a\": NaN"[..], b"{\"a\": -NaN}", b"{\"a\": NaNa}", b"{NaN: NaN}", b"{\"a\": \"NaN", b"{\"a\": Infinity 1}"] {
            assert!(object("config.json", broken).is_err(), "{:?}", std::str::from_utf8(broken));
        }
    }

    #[test]
    fn blanks_after_a_number_that_only_python_writes_take_a_moment() {
        let text = format!("{{\"a\": NaN,{}\"b\": 1}}", " ".repeat(1 << 20));
        assert_eq!(Value::Object(object("config.json", text.as_bytes()).unwrap()), serde_json::json!({"a": "NaN", "b": 1}));
    }

    #[test]
    fn nesting_without_end_is_refused() {
        let deep = format!("{{\"a\":{}", "[".repeat(10_000));
        assert!(message(deep.as_bytes()).contains("recursion limit exceeded"));
    }
}
