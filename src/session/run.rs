//! A generation under way, and what comes of it.

use crate::cache::Cache;
use crate::options::{Overflow, Settings};
use crate::sampler::{Sampler, TokenLogprobs};
use crate::stop::StopMatcher;
use crate::tokenizer::Decoder;

use super::Conversation;

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended the text, or a stop string or token came up.
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
    /// The prompt as it was read, cached part included.
    pub prompt_tokens: usize,
    /// What was generated, all continuations together, without the tokens that ended them.
    pub completion_tokens: usize,
    /// The beginning of the prompt that was in the cache already and was not computed again.
    pub cached_tokens: usize,
}

/// One continuation.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The whole text, without stop strings and special tokens.
    pub text: String,
    /// The tokens generated, without the one that ended the text.
    pub tokens: Vec<u32>,
    /// What each of them had for it, where `logprobs` asked for it.
    pub logprobs: Vec<TokenLogprobs>,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

/// A generation that has ended: its first continuation, and those after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The whole text, without stop strings and special tokens.
    pub text: String,
    /// The tokens generated, without the one that ended the text.
    pub tokens: Vec<u32>,
    /// What each of them had for it, where `logprobs` asked for it.
    pub logprobs: Vec<TokenLogprobs>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// The continuations after the first, where `n` asked for several.
    pub others: Vec<Choice>,
    /// What all of them cost.
    pub usage: Usage,
}

impl Completion {
    pub(super) fn new(choices: Vec<Choice>, usage: Usage) -> Completion {
        let mut choices = choices.into_iter();
        let Choice { text, tokens, logprobs, finish_reason } = choices.next().expect("there is always one");
        Completion { text, tokens, logprobs, finish_reason, others: choices.collect(), usage }
    }
}

/// A piece of text: whole characters, never half of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// The text that became certain; empty while a character or a possible stop string is incomplete.
    pub text: String,
    /// The token that was generated; `None` for what is left over at the end.
    pub token: Option<u32>,
    /// What the token had for it, where `logprobs` asked for it.
    pub logprobs: Option<TokenLogprobs>,
    /// Which continuation it belongs to, from 0.
    pub choice: usize,
}

/// What had to be forgotten for want of room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// Messages of the chat.
    pub messages: usize,
    /// Tokens of the prompt or of the text so far.
    pub tokens: usize,
}

/// What one step of a run did.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The context is too small, and something was forgotten as `overflow` asked.
    Overflow(Dropped),
    /// A part of the prompt was computed. Units: tokens, cached ones included.
    Prefill {
        /// Prompt tokens computed so far.
        done: usize,
        /// Tokens of the prompt.
        total: usize,
        /// What this step computed. Units: tokens times layers.
        work: usize,
    },
    /// A token was generated, or a continuation ended with what had been held back.
    Token(Piece),
    /// The run is over; the piece is what had been held back.
    End(Piece, Completion),
}

/// A generation under way; see [`Session::step`](super::Session::step).
#[derive(Debug)]
pub struct Run {
    /// Which of the session's runs it is.
    pub(super) number: u64,
    pub(super) prompt: Vec<u32>,
    /// Whether it continues the prompt, or reads it only.
    pub(super) answers: bool,
    /// What was forgotten before it began, until it was told.
    pub(super) dropped: Option<Dropped>,
    pub(super) overflow: Overflow,
    pub(super) settings: Settings,
    /// That of the first continuation; each further one has the next.
    pub(super) seed: u64,
    pub(super) stop: Vec<String>,
    /// Continuations that are wanted.
    pub(super) n: usize,
    /// Tokens that end the text.
    pub(super) ends: Vec<u32>,
    /// What becomes the session's history when the run ends, its answer still missing.
    pub(super) conversation: Option<Conversation>,
    /// Prompt tokens in the cache, `None` before the first step.
    pub(super) prefilled: Option<usize>,
    /// Where the pass of prompt tokens that is under way ends, and the next of its layers.
    pub(super) pass: Option<(usize, usize)>,
    /// Tokens times layers that a step computes about.
    pub(super) prefill_work: usize,
    /// Where further continuations begin: the prompt's keys and values, and its logits.
    pub(super) origin: Option<(Cache, Vec<f32>)>,
    /// Where the first of several continuations ended: its cache, the tokens in it, and where they were cut.
    pub(super) first: Option<(Cache, Vec<u32>, Option<usize>)>,
    pub(super) draft: Draft,
    pub(super) choices: Vec<Choice>,
    pub(super) usage: Usage,
}

/// The continuation at hand.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) sampler: Sampler,
    pub(super) decoder: Decoder,
    pub(super) stop: StopMatcher,
    pub(super) tokens: Vec<u32>,
    pub(super) logprobs: Vec<TokenLogprobs>,
    pub(super) text: String,
    /// Set as soon as it is known; the step after it ends the continuation.
    pub(super) finish_reason: Option<FinishReason>,
}

impl Run {
    /// Tokens generated so far, all continuations together.
    pub fn completion_tokens(&self) -> usize {
        self.usage.completion_tokens
    }

    /// How much of the prompt each further step computes about, in tokens times layers, at least one layer of 8 tokens: a driver with a clock keeps steps
    /// short by it. Unless it is said, a step is a pass of 64 tokens through all layers. The result is the same.
    pub fn set_prefill_work(&mut self, token_layers: usize) {
        self.prefill_work = token_layers;
    }

    /// A continuation that begins, of this number.
    pub(super) fn draft(&self, decoder: Decoder) -> Draft {
        let seed = self.seed.wrapping_add(self.choices.len() as u64);
        Draft::new(&self.settings, seed, &self.ends, &self.stop, decoder)
    }
}

impl Draft {
    pub(super) fn new(settings: &Settings, seed: u64, ends: &[u32], stop: &[String], decoder: Decoder) -> Draft {
        Draft {
            sampler: Sampler::new(settings.clone(), seed, ends.to_vec()),
            decoder,
            stop: StopMatcher::new(stop.to_vec()),
            tokens: Vec::new(),
            logprobs: Vec::new(),
            text: String::new(),
            finish_reason: None,
        }
    }

    /// Ends it: what was held back, and the whole.
    pub(super) fn end(&mut self, finish_reason: FinishReason) -> (String, Choice) {
        let rest = self.stop.push(&self.decoder.finish()).0 + &self.stop.finish();
        self.text.push_str(&rest);
        let (text, tokens) = (std::mem::take(&mut self.text), std::mem::take(&mut self.tokens));
        (rest, Choice { text, tokens, logprobs: std::mem::take(&mut self.logprobs), finish_reason })
    }
}
