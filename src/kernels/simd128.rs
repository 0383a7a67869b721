//! The vocabulary in WebAssembly's 128-bit SIMD.

#![allow(unsafe_code)]

use core::arch::wasm32::*;

use super::vector::Vector;

/// The name of this implementation.
pub(super) const NAME: &str = "simd128";

/// Four lanes of f32.
#[derive(Clone, Copy)]
pub(super) struct F32x4(v128);

/// Sixteen bytes of pairs.
#[inline(always)]
fn load_pairs(pairs: &[u32; 4]) -> v128 {
    // SAFETY: the reference is to 16 readable bytes, and the load needs no alignment.
    unsafe { v128_load(pairs.as_ptr().cast()) }
}

impl Vector for F32x4 {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        F32x4(f32x4_splat(value))
    }

    #[inline(always)]
    fn load(values: &[f32; 4]) -> Self {
        // SAFETY: the reference is to 16 readable bytes, and the load needs no alignment.
        F32x4(unsafe { v128_load(values.as_ptr().cast()) })
    }

    #[inline(always)]
    fn store(self, out: &mut [f32; 4]) {
        // SAFETY: the reference is to 16 bytes that only we may write, and the store needs no alignment.
        unsafe { v128_store(out.as_mut_ptr().cast(), self.0) }
    }

    #[inline(always)]
    fn load_f16(pairs: &[u32; 4]) -> [Self; 2] {
        let pairs = load_pairs(pairs);
        let place = |bits: v128| F32x4(v128_and(i32x4_shr(bits, 3), u32x4_splat(0x8fff_e000)));
        [place(i32x4_shl(pairs, 16)), place(pairs)]
    }

    #[inline(always)]
    fn load_bf16(pairs: &[u32; 4]) -> [Self; 2] {
        let pairs = load_pairs(pairs);
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
}
