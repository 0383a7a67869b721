//! What JavaScript asks about files before a model is loaded: their checksums, and what the model would
//! take.

use serde::Serialize;
use sha2::{Digest, Sha256};
use tsify::Tsify;
use wasm_bindgen::prelude::*;

use super::convert::{OwnedFiles, Result, load_options, to_error, to_js};
use crate::config::ModelConfig;
use crate::error::Error;
use crate::estimate::Estimate;
use crate::load::GgufScan;
use crate::options::LoadOptions;
use crate::weights::HeaderScan;

/// The SHA-256 of bytes that come in pieces. Browsers compute it only of bytes that are all there.
#[wasm_bindgen(js_name = Sha256)]
#[derive(Default)]
pub struct JsSha256(Sha256);

#[wasm_bindgen(js_class = Sha256)]
impl JsSha256 {
    /// The SHA-256 of no bytes so far.
    #[wasm_bindgen(constructor)]
    pub fn new() -> JsSha256 {
        JsSha256::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all of them, as 64 hexadecimal digits. The object is used up.
    pub fn digest(self) -> String {
        format!("{:x}", self.0.finalize())
    }
}

/// Estimates what a model would take, from its config and the headers of its weight files.
#[wasm_bindgen(js_name = Estimator)]
pub struct JsEstimator(Scan);

/// The headers so far: of a model with a config, or of a GGUF model, which describes itself.
enum Scan {
    Described { config: Box<ModelConfig>, options: LoadOptions, scan: Box<HeaderScan> },
    Gguf(Box<GgufScan>),
}

#[wasm_bindgen(js_class = Estimator)]
impl JsEstimator {
    /// Reads and checks `{config, index?}`.
    #[wasm_bindgen(constructor)]
    pub fn new(
        #[wasm_bindgen(unchecked_param_type = "Pick<SmallFiles, 'config' | 'index'>")] files: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "StorageOptions")] options: JsValue,
    ) -> Result<JsEstimator> {
        let options = load_options(&options)?;
        let files = OwnedFiles::read_alone(&files)?;
        let files = files.borrow();
        let config = ModelConfig::from_json(files.config).map_err(to_error)?;
        let scan = HeaderScan::new(&config, files.index, options.storage(&config)).map_err(to_error)?;
        Ok(JsEstimator(Scan::Described { config: Box::new(config), options, scan: Box::new(scan) }))
    }

    /// An estimator for a GGUF file, or for all its parts: `name` is that of the first. `files` may be
    /// empty, or have a config that goes before that of the file. [`header`](Self::header) may ask several
    /// times for more, for at least twice as much each time.
    pub fn gguf(
        name: &str,
        #[wasm_bindgen(unchecked_param_type = "Partial<SmallFiles>")] files: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "StorageOptions")] options: JsValue,
    ) -> Result<JsEstimator> {
        let (options, files) = (load_options(&options)?, OwnedFiles::read_alone(&files)?);
        GgufScan::new(name, Some(files.borrow().config), options).map(|scan| JsEstimator(Scan::Gguf(Box::new(scan)))).map_err(to_error)
    }

    /// The names of the weight files, in the order in which their headers are expected.
    pub fn files(&self) -> Vec<String> {
        match &self.0 {
            Scan::Described { scan, .. } => scan.files().to_vec(),
            Scan::Gguf(scan) => scan.files().to_vec(),
        }
    }

    /// Takes the first bytes of the next file and returns how many are needed. If more are needed, none was
    /// taken.
    pub fn header(&mut self, head: &[u8]) -> Result<usize> {
        let need = match &mut self.0 {
            Scan::Described { scan, .. } => scan.header(head),
            Scan::Gguf(scan) => scan.header(head),
        };
        need.map_err(to_error)
    }

    /// The estimate. The object is used up.
    #[wasm_bindgen(unchecked_return_type = "EngineEstimate")]
    pub fn finish(self) -> Result<JsValue> {
        let (config, options, scan) = match self.0 {
            Scan::Described { config, options, scan } => (*config, options, *scan),
            Scan::Gguf(scan) => scan.finish().map_err(to_error)?,
        };
        let estimate = Estimate::of_scan(&config, &options, &scan);
        let refusal = estimate.check(&config, &options).err();
        to_js(&EngineEstimate {
            dtype: estimate.dtype.or(scan.stored).map_or("auto".into(), |dtype| dtype.to_string()),
            weight_bytes: estimate.weight_bytes,
            file_bytes: scan.file_bytes,
            kv_bytes_per_token: estimate.kv_bytes_per_token,
            context: estimate.context,
            context_that_fits: estimate.context_that_fits(),
            load_bytes: estimate.load_bytes,
            memory_bytes: estimate.memory_bytes,
            fits: refusal.is_none(),
            remedy: refusal.and_then(|error| match error {
                Error::ModelTooLarge { remedy, .. } => Some(remedy),
                _ => None,
            }),
        })
    }
}

/// What a model would take. Units: bytes and tokens.
#[derive(Serialize, Tsify)]
#[serde(rename_all = "camelCase")]
struct EngineEstimate {
    /// How the weights would be stored.
    dtype: String,
    weight_bytes: u64,
    /// Of the weight files: the download.
    file_bytes: u64,
    kv_bytes_per_token: u64,
    /// The most tokens of context that the model was made for.
    context: usize,
    /// The tokens of context that there is room for.
    context_that_fits: usize,
    /// At the peak of loading: the weights and everything else but the KV cache.
    load_bytes: u64,
    /// What there is.
    memory_bytes: u64,
    fits: bool,
    /// Where the model does not fit: what would.
    #[tsify(optional)]
    remedy: Option<String>,
}
