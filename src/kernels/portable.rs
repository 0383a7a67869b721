//! The vocabulary in plain Rust, for every target that has nothing better; compilers turn it into vector instructions.

use super::vector::Vector;

/// The name of this implementation.
pub(super) const NAME: &str = "portable";

/// Four lanes of f32.
#[derive(Clone, Copy)]
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

    // Out of line: if LLVM sees the sums and the loop before them together, it makes one vector of the first lanes of all four, and
    // transposes everything that the loop loads (half the speed on x86-64 with LLVM 22).
    #[inline(never)]
    fn sums(vectors: [Self; 4]) -> Self {
        F32x4(vectors.map(|v| (v.0[0] + v.0[2]) + (v.0[1] + v.0[3])))
    }

    #[inline(always)]
    fn half_pow2(self) -> Self {
        Self::from_bits(|i| (self.0[i].to_bits() << 23).wrapping_add(126 << 23))
    }
}
