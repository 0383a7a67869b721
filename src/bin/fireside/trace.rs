//! `fireside trace`: every intermediate value of one forward pass, as a safetensors file.
//!
//! `models/train/compare_trace.py` reads it, computes the same values with transformers, and names the
//! first layer that differs.

use std::collections::BTreeMap;
use std::path::Path;

use fireside::LoadOptions;
use fireside::internals::{Executor, Probe};
use safetensors::{Dtype, tensor::TensorView};

use crate::{Result, folder};

/// Reads `prompt` with the model and writes the result of every step. Shapes: (seq, width), `logits`
/// (vocab).
pub fn trace(folder: &Path, options: LoadOptions, prompt: &str, out: &Path) -> Result<()> {
    let model = folder::load(folder, options)?;
    let tokens = model.tokenizer().encode_prompt(prompt)?;
    let (mut cache, mut executor) = (model.network().cache(), Executor::new(model.pool().clone()));
    let mut values: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    model.network().trace(&tokens, &mut cache, &mut executor, |probe, value| {
        // A long prompt takes several passes; the rows of each pass follow those of the one before.
        let rows = values.entry(name(probe)).or_default();
        rows.extend_from_slice(value);
    })?;
    values.insert("tokens".into(), tokens.iter().map(|&token| token as f32).collect());

    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = values
        .into_iter()
        .map(|(name, value)| {
            let single = matches!(name.as_str(), "tokens" | "logits" | "norm");
            let shape = if single { vec![value.len()] } else { vec![tokens.len(), value.len() / tokens.len()] };
            (name, shape, value.iter().flat_map(|v| v.to_le_bytes()).collect())
        })
        .collect();
    let views: Vec<(&str, TensorView)> = bytes
        .iter()
        .map(|(name, shape, data)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), data)?)))
        .collect::<Result<_>>()?;
    safetensors::serialize_to_file(views, None, out)?;
    eprintln!("wrote {} tensors for {} tokens to {}", bytes.len(), tokens.len(), out.display());
    Ok(())
}

fn name(probe: Probe) -> String {
    match probe {
        Probe::Model(name) => name.into(),
        Probe::Layer(index, name) => format!("layers.{index}.{name}"),
    }
}
