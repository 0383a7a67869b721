//! The vocabulary in plain Rust, for every target that has nothing better; compilers turn it into vector
//! instructions.

use super::product::LEVELS;
use super::vector::{Rounded, Vector};

/// The name of this implementation.
pub(super) const NAME: &str = "portable";

/// Four lanes of f32.
#[derive(Debug, Clone, Copy)]
pub(super) struct F32x4([f32; 4]);

impl F32x4 {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let (a, b) = (self.0, other.0);
        F32x4([f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])])
    }

    #[inline(always)]
    fn from_bits(f: impl Fn(usize) -> u32) -> Self {
        F32x4([f32::from_bits(f(0)), f32::from_bits(f(1)), f32::from_bits(f(2)), f32::from_bits(f(3))])
    }
}

impl Vector for F32x4 {
    type Int = [i32; 4];
    type Pairs = [[i16; 2]; 4];
    type Bytes = ();

    const FEW_FLOATS: usize = 2;
    const PANEL_NIBBLES: bool = true;
    const NIBBLE_LEVELS: f32 = LEVELS;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        F32x4([value; 4])
    }

    #[inline(always)]
    fn load(values: &[f32; 4]) -> Self {
        F32x4(*values)
    }

    #[inline(always)]
    fn store(self, out: &mut [f32; 4]) {
        *out = self.0;
    }

    #[inline(always)]
    fn load_f16(pairs: &[u32; 4]) -> [Self; 2] {
        let place = |bits: u32| (bits as i32 >> 3) as u32 & 0x8fff_e000;
        [Self::from_bits(|i| place(pairs[i] << 16)), Self::from_bits(|i| place(pairs[i]))]
    }

    #[inline(always)]
    fn load_bf16(pairs: &[u32; 4]) -> [Self; 2] {
        [Self::from_bits(|i| pairs[i] << 16), Self::from_bits(|i| pairs[i] & 0xffff_0000)]
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }

    #[inline(always)]
    fn madd(self, a: Self, b: Self) -> Self {
        self.add(a.mul(b))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { b } else { a })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if b < a { b } else { a })
    }

    // Out of line: if LLVM sees the sums and the loop before them together, it makes one vector of the first
    // lanes of all four, and transposes everything that the loop loads (half the speed on x86-64 with LLVM
    // 22).
    #[inline(never)]
    fn sums(vectors: [Self; 4]) -> Self {
        F32x4(vectors.map(|v| (v.0[0] + v.0[2]) + (v.0[1] + v.0[3])))
    }

    #[inline(always)]
    fn half_pow2(self) -> Self {
        Self::from_bits(|i| (self.0[i].to_bits() << 23).wrapping_add(126 << 23))
    }

    #[inline(always)]
    fn round(low: Self, high: Self) -> [i16; 8] {
        // Beside 1.5 * 2^23 the unit in the last place is 1.
        const ROUND: f32 = 12_582_912.0;
        let round = |value: f32| (value + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i16;
        std::array::from_fn(|i| round(if i < 4 { low.0[i] } else { high.0[i - 4] }))
    }

    #[inline(always)]
    fn int_zero() -> [i32; 4] {
        [0; 4]
    }

    #[inline(always)]
    fn widen_bytes(values: &[i8; 16]) -> [[[i16; 2]; 4]; 2] {
        std::array::from_fn(|pair| std::array::from_fn(|row| [0, 1].map(|i| i16::from(values[row * 4 + pair * 2 + i]))))
    }

    #[inline(always)]
    fn widen_nibbles(words: &[u32; 4]) -> [[[i16; 2]; 4]; 4] {
        let value = |word: u32, shift: usize| (word >> shift & 0xf) as i16;
        std::array::from_fn(|pair| words.map(|word| [value(word, 4 * pair), value(word, 16 + 4 * pair)]))
    }

    #[inline(always)]
    fn store_pairs(pairs: [[i16; 2]; 4], out: &mut [[i16; 2]; 4]) {
        *out = pairs;
    }

    #[inline(always)]
    fn load_pairs(values: &[[i16; 2]; 4]) -> [[i16; 2]; 4] {
        *values
    }

    #[inline(always)]
    fn splat_pair(values: &[i16; 2]) -> [[i16; 2]; 4] {
        [*values; 4]
    }

    #[inline(always)]
    fn dot_pairs(sum: [i32; 4], a: [[i16; 2]; 4], b: [[i16; 2]; 4]) -> [i32; 4] {
        std::array::from_fn(|i| sum[i] + i32::from(a[i][0]) * i32::from(b[i][0]) + i32::from(a[i][1]) * i32::from(b[i][1]))
    }

    #[inline(always)]
    fn widen_i8(values: &[i8; 16]) -> [[[i16; 2]; 4]; 2] {
        std::array::from_fn(|half| std::array::from_fn(|pair| [0, 1].map(|i| i16::from(values[half * 8 + pair * 2 + i]))))
    }

    #[inline(always)]
    fn from_int(int: [i32; 4]) -> Self {
        F32x4(int.map(|lane| lane as f32))
    }

    #[inline(always)]
    fn bytes_for_nibbles(_: &[[i16; 2]; 16]) {}

    #[inline(always)]
    fn dots_bytes<const N: usize, const FIRST: usize, const LAST: usize>(codes: &[[i8; 16]; 8], x: [&Rounded<Self>; N]) -> [Self; N] {
        let mut sums = [[0; 4]; N];
        for (values, step) in codes[4 * FIRST..4 * LAST].iter().zip(4 * FIRST..) {
            let weights: [_; 2] =
                std::array::from_fn(|half| std::array::from_fn(|row| [0, 1].map(|i| i16::from(values[row * 4 + half * 2 + i]))));
            for (sum, x) in sums.iter_mut().zip(x) {
                for (weights, pair) in weights.into_iter().zip(&x.pairs.as_chunks::<2>().0[step]) {
                    *sum = Self::dot_pairs(*sum, weights, [*pair; 4]);
                }
            }
        }
        sums.map(Self::from_int)
    }

    #[inline(always)]
    fn dots_nibbles<const N: usize, const FIRST: usize, const LAST: usize>(codes: &[[u32; 4]; 4], x: [&Rounded<Self>; N]) -> [Self; N] {
        let mut sums = [[0; 4]; N];
        for (words, step) in codes[2 * FIRST..2 * LAST].iter().zip(2 * FIRST..) {
            let weights: [_; 4] =
                std::array::from_fn(|nibble| words.map(|word| [0, 16].map(|half| (word >> (4 * nibble + half) & 0xf) as i16)));
            for (sum, x) in sums.iter_mut().zip(x) {
                for (weights, pair) in weights.into_iter().zip(&x.pairs.as_chunks::<4>().0[step]) {
                    *sum = Self::dot_pairs(*sum, weights, [*pair; 4]);
                }
            }
        }
        sums.map(Self::from_int)
    }
}
