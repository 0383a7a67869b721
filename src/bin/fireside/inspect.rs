//! `fireside inspect`: shows what a model folder contains and how much memory it needs, without reading the
//! weights.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use fireside::internals::Settings;
use fireside::{Description, LoadOptions, TemplateSource};

use crate::Result;
use crate::folder::SmallFiles;

/// Prints the report.
pub fn inspect(path: &Path, options: LoadOptions) -> Result<()> {
    let files = SmallFiles::read(path)?;
    let loader = files.described(options.clone())?;
    let Some(Description { config, tokenizer, template, generation }) = loader.description() else {
        return Err("the model has no description".into());
    };
    let row = |name: &str, value: String| println!("{name:<12} {value}");

    row(if files.is_gguf() { "file" } else { "folder" }, path.display().to_string());
    row("family", config.family.name().into());
    row("parameters", format!("{:.2} M", config.plan.parameters() as f64 / 1e6));
    let shape = format!("{} layers, hidden {}, inter {}", config.plan.layers.len(), config.plan.hidden, config.plan.inter);
    row("shape", format!("{shape}, {} heads over {} KV heads of {}", config.plan.heads, config.plan.kv_heads, config.plan.head_dim));
    row("context", format!("{} tokens", config.plan.context));
    row("vocabulary", format!("{} rows, {} tokens in the tokenizer", config.plan.vocab, tokenizer.vocab()));
    let ends: BTreeSet<_> = generation.ends(config).into_iter().collect();
    row("end tokens", format!("{ends:?}"));
    row(
        "template",
        match (template.source(), template.error()) {
            (_, Some(error)) => format!("cannot be used: {error}"),
            (TemplateSource::ChatMl, None) => "none; a chat would use ChatML".into(),
            (_, None) => "the model's own".into(),
        },
    );
    let switches = template.switches();
    if !switches.is_empty() {
        row("", format!("it reads --template-kwarg {}", switches.join(", ")));
    }
    let defaults = Settings::of(generation);
    let filters = format!("top-k {}, top-p {}, min-p {}, typical-p {}", defaults.top_k, defaults.top_p, defaults.min_p, defaults.typical_p);
    row("sampling", format!("temperature {}, {filters}, repetition penalty {}", defaults.temperature, defaults.repetition_penalty));
    for name in loader.files() {
        let bytes =
            fs::metadata(files.folder.join(name)).map(|file| megabytes(file.len())).unwrap_or_else(|error| format!("missing: {error}"));
        row("weights", format!("{name}, {bytes}"));
    }
    let scan = files.scan(config)?;
    match options.storage(config).or(config.dtype) {
        _ if files.is_gguf() && options.dtype.is_none() => {
            row("memory", format!("{} for the weights as the file has them", megabytes(scan.weight_bytes)));
        }
        Some(dtype) => row("memory", format!("{} for the weights as {dtype}", megabytes(config.plan.weight_bytes(dtype)))),
        None => row("memory", "as large as the weight files; config.json names no dtype".into()),
    }
    let kv = |tokens| megabytes(config.plan.kv_bytes(options.kv_dtype, tokens));
    row("", format!("{} of KV cache per 1,000 tokens, {} for the whole context", kv(1000), kv(config.plan.context)));
    let unread_tensors = scan.unread_tensors();
    if !unread_tensors.is_empty() {
        row("not read", format!("tensors that the model does not use: {}", unread_tensors.join(", ")));
    }
    if !config.ignored.is_empty() {
        row("not used", format!("fields of config.json that were not recognised: {}", config.ignored.join(", ")));
    }
    for ignored in &generation.ignored {
        row("not used", format!("{} of the defaults for generation {}", ignored.field, ignored.reason));
    }
    Ok(())
}

fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}
