//! Sixteen-bit floats: how they are packed for the kernels, decoded and rounded.
//!
//! Eight values lie in four 32-bit words: value `i` in the low half of word `i`, value `i + 4` in the high
//! half. A kernel then gets each half of the words as four lanes of f32, in order, by shifts and masks
//! alone.
//!
//! A kernel decodes f16 by integer moves and does not look at exponents: it puts sign, exponent and mantissa
//! in their places in an f32. That gives the value times 2^-112, and two things make it exact and fast.
//!
//! - Before a row is stored, it is multiplied by a power of two so that its largest magnitude lies in
//!   [2^15, 2^16]. A row of an f16 file is never divided, so no bit is lost. A decoded value is subnormal,
//!   and slow in f32 arithmetic, only if the row spans more than 2^29.
//! - Both powers of two together leave one f32 factor for each row, which is applied to the sum.
//!
//! `f16` and `bf16` are the types of the `half` crate, but the conversions are ours. Those of `half` branch
//! for each number, or ask the processor what it supports; these do not branch, so that compilers make
//! vector instructions of them. The tests compare both.

use ::half::{bf16, f16};

use super::{F32x8, TILE_COLS};

/// Eight columns of a row in f16, packed in pairs. The values are those of the row times a power of two.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct F16x8(pub [u32; 4]);

/// Eight columns of a row in bf16, packed in pairs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bf16x8(pub [u32; 4]);

/// The kernels multiply activations by this before they multiply them by f16 weights. It takes back about
/// half of 2^-112: activations below 2^63 do not overflow, and those above 2^-62 do not underflow with the
/// row's largest weight, with 32 bits to spare.
pub(crate) const F16_ACTIVATION_SCALE: f32 = pow2(64);

/// Decoding an f16 by integer moves divides it by two to the power of this.
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

/// Values times a power of two, in f16; `scale` comes from [`f16_scale`].
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

/// Decodes one f16 as the kernels do.
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

/// For a row with this largest magnitude: the power of two that it is multiplied by before it is rounded to
/// f16, and the factor by which the kernels undo this and the two other powers of two. The first may be too
/// large for an f32, so it is given as two factors.
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
