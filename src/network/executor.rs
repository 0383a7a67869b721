//! The executor: the thread pool and the scratch memory of a model. All its sessions share one executor.
//!
//! Its functions are the steps of a transformer layer, in safe Rust over the kernels. Activations are
//! row-major. Loops over rows and heads are here; loops over numbers are in [`kernels`]. Threads divide a
//! matrix product by the rows of the matrix, and attention by heads.

use std::ops::Range;
use std::sync::Arc;

use crate::cache::{BLOCK, Cache, KvDtype, Span};
use crate::kernels::{self, Activations, Panel, QueryBlock};
use crate::pool::{Pool, Strip};
use crate::quant::{BLOCK_COLS, KV_TILE_ROWS, KvTile, Matrix, ROW_UNIT};
use crate::weights::Linear;

/// The threads that compute, and the memory that a step needs besides its inputs and outputs.
#[derive(Debug)]
pub struct Executor {
    pub(super) compute: Compute,
    pub(super) scratch: Scratch,
}

/// The activations inside one layer. They are grown on demand and kept, so that no token allocates them.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub x: Vec<f32>,        // (rows, hidden)
    pub q: Vec<f32>,        // (rows, heads, head_dim)
    pub k: Vec<f32>,        // (rows, kv_heads, head_dim)
    pub v: Vec<f32>,        // (rows, kv_heads, head_dim)
    pub attn: Vec<f32>,     // (rows, heads, head_dim)
    pub gate: Vec<f32>,     // (rows, inter)
    pub up: Vec<f32>,       // (rows, inter)
    pub head_row: Vec<f32>, // (head_dim)
    pub logits: Vec<f32>,   // (rows of the head's product, vocab)
}

/// The products and attention, shared out among threads.
#[derive(Debug)]
pub(super) struct Compute {
    pool: Arc<Pool>,
    activations: [Activations; 3],
    threads: Vec<ThreadScratch>,
}

/// The memory that one thread writes to.
#[derive(Debug, Default)]
struct ThreadScratch {
    panel: Panel,
    queries: Vec<Query>,
    /// Queries and sums of values, heads padded to whole vectors. Shapes: (queries, padded head_dim / 4).
    padded: [Vec<[f32; 4]>; 2],
    decoded: [Vec<[f32; 4]>; 2],
    /// Queries for a cache in q8. Shapes: (queries, padded head_dim / 32).
    rounded: Vec<QueryBlock>,
}

/// The heads of one layer's attention and how far back each position sees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    /// Query heads.
    pub heads: usize,
    /// KV heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Numbers per head.
    pub head_dim: usize,
    /// How many positions a position sees, itself included; `None`: all before it.
    pub window: Option<usize>,
    /// The factor on each score.
    pub scale: f32,
}

/// The queries of one sequence in a pass: some rows, the first of them at position `pos`.
pub(super) struct Queries<'a> {
    pub cache: &'a Cache,
    pub rows: Range<usize>,
    pub pos: usize,
}

/// Root mean square normalisation of every row. Shapes: `x` (rows, weight.len()), `out` the same.
///
/// Source: Zhang & Sennrich 2019, "Root Mean Square Layer Normalization", eq. 4.
pub(super) fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut Vec<f32>) {
    out.resize(x.len(), 0.0);
    for (x, out) in x.chunks_exact(weight.len()).zip(out.chunks_exact_mut(weight.len())) {
        kernels::rms_norm(x, weight, eps, out);
    }
}

/// Root mean square normalisation of every head in place. Shapes: `x` (rows, head_dim), `weight` (head_dim).
///
/// `row` is scratch. Source: Qwen3 normalises queries and keys so before it rotates them.
pub(super) fn head_norm(x: &mut [f32], weight: &[f32], eps: f32, row: &mut Vec<f32>) {
    row.resize(weight.len(), 0.0);
    for head in x.chunks_exact_mut(weight.len()) {
        kernels::rms_norm(head, weight, eps, row);
        head.copy_from_slice(row);
    }
}

impl Executor {
    /// An executor for the threads of `pool`.
    pub fn new(pool: Arc<Pool>) -> Executor {
        let threads = (0..pool.threads_max()).map(|_| ThreadScratch::default()).collect();
        Executor { compute: Compute { pool, activations: Default::default(), threads }, scratch: Scratch::default() }
    }
}

impl Compute {
    /// `out_i = x W_i^T + b_i`, several at once. Shapes: `x` (rows, in), `outs[i]` (rows, out_i), resized to
    /// that.
    pub(super) fn linear<const N: usize>(&mut self, linears: [&Linear; N], x: &[f32], outs: [&mut Vec<f32>; N]) {
        self.products(linears, x, outs, |_| {});
    }

    /// `out = silu(gate(x)) * up(x)`; `up_out` is scratch. Shapes: `x` (rows, hidden), `out` (rows, inter).
    ///
    /// Source: Shazeer 2020, "GLU Variants Improve Transformer", SwiGLU.
    pub(super) fn gated(&mut self, gate: &Linear, up: &Linear, x: &[f32], out: &mut Vec<f32>, up_out: &mut Vec<f32>) {
        self.products([gate, up], x, [out, up_out], |[gate, up]| {
            for row in 0..gate.rows() {
                kernels::silu_mul(gate.row(row), up.row(row));
            }
        });
    }

    /// `out = x W^T` for one matrix. Shapes: `x` (rows, in), `out` (rows, out).
    pub(super) fn project(&mut self, weight: &Matrix, x: &[f32], out: &mut [f32]) {
        self.activations[0].prepare(x, weight.cols(), weight.dtype());
        let activations = &self.activations[0];
        let work = out.len() * weight.cols();
        self.pool.split([(out, weight.rows(), ROW_UNIT)], work, &mut self.threads, |[mut out], thread| {
            kernels::matmul(weight, activations, &mut out, &mut thread.panel);
        });
    }

    /// The products of one input with some matrices, then `finish` on each thread's share of the outputs.
    fn products<const N: usize>(
        &mut self,
        linears: [&Linear; N],
        x: &[f32],
        mut outs: [&mut Vec<f32>; N],
        finish: impl Fn(&mut [Strip<'_>; N]) + Sync,
    ) {
        let weights = linears.map(|linear| &*linear.weight);
        for (out, weight) in outs.iter_mut().zip(weights) {
            out.resize(x.len() / weight.cols() * weight.rows(), 0.0);
        }
        // Activations are prepared once for each storage format; nearly always all matrices have the same.
        let ready = weights.map(|weight| weights.iter().position(|other| other.dtype() == weight.dtype()).unwrap_or(0));
        for (index, weight) in weights.iter().enumerate().filter(|&(index, _)| ready[index] == index) {
            self.activations[index].prepare(x, weight.cols(), weight.dtype());
        }
        let work = outs.iter().zip(weights).map(|(out, weight)| out.len() * weight.cols()).sum();
        let mut widths = weights.iter().map(|weight| weight.rows());
        let shares = outs.map(|out| (out.as_mut_slice(), widths.next().unwrap_or(0), ROW_UNIT));
        let activations = &self.activations;
        self.pool.split(shares, work, &mut self.threads, |mut outs, thread| {
            for ((linear, ready), out) in linears.iter().zip(ready).zip(&mut outs) {
                kernels::matmul(&linear.weight, &activations[ready], out, &mut thread.panel);
                if let Some(bias) = &linear.bias {
                    let bias = &bias[out.columns()];
                    (0..out.rows()).for_each(|row| kernels::add(out.row(row), bias));
                }
            }
            finish(&mut outs);
        });
    }

    /// Causal attention: the queries of each sequence over the keys and values of that sequence, up to and
    /// including their own position. Shapes: `q`, `out` (rows, heads, head_dim); `out` is resized to that.
    ///
    /// ```text
    /// for each sequence, each KV head, each block of positions, each query that sees some of them:
    ///     scores = K q * scale
    ///     max    = the largest score so far; sum and out are rescaled from the old max to the new one
    ///     sum   += exp(scores - max);  out += exp(scores - max)^T V
    /// out /= sum
    /// ```
    ///
    /// This reads keys and values once, in memory order, and holds the scores of one block at a time. The
    /// keys and values of the new positions must be written, but not counted.
    ///
    /// Source: Vaswani et al. 2017, section 3.2.1; block by block: Dao et al. 2022, "FlashAttention", section
    /// 3.1; grouped heads: Ainslie et al. 2023; window: Jiang et al. 2023 (Mistral 7B).
    pub(super) fn attention(&mut self, q: &[f32], sequences: &[Queries], layer: usize, shape: Heads, out: &mut Vec<f32>) {
        let Heads { heads, head_dim, window, .. } = shape;
        let width = heads * head_dim;
        out.resize(q.len(), 0.0);
        let seen = |s: &Queries| (s.pos + 1..=s.pos + s.rows.len()).map(|total| total.min(window.unwrap_or(total))).sum::<usize>();
        let work = 2 * width * sequences.iter().map(seen).sum::<usize>();
        self.pool.split([(out, width, head_dim)], work, &mut self.threads, |[mut out], thread| {
            let heads = out.columns().start / head_dim..out.columns().end / head_dim;
            for sequence in sequences.iter().filter(|sequence| !sequence.rows.is_empty()) {
                let mut head = heads.start;
                while head < heads.end {
                    // The heads of this thread that read the same keys.
                    let next = (head / shape.group() + 1) * shape.group();
                    attend(q, sequence, layer, shape, head..next.min(heads.end), &mut out, thread);
                    head = next;
                }
            }
        });
    }
}

impl Heads {
    /// Query heads that share a KV head.
    fn group(self) -> usize {
        self.heads / self.kv_heads
    }
}

/// One query: a head of a row.
#[derive(Debug, Clone)]
struct Query {
    /// The positions it sees.
    sees: Range<usize>,
    /// The largest score so far, and the sum of the exponentials.
    running: [f32; 2],
}

/// [`Compute::attention`] for some query heads of one KV head of one sequence. All their queries go through
/// each block together.
fn attend(q: &[f32], sequence: &Queries, layer: usize, shape: Heads, heads: Range<usize>, out: &mut Strip, thread: &mut ThreadScratch) {
    let Heads { head_dim, window, scale, .. } = shape;
    let Queries { cache, ref rows, pos } = *sequence;
    let (first_row, count) = (rows.start, rows.len());
    let width = shape.heads * head_dim;
    let wide = cache.dtype().padded(head_dim) / 4;
    let ThreadScratch { queries, padded: [q_rows, sums], decoded, rounded, .. } = thread;
    let places = (0..count).flat_map(|row| heads.clone().map(move |head| (row, head)));
    queries.clear();
    q_rows.clear();
    q_rows.resize(count * heads.len() * wide, [0.0; 4]);
    for ((row, head), padded) in places.clone().zip(q_rows.chunks_exact_mut(wide)) {
        let total = pos + row + 1;
        queries.push(Query { sees: total - total.min(window.unwrap_or(total))..total, running: [f32::NEG_INFINITY, 0.0] });
        padded.as_flattened_mut()[..head_dim].copy_from_slice(&q[(first_row + row) * width + head * head_dim..][..head_dim]);
    }
    sums.clear();
    sums.resize(q_rows.len(), [0.0; 4]);
    if cache.dtype() == KvDtype::Q8 {
        rounded.resize(q_rows.len() * 4 / BLOCK_COLS, QueryBlock::default());
        kernels::round_query(q_rows, rounded);
    }

    let (first, end) = (queries.first().map_or(0, |query| query.sees.start).max(cache.first(layer)), pos + count);
    for start in (first / BLOCK * BLOCK..end).step_by(BLOCK) {
        let block = start.max(first)..(start + BLOCK).min(end);
        if let Some(tiles) = cache.tiles(layer, heads.start / shape.group(), start) {
            attend_q8(tiles, start..block.end, scale, queries, rounded, sums);
            continue;
        }
        let Span { keys, values } = cache.span(layer, heads.start / shape.group(), block.clone(), decoded);
        let within = |pos: usize| pos.clamp(block.start, block.end);
        let seen = |query: &Query| within(query.sees.start)..within(query.sees.end);
        let rows = |seen: &Range<usize>| (seen.start - block.start) * wide..(seen.end - block.start) * wide;
        let mut scores = [[0.0; BLOCK]; 2];
        for ((queries, q), sums) in queries.chunks_mut(2).zip(q_rows.chunks(2 * wide)).zip(sums.chunks_mut(2 * wide)) {
            // Two queries read the keys together if both begin at the same one; the second never sees fewer.
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
    for (((row, head), query), sum) in places.zip(&*queries).zip(sums.chunks_exact_mut(wide)) {
        kernels::scale(sum, 1.0 / query.running[1]);
        let lane = head * head_dim - out.columns().start;
        out.row(first_row + row)[lane..lane + head_dim].copy_from_slice(&sum.as_flattened()[..head_dim]);
    }
}

/// The step of [`attend`] over one block of a cache in q8, `block`, whose tiles are those of its keys and of
/// its values.
fn attend_q8(
    [keys, values]: [&[KvTile]; 2],
    block: Range<usize>,
    scale: f32,
    queries: &mut [Query],
    rounded: &[QueryBlock],
    sums: &mut [[f32; 4]],
) {
    let within = |pos: usize| pos.clamp(block.start, block.end) - block.start;
    let seen = |query: &Query| within(query.sees.start)..within(query.sees.end);
    let [blocks, wide] = [rounded.len(), sums.len()].map(|len| len / queries.len());
    let mut scores = [[0.0; BLOCK]; 2];
    for ((queries, q), sums) in queries.chunks_mut(2).zip(rounded.chunks(2 * blocks)).zip(sums.chunks_mut(2 * wide)) {
        // The tiles that one of the two sees: the first sees no later position than the second.
        let ranges = [seen(&queries[0]), seen(&queries[queries.len() - 1])];
        let tiles = ranges[0].start / KV_TILE_ROWS..ranges[1].end.div_ceil(KV_TILE_ROWS);
        let at = tiles.start * KV_TILE_ROWS;
        let of_tiles = tiles.start * blocks..tiles.end * blocks;
        let [a, b] = scores.each_mut().map(|scores| &mut scores[..tiles.len() * KV_TILE_ROWS]);
        match queries.len() {
            2 => kernels::dot_tiles(&keys[of_tiles.clone()], [&q[..blocks], &q[blocks..]], [a, b]),
            _ => kernels::dot_tiles(&keys[of_tiles.clone()], [q], [a]),
        }
        for (((query, sum), scores), seen) in queries.iter_mut().zip(sums.chunks_mut(wide)).zip(&mut scores).zip(ranges) {
            if seen.is_empty() {
                continue;
            }
            let seen = seen.start - at..seen.end - at;
            let factor = kernels::softmax_step(&mut scores[seen.clone()], scale, &mut query.running);
            kernels::scale(sum, factor);
            kernels::weighted_tiles(&values[of_tiles.clone()], &scores[..tiles.len() * KV_TILE_ROWS], seen, sum);
        }
    }
}
