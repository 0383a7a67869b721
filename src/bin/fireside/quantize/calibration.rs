//! Reads a text with the model, and records what goes into each matrix.
//!
//! An error in a column of a matrix costs as much as the input of this column is large. So a rounding that
//! knows the mean square of each input loses less in the output.
//!
//! Source: Frantar et al. 2022, "GPTQ", section 3 (the diagonal of the Hessian); llama.cpp calls it an
//! importance matrix.

use std::collections::HashMap;

use fireside::Model;
use fireside::internals::{Executor, Network, Probe};

use crate::Result;

/// How many tokens are read from an empty cache.
const WINDOW: usize = 256;
/// How many windows are read.
const WINDOWS_MAX: usize = 16;
/// Where a channel is almost always zero, an error in it costs this much of the mean all the same.
const FLOOR: f64 = 1e-3;

/// What a text puts into the matrices of a model.
pub struct Calibration {
    /// The windows of the text.
    pub windows: Vec<Vec<u32>>,
    /// The mean squares of the inputs, by the name of the step that makes them.
    squares: HashMap<String, Vec<f64>>,
    layers: usize,
    tied: bool,
}

impl Calibration {
    /// Reads the text. Errors: a text without tokens.
    pub fn of(model: &Model, text: &str) -> Result<Calibration> {
        let plan = &model.config().plan;
        let begin = model.tokenizer().encode_prompt("")?;
        let tokens = model.tokenizer().encode_prompt(text)?;
        let body = tokens.strip_prefix(&begin[..]).unwrap_or(&tokens);
        let length = WINDOW.min(plan.context.saturating_sub(begin.len())).max(1);
        let windows: Vec<Vec<u32>> = body.chunks(length).take(WINDOWS_MAX).map(|chunk| [&begin[..], chunk].concat()).collect();
        if windows.is_empty() {
            return Err("the calibration text has no tokens".into());
        }
        let mut squares: HashMap<String, Vec<f64>> = HashMap::new();
        let (last, norm, eps) = (plan.layers.len() - 1, &model.weights().norm, f64::from(plan.norm.eps));
        let network = model.network();
        let (mut cache, mut executor) = (network.cache(), Executor::new(model.pool().clone()));
        for window in &windows {
            cache.truncate(0);
            network.trace(window, &mut cache, &mut executor, |probe, values| {
                let (Probe::Layer(layer, name), Some(width)) = (probe, width(network, probe)) else { return };
                if name != "out" {
                    add(squares.entry(key(layer, name)).or_insert_with(|| vec![0.0; width]), values);
                } else if layer == last {
                    // What the head reads: the norm of each row, which the network computes for some rows only.
                    let normed: Vec<f32> = values.chunks_exact(width).flat_map(|row| normed(row, norm, eps)).collect();
                    add(squares.entry(key(layer, name)).or_insert_with(|| vec![0.0; width]), &normed);
                }
            })?;
        }
        Ok(Calibration { windows, squares, layers: plan.layers.len(), tied: plan.tied })
    }

    /// How much an error in each column of a matrix costs, 1 on average. Shapes: (cols).
    pub fn importance(&self, tensor: &str, cols: usize) -> Vec<f32> {
        let step = match tensor.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.')) {
            Some((layer, name)) => layer.parse().ok().zip(input(name)).map(|(layer, step)| key(layer, step)),
            // A row of the embedding is read as it is. If it is the head too, that is where errors cost.
            None => (tensor == "lm_head.weight" || self.tied).then(|| key(self.layers - 1, "out")),
        };
        let Some(squares) = step.and_then(|step| self.squares.get(&step)).filter(|squares| squares.len() == cols) else {
            return vec![1.0; cols];
        };
        let mean = (squares.iter().sum::<f64>() / cols as f64).max(f64::MIN_POSITIVE);
        squares.iter().map(|square| (square / mean).max(FLOOR) as f32).collect()
    }
}

/// The step that makes the input of a projection.
fn input(projection: &str) -> Option<&'static str> {
    match projection {
        "self_attn.q_proj.weight" | "self_attn.k_proj.weight" | "self_attn.v_proj.weight" => Some("attn_norm"),
        "self_attn.o_proj.weight" => Some("attn"),
        "mlp.gate_proj.weight" | "mlp.up_proj.weight" => Some("mlp_norm"),
        "mlp.down_proj.weight" => Some("mlp_in"),
        _ => None,
    }
}

/// How many values a row of a step has, if the step is the input of a projection.
fn width(network: &Network, probe: Probe) -> Option<usize> {
    let plan = network.plan();
    match probe {
        Probe::Layer(_, "attn_norm" | "mlp_norm" | "out") => Some(plan.hidden),
        Probe::Layer(_, "attn") => Some(plan.heads * plan.head_dim),
        Probe::Layer(_, "mlp_in") => Some(plan.inter),
        _ => None,
    }
}

fn key(layer: usize, step: &str) -> String {
    format!("{layer}.{step}")
}

fn add(squares: &mut [f64], values: &[f32]) {
    for row in values.chunks_exact(squares.len()) {
        squares.iter_mut().zip(row).for_each(|(square, value)| *square += f64::from(*value).powi(2));
    }
}

fn normed(row: &[f32], norm: &[f32], eps: f64) -> Vec<f32> {
    let mean = row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / row.len() as f64;
    let inverse = (mean + eps).sqrt().recip() as f32;
    row.iter().zip(norm).map(|(value, norm)| value * inverse * norm).collect()
}
