//! The families and how they differ: a row of a table for each, and the rules that the rows select.
//!
//! A new family is a new row. A new formula is a new field of the [`super::Plan`] as well.

use super::fields::Fields;
use super::{Activation, DIM_MAX};
use crate::error::Result;
use crate::json::show;
use serde_json::Value;

/// The families of models that are implemented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Llama 1 to 3.x, SmolLM 1 and 2, and the many models that are published as Llama.
    Llama,
    /// Mistral: Llama with a sliding window.
    Mistral,
    /// Qwen2 and 2.5: biases on the query, key and value projections.
    Qwen2,
    /// Qwen3: norms on queries and keys instead of the biases.
    Qwen3,
    /// SmolLM3: some layers without rope.
    SmolLm3,
}

/// What decides whether a family has a bias.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bias {
    Never,
    Always,
    /// From `attention_bias` or `mlp_bias`, false where absent.
    Field,
}

/// Which layers of a family have a sliding window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Windows {
    /// None.
    None,
    /// All, if `sliding_window` is a number or absent (then 4096); none if it is null.
    All,
    /// With `use_sliding_window`: those of `layer_types`, else those from `max_window_layers` on.
    Upper,
    /// With `use_sliding_window`: those of `layer_types`, else those without rope.
    WithoutRope,
}

/// A row of the table: what is fixed in a family, and the defaults of its `config.json`.
///
/// Source: transformers 5.23, `models/{llama,mistral,qwen2,qwen3,smollm3}/{configuration,modeling}_*.py`.
pub(super) struct Traits {
    pub architecture: &'static str,
    model_type: &'static str,
    /// `num_key_value_heads`; `None`: as many as heads.
    kv_heads: Option<usize>,
    /// `head_dim`; `None`: hidden / heads.
    head_dim: Option<usize>,
    pub context: usize,
    pub rope_theta: f64,
    pub tied: bool,
    pub bos: Option<i64>,
    qkv_bias: Bias,
    out_bias: Bias,
    mlp_bias: Bias,
    pub qk_norm: bool,
    pub windows: Windows,
    /// True when `no_rope_layers` may remove the rotation from layers.
    pub no_rope_layers: bool,
}

const LLAMA: Traits = Traits {
    architecture: "LlamaForCausalLM",
    model_type: "llama",
    kv_heads: None,
    head_dim: None,
    context: 2048,
    rope_theta: 10_000.0,
    tied: false,
    bos: Some(1),
    qkv_bias: Bias::Field,
    out_bias: Bias::Field,
    mlp_bias: Bias::Field,
    qk_norm: false,
    windows: Windows::None,
    no_rope_layers: false,
};

const MISTRAL: Traits = Traits {
    architecture: "MistralForCausalLM",
    model_type: "mistral",
    kv_heads: Some(8),
    context: 131_072,
    qkv_bias: Bias::Never,
    out_bias: Bias::Never,
    mlp_bias: Bias::Never,
    windows: Windows::All,
    ..LLAMA
};

const QWEN2: Traits = Traits {
    architecture: "Qwen2ForCausalLM",
    model_type: "qwen2",
    kv_heads: Some(32),
    context: 32_768,
    bos: None,
    qkv_bias: Bias::Always,
    out_bias: Bias::Never,
    mlp_bias: Bias::Never,
    windows: Windows::Upper,
    ..LLAMA
};

const QWEN3: Traits = Traits {
    architecture: "Qwen3ForCausalLM",
    model_type: "qwen3",
    head_dim: Some(128),
    qkv_bias: Bias::Field,
    out_bias: Bias::Field,
    qk_norm: true,
    ..QWEN2
};

const SMOLLM3: Traits = Traits {
    architecture: "SmolLM3ForCausalLM",
    model_type: "smollm3",
    kv_heads: Some(4),
    context: 32_768,
    rope_theta: 2_000_000.0,
    tied: true,
    bos: Some(128_000),
    windows: Windows::WithoutRope,
    no_rope_layers: true,
    ..LLAMA
};

/// The names of the field for the activation function of the MLP.
const ACTIVATIONS: [&str; 3] = ["hidden_act", "hidden_activation", "activation_function"];

/// Reads the activation function of the MLP, which is SiLU in every family here.
pub(super) fn activation(fields: &mut Fields) -> Result<Activation> {
    for name in ACTIVATIONS {
        // swish is another name of silu
        if let Some(value) = fields.take(name).filter(|value| !matches!(value.as_str(), Some("silu" | "swish"))) {
            return Err(fields.unsupported(name, "silu", show(&value)));
        }
    }
    Ok(Activation::Silu)
}

/// Which projections have a bias.
pub(super) struct Biases {
    pub qkv: bool,
    pub out: bool,
    pub mlp: bool,
}

impl Family {
    const ALL: [Family; 5] = [Family::Llama, Family::Mistral, Family::Qwen2, Family::Qwen3, Family::SmolLm3];

    pub(super) fn traits(self) -> &'static Traits {
        match self {
            Family::Llama => &LLAMA,
            Family::Mistral => &MISTRAL,
            Family::Qwen2 => &QWEN2,
            Family::Qwen3 => &QWEN3,
            Family::SmolLm3 => &SMOLLM3,
        }
    }

    /// The family's word in `model_type`: "llama".
    pub fn name(self) -> &'static str {
        self.traits().model_type
    }

    /// The family that `model_type` names, or `architectures` if that is absent.
    ///
    /// As in transformers, `architectures` does not count beside `model_type`, with one exception: if the
    /// config names a class of the publisher (`auto_map`) that no family here has, that class computes
    /// something else.
    pub(super) fn read(fields: &mut Fields) -> Result<Family> {
        let types = Self::ALL.map(Self::name).join(", ");
        let architectures = match fields.take("architectures") {
            Some(Value::Array(names)) => names,
            other => other.into_iter().collect(),
        };
        let spelt: Vec<Option<Family>> = architectures.iter().map(|name| name.as_str().and_then(Family::spelt)).collect();
        let refused = |fields: &Fields| {
            let known = Self::ALL.map(|family| family.traits().architecture).join(", ");
            Err(fields.unsupported("architectures", &known, show(&Value::Array(architectures.clone()))))
        };
        match fields.text("model_type")? {
            Some(model_type) => match Self::ALL.into_iter().find(|family| family.name() == model_type) {
                None => Err(fields.unsupported("model_type", &types, model_type)),
                Some(_) if fields.has("auto_map") && spelt.contains(&None) => refused(fields),
                Some(family) => {
                    if spelt.contains(&None) {
                        fields.put_back("architectures", Value::Array(architectures));
                    }
                    Ok(family)
                }
            },
            None => match spelt[..] {
                [] => Err(fields.bad("model_type", &format!("one of {types}"), "nothing".into())),
                [Some(family), ..] if spelt.iter().all(|&other| other == Some(family)) => Ok(family),
                _ => refused(fields),
            },
        }
    }

    /// The family of a class name, in any case: `LlamaForCausalLM`, `LLaMAForCausalLM`, `LlamaModel`.
    fn spelt(architecture: &str) -> Option<Family> {
        let name = architecture.to_ascii_lowercase();
        let stem = ["forcausallm", "model"].iter().find_map(|end| name.strip_suffix(end))?;
        Self::ALL.into_iter().find(|family| family.name() == stem)
    }

    pub(super) fn kv_heads(self, fields: &mut Fields, heads: usize) -> Result<usize> {
        let absent = !fields.has("num_key_value_heads");
        let default = self.traits().kv_heads.filter(|_| absent).unwrap_or(heads);
        let kv_heads = fields.size("num_key_value_heads", DIM_MAX)?.unwrap_or(default);
        if heads.is_multiple_of(kv_heads) {
            return Ok(kv_heads);
        }
        Err(fields.bad("num_key_value_heads", &format!("a divisor of the {heads} attention heads"), kv_heads.to_string()))
    }

    pub(super) fn head_dim(self, fields: &mut Fields, hidden: usize, heads: usize) -> Result<usize> {
        let absent = !fields.has("head_dim");
        let head_dim = match (fields.size("head_dim", DIM_MAX)?, self.traits().head_dim.filter(|_| absent)) {
            (Some(given), _) => given,
            (None, Some(default)) => default,
            (None, None) if hidden.is_multiple_of(heads) => hidden / heads,
            (None, None) => {
                let expected = format!("a multiple of the {heads} attention heads, or a `head_dim`");
                return Err(fields.bad("hidden_size", &expected, hidden.to_string()));
            }
        };
        if !head_dim.is_multiple_of(2) {
            return Err(fields.bad("head_dim", "an even number, as rope turns pairs", head_dim.to_string()));
        }
        if heads as u64 * head_dim as u64 > DIM_MAX as u64 {
            let got = format!("{heads} x {head_dim}");
            return Err(fields.bad("num_attention_heads x head_dim", &format!("at most {DIM_MAX}"), got));
        }
        Ok(head_dim)
    }

    pub(super) fn biases(self, fields: &mut Fields) -> Result<Biases> {
        let traits = self.traits();
        let attention = fields.boolean("attention_bias")?.unwrap_or(false);
        let mlp = fields.boolean("mlp_bias")?.unwrap_or(false);
        let refused = |field, bias| Err(fields.unsupported(field, &format!("false for {}", traits.architecture), format!("{bias}")));
        // Qwen2 always has its biases: transformers does not read the field.
        if attention && traits.qkv_bias == Bias::Never {
            return refused("attention_bias", attention);
        }
        if mlp && traits.mlp_bias == Bias::Never {
            return refused("mlp_bias", mlp);
        }
        let resolve = |rule, field| match rule {
            Bias::Never => false,
            Bias::Always => true,
            Bias::Field => field,
        };
        Ok(Biases {
            qkv: resolve(traits.qkv_bias, attention),
            out: resolve(traits.out_bias, attention),
            mlp: resolve(traits.mlp_bias, mlp),
        })
    }
}
