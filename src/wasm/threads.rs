//! The threads of one shared memory, as JavaScript starts them: it makes the pool, then starts workers on
//! the same module and memory, each of which joins it and does not come back.
//!
//! A memory has one pool, the only thing that all its instances have to find: hence a global.

use std::sync::{Arc, OnceLock};

use wasm_bindgen::prelude::*;

use super::JsModel;
use crate::cache::Cache;
use crate::model::Model;
use crate::network::Executor;
use crate::pool::Pool;

static POOL: OnceLock<Arc<Pool>> = OnceLock::new();

/// The pool with which the models of this memory compute.
pub(super) fn pool() -> Arc<Pool> {
    POOL.get().cloned().unwrap_or_else(|| Pool::new(1))
}

/// Makes the pool of this memory for a number of threads. Call it once, before any model is loaded.
#[wasm_bindgen(js_name = startPool)]
pub fn start_pool(threads: usize) {
    POOL.get_or_init(|| Pool::new(threads));
}

/// Makes the calling worker a thread of the pool. Returns when the pool no longer needs it.
#[wasm_bindgen(js_name = joinPool)]
pub fn join_pool() {
    pool().work();
}

/// Tells the pool that a worker ended by an exception, so that the pool does not wait for it.
#[wasm_bindgen(js_name = failPool)]
pub fn fail_pool() {
    pool().fail();
}

/// Sets the most threads that compute.
#[wasm_bindgen(js_name = limitThreads)]
pub fn limit_threads(threads: usize) {
    pool().limit(threads);
}

/// The threads in use: those that have joined, up to the limit.
#[wasm_bindgen]
pub fn threads() -> usize {
    pool().threads()
}

/// Reads some tokens and writes one, and keeps nothing of them. JavaScript times it to choose the number of
/// threads.
///
/// Reading takes half of the time: where one thread uses all of the memory's bandwidth, a second one speeds
/// up reading alone.
#[wasm_bindgen]
pub struct Rehearsal {
    model: Arc<Model>,
    cache: Cache,
    executor: Executor,
    logits: Vec<f32>,
}

#[wasm_bindgen]
impl Rehearsal {
    /// A rehearsal of this model.
    #[wasm_bindgen(constructor)]
    pub fn new(model: &JsModel) -> Rehearsal {
        let (cache, executor) = (model.0.network().cache(), Executor::new(pool()));
        Rehearsal { cache, executor, logits: Vec::new(), model: model.0.clone() }
    }

    /// Computes them. An error would come up in a session too.
    pub fn step(&mut self) {
        self.cache.truncate(0);
        for tokens in [&[0; 4][..], &[0]] {
            let _ = self.model.network().forward(tokens, &mut self.cache, &mut self.executor, &mut self.logits);
        }
    }
}
