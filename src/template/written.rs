//! Converts values to text: Python's `str` and `repr`.

use super::limits::Meter;
use super::value::{Object, Outcome, Text, Value, View, fault};

/// Python's `str`.
pub(super) fn text(value: &Value, meter: &Meter) -> Outcome<Text> {
    Ok(match value {
        Value::Str(text) => text.clone(),
        Value::Undefined(_) => Text::fixed(""),
        Value::None => Text::fixed("None"),
        Value::Bool(true) => Text::fixed("True"),
        Value::Bool(false) => Text::fixed("False"),
        _ => meter.plain(repr(value, meter)?)?,
    })
}

/// Python's `repr`.
///
/// Errors: a value for which Python writes an address in memory.
pub(super) fn repr(value: &Value, meter: &Meter) -> Outcome<String> {
    let mut out = String::new();
    write(value, 0, &mut out, meter)?;
    Ok(out)
}

fn write(value: &Value, depth: usize, out: &mut String, meter: &Meter) -> Outcome<()> {
    meter.nests(depth)?;
    meter.step(1)?;
    meter.fits(out.len())?;
    match value {
        Value::Undefined(_) => out.push_str("Undefined"),
        Value::None => out.push_str("None"),
        Value::Bool(truth) => out.push_str(if *truth { "True" } else { "False" }),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Float(number) => out.push_str(&float(*number)),
        Value::Str(text) => {
            meter.step(text.as_str().len() / 4)?;
            if text.safe {
                out.push_str("Markup(");
                quoted(text.as_str(), out, meter);
                out.push(')');
            } else {
                quoted(text.as_str(), out, meter);
            }
        }
        Value::Bytes(bytes) => {
            meter.step(bytes.len() / 8)?;
            quoted_bytes(bytes, out);
        }
        Value::List(items) => listed(&items.items, ["[", "]"], depth, out, meter)?,
        Value::Tuple(items) => listed(&items.items, ["(", if items.items.len() == 1 { ",)" } else { ")" }], depth, out, meter)?,
        Value::Dict(dict) => entries(&dict.entries, depth, out, meter)?,
        Value::Range(range) => {
            out.push_str(&format!("range({}, {}", range.start, range.stop));
            if range.step != 1 {
                out.push_str(&format!(", {}", range.step));
            }
            out.push(')');
        }
        Value::Object(object) => match &**object {
            Object::Namespace(dict) => {
                out.push_str("<Namespace ");
                entries(&dict.borrow().entries, depth, out, meter)?;
                out.push('>');
            }
            Object::Macro { name, .. } => {
                out.push_str("<Macro ");
                match name {
                    Some(name) => quoted(name.as_str(), out, meter),
                    None => out.push_str("anonymous"),
                }
                out.push('>');
            }
            Object::Loop(of) => out.push_str(&of.written()),
            Object::Blocks => out.push_str("<TemplateReference None>"),
            Object::Function(name @ ("range" | "dict" | "namespace" | "cycler" | "joiner")) => {
                let class = match *name {
                    "namespace" => "jinja2.utils.Namespace",
                    "cycler" => "jinja2.utils.Cycler",
                    "joiner" => "jinja2.utils.Joiner",
                    name => name,
                };
                // The sandbox replaces `range` by a function, which Python writes with its address.
                if *name == "range" {
                    return addressed(value);
                }
                out.push_str(&format!("<class '{class}'>"));
            }
            Object::View(view, dict) => {
                let (name, parts): (_, Vec<Value>) = match view {
                    View::Keys => ("dict_keys(", dict.entries.iter().map(|(key, _)| key.clone()).collect()),
                    View::Values => ("dict_values(", dict.entries.iter().map(|(_, value)| value.clone()).collect()),
                    View::Items => {
                        ("dict_items(", dict.entries.iter().map(|(key, value)| Value::tuple(vec![key.clone(), value.clone()])).collect())
                    }
                };
                meter.room(parts.len())?;
                out.push_str(name);
                listed(&parts, ["[", "]"], depth, out, meter)?;
                out.push(')');
            }
            _ => return addressed(value),
        },
    }
    Ok(())
}

fn addressed(value: &Value) -> Outcome<()> {
    Err(fault(format!("it outputs a value of type {}, for which Python writes an address in memory", value.kind())))
}

fn listed(items: &[Value], [open, close]: [&str; 2], depth: usize, out: &mut String, meter: &Meter) -> Outcome<()> {
    out.push_str(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write(item, depth + 1, out, meter)?;
    }
    out.push_str(close);
    Ok(())
}

fn entries(entries: &[(Value, Value)], depth: usize, out: &mut String, meter: &Meter) -> Outcome<()> {
    out.push('{');
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write(key, depth + 1, out, meter)?;
        out.push_str(": ");
        write(value, depth + 1, out, meter)?;
    }
    out.push('}');
    Ok(())
}

/// Python's `repr` of a text.
fn quoted(text: &str, out: &mut String, meter: &Meter) {
    let has = |sign| text.chars().any(|character| meter.typed(character).unwrap_or(character) == sign);
    let quote = if has('\'') && !has('"') { '"' } else { '\'' };
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if character == quote => out.extend(['\\', quote]),
            // A twin stays a twin. Python's escape goes before it if the typed character needs one.
            _ if meter.typed(character).is_some_and(|typed| typed == quote || typed == '\\') => out.extend(['\\', character]),
            _ if meter.typed(character).is_some_and(is_printable) => out.push(character),
            ' '..='~' => out.push(character),
            _ if is_printable(character) => out.push(character),
            _ => out.push_str(&escaped(meter.typed(character).unwrap_or(character))),
        }
    }
    out.push(quote);
}

/// Python's escape for a character.
pub(super) fn escaped(character: char) -> String {
    match u32::from(character) {
        code @ ..=0xff => format!("\\x{code:02x}"),
        code @ ..=0xffff => format!("\\u{code:04x}"),
        code => format!("\\U{code:08x}"),
    }
}

/// Python's `str.isprintable` of a character.
pub(super) fn is_printable(character: char) -> bool {
    // After another character, Rust escapes exactly the characters that are not printable.
    character.is_ascii_graphic() || character == ' ' || {
        let mut text = [b'a'; 5];
        let length = 1 + character.encode_utf8(&mut text[1..]).len();
        std::str::from_utf8(&text[..length]).is_ok_and(|text| text.escape_debug().nth(1) == Some(character))
    }
}

fn quoted_bytes(bytes: &[u8], out: &mut String) {
    let quote = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { b'"' } else { b'\'' };
    out.extend(['b', quote as char]);
    for &byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ if byte == quote => out.extend(['\\', quote as char]),
            b' '..=b'~' => out.push(byte as char),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push(quote as char);
}

/// Python's `repr` of a float: the shortest digits that parse to the same float.
pub(super) fn float(value: f64) -> String {
    let magnitude = value.abs();
    if value.is_nan() {
        "nan".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "inf".to_owned() } else { "-inf".to_owned() }
    } else if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        format!("{digits}e{sign}{exponent:0>2}")
    } else {
        let text = value.to_string();
        if text.contains('.') { text } else { text + ".0" }
    }
}

/// markupsafe's `escape`.
pub(super) fn escape(value: &Value, meter: &Meter) -> Outcome<Text> {
    let text = text(value, meter)?;
    if text.safe {
        return Ok(text);
    }
    Ok(escape_text(&text, meter)?.with_safe(true))
}

/// Escapes HTML's signs in a text, whether or not it is safe already.
pub(super) fn escape_text(text: &Text, meter: &Meter) -> Outcome<Text> {
    let from = text.as_str();
    let signs = from.bytes().filter(|byte| b"&<>'\"".contains(byte)).count();
    if signs == 0 {
        return Ok(text.clone());
    }
    meter.fits(from.len() + 4 * signs)?;
    let mut out = String::with_capacity(from.len() + 4 * signs);
    for character in from.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            _ => out.push(character),
        }
    }
    meter.plain(out)
}
