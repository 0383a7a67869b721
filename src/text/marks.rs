//! Keeps a special token that a caller typed apart from one that the template wrote: the typed one stays
//! text.
//!
//! A template compares, splits and strips the caller's messages, so it must find typed tokens in them, as in
//! `'</think>' in content`. Therefore each character of a special token in a caller's string is replaced by
//! its *twin*, a private-use character that occurs nowhere else, before the template runs. A string is
//! *coded* when its special tokens are replaced by twins, and *decoded* when the characters are back. One
//! twin stands for one character, so indices, slices and loops work on coded strings. `template/coded.rs`
//! runs everything else.
//!
//! In the rendered text each run of twins becomes one *mark*, a private-use character. The tokenizer finds
//! the special tokens first, and then replaces the marks by what was typed. Added tokens that are not
//! special are found in callers' strings too, as in any text.
//!
//! An assistant's message is a caller's string like any other. The model's own special tokens are not in the
//! text of its answers, and a caller who writes a history must not be able to forge them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::error::{Error, Result};

/// The text that a template made of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// The text with marks; empty if there are no marks.
    pub(crate) marked: String,
    pub(crate) marks: Vec<Mark>,
}

/// A private-use character, and the typed text that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) sign: char,
    pub(crate) text: String,
}

/// The twins of all characters of special tokens.
#[derive(Debug)]
pub(crate) struct Coding {
    /// The special tokens by their last character.
    special: HashMap<char, Vec<Vec<char>>>,
    twins: BTreeMap<char, char>,
    originals: HashMap<char, char>,
}

impl Coding {
    /// A coding for these strings; `None` if they hold no special token. No twin is one of the `taken`
    /// characters.
    ///
    /// Errors: `BAD_INPUT` if too few private-use characters are free.
    pub(crate) fn of(strings: &[&str], special: &[(String, u32)], taken: &HashSet<char>) -> Result<Option<Coding>> {
        // Extended, not collected: collecting sorts, and each sort is 2 KB of the download.
        let mut texts: BTreeSet<&str> = BTreeSet::new();
        texts.extend(special.iter().map(|(text, _)| text.as_str()).filter(|text| !text.is_empty()));
        if !texts.iter().any(|text| strings.iter().any(|string| string.contains(text))) {
            return Ok(None);
        }
        let mut alphabet: BTreeSet<char> = BTreeSet::new();
        alphabet.extend(texts.iter().flat_map(|text| text.chars()));
        let used: HashSet<char> = strings
            .iter()
            .flat_map(|string| string.chars())
            .chain(alphabet.iter().copied())
            .filter(|&character| is_private(character))
            .collect();
        let mut free = free(|character| taken.contains(&character) || used.contains(&character));
        let mut twins = BTreeMap::new();
        for character in alphabet {
            twins.insert(character, free.next().ok_or_else(none_free)?);
        }
        let mut special: HashMap<char, Vec<Vec<char>>> = HashMap::new();
        for text in texts {
            let text: Vec<char> = text.chars().collect();
            special.entry(text[text.len() - 1]).or_default().push(text);
        }
        let originals = twins.iter().map(|(character, twin)| (*twin, *character)).collect();
        Ok(Some(Coding { special, twins, originals }))
    }

    /// Codes a caller's string. A template may remove the special tokens, so this also codes what would
    /// become one then (`<|e<s>nd|>`).
    pub(crate) fn coded(&self, text: &str) -> String {
        let mut characters: Vec<char> = text.chars().collect();
        // The indices that remain when the tokens found so far are removed.
        let mut left: Vec<usize> = Vec::new();
        for at in 0..characters.len() {
            left.push(at);
            let ends = |token: &&Vec<char>| {
                left.len() >= token.len() && left[left.len() - token.len()..].iter().map(|&at| &characters[at]).eq(token.iter())
            };
            let found = self.special.get(&characters[at]).into_iter().flatten().filter(ends).map(Vec::len).max();
            for at in left.split_off(left.len() - found.unwrap_or(0)) {
                characters[at] = self.twins[&characters[at]];
            }
        }
        characters.into_iter().collect()
    }

    /// Codes every character that a special token may have.
    pub(crate) fn coded_whole(&self, text: &str) -> String {
        text.chars().map(|character| *self.twins.get(&character).unwrap_or(&character)).collect()
    }

    /// From twins to the characters that they stand for.
    pub(crate) fn originals(&self) -> &HashMap<char, char> {
        &self.originals
    }

    pub(crate) fn decoded(&self, text: &str) -> String {
        text.chars().map(|character| *self.originals.get(&character).unwrap_or(&character)).collect()
    }

    pub(crate) fn is_coded(&self, text: &str) -> bool {
        text.chars().any(|character| is_private(character) && self.originals.contains_key(&character))
    }

    /// Makes marks of the runs of twins in a rendered text.
    ///
    /// Errors: `BAD_INPUT` if too few private-use characters are free.
    pub(crate) fn rendered(&self, coded: &str) -> Result<Rendered> {
        let used: HashSet<char> = coded.chars().filter(|&character| is_private(character)).collect();
        let mut free = free(|character| used.contains(&character));
        let mut signs: HashMap<String, char> = HashMap::new();
        let mut rendered =
            Rendered { text: String::with_capacity(coded.len()), marked: String::with_capacity(coded.len()), marks: Vec::new() };
        let mut characters = coded.chars().peekable();
        while let Some(&next) = characters.peek() {
            let mut typed = String::new();
            while let Some(original) = characters.peek().and_then(|character| self.originals.get(character)) {
                typed.push(*original);
                characters.next();
            }
            if typed.is_empty() {
                rendered.text.push(next);
                rendered.marked.push(next);
                characters.next();
                continue;
            }
            rendered.text += &typed;
            let sign = match signs.get(&typed) {
                Some(sign) => *sign,
                None => {
                    let sign = free.next().ok_or_else(none_free)?;
                    rendered.marks.push(Mark { sign, text: typed.clone() });
                    signs.insert(typed, sign);
                    sign
                }
            };
            rendered.marked.push(sign);
        }
        if rendered.marks.is_empty() {
            rendered.marked.clear();
        }
        Ok(rendered)
    }
}

impl Rendered {
    /// A text without typed special tokens.
    pub(crate) fn plain(text: String) -> Rendered {
        Rendered { text, marked: String::new(), marks: Vec::new() }
    }
}

/// A typed text in which every special token is marked.
pub(crate) fn mark_special(text: &str, special: &[(String, u32)]) -> Result<Rendered> {
    match Coding::of(&[text], special, &HashSet::new())? {
        Some(coding) => coding.rendered(&coding.coded(text)),
        None => Ok(Rendered::plain(text.to_owned())),
    }
}

fn free(is_taken: impl Fn(char) -> bool) -> impl Iterator<Item = char> {
    ('\u{E000}'..='\u{F8FF}').chain('\u{F0000}'..='\u{FFFFD}').filter(move |&character| !is_taken(character))
}

pub(crate) fn is_private(character: char) -> bool {
    matches!(character, '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{FFFFD}')
}

fn none_free() -> Error {
    Error::BadInput {
        what: "messages".into(),
        expected: "text that leaves some private-use characters free".into(),
        got: "text that holds nearly all of them".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn many_nested_tokens_take_a_moment() {
        let special = [("<|end|>".to_owned(), 1), ("</think>".to_owned(), 2)];
        let nested = "<|e".repeat(20_000) + &"nd|>".repeat(20_000);
        assert_eq!(mark_special(&nested, &special).expect("marked").text, nested);
    }
}
