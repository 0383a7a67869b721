//! Python's two ways to format values: `'%s' % value` and `'{}'.format(value)`.

use super::args::Args;
use super::attributes::{attribute, item};
use super::compare::find;
use super::limits::Meter;
use super::number::{self, Spec};
use super::value::{Outcome, Text, Value, fault};
use super::written::{escape, escaped, repr, text};

/// The limit on the width of a field.
pub(super) const WIDTH_MAX: usize = 10_000;

/// Steps for each digit of a float, whose exact decimal form has hundreds of digits.
const DIGITS_COST: usize = 8;

fn broken(what: &str) -> Box<super::value::Fault> {
    fault(format!("a format {what}"))
}

/// `text % values`.
pub(super) fn percent(of: &Value, values: &Value, meter: &Meter) -> Outcome<Value> {
    let Value::Str(of) = of else { return Err(fault("% formats a str")) };
    let one = [values.clone()];
    let arguments: &[Value] = if let Value::Tuple(items) = values { &items.items } else { &one };
    let mut arguments = arguments.iter();
    let mut named = false;
    let mut out = String::new();
    let mut rest = of.as_str();
    while let Some(at) = rest.find('%') {
        out += &rest[..at];
        rest = &rest[at + 1..];
        meter.step(1)?;
        meter.fits(out.len())?;
        let field = rest.len();
        let mut value = None;
        if let Some(keyed) = rest.strip_prefix('(') {
            let end = closing(keyed).ok_or_else(|| broken("has an open bracket"))?;
            let Value::Dict(dict) = values else { return Err(broken("with names takes a dict")) };
            let key = meter.text(&keyed[..end])?;
            value = Some(
                find(dict, &key, meter)?.ok_or_else(|| broken(&format!("looks for {:?}, which is not there", &keyed[..end])))?.clone(),
            );
            named = true;
            rest = &keyed[end + 1..];
        }
        let flags_end = rest.find(|c| !"-+ 0#".contains(c)).ok_or_else(|| broken("is not complete"))?;
        let (flags, tail) = rest.split_at(flags_end);
        rest = tail;
        let mut next = || arguments.next().cloned().ok_or_else(|| broken("has more places than values"));
        let mut spec = Spec {
            fill: if flags.contains('0') && !flags.contains('-') { '0' } else { ' ' },
            align: if flags.contains('-') { Some('<') } else { None },
            sign: if flags.contains('+') {
                '+'
            } else if flags.contains(' ') {
                ' '
            } else {
                '-'
            },
            alternate: flags.contains('#'),
            ..Spec::default()
        };
        let mut number = |rest: &mut &str| -> Outcome<Option<i128>> {
            if let Some(after) = rest.strip_prefix('*') {
                *rest = after;
                return next()?.as_int().map(Some).ok_or_else(|| broken("has a width that is no whole number"));
            }
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (digits, after) = rest.split_at(end);
            *rest = after;
            Ok(digits.parse().ok())
        };
        if let Some(width) = number(&mut rest)? {
            if width < 0 {
                (spec.align, spec.fill) = (Some('<'), ' ');
            }
            spec.width = narrow(width.unsigned_abs())?;
        }
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            spec.precision = Some(narrow(number(&mut rest)?.unwrap_or(0).max(0).unsigned_abs())?);
        }
        rest = rest.strip_prefix(['h', 'l', 'L']).unwrap_or(rest);
        let kind = rest.chars().next().ok_or_else(|| broken("is not complete"))?;
        rest = &rest[kind.len_utf8()..];
        if kind == '%' && value.is_none() && field == rest.len() + 1 {
            out.push('%');
            continue;
        }
        let value = match value {
            Some(value) => value,
            None => next()?,
        };
        meter.fits(out.len() + spec.width)?;
        match kind {
            's' | 'r' | 'a' => {
                let written = match kind {
                    's' if of.safe => escape(&value, meter)?.as_str().to_owned(),
                    's' => text(&value, meter)?.as_str().to_owned(),
                    'r' => repr(&value, meter)?,
                    _ => ascii(&repr(&value, meter)?),
                };
                spec.fill = ' ';
                spec.align.get_or_insert('>');
                out += &spec.padded_text(&written);
            }
            'c' => {
                let character = match (&value, value.as_int()) {
                    (_, Some(code)) => u32::try_from(code).ok().and_then(char::from_u32).map(String::from),
                    (Value::Str(one), _) if one.as_str().chars().count() == 1 => Some(one.as_str().to_owned()),
                    _ => None,
                };
                spec.fill = ' ';
                spec.align.get_or_insert('>');
                out += &spec.padded_text(&character.ok_or_else(|| broken("%c takes one character"))?);
            }
            'd' | 'i' | 'u' | 'x' | 'X' | 'o' => {
                let whole = match &value {
                    Value::Float(number) if matches!(kind, 'd' | 'i' | 'u') => number::truncated(*number)?,
                    Value::Undefined(missing) => return Err(fault(missing.to_string())),
                    _ => value.as_int().ok_or_else(|| broken(&format!("%{kind} takes a number, not a value of type {}", value.kind())))?,
                };
                spec.kind = if matches!(kind, 'i' | 'u') { 'd' } else { kind };
                // The precision of an integer is its minimum number of digits.
                out += &spec.whole(whole, spec.precision.unwrap_or(0));
            }
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                let number = match &value {
                    Value::Float(number) => *number,
                    Value::Undefined(missing) => return Err(fault(missing.to_string())),
                    _ => value.as_int().ok_or_else(|| broken(&format!("%{kind} takes a number, not a value of type {}", value.kind())))?
                        as f64,
                };
                spec.kind = kind;
                meter.step(DIGITS_COST * spec.precision.unwrap_or(0))?;
                out += &spec.float(number)?;
            }
            _ => return Err(broken(&format!("has the unknown sign %{kind}"))),
        }
    }
    out += rest;
    let takes_rest = named || matches!(values, Value::Dict(_) | Value::List(_) | Value::Bytes(_) | Value::Range(_));
    if arguments.next().is_some() && !takes_rest {
        return Err(broken("has fewer places than values"));
    }
    Ok(Value::Str(meter.plain(out)?.with_safe(of.safe)))
}

/// The byte at which the bracket closes that opened before `text`.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1;
    text.char_indices()
        .find(|(_, character)| {
            open += i32::from(*character == '(') - i32::from(*character == ')');
            open == 0
        })
        .map(|(at, _)| at)
}

fn narrow(width: u128) -> Outcome<usize> {
    usize::try_from(width).ok().filter(|width| *width <= WIDTH_MAX).ok_or_else(|| fault(super::limits::TOO_LARGE))
}

/// Python's `ascii`.
fn ascii(text: &str) -> String {
    text.chars().map(|character| if character.is_ascii() { character.to_string() } else { escaped(character) }).collect()
}

/// `text.format(...)`. Attributes are looked up as the sandbox does.
pub(super) fn braces(of: &Text, args: Args, meter: &Meter) -> Outcome<Value> {
    let mut numbering = Numbering { next: Some(0) };
    meter.text(fields(of.as_str(), of.safe, &args, &mut numbering, 3, meter)?)
}

/// The number of the next `{}`; `None` once a field is numbered (`{0}`).
struct Numbering {
    next: Option<usize>,
}

fn fields(of: &str, safe: bool, args: &Args, numbering: &mut Numbering, depth: usize, meter: &Meter) -> Outcome<String> {
    if depth == 0 {
        return Err(broken("has fields in fields in fields"));
    }
    let mut out = String::new();
    let mut rest = of;
    while let Some(at) = rest.find(['{', '}']) {
        let sign = &rest[at..=at];
        meter.step(1 + args.named.len() / 4)?;
        out += &rest[..at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(sign) {
            out += sign;
            rest = after;
            continue;
        }
        if sign == "}" {
            return Err(broken("has a single }"));
        }
        let mut open = 1;
        let end = rest.char_indices().find(|(_, character)| {
            open += i32::from(*character == '{') - i32::from(*character == '}');
            open == 0
        });
        let (end, _) = end.ok_or_else(|| broken("has an open {"))?;
        let (field, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        // The name ends at the first `!` or `:` outside brackets.
        let mut bracket = false;
        let name_end = field.find(|character| {
            bracket = character == '[' || bracket && character != ']';
            !bracket && matches!(character, '!' | ':')
        });
        let (name, tail) = field.split_at(name_end.unwrap_or(field.len()));
        let (conversion, spec) = match tail.strip_prefix('!') {
            Some(tail) => {
                let conversion = tail.chars().next().ok_or_else(|| broken("has a ! and no conversion"))?;
                let after = &tail[conversion.len_utf8()..];
                let spec = if after.is_empty() {
                    ""
                } else {
                    after.strip_prefix(':').ok_or_else(|| broken("has a : missing after its conversion"))?
                };
                (Some(conversion), spec)
            }
            None => (None, tail.strip_prefix(':').unwrap_or("")),
        };
        let mut value = field_value(name, args, numbering, meter)?;
        value = match conversion {
            None => value,
            Some('s') => Value::Str(text(&value, meter)?),
            Some('r') => meter.text(repr(&value, meter)?)?,
            Some('a') => meter.text(ascii(&repr(&value, meter)?))?,
            Some(other) => return Err(broken(&format!("has the unknown conversion !{other}"))),
        };
        let spec = if spec.is_empty() { String::new() } else { fields(spec, false, args, numbering, depth - 1, meter)? };
        let written = formatted(&value, &spec, meter)?;
        meter.fits(out.len() + written.len())?;
        if safe {
            let safe_already = matches!(&value, Value::Str(text) if text.safe);
            let written = Text::new(written).with_safe(safe_already);
            out += escape(&Value::Str(written), meter)?.as_str();
        } else {
            out += &written;
        }
    }
    Ok(out + rest)
}

/// The value of `{name.attribute[item]}`.
fn field_value(name: &str, args: &Args, numbering: &mut Numbering, meter: &Meter) -> Outcome<Value> {
    let first_end = name.find(['.', '[']).unwrap_or(name.len());
    let (first, mut rest) = name.split_at(first_end);
    let place = if name.is_empty() {
        let place = numbering.next.ok_or_else(|| broken("numbers some fields and not others"))?;
        numbering.next = Some(place + 1);
        Some(place)
    } else {
        first.parse().ok().filter(|_| first.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if !name.is_empty() && place.is_some() && rest.is_empty() {
        if numbering.next.is_some_and(|next| next > 0) {
            return Err(broken("numbers some fields and not others"));
        }
        numbering.next = None;
    }
    let found = match place {
        Some(place) => args.positional.get(place),
        None => args.named.iter().find(|(other, _)| other.as_str() == first).map(|(_, value)| value),
    };
    let mut value = found.cloned().ok_or_else(|| broken(&format!("has the field {{{name}}} and no value for it")))?;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            value = attribute(&value, &after[..end], meter)?;
            rest = &after[end..];
        } else {
            let inside = rest.strip_prefix('[').ok_or_else(|| broken("has signs after a ]"))?;
            let end = inside.find(']').ok_or_else(|| broken("has an open ["))?;
            let key = inside[..end].parse().map_or_else(|_| meter.text(&inside[..end]), |number| Ok(Value::Int(number)))?;
            value = item(&value, &key, meter)?;
            rest = &inside[end + 1..];
        }
    }
    Ok(value)
}

/// Python's `format(value, spec)`.
pub(super) fn formatted(value: &Value, spec: &str, meter: &Meter) -> Outcome<String> {
    if spec.is_empty() {
        return Ok(text(value, meter)?.as_str().to_owned());
    }
    let spec = Spec::parse(spec)?;
    meter.step(DIGITS_COST * spec.precision.unwrap_or(0))?;
    match value {
        Value::Str(text) if !text.safe => spec.text(text.as_str()),
        Value::Bool(_) | Value::Int(_) => {
            let number = value.as_int().unwrap_or_default();
            match spec.kind {
                'e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%' => spec.float(number as f64),
                '\0' if matches!(value, Value::Bool(_)) => spec.number_of_bool(number),
                _ => spec.checked_whole(number),
            }
        }
        Value::Float(number) => spec.float(*number),
        _ => Err(broken(&format!("has a width or a sign for a value of type {}, which takes none", value.kind()))),
    }
}
