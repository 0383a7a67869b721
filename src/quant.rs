//! Storage formats: how a weight matrix lies in memory.
//!
//! A [`Matrix`] is (rows = out, cols = in) as published, but laid out for the kernels that read it: some rows side by side, and
//! within them some columns at a time, so that a matrix-vector product walks through memory once, in order, with several
//! sums under way. Rows and columns that fill up the last tile are zero.
//!
//! [`half`] tells of f16 and bf16, [`block`] of q8 and q4.

mod block;
mod file;
mod half;
mod matrix;

use std::fmt;
use std::str::FromStr;

pub(crate) use self::block::{BLOCK_COLS, BLOCK_ROWS, Q4_OFFSET, Q4Block, Q8Block};
pub use self::file::FileDtype;
pub(crate) use self::half::{Bf16x8, F16_ACTIVATION_SCALE, F16x8};
use self::half::{f16_scale, to_f16};
pub use self::matrix::Matrix;
use crate::error::{Error, Result};

/// How a weight is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision, with a power of two per row.
    F16,
    /// The upper half of an f32.
    Bf16,
    /// Eight bits and a scale for every 32 columns.
    Q8,
    /// Four bits and a scale for every 32 columns.
    Q4,
}

impl Dtype {
    /// Every format, the widest first.
    pub const ALL: [Dtype; 5] = [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::Q8, Dtype::Q4];

    /// The name, as options spell it.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
            Dtype::Bf16 => "bf16",
            Dtype::Q8 => "q8",
            Dtype::Q4 => "q4",
        }
    }

    /// Whether weights are integers with a scale per block; the others are numbers each for itself.
    pub fn is_quantised(self) -> bool {
        matches!(self, Dtype::Q8 | Dtype::Q4)
    }

    /// Bytes that a matrix takes in this format, padding included: what [`Matrix::bytes`] says, before there is a matrix.
    pub fn matrix_bytes(self, rows: usize, cols: usize) -> u64 {
        let (high, wide) = self.tile();
        let tiles = rows.div_ceil(high) as u64 * cols.div_ceil(wide) as u64;
        let factors = rows.next_multiple_of(high) as u64 * 4;
        match self {
            Dtype::F32 => tiles * size_of::<F32Tile>() as u64,
            Dtype::F16 => tiles * size_of::<F16Tile>() as u64 + factors,
            Dtype::Bf16 => tiles * size_of::<Bf16Tile>() as u64,
            Dtype::Q8 => tiles * size_of::<Q8Block>() as u64,
            Dtype::Q4 => tiles * size_of::<Q4Block>() as u64,
        }
    }

    /// Rows and columns of what lies together.
    fn tile(self) -> (usize, usize) {
        if self.is_quantised() { (BLOCK_ROWS, BLOCK_COLS) } else { (TILE_ROWS, TILE_COLS) }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Dtype {
    type Err = Error;

    fn from_str(name: &str) -> Result<Dtype> {
        Dtype::ALL.into_iter().find(|dtype| dtype.name() == name).ok_or_else(|| Error::BadOption {
            option: "dtype".into(),
            expected: "f32, f16, bf16, q8 or q4".into(),
            got: format!("`{name}`"),
        })
    }
}

/// Rows of a tile of floats: a kernel has so many sums under way, which is what hides the latency of a fused multiply-add.
pub(crate) const TILE_ROWS: usize = 8;
/// Columns of a tile of floats.
pub(crate) const TILE_COLS: usize = 8;
/// Rows are shared out among threads by this many: both a tile of floats and two blocks of integers.
pub(crate) const ROW_UNIT: usize = 8;

/// Eight columns of one row in f32.
pub(crate) type F32x8 = [f32; TILE_COLS];

/// A tile in f32, by halves of four columns: column `c` of row `r` is `tile[c / 4][r][c % 4]`.
pub(crate) type F32Tile = [[[f32; 4]; TILE_ROWS]; 2];
/// A tile in f16.
pub(crate) type F16Tile = [F16x8; TILE_ROWS];
/// A tile in bf16.
pub(crate) type Bf16Tile = [Bf16x8; TILE_ROWS];

/// The tiles or blocks of a matrix, those of the first rows first, and of the same rows those of the first columns.
#[derive(Debug, Clone)]
pub(crate) enum Tiles {
    F32(Vec<F32Tile>),
    /// Beside the tiles, the factor of each row (padded like the rows) that makes a sum over decoded weights and
    /// activations times [`F16_ACTIVATION_SCALE`] right.
    F16(Vec<F16Tile>, Vec<[f32; TILE_ROWS]>),
    Bf16(Vec<Bf16Tile>),
    Q8(Vec<Q8Block>),
    Q4(Vec<Q4Block>),
}

/// One row in f16. Shapes: `values` (len), `out` (len / 8, rounded up). Returns the factor that makes [`F16x8::decode`] right.
pub(crate) fn encode_f16(values: &[f32], out: &mut [F16x8]) -> f32 {
    let (scale, factor) = f16_scale(largest(values));
    for (values, out) in values.chunks(PIECE).zip(out.chunks_mut(PIECE / TILE_COLS)) {
        let mut piece = [0.0; PIECE];
        piece[..values.len()].copy_from_slice(values);
        for (out, values) in out.iter_mut().zip(to_f16(&piece, scale).as_chunks().0) {
            *out = F16x8::pack(values);
        }
    }
    factor
}

/// Columns that are converted at a time: whole tiles and blocks, and few enough to stay in the processor's innermost cache.
const PIECE: usize = 256;

/// The largest magnitude; NaN, or else infinity, where there is one: magnitudes compare like their bits, and those two are above all others.
fn largest(values: &[f32]) -> f32 {
    f32::from_bits(values.iter().fold(0, |max, value| max.max(value.to_bits() & 0x7fff_ffff)))
}

/// `len` zeros, or nothing if the memory is refused.
pub(crate) fn zeroed<T: Copy + Default>(len: usize) -> Option<Vec<T>> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).ok()?;
    values.resize(len, T::default());
    Some(values)
}

#[cfg(test)]
mod tests;
