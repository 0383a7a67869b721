//! The rotary fields of `config.json`, in the spellings of transformers 4 and transformers 5.

use std::sync::Arc;

use super::CONTEXT_MAX;
use super::fields::Fields;
use crate::error::Result;
use crate::json::show;

/// The stretched rotary frequencies of Llama 3.1 and later.
///
/// Source: transformers 5.23, `modeling_rope_utils.py`, `_compute_llama3_parameters`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Llama3Scaling {
    /// Low frequencies are divided by this.
    pub factor: f64,
    /// Wavelengths above `original_context / low_freq_factor` are stretched by the full factor.
    pub low_freq_factor: f64,
    /// Wavelengths below `original_context / high_freq_factor` are not stretched.
    pub high_freq_factor: f64,
    /// The context of the model before it was stretched.
    pub original_context: usize,
}

/// How a layer rotates queries and keys.
#[derive(Debug, Clone, PartialEq)]
pub struct RopePlan {
    /// The first lanes of a head that are rotated; even.
    pub dims: usize,
    /// The base of the frequencies.
    pub theta: f64,
    /// How the frequencies are changed for long contexts.
    pub scaling: RopeScaling,
}

/// How rotary frequencies are changed for long contexts.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// As in Llama 3.1 and later.
    Llama3(Llama3Scaling),
    /// Each is divided by a factor, which the weight file holds: Llama 3.1 and later in GGUF.
    Factors(Arc<[f32]>),
}

/// Reads `rope_parameters`, `rope_scaling` and `rope_theta`. A theta inside an object goes before the one
/// beside it.
///
/// If a config has both objects, transformers reads `rope_scaling` alone. The other is then listed as not
/// used.
pub(super) fn read(fields: &mut Fields, default_theta: f64, dims: usize, context: usize) -> Result<RopePlan> {
    let outer_theta = theta(fields)?;
    let outer_original = fields.size("original_max_position_embeddings", CONTEXT_MAX)?;
    let new = fields.object("rope_parameters")?;
    let old = fields.object("rope_scaling")?;
    let mut rope = match (new, old) {
        (Some(new), Some(old)) => {
            if !new.same(&old) {
                fields.put_back("rope_parameters", new.into_value());
            }
            old
        }
        (Some(rope), None) | (None, Some(rope)) => rope,
        (None, None) => return Ok(RopePlan { dims, theta: outer_theta.unwrap_or(default_theta), scaling: RopeScaling::None }),
    };
    let theta = theta(&mut rope)?.or(outer_theta).unwrap_or(default_theta);

    let new_kind = rope.text("rope_type")?;
    let old_kind = rope.text("type")?;
    let named = if new_kind.is_some() { "rope_type" } else { "type" };
    let scaling = match new_kind.or(old_kind).as_deref() {
        None | Some("default") => {
            if let Some((name, value)) = rope.rest().find(|(_, value)| value.is_object()) {
                // One object for each kind of layer. No family here reads it.
                let name = name.rsplit('.').next().unwrap_or_default();
                return Err(rope.unsupported(name, "one set of parameters for all layers", show(value)));
            }
            RopeScaling::None
        }
        // Divides every position by 1.
        Some("linear") if rope.is_one("factor") => RopeScaling::None,
        Some("llama3") => RopeScaling::Llama3(llama3(&mut rope, outer_original, context)?),
        Some(other) => return Err(rope.unsupported(named, "default, llama3", format!("\"{other}\""))),
    };
    for name in ["partial_rotary_factor", "mrope_section"] {
        if let Some(value) = rope.take(name).filter(|value| value.as_f64() != Some(1.0)) {
            let expected = if name == "mrope_section" { "null" } else { "1" };
            return Err(rope.unsupported(name, expected, show(&value)));
        }
    }
    fields.keep_rest_of(rope);
    Ok(RopePlan { dims, theta, scaling })
}

fn theta(fields: &mut Fields) -> Result<Option<f64>> {
    fields.number("rope_theta", "a number above 0", |theta| theta > 0.0)
}

fn llama3(rope: &mut Fields, outer_original: Option<usize>, context: usize) -> Result<Llama3Scaling> {
    let mut required = |name, expected: &str, least: f64| {
        rope.number(name, expected, |number| number >= least)?.ok_or_else(|| rope.bad(name, expected, "nothing".into()))
    };
    let factor = required("factor", "a number of at least 1", 1.0)?;
    let low_freq_factor = required("low_freq_factor", "a number above 0", f64::MIN_POSITIVE)?;
    let high_freq_factor = required("high_freq_factor", "a number above 0", f64::MIN_POSITIVE)?;
    if high_freq_factor <= low_freq_factor {
        let expected = format!("a number above low_freq_factor, which is {low_freq_factor}");
        return Err(rope.bad("high_freq_factor", &expected, high_freq_factor.to_string()));
    }
    let inner_original = rope.size("original_max_position_embeddings", CONTEXT_MAX)?;
    let original_context = outer_original.or(inner_original).unwrap_or(context);
    Ok(Llama3Scaling { factor, low_freq_factor, high_freq_factor, original_context })
}
