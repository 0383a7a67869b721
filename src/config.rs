//! Reads `config.json` and `generation_config.json`: the shape of a model and the formulas it asks for.
//!
//! The dictionary of dimensions, the same words in the whole crate:
//!
//! | name       | meaning                                              | in `config.json`          |
//! |------------|------------------------------------------------------|---------------------------|
//! | `vocab`    | entries of the vocabulary, rows of the embedding     | `vocab_size`              |
//! | `hidden`   | width of the residual stream                         | `hidden_size`             |
//! | `inter`    | width of the MLP between its up and down projections | `intermediate_size`       |
//! | `layers`   | number of decoder layers                             | `num_hidden_layers`       |
//! | `heads`    | query heads                                          | `num_attention_heads`     |
//! | `kv_heads` | key and value heads; each serves `heads / kv_heads`  | `num_key_value_heads`     |
//! | `head_dim` | width of a head                                      | `head_dim`                |
//! | `context`  | the most positions the model was made for            | `max_position_embeddings` |
//! | `seq`      | positions in one call                                |                           |
//! | `past`     | positions already in the cache                       |                           |
//! | `total`    | `past + seq`                                         |                           |
//! | `pos`      | one position, counted from 0                         |                           |
//!
//! The one rule: a field that changes the computation is honoured, or refused by name. Known fields that do
//! not change it are skipped. Unknown fields are listed in [`ModelConfig::ignored`].
//!
//! An absent field means what it means in transformers 5.23 (`models/*/configuration_*.py`), except that a
//! shape is never guessed. Both spellings are read: that of transformers 4 (`rope_theta`, `rope_scaling`,
//! `torch_dtype`) and that of transformers 5 (`rope_parameters`, `dtype`, `layer_types`).

mod family;
mod fields;
mod generation;
mod known;
mod layers;
mod plan;
mod quantization;
mod rope;

pub(crate) use family::Family;
pub use generation::GenerationConfig;
pub(crate) use plan::Activation;
pub use plan::{Attention, LayerPlan, Mixer, Mlp, Norm, Plan};
pub(crate) use quantization::Quantization;
pub use rope::{Llama3Scaling, RopePlan, RopeScaling};

use std::collections::HashSet;

use crate::error::Result;
use crate::quant::Dtype;
use fields::Fields;
use generation::ENDS_MAX;
use layers::Kind;

/// The largest dimension that is accepted, far above any published model. Products of two of them fit into
/// 64 bits.
const DIM_MAX: usize = 1 << 20;
/// The largest vocabulary that is accepted.
const VOCAB_MAX: usize = 1 << 24;
/// The largest number of layers that is accepted.
const LAYERS_MAX: usize = 1 << 10;
/// The largest context that is accepted.
const CONTEXT_MAX: usize = 1 << 30;

/// The shape of a model and the formulas it asks for.
///
/// Every number in it is checked: positive, within the limits above, and consistent with the others.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The family of the model.
    pub family: Family,
    /// What the network computes.
    pub plan: Plan,
    /// The token a text begins with.
    pub bos: Option<u32>,
    /// The tokens that end a text if there is no `generation_config.json`. Defaults of transformers'
    /// configuration classes are not used, because `generate` there reads ids from files only.
    pub eos: Vec<u32>,
    /// The dtype of the published weights, if the file has it.
    pub dtype: Option<Dtype>,
    /// How MLX packed the matrices, if it did.
    pub(crate) quantization: Option<Quantization>,
    /// What was not used, sorted: unknown fields, and ids outside the vocabulary.
    pub ignored: Vec<String>,
}

impl ModelConfig {
    /// Reads `config.json`.
    ///
    /// Errors, each with the field: `NOT_A_MODEL_FILE`; `BAD_FILE` if a field is missing, not a number, out
    /// of range, or contradicts another; `UNSUPPORTED_MODEL` if a field asks for a computation that is not
    /// implemented.
    pub fn from_json(bytes: &[u8]) -> Result<ModelConfig> {
        let mut fields = Fields::parse("config.json", bytes)?;
        let family = Family::read(&mut fields)?;
        let quantization = quantization::read(&mut fields)?;
        known::refuse_unsupported(&mut fields)?;
        let activation = family::activation(&mut fields)?;

        let vocab = fields.required("vocab_size", VOCAB_MAX)?;
        let hidden = fields.required("hidden_size", DIM_MAX)?;
        let inter = fields.required("intermediate_size", DIM_MAX)?;
        let layers = fields.required("num_hidden_layers", LAYERS_MAX)?;
        let heads = fields.required("num_attention_heads", DIM_MAX)?;
        let kv_heads = family.kv_heads(&mut fields, heads)?;
        let head_dim = family.head_dim(&mut fields, hidden, heads)?;
        let context = fields.size("max_position_embeddings", CONTEXT_MAX)?.unwrap_or(family.traits().context);
        let rope = rope::read(&mut fields, family.traits().rope_theta, head_dim, context)?;
        let attention = family.attention(&mut fields, layers, context)?;
        let biases = family.biases(&mut fields)?;
        let rms_eps = fields.number("rms_norm_eps", "a number above 0 and at most 1", |eps| eps as f32 > 0.0 && eps <= 1.0)?;
        let tied = fields.boolean("tie_word_embeddings")?.unwrap_or(family.traits().tied);
        let names_bos = fields.has("bos_token_id");
        let bos = fields.token_ids("bos_token_id", family.traits().bos)?;
        let eos = fields.token_ids("eos_token_id", None)?;
        let dtype = read_dtype(&mut fields)?;
        let dtype = quantization.as_ref().map(Quantization::dtype).or(dtype);

        let (bos, bos_outside) = within_vocab("bos_token_id", bos, vocab);
        let (eos, mut ignored) = within_vocab("eos_token_id", eos, vocab);
        // A default id is not in the file, so it is not listed.
        ignored.extend(bos_outside.into_iter().filter(|_| names_bos));
        ignored.extend(known::unknown(fields));
        ignored.sort();

        let norm = Norm { eps: rms_eps.unwrap_or(1e-6) as f32 }; // the default is the same in all families
        let layer = |kind: &Kind| LayerPlan {
            mixer_norm: norm,
            mixer: Mixer::Attention(Attention {
                qk_norm: family.traits().qk_norm.then_some(norm),
                rope: kind.rope.then_some(0),
                window: kind.window,
                scale: 1.0 / (head_dim as f32).sqrt(),
                qkv_bias: biases.qkv,
                out_bias: biases.out,
            }),
            mlp_norm: norm,
            mlp: Mlp { activation, bias: biases.mlp },
        };
        let plan = Plan {
            vocab,
            hidden,
            inter,
            heads,
            kv_heads,
            head_dim,
            context,
            tied,
            ropes: vec![rope],
            layers: attention.iter().map(layer).collect(),
            norm,
        };
        Ok(ModelConfig { family, plan, bos: bos.first().copied(), eos, dtype, quantization, ignored })
    }
}

/// Reads `dtype` of transformers 5 or `torch_dtype` of transformers 4. Other words than the three known ones
/// are ignored, because the weight files name their own dtypes.
fn read_dtype(fields: &mut Fields) -> Result<Option<Dtype>> {
    let new = fields.text("dtype")?;
    let old = fields.text("torch_dtype")?;
    Ok(match new.or(old).as_deref().map(|name| name.trim_start_matches("torch.")) {
        Some("float32") => Some(Dtype::F32),
        Some("float16") => Some(Dtype::F16),
        Some("bfloat16") => Some(Dtype::Bf16),
        _ => None,
    })
}

/// Returns the ids inside the vocabulary, each once, and a line about each of the others. They are no error:
/// a small model cut from a large one often keeps its ids, and transformers loads such a config with a
/// warning.
fn within_vocab(field: &str, ids: Vec<i64>, vocab: usize) -> (Vec<u32>, Vec<String>) {
    let mut seen = HashSet::new();
    let ids = ids.into_iter().filter(|id| seen.insert(*id));
    let (inside, outside): (Vec<i64>, Vec<i64>) = ids.partition(|&id| (0..vocab as i64).contains(&id));
    // Some configs write -1 for no token.
    let mut ignored: Vec<String> =
        outside.iter().filter(|&&id| id >= 0).map(|id| format!("{field}: {id} is outside the vocabulary of {vocab}")).collect();
    if inside.len() > ENDS_MAX {
        ignored.push(format!("{field}: it names {} tokens, of which the first {ENDS_MAX} hold", inside.len()));
    }
    (inside.into_iter().take(ENDS_MAX).map(|id| id as u32).collect(), ignored)
}

#[cfg(test)]
mod tests;
