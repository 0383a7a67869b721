//! What JavaScript is told of the engine, of a model and of a session.
//!
//! The TypeScript of these objects is derived from them (`tsify`) and adds nothing to the wasm: it leaves
//! the module with the other custom sections. `scripts/build.mjs` writes it to
//! `www/lib/shared/engine.d.ts`.

use serde::Serialize;
use serde_json::{Map, Value};
use tsify::Tsify;
use wasm_bindgen::prelude::*;

use crate::model::Model;
use crate::options::Settings;
use crate::session::Session;
use crate::template::TemplateSource;

/// The types that `www/lib` declares, for the declarations of this crate to name.
#[wasm_bindgen(typescript_custom_section)]
const IMPORTS: &str = "import type { AppendOptions, GenerateAliases, GenerateOptions, Message, MessageInput, SamplingDefaults, \
SessionOptions, StorageOptions } from './types.d.ts';";

/// The engine that was built.
#[derive(Serialize, Tsify)]
pub(super) struct BuildInfo {
    /// The version of the crate.
    pub(super) version: &'static str,
    /// The instructions that the kernels use.
    pub(super) kernels: &'static str,
}

/// What the engine knows of a model.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub(super) struct EngineModelInfo<'a> {
    family: &'static str,
    parameters: u64,
    vocab: usize,
    layers: usize,
    hidden: usize,
    /// The most tokens that a session can hold.
    context: usize,
    /// How the weights are stored.
    dtype: String,
    weight_bytes: u64,
    kv_bytes_per_token: u64,
    /// Whose template `chat` uses. `broken`: the model's cannot be used. `chat` then rejects with
    /// BAD_TEMPLATE until you load the model with a template of yours.
    #[tsify(type = "'model' | 'chatml' | 'broken'")]
    chat_template: &'static str,
    /// What the chat template reads besides the messages: names for `chatTemplateKwargs`.
    chat_template_kwargs: Vec<String>,
    /// The fields of a message that the chat template reads: `role`, `content`, perhaps `name` and
    /// `reasoning_content`.
    message_fields: Vec<&'static str>,
    /// The instructions that the kernels use.
    kernels: &'static str,
    /// What a run uses where the caller says nothing.
    #[tsify(type = "SamplingDefaults")]
    defaults: Map<String, Value>,
    /// The fields of `config.json` and `generation_config.json` that are not used. A file that cannot be
    /// read is listed by its name. `Model.load` warns of them once.
    ignored_config: Vec<String>,
    /// Tensors of the weight files that the model does not read. Numbers are written `*`, with a count:
    /// `mtp.layers.*.norm.weight (2)`.
    #[tsify(type = "string[]")]
    ignored_tensors: &'a [String],
}

impl EngineModelInfo<'_> {
    pub(super) fn of(model: &Model) -> EngineModelInfo<'_> {
        let config = model.config();
        EngineModelInfo {
            family: config.family.name(),
            parameters: config.plan.parameters(),
            vocab: config.plan.vocab,
            layers: config.plan.layers.len(),
            hidden: config.plan.hidden,
            context: config.plan.context,
            dtype: model.weights().dtype().to_string(),
            weight_bytes: model.weights().bytes(),
            kv_bytes_per_token: config.plan.kv_bytes_per_token(model.kv_dtype()),
            chat_template: match model.template().source() {
                TemplateSource::Model => "model",
                TemplateSource::ChatMl => "chatml",
                TemplateSource::Broken => "broken",
            },
            chat_template_kwargs: model.template().switches(),
            message_fields: model.template().message_fields(),
            kernels: crate::kernels::NAME,
            defaults: Settings::of(model.generation()).defaults(),
            ignored_config: model.ignored_config(),
            ignored_tensors: model.unread_tensors(),
        }
    }
}

/// The memory that the sessions of a model take together. Units: bytes.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub(super) struct EngineStats {
    /// Of their KV caches. What several sessions share is counted once.
    kv_bytes: u64,
    /// What they may take.
    #[tsify(optional)]
    kv_bytes_max: Option<u64>,
    /// Of the whole engine.
    wasm_bytes: u64,
}

impl EngineStats {
    pub(super) fn of(model: &Model) -> EngineStats {
        let budget = model.kv_budget();
        EngineStats { kv_bytes: budget.used(), kv_bytes_max: budget.max(), wasm_bytes: wasm_bytes() }
    }
}

/// What a session holds at present. Units: tokens and bytes.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionStats {
    /// Tokens in the context.
    context_usage: usize,
    /// The most tokens that it can hold.
    context_window: usize,
    /// Of its KV cache.
    kv_bytes: u64,
    /// The part of its KV cache that it shares with other sessions, since it was cloned.
    shared_bytes: u64,
    /// Of the whole engine.
    wasm_bytes: u64,
}

impl SessionStats {
    pub(super) fn of(session: &Session) -> SessionStats {
        SessionStats {
            context_usage: session.context_usage(),
            context_window: session.model().config().plan.context,
            kv_bytes: session.kv_bytes(),
            shared_bytes: session.shared_bytes(),
            wasm_bytes: wasm_bytes(),
        }
    }
}

/// The memory of this instance. Units: bytes.
fn wasm_bytes() -> u64 {
    core::arch::wasm32::memory_size(0) as u64 * 65_536
}

/// A token of a text, and the part of the text that it stands for. Units: UTF-16 code units.
#[derive(Serialize, Tsify)]
pub(super) struct TokenPiece<'a> {
    id: u32,
    text: &'a str,
    start: usize,
    end: usize,
}

impl TokenPiece<'_> {
    /// The tokens of a text. `special`: as those of a prompt.
    pub(super) fn all<'a>(model: &Model, text: &'a str, special: bool) -> crate::error::Result<Vec<TokenPiece<'a>>> {
        let pieces = model.tokenizer().encode_with_offsets(text, special)?;
        // Counted from the offset before, forwards or backwards: tokens of one character have the same
        // range.
        let (mut byte, mut unit) = (0, 0);
        let mut utf16 = |at: usize| {
            let units = |range: std::ops::Range<usize>| text[range].encode_utf16().count();
            unit = if at < byte { unit - units(at..byte) } else { unit + units(byte..at) };
            byte = at;
            unit
        };
        let objects = pieces.iter().map(|piece| TokenPiece {
            id: piece.id,
            text: &text[piece.start..piece.end],
            start: utf16(piece.start),
            end: utf16(piece.end),
        });
        Ok(objects.collect())
    }
}
