//! Storage formats: how a weight matrix lies in memory.
//!
//! A [`Matrix`] is (rows = out, cols = in) as published, but laid out for the kernels that read it: some rows side by side, and
//! within them some columns at a time, so that a matrix-vector product walks through memory once, in order, with several
//! sums under way. Rows and columns that fill up the last tile are zero.
//!
//! [`half`] tells of f16 and bf16, [`block`] of q8 and q4.

mod block;
mod half;

use std::fmt;
use std::str::FromStr;

pub(crate) use self::block::{BLOCK_COLS, BLOCK_ROWS, Q4_OFFSET, Q4Block, Q8Block};
pub(crate) use self::half::{Bf16x8, F16_ACTIVATION_SCALE, F16x8};
use self::half::{bf16_to_f32, f16_scale, f16_to_f32, to_bf16, to_f16};
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

    /// Bytes per value in a file of this dtype.
    ///
    /// Panics: for q8 and q4, which no file holds.
    pub fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::Bf16 => 2,
            Dtype::Q8 | Dtype::Q4 => panic!("{self} is made while loading and has no size in a file"),
        }
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

/// A weight matrix in one of the storage formats.
///
/// Shapes: (rows, cols) = (out, in).
#[derive(Debug, Clone)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    tiles: Tiles,
}

impl Matrix {
    /// A matrix of zeros.
    ///
    /// Errors: `OUT_OF_MEMORY` if the memory is refused.
    pub fn new(dtype: Dtype, rows: usize, cols: usize) -> Result<Matrix> {
        let (high, wide) = dtype.tile();
        let refused = || {
            let requested_bytes = (rows as u64).saturating_mul(cols as u64).saturating_mul(if dtype == Dtype::F32 { 4 } else { 2 });
            Error::OutOfMemory { what: format!("a {rows} x {cols} weight matrix in {dtype}"), requested_bytes }
        };
        let bands = rows.div_ceil(high);
        let tiles = bands.checked_mul(cols.div_ceil(wide)).ok_or_else(refused)?;
        let tiles = match dtype {
            Dtype::F32 => zeroed(tiles).map(Tiles::F32),
            Dtype::F16 => zeroed(tiles).zip(zeroed(bands)).map(|(tiles, factors)| Tiles::F16(tiles, factors)),
            Dtype::Bf16 => zeroed(tiles).map(Tiles::Bf16),
            Dtype::Q8 => zeroed(tiles).map(Tiles::Q8),
            Dtype::Q4 => zeroed(tiles).map(Tiles::Q4),
        };
        Ok(Matrix { rows, cols, tiles: tiles.ok_or_else(refused)? })
    }

    /// A matrix of the given values, rounded to the storage format.
    ///
    /// Shapes: `values` (rows, cols). Errors: `OUT_OF_MEMORY`. Panics: if there are not rows * cols values.
    pub fn from_f32(dtype: Dtype, rows: usize, cols: usize, values: &[f32]) -> Result<Matrix> {
        assert_eq!(values.len(), rows * cols, "values of a {rows} x {cols} matrix");
        let mut matrix = Matrix::new(dtype, rows, cols)?;
        for row in 0..rows {
            matrix.store(row, |first, out| out.copy_from_slice(&values[row * cols + first..][..out.len()]));
        }
        Ok(matrix)
    }

    /// Stores one row, given as the little-endian bytes of a file of dtype `source`, rounded to nearest even where the storage is
    /// narrower.
    ///
    /// In f16 storage, a row that holds a NaN, an infinity or a magnitude above 2^94 reads as NaN throughout; in q8 and q4, each block that holds a NaN or an
    /// infinity.
    ///
    /// Panics: if the row does not exist, the bytes are not those of one row, or `source` is no dtype of files.
    pub fn set_row(&mut self, row: usize, source: Dtype, bytes: &[u8]) {
        assert_eq!(bytes.len(), self.cols * source.size(), "bytes of a row of {} {source}", self.cols);
        self.store(row, |first, out| widen(source, &bytes[first * source.size()..], out));
    }

    /// Stores a row that `read` gives in pieces: the first column of a piece, and where its values go.
    ///
    /// Everything here is loops over slices, several times over a piece that stays in the processor's cache: those are the loops of which LLVM makes vector
    /// instructions for WebAssembly. Over arrays of eight, which it unrolls, it does not, at a fifth of the speed.
    fn store(&mut self, row: usize, read: impl Fn(usize, &mut [f32])) {
        let (cols, (tiles, lane)) = (self.cols, self.place(row));
        let mut values = [0.0; PIECE];
        let mut read = |first: usize| {
            values.fill(0.0);
            read(first, &mut values[..PIECE.min(cols - first)]);
            values
        };
        let pieces = (0..cols).step_by(PIECE);
        match &mut self.tiles {
            Tiles::F32(all) => {
                for (first, tiles) in pieces.zip(all[tiles].chunks_mut(PIECE / TILE_COLS)) {
                    for (half, values) in tiles.as_flattened_mut().iter_mut().zip(read(first).as_chunks().0) {
                        half[lane] = *values;
                    }
                }
            }
            Tiles::F16(all, factors) => {
                let largest = pieces.clone().map(|first| largest(&read(first)).to_bits()).fold(0, u32::max);
                let (scale, factor) = f16_scale(f32::from_bits(largest));
                factors[row / TILE_ROWS][lane] = factor;
                for (first, tiles) in pieces.zip(all[tiles].chunks_mut(PIECE / TILE_COLS)) {
                    let halves = to_f16(&read(first), scale);
                    for (tile, values) in tiles.iter_mut().zip(halves.as_chunks().0) {
                        tile[lane] = F16x8::pack(values);
                    }
                }
            }
            Tiles::Bf16(all) => {
                for (first, tiles) in pieces.zip(all[tiles].chunks_mut(PIECE / TILE_COLS)) {
                    let halves = to_bf16(&read(first));
                    for (tile, values) in tiles.iter_mut().zip(halves.as_chunks().0) {
                        tile[lane] = Bf16x8::pack(values);
                    }
                }
            }
            Tiles::Q8(all) => {
                for (first, blocks) in pieces.zip(all[tiles].chunks_mut(PIECE / BLOCK_COLS)) {
                    for (block, values) in blocks.iter_mut().zip(read(first).as_chunks().0) {
                        block.set(lane, values);
                    }
                }
            }
            Tiles::Q4(all) => {
                for (first, blocks) in pieces.zip(all[tiles].chunks_mut(PIECE / BLOCK_COLS)) {
                    for (block, values) in blocks.iter_mut().zip(read(first).as_chunks().0) {
                        block.set(lane, values);
                    }
                }
            }
        }
    }

    /// Decodes one row.
    ///
    /// Panics: if the row does not exist or `out` has not its length.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert_eq!(out.len(), self.cols, "length of a row");
        let (tiles, lane) = self.place(row);
        let put = |out: &mut [f32], values: F32x8| out.copy_from_slice(&values[..out.len()]);
        match &self.tiles {
            Tiles::F32(all) => {
                for (out, tile) in out.chunks_mut(4).zip(all[tiles].as_flattened()) {
                    out.copy_from_slice(&tile[lane][..out.len()]);
                }
            }
            Tiles::F16(all, factors) => {
                let factor = factors[row / TILE_ROWS][lane];
                for (out, tile) in out.chunks_mut(TILE_COLS).zip(&all[tiles]) {
                    put(out, tile[lane].decode(factor));
                }
            }
            Tiles::Bf16(all) => {
                for (out, tile) in out.chunks_mut(TILE_COLS).zip(&all[tiles]) {
                    put(out, tile[lane].decode());
                }
            }
            Tiles::Q8(all) => {
                for (out, block) in out.chunks_mut(BLOCK_COLS).zip(&all[tiles]) {
                    out.copy_from_slice(&block.row(lane)[..out.len()]);
                }
            }
            Tiles::Q4(all) => {
                for (out, block) in out.chunks_mut(BLOCK_COLS).zip(&all[tiles]) {
                    out.copy_from_slice(&block.row(lane)[..out.len()]);
                }
            }
        }
    }

    /// Where a row is: its tiles, and its place within each.
    fn place(&self, row: usize) -> (std::ops::Range<usize>, usize) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let (high, _) = self.dtype().tile();
        let first = row / high * self.groups();
        (first..first + self.groups(), row % high)
    }

    /// A copy.
    ///
    /// Errors: `OUT_OF_MEMORY`, where `clone` would end the program.
    pub(crate) fn copy(&self) -> Result<Matrix> {
        let mut copy = Matrix::new(self.dtype(), self.rows, self.cols)?;
        match (&mut copy.tiles, &self.tiles) {
            (Tiles::F32(to), Tiles::F32(from)) => to.copy_from_slice(from),
            (Tiles::F16(to, factors_to), Tiles::F16(from, factors_from)) => {
                to.copy_from_slice(from);
                factors_to.copy_from_slice(factors_from);
            }
            (Tiles::Bf16(to), Tiles::Bf16(from)) => to.copy_from_slice(from),
            (Tiles::Q8(to), Tiles::Q8(from)) => to.copy_from_slice(from),
            (Tiles::Q4(to), Tiles::Q4(from)) => to.copy_from_slice(from),
            _ => unreachable!("a matrix of the same format"),
        }
        Ok(copy)
    }

    /// Number of rows: the outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns: the inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The storage format.
    pub fn dtype(&self) -> Dtype {
        match self.tiles {
            Tiles::F32(..) => Dtype::F32,
            Tiles::F16(..) => Dtype::F16,
            Tiles::Bf16(..) => Dtype::Bf16,
            Tiles::Q8(..) => Dtype::Q8,
            Tiles::Q4(..) => Dtype::Q4,
        }
    }

    /// Bytes of memory that the values take, padding included.
    pub fn bytes(&self) -> u64 {
        self.dtype().matrix_bytes(self.rows, self.cols)
    }

    /// Tiles or blocks that one row runs through.
    pub(crate) fn groups(&self) -> usize {
        self.cols.div_ceil(self.dtype().tile().1)
    }

    pub(crate) fn tiles(&self) -> &Tiles {
        &self.tiles
    }
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

/// Values of a file as f32.
fn widen(source: Dtype, bytes: &[u8], out: &mut [f32]) {
    match source {
        Dtype::F32 => out.iter_mut().zip(bytes.as_chunks().0).for_each(|(out, &value)| *out = f32::from_le_bytes(value)),
        Dtype::F16 => out.iter_mut().zip(bytes.as_chunks().0).for_each(|(out, &value)| *out = f16_to_f32(u16::from_le_bytes(value))),
        Dtype::Bf16 => out.iter_mut().zip(bytes.as_chunks().0).for_each(|(out, &value)| *out = bf16_to_f32(u16::from_le_bytes(value))),
        Dtype::Q8 | Dtype::Q4 => unreachable!("no file is of {source}"),
    }
}

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
mod tests {
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    const FLOATS: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

    fn stored(dtype: Dtype, source: Dtype, cols: usize, bytes: &[u8]) -> Vec<f32> {
        let mut matrix = Matrix::new(dtype, 3, cols).unwrap();
        matrix.set_row(1, source, bytes);
        let mut out = vec![f32::NAN; cols];
        matrix.row(0, &mut out);
        assert!(out.iter().all(|value| value.to_bits() == 0), "the row before is still zero");
        matrix.row(1, &mut out);
        out
    }

    /// The same number to the bit; a NaN may change its payload.
    fn same(a: f32, b: f32) -> bool {
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
    }

    #[test]
    fn every_f16_alone_in_its_row_comes_back_exactly() {
        for bits in 0..=u16::MAX {
            let expected = ::half::f16::from_bits(bits).to_f32();
            for dtype in [Dtype::F16, Dtype::F32] {
                let got = stored(dtype, Dtype::F16, 1, &bits.to_le_bytes())[0];
                assert!(same(got, expected) || (dtype == Dtype::F16 && !expected.is_finite() && got.is_nan()), "{bits:#06x}: {got}");
            }
        }
    }

    #[test]
    fn every_finite_f16_comes_back_exactly_from_one_row_that_holds_them_all() {
        let all: Vec<u16> = (0..=u16::MAX).filter(|&bits| ::half::f16::from_bits(bits).is_finite()).collect();
        let bytes: Vec<u8> = all.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        let got = stored(Dtype::F16, Dtype::F16, all.len(), &bytes);
        for (bits, got) in all.iter().zip(got) {
            assert!(same(got, ::half::f16::from_bits(*bits).to_f32()), "{bits:#06x}: {got}");
        }
    }

    #[test]
    fn every_bf16_comes_back_exactly() {
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        for dtype in [Dtype::Bf16, Dtype::F32] {
            for (bits, got) in (0..=u16::MAX).zip(stored(dtype, Dtype::Bf16, 1 << 16, &bytes)) {
                assert!(same(got, ::half::bf16::from_bits(bits).to_f32()), "{bits:#06x} in {dtype}: {got}");
            }
        }
    }

    #[test]
    fn f32_rows_are_rounded_to_f16_relative_to_their_largest_value() {
        // The largest value decides the unit: 11 bits below it, or 2^-40 of it for the smallest.
        for exponent in [-149, -126, -60, -14, 0, 15, 16, 60, 94] {
            let scale = 2f64.powi(exponent) as f32;
            let values = [1.0, -1.0 - 2f32.powi(-10), 0.3, 1.0 / 3.0, 1e-3, 2f32.powi(-28)].map(|value| value * scale);
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            for (got, value) in stored(Dtype::F16, Dtype::F32, values.len(), &bytes).into_iter().zip(values) {
                let bound = (value.abs() * 2f32.powi(-11)).max(scale * 2f32.powi(-40));
                assert!((got - value).abs() <= bound, "2^{exponent}: {value} became {got}");
            }
        }
    }

    #[test]
    fn ties_are_rounded_to_even() {
        let unit = 2f32.powi(-10);
        let values = [1.0 + unit / 2.0, 1.0 + unit * 1.5, -1.0 - unit / 2.0, 2.0 - unit / 2.0];
        let matrix = Matrix::from_f32(Dtype::F16, 1, 4, &values).unwrap();
        let mut out = [f32::NAN; 4];
        matrix.row(0, &mut out);
        assert_eq!(out, [1.0, 1.0 + 2.0 * unit, -1.0, 2.0]);
    }

    #[test]
    fn rows_out_of_the_range_of_f16_storage_read_as_nan() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 2f32.powi(95)] {
            let matrix =
                Matrix::from_f32(Dtype::F16, 2, 9, &[[1.0; 9], std::array::from_fn(|i| if i == 8 { bad } else { 1.0 })].concat()).unwrap();
            let mut out = [0.0; 9];
            matrix.row(1, &mut out);
            assert!(out.iter().all(|value| value.is_nan()), "{bad}: {out:?}");
            matrix.row(0, &mut out);
            assert_eq!(out, [1.0; 9], "the row before");
        }
    }

    #[test]
    fn rows_of_every_shape_are_told_apart() {
        for dtype in FLOATS {
            for (rows, cols) in [(1, 1), (3, 7), (4, 8), (5, 9), (13, 26), (0, 5), (5, 0)] {
                let values: Vec<f32> = (0..rows * cols).map(|i| i as f32 - 100.0).collect();
                let matrix = Matrix::from_f32(dtype, rows, cols, &values).unwrap();
                assert_eq!((matrix.rows(), matrix.cols(), matrix.dtype()), (rows, cols, dtype));
                assert!(matrix.bytes() >= (rows * cols * dtype.size()) as u64);
                for row in 0..rows {
                    let mut out = vec![f32::NAN; cols];
                    matrix.row(row, &mut out);
                    assert_eq!(out, values[row * cols..][..cols], "{dtype}, {rows} x {cols}, row {row}");
                }
            }
        }
    }

    #[test]
    fn an_impossible_size_is_an_error_and_not_a_crash() {
        for (rows, cols) in [(usize::MAX, usize::MAX), (usize::MAX / 8, 1), (1, usize::MAX / 4)] {
            for dtype in Dtype::ALL {
                let error = Matrix::new(dtype, rows, cols).unwrap_err();
                assert_eq!(error.code(), "OUT_OF_MEMORY", "{rows} x {cols}");
            }
        }
    }

    #[test]
    fn names_of_formats_are_those_of_the_options() {
        for dtype in Dtype::ALL {
            assert_eq!(dtype.to_string().parse(), Ok(dtype));
        }
        assert_eq!(
            "float32".parse::<Dtype>().unwrap_err().to_string(),
            "option `dtype`: expected f32, f16, bf16, q8 or q4, got `float32`."
        );
    }

    #[test]
    fn the_size_of_a_matrix_is_known_before_it_is_there() {
        for (dtype, bytes) in [(Dtype::F32, 64 * 4), (Dtype::F16, 64 * 2 + 32), (Dtype::Bf16, 64 * 2), (Dtype::Q8, 144), (Dtype::Q4, 80)] {
            assert_eq!(dtype.matrix_bytes(1, 1), bytes, "one tile of {dtype}");
            for (rows, cols) in [(1, 1), (4, 8), (5, 26), (31, 312)] {
                let matrix = Matrix::new(dtype, rows, cols).unwrap();
                let stored = match matrix.tiles() {
                    Tiles::F32(tiles) => size_of_val(tiles.as_slice()),
                    Tiles::F16(tiles, factors) => size_of_val(tiles.as_slice()) + size_of_val(factors.as_slice()),
                    Tiles::Bf16(tiles) => size_of_val(tiles.as_slice()),
                    Tiles::Q8(blocks) => size_of_val(blocks.as_slice()),
                    Tiles::Q4(blocks) => size_of_val(blocks.as_slice()),
                };
                assert_eq!((matrix.bytes(), dtype.matrix_bytes(rows, cols)), (stored as u64, stored as u64));
            }
        }
    }

    #[test]
    fn quantised_rows_of_every_shape_are_told_apart() {
        for (dtype, levels) in [(Dtype::Q8, 127.0), (Dtype::Q4, 7.0)] {
            for (rows, cols) in [(1, 1), (3, 31), (4, 32), (5, 33), (13, 26), (9, 100), (0, 5), (5, 0)] {
                // Whole steps of one row's own scale, the largest always among them: nothing is lost.
                let values: Vec<f32> =
                    (0..rows * cols).map(|i| (i / cols + 1) as f32 * if i % cols % 32 == 0 { -levels } else { (i % 7) as f32 }).collect();
                let matrix = Matrix::from_f32(dtype, rows, cols, &values).unwrap();
                for row in 0..rows {
                    let mut out = vec![f32::NAN; cols];
                    matrix.row(row, &mut out);
                    for (got, value) in out.iter().zip(&values[row * cols..]) {
                        assert!(
                            (got - value).abs() <= 0.08 * (row + 1) as f32 * levels,
                            "{dtype}, {rows} x {cols}, row {row}: {got}, not {value}"
                        );
                    }
                }
            }
        }
    }
}
