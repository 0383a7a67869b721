//! The two loops of attention over a cache in q8, as products of integers.
//!
//! A query, and the weights of a block of values, are rounded to 16 bits, whose products with 8 bits SIMD
//! adds exactly. This rounding changes a result 2^7 times less than that of keys and values, and it is
//! faster than decoding to f32: two numbers meet in one product.
//!
//! Integers are summed in any order. Floats are added in the order of the columns' blocks (scores) or of the
//! cache's blocks (values), so that one query has the same bits alone and among others.

use std::ops::Range;

use super::pointwise::lane_sum;
use super::vector::Vector;
use crate::quant::{BLOCK_COLS, KV_TILE_ROWS, KvTile};

/// The largest magnitude of a rounded number. 64 products with 8 bits stay within 2^28.
const LEVELS: f32 = 32_767.0;

/// At most this many tiles of one column block are summed as integers at a time.
const TILES_MAX: usize = 8;

/// 32 numbers of a query, rounded to 16 bits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct QueryBlock {
    /// What a unit is worth.
    scale: f32,
    pairs: [[i16; 2]; BLOCK_COLS / 2],
}

pub(super) fn round_query<V: Vector>(query: &[[f32; 4]], out: &mut [QueryBlock]) {
    assert_eq!(query.len() * 4, out.len() * BLOCK_COLS, "numbers of a query");
    for (values, out) in query.chunks_exact(BLOCK_COLS / 4).zip(out) {
        out.scale = round::<V>(values, &mut out.pairs);
    }
}

pub(super) fn dot_tiles<V: Vector, const N: usize>(tiles: &[KvTile], x: [&[QueryBlock]; N], out: [&mut [f32]; N]) {
    let (wide, count) = (x[0].len(), out[0].len());
    assert!(x.iter().all(|x| x.len() == wide) && out.iter().all(|out| out.len() == count), "queries of one length");
    assert_eq!(tiles.len() * KV_TILE_ROWS, count * wide, "tiles of {count} keys");
    let mut out = out.map(|out| out.as_chunks_mut::<4>().0);
    for (number, tiles) in tiles.chunks_exact(wide).enumerate() {
        let mut sums = [[V::splat(0.0); 2]; N];
        for (index, tile) in tiles.iter().enumerate() {
            let x = x.map(|x| &x[index]);
            let scales = V::load_bf16(&tile.scales.0);
            for ((sums, ints), x) in sums.iter_mut().zip(tile_dots::<V, N>(tile, x)).zip(x) {
                *sums = std::array::from_fn(|half| sums[half].add(V::from_int(ints[half]).mul(scales[half].mul(V::splat(x.scale)))));
            }
        }
        for (out, sums) in out.iter_mut().zip(sums) {
            for (half, sum) in sums.into_iter().enumerate() {
                sum.store(&mut out[2 * number + half]);
            }
        }
    }
}

/// The products of 32 columns of eight keys with N queries: four keys to a vector.
#[inline(always)]
fn tile_dots<V: Vector, const N: usize>(tile: &KvTile, x: [&QueryBlock; N]) -> [[V::Int; 2]; N] {
    let mut ints = [[V::int_zero(); 2]; N];
    let [first, second] = &tile.values;
    for (step, (first, second)) in first.iter().zip(second).enumerate() {
        let keys = [V::widen_i8(first), V::widen_i8(second)];
        for (ints, x) in ints.iter_mut().zip(x) {
            let [low, high] = x.pairs.as_chunks::<2>().0[step].map(|pair| V::splat_pair(&pair));
            for (ints, keys) in ints.iter_mut().zip(keys) {
                *ints = V::dot_pairs(V::dot_pairs(*ints, keys[0], low), keys[1], high);
            }
        }
    }
    ints
}

pub(super) fn weighted_tiles<V: Vector>(tiles: &[KvTile], weights: &[f32], seen: Range<usize>, out: &mut [[f32; 4]]) {
    let (wide, count) = (out.len() * 4 / BLOCK_COLS, weights.len() / KV_TILE_ROWS);
    assert_eq!(out.len() * 4, wide * BLOCK_COLS, "whole blocks of columns");
    assert!(weights.len() == count * KV_TILE_ROWS && tiles.len() == count * wide, "weights of {} tiles", tiles.len());
    assert!(count <= TILES_MAX && seen.end <= weights.len(), "{seen:?} of {count} tiles");
    for (block, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
        let tiles = tiles.iter().skip(block).step_by(wide);
        let mut products = [[0.0; 4]; 2 * TILES_MAX];
        let products = &mut products[..2 * count];
        for ((tile, weights), products) in tiles.clone().zip(weights.as_chunks::<8>().0).zip(products.as_chunks_mut::<2>().0) {
            for ((scales, weights), product) in V::load_bf16(&tile.scales.0).into_iter().zip(weights.as_chunks().0).zip(products) {
                V::load(weights).mul(scales).store(product);
            }
        }
        // The scale of another position may be anything, even NaN.
        products.as_flattened_mut()[..seen.start].fill(0.0);
        products.as_flattened_mut()[seen.end..].fill(0.0);
        add_block::<V>(tiles, products, out);
    }
}

/// Adds the levels of 32 columns, each tile times its weights.
#[inline(always)]
fn add_block<'a, V: Vector>(tiles: impl Iterator<Item = &'a KvTile>, weights: &[[f32; 4]], out: &mut [[f32; 4]; BLOCK_COLS / 4]) {
    let mut pairs = [[0; 2]; TILES_MAX * KV_TILE_ROWS / 2];
    let scale = round::<V>(weights, &mut pairs[..2 * weights.len()]);
    let mut sums = [V::int_zero(); BLOCK_COLS / 4];
    for (tile, pairs) in tiles.zip(pairs.as_chunks::<4>().0) {
        for (values, pairs) in tile.values.iter().zip(pairs.as_chunks::<2>().0) {
            let [low, high] = pairs.map(|pair| V::splat_pair(&pair));
            for (sum, values) in sums.iter_mut().zip(values) {
                let [first, second] = V::widen_i8(values);
                *sum = V::dot_pairs(V::dot_pairs(*sum, first, low), second, high);
            }
        }
    }
    for (out, sum) in out.iter_mut().zip(sums) {
        V::load(out).add(V::from_int(sum).mul(V::splat(scale))).store(out);
    }
}

/// Rounds numbers to 16 bits. Returns what a unit is worth: NaN if a number is not finite. Shapes: `pairs`
/// (2 * values.len()).
#[inline(always)]
fn round<V: Vector>(values: &[[f32; 4]], pairs: &mut [[i16; 2]]) -> f32 {
    let zero = V::splat(0.0);
    let (mut max, mut poison) = (zero, zero);
    for x in values.iter().map(V::load) {
        max = zero.sub(x).max(x).max(max);
        poison = poison.add(x.mul(zero)); // NaN if x is not finite
    }
    let mut lanes = [0.0; 4];
    max.store(&mut lanes);
    let max = lanes.into_iter().fold(0.0, f32::max) + lane_sum(poison);
    // Below this the inverse could overflow. Such small numbers are rounded to zero.
    let inverse = V::splat(if max < f32::MIN_POSITIVE * 262_144.0 { 0.0 } else { LEVELS / max });
    for ([low, high], out) in values.as_chunks().0.iter().zip(pairs.as_chunks_mut::<4>().0) {
        let eight = V::round(V::load(low).mul(inverse), V::load(high).mul(inverse));
        *out = std::array::from_fn(|i| [eight[2 * i], eight[2 * i + 1]]);
    }
    max / LEVELS
}
