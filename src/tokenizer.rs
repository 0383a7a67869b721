//! Text to token ids and back.
//!
//! A thin face over the `tokenizers` crate, which reads `tokenizer.json` exactly as Hugging Face does. Three things are ours: the file
//! is checked before the crate sees it (`check`), text that somebody typed never becomes a special token (`encode_text`,
//! `encode_rendered`), and decoding is incremental and never emits half a character (`decode`).
//!
//! Where transformers and `tokenizer.json` disagree, `tokenizer.json` is followed. transformers 5 rebuilds some classes from the bare
//! vocabulary (`LlamaTokenizer`: a text's own leading space then merges with the added one, with `legacy: false` nothing is put after a
//! special token, unknown characters are dropped), and its `decode` may tidy spaces before punctuation (`clean_up_tokenization_spaces`);
//! neither is done here. The tokens that the other files declare (`added_tokens_decoder`, `bos_token`...) are taken as transformers does.
//! `add_bos_token` and `add_eos_token` of `tokenizer_config.json` count where `tokenizer.json` has no post-processor: transformers 5 drops
//! them beside a `tokenizer.json`, transformers 4 did not, and a publisher who wrote them wants them. docs/loading.md has examples.

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

/// A token and where in the text it comes from. Units: bytes; both lie between characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The token.
    pub id: u32,
    /// Where its text begins.
    pub start: usize,
    /// Where its text ends.
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
    /// Ids around a prompt where only tokenizer_config.json asks for them.
    before: Vec<u32>,
    after: Vec<u32>,
}

impl Tokenizer {
    /// Reads `tokenizer.json` and, when the model has one, `tokenizer_config.json`.
    ///
    /// Errors: those of [`Tokenizer::new`] and of [`TokenizerConfig::from_json`].
    pub fn from_bytes(tokenizer_json: &[u8], tokenizer_config: Option<&[u8]>) -> Result<Self> {
        Tokenizer::new(tokenizer_json, &TokenizerConfig::from_files(tokenizer_config, None, None)?)
    }

    /// Reads `tokenizer.json`, beside what the model's other files say about tokens.
    ///
    /// Errors: `BAD_TOKENIZER` naming the place; the file may be anything at all.
    pub fn new(tokenizer_json: &[u8], config: &TokenizerConfig) -> Result<Self> {
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
        // Files saved in the middle of a training run carry its truncation and padding; a prompt is never cut or padded behind the caller's back.
        inner.with_truncation(None).map_err(|error| bad("truncation", "null", error))?;
        inner.with_padding(None);
        let mut vocab = checked.vocab;
        for (content, id) in declare(&mut inner, config)? {
            expect_id(&inner, &content, id)?;
            vocab = vocab.max(id as usize + 1);
        }
        for (id, token) in inner.get_added_vocabulary().get_added_tokens_decoder() {
            // The library looks for a token as the normalizer leaves it, and panics where it finds nothing everywhere.
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
        // A post-processor may name any id: one try shows them all.
        if let Some(id) = tokenizer.encode_prompt("")?.into_iter().find(|&id| id as usize >= vocab) {
            return Err(bad("post_processor", format!("ids below {vocab}"), id));
        }
        Ok(tokenizer)
    }

    /// Number of ids: the largest one + 1.
    pub fn vocab(&self) -> usize {
        self.vocab
    }

    /// The ids of a prompt: special tokens in the text are recognised, and those the model wants around it are added.
    ///
    /// Source: the same ids as transformers' `PreTrainedTokenizerFast(tokenizer_file=...)(text)`.
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.before.clone();
        let encoding = self.encoding(self.inner.get_added_vocabulary(), text, &[], OffsetType::None, |stretch| self.pieces(stretch))?;
        ids.extend_from_slice(self.inner.post_process(encoding, None, true).map_err(unencodable)?.get_ids());
        ids.extend_from_slice(&self.after);
        Ok(ids)
    }

    /// The ids of text as such: nothing is added, and the text of a special token is text.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_rendered(&mark_special(text, &self.special)?)
    }

    /// The ids of a rendered chat: special tokens of the template are recognised, those that callers typed are text.
    ///
    /// Source: where nobody typed one, the same ids as transformers' `apply_chat_template(tokenize=True)`.
    pub fn encode_rendered(&self, rendered: &Rendered) -> Result<Vec<u32>> {
        // The stages of the library's own `encode`, with two more. After the search for special tokens the marks turn into the text they
        // stand for: too late to be found, and early enough to be split and merged like any other text. And what the model spells is
        // checked: a vocabulary of pieces may hold the text of a special token as a piece.
        let text = if rendered.marks.is_empty() { &rendered.text } else { &rendered.marked };
        let marks = rendered.marks.iter().map(|mark| self.normalized(mark)).collect::<Result<Vec<_>>>()?;
        let added = self.inner.get_added_vocabulary();
        Ok(self.encoding(added, text, &marks, OffsetType::None, |stretch| self.spell(stretch))?.get_ids().to_vec())
    }

    /// The ids of [`encode_prompt`](Self::encode_prompt) where `special`, of [`encode_text`](Self::encode_text) where not, each with the part of the text
    /// that it stands for.
    ///
    /// The rule is that of the tokenizers library. A character that several tokens spell is the range of each of them, and
    /// so is a row of characters that the model takes together. What is added around the text has an empty range at that end of it, what a
    /// normalizer puts before the text shares the range of the first character, and what it takes away or merges into the character before is in none.
    /// Leading spaces belong to their token, also where a post-processor would trim them.
    pub fn encode_with_offsets(&self, text: &str, special: bool) -> Result<Vec<Piece>> {
        let mut added = self.inner.get_added_vocabulary().clone();
        added.set_encode_special_tokens(!special);
        let spell = |stretch: &str| if special { self.pieces(stretch) } else { self.spell(stretch) };
        let encoding = self.encoding(&added, text, &[], OffsetType::Byte, spell)?;
        let of_text = |(&id, &(start, end)): (&u32, &(usize, usize))| {
            // The library counts characters by their bytes, so this moves nothing; who slices by it must not depend on that.
            Piece { id, start: text.floor_char_boundary(start), end: text.ceil_char_boundary(end) }
        };
        let within: Vec<Piece> = encoding.get_ids().iter().zip(encoding.get_offsets()).map(of_text).collect();
        if !special {
            return Ok(within);
        }
        let around = |ids: &[u32], at| ids.iter().map(|&id| Piece { id, start: at, end: at }).collect::<Vec<_>>();
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

    /// The stages of the library's own `encode`: what is marked becomes text again after the search for added tokens.
    fn encoding(
        &self,
        added: &AddedVocabulary,
        text: &str,
        marks: &[(String, String)],
        offsets: OffsetType,
        spell: impl Fn(&str) -> tokenizers::Result<Vec<Token>>,
    ) -> Result<Encoding> {
        let budget = pattern::Budget::of(text);
        let mut text = added.extract_and_normalize(self.inner.get_normalizer(), text);
        let encode = move || -> tokenizers::Result<Encoding> {
            text.split(|_, mut stretch: NormalizedString| {
                for (mark, literal) in marks {
                    stretch.replace(mark.as_str(), literal)?;
                }
                Ok([stretch])
            })?;
            self.splitter.split(&mut text, &budget)?;
            text.tokenize(|stretch| spell(stretch.get()))?;
            text.into_encoding(None, 0, offsets)
        };
        encode().map_err(unencodable)
    }

    /// A mark and its text as the normalizer leaves them in the middle of a text.
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
    /// Source: as transformers' `decode`, except that special tokens are skipped by id (the tokenizers library from 0.22 on misses
    /// those with `"normalized": true`) and written without added spaces, and that broken bytes do not spoil the whole characters beside them.
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

    /// A decoder for the ids that follow `context`, special tokens silent. The pieces, joined, are what
    /// decoding `context` and the ids together adds to decoding `context` alone: a leading space stays where there is text before it.
    ///
    /// Errors: `BAD_INPUT` for an id in `context` that is not below [`vocab`](Self::vocab).
    pub fn decoder(&self, context: &[u32]) -> Result<Decoder> {
        let mut decoder = Decoder::new(&self.decoding, true);
        if let Some(&id) = context.iter().find(|&&id| id as usize >= self.vocab) {
            decoder.push(self, id)?;
        }
        // Only the first token with text (a leading space) and the last 4 bytes (a character has no more) leave traces. Those bytes may be far back:
        // special tokens are silent and interrupt no character.
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

    /// The bytes that a token stands for by itself, in the middle of a text: perhaps part of a character. A special token stands for its name.
    ///
    /// Errors: `BAD_INPUT` for an id that is not below [`vocab`](Self::vocab).
    pub fn piece_bytes(&self, id: u32) -> Result<Vec<u8>> {
        if id as usize >= self.vocab {
            return Err(decode::unknown(id, self.vocab));
        }
        // Not by the library's word for it, which is the name as a normalizer leaves it.
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

    /// A token as a message shows it: its id and its text.
    pub(crate) fn shown(&self, id: u32) -> String {
        self.inner.id_to_token(id).map_or_else(|| id.to_string(), |token| format!("{id} ({token:?})"))
    }

    /// The id of a token given by its text in the vocabulary.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Whether an id is a special token: one that marks structure and has no text of its own.
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

/// Declares to the tokenizer what only `tokenizer_config.json` declares, as transformers does, and says which id each should have.
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
        // One that the vocabulary lacks would get an id that no model has: transformers adds it, nobody can use it.
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

/// The library numbers added tokens itself; ids that differ from the file's would be silent nonsense.
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

/// What the stages of encoding say: an error of ours, or one of the library.
fn unencodable(error: tokenizers::Error) -> Error {
    error.downcast::<Error>().map_or_else(|error| bad("the file", "stages that can encode every text", error), |ours| *ours)
}
