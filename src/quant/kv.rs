//! How the KV cache stores keys and values.
//!
//! In q8, a row (the key or the value of one head at one position) is cut into pieces of 32 numbers. Each
//! piece is `scale * n` with n in -127..=127 and a scale in bf16, which has the range of f32. A row is
//! written once, when its position is appended: 34 bytes for 32 numbers, 0.52 of f16 with heads of 64.

use std::str::FromStr;

use super::block::BLOCK_COLS;
use super::half::{Bf16x8, bf16_to_f32};
use super::round::{SMALLEST, round};
use super::{TILE_COLS, largest};
use crate::error::{Error, Result};
use ::half::bf16;

/// How keys and values are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum KvDtype {
    /// IEEE single precision: what attention computes with.
    #[default]
    F32,
    /// IEEE half precision, with a power of two for each position and head. It takes half of the memory.
    F16,
    /// Eight bits, with a scale for every 32 numbers of a head. It takes about half of the memory of f16.
    Q8,
}

impl KvDtype {
    /// Every format, the widest first.
    pub const ALL: [KvDtype; 3] = [KvDtype::F32, KvDtype::F16, KvDtype::Q8];

    /// The name, as options spell it.
    pub fn name(self) -> &'static str {
        match self {
            KvDtype::F32 => "f32",
            KvDtype::F16 => "f16",
            KvDtype::Q8 => "q8",
        }
    }

    /// Numbers of a head, padding included.
    pub(crate) fn padded(self, head_dim: usize) -> usize {
        head_dim.next_multiple_of(if self == KvDtype::Q8 { BLOCK_COLS } else { TILE_COLS })
    }

    /// Bytes of one position of one head, keys and values, padding included.
    pub fn position_bytes(self, head_dim: usize) -> u64 {
        let padded = self.padded(head_dim) as u64;
        match self {
            KvDtype::F32 => 2 * 4 * padded,
            KvDtype::F16 => 2 * (2 * padded + 4),
            KvDtype::Q8 => 2 * (padded + 2 * padded / BLOCK_COLS as u64),
        }
    }
}

impl FromStr for KvDtype {
    type Err = Error;

    fn from_str(name: &str) -> Result<KvDtype> {
        KvDtype::ALL.into_iter().find(|dtype| dtype.name() == name).ok_or_else(|| Error::BadOption {
            option: "kvDtype".into(),
            expected: "f32, f16 or q8".into(),
            got: format!("`{name}`"),
        })
    }
}

/// Positions per block of the cache. At 64, a short text wastes little memory, and the keys of one head (16 KB
/// for 64 numbers per head in f32) stay in the processor's L1 cache while all queries read them.
pub const KV_BLOCK: usize = 64;

/// Positions of a [`KvTile`].
pub(crate) const KV_TILE_ROWS: usize = 8;

/// 32 numbers of one head at eight positions, in q8.
///
/// Attention multiplies pairs of 16-bit numbers and adds the two products. For keys, a pair is two columns
/// of one position; for values, it is two positions of one column. So both are stored in quads of 4 x 4
/// numbers: two times four pairs.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct KvTile {
    /// A scale for each position.
    pub scales: Bf16x8,
    /// `values[p / 4][c / 4]` has positions p..p + 4 of columns c..c + 4.
    pub values: [[[i8; 16]; BLOCK_COLS / 4]; 2],
}

/// What a tile is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KvKind {
    Keys,
    Values,
}

/// 32 numbers of a row, as they are stored: the levels, and the bits of the scale.
pub(crate) type KvPiece = ([i8; BLOCK_COLS], u16);

impl KvKind {
    /// Where a position and a column are in their quad.
    fn place(self, pos: usize, column: usize) -> usize {
        let (lane, of_pair) = if self == KvKind::Keys { (pos % 4, column % 4) } else { (column % 4, pos % 4) };
        of_pair / 2 * 8 + lane * 2 + of_pair % 2
    }
}

impl KvTile {
    /// Stores a piece at position `pos` of the tile.
    pub(crate) fn set(&mut self, kind: KvKind, pos: usize, (levels, scale): KvPiece) {
        let (word, shift) = (&mut self.scales.0[pos % 4], pos / 4 * 16);
        *word = *word & !(0xffff << shift) | u32::from(scale) << shift;
        for (column, level) in levels.into_iter().enumerate() {
            self.values[pos / 4][column / 4][kind.place(pos, column)] = level;
        }
    }

    /// The piece at position `pos` of the tile.
    pub(crate) fn get(&self, kind: KvKind, pos: usize) -> KvPiece {
        let scale = (self.scales.0[pos % 4] >> (pos / 4 * 16)) as u16;
        (std::array::from_fn(|column| self.values[pos / 4][column / 4][kind.place(pos, column)]), scale)
    }
}

/// Rounds up to 32 numbers to q8. The scale is rounded up, so that the largest number stays within 127.
pub(crate) fn encode_q8(values: &[f32]) -> KvPiece {
    let max = largest(values);
    let mut levels = [0; BLOCK_COLS];
    if max < SMALLEST || !max.is_finite() {
        // With a NaN for a scale, every product is NaN.
        return (levels, if max.is_finite() { 0 } else { bf16::NAN.to_bits() });
    }
    let scale = (((max / 127.0).to_bits() + 0xffff) >> 16) as u16;
    let inverse = 1.0 / bf16_to_f32(bf16::from_bits(scale));
    levels.iter_mut().zip(values).for_each(|(level, value)| *level = round(value * inverse) as i8);
    (levels, scale)
}

/// The numbers of a piece.
pub(crate) fn decode_q8((levels, scale): KvPiece) -> [f32; BLOCK_COLS] {
    let scale = bf16_to_f32(bf16::from_bits(scale));
    levels.map(|level| scale * f32::from(level))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_position_takes_half_of_f16() {
        let bytes = |head_dim| KvDtype::ALL.map(|dtype| dtype.position_bytes(head_dim));
        assert_eq!(bytes(64), [512, 264, 136]);
        assert_eq!(bytes(128), [1024, 520, 272]);
        assert_eq!(bytes(26), [256, 136, 68]);
        assert_eq!(size_of::<KvTile>(), KV_TILE_ROWS * (BLOCK_COLS + 2));
    }

    #[test]
    fn a_number_changes_by_half_a_level_at_most() {
        for scale in [1e-30, 1e-3, 1.0, 1e30] {
            let values: Vec<f32> = (0..32).map(|i| scale * ((i * 37 % 64) as f32 - 31.7)).collect();
            let max = values.iter().fold(0.0, |max: f32, value| max.max(value.abs()));
            for (value, got) in values.iter().zip(decode_q8(encode_q8(&values))) {
                // Half of the scale, which is rounded up by 2^-7 at most.
                assert!((value - got).abs() <= max / 254.0 * 1.008, "{value} became {got}");
            }
        }
    }

    #[test]
    fn zeros_stay_zeros_and_what_is_not_finite_stays_so() {
        assert_eq!(encode_q8(&[0.0; 32]), ([0; 32], 0));
        assert_eq!(encode_q8(&[1e-36; 3]), ([0; 32], 0));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(decode_q8(encode_q8(&[1.0, bad])).iter().all(|value| value.is_nan()));
        }
        assert!(decode_q8(encode_q8(&[f32::MAX, f32::MIN])).iter().all(|value| value.is_finite()));
    }

    #[test]
    fn a_tile_gives_back_each_piece() {
        for kind in [KvKind::Keys, KvKind::Values] {
            let mut tile = KvTile::default();
            let piece = |pos: usize| (std::array::from_fn(|c| (pos * 32 + c) as u8 as i8), 0x3f80 + pos as u16);
            (0..KV_TILE_ROWS).for_each(|pos| tile.set(kind, pos, piece(pos)));
            (0..KV_TILE_ROWS).for_each(|pos| assert_eq!(tile.get(kind, pos), piece(pos)));
        }
    }
}
