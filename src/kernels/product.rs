//! The matrix product, for each storage format with one position (decode) and with many (prefill).
//!
//! With one position every weight is used once, so the kernel is a walk through memory: eight rows of floats or four of integers side by side, and
//! a loop whose body is one tile. With many, weights are expanded into a panel once and a block of the product is kept in registers:
//! four rows by two positions of floats, eight rows by four positions of integers.
//!
//! Both add in the same order. A sum of floats over columns is kept in four lanes, column `c` in lane `c % 4`, and at the end the lanes are added as
//! (0 + 2) + (1 + 3). Integers are summed exactly over 32 columns; these sums, times both scales, are added as floats in order.
//!
//! Every loop here steps as little as its format allows, and is not unrolled: WebAssembly has no registers, and engines that see a longer body keep its
//! values in memory. A body twice as long made the product of floats 40 % slower in V8.

use super::pointwise::lane_sum;
use super::vector::Vector;
use crate::pool::Strip;
use crate::quant::{
    BLOCK_COLS, BLOCK_ROWS, Bf16Tile, Dtype, F16_ACTIVATION_SCALE, F16Tile, F32Tile, Matrix, Q4_OFFSET, Q4Block, Q8Block, ROW_UNIT,
    TILE_COLS, TILE_ROWS, Tiles,
};

/// Activations as the kernels of a storage format want them.
#[derive(Debug)]
pub(super) struct Activations<V: Vector> {
    dtype: Dtype,
    seq: usize,
    /// For floats: padded to whole tiles, for f16 scaled. Shapes: (seq, padded cols / 4).
    floats: Vec<[f32; 4]>,
    /// For integers. Shapes: (seq, padded cols / 32).
    blocks: Vec<Rounded<V>>,
}

/// 32 activations rounded to 8 bits.
#[derive(Debug, Clone, Copy)]
struct Rounded<V: Vector> {
    /// What a unit is worth.
    scale: f32,
    /// -8 times the sum of the values: what q4 weights, stored 8 too large, have to be corrected by.
    correction: i32,
    pairs: [[i16; 2]; BLOCK_COLS / 2],
    narrow: V::Narrow,
}

/// Scratch memory of [`matmul`], one for each thread, grown on demand and kept.
#[derive(Debug, Default)]
pub(super) struct Panel {
    /// Four rows of floats. Shapes: (padded cols / 4, 4, 4).
    floats: Vec<[[f32; 4]; 4]>,
    /// Eight rows of integers. Shapes: (padded cols / 32).
    blocks: Vec<PanelBlock>,
}

/// 32 columns of eight rows: pairs of columns of the first four rows, then of the others.
#[derive(Debug, Clone, Copy, Default)]
struct PanelBlock {
    scales: [[f32; BLOCK_ROWS]; 2],
    pairs: [[[[i16; 2]; BLOCK_ROWS]; 2]; BLOCK_COLS / 2],
}

impl<V: Vector> Default for Activations<V> {
    fn default() -> Self {
        Activations { dtype: Dtype::F32, seq: 0, floats: Vec::new(), blocks: Vec::new() }
    }
}

impl<V: Vector> Activations<V> {
    /// Shapes: `x` (seq, cols).
    pub(super) fn prepare(&mut self, x: &[f32], cols: usize, dtype: Dtype) {
        self.dtype = dtype;
        self.seq = x.len().checked_div(cols).unwrap_or(0);
        assert_eq!(x.len(), self.seq * cols, "activations of {cols} columns");
        self.floats.clear();
        self.blocks.clear();
        let rows = x.chunks_exact(cols.max(1));
        if dtype.is_quantised() {
            for (whole, tail) in rows.map(|row| row.as_chunks::<BLOCK_COLS>()) {
                self.blocks.extend(whole.iter().map(|values| Rounded::new(values, dtype)));
                if !tail.is_empty() {
                    self.blocks.push(Rounded::new(&std::array::from_fn(|i| tail.get(i).copied().unwrap_or(0.0)), dtype));
                }
            }
            return;
        }
        let scale = V::splat(if dtype == Dtype::F16 { F16_ACTIVATION_SCALE } else { 1.0 });
        let scaled = |values: &[f32; 4]| {
            let mut out = [0.0; 4];
            V::load(values).mul(scale).store(&mut out);
            out
        };
        let padded = cols.next_multiple_of(TILE_COLS) / 4;
        for (number, (whole, tail)) in rows.map(|row| row.as_chunks()).enumerate() {
            self.floats.extend(whole.iter().map(scaled));
            if !tail.is_empty() {
                self.floats.push(scaled(&std::array::from_fn(|i| tail.get(i).copied().unwrap_or(0.0))));
            }
            self.floats.resize((number + 1) * padded, [0.0; 4]);
        }
    }

    /// Whether these are the activations that a matrix wants.
    fn fit(&self, w: &Matrix) -> bool {
        let (wide, len) =
            if w.dtype().is_quantised() { (w.blocks_per_row(), self.blocks.len()) } else { (w.blocks_per_row() * 2, self.floats.len()) };
        self.dtype == w.dtype() && len == self.seq * wide
    }
}

impl<V: Vector> Rounded<V> {
    fn new(values: &[f32; BLOCK_COLS], dtype: Dtype) -> Self {
        let (fours, _) = values.as_chunks();
        let zero = V::splat(0.0);
        // The largest magnitude; of a NaN or an infinity it takes 0 * x, which is NaN, so that the products are too.
        let (mut max, mut poison) = (zero, zero);
        for x in fours.iter().map(V::load) {
            max = zero.sub(x).max(x).max(max);
            poison = poison.add(x.mul(zero));
        }
        let mut lanes = [0.0; 4];
        max.store(&mut lanes);
        let max = lanes.into_iter().fold(0.0, f32::max) + lane_sum(poison);
        // Below this the inverse could overflow; the values are as good as zero.
        let inverse = V::splat(if max < f32::MIN_POSITIVE * 1024.0 { 0.0 } else { 127.0 / max });
        let mut pairs = [[0; 2]; BLOCK_COLS / 2];
        let mut sum = V::int_zero();
        for (four, out) in fours.as_chunks::<2>().0.iter().zip(pairs.as_chunks_mut().0) {
            let eight = V::round(V::load(&four[0]).mul(inverse), V::load(&four[1]).mul(inverse));
            *out = std::array::from_fn(|i| [eight[2 * i], eight[2 * i + 1]]);
            sum = V::dot_pairs(sum, V::load_pairs(out), V::splat_pair(&[1, 1]));
        }
        let correction = -Q4_OFFSET * lane_sum(V::from_int(sum)) as i32;
        let narrow = if dtype == Dtype::Q8 { V::narrow_q8(&pairs) } else { V::narrow_q4(&pairs) };
        Rounded { scale: max / 127.0, correction, pairs, narrow }
    }
}

/// The columns `out.columns()` of x w^T: those rows of `w`, from a multiple of [`ROW_UNIT`] on.
pub(super) fn matmul<V: Vector>(w: &Matrix, x: &Activations<V>, out: &mut Strip, panel: &mut Panel) {
    let rows = out.columns();
    assert!(rows.end <= w.rows() && rows.start.is_multiple_of(ROW_UNIT), "rows {rows:?} of {}", w.rows());
    if w.cols() == 0 || rows.is_empty() {
        return (0..out.rows()).for_each(|pos| out.row(pos).fill(0.0));
    }
    assert!(x.fit(w) && out.rows() == x.seq, "{} positions of {} activations, {} of outputs", x.seq, x.dtype, out.rows());
    let groups = w.blocks_per_row();
    let bands = |high: usize| rows.start / high * groups..rows.end.div_ceil(high) * groups;
    match w.tiles() {
        Tiles::F32(tiles) => floats(&tiles[bands(TILE_ROWS)], None, x, groups, out, panel),
        Tiles::F16(tiles, factors) => floats(&tiles[bands(TILE_ROWS)], Some(&factors[rows.start / TILE_ROWS..]), x, groups, out, panel),
        Tiles::Bf16(tiles) => floats(&tiles[bands(TILE_ROWS)], None, x, groups, out, panel),
        Tiles::Q8(blocks) => integers(&blocks[bands(BLOCK_ROWS)], x, groups, out, panel),
        Tiles::Q4(blocks) => integers(&blocks[bands(BLOCK_ROWS)], x, groups, out, panel),
    }
}

/// Writes up to four outputs of a position, from row `first` of the strip on.
#[inline(always)]
fn put<V: Vector>(out: &mut Strip, pos: usize, first: usize, sums: V) {
    let out = &mut out.row(pos)[first..];
    match out.first_chunk_mut() {
        Some(out) => sums.store(out),
        None => {
            let mut four = [0.0; 4];
            sums.store(&mut four);
            out.copy_from_slice(&four[..out.len()]);
        }
    }
}

/// A tile in some format of floats.
trait Tile {
    /// Eight columns of a row.
    fn decode<V: Vector>(&self, row: usize) -> [V; 2];
}

impl Tile for F32Tile {
    #[inline(always)]
    fn decode<V: Vector>(&self, row: usize) -> [V; 2] {
        [V::load(&self[0][row]), V::load(&self[1][row])]
    }
}

impl Tile for F16Tile {
    #[inline(always)]
    fn decode<V: Vector>(&self, row: usize) -> [V; 2] {
        V::load_f16(&self[row].0)
    }
}

impl Tile for Bf16Tile {
    #[inline(always)]
    fn decode<V: Vector>(&self, row: usize) -> [V; 2] {
        V::load_bf16(&self[row].0)
    }
}

fn floats<V: Vector, T: Tile>(
    tiles: &[T],
    factors: Option<&[[f32; TILE_ROWS]]>,
    x: &Activations<V>,
    groups: usize,
    out: &mut Strip,
    panel: &mut Panel,
) {
    let wide = out.columns().len();
    for (band, tiles) in tiles.chunks_exact(groups).enumerate() {
        let factor = |half: usize| factors.map(|factors| V::load(&factors[band].as_chunks().0[half]));
        let scaled = |sums: V, half: usize| factor(half).map_or(sums, |factor| sums.mul(factor));
        if x.seq == 1 {
            let sums = eight_dots(tiles, &x.floats);
            for (half, sums) in sums.into_iter().enumerate().take((wide - band * TILE_ROWS).div_ceil(4)) {
                put(out, 0, band * TILE_ROWS + 4 * half, scaled(sums, half));
            }
            continue;
        }
        for half in 0..(wide - band * TILE_ROWS).div_ceil(4).min(2) {
            expand::<V, T>(tiles, half, &mut panel.floats);
            let first = band * TILE_ROWS + 4 * half;
            let mut positions = x.floats.chunks_exact(groups * 2).enumerate();
            while let Some((pos, a)) = positions.next() {
                if let Some((_, b)) = positions.next() {
                    let sums = dots(&panel.floats, [a, b]);
                    put(out, pos, first, scaled(sums[0], half));
                    put(out, pos + 1, first, scaled(sums[1], half));
                } else {
                    put(out, pos, first, scaled(dots(&panel.floats, [a])[0], half));
                }
            }
        }
    }
}

/// Eight rows times one position.
#[inline(always)]
fn eight_dots<V: Vector, T: Tile>(tiles: &[T], x: &[[f32; 4]]) -> [V; 2] {
    let mut sums = [V::splat(0.0); TILE_ROWS];
    for (tile, [x0, x1]) in tiles.iter().zip(x.as_chunks().0) {
        let (x0, x1) = (V::load(x0), V::load(x1));
        for (row, sum) in sums.iter_mut().enumerate() {
            let [w0, w1] = tile.decode::<V>(row);
            *sum = sum.madd(w0, x0).madd(w1, x1);
        }
    }
    let [a, b, c, d, e, f, g, h] = sums;
    [V::sums([a, b, c, d]), V::sums([e, f, g, h])]
}

/// Four of the eight rows of tiles, as f32 by four columns.
fn expand<V: Vector, T: Tile>(tiles: &[T], half: usize, panel: &mut Vec<[[f32; 4]; 4]>) {
    panel.resize(tiles.len() * 2, [[0.0; 4]; 4]);
    for (tile, [left, right]) in tiles.iter().zip(panel.as_chunks_mut().0) {
        for row in 0..4 {
            let [w0, w1] = tile.decode::<V>(4 * half + row);
            w0.store(&mut left[row]);
            w1.store(&mut right[row]);
        }
    }
}

/// Four rows times N positions: each weight that is loaded serves N times, each activation four times.
#[inline(always)]
fn dots<V: Vector, const N: usize>(panel: &[[[f32; 4]; 4]], x: [&[[f32; 4]]; N]) -> [V; N] {
    let mut sums = [[V::splat(0.0); 4]; N];
    let x = x.map(|x| &x[..panel.len()]);
    for (step, weights) in panel.iter().enumerate() {
        let x = x.map(|x| V::load(&x[step]));
        for (row, weights) in weights.iter().enumerate() {
            let weights = V::load(weights);
            for (sums, x) in sums.iter_mut().zip(x) {
                sums[row] = sums[row].madd(weights, x);
            }
        }
    }
    sums.map(V::sums)
}

/// A block in some format of integers.
trait Block {
    fn scales(&self) -> &[f32; BLOCK_ROWS];
    /// The exact products of its rows with 32 activations.
    fn dot<V: Vector>(&self, x: &Rounded<V>) -> V;
    /// Its weights for the panel, as the first or second four rows of it.
    fn widen<V: Vector>(&self, panel: &mut PanelBlock, half: usize);
}

impl Block for Q8Block {
    #[inline(always)]
    fn scales(&self) -> &[f32; BLOCK_ROWS] {
        &self.scales
    }

    #[inline(always)]
    fn dot<V: Vector>(&self, x: &Rounded<V>) -> V {
        V::dot_q8(&self.values, &x.pairs, &x.narrow)
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
    fn scales(&self) -> &[f32; BLOCK_ROWS] {
        &self.scales
    }

    #[inline(always)]
    fn dot<V: Vector>(&self, x: &Rounded<V>) -> V {
        V::dot_q4(x.correction, &self.values, &x.pairs, &x.narrow)
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

/// sum + products * weight scales * activation scale. Never fused: so one position and many give the same bits whatever the compiler makes of them.
#[inline(always)]
fn add_scaled<V: Vector>(sum: V, products: V, scales: &[f32; BLOCK_ROWS], scale: V) -> V {
    sum.add(products.mul(V::load(scales).mul(scale)))
}

fn integers<V: Vector, B: Block>(blocks: &[B], x: &Activations<V>, groups: usize, out: &mut Strip, panel: &mut Panel) {
    if x.seq == 1 {
        for (band, blocks) in blocks.chunks_exact(groups).enumerate() {
            let sums = blocks
                .iter()
                .zip(&x.blocks)
                .fold(V::splat(0.0), |sum, (block, x)| add_scaled(sum, block.dot(x), block.scales(), V::splat(x.scale)));
            put(out, 0, band * BLOCK_ROWS, sums);
        }
        return;
    }
    let wide = out.columns().len();
    for (band, blocks) in blocks.chunks(2 * groups).enumerate() {
        fill::<V, B>(blocks, groups, &mut panel.blocks);
        let first = band * 2 * BLOCK_ROWS;
        let mut put = |pos: usize, [low, high]: [V; 2]| {
            put(out, pos, first, low);
            if first + BLOCK_ROWS < wide {
                put(out, pos, first + BLOCK_ROWS, high);
            }
        };
        let mut pos = 0;
        while pos + 4 <= x.seq {
            let sums = panel_dots::<V, 4>(&panel.blocks, std::array::from_fn(|i| &x.blocks[(pos + i) * groups..][..groups]));
            sums.into_iter().enumerate().for_each(|(i, sums)| put(pos + i, sums));
            pos += 4;
        }
        for pos in pos..x.seq {
            put(pos, panel_dots::<V, 1>(&panel.blocks, [&x.blocks[pos * groups..][..groups]])[0]);
        }
    }
}

/// Eight rows, or the last four and beside them what is of no use, as pairs of i16.
fn fill<V: Vector, B: Block>(blocks: &[B], groups: usize, panel: &mut Vec<PanelBlock>) {
    panel.resize(groups, PanelBlock::default());
    for (half, blocks) in blocks.chunks_exact(groups).enumerate() {
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
