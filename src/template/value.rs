//! The values of a template: those Python values that a template can hold.
//!
//! Lists and dicts never change once they are made (transformers renders in jinja2's immutable sandbox), so
//! they are shared by reference. Only a namespace changes, so only a namespace can hold itself.
//! [`Meter`] keeps all namespaces and empties them at the end.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use minijinja::value::ValueKind;

use super::limits::Meter;

/// Why a rendering failed.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) detail: String,
    /// Whether the template called `raise_exception`.
    pub(super) refusal: bool,
    /// The line of the template, from 1; 0 if it is not known yet.
    pub(super) line: usize,
}

pub(super) type Outcome<T> = Result<T, Box<Fault>>;

/// A fault whose line is not known yet.
pub(super) fn fault(detail: impl Into<String>) -> Box<Fault> {
    Box::new(Fault { detail: detail.into(), refusal: false, line: 0 })
}

/// A text, and whether it is marked as safe for HTML (markupsafe's `Markup`).
#[derive(Clone)]
pub(super) struct Text {
    characters: Characters,
    pub(super) safe: bool,
}

#[derive(Clone)]
enum Characters {
    Static(&'static str),
    Shared(Rc<str>),
}

/// All ASCII characters, so that a loop over a text allocates nothing.
static ASCII: &str = "\0\x01\x02\x03\x04\x05\x06\x07\x08\t\n\x0b\x0c\r\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~\x7f";

impl Text {
    pub(super) fn new(text: impl Into<Rc<str>>) -> Text {
        Text { characters: Characters::Shared(text.into()), safe: false }
    }

    pub(super) fn fixed(text: &'static str) -> Text {
        Text { characters: Characters::Static(text), safe: false }
    }

    pub(super) fn character(character: char) -> Text {
        match ASCII.get(character as usize..character as usize + 1) {
            Some(one) => Text::fixed(one),
            None => Text::new(character.encode_utf8(&mut [0; 4]) as &str),
        }
    }

    pub(super) fn with_safe(mut self, safe: bool) -> Text {
        self.safe = safe;
        self
    }

    pub(super) fn as_str(&self) -> &str {
        match &self.characters {
            Characters::Static(text) => text,
            Characters::Shared(text) => text,
        }
    }
}

/// Why a value is undefined.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Missing {
    Variable(String),
    Attribute(&'static str, String),
    /// The reason that jinja2 gives.
    Because(&'static str),
    /// The sandbox hides it.
    Unsafe(&'static str, String),
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Missing::Variable(name) => write!(f, "`{name}` is undefined"),
            Missing::Attribute(owner, name) => write!(f, "a value of type {owner} has no `{name}`: it is undefined"),
            Missing::Because(reason) => f.write_str(reason),
            Missing::Unsafe(owner, name) => write!(f, "`{name}` of a value of type {owner} is hidden from templates"),
        }
    }
}

/// The items of a list or tuple.
pub(super) struct Items {
    pub(super) items: Vec<Value>,
    /// How deep containers nest here.
    pub(super) depth: usize,
    /// Whether this is a tuple of `groupby`, whose items are also `grouper` and `list`.
    pub(super) group: bool,
}

/// Keys and values, in the order of insertion.
pub(super) struct Dict {
    pub(super) entries: Vec<(Value, Value)>,
    pub(super) depth: usize,
}

/// Python's `range`.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Range {
    pub(super) start: i128,
    pub(super) step: i128,
    pub(super) stop: i128,
}

impl Range {
    /// A range. Its bounds must fit in 64 bits, so that iteration does not overflow.
    pub(super) fn within(start: Option<i128>, stop: Option<i128>, step: Option<i128>) -> Outcome<Range> {
        let bound = |bound: Option<i128>| {
            bound.and_then(|bound| i64::try_from(bound).ok()).map(i128::from).ok_or_else(|| fault("a range has a bound beyond 64 bits"))
        };
        Ok(Range { start: bound(start)?, stop: bound(stop)?, step: bound(step)? })
    }

    pub(super) fn len(&self) -> usize {
        let (span, step) = if self.step > 0 { (self.stop - self.start, self.step) } else { (self.start - self.stop, -self.step) };
        if span <= 0 { 0 } else { usize::try_from((span - 1) / step + 1).unwrap_or(usize::MAX) }
    }

    pub(super) fn at(&self, index: usize) -> Value {
        Value::Int(self.start + self.step * index as i128)
    }
}

/// What a view of a dict shows.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum View {
    Keys,
    Values,
    Items,
}

/// A value with an identity.
pub(super) enum Object {
    Namespace(RefCell<Dict>),
    /// A macro, by its index in `Run::macros`.
    Macro {
        id: usize,
        name: Option<Text>,
        arguments: Vec<Text>,
        catches: Catches,
    },
    Function(&'static str),
    /// A method of a value.
    Method(Value, &'static str),
    Loop(super::loops::Loop),
    Cycler {
        items: Vec<Value>,
        next: Cell<usize>,
        depth: usize,
    },
    Joiner {
        separator: Value,
        used: Cell<bool>,
    },
    /// A Python generator: its items can be read once.
    Once {
        name: &'static str,
        items: Vec<Value>,
        taken: Cell<usize>,
        depth: usize,
    },
    View(View, Rc<Dict>),
    /// `self`: the blocks of the template.
    Blocks,
}

/// The special names that the body of a macro reads.
#[derive(Clone, Copy, Default)]
pub(super) struct Catches {
    pub(super) varargs: bool,
    pub(super) kwargs: bool,
    pub(super) caller: bool,
}

/// A value.
#[derive(Clone)]
pub(super) enum Value {
    Undefined(Rc<Missing>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(Text),
    Bytes(Rc<[u8]>),
    List(Rc<Items>),
    Tuple(Rc<Items>),
    Dict(Rc<Dict>),
    Range(Rc<Range>),
    Object(Rc<Object>),
}

impl Value {
    pub(super) fn fixed(text: &'static str) -> Value {
        Value::Str(Text::fixed(text))
    }

    pub(super) fn object(object: Object) -> Value {
        Value::Object(Rc::new(object))
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        if let Value::Str(text) = self { Some(text.as_str()) } else { None }
    }

    /// The value as an integer, if Python's `operator.index` accepts it.
    pub(super) fn as_int(&self) -> Option<i128> {
        match self {
            Value::Int(number) => Some(*number),
            Value::Bool(one) => Some(i128::from(*one)),
            _ => None,
        }
    }

    pub(super) fn is_undefined(&self) -> bool {
        matches!(self, Value::Undefined(_))
    }

    /// The name of the type in Python.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::Undefined(_) => "Undefined",
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float",
            Value::Str(text) if text.safe => "Markup",
            Value::Str(_) => "str",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "list",
            Value::Tuple(_) => "tuple",
            Value::Dict(_) => "dict",
            Value::Range(_) => "range",
            Value::Object(object) => match &**object {
                Object::Namespace(_) => "Namespace",
                Object::Macro { .. } => "Macro",
                Object::Function(_) => "function",
                Object::Method(..) => "method",
                Object::Loop(_) => "LoopContext",
                Object::Cycler { .. } => "Cycler",
                Object::Joiner { .. } => "Joiner",
                Object::Once { name, .. } => name,
                Object::View(View::Keys, _) => "dict_keys",
                Object::View(View::Values, _) => "dict_values",
                Object::View(View::Items, _) => "dict_items",
                Object::Blocks => "TemplateReference",
            },
        }
    }

    /// How deep containers nest in the value.
    pub(super) fn depth(&self) -> usize {
        match self {
            Value::List(items) | Value::Tuple(items) => items.depth,
            Value::Dict(dict) => dict.depth,
            Value::Object(object) => match &**object {
                Object::Method(value, _) => value.depth() + 1,
                Object::Cycler { depth, .. } | Object::Once { depth, .. } => *depth,
                Object::Joiner { separator, .. } => separator.depth() + 1,
                Object::View(_, dict) => dict.depth + 1,
                Object::Loop(of) => of.depth,
                _ => 0,
            },
            _ => 0,
        }
    }

    /// Python's `bool(value)`.
    pub(super) fn truth(&self) -> bool {
        match self {
            Value::Undefined(_) | Value::None => false,
            Value::Bool(truth) => *truth,
            Value::Int(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Str(text) => !text.as_str().is_empty(),
            Value::Bytes(bytes) => !bytes.is_empty(),
            Value::List(items) | Value::Tuple(items) => !items.items.is_empty(),
            Value::Dict(dict) => !dict.entries.is_empty(),
            Value::Range(range) => range.len() > 0,
            Value::Object(object) => match &**object {
                Object::View(_, dict) => !dict.entries.is_empty(),
                Object::Loop(of) => of.length > 0,
                _ => true,
            },
        }
    }

    /// Python's `len(value)`; `None` if the type has no length.
    pub(super) fn len(&self, meter: &Meter) -> Outcome<Option<usize>> {
        Ok(Some(match self {
            Value::Undefined(_) => 0,
            Value::Str(text) => {
                meter.walk(text.as_str().len())?;
                text.as_str().chars().count()
            }
            Value::Bytes(bytes) => bytes.len(),
            Value::List(items) | Value::Tuple(items) => items.items.len(),
            Value::Dict(dict) => dict.entries.len(),
            Value::Range(range) => range.len(),
            Value::Object(object) => match &**object {
                Object::View(_, dict) => dict.entries.len(),
                Object::Loop(of) => of.length,
                _ => return Ok(None),
            },
            _ => return Ok(None),
        }))
    }

    /// Converts a value of the caller, or a constant of the template.
    pub(super) fn from_outside(value: &minijinja::Value, meter: &Meter) -> Outcome<Value> {
        if let Some(text) = value.as_str() {
            return Ok(Value::Str(Text::new(text)));
        }
        let listed = |value: &minijinja::Value| value.try_iter().map_err(|error| fault(error.to_string()));
        Ok(match value.kind() {
            ValueKind::None => Value::None,
            ValueKind::Bool => Value::Bool(value.is_true()),
            ValueKind::Number if value.is_integer() => {
                Value::Int(i128::try_from(value.clone()).map_err(|_| fault(format!("the number {value} is too large")))?)
            }
            ValueKind::Number => Value::Float(f64::try_from(value.clone()).unwrap_or(f64::NAN)),
            ValueKind::Map => {
                let pairs = listed(value)?.map(|key| {
                    let item = value.get_item(&key).map_err(|error| fault(error.to_string()))?;
                    Ok((Value::from_outside(&key, meter)?, Value::from_outside(&item, meter)?))
                });
                Value::dict(pairs.collect::<Outcome<_>>()?)
            }
            ValueKind::Seq | ValueKind::Iterable => {
                let items = listed(value)?.map(|item| Value::from_outside(&item, meter)).collect::<Outcome<Vec<_>>>()?;
                if value.is_tuple() { Value::tuple(items) } else { Value::list(items) }
            }
            _ => meter.undefined(Missing::Because("the caller left it undefined")),
        })
    }

    /// A list that is not counted, because it is the caller's or small.
    pub(super) fn list(items: Vec<Value>) -> Value {
        Value::List(Rc::new(Items::new(items)))
    }

    pub(super) fn tuple(items: Vec<Value>) -> Value {
        Value::Tuple(Rc::new(Items::new(items)))
    }

    pub(super) fn dict(entries: Vec<(Value, Value)>) -> Value {
        Value::Dict(Rc::new(Dict::new(entries)))
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Value {
        Value::Bool(truth)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Value {
        Value::Int(number as i128)
    }
}

impl Items {
    pub(super) fn new(items: Vec<Value>) -> Items {
        let depth = 1 + items.iter().map(Value::depth).max().unwrap_or(0);
        Items { items, depth, group: false }
    }
}

impl Dict {
    pub(super) fn new(entries: Vec<(Value, Value)>) -> Dict {
        let depth = 1 + entries.iter().map(|(key, value)| key.depth().max(value.depth())).max().unwrap_or(0);
        Dict { entries, depth }
    }

    /// The value of a key that is a text.
    pub(super) fn get_str(&self, key: &str) -> Option<&Value> {
        self.entries.iter().find(|(other, _)| other.as_str() == Some(key)).map(|(_, value)| value)
    }
}
