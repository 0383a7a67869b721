//! Reads the beginning of a GGUF file, in pieces of any size.
//!
//! ```text
//! "GGUF"  version  tensors  pairs                 u32 and u64, little-endian
//! pairs times:     key  type  value               a text is its length and its bytes
//! tensors times:   name  dims  shape  type  offset
//! ```
//!
//! How long the beginning is shows only at its end: a vocabulary of 262,144 tokens takes 10 MB. So each pair,
//! each element of a list and each tensor is read once, as soon as its bytes have come.
//!
//! Source: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>

use super::super::checkpoint::Header;
use super::super::{bad, reserve};
use super::layout::{self, Info};
use super::metadata::{Kind, Metadata, Numbers, Texts, Value, place};
use crate::error::{Error, Result};

/// The first bytes of every GGUF file.
pub(crate) const MAGIC: &[u8; 4] = b"GGUF";

/// The longest beginning that is read. The largest published vocabularies take 20 MB.
const HEADER_MAX: u64 = 64 << 20;
/// Published files have about 40.
const PAIRS_MAX: u64 = 4096;
/// Published files have at most some thousand.
const TENSORS_MAX: u64 = 1 << 16;
/// The most dimensions of a tensor, in GGUF.
const DIMS_MAX: u32 = 4;
/// The longest key and the longest name of a tensor, in bytes.
const NAME_MAX: u64 = 1024;

/// Bytes that are copied at a time, to be read.
const PIECE_BYTES: usize = 1 << 16;

/// The numbers of the two types that are no numbers.
const TEXT: u32 = 8;
const LIST: u32 = 9;

/// Reads the beginning of a file.
#[derive(Debug)]
pub(crate) struct Reader {
    /// Bytes that have come and are not read.
    rest: Vec<u8>,
    /// Bytes that were read.
    pos: u64,
    step: Step,
    /// Tensors and pairs that are still to come.
    tensors: u64,
    pairs: u64,
    metadata: Metadata,
    infos: Vec<Info>,
}

/// What comes next in the file.
#[derive(Debug)]
enum Step {
    Start,
    Pair,
    /// `left` more elements of a list.
    Texts {
        key: String,
        left: u64,
        texts: Texts,
    },
    Numbers {
        key: String,
        left: u64,
        numbers: Numbers,
    },
    Tensor,
    Done,
}

/// A place in the bytes that have come. A read that needs more bytes than there are returns `None`.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }
}

/// A step that was taken (`Some`), or that needs more bytes.
type Taken<T = ()> = Result<Option<T>>;

/// Returns from the function if more bytes are needed.
macro_rules! need {
    ($read:expr) => {
        match $read {
            Some(value) => value,
            None => return Ok(None),
        }
    };
}

impl Reader {
    /// A reader of the file of this name, from its first byte.
    pub(crate) fn new(file: &str) -> Reader {
        let (rest, infos) = (Vec::new(), Vec::new());
        Reader { rest, pos: 0, step: Step::Start, tensors: 0, pairs: 0, metadata: Metadata::new(file), infos }
    }

    /// Takes the next bytes, as far as they belong to the beginning. Returns how many it took.
    ///
    /// Errors: `BAD_FILE` with the key or the tensor; `UNSUPPORTED_MODEL` for another version;
    /// `OUT_OF_MEMORY`.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<usize> {
        let mut taken = 0;
        for piece in chunk.chunks(PIECE_BYTES) {
            if self.is_done() {
                break;
            }
            reserve(&mut self.rest, piece.len(), "the beginning of a GGUF file")?;
            self.rest.extend_from_slice(piece);
            taken += piece.len();
            self.read()?;
        }
        if self.is_done() {
            // What is left came with the last piece.
            taken -= self.rest.len();
            self.rest.clear();
        } else if self.come() > HEADER_MAX {
            return Err(self.bad("the header", &format!("at most {HEADER_MAX} bytes"), format!("{} bytes of it", self.come())));
        }
        Ok(taken)
    }

    /// Takes every step that the bytes suffice for.
    fn read(&mut self) -> Result<()> {
        let rest = std::mem::take(&mut self.rest);
        let mut cursor = Cursor { bytes: &rest, at: 0 };
        loop {
            let before = cursor.at;
            if self.is_done() || self.take(&mut cursor)?.is_none() {
                cursor.at = before;
                break;
            }
        }
        let read = cursor.at;
        self.pos += read as u64;
        self.rest = rest;
        self.rest.drain(..read);
        Ok(())
    }

    /// Whether the beginning is complete.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.step, Step::Done)
    }

    /// Bytes of the file that have come.
    fn come(&self) -> u64 {
        self.pos + self.rest.len() as u64
    }

    /// How many bytes of the file to ask for, of which `come` were given: at least twice as many, so that
    /// reading a beginning again and again takes linear time. `come` if the beginning is complete.
    pub(crate) fn bytes_wanted(&self, come: usize) -> usize {
        if self.is_done() {
            return come;
        }
        usize::try_from(self.bytes_needed()).unwrap_or(usize::MAX).max(come.saturating_mul(2))
    }

    /// How many bytes of the file are surely needed, counted from its first.
    fn bytes_needed(&self) -> u64 {
        let least = match &self.step {
            Step::Texts { left, .. } => left.saturating_mul(8),
            Step::Numbers { left, numbers, .. } => left.saturating_mul(numbers.kind.bytes() as u64),
            Step::Start | Step::Pair | Step::Tensor | Step::Done => 0,
        };
        self.pos.saturating_add(least).max(self.come() + 1)
    }

    /// What the beginning says.
    ///
    /// Errors: `BAD_FILE` if the beginning is cut short, or says something that cannot be.
    pub(crate) fn finish(self) -> Result<(Metadata, Header)> {
        if !self.is_done() {
            return Err(self.bad("the whole file", "a complete GGUF header", format!("{} bytes of it", self.come())));
        }
        let header = layout::header(&self.metadata, self.infos, self.pos)?;
        Ok((self.metadata, header))
    }

    fn bad(&self, at: &str, expected: &str, got: String) -> Error {
        bad(self.metadata.file(), at, expected, got)
    }

    fn take(&mut self, cursor: &mut Cursor) -> Taken {
        match &mut self.step {
            Step::Start => return self.start(cursor),
            Step::Pair => return self.pair(cursor),
            Step::Tensor => return self.tensor(cursor),
            Step::Texts { left: left @ 1.., texts, key } => {
                let number = texts.len();
                let text = need!(text(cursor, HEADER_MAX).map_err(|fault| {
                    let at = format!("{}, entry {number}", place(key));
                    bad(self.metadata.file(), &at, fault.expected, fault.got)
                })?);
                *left -= 1;
                texts.all.push_str(text);
                texts.ends.push(texts.all.len() as u32);
            }
            Step::Numbers { left: left @ 1.., numbers, .. } => {
                let size = numbers.kind.bytes();
                let here = ((cursor.bytes.len() - cursor.at) / size).min(usize::try_from(*left).unwrap_or(usize::MAX));
                if here == 0 {
                    return Ok(None);
                }
                *left -= here as u64;
                numbers.bytes.extend_from_slice(need!(cursor.take(here * size)));
            }
            Step::Texts { .. } | Step::Numbers { .. } | Step::Done => {}
        }
        match std::mem::replace(&mut self.step, Step::Pair) {
            Step::Texts { left: 0, key, texts } => self.add(key, Value::Texts(texts))?,
            Step::Numbers { left: 0, key, numbers } => self.add(key, Value::Numbers(numbers))?,
            unfinished => self.step = unfinished,
        }
        Ok(Some(()))
    }

    fn start(&mut self, cursor: &mut Cursor) -> Taken {
        let magic = need!(cursor.take(4));
        if magic != MAGIC {
            return Err(self.bad("bytes 0 to 3", "the letters GGUF", format!("{magic:02x?}")));
        }
        let version = need!(cursor.u32());
        if !(2..=3).contains(&version) {
            let big = version.swap_bytes();
            let got = if (1..=9).contains(&big) { format!("{big}, big-endian") } else { version.to_string() };
            return Err(Error::UnsupportedModel {
                file: self.metadata.file().into(),
                field: "the version of GGUF".into(),
                expected: "2, 3".into(),
                got,
            });
        }
        let (tensors, pairs) = (need!(cursor.u64()), need!(cursor.u64()));
        for (what, count, max) in [("tensors", tensors, TENSORS_MAX), ("pairs of metadata", pairs, PAIRS_MAX)] {
            if count > max {
                return Err(self.bad(&format!("the number of {what}"), &format!("at most {max}"), count.to_string()));
            }
        }
        (self.tensors, self.pairs) = (tensors, pairs);
        self.step = Step::Pair;
        self.skip_what_is_done();
        Ok(Some(()))
    }

    fn skip_what_is_done(&mut self) {
        self.step = match (self.pairs, self.tensors) {
            (0, 0) => Step::Done,
            (0, _) => Step::Tensor,
            _ => Step::Pair,
        };
    }

    fn pair(&mut self, cursor: &mut Cursor) -> Taken {
        let number = self.metadata.iter().count();
        let key = need!(text(cursor, NAME_MAX).map_err(|fault| self.bad(&format!("key {number}"), fault.expected, fault.got))?);
        let kind = need!(cursor.u32());
        if self.metadata.get(key).is_some() {
            return Err(self.bad(&place(key), "one value", "two".into()));
        }
        let key = key.to_owned();
        let value = match kind {
            TEXT => {
                let text = text(cursor, HEADER_MAX).map_err(|fault| self.bad(&place(&key), fault.expected, fault.got))?;
                Value::Text(need!(text).to_owned())
            }
            LIST => {
                let (kind, left) = (need!(cursor.u32()), need!(cursor.u64()));
                let size = Kind::of(kind).map_or(8, |kind| kind.bytes() as u64);
                if left.saturating_mul(size) > HEADER_MAX {
                    return Err(self.bad(&place(&key), &format!("a list of at most {HEADER_MAX} bytes"), format!("one of {left} entries")));
                }
                self.step = match (kind, Kind::of(kind)) {
                    (TEXT, _) => Step::Texts { key, left, texts: Texts::default() },
                    (_, Some(kind)) => Step::Numbers { key, left, numbers: Numbers { kind, bytes: Vec::new() } },
                    (LIST, _) => return Err(self.bad(&place(&key), "a list of numbers or texts", "a list of lists".into())),
                    _ => return Err(self.bad(&place(&key), "a list of a known type", format!("one of type {kind}"))),
                };
                return Ok(Some(()));
            }
            _ => match Kind::of(kind) {
                Some(kind) => kind.value(need!(cursor.take(kind.bytes()))),
                None => return Err(self.bad(&place(&key), "a value of a known type", format!("one of type {kind}"))),
            },
        };
        self.add(key, value)?;
        Ok(Some(()))
    }

    fn add(&mut self, key: String, value: Value) -> Result<()> {
        self.metadata.insert(key, value);
        self.pairs -= 1;
        self.skip_what_is_done();
        Ok(())
    }

    fn tensor(&mut self, cursor: &mut Cursor) -> Taken {
        let number = self.infos.len();
        let name = need!(text(cursor, NAME_MAX).map_err(|fault| self.bad(&format!("tensor {number}"), fault.expected, fault.got))?);
        let dims = need!(cursor.u32());
        if !(1..=DIMS_MAX).contains(&dims) {
            return Err(self.bad(&format!("tensor {name}"), &format!("1 to {DIMS_MAX} dimensions"), dims.to_string()));
        }
        let mut shape = [1; DIMS_MAX as usize];
        for dim in &mut shape[..dims as usize] {
            *dim = need!(cursor.u64());
        }
        // The file has the width of a row first.
        let shape = &mut shape[..dims as usize];
        shape.reverse();
        let (kind, offset) = (need!(cursor.u32()), need!(cursor.u64()));
        self.infos.push(Info { name: name.to_owned(), shape: (&*shape).into(), kind, offset });
        self.tensors -= 1;
        self.skip_what_is_done();
        Ok(Some(()))
    }
}

/// What is wrong with a text.
struct Fault {
    expected: &'static str,
    got: String,
}

/// A text of at most `max` bytes.
fn text<'a>(cursor: &mut Cursor<'a>, max: u64) -> Result<Option<&'a str>, Fault> {
    let Some(len) = cursor.u64() else { return Ok(None) };
    if len > max {
        return Err(Fault { expected: "a text that ends within the header", got: format!("one of {len} bytes") });
    }
    let Some(bytes) = cursor.take(len as usize) else { return Ok(None) };
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(error) => {
            let at = error.valid_up_to();
            Err(Fault { expected: "UTF-8 text", got: format!("the byte 0x{:02x} at place {at} of it", bytes[at]) })
        }
    }
}
