//! The tensors that a file may have, and their names.

use super::*;

#[test]
fn names_without_a_prefix_and_harmless_extra_tensors_are_accepted() {
    let config = config(json!({}));
    let mut tensors = tensors_of(&config, "F16");
    for tensor in &mut tensors {
        tensor.name = tensor.name.trim_start_matches("model.").into();
    }
    let inv_freq = FileTensor { name: "layers.0.self_attn.rotary_emb.inv_freq".into(), dtype: "I64", shape: vec![7], bytes: vec![0; 56] };
    tensors.insert(3, inv_freq);
    tensors.insert(0, FileTensor { name: "rotary_emb.inv_freq".into(), dtype: "U8", shape: vec![0], bytes: vec![] });
    for chunk in [1, 50, 1 << 20] {
        assert_eq!(flat(&load(&config, None, &file_of(&tensors), chunk).unwrap()), expected(&config));
    }
}

#[test]
fn a_tied_embedding_may_have_either_name_or_both() {
    let config = config(json!({"tie_word_embeddings": true}));
    let sound = tensors_of(&config, "F32");
    let mut under_head = sound.clone();
    under_head[0].name = "lm_head.weight".into();
    let mut under_both = sound.clone();
    under_both.push(under_head[0].clone());
    for tensors in [&sound, &under_head, &under_both] {
        for chunk in [1, 1 << 20] {
            let weights = load(&config, None, &file_of(tensors), chunk).unwrap();
            assert!(weights.head.is_none());
            assert_eq!(flat(&weights), expected(&config));
        }
    }

    let fact = "tensor model.embed_tokens.weight: expected a tensor of shape [37, 26], got nothing";
    assert_bad_file(load(&config, None, &file_of(&sound[1..]), 999), fact);
}

/// Some fine-tunes trained the head and kept `tie_word_embeddings: true`. transformers 5.24.0 warns and
/// does not tie them.
#[test]
fn a_head_in_the_file_of_a_tied_model_is_used() {
    let config = config(json!({"tie_word_embeddings": true}));
    for (embed_dtype, head_dtype) in [("F32", "F32"), ("BF16", "BF16"), ("F16", "F32"), ("F32", "F16")] {
        let mut tensors = tensors_of(&config, embed_dtype);
        let values = values(0, 37 * 26);
        // Equal to the embedding in its first 36 rows and in all but one value of the last.
        let mut changed = values.clone();
        changed[36 * 26] += 1.0;
        for head_values in [&values, &changed] {
            tensors.retain(|tensor| tensor.name != "lm_head.weight");
            let bytes = encode(head_dtype, head_values);
            let head = FileTensor { name: "lm_head.weight".into(), dtype: head_dtype, shape: vec![37, 26], bytes };
            for at in [0, 1, tensors.len()] {
                let mut tensors = tensors.clone();
                tensors.insert(at, head.clone());
                for (dtype, chunk) in [(None, 61), (None, 1 << 20), (Some(Dtype::F32), 7), (Some(Dtype::F16), 999)] {
                    let weights = load(&config, dtype, &file_of(&tensors), chunk).unwrap();
                    let mut wanted = expected(&config);
                    assert_eq!(weights.head.is_some(), head_values == &changed, "{embed_dtype} {head_dtype} at {at}");
                    if weights.head.is_some() {
                        wanted.extend(&changed);
                    }
                    assert_eq!(flat(&weights), wanted, "{embed_dtype} {head_dtype} at {at}");
                }
                // In q8 and q4, the rows before the first difference equal those of the embedding, bit for
                // bit.
                for dtype in [Dtype::Q8, Dtype::Q4] {
                    let weights = load(&config, Some(dtype), &file_of(&tensors), 500).unwrap();
                    let (mut embed, mut own) = (vec![0.0; 26], vec![0.0; 26]);
                    for row in (0..37).filter(|_| weights.head.is_some()) {
                        weights.embed.row(row, &mut embed);
                        weights.head.as_ref().unwrap().row(row, &mut own);
                        assert_eq!(embed == own, row < 36, "{dtype} row {row}");
                    }
                }
            }
        }
    }
}

#[test]
fn unused_tensors_are_skipped_and_listed() {
    let config = config(json!({}));
    let mut tensors = tensors_of(&config, "F16");
    let names = [
        "mtp.layers.0.self_attn.q_proj.weight",
        "mtp.layers.1.self_attn.q_proj.weight",
        "model.layers.2.mlp.up_proj.weight",
        "model.layers.0.self_attn.k_proj.k_scale",
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        "model.layers.1.self_attn.rotary_emb.inv_freq",
        "model.layers.0.self_attn.masked_bias",
        "v_head.summary.weight",
        "score.weight",
        "vision_tower.layers.0.mlp.up_proj.weight",
    ];
    for (at, name) in names.iter().enumerate() {
        tensors.insert(at * 2, FileTensor { name: (*name).into(), dtype: "U8", shape: vec![3], bytes: vec![255; 3] });
    }
    // A bias of zeros has no effect.
    let bias = FileTensor { name: "model.layers.0.self_attn.q_proj.bias".into(), dtype: "F16", shape: vec![28], bytes: vec![0; 56] };
    tensors.push(bias.clone());
    for chunk in [1, 50, 1 << 20] {
        let mut loader = Loader::new(&config, None, None).unwrap();
        file_of(&tensors).chunks(chunk).for_each(|chunk| loader.push(chunk).unwrap());
        loader.end_file().unwrap();
        let listed = [
            "model.layers.*.mlp.up_proj.weight",
            "model.layers.*.self_attn.k_proj.k_scale",
            "model.layers.*.self_attn.masked_bias",
            "model.layers.*.self_attn.rotary_emb.inv_freq (2)",
            "mtp.layers.*.self_attn.q_proj.weight (2)",
            "score.weight",
            "v_head.summary.weight",
            "vision_tower.layers.*.mlp.up_proj.weight",
        ];
        assert_eq!(loader.unread_tensors(), listed);
        assert_eq!(flat(&loader.finish().unwrap()), expected(&config));
    }
    for name in ["model.layers.0.self_attn.q_proj.bias", "model.layers.1.input_layernorm.bias", "lm_head.bias"] {
        let mut bytes = vec![0; 56];
        bytes[55] = 0x3c;
        *tensors.last_mut().unwrap() = FileTensor { name: name.into(), bytes, ..bias.clone() };
        let fact = format!("tensor {name}: expected zeros, as config.json does not ask for this bias, got other values");
        assert_bad_file(load(&config, None, &file_of(&tensors), 50), &fact);
    }
}

#[test]
fn names_may_have_the_prefixes_of_other_models_and_wrappers() {
    let config = config(json!({}));
    let sound = tensors_of(&config, "F16");
    let base = |name: &str| name.trim_start_matches("model.").to_owned();
    let ways: [&dyn Fn(&str) -> String; 6] = [
        &|name| format!("model.{name}"),
        &|name| format!("language_model.{name}"),
        &|name| if name == "lm_head.weight" { name.into() } else { format!("model.language_model.{}", base(name)) },
        &|name| if name == "lm_head.weight" { name.into() } else { base(name) },
        &|name| format!("_orig_mod.module.{name}"),
        &|name| format!("base_model.model.{name}"),
    ];
    for (number, rename) in ways.iter().enumerate() {
        let mut tensors = sound.clone();
        tensors.iter_mut().for_each(|tensor| tensor.name = rename(&tensor.name));
        assert_eq!(flat(&load(&config, None, &file_of(&tensors), 4096).unwrap()), expected(&config), "{number}");
    }
}
