//! Model folders on this machine: the fixtures, the bundled models, and the real one in `../shared` if it
//! is there.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use fireside::{Dtype, LoadOptions, Model, ModelFiles, ModelLoader};

use super::{Folder, golden::Golden};

/// Every tiny checkpoint of `tests/fixtures`.
pub const FIXTURES: [&str; 13] = [
    "llama-bias-f32",
    "llama-odd-f32",
    "llama-sharded-bf16",
    "llama-subnormal-f16",
    "llama-tied-bf16",
    "llama-untied-f32",
    "llama3-rope-bf16",
    "minueza-shape-f16",
    "mistral-window-f16",
    "qwen2-bf16",
    "qwen2-window-f16",
    "qwen3-f32",
    "smollm3-bf16",
];

/// The folder of a model, by the name of its golden file.
pub fn path(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    match name {
        "story" | "chat" => root.join("models").join(name),
        "shared-story" => root.join("../shared/models/story"),
        fixture => root.join("tests/fixtures").join(fixture),
    }
}

/// A model folder of the repository.
pub fn folder(name: &str) -> Folder {
    read(name).unwrap_or_else(|| panic!("{} is not there", path(name).display()))
}

/// The real model next to the repository. Prints a line and returns None if it is missing.
pub fn shared_story() -> Option<Folder> {
    let found = read("shared-story");
    if found.is_none() {
        eprintln!("skipped: there is no model in {}", path("shared-story").display());
    }
    found
}

/// The reference values of a model.
pub fn golden(name: &str) -> Golden {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.json"));
    Golden::parse(&fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}

/// The model of a GGUF file.
pub fn gguf(path: &Path, dtype: Option<Dtype>) -> fireside::Result<Model> {
    let name = path.file_name().and_then(|name| name.to_str()).expect("a file with a name");
    let mut loader = ModelLoader::gguf(name, &ModelFiles::default(), LoadOptions { dtype, ..LoadOptions::default() })?;
    let mut file = fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk).unwrap() {
            0 => break,
            read => loader.push(&chunk[..read])?,
        }
    }
    loader.end_file()?;
    loader.finish()
}

fn read(name: &str) -> Option<Folder> {
    let at = path(name);
    let file = |file: &str| fs::read(at.join(file)).ok();
    let index = file("model.safetensors.index.json");
    let mut weights: Vec<String> = fs::read_dir(&at)
        .ok()?
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".safetensors"))
        .collect();
    weights.sort();
    Some(Folder {
        name: name.to_string(),
        config: file("config.json")?,
        tokenizer: file("tokenizer.json")?,
        tokenizer_config: file("tokenizer_config.json"),
        generation_config: file("generation_config.json"),
        chat_template: file("chat_template.jinja").map(|bytes| String::from_utf8(bytes).unwrap()),
        special_tokens_map: file("special_tokens_map.json"),
        index,
        weights: weights.iter().map(|name| file(name).unwrap()).collect(),
        other_config: file("config.other.json"),
    })
}
