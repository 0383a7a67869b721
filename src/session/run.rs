//! A generation under way, and what comes of it.

use crate::network::sequence::Sequence;
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
    /// Which completion it belongs to, from 0.
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
    /// Whether it generates, or reads the prompt only.
    pub(super) answers: bool,
    /// What was dropped before it began, until that is told.
    pub(super) dropped: Option<Dropped>,
    pub(super) overflow: Overflow,
    pub(super) settings: Settings,
    /// The seed of the first completion; each further one has the next number.
    pub(super) seed: u64,
    pub(super) stop: Vec<String>,
    /// How many completions to generate for the prompt.
    pub(super) n: usize,
    /// Tokens that end the text.
    pub(super) ends: Vec<u32>,
    /// What becomes the session's history when the run ends, its answer still missing.
    pub(super) conversation: Option<Conversation>,
    pub(super) phase: Phase,
    /// The logits of the prompt's last token, until completions begin.
    pub(super) logits: Option<Vec<f32>>,
    /// Tokens times layers that a step of prefill computes about.
    pub(super) prefill_work: usize,
    /// Where the prompt ends, if there are several completions.
    pub(super) origin: Option<Origin>,
    /// Has decoded the prompt: every completion begins with a copy.
    pub(super) decoder: Decoder,
    /// The completions, those that have ended too.
    pub(super) drafts: Vec<Draft>,
    /// The completion whose turn it is to be looked at.
    pub(super) turn: usize,
    pub(super) usage: Usage,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing was computed for it.
    New,
    /// The prompt is being read.
    Prefill,
    /// Its completions are being generated.
    Decode,
}

/// The end of a prompt: its keys and values, and the logits of its last token.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) sequence: Box<dyn Sequence>,
    pub(super) logits: Vec<f32>,
}

/// A completion under way.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) sampler: Sampler,
    pub(super) decoder: Decoder,
    pub(super) stop: StopMatcher,
    pub(super) tokens: Vec<u32>,
    pub(super) logprobs: Vec<TokenLogprobs>,
    pub(super) text: String,
    /// Set as soon as it is known; the step after it ends the completion.
    pub(super) finish_reason: Option<FinishReason>,
    pub(super) next: Next,
    /// The text it is computed on: the session's own for the first completion. `None`: it has to be read anew from where
    /// the prompt ends, since its memory was needed for others.
    pub(super) sequence: Option<Box<dyn Sequence>>,
    /// Whether it waits until another completion has ended, for want of memory.
    pub(super) is_held: bool,
    /// Whether some of its middle was forgotten: it cannot be read anew.
    pub(super) is_cut: bool,
    /// What has become of it.
    pub(super) choice: Option<Choice>,
}

/// What a completion has to do next.
#[derive(Debug)]
pub(super) enum Next {
    /// To sample from these logits.
    Sample(Vec<f32>),
    /// To append the token that was sampled last; the buffer is for the logits that come of it.
    Append(Vec<f32>),
    /// To wait for the logits.
    Wait,
}

impl Run {
    /// Tokens generated so far, all completions together.
    pub fn completion_tokens(&self) -> usize {
        self.usage.completion_tokens
    }

    /// How much of the prompt each further step computes about, in tokens times layers; at least one layer of 8 tokens.
    /// A driver with a clock keeps steps short by it. By default a step is a pass of 64 tokens through all layers. The
    /// result is the same.
    pub fn set_prefill_work(&mut self, token_layers: usize) {
        self.prefill_work = token_layers;
    }

    /// The next completion, which begins with the logits of the prompt's last token.
    pub(super) fn draft(&self, logits: Vec<f32>, sequence: Option<Box<dyn Sequence>>) -> Draft {
        let seed = self.seed.wrapping_add(self.drafts.len() as u64);
        Draft {
            sampler: Sampler::new(self.settings.clone(), seed, self.ends.clone()),
            decoder: self.decoder.clone(),
            stop: StopMatcher::new(self.stop.clone()),
            tokens: Vec::new(),
            logprobs: Vec::new(),
            text: String::new(),
            finish_reason: None,
            next: Next::Sample(logits),
            sequence,
            is_held: false,
            is_cut: false,
            choice: None,
        }
    }

    /// The completions that are under way and have their memory.
    pub(super) fn alive(&self) -> impl DoubleEndedIterator<Item = usize> {
        let is_alive = |(_, draft): &(usize, &Draft)| draft.choice.is_none() && !draft.is_held;
        self.drafts.iter().enumerate().filter(is_alive).map(|(index, _)| index)
    }

    /// The completions, all of which have ended. A run without any has one that is empty.
    pub(super) fn completion(&mut self, finish_reason: FinishReason) -> Completion {
        self.origin = None;
        let mut choices: Vec<Choice> = self.drafts.drain(..).filter_map(|draft| draft.choice).collect();
        if choices.is_empty() {
            choices.push(Choice { text: String::new(), tokens: Vec::new(), logprobs: Vec::new(), finish_reason });
        }
        Completion::new(choices, self.usage)
    }
}

impl Draft {
    /// Ends it. Returns the text that was held back.
    pub(super) fn end(&mut self, finish_reason: FinishReason) -> String {
        let rest = self.stop.push(&self.decoder.finish()).0 + &self.stop.finish();
        self.text.push_str(&rest);
        let (text, tokens, logprobs) =
            (std::mem::take(&mut self.text), std::mem::take(&mut self.tokens), std::mem::take(&mut self.logprobs));
        self.choice = Some(Choice { text, tokens, logprobs, finish_reason });
        (self.sequence, self.next) = (None, Next::Wait);
        rest
    }

    /// Gives its memory to others; it goes on when [`Draft::is_held`] is unset.
    pub(super) fn hold(&mut self) {
        (self.sequence, self.is_held) = (None, true);
        if matches!(self.next, Next::Wait) {
            self.next = Next::Append(Vec::new());
        }
    }
}
