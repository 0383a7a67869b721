//! The values that a caller passes to a chat template beside the messages: `enable_thinking`,
//! `reasoning_effort`, `date_string`...
//!
//! In transformers they are further keyword arguments of `apply_chat_template`. They are the caller's data,
//! so their size is limited, and special tokens in them stay text as in messages.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Values for variables that the template reads.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct TemplateKwargs(Map<String, Value>);

/// Published templates read at most a dozen.
const NAMES_MAX: usize = 64;

/// Units: bytes of all of them as JSON.
const BYTES_MAX: usize = 64 << 10;

/// How deep lists and objects may nest.
const DEPTH_MAX: usize = 16;

/// Names that the renderer sets, and parameters of `apply_chat_template` of transformers.
const OURS: [&str; 25] = [
    "messages",
    "conversation",
    "tools",
    "documents",
    "chat_template",
    "add_generation_prompt",
    "continue_final_message",
    "tokenize",
    "padding",
    "truncation",
    "max_length",
    "return_tensors",
    "return_dict",
    "return_assistant_tokens_mask",
    "tokenizer_kwargs",
    "strftime_now",
    "raise_exception",
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
    "additional_special_tokens",
];

/// Names that Jinja defines.
const JINJAS: [&str; 20] = [
    "range",
    "dict",
    "lipsum",
    "cycler",
    "joiner",
    "namespace",
    "loop",
    "self",
    "super",
    "caller",
    "varargs",
    "kwargs",
    "true",
    "false",
    "none",
    "True",
    "False",
    "None",
    "debug",
    "_",
];

/// Whether a caller must not set a name.
pub(crate) fn is_reserved(name: &str) -> bool {
    OURS.contains(&name) || JINJAS.contains(&name)
}

impl TemplateKwargs {
    /// Reads the values from a JSON object. `option` is the caller's spelling of the option.
    ///
    /// Errors: `BAD_OPTION` for another type, for too large an object, and for a name that a caller must not
    /// set.
    pub fn from_json(option: &str, value: &Value) -> Result<TemplateKwargs> {
        let bad = |name: Option<&str>, expected: &str, got: String| {
            let option = name.map_or_else(|| option.to_owned(), |name| format!("{option}.{}", name.chars().take(60).collect::<String>()));
            Err(Error::BadOption { option, expected: expected.into(), got })
        };
        let Some(object) = value.as_object() else {
            let got = if value.is_array() { "a list".to_owned() } else { "another value".to_owned() };
            return bad(None, "an object of values for the names that the chat template reads", got);
        };
        if object.len() > NAMES_MAX {
            return bad(None, &format!("at most {NAMES_MAX} names"), object.len().to_string());
        }
        for (name, value) in object {
            if is_reserved(name) {
                let fact = format!("`{name}` is set by Fireside or Jinja");
                return Err(Error::UselessOption { option: format!("{option}.{name}"), fact, remedy: "Leave it out".into() });
            }
            let begins = |character: char| character == '_' || character.is_alphabetic();
            let goes_on = |character: char| character == '_' || character.is_alphanumeric();
            if !name.starts_with(begins) || !name.chars().all(goes_on) {
                return bad(Some(name), "a name of letters, digits and _, which a template can read", format!("{name:?}"));
            }
            if depth(value) > DEPTH_MAX {
                return bad(Some(name), &format!("lists and objects at most {DEPTH_MAX} deep"), "deeper ones".into());
            }
        }
        let bytes = value.to_string().len();
        if bytes > BYTES_MAX {
            return bad(None, &format!("at most {BYTES_MAX} bytes as JSON"), format!("{bytes} bytes"));
        }
        Ok(TemplateKwargs(object.clone()))
    }

    /// Checks that the template reads all of them. `read` are the variables that it reads, `switches` those
    /// that only a caller sets.
    pub(crate) fn check(&self, read: &BTreeSet<String>, switches: &BTreeSet<String>) -> Result<()> {
        let Some(name) = self.0.keys().find(|name| !read.contains(*name)) else { return Ok(()) };
        let names = switches.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let short: String = name.chars().take(60).collect();
        let (fact, remedy) = match names.as_str() {
            "" => ("This model's chat template reads no name of a caller".into(), "Leave it out".into()),
            names => (format!("This model's chat template does not read `{short}`"), format!("It reads {names}")),
        };
        Err(Error::UselessOption { option: format!("chatTemplateKwargs.{short}"), fact, remedy })
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// All texts in the values, with the keys of objects.
    pub(crate) fn strings(&self) -> Vec<&str> {
        let mut strings = Vec::new();
        self.0.values().for_each(|value| collect(value, &mut strings));
        strings
    }
}

impl<'de> Deserialize<'de> for TemplateKwargs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TemplateKwargs, D::Error> {
        TemplateKwargs::from_json("chatTemplateKwargs", &Value::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// A value with each text in it replaced.
pub(crate) fn with_strings(value: &Value, change: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(change(text)),
        Value::Array(items) => Value::Array(items.iter().map(|item| with_strings(item, change)).collect()),
        Value::Object(entries) => {
            let mut changed = Map::new();
            changed.extend(entries.iter().map(|(name, item)| (change(name), with_strings(item, change))));
            Value::Object(changed)
        }
        other => other.clone(),
    }
}

fn collect<'a>(value: &'a Value, strings: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => strings.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, strings)),
        Value::Object(entries) => entries.iter().for_each(|(name, item)| {
            strings.push(name);
            collect(item, strings);
        }),
        _ => {}
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(entries) => 1 + entries.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::template::ChatTemplate;
    use crate::text::Message;

    fn kwargs(value: Value) -> TemplateKwargs {
        TemplateKwargs::from_json("chatTemplateKwargs", &value).expect("kwargs")
    }

    fn refused(value: Value) -> String {
        let error = TemplateKwargs::from_json("chat_template_kwargs", &value).unwrap_err();
        assert_eq!(error.code(), "BAD_OPTION");
        error.to_string()
    }

    #[test]
    fn a_template_reads_what_it_is_given() {
        let source = "{% if enable_thinking is defined and enable_thinking is false %}off{% endif %} {{ effort|default('medium') }} {{ more.a[1] }} {{ none_given is none }}";
        let template = ChatTemplate::from_files(None, Some(source)).expect("a template");
        let given = kwargs(json!({"enable_thinking": false, "effort": "high", "more": {"a": [1, 2.5]}, "none_given": null}));
        assert_eq!(template.render_with(&[], true, &given, &[], None).expect("rendered").text, "off high 2.5 True");
        assert_eq!(template.switches(), ["effort", "enable_thinking", "more", "none_given"]);
    }

    #[test]
    fn the_switches_of_a_template_are_what_it_reads_and_nobody_sets() {
        let source = "{% if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}{% set ns = namespace(a=1) %}\
            {% set more = more if more is defined else 1 %}{% if tools %}{% set late = 1 %}{% endif %}{{ late|default('') }}{% macro m(x) %}{{ x }}{{ inner }}{% endmacro %}{% for message in messages %}{{ loop.index }}{{ message.role }}{{ bos_token }}{% endfor %}\
            {{ strftime_now('%Y') if strftime_now is defined }}{% if tools %}{{ range(3) }}{% endif %}{{ raise_exception('x') if false }}{{ date_string }}";
        let template = ChatTemplate::from_files(None, Some(source)).expect("a template");
        assert_eq!(template.switches(), ["date_string", "inner", "more"]);
        template.check_kwargs(&kwargs(json!({"late": "1"}))).expect("the template may read it");
        template.check_kwargs(&kwargs(json!({"date_string": "1"}))).expect("a switch of it");
        assert_eq!(
            template.check_kwargs(&kwargs(json!({"date": "1"}))).unwrap_err().to_string(),
            "option `chatTemplateKwargs.date`: This model's chat template does not read `date`. It reads date_string, inner, more."
        );
    }

    #[test]
    fn what_is_not_the_callers_is_refused_by_name() {
        for name in ["messages", "tools", "documents", "add_generation_prompt", "bos_token", "strftime_now", "namespace", "loop"] {
            let expected = format!("option `chat_template_kwargs.{name}`: `{name}` is set by Fireside or Jinja. Leave it out.");
            assert_eq!(refused(json!({ name: 1 })), expected);
        }
        assert!(refused(json!([1])).contains("expected an object"), "a list");
        assert!(refused(json!("x")).contains("expected an object"), "a text");
        assert!(refused(json!({"a b": 1})).contains("letters, digits and _"), "a name that no template can write");
        assert!(refused(json!({"a": "x".repeat(70_000)})).contains("at most 65536 bytes"), "a long text");
        let deep = (0..20).fold(json!(1), |value, _| json!([value]));
        assert!(refused(json!({ "a": deep })).contains("at most 16 deep"), "a deep list");
        let many: Map<String, Value> = (0..65).map(|at| (format!("n{at}"), json!(at))).collect();
        assert!(refused(Value::Object(many)).contains("at most 64 names"), "many names");
    }

    #[test]
    fn no_text_in_them_becomes_a_special_token() {
        let template =
            ChatTemplate::from_files(None, Some("{{ a }}{% for key in b %}{{ key }}{{ b[key][0] }}{% endfor %}{{ a == '<s>' }}"))
                .expect("a template");
        let given = kwargs(json!({"a": "<s>", "b": {"<s>": ["<s>"]}}));
        let message = Message::new("user", "hi");
        let rendered = template.render_with(&[message], true, &given, &[("<s>".into(), 1)], None).expect("rendered");
        assert_eq!(rendered.text, "<s><s><s>True");
        assert!(!rendered.marked.contains("<s>"), "{}", rendered.marked);
    }
}
