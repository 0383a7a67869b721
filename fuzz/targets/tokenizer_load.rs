//! A tokenizer.json of any bytes, or a valid one with edits, gives an error or a tokenizer that works: ids
//! in range, text that round-trips, errors that are returned.
#![no_main]

use fireside::{Error, Tokenizer};
use fireside_fuzz::{TINY_TOKENIZER, TOKENIZERS, file};
use libfuzzer_sys::fuzz_target;

/// Small tokenizers of kinds that the library reads and no fixture has.
const OTHERS: [&str; 3] = [
    r###"{"added_tokens":[{"id":0,"content":"<unk>","single_word":false,"lstrip":false,"rstrip":false,"normalized":true,"special":true}],
    "normalizer":{"type":"Sequence","normalizers":[{"type":"NFKD"},{"type":"Lowercase"},{"type":"StripAccents"}]},
    "pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"BertPreTokenizer"},{"type":"Digits","individual_digits":true}]},
    "post_processor":{"type":"BertProcessing","sep":["a",1],"cls":["<unk>",0]},"decoder":{"type":"WordPiece","prefix":"##","cleanup":true},
    "model":{"type":"WordPiece","unk_token":"<unk>","continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{"<unk>":0,"a":1,"##b":2}}}"###,
    r###"{"added_tokens":[],"normalizer":{"type":"Prepend","prepend":"▁"},"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true},
    "post_processor":null,"decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},
    "model":{"type":"Unigram","unk_id":0,"byte_fallback":true,"vocab":[["<unk>",0.0],["▁",-1.0],["▁a",-2.5],["b",-3.0],["<0x0A>",-4.0]]}}"###,
    r###"{"added_tokens":[{"id":2,"content":"[X]","single_word":true,"lstrip":true,"rstrip":true,"normalized":false,"special":false}],
    "normalizer":{"type":"Replace","pattern":{"Regex":"[0-9]+"},"content":"a"},"pre_tokenizer":{"type":"Split","pattern":{"Regex":"\\s+|\\w+"},"behavior":"MergedWithNext","invert":true},
    "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"u","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"u":{"id":"u","ids":[0],"tokens":["u"]}}},
    "decoder":null,"model":{"type":"WordLevel","unk_token":"u","vocab":{"u":0,"a":1}}}"###,
];

const TEXTS: [&str; 7] = [
    "",
    "a",
    "a ab\n abba  b 12",
    "<s><unk><|im_end|>[X] a",
    "é\u{301} 雪 🔥 Ǆ ﬁ İ\u{0}",
    "\u{E000}▁Ġ<0x0A>##b",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!",
];

fuzz_target!(|data: &[u8]| {
    let sound: Vec<&[u8]> =
        OTHERS.iter().map(|json| json.as_bytes()).chain([TINY_TOKENIZER.as_bytes()]).chain(TOKENIZERS[1..4].iter().copied()).collect();
    let Some(json) = file(&sound, data) else { return };
    let tokenizer = match Tokenizer::from_bytes(&json, None) {
        Ok(tokenizer) => tokenizer,
        Err(error) => {
            assert!(matches!(error.code(), "BAD_TOKENIZER" | "NOT_A_MODEL_FILE" | "BAD_FILE"), "{error}");
            return;
        }
    };
    let expected = |error: Error| assert!(matches!(error.code(), "BAD_TOKENIZER" | "BAD_INPUT"), "{error}");
    for text in TEXTS {
        for ids in [tokenizer.encode_text(text), tokenizer.encode_prompt(text)] {
            let ids = match ids {
                Ok(ids) => ids,
                Err(error) => {
                    expected(error);
                    continue;
                }
            };
            assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab()), "{ids:?} of {}", tokenizer.vocab());
            match tokenizer.decode(&ids, false) {
                Ok(decoded) => assert!(decoded.len() <= 64 * json.len() * (1 + ids.len()), "{} bytes", decoded.len()),
                Err(error) => expected(error),
            }
        }
    }
    for (text, special) in TEXTS.iter().flat_map(|text| [(text, true), (text, false)]) {
        match tokenizer.encode_with_offsets(text, special) {
            Ok(pieces) => assert!(pieces.iter().all(|piece| text.get(piece.start..piece.end).is_some()), "{pieces:?} of {text:?}"),
            Err(error) => expected(error),
        }
    }
    let last = tokenizer.vocab() as u32 - 1;
    if let Err(error) = tokenizer.piece_bytes(last) {
        expected(error);
    }
    assert_eq!(tokenizer.decode(&[last + 1], true).map_err(|error| error.code()), Err("BAD_INPUT"));
    if let Err(error) = tokenizer.decode(&[last, 0, last], true) {
        expected(error);
    }
});
