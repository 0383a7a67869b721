//! The products of q8 and q4: four rows of 32 columns at a time, as exact integers.

use super::product::{Activations, put};
use super::vector::{Rounded, Vector};
use crate::pool::Strip;
use crate::quant::{BLOCK_COLS, BLOCK_ROWS, Q4Block, Q8Block};

/// More positions than this go through a panel, if that is faster at all. A panel costs about as much as one
/// position; from 8 on, its eight rows side by side win that back.
const FEW: usize = 8;

/// Bands of blocks that stay in the first cache while some positions after the other meet them: 32 rows.
const CACHED_BANDS: usize = 8;

/// 32 columns of eight rows: pairs of columns of the first four rows, then of the others.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PanelBlock {
    scales: [[f32; BLOCK_ROWS]; 2],
    pairs: [[[[i16; 2]; BLOCK_ROWS]; 2]; BLOCK_COLS / 2],
}

/// A block in some format of integers.
pub(super) trait Block {
    fn scales(&self) -> &[f32; BLOCK_ROWS];
    /// Whether the products with many positions are faster through a panel.
    fn panels<V: Vector>() -> bool;
    /// The exact products of its rows with 32 activations of N positions.
    fn dots<V: Vector, const N: usize>(&self, x: [&Rounded<V>; N]) -> [V; N];
    /// Its weights for the panel, as the first or second four rows of it.
    fn widen<V: Vector>(&self, panel: &mut PanelBlock, half: usize);
}

impl Block for Q8Block {
    #[inline(always)]
    fn panels<V: Vector>() -> bool {
        true
    }

    #[inline(always)]
    fn scales(&self) -> &[f32; BLOCK_ROWS] {
        &self.scales
    }

    #[inline(always)]
    fn dots<V: Vector, const N: usize>(&self, x: [&Rounded<V>; N]) -> [V; N] {
        V::dots_q8(&self.values, x)
    }

    #[inline(always)]
    fn widen<V: Vector>(&self, panel: &mut PanelBlock, half: usize) {
        for (values, out) in self.values.iter().zip(panel.pairs.as_chunks_mut::<2>().0) {
            for (pairs, out) in V::widen_q8(values).into_iter().zip(out) {
                V::store_pairs(pairs, &mut out[half]);
            }
        }
    }
}

impl Block for Q4Block {
    #[inline(always)]
    fn panels<V: Vector>() -> bool {
        V::PANEL_Q4
    }

    #[inline(always)]
    fn scales(&self) -> &[f32; BLOCK_ROWS] {
        &self.scales
    }

    #[inline(always)]
    fn dots<V: Vector, const N: usize>(&self, x: [&Rounded<V>; N]) -> [V; N] {
        V::dots_q4(&self.values, x)
    }

    #[inline(always)]
    fn widen<V: Vector>(&self, panel: &mut PanelBlock, half: usize) {
        for (words, out) in self.values.iter().zip(panel.pairs.as_chunks_mut::<4>().0) {
            for (pairs, out) in V::widen_q4(words).into_iter().zip(out) {
                V::store_pairs(pairs, &mut out[half]);
            }
        }
    }
}

/// sum + products * weight scales * activation scale. Never fused, not even by relaxed SIMD: so every kernel
/// gives the same bits, whatever the compiler makes of it.
#[inline(always)]
fn add_scaled<V: Vector>(sum: V, products: V, scales: &[f32; BLOCK_ROWS], scale: V) -> V {
    sum.add(products.mul(V::load(scales).mul(scale)))
}

/// Shapes: `blocks` (rows / 4, columns / 32), both rounded up.
pub(super) fn product<V: Vector, B: Block>(
    blocks: &[B],
    x: &Activations<V>,
    blocks_per_row: usize,
    out: &mut Strip,
    panel: &mut Vec<PanelBlock>,
) {
    if x.seq > FEW && B::panels::<V>() {
        return many::<V, B>(blocks, x, blocks_per_row, out, panel);
    }
    // Where more than one call needs the weights, all but the first should find them in the first cache.
    let group = if x.seq <= 4 { blocks.len() } else { CACHED_BANDS * blocks_per_row };
    for (number, blocks) in blocks.chunks(group).enumerate() {
        let first = number * CACHED_BANDS * BLOCK_ROWS;
        let mut pos = 0;
        while pos < x.seq {
            pos += match x.seq - pos {
                3.. => few::<V, B, 4>(blocks, x, blocks_per_row, [pos, first], out),
                2 => few::<V, B, 2>(blocks, x, blocks_per_row, [pos, first], out),
                _ => few::<V, B, 1>(blocks, x, blocks_per_row, [pos, first], out),
            };
        }
    }
}

/// The products of N positions from `pos` on, with blocks straight from memory; `first` is the row of the
/// first block. Returns N.
///
/// Out of line: inside a longer function, compilers keep the sums of four positions in memory.
#[inline(never)]
fn few<V: Vector, B: Block, const N: usize>(
    blocks: &[B],
    x: &Activations<V>,
    blocks_per_row: usize,
    [pos, first]: [usize; 2],
    out: &mut Strip,
) -> usize {
    // Where fewer are left, the last position stands in for the others.
    let left = (x.seq - pos).min(N);
    let x: [&[Rounded<V>]; N] = std::array::from_fn(|i| &x.blocks[(pos + i.min(left - 1)) * blocks_per_row..][..blocks_per_row]);
    for (band, blocks) in blocks.chunks_exact(blocks_per_row).enumerate() {
        let x = x.map(|x| &x[..blocks.len()]);
        let mut sums = [V::splat(0.0); N];
        for (index, block) in blocks.iter().enumerate() {
            let x = x.map(|x| &x[index]);
            for ((sum, products), x) in sums.iter_mut().zip(block.dots(x)).zip(x) {
                *sum = add_scaled(*sum, products, block.scales(), V::splat(x.scale));
            }
        }
        for (i, sums) in sums.into_iter().enumerate().take(left) {
            put(out, pos + i, first + band * BLOCK_ROWS, sums);
        }
    }
    N
}

/// The products of many positions, with blocks that are widened into a panel once.
fn many<V: Vector, B: Block>(blocks: &[B], x: &Activations<V>, blocks_per_row: usize, out: &mut Strip, panel: &mut Vec<PanelBlock>) {
    let wide = out.columns().len();
    for (band, blocks) in blocks.chunks(2 * blocks_per_row).enumerate() {
        fill::<V, B>(blocks, blocks_per_row, panel);
        let first = band * 2 * BLOCK_ROWS;
        let mut put = |pos: usize, [low, high]: [V; 2]| {
            put(out, pos, first, low);
            if first + BLOCK_ROWS < wide {
                put(out, pos, first + BLOCK_ROWS, high);
            }
        };
        let mut pos = 0;
        while pos + 4 <= x.seq {
            let sums = panel_dots::<V, 4>(panel, std::array::from_fn(|i| &x.blocks[(pos + i) * blocks_per_row..][..blocks_per_row]));
            sums.into_iter().enumerate().for_each(|(i, sums)| put(pos + i, sums));
            pos += 4;
        }
        for pos in pos..x.seq {
            put(pos, panel_dots::<V, 1>(panel, [&x.blocks[pos * blocks_per_row..][..blocks_per_row]])[0]);
        }
    }
}

/// Eight rows, or the last four and beside them what is of no use, as pairs of i16.
fn fill<V: Vector, B: Block>(blocks: &[B], blocks_per_row: usize, panel: &mut Vec<PanelBlock>) {
    panel.resize(blocks_per_row, PanelBlock::default());
    for (half, blocks) in blocks.chunks_exact(blocks_per_row).enumerate() {
        for (block, out) in blocks.iter().zip(&mut *panel) {
            out.scales[half] = *block.scales();
            block.widen::<V>(out, half);
        }
    }
}

/// Eight rows times N positions.
#[inline(always)]
fn panel_dots<V: Vector, const N: usize>(panel: &[PanelBlock], x: [&[Rounded<V>]; N]) -> [[V; 2]; N] {
    let mut sums = [[V::splat(0.0); 2]; N];
    let x = x.map(|x| &x[..panel.len()]);
    for (index, block) in panel.iter().enumerate() {
        let mut ints = [[V::int_zero(); 2]; N];
        for (step, [low, high]) in block.pairs.iter().enumerate() {
            let (low, high) = (V::load_pairs(low), V::load_pairs(high));
            for (ints, x) in ints.iter_mut().zip(x) {
                let pair = V::splat_pair(&x[index].pairs[step]);
                *ints = [V::dot_pairs(ints[0], low, pair), V::dot_pairs(ints[1], high, pair)];
            }
        }
        for ((sums, ints), x) in sums.iter_mut().zip(ints).zip(x) {
            for half in 0..2 {
                sums[half] = add_scaled(sums[half], V::from_int(ints[half]), &block.scales[half], V::splat(x[index].scale));
            }
        }
    }
    sums
}
