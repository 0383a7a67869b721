//! Translates the patterns of tokenizer files, which are in Ruby's syntax, for the engine that searches them.
//!
//! The reference (tokenizers 0.23.3 for Python) compiles patterns with Oniguruma 6.9, whose syntax is
//! Ruby's. The engine here (`fancy-regex`) gives some constructs another meaning, silently. In Ruby `X{2}+`
//! repeats and is not possessive, `^` and `$` match at every line, `(?m:.)` matches newlines, `\h` is a
//! hexadecimal digit, and `(?i:ss)` also matches `ß`. So a pattern is parsed by Ruby's rules (`parse`,
//! `group`, `class`) and printed with constructs that mean the same to the engine (`print`):
//!
//! ```text
//! \p{N}{1,3}+      (?:\p{N}{1,3})+
//! ^\s+             (?m:^)\s+
//! (?m:he.)         he(?s:.)
//! a(?i)b|c         a(?:(?i:b)|(?i:c))
//! ```
//!
//! A pattern without a translation is refused, and the error names the construct: `\y`, callouts, absent
//! groups, groups that call themselves.
//!
//! Source: Oniguruma's `doc/RE`; `tests/golden/make_patterns.py` compares with the reference.

use std::borrow::Cow;

mod class;
mod fold;
mod group;
mod parse;
mod print;
mod property;

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    /// A character; `fold` ignores case.
    Char { char: char, fold: bool },
    /// A set of characters, in the engine's syntax.
    Set(String),
    /// Another construct, in the engine's syntax, and the fewest characters that it matches.
    Engine { text: Cow<'static, str>, chars_min: usize },
    /// `^`
    LineStart,
    /// A sequence of parts.
    Row(Vec<Node>),
    /// Alternatives: the first that matches.
    Choice(Vec<Node>),
    /// A capturing group.
    Capture { group: usize, inner: Box<Node> },
    /// `(?>...)`
    Atomic(Box<Node>),
    /// Look-ahead and look-behind: `(?=`, `(?!`, `(?<=`, `(?<!`.
    Look { open: &'static str, inner: Box<Node> },
    /// `{min,max}`, and `*`, `+`, `?`.
    Repeat { inner: Box<Node>, min: u32, max: Option<u32>, lazy: bool, possessive: bool },
    /// A back-reference: the text that a group matched.
    Back { group: usize, fold: bool },
    /// A call: the pattern of a group, repeated here.
    Call { group: usize },
    /// `(?(1)yes|no)`
    If { group: usize, yes: Box<Node>, no: Box<Node> },
}

/// Translates a pattern from Ruby's syntax to the engine's.
///
/// Errors: the fault in the pattern, or the construct that has no translation.
pub(super) fn translate(pattern: &str) -> Result<String, String> {
    let parsed = parse::parse(pattern)?;
    print::print(&parsed)
}

/// The end of the error for a construct without a translation.
pub(super) const UNSUPPORTED: &str = " is not supported";

fn unsupported<T>(construct: impl std::fmt::Display) -> Result<T, String> {
    Err(format!("{construct}{UNSUPPORTED}"))
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};
    use serde::Deserialize;
    use tokenizers::pattern::Pattern as _;

    use super::translate;
    use crate::tokenizer::pattern::{Bounded, StepLimit};

    /// A text, its pieces, and its pieces without the matches.
    type Cut = (String, Vec<String>, Vec<String>);

    /// Made by `tests/golden/make_patterns.py` with tokenizers 0.23.3.
    #[derive(Deserialize)]
    struct Golden {
        patterns: Vec<(String, Option<Vec<Cut>>)>,
        sets: Vec<(String, u64, String)>,
    }

    fn golden() -> Golden {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/patterns.json");
        serde_json::from_slice(&std::fs::read(path).expect("golden values")).expect("golden values")
    }

    #[test]
    fn patterns_cut_texts_as_the_reference_does() {
        let mut different = Vec::new();
        for (pattern, texts) in golden().patterns {
            let bounded = match (Bounded::new("pre_tokenizer", &pattern), &texts) {
                (Err(_), None) => continue,
                (Err(error), Some(_)) => {
                    different.push(error.to_string());
                    continue;
                }
                (Ok(_), None) => {
                    different.push(format!("{pattern}: the reference refuses it"));
                    continue;
                }
                (Ok(bounded), Some(_)) => bounded,
            };
            for (text, isolated, removed) in texts.into_iter().flatten() {
                let limit = StepLimit::of(&text);
                let search = bounded.within(&limit);
                let found = (&search).find_matches(&text).expect("pieces");
                let pieces = |all: bool| -> Vec<&str> {
                    let kept = found.iter().filter(|((start, end), is_match)| start < end && (all || !is_match));
                    kept.map(|((start, end), _)| &text[*start..*end]).collect()
                };
                if pieces(true) != isolated || pieces(false) != removed {
                    different.push(format!("{pattern} in {text:?}: {:?} for {isolated:?}", pieces(true)));
                }
            }
        }
        assert!(different.is_empty(), "{}", different.join("\n"));
    }

    #[test]
    fn sets_hold_the_characters_of_the_reference() {
        for (pattern, count, hash) in golden().sets {
            let mut set = super::class::characters(&translate(&pattern).expect("a pattern")).expect("a set");
            set.intersect(&ClassUnicode::new([ClassUnicodeRange::new('\0', '\u{31FFF}')]));
            let (mut counted, mut hashed) = (0, 0xCBF2_9CE4_8422_2325_u64);
            for range in set.ranges() {
                let (first, last) = (u32::from(range.start()), u32::from(range.end()));
                let surrogates = if first < 0xD800 && last > 0xDFFF { 2048 } else { 0 };
                counted += u64::from(last - first + 1 - surrogates);
                for byte in [first, last].into_iter().flat_map(u32::to_le_bytes) {
                    hashed = (hashed ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
                }
            }
            assert_eq!((counted, format!("{hashed:016x}")), (count, hash), "{pattern}");
        }
    }

    #[test]
    fn constructs_without_a_translation_are_named() {
        for (pattern, construct) in [
            (r"\ya", r"\y, the edge of a text segment,"),
            (r"(?~ab)", "an absent group (?~...)"),
            (r"(?{x})", "a callout (?{...})"),
            (r"(*FAIL)", "a callout (*...)"),
            (r"(?<x>a\g<x>?)", "a group that calls itself"),
            (r"\g<0>", r"\g<0>, a pattern inside itself,"),
            (r"(?<x>a)|(?<x>b)", "a second group named <x>"),
            (r"(?<x>a)\k<x+0>", "a reference with a level <x+0>"),
            (r"(?y{g})\X", "the option (?y)"),
            (r"\p{InBasicLatin}", r"the property \p{InBasicLatin}"),
            (r"\xE3\x81\x82", r"\xE3, a byte of a character,"),
            (r"\M-a", r"\M-, a meta character,"),
        ] {
            assert_eq!(translate(pattern), Err(format!("{construct} is not supported")));
        }
    }

    #[test]
    fn published_patterns_stay_as_they_are_but_for_their_spelling() {
        for (pattern, translated) in [
            (r" ?\p{L}+|\s+(?!\S)|\s+", r"(?:\x{20}?\p{l}+|\s+(?!\S)|\s+)"),
            (r"\p{N}{1,3}+", r"(?:\p{n}{1,3})+"),
            (r"^\s+|^", r"(?:(?m:^)\s+|(?:\A|(?m:^)(?!\z)))"),
            (r"(?i:'s|[sd])", r"(?:(?i:\x{27}s)|[DSdsſ])"),
        ] {
            assert_eq!(translate(pattern).as_deref(), Ok(translated));
        }
    }

    #[test]
    fn patterns_that_grow_are_refused() {
        for pattern in
            [format!("(?i:{})", "f".repeat(60)), "(a)".to_owned() + &(1..20).map(|n| format!(r"(\g<{n}>\g<{n}>)")).collect::<String>()]
        {
            assert!(translate(&pattern).is_err(), "{pattern}");
        }
    }
}
