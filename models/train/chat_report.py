"""Measures the chat model on held-out values, and prints a table.

    python models/train/chat_report.py                   # models/chat, a few minutes on one thread

The names, colours and pets never occur in training dialogues (chat_grammar.py). Decoding is greedy. The
history holds the model's own replies, not ideal ones, between what is told and what is asked. "Turns
between" are small talk, sums, facts, nonsense, "say hello to Bob". A recall counts if the reply has the
exact value as typed."""

import argparse
import random
import re
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import chat_grammar as grammar
from tokenizer import MODELS


class Model:
    """The stored model, computing in f32; one greedy reply to each of many chats at a time."""

    def __init__(self, folder):
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    @torch.no_grad()
    def reply(self, chats):
        """The next message of the assistant in every chat (lists of {role, content})."""
        replies = []
        for at in range(0, len(chats), 100):
            ids = [self.tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False) for chat in chats[at : at + 100]]
            batch = self.tokenizer.pad({"input_ids": ids}, return_tensors="pt")
            out = self.model.generate(**batch, do_sample=False, temperature=None, top_p=None, max_new_tokens=64)
            replies += self.tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        return replies

    def hold(self, scripts):
        """Plays scripts (lists of the user's messages) side by side; returns the last reply of each."""
        chats, last = [[] for _ in scripts], [""] * len(scripts)
        for turn in range(max(map(len, scripts))):
            active = [index for index, script in enumerate(scripts) if turn < len(script)]
            for index in active:
                chats[index].append({"role": "user", "content": scripts[index][turn]})
            for index, text in zip(active, self.reply([chats[index] for index in active])):
                chats[index].append({"role": "assistant", "content": text})
                last[index] = text
        return last, chats


def has(reply, value):
    """Whether the reply has the value, whole and as typed."""
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", reply) is not None


def is_unknown(reply):
    return "don't know" in reply or "haven't told" in reply


def between(chat, turns):
    """The user's messages in the turns between."""
    return [chat.spare()[0] for _ in range(turns)]


def recall(rng, make, turns, value=None, correct=False):
    """(script, expected value): a fact is told, perhaps corrected, later asked for."""
    chat = grammar.Chat(rng, held_out=True)
    fact = make(chat)
    fact.value = value or fact.value
    script = [chat.tell(fact)[0]] + between(chat, turns)
    if correct:
        fact = chat.fresh(fact)
        script += [chat.correct(fact)[0]] + between(chat, turns)
    return script + [chat.ask(fact)[0]], fact.value


def pet(chat):
    return grammar.named_fact(chat, pet=True)


def two_pets(rng, turns):
    """Two pets are told; one of them is asked for."""
    chat = grammar.Chat(rng, held_out=True)
    script, facts = [], []
    while len(facts) < 2:
        fact = pet(chat)
        if fact.key not in chat.facts:
            facts.append(fact)
            script.append(chat.tell(fact)[0])
    asked = rng.choice(facts)
    return script + between(chat, turns) + [chat.ask(asked)[0]], asked.value


def never_told(rng, turns):
    """Asks for one fact after telling only others."""
    chat = grammar.Chat(rng, held_out=True)
    script = []
    if rng.random() < 0.7:
        script.append(chat.tell()[0])
    script += between(chat, turns)
    chat.facts = dict(chat.facts)
    while True:
        said, reply = chat.ask_unknown()
        if is_unknown(reply):
            return script + [said]


def sums(rng, sign, top, count):
    """(script, result) of `count` different sums with numbers up to `top`."""
    pairs = [(x, y) for x in range(top + 1) for y in range(top + 1) if sign == "plus" or sign == "times" or x >= y]
    asked = {"plus": ["What is {} plus {}?", "{}+{}", "how much is {} plus {}", "{} + {} ="], "minus": ["What is {} minus {}?", "{}-{}", "how much is {} minus {}", "{} - {} ="], "times": ["What is {} times {}?", "{}*{}", "how much is {} times {}"]}
    result = {"plus": lambda x, y: x + y, "minus": lambda x, y: x - y, "times": lambda x, y: x * y}[sign]
    return [([rng.choice(asked[sign]).format(x, y)], str(result(x, y))) for x, y in rng.sample(pairs, min(count, len(pairs)))]


def main():
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODELS / "chat")
    parser.add_argument("--count", type=int, default=100, help="chats per figure")
    parser.add_argument("--misses", action="store_true", help="print what went wrong")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = Model(args.model)

    def row(label, scripts, right):
        replies, chats = model.hold(scripts)
        good = [right(index, reply) for index, reply in enumerate(replies)]
        print(f"| {label:44} | {100 * sum(good) / len(good):6.1f} % | {len(good):4} |", flush=True)
        if args.misses:
            for chat in [chat for chat, fine in zip(chats, good) if not fine][:6]:
                print("   ", " / ".join(message["content"] for message in chat[:2] + chat[-2:]), file=sys.stderr)
        return sum(good), len(good)

    def values(label, pairs):
        return row(label, [script for script, _ in pairs], lambda index, reply: has(reply, pairs[index][1]))

    rng = random.Random(11)
    print(f"| {'greedy, held-out words':44} |  correct | of   |\n|{'-' * 46}|---------:|-----:|")
    total = []
    for turns in (0, 2, 4, 8):
        for kind, names in (("real", grammar.NAMES_HELD_OUT), ("made-up", grammar.SYLLABLE_NAMES_HELD_OUT)):
            pairs = [recall(rng, grammar.name_fact, turns, rng.choice(names)) for _ in range(args.count)]
            total.append(values(f"{kind} name, {turns} turns between", pairs))
    print(f"| {'names, all of the above':44} | {100 * sum(a for a, _ in total) / sum(b for _, b in total):6.1f} % | {sum(b for _, b in total):4} |")
    for turns in (0, 4):
        values(f"favourite colour, {turns} turns between", [recall(rng, grammar.colour_fact, turns) for _ in range(args.count)])
        values(f"name of a pet, {turns} turns between", [recall(rng, pet, turns) for _ in range(args.count)])
    values("one of two pets, 1 turn between", [two_pets(rng, 1) for _ in range(args.count)])
    values("name corrected, 1 turn before and after", [recall(rng, grammar.name_fact, 1, correct=True) for _ in range(args.count)])
    scripts = [never_told(rng, rng.randint(0, 3)) for _ in range(args.count)]
    row("never told: says so", scripts, lambda index, reply: is_unknown(reply))
    for sign, top in (("plus", 20), ("minus", 20), ("plus", 99), ("minus", 99), ("times", 10)):
        values(f"x {sign} y, up to {top}", sums(rng, sign, top, args.count))
    chat = grammar.Chat(rng)
    known = [(grammar.expand(rng, question) + "?", answer) for question, answer in grammar.KNOWLEDGE]
    row("facts", [[question] for question, _ in known], lambda index, reply: reply == known[index][1])
    scripts = [[chat.unknown()[0]] for _ in range(args.count)]
    row("questions outside: says it does not know", scripts, lambda index, reply: is_unknown(reply))
    scripts = [[chat.nonsense()[0]] for _ in range(args.count)]
    row("nonsense: says it did not understand", scripts, lambda index, reply: "understand" in reply)


if __name__ == "__main__":
    main()
