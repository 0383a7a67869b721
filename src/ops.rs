//! The steps of a transformer layer, as safe Rust over the kernels: normalise, project, rotate, attend, gate.
//!
//! Every function works on whole activations of `seq` positions, row-major; the loops over positions and heads are
//! here, the loops over numbers are in `kernels`.

use crate::cache::Cache;
use crate::config::{Llama3Scaling, ModelConfig};
use crate::kernels::{self, Panel};
use crate::weights::Linear;

/// Root mean square normalisation of every row. Shapes: `x`, `out` (rows, weight.len()).
///
/// Source: Zhang & Sennrich 2019, "Root Mean Square Layer Normalization", eq. 4.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    for (x, out) in x.chunks_exact(weight.len()).zip(out.chunks_exact_mut(weight.len())) {
        kernels::rms_norm(x, weight, eps, out);
    }
}

/// Root mean square normalisation of every head in place. Shapes: `x` (rows, head_dim), `weight` (head_dim).
///
/// `row` is scratch of head_dim. Source: Qwen3 normalises queries and keys so before it rotates them.
pub fn head_norm(x: &mut [f32], weight: &[f32], eps: f32, row: &mut [f32]) {
    let row = &mut row[..weight.len()];
    for head in x.chunks_exact_mut(weight.len()) {
        kernels::rms_norm(head, weight, eps, row);
        head.copy_from_slice(row);
    }
}

/// `out = x W^T + b`. Shapes: `x` (seq, in), `out` (seq, out).
pub fn linear(linear: &Linear, x: &[f32], out: &mut [f32], panel: &mut Panel) {
    kernels::matmul(&linear.weight, x, out, panel);
    if let Some(bias) = &linear.bias {
        for row in out.chunks_exact_mut(bias.len()) {
            kernels::add(row, bias);
        }
    }
}

/// Rotary position embedding: the angle of each pair of lanes at each position.
///
/// Source: Su et al. 2021, "RoFormer", section 3.2, in the layout of published Llama files, where lane i is paired with
/// lane i + head_dim / 2. The angles are products of f32 numbers, as transformers computes them, because at position
/// 10,000 a more exact angle is a different one.
#[derive(Debug)]
pub struct Rope {
    inv_freq: Vec<f32>, // (head_dim / 2)
    cos: Vec<f32>,      // (seq, head_dim / 2)
    sin: Vec<f32>,      // (seq, head_dim / 2)
}

impl Rope {
    /// The frequencies of this model, scaled for long contexts where its config says so.
    pub fn new(config: &ModelConfig) -> Rope {
        let half = config.head_dim / 2;
        let inv_freq = (0..half).map(|i| {
            let exponent = (2 * i) as f32 / config.head_dim as f32;
            let freq = 1.0 / libm::pow(config.rope_theta, f64::from(exponent)) as f32;
            match &config.rope_scaling {
                Some(scaling) => stretched(freq, scaling),
                None => freq,
            }
        });
        Rope { inv_freq: inv_freq.collect(), cos: Vec::new(), sin: Vec::new() }
    }

    /// Computes the angles of the positions `first..first + seq`; allocates only when `seq` is larger than ever before.
    pub fn prepare(&mut self, first: usize, seq: usize) {
        self.cos.clear();
        self.sin.clear();
        for pos in first..first + seq {
            for &freq in &self.inv_freq {
                let (sin, cos) = libm::sincos(f64::from(pos as f32 * freq));
                self.cos.push(cos as f32);
                self.sin.push(sin as f32);
            }
        }
    }

    /// Rotates every head of every prepared position. Shapes: `x` (seq, heads, head_dim).
    pub fn rotate(&self, x: &mut [f32], heads: usize) {
        let half = self.inv_freq.len();
        let angles = self.cos.chunks_exact(half).zip(self.sin.chunks_exact(half));
        for (row, (cos, sin)) in x.chunks_exact_mut(heads * 2 * half).zip(angles) {
            for head in row.chunks_exact_mut(2 * half) {
                kernels::rotate(head, cos, sin);
            }
        }
    }
}

/// The frequency of Llama 3.1 and later: low ones divided by `factor`, high ones kept, those between blended.
///
/// Source: transformers, `_compute_llama3_parameters` in modeling_rope_utils.py, in its own f32 arithmetic.
fn stretched(freq: f32, scaling: &Llama3Scaling) -> f32 {
    let [factor, low, high] = [scaling.factor, scaling.low_freq_factor, scaling.high_freq_factor].map(|v| v as f32);
    let original = scaling.original_context as f32;
    let wavelength = std::f32::consts::TAU / freq;
    if wavelength > original / low {
        freq / factor
    } else if wavelength < original / high {
        freq
    } else {
        let smooth = (original / wavelength - low) / (high - low);
        (1.0 - smooth) * freq / factor + smooth * freq
    }
}

/// The heads of one layer's attention and what each position may see.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Query heads.
    pub heads: usize,
    /// KV heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Numbers per head.
    pub head_dim: usize,
    /// How many positions a position sees, itself included; `None`: all before it.
    pub window: Option<usize>,
}

/// Causal attention of `seq` new positions over everything in the cache. Shapes: `q`, `out` (seq, heads, head_dim).
///
/// ```text
/// for each head, for each new position:
///     scores = K q / sqrt(head_dim)   over the positions it may see
///     out    = softmax(scores)^T V
/// ```
///
/// The keys and values of the new positions must be written, not yet counted. `scores` is scratch that grows with the text.
/// Source: Vaswani et al. 2017, section 3.2.1; grouped heads: Ainslie et al. 2023; window: Jiang et al. 2023 (Mistral 7B).
pub fn attention(q: &[f32], cache: &Cache, layer: usize, shape: Heads, scores: &mut Vec<f32>, out: &mut [f32]) {
    let Heads { heads, kv_heads, head_dim, window } = shape;
    let (past, width) = (cache.len(), heads * head_dim);
    let seq = q.len() / width;
    let scale = 1.0 / (head_dim as f32).sqrt();
    for head in 0..heads {
        let kv_head = head / (heads / kv_heads);
        for new in 0..seq {
            let total = past + new + 1;
            let first = total - total.min(window.unwrap_or(total));
            scores.clear();
            scores.resize(total - first, 0.0);
            let lane = new * width + head * head_dim;
            let query = &q[lane..lane + head_dim];
            for span in cache.spans(layer, kv_head, first..total) {
                kernels::dot_rows(span.keys, head_dim, query, &mut scores[span.positions.start - first..span.positions.end - first]);
            }
            for score in scores.iter_mut() {
                *score *= scale;
            }
            kernels::softmax(scores);
            let out = &mut out[lane..lane + head_dim];
            out.fill(0.0);
            for span in cache.spans(layer, kv_head, first..total) {
                kernels::weighted_sum(span.values, head_dim, &scores[span.positions.start - first..span.positions.end - first], out);
            }
        }
    }
}
