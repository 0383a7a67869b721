//! Characters that equal several characters when case is ignored: `ß` and `ss`, `ﬁ` and `fi`.
//!
//! The engine ignores case character by character. Oniguruma also matches `(?i:ss)` with `ß`, and `(?i:ß)`
//! with `ss`.
//!
//! Source: Unicode's CaseFolding.txt, status F. The full folding of a character is its lower case, in upper
//! case, in lower case again, by the tables of the standard library.

use regex_syntax::hir::ClassUnicode;

/// The ranges that hold all characters with a full folding.
const WITHIN: [std::ops::RangeInclusive<char>; 3] = ['\u{DF}'..='\u{587}', '\u{1E96}'..='\u{1FFC}', '\u{FB00}'..='\u{FB17}'];

/// The full folding of a character; `None` if it is one character.
pub(super) fn full(char: char) -> Option<String> {
    if !WITHIN.iter().any(|range| range.contains(&char)) {
        return None;
    }
    let folded: String = char.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
    (folded.chars().nth(1).is_some()).then_some(folded)
}

/// All characters with a full folding, and the folding.
pub(super) fn all() -> impl Iterator<Item = (char, String)> {
    WITHIN.into_iter().flatten().filter_map(|char| Some((char, full(char)?)))
}

/// The full foldings of the characters of a set.
pub(super) fn longer(set: &ClassUnicode) -> Vec<String> {
    let holds = |char: char| set.ranges().iter().any(|range| (range.start()..=range.end()).contains(&char));
    let mut longer: Vec<String> = all().filter(|(char, _)| holds(*char)).map(|(_, folded)| folded).collect();
    longer.sort_unstable();
    longer.dedup();
    longer
}
