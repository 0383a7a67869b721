//! What a weight file says about its tensors before their data, whatever its format.
//!
//! A reader of a format (`safetensors.rs`) makes a [`Header`] of the first bytes of a file, and checks it.
//! All that comes after it, in the loader and in the scan, sees entries and no format.

use std::sync::Arc;

use crate::quant::FileDtype;

/// The header of a weight file.
#[derive(Debug)]
pub(super) struct Header {
    /// The tensors in the order of their data, which covers the rest of the file without a hole and without
    /// overlap.
    pub entries: Vec<Entry>,
    /// Bytes before the data.
    pub bytes: u64,
}

/// One tensor of a file.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its name, as the file spells it.
    pub name: String,
    /// Its dtype, as the file spells it.
    pub dtype_name: Arc<str>,
    /// Its dtype, if weights of it can be read.
    pub dtype: Option<FileDtype>,
    pub shape: Box<[u64]>,
    /// Where its data begins and ends, counted from the end of the header.
    pub start: u64,
    pub end: u64,
}
