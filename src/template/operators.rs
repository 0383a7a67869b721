//! The operators of a template, by Python's rules.

use std::rc::Rc;

use minijinja::machinery::ast::BinOpKind;

use super::compare::{contains, equal, ordered};
use super::limits::{ITEM_BYTES, Meter};
use super::value::{Outcome, Range, Text, Value, fault};
use super::written::{escape, text};
use super::{format, value};

/// `a operator b`, of all operators but `and` and `or`, which may skip `b`.
pub(super) fn binary(operator: BinOpKind, a: &Value, b: &Value, meter: &Meter) -> Outcome<Value> {
    let truth = |truth: Outcome<bool>| Ok(Value::Bool(truth?));
    match operator {
        BinOpKind::Eq => truth(equal(a, b, meter)),
        BinOpKind::Ne => truth(Ok(!equal(a, b, meter)?)),
        BinOpKind::Lt => truth(ordered(a, b, "<", meter)),
        BinOpKind::Lte => truth(ordered(a, b, "<=", meter)),
        BinOpKind::Gt => truth(ordered(a, b, ">", meter)),
        BinOpKind::Gte => truth(ordered(a, b, ">=", meter)),
        BinOpKind::In => truth(contains(b, a, meter)),
        BinOpKind::Concat => concat(a, b, meter),
        BinOpKind::ScAnd => Ok(if a.truth() { b } else { a }.clone()),
        BinOpKind::ScOr => Ok(if a.truth() { a } else { b }.clone()),
        BinOpKind::Add => add(a, b, meter),
        BinOpKind::Mul => multiply(a, b, meter),
        BinOpKind::Rem if a.as_str().is_some() => format::percent(a, b, meter),
        BinOpKind::Sub | BinOpKind::Div | BinOpKind::FloorDiv | BinOpKind::Rem | BinOpKind::Pow => arithmetic(operator, a, b),
    }
}

fn sign(operator: BinOpKind) -> &'static str {
    match operator {
        BinOpKind::Add => "+",
        BinOpKind::Sub => "-",
        BinOpKind::Mul => "*",
        BinOpKind::Div => "/",
        BinOpKind::FloorDiv => "//",
        BinOpKind::Rem => "%",
        _ => "**",
    }
}

fn unsupported(operator: BinOpKind, a: &Value, b: &Value) -> Box<value::Fault> {
    match (a, b) {
        (Value::Undefined(missing), _) | (_, Value::Undefined(missing)) => fault(missing.to_string()),
        _ => fault(format!("{} does not work on {} and {}", sign(operator), a.kind(), b.kind())),
    }
}

/// `a ~ b`: joins both as texts.
pub(super) fn concat(a: &Value, b: &Value, meter: &Meter) -> Outcome<Value> {
    let (a, b) = (text(a, meter)?, text(b, meter)?);
    if meter.escapes.get() && (a.safe || b.safe) {
        return joined(&escape(&Value::Str(a), meter)?, &escape(&Value::Str(b), meter)?, true, meter);
    }
    joined(&a, &b, false, meter)
}

fn joined(a: &Text, b: &Text, safe: bool, meter: &Meter) -> Outcome<Value> {
    meter.fits(a.as_str().len() + b.as_str().len())?;
    Ok(Value::Str(meter.plain([a.as_str(), b.as_str()].concat())?.with_safe(safe)))
}

pub(super) fn add(a: &Value, b: &Value, meter: &Meter) -> Outcome<Value> {
    let both = |a: &[Value], b: &[Value]| {
        meter.room(a.len() + b.len())?;
        Ok::<_, Box<value::Fault>>([a, b].concat())
    };
    match (a, b) {
        (Value::Str(a), Value::Str(b)) if a.safe || b.safe => {
            joined(&escape(&Value::Str(a.clone()), meter)?, &escape(&Value::Str(b.clone()), meter)?, true, meter)
        }
        (Value::Str(a), Value::Str(b)) => joined(a, b, false, meter),
        (Value::Bytes(a), Value::Bytes(b)) => {
            meter.plain(" ".repeat(a.len() + b.len()))?;
            Ok(Value::Bytes([&**a, &**b].concat().into()))
        }
        (Value::List(a), Value::List(b)) => meter.list(both(&a.items, &b.items)?),
        (Value::Tuple(a), Value::Tuple(b)) => meter.tuple(both(&a.items, &b.items)?),
        _ => arithmetic(BinOpKind::Add, a, b),
    }
}

fn multiply(a: &Value, b: &Value, meter: &Meter) -> Outcome<Value> {
    let (many, times) = match (a.as_int(), b.as_int()) {
        (None, Some(times)) => (a, times),
        (Some(times), None) => (b, times),
        _ => return arithmetic(BinOpKind::Mul, a, b),
    };
    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    let repeated = |items: &[Value]| {
        meter.fits(items.len().saturating_mul(times).saturating_mul(ITEM_BYTES / 4))?;
        Ok::<Vec<Value>, Box<value::Fault>>(items.iter().cycle().take(items.len() * times).cloned().collect())
    };
    match many {
        Value::Str(text) => {
            meter.fits(text.as_str().len().saturating_mul(times))?;
            Ok(Value::Str(meter.plain(text.as_str().repeat(times))?.with_safe(text.safe)))
        }
        Value::List(items) => meter.list(repeated(&items.items)?),
        Value::Tuple(items) => meter.tuple(repeated(&items.items)?),
        _ => arithmetic(BinOpKind::Mul, a, b),
    }
}

fn arithmetic(operator: BinOpKind, a: &Value, b: &Value) -> Outcome<Value> {
    let float = |value: &Value| if let Value::Float(number) = value { Some(*number) } else { value.as_int().map(|number| number as f64) };
    let (Some(x), Some(y)) = (float(a), float(b)) else { return Err(unsupported(operator, a, b)) };
    let divides = matches!(operator, BinOpKind::Div | BinOpKind::FloorDiv | BinOpKind::Rem);
    if y == 0.0 && divides {
        return Err(fault("it divides by zero"));
    }
    if let (Some(a), Some(b)) = (a.as_int(), b.as_int())
        && !matches!(operator, BinOpKind::Div)
    {
        let whole = match operator {
            BinOpKind::Add => a.checked_add(b),
            BinOpKind::Sub => a.checked_sub(b),
            BinOpKind::Mul => a.checked_mul(b),
            BinOpKind::FloorDiv => floor_div(a, b),
            BinOpKind::Rem => Some(floor_rest(a, b)),
            _ if b < 0 => return power(x, y),
            _ => match (a, u32::try_from(b)) {
                (0 | 1, _) => Some(if b == 0 { 1 } else { a }),
                (-1, _) => Some(if b % 2 == 0 { 1 } else { -1 }),
                (_, Ok(b)) => a.checked_pow(b),
                _ => None,
            },
        };
        return whole.map(Value::Int).ok_or_else(|| fault(format!("{} gives an int of more than 127 bits", sign(operator))));
    }
    Ok(Value::Float(match operator {
        BinOpKind::Add => x + y,
        BinOpKind::Sub => x - y,
        BinOpKind::Mul => x * y,
        BinOpKind::Div => x / y,
        BinOpKind::FloorDiv => {
            let rest = float_rest(x, y);
            let quotient = (x - rest) / y;
            if quotient == 0.0 { 0f64.copysign(x / y) } else { quotient.round() }
        }
        BinOpKind::Rem => float_rest(x, y),
        _ => return power(x, y),
    }))
}

fn floor_div(a: i128, b: i128) -> Option<i128> {
    let quotient = a.checked_div(b)?;
    Some(if a % b != 0 && (a < 0) != (b < 0) { quotient - 1 } else { quotient })
}

/// The remainder with the sign of the divisor.
fn floor_rest(a: i128, b: i128) -> i128 {
    // The remainder wraps only for a divisor of -1, where it is 0.
    let rest = a.wrapping_rem(b);
    if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
}

/// The remainder of floats with the sign of the divisor.
fn float_rest(x: f64, y: f64) -> f64 {
    let rest = x % y;
    if rest == 0.0 {
        0f64.copysign(y)
    } else if (rest < 0.0) != (y < 0.0) {
        rest + y
    } else {
        rest
    }
}

fn power(x: f64, y: f64) -> Outcome<Value> {
    if x == 0.0 && y < 0.0 {
        return Err(fault("it divides by zero"));
    }
    let power = libm::pow(x, y);
    if power.is_nan() && x < 0.0 {
        return Err(fault("** gives a complex number"));
    }
    if power.is_infinite() && x.is_finite() && y.is_finite() {
        return Err(fault("** gives a number that is too large"));
    }
    Ok(Value::Float(power))
}

/// `-value`.
pub(super) fn negated(value: &Value) -> Outcome<Value> {
    match value {
        Value::Float(number) => Ok(Value::Float(-number)),
        Value::Undefined(missing) => Err(fault(missing.to_string())),
        _ => {
            value.as_int().and_then(i128::checked_neg).map(Value::Int).ok_or_else(|| fault(format!("- does not work on {}", value.kind())))
        }
    }
}

pub(super) fn is_sliceable(value: &Value) -> bool {
    matches!(value, Value::Str(_) | Value::List(_) | Value::Tuple(_) | Value::Range(_) | Value::Bytes(_))
}

/// `value[start:stop:step]`.
pub(super) fn slice(value: &Value, [start, stop, step]: [&Value; 3], meter: &Meter) -> Outcome<Value> {
    if let Value::Undefined(missing) = value {
        return Err(fault(missing.to_string()));
    }
    let bound = |bound: &Value| match bound {
        Value::None => Ok(None),
        _ => bound.as_int().map(Some).ok_or_else(|| fault(format!("the bounds of a slice are ints, not {}", bound.kind()))),
    };
    if !is_sliceable(value) {
        return Err(fault(format!("a value of type {} has no slices", value.kind())));
    }
    let (start, stop, step) = (bound(start)?, bound(stop)?, bound(step)?.unwrap_or(1));
    if step == 0 {
        return Err(fault("a slice has a step of 0"));
    }
    let length = value.len(meter)?.unwrap_or(0) as i128;
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let place = |at: Option<i128>, default| at.map_or(default, |at| if at < 0 { at.saturating_add(length) } else { at }.clamp(low, high));
    let range = if step > 0 {
        Range { start: place(start, 0), stop: place(stop, length), step }
    } else {
        Range { start: place(start, length - 1), stop: place(stop, -1), step: step.max(-length - 1) }
    };
    let (whole_step, range) = (step, Range { step: range.step.min(length + 1), ..range });
    meter.step(range.len())?;
    let places = (0..range.len()).map(|index| (range.start + range.step * index as i128) as usize);
    match value {
        Value::Str(text) => {
            let sliced = if range.step == 1 {
                text.as_str().chars().skip(range.start as usize).take(range.len()).collect()
            } else {
                meter.fits(4 * length as usize)?;
                let characters: Vec<char> = text.as_str().chars().collect();
                places.map(|at| characters[at]).collect::<String>()
            };
            Ok(Value::Str(meter.plain(sliced)?.with_safe(text.safe)))
        }
        Value::Range(of) => {
            let at = |place: i128| of.step.checked_mul(place).and_then(|offset| of.start.checked_add(offset));
            let sliced = Range::within(at(range.start), at(range.stop), of.step.checked_mul(whole_step));
            Ok(Value::Range(Rc::new(sliced?)))
        }
        Value::Bytes(bytes) => Ok(Value::Bytes(places.map(|at| bytes[at]).collect())),
        _ => {
            meter.room(range.len())?;
            let picked = |items: &[Value]| places.map(|at| items[at].clone()).collect();
            match value {
                Value::Tuple(items) => meter.tuple(picked(&items.items)),
                Value::List(items) => meter.list(picked(&items.items)),
                _ => unreachable!("checked above"),
            }
        }
    }
}
