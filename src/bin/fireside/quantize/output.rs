//! Writes a folder in the layout of MLX: shards with their index, config.json, and copies of the files of
//! the tokenizer.

use std::fs;
use std::path::Path;

use fireside::Model;
use fireside::internals::Tensor;
use half::f16;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Map, Value, json};

use super::mix::Mix;
use super::rounding::{Packed, Packing};
use crate::Result;

/// The most bytes of a weight file. A browser reads, checks and keeps each on its own.
const SHARD_BYTES_MAX: usize = 1 << 30;

/// The small files that are copied, where they are there.
const COPIED: [&str; 6] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "chat_template.jinja",
];

/// A tensor of a file.
struct Out {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

/// Writes the folder. `packed` rounds the matrix of this number, or returns `None` if it stays as it is.
pub fn write(from: &Path, to: &Path, model: &Model, mix: &Mix, packed: impl Fn(usize) -> Option<Packed>) -> Result<()> {
    let (mut shard, mut bytes, mut shards) = (Vec::new(), 0, Vec::new());
    let (mut matrices, mut modules) = (0, Vec::new());
    for (spec, tensor) in model.weights().tensors() {
        let outs = match tensor {
            Tensor::Vector(values) => vec![float(&spec.name, &spec.shape, values)],
            Tensor::Matrix(matrix) => {
                let stem = spec.name.trim_end_matches(".weight").to_owned();
                let packed = packed(matrices);
                let packing = mix.packings[matrices].filter(|_| packed.is_some());
                modules.push((stem.clone(), packing, spec.len()));
                matrices += 1;
                match packed.zip(packing) {
                    Some((packed, packing)) => tensors(&stem, matrix.rows(), matrix.cols(), packing, packed),
                    None => {
                        let mut values = vec![0.0; matrix.rows() * matrix.cols()];
                        values.chunks_mut(matrix.cols()).enumerate().for_each(|(row, out)| matrix.row(row, out));
                        vec![float(&spec.name, &spec.shape, &values)]
                    }
                }
            }
        };
        for out in outs {
            if bytes + out.data.len() > SHARD_BYTES_MAX && !shard.is_empty() {
                shards.push(save(to, shards.len(), std::mem::take(&mut shard))?);
                bytes = 0;
            }
            bytes += out.data.len();
            shard.push(out);
        }
    }
    shards.push(save(to, shards.len(), shard)?);
    name_shards(to, &shards)?;
    write_config(from, to, &modules)?;
    for name in COPIED.iter().filter(|name| from.join(name).exists()) {
        fs::copy(from.join(name), to.join(name))?;
    }
    Ok(())
}

/// The three tensors of a quantised matrix.
fn tensors(stem: &str, rows: usize, cols: usize, packing: Packing, packed: Packed) -> Vec<Out> {
    let halves = |name: &str, values: &[f16]| Out {
        name: format!("{stem}.{name}"),
        dtype: Dtype::F16,
        shape: vec![rows, cols / packing.group],
        data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    };
    let (scales, biases) = (halves("scales", &packed.scales), halves("biases", &packed.offsets));
    let shape = vec![rows, cols * packing.bits as usize / 32];
    vec![Out { name: format!("{stem}.weight"), dtype: Dtype::U32, shape, data: packed.codes }, scales, biases]
}

/// A tensor of floats: in f16 if every value is one, else in f32.
fn float(name: &str, shape: &[usize], values: &[f32]) -> Out {
    let is_half = values.iter().all(|&value| f16::from_f32(value).to_f32() == value);
    let (dtype, data) = if is_half {
        (Dtype::F16, values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect())
    } else {
        (Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    };
    Out { name: name.into(), dtype, shape: shape.to_vec(), data }
}

/// Writes a shard under a name for the time being. Returns its tensors and their bytes.
fn save(to: &Path, number: usize, shard: Vec<Out>) -> Result<(Vec<String>, usize)> {
    let views = shard.iter().map(|out| Ok((out.name.as_str(), TensorView::new(out.dtype, out.shape.clone(), &out.data)?)));
    let views: Vec<(&str, TensorView)> = views.collect::<Result<_>>()?;
    let metadata = [("format".to_owned(), "mlx".to_owned())].into_iter().collect();
    safetensors::serialize_to_file(views, Some(metadata), &to.join(unnamed(number)))?;
    Ok((shard.iter().map(|out| out.name.clone()).collect(), shard.iter().map(|out| out.data.len()).sum()))
}

fn unnamed(number: usize) -> String {
    format!("shard-{number}.part")
}

/// Gives the shards their names, now that their number is known, and writes the index.
fn name_shards(to: &Path, shards: &[(Vec<String>, usize)]) -> Result<()> {
    if shards.len() == 1 {
        return Ok(fs::rename(to.join(unnamed(0)), to.join("model.safetensors"))?);
    }
    let mut map = Map::new();
    for (number, (names, _)) in shards.iter().enumerate() {
        let file = format!("model-{:05}-of-{:05}.safetensors", number + 1, shards.len());
        fs::rename(to.join(unnamed(number)), to.join(&file))?;
        map.extend(names.iter().map(|name| (name.clone(), file.clone().into())));
    }
    let total: usize = shards.iter().map(|(_, bytes)| bytes).sum();
    let index = json!({ "metadata": { "total_size": total }, "weight_map": map });
    Ok(fs::write(to.join("model.safetensors.index.json"), format!("{index:#}\n"))?)
}

/// Writes config.json with the field `quantization`, and its copy for the hub, as mlx-lm does.
fn write_config(from: &Path, to: &Path, modules: &[(String, Option<Packing>, u64)]) -> Result<()> {
    let mut config: Map<String, Value> = serde_json::from_slice(&fs::read(from.join("config.json"))?)?;
    let describe = |packing: Packing| json!({ "group_size": packing.group, "bits": packing.bits, "mode": "affine" });
    let share = |packing: Packing| modules.iter().filter(|(_, other, _)| *other == Some(packing)).map(|(_, _, len)| len).sum::<u64>();
    let Some(own) = modules.iter().filter_map(|(_, packing, _)| *packing).max_by_key(|&packing| share(packing)) else {
        return Err("no matrix has columns in whole groups of 32, so none can be quantised".into());
    };
    let mut quantization = describe(own);
    for (name, packing, _) in modules.iter().filter(|(_, packing, _)| *packing != Some(own)) {
        quantization[name.as_str()] = packing.map_or(false.into(), describe);
    }
    config.insert("quantization".into(), quantization.clone());
    config.insert("quantization_config".into(), quantization);
    Ok(fs::write(to.join("config.json"), format!("{:#}\n", Value::Object(config)))?)
}
