//! A published file with five kinds of tensors, Gemma 3 270M as Q4_K_M, is read as gguf and transformers
//! read it (tests/golden/real/gemma3.json).
//!
//! `node scripts/test.mjs real` fetches the file and runs these tests. `FIRESIDE_REAL` is its folder.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;

use super::super::checkpoint::Entry;
use super::{Beginning, Reader};

const FILE: &str = "gemma-3-270m-q4_k_m.gguf";

#[derive(Deserialize)]
struct Golden {
    rows: Vec<Row>,
    tensors: Vec<Sums>,
}

/// Some values of a row.
#[derive(Deserialize)]
struct Row {
    tensor: String,
    kind: String,
    row: usize,
    col: usize,
    values: Vec<f32>,
}

/// What a tensor adds up to, in f64.
#[derive(Deserialize)]
struct Sums {
    name: String,
    kind: String,
    shape: Vec<u64>,
    sum: f64,
    magnitude: f64,
}

/// The file after its beginning, or after some bytes more, and the beginning.
pub(crate) fn open() -> (File, Beginning) {
    let folder = std::env::var_os("FIRESIDE_REAL").expect("FIRESIDE_REAL is the folder that scripts/real.mjs names");
    let mut file = File::open(Path::new(&folder).join(FILE)).unwrap();
    let (mut reader, mut chunk) = (Reader::new(FILE), vec![0; 1 << 20]);
    while !reader.is_done() {
        let read = file.read(&mut chunk).unwrap();
        reader.push(&chunk[..read]).unwrap();
    }
    (file, Beginning::of(reader).unwrap())
}

/// A tensor widened to f32.
fn values(file: &mut File, data: u64, entry: &Entry) -> Vec<f32> {
    let mut bytes = vec![0; (entry.end - entry.start) as usize];
    file.seek(SeekFrom::Start(data + entry.start)).unwrap();
    file.read_exact(&mut bytes).unwrap();
    let mut values = vec![0.0; entry.shape.iter().product::<u64>() as usize];
    entry.dtype.expect("a format that is read").widen(&bytes, &mut values);
    values
}

#[test]
#[ignore = "reads a published model: `node scripts/test.mjs real` fetches it"]
fn gemma3_tensors_are_what_gguf_reads() {
    let golden: Golden = serde_json::from_slice(include_bytes!("../../../tests/golden/real/gemma3.json")).unwrap();
    let (mut file, Beginning { header, .. }) = open();
    assert_eq!(header.entries.len(), golden.tensors.len());
    let mut compared = 0;
    for expected in &golden.tensors {
        let entry = header.entries.iter().find(|entry| entry.name == expected.name).expect("every tensor");
        assert_eq!((&*entry.dtype_name, &*entry.shape), (&*expected.kind, &*expected.shape), "{}", expected.name);
        let values = values(&mut file, header.data, entry);
        let sum = |term: fn(f64) -> f64| values.iter().map(|&value| term(value.into())).sum::<f64>();
        let allowed = 1e-9 * expected.magnitude;
        assert!((sum(f64::abs) - expected.magnitude).abs() <= allowed, "{}", expected.name);
        assert!((sum(|value| value) - expected.sum).abs() <= allowed, "{}", expected.name);
        for row in golden.rows.iter().filter(|row| row.tensor == expected.name) {
            let begin = row.row * expected.shape[1] as usize + row.col;
            assert_eq!(values[begin..begin + row.values.len()], row.values, "row {} of {}, {}", row.row, row.tensor, row.kind);
            compared += row.values.len();
        }
    }
    assert!(compared > 2000, "only {compared} values were compared");
}
