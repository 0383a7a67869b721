//! A row of the table of options, and the macro that makes structs, parsing and checks of rows.
//!
//! Sentences, flags and types are for programs on a machine and for the docs: the wasm build leaves them out.

use serde_json::Value;

use crate::error::{Error, Result};

/// An option.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its field of the struct.
    pub field: &'static str,
    /// Its names in snake case, its own first. Callers may write each in camel case, too.
    pub names: &'static [&'static str],
    /// The values it takes.
    pub range: Range,
    /// The field of `generation_config.json` that gives the default of a model.
    pub file: Option<&'static str>,
    /// What the wasm build leaves out.
    #[cfg(not(target_family = "wasm"))]
    pub help: Help,
}

/// The part of a row that the engine itself does not need.
#[cfg(not(target_family = "wasm"))]
#[derive(Debug, Clone, Copy)]
pub struct Help {
    /// What the option does, in one sentence.
    pub about: &'static str,
    /// Its type.
    pub value: Type,
    /// Its type in TypeScript; empty where that of `value` is meant.
    pub typescript: &'static str,
    /// The default, as Rust writes it. Empty: no default.
    pub default: &'static str,
    /// What follows the default in the docs.
    pub default_note: &'static str,
    /// The flag of the command line, and what stands for its value in the help.
    pub flag: Option<(&'static str, &'static str)>,
    /// Whether the routes of OpenAI's API take it, and their smallest and largest number.
    pub openai: Option<(f64, f64)>,
}

/// How a type of option is written outside Rust.
#[cfg_attr(target_family = "wasm", allow(dead_code, unreachable_pub))] // for programs on a machine and for the docs
#[derive(Debug, Clone, Copy)]
pub struct Type {
    /// In TypeScript.
    pub typescript: &'static str,
    /// On a command line.
    pub text: Text,
    /// Whether its flag may be given several times.
    pub many: bool,
}

/// What the value of a flag is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// A number.
    Number,
    /// Any text.
    Text,
    /// A token id and a number: `42=-100`.
    Bias,
    /// `auto`, or a number.
    NumberOrAuto,
}

/// The values that an option takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// The smallest number, itself excluded where `above` is set.
    pub min: f64,
    /// Whether `min` itself is too small.
    pub above: bool,
    /// The largest number, itself excluded where `below` is set.
    pub max: f64,
    /// Whether `max` itself is too large.
    pub below: bool,
    /// Whether numbers are whole.
    pub whole: bool,
    /// How long a list may be.
    pub len_max: usize,
    /// What follows the bounds in an error.
    pub note: &'static str,
    /// What an error says in place of bounds and note.
    pub text: &'static str,
}

impl Range {
    const ANY: Range = Range {
        min: f64::NEG_INFINITY,
        above: false,
        max: f64::INFINITY,
        below: false,
        whole: false,
        len_max: usize::MAX,
        note: "",
        text: "",
    };

    /// Whether a number is in it.
    pub fn holds(&self, number: f64) -> bool {
        let (low, high) = (number > self.min || !self.above && number == self.min, number < self.max || !self.below && number == self.max);
        number.is_finite() && low && high
    }

    /// The range in words: what an error says was expected.
    pub fn expected(&self) -> String {
        if self.text.is_empty() { self.bounds() + self.note } else { self.text.into() }
    }

    /// As [`expected`](Self::expected), without the note.
    pub(crate) fn bounds(&self) -> String {
        if !self.text.is_empty() {
            return self.text.into();
        }
        let kind = if self.whole { "a whole number" } else { "a number" };
        let low = if self.above { "above" } else { "from" };
        let most = match (self.above, self.below) {
            _ if self.max == f64::INFINITY => return format!("{kind} {low} {}", self.min),
            (_, true) => "to below",
            (true, false) => "and at most",
            (false, false) => "to",
        };
        format!("{kind} {low} {} {most} {}", self.min, self.max)
    }
}

/// A row with these names; what follows completes it.
pub(crate) const fn row(names: &'static [&'static str]) -> Row {
    Row {
        field: "",
        names,
        range: Range::ANY,
        file: None,
        #[cfg(not(target_family = "wasm"))]
        help: Help::NONE,
    }
}

impl Row {
    /// Whole numbers, both ends included.
    pub const fn whole(self, min: u64, max: u64) -> Row {
        let max = if max == u64::MAX { f64::INFINITY } else { max as f64 };
        Row { range: Range { min: min as f64, max, whole: true, ..self.range }, ..self }
    }

    /// Numbers from `min` on.
    pub const fn from(self, min: f64) -> Row {
        Row { range: Range { min, ..self.range }, ..self }
    }

    /// Numbers above `min`.
    pub const fn above(self, min: f64) -> Row {
        Row { range: Range { min, above: true, ..self.range }, ..self }
    }

    /// Numbers up to `max`.
    pub const fn to(self, max: f64) -> Row {
        Row { range: Range { max, ..self.range }, ..self }
    }

    /// Numbers below `max`.
    pub const fn below(self, max: f64) -> Row {
        Row { range: Range { max, below: true, ..self.range }, ..self }
    }

    /// Lists of at most this length.
    pub const fn len(self, len_max: usize) -> Row {
        Row { range: Range { len_max, ..self.range }, ..self }
    }

    /// What follows the bounds in an error.
    pub const fn note(self, note: &'static str) -> Row {
        Row { range: Range { note, ..self.range }, ..self }
    }

    /// What an error says is expected, in place of the bounds.
    pub const fn text(self, text: &'static str) -> Row {
        Row { range: Range { text, ..self.range }, ..self }
    }

    /// The field of `generation_config.json` that gives a model's default.
    pub const fn file(self, file: &'static str) -> Row {
        Row { file: Some(file), ..self }
    }

    /// Whether a caller's word is one of its names: in snake case or in camel case, not in a mixture.
    pub(crate) fn is_named(&self, word: &str) -> bool {
        self.names.iter().any(|name| *name == word || camel(name) == word)
    }

    /// Its name in JavaScript.
    pub fn name(&self) -> String {
        camel(self.names[0])
    }
}

/// What programs and docs say of a row.
#[cfg(not(target_family = "wasm"))]
impl Row {
    /// Every way to write its name: its own first, then the others.
    pub fn spellings(&self) -> Vec<String> {
        let mut all = vec![self.name()];
        for spelling in self.names.iter().flat_map(|name| [(*name).to_owned(), camel(name)]) {
            if !all.contains(&spelling) {
                all.push(spelling);
            }
        }
        all
    }

    /// What it does, in the form of a command line's help.
    pub fn flag_help(&self) -> String {
        let about = self.help.about.trim().trim_end_matches('.');
        match self.help.value {
            Type { many: true, .. } => format!("{about}; can be repeated"),
            // Of a note, only what stands in parentheses completes the sentence: " (0 is off)".
            Type { text: Text::Number, .. } => {
                let note = self.range.note.find(" (").map_or("", |at| &self.range.note[at..]);
                format!("{about}{note}")
            }
            _ => format!("{about} ({})", self.range.expected().replace('"', "")),
        }
    }

    /// Its type in TypeScript.
    pub fn typescript(&self) -> &'static str {
        if self.help.typescript.is_empty() { self.help.value.typescript } else { self.help.typescript }
    }
}

/// How the sentences, types and flags of a row are written.
#[cfg(not(target_family = "wasm"))]
impl Help {
    const NONE: Help = Help {
        about: "",
        value: Type { typescript: "", text: Text::Text, many: false },
        typescript: "",
        default: "",
        default_note: "",
        flag: None,
        openai: None,
    };

    /// The flag of the command line, and what stands for its value in the help.
    pub const fn flag(self, flag: &'static str, value: &'static str) -> Help {
        Help { flag: Some((flag, value)), ..self }
    }

    /// The routes of OpenAI's API take this option; where it is a number, one from `min` to `max`.
    pub const fn openai(self, min: f64, max: f64) -> Help {
        Help { openai: Some((min, max)), ..self }
    }

    /// Its type in TypeScript, where it is not that of its type in Rust.
    pub const fn typescript(self, typescript: &'static str) -> Help {
        Help { typescript, ..self }
    }

    /// How the value of the flag is read.
    pub const fn text(self, text: Text) -> Help {
        Help { value: Type { text, ..self.value }, ..self }
    }

    /// What follows the default in the docs, from the comma or colon on.
    pub const fn default(self, default_note: &'static str) -> Help {
        Help { default_note, ..self }
    }
}

/// A help that says nothing yet.
#[cfg(not(target_family = "wasm"))]
pub(crate) const fn help() -> Help {
    Help::NONE
}

/// A row of an option that the engine does not read: its names are in camel case.
#[cfg(not(target_family = "wasm"))]
pub(super) const fn around(
    names: &'static [&'static str],
    about: &'static str,
    expected: &'static str,
    typescript: &'static str,
    help: Help,
) -> Row {
    let value = Type { typescript, ..help.value };
    Row { field: names[0], help: Help { about, value, ..help }, ..row(names).text(expected) }
}

/// A type that an option can have.
pub(crate) trait Kind: Sized {
    /// How it is written outside Rust.
    #[cfg_attr(target_family = "wasm", allow(dead_code))] // for programs on a machine and for the docs
    const TYPE: Type;

    /// Reads a JSON value; `None` where it is of another kind. `option` is how the caller spelled the name.
    ///
    /// Errors: what the type itself says of a value.
    fn read(option: &str, value: &Value, range: &Range) -> Result<Option<Self>>;

    /// Becomes the value that was read; false where it is of another kind.
    ///
    /// Not inlined: a table calls this for each of its rows.
    #[inline(never)]
    fn set(&mut self, option: &str, value: &Value, range: &Range) -> Result<bool> {
        Ok(Self::read(option, value, range)?.map(|value| *self = value).is_some())
    }

    /// Shows the part of the value that is out of range, for an error.
    fn outside(&self, _: &Range) -> Option<String> {
        None
    }

    /// Calls `each` with every token id in the value.
    fn each_id(&self, _each: &mut dyn FnMut(u32)) {}

    /// A number as JSON; null for another type.
    fn json(&self) -> Value {
        Value::Null
    }
}

/// Makes a struct of rows: a field for each, `ROWS`, and what reads a field by its row.
///
/// A row is a sentence, `field: type = default`, the [`Row`], and its [`Help`]. The fields after `others` are
/// not read from a caller's object.
macro_rules! options {
    (
        $(#[$of_struct:meta])*
        pub struct $Options:ident;
        $($(#[doc = $about:literal])+ $field:ident: $Type:ty $(= $default:expr)? => $row:expr, $help:expr;)*
        others { $($(#[$of_other:meta])* $other:ident: $Other:ty,)* }
    ) => {
        $(#[$of_struct])*
        pub struct $Options {
            $($(#[doc = $about])+ pub $field: $Type,)*
            $($(#[$of_other])* pub $other: $Other,)*
        }

        impl $Options {
            /// Every option that a caller may give.
            pub const ROWS: &[Row] = &[$(Row {
                field: stringify!($field),
                #[cfg(not(target_family = "wasm"))]
                help: Help {
                    about: concat!($($about),+),
                    value: <$Type as Kind>::TYPE,
                    default: concat!($(stringify!($default))?),
                    ..$help
                },
                ..$row
            }),*];

            /// Takes the value of the option of this row. False where it is of another kind.
            ///
            /// Errors: what its type says of a value.
            pub(crate) fn set(&mut self, row: &Row, option: &str, value: &Value) -> Result<bool> {
                match row.field {
                    $(stringify!($field) => self.$field.set(option, value, &row.range),)*
                    _ => Ok(false),
                }
            }
        }
    };
}

pub(super) use options;

/// Calls `take` with the row, the caller's spelling and the value of every option in an object. `null` is the
/// same as absent.
///
/// Errors: those of `take`; `BAD_OPTION` for an unknown name or one that is given twice in two spellings;
/// `BAD_INPUT` for what is no object.
pub(super) fn each<'v>(
    rows: &'static [Row],
    value: &'v Value,
    mut take: impl FnMut(&'static Row, &'v str, &'v Value) -> Result<()>,
) -> Result<()> {
    let object = match value {
        Value::Null => return Ok(()),
        Value::Object(object) => object,
        other => return Err(not_an_object(other)),
    };
    let mut seen: Vec<&str> = Vec::new();
    for (spelling, value) in object.iter().filter(|(_, value)| !value.is_null()) {
        let Some(row) = rows.iter().find(|row| row.is_named(spelling)) else {
            let known: Vec<String> = rows.iter().map(Row::name).collect();
            return Err(bad(spelling, &format!("one of {}", known.join(", ")), "an unknown name".into()));
        };
        if seen.contains(&row.field) {
            return Err(bad(spelling, &format!("`{}` only once, in one spelling", row.name()), describe(value)));
        }
        seen.push(row.field);
        take(row, spelling, value)?;
    }
    Ok(())
}

/// The error for options that are no JSON object at all.
pub(crate) fn not_an_object(value: &Value) -> Error {
    Error::BadInput { what: "options".into(), expected: "an object".into(), got: describe(value) }
}

pub(super) fn bad(option: &str, expected: &str, got: String) -> Error {
    Error::BadOption { option: option.into(), expected: expected.into(), got }
}

/// A JSON value as a message shows it: numbers and short texts as they are, larger things by their kind.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
        Value::String(text) if text.len() > 40 => "a long text".into(),
        other => other.to_string(),
    }
}

/// A name in snake case as JavaScript writes it.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_ascii_uppercase() + &word[1..])
}
