//! Integers with a scale, and in most formats an offset, for every 32 or 16 columns of a row.
//!
//! ```text
//! weight = scale * level + offset
//! ```
//!
//! A block holds four rows of 32 columns, in the order in which the kernels read it: the factors (scales and
//! offsets) of the four rows, then the codes of the columns, a few columns at a time for all four rows. One
//! load then gives products of four outputs side by side, and only products of the same output are added
//! across lanes.
//!
//! A code is a level in 8 bits with a sign, or in 4 bits without. The kernels multiply codes as integers and
//! apply the factors to their sums, so what a quantised file stores is computed with as it stands.

use ::half::f16;

use super::half::{f16_to_f32, to_f16};

/// Columns of a block.
pub(crate) const BLOCK_COLS: usize = 32;
/// Rows of a block.
pub(crate) const BLOCK_ROWS: usize = 4;
/// Columns of half a block: the fewest that share a scale.
pub(crate) const HALF_COLS: usize = BLOCK_COLS / 2;

/// One row of a block in f32.
pub(super) type F32x32 = [f32; BLOCK_COLS];

/// One row of a block as integers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Levels {
    /// Signed 8-bit numbers for formats of 8 bits, 0..=15 for those of 4 bits.
    pub levels: [i8; BLOCK_COLS],
    /// Scale and offset of each half of the columns; formats with 32 columns to a scale use the first.
    pub factors: [Factor; 2],
}

/// What takes levels to weights.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Factor {
    pub scale: f32,
    pub offset: f32,
}

impl Levels {
    /// Levels that share one scale and offset.
    pub(super) fn with(levels: [i8; BLOCK_COLS], scale: f32, offset: f32) -> Levels {
        Levels { levels, factors: [Factor { scale, offset }; 2] }
    }

    /// The weights.
    pub(super) fn values(&self) -> F32x32 {
        std::array::from_fn(|c| {
            let Factor { scale, offset } = self.factors[c / HALF_COLS];
            scale * f32::from(self.levels[c]) + offset
        })
    }
}

/// Four rows of 32 columns: `G` times the factors `F` of the four rows, then the codes `C`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Block<F, C, const G: usize> {
    /// Those of all columns (`G` is 1), or of each half of them (`G` is 2).
    pub factors: [F; G],
    pub codes: C,
}

pub(crate) type Q8Block = Block<Scales, Bytes, 1>;
pub(crate) type Q8Wide = Block<Pairs, Bytes, 1>;
pub(crate) type Q8Fine = Block<Scales, Bytes, 2>;
pub(crate) type Q4Block = Block<HalfPairs, Nibbles, 1>;
pub(crate) type Q4Wide = Block<Pairs, Nibbles, 1>;
pub(crate) type Q4Fine = Block<Pairs, Nibbles, 2>;

/// Scales of four rows in f32, without offsets.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scales(pub [f32; BLOCK_ROWS]);

/// Scales and offsets of four rows in f32.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pairs(pub [[f32; BLOCK_ROWS]; 2]);

/// Scales and offsets of four rows in f16: those of row `r` in the low and the high half of word `r`, each
/// multiplied by 2^[`HALF_SHIFT`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HalfPairs(pub [u32; BLOCK_ROWS]);

/// What [`HalfPairs`] are multiplied by, as a power of two. Weights are small numbers: so scales and offsets
/// from 2^-26 to 16 are normal f16, and those of bf16 files in this range are held exactly.
pub(crate) const HALF_SHIFT: i32 = 12;
const HALF_SCALE: f32 = (1 << HALF_SHIFT) as f32;

/// Codes of 8 bits: column `c` of row `r` is `codes[c / 4][r * 4 + c % 4]`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bytes(pub [[i8; 16]; 8]);

/// Codes of 4 bits: column `c` of row `r` is in the word `codes[c / 8][r]`. Of eight columns, 0, 2, 4 and 6
/// are the nibbles of its low half, and 1, 3, 5 and 7 those of its high half.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Nibbles(pub [[u32; BLOCK_ROWS]; 4]);

/// Scales and offsets of four rows.
pub(super) trait Factors: Copy + Default {
    /// Writes those of a row.
    fn set(&mut self, row: usize, factor: Factor);
    /// Reads those of a row.
    fn get(&self, row: usize) -> Factor;
}

impl Factors for Scales {
    fn set(&mut self, row: usize, factor: Factor) {
        self.0[row] = factor.scale;
    }

    fn get(&self, row: usize) -> Factor {
        Factor { scale: self.0[row], offset: 0.0 }
    }
}

impl Factors for Pairs {
    fn set(&mut self, row: usize, Factor { scale, offset }: Factor) {
        (self.0[0][row], self.0[1][row]) = (scale, offset);
    }

    fn get(&self, row: usize) -> Factor {
        Factor { scale: self.0[0][row], offset: self.0[1][row] }
    }
}

impl Factors for HalfPairs {
    fn set(&mut self, row: usize, Factor { scale, offset }: Factor) {
        let [scale, offset] = to_f16(&[scale, offset], [HALF_SCALE, 1.0]).map(f16::to_bits);
        self.0[row] = u32::from(scale) | u32::from(offset) << 16;
    }

    fn get(&self, row: usize) -> Factor {
        let value = |bits: u32| f16_to_f32(f16::from_bits(bits as u16)) / HALF_SCALE;
        Factor { scale: value(self.0[row]), offset: value(self.0[row] >> 16) }
    }
}

impl Factor {
    /// The factor as [`HalfPairs`] hold it.
    pub(super) fn halved(self) -> Factor {
        let mut pairs = HalfPairs::default();
        pairs.set(0, self);
        pairs.get(0)
    }

    /// Whether [`HalfPairs`] can hold numbers of this size.
    pub(super) fn is_in_range_of_half(self) -> bool {
        [self.scale, self.offset].iter().all(|value| value.abs() * HALF_SCALE <= f16::MAX.to_f32())
    }

    /// Whether [`HalfPairs`] hold it: exactly, or with an error below 2^-38 where it is next to nothing.
    pub(super) fn fits_half(self) -> bool {
        let held = self.halved();
        let fits = |value: f32, held: f32| value == held || value.abs() < 1.0 / (1 << 26) as f32;
        self.is_in_range_of_half() && fits(self.scale, held.scale) && fits(self.offset, held.offset)
    }
}

/// The codes of four rows of 32 columns.
pub(super) trait Codes: Copy + Default {
    /// Writes those of a row.
    fn set(&mut self, row: usize, levels: &[i8; BLOCK_COLS]);
    /// Reads those of a row.
    fn get(&self, row: usize) -> [i8; BLOCK_COLS];
}

impl Codes for Bytes {
    fn set(&mut self, row: usize, levels: &[i8; BLOCK_COLS]) {
        for (out, levels) in self.0.iter_mut().zip(levels.as_chunks::<4>().0) {
            out[row * 4..row * 4 + 4].copy_from_slice(levels);
        }
    }

    fn get(&self, row: usize) -> [i8; BLOCK_COLS] {
        std::array::from_fn(|c| self.0[c / 4][row * 4 + c % 4])
    }
}

impl Codes for Nibbles {
    fn set(&mut self, row: usize, levels: &[i8; BLOCK_COLS]) {
        for (words, levels) in self.0.iter_mut().zip(levels.as_chunks::<8>().0) {
            words[row] = levels.iter().enumerate().fold(0, |word, (c, &level)| word | (level as u32 & 0xf) << nibble_shift(c));
        }
    }

    fn get(&self, row: usize) -> [i8; BLOCK_COLS] {
        std::array::from_fn(|c| (self.0[c / 8][row] >> nibble_shift(c % 8) & 0xf) as i8)
    }
}

/// Where a column of eight is in its word.
fn nibble_shift(c: usize) -> usize {
    16 * (c % 2) + 4 * (c / 2)
}

impl<F: Factors, C: Codes, const G: usize> Default for Block<F, C, G> {
    /// Zeros.
    fn default() -> Self {
        Block { factors: [F::default(); G], codes: C::default() }
    }
}

/// Blocks of one format, whichever it is.
pub(super) trait Blocks {
    /// Writes a row of a block.
    fn set(&mut self, block: usize, row: usize, levels: &Levels);
    /// Writes the codes of a row of a block.
    fn set_codes(&mut self, block: usize, row: usize, levels: &[i8; BLOCK_COLS]);
    /// Writes the scale and offset of all columns of a row of a block.
    fn set_factor(&mut self, block: usize, row: usize, factor: Factor);
    /// Reads a row of a block.
    fn get(&self, block: usize, row: usize) -> Levels;
}

impl<F: Factors, C: Codes, const G: usize> Blocks for Vec<Block<F, C, G>> {
    fn set(&mut self, block: usize, row: usize, levels: &Levels) {
        let block = &mut self[block];
        block.codes.set(row, &levels.levels);
        for (out, factor) in block.factors.iter_mut().zip(levels.factors) {
            out.set(row, factor);
        }
    }

    fn set_codes(&mut self, block: usize, row: usize, levels: &[i8; BLOCK_COLS]) {
        self[block].codes.set(row, levels);
    }

    fn set_factor(&mut self, block: usize, row: usize, factor: Factor) {
        self[block].factors.iter_mut().for_each(|out| out.set(row, factor));
    }

    fn get(&self, block: usize, row: usize) -> Levels {
        let block = &self[block];
        let factor = |half: usize| block.factors[half.min(G - 1)].get(row);
        Levels { levels: block.codes.get(row), factors: [factor(0), factor(1)] }
    }
}
