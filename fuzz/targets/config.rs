//! A config of any bytes gives an error, or consistent numbers that do not overflow.
#![no_main]

use fireside::LoadOptions;
use fireside::cache::KvDtype;
use fireside::config::ModelConfig;
use fireside::quant::Dtype;
use fireside::weights::Loader;
use fireside_fuzz::{CONFIGS, file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(json) = file(&CONFIGS, data) else { return };
    let result = ModelConfig::from_json(&json);
    assert_eq!(result, ModelConfig::from_json(&json));
    let Ok(config) = result else { return };

    for size in [config.vocab, config.hidden, config.inter, config.layers, config.heads, config.kv_heads, config.head_dim, config.context] {
        assert!(size > 0 && size <= 1 << 30);
    }
    assert!(config.heads % config.kv_heads == 0 && config.head_dim % 2 == 0);
    assert_eq!(config.attention.len(), config.layers);
    assert!(config.attention.iter().all(|layer| layer.window.is_none_or(|window| window > 0)));
    assert!(config.rms_eps > 0.0 && config.rms_eps <= 1.0 && config.rope_theta > 0.0 && config.rope_theta.is_finite());
    assert!(config.bos.iter().chain(&config.eos).all(|&id| (id as usize) < config.vocab));

    // The same sums and products in 128 bits.
    let len = |shape: &[usize]| shape.iter().map(|&dim| dim as u128).product::<u128>();
    let parameters: u128 = config.plan.tensors().iter().map(|tensor| len(&tensor.shape)).sum();
    assert_eq!(u128::from(config.parameters()), parameters);
    let f32_bytes = u128::from(config.weight_bytes(Dtype::F32));
    assert!(f32_bytes >= 4 * parameters, "{f32_bytes} bytes for {parameters} numbers");
    for dtype in [Dtype::F16, Dtype::Bf16, Dtype::Q8, Dtype::Q4] {
        let bytes = u128::from(config.weight_bytes(dtype));
        assert!(bytes <= f32_bytes && 2 * bytes >= parameters, "{bytes} bytes of {dtype} for {parameters} numbers");
    }
    let numbers = 2 * len(&[config.layers, config.kv_heads, config.head_dim]);
    assert!(u128::from(config.kv_bytes_per_token(KvDtype::F32)) >= 4 * numbers);
    let narrow = LoadOptions { weight_bytes_max: Some(1), ..LoadOptions::default() };
    assert!(narrow.storage(&config).is_some());
    assert!(Loader::new(&config, None, None).is_ok() || f32_bytes > 1 << 60);
});
