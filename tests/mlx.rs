//! Checkpoints that MLX quantised: their weights are those of the files, and logits and greedy text equal
//! those of transformers on the weights that `mx.dequantize` gives.
//!
//! `tests/golden/make_mlx.py` made the checkpoints and the reference values.
#![cfg(not(target_family = "wasm"))]

mod common;

use common::files::{folder, golden};
use common::{Folder, Random};
use fireside::internals::{HeaderScan, ModelConfig, Tensor};
use fireside::{Dtype, LoadOptions, Model};

const FIXTURES: [&str; 3] = ["mlx-mixed-bf16", "mlx-sharded-f16", "mlx-fp4-bf16"];

/// Every matrix of a model in f32, with its name and its storage dtype.
fn matrices(model: &Model) -> Vec<(String, Dtype, Vec<f32>)> {
    let decoded = |(spec, tensor): &(fireside::internals::TensorSpec, Tensor)| match tensor {
        Tensor::Matrix(matrix) => {
            let mut values = vec![0.0; matrix.rows() * matrix.cols()];
            values.chunks_mut(matrix.cols()).enumerate().for_each(|(row, out)| matrix.row(row, out));
            Some((spec.name.clone(), matrix.dtype(), values))
        }
        Tensor::Vector(_) => None,
    };
    model.weights().tensors().iter().filter_map(decoded).collect()
}

/// Loads in chunks of the given lengths, over and over.
fn load_in_chunks(folder: &Folder, options: LoadOptions, mut length: impl FnMut() -> usize) -> Model {
    let mut loader = Model::loader(&folder.files(), options).unwrap();
    for mut file in folder.weights.iter().map(Vec::as_slice) {
        while !file.is_empty() {
            let (chunk, rest) = file.split_at(length().min(file.len()));
            loader.push(chunk).unwrap();
            file = rest;
        }
        loader.end_file().unwrap();
    }
    loader.finish().unwrap()
}

#[test]
fn logits_and_text_are_those_of_the_dequantised_weights() {
    for name in FIXTURES {
        let seen = golden(name).check(folder(name).try_load(Some(Dtype::F32)).unwrap());
        eprintln!("{name}: {seen:?}");
        assert!(seen.undecided <= 1 && seen.tokens > 100, "{name}: {seen:?}");
    }
}

#[test]
fn weights_in_their_own_format_are_the_same_numbers_as_in_f32() {
    for name in FIXTURES {
        let (own, exact) = (folder(name).load(), folder(name).try_load(Some(Dtype::F32)).unwrap());
        for ((tensor, dtype, own), (_, _, exact)) in matrices(&own).into_iter().zip(matrices(&exact)) {
            assert!(own == exact, "{name}: {tensor} in {dtype}");
        }
    }
    let dtype = |name: &str| folder(name).load().weights().dtype();
    assert_eq!(FIXTURES.map(dtype), [Dtype::Q4, Dtype::Q4, Dtype::Q8]);
}

#[test]
fn each_matrix_has_the_format_of_its_bits() {
    let dtypes: Vec<Dtype> = matrices(&folder("mlx-mixed-bf16").load()).into_iter().map(|(_, dtype, _)| dtype).collect();
    use Dtype::{Bf16, Q4, Q8};
    // Embedding; q, k, v, o, gate, up, down of both layers; head. `MIXED` in make_mlx.py has their bits.
    assert_eq!(dtypes, [Q8, Q4, Q8, Q8, Q8, Q8, Q4, Q4, Q8, Q4, Q4, Q8, Q8, Bf16, Q4, Q4]);
}

#[test]
fn chunks_of_any_size_give_the_same_weights() {
    for name in FIXTURES {
        let (folder, mut random) = (folder(name), Random(7));
        let whole = matrices(&folder.load());
        for largest in [1, 7, 100, 5000] {
            let pieces = load_in_chunks(&folder, LoadOptions::default(), || 1 + random.below(largest));
            assert!(matrices(&pieces) == whole, "{name}, chunks of up to {largest} bytes");
        }
    }
}

#[test]
fn another_dtype_is_rounded_once_from_the_weights_of_the_file() {
    for name in FIXTURES {
        let folder = folder(name);
        let exact = matrices(&folder.try_load(Some(Dtype::F32)).unwrap());
        for dtype in [Dtype::F16, Dtype::Bf16, Dtype::Q8, Dtype::Q4] {
            let model = folder.try_load(Some(dtype)).unwrap();
            assert_eq!(model.weights().dtype(), dtype, "{name}");
            // Half a unit in the last place, and half a step of a block of 8 or 4 bits.
            let bound = match dtype {
                Dtype::F16 => 2f32.powi(-11),
                Dtype::Bf16 => 2f32.powi(-8),
                Dtype::Q8 => 0.5 / 126.0,
                _ => 2.5 / 15.0,
            };
            for ((tensor, _, got), (_, _, exact)) in matrices(&model).iter().zip(&exact) {
                let largest = exact.iter().fold(0f32, |largest, value| largest.max(value.abs()));
                let away = got.iter().zip(exact).fold(0f32, |away, (got, value)| away.max((got - value).abs()));
                assert!(away <= bound * largest, "{name}: {tensor} in {dtype} is {away} of {largest} away");
            }
        }
    }
}

#[test]
fn the_headers_tell_the_bytes_that_the_weights_take() {
    for name in FIXTURES {
        let folder = folder(name);
        let config = ModelConfig::from_json(&folder.config).unwrap();
        for dtype in [None, Some(Dtype::F32), Some(Dtype::Q8), Some(Dtype::Q4)] {
            let mut scan = HeaderScan::new(&config, folder.index.as_deref(), dtype).unwrap();
            folder.weights.iter().for_each(|file| assert!(scan.header(file).unwrap() <= file.len()));
            let model = folder.try_load(dtype).unwrap();
            assert_eq!((scan.weight_bytes, scan.stored), (model.weights().bytes(), Some(model.weights().dtype())), "{name} as {dtype:?}");
            if dtype.is_none() {
                let estimate = fireside::Estimate::of(&config, &LoadOptions::default());
                assert_eq!(estimate.weight_bytes, scan.weight_bytes, "{name}");
            }
        }
    }
}
