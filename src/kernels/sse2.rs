//! The vocabulary in the 128-bit SIMD that every x86-64 processor has.
//!
//! It is here because compilers do not make it of plain Rust: LLVM takes four lanes apart into scalars
//! before it looks for vectors, and the products were a sixth as fast. No wider instructions are used: lanes
//! are added in the same order everywhere, so that all implementations give the same bits.

#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::product::LEVELS;
use super::vector::{Rounded, Vector};

/// The name of this implementation.
pub(super) const NAME: &str = "sse2";

/// Four lanes of f32.
#[derive(Debug, Clone, Copy)]
pub(super) struct F32x4(__m128);

/// Evaluates operations that the compiler calls unsafe because some processors lack them.
macro_rules! sse2 {
    ($($operations:tt)*) => {{
        // SAFETY: every x86-64 processor has SSE2, and what is written in this macro touches no memory.
        unsafe { $($operations)* }
    }};
}

/// Types of which every bit pattern may be read as a vector.
trait Plain: Copy {}
impl Plain for u32 {}
impl Plain for i8 {}
impl Plain for i16 {}
impl Plain for [i16; 2] {}

/// Sixteen bytes.
#[inline(always)]
fn load<T: Plain, const N: usize>(values: &[T; N]) -> __m128i {
    const { assert!(size_of::<T>() * N == 16) };
    // SAFETY: the reference is to 16 readable bytes, and the load needs no alignment.
    unsafe { _mm_loadu_si128(values.as_ptr().cast()) }
}

/// Eight bytes, twice.
#[inline(always)]
fn load_twice(values: &[[i16; 2]; 2]) -> __m128i {
    // SAFETY: the reference is to 8 readable bytes, and the load needs no alignment; every x86-64 processor
    // has SSE2.
    unsafe {
        let once = _mm_loadl_epi64(values.as_ptr().cast());
        _mm_unpacklo_epi64(once, once)
    }
}

/// Sixteen bytes to memory.
#[inline(always)]
fn store<T: Plain, const N: usize>(out: &mut [T; N], vector: __m128i) {
    const { assert!(size_of::<T>() * N == 16) };
    // SAFETY: the reference is to 16 bytes that only we may write, and the store needs no alignment.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), vector) }
}

/// The even and the odd 32-bit lanes of two vectors.
#[inline(always)]
fn even_odd(low: __m128i, high: __m128i) -> [__m128i; 2] {
    sse2! {
        let (low, high) = (_mm_castsi128_ps(low), _mm_castsi128_ps(high));
        [_mm_castps_si128(_mm_shuffle_ps::<0b10_00_10_00>(low, high)), _mm_castps_si128(_mm_shuffle_ps::<0b11_01_11_01>(low, high))]
    }
}

/// Sixteen i8 as i16: the first eight, the others.
#[inline(always)]
fn extend(values: __m128i) -> [__m128i; 2] {
    sse2! {
        let signs = _mm_cmpgt_epi8(_mm_setzero_si128(), values);
        [_mm_unpacklo_epi8(values, signs), _mm_unpackhi_epi8(values, signs)]
    }
}

/// The nibbles of every 16-bit half, the lowest of each first.
#[inline(always)]
fn nibbles(words: __m128i) -> [__m128i; 4] {
    sse2! {
        [words, _mm_srli_epi16::<4>(words), _mm_srli_epi16::<8>(words), _mm_srli_epi16::<12>(words)]
            .map(|words| _mm_and_si128(words, _mm_set1_epi16(0x000f)))
    }
}

impl Vector for F32x4 {
    type Int = __m128i;
    type Pairs = __m128i;
    type Bytes = ();

    const FEW_FLOATS: usize = 2;
    const PANEL_NIBBLES: bool = true;
    const NIBBLE_LEVELS: f32 = LEVELS;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        sse2!(F32x4(_mm_set1_ps(value)))
    }

    #[inline(always)]
    fn load(values: &[f32; 4]) -> Self {
        // SAFETY: the reference is to 16 readable bytes, and the load needs no alignment.
        F32x4(unsafe { _mm_loadu_ps(values.as_ptr()) })
    }

    #[inline(always)]
    fn store(self, out: &mut [f32; 4]) {
        // SAFETY: the reference is to 16 bytes that only we may write, and the store needs no alignment.
        unsafe { _mm_storeu_ps(out.as_mut_ptr(), self.0) }
    }

    #[inline(always)]
    fn load_f16(pairs: &[u32; 4]) -> [Self; 2] {
        sse2! {
            let pairs = load(pairs);
            let place = |bits| F32x4(_mm_castsi128_ps(_mm_and_si128(_mm_srai_epi32::<3>(bits), _mm_set1_epi32(0x8fff_e000_u32 as i32))));
            [place(_mm_slli_epi32::<16>(pairs)), place(pairs)]
        }
    }

    #[inline(always)]
    fn load_bf16(pairs: &[u32; 4]) -> [Self; 2] {
        sse2! {
            let pairs = load(pairs);
            let high = _mm_and_si128(pairs, _mm_set1_epi32(0xffff_0000_u32 as i32));
            [F32x4(_mm_castsi128_ps(_mm_slli_epi32::<16>(pairs))), F32x4(_mm_castsi128_ps(high))]
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        sse2!(F32x4(_mm_add_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        sse2!(F32x4(_mm_sub_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        sse2!(F32x4(_mm_mul_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        sse2!(F32x4(_mm_div_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn madd(self, a: Self, b: Self) -> Self {
        self.add(a.mul(b))
    }

    // maxps and minps give their second operand where the two do not compare.
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        sse2!(F32x4(_mm_max_ps(other.0, self.0)))
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        sse2!(F32x4(_mm_min_ps(other.0, self.0)))
    }

    #[inline(always)]
    fn sums(vectors: [Self; 4]) -> Self {
        sse2! {
            let [a, b, c, d] = vectors.map(|v| v.0);
            let ab = _mm_add_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b)); // a0+a2 b0+b2 a1+a3 b1+b3
            let cd = _mm_add_ps(_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
            F32x4(_mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab)))
        }
    }

    #[inline(always)]
    fn half_pow2(self) -> Self {
        sse2! {
            let shifted = _mm_slli_epi32::<23>(_mm_castps_si128(self.0));
            F32x4(_mm_castsi128_ps(_mm_add_epi32(shifted, _mm_set1_epi32(126 << 23))))
        }
    }

    #[inline(always)]
    fn round(low: Self, high: Self) -> [i16; 8] {
        sse2! {
            let mut out = [0; 8];
            store(&mut out, _mm_packs_epi32(_mm_cvtps_epi32(low.0), _mm_cvtps_epi32(high.0)));
            out
        }
    }

    #[inline(always)]
    fn int_zero() -> __m128i {
        sse2!(_mm_setzero_si128())
    }

    #[inline(always)]
    fn widen_bytes(values: &[i8; 16]) -> [__m128i; 2] {
        let [low, high] = extend(load(values));
        even_odd(low, high)
    }

    #[inline(always)]
    fn widen_nibbles(words: &[u32; 4]) -> [__m128i; 4] {
        nibbles(load(words))
    }

    #[inline(always)]
    fn store_pairs(pairs: __m128i, out: &mut [[i16; 2]; 4]) {
        store(out, pairs);
    }

    #[inline(always)]
    fn load_pairs(values: &[[i16; 2]; 4]) -> __m128i {
        load(values)
    }

    #[inline(always)]
    fn splat_pair(values: &[i16; 2]) -> __m128i {
        sse2!(_mm_set1_epi32(i32::from(values[0] as u16) | i32::from(values[1]) << 16))
    }

    #[inline(always)]
    fn dot_pairs(sum: __m128i, a: __m128i, b: __m128i) -> __m128i {
        sse2!(_mm_add_epi32(sum, _mm_madd_epi16(a, b)))
    }

    #[inline(always)]
    fn widen_i8(values: &[i8; 16]) -> [__m128i; 2] {
        extend(load(values))
    }

    #[inline(always)]
    fn from_int(int: __m128i) -> Self {
        sse2!(F32x4(_mm_cvtepi32_ps(int)))
    }

    #[inline(always)]
    fn bytes_for_nibbles(_: &[[i16; 2]; 16]) {}

    #[inline(always)]
    fn dots_bytes<const N: usize, const FIRST: usize, const LAST: usize>(codes: &[[i8; 16]; 8], x: [&Rounded<Self>; N]) -> [Self; N] {
        // Four columns of rows 0 and 1, and of rows 2 and 3: two lanes a row.
        let mut sums = [[Self::int_zero(); 2]; N];
        for (codes, step) in codes[4 * FIRST..4 * LAST].iter().zip(4 * FIRST..) {
            let [rows_01, rows_23] = extend(load(codes));
            for (sums, x) in sums.iter_mut().zip(x) {
                let four = load_twice(&x.pairs.as_chunks().0[step]);
                *sums = [Self::dot_pairs(sums[0], rows_01, four), Self::dot_pairs(sums[1], rows_23, four)];
            }
        }
        sums.map(|[low, high]| {
            let [even, odd] = even_odd(low, high);
            Self::from_int(sse2!(_mm_add_epi32(even, odd)))
        })
    }

    #[inline(always)]
    fn dots_nibbles<const N: usize, const FIRST: usize, const LAST: usize>(codes: &[[u32; 4]; 4], x: [&Rounded<Self>; N]) -> [Self; N] {
        let mut sums = [Self::int_zero(); N];
        for (codes, step) in codes[2 * FIRST..2 * LAST].iter().zip(2 * FIRST..) {
            for (weights, pair) in nibbles(load(codes)).into_iter().zip(4 * step..) {
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum = Self::dot_pairs(*sum, weights, Self::splat_pair(&x.pairs[pair]));
                }
            }
        }
        sums.map(Self::from_int)
    }
}
