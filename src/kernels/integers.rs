//! The products of matrices of integers: four rows of 32 columns at a time.
//!
//! ```text
//! sum over columns of (scale * level + offset) * x
//!     = scale * sum(level * x) + offset * sum(x)
//! ```
//!
//! The first sum is that of integers, and exact. The second is the same for every row.

use super::product::{Activations, put};
use super::vector::{Rounded, Vector};
use crate::pool::Strip;
use crate::quant::{BLOCK_COLS, BLOCK_ROWS, Block, Bytes, HALF_SHIFT, HalfPairs, Nibbles, Pairs, Scales};

/// More positions than this go through a panel, if that is faster at all. A panel costs about as much as one
/// position; from 8 on, its eight rows side by side win that back.
const FEW: usize = 8;

/// Bands of blocks that stay in the first cache while some positions after the other meet them: 32 rows.
const CACHED_BANDS: usize = 8;

/// 32 columns of eight rows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PanelBlock {
    /// Scales and offsets of each half of the columns, of the first four rows and of the others.
    factors: [[[[f32; BLOCK_ROWS]; 2]; 2]; 2],
    /// Pairs of columns, of the first four rows and of the others.
    pairs: [[[[i16; 2]; BLOCK_ROWS]; 2]; BLOCK_COLS / 2],
}

/// The scales and offsets of four rows.
pub(super) trait Factors {
    /// Whether there are offsets.
    const OFFSETS: bool;
    /// The scales, then the offsets.
    fn load<V: Vector>(&self) -> [V; 2];
}

impl Factors for Scales {
    const OFFSETS: bool = false;

    #[inline(always)]
    fn load<V: Vector>(&self) -> [V; 2] {
        [V::load(&self.0), V::splat(0.0)]
    }
}

impl Factors for Pairs {
    const OFFSETS: bool = true;

    #[inline(always)]
    fn load<V: Vector>(&self) -> [V; 2] {
        [V::load(&self.0[0]), V::load(&self.0[1])]
    }
}

impl Factors for HalfPairs {
    const OFFSETS: bool = true;

    #[inline(always)]
    fn load<V: Vector>(&self) -> [V; 2] {
        // Decoding divides by 2^112; see `quant/half.rs`.
        V::load_f16(&self.0).map(|values| values.mul(V::splat(f32::from_bits(((127 + 112 - HALF_SHIFT) as u32) << 23))))
    }
}

/// The codes of four rows of 32 columns.
pub(super) trait Codes {
    /// Whether the products with many positions are faster through a panel.
    fn panels<V: Vector>() -> bool;
    /// The exact products with the activations of N positions: of the first half of the columns, of the
    /// second, or of all, as `FIRST` to `LAST` counts halves.
    fn dots<V: Vector, const N: usize, const FIRST: usize, const LAST: usize>(&self, x: [&Rounded<V>; N]) -> [V; N];
    /// Writes them as the first or second four rows of a panel.
    fn widen<V: Vector>(&self, panel: &mut PanelBlock, half: usize);
}

impl Codes for Bytes {
    #[inline(always)]
    fn panels<V: Vector>() -> bool {
        true
    }

    #[inline(always)]
    fn dots<V: Vector, const N: usize, const FIRST: usize, const LAST: usize>(&self, x: [&Rounded<V>; N]) -> [V; N] {
        V::dots_bytes::<N, FIRST, LAST>(&self.0, x)
    }

    #[inline(always)]
    fn widen<V: Vector>(&self, panel: &mut PanelBlock, half: usize) {
        for (bytes, out) in self.0.iter().zip(panel.pairs.as_chunks_mut::<2>().0) {
            for (pairs, out) in V::widen_bytes(bytes).into_iter().zip(out) {
                V::store_pairs(pairs, &mut out[half]);
            }
        }
    }
}

impl Codes for Nibbles {
    #[inline(always)]
    fn panels<V: Vector>() -> bool {
        V::PANEL_NIBBLES
    }

    #[inline(always)]
    fn dots<V: Vector, const N: usize, const FIRST: usize, const LAST: usize>(&self, x: [&Rounded<V>; N]) -> [V; N] {
        V::dots_nibbles::<N, FIRST, LAST>(&self.0, x)
    }

    #[inline(always)]
    fn widen<V: Vector>(&self, panel: &mut PanelBlock, half: usize) {
        for (words, out) in self.0.iter().zip(panel.pairs.as_chunks_mut::<4>().0) {
            for (pairs, out) in V::widen_nibbles(words).into_iter().zip(out) {
                V::store_pairs(pairs, &mut out[half]);
            }
        }
    }
}

/// sum + products * scales * activation scale. Never fused, not even by relaxed SIMD: so every kernel gives
/// the same bits, whatever the compiler makes of it.
#[inline(always)]
fn add_products<V: Vector>(sum: V, products: V, scales: V, x: &Rounded<V>) -> V {
    sum.add(products.mul(scales.mul(V::splat(x.scale))))
}

/// sum + offsets * the sum of the activations of the columns; not fused either.
#[inline(always)]
fn add_offsets<V: Vector, const G: usize>(sum: V, offsets: V, x: &Rounded<V>, group: usize) -> V {
    let total = if G == 1 { x.total } else { x.half_totals[group] };
    sum.add(offsets.mul(V::splat(total)))
}

/// Adds the products of a block with the activations of N positions.
#[inline(always)]
fn add_block<V: Vector, F: Factors, C: Codes, const G: usize, const N: usize>(
    sums: &mut [V; N],
    block: &Block<F, C, G>,
    x: [&Rounded<V>; N],
) {
    for group in 0..G {
        let products = match (G, group) {
            (1, _) => block.codes.dots::<V, N, 0, 2>(x),
            (_, 0) => block.codes.dots::<V, N, 0, 1>(x),
            _ => block.codes.dots::<V, N, 1, 2>(x),
        };
        let [scales, offsets] = block.factors[group].load::<V>();
        for ((sum, products), x) in sums.iter_mut().zip(products).zip(x) {
            *sum = add_products(*sum, products, scales, x);
        }
        if F::OFFSETS {
            sums.iter_mut().zip(x).for_each(|(sum, x)| *sum = add_offsets::<V, G>(*sum, offsets, x, group));
        }
    }
}

/// Shapes: `blocks` (rows / 4, columns / 32), both rounded up.
pub(super) fn product<V: Vector, F: Factors, C: Codes, const G: usize>(
    blocks: &[Block<F, C, G>],
    x: &Activations<V>,
    blocks_per_row: usize,
    out: &mut Strip,
    panel: &mut Vec<PanelBlock>,
) {
    if x.seq > FEW && C::panels::<V>() {
        return many::<V, F, C, G>(blocks, x, blocks_per_row, out, panel);
    }
    // Where more than one call needs the weights, all but the first should find them in the first cache.
    let group = if x.seq <= 4 { blocks.len() } else { CACHED_BANDS * blocks_per_row };
    for (number, blocks) in blocks.chunks(group).enumerate() {
        let first = number * CACHED_BANDS * BLOCK_ROWS;
        let mut pos = 0;
        while pos < x.seq {
            pos += match x.seq - pos {
                3.. => few::<V, F, C, G, 4>(blocks, x, blocks_per_row, [pos, first], out),
                2 => few::<V, F, C, G, 2>(blocks, x, blocks_per_row, [pos, first], out),
                _ => few::<V, F, C, G, 1>(blocks, x, blocks_per_row, [pos, first], out),
            };
        }
    }
}

/// The products of N positions from `pos` on, with blocks straight from memory; `first` is the row of the
/// first block. Returns N.
///
/// Out of line: inside a longer function, compilers keep the sums of four positions in memory.
#[inline(never)]
fn few<V: Vector, F: Factors, C: Codes, const G: usize, const N: usize>(
    blocks: &[Block<F, C, G>],
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
            add_block(&mut sums, block, x.map(|x| &x[index]));
        }
        for (i, sums) in sums.into_iter().enumerate().take(left) {
            put(out, pos + i, first + band * BLOCK_ROWS, sums);
        }
    }
    N
}

/// The products of many positions, with blocks that are widened into a panel once.
fn many<V: Vector, F: Factors, C: Codes, const G: usize>(
    blocks: &[Block<F, C, G>],
    x: &Activations<V>,
    blocks_per_row: usize,
    out: &mut Strip,
    panel: &mut Vec<PanelBlock>,
) {
    let wide = out.columns().len();
    for (band, blocks) in blocks.chunks(2 * blocks_per_row).enumerate() {
        fill::<V, F, C, G>(blocks, blocks_per_row, panel);
        let first = band * 2 * BLOCK_ROWS;
        let mut put = |pos: usize, [low, high]: [V; 2]| {
            put(out, pos, first, low);
            if first + BLOCK_ROWS < wide {
                put(out, pos, first + BLOCK_ROWS, high);
            }
        };
        let mut pos = 0;
        while pos + 4 <= x.seq {
            let sums = panel_dots::<V, F, G, 4>(panel, std::array::from_fn(|i| &x.blocks[(pos + i) * blocks_per_row..][..blocks_per_row]));
            sums.into_iter().enumerate().for_each(|(i, sums)| put(pos + i, sums));
            pos += 4;
        }
        for pos in pos..x.seq {
            put(pos, panel_dots::<V, F, G, 1>(panel, [&x.blocks[pos * blocks_per_row..][..blocks_per_row]])[0]);
        }
    }
}

/// Eight rows, or the last four and beside them what is of no use, as pairs of i16.
fn fill<V: Vector, F: Factors, C: Codes, const G: usize>(blocks: &[Block<F, C, G>], blocks_per_row: usize, panel: &mut Vec<PanelBlock>) {
    panel.resize(blocks_per_row, PanelBlock::default());
    for (half, blocks) in blocks.chunks_exact(blocks_per_row).enumerate() {
        for (block, out) in blocks.iter().zip(&mut *panel) {
            for (factors, out) in block.factors.iter().zip(&mut out.factors) {
                let [scales, offsets] = factors.load::<V>();
                scales.store(&mut out[half][0]);
                offsets.store(&mut out[half][1]);
            }
            block.codes.widen::<V>(out, half);
        }
    }
}

/// Eight rows times N positions.
#[inline(always)]
fn panel_dots<V: Vector, F: Factors, const G: usize, const N: usize>(panel: &[PanelBlock], x: [&[Rounded<V>]; N]) -> [[V; 2]; N] {
    let mut sums = [[V::splat(0.0); 2]; N];
    let x = x.map(|x| &x[..panel.len()]);
    let steps = BLOCK_COLS / 2 / G;
    for (index, block) in panel.iter().enumerate() {
        for group in 0..G {
            let mut ints = [[V::int_zero(); 2]; N];
            for step in group * steps..(group + 1) * steps {
                let [low, high] = &block.pairs[step];
                let (low, high) = (V::load_pairs(low), V::load_pairs(high));
                for (ints, x) in ints.iter_mut().zip(x) {
                    let pair = V::splat_pair(&x[index].pairs[step]);
                    *ints = [V::dot_pairs(ints[0], low, pair), V::dot_pairs(ints[1], high, pair)];
                }
            }
            for (half, factors) in block.factors[group].iter().enumerate() {
                let scales = V::load(&factors[0]);
                for ((sums, ints), x) in sums.iter_mut().zip(ints).zip(x) {
                    sums[half] = add_products(sums[half], V::from_int(ints[half]), scales, &x[index]);
                }
                if F::OFFSETS {
                    let offsets = V::load(&factors[1]);
                    for (sums, x) in sums.iter_mut().zip(x) {
                        sums[half] = add_offsets::<V, G>(sums[half], offsets, &x[index], group);
                    }
                }
            }
        }
    }
    sums
}
