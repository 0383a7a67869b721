"""Trains a small Llama on a CPU, on documents generated during training, and exports it in Hugging Face layout.

    python models/train/train.py story --minutes 45                 # -> models/story, seeded, one thread
    python models/train/train.py story --steps 6000 --threads 2     # an exact number of steps: the same schedule anywhere

A recipe is a module `<name>_grammar.py` in this folder. tokenizer.py must run first; its head lists what it reads.
This script reads:

    SHAPE = dict(hidden_size=128, num_hidden_layers=4, ...)   # keyword arguments of transformers.LlamaConfig
    GENERATION = dict(do_sample=True, temperature=0.7, ...)   # goes into generation_config.json (eos, bos are added)
    documents(seed)      # endless iterator of documents: str, or a list of (text, loss weight); never repeats
    held_out(count)      # a list of documents that documents() never yields
    STAGES = [(0.2, 160), ...]  # optional: until this share of the run, longer documents (in tokens) are left out

A document gets bos at the beginning (if the tokenizer has one) and eos at the end, unless they are there already. Special tokens
written in a document are special tokens. A piece `(text, weight)` has that weight in the loss (str: 1.0).

The idea: a batch has documents of nearly the same length, one in each row. So each document sees only itself, from
position 0, as at inference, and there is hardly any padding. (Packing with a block-diagonal mask was tried. It makes
the CPU's attention much slower, a fifth of the tokens per second.) A document longer than `--context` is cut.
Matrices are trained with Muon, embeddings and norms with AdamW.
"""

import argparse
import json
import math
import random
import time
from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tokenizer import MODELS, plain, recipe, write_json

# Fields that transformers writes for any model and that do not apply here.
NOT_LLAMA = {"_name_or_path", "chunk_size_feed_forward", "id2label", "label2id", "is_encoder_decoder", "output_attentions",
             "output_hidden_states", "return_dict", "problem_type"}  # fmt: skip


def attention(module, query, key, value, mask, scaling, **_):
    """Causal attention as plain matrix products: on a CPU, training is 1.5 times as fast as with torch's
    fused attention.

    Shapes: query (batch, heads, seq, head_dim), key and value (batch, kv_heads, seq, head_dim); the
    query heads of one KV head are stacked along seq."""
    batch, heads, seq, dim = query.shape
    groups = key.shape[1]
    query, key, value = (x.reshape(batch * groups, -1, dim) for x in (query, key, value))
    hidden = torch.full((seq, seq), -1e4, dtype=query.dtype).triu(1).repeat(heads // groups, 1)
    scores = torch.baddbmm(hidden[None], query, key.transpose(1, 2), alpha=scaling)
    return torch.bmm(scores.softmax(-1, dtype=scores.dtype), value).view(batch, heads, seq, dim).transpose(1, 2), None


ALL_ATTENTION_FUNCTIONS.register("plain", attention)


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


def batches(documents, tokenizer, context, tokens, rng=None, pool=512, longest=None):
    """Batches of about `tokens` tokens, each a list of encoded documents of similar length.

    Sorts every `pool` documents by length and cuts them into batches; with `rng` the batches come in
    random order. With `longest`, a function, leaves out documents longer than its current value."""
    while encoded := [encode(tokenizer, document) for document in islice(documents, pool)]:
        if longest:
            most = longest()
            encoded = [pair for pair in encoded if len(pair[0]) <= most]
        encoded = sorted(((ids[:context], weights[:context]) for ids, weights in encoded), key=lambda pair: len(pair[0]))
        cut = []
        for pair in encoded:
            if not cut or (len(cut[-1]) + 1) * len(pair[0]) > tokens:
                cut.append([])
            cut[-1].append(pair)
        if rng:
            rng.shuffle(cut)
        yield from cut


def tensors_of(batch):
    """Tensors (documents, length): ids, targets (the next id), and the weight of each target in the loss (0: padding)."""
    shape = len(batch), max(len(ids) for ids, _ in batch) - 1
    ids, targets, weights = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long), torch.zeros(shape)
    for row, (tokens, loss) in enumerate(batch):
        ids[row, : len(tokens) - 1] = torch.tensor(tokens[:-1])
        targets[row, : len(tokens) - 1] = torch.tensor(tokens[1:])
        weights[row, : len(tokens) - 1] = torch.tensor(loss[1:])
    return ids, targets, weights


def loss_of(model, tensors, autocast):
    """Sum of weighted cross-entropies in nats, and the sum of the weights."""
    ids, targets, weights = tensors
    wanted = weights.view(-1) > 0
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        logits = model.lm_head(hidden.view(-1, hidden.shape[-1])[wanted])
    losses = F.cross_entropy(logits.float(), targets.view(-1)[wanted], reduction="none")
    return (losses * weights.view(-1)[wanted]).sum(), weights.sum()


@torch.no_grad()
def evaluate(model, tokenizer, documents, context, autocast=False):
    """Held-out loss: nats per (weighted) token."""
    model.eval()
    sums = [loss_of(model, tensors_of(batch), autocast) for batch in batches(iter(documents), tokenizer, context, 4096)]
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
    (out / "model.safetensors").chmod(0o644)
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
    batch_tokens=2048,
    lr=4e-3,
    warm_up=200,
    dtype="f16",
    autocast=True,
    start=None,
    every=5.0,
    held_out=500,
):
    """Trains until `steps` or `minutes` are used up. Evaluates and exports every `every` minutes. Returns
    the model."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    random.seed(seed)
    out = Path(out)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(out)
    special = dict(bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    config = LlamaConfig(**{"vocab_size": len(tokenizer), **special, **module.SHAPE}, attn_implementation="plain")
    model = LlamaForCausalLM.from_pretrained(start, dtype=torch.float32, attn_implementation="plain") if start else LlamaForCausalLM(config)
    model.train()
    inner = [p for name, p in model.model.layers.named_parameters() if p.ndim == 2]
    outer = [p for p in model.parameters() if all(p is not q for q in inner)]
    optimizers = [
        torch.optim.Muon(inner, lr=lr, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(outer, lr=lr, betas=(0.9, 0.98), eps=1e-9, weight_decay=0.0, fused=True),
    ]
    test = module.held_out(held_out)
    generation = module.GENERATION
    stages = getattr(module, "STAGES", [])
    progress = 0.0

    def longest():
        return next((tokens for share, tokens in stages if progress < share), context)

    stream = batches(iter(module.documents(seed)), tokenizer, context, batch_tokens, random.Random(seed), longest=longest if stages else None)
    began, step, tokens, mean, saved = time.monotonic(), 0, 0, None, 0
    while True:
        elapsed = (time.monotonic() - began) / 60
        progress = max(step / steps if steps else 0, elapsed / minutes if minutes else 0)
        if progress >= 1:
            break
        rate = min(1, (step + 1) / warm_up) * (0.02 + 0.98 * (1 + math.cos(math.pi * progress)) / 2)
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = lr * rate
        tensors = tensors_of(next(stream))
        loss, weight = loss_of(model, tensors, autocast)
        loss = loss / weight
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        step += 1
        tokens += int((tensors[2] > 0).sum())
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
    parser.add_argument("--context", type=int, default=256, help="tokens of a document at most")
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--lr", type=float, default=4e-3)
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
