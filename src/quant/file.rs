//! How a weight file writes numbers, and how they become f32.

use ::half::{bf16, f16};

use super::half::{bf16_to_f32, f16_to_f32};
use super::{BLOCK_COLS, Format, Ggml};

/// How a weight file writes numbers. [`Format`] is how a matrix is stored in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileDtype {
    /// IEEE double precision, rounded to single when it is read.
    F64,
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    Bf16,
    /// Integers with scales, in blocks of columns.
    Blocks(Ggml),
}

impl FileDtype {
    /// True for single numbers of 16 or 32 bits.
    pub(crate) fn is_float(self) -> bool {
        matches!(self, FileDtype::F32 | FileDtype::F16 | FileDtype::Bf16)
    }

    /// Bytes of `len` numbers, which are whole blocks.
    pub(crate) fn bytes(self, len: usize) -> usize {
        match self {
            FileDtype::F64 => 8 * len,
            FileDtype::F32 => 4 * len,
            FileDtype::F16 | FileDtype::Bf16 => 2 * len,
            FileDtype::Blocks(ggml) => {
                let (cols, bytes) = ggml.block();
                len / cols * bytes
            }
        }
    }

    /// The format in which a matrix of such numbers is stored where the caller asks for none.
    pub(crate) fn storage(self) -> Format {
        match self {
            FileDtype::F64 | FileDtype::F32 => Format::F32,
            FileDtype::F16 => Format::F16,
            FileDtype::Bf16 => Format::Bf16,
            FileDtype::Blocks(ggml) => ggml.storage(),
        }
    }

    /// Reads little-endian numbers.
    ///
    /// Shapes: `bytes` (those of at least len numbers), `out` (len, whole blocks).
    pub(crate) fn widen(self, bytes: &[u8], out: &mut [f32]) {
        match self {
            FileDtype::F64 => out.iter_mut().zip(bytes.as_chunks().0).for_each(|(out, &value)| *out = f64::from_le_bytes(value) as f32),
            FileDtype::F32 => out.iter_mut().zip(bytes.as_chunks().0).for_each(|(out, &value)| *out = f32::from_le_bytes(value)),
            FileDtype::F16 => {
                out.iter_mut().zip(bytes.as_chunks().0).for_each(|(out, &value)| *out = f16_to_f32(f16::from_le_bytes(value)))
            }
            FileDtype::Bf16 => {
                out.iter_mut().zip(bytes.as_chunks().0).for_each(|(out, &value)| *out = bf16_to_f32(bf16::from_le_bytes(value)));
            }
            FileDtype::Blocks(ggml) => ggml.levels(&bytes[..self.bytes(out.len())], &mut |index, levels| {
                out[index * BLOCK_COLS..][..BLOCK_COLS].copy_from_slice(&levels.values());
            }),
        }
    }

    /// Whether every number is finite as an f32. The others have all bits of the exponent set.
    pub(crate) fn is_finite(self, bytes: &[u8]) -> bool {
        // Every number is looked at, whatever the first says: LLVM makes vector instructions of such a loop
        // alone.
        let sixteen = |exponent: u16| {
            let bad = |bad, &value: &[u8; 2]| bad | (u16::from_le_bytes(value) & exponent == exponent);
            !bytes.as_chunks().0.iter().fold(false, bad)
        };
        match self {
            FileDtype::F64 => bytes.as_chunks().0.iter().fold(true, |good, &value| good & (f64::from_le_bytes(value) as f32).is_finite()),
            FileDtype::F32 => {
                let bad = |bad, &value: &[u8; 4]| bad | (u32::from_le_bytes(value) & 0x7f80_0000 == 0x7f80_0000);
                !bytes.as_chunks().0.iter().fold(false, bad)
            }
            FileDtype::F16 => sixteen(0x7c00),
            FileDtype::Bf16 => sixteen(0x7f80),
            FileDtype::Blocks(ggml) => ggml.is_finite(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_largest_finite_number_of_each_format_passes_and_the_next_does_not() {
        let formats =
            [(FileDtype::F32, 0x7f7f_ffff_u64), (FileDtype::F16, 0x7bff), (FileDtype::Bf16, 0x7f7f), (FileDtype::F64, LARGEST_AS_SINGLE)];
        for (dtype, largest) in formats {
            let size = dtype.bytes(1);
            let sign = 1 << (8 * size - 1);
            let row = |last: u64| [&[0; 24][..], &last.to_le_bytes()[..size]].concat();
            let is_finite = |last: u64| dtype.is_finite(&row(last));
            assert!(is_finite(largest) && is_finite(largest | sign) && is_finite(0), "{dtype:?}");
            assert!(!is_finite(largest + 1) && !is_finite((largest + 1) | sign) && !is_finite(largest + 2), "{dtype:?}");
        }
    }

    /// The largest f64 that rounds to a finite f32: the next is halfway between the largest f32 and 2^128.
    const LARGEST_AS_SINGLE: u64 = 0x47ef_ffff_efff_ffff;
}
