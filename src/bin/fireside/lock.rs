//! `fireside lock`: writes a list of a model folder's files, with which browsers check their downloads.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde_json::{Map, json};
use sha2::{Digest, Sha256};

use crate::Result;

/// The name of the list, which is in the same folder.
const LOCK: &str = "fireside.lock.json";

/// The files of a model besides its weights.
const SMALL_FILES: [&str; 8] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "chat_template.jinja",
    "model.safetensors.index.json",
];

/// Writes the size and the SHA-256 of every file of the model into its folder. `given` is the folder, or a
/// GGUF file in it.
pub fn lock(given: &Path) -> Result<()> {
    let folder = if is_gguf(given) { given.parent().unwrap_or(given) } else { given };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if SMALL_FILES.contains(&name.as_str()) || name.ends_with(".safetensors") || is_gguf(Path::new(&name)) {
            names.push(name);
        }
    }
    let needed: &[&str] = if names.iter().any(|name| is_gguf(Path::new(name))) { &[] } else { &["config.json", "tokenizer.json"] };
    for needed in needed {
        if !names.iter().any(|name| name == needed) {
            return Err(format!("{} has no {needed}, so it is not a model folder", folder.display()).into());
        }
    }
    names.sort();
    let mut files = Map::new();
    for name in names {
        let (size, sha256) = digest(&folder.join(&name))?;
        eprintln!("{size:>12}  {name}");
        files.insert(name, json!({ "size": size, "sha256": sha256 }));
    }
    fs::write(folder.join(LOCK), format!("{:#}\n", json!({ "files": files })))?;
    Ok(())
}

/// Whether a file is a whole model, or a part of one.
fn is_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
}

fn digest(path: &Path) -> Result<(usize, String)> {
    let (mut file, mut hash, mut size) = (File::open(path)?, Sha256::new(), 0);
    let mut chunk = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok((size, format!("{:x}", hash.finalize())));
        }
        hash.update(&chunk[..read]);
        size += read;
    }
}
