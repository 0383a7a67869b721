//! The products of f32, f16 and bf16: eight columns of eight rows at a time.

use super::product::{Activations, put};
use super::vector::Vector;
use crate::pool::Strip;
use crate::quant::{Bf16Tile, F16Tile, F32Tile, TILE_ROWS};

/// Four rows in f32. Shapes: (padded cols / 4, 4, 4).
pub(super) type FloatPanel = Vec<[[f32; 4]; 4]>;

/// A tile in some format of floats.
pub(super) trait Tile {
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

/// Shapes: `tiles` (rows / 8, columns / 8), `factors` (rows / 8), all rounded up.
pub(super) fn product<V: Vector, T: Tile>(
    tiles: &[T],
    factors: Option<&[[f32; TILE_ROWS]]>,
    x: &Activations<V>,
    tiles_per_row: usize,
    out: &mut Strip,
    panel: &mut FloatPanel,
) {
    if (2..=V::FEW_FLOATS).contains(&x.seq) {
        return few(tiles, factors, x, tiles_per_row, out);
    }
    let wide = out.columns().len();
    for (band, tiles) in tiles.chunks_exact(tiles_per_row).enumerate() {
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
            expand::<V, T>(tiles, half, panel);
            let first = band * TILE_ROWS + 4 * half;
            let mut positions = x.floats.chunks_exact(tiles_per_row * 2).enumerate();
            while let Some((pos, a)) = positions.next() {
                if let Some((_, b)) = positions.next() {
                    let sums = dots(panel, [a, b]);
                    put(out, pos, first, scaled(sums[0], half));
                    put(out, pos + 1, first, scaled(sums[1], half));
                } else {
                    put(out, pos, first, scaled(dots(panel, [a])[0], half));
                }
            }
        }
    }
}

/// The product with two positions or more, two at a time.
///
/// Out of line, as each kernel needs all registers.
#[inline(never)]
fn few<V: Vector, T: Tile>(tiles: &[T], factors: Option<&[[f32; TILE_ROWS]]>, x: &Activations<V>, tiles_per_row: usize, out: &mut Strip) {
    let wide = out.columns().len();
    for (band, tiles) in tiles.chunks_exact(tiles_per_row).enumerate() {
        for half in 0..(wide - band * TILE_ROWS).div_ceil(4).min(2) {
            let mut put = |pos: usize, sums: V| {
                let scaled = factors.map_or(sums, |factors| sums.mul(V::load(&factors[band].as_chunks().0[half])));
                put(out, pos, band * TILE_ROWS + 4 * half, scaled);
            };
            let position = |pos: usize| &x.floats[pos * tiles_per_row * 2..][..tiles_per_row * 2];
            for pos in (0..x.seq).step_by(2) {
                // Of an odd number, the last but one is computed twice.
                let pos = pos.min(x.seq - 2);
                let sums = two_dots(tiles, half, [position(pos), position(pos + 1)]);
                (0..2).for_each(|i| put(pos + i, sums[i]));
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

/// Four rows, the first or the last of the tiles, times two positions: activations stay in registers from
/// row to row.
#[inline(always)]
fn two_dots<V: Vector, T: Tile>(tiles: &[T], half: usize, x: [&[[f32; 4]]; 2]) -> [V; 2] {
    let mut sums = [[V::splat(0.0); 4]; 2];
    let x = x.map(|x| &x.as_chunks().0[..tiles.len()]);
    for (index, tile) in tiles.iter().enumerate() {
        for row in 0..4 {
            let [w0, w1] = tile.decode::<V>(4 * half + row);
            for (sums, x) in sums.iter_mut().zip(x) {
                let [x0, x1] = &x[index];
                sums[row] = sums[row].madd(w0, V::load(x0)).madd(w1, V::load(x1));
            }
        }
    }
    sums.map(V::sums)
}

/// Four of the eight rows of tiles, as f32 by four columns.
fn expand<V: Vector, T: Tile>(tiles: &[T], half: usize, panel: &mut FloatPanel) {
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
