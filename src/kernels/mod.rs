//! The arithmetic: every loop over weights or activations that the speed of the engine rests on.
//!
//! Each kernel is written once, in [`generic`], over a small vocabulary of operations on four f32 lanes, [`vector`]; the
//! instruction sets ([`simd128`], [`portable`]) implement the vocabulary and nothing else. So the order of every sum is the same
//! everywhere, and so are the bits of every result: native as in wasm, for one position as for many.
//!
//! A sum over columns is kept in four lanes, column `c` in lane `c % 4` (of [`dot_rows`] the last columns apart), each product
//! rounded before it is added; at the end the lanes are added as (0 + 2) + (1 + 3).
//!
//! Lengths are asserted once per call. NaN and infinity are carried along, never hidden.

#[cfg_attr(all(target_family = "wasm", target_feature = "simd128"), path = "simd128.rs")]
#[cfg_attr(not(all(target_family = "wasm", target_feature = "simd128")), path = "portable.rs")]
mod best;
mod generic;
#[cfg(test)]
mod scalar;
#[cfg(test)]
mod tests;
mod vector;

use best::F32x4;
pub use generic::Panel;

use crate::quant::Matrix;

/// The implementation in use: "simd128" or "portable".
pub const NAME: &str = best::NAME;

/// out = x w^T: the product of activations with a weight matrix.
///
/// `panel` is scratch memory that grows to what the largest matrix needs and is best kept from call to call.
///
/// Shapes: `w` (rows, cols), `x` (seq, cols), `out` (seq, rows). Panics: if the lengths do not fit together.
pub fn matmul(w: &Matrix, x: &[f32], out: &mut [f32], panel: &mut Panel) {
    generic::matmul::<F32x4>(w, x, out, panel);
}

/// out[j] = rows[j] . x: the scores of one query against a block of keys.
///
/// Shapes: `rows` (out.len(), cols), `x` (cols). Panics: if the lengths do not fit together.
pub fn dot_rows(rows: &[f32], cols: usize, x: &[f32], out: &mut [f32]) {
    generic::dot_rows::<F32x4>(rows, cols, x, out);
}

/// out += sum over j of weights[j] * rows[j], in order of j: the values that attention has weighed.
///
/// Shapes: `rows` (weights.len(), cols), `out` (cols). Panics: if the lengths do not fit together.
pub fn weighted_sum(rows: &[f32], cols: usize, weights: &[f32], out: &mut [f32]) {
    generic::weighted_sum::<F32x4>(rows, cols, weights, out);
}

/// out = x / sqrt(mean of x^2 + eps) * weight, of one position.
///
/// Shapes: all (hidden). Panics: if the lengths differ. Source: Zhang and Sennrich 2019, section 4.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    generic::rms_norm::<F32x4>(x, weight, eps, out);
}

/// x = exp(x - max x) / sum of the same.
///
/// Trailing minus infinities change no bit of what is before them. All minus infinity gives NaN; an empty slice is left alone.
pub fn softmax(x: &mut [f32]) {
    generic::softmax::<F32x4>(x);
}

/// gate = gate / (1 + exp(-gate)) * up.
///
/// Shapes: both (seq, inter). Panics: if the lengths differ.
pub fn silu_mul(gate: &mut [f32], up: &[f32]) {
    generic::silu_mul::<F32x4>(gate, up);
}

/// Rotates one head by its position: the pairs are (i, i + head_dim / 2), as Hugging Face lays out Llama's weights.
///
/// Shapes: `x` (head_dim), `cos` and `sin` (head_dim / 2). Panics: if the lengths do not fit together. Source: Su et al. 2021, section 3.4.2.
pub fn rotate(x: &mut [f32], cos: &[f32], sin: &[f32]) {
    generic::rotate::<F32x4>(x, cos, sin);
}

/// x += y.
///
/// Panics: if the lengths differ.
pub fn add(x: &mut [f32], y: &[f32]) {
    generic::add::<F32x4>(x, y);
}
