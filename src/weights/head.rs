//! The beginning of a weight file of either format. The file itself says which it is.

use super::checkpoint::Header;
use super::gguf::{Beginning, MAGIC, Metadata, Reader};
use super::{reserve, safetensors};
use crate::error::Result;

/// The bytes of the beginning that have come.
#[derive(Debug)]
pub(super) enum Head {
    Safetensors(Vec<u8>),
    Gguf(Box<Reader>),
}

impl Head {
    pub(super) fn new() -> Head {
        Head::Safetensors(Vec::new())
    }

    /// A GGUF file's beginning, or what may become that of a safetensors file.
    fn decide(&mut self, file: &str) -> Result<()> {
        if let Head::Safetensors(bytes) = self
            && bytes.starts_with(MAGIC)
        {
            let mut reader = Reader::new(file);
            reader.push(bytes)?;
            *self = Head::Gguf(Box::new(reader));
        }
        Ok(())
    }

    /// Takes the next bytes of `file`, as far as they belong to the beginning. Returns the rest.
    ///
    /// Errors: those of [`Reader::push`]; `OUT_OF_MEMORY`.
    pub(super) fn push<'a>(&mut self, file: &str, chunk: &'a [u8]) -> Result<&'a [u8]> {
        match self {
            Head::Gguf(reader) => {
                let taken = reader.push(chunk)?;
                Ok(&chunk[taken..])
            }
            Head::Safetensors(head) => {
                let wanted = safetensors::header_bytes(head) - head.len();
                let (now, rest) = chunk.split_at(chunk.len().min(wanted));
                if head.capacity() - head.len() < now.len() {
                    reserve(head, wanted, "a header of weights")?;
                }
                head.extend_from_slice(now);
                self.decide(file)?;
                Ok(rest)
            }
        }
    }

    /// Whether [`finish`](Self::finish) can be called before the file ends.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Head::Gguf(reader) => reader.is_done(),
            Head::Safetensors(head) => head.len() == safetensors::header_bytes(head),
        }
    }

    /// How many bytes of the file are needed, if it begins with `head`. Never fewer than `head` has.
    pub(super) fn bytes_needed(file: &str, head: &[u8]) -> Result<usize> {
        if !head.starts_with(MAGIC) {
            return Ok(safetensors::header_bytes(head));
        }
        let mut reader = Reader::new(file);
        reader.push(head)?;
        Ok(reader.bytes_wanted(head.len()))
    }

    /// The header, and the metadata of a GGUF file.
    ///
    /// Errors: `NOT_A_MODEL_FILE`, `BAD_FILE`.
    pub(super) fn finish(self, file: &str) -> Result<(Header, Option<Metadata>)> {
        match self {
            Head::Gguf(reader) => {
                let Beginning { metadata, header } = Beginning::of(*reader)?;
                Ok((header, Some(metadata)))
            }
            Head::Safetensors(head) => Ok((safetensors::read(file, &head)?, None)),
        }
    }
}
