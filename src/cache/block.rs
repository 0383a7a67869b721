//! A block of the cache: keys and values of [`BLOCK`] positions in one layer.

use std::sync::Arc;

use super::budget::{Budget, Charge};
use super::{BLOCK, KvDtype};
use crate::error::{Error, Result};
use crate::kernels;
use crate::quant::{BLOCK_COLS, F16x8, KV_TILE_ROWS, KvKind, KvPiece, KvTile, TILE_COLS, decode_q8, encode_f16, encode_q8, zeroed};

/// The shape and the storage format of one position in one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// KV heads.
    pub kv_heads: usize,
    /// Numbers per head.
    pub head_dim: usize,
    /// Their storage format.
    pub dtype: KvDtype,
}

impl Shape {
    /// Numbers of a stored head, padding included.
    pub(super) fn padded(self) -> usize {
        self.dtype.padded(self.head_dim)
    }

    /// The memory of one block. Units: bytes.
    pub(super) fn block_bytes(self) -> u64 {
        (BLOCK * self.kv_heads) as u64 * self.dtype.position_bytes(self.head_dim)
    }

    /// The exported size of one row: the key or the value of one head at one position. Units: bytes.
    pub(super) fn row_bytes(self) -> usize {
        match self.dtype {
            KvDtype::F32 => 4 * self.head_dim,
            KvDtype::F16 => 2 * self.padded() + 4,
            KvDtype::Q8 => self.padded() / BLOCK_COLS * PIECE_BYTES,
        }
    }

    /// The exported size of one position in one layer. Units: bytes.
    pub(super) fn export_bytes(self) -> u64 {
        (2 * self.kv_heads * self.row_bytes()) as u64
    }

    /// The rows of a block's first `len` positions, in the order of an export.
    pub(super) fn rows(self, len: usize) -> impl Iterator<Item = usize> {
        (0..2 * self.kv_heads).flat_map(move |index| index * BLOCK..index * BLOCK + len)
    }
}

/// The exported size of a piece of a q8 row. Units: bytes.
const PIECE_BYTES: usize = BLOCK_COLS + 2;

/// Keys and values of [`BLOCK`] positions in one layer.
#[derive(Debug)]
pub(super) struct Block {
    rows: Rows,
    /// Returns the block's bytes to the budget when the block is dropped.
    _charge: Charge,
}

/// For each KV head its keys, then its values. Each row is padded with zeros to a multiple of 8, in q8 of 32.
#[derive(Debug)]
pub(super) enum Rows {
    /// Shapes: (kv_heads, 2, BLOCK, padded head_dim / 4).
    F32(Vec<[f32; 4]>),
    /// Shapes: (kv_heads, 2, BLOCK, padded head_dim / 8), and a factor for each row: (kv_heads, 2, BLOCK).
    F16(Vec<F16x8>, Vec<f32>),
    /// Shapes: (kv_heads, 2, BLOCK / 8, padded head_dim / 32).
    Q8(Vec<KvTile>),
}

impl Block {
    /// A block of zeros.
    ///
    /// Errors: `OUT_OF_MEMORY`.
    pub(super) fn new(shape: Shape, budget: &Arc<Budget>) -> Result<Block> {
        let charge = budget.charge(shape.block_bytes())?;
        let rows = 2 * shape.kv_heads * BLOCK;
        let padded = shape.padded();
        let made = match shape.dtype {
            KvDtype::F32 => zeroed(rows * padded / 4).map(Rows::F32),
            KvDtype::F16 => zeroed(rows * padded / 8).and_then(|values| Some(Rows::F16(values, zeroed(rows)?))),
            KvDtype::Q8 => zeroed(rows / KV_TILE_ROWS * padded / BLOCK_COLS).map(Rows::Q8),
        };
        match made {
            Some(rows) => Ok(Block { rows, _charge: charge }),
            None => Err(Error::OutOfMemory { what: "the KV cache".into(), requested_bytes: shape.block_bytes() }),
        }
    }

    /// A block with the same content.
    ///
    /// Errors: `OUT_OF_MEMORY`.
    pub(super) fn copy(&self, shape: Shape, budget: &Arc<Budget>) -> Result<Block> {
        let mut block = Block::new(shape, budget)?;
        match (&mut block.rows, &self.rows) {
            (Rows::F32(to), Rows::F32(from)) => to.copy_from_slice(from),
            (Rows::F16(to, to_factors), Rows::F16(from, factors)) => {
                to.copy_from_slice(from);
                to_factors.copy_from_slice(factors);
            }
            (Rows::Q8(to), Rows::Q8(from)) => to.copy_from_slice(from),
            _ => unreachable!("a cache has one format"),
        }
        Ok(block)
    }

    /// The content.
    pub(super) fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Stores one row. Shapes: `values` (head_dim).
    pub(super) fn set(&mut self, row: usize, values: &[f32]) {
        let padded = values.len().next_multiple_of(TILE_COLS);
        match &mut self.rows {
            Rows::F32(rows) => rows[row * padded / 4..].as_flattened_mut()[..values.len()].copy_from_slice(values),
            Rows::F16(rows, factors) => factors[row] = encode_f16(values, &mut rows[row * padded / 8..][..padded / 8]),
            Rows::Q8(tiles) => {
                let pieces = values.chunks(BLOCK_COLS);
                let tiles = tiles_of(tiles, row, pieces.len());
                tiles.iter_mut().zip(pieces).for_each(|(tile, piece)| set_piece(tile, row, encode_q8(piece)));
            }
        }
    }

    /// Reads one row. Shapes: `out` (head_dim).
    pub(super) fn get(&self, row: usize, out: &mut [f32]) {
        let padded = out.len().next_multiple_of(TILE_COLS);
        match &self.rows {
            Rows::F32(rows) => out.copy_from_slice(&rows[row * padded / 4..].as_flattened()[..out.len()]),
            Rows::F16(rows, factors) => {
                let mut decoded = vec![[0.0; 4]; padded / 4];
                kernels::decode_f16(&rows[row * padded / 8..][..padded / 8], &factors[row..=row], &mut decoded);
                out.copy_from_slice(&decoded.as_flattened()[..out.len()]);
            }
            Rows::Q8(tiles) => {
                let pieces = out.chunks_mut(BLOCK_COLS);
                let first = row / KV_TILE_ROWS * pieces.len();
                for (tile, out) in tiles[first..].iter().zip(pieces) {
                    out.copy_from_slice(&decode_q8(piece(tile, row))[..out.len()]);
                }
            }
        }
    }

    /// Appends one row to `out`, little-endian: its numbers; its packed halves and their factor; or its
    /// pieces, each its levels and their scale.
    pub(super) fn write_row(&self, row: usize, shape: Shape, out: &mut Vec<u8>) {
        let padded = shape.padded();
        match &self.rows {
            Rows::F32(rows) => {
                let values = &rows[row * padded / 4..].as_flattened()[..shape.head_dim];
                values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
            }
            Rows::F16(rows, factors) => {
                let words = rows[row * padded / 8..][..padded / 8].iter().flat_map(|eight| eight.0);
                words.for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
                out.extend_from_slice(&factors[row].to_le_bytes());
            }
            Rows::Q8(tiles) => {
                let wide = padded / BLOCK_COLS;
                for (levels, scale) in tiles[row / KV_TILE_ROWS * wide..][..wide].iter().map(|tile| piece(tile, row)) {
                    out.extend(levels.map(|level| level as u8));
                    out.extend_from_slice(&scale.to_le_bytes());
                }
            }
        }
    }

    /// Stores one row from bytes that [`Block::write_row`] wrote. Returns whether its numbers are finite.
    pub(super) fn read_row(&mut self, row: usize, shape: Shape, bytes: &[u8]) -> bool {
        let padded = shape.padded();
        let words = bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")));
        match &mut self.rows {
            Rows::F32(rows) => {
                let values = &mut rows[row * padded / 4..].as_flattened_mut()[..shape.head_dim];
                values.iter_mut().zip(words).for_each(|(value, word)| *value = f32::from_bits(word));
                values.iter().all(|value| value.is_finite())
            }
            Rows::F16(rows, factors) => {
                let mut words = words;
                for eight in &mut rows[row * padded / 8..][..padded / 8] {
                    eight.0 = std::array::from_fn(|_| words.next().unwrap_or_default());
                }
                factors[row] = f32::from_bits(words.next().unwrap_or_default());
                factors[row].is_finite()
            }
            Rows::Q8(tiles) => {
                let (pieces, _) = bytes.as_chunks::<PIECE_BYTES>();
                let mut is_finite = true;
                for (tile, bytes) in tiles_of(tiles, row, padded / BLOCK_COLS).iter_mut().zip(pieces) {
                    let scale = u16::from_le_bytes([bytes[BLOCK_COLS], bytes[BLOCK_COLS + 1]]);
                    is_finite &= scale & 0x7f80 != 0x7f80;
                    set_piece(tile, row, (std::array::from_fn(|column| bytes[column] as i8), scale));
                }
                is_finite
            }
        }
    }
}

/// The tiles that hold a row.
fn tiles_of(tiles: &mut [KvTile], row: usize, wide: usize) -> &mut [KvTile] {
    &mut tiles[row / KV_TILE_ROWS * wide..][..wide]
}

fn kind(row: usize) -> KvKind {
    if (row / BLOCK).is_multiple_of(2) { KvKind::Keys } else { KvKind::Values }
}

fn piece(tile: &KvTile, row: usize) -> KvPiece {
    tile.get(kind(row), row % KV_TILE_ROWS)
}

fn set_piece(tile: &mut KvTile, row: usize, piece: KvPiece) {
    tile.set(kind(row), row % KV_TILE_ROWS, piece);
}
