//! What JavaScript is told of a model.

use serde::Serialize;

use crate::model::Model;
use crate::options::Settings;
use crate::template::TemplateSource;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ModelInfo<'a> {
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
    chat_template_kwargs: Vec<String>,
    message_fields: Vec<&'static str>,
    kernels: &'static str,
    defaults: Defaults,
    ignored_config: Vec<String>,
    ignored_tensors: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Defaults {
    max_tokens: usize,
    min_tokens: usize,
    temperature: f32,
    top_k: usize,
    top_p: f32,
    min_p: f32,
    typical_p: f32,
    repetition_penalty: f32,
}

impl ModelInfo<'_> {
    pub(super) fn of(model: &Model) -> ModelInfo<'_> {
        let config = model.config();
        let Settings { max_tokens, min_tokens, temperature, top_k, top_p, min_p, typical_p, repetition_penalty, .. } =
            Settings::of(model.generation());
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
                TemplateSource::Broken => "broken",
            },
            chat_template_kwargs: model.template().switches(),
            message_fields: model.template().message_fields(),
            kernels: crate::kernels::NAME,
            defaults: Defaults { max_tokens, min_tokens, temperature, top_k, top_p, min_p, typical_p, repetition_penalty },
            ignored_config: model.ignored_config(),
            ignored_tensors: model.passed_over(),
        }
    }
}
