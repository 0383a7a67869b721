//! What to do where the context is too small: refuse, drop the oldest turns of a chat, or let a text run on without its middle.

use super::{Dropped, Session};
use crate::error::{Error, Result};
use crate::options::{Options, Overflow};
use crate::text::{Message, TemplateKwargs};

/// Tokens at the beginning of a text that stay for good: models put what attention has left over there, and go astray without them.
///
/// Source: Xiao et al. 2023, "Efficient Streaming Language Models with Attention Sinks", section 3.1: four are enough.
const SINK: usize = 4;

/// Of what can be forgotten, a text that runs on forgets this share at once: moving the rest costs about as much as a token, and is then rare.
const SHIFT_SHARE: usize = 4;

/// Of the context, a chat that drops turns keeps this share free for an answer that may be so long. It makes room when that is not there.
const ANSWER_SHARE: usize = 8;

/// And when it makes room, then for this share, if that can be: what is left has to be read anew, which should not happen at every turn.
const ROOM_SHARE: usize = 4;

impl Session {
    /// The tokens at the beginning that stay when a text runs on, and those after them that go at once.
    pub(super) fn shift_of(context: usize) -> (usize, usize) {
        let keep = SINK.min(context / 4);
        (keep, ((context - keep) / SHIFT_SHARE).max(1))
    }

    /// Makes a prompt fit that continues as text: one that is too long loses its middle where `overflow` is `shift`.
    ///
    /// Errors: `CONTEXT_OVERFLOW`.
    pub(super) fn fit_text(&self, prompt: &mut Vec<u32>, options: &Options) -> Result<Option<Dropped>> {
        let context = self.model.config().plan.context;
        // Room for one token of an answer, or there is nothing to ask for.
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

    /// Makes a conversation fit: as few of its oldest turns go as must. A turn is a message that was asked, with all that follows it up to
    /// the next; messages of the system stay, and so does the last turn. Returns what is left, and its tokens.
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
        // The fewest turns whose going leaves so much room, by halving: what is left is shorter the more go. All of them, if none are enough.
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

/// The turns of a conversation that may go, oldest first: the indices of the messages of each.
fn turns(conversation: &[Message]) -> Vec<Vec<usize>> {
    let mut turns: Vec<Vec<usize>> = Vec::new();
    let mut answered = true; // whether a question begins a turn
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
