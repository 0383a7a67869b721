//! The native command line: generate, chat, and look into a model.
//!
//! Text goes to standard output, everything about it to standard error, so that a story can be piped.

mod bench;
mod folder;
mod inspect;
mod lock;
mod trace;

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand};
use fireside::cache::KvDtype;
use fireside::load::LoadOptions;
use fireside::options::Options;
use fireside::pool::Pool;
use fireside::quant::Dtype;
use fireside::session::{Completion, Session, Step};
use fireside::template::Now;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Language models that run inside a browser tab; here, in a terminal.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Continue a text
    Generate {
        /// How it begins
        prompt: String,
        #[command(flatten)]
        model: ModelArgs,
        #[command(flatten)]
        sampling: SamplingArgs,
    },
    /// Talk with a model; /reset forgets the chat, /exit or Ctrl-D ends it
    Chat {
        #[command(flatten)]
        model: ModelArgs,
        #[command(flatten)]
        sampling: SamplingArgs,
        /// What the model is told before the chat
        #[arg(long)]
        system: Option<String>,
    },
    /// Tell what a model folder contains and how much memory it needs
    Inspect {
        #[command(flatten)]
        model: ModelArgs,
    },
    /// Write the size and SHA-256 of every file of a model into its fireside.lock.json, which browsers check what they get against
    Lock {
        /// The folder of the model
        folder: PathBuf,
    },
    /// Measure speeds at published shapes, or of a model, beside the limits of the machine
    Bench(bench::BenchArgs),
    /// Write every layer's activations for a prompt, to compare with another implementation
    Trace {
        #[command(flatten)]
        model: ModelArgs,
        /// The text to read
        #[arg(long, default_value = "Once upon a time")]
        prompt: String,
        /// The safetensors file to write
        #[arg(long, default_value = "trace.safetensors")]
        out: PathBuf,
    },
}

#[derive(Args)]
struct ModelArgs {
    /// A folder with config.json, tokenizer.json and the weights [default: the bundled model]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Storage format of the weights: auto, f32, f16, bf16, q8 or q4
    #[arg(long, default_value = "auto", value_parser = parse_dtype)]
    dtype: Auto<Dtype>,
    /// Storage format of the KV cache: f32 or f16
    #[arg(long, default_value = "f32")]
    kv_dtype: KvDtype,
    /// Threads that compute [default: one for each core]
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Args)]
struct SamplingArgs {
    /// Tokens to generate at most
    #[arg(long)]
    max_tokens: Option<usize>,
    /// Divides the logits; 0 is greedy
    #[arg(long, allow_hyphen_values = true)]
    temperature: Option<f32>,
    /// Only the k likeliest tokens; 0 is off
    #[arg(long)]
    top_k: Option<usize>,
    /// Only the likeliest tokens that together have this probability
    #[arg(long, allow_hyphen_values = true)]
    top_p: Option<f32>,
    /// Only tokens at least this likely relative to the likeliest
    #[arg(long, allow_hyphen_values = true)]
    min_p: Option<f32>,
    /// Makes tokens that are in the text already less likely; 1 is off
    #[arg(long, allow_hyphen_values = true)]
    repetition_penalty: Option<f32>,
    /// A text that ends the generation; may be given several times
    #[arg(long)]
    stop: Vec<String>,
    /// Seed of the random choices [default: drawn anew]
    #[arg(long)]
    seed: Option<u64>,
}

impl ModelArgs {
    /// The folder asked for, or the bundled model of this name.
    fn folder(&self, bundled: &str) -> PathBuf {
        self.model.clone().unwrap_or_else(|| {
            let here = PathBuf::from("models").join(bundled);
            if here.is_dir() { here } else { PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models").join(bundled) }
        })
    }

    fn options(&self) -> LoadOptions {
        let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let pool = Some(Pool::new(self.threads.unwrap_or_else(cores)));
        LoadOptions { dtype: self.dtype.0, kv_dtype: self.kv_dtype, pool, ..LoadOptions::default() }
    }

    fn session(&self, bundled: &str) -> Result<Session> {
        let started = Instant::now();
        let model = folder::load(&self.folder(bundled), self.options())?;
        let (weights, threads) = (model.weights(), model.pool().threads());
        let bytes = weights.bytes() as f64 / 1e6;
        eprintln!("loaded {bytes:.1} MB of {} weights in {:.0?}; {threads} threads", weights.dtype(), started.elapsed());
        Ok(Session::new(Arc::new(model)))
    }
}

impl SamplingArgs {
    fn options(&self) -> Options {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Options {
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            stop: self.stop.clone(),
            seed: Some(self.seed.unwrap_or(since_epoch.as_nanos() as u64)),
            now: Some(Now { unix_seconds: since_epoch.as_secs() as i64, utc_offset_minutes: 0 }),
            ..Options::default()
        }
    }
}

/// A value, or that it is to be chosen.
#[derive(Debug, Clone, Copy)]
struct Auto<T>(Option<T>);

fn parse_dtype(text: &str) -> Result<Auto<Dtype>, String> {
    match text {
        "auto" => Ok(Auto(None)),
        other => other.parse().map(|dtype| Auto(Some(dtype))).map_err(|error: fireside::Error| error.to_string()),
    }
}

fn main() -> ExitCode {
    let run = match Cli::parse().command {
        Command::Generate { prompt, model, sampling } => generate(&prompt, &model, &sampling),
        Command::Chat { model, sampling, system } => chat(&model, &sampling, system),
        Command::Inspect { model } => inspect::inspect(&model.folder("story"), model.options()),
        Command::Lock { folder } => lock::lock(&folder),
        Command::Bench(args) => bench::bench(&args),
        Command::Trace { model, prompt, out } => trace::trace(&model.folder("story"), model.options(), &prompt, &out),
    };
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fireside: {error}");
            ExitCode::FAILURE
        }
    }
}

fn generate(prompt: &str, model: &ModelArgs, sampling: &SamplingArgs) -> Result<()> {
    let mut session = model.session("story")?;
    let run = session.begin_generate(prompt, &sampling.options())?;
    print!("{prompt}");
    let report = drive(&mut session, run)?;
    eprintln!("{report}");
    Ok(())
}

fn chat(model: &ModelArgs, sampling: &SamplingArgs, system: Option<String>) -> Result<()> {
    let mut session = model.session("chat")?;
    let terminal = io::stdin().is_terminal();
    let mut lines = io::stdin().lock().lines();
    let mut opening = system.clone();
    loop {
        if terminal {
            eprint!("> ");
        }
        let Some(line) = lines.next().transpose()? else { return Ok(()) };
        match line.trim() {
            "" => continue,
            "/exit" => return Ok(()),
            "/reset" => {
                session.reset();
                opening = system.clone();
                continue;
            }
            _ => {}
        }
        if let Err(error) = turn(&mut session, &line, &mut opening, sampling) {
            eprintln!("fireside: {error}");
        }
    }
}

/// One turn; the system message goes before the first.
fn turn(session: &mut Session, line: &str, opening: &mut Option<String>, sampling: &SamplingArgs) -> Result<()> {
    use fireside::session::Turn;
    use fireside::template::Message;
    let message = |role: &str, content: &str| Message { role: role.into(), content: content.into() };
    let asked = match &*opening {
        Some(system) => Turn::Conversation(vec![message("system", system), message("user", line)]),
        None => Turn::User(line.into()),
    };
    let run = session.begin_chat(asked, &sampling.options())?;
    let report = drive(session, run)?;
    *opening = None;
    eprintln!("{report}");
    Ok(())
}

/// What a generation cost, as one line.
struct Report {
    completion: Completion,
    prefill: Duration,
    decode: Duration,
}

/// Drives a run to its end, printing the text as it comes.
fn drive(session: &mut Session, mut run: fireside::session::Run) -> Result<Report> {
    let started = Instant::now();
    let mut prefill = Duration::ZERO;
    let mut out = io::stdout();
    loop {
        match session.step(&mut run)? {
            Step::Overflow(dropped) => eprintln!("[forgot {} messages, {} tokens]", dropped.messages, dropped.tokens),
            Step::Prefill { .. } => prefill = started.elapsed(),
            Step::Token(piece) => {
                write!(out, "{}", piece.text)?;
                out.flush()?;
            }
            Step::End(piece, completion) => {
                writeln!(out, "{}", piece.text)?;
                return Ok(Report { completion, prefill, decode: started.elapsed() - prefill });
            }
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let usage = &self.completion.usage;
        let per_second = |tokens: usize, time: Duration| tokens as f64 / time.as_secs_f64().max(1e-9);
        let computed = usage.prompt_tokens - usage.cached_tokens;
        write!(
            f,
            "[prompt {} tokens, {} of them cached, {:.0} a second; answer {} tokens, {:.0} a second; ended by {}]",
            usage.prompt_tokens,
            usage.cached_tokens,
            per_second(computed, self.prefill),
            usage.completion_tokens,
            per_second(usage.completion_tokens, self.decode),
            self.completion.finish_reason.as_str(),
        )
    }
}
