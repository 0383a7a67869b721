//! The number formats of tensors in GGUF: their numbers, names and blocks.

use crate::quant::{FileDtype, Ggml};

/// A number format of llama.cpp: `block` values take `bytes` bytes.
pub(super) struct TensorType {
    number: u32,
    pub name: &'static str,
    pub block: u64,
    pub bytes: u64,
}

impl TensorType {
    /// The format of this number.
    pub(super) fn of(number: u32) -> Option<&'static TensorType> {
        TYPES.iter().find(|kind| kind.number == number)
    }

    /// The format as [`FileDtype`], if weights of it can be read.
    pub(super) fn dtype(&self) -> Option<FileDtype> {
        match self.name {
            "F64" => Some(FileDtype::F64),
            "F32" => Some(FileDtype::F32),
            "F16" => Some(FileDtype::F16),
            "BF16" => Some(FileDtype::Bf16),
            _ => Ggml::ALL.into_iter().find(|ggml| ggml.name_and_number().1 == self.number).map(FileDtype::Blocks),
        }
    }
}

/// The names of the formats whose weights can be read.
pub(in super::super) fn supported() -> String {
    let names: Vec<&str> = TYPES.iter().filter(|kind| kind.dtype().is_some()).map(|kind| kind.name).collect();
    names.join(", ")
}

const fn row(number: u32, name: &'static str, block: u64, bytes: u64) -> TensorType {
    TensorType { number, name, block, bytes }
}

/// Every format. The layout of a file can be checked even if weights of a format in it cannot be read.
///
/// Source: gguf 0.19 (`gguf/constants.py`, `GGML_QUANT_SIZES`), the package of llama.cpp.
const TYPES: &[TensorType] = &[
    row(0, "F32", 1, 4),
    row(1, "F16", 1, 2),
    row(2, "Q4_0", 32, 18),
    row(3, "Q4_1", 32, 20),
    row(6, "Q5_0", 32, 22),
    row(7, "Q5_1", 32, 24),
    row(8, "Q8_0", 32, 34),
    row(9, "Q8_1", 32, 40),
    row(10, "Q2_K", 256, 84),
    row(11, "Q3_K", 256, 110),
    row(12, "Q4_K", 256, 144),
    row(13, "Q5_K", 256, 176),
    row(14, "Q6_K", 256, 210),
    row(15, "Q8_K", 256, 292),
    row(16, "IQ2_XXS", 256, 66),
    row(17, "IQ2_XS", 256, 74),
    row(18, "IQ3_XXS", 256, 98),
    row(19, "IQ1_S", 256, 50),
    row(20, "IQ4_NL", 32, 18),
    row(21, "IQ3_S", 256, 110),
    row(22, "IQ2_S", 256, 82),
    row(23, "IQ4_XS", 256, 136),
    row(24, "I8", 1, 1),
    row(25, "I16", 1, 2),
    row(26, "I32", 1, 4),
    row(27, "I64", 1, 8),
    row(28, "F64", 1, 8),
    row(29, "IQ1_M", 256, 56),
    row(30, "BF16", 1, 2),
    row(34, "TQ1_0", 256, 54),
    row(35, "TQ2_0", 256, 66),
    row(39, "MXFP4", 32, 17),
    row(40, "NVFP4", 64, 36),
    row(41, "Q1_0", 128, 18),
];
