//! The browser's view of the engine: each binding converts, calls, and converts back.
//!
//! Values cross as plain objects and typed arrays. An [`Error`] is thrown as a JavaScript `Error` of name `FiresideError`
//! with `code` and `details`; anything else that is thrown is a crash, after which the instance must not be used again.
//! The types that JavaScript sees stand in `www/lib/types.d.ts`.
//!
//! There is no clock here and no scheduling: a [`Run`](JsRun) is driven a step at a time by whoever holds it.

#[cfg(target_feature = "atomics")]
mod threads;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use js_sys::{Array, Date, Reflect, Uint8Array};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use wasm_bindgen::prelude::*;

use crate::config::ModelConfig;
use crate::error::{Error, Result as EngineResult};
use crate::estimate::Estimate;
use crate::load::{LoadOptions, ModelFiles, ModelLoader};
use crate::model::Model;
use crate::options::{Options, Settings};
use crate::session::{Completion, Run, Session, Step, Turn, Usage};
use crate::template::{Message, Now, TemplateSource};
use crate::weights::Survey;

type Result<T, E = JsValue> = std::result::Result<T, E>;

/// A panic becomes an exception that says what happened, instead of a bare `unreachable`.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|info| wasm_bindgen::throw_str(&info.to_string())));
}

/// What this build of the engine is: `{version, kernels}`.
#[wasm_bindgen(js_name = buildInfo)]
pub fn build_info() -> Result<JsValue> {
    #[derive(Serialize)]
    struct BuildInfo {
        version: &'static str,
        kernels: &'static str,
    }
    to_js(&BuildInfo { version: env!("CARGO_PKG_VERSION"), kernels: crate::kernels::NAME })
}

/// The SHA-256 of bytes that come in pieces, which a browser has only for bytes that are all there.
#[wasm_bindgen(js_name = Sha256)]
#[derive(Default)]
pub struct JsSha256(Sha256);

#[wasm_bindgen(js_class = Sha256)]
impl JsSha256 {
    /// Of nothing yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> JsSha256 {
        JsSha256::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all of them, as 64 hexadecimal digits. The object is used up.
    pub fn digest(self) -> String {
        format!("{:x}", self.0.finalize())
    }
}

/// What a model would take, from its config and the headers of its weight files.
#[wasm_bindgen(js_name = Survey)]
pub struct JsSurvey {
    config: ModelConfig,
    options: LoadOptions,
    survey: Survey,
}

#[wasm_bindgen(js_class = Survey)]
impl JsSurvey {
    /// Of `{config, index?}`.
    #[wasm_bindgen(constructor)]
    pub fn new(files: JsValue, options: JsValue) -> Result<JsSurvey> {
        let options = load_options(&options)?;
        let files = OwnedFiles::read(&files)?;
        let files = files.borrow()?;
        let config = ModelConfig::from_json(files.config).map_err(to_error)?;
        let survey = Survey::new(&config, files.index, options.storage(&config)).map_err(to_error)?;
        Ok(JsSurvey { config, options, survey })
    }

    /// The names of the weight files, in the order in which their headers are expected.
    pub fn files(&self) -> Vec<String> {
        self.survey.files().to_vec()
    }

    /// Takes the beginning of the next file and returns how many bytes of it are needed; where they are more than these, none was taken.
    pub fn header(&mut self, head: &[u8]) -> Result<usize> {
        self.survey.header(head).map_err(to_error)
    }

    /// What all of it comes to. The object is used up.
    pub fn finish(self) -> Result<JsValue> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct EstimateObject {
            dtype: String,
            weight_bytes: u64,
            file_bytes: u64,
            kv_bytes_per_token: u64,
            context: usize,
            context_that_fits: usize,
            load_bytes: u64,
            memory_bytes: u64,
            fits: bool,
            remedy: Option<String>,
        }
        let JsSurvey { config, options, survey } = self;
        let estimate = Estimate::of_survey(&config, &options, &survey);
        let refusal = estimate.check(&config, &options).err();
        to_js(&EstimateObject {
            dtype: estimate.dtype.or(survey.stored).map_or("auto".into(), |dtype| dtype.to_string()),
            weight_bytes: estimate.weight_bytes,
            file_bytes: survey.file_bytes,
            kv_bytes_per_token: estimate.kv_bytes_per_token,
            context: estimate.context,
            context_that_fits: estimate.context_that_fits(),
            load_bytes: estimate.load_bytes,
            memory_bytes: estimate.memory_bytes,
            fits: refusal.is_none(),
            remedy: refusal.and_then(|error| match error {
                Error::ModelTooLarge { remedy, .. } => Some(remedy),
                _ => None,
            }),
        })
    }
}

/// A model whose weights are still arriving.
#[wasm_bindgen(js_name = Loader)]
pub struct JsLoader(ModelLoader);

#[wasm_bindgen(js_class = Loader)]
impl JsLoader {
    /// Reads and checks the small files. Throws their errors before a byte of weights is needed.
    #[wasm_bindgen(constructor)]
    pub fn new(files: JsValue, options: JsValue) -> Result<JsLoader> {
        let options = load_options(&options)?;
        let files = OwnedFiles::read(&files)?;
        Model::loader(&files.borrow()?, options).map(JsLoader).map_err(to_error)
    }

    /// The names of the weight files, in the order in which they must be pushed.
    pub fn files(&self) -> Vec<String> {
        self.0.files().to_vec()
    }

    /// Takes the next bytes of the present weight file, in chunks of any size.
    pub fn push(&mut self, chunk: &[u8]) -> Result<()> {
        self.0.push(chunk).map_err(to_error)
    }

    /// The present weight file has been pushed whole.
    #[wasm_bindgen(js_name = endFile)]
    pub fn end_file(&mut self) -> Result<()> {
        self.0.end_file().map_err(to_error)
    }

    /// All files have ended: the model. The loader is used up.
    pub fn finish(self) -> Result<JsModel> {
        self.0.finish().map(|model| JsModel(Arc::new(model))).map_err(to_error)
    }
}

/// A loaded model, shared by its sessions.
#[wasm_bindgen(js_name = Model)]
pub struct JsModel(Arc<Model>);

#[wasm_bindgen(js_class = Model)]
impl JsModel {
    /// Shape, storage, memory need and defaults.
    pub fn info(&self) -> Result<JsValue> {
        to_js(&ModelInfo::of(&self.0))
    }

    /// A new, empty session on this model.
    pub fn session(&self) -> JsSession {
        JsSession(Rc::new(RefCell::new(Shared { session: Session::new(self.0.clone()), running: false })))
    }

    /// The tokens of a text: taken literally, or with `{special: true}` as a prompt is (special tokens recognised and added).
    pub fn tokenize(&self, text: &str, options: JsValue) -> Result<Vec<u32>> {
        let tokenizer = self.0.tokenizer();
        let tokens = if flag(&options, "special")? { tokenizer.encode_prompt(text) } else { tokenizer.encode_text(text) };
        tokens.map_err(to_error)
    }

    /// The text of some tokens; special tokens are shown unless `{skipSpecial: true}`.
    pub fn detokenize(&self, tokens: &[u32], options: JsValue) -> Result<String> {
        self.0.tokenizer().decode(tokens, flag(&options, "skipSpecial")?).map_err(to_error)
    }
}

/// A session, and whether a run has it.
struct Shared {
    session: Session,
    running: bool,
}

/// A text or a chat in progress.
#[wasm_bindgen(js_name = Session)]
pub struct JsSession(Rc<RefCell<Shared>>);

#[wasm_bindgen(js_class = Session)]
impl JsSession {
    /// A session on a model of its own, from bytes that are all there; `weights` is one file or a list of files.
    #[wasm_bindgen(js_name = fromBytes)]
    pub fn from_bytes(config: Vec<u8>, tokenizer: Vec<u8>, weights: JsValue, options: JsValue) -> Result<JsSession> {
        let small = OwnedFiles::read(&options)?;
        let files = ModelFiles { config: &config, tokenizer: &tokenizer, ..small.borrow()? };
        let rest = without(&options, &OwnedFiles::NAMES)?;
        let options = load_options(&rest)?;
        let weights = if Array::is_array(&weights) { Array::from(&weights) } else { Array::of1(&weights) };
        let mut loader = JsLoader(Model::loader(&files, options).map_err(to_error)?);
        for file in weights.iter() {
            loader.push(&as_bytes("weights", file)?)?;
            loader.end_file()?;
        }
        Ok(loader.finish()?.session())
    }

    /// Starts to continue a prompt.
    pub fn generate(&self, prompt: &str, options: JsValue) -> Result<JsRun> {
        let options = run_options(&options)?;
        self.begin(|session| session.begin_generate(prompt, &options))
    }

    /// Starts to answer a turn of a chat: the user's next message, or a whole list of messages.
    pub fn chat(&self, turn: JsValue, options: JsValue) -> Result<JsRun> {
        let (turn, options) = (to_turn(&turn)?, run_options(&options)?);
        self.begin(|session| session.begin_chat(turn, &options))
    }

    /// The chat so far.
    pub fn messages(&self) -> Result<JsValue> {
        to_js(&self.0.borrow().session.messages())
    }

    /// Replaces the chat: what the cache holds serves as far as the new history begins with it.
    #[wasm_bindgen(js_name = setMessages)]
    pub fn set_messages(&self, messages: JsValue) -> Result<()> {
        let messages: Vec<Message> = serde_wasm_bindgen::from_value(messages).map_err(|error| not_messages(&error))?;
        self.idle()?.session.set_messages(messages).map_err(to_error)
    }

    /// Forgets the chat and everything computed.
    pub fn reset(&self) -> Result<()> {
        self.idle()?.session.reset();
        Ok(())
    }

    /// What the session holds at present.
    pub fn stats(&self) -> Result<JsValue> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Stats {
            context_usage: usize,
            context_window: usize,
            kv_bytes: u64,
            wasm_bytes: u64,
        }
        let session = &self.0.borrow().session;
        to_js(&Stats {
            context_usage: session.context_usage(),
            context_window: session.model().config().context,
            kv_bytes: session.kv_bytes(),
            wasm_bytes: core::arch::wasm32::memory_size(0) as u64 * 65_536,
        })
    }

    /// Tokens by which a turn would lengthen the chat.
    #[wasm_bindgen(js_name = measureContextUsage)]
    pub fn measure_context_usage(&self, turn: JsValue) -> Result<usize> {
        let turn = to_turn(&turn)?;
        self.0.borrow().session.measure_context_usage(turn, Some(now())).map_err(to_error)
    }

    /// As `Model.info`.
    pub fn info(&self) -> Result<JsValue> {
        to_js(&ModelInfo::of(self.0.borrow().session.model()))
    }

    fn begin(&self, begin: impl FnOnce(&mut Session) -> EngineResult<Run>) -> Result<JsRun> {
        let mut shared = self.idle()?;
        let run = begin(&mut shared.session).map_err(to_error)?;
        shared.running = true;
        Ok(JsRun { shared: self.0.clone(), run: Some(run) })
    }

    fn idle(&self) -> Result<std::cell::RefMut<'_, Shared>> {
        let shared = self.0.borrow_mut();
        if shared.running {
            let expected = "a session whose last run has ended or was freed";
            return Err(to_error(Error::BadInput {
                what: "session".into(),
                expected: expected.into(),
                got: "one with a run under way".into(),
            }));
        }
        Ok(shared)
    }
}

/// A generation under way. Its session is busy until the run ends, is aborted or is freed.
#[wasm_bindgen(js_name = Run)]
pub struct JsRun {
    shared: Rc<RefCell<Shared>>,
    /// Gone once the run is over.
    run: Option<Run>,
}

#[wasm_bindgen(js_class = Run)]
impl JsRun {
    /// Computes a piece of the prompt, of about `prefill_work` tokens times layers where that is given, or one token.
    pub fn step(&mut self, prefill_work: Option<usize>) -> Result<JsValue> {
        let run = self.run.as_mut().ok_or_else(over)?;
        if let Some(token_layers) = prefill_work {
            run.set_prefill_work(token_layers);
        }
        let step = self.shared.borrow_mut().session.step(run);
        let completion_tokens = run.completion_tokens();
        if matches!(step, Ok(Step::End(..)) | Err(_)) {
            self.release();
        }
        to_js(&StepObject::of(step.map_err(to_error)?, completion_tokens))
    }

    /// Ends the run: a chat turn has never been, and the session works on.
    pub fn abort(&mut self) -> Result<JsValue> {
        let run = self.run.as_mut().ok_or_else(over)?;
        let completion = self.shared.borrow_mut().session.abort(run);
        self.release();
        to_js(&StepObject::end(String::new(), completion))
    }

    fn release(&mut self) {
        if self.run.take().is_some() {
            self.shared.borrow_mut().running = false;
        }
    }
}

impl Drop for JsRun {
    fn drop(&mut self) {
        self.release();
    }
}

fn over() -> JsValue {
    to_error(Error::BadInput { what: "run".into(), expected: "one under way".into(), got: "one that is over".into() })
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase", rename_all_fields = "camelCase")]
enum StepObject {
    Prefill { done: usize, total: usize, work: usize },
    Token { text: String, completion_tokens: usize },
    End { text: String, finish_reason: &'static str, usage: UsageObject },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UsageObject {
    prompt_tokens: usize,
    completion_tokens: usize,
    cached_tokens: usize,
}

impl StepObject {
    fn of(step: Step, completion_tokens: usize) -> StepObject {
        match step {
            Step::Prefill { done, total, work } => StepObject::Prefill { done, total, work },
            Step::Token(piece) => StepObject::Token { text: piece.text, completion_tokens },
            Step::End(piece, completion) => StepObject::end(piece.text, completion),
        }
    }

    fn end(text: String, completion: Completion) -> StepObject {
        let Usage { prompt_tokens, completion_tokens, cached_tokens } = completion.usage;
        let usage = UsageObject { prompt_tokens, completion_tokens, cached_tokens };
        StepObject::End { text, finish_reason: completion.finish_reason.as_str(), usage }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelInfo<'a> {
    family: &'static str,
    parameters: u64,
    vocab: usize,
    layers: usize,
    hidden: usize,
    context: usize,
    dtype: String,
    weight_bytes: u64,
    kv_bytes_per_token: u64,
    chat_template: &'static str,
    kernels: &'static str,
    defaults: Defaults,
    ignored_config: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Defaults {
    max_tokens: usize,
    temperature: f32,
    top_k: usize,
    top_p: f32,
    min_p: f32,
    repetition_penalty: f32,
}

impl ModelInfo<'_> {
    fn of(model: &Model) -> ModelInfo<'_> {
        let config = model.config();
        let Settings { max_tokens, temperature, top_k, top_p, min_p, repetition_penalty, .. } = Settings::of(model.generation());
        ModelInfo {
            family: config.family.name(),
            parameters: config.parameters(),
            vocab: config.vocab,
            layers: config.layers,
            hidden: config.hidden,
            context: config.context,
            dtype: model.weights().dtype().to_string(),
            weight_bytes: model.weights().bytes(),
            kv_bytes_per_token: config.kv_bytes_per_token(model.kv_dtype()),
            chat_template: match model.template().source() {
                TemplateSource::Model => "model",
                TemplateSource::ChatMl => "chatml",
            },
            kernels: crate::kernels::NAME,
            defaults: Defaults { max_tokens, temperature, top_k, top_p, min_p, repetition_penalty },
            ignored_config: &config.ignored,
        }
    }
}

/// The small files, copied out of a JavaScript object.
#[derive(Default)]
struct OwnedFiles([Option<Vec<u8>>; 6]);

impl OwnedFiles {
    const NAMES: [&str; 6] = ["config", "tokenizer", "tokenizerConfig", "generationConfig", "chatTemplate", "index"];

    fn read(files: &JsValue) -> Result<OwnedFiles> {
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

    fn borrow(&self) -> Result<ModelFiles<'_>> {
        let [config, tokenizer, tokenizer_config, generation_config, chat_template, index] = &self.0;
        let chat_template = chat_template
            .as_deref()
            .map(std::str::from_utf8)
            .transpose()
            .map_err(|error| to_error(Error::BadTemplate { detail: format!("chat_template.jinja is not UTF-8: {error}") }))?;
        Ok(ModelFiles {
            config: config.as_deref().unwrap_or_default(),
            tokenizer: tokenizer.as_deref().unwrap_or_default(),
            tokenizer_config: tokenizer_config.as_deref(),
            generation_config: generation_config.as_deref(),
            chat_template,
            index: index.as_deref(),
        })
    }
}

fn as_bytes(what: &str, value: JsValue) -> Result<Vec<u8>> {
    value
        .dyn_into::<Uint8Array>()
        .map(|bytes| bytes.to_vec())
        .map_err(|_| to_error(Error::BadInput { what: what.into(), expected: "a Uint8Array".into(), got: "something else".into() }))
}

/// The only option of a call, true or false.
fn flag(options: &JsValue, name: &str) -> Result<bool> {
    let Value::Object(object) = from_js(options)? else { return Ok(false) };
    object.iter().try_fold(false, |_, (key, value)| match (key == name, value) {
        (true, Value::Bool(value)) => Ok(*value),
        (true, Value::Null) => Ok(false),
        (true, other) => Err(bad_option(key, "true or false", other.to_string())),
        (false, _) => Err(bad_option(key, &format!("one of {name}"), "an unknown name".into())),
    })
}

fn bad_option(option: &str, expected: &str, got: String) -> JsValue {
    to_error(Error::BadOption { option: option.into(), expected: expected.into(), got })
}

/// A copy of an options object without the properties that are files.
fn without(options: &JsValue, names: &[&str]) -> Result<JsValue> {
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
fn load_options(options: &JsValue) -> Result<LoadOptions> {
    let options = LoadOptions::from_json(&from_js(options)?).map_err(to_error)?;
    #[cfg(target_feature = "atomics")]
    let options = LoadOptions { pool: Some(threads::pool()), ..options };
    Ok(options)
}

/// The options of a run. The engine has neither a clock nor a source of randomness: both are brought along here.
fn run_options(options: &JsValue) -> Result<Options> {
    let options = Options::from_json(&from_js(options)?).map_err(to_error)?;
    let mut entropy = [0; 8];
    getrandom::fill(&mut entropy).map_err(|error| JsValue::from(error.to_string()))?;
    Ok(Options { seed: options.seed.or(Some(u64::from_le_bytes(entropy))), now: Some(now()), ..options })
}

fn now() -> Now {
    let date = Date::new_0();
    Now { unix_seconds: (date.get_time() / 1000.0) as i64, utc_offset_minutes: -date.get_timezone_offset() as i32 }
}

fn to_turn(turn: &JsValue) -> Result<Turn> {
    if let Some(text) = turn.as_string() {
        return Ok(Turn::User(text));
    }
    serde_wasm_bindgen::from_value(turn.clone()).map(Turn::Conversation).map_err(|error| not_messages(&error))
}

fn not_messages(error: &serde_wasm_bindgen::Error) -> JsValue {
    let expected = "a text or a list of {role, content}";
    to_error(Error::BadInput { what: "messages".into(), expected: expected.into(), got: error.to_string() })
}

/// A plain JavaScript value as JSON. A number that JSON has no word for becomes its text, so that it is refused by name.
fn from_js(value: &JsValue) -> Result<Value> {
    if !value.is_object() || Array::is_array(value) {
        return Ok(serde_wasm_bindgen::from_value(value.clone())?);
    }
    let entries = js_sys::Object::entries(value.unchecked_ref());
    let pairs = entries.iter().map(|entry| {
        let entry = Array::from(&entry);
        let (name, value) = (entry.get(0).as_string().unwrap_or_default(), entry.get(1));
        let json = match value.as_f64() {
            Some(number) if !number.is_finite() => Value::String(number.to_string()),
            _ if value.is_function() || value.is_symbol() => Value::String("a function".into()),
            _ => serde_wasm_bindgen::from_value(value)?,
        };
        Ok((name, json))
    });
    Ok(Value::Object(pairs.collect::<Result<_>>()?))
}

/// Units: 64-bit numbers cross as JavaScript numbers; none here comes near 2^53.
fn to_js<T: Serialize + ?Sized>(value: &T) -> Result<JsValue> {
    let serializer = serde_wasm_bindgen::Serializer::new().serialize_maps_as_objects(true);
    Ok(value.serialize(&serializer)?)
}

/// The exception that an engine error is in JavaScript.
fn to_error(error: Error) -> JsValue {
    let thrown = js_sys::Error::new(&error.to_string());
    thrown.set_name("FiresideError");
    let details = to_js(&error).unwrap_or_default();
    for (name, value) in [("code", error.code().into()), ("details", details)] {
        // Setting a property of a fresh Error cannot fail.
        let _ = Reflect::set(&thrown, &name.into(), &value);
    }
    thrown.into()
}
