//! A weight matrix: how rows go in and come out.

use super::block::{BLOCK_COLS, Blocks, Levels};
use super::half::{Bf16x8, F16x8, f16_scale, to_bf16, to_f16};
use super::{Dtype, F32x8, FileDtype, Format, PIECE, TILE_COLS, TILE_ROWS, Tiles, largest, round, zeroed};
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
    pub(crate) fn new(format: Format, rows: usize, cols: usize) -> Result<Matrix> {
        let (high, wide) = format.tile();
        let refused = || {
            let wide = if format == Format::F32 { 4 } else { 2 };
            let requested_bytes = (rows as u64).saturating_mul(cols as u64).saturating_mul(wide);
            Error::OutOfMemory { what: format!("a {rows} x {cols} weight matrix in {}", format.dtype()), requested_bytes }
        };
        let bands = rows.div_ceil(high);
        let len = bands.checked_mul(cols.div_ceil(wide)).ok_or_else(refused)?;
        let tiles = match format {
            Format::F32 => zeroed(len).map(Tiles::F32),
            Format::F16 => zeroed(len).zip(zeroed(bands)).map(|(tiles, factors)| Tiles::F16(tiles, factors)),
            Format::Bf16 => zeroed(len).map(Tiles::Bf16),
            Format::Q8 => zeroed(len).map(Tiles::Q8),
            Format::Q8Wide => zeroed(len).map(Tiles::Q8Wide),
            Format::Q8Fine => zeroed(len).map(Tiles::Q8Fine),
            Format::Q4 => zeroed(len).map(Tiles::Q4),
            Format::Q4Wide => zeroed(len).map(Tiles::Q4Wide),
            Format::Q4Fine => zeroed(len).map(Tiles::Q4Fine),
        };
        Ok(Matrix { rows, cols, tiles: tiles.ok_or_else(refused)? })
    }

    /// A matrix of the given values, rounded to the storage format.
    ///
    /// Shapes: `values` (rows, cols). Errors: `OUT_OF_MEMORY`. Panics: if there are not rows * cols values.
    pub fn from_f32(dtype: Dtype, rows: usize, cols: usize, values: &[f32]) -> Result<Matrix> {
        assert_eq!(values.len(), rows * cols, "values of a {rows} x {cols} matrix");
        let mut matrix = Matrix::new(dtype.format(), rows, cols)?;
        for row in 0..rows {
            matrix.store(row, |first, out| out.copy_from_slice(&values[row * cols + first..][..out.len()]))?;
        }
        Ok(matrix)
    }

    /// Stores one row, given as the bytes of a file. Integers of a file whose own format this is are stored
    /// as they stand. Everything else is rounded to nearest even where the storage is narrower.
    ///
    /// A value that is not finite makes the whole row read as NaN in f16, and its whole block in q8 and q4.
    /// In f16 a magnitude above 2^94 does so too.
    ///
    /// Errors: `OUT_OF_MEMORY` if the scales need a wider format, and there is no memory for it. Panics: if
    /// the row does not exist, or the bytes are not those of one row.
    pub(crate) fn set_row(&mut self, row: usize, source: FileDtype, bytes: &[u8]) -> Result<()> {
        assert_eq!(bytes.len(), source.bytes(self.cols), "bytes of a row of {} {source:?}", self.cols);
        if let FileDtype::Blocks(ggml) = source
            && self.holds(ggml.storage())
        {
            let mut result = Ok(());
            ggml.levels(bytes, &mut |block, levels| {
                if result.is_ok() {
                    result = self.set_levels(row, block, &levels);
                }
            });
            return result;
        }
        self.store(row, |first, out| source.widen(&bytes[source.bytes(first)..], out))
    }

    /// Whether the integers of this format are stored as they stand.
    fn holds(&self, format: Format) -> bool {
        self.format() == format || (self.format() == Format::Q4Wide && format == Format::Q4)
    }

    /// Stores 32 columns of a row, whose number is `block`.
    ///
    /// Errors: `OUT_OF_MEMORY` as for [`Matrix::set_row`].
    pub(crate) fn set_levels(&mut self, row: usize, block: usize, levels: &Levels) -> Result<()> {
        if matches!(self.tiles, Tiles::Q4(_)) && !levels.factors[0].fits_half() {
            self.widen()?;
        }
        let (tiles, lane) = self.place(row);
        if let Some(blocks) = self.tiles.blocks_mut() {
            blocks.set(tiles.start + block, lane, levels);
        }
        Ok(())
    }

    /// Writes the scales and offsets in f32, as f16 cannot hold the next. Files with such numbers are rare.
    pub(super) fn widen(&mut self) -> Result<()> {
        let mut wide = Matrix::new(Format::Q4Wide, self.rows, self.cols)?;
        if let (Some(from), Some(to)) = (self.tiles.blocks(), wide.tiles.blocks_mut()) {
            let blocks = self.rows.div_ceil(self.format().tile().0) * self.blocks_per_row();
            for (block, lane) in (0..blocks).flat_map(|block| (0..self.format().tile().0).map(move |lane| (block, lane))) {
                to.set(block, lane, &from.get(block, lane));
            }
        }
        *self = wide;
        Ok(())
    }

    /// Stores a row piece by piece. `read` gets the first column of a piece and writes its values.
    ///
    /// A piece stays in the processor's first cache and is read several times, each time by a loop over
    /// slices. LLVM makes vector instructions of such loops for WebAssembly. Loops over arrays of eight it
    /// unrolls instead, which gave a fifth of the speed.
    fn store(&mut self, row: usize, read: impl Fn(usize, &mut [f32])) -> Result<()> {
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
            _ => {
                let round = if self.format().dtype() == Dtype::Q8 { round::q8 } else { round::q4 };
                let last = self.blocks_per_row();
                for first in pieces {
                    for (block, values) in (first / BLOCK_COLS..last).zip(read(first).as_chunks().0) {
                        self.set_levels(row, block, &round(values))?;
                    }
                }
            }
        }
        Ok(())
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
            ints => {
                let blocks = ints.blocks().into_iter().flat_map(|blocks| tiles.clone().map(move |block| blocks.get(block, lane)));
                for (out, levels) in out.chunks_mut(BLOCK_COLS).zip(blocks) {
                    out.copy_from_slice(&levels.values()[..out.len()]);
                }
            }
        }
    }

    /// The tiles of a row, and its lane in each of them.
    pub(super) fn place(&self, row: usize) -> (std::ops::Range<usize>, usize) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let (high, _) = self.format().tile();
        let first = row / high * self.blocks_per_row();
        (first..first + self.blocks_per_row(), row % high)
    }

    /// The matrix in another format, rounded once.
    ///
    /// Errors: `OUT_OF_MEMORY`.
    pub(crate) fn converted(&self, format: Format) -> Result<Matrix> {
        let mut values = zeroed(self.cols).unwrap_or_default();
        let mut other = Matrix::new(format, self.rows, self.cols)?;
        for row in 0..self.rows {
            self.row(row, &mut values);
            other.store(row, |first, out| out.copy_from_slice(&values[first..][..out.len()]))?;
        }
        Ok(other)
    }

    /// A copy.
    ///
    /// Errors: `OUT_OF_MEMORY`, where `clone` would end the program.
    pub(crate) fn copy(&self) -> Result<Matrix> {
        let mut copy = Matrix::new(self.format(), self.rows, self.cols)?;
        match (&mut copy.tiles, &self.tiles) {
            (Tiles::F32(to), Tiles::F32(from)) => to.copy_from_slice(from),
            (Tiles::F16(to, factors_to), Tiles::F16(from, factors_from)) => {
                to.copy_from_slice(from);
                factors_to.copy_from_slice(factors_from);
            }
            (Tiles::Bf16(to), Tiles::Bf16(from)) => to.copy_from_slice(from),
            (Tiles::Q8(to), Tiles::Q8(from)) => to.copy_from_slice(from),
            (Tiles::Q8Wide(to), Tiles::Q8Wide(from)) => to.copy_from_slice(from),
            (Tiles::Q8Fine(to), Tiles::Q8Fine(from)) => to.copy_from_slice(from),
            (Tiles::Q4(to), Tiles::Q4(from)) => to.copy_from_slice(from),
            (Tiles::Q4Wide(to), Tiles::Q4Wide(from)) => to.copy_from_slice(from),
            (Tiles::Q4Fine(to), Tiles::Q4Fine(from)) => to.copy_from_slice(from),
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

    /// What its storage format is called.
    pub fn dtype(&self) -> Dtype {
        self.format().dtype()
    }

    /// The storage format.
    pub(crate) fn format(&self) -> Format {
        match self.tiles {
            Tiles::F32(..) => Format::F32,
            Tiles::F16(..) => Format::F16,
            Tiles::Bf16(..) => Format::Bf16,
            Tiles::Q8(..) => Format::Q8,
            Tiles::Q8Wide(..) => Format::Q8Wide,
            Tiles::Q8Fine(..) => Format::Q8Fine,
            Tiles::Q4(..) => Format::Q4,
            Tiles::Q4Wide(..) => Format::Q4Wide,
            Tiles::Q4Fine(..) => Format::Q4Fine,
        }
    }

    /// Bytes of memory that the values take, padding included.
    pub fn bytes(&self) -> u64 {
        self.format().matrix_bytes(self.rows, self.cols)
    }

    /// Tiles or blocks that one row runs through.
    pub(crate) fn blocks_per_row(&self) -> usize {
        self.cols.div_ceil(self.format().tile().1)
    }

    pub(crate) fn tiles(&self) -> &Tiles {
        &self.tiles
    }

    pub(super) fn tiles_mut(&mut self) -> &mut Tiles {
        &mut self.tiles
    }
}

impl Tiles {
    /// The blocks of integers, if these are.
    pub(super) fn blocks(&self) -> Option<&dyn Blocks> {
        match self {
            Tiles::F32(..) | Tiles::F16(..) | Tiles::Bf16(..) => None,
            Tiles::Q8(blocks) => Some(blocks),
            Tiles::Q8Wide(blocks) => Some(blocks),
            Tiles::Q8Fine(blocks) => Some(blocks),
            Tiles::Q4(blocks) => Some(blocks),
            Tiles::Q4Wide(blocks) => Some(blocks),
            Tiles::Q4Fine(blocks) => Some(blocks),
        }
    }

    pub(super) fn blocks_mut(&mut self) -> Option<&mut dyn Blocks> {
        match self {
            Tiles::F32(..) | Tiles::F16(..) | Tiles::Bf16(..) => None,
            Tiles::Q8(blocks) => Some(blocks),
            Tiles::Q8Wide(blocks) => Some(blocks),
            Tiles::Q8Fine(blocks) => Some(blocks),
            Tiles::Q4(blocks) => Some(blocks),
            Tiles::Q4Wide(blocks) => Some(blocks),
            Tiles::Q4Fine(blocks) => Some(blocks),
        }
    }
}
