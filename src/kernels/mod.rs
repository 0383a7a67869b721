//! The arithmetic: every loop over weights or activations that the speed of the engine rests on.
//!
//! Each kernel is written once ([`product`], [`attend`], [`pointwise`]), over a small vocabulary of
//! operations on four lanes, [`vector`]; the instruction sets (`simd128`, `sse2`, `portable`) implement the
//! vocabulary and nothing else. So the order of every sum is the same everywhere, and so are the bits of
//! every result: native as in wasm, for one position as for many, on one thread as on several. The build
//! with relaxed SIMD alone may round differently, from machine to machine.
//!
//! Lengths are asserted once per call. NaN and infinity are carried along, never hidden.

mod attend;
mod attend_q8;
#[cfg_attr(all(target_family = "wasm", target_feature = "simd128"), path = "simd128.rs")]
#[cfg_attr(target_arch = "x86_64", path = "sse2.rs")]
#[cfg_attr(not(any(all(target_family = "wasm", target_feature = "simd128"), target_arch = "x86_64")), path = "portable.rs")]
mod best;
mod floats;
mod integers;
mod pointwise;
mod product;
#[cfg(test)]
mod scalar;
#[cfg(test)]
mod tests;
mod vector;

pub(crate) use attend_q8::QueryBlock;
use best::F32x4;

use std::ops::Range;

use crate::pool::Strip;
use crate::quant::{Dtype, F16x8, KvTile, Matrix};

/// The implementation in use: "simd128", "relaxed", "sse2" or "portable".
pub const NAME: &str = best::NAME;

/// Activations made ready for the products with matrices of one storage format; memory that is kept from
/// call to call.
#[derive(Debug, Default)]
pub(crate) struct Activations(product::Activations<F32x4>);

impl Activations {
    /// Takes `x`: pads it to whole tiles, scales it for f16, rounds it to 8 bits for q8 and q4.
    ///
    /// Rounding is to 255 levels between minus and plus the largest magnitude of every 32 values: the
    /// products of integers that follow are exact.
    ///
    /// Shapes: `x` (seq, cols). Panics: if `x` is not that.
    pub(crate) fn prepare(&mut self, x: &[f32], cols: usize, dtype: Dtype) {
        self.0.prepare(x, cols, dtype);
    }
}

/// Scratch memory of [`matmul`] that grows to what the largest matrix needs; every thread has its own.
#[derive(Debug, Default)]
pub(crate) struct Panel(product::Panel);

/// out = x w^T: the product of activations with a weight matrix, for the outputs that `out` is of.
///
/// Shapes: `w` (rows, cols), `x` (seq, cols), `out` columns of (seq, rows), beginning at a multiple of 8.
/// Panics: if the lengths do not fit together, or the activations were made ready for another format.
pub(crate) fn matmul(w: &Matrix, x: &Activations, out: &mut Strip, panel: &mut Panel) {
    product::matmul(w, &x.0, out, &mut panel.0);
}

/// out[n][j] = rows[j] . x[n]: the scores of N queries against a block of keys.
///
/// Shapes: `rows` (positions, head_dim), `x` (head_dim), `out` (positions); four numbers to an element of
/// `rows` and `x`. Panics: if the lengths do not fit together.
pub(crate) fn dot_rows<const N: usize>(rows: &[[f32; 4]], x: [&[[f32; 4]]; N], out: [&mut [f32]; N]) {
    attend::dot_rows::<F32x4, N>(rows, x, out);
}

/// out += sum over j of weights[j] * rows[j], in order of j: the values that attention has weighed.
///
/// Shapes: `rows` (positions, head_dim), `weights` (positions), `out` (head_dim); four numbers to an element
/// of `rows` and `out`. Panics: if the lengths do not fit together.
pub(crate) fn weighted_sum(rows: &[[f32; 4]], weights: &[f32], out: &mut [[f32; 4]]) {
    attend::weighted_sum::<F32x4>(rows, weights, out);
}

/// Rows of f16 as f32.
///
/// Shapes: `rows` (n, cols / 8), `factors` (n), `out` (n, cols / 4). Panics: if the lengths do not fit
/// together.
pub(crate) fn decode_f16(rows: &[F16x8], factors: &[f32], out: &mut [[f32; 4]]) {
    attend::decode_f16::<F32x4>(rows, factors, out);
}

/// Rounds a query to 16 bits for [`dot_tiles`].
///
/// Shapes: `query` (head_dim, a multiple of 32), four numbers to an element; `out` (head_dim / 32). Panics:
/// if the lengths do not fit together.
pub(crate) fn round_query(query: &[[f32; 4]], out: &mut [QueryBlock]) {
    attend_q8::round_query::<F32x4>(query, out);
}

/// As [`dot_rows`], against keys in q8.
///
/// Shapes: `tiles` (positions / 8, head_dim / 32), `x` (head_dim / 32), `out` (positions). Panics: if the
/// lengths do not fit together.
pub(crate) fn dot_tiles<const N: usize>(tiles: &[KvTile], x: [&[QueryBlock]; N], out: [&mut [f32]; N]) {
    attend_q8::dot_tiles::<F32x4, N>(tiles, x, out);
}

/// As [`weighted_sum`], of values in q8. Each 64 weights times scales are rounded to 16 bits.
///
/// Shapes: `tiles` (positions / 8, head_dim / 32), `weights` (positions), `out` (head_dim); four numbers to an
/// element of `out`. `seen`: the positions that have a weight, in one block of 64. Panics: if the lengths do
/// not fit together.
pub(crate) fn weighted_tiles(tiles: &[KvTile], weights: &[f32], seen: Range<usize>, out: &mut [[f32; 4]]) {
    attend_q8::weighted_tiles::<F32x4>(tiles, weights, seen, out);
}

/// out = x / sqrt(mean of x^2 + eps) * weight, of one position.
///
/// Shapes: all (hidden). Panics: if the lengths differ. Source: Zhang and Sennrich 2019, section 4.
pub(crate) fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    pointwise::rms_norm::<F32x4>(x, weight, eps, out);
}

/// One step of a softmax over a stream: scores = exp(scale * scores - max), where `max` is the largest of
/// what has come so far.
///
/// `running` is the maximum and the sum so far, minus infinity and 0 to begin with. Returns the factor that
/// makes what was added up before right again. Source: Milakov and Gimelshein 2018, "Online normalizer
/// calculation for softmax", section 3.
pub(crate) fn softmax_step(scores: &mut [f32], scale: f32, running: &mut [f32; 2]) -> f32 {
    pointwise::softmax_step::<F32x4>(scores, scale, running)
}

/// x *= factor.
pub(crate) fn scale(x: &mut [[f32; 4]], factor: f32) {
    pointwise::scale::<F32x4>(x, factor);
}

/// gate = gate / (1 + exp(-gate)) * up.
///
/// Shapes: both (seq, inter). Panics: if the lengths differ.
pub(crate) fn silu_mul(gate: &mut [f32], up: &[f32]) {
    pointwise::silu_mul::<F32x4>(gate, up);
}

/// Rotates one head by its position: the pairs are (i, i + head_dim / 2), as Hugging Face lays out Llama's
/// weights.
///
/// Shapes: `x` (head_dim), `cos` and `sin` (head_dim / 2). Panics: if the lengths do not fit together.
/// Source: Su et al. 2021, section 3.4.2.
pub(crate) fn rotate(x: &mut [f32], cos: &[f32], sin: &[f32]) {
    pointwise::rotate::<F32x4>(x, cos, sin);
}

/// x += y.
///
/// Panics: if the lengths differ.
pub(crate) fn add(x: &mut [f32], y: &[f32]) {
    pointwise::add::<F32x4>(x, y);
}
