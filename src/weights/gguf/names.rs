//! The architectures of GGUF files, and how they name tensors.
//!
//! A further family is a row of [`ARCHITECTURES`]; if it has other tensors, also a list of their names.

use super::super::bad;
use super::super::checkpoint::{Entry, Header, ROPE_FACTORS, RowOrder};
use super::metadata::Metadata;
use crate::error::Result;

/// An architecture, as `general.architecture` names it.
#[derive(Debug)]
pub(super) struct Architecture {
    pub name: &'static str,
    /// The `model_type` of its config.json.
    pub model_type: &'static str,
    /// True if files hold the rows of queries and keys in the order of [`RowOrder::Interleaved`].
    interleaved: bool,
    /// The pre-tokenizer of files that name none.
    pub pre: &'static str,
    /// The names of the tensors of a layer.
    in_layer: &'static [Name],
}

/// The name of a tensor in GGUF and in the layout of Hugging Face.
type Name = (&'static str, &'static str);

/// Source: llama.cpp, `conversion/llama.py` (`LlamaModel.permute`, whose rows SmolLM3 inherits).
const ARCHITECTURES: &[Architecture] = &[
    Architecture { name: "llama", model_type: "llama", interleaved: true, pre: "default", in_layer: DECODER },
    Architecture { name: "qwen2", model_type: "qwen2", interleaved: false, pre: "qwen2", in_layer: DECODER },
    Architecture { name: "qwen3", model_type: "qwen3", interleaved: false, pre: "qwen2", in_layer: DECODER },
    Architecture { name: "smollm3", model_type: "smollm3", interleaved: true, pre: "smaug-bpe", in_layer: DECODER },
];

/// The tensors outside the layers.
///
/// Source: gguf 0.19, `gguf/tensor_mapping.py`.
const OUTSIDE: &[Name] = &[("token_embd", "model.embed_tokens"), ("output_norm", "model.norm"), ("output", "lm_head")];

/// The tensors of a layer of a decoder with gated perceptrons.
const DECODER: &[Name] = &[
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// The tensor of the rotary factors.
const FACTORS: &str = "rope_freqs.weight";

impl Architecture {
    /// The architecture of a file.
    ///
    /// Errors: `BAD_FILE` if it names none, `UNSUPPORTED_MODEL` if it names another.
    pub(super) fn of(metadata: &Metadata) -> Result<&'static Architecture> {
        const KEY: &str = "general.architecture";
        let known = || ARCHITECTURES.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
        let Some(name) = metadata.text(KEY)? else { return Err(metadata.bad(KEY, &format!("one of {}", known()), "nothing".into())) };
        ARCHITECTURES.iter().find(|row| row.name == name).ok_or_else(|| metadata.unsupported(KEY, &known(), name.into()))
    }

    /// The name of a tensor in the layout of Hugging Face.
    fn published(&self, name: &str) -> Option<String> {
        if name == FACTORS {
            return Some(ROPE_FACTORS.into());
        }
        let (stem, end) = name.rsplit_once('.')?;
        let find = |names: &[Name], stem: &str| names.iter().find(|(own, _)| *own == stem).map(|(_, published)| *published);
        if let Some(published) = find(OUTSIDE, stem) {
            return Some(format!("{published}.{end}"));
        }
        let (layer, stem) = stem.strip_prefix("blk.")?.split_once('.')?;
        // A number that is written otherwise would be a second name of one tensor.
        layer.parse::<u32>().ok().filter(|number| number.to_string() == layer)?;
        find(self.in_layer, stem).map(|published| format!("model.layers.{layer}.{published}.{end}"))
    }
}

/// The name in GGUF of a tensor, for errors.
pub(in super::super) fn in_file(published: &str) -> Option<String> {
    let (stem, end) = published.rsplit_once('.')?;
    let find = |names: &[Name], stem: &str| names.iter().find(|(_, published)| *published == stem).map(|(own, _)| *own);
    if let Some(own) = find(OUTSIDE, stem) {
        return Some(format!("{own}.{end}"));
    }
    let (layer, stem) = stem.strip_prefix("model.layers.")?.split_once('.')?;
    find(DECODER, stem).map(|own| format!("blk.{layer}.{own}.{end}"))
}

/// How a file lays out its heads: what is needed to name and order the tensors of all parts of a model.
#[derive(Debug, Clone)]
pub(in super::super) struct Naming {
    architecture: &'static Architecture,
    heads: u64,
    kv_heads: u64,
}

impl Naming {
    /// Errors: those of [`Architecture::of`]; `BAD_FILE` if a number of heads is missing.
    pub(in super::super) fn of(metadata: &Metadata) -> Result<Naming> {
        let architecture = Architecture::of(metadata)?;
        let heads = super::config::heads(metadata, architecture.name)?;
        Ok(Naming { architecture, heads: heads.heads, kv_heads: heads.kv_heads })
    }

    /// Gives the tensors of a header their published names and the order of their rows.
    ///
    /// Errors: `BAD_FILE` if the rows of queries or keys are not whole heads.
    pub(in super::super) fn apply(&self, file: &str, header: &mut Header) -> Result<()> {
        for entry in &mut header.entries {
            entry.published = self.architecture.published(&entry.name);
            entry.order = self.order(file, entry)?;
        }
        Ok(())
    }

    fn order(&self, file: &str, entry: &Entry) -> Result<RowOrder> {
        let of_heads = |ends: [&str; 2]| entry.published.as_deref().is_some_and(|name| ends.iter().any(|end| name.ends_with(end)));
        let heads = if of_heads(["q_proj.weight", "q_proj.bias"]) {
            self.heads
        } else if of_heads(["k_proj.weight", "k_proj.bias"]) {
            self.kv_heads
        } else {
            return Ok(RowOrder::Same);
        };
        if !self.architecture.interleaved {
            return Ok(RowOrder::Same);
        }
        let rows = entry.shape.first().copied().unwrap_or(0);
        match usize::try_from(rows / heads.max(1)) {
            Ok(head_dim) if rows % heads.max(1) == 0 && head_dim > 0 && head_dim.is_multiple_of(2) => {
                Ok(RowOrder::Interleaved { head_dim })
            }
            _ => Err(bad(file, &format!("tensor {}", entry.name), &format!("rows of {heads} heads of even width"), format!("{rows} rows"))),
        }
    }
}
