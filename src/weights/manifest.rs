//! What a model's files have to contain, and where each of their tensors goes.

use super::checkpoint::{Entry, Header};
use super::index::{self, Index};
use crate::config::{ModelConfig, Slot, TensorSpec};
use crate::error::{Error, Result};
use crate::quant::FileDtype;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// What may stand before a tensor's own name, in any number and order: a model inside a model for pictures,
/// or inside a wrapper of PyTorch's.
const WRAPPERS: [&str; 6] = ["model.", "language_model.", "text_model.", "base_model.", "module.", "_orig_mod."];

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
    /// Tensors that no model here reads: their names with numbers as `*`, and how many there are of each.
    extra: BTreeMap<String, usize>,
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
    Matrix { slot: Slot, source: FileDtype, rows: usize, cols: usize },
    /// Into a norm or a bias.
    Vector { slot: Slot, source: FileDtype, len: usize },
    /// The second of the embedding and the head of a tied model: nowhere while it is equal to the first,
    /// else into a matrix of its own.
    Twin { slot: Slot, source: FileDtype, rows: usize, cols: usize },
    /// Nowhere, and every byte has to be zero: a bias that config.json does not ask for.
    Zero,
    /// Nowhere.
    Skip,
}

impl Plan {
    /// Errors: `BAD_FILE` if the index is broken or lacks a tensor.
    pub fn new(config: &ModelConfig, index: Option<&[u8]>) -> Result<Plan> {
        let index = index.map(index::parse).transpose()?;
        let files = index.as_ref().map_or(vec!["model.safetensors".into()], |index| index.files.clone());
        let specs = config.tensors().map(|spec| (spec.name.clone(), spec)).collect();
        let plan = Plan { config: config.clone(), files, index, specs, seen: HashSet::new(), extra: BTreeMap::new() };
        if let Some(index) = &plan.index {
            let listed = index.file_of.keys().map(|name| full_name(name)).collect();
            plan.require_all(&listed, "model.safetensors.index.json")?;
        }
        Ok(plan)
    }

    /// Checks the tensors of a file against the config and the index, and says where each goes, in the order of their data.
    ///
    /// Errors: `BAD_FILE`, `UNSUPPORTED_MODEL` with the tensor; after the last file's header also for one that is in no file.
    pub fn tensors(&mut self, file: usize, Header { entries, bytes }: Header) -> Result<VecDeque<Tensor>> {
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
            let Some(end) = bytes.checked_add(entry.end) else {
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
        let is_tied = self.config.tied && (full == EMBED || full == HEAD);
        let Some(spec) = self.specs.get(if is_tied { EMBED } else { &full }) else {
            if full.strip_suffix(".bias").is_some_and(|stem| self.specs.contains_key(&format!("{stem}.weight")) || stem == "lm_head") {
                return Ok(Target::Zero);
            }
            let in_layer = full.strip_prefix("model.layers.").and_then(|name| name.split_once('.'));
            if in_layer
                .is_some_and(|(layer, name)| QK_NORMS.contains(&name) && layer.parse().is_ok_and(|layer: usize| layer < self.config.layers))
            {
                let expected = format!("only tensors of the {} model that config.json describes", self.config.family.name());
                return Err(self.bad(file, &entry.name, &expected, "another one".into()));
            }
            *self.extra.entry(pattern(&entry.name)).or_default() += 1;
            return Ok(Target::Skip);
        };
        if !entry.shape.iter().copied().eq(spec.shape.iter().map(|&dim| dim as u64)) {
            return Err(self.bad(file, &entry.name, &format!("shape {:?}", spec.shape), format!("shape {:?}", entry.shape)));
        }
        let Some(source) = entry.dtype else {
            let field = format!("the dtype of tensor {}", entry.name);
            let (file, got) = (self.files[file].clone(), entry.dtype_name.to_string());
            return Err(Error::UnsupportedModel { file, field, expected: "F32, F16, BF16, F64".into(), got });
        };
        let slot = if is_tied && full == HEAD { Slot::Head } else { spec.slot };
        let has_twin = is_tied && (self.seen.contains(EMBED) || self.seen.contains(HEAD));
        let target = match spec.shape[..] {
            [rows, cols] if has_twin => Target::Twin { slot, source, rows, cols },
            [rows, cols] => Target::Matrix { slot, source, rows, cols },
            _ => Target::Vector { slot: spec.slot, source, len: spec.len() as usize },
        };
        if !self.seen.insert(full) {
            return Err(self.bad(file, &entry.name, "it once, with or without its \u{201c}model.\u{201d}", "it twice".into()));
        }
        Ok(target)
    }

    /// The tensors that nothing reads, at most [`LISTED_MAX`] kinds of them: `mtp.layers.*.norm.weight (2)`.
    pub fn passed_over(&self) -> Vec<String> {
        let kind = |(name, &count): (&String, &usize)| if count == 1 { name.clone() } else { format!("{name} ({count})") };
        let mut listed: Vec<String> = self.extra.iter().take(LISTED_MAX).map(kind).collect();
        if let Some(more) = self.extra.len().checked_sub(LISTED_MAX).filter(|&more| more > 0) {
            listed.push(format!("and {more} more kinds"));
        }
        listed
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

/// Kinds of tensors that are listed.
const LISTED_MAX: usize = 100;

/// Norms that change what attention computes.
const QK_NORMS: [&str; 2] = ["self_attn.q_norm.weight", "self_attn.k_norm.weight"];

/// The published name of a tensor: files saved from a model without its head lack the first word, others
/// have more of them.
fn full_name(name: &str) -> String {
    let mut own = name;
    while let Some(rest) = WRAPPERS.iter().find_map(|wrapper| own.strip_prefix(wrapper)) {
        own = rest;
    }
    if own.starts_with("lm_head.") { own.into() } else { format!("model.{own}") }
}

/// A name with its numbers as `*`, cut after 120 characters.
fn pattern(name: &str) -> String {
    let number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let words: Vec<&str> = name.split('.').map(|word| if number(word) { "*" } else { word }).collect();
    let words = words.join(".");
    words.char_indices().nth(120).map_or(words.clone(), |(cut, _)| format!("{}...", &words[..cut]))
}
