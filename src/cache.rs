//! The KV cache: the keys and values of every position the model has read, so that each is computed once.
//!
//! Positions live in blocks of [`BLOCK`]; a block of one layer holds, for each KV head, the keys of its positions one
//! after the other and then the values, so that attention reads memory in the order in which it lies. The cache grows by
//! whole blocks as the text grows: nothing is ever moved, and nothing is reserved for a context that may not come.
//!
//! Writing and counting are two steps: [`Cache::reserve`] allocates, the layers write beyond the end, and
//! [`Cache::advance`] makes the new positions count. A forward pass that fails in between leaves the cache as it was.
//!
//! A clone shares all blocks with its original, and whichever of them writes to one copies that block first (copy on
//! write): two texts with the same beginning hold it once. All caches of a model draw on one [`Budget`].

mod block;
mod budget;

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::kernels;
use crate::quant::TILE_COLS;
use block::Block;

pub(crate) use crate::quant::KvDtype;
pub(crate) use block::Shape;
pub(crate) use budget::Budget;

/// Positions per block. At 64 the slack of a short text is small, and the keys of one head, 16 KB where heads have 64 numbers, stay in a
/// processor's innermost cache while all queries look at them.
pub const BLOCK: usize = 64;

/// Keys and values of one text, for all layers.
#[derive(Debug)]
pub struct Cache {
    shape: Shape,
    budget: Arc<Budget>,
    layers: Vec<Layer>,
    len: usize,
}

/// What one layer holds: all positions, or, if its attention has a window, those that may still be looked at.
#[derive(Debug, Clone)]
struct Layer {
    window: Option<usize>,
    /// The first position it holds.
    first: usize,
    /// The blocks from that of position `first` on.
    blocks: Vec<Arc<Block>>,
}

impl Layer {
    /// The block of a position that it holds.
    fn block(&self, pos: usize) -> usize {
        pos / BLOCK - self.first / BLOCK
    }

    /// The first position that the next one sees when there are `len`.
    fn needs(&self, len: usize) -> usize {
        self.window.map_or(0, |window| (len + 1).saturating_sub(window))
    }

    /// Gives back the blocks that no later position sees. One more is kept, so that a short answer can be taken back.
    fn forget(&mut self, len: usize) {
        let first = (self.needs(len) / BLOCK).saturating_sub(1) * BLOCK;
        if first > self.first {
            self.blocks.drain(..self.block(first));
            self.first = first;
        }
    }
}

/// Neighbouring positions of one KV head in one layer, as attention reads them.
#[derive(Debug)]
pub struct Span<'a> {
    /// Shapes: (positions, padded head_dim / 4).
    pub keys: &'a [[f32; 4]],
    /// Shapes: (positions, padded head_dim / 4).
    pub values: &'a [[f32; 4]],
}

/// What counts of it: blocks are shared until one of both is written to.
impl Clone for Cache {
    fn clone(&self) -> Cache {
        let mut cache = Cache { shape: self.shape, budget: self.budget.clone(), layers: self.layers.clone(), len: self.len };
        cache.truncate(self.len);
        cache
    }
}

impl Cache {
    /// An empty cache; allocates nothing for positions yet. `windows`: for each layer how many positions one sees,
    /// itself included; `None`: all.
    pub fn new(windows: impl IntoIterator<Item = Option<usize>>, shape: Shape, budget: Arc<Budget>) -> Cache {
        let layer = |window| Layer { window, first: 0, blocks: Vec::new() };
        Cache { shape, budget, layers: windows.into_iter().map(layer).collect(), len: 0 }
    }

    /// Positions held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no position is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Units: bytes of memory in use, whole blocks counted, those shared with clones too.
    pub fn bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.blocks.len() as u64).sum::<u64>() * self.shape.block_bytes()
    }

    /// Units: bytes of [`Cache::bytes`] that clones hold as well.
    pub fn shared_bytes(&self) -> u64 {
        let shared = self.layers.iter().flat_map(|layer| &layer.blocks).filter(|block| Arc::strong_count(block) > 1).count();
        shared as u64 * self.shape.block_bytes()
    }

    /// The length to which the cache can be cut back so that at most `len` positions are left: `len`, or 0 if a layer
    /// with a window has given back what position `len` would see.
    pub fn reach(&self, len: usize) -> usize {
        let len = len.min(self.len);
        let holds = |layer: &Layer| layer.first == 0 || layer.first <= layer.needs(len);
        if self.layers.iter().all(holds) { len } else { 0 }
    }

    /// Forgets every position from `len` on, a length that [`Cache::reach`] gave, and gives back the blocks that this
    /// empties.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        for layer in &mut self.layers {
            if self.len == 0 {
                layer.first = 0;
            }
            layer.blocks.truncate(self.len.div_ceil(BLOCK).saturating_sub(layer.first / BLOCK));
        }
    }

    /// Makes room for `seq` positions after the present ones, in blocks of its own.
    ///
    /// Errors: `OUT_OF_MEMORY`; the cache is then as it was.
    pub(crate) fn reserve(&mut self, seq: usize) -> Result<()> {
        self.own(self.len, self.len + seq)
    }

    /// Makes the blocks of some positions there and this cache's own.
    fn own(&mut self, first: usize, end: usize) -> Result<()> {
        let made = self.make_own(first, end);
        if made.is_err() {
            self.truncate(self.len); // what was made for nothing is others' to have
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

    /// Stores keys and values of the positions `first..` in one layer. Shapes: `k`, `v` (seq, kv_heads, head_dim).
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

    /// Makes `seq` positions count that every layer has written.
    pub fn advance(&mut self, seq: usize) {
        self.len += seq;
        self.layers.iter_mut().for_each(|layer| layer.forget(self.len));
    }

    /// Forgets the `drop` positions after the first `keep`, and moves those behind them up. Keys know their positions: `turn` is given each
    /// key that moves, with its layer and its old position. Shapes: (head_dim).
    ///
    /// Errors: `OUT_OF_MEMORY`; the cache is then as it was.
    pub fn shift(&mut self, keep: usize, drop: usize, mut turn: impl FnMut(usize, usize, &mut [f32])) -> Result<()> {
        let mut moved = self.layers.iter().map(|layer| self.moved(layer, keep, drop)).collect::<Result<Vec<_>>>()?;
        self.own(keep, self.len)?;
        let mut row = vec![0.0; self.shape.head_dim];
        for (number, (layer, moved)) in self.layers.iter_mut().zip(&mut moved).enumerate() {
            for pos in (keep + drop).max(layer.first)..self.len {
                let (from, to) = (layer.block(pos), pos - drop);
                for index in 0..2 * self.shape.kv_heads {
                    layer.blocks[from].get(index * BLOCK + pos % BLOCK, &mut row);
                    if index % 2 == 0 {
                        turn(number, pos, &mut row);
                    }
                    let target = moved.as_mut().unwrap_or(layer);
                    let block = target.block(to);
                    Arc::get_mut(&mut target.blocks[block]).expect("its own").set(index * BLOCK + to % BLOCK, &row);
                }
            }
            if let Some(moved) = moved.take() {
                *layer = moved;
            }
        }
        self.truncate(self.len - drop);
        Ok(())
    }

    /// A layer that has given back its beginning, with new blocks for the positions that a shift moves: they lie elsewhere
    /// in their blocks then. `None`: its positions are moved within its own blocks.
    fn moved(&self, layer: &Layer, keep: usize, drop: usize) -> Result<Option<Layer>> {
        if layer.first == 0 {
            return Ok(None);
        }
        let first = (keep + drop).max(layer.first) - drop;
        let blocks = first / BLOCK..(self.len - drop).div_ceil(BLOCK);
        let blocks = blocks.map(|_| Block::new(self.shape, &self.budget).map(Arc::new)).collect::<Result<_>>()?;
        Ok(Some(Layer { window: layer.window, first, blocks }))
    }

    /// The blocks of one layer that are exported of a text of `len` positions, each with how many of its positions: those
    /// that the next position sees.
    fn exported(layer: &Layer, len: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let first = if len == 0 { 0 } else { layer.needs(len) / BLOCK };
        (first..len.div_ceil(BLOCK)).map(move |block| (block, BLOCK.min(len - block * BLOCK)))
    }

    /// Units: bytes of the first `len` positions as [`Cache::export`] writes them.
    pub fn export_bytes(&self, len: usize) -> u64 {
        let positions = |layer: &Layer| Cache::exported(layer, len).map(|(_, positions)| positions as u64).sum::<u64>();
        self.layers
            .iter()
            .map(positions)
            .fold(0u64, |sum, positions| sum.saturating_add(positions))
            .saturating_mul(self.shape.export_bytes())
    }

    /// Appends the first `len` positions to `out` as they are stored: what [`Cache::import`] reads. `len` is a length that
    /// [`Cache::reach`] gave.
    pub fn export(&self, len: usize, out: &mut Vec<u8>) {
        for layer in &self.layers {
            for (index, positions) in Cache::exported(layer, len) {
                let block = &layer.blocks[index - layer.first / BLOCK];
                self.shape.rows(positions).for_each(|row| block.write_row(row, self.shape, out));
            }
        }
    }

    /// Takes `len` positions from bytes that [`Cache::export`] wrote; the cache must be empty. Returns `None` if the length
    /// is wrong or a value is not finite.
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

    /// The keys and values of one KV head at `positions`, which lie in one block. Positions written but not yet counted may be read.
    ///
    /// `decoded` is scratch, in which they are if the cache stores them in another format.
    pub fn span<'a>(&'a self, layer: usize, kv_head: usize, positions: Range<usize>, decoded: &'a mut [Vec<[f32; 4]>; 2]) -> Span<'a> {
        let keys = kv_head * 2 * BLOCK + positions.start % BLOCK;
        let keys = keys..keys + positions.len();
        let values = keys.start + BLOCK..keys.end + BLOCK;
        let padded = self.shape.head_dim.next_multiple_of(TILE_COLS);
        let layer = &self.layers[layer];
        match layer.blocks[layer.block(positions.start)].rows() {
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys of position p, head h are p * 10 + h in every lane, values their negatives.
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
