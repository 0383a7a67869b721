//! Drives a run: reads its prompt, generates its completions side by side, and ends it.

use std::task::Poll;

use super::run::{Next, Origin, Phase};
use super::{Completion, Conversation, Dropped, FinishReason, Piece, Run, Session, Step};
use crate::error::{Error, Result};
use crate::network::sequence::Sequence;
use crate::options::Overflow;
use crate::text::Message;

/// The most completions of one run that are generated at the same time. The others begin as these end. More
/// would not share the reads of the weights better, and each needs memory for keys and values.
const SIDE_BY_SIDE_MAX: usize = 8;

impl Session {
    /// Drives the session's latest run by one step. After `Step::End` or an error the run is over; do not
    /// call this again with it.
    ///
    /// Errors: `NON_FINITE`, `OUT_OF_MEMORY`; the session stays usable. `BAD_INPUT` if a newer run has begun.
    pub fn step(&mut self, run: &mut Run) -> Result<Step> {
        loop {
            if let Some(step) = self.poll(run)? {
                return Ok(step);
            }
            self.model.step(run.prefill_work);
        }
    }

    /// Returns the next step of a run without computing, or `None` if the run waits for
    /// [`Model::step`](crate::Model::step).
    ///
    /// Errors: as [`Session::step`].
    pub fn poll(&mut self, run: &mut Run) -> Result<Option<Step>> {
        if run.number != self.run {
            return Err(Error::BadInput { what: "run".into(), expected: "the latest of its session".into(), got: "one before it".into() });
        }
        if let Some(dropped) = run.dropped.take() {
            return Ok(Some(Step::Overflow(dropped)));
        }
        if run.phase == Phase::New {
            self.begin_prefill(run)?;
        }
        if run.phase == Phase::Prefill {
            let step = self.poll_prefill(run)?;
            if step.is_some() || run.phase == Phase::Prefill {
                return Ok(step);
            }
        }
        if !run.answers {
            return Ok(Some(self.end(run, 0, String::new())));
        }
        self.begin_drafts(run);
        for _ in 0..run.drafts.len() {
            let index = run.turn % run.drafts.len();
            run.turn = index + 1;
            let step = self.poll_draft(run, index)?;
            if step.is_some() {
                return Ok(step);
            }
        }
        Ok(None)
    }

    /// Aborts a run. The cache stays valid and the history does not change.
    pub fn abort(&mut self, run: &mut Run) -> Completion {
        run.conversation = None;
        if run.number == self.run {
            self.cancel();
        }
        for draft in run.drafts.iter_mut().filter(|draft| draft.choice.is_none()) {
            draft.end(FinishReason::Abort);
        }
        run.completion(FinishReason::Abort)
    }

    /// Ends the run under way, so that another can begin.
    pub(super) fn end_run(&mut self) {
        self.run = self.model.next_run();
        self.cancel();
    }

    /// Cancels the pending append. The sequence may hold more tokens than `tokens` if it was not polled
    /// since.
    fn cancel(&mut self) {
        let cut = self.cut;
        if self.truncate(self.tokens.len()) > 0 {
            self.cut = cut;
        }
    }

    /// Copies the sequence up to the end of `tokens`, or less if it must. Returns the copy and its length.
    pub(super) fn fork(&self) -> (Box<dyn Sequence>, usize) {
        let mut fork = self.sequence.fork();
        let len = fork.reach(self.tokens.len());
        fork.truncate(len);
        (fork, len)
    }

    /// Forgets the tokens from `keep` on, and more if it must. `keep` is at most `cut`. Returns how many are
    /// left.
    pub(super) fn truncate(&mut self, keep: usize) -> usize {
        let keep = self.sequence.reach(keep);
        self.sequence.truncate(keep);
        self.tokens.truncate(keep);
        self.cut = None;
        keep
    }

    /// Keeps the longest common beginning of cache and prompt, and appends the rest of the prompt. If logits
    /// are wanted, at least the last token is computed again.
    fn begin_prefill(&mut self, run: &mut Run) -> Result<()> {
        let common = self.tokens.iter().zip(&run.prompt).take_while(|(cached, asked)| cached == asked).count();
        let keep = common.min(run.prompt.len() - usize::from(run.answers)).min(self.cut.unwrap_or(common));
        let keep = self.truncate(keep);
        run.usage.cached_tokens = keep;
        run.phase = Phase::Prefill;
        match &run.prompt[keep..] {
            [] => Ok(()),
            rest => self.sequence.append(rest, run.answers.then(Vec::new)),
        }
    }

    fn poll_prefill(&mut self, run: &mut Run) -> Result<Option<Step>> {
        let (polled, work, done) = (self.sequence.poll(), self.sequence.take_work(), self.sequence.past());
        self.tokens.truncate(done);
        self.tokens.extend_from_slice(&run.prompt[self.tokens.len()..done]);
        if let Poll::Ready(logits) = polled {
            run.logits = logits?;
            run.phase = Phase::Decode;
        }
        Ok((work > 0).then_some(Step::Prefill { done, total: run.prompt.len(), work }))
    }

    /// Begins as many completions as may run side by side. Each continues a fork of the prompt.
    fn begin_drafts(&mut self, run: &mut Run) {
        if let Some(logits) = run.logits.take() {
            let origin = (run.n > 1).then(|| Origin { sequence: self.sequence.fork(), logits: logits.clone() });
            run.drafts.push(run.draft(logits, None));
            run.origin = origin;
        }
        let is_anyone_held = run.drafts.iter().any(|draft| draft.is_held);
        let room = SIDE_BY_SIDE_MAX.saturating_sub(run.alive().count());
        for _ in run.drafts.len()..run.n.min(run.drafts.len() + if is_anyone_held { 0 } else { room }) {
            let Some(Origin { sequence, logits }) = &run.origin else { break };
            let draft = run.draft(logits.clone(), Some(sequence.fork()));
            run.drafts.push(draft);
        }
    }

    /// Returns the next step of completion `index`, or `None` if it waits.
    fn poll_draft(&mut self, run: &mut Run, index: usize) -> Result<Option<Step>> {
        let context = self.model.config().plan.context;
        let draft = &mut run.drafts[index];
        if draft.choice.is_some() || draft.is_held {
            return Ok(None);
        }
        if let Some(reason) = draft.finish_reason {
            return Ok(Some(self.end_draft(run, index, reason)));
        }
        if matches!(draft.next, Next::Append(_)) && draft.sequence.as_ref().unwrap_or(&self.sequence).past() == context {
            return match run.overflow {
                Overflow::Shift => self.shift(run, index).map(Some),
                _ => Ok(Some(self.end_draft(run, index, FinishReason::Length))),
            };
        }
        match std::mem::replace(&mut draft.next, Next::Wait) {
            Next::Sample(logits) => return self.sample(run, index, logits).map(Some),
            Next::Append(logits) => {
                if let (Some(Origin { sequence, .. }), None, 1..) = (&run.origin, &draft.sequence, index) {
                    draft.sequence = Some(sequence.fork());
                }
                let sequence = draft.sequence.as_mut().unwrap_or(&mut self.sequence);
                // One token, unless the completion was held: it then reads all its tokens again.
                let read = if draft.is_cut { draft.tokens.len() - 1 } else { sequence.past() - run.prompt.len() };
                sequence.append(&draft.tokens[read..], Some(logits))?;
            }
            Next::Wait => {}
        }
        match draft.sequence.as_mut().unwrap_or(&mut self.sequence).poll() {
            Poll::Ready(Ok(Some(logits))) => {
                if index == 0 {
                    self.tokens.push(draft.tokens[draft.tokens.len() - 1]);
                }
                self.sample(run, index, logits).map(Some)
            }
            Poll::Ready(Err(error)) => {
                self.tokens.truncate(self.sequence.past());
                self.make_room(run, index, error)
            }
            Poll::Pending | Poll::Ready(Ok(None)) => Ok(None),
        }
    }

    /// Frees memory by holding the last completion that can be read again from the prompt.
    ///
    /// Errors: `error`, if it is not `OUT_OF_MEMORY` or no completion can be held.
    fn make_room(&mut self, run: &mut Run, index: usize, error: Error) -> Result<Option<Step>> {
        let held = run.alive().rev().find(|&other| other > 0 && !run.drafts[other].is_cut);
        let (true, Some(held)) = (error.code() == "OUT_OF_MEMORY" && run.alive().count() > 1, held) else { return Err(error) };
        run.drafts[index].next = Next::Append(Vec::new());
        run.drafts[held].hold();
        Ok(None)
    }

    /// Removes tokens from the middle of a text that has filled the context.
    ///
    /// Errors: `OUT_OF_MEMORY`.
    fn shift(&mut self, run: &mut Run, index: usize) -> Result<Step> {
        let (keep, drop) = Session::shift_of(self.model.config().plan.context);
        let draft = &mut run.drafts[index];
        draft.is_cut = true;
        match &mut draft.sequence {
            Some(sequence) => sequence.shift(keep, drop)?,
            None => {
                self.sequence.shift(keep, drop)?;
                self.tokens.drain(keep..keep + drop);
                self.cut = Some(keep);
            }
        }
        Ok(Step::Overflow(Dropped { messages: 0, tokens: drop }))
    }

    /// Samples the next token of a completion.
    fn sample(&mut self, run: &mut Run, index: usize, mut logits: Vec<f32>) -> Result<Step> {
        // Embeddings are often padded: rows beyond the tokenizer's ids have logits but no text. A tokenizer
        // may also have more ids than the model has rows.
        let known = self.model.tokenizer().vocab().min(self.model.config().plan.vocab);
        let draft = &mut run.drafts[index];
        let drawn = draft.sampler.sample(&mut logits[..known], &run.prompt, &draft.tokens);
        draft.next = Next::Append(logits);
        if run.ends.contains(&drawn.token) {
            return Ok(self.end_draft(run, index, FinishReason::Stop));
        }
        draft.tokens.push(drawn.token);
        run.usage.completion_tokens += 1;
        draft.logprobs.extend(drawn.logprobs.clone());
        let (text, stopped) = draft.stop.push(&draft.decoder.push(self.model.tokenizer(), drawn.token)?);
        draft.text.push_str(&text);
        if stopped {
            draft.finish_reason = Some(FinishReason::Stop);
        } else if draft.tokens.len() == run.settings.max_tokens {
            draft.finish_reason = Some(FinishReason::Length);
        }
        Ok(Step::Token(Piece { text, token: Some(drawn.token), logprobs: drawn.logprobs, choice: index }))
    }

    /// Ends a completion. The last one ends the run.
    fn end_draft(&mut self, run: &mut Run, index: usize, finish_reason: FinishReason) -> Step {
        let text = run.drafts[index].end(finish_reason);
        if let Some(held) = run.drafts.iter_mut().find(|draft| draft.is_held) {
            held.is_held = false;
        }
        if run.drafts.len() == run.n && run.drafts.iter().all(|draft| draft.choice.is_some()) {
            self.end(run, index, text)
        } else {
            Step::Token(Piece { text, token: None, logprobs: None, choice: index })
        }
    }

    /// Ends a run. `text` is what its last completion held back. A chat turn becomes part of the history.
    fn end(&mut self, run: &mut Run, choice: usize, text: String) -> Step {
        let completion = run.completion(FinishReason::Stop);
        if let Some(Conversation { mut messages, template_kwargs }) = run.conversation.take() {
            self.options.chat_template_kwargs = template_kwargs;
            if run.answers {
                messages.push(Message::new("assistant", completion.text.clone()));
            }
            self.messages = messages;
        }
        Step::End(Piece { text, token: None, logprobs: None, choice }, completion)
    }
}
