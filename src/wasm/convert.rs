//! Between JavaScript's values and the engine's: files, options, messages, errors.

use js_sys::{Array, Date, Reflect, Uint8Array};
use serde::Serialize;
use serde_json::Value;
use wasm_bindgen::prelude::*;

use crate::error::Error;
use crate::load::{LoadOptions, ModelFiles};
use crate::options::{Options, not_an_object};
use crate::session::Turn;
use crate::template::{Message, Now};

pub(super) type Result<T, E = JsValue> = std::result::Result<T, E>;

/// The small files, copied out of a JavaScript object.
#[derive(Default)]
pub(super) struct OwnedFiles([Option<Vec<u8>>; 8]);

impl OwnedFiles {
    pub(super) const NAMES: [&str; 8] =
        ["config", "tokenizer", "tokenizerConfig", "generationConfig", "specialTokensMap", "addedTokens", "chatTemplate", "index"];

    pub(super) fn read(files: &JsValue) -> Result<OwnedFiles> {
        let mut owned = OwnedFiles::default();
        if files.is_undefined() || files.is_null() {
            return Ok(owned);
        }
        for (name, file) in OwnedFiles::NAMES.iter().zip(&mut owned.0) {
            let value = Reflect::get(files, &(*name).into())?;
            if !value.is_undefined() && !value.is_null() {
                *file = Some(as_bytes(name, value)?);
            }
        }
        Ok(owned)
    }

    pub(super) fn borrow(&self) -> ModelFiles<'_> {
        let [config, tokenizer, tokenizer_config, generation_config, special_tokens_map, added_tokens, chat_template, index] = &self.0;
        ModelFiles {
            config: config.as_deref().unwrap_or_default(),
            tokenizer: tokenizer.as_deref().unwrap_or_default(),
            tokenizer_config: tokenizer_config.as_deref(),
            generation_config: generation_config.as_deref(),
            special_tokens_map: special_tokens_map.as_deref(),
            added_tokens: added_tokens.as_deref(),
            chat_template: chat_template.as_deref(),
            index: index.as_deref(),
        }
    }
}

pub(super) fn as_bytes(what: &str, value: JsValue) -> Result<Vec<u8>> {
    value
        .dyn_into::<Uint8Array>()
        .map(|bytes| bytes.to_vec())
        .map_err(|_| to_error(Error::BadInput { what: what.into(), expected: "a Uint8Array".into(), got: "something else".into() }))
}

/// The only option of a call, true or false; `None` where it is left out.
pub(super) fn flag(options: &JsValue, name: &str) -> Result<Option<bool>> {
    let object = match from_js(options)? {
        Value::Null => return Ok(None),
        Value::Object(object) => object,
        other => return Err(to_error(not_an_object(&other))),
    };
    object.iter().try_fold(None, |_, (key, value)| match (key == name, value) {
        (true, Value::Bool(value)) => Ok(Some(*value)),
        (true, Value::Null) => Ok(None),
        (true, other) => Err(bad_option(key, "true or false", other.to_string())),
        (false, _) => Err(bad_option(key, &format!("one of {name}"), "an unknown name".into())),
    })
}

fn bad_option(option: &str, expected: &str, got: String) -> JsValue {
    to_error(Error::BadOption { option: option.into(), expected: expected.into(), got })
}

/// A copy of an options object without the properties that are files.
pub(super) fn without(options: &JsValue, names: &[&str]) -> Result<JsValue> {
    if !options.is_object() {
        return Ok(options.clone());
    }
    let rest = js_sys::Object::assign(&js_sys::Object::new(), options.unchecked_ref());
    for name in names {
        Reflect::delete_property(&rest, &(*name).into())?;
    }
    Ok(rest.into())
}

/// The options of loading, with the threads that there are.
pub(super) fn load_options(options: &JsValue) -> Result<LoadOptions> {
    let options = LoadOptions::from_json(&from_js(options)?).map_err(to_error)?;
    #[cfg(target_feature = "atomics")]
    let options = LoadOptions { pool: Some(super::threads::pool()), ..options };
    Ok(options)
}

/// The options of a run. The engine has neither a clock nor a source of randomness: both are brought along here.
pub(super) fn run_options(options: &JsValue) -> Result<Options> {
    let options = Options::from_json(&from_js(options)?).map_err(to_error)?;
    let mut entropy = [0; 8];
    getrandom::fill(&mut entropy).map_err(|error| JsValue::from(error.to_string()))?;
    Ok(Options { seed: options.seed.or(Some(u64::from_le_bytes(entropy))), now: Some(now()), ..options })
}

/// The options of reading messages ahead: what becomes of the oldest where there is no room.
pub(super) fn append_options(options: &JsValue) -> Result<Options> {
    if let Value::Object(object) = from_js(options)?
        && let Some(name) = object.keys().find(|name| *name != "overflow")
    {
        return Err(bad_option(name, "overflow alone", "another option".into()));
    }
    run_options(options)
}

pub(super) fn now() -> Now {
    let date = Date::new_0();
    Now { unix_seconds: (date.get_time() / 1000.0) as i64, utc_offset_minutes: -date.get_timezone_offset() as i32 }
}

pub(super) fn to_turn(turn: &JsValue) -> Result<Turn> {
    if let Some(text) = turn.as_string() {
        return Ok(Turn::User(text));
    }
    to_messages(turn.clone()).map(Turn::Conversation)
}

/// A list of messages.
pub(super) fn to_messages(messages: JsValue) -> Result<Vec<Message>> {
    serde_wasm_bindgen::from_value(messages).map_err(|error| not_messages(&error))
}

fn not_messages(error: &serde_wasm_bindgen::Error) -> JsValue {
    let expected = "a list of {role, content}";
    to_error(Error::BadInput { what: "messages".into(), expected: expected.into(), got: error.to_string() })
}

/// A plain JavaScript value as JSON. A number that JSON has no word for becomes its text, so that it is refused by name.
fn from_js(value: &JsValue) -> Result<Value> {
    if !value.is_object() || Array::is_array(value) {
        return serde_wasm_bindgen::from_value(value.clone()).map_err(|_| to_error(not_an_object(&Value::Null)));
    }
    let entries = js_sys::Object::entries(value.unchecked_ref());
    let pairs = entries.iter().map(|entry| {
        let entry = Array::from(&entry);
        let (name, value) = (entry.get(0).as_string().unwrap_or_default(), entry.get(1));
        let json = match value.as_f64() {
            Some(number) if !number.is_finite() => Value::String(number.to_string()),
            _ if value.is_function() || value.is_symbol() => Value::String("a function".into()),
            // What JSON has no word for, a list in a list stands for: no option takes that.
            _ => serde_wasm_bindgen::from_value(value).unwrap_or_else(|_| serde_json::json!([[]])),
        };
        Ok((name, json))
    });
    Ok(Value::Object(pairs.collect::<Result<_>>()?))
}

/// Units: 64-bit numbers cross as JavaScript numbers; none here comes near 2^53.
pub(super) fn to_js<T: Serialize + ?Sized>(value: &T) -> Result<JsValue> {
    let serializer = serde_wasm_bindgen::Serializer::new().serialize_maps_as_objects(true);
    Ok(value.serialize(&serializer)?)
}

/// The exception that an engine error is in JavaScript.
pub(super) fn to_error(error: Error) -> JsValue {
    let thrown = js_sys::Error::new(&error.to_string());
    thrown.set_name("FiresideError");
    let details = to_js(&error).unwrap_or_default();
    for (name, value) in [("code", error.code().into()), ("details", details)] {
        // Setting a property of a fresh Error cannot fail.
        let _ = Reflect::set(&thrown, &name.into(), &value);
    }
    thrown.into()
}
