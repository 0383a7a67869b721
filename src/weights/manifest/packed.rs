//! Matrices that MLX quantised: three tensors each, `X.weight` of codes, `X.scales` and `X.biases`.
//!
//! config.json says how many bits the codes have and how many columns share a scale. Every tensor is checked
//! against it before data is read. Which module is quantised shows in the dtype of `X.weight`.

use super::super::checkpoint::Entry;
use super::super::tensors::{EMBED, HEAD, TensorSpec};
use super::{EMBED_NUMBER, Manifest, Target, full_name};
use crate::config::{ModelConfig, Quantization};
use crate::error::{Error, Result};
use crate::quant::{Dtype, FileDtype, Format, Packing};

/// A tensor of a quantised matrix.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Piece {
    /// The number of the matrix.
    pub number: usize,
    pub part: Part,
    pub packing: Packing,
    /// The format in which the matrix holds its weights exactly, as far as this tensor tells.
    pub exact: Format,
    /// The format that the caller asked for; `None`: the exact one.
    pub wanted: Option<Format>,
    /// The shape of the matrix.
    pub rows: usize,
    pub cols: usize,
}

/// What a tensor of a quantised matrix holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Part {
    Codes,
    /// Powers of two, in bytes.
    Powers,
    Scales(FileDtype),
    Offsets(FileDtype),
}

impl Piece {
    /// Numbers or codes in a row of the tensor.
    pub(in super::super) fn len(&self) -> usize {
        if self.part == Part::Codes { self.cols } else { self.cols / self.packing.group }
    }

    /// Bytes of a row.
    pub(in super::super) fn row_bytes(&self) -> usize {
        match self.part {
            Part::Codes => self.packing.code_bytes(self.cols),
            Part::Powers => self.len(),
            Part::Scales(source) | Part::Offsets(source) => source.bytes(self.len()),
        }
    }

    /// Whether the tensor stands for the whole matrix when matrices are counted: each has one tensor of
    /// scales.
    pub(in super::super) fn has_scales(&self) -> bool {
        matches!(self.part, Part::Powers | Part::Scales(_))
    }

    /// The format of the matrix in the end.
    pub(in super::super) fn format(&self) -> Format {
        self.wanted.unwrap_or(self.exact)
    }
}

impl Manifest {
    /// Where a tensor goes if it belongs to a quantised matrix.
    ///
    /// Errors: `BAD_FILE`, `UNSUPPORTED_MODEL` with the tensor.
    pub(super) fn packed_target(&mut self, file: usize, entry: &Entry, full: &str) -> Result<Option<Target>> {
        let Some((stem, kind)) = full.rsplit_once('.') else { return Ok(None) };
        let (is_codes, is_factor) = (kind == "weight" && &*entry.dtype_name == "U32", kind == "scales" || kind == "biases");
        if self.naming.is_some() || !(kind == "weight" || is_factor) {
            return Ok(None);
        }
        let (name, is_tied_head) = (format!("{stem}.weight"), self.config.plan.tied && stem == "lm_head");
        let number = if is_tied_head { Some(EMBED_NUMBER) } else { self.numbers.get(&name).copied() };
        let shape = |number: usize| <[usize; 2]>::try_from(&self.specs[number].shape[..]).ok();
        let Some((number, [rows, cols])) = number.and_then(|number| Some((number, shape(number)?))) else {
            return Ok(None);
        };
        let bad = |expected: &str, got: String| Err(self.bad(file, &entry.name, expected, got));
        let kind_of = format!("{} {:?}", entry.dtype_name, entry.shape);
        let Some(quantization) = &self.config.quantization else {
            // A dtype that is no float has a message of its own.
            return if is_factor { bad("`quantization` in config.json, as for all quantised weights", "none".into()) } else { Ok(None) };
        };
        let own = quantization.of(stem);
        if !is_codes && !is_factor {
            return match own.packing.filter(|_| own.named) {
                Some(packing) => {
                    bad(&format!("U32, codes of {} bits, as {} in config.json says", packing.bits, quantization.field), kind_of)
                }
                None => Ok(None),
            };
        }
        if is_tied_head {
            return bad("no head beside the quantised embedding, as config.json ties them", kind_of);
        }
        let Some(packing) = own.packing else {
            return bad(&format!("floats alone, as {} in config.json says", quantization.field), kind_of);
        };
        if !cols.is_multiple_of(packing.group) {
            return bad(&format!("columns in whole groups of {}", packing.group), format!("a matrix {rows} x {cols}"));
        }
        let wide = if is_codes { cols * packing.bits / 32 } else { cols / packing.group };
        if *entry.shape != [rows as u64, wide as u64] {
            let what = format!("shape [{rows}, {wide}], as {} in config.json says", quantization.field);
            return bad(&what, format!("shape {:?}", entry.shape));
        }
        let part = match (kind, packing.fp4, &*entry.dtype_name, entry.dtype) {
            ("weight", ..) => Part::Codes,
            ("scales", true, "U8", _) => Part::Powers,
            ("biases", true, ..) => return bad("no offsets, as mode mxfp4 has none", kind_of),
            ("scales", false, _, Some(source)) if source.is_float() => Part::Scales(source),
            (_, false, _, Some(source)) if source.is_float() => Part::Offsets(source),
            (_, fp4, ..) => return bad(if fp4 { "U8" } else { "F16, BF16 or F32" }, entry.dtype_name.to_string()),
        };
        // Scales in f32 are seldom numbers of f16.
        let is_wide = matches!(part, Part::Scales(FileDtype::F32)) && packing.storage() == Format::Q4;
        let exact = if is_wide { Format::Q4Wide } else { packing.storage() };
        let wanted = self.dtype.and_then(|dtype| converted(&self.specs[number], exact, dtype));
        if !self.seen.insert(full.into()) {
            return Err(self.bad(file, &entry.name, "one tensor of this name, with or without \u{201c}model.\u{201d}", "two".into()));
        }
        if is_codes {
            self.packed.insert(number, packing);
        }
        Ok(Some(Target::Packed(Piece { number, part, packing, exact, wanted, rows, cols })))
    }

    /// Checks that config.json names only modules of the model.
    pub(super) fn check_modules(&self) -> Result<()> {
        let Some(quantization) = &self.config.quantization else { return Ok(()) };
        let is_known = |path: &str| {
            let name = weight_of(path);
            name == HEAD || self.numbers.get(&name).is_some_and(|&number| self.specs[number].shape.len() == 2)
        };
        match quantization.modules.iter().find(|(path, packing)| packing.is_some() && !is_known(path)) {
            None => Ok(()),
            Some((path, _)) => Err(Error::BadFile {
                file: "config.json".into(),
                at: quantization.field.into(),
                expected: "modules of this model".into(),
                got: format!("`{path}`"),
            }),
        }
    }

    /// Checks that the tensors so far fit each other: factors belong to codes, and after the last file every
    /// matrix of codes has its factors.
    pub(super) fn check_packed(&self, file: usize) -> Result<()> {
        if self.config.quantization.is_none() || self.naming.is_some() {
            return Ok(());
        }
        let is_last = file + 1 == self.files.len();
        for (number, spec) in self.specs.iter().enumerate() {
            let Some(stem) = spec.name.strip_suffix(".weight") else { continue };
            let has = |kind: &str| self.seen.contains(&format!("{stem}.{kind}"));
            match self.packed.get(&number) {
                None if (has("scales") || has("biases")) && (is_last || has("weight")) => {
                    return Err(self.bad(file, &spec.name, "U32, as the file has its scales or offsets", "floats, or nothing".into()));
                }
                None => {}
                Some(packing) => {
                    let kinds = if packing.fp4 { &["scales"][..] } else { &["scales", "biases"] };
                    if let Some(kind) = kinds.iter().find(|kind| is_last && !has(kind)) {
                        let (rows, groups) = (spec.shape[0], spec.shape[1] / packing.group);
                        return Err(self.bad(
                            file,
                            &format!("{stem}.{kind}"),
                            &format!("a tensor of shape [{rows}, {groups}]"),
                            "nothing".into(),
                        ));
                    }
                }
            }
        }
        let has_head = self.config.plan.tied && self.seen.contains(EMBED) && self.seen.contains(HEAD);
        if has_head && self.packed.contains_key(&EMBED_NUMBER) {
            return Err(self.bad(file, HEAD, "no head beside the quantised embedding, as config.json ties them", "one".into()));
        }
        Ok(())
    }
}

/// What config.json says of a module.
struct Own {
    /// `None`: the module is not quantised.
    packing: Option<Packing>,
    /// Whether it has a field of its own.
    named: bool,
}

impl Quantization {
    /// The packing of the module of this path, as the table spells it.
    fn of(&self, stem: &str) -> Own {
        let name = format!("{stem}.weight");
        let own = self.modules.iter().find(|(path, _)| weight_of(path) == name);
        own.map_or(Own { packing: Some(self.own), named: false }, |(_, packing)| Own { packing: *packing, named: true })
    }
}

impl ModelConfig {
    /// Bytes of the loaded weights in the formats of their files, as far as config.json tells. Without a
    /// dtype, the widest is assumed.
    pub(crate) fn weight_bytes(&self) -> u64 {
        let Some(quantization) = &self.quantization else { return self.plan.weight_bytes(self.dtype.unwrap_or(Dtype::F32)) };
        let bytes = |spec: TensorSpec| match spec.shape[..] {
            [rows, cols] => {
                let own = quantization.of(spec.name.trim_end_matches(".weight")).packing;
                let packing = own.filter(|packing| cols.is_multiple_of(packing.group));
                packing.map_or(Format::Bf16, Packing::storage).matrix_bytes(rows, cols)
            }
            _ => spec.stored_bytes(Dtype::F32),
        };
        self.plan.tensors().into_iter().map(bytes).sum()
    }
}

/// The name of a module's weight, as the table spells it.
fn weight_of(path: &str) -> String {
    full_name(&format!("{path}.weight"))
}

/// The format to which a matrix is converted, if the caller's `dtype` is another one.
fn converted(spec: &TensorSpec, exact: Format, dtype: Dtype) -> Option<Format> {
    let wanted = spec.stored_as(dtype);
    let is_kept = [dtype, wanted.dtype()].contains(&exact.dtype());
    (!is_kept).then_some(wanted)
}
