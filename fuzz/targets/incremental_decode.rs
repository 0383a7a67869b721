//! For any ids, the pieces of a decoder join to the decoding of the whole, at every cut between prompt and
//! generated text. No piece is taken back. Text without broken characters equals the reference's.
#![no_main]

use std::sync::LazyLock;

use fireside::Tokenizer;
use fireside_fuzz::TOKENIZERS;
use libfuzzer_sys::fuzz_target;

static PAIRS: LazyLock<Vec<(Tokenizer, reference::Tokenizer)>> = LazyLock::new(|| {
    let pair = |json: &&[u8]| {
        let ours = Tokenizer::from_bytes(json, None).expect("a sound tokenizer");
        (ours, reference::Tokenizer::from_bytes(json).expect("a sound tokenizer"))
    };
    TOKENIZERS.iter().map(pair).collect()
});

/// How a character that the end of the prompt cuts looks there.
const BROKEN: char = '\u{FFFD}';

fuzz_target!(|data: &[u8]| {
    let Some((&which, rest)) = data.split_first() else { return };
    let (tokenizer, reference) = &PAIRS[usize::from(which) % PAIRS.len()];
    let number = |pair: &[u8; 2]| u32::from(u16::from_le_bytes(*pair)) % (tokenizer.vocab() as u32 + 1);
    let ids: Vec<u32> = rest.as_chunks().0.iter().take(40).map(number).collect();
    if ids.contains(&(tokenizer.vocab() as u32)) {
        assert_eq!(tokenizer.decode(&ids, true).map_err(|error| error.code()), Err("BAD_INPUT"));
        return;
    }

    let whole = tokenizer.decode(&ids, true).expect("ids in range");
    for cut in 0..=ids.len() {
        let (prompt, continuation) = ids.split_at(cut);
        let before = tokenizer.decode(prompt, true).expect("ids in range");
        let mut decoder = tokenizer.decoder(prompt).expect("ids in range");
        let mut joined = String::new();
        for &id in continuation {
            joined += &decoder.push(tokenizer, id).expect("ids in range");
            assert!(whole.ends_with(&joined) || whole.contains(&joined), "{joined:?} is taken back in {whole:?}");
        }
        joined += &decoder.finish();
        // If the cut is inside a character, the prompt alone ends in U+FFFD and the continuation has the
        // character. A broken character before the cut stays.
        let owned = whole.strip_suffix(joined.as_str()).unwrap_or_else(|| panic!("{joined:?} does not end {whole:?} cut at {cut}"));
        assert!(before.starts_with(owned), "{before:?} is not {owned:?} at {cut}");
        assert!(before[owned.len()..].chars().all(|c| c == BROKEN) && before.len() <= owned.len() + 9, "{before:?} and {owned:?} at {cut}");
    }
    if !whole.contains(BROKEN) {
        assert_eq!(reference.decode(&ids, true).expect("ids in range"), whole, "{ids:?}, tokenizer {which}");
    }
});
