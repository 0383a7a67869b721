//! The kernels that take numbers one by one: normalise, exponentiate, gate, rotate, add.

use super::vector::Vector;

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

pub(super) fn softmax_step<V: Vector>(scores: &mut [f32], scale: f32, running: &mut [f32; 2]) -> f32 {
    let scale = V::splat(scale);
    let (fours, tail) = scores.as_chunks_mut();
    let last = V::load(&four_of(tail, f32::NEG_INFINITY)).mul(scale);
    let max = fours.iter().fold(last, |max, x| V::load(x).mul(scale).max(max));
    let mut lanes = [0.0; 4];
    max.store(&mut lanes);
    let max = lanes.into_iter().fold(running[0], |max, x| if x < max { max } else { x });

    let largest = V::splat(max);
    let mut sum = V::splat(0.0);
    for x in fours {
        let e = exp(V::load(x).mul(scale).sub(largest));
        sum = sum.add(e);
        e.store(x);
    }
    let e = exp(last.sub(largest));
    e.store(&mut lanes);
    for (x, last) in tail.iter_mut().zip(lanes) {
        *x = last;
    }
    exp(V::splat(running[0]).sub(largest)).store(&mut lanes);
    let factor = lanes[0];
    *running = [max, running[1] * factor + lane_sum(sum.add(e))];
    factor
}

pub(super) fn scale<V: Vector>(x: &mut [[f32; 4]], factor: f32) {
    for x in x {
        V::load(x).mul(V::splat(factor)).store(x);
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
pub(super) fn lane_sum<V: Vector>(vector: V) -> f32 {
    let mut lanes = [0.0; 4];
    vector.store(&mut lanes);
    (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])
}

/// e^x within 2 ulp; 0 where it is below 2^-125.5, since arithmetic on subnormal numbers is slow.
///
/// x = n ln 2 + r with a whole n and |r| <= ln 2 / 2, so that e^x = 2^(n - 1) * 2 e^r. Rounding to n is done
/// by adding 1.5 * 2^23, whose unit in the last place is 1. ln 2 is taken in two parts, the first of so few
/// bits that n times it is exact. Source: Cephes, expf (range reduction and polynomial).
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
