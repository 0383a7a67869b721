//! The steps of a transformer layer, as safe Rust over the kernels: normalise, project, rotate, attend, gate.
//!
//! Every function works on whole activations of `seq` positions, row-major; the loops over positions and heads are
//! here, the loops over numbers are in `kernels`. What is worth sharing out among threads, the products with matrices by their
//! rows and attention by its heads, goes through a [`Workshop`].

use std::ops::Range;
use std::sync::Arc;

use crate::cache::{BLOCK, Cache, Span};
use crate::config::{Llama3Scaling, ModelConfig};
use crate::kernels::{self, Activations, Panel};
use crate::pool::{Pool, Strip};
use crate::quant::{Matrix, ROW_UNIT, TILE_COLS};
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

/// The threads and the memory that a step needs besides its inputs and outputs.
#[derive(Debug)]
pub struct Workshop {
    pool: Arc<Pool>,
    activations: [Activations; 3],
    /// One for each thread.
    places: Vec<Place>,
}

/// What one thread writes to.
#[derive(Debug, Default)]
struct Place {
    panel: Panel,
    queries: Vec<Query>,
    /// Queries and sums of values, heads padded to whole vectors. Shapes: (queries, padded head_dim / 4).
    padded: [Vec<[f32; 4]>; 2],
    decoded: [Vec<[f32; 4]>; 2],
}

impl Workshop {
    /// Scratch that grows with use, for the threads of `pool`.
    pub fn new(pool: Arc<Pool>) -> Workshop {
        let places = (0..pool.threads_max()).map(|_| Place::default()).collect();
        Workshop { pool, activations: Default::default(), places }
    }

    /// `out_i = x W_i^T + b_i`, several in one go. Shapes: `x` (seq, in), `outs[i]` (seq, out_i).
    pub fn linear<const N: usize>(&mut self, linears: [&Linear; N], x: &[f32], outs: [&mut [f32]; N]) {
        self.products(linears, x, outs, |_| {});
    }

    /// `out = silu(gate(x)) * up(x)`; `up_out` is scratch of the same size. Shapes: `x` (seq, hidden), `out` (seq, inter).
    ///
    /// Source: Shazeer 2020, "GLU Variants Improve Transformer", SwiGLU.
    pub fn gated(&mut self, gate: &Linear, up: &Linear, x: &[f32], out: &mut [f32], up_out: &mut [f32]) {
        self.products([gate, up], x, [out, up_out], |[gate, up]| {
            for pos in 0..gate.rows() {
                kernels::silu_mul(gate.row(pos), up.row(pos));
            }
        });
    }

    /// `out = x W^T` for one matrix. Shapes: `x` (seq, in), `out` (seq, out).
    pub fn project(&mut self, weight: &Matrix, x: &[f32], out: &mut [f32]) {
        self.activations[0].prepare(x, weight.cols(), weight.dtype());
        let activations = &self.activations[0];
        let work = out.len() * weight.cols();
        self.pool.split([(out, weight.rows(), ROW_UNIT)], work, &mut self.places, |[mut out], place| {
            kernels::matmul(weight, activations, &mut out, &mut place.panel);
        });
    }

    /// The products with some matrices of the same input, and then `finish` on each thread's share of the outputs.
    fn products<const N: usize>(
        &mut self,
        linears: [&Linear; N],
        x: &[f32],
        outs: [&mut [f32]; N],
        finish: impl Fn(&mut [Strip<'_>; N]) + Sync,
    ) {
        let weights = linears.map(|linear| &linear.weight);
        // Made ready once for each storage format; nearly always all have the same.
        let ready = weights.map(|weight| weights.iter().position(|other| other.dtype() == weight.dtype()).unwrap_or(0));
        for (index, weight) in weights.iter().enumerate().filter(|&(index, _)| ready[index] == index) {
            self.activations[index].prepare(x, weight.cols(), weight.dtype());
        }
        let work = outs.iter().zip(weights).map(|(out, weight)| out.len() * weight.cols()).sum();
        let mut widths = weights.iter().map(|weight| weight.rows());
        let shares = outs.map(|out| (out, widths.next().unwrap_or(0), ROW_UNIT));
        let activations = &self.activations;
        self.pool.split(shares, work, &mut self.places, |mut outs, place| {
            for ((linear, ready), out) in linears.iter().zip(ready).zip(&mut outs) {
                kernels::matmul(&linear.weight, &activations[ready], out, &mut place.panel);
                if let Some(bias) = &linear.bias {
                    let bias = &bias[out.columns()];
                    (0..out.rows()).for_each(|pos| kernels::add(out.row(pos), bias));
                }
            }
            finish(&mut outs);
        });
    }

    /// Causal attention of the `seq` positions after the first `past` over those, themselves and each other. Shapes: `q`, `out` (seq, heads, head_dim).
    ///
    /// ```text
    /// for each KV head, for each block of positions, for each query that sees some of them:
    ///     scores = K q / sqrt(head_dim)
    ///     max    = the largest score so far; sum and out, made for another max, are corrected
    ///     sum   += exp(scores - max);  out += exp(scores - max)^T V
    /// out /= sum
    /// ```
    ///
    /// So keys and values are read once, in the order in which they lie, whatever the length of the text, and of the scores only those of a block
    /// are ever there. The keys and values of the new positions must be written, and need not be counted.
    /// Source: Vaswani et al. 2017, section 3.2.1; block by block: Dao et al. 2022, "FlashAttention", section 3.1; grouped heads: Ainslie et al. 2023;
    /// window: Jiang et al. 2023 (Mistral 7B).
    pub fn attention(&mut self, q: &[f32], cache: &Cache, layer: usize, past: usize, shape: Heads, out: &mut [f32]) {
        let Heads { heads, head_dim, window, .. } = shape;
        let width = heads * head_dim;
        let seq = q.len() / width;
        let seen: usize = (past + 1..=past + seq).map(|total| total.min(window.unwrap_or(total))).sum();
        self.pool.split([(out, width, head_dim)], 2 * seen * width, &mut self.places, |[mut out], place| {
            let heads = out.columns().start / head_dim..out.columns().end / head_dim;
            let mut head = heads.start;
            while head < heads.end {
                // The heads of this thread that look at the same keys.
                let next = (head / shape.group() + 1) * shape.group();
                attend(q, (cache, layer), past, shape, head..next.min(heads.end), &mut out, place);
                head = next;
            }
        });
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

    /// Computes the angles by which keys of the positions `first..first + seq` turn when they move `by` positions down: the differences of the
    /// angles that they have and get, so that a key that has moved is, but for rounding, the one that would have been made there.
    pub fn prepare_shift(&mut self, first: usize, seq: usize, by: usize) {
        self.cos.clear();
        self.sin.clear();
        for pos in first..first + seq {
            for &freq in &self.inv_freq {
                let angle = |pos: usize| f64::from(pos as f32 * freq);
                let (sin, cos) = libm::sincos(angle(pos - by) - angle(pos));
                self.cos.push(cos as f32);
                self.sin.push(sin as f32);
            }
        }
    }

    /// Rotates one head by the angles of the prepared position of this number. Shapes: `head` (head_dim).
    pub fn rotate_head(&self, head: &mut [f32], index: usize) {
        let half = self.inv_freq.len();
        kernels::rotate(head, &self.cos[index * half..][..half], &self.sin[index * half..][..half]);
    }

    /// Rotates every head of the prepared positions from number `first` on. Shapes: `x` (seq, heads, head_dim).
    pub fn rotate(&self, x: &mut [f32], heads: usize, first: usize) {
        let half = self.inv_freq.len();
        let angles = self.cos.chunks_exact(half).zip(self.sin.chunks_exact(half)).skip(first);
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

impl Heads {
    /// Query heads that share a KV head.
    fn group(self) -> usize {
        self.heads / self.kv_heads
    }
}

/// One query of a block's pass: a position's head.
#[derive(Debug, Clone)]
struct Query {
    /// The positions it sees.
    sees: Range<usize>,
    /// The largest score so far, and the sum of the exponentials.
    running: [f32; 2],
}

/// [`Workshop::attention`] for some query heads of one KV head, all of whose queries go through each block together.
fn attend(q: &[f32], (cache, layer): (&Cache, usize), past: usize, shape: Heads, heads: Range<usize>, out: &mut Strip, place: &mut Place) {
    let Heads { head_dim, window, .. } = shape;
    let width = shape.heads * head_dim;
    let (seq, wide) = (q.len() / width, head_dim.next_multiple_of(TILE_COLS) / 4);
    let Place { queries, padded: [q_rows, sums], decoded, .. } = place;
    let places = (0..seq).flat_map(|pos| heads.clone().map(move |head| (pos, head)));
    queries.clear();
    q_rows.clear();
    q_rows.resize(seq * heads.len() * wide, [0.0; 4]);
    for ((pos, head), row) in places.clone().zip(q_rows.chunks_exact_mut(wide)) {
        let total = past + pos + 1;
        queries.push(Query { sees: total - total.min(window.unwrap_or(total))..total, running: [f32::NEG_INFINITY, 0.0] });
        row.as_flattened_mut()[..head_dim].copy_from_slice(&q[pos * width + head * head_dim..][..head_dim]);
    }
    sums.clear();
    sums.resize(q_rows.len(), [0.0; 4]);

    let scale = 1.0 / (head_dim as f32).sqrt();
    let first = queries.first().map_or(0, |query| query.sees.start);
    for start in (first / BLOCK * BLOCK..past + seq).step_by(BLOCK) {
        let block = start.max(first)..(start + BLOCK).min(past + seq);
        let Span { keys, values } = cache.span(layer, heads.start / shape.group(), block.clone(), decoded);
        let within = |pos: usize| pos.clamp(block.start, block.end);
        let seen = |query: &Query| within(query.sees.start)..within(query.sees.end);
        let rows = |seen: &Range<usize>| (seen.start - block.start) * wide..(seen.end - block.start) * wide;
        let mut scores = [[0.0; BLOCK]; 2];
        for ((queries, q), sums) in queries.chunks_mut(2).zip(q_rows.chunks(2 * wide)).zip(sums.chunks_mut(2 * wide)) {
            // Two queries look at the keys together where both begin at the same one; the second never sees fewer.
            let both = queries.len() == 2 && seen(&queries[0]).start == seen(&queries[1]).start;
            if both {
                let seen = seen(&queries[1]);
                let [a, b] = &mut scores;
                kernels::dot_rows(&keys[rows(&seen)], [&q[..wide], &q[wide..]], [&mut a[..seen.len()], &mut b[..seen.len()]]);
            }
            for (index, (query, sum)) in queries.iter_mut().zip(sums.chunks_mut(wide)).enumerate() {
                let seen = seen(query);
                if seen.is_empty() {
                    continue;
                }
                let scores = &mut scores[index][..seen.len()];
                if !both {
                    kernels::dot_rows(&keys[rows(&seen)], [&q[index * wide..][..wide]], [&mut *scores]);
                }
                let factor = kernels::softmax_step(scores, scale, &mut query.running);
                kernels::scale(sum, factor);
                kernels::weighted_sum(&values[rows(&seen)], scores, sum);
            }
        }
    }
    for (((pos, head), query), sum) in places.zip(&*queries).zip(sums.chunks_exact_mut(wide)) {
        kernels::scale(sum, 1.0 / query.running[1]);
        let lane = head * head_dim - out.columns().start;
        out.row(pos)[lane..lane + head_dim].copy_from_slice(&sum.as_flattened()[..head_dim]);
    }
}
