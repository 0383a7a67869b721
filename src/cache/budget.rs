//! The memory budget of all KV caches of a model.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::error::{Error, Result};

/// Counts the memory of all KV caches of one model. A block counts once, even if several sessions share it.
#[derive(Debug)]
pub struct Budget {
    used: AtomicU64,
    max: Option<u64>,
}

/// The bytes of one block. They return to the budget when this is dropped.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    /// Creates a budget of `max` bytes. `None`: no limit.
    pub fn new(max: Option<u64>) -> Arc<Budget> {
        Arc::new(Budget { used: AtomicU64::new(0), max })
    }

    /// The memory in use. Units: bytes.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// The limit, if there is one. Units: bytes.
    pub fn max(&self) -> Option<u64> {
        self.max
    }

    /// Takes `bytes` from the budget.
    ///
    /// Errors: `OUT_OF_MEMORY` if fewer bytes are left.
    pub(super) fn charge(self: &Arc<Budget>, bytes: u64) -> Result<Charge> {
        let requested_bytes = self.used.fetch_add(bytes, Relaxed) + bytes;
        let charge = Charge { budget: self.clone(), bytes };
        match self.max {
            Some(available_bytes) if requested_bytes > available_bytes => Err(Error::CachesFull { requested_bytes, available_bytes }),
            _ => Ok(charge),
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Relaxed);
    }
}
