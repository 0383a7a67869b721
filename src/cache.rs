//! The KV cache: the keys and values of every position the model has read, so that each is computed once.
//!
//! Positions live in blocks of [`BLOCK`]; a block of one layer holds, for each KV head, the keys of its positions one
//! after the other and then the values, so that attention reads memory in the order in which it lies. The cache grows by
//! whole blocks as the text grows: nothing is ever moved, and nothing is reserved for a context that may not come.
//!
//! Writing and counting are two steps: [`Cache::reserve`] allocates, the layers write beyond the end, and
//! [`Cache::advance`] makes the new positions count. A forward pass that fails in between leaves the cache as it was.

use std::ops::Range;

use crate::error::{Error, Result};

/// Positions per block. At 64 the slack of a short text is small and the loop over blocks is still rare.
pub const BLOCK: usize = 64;

/// Keys and values of one session, for all layers.
#[derive(Debug, Clone)]
pub struct Cache {
    kv_heads: usize,
    head_dim: usize,
    /// Per layer its blocks, each (kv_heads, 2, BLOCK, head_dim): keys, then values.
    layers: Vec<Vec<Box<[f32]>>>,
    len: usize,
}

/// Neighbouring positions of one KV head in one layer, as they lie in memory.
#[derive(Debug)]
pub struct Span<'a> {
    /// The positions, counted from the start of the text.
    pub positions: Range<usize>,
    /// Shapes: (positions, head_dim).
    pub keys: &'a [f32],
    /// Shapes: (positions, head_dim).
    pub values: &'a [f32],
}

impl Cache {
    /// An empty cache for a model of this shape; allocates nothing for positions yet.
    pub fn new(layers: usize, kv_heads: usize, head_dim: usize) -> Cache {
        Cache { kv_heads, head_dim, layers: vec![Vec::new(); layers], len: 0 }
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
        self.layers.iter().flatten().map(|block| size_of_val::<[f32]>(block) as u64).sum()
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
        let values = 2 * self.kv_heads * BLOCK * self.head_dim;
        for layer in &mut self.layers {
            while layer.len() < blocks {
                let mut block = Vec::new();
                block
                    .try_reserve_exact(values)
                    .map_err(|_| Error::OutOfMemory { what: "the KV cache".into(), requested_bytes: (values * size_of::<f32>()) as u64 })?;
                block.resize(values, 0.0);
                layer.push(block.into_boxed_slice());
            }
        }
        Ok(())
    }

    /// Stores keys and values of the positions `first..` in one layer. Shapes: `k`, `v` (seq, kv_heads, head_dim).
    ///
    /// Panics: if the positions were not reserved.
    pub fn write(&mut self, layer: usize, first: usize, k: &[f32], v: &[f32]) {
        let head_dim = self.head_dim;
        let rows = k.chunks_exact(head_dim).zip(v.chunks_exact(head_dim));
        for (index, (k, v)) in rows.enumerate() {
            let (pos, head) = (first + index / self.kv_heads, index % self.kv_heads);
            let block = &mut self.layers[layer][pos / BLOCK];
            let (keys, values) = block[head * 2 * BLOCK * head_dim..][..2 * BLOCK * head_dim].split_at_mut(BLOCK * head_dim);
            let at = pos % BLOCK * head_dim;
            keys[at..at + head_dim].copy_from_slice(k);
            values[at..at + head_dim].copy_from_slice(v);
        }
    }

    /// Makes `seq` positions count that every layer has written.
    pub fn advance(&mut self, seq: usize) {
        self.len += seq;
    }

    /// The keys and values of `positions` of one KV head, block by block. Positions written but not yet counted may be read.
    pub fn spans(&self, layer: usize, kv_head: usize, positions: Range<usize>) -> impl Iterator<Item = Span<'_>> {
        let blocks = &self.layers[layer];
        let half = BLOCK * self.head_dim;
        (positions.start / BLOCK..positions.end.div_ceil(BLOCK)).map(move |index| {
            let (keys, values) = blocks[index][kv_head * 2 * half..][..2 * half].split_at(half);
            let first = index * BLOCK;
            let positions = positions.start.max(first)..positions.end.min(first + BLOCK);
            let rows = (positions.start - first) * self.head_dim..(positions.end - first) * self.head_dim;
            Span { positions, keys: &keys[rows.clone()], values: &values[rows] }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of position p, head h are p * 10 + h in every lane, values their negatives.
    fn filled(len: usize) -> Cache {
        let mut cache = Cache::new(1, 2, 3);
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
    fn spans_give_back_what_was_written_across_blocks() {
        let cache = filled(2 * BLOCK + 5);
        for (from, to) in [(0, 1), (0, BLOCK), (BLOCK - 1, BLOCK + 1), (3, 2 * BLOCK + 5), (BLOCK, BLOCK)] {
            let mut next = from;
            for span in cache.spans(0, 1, from..to) {
                assert_eq!(span.positions.start, next);
                for (row, pos) in span.positions.clone().enumerate() {
                    let expected = (pos * 10 + 1) as f32;
                    assert_eq!(span.keys[row * 3..][..3], [expected; 3]);
                    assert_eq!(span.values[row * 3..][..3], [-expected; 3]);
                }
                next = span.positions.end;
            }
            assert_eq!(next, to);
        }
    }

    #[test]
    fn truncating_frees_blocks_and_never_grows() {
        let mut cache = filled(2 * BLOCK + 1);
        let block = (2 * 2 * BLOCK * 3 * 4) as u64;
        assert_eq!((cache.len(), cache.bytes()), (2 * BLOCK + 1, 3 * block));
        cache.truncate(BLOCK);
        assert_eq!((cache.len(), cache.bytes()), (BLOCK, block));
        cache.truncate(BLOCK + 1);
        assert_eq!(cache.len(), BLOCK);
        cache.truncate(0);
        assert_eq!((cache.is_empty(), cache.bytes()), (true, 0));
    }

    #[test]
    fn positions_not_yet_counted_do_not_survive() {
        let mut cache = filled(1);
        cache.reserve(BLOCK).unwrap();
        assert_eq!(cache.len(), 1);
        cache.truncate(1);
        assert_eq!(cache.bytes(), (2 * 2 * BLOCK * 3 * 4) as u64);
    }
}
