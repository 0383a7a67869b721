//! Chat templates render as in transformers: small templates with one construct each, and their output there.
//!
//! The values are those of transformers 5.24.0 with jinja2 3.1.6 and CPython 3.11:
//! `_compile_jinja_template(template).render(...)`. `tests/templates/handed.json` has templates that were
//! reported as faults. `random.jsonl` has random ones with every method, filter, test and operator.
//! `../shared/cases/templates` has more, and is read if it exists.
#![cfg(not(target_family = "wasm"))]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fireside::{ChatTemplate, Message, Now};
use serde::Deserialize;
use serde_json::{Value, json};

fn path(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(of)
}

/// The chat that all cases render, the same as in `../shared/cases/templates`.
#[derive(Deserialize)]
struct Chat {
    messages: Vec<(String, String)>,
    prompt: bool,
    tokens: Value,
    now: (i64, i32),
}

#[derive(Deserialize)]
struct Case {
    template: String,
    /// The output of jinja2; `None` if jinja2 fails.
    text: Option<String>,
}

fn render(template: &str, chat: &Chat) -> fireside::Result<String> {
    let messages: Vec<Message> = chat.messages.iter().map(|(role, content)| Message::new(role, content)).collect();
    let now = Now { unix_seconds: chat.now.0, utc_offset_minutes: chat.now.1 };
    let config = serde_json::to_vec(&chat.tokens).expect("JSON");
    let template = ChatTemplate::from_files(Some(&config), Some(template))?;
    Ok(template.render(&messages, chat.prompt, &[], Some(now))?.text)
}

/// Renders every case. Returns how many equal jinja2's output, and a line for each that differs without an
/// error.
fn compare(chat: &Chat, cases: &[Case]) -> (usize, Vec<String>) {
    let (mut equal, mut other) = (0, Vec::new());
    for Case { template, text } in cases {
        match (render(template, chat), text) {
            (Ok(got), Some(want)) if got == *want => equal += 1,
            (Err(_), None) => equal += 1,
            (Ok(got), Some(want)) => other.push(format!("{template:?}\n  wanted {want:?}\n  got    {got:?}")),
            // A template that jinja2 refuses may work here, and one that fails here has an error.
            (Ok(_), None) => {}
            (Err(error), Some(_)) => assert_eq!(error.code(), "BAD_TEMPLATE", "{template:?}: {error}"),
        }
    }
    (equal, other)
}

fn hold(chat: &Chat, cases: &[Case], share: f64) {
    let (equal, other) = compare(chat, cases);
    assert!(other.is_empty(), "{} of {} give another text:\n{}", other.len(), cases.len(), other.join("\n"));
    let got = equal as f64 / cases.len() as f64;
    assert!(got >= share, "{equal} of {} are as in jinja2, which is {got:.4}, below {share}", cases.len());
}

fn constructs_chat() -> Chat {
    serde_json::from_value(json!({
        "messages": [["system", "You are\n  a bot. "], ["user", "Hi <b>\"you\"</b> a</think>\n\nb"], ["assistant", "Fine."]],
        "prompt": true, "tokens": {"bos_token": "<s>", "eos_token": "</s>"}, "now": [1785502861, 120],
    }))
    .expect("a chat")
}

#[test]
fn random_constructs_are_those_of_jinja() {
    let lines = fs::read_to_string(path("tests/templates/random.jsonl")).expect("the cases");
    let cases: Vec<Case> = lines.lines().map(|line| serde_json::from_str(line).expect("a case")).collect();
    assert!(cases.len() >= 1000);
    hold(&constructs_chat(), &cases, 0.99);
}

/// Faults that were reported: `none is iterable`, CRLF, filters of undefined values, missing methods of
/// Python.
#[test]
fn templates_that_were_handed_in_as_faults_work() {
    #[derive(Deserialize)]
    struct Handed {
        name: String,
        template: String,
        messages: Vec<(String, String)>,
        want: String,
    }
    let cases: Vec<Handed> = serde_json::from_slice(&fs::read(path("tests/templates/handed.json")).expect("the cases")).expect("JSON");
    assert!(cases.len() >= 45);
    for Handed { name, template, messages, want } in cases {
        let chat = Chat { messages, prompt: true, tokens: json!({}), now: (1_732_924_800, 0) };
        match render(&template, &chat) {
            Ok(got) => assert_eq!(got, want, "{name}: {template:?}"),
            // Fireside has no table of the names of characters.
            Err(error) => assert!(
                template.contains("\\N{") && error.to_string().contains("bad string escape") || !template.is_ascii(),
                "{name}: {error}"
            ),
        }
    }
}

#[test]
fn shared_constructs_are_those_of_jinja() {
    let file = path("../shared/cases/templates/constructs.jsonl.gz");
    if !file.exists() {
        println!("skipped: {} is not there", file.display());
        return;
    }
    let lines = Command::new("gzip").arg("-dc").arg(&file).output().expect("gzip");
    let lines = String::from_utf8(lines.stdout).expect("UTF-8");
    let mut lines = lines.lines();
    let chat: Chat = serde_json::from_str(lines.next().expect("a chat")).expect("a chat");
    let cases: Vec<Case> = lines.map(|line| serde_json::from_str(line).expect("a case")).collect();
    assert!(cases.len() > 1900);
    hold(&chat, &cases, 0.99);
}
