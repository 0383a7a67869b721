//! Searches the regular expressions of a tokenizer's file in bounded time.
//!
//! Most patterns are plain: a search takes time in proportion to the text. Patterns with look-arounds or
//! back-references are searched by backtracking (the `fancy-regex` crate), and a hostile one takes
//! exponential time. The `tokenizers` library allows a million steps for each search and ignores the error,
//! so the tokens are silently wrong. Therefore this module searches, with a limit for the whole text. The
//! patterns are in Ruby's syntax, and are translated first (`ruby`).
//!
//! ```text
//! attempts at a match:  1. 256 steps, enough for a word
//!                       2. 16 thousand steps, counted against the text's limit
//!                       3. a million steps (long runs of spaces), counted too
//!                       otherwise an error
//! ```
//!
//! A published pattern takes one step for each space of a run, or a few for each character that it passes.
//! An attempt has 64 times the steps of the previous one, so the sum stays below the limit of 256 steps a
//! byte. Only one case is not bounded: a plain pattern that reads the whole text for each match (`.*x|.`)
//! takes time with the square of the text, as in every engine.

use std::cell::Cell;
use std::sync::OnceLock;

use fancy_regex::{Assertion, Expr, Regex, RegexBuilder};
use tokenizers::Offsets;
use tokenizers::pattern::Pattern;

use super::{bad, ruby};
use crate::error::{Error, Result};

/// The steps of the three attempts at a match.
const STEPS: [u64; 3] = [256, 16 << 10, 1 << 20];

/// The steps that a text may take in second and third attempts: a constant, and more for each byte.
const STEPS_MIN: u64 = 4 << 20;
const STEPS_PER_BYTE: u64 = 256;

/// The longest published pattern has about 800 bytes.
const BYTES_MAX: usize = 4096;

/// Bytes of an automaton. Those of published patterns, with all letters of Unicode, have some hundred
/// thousand.
const AUTOMATON_BYTES_MAX: usize = 4 << 20;

/// A pattern that is checked.
pub(super) struct Bounded {
    /// The pattern as it is in the file.
    pattern: String,
    /// The pattern in the engine's syntax.
    translated: String,
    place: &'static str,
    /// The compiled pattern for each attempt, compiled when it is needed.
    regexes: [OnceLock<Option<Regex>>; 3],
}

impl Bounded {
    /// A pattern in Ruby's syntax.
    ///
    /// Errors: `BAD_TOKENIZER` if the pattern is invalid or too large; `UNSUPPORTED_MODEL` if it has no
    /// translation.
    pub(super) fn new(place: &'static str, pattern: &str) -> Result<Bounded> {
        if pattern.len() > BYTES_MAX {
            return Err(bad(format!("{place}.pattern"), format!("at most {BYTES_MAX} bytes"), pattern.len()));
        }
        let translated = ruby::translate(pattern).map_err(|fact| refused(place, pattern, &fact))?;
        Bounded::checked(place, pattern, translated)
    }

    /// A pattern that matches one text.
    ///
    /// Errors: `BAD_TOKENIZER` if the text is too long.
    pub(super) fn literal(place: &'static str, text: &str) -> Result<Bounded> {
        Bounded::checked(place, text, fancy_regex::escape(text).into_owned())
    }

    fn checked(place: &'static str, pattern: &str, translated: String) -> Result<Bounded> {
        let regex = regex(&translated, 0).map_err(|error| refused(place, pattern, &error.to_string()))?;
        let regexes = [OnceLock::from(Some(regex)), OnceLock::new(), OnceLock::new()];
        Ok(Bounded { pattern: pattern.into(), translated, place, regexes })
    }

    /// Whether the pattern has neither look-arounds nor back-references, so that a search takes linear time.
    pub(super) fn is_plain(&self) -> bool {
        Expr::parse_tree(&self.translated).is_ok_and(|tree| is_plain(&tree.expr))
    }

    /// Bytes of the pattern in the engine's syntax.
    pub(super) fn bytes(&self) -> usize {
        self.translated.len()
    }

    /// The pattern, for a search in a text with this limit.
    pub(super) fn within<'a>(&'a self, limit: &'a StepLimit) -> Search<'a> {
        Search { pattern: self, limit }
    }
}

fn regex(pattern: &str, attempt: usize) -> fancy_regex::Result<Regex> {
    RegexBuilder::new(pattern).backtrack_limit(STEPS[attempt] as usize).delegate_size_limit(AUTOMATON_BYTES_MAX).build()
}

fn refused(place: &str, pattern: &str, fact: &str) -> Error {
    if let Some(construct) = fact.strip_suffix(ruby::UNSUPPORTED) {
        return Error::UnsupportedModel {
            file: "tokenizer.json".into(),
            field: format!("{place}.pattern"),
            expected: "patterns without it".into(),
            got: format!("{}, with {}", shown(pattern), construct.trim_end_matches(',')),
        };
    }
    bad(format!("{place}.pattern"), "a regular expression that Fireside can search", format!("{} ({fact})", shown(pattern)))
}

fn is_plain(expr: &Expr) -> bool {
    match expr {
        Expr::Empty | Expr::Any { .. } | Expr::Literal { .. } | Expr::Delegate { .. } => true,
        Expr::Assertion(assertion) => {
            matches!(assertion, Assertion::StartText | Assertion::EndText | Assertion::StartLine { .. } | Assertion::EndLine { .. })
        }
        Expr::Concat(parts) | Expr::Alt(parts) => parts.iter().all(is_plain),
        Expr::Group(inner) | Expr::Repeat { child: inner, .. } => is_plain(inner),
        _ => false,
    }
}

/// A pattern as an error shows it: cut after 60 characters.
fn shown(pattern: &str) -> String {
    match pattern.char_indices().nth(60) {
        Some((cut, _)) => format!("\u{201c}{}...\u{201d}", &pattern[..cut]),
        None => format!("\u{201c}{pattern}\u{201d}"),
    }
}

/// The steps that a text may still take.
pub(super) struct StepLimit(Cell<u64>);

impl StepLimit {
    pub(super) fn of(text: &str) -> StepLimit {
        StepLimit(Cell::new(STEPS_MIN + STEPS_PER_BYTE * text.len() as u64))
    }
}

/// A pattern and the limit of the text that it is searched in.
pub(super) struct Search<'a> {
    pattern: &'a Bounded,
    limit: &'a StepLimit,
}

impl Search<'_> {
    /// The first match from an offset on.
    fn find(&self, text: &str, from: usize) -> Result<Option<Offsets>> {
        for (attempt, steps) in STEPS.into_iter().enumerate() {
            let regex = self.pattern.regexes[attempt].get_or_init(|| regex(&self.pattern.translated, attempt).ok());
            let Some(regex) = regex else { break };
            if let Ok(found) = regex.find_from_pos(text, from) {
                return Ok(found.map(|found| (found.start(), found.end())));
            }
            let Some(left) = self.limit.0.get().checked_sub(if attempt == 0 { 0 } else { steps }) else { break };
            self.limit.0.set(left);
        }
        Err(bad(format!("{}.pattern", self.pattern.place), "one that a text takes few steps to match", shown(&self.pattern.pattern)))
    }
}

impl Pattern for &Search<'_> {
    /// Source: `find_iter` of the regex crates. After an empty match the search continues one character
    /// later, and an empty match right after another match does not count.
    fn find_matches(&self, text: &str) -> tokenizers::Result<Vec<(Offsets, bool)>> {
        if text.is_empty() {
            return Ok(vec![((0, 0), false)]);
        }
        let mut pieces = Vec::new();
        let (mut from, mut covered, mut last) = (0, 0, None);
        while from <= text.len() {
            let Some((start, end)) = self.find(text, from)? else { break };
            from = if start == end { end + text[end..].chars().next().map_or(1, char::len_utf8) } else { end };
            if start == end && last == Some(end) {
                continue;
            }
            last = Some(end);
            if covered < start {
                pieces.push(((covered, start), false));
            }
            pieces.push(((start, end), true));
            covered = end;
        }
        if covered < text.len() {
            pieces.push(((covered, text.len()), false));
        }
        Ok(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn pieces(pattern: &str, text: &str) -> Result<Vec<(Offsets, bool)>, String> {
        let pattern = Bounded::new("pre_tokenizer", pattern).expect("a pattern");
        (&pattern.within(&StepLimit::of(text))).find_matches(text).map_err(|error| error.to_string())
    }

    #[test]
    fn pieces_are_those_of_the_library() {
        let text = "a  bé\n 12\n\n  c'll   ";
        for pattern in [r"\s+(?!\S)|\s+", r"\p{N}", r"", r"b*", r"(?<=b).", r"x", r"(?=\s)", r"\b", r" ?\p{L}+|\s+(?!\S)|\s+", r"."] {
            let library = tokenizers::utils::SysRegex::new(pattern).expect("a pattern");
            assert_eq!(pieces(pattern, text).expect("pieces"), (&library).find_matches(text).expect("pieces"), "{pattern}");
            assert_eq!(pieces(pattern, "").expect("pieces"), [((0, 0), false)]);
        }
    }

    #[test]
    fn long_runs_of_spaces_are_within_the_limit() {
        let published = r" ?\p{L}+|\s*[\r\n]+|\s+(?!\S)|\s+";
        for run in [1, 255, 256, 257, 20_000, 200_000] {
            let text = format!("a{}b", " ".repeat(run)).repeat(3);
            let count = pieces(published, &text).expect("pieces").len();
            assert_eq!(count, if run == 1 { 4 } else { 7 }, "{run}");
        }
    }

    #[test]
    fn a_pattern_that_takes_too_many_steps_is_an_error_and_never_a_shorter_list() {
        let long = "a".repeat(40) + "b";
        assert!(pieces("(?:a+)+(?!a)(?=c)", &long).unwrap_err().contains("few steps"));
        let polynomial = "a".repeat(300);
        assert!(pieces("(?:a*a*a*a*)(?!a)c", &polynomial).unwrap_err().contains("few steps"));
    }

    #[test]
    fn plain_patterns_are_told_from_the_others() {
        for plain in ["a+", "(a|b)*c", r"\s{2,}", r"[^\p{L}]$", "(?i:x)"] {
            assert!(Bounded::new("normalizer", plain).expect("a pattern").is_plain(), "{plain}");
        }
        for other in ["a(?=b)", "(a)\\1", "a++", "(?>a)", "(?<!a)b", r"\bx"] {
            assert!(!Bounded::new("normalizer", other).expect("a pattern").is_plain(), "{other}");
        }
    }
}
