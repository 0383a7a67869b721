//! jinja2's tests: `value is test`.

use super::args::Args;
use super::characters::is_case;
use super::compare::{contains, equal, ordered, same};
use super::filters::FILTERS;
use super::limits::Meter;
use super::loops::is_iterable;
use super::operators::binary;
use super::value::{Object, Outcome, Value, fault};
use super::written::text;
use minijinja::machinery::ast::BinOpKind;

/// Every test of jinja2.
pub(super) const TESTS: [&str; 39] = [
    "!=",
    "<",
    "<=",
    "==",
    ">",
    ">=",
    "boolean",
    "callable",
    "defined",
    "divisibleby",
    "eq",
    "equalto",
    "escaped",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sameas",
    "sequence",
    "string",
    "test",
    "true",
    "undefined",
    "upper",
];

/// Whether a value passes a test.
///
/// Errors: an unknown test.
pub(super) fn apply(name: &str, value: &Value, args: Args, meter: &Meter) -> Outcome<bool> {
    meter.step(1)?;
    let other = |args: Args, parameter| Ok::<Value, Box<super::value::Fault>>(args.bind(name, [parameter], 1)?.value(0));
    let rest = |by: &Value| binary(BinOpKind::Rem, value, by, meter);
    let is = |rest: Value, number| equal(&rest, &Value::Int(number), meter);
    let operator = match name {
        "gt" | "greaterthan" | ">" => Some(">"),
        "ge" | ">=" => Some(">="),
        "lt" | "lessthan" | "<" => Some("<"),
        "le" | "<=" => Some("<="),
        _ => None,
    };
    if let Some(operator) = operator {
        return ordered(value, &other(args, "_b")?, operator, meter);
    }
    if !TESTS.contains(&name) {
        return Err(fault(format!("there is no test named `{name}`")));
    }
    match name {
        "eq" | "equalto" | "==" => return equal(value, &other(args, "_b")?, meter),
        "ne" | "!=" => return Ok(!equal(value, &other(args, "_b")?, meter)?),
        "sameas" => return Ok(same(value, &other(args, "other")?)),
        "in" => return contains(&other(args, "seq")?, value, meter),
        "divisibleby" => return is(rest(&other(args, "num")?)?, 0),
        _ => args.none(name)?,
    }
    Ok(match name {
        "odd" => is(rest(&Value::Int(2))?, 1)?,
        "even" => is(rest(&Value::Int(2))?, 0)?,
        "defined" => !value.is_undefined(),
        "undefined" => value.is_undefined(),
        "none" => matches!(value, Value::None),
        "boolean" => matches!(value, Value::Bool(_)),
        "true" => matches!(value, Value::Bool(true)),
        "false" => matches!(value, Value::Bool(false)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "number" => matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_)),
        "string" => matches!(value, Value::Str(_)),
        "mapping" => matches!(value, Value::Dict(_)),
        "sequence" => match value {
            Value::Object(_) => false,
            _ => !matches!(value, Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_)),
        },
        "iterable" => is_iterable(value),
        "callable" => match value {
            Value::Undefined(_) => true,
            Value::Object(object) => {
                matches!(
                    &**object,
                    Object::Macro { .. } | Object::Function(_) | Object::Method(..) | Object::Loop(_) | Object::Joiner { .. }
                )
            }
            _ => false,
        },
        "escaped" => matches!(value, Value::Str(text) if text.safe),
        "lower" | "upper" => {
            let text = text(value, meter)?;
            meter.step(text.as_str().len() / 4)?;
            is_case(text.as_str(), name == "upper")
        }
        "filter" | "test" => {
            super::compare::hashable(value)?;
            let names: &[&str] = if name == "filter" { &FILTERS } else { &TESTS };
            value.as_str().is_some_and(|name| names.contains(&name))
        }
        _ => return Err(fault(format!("there is no test named `{name}`"))),
    })
}
