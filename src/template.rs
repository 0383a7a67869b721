//! Chat templates: messages to the one text that the model was trained to continue.
//!
//! A model is published with its template, a Jinja program. `minijinja` parses it once, when the model is
//! loaded (`program`). It runs here (`run`), by the rules of Python and of jinja2 as transformers sets it
//! up. The template is code from a stranger, so its steps, its values and its output have limits (`limits`).
//!
//! The tokenizer must recognise the special tokens that the template wrote, and not those that a user typed
//! (`crate::text`, `coded`).

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
mod program;
mod respell;
mod run;
mod scope;
mod sequences;
mod source;
mod split;
mod strings;
#[cfg(test)]
mod tests;
mod value;
mod written;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use minijinja::Value;
use minijinja::value::Serde;

use crate::error::{Error, Result};
use crate::sniff::{Expected, sniff};
use crate::text::{self, Coding, Message, Now, Rendered, TemplateKwargs, TokenizerConfig};
use program::Program;

/// The template for a model that has none: most such models were trained on it.
///
/// Source: <https://github.com/openai/openai-python/blob/v0.28.1/chatml.md>
const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}\
    {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// Where a template comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplateSource {
    /// The model's files.
    Model,
    /// The model's files have no template. This is ChatML, a guess.
    ChatMl,
    /// The model's files have a template that cannot be used: [`ChatTemplate::error`] says why.
    Broken,
}

/// A chat template, ready to render.
#[derive(Debug)]
pub struct ChatTemplate {
    /// The program, or why the model's template cannot be used.
    program: Result<Program>,
    source: TemplateSource,
    /// The private-use characters in the template: no mark may be one of them.
    taken: HashSet<char>,
    /// The named special tokens: `("bos_token", "<s>")`.
    tokens: Vec<(String, String)>,
}

impl ChatTemplate {
    /// The template of `chat_template.jinja`, or without that file the one in `tokenizer_config.json`.
    ///
    /// Errors: `BAD_FILE` for a broken `tokenizer_config.json`; `NOT_A_MODEL_FILE`.
    pub fn from_files(tokenizer_config: Option<&[u8]>, chat_template: Option<&str>) -> Result<ChatTemplate> {
        let config = TokenizerConfig::from_files(tokenizer_config, None, None)?;
        ChatTemplate::new(&config, chat_template.map(str::as_bytes))
    }

    /// Parses the model's template: `file` (`chat_template.jinja`, or the caller's own), else the template in
    /// `tokenizer_config.json`, else ChatML.
    ///
    /// A model is of use without a template, so a broken one is no error here. [`error`](Self::error)
    /// returns it, and so does every [`render`](Self::render).
    ///
    /// Errors: `NOT_A_MODEL_FILE` if `file` is another kind of file.
    pub(crate) fn new(config: &TokenizerConfig, file: Option<&[u8]>) -> Result<ChatTemplate> {
        let has_text = |template: &&str| !template.trim().is_empty();
        let published = match file.map(utf8).transpose() {
            Ok(file) => match file.filter(has_text) {
                Some(text) => Ok(Some(text)),
                None => config.chat_template().map(|template| template.filter(has_text)),
            },
            Err(error) => Err(error),
        };
        if let Ok(Some(template)) = published {
            not_a_page(template)?;
        }
        let is_guess = published == Ok(None);
        let program = published.and_then(|template| Program::new(respell::respelled(&source::normalised(template.unwrap_or(CHATML)))));
        let source = match program {
            Err(_) => TemplateSource::Broken,
            Ok(_) if is_guess => TemplateSource::ChatMl,
            Ok(_) => TemplateSource::Model,
        };
        let text = program.as_ref().map_or("", Program::source);
        let taken = text.chars().filter(|&character| text::is_private(character)).collect();
        Ok(ChatTemplate { program, source, taken, tokens: config.names.clone() })
    }

    fn program(&self) -> Result<&Program> {
        self.program.as_ref().map_err(Error::clone)
    }

    /// Where the template comes from.
    pub fn source(&self) -> TemplateSource {
        self.source
    }

    /// Why the model's template cannot be used: `BAD_TEMPLATE`.
    pub fn error(&self) -> Option<&Error> {
        self.program.as_ref().err()
    }

    /// Refuses a message that has a field which the template does not read.
    ///
    /// Errors: `BAD_INPUT` that names the message by its index, and the field.
    pub(crate) fn check(&self, messages: &[Message]) -> Result<()> {
        let mut optional =
            messages.iter().enumerate().flat_map(|(index, message)| message.optional_fields().map(move |field| (index, field)));
        let Some(first) = optional.next() else { return Ok(()) };
        let read = &self.program()?.message_fields;
        match std::iter::once(first).chain(optional).find(|(_, field)| !read.contains(field)) {
            Some((index, field)) => Err(text::unread_field(index, field)),
            None => Ok(()),
        }
    }

    /// The fields of a [`Message`] that the template reads. The role and the content are always among them,
    /// also for a broken template.
    pub fn message_fields(&self) -> Vec<&'static str> {
        self.program.as_ref().map_or_else(|_| text::FIELDS[..2].to_vec(), |program| program.message_fields.clone())
    }

    /// The template's switches, sorted: variables that it reads before it sets them, and that only a caller
    /// sets.
    pub fn switches(&self) -> Vec<String> {
        self.program.as_ref().map_or_else(|_| Vec::new(), |program| self.callers(&program.unset).into_iter().collect())
    }

    /// Refuses a value for a variable that the template does not read: it would do nothing.
    ///
    /// Errors: `BAD_OPTION` that names the variable, and the switches.
    pub(crate) fn check_kwargs(&self, kwargs: &TemplateKwargs) -> Result<()> {
        if kwargs.is_empty() {
            return Ok(());
        }
        let program = self.program()?;
        kwargs.check(&self.callers(&program.read), &self.callers(&program.unset))
    }

    /// Those of the names that only a caller sets.
    fn callers(&self, names: &BTreeSet<String>) -> BTreeSet<String> {
        let is_token = |name: &str| self.tokens.iter().any(|(token, _)| token == name);
        let is_callers = |name: &&String| !(text::is_reserved(name) || is_token(name) || run::GLOBALS.contains(&name.as_str()));
        names.iter().filter(is_callers).cloned().collect()
    }

    /// Renders messages. `special` are the tokenizer's special tokens, `now` is the time that the template
    /// may print.
    ///
    /// Errors: `BAD_TEMPLATE` if the template refuses the messages, fails, or exceeds its limits.
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        special: &[(String, u32)],
        now: Option<Now>,
    ) -> Result<Rendered> {
        self.render_with(messages, add_generation_prompt, &TemplateKwargs::default(), special, now)
    }

    /// [`render`](Self::render) with values for the template's switches.
    ///
    /// Errors: those of [`render`](Self::render).
    pub(crate) fn render_with(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        kwargs: &TemplateKwargs,
        special: &[(String, u32)],
        now: Option<Now>,
    ) -> Result<Rendered> {
        let program = self.program()?;
        let mut strings: Vec<&str> = messages.iter().flat_map(Message::texts).collect();
        strings.extend(kwargs.strings());
        let coding = Coding::of(&strings, special, &self.taken)?;
        let bytes: usize = strings.iter().map(|string| string.len()).sum();
        let code = |text: &str| coding.as_ref().map_or_else(|| text.to_owned(), |coding| coding.coded(text));
        let coded: Vec<Message> = messages.iter().map(|message| message.with_texts(&code)).collect();
        let mut context: BTreeMap<&str, Value> = BTreeMap::new();
        context.extend([
            ("messages", Value::from(Serde(&coded))),
            ("add_generation_prompt", add_generation_prompt.into()),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
        ]);
        context.extend(self.tokens.iter().map(|(name, token)| (name.as_str(), token.as_str().into())));
        context.extend(kwargs.iter().map(|(name, value)| (name, Value::from(Serde(&text::with_strings(value, &code))))));
        let twins = coding.as_ref().map(|coding| coding.originals().clone()).unwrap_or_default();
        let meter = limits::Meter::new(messages.len(), bytes, now, twins);
        let given = || -> value::Outcome<_> {
            let mut given = BTreeMap::new();
            for (name, value) in &context {
                given.insert(*name, value::Value::from_outside(value, &meter)?);
            }
            Ok(given)
        };
        let text = given().and_then(|given| run::render(program, given, coding.as_ref(), &meter)).map_err(|mut fault| {
            if let Some(coding) = &coding {
                fault.detail = coding.decoded(&fault.detail);
            }
            failed(&fault)
        })?;
        match coding {
            Some(coding) => coding.rendered(&text),
            None => Ok(Rendered::plain(text)),
        }
    }
}

/// Refuses another kind of file in place of a template.
fn not_a_page(template: &str) -> Result<()> {
    let start: String = template.trim_start().chars().take(22).collect::<String>().to_ascii_lowercase();
    let other = ["<!doctype", "<html", "version https://git"].iter().any(|other| start.starts_with(other));
    if other { sniff("chat_template.jinja", template.as_bytes(), Expected::Json) } else { Ok(()) }
}

fn utf8(file: &[u8]) -> Result<&str> {
    str::from_utf8(file).map_err(|error| {
        let at = error.valid_up_to();
        Error::BadTemplate { detail: format!("chat_template.jinja is not UTF-8: byte {at} is 0x{:02x}", file[at]) }
    })
}

/// The error for a template that failed, or that refused the messages.
fn failed(fault: &value::Fault) -> Error {
    let refusal = if fault.refusal { "it refuses these messages: " } else { "" };
    bad_template(&format!("{refusal}{}", fault.detail), fault.line)
}

/// An error cuts the text that a template raises after this many characters.
const DETAIL_CHARS_MAX: usize = 300;

fn bad_template(detail: &str, line: usize) -> Error {
    let cut = detail.char_indices().nth(DETAIL_CHARS_MAX).map(|(cut, _)| format!("{}...", &detail[..cut]));
    let line = if line > 0 { format!(" (line {line})") } else { String::new() };
    Error::BadTemplate { detail: cut.unwrap_or_else(|| detail.to_owned()) + &line }
}
