//! Loading: the files of a model become a [`Model`].
//!
//! The small files come first. They become a [`Description`] and are checked before any weights are needed.
//! The weights then come in chunks.

mod gguf;
#[cfg(all(test, not(target_family = "wasm")))]
mod real;

use crate::cache::Budget;
use crate::config::{GenerationConfig, ModelConfig, RopeScaling};
use crate::error::{Error, Result};
use crate::estimate::Estimate;
use crate::model::{Description, Model};
use crate::network::Network;
use crate::options::LoadOptions;
use crate::pool::Pool;
use crate::template::ChatTemplate;
use crate::text::TokenizerConfig;
use crate::tokenizer::Tokenizer;
use crate::weights::Loader;
use gguf::{Start, Started};

pub use gguf::{GgufScan, gguf_tokenizer};

/// The small files of a folder in the layout of Hugging Face, as bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct ModelFiles<'a> {
    /// `config.json`.
    pub config: &'a [u8],
    /// `tokenizer.json`.
    pub tokenizer: &'a [u8],
    /// `tokenizer_config.json`, where the chat template usually is.
    pub tokenizer_config: Option<&'a [u8]>,
    /// `generation_config.json`: defaults for sampling, and the tokens that end a text.
    pub generation_config: Option<&'a [u8]>,
    /// `special_tokens_map.json`, which older folders have.
    pub special_tokens_map: Option<&'a [u8]>,
    /// `added_tokens.json`, which older folders have.
    pub added_tokens: Option<&'a [u8]>,
    /// `chat_template.jinja`, or a template of the caller. It replaces the one in `tokenizer_config.json`.
    pub chat_template: Option<&'a [u8]>,
    /// `model.safetensors.index.json`, if the weights are in several files.
    pub index: Option<&'a [u8]>,
}

impl<'a> ModelFiles<'a> {
    /// The two files that every model needs.
    pub fn new(config: &'a [u8], tokenizer: &'a [u8]) -> ModelFiles<'a> {
        ModelFiles { config, tokenizer, ..ModelFiles::default() }
    }

    /// Reads the files and checks them against each other.
    ///
    /// Errors: `NOT_A_MODEL_FILE`, `BAD_FILE`, `UNSUPPORTED_MODEL`, `BAD_TOKENIZER`.
    pub(crate) fn describe(&self) -> Result<Description> {
        let config = ModelConfig::from_json(self.config)?;
        let generation = GenerationConfig::from_files(self.generation_config, self.config).within(config.plan.vocab);
        let tokens = TokenizerConfig::from_files(self.tokenizer_config, self.special_tokens_map, self.added_tokens)?;
        let tokenizer = Tokenizer::new(self.tokenizer, &tokens)?;
        let template = ChatTemplate::new(&tokens, self.chat_template)?;
        Ok(Description { config, tokenizer, template, generation })
    }
}

/// A model whose weights are still arriving.
pub struct ModelLoader {
    stage: Stage,
    options: LoadOptions,
    /// The error with which a GGUF file's beginning was refused.
    failed: Option<Error>,
}

/// What is expected next.
enum Stage {
    /// The beginning of a GGUF file, which describes the model.
    Start(Box<Start>),
    /// Weights.
    Weights { description: Box<Description>, weights: Box<Loader> },
}

/// The factors by which rotary frequencies may be divided. Those of published models lie between 1 and 64.
const ROPE_FACTORS: std::ops::RangeInclusive<f32> = 1e-3..=1e6;

/// Checks that a model fits, and fixes its storage format, before a header is known.
fn settle(config: &ModelConfig, options: LoadOptions) -> Result<LoadOptions> {
    Estimate::of(config, &options).check(config, &options)?;
    Ok(LoadOptions { dtype: options.storage(config), weight_bytes_max: Some(u64::MAX), ..options })
}

impl ModelLoader {
    /// A loader for the weights of a described model. `index` is `model.safetensors.index.json`, if there
    /// are several weight files.
    ///
    /// Errors: `BAD_FILE` if the index is broken or lacks a tensor, `OUT_OF_MEMORY` if the model cannot fit.
    pub fn new(description: Description, index: Option<&[u8]>, options: LoadOptions) -> Result<ModelLoader> {
        let options = settle(&description.config, options)?;
        let weights = Box::new(Loader::new(&description.config, index, options.dtype)?);
        let stage = Stage::Weights { description: Box::new(description), weights };
        Ok(ModelLoader { stage, options, failed: None })
    }

    /// A loader for a GGUF model; `name` is that of its file, or of the first of its parts. What `files` has
    /// goes before what the file says.
    ///
    /// Errors: `BAD_INPUT` for a part that is not the first.
    pub fn gguf(name: &str, files: &ModelFiles, options: LoadOptions) -> Result<ModelLoader> {
        Ok(ModelLoader { stage: Stage::Start(Box::new(Start::new(name, files)?)), options, failed: None })
    }

    /// What the model is besides its weights. `None` before the beginning of a GGUF file has come.
    pub fn description(&self) -> Option<&Description> {
        match &self.stage {
            Stage::Start(_) => None,
            Stage::Weights { description, .. } => Some(description),
        }
    }

    /// The names of the weight files, in the order in which they are expected.
    pub fn files(&self) -> &[String] {
        match &self.stage {
            Stage::Start(start) => &start.files,
            Stage::Weights { weights, .. } => weights.files(),
        }
    }

    /// Takes the next bytes of the current weight file. Chunks may have any size.
    ///
    /// Errors: those of [`Loader::push`]; those of the small files when the beginning of a GGUF file is
    /// complete; `OUT_OF_MEMORY` if a tied model turns out to have a head, and there is no room for it.
    pub fn push(&mut self, mut chunk: &[u8]) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        while let Stage::Start(start) = &mut self.stage {
            if chunk.is_empty() {
                return Ok(());
            }
            let begun = start.push(chunk).map(|taken| (taken, start.is_done()));
            let begun = begun.and_then(|(taken, done)| {
                chunk = &chunk[taken..];
                if done { self.enter() } else { Ok(()) }
            });
            self.failed = begun.clone().err();
            begun?;
        }
        let Stage::Weights { description, weights } = &mut self.stage else { return Ok(()) };
        weights.push(chunk)?;
        let config = &mut description.config;
        if config.plan.tied && weights.has_own_head() {
            // The model is larger by its head than its config says.
            config.plan.tied = false;
            Estimate::of(config, &self.options).check(config, &self.options)?;
        }
        Ok(())
    }

    /// Ends the start: the beginning of a GGUF file is complete, or the file ended.
    fn enter(&mut self) -> Result<()> {
        let Stage::Start(start) = &mut self.stage else { return Ok(()) };
        let Started { description, mut weights, options, rest } = start.take().finish(self.options.clone())?;
        weights.push(&rest)?;
        self.options = options;
        self.stage = Stage::Weights { description: Box::new(description), weights: Box::new(weights) };
        Ok(())
    }

    /// Ends the current weight file.
    ///
    /// Errors: `BAD_FILE` if it is cut short.
    pub fn end_file(&mut self) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if let Stage::Start(_) = &self.stage {
            let entered = self.enter();
            self.failed = entered.clone().err();
            entered?;
        }
        match &mut self.stage {
            Stage::Start(_) => Ok(()),
            Stage::Weights { weights, .. } => weights.end_file(),
        }
    }

    /// Returns the model, after the last file.
    ///
    /// Errors: `BAD_FILE` naming the tensor or the file that is missing.
    pub fn finish(self) -> Result<Model> {
        let ModelLoader { stage, options, failed } = self;
        if let Some(error) = failed {
            return Err(error);
        }
        let (mut description, weights) = match stage {
            Stage::Weights { description, weights } => (*description, *weights),
            Stage::Start(start) => {
                let got = format!("0, and {} is not finished", start.files[0]);
                return Err(Error::BadInput { what: "weight files".into(), expected: start.files.len().to_string(), got });
            }
        };
        if let (Some(factors), Some(rope)) = (weights.rope_factors(), description.config.plan.ropes.first_mut()) {
            if let Some(wrong) = factors.iter().find(|factor| !ROPE_FACTORS.contains(*factor)) {
                let (file, at) = (weights.files()[0].clone(), "tensor rope_freqs.weight".into());
                let expected = format!("numbers from {} to {}", ROPE_FACTORS.start(), ROPE_FACTORS.end());
                return Err(Error::BadFile { file, at, expected, got: wrong.to_string() });
            }
            rope.scaling = RopeScaling::Factors(factors);
        }
        let unread_tensors = weights.unread_tensors();
        let weights = weights.finish()?;
        let load_bytes = Estimate::of(&description.config, &options).load_bytes;
        let left = || options.memory_bytes_max.map(|max| max.saturating_sub(load_bytes));
        let kv_budget = Budget::new(options.kv_bytes_max.or_else(left));
        let LoadOptions { kv_dtype, pool, .. } = options;
        let network = Network::new(description.config.plan.clone(), weights, kv_dtype, kv_budget);
        Ok(Model::new(description, network, unread_tensors, pool.unwrap_or_else(|| Pool::new(1))))
    }
}

impl Model {
    /// Starts to load a model: reads and checks the small files. The weights of [`ModelLoader::files`] come
    /// next.
    ///
    /// Errors: `NOT_A_MODEL_FILE`, `BAD_FILE`, `UNSUPPORTED_MODEL`, `BAD_TOKENIZER`, `OUT_OF_MEMORY`.
    pub fn loader(files: &ModelFiles, options: LoadOptions) -> Result<ModelLoader> {
        ModelLoader::new(files.describe()?, files.index, options)
    }

    /// Loads a model from complete files: the small files, and the weight files in order.
    ///
    /// Errors: those of [`Model::loader`] and of the [`ModelLoader`].
    pub fn from_bytes(files: &ModelFiles, weights: &[&[u8]], options: LoadOptions) -> Result<Model> {
        Model::load_all(Model::loader(files, options)?, weights)
    }

    /// Loads a model from a complete GGUF file, or from all its parts in order. `name` is that of the first.
    /// What `files` has goes before what the file says.
    ///
    /// Errors: those of [`ModelLoader::gguf`] and of the [`ModelLoader`].
    pub fn from_gguf(name: &str, files: &ModelFiles, weights: &[&[u8]], options: LoadOptions) -> Result<Model> {
        Model::load_all(ModelLoader::gguf(name, files, options)?, weights)
    }

    fn load_all(mut loader: ModelLoader, weights: &[&[u8]]) -> Result<Model> {
        if weights.len() != loader.files().len() {
            return Err(Error::BadInput {
                what: "weights".into(),
                expected: format!("{} file(s): {}", loader.files().len(), loader.files().join(", ")),
                got: weights.len().to_string(),
            });
        }
        for file in weights {
            loader.push(file)?;
            loader.end_file()?;
        }
        loader.finish()
    }
}
