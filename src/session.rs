//! The session: a prompt or a chat goes in, pieces of text come out, and what was computed is kept for the next time.
//!
//! This is the only place where text meets tokens. A session keeps the tokens whose keys and values its cache holds;
//! whatever is asked next, the longest beginning that both have in common is not computed again.
//!
//! A generation is a [`Run`] that is driven a step at a time, so that whoever drives it can stop between any two: a step
//! is a piece of the prompt or one token. [`Session::generate`] and [`Session::chat`] wrap it into an iterator. A chat turn
//! becomes part of the history only when its run has ended, so a turn that is dropped half-way has never been.

use std::sync::Arc;

use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::model::{CHUNK, Model, Scratch};
use crate::options::Options;
use crate::sampler::Sampler;
use crate::stop::StopMatcher;
use crate::template::{Message, Now};
use crate::tokenizer::Decoder;

/// Fewer tokens are not taken through a layer at once, however short a step should be: reading its weights would cost more than computing with them.
const PASS_MIN: usize = 8;

/// A text or a chat in progress on a shared model.
#[derive(Debug)]
pub struct Session {
    model: Arc<Model>,
    cache: Cache,
    scratch: Scratch,
    /// The tokens whose keys and values are in the cache, in order.
    tokens: Vec<u32>,
    messages: Vec<Message>,
    /// Runs begun so far: only the latest may be driven on.
    runs: u64,
}

/// What is said to a chat.
#[derive(Debug, Clone, PartialEq)]
pub enum Turn {
    /// The user's next message, onto the session's history.
    User(String),
    /// A whole conversation, ending in a message to answer; it replaces the session's history.
    Conversation(Vec<Message>),
}

impl From<&str> for Turn {
    fn from(text: &str) -> Turn {
        Turn::User(text.into())
    }
}

impl From<String> for Turn {
    fn from(text: String) -> Turn {
        Turn::User(text)
    }
}

impl From<Vec<Message>> for Turn {
    fn from(messages: Vec<Message>) -> Turn {
        Turn::Conversation(messages)
    }
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended the text, or a stop string came up.
    Stop,
    /// `max_tokens` were generated, or the context is full.
    Length,
    /// Whoever drove the run gave it up.
    Abort,
}

impl FinishReason {
    /// The word that JavaScript sees.
    pub fn as_str(self) -> &'static str {
        match self {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
            FinishReason::Abort => "abort",
        }
    }
}

/// What a generation cost. Units: tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// The prompt, cached part included.
    pub prompt_tokens: usize,
    /// What was generated, without the token that ended it.
    pub completion_tokens: usize,
    /// The beginning of the prompt that was in the cache already and was not computed again.
    pub cached_tokens: usize,
}

/// A generation that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The whole text, without stop strings and special tokens.
    pub text: String,
    /// The tokens generated, without the one that ended the text.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// What it cost.
    pub usage: Usage,
}

/// A piece of text: whole characters, never half of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// The text that became certain; empty while a character or a possible stop string is incomplete.
    pub text: String,
    /// The token that was generated; `None` for what is left over at the end.
    pub token: Option<u32>,
}

/// What one step of a run did.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A part of the prompt was computed. Units: tokens, cached ones included.
    Prefill {
        /// Prompt tokens computed so far.
        done: usize,
        /// Tokens of the prompt.
        total: usize,
        /// What this step computed. Units: tokens times layers.
        work: usize,
    },
    /// A token was generated.
    Token(Piece),
    /// The run is over; the piece is what had been held back.
    End(Piece, Completion),
}

/// A generation under way; see [`Session::step`].
#[derive(Debug)]
pub struct Run {
    /// Which of the session's runs it is.
    number: u64,
    prompt: Vec<u32>,
    sampler: Sampler,
    decoder: Decoder,
    stop: StopMatcher,
    max_tokens: usize,
    /// Tokens that end the text.
    ends: Vec<u32>,
    /// The conversation that becomes the session's history when the run ends.
    conversation: Option<Vec<Message>>,
    /// Prompt tokens in the cache, `None` before the first step.
    prefilled: Option<usize>,
    /// Where the pass of prompt tokens that is under way ends, and the next of its layers.
    pass: Option<(usize, usize)>,
    /// Tokens times layers that a step computes about.
    prefill_work: usize,
    generated: Vec<u32>,
    text: String,
    /// Set as soon as it is known; the step after it ends the run.
    finish_reason: Option<FinishReason>,
    usage: Usage,
}

impl Run {
    /// Tokens generated so far.
    pub fn completion_tokens(&self) -> usize {
        self.generated.len()
    }

    /// How much of the prompt each further step computes about, in tokens times layers, at least one layer of [`PASS_MIN`] tokens: a driver with a clock keeps steps
    /// short by it. Unless it is said, a step is a pass of 64 tokens through all layers. The result is the same.
    pub fn set_prefill_work(&mut self, token_layers: usize) {
        self.prefill_work = token_layers;
    }
}

impl Session {
    /// An empty session on a model.
    pub fn new(model: Arc<Model>) -> Session {
        Session { cache: model.cache(), scratch: Scratch::new(&model), tokens: Vec::new(), messages: Vec::new(), runs: 0, model }
    }

    /// The model it runs on.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The chat so far, turns under way not counted.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Replaces the chat; a run under way is over. What the cache holds stays, and serves as far as the new history begins with it.
    ///
    /// Errors: `BAD_INPUT` for a history that does not end with an answer: the next turn is the user's.
    pub fn set_messages(&mut self, messages: Vec<Message>) -> Result<()> {
        if let Some(last) = messages.last()
            && last.role == "user"
        {
            let expected = "a history whose last message is not the user's".into();
            return Err(Error::BadInput { what: "messages".into(), expected, got: "one that waits for an answer".into() });
        }
        self.runs += 1;
        self.messages = messages;
        Ok(())
    }

    /// Tokens in the KV cache.
    pub fn context_usage(&self) -> usize {
        self.tokens.len()
    }

    /// Units: bytes of the KV cache.
    pub fn kv_bytes(&self) -> u64 {
        self.cache.bytes()
    }

    /// Forgets the chat and everything computed; a run under way is over.
    pub fn reset(&mut self) {
        self.runs += 1;
        self.messages.clear();
        self.tokens.clear();
        self.cache.truncate(0);
    }

    /// Continues a prompt, special tokens in it recognised as transformers does; the history of a chat is not touched.
    ///
    /// Errors: `BAD_OPTION`, `BAD_INPUT` for an empty prompt, `CONTEXT_OVERFLOW`; later ones come out of the iterator.
    pub fn generate(&mut self, prompt: &str, options: &Options) -> Result<Pieces<'_>> {
        let run = self.begin_generate(prompt, options)?;
        Ok(Pieces { session: self, run, completion: None, failed: false })
    }

    /// Answers a turn of a chat.
    ///
    /// Errors: as [`Session::generate`], and `BAD_TEMPLATE`.
    pub fn chat(&mut self, turn: impl Into<Turn>, options: &Options) -> Result<Pieces<'_>> {
        let run = self.begin_chat(turn.into(), options)?;
        Ok(Pieces { session: self, run, completion: None, failed: false })
    }

    /// The run of [`Session::generate`], to be driven by [`Session::step`].
    ///
    /// Errors: as there.
    pub fn begin_generate(&mut self, prompt: &str, options: &Options) -> Result<Run> {
        if prompt.is_empty() {
            return Err(empty("prompt"));
        }
        let prompt = self.model.tokenizer.encode_prompt(prompt)?;
        self.begin(prompt, None, self.model.text_ends(), options)
    }

    /// The run of [`Session::chat`], to be driven by [`Session::step`].
    ///
    /// Errors: as there.
    pub fn begin_chat(&mut self, turn: Turn, options: &Options) -> Result<Run> {
        let conversation = self.conversation(turn)?;
        let prompt = self.render(&conversation, true, options.now)?;
        self.begin(prompt, Some(conversation), self.model.turn_ends(), options)
    }

    /// Tokens by which a chat turn would lengthen the prompt of the present history, the opening of the answer included.
    ///
    /// Errors: as [`Session::chat`] before its first step.
    pub fn measure_context_usage(&self, turn: impl Into<Turn>, now: Option<Now>) -> Result<usize> {
        let asked = self.render(&self.conversation(turn.into())?, true, now)?.len();
        let present = if self.messages.is_empty() { 0 } else { self.render(&self.messages, false, now)?.len() };
        Ok(asked.saturating_sub(present))
    }

    fn begin(&mut self, prompt: Vec<u32>, conversation: Option<Vec<Message>>, ends: Vec<u32>, options: &Options) -> Result<Run> {
        options.check()?;
        options.check_tokens(self.model.tokenizer.vocab())?;
        let context = self.model.config.context;
        // Room for one token of an answer, or there is nothing to ask for.
        if prompt.len() >= context {
            return Err(Error::ContextOverflow { requested: prompt.len() + 1, context_window: context });
        }
        if prompt.is_empty() {
            return Err(empty("prompt"));
        }
        let settings = options.settle(&self.model.generation);
        let ends: Vec<u32> = ends.into_iter().chain(options.stop_tokens.iter().copied()).collect();
        let decoder = self.model.tokenizer.decoder(&prompt)?;
        self.runs += 1;
        Ok(Run {
            number: self.runs,
            max_tokens: settings.max_tokens,
            sampler: Sampler::new(settings, options.seed.unwrap_or(0), ends.clone()),
            decoder,
            stop: StopMatcher::new(options.stop.clone()),
            ends,
            conversation,
            prefilled: None,
            pass: None,
            prefill_work: usize::MAX,
            generated: Vec::new(),
            text: String::new(),
            finish_reason: None,
            usage: Usage { prompt_tokens: prompt.len(), ..Usage::default() },
            prompt,
        })
    }

    /// The history that a turn leads to, its answer still missing.
    fn conversation(&self, turn: Turn) -> Result<Vec<Message>> {
        match turn {
            Turn::User(text) if text.is_empty() => Err(empty("message")),
            Turn::User(text) => {
                let mut messages = self.messages.clone();
                messages.push(Message { role: "user".into(), content: text });
                Ok(messages)
            }
            Turn::Conversation(messages) => match messages.last() {
                None => Err(Error::BadInput { what: "messages".into(), expected: "at least one".into(), got: "an empty list".into() }),
                Some(last) if last.role == "assistant" => Err(Error::BadInput {
                    what: "messages".into(),
                    expected: "a last message to answer".into(),
                    got: "one of the assistant".into(),
                }),
                Some(_) => Ok(messages),
            },
        }
    }

    fn render(&self, messages: &[Message], add_generation_prompt: bool, now: Option<Now>) -> Result<Vec<u32>> {
        let tokenizer = &self.model.tokenizer;
        let rendered = self.model.template.render(messages, add_generation_prompt, tokenizer.special_tokens(), now)?;
        tokenizer.encode_rendered(&rendered)
    }

    /// Drives the session's latest run by one step. After `Step::End` or an error the run is over and must not be driven on.
    ///
    /// Errors: `NON_FINITE`, `OUT_OF_MEMORY`; the session works on. `BAD_INPUT` for a run after which another was begun.
    pub fn step(&mut self, run: &mut Run) -> Result<Step> {
        if run.number != self.runs {
            return Err(Error::BadInput { what: "run".into(), expected: "the latest of its session".into(), got: "one before it".into() });
        }
        let prefilled = match run.prefilled {
            Some(prefilled) => prefilled,
            None => self.rewind(run),
        };
        if prefilled < run.prompt.len() {
            return self.prefill(run, prefilled);
        }
        if let Some(reason) = run.finish_reason {
            return Ok(self.end(run, reason));
        }
        if let Some(&last) = run.generated.last() {
            if self.tokens.len() == self.model.config.context {
                return Ok(self.end(run, FinishReason::Length));
            }
            self.forward(&[last])?;
        }
        self.next_token(run)
    }

    /// Gives a run up. The cache stays valid, the history as it was before.
    pub fn abort(&mut self, run: &mut Run) -> Completion {
        run.conversation = None;
        match self.end(run, FinishReason::Abort) {
            Step::End(_, completion) => completion,
            other => unreachable!("{other:?} is no end"),
        }
    }

    /// Before the first step: keeps the longest common beginning of cache and prompt. At least the last token is
    /// computed again, because its logits are wanted.
    fn rewind(&mut self, run: &mut Run) -> usize {
        let common = self.tokens.iter().zip(&run.prompt).take_while(|(cached, asked)| cached == asked).count();
        let keep = common.min(run.prompt.len() - 1);
        self.cache.truncate(keep);
        self.tokens.truncate(keep);
        run.prefilled = Some(keep);
        run.usage.cached_tokens = keep;
        keep
    }

    fn prefill(&mut self, run: &mut Run, done: usize) -> Result<Step> {
        let (total, layers) = (run.prompt.len(), self.model.config.layers);
        // A pass is as wide as it can be, since the weights of a layer are read once for all of its tokens; a step is as many layers of it as there is time for.
        let (end, layer) = run.pass.take().unwrap_or_else(|| (total.min(done + run.prefill_work.clamp(PASS_MIN, CHUNK)), 0));
        let tokens = &run.prompt[done..end];
        let next = layers.min(layer + (run.prefill_work / tokens.len()).max(1));
        self.model.part(tokens, end == total, layer..next, &mut self.cache, &mut self.scratch)?;
        let work = tokens.len() * (next - layer);
        if next < layers {
            run.pass = Some((end, next));
            return Ok(Step::Prefill { done, total, work });
        }
        self.tokens.extend_from_slice(tokens);
        run.prefilled = Some(end);
        Ok(Step::Prefill { done: end, total, work })
    }

    fn forward(&mut self, tokens: &[u32]) -> Result<()> {
        self.model.forward(tokens, &mut self.cache, &mut self.scratch)?;
        self.tokens.extend_from_slice(tokens);
        Ok(())
    }

    /// Samples from the logits that are there.
    fn next_token(&mut self, run: &mut Run) -> Result<Step> {
        // Embeddings are often padded: rows beyond the tokenizer's ids have logits, but stand for nothing that could be written.
        let known = self.model.tokenizer.vocab();
        let token = run.sampler.sample(&mut self.scratch.logits_mut()[..known], &run.prompt, &run.generated).token;
        if run.ends.contains(&token) {
            return Ok(self.end(run, FinishReason::Stop));
        }
        run.generated.push(token);
        let (text, stopped) = run.stop.push(&run.decoder.push(&self.model.tokenizer, token)?);
        run.text.push_str(&text);
        if stopped {
            run.finish_reason = Some(FinishReason::Stop);
        } else if run.generated.len() == run.max_tokens {
            run.finish_reason = Some(FinishReason::Length);
        }
        Ok(Step::Token(Piece { text, token: Some(token) }))
    }

    /// Ends a run, letting out what was held back; a turn of a chat becomes history.
    fn end(&mut self, run: &mut Run, finish_reason: FinishReason) -> Step {
        let rest = run.stop.push(&run.decoder.finish()).0 + &run.stop.finish();
        run.text.push_str(&rest);
        let completion_tokens = run.generated.len();
        let completion = Completion {
            text: std::mem::take(&mut run.text),
            tokens: std::mem::take(&mut run.generated),
            finish_reason,
            usage: Usage { completion_tokens, ..run.usage },
        };
        if let Some(mut messages) = run.conversation.take() {
            messages.push(Message { role: "assistant".into(), content: completion.text.clone() });
            self.messages = messages;
        }
        Step::End(Piece { text: rest, token: None }, completion)
    }
}

fn empty(what: &str) -> Error {
    Error::BadInput { what: what.into(), expected: "some text".into(), got: "an empty one".into() }
}

/// The pieces of a generation as they come. Dropped half-way, a chat turn is as if it had never been asked.
#[derive(Debug)]
pub struct Pieces<'s> {
    session: &'s mut Session,
    run: Run,
    completion: Option<Completion>,
    failed: bool,
}

impl Iterator for Pieces<'_> {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Result<Piece>> {
        while self.completion.is_none() && !self.failed {
            match self.session.step(&mut self.run) {
                Ok(Step::Prefill { .. }) => {}
                Ok(Step::Token(piece)) => return Some(Ok(piece)),
                Ok(Step::End(piece, completion)) => {
                    self.completion = Some(completion);
                    return (!piece.text.is_empty()).then_some(Ok(piece));
                }
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

impl Pieces<'_> {
    /// Runs to the end and returns the whole.
    ///
    /// Errors: as [`Session::step`].
    pub fn finish(mut self) -> Result<Completion> {
        for piece in self.by_ref() {
            piece?;
        }
        Ok(self.completion.expect("an iterator that did not fail has ended"))
    }

    /// The whole, once the iterator has ended.
    pub fn completion(&self) -> Option<&Completion> {
        self.completion.as_ref()
    }
}
