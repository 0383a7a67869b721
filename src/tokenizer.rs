//! Text to token ids and back.
//!
//! The `tokenizers` crate reads `tokenizer.json` exactly as Hugging Face does. Four things are ours:
//!
//! - The file is checked before the crate reads it (`check`, `stages`).
//! - Patterns mean what they mean in Ruby, and a search takes bounded time (`ruby`, `pattern`).
//! - Typed text never becomes a special token ([`Tokenizer::encode_text`], [`Tokenizer::encode_rendered`]).
//! - Decoding works token by token and never returns half a character (`decode`).
//!
//! Where transformers 5 and `tokenizer.json` disagree, Fireside follows `tokenizer.json`:
//!
//! - transformers rebuilds some classes from the vocabulary alone. In `LlamaTokenizer` a leading space of
//!   the text then merges with the added one, nothing is put after a special token (`legacy: false`), and
//!   unknown characters are dropped.
//! - Its `decode` may remove spaces before punctuation (`clean_up_tokenization_spaces`).
//! - It ignores `add_bos_token` and `add_eos_token` beside a `tokenizer.json`, which transformers 4 did not.
//!   Here they count if `tokenizer.json` has no post-processor.
//!
//! Tokens that the other files declare (`added_tokens_decoder`, `bos_token`...) are added as in transformers.
//! docs/loading.md has examples.

mod charsmap;
mod check;
mod decode;
mod file;
mod pattern;
mod ruby;
mod spell;
mod split;
mod stages;

use std::fmt;

use tokenizers::{AddedToken, AddedVocabulary, Encoding, Model, NormalizedString, Normalizer, OffsetType, Token};

pub use decode::Decoder;

use crate::error::{Error, Result};
use crate::text::{Mark, Rendered, TokenizerConfig, mark_special};

/// A token, and the range of the text that it stands for. Units: bytes; both ends lie between characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenSpan {
    /// The token.
    pub id: u32,
    /// The start of the range.
    pub start: usize,
    /// The end of the range.
    pub end: usize,
}

/// A loaded tokenizer.
pub struct Tokenizer {
    inner: file::Inner,
    /// Text and id of every special token, by ascending id.
    special: Vec<(String, u32)>,
    /// The largest id + 1.
    vocab: usize,
    eos: Option<u32>,
    splitter: split::Splitter,
    decoding: decode::Decoding,
    /// The ids before and after a prompt that only `tokenizer_config.json` asks for.
    before: Vec<u32>,
    after: Vec<u32>,
}

impl Tokenizer {
    /// Reads `tokenizer.json` and, when the model has one, `tokenizer_config.json`.
    ///
    /// Errors: `BAD_TOKENIZER` and `BAD_FILE`, which name the place; `NOT_A_MODEL_FILE`.
    pub fn from_bytes(tokenizer_json: &[u8], tokenizer_config: Option<&[u8]>) -> Result<Self> {
        Tokenizer::new(tokenizer_json, &TokenizerConfig::from_files(tokenizer_config, None, None)?)
    }

    /// Reads `tokenizer.json`. `config` is what the model's other files say about tokens.
    ///
    /// Errors: `BAD_TOKENIZER` that names the place; `NOT_A_MODEL_FILE`.
    pub(crate) fn new(tokenizer_json: &[u8], config: &TokenizerConfig) -> Result<Self> {
        let checked = check::check(tokenizer_json)?;
        let mut inner: file::Inner = serde_json::from_slice(tokenizer_json).map_err(|error| {
            let fact = error.to_string();
            let fact = fact.rsplit_once(" at line ").map_or(&*fact, |(fact, _)| fact);
            bad("the file", "a tokenizer that the tokenizers library can read", format!("\u{201c}{fact}\u{201d}"))
        })?;
        if inner.get_model().get_vocab_size() < checked.tokens {
            let twice = checked.tokens - inner.get_model().get_vocab_size();
            return Err(bad("model.vocab", "every token once", format!("{twice} that stand twice")));
        }
        for (content, id) in &checked.added {
            expect_id(&inner, content, *id)?;
        }
        // A file saved during training may hold truncation and padding. A prompt is never cut or padded
        // silently.
        inner.with_truncation(None).map_err(|error| bad("truncation", "null", error))?;
        inner.with_padding(None);
        let mut vocab = checked.vocab;
        for (content, id) in declare(&mut inner, config)? {
            expect_id(&inner, &content, id)?;
            vocab = vocab.max(id as usize + 1);
        }
        for (id, token) in inner.get_added_vocabulary().get_added_tokens_decoder() {
            // The library searches for the normalized text of a token, and panics if that is empty.
            if inner.get_added_vocabulary().simple_id_to_token(*id).is_some_and(|text| text.is_empty()) {
                return Err(bad(format!("added token {:?}", token.content), "a text that the normalizer keeps", "one that it takes away"));
            }
        }
        let mut special: Vec<(String, u32)> = (inner.get_added_vocabulary().get_added_tokens_decoder().iter())
            .filter(|(_, token)| token.special)
            .map(|(id, token)| (token.content.clone(), *id))
            .collect();
        special.sort_unstable_by_key(|(_, id)| *id);
        let decoding = decode::Decoding::new(inner.get_decoder().map(|decoder| &decoder.0))?;
        let splitter = split::Splitter::new(&checked.pre_tokenizer)?;
        let eos = config.eos_token.as_deref().and_then(|token| inner.token_to_id(token));
        let mut tokenizer = Tokenizer { inner, special, vocab, eos, splitter, decoding, before: Vec::new(), after: Vec::new() };
        if tokenizer.inner.get_post_processor().is_none() {
            let named = |wanted: bool, token: &Option<String>| match token {
                Some(token) if wanted => tokenizer.id(token).into_iter().collect(),
                _ => Vec::new(),
            };
            (tokenizer.before, tokenizer.after) =
                (named(config.add_bos_token, &config.bos_token), named(config.add_eos_token, &config.eos_token));
        }
        // A post-processor may add any ids. Encoding an empty text shows all of them.
        if let Some(id) = tokenizer.encode_prompt("")?.into_iter().find(|&id| id as usize >= vocab) {
            return Err(bad("post_processor", format!("ids below {vocab}"), id));
        }
        Ok(tokenizer)
    }

    /// Number of ids: the largest one + 1.
    pub fn vocab(&self) -> usize {
        self.vocab
    }

    /// The ids of a prompt. Special tokens in the text are recognised, and those that the model needs around
    /// it are added.
    ///
    /// Source: the same ids as transformers' `PreTrainedTokenizerFast(tokenizer_file=...)(text)`.
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.before.clone();
        let encoding = self.encoding(self.inner.get_added_vocabulary(), text, &[], OffsetType::None, |stretch| self.pieces(stretch))?;
        ids.extend_from_slice(self.inner.post_process(encoding, None, true).map_err(unencodable)?.get_ids());
        ids.extend_from_slice(&self.after);
        Ok(ids)
    }

    /// The ids of a plain text: nothing is added, and a special token in it is text.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_rendered(&mark_special(text, &self.special)?)
    }

    /// The ids of a rendered chat. Special tokens of the template are recognised, those that callers typed
    /// are text.
    ///
    /// Source: the same ids as transformers' `apply_chat_template(tokenize=True)`, if callers typed no
    /// special token.
    pub fn encode_rendered(&self, rendered: &Rendered) -> Result<Vec<u32>> {
        // These are the stages of the library's `encode`, and two more. After the search for special tokens,
        // marks become the typed text: too late to be recognised, and early enough to be split and merged
        // like other text. And the tokens of the vocabulary are checked (`spell`), because a piece of it may
        // be the text of a special token.
        let text = if rendered.marks.is_empty() { &rendered.text } else { &rendered.marked };
        let marks = rendered.marks.iter().map(|mark| self.normalized(mark)).collect::<Result<Vec<_>>>()?;
        let added = self.inner.get_added_vocabulary();
        Ok(self.encoding(added, text, &marks, OffsetType::None, |stretch| self.spell(stretch))?.get_ids().to_vec())
    }

    /// The ids of [`encode_prompt`](Self::encode_prompt) if `special`, else of
    /// [`encode_text`](Self::encode_text), each with its range of the text.
    ///
    /// The ranges follow the tokenizers library:
    ///
    /// - If several tokens spell one character, or a run of characters that the model reads as one, each has
    ///   that range.
    /// - A token that is added around the text has an empty range at that end of the text.
    /// - Text that a normalizer puts before the text has the range of the first character.
    /// - A character that a normalizer removes, or merges into the previous one, is in no range.
    /// - A leading space belongs to its token, even if the post-processor would trim it.
    pub fn encode_with_offsets(&self, text: &str, special: bool) -> Result<Vec<TokenSpan>> {
        let mut added = self.inner.get_added_vocabulary().clone();
        added.set_encode_special_tokens(!special);
        let spell = |stretch: &str| if special { self.pieces(stretch) } else { self.spell(stretch) };
        let encoding = self.encoding(&added, text, &[], OffsetType::Byte, spell)?;
        let of_text = |(&id, &(start, end)): (&u32, &(usize, usize))| {
            // The library's offsets already lie between characters. This makes sure that slicing cannot
            // panic.
            TokenSpan { id, start: text.floor_char_boundary(start), end: text.ceil_char_boundary(end) }
        };
        let within: Vec<TokenSpan> = encoding.get_ids().iter().zip(encoding.get_offsets()).map(of_text).collect();
        if !special {
            return Ok(within);
        }
        let around = |ids: &[u32], at| ids.iter().map(|&id| TokenSpan { id, start: at, end: at }).collect::<Vec<_>>();
        let mut pieces = around(&self.before, 0);
        let mut rest = within.into_iter().peekable();
        let encoding = self.inner.post_process(encoding, None, true).map_err(unencodable)?;
        for (&id, &added) in encoding.get_ids().iter().zip(encoding.get_special_tokens_mask()) {
            match rest.next_if(|_| added == 0) {
                Some(piece) => pieces.push(piece),
                None => pieces.extend(around(&[id], if rest.peek().is_some() { 0 } else { text.len() })),
            }
        }
        pieces.extend(around(&self.after, text.len()));
        Ok(pieces)
    }

    /// The stages of the library's `encode`. Marks become text after the search for added tokens.
    fn encoding(
        &self,
        added: &AddedVocabulary,
        text: &str,
        marks: &[(String, String)],
        offsets: OffsetType,
        spell: impl Fn(&str) -> tokenizers::Result<Vec<Token>>,
    ) -> Result<Encoding> {
        let limit = pattern::StepLimit::of(text);
        let mut text = added.extract_and_normalize(self.inner.get_normalizer(), text);
        let encode = move || -> tokenizers::Result<Encoding> {
            text.split(|_, mut stretch: NormalizedString| {
                for (mark, literal) in marks {
                    stretch.replace(mark.as_str(), literal)?;
                }
                Ok([stretch])
            })?;
            self.splitter.split(&mut text, &limit)?;
            text.tokenize(|stretch| spell(stretch.get()))?;
            text.into_encoding(None, 0, offsets)
        };
        encode().map_err(unencodable)
    }

    /// A mark and its text, normalized as in the middle of a text.
    fn normalized(&self, mark: &Mark) -> Result<(String, String)> {
        let normalize = |text: String| {
            let mut text = NormalizedString::from(text);
            match self.inner.get_normalizer() {
                Some(normalizer) => normalizer.normalize(&mut text).map(|()| text.get().to_owned()),
                None => Ok(text.get().to_owned()),
            }
        };
        let (sign, literal) = (mark.sign, &mark.text);
        let alone = normalize(format!("{sign}")).map_err(unencodable)?;
        let twice = normalize(format!("{sign}{sign}")).map_err(unencodable)?;
        let between = normalize(format!("{sign}{literal}{sign}")).map_err(unencodable)?;
        let parts = twice.strip_prefix(&*alone).filter(|sign| !sign.is_empty()).and_then(|sign| {
            let literal = between.strip_prefix(&*alone)?.strip_suffix(sign)?;
            Some((sign.to_owned(), literal.to_owned()))
        });
        parts.ok_or_else(|| bad("normalizer", "one that keeps private-use characters", format!("{between:?}")))
    }

    /// The text of ids.
    ///
    /// Source: transformers' `decode`, with three differences. Special tokens are skipped by id, because the
    /// tokenizers library from 0.22 on misses those with `"normalized": true`. No spaces are added around
    /// them. Invalid bytes do not replace the whole characters beside them.
    ///
    /// Errors: `BAD_INPUT` for an id that is not below [`vocab`](Self::vocab).
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        let mut decoder = Decoder::new(&self.decoding, skip_special);
        let mut text = String::new();
        for &id in ids {
            text += &decoder.push(self, id)?;
        }
        text += &decoder.finish();
        Ok(text)
    }

    /// A decoder for the ids that follow `context`; it skips special tokens. Its pieces, joined, are what
    /// decoding `context` and the ids together adds to decoding `context` alone: a leading space stays if
    /// there is text before it.
    ///
    /// Errors: `BAD_INPUT` for an id in `context` that is not below [`vocab`](Self::vocab).
    pub fn decoder(&self, context: &[u32]) -> Result<Decoder> {
        let mut decoder = Decoder::new(&self.decoding, true);
        if let Some(&id) = context.iter().find(|&&id| id as usize >= self.vocab) {
            decoder.push(self, id)?;
        }
        // Two parts of the context matter: the first token with text (for a leading space), and the last 4
        // bytes (for an incomplete character). Those bytes may be far back, because special tokens do not
        // interrupt a character.
        let (mut tail, mut bytes) = (context.len(), Vec::new());
        while tail > 0 && bytes.len() < 4 {
            tail -= 1;
            if let Some(token) = self.inner.id_to_token(context[tail]).filter(|_| !self.is_special(context[tail])) {
                self.decoding.append(token, false, &mut bytes)?;
            }
        }
        for (index, &id) in context.iter().enumerate() {
            if index >= tail || decoder.at_start() {
                decoder.push(self, id)?;
            }
        }
        Ok(decoder)
    }

    /// The bytes of a token in the middle of a text, which may be part of a character. The bytes of a
    /// special token are its name.
    ///
    /// Errors: `BAD_INPUT` for an id that is not below [`vocab`](Self::vocab).
    pub fn piece_bytes(&self, id: u32) -> Result<Vec<u8>> {
        if id as usize >= self.vocab {
            return Err(decode::unknown(id, self.vocab));
        }
        // The library would return the normalized name.
        if let Ok(place) = self.special.binary_search_by_key(&id, |(_, id)| *id) {
            return Ok(self.special[place].0.clone().into_bytes());
        }
        let Some(token) = self.inner.id_to_token(id) else { return Ok(Vec::new()) };
        let mut bytes = Vec::new();
        self.decoding.append(token, false, &mut bytes)?;
        Ok(bytes)
    }

    /// The token that `tokenizer_config.json` names as the end of a text.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// A token as an error shows it: its id and its text.
    pub(crate) fn shown(&self, id: u32) -> String {
        self.inner.id_to_token(id).map_or_else(|| id.to_string(), |token| format!("{id} ({token:?})"))
    }

    /// The id of a token, by its text in the vocabulary.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Whether an id is a special token, which marks structure and is not text.
    pub fn is_special(&self, id: u32) -> bool {
        self.special.binary_search_by_key(&id, |(_, id)| *id).is_ok()
    }

    /// Text and id of every special token, by ascending id.
    pub fn special_tokens(&self) -> &[(String, u32)] {
        &self.special
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("vocab", &self.vocab).finish_non_exhaustive()
    }
}

/// Adds the tokens that only the other files declare, as transformers does. Returns the id that each should
/// have.
fn declare(inner: &mut file::Inner, config: &TokenizerConfig) -> Result<Vec<(String, u32)>> {
    let known = inner.get_added_vocabulary();
    let mut tokens: Vec<(u32, AddedToken)> = (config.added_tokens.iter())
        .filter(|(id, token)| known.get_added_tokens_decoder().get(id) != Some(token))
        .map(|(id, token)| (*id, token.clone()))
        .collect();
    let older = config.older_added_tokens.iter().filter(|(_, token)| !known.get_vocab().contains_key(&token.content));
    tokens.extend(older.cloned());
    for name in config.special() {
        let declared = known.get_vocab().contains_key(name) || tokens.iter().any(|(_, token)| token.content == *name);
        // transformers also adds a token that the vocabulary lacks, with an id that the model does not have.
        if let (false, Some(id)) = (declared, inner.token_to_id(name)) {
            tokens.push((id, AddedToken::from(name, true)));
        }
    }
    let ids = tokens.iter().map(|(id, token)| (token.content.clone(), *id)).collect();
    inner
        .add_tokens(tokens.into_iter().map(|(_, token)| token))
        .map_err(|error| bad("tokens of tokenizer_config.json or added_tokens.json", "distinct tokens", error))?;
    Ok(ids)
}

/// Checks the id that the library gave to an added token. A wrong one would give wrong tokens silently.
fn expect_id(inner: &file::Inner, content: &str, id: u32) -> Result<()> {
    match inner.token_to_id(content) {
        Some(given) if given != id => Err(bad(format!("added token {content:?}"), format!("the id {given} it has in the vocabulary"), id)),
        Some(_) => Ok(()),
        None => Err(bad(format!("added token {content:?}"), "a text", "none")),
    }
}

fn bad(at: impl Into<String>, expected: impl Into<String>, got: impl std::fmt::Display) -> Error {
    Error::BadTokenizer { at: at.into(), expected: expected.into(), got: got.to_string() }
}

/// An error of encoding: one of ours, or one of the library.
fn unencodable(error: tokenizers::Error) -> Error {
    error.downcast::<Error>().map_or_else(|error| bad("the file", "stages that can encode every text", error), |ours| *ours)
}
