"""Writes a GGUF file of a Llama, as llama.cpp's own converter does."""

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from gguf.quants import quantize

NAMES = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
OUTER = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
KINDS = {"f32": (Kind.F32, gguf.LlamaFileType.ALL_F32), "f16": (Kind.F16, gguf.LlamaFileType.MOSTLY_F16),
         "q8": (Kind.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0), "q4": (Kind.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0)}


def fits(config, fmt):
    """llama.cpp's blocks hold 32 values of a row, and a row must be a whole number of blocks."""
    return fmt not in ("q8", "q4") or all(config[key] % 32 == 0 for key in ("hidden_size", "intermediate_size"))


def gguf_name(name):
    if name in OUTER:
        return OUTER[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"


def interleaved(matrix, heads):
    """The rows of Q and K in the order of llama.cpp's rope, which pairs neighbours; Hugging Face pairs
    halves."""
    rows, columns = matrix.shape
    return matrix.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write(path, config, weights, fmt):
    kind, file_type = KINDS[fmt]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_file_type(file_type)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    # wllama accepts prompts as text only. This kind of tokenizer matches the longest token, so the text
    # determines the ids.
    writer.add_tokenizer_model("rwkv")
    writer.add_token_list([f" w{token}" for token in range(config["vocab_size"])])
    for name, value in weights.items():
        if name.endswith("q_proj.weight"):
            value = interleaved(value, config["num_attention_heads"])
        if name.endswith("k_proj.weight"):
            value = interleaved(value, config["num_key_value_heads"])
        stored = kind if value.ndim == 2 else Kind.F32
        # llama-quantize stores the output matrix in a finer format: Q6_K, or Q8_0 if a row is not whole
        # blocks of 256, as here.
        if fmt == "q4" and name in ("lm_head.weight", "model.embed_tokens.weight"):
            stored = Kind.Q8_0
        if stored == Kind.F32:
            writer.add_tensor(gguf_name(name), np.ascontiguousarray(value))
        else:
            writer.add_tensor(gguf_name(name), quantize(np.ascontiguousarray(value), stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
