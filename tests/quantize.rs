//! `fireside quantize`: the folder that it writes loads, is small, and predicts what the model predicts.
#![cfg(all(unix, feature = "cli"))]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::files::folder;
use common::{Folder, Runner};
use fireside::{Dtype, Model};

fn quantize(model: &str, arguments: &[&str], out: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fireside"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["quantize", model]).args(arguments).arg("--out").arg(out);
    command.output().unwrap()
}

/// A folder for this test, which does not exist yet.
fn fresh(name: &str) -> PathBuf {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&out);
    out
}

fn read(out: &Path) -> Folder {
    let file = |name: &str| fs::read(out.join(name)).unwrap();
    let (config, tokenizer, weights) = (file("config.json"), file("tokenizer.json"), vec![file("model.safetensors")]);
    Folder { name: "quantised".into(), config, tokenizer, weights, ..folder("story") }
}

/// The mean divergence of a model's predictions from those of the bundled story model. Units: nats.
fn divergence(model: &Model) -> f64 {
    let exact = folder("story").try_load(Some(Dtype::F32)).unwrap();
    let text = "Once upon a time there was a little boat. It lived at the edge of a small lake, and every day it watched the sun go up.";
    let tokens = exact.tokenizer().encode_prompt(text).unwrap();
    let predict = |model: &Model| -> Vec<Vec<f64>> {
        let logits = Runner::new(model).feed_all(&tokens);
        logits.chunks_exact(model.config().plan.vocab).map(log_softmax).collect()
    };
    let of = |(p, q): (Vec<f64>, Vec<f64>)| p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
    predict(&exact).into_iter().zip(predict(model)).map(of).sum::<f64>() / tokens.len() as f64
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
    logits.iter().map(|&logit| f64::from(logit) - sum.ln()).collect()
}

#[test]
fn a_quantised_folder_is_small_and_predicts_what_the_model_predicts() {
    for (to, extra, dtype, bits, bound) in
        [("q8", vec![], Dtype::Q8, 8.6, 0.002), ("q4", vec![], Dtype::Q4, 5.7, 0.05), ("auto", vec!["--bits", "5.5"], Dtype::Q4, 5.6, 0.05)]
    {
        let out = fresh(&format!("story-{to}"));
        let output = quantize("models/story", &[&["--to", to][..], &extra].concat(), &out);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let model = read(&out).try_load(None).unwrap();
        let weights = fs::metadata(out.join("model.safetensors")).unwrap().len();
        let per_weight = 8.0 * weights as f64 / model.config().plan.parameters() as f64;
        let exact = read(&out).try_load(Some(Dtype::F32)).unwrap();
        let divergence = divergence(&exact);
        eprintln!("{to}: {per_weight:.2} bits a weight, {divergence:.5} nats");
        // The header takes some hundred bytes a tensor, which counts in a model of 650,000 weights.
        assert!(per_weight < bits + 0.2 && divergence < bound, "{to}: {per_weight} bits a weight, {divergence} nats");
        assert!(model.weights().dtype() == dtype || to == "auto");
        assert!(fs::read_to_string(out.join("fireside.lock.json")).unwrap().contains("\"model.safetensors\""));
        let again = quantize("models/story", &["--to", to], &out);
        assert!(String::from_utf8_lossy(&again.stderr).contains("is not empty. Name another folder with --out."));
        let twice = quantize(out.to_str().unwrap(), &["--to", "q4"], &fresh("story-twice"));
        assert!(String::from_utf8_lossy(&twice.stderr).contains("is quantised already"), "{}", String::from_utf8_lossy(&twice.stderr));
    }
}
