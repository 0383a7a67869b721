//! Storage formats: how a weight matrix lies in memory.
//!
//! A [`Matrix`] is (rows = out, cols = in) as published, but laid out for the kernels that read it: rows four by four, and
//! within four rows the columns eight by eight, so that a matrix-vector product walks through memory once, in order, with four
//! sums at a time. Rows and columns that fill up the last tile are zero.
//!
//! Sixteen-bit values lie in pairs in 32-bit words, value `i` of eight in the low half of word `i` and value `i + 4` in the high half:
//! then both halves become four lanes of f32 by shifts and masks alone, in the natural order.
//!
//! f16 is decoded by integer moves, without looking at exponents: sign and exponent and mantissa are put in place, which
//! gives the value times 2^-112. Two things make that exact and fast. Each row is scaled by a power of two when it is stored so that
//! its largest magnitude lies in [2^15, 2^16] (never downwards for an f16 file, so nothing is lost); then a value is subnormal, and
//! slow in f32 arithmetic, only if the row spans more than 2^29. And what is left of both factors is one f32 per row, applied to the sum.

use std::fmt;
use std::str::FromStr;

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
}

impl Dtype {
    /// Bytes per value.
    pub fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::Bf16 => 2,
        }
    }

    /// Bytes that a matrix takes in this format, padding included: what [`Matrix::bytes`] says, before there is a matrix.
    pub fn matrix_bytes(self, rows: usize, cols: usize) -> u64 {
        let rows = (rows as u64).next_multiple_of(TILE_ROWS as u64);
        let cols = (cols as u64).next_multiple_of(TILE_COLS as u64);
        let factors = if self == Dtype::F16 { 4 * rows } else { 0 };
        rows * cols * self.size() as u64 + factors
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::F32 => "f32",
            Dtype::F16 => "f16",
            Dtype::Bf16 => "bf16",
        })
    }
}

impl FromStr for Dtype {
    type Err = Error;

    fn from_str(name: &str) -> Result<Dtype> {
        match name {
            "f32" => Ok(Dtype::F32),
            "f16" => Ok(Dtype::F16),
            "bf16" => Ok(Dtype::Bf16),
            _ => Err(Error::BadOption { option: "dtype".into(), expected: "f32, f16 or bf16".into(), got: format!("`{name}`") }),
        }
    }
}

/// Rows of a tile: a kernel computes this many outputs at once.
pub(crate) const TILE_ROWS: usize = 4;
/// Columns of a tile.
pub(crate) const TILE_COLS: usize = 8;

/// One row of a tile in f32.
pub(crate) type F32x8 = [f32; TILE_COLS];

/// One row of a tile in f16: pairs as the head of this file tells, of the row's values times a power of two.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct F16x8(pub [u32; 4]);

/// One row of a tile in bf16: pairs as the head of this file tells.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bf16x8(pub [u32; 4]);

/// The kernels multiply activations by this before they meet f16 weights, halfway back from 2^-112: neither overflows below 2^63
/// nor underflows above 2^-62 (against the row's largest weight, with 32 bits to spare).
pub(crate) const F16_ACTIVATION_SCALE: f32 = pow2(64);

/// What decoding an f16 by integer moves divides it by, as a power of two.
const F16_BIAS: i32 = 112;

/// The tiles of a matrix: row `r`, column `c` is in tile `r / 4 * (padded cols / 8) + c / 8`.
#[derive(Debug, Clone)]
pub(crate) enum Tiles {
    F32(Vec<[F32x8; TILE_ROWS]>),
    /// Beside the tiles, the factor of each row (padded like the rows) that makes a sum over decoded weights and
    /// activations times [`F16_ACTIVATION_SCALE`] right.
    F16(Vec<[F16x8; TILE_ROWS]>, Vec<[f32; TILE_ROWS]>),
    Bf16(Vec<[Bf16x8; TILE_ROWS]>),
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
        let blocks = rows.div_ceil(TILE_ROWS);
        let tiles = blocks.checked_mul(cols.div_ceil(TILE_COLS)).ok_or_else(|| refused(dtype, rows, cols))?;
        let refused = || refused(dtype, rows, cols);
        let tiles = match dtype {
            Dtype::F32 => Tiles::F32(zeroed(tiles).ok_or_else(refused)?),
            Dtype::F16 => Tiles::F16(zeroed(tiles).ok_or_else(refused)?, zeroed(blocks).ok_or_else(refused)?),
            Dtype::Bf16 => Tiles::Bf16(zeroed(tiles).ok_or_else(refused)?),
        };
        Ok(Matrix { rows, cols, tiles })
    }

    /// A matrix of the given values, rounded to the storage format.
    ///
    /// Shapes: `values` (rows, cols). Errors: `OUT_OF_MEMORY`. Panics: if there are not rows * cols values.
    pub fn from_f32(dtype: Dtype, rows: usize, cols: usize, values: &[f32]) -> Result<Matrix> {
        assert_eq!(values.len(), rows * cols, "values of a {rows} x {cols} matrix");
        let mut matrix = Matrix::new(dtype, rows, cols)?;
        for row in 0..rows {
            matrix.store(row, eights(&values[row * cols..][..cols], |value| value));
        }
        Ok(matrix)
    }

    /// Stores one row, given as the little-endian bytes of a file of dtype `source`, rounded to nearest even where the storage is
    /// narrower.
    ///
    /// In f16 storage, a row that holds a NaN, an infinity or a magnitude above 2^94 reads as NaN throughout.
    ///
    /// Panics: if the row does not exist or the bytes are not those of one row.
    pub fn set_row(&mut self, row: usize, source: Dtype, bytes: &[u8]) {
        assert_eq!(bytes.len(), self.cols * source.size(), "bytes of a row of {} {source}", self.cols);
        match source {
            Dtype::F32 => self.store(row, eights(bytes.as_chunks().0, f32::from_le_bytes)),
            Dtype::F16 => self.store(row, eights(bytes.as_chunks().0, |value| f16_to_f32(u16::from_le_bytes(value)))),
            Dtype::Bf16 => self.store(row, eights(bytes.as_chunks().0, |value| bf16_to_f32(u16::from_le_bytes(value)))),
        }
    }

    fn store(&mut self, row: usize, values: impl Iterator<Item = F32x8> + Clone) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let groups = self.groups();
        let (first, lane) = (row / TILE_ROWS * groups, row % TILE_ROWS);
        match &mut self.tiles {
            Tiles::F32(tiles) => {
                for (tile, values) in tiles[first..].iter_mut().zip(values) {
                    tile[lane] = values;
                }
            }
            Tiles::F16(tiles, factors) => {
                let (scale, factor) = f16_scale(values.clone());
                factors[row / TILE_ROWS][lane] = factor;
                for (tile, values) in tiles[first..].iter_mut().zip(values) {
                    tile[lane] = F16x8(pairs(values.map(|value| f32_to_f16(value * scale[0] * scale[1]))));
                }
            }
            Tiles::Bf16(tiles) => {
                for (tile, values) in tiles[first..].iter_mut().zip(values) {
                    tile[lane] = Bf16x8(pairs(values.map(f32_to_bf16)));
                }
            }
        }
    }

    /// Decodes one row.
    ///
    /// Panics: if the row does not exist or `out` has not its length.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        assert_eq!(out.len(), self.cols, "length of a row");
        let groups = self.groups();
        let (first, lane) = (row / TILE_ROWS * groups, row % TILE_ROWS);
        let out = out.chunks_mut(TILE_COLS);
        match &self.tiles {
            Tiles::F32(tiles) => {
                for (out, tile) in out.zip(&tiles[first..]) {
                    out.copy_from_slice(&tile[lane][..out.len()]);
                }
            }
            Tiles::F16(tiles, factors) => {
                let factor = factors[row / TILE_ROWS][lane];
                for (out, tile) in out.zip(&tiles[first..]) {
                    let values = unpaired(tile[lane].0).map(|value| f16_times_2_pow_minus_112(value) * F16_ACTIVATION_SCALE * factor);
                    out.copy_from_slice(&values[..out.len()]);
                }
            }
            Tiles::Bf16(tiles) => {
                for (out, tile) in out.zip(&tiles[first..]) {
                    let values = unpaired(tile[lane].0).map(bf16_to_f32);
                    out.copy_from_slice(&values[..out.len()]);
                }
            }
        }
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
        }
    }

    /// Bytes of memory that the values take, padding included.
    pub fn bytes(&self) -> usize {
        match &self.tiles {
            Tiles::F32(tiles) => size_of_val(tiles.as_slice()),
            Tiles::F16(tiles, factors) => size_of_val(tiles.as_slice()) + size_of_val(factors.as_slice()),
            Tiles::Bf16(tiles) => size_of_val(tiles.as_slice()),
        }
    }

    /// Tiles that one row runs through.
    pub(crate) fn groups(&self) -> usize {
        self.cols.div_ceil(TILE_COLS)
    }

    pub(crate) fn tiles(&self) -> &Tiles {
        &self.tiles
    }
}

fn refused(dtype: Dtype, rows: usize, cols: usize) -> Error {
    let requested_bytes = (rows as u64).saturating_mul(cols as u64).saturating_mul(dtype.size() as u64);
    Error::OutOfMemory { what: format!("a {rows} x {cols} weight matrix in {dtype}"), requested_bytes }
}

/// `len` zeros, or nothing if the memory is refused.
fn zeroed<T: Copy + Default>(len: usize) -> Option<Vec<T>> {
    let mut values = Vec::new();
    values.try_reserve_exact(len).ok()?;
    values.resize(len, T::default());
    Some(values)
}

/// The values by eight, with zeros after the last.
fn eights<T: Copy>(values: &[T], decode: impl Fn(T) -> f32 + Copy) -> impl Iterator<Item = F32x8> + Clone {
    let (whole, tail) = values.as_chunks::<TILE_COLS>();
    let last = std::array::from_fn(|i| tail.get(i).map_or(0.0, |&value| decode(value)));
    whole.iter().map(move |values| values.map(decode)).chain((!tail.is_empty()).then_some(last))
}

fn pairs(values: [u16; TILE_COLS]) -> [u32; 4] {
    std::array::from_fn(|i| u32::from(values[i]) | u32::from(values[i + 4]) << 16)
}

fn unpaired(pairs: [u32; 4]) -> [u16; TILE_COLS] {
    std::array::from_fn(|i| (pairs[i % 4] >> (i / 4 * 16)) as u16)
}

/// What the kernels do with an f16, for one value.
fn f16_times_2_pow_minus_112(bits: u16) -> f32 {
    f32::from_bits(((i32::from(bits) << 16 >> 3) as u32) & 0x8fff_e000)
}

/// The value of an f16 of a file. (The conversions here are branchless, so that compilers make vectors of them.)
fn f16_to_f32(bits: u16) -> f32 {
    let small = f16_times_2_pow_minus_112(bits);
    if bits & 0x7c00 == 0x7c00 { f32::from_bits(small.to_bits() | 0x7f80_0000) } else { small * pow2(F16_BIAS) }
}

/// The f16 nearest to a value up to 2^16, which is what would be infinity in IEEE 754.
fn f32_to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    let normal = (magnitude + 0xfff + (magnitude >> 13 & 1)).wrapping_sub((F16_BIAS as u32) << 23) >> 13;
    // Beside 0.5, the unit in the last place is 2^-24: that of subnormal f16.
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let rounded = if magnitude < pow2(-14).to_bits() { subnormal } else { normal };
    (bits >> 16 & 0x8000 | rounded) as u16
}

fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

fn f32_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    // A NaN whose payload is all in the lower half must not become an infinity.
    let rounded = if value.is_nan() { bits | 0x40_0000 } else { bits + 0x7fff + (bits >> 16 & 1) };
    (rounded >> 16) as u16
}

/// The power of two by which a row is multiplied before it is rounded to f16, in two factors since it may be beyond f32, and the
/// factor that undoes it (and both other powers of two) in the kernels.
fn f16_scale(values: impl Iterator<Item = F32x8>) -> ([f32; 2], f32) {
    // Magnitudes compare like their bits, and NaN and infinity are above all others.
    let max =
        values.fold([0; TILE_COLS], |max: [u32; TILE_COLS], values| std::array::from_fn(|i| max[i].max(values[i].to_bits() & 0x7fff_ffff)));
    let max = f32::from_bits(max.into_iter().fold(0, u32::max));
    if max == 0.0 {
        return ([0.0; 2], 0.0);
    }
    let exponent = (f64::from(max).to_bits() >> 52) as i32 - 1023; // f64, where no f32 is subnormal
    let shift = 15 - exponent;
    let undo = F16_BIAS - 64 - shift;
    if !max.is_finite() || undo > 127 {
        return ([0.0; 2], f32::NAN);
    }
    ([pow2(shift / 2), pow2(shift - shift / 2)], pow2(undo))
}

/// 2^exponent, of a normal f32.
const fn pow2(exponent: i32) -> f32 {
    assert!(-126 <= exponent && exponent <= 127);
    f32::from_bits(((127 + exponent) as u32) << 23)
}

#[cfg(test)]
mod tests {
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

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
            let expected = half::f16::from_bits(bits).to_f32();
            for dtype in [Dtype::F16, Dtype::F32] {
                let got = stored(dtype, Dtype::F16, 1, &bits.to_le_bytes())[0];
                assert!(same(got, expected) || (dtype == Dtype::F16 && !expected.is_finite() && got.is_nan()), "{bits:#06x}: {got}");
            }
        }
    }

    #[test]
    fn every_finite_f16_comes_back_exactly_from_one_row_that_holds_them_all() {
        let all: Vec<u16> = (0..=u16::MAX).filter(|&bits| half::f16::from_bits(bits).is_finite()).collect();
        let bytes: Vec<u8> = all.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        let got = stored(Dtype::F16, Dtype::F16, all.len(), &bytes);
        for (bits, got) in all.iter().zip(got) {
            assert!(same(got, half::f16::from_bits(*bits).to_f32()), "{bits:#06x}: {got}");
        }
    }

    #[test]
    fn every_bf16_comes_back_exactly() {
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        for dtype in [Dtype::Bf16, Dtype::F32] {
            for (bits, got) in (0..=u16::MAX).zip(stored(dtype, Dtype::Bf16, 1 << 16, &bytes)) {
                assert!(same(got, half::bf16::from_bits(bits).to_f32()), "{bits:#06x} in {dtype}: {got}");
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
    fn conversions_are_those_of_the_half_crate() {
        for high in 0..=u16::MAX {
            assert!(same(f16_to_f32(high), half::f16::from_bits(high).to_f32()), "{high:#06x}");
            // Both sides of every tie of both formats, and numbers between.
            for low in [0, 1, 0x0fff, 0x1000, 0x1001, 0x2fff, 0x3000, 0x3001, 0x7fff, 0x8000, 0x8001, 0xffff] {
                let value = f32::from_bits(u32::from(high) << 16 | low);
                let expected = half::bf16::from_f32(value);
                assert!(same(bf16_to_f32(f32_to_bf16(value)), expected.to_f32()), "{value:e} in bf16");
                if value.abs() <= 65536.0 {
                    assert_eq!(f32_to_f16(value), half::f16::from_f32(value).to_bits(), "{value:e} in f16");
                }
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
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            for (rows, cols) in [(1, 1), (3, 7), (4, 8), (5, 9), (13, 26), (0, 5), (5, 0)] {
                let values: Vec<f32> = (0..rows * cols).map(|i| i as f32 - 100.0).collect();
                let matrix = Matrix::from_f32(dtype, rows, cols, &values).unwrap();
                assert_eq!((matrix.rows(), matrix.cols(), matrix.dtype()), (rows, cols, dtype));
                assert!(matrix.bytes() >= rows * cols * dtype.size());
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
            for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
                let error = Matrix::new(dtype, rows, cols).unwrap_err();
                assert_eq!(error.code(), "OUT_OF_MEMORY", "{rows} x {cols}");
            }
        }
    }

    #[test]
    fn names_of_formats_are_those_of_the_options() {
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            assert_eq!(dtype.to_string().parse(), Ok(dtype));
        }
        assert_eq!("float32".parse::<Dtype>().unwrap_err().to_string(), "option `dtype`: expected f32, f16 or bf16, got `float32`.");
    }

    #[test]
    fn the_size_of_a_matrix_is_known_before_it_is_there() {
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            for (rows, cols) in [(1, 1), (4, 8), (5, 26), (31, 312)] {
                assert_eq!(dtype.matrix_bytes(rows, cols), Matrix::new(dtype, rows, cols).unwrap().bytes() as u64);
            }
        }
    }
}
