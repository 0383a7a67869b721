//! The options of a chat that stay with the session: the system prompt and the variables of the chat
//! template.
#![cfg(not(target_family = "wasm"))]

mod common;

use std::sync::Arc;

use common::files::folder;
use common::greedy;
use fireside::{Message, Model, Options, Session, SessionOptions, TemplateKwargs};
use serde_json::{Value, json};

/// ChatML with a variable.
const TEMPLATE: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{{ thoughts }}{% endif %}";

fn model() -> Arc<Model> {
    let mut chat = folder("chat");
    chat.chat_template = Some(TEMPLATE.into());
    Arc::new(chat.load())
}

fn kwargs(value: Value) -> TemplateKwargs {
    TemplateKwargs::from_json("chatTemplateKwargs", &value).unwrap()
}

fn with(value: Value) -> Options {
    Options { chat_template_kwargs: Some(kwargs(value)), ..greedy(4) }
}

fn prompt_tokens(session: &mut Session, options: &Options) -> usize {
    session.regenerate(options).unwrap().finish().unwrap().usage.prompt_tokens
}

#[test]
fn a_system_prompt_begins_every_history() {
    let model = model();
    let (system, user) = (Message::new("system", "You are kind."), Message::new("user", "Hello!"));
    let options = SessionOptions { system: Some("You are kind.".into()), ..SessionOptions::default() };
    let mut session = Session::with_options(model.clone(), options.clone()).unwrap();
    assert_eq!(session.messages(), std::slice::from_ref(&system));
    let answer = session.chat("Hello!", &greedy(8)).unwrap().finish().unwrap();
    let expected = Session::new(model.clone()).chat(vec![system.clone(), user.clone()], &greedy(8)).unwrap().finish().unwrap();
    assert_eq!(answer.tokens, expected.tokens);
    for mut copy in [session.clone(), Session::restore(model.clone(), &session.save(true).unwrap()).unwrap()] {
        assert_eq!((copy.messages().len(), copy.options()), (3, &options));
        copy.reset();
        assert_eq!(copy.messages(), std::slice::from_ref(&system));
        copy.chat(vec![user.clone()], &greedy(2)).unwrap().finish().unwrap();
        assert_eq!(copy.messages()[..2], [system.clone(), user.clone()]);
    }
    let own = vec![Message::new("system", "You are brief."), user];
    session.set_messages(own.clone());
    assert_eq!(session.messages(), own);
}

#[test]
fn variables_stay_until_a_completed_turn_sets_others() {
    let model = model();
    let mut session = Session::new(model.clone());
    session.chat("Hello!", &greedy(4)).unwrap().finish().unwrap();
    let plain = prompt_tokens(&mut session, &greedy(4));
    let longer = prompt_tokens(&mut session, &with(json!({"thoughts": "I think. I think."})));
    assert!(longer > plain);
    assert_eq!(prompt_tokens(&mut session, &greedy(4)), longer, "the next turn has them too");
    let mut run = session.begin_regenerate(&with(json!({}))).unwrap();
    session.step(&mut run).unwrap();
    session.abort(&mut run);
    assert_eq!(prompt_tokens(&mut session, &greedy(4)), longer, "an aborted turn changes nothing");
    for mut copy in [session.clone(), Session::restore(model.clone(), &session.save(false).unwrap()).unwrap()] {
        assert_eq!(prompt_tokens(&mut copy, &greedy(4)), longer);
        copy.reset();
        assert_eq!(copy.options().chat_template_kwargs, kwargs(json!({"thoughts": "I think. I think."})));
    }
    assert_eq!(prompt_tokens(&mut session, &with(json!({}))), plain);
    let measure = |options: &Options| session.measure_context_usage("Again", options).unwrap();
    assert!(measure(&with(json!({"thoughts": "I think."}))) > measure(&greedy(4)));
}

#[test]
fn a_variable_that_the_template_does_not_read_is_refused() {
    let model = model();
    let mut session = Session::new(model.clone());
    let expected = "option `chatTemplateKwargs.thought`: This model's chat template does not read `thought`. It reads thoughts.";
    let wrong = || kwargs(json!({"thought": 1}));
    assert_eq!(session.chat("Hello!", &with(json!({"thought": 1}))).unwrap_err().to_string(), expected);
    let options = SessionOptions { chat_template_kwargs: wrong(), ..SessionOptions::default() };
    assert_eq!(Session::with_options(model, options).unwrap_err().to_string(), expected);
    let error = session.generate("Hello!", &with(json!({}))).unwrap_err();
    assert_eq!(error.code(), "BAD_OPTION");
    let expected = "option `chatTemplateKwargs`: `generate` renders no chat template. Use `chat`, or leave it out.";
    assert_eq!(error.to_string(), expected);
    assert!(session.messages().is_empty());
}

#[test]
fn a_session_without_options_is_saved_in_the_format_before_options() {
    let saved = Session::new(model()).save(false).unwrap();
    let head = String::from_utf8_lossy(&saved).into_owned();
    assert!(head.contains("\"messages\":[]") && !head.contains("options"), "{head}");
}
