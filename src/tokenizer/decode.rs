//! Token ids to text, one token at a time.
//!
//! The library decodes whole sequences. Its `DecodeStream` decodes a window again for each token and
//! compares. That fails on bytes that form a character only later, holds text back for ever after an invalid
//! character, and grows with special tokens. But every decoder that Fireside supports has two plain steps.
//! Each token becomes bytes by itself (it matters whether it is the first), and the bytes become characters.
//! This module does just that: constant work for each token, and a character is returned with its last byte.
//!
//! ```text
//! bytes of a token:  none if it is special
//!                    <0xE4>            -> that byte              (byte fallback)
//!                    "▁Hello"          -> " Hello"               (stages, such as Replace)
//!                    "Ġä½ł"            -> " \xE4\xBD\xA0"        (byte level: through the alphabet)
//! text:              the whole characters of the bytes so far; invalid bytes become U+FFFD
//!                    without the leading space of the text (Strip after Fuse)
//! ```
//!
//! A valid text is the same as the library's. For invalid bytes the library replaces the whole run of bytes,
//! with characters that were already shown. Here only the invalid bytes are replaced.

use tokenizers::Decoder as _;
use tokenizers::decoders::DecoderWrapper;

use super::{Tokenizer, bad};
use crate::error::{Error, Result};

/// How tokens become bytes: the decoder of the file, in parts.
pub(super) struct Decoding {
    /// The stages that depend on one token, and on whether it is the first.
    stages: Vec<DecoderWrapper>,
    /// How bytes are written in the vocabulary.
    bytes: Bytes,
    /// A character to remove from the start of the text, at most this many times.
    lead: (char, usize),
    /// The text between tokens.
    separator: &'static str,
}

#[derive(Clone, Copy, PartialEq)]
enum Bytes {
    /// Tokens are text.
    None,
    /// A byte is the token `<0xE4>`.
    Fallback,
    /// Each byte is a printable character.
    Level,
}

impl Decoding {
    /// Reads a decoder.
    ///
    /// Errors: `BAD_TOKENIZER` for a decoder that cannot work token by token.
    pub(super) fn new(decoder: Option<&DecoderWrapper>) -> Result<Self> {
        let mut decoding = Decoding { stages: Vec::new(), bytes: Bytes::None, lead: (' ', 0), separator: "" };
        match decoder {
            Some(decoder) => decoding.add(decoder, &mut false)?,
            None => decoding.separator = " ",
        }
        Ok(decoding)
    }

    fn add(&mut self, decoder: &DecoderWrapper, fused: &mut bool) -> Result<()> {
        let unsupported = |name: &str| Err(bad("decoder", "a sequence of stages that Fireside supports", name));
        match decoder {
            DecoderWrapper::Sequence(sequence) => sequence.get_decoders().iter().try_for_each(|stage| self.add(stage, fused))?,
            DecoderWrapper::Fuse(_) => *fused = true,
            DecoderWrapper::ByteFallback(_) if !*fused => self.bytes = Bytes::Fallback,
            DecoderWrapper::ByteLevel(_) if !*fused => (self.bytes, *fused) = (Bytes::Level, true),
            DecoderWrapper::Strip(strip) if strip.stop > 0 => return unsupported("Strip at the end"),
            DecoderWrapper::Strip(strip) if *fused => self.lead = (strip.content, strip.start),
            DecoderWrapper::Strip(_) | DecoderWrapper::Replace(_) | DecoderWrapper::Metaspace(_) | DecoderWrapper::WordPiece(_)
                if !*fused =>
            {
                self.stages.push(decoder.clone());
            }
            DecoderWrapper::BPE(_) => return unsupported("BPEDecoder"),
            DecoderWrapper::CTC(_) => return unsupported("CTC"),
            _ => return unsupported("a stage after Fuse or ByteLevel"),
        }
        Ok(())
    }

    /// Appends the bytes of a token. Returns whether they are raw, so that they may be part of a character.
    pub(super) fn append(&self, token: String, first: bool, out: &mut Vec<u8>) -> Result<bool> {
        if self.bytes == Bytes::Fallback
            && let Some(byte) = fallback_byte(&token)
        {
            out.push(byte);
            return Ok(true);
        }
        // A stage treats the first token of a list as the first of the text, so another one precedes it
        // otherwise.
        let mut chain = if first { vec![token] } else { vec![String::new(), token] };
        for stage in &self.stages {
            chain = stage.decode_chain(chain).map_err(|error| bad("decoder", "a stage that can decode every token", error))?;
        }
        let token = chain.pop().unwrap_or_default();
        if !first {
            out.extend_from_slice(self.separator.as_bytes());
        }
        let start = out.len();
        if self.bytes == Bytes::Level {
            for character in token.chars() {
                match level_byte(character) {
                    Some(byte) => out.push(byte),
                    None => {
                        // A character outside the alphabet: the token is text.
                        out.truncate(start);
                        break;
                    }
                }
            }
            if out.len() > start || token.is_empty() {
                return Ok(true);
            }
        }
        out.extend_from_slice(token.as_bytes());
        Ok(self.bytes == Bytes::Level)
    }
}

/// `<0xE4>` is the byte E4.
fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?
}

/// The byte of a character of the byte-level alphabet.
///
/// Source: GPT-2, `encoder.py`, `bytes_to_unicode`. Printable bytes stand for themselves, the others begin
/// at U+0100.
fn level_byte(character: char) -> Option<u8> {
    match u32::from(character) {
        code @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => u8::try_from(code).ok(),
        code @ 0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        code @ 0x121..=0x142 => u8::try_from(code - 0x121 + 0x7F).ok(),
        0x143 => Some(0xAD),
        _ => None,
    }
}

/// Turns a stream of ids into a stream of text. [`Tokenizer::decoder`] makes it.
#[derive(Debug, Clone)]
pub struct Decoder {
    skip_special: bool,
    /// Whether the next token is the first.
    first: bool,
    /// The bytes of an incomplete character; at most 3.
    pending: Vec<u8>,
    /// What is still to be removed from the start of the text.
    lead: (char, usize),
    /// Whether each invalid byte becomes a U+FFFD, or each invalid character.
    each_byte: bool,
}

impl Decoder {
    pub(super) fn new(decoding: &Decoding, skip_special: bool) -> Self {
        let each_byte = decoding.bytes == Bytes::Fallback;
        Decoder { skip_special, first: true, pending: Vec::new(), lead: decoding.lead, each_byte }
    }

    /// Whether the text has not begun yet.
    pub(super) fn at_start(&self) -> bool {
        self.first || self.lead.1 > 0
    }

    /// The text that `id` completes. It is empty while a character is incomplete, and for a special token.
    ///
    /// Errors: `BAD_INPUT` for an id that the tokenizer does not have.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> Result<String> {
        if id as usize >= tokenizer.vocab {
            return Err(unknown(id, tokenizer.vocab));
        }
        if tokenizer.is_special(id) {
            let Some(token) = tokenizer.inner.get_added_vocabulary().get_added_tokens_decoder().get(&id).filter(|_| !self.skip_special)
            else {
                return Ok(String::new());
            };
            (self.first, self.lead.1) = (false, 0);
            return Ok(self.finish() + &token.content);
        }
        // An id that the vocabulary skips has no text.
        let Some(token) = tokenizer.inner.id_to_token(id) else { return Ok(String::new()) };
        let held = self.pending.len();
        let mut bytes = std::mem::take(&mut self.pending);
        let raw = tokenizer.decoding.append(token, self.first, &mut bytes)?;
        self.first = false;
        let mut text = String::new();
        if raw {
            self.characters(&bytes, &mut text);
        } else {
            self.broken(held, &mut text);
            text += &String::from_utf8_lossy(&bytes[held..]);
        }
        Ok(self.less_lead(text))
    }

    /// Ends the text: returns U+FFFD for an incomplete character, or nothing.
    pub fn finish(&mut self) -> String {
        let mut text = String::new();
        let held = std::mem::take(&mut self.pending).len();
        self.broken(held, &mut text);
        self.less_lead(text)
    }

    /// Appends whole characters to the text, replaces invalid ones, and keeps an incomplete one.
    fn characters(&mut self, mut bytes: &[u8], text: &mut String) {
        while let Err(error) = std::str::from_utf8(bytes) {
            let (whole, rest) = bytes.split_at(error.valid_up_to());
            text.push_str(&String::from_utf8_lossy(whole));
            let Some(length) = error.error_len() else {
                self.pending = rest.to_vec();
                return;
            };
            self.broken(length, text);
            bytes = &rest[length..];
        }
        text.push_str(&String::from_utf8_lossy(bytes));
    }

    fn broken(&self, bytes: usize, text: &mut String) {
        let count = if self.each_byte { bytes } else { bytes.min(1) };
        text.extend(std::iter::repeat_n(char::REPLACEMENT_CHARACTER, count));
    }

    fn less_lead(&mut self, text: String) -> String {
        let mut rest = text.as_str();
        while self.lead.1 > 0 && !rest.is_empty() {
            match rest.strip_prefix(self.lead.0) {
                Some(stripped) => (rest, self.lead.1) = (stripped, self.lead.1 - 1),
                None => self.lead.1 = 0,
            }
        }
        rest.to_owned()
    }
}

/// The error for an unknown id.
pub(super) fn unknown(id: u32, vocab: usize) -> Error {
    let expected = format!("an id below {vocab}, the size of the vocabulary");
    Error::BadInput { what: "token".into(), expected, got: id.to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// A tokenizer of these tokens, with ids in their order, and this decoder.
    fn tokenizer(tokens: &[&str], decoder: Value) -> Tokenizer {
        let vocab: serde_json::Map<String, Value> = tokens.iter().enumerate().map(|(id, token)| ((*token).to_owned(), json!(id))).collect();
        let added = |id: usize, content: &str, special: bool| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": special});
        let file = json!({
            "version": "1.0",
            "added_tokens": [added(tokens.len(), "<|end|>", true), added(tokens.len() + 1, "<think>", false)],
            "normalizer": null, "pre_tokenizer": null, "post_processor": null,
            "decoder": decoder,
            "model": {"type": "BPE", "vocab": vocab, "merges": []},
        });
        Tokenizer::from_bytes(file.to_string().as_bytes(), None).expect("a tokenizer")
    }

    fn llama(tokens: &[&str]) -> Tokenizer {
        let stages = json!([{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
                            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]);
        tokenizer(tokens, json!({"type": "Sequence", "decoders": stages}))
    }

    /// The pieces of ids, and what was held back.
    fn pieces(tokenizer: &Tokenizer, context: &[u32], ids: &[u32]) -> Vec<String> {
        let mut decoder = tokenizer.decoder(context).expect("a decoder");
        let mut pieces: Vec<String> = ids.iter().map(|&id| decoder.push(tokenizer, id).expect("a piece")).collect();
        pieces.push(decoder.finish());
        pieces
    }

    #[test]
    fn the_byte_level_alphabet_is_that_of_gpt_2() {
        // The 256 characters are distinct, and the library knows the same ones.
        let mut characters: Vec<(u8, char)> = ('\0'..'\u{200}').filter_map(|character| Some((level_byte(character)?, character))).collect();
        characters.sort_unstable();
        assert_eq!(characters.iter().map(|(byte, _)| *byte).collect::<Vec<_>>(), (0..=255).collect::<Vec<u8>>());
        let known = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
        assert!(known.len() == 256 && characters.iter().all(|(_, character)| known.contains(character)));
        assert_eq!((level_byte('Ġ'), level_byte('Ċ'), level_byte('½')), (Some(b' '), Some(b'\n'), Some(0xBD)));
    }

    #[test]
    fn a_character_of_byte_tokens_leaves_with_its_last_byte() {
        let tokenizer = llama(&["<0xE4>", "<0xBD>", "<0xA0>", "▁hi"]);
        assert_eq!(pieces(&tokenizer, &[], &[0, 1, 2, 0, 1, 2, 3]), ["", "", "你", "", "", "你", " hi", ""]);
    }

    #[test]
    fn broken_bytes_become_replacement_characters_and_spare_their_neighbours() {
        let tokenizer = llama(&["<0xE4>", "<0xBD>", "<0xA0>", "▁hi"]);
        assert_eq!(pieces(&tokenizer, &[], &[0, 1, 2, 0, 1]), ["", "", "你", "", "", "\u{FFFD}\u{FFFD}"]);
        assert_eq!(pieces(&tokenizer, &[], &[0, 1, 3]), ["", "", "\u{FFFD}\u{FFFD} hi", ""]);
        assert_eq!(pieces(&tokenizer, &[], &[2, 0, 0, 1, 2]), ["\u{FFFD}", "", "\u{FFFD}", "", "你", ""]);
    }

    #[test]
    fn a_leading_space_stays_unless_it_begins_the_text() {
        let tokenizer = llama(&["▁hi", "a", "▁"]);
        let end = 3;
        assert_eq!(pieces(&tokenizer, &[], &[0, 0]), ["hi", " hi", ""]);
        assert_eq!(pieces(&tokenizer, &[1], &[0, 0]), [" hi", " hi", ""]);
        // A special token alone leaves no text before the piece; the space of a text goes once.
        assert_eq!(pieces(&tokenizer, &[end], &[0]), ["hi", ""]);
        assert_eq!(pieces(&tokenizer, &[], &[2, 0]), ["", " hi", ""]);
        assert_eq!(pieces(&tokenizer, &[2], &[0]), [" hi", ""]);
        assert_eq!(pieces(&tokenizer, &[1, end, end, end, end, end], &[0]), [" hi", ""]);
    }

    #[test]
    fn a_special_token_is_silent_and_interrupts_nothing() {
        let tokenizer = llama(&["<0xE4>", "<0xBD>", "<0xA0>", "▁hi"]);
        let (end, think) = (4, 5);
        assert_eq!(pieces(&tokenizer, &[], &[end, 3, end, 0, 1, end, 2, think, end]), ["", "hi", "", "", "", "", "你", "<think>", "", ""]);
        assert_eq!(tokenizer.decode(&[3, end, 3], false).expect("text"), "hi<|end|> hi");
    }

    #[test]
    fn special_tokens_in_a_character_that_the_prompt_begins_do_not_lose_it() {
        // Found by fuzzing: only the last four tokens of a prompt were looked at, special or not.
        let tokenizer = llama(&["<0xE4>", "<0xBD>", "<0xA0>", "▁hi"]);
        let end = 4;
        assert_eq!(pieces(&tokenizer, &[3, 0, 1, end, end, end, end], &[2]), ["你", ""]);
        assert_eq!(pieces(&tokenizer, &[0, 0, 3, end, end, end, end], &[3]), [" hi", ""]);
    }

    #[test]
    fn byte_level_tokens_give_whole_characters() {
        // "Ġä½" is a space and the first two bytes of 你, "ł" the third; a character outside the alphabet
        // stands for itself.
        let tokenizer =
            tokenizer(&["Ġä½", "ł", "Hi", "<｜end｜>"], json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false}));
        assert_eq!(pieces(&tokenizer, &[], &[2, 0, 1, 2, 3]), ["Hi", " ", "你", "Hi", "<｜end｜>", ""]);
        assert_eq!(pieces(&tokenizer, &[], &[0, 2, 0]), [" ", "\u{FFFD}Hi", " ", "\u{FFFD}"]);
    }

    #[test]
    fn metaspace_wordpiece_and_no_decoder_know_the_first_token() {
        let metaspace =
            tokenizer(&["▁a", "b"], json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}));
        assert_eq!(pieces(&metaspace, &[], &[0, 1, 0]), ["a", "b", " a", ""]);
        assert_eq!(pieces(&metaspace, &[1], &[0]), [" a", ""]);
        let wordpiece = tokenizer(&["a", "##b"], json!({"type": "WordPiece", "prefix": "##", "cleanup": true}));
        assert_eq!(pieces(&wordpiece, &[], &[0, 1, 0]), ["a", "b", " a", ""]);
        let none = tokenizer(&["a", "b"], Value::Null);
        assert_eq!(pieces(&none, &[], &[0, 1]), ["a", " b", ""]);
    }

    #[test]
    fn an_id_beyond_the_vocabulary_is_bad_input() {
        let tokenizer = llama(&["a"]);
        assert_eq!(tokenizer.vocab(), 3);
        assert_eq!(tokenizer.decode(&[0, 3], true).unwrap_err().code(), "BAD_INPUT");
        assert_eq!(tokenizer.decoder(&[u32::MAX]).unwrap_err().code(), "BAD_INPUT");
        assert_eq!(tokenizer.decoder(&[0, 0, 3, 0, 0, 0, 0]).unwrap_err().code(), "BAD_INPUT");
        let mut decoder = tokenizer.decoder(&[]).expect("a decoder");
        assert_eq!(
            decoder.push(&tokenizer, 3).unwrap_err().to_string(),
            "token: expected an id below 3, the size of the vocabulary, got 3."
        );
        assert_eq!(decoder.push(&tokenizer, 0).expect("it goes on"), "a");
    }
}
