//! The pre-tokenizers that `tokenizer.ggml.pre` names, as stages of `tokenizer.json`.
//!
//! A name stands for a published tokenizer. The stages here are those of its `tokenizer.json`.

use serde_json::{Value, json};

/// How a byte-level vocabulary is used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pre {
    names: &'static [&'static str],
    /// The rules by which a text is cut before it is spelt.
    cut: Cut,
    /// Whether the text is composed (NFC) first.
    composed: bool,
    /// Whether a piece that is a token becomes it, whatever the merges say.
    pub ignores_merges: bool,
    /// Whether a prompt begins with BOS in files that do not say it.
    pub adds_bos: bool,
}

#[derive(Debug, Clone, Copy)]
enum Cut {
    /// The pattern of GPT-2.
    Gpt2,
    /// The same, after each digit was cut out.
    DigitsThenGpt2,
    /// Patterns, one after the other.
    Patterns(&'static [&'static str]),
}

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const SEED_CODER: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
/// What llama.cpp does for a file that names no pre-tokenizer.
const DEFAULT: &[&str] =
    &[r"[\p{P}\$\+<=>\^~\|]+", r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)", r"\p{N}+", r"[0-9][0-9][0-9]"];
const DEEPSEEK_CODER: &[&str] = &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+", r"\p{N}"];

const BASE: Pre = Pre { names: &[], cut: Cut::Gpt2, composed: false, ignores_merges: false, adds_bos: false };

/// Every pre-tokenizer.
///
/// Source: llama.cpp, `src/llama-vocab.cpp`, for the names, merges and BOS; transformers 5.24,
/// `integrations/gguf/gguf_tokenizer_mapping.py`, and published tokenizer.json files for the stages.
const PRES: &[Pre] = &[
    Pre {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
        cut: Cut::Patterns(&[LLAMA3]),
        ignores_merges: true,
        adds_bos: true,
        ..BASE
    },
    Pre { names: &["smaug-bpe", "dbrx"], cut: Cut::Patterns(&[LLAMA3]), ..BASE },
    Pre { names: &["qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez"], cut: Cut::Patterns(&[QWEN2]), composed: true, ..BASE },
    Pre { names: &["tekken"], cut: Cut::Patterns(&[TEKKEN]), ignores_merges: true, adds_bos: true, ..BASE },
    Pre { names: &["gpt-4o", "llama4", "kanana2"], cut: Cut::Patterns(&[GPT4O]), ..BASE },
    Pre { names: &["seed-coder"], cut: Cut::Patterns(&[SEED_CODER]), ..BASE },
    Pre { names: &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"], cut: Cut::DigitsThenGpt2, ..BASE },
    Pre { names: &["gpt-2", "phi-2", "exaone4", "jais", "trillion", "granite-docling", "gigachat"], ..BASE },
    Pre { names: &["olmo", "mpt"], composed: true, ..BASE },
    Pre { names: &["deepseek-coder"], cut: Cut::Patterns(DEEPSEEK_CODER), ..BASE },
    Pre { names: &["default"], cut: Cut::Patterns(DEFAULT), ..BASE },
];

impl Pre {
    pub(super) fn of(name: &str) -> Option<Pre> {
        PRES.iter().find(|row| row.names.contains(&name)).copied()
    }

    /// The names that are known.
    pub(super) fn known() -> String {
        PRES.iter().flat_map(|row| row.names).copied().collect::<Vec<_>>().join(", ")
    }

    pub(super) fn normalizer(self) -> Value {
        if self.composed { json!({"type": "NFC"}) } else { Value::Null }
    }

    pub(super) fn pre_tokenizer(self) -> Value {
        let bytes = |searches: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": searches});
        let split = |pattern: &&str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        let stages: Vec<Value> = match self.cut {
            Cut::Gpt2 => return bytes(true),
            Cut::DigitsThenGpt2 => vec![json!({"type": "Digits", "individual_digits": true}), bytes(true)],
            Cut::Patterns(patterns) => patterns.iter().map(split).chain([bytes(false)]).collect(),
        };
        json!({"type": "Sequence", "pretokenizers": stages})
    }
}
