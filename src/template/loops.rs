//! Iteration: the items of a value, and the `loop` of a `for`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::compare::equal;
use super::limits::Meter;
use super::value::{Items, Missing, Object, Outcome, Range, Text, Value, View, fault};

/// The items of a loop. Texts and ranges make their items one by one.
pub(super) enum Source {
    Items(Rc<Items>),
    Text(Text),
    Range(Range),
}

/// The state of a `for` loop.
pub(super) struct Loop {
    source: Source,
    pub(super) length: usize,
    /// The index of the current item, and in a text its first byte.
    index: Cell<usize>,
    byte: Cell<usize>,
    level: usize,
    /// How deep containers nest in the items.
    pub(super) depth: usize,
    changed: RefCell<Option<Vec<Value>>>,
    ended: Cell<bool>,
    /// Of a recursive `for`: its index in `Run::recursions`.
    pub(super) recurse: Option<usize>,
}

impl Loop {
    pub(super) fn new(source: Source, level: usize, recurse: Option<usize>, meter: &Meter) -> Outcome<Loop> {
        let (length, depth) = match &source {
            Source::Items(items) => (items.items.len(), items.depth + 1),
            Source::Range(range) => (range.len(), 1),
            Source::Text(text) => {
                meter.walk(text.as_str().len())?;
                (text.as_str().chars().count(), 1)
            }
        };
        let (index, byte, changed, ended) = (Cell::new(usize::MAX), Cell::new(0), RefCell::new(None), Cell::new(false));
        Ok(Loop { source, length, index, byte, level, depth, changed, ended, recurse })
    }

    /// Moves to the next item.
    pub(super) fn advance(&self) -> Option<Value> {
        if self.index.get() != usize::MAX
            && let Source::Text(text) = &self.source
        {
            self.byte.set(self.byte.get() + text.as_str()[self.byte.get()..].chars().next().map_or(0, char::len_utf8));
        }
        self.index.set(self.index.get().wrapping_add(1));
        let item = self.item(0);
        if item.is_none() {
            self.index.set(self.index.get().wrapping_sub(1));
        }
        item
    }

    /// Ends the loop. It drops what could hold the loop itself.
    pub(super) fn end(&self) {
        self.ended.set(true);
        self.changed.take();
    }

    pub(super) fn level(&self) -> usize {
        self.level
    }

    /// The item before (-1), at (0) or after (1) the current one.
    fn item(&self, offset: isize) -> Option<Value> {
        let index = self.index.get().checked_add_signed(offset)?;
        match &self.source {
            Source::Items(items) => items.items.get(index).cloned(),
            Source::Range(range) => (index < range.len()).then(|| range.at(index)),
            Source::Text(text) => {
                let (before, after) = text.as_str().split_at_checked(self.byte.get())?;
                let character = match offset {
                    -1 => before.chars().next_back(),
                    0 => after.chars().next(),
                    _ => after.chars().nth(1),
                };
                character.map(|character| Value::Str(Text::character(character)))
            }
        }
    }

    pub(super) fn attribute(&self, name: &str, meter: &Meter) -> Option<Value> {
        let index = self.index.get();
        let neighbour = |offset, nothing| self.item(offset).unwrap_or_else(|| meter.undefined(Missing::Because(nothing)));
        Some(match name {
            "index" => Value::from(index + 1),
            "index0" => Value::from(index),
            "revindex" => Value::from(self.length - index),
            "revindex0" => Value::from(self.length - index - 1),
            "first" => Value::Bool(index == 0),
            "last" => Value::Bool(index + 1 == self.length),
            "length" => Value::from(self.length),
            "depth" => Value::from(self.level + 1),
            "depth0" => Value::from(self.level),
            "previtem" => neighbour(-1, "there is no previous item"),
            "nextitem" => neighbour(1, "there is no next item"),
            _ => return None,
        })
    }

    pub(super) fn cycle(&self, items: &[Value]) -> Outcome<Value> {
        items.get(self.index.get() % items.len().max(1)).cloned().ok_or_else(|| fault("loop.cycle() has no items"))
    }

    pub(super) fn changed(&self, values: &[Value], meter: &Meter) -> Outcome<Value> {
        let same = match &*self.changed.borrow() {
            Some(last) => {
                let pairs = last.iter().zip(values).map(|(a, b)| equal(a, b, meter));
                last.len() == values.len() && pairs.collect::<Outcome<Vec<bool>>>()?.into_iter().all(|same| same)
            }
            None => false,
        };
        if !same && !self.ended.get() {
            meter.room(values.len())?;
            self.changed.replace(Some(values.to_vec()));
        }
        Ok(Value::Bool(!same))
    }

    pub(super) fn written(&self) -> String {
        format!("<LoopContext {}/{}>", self.index.get() + 1, self.length)
    }
}

/// The items of a value, for a loop.
///
/// Errors: a value that is not iterable.
pub(super) fn source(value: &Value, meter: &Meter) -> Outcome<Source> {
    Ok(match value {
        Value::List(items) | Value::Tuple(items) => Source::Items(items.clone()),
        Value::Str(text) => Source::Text(text.clone().with_safe(false)),
        Value::Range(range) => Source::Range(**range),
        _ => Source::Items(meter.items(items(value, meter)?)?),
    })
}

/// Whether Python's `iter` accepts the value.
pub(super) fn is_iterable(value: &Value) -> bool {
    match value {
        Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) => false,
        Value::Object(object) => matches!(&**object, Object::Once { .. } | Object::View(..) | Object::Loop(_)),
        _ => true,
    }
}

/// All items of a value.
///
/// Errors: a value that is not iterable.
pub(super) fn items(value: &Value, meter: &Meter) -> Outcome<Vec<Value>> {
    match value {
        Value::List(items) | Value::Tuple(items) => {
            meter.room(items.items.len())?;
            Ok(items.items.clone())
        }
        Value::Str(text) => {
            // Every character beyond ASCII is an allocation.
            meter.room(text.as_str().len())?;
            Ok(text.as_str().chars().map(|character| Value::Str(Text::character(character))).collect())
        }
        Value::Bytes(bytes) => {
            meter.room(bytes.len())?;
            Ok(bytes.iter().map(|&byte| Value::Int(i128::from(byte))).collect())
        }
        Value::Dict(dict) => {
            meter.room(dict.entries.len())?;
            Ok(dict.entries.iter().map(|(key, _)| key.clone()).collect())
        }
        Value::Range(range) => {
            meter.room(range.len())?;
            Ok((0..range.len()).map(|index| range.at(index)).collect())
        }
        Value::Undefined(_) => Ok(Vec::new()),
        Value::Object(object) => match &**object {
            Object::View(View::Keys, dict) => items(&Value::Dict(dict.clone()), meter),
            Object::View(View::Values, dict) => {
                meter.room(dict.entries.len())?;
                Ok(dict.entries.iter().map(|(_, value)| value.clone()).collect())
            }
            Object::View(View::Items, dict) => {
                dict.entries.iter().map(|(key, value)| meter.tuple(vec![key.clone(), value.clone()])).collect()
            }
            Object::Once { items, taken, .. } => {
                meter.room(items.len() - taken.get())?;
                Ok(items[taken.replace(items.len())..].to_vec())
            }
            _ => Err(not_iterable(value)),
        },
        _ => Err(not_iterable(value)),
    }
}

fn not_iterable(value: &Value) -> Box<super::value::Fault> {
    fault(format!("a value of type {} is not iterable", value.kind()))
}
