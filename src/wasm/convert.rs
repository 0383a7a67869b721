//! Between JavaScript's values and the engine's: files, options, messages, errors.

use js_sys::{Array, Date, Reflect, Uint8Array};
use serde::Serialize;
use serde_json::Value;
use wasm_bindgen::prelude::*;

use crate::error::Error;
use crate::load::ModelFiles;
use crate::options::{LoadOptions, Options, not_an_object};
use crate::session::{SessionOptions, Turn};
use crate::text::{Message, Now};

pub(super) type Result<T, E = JsValue> = std::result::Result<T, E>;

#[wasm_bindgen(typescript_custom_section)]
const SMALL_FILES: &str = "
/** The small files of a model, as they are published. */
export interface SmallFiles {
    config: Uint8Array;
    tokenizer: Uint8Array;
    tokenizerConfig?: Uint8Array;
    generationConfig?: Uint8Array;
    specialTokensMap?: Uint8Array;
    addedTokens?: Uint8Array;
    chatTemplate?: Uint8Array;
    index?: Uint8Array;
}

/** The options of a run that the engine takes. */
export type RunOptions = Omit<GenerateOptions & GenerateAliases, 'signal'>;
";

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
        if !is_record(files) {
            return Err(to_error(Error::BadInput { what: "files".into(), expected: "an object".into(), got: "something else".into() }));
        }
        for (name, file) in OwnedFiles::NAMES.iter().zip(&mut owned.0) {
            let value = Reflect::get(files, &(*name).into())?;
            if !value.is_undefined() && !value.is_null() {
                *file = Some(as_bytes(name, value)?);
            }
        }
        Ok(owned)
    }

    /// As [`read`](Self::read), of an object that holds files and nothing else.
    pub(super) fn read_alone(files: &JsValue) -> Result<OwnedFiles> {
        let names = js_sys::Object::keys(files.unchecked_ref::<js_sys::Object>());
        let unknown = names.iter().filter_map(|name| name.as_string()).find(|name| !OwnedFiles::NAMES.contains(&name.as_str()));
        if let Some(name) = unknown.filter(|_| is_record(files)) {
            let expected = format!("only {}", OwnedFiles::NAMES.join(", "));
            return Err(to_error(Error::BadInput { what: "files".into(), expected, got: name }));
        }
        OwnedFiles::read(files)
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

/// The options of a run. The engine has neither a clock nor a source of randomness: both are brought along
/// here.
pub(super) fn run_options(options: &JsValue) -> Result<Options> {
    let options = Options::from_json(&from_js(options)?).map_err(to_error)?;
    let mut entropy = [0; 8];
    getrandom::fill(&mut entropy).map_err(|error| JsValue::from(error.to_string()))?;
    Ok(Options { seed: options.seed.or(Some(u64::from_le_bytes(entropy))), now: Some(now()), ..options })
}

/// The options of a call that reads messages and answers nothing: some of those of a run.
pub(super) fn reading_options(options: &JsValue, names: &[&str]) -> Result<Options> {
    if let Value::Object(object) = from_js(options)?
        && let Some(name) = object.keys().find(|name| !names.contains(&name.as_str()))
    {
        return Err(bad_option(name, &format!("one of {}", names.join(", ")), "another option".into()));
    }
    run_options(options)
}

/// What a session is opened with.
pub(super) fn session_options(options: &JsValue) -> Result<SessionOptions> {
    SessionOptions::from_json(&from_js(options)?).map_err(to_error)
}

/// A copy of an options object with nothing but these properties.
pub(super) fn only(options: &JsValue, names: &[&str]) -> Result<JsValue> {
    let picked = js_sys::Object::new();
    if !options.is_object() {
        return Ok(picked.into());
    }
    for name in names {
        let name = JsValue::from(*name);
        Reflect::set(&picked, &name, &Reflect::get(options, &name)?)?;
    }
    Ok(picked.into())
}

pub(super) fn now() -> Now {
    let date = Date::new_0();
    Now { unix_seconds: (date.get_time() / 1000.0) as i64, utc_offset_minutes: -date.get_timezone_offset() as i32 }
}

pub(super) fn to_turn(turn: &JsValue) -> Result<Turn> {
    if let Some(text) = turn.as_string() {
        return Ok(Turn::User(text));
    }
    to_messages(turn).map(Turn::Conversation)
}

/// A list of messages.
pub(super) fn to_messages(messages: &JsValue) -> Result<Vec<Message>> {
    let json = to_json("messages", messages, 0)?;
    Message::list_from_json(&json).map_err(to_error)
}

/// Messages hold lists of parts that are objects, and no field that is taken is deeper.
const DEPTH_MAX: usize = 16;

/// A value that a caller passed, as JSON. A property that is undefined is absent, as in JavaScript.
///
/// Errors: `BAD_INPUT` that names the place of what JSON has no word for: a function, a `Map`, an object
/// that contains itself...
fn to_json(place: &str, value: &JsValue, depth: usize) -> Result<Value> {
    let bad = |fact: &str| {
        let remedy = "Pass plain data: texts, numbers, lists and objects of these";
        to_error(Error::BadMessage { what: place.into(), fact: fact.into(), remedy: remedy.into() })
    };
    if depth > DEPTH_MAX {
        return Err(bad("is nested too deeply, or contains itself"));
    }
    if value.is_null() || value.is_undefined() {
        return Ok(Value::Null);
    }
    if let Some(text) = value.as_string() {
        return Ok(Value::String(text));
    }
    if let Some(wanted) = value.as_bool() {
        return Ok(Value::Bool(wanted));
    }
    if let Some(number) = value.as_f64() {
        let whole = (number.fract() == 0.0 && number.abs() <= MAX_SAFE).then_some(number as i64);
        let json = whole.map_or_else(|| serde_json::Number::from_f64(number), |whole| Some(whole.into()));
        return json.map(Value::Number).ok_or_else(|| bad("is not a finite number"));
    }
    if Array::is_array(value) {
        let items = Array::from(value);
        let item = |(index, item)| to_json(&format!("{place}[{index}]"), &item, depth + 1);
        return items.iter().enumerate().map(item).collect::<Result<_>>().map(Value::Array);
    }
    if !is_record(value) {
        return Err(bad("is not plain data"));
    }
    let entry = |entry: JsValue| {
        let entry = Array::from(&entry);
        let (name, value) = (entry.get(0).as_string().unwrap_or_default(), entry.get(1));
        (!value.is_undefined()).then(|| to_json(&format!("{place}.{name}"), &value, depth + 1).map(|value| (name, value)))
    };
    let mut object = serde_json::Map::new();
    for member in js_sys::Object::entries(value.unchecked_ref()).iter().filter_map(entry) {
        object.extend([member?]);
    }
    Ok(Value::Object(object))
}

/// Number.MAX_SAFE_INTEGER.
const MAX_SAFE: f64 = 9_007_199_254_740_991.0;

/// Whether a value is an object and nothing more: no list, no `Map`, no bytes, no function. `entries` does
/// not show all properties of those.
fn is_record(value: &JsValue) -> bool {
    kind_of(value) == "[object Object]"
}

#[wasm_bindgen]
extern "C" {
    /// "[object Object]" for an object and nothing more, of whatever frame it comes.
    #[wasm_bindgen(js_namespace = ["Object", "prototype", "toString"], js_name = call)]
    fn kind_of(value: &JsValue) -> String;
}

/// Options as JSON. What JSON has no word for becomes something that no option takes, so that it is refused
/// by its name.
fn from_js(value: &JsValue) -> Result<Value> {
    if value.is_null() || value.is_undefined() {
        return Ok(Value::Null);
    }
    if !is_record(value) {
        let got = to_json("options", value, 0).unwrap_or_else(|_| Value::String("another kind of object".into()));
        return Err(to_error(not_an_object(&got)));
    }
    let entries = js_sys::Object::entries(value.unchecked_ref());
    let pairs = entries.iter().map(|entry| {
        let entry = Array::from(&entry);
        let (name, value) = (entry.get(0).as_string().unwrap_or_default(), entry.get(1));
        let json = match value.as_f64() {
            Some(number) if !number.is_finite() => Value::String(number.to_string()),
            _ if value.is_function() || value.is_symbol() => Value::String("a function".into()),
            // An empty list in two lists: no option takes that.
            _ => to_json(&name, &value, 0).unwrap_or_else(|_| serde_json::json!([[[]]])),
        };
        (name, json)
    });
    let mut object = serde_json::Map::new();
    object.extend(pairs);
    Ok(Value::Object(object))
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
