//! Chat templates: messages to the one text that the model was trained to continue.
//!
//! A template is a Jinja program published with the model, that is, code from a stranger. It runs in minijinja, set up as transformers sets up
//! Jinja (`python` has what minijinja writes differently), without a loader, with a limit on its steps and on what it makes and writes (`limits`).
//!
//! The output is text in which the template's own special tokens have to be recognised and those that a user typed must not be.
//! So each special token's text inside a caller's string is replaced by a *mark* before rendering, a private-use character that occurs
//! nowhere else, and [`Tokenizer::encode_rendered`](crate::tokenizer::Tokenizer::encode_rendered) puts the text back once the special tokens are found.
//! Tokens that are added but not special (`<think>`) are recognised in callers' strings as well, as they are in any text.

mod limits;
mod python;
mod source;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use minijinja::machinery::{self, CompiledTemplate, TemplateConfig};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, ErrorKind, Value};
use serde::{Deserialize, Serialize};

pub use python::Now;

use crate::sniff::{Expected, sniff};
use crate::tokenizer::TokenizerConfig;
use crate::{Error, Result};

/// Steps of the template engine, the weighing among them: real templates need a few hundred a message.
const STEPS: u64 = 200_000;
const STEPS_PER_MESSAGE: u64 = 4_000;

/// Depth of nested blocks and macro calls (a call counts 10): what fits on the 1 MiB stack of wasm with room to spare.
const DEPTH: usize = 200;

/// The published template that most models without one of their own were trained on.
///
/// Source: <https://github.com/openai/openai-python/blob/v0.28.1/chatml.md>
const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}\
    {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// One message of a chat. A template sees the fields under these names; one that is `None` is undefined there, as a key that a dict lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, or whatever the template knows.
    pub role: String,
    /// What they say.
    pub content: String,
    /// Which of several users or assistants speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the assistant thought before it said `content`. Templates decide whether it stays in the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
}

impl Message {
    /// A message of a role and its content alone.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Message {
        Message { role: role.into(), content: content.into(), name: None, reasoning_content: None }
    }

    /// Every text that the caller wrote.
    fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        [&mut self.role, &mut self.content].into_iter().chain(&mut self.name).chain(&mut self.reasoning_content)
    }
}

/// Where a template comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplateSource {
    /// The model's files.
    Model,
    /// The model has none: ChatML, a guess.
    ChatMl,
    /// The model's files, and it cannot be used: [`ChatTemplate::error`] says why.
    Broken,
}

/// A compiled chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    engine: Environment<'static>,
    text: String,
    source: TemplateSource,
    /// Private-use characters in the template itself: no mark may be one of them.
    taken: HashSet<char>,
    /// `bos_token` and so on.
    tokens: Vec<(String, String)>,
    /// Why it cannot be used.
    error: Option<Error>,
}

/// What a template made of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// The text with its marks; empty where there are none.
    pub(crate) marked: String,
    pub(crate) marks: Vec<Mark>,
}

/// A character that stands for a special token's text in a caller's string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) sign: char,
    pub(crate) text: String,
}

impl ChatTemplate {
    /// The template of `chat_template.jinja` where it exists, else of `tokenizer_config.json`; see [`ChatTemplate::new`].
    ///
    /// Errors: `BAD_FILE` for a `tokenizer_config.json` that is not one; `NOT_A_MODEL_FILE`.
    pub fn from_files(tokenizer_config: Option<&[u8]>, chat_template: Option<&str>) -> Result<ChatTemplate> {
        let config = TokenizerConfig::from_files(tokenizer_config, None, None)?;
        ChatTemplate::new(&config, chat_template.map(str::as_bytes))
    }

    /// Compiles the model's template: that of `file` (`chat_template.jinja`, or the caller's own) where it has one, else the one in
    /// `tokenizer_config.json`, else ChatML. A model can do without a template: [`error`](Self::error) says what is wrong with it, and so
    /// does every [`render`](Self::render).
    ///
    /// Errors: `NOT_A_MODEL_FILE` where `file` is another kind of file.
    pub fn new(config: &TokenizerConfig, file: Option<&[u8]>) -> Result<ChatTemplate> {
        let file = file.map(utf8).transpose();
        let (published, error) = match file.map(|file| file.filter(|text| !text.trim().is_empty())) {
            Ok(Some(text)) => (Some(text), None),
            Ok(None) => config.chat_template().map_or_else(|error| (None, Some(error)), |text| (text, None)),
            Err(error) => (None, Some(error)),
        };
        let published = published.filter(|template| !template.trim().is_empty());
        if let Some(template) = published {
            not_a_page(template)?;
        }
        let template = python::without_generation_tags(published.unwrap_or(CHATML));
        let mut engine = Environment::new();
        engine.set_recursion_limit(DEPTH);
        // It writes out every variable there is.
        engine.remove_global("debug");
        engine.add_filter("tojson", python::tojson);
        engine.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, format!("{REFUSAL}{message}")))
        });
        let taken = template.chars().filter(|&character| private(character)).collect();
        let source = if published.is_some() { TemplateSource::Model } else { TemplateSource::ChatMl };
        let mut template = ChatTemplate { engine, text: template, source, taken, tokens: config.names.clone(), error };
        template.error = template.error.take().or_else(|| template.compiled().err());
        if template.error.is_some() {
            template.source = TemplateSource::Broken;
        }
        Ok(template)
    }

    /// The program of the template.
    fn compiled(&self) -> Result<CompiledTemplate<'_>> {
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(|error| broken(&error))?;
        source::check(&self.text, &syntax).map_err(|detail| Error::BadTemplate { detail })?;
        let config = TemplateConfig { syntax_config: syntax, default_auto_escape: Arc::new(|_| AutoEscape::None) };
        CompiledTemplate::new("chat", &self.text, &config).map_err(|error| broken(&error))
    }

    /// Whether the template is the model's own.
    pub fn source(&self) -> TemplateSource {
        self.source
    }

    /// Why the model's template cannot be used: `BAD_TEMPLATE`.
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// Renders messages; `special` are the tokenizer's special tokens, `now` the time that the template may print.
    ///
    /// Errors: `BAD_TEMPLATE` where the template refuses the messages, fails, or goes beyond its limits.
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        special: &[(String, u32)],
        now: Option<Now>,
    ) -> Result<Rendered> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let mut marked = messages.to_vec();
        let mut strings: Vec<String> = marked.iter_mut().flat_map(Message::texts).map(std::mem::take).collect();
        let marks = mark(&mut strings, special, self.taken.clone())?;
        let bytes: usize = strings.iter().map(String::len).sum();
        marked.iter_mut().flat_map(Message::texts).zip(strings).for_each(|(text, string)| *text = string);
        let mut context: BTreeMap<&str, Value> = BTreeMap::from([
            ("messages", Value::from(Serde(&marked))),
            ("add_generation_prompt", add_generation_prompt.into()),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
        ]);
        context.extend(self.tokens.iter().map(|(name, token)| (name.as_str(), token.as_str().into())));
        if let Some(now) = now {
            context.insert("strftime_now", Value::from_function(move |format: &str| now.strftime(format)));
        }
        let mut engine = self.engine.clone();
        engine.set_fuel(Some(STEPS + STEPS_PER_MESSAGE * messages.len() as u64));
        limits::Meter::new(messages.len(), bytes).install(&mut engine);
        let compiled = self.compiled()?;
        let program = limits::limited(&compiled.instructions);
        let blocks = compiled.blocks.iter().map(|(name, block)| (*name, limits::limited(block))).collect();
        let mut marked = String::new();
        let mut output = machinery::make_string_output(&mut marked);
        machinery::eval(&engine, &program, Value::from(context), &blocks, &mut output, AutoEscape::None).map_err(|error| broken(&error))?;
        Ok(Rendered::new(marked, marks))
    }
}

impl Rendered {
    fn new(marked: String, marks: Vec<Mark>) -> Self {
        if marks.is_empty() {
            return Rendered { text: marked, marked: String::new(), marks };
        }
        let text = marks.iter().fold(marked.clone(), |text, mark| text.replace(mark.sign, &mark.text));
        Rendered { text, marked, marks }
    }
}

/// Text as somebody typed it, marked.
pub(crate) fn mark_special(text: &str, special: &[(String, u32)]) -> Result<Rendered> {
    let mut strings = [text.to_owned()];
    let marks = mark(&mut strings, special, HashSet::new())?;
    let [marked] = strings;
    Ok(Rendered::new(marked, marks))
}

/// Replaces each special token's text by a private-use character that is in none of the strings and not `taken`.
///
/// Errors: `BAD_INPUT` where there is no such character.
fn mark(strings: &mut [String], special: &[(String, u32)], mut taken: HashSet<char>) -> Result<Vec<Mark>> {
    let mut found: Vec<&str> = special.iter().map(|(text, _)| text.as_str()).collect();
    found.retain(|text| !text.is_empty() && strings.iter().any(|string| string.contains(text)));
    if found.is_empty() {
        return Ok(Vec::new());
    }
    // Where one token's text begins another's, the longer is meant, as in the tokenizer.
    found.sort_by_key(|text| std::cmp::Reverse(text.len()));
    found.dedup();
    taken.extend(strings.iter().flat_map(|string| string.chars()).chain(found.iter().flat_map(|text| text.chars())));
    let mut free = ('\u{E000}'..='\u{F8FF}').chain('\u{F0000}'..='\u{FFFFD}').filter(|sign| !taken.contains(sign));
    let mut marks = Vec::new();
    for text in found {
        let sign = free.next().ok_or_else(|| Error::BadInput {
            what: "messages".into(),
            expected: "text that leaves a private-use character free".into(),
            got: "text that holds all of them".into(),
        })?;
        marks.push(Mark { sign, text: text.to_owned() });
    }
    for string in strings {
        let mut marked = String::with_capacity(string.len());
        let mut rest = string.as_str();
        while let Some(next) = rest.chars().next() {
            let found = marks.iter().find_map(|mark| Some((mark.sign, rest.strip_prefix(mark.text.as_str())?)));
            let (sign, after) = found.unwrap_or((next, &rest[next.len_utf8()..]));
            marked.push(sign);
            rest = after;
        }
        *string = marked;
    }
    Ok(marks)
}

fn private(character: char) -> bool {
    matches!(character, '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{FFFFD}')
}

/// Any text is a template; a few are other files in its place.
fn not_a_page(template: &str) -> Result<()> {
    let start: String = template.trim_start().chars().take(22).collect::<String>().to_ascii_lowercase();
    let other = ["<!doctype", "<html", "version https://git"].iter().any(|other| start.starts_with(other));
    if other { sniff("chat_template.jinja", template.as_bytes(), Expected::Json) } else { Ok(()) }
}

/// A template is text.
fn utf8(file: &[u8]) -> Result<&str> {
    str::from_utf8(file).map_err(|error| {
        let at = error.valid_up_to();
        Error::BadTemplate { detail: format!("chat_template.jinja is not UTF-8: byte {at} is 0x{:02x}", file[at]) }
    })
}

/// Characters of what a template says that a message repeats.
const DETAIL_MAX: usize = 300;

/// Begins what a template says by `raise_exception`.
const REFUSAL: &str = "\u{0}";

fn broken(error: &minijinja::Error) -> Error {
    let line = error.line().map(|line| format!(" (line {line})")).unwrap_or_default();
    let detail = match error.detail() {
        Some(refusal) if refusal.starts_with(REFUSAL) => format!("it refuses these messages: {}", &refusal[REFUSAL.len()..]),
        Some(limit) if limit.starts_with(limits::LIMIT) => limit[limits::LIMIT.len()..].to_owned(),
        _ if error.kind() == ErrorKind::OutOfFuel => "it takes too many steps".to_owned(),
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    let cut = detail.char_indices().nth(DETAIL_MAX).map(|(cut, _)| format!("{}...", &detail[..cut]));
    Error::BadTemplate { detail: cut.unwrap_or(detail) + &line }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn message(role: &str, content: &str) -> Message {
        Message::new(role, content)
    }

    fn render(template: &str, content: &str) -> Result<Rendered> {
        let template = ChatTemplate::from_files(None, Some(template))?;
        template.render(&[message("user", content)], true, &[("<|end|>".into(), 1), ("<|end|>>".into(), 2)], None)
    }

    fn text(template: &str) -> String {
        render(template, "hi").expect("rendered").text
    }

    fn error(template: &str) -> String {
        let error = render(template, "hi").expect_err("an error");
        assert_eq!(error.code(), "BAD_TEMPLATE");
        error.to_string()
    }

    #[test]
    fn a_model_without_a_template_gets_chatml_and_says_so() {
        for config in [
            None,
            Some(&b"{}"[..]),
            Some(b"{\"chat_template\": null}"),
            Some(b"{\"chat_template\": \"\"}"),
            Some(b"{\"chat_template\": []}"),
        ] {
            let template = ChatTemplate::from_files(config, None).expect("ChatML");
            assert_eq!(template.source(), TemplateSource::ChatMl);
            let rendered = template.render(&[message("user", " hi\n")], true, &[], None).expect("rendered");
            assert_eq!(rendered.text, "<|im_start|>user\n hi\n<|im_end|>\n<|im_start|>assistant\n");
        }
    }

    #[test]
    fn the_file_of_its_own_wins_over_the_config() {
        let config = br#"{"chat_template": "config {{ bos_token }}", "bos_token": {"content": "<s>"}}"#;
        let text = |file| {
            let template = ChatTemplate::from_files(Some(config), file).expect("a template");
            assert_eq!(template.source(), TemplateSource::Model);
            template.render(&[], false, &[], None).expect("rendered").text
        };
        assert_eq!(text(None), "config <s>");
        assert_eq!(text(Some("file {{ bos_token }}")), "file <s>");
    }

    #[test]
    fn several_templates_without_a_default_are_an_error_that_names_them() {
        let config = br#"{"chat_template": [{"name": "rag", "template": "a"}, {"name": "tool_use", "template": "b"}]}"#;
        let template = ChatTemplate::from_files(Some(config), None).expect("a model that can do without");
        let error = template.error().expect("an error");
        assert_eq!((error.code(), template.source()), ("BAD_TEMPLATE", TemplateSource::Broken));
        assert!(error.to_string().contains(r#"named "rag", "tool_use""#), "{error}");
    }

    /// A model whose template could not be compiled did not load, though it could continue a text.
    #[test]
    fn a_template_that_cannot_be_used_says_so_when_it_is_used() {
        let config = |json: &str| TokenizerConfig::from_json(json.as_bytes()).expect("a config");
        let broken = config(r#"{"chat_template": "{% for x in 1, 2 %}{% if %}"}"#);
        let several = config(r#"{"chat_template": {"rag": "R"}}"#);
        for (config, file, detail) in [
            (&broken, None, "syntax error"),
            (&several, None, "none named \"default\""),
            (&several, Some(&b"{% if %}"[..]), "syntax error"),
            (&broken, Some(b"hi \xff"), "chat_template.jinja is not UTF-8: byte 3 is 0xff"),
        ] {
            let template = ChatTemplate::new(config, file).expect("a model that can do without");
            assert_eq!(template.source(), TemplateSource::Broken);
            let error = template.render(&[message("user", "hi")], true, &[], None).unwrap_err();
            assert_eq!((Some(&error), error.code()), (template.error(), "BAD_TEMPLATE"));
            assert!(error.to_string().contains(detail), "{error}");
            // The remedy of the message.
            let own = ChatTemplate::new(config, Some(b"{{ messages[0].content }}")).expect("a template");
            assert_eq!(own.render(&[message("user", "hi")], true, &[], None).expect("rendered").text, "hi");
        }
    }

    #[test]
    fn a_page_in_place_of_a_template_is_named() {
        let error = ChatTemplate::from_files(None, Some("<!DOCTYPE html><p>Not found")).unwrap_err();
        assert_eq!(error.code(), "NOT_A_MODEL_FILE");
        assert!(ChatTemplate::from_files(None, Some("<|im_start|>{{ messages }}")).is_ok());
    }

    #[test]
    fn what_a_template_refuses_is_passed_on() {
        let message = error("\n{% if messages %}{{ raise_exception('Roles must alternate') }}{% endif %}");
        assert_eq!(
            message,
            "chat template: it refuses these messages: Roles must alternate (line 2). Pass a working template as `chatTemplate`, or use `generate` with a prompt of your own."
        );
    }

    #[test]
    fn a_broken_template_is_an_error_with_its_line() {
        assert!(error("\n\n{% if %}").contains("(line 3)"));
        assert!(error("{{ nothing() }}").contains("nothing"));
        assert!(error("{{ 1|imaginary }}").contains("imaginary"));
        assert!(error("{{ missing.field }}").contains("undefined"));
        assert!(error("{% include 'x' %}").contains("x"));
        assert!(error("{% import 'x' as x %}").contains("x"));
    }

    #[test]
    fn absent_things_are_none_and_an_absent_clock_is_not_defined() {
        assert_eq!(
            text("{{ tools is none }} {{ documents is none }} {{ strftime_now is defined }} {{ bos_token is defined }}"),
            "True True False False"
        );
        let template = ChatTemplate::from_files(None, Some("{{ strftime_now('%d %b %Y') }}")).expect("a template");
        let now = Now { unix_seconds: 0, utc_offset_minutes: -60 };
        assert_eq!(template.render(&[], true, &[], Some(now)).expect("rendered").text, "31 Dec 1969");
    }

    /// As jinja2 3.1.6 has it for dicts with and without the keys.
    #[test]
    fn a_name_and_a_thought_are_there_for_templates_that_read_them() {
        let source = "{% for message in messages %}{{ message.name if message.name is defined else '-' }}:\
            {% if message.reasoning_content is string %}<think>{{ message['reasoning_content'] }}</think>{% endif %}{{ message.content }};{% endfor %}";
        let template = ChatTemplate::from_files(None, Some(source)).expect("a template");
        let named = Message { name: Some("Ada".into()), ..message("user", "Hi") };
        let thought = Message { reasoning_content: Some("A <|end|>?".into()), ..message("assistant", "Ho") };
        let rendered = template.render(&[named, thought, message("user", "")], true, &[("<|end|>".into(), 1)], None).expect("rendered");
        assert_eq!(rendered.text, "Ada:Hi;-:<think>A <|end|>?</think>Ho;-:;");
        assert_eq!(rendered.marks.len(), 1); // these are a caller's strings too
    }

    #[test]
    fn a_template_may_be_rendered_again_and_again() {
        let template = ChatTemplate::from_files(None, None).expect("ChatML");
        let render = || template.render(&[message("user", &"a".repeat(100_000))], true, &[], None).expect("rendered");
        assert_eq!(render(), render());
    }

    #[test]
    fn text_without_special_tokens_has_no_marks() {
        let rendered = render("{{ messages[0].content }}<|end|>", "<|en").expect("rendered");
        assert_eq!((rendered.text.as_str(), rendered.marked.as_str(), rendered.marks.len()), ("<|en<|end|>", "", 0));
    }

    #[test]
    fn marks_stand_for_typed_tokens_and_for_nothing_else() {
        // The template has U+E000 and the user U+E001: the first free ones are U+E002 and U+E003. The longer token is found first.
        let rendered = render("\u{E000}{{ messages[0].content }}<|end|>", "\u{E001}<|end|><|end|>>").expect("rendered");
        assert_eq!(rendered.text, "\u{E000}\u{E001}<|end|><|end|>><|end|>");
        assert_eq!(rendered.marked, "\u{E000}\u{E001}\u{E003}\u{E002}<|end|>");
        let marks: Vec<_> = rendered.marks.iter().map(|mark| (mark.sign, mark.text.as_str())).collect();
        assert_eq!(marks, [('\u{E002}', "<|end|>>"), ('\u{E003}', "<|end|>")]);
        // A role is a caller's string too.
        let template = ChatTemplate::from_files(None, None).expect("ChatML");
        let rendered = template.render(&[message("<|end|>", "hi")], true, &[("<|end|>".into(), 1)], None).expect("rendered");
        assert_eq!(rendered.marks.len(), 1);
    }
}
