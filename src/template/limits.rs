//! Limits on what a chat template may do, because a template is a program from a stranger.
//!
//! The meter counts three things, each before it happens:
//!
//! ```text
//! steps    one for each statement and expression that runs, and one for every 16 bytes or item that it reads
//! made     bytes of all values that are made, also of those that are dropped
//! written  bytes of the output
//! ```
//!
//! There are also limits on the size of one value, and on the nesting of containers and of calls, because
//! these are processed by recursion. The limits grow with the caller's messages: a template may read a long
//! conversation several times.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::value::{Dict, Items, Missing, Object, Outcome, Text, Value, fault};
use crate::text::Now;

/// Steps for a rendering. Published templates take a few hundred steps a message; those that look at each
/// character take about twenty steps a byte.
const STEPS: usize = 2_000_000;
const STEPS_PER_MESSAGE: usize = 20_000;
const STEPS_PER_BYTE: usize = 40;
/// These take one to two seconds.
const STEPS_MAX: usize = 12_000_000;

/// Bytes of all values that a rendering makes.
const MADE: usize = 20 << 20;
const MADE_PER_BYTE: usize = 16;

/// Bytes of one value, and bytes of the output.
const VALUE: usize = 1 << 20;
const VALUE_PER_BYTE: usize = 4;
const WRITTEN: usize = 1 << 20;
const WRITTEN_PER_BYTE: usize = 8;

/// How deep lists and dicts may nest.
const NESTING_MAX: usize = 64;

/// How deep calls, blocks and expressions may nest, each weighted by the stack that it takes: the wasm stack
/// is 1 MiB.
const CALLS_MAX: usize = 600;

/// Bytes of an item of a list, of an entry of a dict, of a value on the heap, and of a scope.
pub(super) const ITEM_BYTES: usize = size_of::<Value>();
const ENTRY_BYTES: usize = 2 * ITEM_BYTES;
const VALUE_BYTES: usize = 48;
const SCOPE_BYTES: usize = 1000;

pub(super) const TOO_LARGE: &str = "it makes a value that is too large";

/// What a rendering may still use, and what it knows of the outside: the time, and the characters that
/// callers typed.
pub(super) struct Meter {
    steps: Cell<usize>,
    made: Cell<usize>,
    written: Cell<usize>,
    value_max: usize,
    calls: Cell<usize>,
    /// Whether output is escaped for HTML (`{% autoescape true %}`).
    pub(super) escapes: Cell<bool>,
    pub(super) now: Option<Now>,
    /// From twins to the characters that callers typed ([`Coding`](crate::text::Coding)).
    twins: HashMap<char, char>,
    missing: RefCell<Option<Rc<Missing>>>,
    namespaces: RefCell<Vec<Rc<Object>>>,
}

impl Meter {
    /// The limits for this number of messages and of bytes in them.
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

    /// The character that a caller typed, if `character` is a twin.
    pub(super) fn typed(&self, character: char) -> Option<char> {
        self.twins.get(&character).copied()
    }

    /// Whether two texts are equal once they are decoded.
    pub(super) fn reads_alike(&self, a: &str, b: &str) -> bool {
        let plain = |character| self.typed(character).unwrap_or(character);
        a == b || (!self.twins.is_empty() && a.chars().map(plain).eq(b.chars().map(plain)))
    }

    /// Counts steps.
    pub(super) fn step(&self, steps: usize) -> Outcome<()> {
        match self.steps.get().checked_sub(steps) {
            Some(left) => {
                self.steps.set(left);
                Ok(())
            }
            None => Err(fault("it takes too many steps")),
        }
    }

    /// Counts the steps for reading this many bytes.
    pub(super) fn walk(&self, bytes: usize) -> Outcome<()> {
        self.step(bytes / 16)
    }

    /// Checks the size of one value. Units: bytes.
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
            None => Err(fault("its values take too many bytes in all")),
        }
    }

    /// Counts bytes of output.
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

    /// Enters a nested call, block or expression of this cost. [`leave`](Self::leave) undoes it.
    pub(super) fn enter(&self, cost: usize) -> Outcome<()> {
        self.calls.set(self.calls.get() + cost);
        if self.calls.get() > CALLS_MAX { Err(fault("it nests too deeply, or calls itself too often")) } else { Ok(()) }
    }

    pub(super) fn leave(&self, cost: usize) {
        self.calls.set(self.calls.get() - cost);
    }

    /// Counts a scope that is kept until the rendering ends.
    pub(super) fn keep_scope(&self) -> Outcome<()> {
        self.make(SCOPE_BYTES)
    }

    /// Counts a list of this many items.
    pub(super) fn room(&self, items: usize) -> Outcome<()> {
        self.fits(items.saturating_mul(ITEM_BYTES / 4))?;
        self.step(items)?;
        self.make(items * ITEM_BYTES)
    }

    pub(super) fn text(&self, text: impl Into<Rc<str>>) -> Outcome<Value> {
        Ok(Value::Str(self.plain(text)?))
    }

    /// Counts a text and makes it.
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

    /// Counts a generator and makes it: its items can be read once.
    pub(super) fn once(&self, name: &'static str, items: Vec<Value>) -> Outcome<Value> {
        self.room(items.len())?;
        let depth = 1 + items.iter().map(Value::depth).max().unwrap_or(0);
        self.nests(depth)?;
        self.object(Object::Once { name, items, taken: Cell::new(0), depth })
    }

    /// Checks how deep containers nest.
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

    /// An undefined value. It is shared with the last one if that says the same, as in a loop that asks
    /// again and again.
    pub(super) fn undefined(&self, missing: Missing) -> Value {
        let mut last = self.missing.borrow_mut();
        match &*last {
            Some(same) if **same == missing => Value::Undefined(same.clone()),
            _ => Value::Undefined(last.insert(Rc::new(missing)).clone()),
        }
    }
}

impl Drop for Meter {
    /// Empties each namespace, because it may hold itself or a long chain of others.
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
