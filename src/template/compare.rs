//! Equality, order and membership, by Python's rules.

use std::cmp::Ordering;
use std::rc::Rc;

use super::limits::Meter;
use super::loops::items;
use super::value::{Dict, Object, Outcome, Value, View, fault};

/// Whether Python's `==` holds.
pub(super) fn equal(a: &Value, b: &Value, meter: &Meter) -> Outcome<bool> {
    meter.step(1)?;
    let all = |a: &[Value], b: &[Value]| -> Outcome<bool> {
        if a.len() != b.len() {
            return Ok(false);
        }
        for (a, b) in a.iter().zip(b) {
            if !same(a, b) && !equal(a, b, meter)? {
                return Ok(false);
            }
        }
        Ok(true)
    };
    Ok(match (a, b) {
        (Value::Str(a), Value::Str(b)) => {
            let (a, b) = (a.as_str(), b.as_str());
            if a.len() == b.len() || meter.has_twins() {
                meter.walk(a.len())?;
            }
            meter.reads_alike(a, b)
        }
        (Value::Undefined(_), Value::Undefined(_)) | (Value::None, Value::None) => true,
        (Value::Bytes(a), Value::Bytes(b)) => {
            meter.walk(a.len())?;
            a == b
        }
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => all(&a.items, &b.items)?,
        (Value::Dict(a), Value::Dict(b)) => {
            if a.entries.len() != b.entries.len() {
                return Ok(false);
            }
            for (key, value) in &a.entries {
                match find(b, key, meter)? {
                    Some(other) if same(value, other) || equal(value, other, meter)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Value::Range(a), Value::Range(b)) => {
            a.len() == b.len() && (a.len() == 0 || a.start == b.start && (a.len() == 1 || a.step == b.step))
        }
        (Value::Object(a), Value::Object(b)) => match (&**a, &**b) {
            (Object::View(View::Keys, a), Object::View(View::Keys, b)) => {
                let keys = |dict: &Dict| Value::dict(dict.entries.iter().map(|(key, _)| (key.clone(), Value::None)).collect());
                equal(&keys(a), &keys(b), meter)?
            }
            (Object::Function(a), Object::Function(b)) => a == b,
            _ => Rc::ptr_eq(a, b),
        },
        _ => numbers(a, b) == Some(Ordering::Equal),
    })
}

/// Whether Python's `is` holds: the same singleton, or the same place in memory.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::None, Value::None) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::List(a), Value::List(b)) => Rc::ptr_eq(a, b),
        // There is one empty tuple.
        (Value::Tuple(a), Value::Tuple(b)) => Rc::ptr_eq(a, b) || a.items.is_empty() && b.items.is_empty(),
        (Value::Dict(a), Value::Dict(b)) => Rc::ptr_eq(a, b),
        (Value::Object(a), Value::Object(b)) => match (&**a, &**b) {
            (Object::Function(a), Object::Function(b)) => a == b,
            _ => Rc::ptr_eq(a, b),
        },
        // CPython keeps one copy of each small integer, and of a text that a template writes twice.
        (Value::Int(a), Value::Int(b)) => a == b && (-5..=256).contains(a),
        (Value::Str(a), Value::Str(b)) => a.as_str() == b.as_str() && a.safe == b.safe,
        (Value::Undefined(a), Value::Undefined(b)) => Rc::ptr_eq(a, b),
        _ => false,
    }
}

/// Compares two numbers; `None` if one is NaN or not a number.
fn numbers(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Float(a), _) => a.partial_cmp(&(b.as_int()? as f64)),
        (_, Value::Float(b)) => (a.as_int()? as f64).partial_cmp(b),
        _ => Some(a.as_int()?.cmp(&b.as_int()?)),
    }
}

fn is_number(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_))
}

/// Compares two values; `None` if one is NaN.
///
/// Errors: types that Python does not order.
pub(super) fn order(a: &Value, b: &Value, operator: &str, meter: &Meter) -> Outcome<Option<Ordering>> {
    meter.step(1)?;
    if is_number(a) && is_number(b) {
        return Ok(numbers(a, b));
    }
    match (a, b) {
        (Value::Undefined(missing), _) | (_, Value::Undefined(missing)) => Err(fault(missing.to_string())),
        (Value::Str(a), Value::Str(b)) => {
            meter.walk(a.as_str().len().min(b.as_str().len()))?;
            Ok(Some(a.as_str().cmp(b.as_str())))
        }
        (Value::Bytes(a), Value::Bytes(b)) => Ok(Some(a.cmp(b))),
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            for (a, b) in a.items.iter().zip(&b.items) {
                if !equal(a, b, meter)? {
                    return order(a, b, operator, meter);
                }
            }
            Ok(Some(a.items.len().cmp(&b.items.len())))
        }
        _ => Err(fault(format!("{operator} does not compare {} with {}", a.kind(), b.kind()))),
    }
}

/// Whether `a < b` (or `<=`, `>`, `>=`).
pub(super) fn ordered(a: &Value, b: &Value, operator: &str, meter: &Meter) -> Outcome<bool> {
    Ok(order(a, b, operator, meter)?.is_some_and(|order| match operator {
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    }))
}

/// Whether `item in container`.
pub(super) fn contains(container: &Value, item: &Value, meter: &Meter) -> Outcome<bool> {
    match container {
        Value::Str(text) => match item.as_str() {
            Some(part) => {
                meter.walk(text.as_str().len())?;
                Ok(text.as_str().contains(part))
            }
            None => Err(fault(format!("in <str> looks for a str, not for {}", item.kind()))),
        },
        Value::Bytes(bytes) => match item {
            Value::Bytes(part) => Ok(part.is_empty() || bytes.windows(part.len()).any(|window| *window == **part)),
            _ => {
                let byte = item.as_int().and_then(|byte| u8::try_from(byte).ok());
                byte.map(|byte| bytes.contains(&byte)).ok_or_else(|| fault(format!("in <bytes> looks for bytes, not for {}", item.kind())))
            }
        },
        Value::Dict(dict) => Ok(find(dict, item, meter)?.is_some()),
        Value::Range(range) => match item {
            Value::Int(_) | Value::Bool(_) => {
                // The bounds of a range have 64 bits, so an item for which this overflows is outside.
                let offset = item.as_int().and_then(|item| item.checked_sub(range.start));
                let place = offset.filter(|offset| offset.checked_rem(range.step) == Some(0)).map(|offset| offset / range.step);
                Ok(place.is_some_and(|place| (0..range.len() as i128).contains(&place)))
            }
            _ => any_equal(&items(container, meter)?, item, meter),
        },
        Value::List(items) | Value::Tuple(items) => any_equal(&items.items, item, meter),
        Value::Object(object) => match &**object {
            Object::View(View::Keys, dict) => Ok(find(dict, item, meter)?.is_some()),
            _ => any_equal(&items(container, meter)?, item, meter),
        },
        _ => any_equal(&items(container, meter)?, item, meter),
    }
}

fn any_equal(items: &[Value], item: &Value, meter: &Meter) -> Outcome<bool> {
    for other in items {
        if same(other, item) || equal(other, item, meter)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The value of a key.
///
/// Errors: a key that Python cannot hash.
pub(super) fn find<'d>(dict: &'d Dict, key: &Value, meter: &Meter) -> Outcome<Option<&'d Value>> {
    hashable(key)?;
    meter.step(1 + dict.entries.len() / 4)?;
    for (other, value) in &dict.entries {
        let differ = matches!((other, key), (Value::Str(a), Value::Str(b)) if a.as_str().len() != b.as_str().len());
        if (!differ || meter.has_twins()) && equal(other, key, meter)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// Whether a value may be a key.
pub(super) fn hashable(key: &Value) -> Outcome<()> {
    match key {
        Value::List(_) | Value::Dict(_) => unhashable(key),
        Value::Tuple(items) => items.items.iter().try_for_each(hashable),
        Value::Object(object) if matches!(&**object, Object::View(..)) => unhashable(key),
        _ => Ok(()),
    }
}

fn unhashable(key: &Value) -> Outcome<()> {
    Err(fault(format!("a value of type {} cannot be a key", key.kind())))
}

/// Sets a key of a dict.
pub(super) fn insert(dict: &mut Dict, key: Value, value: Value, meter: &Meter) -> Outcome<()> {
    hashable(&key)?;
    meter.step(1 + dict.entries.len() / 4)?;
    for (other, old) in &mut dict.entries {
        if equal(other, &key, meter)? {
            *old = value;
            return Ok(());
        }
    }
    dict.entries.push((key, value));
    Ok(())
}

/// Python's `sorted`, of pairs of a key and an item. It is a merge sort of our own, because `slice::sort`
/// may panic if NaN makes the order inconsistent.
pub(super) fn sorted(mut keyed: Vec<(Value, Value)>, reverse: bool, meter: &Meter) -> Outcome<Vec<Value>> {
    // Reversing before and after keeps items with equal keys in their order, as in Python.
    if reverse {
        keyed.reverse();
    }
    keyed = merge_sorted(keyed, meter)?;
    if reverse {
        keyed.reverse();
    }
    Ok(keyed.into_iter().map(|(_, value)| value).collect())
}

fn merge_sorted(mut first: Vec<(Value, Value)>, meter: &Meter) -> Outcome<Vec<(Value, Value)>> {
    if first.len() < 2 {
        return Ok(first);
    }
    let total = first.len();
    let second = first.split_off(total / 2);
    let mut second = merge_sorted(second, meter)?.into_iter().peekable();
    let mut first = merge_sorted(first, meter)?.into_iter().peekable();
    let mut merged = Vec::with_capacity(total);
    while let (Some((a, _)), Some((b, _))) = (first.peek(), second.peek()) {
        merged.extend(if ordered(b, a, "<", meter)? { second.next() } else { first.next() });
    }
    merged.extend(first.chain(second));
    Ok(merged)
}
