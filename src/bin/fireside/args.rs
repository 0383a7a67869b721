//! The flags that several commands share: which model to load, and how to sample from it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use fireside::cache::KvDtype;
use fireside::config::Rules;
use fireside::load::LoadOptions;
use fireside::model::Model;
use fireside::options::{Options, Overflow};
use fireside::pool::Pool;
use fireside::quant::Dtype;
use fireside::session::SessionOptions;
use fireside::{Now, TemplateKwargs};
use serde_json::Value;

use crate::{Result, folder};

/// Which model to load, and how to store it.
#[derive(Args)]
pub struct ModelArgs {
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

impl ModelArgs {
    /// The folder that was given, or the bundled model of this name.
    pub fn folder(&self, bundled: &str) -> PathBuf {
        self.model.clone().unwrap_or_else(|| {
            let here = PathBuf::from("models").join(bundled);
            if here.is_dir() { here } else { PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models").join(bundled) }
        })
    }

    /// The load options that the flags give.
    pub fn options(&self) -> LoadOptions {
        let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let pool = Some(Pool::new(self.threads.unwrap_or_else(cores)));
        LoadOptions { dtype: self.dtype.0, kv_dtype: self.kv_dtype, pool, ..LoadOptions::default() }
    }

    /// Loads the model and prints a summary.
    pub fn load(&self, bundled: &str) -> Result<Arc<Model>> {
        let started = Instant::now();
        let model = folder::load(&self.folder(bundled), self.options())?;
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
    /// The most tokens to generate
    #[arg(long)]
    max_tokens: Option<usize>,
    /// Tokens to generate before the text may end
    #[arg(long)]
    min_tokens: Option<usize>,
    /// Divides the logits; 0 is greedy
    #[arg(long, allow_hyphen_values = true)]
    temperature: Option<f32>,
    /// Keeps only the k likeliest tokens; 0 is off
    #[arg(long)]
    top_k: Option<usize>,
    /// Keeps the fewest of the likeliest tokens that together have this probability
    #[arg(long, allow_hyphen_values = true)]
    top_p: Option<f32>,
    /// Keeps only tokens at least this likely, relative to the likeliest
    #[arg(long, allow_hyphen_values = true)]
    min_p: Option<f32>,
    /// Keeps the tokens whose surprise is nearest to the expected one and that together have this
    /// probability
    #[arg(long, allow_hyphen_values = true)]
    typical_p: Option<f32>,
    /// Makes tokens that are already in the text less likely; 1 is off
    #[arg(long, allow_hyphen_values = true)]
    repetition_penalty: Option<f32>,
    /// Subtracted from a token's logit each time it was generated; 0 is off
    #[arg(long, allow_hyphen_values = true)]
    frequency_penalty: Option<f32>,
    /// Subtracted from the logits of all tokens that were generated; 0 is off
    #[arg(long, allow_hyphen_values = true)]
    presence_penalty: Option<f32>,
    /// Added to the logit of a token; can be repeated
    #[arg(long, value_name = "ID=BIAS", value_parser = parse_bias, allow_hyphen_values = true)]
    logit_bias: Vec<(u32, f32)>,
    /// A string that ends the text; can be repeated
    #[arg(long)]
    stop: Vec<String>,
    /// A token id that ends the text; can be repeated
    #[arg(long, value_name = "ID")]
    stop_token: Vec<u32>,
    /// Seed of the random choices [default: random]
    #[arg(long)]
    seed: Option<u64>,
    /// Print how likely each token was, and this many of the likeliest tokens
    #[arg(long, value_name = "K")]
    logprobs: Option<usize>,
    /// How many completions to generate for the prompt; the first one counts
    #[arg(short)]
    n: Option<usize>,
    /// What to do when the context is full: error, drop-oldest or shift
    #[arg(long, default_value = "error")]
    overflow: Overflow,
}

impl SamplingArgs {
    /// The generate options that the flags give.
    pub fn options(&self) -> Options {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Options {
            max_tokens: self.max_tokens,
            min_tokens: self.min_tokens,
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            typical_p: self.typical_p,
            repetition_penalty: self.repetition_penalty,
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            logit_bias: self.logit_bias.clone(),
            rules: Rules::NONE,
            stop: self.stop.clone(),
            stop_tokens: self.stop_token.clone(),
            seed: Some(self.seed.unwrap_or(since_epoch.as_nanos() as u64)),
            logprobs: self.logprobs,
            n: self.n,
            overflow: self.overflow,
            chat_template_kwargs: None,
            now: Some(Now { unix_seconds: since_epoch.as_secs() as i64, utc_offset_minutes: 0 }),
        }
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

/// A value, or `auto`.
#[derive(Debug, Clone, Copy)]
struct Auto<T>(Option<T>);

fn parse_dtype(text: &str) -> Result<Auto<Dtype>, String> {
    match text {
        "auto" => Ok(Auto(None)),
        other => other.parse().map(|dtype| Auto(Some(dtype))).map_err(|error: fireside::Error| error.to_string()),
    }
}

fn parse_bias(text: &str) -> Result<(u32, f32), String> {
    let pair = text.split_once('=').and_then(|(id, bias)| Some((id.parse().ok()?, bias.parse().ok()?)));
    pair.ok_or_else(|| "a token id and a number, like 42=-100".into())
}

fn parse_kwarg(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("a name and a value, like enable_thinking=false")?;
    Ok((name.into(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
}
