//! The thread pool: native threads, or browser workers over one shared memory.
//!
//! The pool cuts one step of the computation, a *region*, into one part per thread. The calling thread runs
//! part 0. Each worker has a slot, an atomic word on a separate cache line, which holds the state of its
//! part:
//!
//! ```text
//! IDLE ──caller──> OPEN ──worker──> RUNNING ──worker──> IDLE       the usual course
//! IDLE ──worker──> ASLEEP ──caller──> OPEN, wakes the worker       no work for some tens of microseconds
//!                  OPEN ──caller──> IDLE                           the caller takes this part as well
//!                            RUNNING ──caller──> AWAITED ──> IDLE  the caller sleeps until it is done
//! ```
//!
//! The thread that takes a part out of OPEN runs it. If a worker sleeps, starts late or has lost its core,
//! the caller runs its part, so a slow worker costs almost nothing. The caller waits only for parts that a
//! worker has begun. A region allocates nothing and costs two transfers of a cache line per worker.
//!
//! The number of parts does not change the result: a part computes some columns of the output, and each
//! output value is computed independently.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

/// The least work of a part, in multiply-adds: some tens of microseconds. An empty region costs one or two
/// microseconds. But a worker that found no work for longer than it spins must be woken, and on a busy
/// machine the system may suspend it in the middle of its part. Small models are therefore faster on fewer
/// threads.
const PART_WORK: usize = 144 * 1024;

/// How many times a thread checks a slot before it sleeps: some tens of microseconds.
const SPINS: u32 = 1_000;

/// Waits for some tens of nanoseconds and leaves the core to its other hardware thread, which may be running
/// the part that this thread waits for. WebAssembly has no pause instruction; a chain of dependent square
/// roots keeps the core about as idle.
fn pause() {
    if cfg!(target_family = "wasm") {
        let mut root = std::hint::black_box(2.0f64);
        for _ in 0..5 {
            root = root.sqrt();
        }
        std::hint::black_box(root);
    } else {
        std::hint::spin_loop();
    }
}

/// How often a sleeping caller checks whether a worker has failed.
const FAILURE_CHECK: Duration = Duration::from_millis(50);

const IDLE: u32 = 0;
const ASLEEP: u32 = 1;
const OPEN: u32 = 2;
const RUNNING: u32 = 3;
const AWAITED: u32 = 4;
const STOP: u32 = 5;

/// Threads that compute regions together.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    /// Native threads, joined when the pool is dropped.
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// Whether a region is running. A second caller then computes alone.
    busy: AtomicBool,
    /// Whether a worker died in the middle of its part, which then never finishes.
    failed: AtomicBool,
    /// The most threads that a region uses.
    limit: AtomicUsize,
    /// Workers that have started. They have the first slots.
    arrived: AtomicUsize,
    /// The running region. Only a thread that holds a part of it reads this.
    region: AtomicPtr<Region<'static>>,
    /// One for each possible worker.
    slots: Box<[Slot]>,
}

/// Aligned to two cache lines, since processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot {
    state: AtomicU32,
    worker: OnceLock<Thread>,
}

/// The state of a region that its threads share. It lies on the caller's stack.
struct Region<'a> {
    part: &'a (dyn Fn(usize) + Sync),
    caller: OnceLock<Thread>,
    panicked: AtomicBool,
}

impl Pool {
    /// Creates a pool of `threads` threads, including the calling one. They end when the pool is dropped.
    ///
    /// In WebAssembly this starts no threads: workers join by [`Pool::work`], which needs shared memory.
    pub fn new(threads: usize) -> Arc<Pool> {
        let alone = cfg!(all(target_family = "wasm", not(target_feature = "atomics")));
        let workers = if alone { 0 } else { threads.max(1) - 1 };
        let shared = Arc::new(Shared {
            busy: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            limit: AtomicUsize::new(workers + 1),
            arrived: AtomicUsize::new(0),
            region: AtomicPtr::default(),
            slots: (0..workers).map(|_| Slot::default()).collect(),
        });
        let mut threads = Vec::new();
        while cfg!(not(target_family = "wasm")) && threads.len() < workers {
            let (shared, index) = (shared.clone(), threads.len());
            match thread::Builder::new().name("fireside".into()).spawn(move || shared.work(index)) {
                Ok(thread) => threads.push(thread),
                Err(_) => break, // The system refused a thread: the pool has fewer.
            }
        }
        shared.arrived.store(threads.len(), Relaxed);
        Arc::new(Pool { shared, threads })
    }

    /// Makes the calling thread a worker until the pool is dropped. Returns at once if all slots are taken.
    pub fn work(self: Arc<Pool>) {
        let shared = self.shared.clone();
        drop(self);
        let arrive = |arrived| (arrived < shared.slots.len()).then_some(arrived + 1);
        if let Ok(index) = shared.arrived.fetch_update(AcqRel, Relaxed, arrive) {
            shared.work(index);
        }
    }

    /// Reports that a worker has died by a trap. A region that waits for it panics instead of waiting for
    /// ever.
    ///
    /// Only for WebAssembly, where a panic ends the instance without unwinding. Elsewhere the worker might
    /// still be running its part.
    #[cfg(target_family = "wasm")]
    pub fn fail(&self) {
        self.shared.failed.store(true, Release);
    }

    /// How many threads the next region may use.
    pub fn threads(&self) -> usize {
        self.shared.limit.load(Relaxed).min(1 + self.shared.arrived.load(Acquire))
    }

    /// The most threads that any region may use. Callers need one scratch for each.
    pub(crate) fn threads_max(&self) -> usize {
        self.shared.slots.len() + 1
    }

    /// Limits regions to `threads` threads. The other threads sleep.
    pub fn limit(&self, threads: usize) {
        self.shared.limit.store(threads.clamp(1, self.threads_max()), Relaxed);
    }

    /// Computes matrices in strips of columns. Cuts each of `outs` at multiples of its unit into one strip
    /// per thread, and calls `f` in parallel, once per thread with its strips.
    ///
    /// Shapes: `outs[i]` = (values, width, unit), values (seq, width) row-major. `work` is the number of
    /// multiply-adds of the whole region; a small region runs on fewer threads. Each call of `f` has one
    /// element of `scratch`.
    ///
    /// Panics: if `f` panics on any thread.
    pub fn split<S: Send, const N: usize>(
        &self,
        outs: [(&mut [f32], usize, usize); N],
        work: usize,
        scratch: &mut [S],
        f: impl Fn([Strip<'_>; N], &mut S) + Sync,
    ) {
        let outs = outs.map(|(values, width, unit)| Out::new(values, width, unit));
        let units = outs.iter().map(|out| out.width.div_ceil(out.unit)).max().unwrap_or(0);
        let parts = self.threads().min(work / PART_WORK).min(units).min(scratch.len()).max(1);
        assert!(!scratch.is_empty(), "a region needs scratch");
        let scratch = Shares(scratch.as_mut_ptr());
        self.shared.region(parts, &|part: usize| {
            // SAFETY: part < parts <= scratch.len(), and each part runs once, so no other thread has this
            // element.
            let scratch = unsafe { &mut *scratch.at(part) };
            f(outs.each_ref().map(|out| out.strip(part, parts)), scratch);
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for slot in &self.shared.slots {
            slot.open(STOP);
        }
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its parts, so this result says nothing.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Runs each part once, on up to `parts` threads, and returns when all have finished.
    fn region(&self, parts: usize, part: &(dyn Fn(usize) + Sync)) {
        if parts == 1 || self.busy.swap(true, Acquire) {
            return (0..parts).for_each(part);
        }
        let region = Region { part, caller: OnceLock::new(), panicked: AtomicBool::new(false) };
        self.region.store((&raw const region).cast_mut().cast(), Relaxed);
        let slots = &self.slots[..parts - 1];
        slots.iter().for_each(|slot| slot.open(OPEN));
        // Workers can reach the region from here on. `closing` ends that, even if the caller's part panics.
        let closing = Closing { shared: self, region: &region, slots };
        part(0);
        for (index, slot) in slots.iter().enumerate() {
            if slot.take(OPEN, IDLE) {
                part(index + 1);
            }
        }
        drop(closing);
        assert!(!region.panicked.load(Relaxed), "a thread of the pool panicked");
    }

    /// The loop of a worker.
    fn work(&self, index: usize) {
        let slot = &self.slots[index];
        if slot.worker.set(thread::current()).is_err() {
            return;
        }
        let mut spins = 0;
        loop {
            match slot.state.load(Relaxed) {
                OPEN => {
                    if slot.take(OPEN, RUNNING) {
                        self.run(slot, index);
                        spins = 0;
                    }
                }
                ASLEEP => {
                    thread::park();
                    spins = 0;
                }
                STOP => return,
                _ if spins < SPINS => {
                    spins += 1;
                    pause();
                }
                _ => {
                    slot.take(IDLE, ASLEEP);
                }
            }
        }
    }

    /// Runs a part that this worker has taken.
    fn run(&self, slot: &Slot, index: usize) {
        // SAFETY: the caller stored the region before it opened the slot, and keeps it until the slot is
        // IDLE.
        let region = unsafe { &*self.region.load(Relaxed) };
        if panic::catch_unwind(AssertUnwindSafe(|| (region.part)(index + 1))).is_err() {
            region.panicked.store(true, Relaxed);
        }
        if !slot.take(RUNNING, IDLE) {
            let caller = region.caller.get().cloned();
            slot.state.store(IDLE, Release); // The region may not exist from here on.
            caller.inspect(Thread::unpark);
        }
    }
}

impl Slot {
    /// Sets the state and wakes the worker if it sleeps.
    fn open(&self, state: u32) {
        if self.state.swap(state, AcqRel) == ASLEEP {
            self.worker.get().inspect(|worker| worker.unpark());
        }
    }

    /// Moves the slot from one state to another. Returns whether this thread did it.
    fn take(&self, from: u32, to: u32) -> bool {
        self.state.compare_exchange(from, to, AcqRel, Acquire).is_ok()
    }

    /// Returns when no worker runs this part.
    fn wait(&self, region: &Region<'_>, failed: &AtomicBool) {
        for _ in 0..SPINS {
            if self.state.load(Acquire) != RUNNING {
                return;
            }
            pause();
        }
        region.caller.get_or_init(thread::current);
        self.take(RUNNING, AWAITED);
        while self.state.load(Acquire) == AWAITED {
            // The dead worker's part may be half written, so the region cannot finish.
            assert!(!failed.load(Acquire), "a thread of the pool has died");
            thread::park_timeout(FAILURE_CHECK);
        }
    }
}

/// Ends a region when dropped: takes back the parts that no worker has begun and waits for the others.
struct Closing<'a> {
    shared: &'a Shared,
    region: &'a Region<'a>,
    slots: &'a [Slot],
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        for slot in self.slots {
            if !slot.take(OPEN, IDLE) {
                slot.wait(self.region, &self.shared.failed);
            }
        }
        self.shared.busy.store(false, Release);
    }
}

/// The elements of a slice, which threads use apart from each other.
struct Shares<S>(*mut S);

// SAFETY: dereferencing the pointer of `at` is unsafe; each element moves to another thread, which `S: Send`
// allows.
unsafe impl<S: Send> Sync for Shares<S> {}

impl<S> Shares<S> {
    fn at(&self, index: usize) -> *mut S {
        self.0.wrapping_add(index)
    }
}

/// A matrix that threads write in strips.
struct Out<'a> {
    values: Shares<f32>,
    rows: usize,
    width: usize,
    unit: usize,
    exclusive: PhantomData<&'a mut [f32]>,
}

impl<'a> Out<'a> {
    fn new(values: &'a mut [f32], width: usize, unit: usize) -> Out<'a> {
        let rows = values.len().checked_div(width).unwrap_or(0);
        assert!(rows * width == values.len() && unit > 0, "{} values in rows of {width} by units of {unit}", values.len());
        Out { values: Shares(values.as_mut_ptr()), rows, width, unit, exclusive: PhantomData }
    }

    /// The strip of part `part` of `parts`. The strips are disjoint and cover every column.
    fn strip(&self, part: usize, parts: usize) -> Strip<'_> {
        let units = self.width.div_ceil(self.unit);
        let edge = |part: usize| (part * units / parts * self.unit).min(self.width);
        Strip { values: &self.values, rows: self.rows, width: self.width, columns: edge(part)..edge(part + 1) }
    }
}

/// Exclusive access to some columns of a row-major matrix.
pub struct Strip<'a> {
    values: &'a Shares<f32>,
    rows: usize,
    width: usize,
    columns: Range<usize>,
}

impl Strip<'_> {
    /// Its columns, as indices into the whole matrix; possibly empty.
    pub fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// The rows of the matrix.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The values of its columns in one row.
    pub fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let first = self.values.at(row * self.width + self.columns.start);
        // SAFETY: in bounds of the matrix, which the region borrows exclusively; no other strip has these
        // columns.
        unsafe { std::slice::from_raw_parts_mut(first, self.columns.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Enough work for any number of threads.
    const MUCH: usize = usize::MAX / 2;

    /// Runs a region that checks that each element is visited once. Returns the columns of each part.
    fn visit(pool: &Pool, shapes: [(usize, usize, usize); 2], work: usize) -> Vec<Vec<Range<usize>>> {
        let mut outs = shapes.map(|(rows, width, _)| vec![0.0; rows * width]);
        let mut scratch = vec![Vec::new(); pool.threads_max()];
        let [first, second] = &mut outs;
        let split = [(&mut first[..], shapes[0].1, shapes[0].2), (&mut second[..], shapes[1].1, shapes[1].2)];
        pool.split(split, work, &mut scratch, |mut strips, seen| {
            for strip in &mut strips {
                for row in 0..strip.rows() {
                    assert_eq!(strip.row(row).len(), strip.columns().len());
                    strip.row(row).iter_mut().for_each(|value| *value += 1.0);
                }
                seen.push(strip.columns());
            }
        });
        for (out, shape) in outs.iter().zip(shapes) {
            assert!(out.iter().all(|&visits| visits == 1.0), "{shape:?} {out:?}");
        }
        scratch.retain(|seen| !seen.is_empty());
        scratch
    }

    #[test]
    fn every_column_is_in_one_strip_that_begins_at_a_multiple_of_the_unit() {
        for threads in [1, 2, 3, 4, 7] {
            let pool = Pool::new(threads);
            for width in [0, 1, 2, 3, 4, 5, 8, 13, 64, 100, 257] {
                for unit in [1, 3, 4, 32] {
                    for rows in [1, 5] {
                        let parts = visit(&pool, [(rows, width, unit), (1, 2 * width + 1, unit)], MUCH);
                        assert!(parts.len() <= threads);
                        for matrix in [0, 1] {
                            let mut next = 0;
                            for columns in parts.iter().map(|part| &part[matrix]) {
                                assert_eq!(columns.start, next);
                                assert!(columns.start % unit == 0 || columns.is_empty());
                                next = columns.end;
                            }
                            assert_eq!(next, [width, 2 * width + 1][matrix]);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn strips_are_as_many_as_threads_and_differ_by_a_unit_at_most() {
        let parts = visit(&Pool::new(3), [(2, 100, 4), (1, 10, 1)], MUCH);
        assert_eq!(parts, [[0..32, 0..3], [32..64, 3..6], [64..100, 6..10]]);
    }

    #[test]
    fn there_are_no_more_parts_than_units_or_scratch() {
        let pool = Pool::new(4);
        assert_eq!(visit(&pool, [(1, 8, 4), (3, 1, 1)], MUCH).len(), 2);
        let mut out = [0.0; 64];
        let caller = thread::current().id();
        pool.split([(&mut out, 64, 1)], MUCH, &mut [()], |[strip], ()| {
            assert_eq!((strip.columns(), thread::current().id()), (0..64, caller));
        });
    }

    #[test]
    fn small_work_stays_on_the_calling_thread() {
        let pool = Pool::new(2);
        assert_eq!(visit(&pool, [(1, 64, 4), (1, 64, 4)], 2 * PART_WORK - 1).len(), 1);
        assert_eq!(visit(&pool, [(1, 64, 4), (1, 64, 4)], 2 * PART_WORK).len(), 2);
    }

    #[test]
    fn the_limit_is_between_one_and_all_threads() {
        let pool = Pool::new(3);
        for (limit, threads) in [(0, 1), (1, 1), (2, 2), (3, 3), (4, 3)] {
            pool.limit(limit);
            assert_eq!((pool.threads(), pool.threads_max()), (threads, 3));
            assert_eq!(visit(&pool, [(1, 99, 1), (1, 99, 1)], MUCH).len(), threads);
        }
        assert_eq!(Pool::new(0).threads(), 1);
    }

    /// Runs a region of two parts, in which the caller's part ends only when the other has begun.
    fn meet(pool: &Pool) {
        let met = AtomicBool::new(false);
        pool.split([(&mut [0.0; 2], 2, 1)], MUCH, &mut [(); 2], |[strip], ()| {
            if strip.columns().start == 1 {
                return met.store(true, Release);
            }
            while !met.load(Acquire) {
                thread::yield_now();
            }
        });
    }

    #[test]
    fn a_worker_that_sleeps_is_woken() {
        let pool = Pool::new(2);
        for _ in 0..20 {
            while pool.shared.slots[0].state.load(Relaxed) != ASLEEP {
                thread::yield_now();
            }
            meet(&pool);
        }
    }

    #[test]
    fn a_caller_that_has_gone_to_sleep_is_woken() {
        let pool = Pool::new(2);
        let shared = &pool.shared;
        for _ in 0..20 {
            let begun = AtomicBool::new(false);
            pool.split([(&mut [0.0; 2], 2, 1)], MUCH, &mut [(); 2], |[strip], ()| {
                if strip.columns().start == 1 {
                    begun.store(true, Release);
                    while shared.slots[0].state.load(Relaxed) != AWAITED {
                        thread::yield_now();
                    }
                }
                while !begun.load(Acquire) {
                    thread::yield_now();
                }
            });
        }
    }

    #[test]
    fn a_part_that_no_worker_begins_is_done_by_the_caller() {
        let pool = Pool::new(3);
        for slot in &pool.shared.slots {
            slot.open(STOP);
        }
        let caller = thread::current().id();
        let mut done = [None; 3];
        pool.split([(&mut [0.0; 3], 3, 1)], MUCH, &mut done, |_, done| *done = Some(thread::current().id()));
        assert_eq!(done, [Some(caller); 3]);
    }

    #[test]
    fn many_thousand_regions_in_a_row_lose_nothing() {
        let pool = Pool::new(3);
        let mut sums = vec![0.0; 24];
        for _ in 0..20_000 {
            pool.split([(&mut sums, 24, 2)], MUCH, &mut [(); 3], |[mut strip], ()| {
                strip.row(0).iter_mut().for_each(|sum| *sum += 1.0);
            });
        }
        assert_eq!(sums, [20_000.0; 24]);
    }

    #[test]
    fn two_callers_at_once_both_get_their_regions() {
        let pool = Pool::new(2);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..2_000).for_each(|_| drop(visit(&pool, [(2, 30, 1), (1, 7, 4)], MUCH))));
            }
        });
    }

    #[test]
    fn a_region_within_a_region_is_computed_by_the_thread_that_asks() {
        let pool = Pool::new(2);
        pool.split([(&mut [0.0; 2], 2, 1)], MUCH, &mut [(); 2], |_, ()| {
            assert_eq!(visit(&pool, [(1, 9, 1), (1, 9, 1)], MUCH).len(), 2);
        });
    }

    #[test]
    fn a_part_that_panics_panics_the_caller_and_the_pool_works_on() {
        let pool = Pool::new(2);
        for part in [0, 1] {
            let thrown = panic::catch_unwind(AssertUnwindSafe(|| {
                pool.split([(&mut [0.0; 2], 2, 1)], MUCH, &mut [(); 2], |[strip], ()| assert!(strip.columns().start != part));
            }));
            assert!(thrown.is_err());
            meet(&pool);
        }
    }

    #[test]
    fn dropping_the_pool_ends_its_threads() {
        let pool = Pool::new(3);
        let shared = Arc::downgrade(&pool.shared);
        meet(&pool);
        drop(pool);
        assert_eq!(shared.strong_count(), 0);
    }

    #[test]
    #[should_panic(expected = "7 values in rows of 3 by units of 1")]
    fn values_that_are_no_whole_rows_are_a_mistake() {
        Pool::new(1).split([(&mut [0.0; 7], 3, 1)], 0, &mut [()], |_, ()| ());
    }
}
