//! What the caches of a model may take together, and do take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::error::{Error, Result};

/// The memory of all KV caches of one model, counted where blocks are made and dropped: what two sessions share counts once.
#[derive(Debug)]
pub struct Budget {
    used: AtomicU64,
    max: Option<u64>,
}

/// What one block takes of a budget, until it is dropped.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    /// Of so many bytes; `None`: as many as the machine gives.
    pub fn new(max: Option<u64>) -> Arc<Budget> {
        Arc::new(Budget { used: AtomicU64::new(0), max })
    }

    /// Units: bytes in use.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Units: bytes; `None`: no bound but the machine's.
    pub fn max(&self) -> Option<u64> {
        self.max
    }

    /// Takes some.
    ///
    /// Errors: `OUT_OF_MEMORY` where there is not so much left.
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
