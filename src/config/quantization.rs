//! The field `quantization`, in which MLX says how the matrices of a checkpoint are packed.
//!
//! `bits`, `group_size` and `mode` hold for every quantised module. A field with the path of a module holds
//! for this module alone: an object of the same three, true, or false for a module that is not quantised. A
//! module whose tensors are floats needs no field.
//!
//! mlx-lm writes the same object a second time as `quantization_config`, for the model hub.

use serde_json::Value;

use super::fields::Fields;
use crate::error::Result;
use crate::json::show;
use crate::quant::{Dtype, Packing};

/// How the matrices of a checkpoint are packed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quantization {
    /// The field that says so.
    pub field: &'static str,
    /// The packing of modules without a field of their own.
    pub own: Packing,
    /// Paths of modules that have a field; `None`: the module is not quantised.
    pub modules: Vec<(String, Option<Packing>)>,
}

impl Quantization {
    /// What a model of such matrices is called.
    pub(super) fn dtype(&self) -> Dtype {
        self.own.storage().dtype()
    }
}

/// Reads the field, and takes its copy.
///
/// Errors: `BAD_FILE`, `UNSUPPORTED_MODEL` with the field.
pub(super) fn read(fields: &mut Fields) -> Result<Option<Quantization>> {
    const COPY: &str = "quantization_config";
    let copy = fields.take(COPY);
    let is_copy = |value: &Value| value.get("bits").is_some() && value.get("group_size").is_some() && value.get("quant_method").is_none();
    let own = fields.object("quantization")?;
    match (own, copy) {
        (Some(own), copy) => {
            if let Some(copy) = copy.filter(|copy| !own.is(copy)) {
                fields.put_back(COPY, copy);
            }
            read_object("quantization", own).map(Some)
        }
        (None, Some(copy)) => {
            let is_own = is_copy(&copy);
            fields.put_back(COPY, copy);
            let own = if is_own { fields.object(COPY)? } else { None };
            own.map(|own| read_object(COPY, own)).transpose()
        }
        (None, None) => Ok(None),
    }
}

fn read_object(field: &'static str, mut fields: Fields) -> Result<Quantization> {
    let own = packing(&mut fields)?;
    let mut modules = Vec::new();
    for name in fields.names() {
        let packing = match fields.take(&name) {
            None => continue,
            Some(Value::Bool(true)) => Some(own),
            Some(Value::Bool(false)) => None,
            Some(value @ Value::Object(_)) => {
                fields.put_back(&name, value);
                match fields.object(&name)? {
                    Some(mut inner) => {
                        let packing = packing(&mut inner)?;
                        if let Some((path, value)) = inner.rest().next() {
                            let field = path.rsplit('.').next().unwrap_or_default();
                            return Err(inner.unsupported(field, "bits, group_size and mode", show(value)));
                        }
                        Some(packing)
                    }
                    None => None,
                }
            }
            Some(other) => return Err(fields.unsupported(&name, "null", show(&other))),
        };
        modules.push((name, packing));
    }
    Ok(Quantization { field, own, modules })
}

/// Takes the three fields of a packing.
fn packing(fields: &mut Fields) -> Result<Packing> {
    let fp4 = match fields.text("mode")?.as_deref() {
        None | Some("affine") => false,
        Some("mxfp4") => true,
        Some(other) => return Err(fields.unsupported("mode", "affine, mxfp4", show(&other.into()))),
    };
    let (all_bits, groups) = if fp4 { (&[4][..], &[32][..]) } else { (&Packing::BITS[..], &Packing::GROUPS[..]) };
    let bits = one_of(fields, "bits", all_bits)?;
    Ok(Packing { bits, group: one_of(fields, "group_size", groups)?, fp4 })
}

fn one_of(fields: &mut Fields, name: &str, known: &[usize]) -> Result<usize> {
    let number = fields.required(name, 1 << 20)?;
    if known.contains(&number) {
        return Ok(number);
    }
    let known: Vec<String> = known.iter().map(usize::to_string).collect();
    Err(fields.unsupported(name, &known.join(", "), number.to_string()))
}
