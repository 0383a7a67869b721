//! The manifest: which tensors a model's files have to contain, and where each tensor of a file goes.

mod packed;

use super::checkpoint::{Entry, Header, ROPE_FACTORS, RowOrder};
use super::gguf::{self, Metadata, Naming};
use super::index::{self, Index};
use super::tensors::{EMBED, HEAD, Storage, TensorSpec};
use crate::config::{ModelConfig, Plan, RopeScaling};
use crate::error::{Error, Result};
use crate::quant::{Dtype, FileDtype, Format, Packing};
pub(super) use packed::{Part, Piece};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// Prefixes of a tensor's name, in any number and order. They come from models inside a model for pictures
/// and from wrappers of PyTorch.
const WRAPPERS: [&str; 6] = ["model.", "language_model.", "text_model.", "base_model.", "module.", "_orig_mod."];

/// The tensors that a model needs and the files that have to hold them.
#[derive(Debug)]
pub(super) struct Manifest {
    config: ModelConfig,
    /// How matrices are stored; `None`: each in its file's own format.
    dtype: Option<Dtype>,
    /// The weight files in the order in which they are read.
    pub files: Vec<String>,
    index: Option<Index>,
    /// The tensors that the model needs, in the order of the table.
    specs: Vec<TensorSpec>,
    /// The number in `specs` of each tensor, by its full name.
    numbers: HashMap<String, usize>,
    /// Full names of the tensors that a header has named so far.
    seen: HashSet<String>,
    /// Tensors that the model does not read: their names with numbers as `*`, and how many there are of each
    /// name.
    extra: BTreeMap<String, usize>,
    /// How GGUF files name the tensors, once the first has come.
    naming: Option<Naming>,
    /// The matrices whose codes the headers so far have, by number.
    packed: HashMap<usize, Packing>,
}

/// A tensor of the file that is being read.
pub(super) struct Incoming {
    pub name: String,
    /// Where its data begins and ends in the file.
    pub start: u64,
    pub end: u64,
    pub target: Target,
    /// The order of its rows.
    pub order: RowOrder,
}

/// The number of the embedding, which is the first row of the table.
pub(super) const EMBED_NUMBER: usize = 0;

/// Where the data of a tensor goes. `number` is a row of the table, `source` how the file writes numbers,
/// `dtype` how the matrix is stored.
pub(super) enum Target {
    /// Into a matrix of the model.
    Matrix { number: usize, source: FileDtype, format: Format, rows: usize, cols: usize },
    /// Into a norm or a bias.
    Vector { number: usize, source: FileDtype, len: usize },
    /// The second of embedding and head, in a tied model; `other` is the number of the first. It is compared
    /// with the first and dropped. From the first row that differs, it becomes a matrix.
    Twin { number: usize, other: usize, source: FileDtype, format: Format, rows: usize, cols: usize },
    /// Into a matrix that several tensors make.
    Packed(Piece),
    /// Nowhere, but every byte has to be zero: a bias that config.json does not ask for.
    Zero,
    /// Nowhere.
    Skip,
}

impl Manifest {
    /// Errors: `BAD_FILE` if the index is broken or lacks a tensor.
    pub(super) fn new(config: &ModelConfig, index: Option<&[u8]>, dtype: Option<Dtype>) -> Result<Manifest> {
        let index = index.map(index::parse).transpose()?;
        let files = index.as_ref().map_or(vec!["model.safetensors".into()], |index| index.files.clone());
        let manifest = Manifest { index, ..Manifest::of_files(config, files, dtype) };
        if let Some(index) = &manifest.index {
            let listed = index.file_of.keys().map(|name| full_name(name)).collect();
            manifest.require_all(&listed, "model.safetensors.index.json")?;
        }
        Ok(manifest)
    }

    /// A manifest of files without an index.
    pub(super) fn of_files(config: &ModelConfig, files: Vec<String>, dtype: Option<Dtype>) -> Manifest {
        let specs = config.plan.tensors();
        let numbers = specs.iter().enumerate().map(|(number, spec)| (spec.name.clone(), number)).collect();
        let (seen, extra) = (HashSet::new(), BTreeMap::new());
        Manifest { config: config.clone(), dtype, files, index: None, specs, numbers, seen, extra, naming: None, packed: HashMap::new() }
    }

    /// Checks the header of a file; `metadata` is that of a GGUF file. Returns where each tensor goes, in the
    /// order of their data.
    ///
    /// Errors: those of [`tensors`](Self::tensors); `BAD_FILE` for another part of a GGUF model.
    pub(super) fn begin(&mut self, file: usize, mut header: Header, metadata: Option<&Metadata>) -> Result<VecDeque<Incoming>> {
        if let Some(metadata) = metadata {
            gguf::check_part(metadata, file, self.files.len())?;
            let naming = match self.naming.take() {
                Some(naming) => naming,
                None => Naming::of(metadata)?,
            };
            let applied = naming.apply(&self.files[file], &mut header);
            self.naming = Some(naming);
            applied?;
        }
        self.tensors(file, header)
    }

    /// Checks the tensors of a file against the config and the index. Returns where each goes, in the order
    /// of their data.
    ///
    /// Errors: `BAD_FILE` and `UNSUPPORTED_MODEL` with the tensor. With the last file, also for a tensor
    /// that is in no file.
    fn tensors(&mut self, file: usize, Header { entries, data, .. }: Header) -> Result<VecDeque<Incoming>> {
        if let Some(index) = &self.index {
            let here: HashSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
            let listed = index.file_of.iter().filter(|(_, number)| **number == file).map(|(name, _)| name);
            if let Some(name) = listed.filter(|name| !here.contains(name.as_str())).min() {
                return Err(self.bad(file, name, "it in this file, as the index says", "nothing".into()));
            }
        }
        self.check_modules()?;
        let mut tensors = VecDeque::with_capacity(entries.len());
        for entry in entries {
            if let Some(index) = &self.index
                && index.file_of.get(&entry.name) != Some(&file)
            {
                let (expected, got) = match index.file_of.get(&entry.name) {
                    Some(&other) => (format!("it in {}, as the index says", index.files[other]), "it in this file"),
                    None => ("only tensors that the index lists".into(), "another one"),
                };
                return Err(self.bad(file, &entry.name, &expected, got.into()));
            }
            let (Some(start), Some(end)) = (data.checked_add(entry.start), data.checked_add(entry.end)) else {
                return Err(self.bad(file, &entry.name, "data within 2^64 bytes", format!("data to byte {}", entry.end)));
            };
            let target = self.target(file, &entry)?;
            tensors.push_back(Incoming { name: entry.name, start, end, target, order: entry.order });
        }
        if file + 1 == self.files.len() {
            self.require_all(&self.seen, &self.files[file])?;
        }
        self.check_packed(file)?;
        Ok(tensors)
    }

    fn target(&mut self, file: usize, entry: &Entry) -> Result<Target> {
        let full = full_name(entry.published.as_deref().unwrap_or(&entry.name));
        if full == ROPE_FACTORS {
            return self.rope_factors_target(file, entry);
        }
        if let Some(target) = self.packed_target(file, entry, &full)? {
            return Ok(target);
        }
        let is_tied = self.config.plan.tied && (full == EMBED || full == HEAD);
        let Some(&number) = self.numbers.get(if is_tied { EMBED } else { &full }) else {
            let stem = full.strip_suffix(".bias");
            if stem.is_some_and(|stem| self.numbers.contains_key(&format!("{stem}.weight")) || stem == "lm_head") {
                return Ok(Target::Zero);
            }
            let in_layer = full.strip_prefix("model.layers.").and_then(|name| name.split_once('.'));
            if in_layer.is_some_and(|(layer, name)| {
                QK_NORMS.contains(&name) && layer.parse().is_ok_and(|layer: usize| layer < self.config.plan.layers.len())
            }) {
                let expected = format!("only tensors of the {} model that config.json describes", self.config.family.name());
                return Err(self.bad(file, &entry.name, &expected, "another one".into()));
            }
            *self.extra.entry(pattern(&entry.name)).or_default() += 1;
            return Ok(Target::Skip);
        };
        let spec = &self.specs[number];
        if !entry.shape.iter().copied().eq(spec.shape.iter().map(|&dim| dim as u64)) {
            return Err(self.bad(file, &entry.name, &format!("shape {:?}", spec.shape), format!("shape {:?}", entry.shape)));
        }
        let Some(source) = entry.dtype else {
            let field = format!("the dtype of tensor {}", entry.name);
            let (file, got) = (self.files[file].clone(), entry.dtype_name.to_string());
            let expected = if self.naming.is_some() { gguf::supported_types() } else { "F32, F16, BF16, F64".into() };
            return Err(Error::UnsupportedModel { file, field, expected, got });
        };
        let format = self.dtype.map_or(source.storage(), |dtype| spec.stored_as(dtype));
        let (number, other) = if is_tied && full == HEAD { (self.own_head(), EMBED_NUMBER) } else { (number, self.own_head()) };
        let has_twin = is_tied && (self.seen.contains(EMBED) || self.seen.contains(HEAD));
        let target = match spec.shape[..] {
            [rows, cols] if has_twin => Target::Twin { number, other, source, format, rows, cols },
            [rows, cols] => Target::Matrix { number, source, format, rows, cols },
            _ => Target::Vector { number, source, len: spec.len() as usize },
        };
        if !self.seen.insert(full) {
            return Err(self.bad(file, &entry.name, "one tensor of this name, with or without \u{201c}model.\u{201d}", "two".into()));
        }
        Ok(target)
    }

    /// The factors of the rotary frequencies, unless config.json says how these are changed.
    fn rope_factors_target(&self, file: usize, entry: &Entry) -> Result<Target> {
        let Some(rope) = self.config.plan.ropes.first().filter(|rope| rope.scaling == RopeScaling::None) else {
            return Ok(Target::Skip);
        };
        let len = rope.dims / 2;
        match entry.dtype.filter(|_| *entry.shape == [len as u64]) {
            Some(source) => Ok(Target::Vector { number: self.rope_factors(), source, len }),
            None => {
                let got = format!("{} {:?}", entry.dtype_name, entry.shape);
                Err(self.bad(file, &entry.name, &format!("a number for each of {len} rotary frequencies"), got))
            }
        }
    }

    /// The number of the factors of the rotary frequencies, which the table does not have: the one after the
    /// head of a tied model.
    pub(super) fn rope_factors(&self) -> usize {
        self.specs.len() + 1
    }

    /// What the network computes.
    pub(super) fn plan(&self) -> &Plan {
        &self.config.plan
    }

    /// True when the tensor of this number is stored as most are.
    pub(super) fn is_plain(&self, number: usize) -> bool {
        self.specs.get(number).is_some_and(|spec| spec.storage == Storage::Plain)
    }

    /// The number that a head has in a tied model, whose table has none: the one after the last row.
    pub(super) fn own_head(&self) -> usize {
        self.specs.len()
    }

    /// The tensors that the model does not read, at most [`LISTED_MAX`] names: `mtp.layers.*.norm.weight
    /// (2)`.
    pub(super) fn unread_tensors(&self) -> Vec<String> {
        let kind = |(name, &count): (&String, &usize)| if count == 1 { name.clone() } else { format!("{name} ({count})") };
        let mut listed: Vec<String> = self.extra.iter().take(LISTED_MAX).map(kind).collect();
        if let Some(more) = self.extra.len().checked_sub(LISTED_MAX).filter(|&more| more > 0) {
            listed.push(format!("and {more} more kinds"));
        }
        listed
    }

    /// Checks that `names` has every tensor of the model. A tied embedding may have either of its names.
    fn require_all(&self, names: &HashSet<String>, file: &str) -> Result<()> {
        for spec in &self.specs {
            let under_head = self.config.plan.tied && spec.name == EMBED && names.contains(HEAD);
            if !under_head && !names.contains(&spec.name) {
                let name = self.naming.as_ref().and_then(|_| gguf::in_file(&spec.name));
                let name = name.as_ref().unwrap_or(&spec.name);
                let (at, expected) = (format!("tensor {name}"), format!("a tensor of shape {:?}", spec.shape));
                return Err(Error::BadFile { file: file.into(), at, expected, got: "nothing".into() });
            }
        }
        Ok(())
    }

    fn bad(&self, file: usize, tensor: &str, expected: &str, got: String) -> Error {
        Error::BadFile { file: self.files[file].clone(), at: format!("tensor {tensor}"), expected: expected.into(), got }
    }
}

/// How many names are listed.
const LISTED_MAX: usize = 100;

/// Norms that change what attention computes.
const QK_NORMS: [&str; 2] = ["self_attn.q_norm.weight", "self_attn.k_norm.weight"];

/// The name of a tensor in the table. Files saved without the head lack its first word, others have more
/// prefixes.
fn full_name(name: &str) -> String {
    let mut own = name;
    while let Some(rest) = WRAPPERS.iter().find_map(|wrapper| own.strip_prefix(wrapper)) {
        own = rest;
    }
    if own.starts_with("lm_head.") { own.into() } else { format!("model.{own}") }
}

/// The name with its numbers as `*`, cut after 120 characters.
fn pattern(name: &str) -> String {
    let number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let words: Vec<&str> = name.split('.').map(|word| if number(word) { "*" } else { word }).collect();
    let words = words.join(".");
    words.char_indices().nth(120).map_or(words.clone(), |(cut, _)| format!("{}...", &words[..cut]))
}
