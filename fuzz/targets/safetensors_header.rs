//! A weight file of any bytes, in any chunks, gives the same weights or the same error as in one chunk.
//! Nothing is accepted that the reference reader does not read in the same way. The header alone predicts
//! the memory.
#![no_main]

use fireside::Dtype;
use fireside::internals::{HeaderScan, Loader, ModelConfig, Weights};
use fireside_fuzz::{TINY, bits};
use libfuzzer_sys::fuzz_target;
use safetensors::SafeTensors;

fn load(config: &ModelConfig, dtype: Option<Dtype>, file: &[u8], mut chunks: impl FnMut() -> usize) -> fireside::Result<Weights> {
    let mut loader = Loader::new(config, None, dtype)?;
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
    assert_eq!(ended.clone().err(), finished.as_ref().err().cloned());
    finished
}

/// Scans the header of the file, given as many bytes as the scan asks for.
fn scan(config: &ModelConfig, dtype: Option<Dtype>, file: &[u8]) -> fireside::Result<HeaderScan> {
    let mut scan = HeaderScan::new(config, None, dtype)?;
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
    let Some((&[how, step, low, high], rest)) = data.split_first_chunk() else { return };
    // Half of the inputs get a correct header length, because a wrong one hides everything else.
    let file = match how & 1 {
        0 => rest.to_vec(),
        _ => {
            let (header, body) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes([low, high]))));
            [&(header.len() as u64).to_le_bytes(), header, body].concat()
        }
    };
    let dtype = [None, Some(Dtype::F32), Some(Dtype::F16), Some(Dtype::Q8)][usize::from(how >> 1) % 4];
    let config = ModelConfig::from_json(TINY.as_bytes()).expect("the tiny config");
    let whole = load(&config, dtype, &file, || usize::MAX);
    let mut state = usize::from(step);
    let pieces = load(&config, dtype, &file, || {
        state = state.wrapping_mul(25_173).wrapping_add(13_849) & 0xffff;
        if step < 16 { usize::from(step) } else { state >> 9 }
    });
    match (&whole, &pieces) {
        (Ok(whole), Ok(pieces)) => assert_eq!(bits(whole), bits(pieces)),
        (whole, pieces) => assert_eq!(whole.as_ref().err(), pieces.as_ref().err()),
    }
    let scan = scan(&config, dtype, &file);
    let Ok(whole) = whole else { return };
    let scan = scan.expect("a file that loads has a header");
    assert_eq!((scan.file_bytes, scan.weight_bytes), (file.len() as u64, whole.bytes()));
    let reference = SafeTensors::deserialize(&file).expect("the reference reads what we accept");
    if dtype == Some(Dtype::F32) && reference.tensors().iter().all(|(_, tensor)| tensor.dtype() == safetensors::Dtype::F32) {
        let norm = reference.tensor("model.norm.weight").or_else(|_| reference.tensor("norm.weight")).expect("the last norm");
        let expected: Vec<u8> = whole.norm.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(norm.data(), expected);
    }
});
