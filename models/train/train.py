"""Trains a small Llama on documents made while it trains, on a CPU, and exports it in Hugging Face layout.

    python models/train/train.py story --minutes 45                 # -> models/story, seeded, one thread
    python models/train/train.py story --steps 6000 --threads 2     # an exact number of steps: the same schedule anywhere

A recipe is a module `<name>_grammar.py` beside this file; tokenizer.py names what it reads of it, and must run first.
This script reads:

    SHAPE = dict(hidden_size=128, num_hidden_layers=4, ...)   # keyword arguments of transformers.LlamaConfig
    GENERATION = dict(do_sample=True, temperature=0.7, ...)   # goes into generation_config.json (eos, bos are added)
    documents(seed)      # endless iterator of documents: str, or a list of (text, loss weight); never repeats
    held_out(count)      # a list of documents that documents() never yields

A document gets bos in front (if the tokenizer has one) and eos at the end unless it is there already. Special tokens
written in a document are special tokens. A piece `(text, weight)` has that weight in the loss (str: 1.0).

The idea: documents are packed, several to a row of `--context` tokens; the mask and the positions make each document
see itself alone, from position 0, exactly as at inference. A document longer than a row is cut.
"""

import argparse
import json
import math
import random
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tokenizer import MODELS, plain, recipe, write_json

# What transformers would write of any model and says nothing of this one.
NOT_LLAMA = {"_name_or_path", "chunk_size_feed_forward", "id2label", "label2id", "is_encoder_decoder", "output_attentions",
             "output_hidden_states", "return_dict", "problem_type"}  # fmt: skip


def encode(tokenizer, document):
    """Token ids of a document with bos and eos, and the loss weight of each."""
    text = plain(document)
    pieces = [(document, 1.0)] if isinstance(document, str) else document
    encoding = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    ids, weights, end, piece = list(encoding.ids), [], 0, -1
    for start, _ in encoding.offsets:
        while start >= end:
            piece += 1
            end += len(pieces[piece][0])
        weights.append(pieces[piece][1])
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    if bos is not None and ids[0] != bos:
        ids, weights = [bos] + ids, [0.0] + weights
    if ids[-1] != eos and not text.rstrip().endswith(tokenizer.eos_token):
        ids, weights = ids + [eos], weights + [pieces[-1][1]]
    return ids, weights


def rows(documents, tokenizer, context, hold=64):
    """Packs encoded documents into rows: of the last `hold`, the longest that still fits goes in next."""
    waiting, row, room = [], [], context
    while True:
        while len(waiting) < hold:
            document = next(documents, None)
            if document is None:
                break
            ids, weights = encode(tokenizer, document)
            waiting.append((ids[:context], weights[:context]))
        fitting = [index for index, (ids, _) in enumerate(waiting) if len(ids) <= room]
        if fitting:
            # The first of a row is the oldest, so that no document waits for ever.
            pick = max(fitting, key=lambda index: len(waiting[index][0])) if row else 0
            row.append(waiting.pop(pick))
            room -= len(row[-1][0])
        else:
            if not row:
                return
            yield row
            row, room = [], context


def batch(packed, context):
    """Tensors of a list of rows: ids, positions (rows, context), mask (rows, 1, context, context), targets and their weights."""
    ids = torch.zeros(len(packed), context, dtype=torch.long)
    targets, positions = ids.clone(), ids.clone()
    document = torch.full((len(packed), context), -1)
    weights = torch.zeros(len(packed), context)
    for index, row in enumerate(packed):
        at = 0
        for number, (tokens, loss) in enumerate(row):
            n = len(tokens)
            ids[index, at : at + n] = torch.tensor(tokens)
            targets[index, at : at + n - 1] = torch.tensor(tokens[1:])
            weights[index, at : at + n - 1] = torch.tensor(loss[1:])
            positions[index, at : at + n] = torch.arange(n)
            document[index, at : at + n] = number
            at += n
    same = document[:, None, :, None] == document[:, None, None, :]
    causal = torch.ones(context, context, dtype=torch.bool).tril()
    return ids, positions, same & causal, targets, weights


def loss_of(model, tensors, autocast):
    """Sum of weighted cross-entropies in nats, and the sum of the weights."""
    ids, positions, mask, targets, weights = tensors
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        hidden = model.model(input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False).last_hidden_state
        wanted = weights.view(-1) > 0
        logits = model.lm_head(hidden.view(-1, hidden.shape[-1])[wanted])
    losses = F.cross_entropy(logits.float(), targets.view(-1)[wanted], reduction="none")
    return (losses * weights.view(-1)[wanted]).sum(), weights.sum()


@torch.no_grad()
def evaluate(model, tokenizer, documents, context, autocast=False, size=16):
    """Held-out loss: nats per (weighted) token."""
    model.eval()
    packed = list(rows(iter(documents), tokenizer, context))
    sums = [loss_of(model, batch(packed[at : at + size], context), autocast) for at in range(0, len(packed), size)]
    model.train()
    return (sum(loss for loss, _ in sums) / sum(weight for _, weight in sums)).item()


def export(model, tokenizer, out, dtype, generation):
    """Writes config.json, generation_config.json and model.safetensors in 16 bits; returns the model as stored."""
    kind = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}[dtype]
    tensors = {name: value.detach().to(kind).contiguous() for name, value in model.state_dict().items() if name != "lm_head.weight"}
    limits = torch.finfo(kind)
    for name, value in tensors.items():
        assert torch.isfinite(value).all(), f"{name} overflows {dtype}"
    subnormal = sum(((value != 0) & (value.abs() < limits.tiny)).sum().item() for value in tensors.values())
    count = sum(value.numel() for value in tensors.values())
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    config = model.config.to_dict()
    config.update(dtype=str(kind).removeprefix("torch."), architectures=["LlamaForCausalLM"])
    write_json(out / "config.json", {key: config[key] for key in sorted(config) if config[key] is not None and key not in NOT_LLAMA})
    special = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    special = {key: value for key, value in special.items() if value is not None}
    write_json(out / "generation_config.json", {**special, **generation})
    largest = max(value.abs().max().item() for value in tensors.values())
    print(f"{out}: {count} parameters, {dtype}, largest {largest:.2f}, {subnormal} subnormal", flush=True)
    return LlamaForCausalLM.from_pretrained(out, dtype=torch.float32)


def train(
    module,
    out,
    *,
    minutes=None,
    steps=None,
    seed=1,
    threads=1,
    context=256,
    batch_rows=32,
    lr=3e-3,
    warm_up=200,
    dtype="f16",
    autocast=True,
    start=None,
    every=5.0,
    held_out=500,
):
    """Trains until `steps` or `minutes` are used up, evaluating and exporting every `every` minutes; returns the model."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    random.seed(seed)
    out = Path(out)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(out)
    special = dict(bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    config = LlamaConfig(**{"vocab_size": len(tokenizer), **special, **module.SHAPE}, attn_implementation="sdpa")
    model = LlamaForCausalLM.from_pretrained(start, dtype=torch.float32) if start else LlamaForCausalLM(config)
    model.train()
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [dict(params=matrices, weight_decay=0.1), dict(params=vectors, weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), eps=1e-9, fused=True)
    test = module.held_out(held_out)
    stream = rows(iter(module.documents(seed)), tokenizer, context)
    generation = module.GENERATION

    began, step, tokens, mean, saved = time.monotonic(), 0, 0, None, 0
    while True:
        elapsed = (time.monotonic() - began) / 60
        progress = max(step / steps if steps else 0, elapsed / minutes if minutes else 0)
        if progress >= 1:
            break
        rate = min(1, (step + 1) / warm_up) * (0.02 + 0.98 * (1 + math.cos(math.pi * progress)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = lr * rate
        tensors = batch([next(stream) for _ in range(batch_rows)], context)
        loss, weight = loss_of(model, tensors, autocast)
        loss = loss / weight
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        tokens += batch_rows * context
        mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
        if step % 100 == 0:
            elapsed = (time.monotonic() - began) / 60
            print(f"step {step}  {elapsed:.1f} min  {tokens / elapsed / 60:.0f} tokens/s  loss {mean:.4f}", flush=True)
        if (time.monotonic() - began) / 60 > saved + every:
            saved = (time.monotonic() - began) / 60
            export(model, tokenizer, out, dtype, generation)
            print(f"held-out loss {evaluate(model, tokenizer, test, context, autocast):.4f}", flush=True)
    minutes = (time.monotonic() - began) / 60
    stored = export(model, tokenizer, out, dtype, generation)
    figures = dict(
        steps=step,
        tokens=tokens,
        minutes=round(minutes, 1),
        held_out_loss=round(evaluate(model, tokenizer, test, context), 4),
        held_out_loss_as_stored=round(evaluate(stored, tokenizer, test, context), 4),
    )
    print(json.dumps(figures), flush=True)
    return stored


def main():
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--out", type=Path, help="default: models/<recipe>; holds the tokenizer already")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--context", type=int, default=256, help="tokens per row")
    parser.add_argument("--batch-rows", type=int, default=32)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--warm-up", type=int, default=200, help="steps")
    parser.add_argument("--dtype", choices=["f16", "bf16", "f32"], default="f16", help="of the exported weights")
    parser.add_argument("--autocast", action=argparse.BooleanOptionalAction, default=True, help="bf16 matrix products while training")
    parser.add_argument("--start", type=Path, help="a folder whose weights to start from")
    parser.add_argument("--every", type=float, default=5.0, help="minutes between exports")
    parser.add_argument("--held-out", type=int, default=500, help="documents")
    args = vars(parser.parse_args())
    if not (args["minutes"] or args["steps"]):
        parser.error("give --minutes or --steps")
    name, out = args.pop("recipe"), args.pop("out")
    train(recipe(name), out or MODELS / name, **args)


if __name__ == "__main__":
    main()
