"""Compares each layer's activations of Fireside with those of transformers, and names the first that differs.

    python models/train/compare_trace.py --model models/story --prompt "Once upon a time"
    python models/train/compare_trace.py --model DIR --trace FILE.safetensors        # written earlier by `fireside trace`

Use it when a golden test fails: the first line marked DIFFERS is the step of `forward` to look at. Activations are
compared in float32, relative to the largest magnitude of the tensor; an error that grows slowly from layer to layer is
rounding, one that appears at once is a bug. Exit status 1 if a tensor differs or is missing.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import tokenizers
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).parent.parent.parent


def reference(model, ids):
    """Name -> (seq, width) in the order of computation; `norm` and `logits` are (1, width), of the last position."""
    found = {}

    def keep(name):
        def hook(module, inputs, output):
            output = output[0] if isinstance(output, tuple) else output
            found[name] = output.detach()[0].float()

        return hook

    def heads(tensor):  # (1, heads, seq, head_dim) -> (seq, heads * head_dim)
        return tensor.detach()[0].transpose(0, 1).flatten(1).float()

    # The family's own eager attention is handed Q and K after rope, V, and K and V before they are repeated for GQA.
    family = sys.modules[type(model).__module__]
    attention = family.eager_attention_forward

    def traced(module, query, key, value, *args, **kwargs):
        name = f"layers.{module.layer_idx}"
        found[f"{name}.q"], found[f"{name}.k"], found[f"{name}.v"] = heads(query), heads(key), heads(value)
        output = attention(module, query, key, value, *args, **kwargs)
        found[f"{name}.attn"] = output[0].detach()[0].flatten(1).float()  # from (1, seq, heads, head_dim)
        return output

    hooks = [model.model.embed_tokens.register_forward_hook(keep("embed"))]
    for index, layer in enumerate(model.model.layers):
        parts = {"attn_norm": layer.input_layernorm, "attn_out": layer.self_attn.o_proj, "mlp_norm": layer.post_attention_layernorm,
                 "mlp_out": layer.mlp, "out": layer}  # fmt: skip
        hooks += [module.register_forward_hook(keep(f"layers.{index}.{name}")) for name, module in parts.items()]
    hooks.append(model.model.norm.register_forward_hook(keep("norm")))
    family.eager_attention_forward = traced
    try:
        with torch.no_grad():
            found["logits"] = model(torch.tensor([ids]), use_cache=False).logits[0, -1:].float()
            found["norm"] = found["norm"][-1:]  # Fireside computes what follows the last layer for the last position only
    finally:
        family.eager_attention_forward = attention
        for hook in hooks:
            hook.remove()
    return found


def compare(got, expected, tolerance):
    """(line of the table, whether it is within the tolerance)."""
    if got is None:
        return "not in the trace", False
    got = got.float().reshape(-1, got.shape[-1])
    if got.shape != expected.shape:
        return f"shape {tuple(got.shape)}, expected {tuple(expected.shape)}", False
    if not got.isfinite().all():
        row, column = (~got.isfinite()).nonzero()[0].tolist()
        return f"{got[row, column].item()} at position {row}, channel {column}", False
    distance = (got - expected).abs()
    row, column = divmod(int(distance.argmax()), distance.shape[1])
    largest, relative = distance.max().item(), (distance.max() / expected.abs().max().clamp_min(1e-30)).item()
    line = f"{largest:10.2e} {relative:10.2e}   {row:4} {column:7} {got[row, column].item():14.7g} {expected[row, column].item():14.7g}"
    return line, relative <= tolerance


def trace(model, prompt, out):
    command = ["cargo", "run", "--quiet", "--release", "--", "trace", "--model", str(Path(model).resolve()), "--prompt", prompt, "--out", out]
    subprocess.run(command, cwd=ROOT, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a folder in Hugging Face layout")
    parser.add_argument("--prompt", help="run `fireside trace` with this prompt; with --trace, check its token ids")
    parser.add_argument("--trace", help="a file written by `fireside trace`")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="relative to the tensor's largest magnitude (default %(default)s)")
    args = parser.parse_args()
    if not args.trace and not args.prompt:
        parser.error("one of --prompt and --trace is needed")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as scratch:
        path = args.trace or f"{scratch}/trace.safetensors"
        if not args.trace:
            trace(args.model, args.prompt, path)
        traced = load_file(path)
    ids = [int(id) for id in traced["tokens"].flatten().tolist()]
    if args.prompt:
        expected_ids = tokenizers.Tokenizer.from_file(f"{args.model}/tokenizer.json").encode(args.prompt).ids
        if ids != expected_ids:
            sys.exit(f"the tokens differ before any layer: {ids}, expected {expected_ids}")
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32, attn_implementation="eager").eval()
    expected = reference(model, ids)
    print(f"{args.model}, {len(ids)} tokens, transformers {transformers.__version__}, torch {torch.__version__}")
    print(f"{'tensor':22} {'max abs':>10} {'relative':>10}    pos channel       Fireside   transformers")
    differing = []
    for name, tensor in expected.items():
        line, same = compare(traced.get(name), tensor, args.tolerance)
        print(f"{name:22} {line}{'' if same else '   DIFFERS'}")
        if not same:
            differing.append(name)
    for name in traced.keys() - expected.keys() - {"tokens"}:
        print(f"{name:22} is in the trace and not in transformers")
    if differing:
        sys.exit(f"first to differ: {differing[0]} ({len(differing)} of {len(expected)} differ by more than {args.tolerance:g})")
    print(f"all {len(expected)} agree to {args.tolerance:g}")


if __name__ == "__main__":
    main()
