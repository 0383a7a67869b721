"""Makes one shape's files for every engine: python make.py SHAPE.json OUT [PUBLISHED_FOLDER]

OUT gets config.json, tokenizer.json, prompts.json, {f32,f16,bf16}/model.safetensors,
{f32,f16,q8,q4}.gguf and onnx/*.onnx. Existing files are kept."""

import json
import logging
import shutil
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

import gguf_file
import onnx_graph
import tokenizer
import weights


def whole(path, write):
    """Runs `write` unless `path` exists. `path` appears only when it is complete."""
    if path.exists():
        return
    part = path.with_name(path.name + ".part")
    write(part)
    part.rename(path)


def main(shape, out, published=None):
    out.mkdir(parents=True, exist_ok=True)
    config = weights.read_config(shape)
    (out / "config.json").write_text(json.dumps(config, indent=2))
    if published:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(published / name, out / name)
    else:
        tokenizer.write_words(out / "tokenizer.json", config["vocab_size"])
        (out / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "unk_token": "<unk>"}))
    tokenizer.write_prompts(out / "prompts.json", out / "tokenizer.json", config, published)
    values = weights.of(config, published)
    for fmt, kind in (("f32", np.float32), ("f16", np.float16), ("bf16", ml_dtypes.bfloat16)):
        (out / fmt).mkdir(exist_ok=True)
        whole(out / fmt / "model.safetensors", lambda path: save_file({name: value.astype(kind) for name, value in values.items()}, path))
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(out / name, out / fmt / name)
    for fmt in gguf_file.KINDS:
        if gguf_file.fits(config, fmt):
            whole(out / f"{fmt}.gguf", lambda path: gguf_file.write(path, config, values, fmt))
    (out / "onnx").mkdir(exist_ok=True)
    for fmt, name in onnx_graph.FILES.items():
        whole(out / "onnx" / name, lambda path: onnx_graph.write(path, config, values, fmt))


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main(*map(Path, sys.argv[1:]))
