//! Attention over q8, against the specification.

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::super::{QueryBlock, dot_tiles, round_query, scalar, weighted_tiles};
use super::{Random, assert_close, bits, vectors};
use crate::quant::{KV_TILE_ROWS, KvKind, KvTile, decode_q8, encode_q8};

/// Rows in q8: their tiles, and the numbers that they stand for.
fn stored(kind: KvKind, values: &[f32], cols: usize) -> (Vec<KvTile>, Vec<f32>) {
    let wide = cols / 32;
    let mut tiles = vec![KvTile::default(); (values.len() / cols).div_ceil(KV_TILE_ROWS) * wide];
    let mut decoded = Vec::new();
    for (row, values) in values.chunks(cols).enumerate() {
        for (block, values) in values.chunks(32).enumerate() {
            let piece = encode_q8(values);
            decoded.extend(decode_q8(piece));
            tiles[row / KV_TILE_ROWS * wide + block].set(kind, row % KV_TILE_ROWS, piece);
        }
    }
    (tiles, decoded)
}

fn rounded(query: &[f32]) -> Vec<QueryBlock> {
    let mut out = vec![QueryBlock::default(); query.len() / 32];
    round_query(&vectors(query, query.len()), &mut out);
    out
}

/// A rounded number differs by half of 2^-15 of the largest one at most: that many units of 2^-23.
const ROUNDED: usize = 128;

#[test]
fn dot_tiles_is_the_specification_for_both_queries() {
    let mut random = Random(21);
    for cols in [32, 64, 96, 128, 256] {
        for count in [8, 16, 64] {
            let (tiles, keys) = stored(KvKind::Keys, &random.values(count * cols), cols);
            let x = [random.values(cols), random.values(cols)];
            let [xa, xb] = [rounded(&x[0]), rounded(&x[1])];
            let [mut a, mut b] = [vec![f32::NAN; count], vec![f32::NAN; count]];
            dot_tiles(&tiles, [&xa, &xb], [&mut a, &mut b]);
            for (x, out) in x.iter().zip([&a, &b]) {
                // Magnitudes with the largest number of the query for each.
                let expected = scalar::matmul(&keys, x, cols, 1, count).into_iter().map(|(value, _)| value);
                let magnitudes = keys.chunks(cols).map(|key| key.iter().map(|k| f64::from(k.abs())).sum::<f64>());
                let expected: Vec<_> = expected.zip(magnitudes).collect();
                assert_close(&format!("{count} keys of {cols}"), ROUNDED + 8, out, &expected);
            }
            let mut alone = vec![f32::NAN; count];
            dot_tiles(&tiles, [&xb], [&mut alone]);
            assert_eq!(bits(&alone), bits(&b), "{count} keys of {cols}, one query or two");
            let mut first = [f32::NAN; KV_TILE_ROWS];
            dot_tiles(&tiles[..cols / 32], [&xb], [&mut first]);
            assert_eq!(bits(&first), bits(&b[..KV_TILE_ROWS]), "one tile of {cols}, or {count} keys");
        }
    }
}

#[test]
fn weighted_tiles_is_the_specification_for_every_part_of_a_block() {
    let mut random = Random(22);
    for cols in [32, 64, 128] {
        let (tiles, values) = stored(KvKind::Values, &random.values(64 * cols), cols);
        let weights: Vec<f32> = random.values(64).iter().map(|weight| weight.abs()).collect();
        let before = random.values(cols);
        for seen in [0..64, 0..1, 0..7, 3..8, 8..16, 13..14, 13..63, 63..64] {
            let mut out = vectors(&before, cols);
            weighted_tiles(&tiles, &weights, seen.clone(), &mut out);
            let expected = scalar::weighted_sum(&values[seen.start * cols..seen.end * cols], &weights[seen.clone()], &before);
            // Each product may be off by 2^-16 of the largest.
            let expected: Vec<_> = expected.into_iter().map(|(value, _)| (value, seen.len() as f64 + 1.0)).collect();
            assert_close(&format!("values of {cols}, {seen:?}"), ROUNDED, out.as_flattened(), &expected);
            // Fewer tiles around the same positions give the same bits.
            let few = seen.start / 8..seen.end.div_ceil(8);
            let mut again = vectors(&before, cols);
            let at = 8 * few.start;
            let tiles = &tiles[few.start * cols / 32..few.end * cols / 32];
            weighted_tiles(tiles, &weights[at..8 * few.end], seen.start - at..seen.end - at, &mut again);
            assert_eq!(again, out, "values of {cols}, {seen:?}");
        }
    }
}

#[test]
fn what_is_not_finite_stays_so_and_unseen_positions_do_not_matter() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut rows = vec![0.5; 8 * 32];
        rows[6 * 32 + 3] = bad;
        let (keys, _) = stored(KvKind::Keys, &rows, 32);
        let mut scores = [0.0; 8];
        dot_tiles(&keys, [&rounded(&[1.0; 32])], [&mut scores]);
        assert!((0..8).all(|pos| scores[pos].is_finite() == (pos != 6)), "{bad}: {scores:?}");
        let (values, _) = stored(KvKind::Values, &rows, 32);
        for (seen, is_finite) in [(0..6, true), (7..8, true), (5..7, false), (6..8, false)] {
            let mut out = vec![[0.0; 4]; 8];
            weighted_tiles(&values, &[1.0; 8], seen, &mut out);
            assert!(out.as_flattened().iter().all(|out| out.is_finite() == is_finite), "{bad}: {out:?}");
        }
        let (keys, _) = stored(KvKind::Keys, &[0.5; 8 * 32], 32);
        let mut query = [1.0; 32];
        query[9] = bad;
        dot_tiles(&keys, [&rounded(&query)], [&mut scores]);
        assert!(scores.iter().all(|score| !score.is_finite()), "{bad}: {scores:?}");
    }
}

/// These products are never fused, so relaxed SIMD gives the same bits too.
#[test]
fn every_implementation_gives_these_bits_over_q8() {
    let mut random = Random(23);
    let mut hash = 0xcbf2_9ce4_8422_2325_u64; // FNV-1a
    for cols in [32, 64, 128] {
        let (keys, _) = stored(KvKind::Keys, &random.values(64 * cols), cols);
        let (values, _) = stored(KvKind::Values, &random.values(64 * cols), cols);
        let (mut scores, mut out) = ([0.0; 64], vec![[0.0; 4]; cols / 4]);
        dot_tiles(&keys, [&rounded(&random.values(cols))], [&mut scores]);
        weighted_tiles(&values, &scores, 5..61, &mut out);
        for value in scores.iter().chain(out.as_flattened()) {
            hash = (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3);
        }
    }
    assert_eq!(hash, 0xef28_6c39_4da8_6e54, "{hash:#018x}");
}
