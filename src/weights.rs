//! Reads safetensors, in chunks and shards, into checked and owned weights.
//!
//! A [`Loader`] is fed the bytes of a model's files in order, in chunks of any size, as they come from a network or a disk. Each row
//! of a matrix goes into its final storage as soon as it is whole, so the memory at the peak is the stored weights, the
//! caller's chunk, and one row. What can be known to be wrong is said as early as it can be known: names of files when the
//! loader is made, names and shapes of tensors when a file's header is there, before its data is downloaded.

mod checkpoint;
mod index;
mod loader;
mod manifest;
mod safetensors;
mod scan;

pub use loader::Loader;
pub use scan::Survey;

use sha2::{Digest, Sha256};

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

    /// The SHA-256 of what `more` tells, and of all norms and biases and of [`SAMPLED_ROWS`] rows of each matrix as they are stored: two models, or two formats of one, differ in
    /// it, and it takes a moment, where reading all weights would take as long as loading them.
    pub(crate) fn fingerprint(&self, more: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(more);
        let vector = |hash: &mut Sha256, values: &[f32]| values.iter().for_each(|value| hash.update(value.to_le_bytes()));
        let matrix = |hash: &mut Sha256, matrix: &Matrix| {
            hash.update(format!("{} {} {}", matrix.dtype(), matrix.rows(), matrix.cols()));
            let mut row = vec![0.0; matrix.cols()];
            for part in 0..SAMPLED_ROWS {
                matrix.row((matrix.rows() - 1) * part / (SAMPLED_ROWS - 1), &mut row);
                vector(hash, &row);
            }
        };
        matrix(&mut hash, &self.embed);
        for layer in &self.layers {
            vector(&mut hash, &layer.attn_norm);
            for linear in [&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down] {
                matrix(&mut hash, &linear.weight);
                vector(&mut hash, linear.bias.as_deref().unwrap_or_default());
            }
            vector(&mut hash, layer.q_norm.as_deref().unwrap_or_default());
            vector(&mut hash, layer.k_norm.as_deref().unwrap_or_default());
            vector(&mut hash, &layer.mlp_norm);
        }
        vector(&mut hash, &self.norm);
        self.head.iter().for_each(|head| matrix(&mut hash, head));
        format!("{:x}", hash.finalize())
    }
}

/// Enough that any training has touched some of them.
const SAMPLED_ROWS: usize = 4;
