//! What happens if the context is too small: an error, the oldest turns of a chat are dropped, or tokens are
//! removed from the middle of the text.

use super::{Dropped, Session};
use crate::error::{Error, Result};
use crate::options::{Options, Overflow};
use crate::text::{Message, TemplateKwargs};

/// How many tokens at the beginning of a text a shift keeps. Models direct spare attention to them and write
/// nonsense without them.
///
/// Source: Xiao et al. 2023, "Efficient Streaming Language Models with Attention Sinks", section 3.1: four
/// are enough.
const SINK: usize = 4;

/// A shift removes one part in this many of the tokens after the sink. Moving the rest costs about as much
/// as a token, so shifts should be rare.
const SHIFT_SHARE: usize = 4;

/// A chat drops turns if less than one part in this many of the context is free for an answer, or less than
/// `max_tokens` if that is smaller.
const ANSWER_SHARE: usize = 8;

/// When a chat drops turns, it frees one part in this many of the context if it can. The remaining turns
/// must be read again, and that should not happen at each turn.
const ROOM_SHARE: usize = 4;

impl Session {
    /// Returns how many tokens at the beginning a shift keeps, and how many after them it removes.
    pub(super) fn shift_of(context: usize) -> (usize, usize) {
        let keep = SINK.min(context / 4);
        (keep, ((context - keep) / SHIFT_SHARE).max(1))
    }

    /// Makes a text prompt fit. If it is too long and `overflow` is `shift`, removes tokens from its middle.
    ///
    /// Errors: `CONTEXT_OVERFLOW`.
    pub(super) fn fit_text(&self, prompt: &mut Vec<u32>, options: &Options) -> Result<Option<Dropped>> {
        let context = self.model.config().plan.context;
        // An answer needs room for at least one token.
        if prompt.len() < context {
            return Ok(None);
        }
        if options.overflow != Overflow::Shift {
            return Err(Error::ContextOverflow { requested: prompt.len() + 1, context_window: context });
        }
        let (keep, drop) = Session::shift_of(context);
        let tokens = prompt.len() - (context - drop);
        prompt.drain(keep..keep + tokens);
        Ok(Some(Dropped { messages: 0, tokens }))
    }

    /// Makes a conversation fit by dropping as few of its oldest turns as possible. A turn is a question and
    /// all messages up to the next question. System messages and the last turn stay. Returns the remaining
    /// messages, their tokens and what was dropped.
    ///
    /// Errors: `CONTEXT_OVERFLOW`, `BAD_TEMPLATE`.
    pub(super) fn fit_chat(
        &self,
        conversation: Vec<Message>,
        answers: bool,
        template_kwargs: &TemplateKwargs,
        options: &Options,
    ) -> Result<(Vec<Message>, Vec<u32>, Option<Dropped>)> {
        let context = self.model.config().plan.context;
        let whole = self.render(&conversation, answers, template_kwargs, options.now)?;
        let overflow = || Error::ContextOverflow { requested: whole.len() + 1, context_window: context };
        if options.overflow == Overflow::Error {
            return if whole.len() < context { Ok((conversation, whole, None)) } else { Err(overflow()) };
        }
        let answer = if answers { options.settle(self.model.generation(), whole.len()).max_tokens.min(context / ANSWER_SHARE) } else { 1 };
        if whole.len() + answer <= context {
            return Ok((conversation, whole, None));
        }
        let turns = turns(&conversation);
        let without = |count: usize| -> Result<(Vec<Message>, Vec<u32>)> {
            let left = without(&conversation, &turns[..count]);
            let prompt = self.render(&left, answers, template_kwargs, options.now)?;
            Ok((left, prompt))
        };
        // Finds the fewest turns to drop for `room` free tokens, by binary search: the prompt shrinks with
        // each dropped turn. Returns the number of all turns if even that is too few.
        let fewest = |room: usize| -> Result<usize> {
            let (mut low, mut high) = (0, turns.len());
            while low < high {
                let middle = low + (high - low) / 2;
                if without(middle)?.1.len() + room <= context { high = middle } else { low = middle + 1 }
            }
            Ok(low)
        };
        let mut count = fewest(answer.max(context / ROOM_SHARE))?;
        if count == turns.len() {
            count = fewest(answer)?;
        }
        let (left, prompt) = without(count)?;
        if prompt.len() >= context {
            return Err(overflow());
        }
        let dropped = Dropped { messages: conversation.len() - left.len(), tokens: whole.len().saturating_sub(prompt.len()) };
        Ok((left, prompt, (dropped.messages > 0).then_some(dropped)))
    }
}

/// The turns of a conversation that may be dropped, oldest first, each as the indices of its messages.
fn turns(conversation: &[Message]) -> Vec<Vec<usize>> {
    let mut turns: Vec<Vec<usize>> = Vec::new();
    let mut answered = true; // whether a question begins a new turn
    for (index, message) in conversation.iter().enumerate().filter(|(_, message)| !is_system(message)) {
        let asks = message.role == "user";
        match turns.last_mut() {
            Some(turn) if !(asks && answered) => turn.push(index),
            _ => turns.push(vec![index]),
        }
        answered = !asks;
    }
    turns.pop();
    turns
}

pub(super) fn is_system(message: &Message) -> bool {
    matches!(message.role.as_str(), "system" | "developer")
}

fn without(conversation: &[Message], turns: &[Vec<usize>]) -> Vec<Message> {
    let gone: Vec<usize> = turns.concat();
    conversation.iter().enumerate().filter(|(index, _)| gone.binary_search(index).is_err()).map(|(_, message)| message.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn conversation(roles: &str) -> Vec<Message> {
        let role = |letter| match letter {
            's' => "system",
            'u' => "user",
            't' => "tool",
            _ => "assistant",
        };
        roles.chars().map(|letter| Message::new(role(letter), "x")).collect()
    }

    #[test]
    fn a_turn_is_what_was_asked_and_all_that_follows() {
        for (roles, expected) in [
            ("suaua", vec![vec![1, 2]]),
            ("uauau", vec![vec![0, 1], vec![2, 3]]),
            ("suuaatau", vec![vec![1, 2, 3, 4, 5, 6]]),
            ("au", vec![vec![0]]),
            ("suasu", vec![vec![1, 2]]),
            ("s", vec![]),
            ("u", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(turns(&conversation(roles)), expected, "{roles}");
        }
    }

    #[test]
    fn a_shift_leaves_something_at_every_context() {
        for context in 2..200 {
            let (keep, drop) = Session::shift_of(context);
            assert!(drop >= 1 && keep + drop < context, "{context}: {keep} {drop}");
        }
    }
}
