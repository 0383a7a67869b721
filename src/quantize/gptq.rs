//! GPTQ: rounds a matrix column by column, and lets the later columns make up for the error.
//!
//! ```text
//! H = Gram matrix of the inputs, and a little of the identity
//! H = R R^T, R upper triangular;  U = R^-1        (U^T U = H^-1)
//! for each column j:
//!     at the first column of a group, fit scale and offset to the group
//!     q[j] = the level nearest to w[j]
//!     w[k] -= (w[j] - q[j]) U[j][k] / U[j][j]    for every k > j
//! ```
//!
//! Source: Frantar et al. 2022, section 3.3, without their batches of updates. They take the inverse and then
//! its Cholesky factor; the triangular factor of H from its other end needs no inverse.

use ::half::f16;

use super::Gram;

/// What weights are rounded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Bits of a level, 2 to 8.
    pub bits: u32,
    /// Columns that share a scale and an offset.
    pub group: usize,
}

/// A matrix in few bits: `weight = scale * level + offset`.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantised {
    /// Shapes: (rows, cols).
    pub levels: Vec<u8>,
    /// Shapes: (rows, cols / group).
    pub scales: Vec<f16>,
    /// Shapes: (rows, cols / group).
    pub offsets: Vec<f16>,
}

/// The part of the mean of the diagonal of H that is added to it. Source: Frantar et al. 2022, section 3.3.
const DAMPING: f64 = 0.01;

/// By how many levels more or less than there are the range of a group is divided.
const CANDIDATES: [f32; 12] = [-3.0, -2.5, -2.0, -1.5, -1.2, -0.9, -0.6, -0.3, 0.0, 0.3, 0.6, 0.9];

/// Rounds a matrix whose inputs are those of `gram`; `None`: every input is as likely as any other.
///
/// Shapes: `weights` (rows, gram.cols()), or (rows, `cols`). Panics: if the lengths do not fit together, or
/// the group does not divide the columns.
pub fn quantise(weights: &[f32], cols: usize, gram: Option<&Gram>, grid: Grid, threads: usize) -> Quantised {
    assert!(cols.is_multiple_of(grid.group) && weights.len().is_multiple_of(cols), "groups of {} in rows of {cols}", grid.group);
    assert!(gram.is_none_or(|gram| gram.cols() == cols), "inputs of a matrix of {cols} columns");
    let (importance, errors) = match gram {
        Some(gram) => {
            let h = damped(gram);
            (h.iter().step_by(cols + 1).map(|&h| h as f32).collect(), Some(inverse_factor(h, cols)))
        }
        None => (vec![1.0; cols], None),
    };
    let (rows, groups) = (weights.len() / cols, cols / grid.group);
    let mut out =
        Quantised { levels: vec![0; weights.len()], scales: vec![f16::ZERO; rows * groups], offsets: vec![f16::ZERO; rows * groups] };
    let share = rows.div_ceil(threads.max(1)).max(1);
    std::thread::scope(|scope| {
        let levels = out.levels.chunks_mut(share * cols);
        let factors = out.scales.chunks_mut(share * groups).zip(out.offsets.chunks_mut(share * groups));
        for ((weights, levels), (scales, offsets)) in weights.chunks(share * cols).zip(levels).zip(factors) {
            let (importance, errors) = (&importance, errors.as_deref());
            scope.spawn(move || {
                let rows = weights.chunks_exact(cols).zip(levels.chunks_exact_mut(cols));
                let factors = scales.chunks_exact_mut(groups).zip(offsets.chunks_exact_mut(groups));
                for ((weights, levels), (scales, offsets)) in rows.zip(factors) {
                    round_row(weights, importance, errors, grid, levels, scales, offsets);
                }
            });
        }
    });
    out
}

/// H: the Gram matrix with a part of the mean of its diagonal added. Shapes: (cols, cols), upper triangle.
fn damped(gram: &Gram) -> Vec<f64> {
    let cols = gram.cols();
    let mean = (0..cols).map(|i| f64::from(gram.at(i, i))).sum::<f64>() / cols as f64;
    let damping = if mean > 0.0 { mean * DAMPING } else { 1.0 };
    let mut h = vec![0.0; cols * cols];
    for (row, out) in h.chunks_exact_mut(cols).enumerate() {
        (row..cols).for_each(|col| out[col] = f64::from(gram.at(row, col)));
        out[row] += damping;
    }
    h
}

/// U, each row divided by its diagonal. Shapes: (cols, cols), upper triangle.
fn inverse_factor(h: Vec<f64>, cols: usize) -> Vec<f32> {
    let r = upper_factor(h, cols);
    let mut u = vec![0.0; cols * cols];
    for i in (0..cols).rev() {
        // r[i] . u = the i-th row of the identity.
        let (row, below) = u[i * cols..].split_at_mut(cols);
        for (k, u) in (i + 1..cols).zip(below.chunks_exact(cols)) {
            let factor = r[i * cols + k];
            row[k..].iter_mut().zip(&u[k..]).for_each(|(out, u)| *out -= factor * u);
        }
        row[i] = 1.0;
        let diagonal = r[i * cols + i];
        row[i..].iter_mut().for_each(|out| *out /= diagonal);
    }
    u.chunks_exact(cols).enumerate().flat_map(|(i, row)| row.iter().map(move |value| (value / row[i]) as f32)).collect()
}

/// R with H = R R^T, upper triangular, from the last row up.
fn upper_factor(mut h: Vec<f64>, cols: usize) -> Vec<f64> {
    for j in (0..cols).rev() {
        let (above, row) = h.split_at_mut(j * cols);
        let row = &mut row[..cols];
        let diagonal = (row[j] - dot(&row[j + 1..], &row[j + 1..])).max(f64::MIN_POSITIVE).sqrt();
        row[j] = diagonal;
        for other in above.chunks_exact_mut(cols) {
            other[j] = (other[j] - dot(&other[j + 1..], &row[j + 1..])) / diagonal;
        }
    }
    h
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, a_tail) = a.as_chunks::<8>();
    let (b, b_tail) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        (0..8).for_each(|i| sums[i] += a[i] * b[i]);
    }
    sums.iter().sum::<f64>() + a_tail.iter().zip(b_tail).map(|(a, b)| a * b).sum::<f64>()
}

/// Rounds one row. Shapes: `errors` is U, each row divided by its diagonal.
fn round_row(
    weights: &[f32],
    importance: &[f32],
    errors: Option<&[f32]>,
    grid: Grid,
    levels: &mut [u8],
    scales: &mut [f16],
    offsets: &mut [f16],
) {
    let (cols, max) = (weights.len(), ((1u32 << grid.bits) - 1) as f32);
    let mut weights = weights.to_vec();
    for (index, first) in (0..cols).step_by(grid.group).enumerate() {
        let group = first..first + grid.group;
        let (scale, offset) = fit(&weights[group.clone()], &importance[group.clone()], max);
        (scales[index], offsets[index]) = (scale, offset);
        let (scale, offset) = (scale.to_f32(), offset.to_f32());
        for j in group {
            let level = nearest(weights[j], scale, offset, max);
            levels[j] = level as u8;
            let error = weights[j] - (scale * level + offset);
            if let Some(errors) = errors {
                let row = &errors[j * cols..][..cols];
                weights[j + 1..].iter_mut().zip(&row[j + 1..]).for_each(|(weight, u)| *weight -= error * u);
            }
        }
    }
}

fn nearest(weight: f32, scale: f32, offset: f32, max: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { ((weight - offset) / scale).round().clamp(0.0, max) }
}

/// The scale and offset with the smallest squared error, weighted by `importance`, of some candidates.
fn fit(weights: &[f32], importance: &[f32], max: f32) -> (f16, f16) {
    let (low, high) = weights.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &weight| (low.min(weight), high.max(weight)));
    let range = high - low;
    let constant = (f16::ZERO, f16::from_f32(low));
    if !range.is_finite() || range <= 0.0 {
        return constant;
    }
    let error = |(scale, offset): (f16, f16)| -> f32 {
        let (scale, offset) = (scale.to_f32(), offset.to_f32());
        let one = |(&weight, &importance)| {
            let level = nearest(weight, scale, offset, max);
            importance * (scale * level + offset - weight).powi(2)
        };
        weights.iter().zip(importance).map(one).sum()
    };
    let plain = |step: f32| (f16::from_f32(range / (max + step)), f16::from_f32(low));
    let candidates = CANDIDATES.into_iter().map(|step| {
        let (scale, offset) = (range / (max + step), low);
        let once = least_squares(weights, importance, scale, offset, max);
        once.and_then(|(scale, offset)| least_squares(weights, importance, scale.to_f32(), offset.to_f32(), max)).unwrap_or(plain(0.0))
    });
    let best = candidates.map(|factors| (error(factors), factors)).reduce(|best, other| if other.0 < best.0 { other } else { best });
    best.map_or(constant, |(_, factors)| factors)
}

/// The scale and offset of least squares for the levels that `scale` and `offset` give.
fn least_squares(weights: &[f32], importance: &[f32], scale: f32, offset: f32, max: f32) -> Option<(f16, f16)> {
    let [mut sum, mut n, mut nn, mut v, mut vn] = [0.0; 5];
    for (&weight, &importance) in weights.iter().zip(importance) {
        let (level, importance) = (f64::from(nearest(weight, scale, offset, max)), f64::from(importance));
        let weight = f64::from(weight);
        sum += importance;
        n += importance * level;
        nn += importance * level * level;
        v += importance * weight;
        vn += importance * weight * level;
    }
    let determinant = sum * nn - n * n;
    let scale = (sum * vn - v * n) / determinant;
    let half = |value: f64| Some(f16::from_f64(value)).filter(|value| value.is_finite());
    let scale = half(scale).filter(|scale| *scale > f16::ZERO)?;
    Some((scale, half((v - f64::from(scale.to_f32()) * n) / sum)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deterministic values in [-1, 1) (Knuth's 64-bit congruential generator).
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> f32 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
        }
    }

    fn values(quantised: &Quantised, cols: usize, group: usize) -> Vec<f32> {
        let factor = |at: usize| at / cols * (cols / group) + at % cols / group;
        let value =
            |(at, &level): (usize, &u8)| quantised.scales[factor(at)].to_f32() * f32::from(level) + quantised.offsets[factor(at)].to_f32();
        quantised.levels.iter().enumerate().map(value).collect()
    }

    /// Inputs of which each depends on the one before it.
    fn inputs(random: &mut Random, rows: usize, cols: usize) -> Vec<f32> {
        let mut x = vec![0.0; rows * cols];
        for row in x.chunks_exact_mut(cols) {
            let mut before = 0.0;
            row.iter_mut().enumerate().for_each(|(c, x)| {
                before = 0.8 * before + random.next();
                *x = before * (1.0 + (c % 5) as f32);
            });
        }
        x
    }

    #[test]
    fn the_factor_times_its_transpose_is_the_matrix_and_its_inverse_is_one() {
        let (mut random, cols) = (Random(1), 13);
        let mut gram = Gram::new(cols);
        gram.add(&inputs(&mut random, 40, cols));
        let h = damped(&gram);
        let r = upper_factor(h.clone(), cols);
        let u = inverse_factor(h.clone(), cols);
        let at = |m: &[f64], i: usize, j: usize| if j < i { 0.0 } else { m[i * cols + j] };
        for i in 0..cols {
            for j in i..cols {
                let product: f64 = (0..cols).map(|k| at(&r, i, k) * at(&r, j, k)).sum();
                assert!((product - h[i * cols + j]).abs() < 1e-9 * h[0].abs(), "H[{i}][{j}]");
                let one: f64 = (0..cols).map(|k| at(&r, i, k) * if j < k { 0.0 } else { f64::from(u[k * cols + j]) / at(&r, k, k) }).sum();
                assert!((one - if i == j { 1.0 } else { 0.0 }).abs() < 1e-5, "(R U)[{i}][{j}] is {one}");
            }
        }
    }

    #[test]
    fn products_with_likely_inputs_lose_much_less_than_by_rounding() {
        let (mut random, rows, cols) = (Random(2), 24, 128);
        let weights: Vec<f32> = (0..rows * cols).map(|_| random.next()).collect();
        let (known, new) = (inputs(&mut random, 400, cols), inputs(&mut random, 100, cols));
        let mut gram = Gram::new(cols);
        gram.add(&known);
        let grid = Grid { bits: 4, group: 32 };
        let error = |quantised: &Quantised| -> f32 {
            let rounded = values(quantised, cols, grid.group);
            let pairs = weights.chunks_exact(cols).zip(rounded.chunks_exact(cols));
            pairs
                .flat_map(|(w, q)| {
                    new.chunks_exact(cols).map(move |x| x.iter().zip(w).zip(q).map(|((x, w), q)| x * (w - q)).sum::<f32>().powi(2))
                })
                .sum()
        };
        let (rounded, better) = (quantise(&weights, cols, None, grid, 1), quantise(&weights, cols, Some(&gram), grid, 3));
        assert!(error(&better) < 0.65 * error(&rounded), "{} against {}", error(&better), error(&rounded));
        assert_eq!(quantise(&weights, cols, Some(&gram), grid, 1), better, "on any number of threads");
    }

    #[test]
    fn weights_on_a_grid_stay_what_they_are() {
        let weights: Vec<f32> = (0..4 * 64).map(|i| 0.25 * ((i * 7 % 16) as f32) - 1.5).collect();
        let quantised = quantise(&weights, 64, None, Grid { bits: 4, group: 64 }, 2);
        assert_eq!(values(&quantised, 64, 64), weights);
        let constant = quantise(&[0.5; 64], 64, None, Grid { bits: 2, group: 32 }, 1);
        assert_eq!(values(&constant, 64, 32), [0.5; 64]);
    }
}
