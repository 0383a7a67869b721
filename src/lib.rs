//! Fireside: language models that run inside a browser tab.

pub mod config;
pub mod error;
mod json;
pub mod kernels;
pub mod quant;
pub mod sniff;
pub mod template;
pub mod tokenizer;
pub mod weights;

pub use error::{Error, Result};
