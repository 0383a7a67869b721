//! Tests of `config.json`. Defaults and rules were checked against transformers 5.23.0.

use super::*;
use crate::quant::{KvDtype, Packing};
use crate::weights::Storage;
use serde_json::{Value, json};
#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A small sound config with the fields of `with` put in; null takes a field away.
fn config_of(model_type: &str, architecture: &str, with: Value) -> Vec<u8> {
    let mut config = json!({
        "architectures": [architecture], "model_type": model_type, "vocab_size": 320, "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
    });
    for (name, value) in with.as_object().unwrap() {
        match value.as_str() {
            Some("absent") => drop(config.as_object_mut().unwrap().remove(name)),
            _ => config[name] = value.clone(),
        }
    }
    config.to_string().into_bytes()
}

fn llama(with: Value) -> Vec<u8> {
    config_of("llama", "LlamaForCausalLM", with)
}

fn mistral(with: Value) -> Vec<u8> {
    config_of("mistral", "MistralForCausalLM", with)
}

fn qwen2(with: Value) -> Vec<u8> {
    config_of("qwen2", "Qwen2ForCausalLM", with)
}

fn qwen3(with: Value) -> Vec<u8> {
    config_of("qwen3", "Qwen3ForCausalLM", with)
}

fn smollm3(with: Value) -> Vec<u8> {
    config_of("smollm3", "SmolLM3ForCausalLM", with)
}

fn read(bytes: Vec<u8>) -> ModelConfig {
    ModelConfig::from_json(&bytes).unwrap()
}

fn windows(config: &ModelConfig) -> Vec<Option<usize>> {
    attention(config).map(|attention| attention.window).collect()
}

fn ropes(config: &ModelConfig) -> Vec<bool> {
    attention(config).map(|attention| attention.rope.is_some()).collect()
}

fn qk_norm(config: &ModelConfig) -> bool {
    attention(config).all(|attention| attention.qk_norm.is_some())
}

/// Whether these projections have biases: queries, keys and values; the attention's output; the MLP.
fn biases(config: &ModelConfig) -> (bool, bool, bool) {
    let (attention, layer) = (attention(config).next().unwrap(), &config.plan.layers[0]);
    (attention.qkv_bias, attention.out_bias, layer.mlp.bias)
}

fn attention(config: &ModelConfig) -> impl Iterator<Item = &Attention> {
    config.plan.layers.iter().map(|layer| {
        let Mixer::Attention(attention) = &layer.mixer;
        attention
    })
}

/// Each config fails with `BAD_FILE` and this fact.
fn assert_bad(cases: &[(Vec<u8>, &str)]) {
    for (bytes, want) in cases {
        let error = ModelConfig::from_json(bytes).expect_err(want);
        let message = format!("config.json: {want}. Download the file again, or report it to the publisher of the model.");
        assert_eq!((error.code(), error.to_string()), ("BAD_FILE", message));
    }
}

/// Each config fails with `UNSUPPORTED_MODEL` and this fact: (field is value, what is supported).
fn assert_unsupported(cases: &[(Vec<u8>, &str, &str)]) {
    for (bytes, fact, supported) in cases {
        let error = ModelConfig::from_json(bytes).expect_err(fact);
        let message = format!("config.json: {fact}, which Fireside does not support (supported: {supported}). Choose another model.");
        assert_eq!((error.code(), error.to_string()), ("UNSUPPORTED_MODEL", message));
    }
}

#[test]
fn an_absent_field_means_what_it_means_in_transformers() {
    let config = read(llama(json!({"num_key_value_heads": "absent"})));
    let norm = Norm { eps: 1e-6 };
    let attention = Attention { qk_norm: None, rope: Some(0), window: None, scale: 0.25, qkv_bias: false, out_bias: false };
    let mlp = Mlp { activation: Activation::Silu, bias: false };
    let layer = LayerPlan { mixer_norm: norm, mixer: Mixer::Attention(attention), mlp_norm: norm, mlp };
    let expected = ModelConfig {
        family: Family::Llama,
        plan: Plan {
            vocab: 320,
            hidden: 64,
            inter: 96,
            heads: 4,
            kv_heads: 4,
            head_dim: 16,
            context: 2048,
            tied: false,
            ropes: vec![RopePlan { dims: 16, theta: 10_000.0, scaling: RopeScaling::None }],
            layers: vec![layer; 4],
            norm,
        },
        bos: Some(1),
        eos: vec![], // the class default of transformers, 2, ends nothing: the file names no end
        quantization: None,
        dtype: None,
        ignored: vec![],
    };
    assert_eq!(config, expected);

    let config = read(mistral(json!({})));
    assert_eq!((config.plan.context, windows(&config)), (131_072, vec![Some(4096); 4]));
    let config = read(qwen2(json!({})));
    assert_eq!((config.plan.context, config.bos, config.eos.len(), biases(&config)), (32_768, None, 0, (true, false, false)));
    let config = read(qwen3(json!({})));
    assert_eq!((config.plan.head_dim, qk_norm(&config), biases(&config)), (128, true, (false, false, false)));
    let config = read(smollm3(json!({"num_hidden_layers": 9})));
    assert_eq!((config.plan.tied, config.plan.ropes[0].theta), (true, 2_000_000.0));
    assert_eq!(ropes(&config), [true, true, true, false, true, true, true, false, true]);
    assert_eq!((config.bos, config.ignored), (None, vec![]), "the class default of 128000 is outside the vocabulary");
    let config = read(smollm3(json!({"num_hidden_layers": 9, "bos_token_id": 128_000})));
    assert_eq!(config.ignored, ["bos_token_id: 128000 is outside the vocabulary of 320"]);
}

#[test]
fn both_spellings_say_the_same() {
    let scaling = json!({"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192, "rope_type": "llama3"});
    let mut parameters = scaling.clone();
    parameters["rope_theta"] = json!(500000.0);
    let context = json!(131072);
    let old = read(llama(json!({"rope_scaling": scaling, "rope_theta": 500000.0, "torch_dtype": "bfloat16",
        "max_position_embeddings": context})));
    let new = read(llama(json!({"rope_parameters": parameters, "dtype": "bfloat16", "max_position_embeddings": context})));
    assert_eq!(old, new);
    let expected = Llama3Scaling { factor: 32.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_context: 8192 };
    let rope = RopePlan { dims: 16, theta: 500000.0, scaling: RopeScaling::Llama3(expected) };
    assert_eq!((old.plan.ropes, old.dtype), (vec![rope], Some(Dtype::Bf16)));

    let plain = read(llama(json!({"rope_theta": 5000, "rope_scaling": null, "torch_dtype": "float16"})));
    assert_eq!(plain, read(llama(json!({"rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}, "dtype": "float16"}))));
    assert_eq!(plain, read(llama(json!({"rope_theta": 5000.0, "rope_scaling": {"type": "default"}, "dtype": "torch.float16"}))));
    // Where a theta stands in both places, transformers takes the inner one.
    assert_eq!(plain, read(llama(json!({"rope_theta": 1, "rope_parameters": {"rope_theta": 5000}, "dtype": "float16"}))));
}

/// Every value as `AutoConfig` of transformers 5.24.0 has it in `rope_parameters`.
#[test]
fn rope_scaling_may_be_nothing_in_many_ways_and_wins_over_rope_parameters() {
    let llama3 = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64});
    let rope = |with: Value| {
        let config = read(llama(with));
        let rope = &config.plan.ropes[0];
        (rope.scaling != RopeScaling::None, rope.theta, config.ignored.clone())
    };
    let mut with_theta = llama3.clone();
    with_theta["rope_theta"] = json!(7e5);
    for nothing in [json!(false), json!([]), json!({}), json!(0), json!(""), json!(null), json!({"type": "linear", "factor": 1.0})] {
        assert_eq!(rope(json!({"rope_scaling": nothing, "rope_theta": 5e3})), (false, 5e3, vec![]), "{nothing}");
    }
    for nothing in [json!(false), json!([]), json!(null)] {
        assert_eq!(rope(json!({"rope_scaling": nothing, "rope_theta": 5e3, "rope_parameters": with_theta})), (true, 7e5, vec![]));
    }
    let plain = json!({"rope_type": "default", "rope_theta": 7e5});
    let aside = vec!["rope_parameters".to_owned()];
    assert_eq!(rope(json!({"rope_scaling": llama3, "rope_parameters": plain})), (true, 1e4, aside.clone()));
    assert_eq!(rope(json!({"rope_scaling": llama3, "rope_parameters": plain, "rope_theta": 3e5})), (true, 3e5, aside.clone()));
    assert_eq!(rope(json!({"rope_scaling": {"type": "default"}, "rope_parameters": with_theta, "rope_theta": 3e5})), (false, 3e5, aside));
    assert_eq!(rope(json!({"rope_scaling": with_theta, "rope_parameters": with_theta})), (true, 7e5, vec![]));
}

/// Of these, transformers 5.24.0 says "Unknown quantization type" and loads the weights as they are.
#[test]
fn a_quantization_config_that_quantises_nothing_is_passed_over_by_name() {
    let none = json!({"quant_method": "bitsandbytes", "load_in_4bit": false, "load_in_8bit": false, "bnb_4bit_quant_type": "fp4"});
    for inert in [none, json!({"quant_method": "none"})] {
        assert_eq!(read(llama(json!({"quantization_config": inert}))).ignored, ["quantization_config"]);
    }
    assert_eq!(read(llama(json!({"quantization_config": {}}))).ignored, [""; 0]);
    for (value, shown) in [
        (json!({"quant_method": "bitsandbytes", "load_in_4bit": true}), "{\"load_in_4bit\":true,\"quant_method\":\"bitsandbytes\"}"),
        (json!({"quant_method": "modelopt"}), "{\"quant_method\":\"modelopt\"}"),
    ] {
        assert_unsupported(&[(llama(json!({"quantization_config": value})), &format!("quantization_config is {shown}"), "null")]);
    }
}

#[test]
fn a_quantization_of_mlx_is_read_with_the_fields_of_its_modules() {
    let packing = |bits, group, fp4| Packing { bits, group, fp4 };
    let of = |value: Value| read(llama(json!({"quantization": value, "quantization_config": value}))).quantization.unwrap();
    let mixed =
        of(json!({"group_size": 64, "bits": 4, "mode": "affine", "lm_head": {"group_size": 32, "bits": 8}, "a.b": false, "c": true}));
    assert_eq!(mixed.own, packing(4, 64, false));
    let modules = [("a.b", None), ("c", Some(packing(4, 64, false))), ("lm_head", Some(packing(8, 32, false)))];
    assert_eq!(mixed.modules, modules.map(|(path, packing)| (path.to_owned(), packing)));
    assert_eq!(of(json!({"group_size": 32, "bits": 4, "mode": "mxfp4"})).own, packing(4, 32, true));
    // Models of before 2025 have the copy alone.
    let alone = read(llama(json!({"quantization_config": {"group_size": 128, "bits": 6}, "torch_dtype": "bfloat16"})));
    assert_eq!((alone.quantization.unwrap().own, alone.dtype, alone.ignored.len()), (packing(6, 128, false), Some(Dtype::Q8), 0));
    assert_eq!(read(llama(json!({"quantization": null}))).quantization, None);

    let own = |value: Value| llama(json!({"quantization": value}));
    assert_unsupported(&[
        (own(json!({"group_size": 64, "bits": 7})), "quantization.bits is 7", "2, 3, 4, 5, 6, 8"),
        (own(json!({"group_size": 48, "bits": 4})), "quantization.group_size is 48", "32, 64, 128"),
        (own(json!({"group_size": 16, "bits": 4, "mode": "nvfp4"})), "quantization.mode is \"nvfp4\"", "affine, mxfp4"),
        (own(json!({"group_size": 32, "bits": 8, "mode": "mxfp4"})), "quantization.bits is 8", "4"),
        (own(json!({"group_size": 64, "bits": 4, "method": "x"})), "quantization.method is \"x\"", "null"),
        (
            own(json!({"group_size": 64, "bits": 4, "m": {"bits": 4, "group_size": 64, "axis": 1}})),
            "quantization.m.axis is 1",
            "bits, group_size and mode",
        ),
        (
            llama(json!({"quantization": {"group_size": 64, "bits": 4}, "quantization_config": {"quant_method": "awq"}})),
            "quantization_config is {\"quant_method\":\"awq\"}",
            "null",
        ),
    ]);
}

#[test]
fn numbers_that_only_python_writes_matter_where_they_are_used() {
    let with = |field: &str, value: &str| {
        let config = String::from_utf8(llama(json!({}))).unwrap();
        ModelConfig::from_json(format!("{}, \"{field}\": {value}}}", config.trim_end_matches('}')).as_bytes())
    };
    for value in ["NaN", "Infinity", "-Infinity", "1e999"] {
        assert_eq!(with("initializer_range", value).unwrap().ignored, [""; 0]);
        assert_eq!(with("some_statistic", value).unwrap().ignored, ["some_statistic"]);
    }
    assert_eq!(with("sliding_window", "Infinity").unwrap(), read(llama(json!({}))));
    let error = with("rope_theta", "NaN").unwrap_err().to_string();
    assert!(error.contains("rope_theta: expected a number above 0, got \"NaN\""), "{error}");
}

#[test]
fn a_window_is_in_the_layers_where_transformers_has_it() {
    assert_eq!(windows(&read(mistral(json!({"sliding_window": null})))), [None; 4]);
    assert_eq!(windows(&read(mistral(json!({"sliding_window": 8, "layer_types": (vec!["sliding_attention"; 4])})))), [Some(8); 4]);
    let upper = json!({"use_sliding_window": true, "sliding_window": 8, "max_window_layers": 3});
    assert_eq!(windows(&read(qwen2(upper.clone()))), [None, None, None, Some(8)]);
    assert_eq!(windows(&read(qwen3(upper))), [None, None, None, Some(8)]);
    let unused = json!({"use_sliding_window": false, "sliding_window": 8, "max_window_layers": 0});
    assert_eq!(windows(&read(qwen2(unused.clone()))), [None; 4]);
    assert_eq!(windows(&read(llama(unused))), [None; 4]);
    assert_eq!(windows(&read(llama(json!({"sliding_window": 2048})))), [None; 4]); // as long as the context
    let types = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"];
    let given = json!({"use_sliding_window": true, "sliding_window": 8, "max_window_layers": 0, "layer_types": types});
    assert_eq!(windows(&read(qwen2(given))), [Some(8), None, Some(8), None]);
    let without_rope = json!({"use_sliding_window": true, "sliding_window": 8, "no_rope_layers": [1, 0, 1, 1, 0]});
    let config = read(smollm3(without_rope));
    assert_eq!((windows(&config), ropes(&config)), (vec![None, Some(8), None, None], vec![true, false, true, true]));
    assert_eq!(ropes(&read(smollm3(json!({"no_rope_layer_interval": 2})))), [true, false, true, false]);
}

#[test]
fn biases_are_where_transformers_has_them() {
    let both = json!({"attention_bias": true, "mlp_bias": true});
    assert_eq!(biases(&read(llama(both.clone()))), (true, true, true));
    assert_eq!(biases(&read(smollm3(both))), (true, true, true));
    assert_eq!(biases(&read(qwen2(json!({"attention_bias": false})))), (true, false, false));
    assert_eq!(biases(&read(qwen3(json!({"attention_bias": true})))), (true, true, false));
}

#[test]
fn ids_are_one_or_a_list_or_null() {
    let ids = |eos: Value| read(llama(json!({"eos_token_id": eos, "bos_token_id": null})));
    assert_eq!((ids(json!(7)).eos, ids(json!([7, 9])).eos, ids(json!(null)).eos), (vec![7], vec![7, 9], vec![]));
    assert_eq!(ids(json!(7)).bos, None);
    assert_eq!(ids(json!([7, 320, -1])).eos, [7]);
    assert_eq!(ids(json!([-1, 320])).ignored, ["eos_token_id: 320 is outside the vocabulary of 320"]);
    assert_eq!(ids(json!([7, 9, 7])).eos, [7, 9], "each once");
    let many = read(llama(json!({"vocab_size": 2000, "eos_token_id": (0..1025).collect::<Vec<_>>()})));
    assert_eq!(many.eos, (0..1024).collect::<Vec<_>>());
    assert_eq!(many.ignored, ["eos_token_id: it names 1025 tokens, of which the first 1024 hold"]);
}

#[test]
fn an_unknown_field_is_shown_and_a_known_harmless_one_is_not() {
    let config = read(llama(json!({"initializer_range": 0.02, "use_cache": true, "pretraining_tp": 2, "transformers_version": "5.0.0",
        "attention_dropout": 0.1, "flux_capacitor": 1.21, "empty": null, "rope_scaling": {"rope_type": "default", "beta": 2},
        "temperature": 0.7, "num_experts": 0, "logit_scale": 1.0, "use_mrope": false, "hidden_act": "swish", "auto_map": {}})));
    assert_eq!(config.ignored, ["auto_map", "flux_capacitor", "rope_scaling.beta"]);
}

/// As `AutoModelForCausalLM` of transformers 5.24.0 where `model_type` is there; without it, that refuses
/// what is read here.
#[test]
fn the_model_type_decides_and_architectures_stands_in_for_it() {
    let names = [
        json!(null),
        json!([]),
        json!(["LLaMAForCausalLM"]),
        json!(["LlamaModel"]),
        json!(["MistralForCausalLM"]),
        json!(["LlamaForCausalLM", "LlamaForCausalLM"]),
        json!("LlamaForCausalLM"),
    ];
    for names in names {
        let config = read(llama(json!({"architectures": names})));
        assert_eq!((config.family, config.ignored), (Family::Llama, vec![]), "{names}");
    }
    assert_eq!(read(config_of("qwen3", "Qwen2Model", json!({}))).family, Family::Qwen3);
    // A name that says nothing here is told.
    let config = read(llama(json!({"architectures": ["MyLlamaForCausalLM"]})));
    assert_eq!((config.family, config.ignored), (Family::Llama, vec!["architectures".to_owned()]));

    for (name, family) in [("LLaMAForCausalLM", Family::Llama), ("Qwen2Model", Family::Qwen2), ("SmolLM3ForCausalLM", Family::SmolLm3)] {
        assert_eq!(read(config_of("", name, json!({"model_type": null}))).family, family);
    }
}

#[test]
fn a_field_that_changes_the_computation_is_refused_by_name() {
    let five = "LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, SmolLM3ForCausalLM";
    let types = ["full_attention", "full_attention", "chunked_attention", "full_attention"];
    let nested = json!({"full_attention": {"rope_type": "default", "rope_theta": 1e4}});
    assert_unsupported(&[
        (llama(json!({"model_type": null, "architectures": ["GemmaForCausalLM"]})), "architectures is [\"GemmaForCausalLM\"]", five),
        (
            llama(json!({"model_type": null, "architectures": ["LlamaForCausalLM", "Qwen2Model"]})),
            "architectures is [\"LlamaForCausalLM\",\"Qwen2Model\"]",
            five,
        ),
        // Code of the publisher's own.
        (
            llama(json!({"architectures": ["MyLlamaForCausalLM"], "auto_map": {"AutoModelForCausalLM": "modeling_my.MyLlamaForCausalLM"}})),
            "architectures is [\"MyLlamaForCausalLM\"]",
            five,
        ),
        (llama(json!({"pixel_shuffle_factor": 4})), "pixel_shuffle_factor is 4", "null"),
        (llama(json!({"model_type": "Llama"})), "model_type is Llama", "llama, mistral, qwen2, qwen3, smollm3"),
        (llama(json!({"architectures": null, "model_type": "gpt2"})), "model_type is gpt2", "llama, mistral, qwen2, qwen3, smollm3"),
        (llama(json!({"hidden_act": "gelu"})), "hidden_act is \"gelu\"", "silu"),
        (llama(json!({"quantization_config": {"quant_method": "gptq"}})), "quantization_config is {\"quant_method\":\"gptq\"}", "null"),
        (llama(json!({"rope_scaling": {"type": "linear", "factor": 2.0}})), "rope_scaling.type is \"linear\"", "default, llama3"),
        (llama(json!({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}})), "rope_scaling.rope_type is \"yarn\"", "default, llama3"),
        (qwen3(json!({"rope_parameters": {"rope_type": "dynamic"}})), "rope_parameters.rope_type is \"dynamic\"", "default, llama3"),
        (
            llama(json!({"rope_parameters": nested})),
            "rope_parameters.full_attention is {\"rope_theta\":10000.0,\"rope_type\":\"default\"}",
            "one set of parameters for all layers",
        ),
        (llama(json!({"partial_rotary_factor": 0.5})), "partial_rotary_factor is 0.5", "1"),
        (llama(json!({"rope_parameters": {"partial_rotary_factor": 0.5}})), "rope_parameters.partial_rotary_factor is 0.5", "1"),
        (llama(json!({"final_logit_softcapping": 30.0})), "final_logit_softcapping is 30.0", "null"),
        (llama(json!({"embedding_multiplier": 12})), "embedding_multiplier is 12", "1"),
        (llama(json!({"logits_scaling": 8})), "logits_scaling is 8", "1"),
        (llama(json!({"logit_scale": 0.06})), "logit_scale is 0.06", "1"),
        (llama(json!({"num_local_experts": 8})), "num_local_experts is 8", "null"),
        (llama(json!({"sliding_window": 1024})), "sliding_window is 1024", "null for LlamaForCausalLM"),
        (llama(json!({"no_rope_layers": [1, 1, 0, 1]})), "no_rope_layers is [1,1,0,1]", "1 in every layer for LlamaForCausalLM"),
        (mistral(json!({"attention_bias": true})), "attention_bias is true", "false for MistralForCausalLM"),
        (qwen3(json!({"mlp_bias": true})), "mlp_bias is true", "false for Qwen3ForCausalLM"),
        (qwen2(json!({"layer_types": types})), "layer_types[2] is \"chunked_attention\"", "full_attention, sliding_attention"),
        (
            mistral(json!({"layer_types": (vec!["full_attention"; 4])})),
            "layer_types[0] is full_attention",
            "sliding_attention in every layer that has a `sliding_window`",
        ),
        (mistral(json!({"use_sliding_window": false})), "use_sliding_window is false", "true where `sliding_window` is set"),
    ]);
}

#[test]
fn a_missing_or_impossible_number_is_named() {
    let dim = "a whole number from 1 to 1048576";
    let layers = "a whole number from 1 to 1024";
    let eps = "rms_norm_eps: expected a number above 0 and at most 1";
    let factor = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 4.0});
    assert_bad(&[
        (llama(json!({"hidden_size": "absent"})), &format!("hidden_size: expected {dim}, got nothing")),
        (llama(json!({"hidden_size": null})), &format!("hidden_size: expected {dim}, got nothing")),
        (llama(json!({"vocab_size": 0})), "vocab_size: expected a whole number from 1 to 16777216, got 0"),
        (llama(json!({"intermediate_size": -96})), &format!("intermediate_size: expected {dim}, got -96")),
        (llama(json!({"hidden_size": 64.5})), &format!("hidden_size: expected {dim}, got 64.5")),
        (llama(json!({"hidden_size": "64"})), &format!("hidden_size: expected {dim}, got \"64\"")),
        (llama(json!({"hidden_size": 2147483648u64})), &format!("hidden_size: expected {dim}, got 2147483648")),
        (llama(json!({"num_hidden_layers": 1_000_000_000})), &format!("num_hidden_layers: expected {layers}, got 1000000000")),
        (llama(json!({"num_attention_heads": u64::MAX})), &format!("num_attention_heads: expected {dim}, got {}", u64::MAX)),
        (llama(json!({"num_key_value_heads": 3})), "num_key_value_heads: expected a divisor of the 4 attention heads, got 3"),
        (mistral(json!({"num_key_value_heads": "absent"})), "num_key_value_heads: expected a divisor of the 4 attention heads, got 8"),
        (llama(json!({"hidden_size": 66})), "hidden_size: expected a multiple of the 4 attention heads, or a `head_dim`, got 66"),
        (llama(json!({"hidden_size": 60})), "head_dim: expected an even number, as rope turns pairs, got 15"),
        (llama(json!({"head_dim": 13})), "head_dim: expected an even number, as rope turns pairs, got 13"),
        (llama(json!({"head_dim": 524288})), "num_attention_heads x head_dim: expected at most 1048576, got 4 x 524288"),
        // The product is 2^32, which is 0 in the 32 bits of a wasm pointer.
        (
            llama(json!({"head_dim": 1048576, "num_attention_heads": 4096})),
            "num_attention_heads x head_dim: expected at most 1048576, got 4096 x 1048576",
        ),
        (llama(json!({"rms_norm_eps": 0})), &format!("{eps}, got 0")),
        (llama(json!({"rms_norm_eps": -1e-6})), &format!("{eps}, got -1e-6")),
        (llama(json!({"rms_norm_eps": 1.5e-46})), &format!("{eps}, got 1.5e-46")),
        (llama(json!({"rms_norm_eps": "1e-6"})), &format!("{eps}, got \"1e-6\"")),
        (llama(json!({"rope_theta": 0.0})), "rope_theta: expected a number above 0, got 0.0"),
        (llama(json!({"rope_scaling": "llama3"})), "rope_scaling: expected an object or null, got \"llama3\""),
        (llama(json!({"rope_scaling": {"rope_type": "llama3"}})), "rope_scaling.factor: expected a number of at least 1, got nothing"),
        (
            llama(json!({"rope_scaling": factor})),
            "rope_scaling.high_freq_factor: expected a number above low_freq_factor, which is 4, got 4",
        ),
        (llama(json!({"max_position_embeddings": 0})), "max_position_embeddings: expected a whole number from 1 to 1073741824, got 0"),
        (llama(json!({"tie_word_embeddings": "yes"})), "tie_word_embeddings: expected true or false, got \"yes\""),
        (llama(json!({"eos_token_id": "</s>"})), "eos_token_id: expected a token id, a list of them or null, got \"</s>\""),
        (
            llama(json!({"architectures": null, "model_type": null})),
            "model_type: expected one of llama, mistral, qwen2, qwen3, smollm3, got nothing",
        ),
        (mistral(json!({"sliding_window": 0})), "sliding_window: expected a whole number from 1 to 1073741824, got 0"),
        (qwen2(json!({"layer_types": ["full_attention"]})), "layer_types: expected an entry for each of 4 layers, got 1 entries"),
        (
            qwen2(json!({"layer_types": (vec!["sliding_attention"; 4])})),
            "layer_types[0]: expected full_attention, as no sliding window is in use, got sliding_attention",
        ),
        (smollm3(json!({"no_rope_layers": [1, 0]})), "no_rope_layers: expected an entry for each of 4 layers, got 2"),
        (smollm3(json!({"no_rope_layers": [1, 2, 1, 1]})), "no_rope_layers[1]: expected 0 or 1, got 2"),
        (smollm3(json!({"no_rope_layer_interval": 0})), &format!("no_rope_layer_interval: expected {layers}, got 0")),
    ]);
}

#[test]
fn another_kind_of_file_is_called_by_its_name() {
    let error = ModelConfig::from_json(b"<!doctype html><title>Sign in</title>").unwrap_err();
    let message = "config.json is not the model file it should be: it is an HTML page that begins \u{201c}<!doctype html><title>Sign in</title>\u{201d}. \
        Open its address in a browser tab: it may be mistyped, or the model may ask for a login or an accepted licence.";
    assert_eq!((error.code(), error.to_string()), ("NOT_A_MODEL_FILE", message.into()));
}

#[test]
fn tensors_and_sizes_are_those_of_transformers() {
    // Numbers of parameters by transformers 5.23.0: sum(p.numel() for p in model.parameters()).
    let config = read(llama(json!({})));
    assert_eq!(config.plan.parameters(), 164_416);
    assert_eq!(read(llama(json!({"tie_word_embeddings": true}))).plan.parameters(), 143_936);
    assert_eq!(read(llama(json!({"attention_bias": true, "mlp_bias": true}))).plan.parameters(), 166_208);
    assert_eq!(read(qwen2(json!({}))).plan.parameters(), 164_928);
    assert_eq!(read(qwen3(json!({"head_dim": 16}))).plan.parameters(), 164_544);
    assert_eq!(read(smollm3(json!({"tie_word_embeddings": false}))).plan.parameters(), 164_416);
    assert_eq!(config.plan.kv_bytes_per_token(KvDtype::F32), 2 * 4 * 2 * 16 * 4);
    assert_eq!(config.plan.kv_bytes_per_token(KvDtype::Q8), 2 * 34 * 2 * 4);
    assert_eq!(config.plan.kv_bytes(KvDtype::F32, 900), 900 * config.plan.kv_bytes_per_token(KvDtype::F32));
    // One of the four layers has a window of 8, and keeps 8 + 2 * 64 positions.
    let windowed = read(qwen2(json!({"use_sliding_window": true, "sliding_window": 8, "max_window_layers": 3}))).plan;
    assert_eq!(windowed.kv_bytes(KvDtype::F32, 100), 100 * windowed.kv_bytes_per_token(KvDtype::F32));
    assert_eq!(windowed.kv_bytes(KvDtype::F32, 900), (3 * 900 + 136) * windowed.kv_bytes_per_token(KvDtype::F32) / 4);

    let names: Vec<String> = config.plan.tensors().into_iter().map(|tensor| tensor.name).collect();
    assert_eq!(names.len(), 1 + 4 * 9 + 2);
    assert_eq!((names[0].as_str(), names[38].as_str()), ("model.embed_tokens.weight", "lm_head.weight"));
    let down = config.plan.tensors().into_iter().find(|tensor| tensor.name == "model.layers.3.mlp.down_proj.weight").unwrap();
    assert_eq!((down.shape, down.storage), (vec![64, 96], Storage::Plain));
}

#[test]
fn the_real_configs_are_read() {
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/models");
    let (Ok(story), Ok(chat)) =
        (std::fs::read(format!("{shared}/story/config.json")), std::fs::read(format!("{shared}/chat-tokenizer/config.json")))
    else {
        return eprintln!("skipped: {shared} is not there");
    };
    let story = ModelConfig::from_json(&story).unwrap();
    assert_eq!(
        (story.family, story.plan.tied, story.plan.head_dim, story.plan.kv_heads, story.plan.context),
        (Family::Llama, true, 16, 4, 512)
    );
    assert_eq!((story.plan.parameters(), story.dtype, story.ignored.len()), (656_000, Some(Dtype::F32), 0));
    let chat = ModelConfig::from_json(&chat).unwrap();
    assert_eq!((chat.family, chat.plan.head_dim, chat.plan.context, windows(&chat)), (Family::Mistral, 26, 2048, vec![Some(1024); 10]));
    assert_eq!((chat.eos, chat.ignored.len()), (vec![32000], 0));
}
