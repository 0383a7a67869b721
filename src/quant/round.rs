//! Rounds weights to the integers of q8 and q4.
//!
//! q8 has 255 levels around zero: `scale = largest / 127`.
//!
//! q4 has 16 levels from `offset` to `offset + 15 scale`. Both are searched: a candidate spreads the levels
//! over a little more or less than the range of the values, each value takes its nearest level, and the
//! method of least squares gives the scale and the offset for these levels. The candidate with the smallest
//! squared error wins, after one more round of levels and least squares.

use super::block::{BLOCK_COLS, F32x32, Factor, Levels};
use super::largest;

/// A row of a block whose largest magnitude is below this is stored as zero. Its scale would be subnormal,
/// and slow.
pub(super) const SMALLEST: f32 = f32::from_bits((127 - 110) << 23); // 2^-110

/// The highest level of q4.
const Q4_MAX: f32 = 15.0;

/// By how many levels more or less than 15 the range of the values is divided.
const CANDIDATES: [f32; 6] = [-1.5, -0.9, -0.4, 0.0, 0.4, 0.9];

/// 32 values in 8 bits. A value that is not finite makes the scale NaN.
pub(super) fn q8(values: &F32x32) -> Levels {
    let max = largest(values);
    if max < SMALLEST {
        return Levels::with([0; BLOCK_COLS], 0.0, 0.0);
    }
    let inverse = 127.0 / max;
    let mut levels = [0; BLOCK_COLS];
    levels.iter_mut().zip(values).for_each(|(level, value)| *level = round(value * inverse) as i8);
    // 0 * max is NaN if a value is not finite. Then every product with the block is NaN.
    Levels::with(levels, max / 127.0 + 0.0 * max, 0.0)
}

/// 32 values in 4 bits. A value that is not finite makes the scale NaN.
pub(super) fn q4(values: &F32x32) -> Levels {
    let max = largest(values);
    if max < SMALLEST {
        return Levels::with([0; BLOCK_COLS], 0.0, 0.0);
    }
    if !max.is_finite() {
        return Levels::with([0; BLOCK_COLS], f32::NAN, 0.0);
    }
    let low = values.iter().fold(f32::INFINITY, |low, &value| if value < low { value } else { low });
    let high = values.iter().fold(f32::NEG_INFINITY, |high, &value| if high < value { value } else { high });
    let range = high - low;
    if range < max * 1e-6 {
        // One number 32 times. Halving keeps the offset within the error of f16.
        let Factor { offset, .. } = Factor { scale: 0.0, offset: low }.halved();
        return Levels::with([0; BLOCK_COLS], 0.0, offset);
    }
    // Everything is relative to the range from here on, so that nothing overflows.
    let unit = values.map(|value| (value - low) / range);
    let candidate = |step: f32| Fit::of(&unit, Q4_MAX + step, 0.0);
    let best = CANDIDATES.into_iter().map(candidate).reduce(|best, fit| if fit.explained > best.explained { fit } else { best });
    let fit = best.and_then(|best| best.again(&unit)).unwrap_or_else(|| candidate(0.0));
    let exact = Factor { scale: fit.scale * range, offset: fit.offset * range + low };
    // Where f16 holds them, levels are chosen for the scale and offset that are stored.
    let Factor { scale, offset } = if exact.is_in_range_of_half() { exact.halved() } else { exact };
    let mut levels = [0; BLOCK_COLS];
    levels.iter_mut().zip(values).for_each(|(level, value)| *level = round(within(Q4_MAX, (value - offset) / scale)) as i8);
    Levels::with(levels, scale, offset)
}

/// Levels for some values, and the scale and offset of least squares for these levels.
#[derive(Debug, Clone, Copy)]
struct Fit {
    scale: f32,
    offset: f32,
    /// How much smaller the squared error is than that of no scale at all.
    explained: f32,
}

impl Fit {
    /// Each value takes the level nearest to `(value - low) * inverse`.
    ///
    /// ```text
    /// n: levels, v: values, N = 32
    /// scale  = (N sum(v n) - sum(v) sum(n)) / (N sum(n n) - sum(n)^2)
    /// offset = (sum(v) - scale sum(n)) / N
    /// of the squared error, the scale explains  (N sum(v n) - sum(v) sum(n))^2 / (N sum(n n) - sum(n)^2) / N
    /// ```
    fn of(values: &F32x32, inverse: f32, low: f32) -> Fit {
        let (mut n_sum, mut nn_sum, mut v_sum, mut vn_sum) = ([0.0; 4], [0.0; 4], [0.0; 4], [0.0; 4]);
        for v in values.as_chunks::<4>().0 {
            let n = v.map(|value| within(Q4_MAX, (value - low) * inverse) + ROUND - ROUND);
            add(&mut n_sum, n);
            add(&mut v_sum, *v);
            add(&mut nn_sum, std::array::from_fn(|i| n[i] * n[i]));
            add(&mut vn_sum, std::array::from_fn(|i| v[i] * n[i]));
        }
        let [n, nn, v, vn] = [n_sum, nn_sum, v_sum, vn_sum].map(|sums| sums.iter().sum::<f32>());
        let len = BLOCK_COLS as f32;
        let (covariance, variance) = (len * vn - v * n, len * nn - n * n);
        let scale = covariance / variance;
        Fit { scale, offset: (v - scale * n) / len, explained: covariance * scale / len }
    }

    /// New levels for its scale and offset, if the scale is one.
    fn again(self, values: &F32x32) -> Option<Fit> {
        let usable = |fit: &Fit| fit.scale > 0.0 && fit.scale.is_finite() && fit.offset.is_finite();
        Some(self).filter(usable).map(|fit| Fit::of(values, 1.0 / fit.scale, fit.offset)).filter(usable)
    }
}

fn add(sums: &mut [f32; 4], values: [f32; 4]) {
    *sums = std::array::from_fn(|i| sums[i] + values[i]);
}

/// 1.5 * 2^23. Its unit in the last place is 1, so adding it rounds a magnitude below 2^22 to the nearest
/// whole number, ties to even.
const ROUND: f32 = 12_582_912.0;

pub(super) fn round(value: f32) -> i32 {
    ((value + ROUND).to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32)
}

/// Limits a value to 0..=max. LLVM makes no vector instruction of `clamp` for WebAssembly.
fn within(max: f32, value: f32) -> f32 {
    let value = if value < 0.0 { 0.0 } else { value };
    if max < value { max } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn values(f: impl Fn(usize) -> f32) -> F32x32 {
        std::array::from_fn(f)
    }

    fn squared_error(levels: &Levels, values: &F32x32) -> f32 {
        levels.values().iter().zip(values).map(|(got, value)| (got - value).powi(2)).sum()
    }

    #[test]
    fn q8_keeps_every_value_within_half_a_step() {
        for scale in [1e-30, 1.0, 1e30] {
            let row = values(|c| (c as f32 * 0.37).sin() * scale);
            let step = largest(&row) / 127.0;
            for (got, value) in q8(&row).values().iter().zip(row) {
                assert!((got - value).abs() <= 0.5001 * step, "{value} became {got}");
            }
        }
    }

    #[test]
    fn whole_multiples_of_a_scale_come_back_exactly() {
        let row = values(|c| c as f32 * 4.0 - 127.0 + if c == 0 { 0.0 } else { 1.0 });
        assert_eq!(q8(&row).values(), row);
        for (scale, offset) in [(0.5, -4.0), (0.25, 3.0), (0.125, -1.0), (2f32.powi(-20), 0.0)] {
            let row = values(|c| scale * (c as f32 % 16.0) + offset);
            assert_eq!(q4(&row).values(), row, "{scale} {offset}");
        }
        for offset in [0.5, -3.0] {
            assert_eq!(q4(&values(|_| offset)).values(), values(|_| offset));
        }
    }

    #[test]
    fn the_search_leaves_less_error_than_the_range_of_the_values() {
        let mut better = 0.0;
        for seed in 0..100 {
            let row = values(|c| ((c * c + 7 * seed) as f32 * 0.7).sin().powi(3) + (c + seed) as f32 * 0.01);
            let (low, high) = row.iter().fold((f32::MAX, f32::MIN), |(low, high), &value| (low.min(value), high.max(value)));
            let scale = (high - low) / 15.0;
            let plain = row.map(|value| ((value - low) / scale).round() * scale + low);
            let error = |got: &F32x32| got.iter().zip(row).map(|(got, value)| (got - value).powi(2)).sum::<f32>();
            let (searched, plain) = (squared_error(&q4(&row), &row), error(&plain));
            assert!(searched < 1.02 * plain, "{searched} against {plain}");
            better += searched / plain / 100.0;
        }
        assert!(better < 0.82, "{better}");
    }

    #[test]
    fn scales_of_q4_are_those_that_f16_holds() {
        for scale in [1e-4, 0.01, 1.0] {
            let levels = q4(&values(|c| (c as f32 * 0.37).sin() * scale));
            assert!(levels.factors[0].fits_half());
        }
        // Weights above 16 stay what they are, in a wider format.
        let row = values(|c| c as f32 * 100.0);
        assert!(squared_error(&q4(&row), &row).sqrt() < 0.5 * 3100.0 / 15.0 * 32f32.sqrt());
    }

    #[test]
    fn zeros_are_zero_and_what_is_not_finite_shows_in_the_whole_row() {
        for row in [values(|_| 0.0), values(|_| 1e-40), values(|_| -0.0)] {
            assert!(q8(&row).values().iter().chain(&q4(&row).values()).all(|&value| value == 0.0));
        }
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let row = values(|c| if c == 20 { bad } else { 1.0 });
            assert!(!q8(&row).values().iter().chain(&q4(&row).values()).any(|value| value.is_finite()), "{bad}");
        }
    }
}
