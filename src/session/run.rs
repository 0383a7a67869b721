//! The types of a generation: the run under way, its steps and its completions.

use crate::network::sequence::Sequence;
use crate::options::{Overflow, Settings};
use crate::sampler::{Sampler, TokenLogprobs};
use crate::stop::StopMatcher;
use crate::tokenizer::Decoder;

use super::Conversation;

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended the text, or generated a stop string or stop token.
    Stop,
    /// `max_tokens` were generated, or the context is full.
    Length,
    /// The caller aborted the run.
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
    /// The prompt, including the cached part.
    pub prompt_tokens: usize,
    /// The generated tokens of all completions, without the tokens that ended them.
    pub completion_tokens: usize,
    /// The beginning of the prompt that was in the cache and was not computed again.
    pub cached_tokens: usize,
}

/// One completion of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The whole text, without stop strings and special tokens.
    pub text: String,
    /// The generated tokens, without the one that ended the text.
    pub tokens: Vec<u32>,
    /// The log-probabilities of each token, if `logprobs` asked for them.
    pub logprobs: Vec<TokenLogprobs>,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

/// The result of a run: its first completion, and the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The whole text, without stop strings and special tokens.
    pub text: String,
    /// The generated tokens, without the one that ended the text.
    pub tokens: Vec<u32>,
    /// The log-probabilities of each token, if `logprobs` asked for them.
    pub logprobs: Vec<TokenLogprobs>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// The completions after the first, if `n` is above 1.
    pub others: Vec<Choice>,
    /// What all completions cost.
    pub usage: Usage,
}

impl Completion {
    pub(super) fn new(choices: Vec<Choice>, usage: Usage) -> Completion {
        let mut choices = choices.into_iter();
        let Choice { text, tokens, logprobs, finish_reason } = choices.next().expect("there is always one");
        Completion { text, tokens, logprobs, finish_reason, others: choices.collect(), usage }
    }
}

/// A piece of text, of whole characters.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// The new text; empty while a character or a possible stop string is incomplete.
    pub text: String,
    /// The generated token; `None` for text that was held back until the end.
    pub token: Option<u32>,
    /// The log-probabilities of the token, if `logprobs` asked for them.
    pub logprobs: Option<TokenLogprobs>,
    /// Which completion it belongs to, from 0.
    pub choice: usize,
}

/// The messages and tokens dropped because the context is too small.
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
    /// The context was too small, so messages or tokens were dropped as `overflow` says.
    Overflow(Dropped),
    /// A part of the prompt was computed. Units: tokens, including cached ones.
    Prefill {
        /// Prompt tokens computed so far.
        done: usize,
        /// Tokens of the prompt.
        total: usize,
        /// What this step computed. Units: tokens times layers.
        work: usize,
    },
    /// A token was generated, or a completion ended with text that was held back.
    Token(Piece),
    /// The run ended. The piece holds the text that was held back.
    End(Piece, Completion),
}

/// A generation under way; see [`Session::step`](super::Session::step).
#[derive(Debug)]
pub struct Run {
    /// The number of the run; see [`Session::step`](super::Session::step).
    pub(super) number: u64,
    pub(super) prompt: Vec<u32>,
    /// Whether it generates. If not, it only reads the prompt.
    pub(super) answers: bool,
    /// What was dropped from the prompt, until a step reports it.
    pub(super) dropped: Option<Dropped>,
    pub(super) overflow: Overflow,
    pub(super) settings: Settings,
    /// The seed of the first completion. Each further completion has the next number.
    pub(super) seed: u64,
    pub(super) stop: Vec<String>,
    /// How many completions to generate for the prompt.
    pub(super) n: usize,
    /// Tokens that end the text.
    pub(super) ends: Vec<u32>,
    /// The session's history when the run ends, without the answer.
    pub(super) conversation: Option<Conversation>,
    pub(super) phase: Phase,
    /// The logits of the prompt's last token, until completions begin.
    pub(super) logits: Option<Vec<f32>>,
    /// About how much a step of prefill computes. Units: tokens times layers.
    pub(super) prefill_work: usize,
    /// The read prompt, from which further completions fork.
    pub(super) origin: Option<Origin>,
    /// The decoder after the prompt. Each completion begins with a copy.
    pub(super) decoder: Decoder,
    /// The completions, including those that have ended.
    pub(super) drafts: Vec<Draft>,
    /// The completion to poll next.
    pub(super) turn: usize,
    pub(super) usage: Usage,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is computed yet.
    New,
    /// It reads the prompt.
    Prefill,
    /// It generates completions.
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
    /// Set when it is known. The step after that ends the completion.
    pub(super) finish_reason: Option<FinishReason>,
    pub(super) next: Next,
    /// The completion's sequence. `None`: the first completion uses the session's sequence; another forks
    /// the origin and reads its tokens again, if it was held.
    pub(super) sequence: Option<Box<dyn Sequence>>,
    /// Whether it waits for memory until another completion ends.
    pub(super) is_held: bool,
    /// Whether a shift removed some of its tokens. It can then not be read again.
    pub(super) is_cut: bool,
    /// The result, once it has ended.
    pub(super) choice: Option<Choice>,
}

/// What a completion has to do next.
#[derive(Debug)]
pub(super) enum Next {
    /// Sample from these logits.
    Sample(Vec<f32>),
    /// Append the last sampled token. The buffer is for its logits.
    Append(Vec<f32>),
    /// Wait for the logits.
    Wait,
}

impl Run {
    /// Tokens generated so far, in all completions.
    pub fn completion_tokens(&self) -> usize {
        self.usage.completion_tokens
    }

    /// Sets about how much of the prompt each further step computes. Units: tokens times layers; a step
    /// computes at least one layer of 8 tokens. A caller with a clock keeps steps short with it. The default
    /// is 64 tokens through all layers. It does not change the result.
    pub fn set_prefill_work(&mut self, token_layers: usize) {
        self.prefill_work = token_layers;
    }

    /// Makes the next completion, which begins with the logits of the prompt's last token.
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

    /// The indices of the completions that run and are not held.
    pub(super) fn alive(&self) -> impl DoubleEndedIterator<Item = usize> {
        let is_alive = |(_, draft): &(usize, &Draft)| draft.choice.is_none() && !draft.is_held;
        self.drafts.iter().enumerate().filter(is_alive).map(|(index, _)| index)
    }

    /// Makes the result of the run from its completions, which have ended. Without any, the result is one
    /// empty completion.
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
    /// Ends the completion. Returns the text that was held back.
    pub(super) fn end(&mut self, finish_reason: FinishReason) -> String {
        let rest = self.stop.push(&self.decoder.finish()).0 + &self.stop.finish();
        self.text.push_str(&rest);
        let (text, tokens, logprobs) =
            (std::mem::take(&mut self.text), std::mem::take(&mut self.tokens), std::mem::take(&mut self.logprobs));
        self.choice = Some(Choice { text, tokens, logprobs, finish_reason });
        (self.sequence, self.next) = (None, Next::Wait);
        rest
    }

    /// Frees its memory for the others. It continues when [`Draft::is_held`] is unset.
    pub(super) fn hold(&mut self) {
        (self.sequence, self.is_held) = (None, true);
        if matches!(self.next, Next::Wait) {
            self.next = Next::Append(Vec::new());
        }
    }
}
