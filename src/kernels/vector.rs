//! The vocabulary of the kernels: what an instruction set has to know.
//!
//! Every operation on floats is IEEE single precision, rounded to nearest, lane by lane, so that all
//! implementations give the same bits; only relaxed SIMD may fuse [`Vector::madd`]. Integer operations are
//! exact everywhere.

/// Four lanes of f32.
pub(super) trait Vector: Copy + std::fmt::Debug {
    /// Four lanes of i32.
    type Int: Copy;
    /// Four pairs of i16, which are multiplied into them.
    type Pairs: Copy;
    /// 32 activations as bytes, in the order in which [`Vector::dots_nibbles`] reads them; nothing where it
    /// reads pairs.
    type Bytes: Copy + std::fmt::Debug;

    /// Up to this number of positions, products of floats are faster straight from memory than through a
    /// panel; 1 where they never are.
    const FEW_FLOATS: usize;
    /// Whether the products of nibbles with many positions are faster through a panel than by
    /// [`Vector::dots_nibbles`].
    const PANEL_NIBBLES: bool;
    /// Activations for [`Vector::dots_nibbles`] are whole numbers up to this.
    const NIBBLE_LEVELS: f32;

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
    /// self + a * b; the product is rounded before it is added, but for relaxed SIMD, where it need not be.
    fn madd(self, a: Self, b: Self) -> Self;
    /// `other` where self < other, else self: a NaN in self stays.
    fn max(self, other: Self) -> Self;
    /// `other` where other < self, else self: a NaN in self stays.
    fn min(self, other: Self) -> Self;
    /// Lane i is the sum of the lanes of `vectors[i]`, added as (0 + 2) + (1 + 3).
    fn sums(vectors: [Self; 4]) -> Self;
    /// 2^(n - 1) where a lane holds 1.5 * 2^23 + n, -126 <= n <= 128; 0 for n = -126.
    ///
    /// So large a number has its units in its lowest bits: shifting them into the exponent is all there is
    /// to do.
    fn half_pow2(self) -> Self;

    /// Eight values of magnitudes below 2^15, rounded to the nearest whole numbers, ties to even.
    fn round(low: Self, high: Self) -> [i16; 8];
    /// Zero in all lanes.
    fn int_zero() -> Self::Int;
    /// Four columns of four rows in 8 bits: the first two, then the others.
    fn widen_bytes(bytes: &[i8; 16]) -> [Self::Pairs; 2];
    /// Eight columns of four rows in 4 bits, two by two.
    fn widen_nibbles(words: &[u32; 4]) -> [Self::Pairs; 4];
    /// Four pairs to memory.
    fn store_pairs(pairs: Self::Pairs, out: &mut [[i16; 2]; 4]);
    /// Four pairs from memory.
    fn load_pairs(values: &[[i16; 2]; 4]) -> Self::Pairs;
    /// The same pair four times.
    fn splat_pair(values: &[i16; 2]) -> Self::Pairs;
    /// Lane i of `sum`, and the two products of pair i of `a` with pair i of `b`.
    fn dot_pairs(sum: Self::Int, a: Self::Pairs, b: Self::Pairs) -> Self::Int;
    /// Sixteen i8 as pairs: the first four pairs, the others.
    fn widen_i8(values: &[i8; 16]) -> [Self::Pairs; 2];
    /// The lanes as f32, exact up to 2^24, above that rounded to nearest.
    fn from_int(int: Self::Int) -> Self;

    /// `pairs` as bytes for [`Vector::dots_nibbles`].
    fn bytes_for_nibbles(pairs: &[[i16; 2]; 16]) -> Self::Bytes;
    /// Lane r of vector n is the exact product of row r of the codes of a block with the activations `x[n]`,
    /// in the halves of its columns from `FIRST` to `LAST`.
    fn dots_bytes<const N: usize, const FIRST: usize, const LAST: usize>(codes: &[[i8; 16]; 8], x: [&Rounded<Self>; N]) -> [Self; N];
    /// As [`Vector::dots_bytes`] for codes of 4 bits.
    fn dots_nibbles<const N: usize, const FIRST: usize, const LAST: usize>(codes: &[[u32; 4]; 4], x: [&Rounded<Self>; N]) -> [Self; N];
}

/// 32 activations rounded to whole numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rounded<V: Vector> {
    /// What a unit is worth.
    pub(super) scale: f32,
    /// The sum of the activations.
    pub(super) total: f32,
    /// The sum of each half of them.
    pub(super) half_totals: [f32; 2],
    /// The whole numbers, up to [`LEVELS`](super::product::LEVELS) or [`Vector::NIBBLE_LEVELS`].
    pub(super) pairs: [[i16; 2]; 16],
    /// The same once more, for nibbles.
    #[cfg_attr(not(target_feature = "relaxed-simd"), expect(dead_code, reason = "only relaxed SIMD multiplies bytes"))]
    pub(super) bytes: V::Bytes,
}
