//! The options of a session: a system prompt, and arguments of the chat template.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::json::show;
use crate::options::not_an_object;
use crate::text::TemplateKwargs;

/// The options of a session. Clones and saved sessions keep them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SessionOptions {
    /// The system prompt. It becomes the first message of each history that does not begin with a system
    /// message. An empty one keeps the chat template from adding its default system prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The arguments of the chat template besides the messages. A turn with other arguments changes them when
    /// it ends.
    #[serde(default, skip_serializing_if = "TemplateKwargs::is_empty")]
    pub chat_template_kwargs: TemplateKwargs,
}

impl SessionOptions {
    /// Reads options from a JSON object. `null` is treated as absent.
    ///
    /// Errors: `BAD_OPTION` for an unknown name or a value of the wrong type; `BAD_INPUT` for a value that is
    /// not an object.
    pub fn from_json(value: &Value) -> Result<SessionOptions> {
        let mut options = SessionOptions::default();
        let object = match value {
            Value::Null => return Ok(options),
            Value::Object(object) => object,
            other => return Err(not_an_object(other)),
        };
        let mut spelling: Option<&str> = None;
        for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            let bad = |expected: &str, got: &str| Error::BadOption { option: name.clone(), expected: expected.into(), got: got.into() };
            match name.as_str() {
                "system" => options.system = Some(value.as_str().ok_or_else(|| bad("a text", "another value"))?.into()),
                "chatTemplateKwargs" | "chat_template_kwargs" if spelling.replace(name).is_some() => {
                    return Err(bad("`chatTemplateKwargs` only once, in one spelling", &show(value)));
                }
                "chatTemplateKwargs" | "chat_template_kwargs" => options.chat_template_kwargs = TemplateKwargs::from_json(name, value)?,
                _ => return Err(bad("one of system, chatTemplateKwargs", "an unknown name")),
            }
        }
        Ok(options)
    }

    pub(super) fn is_default(&self) -> bool {
        *self == SessionOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn options_are_read_and_unknown_ones_refused() {
        let options = SessionOptions::from_json(&json!({"system": "", "chat_template_kwargs": {"a": 1}})).expect("options");
        assert_eq!(options.system.as_deref(), Some(""));
        assert_eq!(serde_json::to_value(&options).expect("JSON"), json!({"system": "", "chatTemplateKwargs": {"a": 1}}));
        assert_eq!(SessionOptions::from_json(&json!({"system": null})).expect("options"), SessionOptions::default());
        for (value, expected) in [
            (json!({"sytem": "x"}), "option `sytem`: expected one of system, chatTemplateKwargs, got an unknown name."),
            (json!({"system": 5}), "option `system`: expected a text, got another value."),
            (
                json!({"chatTemplateKwargs": {"a": 1}, "chat_template_kwargs": {"a": 2}}),
                "option `chat_template_kwargs`: expected `chatTemplateKwargs` only once, in one spelling, got {\"a\":2}.",
            ),
            (json!([]), "options: expected an object, got a list."),
        ] {
            assert_eq!(SessionOptions::from_json(&value).unwrap_err().to_string(), expected);
        }
    }
}
