//! `fireside quantize`: makes a smaller checkpoint of a model, in the layout of MLX.
//!
//! ```text
//! calibration.rs   a text is read; each input channel gets a weight, the mean of its squares
//! rounding.rs      groups of columns become codes, a scale and an offset
//! mix.rs           which matrix gets how many bits
//! output.rs        tensors, shards, index, config.json
//! ```
//!
//! Nothing here runs in a browser: the result does.

mod calibration;
mod mix;
mod output;
mod rounding;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use fireside::internals::{Matrix, Tensor, TensorSpec};
use fireside::{LoadOptions, Model};

use crate::{Result, folder, lock};
use calibration::Calibration;
use mix::Mix;
use rounding::{Packed, Packing};

/// The text that is read if the caller gives none: plain prose, a list, a dialogue, code, and other languages.
const TEXT: &str = include_str!("quantize/calibration.txt");

/// What to quantise, and how far.
#[derive(Args)]
pub struct QuantizeArgs {
    /// A folder with config.json, tokenizer.json and safetensors of 16 or 32 bits
    folder: PathBuf,
    /// How many bits the weights get
    #[arg(long, value_enum)]
    to: Target,
    /// The folder to write [default: DIR-q4, DIR-q8 or DIR-auto]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A text like those that the model will read [default: a built-in one]
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
    /// With `--to auto`: bits a weight on average, scales included
    #[arg(long, default_value = "5.4")]
    bits: f64,
}

/// How many bits the weights get.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// 8 bits everywhere: next to nothing is lost
    Q8,
    /// 4 bits, and 6 for the embedding, the head and the values of attention
    Q4,
    /// As many bits as each part of the model needs, which is measured
    Auto,
}

/// A matrix and what it is rounded for.
struct Work<'a> {
    spec: &'a TensorSpec,
    matrix: &'a Matrix,
    /// The mean square of each input channel. Shapes: (cols).
    importance: Vec<f32>,
}

/// Quantises a model folder.
pub fn quantize(args: &QuantizeArgs) -> Result<()> {
    let out = args.out.clone().unwrap_or_else(|| default_out(&args.folder, args.to));
    if fs::read_dir(&out).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(format!("{} is not empty. Name another folder with --out.", out.display()).into());
    }
    if args.folder.is_file() || !args.folder.join("config.json").is_file() {
        return Err(format!("{} is no folder with config.json and safetensors, which this command reads", args.folder.display()).into());
    }
    let text = match &args.calibration {
        None => TEXT.into(),
        Some(file) => fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?,
    };
    let model = folder::load(&args.folder, LoadOptions { weight_bytes_max: Some(u64::MAX), ..LoadOptions::default() })?;
    let calibration = Calibration::of(&model, &text)?;
    let work = work(&model, &calibration)?;
    let mix = match args.to {
        Target::Q8 => Mix::uniform(&work, |_| Packing::new(8, 64)),
        Target::Q4 => Mix::uniform(&work, |name| if mix::is_sensitive(name) { Packing::new(6, 64) } else { Packing::new(4, 32) }),
        Target::Auto => Mix::measured(&model, &calibration, &work, args.bits)?,
    };
    fs::create_dir_all(&out)?;
    let packed = |index: usize| {
        let Work { spec, matrix, importance } = &work[index];
        let packing = mix.packings[index].filter(|packing| matrix.cols().is_multiple_of(packing.group));
        eprintln!("{:>10}  {}", packing.map_or("as it is".into(), |packing| packing.to_string()), spec.name);
        packing.map(|packing| Packed::of(matrix, importance, packing))
    };
    output::write(&args.folder, &out, &model, &mix, packed)?;
    lock::lock(&out)?;
    eprintln!("wrote {}: {:.2} bits a weight", out.display(), mix.bits(&work));
    Ok(())
}

/// The matrices of a model, in the order of its tensors.
fn work<'a>(model: &'a Model, calibration: &Calibration) -> Result<Vec<Work<'a>>> {
    let mut work = Vec::new();
    for (spec, tensor) in model.weights().tensors() {
        let Tensor::Matrix(matrix) = tensor else { continue };
        if matches!(matrix.dtype(), fireside::Dtype::Q8 | fireside::Dtype::Q4) {
            return Err(format!("{} is quantised already. Quantise the weights that the model was published with.", spec.name).into());
        }
        let importance = calibration.importance(&spec.name, matrix.cols());
        work.push(Work { spec, matrix, importance });
    }
    Ok(work)
}

fn default_out(folder: &Path, to: Target) -> PathBuf {
    let name = folder.canonicalize().ok().and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()));
    let to = to.to_possible_value().map_or_else(String::new, |value| value.get_name().into());
    folder.with_file_name(format!("{}-{to}", name.unwrap_or_else(|| "model".into())))
}
