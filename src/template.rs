//! Chat templates: messages to the one text that the model was trained to continue.
//!
//! A template is a Jinja program published with the model, that is, code from a stranger. minijinja reads it; it runs here (`run`), by the rules of
//! Python and of jinja2 as transformers sets it up, with limits on its steps, on what it makes and on what it writes (`limits`).
//!
//! The output is text in which the template's own special tokens have to be recognised and those that a user typed must not be (`marks`).

mod args;
mod attributes;
mod calls;
mod characters;
mod checks;
mod coded;
mod compare;
mod expressions;
mod filters;
mod format;
mod html;
mod json;
mod layout;
mod limits;
mod loops;
mod names;
mod number;
mod operators;
mod respell;
mod run;
mod sequences;
mod source;
mod strings;
mod value;
mod written;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use minijinja::Value;
use minijinja::machinery::{ast, parse};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;

use crate::error::{Error, Result};
use crate::sniff::{Expected, sniff};
use crate::text::{self, Coding, Message, Now, Rendered, TemplateKwargs, TokenizerConfig};

/// The published template that most models without one of their own were trained on.
///
/// Source: <https://github.com/openai/openai-python/blob/v0.28.1/chatml.md>
const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}\
    {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

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
    text: String,
    source: TemplateSource,
    /// Private-use characters in the template itself: no mark may be one of them.
    taken: HashSet<char>,
    /// `bos_token` and so on.
    tokens: Vec<(String, String)>,
    /// Why it cannot be used.
    error: Option<Error>,
}

impl ChatTemplate {
    /// The template of `chat_template.jinja` where it exists, else of `tokenizer_config.json`; see
    /// [`ChatTemplate::new`].
    ///
    /// Errors: `BAD_FILE` for a `tokenizer_config.json` that is not one; `NOT_A_MODEL_FILE`.
    pub fn from_files(tokenizer_config: Option<&[u8]>, chat_template: Option<&str>) -> Result<ChatTemplate> {
        let config = TokenizerConfig::from_files(tokenizer_config, None, None)?;
        ChatTemplate::new(&config, chat_template.map(str::as_bytes))
    }

    /// Compiles the model's template: that of `file` (`chat_template.jinja`, or the caller's own) where it
    /// has one, else the one in `tokenizer_config.json`, else ChatML. A model can do without a template:
    /// [`error`](Self::error) says what is wrong with it, and so does every [`render`](Self::render).
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
        let template = respell::respelled(&source::normalised(published.unwrap_or(CHATML)));
        let taken = template.chars().filter(|&character| text::is_private(character)).collect();
        let source = if published.is_some() { TemplateSource::Model } else { TemplateSource::ChatMl };
        let mut template = ChatTemplate { text: template, source, taken, tokens: config.names.clone(), error };
        let unreadable = syntax().and_then(|syntax| template.read(&syntax).map(|_| ())).err();
        template.error = template.error.take().or(unreadable);
        if template.error.is_some() {
            template.source = TemplateSource::Broken;
        }
        Ok(template)
    }

    /// The statements of the template.
    fn read(&self, syntax: &SyntaxConfig) -> Result<ast::Stmt<'_>> {
        source::check(&self.text, syntax).map_err(|detail| Error::BadTemplate { detail })?;
        parse(&self.text, "chat", syntax.clone()).map_err(|error| unreadable(&error))
    }

    /// Whether the template is the model's own.
    pub fn source(&self) -> TemplateSource {
        self.source
    }

    fn usable(&self) -> Result<()> {
        self.error.clone().map_or(Ok(()), Err)
    }

    /// Why the model's template cannot be used: `BAD_TEMPLATE`.
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// Refuses a field of a message that the template reads of no message: it would be passed over.
    ///
    /// Errors: `BAD_INPUT` that names the message by its index, and the field.
    pub fn check(&self, messages: &[Message]) -> Result<()> {
        let mut optional =
            messages.iter().enumerate().flat_map(|(index, message)| message.optional_fields().map(move |field| (index, field)));
        let Some(first) = optional.next() else { return Ok(()) };
        self.usable()?;
        let read = self.message_fields();
        match std::iter::once(first).chain(optional).find(|(_, field)| !read.contains(field)) {
            Some((index, field)) => Err(text::unread_field(index, field)),
            None => Ok(()),
        }
    }

    /// The fields of a message that the template reads, of those that a [`Message`] has: the role and the content at least, also of a template that cannot be read. A variable of which it reads the role or the content holds a message.
    pub fn message_fields(&self) -> Vec<&'static str> {
        let Ok(template) = syntax().and_then(|syntax| self.read(&syntax)) else { return text::FIELDS[..2].to_vec() };
        let mut names = names::Names::default();
        names.statements(std::slice::from_ref(&template));
        let read = names.fields;
        let has = |of, field: &str| read.contains(&(of, field.to_owned()));
        let optional = |field: &&str| read.iter().any(|(of, name)| name == field && (has(*of, "role") || has(*of, "content")));
        let [role, content, optionals @ ..] = text::FIELDS;
        [role, content].into_iter().chain(optionals.into_iter().filter(optional)).collect()
    }

    /// The switches of the template: names that it reads before it sets them, and that nobody but a caller sets. Sorted.
    pub fn switches(&self) -> Vec<String> {
        self.names().1.into_iter().collect()
    }

    /// Refuses values for names that the template reads nowhere: they would do nothing.
    ///
    /// Errors: `BAD_OPTION` that names the first, and the switches.
    pub fn check_kwargs(&self, kwargs: &TemplateKwargs) -> Result<()> {
        if kwargs.is_empty() {
            return Ok(());
        }
        self.usable()?;
        let (read, switches) = self.names();
        kwargs.check(&read, &switches)
    }

    /// The names that the template reads, and of these the ones that it reads before it sets them.
    fn names(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let Ok(template) = syntax().and_then(|syntax| self.read(&syntax)) else { return Default::default() };
        let mut names = names::Names::default();
        names.statements(std::slice::from_ref(&template));
        let is_token = |name: &str| self.tokens.iter().any(|(token, _)| token == name);
        let is_free = |name: &&&str| !(text::is_reserved(name) || is_token(name) || run::GLOBALS.contains(name));
        let owned = |names: &BTreeSet<&str>| names.iter().filter(is_free).map(|name| (*name).to_owned()).collect();
        (owned(&names.read), owned(&names.unset))
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
        self.render_with(messages, add_generation_prompt, &TemplateKwargs::default(), special, now)
    }

    /// [`render`](Self::render) with values for the template's own switches.
    ///
    /// Errors: as there.
    pub fn render_with(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        kwargs: &TemplateKwargs,
        special: &[(String, u32)],
        now: Option<Now>,
    ) -> Result<Rendered> {
        self.usable()?;
        let mut strings: Vec<&str> = messages.iter().flat_map(Message::texts).collect();
        strings.extend(kwargs.strings());
        let coding = Coding::of(&strings, special, &self.taken)?;
        let bytes: usize = strings.iter().map(|string| string.len()).sum();
        let code = |text: &str| coding.as_ref().map_or_else(|| text.to_owned(), |coding| coding.coded(text));
        let coded: Vec<Message> = messages.iter().map(|message| message.with_texts(&code)).collect();
        let mut context: BTreeMap<&str, Value> = BTreeMap::from([
            ("messages", Value::from(Serde(&coded))),
            ("add_generation_prompt", add_generation_prompt.into()),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
        ]);
        context.extend(self.tokens.iter().map(|(name, token)| (name.as_str(), token.as_str().into())));
        context.extend(kwargs.iter().map(|(name, value)| (name, Value::from(Serde(&text::with_strings(value, &code))))));
        let syntax = syntax()?;
        let template = self.read(&syntax)?;
        let twins = coding.as_ref().map(|coding| coding.originals().clone()).unwrap_or_default();
        let meter = limits::Meter::new(messages.len(), bytes, now, twins);
        let given = context.iter().map(|(name, given)| Ok((*name, value::Value::from_outside(given, &meter)?)));
        let text = given
            .collect::<value::Outcome<_>>()
            .and_then(|given| run::render(std::slice::from_ref(&template), &self.text, &syntax, given, coding.as_ref(), &meter))
            .map_err(|mut fault| {
                if let Some(coding) = &coding {
                    fault.detail = coding.decoded(&fault.detail);
                }
                broken(&fault)
            })?;
        match coding {
            Some(coding) => coding.rendered(&text),
            None => Ok(Rendered::plain(text)),
        }
    }
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

/// How transformers sets up jinja2.
fn syntax() -> Result<SyntaxConfig> {
    SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(|error| unreadable(&error))
}

/// A template that minijinja cannot read.
fn unreadable(error: &minijinja::Error) -> Error {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    bad_template(&detail, error.line().unwrap_or(0))
}

/// A template that failed, or that refused the messages.
fn broken(fault: &value::Fault) -> Error {
    let refusal = if fault.refusal { "it refuses these messages: " } else { "" };
    bad_template(&format!("{refusal}{}", fault.detail), fault.line)
}

fn bad_template(detail: &str, line: usize) -> Error {
    let cut = detail.char_indices().nth(DETAIL_MAX).map(|(cut, _)| format!("{}...", &detail[..cut]));
    let line = if line > 0 { format!(" (line {line})") } else { String::new() };
    Error::BadTemplate { detail: cut.unwrap_or_else(|| detail.to_owned()) + &line }
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
            assert_eq!(template.message_fields(), ["role", "content"]);
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
        assert!(error("{% include 'x' %}").contains("`include`"));
        assert!(error("{% import 'x' as x %}").contains("`import`"));
    }

    /// The values of jinja2 3.1.6, or an error where it has one or a number goes beyond 127 bits.
    #[test]
    fn the_largest_numbers_overflow_nowhere() {
        let min = "(-(2**126)*2)";
        let text = |template: &str| text(&template.replace("MIN", min));
        for (template, want) in [
            ("{{ MIN in range(5, 0, -1) }} {{ 2**126 in range(-5, 5) }}", "False False"),
            ("{{ 3 in range(5, 0, -2) }} {{ 2 in range(5, 0, -2) }} {{ 5 in range(5, 0, -2) }}", "True False True"),
            ("{{ MIN % -1 }} {{ MIN % 3 }} {{ 2**126 % MIN }} {{ MIN % (2**126 + 1) }}", "0 1 -85070591730234615865843651857942052864 2"),
            ("{{ -7 % 2 }} {{ 7 % -2 }} {{ -6 % 3 }}", "1 -1 0"),
            (
                "{{ 'abc'|truncate(2**126 + (2**126 - 1), leeway=5) }} {{ 'abcdefghij'|truncate(5, leeway=2**126 + (2**126 - 1)) }}",
                "abc abcdefghij",
            ),
            (
                "{{ (14 * 10**37)|round(-38) }} {{ (2**126)|round(-38) }}",
                "100000000000000000000000000000000000000 100000000000000000000000000000000000000",
            ),
            (
                "{{ MIN|round(-2) }} {{ 25|round(-1) }} {{ 35|round(-1) }} {{ -25|round(-1) }}",
                "-170141183460469231731687303715884105700 20 40 -20",
            ),
            ("{{ range(10)[::-3] }} {{ range(0, 1)[::5] }}", "range(9, -1, -3) range(0, 1, 5)"),
        ] {
            assert_eq!(text(template), want, "{template}");
        }
        for (template, want) in [
            ("{{ (15 * 10**37)|round(-38) }}", "round gives a whole number of more than 127 bits"),
            ("{{ MIN|round(-38) }}", "round gives a whole number of more than 127 bits"),
            ("{{ 1|round(MIN) }}", "round has a precision of more than 300"),
            ("{{ MIN // -1 }}", "// gives a whole number of more than 127 bits"),
            ("{{ '%*d' % (MIN, 1) }}", "chat template: "),
            ("{{ range(0, 1, 2**62)[::2] }}", "a range has a bound beyond 64 bits"),
        ] {
            let message = error(&template.replace("MIN", min));
            assert!(message.contains(want), "{template}: {message}");
        }
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
}
