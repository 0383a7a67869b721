//! How many bits each matrix gets.
//!
//! `measured` gives the bits to the parts of the model that need them:
//!
//! 1. A unit is the matrices of one kind in some neighbouring layers. For each unit, its matrices alone are
//!    rounded to [`BASE`], and the divergence of the predictions for the calibration text is measured.
//! 2. For another packing, the divergence is taken to grow with the weighted squared error of the matrices.
//! 3. All units begin with the fewest bits. The unit that gains the most for its bytes gets more, until
//!    the bits are spent.

use std::collections::HashMap;
use std::sync::Arc;

use fireside::internals::{Executor, Matrix, Network};
use fireside::{Dtype, Model};

use super::Work;
use super::calibration::Calibration;
use super::rounding::{Packed, Packing};
use crate::Result;

/// The packing with which sensitivity is measured.
const BASE: Packing = Packing { bits: 4, group: 32 };
/// The packings of a unit, by bits a weight.
const LADDER: [Packing; 6] = [
    Packing { bits: 4, group: 64 },
    Packing { bits: 4, group: 32 },
    Packing { bits: 5, group: 64 },
    Packing { bits: 5, group: 32 },
    Packing { bits: 6, group: 64 },
    Packing { bits: 8, group: 64 },
];
/// About how many units a model has. Each takes a pass over [`TOKENS`].
const UNITS: usize = 48;
/// How many tokens of the calibration text are predicted for each unit.
const TOKENS: usize = 192;

/// The packing of each matrix; `None`: it stays as it is.
pub struct Mix {
    pub packings: Vec<Option<Packing>>,
}

/// Matrices that get the same packing.
#[derive(Default)]
struct Unit {
    members: Vec<usize>,
    weights: f64,
    /// The divergence that each packing of [`LADDER`] is taken to cost.
    losses: Vec<f64>,
    /// The place in the ladder.
    rung: usize,
}

impl Mix {
    /// Every matrix as its name says, with groups of 32 where these divide its columns alone.
    pub fn uniform(work: &[Work], packing: impl Fn(&str) -> Packing) -> Mix {
        Mix { packings: work.iter().map(|work| fitting(packing(&work.spec.name), work.matrix)).collect() }
    }

    /// The least loss that is found for these bits a weight.
    pub fn measured(model: &Model, calibration: &Calibration, work: &[Work], bits: f64) -> Result<Mix> {
        let window = &calibration.windows[0][..calibration.windows[0].len().min(TOKENS)];
        let exact = predictions(model.network(), model, window)?;
        let mut units = units(work, model.config().plan.layers.len());
        for unit in &mut units {
            let mut rounded = HashMap::new();
            let mut base = f64::MIN_POSITIVE;
            for &index in &unit.members {
                let Work { matrix, importance, .. } = &work[index];
                let packed = Packed::of(matrix, importance, BASE);
                base += packed.error;
                rounded.insert(
                    work[index].spec.name.clone(),
                    Matrix::from_f32(Dtype::F32, matrix.rows(), matrix.cols(), &packed.values(BASE))?,
                );
            }
            let weights = model.weights().replaced(model.network().plan(), |spec| rounded.remove(&spec.name).map(Arc::new));
            let network = Network::new(model.network().plan().clone(), weights, model.kv_dtype(), model.network().kv_budget().clone());
            let divergence = divergence(&exact, &predictions(&network, model, window)?);
            let error = |packing| {
                unit.members.iter().map(|&index| Packed::of(work[index].matrix, &work[index].importance, packing).error).sum::<f64>()
            };
            unit.losses = LADDER.iter().map(|&packing| divergence * error(packing) / base).collect();
            eprintln!("{divergence:>10.5}  {} and {} more", work[unit.members[0]].spec.name, unit.members.len() - 1);
        }
        let total: f64 = work.iter().map(|work| weights(work.matrix)).sum();
        let others = total - units.iter().map(|unit| unit.weights).sum::<f64>();
        let mut left = bits * total - 16.0 * others - units.iter().map(|unit| unit.weights * LADDER[0].bits_per_weight()).sum::<f64>();
        while let Some((index, rung)) = best_step(&units, left) {
            let unit = &mut units[index];
            left -= unit.cost(rung);
            unit.rung = rung;
        }
        let mut packings = vec![None; work.len()];
        for unit in &units {
            unit.members.iter().for_each(|&index| packings[index] = fitting(LADDER[unit.rung], work[index].matrix));
        }
        Ok(Mix { packings })
    }

    /// Bits a weight of all matrices together.
    pub fn bits(&self, work: &[Work]) -> f64 {
        let bits = |(work, packing): (&Work, &Option<Packing>)| weights(work.matrix) * packing.map_or(16.0, Packing::bits_per_weight);
        work.iter().zip(&self.packings).map(bits).sum::<f64>() / work.iter().map(|work| weights(work.matrix)).sum::<f64>()
    }
}

impl Unit {
    /// Bits that another rung takes.
    fn cost(&self, rung: usize) -> f64 {
        self.weights * (LADDER[rung].bits_per_weight() - LADDER[self.rung].bits_per_weight())
    }
}

/// Whether errors in it show more than in most.
pub fn is_sensitive(tensor: &str) -> bool {
    !tensor.starts_with("model.layers.") || tensor.ends_with("v_proj.weight")
}

/// The step up that saves the most loss for its bits, among those that can be paid.
fn best_step(units: &[Unit], left: f64) -> Option<(usize, usize)> {
    let steps = units.iter().enumerate().flat_map(|(index, unit)| (unit.rung + 1..LADDER.len()).map(move |rung| (index, rung)));
    let gain = |&(index, rung): &(usize, usize)| {
        let unit = &units[index];
        (unit.losses[unit.rung] - unit.losses[rung]) / unit.cost(rung)
    };
    steps.filter(|&(index, rung)| units[index].cost(rung) <= left).max_by(|a, b| gain(a).total_cmp(&gain(b)))
}

/// Matrices of the same kind in neighbouring layers. A matrix whose columns are no whole groups is in none.
fn units(work: &[Work], layers: usize) -> Vec<Unit> {
    let kinds = 7;
    let run = (layers * kinds).div_ceil(UNITS).max(1);
    let mut numbers: HashMap<(usize, &str), usize> = HashMap::new();
    let mut units: Vec<Unit> = Vec::new();
    for (index, work) in work.iter().enumerate().filter(|(_, work)| work.matrix.cols().is_multiple_of(64)) {
        let parts = work.spec.name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
        let key = match parts {
            Some((layer, kind)) => (layer.parse::<usize>().unwrap_or_default() / run, kind),
            None => (usize::MAX, work.spec.name.as_str()),
        };
        let number = *numbers.entry(key).or_insert_with(|| {
            units.push(Unit::default());
            units.len() - 1
        });
        units[number].members.push(index);
        units[number].weights += weights(work.matrix);
    }
    units
}

fn fitting(packing: Packing, matrix: &Matrix) -> Option<Packing> {
    [packing, Packing { group: 32, ..packing }].into_iter().find(|packing| matrix.cols().is_multiple_of(packing.group))
}

fn weights(matrix: &Matrix) -> f64 {
    matrix.rows() as f64 * matrix.cols() as f64
}

/// Logarithms of the probabilities after each token. Shapes: (tokens, vocab).
fn predictions(network: &Network, model: &Model, tokens: &[u32]) -> Result<Vec<f32>> {
    let mut logits = Vec::new();
    network.forward_all(tokens, &mut network.cache(), &mut Executor::new(model.pool().clone()), &mut logits)?;
    for row in logits.chunks_exact_mut(network.plan().vocab) {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|&logit| f64::from(logit - max).exp()).sum();
        row.iter_mut().for_each(|logit| *logit -= max + sum.ln() as f32);
    }
    Ok(logits)
}

/// The sum of the Kullback-Leibler divergences of all positions.
fn divergence(exact: &[f32], got: &[f32]) -> f64 {
    exact.iter().zip(got).map(|(p, q)| f64::from(p.exp() * (p - q))).sum::<f64>().max(0.0)
}
