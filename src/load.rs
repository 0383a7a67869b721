//! Loading: the files of a model folder become a [`Model`], checked against each other on the way.
//!
//! The small files come first and are checked before a byte of weights is asked for; the weights come in chunks.

use serde_json::Value;

use crate::config::{GenerationConfig, ModelConfig};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::options::not_an_object;
use crate::quant::Dtype;
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;
use crate::weights::Loader;

/// The small files of a model folder, as bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct ModelFiles<'a> {
    /// `config.json`.
    pub config: &'a [u8],
    /// `tokenizer.json`.
    pub tokenizer: &'a [u8],
    /// `tokenizer_config.json`, where the chat template usually is.
    pub tokenizer_config: Option<&'a [u8]>,
    /// `generation_config.json`: defaults for sampling and further tokens that end a text.
    pub generation_config: Option<&'a [u8]>,
    /// `chat_template.jinja`; goes before the one in `tokenizer_config.json`.
    pub chat_template: Option<&'a str>,
    /// `model.safetensors.index.json`, where the weights are in several files.
    pub index: Option<&'a [u8]>,
}

impl<'a> ModelFiles<'a> {
    /// The two files that every model needs.
    pub fn new(config: &'a [u8], tokenizer: &'a [u8]) -> ModelFiles<'a> {
        ModelFiles { config, tokenizer, ..ModelFiles::default() }
    }
}

/// How a model is to be loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LoadOptions {
    /// The storage format of the weights; `None` keeps that of the files.
    pub dtype: Option<Dtype>,
}

impl LoadOptions {
    /// Reads `{"dtype": "auto" | "f32" | "f16" | "bf16"}`; `null` is as good as absent.
    ///
    /// Errors: `BAD_OPTION` for anything else.
    pub fn from_json(value: &Value) -> Result<LoadOptions> {
        let mut options = LoadOptions::default();
        let Value::Object(object) = value else { return if value.is_null() { Ok(options) } else { Err(not_an_object(value)) } };
        for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
            let bad = |expected: &str, got: String| Error::BadOption { option: name.clone(), expected: expected.into(), got };
            match (name.as_str(), value.as_str()) {
                ("dtype", Some("auto")) => options.dtype = None,
                ("dtype", Some(dtype)) if dtype.parse::<Dtype>().is_ok() => options.dtype = dtype.parse().ok(),
                ("dtype", _) => return Err(bad("one of auto, f32, f16, bf16", value.to_string())),
                _ => return Err(bad("one of dtype", "an unknown name".into())),
            }
        }
        Ok(options)
    }
}

/// A model whose weights are still arriving.
pub struct ModelLoader {
    config: ModelConfig,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    generation: GenerationConfig,
    weights: Loader,
}

impl ModelLoader {
    /// The shape of the model, known before its weights.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The model's chat template.
    pub fn template(&self) -> &ChatTemplate {
        &self.template
    }

    /// The defaults of its publisher.
    pub fn generation(&self) -> &GenerationConfig {
        &self.generation
    }

    /// The names of the weight files, in the order in which they are expected.
    pub fn files(&self) -> &[String] {
        self.weights.files()
    }

    /// Takes the next bytes of the present weight file; chunks may have any size.
    ///
    /// Errors: those of [`Loader::push`].
    pub fn push(&mut self, chunk: &[u8]) -> Result<()> {
        self.weights.push(chunk)
    }

    /// The present weight file has been pushed whole.
    ///
    /// Errors: `BAD_FILE` if it was not whole.
    pub fn end_file(&mut self) -> Result<()> {
        self.weights.end_file()
    }

    /// All files have ended: the model.
    ///
    /// Errors: `BAD_FILE` naming the tensor or the file that is missing.
    pub fn finish(self) -> Result<Model> {
        let ModelLoader { config, tokenizer, template, generation, weights } = self;
        Ok(Model { weights: weights.finish()?, config, tokenizer, template, generation })
    }
}

impl Model {
    /// Starts to load a model: reads and checks the small files, and expects the weights of [`ModelLoader::files`].
    ///
    /// Errors: `NOT_A_MODEL_FILE`, `BAD_FILE`, `UNSUPPORTED_MODEL`, `BAD_TOKENIZER`, `BAD_TEMPLATE`, `OUT_OF_MEMORY`.
    pub fn loader(files: &ModelFiles, options: LoadOptions) -> Result<ModelLoader> {
        let config = ModelConfig::from_json(files.config)?;
        let generation = files.generation_config.map(GenerationConfig::from_json).transpose()?.unwrap_or_default();
        let tokenizer = Tokenizer::from_bytes(files.tokenizer, files.tokenizer_config)?;
        if tokenizer.vocab() > config.vocab {
            return Err(Error::BadFile {
                file: "config.json".into(),
                at: "vocab_size".into(),
                expected: format!("at least {}, to hold every token of tokenizer.json", tokenizer.vocab()),
                got: config.vocab.to_string(),
            });
        }
        let template = ChatTemplate::from_files(files.tokenizer_config, files.chat_template)?;
        let weights = Loader::new(&config, files.index, options.dtype)?;
        Ok(ModelLoader { config, tokenizer, template, generation, weights })
    }

    /// Loads a model from bytes that are all there: the small files, and each file of weights in order.
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
