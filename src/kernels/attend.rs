//! The two loops of attention over cached positions.
//!
//! Rows are (positions, head_dim), padded with zeros to a multiple of eight. As in the matrix product, a sum
//! over a row is kept in four lanes; a sum over positions is in their order.

use super::vector::Vector;
use crate::quant::{F16_ACTIVATION_SCALE, F16x8};

pub(super) fn decode_f16<V: Vector>(rows: &[F16x8], factors: &[f32], out: &mut [[f32; 4]]) {
    assert_eq!(rows.len() * 2, out.len(), "vectors of decoded rows");
    let wide = rows.len().checked_div(factors.len()).unwrap_or(1).max(1);
    assert_eq!(rows.len(), wide * factors.len(), "rows of equal length");
    for ((row, factor), out) in rows.chunks_exact(wide).zip(factors).zip(out.chunks_exact_mut(2 * wide)) {
        let (scale, factor) = (V::splat(F16_ACTIVATION_SCALE), V::splat(*factor));
        for (eight, [low, high]) in row.iter().zip(out.as_chunks_mut().0) {
            let decoded = V::load_f16(&eight.0).map(|values| values.mul(scale).mul(factor));
            decoded[0].store(low);
            decoded[1].store(high);
        }
    }
}

pub(super) fn dot_rows<V: Vector, const N: usize>(rows: &[[f32; 4]], x: [&[[f32; 4]]; N], mut out: [&mut [f32]; N]) {
    let (wide, count) = (x[0].len(), out[0].len());
    assert!(x.iter().all(|x| x.len() == wide) && out.iter().all(|out| out.len() == count), "queries of one length");
    assert_eq!(rows.len(), count * wide, "{count} rows of {}", 4 * wide);
    for first in (0..count).step_by(4) {
        // Where fewer than four are left, the last one stands in for the others.
        let four: [&[[f32; 4]]; 4] = std::array::from_fn(|i| &rows[(first + i).min(count - 1) * wide..][..wide]);
        let mut sums = [[V::splat(0.0); 4]; N];
        for step in 0..wide {
            let x = x.map(|x| V::load(&x[step]));
            for (i, row) in four.into_iter().enumerate() {
                let row = V::load(&row[step]);
                for (sums, x) in sums.iter_mut().zip(x) {
                    sums[i] = sums[i].madd(row, x);
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(sums) {
            let out = &mut out[first..];
            match out.first_chunk_mut() {
                Some(out) => V::sums(sums).store(out),
                None => {
                    let mut last = [0.0; 4];
                    V::sums(sums).store(&mut last);
                    out.copy_from_slice(&last[..out.len()]);
                }
            }
        }
    }
}

pub(super) fn weighted_sum<V: Vector>(rows: &[[f32; 4]], weights: &[f32], out: &mut [[f32; 4]]) {
    assert_eq!(rows.len(), weights.len() * out.len(), "{} rows of {}", weights.len(), 4 * out.len());
    let mut at = 0;
    while at < out.len() {
        // As many sums as registers hold beside the row. (Two queries with half as many each were slower
        // than one after the other.)
        at += match out.len() - at {
            8.. => stripe::<V, 8>(rows, at, weights, out),
            4.. => stripe::<V, 4>(rows, at, weights, out),
            2.. => stripe::<V, 2>(rows, at, weights, out),
            _ => stripe::<V, 1>(rows, at, weights, out),
        };
    }
}

/// S vectors of each row, from vector `at` on, whose sums stay in registers from the first row to the last.
/// Returns S.
#[inline(always)]
fn stripe<V: Vector, const S: usize>(rows: &[[f32; 4]], at: usize, weights: &[f32], out: &mut [[f32; 4]]) -> usize {
    let mut sums: [V; S] = std::array::from_fn(|i| V::load(&out[at + i]));
    for (row, weight) in rows.chunks_exact(out.len()).zip(weights) {
        let weight = V::splat(*weight);
        for (sum, values) in sums.iter_mut().zip(&row[at..at + S]) {
            *sum = sum.madd(V::load(values), weight);
        }
    }
    for (out, sum) in out[at..].iter_mut().zip(sums) {
        sum.store(out);
    }
    S
}
