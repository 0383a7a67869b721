//! Sessions with clones, saved bytes and edited histories: reuse is exact, whatever happened before.
#![cfg(not(target_family = "wasm"))]

mod common;

use std::sync::Arc;

use common::files::folder;
use common::replay::on_replay;
use common::{Folder, Random, greedy};
use fireside::internals::BLOCK;
use fireside::{Completion, Dtype, Error, KvDtype, LoadOptions, Message, Model, Options, Session, Step};

fn model(name: &str) -> Arc<Model> {
    Arc::new(folder(name).load())
}

/// The model on the CPU, and on a device that keeps only tokens. A session cannot tell them apart.
fn on_both(model: impl Fn() -> Model) -> [(&'static str, Arc<Model>); 2] {
    [("processor", Arc::new(model())), ("replay", on_replay(model()).0)]
}

fn message(role: &str, content: &str) -> Message {
    Message::new(role, content)
}

fn chat(session: &mut Session, text: &str, tokens: usize) -> Completion {
    session.chat(text, &greedy(tokens)).unwrap().finish().unwrap()
}

/// The answer of a new session.
fn fresh(model: &Arc<Model>, conversation: &[Message], options: &Options) -> Completion {
    Session::new(model.clone()).chat(conversation.to_vec(), options).unwrap().finish().unwrap()
}

const WORDS: [&str; 8] = ["hello", "who are you", "t", "My name is Ada.", "tell me a story", "雪", "and then", "I like tea"];

fn words(random: &mut Random) -> &'static str {
    WORDS[random.below(WORDS.len())]
}

/// Ends a run early or late, at random. Returns the resulting history.
fn ask(session: &mut Session, random: &mut Random, options: &Options, begin: impl FnOnce(&mut Session) -> fireside::Result<fireside::Run>) {
    let mut run = begin(session).unwrap();
    let steps = random.below(2 * options.max_tokens.unwrap());
    for _ in 0..steps {
        run.set_prefill_work([1, 9, 200, usize::MAX][random.below(4)]);
        if let Step::End(..) = session.step(&mut run).unwrap() {
            return;
        }
    }
    session.abort(&mut run);
}

#[test]
fn reuse_is_exact_over_random_edits() {
    for (name, kv_dtype) in [
        ("qwen2-bf16", KvDtype::F32),
        ("smollm3-bf16", KvDtype::F16),
        ("mistral-window-f16", KvDtype::F32),
        ("qwen2-window-f16", KvDtype::Q8),
    ] {
        let files = folder(name);
        let weights: Vec<&[u8]> = files.weights.iter().map(Vec::as_slice).collect();
        let load = || Model::from_bytes(&files.files(), &weights, LoadOptions { kv_dtype, ..LoadOptions::default() }).unwrap();
        for (device, model) in on_both(load) {
            let name = format!("{name}, {device}");
            let mut random = Random(41);
            let (mut reused, mut asked) = (0, 0);
            for _ in 0..6 {
                let mut sessions = vec![Session::new(model.clone())];
                for _ in 0..12 {
                    let index = random.below(sessions.len());
                    let options = Options { max_tokens: Some(1 + random.below(8)), ..greedy(8) };
                    let session = &mut sessions[index];
                    match random.below(9) {
                        0 => ask(session, &mut random, &options, |session| session.begin_chat("hello there".into(), &options)),
                        1 => ask(session, &mut random, &options, |session| session.begin_generate("Once upon a time", &options)),
                        2 if !session.messages().is_empty() => {
                            ask(session, &mut random, &options, |session| session.begin_regenerate(&options));
                        }
                        3 => {
                            // An earlier message is edited, and later ones are dropped.
                            let mut messages = session.messages().to_vec();
                            messages.truncate(random.below(messages.len() + 1));
                            if let Some(last) = messages.last_mut() {
                                last.content = words(&mut random).into();
                            }
                            session.set_messages(messages);
                        }
                        4 => session
                            .append(vec![message("user", words(&mut random)), message("assistant", words(&mut random))], &options)
                            .unwrap(),
                        5 => {
                            let copy = session.clone();
                            sessions.push(copy);
                        }
                        6 => {
                            let bytes = session.save(random.below(3) > 0).unwrap();
                            *session = Session::restore(model.clone(), &bytes).unwrap();
                        }
                        7 if sessions.len() > 1 => drop(sessions.swap_remove(index)),
                        _ => {}
                    }
                    // In every case, each session answers like a new one, and computes no more than
                    // necessary.
                    let index = random.below(sessions.len());
                    let session = &mut sessions[index];
                    let question = words(&mut random);
                    let conversation = [session.messages(), &[message("user", question)]].concat();
                    if conversation.windows(2).any(|pair| pair[0].role == pair[1].role) {
                        session.reset();
                        continue;
                    }
                    let expected = fresh(&model, &conversation, &options);
                    let got = session.chat(question, &options).unwrap().finish().unwrap();
                    assert_eq!((&got.tokens, got.finish_reason), (&expected.tokens, expected.finish_reason), "{name}");
                    reused += got.usage.cached_tokens;
                    asked += got.usage.prompt_tokens;
                    // The same question again finds everything in the cache except the last token.
                    let again = session.regenerate(&options).unwrap().finish().unwrap();
                    assert_eq!(again.tokens, expected.tokens, "{name}");
                    assert_eq!(again.usage.cached_tokens, again.usage.prompt_tokens - 1, "{name}");
                }
            }
            assert!(reused > asked / 4, "{name}: {reused} of {asked} tokens reused");
        }
    }
}

#[test]
fn a_clone_shares_the_cache_and_is_independent() {
    let model = model("chat");
    let mut session = Session::new(model.clone());
    chat(&mut session, "My name is Ada. I live by the sea with two cats, a dog and an old clock that is always late.", 40);
    chat(&mut session, "I like tea.", 20);
    assert!(session.context_usage() > BLOCK, "more than one block, or there is nothing to share");
    let before = model.kv_budget().used();
    let mut copy = session.clone();
    assert_eq!(model.kv_budget().used(), before, "a clone takes no block");
    assert_eq!((copy.messages(), copy.shared_bytes()), (session.messages(), copy.kv_bytes()));

    let conversation = |question: &str| [session.messages(), &[message("user", question)]].concat();
    let expected = ["What is my name?", "What do I like?"].map(|question| fresh(&model, &conversation(question), &greedy(20)));
    let branched = copy.chat("What do I like?", &greedy(20)).unwrap().finish().unwrap();
    let went_on = session.chat("What is my name?", &greedy(20)).unwrap().finish().unwrap();
    assert_eq!((went_on.tokens, branched.tokens), (expected[0].tokens.clone(), expected[1].tokens.clone()));
    assert!(branched.usage.cached_tokens > 0 && went_on.usage.cached_tokens > 0);
    assert!(model.kv_budget().used() < session.kv_bytes() + copy.kv_bytes(), "shared blocks count once");
    drop((session, copy));
    assert_eq!(model.kv_budget().used(), 0);
}

#[test]
fn a_clone_made_in_the_middle_of_a_pass_disturbs_neither() {
    for (device, model) in on_both(|| folder("llama-tied-bf16").load()) {
        eprintln!("{device}");
        let prompt = "Once upon a time there was a fox. ".repeat(8);
        let whole = Session::new(model.clone()).generate(&prompt, &greedy(12)).unwrap().finish().unwrap();
        let mut session = Session::new(model.clone());
        let mut run = session.begin_generate(&prompt, &greedy(12)).unwrap();
        run.set_prefill_work(1);
        let mut clones = Vec::new();
        let completion = loop {
            match session.step(&mut run).unwrap() {
                Step::End(_, completion) => break completion,
                _ => clones.push(session.clone()),
            }
        };
        assert_eq!(completion.tokens, whole.tokens);
        for mut copy in clones.into_iter().step_by(5) {
            assert_eq!(copy.generate(&prompt, &greedy(12)).unwrap().finish().unwrap().tokens, whole.tokens);
        }
    }
}

#[test]
fn a_saved_session_continues_where_it_was() {
    for (name, kv_dtype) in ["chat", "llama-odd-f32"].into_iter().flat_map(|name| KvDtype::ALL.map(|kv_dtype| (name, kv_dtype))) {
        let files = folder(name);
        let weights: Vec<&[u8]> = files.weights.iter().map(Vec::as_slice).collect();
        let load = || Model::from_bytes(&files.files(), &weights, LoadOptions { kv_dtype, ..LoadOptions::default() }).unwrap();
        for (device, model) in on_both(load) {
            let name = format!("{name}, {device}");
            let load = || if device == "replay" { on_replay(load()).0 } else { Arc::new(load()) };
            let mut session = Session::new(model.clone());
            chat(&mut session, "My name is Ada.", 20);
            let (with, without) = (session.save(true).unwrap(), session.save(false).unwrap());
            let mut rest = session.clone();
            let expected = chat(&mut rest, "What is my name?", 20);
            // Also on another load of the same files.
            for model in [model, load()] {
                for (bytes, is_whole) in [(&with, true), (&without, false)] {
                    let mut restored = Session::restore(model.clone(), bytes).unwrap();
                    assert_eq!(restored.messages(), session.messages(), "{name}");
                    let got = chat(&mut restored, "What is my name?", 20);
                    assert_eq!(got.tokens, expected.tokens, "{name}");
                    let cached = if is_whole { expected.usage.cached_tokens } else { 0 };
                    assert_eq!(got.usage.cached_tokens, cached, "{name}");
                }
            }
            assert_eq!(session.save(true).unwrap(), with, "the same session, the same bytes");
            let kept = if device == "replay" { 4 * session.context_usage() } else { 1000 };
            assert!(without.len() < 1000 && with.len() >= without.len() + kept);
        }
    }
}

/// The error of restoring these bytes.
fn refusal(model: &Arc<Model>, bytes: &[u8]) -> String {
    let error = Session::restore(model.clone(), bytes).unwrap_err();
    assert_eq!(error.code(), "BAD_INPUT");
    error.to_string()
}

#[test]
fn a_refused_saved_session_says_what_is_wrong() {
    let files = folder("chat");
    let as_q8 = Arc::new(files.try_load(Some(Dtype::Q8)).unwrap());
    let model = model("chat");
    let mut session = Session::new(model.clone());
    chat(&mut session, "hello", 5);
    let good = session.save(true).unwrap();
    assert_eq!(refusal(&model, b""), "These bytes are not a saved session. Pass what `session.save()` returned.");
    assert_eq!(refusal(&model, b"{\"messages\": []}"), "These bytes are not a saved session. Pass what `session.save()` returned.");
    let mut newer = good.clone();
    newer[8] = 2;
    assert_eq!(
        refusal(&model, &newer),
        "This session was saved in format 2, and this version of Fireside reads format 1. \
         Restore it with the version that saved it."
    );
    for cut in [8, 11, 12, 20, 44, good.len() / 2, good.len() - 1] {
        let said = refusal(&model, &good[..cut]);
        assert!(said.contains("cut short"), "{cut}: {said}");
    }
    let mut damaged = good.clone();
    for at in [13, 200, good.len() / 2, good.len() - 1] {
        damaged[at] ^= 1;
        assert_eq!(refusal(&model, &damaged), "The saved session is damaged or cut short. Pass what `session.save()` returned.");
        damaged[at] ^= 1;
    }
    assert_eq!(
        refusal(&as_q8, &good),
        "This session was saved with weights stored as bf16, and here it is q8. Load the model with the same `dtype`."
    );
    let other = folder("story");
    let other = Arc::new(other.try_load(Some(Dtype::Bf16)).unwrap());
    let said = refusal(&other, &good);
    assert!(said.starts_with("This session was saved with model ") && said.ends_with("Restore it on the same model."), "{said}");
    assert!(said.len() < 130, "{said}");
}

#[test]
fn a_forged_saved_session_with_a_correct_checksum_does_no_harm() {
    use sha2::{Digest, Sha256};
    let model = model("qwen2-bf16");
    let mut session = Session::new(model.clone());
    chat(&mut session, "hello", 5);
    let good = session.save(true).unwrap();
    let body = good.len() - 32;
    let mut random = Random(5);
    let (mut refused, mut taken) = (0, 0);
    for round in 0..400 {
        let mut forged = good[..body].to_vec();
        match round % 4 {
            0 => forged.truncate(16 + random.below(body - 16)),
            1 => forged.extend_from_slice(&[0; 7]),
            2 => (0..4).for_each(|_| forged[12 + random.below(400)] = random.below(256) as u8),
            // Numbers of the cache, some of which are then not finite.
            _ => (0..20).for_each(|_| forged[body - 1 - random.below(body / 2)] = 0xff),
        }
        let digest = Sha256::digest(&forged);
        forged.extend_from_slice(&digest);
        match Session::restore(model.clone(), &forged) {
            Err(Error::BadState { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
            Ok(mut session) => {
                // Computing with forged numbers may give nonsense or an error for non-finite numbers. The
                // session keeps working.
                if let Ok(pieces) = session.chat("again", &greedy(4)) {
                    let _ = pieces.finish();
                }
                session.reset();
                assert_eq!(chat(&mut session, "hello", 5).tokens.len(), 5);
                taken += 1;
            }
        }
    }
    assert!(refused > 200 && taken > 0, "{refused} refused, {taken} taken");
}

#[test]
fn the_caches_of_all_sessions_share_one_limit() {
    let files = folder("qwen2-bf16");
    let weights: Vec<&[u8]> = files.weights.iter().map(Vec::as_slice).collect();
    let one = Arc::new(files.load());
    let mut session = Session::new(one.clone());
    chat(&mut session, "hello", 5);
    let kv_bytes_max = Some(2 * session.kv_bytes());
    let model = Arc::new(Model::from_bytes(&files.files(), &weights, LoadOptions { kv_bytes_max, ..LoadOptions::default() }).unwrap());
    let mut sessions: Vec<Session> = (0..3).map(|_| Session::new(model.clone())).collect();
    let expected = chat(&mut sessions[0], "hello", 5);
    chat(&mut sessions[1], "hello", 5);
    assert_eq!(Some(model.kv_budget().used()), kv_bytes_max);
    let error = sessions[2].chat("hello", &greedy(5)).unwrap().finish().unwrap_err();
    assert_eq!(error.code(), "OUT_OF_MEMORY");
    assert!(error.to_string().contains("kvBytesMax"), "{error}");
    assert!(sessions[2].messages().is_empty());
    assert_eq!((sessions[2].kv_bytes(), Some(model.kv_budget().used())), (0, kv_bytes_max), "a failed attempt keeps nothing");
    sessions[0].reset();
    assert_eq!(chat(&mut sessions[2], "hello", 5).tokens, expected.tokens, "there is room again");
}

#[test]
fn tokens_read_in_advance_are_not_computed_again() {
    for (device, model) in on_both(|| folder("chat").load()) {
        eprintln!("{device}");
        let mut session = Session::new(model.clone());
        let ahead = vec![message("system", "You are kind."), message("user", "My name is Ada."), message("assistant", "Hello Ada!")];
        session.append(ahead.clone(), &Options::default()).unwrap();
        assert_eq!(session.messages(), ahead);
        let read = session.context_usage();
        assert!(read > 0);
        let conversation = [&ahead[..], &[message("user", "What is my name?")]].concat();
        let expected = fresh(&model, &conversation, &greedy(20));
        let got = chat(&mut session, "What is my name?", 20);
        assert_eq!(got.tokens, expected.tokens);
        assert_eq!(got.usage.cached_tokens, read, "all of it was reused");

        // `regenerate` answers an appended question.
        let mut asked = Session::new(model.clone());
        asked.append(conversation, &Options::default()).unwrap();
        assert_eq!(asked.regenerate(&greedy(20)).unwrap().finish().unwrap().tokens, expected.tokens);
        assert_eq!(asked.messages().len(), 5);
        assert_eq!(asked.append(Vec::new(), &Options::default()).unwrap_err().code(), "BAD_INPUT");
    }
}

#[test]
fn an_answer_is_replaced_only_when_the_new_one_is_complete() {
    for (device, model) in on_both(|| folder("chat").load()) {
        eprintln!("{device}");
        let mut session = Session::new(model.clone());
        chat(&mut session, "My name is Ada.", 12);
        chat(&mut session, "What is my name?", 12);
        let before = session.messages().to_vec();
        let warm = Options { temperature: Some(50.0), top_p: Some(1.0), seed: Some(3), ..greedy(12) };
        let mut run = session.begin_regenerate(&warm).unwrap();
        for _ in 0..6 {
            session.step(&mut run).unwrap();
            assert_eq!(session.messages(), before);
        }
        session.abort(&mut run);
        assert_eq!(session.messages(), before);
        let other = session.regenerate(&warm).unwrap().finish().unwrap();
        assert_eq!(session.messages()[..3], before[..3]);
        assert_eq!(session.messages()[3].content, other.text);
        assert_ne!(session.messages()[3], before[3]);
    }
}

#[test]
fn several_completions_equal_several_runs() {
    for (device, model) in on_both(|| folder("qwen2-bf16").load()) {
        eprintln!("{device}");
        let options = |seed, n| Options { temperature: Some(1.2), seed: Some(seed), n: Some(n), ..greedy(24) };
        let prompt = "Once upon a time";
        let expected: Vec<Completion> =
            (7..11).map(|seed| Session::new(model.clone()).generate(prompt, &options(seed, 1)).unwrap().finish().unwrap()).collect();
        let mut session = Session::new(model.clone());
        let mut texts = vec![String::new(); 4];
        let mut pieces = session.generate(prompt, &options(7, 4)).unwrap();
        for piece in pieces.by_ref() {
            let piece = piece.unwrap();
            texts[piece.choice] += &piece.text;
        }
        let got = pieces.completion().unwrap().clone();
        assert_eq!((&got.text, &got.tokens), (&expected[0].text, &expected[0].tokens));
        for (other, expected) in got.others.iter().zip(&expected[1..]) {
            assert_eq!((&other.text, &other.tokens, other.finish_reason), (&expected.text, &expected.tokens, expected.finish_reason));
        }
        assert_eq!(texts, expected.iter().map(|completion| completion.text.clone()).collect::<Vec<_>>());
        assert_eq!(got.usage.completion_tokens, expected.iter().map(|completion| completion.tokens.len()).sum::<usize>());
        assert_eq!(got.usage.prompt_tokens, expected[0].usage.prompt_tokens, "one prefill");
        // A chat keeps the first and continues from it.
        let turn = session.chat("hello", &options(7, 3)).unwrap().finish().unwrap();
        assert_eq!(session.messages()[1].content, turn.text);
        assert_eq!(session.messages().len(), 2);
        let next = session.chat("again", &greedy(4)).unwrap().finish().unwrap();
        let mut single = Session::new(model.clone());
        single.chat("hello", &options(7, 1)).unwrap().finish().unwrap();
        assert_eq!(next, single.chat("again", &greedy(4)).unwrap().finish().unwrap());
    }
}

#[test]
fn a_run_can_be_driven_only_on_its_own_session() {
    let model = model("qwen2-bf16");
    let (mut a, mut b) = (Session::new(model.clone()), Session::new(model));
    let mut run = a.begin_chat("hello".into(), &greedy(4)).unwrap();
    b.begin_chat("hello".into(), &greedy(4)).unwrap();
    let mut copy = a.clone();
    for other in [&mut b, &mut copy] {
        assert_eq!(other.step(&mut run).unwrap_err().code(), "BAD_INPUT");
    }
    a.step(&mut run).unwrap();
}

#[test]
fn a_system_message_is_not_a_question() {
    let mut session = Session::new(model("chat"));
    session.set_messages(vec![message("system", "You are kind.")]);
    assert_eq!(session.regenerate(&greedy(4)).unwrap_err().code(), "BAD_INPUT");
}

#[test]
fn a_saved_session_belongs_to_what_its_keys_depend_on() {
    let files = folder("llama-odd-f32");
    let mut config: serde_json::Value = serde_json::from_slice(&files.config).unwrap();
    config["rms_norm_eps"] = 0.5.into();
    let other = Folder { config: config.to_string().into_bytes(), ..files.clone() };
    let mut session = Session::new(Arc::new(files.load()));
    session.append(vec![message("user", "hello")], &Options::default()).unwrap();
    let said = refusal(&Arc::new(other.load()), &session.save(true).unwrap());
    assert!(said.starts_with("This session was saved with model "), "{said}");
}

#[test]
fn two_sessions_taking_turns_answer_like_two_alone() {
    for (device, model) in on_both(|| folder("chat").load()) {
        eprintln!("{device}");
        let questions = ["My name is Ada.", "Tell me about the sea."];
        let mut sessions = questions.map(|_| Session::new(model.clone()));
        let mut runs: Vec<_> = sessions
            .iter_mut()
            .zip(questions)
            .map(|(session, question)| session.begin_chat(question.into(), &greedy(24)).unwrap())
            .collect();
        let mut ends: [Option<Completion>; 2] = [None, None];
        while ends.iter().any(Option::is_none) {
            for ((session, run), end) in sessions.iter_mut().zip(&mut runs).zip(&mut ends) {
                if end.is_none()
                    && let Step::End(_, completion) = session.step(run).unwrap()
                {
                    *end = Some(completion);
                }
            }
        }
        for (end, question) in ends.into_iter().zip(questions) {
            assert_eq!(end.unwrap().tokens, fresh(&model, &[message("user", question)], &greedy(24)).tokens);
        }
    }
}
