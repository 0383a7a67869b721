//! Reference values made by transformers (`tests/golden`), and how a model is compared with them.

use std::sync::Arc;

use fireside::{Completion, FinishReason, Message, Model, Session};
use serde::Deserialize;

use super::{Runner, argmax, greedy};

/// The largest allowed distance of a logit from the reference, relative to the largest magnitude of its
/// position.
pub const BOUND: f32 = 1e-4;

/// One file of `tests/golden`.
#[derive(Deserialize)]
pub struct Golden {
    pub model: String,
    pub vocab: usize,
    pub hidden: usize,
    pub eos: Vec<u32>,
    pub cases: Vec<Case>,
    pub chats: Vec<Chat>,
}

/// A prompt and its greedy continuation.
#[derive(Deserialize)]
pub struct Case {
    pub prompt: String,
    pub ids: Vec<u32>,
    /// After the prompt.
    pub logits: Logits,
    pub greedy: Greedy,
    /// After the whole continuation.
    pub after: Logits,
}

/// The logits of one position: those of the ids 0, stride, 2 stride..., and the best as (id, value).
#[derive(Deserialize)]
pub struct Logits {
    pub max_abs: f32,
    pub stride: usize,
    pub values: Vec<f32>,
    pub top: Vec<(u32, f32)>,
}

/// Tokens chosen one by one; the margin of the best logit over the second, relative to the largest; and
/// their text.
#[derive(Deserialize)]
pub struct Greedy {
    pub tokens: Vec<u32>,
    pub margins: Vec<f32>,
    /// How many tokens come before the end token, which exists if `finish` is "stop".
    pub told: usize,
    pub finish: String,
    /// None if the bytes of the tokens are not UTF-8.
    pub text: Option<String>,
}

/// A chat, turn by turn.
#[derive(Deserialize)]
pub struct Chat {
    pub turns: Vec<ChatTurn>,
}

/// A user's message, the ids of the whole rendered history, and the answer.
#[derive(Deserialize)]
pub struct ChatTurn {
    pub user: String,
    pub ids: Vec<u32>,
    pub rendered: String,
    #[serde(flatten)]
    pub answer: Greedy,
}

/// The result of a comparison.
#[derive(Default, Debug)]
pub struct Seen {
    /// Tokens compared.
    pub tokens: usize,
    /// Completions that differ from the reference where the reference itself was undecided.
    pub undecided: usize,
    /// The largest relative distance of a logit.
    pub worst: f32,
}

impl Golden {
    pub fn parse(bytes: &[u8]) -> Golden {
        serde_json::from_slice(bytes).expect("a golden file is made by make_golden.py")
    }

    /// Every case through `forward` and through a session.
    pub fn check(&self, model: Model) -> Seen {
        let mut seen = Seen::default();
        assert_eq!((model.config().plan.vocab, model.config().plan.hidden), (self.vocab, self.hidden), "{}", self.model);
        for case in &self.cases {
            case.check_forward(&self.model, &model, &mut seen);
        }
        let model = Arc::new(model);
        for case in &self.cases {
            case.check_session(&self.model, &model, &mut seen);
        }
        for chat in &self.chats {
            chat.check(&self.model, &model, &mut seen);
        }
        seen
    }
}

impl Case {
    /// Compares prefill and single steps: logits within the bound, tokens identical.
    fn check_forward(&self, name: &str, model: &Model, seen: &mut Seen) {
        let place = format!("{name}, {:?}", self.prompt);
        assert_eq!(model.tokenizer().encode_prompt(&self.prompt).unwrap(), self.ids, "ids of {place}");
        let mut runner = Runner::new(model);
        let mut logits = runner.feed(&self.ids);
        self.logits.check(&logits, &format!("{place}, after the prompt"), seen);
        for (step, &expected) in self.greedy.tokens.iter().enumerate() {
            if !self.greedy.agrees(step, argmax(&logits), &place, seen) {
                return;
            }
            logits = runner.feed(&[expected]);
        }
        self.after.check(&logits, &format!("{place}, after {} tokens", self.greedy.tokens.len()), seen);
    }

    /// Compares the same text through the public API, at temperature 0.
    fn check_session(&self, name: &str, model: &Arc<Model>, seen: &mut Seen) {
        let place = format!("{name}, {:?}, session", self.prompt);
        let mut session = Session::new(model.clone());
        let completion = session.generate(&self.prompt, &greedy(self.greedy.tokens.len())).unwrap().finish().unwrap();
        assert_eq!(completion.usage.prompt_tokens, self.ids.len(), "{place}");
        self.greedy.check(&completion, &place, seen);
    }
}

impl Chat {
    /// Compares the whole chat in one session.
    fn check(&self, name: &str, model: &Arc<Model>, seen: &mut Seen) {
        let mut session = Session::new(model.clone());
        let mut messages = Vec::new();
        for (number, turn) in self.turns.iter().enumerate() {
            let place = format!("{name}, turn {} of the chat, {:?}", number + 1, turn.user);
            messages.push(Message::new("user", turn.user.clone()));
            let rendered = model.template().render(&messages, true, model.tokenizer().special_tokens(), None).unwrap();
            assert_eq!(rendered.text, turn.rendered, "{place}");
            assert_eq!(model.tokenizer().encode_rendered(&rendered).unwrap(), turn.ids, "{place}");
            let completion = session.chat(turn.user.as_str(), &greedy(turn.answer.tokens.len())).unwrap().finish().unwrap();
            assert_eq!(completion.usage.prompt_tokens, turn.ids.len(), "{place}");
            if !turn.answer.check(&completion, &place, seen) {
                return;
            }
            assert_eq!(completion.usage.cached_tokens > 0, number > 0, "{place}: what is cached");
            messages.push(Message::new("assistant", completion.text));
        }
    }
}

impl Greedy {
    /// Whether step `step` chose the reference's token. If not, the reference must be undecided.
    fn agrees(&self, step: usize, got: u32, place: &str, seen: &mut Seen) -> bool {
        seen.tokens += 1;
        if got == self.tokens[step] {
            return true;
        }
        let margin = self.margins[step];
        assert!(margin < BOUND, "{place}: token {step} is {got}, expected {} by a margin of {margin:e}", self.tokens[step]);
        seen.undecided += 1;
        false
    }

    /// Compares tokens, text and the reason for the end.
    fn check(&self, completion: &Completion, place: &str, seen: &mut Seen) -> bool {
        let stopped = self.finish == "stop";
        let expected = &self.tokens[..self.told];
        for (step, &got) in completion.tokens.iter().take(expected.len()).enumerate() {
            if !self.agrees(step, got, place, seen) {
                return false;
            }
        }
        assert!(completion.tokens.len() >= expected.len(), "{place}: ended after {} tokens", completion.tokens.len());
        assert_eq!(completion.finish_reason, if stopped { FinishReason::Stop } else { FinishReason::Length }, "{place}");
        if let Some(text) = &self.text {
            assert_eq!(&completion.text, text, "{place}");
        }
        true
    }
}

impl Logits {
    fn check(&self, got: &[f32], place: &str, seen: &mut Seen) {
        let strided = self.values.iter().enumerate().map(|(index, &value)| (index * self.stride, value));
        let top = self.top.iter().map(|&(id, value)| (id as usize, value));
        for (id, expected) in strided.chain(top) {
            let distance = (got[id] - expected).abs() / self.max_abs;
            assert!(distance <= BOUND, "{place}: the logit of {id} is {}, expected {expected}: {distance:e} of the largest", got[id]);
            seen.worst = seen.worst.max(distance);
        }
    }
}
