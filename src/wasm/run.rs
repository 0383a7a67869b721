//! A generation under way, as JavaScript drives it.

use std::cell::RefCell;
use std::rc::Rc;

use serde::Serialize;
use tsify::Tsify;
use wasm_bindgen::prelude::*;

use super::Shared;
use super::convert::{Result, to_error, to_js};
use crate::error::{Error, Result as EngineResult};
use crate::model::Model;
use crate::sampler::TokenLogprobs;
use crate::session::{self, Choice, Completion, Dropped, Piece, Run, Session, Step};

/// A generation under way. Its session is busy until the run ends, is aborted or is freed.
#[wasm_bindgen(js_name = Run)]
pub struct JsRun {
    shared: Rc<RefCell<Shared>>,
    /// `None` once the run is over.
    run: Option<Run>,
    /// The log-probabilities of each choice so far.
    logprobs: Vec<Vec<TokenLogprob>>,
}

#[wasm_bindgen(js_class = Run)]
impl JsRun {
    /// Computes a part of the prompt, of about `prefillWork` tokens times layers where that is given, or
    /// one token.
    #[wasm_bindgen(unchecked_return_type = "RunStep")]
    pub fn step(&mut self, #[wasm_bindgen(js_name = prefillWork)] prefill_work: Option<usize>) -> Result<JsValue> {
        if let (Some(run), Some(token_layers)) = (&mut self.run, prefill_work) {
            run.set_prefill_work(token_layers);
        }
        self.advance(|session, run| session.step(run).map(Some))
    }

    /// What the run has come to, without computing; `undefined` if it waits for `Model.step`.
    #[wasm_bindgen(unchecked_return_type = "RunStep | undefined")]
    pub fn poll(&mut self) -> Result<JsValue> {
        self.advance(Session::poll)
    }

    /// Ends the run. A chat turn is rolled back, and the session works on.
    #[wasm_bindgen(unchecked_return_type = "RunStep")]
    pub fn abort(&mut self) -> Result<JsValue> {
        let run = self.run.as_mut().ok_or_else(over)?;
        let completion = self.shared.borrow_mut().session.abort(run);
        let nothing = Piece { text: String::new(), token: None, logprobs: None, choice: 0 };
        let end = self.ended(nothing, completion);
        self.release();
        to_js(&end)
    }

    fn advance(&mut self, step: impl FnOnce(&mut Session, &mut Run) -> EngineResult<Option<Step>>) -> Result<JsValue> {
        let run = self.run.as_mut().ok_or_else(over)?;
        let shared = self.shared.clone();
        let mut shared = shared.borrow_mut();
        let step = step(&mut shared.session, run).map_err(to_error);
        let completion_tokens = run.completion_tokens();
        let Some(step) = step.transpose() else { return Ok(JsValue::UNDEFINED) };
        let step = step.and_then(|step| self.told(step, completion_tokens, shared.session.model()));
        drop(shared);
        if matches!(step, Err(_) | Ok(RunStep::End { .. })) {
            self.release();
        }
        to_js(&step?)
    }

    fn told(&mut self, step: Step, completion_tokens: usize, model: &Model) -> Result<RunStep> {
        Ok(match step {
            Step::Overflow(Dropped { messages, tokens }) => RunStep::Overflow { dropped_messages: messages, dropped_tokens: tokens },
            Step::Prefill { done, total, work } => RunStep::Prefill { done, total, work },
            Step::Token(Piece { text, logprobs, choice, .. }) => {
                let logprobs = logprobs.map(|logprobs| TokenLogprob::of(logprobs, model)).transpose()?;
                self.logprobs.resize_with(self.logprobs.len().max(choice + 1), Vec::new);
                self.logprobs[choice].extend(logprobs.clone());
                RunStep::Token { text, completion_tokens, choice, logprobs }
            }
            Step::End(piece, completion) => self.ended(piece, completion),
        })
    }

    fn ended(&mut self, Piece { text: rest, choice, .. }: Piece, completion: Completion) -> RunStep {
        let Completion { text, tokens, logprobs, finish_reason, others, usage } = completion;
        let first = Choice { text, tokens, logprobs, finish_reason };
        let mut logprobs = std::mem::take(&mut self.logprobs).into_iter();
        let choices = std::iter::once(first).chain(others).map(|Choice { text, finish_reason, .. }| {
            let logprobs = logprobs.next().filter(|logprobs| !logprobs.is_empty());
            Continuation { text, finish_reason: finish_reason.as_str(), logprobs }
        });
        let session::Usage { prompt_tokens, completion_tokens, cached_tokens } = usage;
        RunStep::End { text: rest, choice, choices: choices.collect(), usage: Usage { prompt_tokens, completion_tokens, cached_tokens } }
    }

    fn release(&mut self) {
        if self.run.take().is_some() {
            self.shared.borrow_mut().running = false;
        }
    }
}

impl Drop for JsRun {
    fn drop(&mut self) {
        self.release();
    }
}

impl JsRun {
    pub(super) fn new(shared: Rc<RefCell<Shared>>, run: Run) -> JsRun {
        JsRun { shared, run: Some(run), logprobs: Vec::new() }
    }
}

fn over() -> JsValue {
    to_error(Error::BadInput { what: "run".into(), expected: "one under way".into(), got: "one that is over".into() })
}

/// What a step of a run did.
#[derive(Serialize, Tsify)]
#[serde(tag = "kind", rename_all = "lowercase", rename_all_fields = "camelCase")]
enum RunStep {
    /// The context was too small: messages of the chat, or tokens, were dropped.
    Overflow { dropped_messages: usize, dropped_tokens: usize },
    /// A part of the prompt was computed. Units: tokens; `work`: what this step computed, in tokens times
    /// layers.
    Prefill { done: usize, total: usize, work: usize },
    /// A token was generated. `completionTokens`: tokens generated so far.
    Token {
        text: String,
        completion_tokens: usize,
        choice: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        logprobs: Option<TokenLogprob>,
    },
    /// The run has ended. `text`: what had been held back of the last choice to end, `choice`.
    End { text: String, choice: usize, choices: Vec<Continuation>, usage: Usage },
}

/// What a run cost. Units: tokens.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
struct Usage {
    /// Of the prompt, the cached part included.
    prompt_tokens: usize,
    /// Generated by all choices together.
    completion_tokens: usize,
    /// Tokens of the prompt whose computation was reused from the session's KV cache.
    cached_tokens: usize,
}

/// One of the `n` completions of a prompt.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
struct Continuation {
    text: String,
    #[tsify(type = "'stop' | 'length' | 'abort'")]
    finish_reason: &'static str,
    /// One for each token, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Vec<TokenLogprob>>,
}

/// A token that was drawn, and the likeliest tokens in its place.
#[derive(Clone, Serialize, Tsify)]
struct TokenLogprob {
    #[serde(flatten)]
    drawn: Likelihood,
    /// As many as were asked for, the likeliest first.
    top: Vec<Likelihood>,
}

/// A token and its probability.
#[derive(Clone, Serialize, Tsify)]
struct Likelihood {
    id: u32,
    /// The text of this token alone, special tokens shown. A half of a character is U+FFFD here; it is
    /// whole in the `bytes` of its tokens together.
    text: String,
    bytes: Vec<u8>,
    /// Units: natural logarithm of the probability, as the model gave it, before penalties and filters.
    logprob: f32,
}

impl TokenLogprob {
    fn of(logprobs: TokenLogprobs, model: &Model) -> Result<TokenLogprob> {
        let likelihood = |(id, logprob)| {
            let bytes = model.tokenizer().piece_bytes(id).map_err(to_error)?;
            Ok(Likelihood { id, text: String::from_utf8_lossy(&bytes).into_owned(), bytes, logprob })
        };
        let TokenLogprobs { token, logprob, top } = logprobs;
        Ok(TokenLogprob { drawn: likelihood((token, logprob))?, top: top.into_iter().map(likelihood).collect::<Result<_>>()? })
    }
}
