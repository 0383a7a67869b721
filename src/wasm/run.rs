//! A generation under way, as JavaScript drives it.

use std::cell::RefCell;
use std::rc::Rc;

use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::Shared;
use super::convert::{Result, to_error, to_js};
use crate::error::Error;
use crate::model::Model;
use crate::sampler::TokenLogprobs;
use crate::session::{Choice, Completion, Dropped, Run, Step, Usage};

/// A generation under way. Its session is busy until the run ends, is aborted or is freed.
#[wasm_bindgen(js_name = Run)]
pub struct JsRun {
    pub(super) shared: Rc<RefCell<Shared>>,
    /// Gone once the run is over.
    pub(super) run: Option<Run>,
}

#[wasm_bindgen(js_class = Run)]
impl JsRun {
    /// Computes a piece of the prompt, of about `prefill_work` tokens times layers where that is given, or one token.
    pub fn step(&mut self, prefill_work: Option<usize>) -> Result<JsValue> {
        let run = self.run.as_mut().ok_or_else(over)?;
        if let Some(token_layers) = prefill_work {
            run.set_prefill_work(token_layers);
        }
        let mut shared = self.shared.borrow_mut();
        let step = shared.session.step(run);
        let completion_tokens = run.completion_tokens();
        let object = step.map_err(to_error).and_then(|step| StepObject::of(step, completion_tokens, shared.session.model()));
        drop(shared);
        if !matches!(object, Ok(StepObject::Overflow { .. } | StepObject::Prefill { .. } | StepObject::Token { .. })) {
            self.release();
        }
        to_js(&object?)
    }

    /// Ends the run: a chat turn has never been, and the session works on.
    pub fn abort(&mut self) -> Result<JsValue> {
        let run = self.run.as_mut().ok_or_else(over)?;
        let mut shared = self.shared.borrow_mut();
        let completion = shared.session.abort(run);
        let object = StepObject::end(String::new(), completion, shared.session.model());
        drop(shared);
        self.release();
        to_js(&object?)
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

fn over() -> JsValue {
    to_error(Error::BadInput { what: "run".into(), expected: "one under way".into(), got: "one that is over".into() })
}

/// What a step did, as JavaScript sees it.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase", rename_all_fields = "camelCase")]
enum StepObject {
    Overflow {
        dropped_messages: usize,
        dropped_tokens: usize,
    },
    Prefill {
        done: usize,
        total: usize,
        work: usize,
    },
    Token {
        text: String,
        completion_tokens: usize,
        choice: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        logprobs: Option<TokenLogprobObject>,
    },
    End {
        text: String,
        choices: Vec<ChoiceObject>,
        usage: UsageObject,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UsageObject {
    prompt_tokens: usize,
    completion_tokens: usize,
    cached_tokens: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChoiceObject {
    text: String,
    finish_reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<Vec<TokenLogprobObject>>,
}

#[derive(Serialize)]
struct TokenLogprobObject {
    #[serde(flatten)]
    drawn: Likelihood,
    top: Vec<Likelihood>,
}

#[derive(Serialize)]
struct Likelihood {
    id: u32,
    text: String,
    bytes: Vec<u8>,
    logprob: f32,
}

impl StepObject {
    fn of(step: Step, completion_tokens: usize, model: &Model) -> Result<StepObject> {
        Ok(match step {
            Step::Overflow(Dropped { messages, tokens }) => StepObject::Overflow { dropped_messages: messages, dropped_tokens: tokens },
            Step::Prefill { done, total, work } => StepObject::Prefill { done, total, work },
            Step::Token(piece) => {
                let logprobs = piece.logprobs.map(|logprobs| TokenLogprobObject::of(logprobs, model)).transpose()?;
                StepObject::Token { text: piece.text, completion_tokens, choice: piece.choice, logprobs }
            }
            Step::End(piece, completion) => StepObject::end(piece.text, completion, model)?,
        })
    }

    fn end(rest: String, completion: Completion, model: &Model) -> Result<StepObject> {
        let Completion { text, tokens, logprobs, finish_reason, others, usage } = completion;
        let first = Choice { text, tokens, logprobs, finish_reason };
        let choices = std::iter::once(first).chain(others).map(|choice| ChoiceObject::of(choice, model)).collect::<Result<_>>()?;
        let Usage { prompt_tokens, completion_tokens, cached_tokens } = usage;
        Ok(StepObject::End { text: rest, choices, usage: UsageObject { prompt_tokens, completion_tokens, cached_tokens } })
    }
}

impl ChoiceObject {
    fn of(choice: Choice, model: &Model) -> Result<ChoiceObject> {
        let logprobs: Vec<_> =
            choice.logprobs.into_iter().map(|logprobs| TokenLogprobObject::of(logprobs, model)).collect::<Result<_>>()?;
        let logprobs = (!logprobs.is_empty()).then_some(logprobs);
        Ok(ChoiceObject { text: choice.text, finish_reason: choice.finish_reason.as_str(), logprobs })
    }
}

impl TokenLogprobObject {
    fn of(logprobs: TokenLogprobs, model: &Model) -> Result<TokenLogprobObject> {
        let likelihood = |(id, logprob)| {
            let bytes = model.tokenizer().piece_bytes(id).map_err(to_error)?;
            Ok(Likelihood { id, text: String::from_utf8_lossy(&bytes).into_owned(), bytes, logprob })
        };
        let TokenLogprobs { token, logprob, top } = logprobs;
        Ok(TokenLogprobObject { drawn: likelihood((token, logprob))?, top: top.into_iter().map(likelihood).collect::<Result<_>>()? })
    }
}
