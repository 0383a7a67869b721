//! The vocabulary of the kernels: what an instruction set has to know.
//!
//! Every operation is IEEE single precision, rounded to nearest, lane by lane, so that all implementations give the same bits.

/// Four lanes of f32.
pub(super) trait Vector: Copy {
    /// The same value in all lanes.
    fn splat(value: f32) -> Self;
    /// Four values from memory, which need not be aligned.
    fn load(values: &[f32; 4]) -> Self;
    /// Four values to memory, which need not be aligned.
    fn store(self, out: &mut [f32; 4]);
    /// Eight f16 in pairs, as `quant` lays them out, times 2^-112; `[0]` is the first four.
    fn load_f16(pairs: &[u32; 4]) -> [Self; 2];
    /// Eight bf16 in pairs, as `quant` lays them out; `[0]` is the first four.
    fn load_bf16(pairs: &[u32; 4]) -> [Self; 2];
    /// self + other.
    fn add(self, other: Self) -> Self;
    /// self - other.
    fn sub(self, other: Self) -> Self;
    /// self * other.
    fn mul(self, other: Self) -> Self;
    /// self / other.
    fn div(self, other: Self) -> Self;
    /// self + a * b, the product rounded before it is added.
    fn madd(self, a: Self, b: Self) -> Self;
    /// `other` where self < other, else self: a NaN in self stays.
    fn max(self, other: Self) -> Self;
    /// `other` where other < self, else self: a NaN in self stays.
    fn min(self, other: Self) -> Self;
    /// Lane i is the sum of the lanes of `vectors[i]`, added as (0 + 2) + (1 + 3).
    fn sums(vectors: [Self; 4]) -> Self;
    /// 2^(n - 1) where a lane holds 1.5 * 2^23 + n, -126 <= n <= 128; 0 for n = -126.
    ///
    /// So large a number has its units in its lowest bits: shifting them into the exponent is all there is to do.
    fn half_pow2(self) -> Self;
}
