//! Reads the beginning of a GGUF file: the tensors of a model, and all that describes it.
//!
//! One file is a whole model. Its metadata says what `config.json`, `tokenizer.json` and
//! `tokenizer_config.json` say in the layout of Hugging Face. Here the metadata becomes these files, so that
//! every check of them holds for GGUF as well.
//!
//! ```text
//! reader.rs    the first bytes, in pieces  -> metadata.rs, layout.rs (tensors)
//! names.rs     architectures, and their names of tensors
//! config.rs    metadata -> config.json
//! vocabulary.rs, tokenizer.rs, pre.rs, merges.rs   metadata -> tokenizer.json, tokenizer_config.json
//! parts.rs     the files of a model that is split
//! types.rs     the number formats
//! ```

mod config;
mod layout;
mod merges;
mod metadata;
mod names;
mod parts;
mod pre;
mod reader;
#[cfg(all(test, not(target_family = "wasm")))]
pub(crate) mod real;
mod tokenizer;
mod types;
mod vocabulary;

use crate::config::ModelConfig;
use crate::error::{Error, Result};

use super::checkpoint::Header;
pub(super) use metadata::Metadata;
pub(super) use names::{Naming, in_file};
pub(super) use parts::check as check_part;
pub(crate) use parts::files;
pub(crate) use reader::{MAGIC, Reader};
pub(super) use types::supported as supported_types;

/// The complete beginning of a GGUF file.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(super) metadata: Metadata,
    pub(super) header: Header,
}

impl Beginning {
    /// Errors: those of [`Reader::finish`].
    pub(crate) fn of(reader: Reader) -> Result<Beginning> {
        let (metadata, header) = reader.finish()?;
        Ok(Beginning { metadata, header })
    }

    /// What the file says in place of `config.json`.
    ///
    /// Errors: `BAD_FILE` and `UNSUPPORTED_MODEL` with the key.
    pub(crate) fn config_json(&self) -> Result<Vec<u8>> {
        config::config(&self.metadata, &self.header)
    }

    /// The config of the file.
    ///
    /// Errors: those of [`config_json`](Self::config_json).
    pub(crate) fn config(&self) -> Result<ModelConfig> {
        ModelConfig::from_json(&self.config_json()?).map_err(|error| self.in_words(error))
    }

    /// What the file says in place of `tokenizer.json`.
    ///
    /// Errors: `BAD_FILE` and `UNSUPPORTED_MODEL` with the key.
    pub(crate) fn tokenizer_json(&self) -> Result<Vec<u8>> {
        tokenizer::json(&self.metadata)
    }

    /// What the file says in place of `tokenizer_config.json`.
    ///
    /// Errors: `BAD_FILE` with the key.
    pub(crate) fn tokenizer_config_json(&self) -> Result<Vec<u8>> {
        tokenizer::config(&self.metadata)
    }

    /// An error about a file that was made of the metadata, with the names of the metadata.
    pub(crate) fn in_words(&self, error: Error) -> Error {
        config::in_words_of(&self.metadata, error)
    }
}
