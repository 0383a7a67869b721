//! Candle's Llama behind the calls that the benchmark times: load, read tokens, save the position and
//! restore it.

use candle_core::quantized::gguf_file;
use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama::{Cache, Config, Llama, LlamaConfig};
use candle_transformers::models::quantized_llama::ModelWeights;
use wasm_bindgen::prelude::*;

/// The weights, with the keys and values read so far.
#[derive(Clone)]
enum State {
    Float { model: std::rc::Rc<Llama>, cache: Cache },
    Quantized(ModelWeights),
}

/// A model and its position in a text.
#[wasm_bindgen]
pub struct Engine {
    empty: State,
    state: State,
    saved: State,
    past: usize,
    saved_past: usize,
}

fn js(error: impl std::fmt::Display) -> JsError {
    JsError::new(&error.to_string())
}

#[wasm_bindgen]
impl Engine {
    /// Loads safetensors, computing in f32.
    #[wasm_bindgen(js_name = fromSafetensors)]
    pub fn from_safetensors(config: &[u8], weights: Vec<u8>) -> Result<Engine, JsError> {
        let config: LlamaConfig = serde_json::from_slice(config).map_err(js)?;
        let config: Config = config.into_config(false);
        let builder = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu).map_err(js)?;
        let model = Llama::load(builder, &config).map_err(js)?;
        let cache = Cache::new(true, DType::F32, &config, &Device::Cpu).map_err(js)?;
        Ok(Engine::new(State::Float { model: model.into(), cache }))
    }

    /// Loads GGUF, keeping its blocks.
    #[wasm_bindgen(js_name = fromGguf)]
    pub fn from_gguf(file: Vec<u8>) -> Result<Engine, JsError> {
        let mut file = std::io::Cursor::new(file);
        let content = gguf_file::Content::read(&mut file).map_err(js)?;
        Ok(Engine::new(State::Quantized(ModelWeights::from_gguf(content, &mut file, &Device::Cpu).map_err(js)?)))
    }

    fn new(empty: State) -> Engine {
        Engine { state: empty.clone(), saved: empty.clone(), empty, past: 0, saved_past: 0 }
    }

    /// Reads tokens after the earlier ones and returns the likeliest next one.
    pub fn forward(&mut self, tokens: &[u32]) -> Result<u32, JsError> {
        let input = Tensor::new(tokens, &Device::Cpu).and_then(|ids| ids.unsqueeze(0)).map_err(js)?;
        let logits = match &mut self.state {
            State::Float { model, cache } => model.forward(&input, self.past, cache),
            State::Quantized(model) => model.forward(&input, self.past),
        };
        self.past += tokens.len();
        logits.and_then(|logits| logits.squeeze(0)?.argmax(D::Minus1)?.to_scalar::<u32>()).map_err(js)
    }

    /// Forgets everything that was read.
    pub fn reset(&mut self) {
        (self.state, self.past) = (self.empty.clone(), 0);
    }

    /// Saves the position.
    pub fn save(&mut self) {
        (self.saved, self.saved_past) = (self.state.clone(), self.past);
    }

    /// Restores the saved position.
    pub fn restore(&mut self) {
        (self.state, self.past) = (self.saved.clone(), self.saved_past);
    }
}
