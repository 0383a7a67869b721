"""Makes tiny checkpoints in the layout of MLX in `tests/fixtures`, and their reference values here.

    python tests/golden/make_mlx.py

The weights are random (`tests/fixtures/make.py`), `mx.quantize` quantises them, and `mx.dequantize` gives
the weights of the reference, in f32, which transformers runs as `make_golden.py` does. mlx-lm loads each
folder too, as a proof of the layout: its logits, from the same weights, must be close to the reference's.

`mlx-mixed-bf16` has a module of each number of bits and each size of a group, and one that is not
quantised. `mlx-sharded-f16` has biases beside offsets (`q_proj.bias`, `q_proj.biases`), and the codes of a
module in another file than its scales. `mlx-fp4-bf16` has numbers of four bits with powers of two."""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import mlx.core as mx
import mlx_lm
import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "fixtures")]
import make  # noqa: E402
import make_golden  # noqa: E402

STEPS = 60
PROMPTS = make_golden.FIXTURE_PROMPTS[:1] + make_golden.FIXTURE_PROMPTS[3:]


def affine(bits, group_size):
    return {"group_size": group_size, "bits": bits, "mode": "affine"}


MIXED = {
    "model.embed_tokens": affine(8, 64),
    "lm_head": affine(3, 128),
    "model.layers.0.self_attn.q_proj": affine(2, 32),
    "model.layers.0.self_attn.k_proj": affine(5, 64),
    "model.layers.0.self_attn.v_proj": affine(8, 128),
    "model.layers.0.self_attn.o_proj": affine(6, 32),
    "model.layers.0.mlp.gate_proj": affine(5, 128),
    "model.layers.0.mlp.up_proj": affine(3, 32),
    "model.layers.0.mlp.down_proj": affine(4, 32),
    "model.layers.1.self_attn.q_proj": affine(6, 64),
    "model.layers.1.self_attn.k_proj": affine(2, 128),
    "model.layers.1.self_attn.v_proj": affine(3, 64),
    "model.layers.1.self_attn.o_proj": affine(8, 32),
    "model.layers.1.mlp.gate_proj": affine(6, 128),
    "model.layers.1.mlp.up_proj": False,
    "model.layers.1.mlp.down_proj": affine(2, 64),
}

# Name -> the row of the model, the packing, the modules with another, and the number of files.
FIXTURES = {
    "mlx-mixed-bf16": (make.fixture("llama", "bf16", 128, 4, 2, 64, 2, 21, spelling=5, options={"head_dim": 8}), affine(4, 64), MIXED, 1),
    "mlx-sharded-f16": (make.fixture("qwen2", "f16", 64, 4, 2, 96, 2, 22, spelling=4, tied=True, tweak="no_bos"), affine(4, 32), {}, 2),
    "mlx-fp4-bf16": (make.fixture("llama", "bf16", 64, 4, 2, 96, 2, 23, spelling=5, tied=True),
                     {"group_size": 32, "bits": 4, "mode": "mxfp4"}, {}, 1),
}  # fmt: skip


def quantise(tensors, own, modules):
    """The tensors of the file, as mlx arrays, and those of the reference, in f32."""
    packed, exact = {}, {}
    for name, tensor in tensors.items():
        stem = name.removesuffix(".weight")
        packing = modules.get(stem, own)
        kind = mx.bfloat16 if tensor.dtype == torch.bfloat16 else mx.float16
        array = mx.array(tensor.float().numpy()).astype(kind)
        if tensor.dim() == 1 or not packing:
            packed[name], exact[name] = array, tensor.float()
            continue
        codes, *factors = mx.quantize(array, **packing)
        wide = factors if packing["mode"] == "mxfp4" else [factor.astype(mx.float32) for factor in factors]
        exact[name] = torch.tensor(np.array(mx.dequantize(codes, *wide, **packing).astype(mx.float32)))
        packed |= dict(zip([name, f"{stem}.scales", f"{stem}.biases"], [codes, *factors], strict=False))
    return packed, exact


def write(folder, packed, shards):
    """One file, or several with their index. Names in turn go to the files, so that parts of a module are
    apart."""
    if shards == 1:
        mx.save_safetensors(str(folder / "model.safetensors"), packed, metadata={"format": "mlx"})
        return
    where = {name: f"model-{at % shards + 1:05}-of-{shards:05}.safetensors" for at, name in enumerate(sorted(packed))}
    for file in sorted(set(where.values())):
        mx.save_safetensors(str(folder / file), {name: packed[name] for name in packed if where[name] == file}, metadata={"format": "mlx"})
    total = sum(array.nbytes for array in packed.values())
    make.write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": where})


def build(name, spec, own, modules, shards):
    folder = HERE.parent / "fixtures" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    config = make.config_dict(spec)
    if spec["spelling"] == 4:
        config = make.transformers4_spelling(config, spec)
    eos = config["eos_token_id"]
    make.write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": eos, "transformers_version": transformers.__version__})
    make.write_tokenizer(folder, spec)
    make.write_json(folder / "config.json", config)
    model = AutoModelForCausalLM.from_config(make.load_config(folder), dtype=torch.float32)
    make.random_weights(model, spec, torch.Generator().manual_seed(1000 * spec["seed"]))
    packed, exact = quantise(make.state(model, spec), own, modules)
    with tempfile.TemporaryDirectory() as plain:
        plain = Path(plain) / name
        shutil.copytree(folder, plain)
        save_file(exact, plain / "model.safetensors", metadata={"format": "pt"})
        golden(name, plain, folder)
        quantization = own | modules
        make.write_json(folder / "config.json", config | {"quantization": quantization, "quantization_config": quantization})
        write(folder, packed, shards)
        prove(folder, plain)


def golden(name, plain, folder):
    reference = make_golden.Reference(plain)
    cases = [reference.case(prompt, STEPS) for prompt in PROMPTS]
    versions = make_golden.versions() | {"mlx": mx.__version__, "mlx-lm": mlx_lm.__version__}
    value = {"model": name, "made_by": "tests/golden/make_mlx.py, float32 on a CPU", "versions": versions, "vocab": reference.config.vocab_size,
             "hidden": reference.config.hidden_size, "eos": reference.eos, "cases": cases, "chats": []}  # fmt: skip
    (HERE / f"{name}.json").write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace('{"prompt"', '\n{"prompt"') + "\n")


def prove(folder, plain):
    """mlx-lm computes the same from the folder, in f32."""
    model, _ = mlx_lm.utils.load_model(folder)
    model.set_dtype(mx.float32)
    reference = make_golden.Reference(plain)
    ids = reference.raw.encode(PROMPTS[0]).ids
    want = reference.logits(ids)[0].numpy()
    got = np.array(model(mx.array([ids]))[0].astype(mx.float32))
    away = float(np.abs(got - want).max() / np.abs(want).max())
    assert away < 1e-3, f"{folder.name}: mlx-lm is {away} away"
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{folder.name:16} {size:7} bytes, mlx-lm's logits are {away:.1e} of the largest away", flush=True)


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    for name, (spec, *rest) in FIXTURES.items():
        build(name, spec, *rest)
