//! What differs between layers: which have a window, and which are rotated.

use super::family::{Family, Windows};
use super::fields::Fields;
use super::{CONTEXT_MAX, LAYERS_MAX};
use crate::error::Result;
use crate::json::show;
use serde_json::Value;

/// What kind of attention a layer has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// A query sees this many positions, itself included; `None`: all before it.
    pub window: Option<usize>,
    /// True when queries and keys are rotated by their position.
    pub rope: bool,
}

impl Family {
    /// Reads the window and the rotation of every layer.
    pub(super) fn attention(self, fields: &mut Fields, layers: usize, context: usize) -> Result<Vec<Kind>> {
        let rope = self.rope_layers(fields, layers)?;
        let types = layer_types(fields, layers)?;
        let windows = self.traits().windows;

        fields.drop_infinite("sliding_window");
        let absent = !fields.has("sliding_window");
        let window = fields.size("sliding_window", CONTEXT_MAX)?.or((absent && windows != Windows::None).then_some(4096));
        let used = fields.boolean("use_sliding_window")?;
        let first = fields.whole("max_window_layers", 0, CONTEXT_MAX)?.unwrap_or(28);
        let window = match windows {
            Windows::None => window.filter(|_| used != Some(false)),
            Windows::All => window,
            // An absent `sliding_window` means null for SmolLM3 and 4096 for Qwen.
            Windows::WithoutRope if absent => None,
            Windows::Upper | Windows::WithoutRope => window.filter(|_| used == Some(true)),
        };
        // Llama has no window, but one as long as the context changes nothing.
        if let (Windows::None, Some(window)) = (windows, window.filter(|&window| window < context)) {
            return Err(fields.unsupported("sliding_window", &format!("null for {}", self.traits().architecture), window.to_string()));
        }
        // For Mistral, transformers ignores `use_sliding_window` and `layer_types` where other engines obey
        // them. A config that means two different texts is refused.
        if windows == Windows::All && used == Some(false) && window.is_some_and(|window| window < context) {
            return Err(fields.unsupported("use_sliding_window", "true where `sliding_window` is set", "false".into()));
        }

        let mut attention = Vec::with_capacity(layers);
        for layer in 0..layers {
            let by_rule = match windows {
                Windows::None => false,
                Windows::All => window.is_some(),
                Windows::Upper => window.is_some() && layer >= first,
                Windows::WithoutRope => window.is_some() && !rope[layer],
            };
            let sliding = types.as_ref().map_or(by_rule, |types| types[layer]);
            if sliding && window.is_none() {
                let got = "sliding_attention".into();
                return Err(fields.bad(&format!("layer_types[{layer}]"), "full_attention, as no sliding window is in use", got));
            }
            if windows == Windows::All && sliding != by_rule {
                let expected = "sliding_attention in every layer that has a `sliding_window`";
                return Err(fields.unsupported(&format!("layer_types[{layer}]"), expected, "full_attention".into()));
            }
            attention.push(Kind { window: window.filter(|_| sliding), rope: rope[layer] });
        }
        Ok(attention)
    }

    /// For each layer, whether it is rotated. In `no_rope_layers`, 1 means that it is, despite the name.
    fn rope_layers(self, fields: &mut Fields, layers: usize) -> Result<Vec<bool>> {
        let interval = fields.size("no_rope_layer_interval", LAYERS_MAX)?;
        let Some(flags) = fields.list("no_rope_layers")? else {
            let interval = if self.traits().no_rope_layers { interval.or(Some(4)) } else { None };
            return Ok((1..=layers).map(|n| interval.is_none_or(|interval| !n.is_multiple_of(interval))).collect());
        };
        if flags.len() < layers {
            return Err(fields.bad("no_rope_layers", &format!("an entry for each of {layers} layers"), flags.len().to_string()));
        }
        let mut rope = Vec::with_capacity(layers);
        for (layer, flag) in flags.iter().take(layers).enumerate() {
            match flag.as_u64() {
                Some(flag @ 0..=1) => rope.push(flag == 1),
                _ => return Err(fields.bad(&format!("no_rope_layers[{layer}]"), "0 or 1", show(flag))),
            }
        }
        if !self.traits().no_rope_layers && rope.contains(&false) {
            let expected = format!("1 in every layer for {}", self.traits().architecture);
            return Err(fields.unsupported("no_rope_layers", &expected, show(&Value::Array(flags))));
        }
        Ok(rope)
    }
}

/// For each layer, whether `layer_types` gives it a window.
fn layer_types(fields: &mut Fields, layers: usize) -> Result<Option<Vec<bool>>> {
    let Some(types) = fields.list("layer_types")? else { return Ok(None) };
    if types.len() != layers {
        return Err(fields.bad("layer_types", &format!("an entry for each of {layers} layers"), format!("{} entries", types.len())));
    }
    let mut sliding = Vec::with_capacity(layers);
    for (layer, kind) in types.iter().enumerate() {
        match kind.as_str() {
            Some("full_attention") => sliding.push(false),
            Some("sliding_attention") => sliding.push(true),
            _ => {
                let field = format!("layer_types[{layer}]");
                return Err(fields.unsupported(&field, "full_attention, sliding_attention", show(kind)));
            }
        }
    }
    Ok(Some(sliding))
}
