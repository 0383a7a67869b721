//! The streaming loader: chunks in, weights out.
//!
//! ```text
//! for each file:  8 bytes of length -> header (checked against the config and the index) -> data, tensor by tensor:
//!     a row that lies whole in the chunk is stored from there; a row cut by the end of a chunk is put together first
//! ```

use super::manifest::{Plan, Target, Tensor};
use super::safetensors;
use super::{Layer, Linear, Weights};
use crate::config::{ModelConfig, Part, Slot};
use crate::error::{Error, Result};
use crate::quant::{Dtype, FileDtype, Matrix};
use std::collections::{HashMap, VecDeque};

/// Takes the bytes of a model's weight files, in order and in chunks of any size, and makes its weights of them.
///
/// After an error every call returns the same error; the files have to be loaded anew.
pub struct Loader {
    plan: Plan,
    /// The number of the file that is being read.
    file: usize,
    stage: Stage,
    /// The beginning of a row that a chunk cut.
    partial: Vec<u8>,
    stored: Stored,
    failed: Option<Error>,
}

enum Stage {
    /// The length and the header, as far as they have come.
    Header(Vec<u8>),
    /// The data: the tensors that are not finished, the first of them under way at its row `row`; `pos` counts the file's bytes.
    Data { todo: VecDeque<Tensor>, row: usize, pos: u64 },
}

/// What has been read.
struct Stored {
    /// The storage of matrices; `None`: each tensor's own.
    dtype: Option<Dtype>,
    matrices: HashMap<Slot, Matrix>,
    vectors: HashMap<Slot, Vec<f32>>,
}

impl Loader {
    /// A loader for the model of `config`, with its `model.safetensors.index.json` if it has several weight files.
    ///
    /// `dtype` is how matrices are stored; `None`: in the file's own format. Norms and biases are f32 in any case.
    /// Errors: `BAD_FILE` if the index is broken or lacks a tensor.
    pub fn new(config: &ModelConfig, index: Option<&[u8]>, dtype: Option<Dtype>) -> Result<Loader> {
        Ok(Loader {
            plan: Plan::new(config, index)?,
            file: 0,
            stage: Stage::Header(Vec::new()),
            partial: Vec::new(),
            stored: Stored { dtype, matrices: HashMap::new(), vectors: HashMap::new() },
            failed: None,
        })
    }

    /// The weight files in the order in which they are expected.
    pub fn files(&self) -> &[String] {
        &self.plan.files
    }

    /// True where the model is tied by its config and its files hold a head of its own: then that is the
    /// head, as in transformers.
    pub fn has_own_head(&self) -> bool {
        self.plan.config.tied && self.stored.matrices.contains_key(&Slot::Head) && self.stored.matrices.contains_key(&Slot::Embed)
    }

    /// Tensors of the headers so far that the model does not read, as `mtp.layers.*.norm.weight (2)`.
    pub fn passed_over(&self) -> Vec<String> {
        self.plan.passed_over()
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
        let files = &self.plan.files;
        if self.file < files.len() {
            let got = format!("{}, and {} is not finished", self.file, files[self.file]);
            return Err(Error::BadInput { what: "weight files".into(), expected: files.len().to_string(), got });
        }
        Ok(self.stored.assemble(&self.plan.config))
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
        if self.file == self.plan.files.len() && !chunk.is_empty() {
            let got = format!("{} more bytes", chunk.len());
            return Err(Error::BadInput { what: "push".into(), expected: "nothing after the last weight file".into(), got });
        }
        while !chunk.is_empty() {
            chunk = match &mut self.stage {
                Stage::Header(head) => {
                    let wanted = safetensors::header_bytes(head) - head.len();
                    let (now, rest) = chunk.split_at(chunk.len().min(wanted));
                    if head.capacity() - head.len() < now.len() {
                        reserve(head, wanted, "a header of weights")?;
                    }
                    head.extend_from_slice(now);
                    if head.len() == safetensors::header_bytes(head) {
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
        let header = safetensors::read(&self.plan.files[self.file], &head)?;
        let pos = header.bytes;
        self.stage = Stage::Data { todo: self.plan.tensors(self.file, header)?, row: 0, pos };
        Ok(())
    }

    /// Takes data of the tensor under way, one row at most, and returns the rest of the chunk.
    fn take_data<'a>(&mut self, chunk: &'a [u8]) -> Result<&'a [u8]> {
        let Stage::Data { todo, row, pos } = &mut self.stage else { return Ok(chunk) };
        while todo.front().is_some_and(|tensor| tensor.end == *pos) {
            todo.pop_front();
            *row = 0;
        }
        let Some(tensor) = todo.front() else {
            let at = format!("byte {pos}");
            return Err(self.bad(&at, "the end of the file", "more bytes".into()));
        };
        let row_bytes = match tensor.target {
            Target::Matrix { source, cols, .. } | Target::Vector { source, len: cols, .. } | Target::Twin { source, cols, .. } => {
                source.size() * cols
            }
            Target::Skip | Target::Zero => {
                let (now, rest) = chunk.split_at((tensor.end - *pos).min(chunk.len() as u64) as usize);
                if matches!(tensor.target, Target::Zero) && now.iter().any(|&byte| byte != 0) {
                    let at = format!("tensor {}", tensor.name);
                    return Err(self.bad(&at, "zeros, as config.json does not ask for this bias", "other values".into()));
                }
                *pos += now.len() as u64;
                return Ok(rest);
            }
        };
        let (now, rest) = chunk.split_at(chunk.len().min(row_bytes - self.partial.len()));
        *pos += now.len() as u64;
        if now.len() == row_bytes {
            self.stored.row(&self.plan.files[self.file], tensor, *row, now)?;
            *row += 1;
            return Ok(rest);
        }
        if self.partial.is_empty() {
            reserve(&mut self.partial, row_bytes, "a row of weights")?;
        }
        self.partial.extend_from_slice(now);
        if self.partial.len() == row_bytes {
            self.stored.row(&self.plan.files[self.file], tensor, *row, &self.partial)?;
            *row += 1;
            self.partial.clear();
        }
        Ok(rest)
    }

    fn close(&mut self) -> Result<()> {
        if self.file == self.plan.files.len() {
            let expected = format!("{} files", self.plan.files.len());
            return Err(Error::BadInput { what: "end_file".into(), expected, got: "one more".into() });
        }
        if let Stage::Header(_) = &self.stage {
            self.open()?;
        }
        if let Stage::Data { todo, pos, .. } = &self.stage
            && let Some(last) = todo.back()
            && last.end != *pos
        {
            return Err(self.bad("the whole file", &format!("{} bytes", last.end), format!("{pos} bytes")));
        }
        self.file += 1;
        self.stage = Stage::Header(Vec::new());
        Ok(())
    }

    fn bad(&self, at: &str, expected: &str, got: String) -> Error {
        bad(&self.plan.files[self.file], at, expected, got)
    }
}

impl Stored {
    /// Stores one whole row of a tensor.
    ///
    /// Errors: `BAD_FILE` if it holds a NaN or an infinity or is not the twin it should be, `OUT_OF_MEMORY`.
    fn row(&mut self, file: &str, tensor: &Tensor, row: usize, bytes: &[u8]) -> Result<()> {
        let at = || format!("tensor {}, row {row}", tensor.name);
        let (Target::Matrix { source, .. } | Target::Vector { source, .. } | Target::Twin { source, .. }) = tensor.target else {
            return Ok(());
        };
        if !source.is_finite(bytes) {
            return Err(bad(file, &at(), "numbers", "a NaN or an infinity".into()));
        }
        match tensor.target {
            Target::Matrix { slot, rows, cols, .. } => {
                if row == 0 {
                    self.matrices.insert(slot, Matrix::new(self.format(slot, source), rows, cols)?);
                }
            }
            Target::Twin { slot, rows, cols, .. } => {
                if !self.matrices.contains_key(&slot) && self.untie(slot, source, (rows, cols), row, bytes)? {
                    return Ok(());
                }
            }
            Target::Vector { slot, len, .. } => {
                let mut values = zeros(len)?;
                source.widen(bytes, &mut values);
                self.vectors.insert(slot, values);
            }
            Target::Skip | Target::Zero => {}
        }
        if let Target::Matrix { slot, .. } | Target::Twin { slot, .. } = tensor.target
            && let Some(matrix) = self.matrices.get_mut(&slot)
        {
            matrix.set_row(row, source, bytes);
        }
        Ok(())
    }

    /// The format in which a matrix of the model is stored.
    fn format(&self, slot: Slot, source: FileDtype) -> Dtype {
        self.dtype.map_or(source.storage(), |dtype| slot.stored_as(dtype))
    }

    /// Compares a row of the second of embedding and head with the first. Returns true if it is the same; at
    /// the first row that is not, the second becomes a matrix of its own, which begins as the first does.
    ///
    /// Source: transformers 5.24, `tie_weights`: both are in the checkpoint with different values, so they
    /// are not tied.
    fn untie(&mut self, slot: Slot, source: FileDtype, (rows, cols): (usize, usize), row: usize, bytes: &[u8]) -> Result<bool> {
        let Some(first) = self.matrices.get(if slot == Slot::Head { &Slot::Embed } else { &Slot::Head }) else { return Ok(false) };
        let dtype = self.format(slot, source);
        let mut one_row = Matrix::new(dtype, 1, cols)?;
        one_row.set_row(0, source, bytes);
        if decoded(&one_row, 0)? == decoded(first, row)? {
            return Ok(true);
        }
        let own = if first.dtype() == dtype {
            first.copy()?
        } else {
            // Their rows so far are the same numbers, so both formats hold them exactly.
            let mut own = Matrix::new(dtype, rows, cols)?;
            for row in 0..row {
                let values: Vec<u8> = decoded(first, row)?.iter().flat_map(|value| value.to_le_bytes()).collect();
                own.set_row(row, FileDtype::F32, &values);
            }
            own
        };
        self.matrices.insert(slot, own);
        Ok(false)
    }

    /// Puts the tensors in their places. All of them are there: the plan saw them named, and `close` saw their data whole.
    fn assemble(self, config: &ModelConfig) -> Weights {
        const THERE: &str = "a tensor that a header named was stored";
        let Stored { mut matrices, mut vectors, .. } = self;
        let mut layers = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            let at = |part| Slot::Layer(layer, part);
            let mut linear = |weight, bias| Linear { weight: matrices.remove(&at(weight)).expect(THERE), bias: vectors.remove(&at(bias)) };
            let (q, k) = (linear(Part::Q, Part::QBias), linear(Part::K, Part::KBias));
            let (v, o) = (linear(Part::V, Part::VBias), linear(Part::O, Part::OBias));
            let (gate, up) = (linear(Part::Gate, Part::GateBias), linear(Part::Up, Part::UpBias));
            let down = linear(Part::Down, Part::DownBias);
            let mut vector = |part| vectors.remove(&at(part));
            let (attn_norm, mlp_norm) = (vector(Part::AttnNorm).expect(THERE), vector(Part::MlpNorm).expect(THERE));
            let (q_norm, k_norm) = (vector(Part::QNorm), vector(Part::KNorm));
            layers.push(Layer { attn_norm, q, k, v, o, q_norm, k_norm, mlp_norm, gate, up, down });
        }
        let head = matrices.remove(&Slot::Head);
        // A tied embedding may stand under the head's name alone.
        let (embed, head) = match matrices.remove(&Slot::Embed) {
            Some(embed) => (embed, head),
            None => (head.expect(THERE), None),
        };
        assert!(config.tied || head.is_some(), "{THERE}");
        let norm = vectors.remove(&Slot::Norm).expect(THERE);
        Weights { embed, layers, norm, head }
    }
}

fn decoded(matrix: &Matrix, row: usize) -> Result<Vec<f32>> {
    let mut values = zeros(matrix.cols())?;
    matrix.row(row, &mut values);
    Ok(values)
}

fn zeros(len: usize) -> Result<Vec<f32>> {
    let mut values = Vec::new();
    reserve(&mut values, len, "a row of weights")?;
    values.resize(len, 0.0);
    Ok(values)
}

fn reserve<T>(values: &mut Vec<T>, len: usize, what: &str) -> Result<()> {
    values.try_reserve_exact(len).map_err(|_| {
        let requested_bytes = (len as u64).saturating_mul(size_of::<T>() as u64);
        Error::OutOfMemory { what: what.into(), requested_bytes }
    })
}

fn bad(file: &str, at: &str, expected: &str, got: String) -> Error {
    Error::BadFile { file: file.into(), at: at.into(), expected: expected.into(), got }
}
