//! Checks the stages of `tokenizer.json` (normalizer, pre-tokenizer, post-processor, decoder) as plain JSON:
//! their types, their patterns, and how much longer they make a text.

use serde_json::Value;

use super::pattern::Bounded;
use super::{bad, charsmap};
use crate::error::Result;
use crate::json::show;

/// The types of stages that Fireside runs.
const NORMALIZERS: &[&str] = &[
    "BertNormalizer",
    "ByteLevel",
    "Lowercase",
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "Nmt",
    "Precompiled",
    "Prepend",
    "Replace",
    "Sequence",
    "Strip",
    "StripAccents",
];
const PRE_TOKENIZERS: &[&str] = &[
    "BertPreTokenizer",
    "ByteLevel",
    "CharDelimiterSplit",
    "Digits",
    "FixedLength",
    "Metaspace",
    "Punctuation",
    "Sequence",
    "Split",
    "UnicodeScripts",
    "Whitespace",
    "WhitespaceSplit",
];
const POST_PROCESSORS: &[&str] = &["BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence", "TemplateProcessing"];
const DECODERS: &[&str] = &["ByteFallback", "ByteLevel", "Fuse", "Metaspace", "Replace", "Sequence", "Strip", "WordPiece"];

/// How many times longer all stages before the model together may make a text. Published tokenizers make
/// three bytes of one.
const GROWTH_MAX: usize = 4096;

/// Bytes of all patterns together. Compiling them takes little time.
const PATTERN_BYTES_MAX: usize = 8192;

/// Bytes of all patterns in the engine's syntax, where one `\b` is about 300 bytes.
const TRANSLATED_BYTES_MAX: usize = 1 << 14;

/// The limit on the ids that a post-processor adds.
const AROUND_MAX: usize = 1000;

/// Checks the four stages.
pub(super) fn check(normalizer: &Value, pre_tokenizer: &Value, post_processor: &Value, decoder: &Value) -> Result<()> {
    let (mut growth, mut patterns, mut translated) = (1, 0, 0);
    for (place, whole, kinds) in [
        ("normalizer", normalizer, NORMALIZERS),
        ("pre_tokenizer", pre_tokenizer, PRE_TOKENIZERS),
        ("post_processor", post_processor, POST_PROCESSORS),
        ("decoder", decoder, DECODERS),
    ] {
        let mut around = 0;
        each(whole, &mut |stage| {
            let kind = kind(place, stage, kinds)?;
            if let Some(regex) = stage.get("pattern").and_then(|pattern| pattern.get("Regex")?.as_str()) {
                patterns += regex.len();
                if patterns > PATTERN_BYTES_MAX {
                    return Err(bad(format!("{place}.pattern"), format!("at most {PATTERN_BYTES_MAX} bytes in all"), patterns));
                }
                // The library does not report a search that takes too long.
                let pattern = Bounded::new(place, regex)?;
                translated += pattern.bytes();
                if translated > TRANSLATED_BYTES_MAX {
                    let expected = format!("at most {TRANSLATED_BYTES_MAX} bytes in all, where groups and places are written out");
                    return Err(bad(format!("{place}.pattern"), expected, translated));
                }
                if !pattern.is_plain() && place != "pre_tokenizer" {
                    return Err(bad(
                        format!("{place}.pattern"),
                        "a regular expression without look-arounds and references",
                        show(&regex.into()),
                    ));
                }
            }
            if stage.get("pattern").and_then(|pattern| pattern.get("String")?.as_str()) == Some("") {
                return Err(bad(format!("{place}.pattern"), "some text", "none"));
            }
            if stage.get("length").and_then(Value::as_u64) == Some(0) {
                return Err(bad(place, "a length above 0", 0));
            }
            if kind == "TemplateProcessing" {
                template(stage, &mut around)?;
            }
            if place != "post_processor" {
                let more = match kind {
                    "Precompiled" => charsmap::check(stage.get("precompiled_charsmap").and_then(Value::as_str).unwrap_or_default())?,
                    _ => lengthening(kind, stage),
                };
                growth = usize::saturating_mul(growth, more);
            }
            if growth > GROWTH_MAX {
                let expected = format!("stages that make a text at most {GROWTH_MAX} times longer");
                return Err(bad(place, expected, "stages that may make it longer than that"));
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Visits a stage and the stages inside it.
fn each(stage: &Value, visit: &mut impl FnMut(&Value) -> Result<()>) -> Result<()> {
    if stage.is_null() {
        return Ok(());
    }
    visit(stage)?;
    let inner = ["normalizers", "pretokenizers", "processors", "decoders"].iter().filter_map(|list| stage.get(list)?.as_array());
    inner.flatten().try_for_each(|stage| each(stage, visit))
}

fn kind<'a>(place: &str, stage: &'a Value, kinds: &[&str]) -> Result<&'a str> {
    match stage.get("type").and_then(Value::as_str) {
        Some(kind) if kinds.contains(&kind) => Ok(kind),
        Some(kind) => Err(bad(format!("{place}.type"), format!("one of {}", kinds.join(", ")), format!("{kind:?}"))),
        None => Err(bad(place, "null or an object with a type", show(stage))),
    }
}

/// The largest number of bytes that a stage makes of one.
fn lengthening(kind: &str, stage: &Value) -> usize {
    let text = |name| stage.get(name).and_then(Value::as_str).map_or(1, str::len);
    match kind {
        "Replace" => match stage.get("pattern").and_then(|pattern| pattern.get("String")?.as_str()) {
            Some(pattern) => text("content").div_ceil(pattern.len().max(1)),
            // A pattern that matches the empty text puts it between any two characters.
            None => text("content") + 1,
        },
        "Prepend" => text("prepend"),
        // U+FDFA has three bytes, and becomes eighteen Arabic letters.
        "NFKC" | "NFKD" => 11,
        "BertNormalizer" | "Lowercase" | "NFC" | "NFD" | "Metaspace" => 3,
        "ByteLevel" => 2,
        _ => 1,
    }
    .max(1)
}

/// Checks a template post-processor: it may add only tokens that it defines, not too many, around the one
/// text.
fn template(stage: &Value, around: &mut usize) -> Result<()> {
    let mut texts = 0;
    for piece in stage.get("single").and_then(Value::as_array).into_iter().flatten() {
        let id = |kind: &str| piece.get(kind).and_then(|piece| piece.get("id")?.as_str());
        if let Some(id) = id("SpecialToken") {
            let Some(token) = stage.get("special_tokens").and_then(|tokens| tokens.get(id)) else {
                return Err(bad("post_processor.special_tokens", format!("the token {id:?} of the template"), "none"));
            };
            *around += token.get("ids").and_then(Value::as_array).map_or(0, Vec::len);
        } else {
            texts += 1;
            if id("Sequence") != Some("A") {
                return Err(bad("post_processor.single", "the sequence A", piece));
            }
        }
    }
    if texts != 1 {
        return Err(bad("post_processor.single", "the sequence A once", format!("{texts} times")));
    }
    if *around > AROUND_MAX {
        return Err(bad("post_processor.special_tokens", format!("at most {AROUND_MAX} ids around a text"), *around));
    }
    Ok(())
}
