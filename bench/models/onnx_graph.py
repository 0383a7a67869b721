"""Writes an ONNX file of a Llama with a KV cache, as transformers.js needs it.

Attention is written in one of two ways: as the fused GroupQueryAttention of onnxruntime's model builder,
which newer published models have and which needs head sizes that are multiples of 8, or as the plain
operators of Optimum's export. The other formats are made from fp32 as transformers.js' conversion script
makes them: q8 with onnxruntime's dynamic quantiser (MatMulInteger; unsigned weights with fused
attention), q4 in blocks of 32 (MatMulNBits, symmetric), fp16 by casting every tensor, with float32 at
the model's inputs and outputs."""

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
from onnxruntime.quantization.quant_utils import QuantizationMode
from onnxruntime.quantization.registry import IntegerOpsRegistry

FILES = {"f32": "model.onnx", "f16": "model_fp16.onnx", "q8": "model_quantized.onnx", "q4": "model_q4.onnx"}
CONTRIB = "com.microsoft"


class Graph:
    """The nodes and initializers of a growing graph; `float_type` is the type of everything that is not an
    index."""

    def __init__(self, config, float_type):
        self.config, self.float_type = config, float_type
        self.np_float = np.float16 if float_type == T.FLOAT16 else np.float32
        self.nodes, self.initializers = [], []

    def constant(self, name, value):
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def floats(self, name, value):
        return self.constant(name, np.asarray(value).astype(self.np_float))

    def op(self, kind, inputs, name, outputs=None, domain="", **attributes):
        outputs = outputs or [name]
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=f"{name}/{kind}", domain=domain, **attributes))
        return outputs[0]

    def matmul(self, x, name, weight):
        return self.op("MatMul", [x, self.floats(name + ".weight", weight.T)], name)

    def norm(self, x, name, weight, residual=None):
        """Returns (normalised, the residual stream). With `residual`, normalises the sum of both and
        continues with it."""
        epsilon = self.config["rms_norm_eps"]
        scale = self.floats(name + ".weight", weight)
        if residual is None:
            return self.op("SimplifiedLayerNormalization", [x, scale], name, axis=-1, epsilon=epsilon, stash_type=1), x
        total = name + ".sum"
        self.op("SkipSimplifiedLayerNormalization", [residual, x, scale], name, [name, "", "", total], CONTRIB, epsilon=epsilon)
        return name, total


def rope_tables(config):
    """(cosines, sines) of every position, each half a head wide."""
    half = config["head_dim"] // 2
    frequencies = 1.0 / config["rope_theta"] ** (np.arange(half, dtype=np.float64) / half)
    angles = np.arange(config["max_position_embeddings"])[:, None] * frequencies[None]
    return np.cos(angles), np.sin(angles)


def fused_attention(graph, layer, q, k, v, past):
    config = graph.config
    out = f"layers.{layer}.attention"
    inputs = [q, k, v, *past, "seqlens_k", "total_length", "cos_cache", "sin_cache"]
    graph.op("GroupQueryAttention", inputs, out, [out, f"present.{layer}.key", f"present.{layer}.value"], CONTRIB,
             num_heads=config["num_attention_heads"], kv_num_heads=config["num_key_value_heads"],
             scale=config["head_dim"] ** -0.5, do_rotary=1, rotary_interleaved=0)
    return out


def plain_attention(graph, layer, q, k, v, past):
    config = graph.config
    heads, kv_heads, head_dim = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    at = lambda name: f"layers.{layer}.attention.{name}"

    def split(x, name, count):
        shaped = graph.op("Reshape", [x, f"shape.{count}"], at(name + ".heads"))
        return graph.op("Transpose", [shaped], at(name + ".t"), perm=[0, 2, 1, 3])

    def rotated(x, name):
        first = graph.op("Slice", [x, "zero", "half", "last_axis"], at(name + ".first"))
        second = graph.op("Slice", [x, "half", "end", "last_axis"], at(name + ".second"))
        turned = graph.op("Concat", [graph.op("Neg", [second], at(name + ".neg")), first], at(name + ".turned"), axis=-1)
        return graph.op("Add", [graph.op("Mul", [x, "cos"], at(name + ".cos")), graph.op("Mul", [turned, "sin"], at(name + ".sin"))], at(name + ".rope"))

    def repeated(x, name):
        """Repeats each KV head for each of its query heads."""
        wide = graph.op("Expand", [graph.op("Unsqueeze", [x, "axis_2"], at(name + ".u")), "repeat_shape"], at(name + ".e"))
        return graph.op("Reshape", [wide, "repeated_shape"], at(name + ".r"))

    query = rotated(split(q, "q", heads), "q")
    key = rotated(split(k, "k", kv_heads), "k")
    key = graph.op("Concat", [past[0], key], f"present.{layer}.key", axis=2)
    value = graph.op("Concat", [past[1], split(v, "v", kv_heads)], f"present.{layer}.value", axis=2)
    transposed = graph.op("Transpose", [repeated(key, "k")], at("k.tt"), perm=[0, 1, 3, 2])
    scores = graph.op("Mul", [graph.op("MatMul", [query, transposed], at("qk")), graph.floats(at("scale"), head_dim ** -0.5)], at("scaled"))
    shares = graph.op("Softmax", [graph.op("Add", [scores, "causal_mask"], at("masked"))], at("softmax"), axis=-1)
    mixed = graph.op("Transpose", [graph.op("MatMul", [shares, repeated(value, "v")], at("mixed"))], at("back"), perm=[0, 2, 1, 3])
    return graph.op("Reshape", [mixed, "shape.out"], at("out"))


def prepare_fused(graph):
    cos, sin = rope_tables(graph.config)
    graph.floats("cos_cache", cos)
    graph.floats("sin_cache", sin)
    graph.constant("one", np.array([1], np.int64))
    length = graph.op("ReduceSum", ["attention_mask", "one"], "length", keepdims=1)
    graph.op("Cast", [graph.op("Sub", [length, "one"], "length_less_one")], "seqlens_k", to=T.INT32)
    shape = graph.op("Shape", ["attention_mask"], "mask_shape")
    total = graph.op("Gather", [shape, graph.constant("index_1", np.array(1, np.int64))], "mask_length", axis=0)
    graph.op("Cast", [total], "total_length", to=T.INT32)


def prepare_plain(graph):
    config = graph.config
    heads, kv_heads, head_dim = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    ints = lambda name, *values: graph.constant(name, np.array(values, np.int64))
    ints("zero", 0), ints("half", head_dim // 2), ints("end", head_dim), ints("last_axis", -1), ints("axis_2", 2)
    ints(f"shape.{heads}", 0, 0, heads, head_dim), ints(f"shape.{kv_heads}", 0, 0, kv_heads, head_dim)
    ints("shape.out", 0, 0, heads * head_dim)
    ints("repeat_shape", 1, 1, heads // kv_heads, 1, 1), ints("repeated_shape", 0, heads, -1, head_dim)
    scalar = lambda name, value: graph.constant(name, np.array(value, np.int64))
    total = graph.op("Gather", [graph.op("Shape", ["attention_mask"], "mask_shape"), scalar("index_1", 1)], "total", axis=0)
    seq = graph.op("Gather", [graph.op("Shape", ["input_ids"], "ids_shape"), "index_1"], "seq", axis=0)
    start = graph.op("Sub", [total, seq], "past_length")
    places = graph.op("Range", [start, total, "index_1"], "places")
    keys = graph.op("Range", [scalar("index_0", 0), total, "index_1"], "key_places")
    later = graph.op("Greater", [graph.op("Unsqueeze", [keys, "zero"], "row"), graph.op("Unsqueeze", [places, "last_axis"], "column")], "later")
    graph.op("Where", [later, graph.floats("minus_infinity", -np.inf), graph.floats("nothing", 0)], "causal_mask")
    for name, table in zip(("cos", "sin"), rope_tables(config)):
        graph.op("Gather", [graph.floats(name + "_cache", np.concatenate([table, table], -1)), places], name, axis=0)


def build(config, weights, float_type=T.FLOAT, fused=True):
    graph = Graph(config, float_type)
    kv_heads, head_dim, layers = config["num_key_value_heads"], config["head_dim"], config["num_hidden_layers"]
    (prepare_fused if fused else prepare_plain)(graph)
    attention = fused_attention if fused else plain_attention
    half = float_type == T.FLOAT16
    inputs = [helper.make_tensor_value_info("input_ids", T.INT64, ["batch_size", "sequence_length"]),
              helper.make_tensor_value_info("attention_mask", T.INT64, ["batch_size", "total_sequence_length"])]
    outputs = [helper.make_tensor_value_info("logits", T.FLOAT, ["batch_size", "sequence_length", config["vocab_size"]])]

    embedding = weights["model.embed_tokens.weight"]
    residual = graph.op("Gather", [graph.floats("embed_tokens.weight", embedding), "input_ids"], "embed_tokens", axis=0)
    branch = None
    for layer in range(layers):
        weight = lambda name: weights[f"model.layers.{layer}.{name}.weight"]
        at = lambda name: f"layers.{layer}.{name}"
        past = []
        for part in ("key", "value"):
            shape = ["batch_size", kv_heads, "past_sequence_length", head_dim]
            inputs.append(helper.make_tensor_value_info(f"past_key_values.{layer}.{part}", float_type, shape))
            shape = ["batch_size", kv_heads, "total_sequence_length", head_dim]
            outputs.append(helper.make_tensor_value_info(f"present.{layer}.{part}", float_type, shape))
            past.append(f"past_key_values.{layer}.{part}")
        x, residual = graph.norm(branch or residual, at("input_norm"), weight("input_layernorm"), residual if branch else None)
        q, k, v = (graph.matmul(x, at(f"{name}_proj"), weight(f"self_attn.{name}_proj")) for name in "qkv")
        branch = graph.matmul(attention(graph, layer, q, k, v, past), at("o_proj"), weight("self_attn.o_proj"))
        x, residual = graph.norm(branch, at("post_norm"), weight("post_attention_layernorm"), residual)
        gate, up = (graph.matmul(x, at(f"{name}_proj"), weight(f"mlp.{name}_proj")) for name in ("gate", "up"))
        silu = graph.op("Mul", [gate, graph.op("Sigmoid", [gate], at("sigmoid"))], at("silu"))
        branch = graph.matmul(graph.op("Mul", [silu, up], at("gated")), at("down_proj"), weight("mlp.down_proj"))
    x, _ = graph.norm(branch, "norm", weights["model.norm.weight"], residual)
    logits = graph.matmul(x, "lm_head" if half else "logits", weights.get("lm_head.weight", embedding))
    if half:
        graph.op("Cast", [logits], "logits", to=T.FLOAT)

    proto = helper.make_graph(graph.nodes, "llama", inputs, outputs, graph.initializers)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(proto, opset_imports=opsets, ir_version=8, producer_name="fireside-bench")


def quantized_q8(model, fused):
    quantizer = ONNXQuantizer(
        model, False, False, mode=QuantizationMode.IntegerOps, static=False, weight_qType=QuantType.QUInt8 if fused else QuantType.QInt8,
        activation_qType=QuantType.QUInt8, tensors_range=None, nodes_to_quantize=[], nodes_to_exclude=[],
        op_types_to_quantize=set(IntegerOpsRegistry.keys()), extra_options={"EnableSubgraph": True, "MatMulConstBOnly": True, "DefaultTensorType": T.FLOAT})
    quantizer.quantize_model()
    return quantizer.model.model


def quantized_q4(model):
    quantizer = MatMulNBitsQuantizer(model, block_size=32, is_symmetric=True)
    quantizer.process()
    return quantizer.model.model


def write(path, config, weights, fmt):
    fused = config["head_dim"] % 8 == 0
    model = build(config, weights, T.FLOAT16 if fmt == "f16" else T.FLOAT, fused)
    if fmt == "q8":
        model = quantized_q8(model, fused)
    if fmt == "q4":
        model = quantized_q4(model)

    onnx.save(model, path)
