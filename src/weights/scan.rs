//! Reads the headers of weight files alone, to know what a model will take in memory before its download.
//!
//! Headers are a few hundred KB of files of gigabytes, and range requests fetch them. They give the dtype of
//! each tensor.

use super::checkpoint::Header;
use super::gguf::{Beginning, Metadata};
use super::head::Head;
use super::manifest::{Manifest, Target};
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::quant::Dtype;

/// Reads the headers of a model's weight files, in order.
#[derive(Debug)]
pub struct HeaderScan {
    manifest: Manifest,
    file: usize,
    /// The number of the first matrix so far that is stored as most are.
    first: usize,
    /// How that matrix will be stored; `None` before its header was read.
    pub stored: Option<Dtype>,
    /// Bytes of the files whose headers were read.
    pub file_bytes: u64,
    /// Bytes that their tensors take in memory.
    pub weight_bytes: u64,
    /// The number of weights in them.
    parameters: u64,
}

impl HeaderScan {
    /// A scan for the model of `config`. `dtype` is how matrices will be stored; `None`: in the format of
    /// the file.
    ///
    /// Errors: `BAD_FILE` if the index is broken or lacks a tensor.
    pub fn new(config: &ModelConfig, index: Option<&[u8]>, dtype: Option<Dtype>) -> Result<HeaderScan> {
        Ok(HeaderScan::of(Manifest::new(config, index, dtype)?))
    }

    /// A scan of weight files without an index, in this order.
    pub(crate) fn of_files(config: &ModelConfig, files: Vec<String>, dtype: Option<Dtype>) -> HeaderScan {
        HeaderScan::of(Manifest::of_files(config, files, dtype))
    }

    fn of(manifest: Manifest) -> HeaderScan {
        HeaderScan { manifest, file: 0, first: usize::MAX, stored: None, file_bytes: 0, weight_bytes: 0, parameters: 0 }
    }

    /// The weight files, in the order in which their headers are expected.
    pub fn files(&self) -> &[String] {
        &self.manifest.files
    }

    /// The tensors in the headers so far that the model does not read: `mtp.layers.*.norm.weight (2)`.
    pub fn unread_tensors(&self) -> Vec<String> {
        self.manifest.unread_tensors()
    }

    /// Takes the beginning of the next file. Returns how many bytes of it are needed. If that is more than
    /// were given, nothing was taken: call again with as many.
    ///
    /// Errors: `NOT_A_MODEL_FILE`, `BAD_FILE`, `UNSUPPORTED_MODEL`; `BAD_INPUT` after the last file.
    pub fn header(&mut self, head: &[u8]) -> Result<usize> {
        let Some(file) = self.manifest.files.get(self.file) else {
            let expected = format!("{} files", self.manifest.files.len());
            return Err(Error::BadInput { what: "header".into(), expected, got: "one more".into() });
        };
        let need = Head::bytes_needed(file, head)?;
        if need > head.len() {
            return Ok(need);
        }
        let mut bytes = Head::new();
        let mut rest = head;
        while !rest.is_empty() && !bytes.is_done() {
            rest = bytes.push(file, rest)?;
        }
        let (header, metadata) = bytes.finish(file)?;
        self.take(header, metadata.as_ref())?;
        Ok(need)
    }

    /// Takes the beginning of the first file, if the caller has read it.
    ///
    /// Errors: those of [`header`](Self::header).
    pub(crate) fn begin(&mut self, beginning: &Beginning) -> Result<()> {
        self.take(beginning.header.clone(), Some(&beginning.metadata))
    }

    /// Bytes that all tensors take in memory, as far as the headers so far tell: the others are taken to be
    /// stored alike.
    pub(crate) fn weight_bytes_of_all(&self) -> u64 {
        let all = self.manifest.plan().parameters().max(self.parameters);
        let bytes = u128::from(self.weight_bytes) * u128::from(all) / u128::from(self.parameters.max(1));
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    fn take(&mut self, header: Header, metadata: Option<&Metadata>) -> Result<()> {
        let end = header.end();
        let tensors = self.manifest.begin(self.file, header, metadata)?;
        // Only of tensors that nothing reads may a header say any size.
        self.file_bytes = self.file_bytes.saturating_add(end);
        for tensor in &tensors {
            self.weight_bytes += match tensor.target {
                // Whether a tied model has a different head shows only in the values, so its memory is
                // counted.
                Target::Matrix { number, format, rows, cols, .. } | Target::Twin { number, format, rows, cols, .. } => {
                    if number < self.first && self.manifest.is_plain(number) {
                        (self.first, self.stored) = (number, Some(format.dtype()));
                    }
                    self.parameters += rows as u64 * cols as u64;
                    format.matrix_bytes(rows, cols)
                }
                Target::Vector { len, .. } => {
                    self.parameters += len as u64;
                    4 * len as u64
                }
                Target::Packed(piece) if piece.has_scales() => {
                    if piece.number < self.first && self.manifest.is_plain(piece.number) {
                        (self.first, self.stored) = (piece.number, Some(piece.format().dtype()));
                    }
                    self.parameters += piece.rows as u64 * piece.cols as u64;
                    piece.format().matrix_bytes(piece.rows, piece.cols)
                }
                Target::Packed(_) | Target::Zero | Target::Skip => 0,
            };
        }
        self.file += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn files_that_claim_more_bytes_than_there_are_numbers_for_are_counted_all_the_same() {
        let config = br#"{"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":2,"hidden_size":2,"intermediate_size":2,
            "num_hidden_layers":1,"num_attention_heads":1,"tie_word_embeddings":true}"#;
        let config = ModelConfig::from_json(config).unwrap();
        // Two files, each with a tensor that no model reads, of a dtype without a known size and of 2^63
        // bytes.
        let skipped = |layer: usize| format!("model.layers.{layer}.self_attn.rotary_emb.inv_freq");
        let mut map: Vec<String> = config.plan.tensors().iter().map(|spec| format!("\"{}\":\"m-1.safetensors\"", spec.name)).collect();
        map.extend([1, 2].map(|file| format!("\"{}\":\"m-{file}.safetensors\"", skipped(file))));
        let mut scan = HeaderScan::new(&config, Some(format!("{{\"weight_map\":{{{}}}}}", map.join(",")).as_bytes()), None).unwrap();
        for file in [1, 2] {
            let (mut header, mut end) = (Vec::new(), 0);
            for spec in config.plan.tensors().into_iter().filter(|_| file == 1) {
                let start = end;
                end += 4 * spec.len();
                header.push(format!("\"{}\":{{\"dtype\":\"F32\",\"shape\":{:?},\"data_offsets\":[{start},{end}]}}", spec.name, spec.shape));
            }
            let data = format!("{{\"dtype\":\"F7\",\"shape\":[1],\"data_offsets\":[{end},{}]}}", 1u64 << 63);
            header.push(format!("\"{}\":{data}", skipped(file)));
            let header = format!("{{{}}}", header.join(","));
            let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
            assert_eq!(scan.header(&bytes), Ok(bytes.len()));
        }
        assert_eq!(scan.file_bytes, u64::MAX);
    }
}
