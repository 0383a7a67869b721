//! Published models, as they are published: logits and text equal those of transformers, and the storage
//! formats keep the quality that they promise.
//!
//! `node scripts/test.mjs real` fetches the models and runs these tests. `FIRESIDE_REAL` is their folder.
#![cfg(all(not(target_family = "wasm"), feature = "cli"))]

mod common;

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// The path of a file in the folder of the models.
fn file(name: &str) -> PathBuf {
    let folder = std::env::var_os("FIRESIDE_REAL").expect("FIRESIDE_REAL is the folder that scripts/real.mjs names");
    PathBuf::from(folder).join(name)
}

/// A file of `tests/golden/real`, made by make_real.py.
fn golden(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/real").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

mod smollm2 {
    use super::common::files::gguf;
    use super::common::golden::Golden;
    use super::*;
    use fireside::Dtype;

    const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

    /// The largest loss that a format may have on tests/data/plain_english.txt.
    struct Bound {
        format: &'static str,
        /// Mean Kullback-Leibler divergence from f32. Units: nats a token.
        divergence_max: f64,
        /// Of the perplexity, relative.
        change_max: f64,
        /// The least share of positions with the same likeliest token.
        agreement_min: f64,
        /// Of memory, for each weight.
        bits_max: f64,
    }

    /// The file's own weights lie on a grid of 4 bits, so q4 finds them nearly whole.
    const BOUNDS: [Bound; 4] = [
        Bound { format: "auto", divergence_max: 1e-4, change_max: 1e-3, agreement_min: 0.995, bits_max: 5.9 },
        Bound { format: "f16", divergence_max: 1e-5, change_max: 1e-4, agreement_min: 0.998, bits_max: 16.1 },
        Bound { format: "q8", divergence_max: 0.0015, change_max: 0.006, agreement_min: 0.975, bits_max: 9.1 },
        Bound { format: "q4", divergence_max: 0.001, change_max: 0.006, agreement_min: 0.98, bits_max: 6.0 },
    ];

    #[test]
    #[ignore = "reads a published model: `node scripts/test.mjs real` fetches it"]
    fn agrees_with_transformers() {
        let seen = Golden::parse(&golden("smollm2.json")).check(gguf(&file(FILE), Some(Dtype::F32)).unwrap());
        eprintln!("{FILE}: {seen:?}");
        assert!(seen.tokens > 500 && seen.undecided <= 1 + seen.tokens / 1000, "{seen:?}");
    }

    /// What `fireside quality` reports for the formats of [`BOUNDS`].
    fn quality() -> Value {
        let formats = BOUNDS.each_ref().map(|bound| bound.format).join(",");
        let mut command = Command::new(env!("CARGO_BIN_EXE_fireside"));
        command.args(["quality", "--text", "tests/data/plain_english.txt", "--format", &formats, "--model"]).arg(file(FILE));
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        let table = String::from_utf8(output.stdout).unwrap();
        eprintln!("{table}{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_str(table.lines().last().unwrap_or_default()).expect("the last line is JSON")
    }

    #[test]
    #[ignore = "reads a published model: `node scripts/test.mjs real` fetches it"]
    fn formats_lose_no_more_than_they_promise() {
        let (expected, report): (Value, Value) = (serde_json::from_slice(&golden("smollm2.json")).unwrap(), quality());
        let number = |value: &Value| value.as_f64().unwrap();
        assert_eq!(report["positions"], expected["text"]["positions"]);
        let (ours, theirs) = (number(&report["perplexity"]), number(&expected["text"]["perplexity"]));
        assert!((ours / theirs - 1.0).abs() < 1e-4, "perplexity in f32: {ours}, transformers': {theirs}");
        for (bound, row) in BOUNDS.iter().zip(report["rows"].as_array().unwrap()) {
            assert_eq!(row["format"], bound.format);
            assert!(number(&row["kl"]) <= bound.divergence_max, "{row}");
            assert!(number(&row["change"]).abs() <= bound.change_max, "{row}");
            assert!(number(&row["sameTop"]) >= bound.agreement_min, "{row}");
            assert!(number(&row["bits"]) <= bound.bits_max, "{row}");
        }
    }
}
