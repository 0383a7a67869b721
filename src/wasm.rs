//! The browser's view of the engine: each binding converts, calls, and converts back.
//!
//! Values cross as plain objects and typed arrays. An [`Error`] is thrown as a JavaScript `Error` of name
//! `FiresideError` with `code` and `details`; anything else that is thrown is a crash, after which the
//! instance must not be used again. The types that JavaScript sees are those that the attributes here name:
//! objects of ours by `tsify`, those of callers from `www/lib/shared/types.d.ts`. The build writes all of
//! them to `www/lib/shared/engine.d.ts`.
//!
//! Nothing here reads a clock or schedules: JavaScript drives each [`Run`](JsRun) a step at a time.

mod convert;
mod estimate;
mod info;
mod run;

#[cfg(target_feature = "atomics")]
mod threads;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use js_sys::Array;
use wasm_bindgen::prelude::*;

use crate::error::{Error, Result as EngineResult};
use crate::load::{ModelFiles, ModelLoader};
use crate::model::Model;
use crate::session::{Run, Session};
use crate::text::TokenizerConfig;
use convert::{
    OwnedFiles, Result, as_bytes, flag, load_options, only, reading_options, run_options, session_options, to_error, to_js, to_messages,
    to_turn, without,
};
use info::{BuildInfo, EngineModelInfo, EngineStats, SessionStats, TokenPiece};

pub use estimate::{JsEstimator, JsSha256};
pub use run::JsRun;
#[cfg(target_feature = "atomics")]
pub use threads::{Rehearsal, fail_pool, join_pool, limit_threads, start_pool, threads};

/// A panic becomes an exception that says what happened, instead of a bare `unreachable`.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|info| wasm_bindgen::throw_str(&info.to_string())));
}

/// What this build of the engine is: `{version, kernels}`.
#[wasm_bindgen(js_name = buildInfo, unchecked_return_type = "BuildInfo")]
pub fn build_info() -> Result<JsValue> {
    to_js(&BuildInfo { version: env!("CARGO_PKG_VERSION"), kernels: crate::kernels::NAME })
}

/// Whether `special_tokens_map.json` and `added_tokens.json` count beside this `tokenizer_config.json`. If
/// not, they need not be fetched.
#[wasm_bindgen(js_name = readsOlderFiles)]
pub fn reads_older_files(#[wasm_bindgen(js_name = tokenizerConfig)] tokenizer_config: Option<Vec<u8>>) -> bool {
    TokenizerConfig::reads_older_files(tokenizer_config.as_deref())
}

/// A model whose weights are still arriving.
#[wasm_bindgen(js_name = Loader)]
pub struct JsLoader(ModelLoader);

#[wasm_bindgen(js_class = Loader)]
impl JsLoader {
    /// Reads and checks the small files. Throws their errors before a byte of weights is needed.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "SmallFiles")] files: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "StorageOptions")] options: JsValue,
    ) -> Result<JsLoader> {
        let options = load_options(&options)?;
        let files = OwnedFiles::read_alone(&files)?;
        Model::loader(&files.borrow(), options).map(JsLoader).map_err(to_error)
    }

    /// A loader of a GGUF file, or of all its parts: `name` is that of the first. The file describes the
    /// model; what `files` has goes before it. Push it from its first byte.
    pub fn gguf(
        name: &str,
        #[wasm_bindgen(unchecked_param_type = "Partial<SmallFiles>")] files: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "StorageOptions")] options: JsValue,
    ) -> Result<JsLoader> {
        let (options, files) = (load_options(&options)?, OwnedFiles::read_alone(&files)?);
        ModelLoader::gguf(name, &files.borrow(), options).map(JsLoader).map_err(to_error)
    }

    /// The names of the weight files, in the order in which they must be pushed.
    pub fn files(&self) -> Vec<String> {
        self.0.files().to_vec()
    }

    /// Takes the next bytes of the present weight file, in chunks of any size.
    pub fn push(&mut self, chunk: &[u8]) -> Result<()> {
        self.0.push(chunk).map_err(to_error)
    }

    /// Ends the present weight file.
    #[wasm_bindgen(js_name = endFile)]
    pub fn end_file(&mut self) -> Result<()> {
        self.0.end_file().map_err(to_error)
    }

    /// The model, once all files have ended. The loader is used up.
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
    #[wasm_bindgen(unchecked_return_type = "EngineModelInfo")]
    pub fn info(&self) -> Result<JsValue> {
        to_js(&EngineModelInfo::of(&self.0))
    }

    /// A new session on this model, with `{system?, chatTemplateKwargs?}`.
    pub fn session(&self, #[wasm_bindgen(unchecked_optional_param_type = "SessionOptions")] options: JsValue) -> Result<JsSession> {
        Session::with_options(self.0.clone(), session_options(&options)?).map(Shared::idle).map_err(to_error)
    }

    /// The session that `Session.save` made these bytes of.
    pub fn restore(&self, bytes: &[u8]) -> Result<JsSession> {
        Session::restore(self.0.clone(), bytes).map(Shared::idle).map_err(to_error)
    }

    /// Computes a part of what the model's runs wait for: one token of each, or about `prefillWork` tokens
    /// times layers of prompts. Returns the tokens times layers of prompts, 0 for a pass over single tokens,
    /// and `undefined` if no run waits.
    pub fn step(&self, #[wasm_bindgen(js_name = prefillWork)] prefill_work: usize) -> Option<usize> {
        self.0.step(prefill_work)
    }

    /// The memory that the KV caches of all sessions take, and may take.
    #[wasm_bindgen(unchecked_return_type = "EngineStats")]
    pub fn stats(&self) -> Result<JsValue> {
        to_js(&EngineStats::of(&self.0))
    }

    /// The tokens of a text: taken literally, or with `{special: true}` as a prompt is (special tokens
    /// recognised and added).
    pub fn tokenize(
        &self,
        text: &str,
        #[wasm_bindgen(unchecked_optional_param_type = "{ special?: boolean }")] options: JsValue,
    ) -> Result<Vec<u32>> {
        let tokenizer = self.0.tokenizer();
        let tokens = if flag(&options, "special")?.unwrap_or(false) { tokenizer.encode_prompt(text) } else { tokenizer.encode_text(text) };
        tokens.map_err(to_error)
    }

    /// The tokens of a text, as [`tokenize`](Self::tokenize) gives them, each with the part of the text
    /// that it stands for.
    #[wasm_bindgen(unchecked_return_type = "TokenPiece[]")]
    pub fn pieces(
        &self,
        text: &str,
        #[wasm_bindgen(unchecked_optional_param_type = "{ special?: boolean }")] options: JsValue,
    ) -> Result<JsValue> {
        let special = flag(&options, "special")?.unwrap_or(false);
        to_js(&TokenPiece::all(&self.0, text, special).map_err(to_error)?)
    }

    /// The text of some tokens; special tokens are shown unless `{skipSpecial: true}`.
    pub fn detokenize(
        &self,
        tokens: &[u32],
        #[wasm_bindgen(unchecked_optional_param_type = "{ skipSpecial?: boolean }")] options: JsValue,
    ) -> Result<String> {
        self.0.tokenizer().decode(tokens, flag(&options, "skipSpecial")?.unwrap_or(false)).map_err(to_error)
    }
}

/// The options of messages that are read and not answered.
const READ_AHEAD: [&str; 3] = ["overflow", "chatTemplateKwargs", "chat_template_kwargs"];

/// A session, and whether one of its runs is under way.
struct Shared {
    session: Session,
    running: bool,
}

impl Shared {
    fn idle(session: Session) -> JsSession {
        JsSession(Rc::new(RefCell::new(Shared { session, running: false })))
    }
}

/// A text or a chat in progress.
#[wasm_bindgen(js_name = Session)]
pub struct JsSession(Rc<RefCell<Shared>>);

#[wasm_bindgen(js_class = Session)]
impl JsSession {
    /// Opens a session on a model that it does not share, from bytes that are all there. `weights` is one
    /// file or a list of files. The options are the further files, those of loading and those of
    /// `Model.session`.
    #[wasm_bindgen(js_name = fromBytes)]
    pub fn from_bytes(
        config: Vec<u8>,
        tokenizer: Vec<u8>,
        #[wasm_bindgen(unchecked_param_type = "Uint8Array | Uint8Array[]")] weights: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "Partial<SmallFiles> & StorageOptions & SessionOptions")] options: JsValue,
    ) -> Result<JsSession> {
        let small = OwnedFiles::read(&options)?;
        let files = ModelFiles { config: &config, tokenizer: &tokenizer, ..small.borrow() };
        const OF_SESSION: [&str; 3] = ["system", "chatTemplateKwargs", "chat_template_kwargs"];
        let rest = without(&options, &[&OwnedFiles::NAMES[..], &OF_SESSION].concat())?;
        let of_session = only(&options, &OF_SESSION)?;
        session_options(&of_session)?;
        let options = load_options(&rest)?;
        let weights = if Array::is_array(&weights) { Array::from(&weights) } else { Array::of1(&weights) };
        let mut loader = JsLoader(Model::loader(&files, options).map_err(to_error)?);
        for file in weights.iter() {
            loader.push(&as_bytes("weights", file)?)?;
            loader.end_file()?;
        }
        loader.finish()?.session(of_session)
    }

    /// Starts to continue a prompt.
    pub fn generate(&self, prompt: &str, #[wasm_bindgen(unchecked_optional_param_type = "RunOptions")] options: JsValue) -> Result<JsRun> {
        let options = run_options(&options)?;
        self.begin(|session| session.begin_generate(prompt, &options))
    }

    /// Starts to answer a turn of a chat: the user's next message, or a whole list of messages.
    pub fn chat(
        &self,
        #[wasm_bindgen(unchecked_param_type = "string | MessageInput[]")] turn: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "RunOptions")] options: JsValue,
    ) -> Result<JsRun> {
        let (turn, options) = (to_turn(&turn)?, run_options(&options)?);
        self.begin(|session| session.begin_chat(turn, &options))
    }

    /// Starts to answer the last question of the chat again.
    pub fn regenerate(&self, #[wasm_bindgen(unchecked_optional_param_type = "RunOptions")] options: JsValue) -> Result<JsRun> {
        let options = run_options(&options)?;
        self.begin(|session| session.begin_regenerate(&options))
    }

    /// Starts to read messages that become part of the chat; of the options, `overflow` and
    /// `chatTemplateKwargs`.
    pub fn append(
        &self,
        #[wasm_bindgen(unchecked_param_type = "MessageInput[]")] messages: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "AppendOptions")] options: JsValue,
    ) -> Result<JsRun> {
        let (messages, options) = (to_messages(&messages)?, reading_options(&options, &READ_AHEAD)?);
        self.begin(|session| session.begin_append(messages, &options))
    }

    /// The system prompt and the switches of the template that the session has now: `{system?,
    /// chatTemplateKwargs?}`.
    #[wasm_bindgen(unchecked_return_type = "SessionOptions")]
    pub fn options(&self) -> Result<JsValue> {
        to_js(self.0.borrow().session.options())
    }

    /// The chat so far.
    #[wasm_bindgen(unchecked_return_type = "Message[]")]
    pub fn messages(&self) -> Result<JsValue> {
        to_js(&self.0.borrow().session.messages())
    }

    /// Replaces the chat. The KV cache still serves as far as the new history begins with it.
    #[wasm_bindgen(js_name = setMessages)]
    pub fn set_messages(&self, #[wasm_bindgen(unchecked_param_type = "MessageInput[]")] messages: JsValue) -> Result<()> {
        let messages = to_messages(&messages)?;
        let session = &mut self.idle()?.session;
        session.model().template().check(&messages).map_err(to_error)?;
        session.set_messages(messages);
        Ok(())
    }

    /// Copies the session. Both share their KV cache until one of them goes on.
    #[wasm_bindgen(js_name = clone)]
    pub fn fork(&self) -> Result<JsSession> {
        Ok(Shared::idle(self.idle()?.session.clone()))
    }

    /// The session as bytes; `{cache: false}`: without the KV cache.
    pub fn save(&self, #[wasm_bindgen(unchecked_optional_param_type = "{ cache?: boolean }")] options: JsValue) -> Result<Vec<u8>> {
        let with_cache = flag(&options, "cache")?.unwrap_or(true);
        self.0.borrow().session.save(with_cache).map_err(to_error)
    }

    /// Forgets the chat and everything computed.
    pub fn reset(&self) -> Result<()> {
        self.idle()?.session.reset();
        Ok(())
    }

    /// What the session holds at present.
    #[wasm_bindgen(unchecked_return_type = "SessionStats")]
    pub fn stats(&self) -> Result<JsValue> {
        to_js(&SessionStats::of(&self.0.borrow().session))
    }

    /// Tokens by which a turn would lengthen the chat; of the options, `chatTemplateKwargs`.
    #[wasm_bindgen(js_name = measureContextUsage)]
    pub fn measure_context_usage(
        &self,
        #[wasm_bindgen(unchecked_param_type = "string | MessageInput[]")] turn: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "Omit<AppendOptions, 'overflow'>")] options: JsValue,
    ) -> Result<usize> {
        let (turn, options) = (to_turn(&turn)?, reading_options(&options, &READ_AHEAD[1..])?);
        self.0.borrow().session.measure_context_usage(turn, &options).map_err(to_error)
    }

    /// As `Model.info`.
    #[wasm_bindgen(unchecked_return_type = "EngineModelInfo")]
    pub fn info(&self) -> Result<JsValue> {
        to_js(&EngineModelInfo::of(self.0.borrow().session.model()))
    }

    fn begin(&self, begin: impl FnOnce(&mut Session) -> EngineResult<Run>) -> Result<JsRun> {
        let mut shared = self.idle()?;
        let run = begin(&mut shared.session).map_err(to_error)?;
        shared.running = true;
        Ok(JsRun::new(self.0.clone(), run))
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
