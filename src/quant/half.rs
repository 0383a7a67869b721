//! Sixteen-bit floats: how they are packed for the kernels, and decoded and rounded.
//!
//! Sixteen-bit values lie in pairs in 32-bit words, value `i` of eight in the low half of word `i` and value `i + 4` in the high half:
//! then both halves become four lanes of f32 by shifts and masks alone, in the natural order.
//!
//! f16 is decoded by integer moves, without looking at exponents: sign and exponent and mantissa are put in place, which
//! gives the value times 2^-112. Two things make that exact and fast. Each row is scaled by a power of two when it is stored so that
//! its largest magnitude lies in [2^15, 2^16] (never downwards for an f16 file, so nothing is lost); then a value is subnormal, and
//! slow in f32 arithmetic, only if the row spans more than 2^29. And what is left of both factors is one f32 per row, applied to the sum.
//!
//! The types are those of the `half` crate. Its conversions branch, or ask the processor what it can do, for each number;
//! those here do not, so that compilers make vector instructions of them. The tests hold that both say the same.

use ::half::{bf16, f16};

use super::{F32x8, TILE_COLS};

/// Eight columns of a row in f16: pairs as the head of this file tells, of the row's values times a power of two.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct F16x8(pub [u32; 4]);

/// Eight columns of a row in bf16: pairs as the head of this file tells.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bf16x8(pub [u32; 4]);

/// The kernels multiply activations by this before they meet f16 weights, halfway back from 2^-112: neither overflows below 2^63
/// nor underflows above 2^-62 (against the row's largest weight, with 32 bits to spare).
pub(crate) const F16_ACTIVATION_SCALE: f32 = pow2(64);

/// What decoding an f16 by integer moves divides it by, as a power of two.
const F16_BIAS: i32 = 112;

impl F16x8 {
    /// Packs eight f16 as [`to_f16`] makes them.
    pub(super) fn pack(values: &[f16; TILE_COLS]) -> F16x8 {
        F16x8(pairs(values.map(f16::to_bits)))
    }

    /// `factor` is that of the row, from [`f16_scale`].
    pub(super) fn decode(self, factor: f32) -> F32x8 {
        unpaired(self.0).map(|bits| f16_times_2_pow_minus_112(f16::from_bits(bits)) * F16_ACTIVATION_SCALE * factor)
    }
}

impl Bf16x8 {
    /// Packs eight bf16.
    pub(super) fn pack(values: &[bf16; TILE_COLS]) -> Bf16x8 {
        Bf16x8(pairs(values.map(bf16::to_bits)))
    }

    pub(super) fn decode(self) -> F32x8 {
        unpaired(self.0).map(|bits| bf16_to_f32(bf16::from_bits(bits)))
    }
}

/// Values times a power of two in f16; `scale` comes from [`f16_scale`].
pub(super) fn to_f16<const N: usize>(values: &[f32; N], scale: [f32; 2]) -> [f16; N] {
    let mut out = [f16::ZERO; N];
    out.iter_mut().zip(values).for_each(|(out, value)| *out = f32_to_f16(value * scale[0] * scale[1]));
    out
}

/// Values in bf16.
pub(super) fn to_bf16<const N: usize>(values: &[f32; N]) -> [bf16; N] {
    let mut out = [bf16::ZERO; N];
    out.iter_mut().zip(values).for_each(|(out, value)| *out = f32_to_bf16(*value));
    out
}

fn pairs(values: [u16; TILE_COLS]) -> [u32; 4] {
    std::array::from_fn(|i| u32::from(values[i]) | u32::from(values[i + 4]) << 16)
}

fn unpaired(pairs: [u32; 4]) -> [u16; TILE_COLS] {
    std::array::from_fn(|i| (pairs[i % 4] >> (i / 4 * 16)) as u16)
}

/// What the kernels do with an f16, for one value.
fn f16_times_2_pow_minus_112(value: f16) -> f32 {
    f32::from_bits(((i32::from(value.to_bits()) << 16 >> 3) as u32) & 0x8fff_e000)
}

/// The value of an f16 of a file.
pub(super) fn f16_to_f32(value: f16) -> f32 {
    let small = f16_times_2_pow_minus_112(value);
    if value.to_bits() & 0x7c00 == 0x7c00 { f32::from_bits(small.to_bits() | 0x7f80_0000) } else { small * pow2(F16_BIAS) }
}

/// The f16 nearest to a value up to 2^16, which is what would be infinity in IEEE 754.
fn f32_to_f16(value: f32) -> f16 {
    let bits = value.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    let normal = (magnitude + 0xfff + (magnitude >> 13 & 1)).wrapping_sub((F16_BIAS as u32) << 23) >> 13;
    // Beside 0.5, the unit in the last place is 2^-24: that of subnormal f16.
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let rounded = if magnitude < pow2(-14).to_bits() { subnormal } else { normal };
    f16::from_bits((bits >> 16 & 0x8000 | rounded) as u16)
}

/// The value of a bf16.
pub(super) fn bf16_to_f32(value: bf16) -> f32 {
    f32::from_bits(u32::from(value.to_bits()) << 16)
}

fn f32_to_bf16(value: f32) -> bf16 {
    let bits = value.to_bits();
    // A NaN whose payload is all in the lower half must not become an infinity.
    let rounded = if value.is_nan() { bits | 0x40_0000 } else { bits + 0x7fff + (bits >> 16 & 1) };
    bf16::from_bits((rounded >> 16) as u16)
}

/// The power of two by which a row with this largest magnitude is multiplied before it is rounded to f16, in two factors since it may be beyond f32, and
/// the factor that undoes it (and both other powers of two) in the kernels.
pub(super) fn f16_scale(max: f32) -> ([f32; 2], f32) {
    if max == 0.0 {
        return ([0.0; 2], 0.0);
    }
    let exponent = (f64::from(max).to_bits() >> 52) as i32 - 1023; // f64, where no f32 is subnormal
    let shift = 15 - exponent;
    let undo = F16_BIAS - 64 - shift;
    if !max.is_finite() || undo > 127 {
        return ([0.0; 2], f32::NAN);
    }
    ([pow2(shift / 2), pow2(shift - shift / 2)], pow2(undo))
}

/// 2^exponent, of a normal f32.
const fn pow2(exponent: i32) -> f32 {
    assert!(-126 <= exponent && exponent <= 127);
    f32::from_bits(((127 + exponent) as u32) << 23)
}

#[cfg(test)]
mod tests {
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    /// The same number to the bit; a NaN may change its payload.
    fn same(a: f32, b: f32) -> bool {
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
    }

    #[test]
    fn conversions_are_those_of_the_half_crate() {
        for high in 0..=u16::MAX {
            let half = f16::from_bits(high);
            assert!(same(f16_to_f32(half), half.to_f32()), "{high:#06x}");
            // Both sides of every tie of both formats, and numbers between.
            for low in [0, 1, 0x0fff, 0x1000, 0x1001, 0x2fff, 0x3000, 0x3001, 0x7fff, 0x8000, 0x8001, 0xffff] {
                let value = f32::from_bits(u32::from(high) << 16 | low);
                let expected = bf16::from_f32(value);
                assert!(same(bf16_to_f32(f32_to_bf16(value)), expected.to_f32()), "{value:e} in bf16");
                if value.abs() <= 65536.0 {
                    assert_eq!(f32_to_f16(value).to_bits(), f16::from_f32(value).to_bits(), "{value:e} in f16");
                }
            }
        }
    }
}
