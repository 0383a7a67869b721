//! jinja2's filters `indent`, `truncate` and `wordwrap`, and the sorted keys of `pprint`.

use super::args::Args;
use super::characters::{is_space, lines};
use super::limits::Meter;
use super::value::{Outcome, Text, Value, fault};
use super::written::escape;

/// Filter `indent`.
pub(super) fn indent(value: &Value, args: Args, meter: &Meter) -> Outcome<Value> {
    let args = args.bind("indent", ["width", "first", "blank"], 0)?;
    let Value::Str(of) = value else { return Err(fault(format!("indent takes a str, not a value of type {}", value.kind()))) };
    let by = match &args.0[0] {
        Some(Value::Str(by)) => by.as_str().to_owned(),
        _ => {
            let width = usize::try_from(args.int(0, 4)?).unwrap_or(0);
            meter.fits(width)?;
            " ".repeat(width)
        }
    };
    let with_end = format!("{}\n", of.as_str());
    let lines = lines(&with_end, false);
    meter.fits(with_end.len().saturating_add(by.len().saturating_mul(lines.len())))?;
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        if if index == 0 { args.truth(1) } else { args.truth(2) || !line.is_empty() } {
            out += &by;
        }
        out += line;
    }
    Ok(Value::Str(meter.plain(out)?.with_safe(of.safe)))
}

/// Filter `truncate`.
pub(super) fn truncate(value: &Value, args: Args, meter: &Meter) -> Outcome<Value> {
    let args = args.bind("truncate", ["length", "killwords", "end", "leeway"], 0)?;
    let end = if args.0[2].is_some() { args.str(2)? } else { Text::fixed("...") };
    let length = args.int(0, 255)?;
    let leeway = if args.some(3).is_some() { args.int(3, 5)? } else { 5 };
    let end_len = end.as_str().chars().count() as i128;
    if length < end_len || leeway < 0 {
        return Err(fault("truncate has a length below that of its `end`"));
    }
    let Some(len) = value.len(meter)? else { return Err(fault(format!("truncate takes a str, not a value of type {}", value.kind()))) };
    if len as i128 <= length.saturating_add(leeway) {
        return Ok(value.clone());
    }
    let Value::Str(of) = value else { return Err(fault(format!("truncate takes a str, not a value of type {}", value.kind()))) };
    let cut: String = of.as_str().chars().take((length - end_len) as usize).collect();
    let kept = if args.truth(1) { &cut[..] } else { cut.rsplit_once(' ').map_or(&cut[..], |(before, _)| before) };
    let end = if of.safe { escape(&Value::Str(end), meter)? } else { end };
    Ok(Value::Str(meter.plain([kept, end.as_str()].concat())?.with_safe(of.safe)))
}

/// The value with the keys of its dicts sorted, as `pprint` writes them.
pub(super) fn with_sorted_keys(value: &Value, meter: &Meter) -> Outcome<Value> {
    let all = |items: &[Value]| items.iter().map(|item| with_sorted_keys(item, meter)).collect::<Outcome<Vec<_>>>();
    match value {
        Value::List(items) => meter.list(all(&items.items)?),
        Value::Tuple(items) => meter.tuple(all(&items.items)?),
        Value::Dict(dict) => {
            let pairs = dict.entries.iter().map(|(key, value)| Ok((key.clone(), with_sorted_keys(value, meter)?)));
            let mut entries = pairs.collect::<Outcome<Vec<_>>>()?;
            if entries.len() > 1 && !entries.iter().all(|(key, _)| key.as_str().is_some()) {
                return Err(fault("the filter pprint writes dicts whose keys are texts"));
            }
            entries.sort_by(|(a, _), (b, _)| a.as_str().cmp(&b.as_str()));
            meter.dict(entries)
        }
        _ => Ok(value.clone()),
    }
}

/// Filter `wordwrap`: Python's `textwrap.wrap` of each line.
pub(super) fn wrap(value: &Value, args: Args, meter: &Meter) -> Outcome<Value> {
    let args = args.bind("wordwrap", ["width", "break_long_words", "wrapstring", "break_on_hyphens"], 0)?;
    let Value::Str(of) = value else { return Err(fault(format!("wordwrap takes a str, not a value of type {}", value.kind()))) };
    let width = usize::try_from(args.int(0, 79)?).ok().filter(|width| *width > 0).ok_or_else(|| fault("wordwrap has a width below 1"))?;
    let breaks = args.0[1].as_ref().is_none_or(Value::truth);
    let hyphens = args.0[3].as_ref().is_none_or(Value::truth);
    let end = if args.some(2).is_some() { args.str(2)? } else { Text::fixed("\n") };
    let text = of.as_str();
    meter.step(text.len())?;
    if hyphens && text.contains('-') {
        return Err(fault("Fireside's wordwrap does not break at hyphens: pass break_on_hyphens=false"));
    }
    meter.fits(text.len().saturating_add(text.len() / width * end.as_str().len()))?;
    let mut done = Vec::new();
    for line in lines(text, false) {
        done.push(wrapped(line, width, breaks, meter)?.join(end.as_str()));
    }
    meter.text(done.join(end.as_str()))
}

/// Wraps one line at `width` characters.
fn wrapped(line: &str, width: usize, breaks: bool, meter: &Meter) -> Outcome<Vec<String>> {
    let is_blank = |character: char| "\t\n\u{b}\u{c}\r ".contains(character);
    let mut done: Vec<String> = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let (mut current, mut used) = (String::new(), 0);
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|character| is_blank(character) != is_blank(first)).unwrap_or(rest.len());
            let chunk = &rest[..end];
            meter.step(1 + chunk.len())?;
            // Only the first line may begin with blanks.
            if current.is_empty() && !done.is_empty() && chunk.chars().all(is_space) {
                rest = &rest[end..];
                continue;
            }
            let length = chunk.chars().count();
            if length <= width - used {
                current += chunk;
                used += length;
                rest = &rest[end..];
                continue;
            }
            if length > width && (breaks || current.is_empty()) {
                let taken = if breaks { chunk.char_indices().nth(width - used).map_or(chunk.len(), |(at, _)| at) } else { chunk.len() };
                current += &rest[..taken];
                rest = &rest[taken..];
            }
            break;
        }
        // No line ends with blanks.
        current.truncate(current.trim_end_matches(is_blank).len());
        if !current.is_empty() {
            done.push(current);
        }
    }
    Ok(done)
}
