"""The weights of a shape by their Hugging Face names: random ones from a seed, or those of a published
model."""

import json

import numpy as np
from safetensors.numpy import load_file


def tensors(config):
    """Yields (name, float32 array) of a Llama with this config; always the same values.

    The deviations keep the scale of the residual stream. Activations, and so the time that an engine
    takes, are then normal, and the two likeliest tokens are far enough apart to compare greedy texts."""
    draw = np.random.Generator(np.random.SFC64(1))
    hidden, inter = config["hidden_size"], config["intermediate_size"]
    query, key = (config[heads] * config["head_dim"] for heads in ("num_attention_heads", "num_key_value_heads"))

    def matrix(rows, columns, gain=1.0):
        return draw.standard_normal((rows, columns), dtype=np.float32) * np.float32(gain / np.sqrt(columns))

    yield "model.embed_tokens.weight", matrix(config["vocab_size"], hidden)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", 1 + 0.1 * draw.standard_normal(hidden, dtype=np.float32)
        yield prefix + "self_attn.q_proj.weight", matrix(query, hidden)
        yield prefix + "self_attn.k_proj.weight", matrix(key, hidden)
        yield prefix + "self_attn.v_proj.weight", matrix(key, hidden)
        yield prefix + "self_attn.o_proj.weight", matrix(hidden, query, 0.5)
        yield prefix + "post_attention_layernorm.weight", 1 + 0.1 * draw.standard_normal(hidden, dtype=np.float32)
        yield prefix + "mlp.gate_proj.weight", matrix(inter, hidden)
        yield prefix + "mlp.up_proj.weight", matrix(inter, hidden)
        yield prefix + "mlp.down_proj.weight", matrix(hidden, inter, 0.5)
    yield "model.norm.weight", 1 + 0.1 * draw.standard_normal(hidden, dtype=np.float32)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", matrix(config["vocab_size"], hidden)


def of(config, folder):
    """All weights as a dict: from `folder`/model.safetensors if the shape is a published model, otherwise
    random."""
    if folder is None:
        return dict(tensors(config))
    weights = {name: value.astype(np.float32) for name, value in load_file(folder / "model.safetensors").items()}
    # A file holds one of two tied matrices, under either name.
    if config["tie_word_embeddings"] and "lm_head.weight" in weights:
        weights["model.embed_tokens.weight"] = weights.pop("lm_head.weight")
    return weights


def read_config(path):
    """A config with the fields written out that are otherwise derived."""
    config = json.loads(path.read_text())
    config.setdefault("head_dim", config["hidden_size"] // config["num_attention_heads"])
    config.setdefault("rope_theta", 10000.0)
    return config
