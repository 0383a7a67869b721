//! The limits of the machine with a number of threads, in plain Rust: bytes per second read from memory,
//! and multiply-adds per second.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// Values that each thread reads: 256 MiB, far beyond any cache.
const VALUES: usize = 32 << 20;
/// Independent sums or chains of multiply-adds: more than latency times units of any present processor.
const SUMS: usize = 32;
const CHAINS: usize = 48;
const CHAIN_ROUNDS: usize = 100_000;
/// How long each of the two measurements takes.
const SPAN: Duration = Duration::from_millis(250);

/// Rates per second, of all threads together.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes read.
    pub read_bytes: f64,
    /// Floating-point operations, as separate multiplications and additions.
    pub flops: f64,
}

/// Measures all threads at the same time, each with its own memory.
pub fn measure(threads: usize) -> Limits {
    let barrier = Barrier::new(threads);
    let one = || {
        let values = vec![1_u64; VALUES];
        black_box(read(&values)); // brings the processor up to speed
        barrier.wait();
        let read_bytes = rate(|| {
            black_box(read(black_box(&values)));
            VALUES * size_of::<u64>()
        });
        barrier.wait();
        let flops = rate(|| {
            black_box(multiply_add(black_box(0.5), black_box(1.25)));
            2 * CHAINS * CHAIN_ROUNDS
        });
        Limits { read_bytes, flops }
    };
    let each: Vec<Limits> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    Limits { read_bytes: each.iter().map(|one| one.read_bytes).sum(), flops: each.iter().map(|one| one.flops).sum() }
}

/// The median of each rate.
pub fn median(samples: &[Limits]) -> Limits {
    let middle = |rate: fn(&Limits) -> f64| {
        let mut sorted: Vec<f64> = samples.iter().map(rate).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    Limits { read_bytes: middle(|one| one.read_bytes), flops: middle(|one| one.flops) }
}

/// The amount of work that `step` reports, per second, over SPAN.
fn rate(mut step: impl FnMut() -> usize) -> f64 {
    let begin = Instant::now();
    let mut done = 0;
    while begin.elapsed() < SPAN {
        done += step();
    }
    done as f64 / begin.elapsed().as_secs_f64()
}

fn read(values: &[u64]) -> u64 {
    let mut sums = [0_u64; SUMS];
    for chunk in values.as_chunks::<SUMS>().0 {
        for (sum, value) in sums.iter_mut().zip(chunk) {
            *sum ^= value;
        }
    }
    sums.iter().fold(0, |all, sum| all ^ sum)
}

/// Chains that tend to 2.5, so that no value becomes subnormal.
fn multiply_add(factor: f32, term: f32) -> f32 {
    let mut chains = [1.0_f32; CHAINS];
    for _ in 0..CHAIN_ROUNDS {
        for chain in &mut chains {
            *chain = *chain * factor + term;
        }
    }
    chains.iter().sum()
}
