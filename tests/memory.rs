//! The memory of loading a model of 100 MB and of idle sessions, as a counting allocator sees it.
#![cfg(not(target_family = "wasm"))]
#![allow(unsafe_code)] // an allocator needs unsafe code

mod common;

use common::files::folder;
use common::greedy;
use fireside::internals::{Loader, ModelConfig, TensorSpec};
use fireside::{Dtype, Session};
use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::json;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        PEAK.fetch_max(LIVE.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The counters count the whole process, so the tests take turns.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn idle_sessions_take_little_more_than_their_keys_and_values() {
    let _alone = ALONE.lock().unwrap();
    let model = Arc::new(folder("chat").load());
    let prompt = "My name is Ada. I live by the sea with two cats and a dog. ".repeat(4);
    let ask = |session: &mut Session| session.chat(prompt.as_str(), &greedy(20)).unwrap().finish().unwrap();
    // The first session allocates the scratch memory that all of them share.
    let mut first = Session::new(model.clone());
    ask(&mut first);
    let before = LIVE.load(Relaxed) - model.kv_budget().used() as usize;
    let mut sessions: Vec<Session> = (0..8).map(|_| Session::new(model.clone())).collect();
    for session in &mut sessions {
        ask(session);
    }
    let beside = LIVE.load(Relaxed) - model.kv_budget().used() as usize - before;
    println!("8 idle sessions: {} bytes of keys and values, {beside} in addition", 8 * sessions[0].kv_bytes());
    assert!(beside < 1 << 20, "8 idle sessions take {beside} bytes in addition to their keys and values");
}

#[test]
fn loading_peaks_at_the_stored_weights_and_one_chunk() {
    let _alone = ALONE.lock().unwrap();
    const CHUNK: usize = 1 << 20;
    const SMALL: usize = 64 << 10;
    let config = json!({"model_type": "llama", "vocab_size": 32000, "hidden_size": 768, "intermediate_size": 2048,
        "num_hidden_layers": 4, "num_attention_heads": 12, "tie_word_embeddings": true});
    let config = ModelConfig::from_json(config.to_string().as_bytes()).unwrap();

    let mut data_bytes = 0;
    let tensor = |spec: TensorSpec| {
        let begin = data_bytes;
        data_bytes += 2 * spec.len() as usize;
        (spec.name, TensorInfo { dtype: safetensors::Dtype::F16, shape: spec.shape, data_offsets: (begin, data_bytes) })
    };
    let tensors = config.plan.tensors().into_iter().map(tensor).collect();
    let header = serde_json::to_vec(&Metadata::new(None, tensors).unwrap()).unwrap();
    assert!(data_bytes > 100_000_000);

    for (dtype, stored) in [(None, Dtype::F16), (Some(Dtype::F32), Dtype::F32), (Some(Dtype::Bf16), Dtype::Bf16)] {
        let before = LIVE.load(Relaxed);
        PEAK.store(before, Relaxed);
        let mut loader = Loader::new(&config, None, dtype).unwrap();
        loader.push(&(header.len() as u64).to_le_bytes()).unwrap();
        loader.push(&header).unwrap();
        let chunk = vec![0x3c; CHUNK]; // 0x3c3c is 1.06 in f16
        let mut left = data_bytes;
        while left > 0 {
            let now = left.min(CHUNK);
            loader.push(&chunk[..now]).unwrap();
            left -= now;
        }
        loader.end_file().unwrap();
        let weights = loader.finish().unwrap();
        let (bytes, peak) = (weights.bytes() as usize, PEAK.load(Relaxed) - before);
        println!("file {data_bytes} bytes, stored as {stored} in {bytes}, chunk {CHUNK}: peak {peak}, {} more", peak - bytes - CHUNK);
        assert_eq!(bytes as u64, config.plan.weight_bytes(stored));
        assert!(peak <= bytes + CHUNK + SMALL, "peak {peak} with {bytes} stored");
    }
}
