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
//!                     Sequence::append <──────────────────────┐
//!                            │                                │
//!                            v                                │
//!                        Scheduler (all sequences)            │
//!                            │                                │
//!                            v                                │
//!                         Network ──> logits ── sampler ──> token ── decoder ──> a piece of text
//! ```
//!
//! # The modules, from the ground up
//!
//! - `error`: the error type, with place, fact and remedy.
//! - `quant`: the storage formats of a matrix. `kernels`: the arithmetic on them, written once for all
//!   instruction sets. `pool`: the threads.
//! - `sniff`: recognises other files in place of a model file. `json`: reads the small files strictly.
//! - `config`: what `config.json` asks for. `weights`: safetensors and GGUF to matrices.
//! - `cache`: the KV cache. `network`: the forward pass. **Read `network` first.** Inside it, `executor`: the
//!   steps of a layer; `sequence`: one text on a device; `scheduler`: decides which rows to compute next.
//! - `model`: a network with its tokenizer and template.
//! - `text`: messages, special tokens that a caller typed, `tokenizer_config.json`. `tokenizer`: text to
//!   ids and back. `template`: messages to text.
//! - `options`: what a caller may ask for. `sampler`: chooses the next token. `stop`: finds stop
//!   strings.
//! - `estimate`: the memory of a model. `load`: files to a model. `session`: prompts and chats.
//! - `wasm`: the API for JavaScript.
//!
//! # Example
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::{fs, sync::Arc};
//! use fireside::{LoadOptions, Model, ModelFiles, Options, Session};
//!
//! let file = |name: &str| fs::read(format!("models/story/{name}"));
//! let (config, tokenizer) = (file("config.json")?, file("tokenizer.json")?);
//! let (files, weights) = (ModelFiles::new(&config, &tokenizer), file("model.safetensors")?);
//! let model = Model::from_bytes(&files, &[&weights], LoadOptions::default())?;
//! let mut session = Session::new(Arc::new(model));
//! for piece in session.generate("Once upon a time", &Options::default())? {
//!     print!("{}", piece?.text);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Glossary
//!
//! One word for one thing, in the code, in errors and in the documentation.
//!
//! Text:
//!
//! - **token**: an entry of the model's vocabulary, known by its **id**, a number.
//! - **special token**: a token that marks structure and is not text, such as `<|im_end|>`.
//! - **tokenizer**: turns text into ids. Its **decoder** turns ids into text, one id at a time.
//! - **stage**: one step of the tokenizer: a normalizer, a pre-tokenizer, a post-processor or a decoder.
//! - **message**: one contribution to a chat, with a role and a content.
//! - **chat template**: the program, published with a model, that renders messages to one text.
//! - **mark**: stands in a rendered text for a special token that a caller typed, so that it stays text.
//! - **prompt**: the text or the messages that a model continues.
//! - **turn**: one message of a chat and the answer to it.
//! - **completion**: one continuation of a prompt, with its text, usage and finish reason.
//! - **piece**: the text that one or more new tokens complete. It never ends inside a character.
//! - **stop string**: a text that ends a completion and is not in it.
//! - **session**: a conversation: its messages, its completions and what the model has read of it.
//!
//! Network:
//!
//! - **layer**: one block of the network: attention and MLP.
//! - **position**: the place of a token in its text, counted from 0.
//! - **context**: how many positions a model can read at once.
//! - **prefill**: reading the prompt, many tokens in one pass.
//! - **decode**: computing one token after another.
//! - **logits**: the network's score for each token of the vocabulary.
//! - **sampler**: chooses the next token from the logits.
//! - **KV cache**: the keys and values of the tokens that were read. "Cache" alone means this one.
//! - **head**: one of the parts of attention; a **KV head** serves several of them. The head of the network
//!   is the matrix from the last layer to the logits.
//!
//! Weights:
//!
//! - **checkpoint**: the files of a published model.
//! - **tensor**: an array of a checkpoint. A **matrix** is a tensor in memory, in a storage dtype.
//! - **file dtype**: the number format of a tensor in its file.
//! - **storage dtype**: the number format in memory: f32, f16, bf16, q8 or q4. `dtype` chooses it.
//! - **block**: 32 weights in a row that share a scale (q8, q4).
//! - **estimate**: the memory of a model, computed before its weights are read.
//!
//! Machine:
//!
//! - **kernel**: a loop over numbers, written once for all instruction sets.
//! - **pool**: the threads. They share one **region**, a step of the computation, at a time.

#![warn(unreachable_pub)]

mod cache;
mod config;
mod error;
mod estimate;
mod json;
mod kernels;
mod load;
mod model;
mod network;
mod options;
mod pool;
mod quant;
mod sampler;
mod session;
mod sniff;
mod stop;
mod template;
mod text;
mod tokenizer;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub mod wasm;
mod weights;

pub use error::{Error, Result};
pub use estimate::Estimate;
/// The implementation of the kernels: the instruction set that they use.
pub use kernels::NAME as KERNELS;
pub use load::{ModelFiles, ModelLoader};
pub use model::{Description, Model};
pub use options::{LoadOptions, Options, Overflow};
pub use quant::{Dtype, KvDtype};
pub use sampler::TokenLogprobs;
pub use session::{Choice, Completion, Dropped, FinishReason, Piece, Pieces, Run, Session, SessionOptions, Step, Turn, Usage};
pub use template::{ChatTemplate, TemplateSource};
pub use text::{Message, Now, TemplateKwargs};
pub use tokenizer::{Decoder, TokenSpan, Tokenizer};

/// What the tests, the fuzz targets and the command line of this repository use beside the API. It may
/// change at any time.
#[doc(hidden)]
pub mod internals {
    pub use crate::cache::{BLOCK, Cache};
    pub use crate::config::{
        Attention, GenerationConfig, LayerPlan, Llama3Scaling, Mixer, Mlp, ModelConfig, Norm, Plan, RopePlan, RopeScaling,
    };
    pub use crate::load::{GgufScan, gguf_tokenizer};
    pub use crate::network::scheduler::Scheduler;
    pub use crate::network::sequence::{Device, Sequence};
    pub use crate::network::{Executor, Network, Probe};
    pub use crate::options::table::{Row, Text};
    pub use crate::options::{Settings, generate, load};
    pub use crate::pool::Pool;
    pub use crate::quant::Matrix;
    pub use crate::sampler::Sampler;
    pub use crate::weights::{HeaderScan, Loader, Tensor, TensorSpec, Weights};
}
