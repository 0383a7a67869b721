//! `fireside quality`: what a storage format costs, measured on a text.
//!
//! The reference (f32) and every format read the same text. After each token, both predict the next one.
//! The divergence of the two distributions is the loss of the format, and its speed and its bits a weight
//! are what the loss buys. The text is read in windows, each from an empty cache.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use fireside::internals::{Cache, Executor};
use fireside::{Dtype, KvDtype, LoadOptions, Model};
use serde_json::{Value, json};

use crate::args::{ModelArgs, format_name, parse_format};
use crate::bench::{Figure, likeliest};
use crate::{Result, folder};

/// How many positions are compared at a time. Each takes `vocab` numbers of memory.
const ROWS: usize = 64;
/// How many tokens precede the decoded ones.
const DECODE_PAST: usize = 16;
/// How many decode steps a sample of the speed has.
const DECODE_STEPS: usize = 16;
/// How many samples of the speed are taken, in turn for every format.
const DECODE_SAMPLES: usize = 5;

/// What to measure.
#[derive(Args)]
pub struct QualityArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// The text to read
    #[arg(long, value_name = "FILE")]
    text: PathBuf,
    /// Storage formats; auto is that of the files [default: the one of --dtype]
    #[arg(long, value_delimiter = ',', value_parser = parse_format)]
    format: Vec<Option<Dtype>>,
    /// A model with the reference's weights, if the model's own are already quantised
    #[arg(long, value_name = "PATH")]
    reference: Option<PathBuf>,
    /// How many tokens are read from an empty cache
    #[arg(long, default_value = "512", value_parser = clap::value_parser!(u64).range(2..))]
    window: u64,
}

/// A model that reads the text.
struct Reader {
    model: Model,
    cache: Cache,
    executor: Executor,
    /// Shapes: (tokens, vocab).
    logits: Vec<f32>,
}

/// What is added up over the text for one format.
#[derive(Default)]
struct Loss {
    /// Kullback-Leibler divergence from the reference at each position. Units: nats.
    divergences: Vec<f64>,
    /// The sum of the negative logarithms of the probabilities of the text's tokens.
    surprise: f64,
    /// Positions at which the likeliest token is the reference's.
    agreements: usize,
}

/// Measures and prints.
pub fn quality(args: &QualityArgs) -> Result<()> {
    let given = args.model.options()?;
    let load = |folder: &PathBuf, options| Ok::<_, Box<dyn std::error::Error>>(Reader::new(folder::load(folder, options)?));
    let folder = args.model.folder("story");
    let formats = if args.format.is_empty() { vec![given.dtype] } else { args.format.clone() };
    let exact = LoadOptions { dtype: Some(Dtype::F32), kv_dtype: KvDtype::F32, ..given.clone() };
    let mut reference = load(args.reference.as_ref().unwrap_or(&folder), exact)?;
    let models = formats.iter().map(|&dtype| load(&folder, LoadOptions { dtype, ..given.clone() }));
    let mut readers: Vec<Reader> = models.collect::<Result<_>>()?;
    if let Some(other) = readers.iter().find(|reader| reader.vocab() != reference.vocab()) {
        return Err(format!(
            "the reference predicts {} tokens and the model {}: they differ in more than weights",
            reference.vocab(),
            other.vocab()
        )
        .into());
    }

    let text = std::fs::read_to_string(&args.text).map_err(|error| format!("cannot read {}: {error}", args.text.display()))?;
    let windows = windows(&reference.model, &text, args.window as usize)?;
    let mut losses: Vec<Loss> = Vec::new();
    losses.resize_with(readers.len() + 1, Loss::default);
    for window in &windows {
        compare(window, &mut reference, &mut readers, &mut losses)?;
    }
    let speeds = speeds(&windows[0], &mut readers)?;
    let base = losses.remove(0);
    report(&args.text.display().to_string(), &base, &formats, &readers, &losses, &speeds);
    Ok(())
}

/// The tokens of a text in windows. Each begins with the tokens that the tokenizer puts before a text.
fn windows(model: &Model, text: &str, length: usize) -> Result<Vec<Vec<u32>>> {
    let begin = model.tokenizer().encode_prompt("")?;
    let tokens = model.tokenizer().encode_prompt(text)?;
    let body = tokens.strip_prefix(&begin[..]).unwrap_or(&tokens);
    let length = length.min(model.config().plan.context).saturating_sub(begin.len()).max(2);
    let windows: Vec<Vec<u32>> = body.chunks(length).map(|chunk| [&begin[..], chunk].concat()).filter(|window| window.len() > 1).collect();
    if windows.is_empty() { Err("the text is too short: nothing is predicted in it".into()) } else { Ok(windows) }
}

/// All read a window and predict each of its tokens but the first. `losses` begins with the reference's.
fn compare(window: &[u32], reference: &mut Reader, readers: &mut [Reader], losses: &mut [Loss]) -> Result<()> {
    let (given, next) = (&window[..window.len() - 1], &window[1..]);
    reference.cache.truncate(0);
    readers.iter_mut().for_each(|reader| reader.cache.truncate(0));
    for (given, next) in given.chunks(ROWS).zip(next.chunks(ROWS)) {
        reference.read(given)?;
        let exact: Vec<Vec<f64>> = reference.rows().map(log_softmax).collect();
        exact.iter().zip(next).for_each(|(exact, &token)| losses[0].add(exact, exact, token));
        for (reader, loss) in readers.iter_mut().zip(&mut losses[1..]) {
            reader.read(given)?;
            for ((row, exact), &token) in reader.rows().zip(&exact).zip(next) {
                loss.add(exact, &log_softmax(row), token);
            }
        }
    }
    Ok(())
}

/// The samples of each format's decode speed, in tokens per second.
fn speeds(window: &[u32], readers: &mut [Reader]) -> Result<Vec<Vec<f64>>> {
    let mut samples = vec![Vec::new(); readers.len()];
    for reader in readers.iter_mut() {
        reader.cache.truncate(0);
        reader.read(&window[..window.len().min(DECODE_PAST)])?;
    }
    // The first round warms up and is not counted.
    for round in 0..=DECODE_SAMPLES {
        for (reader, samples) in readers.iter_mut().zip(&mut samples) {
            let speed = reader.decode()?;
            if round > 0 {
                samples.push(speed);
            }
        }
    }
    Ok(samples)
}

impl Reader {
    fn new(model: Model) -> Reader {
        Reader { cache: model.network().cache(), executor: Executor::new(model.pool().clone()), logits: Vec::new(), model }
    }

    fn vocab(&self) -> usize {
        self.model.config().plan.vocab
    }

    /// Appends tokens and keeps the logits after each of them.
    fn read(&mut self, tokens: &[u32]) -> Result<()> {
        Ok(self.model.network().forward_all(tokens, &mut self.cache, &mut self.executor, &mut self.logits)?)
    }

    /// The logits of the tokens that were read last. Shapes: each (vocab).
    fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.logits.chunks_exact(self.vocab())
    }

    /// Tokens per second of some greedy steps, which are then forgotten.
    fn decode(&mut self) -> Result<f64> {
        let past = self.cache.len();
        let steps = DECODE_STEPS.min(self.model.config().plan.context - past).max(1);
        let (mut token, mut logits) = (1, Vec::new());
        let begin = Instant::now();
        for _ in 0..steps {
            self.model.network().forward(&[token], &mut self.cache, &mut self.executor, &mut logits)?;
            token = likeliest(&logits);
        }
        let spent = begin.elapsed().as_secs_f64();
        self.cache.truncate(past);
        Ok(steps as f64 / spent)
    }

    /// Bits of memory per weight, with scales, norms and padding.
    fn bits(&self) -> f64 {
        8.0 * self.model.weights().bytes() as f64 / self.model.config().plan.parameters() as f64
    }
}

impl Loss {
    /// Adds a position at which the text continues with `token`. Shapes: `exact`, `got` (vocab), logarithms
    /// of probabilities.
    fn add(&mut self, exact: &[f64], got: &[f64], token: u32) {
        self.divergences.push(exact.iter().zip(got).map(|(p, q)| p.exp() * (p - q)).sum());
        self.surprise -= got[token as usize];
        self.agreements += usize::from(top(exact) == top(got));
    }

    fn positions(&self) -> usize {
        self.divergences.len()
    }

    fn perplexity(&self) -> f64 {
        (self.surprise / self.positions() as f64).exp()
    }

    fn mean(&self) -> f64 {
        self.divergences.iter().sum::<f64>() / self.positions() as f64
    }

    /// The divergence that 99 of 100 positions do not exceed.
    fn percentile_99(&self) -> f64 {
        let mut sorted = self.divergences.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted[(sorted.len() * 99).div_ceil(100) - 1]
    }

    /// The share of positions with the reference's likeliest token.
    fn agreement(&self) -> f64 {
        self.agreements as f64 / self.positions() as f64
    }
}

/// Logarithms of the probabilities that logits give.
fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - max).exp()).sum();
    logits.iter().map(|&logit| f64::from(logit - max) - sum.ln()).collect()
}

/// The place of the largest value.
fn top(values: &[f64]) -> Option<usize> {
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b]))
}

/// Prints the table, and the same as JSON in the last line.
fn report(text: &str, base: &Loss, formats: &[Option<Dtype>], readers: &[Reader], losses: &[Loss], speeds: &[Vec<f64>]) {
    println!("{text}: {} tokens predicted, perplexity {:.4} in f32\n", base.positions(), base.perplexity());
    println!("| weights | KV | bits a weight | KL, nats | 99th percentile | perplexity | change | same top token | decode tok/s |");
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut rows: Vec<Value> = Vec::new();
    for (((format, reader), loss), speeds) in formats.iter().zip(readers).zip(losses).zip(speeds) {
        let (format, kv_dtype) = (format_name(*format), reader.model.kv_dtype().name());
        let change = loss.perplexity() / base.perplexity() - 1.0;
        let speed = Figure::of(speeds, None);
        println!(
            "| {format} | {kv_dtype} | {:.2} | {:.5} | {:.4} | {:.4} | {:+.2} % | {:.1} % | {} |",
            reader.bits(),
            loss.mean(),
            loss.percentile_99(),
            loss.perplexity(),
            100.0 * change,
            100.0 * loss.agreement(),
            speed.cell()
        );
        rows.push(json!({
            "format": format, "kvDtype": kv_dtype, "bits": reader.bits(), "kl": loss.mean(), "kl99": loss.percentile_99(),
            "perplexity": loss.perplexity(), "change": change, "sameTop": loss.agreement(), "decode": speed.median,
        }));
    }
    println!("\n{}", json!({ "text": text, "positions": base.positions(), "perplexity": base.perplexity(), "rows": rows }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_what_its_formulas_say() {
        let logs = |probabilities: [f64; 3]| probabilities.map(f64::ln);
        let (exact, got) = (logs([0.5, 0.25, 0.25]), logs([0.25, 0.5, 0.25]));
        let mut loss = Loss::default();
        (0..99).for_each(|_| loss.add(&exact, &exact, 0));
        loss.add(&exact, &got, 1);
        // 0.5 ln 2 - 0.25 ln 2 at the last position.
        let last = 0.25 * 2f64.ln();
        assert!((loss.mean() - last / 100.0).abs() < 1e-12, "{}", loss.mean());
        assert_eq!((loss.percentile_99(), loss.positions(), loss.agreement()), (0.0, 100, 0.99));
        assert!((loss.perplexity() - 2.0).abs() < 1e-12, "every token of the text had 0.5: {}", loss.perplexity());
        loss.add(&exact, &got, 1);
        assert!((loss.percentile_99() - last).abs() < 1e-12, "2 of 101 are more than 1 %");
    }

    #[test]
    fn logits_become_logarithms_of_probabilities() {
        let logs = log_softmax(&[1000.0, 1000.0, f32::MIN]);
        assert!((logs[0] + 2f64.ln()).abs() < 1e-12 && logs[2].exp() == 0.0, "{logs:?}");
    }
}
