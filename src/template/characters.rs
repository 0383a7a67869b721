//! Character classes and upper and lower case, by Python's rules.
//!
//! Rust and Python both follow Unicode, but their methods use different properties. The tables here are the
//! differences, from `unicodedata` of Python 3.11.

use fancy_regex::Regex;

use super::limits::Meter;
use super::value::{Outcome, fault};

/// Python's `str.isspace`: Rust's white space, and the four ASCII separators.
pub(super) fn is_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\u{1c}'..='\u{1f}')
}

/// Whether `str.splitlines` ends a line at this character.
pub(super) fn ends_line(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Python's `str.splitlines(keep)`.
pub(super) fn lines(text: &str, keep: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(ends_line);
        let (content, whole) = match end {
            Some(at) if rest[at..].starts_with("\r\n") => (at, at + 2),
            Some(at) => (at, at + rest[at..].chars().next().map_or(0, char::len_utf8)),
            None => (rest.len(), rest.len()),
        };
        lines.push(&rest[..if keep { whole } else { content }]);
        rest = &rest[whole..];
    }
    lines
}

/// The letters that Unicode also gives a numeric value.
const NUMERALS: &str = "㐅㒃㠪㭍一七万三九二五亖亿什仟仨伍佰億兆兩八六十千卄卅卌叁参參叄四壱壹幺廾廿弌弍弎弐拾捌柒漆玖百肆萬貮貳贰阡陆陌陸零參拾兩零六陸什𠀁𠁤𠃢𠄡𠤪𠦃𠦌𠦜𠫪𠫽𠬙𢎐𢦘𣬛𦉭廾";

/// Whether a character is a digit but not a decimal one: superscripts, and digits in circles and brackets.
fn is_other_digit(character: char) -> bool {
    matches!(u32::from(character),
        0xb2..=0xb3 | 0xb9 | 0x1369..=0x1371 | 0x19da | 0x2070 | 0x2074..=0x2079 | 0x2080..=0x2089 | 0x2460..=0x2468
        | 0x2474..=0x247c | 0x2488..=0x2490 | 0x24ea | 0x24f5..=0x24fd | 0x24ff | 0x2776..=0x277e | 0x2780..=0x2788
        | 0x278a..=0x2792 | 0x10a40..=0x10a43 | 0x10e60..=0x10e68 | 0x11052..=0x1105a | 0x1f100..=0x1f10a)
}

/// The class of characters that a method such as `str.isalpha` tests for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Class {
    Alpha,
    Alnum,
    Decimal,
    Digit,
    Numeric,
}

/// Whether a text has at least one character, and only characters of the class.
pub(super) fn all_are(class: Class, text: &str, meter: &Meter) -> Outcome<bool> {
    meter.step(text.len())?;
    let alpha = matches!(class, Class::Alpha | Class::Alnum);
    let numeric = matches!(class, Class::Numeric | Class::Alnum);
    let plain = |character: char| (alpha && character.is_ascii_alphabetic()) || (class != Class::Alpha && character.is_ascii_digit());
    let rest: String = text.chars().filter(|&character| !plain(character)).collect();
    if rest.is_empty() {
        return Ok(!text.is_empty());
    }
    if rest.is_ascii() {
        return Ok(false);
    }
    let is_other = |character: char| {
        decimal_digit(character).is_none()
            && !(numeric && (character.is_numeric() || NUMERALS.contains(character)) || class == Class::Digit && is_other_digit(character))
    };
    let rest: String = rest.chars().filter(|&character| class == Class::Alpha || is_other(character)).collect();
    if !alpha || rest.is_empty() {
        return Ok(rest.is_empty());
    }
    // Building the table of letters costs about this many steps.
    meter.step(5000)?;
    matches(r"^\p{L}*$", &rest)
}

fn matches(pattern: &str, text: &str) -> Outcome<bool> {
    let failed = |_| fault("the table of characters could not be made");
    Regex::new(pattern).map_err(failed)?.is_match(text).map_err(failed)
}

/// Python's `str.isidentifier`.
pub(super) fn is_identifier(text: &str, meter: &Meter) -> Outcome<bool> {
    meter.step(text.len() + 5000)?;
    matches(r"^[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Nd}\p{Mn}\p{Mc}\p{Pc}\x{b7}\x{387}]*$", text)
}

/// The code points of the decimal zeros beyond ASCII. The digits 1 to 9 follow each of them.
const ZEROS: [u32; 65] = [
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0,
    0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
    0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50,
    0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

/// The value of a decimal digit.
pub(super) fn decimal_digit(character: char) -> Option<u32> {
    let code = u32::from(character);
    let zero = if code < 128 { 48 } else { *ZEROS.get(ZEROS.partition_point(|zero| *zero <= code).checked_sub(1)?)? };
    code.checked_sub(zero).filter(|digit| *digit < 10)
}

/// Appends a character in title case.
pub(super) fn title(character: char, out: &mut String) {
    let code = u32::from(character);
    let one = |code: u32, out: &mut String| out.extend(char::from_u32(code));
    match code {
        0x1c4..=0x1cc => one(code - (code - 0x1c4) % 3 + 1, out),
        0x1f1..=0x1f3 => one(0x1f2, out),
        0x10d0..=0x10ff | 0x1fbc | 0x1fcc | 0x1ffc => one(code, out),
        0x1f80..=0x1faf => one(code | 8, out),
        0x1fb3 | 0x1fc3 | 0x1ff3 => one(code + 9, out),
        0x149 => out.extend(character.to_uppercase()),
        0x1fb2 | 0x1fb4 | 0x1fb7 | 0x1fc2 | 0x1fc4 | 0x1fc7 | 0x1ff2 | 0x1ff4 | 0x1ff7 => {
            out.extend(character.to_uppercase());
            out.pop();
            out.push('\u{345}');
        }
        _ => {
            let mut upper = character.to_uppercase();
            out.extend(upper.next());
            out.extend(upper.flat_map(char::to_lowercase));
        }
    }
}

fn is_title(character: char) -> bool {
    matches!(u32::from(character),
        0x1c5 | 0x1c8 | 0x1cb | 0x1f2 | 0x1f88..=0x1f8f | 0x1f98..=0x1f9f | 0x1fa8..=0x1faf | 0x1fbc | 0x1fcc | 0x1ffc)
}

fn is_cased(character: char) -> bool {
    character.is_uppercase() || character.is_lowercase() || is_title(character)
}

/// Python's `str.capitalize`.
pub(super) fn capitalize(text: &str) -> String {
    let mut characters = text.chars();
    let mut out = String::with_capacity(text.len());
    if let Some(first) = characters.next() {
        title(first, &mut out);
        // The whole text is lowered, because the form of a final sigma depends on the letters before it.
        let lower = text.to_lowercase();
        let first_lower: usize = first.to_lowercase().map(char::len_utf8).sum();
        out += lower.get(first_lower..).unwrap_or_default();
    }
    out
}

/// Python's `str.title`.
pub(super) fn title_case(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_cased) {
        let word = &rest[start..];
        let end = word.find(|character| !is_cased(character)).unwrap_or(word.len());
        out += &rest[..start];
        out += &capitalize(&word[..end]);
        rest = &word[end..];
    }
    out + rest
}

/// Python's `str.swapcase`.
pub(super) fn swap_case(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // The whole text is lowered, because only the whole text shows which sigma ends a word.
    let lower = text.to_lowercase();
    let is_sigma = |character: &char| matches!(character, '\u{3a3}' | '\u{3c3}' | '\u{3c2}');
    let mut sigmas = lower.chars().filter(is_sigma);
    for character in text.chars() {
        let sigma = if is_sigma(&character) { sigmas.next() } else { None };
        if character == '\u{3a3}' {
            out.extend(sigma);
        } else if character.is_uppercase() {
            out.extend(character.to_lowercase());
        } else if character.is_lowercase() {
            out.extend(character.to_uppercase());
        } else {
            out.push(character);
        }
    }
    out
}

/// Python's `str.casefold`.
pub(super) fn fold(text: &str) -> String {
    let folded = |character: char| -> Vec<char> {
        let code = u32::from(character);
        match code {
            0x131 | 0x13a0..=0x13f5 => vec![character],
            0x13f8..=0x13fd => char::from_u32(code - 8).into_iter().collect(),
            0xab70..=0xabbf => char::from_u32(code - 0xab70 + 0x13a0).into_iter().collect(),
            _ => character.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect(),
        }
    };
    text.chars().flat_map(folded).collect()
}

/// Python's `str.islower` and `str.isupper`.
pub(super) fn is_case(text: &str, upper: bool) -> bool {
    let fits = |character: char| if upper { character.is_uppercase() } else { character.is_lowercase() };
    text.chars().any(fits) && text.chars().filter(|&character| is_cased(character)).all(fits)
}

/// Python's `str.istitle`.
pub(super) fn is_title_case(text: &str) -> bool {
    let (mut inside, mut any) = (false, false);
    for character in text.chars() {
        if character.is_uppercase() || is_title(character) {
            if inside {
                return false;
            }
            (inside, any) = (true, true);
        } else if character.is_lowercase() {
            if !inside {
                return false;
            }
            any = true;
        } else {
            inside = false;
        }
    }
    any
}
