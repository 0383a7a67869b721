//! The blocks in which GGUF files store quantised weights, read as integers with their scales.
//!
//! Nothing is rounded here: scale, offset and level of each weight are those of the file.
//!
//! Source: ggml, `ggml-common.h` (layouts) and `ggml-quants.c` (`dequantize_row_*`). The tests compare every
//! format with the Python package `gguf` 0.19.

use ::half::f16;

use super::Format;
use super::block::{BLOCK_COLS, Factor, HALF_COLS, Levels};

/// A block format of ggml.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ggml {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
    Iq4Nl,
    Mxfp4,
}

/// Columns of a block of the K formats.
const K_COLS: usize = 256;

/// The levels that the codes of IQ4_NL stand for.
const IQ4_NL: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Twice the numbers of FP4 (E2M1). Source: OCP Microscaling Formats 1.0, section 5.3.3.
pub(super) const FP4: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

impl Ggml {
    /// Every format.
    pub(crate) const ALL: [Ggml; 12] = [
        Ggml::Q4_0,
        Ggml::Q4_1,
        Ggml::Q5_0,
        Ggml::Q5_1,
        Ggml::Q8_0,
        Ggml::Q2K,
        Ggml::Q3K,
        Ggml::Q4K,
        Ggml::Q5K,
        Ggml::Q6K,
        Ggml::Iq4Nl,
        Ggml::Mxfp4,
    ];

    /// Its name in ggml, and its number in a GGUF file.
    pub(crate) fn name_and_number(self) -> (&'static str, u32) {
        match self {
            Ggml::Q4_0 => ("Q4_0", 2),
            Ggml::Q4_1 => ("Q4_1", 3),
            Ggml::Q5_0 => ("Q5_0", 6),
            Ggml::Q5_1 => ("Q5_1", 7),
            Ggml::Q8_0 => ("Q8_0", 8),
            Ggml::Q2K => ("Q2_K", 10),
            Ggml::Q3K => ("Q3_K", 11),
            Ggml::Q4K => ("Q4_K", 12),
            Ggml::Q5K => ("Q5_K", 13),
            Ggml::Q6K => ("Q6_K", 14),
            Ggml::Iq4Nl => ("IQ4_NL", 20),
            Ggml::Mxfp4 => ("MXFP4", 39),
        }
    }

    /// Columns and bytes of a block.
    pub(crate) fn block(self) -> (usize, usize) {
        match self {
            Ggml::Q4_0 | Ggml::Iq4Nl => (BLOCK_COLS, 18),
            Ggml::Q4_1 => (BLOCK_COLS, 20),
            Ggml::Q5_0 => (BLOCK_COLS, 22),
            Ggml::Q5_1 => (BLOCK_COLS, 24),
            Ggml::Q8_0 => (BLOCK_COLS, 34),
            Ggml::Mxfp4 => (BLOCK_COLS, 17),
            Ggml::Q2K => (K_COLS, 84),
            Ggml::Q3K => (K_COLS, 110),
            Ggml::Q4K => (K_COLS, 144),
            Ggml::Q5K => (K_COLS, 176),
            Ggml::Q6K => (K_COLS, 210),
        }
    }

    /// The format that holds its weights exactly.
    pub(crate) fn storage(self) -> Format {
        match self {
            Ggml::Q4_0 | Ggml::Q4_1 => Format::Q4,
            Ggml::Q4K => Format::Q4Wide,
            Ggml::Q2K | Ggml::Q3K => Format::Q4Fine,
            Ggml::Q5_0 | Ggml::Q8_0 | Ggml::Iq4Nl | Ggml::Mxfp4 => Format::Q8,
            Ggml::Q5_1 | Ggml::Q5K => Format::Q8Wide,
            Ggml::Q6K => Format::Q8Fine,
        }
    }

    /// Reads whole blocks, and passes 32 columns at a time to `put`, with their number.
    pub(super) fn levels(self, bytes: &[u8], put: &mut dyn FnMut(usize, Levels)) {
        let (cols, size) = self.block();
        for (index, block) in bytes.chunks_exact(size).enumerate() {
            let first = index * cols / BLOCK_COLS;
            if cols == BLOCK_COLS {
                put(first, self.small_block(block));
            } else {
                (0..K_COLS / BLOCK_COLS).for_each(|part| put(first + part, self.k_part(block, part)));
            }
        }
    }

    /// Whether the scales of all blocks are finite.
    pub(super) fn is_finite(self, bytes: &[u8]) -> bool {
        let places: &[usize] = match self {
            Ggml::Q4_0 | Ggml::Iq4Nl | Ggml::Q5_0 | Ggml::Q8_0 => &[0],
            Ggml::Q4_1 | Ggml::Q5_1 | Ggml::Q4K | Ggml::Q5K => &[0, 2],
            Ggml::Q2K => &[80, 82],
            Ggml::Q3K => &[108],
            Ggml::Q6K => &[208],
            Ggml::Mxfp4 => return bytes.chunks_exact(self.block().1).all(|block| block[0] != u8::MAX),
        };
        bytes.chunks_exact(self.block().1).all(|block| places.iter().all(|&at| half(block, at).is_finite()))
    }

    /// A block of 32 columns.
    fn small_block(self, block: &[u8]) -> Levels {
        let d = half(block, 0);
        match self {
            Ggml::Q4_0 => Levels::with(nibbles(&block[2..]), d, -8.0 * d),
            Ggml::Q4_1 => Levels::with(nibbles(&block[2 + 2..]), d, half(block, 2)),
            Ggml::Q5_0 => Levels::with(five_bits(&block[2..]).map(|level| level - 16), d, 0.0),
            Ggml::Q5_1 => Levels::with(five_bits(&block[2 + 2..]), d, half(block, 2)),
            Ggml::Q8_0 => Levels::with(std::array::from_fn(|c| block[2 + c] as i8), d, 0.0),
            Ggml::Iq4Nl => Levels::with(nibbles(&block[2..]).map(|code| IQ4_NL[code as usize]), d, 0.0),
            // The scale is 2^(e - 127); half of it, as the table holds the numbers twice.
            _ => Levels::with(nibbles(&block[1..]).map(|code| FP4[code as usize]), libm::exp2f(f32::from(block[0]) - 128.0), 0.0),
        }
    }

    /// 32 of the 256 columns of a block of the K formats.
    fn k_part(self, block: &[u8], part: usize) -> Levels {
        match self {
            Ggml::Q2K => q2_k(block, part),
            Ggml::Q3K => q3_k(block, part),
            Ggml::Q4K => {
                let (d, min, scales, codes) = (half(block, 0), half(block, 2), &block[4..16], &block[16..]);
                let (scale, offset) = scale_and_min(scales, part);
                Levels::with(nibbles_of_64(codes, part), d * scale, -(min * offset))
            }
            Ggml::Q5K => {
                let (d, min, scales, high, codes) = (half(block, 0), half(block, 2), &block[4..16], &block[16..48], &block[48..]);
                let (scale, offset) = scale_and_min(scales, part);
                let mut levels = nibbles_of_64(codes, part);
                levels.iter_mut().zip(high).for_each(|(level, high)| *level |= ((high >> part & 1) << 4) as i8);
                Levels::with(levels, d * scale, -(min * offset))
            }
            _ => q6_k(block, part),
        }
    }
}

/// The f16 at a place of a block.
fn half(block: &[u8], at: usize) -> f32 {
    super::half::f16_to_f32(f16::from_le_bytes([block[at], block[at + 1]]))
}

/// 16 bytes: the low nibbles are the first 16 columns, the high nibbles the others.
fn nibbles(codes: &[u8]) -> [i8; BLOCK_COLS] {
    std::array::from_fn(|c| (codes[c % 16] >> (c / 16 * 4) & 0xf) as i8)
}

/// The fifth bits of 32 columns, then their [`nibbles`].
fn five_bits(codes: &[u8]) -> [i8; BLOCK_COLS] {
    let (fifth, codes) = codes.split_at(4);
    let mut levels = nibbles(codes);
    levels.iter_mut().enumerate().for_each(|(c, level)| *level |= ((fifth[c / 8] >> (c % 8) & 1) << 4) as i8);
    levels
}

/// Of 64 columns in 32 bytes, the low nibbles are the even part, the high nibbles the odd part.
fn nibbles_of_64(codes: &[u8], part: usize) -> [i8; BLOCK_COLS] {
    let codes = &codes[part / 2 * 32..];
    std::array::from_fn(|c| (codes[c] >> (part % 2 * 4) & 0xf) as i8)
}

/// Eight scales and eight minima of six bits in twelve bytes.
fn scale_and_min(packed: &[u8], part: usize) -> (f32, f32) {
    let (scale, min) = if part < 4 {
        (packed[part] & 63, packed[part + 4] & 63)
    } else {
        let low = packed[part + 4];
        (low & 0xf | packed[part - 4] >> 6 << 4, low >> 4 | packed[part] >> 6 << 4)
    };
    (f32::from(scale), f32::from(min))
}

/// Two bits of 32 columns: each byte holds four columns, 32 apart.
fn two_bits(codes: &[u8], part: usize) -> [i8; BLOCK_COLS] {
    let codes = &codes[part / 4 * 32..];
    std::array::from_fn(|c| (codes[c] >> (part % 4 * 2) & 3) as i8)
}

fn q2_k(block: &[u8], part: usize) -> Levels {
    let (scales, codes, d, min) = (&block[..16], &block[16..80], half(block, 80), half(block, 82));
    let factors = [0, 1].map(|half| {
        let packed = scales[2 * part + half];
        Factor { scale: d * f32::from(packed & 0xf), offset: -(min * f32::from(packed >> 4)) }
    });
    Levels { levels: two_bits(codes, part), factors }
}

fn q3_k(block: &[u8], part: usize) -> Levels {
    let (high, codes, scales, d) = (&block[..32], &block[32..96], &block[96..108], half(block, 108));
    let mut levels = two_bits(codes, part);
    levels.iter_mut().zip(high).for_each(|(level, high)| *level |= ((high >> part & 1) << 2) as i8);
    let factors = [0, 1].map(|half| {
        // Sixteen scales of six bits: their low nibbles, then their high bits, four to a byte.
        let index = 2 * part + half;
        let low = scales[index % 8] >> (index / 8 * 4) & 0xf;
        let high = scales[8 + index % 4] >> (index / 4 * 2) & 3;
        let scale = d * (f32::from(low | high << 4) - 32.0);
        Factor { scale, offset: -4.0 * scale }
    });
    Levels { levels, factors }
}

fn q6_k(block: &[u8], part: usize) -> Levels {
    let (low, high, scales, d) = (&block[..128], &block[128..192], &block[192..208], half(block, 208));
    // 128 columns in 64 low and 32 high bytes: four parts, of which two share a low byte.
    let (side, quarter) = (part / 4, part % 4);
    let (low, high) = (&low[side * 64 + quarter % 2 * 32..], &high[side * 32..]);
    let level = |c: usize| (low[c] >> (quarter / 2 * 4) & 0xf | (high[c] >> (quarter * 2) & 3) << 4) as i8 - 32;
    let factors = [0, 1].map(|half| Factor { scale: d * f32::from(scales[2 * part + half] as i8), offset: 0.0 });
    Levels { levels: std::array::from_fn(level), factors }
}

const _: () = assert!(K_COLS.is_multiple_of(BLOCK_COLS) && BLOCK_COLS == 2 * HALF_COLS);
