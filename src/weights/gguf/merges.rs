//! The merges of a vocabulary: which two tokens become one, the first rule that applies first.
//!
//! SentencePiece has no merges: it joins the two neighbours whose joined token has the best score. As rules,
//! these are all ways to cut a token into two others, by the score of the token.

use std::cmp::Ordering;
use std::collections::HashMap;

use super::super::{bad, reserve};
use super::metadata::{Metadata, Numbers, Texts, Value, place};
use super::vocabulary::{Kind, Vocabulary};
use crate::error::Result;
use crate::json::show;

/// The key of the merges.
pub(super) const KEY: &str = "tokenizer.ggml.merges";
const SCORES: &str = "tokenizer.ggml.scores";

/// The longest token of which all cuts are tried, in bytes: their number times their length is the work.
const TOKEN_BYTES_MAX: usize = 256;

/// A way to cut a token into two others.
#[derive(Clone, Copy)]
struct Merge {
    score: f32,
    id: u32,
    /// Where the token is cut, in characters and in bytes, and the characters after that.
    left_chars: u16,
    right_chars: u16,
    at: u16,
}

/// Calls `merge` with the two tokens of each line of the file, `a b`.
///
/// Errors: `BAD_FILE` with the entry, if a line is no merge or a token of it is not in `ids`.
pub(super) fn each(metadata: &Metadata, lines: &Texts, ids: &HashMap<&str, usize>, merge: &mut impl FnMut(&str, &str)) -> Result<()> {
    let mut joined = String::new();
    for (entry, line) in lines.iter().enumerate() {
        let wrong =
            |expected: &str, got: &str| bad(metadata.file(), &format!("{}, entry {entry}", place(KEY)), expected, show(&got.into()));
        // A token may begin with the space.
        let after_first = line.chars().next().map_or(0, char::len_utf8);
        let Some((left, right)) = line[after_first..].find(' ').map(|at| (&line[..after_first + at], &line[after_first + at + 1..])) else {
            return Err(wrong("two tokens with a space between them", line));
        };
        joined.clear();
        joined.extend([left, right]);
        if let Some(unknown) = [left, right, &joined].into_iter().find(|token| !ids.contains_key(token)) {
            return Err(wrong("tokens of the vocabulary", unknown));
        }
        merge(left, right);
    }
    Ok(())
}

/// Calls `merge` for every way to cut a token into two others, the token with the best score first.
///
/// Of equal scores, the longer first part goes first, then the longer second, then the order of the tokens.
/// Gemma has other scores: its tokens stand in the order of their merges.
///
/// Source: transformers 5.24, `generate_merges` in `tokenization_utils_base.py`, and `gemma_tokenizer` in
/// `integrations/gguf/gguf_tokenizer_mapping.py`.
pub(super) fn of_scores(
    metadata: &Metadata,
    vocabulary: &Vocabulary,
    texts: &[&str],
    ids: &HashMap<&str, usize>,
    merge: &mut impl FnMut(&str, &str),
) -> Result<()> {
    let by_place = metadata.text("general.architecture")?.is_some_and(|name| name.starts_with("gemma"));
    let scores = scores(metadata, texts.len())?;
    let mut merges: Vec<Merge> = Vec::new();
    for (id, text) in texts.iter().enumerate() {
        if matches!(vocabulary.kind(id), Kind::Byte) || text.len() > TOKEN_BYTES_MAX {
            continue;
        }
        let score = if by_place { -(id as f32) } else { scores[id] };
        let chars = text.chars().count() as u16;
        let first = merges.len();
        for (left_chars, (at, _)) in text.char_indices().enumerate().skip(1) {
            let (left, right) = text.split_at(at);
            if ids.contains_key(left) && ids.contains_key(right) {
                let left_chars = left_chars as u16;
                reserve_one(&mut merges)?;
                merges.push(Merge { score, id: id as u32, left_chars, right_chars: chars - left_chars, at: at as u16 });
            }
        }
        let parts = |merge: &Merge| {
            let (left, right) = text.split_at(merge.at as usize);
            (ids[left], ids[right])
        };
        merges[first..].sort_by_key(parts);
    }
    // A stable sort, so that equals stay in their order.
    merges.sort_by(|a, b| {
        let by_score = b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal);
        by_score.then(b.left_chars.cmp(&a.left_chars)).then(b.right_chars.cmp(&a.right_chars))
    });
    for cut in merges {
        let (left, right) = texts[cut.id as usize].split_at(cut.at as usize);
        merge(left, right);
    }
    Ok(())
}

fn reserve_one(merges: &mut Vec<Merge>) -> Result<()> {
    if merges.len() < merges.capacity() { Ok(()) } else { reserve(merges, merges.len().max(1 << 12), "the merges of a tokenizer") }
}

/// The score of each token.
fn scores(metadata: &Metadata, tokens: usize) -> Result<Vec<f32>> {
    let expected = format!("a score for each of {tokens} tokens");
    let got = |numbers: Option<&Numbers>| numbers.map_or("nothing".into(), |numbers| format!("{} of them", numbers.len()));
    let numbers = metadata.numbers(SCORES)?;
    let Some(numbers) = numbers.filter(|numbers| numbers.len() == tokens) else {
        return Err(metadata.bad(SCORES, &expected, got(numbers)));
    };
    let mut scores = Vec::new();
    reserve(&mut scores, tokens, "the scores of tokens")?;
    for (id, score) in numbers.iter().enumerate() {
        match score {
            Value::Float(score) if !score.is_nan() => scores.push(score as f32),
            other => return Err(bad(metadata.file(), &format!("{}, entry {id}", place(SCORES)), "a number", other.show())),
        }
    }
    Ok(scores)
}
