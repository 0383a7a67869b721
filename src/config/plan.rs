//! The plan of a network: what the forward pass computes, layer by layer, as data.
//!
//! A family's row (`family.rs`) and its `config.json` make a [`Plan`]. The forward pass walks the plan and
//! does not know families. A saved session belongs to one plan: its fingerprint covers every field here.
//!
//! The plan holds what the families of today need. A family that needs more (a norm after the mixer, a cap
//! on scores, a factor on the residual) adds a field here, and the step that reads it.

use super::rope::RopePlan;
use crate::quant::{KV_BLOCK, KvDtype};

/// What a network computes.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Entries of the vocabulary.
    pub vocab: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Width inside the MLP.
    pub inter: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head; even.
    pub head_dim: usize,
    /// The most positions the model was made for.
    pub context: usize,
    /// True when the output projection is the embedding.
    pub tied: bool,
    /// The rotations that the layers use, each once.
    pub ropes: Vec<RopePlan>,
    /// The layers, in order.
    pub layers: Vec<LayerPlan>,
    /// The norm between the last layer and the output projection.
    pub norm: Norm,
}

impl Plan {
    /// Bytes by which the KV cache grows with each token, until the window of a layer is full: keys and
    /// values of every layer.
    pub fn kv_bytes_per_token(&self, dtype: KvDtype) -> u64 {
        self.layers.len() as u64 * self.kv_heads as u64 * dtype.position_bytes(self.head_dim)
    }

    /// Bytes of the KV cache of a text. A layer with a window keeps its window, up to a block before it that
    /// the window begins in, and a block that lets a short answer be removed.
    pub fn kv_bytes(&self, dtype: KvDtype, tokens: usize) -> u64 {
        let kept = |layer: &LayerPlan| {
            let Mixer::Attention(attention) = &layer.mixer;
            attention.window.map_or(tokens, |window| tokens.min(window.saturating_add(2 * KV_BLOCK))) as u64
        };
        let position_bytes = self.kv_heads as u64 * dtype.position_bytes(self.head_dim);
        self.layers.iter().map(kept).sum::<u64>().saturating_mul(position_bytes)
    }
}

/// One decoder layer: `x += mixer(norm(x))`, then `x += mlp(norm(x))`.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerPlan {
    /// The norm before the mixer.
    pub mixer_norm: Norm,
    /// The step in which positions see each other.
    pub mixer: Mixer,
    /// The norm before the MLP.
    pub mlp_norm: Norm,
    /// The step in which each position is computed alone.
    pub mlp: Mlp,
}

/// Root mean square normalisation, times a weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norm {
    /// Added to the mean square.
    pub eps: f32,
}

/// How the positions of a text see each other.
#[derive(Debug, Clone, PartialEq)]
pub enum Mixer {
    /// Causal attention.
    Attention(Attention),
}

/// Causal attention with `heads` query heads over `kv_heads` key and value heads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attention {
    /// The norm of each head of queries and keys, before they are rotated.
    pub qk_norm: Option<Norm>,
    /// Which of [`Plan::ropes`] rotates queries and keys; `None`: the layer has no positions.
    pub rope: Option<usize>,
    /// A query sees this many positions, itself included; `None`: all before it.
    pub window: Option<usize>,
    /// The factor on each score.
    pub scale: f32,
    /// True when the query, key and value projections have a bias.
    pub qkv_bias: bool,
    /// True when the output projection has a bias.
    pub out_bias: bool,
}

/// The gated perceptron: `down(activation(gate(x)) * up(x))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mlp {
    /// What the gate goes through.
    pub activation: Activation,
    /// True when the three projections have a bias.
    pub bias: bool,
}

/// The nonlinear function of an MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`, also called swish.
    Silu,
}
