//! Spells a stretch of text with the tokens of the vocabulary.
//!
//! A byte-pair vocabulary without an unknown token drops the characters that it lacks (Falcon: most control
//! characters), as the reference does. The library then counts offsets without these characters, and this
//! module corrects them. Other kinds of vocabularies fail: the error names the character.

use tokenizers::models::bpe::BPE;
use tokenizers::{Model, ModelWrapper, Token};

use super::Tokenizer;
use crate::error::Error;

impl Tokenizer {
    /// The tokens of a stretch of text.
    ///
    /// Errors: [`Error::BadInput`] in a box, for a character without a token in a vocabulary without an
    /// unknown token.
    pub(super) fn pieces(&self, text: &str) -> tokenizers::Result<Vec<Token>> {
        let model = self.inner.get_model();
        let mut tokens = model.tokenize(text).map_err(|_| unspelt(model, text))?;
        if let ModelWrapper::BPE(bpe) = model
            && tokens.last().map_or(0, |token| token.offsets.1) < text.len()
        {
            let bytes = kept(bpe, text);
            for token in &mut tokens {
                let (start, end) = token.offsets;
                let place = |at: usize| bytes.get(at).copied().unwrap_or(text.len());
                token.offsets = (place(start), end.checked_sub(1).map_or(0, |last| (place(last) + 1).min(text.len())));
            }
        }
        Ok(tokens)
    }

    /// The tokens of a text, none of them special, even if the vocabulary has a special token as a piece.
    pub(super) fn spell(&self, text: &str) -> tokenizers::Result<Vec<Token>> {
        let mut tokens = Vec::new();
        for token in self.pieces(text)? {
            let spelt = text.get(token.offsets.0..token.offsets.1).unwrap_or_default();
            let first = spelt.chars().next().map_or(0, char::len_utf8);
            if self.is_special(token.id) && spelt.len() > first && self.inner.id_to_token(token.id).as_deref() == Some(spelt) {
                for (part, at) in [(&spelt[..first], token.offsets.0), (&spelt[first..], token.offsets.0 + first)] {
                    let shifted = |token: Token| Token { offsets: (token.offsets.0 + at, token.offsets.1 + at), ..token };
                    tokens.extend(self.spell(part)?.into_iter().map(shifted));
                }
            } else {
                tokens.push(token);
            }
        }
        Ok(tokens)
    }
}

/// The offset in the text of each byte that is not dropped.
fn kept(bpe: &BPE, text: &str) -> Vec<usize> {
    let known = |character: char, last: bool| {
        let suffix = bpe.end_of_word_suffix.as_deref().filter(|_| last).unwrap_or_default();
        let spelt = format!("{character}{suffix}");
        let byte = |byte: u8| bpe.token_to_id(&format!("<0x{byte:02X}>")).is_some();
        bpe.unk_token.is_some() || bpe.token_to_id(&spelt).is_some() || (bpe.byte_fallback && spelt.bytes().all(byte))
    };
    let ranges = text.char_indices().map(|(at, character)| (at, at + character.len_utf8(), character));
    ranges.filter(|&(_, end, character)| known(character, end == text.len())).flat_map(|(at, end, _)| at..end).collect()
}

/// The error for a text that the vocabulary cannot spell.
fn unspelt(model: &ModelWrapper, text: &str) -> Error {
    let stops = |character: &char| model.tokenize(character.encode_utf8(&mut [0; 4])).is_err();
    let got = match text.chars().find(stops) {
        Some(character) => format!("{character:?}. Leave that character out"),
        None => format!("{:?}. Leave that word out", text.chars().take(40).collect::<String>()),
    };
    let expected = "characters that the model's vocabulary has, for it has no unknown token".into();
    Error::BadInput { what: "text".into(), expected, got }
}
