//! jinja2's filters by name, with the filters of texts and numbers. Those of lists are in `sequences`.

use super::args::Args;
use super::attributes::attribute;
use super::characters::is_space;
use super::limits::Meter;
use super::value::{Missing, Outcome, Text, Value, fault};
use super::written::{escape, escape_text, float, repr, text};
use super::{format, html, json, layout, number, sequences, split, strings};

/// All filters of jinja2, sorted.
pub(super) const FILTERS: [&str; 54] = [
    "abs",
    "attr",
    "batch",
    "capitalize",
    "center",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "filesizeformat",
    "first",
    "float",
    "forceescape",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "random",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "string",
    "striptags",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "urlize",
    "wordcount",
    "wordwrap",
    "xmlattr",
];

/// Applies a filter.
///
/// Errors: an unknown filter, or one that Fireside leaves out.
pub(super) fn apply(name: &str, value: &Value, args: Args, meter: &Meter) -> Outcome<Value> {
    meter.step(1)?;
    let made = |made: String| meter.text(made);
    // markupsafe's `soft_str`: a text keeps whether it is safe, and other values become texts.
    let soft = || {
        let text = text(value, meter)?;
        meter.step(text.as_str().len() / 4)?;
        Ok::<Text, Box<super::value::Fault>>(text)
    };
    match name {
        "upper" | "lower" | "capitalize" => {
            args.none(name)?;
            let method = if name == "upper" {
                "upper"
            } else if name == "lower" {
                "lower"
            } else {
                "capitalize"
            };
            strings::method(&soft()?, method, Args::default(), meter)
        }
        "title" => {
            args.none(name)?;
            made(titled(soft()?.as_str()))
        }
        "trim" => {
            let chars = args.bind(name, ["chars"], 0)?.value(0);
            strings::method(&soft()?, "strip", Args { positional: vec![chars], named: Vec::new() }, meter)
        }
        "center" => {
            let width = Value::Int(args.bind(name, ["width"], 0)?.int(0, 80)?);
            strings::method(&soft()?, "center", Args { positional: vec![width], named: Vec::new() }, meter)
        }
        "string" => {
            args.none(name)?;
            Ok(Value::Str(soft()?))
        }
        "safe" => {
            args.none(name)?;
            Ok(Value::Str(text(value, meter)?.with_safe(true)))
        }
        "e" | "escape" => {
            args.none(name)?;
            Ok(Value::Str(escape(value, meter)?))
        }
        "forceescape" => {
            args.none(name)?;
            Ok(Value::Str(escape_text(&text(value, meter)?.with_safe(false), meter)?.with_safe(true)))
        }
        "striptags" => {
            args.none(name)?;
            html::strip_tags(soft()?.as_str(), meter)
        }
        "replace" => replace(value, args, meter),
        "format" => {
            let values = match (args.positional.is_empty(), args.named.is_empty()) {
                (_, true) => meter.tuple(args.positional)?,
                (true, false) => meter.dict(args.named.into_iter().map(|(name, value)| (Value::Str(name), value)).collect())?,
                _ => return Err(fault("format takes positional or named values, not both")),
            };
            format::percent(&Value::Str(soft()?), &values, meter)
        }
        "indent" => layout::indent(value, args, meter),
        "truncate" => layout::truncate(value, args, meter),
        "wordcount" => {
            args.none(name)?;
            let text = soft()?;
            let is_word = |character: char| character.is_alphanumeric() || character == '_';
            Ok(Value::from(text.as_str().split(|character| !is_word(character)).filter(|word| !word.is_empty()).count()))
        }
        "wordwrap" => layout::wrap(value, args, meter),
        "pprint" => {
            args.none(name)?;
            let text = repr(&layout::with_sorted_keys(value, meter)?, meter)?;
            // Python breaks a longer value into lines.
            if text.chars().count() > 80 {
                return Err(fault("pprint of a value of more than 80 characters breaks it into lines, which Fireside does not do"));
            }
            made(text)
        }
        "default" | "d" => {
            let args = args.bind(name, ["default_value", "boolean"], 0)?;
            let taken = value.is_undefined() || args.truth(1) && !value.truth();
            Ok(if taken { args.0[0].clone().unwrap_or(Value::fixed("")) } else { value.clone() })
        }
        "int" => int(value, args),
        "float" => to_float(value, args),
        "abs" => {
            args.none(name)?;
            match value {
                Value::Float(number) => Ok(Value::Float(number.abs())),
                Value::Undefined(missing) => Err(fault(missing.to_string())),
                _ => value
                    .as_int()
                    .and_then(i128::checked_abs)
                    .map(Value::Int)
                    .ok_or_else(|| fault(format!("abs does not work on {}", value.kind()))),
            }
        }
        "round" => round(value, args, meter),
        "filesizeformat" => file_size(value, args, meter),
        "attr" => {
            let name = args.bind(name, ["name"], 1)?.str(0)?;
            // `attr` finds attributes only, and no items.
            let only_item = matches!(value, Value::Dict(dict) if dict.get_str(name.as_str()).is_some());
            let found =
                if value.is_undefined() { return attribute(value, name.as_str(), meter) } else { attribute(value, name.as_str(), meter)? };
            let is_method = matches!(&found, Value::Object(object) if matches!(&**object, super::value::Object::Method(..)));
            Ok(if only_item && !is_method { meter.undefined(Missing::Attribute(value.kind(), name.as_str().to_owned())) } else { found })
        }
        "tojson" => json::filter(value, args, meter),
        "xmlattr" => html::attributes(value, args.bind(name, ["autospace"], 0)?.0[0].as_ref().is_none_or(Value::truth), meter),
        "urlencode" => {
            args.none(name)?;
            html::url_encode(value, meter)
        }
        "random" => Err(fault("Fireside does not have the filter random, because its text differs each time")),
        "urlize" => Err(fault("Fireside does not have the filter urlize, because it makes HTML")),
        _ => sequences::apply(name, value, args, meter),
    }
}

/// jinja2's `title`, which differs from Python's: words begin after blanks, hyphens and brackets.
fn titled(of: &str) -> String {
    let mut out = String::with_capacity(of.len());
    let begins = |character: char| character.is_whitespace() || is_space(character) || "-({[<".contains(character);
    let mut rest = of;
    while let Some(first) = rest.chars().next() {
        let inside = begins(first);
        let end = rest.find(|character| begins(character) != inside).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        out.extend(first.to_uppercase());
        out += &word[first.len_utf8()..].to_lowercase();
        rest = after;
    }
    out
}

fn replace(value: &Value, args: Args, meter: &Meter) -> Outcome<Value> {
    let args = args.bind("replace", ["old", "new", "count"], 2)?;
    let count = if args.some(2).is_some() { args.int(2, -1)? } else { -1 };
    let [mut of, old, mut new] = [text(value, meter)?, args.text(0, "", meter)?, args.text(1, "", meter)?];
    let mut safe = false;
    if meter.escapes.get() {
        if old.safe || new.safe && !of.safe {
            of = escape(&Value::Str(of), meter)?;
        }
        safe = of.safe;
        if safe {
            new = escape(&Value::Str(new), meter)?;
        }
    }
    let replaced = split::replace(of.as_str(), old.as_str(), new.as_str(), count, meter)?;
    Ok(if let Value::Str(text) = replaced { Value::Str(text.with_safe(safe)) } else { replaced })
}

fn int(value: &Value, args: Args) -> Outcome<Value> {
    let args = args.bind("int", ["default", "base"], 0)?;
    let default = || Ok(args.0[0].clone().unwrap_or(Value::Int(0)));
    match value {
        Value::Float(number) if number.is_finite() => number::truncated(*number).map(Value::Int),
        Value::Str(text) => match number::int(text.as_str(), args.int(1, 10)?)? {
            Some(number) => Ok(Value::Int(number)),
            None => match number::float(text.as_str()) {
                Some(number) if number.is_finite() => number::truncated(number).map(Value::Int),
                _ => default(),
            },
        },
        Value::Undefined(missing) => Err(fault(missing.to_string())),
        Value::Float(number) if number.is_infinite() => Err(fault("an infinite float cannot be an int")),
        Value::Bytes(_) => Err(fault("Fireside's int does not read bytes")),
        _ => value.as_int().map_or_else(default, |number| Ok(Value::Int(number))),
    }
}

fn to_float(value: &Value, args: Args) -> Outcome<Value> {
    let args = args.bind("float", ["default"], 0)?;
    let number = match value {
        Value::Float(number) => Some(*number),
        Value::Str(text) => number::float(text.as_str()),
        Value::Undefined(missing) => return Err(fault(missing.to_string())),
        Value::Bytes(_) => return Err(fault("Fireside's float does not read bytes")),
        _ => value.as_int().map(|number| number as f64),
    };
    Ok(number.map_or_else(|| args.0[0].clone().unwrap_or(Value::Float(0.0)), Value::Float))
}

/// Filter `round`, as Python rounds: an integer half to even, a float by its decimal digits.
fn round(value: &Value, args: Args, meter: &Meter) -> Outcome<Value> {
    let args = args.bind("round", ["precision", "method"], 0)?;
    let precision = args.int(0, 0)?;
    let method = if args.0[1].is_some() { args.str(1)? } else { Text::fixed("common") };
    let failed = || fault(format!("round does not work on {}", value.kind()));
    if let Value::Undefined(missing) = value {
        return Err(fault(missing.to_string()));
    }
    meter.step(precision.unsigned_abs().min(1000) as usize)?;
    if precision.unsigned_abs() > 300 {
        return Err(fault("round has a precision of more than 300"));
    }
    let number = if let Value::Float(number) = value { *number } else { value.as_int().ok_or_else(failed)? as f64 };
    match method.as_str() {
        "common" => match value.as_int() {
            Some(whole) if precision >= 0 => Ok(Value::Int(whole)),
            Some(whole) => {
                let unit = u32::try_from(-precision).ok().and_then(|places| 10i128.checked_pow(places));
                let Some(unit) = unit else { return Ok(Value::Int(0)) };
                let (down, up) = (whole.rem_euclid(unit), unit - whole.rem_euclid(unit));
                let goes_up = down > up || down == up && whole.div_euclid(unit) % 2 != 0;
                let rounded = if goes_up { whole.checked_add(up) } else { whole.checked_sub(down) };
                rounded.map(Value::Int).ok_or_else(|| fault("round gives an int of more than 127 bits"))
            }
            None if !number.is_finite() => Ok(Value::Float(number)),
            None if precision >= 0 => Ok(Value::Float(format!("{number:.*}", precision as usize).parse().unwrap_or(number))),
            None => {
                let unit = libm::pow(10.0, -precision as f64);
                Ok(Value::Float(libm::rint(number / unit) * unit))
            }
        },
        "ceil" | "floor" => {
            let factor = libm::pow(10.0, precision as f64);
            let scaled = number * factor;
            if !scaled.is_finite() {
                return Err(failed());
            }
            let whole = if method.as_str() == "ceil" { scaled.ceil() } else { scaled.floor() };
            // Python's ceil and floor return integers, so there is no -0.
            Ok(Value::Float((whole + 0.0) / factor))
        }
        _ => Err(fault("round has the methods common, ceil and floor")),
    }
}

fn file_size(value: &Value, args: Args, meter: &Meter) -> Outcome<Value> {
    let binary = args.bind("filesizeformat", ["binary"], 0)?.truth(0);
    let bytes = match to_float(value, Args::default())? {
        Value::Float(bytes)
            if value.as_str().is_none_or(|text| number::float(text).is_some())
                && (value.as_int().is_some() || matches!(value, Value::Float(_) | Value::Str(_))) =>
        {
            bytes
        }
        _ => return Err(fault(format!("filesizeformat takes a number, not a value of type {}", value.kind()))),
    };
    let (base, names) = if binary {
        (1024.0, ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"])
    } else {
        (1000.0, ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"])
    };
    if bytes == 1.0 {
        return Ok(Value::fixed("1 Byte"));
    }
    if bytes < base {
        return meter.text(format!("{} Bytes", number::truncated(bytes)?));
    }
    let mut unit = base;
    for (index, name) in names.iter().enumerate() {
        unit *= base;
        if bytes < unit || index + 1 == names.len() {
            return meter.text(format!("{:.1} {name}", base * bytes / unit));
        }
    }
    meter.text(float(bytes))
}

/// Lowers a text, for a comparison that ignores case.
pub(super) fn ignore_case(value: Value, meter: &Meter) -> Outcome<Value> {
    match &value {
        Value::Str(text) => {
            meter.step(text.as_str().len() / 4)?;
            meter.text(text.as_str().to_lowercase())
        }
        _ => Ok(value),
    }
}
