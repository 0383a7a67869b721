"""Writes ggml.json: blocks of random bytes in every format that is read, and what the package gguf makes of them.

    python make_ggml.py > ggml.json      (gguf, numpy)
"""

import importlib.metadata
import json

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGML_QUANT_SIZES, dequantize

# Where the f16 scales of a block stand. Random bytes there would often be infinite.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "IQ4_NL": [0], "MXFP4": [],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}

random = np.random.default_rng(13)
formats = {}
for name, places in SCALES.items():
    kind = getattr(Type, name)
    cols, size = GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (256 // cols, size), dtype=np.uint8)
    for place in places:
        scales = random.uniform(-0.02, 0.05, len(blocks)).astype("<f2")
        blocks[:, place : place + 2] = scales.view(np.uint8).reshape(-1, 2)
    if name == "MXFP4":
        blocks[:, 0] = random.integers(100, 140, len(blocks))
    values = dequantize(blocks.reshape(1, -1), kind).astype("<f4")
    formats[name] = {"bytes": blocks.tobytes().hex(), "values": values.tobytes().hex()}
print(json.dumps({"made_by": f"gguf {importlib.metadata.version('gguf')}", "formats": formats}, indent=1))
