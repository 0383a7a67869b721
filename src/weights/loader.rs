//! The streaming loader: chunks in, weights out.
//!
//!     for each file:  8 bytes of length -> header (checked against the config and the index) -> data, tensor by tensor:
//!         a row that lies whole in the chunk is stored from there; a row cut by the end of a chunk is put together first

use super::header::{self, Entry, HEADER_MAX};
use super::index::{self, Index};
use super::{Layer, Linear, Weights};
use crate::config::{ModelConfig, Part, Slot, TensorSpec};
use crate::error::{Error, Result};
use crate::quant::{Dtype, Matrix};
use crate::sniff::{Expected, SNIFF_BYTES, sniff};
use std::collections::{HashMap, HashSet, VecDeque};

/// Tensors that publishers leave in their files and no model here reads.
const HARMLESS: [&str; 3] = [".rotary_emb.inv_freq", ".rotary_emb.cos_cached", ".rotary_emb.sin_cached"];

const EMBED: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// Takes the bytes of a model's weight files, in order and in chunks of any size, and makes its weights of them.
///
/// After an error every call returns the same error; the files have to be loaded anew.
pub struct Loader {
    config: ModelConfig,
    /// The storage asked for; `None`: each tensor's own.
    dtype: Option<Dtype>,
    files: Vec<String>,
    index: Option<Index>,
    /// The tensors the model needs, by their full names.
    specs: HashMap<String, TensorSpec>,
    /// Full names of the tensors that have been seen in a header.
    seen: HashSet<String>,
    /// The number of the file that is being read.
    file: usize,
    stage: Stage,
    /// The beginning of a row that a chunk cut.
    partial: Vec<u8>,
    matrices: HashMap<Slot, Matrix>,
    vectors: HashMap<Slot, Vec<f32>>,
    failed: Option<Error>,
}

enum Stage {
    /// The length and the header, as far as they have come.
    Header(Vec<u8>),
    /// The data; the tensors that are not finished, the first of them under way.
    Data { todo: VecDeque<Tensor>, pos: u64 },
}

/// A tensor of the file that is being read.
struct Tensor {
    name: String,
    /// Where its data ends in the file.
    end: u64,
    target: Target,
}

enum Target {
    /// A matrix or a vector of the model; `row` is the next one. A vector is one row.
    Store { slot: Slot, source: Dtype, rows: usize, cols: usize, row: usize, is_vector: bool },
    /// The second of two names of a tied embedding, which has to be equal to the first.
    Compare { source: Dtype, cols: usize, row: usize },
    /// Data nobody needs.
    Skip,
}

impl Loader {
    /// A loader for the model of `config`, with its `model.safetensors.index.json` if it has several weight files.
    ///
    /// `dtype` is how matrices are stored; `None`: in the file's own format. Norms and biases are f32 in any case.
    /// Errors: `BAD_FILE` if the index is broken or lacks a tensor, `OUT_OF_MEMORY` if the weights cannot fit into the address space.
    pub fn new(config: &ModelConfig, index: Option<&[u8]>, dtype: Option<Dtype>) -> Result<Loader> {
        fits(config.weight_bytes(dtype.unwrap_or(Dtype::Bf16)), usize::MAX as u64)?;
        let specs: HashMap<String, TensorSpec> = config.tensors().map(|spec| (spec.name.clone(), spec)).collect();
        let index = index.map(index::parse).transpose()?;
        let files = index.as_ref().map_or(vec!["model.safetensors".into()], |index| index.files.clone());
        let loader = Loader {
            config: config.clone(),
            dtype,
            files,
            index,
            specs,
            seen: HashSet::new(),
            file: 0,
            stage: Stage::Header(Vec::new()),
            partial: Vec::new(),
            matrices: HashMap::new(),
            vectors: HashMap::new(),
            failed: None,
        };
        if let Some(index) = &loader.index {
            let listed: HashSet<String> = index.file_of.keys().map(|name| full_name(name)).collect();
            loader.require_all(&listed, "model.safetensors.index.json")?;
        }
        Ok(loader)
    }

    /// The weight files in the order in which they are expected.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// Takes the next bytes of the current file, as many as there are.
    ///
    /// Errors: `NOT_A_MODEL_FILE`, `BAD_FILE`, `UNSUPPORTED_MODEL`, `OUT_OF_MEMORY`; `BAD_INPUT` after the last file.
    pub fn push(&mut self, chunk: &[u8]) -> Result<()> {
        self.guarded(|loader| loader.take(chunk))
    }

    /// Says that the current file has ended; the next [`push`](Loader::push) begins the next.
    ///
    /// Errors: as [`push`](Loader::push), when the file is not whole.
    pub fn end_file(&mut self) -> Result<()> {
        self.guarded(Loader::close)
    }

    /// The weights, after the last file.
    ///
    /// Errors: `BAD_INPUT` if files are missing, or the error of an earlier call.
    pub fn finish(self) -> Result<Weights> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.file < self.files.len() {
            let got = format!("{}, and {} is not finished", self.file, self.files[self.file]);
            return Err(Error::BadInput { what: "weight files".into(), expected: self.files.len().to_string(), got });
        }
        Ok(assemble(&self.config, self.matrices, self.vectors))
    }

    /// Runs a step, and keeps its error for all later calls.
    fn guarded(&mut self, step: impl FnOnce(&mut Loader) -> Result<()>) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = step(self);
        self.failed = result.clone().err();
        result
    }

    fn take(&mut self, mut chunk: &[u8]) -> Result<()> {
        if self.file == self.files.len() && !chunk.is_empty() {
            let got = format!("{} more bytes", chunk.len());
            return Err(Error::BadInput { what: "push".into(), expected: "nothing after the last weight file".into(), got });
        }
        while !chunk.is_empty() {
            chunk = match &mut self.stage {
                Stage::Header(head) => {
                    let wanted = header_bytes(head).saturating_sub(head.len() as u64);
                    let (now, rest) = chunk.split_at(chunk.len().min(wanted as usize));
                    head.extend_from_slice(now);
                    if head.len() as u64 == header_bytes(head) {
                        self.open()?;
                    }
                    rest
                }
                Stage::Data { .. } => self.take_data(chunk)?,
            };
        }
        Ok(())
    }

    /// The header is whole, or it is certain that there is none.
    fn open(&mut self) -> Result<()> {
        let Stage::Header(head) = std::mem::replace(&mut self.stage, Stage::Header(Vec::new())) else { return Ok(()) };
        let file = self.files[self.file].clone();
        if !is_plausible(&head) {
            sniff(&file, &head, Expected::Safetensors)?;
            let length = u64::from_le_bytes(std::array::from_fn(|i| head[i]));
            if !(2..=HEADER_MAX).contains(&length) {
                let expected = format!("a header length from 2 to {HEADER_MAX}");
                return Err(self.bad("bytes 0 to 7", &expected, length.to_string()));
            }
            return Err(self.bad("byte 8", "the `{` of the header", format!("the byte 0x{:02x}", head[8])));
        }
        let entries = header::parse(&file, &head[8..])?;
        let todo = self.plan(entries, head.len() as u64)?;
        self.stage = Stage::Data { todo, pos: head.len() as u64 };
        Ok(())
    }

    /// Checks a file's tensors against the config and the index, and says where each goes.
    fn plan(&mut self, entries: Vec<Entry>, data_start: u64) -> Result<VecDeque<Tensor>> {
        if let Some(index) = &self.index {
            let here: HashSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
            let mut listed = index.file_of.iter().filter(|(_, file)| **file == self.file);
            if let Some((name, _)) = listed.find(|(name, _)| !here.contains(name.as_str())) {
                return Err(self.bad(&format!("tensor {name}"), "it in this file, as the index says", "nothing".into()));
            }
        }
        let mut todo = VecDeque::with_capacity(entries.len());
        for entry in entries {
            let at = format!("tensor {}", entry.name);
            if let Some(index) = &self.index
                && index.file_of.get(&entry.name) != Some(&self.file)
            {
                let place = index.file_of.get(&entry.name).map_or("in no file".into(), |&file| format!("in {}", index.files[file]));
                return Err(self.bad(&at, &format!("it {place}, as the index says"), "it in this file".into()));
            }
            let end = data_start.checked_add(entry.end);
            let end = end.ok_or_else(|| self.bad(&at, "data within 2^64 bytes", format!("data to byte {}", entry.end)))?;
            let target = self.target(&entry)?;
            todo.push_back(Tensor { name: entry.name, end, target });
        }
        if self.file + 1 == self.files.len() {
            self.require_all(&self.seen, &self.files[self.file])?;
        }
        Ok(todo)
    }

    fn target(&mut self, entry: &Entry) -> Result<Target> {
        let at = format!("tensor {}", entry.name);
        let full = full_name(&entry.name);
        if HARMLESS.iter().any(|harmless| full.ends_with(harmless)) {
            return Ok(Target::Skip);
        }
        let wanted = if self.config.tied && full == HEAD { EMBED } else { &full };
        let Some(spec) = self.specs.get(wanted) else {
            let family = self.config.family.name();
            return Err(self.bad(&at, &format!("only tensors of the {family} model that config.json describes"), "another one".into()));
        };
        if !entry.shape.iter().copied().eq(spec.shape.iter().map(|&dim| dim as u64)) {
            return Err(self.bad(&at, &format!("shape {:?}", spec.shape), format!("shape {:?}", entry.shape)));
        }
        let source = match entry.dtype {
            Some(safetensors::Dtype::F32) => Dtype::F32,
            Some(safetensors::Dtype::F16) => Dtype::F16,
            Some(safetensors::Dtype::BF16) => Dtype::Bf16,
            _ => {
                let (file, got) = (self.files[self.file].clone(), entry.dtype_name.clone());
                let field = format!("the dtype of tensor {}", entry.name);
                return Err(Error::UnsupportedModel { file, field, expected: "F32, F16, BF16".into(), got });
            }
        };
        let slot = spec.slot;
        let (rows, cols, is_vector) = match spec.shape[..] {
            [rows, cols] => (rows, cols, false),
            _ => (1, spec.len() as usize, true),
        };
        let twin_seen = self.config.tied && slot == Slot::Embed && (self.seen.contains(EMBED) || self.seen.contains(HEAD));
        if !self.seen.insert(full) {
            return Err(self.bad(&at, "it once, with or without its \u{201c}model.\u{201d}", "it twice".into()));
        }
        Ok(if twin_seen { Target::Compare { source, cols, row: 0 } } else { Target::Store { slot, source, rows, cols, row: 0, is_vector } })
    }

    /// Every tensor of the model is among `names`; a tied embedding may have either of its names.
    fn require_all(&self, names: &HashSet<String>, file: &str) -> Result<()> {
        for spec in self.config.tensors() {
            let tied = self.config.tied && spec.slot == Slot::Embed && names.contains(HEAD);
            if !tied && !names.contains(&spec.name) {
                let (at, expected) = (format!("tensor {}", spec.name), format!("a tensor of shape {:?}", spec.shape));
                return Err(Error::BadFile { file: file.into(), at, expected, got: "nothing".into() });
            }
        }
        Ok(())
    }

    /// Takes data of the tensor under way, one row at most, and returns the rest of the chunk.
    fn take_data<'a>(&mut self, chunk: &'a [u8]) -> Result<&'a [u8]> {
        let Stage::Data { todo, pos } = &mut self.stage else { return Ok(chunk) };
        while todo.front().is_some_and(|tensor| tensor.end == *pos) {
            todo.pop_front();
        }
        let Some(tensor) = todo.front_mut() else {
            let at = format!("byte {pos}");
            return Err(self.bad(&at, "the end of the file", "more bytes".into()));
        };
        let row_bytes = match tensor.target {
            Target::Store { source, cols, .. } | Target::Compare { source, cols, .. } => source.size() * cols,
            Target::Skip => {
                let skipped = (tensor.end - *pos).min(chunk.len() as u64);
                *pos += skipped;
                return Ok(&chunk[skipped as usize..]);
            }
        };
        let (now, rest) = chunk.split_at(chunk.len().min(row_bytes - self.partial.len()));
        *pos += now.len() as u64;
        if now.len() < row_bytes {
            if self.partial.is_empty() {
                reserve(&mut self.partial, row_bytes, "a row of weights")?;
            }
            self.partial.extend_from_slice(now);
            if self.partial.len() < row_bytes {
                return Ok(rest);
            }
        }
        let bytes = if now.len() == row_bytes { now } else { &self.partial };
        match &mut tensor.target {
            Target::Store { slot, source, cols, is_vector: true, .. } => {
                let mut row = Matrix::new(Dtype::F32, 1, *cols)?;
                row.set_row(0, *source, bytes);
                let mut values = Vec::new();
                reserve(&mut values, *cols, "a norm or bias")?;
                values.resize(*cols, 0.0);
                row.row(0, &mut values);
                self.vectors.insert(*slot, values);
            }
            Target::Store { slot, source, rows, cols, row, is_vector: false } => {
                if *row == 0 {
                    self.matrices.insert(*slot, Matrix::new(self.dtype.unwrap_or(*source), *rows, *cols)?);
                }
                if let Some(matrix) = self.matrices.get_mut(slot) {
                    matrix.set_row(*row, *source, bytes);
                }
                *row += 1;
            }
            Target::Compare { source, cols, row } => {
                let equal = match self.matrices.get(&Slot::Embed) {
                    Some(matrix) => row_equals(matrix, *row, *source, bytes, *cols)?,
                    None => false,
                };
                if !equal {
                    let (at, row) = (format!("tensor {}", tensor.name), *row);
                    let expected = "the embedding once more, as config.json says that it is tied";
                    return Err(self.bad(&at, expected, format!("another value in row {row}")));
                }
                *row += 1;
            }
            Target::Skip => {}
        }
        self.partial.clear();
        Ok(rest)
    }

    fn close(&mut self) -> Result<()> {
        if self.file == self.files.len() {
            let expected = format!("{} files", self.files.len());
            return Err(Error::BadInput { what: "end_file".into(), expected, got: "one more".into() });
        }
        if let Stage::Header(head) = &self.stage {
            let (got, wanted) = (head.len(), header_bytes(head));
            if got < 9 || is_plausible(head) {
                if got < 9 {
                    sniff(&self.files[self.file], head, Expected::Safetensors)?;
                }
                let expected = format!("at least {wanted} bytes for the header");
                return Err(self.bad("the whole file", &expected, format!("{got} bytes")));
            }
            self.open()?;
        }
        let Stage::Data { todo, pos } = &self.stage else { return Ok(()) };
        if let (Some(last), pos) = (todo.back(), *pos)
            && last.end != pos
        {
            return Err(self.bad("the whole file", &format!("{} bytes", last.end), format!("{pos} bytes")));
        }
        self.file += 1;
        self.stage = Stage::Header(Vec::new());
        Ok(())
    }

    fn bad(&self, at: &str, expected: &str, got: String) -> Error {
        let file = self.files.get(self.file).cloned().unwrap_or_default();
        Error::BadFile { file, at: at.into(), expected: expected.into(), got }
    }
}

/// How many bytes of a file, from its first, are needed before there is something to decide.
fn header_bytes(head: &[u8]) -> u64 {
    match head.len() {
        0..9 => 9,
        _ if is_plausible(head) => 8 + header_length(head),
        _ => SNIFF_BYTES as u64,
    }
}

fn header_length(head: &[u8]) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| head[i]))
}

/// True when the first nine bytes are those of a safetensors file. No text passes: it would mean an enormous length.
fn is_plausible(head: &[u8]) -> bool {
    head.len() > 8 && (2..=HEADER_MAX).contains(&header_length(head)) && head[8] == b'{'
}

/// The published name of a tensor: files saved from a model without its head lack the first word.
fn full_name(name: &str) -> String {
    if name.starts_with("model.") || name == HEAD { name.into() } else { format!("model.{name}") }
}

fn fits(requested_bytes: u64, limit: u64) -> Result<()> {
    if requested_bytes > limit {
        return Err(Error::OutOfMemory { what: "holding the weights of this model".into(), requested_bytes });
    }
    Ok(())
}

fn reserve<T>(values: &mut Vec<T>, len: usize, what: &str) -> Result<()> {
    values.try_reserve_exact(len).map_err(|_| {
        let requested_bytes = (len as u64).saturating_mul(size_of::<T>() as u64);
        Error::OutOfMemory { what: what.into(), requested_bytes }
    })
}

/// True when a row of a file, stored like the rows of `matrix`, would be its row `row`.
fn row_equals(matrix: &Matrix, row: usize, source: Dtype, bytes: &[u8], cols: usize) -> Result<bool> {
    let mut other = Matrix::new(matrix.dtype(), 1, cols)?;
    other.set_row(0, source, bytes);
    let (mut left, mut right) = (vec![0.0; cols], vec![0.0; cols]);
    matrix.row(row, &mut left);
    other.row(0, &mut right);
    Ok(left.iter().zip(&right).all(|(left, right)| left.to_bits() == right.to_bits()))
}

/// Puts the tensors in their places. All of them are there: `require_all` saw them named, and `close` saw their data whole.
fn assemble(config: &ModelConfig, mut matrices: HashMap<Slot, Matrix>, mut vectors: HashMap<Slot, Vec<f32>>) -> Weights {
    let mut matrix = |slot| matrices.remove(&slot).expect("a tensor that a header named was stored");
    let layers = (0..config.layers).map(|layer| {
        let at = |part| Slot::Layer(layer, part);
        let mut linear = |weight, bias| Linear { weight: matrix(at(weight)), bias: vectors.remove(&at(bias)) };
        let (q, k) = (linear(Part::Q, Part::QBias), linear(Part::K, Part::KBias));
        let (v, o) = (linear(Part::V, Part::VBias), linear(Part::O, Part::OBias));
        let (gate, up) = (linear(Part::Gate, Part::GateBias), linear(Part::Up, Part::UpBias));
        let down = linear(Part::Down, Part::DownBias);
        let mut vector = |part| vectors.remove(&at(part));
        Layer {
            attn_norm: vector(Part::AttnNorm).expect("a tensor that a header named was stored"),
            q,
            k,
            v,
            o,
            q_norm: vector(Part::QNorm),
            k_norm: vector(Part::KNorm),
            mlp_norm: vector(Part::MlpNorm).expect("a tensor that a header named was stored"),
            gate,
            up,
            down,
        }
    });
    let layers = layers.collect();
    let embed = matrix(Slot::Embed);
    let head = (!config.tied).then(|| matrix(Slot::Head));
    let norm = vectors.remove(&Slot::Norm).expect("a tensor that a header named was stored");
    Weights { embed, layers, norm, head }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_beyond_the_address_space_are_refused_before_the_download() {
        let message = fits(5 << 30, u64::from(u32::MAX)).unwrap_err().to_string();
        assert_eq!(
            message,
            "out of memory: holding the weights of this model needs 5368709120 bytes, which this environment refused. \
             Choose a smaller model, a smaller `dtype` or a shorter context."
        );
        assert_eq!(fits(1 << 30, u64::from(u32::MAX)), Ok(()));
    }

    #[test]
    fn no_text_is_taken_for_a_header_length() {
        for text in [&b"{\"error\":{"[..], b"<!doctype html>", b"version https:", b"PK\x03\x04\x14\0\0\0{", b"Entry not found"] {
            assert!(!is_plausible(text));
        }
        assert!(is_plausible(b"\x7b\x22\0\0\0\0\0\0{")); // 8827, whose first two bytes are `{"`
    }
}
