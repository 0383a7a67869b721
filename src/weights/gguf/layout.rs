//! Checks the tensors of a GGUF file: their names, shapes and places in the data.

use std::sync::Arc;

use super::super::bad;
use super::super::checkpoint::{Entry, Header, RowOrder};
use super::metadata::Metadata;
use super::types::TensorType;
use crate::error::{Error, Result};

/// A tensor as the file describes it.
#[derive(Debug)]
pub(super) struct Info {
    pub name: String,
    /// Rows first.
    pub shape: Box<[u64]>,
    /// The number of its format.
    pub kind: u32,
    /// Where its data begins, counted from the beginning of the data.
    pub offset: u64,
}

/// What the data is aligned to in a file that does not say it.
const ALIGNMENT: u64 = 32;

/// The largest alignment that is accepted: that of a large page of memory.
const ALIGNMENT_MAX: u64 = 1 << 21;

/// Checks the tensors of a file whose header has `bytes` bytes.
///
/// Errors: `BAD_FILE` and `UNSUPPORTED_MODEL` with the tensor.
pub(super) fn header(metadata: &Metadata, mut infos: Vec<Info>, bytes: u64) -> Result<Header> {
    let file = metadata.file();
    let alignment = metadata.whole("general.alignment")?.unwrap_or(ALIGNMENT);
    if !alignment.is_power_of_two() || alignment > ALIGNMENT_MAX {
        return Err(metadata.bad("general.alignment", &format!("a power of two up to {ALIGNMENT_MAX}"), alignment.to_string()));
    }

    infos.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = infos.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(bad(file, &format!("tensor {}", pair[0].name), "one entry in the header", "two".into()));
    }

    infos.sort_unstable_by(|a, b| (a.offset, &a.name).cmp(&(b.offset, &b.name)));
    let mut entries: Vec<Entry> = Vec::with_capacity(infos.len());
    let mut covered = 0;
    for Info { name, shape, kind, offset } in infos {
        let at = format!("tensor {name}");
        let bad = |expected: &str, got: String| bad(file, &at, expected, got);
        let Some(kind) = TensorType::of(kind) else {
            let expected = super::types::supported();
            return Err(Error::UnsupportedModel { file: file.into(), field: format!("the type of {at}"), expected, got: kind.to_string() });
        };
        if offset != covered {
            let what = if !offset.is_multiple_of(alignment) {
                format!(", which is not a multiple of {alignment}")
            } else if offset > covered {
                ": a hole before it".into()
            } else {
                ": an overlap with the tensor before it".into()
            };
            return Err(bad(&format!("data from byte {covered}"), format!("data from byte {offset}{what}")));
        }
        let cols = shape.last().copied().unwrap_or(1);
        let what = format!("{} {shape:?}", kind.name);
        if !cols.is_multiple_of(kind.block) {
            let expected = format!("rows of whole blocks of {}", kind.block);
            return Err(bad(&expected, what));
        }
        let blocks = shape.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim)).map(|values| values / kind.block);
        let end = blocks.and_then(|blocks| offset.checked_add(blocks.checked_mul(kind.bytes)?));
        let after = end.and_then(|end| end.checked_next_multiple_of(alignment));
        let (Some(end), Some(after)) = (end, after) else {
            return Err(bad("data within 2^64 bytes", what));
        };
        covered = after;
        // Equal names of formats are shared.
        let before = entries.last().map(|entry| &entry.dtype_name).filter(|before| ***before == *kind.name);
        let dtype_name: Arc<str> = before.cloned().unwrap_or_else(|| kind.name.into());
        entries.push(Entry {
            name,
            published: None,
            dtype_name,
            dtype: kind.dtype(),
            shape: trimmed(&shape).into(),
            start: offset,
            end,
            order: RowOrder::Same,
        });
    }
    let Some(data) = bytes.checked_next_multiple_of(alignment) else {
        return Err(bad(file, "the header", "fewer than 2^64 bytes", bytes.to_string()));
    };
    Ok(Header { entries, bytes, data, alignment })
}

/// The shape without outer dimensions of 1 above a matrix.
fn trimmed(shape: &[u64]) -> &[u64] {
    let outer = shape.iter().take_while(|&&dim| dim == 1).count().min(shape.len().saturating_sub(2));
    &shape[outer..]
}
