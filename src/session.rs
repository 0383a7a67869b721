//! The session: continues prompts, answers chats, and reuses the keys and values it has computed.
//!
//! This module connects text and tokens. A session records the tokens whose keys and values are in its KV
//! cache. It computes a new prompt only from the first token that differs from them.
//!
//! A generation is a [`Run`]. A step of it reads a part of the prompt or generates one token, and a caller
//! can stop between any two steps. [`Session::generate`] and [`Session::chat`] wrap a run into an iterator.
//! A chat turn becomes part of the history when its run ends; a turn that is aborted or fails is rolled
//! back.
//!
//! A clone shares the KV cache with its original until one of them writes to it. [`Session::save`] turns a
//! session into bytes, and [`Session::restore`] turns them back.

mod drive;
mod fit;
mod pieces;
mod run;
mod settings;
mod state;

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::model::Model;
use crate::network::sequence::Sequence;
use crate::options::Options;
use crate::text::{Message, Now, TemplateKwargs};

pub use pieces::Pieces;
use run::Phase;
pub use run::{Choice, Completion, Dropped, FinishReason, Piece, Run, Step, Usage};
pub use settings::SessionOptions;

/// A text or a chat in progress on a shared model.
#[derive(Debug)]
pub struct Session {
    model: Arc<Model>,
    sequence: Box<dyn Sequence>,
    /// The tokens of the sequence.
    tokens: Vec<u32>,
    /// Where a shift removed tokens from the text. Entries after it depend on evicted tokens, so no other
    /// text may reuse them.
    cut: Option<usize>,
    messages: Vec<Message>,
    options: SessionOptions,
    /// The number of its latest run. Older runs cannot go on.
    run: u64,
}

/// The input of a chat turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Turn {
    /// The user's next message. It is added to the history.
    User(String),
    /// A whole conversation that ends in a message to answer. It replaces the history.
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

/// The input of a run.
struct Asked {
    prompt: Vec<u32>,
    conversation: Option<Conversation>,
    dropped: Option<Dropped>,
    answers: bool,
    ends: Vec<u32>,
}

/// What the session takes over when a turn ends. The answer is added to the messages then.
#[derive(Debug)]
struct Conversation {
    messages: Vec<Message>,
    template_kwargs: TemplateKwargs,
}

/// A clone has the same history and is independent. It shares the blocks of the KV cache with the original
/// until one of them writes to a block. So a clone takes almost no memory until it continues. A run under way
/// stays with the original.
impl Clone for Session {
    fn clone(&self) -> Session {
        let (sequence, len) = self.fork();
        Session {
            model: self.model.clone(),
            sequence,
            tokens: self.tokens[..len].to_vec(),
            cut: self.cut.filter(|_| len > 0),
            messages: self.messages.clone(),
            options: self.options.clone(),
            run: 0,
        }
    }
}

impl Session {
    /// Creates an empty session on a model.
    pub fn new(model: Arc<Model>) -> Session {
        let options = SessionOptions::default();
        Session { sequence: model.sequence(), tokens: Vec::new(), cut: None, messages: Vec::new(), options, run: 0, model }
    }

    /// Creates a session with a system prompt and arguments of the chat template.
    ///
    /// Errors: `BAD_OPTION` for an argument that the model's template does not read.
    pub fn with_options(model: Arc<Model>, options: SessionOptions) -> Result<Session> {
        model.template().check_kwargs(&options.chat_template_kwargs)?;
        let mut session = Session::new(model);
        session.options = options;
        session.messages = session.begun(Vec::new());
        Ok(session)
    }

    /// The system prompt, and the chat template's arguments as of the last turn that ended.
    pub fn options(&self) -> &SessionOptions {
        &self.options
    }

    /// The model it runs on.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// The chat so far, without the turn under way.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Replaces the chat and ends a run under way. If the new chat does not begin with a system message, the
    /// session's system prompt goes first. The KV cache stays: a common beginning of both chats is reused.
    pub fn set_messages(&mut self, messages: Vec<Message>) {
        self.end_run();
        self.messages = self.begun(messages);
    }

    /// Tokens in the KV cache.
    pub fn context_usage(&self) -> usize {
        self.tokens.len()
    }

    /// The size of the KV cache, including blocks shared with clones. Units: bytes.
    pub fn kv_bytes(&self) -> u64 {
        self.sequence.bytes()
    }

    /// The size of the part of the KV cache that clones share. Units: bytes.
    pub fn shared_bytes(&self) -> u64 {
        self.sequence.shared_bytes()
    }

    /// Clears the chat and the KV cache and ends a run under way. The session keeps its options, including
    /// the system prompt.
    pub fn reset(&mut self) {
        self.end_run();
        self.messages = self.begun(Vec::new());
        self.truncate(0);
    }

    /// Continues a prompt. Recognises special tokens in it, as transformers does. Does not change the chat
    /// history.
    ///
    /// Errors: `BAD_OPTION`; `BAD_INPUT` for an empty prompt; `CONTEXT_OVERFLOW`. The iterator returns later
    /// errors.
    pub fn generate(&mut self, prompt: &str, options: &Options) -> Result<Pieces<'_>> {
        let run = self.begin_generate(prompt, options)?;
        Ok(Pieces::new(self, run))
    }

    /// Answers a turn of a chat.
    ///
    /// Errors: as [`Session::generate`], and `BAD_TEMPLATE`.
    pub fn chat(&mut self, turn: impl Into<Turn>, options: &Options) -> Result<Pieces<'_>> {
        let run = self.begin_chat(turn.into(), options)?;
        Ok(Pieces::new(self, run))
    }

    /// Answers the last question of the chat again. The new answer replaces the old one when it is complete.
    ///
    /// Errors: as [`Session::chat`], and `BAD_INPUT` if the chat has no question.
    pub fn regenerate(&mut self, options: &Options) -> Result<Pieces<'_>> {
        let run = self.begin_regenerate(options)?;
        Ok(Pieces::new(self, run))
    }

    /// Adds messages to the chat and reads them in advance, so that the next turn starts sooner.
    ///
    /// Errors: as [`Session::chat`].
    pub fn append(&mut self, messages: Vec<Message>, options: &Options) -> Result<()> {
        let run = self.begin_append(messages, options)?;
        Pieces::new(self, run).finish().map(drop)
    }

    /// The run of [`Session::generate`], to be driven by [`Session::step`].
    ///
    /// Errors: as there.
    pub fn begin_generate(&mut self, prompt: &str, options: &Options) -> Result<Run> {
        options.check()?;
        if options.chat_template_kwargs.is_some() {
            let (fact, remedy) = ("`generate` renders no chat template".into(), "Use `chat`, or leave it out".into());
            return Err(Error::UselessOption { option: "chatTemplateKwargs".into(), fact, remedy });
        }
        if prompt.is_empty() {
            return Err(empty("prompt"));
        }
        let mut prompt = self.model.tokenizer().encode_prompt(prompt)?;
        let dropped = self.fit_text(&mut prompt, options)?;
        self.begin(Asked { prompt, conversation: None, dropped, answers: true, ends: self.model.eos_ids() }, options)
    }

    /// The run of [`Session::chat`], to be driven by [`Session::step`].
    ///
    /// Errors: as there.
    pub fn begin_chat(&mut self, turn: Turn, options: &Options) -> Result<Run> {
        options.check()?;
        let conversation = self.conversation(turn)?;
        self.begin_turn(conversation, true, options)
    }

    /// The run of [`Session::regenerate`], to be driven by [`Session::step`].
    ///
    /// Errors: as there.
    pub fn begin_regenerate(&mut self, options: &Options) -> Result<Run> {
        options.check()?;
        let last = self.messages.iter().rposition(|message| message.role != "assistant");
        let Some(last) = last.filter(|&last| !fit::is_system(&self.messages[last])) else {
            let expected = "a chat in which something was asked".into();
            return Err(Error::BadInput { what: "session".into(), expected, got: "one without a question".into() });
        };
        self.begin_turn(self.messages[..=last].to_vec(), true, options)
    }

    /// The run of [`Session::append`], to be driven by [`Session::step`]. It uses the options `overflow`,
    /// `chat_template_kwargs` and `now`.
    ///
    /// Errors: as there.
    pub fn begin_append(&mut self, messages: Vec<Message>, options: &Options) -> Result<Run> {
        if messages.is_empty() {
            return Err(no_messages());
        }
        self.model.template().check(&messages)?;
        self.begin_turn([&self.messages[..], &messages].concat(), false, options)
    }

    /// Counts the tokens that a chat turn would add to the prompt, including the start of the answer. It
    /// uses the options `chat_template_kwargs` and `now`.
    ///
    /// Errors: as [`Session::chat`] before its first step.
    pub fn measure_context_usage(&self, turn: impl Into<Turn>, options: &Options) -> Result<usize> {
        let kwargs = self.template_kwargs(options)?;
        let asked = self.render(&self.conversation(turn.into())?, true, kwargs, options.now)?.len();
        let present = if self.messages.is_empty() {
            0
        } else {
            match self.render(&self.messages, false, &self.options.chat_template_kwargs, options.now) {
                // Some templates refuse a chat without a question. No token of such a chat was read yet.
                Err(Error::BadTemplate { .. }) if self.messages.iter().all(fit::is_system) => 0,
                rendered => rendered?.len(),
            }
        };
        Ok(asked.saturating_sub(present))
    }

    /// The chat template's arguments for a turn: those of the options, or else those of the session.
    ///
    /// Errors: `BAD_OPTION` for an argument that the template does not read.
    fn template_kwargs<'a>(&'a self, options: &'a Options) -> Result<&'a TemplateKwargs> {
        match &options.chat_template_kwargs {
            Some(kwargs) => self.model.template().check_kwargs(kwargs).map(|()| kwargs),
            None => Ok(&self.options.chat_template_kwargs),
        }
    }

    fn begin_turn(&mut self, conversation: Vec<Message>, answers: bool, options: &Options) -> Result<Run> {
        let template_kwargs = self.template_kwargs(options)?.clone();
        let (messages, prompt, dropped) = self.fit_chat(conversation, answers, &template_kwargs, options)?;
        let conversation = Some(Conversation { messages, template_kwargs });
        self.begin(Asked { prompt, conversation, dropped, answers, ends: self.model.turn_eos_ids() }, options)
    }

    fn begin(&mut self, asked: Asked, options: &Options) -> Result<Run> {
        let Asked { prompt, conversation, dropped, answers, mut ends } = asked;
        if prompt.is_empty() {
            return Err(empty("prompt"));
        }
        self.model.check_tokens(&prompt)?;
        options.check_tokens(self.model.tokenizer().vocab())?;
        let settings = options.settle(self.model.generation(), prompt.len());
        // Stop strings of the caller add to the model's, as stop tokens do.
        let stop = [&self.model.generation().stop[..], &options.stop].concat();
        ends.extend(&options.stop_tokens);
        let decoder = self.model.tokenizer().decoder(&prompt)?;
        self.end_run();
        Ok(Run {
            number: self.run,
            answers,
            dropped,
            overflow: options.overflow,
            seed: options.seed.unwrap_or(0),
            stop,
            n: options.n.unwrap_or(1),
            ends,
            conversation,
            phase: Phase::New,
            logits: None,
            origin: None,
            prefill_work: usize::MAX,
            decoder,
            drafts: Vec::new(),
            turn: 0,
            usage: Usage { prompt_tokens: prompt.len(), ..Usage::default() },
            settings,
            prompt,
        })
    }

    /// The history after a turn, without its answer.
    fn conversation(&self, turn: Turn) -> Result<Vec<Message>> {
        if let Turn::Conversation(messages) = &turn {
            self.model.template().check(messages)?;
        }
        match turn {
            Turn::User(text) if text.is_empty() => Err(bad_message("input", "is an empty text", "Pass what the user says")),
            Turn::User(text) => {
                let mut messages = self.messages.clone();
                messages.push(Message::new("user", text));
                Ok(messages)
            }
            Turn::Conversation(messages) => match messages.last() {
                None => Err(no_messages()),
                Some(last) if last.role == "assistant" => Err(bad_message(
                    format!("messages[{}]", messages.len() - 1),
                    "is the assistant's, and there is nothing to answer",
                    "End the list in a message to answer, or add it by `append`",
                )),
                Some(_) => Ok(self.begun(messages)),
            },
        }
    }

    /// Puts the session's system prompt before `messages`, unless they begin with a system message.
    fn begun(&self, mut messages: Vec<Message>) -> Vec<Message> {
        if let Some(system) = &self.options.system
            && !messages.first().is_some_and(fit::is_system)
        {
            messages.insert(0, Message::new("system", system.clone()));
        }
        messages
    }

    fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        template_kwargs: &TemplateKwargs,
        now: Option<Now>,
    ) -> Result<Vec<u32>> {
        let (tokenizer, template) = (self.model.tokenizer(), self.model.template());
        let rendered = template.render_with(messages, add_generation_prompt, template_kwargs, tokenizer.special_tokens(), now)?;
        tokenizer.encode_rendered(&rendered)
    }
}

fn empty(what: &str) -> Error {
    Error::BadInput { what: what.into(), expected: "some text".into(), got: "an empty one".into() }
}

fn no_messages() -> Error {
    bad_message("messages", "is an empty list", "Pass at least one message")
}

fn bad_message(what: impl Into<String>, fact: &str, remedy: &str) -> Error {
    Error::BadMessage { what: what.into(), fact: fact.into(), remedy: remedy.into() }
}
