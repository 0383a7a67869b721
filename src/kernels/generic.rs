//! The kernels, over the vocabulary of [`super::vector`].

use super::vector::Vector;
use crate::quant::{Bf16x8, F16_ACTIVATION_SCALE, F16x8, F32x8, Matrix, TILE_COLS, TILE_ROWS, Tiles};

/// Scratch memory of [`matmul`], grown on demand and kept.
#[derive(Debug, Default)]
pub struct Panel {
    /// Activations as the kernels want them: padded to whole tiles, scaled for f16. (seq, groups)
    x: Vec<F32x8>,
    /// Four rows of 16-bit weights, decoded. (groups)
    weights: Vec<[F32x8; TILE_ROWS]>,
}

/// Eight columns of one row in some storage format.
trait Group: Copy {
    fn decode<V: Vector>(&self) -> [V; 2];

    /// Four rows as f32, in `panel` unless they are already.
    #[inline(always)]
    fn decode_rows<'a, V: Vector>(tiles: &'a [[Self; TILE_ROWS]], panel: &'a mut Vec<[F32x8; TILE_ROWS]>) -> &'a [[F32x8; TILE_ROWS]] {
        panel.resize(tiles.len(), [[0.0; TILE_COLS]; TILE_ROWS]);
        for (out, tile) in panel.iter_mut().zip(tiles) {
            for (out, group) in out.iter_mut().zip(tile) {
                let (halves, _) = out.as_chunks_mut();
                let [low, high] = group.decode::<V>();
                low.store(&mut halves[0]);
                high.store(&mut halves[1]);
            }
        }
        panel
    }
}

impl Group for F32x8 {
    #[inline(always)]
    fn decode<V: Vector>(&self) -> [V; 2] {
        let (halves, _) = self.as_chunks();
        [V::load(&halves[0]), V::load(&halves[1])]
    }

    #[inline(always)]
    fn decode_rows<'a, V: Vector>(tiles: &'a [[Self; TILE_ROWS]], _: &'a mut Vec<[F32x8; TILE_ROWS]>) -> &'a [[F32x8; TILE_ROWS]] {
        tiles
    }
}

impl Group for F16x8 {
    #[inline(always)]
    fn decode<V: Vector>(&self) -> [V; 2] {
        V::load_f16(&self.0)
    }
}

impl Group for Bf16x8 {
    #[inline(always)]
    fn decode<V: Vector>(&self) -> [V; 2] {
        V::load_bf16(&self.0)
    }
}

pub(super) fn matmul<V: Vector>(w: &Matrix, x: &[f32], out: &mut [f32], panel: &mut Panel) {
    let (rows, cols, groups) = (w.rows(), w.cols(), w.groups());
    if rows == 0 || cols == 0 {
        assert!(x.is_empty() || rows == 0, "activations without columns");
        return out.fill(0.0);
    }
    let seq = x.len() / cols;
    assert_eq!(x.len(), seq * cols, "activations of {cols} columns");
    assert_eq!(out.len(), seq * rows, "outputs of {seq} positions and {rows} rows");

    let Panel { x: padded, weights } = panel;
    let scale = if let Tiles::F16(..) = w.tiles() { F16_ACTIVATION_SCALE } else { 1.0 };
    let x = if scale == 1.0 && cols.is_multiple_of(TILE_COLS) {
        x.as_chunks().0
    } else {
        padded.clear();
        for x in x.chunks_exact(cols) {
            let (whole, tail) = x.as_chunks::<TILE_COLS>();
            padded.extend(whole.iter().map(|x| x.map(|x| x * scale)));
            if !tail.is_empty() {
                padded.push(std::array::from_fn(|i| tail.get(i).map_or(0.0, |x| x * scale)));
            }
        }
        padded
    };
    match w.tiles() {
        Tiles::F32(tiles) => product::<V, _>(tiles, None, x, groups, out, rows, weights),
        Tiles::F16(tiles, factors) => product::<V, _>(tiles, Some(factors), x, groups, out, rows, weights),
        Tiles::Bf16(tiles) => product::<V, _>(tiles, None, x, groups, out, rows, weights),
    }
}

/// Shapes: `tiles` (rows / 4, groups), `factors` (rows / 4), `x` (seq, groups), `out` (seq, rows).
fn product<V: Vector, G: Group>(
    tiles: &[[G; TILE_ROWS]],
    factors: Option<&[[f32; TILE_ROWS]]>,
    x: &[F32x8],
    groups: usize,
    out: &mut [f32],
    rows: usize,
    panel: &mut Vec<[F32x8; TILE_ROWS]>,
) {
    let put = |out: &mut [f32], block: usize, sums: V| {
        let mut four = [0.0; TILE_ROWS];
        factors.map_or(sums, |factors| sums.mul(V::load(&factors[block]))).store(&mut four);
        let out = &mut out[block * TILE_ROWS..];
        match out.first_chunk_mut() {
            Some(out) => *out = four,
            None => out.copy_from_slice(&four[..out.len()]),
        }
    };
    for (block, tiles) in tiles.chunks_exact(groups).enumerate() {
        if x.len() == groups {
            put(out, block, dots::<V, G>(tiles, x));
            continue;
        }
        let tiles = G::decode_rows::<V>(tiles, panel);
        let (mut out, mut x) = (out.chunks_exact_mut(rows), x.chunks_exact(groups));
        while let (Some(out_a), Some(xa)) = (out.next(), x.next()) {
            if let (Some(out_b), Some(xb)) = (out.next(), x.next()) {
                let [a, b] = dots_of_two::<V>(tiles, xa, xb);
                put(out_a, block, a);
                put(out_b, block, b);
            } else {
                put(out_a, block, dots::<V, F32x8>(tiles, xa));
            }
        }
    }
}

/// Four rows times one position.
#[inline(always)]
fn dots<V: Vector, G: Group>(tiles: &[[G; TILE_ROWS]], x: &[F32x8]) -> V {
    let mut sums = [V::splat(0.0); TILE_ROWS];
    for (tile, x) in tiles.iter().zip(x) {
        let [x0, x1] = x.decode::<V>();
        for (sum, group) in sums.iter_mut().zip(tile) {
            let [w0, w1] = group.decode::<V>();
            *sum = sum.madd(w0, x0).madd(w1, x1);
        }
    }
    V::sums(sums)
}

/// Four rows times two positions: each weight that is loaded serves twice, each activation four times.
#[inline(always)]
fn dots_of_two<V: Vector>(tiles: &[[F32x8; TILE_ROWS]], xa: &[F32x8], xb: &[F32x8]) -> [V; 2] {
    let mut a = [V::splat(0.0); TILE_ROWS];
    let mut b = [V::splat(0.0); TILE_ROWS];
    for ((tile, xa), xb) in tiles.iter().zip(xa).zip(xb) {
        let ([xa0, xa1], [xb0, xb1]) = (xa.decode::<V>(), xb.decode::<V>());
        for ((a, b), group) in a.iter_mut().zip(&mut b).zip(tile) {
            let [w0, w1] = group.decode::<V>();
            *a = a.madd(w0, xa0).madd(w1, xa1);
            *b = b.madd(w0, xb0).madd(w1, xb1);
        }
    }
    [V::sums(a), V::sums(b)]
}

pub(super) fn dot_rows<V: Vector>(rows: &[f32], cols: usize, x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), cols, "length of the vector");
    assert_eq!(rows.len(), out.len() * cols, "{} rows of {cols}", out.len());
    if cols == 0 {
        return out.fill(0.0);
    }
    // The last columns, where four do not divide them, are the last four of a row times a vector that is zero for those already added.
    let (x, x_tail) = x.as_chunks();
    let tail = x_tail.len();
    let x_tail = V::load(&match *x_tail {
        [a] if cols > 4 => [0.0, 0.0, 0.0, a],
        [a, b] if cols > 4 => [0.0, 0.0, a, b],
        [a, b, c] if cols > 4 => [0.0, a, b, c],
        _ => four_of(x_tail, 0.0),
    });
    let dots = |rows: [&[f32]; 4]| {
        let fours = rows.map(|row| &row.as_chunks::<4>().0[..x.len()]);
        let mut sums = [V::splat(0.0); 4];
        for (i, x) in x.iter().enumerate() {
            let x = V::load(x);
            for (sum, row) in sums.iter_mut().zip(fours) {
                *sum = sum.madd(V::load(&row[i]), x);
            }
        }
        if tail > 0 {
            for (sum, row) in sums.iter_mut().zip(rows) {
                let last = row.last_chunk().copied().unwrap_or_else(|| four_of(row, 0.0));
                *sum = sum.madd(V::load(&last), x_tail);
            }
        }
        V::sums(sums)
    };
    let (out, out_tail) = out.as_chunks_mut();
    let (blocks, rest) = rows.split_at(out.len() * 4 * cols);
    for (out, block) in out.iter_mut().zip(blocks.chunks_exact(4 * cols)) {
        let (ab, cd) = block.split_at(2 * cols);
        let ((a, b), (c, d)) = (ab.split_at(cols), cd.split_at(cols));
        dots([a, b, c, d]).store(out);
    }
    if !out_tail.is_empty() {
        let row = |j: usize| &rest[j.min(out_tail.len() - 1) * cols..][..cols];
        let mut last = [0.0; 4];
        dots([row(0), row(1), row(2), row(3)]).store(&mut last);
        out_tail.copy_from_slice(&last[..out_tail.len()]);
    }
}

pub(super) fn weighted_sum<V: Vector>(rows: &[f32], cols: usize, weights: &[f32], out: &mut [f32]) {
    assert_eq!(out.len(), cols, "length of the sum");
    assert_eq!(rows.len(), weights.len() * cols, "{} rows of {cols}", weights.len());
    match cols {
        0 => {}
        1..4 => {
            for (row, &weight) in rows.chunks_exact(cols).zip(weights) {
                for (out, value) in out.iter_mut().zip(row) {
                    *out += value * weight;
                }
            }
        }
        4..16 => weighted_columns::<V, 1>(rows, cols, weights, out),
        16..32 => weighted_columns::<V, 4>(rows, cols, weights, out),
        _ => weighted_columns::<V, 8>(rows, cols, weights, out),
    }
}

/// [`weighted_sum`] over stripes of N vectors, whose sums stay in registers from the first row to the last. Where stripes do not divide the
/// columns, the last one overlaps the one before it, computing some of the same numbers from the same start.
#[inline(always)]
fn weighted_columns<V: Vector, const N: usize>(rows: &[f32], cols: usize, weights: &[f32], out: &mut [f32]) {
    let stripe = |out: &[f32], at: usize| {
        let load = |values: &[f32]| -> [V; N] {
            let (fours, _) = values[at..][..4 * N].as_chunks();
            std::array::from_fn(|i| V::load(&fours[i]))
        };
        let mut sums = load(out);
        for (row, &weight) in rows.chunks_exact(cols).zip(weights) {
            let (row, weight) = (load(row), V::splat(weight));
            for (sum, row) in sums.iter_mut().zip(row) {
                *sum = sum.madd(row, weight);
            }
        }
        sums
    };
    let store = |sums: [V; N], out: &mut [f32], at: usize| {
        let (fours, _) = out[at..][..4 * N].as_chunks_mut();
        for (sum, out) in sums.into_iter().zip(fours) {
            sum.store(out);
        }
    };
    let overlapping = cols - 4 * N;
    let last = stripe(out, overlapping);
    for at in (0..overlapping).step_by(4 * N) {
        let sums = stripe(out, at);
        store(sums, out, at);
    }
    store(last, out, overlapping);
}

pub(super) fn rms_norm<V: Vector>(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    assert_eq!(weight.len(), x.len(), "weights of the norm");
    assert_eq!(out.len(), x.len(), "outputs of the norm");
    let (fours, tail) = x.as_chunks();
    let sum = fours.iter().fold(V::splat(0.0), |sum, x| sum.madd(V::load(x), V::load(x)));
    let tail = V::load(&four_of(tail, 0.0));
    let mean = lane_sum(sum.madd(tail, tail)) / x.len() as f32;
    let scale = V::splat(1.0 / (mean + eps).sqrt());
    combine(out, x, weight, |_, x, weight| V::mul(x, scale).mul(weight));
}

pub(super) fn softmax<V: Vector>(x: &mut [f32]) {
    let lowest = V::splat(f32::NEG_INFINITY);
    let (fours, tail) = x.as_chunks_mut();
    let max = fours.iter().fold(lowest, |max, x| V::load(x).max(max)).max(V::load(&four_of(tail, f32::NEG_INFINITY)));
    let mut lanes = [0.0; 4];
    max.store(&mut lanes);
    let max = V::splat(lanes.into_iter().fold(f32::NEG_INFINITY, |max, x| if x < max { max } else { x }));

    let mut sum = V::splat(0.0);
    for x in &mut *fours {
        let e = exp(V::load(x).sub(max));
        sum = sum.add(e);
        e.store(x);
    }
    let e = exp(V::load(&four_of(tail, f32::NEG_INFINITY)).sub(max));
    let scale = V::splat(1.0 / lane_sum(sum.add(e)));
    for x in fours {
        V::load(x).mul(scale).store(x);
    }
    let mut last = [0.0; 4];
    e.mul(scale).store(&mut last);
    for (x, last) in tail.iter_mut().zip(last) {
        *x = last;
    }
}

pub(super) fn silu_mul<V: Vector>(gate: &mut [f32], up: &[f32]) {
    assert_eq!(up.len(), gate.len(), "lengths of gate and up");
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    combine(gate, up, up, |gate, up, _| V::div(gate, one.add(exp(zero.sub(gate)))).mul(up));
}

pub(super) fn rotate<V: Vector>(x: &mut [f32], cos: &[f32], sin: &[f32]) {
    assert_eq!(x.len(), 2 * cos.len(), "length of the head");
    assert_eq!(sin.len(), cos.len(), "length of the sines");
    let (a, b) = x.split_at_mut(cos.len());
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks_mut(), b.as_chunks_mut());
    let ((cos, cos_tail), (sin, sin_tail)) = (cos.as_chunks(), sin.as_chunks());
    for (((a, b), cos), sin) in a.iter_mut().zip(b).zip(cos).zip(sin) {
        let (old_a, old_b, cos, sin) = (V::load(a), V::load(b), V::load(cos), V::load(sin));
        old_a.mul(cos).sub(old_b.mul(sin)).store(a);
        old_b.mul(cos).add(old_a.mul(sin)).store(b);
    }
    for (((a, b), cos), sin) in a_tail.iter_mut().zip(b_tail).zip(cos_tail).zip(sin_tail) {
        (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
    }
}

pub(super) fn add<V: Vector>(x: &mut [f32], y: &[f32]) {
    assert_eq!(y.len(), x.len(), "lengths of a sum");
    combine(x, y, y, |x, y, _| V::add(x, y));
}

/// out = f(out, a, b), lane by lane.
#[inline(always)]
fn combine<V: Vector>(out: &mut [f32], a: &[f32], b: &[f32], f: impl Fn(V, V, V) -> V) {
    let ((out, out_tail), (a, a_tail), (b, b_tail)) = (out.as_chunks_mut(), a.as_chunks(), b.as_chunks());
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        f(V::load(out), V::load(a), V::load(b)).store(out);
    }
    let [old, a, b] = [&*out_tail, a_tail, b_tail].map(|tail| V::load(&four_of(tail, 0.0)));
    let mut last = [0.0; 4];
    f(old, a, b).store(&mut last);
    for (out, last) in out_tail.iter_mut().zip(last) {
        *out = last;
    }
}

/// Up to three values and what fills the other lanes.
#[inline(always)]
fn four_of(tail: &[f32], fill: f32) -> [f32; 4] {
    match *tail {
        [a, b, c] => [a, b, c, fill],
        [a, b] => [a, b, fill, fill],
        [a] => [a, fill, fill, fill],
        _ => [fill; 4],
    }
}

/// The lanes added as (0 + 2) + (1 + 3).
#[inline(always)]
fn lane_sum<V: Vector>(vector: V) -> f32 {
    let mut lanes = [0.0; 4];
    vector.store(&mut lanes);
    (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
}

/// e^x within 2 ulp; 0 where it is below 2^-125.5, since arithmetic on subnormal numbers is slow.
///
/// x = n ln 2 + r with a whole n and |r| <= ln 2 / 2, so that e^x = 2^(n - 1) * 2 e^r. Rounding to n is done by adding
/// 1.5 * 2^23, whose unit in the last place is 1. ln 2 is taken in two parts, the first of so few bits that n times it is
/// exact. Source: Cephes, expf (range reduction and polynomial).
#[expect(clippy::excessive_precision, reason = "the digits of the source")]
#[inline(always)]
pub(super) fn exp<V: Vector>(x: V) -> V {
    const ROUND: f32 = 12_582_912.0;
    let x = x.min(V::splat(89.0)).max(V::splat(-87.4));
    let shifted = V::splat(ROUND).madd(x, V::splat(std::f32::consts::LOG2_E));
    let n = shifted.sub(V::splat(ROUND));
    let r = x.sub(n.mul(V::splat(0.693_359_375))).sub(n.mul(V::splat(-2.121_944_4e-4)));
    let poly = [1.398_199_950_7e-3, 8.333_451_907_3e-3, 4.166_579_589_4e-2, 1.666_666_545_9e-1, 5.000_000_120_1e-1];
    let p = poly.into_iter().fold(V::splat(1.987_569_150_0e-4), |p, c| V::splat(c).madd(p, r));
    let e = V::splat(1.0).add(r.madd(p.mul(r), r));
    e.add(e).mul(shifted.half_pow2())
}
