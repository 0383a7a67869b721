//! The vocabulary in WebAssembly's 128-bit SIMD, and where the build allows it, relaxed SIMD.
//!
//! Relaxed SIMD changes two words: [`Vector::madd`] is fused, and products of 8-bit integers are one
//! instruction. That one is exact, and the same on every processor, only where the second operand lies in
//! 0..=127 and no sum of two products leaves 16 bits. Nibbles are such operands, and the activations beside
//! them have 8 bits. For codes of 8 bits it would take more instructions than products of 16 bits do.

#![allow(unsafe_code)]

use core::arch::wasm32::*;

#[cfg(not(target_feature = "relaxed-simd"))]
use super::product::LEVELS;
use super::vector::{Rounded, Vector};

/// The name of this implementation.
pub(super) const NAME: &str = if cfg!(target_feature = "relaxed-simd") { "relaxed" } else { "simd128" };

/// Four lanes of f32.
#[derive(Debug, Clone, Copy)]
pub(super) struct F32x4(v128);

/// Types of which every bit pattern of `size_of` bytes may be read as a vector.
trait Plain: Copy {}
impl Plain for f32 {}
impl Plain for u32 {}
impl Plain for i8 {}
impl Plain for i16 {}
impl Plain for [i16; 2] {}

/// Sixteen bytes.
#[inline(always)]
fn load<T: Plain, const N: usize>(values: &[T; N]) -> v128 {
    const { assert!(size_of::<T>() * N == 16) };
    // SAFETY: the reference is to 16 readable bytes, and the load needs no alignment.
    unsafe { v128_load(values.as_ptr().cast()) }
}

/// Four bytes, four times.
#[inline(always)]
fn splat_32<T: Plain, const N: usize>(values: &[T; N]) -> v128 {
    const { assert!(size_of::<T>() * N == 4) };
    // SAFETY: the reference is to 4 readable bytes, and the load needs no alignment.
    unsafe { v128_load32_splat(values.as_ptr().cast()) }
}

/// Eight bytes, twice.
#[inline(always)]
fn splat_64<T: Plain, const N: usize>(values: &[T; N]) -> v128 {
    const { assert!(size_of::<T>() * N == 8) };
    // SAFETY: the reference is to 8 readable bytes, and the load needs no alignment.
    unsafe { v128_load64_splat(values.as_ptr().cast()) }
}

/// Sixteen bytes to memory.
#[inline(always)]
fn store<T: Plain, const N: usize>(out: &mut [T; N], vector: v128) {
    const { assert!(size_of::<T>() * N == 16) };
    // SAFETY: the reference is to 16 bytes that only we may write, and the store needs no alignment.
    unsafe { v128_store(out.as_mut_ptr().cast(), vector) }
}

/// The nibbles of every 16-bit half, the lowest of each first.
#[inline(always)]
fn nibbles(words: v128) -> [v128; 4] {
    [words, u16x8_shr(words, 4), u16x8_shr(words, 8), u16x8_shr(words, 12)].map(|words| v128_and(words, u16x8_splat(0x000f)))
}

impl Vector for F32x4 {
    type Int = v128;
    type Pairs = v128;
    #[cfg(target_feature = "relaxed-simd")]
    type Bytes = [[i8; 4]; 8];
    #[cfg(not(target_feature = "relaxed-simd"))]
    type Bytes = ();

    const FEW_FLOATS: usize = if cfg!(target_feature = "relaxed-simd") { 4 } else { 1 };
    const PANEL_NIBBLES: bool = !cfg!(target_feature = "relaxed-simd");
    #[cfg(target_feature = "relaxed-simd")]
    const NIBBLE_LEVELS: f32 = 127.0;
    #[cfg(not(target_feature = "relaxed-simd"))]
    const NIBBLE_LEVELS: f32 = LEVELS;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        F32x4(f32x4_splat(value))
    }

    #[inline(always)]
    fn load(values: &[f32; 4]) -> Self {
        F32x4(load(values))
    }

    #[inline(always)]
    fn store(self, out: &mut [f32; 4]) {
        store(out, self.0);
    }

    #[inline(always)]
    fn load_f16(pairs: &[u32; 4]) -> [Self; 2] {
        let pairs = load(pairs);
        let place = |bits: v128| F32x4(v128_and(i32x4_shr(bits, 3), u32x4_splat(0x8fff_e000)));
        [place(i32x4_shl(pairs, 16)), place(pairs)]
    }

    #[inline(always)]
    fn load_bf16(pairs: &[u32; 4]) -> [Self; 2] {
        let pairs = load(pairs);
        [F32x4(i32x4_shl(pairs, 16)), F32x4(v128_and(pairs, u32x4_splat(0xffff_0000)))]
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        F32x4(f32x4_add(self.0, other.0))
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        F32x4(f32x4_sub(self.0, other.0))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        F32x4(f32x4_mul(self.0, other.0))
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        F32x4(f32x4_div(self.0, other.0))
    }

    #[inline(always)]
    fn madd(self, a: Self, b: Self) -> Self {
        #[cfg(target_feature = "relaxed-simd")]
        return F32x4(f32x4_relaxed_madd(a.0, b.0, self.0));
        #[cfg(not(target_feature = "relaxed-simd"))]
        self.add(a.mul(b))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        F32x4(f32x4_pmax(self.0, other.0))
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        F32x4(f32x4_pmin(self.0, other.0))
    }

    #[inline(always)]
    fn sums(vectors: [Self; 4]) -> Self {
        let [a, b, c, d] = vectors.map(|v| v.0);
        let ab = f32x4_add(i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b)); // a0+a2 b0+b2 a1+a3 b1+b3
        let cd = f32x4_add(i32x4_shuffle::<0, 4, 1, 5>(c, d), i32x4_shuffle::<2, 6, 3, 7>(c, d));
        F32x4(f32x4_add(i64x2_shuffle::<0, 2>(ab, cd), i64x2_shuffle::<1, 3>(ab, cd)))
    }

    #[inline(always)]
    fn half_pow2(self) -> Self {
        F32x4(i32x4_add(i32x4_shl(self.0, 23), i32x4_splat(126 << 23)))
    }

    #[inline(always)]
    fn round(low: Self, high: Self) -> [i16; 8] {
        // Beside 1.5 * 2^23 the unit in the last place is 1.
        let round = |value: v128| i32x4_sub(f32x4_add(value, f32x4_splat(12_582_912.0)), i32x4_splat(0x4b40_0000));
        let mut out = [0; 8];
        store(&mut out, i16x8_narrow_i32x4(round(low.0), round(high.0)));
        out
    }

    #[inline(always)]
    fn int_zero() -> v128 {
        i32x4_splat(0)
    }

    #[inline(always)]
    fn widen_bytes(values: &[i8; 16]) -> [v128; 2] {
        let values = load(values);
        let sorted = i8x16_shuffle::<0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15>(values, values);
        [i16x8_extend_low_i8x16(sorted), i16x8_extend_high_i8x16(sorted)]
    }

    #[inline(always)]
    fn widen_nibbles(words: &[u32; 4]) -> [v128; 4] {
        nibbles(load(words))
    }

    #[inline(always)]
    fn store_pairs(pairs: v128, out: &mut [[i16; 2]; 4]) {
        store(out, pairs);
    }

    #[inline(always)]
    fn load_pairs(values: &[[i16; 2]; 4]) -> v128 {
        load(values)
    }

    #[inline(always)]
    fn splat_pair(values: &[i16; 2]) -> v128 {
        splat_32(values)
    }

    #[inline(always)]
    fn dot_pairs(sum: v128, a: v128, b: v128) -> v128 {
        i32x4_add(sum, i32x4_dot_i16x8(a, b))
    }

    #[inline(always)]
    fn widen_i8(values: &[i8; 16]) -> [v128; 2] {
        let values = load(values);
        [i16x8_extend_low_i8x16(values), i16x8_extend_high_i8x16(values)]
    }

    #[inline(always)]
    fn from_int(int: v128) -> Self {
        F32x4(f32x4_convert_i32x4(int))
    }

    #[cfg(not(target_feature = "relaxed-simd"))]
    #[inline(always)]
    fn bytes_for_nibbles(_: &[[i16; 2]; 16]) {}

    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    fn bytes_for_nibbles(pairs: &[[i16; 2]; 16]) -> [[i8; 4]; 8] {
        // The low nibbles of a word's bytes are the columns 0, 4, 1, 5 of eight, the high ones 2, 6, 3, 7.
        std::array::from_fn(|i| {
            let (even, odd) = (pairs[i / 2 * 4 + i % 2], pairs[i / 2 * 4 + i % 2 + 2]);
            [even[0], odd[0], even[1], odd[1]].map(|value| value as i8)
        })
    }

    #[inline(always)]
    fn dots_bytes<const N: usize, const FIRST: usize, const LAST: usize>(codes: &[[i8; 16]; 8], x: [&Rounded<Self>; N]) -> [Self; N] {
        // Four columns of rows 0 and 1, and of rows 2 and 3: two lanes a row.
        let mut sums = [[i32x4_splat(0); 2]; N];
        for (codes, step) in codes[4 * FIRST..4 * LAST].iter().zip(4 * FIRST..) {
            let values = load(codes);
            let (low, high) = (i16x8_extend_low_i8x16(values), i16x8_extend_high_i8x16(values));
            for (sums, x) in sums.iter_mut().zip(x) {
                let four = splat_64(&x.pairs.as_chunks::<2>().0[step]);
                *sums = [i32x4_add(sums[0], i32x4_dot_i16x8(low, four)), i32x4_add(sums[1], i32x4_dot_i16x8(high, four))];
            }
        }
        sums.map(|[low, high]| Self::from_int(i32x4_add(i32x4_shuffle::<0, 2, 4, 6>(low, high), i32x4_shuffle::<1, 3, 5, 7>(low, high))))
    }

    #[cfg(not(target_feature = "relaxed-simd"))]
    #[inline(always)]
    fn dots_nibbles<const N: usize, const FIRST: usize, const LAST: usize>(codes: &[[u32; 4]; 4], x: [&Rounded<Self>; N]) -> [Self; N] {
        let mut sums = [i32x4_splat(0); N];
        for (codes, step) in codes[2 * FIRST..2 * LAST].iter().zip(2 * FIRST..) {
            let weights = nibbles(load(codes));
            for (sum, x) in sums.iter_mut().zip(x) {
                for (weights, pair) in weights.into_iter().zip(&x.pairs.as_chunks::<4>().0[step]) {
                    *sum = i32x4_add(*sum, i32x4_dot_i16x8(weights, splat_32(pair)));
                }
            }
        }
        sums.map(Self::from_int)
    }

    #[cfg(target_feature = "relaxed-simd")]
    #[inline(always)]
    fn dots_nibbles<const N: usize, const FIRST: usize, const LAST: usize>(codes: &[[u32; 4]; 4], x: [&Rounded<Self>; N]) -> [Self; N] {
        let mut sums = [i32x4_splat(0); N];
        let nibble = i8x16_splat(0x0f);
        for (codes, step) in codes[2 * FIRST..2 * LAST].iter().zip(2 * FIRST..) {
            let words = load(codes);
            let (even, odd) = (v128_and(words, nibble), v128_and(u16x8_shr(words, 4), nibble));
            for (sum, x) in sums.iter_mut().zip(x) {
                let [low, high] = &x.bytes.as_chunks::<2>().0[step];
                *sum = i32x4_relaxed_dot_i8x16_i7x16_add(splat_32(low), even, *sum);
                *sum = i32x4_relaxed_dot_i8x16_i7x16_add(splat_32(high), odd, *sum);
            }
        }
        sums.map(Self::from_int)
    }
}
