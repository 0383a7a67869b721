//! How MLX packs quantised weights, and how their parts come into a matrix one by one.
//!
//! A matrix is three tensors: codes of a few bits, and a scale and an offset for each group of columns. The
//! file may have them in any order, so codes and factors are stored apart.
//!
//! ```text
//! weight = scale * code + offset
//! ```
//!
//! Nothing is rounded here: the matrix holds codes, scales and offsets of the file. Codes of 8 bits are
//! stored with a sign: `scale * code + offset = scale * (code - 128) + (offset + 128 scale)`.
//!
//! Source: MLX 0.32, `mx.quantize`. The codes of a row are one stream of bits, the lowest bits first.

use super::block::{BLOCK_COLS, Factor};
use super::ggml::FP4;
use super::{Format, Matrix, Tiles};
use crate::error::Result;

/// How the codes of a matrix are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packing {
    /// Bits of a code: 2, 3, 4, 5, 6 or 8.
    pub bits: usize,
    /// Columns that share a scale and an offset: 32, 64 or 128.
    pub group: usize,
    /// Codes are numbers of FP4, scales are powers of two in a byte, and there are no offsets.
    pub fp4: bool,
}

impl Packing {
    /// The bits that are read.
    pub(crate) const BITS: [usize; 6] = [2, 3, 4, 5, 6, 8];
    /// The groups that are read.
    pub(crate) const GROUPS: [usize; 3] = [32, 64, 128];

    /// The format that holds the weights exactly. Where f16 does not hold a scale, the matrix widens itself.
    pub(crate) fn storage(self) -> Format {
        match self {
            Packing { fp4: true, .. } => Format::Q8,
            Packing { bits: 0..=4, .. } => Format::Q4,
            _ => Format::Q8Wide,
        }
    }

    /// How many tensors make a matrix.
    pub(crate) fn tensors(self) -> usize {
        if self.fp4 { 2 } else { 3 }
    }

    /// Bytes of the codes of a row.
    pub(crate) fn code_bytes(self, cols: usize) -> usize {
        cols / BLOCK_COLS * self.block_bytes()
    }

    fn block_bytes(self) -> usize {
        self.bits * BLOCK_COLS / 8
    }

    /// The levels of 32 columns.
    fn levels(self, packed: &[u8]) -> [i8; BLOCK_COLS] {
        let mut levels = [0; BLOCK_COLS];
        // Eight codes are as many bytes as a code has bits.
        for (eight, bytes) in levels.chunks_exact_mut(8).zip(packed.chunks_exact(self.bits)) {
            let word = bytes.iter().rev().fold(0, |word: u64, &byte| word << 8 | u64::from(byte));
            for (index, level) in eight.iter_mut().enumerate() {
                *level = self.level((word >> (index * self.bits)) as u8 & (u8::MAX >> (8 - self.bits)));
            }
        }
        levels
    }

    fn level(self, code: u8) -> i8 {
        match self {
            Packing { fp4: true, .. } => FP4[usize::from(code)],
            Packing { bits: 8, .. } => (code ^ 0x80) as i8,
            _ => code as i8,
        }
    }

    /// What a scale of the file adds to the factor of its columns.
    fn of_scale(self, scale: f32) -> Factor {
        Factor { scale, offset: if self.bits == 8 { 128.0 * scale } else { 0.0 } }
    }
}

/// The scales of `fp4` are powers of two, 2^(byte - 127). The levels are twice the numbers, so this is half
/// of it. 255 stands for NaN. Shapes: `bytes` (len), `out` (len).
pub(crate) fn widen_powers(bytes: &[u8], out: &mut [f32]) {
    out.iter_mut().zip(bytes).for_each(|(out, &byte)| *out = libm::exp2f(f32::from(byte) - 128.0));
}

impl Matrix {
    /// Stores the codes of a row, and leaves its factors as they are. Shapes: `packed`
    /// ([`Packing::code_bytes`]).
    pub(crate) fn set_codes(&mut self, row: usize, packing: Packing, packed: &[u8]) {
        assert_eq!(packed.len(), packing.code_bytes(self.cols()), "bytes of a row of {} codes", self.cols());
        let (tiles, lane) = self.place(row);
        if let Some(blocks) = self.tiles_mut().blocks_mut() {
            for (block, packed) in tiles.zip(packed.chunks_exact(packing.block_bytes())) {
                blocks.set_codes(block, lane, &packing.levels(packed));
            }
        }
    }

    /// Adds the scales of a row to its factors, which were zero. Shapes: `scales` (cols / group).
    ///
    /// Errors: `OUT_OF_MEMORY` as for [`Matrix::set_row`].
    pub(crate) fn set_scales(&mut self, row: usize, packing: Packing, scales: &[f32]) -> Result<()> {
        self.add_factors(row, packing.group, scales, |scale| packing.of_scale(scale))
    }

    /// Adds the offsets of a row to its factors. Shapes: `offsets` (cols / group).
    ///
    /// Errors: `OUT_OF_MEMORY` as for [`Matrix::set_row`].
    pub(crate) fn set_offsets(&mut self, row: usize, packing: Packing, offsets: &[f32]) -> Result<()> {
        self.add_factors(row, packing.group, offsets, |offset| Factor { scale: 0.0, offset })
    }

    fn add_factors(&mut self, row: usize, group: usize, values: &[f32], part: impl Fn(f32) -> Factor) -> Result<()> {
        assert_eq!(values.len() * group, self.cols(), "groups of a row");
        for (index, &value) in values.iter().enumerate() {
            let blocks = index * group / BLOCK_COLS..(index + 1) * group / BLOCK_COLS;
            blocks.clone().try_for_each(|block| self.add_factor(row, block, part(value)))?;
        }
        Ok(())
    }

    fn add_factor(&mut self, row: usize, block: usize, part: Factor) -> Result<()> {
        let (tiles, lane) = self.place(row);
        let place = tiles.start + block;
        let Some(before) = self.tiles().blocks().map(|blocks| blocks.get(place, lane).factors[0]) else { return Ok(()) };
        let factor = Factor { scale: before.scale + part.scale, offset: before.offset + part.offset };
        if matches!(self.tiles(), Tiles::Q4(_)) && !factor.fits_half() {
            self.widen()?;
        }
        if let Some(blocks) = self.tiles_mut().blocks_mut() {
            blocks.set_factor(place, lane, factor);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// Codes as MLX packs them.
    fn pack(codes: &[u8], bits: usize) -> Vec<u8> {
        let mut packed = vec![0; codes.len() * bits / 8];
        for (bit, set) in codes.iter().flat_map(|code| (0..bits).map(move |bit| code >> bit & 1)).enumerate() {
            packed[bit / 8] |= set << (bit % 8);
        }
        packed
    }

    fn decoded(matrix: &Matrix) -> Vec<f32> {
        (0..matrix.rows())
            .flat_map(|row| {
                let mut out = vec![0.0; matrix.cols()];
                matrix.row(row, &mut out);
                out
            })
            .collect()
    }

    #[test]
    fn weights_are_those_of_the_formula_in_whatever_order_the_parts_come() {
        const ROWS: usize = 5;
        for bits in Packing::BITS {
            for group in Packing::GROUPS {
                let (cols, packing) = (256, Packing { bits, group, fp4: false });
                let code = |row: usize, col: usize| ((row * 37 + col * 11 + col / 7) % (1 << bits)) as u8;
                let scale = |row: usize, index: usize| (row + 1) as f32 * 2f32.powi(-8 - index as i32);
                // Row 4 has offsets that f16 does not hold: the matrix widens itself on its way.
                let offset = |row: usize, index: usize| -scale(row, index) * if row == 4 { 4097.0 } else { 3.5 };
                type Part<'a> = &'a dyn Fn(&mut Matrix, usize);
                let parts: [Part; 3] = [
                    &|matrix, row| {
                        let codes: Vec<u8> = (0..cols).map(|col| code(row, col)).collect();
                        matrix.set_codes(row, packing, &pack(&codes, bits));
                    },
                    &|matrix, row| {
                        let scales: Vec<f32> = (0..cols / group).map(|index| scale(row, index)).collect();
                        matrix.set_scales(row, packing, &scales).unwrap();
                    },
                    &|matrix, row| {
                        let offsets: Vec<f32> = (0..cols / group).map(|index| offset(row, index)).collect();
                        matrix.set_offsets(row, packing, &offsets).unwrap();
                    },
                ];
                let want: Vec<f32> = (0..ROWS * cols)
                    .map(|at| (at / cols, at % cols))
                    .map(|(row, col)| scale(row, col / group) * f32::from(code(row, col)) + offset(row, col / group))
                    .collect();
                for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
                    let mut matrix = Matrix::new(packing.storage(), ROWS, cols).unwrap();
                    order.iter().for_each(|&part| (0..ROWS).for_each(|row| parts[part](&mut matrix, row)));
                    assert_eq!(decoded(&matrix), want, "{packing:?} {order:?}");
                    assert_eq!(matrix.format(), if bits <= 4 { Format::Q4Wide } else { Format::Q8Wide });
                }
            }
        }
    }

    #[test]
    fn numbers_of_four_bits_are_those_of_the_table_times_powers_of_two() {
        let packing = Packing { bits: 4, group: 32, fp4: true };
        let codes: Vec<u8> = (0..32).map(|col| col % 16).collect();
        let mut scales = [0.0; 2];
        widen_powers(&[127, 130], &mut scales);
        let mut matrix = Matrix::new(packing.storage(), 1, 64).unwrap();
        matrix.set_scales(0, packing, &scales).unwrap();
        matrix.set_codes(0, packing, &pack(&[&codes[..], &codes].concat(), 4));
        let table = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
        let want = |col: usize| table[col % 8] * if col % 16 < 8 { 1.0 } else { -1.0 } * if col < 32 { 1.0 } else { 8.0 };
        assert_eq!(decoded(&matrix), (0..64).map(want).collect::<Vec<f32>>());
    }
}
