//! The KV cache: the keys and values of all positions that the model has read.
//!
//! Each layer stores its positions in blocks of [`BLOCK`]. A block holds, for each KV head, first the keys
//! and then the values of its positions, so that attention reads memory sequentially. The cache allocates
//! one block at a time as the text grows. It does not move entries and does not reserve memory for the whole
//! context.
//!
//! Adding positions takes two steps: [`Cache::reserve`] allocates, the layers write after the end, and then
//! [`Cache::advance`] counts the new positions. If a forward pass fails before that, the cache does not
//! change.
//!
//! A clone shares all blocks with its original. A cache copies a shared block before it writes to it (copy
//! on write), so texts with the same beginning store it once. All caches of a model take their memory from
//! one [`Budget`].

mod block;
mod budget;

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::kernels;
use crate::quant::{BLOCK_COLS, KV_TILE_ROWS, KvTile};
use block::Block;

pub use crate::quant::KV_BLOCK as BLOCK;
pub(crate) use crate::quant::KvDtype;
pub(crate) use block::Shape;
pub(crate) use budget::Budget;

/// Keys and values of one text, for all layers.
#[derive(Debug)]
pub struct Cache {
    shape: Shape,
    budget: Arc<Budget>,
    layers: Vec<Layer>,
    len: usize,
}

/// The entries of one layer: all positions, or, if its attention has a window, those that it may still read.
#[derive(Debug, Clone)]
struct Layer {
    window: Option<usize>,
    /// The first position it holds.
    first: usize,
    /// The blocks from that of position `first` on.
    blocks: Vec<Arc<Block>>,
}

impl Layer {
    /// The index of the block that holds a position.
    fn block(&self, pos: usize) -> usize {
        pos / BLOCK - self.first / BLOCK
    }

    /// The first position that position `len` sees.
    fn needs(&self, len: usize) -> usize {
        self.window.map_or(0, |window| (len + 1).saturating_sub(window))
    }

    /// Frees the blocks that no later position sees, except the last of them, so that a short answer can be
    /// removed.
    fn forget(&mut self, len: usize) {
        let first = (self.needs(len) / BLOCK).saturating_sub(1) * BLOCK;
        if first > self.first {
            self.blocks.drain(..self.block(first));
            self.first = first;
        }
    }
}

/// Consecutive positions of one KV head in one layer, as attention reads them.
#[derive(Debug)]
pub struct Span<'a> {
    /// Shapes: (positions, padded head_dim / 4).
    pub keys: &'a [[f32; 4]],
    /// Shapes: (positions, padded head_dim / 4).
    pub values: &'a [[f32; 4]],
}

/// A clone has the counted positions only. It shares each block until one of the caches writes to it.
impl Clone for Cache {
    fn clone(&self) -> Cache {
        let mut cache = Cache { shape: self.shape, budget: self.budget.clone(), layers: self.layers.clone(), len: self.len };
        cache.truncate(self.len);
        cache
    }
}

impl Cache {
    /// Creates an empty cache without blocks. `windows`: for each layer, how many positions a position sees,
    /// including itself; `None`: all.
    pub fn new(windows: impl IntoIterator<Item = Option<usize>>, shape: Shape, budget: Arc<Budget>) -> Cache {
        let layer = |window| Layer { window, first: 0, blocks: Vec::new() };
        Cache { shape, budget, layers: windows.into_iter().map(layer).collect(), len: 0 }
    }

    /// How many positions count.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no position counts.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The memory of all its blocks, including those shared with clones. Units: bytes.
    pub fn bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.blocks.len() as u64).sum::<u64>() * self.shape.block_bytes()
    }

    /// The memory of the blocks that are shared with clones. Units: bytes.
    pub fn shared_bytes(&self) -> u64 {
        let shared = self.layers.iter().flat_map(|layer| &layer.blocks).filter(|block| Arc::strong_count(block) > 1).count();
        shared as u64 * self.shape.block_bytes()
    }

    /// The largest length up to `len` to which the cache can be truncated: `len`, or 0 if a layer with a
    /// window has freed entries that position `len` would see.
    pub fn reach(&self, len: usize) -> usize {
        let len = len.min(self.len);
        let holds = |layer: &Layer| layer.first == 0 || layer.first <= layer.needs(len);
        if self.layers.iter().all(holds) { len } else { 0 }
    }

    /// Removes all positions from `len` on and frees the blocks that this empties. `len` is a result of
    /// [`Cache::reach`].
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        for layer in &mut self.layers {
            if self.len == 0 {
                layer.first = 0;
            }
            layer.blocks.truncate(self.len.div_ceil(BLOCK).saturating_sub(layer.first / BLOCK));
        }
    }

    /// Allocates room for `seq` further positions, in blocks that no clone shares.
    ///
    /// Errors: `OUT_OF_MEMORY`; the cache then does not change.
    pub(crate) fn reserve(&mut self, seq: usize) -> Result<()> {
        self.own(self.len, self.len + seq)
    }

    /// Allocates the blocks of the positions `first..end` and copies those that are shared.
    fn own(&mut self, first: usize, end: usize) -> Result<()> {
        let made = self.make_own(first, end);
        if made.is_err() {
            self.truncate(self.len); // frees the new blocks
        }
        made
    }

    fn make_own(&mut self, first: usize, end: usize) -> Result<()> {
        for layer in &mut self.layers {
            for index in first.max(layer.first) / BLOCK..end.div_ceil(BLOCK) {
                match layer.blocks.get_mut(index - layer.first / BLOCK) {
                    None => layer.blocks.push(Arc::new(Block::new(self.shape, &self.budget)?)),
                    Some(block) => {
                        if Arc::get_mut(block).is_none() {
                            *block = Arc::new(block.copy(self.shape, &self.budget)?);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Stores keys and values of one layer from position `first` on. Shapes: `k`, `v` (seq, kv_heads,
    /// head_dim).
    ///
    /// Panics: if the positions were not reserved since the cache was last cloned.
    pub fn write(&mut self, layer: usize, first: usize, k: &[f32], v: &[f32]) {
        let width = self.shape.kv_heads * self.shape.head_dim;
        for (index, (k, v)) in k.chunks_exact(width).zip(v.chunks_exact(width)).enumerate() {
            let pos = first + index;
            let layer = &mut self.layers[layer];
            let index = layer.block(pos);
            let block = Arc::get_mut(&mut layer.blocks[index]).expect("reserved, so its own");
            for (head, (k, v)) in k.chunks_exact(self.shape.head_dim).zip(v.chunks_exact(self.shape.head_dim)).enumerate() {
                block.set(head * 2 * BLOCK + pos % BLOCK, k);
                block.set((head * 2 + 1) * BLOCK + pos % BLOCK, v);
            }
        }
    }

    /// Counts `seq` more positions, which all layers have written.
    pub fn advance(&mut self, seq: usize) {
        self.len += seq;
        self.layers.iter_mut().for_each(|layer| layer.forget(self.len));
    }

    /// Removes the `drop` positions after the first `keep` and moves the later ones up. Keys are rotated by
    /// their positions, so `turn` gets each moved key with its layer and its old position, and returns whether
    /// it changed it. What does not change is moved as it is stored, without rounding. Shapes: (head_dim).
    ///
    /// Errors: `OUT_OF_MEMORY`; the cache then does not change.
    pub fn shift(&mut self, keep: usize, drop: usize, mut turn: impl FnMut(usize, usize, &mut [f32]) -> bool) -> Result<()> {
        let mut moved = self.layers.iter().map(|layer| self.moved(layer, keep, drop)).collect::<Result<Vec<_>>>()?;
        self.own(keep, self.len)?;
        let mut row = vec![0.0; self.shape.head_dim];
        let mut bytes = Vec::with_capacity(self.shape.row_bytes());
        for (number, (layer, moved)) in self.layers.iter_mut().zip(&mut moved).enumerate() {
            for pos in (keep + drop).max(layer.first)..self.len {
                let (from, to) = (layer.block(pos), pos - drop);
                for index in 0..2 * self.shape.kv_heads {
                    let (old, new) = (index * BLOCK + pos % BLOCK, index * BLOCK + to % BLOCK);
                    layer.blocks[from].get(old, &mut row);
                    let is_turned = index % 2 == 0 && turn(number, pos, &mut row);
                    bytes.clear();
                    layer.blocks[from].write_row(old, self.shape, &mut bytes);
                    let target = moved.as_mut().unwrap_or(layer);
                    let block = target.block(to);
                    let block = Arc::get_mut(&mut target.blocks[block]).expect("its own");
                    if is_turned {
                        block.set(new, &row);
                    } else {
                        block.read_row(new, self.shape, &bytes);
                    }
                }
            }
            if let Some(moved) = moved.take() {
                *layer = moved;
            }
        }
        self.truncate(self.len - drop);
        Ok(())
    }

    /// Makes a layer with new blocks for the positions that a shift moves, if `layer` has freed its
    /// beginning: the positions then have other offsets in their blocks. `None`: the positions move within
    /// the present blocks.
    fn moved(&self, layer: &Layer, keep: usize, drop: usize) -> Result<Option<Layer>> {
        if layer.first == 0 {
            return Ok(None);
        }
        let first = (keep + drop).max(layer.first) - drop;
        let blocks = first / BLOCK..(self.len - drop).div_ceil(BLOCK);
        let blocks = blocks.map(|_| Block::new(self.shape, &self.budget).map(Arc::new)).collect::<Result<_>>()?;
        Ok(Some(Layer { window: layer.window, first, blocks }))
    }

    /// The blocks of one layer that an export of `len` positions contains, each with its number of
    /// positions. They cover what position `len` sees.
    fn exported(layer: &Layer, len: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let first = if len == 0 { 0 } else { layer.needs(len) / BLOCK };
        (first..len.div_ceil(BLOCK)).map(move |block| (block, BLOCK.min(len - block * BLOCK)))
    }

    /// How many bytes [`Cache::export`] writes for the first `len` positions.
    pub fn export_bytes(&self, len: usize) -> u64 {
        let positions = |layer: &Layer| Cache::exported(layer, len).map(|(_, positions)| positions as u64).sum::<u64>();
        self.layers
            .iter()
            .map(positions)
            .fold(0u64, |sum, positions| sum.saturating_add(positions))
            .saturating_mul(self.shape.export_bytes())
    }

    /// Writes the first `len` positions to the end of `out`, in their stored format, for [`Cache::import`].
    /// `len` is a result of [`Cache::reach`].
    pub fn export(&self, len: usize, out: &mut Vec<u8>) {
        for layer in &self.layers {
            for (index, positions) in Cache::exported(layer, len) {
                let block = &layer.blocks[index - layer.first / BLOCK];
                self.shape.rows(positions).for_each(|row| block.write_row(row, self.shape, out));
            }
        }
    }

    /// Reads `len` positions from bytes that [`Cache::export`] wrote. The cache must be empty. Returns
    /// `None` if the number of bytes is wrong or a value is not finite.
    ///
    /// Errors: `OUT_OF_MEMORY`; the cache is then empty.
    pub fn import(&mut self, len: usize, bytes: &[u8]) -> Result<Option<()>> {
        if self.export_bytes(len) != bytes.len() as u64 {
            return Ok(None);
        }
        for layer in &mut self.layers {
            layer.first = Cache::exported(layer, len).next().map_or(0, |(index, _)| index * BLOCK);
        }
        let made = self.reserve(len).map(|()| {
            let mut rows = bytes.chunks_exact(self.shape.row_bytes());
            self.layers.iter_mut().all(|layer| {
                Cache::exported(layer, len).zip(&mut layer.blocks).all(|((_, positions), block)| {
                    let block = Arc::get_mut(block).expect("reserved, so its own");
                    self.shape.rows(positions).all(|row| rows.next().is_some_and(|bytes| block.read_row(row, self.shape, bytes)))
                })
            })
        });
        match made {
            Ok(true) => {
                self.advance(len);
                Ok(Some(()))
            }
            Ok(false) => {
                self.truncate(0);
                Ok(None)
            }
            Err(error) => {
                self.truncate(0);
                Err(error)
            }
        }
    }

    /// The first position that a layer still holds.
    pub fn first(&self, layer: usize) -> usize {
        self.layers[layer].first
    }

    /// The keys and values of one KV head at `positions`, which lie in one block. They may be written but
    /// not yet counted.
    ///
    /// `decoded` is scratch. It holds the result if the cache does not store f32. Attention over q8 reads
    /// [`Cache::tiles`] instead, without decoding them.
    pub fn span<'a>(&'a self, layer: usize, kv_head: usize, positions: Range<usize>, decoded: &'a mut [Vec<[f32; 4]>; 2]) -> Span<'a> {
        let keys = kv_head * 2 * BLOCK + positions.start % BLOCK;
        let keys = keys..keys + positions.len();
        let values = keys.start + BLOCK..keys.end + BLOCK;
        let padded = self.shape.padded();
        let layer = &self.layers[layer];
        let block = &layer.blocks[layer.block(positions.start)];
        match block.rows() {
            block::Rows::F32(rows) => {
                let wide = padded / 4;
                Span { keys: &rows[keys.start * wide..keys.end * wide], values: &rows[values.start * wide..values.end * wide] }
            }
            block::Rows::F16(rows, factors) => {
                let wide = padded / 8;
                for (rows_of, out) in [keys, values].into_iter().zip(&mut *decoded) {
                    out.resize(positions.len() * padded / 4, [0.0; 4]);
                    kernels::decode_f16(&rows[rows_of.start * wide..rows_of.end * wide], &factors[rows_of], out);
                }
                Span { keys: &decoded[0], values: &decoded[1] }
            }
            block::Rows::Q8(_) => {
                for (rows_of, out) in [keys, values].into_iter().zip(&mut *decoded) {
                    out.clear();
                    out.resize(positions.len() * padded / 4, [0.0; 4]);
                    for (row, out) in rows_of.zip(out.chunks_exact_mut(padded / 4)) {
                        block.get(row, &mut out.as_flattened_mut()[..self.shape.head_dim]);
                    }
                }
                Span { keys: &decoded[0], values: &decoded[1] }
            }
        }
    }

    /// The tiles of the keys and of the values of one KV head, of all positions of the block that holds
    /// position `pos`, written or not. `None` if the cache does not store q8. Shapes: (BLOCK / 8, padded
    /// head_dim / 32).
    pub(crate) fn tiles(&self, layer: usize, kv_head: usize, pos: usize) -> Option<[&[KvTile]; 2]> {
        let layer = &self.layers[layer];
        let block::Rows::Q8(tiles) = layer.blocks[layer.block(pos)].rows() else { return None };
        let len = BLOCK / KV_TILE_ROWS * self.shape.padded() / BLOCK_COLS;
        let (keys, values) = tiles[2 * kv_head * len..][..2 * len].split_at(len);
        Some([keys, values])
    }

    /// How keys and values are stored.
    pub(crate) fn dtype(&self) -> KvDtype {
        self.shape.dtype
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache in which each key of position p and head h is p * 10 + h in all lanes, and each value its
    /// negative.
    fn filled(len: usize, dtype: KvDtype) -> Cache {
        let mut cache = Cache::new([None], Shape { kv_heads: 2, head_dim: 3, dtype }, Budget::new(None));
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
        for dtype in KvDtype::ALL {
            let cache = filled(2 * BLOCK + 5, dtype);
            for positions in [0..1, 0..BLOCK, BLOCK..BLOCK + 1, BLOCK + 3..2 * BLOCK, 2 * BLOCK..2 * BLOCK + 5] {
                let mut decoded = Default::default();
                let span = cache.span(0, 1, positions.clone(), &mut decoded);
                let wide = dtype.padded(3) / 4;
                assert_eq!((span.keys.len(), span.values.len()), (positions.len() * wide, positions.len() * wide));
                for (row, pos) in positions.enumerate() {
                    let expected = (pos * 10 + 1) as f32; // below 2^11: exact in f16 too
                    let (keys, padding) = span.keys[row * wide..][..wide].as_flattened().split_at(3);
                    let values = &span.values[row * wide..][..wide].as_flattened()[..3];
                    let tolerance = if dtype == KvDtype::Q8 { expected / 254.0 } else { 0.0 };
                    assert!(keys.iter().all(|key| (key - expected).abs() <= tolerance), "{keys:?}, not {expected}");
                    assert!(values.iter().all(|value| (value + expected).abs() <= tolerance), "{values:?}, not -{expected}");
                    assert!(padding.iter().all(|&padding| padding == 0.0));
                }
            }
        }
    }

    #[test]
    fn truncating_frees_blocks_and_never_grows() {
        for (dtype, position_bytes) in [(KvDtype::F32, 2 * 2 * 8 * 4), (KvDtype::F16, 2 * 2 * (8 * 2 + 4)), (KvDtype::Q8, 2 * 2 * 34)] {
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
