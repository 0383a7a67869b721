//! For any sequence of calls on a session, each answer is that of a new session with the same history, and
//! calls that fail or are aborted are rolled back.
#![no_main]

use std::sync::{Arc, LazyLock};

use fireside::{Completion, Error, FinishReason, Message, Model, Options, Overflow, Run, Session, Step, Turn};
use fireside_fuzz::fixture;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

const CHATML: &str = include_str!("../../tests/fixtures/smollm3-bf16/chat_template.jinja");

/// A plain Llama with odd sizes, and a Qwen2 whose window is shorter than its context. Contexts are short,
/// so that they overflow.
static MODELS: LazyLock<[Arc<Model>; 2]> = LazyLock::new(|| {
    [
        fixture(
            include_bytes!("../../tests/fixtures/llama-odd-f32/config.json"),
            include_bytes!("../../tests/fixtures/llama-odd-f32/tokenizer.json"),
            include_bytes!("../../tests/fixtures/llama-odd-f32/model.safetensors"),
            Some(CHATML),
            160,
        ),
        fixture(
            include_bytes!("../../tests/fixtures/qwen2-window-f16/config.json"),
            include_bytes!("../../tests/fixtures/qwen2-window-f16/tokenizer.json"),
            include_bytes!("../../tests/fixtures/qwen2-window-f16/model.safetensors"),
            Some(CHATML),
            100,
        ),
    ]
});

const WORDS: [&str; 10] =
    ["", "a", "Once upon a time", " the", "<|im_end|>", "雪 é", "\n", "hello", "{{ x }}", " 2 + 3 = 5, and so on and on and on"];

fn words(input: &mut Unstructured) -> Result<String> {
    (0..input.int_in_range(1..=3)?).map(|_| input.choose(&WORDS).copied()).collect()
}

fn options(input: &mut Unstructured) -> Result<Options> {
    Ok(Options {
        max_tokens: Some(input.int_in_range(0..=6)?), // 0 is out of range
        temperature: Some(if input.ratio(1, 4)? { 0.9 } else { 0.0 }),
        repetition_penalty: input.ratio(1, 4)?.then_some(1.3),
        stop: if input.ratio(1, 4)? { vec![words(input)?] } else { Vec::new() },
        seed: Some(3),
        logprobs: input.ratio(1, 4)?.then_some(2),
        n: input.ratio(1, 4)?.then_some(2),
        overflow: *input.choose(&[Overflow::Error, Overflow::Error, Overflow::DropOldest, Overflow::Shift])?,
        ..Options::default()
    })
}

/// A conversation: the history up to some turn with another message at its end, or messages with any roles.
fn conversation(input: &mut Unstructured, history: &[Message]) -> Result<Vec<Message>> {
    let mut messages = history[..input.int_in_range(0..=history.len())?].to_vec();
    for _ in 0..input.int_in_range(0..=2)? {
        let role = *input.choose(&["user", "user", "system", "assistant"])?;
        messages.push(Message::new(role, words(input)?));
    }
    Ok(messages)
}

/// A call on a session.
#[derive(Clone, Debug)]
enum Ask {
    Prompt(String),
    Chat(Turn),
    Again,
}

fn begin(session: &mut Session, ask: &Ask, options: &Options) -> fireside::Result<Run> {
    match ask {
        Ask::Prompt(prompt) => session.begin_generate(prompt, options),
        Ask::Chat(turn) => session.begin_chat(turn.clone(), options),
        Ask::Again => session.begin_regenerate(options),
    }
}

/// Drives a run to its end and checks its pieces against the whole.
fn finish(session: &mut Session, mut run: Run) -> fireside::Result<Completion> {
    let mut shown = vec![String::new(); 2];
    loop {
        match session.step(&mut run)? {
            Step::Overflow(_) => {}
            Step::Prefill { done, total, .. } => assert!(done <= total),
            Step::Token(piece) => shown[piece.choice] += &piece.text,
            Step::End(piece, completion) => {
                shown[piece.choice] += &piece.text;
                assert_eq!(shown[0], completion.text);
                assert!(completion.others.iter().zip(&shown[1..]).all(|(other, shown)| other.text == *shown));
                return Ok(completion);
            }
        }
    }
}

/// The result without what depends on the cache.
fn outcome(result: fireside::Result<Completion>) -> fireside::Result<Completion> {
    result.map(|mut completion| {
        completion.usage.cached_tokens = 0;
        completion
    })
}

/// The expected state of a session: its history, and a run that may continue.
struct Twin {
    session: Session,
    history: Vec<Message>,
}

impl Twin {
    /// Runs the call on the session and on a new one, and adds the answer to the history.
    fn ask(&mut self, ask: &Ask, options: &Options) {
        let usage = self.session.context_usage();
        let got = begin(&mut self.session, ask, options);
        if got.is_err() {
            assert_eq!(self.session.context_usage(), usage, "a call that is refused changes nothing");
        }
        let got = got.and_then(|run| finish(&mut self.session, run));
        let mut fresh = Session::new(self.session.model().clone());
        let whole = match ask {
            Ask::Chat(Turn::User(text)) if !text.is_empty() => {
                let user = Message::new("user", text.clone());
                Ask::Chat(Turn::Conversation([self.history.clone(), vec![user]].concat()))
            }
            Ask::Again if self.history.iter().any(|message| message.role != "assistant") => {
                let asked = self.history.iter().rposition(|message| message.role != "assistant").map_or(0, |last| last + 1);
                Ask::Chat(Turn::Conversation(self.history[..asked].to_vec()))
            }
            other => other.clone(),
        };
        let expected = begin(&mut fresh, &whole, options).and_then(|run| finish(&mut fresh, run));
        if let (Ok(completion), Ask::Chat(Turn::Conversation(messages))) = (&got, &whole) {
            let answer = Message::new("assistant", completion.text.clone());
            let whole = [messages.clone(), vec![answer]].concat();
            // Messages are dropped from the beginning; the question and its answer are still there.
            let kept = self.session.messages();
            assert!(if options.overflow == Overflow::Error { kept == whole } else { kept.ends_with(&whole[whole.len() - 2..]) });
            self.history = kept.to_vec();
        }
        if let Ok(completion) = &got {
            let (usage, read) = (completion.usage, self.session.context_usage());
            assert!(usage.cached_tokens < usage.prompt_tokens, "{usage:?}");
            assert_eq!(
                usage.completion_tokens,
                completion.others.iter().fold(completion.tokens.len(), |sum, other| sum + other.tokens.len())
            );
            // The last token of a text has been read only if something came after it.
            if options.overflow != Overflow::Shift {
                let whole = usage.prompt_tokens + completion.tokens.len();
                assert!(read == whole || read + 1 == whole);
            }
            assert!(completion.finish_reason != FinishReason::Abort);
        }
        assert_eq!(outcome(got), outcome(expected), "{ask:?} with {options:?} after {:?}", self.history);
        assert_eq!(self.session.messages(), fresh_messages(&fresh, &self.history));
    }

    /// Starts a run and abandons it after some steps.
    fn give_up(&mut self, ask: &Ask, options: &Options, steps: usize, abort: bool) {
        let Ok(mut run) = begin(&mut self.session, ask, options) else { return };
        let mut pieces = vec![String::new(); 2];
        for _ in 0..steps {
            match self.session.step(&mut run).expect("a fixture computes finite numbers") {
                Step::Prefill { .. } | Step::Overflow(_) => {}
                Step::Token(piece) => pieces[piece.choice] += &piece.text,
                Step::End(..) => {
                    self.history = self.session.messages().to_vec();
                    return;
                }
            }
        }
        if abort {
            let completion = self.session.abort(&mut run);
            // The completion that was running; those before it had ended.
            assert_eq!(completion.others.last().map_or(completion.finish_reason, |last| last.finish_reason), FinishReason::Abort);
            let texts = [&completion.text].into_iter().chain(completion.others.iter().map(|other| &other.text));
            assert!(texts.zip(&pieces).all(|(text, shown)| text.starts_with(shown)), "{pieces:?} was shown of {completion:?}");
        } else {
            // Starting another run abandons this one.
            let other = begin(&mut self.session, &Ask::Prompt("a".into()), &Options::default()).expect("a prompt");
            assert!(matches!(self.session.step(&mut run), Err(Error::BadInput { .. })));
            drop(other);
        }
    }
}

/// After a conversation, the new session has the whole history. After a prompt it has none, and ours keeps
/// its own.
fn fresh_messages<'a>(fresh: &'a Session, history: &'a [Message]) -> &'a [Message] {
    if fresh.messages().is_empty() { history } else { fresh.messages() }
}

fn run(input: &mut Unstructured) -> Result<()> {
    let model = input.choose(&*MODELS)?.clone();
    let context = model.config().plan.context;
    let mut twin = Twin { session: Session::new(model), history: Vec::new() };
    for _ in 0..8 {
        if input.is_empty() {
            break;
        }
        let ask = match input.int_in_range(0..=4)? {
            4 => Ask::Again,
            0 => Ask::Prompt(words(input)?),
            1 => Ask::Chat(Turn::Conversation(conversation(input, &twin.history)?)),
            _ => Ask::Chat(Turn::User(words(input)?)),
        };
        let options = options(input)?;
        match input.int_in_range(0..=11)? {
            8 => twin.session = twin.session.clone(),
            9 => {
                let state = twin.session.save(input.arbitrary()?).expect("memory");
                twin.session = Session::restore(twin.session.model().clone(), &state).expect("what was saved");
            }
            10 => {
                let messages = conversation(input, &[])?;
                if twin.session.append(messages, &options).is_ok() {
                    twin.history = twin.session.messages().to_vec();
                }
            }
            11 => {
                twin.history = conversation(input, &twin.history)?;
                twin.session.set_messages(twin.history.clone());
            }
            0 => {
                twin.session.reset();
                twin.history.clear();
                assert_eq!(twin.session.context_usage(), 0);
            }
            1 => twin.give_up(&ask, &options, input.int_in_range(0..=5)?, true),
            2 => twin.give_up(&ask, &options, input.int_in_range(0..=5)?, false),
            3 => {
                if let Ask::Chat(turn) = &ask {
                    let usage = twin.session.context_usage();
                    let _ = twin.session.measure_context_usage(turn.clone(), &Options::default());
                    assert_eq!(twin.session.context_usage(), usage);
                }
            }
            _ => twin.ask(&ask, &options),
        }
        assert_eq!(twin.session.messages(), twin.history);
        assert!(twin.session.context_usage() <= context);
    }
    twin.ask(&Ask::Chat("hello".into()), &Options { max_tokens: Some(4), temperature: Some(0.0), ..Options::default() });
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let _ = run(&mut Unstructured::new(data));
});
