//! q8 and q4: integers with one scale for every 32 columns of a row.
//!
//! A block holds four rows of 32 columns, in the order in which the kernels read it: the four scales, then
//! the columns, a few at a time for all four rows. One load then gives products of four outputs side by
//! side, and only products of the same output are added across lanes. q8 takes 9 bits a weight, q4 takes 5.
//!
//! q8 is `scale * n` with n in -127..=127. q4 is `scale * n` with n in -8..=7, stored as n + 8. The scale of
//! q4 is searched: of some candidates around the scale of the largest value, the one with the smallest
//! squared error.

use super::largest;

/// Columns of a block.
pub(crate) const BLOCK_COLS: usize = 32;
/// Rows of a block.
pub(crate) const BLOCK_ROWS: usize = 4;

/// One row of a block in f32.
pub(super) type F32x32 = [f32; BLOCK_COLS];

/// Four rows of 32 columns in 8 bits.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Q8Block {
    pub scales: [f32; BLOCK_ROWS],
    /// Column `c` of row `r` is `values[c / 4][r * 4 + c % 4]`.
    pub values: [[i8; 16]; 8],
}

/// Four rows of 32 columns in 4 bits.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Q4Block {
    pub scales: [f32; BLOCK_ROWS],
    /// Column `c` of row `r` is in the word `values[c / 8][r]`. Of eight columns, 0, 2, 4 and 6 are the
    /// nibbles of its low half, and 1, 3, 5 and 7 those of its high half.
    pub values: [[u32; BLOCK_ROWS]; 4],
}

/// A q4 value is stored with this added.
pub(crate) const Q4_OFFSET: i32 = 8;

/// A row of a block whose largest magnitude is below this is stored as zero. Its scale would be subnormal,
/// and slow.
const SMALLEST: f32 = f32::from_bits((127 - 110) << 23); // 2^-110

impl Q8Block {
    pub(super) fn set(&mut self, row: usize, values: &F32x32) {
        let max = largest(values);
        let inverse = if max < SMALLEST { 0.0 } else { 127.0 / max };
        // 0 * max is NaN if a value is not finite. Then every product with the block is NaN.
        self.scales[row] = if max < SMALLEST { 0.0 } else { max / 127.0 + 0.0 * max };
        let mut levels = [0; BLOCK_COLS];
        levels.iter_mut().zip(values).for_each(|(level, value)| *level = round(value * inverse) as i8);
        for (out, levels) in self.values.iter_mut().zip(levels.as_chunks::<4>().0) {
            out[row * 4..row * 4 + 4].copy_from_slice(levels);
        }
    }

    pub(super) fn row(&self, row: usize) -> F32x32 {
        std::array::from_fn(|c| self.scales[row] * f32::from(self.values[c / 4][row * 4 + c % 4]))
    }
}

impl Q4Block {
    pub(super) fn set(&mut self, row: usize, values: &F32x32) {
        let (inverse, scale) = q4_scale(values);
        self.scales[row] = scale;
        let mut levels = [0; BLOCK_COLS];
        levels.iter_mut().zip(values).for_each(|(level, value)| *level = (round(within_q4(value * inverse)) + Q4_OFFSET) as u32 & 0xf);
        for (word, levels) in self.values.iter_mut().zip(levels.as_chunks::<8>().0) {
            word[row] = levels.iter().enumerate().fold(0, |word, (c, level)| word | level << q4_shift(c));
        }
    }

    pub(super) fn row(&self, row: usize) -> F32x32 {
        std::array::from_fn(|c| self.scales[row] * ((self.values[c / 8][row] >> q4_shift(c % 8) & 0xf) as i32 - Q4_OFFSET) as f32)
    }
}

/// Where a column of eight is in its word.
fn q4_shift(c: usize) -> usize {
    16 * (c % 2) + 4 * (c / 2)
}

/// 1.5 * 2^23. Its unit in the last place is 1, so adding it rounds a magnitude below 2^22 to the nearest
/// whole number, ties to even.
const ROUND: f32 = 12_582_912.0;

fn round(value: f32) -> i32 {
    ((value + ROUND).to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32)
}

/// Limits a value to the range of q4. LLVM makes no vector instruction of `clamp` for WebAssembly.
fn within_q4(value: f32) -> f32 {
    let value = if value < -8.0 { -8.0 } else { value };
    if 7.0 < value { 7.0 } else { value }
}

/// The factor that takes values to levels, and the scale that takes levels back with the smallest squared
/// error.
///
/// ```text
/// for given levels n:  the best scale is  sum(v n) / sum(n n)
///                      it explains        sum(v n)^2 / sum(n n)  of  sum(v v)
/// ```
///
/// Each candidate puts the largest value, with its sign, near the level -8, the only one without a positive
/// counterpart.
fn q4_scale(values: &F32x32) -> (f32, f32) {
    let max = largest(values);
    if max < SMALLEST {
        return (0.0, 0.0);
    }
    if !max.is_finite() {
        return (0.0, f32::NAN);
    }
    let sign = if values.contains(&max) { 1.0 } else { -1.0 };
    let mut best = (0.0, 0.0, 0.0);
    for step in -2..=4 {
        let inverse = sign * (-8.0 + 0.25 * step as f32) / max;
        let (mut vn, mut nn) = ([0.0; 4], [0.0; 4]);
        for four in values.as_chunks().0 {
            explain(four, inverse, &mut vn, &mut nn);
        }
        let (vn, nn): (f32, f32) = (vn.iter().sum(), nn.iter().sum());
        let explained = vn / max * (vn / max) / nn; // relative to the largest value, so that nothing overflows
        if explained > best.0 {
            best = (explained, inverse, vn / nn);
        }
    }
    (best.1, best.2)
}

/// Adds v n and n n of four values to their sums.
#[inline(always)]
fn explain(values: &[f32; 4], inverse: f32, vn: &mut [f32; 4], nn: &mut [f32; 4]) {
    let n = values.map(|value| within_q4(value * inverse) + ROUND - ROUND);
    *vn = [vn[0] + values[0] * n[0], vn[1] + values[1] * n[1], vn[2] + values[2] * n[2], vn[3] + values[3] * n[3]];
    *nn = [nn[0] + n[0] * n[0], nn[1] + n[1] * n[1], nn[2] + n[2] * n[2], nn[3] + n[3] * n[3]];
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn values(f: impl Fn(usize) -> f32) -> F32x32 {
        std::array::from_fn(f)
    }

    fn q8(values: &F32x32) -> F32x32 {
        let mut block = Q8Block::default();
        block.set(2, values);
        assert!([0, 1, 3].iter().all(|&row| block.row(row).iter().all(|&value| value == 0.0)), "the other rows");
        block.row(2)
    }

    fn q4(values: &F32x32) -> F32x32 {
        let mut block = Q4Block::default();
        block.set(1, values);
        block.row(1)
    }

    #[test]
    fn q8_keeps_every_value_within_half_a_step() {
        for scale in [1e-30, 1.0, 1e30] {
            let row = values(|c| (c as f32 * 0.37).sin() * scale);
            let step = largest(&row) / 127.0;
            for (got, value) in q8(&row).iter().zip(row) {
                assert!((got - value).abs() <= 0.5001 * step, "{value} became {got}");
            }
        }
    }

    #[test]
    fn whole_multiples_of_a_scale_come_back_exactly() {
        let row = values(|c| c as f32 * 4.0 - 127.0 + if c == 0 { 0.0 } else { 1.0 });
        assert_eq!(q8(&row), row);
        let row = values(|c| 0.5 * (c as f32 % 16.0 - 8.0));
        assert_eq!(q4(&row), row);
        let row = values(|c| -0.5 * (c as f32 % 16.0 - 8.0));
        assert_eq!(q4(&row), row, "the largest may have either sign");
    }

    #[test]
    fn the_search_leaves_less_error_than_the_scale_of_the_largest_value() {
        let row = values(|c| ((c * c) as f32 * 0.7).sin().powi(3));
        let error = |got: &F32x32| got.iter().zip(row).map(|(got, value)| (got - value).powi(2)).sum::<f32>();
        let plain = row.map(|value| (value / largest(&row) * 7.0).round() / 7.0 * largest(&row));
        assert!(error(&q4(&row)) < 0.8 * error(&plain), "{} against {}", error(&q4(&row)), error(&plain));
    }

    #[test]
    fn zeros_are_zero_and_what_is_not_finite_shows_in_the_whole_row() {
        for row in [values(|_| 0.0), values(|_| 1e-40), values(|_| -0.0)] {
            assert!(q8(&row).iter().chain(&q4(&row)).all(|&value| value == 0.0));
        }
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let row = values(|c| if c == 20 { bad } else { 1.0 });
            assert!(!q8(&row).iter().chain(&q4(&row)).any(|value| value.is_finite()), "{bad}");
        }
    }
}
