//! A config of any bytes gives an error, or consistent numbers that do not overflow.
#![no_main]

use fireside::internals::{Loader, Mixer, ModelConfig, Norm, Plan};
use fireside::{Dtype, KvDtype, LoadOptions};
use fireside_fuzz::{CONFIGS, file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(json) = file(&CONFIGS, data) else { return };
    let result = ModelConfig::from_json(&json);
    assert_eq!(result, ModelConfig::from_json(&json));
    let Ok(config) = result else { return };

    let Plan { vocab, hidden, inter, heads, kv_heads, head_dim, context, .. } = config.plan;
    for size in [vocab, hidden, inter, heads, kv_heads, head_dim, context, config.plan.layers.len()] {
        assert!(size > 0 && size <= 1 << 30);
    }
    assert!(heads % kv_heads == 0 && head_dim % 2 == 0);
    let is_eps = |norm: Norm| norm.eps > 0.0 && norm.eps <= 1.0;
    for layer in &config.plan.layers {
        let Mixer::Attention(attention) = &layer.mixer;
        assert!(attention.window.is_none_or(|window| window > 0) && attention.scale > 0.0 && attention.scale <= 1.0);
        assert!(attention.rope.is_none_or(|rope| rope < config.plan.ropes.len()));
        assert!(is_eps(layer.mixer_norm) && is_eps(layer.mlp_norm) && attention.qk_norm.is_none_or(is_eps));
    }
    assert!(is_eps(config.plan.norm));
    assert!(config.plan.ropes.iter().all(|rope| rope.dims <= head_dim && rope.theta > 0.0 && rope.theta.is_finite()));
    assert!(config.bos.iter().chain(&config.eos).all(|&id| (id as usize) < vocab));

    // The same sums and products in 128 bits.
    let len = |shape: &[usize]| shape.iter().map(|&dim| dim as u128).product::<u128>();
    let parameters: u128 = config.plan.tensors().iter().map(|tensor| len(&tensor.shape)).sum();
    assert_eq!(u128::from(config.plan.parameters()), parameters);
    let f32_bytes = u128::from(config.plan.weight_bytes(Dtype::F32));
    assert!(f32_bytes >= 4 * parameters, "{f32_bytes} bytes for {parameters} numbers");
    for dtype in [Dtype::F16, Dtype::Bf16, Dtype::Q8, Dtype::Q4] {
        let bytes = u128::from(config.plan.weight_bytes(dtype));
        assert!(bytes <= f32_bytes && 2 * bytes >= parameters, "{bytes} bytes of {dtype} for {parameters} numbers");
    }
    let numbers = 2 * len(&[config.plan.layers.len(), kv_heads, head_dim]);
    assert!(u128::from(config.plan.kv_bytes_per_token(KvDtype::F32)) >= 4 * numbers);
    let narrow = LoadOptions { weight_bytes_max: Some(1), ..LoadOptions::default() };
    assert!(narrow.storage(&config).is_some());
    assert!(Loader::new(&config, None, None).is_ok() || f32_bytes > 1 << 60);
});
