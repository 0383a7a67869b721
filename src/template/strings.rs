//! The methods of Python's `str`, and for safe texts those of markupsafe's `Markup`.

use std::rc::Rc;

use super::args::Args;
use super::characters::{self, Class, all_are, is_space, lines};
use super::format;
use super::limits::Meter;
use super::loops;
use super::split::{join, listed, not_empty, replace, split, strip};
use super::value::{Outcome, Text, Value, fault};
use super::written::{escape, is_printable};

/// All methods of `str`, because a template may test whether one exists.
pub(super) const METHODS: [&str; 47] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];

/// The further methods of `Markup`.
pub(super) const SAFE_METHODS: [&str; 3] = ["escape", "striptags", "unescape"];

/// Calls a method of a text.
pub(super) fn method(text: &Text, name: &'static str, args: Args, meter: &Meter) -> Outcome<Value> {
    let value = plain_method(text, name, args, meter)?;
    Ok(if text.safe { marked(value) } else { value })
}

/// Marks the texts in the result of a method of `Markup` as safe.
fn marked(value: Value) -> Value {
    let all = |items: &[Value]| items.iter().cloned().map(marked).collect();
    match value {
        Value::Str(text) => Value::Str(text.with_safe(true)),
        Value::List(items) => Value::list(all(&items.items)),
        Value::Tuple(items) => Value::tuple(all(&items.items)),
        other => other,
    }
}

fn plain_method(text: &Text, name: &'static str, args: Args, meter: &Meter) -> Outcome<Value> {
    let of = text.as_str();
    meter.walk(of.len() + args.positional.iter().filter_map(Value::as_str).map(str::len).sum::<usize>())?;
    let slow = || meter.step(of.len() / 2);
    let made = |made: String| meter.text(made);
    let what = &*format!("str.{name}()");
    match name {
        "upper" | "lower" | "casefold" | "capitalize" | "title" | "swapcase" => {
            args.none(what)?;
            slow()?;
            made(match name {
                "upper" => of.to_uppercase(),
                "lower" => of.to_lowercase(),
                "casefold" => characters::fold(of),
                "capitalize" => characters::capitalize(of),
                "title" => characters::title_case(of),
                _ => characters::swap_case(of),
            })
        }
        _ if name.starts_with("is") => {
            args.none(what)?;
            slow()?;
            is(name, of, meter).map(Value::Bool)
        }
        "strip" | "lstrip" | "rstrip" => {
            let args = args.bind(what, ["_chars"], 0)?;
            let chars = args.some(0).map(|_| args.str(0)).transpose()?;
            let unchanged = |stripped: &str| stripped.len() == of.len();
            let stripped = strip(of, chars.as_ref().map(Text::as_str), name, meter)?;
            if unchanged(stripped) { Ok(Value::Str(text.clone())) } else { meter.text(stripped) }
        }
        "removeprefix" | "removesuffix" => {
            let part = args.bind(what, ["_affix"], 1)?.str(0)?;
            let rest = if name == "removeprefix" { of.strip_prefix(part.as_str()) } else { of.strip_suffix(part.as_str()) };
            rest.map_or(Ok(Value::Str(text.clone())), |rest| meter.text(rest))
        }
        "split" | "rsplit" => {
            let args = args.bind(what, ["sep", "maxsplit"], 0)?;
            let separator = args.some(0).map(|_| args.str(0)).transpose()?;
            let max = usize::try_from(args.int(1, -1)?).unwrap_or(usize::MAX);
            split(of, separator.as_ref().map(Text::as_str), max, name == "rsplit", meter)
        }
        "splitlines" => {
            let keep = args.bind(what, ["keepends"], 0)?.truth(0);
            listed(lines(of, keep), meter)
        }
        "partition" | "rpartition" => {
            let separator = args.bind(what, ["_sep"], 1)?.str(0)?;
            let sep = not_empty(separator.as_str())?;
            let parts = match (name, if name == "partition" { of.split_once(sep) } else { of.rsplit_once(sep) }) {
                (_, Some((before, after))) => [before, sep, after],
                ("partition", None) => [of, "", ""],
                _ => ["", "", of],
            };
            let parts = parts.iter().map(|part| meter.text(*part)).collect::<Outcome<Vec<_>>>()?;
            meter.tuple(parts)
        }
        "replace" => {
            let args = args.bind(what, ["_old", "_new", "_count"], 2)?;
            let new = if text.safe { escape(&args.value(1), meter)? } else { args.str(1)? };
            replace(of, args.str(0)?.as_str(), new.as_str(), args.int(2, -1)?, meter)
        }
        "join" => {
            let parts = loops::items(&args.bind(what, ["_iterable"], 1)?.value(0), meter)?;
            let parts = parts.iter().map(|part| match part {
                _ if text.safe => escape(part, meter),
                Value::Str(part) => Ok(part.clone()),
                _ => Err(fault(format!("{what} joins texts, not a value of type {}", part.kind()))),
            });
            join(of, &parts.collect::<Outcome<Vec<_>>>()?, meter)
        }
        "startswith" | "endswith" => {
            let args = args.bind(what, ["_affix", "_start", "_end"], 1)?;
            let Some(of) = window(of, &args, meter)? else { return Ok(Value::Bool(false)) };
            let matches = |affix: &Value| match affix.as_str() {
                Some(affix) => Ok(if name == "startswith" { of.starts_with(affix) } else { of.ends_with(affix) }),
                None => Err(fault(format!("{what} looks for a str or a tuple of them, not for a value of type {}", affix.kind()))),
            };
            match args.value(0) {
                Value::Tuple(affixes) => {
                    meter.step(affixes.items.len())?;
                    for affix in &affixes.items {
                        if matches(affix)? {
                            return Ok(Value::Bool(true));
                        }
                    }
                    Ok(Value::Bool(false))
                }
                affix => Ok(Value::Bool(matches(&affix)?)),
            }
        }
        "find" | "rfind" | "index" | "rindex" | "count" => {
            let args = args.bind(what, ["_sub", "_start", "_end"], 1)?;
            let part = args.str(0)?;
            let part = part.as_str();
            let found = window(of, &args, meter)?.and_then(|inside| {
                // `inside` is a slice of `of`, so the addresses give its place.
                let before = inside.as_ptr() as usize - of.as_ptr() as usize;
                match name {
                    "count" if part.is_empty() => Some(inside.chars().count() + 1),
                    "count" => Some(inside.matches(part).count()),
                    "find" | "index" => inside.find(part).map(|at| of[..before + at].chars().count()),
                    _ => inside.rfind(part).map(|at| of[..before + at].chars().count()),
                }
            });
            match (found, name) {
                (Some(place), _) => Ok(Value::from(place)),
                (None, "count") => Ok(Value::Int(0)),
                (None, "find" | "rfind") => Ok(Value::Int(-1)),
                _ => Err(fault(format!("{what} does not find the text"))),
            }
        }
        "center" | "ljust" | "rjust" => {
            let args = args.bind(what, ["_width", "_fillchar"], 1)?;
            let fill = if args.0[1].is_some() { args.str(1)? } else { Text::fixed(" ") };
            let fill = if text.safe { escape(&Value::Str(fill), meter)? } else { fill };
            let mut fills = fill.as_str().chars();
            let (Some(fill), None) = (fills.next(), fills.next()) else {
                return Err(fault(format!("{what} takes one character to fill with")));
            };
            let (before, after) = margins(of, args.int(0, 0)?, name, meter)?;
            meter.fits((before + after).saturating_mul(fill.len_utf8()))?;
            let fills = |count| std::iter::repeat_n(fill, count);
            made(fills(before).chain(of.chars()).chain(fills(after)).collect())
        }
        "zfill" => {
            let width = args.bind(what, ["_width"], 1)?.int(0, 0)?;
            let (zeros, _) = margins(of, width, "rjust", meter)?;
            let digits = of.strip_prefix(['-', '+']).unwrap_or(of);
            made([&of[..of.len() - digits.len()], &"0".repeat(zeros), digits].concat())
        }
        "expandtabs" => {
            let size = args.bind(what, ["tabsize"], 0)?.int(0, 8)?;
            expand_tabs(of, usize::try_from(size).unwrap_or(0), meter)
        }
        "format" => format::braces(text, args, meter),
        "format_map" => {
            let map = args.bind(what, ["_map"], 1)?.value(0);
            let Value::Dict(dict) = &map else { return Err(fault(format!("{what} takes a dict"))) };
            let named = dict
                .entries
                .iter()
                .filter_map(|(key, value)| Some((if let Value::Str(key) = key { key.clone() } else { return None }, value.clone())));
            format::braces(text, Args { positional: Vec::new(), named: named.collect() }, meter)
        }
        "encode" => encode(of, args, what, meter),
        "striptags" => {
            args.none(what)?;
            super::html::strip_tags(of, meter)
        }
        "unescape" => {
            args.none(what)?;
            super::html::unescape(of, meter)
        }
        _ => Err(fault(format!("Fireside does not have {what}"))),
    }
}

fn is(name: &str, of: &str, meter: &Meter) -> Outcome<bool> {
    Ok(match name {
        "isalpha" => all_are(Class::Alpha, of, meter)?,
        "isalnum" => all_are(Class::Alnum, of, meter)?,
        "isdecimal" => all_are(Class::Decimal, of, meter)?,
        "isdigit" => all_are(Class::Digit, of, meter)?,
        "isnumeric" => all_are(Class::Numeric, of, meter)?,
        "isidentifier" => characters::is_identifier(of, meter)?,
        "isspace" => !of.is_empty() && of.chars().all(is_space),
        "isascii" => of.is_ascii(),
        "isprintable" => of.chars().all(is_printable),
        "istitle" => characters::is_title_case(of),
        _ => characters::is_case(of, name == "isupper"),
    })
}

/// The slice of a text from the second to the third argument, as Python's `find` counts them in characters.
/// `None` if it begins beyond the end.
fn window<'t>(of: &'t str, args: &super::args::Bound<3>, meter: &Meter) -> Outcome<Option<&'t str>> {
    if args.some(1).is_none() && args.some(2).is_none() {
        return Ok(Some(of));
    }
    meter.walk(of.len())?;
    let length = of.chars().count() as i128;
    let place = |at: i128| if at < 0 { (at + length).max(0) } else { at };
    let start = place(if args.some(1).is_some() { args.int(1, 0)? } else { 0 });
    let end = place(if args.some(2).is_some() { args.int(2, 0)? } else { length }).min(length);
    if start > end {
        return Ok(None);
    }
    let byte = |at: i128| of.char_indices().nth(at as usize).map_or(of.len(), |(byte, _)| byte);
    Ok(Some(&of[byte(start)..byte(end)]))
}

/// How many characters go before and after a centred text. Units: characters.
fn margins(of: &str, width: i128, name: &str, meter: &Meter) -> Outcome<(usize, usize)> {
    let length = of.chars().count();
    let margin = usize::try_from(width).unwrap_or(0).saturating_sub(length);
    meter.fits(margin)?;
    Ok(match name {
        "ljust" => (0, margin),
        "rjust" => (margin, 0),
        _ => {
            // CPython puts the odd one to the left if the width is odd too.
            let before = margin / 2 + (margin & (length + margin) & 1);
            (before, margin - before)
        }
    })
}

fn expand_tabs(of: &str, size: usize, meter: &Meter) -> Outcome<Value> {
    meter.fits(of.matches('\t').count().saturating_mul(size).saturating_add(of.len()))?;
    let (mut out, mut column) = (String::new(), 0);
    for character in of.chars() {
        match character {
            '\t' => {
                let spaces = if size > 0 { size - column % size } else { 0 };
                out.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            _ => {
                out.push(character);
                column = if matches!(character, '\n' | '\r') { 0 } else { column + 1 };
            }
        }
    }
    meter.text(out)
}

fn encode(of: &str, args: Args, what: &str, meter: &Meter) -> Outcome<Value> {
    let args = args.bind(what, ["encoding", "errors"], 0)?;
    let encoding = args.0[0].as_ref().map_or(Ok(Text::fixed("utf-8")), |_| args.str(0))?;
    meter.plain(of)?;
    match encoding.as_str().to_ascii_lowercase().replace('_', "-").as_str() {
        "utf-8" | "utf8" => Ok(Value::Bytes(Rc::from(of.as_bytes()))),
        "ascii" | "us-ascii" if of.is_ascii() => Ok(Value::Bytes(Rc::from(of.as_bytes()))),
        other => Err(fault(format!("{what} cannot write this text as {other:?}"))),
    }
}
