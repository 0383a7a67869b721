//! Sets of characters: brackets, and escapes for a character or a set.

use std::fmt::Write as _;

use regex_syntax::hir::{Class as HirClass, ClassUnicode, ClassUnicodeRange, HirKind};

use super::parse::{Flags, Parser};
use super::property::{complement, posix, property, word};
use super::{Node, fold, unsupported};

/// `\R`. It never splits `\r\n`.
pub(super) const NEWLINE: &str = r"(?>\r\n|[\n-\r\x{85}\x{2028}\x{2029}])";

/// `\X`: a grapheme cluster. It begins anywhere and ends at the next boundary of clusters.
///
/// Source: Unicode Standard Annex 29, rules GB3 to GB13. Each alternative is a place that is not a boundary.
pub(super) const CLUSTER: &str = concat!(
    r"(?>(?s:.)(?:(?:(?<=\r)(?=\n)|(?<![\p{gcb=CN}\r\n])(?=[\p{gcb=EX}\p{gcb=ZWJ}\p{gcb=SM}])|(?<=\p{gcb=PP})(?![\p{gcb=CN}\r\n]|\z)",
    r"|(?<=\p{gcb=L})(?=[\p{gcb=L}\p{gcb=V}\p{gcb=LV}\p{gcb=LVT}])|(?<=[\p{gcb=LV}\p{gcb=V}])(?=[\p{gcb=V}\p{gcb=T}])",
    r"|(?<=[\p{gcb=LVT}\p{gcb=T}])(?=\p{gcb=T})|(?<=\p{Extended_Pictographic}\p{gcb=EX}*\p{gcb=ZWJ})(?=\p{Extended_Pictographic})",
    r"|(?<=(?:\A|[^\p{gcb=RI}])\p{gcb=RI}(?:\p{gcb=RI}\p{gcb=RI})*)(?=\p{gcb=RI}))(?s:.))*)"
);

/// How deep brackets may nest.
const DEPTH_MAX: usize = 30;

/// The meaning of an escape.
pub(super) enum Named {
    Char(char),
    /// A set in the engine's syntax, for use inside and outside brackets.
    Set(String),
}

/// A bracket: the characters that are in all of the sets; if it is negated, all other characters.
pub(super) struct Class {
    negated: bool,
    sets: Vec<Vec<Item>>,
}

enum Item {
    Range(char, char),
    Set(String),
    Class(Class),
}

/// Parses an escape for a character or a set after its backslash. `alone` means outside brackets. Returns
/// `None`, with nothing consumed, for another escape.
pub(super) fn escape(parser: &mut Parser, flags: Flags, alone: bool) -> Result<Option<Named>, String> {
    let start = parser.at;
    let Some(char) = parser.next() else { return Err("the pattern ends with a backslash".into()) };
    let set = |text: &str| Ok(Some(Named::Set(text.to_owned())));
    let not = |text: &str| Ok(Some(Named::Set(complement(text))));
    let (word, digit, space) =
        (word(flags, alone), if flags.ascii_digit { "[0-9]" } else { r"\p{Nd}" }, if flags.ascii_space { r"[\t-\r\x{20}]" } else { r"\s" });
    let code = match char {
        'd' => return set(digit),
        'D' => return not(digit),
        's' => return set(space),
        'S' => return not(space),
        'w' => return set(word),
        'W' => return not(word),
        'h' => return set("[0-9A-Fa-f]"),
        'H' => return not("[0-9A-Fa-f]"),
        'p' | 'P' if parser.take("{") => {
            let name = parser.until('}', "the name of a property")?;
            let (name, other) = name.strip_prefix('^').map_or((&*name, false), |name| (name, true));
            return property(name, (char == 'P') != other, flags, alone).map(|set| Some(Named::Set(set)));
        }
        't' => 9,
        'n' => 10,
        'v' => 11,
        'f' => 12,
        'r' => 13,
        'a' => 7,
        'e' => 27,
        '0' => octal(parser, 0, 2),
        'o' if parser.take("{") => {
            let digits = parser.until('}', "an octal escape")?;
            u32::from_str_radix(&digits, 8).map_err(|_| format!("\\o{{{digits}}} is no character"))?
        }
        'x' if parser.take("{") => {
            let digits = parser.until('}', "a hexadecimal escape")?;
            if digits.contains(|char: char| char.is_whitespace() || char == '-') {
                return unsupported(format!("\\x{{{digits}}}, several characters,"));
            }
            u32::from_str_radix(&digits, 16).map_err(|_| format!("\\x{{{digits}}} is no character"))?
        }
        'x' => {
            let code = hex(parser, 2);
            if code > 0x7F {
                return unsupported(format!("\\x{code:02X}, a byte of a character,"));
            }
            code
        }
        'u' => {
            let before = parser.at;
            let code = hex(parser, 4);
            if parser.at < before + 4 {
                return Err("\\u without four hexadecimal digits".into());
            }
            code
        }
        'c' => control(parser)?,
        'C' if parser.take("-") => control(parser)?,
        'M' if parser.take("-") => return unsupported("\\M-, a meta character,"),
        'C' | 'M' => return Err(format!("\\{char} without its character")),
        _ => {
            parser.at = start;
            return Ok(None);
        }
    };
    Ok(Some(Named::Char(scalar(code, "an escape")?)))
}

pub(super) fn scalar(code: u32, what: &str) -> Result<char, String> {
    char::from_u32(code).ok_or_else(|| format!("{what} of {code:X} is no character"))
}

/// Parses up to `more` octal digits after `first`.
pub(super) fn octal(parser: &mut Parser, first: u32, more: usize) -> u32 {
    number(parser, first, more, 8)
}

fn hex(parser: &mut Parser, most: usize) -> u32 {
    number(parser, 0, most, 16)
}

fn number(parser: &mut Parser, mut number: u32, most: usize, radix: u32) -> u32 {
    for _ in 0..most {
        let Some(digit) = parser.peek().and_then(|char| char.to_digit(radix)) else { break };
        number = number * radix + digit;
        parser.at += 1;
    }
    number
}

fn control(parser: &mut Parser) -> Result<u32, String> {
    match parser.next() {
        Some('?') => Ok(0x7F),
        Some('\\') => unsupported("an escape in a control character"),
        Some(char) => Ok(u32::from(char) & 0x9F),
        None => Err("the pattern ends in a control character".into()),
    }
}

/// Parses a bracket after its `[`.
pub(super) fn parse(parser: &mut Parser, flags: Flags, depth: usize) -> Result<Class, String> {
    if depth > DEPTH_MAX {
        return Err(format!("brackets are nested more than {DEPTH_MAX} deep"));
    }
    let mut class = Class { negated: parser.take("^"), sets: vec![Vec::new()] };
    let mut first = true;
    loop {
        let Some(char) = parser.next() else { return Err("a bracket does not end".into()) };
        let item = match char {
            ']' if !(first && parser.text[parser.at..].contains(&']')) => {
                if first {
                    return Err("a bracket is empty".into());
                }
                break;
            }
            '&' if parser.take("&") => {
                class.sets.push(Vec::new());
                first = false;
                continue;
            }
            '[' => match posix_bracket(parser, flags)? {
                Some(set) => Item::Set(set),
                None => Item::Class(parse(parser, flags, depth + 1)?),
            },
            '\\' => element(parser, flags)?,
            char => Item::Range(char, char),
        };
        first = false;
        let item = match item {
            Item::Range(low, _) => range(parser, flags, low)?,
            Item::Set(_) if parser.peek() == Some('-') && !matches!(parser.text.get(parser.at + 1), Some(']') | None) => {
                return Err("a set begins a range".into());
            }
            item => item,
        };
        class.sets.last_mut().expect("one at least").push(item);
    }
    Ok(class)
}

/// Parses the rest of a range after its first character, or returns the character alone.
fn range(parser: &mut Parser, flags: Flags, low: char) -> Result<Item, String> {
    let after = (parser.text.get(parser.at + 1), parser.text.get(parser.at + 2));
    if parser.peek() != Some('-') || matches!(after, (None | Some(']'), _) | (Some('&'), Some('&'))) {
        return Ok(Item::Range(low, low));
    }
    parser.at += 1;
    let high = match parser.next() {
        Some('\\') => element(parser, flags)?,
        Some('[') => return unsupported("a bracket at the end of a range"),
        Some(char) => Item::Range(char, char),
        None => return Err("a bracket does not end".into()),
    };
    match high {
        Item::Range(high, _) if low <= high => Ok(Item::Range(low, high)),
        Item::Range(high, _) => Err(format!("the range {low:?} to {high:?} is empty")),
        _ => Err("a set ends a range".into()),
    }
}

/// Parses an escape in brackets, after its backslash.
fn element(parser: &mut Parser, flags: Flags) -> Result<Item, String> {
    Ok(match escape(parser, flags, false)? {
        Some(Named::Set(set)) => Item::Set(set),
        Some(Named::Char(char)) => Item::Range(char, char),
        None => {
            let char = match parser.next().unwrap_or('\\') {
                'b' => '\u{8}',
                digit @ '1'..='7' => scalar(octal(parser, digit.to_digit(8).unwrap_or(0), 2), "an octal escape")?,
                char => char,
            };
            Item::Range(char, char)
        }
    })
}

/// Parses `[:alpha:]` or `[:^alpha:]` after its first bracket. Returns `None` for a plain bracket.
fn posix_bracket(parser: &mut Parser, flags: Flags) -> Result<Option<String>, String> {
    let inside = &parser.text[parser.at..];
    let end = inside.windows(2).take_while(|two| two[0] != ']').position(|two| two == [':', ']']);
    let Some(end) = end.filter(|&end| end > 0 && inside[0] == ':') else { return Ok(None) };
    let name: String = inside[1..end].iter().collect();
    let (plain, negated) = name.strip_prefix('^').map_or((&*name, false), |name| (name, true));
    let set = posix(plain, flags).ok_or_else(|| format!("[:{name}:] is no set"))?;
    parser.at += end + 2;
    Ok(Some(if negated { complement(set) } else { set.to_owned() }))
}

/// A bracket as a node in the engine's syntax.
pub(super) fn node(class: &Class, ignore_case: bool) -> Result<Node, String> {
    let mut text = String::new();
    write(class, &mut text);
    if !ignore_case {
        return Ok(Node::Set(text));
    }
    // To ignore case, Oniguruma extends the set of the whole bracket, while the engine extends each part of
    // it.
    let mut set = characters(&text)?;
    if class.negated {
        set.negate();
    }
    let longer = if class.negated { Vec::new() } else { fold::longer(&set) };
    set.try_case_fold_simple().map_err(|error| error.to_string())?;
    if class.negated {
        set.negate();
    }
    let one = Node::Set(ranges(&set));
    if longer.is_empty() {
        return Ok(one);
    }
    let spelt = |text: String| Node::Row(text.chars().map(|char| Node::Char { char, fold: true }).collect());
    Ok(Node::Choice(std::iter::once(one).chain(longer.into_iter().map(spelt)).collect()))
}

fn write(class: &Class, out: &mut String) {
    out.push_str(if class.negated { "[^" } else { "[" });
    for (index, set) in class.sets.iter().enumerate() {
        if index > 0 {
            out.push_str("&&");
        }
        // The empty set, for which the engine has no other syntax.
        if set.is_empty() {
            out.push_str(r"[^\x{0}-\x{10FFFF}]");
        }
        let wrap = class.sets.len() > 1 && !set.is_empty();
        if wrap {
            out.push('[');
        }
        for item in set {
            match item {
                Item::Range(low, high) => range_text(*low, *high, out),
                Item::Set(set) => out.push_str(set),
                Item::Class(class) => write(class, out),
            }
        }
        if wrap {
            out.push(']');
        }
    }
    out.push(']');
}

fn range_text(low: char, high: char, out: &mut String) {
    char_text(low, out);
    if low < high {
        out.push('-');
        char_text(high, out);
    }
}

/// Writes a character that matches itself, inside and outside brackets.
pub(super) fn char_text(char: char, out: &mut String) {
    if char.is_alphanumeric() {
        out.push(char);
    } else {
        let _ = write!(out, "\\x{{{:X}}}", u32::from(char));
    }
}

fn ranges(set: &ClassUnicode) -> String {
    let mut text = String::from("[");
    if set.ranges().is_empty() {
        text.push_str(r"^\x{0}-\x{10FFFF}");
    }
    for range in set.ranges() {
        range_text(range.start(), range.end(), &mut text);
    }
    text.push(']');
    text
}

/// The characters of a set in the engine's syntax.
pub(super) fn characters(set: &str) -> Result<ClassUnicode, String> {
    match regex_syntax::parse(set).map(regex_syntax::hir::Hir::into_kind) {
        Ok(HirKind::Class(HirClass::Unicode(set))) => Ok(set),
        Ok(HirKind::Literal(literal)) => {
            let char = std::str::from_utf8(&literal.0).ok().and_then(|text| text.chars().next());
            Ok(ClassUnicode::new(char.map(|char| ClassUnicodeRange::new(char, char))))
        }
        Ok(HirKind::Empty | HirKind::Class(_)) => Ok(ClassUnicode::empty()),
        Ok(other) => Err(format!("{other:?} is no set of characters")),
        Err(error) => Err(error.to_string()),
    }
}
