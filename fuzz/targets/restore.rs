//! Bytes that claim to be a saved session are refused with an error, or give a session that works, whatever
//! its numbers.
#![no_main]

use std::sync::{Arc, LazyLock};

use fireside::{Error, Message, Model, Options, Session};
use fireside_fuzz::fixture;
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

static MODEL: LazyLock<Arc<Model>> = LazyLock::new(|| {
    fixture(
        include_bytes!("../../tests/fixtures/llama-odd-f32/config.json"),
        include_bytes!("../../tests/fixtures/llama-odd-f32/tokenizer.json"),
        include_bytes!("../../tests/fixtures/llama-odd-f32/model.safetensors"),
        None,
        160,
    )
});

/// A saved session with some content.
static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut session = Session::new(MODEL.clone());
    let said = |role: &str| Message::new(role, "hello");
    session.append(vec![said("user"), said("assistant")], &Options::default()).expect("there is room");
    session.save(true).expect("memory")
});

const DIGEST_BYTES: usize = 32;

/// Restores the bytes, and uses the session if there is one.
fn check(bytes: &[u8]) {
    let options = Options { max_tokens: Some(2), ..Options::default() };
    match Session::restore(MODEL.clone(), bytes) {
        Err(Error::BadState { .. }) => {}
        Err(other) => panic!("{other}"),
        Ok(mut session) => {
            if let Ok(pieces) = session.chat("hello", &options) {
                let _ = pieces.finish();
            }
            session.reset();
            session.chat("hello", &options).expect("it works on").finish().expect("it works on");
        }
    }
}

// Tries the bytes as they are, and a good saved session with some of them in its place and a correct
// checksum.
fuzz_target!(|data: &[u8]| {
    check(data);
    let Some((&[a, b, cut], patch)) = data.split_first_chunk() else { return };
    let mut forged = GOOD[..GOOD.len() - DIGEST_BYTES].to_vec();
    let at = usize::from(u16::from_le_bytes([a, b])) % forged.len();
    let end = forged.len().min(at + patch.len());
    forged[at..end].copy_from_slice(&patch[..end - at]);
    if cut < 64 {
        forged.truncate(end);
    }
    let digest = Sha256::digest(&forged);
    forged.extend_from_slice(&digest);
    check(&forged);
});
