"""Measures models/story: held-out loss, whether it keeps names, whether it copies; and prints samples.

    python models/train/story_report.py               # about five minutes on one core

Held-out stories have a seed and combinations (hero, place, object) that training never saw
(story_grammar.py). Copying is measured against 10,000 stories of the training seed: the share of the
model's runs of 8 words that occur in them, and the longest common run. The table has the same figures
for the grammar's own held-out stories, whose paraphrases repeat too."""

import argparse
import json
import math
import re
from itertools import islice
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

import story_grammar
from tokenizer import MODELS
from train import evaluate

PROMPTS = [
    "Once upon a time",
    "One sunny day, a little fox named Pip",
    "Tom had a red ball.",
    "The old dragon was sad because",
    "Lily and Tom went to the park.",
    "Once upon a time, there was a robot named Zed who lived on the moon.",
    "It was a dark and stormy night.",
    "In a small village near the sea,",
    "My name is Anna and",
    "The cat sat on the mat.",
    "Mia wanted to bake a cake for her grandma.",
    "There was a princess who could not sleep.",
    '"Help!" cried the mouse.',
    "Jack found a magic lamp in the garden.",
    "The elephant and the mouse were best friends.",
    "Sam lost his mitten in the snow.",
    "Every morning, Grandpa went to the lake with his dog.",
    "The queen was angry because",
]
RUN = 8  # words


def words_of(text):
    """The words of a text, without punctuation."""
    return re.findall(r"[a-z'-]+", text.lower())


def runs(words, length):
    """All runs of `length` words."""
    return {tuple(words[at : at + length]) for at in range(len(words) - length + 1)}


@torch.no_grad()
def continuation(model, tokenizer, prompt, temperature):
    """What the model tells after the prompt, and whether it ended by itself."""
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    how = dict(do_sample=True, temperature=temperature, top_p=0.9, top_k=0) if temperature else dict(do_sample=False)
    told = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=400 - ids.shape[1], **how)[0]
    text = tokenizer.decode(told, skip_special_tokens=True)  # as a whole: alone, a continuation would lose its first space
    return text.removeprefix(prompt), told[-1].item() == tokenizer.eos_token_id


def longest_run(words, seen):
    """The length of the longest run of words that occurs in one of the `seen` stories (joined, with
    separators)."""
    best = 0
    for at in range(len(words)):
        while at + best + 1 <= len(words) and " " + " ".join(words[at : at + best + 1]) + " " in seen:
            best += 1
    return best


def main():
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODELS / "story")
    parser.add_argument("--stories", type=int, default=500, help="held-out stories for the loss")
    parser.add_argument("--prompts", type=int, default=40, help="held-out openings to continue")
    parser.add_argument("--training-stories", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1, help="of training")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    held_out = story_grammar.held_out(args.stories)
    figures = {"held_out_loss": round(evaluate(model, tokenizer, held_out, 512), 4)}
    figures["held_out_perplexity"] = round(math.exp(figures["held_out_loss"]), 3)

    # Openings of held-out stories: up to the end of the first sentence that names somebody.
    set_seed(7)
    openings, stories, ended, carried = [], [], 0, 0
    for story in held_out:
        opening = re.match(r"[^.!?\"]*?(?:named|called) ([A-Z][a-z]+)[^.!?\"]*\.", story)
        if opening and len(openings) < args.prompts:
            openings.append(opening)
    for opening in openings:
        told, end = continuation(model, tokenizer, opening[0], 0.7)
        stories.append(opening[0] + told)
        ended += end
        carried += re.search(rf"\b{opening[1]}\b", told) is not None
    figures["ends_by_itself"] = f"{ended}/{len(openings)}"
    figures["uses_the_name_again"] = f"{carried}/{len(openings)}"

    seen, joined = set(), []
    for story in islice(story_grammar.documents(args.seed), args.training_stories):
        seen |= runs(words_of(story), RUN)
        joined.append(" ".join(words_of(story)))
    joined = " " + " | ".join(joined) + " "
    for name, texts in (("model", stories), ("held_out_grammar", held_out[: len(stories)])):
        own = [runs(words_of(text), RUN) for text in texts]
        total = sum(map(len, own))
        figures[f"runs_of_{RUN}_in_training_{name}"] = round(sum(len(run & seen) for run in own) / total, 3)
        lengths = sorted(longest_run(words_of(text), joined) for text in texts)
        figures[f"longest_run_median_max_{name}"] = [lengths[len(lengths) // 2], lengths[-1]]

    for temperature in (0, 0.7):
        print(f"\n## {f'Temperature {temperature}, top_p 0.9' if temperature else 'Greedy'}\n")
        for prompt in PROMPTS:
            set_seed(1)
            told, end = continuation(model, tokenizer, prompt, temperature)
            print(f"**{prompt}**{told}{'' if end else ' [cut]'}\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
