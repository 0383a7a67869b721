//! The fields of a JSON file. They are taken one by one, and their types and ranges are checked.

use crate::error::{Error, Result};
use crate::json::{self, show};
use serde_json::{Map, Value};

/// The fields of one JSON object that have not been taken yet.
pub(super) struct Fields {
    file: &'static str,
    /// Path of the object in its file, with its dot: "" or "rope_parameters.".
    path: String,
    map: Map<String, Value>,
}

impl Fields {
    /// The fields of a whole file.
    pub(super) fn parse(file: &'static str, bytes: &[u8]) -> Result<Fields> {
        Ok(Fields { file, path: String::new(), map: json::object(file, bytes)? })
    }

    /// Takes the object in the field `name`. `None` if the field is absent, or false in Python: null, false,
    /// 0, or empty.
    pub(super) fn object(&mut self, name: &str) -> Result<Option<Fields>> {
        match self.take(name) {
            None => Ok(None),
            Some(value) if is_off(&value) => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Fields { file: self.file, path: format!("{}{name}.", self.path), map })),
            Some(other) => Err(self.bad(name, "an object or null", show(&other))),
        }
    }

    /// Takes a field. `None` if it is absent or null.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// Puts a field back among those that nobody took.
    pub(super) fn put_back(&mut self, name: &str, value: Value) {
        self.map.insert(name.into(), value);
    }

    /// Takes the field if it is the number 1.
    pub(super) fn is_one(&mut self, name: &str) -> bool {
        let one = self.map.get(name).and_then(Value::as_f64) == Some(1.0);
        if one {
            self.map.remove(name);
        }
        one
    }

    /// Makes an infinite number null: an infinite limit is no limit.
    pub(super) fn drop_infinite(&mut self, name: &str) {
        if self.map.get(name).is_some_and(|value| value == "Infinity") {
            self.map.insert(name.into(), Value::Null);
        }
    }

    /// True when the field is there, null or not, and nobody took it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// The names and values that nobody took.
    pub(super) fn rest(&self) -> impl Iterator<Item = (String, &Value)> {
        self.map.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (format!("{}{name}", self.path), value))
    }

    /// The names that nobody took, as they stand in this object.
    pub(super) fn names(&self) -> Vec<String> {
        self.map.keys().cloned().collect()
    }

    /// True when the value is this object.
    pub(super) fn is(&self, value: &Value) -> bool {
        value.as_object() == Some(&self.map)
    }

    /// True when both objects have the same fields.
    pub(super) fn same(&self, other: &Fields) -> bool {
        self.map == other.map
    }

    /// The object as it is.
    pub(super) fn into_value(self) -> Value {
        Value::Object(self.map)
    }

    /// Adds the rest of an inner object to the rest of this one.
    pub(super) fn keep_rest_of(&mut self, inner: Fields) {
        self.map.extend(inner.map.into_iter().map(|(name, value)| (format!("{}{name}", inner.path), value)));
    }

    /// A whole number from 1 to `max`.
    pub(super) fn size(&mut self, name: &str, max: usize) -> Result<Option<usize>> {
        self.whole(name, 1, max)
    }

    /// A whole number from 1 to `max`. Errors: `BAD_FILE` if it is absent.
    pub(super) fn required(&mut self, name: &str, max: usize) -> Result<usize> {
        self.size(name, max)?.ok_or_else(|| self.bad(name, &range(1, max), "nothing".into()))
    }

    /// A whole number from `min` to `max`.
    pub(super) fn whole(&mut self, name: &str, min: usize, max: usize) -> Result<Option<usize>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.as_u64() {
            Some(number) if (min as u64..=max as u64).contains(&number) => Ok(Some(number as usize)),
            _ => Err(self.bad(name, &range(min, max), show(&value))),
        }
    }

    /// A number that is `valid`; `expected` says in words what is. NaN and infinity are never valid: `json`
    /// reads them as text.
    pub(super) fn number(&mut self, name: &str, expected: &str, valid: impl Fn(f64) -> bool) -> Result<Option<f64>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if valid(number) => Ok(Some(number)),
            _ => Err(self.bad(name, expected, show(&value))),
        }
    }

    /// True or false.
    pub(super) fn boolean(&mut self, name: &str) -> Result<Option<bool>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(other) => Err(self.bad(name, "true or false", show(&other))),
        }
    }

    /// A string.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(value)),
            Some(other) => Err(self.bad(name, "a string", show(&other))),
        }
    }

    /// A list.
    pub(super) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(values)) => Ok(Some(values)),
            Some(other) => Err(self.bad(name, "a list", show(&other))),
        }
    }

    /// Token ids: one, a list of them, or null for none. `default` if the field is absent.
    pub(super) fn token_ids(&mut self, name: &str, default: Option<i64>) -> Result<Vec<i64>> {
        let ids = match self.map.remove(name) {
            None => return Ok(default.into_iter().collect()),
            Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(ids)) => ids,
            Some(one) => vec![one],
        };
        ids.iter().map(|id| id.as_i64().ok_or_else(|| self.bad(name, "a token id, a list of them or null", show(id)))).collect()
    }

    /// The error of a field that breaks a rule.
    pub(super) fn bad(&self, name: &str, expected: &str, got: String) -> Error {
        Error::BadFile { file: self.file.into(), at: format!("{}{name}", self.path), expected: expected.into(), got }
    }

    /// The error of a valid field that asks for something that is not implemented.
    pub(super) fn unsupported(&self, name: &str, expected: &str, got: String) -> Error {
        Error::UnsupportedModel { file: self.file.into(), field: format!("{}{name}", self.path), expected: expected.into(), got }
    }
}

/// True for the values that are false in Python.
pub(super) fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) => false,
    }
}

fn range(min: usize, max: usize) -> String {
    format!("a whole number from {min} to {max}")
}
