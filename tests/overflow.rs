//! A text or a chat that exceeds the context: it is refused, loses its oldest turns, or is shifted.
#![cfg(not(target_family = "wasm"))]

mod common;

use std::sync::Arc;

use common::files::{folder, shared_story};
use common::{Folder, Runner, greedy};
use fireside::internals::BLOCK;
use fireside::{Completion, Dropped, Error, FinishReason, KvDtype, LoadOptions, Message, Model, Options, Overflow, Run, Session, Step};

fn model(name: &str) -> Arc<Model> {
    Arc::new(folder(name).load())
}

fn message(role: &str, content: &str) -> Message {
    Message::new(role, content)
}

fn with(overflow: Overflow, tokens: usize) -> Options {
    Options { overflow, ..greedy(tokens) }
}

/// Drives a run to its end. Returns what was dropped, and the completion.
fn drive(session: &mut Session, mut run: Run) -> (Vec<Dropped>, Completion) {
    let mut dropped = Vec::new();
    loop {
        match session.step(&mut run).unwrap() {
            Step::Overflow(what) => dropped.push(what),
            Step::End(_, completion) => return (dropped, completion),
            _ => {}
        }
    }
}

/// A chat that nearly fills the context: a system message and numbered turns.
fn long_chat(session: &Session) -> Vec<Message> {
    let context = session.model().config().plan.context;
    let mut messages = vec![message("system", "You are kind.")];
    for turn in 0.. {
        let more = [message("user", &format!("Question {turn}, which is short.")), message("assistant", &format!("Answer {turn}."))];
        let longer = [&messages[..], &more].concat();
        if session.measure_context_usage([&longer[..], &[message("user", "?")]].concat(), &Options::default()).unwrap() > context - 20 {
            return messages;
        }
        messages = longer;
    }
    unreachable!("every context has an end")
}

#[test]
fn an_overflow_is_refused_and_changes_nothing() {
    for overflow in [Overflow::Error, Overflow::DropOldest] {
        let model = model("chat");
        let mut session = Session::new(model.clone());
        session.chat("My name is Ada.", &greedy(20)).unwrap().finish().unwrap();
        let before = (session.messages().to_vec(), session.context_usage());
        // It does not fit even alone.
        let long = "tea ".repeat(model.config().plan.context);
        let options = with(overflow, 10);
        let mut refused = vec![session.chat(long.as_str(), &options).map(drop), session.append(vec![message("user", &long)], &options)];
        refused.push(session.generate(&long, &options).map(drop));
        for refused in refused {
            match refused.unwrap_err() {
                Error::ContextOverflow { requested, context_window } => {
                    assert!(requested > context_window && context_window == model.config().plan.context);
                }
                other => panic!("{other}"),
            }
        }
        assert_eq!((session.messages().to_vec(), session.context_usage()), before);
        session.chat("What is my name?", &options).unwrap().finish().unwrap();
    }
}

#[test]
fn whole_turns_are_dropped_oldest_first_and_never_system_messages() {
    let model = model("chat");
    let mut session = Session::new(model.clone());
    let history = long_chat(&session);
    let turns = (history.len() - 1) / 2;
    assert!(turns > 10, "{turns}");
    session.set_messages(history.clone());
    let question = "And now something that is asked with rather many words, so that there is surely no room for all of it?";
    assert_eq!(session.chat(question, &greedy(30)).unwrap_err().code(), "CONTEXT_OVERFLOW");
    assert_eq!(session.messages(), history);

    let run = session.begin_chat(question.into(), &with(Overflow::DropOldest, 30)).unwrap();
    let (dropped, got) = drive(&mut session, run);
    let [dropped] = dropped[..] else { panic!("{dropped:?}") };
    assert!(dropped.messages > 0 && dropped.messages % 2 == 0 && dropped.messages < 2 * turns, "{dropped:?}");
    let left = [&history[..1], &history[1 + dropped.messages..], &[message("user", question)]].concat();
    let answer = message("assistant", &got.text);
    assert_eq!(session.messages(), [&left[..], &[answer]].concat());
    assert_eq!(got.tokens, Session::new(model.clone()).chat(left.clone(), &greedy(30)).unwrap().finish().unwrap().tokens);
    assert!(got.usage.prompt_tokens + 30 <= model.config().plan.context, "there was room for the answer");
    // A quarter of the context is now free, and with one turn more it would not be.
    let context = model.config().plan.context;
    assert!(got.usage.prompt_tokens <= context - context / 4, "{}", got.usage.prompt_tokens);
    let more = [&history[..1], &history[dropped.messages - 1..], &[message("user", question)]].concat();
    let prompt = Session::new(model.clone()).measure_context_usage(more, &Options::default()).unwrap();
    assert!(prompt > context - context / 4, "{prompt}");
}

#[test]
fn a_long_question_drops_no_more_than_it_must() {
    let model = model("chat");
    let mut session = Session::new(model.clone());
    let history = long_chat(&session);
    session.set_messages(history.clone());
    // Beside this question there is no quarter left, but room for some turns.
    let question = "tea ".repeat(model.config().plan.context * 4 / 5);
    let run = session.begin_chat(question.as_str().into(), &with(Overflow::DropOldest, 30)).unwrap();
    let (dropped, got) = drive(&mut session, run);
    assert_eq!(dropped.len(), 1);
    assert!(session.messages().len() > 3, "{} messages are left", session.messages().len());
    assert!(got.usage.prompt_tokens + 30 <= model.config().plan.context);
}

#[test]
fn turns_that_an_aborted_answer_dropped_come_back() {
    let model = model("chat");
    let mut session = Session::new(model.clone());
    let history = long_chat(&session);
    session.set_messages(history.clone());
    let question = "And now something that is asked with rather many words, so that there is surely no room for all of it?";
    let mut run = session.begin_chat(question.into(), &with(Overflow::DropOldest, 30)).unwrap();
    assert!(matches!(session.step(&mut run).unwrap(), Step::Overflow(_)));
    session.step(&mut run).unwrap();
    session.abort(&mut run);
    assert_eq!(session.messages(), history);
}

#[test]
fn a_chat_that_fits_drops_nothing() {
    let model = model("chat");
    let mut session = Session::new(model);
    for question in ["My name is Ada.", "What is my name?"] {
        for overflow in [Overflow::DropOldest, Overflow::Shift] {
            let run = session.begin_chat(question.into(), &with(overflow, 12)).unwrap();
            assert_eq!(drive(&mut session, run).0, []);
        }
    }
    assert_eq!(session.messages().len(), 8);
}

#[test]
fn append_drops_turns_too() {
    let model = model("chat");
    let mut session = Session::new(model);
    let history = long_chat(&session);
    session.set_messages(history.clone());
    let more = vec![message("user", &"tea ".repeat(60)), message("assistant", "Tea.")];
    assert_eq!(session.append(more.clone(), &Options::default()).unwrap_err().code(), "CONTEXT_OVERFLOW");
    session.append(more.clone(), &with(Overflow::DropOldest, 1)).unwrap();
    assert_eq!(session.messages()[0], history[0]);
    assert!(session.messages().len() < history.len() + 2 && session.messages().ends_with(&more));
    session.chat("?", &with(Overflow::DropOldest, 8)).unwrap().finish().unwrap();
}

#[test]
fn a_text_continues_past_the_context() {
    for name in ["story", "qwen2-bf16", "smollm3-bf16", "mistral-window-f16", "llama3-rope-bf16"] {
        let model = model(name);
        let context = model.config().plan.context;
        let prompt = "Once upon a time";
        let long = 3 * context;
        // Without end tokens, because the test is about continuing.
        let options = Options { min_tokens: Some(long), ..with(Overflow::Shift, long) };
        let mut session = Session::new(model.clone());
        let run = session.begin_generate(prompt, &options).unwrap();
        let (dropped, got) = drive(&mut session, run);
        assert_eq!((got.tokens.len(), got.finish_reason), (long, FinishReason::Length), "{name}");
        assert!(session.context_usage() <= context, "{name}");
        let forgotten: usize = dropped.iter().map(|dropped| dropped.tokens).sum();
        assert_eq!(got.usage.prompt_tokens + long - 1 - forgotten, session.context_usage(), "{name}");
        // Up to the context it is the same text as without shifting.
        let until = context - got.usage.prompt_tokens + 1;
        let short = Options { min_tokens: Some(long), max_tokens: Some(long), ..greedy(long) };
        let plain = Session::new(model.clone()).generate(prompt, &short).unwrap().finish().unwrap();
        assert_eq!((plain.tokens.len(), plain.finish_reason), (until, FinishReason::Length), "{name}");
        assert_eq!(got.tokens[..until], plain.tokens, "{name}");

        // Entries that depend on dropped tokens are not reused: not by the next prompt, a clone or a saved
        // session.
        let tail = &got.tokens[got.tokens.len() - 40..];
        let next = format!("{prompt}{}", model.tokenizer().decode(tail, true).unwrap());
        let expected = Session::new(model.clone()).generate(&next, &greedy(20)).unwrap().finish().unwrap();
        let mut restored = Session::restore(model.clone(), &session.save(true).unwrap()).unwrap();
        for session in [&mut session.clone(), &mut restored, &mut session] {
            let got = session.generate(&next, &greedy(20)).unwrap().finish().unwrap();
            assert_eq!(got.tokens, expected.tokens, "{name}");
        }
    }
}

#[test]
fn a_prompt_that_is_too_long_loses_its_middle() {
    let model = model("story");
    let context = model.config().plan.context;
    let words = "Lily saw a little bird in the tree. ".repeat(context / 4);
    let ids = model.tokenizer().encode_prompt(&words).unwrap();
    let mut session = Session::new(model.clone());
    assert_eq!(session.generate(&words, &greedy(5)).unwrap_err().code(), "CONTEXT_OVERFLOW");
    let run = session.begin_generate(&words, &with(Overflow::Shift, 20)).unwrap();
    let (dropped, got) = drive(&mut session, run);
    assert_eq!(dropped[0].tokens, ids.len() - got.usage.prompt_tokens);
    assert_eq!(got.tokens.len(), 20);
    // The model has read the remaining tokens only.
    let kept = [&ids[..4], &ids[4 + dropped[0].tokens..]].concat();
    let mut runner = Runner::new(&model);
    assert_eq!(common::argmax(&runner.feed(&kept)), got.tokens[0]);
}

fn load(folder: &Folder, kv_dtype: KvDtype) -> Model {
    let weights: Vec<&[u8]> = folder.weights.iter().map(Vec::as_slice).collect();
    Model::from_bytes(&folder.files(), &weights, LoadOptions { kv_dtype, ..LoadOptions::default() }).unwrap()
}

/// Keys are rotated to their new positions. In the first layer, keys and values depend only on token and
/// position. So the moved keys must equal those of a model that reads only the remaining text, up to
/// rounding, and the values must equal them exactly.
#[test]
fn keys_move_to_their_new_positions() {
    // A q8 key is rounded again when it is rotated. Three roundings, two here and one there, and their bf16
    // scales are each within 0.4 % of the largest of 32 numbers.
    let formats = [(KvDtype::F32, 1e-5), (KvDtype::F16, 1e-3), (KvDtype::Q8, 0.02)];
    let names = ["llama-tied-bf16", "qwen3-f32", "llama3-rope-bf16", "smollm3-bf16"];
    for (name, (kv_dtype, tolerance)) in names.into_iter().flat_map(|name| formats.map(|format| (name, format))) {
        let model = load(&folder(name), kv_dtype);
        let (kv_heads, head_dim) = (model.config().plan.kv_heads, model.config().plan.head_dim);
        let tokens: Vec<u32> = (0..200).map(|i| (i * 7 + 3) % 250).collect();
        for (keep, drop) in [(4, 49), (0, BLOCK), (4, 1), (BLOCK, BLOCK), (3, 196)] {
            let mut moved = Runner::new(&model);
            moved.feed(&tokens);
            model.network().shift(keep, drop, &mut moved.cache).unwrap();
            let mut alone = Runner::new(&model);
            alone.feed(&[&tokens[..keep], &tokens[keep + drop..]].concat());
            assert_eq!(moved.cache.len(), alone.cache.len());
            for head in 0..kv_heads {
                for pos in 0..alone.cache.len() {
                    let (mut a, mut b) = Default::default();
                    let (a, b) = (moved.cache.span(0, head, pos..pos + 1, &mut a), alone.cache.span(0, head, pos..pos + 1, &mut b));
                    assert_eq!(a.values, b.values, "{name}");
                    let keys = |keys: &[[f32; 4]]| keys.as_flattened()[..head_dim].to_vec();
                    let (a, b) = (keys(a.keys), keys(b.keys));
                    let size = b.iter().map(|x| x * x).sum::<f32>().sqrt();
                    let error = a.iter().zip(&b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt();
                    assert!(error <= tolerance * size, "{name} in {kv_dtype:?}, {keep} and {drop}, position {pos}: {error} of {size}");
                }
            }
        }
    }
}

/// The mean loss in nats per token over the tokens past the first `window`. `forget` makes room when the
/// window is full.
fn loss_beyond(model: &Model, window: usize, texts: &[Vec<u32>], mut forget: impl FnMut(&mut Runner, &[u32])) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for tokens in texts {
        let mut runner = Runner::new(model);
        for (index, pair) in tokens.windows(2).enumerate() {
            if runner.cache.len() == model.config().plan.context {
                forget(&mut runner, &tokens[..index]);
            }
            let logits = runner.feed(&pair[..1]);
            if index >= window {
                let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let total: f64 = logits.iter().map(|logit| f64::from(logit - max).exp()).sum();
                sum += total.ln() - f64::from(logits[pair[1] as usize] - max);
                count += 1.0;
            }
        }
    }
    assert!(count > 500.0, "{count}");
    sum / count
}

/// Reads stories longer than the window. These models have only read single stories, which end well within
/// their own context, and become incoherent beyond it in any case. So they get a small context here.
fn stays_fluent(name: &str, folder: &Folder) {
    const WINDOW: usize = 64;
    let mut config: serde_json::Value = serde_json::from_slice(&folder.config).unwrap();
    config["max_position_embeddings"] = WINDOW.into();
    let small_folder = Folder { config: config.to_string().into_bytes(), ..folder.clone() };
    let small = small_folder.load();
    assert_eq!(small.config().plan.context, WINDOW);
    let held_out: serde_json::Value = serde_json::from_slice(include_bytes!("golden/held_out.json")).unwrap();
    let texts: Vec<String> = serde_json::from_value(held_out[name].clone()).unwrap();
    let texts: Vec<Vec<u32>> = texts.iter().map(|text| small.tokenizer().encode_prompt(text).unwrap()).collect();

    let whole = loss_beyond(&folder.load(), WINDOW, &texts, |_, _| unreachable!("it has room"));
    let (keep, drop) = (4, (WINDOW - 4) / 4);
    let turned = loss_beyond(&small, WINDOW, &texts, |runner, _| small.network().shift(keep, drop, &mut runner.cache).unwrap());
    // A key in q8 is rounded again by each shift, three times on average before it is removed.
    let in_q8 = load(&small_folder, KvDtype::Q8);
    let turned_in_q8 = loss_beyond(&in_q8, WINDOW, &texts, |runner, _| in_q8.network().shift(keep, drop, &mut runner.cache).unwrap());
    // The rest of the text is read again each time, the best possible result with the kept tokens.
    let anew = loss_beyond(&small, WINDOW, &texts, |runner, read| {
        runner.cache.truncate(0);
        let tail = [&read[..keep], &read[read.len() - (WINDOW - drop - keep)..]].concat();
        runner.feed(&tail);
    });
    // Moved without rotating, which shows what the rotation is for.
    let unturned = loss_beyond(&small, WINDOW, &texts, |runner, _| runner.cache.shift(keep, drop, |_, _, _| false).unwrap());
    let line = format!(
        "{name}, past {WINDOW} tokens, nats per token: {whole:.3} with the whole text, {turned:.4} by shifting, {turned_in_q8:.4} in q8, {anew:.3} by reading again, {unturned:.3} with keys not turned"
    );
    eprintln!("{line}");
    assert!(turned < anew + 0.05 && turned < whole + 0.3, "{line}");
    assert!((turned_in_q8 - turned).abs() < 0.01, "{line}");
    assert!(unturned > turned + 0.3, "{line}");
}

#[test]
fn the_story_model_stays_fluent_past_a_window() {
    stays_fluent("story", &folder("story"));
}

#[test]
fn the_shared_story_model_stays_fluent_past_a_window() {
    let Some(folder) = shared_story() else { return };
    stays_fluent("shared-story", &folder);
}
