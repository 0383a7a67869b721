//! The messages of a chat. Every field is used, or refused by name.
//!
//! Wasm, saved sessions and tests all read messages here. The code is not a `derive`, because an error must
//! name the message, its field and the remedy.

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// One message of a chat. A template reads the fields by these names; a field that is `None` is undefined
/// there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, or another role that the template knows.
    pub role: String,
    /// The text of the message.
    pub content: String,
    /// Which of several users or assistants speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the assistant thought before it wrote `content`. The template decides whether it is in the
    /// prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
}

/// All fields. Every message has the first two.
pub(crate) const FIELDS: [&str; 4] = ["role", "content", "name", "reasoning_content"];

/// Names of fields with one meaning, and what to do instead.
type Remedy = (&'static [&'static str], &'static str);

/// Fields of messages in other libraries.
const ELSEWHERE: [Remedy; 6] = [
    (&["images", "image", "image_url", "audio", "files", "attachments"], "Models read text only: describe it in `content`"),
    (
        &["tool_calls", "tool_call_id", "function_call", "tools", "functions"],
        "Tools are not supported: write the call or its result into `content`, as the model's template has it",
    ),
    (&["reasoning", "thinking", "reasoning_details"], "What an assistant thought is its `reasoning_content`"),
    (&["prefix", "partial", "continue"], "A chat always begins a new answer: to continue one, use `generate` with a prompt of your own"),
    (&["contents", "text", "message", "parts"], "The text of a message is its `content`"),
    (&["from", "author", "sender", "type"], "Who speaks is the `role`"),
];

impl Message {
    /// A message with a role and content only.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Message {
        Message { role: role.into(), content: content.into(), name: None, reasoning_content: None }
    }

    /// Every text that the caller wrote.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        [&self.role, &self.content].into_iter().chain(&self.name).chain(&self.reasoning_content).map(String::as_str)
    }

    /// The message with each of its texts replaced.
    pub(crate) fn with_texts(&self, change: &impl Fn(&str) -> String) -> Message {
        let Message { role, content, name, reasoning_content } = self;
        let other = |text: &Option<String>| text.as_deref().map(change);
        Message { role: change(role), content: change(content), name: other(name), reasoning_content: other(reasoning_content) }
    }

    /// The optional fields that the message has.
    pub(crate) fn optional_fields(&self) -> impl Iterator<Item = &'static str> {
        [("name", &self.name), ("reasoning_content", &self.reasoning_content)]
            .into_iter()
            .filter_map(|(name, text)| text.as_ref().map(|_| name))
    }

    /// Reads a list of messages. The content of a message is a text, or a list of parts `{type: "text",
    /// text}`, whose texts are joined without a separator.
    ///
    /// Errors: `BAD_INPUT` that names the message by its index, and the field.
    pub fn list_from_json(value: &Value) -> Result<Vec<Message>> {
        let list = value
            .as_array()
            .ok_or_else(|| bad("messages", is_a(value), "Pass a list of messages: [{role: \"user\", content: \"Hello\"}]"))?;
        list.iter().enumerate().map(|(index, message)| Message::from_json(message, &format!("messages[{index}]"))).collect()
    }

    fn from_json(value: &Value, place: &str) -> Result<Message> {
        let fields = value.as_object().ok_or_else(|| bad(place, is_a(value), "A message is {role: \"user\", content: \"Hello\"}"))?;
        known(
            fields,
            place,
            &FIELDS,
            &ELSEWHERE,
            "A message has a `role` and a `content`, perhaps a `name` or `reasoning_content`, and nothing else",
        )?;
        let role = text(fields, place, "role", "Say who speaks: \"system\", \"user\" or \"assistant\"")?;
        if role.is_empty() {
            return Err(bad(format!("{place}.role"), "is empty", "Say who speaks: \"system\", \"user\" or \"assistant\""));
        }
        let content = match fields.get("content") {
            Some(Value::Array(parts)) => {
                let part = |(index, part)| part_text(part, &format!("{place}.content[{index}]"));
                parts.iter().enumerate().map(part).collect::<Result<String>>()?
            }
            _ => text(fields, place, "content", "Pass what is said as a text, or as a list of parts {type: \"text\", text: \"Hello\"}")?,
        };
        let optional = |name| match fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => text(fields, place, name, "Pass a text, or leave it out").map(Some),
        };
        Ok(Message { role, content, name: optional("name")?, reasoning_content: optional("reasoning_content")? })
    }
}

/// The error for a field that the chat template does not read.
pub(crate) fn unread_field(index: usize, field: &str) -> Error {
    let remedy = match field {
        "name" => "Say in `content` who speaks, or leave it out",
        _ => "Put thoughts into `content` between the model's own marks, like <think> and </think>, or leave them out",
    };
    bad(format!("messages[{index}].{field}"), "is not a field that is supported: this model's chat template does not read it", remedy)
}

fn part_text(value: &Value, place: &str) -> Result<String> {
    const PART: &str = "A part is {type: \"text\", text: \"Hello\"}";
    let fields = value.as_object().ok_or_else(|| bad(place, is_a(value), PART))?;
    let kind = text(fields, place, "type", PART)?;
    if kind != "text" {
        return Err(bad(
            format!("{place}.type"),
            format!("is {}", quoted(&kind)),
            "Models read text only: pass parts of the type \"text\"",
        ));
    }
    known(fields, place, &["type", "text"], &[], "A part of a message has a `type` and a `text`, and nothing else")?;
    text(fields, place, "text", PART)
}

/// Refuses a field that is not one of `names`. A field that is null counts as absent.
fn known(fields: &Map<String, Value>, place: &str, names: &[&str], elsewhere: &[Remedy], rule: &str) -> Result<()> {
    let Some((name, _)) = fields.iter().find(|(name, value)| !names.contains(&name.as_str()) && !value.is_null()) else { return Ok(()) };
    let elsewhere = elsewhere.iter().find(|(names, _)| names.contains(&name.as_str()));
    let remedy = elsewhere.map_or_else(|| format!("{rule}: take it out"), |(_, remedy)| (*remedy).to_owned());
    Err(bad(format!("{place}.{}", short(name)), "is not a field that is supported", remedy))
}

fn text(fields: &Map<String, Value>, place: &str, name: &str, remedy: &str) -> Result<String> {
    match fields.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(bad(format!("{place}.{name}"), is_a(other), remedy)),
        None => Err(bad(format!("{place}.{name}"), "is missing", remedy)),
    }
}

/// Describes a value for an error: "is a list".
fn is_a(value: &Value) -> String {
    match value {
        Value::Null => "is null".into(),
        Value::Bool(_) | Value::Number(_) => format!("is {value}"),
        Value::String(text) => format!("is the text {}", quoted(text)),
        Value::Array(_) => "is a list".into(),
        Value::Object(_) => "is an object".into(),
    }
}

/// The beginning of a caller's text, in quotation marks and on one line.
fn quoted(text: &str) -> String {
    format!("{:?}", short(text))
}

fn short(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    let cut = text.char_indices().nth(CHARS_MAX).map(|(cut, _)| format!("{}…", &text[..cut]));
    cut.unwrap_or_else(|| text.to_owned())
}

fn bad(what: impl Into<String>, fact: impl Into<String>, remedy: impl Into<String>) -> Error {
    Error::BadMessage { what: what.into(), fact: fact.into(), remedy: remedy.into() }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Message, D::Error> {
        Message::from_json(&Value::deserialize(deserializer)?, "the message").map_err(de::Error::custom)
    }
}

/// Reads the messages of a saved session, by the same rules.
pub(crate) fn deserialize_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Message>, D::Error> {
    Message::list_from_json(&Value::deserialize(deserializer)?).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::template::ChatTemplate;

    #[test]
    fn parts_of_text_are_joined_with_nothing_between() {
        let parts =
            |parts: Value| Message::list_from_json(&json!([{"role": "user", "content": parts}])).expect("messages").remove(0).content;
        assert_eq!(parts(json!([{"type": "text", "text": "My name "}, {"type": "text", "text": "is Ada."}])), "My name is Ada.");
        assert_eq!(parts(json!([{"text": "a", "type": "text", "cache_control": null}])), "a");
        assert_eq!(parts(json!([])), "");
        assert_eq!(parts(json!("a")), "a");
    }

    #[test]
    fn a_field_that_the_template_does_not_read_is_refused() {
        let message = Message::list_from_json(&json!([{"role": "user", "content": "a", "name": "Ada", "reasoning_content": null}]))
            .expect("messages");
        for (source, reads) in [
            ("{% for message in messages %}{{ message.role }}{{ message.name }}{% endfor %}", true),
            ("{% for m in messages %}{{ m['content'] }}{{ m['name'] }}{% endfor %}", true),
            ("{% for m in messages %}{{ m['content'] }}{% if 'name' in m %}x{% endif %}{% endfor %}", true),
            ("{% for m in messages %}{{ m.content }}{{ m.get('name') }}{% endfor %}", true),
            ("{% macro say(m) %}{{ m.role }}{{ m.name|default('') }}{% endmacro %}{{ say(messages[0]) }}", true),
            ("{% for tool in tools %}{{ tool.name }}{% endfor %}{% for m in messages %}{{ m.content }}{% endfor %}", false),
            ("{% for m in messages %}{{ m.content }}name{% endfor %}", false),
        ] {
            let template = ChatTemplate::from_files(None, Some(source)).expect(source);
            assert_eq!(template.check(&message).is_ok(), reads, "{source}");
        }
        let template = ChatTemplate::from_files(None, None).expect("ChatML");
        assert_eq!(
            template.check(&message).unwrap_err().to_string(),
            "messages[0].name is not a field that is supported: this model's chat template does not read it. Say in `content` who speaks, or leave it out."
        );
    }

    #[test]
    fn every_error_names_the_message_its_field_and_the_remedy() {
        let cases = [
            (json!("hi"), "messages is the text \"hi\". Pass a list of messages: [{role: \"user\", content: \"Hello\"}]."),
            (json!({"role": "user"}), "messages is an object. Pass a list of messages: [{role: \"user\", content: \"Hello\"}]."),
            (json!([null]), "messages[0] is null. A message is {role: \"user\", content: \"Hello\"}."),
            (json!(["hi"]), "messages[0] is the text \"hi\". A message is {role: \"user\", content: \"Hello\"}."),
            (json!([{"content": "a"}]), "messages[0].role is missing. Say who speaks: \"system\", \"user\" or \"assistant\"."),
            (json!([{"role": 1, "content": "a"}]), "messages[0].role is 1. Say who speaks: \"system\", \"user\" or \"assistant\"."),
            (json!([{"role": "", "content": "a"}]), "messages[0].role is empty. Say who speaks: \"system\", \"user\" or \"assistant\"."),
            (
                json!([{"role": "user", "content": "a"}, {"role": "assistant"}]),
                "messages[1].content is missing. Pass what is said as a text, or as a list of parts {type: \"text\", text: \"Hello\"}.",
            ),
            (
                json!([{"role": "user", "content": null}]),
                "messages[0].content is null. Pass what is said as a text, or as a list of parts {type: \"text\", text: \"Hello\"}.",
            ),
            (
                json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
                "messages[0].content[0].type is \"image_url\". Models read text only: pass parts of the type \"text\".",
            ),
            (
                json!([{"role": "user", "content": [{"type": "text", "value": "a"}]}]),
                "messages[0].content[0].value is not a field that is supported. A part of a message has a `type` and a `text`, and nothing else: take it out.",
            ),
            (
                json!([{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {}}]}]),
                "messages[0].content[0].cache_control is not a field that is supported. A part of a message has a `type` and a `text`, and nothing else: take it out.",
            ),
            (
                json!([{"role": "user", "content": ["a"]}]),
                "messages[0].content[0] is the text \"a\". A part is {type: \"text\", text: \"Hello\"}.",
            ),
            (
                json!([{"role": "user", "content": "a", "contents": "b"}]),
                "messages[0].contents is not a field that is supported. The text of a message is its `content`.",
            ),
            (json!([{"role": "user", "content": "a", "name": 1}]), "messages[0].name is 1. Pass a text, or leave it out."),
            (
                json!([{"role": "user", "content": "a", "weight": 1}]),
                "messages[0].weight is not a field that is supported. A message has a `role` and a `content`, perhaps a `name` or `reasoning_content`, and nothing else: take it out.",
            ),
        ];
        for (value, expected) in cases {
            let error = Message::list_from_json(&value).expect_err(expected);
            assert_eq!((error.code(), error.to_string()), ("BAD_INPUT", expected.to_owned()));
        }
        for name in ["names", "images", "tool_calls", "tool_call_id", "reasoning", "prefix"] {
            let error = Message::list_from_json(&json!([{"role": "user", "content": "a", name: [{}]}])).expect_err(name).to_string();
            assert!(error.starts_with(&format!("messages[0].{name} is not a field that is supported. ")), "{error}");
        }
        assert_eq!(
            Message::list_from_json(&json!([{"role": "user", "content": "a", "tool_calls": null}])).expect("null says nothing").len(),
            1
        );
    }
}
