//! The flags that several commands share: which model to load, and how to sample from it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use fireside::internals::Pool;
use fireside::{Dtype, LoadOptions, Model, Now, Options, SessionOptions, TemplateKwargs};
use serde_json::Value;

use crate::flags::{Flags, Loading, Sampling};
use crate::{Result, folder};

/// Which model to load, and how to store it.
#[derive(Args)]
pub struct ModelArgs {
    /// A folder with config.json, tokenizer.json and the weights, or a GGUF file [default: the bundled model]
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags<Loading>,
    /// Threads that compute [default: one for each core]
    #[arg(long)]
    threads: Option<usize>,
}

impl ModelArgs {
    /// The folder that was given, or the bundled model of this name.
    pub fn folder(&self, bundled: &str) -> PathBuf {
        self.model.clone().unwrap_or_else(|| {
            let here = PathBuf::from("models").join(bundled);
            if here.is_dir() { here } else { PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models").join(bundled) }
        })
    }

    /// The load options that the flags give.
    pub fn options(&self) -> Result<LoadOptions> {
        let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let pool = Some(Pool::new(self.threads.unwrap_or_else(cores)));
        Ok(LoadOptions { pool, ..LoadOptions::from_json(&self.flags.json())? })
    }

    /// Loads the model and prints a summary.
    pub fn load(&self, bundled: &str) -> Result<Arc<Model>> {
        let started = Instant::now();
        let model = folder::load(&self.folder(bundled), self.options()?)?;
        let (weights, threads) = (model.weights(), model.pool().threads());
        let bytes = weights.bytes() as f64 / 1e6;
        eprintln!("loaded {bytes:.1} MB of {} weights in {:.0?}; {threads} threads", weights.dtype(), started.elapsed());
        let ignored = model.ignored_config();
        if !ignored.is_empty() {
            eprintln!("ignored fields of the configuration files: {}; `fireside inspect` says why", ignored.join(", "));
        }
        Ok(Arc::new(model))
    }
}

/// How tokens are drawn.
#[derive(Args)]
pub struct SamplingArgs {
    #[command(flatten)]
    flags: Flags<Sampling>,
}

impl SamplingArgs {
    /// The generate options that the flags give.
    pub fn options(&self) -> Result<Options> {
        let options = Options::from_json(&self.flags.json())?;
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Some(Now { unix_seconds: since_epoch.as_secs() as i64, utc_offset_minutes: 0 });
        Ok(Options { seed: options.seed.or(Some(since_epoch.as_nanos() as u64)), now, ..options })
    }
}

/// How a chat is opened.
#[derive(Args)]
pub struct ChatArgs {
    /// The system prompt
    #[arg(long)]
    system: Option<String>,
    /// A variable of the chat template, such as enable_thinking=false: JSON, or a string if it is not JSON;
    /// can be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_kwarg)]
    template_kwarg: Vec<(String, Value)>,
}

impl ChatArgs {
    /// The session options that the flags give.
    pub fn options(&self) -> Result<SessionOptions> {
        let chat_template_kwargs = TemplateKwargs::from_json("--template-kwarg", &self.template_kwarg.iter().cloned().collect())?;
        Ok(SessionOptions { system: self.system.clone(), chat_template_kwargs })
    }
}

/// Reads a storage format; auto is that of the files.
pub fn parse_format(text: &str) -> Result<Option<Dtype>, String> {
    if text == "auto" { Ok(None) } else { text.parse().map(Some).map_err(|error: fireside::Error| error.to_string()) }
}

/// The name that [`parse_format`] reads.
pub fn format_name(format: Option<Dtype>) -> &'static str {
    format.map_or("auto", Dtype::name)
}

fn parse_kwarg(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("a name and a value, like enable_thinking=false")?;
    Ok((name.into(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
}
