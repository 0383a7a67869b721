//! The metadata of a GGUF file: keys with typed values.

use super::super::bad;
use crate::error::{Error, Result};

/// The metadata of a file, in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    /// The name of the file, for errors.
    file: String,
    pairs: Vec<(String, Value)>,
}

/// A value of the metadata.
#[derive(Debug)]
pub(super) enum Value {
    /// A whole number of any width that is not negative.
    Whole(u64),
    /// A negative number.
    Negative(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    Texts(Texts),
    Numbers(Numbers),
}

/// A list of texts, which lie one after the other in one string.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub(super) all: String,
    /// Where each text ends.
    pub(super) ends: Vec<u32>,
}

impl Texts {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)? as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        self.all.get(start..end)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

/// A list of numbers or truth values, as the file writes them.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) kind: Kind,
    pub(super) bytes: Vec<u8>,
}

impl Numbers {
    pub(super) fn len(&self) -> usize {
        self.bytes.len() / self.kind.bytes()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Value> {
        self.bytes.chunks_exact(self.kind.bytes()).map(|bytes| self.kind.value(bytes))
    }
}

/// The type of a number or a truth value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    U64,
    I64,
    F64,
}

impl Kind {
    /// The type of this number in the file. Texts (8) and lists (9) are not among them.
    pub(super) fn of(number: u32) -> Option<Kind> {
        use Kind::{Bool, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
        Some(match number {
            0 => U8,
            1 => I8,
            2 => U16,
            3 => I16,
            4 => U32,
            5 => I32,
            6 => F32,
            7 => Bool,
            10 => U64,
            11 => I64,
            12 => F64,
            _ => return None,
        })
    }

    pub(super) fn bytes(self) -> usize {
        match self {
            Kind::U8 | Kind::I8 | Kind::Bool => 1,
            Kind::U16 | Kind::I16 => 2,
            Kind::U32 | Kind::I32 | Kind::F32 => 4,
            Kind::U64 | Kind::I64 | Kind::F64 => 8,
        }
    }

    /// The value of little-endian bytes. Shapes: `bytes` (as many as [`Kind::bytes`]).
    pub(super) fn value(self, bytes: &[u8]) -> Value {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let whole = u64::from_le_bytes(wide);
        let unused = 64 - 8 * bytes.len() as u32;
        match self {
            Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 => Value::Whole(whole),
            Kind::I8 | Kind::I16 | Kind::I32 | Kind::I64 => match (whole << unused) as i64 >> unused {
                negative @ ..0 => Value::Negative(negative),
                number => Value::Whole(number as u64),
            },
            Kind::F32 => Value::Float(f64::from(f32::from_bits(whole as u32))),
            Kind::F64 => Value::Float(f64::from_bits(whole)),
            Kind::Bool => Value::Bool(whole != 0),
        }
    }
}

impl Value {
    /// The value as an error shows it.
    pub(super) fn show(&self) -> String {
        match self {
            Value::Whole(number) => number.to_string(),
            Value::Negative(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::Text(text) => crate::json::show(&text.as_str().into()),
            Value::Texts(texts) => format!("a list of {} texts", texts.len()),
            Value::Numbers(numbers) => format!("a list of {} numbers", numbers.len()),
        }
    }
}

/// The place of a key, as an error names it.
pub(super) fn place(key: &str) -> String {
    format!("metadata {key}")
}

impl Metadata {
    pub(super) fn new(file: &str) -> Metadata {
        Metadata { file: file.into(), pairs: Vec::new() }
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn insert(&mut self, key: String, value: Value) {
        self.pairs.push((key, value));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value))
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// The error of a key whose value breaks a rule.
    pub(super) fn bad(&self, key: &str, expected: &str, got: String) -> Error {
        bad(&self.file, &place(key), expected, got)
    }

    /// The error of a sound value that asks for something that is not implemented.
    pub(super) fn unsupported(&self, key: &str, expected: &str, got: String) -> Error {
        Error::UnsupportedModel { file: self.file.clone(), field: place(key), expected: expected.into(), got }
    }

    fn typed<T>(&self, key: &str, expected: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.bad(key, expected, value.show()))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&str>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => Err(self.bad(key, "a text", other.show())),
        }
    }

    pub(super) fn whole(&self, key: &str) -> Result<Option<u64>> {
        let whole = |value: &Value| if let Value::Whole(number) = value { Some(*number) } else { None };
        self.typed(key, "a whole number", whole)
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", |value| if let Value::Bool(flag) = value { Some(*flag) } else { None })
    }

    pub(super) fn texts(&self, key: &str) -> Result<Option<&Texts>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Texts(texts)) => Ok(Some(texts)),
            Some(other) => Err(self.bad(key, "a list of texts", other.show())),
        }
    }

    pub(super) fn numbers(&self, key: &str) -> Result<Option<&Numbers>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Numbers(numbers)) => Ok(Some(numbers)),
            Some(other) => Err(self.bad(key, "a list of numbers", other.show())),
        }
    }
}
