//! The kernels against the specification, at every length around the widths of vectors and tiles, and at the odd sizes of published
//! models: 26 (head_dim of Minueza-32M), 312 and 1092 (its hidden and inter), none a multiple of eight.

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{F32x4, Panel, add, dot_rows, generic, matmul, rms_norm, rotate, scalar, silu_mul, softmax, weighted_sum};
use crate::quant::{Dtype, Matrix};

const DTYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

/// Lengths at which a kernel could go wrong: every one up to beyond two tiles of any kind, and the odd ones of real models.
fn lengths() -> impl Iterator<Item = usize> {
    (0..=70).chain([312, 1092])
}

/// Deterministic values in [-1, 1) (Knuth's 64-bit congruential generator).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn values(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.next()).collect()
    }
}

fn decoded(w: &Matrix) -> Vec<f32> {
    let mut values = vec![f32::NAN; w.rows() * w.cols()];
    for row in 0..w.rows() {
        w.row(row, &mut values[row * w.cols()..][..w.cols()]);
    }
    values
}

fn product(w: &Matrix, x: &[f32], seq: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; seq * w.rows()];
    matmul(w, x, &mut out, &mut Panel::default());
    out
}

/// |got - expected| <= n * 2^-23 * sum of |a * b|, for sums of n terms.
fn assert_close(what: &str, n: usize, got: &[f32], expected: &[(f64, f64)]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (at, (&got, &(expected, magnitude))) in got.iter().zip(expected).enumerate() {
        let bound = n as f64 * f64::from(f32::EPSILON) * magnitude;
        assert!((f64::from(got) - expected).abs() <= bound, "{what}: output {at} is {got}, not {expected} within {bound}");
    }
}

/// |got - expected| <= tolerance * |expected|, but for results so small that exp may have made them zero.
fn assert_relative(what: &str, tolerance: f64, got: &[f32], expected: &[f64]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (at, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let bound = tolerance * expected.abs() + 128.0 * f64::from(f32::MIN_POSITIVE);
        assert!((f64::from(got) - expected).abs() <= bound, "{what}: output {at} is {got}, not {expected} within {bound}");
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn matmul_is_the_specification_at_every_width() {
    let mut random = Random(1);
    for dtype in DTYPES {
        for cols in lengths() {
            let (rows, seq) = (5, 3);
            let w = Matrix::from_f32(dtype, rows, cols, &random.values(rows * cols)).unwrap();
            let x = random.values(seq * cols);
            let expected = scalar::matmul(&decoded(&w), &x, cols, seq, rows);
            assert_close(&format!("{dtype}, {cols} columns"), cols, &product(&w, &x, seq), &expected);
        }
    }
}

#[test]
fn matmul_is_the_specification_at_every_number_of_rows_and_positions() {
    let mut random = Random(2);
    let cols = 26;
    for dtype in DTYPES {
        for (rows, seq) in (0..=13).flat_map(|rows| (0..=9).map(move |seq| (rows, seq))).chain([(70, 1), (1092, 2), (1, 70)]) {
            let w = Matrix::from_f32(dtype, rows, cols, &random.values(rows * cols)).unwrap();
            let x = random.values(seq * cols);
            let expected = scalar::matmul(&decoded(&w), &x, cols, seq, rows);
            assert_close(&format!("{dtype}, {rows} rows, {seq} positions"), cols, &product(&w, &x, seq), &expected);
        }
    }
}

#[test]
fn one_position_gives_the_same_bits_as_many() {
    let mut random = Random(3);
    for dtype in DTYPES {
        for (rows, cols) in [(1, 1), (4, 8), (7, 26), (26, 312), (13, 1092), (64, 64)] {
            let seq = 7;
            let w = Matrix::from_f32(dtype, rows, cols, &random.values(rows * cols)).unwrap();
            let x = random.values(seq * cols);
            let mut panel = Panel::default();
            for many in 2..=seq {
                let mut out = vec![f32::NAN; many * rows];
                matmul(&w, &x[..many * cols], &mut out, &mut panel);
                for (x, out) in x.chunks_exact(cols).zip(out.chunks_exact(rows)) {
                    let mut one = vec![f32::NAN; rows];
                    matmul(&w, x, &mut one, &mut panel);
                    assert_eq!(bits(&one), bits(out), "{dtype}, {rows} x {cols}, {many} positions");
                }
            }
        }
    }
}

#[test]
fn the_scales_of_f16_survive_tiny_and_huge_activations() {
    for scale in [1e-30, 1e-15, 1e15, 1e18] {
        let mut random = Random(4);
        let w = Matrix::from_f32(Dtype::F16, 4, 64, &random.values(4 * 64)).unwrap();
        let x: Vec<f32> = random.values(2 * 64).into_iter().map(|x| x * scale).collect();
        let expected = scalar::matmul(&decoded(&w), &x, 64, 2, 4);
        assert_close(&format!("activations around {scale}"), 64, &product(&w, &x, 2), &expected);
    }
}

#[test]
fn weights_that_are_not_finite_give_outputs_that_are_not_finite() {
    for dtype in DTYPES {
        for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            for cols in [1, 26, 64] {
                for at in [0, cols - 1] {
                    let mut values = vec![0.5; 5 * cols];
                    values[3 * cols + at] = bad;
                    let w = Matrix::from_f32(dtype, 5, cols, &values).unwrap();
                    for seq in [1, 2] {
                        let out = product(&w, &vec![1.0; seq * cols], seq);
                        for (at, out) in out.iter().enumerate() {
                            assert_eq!(out.is_finite(), at % 5 != 3, "{dtype}, {bad}, {cols} columns: output {at} is {out}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn activations_that_are_not_finite_give_outputs_that_are_not_finite() {
    for dtype in DTYPES {
        for bad in [f32::INFINITY, f32::NAN] {
            for cols in [1, 26, 64] {
                let w = Matrix::from_f32(dtype, 3, cols, &vec![0.5; 3 * cols]).unwrap();
                let mut x = vec![1.0; 2 * cols];
                x[2 * cols - 1] = bad;
                let out = product(&w, &x, 2);
                assert!(out[..3].iter().all(|out| out.is_finite()), "{dtype}, {bad}, {cols} columns: {out:?}");
                assert!(!out[3..].iter().any(|out| out.is_finite()), "{dtype}, {bad}, {cols} columns: {out:?}");
            }
        }
    }
}

#[test]
fn dot_rows_is_the_specification_at_every_width_and_offset() {
    let mut random = Random(5);
    for cols in lengths() {
        for (rows, offset) in (0..=9).zip([0, 1, 2, 3].into_iter().cycle()) {
            let values = random.values(offset + rows * cols);
            let x = random.values(cols);
            let mut out = vec![f32::NAN; rows];
            dot_rows(&values[offset..], cols, &x, &mut out);
            assert_close(&format!("{rows} rows of {cols}"), cols, &out, &scalar::matmul(&values[offset..], &x, cols, 1, rows));
        }
    }
}

#[test]
fn dot_rows_gives_a_row_the_same_bits_in_any_block() {
    let mut random = Random(6);
    for cols in [1, 2, 3, 4, 5, 16, 26, 64] {
        let (rows, x) = (random.values(9 * cols), random.values(cols));
        let mut all = [f32::NAN; 9];
        dot_rows(&rows, cols, &x, &mut all);
        for (from, to) in (0..9).flat_map(|from| (from..=9).map(move |to| (from, to))) {
            let mut some = vec![f32::NAN; to - from];
            dot_rows(&rows[from * cols..to * cols], cols, &x, &mut some);
            assert_eq!(bits(&some), bits(&all[from..to]), "rows {from}..{to} of {cols}");
        }
    }
}

#[test]
fn weighted_sum_is_the_specification_at_every_width_and_offset() {
    let mut random = Random(7);
    for cols in lengths() {
        for (rows, offset) in (0..=9).zip([0, 1, 2, 3].into_iter().cycle()) {
            let values = random.values(offset + rows * cols);
            let (weights, before) = (random.values(rows), random.values(cols));
            let mut out = before.clone();
            weighted_sum(&values[offset..], cols, &weights, &mut out);
            let expected = scalar::weighted_sum(&values[offset..], &weights, &before);
            assert_close(&format!("{rows} rows of {cols}"), rows, &out, &expected);
        }
    }
}

#[test]
fn weighted_sum_in_pieces_gives_the_same_bits_as_at_once() {
    let mut random = Random(8);
    for cols in [1, 3, 4, 16, 26, 64, 128] {
        let (rows, weights) = (random.values(9 * cols), random.values(9));
        let mut once = vec![0.0; cols];
        weighted_sum(&rows, cols, &weights, &mut once);
        for cut in 0..=9 {
            let mut twice = vec![0.0; cols];
            weighted_sum(&rows[..cut * cols], cols, &weights[..cut], &mut twice);
            weighted_sum(&rows[cut * cols..], cols, &weights[cut..], &mut twice);
            assert_eq!(bits(&twice), bits(&once), "9 rows of {cols}, cut at {cut}");
        }
    }
}

#[test]
fn rms_norm_is_the_specification_at_every_length() {
    let mut random = Random(9);
    for len in lengths() {
        for scale in [1e-6, 1.0, 1e6] {
            let x: Vec<f32> = random.values(len).into_iter().map(|x| x * scale).collect();
            let weight = random.values(len);
            let mut out = vec![f32::NAN; len];
            rms_norm(&x, &weight, 1e-5, &mut out);
            let tolerance = (len + 8) as f64 * f64::from(f32::EPSILON);
            assert_relative(&format!("length {len}, scale {scale}"), tolerance, &out, &scalar::rms_norm(&x, &weight, 1e-5));
        }
    }
    let mut out = [f32::NAN; 5];
    rms_norm(&[0.0; 5], &[1.0; 5], 1e-5, &mut out);
    assert_eq!(out, [0.0; 5]);
}

#[test]
fn exp_is_within_two_ulp_wherever_the_result_is_normal() {
    let exp = |x: f32| {
        let mut out = [f32::NAN; 4];
        super::vector::Vector::store(generic::exp::<F32x4>(super::vector::Vector::splat(x)), &mut out);
        out[0]
    };
    let steps = if cfg!(target_family = "wasm") { 500_000 } else { 2_000_000 };
    for step in 0..=steps {
        let x = -86.98 + (88.72 + 86.98) * step as f32 / steps as f32;
        let (got, expected) = (f64::from(exp(x)), libm::exp(f64::from(x)));
        let ulp = f64::from((expected as f32).next_up()) - f64::from(expected as f32);
        assert!((got - expected).abs() <= 2.0 * ulp, "exp({x}) is {got}, not {expected}");
    }
    assert_eq!(exp(0.0), 1.0);
    assert_eq!(exp(-0.0), 1.0);
    for x in [-87.4, -88.0, -104.0, -1e30, f32::NEG_INFINITY] {
        assert_eq!(exp(x), 0.0, "exp({x})");
    }
    for x in [88.73, 89.0, 1e30, f32::INFINITY] {
        assert_eq!(exp(x), f32::INFINITY, "exp({x})");
    }
    assert!(exp(f32::NAN).is_nan());
}

#[test]
fn softmax_is_the_specification_at_every_length() {
    let mut random = Random(10);
    for len in lengths() {
        for scale in [1.0, 30.0, 1e4] {
            let x: Vec<f32> = random.values(len).into_iter().map(|x| x * scale).collect();
            let mut got = x.clone();
            softmax(&mut got);
            let tolerance = (len + 8) as f64 * f64::from(f32::EPSILON);
            assert_relative(&format!("length {len}, scale {scale}"), tolerance, &got, &scalar::softmax(&x));
        }
    }
}

#[test]
fn softmax_of_one_of_equals_and_of_minus_infinities() {
    let mut one = [-1e30];
    softmax(&mut one);
    assert_eq!(one, [1.0]);
    let mut equal = [3.5; 8];
    softmax(&mut equal);
    assert_eq!(equal, [0.125; 8]);
    let mut masked = [f32::NEG_INFINITY, 2.0, f32::NEG_INFINITY, 2.0, f32::NEG_INFINITY];
    softmax(&mut masked);
    assert_eq!(masked, [0.0, 0.5, 0.0, 0.5, 0.0]);
    let mut nothing = [f32::NEG_INFINITY; 3];
    softmax(&mut nothing);
    assert!(nothing.iter().all(|x| x.is_nan()));
    for at in 0..6 {
        let mut damaged = [1.0; 6];
        damaged[at] = f32::NAN;
        softmax(&mut damaged);
        assert!(damaged.iter().any(|x| x.is_nan()), "NaN at {at}: {damaged:?}");
    }
}

#[test]
fn softmax_ignores_a_masked_tail_to_the_bit() {
    let mut random = Random(11);
    for len in 1..=20 {
        let mut bare: Vec<f32> = random.values(len).into_iter().map(|x| x * 5.0).collect();
        let mut masked = bare.clone();
        masked.resize(len + 9, f32::NEG_INFINITY);
        softmax(&mut bare);
        softmax(&mut masked);
        assert_eq!(bits(&masked[..len]), bits(&bare));
        assert_eq!(masked[len..], [0.0; 9]);
    }
}

#[test]
fn silu_mul_is_the_specification_at_every_length() {
    let mut random = Random(12);
    for len in lengths() {
        let mut gate: Vec<f32> = random.values(len).into_iter().map(|x| x * 100.0).collect();
        let up = random.values(len);
        let expected: Vec<f64> = gate.iter().zip(&up).map(|(&gate, &up)| scalar::silu_mul(gate, up)).collect();
        silu_mul(&mut gate, &up);
        assert_relative(&format!("length {len}"), 1e-6, &gate, &expected);
    }
    let mut gate = [f32::NEG_INFINITY, f32::INFINITY, f32::NAN, -1000.0, 0.0];
    silu_mul(&mut gate, &[1.0; 5]);
    assert!(gate[0].is_nan() && gate[2].is_nan());
    assert_eq!((gate[1], gate[3], gate[4]), (f32::INFINITY, 0.0, 0.0));
}

#[test]
fn rotate_is_the_specification_at_every_length() {
    let mut random = Random(13);
    for half in lengths() {
        let x = random.values(2 * half);
        let (cos, sin) = (random.values(half), random.values(half));
        let mut got = x.clone();
        rotate(&mut got, &cos, &sin);
        let expected: Vec<_> = scalar::rotate(&x, &cos, &sin).into_iter().map(|value| (value, 2.0)).collect();
        assert_close(&format!("half {half}"), 1, &got, &expected);
    }
}

#[test]
fn add_is_exact_at_every_length() {
    let mut random = Random(14);
    for len in lengths() {
        let (x, y) = (random.values(len), random.values(len));
        let mut got = x.clone();
        add(&mut got, &y);
        assert!(got.iter().zip(x.iter().zip(&y)).all(|(got, (x, y))| *got == x + y), "length {len}");
    }
}

/// The constant was computed by both implementations. A change of it is a change of the order of some sum, or of exp: allowed, but only in
/// all implementations at once.
#[test]
fn every_implementation_gives_these_bits() {
    let mut random = Random(15);
    let mut hash = 0xcbf2_9ce4_8422_2325_u64; // FNV-1a
    let mut digest = |values: &[f32]| {
        for value in values {
            hash = (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for (rows, cols) in [(99, 26), (26, 312), (5, 1092), (64, 128)] {
        for dtype in DTYPES {
            let w = Matrix::from_f32(dtype, rows, cols, &random.values(rows * cols)).unwrap();
            digest(&product(&w, &random.values(5 * cols), 5));
        }
        let (w, x) = (random.values(rows * cols), random.values(cols));
        let (mut scores, mut out) = (vec![f32::NAN; rows], vec![0.0; cols]);
        dot_rows(&w, cols, &x, &mut scores);
        digest(&scores);
        softmax(&mut scores);
        digest(&scores);
        weighted_sum(&w, cols, &scores, &mut out);
        digest(&out);
        rotate(&mut out, &x[..cols / 2], &w[..cols / 2]);
        digest(&out);
        silu_mul(&mut out, &x);
        digest(&out);
        let mut normed = vec![f32::NAN; cols];
        rms_norm(&out, &x, 1e-5, &mut normed);
        add(&mut normed, &x);
        digest(&normed);
    }
    assert_eq!(hash, 0x4472_a8cf_b6f7_3e0b, "{hash:#018x}");
}
