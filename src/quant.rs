//! Storage formats: how a weight matrix lies in memory.
//!
//! A [`Matrix`] has the published shape (rows = out, cols = in). Its memory is laid out for the kernels: in
//! tiles of some rows and some columns, so that a matrix-vector product reads memory once, in order, and
//! keeps several sums at a time. The last tiles are filled up with zeros.
//!
//! `half.rs` describes f16 and bf16, `block.rs` describes q8 and q4, `file.rs` how files write numbers.

mod block;
mod file;
mod half;
mod kv;
mod matrix;

use std::fmt;
use std::str::FromStr;

pub(crate) use self::block::{BLOCK_COLS, BLOCK_ROWS, Q4_OFFSET, Q4Block, Q8Block};
pub(crate) use self::file::FileDtype;
pub(crate) use self::half::{Bf16x8, F16_ACTIVATION_SCALE, F16x8};
use self::half::{f16_scale, to_f16};
pub use self::kv::KvDtype;
pub(crate) use self::matrix::Matrix;
use crate::error::{Error, Result};

/// How a weight is stored in memory. `FileDtype` is how a file writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision. Each row is multiplied by a power of two.
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

    /// True for formats of integers with a scale for each block.
    pub(crate) fn is_quantised(self) -> bool {
        matches!(self, Dtype::Q8 | Dtype::Q4)
    }

    /// Bytes that a matrix takes in this format, padding included: [`Matrix::bytes`], before the matrix
    /// exists.
    pub(crate) fn matrix_bytes(self, rows: usize, cols: usize) -> u64 {
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

    /// Rows and columns of a tile or block.
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

/// Rows of a tile of floats. A kernel keeps one sum for each row; so many sums hide the latency of a fused
/// multiply-add.
pub(crate) const TILE_ROWS: usize = 8;
/// Columns of a tile of floats.
pub(crate) const TILE_COLS: usize = 8;
/// Threads share rows in units of this many: one tile of floats, or two blocks of integers.
pub(crate) const ROW_UNIT: usize = 8;

/// Eight columns of one row in f32.
pub(crate) type F32x8 = [f32; TILE_COLS];

/// A tile in f32, by halves of four columns: column `c` of row `r` is `tile[c / 4][r][c % 4]`.
pub(crate) type F32Tile = [[[f32; 4]; TILE_ROWS]; 2];
/// A tile in f16.
pub(crate) type F16Tile = [F16x8; TILE_ROWS];
/// A tile in bf16.
pub(crate) type Bf16Tile = [Bf16x8; TILE_ROWS];

/// The tiles or blocks of a matrix, by rows, and within the same rows by columns.
#[derive(Debug, Clone)]
pub(crate) enum Tiles {
    F32(Vec<F32Tile>),
    /// The tiles, and a factor for each row, padded rows included. A kernel sums decoded weights times
    /// activations times [`F16_ACTIVATION_SCALE`]; that sum times the factor is the product.
    F16(Vec<F16Tile>, Vec<[f32; TILE_ROWS]>),
    Bf16(Vec<Bf16Tile>),
    Q8(Vec<Q8Block>),
    Q4(Vec<Q4Block>),
}

/// Writes one row in f16. Returns its factor for [`F16x8::decode`]. Shapes: `values` (len), `out` (len / 8,
/// rounded up).
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

/// Columns that are converted at a time: whole tiles and blocks, and so few that they stay in the
/// processor's first cache.
const PIECE: usize = 256;

/// The largest magnitude: NaN if a value is NaN, else infinity if one is infinite. Magnitudes compare like
/// their bits, and these two are above all others.
fn largest(values: &[f32]) -> f32 {
    f32::from_bits(values.iter().fold(0, |max, value| max.max(value.to_bits() & 0x7fff_ffff)))
}

/// `len` zeros, or `None` if the memory is refused.
pub(crate) fn zeroed<T: Copy + Default>(len: usize) -> Option<Vec<T>> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).ok()?;
    values.resize(len, T::default());
    Some(values)
}

#[cfg(test)]
mod tests;
