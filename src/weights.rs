//! Reads a model's weight files, in chunks and shards, into checked and owned weights.
//!
//! A [`Loader`] takes the bytes of the files in order, in chunks of any size, as a network or a disk gives
//! them. Each row of a matrix goes into its final storage as soon as it is whole. So the memory at the peak
//! is the stored weights, the caller's chunk and one row. Errors come as early as they can be known: names
//! of files when the loader is made, names and shapes of tensors with a file's header, before its data is
//! downloaded.
//!
//! ```text
//! head.rs          the first bytes of a file  -> its entries (checkpoint.rs), by safetensors.rs or gguf.rs
//! manifest.rs      entries, config and index  -> where each tensor goes, or what is wrong
//! loader.rs        data                       -> stored rows (stored.rs)
//! tensors.rs       the table of all tensors   -> the weights
//! scan.rs          headers alone              -> what a model will take
//! ```

mod checkpoint;
mod gguf;
mod head;
mod index;
mod loader;
mod manifest;
mod safetensors;
mod scan;
mod stored;
mod tensors;

#[cfg(all(test, not(target_family = "wasm")))]
pub(crate) use gguf::real::open as open_real;
pub(crate) use gguf::{Beginning, MAGIC, Reader, files as gguf_files};
pub use loader::Loader;
pub(crate) use safetensors::is_plausible as is_safetensors;
pub use scan::HeaderScan;
pub(crate) use tensors::Linear;
#[cfg(test)]
pub(crate) use tensors::Storage;
pub use tensors::{Tensor, TensorSpec, Weights};

use crate::error::{Error, Result};

fn bad(file: &str, at: &str, expected: &str, got: String) -> Error {
    Error::BadFile { file: file.into(), at: at.into(), expected: expected.into(), got }
}

/// Makes room for `len` more values. Errors: `OUT_OF_MEMORY`.
fn reserve<T>(values: &mut Vec<T>, len: usize, what: &str) -> Result<()> {
    values.try_reserve_exact(len).map_err(|_| {
        let requested_bytes = (len as u64).saturating_mul(size_of::<T>() as u64);
        Error::OutOfMemory { what: what.into(), requested_bytes }
    })
}
