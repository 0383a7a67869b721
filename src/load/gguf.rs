//! The start of loading a GGUF model: its beginning describes the model, except for what the caller gives.

use super::ModelFiles;
use crate::config::{GenerationConfig, ModelConfig};
use crate::error::{Error, Result};
use crate::estimate::Estimate;
use crate::model::Description;
use crate::options::LoadOptions;
use crate::sniff::{Expected, SNIFF_BYTES, sniff};
use crate::template::ChatTemplate;
use crate::text::TokenizerConfig;
use crate::tokenizer::Tokenizer;
use crate::weights::{Beginning, HeaderScan, Loader, MAGIC, Reader, gguf_files, is_safetensors};

/// A GGUF model whose beginning is still arriving.
pub(super) struct Start {
    pub(super) files: Vec<String>,
    given: Given,
    read: Read,
}

/// The bytes of the beginning that have come.
enum Read {
    /// Too few to say what the file is.
    First(Vec<u8>),
    Gguf(Box<Reader>),
}

/// The files that the caller gives, which go before what a GGUF file says.
#[derive(Default)]
struct Given {
    config: Option<Vec<u8>>,
    tokenizer: Option<Vec<u8>>,
    tokenizer_config: Option<Vec<u8>>,
    generation_config: Option<Vec<u8>>,
    special_tokens_map: Option<Vec<u8>>,
    added_tokens: Option<Vec<u8>>,
    chat_template: Option<Vec<u8>>,
}

impl Given {
    /// An empty file counts as none.
    fn of(files: &ModelFiles) -> Given {
        let own = |file: Option<&[u8]>| file.filter(|bytes| !bytes.is_empty()).map(<[u8]>::to_vec);
        Given {
            config: own(Some(files.config)),
            tokenizer: own(Some(files.tokenizer)),
            tokenizer_config: own(files.tokenizer_config),
            generation_config: own(files.generation_config),
            special_tokens_map: own(files.special_tokens_map),
            added_tokens: own(files.added_tokens),
            chat_template: own(files.chat_template),
        }
    }

    /// Describes the model of a GGUF file.
    fn describe(&self, beginning: &Beginning) -> Result<Description> {
        let in_words = |error| beginning.in_words(error);
        let (config_json, config) = match &self.config {
            Some(given) => (given.clone(), ModelConfig::from_json(given)?),
            None => {
                let made = beginning.config_json()?;
                let config = ModelConfig::from_json(&made).map_err(in_words)?;
                (made, config)
            }
        };
        let generation = GenerationConfig::from_files(self.generation_config.as_deref(), &config_json).within(config.plan.vocab);
        let (map, added) = (self.special_tokens_map.as_deref(), self.added_tokens.as_deref());
        let tokens = match &self.tokenizer_config {
            Some(given) => TokenizerConfig::from_files(Some(given), map, added)?,
            None => TokenizerConfig::from_files(Some(&beginning.tokenizer_config_json()?), map, added).map_err(in_words)?,
        };
        let tokenizer = match &self.tokenizer {
            Some(given) => Tokenizer::new(given, &tokens)?,
            None => Tokenizer::new(&beginning.tokenizer_json()?, &tokens).map_err(in_words)?,
        };
        let template = ChatTemplate::new(&tokens, self.chat_template.as_deref())?;
        Ok(Description { config, tokenizer, template, generation })
    }

    /// Describes the model of a safetensors file, which the caller took for GGUF.
    fn describe_alone(&self, file: &str) -> Result<Description> {
        let (Some(config), Some(tokenizer)) = (&self.config, &self.tokenizer) else { return Err(needs_files(file)) };
        let files = ModelFiles {
            config,
            tokenizer,
            tokenizer_config: self.tokenizer_config.as_deref(),
            generation_config: self.generation_config.as_deref(),
            special_tokens_map: self.special_tokens_map.as_deref(),
            added_tokens: self.added_tokens.as_deref(),
            chat_template: self.chat_template.as_deref(),
            index: None,
        };
        files.describe()
    }
}

/// What was found at the beginning of a file.
pub(super) struct Started {
    pub(super) description: Description,
    pub(super) weights: Loader,
    /// With the storage format fixed.
    pub(super) options: LoadOptions,
    /// Bytes of the data that came with the beginning.
    pub(super) rest: Vec<u8>,
}

impl Start {
    /// Errors: `BAD_INPUT` if `name` is that of a part which is not the first.
    pub(super) fn new(name: &str, files: &ModelFiles) -> Result<Start> {
        Ok(Start { files: gguf_files(name)?, given: Given::of(files), read: Read::First(Vec::new()) })
    }

    /// Takes the next bytes of the first file, as far as they belong to the beginning. Returns how many it
    /// took.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<usize> {
        match &mut self.read {
            Read::Gguf(reader) => reader.push(chunk),
            Read::First(first) => {
                let taken = chunk.len().min(SNIFF_BYTES - first.len());
                first.extend_from_slice(&chunk[..taken]);
                if first.starts_with(MAGIC) {
                    let mut reader = Reader::new(&self.files[0]);
                    // The bytes before this chunk were too few to say what the file is, so no beginning ends
                    // in them.
                    let before = first.len() - taken;
                    let read = reader.push(first)?;
                    self.read = Read::Gguf(Box::new(reader));
                    return Ok(read - before);
                }
                Ok(taken)
            }
        }
    }

    /// Moves what has come out of this start.
    pub(super) fn take(&mut self) -> Start {
        let read = std::mem::replace(&mut self.read, Read::First(Vec::new()));
        Start { files: self.files.clone(), given: std::mem::take(&mut self.given), read }
    }

    /// Whether the beginning is complete.
    pub(super) fn is_done(&self) -> bool {
        match &self.read {
            Read::Gguf(reader) => reader.is_done(),
            Read::First(first) => is_safetensors(first) || first.len() == SNIFF_BYTES,
        }
    }

    /// Describes the model, and makes the loader of its weights.
    ///
    /// Errors: `NOT_A_MODEL_FILE`, `BAD_FILE`, `UNSUPPORTED_MODEL`, `BAD_TOKENIZER`, `OUT_OF_MEMORY`.
    pub(super) fn finish(self, mut options: LoadOptions) -> Result<Started> {
        let Start { files, given, read } = self;
        match read {
            Read::Gguf(reader) => {
                let beginning = Beginning::of(*reader)?;
                let mut description = given.describe(&beginning)?;
                let config = &mut description.config;
                let scan = scan(config, &files, &beginning, &mut options)?;
                Estimate::of_scan(config, &options, &scan).check(config, &options)?;
                let mut weights = Loader::of_files(&description.config, files, options.dtype);
                weights.begin(beginning)?;
                Ok(Started { description, weights, options, rest: Vec::new() })
            }
            Read::First(rest) if is_safetensors(&rest) => {
                let description = given.describe_alone(&files[0])?;
                let options = super::settle(&description.config, options)?;
                let weights = Loader::of_files(&description.config, files, options.dtype);
                Ok(Started { description, weights, options, rest })
            }
            Read::First(first) => Err(foreign(&files[0], &first)),
        }
    }
}

/// Scans the beginning of a model, and fixes its storage format in the options.
///
/// Errors: those of the beginning's tensors.
fn scan(config: &mut ModelConfig, files: &[String], beginning: &Beginning, options: &mut LoadOptions) -> Result<HeaderScan> {
    let mut scan = HeaderScan::of_files(config, files.to_vec(), options.dtype);
    scan.begin(beginning)?;
    config.dtype = scan.stored;
    let dtype = options.storage_of(config, scan.weight_bytes_of_all());
    if dtype != options.dtype {
        scan = HeaderScan::of_files(config, files.to_vec(), dtype);
        scan.begin(beginning)?;
    }
    *options = LoadOptions { dtype, weight_bytes_max: Some(u64::MAX), ..std::mem::take(options) };
    Ok(scan)
}

/// The scan of a GGUF model's headers, before any of its files is described.
#[derive(Debug)]
pub struct GgufScan {
    files: Vec<String>,
    config: Option<Vec<u8>>,
    options: LoadOptions,
    /// The config and the scan, once the beginning of the first file has come.
    begun: Option<(ModelConfig, HeaderScan)>,
}

impl GgufScan {
    /// A scan of the model whose first file has this name. `config`: a config.json that goes before what the
    /// file says.
    ///
    /// Errors: `BAD_INPUT` for a part that is not the first.
    pub fn new(name: &str, config: Option<&[u8]>, options: LoadOptions) -> Result<GgufScan> {
        let config = config.filter(|bytes| !bytes.is_empty()).map(<[u8]>::to_vec);
        Ok(GgufScan { files: gguf_files(name)?, config, options, begun: None })
    }

    /// The weight files, in the order in which their headers are expected.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// Takes the beginning of the next file, as [`HeaderScan::header`].
    ///
    /// Errors: those of [`HeaderScan::header`], and of the config.
    pub fn header(&mut self, head: &[u8]) -> Result<usize> {
        if let Some((_, scan)) = &mut self.begun {
            return scan.header(head);
        }
        if !head.starts_with(MAGIC) {
            if head.len() < SNIFF_BYTES && !is_safetensors(head) {
                return Ok(SNIFF_BYTES);
            }
            let (true, Some(config)) = (is_safetensors(head), &self.config) else { return Err(foreign(&self.files[0], head)) };
            let config = ModelConfig::from_json(config)?;
            let mut scan = HeaderScan::of_files(&config, self.files.clone(), self.options.storage(&config));
            let need = scan.header(head)?;
            if need <= head.len() {
                self.begun = Some((config, scan));
            }
            return Ok(need);
        }
        let mut reader = Reader::new(&self.files[0]);
        reader.push(head)?;
        if !reader.is_done() {
            return Ok(reader.bytes_wanted(head.len()));
        }
        let beginning = Beginning::of(reader)?;
        let mut config = match &self.config {
            Some(given) => ModelConfig::from_json(given)?,
            None => beginning.config()?,
        };
        let scan = scan(&mut config, &self.files, &beginning, &mut self.options)?;
        self.begun = Some((config, scan));
        Ok(head.len())
    }

    /// The config, the options with the storage format fixed, and the scan.
    ///
    /// Errors: `BAD_INPUT` if no header was taken.
    pub fn finish(self) -> Result<(ModelConfig, LoadOptions, HeaderScan)> {
        match self.begun {
            Some((config, scan)) => Ok((config, self.options, scan)),
            None => Err(Error::BadInput { what: "header".into(), expected: format!("that of {}", self.files[0]), got: "nothing".into() }),
        }
    }
}

/// The tokenizer of a GGUF file of any architecture, from the file's beginning.
///
/// Errors: `BAD_FILE` and `UNSUPPORTED_MODEL` with the key.
pub fn gguf_tokenizer(name: &str, file: &[u8]) -> Result<Tokenizer> {
    let mut reader = Reader::new(name);
    reader.push(file)?;
    let beginning = Beginning::of(reader)?;
    let in_words = |error| beginning.in_words(error);
    let tokens = TokenizerConfig::from_files(Some(&beginning.tokenizer_config_json()?), None, None).map_err(in_words)?;
    Tokenizer::new(&beginning.tokenizer_json()?, &tokens).map_err(in_words)
}

/// The error for a file that is no GGUF file.
fn foreign(file: &str, first: &[u8]) -> Error {
    if is_safetensors(first) {
        return needs_files(file);
    }
    sniff(file, first, Expected::Gguf).err().unwrap_or_else(|| {
        let got = first.iter().take(4).map(|byte| format!("0x{byte:02x}")).collect::<Vec<_>>().join(" ");
        Error::BadFile { file: file.into(), at: "bytes 0 to 3".into(), expected: "the letters GGUF".into(), got }
    })
}

fn needs_files(file: &str) -> Error {
    Error::NotAModelFile {
        file: file.into(),
        found: "a safetensors file".into(),
        remedy: "Load it with the config.json and the tokenizer.json that are published beside it.".into(),
    }
}
