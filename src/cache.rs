//! The KV cache: the keys and values of every position the model has read, so that each is computed once.
//!
//! Positions live in blocks of [`BLOCK`]; a block of one layer holds, for each KV head, the keys of its positions one
//! after the other and then the values, so that attention reads memory in the order in which it lies. The cache grows by
//! whole blocks as the text grows: nothing is ever moved, and nothing is reserved for a context that may not come.
//!
//! Writing and counting are two steps: [`Cache::reserve`] allocates, the layers write beyond the end, and
//! [`Cache::advance`] makes the new positions count. A forward pass that fails in between leaves the cache as it was.

use std::ops::Range;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::kernels;
use crate::quant::{F16x8, TILE_COLS, encode_f16, zeroed};

/// Positions per block. At 64 the slack of a short text is small, and the keys of one head, 16 KB where heads have 64 numbers, stay in a
/// processor's innermost cache while all queries look at them.
pub const BLOCK: usize = 64;

/// How keys and values are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum KvDtype {
    /// IEEE single precision: what attention computes with.
    #[default]
    F32,
    /// IEEE half precision, with a power of two per position and head: half the memory.
    F16,
}

impl KvDtype {
    /// The name, as options spell it.
    pub fn name(self) -> &'static str {
        match self {
            KvDtype::F32 => "f32",
            KvDtype::F16 => "f16",
        }
    }

    /// Bytes of one position of one head, keys and values, padding included.
    pub fn position_bytes(self, head_dim: usize) -> u64 {
        let padded = head_dim.next_multiple_of(TILE_COLS) as u64;
        match self {
            KvDtype::F32 => 2 * 4 * padded,
            KvDtype::F16 => 2 * (2 * padded + 4),
        }
    }
}

impl FromStr for KvDtype {
    type Err = Error;

    fn from_str(name: &str) -> Result<KvDtype> {
        [KvDtype::F32, KvDtype::F16].into_iter().find(|dtype| dtype.name() == name).ok_or_else(|| Error::BadOption {
            option: "kvDtype".into(),
            expected: "f32 or f16".into(),
            got: format!("`{name}`"),
        })
    }
}

/// Keys and values of one session, for all layers.
#[derive(Debug, Clone)]
pub struct Cache {
    kv_heads: usize,
    head_dim: usize,
    dtype: KvDtype,
    /// Per layer its blocks.
    layers: Vec<Vec<Block>>,
    len: usize,
}

/// Keys and values of [`BLOCK`] positions in one layer: for each KV head its keys, then its values, each row padded with zeros to a multiple of eight.
#[derive(Debug, Clone)]
enum Block {
    /// Shapes: (kv_heads, 2, BLOCK, padded head_dim / 4).
    F32(Vec<[f32; 4]>),
    /// Shapes: (kv_heads, 2, BLOCK, padded head_dim / 8), and a factor for each row: (kv_heads, 2, BLOCK).
    F16(Vec<F16x8>, Vec<f32>),
}

/// Neighbouring positions of one KV head in one layer, as attention reads them.
#[derive(Debug)]
pub struct Span<'a> {
    /// Shapes: (positions, padded head_dim / 4).
    pub keys: &'a [[f32; 4]],
    /// Shapes: (positions, padded head_dim / 4).
    pub values: &'a [[f32; 4]],
}

impl Cache {
    /// An empty cache for a model of this shape; allocates nothing for positions yet.
    pub fn new(layers: usize, kv_heads: usize, head_dim: usize, dtype: KvDtype) -> Cache {
        Cache { kv_heads, head_dim, dtype, layers: (0..layers).map(|_| Vec::new()).collect(), len: 0 }
    }

    /// Positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no position is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Units: bytes of memory in use, whole blocks counted.
    pub fn bytes(&self) -> u64 {
        let blocks: usize = self.layers.iter().map(Vec::len).sum();
        (blocks * BLOCK * self.kv_heads) as u64 * self.dtype.position_bytes(self.head_dim)
    }

    /// Forgets every position from `len` on and gives back the blocks that this empties.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        for blocks in &mut self.layers {
            blocks.truncate(self.len.div_ceil(BLOCK));
        }
    }

    /// Makes room for `seq` positions after the present ones.
    ///
    /// Errors: `OUT_OF_MEMORY`; the cache is then as it was, apart from blocks already made.
    pub fn reserve(&mut self, seq: usize) -> Result<()> {
        let blocks = (self.len + seq).div_ceil(BLOCK);
        let rows = 2 * self.kv_heads * BLOCK;
        let padded = self.head_dim.next_multiple_of(TILE_COLS);
        let block = || {
            Some(match self.dtype {
                KvDtype::F32 => Block::F32(zeroed(rows * padded / 4)?),
                KvDtype::F16 => Block::F16(zeroed(rows * padded / 8)?, zeroed(rows)?),
            })
        };
        for layer in &mut self.layers {
            while layer.len() < blocks {
                let requested_bytes = (BLOCK * self.kv_heads) as u64 * self.dtype.position_bytes(self.head_dim);
                layer.push(block().ok_or_else(|| Error::OutOfMemory { what: "the KV cache".into(), requested_bytes })?);
            }
        }
        Ok(())
    }

    /// Stores keys and values of the positions `first..` in one layer. Shapes: `k`, `v` (seq, kv_heads, head_dim).
    ///
    /// Panics: if the positions were not reserved.
    pub fn write(&mut self, layer: usize, first: usize, k: &[f32], v: &[f32]) {
        let kv_heads = self.kv_heads;
        let rows = k.chunks_exact(self.head_dim).zip(v.chunks_exact(self.head_dim));
        for (index, (k, v)) in rows.enumerate() {
            let (pos, head) = (first + index / kv_heads, index % kv_heads);
            let block = &mut self.layers[layer][pos / BLOCK];
            block.set(head * 2 * BLOCK + pos % BLOCK, k);
            block.set((head * 2 + 1) * BLOCK + pos % BLOCK, v);
        }
    }

    /// Makes `seq` positions count that every layer has written.
    pub fn advance(&mut self, seq: usize) {
        self.len += seq;
    }

    /// The keys and values of one KV head at `positions`, which lie in one block. Positions written but not yet counted may be read.
    ///
    /// `decoded` is scratch, in which they are if the cache stores them in another format.
    pub fn span<'a>(&'a self, layer: usize, kv_head: usize, positions: Range<usize>, decoded: &'a mut [Vec<[f32; 4]>; 2]) -> Span<'a> {
        let block = &self.layers[layer][positions.start / BLOCK];
        let keys = kv_head * 2 * BLOCK + positions.start % BLOCK;
        let keys = keys..keys + positions.len();
        let values = keys.start + BLOCK..keys.end + BLOCK;
        let padded = self.head_dim.next_multiple_of(TILE_COLS);
        match block {
            Block::F32(rows) => {
                let wide = padded / 4;
                Span { keys: &rows[keys.start * wide..keys.end * wide], values: &rows[values.start * wide..values.end * wide] }
            }
            Block::F16(rows, factors) => {
                let wide = padded / 8;
                for (rows_of, out) in [keys, values].into_iter().zip(&mut *decoded) {
                    out.resize(positions.len() * padded / 4, [0.0; 4]);
                    kernels::decode_f16(&rows[rows_of.start * wide..rows_of.end * wide], &factors[rows_of], out);
                }
                Span { keys: &decoded[0], values: &decoded[1] }
            }
        }
    }
}

impl Block {
    /// Stores one row. Shapes: `values` (head_dim).
    fn set(&mut self, row: usize, values: &[f32]) {
        let padded = values.len().next_multiple_of(TILE_COLS);
        match self {
            Block::F32(rows) => rows[row * padded / 4..].as_flattened_mut()[..values.len()].copy_from_slice(values),
            Block::F16(rows, factors) => factors[row] = encode_f16(values, &mut rows[row * padded / 8..][..padded / 8]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of position p, head h are p * 10 + h in every lane, values their negatives.
    fn filled(len: usize, dtype: KvDtype) -> Cache {
        let mut cache = Cache::new(1, 2, 3, dtype);
        for pos in 0..len {
            let k: Vec<f32> = (0..6).map(|i| (pos * 10 + i / 3) as f32).collect();
            let v: Vec<f32> = k.iter().map(|k| -k).collect();
            cache.reserve(1).unwrap();
            cache.write(0, pos, &k, &v);
            cache.advance(1);
        }
        cache
    }

    #[test]
    fn spans_give_back_what_was_written() {
        for dtype in [KvDtype::F32, KvDtype::F16] {
            let cache = filled(2 * BLOCK + 5, dtype);
            for positions in [0..1, 0..BLOCK, BLOCK..BLOCK + 1, BLOCK + 3..2 * BLOCK, 2 * BLOCK..2 * BLOCK + 5] {
                let mut decoded = Default::default();
                let span = cache.span(0, 1, positions.clone(), &mut decoded);
                assert_eq!((span.keys.len(), span.values.len()), (positions.len() * 2, positions.len() * 2));
                for (row, pos) in positions.enumerate() {
                    let expected = (pos * 10 + 1) as f32; // below 2^11: exact in f16 too
                    assert_eq!(span.keys[row * 2..][..2].as_flattened(), [expected, expected, expected, 0.0, 0.0, 0.0, 0.0, 0.0]);
                    assert_eq!(span.values[row * 2..][..2].as_flattened()[..3], [-expected; 3]);
                }
            }
        }
    }

    #[test]
    fn truncating_frees_blocks_and_never_grows() {
        for (dtype, position_bytes) in [(KvDtype::F32, 2 * 2 * 8 * 4), (KvDtype::F16, 2 * 2 * (8 * 2 + 4))] {
            let mut cache = filled(2 * BLOCK + 1, dtype);
            let block = (BLOCK * position_bytes) as u64;
            assert_eq!((cache.len(), cache.bytes()), (2 * BLOCK + 1, 3 * block));
            cache.truncate(BLOCK);
            assert_eq!((cache.len(), cache.bytes()), (BLOCK, block));
            cache.truncate(BLOCK + 1);
            assert_eq!(cache.len(), BLOCK);
            cache.truncate(0);
            assert_eq!((cache.is_empty(), cache.bytes()), (true, 0));
        }
    }

    #[test]
    fn positions_not_yet_counted_do_not_survive() {
        let mut cache = filled(1, KvDtype::F32);
        let one_block = cache.bytes();
        cache.reserve(BLOCK).unwrap();
        assert_eq!((cache.len(), cache.bytes()), (1, 2 * one_block));
        cache.truncate(1);
        assert_eq!(cache.bytes(), one_block);
    }
}
