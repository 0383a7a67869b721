//! The fields of `config.json` that ask for a computation that is not implemented, and those that change
//! nothing.

use super::fields::{Fields, is_off};
use crate::error::Result;
use crate::json::show;
use serde_json::Value;

/// Fields that change the computation in a way that is not implemented, unless they are null, false, 0 or
/// empty.
const OFF_ONLY: &[&str] = &[
    // other number formats; for `quantization_config` see `refuse_unsupported` and quantization.rs
    "compression_config",
    "sparsity_config",
    // softcapping, and other scales that are neutral when absent
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "attn_logit_softcap",
    "final_logit_softcap",
    "logit_softcap",
    "logits_soft_cap",
    "query_pre_attn_scalar",
    "attention_multiplier",
    "scale_depth",
    "dim_model_base",
    "attn_temperature_tuning",
    "llama_4_scaling",
    "clip_qkv",
    // experts
    "num_experts",
    "num_local_experts",
    "n_routed_experts",
    "n_shared_experts",
    "num_experts_per_tok",
    "moe_intermediate_size",
    "mlp_layer_types",
    // another attention
    "attention_chunk_size",
    "attention_sink",
    "attn_output_gate",
    "use_gated_attention",
    "cross_attention_layers",
    "interleaved_sliding_window",
    "sliding_window_pattern",
    "kv_lora_rank",
    "q_lora_rank",
    "per_layer_config",
    "use_bidirectional_attention",
    "alibi",
    "use_alibi",
    "qk_layernorm",
    "qk_layer_norms",
    "use_qk_norm",
    "qk_norm",
    // another rope
    "mrope_section",
    "use_mrope",
    "rope_interleave",
    "rope_interleaved",
    "rope_local_base_freq",
    // another wiring
    "parallel_attn",
    "use_parallel_residual",
    "is_encoder_decoder",
    "add_cross_attention",
    "lm_head_bias",
    "text_config",
    "vision_config",
    "audio_config",
    "pixel_shuffle_factor",
    "use_resampler",
    // a model that only drafts tokens for another
    "draft_vocab_size",
];

/// Factors that change the computation in a way that is not implemented, unless they are null or 1.
const ONE_ONLY: &[&str] = &[
    "partial_rotary_factor",
    "rotary_pct",
    "rope_scaling_factor",
    "rope_ratio",
    "embedding_multiplier",
    "embedding_scale",
    "scale_emb",
    "residual_multiplier",
    "logits_scaling",
    "logit_scale",
    "lm_head_multiplier",
];

/// Methods of quantisation: those of transformers 5.24 (`quantizers/auto.py`), and those of other engines
/// that are published in `config.json`.
///
/// transformers ignores a method that it does not know. `bitsandbytes` without `load_in_4bit` and
/// `load_in_8bit` means that nothing is quantised. The headers of the weight files show in any case whether
/// weights are plain numbers.
const QUANTISED: &[&str] = &[
    "gguf",
    "awq",
    "eetq",
    "gptq",
    "aqlm",
    "quanto",
    "quark",
    "fouroversix",
    "fp_quant",
    "hqq",
    "compressed-tensors",
    "fbgemm_fp8",
    "higgs",
    "torchao",
    "bitnet",
    "vptq",
    "spqr",
    "fp8",
    "nvfp4",
    "mxfp8",
    "auto-round",
    "mxfp4",
    "metal",
    "sinq",
    "gemma",
    "modelopt",
    "modelopt_fp4",
    "exl2",
    "exl3",
    "marlin",
    "intel/auto-round",
    "deepspeedfp",
    "tpu_int8",
    "experts_int8",
    "w8a8_int8",
    "w8a8_fp8",
    "owq",
    "squeezellm",
    "mlx",
];

/// Fields that do not change the logits: training, bookkeeping, and copies of fields of other files.
const HARMLESS: &[&str] = &[
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "_flash_attn_2_enabled",
    "_model_name_or_path",
    "_name_or_path",
    "attention_dropout",
    "attn_implementation",
    "attn_pdrop",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "embd_pdrop",
    "finetuning_task",
    "gradient_checkpointing",
    "hidden_dropout",
    "id2label",
    "initializer_range",
    "is_decoder",
    "is_llama_config",
    "label2id",
    "name_or_path",
    "num_labels",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    // transformers 4 splits products into partial sums by it, which changes only the rounding.
    "pretraining_tp",
    "problem_type",
    "pruned_heads",
    "resid_pdrop",
    "return_dict",
    "sep_token_id",
    "task_specific_params",
    "tie_encoder_decoder",
    "tie_last_hidden_states",
    "tokenizer_class",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "unk_token_id",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    "use_return_dict",
    // Defaults of generation, which transformers 4 wrote here too. `generation` reads them if there is no
    // `generation_config.json`.
    "bad_words_ids",
    "begin_suppress_tokens",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "encoder_repetition_penalty",
    "epsilon_cutoff",
    "eta_cutoff",
    "exponential_decay_length_penalty",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "length_penalty",
    "max_length",
    "max_new_tokens",
    "min_length",
    "min_new_tokens",
    "min_p",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_scores",
    "prefix",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict_in_generate",
    "sequence_bias",
    "stop_strings",
    "suppress_tokens",
    "temperature",
    "tf_legacy_loss",
    "top_h",
    "top_k",
    "top_p",
    "typical_p",
];

/// Refuses every field that asks for a computation that is not implemented.
pub(super) fn refuse_unsupported(fields: &mut Fields) -> Result<()> {
    if let Some(value) = fields.take("quantization_config").filter(|value| !is_off(value)) {
        let says = |field: &str| value.get(field).is_some_and(|value| !is_off(value));
        let method = value.get("quant_method").and_then(Value::as_str);
        if says("load_in_4bit") || says("load_in_8bit") || method.is_none_or(|method| QUANTISED.contains(&method)) {
            return Err(fields.unsupported("quantization_config", "null", show(&value)));
        }
        fields.put_back("quantization_config", value);
    }
    for &name in OFF_ONLY {
        if let Some(value) = fields.take(name).filter(|value| !is_off(value)) {
            return Err(fields.unsupported(name, "null", show(&value)));
        }
    }
    for &name in ONE_ONLY {
        if let Some(value) = fields.take(name).filter(|value| value.as_f64() != Some(1.0)) {
            return Err(fields.unsupported(name, "1", show(&value)));
        }
    }
    Ok(())
}

/// The fields that nobody took and that are not known to be harmless.
pub(super) fn unknown(fields: Fields) -> Vec<String> {
    fields.rest().map(|(name, _)| name).filter(|name| !HARMLESS.contains(&name.as_str())).collect()
}
