//! `fireside bench`: how fast this machine reads and generates text with a model of a published shape,
//! compared with the machine's limits.
//!
//! All formats are loaded first. Each round runs every format and number of threads in turn and measures
//! the limits, so that a slow phase of the machine affects all of them. A speed is the median of the
//! rounds, with the lowest and the highest.

mod limits;
mod random;

use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use clap::Args;
use fireside::internals::{Cache, Device, Executor, Pool, Scheduler, Sequence};
use fireside::{Dtype, KvDtype, LoadOptions, Model};
use serde_json::{Value, json};

use crate::args::{format_name, parse_format};
use crate::{Result, folder};
use limits::Limits;

/// How many decode steps are timed at each length of the past.
const DECODE_PASSES: usize = 16;
/// The length of texts that are decoded together. Units: tokens.
const TOGETHER_PAST: usize = 16;
/// The least duration of a sample; shorter measurements are repeated. Small models read a prompt in
/// milliseconds.
const SAMPLE: Duration = Duration::from_millis(100);
/// Weights with fewer bytes may stay in the processor's caches, so memory bandwidth does not limit them.
const CACHED_BYTES: u64 = 64_000_000;

/// What to measure.
#[derive(Args)]
pub struct BenchArgs {
    /// Shapes with random weights: smollm2, minueza, story
    #[arg(long, value_delimiter = ',', default_value = "smollm2")]
    shape: Vec<String>,
    /// A model folder or a GGUF file instead
    #[arg(long, value_name = "PATH", conflicts_with = "shape")]
    model: Option<std::path::PathBuf>,
    /// Storage formats; auto is that of the files
    #[arg(long, value_delimiter = ',', default_value = "f32,f16,bf16,q8,q4", value_parser = parse_format)]
    format: Vec<Option<Dtype>>,
    /// Storage formats of the KV cache
    #[arg(long, value_delimiter = ',', default_value = "f32")]
    kv: Vec<KvDtype>,
    /// Numbers of threads [default: 1, and one for each core]
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..))]
    threads: Vec<u64>,
    /// How many rounds to measure
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Lengths of the prompts, in tokens
    #[arg(long, value_delimiter = ',', default_value = "128,512")]
    prefill: Vec<usize>,
    /// How many tokens precede the decoded ones
    #[arg(long, value_delimiter = ',', default_value = "16,512,2048")]
    past: Vec<usize>,
    /// How many texts are decoded together
    #[arg(long, value_delimiter = ',', default_value = "1,4,8", value_parser = clap::value_parser!(u64).range(1..=64))]
    together: Vec<u64>,
}

/// One model in one format, with a text of each past length ready to be continued.
struct Subject {
    format: &'static str,
    model: Model,
    executor: Executor,
    logits: Vec<f32>,
    load: Duration,
    pasts: Vec<Cache>,
    /// Decodes several texts in one pass.
    scheduler: Arc<Scheduler>,
}

/// The samples of one line of the table, in tokens per second.
#[derive(Default)]
struct Line {
    prefill: Vec<Vec<f64>>,
    decode: Vec<Vec<f64>>,
    together: Vec<Vec<f64>>,
}

/// Measures and prints.
pub fn bench(args: &BenchArgs) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut threads: Vec<usize> = args.threads.iter().map(|&count| count as usize).collect();
    if threads.is_empty() {
        threads = if cores > 1 { vec![1, cores] } else { vec![1] };
    }
    let mut reports = Vec::new();
    let shapes: Vec<&str> = if args.model.is_some() { vec![""] } else { args.shape.iter().map(String::as_str).collect() };
    for shape in shapes {
        reports.push(measure(args, shape, &threads)?);
    }
    println!("{}", json!({ "rounds": args.rounds, "cores": cores, "reports": reports }));
    Ok(())
}

/// Measures one shape, or the folder of `args`. Prints its table and returns it as JSON.
fn measure(args: &BenchArgs, shape: &str, threads: &[usize]) -> Result<Value> {
    let pool = Pool::new(threads.iter().copied().max().unwrap_or(1));
    let mut subjects = Vec::new();
    for (&format, &kv_dtype) in args.format.iter().flat_map(|format| args.kv.iter().map(move |kv| (format, kv))) {
        let options = LoadOptions { dtype: format, kv_dtype, pool: Some(pool.clone()), ..LoadOptions::default() };
        subjects.push(Subject::new(args, shape, args.model.as_deref(), options)?);
        eprintln!("{}: loaded in {:.2} s", format_name(format), subjects[subjects.len() - 1].load.as_secs_f64());
    }
    let context = subjects[0].model.config().plan.context;
    let prefill: Vec<usize> = args.prefill.iter().copied().filter(|&length| length <= context).collect();
    let mut lines: Vec<Line> = Vec::new();
    lines.resize_with(subjects.len() * threads.len(), Line::default);
    let mut limits: Vec<Vec<Limits>> = vec![Vec::new(); threads.len()];
    // The first round warms up the caches and the clock and is not counted.
    for round in 0..=args.rounds {
        eprintln!("round {round} of {}", args.rounds);
        for (index, &count) in threads.iter().enumerate() {
            pool.limit(count);
            for (subject, lines) in subjects.iter_mut().zip(lines.chunks_exact_mut(threads.len())) {
                let line = &mut lines[index];
                for (i, &length) in prefill.iter().enumerate() {
                    note(&mut line.prefill, i, round, subject.prefill(length)?);
                }
                for i in 0..subject.pasts.len() {
                    note(&mut line.decode, i, round, subject.decode(i)?);
                }
                for (i, &count) in args.together.iter().enumerate() {
                    note(&mut line.together, i, round, subject.decode_together(count as usize)?);
                }
            }
            if round > 0 {
                limits[index].push(limits::measure(count));
            }
        }
    }
    let title = args.model.as_ref().map_or_else(|| format!("{shape} shape, random weights"), |folder| folder.display().to_string());
    let limits: Vec<Limits> = limits.iter().map(|samples| limits::median(samples)).collect();
    Ok(report(args, &title, &subjects, threads, &prefill, &lines, &limits))
}

/// Adds a sample of measurement `i`, unless it is from the warm-up.
fn note(samples: &mut Vec<Vec<f64>>, i: usize, round: u64, rate: f64) {
    samples.resize_with(samples.len().max(i + 1), Vec::new);
    if round > 0 {
        samples[i].push(rate);
    }
}

impl Subject {
    fn new(args: &BenchArgs, shape: &str, folder: Option<&Path>, options: LoadOptions) -> Result<Subject> {
        let (begin, format) = (Instant::now(), format_name(options.dtype));
        let model = match folder {
            Some(folder) => folder::load(folder, options)?,
            None => random::load(shape, options)?,
        };
        let load = begin.elapsed();
        let executor = || Executor::new(model.pool().clone());
        let scheduler = Scheduler::new(model.network().clone(), executor());
        let mut subject = Subject { format, executor: executor(), scheduler, logits: Vec::new(), model, load, pasts: Vec::new() };
        let room = subject.model.config().plan.context.saturating_sub(DECODE_PASSES);
        for &past in args.past.iter().filter(|&&past| past <= room) {
            let mut cache = subject.model.network().cache();
            subject.model.network().forward(&subject.tokens(past), &mut cache, &mut subject.executor, &mut subject.logits)?;
            subject.pasts.push(cache);
        }
        Ok(subject)
    }

    /// A text of token ids spread over the vocabulary.
    fn tokens(&self, length: usize) -> Vec<u32> {
        let vocab = self.model.config().plan.vocab as u64;
        (0..length as u64).map(|i| (i * 2_654_435_761 % vocab) as u32).collect()
    }

    /// Tokens per second for reading a prompt into an empty cache.
    fn prefill(&mut self, length: usize) -> Result<f64> {
        let tokens = self.tokens(length);
        let (mut done, mut spent) = (0, Duration::ZERO);
        while spent < SAMPLE {
            let mut cache = self.model.network().cache();
            let begin = Instant::now();
            self.model.network().forward(&tokens, &mut cache, &mut self.executor, &mut self.logits)?;
            spent += begin.elapsed();
            done += length;
        }
        Ok(done as f64 / spent.as_secs_f64())
    }

    /// Tokens per second for greedy decoding after past `i`, which is restored afterwards.
    fn decode(&mut self, i: usize) -> Result<f64> {
        let cache = &mut self.pasts[i];
        let past = cache.len();
        let (mut done, mut spent) = (0, Duration::ZERO);
        while spent < SAMPLE {
            let mut token = 1;
            let begin = Instant::now();
            for _ in 0..DECODE_PASSES {
                self.model.network().forward(&[token], cache, &mut self.executor, &mut self.logits)?;
                token = likeliest(&self.logits);
            }
            spent += begin.elapsed();
            done += DECODE_PASSES;
            cache.truncate(past);
        }
        Ok(done as f64 / spent.as_secs_f64())
    }

    /// Tokens per second of several texts together, each decoded greedily after [`TOGETHER_PAST`] tokens.
    fn decode_together(&mut self, count: usize) -> Result<f64> {
        let mut texts: Vec<Box<dyn Sequence>> = (0..count).map(|_| self.scheduler.clone().sequence()).collect();
        let prompt = self.tokens(TOGETHER_PAST);
        texts.iter_mut().try_for_each(|text| text.append(&prompt, None))?;
        while self.scheduler.step(usize::MAX).is_some() {}
        let mut buffers = vec![Vec::new(); count];
        let (mut done, mut spent) = (0, Duration::ZERO);
        while spent < SAMPLE {
            let mut tokens: Vec<u32> = (1..=count as u32).collect();
            let begin = Instant::now();
            for _ in 0..DECODE_PASSES {
                for ((text, token), buffer) in texts.iter_mut().zip(&tokens).zip(&mut buffers) {
                    text.append(&[*token], Some(std::mem::take(buffer)))?;
                }
                self.scheduler.step(usize::MAX);
                for ((text, token), buffer) in texts.iter_mut().zip(&mut tokens).zip(&mut buffers) {
                    let Poll::Ready(logits) = text.poll() else { unreachable!("a step decodes for all") };
                    *buffer = logits?.unwrap_or_default();
                    *token = likeliest(buffer);
                }
            }
            spent += begin.elapsed();
            done += count * DECODE_PASSES;
            texts.iter_mut().for_each(|text| text.truncate(TOGETHER_PAST));
        }
        Ok(done as f64 / spent.as_secs_f64())
    }

    /// The least bytes that a token after `past` others reads: every matrix once (only one row of an
    /// embedding that is not also the head), keys and values.
    fn decode_bytes(&self, past: usize) -> u64 {
        let (config, weights) = (self.model.config(), self.model.weights());
        let embed = if weights.head.is_some() { weights.embed.bytes() } else { 0 };
        weights.bytes() - embed + config.plan.kv_bytes(self.model.kv_dtype(), past)
    }

    /// Floating-point operations for reading `length` tokens: the layers' matrices, causal attention, the
    /// head once.
    fn prefill_flops(&self, length: usize) -> f64 {
        let config = self.model.config();
        let head = config.plan.vocab * config.plan.hidden;
        let layers = config.plan.parameters() as usize - if config.plan.tied { head } else { 2 * head };
        let attention = 2 * config.plan.layers.len() * config.plan.heads * config.plan.head_dim * length * (length + 1);
        (2 * (layers * length + head) + attention) as f64
    }
}

/// The greedy choice.
pub fn likeliest(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.map_or(0, |(token, _)| token as u32)
}

/// Prints the table and returns the same as JSON.
fn report(
    args: &BenchArgs,
    title: &str,
    subjects: &[Subject],
    threads: &[usize],
    prefill: &[usize],
    lines: &[Line],
    limits: &[Limits],
) -> Value {
    println!("\n### {title}\n");
    for (count, limits) in threads.iter().zip(limits) {
        let (read, multiply_add) = (limits.read_bytes / 1e9, limits.flops / 1e9);
        println!("Limits on {count} thread(s): {read:.1} GB/s read, {multiply_add:.1} GFLOP/s of multiplications and additions.");
    }
    let pasts: Vec<usize> = subjects[0].pasts.iter().map(Cache::len).collect();
    let heads = prefill
        .iter()
        .map(|length| format!("prefill {length}"))
        .chain(pasts.iter().map(|past| format!("decode after {past}")))
        .chain(args.together.iter().map(|count| format!("{count} together")));
    println!("\n| format | KV | T | {} | load, s |", heads.collect::<Vec<_>>().join(" | "));
    println!("|---|---|---|{}---|", "---|".repeat(prefill.len() + pasts.len() + args.together.len()));
    let mut rows = Vec::new();
    for (subject, lines) in subjects.iter().zip(lines.chunks_exact(threads.len())) {
        for ((count, line), limits) in threads.iter().zip(lines).zip(limits) {
            let (format, kv) = (subject.format, subject.model.kv_dtype().name());
            let cached = subject.decode_bytes(0) < CACHED_BYTES;
            let of = |kind: &str, key: &usize, samples: &[f64], limit: Option<f64>| {
                let figure = Figure::of(samples, limit);
                (
                    figure.cell(),
                    json!({ "kind": kind, "tokens": key, "median": figure.median, "min": figure.min, "max": figure.max, "ofLimit": figure.of_limit }),
                )
            };
            let read = prefill.iter().zip(&line.prefill).map(|(length, samples)| {
                of("prefill", length, samples, Some(limits.flops / subject.prefill_flops(*length) * *length as f64))
            });
            let written = pasts.iter().zip(&line.decode).map(|(past, samples)| {
                of("decode", past, samples, (!cached).then(|| limits.read_bytes / subject.decode_bytes(*past) as f64))
            });
            let counts: Vec<usize> = args.together.iter().map(|&count| count as usize).collect();
            let together = counts.iter().zip(&line.together).map(|(count, samples)| of("together", count, samples, None));
            let (cells, figures): (Vec<String>, Vec<Value>) = read.chain(written).chain(together).unzip();
            let load = subject.load.as_secs_f64();
            println!("| {format} | {kv} | {count} | {} | {load:.2} |", cells.join(" | "));
            rows.push(json!({ "format": format, "kv": kv, "threads": count, "figures": figures, "loadSeconds": load, "weightBytes": subject.model.weights().bytes() }));
        }
    }
    println!();
    let limits = threads
        .iter()
        .zip(limits)
        .map(|(count, limits)| json!({ "threads": count, "readBytes": limits.read_bytes, "flops": limits.flops }));
    json!({ "title": title, "limits": limits.collect::<Vec<_>>(), "rows": rows })
}

/// A speed in tokens per second.
pub struct Figure {
    /// The median of the samples.
    pub median: f64,
    min: f64,
    max: f64,
    of_limit: Option<f64>,
}

impl Figure {
    /// The speed that these samples show, and its share of `limit`.
    pub fn of(samples: &[f64], limit: Option<f64>) -> Figure {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let median = sorted[sorted.len() / 2];
        Figure { median, min: sorted[0], max: sorted[sorted.len() - 1], of_limit: limit.map(|limit| median / limit) }
    }

    /// How the table shows it: the median, the least and the most, the share of the limit.
    pub fn cell(&self) -> String {
        let share = self.of_limit.map_or(String::new(), |share| format!(", {:.0} %", share * 100.0));
        format!("{:.1} ({:.1} to {:.1}){share}", self.median, self.min, self.max)
    }
}
