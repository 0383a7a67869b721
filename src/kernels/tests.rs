//! The kernels against the specification, at every length around the widths of vectors and tiles, and at the
//! odd sizes of published models: 26 (head_dim of Minueza-32M), 312 and 1092 (its hidden and inter), none a
//! multiple of eight.

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::product::LEVELS;
use super::vector::Vector;
use super::{
    Activations, F32x4, Panel, add, decode_f16, dot_rows, matmul, pointwise, rms_norm, rotate, scalar, silu_mul, softmax_step, weighted_sum,
};
use crate::pool::Pool;
use crate::quant::{BLOCK_COLS, Dtype, F16x8, Factor, Format, Levels, Matrix, ROW_UNIT, encode_f16};

mod kv;

/// Roundings that products of integers need beyond those of their sum: of both scales, their product, and
/// each decoded number.
const SCALES: usize = 4;

/// How many times larger the terms of a product can be than scale * level + offset, where the two cancel.
fn cancelling(format: Format, terms: usize) -> usize {
    let has_offsets = matches!(format, Format::Q8Wide | Format::Q4 | Format::Q4Wide | Format::Q4Fine);
    if has_offsets { 64 * terms } else { terms }
}

/// Fused multiply-adds give other last bits.
const RELAXED: bool = cfg!(target_feature = "relaxed-simd");

/// Lengths at which a kernel could go wrong: every one up to beyond two tiles of any kind, and the odd ones
/// of real models.
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
    product_on(&Pool::new(1), w, x, seq, &mut Activations::default(), &mut [Panel::default()])
}

/// The threads of `pool` share the rows, as they do in a model.
fn product_on(pool: &Pool, w: &Matrix, x: &[f32], seq: usize, activations: &mut Activations, panels: &mut [Panel]) -> Vec<f32> {
    let mut out = vec![f32::NAN; seq * w.rows()];
    activations.prepare(x, w.cols(), w.dtype());
    let activations = &*activations;
    pool.split([(&mut out, w.rows(), ROW_UNIT)], usize::MAX, panels, |[mut out], panel| matmul(w, activations, &mut out, panel));
    out
}

/// A matrix of random weights. Integers have random codes and scales, so that formats that no floats are
/// rounded to are tried as well.
fn random_matrix(random: &mut Random, format: Format, rows: usize, cols: usize) -> Matrix {
    if !format.dtype().is_quantised() {
        return Matrix::from_f32(format.dtype(), rows, cols, &random.values(rows * cols)).unwrap();
    }
    let mut matrix = Matrix::new(format, rows, cols).unwrap();
    for row in 0..rows {
        for block in 0..cols.div_ceil(BLOCK_COLS) {
            let has_offsets = !matches!(format, Format::Q8 | Format::Q8Fine);
            let factors = [0; 2].map(|_| match format {
                Format::Q4 => [0; 2].map(|_| (random.next() * 1024.0).round() / 65536.0), // what f16 holds
                _ => [random.next() / 64.0, if has_offsets { random.next() } else { 0.0 }],
            });
            let factors = factors.map(|[scale, offset]| Factor { scale, offset });
            let factors = if matches!(format, Format::Q8Fine | Format::Q4Fine) { factors } else { [factors[0]; 2] };
            let levels = std::array::from_fn(|_| match format.dtype() {
                Dtype::Q8 => (random.next() * 128.0).floor() as i8,
                _ => (random.next() * 8.0 + 8.0) as i8,
            });
            matrix.set_levels(row, block, &Levels { levels, factors }).unwrap();
        }
    }
    assert_eq!(matrix.format(), format);
    matrix
}

/// What the kernels of integers make of activations: 32 at a time rounded to whole numbers.
fn rounded(x: &[f32], cols: usize, dtype: Dtype) -> Vec<f32> {
    let levels = if dtype == Dtype::Q4 { F32x4::NIBBLE_LEVELS } else { LEVELS };
    let block = |block: &[f32]| {
        let max = block.iter().fold(0.0, |max: f32, x| max.max(x.abs()));
        let inverse = if max == 0.0 { 0.0 } else { levels / max };
        block.iter().map(|x| (x * inverse).round_ties_even() * (max / levels)).collect::<Vec<_>>()
    };
    x.chunks(cols.max(1)).flat_map(|row| row.chunks(BLOCK_COLS)).flat_map(block).collect()
}

/// The activations that a product with a matrix of this format is the exact product of.
fn as_taken(x: &[f32], cols: usize, dtype: Dtype) -> Vec<f32> {
    if dtype.is_quantised() { rounded(x, cols, dtype) } else { x.to_vec() }
}

/// Rows padded with zeros to whole vectors.
fn vectors(values: &[f32], cols: usize) -> Vec<[f32; 4]> {
    let row = |row: &[f32]| row.chunks(4).map(|four| std::array::from_fn(|i| four.get(i).copied().unwrap_or(0.0))).collect::<Vec<_>>();
    values.chunks(cols.max(1)).flat_map(row).collect()
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
    for format in Format::ALL {
        for cols in lengths() {
            let rows = 5;
            let w = random_matrix(&mut random, format, rows, cols);
            for seq in [1, 3, 4, 9] {
                let x = random.values(seq * cols);
                let expected = scalar::matmul(&decoded(&w), &as_taken(&x, cols, w.dtype()), cols, seq, rows);
                assert_close(
                    &format!("{format:?}, {cols} columns, {seq} positions"),
                    cancelling(format, cols + SCALES),
                    &product(&w, &x, seq),
                    &expected,
                );
            }
        }
    }
}

#[test]
fn matmul_is_the_specification_at_every_number_of_rows_and_positions() {
    let mut random = Random(2);
    let cols = 26;
    for format in Format::ALL {
        for (rows, seq) in (0..=13).flat_map(|rows| (0..=9).map(move |seq| (rows, seq))).chain([(70, 1), (1092, 2), (1, 70)]) {
            let w = random_matrix(&mut random, format, rows, cols);
            let x = random.values(seq * cols);
            let expected = scalar::matmul(&decoded(&w), &as_taken(&x, cols, w.dtype()), cols, seq, rows);
            assert_close(
                &format!("{format:?}, {rows} rows, {seq} positions"),
                cancelling(format, cols + SCALES),
                &product(&w, &x, seq),
                &expected,
            );
        }
    }
}

#[test]
fn one_position_gives_the_same_bits_as_many_on_any_number_of_threads() {
    let mut random = Random(3);
    let pools = if cfg!(target_family = "wasm") { vec![Pool::new(1)] } else { [1, 2, 3].map(Pool::new).to_vec() };
    for format in Format::ALL {
        for (rows, cols) in [(1, 1), (4, 8), (7, 26), (26, 312), (13, 1092), (70, 64)] {
            let seq = 13;
            let w = random_matrix(&mut random, format, rows, cols);
            let x = random.values(seq * cols);
            let mut activations = Activations::default();
            let mut panels: [Panel; 3] = Default::default();
            let singles: Vec<u32> = x.chunks_exact(cols).flat_map(|x| bits(&product(&w, x, 1))).collect();
            for pool in &pools {
                for many in 1..=seq {
                    let out = product_on(pool, &w, &x[..many * cols], many, &mut activations, &mut panels);
                    let threads = pool.threads();
                    assert_eq!(bits(&out), singles[..many * rows], "{format:?}, {rows} x {cols}, {many} positions, {threads} threads");
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
    for dtype in Dtype::ALL {
        for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            for cols in [1, 26, 64] {
                for at in [0, cols - 1] {
                    let mut values = vec![0.5; 5 * cols];
                    values[3 * cols + at] = bad;
                    let w = Matrix::from_f32(dtype, 5, cols, &values).unwrap();
                    for seq in [1, 2, 3, 4, 9] {
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
    for dtype in Dtype::ALL {
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
fn dot_rows_is_the_specification_at_every_width_and_for_both_queries() {
    let mut random = Random(5);
    for cols in lengths() {
        for count in 0..=9 {
            let values = random.values(count * cols);
            let x = [random.values(cols), random.values(cols)];
            let mut out = [vec![f32::NAN; count], vec![f32::NAN; count]];
            let rows = vectors(&values, cols);
            let [xa, xb] = [vectors(&x[0], cols), vectors(&x[1], cols)];
            let [a, b] = &mut out;
            dot_rows(&rows, [&xa, &xb], [a, b]);
            for (x, out) in x.iter().zip(&out) {
                assert_close(&format!("{count} rows of {cols}"), cols, out, &scalar::matmul(&values, x, cols, 1, count));
            }
            let mut alone = vec![f32::NAN; count];
            dot_rows(&rows, [&xb], [&mut alone]);
            assert_eq!(bits(&alone), bits(&out[1]), "{count} rows of {cols}, one query or two");
        }
    }
}

#[test]
fn dot_rows_gives_a_row_the_same_bits_in_any_block() {
    let mut random = Random(6);
    for wide in [1, 2, 4, 7, 16] {
        let (rows, x) = (vectors(&random.values(36 * wide), 4), vectors(&random.values(4 * wide), 4));
        let mut all = [f32::NAN; 9];
        dot_rows(&rows, [&x], [&mut all]);
        for (from, to) in (0..9).flat_map(|from| (from..=9).map(move |to| (from, to))) {
            let mut some = vec![f32::NAN; to - from];
            dot_rows(&rows[from * wide..to * wide], [&x], [&mut some]);
            assert_eq!(bits(&some), bits(&all[from..to]), "rows {from}..{to} of {wide}");
        }
    }
}

#[test]
fn weighted_sum_is_the_specification_at_every_width() {
    let mut random = Random(7);
    for wide in (0..=18).chain([32]) {
        for count in 0..=9 {
            let cols = 4 * wide;
            let (values, weights, before) = (random.values(count * cols), random.values(count), random.values(cols));
            let mut out = vectors(&before, 4);
            weighted_sum(&vectors(&values, 4), &weights, &mut out);
            let expected = scalar::weighted_sum(&values, &weights, &before);
            assert_close(&format!("{count} rows of {cols}"), count, out.as_flattened(), &expected);
        }
    }
}

#[test]
fn weighted_sum_in_pieces_gives_the_same_bits_as_at_once() {
    let mut random = Random(8);
    for wide in [1, 2, 3, 4, 8, 16, 32] {
        let (rows, weights) = (vectors(&random.values(36 * wide), 4), random.values(9));
        let mut once = vec![[0.0; 4]; wide];
        weighted_sum(&rows, &weights, &mut once);
        for cut in 0..=9 {
            let mut twice = vec![[0.0; 4]; wide];
            weighted_sum(&rows[..cut * wide], &weights[..cut], &mut twice);
            weighted_sum(&rows[cut * wide..], &weights[cut..], &mut twice);
            assert_eq!(twice, once, "9 rows of {wide} vectors, cut at {cut}");
        }
    }
}

#[test]
fn rows_of_f16_are_decoded_to_what_was_encoded() {
    let mut random = Random(16);
    for cols in [1usize, 8, 26, 64, 128] {
        let wide = cols.div_ceil(8);
        let values = random.values(3 * cols);
        let mut rows = vec![F16x8::default(); 3 * wide];
        let factors: Vec<f32> = values.chunks(cols).zip(rows.chunks_mut(wide)).map(|(values, row)| encode_f16(values, row)).collect();
        let mut out = vec![[f32::NAN; 4]; 6 * wide];
        decode_f16(&rows, &factors, &mut out);
        for (values, out) in values.chunks(cols).zip(out.chunks(2 * wide)) {
            let (got, padding) = out.as_flattened().split_at(cols);
            assert!(padding.iter().all(|&value| value == 0.0));
            let max = values.iter().fold(0.0, |max: f32, value| max.max(value.abs()));
            for (got, value) in got.iter().zip(values) {
                assert!((got - value).abs() <= value.abs() * 2f32.powi(-11) + max * 2f32.powi(-40), "{value} became {got}");
            }
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
        super::vector::Vector::store(pointwise::exp::<F32x4>(super::vector::Vector::splat(x)), &mut out);
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

/// A whole softmax by steps of at most `step`.
fn softmax_by(step: usize, x: &[f32], scale: f32) -> Vec<f32> {
    let mut running = [f32::NEG_INFINITY, 0.0];
    let mut out: Vec<f32> = Vec::new();
    for piece in x.chunks(step) {
        let mut piece = piece.to_vec();
        let factor = softmax_step(&mut piece, scale, &mut running);
        out.iter_mut().for_each(|value| *value *= factor);
        out.extend(piece);
    }
    out.iter().map(|value| value / running[1]).collect()
}

#[test]
fn softmax_by_steps_is_the_specification_at_every_length() {
    let mut random = Random(10);
    for len in lengths() {
        for scale in [1.0, 30.0, 1e4] {
            let x = random.values(len);
            let scaled: Vec<f32> = x.iter().map(|x| x * scale).collect();
            for step in [1, 7, 64, 2000] {
                // Each correction is one more exponential, of a difference that is rounded in units of the
                // largest score.
                let tolerance = (len + 8 + 8 * len / step) as f64 * f64::from(f32::EPSILON);
                let tolerance = tolerance + f64::from(4.0 * scale * f32::EPSILON);
                assert_relative(
                    &format!("length {len} by {step}, scale {scale}"),
                    tolerance,
                    &softmax_by(step, &x, scale),
                    &scalar::softmax(&scaled),
                );
            }
        }
    }
}

#[test]
fn softmax_of_one_of_equals_and_of_minus_infinities() {
    assert_eq!(softmax_by(64, &[-1e30], 1.0), [1.0]);
    assert_eq!(softmax_by(64, &[3.5; 8], 1.0), [0.125; 8]);
    let masked = [f32::NEG_INFINITY, 2.0, f32::NEG_INFINITY, 2.0, f32::NEG_INFINITY];
    assert_eq!(softmax_by(64, &masked, 1.0), [0.0, 0.5, 0.0, 0.5, 0.0]);
    for at in 0..6 {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut damaged = [1.0; 6];
            damaged[at] = bad;
            for step in [1, 2, 64] {
                assert!(softmax_by(step, &damaged, 1.0).iter().any(|x| x.is_nan()), "{bad} at {at} by {step}");
            }
        }
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

/// The constant was computed by both implementations. A change of it is a change of the order of some sum,
/// or of exp: allowed, but only in all implementations at once. Relaxed SIMD has other last bits.
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
        for format in Format::ALL {
            let w = random_matrix(&mut random, format, rows, cols);
            digest(&product(&w, &random.values(5 * cols), 5));
        }
        let (w, x) = (random.values(rows * cols), random.values(cols));
        let (keys, mut scores, mut sums) = (vectors(&w, cols), vec![f32::NAN; rows], vectors(&vec![0.0; cols], cols));
        dot_rows(&keys, [&vectors(&x, cols)], [&mut scores]);
        digest(&scores);
        let factor = softmax_step(&mut scores, 0.5, &mut [0.25, 1.0]);
        digest(&scores);
        digest(&[factor]);
        weighted_sum(&keys, &scores, &mut sums);
        let mut out = sums.as_flattened()[..cols].to_vec();
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
    assert!(RELAXED || hash == 0x0f50_3a19_3aaa_d6ad, "{hash:#018x}");
}
