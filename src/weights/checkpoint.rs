//! What a weight file says about its tensors before their data, whatever its format.
//!
//! A reader of a format (`safetensors.rs`, `gguf.rs`) makes a [`Header`] of the first bytes of a file, and
//! checks it. All that comes after it, in the loader and in the scan, sees entries and no format.

use std::sync::Arc;

use crate::quant::FileDtype;

/// The header of a weight file.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    /// The tensors in the order of their data, which do not overlap.
    pub(super) entries: Vec<Entry>,
    /// Bytes of the header itself.
    pub(super) bytes: u64,
    /// Where the data begins in the file.
    pub(super) data: u64,
    /// The data of each tensor begins at a multiple of this, counted from the beginning of the data. Bytes
    /// between two tensors, and after the last, are padding.
    pub(super) alignment: u64,
}

/// One tensor of a file.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its name, as the file spells it.
    pub name: String,
    /// Its name in the layout of Hugging Face, if the file spells it otherwise.
    pub published: Option<String>,
    /// Its dtype, as the file spells it.
    pub dtype_name: Arc<str>,
    /// Its dtype, if weights of it can be read.
    pub dtype: Option<FileDtype>,
    /// Its shape: (out, in) for a matrix.
    pub shape: Box<[u64]>,
    /// Where its data begins and ends, counted from the beginning of the data.
    pub start: u64,
    pub end: u64,
    /// The order of its rows.
    pub order: RowOrder,
}

/// The name of the factors by which the rotary frequencies of Llama 3 are divided. Only GGUF files have them
/// as a tensor.
pub(super) const ROPE_FACTORS: &str = "model.rope_factors";

/// Which row of a matrix a row of the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowOrder {
    /// The same.
    Same,
    /// Within each head, lanes that rotate together lie side by side in the file, and half a head apart in
    /// the matrix.
    Interleaved { head_dim: usize },
}

impl RowOrder {
    /// The row of the matrix.
    pub(super) fn place(self, row: usize) -> usize {
        match self {
            RowOrder::Same => row,
            RowOrder::Interleaved { head_dim } => {
                let lane = row % head_dim;
                row - lane + lane % 2 * (head_dim / 2) + lane / 2
            }
        }
    }
}

impl Header {
    /// Where the padding after the last tensor ends in the file.
    pub(super) fn end(&self) -> u64 {
        let last = self.entries.last().map_or(0, |entry| entry.end);
        self.data.saturating_add(last.checked_next_multiple_of(self.alignment).unwrap_or(u64::MAX))
    }
}
