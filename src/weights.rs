//! Reads safetensors, in chunks and shards, into checked and owned weights.
//!
//! A [`Loader`] is fed the bytes of a model's files in order, in chunks of any size, as they come from a network or a disk. Each row
//! of a matrix goes into its final storage as soon as it is whole, so the memory at the peak is the stored weights, the
//! caller's chunk, and one row. What can be known to be wrong is said as early as it can be known: names of files when the
//! loader is made, names and shapes of tensors when a file's header is there, before its data is downloaded.

mod header;
mod index;
mod loader;
mod plan;
mod survey;

pub use loader::Loader;
pub use survey::Survey;

use crate::quant::{Dtype, Matrix};

/// A projection: `x weight^T + bias`.
#[derive(Debug, Clone)]
pub struct Linear {
    /// (out, in)
    pub weight: Matrix,
    /// (out)
    pub bias: Option<Vec<f32>>,
}

/// The weights of one decoder layer.
#[derive(Debug, Clone)]
pub struct Layer {
    /// (hidden)
    pub attn_norm: Vec<f32>,
    /// (heads * head_dim, hidden)
    pub q: Linear,
    /// (kv_heads * head_dim, hidden)
    pub k: Linear,
    /// (kv_heads * head_dim, hidden)
    pub v: Linear,
    /// (hidden, heads * head_dim)
    pub o: Linear,
    /// (head_dim)
    pub q_norm: Option<Vec<f32>>,
    /// (head_dim)
    pub k_norm: Option<Vec<f32>>,
    /// (hidden)
    pub mlp_norm: Vec<f32>,
    /// (inter, hidden)
    pub gate: Linear,
    /// (inter, hidden)
    pub up: Linear,
    /// (hidden, inter)
    pub down: Linear,
}

/// All weights of a model; there is one of each tensor its config asks for, in the shape it asks for.
#[derive(Debug, Clone)]
pub struct Weights {
    /// (vocab, hidden)
    pub embed: Matrix,
    /// One entry per layer.
    pub layers: Vec<Layer>,
    /// (hidden)
    pub norm: Vec<f32>,
    /// (vocab, hidden); `None`: the embedding serves.
    pub head: Option<Matrix>,
}

impl Linear {
    fn bytes(&self) -> u64 {
        self.weight.bytes() + self.bias.as_ref().map_or(0, |bias| 4 * bias.len() as u64)
    }
}

impl Weights {
    /// How most of them are stored: as the matrices of the layers are.
    pub fn dtype(&self) -> Dtype {
        self.layers.first().map_or(self.embed.dtype(), |layer| layer.down.weight.dtype())
    }

    /// Bytes of memory they take, padding included.
    pub fn bytes(&self) -> u64 {
        let vector = |values: &[f32]| 4 * values.len() as u64;
        let optional = |values: &Option<Vec<f32>>| values.as_deref().map_or(0, vector);
        let layer = |layer: &Layer| {
            let projections = [&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down];
            let norms = vector(&layer.attn_norm) + vector(&layer.mlp_norm) + optional(&layer.q_norm) + optional(&layer.k_norm);
            projections.iter().map(|linear| linear.bytes()).sum::<u64>() + norms
        };
        let matrices = self.embed.bytes() + self.head.as_ref().map_or(0, Matrix::bytes);
        matrices + vector(&self.norm) + self.layers.iter().map(layer).sum::<u64>()
    }
}
