//! The vocabulary of a published file, Gemma 3 270M, gives the ids that transformers gives
//! (tests/golden/real/gemma3.json).
//!
//! `node scripts/test.mjs real` fetches the file and runs this test. `FIRESIDE_REAL` is its folder.

use serde::Deserialize;

use crate::text::TokenizerConfig;
use crate::tokenizer::Tokenizer;
use crate::weights::open_real;

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
    let (_, beginning) = open_real();
    let config = TokenizerConfig::from_files(Some(&beginning.tokenizer_config_json().unwrap()), None, None).unwrap();
    let tokenizer = Tokenizer::new(&beginning.tokenizer_json().unwrap(), &config).unwrap();
    for Text { text, ids } in &golden.texts {
        // Special tokens are written out in these texts.
        assert_eq!(tokenizer.encode_prompt(text).unwrap(), *ids, "{text:?}");
    }
}
