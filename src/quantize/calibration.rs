//! Calibration: which inputs of each matrix come together when the model reads a text.

use crate::error::Result;
use crate::network::{Executor, Network, Probe};

/// The inputs of a matrix: several matrices share each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inputs {
    /// What the projections to queries, keys and values of a layer read.
    Attention(usize),
    /// What the output projection of a layer reads.
    AttentionOut(usize),
    /// What the gate and up projections of a layer read.
    Mlp(usize),
    /// What the down projection of a layer reads.
    MlpOut(usize),
    /// What the head reads.
    Head,
}

/// The sum of x x^T over the inputs x of a matrix.
///
/// Shapes: (cols, cols), of which the upper triangle is kept.
#[derive(Debug, Clone)]
pub struct Gram {
    cols: usize,
    sums: Vec<f32>,
}

/// How many rows of inputs are added at a time, so that a row of sums is read and written once for all.
const ROWS: usize = 64;

impl Gram {
    /// Zeros.
    pub fn new(cols: usize) -> Gram {
        Gram { cols, sums: vec![0.0; cols * cols] }
    }

    /// Number of columns of the matrix.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The sum of `x[row] * x[col]`; col is not below row.
    pub(super) fn at(&self, row: usize, col: usize) -> f32 {
        self.sums[row * self.cols + col]
    }

    /// Adds inputs. Shapes: `x` (rows, cols).
    pub fn add(&mut self, x: &[f32]) {
        let cols = self.cols;
        for rows in x.chunks(ROWS * cols) {
            for (first, sums) in self.sums.chunks_exact_mut(cols).enumerate() {
                for x in rows.chunks_exact(cols) {
                    let factor = x[first];
                    sums[first..].iter_mut().zip(&x[first..]).for_each(|(sum, x)| *sum += factor * x);
                }
            }
        }
    }
}

/// Reads `tokens` and returns the Gram matrices of the inputs that are `wanted`, in this order.
///
/// The text is read from an empty cache, in windows of `window` tokens. Errors: `OUT_OF_MEMORY`,
/// `NON_FINITE`.
pub fn calibrate(network: &Network, executor: &mut Executor, tokens: &[u32], window: usize, wanted: &[Inputs]) -> Result<Vec<Gram>> {
    let plan = network.plan();
    let cols = |inputs: &Inputs| match inputs {
        Inputs::Attention(_) | Inputs::Mlp(_) | Inputs::Head => plan.hidden,
        Inputs::AttentionOut(_) => plan.heads * plan.head_dim,
        Inputs::MlpOut(_) => plan.inter,
    };
    let mut grams: Vec<Gram> = wanted.iter().map(|inputs| Gram::new(cols(inputs))).collect();
    let mut cache = network.cache();
    for tokens in tokens.chunks(window) {
        cache.truncate(0);
        network.trace(tokens, &mut cache, executor, |probe, values| {
            let Some(inputs) = at(probe) else { return };
            if let Some(index) = wanted.iter().position(|wanted| *wanted == inputs) {
                grams[index].add(values);
            }
        })?;
    }
    Ok(grams)
}

/// The inputs that a probe shows.
fn at(probe: Probe) -> Option<Inputs> {
    match probe {
        Probe::Layer(layer, "attn_norm") => Some(Inputs::Attention(layer)),
        Probe::Layer(layer, "attn") => Some(Inputs::AttentionOut(layer)),
        Probe::Layer(layer, "mlp_norm") => Some(Inputs::Mlp(layer)),
        Probe::Layer(layer, "mlp_in") => Some(Inputs::MlpOut(layer)),
        Probe::Model("norm") => Some(Inputs::Head),
        _ => None,
    }
}
