//! What a model's weights will take, learnt from the headers of its files alone.
//!
//! The headers are a few hundred KB of files of gigabytes: fetched by range requests, they tell of every tensor its type, and so what the
//! model will take in memory before any of it is downloaded.

use super::header;
use super::loader::{header_bytes, plausible};
use super::plan::{Plan, Target};
use crate::config::{ModelConfig, Part, Slot};
use crate::error::{Error, Result};
use crate::quant::Dtype;

/// Reads the headers of a model's weight files, in order.
#[derive(Debug)]
pub struct Survey {
    plan: Plan,
    dtype: Option<Dtype>,
    file: usize,
    /// How the matrices of the first layer will be stored, once their file's header was read: as most are.
    pub stored: Option<Dtype>,
    /// Bytes of the files whose headers were read.
    pub file_bytes: u64,
    /// Bytes that their tensors take in memory.
    pub weight_bytes: u64,
}

impl Survey {
    /// A survey of the model of `config`, stored as `dtype`; `None`: each matrix in its file's own format.
    ///
    /// Errors: `BAD_FILE` if the index is broken or lacks a tensor.
    pub fn new(config: &ModelConfig, index: Option<&[u8]>, dtype: Option<Dtype>) -> Result<Survey> {
        Ok(Survey { plan: Plan::new(config, index)?, dtype, file: 0, stored: None, file_bytes: 0, weight_bytes: 0 })
    }

    /// The weight files, in the order in which their headers are expected.
    pub fn files(&self) -> &[String] {
        &self.plan.files
    }

    /// Takes the beginning of the next file. Returns how many bytes of it are needed: if that is more than were given, nothing was taken.
    ///
    /// Errors: `NOT_A_MODEL_FILE`, `BAD_FILE`, `UNSUPPORTED_MODEL`; `BAD_INPUT` after the last file.
    pub fn header(&mut self, head: &[u8]) -> Result<usize> {
        let Some(file) = self.plan.files.get(self.file) else {
            let expected = format!("{} files", self.plan.files.len());
            return Err(Error::BadInput { what: "header".into(), expected, got: "one more".into() });
        };
        let need = header_bytes(head);
        if need > head.len() {
            return Ok(need);
        }
        plausible(file, head)?;
        let entries = header::parse(file, &head[8..need])?;
        let tensors = self.plan.tensors(self.file, entries, need as u64)?;
        self.file_bytes += tensors.back().map_or(need as u64, |last| last.end);
        for tensor in &tensors {
            self.weight_bytes += match tensor.target {
                Target::Matrix { slot, source, rows, cols } => {
                    let dtype = self.dtype.map_or(source, |dtype| slot.stored_as(dtype));
                    if slot == Slot::Layer(0, Part::Down) {
                        self.stored = Some(dtype);
                    }
                    dtype.matrix_bytes(rows, cols)
                }
                Target::Vector { len, .. } => 4 * len as u64,
                Target::Twin { .. } | Target::Skip => 0,
            };
        }
        self.file += 1;
        Ok(need)
    }
}
