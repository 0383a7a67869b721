//! Characters that equal several others where case is ignored: `ß` and `ss`, `ﬁ` and `fi`.
//!
//! The engine ignores case one character by one; Oniguruma also matches `(?i:ss)` with `ß`, and the other way about.
//!
//! Source: Unicode's CaseFolding.txt, status F. A character's full folding is what lowering, raising and lowering it again gives: the standard
//! library has those tables, so that this needs none of its own.

use regex_syntax::hir::ClassUnicode;

/// All characters with a full folding are in these ranges.
const WITHIN: [std::ops::RangeInclusive<char>; 3] = ['\u{DF}'..='\u{587}', '\u{1E96}'..='\u{1FFC}', '\u{FB00}'..='\u{FB17}'];

/// What a character folds to where that is longer than one; `None` elsewhere.
pub(super) fn full(char: char) -> Option<String> {
    if !WITHIN.iter().any(|range| range.contains(&char)) {
        return None;
    }
    let folded: String = char.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
    (folded.chars().nth(1).is_some()).then_some(folded)
}

/// All characters with a full folding, and what they fold to.
pub(super) fn all() -> impl Iterator<Item = (char, String)> {
    WITHIN.into_iter().flatten().filter_map(|char| Some((char, full(char)?)))
}

/// What the characters of a set fold to where that is longer than one.
pub(super) fn longer(set: &ClassUnicode) -> Vec<String> {
    let holds = |char: char| set.ranges().iter().any(|range| (range.start()..=range.end()).contains(&char));
    let mut longer: Vec<String> = all().filter(|(char, _)| holds(*char)).map(|(_, folded)| folded).collect();
    longer.sort_unstable();
    longer.dedup();
    longer
}
