//! Makes a model of few bits a weight out of a model of many, once, for everyone who will download it.
//!
//! Rounding each weight to its nearest level is what the loader does, and it costs quality at 4 bits. Here
//! the weights of a matrix are rounded one column after the other, and the columns that are not rounded yet
//! make up for the error, as far as the inputs of the matrix allow. So the products change little, though
//! the weights change more.
//!
//! ```text
//! calibration.rs   a text through the model -> for each matrix, which inputs come together
//! gptq.rs          weights and inputs       -> levels, scales and offsets
//! ```
//!
//! Source: Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained
//! Transformers".

mod calibration;
mod gptq;

pub use calibration::{Gram, Inputs, calibrate};
pub use gptq::{Grid, Quantised, quantise};
