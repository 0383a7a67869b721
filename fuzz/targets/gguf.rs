//! A GGUF file of any bytes, in any chunks, gives the same model or the same error as in one chunk. Its
//! header alone predicts the size of the file and the memory.
#![no_main]

use fireside::internals::{GgufScan, gguf_tokenizer};
use fireside::{LoadOptions, Model, ModelFiles, ModelLoader};
use fireside_fuzz::bits;
use libfuzzer_sys::fuzz_target;

const NAME: &str = "model.gguf";

fn load(file: &[u8], mut chunks: impl FnMut() -> usize) -> fireside::Result<Model> {
    let mut loader = ModelLoader::gguf(NAME, &ModelFiles::default(), LoadOptions::default())?;
    let mut rest = file;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(chunks().clamp(1, rest.len()));
        rest = after;
        if let Err(error) = loader.push(chunk) {
            assert_eq!(loader.push(b"more"), Err(error.clone()), "an error is for good");
            assert_eq!(loader.end_file(), Err(error), "an error is for good");
            break;
        }
    }
    let ended = loader.end_file();
    let finished = loader.finish();
    if let Err(error) = ended {
        assert_eq!(finished.as_ref().err(), Some(&error));
    }
    finished
}

/// Scans the header of the file, given as many bytes as the scan asks for.
fn scan(file: &[u8]) -> fireside::Result<GgufScan> {
    let mut scan = GgufScan::new(NAME, None, LoadOptions::default())?;
    let mut given = 0;
    loop {
        let needed = scan.header(&file[..given])?;
        if needed <= given || given == file.len() {
            return Ok(scan);
        }
        given = needed.min(file.len());
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&step, file)) = data.split_first() else { return };
    // A tokenizer of any architecture, also one that no model has.
    if let Ok(tokenizer) = gguf_tokenizer(NAME, file) {
        let ids = tokenizer.encode_prompt("a b \u{e9}1").unwrap_or_default();
        assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab()));
    }
    let whole = load(file, || usize::MAX);
    let mut state = usize::from(step);
    let pieces = load(file, || {
        state = state.wrapping_mul(25_173).wrapping_add(13_849) & 0xffff;
        if step < 16 { usize::from(step) } else { state >> 9 }
    });
    match (&whole, &pieces) {
        (Ok(whole), Ok(pieces)) => assert_eq!(bits(whole.weights()), bits(pieces.weights())),
        (whole, pieces) => assert_eq!(whole.as_ref().err(), pieces.as_ref().err()),
    }
    let scan = scan(file);
    let Ok(whole) = whole else { return };
    let (config, _, scan) = scan.expect("a file that loads has a header").finish().expect("a header");
    assert_eq!(config.plan.tensors(), {
        let mut plan = whole.config().plan.clone();
        plan.tied = config.plan.tied;
        plan.tensors()
    });
    assert!(scan.weight_bytes >= whole.weights().bytes());
});
