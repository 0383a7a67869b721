"""Trains the chat model on a CPU and exports it in Hugging Face layout.

    python models/train/chat_train.py --minutes 45              # one thread -> models/chat (its tokenizer must be there)
    python models/train/chat_train.py --steps 3000 --threads 2  # an exact number of steps: the same schedule anywhere

Why not train.py: whether a name was told earlier in the same chat is the very thing to learn, and dialogues differ in length
by a factor of twenty. Here a row is one dialogue, rows of like length make a batch, so that plain causal attention
is right without a mask over packed rows, and it is one batched product per layer, about three times as fast on a CPU.
Short dialogues come first: copying is learned sooner where there is little else to look at.

Matrices are trained by Muon, the embedding and the norms by AdamW (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/):
in the same time it reached a clearly lower loss than AdamW alone.
"""

import argparse
import json
import math
import random
import time
from itertools import islice
from pathlib import Path

import torch
from torch.nn import functional as F
from transformers import AttentionInterface, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import chat_grammar
from tokenizer import MODELS
from train import encode, export

STAGES = [(0.20, 160), (0.80, 352), (1.0, 1024)]  # until this share of the run, dialogues of up to so many tokens


def causal(module, query, key, value, attention_mask, scaling, **_):
    """Causal attention as two batched products; every KV head serves its group of query heads without copies."""
    rows, heads, seq, head_dim = query.shape
    kv_heads = key.shape[1]
    group = heads // kv_heads
    q = query.reshape(rows * kv_heads, group * seq, head_dim)
    k = key.reshape(rows * kv_heads, seq, head_dim)
    v = value.reshape(rows * kv_heads, seq, head_dim)
    future = torch.full((seq, seq), float("-inf"), dtype=q.dtype).triu(1).repeat(group, 1)
    scores = torch.baddbmm(future, q, k.transpose(1, 2), alpha=scaling)
    out = torch.bmm(torch.softmax(scores, dim=-1), v)
    return out.view(rows, heads, seq, head_dim).transpose(1, 2), None


AttentionInterface.register("causal", causal)


def batches(documents, tokenizer, size, limit, pool=1500):
    """Endless batches of about `size` tokens: (ids, weights) of dialogues of like length, at most `limit()` tokens long."""
    rng = random.Random(0)
    while True:
        longest = limit()
        encoded = [encode(tokenizer, document) for document in islice(documents, pool)]
        encoded = sorted((pair for pair in encoded if len(pair[0]) <= longest), key=lambda pair: len(pair[0]))
        groups, group = [], []
        for pair in encoded:
            if group and len(pair[0]) * (len(group) + 1) > size:
                groups.append(group)
                group = []
            group.append(pair)
        groups.append(group)
        rng.shuffle(groups)
        yield from groups


def loss_of(model, group, autocast=True):
    """Sum of the cross-entropies of the assistant's tokens in nats, their number, and the number of all tokens."""
    seq = max(len(ids) for ids, _ in group) - 1
    ids, targets = torch.zeros(2, len(group), seq, dtype=torch.long)
    wanted = torch.zeros(len(group), seq, dtype=torch.bool)
    for index, (tokens, weights) in enumerate(group):
        n = len(tokens) - 1
        ids[index, :n] = torch.tensor(tokens[:-1])
        targets[index, :n] = torch.tensor(tokens[1:])
        wanted[index, :n] = torch.tensor(weights[1:]) > 0
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[wanted])
    return F.cross_entropy(logits.float(), targets[wanted], reduction="sum"), wanted.sum(), ids.numel()


@torch.no_grad()
def evaluate(model, groups, autocast=True):
    """Nats per token of the assistant."""
    model.eval()
    sums = [loss_of(model, group, autocast)[:2] for group in groups]
    model.train()
    return (sum(loss for loss, _ in sums) / sum(count for _, count in sums)).item()


def train(out, *, minutes, steps, seed, threads, size, lr, every, start):
    """Trains until `steps` or `minutes` are used up, exporting every `every` minutes."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(out)
    special = dict(bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    config = LlamaConfig(vocab_size=len(tokenizer), **special, **chat_grammar.SHAPE, attn_implementation="causal")
    model = LlamaForCausalLM.from_pretrained(start, dtype=torch.float32, attn_implementation="causal") if start else LlamaForCausalLM(config)
    model.train()
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim == 1 or "embed" in name]
    muon = torch.optim.Muon(matrices, lr=lr, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)

    began = time.monotonic()
    step = tokens = 0
    mean = saved = None

    def progress():
        return max(step / steps if steps else 0, (time.monotonic() - began) / 60 / minutes if minutes else 0)

    test = test_groups(tokenizer)
    stream = batches(chat_grammar.documents(seed), tokenizer, size, lambda: next(limit for share, limit in STAGES if progress() <= share or share == 1.0))
    while (done := progress()) < 1:
        rate = min(1, (step + 1) / 100) * (1.0 if done < 0.3 else 0.03 + 0.97 * (1 + math.cos(math.pi * (done - 0.3) / 0.7)) / 2)
        for optimizer in (muon, adam):
            for group in optimizer.param_groups:
                group["lr"] = lr * rate
        loss, count, seen = loss_of(model, next(stream))
        loss = loss / count
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in (muon, adam):
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        step += 1
        tokens += seen
        mean = loss.item() if mean is None else 0.98 * mean + 0.02 * loss.item()
        elapsed = (time.monotonic() - began) / 60
        if step % 20 == 0:
            print(f"step {step}  {elapsed:.1f} min  {tokens / elapsed / 60:.0f} tokens/s  loss {mean:.4f}", flush=True)
        if elapsed > (saved or 0) + every:
            saved = elapsed
            export(model, tokenizer, out, "bf16", chat_grammar.GENERATION)
            print(f"held-out loss {evaluate(model, test):.4f}", flush=True)
    minutes = (time.monotonic() - began) / 60
    stored = export(model, tokenizer, out, "bf16", chat_grammar.GENERATION)
    figures = dict(steps=step, tokens=tokens, minutes=round(minutes, 1), held_out_loss=round(evaluate(model, test), 4), held_out_loss_as_stored=round(evaluate(stored, test, False), 4))
    print(json.dumps(figures), flush=True)


def test_groups(tokenizer):
    """The held-out dialogues in batches."""
    encoded = sorted((encode(tokenizer, document) for document in chat_grammar.held_out(160)), key=lambda pair: len(pair[0]))
    return [encoded[at : at + 16] for at in range(0, len(encoded), 16)]


def main():
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=MODELS / "chat", help="default: models/chat; holds the tokenizer already")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--size", type=int, default=4096, help="tokens per step")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--start", type=Path, help="a folder whose weights to start from")
    parser.add_argument("--every", type=float, default=5.0, help="minutes between exports")
    args = vars(parser.parse_args())
    if not (args["minutes"] or args["steps"]):
        parser.error("give --minutes or --steps")
    train(args.pop("out"), **args)


if __name__ == "__main__":
    main()
