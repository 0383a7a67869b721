//! The scheduler decides what to compute next for all sequences of a model.
//!
//! Sequences queue tokens. A step computes one of two things, alternating if both are queued:
//!
//! - **decode**: one pass over one token of each sequence that has queued a single token. The rows share
//!   each read of a weight, so several sequences cost little more than one;
//! - **prefill**: some layers of a pass over longer appends. The sequences share up to [`ROWS_MAX`] rows
//!   evenly. A step stops between layers, not between rows, because a layer's weights are read once for all
//!   rows of the pass.
//!
//! Other sequences in a pass do not change a sequence's logits, bit for bit, and sequences may join and
//! leave at any time.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use super::sequence::{Device, Sequence};
use super::{Executor, Network, Pass, ROWS_MAX, Reads, no_probe};
use crate::cache::Cache;
use crate::error::Result;

/// The fewest rows to which a prefill pass is shortened to keep a step short. With fewer rows, reading the
/// weights would cost more than computing with them.
const ROWS_MIN: usize = 8;

/// The device that computes on the CPU.
pub struct Scheduler {
    network: Arc<Network>,
    state: Mutex<State>,
}

struct State {
    executor: Executor,
    /// In the order of their numbers.
    slots: Vec<Slot>,
    /// The number of the next sequence.
    next: u64,
    /// Sequences that have queued more than one token, in the order in which they are served.
    prefills: Vec<u64>,
    /// The prefill pass under way, and the sequences whose rows it has.
    prefill: Pass,
    in_prefill: Vec<u64>,
    decode: Pass,
    /// Whether the last step was a decode.
    has_decoded: bool,
}

/// The state of one sequence.
struct Slot {
    id: u64,
    cache: Cache,
    /// The queued tokens, which its cache does not count yet.
    pending: Vec<u32>,
    /// The buffer for the logits of the last queued token.
    logits: Option<Vec<f32>>,
    /// The result of the last append, until it is polled.
    ended: Option<Result<()>>,
    /// Computed work that was not taken yet. Units: tokens times layers.
    work: usize,
}

impl Slot {
    fn new(id: u64, cache: Cache) -> Slot {
        Slot { id, cache, pending: Vec::new(), logits: None, ended: None, work: 0 }
    }

    /// Ends an append: all its tokens are computed, or an error dropped them.
    fn end(&mut self, ended: Result<()>) {
        if ended.is_err() {
            self.cache.truncate(self.cache.len()); // frees the reserved blocks
            self.logits = None;
        }
        self.pending.clear();
        self.ended = Some(ended);
    }

    /// Which of the next `count` queued tokens need logits.
    fn reads(&self, count: usize) -> Reads {
        if count == self.pending.len() && self.logits.is_some() { Reads::Last } else { Reads::Nothing }
    }
}

impl Scheduler {
    /// Creates a scheduler for the sequences of `network`.
    pub fn new(network: Arc<Network>, executor: Executor) -> Arc<Scheduler> {
        let state = State {
            executor,
            slots: Vec::new(),
            next: 0,
            prefills: Vec::new(),
            prefill: Pass::default(),
            in_prefill: Vec::new(),
            decode: Pass::default(),
            has_decoded: false,
        };
        Arc::new(Scheduler { network, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no step has panicked")
    }

    fn add(self: Arc<Self>, cache: Cache) -> Box<CpuSequence> {
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        state.slots.push(Slot::new(id, cache));
        drop(state);
        Box::new(CpuSequence { scheduler: self, id })
    }
}

/// Prints the name only: code that prints a whole network would add to each build.
impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scheduler")
    }
}

impl Device for Scheduler {
    fn sequence(self: Arc<Self>) -> Box<dyn Sequence> {
        let cache = self.network.cache();
        self.add(cache)
    }

    fn step(&self, prefill_work: usize) -> Option<usize> {
        let state = &mut *self.lock();
        let decodes = |slot: &&Slot| slot.pending.len() == 1 && !state.in_prefill.contains(&slot.id);
        let ready: Vec<u64> = state.slots.iter().filter(decodes).map(|slot| slot.id).collect();
        let has_prefill = !state.prefills.is_empty() || !state.in_prefill.is_empty();
        let is_prefills_turn = has_prefill && (state.has_decoded || ready.is_empty());
        if !ready.is_empty() && !is_prefills_turn {
            state.has_decoded = true;
            ready.chunks(ROWS_MAX).for_each(|ids| state.decode(&self.network, ids));
            return Some(0);
        }
        state.has_decoded = false;
        has_prefill.then(|| state.prefill(&self.network, prefill_work.max(1)))
    }
}

impl State {
    fn index(&self, id: u64) -> usize {
        self.slots.iter().position(|slot| slot.id == id).expect("a sequence has a slot")
    }

    fn slot(&mut self, id: u64) -> &mut Slot {
        let index = self.index(id);
        &mut self.slots[index]
    }

    /// Runs one pass over the single queued token of each of some sequences.
    fn decode(&mut self, network: &Network, ids: &[u64]) {
        let mut ids = ids.to_vec();
        ids.retain(|id| self.reserve(*id, 1));
        let mut pass = std::mem::take(&mut self.decode);
        pass.clear();
        for id in &ids {
            let slot = self.slot(*id);
            network.add_rows(&mut pass, &slot.pending, slot.cache.len(), slot.reads(1));
        }
        if !ids.is_empty() {
            self.advance(network, &mut pass, &ids, usize::MAX);
        }
        self.decode = pass;
    }

    /// Computes some layers of the prefill pass under way, or of a new one. Returns tokens times layers.
    fn prefill(&mut self, network: &Network, work: usize) -> usize {
        let mut pass = std::mem::take(&mut self.prefill);
        if self.in_prefill.is_empty() {
            pass.clear();
            let rows = work.clamp(ROWS_MIN, ROWS_MAX);
            let first = self.prefills.len().min(rows / ROWS_MIN);
            let mut ids: Vec<u64> = self.prefills.drain(..first).collect();
            // The shortest first, so that the others share the rows that it does not need.
            while let Some(index) = (0..ids.len()).min_by_key(|&index| self.slots[self.index(ids[index])].pending.len()) {
                let share = (rows - pass.rows()) / ids.len();
                let id = ids.swap_remove(index);
                let slot = self.slot(id);
                let count = slot.pending.len().min(share);
                network.add_rows(&mut pass, &slot.pending[..count], slot.cache.len(), slot.reads(count));
                self.in_prefill.push(id);
            }
        }
        // Reserve before each step, because a fork since the last step makes blocks shared again.
        let mut index = 0;
        while let Some(&id) = self.in_prefill.get(index) {
            if self.reserve(id, pass.count(index)) {
                index += 1;
            } else {
                network.remove_rows(&mut pass, index);
                self.in_prefill.remove(index);
            }
        }
        let first = pass.layer();
        if !self.in_prefill.is_empty() {
            let ids = std::mem::take(&mut self.in_prefill);
            let layers = (work / pass.rows()).max(1);
            let is_done = self.advance(network, &mut pass, &ids, layers);
            if is_done {
                for id in ids {
                    if self.slot(id).pending.len() > 1 {
                        self.prefills.push(id);
                    }
                }
            } else {
                self.in_prefill = ids;
            }
        }
        let done = pass.rows() * (pass.layer() - first);
        self.prefill = pass;
        done
    }

    /// Reserves room in a sequence's cache. An error ends its append.
    fn reserve(&mut self, id: u64, count: usize) -> bool {
        let slot = self.slot(id);
        let reserved = slot.cache.reserve(count);
        let is_reserved = reserved.is_ok();
        if !is_reserved {
            slot.end(reserved);
        }
        is_reserved
    }

    /// Takes a pass over the rows of `ids` through some layers. After the last layer it computes the logits
    /// and ends the appends. Returns whether that was the last layer.
    fn advance(&mut self, network: &Network, pass: &mut Pass, ids: &[u64], layers: usize) -> bool {
        let first = pass.layer();
        // The slots leave the list during the pass, because the pass writes to several of them at once.
        let mut slots: Vec<Slot> = ids.iter().map(|id| self.slots.remove(self.index(*id))).collect();
        let mut caches: Vec<&mut Cache> = slots.iter_mut().map(|slot| &mut slot.cache).collect();
        let is_done = network.forward_layers(layers, pass, &mut caches, &mut self.executor, &mut { no_probe });
        for (index, slot) in slots.iter_mut().enumerate() {
            slot.work += pass.count(index) * (pass.layer() - first);
        }
        if is_done {
            let mut readers: Vec<(&mut Slot, usize)> = Vec::new();
            for (index, slot) in slots.iter_mut().enumerate() {
                let count = pass.count(index);
                let reads = slot.reads(count);
                slot.pending.drain(..count);
                match reads {
                    Reads::Nothing if slot.pending.is_empty() => slot.end(Ok(())),
                    Reads::Nothing => {}
                    _ => readers.push((slot, count)),
                }
            }
            let mut buffers: Vec<Vec<f32>> = readers.iter_mut().filter_map(|(slot, _)| slot.logits.take()).collect();
            let mut logits: Vec<&mut Vec<f32>> = buffers.iter_mut().collect();
            let read = network.logits(pass, &mut logits, &mut self.executor, &mut { no_probe });
            for (((slot, count), buffer), read) in readers.into_iter().zip(buffers).zip(read) {
                if read.is_err() {
                    let past = slot.cache.reach(slot.cache.len() - count);
                    slot.cache.truncate(past);
                }
                slot.logits = Some(buffer);
                slot.end(read);
            }
        }
        for slot in slots {
            let index = self.slots.partition_point(|other| other.id < slot.id);
            self.slots.insert(index, slot);
        }
        is_done
    }

    /// Removes a sequence from the prefill pass and from the queue.
    fn cancel(&mut self, network: &Network, id: u64) {
        if let Some(index) = self.in_prefill.iter().position(|other| *other == id) {
            network.remove_rows(&mut self.prefill, index);
            self.in_prefill.remove(index);
        }
        self.prefills.retain(|other| *other != id);
    }
}

/// A sequence on the CPU: the number of its slot in the scheduler.
#[derive(Debug)]
struct CpuSequence {
    scheduler: Arc<Scheduler>,
    id: u64,
}

impl CpuSequence {
    fn with<T>(&self, f: impl FnOnce(&mut Slot) -> T) -> T {
        f(self.scheduler.lock().slot(self.id))
    }
}

impl Drop for CpuSequence {
    fn drop(&mut self) {
        // After a panic in a step the scheduler is unusable, so there is nothing to clean up.
        if let Ok(mut state) = self.scheduler.state.lock() {
            state.cancel(&self.scheduler.network, self.id);
            let index = state.index(self.id);
            state.slots.remove(index);
        }
    }
}

impl Sequence for CpuSequence {
    fn past(&self) -> usize {
        self.with(|slot| slot.cache.len())
    }

    fn append(&mut self, tokens: &[u32], logits: Option<Vec<f32>>) -> Result<()> {
        self.scheduler.network.check(tokens, self.past())?;
        let state = &mut *self.scheduler.lock();
        let slot = state.slot(self.id);
        assert!(!tokens.is_empty() && slot.pending.is_empty(), "one append at a time, of at least one token");
        (slot.logits, slot.ended, slot.work) = (logits, None, 0);
        slot.pending.extend_from_slice(tokens);
        if tokens.len() > 1 {
            state.prefills.push(self.id);
        }
        Ok(())
    }

    fn poll(&mut self) -> Poll<Result<Option<Vec<f32>>>> {
        self.with(|slot| match slot.ended.take() {
            Some(ended) => Poll::Ready(ended.map(|()| slot.logits.take())),
            None if slot.pending.is_empty() => Poll::Ready(Ok(None)),
            None => Poll::Pending,
        })
    }

    fn take_work(&mut self) -> usize {
        self.with(|slot| std::mem::take(&mut slot.work))
    }

    fn reach(&self, len: usize) -> usize {
        self.with(|slot| slot.cache.reach(len))
    }

    fn truncate(&mut self, len: usize) {
        let state = &mut *self.scheduler.lock();
        state.cancel(&self.scheduler.network, self.id);
        let slot = state.slot(self.id);
        slot.pending.clear();
        (slot.logits, slot.ended, slot.work) = (None, None, 0);
        slot.cache.truncate(len);
    }

    fn shift(&mut self, keep: usize, drop: usize) -> Result<()> {
        self.with(|slot| self.scheduler.network.shift(keep, drop, &mut slot.cache))
    }

    fn fork(&self) -> Box<dyn Sequence> {
        let cache = self.with(|slot| slot.cache.clone());
        self.scheduler.clone().add(cache)
    }

    fn export_bytes(&self, len: usize) -> u64 {
        self.with(|slot| slot.cache.export_bytes(len))
    }

    fn export(&self, len: usize, out: &mut Vec<u8>) {
        self.with(|slot| slot.cache.export(len, out));
    }

    fn import(&mut self, len: usize, bytes: &[u8]) -> Result<Option<()>> {
        self.with(|slot| slot.cache.import(len, bytes))
    }

    fn bytes(&self) -> u64 {
        self.with(|slot| slot.cache.bytes())
    }

    fn shared_bytes(&self) -> u64 {
        self.with(|slot| slot.cache.shared_bytes())
    }
}
