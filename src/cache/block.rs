//! A block of the cache: keys and values of [`BLOCK`] positions in one layer.

use std::sync::Arc;

use super::budget::{Budget, Charge};
use super::{BLOCK, KvDtype};
use crate::error::{Error, Result};
use crate::kernels;
use crate::quant::{F16x8, TILE_COLS, encode_f16, zeroed};

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
    /// The memory of one block. Units: bytes.
    pub(super) fn block_bytes(self) -> u64 {
        (BLOCK * self.kv_heads) as u64 * self.dtype.position_bytes(self.head_dim)
    }

    /// The exported size of one row: the key or the value of one head at one position. Units: bytes.
    pub(super) fn row_bytes(self) -> usize {
        match self.dtype {
            KvDtype::F32 => 4 * self.head_dim,
            KvDtype::F16 => 2 * self.head_dim.next_multiple_of(TILE_COLS) + 4,
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

/// Keys and values of [`BLOCK`] positions in one layer.
#[derive(Debug)]
pub(super) struct Block {
    rows: Rows,
    /// Returns the block's bytes to the budget when the block is dropped.
    _charge: Charge,
}

/// For each KV head its keys, then its values. Each row is padded with zeros to a multiple of 8.
#[derive(Debug)]
pub(super) enum Rows {
    /// Shapes: (kv_heads, 2, BLOCK, padded head_dim / 4).
    F32(Vec<[f32; 4]>),
    /// Shapes: (kv_heads, 2, BLOCK, padded head_dim / 8), and a factor for each row: (kv_heads, 2, BLOCK).
    F16(Vec<F16x8>, Vec<f32>),
}

impl Block {
    /// A block of zeros.
    ///
    /// Errors: `OUT_OF_MEMORY`.
    pub(super) fn new(shape: Shape, budget: &Arc<Budget>) -> Result<Block> {
        let charge = budget.charge(shape.block_bytes())?;
        let rows = 2 * shape.kv_heads * BLOCK;
        let padded = shape.head_dim.next_multiple_of(TILE_COLS);
        let made = match shape.dtype {
            KvDtype::F32 => zeroed(rows * padded / 4).map(Rows::F32),
            KvDtype::F16 => zeroed(rows * padded / 8).and_then(|values| Some(Rows::F16(values, zeroed(rows)?))),
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
        }
    }

    /// Appends one row to `out`, little-endian: its numbers, or its packed halves and their factor.
    pub(super) fn write_row(&self, row: usize, shape: Shape, out: &mut Vec<u8>) {
        let padded = shape.head_dim.next_multiple_of(TILE_COLS);
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
        }
    }

    /// Stores one row from bytes that [`Block::write_row`] wrote. Returns whether its numbers are finite.
    pub(super) fn read_row(&mut self, row: usize, shape: Shape, bytes: &[u8]) -> bool {
        let padded = shape.head_dim.next_multiple_of(TILE_COLS);
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
        }
    }
}
