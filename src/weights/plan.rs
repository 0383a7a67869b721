//! What a model's files have to contain, and where each of their tensors goes.

use super::header::Entry;
use super::index::{self, Index};
use crate::config::{ModelConfig, Slot, TensorSpec};
use crate::error::{Error, Result};
use crate::quant::Dtype;
use std::collections::{HashMap, HashSet, VecDeque};

/// Tensors that publishers leave in their files and no model here reads.
const HARMLESS: [&str; 3] = [".rotary_emb.inv_freq", ".rotary_emb.cos_cached", ".rotary_emb.sin_cached"];

const EMBED: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// The tensors a model needs and the files they are to be found in.
#[derive(Debug)]
pub(super) struct Plan {
    pub config: ModelConfig,
    /// The weight files in the order in which they are read.
    pub files: Vec<String>,
    index: Option<Index>,
    /// The tensors the model needs, by their full names.
    specs: HashMap<String, TensorSpec>,
    /// Full names of the tensors that a header has named so far.
    seen: HashSet<String>,
}

/// A tensor of the file that is being read.
pub(super) struct Tensor {
    pub name: String,
    /// Where its data ends in the file.
    pub end: u64,
    pub target: Target,
}

/// Where the data of a tensor goes.
pub(super) enum Target {
    /// Into a matrix of the model.
    Matrix { slot: Slot, source: Dtype, rows: usize, cols: usize },
    /// Into a norm or a bias.
    Vector { slot: Slot, source: Dtype, len: usize },
    /// Nowhere: the second of two names of a tied embedding has to be equal to the first.
    Twin { source: Dtype, cols: usize },
    /// Nowhere.
    Skip,
}

impl Plan {
    /// Errors: `BAD_FILE` if the index is broken or lacks a tensor.
    pub fn new(config: &ModelConfig, index: Option<&[u8]>) -> Result<Plan> {
        let index = index.map(index::parse).transpose()?;
        let files = index.as_ref().map_or(vec!["model.safetensors".into()], |index| index.files.clone());
        let specs = config.tensors().map(|spec| (spec.name.clone(), spec)).collect();
        let plan = Plan { config: config.clone(), files, index, specs, seen: HashSet::new() };
        if let Some(index) = &plan.index {
            let listed = index.file_of.keys().map(|name| full_name(name)).collect();
            plan.require_all(&listed, "model.safetensors.index.json")?;
        }
        Ok(plan)
    }

    /// Checks the tensors of a file against the config and the index, and says where each goes, in the order of their data.
    ///
    /// Errors: `BAD_FILE`, `UNSUPPORTED_MODEL` with the tensor; after the last file's header also for one that is in no file.
    pub fn tensors(&mut self, file: usize, entries: Vec<Entry>, data_start: u64) -> Result<VecDeque<Tensor>> {
        if let Some(index) = &self.index {
            let here: HashSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
            let listed = index.file_of.iter().filter(|(_, number)| **number == file).map(|(name, _)| name);
            if let Some(name) = listed.filter(|name| !here.contains(name.as_str())).min() {
                return Err(self.bad(file, name, "it in this file, as the index says", "nothing".into()));
            }
        }
        let mut tensors = VecDeque::with_capacity(entries.len());
        for entry in entries {
            if let Some(index) = &self.index
                && index.file_of.get(&entry.name) != Some(&file)
            {
                let place = index.file_of.get(&entry.name).map_or("in no file".into(), |&file| format!("in {}", index.files[file]));
                return Err(self.bad(file, &entry.name, &format!("it {place}, as the index says"), "it in this file".into()));
            }
            let Some(end) = data_start.checked_add(entry.end) else {
                return Err(self.bad(file, &entry.name, "data within 2^64 bytes", format!("data to byte {}", entry.end)));
            };
            let target = self.target(file, &entry)?;
            tensors.push_back(Tensor { name: entry.name, end, target });
        }
        if file + 1 == self.files.len() {
            self.require_all(&self.seen, &self.files[file])?;
        }
        Ok(tensors)
    }

    fn target(&mut self, file: usize, entry: &Entry) -> Result<Target> {
        let full = full_name(&entry.name);
        if HARMLESS.iter().any(|harmless| full.ends_with(harmless)) {
            return Ok(Target::Skip);
        }
        let wanted = if self.config.tied && full == HEAD { EMBED } else { &full };
        let Some(spec) = self.specs.get(wanted) else {
            let expected = format!("only tensors of the {} model that config.json describes", self.config.family.name());
            return Err(self.bad(file, &entry.name, &expected, "another one".into()));
        };
        if !entry.shape.iter().copied().eq(spec.shape.iter().map(|&dim| dim as u64)) {
            return Err(self.bad(file, &entry.name, &format!("shape {:?}", spec.shape), format!("shape {:?}", entry.shape)));
        }
        let source = match entry.dtype {
            Some(safetensors::Dtype::F32) => Dtype::F32,
            Some(safetensors::Dtype::F16) => Dtype::F16,
            Some(safetensors::Dtype::BF16) => Dtype::Bf16,
            _ => {
                let field = format!("the dtype of tensor {}", entry.name);
                let (file, got) = (self.files[file].clone(), entry.dtype_name.to_string());
                return Err(Error::UnsupportedModel { file, field, expected: "F32, F16, BF16".into(), got });
            }
        };
        let has_twin = self.config.tied && spec.slot == Slot::Embed && (self.seen.contains(EMBED) || self.seen.contains(HEAD));
        let target = match spec.shape[..] {
            [_, cols] if has_twin => Target::Twin { source, cols },
            [rows, cols] => Target::Matrix { slot: spec.slot, source, rows, cols },
            _ => Target::Vector { slot: spec.slot, source, len: spec.len() as usize },
        };
        if !self.seen.insert(full) {
            return Err(self.bad(file, &entry.name, "it once, with or without its \u{201c}model.\u{201d}", "it twice".into()));
        }
        Ok(target)
    }

    /// Every tensor of the model is among `names`; a tied embedding may have either of its names.
    fn require_all(&self, names: &HashSet<String>, file: &str) -> Result<()> {
        for spec in self.config.tensors() {
            let under_head = self.config.tied && spec.slot == Slot::Embed && names.contains(HEAD);
            if !under_head && !names.contains(&spec.name) {
                let (at, expected) = (format!("tensor {}", spec.name), format!("a tensor of shape {:?}", spec.shape));
                return Err(Error::BadFile { file: file.into(), at, expected, got: "nothing".into() });
            }
        }
        Ok(())
    }

    fn bad(&self, file: usize, tensor: &str, expected: &str, got: String) -> Error {
        Error::BadFile { file: self.files[file].clone(), at: format!("tensor {tensor}"), expected: expected.into(), got }
    }
}

/// The published name of a tensor: files saved from a model without its head lack the first word.
fn full_name(name: &str) -> String {
    if name.starts_with("model.") || name == HEAD { name.into() } else { format!("model.{name}") }
}
