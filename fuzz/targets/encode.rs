//! Any text gives the ids and offsets of the reference implementation (tokenizers 0.22 with the regex
//! engine of the Python wheels), and typed text never becomes a special token.
#![no_main]

use std::sync::LazyLock;

use fireside::Tokenizer;
use fireside_fuzz::{TOKENIZERS, text};
use libfuzzer_sys::fuzz_target;

static PAIRS: LazyLock<Vec<(Tokenizer, reference::Tokenizer, reference::Tokenizer)>> = LazyLock::new(|| {
    let pair = |json: &&[u8]| {
        let ours = Tokenizer::from_bytes(json, None).expect("a sound tokenizer");
        let theirs: reference::Tokenizer = reference::Tokenizer::from_bytes(json).expect("a sound tokenizer");
        let mut literal = theirs.clone();
        literal.set_encode_special_tokens(true);
        (ours, theirs, literal)
    };
    TOKENIZERS.iter().map(pair).collect()
});

fuzz_target!(|data: &[u8]| {
    let Some((&which, rest)) = data.split_first() else { return };
    let (ours, theirs, literal) = &PAIRS[usize::from(which) % PAIRS.len()];
    let text = text(rest);

    let prompt = ours.encode_prompt(&text).expect("a text");
    let expected = theirs.encode_fast(text.as_str(), true).expect("a text");
    assert_eq!(prompt, expected.get_ids(), "{text:?} as a prompt, tokenizer {which}");

    let ids = ours.encode_text(&text).expect("a text");
    let expected = literal.encode_fast(text.as_str(), false).expect("a text");
    // If a vocabulary holds the text of a special token as a piece, the reference turns typed text into the
    // special token. Both write <unk>, which is special, for characters outside the vocabulary.
    let specials = |ids: &[u32]| ids.iter().filter(|&&id| ours.is_special(id)).count();
    if specials(expected.get_ids()) == specials(&ids) {
        assert_eq!(ids, expected.get_ids(), "{text:?} as text, tokenizer {which}");
    } else {
        assert!(specials(&ids) < specials(expected.get_ids()), "{text:?} became structure: {ids:?}, tokenizer {which}");
    }
    let unknown = ours.id("<unk>");

    let pieces = ours.encode_with_offsets(&text, true).expect("a text");
    assert!(pieces.iter().map(|piece| piece.id).eq(prompt), "{text:?} as a prompt with offsets, tokenizer {which}");
    let pieces = ours.encode_with_offsets(&text, false).expect("a text");
    assert!(pieces.iter().map(|piece| piece.id).eq(ids.iter().copied()), "{text:?} with offsets, tokenizer {which}");
    if expected.get_ids() == ids {
        let expected = literal.encode(text.as_str(), false).expect("a text");
        let offsets = pieces.iter().map(|piece| (piece.start, piece.end));
        assert!(
            offsets.eq(expected.get_offsets().iter().copied()),
            "{text:?}: {pieces:?}, {:?}, tokenizer {which}",
            expected.get_offsets()
        );
    }
    assert!(ids.iter().all(|&id| !ours.is_special(id) || Some(id) == unknown), "{text:?} became structure: {ids:?}, tokenizer {which}");
});
