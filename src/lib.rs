//! Fireside: language models that run inside a browser tab.
//!
//! # The path of a token
//!
//! ```text
//! bytes ── weights ──> Model            checked once, stored in the chosen format
//!
//! prompt ─┐
//!         ├─ tokenizer ──> tokens ── the beginning already in the cache is skipped
//! chat ───┘                  │
//!   (template)               v
//!                     Model::forward ──> logits ── sampler ──> token ── decoder ──> a piece of text
//!                            ^                                   │
//!                            └───────────────────────────────────┘
//! ```
//!
//! # The modules, from the ground up
//!
//! - [`error`]: what can go wrong, with place, expectation and remedy.
//! - [`quant`]: how a matrix is stored; [`kernels`]: the arithmetic on it, once for every instruction set.
//! - [`pool`]: the threads, native or of a browser.
//! - [`sniff`]: what a file is that is no model file; `json`: strict JSON for the small files.
//! - [`config`]: what `config.json` asks for; [`weights`]: safetensors into matrices.
//! - [`cache`]: keys and values of what was read; [`ops`]: the steps of a layer; [`model`]: the forward pass. **Read
//!   [`model`] first.**
//! - [`tokenizer`], [`template`]: text to tokens and back, chats to text. [`sampler`], [`stop`]: the choice of a token, the
//!   end of a text. [`options`]: what a caller may ask.
//! - [`estimate`]: what a model will take. [`load`]: files to a model. [`session`]: all of it together.
//! - `wasm`: the browser's view.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::{fs, sync::Arc};
//! use fireside::{LoadOptions, Model, ModelFiles, Options, Session};
//!
//! let (config, tokenizer) = (fs::read("models/story/config.json")?, fs::read("models/story/tokenizer.json")?);
//! let weights = fs::read("models/story/model.safetensors")?;
//! let model = Model::from_bytes(&ModelFiles::new(&config, &tokenizer), &[&weights], LoadOptions::default())?;
//! let mut session = Session::new(Arc::new(model));
//! for piece in session.generate("Once upon a time", &Options::default())? {
//!     print!("{}", piece?.text);
//! }
//! # Ok(())
//! # }
//! ```

pub mod cache;
pub mod config;
pub mod error;
pub mod estimate;
mod json;
pub mod kernels;
pub mod load;
pub mod model;
pub mod ops;
pub mod options;
pub mod pool;
pub mod quant;
pub mod sampler;
pub mod session;
pub mod sniff;
pub mod stop;
pub mod template;
pub mod text;
pub mod tokenizer;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub mod wasm;
pub mod weights;

pub use error::{Error, Result};
pub use load::{LoadOptions, ModelFiles};
pub use model::Model;
pub use options::Options;
pub use session::{Completion, FinishReason, Piece, Session, Turn};
pub use text::Message;
