//! Storage formats: how a weight matrix lies in memory.
//!
//! A [`Matrix`] has the published shape (rows = out, cols = in). Its memory is laid out for the kernels: in
//! tiles of some rows and some columns, so that a matrix-vector product reads memory once, in order, and
//! keeps several sums at a time. The last tiles are filled up with zeros.
//!
//! ```text
//! half.rs     f16 and bf16
//! block.rs    integers with scales and offsets: what q8, q4 and the formats of quantised files lie in
//! round.rs    f32 -> integers of q8 and q4
//! file.rs     how files write numbers; ggml.rs: the blocks of GGUF files
//! mlx.rs      the parts of matrices that MLX quantised
//! matrix.rs   rows in, rows out
//! ```

mod block;
mod file;
mod ggml;
mod half;
mod kv;
mod matrix;
mod mlx;
mod round;

use std::fmt;
use std::str::FromStr;

pub(crate) use self::block::{
    BLOCK_COLS, BLOCK_ROWS, Block, Bytes, HALF_SHIFT, HalfPairs, Nibbles, Pairs, Q4Block, Q4Fine, Q4Wide, Q8Block, Q8Fine, Q8Wide, Scales,
};
#[cfg(test)]
pub(crate) use self::block::{Factor, Levels};
pub(crate) use self::file::FileDtype;
pub(crate) use self::ggml::Ggml;
pub(crate) use self::half::{Bf16x8, F16_ACTIVATION_SCALE, F16x8};
use self::half::{f16_scale, to_f16};
pub use self::kv::{KV_BLOCK, KvDtype};
pub(crate) use self::kv::{KV_TILE_ROWS, KvKind, KvPiece, KvTile, decode_q8, encode_q8};
pub use self::matrix::Matrix;
pub(crate) use self::mlx::{Packing, widen_powers};
use crate::error::{Error, Result};

/// How the weights of a model are stored, as a caller asks for it. [`Format`] is how one matrix is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision. Each row is multiplied by a power of two.
    F16,
    /// The upper half of an f32.
    Bf16,
    /// Eight bits, with a scale for every 32 columns.
    Q8,
    /// Four bits, with a scale and an offset for every 32 columns.
    Q4,
}

/// How a matrix is stored in memory. `FileDtype` is how a file writes it.
///
/// The formats of integers differ in four things: their codes have 4 or 8 bits; 32 columns share a scale, or
/// 16 in the fine formats; there may be an offset; and scale and offset are f16 or f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Format {
    F32,
    F16,
    Bf16,
    /// Eight bits, an f32 scale. 9 bits a weight.
    Q8,
    /// Eight bits, scale and offset in f32. 10 bits a weight.
    Q8Wide,
    /// Eight bits, an f32 scale for every 16 columns. 10 bits a weight.
    Q8Fine,
    /// Four bits, scale and offset in f16. 5 bits a weight.
    Q4,
    /// Four bits, scale and offset in f32. 6 bits a weight.
    Q4Wide,
    /// Four bits, scale and offset in f32 for every 16 columns. 8 bits a weight.
    Q4Fine,
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

    /// True for integers with scales.
    pub(crate) fn is_quantised(self) -> bool {
        matches!(self, Dtype::Q8 | Dtype::Q4)
    }

    /// The format of a matrix that is rounded to this.
    pub(crate) fn format(self) -> Format {
        match self {
            Dtype::F32 => Format::F32,
            Dtype::F16 => Format::F16,
            Dtype::Bf16 => Format::Bf16,
            Dtype::Q8 => Format::Q8,
            Dtype::Q4 => Format::Q4,
        }
    }
}

impl Format {
    /// Every format, the widest first.
    #[cfg(test)]
    pub(crate) const ALL: [Format; 9] =
        [Format::F32, Format::F16, Format::Bf16, Format::Q8Wide, Format::Q8Fine, Format::Q8, Format::Q4Fine, Format::Q4Wide, Format::Q4];

    /// What a model of such matrices is called.
    pub(crate) fn dtype(self) -> Dtype {
        match self {
            Format::F32 => Dtype::F32,
            Format::F16 => Dtype::F16,
            Format::Bf16 => Dtype::Bf16,
            Format::Q8 | Format::Q8Wide | Format::Q8Fine => Dtype::Q8,
            Format::Q4 | Format::Q4Wide | Format::Q4Fine => Dtype::Q4,
        }
    }

    /// Bytes that a matrix takes in this format, padding included: [`Matrix::bytes`], before the matrix
    /// exists.
    pub(crate) fn matrix_bytes(self, rows: usize, cols: usize) -> u64 {
        let (high, wide) = self.tile();
        let tiles = rows.div_ceil(high) as u64 * cols.div_ceil(wide) as u64;
        let factors = if self == Format::F16 { rows.next_multiple_of(high) as u64 * 4 } else { 0 };
        let size = match self {
            Format::F32 => size_of::<F32Tile>(),
            Format::F16 => size_of::<F16Tile>(),
            Format::Bf16 => size_of::<Bf16Tile>(),
            Format::Q8 => size_of::<Q8Block>(),
            Format::Q8Wide => size_of::<Q8Wide>(),
            Format::Q8Fine => size_of::<Q8Fine>(),
            Format::Q4 => size_of::<Q4Block>(),
            Format::Q4Wide => size_of::<Q4Wide>(),
            Format::Q4Fine => size_of::<Q4Fine>(),
        };
        tiles * size as u64 + factors
    }

    /// Rows and columns of a tile or block.
    fn tile(self) -> (usize, usize) {
        if self.dtype().is_quantised() { (BLOCK_ROWS, BLOCK_COLS) } else { (TILE_ROWS, TILE_COLS) }
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
    Q8Wide(Vec<Q8Wide>),
    Q8Fine(Vec<Q8Fine>),
    Q4(Vec<Q4Block>),
    Q4Wide(Vec<Q4Wide>),
    Q4Fine(Vec<Q4Fine>),
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
