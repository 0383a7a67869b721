//! How the KV cache stores keys and values.

use std::str::FromStr;

use super::TILE_COLS;
use crate::error::{Error, Result};

/// How keys and values are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum KvDtype {
    /// IEEE single precision: what attention computes with.
    #[default]
    F32,
    /// IEEE half precision, with a power of two for each position and head. It takes half of the memory.
    F16,
}

impl KvDtype {
    /// The name, as options spell it.
    pub fn name(self) -> &'static str {
        match self {
            KvDtype::F32 => "f32",
            KvDtype::F16 => "f16",
        }
    }

    /// Bytes of one position of one head, keys and values, padding included.
    pub fn position_bytes(self, head_dim: usize) -> u64 {
        let padded = head_dim.next_multiple_of(TILE_COLS) as u64;
        match self {
            KvDtype::F32 => 2 * 4 * padded,
            KvDtype::F16 => 2 * (2 * padded + 4),
        }
    }
}

impl FromStr for KvDtype {
    type Err = Error;

    fn from_str(name: &str) -> Result<KvDtype> {
        [KvDtype::F32, KvDtype::F16].into_iter().find(|dtype| dtype.name() == name).ok_or_else(|| Error::BadOption {
            option: "kvDtype".into(),
            expected: "f32 or f16".into(),
            got: format!("`{name}`"),
        })
    }
}
