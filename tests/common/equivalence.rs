//! Checks that the fast paths equal the slow ones: properties that hold bit for bit, for any model. Run
//! natively and under wasm.

use std::sync::Arc;

use fireside::internals::{LayerPlan, Mixer};
use fireside::{Completion, Message, Model, Session};

use super::{Random, Runner, greedy};

/// Tokens that the model did not choose: any ids, including special ones.
pub fn any_tokens(model: &Model, count: usize, seed: u64) -> Vec<u32> {
    let mut random = Random(seed);
    (0..count).map(|_| random.below(model.config().plan.vocab) as u32).collect()
}

/// The logits after each token, with the tokens fed one by one.
fn single_steps(model: &Model, tokens: &[u32]) -> Vec<Vec<f32>> {
    let mut runner = Runner::new(model);
    tokens.iter().map(|&token| runner.feed(&[token])).collect()
}

/// Fails at the first place where two rows of numbers differ in a bit.
fn assert_same(got: &[f32], expected: &[f32], place: &str) {
    assert_eq!(got.len(), expected.len(), "{place}");
    for (id, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert_eq!(got.to_bits(), expected.to_bits(), "{place}: the logit of {id} is {got}, expected {expected}");
    }
}

/// One prefill, single steps and random splits give the same bits, at the end and at each cut.
pub fn prefill_equals_single_steps(name: &str, model: &Model, count: usize) {
    let tokens = any_tokens(model, count, 1);
    let steps = single_steps(model, &tokens);
    // Around the sizes at which kernels and chunks change their path.
    let lengths = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, count];
    for length in lengths.into_iter().filter(|&length| length <= count) {
        let logits = Runner::new(model).feed(&tokens[..length]);
        assert_same(&logits, &steps[length - 1], &format!("{name}, prefill of {length}"));
    }
    let mut random = Random(2);
    for largest in [2, 5, 17, 60] {
        let mut runner = Runner::new(model);
        let mut past = 0;
        for length in random.cuts(count, largest) {
            let logits = runner.feed(&tokens[past..past + length]);
            past += length;
            assert_same(&logits, &steps[past - 1], &format!("{name}, {length} tokens at {}", past - length));
        }
        assert_eq!(runner.cache.len(), count, "{name}");
    }
}

/// A cache truncated to any length continues like one that never held more.
pub fn truncate_and_continue_equals_fresh(name: &str, model: &Model, count: usize) {
    let first = any_tokens(model, count, 3);
    let other = any_tokens(model, count, 4);
    let mut random = Random(5);
    let mut runner = Runner::new(model);
    runner.feed(&first);
    for length in [count - 1, count / 2, 1, 0].into_iter().chain((0..4).map(|_| random.below(count))) {
        runner.cut(length, &first);
        assert_eq!(runner.cache.len(), length, "{name}");
        let mut expected = Runner::new(model);
        if length > 0 {
            expected.feed(&first[..length]);
        }
        let logits = runner.feed(&other[..9]);
        assert_same(&logits, &expected.feed(&other[..9]), &format!("{name}, cut to {length}"));
        runner.cut(length, &first);
        runner.feed(&first[length..]); // complete again for the next cut
    }
}

/// A token that no layer's window reaches does not affect the logits, and the last one that a window
/// reaches does.
pub fn a_window_has_the_configured_length(name: &str, model: &Model, count: usize) {
    let window = |layer: &LayerPlan| match &layer.mixer {
        Mixer::Attention(attention) => attention.window,
    };
    let windows: Option<Vec<usize>> = model.config().plan.layers.iter().map(window).collect();
    let windows = windows.unwrap_or_else(|| panic!("{name} has a layer that sees everything"));
    let reach = 1 + windows.iter().map(|window| window - 1).sum::<usize>();
    assert!(reach < count, "{name}: the test needs more than {reach} tokens");
    let tokens = any_tokens(model, count, 6);
    let logits = Runner::new(model).feed(&tokens);
    let change = |position: usize| {
        let mut changed = tokens.clone();
        changed[position] = (changed[position] + 1) % model.config().plan.vocab as u32;
        Runner::new(model).feed(&changed)
    };
    assert_same(&change(count - reach - 1), &logits, &format!("{name}, a token {reach} places back"));
    assert_ne!(change(count - reach), logits, "{name}, a token {} places back", reach - 1);
}

/// Pieces of chat messages, some of them difficult for tokenizers.
const WORDS: [&str; 12] =
    ["hello", " my name is Ada", "?", "\n\n", " 2 + 3", "<|im_end|>", " é", "雪", "the the", " 🔥", "  ", "what is my name"];

fn something(random: &mut Random) -> String {
    (0..1 + random.below(5)).map(|_| WORDS[random.below(WORDS.len())]).collect()
}

/// A session that keeps its cache over random turns, edits and restarts gives the answers of a new session.
pub fn reuse_equals_fresh(name: &str, model: Arc<Model>, rounds: usize) {
    let mut random = Random(7);
    let mut session = Session::new(model.clone());
    let mut cached = 0;
    for round in 0..rounds {
        let place = format!("{name}, round {round}");
        let tokens = 1 + random.below(12);
        match random.below(8) {
            0 => session.reset(),
            1 => {
                // A prompt unrelated to the chat, half of the time the same one again.
                let prompt = if random.below(2) == 0 { "Once upon a time".to_string() } else { something(&mut random) };
                let got = session.generate(&prompt, &greedy(tokens)).unwrap().finish().unwrap();
                let expected = Session::new(model.clone()).generate(&prompt, &greedy(tokens)).unwrap().finish().unwrap();
                assert_same_text(&got, &expected, &place);
                cached += got.usage.cached_tokens;
            }
            2 if session.messages().len() > 2 => {
                // The whole history as a list, with an earlier turn edited.
                let mut history = session.messages().to_vec();
                history.truncate(1 + 2 * random.below(history.len() / 2));
                history.last_mut().unwrap().content = something(&mut random);
                cached += chat_both(&mut session, &model, history, tokens, &place);
            }
            3 if session.messages().len() < 8 => {
                // An abandoned turn leaves no trace.
                let before = session.messages().to_vec();
                let mut pieces = session.chat(something(&mut random).as_str(), &greedy(10)).unwrap();
                for _ in 0..random.below(5) {
                    pieces.next();
                }
                drop(pieces);
                assert_eq!(session.messages(), before, "{place}");
            }
            _ if session.messages().len() < 8 => {
                let mut history = session.messages().to_vec();
                let turn = something(&mut random);
                history.push(Message::new("user", turn.clone()));
                let got = session.chat(turn.as_str(), &greedy(tokens)).unwrap().finish().unwrap();
                let expected = Session::new(model.clone()).chat(history, &greedy(tokens)).unwrap().finish().unwrap();
                assert_same_text(&got, &expected, &place);
                cached += got.usage.cached_tokens;
            }
            _ => session.reset(),
        }
    }
    assert!(cached > 5 * rounds, "{name}: hardly anything was reused: {cached} tokens in {rounds} rounds");
}

fn chat_both(session: &mut Session, model: &Arc<Model>, history: Vec<Message>, tokens: usize, place: &str) -> usize {
    let got = session.chat(history.clone(), &greedy(tokens)).unwrap().finish().unwrap();
    let expected = Session::new(model.clone()).chat(history, &greedy(tokens)).unwrap().finish().unwrap();
    assert_same_text(&got, &expected, place);
    got.usage.cached_tokens
}

fn assert_same_text(got: &Completion, expected: &Completion, place: &str) {
    assert_eq!(got.tokens, expected.tokens, "{place}");
    assert_eq!(got.text, expected.text, "{place}");
    assert_eq!(got.finish_reason, expected.finish_reason, "{place}");
    assert_eq!(got.usage.prompt_tokens, expected.usage.prompt_tokens, "{place}");
    assert_eq!(expected.usage.cached_tokens, 0, "{place}");
}
