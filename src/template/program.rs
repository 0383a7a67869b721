//! The program of a template: its source, checked and parsed once, when the model is loaded.

use std::collections::BTreeSet;
use std::fmt;

use minijinja::machinery::ast::Stmt;
use minijinja::machinery::{Span, Token, parse, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::names::Names;
use super::{bad_template, source};
use crate::error::{Error, Result};
use crate::text;

self_cell::self_cell!(
    /// A source and the syntax tree that borrows from it.
    struct Parsed {
        owner: String,
        #[covariant]
        dependent: Stmt,
    }
);

/// A template that is ready to run, and what it reads.
pub(super) struct Program {
    parsed: Parsed,
    /// Where the source has the words `caller`, `kwargs` and `varargs`, as byte offsets.
    special: Vec<(u32, &'static str)>,
    /// The fields of a message that the template reads.
    pub(super) message_fields: Vec<&'static str>,
    /// The variables that it reads.
    pub(super) read: BTreeSet<String>,
    /// The variables that it reads before it sets them.
    pub(super) unset: BTreeSet<String>,
}

impl Program {
    /// Parses a source that is respelled already.
    ///
    /// Errors: `BAD_TEMPLATE` for a syntax error, with its line, and for a source that is too large.
    pub(super) fn new(source: String) -> Result<Program> {
        #[cfg(test)]
        PARSES.with(|parses| parses.set(parses.get() + 1));
        let syntax = syntax()?;
        source::check(&source, &syntax).map_err(|detail| Error::BadTemplate { detail })?;
        let special = special_names(&source, &syntax);
        let parsed = Parsed::try_new(source, |source| parse(source, "chat", syntax).map_err(|error| unreadable(&error)))?;
        let mut names = Names::default();
        names.statements(std::slice::from_ref(parsed.borrow_dependent()));
        let owned = |names: &BTreeSet<&str>| names.iter().map(|name| (*name).to_owned()).collect();
        let (message_fields, read, unset) = (message_fields(&names), owned(&names.read), owned(&names.unset));
        Ok(Program { parsed, special, message_fields, read, unset })
    }

    /// The source, as it was parsed.
    pub(super) fn source(&self) -> &str {
        self.parsed.borrow_owner()
    }

    /// The statements of the template.
    pub(super) fn statements(&self) -> &[Stmt<'_>] {
        std::slice::from_ref(self.parsed.borrow_dependent())
    }

    /// How often the source has one of the words `caller`, `kwargs` and `varargs`.
    pub(super) fn special_count(&self) -> usize {
        self.special.len()
    }

    /// Whether a macro reads `caller`, `kwargs` or `varargs`; `span` is where the macro stands.
    pub(super) fn reads_special(&self, name: &str, span: Span) -> bool {
        self.special.iter().any(|(at, other)| *other == name && (span.start_offset..span.end_offset).contains(at))
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Program").field(self.parsed.borrow_owner()).finish()
    }
}

#[cfg(test)]
thread_local! {
    /// How many templates this thread has parsed.
    pub(super) static PARSES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The settings that transformers gives to jinja2.
fn syntax() -> Result<SyntaxConfig> {
    SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(|error| unreadable(&error))
}

/// The error for a template that minijinja cannot parse.
fn unreadable(error: &minijinja::Error) -> Error {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    bad_template(&detail, error.line().unwrap_or(0))
}

/// The fields of a [`Message`](text::Message) that the template reads. The role and the content are always
/// among them. A variable counts as a message if the template reads its role or its content.
fn message_fields(names: &Names) -> Vec<&'static str> {
    let read = &names.fields;
    let is_message = |of| ["role", "content"].iter().any(|field| read.contains(&(of, (*field).to_owned())));
    let optional = |field: &&str| read.iter().any(|(of, name)| name == field && is_message(*of));
    let [role, content, optionals @ ..] = text::FIELDS;
    [role, content].into_iter().chain(optionals.into_iter().filter(optional)).collect()
}

/// Finds `caller`, `kwargs` and `varargs`. jinja2 passes a macro further arguments only if its body has
/// these words.
fn special_names(source: &str, syntax: &SyntaxConfig) -> Vec<(u32, &'static str)> {
    let mut after_dot = false;
    let mut found = Vec::new();
    for (token, span) in tokenize(source, false, syntax.clone()).map_while(Result::ok) {
        let name = match token {
            Token::Ident("caller") => Some("caller"),
            Token::Ident("kwargs") => Some("kwargs"),
            Token::Ident("varargs") => Some("varargs"),
            _ => None,
        };
        found.extend(name.filter(|_| !after_dot).map(|name| (span.start_offset, name)));
        after_dot = matches!(token, Token::Dot);
    }
    found
}
