//! A loaded model: the network, its tokenizer and chat template, and the publisher's defaults.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cache::{Budget, KvDtype};
use crate::config::{GenerationConfig, ModelConfig};
use crate::error::{Error, Result};
use crate::network::scheduler::Scheduler;
use crate::network::sequence::{Device, Sequence};
use crate::network::{Executor, Network};
use crate::pool::Pool;
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;
use crate::weights::Weights;

/// A loaded model. It is immutable, and all its sessions share it.
#[derive(Debug)]
pub struct Model {
    description: Description,
    network: Arc<Network>,
    device: Arc<dyn Device>,
    pool: Arc<Pool>,
    unread_tensors: Vec<String>,
    runs: AtomicU64,
}

/// What a model is besides its weights, however it was published.
#[derive(Debug)]
pub struct Description {
    /// What the network computes, and the tokens that begin and end a text.
    pub config: ModelConfig,
    /// Text to tokens and back.
    pub tokenizer: Tokenizer,
    /// Chats to text.
    pub template: ChatTemplate,
    /// The publisher's defaults for sampling.
    pub generation: GenerationConfig,
}

impl Model {
    /// A model whose passes are computed by the threads of `pool`. `unread_tensors`: those of its files that
    /// it does not read.
    pub(crate) fn new(description: Description, network: Network, unread_tensors: Vec<String>, pool: Arc<Pool>) -> Model {
        let network = Arc::new(network);
        let device = Scheduler::new(network.clone(), Executor::new(pool.clone()));
        Model { description, network, device, pool, unread_tensors, runs: AtomicU64::new(0) }
    }

    /// Moves the model to another device, which computes with the same network.
    #[must_use]
    pub fn on(self, device: impl FnOnce(Arc<Network>) -> Arc<dyn Device>) -> Model {
        Model { device: device(self.network.clone()), ..self }
    }

    /// The network: the plan and the weights.
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// What `config.json` says.
    pub fn config(&self) -> &ModelConfig {
        &self.description.config
    }

    /// The defaults of its publisher for sampling, and the tokens that end a text.
    pub fn generation(&self) -> &GenerationConfig {
        &self.description.generation
    }

    /// The weights as they are stored.
    pub fn weights(&self) -> &Weights {
        self.network.weights()
    }

    /// The model's own tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.description.tokenizer
    }

    /// Tensors of its files that it does not read, such as `mtp.layers.*.norm.weight (2)`.
    pub fn unread_tensors(&self) -> &[String] {
        &self.unread_tensors
    }

    /// The model's chat template, or ChatML where it has none; [`ChatTemplate::source`] tells.
    pub fn template(&self) -> &ChatTemplate {
        &self.description.template
    }

    /// The tokens that end a text, as in transformers' `generate`: those of `generation_config.json`, none
    /// if that file names none, and those of `config.json` if there is no such file.
    pub fn eos_ids(&self) -> Vec<u32> {
        self.description.generation.ends(self.config())
    }

    /// The tokens that end a turn of a chat. A template ends each turn with a token that files often name in
    /// one place only. So these are more than [`Model::eos_ids`]: also the tokenizer's `eos_token`, the end
    /// token of ChatML, and the ids of `config.json` if `generation_config.json` names none.
    pub fn turn_eos_ids(&self) -> Vec<u32> {
        let mut ids = self.eos_ids();
        if ids.is_empty() {
            ids.extend(&self.config().eos);
        }
        ids.extend(self.description.tokenizer.eos());
        ids.extend(self.description.tokenizer.id("<|im_end|>"));
        ids
    }

    /// The names of ignored fields of the configuration files, sorted.
    pub fn ignored_config(&self) -> Vec<String> {
        let defaults = self.description.generation.ignored.iter().map(|ignored| ignored.field.clone());
        let mut names: Vec<String> = self.config().ignored.iter().cloned().chain(defaults).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The thread pool.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The storage format of keys and values.
    pub fn kv_dtype(&self) -> KvDtype {
        self.network.kv_dtype()
    }

    /// The memory of the KV caches of all its sessions together, and its limit.
    pub fn kv_budget(&self) -> &Arc<Budget> {
        self.network.kv_budget()
    }

    /// Identifies the model in a saved session; see [`Network::fingerprint`].
    pub fn fingerprint(&self) -> &str {
        self.network.fingerprint()
    }

    /// An empty sequence on the model's device.
    pub(crate) fn sequence(&self) -> Box<dyn Sequence> {
        self.device.clone().sequence()
    }

    /// Computes a part of what sessions wait for; see [`Device::step`]. To drive several runs, call
    /// [`Session::poll`](crate::Session::poll) on each until it returns `None`, then this, and repeat.
    pub fn step(&self, prefill_work: usize) -> Option<usize> {
        self.device.step(prefill_work)
    }

    /// A number for a new run. No other run on this model has it.
    pub(crate) fn next_run(&self) -> u64 {
        self.runs.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Checks that the network has a row for each token. A tokenizer may have more tokens, such as an added
    /// `[PAD]`.
    ///
    /// Errors: `BAD_INPUT` with the token's id and text.
    pub(crate) fn check_tokens(&self, tokens: &[u32]) -> Result<()> {
        let vocab = self.config().plan.vocab;
        let Some(&token) = tokens.iter().find(|&&token| token as usize >= vocab) else { return Ok(()) };
        let expected = format!("tokens that the model has, with ids below {vocab}");
        let got = format!("{}. Leave it out of the text or the chat template", self.description.tokenizer.shown(token));
        Err(Error::BadInput { what: "tokens".into(), expected, got })
    }
}
