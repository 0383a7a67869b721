//! Limits on what a chat template may do, for a template is a program by a stranger.
//!
//! Three things are counted, each before it happens:
//!
//! ```text
//! steps    one for each part of the program that runs, and one for every 16 bytes or each item that it walks over
//! bytes    of every value that is made, dropped ones included
//! text     that is written
//! ```
//!
//! A value has a largest size, containers lie in each other to a stated depth, and calls nest to a stated depth, because both are walked by recursion.
//! The limits grow with what the caller passed in: a template may well read a long conversation several times.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::value::{Dict, Items, Missing, Object, Outcome, Text, Value, fault};
use crate::text::Now;

/// Steps for a rendering: real templates take a few hundred a message, and those that look at each character some twenty a byte.
const STEPS: usize = 2_000_000;
const STEPS_PER_MESSAGE: usize = 20_000;
const STEPS_PER_BYTE: usize = 40;
/// One to two seconds.
const STEPS_MAX: usize = 12_000_000;

/// Bytes of all values together.
const MADE: usize = 20 << 20;
const MADE_PER_BYTE: usize = 16;

/// Bytes of one value, and of all that is written.
const VALUE: usize = 1 << 20;
const VALUE_PER_BYTE: usize = 4;
const WRITTEN: usize = 1 << 20;
const WRITTEN_PER_BYTE: usize = 8;

/// Lists in lists.
const NESTING_MAX: usize = 64;

/// Calls, blocks and expressions in each other, weighed by the stack that they take: the wasm stack is 1 MiB.
const CALLS_MAX: usize = 600;

/// Bytes that an item takes in a list, an entry in a dict, and a value by itself.
pub(super) const ITEM_BYTES: usize = size_of::<Value>();
const ENTRY_BYTES: usize = 2 * ITEM_BYTES;
const VALUE_BYTES: usize = 48;
const SCOPE_BYTES: usize = 1000;

pub(super) const TOO_LARGE: &str = "it makes a value that is too large";

/// What a rendering may still do, and what it has of the world.
pub(super) struct Meter {
    steps: Cell<usize>,
    made: Cell<usize>,
    written: Cell<usize>,
    value_max: usize,
    calls: Cell<usize>,
    /// Whether values that are written are escaped for HTML (`{% autoescape true %}`).
    pub(super) escapes: Cell<bool>,
    pub(super) now: Option<Now>,
    /// The characters that callers typed in special tokens, by their twins (`marks`).
    twins: HashMap<char, char>,
    missing: RefCell<Option<Rc<Missing>>>,
    namespaces: RefCell<Vec<Rc<Object>>>,
}

impl Meter {
    /// For messages of so many bytes in all, in whose texts `twins` stand for the characters of special tokens.
    pub(super) fn new(messages: usize, bytes: usize, now: Option<Now>, twins: HashMap<char, char>) -> Meter {
        Meter {
            steps: Cell::new((STEPS + STEPS_PER_MESSAGE * messages + STEPS_PER_BYTE.saturating_mul(bytes)).min(STEPS_MAX)),
            made: Cell::new(MADE + MADE_PER_BYTE.saturating_mul(bytes)),
            written: Cell::new(WRITTEN + WRITTEN_PER_BYTE.saturating_mul(bytes)),
            value_max: VALUE + VALUE_PER_BYTE.saturating_mul(bytes),
            calls: Cell::new(0),
            escapes: Cell::new(false),
            now,
            twins,
            missing: RefCell::new(None),
            namespaces: RefCell::new(Vec::new()),
        }
    }

    pub(super) fn has_twins(&self) -> bool {
        !self.twins.is_empty()
    }

    /// The character that a caller typed where `character` is its twin.
    pub(super) fn typed(&self, character: char) -> Option<char> {
        self.twins.get(&character).copied()
    }

    /// Whether two texts are the same as callers typed them.
    pub(super) fn reads_alike(&self, a: &str, b: &str) -> bool {
        let plain = |character| self.typed(character).unwrap_or(character);
        a == b || (!self.twins.is_empty() && a.chars().map(plain).eq(b.chars().map(plain)))
    }

    /// Takes steps.
    pub(super) fn step(&self, steps: usize) -> Outcome<()> {
        match self.steps.get().checked_sub(steps) {
            Some(left) => {
                self.steps.set(left);
                Ok(())
            }
            None => Err(fault("it takes too many steps")),
        }
    }

    /// Walks over a text.
    pub(super) fn walk(&self, bytes: usize) -> Outcome<()> {
        self.step(bytes / 16)
    }

    /// Whether one value may have so many bytes.
    pub(super) fn fits(&self, bytes: usize) -> Outcome<()> {
        if bytes > self.value_max { Err(fault(TOO_LARGE)) } else { Ok(()) }
    }

    fn make(&self, bytes: usize) -> Outcome<()> {
        self.walk(bytes)?;
        match self.made.get().checked_sub(bytes) {
            Some(left) => {
                self.made.set(left);
                Ok(())
            }
            None => Err(fault("it makes too much")),
        }
    }

    /// Bytes are about to be written.
    pub(super) fn write(&self, bytes: usize) -> Outcome<()> {
        self.walk(bytes)?;
        match self.written.get().checked_sub(bytes) {
            Some(left) => {
                self.written.set(left);
                Ok(())
            }
            None => Err(fault("it writes too much text")),
        }
    }

    /// Goes so much deeper; `leave` comes back.
    pub(super) fn enter(&self, cost: usize) -> Outcome<()> {
        self.calls.set(self.calls.get() + cost);
        if self.calls.get() > CALLS_MAX { Err(fault("it nests too deeply, or calls itself too often")) } else { Ok(()) }
    }

    pub(super) fn leave(&self, cost: usize) {
        self.calls.set(self.calls.get() - cost);
    }

    /// A scope with its variables is kept until the end.
    pub(super) fn keep_scope(&self) -> Outcome<()> {
        self.make(SCOPE_BYTES)
    }

    /// Space for so many items is about to be taken.
    pub(super) fn room(&self, items: usize) -> Outcome<()> {
        self.fits(items.saturating_mul(ITEM_BYTES / 4))?;
        self.step(items)?;
        self.make(items * ITEM_BYTES)
    }

    pub(super) fn text(&self, text: impl Into<Rc<str>>) -> Outcome<Value> {
        Ok(Value::Str(self.plain(text)?))
    }

    /// A text by itself.
    pub(super) fn plain(&self, text: impl Into<Rc<str>>) -> Outcome<Text> {
        let text: Rc<str> = text.into();
        self.fits(text.len())?;
        self.make(text.len() + VALUE_BYTES)?;
        Ok(Text::new(text))
    }

    pub(super) fn items(&self, items: Vec<Value>) -> Outcome<Rc<Items>> {
        self.room(items.len())?;
        self.make(VALUE_BYTES)?;
        let items = Items::new(items);
        self.nests(items.depth)?;
        Ok(Rc::new(items))
    }

    pub(super) fn list(&self, items: Vec<Value>) -> Outcome<Value> {
        Ok(Value::List(self.items(items)?))
    }

    pub(super) fn tuple(&self, items: Vec<Value>) -> Outcome<Value> {
        Ok(Value::Tuple(self.items(items)?))
    }

    pub(super) fn dict(&self, entries: Vec<(Value, Value)>) -> Outcome<Value> {
        self.step(entries.len())?;
        self.make(entries.len() * ENTRY_BYTES + VALUE_BYTES)?;
        let dict = Dict::new(entries);
        self.nests(dict.depth)?;
        Ok(Value::Dict(Rc::new(dict)))
    }

    /// Items that can be taken once.
    pub(super) fn once(&self, name: &'static str, items: Vec<Value>) -> Outcome<Value> {
        self.room(items.len())?;
        let depth = 1 + items.iter().map(Value::depth).max().unwrap_or(0);
        self.nests(depth)?;
        self.object(Object::Once { name, items, taken: Cell::new(0), depth })
    }

    /// Whether so many containers may lie in each other.
    pub(super) fn nests(&self, depth: usize) -> Outcome<()> {
        if depth > NESTING_MAX { Err(fault("it nests lists or dicts too deeply")) } else { Ok(()) }
    }

    pub(super) fn object(&self, object: Object) -> Outcome<Value> {
        self.make(size_of::<Object>())?;
        let object = Rc::new(object);
        if let Object::Namespace(_) = *object {
            self.namespaces.borrow_mut().push(object.clone());
        }
        let value = Value::Object(object);
        self.nests(value.depth())?;
        Ok(value)
    }

    /// The same one as before where the same is missing: a loop may ask for it a thousand times.
    pub(super) fn undefined(&self, missing: Missing) -> Value {
        let mut last = self.missing.borrow_mut();
        match &*last {
            Some(same) if **same == missing => Value::Undefined(same.clone()),
            _ => Value::Undefined(last.insert(Rc::new(missing)).clone()),
        }
    }
}

impl Drop for Meter {
    /// A namespace may hold itself, or a long chain of others: each is emptied by itself.
    fn drop(&mut self) {
        for object in self.namespaces.borrow().iter() {
            if let Object::Namespace(dict) = &**object {
                dict.take();
            }
        }
    }
}

impl Default for Dict {
    fn default() -> Dict {
        Dict::new(Vec::new())
    }
}
