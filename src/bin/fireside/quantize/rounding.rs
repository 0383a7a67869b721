//! Rounds a matrix to codes with scales and offsets, so that the error of its outputs is small.
//!
//! For each group of columns, several spreads of the levels are tried. For each, every value takes its
//! nearest level, and weighted least squares give the scale and the offset for these levels, in f16; this
//! is done twice. The one with the least weighted error is kept.
//!
//! ```text
//! h: importance of the columns, n: levels, v: values
//! scale  = (sum(h) sum(h v n) - sum(h v) sum(h n)) / (sum(h) sum(h n n) - sum(h n)^2)
//! offset = (sum(h v) - scale sum(h n)) / sum(h)
//! ```

use std::fmt;
use std::thread;

use fireside::internals::Matrix;
use half::f16;

/// By how many levels more or less than the highest level the range of the values is divided; of fewer
/// levels than 15, by that share of it.
const CANDIDATES: [f32; 12] = [-3.0, -2.5, -2.0, -1.5, -1.2, -0.9, -0.6, -0.3, 0.0, 0.3, 0.6, 0.9];
/// The least scale: 16 of the smallest normal steps of f16.
const SCALE_MIN: f32 = 1e-6;

/// How a matrix is packed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Packing {
    /// Bits of a code.
    pub bits: u32,
    /// Columns that share a scale and an offset.
    pub group: usize,
}

/// A matrix in the layout of MLX.
pub struct Packed {
    /// The codes of each row, one stream of bits.
    pub codes: Vec<u8>,
    /// Shapes: both (rows, cols / group).
    pub scales: Vec<f16>,
    pub offsets: Vec<f16>,
    /// The sum of the squared errors times the importance of their columns.
    pub error: f64,
}

impl Packing {
    pub fn new(bits: u32, group: usize) -> Packing {
        Packing { bits, group }
    }

    /// Bits a weight, with scale and offset.
    pub fn bits_per_weight(self) -> f64 {
        f64::from(self.bits) + 32.0 / self.group as f64
    }

    fn row_bytes(self, cols: usize) -> usize {
        cols * self.bits as usize / 8
    }
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bits/{}", self.bits, self.group)
    }
}

impl Packed {
    /// Rounds a matrix whose columns are whole groups. Shapes: `importance` (cols).
    pub fn of(matrix: &Matrix, importance: &[f32], packing: Packing) -> Packed {
        let (rows, cols) = (matrix.rows(), matrix.cols());
        let groups = cols / packing.group;
        let mut packed = Packed {
            codes: vec![0; rows * packing.row_bytes(cols)],
            scales: vec![f16::ZERO; rows * groups],
            offsets: vec![f16::ZERO; rows * groups],
            error: 0.0,
        };
        let threads = thread::available_parallelism().map_or(1, |count| count.get());
        let share = rows.div_ceil(threads).max(1);
        let parts = packed.codes.chunks_mut(share * packing.row_bytes(cols)).zip(packed.scales.chunks_mut(share * groups));
        packed.error = thread::scope(|scope| {
            let parts: Vec<_> = parts
                .zip(packed.offsets.chunks_mut(share * groups))
                .enumerate()
                .map(|(part, ((codes, scales), offsets))| {
                    scope.spawn(move || {
                        let mut row = vec![0.0; cols];
                        let lines =
                            codes.chunks_mut(packing.row_bytes(cols)).zip(scales.chunks_mut(groups)).zip(offsets.chunks_mut(groups));
                        lines
                            .enumerate()
                            .map(|(index, ((codes, scales), offsets))| {
                                matrix.row(part * share + index, &mut row);
                                pack_row(&row, importance, packing, codes, scales, offsets)
                            })
                            .sum::<f64>()
                    })
                })
                .collect();
            parts.into_iter().map(|part| part.join().unwrap_or(f64::NAN)).sum()
        });
        packed
    }

    /// The weights. Shapes: (rows, cols).
    pub fn values(&self, packing: Packing) -> Vec<f32> {
        let bits = packing.bits as usize;
        (0..self.codes.len() * 8 / bits)
            .map(|at| {
                let code = (0..bits)
                    .map(|bit| at * bits + bit)
                    .enumerate()
                    .fold(0, |code, (bit, from)| code | (u32::from(self.codes[from / 8] >> (from % 8) & 1) << bit));
                let group = at / packing.group;
                self.scales[group].to_f32() * code as f32 + self.offsets[group].to_f32()
            })
            .collect()
    }
}

/// Rounds a row. Returns its weighted squared error.
fn pack_row(row: &[f32], importance: &[f32], packing: Packing, codes: &mut [u8], scales: &mut [f16], offsets: &mut [f16]) -> f64 {
    let bits = packing.bits as usize;
    let mut error = 0.0;
    for (group, (values, importance)) in row.chunks(packing.group).zip(importance.chunks(packing.group)).enumerate() {
        let fit = Fit::best(values, importance, ((1u32 << packing.bits) - 1) as f32);
        (scales[group], offsets[group]) = (f16::from_f32(fit.scale), f16::from_f32(fit.offset));
        error += fit.error;
        for (col, value) in values.iter().enumerate() {
            let code = fit.level(*value) as u32;
            let first = (group * packing.group + col) * bits;
            for bit in 0..bits {
                codes[(first + bit) / 8] |= ((code >> bit & 1) as u8) << ((first + bit) % 8);
            }
        }
    }
    error
}

/// A scale and an offset, as f16 holds them.
#[derive(Clone, Copy)]
struct Fit {
    scale: f32,
    offset: f32,
    highest: f32,
    /// The weighted squared error.
    error: f64,
}

impl Fit {
    fn best(values: &[f32], importance: &[f32], highest: f32) -> Fit {
        let (low, high) = values.iter().fold((f32::MAX, f32::MIN), |(low, high), &value| (low.min(value), high.max(value)));
        let range = high - low;
        // With many levels, clipping gains nothing.
        let candidates = if highest > 63.0 { &CANDIDATES[6..10] } else { &CANDIDATES[..] };
        let fits = candidates.iter().map(|step| {
            let step = step * (highest / 15.0).min(1.0);
            let first = Fit { scale: (range / (highest + step)).max(SCALE_MIN), offset: low, highest, error: 0.0 };
            (0..2).fold(first, |fit, _| fit.again(values, importance)).judged(values, importance)
        });
        fits.reduce(|best, fit| if fit.error < best.error { fit } else { best }).unwrap_or(Fit {
            scale: SCALE_MIN,
            offset: low,
            highest,
            error: 0.0,
        })
    }

    fn level(&self, value: f32) -> f32 {
        ((value - self.offset) / self.scale).round_ties_even().clamp(0.0, self.highest)
    }

    /// Least squares for the levels that it gives.
    fn again(self, values: &[f32], importance: &[f32]) -> Fit {
        let [mut h, mut hn, mut hnn, mut hv, mut hvn] = [0.0f32; 5];
        for (&value, &weight) in values.iter().zip(importance) {
            let level = self.level(value);
            // Relative to the offset, so that nothing cancels.
            let value = value - self.offset;
            h += weight;
            hn += weight * level;
            hnn += weight * level * level;
            hv += weight * value;
            hvn += weight * value * level;
        }
        let (covariance, variance) = (h * hvn - hv * hn, h * hnn - hn * hn);
        if variance <= 0.0 || covariance <= 0.0 {
            return Fit { scale: SCALE_MIN.max(self.scale), offset: f16::from_f32(self.offset).to_f32(), ..self };
        }
        let scale = f16::from_f32((covariance / variance).max(SCALE_MIN)).to_f32();
        let offset = f16::from_f32(self.offset + (hv - scale * hn) / h).to_f32();
        Fit { scale, offset, ..self }
    }

    fn judged(self, values: &[f32], importance: &[f32]) -> Fit {
        let scale = f16::from_f32(self.scale).to_f32();
        let fit = Fit { scale, offset: f16::from_f32(self.offset).to_f32(), ..self };
        let error = |(value, weight): (&f32, &f32)| f64::from(weight * (fit.scale * fit.level(*value) + fit.offset - value).powi(2));
        Fit { error: values.iter().zip(importance).map(error).sum(), ..fit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fireside::Dtype;

    #[test]
    fn codes_scales_and_offsets_give_the_values_back() {
        let values: Vec<f32> = (0..3 * 64).map(|at| ((at * at) as f32 * 0.37).sin()).collect();
        let matrix = Matrix::from_f32(Dtype::F32, 3, 64, &values).unwrap();
        for bits in [2, 3, 4, 5, 6, 8] {
            for group in [32, 64] {
                let packing = Packing::new(bits, group);
                let packed = Packed::of(&matrix, &[1.0; 64], packing);
                let squared: f64 = packed.values(packing).iter().zip(&values).map(|(got, value)| f64::from(got - value).powi(2)).sum();
                assert!((squared - packed.error).abs() <= 1e-3 * packed.error, "{packing}: {squared} {}", packed.error);
                // A uniform error of half a step has a third of its square on average; f16 adds a little.
                let step = 2.0 / f64::from((1u32 << bits) - 1);
                assert!(packed.error < 1.1 * 192.0 * step * step / 12.0 + 1e-4, "{packing}: {}", packed.error);
            }
        }
    }

    #[test]
    fn columns_that_matter_lose_less() {
        let values: Vec<f32> = (0..64).map(|at| ((at * at) as f32 * 0.7).sin().powi(3)).collect();
        let matrix = Matrix::from_f32(Dtype::F32, 1, 64, &values).unwrap();
        let packing = Packing::new(3, 32);
        let importance: Vec<f32> = (0..64).map(|col| if col % 8 == 0 { 7.0 } else { 1.0 / 7.0 }).collect();
        let loss = |packed: Packed| -> f32 {
            packed.values(packing).iter().zip(&values).step_by(8).map(|(got, value)| (got - value).powi(2)).sum()
        };
        assert!(loss(Packed::of(&matrix, &importance, packing)) < 0.7 * loss(Packed::of(&matrix, &[1.0; 64], packing)));
    }
}
