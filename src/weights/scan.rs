//! Reads the headers of weight files alone, to know what a model will take in memory before its download.
//!
//! Headers are a few hundred KB of files of gigabytes, and range requests fetch them. They give the dtype of
//! each tensor.

use super::manifest::{Manifest, Target};
use super::safetensors;
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
}

impl HeaderScan {
    /// A scan for the model of `config`. `dtype` is how matrices will be stored; `None`: in the format of
    /// the file.
    ///
    /// Errors: `BAD_FILE` if the index is broken or lacks a tensor.
    pub fn new(config: &ModelConfig, index: Option<&[u8]>, dtype: Option<Dtype>) -> Result<HeaderScan> {
        Ok(HeaderScan {
            manifest: Manifest::new(config, index, dtype)?,
            file: 0,
            first: usize::MAX,
            stored: None,
            file_bytes: 0,
            weight_bytes: 0,
        })
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
        let need = safetensors::header_bytes(head);
        if need > head.len() {
            return Ok(need);
        }
        let header = safetensors::read(file, head)?;
        let tensors = self.manifest.tensors(self.file, header)?;
        // Only of tensors that nothing reads may a header say any size.
        self.file_bytes = self.file_bytes.saturating_add(tensors.back().map_or(need as u64, |last| last.end));
        for tensor in &tensors {
            self.weight_bytes += match tensor.target {
                // Whether a tied model has a different head shows only in the values, so its memory is
                // counted.
                Target::Matrix { number, format, rows, cols, .. } | Target::Twin { number, format, rows, cols, .. } => {
                    if number < self.first && self.manifest.is_plain(number) {
                        (self.first, self.stored) = (number, Some(format.dtype()));
                    }
                    format.matrix_bytes(rows, cols)
                }
                Target::Vector { len, .. } => 4 * len as u64,
                Target::Zero | Target::Skip => 0,
            };
        }
        self.file += 1;
        Ok(need)
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
