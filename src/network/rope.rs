//! Rotary position embedding: rotates each pair of lanes of a query or key by an angle that grows with its
//! position.
//!
//! Source: Su et al. 2021, "RoFormer", section 3.2, in the layout of published Llama files: lane i is paired
//! with lane i + head_dim / 2. The angles are f32 products, as in transformers. A more exact angle would
//! differ from the one that the model was trained with.

use std::ops::Range;

use crate::config::{Llama3Scaling, RopePlan, RopeScaling};
use crate::kernels;

/// Rotary frequencies, one for each pair of lanes. Lanes beyond `2 * pairs` are not rotated.
#[derive(Debug, Clone)]
pub(crate) struct Rope {
    inv_freq: Vec<f32>, // (pairs)
}

/// Cosines and sines of the angles of one pass's rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Angles {
    pairs: usize,
    cos: Vec<f32>, // (rows, pairs)
    sin: Vec<f32>, // (rows, pairs)
}

impl Rope {
    /// Computes the frequencies of a plan, scaled for long contexts if the plan says so.
    pub(super) fn new(plan: &RopePlan) -> Rope {
        let inv_freq = (0..plan.dims / 2).map(|i| {
            let exponent = (2 * i) as f32 / plan.dims as f32;
            let freq = 1.0 / libm::pow(plan.theta, f64::from(exponent)) as f32;
            match &plan.scaling {
                RopeScaling::None => freq,
                RopeScaling::Factors(factors) => freq / factors[i],
                RopeScaling::Llama3(scaling) => llama3_scaled(freq, scaling),
            }
        });
        Rope { inv_freq: inv_freq.collect() }
    }

    /// The angle of one pair of lanes at one position.
    fn angle(pos: usize, freq: f32) -> f64 {
        f64::from(pos as f32 * freq)
    }

    /// Appends the angles of some positions to `angles`.
    pub(super) fn extend(&self, angles: &mut Angles, positions: impl Iterator<Item = usize>) {
        angles.pairs = self.inv_freq.len();
        for pos in positions {
            self.inv_freq.iter().for_each(|&freq| angles.push(Rope::angle(pos, freq)));
        }
    }

    /// Computes the rotations for keys at `positions` that move down by `by` positions: the new angle minus
    /// the old one. Up to rounding, a moved key equals a key computed at the new position.
    pub(super) fn shift_angles(&self, positions: impl Iterator<Item = usize>, by: usize) -> Angles {
        let mut angles = Angles { pairs: self.inv_freq.len(), ..Angles::default() };
        for pos in positions {
            self.inv_freq.iter().for_each(|&freq| angles.push(Rope::angle(pos - by, freq) - Rope::angle(pos, freq)));
        }
        angles
    }
}

impl Angles {
    fn push(&mut self, angle: f64) {
        let (sin, cos) = libm::sincos(angle);
        self.cos.push(cos as f32);
        self.sin.push(sin as f32);
    }

    /// Removes all rows and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.cos.clear();
        self.sin.clear();
    }

    /// Removes some rows.
    pub(super) fn remove(&mut self, rows: Range<usize>) {
        let angles = rows.start * self.pairs..rows.end * self.pairs;
        self.cos.drain(angles.clone());
        self.sin.drain(angles);
    }

    /// Rotates one head by the angles of a row. Shapes: `head` (head_dim).
    pub(super) fn rotate_head(&self, head: &mut [f32], row: usize) {
        let angles = row * self.pairs..(row + 1) * self.pairs;
        kernels::rotate(&mut head[..2 * self.pairs], &self.cos[angles.clone()], &self.sin[angles]);
    }

    /// Rotates all heads of `x`, whose i-th row is row `rows[i]` of the pass. Shapes: `x` (rows, heads,
    /// head_dim).
    pub(super) fn rotate(&self, x: &mut [f32], heads: usize, head_dim: usize, rows: impl Iterator<Item = usize>) {
        for (x, row) in x.chunks_exact_mut(heads * head_dim).zip(rows) {
            x.chunks_exact_mut(head_dim).for_each(|head| self.rotate_head(head, row));
        }
    }
}

/// The frequency in Llama 3.1 and later: low ones divided by `factor`, high ones kept, those between blended.
///
/// Source: transformers, `_compute_llama3_parameters` in modeling_rope_utils.py, in its own f32 arithmetic.
fn llama3_scaled(freq: f32, scaling: &Llama3Scaling) -> f32 {
    let [factor, low, high] = [scaling.factor, scaling.low_freq_factor, scaling.high_freq_factor].map(|v| v as f32);
    let original = scaling.original_context as f32;
    let wavelength = std::f32::consts::TAU / freq;
    if wavelength > original / low {
        freq / factor
    } else if wavelength < original / high {
        freq
    } else {
        let smooth = (original / wavelength - low) / (high - low);
        (1.0 - smooth) * freq / factor + smooth * freq
    }
}
