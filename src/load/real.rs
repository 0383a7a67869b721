//! The vocabulary of a published file, Gemma 3 270M, gives the ids that transformers gives
//! (tests/golden/real/gemma3.json).
//!
//! `node scripts/test.mjs real` fetches the file and runs this test. `FIRESIDE_REAL` is its folder.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use crate::text::TokenizerConfig;
use crate::tokenizer::Tokenizer;
use crate::weights::{Beginning, Reader};

const FILE: &str = "gemma-3-270m-q4_k_m.gguf";

#[derive(Deserialize)]
struct Golden {
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    ids: Vec<u32>,
}

#[test]
#[ignore = "reads a published model: `node scripts/test.mjs real` fetches it"]
fn gemma3_texts_have_the_ids_of_transformers() {
    let golden: Golden = serde_json::from_slice(include_bytes!("../../tests/golden/real/gemma3.json")).unwrap();
    let folder = std::env::var_os("FIRESIDE_REAL").expect("FIRESIDE_REAL is the folder that scripts/real.mjs names");
    let mut file = File::open(Path::new(&folder).join(FILE)).unwrap();
    let (mut reader, mut chunk) = (Reader::new(FILE), vec![0; 1 << 20]);
    while !reader.is_done() {
        let read = file.read(&mut chunk).unwrap();
        reader.push(&chunk[..read]).unwrap();
    }
    let beginning = Beginning::of(reader).unwrap();
    let config = TokenizerConfig::from_files(Some(&beginning.tokenizer_config_json().unwrap()), None, None).unwrap();
    let tokenizer = Tokenizer::new(&beginning.tokenizer_json().unwrap(), &config).unwrap();
    for Text { text, ids } in &golden.texts {
        // Special tokens are written out in these texts.
        assert_eq!(tokenizer.encode_prompt(text).unwrap(), *ids, "{text:?}");
    }
}
