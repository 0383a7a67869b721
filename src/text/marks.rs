//! What callers typed is told from what the template wrote, so that no caller's text becomes a special
//! token.
//!
//! A template compares, splits and strips the messages that it is given, and it must find in them what it
//! looks for: `'</think>' in content`. But where `</think>` is a special token and a caller typed it, it
//! stays text. So each character of a special token in a caller's string is replaced by a *twin*, a
//! private-use character that occurs nowhere else, before the template runs. A twin stands for one
//! character, so that indices, slices and loops need nothing more. What looks at texts is run so that it
//! sees the characters themselves:
//!
//! ```text
//! comparison, test:   on the plain texts
//! filter, method:     want = on the plain texts
//!                     got  = on the texts with twins, then with tokens in its arguments coded likewise; if got, decoded, is want: got
//!                     else   want, all of it coded: it is the right text, and no part of it becomes a special token
//! ```
//!
//! At the end each row of twins becomes one *mark*, which
//! [`Tokenizer::encode_rendered`](crate::tokenizer::Tokenizer::encode_rendered) replaces by the text once
//! the special tokens are found. Tokens that are added but not special are found in callers' strings as
//! well, as they are in any text.
//!
//! An assistant's message is a caller's string too. Special tokens in it that the template leaves there are
//! text: a model's own special tokens are no part of the text of its answer, and whoever writes a history
//! must not be able to forge them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::error::{Error, Result};

/// What a template made of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// The text with its marks; empty where there are none.
    pub(crate) marked: String,
    pub(crate) marks: Vec<Mark>,
}

/// A character that stands for a text that a caller typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) sign: char,
    pub(crate) text: String,
}

/// Twins of the characters that special tokens are made of.
#[derive(Debug)]
pub(crate) struct Coding {
    /// The special tokens by their last character.
    special: HashMap<char, Vec<Vec<char>>>,
    twins: BTreeMap<char, char>,
    originals: HashMap<char, char>,
}

impl Coding {
    /// A coding for these strings; `None` if no special token is in any of them. No twin is one of the
    /// `taken` characters.
    ///
    /// Errors: `BAD_INPUT` if too few private-use characters are free.
    pub(crate) fn of(strings: &[&str], special: &[(String, u32)], taken: &HashSet<char>) -> Result<Option<Coding>> {
        let texts: BTreeSet<&str> = special.iter().map(|(text, _)| text.as_str()).filter(|text| !text.is_empty()).collect();
        if !texts.iter().any(|text| strings.iter().any(|string| string.contains(text))) {
            return Ok(None);
        }
        let alphabet: BTreeSet<char> = texts.iter().flat_map(|text| text.chars()).collect();
        let used: HashSet<char> = strings
            .iter()
            .flat_map(|string| string.chars())
            .chain(alphabet.iter().copied())
            .filter(|&character| is_private(character))
            .collect();
        let mut free = free(|character| taken.contains(&character) || used.contains(&character));
        let twins = alphabet
            .into_iter()
            .map(|character| Some((character, free.next()?)))
            .collect::<Option<BTreeMap<_, _>>>()
            .ok_or_else(none_free)?;
        let mut special: HashMap<char, Vec<Vec<char>>> = HashMap::new();
        for text in texts {
            let text: Vec<char> = text.chars().collect();
            special.entry(text[text.len() - 1]).or_default().push(text);
        }
        let originals = twins.iter().map(|(character, twin)| (*twin, *character)).collect();
        Ok(Some(Coding { special, twins, originals }))
    }

    /// A caller's string, its special tokens as twins. A template may take these out: what would then be
    /// one is coded as well (`<|e<s>nd|>`).
    pub(crate) fn coded(&self, text: &str) -> String {
        let mut characters: Vec<char> = text.chars().collect();
        // The places that are left without what was found so far.
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

    /// A text in which nothing can be part of a special token.
    pub(crate) fn coded_whole(&self, text: &str) -> String {
        text.chars().map(|character| *self.twins.get(&character).unwrap_or(&character)).collect()
    }

    /// The characters that the twins stand for.
    pub(crate) fn originals(&self) -> &HashMap<char, char> {
        &self.originals
    }

    pub(crate) fn decoded(&self, text: &str) -> String {
        text.chars().map(|character| *self.originals.get(&character).unwrap_or(&character)).collect()
    }

    pub(crate) fn is_coded(&self, text: &str) -> bool {
        text.chars().any(|character| is_private(character) && self.originals.contains_key(&character))
    }

    /// The text that was rendered: rows of twins become marks.
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
    /// A text in which nobody typed a special token.
    pub(crate) fn plain(text: String) -> Rendered {
        Rendered { text, marked: String::new(), marks: Vec::new() }
    }
}

/// Text as somebody typed it, marked.
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
