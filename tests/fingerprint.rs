//! A saved session belongs to one computation: every field of `config.json` that changes logits changes the
//! fingerprint.
#![cfg(not(target_family = "wasm"))]

mod common;

use common::files::folder;
use common::{Folder, Runner};
use fireside::internals::{Attention, LayerPlan, Llama3Scaling, Mixer, Mlp, Norm, Plan, RopePlan, RopeScaling};
use serde_json::{Value, json};

/// The fixture with fields of its `config.json` replaced. A null removes a field.
fn changed(name: &str, changes: &Value) -> Folder {
    let mut folder = folder(name);
    let mut config: Value = serde_json::from_slice(&folder.config).unwrap();
    let object = config.as_object_mut().unwrap();
    for (field, value) in changes.as_object().unwrap() {
        object.insert(field.clone(), value.clone());
    }
    folder.config = config.to_string().into_bytes();
    folder
}

/// The fingerprint, and the logits after some tokens.
fn computed(folder: &Folder) -> (String, Vec<f32>) {
    let model = folder.load();
    let tokens: Vec<u32> = (0..40).map(|i| 5 + (i * 37) % 300).collect();
    (model.fingerprint().to_owned(), Runner::new(&model).feed(&tokens))
}

/// Every change keeps the shapes of all tensors, so that the same weights can be loaded.
#[test]
fn every_field_that_changes_logits_changes_the_fingerprint() {
    let llama3 = |change: Value| {
        let mut scaling = json!({"rope_type": "llama3", "factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
            "original_max_position_embeddings": 64});
        scaling.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!({"rope_scaling": scaling})
    };
    let cases: [(&str, Vec<Value>); 5] = [
        (
            "llama-untied-f32",
            vec![
                json!({"rms_norm_eps": 1e-2}),
                json!({"rope_parameters": {"rope_theta": 500.0}}),
                // Twice as many heads of half the width, and half as many of twice the width.
                json!({"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 4}),
                json!({"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}),
            ],
        ),
        (
            "llama3-rope-bf16",
            vec![
                json!({"rope_scaling": null}),
                json!({"rope_theta": 20_000.0}),
                llama3(json!({"factor": 4.0})),
                llama3(json!({"high_freq_factor": 5.0})),
                llama3(json!({"low_freq_factor": 2.0})),
                llama3(json!({"original_max_position_embeddings": 32})),
            ],
        ),
        ("mistral-window-f16", vec![json!({"sliding_window": 9}), json!({"sliding_window": null})]),
        (
            "qwen2-window-f16",
            vec![
                json!({"sliding_window": 5}),
                json!({"use_sliding_window": false, "layer_types": null}),
                json!({"layer_types": null, "max_window_layers": 2}),
                json!({"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}),
            ],
        ),
        (
            "smollm3-bf16",
            vec![
                json!({"no_rope_layers": [1, 1, 1, 1]}),
                json!({"no_rope_layers": [0, 1, 1, 0]}),
                json!({"no_rope_layers": null, "no_rope_layer_interval": 2}),
                json!({"use_sliding_window": true, "sliding_window": 7}),
            ],
        ),
    ];
    for (name, changes) in cases {
        let (fingerprint, logits) = computed(&folder(name));
        assert_eq!(folder(name).load().fingerprint(), fingerprint, "{name}: the same model");
        for change in changes {
            let (other, changed) = computed(&changed(name, &change));
            assert_ne!(changed, logits, "{name}: {change} changes no logit");
            assert_ne!(other, fingerprint, "{name}: {change}");
        }
    }
}

/// What may change for a saved session: a longer context, another end token, another default.
#[test]
fn fields_that_change_no_logit_leave_the_fingerprint() {
    let name = "llama-untied-f32";
    let (fingerprint, logits) = computed(&folder(name));
    for change in [json!({"max_position_embeddings": 64}), json!({"eos_token_id": 7}), json!({"temperature": 0.1}), json!({"new": 1})] {
        assert_eq!(computed(&changed(name, &change)), (fingerprint.clone(), logits.clone()), "{change}");
    }
}

/// The plan, field by field. A new field fails to compile here until a case above changes it or it gets its
/// reason.
#[test]
fn the_cases_above_know_every_field_of_the_plan() {
    let plan = folder("smollm3-bf16").load().config().plan.clone();
    // The first five determine the shapes of tensors, and other shapes are other weights. The context is a
    // limit.
    let Plan { vocab: _, hidden: _, inter: _, tied: _, context: _, heads: _, kv_heads: _, head_dim: _, ropes, layers, norm } = plan;
    let Norm { eps: _ } = norm;
    for RopePlan { dims: _, theta: _, scaling } in ropes {
        match scaling {
            // Only GGUF files have factors; tests/gguf.rs changes them.
            RopeScaling::None | RopeScaling::Factors(_) => {}
            RopeScaling::Llama3(Llama3Scaling { factor: _, low_freq_factor: _, high_freq_factor: _, original_context: _ }) => {}
        }
    }
    for LayerPlan { mixer_norm: Norm { eps: _ }, mixer, mlp_norm: Norm { eps: _ }, mlp } in layers {
        let Mixer::Attention(Attention { qk_norm: _, rope: _, window: _, scale: _, qkv_bias: _, out_bias: _ }) = mixer;
        let Mlp { activation: _, bias: _ } = mlp;
    }
}
