//! A weight matrix: how rows go in and come out.

use super::block::BLOCK_COLS;
use super::half::{Bf16x8, F16x8, f16_scale, to_bf16, to_f16};
use super::{Dtype, F32x8, FileDtype, PIECE, TILE_COLS, TILE_ROWS, Tiles, largest, zeroed};
use crate::error::{Error, Result};

/// A weight matrix in one of the storage formats.
///
/// Shapes: (rows, cols) = (out, in).
#[derive(Debug, Clone)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    tiles: Tiles,
}

impl Default for Matrix {
    /// A matrix without rows and columns.
    fn default() -> Matrix {
        Matrix { rows: 0, cols: 0, tiles: Tiles::F32(Vec::new()) }
    }
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

    /// Stores one row, given as the bytes of a file, rounded to nearest even where the storage is narrower.
    ///
    /// A value that is not finite makes the whole row read as NaN in f16, and its whole block in q8 and q4.
    /// In f16 a magnitude above 2^94 does so too.
    ///
    /// Panics: if the row does not exist, or the bytes are not those of one row.
    pub(crate) fn set_row(&mut self, row: usize, source: FileDtype, bytes: &[u8]) {
        assert_eq!(bytes.len(), source.bytes(self.cols), "bytes of a row of {} {source:?}", self.cols);
        self.store(row, |first, out| source.widen(&bytes[source.bytes(first)..], out));
    }

    /// Stores a row piece by piece. `read` gets the first column of a piece and writes its values.
    ///
    /// A piece stays in the processor's first cache and is read several times, each time by a loop over
    /// slices. LLVM makes vector instructions of such loops for WebAssembly. Loops over arrays of eight it
    /// unrolls instead, which gave a fifth of the speed.
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

    /// The tiles of a row, and its lane in each of them.
    fn place(&self, row: usize) -> (std::ops::Range<usize>, usize) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let (high, _) = self.dtype().tile();
        let first = row / high * self.blocks_per_row();
        (first..first + self.blocks_per_row(), row % high)
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
    pub(crate) fn blocks_per_row(&self) -> usize {
        self.cols.div_ceil(self.dtype().tile().1)
    }

    pub(crate) fn tiles(&self) -> &Tiles {
        &self.tiles
    }
}
