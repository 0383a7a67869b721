//! The streaming loader: chunks in, weights out.
//!
//! ```text
//! for each file:
//!     read the header, check it against the config and the index
//!     for each tensor, for each row:
//!         if the row lies whole in the chunk, store it from there
//!         else collect it from several chunks, then store it
//! ```

use super::checkpoint::Header;
use super::gguf::{Beginning, Metadata};
use super::head::Head;
use super::manifest::{EMBED_NUMBER, Incoming, Manifest, Target};
use super::stored::Stored;
use super::{Weights, bad, reserve};
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::quant::Dtype;
use std::collections::VecDeque;
use std::sync::Arc;

/// Makes weights of the bytes of a model's weight files, which come in order and in chunks of any size.
///
/// After an error every call returns the same error. Load the files again with a new loader.
pub struct Loader {
    manifest: Manifest,
    /// The number of the file that is being read.
    file: usize,
    section: Section,
    /// The beginning of a row that a chunk cut.
    partial: Vec<u8>,
    stored: Stored,
    failed: Option<Error>,
}

/// The part of a file that is being read.
enum Section {
    /// The part of the header that has come.
    Header(Head),
    /// The data. `todo` has the tensors that are not finished, `row` is the next row of the first of them,
    /// `pos` counts the bytes of the file, and at `end` the file ends at the latest.
    Data { todo: VecDeque<Incoming>, row: usize, pos: u64, end: u64 },
}

impl Loader {
    /// A loader for the model of `config`, with its `model.safetensors.index.json` if it has several weight
    /// files.
    ///
    /// `dtype` is how matrices are stored; `None`: in the format of the file. Norms and biases are always
    /// f32.
    ///
    /// Errors: `BAD_FILE` if the index is broken or lacks a tensor.
    pub fn new(config: &ModelConfig, index: Option<&[u8]>, dtype: Option<Dtype>) -> Result<Loader> {
        Ok(Loader::of(Manifest::new(config, index, dtype)?))
    }

    /// A loader for weight files without an index, in this order.
    pub(crate) fn of_files(config: &ModelConfig, files: Vec<String>, dtype: Option<Dtype>) -> Loader {
        Loader::of(Manifest::of_files(config, files, dtype))
    }

    fn of(manifest: Manifest) -> Loader {
        let section = Section::Header(Head::new());
        Loader { manifest, file: 0, section, partial: Vec::new(), stored: Stored::default(), failed: None }
    }

    /// Takes the beginning of the first file, if the caller has read it. Its data comes next.
    ///
    /// Errors: those of [`push`](Loader::push).
    pub(crate) fn begin(&mut self, beginning: Beginning) -> Result<()> {
        self.guarded(|loader| loader.enter(beginning.header, Some(&beginning.metadata)))
    }

    /// The factors by which the rotary frequencies are divided, if a file had them.
    pub(crate) fn rope_factors(&self) -> Option<Arc<[f32]>> {
        self.stored.rope_factors(&self.manifest)
    }

    /// The weight files in the order in which they are expected.
    pub fn files(&self) -> &[String] {
        &self.manifest.files
    }

    /// True when the config ties the head to the embedding, and the files hold a different head. The file's
    /// head is then used, as in transformers.
    pub(crate) fn has_own_head(&self) -> bool {
        self.manifest.plan().tied && self.stored.has(EMBED_NUMBER) && self.stored.has(self.manifest.own_head())
    }

    /// The tensors in the headers so far that the model does not read: `mtp.layers.*.norm.weight (2)`.
    pub fn unread_tensors(&self) -> Vec<String> {
        self.manifest.unread_tensors()
    }

    /// Takes the next bytes of the current file.
    ///
    /// Errors: `NOT_A_MODEL_FILE`, `BAD_FILE`, `UNSUPPORTED_MODEL`, `OUT_OF_MEMORY`; `BAD_INPUT` after the
    /// last file.
    pub fn push(&mut self, chunk: &[u8]) -> Result<()> {
        self.guarded(|loader| loader.take(chunk))
    }

    /// Ends the current file. The next [`push`](Loader::push) begins the next file.
    ///
    /// Errors: those of [`push`](Loader::push); `BAD_FILE` if the file is cut short.
    pub fn end_file(&mut self) -> Result<()> {
        self.guarded(Loader::close)
    }

    /// Returns the weights, after the last file.
    ///
    /// Errors: `BAD_INPUT` if files are missing, or the error of an earlier call.
    pub fn finish(self) -> Result<Weights> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let files = &self.manifest.files;
        if self.file < files.len() {
            let got = format!("{}, and {} is not finished", self.file, files[self.file]);
            return Err(Error::BadInput { what: "weight files".into(), expected: files.len().to_string(), got });
        }
        Ok(self.stored.assemble(&self.manifest))
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
        if self.file == self.manifest.files.len() && !chunk.is_empty() {
            let got = format!("{} more bytes", chunk.len());
            return Err(Error::BadInput { what: "push".into(), expected: "nothing after the last weight file".into(), got });
        }
        while !chunk.is_empty() {
            chunk = match &mut self.section {
                Section::Header(head) => {
                    let rest = head.push(&self.manifest.files[self.file], chunk)?;
                    if head.is_done() {
                        self.open()?;
                    }
                    rest
                }
                Section::Data { .. } => self.take_data(chunk)?,
            };
        }
        Ok(())
    }

    /// Reads the header, once it is complete or the bytes cannot be one.
    fn open(&mut self) -> Result<()> {
        let Section::Header(head) = std::mem::replace(&mut self.section, Section::Header(Head::new())) else { return Ok(()) };
        let (header, metadata) = head.finish(&self.manifest.files[self.file])?;
        self.enter(header, metadata.as_ref())
    }

    /// Enters the data of the file with this header.
    fn enter(&mut self, header: Header, metadata: Option<&Metadata>) -> Result<()> {
        let (pos, end) = (header.bytes, header.end());
        self.section = Section::Data { todo: self.manifest.begin(self.file, header, metadata)?, row: 0, pos, end };
        Ok(())
    }

    /// Takes data of the first unfinished tensor, one row at most. Returns the rest of the chunk.
    fn take_data<'a>(&mut self, chunk: &'a [u8]) -> Result<&'a [u8]> {
        let Section::Data { todo, row, pos, end } = &mut self.section else { return Ok(chunk) };
        while todo.front().is_some_and(|tensor| tensor.end == *pos) {
            todo.pop_front();
            *row = 0;
        }
        let next = todo.front().map_or(*end, |tensor| tensor.start);
        if *pos < next {
            let padding = (next - *pos).min(chunk.len() as u64);
            *pos += padding;
            return Ok(&chunk[padding as usize..]);
        }
        let Some(tensor) = todo.front() else {
            let at = format!("byte {pos}");
            return Err(self.bad(&at, "the end of the file", "more bytes".into()));
        };
        let row_bytes = match tensor.target {
            Target::Matrix { source, cols, .. } | Target::Vector { source, len: cols, .. } | Target::Twin { source, cols, .. } => {
                source.bytes(cols)
            }
            Target::Packed(piece) => piece.row_bytes(),
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
            self.stored.row(&self.manifest.files[self.file], tensor, *row, now)?;
            *row += 1;
            return Ok(rest);
        }
        if self.partial.is_empty() {
            reserve(&mut self.partial, row_bytes, "a row of weights")?;
        }
        self.partial.extend_from_slice(now);
        if self.partial.len() == row_bytes {
            self.stored.row(&self.manifest.files[self.file], tensor, *row, &self.partial)?;
            *row += 1;
            self.partial.clear();
        }
        Ok(rest)
    }

    fn close(&mut self) -> Result<()> {
        if self.file == self.manifest.files.len() {
            let expected = format!("{} files", self.manifest.files.len());
            return Err(Error::BadInput { what: "end_file".into(), expected, got: "one more".into() });
        }
        if let Section::Header(_) = &self.section {
            self.open()?;
        }
        if let Section::Data { todo, pos, .. } = &self.section
            && let Some(last) = todo.back()
            && last.end > *pos
        {
            return Err(self.bad("the whole file", &format!("{} bytes", last.end), format!("{pos} bytes")));
        }
        self.file += 1;
        self.section = Section::Header(Head::new());
        Ok(())
    }

    fn bad(&self, at: &str, expected: &str, got: String) -> Error {
        bad(&self.manifest.files[self.file], at, expected, got)
    }
}
