//! A model on disk: a folder in Hugging Face layout, or a GGUF file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use fireside::internals::{GgufScan, HeaderScan, ModelConfig};
use fireside::{LoadOptions, Model, ModelFiles, ModelLoader};

use crate::Result;

/// How many bytes are read at a time: many enough for the disk, few compared with any model.
const CHUNK_BYTES: usize = 1 << 20;

/// How many bytes of a weight file are read first; most headers fit into them.
const HEAD_BYTES: usize = 1 << 16;

/// The small files of a folder, and where the weights are.
#[derive(Default)]
pub struct SmallFiles {
    /// The folder of the weight files.
    pub folder: PathBuf,
    /// The GGUF file, or the first of its parts, if the model is one. It has no small files.
    gguf: Option<String>,
    config: Vec<u8>,
    tokenizer: Vec<u8>,
    tokenizer_config: Option<Vec<u8>>,
    generation_config: Option<Vec<u8>>,
    special_tokens_map: Option<Vec<u8>>,
    added_tokens: Option<Vec<u8>>,
    chat_template: Option<Vec<u8>>,
    index: Option<Vec<u8>>,
}

impl SmallFiles {
    /// Reads the small files of a folder; only `config.json` and `tokenizer.json` are required. A GGUF file,
    /// or a folder with one and no other weights, has none.
    pub fn read(path: &Path) -> Result<SmallFiles> {
        if let Some((folder, name)) = gguf(path)? {
            return Ok(SmallFiles { folder, gguf: Some(name), ..SmallFiles::default() });
        }
        let folder = path;
        let needed = |name: &str| read_small(&folder.join(name), bytes_max(name)).map_err(|error| missing(folder, name, &error));
        let optional = |name: &str| if folder.join(name).exists() { needed(name).map(Some) } else { Ok(None) };
        let single = folder.join("model.safetensors").exists();
        Ok(SmallFiles {
            folder: folder.into(),
            gguf: None,
            config: needed("config.json")?,
            tokenizer: needed("tokenizer.json")?,
            tokenizer_config: optional("tokenizer_config.json")?,
            generation_config: optional("generation_config.json")?,
            special_tokens_map: optional("special_tokens_map.json")?,
            added_tokens: optional("added_tokens.json")?,
            chat_template: optional("chat_template.jinja")?,
            index: if single { None } else { optional("model.safetensors.index.json")? },
        })
    }

    /// Checks the small files and prepares for the weights.
    pub fn loader(&self, options: LoadOptions) -> Result<ModelLoader> {
        let files = ModelFiles {
            config: &self.config,
            tokenizer: &self.tokenizer,
            tokenizer_config: self.tokenizer_config.as_deref(),
            generation_config: self.generation_config.as_deref(),
            special_tokens_map: self.special_tokens_map.as_deref(),
            added_tokens: self.added_tokens.as_deref(),
            chat_template: self.chat_template.as_deref(),
            index: self.index.as_deref(),
        };
        match &self.gguf {
            Some(name) => Ok(ModelLoader::gguf(name, &ModelFiles::default(), options)?),
            None => Ok(Model::loader(&files, options)?),
        }
    }

    /// As [`loader`](Self::loader), with the beginning of a GGUF file pushed, so that the loader has a
    /// description.
    pub fn described(&self, options: LoadOptions) -> Result<ModelLoader> {
        let mut loader = self.loader(options)?;
        if let Some(name) = &self.gguf {
            let mut file = self.open(name)?;
            let mut chunk = vec![0; HEAD_BYTES];
            while loader.description().is_none() {
                match file.read(&mut chunk)? {
                    0 => loader.end_file()?,
                    read => loader.push(&chunk[..read])?,
                }
            }
        }
        Ok(loader)
    }

    /// Reads the headers of the weight files that are there.
    pub fn scan(&self, config: &ModelConfig) -> Result<HeaderScan> {
        if let Some(name) = &self.gguf {
            let mut scan = GgufScan::new(name, None, LoadOptions { weight_bytes_max: Some(u64::MAX), ..LoadOptions::default() })?;
            let files = scan.files().to_vec();
            self.headers(&files, |head| scan.header(head))?;
            return Ok(scan.finish()?.2);
        }
        let mut scan = HeaderScan::new(config, self.index.as_deref(), None)?;
        let files = scan.files().to_vec();
        self.headers(&files, |head| scan.header(head))?;
        Ok(scan)
    }

    /// Gives `take` the beginnings of the files that are there, as many bytes as it asks for.
    fn headers(&self, files: &[String], mut take: impl FnMut(&[u8]) -> fireside::Result<usize>) -> Result<()> {
        for name in files {
            let Ok(mut file) = File::open(self.folder.join(name)) else { break };
            let (mut head, mut need) = (Vec::new(), HEAD_BYTES);
            while need > head.len() && file.by_ref().take((need - head.len()) as u64).read_to_end(&mut head)? > 0 {
                need = take(&head)?;
            }
        }
        Ok(())
    }

    fn open(&self, name: &str) -> Result<File> {
        File::open(self.folder.join(name)).map_err(|error| missing(&self.folder, name, &error))
    }

    /// Whether the model is a GGUF file.
    pub fn is_gguf(&self) -> bool {
        self.gguf.is_some()
    }
}

/// The folder and the name of the GGUF model at `path`: a file, or a folder with one such model and no other
/// weights.
fn gguf(path: &Path) -> Result<Option<(PathBuf, String)>> {
    if path.is_file() {
        let (folder, name) = (path.parent().unwrap_or(Path::new("")), path.file_name().and_then(|name| name.to_str()));
        return Ok(name.map(|name| (folder.into(), name.into())));
    }
    let Ok(entries) = fs::read_dir(path) else { return Ok(None) };
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    if names.iter().any(|name| name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json")) {
        return Ok(None);
    }
    // The later parts of a split model are no models.
    let is_first = |name: &&String| GgufScan::new(name, None, LoadOptions::default()).is_ok();
    let models: Vec<&String> = names.iter().filter(|name| name.ends_with(".gguf")).filter(is_first).collect();
    match models[..] {
        [] => Ok(None),
        [name] => Ok(Some((path.into(), name.clone()))),
        _ => {
            let list = models.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            Err(format!("{} holds several GGUF models: {list}. Give the path of one of them.", path.display()).into())
        }
    }
}

/// The largest size of a small file, as in `BYTES_MAX` of www/lib/client/names.js.
fn bytes_max(name: &str) -> u64 {
    match name {
        "tokenizer.json" => 128 << 20,
        "model.safetensors.index.json" => 64 << 20,
        "tokenizer_config.json" | "special_tokens_map.json" | "added_tokens.json" => 16 << 20,
        "chat_template.jinja" => 256 << 10,
        _ => 1 << 20,
    }
}

/// Reads a whole file. A longer or endless one (a pipe, a device) is an error at the limit.
fn read_small(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let limit = bytes_max >> 10;
        return Err(io::Error::other(format!("it has more than {limit} KiB, the largest size allowed for this file")));
    }
    Ok(bytes)
}

/// Loads a model, streaming its weights.
pub fn load(path: &Path, options: LoadOptions) -> Result<Model> {
    let files = SmallFiles::read(path)?;
    let mut loader = files.loader(options)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    for name in loader.files().to_vec() {
        let mut file = files.open(&name)?;
        loop {
            let read = file.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            loader.push(&chunk[..read])?;
        }
        loader.end_file()?;
    }
    Ok(loader.finish()?)
}

fn missing(folder: &Path, name: &str, error: &std::io::Error) -> Box<dyn std::error::Error> {
    let what = match hub_name(folder) {
        Some(hub) => format!(
            "Did you mean hf:{hub}? This program reads folders only: `npx fireside` takes hf: names, and \
             `hf download {hub} --local-dir DIR` makes a folder of one."
        ),
        None => "A model folder has config.json, tokenizer.json and model.safetensors, or a GGUF file.".into(),
    };
    format!("cannot read {} in {}: {error}. {what}", name, folder.display()).into()
}

/// The hub's `owner/name`, if that was given in place of a folder, with or without `hf:`. If a folder
/// `owner` exists, it is a path.
fn hub_name(folder: &Path) -> Option<&str> {
    let text = folder.to_str()?;
    let name = text.strip_prefix("hf:").unwrap_or(text);
    let (owner, model) = name.split_once('/')?;
    let is_part =
        |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    (is_part(owner) && is_part(model) && !Path::new(owner).is_dir()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the table of docs/loading.md.
    #[test]
    fn files_of_one_kind_have_one_limit() {
        for name in ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"] {
            assert_eq!(bytes_max(name), 16 << 20, "{name}");
        }
        assert_eq!(bytes_max("config.json"), 1 << 20);
    }

    #[test]
    #[cfg(unix)]
    fn an_endless_file_is_an_error_at_its_limit() {
        let error = read_small(Path::new("/dev/zero"), 1 << 20).unwrap_err();
        assert_eq!(error.to_string(), "it has more than 1024 KiB, the largest size allowed for this file");
        assert_eq!(read_small(Path::new("/dev/null"), 1 << 20).unwrap(), b"");
    }
}
