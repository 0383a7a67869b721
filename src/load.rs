//! Loading: the files of a model become a [`Model`].
//!
//! The small files come first. They become a [`Description`] and are checked before any weights are needed.
//! The weights then come in chunks.

use crate::cache::Budget;
use crate::config::{GenerationConfig, ModelConfig};
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
    description: Description,
    weights: Loader,
    options: LoadOptions,
}

impl ModelLoader {
    /// A loader for the weights of a described model. `index` is `model.safetensors.index.json`, if there
    /// are several weight files.
    ///
    /// Errors: `BAD_FILE` if the index is broken or lacks a tensor, `OUT_OF_MEMORY` if the model cannot fit.
    pub fn new(description: Description, index: Option<&[u8]>, options: LoadOptions) -> Result<ModelLoader> {
        let config = &description.config;
        Estimate::of(config, &options).check(config, &options)?;
        let dtype = options.storage(config);
        let weights = Loader::new(config, index, dtype)?;
        // The storage format is now fixed, whatever the files hold.
        let options = LoadOptions { dtype, weight_bytes_max: Some(u64::MAX), ..options };
        Ok(ModelLoader { description, weights, options })
    }

    /// What the model is besides its weights.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The names of the weight files, in the order in which they are expected.
    pub fn files(&self) -> &[String] {
        self.weights.files()
    }

    /// Takes the next bytes of the current weight file. Chunks may have any size.
    ///
    /// Errors: those of [`Loader::push`]; `OUT_OF_MEMORY` if a tied model turns out to have a head, and
    /// there is no room for it.
    pub fn push(&mut self, chunk: &[u8]) -> Result<()> {
        self.weights.push(chunk)?;
        let config = &mut self.description.config;
        if config.plan.tied && self.weights.has_own_head() {
            // The model is larger by its head than its config says.
            config.plan.tied = false;
            Estimate::of(config, &self.options).check(config, &self.options)?;
        }
        Ok(())
    }

    /// Ends the current weight file.
    ///
    /// Errors: `BAD_FILE` if it is cut short.
    pub fn end_file(&mut self) -> Result<()> {
        self.weights.end_file()
    }

    /// Returns the model, after the last file.
    ///
    /// Errors: `BAD_FILE` naming the tensor or the file that is missing.
    pub fn finish(self) -> Result<Model> {
        let ModelLoader { description, weights, options } = self;
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
        let mut loader = Model::loader(files, options)?;
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
