//! Checks the table of a `Precompiled` normalizer before the library uses it.
//!
//! SentencePiece stores its replacements as a trie of bytes (Darts' double array) and a text with all
//! replacements, each ended by a zero byte. The library (`spm_precompiled` 0.1.4) follows the trie's offsets
//! unchecked, and panics if one leads out of the trie or into the middle of a character. So this follows
//! every path of the trie once:
//!
//! ```text
//! base64:  length of the trie in bytes (4 bytes), trie (4 bytes a unit), replacements (the rest)
//! unit:    bits 0 to 7: the byte that leads here; bit 8: a key ends here; bits 10 to 30: the children
//! ```
//!
//! Source: `sentencepiece/src/normalizer.cc`, and Darts-clone's `darts.h`.

use std::collections::VecDeque;

use super::bad;
use crate::error::Result;

/// The limit on a table. Those of XLM-RoBERTa, T5 and mBART have about 240,000 bytes.
const BYTES_MAX: usize = 1 << 20;

const PLACE: &str = "normalizer.precompiled_charsmap";

/// Checks a table. Returns the largest number of bytes that replace one byte.
///
/// Errors: `BAD_TOKENIZER` if some text could lead out of the table.
pub(super) fn check(base64: &str) -> Result<usize> {
    if base64.len() / 4 * 3 > BYTES_MAX {
        return Err(bad(PLACE, format!("at most {BYTES_MAX} bytes"), base64.len() / 4 * 3));
    }
    let bytes = decode(base64).ok_or_else(|| bad(PLACE, "base64", "something else"))?;
    let broken = |fact: &str| bad(PLACE, "a table of replacements as SentencePiece stores it", fact);
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| broken("no length"))?;
    let units = u32::from_le_bytes(*length) as usize / 4;
    let trie = units.checked_mul(4).and_then(|bytes| rest.split_at_checked(bytes));
    let (trie, replacements) = trie.ok_or_else(|| broken("a trie that is longer than the table"))?;
    let trie: Vec<u32> = trie.as_chunks::<4>().0.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
    let replacements = std::str::from_utf8(replacements).map_err(|_| broken("replacements that are not UTF-8"))?;
    walk(&trie, replacements).map_err(broken)
}

/// Follows every path of the trie. Returns the largest ratio of a replacement's bytes to the bytes that it
/// replaces.
fn walk(trie: &[u32], replacements: &str) -> Result<usize, &'static str> {
    const OUT: &str = "a trie that leads out of itself";
    // The offset from a unit to its children.
    let children = |unit: u32| (unit >> 10 << ((unit & 1 << 9) >> 6)) as usize;
    let root = children(*trie.first().ok_or("an empty trie")?);
    let mut seen = vec![false; trie.len()];
    // Breadth first: the shortest path to a unit has the largest ratio.
    let mut open = VecDeque::from([(root, 0)]);
    let mut growth = 1;
    let lengths = lengths(replacements.as_bytes());
    while let Some((place, depth)) = open.pop_front() {
        for byte in 1..=u8::MAX {
            let at = place ^ usize::from(byte);
            let unit = *trie.get(at).ok_or(OUT)?;
            if unit & (1 << 31 | 0xFF) != u32::from(byte) || std::mem::replace(&mut seen[at], true) {
                continue;
            }
            let (inner, depth) = (at ^ children(unit), depth + 1);
            if unit >> 8 & 1 == 1 {
                let value = (*trie.get(inner).ok_or(OUT)? & !(1 << 31)) as usize;
                if !replacements.is_char_boundary(value) {
                    return Err("a replacement that does not begin where a character does");
                }
                growth = growth.max(lengths.get(value).map_or(0, |&length| length as usize).div_ceil(depth));
            }
            open.push_back((inner, depth));
        }
    }
    Ok(growth)
}

/// For each byte, the number of bytes up to the next zero.
fn lengths(bytes: &[u8]) -> Vec<u32> {
    let mut lengths = vec![0u32; bytes.len()];
    let mut length = 0;
    for (at, &byte) in bytes.iter().enumerate().rev() {
        length = if byte == 0 { 0 } else { length + 1 };
        lengths[at] = length;
    }
    lengths
}

/// Decodes base64 with padding.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let plain = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let mut bytes = Vec::with_capacity(plain.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0);
    for &byte in plain {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, held) = (bits << 6 | u32::from(six), held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    (bits == 0).then_some(bytes)
}
