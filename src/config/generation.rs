//! Reads `generation_config.json`: the defaults of generation that the publisher of a model recommends.

use super::fields::Fields;
use crate::error::Result;

/// Defaults of generation; what the file does not say is `None` or empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GenerationConfig {
    /// Tokens that end a text, besides those of `config.json`.
    pub eos: Vec<u32>,
    /// False asks for greedy decoding.
    pub do_sample: Option<bool>,
    /// Divides the logits; 0 is greedy.
    pub temperature: Option<f32>,
    /// Only this many of the most probable tokens are drawn from; 0 is all.
    pub top_k: Option<usize>,
    /// Only the most probable tokens that together reach this probability are drawn from.
    pub top_p: Option<f32>,
    /// Only tokens at least this fraction as probable as the most probable one are drawn from.
    pub min_p: Option<f32>,
    /// Only tokens about as surprising as expected, that together reach this probability, are drawn from.
    pub typical_p: Option<f32>,
    /// Logits of tokens already in the text are divided by this, or multiplied where negative.
    pub repetition_penalty: Option<f32>,
    /// The most tokens to generate.
    pub max_new_tokens: Option<usize>,
    /// Tokens to generate before one may end the text.
    pub min_new_tokens: Option<usize>,
}

/// A number no count in this file should exceed.
const COUNT_MAX: usize = 1 << 30;

impl GenerationConfig {
    /// Reads `generation_config.json`. Fields that are not defaults of this engine's options are passed over.
    ///
    /// Errors: `NOT_A_MODEL_FILE`, and `BAD_FILE` for a field out of its range.
    pub fn from_json(bytes: &[u8]) -> Result<GenerationConfig> {
        let mut fields = Fields::parse("generation_config.json", bytes)?;
        let mut eos = Vec::new();
        for id in fields.token_ids("eos_token_id", None)? {
            let id = u32::try_from(id).map_err(|_| fields.bad("eos_token_id", "ids from 0 to 4294967295", id.to_string()))?;
            eos.push(id);
        }
        let mut number = |name: &str, expected: &str, valid: fn(f64) -> bool| -> Result<Option<f32>> {
            Ok(fields.number(name, expected, valid)?.map(|number| number as f32))
        };
        let probability = "a number from 0 to 1";
        Ok(GenerationConfig {
            eos,
            temperature: number("temperature", "a number from 0 to 1000", |t| (0.0..=1000.0).contains(&t))?,
            top_p: number("top_p", probability, |p| (0.0..=1.0).contains(&p))?,
            min_p: number("min_p", probability, |p| (0.0..=1.0).contains(&p))?,
            typical_p: number("typical_p", "a number above 0 and at most 1", |p| p as f32 > 0.0 && p <= 1.0)?,
            repetition_penalty: number("repetition_penalty", "a number above 0", |r| r as f32 > 0.0 && r <= 1000.0)?,
            do_sample: fields.boolean("do_sample")?,
            top_k: fields.whole("top_k", 0, COUNT_MAX)?,
            max_new_tokens: fields.size("max_new_tokens", COUNT_MAX)?,
            min_new_tokens: fields.whole("min_new_tokens", 0, COUNT_MAX)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_published_file_gives_its_defaults() {
        // As published with Qwen3, with a list of eos ids and fields of other programs.
        let json = br#"{"bos_token_id": 151643, "do_sample": true, "eos_token_id": [151645, 151643], "pad_token_id": 151643,
            "temperature": 0.6, "top_k": 20, "top_p": 0.95, "transformers_version": "4.51.0", "_from_model_config": true}"#;
        let config = GenerationConfig::from_json(json).unwrap();
        let expected = GenerationConfig {
            eos: vec![151645, 151643],
            do_sample: Some(true),
            temperature: Some(0.6),
            top_k: Some(20),
            top_p: Some(0.95),
            ..GenerationConfig::default()
        };
        assert_eq!(config, expected);
        assert_eq!(GenerationConfig::from_json(b"{}").unwrap(), GenerationConfig::default());
        assert_eq!(GenerationConfig::from_json(br#"{"eos_token_id": null, "top_k": null}"#).unwrap(), GenerationConfig::default());
    }

    #[test]
    fn a_default_out_of_its_range_is_named() {
        let cases = [
            (r#"{"temperature": -1}"#, "temperature: expected a number from 0 to 1000, got -1"),
            (r#"{"temperature": "hot"}"#, "temperature: expected a number from 0 to 1000, got \"hot\""),
            (r#"{"top_p": 1.5}"#, "top_p: expected a number from 0 to 1, got 1.5"),
            (r#"{"min_p": -0.1}"#, "min_p: expected a number from 0 to 1, got -0.1"),
            (r#"{"typical_p": 0}"#, "typical_p: expected a number above 0 and at most 1, got 0"),
            (r#"{"min_new_tokens": -1}"#, "min_new_tokens: expected a whole number from 0 to 1073741824, got -1"),
            (r#"{"repetition_penalty": 0}"#, "repetition_penalty: expected a number above 0, got 0"),
            (r#"{"top_k": -1}"#, "top_k: expected a whole number from 0 to 1073741824, got -1"),
            (r#"{"max_new_tokens": 0}"#, "max_new_tokens: expected a whole number from 1 to 1073741824, got 0"),
            (r#"{"do_sample": 1}"#, "do_sample: expected true or false, got 1"),
            (r#"{"eos_token_id": -1}"#, "eos_token_id: expected ids from 0 to 4294967295, got -1"),
            (r#"{"eos_token_id": [1, "2"]}"#, "eos_token_id: expected a token id, a list of them or null, got \"2\""),
        ];
        for (json, want) in cases {
            let message = GenerationConfig::from_json(json.as_bytes()).unwrap_err().to_string();
            let end = "Download the file again, or report it to whoever published the model.";
            assert_eq!(message, format!("generation_config.json: {want}. {end}"));
        }
    }
}
