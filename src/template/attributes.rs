//! `value.name` and `value[key]`, as jinja2's immutable sandbox looks them up, and the methods of all types
//! but `str`, which are in `strings`.

use super::args::Args;
use super::compare::{equal, find};
use super::limits::Meter;
use super::loops;
use super::strings;
use super::value::{Dict, Missing, Object, Outcome, Text, Value, View, fault};

/// What a name of a value stands for in Python.
enum Attribute {
    Value(Value),
    Method(&'static str),
    /// The sandbox hides it.
    Unsafe,
}

const DICT_METHODS: [&str; 6] = ["copy", "fromkeys", "get", "items", "keys", "values"];
const DICT_CHANGES: [&str; 5] = ["clear", "pop", "popitem", "setdefault", "update"];
const LIST_METHODS: [&str; 3] = ["copy", "count", "index"];
const LIST_CHANGES: [&str; 8] = ["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"];
const INT_METHODS: [&str; 6] = ["as_integer_ratio", "bit_count", "bit_length", "conjugate", "from_bytes", "to_bytes"];
const FLOAT_METHODS: [&str; 5] = ["as_integer_ratio", "conjugate", "fromhex", "hex", "is_integer"];
const BYTES_METHODS: [&str; 8] = ["decode", "hex", "split", "strip", "replace", "find", "startswith", "endswith"];

/// An error cuts a name after this many characters.
const NAME_MAX: usize = 60;

fn named(names: &[&'static str], name: &str) -> Option<Attribute> {
    names.iter().find(|known| **known == name).map(|known| Attribute::Method(known))
}

/// Looks a name up as Python's `getattr` does.
fn python(value: &Value, name: &str, meter: &Meter) -> Option<Attribute> {
    let unsafe_one = |names: &[&str]| names.contains(&name).then_some(Attribute::Unsafe);
    let whole = |number: i128| Some(Attribute::Value(Value::Int(number)));
    if name.starts_with("__") && name.ends_with("__") && name.len() > 4 {
        let everywhere =
            ["__class__", "__init__", "__doc__", "__dict__", "__module__", "__eq__", "__str__", "__repr__", "__hash__", "__len__"];
        let more =
            ["__getitem__", "__iter__", "__contains__", "__add__", "__mul__", "__subclasses__", "__globals__", "__call__", "__html__"];
        return (everywhere.contains(&name) || more.contains(&name)).then_some(Attribute::Unsafe);
    }
    match value {
        Value::Str(text) => named(&strings::METHODS, name).or_else(|| if text.safe { named(&strings::SAFE_METHODS, name) } else { None }),
        Value::Dict(_) => named(&DICT_METHODS, name).or_else(|| unsafe_one(&DICT_CHANGES)),
        Value::List(_) => named(&LIST_METHODS, name).or_else(|| unsafe_one(&LIST_CHANGES)),
        Value::Tuple(items) => match name {
            "grouper" if items.group => items.items.first().cloned().map(Attribute::Value),
            "list" if items.group => items.items.get(1).cloned().map(Attribute::Value),
            _ => named(&["count", "index"], name),
        },
        Value::Bool(_) | Value::Int(_) => match name {
            "real" | "numerator" => whole(value.as_int()?),
            "imag" => whole(0),
            "denominator" => whole(1),
            _ => named(&INT_METHODS, name),
        },
        Value::Float(number) => match name {
            "real" => Some(Attribute::Value(Value::Float(*number))),
            "imag" => Some(Attribute::Value(Value::Float(0.0))),
            _ => named(&FLOAT_METHODS, name),
        },
        Value::Range(range) => match name {
            "start" => whole(range.start),
            "stop" => whole(range.stop),
            "step" => whole(range.step),
            _ => named(&["count", "index"], name),
        },
        Value::Bytes(_) => named(&BYTES_METHODS, name),
        Value::Undefined(_) | Value::None => None,
        Value::Object(object) => match &**object {
            Object::Namespace(dict) => dict.borrow().get_str(name).cloned().map(Attribute::Value),
            Object::Loop(of) => of.attribute(name, meter).map(Attribute::Value).or_else(|| named(&["changed", "cycle"], name)),
            Object::Cycler { items, next, .. } => match name {
                "current" => items.get(next.get()).cloned().map(Attribute::Value),
                "pos" => Some(Attribute::Value(Value::from(next.get()))),
                "items" => Some(Attribute::Value(Value::tuple(items.clone()))),
                _ => named(&["next", "reset"], name),
            },
            Object::Joiner { separator, used } => match name {
                "sep" => Some(Attribute::Value(separator.clone())),
                "used" => Some(Attribute::Value(Value::Bool(used.get()))),
                _ => None,
            },
            Object::Macro { name: own, arguments, catches, .. } => Some(Attribute::Value(match name {
                "name" => own.clone().map_or(Value::None, Value::Str),
                "arguments" => Value::tuple(arguments.iter().cloned().map(Value::Str).collect()),
                "catch_kwargs" => Value::Bool(catches.kwargs),
                "catch_varargs" => Value::Bool(catches.varargs),
                "caller" => Value::Bool(catches.caller),
                "explicit_caller" => Value::Bool(arguments.iter().any(|argument| argument.as_str() == "caller")),
                _ => return None,
            })),
            Object::View(..) => named(&["isdisjoint", "mapping"], name),
            Object::Once { .. } => named(&["close", "send", "throw"], name),
            Object::Blocks | Object::Function(_) | Object::Method(..) => None,
        },
    }
}

/// `value.name`
pub(super) fn attribute(value: &Value, name: &str, meter: &Meter) -> Outcome<Value> {
    if let Value::Undefined(missing) = value {
        return Err(fault(missing.to_string()));
    }
    match python(value, name, meter) {
        Some(found) => Ok(given(value, name, found, meter)),
        None => match value {
            Value::Dict(dict) => {
                meter.step(dict.entries.len() / 4)?;
                Ok(dict.get_str(name).cloned().unwrap_or_else(|| absent(value, name, meter)))
            }
            _ => Ok(absent(value, name, meter)),
        },
    }
}

fn given(value: &Value, name: &str, found: Attribute, meter: &Meter) -> Value {
    match found {
        Attribute::Value(value) => value,
        Attribute::Method(name) => Value::object(Object::Method(value.clone(), name)),
        Attribute::Unsafe => meter.undefined(Missing::Unsafe(value.kind(), name.to_owned())),
    }
}

fn absent(value: &Value, name: &str, meter: &Meter) -> Value {
    meter.undefined(Missing::Attribute(value.kind(), name.chars().take(NAME_MAX).collect()))
}

/// `value[key]`
pub(super) fn item(value: &Value, key: &Value, meter: &Meter) -> Outcome<Value> {
    if let Value::Undefined(missing) = value {
        return Err(fault(missing.to_string()));
    }
    let subscript = match value {
        Value::Dict(dict) if super::compare::hashable(key).is_ok() => find(dict, key, meter)?.cloned(),
        Value::List(items) | Value::Tuple(items) => place(key, items.items.len()).and_then(|at| items.items.get(at).cloned()),
        Value::Range(range) => place(key, range.len()).map(|at| range.at(at)),
        Value::Bytes(bytes) => place(key, bytes.len()).map(|at| Value::Int(i128::from(bytes[at]))),
        Value::Str(text) => {
            let of = text.as_str();
            match key.as_int() {
                Some(at) => {
                    meter.walk(of.len())?;
                    let distance = usize::try_from(at).unwrap_or_else(|_| usize::try_from(-(at + 1)).unwrap_or(usize::MAX));
                    let character = if at >= 0 { of.chars().nth(distance) } else { of.chars().rev().nth(distance) };
                    character.map(|character| Value::Str(Text::character(character).with_safe(text.safe)))
                }
                None => None,
            }
        }
        _ => None,
    };
    if let Some(found) = subscript {
        return Ok(found);
    }
    let Some(name) = key.as_str() else { return Ok(absent(value, &short(key, meter), meter)) };
    Ok(python(value, name, meter).map_or_else(|| absent(value, name, meter), |found| given(value, name, found, meter)))
}

/// A key as an error shows it.
fn short(key: &Value, meter: &Meter) -> String {
    super::written::repr(key, meter).unwrap_or_default().chars().take(40).collect()
}

/// The index that `key` selects among `length` items; a negative key counts from the end.
fn place(key: &Value, length: usize) -> Option<usize> {
    let at = key.as_int()?;
    let at = if at < 0 { at.checked_add(length as i128)? } else { at };
    usize::try_from(at).ok().filter(|at| *at < length)
}

/// Calls a method that [`attribute`] found.
pub(super) fn call_method(value: &Value, name: &'static str, args: Args, meter: &Meter) -> Outcome<Value> {
    let what = &*format!("{}.{name}()", value.kind());
    match value {
        Value::Str(text) => strings::method(text, name, args, meter),
        Value::Dict(dict) => dict_method(dict, name, args, meter),
        Value::List(items) | Value::Tuple(items) => match name {
            "copy" => {
                args.none(what)?;
                meter.list(items.items.clone())
            }
            "count" => {
                let wanted = args.bind(what, ["_value"], 1)?.value(0);
                let mut count = 0;
                for item in &items.items {
                    count += i128::from(equal(item, &wanted, meter)?);
                }
                Ok(Value::Int(count))
            }
            _ => {
                let args = args.bind(what, ["_value", "_start", "_stop"], 1)?;
                let length = items.items.len() as i128;
                let place = |at: i128| if at < 0 { (at + length).max(0) } else { at.min(length) } as usize;
                let (start, stop) = (place(args.int(1, 0)?), place(args.int(2, length)?));
                for at in start..stop {
                    if equal(&items.items[at], &args.value(0), meter)? {
                        return Ok(Value::from(at));
                    }
                }
                Err(fault(format!("{what} does not find the value")))
            }
        },
        Value::Range(_) => {
            let wanted = args.bind(what, ["_value"], 1)?.value(0);
            let items = loops::items(value, meter)?;
            let mut places = Vec::new();
            for (at, item) in items.iter().enumerate() {
                if equal(item, &wanted, meter)? {
                    places.push(at);
                }
            }
            match (name, places.first()) {
                ("count", _) => Ok(Value::from(places.len())),
                (_, Some(at)) => Ok(Value::from(*at)),
                _ => Err(fault(format!("{what} does not find the value"))),
            }
        }
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => number_method(value, name, args, what, meter),
        Value::Bytes(bytes) if name == "decode" => {
            let args = args.bind(what, ["encoding", "errors"], 0)?;
            let encoding = args.text(0, "utf-8", meter)?;
            let text = std::str::from_utf8(bytes).ok().filter(|_| matches!(encoding.as_str(), "utf-8" | "utf8" | "ascii"));
            meter.text(text.ok_or_else(|| fault(format!("{what} cannot read these bytes as {:?}", encoding.as_str())))?)
        }
        Value::Object(object) => match &**object {
            Object::Loop(of) => {
                if !args.named.is_empty() {
                    return Err(fault(format!("{what} takes no named arguments")));
                }
                if name == "cycle" { of.cycle(&args.positional) } else { of.changed(&args.positional, meter) }
            }
            Object::Cycler { items, next, .. } => {
                args.none(what)?;
                let current = items.get(next.get()).cloned().unwrap_or(Value::None);
                next.set(if name == "next" { (next.get() + 1) % items.len() } else { 0 });
                Ok(if name == "next" { current } else { Value::None })
            }
            _ => Err(fault(format!("Fireside does not have {what}"))),
        },
        _ => Err(fault(format!("Fireside does not have {what}"))),
    }
}

fn number_method(value: &Value, name: &str, args: Args, what: &str, meter: &Meter) -> Outcome<Value> {
    match (name, value, value.as_int()) {
        ("conjugate", Value::Float(_), _) => args.none(what).map(|()| value.clone()),
        ("conjugate", _, Some(number)) => args.none(what).map(|()| Value::Int(number)),
        ("is_integer", Value::Float(number), _) => args.none(what).map(|()| Value::Bool(number.is_finite() && number.fract() == 0.0)),
        ("bit_length", _, Some(number)) => args.none(what).map(|()| Value::Int(i128::from(128 - number.unsigned_abs().leading_zeros()))),
        ("bit_count", _, Some(number)) => args.none(what).map(|()| Value::Int(i128::from(number.unsigned_abs().count_ones()))),
        ("as_integer_ratio", _, Some(number)) => {
            args.none(what)?;
            meter.tuple(vec![Value::Int(number), Value::Int(1)])
        }
        _ => Err(fault(format!("Fireside does not have {what}"))),
    }
}

fn dict_method(dict: &std::rc::Rc<Dict>, name: &'static str, args: Args, meter: &Meter) -> Outcome<Value> {
    let what = &*format!("dict.{name}()");
    let view = |view, args: Args| {
        args.none(what)?;
        meter.object(Object::View(view, dict.clone()))
    };
    match name {
        "get" => {
            let args = args.bind(what, ["_key", "_default"], 1)?;
            Ok(find(dict, &args.value(0), meter)?.cloned().unwrap_or_else(|| args.value(1)))
        }
        "items" => view(View::Items, args),
        "keys" => view(View::Keys, args),
        "values" => view(View::Values, args),
        "copy" => {
            args.none(what)?;
            Ok(Value::Dict(dict.clone()))
        }
        _ => {
            let args = args.bind(what, ["_iterable", "_value"], 1)?;
            let mut made = Dict::default();
            for key in loops::items(&args.value(0), meter)? {
                super::compare::insert(&mut made, key, args.value(1), meter)?;
            }
            meter.dict(made.entries)
        }
    }
}
