//! The named sets of characters: `\w`, POSIX's names, and the properties of Unicode, in the engine's syntax.

use super::class::characters;
use super::parse::Flags;
use super::unsupported;

/// `[\w]`: Unicode's letters, marks, digits and connectors.
const WORD: &str = r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}]";
/// `\w` outside brackets. There Oniguruma uses a table of Latin-1 for characters below U+0100, which has six
/// more.
const WORD_ALONE: &str = r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE}]";
const ASCII_WORD: &str = "[0-9A-Z_a-z]";

/// `\b` and `\B`.
pub(super) fn boundary(flags: Flags, boundary: bool) -> String {
    let word = if flags.ascii_word { ASCII_WORD } else { WORD_ALONE };
    let (inside, outside) = if boundary { ("(?!", "(?=") } else { ("(?=", "(?!") };
    format!("(?:(?<={word}){inside}{word})|(?<!{word}){outside}{word}))")
}

pub(super) fn word(flags: Flags, alone: bool) -> &'static str {
    match (flags.ascii_word, alone) {
        (true, _) => ASCII_WORD,
        (false, true) => WORD_ALONE,
        (false, false) => WORD,
    }
}

/// All characters that are not in a set.
pub(super) fn complement(set: &str) -> String {
    match set.strip_prefix("\\p") {
        Some(name) => format!("\\P{name}"),
        None if set == "\\s" => "\\S".into(),
        None => format!("[^{set}]"),
    }
}

/// The set with a name of POSIX; `None` for another name.
pub(super) fn posix(name: &str, flags: Flags) -> Option<&'static str> {
    let ascii = match name {
        "alnum" => "[0-9A-Za-z]",
        "alpha" => "[A-Za-z]",
        "ascii" => r"[\x{0}-\x{7F}]",
        "blank" => r"[\t\x{20}]",
        "cntrl" => r"[\x{0}-\x{1F}\x{7F}]",
        "digit" => "[0-9]",
        "graph" => r"[\x{21}-\x{7E}]",
        "lower" => "[a-z]",
        "print" => r"[\x{20}-\x{7E}]",
        "punct" => r"[\x{21}-\x{2F}\x{3A}-\x{40}\x{5B}-\x{60}\x{7B}-\x{7E}]",
        "space" => r"[\t-\r\x{20}]",
        "upper" => "[A-Z]",
        "word" => ASCII_WORD,
        "xdigit" => "[0-9A-Fa-f]",
        _ => return None,
    };
    let own = match name {
        "alnum" => r"[\p{Alphabetic}\p{Nd}]",
        "alpha" => r"\p{Alphabetic}",
        "blank" => r"[\t\p{Zs}]",
        "cntrl" => r"\p{Cc}",
        "digit" => r"\p{Nd}",
        "graph" => r"[^\s\p{Cc}\p{Cn}]",
        "lower" => r"\p{Lowercase}",
        "print" => r"[^\p{Cc}\p{Cn}\p{Zl}\p{Zp}]",
        "punct" => r"[\p{P}\p{S}]",
        "space" => r"\s",
        "upper" => r"\p{Uppercase}",
        "word" => WORD,
        _ => ascii,
    };
    let narrow = match name {
        "word" => flags.ascii_word || flags.ascii_posix,
        "digit" => flags.ascii_digit || flags.ascii_posix,
        "space" => flags.ascii_space || flags.ascii_posix,
        _ => flags.ascii_posix,
    };
    Some(if narrow { ascii } else { own })
}

pub(super) fn property(name: &str, negated: bool, flags: Flags, alone: bool) -> Result<String, String> {
    let plain: String = name.chars().filter(|char| !matches!(char, ' ' | '-' | '_')).flat_map(char::to_lowercase).collect();
    let set = match (&*plain, posix(&plain, flags)) {
        ("any", _) => r"[\x{0}-\x{10FFFF}]".to_owned(),
        ("assigned", _) => r"\P{Cn}".to_owned(),
        ("punct", _) if !flags.ascii_posix => r"\p{P}".to_owned(),
        ("word", _) => word(flags, alone).to_owned(),
        (_, Some(set)) => set.to_owned(),
        _ => format!("\\p{{{plain}}}"),
    };
    let known = plain.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !plain.starts_with("is");
    if !known || characters(&set).is_err() {
        return unsupported(format!("the property \\p{{{name}}}"));
    }
    Ok(match (negated, &*plain) {
        (true, "assigned") => r"\p{Cn}".to_owned(),
        (true, _) => complement(&set),
        (false, _) => set,
    })
}
