//! The scheduler: the one place that decides what is computed next, for all sequences of a model.
//!
//! Sequences say what they want to append. A step is one of two things, in turns if both are there:
//!
//! - **decode**: one pass that takes the next token of every sequence that has a single one to append. Their rows share
//!   each read of a weight, so several together cost little more than one;
//! - **prefill**: some layers of a pass over longer appends. Up to [`ROWS_MAX`] rows are dealt out evenly among the
//!   sequences that wait. Such a pass is cut by layers and not by rows, since the weights of a layer are read once for
//!   all of its rows.
//!
//! Passes are made of the same rows that a sequence alone would have, so a sequence gets the same logits, bit for bit,
//! whoever else is there and whenever they come and go.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use super::sequence::{Device, Sequence};
use super::{Executor, Network, Pass, ROWS_MAX, Reads, no_probe};
use crate::cache::Cache;
use crate::error::Result;

/// A pass over fewer rows of a sequence is not begun to keep a step short: reading the weights would cost more than
/// computing with them.
const ROWS_MIN: usize = 8;

/// The device that computes on the processor.
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
    /// Sequences that wait for more than one token, the next to be served first.
    prefills: Vec<u64>,
    /// The pass over some of them that is under way, and whose rows it has.
    prefill: Pass,
    in_prefill: Vec<u64>,
    decode: Pass,
    /// Whether the last step was a decode.
    has_decoded: bool,
}

/// A sequence as the scheduler holds it.
struct Slot {
    id: u64,
    cache: Cache,
    /// What it waits for, not yet counted in its cache.
    pending: Vec<u32>,
    /// The buffer for the logits of the last of them.
    logits: Option<Vec<f32>>,
    /// How an append has ended, until that is polled.
    ended: Option<Result<()>>,
    /// Tokens times layers computed, until that is taken.
    work: usize,
}

impl Slot {
    fn new(id: u64, cache: Cache) -> Slot {
        Slot { id, cache, pending: Vec::new(), logits: None, ended: None, work: 0 }
    }

    /// Ends what was appended: all of it was computed, or an error gave it up.
    fn end(&mut self, ended: Result<()>) {
        if ended.is_err() {
            self.cache.truncate(self.cache.len()); // gives back what was reserved
            self.logits = None;
        }
        self.pending.clear();
        self.ended = Some(ended);
    }

    /// Which rows of the next `count` pending ones are read to the end.
    fn reads(&self, count: usize) -> Reads {
        if count == self.pending.len() && self.logits.is_some() { Reads::Last } else { Reads::Nothing }
    }
}

impl Scheduler {
    /// A scheduler for the sequences of `network`.
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

/// Short: a network is long, and what can print it would be in every build.
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

    /// One pass over the single pending token of some sequences.
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

    /// Some layers of the prefill pass that is under way, or of a new one. Returns tokens times layers.
    fn prefill(&mut self, network: &Network, work: usize) -> usize {
        let mut pass = std::mem::take(&mut self.prefill);
        if self.in_prefill.is_empty() {
            pass.clear();
            let rows = work.clamp(ROWS_MIN, ROWS_MAX);
            let first = self.prefills.len().min(rows / ROWS_MIN);
            let mut ids: Vec<u64> = self.prefills.drain(..first).collect();
            // The shortest first: rows of its share that it does not need go to the others.
            while let Some(index) = (0..ids.len()).min_by_key(|&index| self.slots[self.index(ids[index])].pending.len()) {
                let share = (rows - pass.rows()) / ids.len();
                let id = ids.swap_remove(index);
                let slot = self.slot(id);
                let count = slot.pending.len().min(share);
                network.add_rows(&mut pass, &slot.pending[..count], slot.cache.len(), slot.reads(count));
                self.in_prefill.push(id);
            }
        }
        // Reserved before every part: a sequence may have been copied in between.
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

    /// Makes room in a sequence's cache; an error ends what it waits for.
    fn reserve(&mut self, id: u64, count: usize) -> bool {
        let slot = self.slot(id);
        let reserved = slot.cache.reserve(count);
        let is_reserved = reserved.is_ok();
        if !is_reserved {
            slot.end(reserved);
        }
        is_reserved
    }

    /// Takes a pass over the rows of `ids` through some layers; after the last, the sequences have what they asked for.
    fn advance(&mut self, network: &Network, pass: &mut Pass, ids: &[u64], layers: usize) -> bool {
        let first = pass.layer();
        // Out of the list for the time of the pass, in the order of `ids`: several are written to at once.
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

    /// Gives up what a sequence waits for.
    fn cancel(&mut self, network: &Network, id: u64) {
        if let Some(index) = self.in_prefill.iter().position(|other| *other == id) {
            network.remove_rows(&mut self.prefill, index);
            self.in_prefill.remove(index);
        }
        self.prefills.retain(|other| *other != id);
    }
}

/// A sequence on the processor: the number of its slot in the scheduler.
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
        // After a panic in a step nothing works any more, and nothing has to be tidied up.
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
