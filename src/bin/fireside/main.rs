//! The native command line: generate, chat, and examine a model.
//!
//! Text goes to standard output and information about it to standard error, so that the text can be piped.

mod answer;
mod args;
mod bench;
mod chat;
mod flags;
mod folder;
mod inspect;
mod interrupt;
mod lines;
mod lock;
mod quality;
mod quantize;
mod trace;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fireside::Session;

use args::{ChatArgs, ModelArgs, SamplingArgs};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Language models that run inside a browser tab; this program runs them in a terminal.
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
        /// The beginning of the text
        prompt: String,
        #[command(flatten)]
        model: ModelArgs,
        #[command(flatten)]
        sampling: SamplingArgs,
    },
    /// Chat with a model; /help in the chat lists its commands
    Chat {
        #[command(flatten)]
        model: ModelArgs,
        #[command(flatten)]
        sampling: SamplingArgs,
        #[command(flatten)]
        chat: ChatArgs,
    },
    /// Show what a model contains and how much memory it needs
    Inspect {
        #[command(flatten)]
        model: ModelArgs,
    },
    /// Write the size and SHA-256 of every file of a model to its fireside.lock.json, with which browsers
    /// check their downloads
    Lock {
        /// The folder of the model
        folder: PathBuf,
    },
    /// Measure the speed of published shapes or of a model, compared with the limits of the machine
    Bench(bench::BenchArgs),
    /// Measure what storage formats cost: how far a model's predictions for a text are from those in f32
    Quality(quality::QualityArgs),
    /// Make a smaller checkpoint of a model, in the layout of MLX, which Fireside and mlx-lm read
    Quantize(quantize::QuantizeArgs),
    /// Write every layer's activations for a prompt, for comparison with another implementation
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

fn main() -> ExitCode {
    let done = |()| ExitCode::SUCCESS;
    let run = match Cli::parse().command {
        Command::Generate { prompt, model, sampling } => generate(&prompt, &model, &sampling).map(done),
        Command::Chat { model, sampling, chat } => chat::chat(&model, &sampling, &chat),
        Command::Inspect { model } => model.options().and_then(|options| inspect::inspect(&model.folder("story"), options)).map(done),
        Command::Lock { folder } => lock::lock(&folder).map(done),
        Command::Bench(args) => bench::bench(&args).map(done),
        Command::Quality(args) => quality::quality(&args).map(done),
        Command::Quantize(args) => quantize::quantize(&args).map(done),
        Command::Trace { model, prompt, out } => {
            model.options().and_then(|options| trace::trace(&model.folder("story"), options, &prompt, &out)).map(done)
        }
    };
    run.unwrap_or_else(|error| {
        eprintln!("fireside: {error}");
        ExitCode::FAILURE
    })
}

fn generate(prompt: &str, model: &ModelArgs, sampling: &SamplingArgs) -> Result<()> {
    let options = sampling.options()?;
    options.check()?;
    let mut session = Session::new(model.load("story")?);
    let run = session.begin_generate(prompt, &options)?;
    write!(io::stdout(), "{prompt}")?;
    eprintln!("{}", answer::drive(&mut session, run)?);
    Ok(())
}
