//! The specification: what each kernel computes, as the formula says it, in f64. Only the tests use it.

/// w x^T, and beside each output the sum of the magnitudes that were added, which bounds its rounding error.
///
/// Shapes: `w` (rows, cols), `x` (seq, cols), result (seq, rows).
pub(super) fn matmul(w: &[f32], x: &[f32], cols: usize, seq: usize, rows: usize) -> Vec<(f64, f64)> {
    let product = |i: usize, j: usize| {
        let terms = (0..cols).map(|c| f64::from(w[j * cols + c]) * f64::from(x[i * cols + c]));
        terms.fold((0.0, 0.0), |(sum, magnitude), term| (sum + term, magnitude + term.abs()))
    };
    (0..seq * rows).map(|at| product(at / rows, at % rows)).collect()
}

/// out[c] + sum over j of weights[j] * rows[j][c], and the sum of the magnitudes.
pub(super) fn weighted_sum(rows: &[f32], weights: &[f32], out: &[f32]) -> Vec<(f64, f64)> {
    let cols = out.len();
    let sum = |c: usize| {
        let terms = weights.iter().enumerate().map(|(j, &weight)| f64::from(weight) * f64::from(rows[j * cols + c]));
        let start = f64::from(out[c]);
        terms.fold((start, start.abs()), |(sum, magnitude), term| (sum + term, magnitude + term.abs()))
    };
    (0..cols).map(sum).collect()
}

/// x / sqrt(mean of x^2 + eps) * weight.
pub(super) fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f64> {
    let mean = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / x.len() as f64;
    let scale = 1.0 / (mean + f64::from(eps)).sqrt();
    x.iter().zip(weight).map(|(&x, &weight)| f64::from(x) * scale * f64::from(weight)).collect()
}

/// exp(x - max x) / sum of the same, the difference rounded as f32 has it.
pub(super) fn softmax(x: &[f32]) -> Vec<f64> {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp: Vec<f64> = x.iter().map(|&x| libm::exp(f64::from(x - max))).collect();
    let sum: f64 = exp.iter().sum();
    exp.into_iter().map(|e| e / sum).collect()
}

/// gate / (1 + exp(-gate)) * up.
pub(super) fn silu_mul(gate: f32, up: f32) -> f64 {
    let gate = f64::from(gate);
    gate / (1.0 + libm::exp(-gate)) * f64::from(up)
}

/// The pairs (i, i + d / 2) as complex numbers, times cos + i sin.
pub(super) fn rotate(x: &[f32], cos: &[f32], sin: &[f32]) -> Vec<f64> {
    let half = cos.len();
    let at = |i: usize| f64::from(x[i]);
    let (cos, sin) = (|i: usize| f64::from(cos[i]), |i: usize| f64::from(sin[i]));
    let real = (0..half).map(|i| at(i) * cos(i) - at(i + half) * sin(i));
    let imaginary = (0..half).map(|i| at(i + half) * cos(i) + at(i) * sin(i));
    real.chain(imaginary).collect()
}
