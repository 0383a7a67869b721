//! The matrix product: activations made ready for each storage format, and the choice of the kernel
//! ([`floats`], [`integers`]).
//!
//! There are three ways to the same bits. With one position (decode), every weight is used once: the kernel
//! walks through memory. With a few (several texts decoded together), each weight is decoded once and meets
//! all of them, straight from memory. With many (prefill), weights are expanded into a panel in the first
//! cache, and a block of the product is kept in registers.
//!
//! All add in the same order. A sum of floats over columns is kept in four lanes, column `c` in lane `c %
//! 4`, and at the end the lanes are added as (0 + 2) + (1 + 3). Integers are summed exactly over the columns
//! that share a scale; these sums, times both scales, are added as floats in order.
//!
//! Loops step as little as their format allows. V8 has 15 vector registers at hand, and keeps sums in memory
//! when a body needs more, which halves the speed. For the same reason the kernels take the length of a row
//! as a number: where the compiler sees that two lengths are equal, it needs no second check in the loop.

use super::floats::{self, FloatPanel};
use super::integers::{self, PanelBlock};
use super::pointwise::lane_sum;
use super::vector::{Rounded, Vector};
use crate::pool::Strip;
use crate::quant::{BLOCK_COLS, BLOCK_ROWS, Dtype, F16_ACTIVATION_SCALE, Matrix, ROW_UNIT, TILE_COLS, TILE_ROWS, Tiles};

/// Activations as the kernels of a storage format want them.
#[derive(Debug)]
pub(super) struct Activations<V: Vector> {
    dtype: Dtype,
    pub(super) seq: usize,
    /// For floats: padded to whole tiles, for f16 scaled. Shapes: (seq, padded cols / 4).
    pub(super) floats: Vec<[f32; 4]>,
    /// For integers. Shapes: (seq, padded cols / 32).
    pub(super) blocks: Vec<Rounded<V>>,
}

/// Activations for matrices of integers are rounded to whole numbers up to this. The sum of 32 products with
/// codes of 8 bits then stays below 2^24, which an f32 holds.
pub(super) const LEVELS: f32 = 2047.0;

/// Scratch memory of [`matmul`], one for each thread, grown on demand and kept.
#[derive(Debug, Default)]
pub(super) struct Panel {
    floats: FloatPanel,
    blocks: Vec<PanelBlock>,
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
        // The largest magnitude; of a NaN or an infinity it takes 0 * x, which is NaN, so that the products
        // are too.
        let (mut max, mut poison) = (zero, zero);
        for x in fours.iter().map(V::load) {
            max = zero.sub(x).max(x).max(max);
            poison = poison.add(x.mul(zero));
        }
        let mut lanes = [0.0; 4];
        max.store(&mut lanes);
        let max = lanes.into_iter().fold(0.0, f32::max) + lane_sum(poison);
        // Below this the inverse could overflow. Such small values are stored as zero.
        let levels = if dtype == Dtype::Q4 { V::NIBBLE_LEVELS } else { LEVELS };
        let inverse = V::splat(if max < f32::MIN_POSITIVE * 1024.0 { 0.0 } else { levels / max });
        let mut pairs = [[0; 2]; BLOCK_COLS / 2];
        let mut sums = [V::int_zero(); 2];
        for (eight, (four, out)) in fours.as_chunks::<2>().0.iter().zip(pairs.as_chunks_mut::<4>().0).enumerate() {
            let rounded = V::round(V::load(&four[0]).mul(inverse), V::load(&four[1]).mul(inverse));
            *out = std::array::from_fn(|i| [rounded[2 * i], rounded[2 * i + 1]]);
            let sum = &mut sums[eight / 2];
            *sum = V::dot_pairs(*sum, V::load_pairs(out), V::splat_pair(&[1, 1]));
        }
        let scale = max / levels;
        let sums = sums.map(|sum| lane_sum(V::from_int(sum))); // whole numbers below 2^24
        let (total, half_totals) = ((sums[0] + sums[1]) * scale, sums.map(|sum| sum * scale));
        Rounded { scale, total, half_totals, pairs, bytes: V::bytes_for_nibbles(&pairs) }
    }
}

/// The columns `out.columns()` of x w^T: those rows of `w`, from a multiple of [`ROW_UNIT`] on.
pub(super) fn matmul<V: Vector>(w: &Matrix, x: &Activations<V>, out: &mut Strip, panel: &mut Panel) {
    let rows = out.columns();
    assert!(rows.end <= w.rows() && rows.start.is_multiple_of(ROW_UNIT), "rows {rows:?} of {}", w.rows());
    if w.cols() == 0 || rows.is_empty() || out.rows() == 0 {
        return (0..out.rows()).for_each(|pos| out.row(pos).fill(0.0));
    }
    assert!(x.fit(w) && out.rows() == x.seq, "{} positions of {} activations, {} of outputs", x.seq, x.dtype, out.rows());
    let blocks_per_row = w.blocks_per_row();
    let bands = |high: usize| rows.start / high * blocks_per_row..rows.end.div_ceil(high) * blocks_per_row;
    match w.tiles() {
        Tiles::F32(tiles) => floats::product(&tiles[bands(TILE_ROWS)], None, x, blocks_per_row, out, &mut panel.floats),
        Tiles::F16(tiles, factors) => {
            floats::product(&tiles[bands(TILE_ROWS)], Some(&factors[rows.start / TILE_ROWS..]), x, blocks_per_row, out, &mut panel.floats);
        }
        Tiles::Bf16(tiles) => floats::product(&tiles[bands(TILE_ROWS)], None, x, blocks_per_row, out, &mut panel.floats),
        Tiles::Q8(blocks) => integers::product(&blocks[bands(BLOCK_ROWS)], x, blocks_per_row, out, &mut panel.blocks),
        Tiles::Q8Wide(blocks) => integers::product(&blocks[bands(BLOCK_ROWS)], x, blocks_per_row, out, &mut panel.blocks),
        Tiles::Q8Fine(blocks) => integers::product(&blocks[bands(BLOCK_ROWS)], x, blocks_per_row, out, &mut panel.blocks),
        Tiles::Q4(blocks) => integers::product(&blocks[bands(BLOCK_ROWS)], x, blocks_per_row, out, &mut panel.blocks),
        Tiles::Q4Wide(blocks) => integers::product(&blocks[bands(BLOCK_ROWS)], x, blocks_per_row, out, &mut panel.blocks),
        Tiles::Q4Fine(blocks) => integers::product(&blocks[bands(BLOCK_ROWS)], x, blocks_per_row, out, &mut panel.blocks),
    }
}

/// Writes up to four outputs of a position, from row `first` of the strip on.
#[inline(always)]
pub(super) fn put<V: Vector>(out: &mut Strip, pos: usize, first: usize, sums: V) {
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
