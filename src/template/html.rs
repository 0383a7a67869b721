//! The filters that write or read HTML and URLs.

use super::characters::is_space;
use super::limits::Meter;
use super::loops::items;
use super::value::{Outcome, Value, fault};
use super::written::{escape, text};

/// markupsafe's `striptags`: removes tags and comments, and joins runs of blanks.
pub(super) fn strip_tags(of: &str, meter: &Meter) -> Outcome<Value> {
    meter.step(of.len())?;
    let mut out = String::new();
    let mut rest = of;
    while let Some(start) = rest.find('<') {
        let tag = &rest[start..];
        let end = match tag.strip_prefix("<!--") {
            Some(comment) => comment.find("-->").map(|at| at + 7),
            None => tag.find('>').map(|at| at + 1),
        };
        let Some(end) = end else { break };
        out += &rest[..start];
        rest = &tag[end..];
    }
    out += rest;
    let words: Vec<&str> = out.split(is_space).filter(|word| !word.is_empty()).collect();
    unescape(&words.join(" "), meter)
}

/// Replaces HTML's character references by the characters.
///
/// Errors: a named reference other than XML's five.
pub(super) fn unescape(of: &str, meter: &Meter) -> Outcome<Value> {
    let mut out = String::new();
    let mut rest = of;
    while let Some(at) = rest.find('&') {
        out += &rest[..at];
        rest = &rest[at..];
        let name_len = rest[1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '#').map_or(rest.len(), |end| end + 1);
        let name = &rest[1..name_len];
        let after = rest[name_len..].strip_prefix(';');
        let character = match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" if after.is_some() => Some('\''),
            _ => match name.strip_prefix('#') {
                Some(code) => {
                    let code = code.strip_prefix(['x', 'X']).map_or_else(|| code.parse().ok(), |code| u32::from_str_radix(code, 16).ok());
                    let plain = code.filter(|code| *code > 31 && !(0x7f..0xa0).contains(code));
                    Some(plain.and_then(char::from_u32).ok_or_else(|| fault(format!("Fireside does not read the HTML escape &{name};")))?)
                }
                None if name.is_empty() => None,
                // HTML has two thousand names, and some need no semicolon.
                None => return Err(fault(format!("Fireside does not read the HTML escape &{name};"))),
            },
        };
        match character {
            Some(character) => {
                out.push(character);
                rest = after.unwrap_or(&rest[name_len..]);
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    meter.text(out + rest)
}

/// Filter `xmlattr`.
pub(super) fn attributes(value: &Value, space: bool, meter: &Meter) -> Outcome<Value> {
    let Value::Dict(dict) = value else { return Err(fault(format!("xmlattr takes a dict, not a value of type {}", value.kind()))) };
    let mut out = String::new();
    for (key, value) in &dict.entries {
        if matches!(value, Value::None | Value::Undefined(_)) {
            continue;
        }
        let name = key.as_str().ok_or_else(|| fault("xmlattr takes a dict whose keys are texts"))?;
        if name.contains(|c: char| c.is_ascii_whitespace() || matches!(c, '\u{b}' | '/' | '>' | '=')) {
            return Err(fault(format!("xmlattr cannot name an attribute {name:?}")));
        }
        if space || !out.is_empty() {
            out.push(' ');
        }
        out += &format!("{}=\"{}\"", escape(key, meter)?.as_str(), escape(value, meter)?.as_str());
        meter.fits(out.len())?;
    }
    Ok(Value::Str(meter.plain(out)?.with_safe(meter.escapes.get())))
}

/// Filter `urlencode`.
pub(super) fn url_encode(value: &Value, meter: &Meter) -> Outcome<Value> {
    let pairs = match value {
        Value::Dict(dict) => dict.entries.clone(),
        _ if value.as_str().is_some() || !super::loops::is_iterable(value) => return meter.text(quoted(value, false, meter)?),
        _ => items(value, meter)?
            .iter()
            .map(|pair| {
                let pair = items(pair, meter)?;
                <[Value; 2]>::try_from(pair).map(<(Value, Value)>::from).map_err(|_| fault("urlencode takes pairs"))
            })
            .collect::<Outcome<_>>()?,
    };
    let mut parts = Vec::new();
    for (key, value) in &pairs {
        parts.push(quoted(key, true, meter)? + "=" + &quoted(value, true, meter)?);
    }
    meter.text(parts.join("&"))
}

fn quoted(value: &Value, in_query: bool, meter: &Meter) -> Outcome<String> {
    let text = text(value, meter)?;
    meter.fits(3 * text.as_str().len())?;
    meter.step(text.as_str().len())?;
    let byte = |byte: u8| match byte {
        b'/' if !in_query => "/".to_owned(),
        b' ' if in_query => "+".to_owned(),
        _ if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    Ok(text.as_str().bytes().map(byte).collect())
}
