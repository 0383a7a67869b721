"""Makes `filters.json`: the result of each sampler setting on a row of logits, with transformers' own
processors in its own order.

    python tests/golden/make_filters.py

The processors are those that `generate` would use for a GenerationConfig (`_get_logits_processor`), on
float64 scores. transformers has no frequency and presence penalty, so they are added as a caller's own
processor with OpenAI's formula, at its place in the order. Logits, biases and penalties are multiples of
1/8, so that sums are exact and equal logits are common; some are -inf. A case is skipped if rounding
could decide about a token: slightly larger and smaller settings must keep the same tokens.

For a case without a temperature, `greedy` is the lowest id of the largest score. `logprobs` are natural
logarithms, null for excluded tokens."""

import json
import math
import random
from pathlib import Path

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

NUDGE = 1e-5
THEIRS = {"maxTokens": None, "minTokens": "min_new_tokens", "temperature": "temperature", "topK": "top_k", "topP": "top_p", "minP": "min_p",
          "typicalP": "typical_p", "repetitionPenalty": "repetition_penalty"}  # fmt: skip
MODEL = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", vocab_size=8, hidden_size=8, intermediate_size=8,
                                                              num_hidden_layers=1, num_attention_heads=1))  # fmt: skip


class Penalties(transformers.LogitsProcessor):
    """OpenAI's formula: mu[j] - c[j] * frequency - float(c[j] > 0) * presence, with counts over the
    generated tokens."""

    def __init__(self, generated, frequency, presence):
        self.generated, self.frequency, self.presence = generated, frequency, presence

    def __call__(self, input_ids, scores):
        scores = scores.clone()
        for token in set(self.generated):
            scores[0, token] -= self.generated.count(token) * self.frequency + self.presence
        return scores


def processed(case):
    """The scores from which `generate` would draw, or take the largest."""
    settings = case["settings"]
    theirs = {name: settings[ours] for ours, name in THEIRS.items() if ours in settings}
    if "logitBias" in settings:
        theirs["sequence_bias"] = {(int(token),): float(bias) for token, bias in settings["logitBias"].items()}
    sampled = settings["temperature"] > 0
    if not sampled:
        theirs = {name: value for name, value in theirs.items() if name in ("min_new_tokens", "repetition_penalty", "sequence_bias")}
    config = GenerationConfig(do_sample=sampled, **({"top_k": 0} | theirs if sampled else theirs))
    config._eos_token_tensor = torch.tensor(case["ends"])
    own = [Penalties(case["generated"], settings.get("frequencyPenalty", 0.0), settings.get("presencePenalty", 0.0))]
    text = case["prompt"] + case["generated"]
    processors = MODEL._get_logits_processor(config, input_ids_seq_length=len(case["prompt"]), logits_processor=own)
    scores = torch.tensor([[-math.inf if logit is None else logit for logit in case["logits"]]], dtype=torch.float64)
    return processors(torch.tensor([text], dtype=torch.long), scores)[0]


def kept(case, nudge):
    """How many tokens each score leaves, with every bound moved slightly."""
    settings = dict(case["settings"])
    for name in ("topP", "minP", "typicalP"):
        if name in settings:
            settings[name] = min(1.0, max(1e-6, settings[name] * (1 + nudge)))
    return sorted(score for score in processed(case | {"settings": settings}).tolist() if score > -math.inf)


def eighth(chance, low, high):
    return chance.randint(8 * low, 8 * high) / 8


def drawn(chance):
    """A random case."""
    vocab = chance.choice([1, 2, 3, 7, 20, 20, 60])
    spread = chance.choice([1, 3, 8])
    logits = [None if vocab > 3 and chance.random() < 0.1 else eighth(chance, -spread, spread) for _ in range(vocab)]
    tokens = lambda most: [chance.randrange(vocab) for _ in range(chance.randint(0, most))]  # noqa: E731
    settings = {"temperature": chance.choice([0.0, 0.25, 0.5, 1.0, 1.0, 1.5, 4.0])}
    some = {
        "topK": lambda: chance.choice([1, 2, 5, 19, 100]),
        "topP": lambda: chance.choice([0.001, 0.3, 0.5, 0.8, 0.95, 0.999]),
        "minP": lambda: chance.choice([0.001, 0.02, 0.1, 0.5, 1.0]),
        "typicalP": lambda: chance.choice([0.001, 0.2, 0.5, 0.9, 0.999]),
        "repetitionPenalty": lambda: chance.choice([0.5, 1.25, 2.0]),
        "frequencyPenalty": lambda: eighth(chance, -2, 2),
        "presencePenalty": lambda: eighth(chance, -2, 2),
        "minTokens": lambda: chance.choice([1, 2, 5]),
        "logitBias": lambda: {str(chance.randrange(vocab)): chance.choice([-100, 100, eighth(chance, -4, 4)]) for _ in range(3)},
    }
    often = chance.choice([0.15, 0.4, 1.0])
    settings |= {name: value() for name, value in some.items() if chance.random() < often}
    ends = [token for token in range(vocab) if chance.random() < 0.1] or [vocab - 1]
    return {"logits": logits, "prompt": tokens(6) or [0], "generated": tokens(6), "ends": ends, "settings": settings}


def number(value):
    return float(f"{value:.9g}")


def make(name, seed, count, drawn, processed, kept):
    """Writes `<name>.json` with `count` cases."""
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    chance = random.Random(seed)
    cases, close, empty, refused = [], 0, 0, 0
    while len(cases) < count:
        case = drawn(chance)
        try:
            scores = processed(case)
        except ValueError:  # all tokens are bad words, or a token is forced and suppressed
            refused += 1
            continue
        if scores.max() == -math.inf:
            empty += 1
        elif case["settings"]["temperature"] == 0:
            cases.append(case | {"greedy": scores.tolist().index(scores.max())})
        elif kept(case, NUDGE) != kept(case, -NUDGE):
            close += 1
        else:
            logprobs = scores.log_softmax(dim=-1).tolist()
            cases.append(case | {"logprobs": [None if value == -math.inf else number(value) for value in logprobs]})
    golden = {"made_by": f"tests/golden/make_{name}.py", "versions": {"transformers": transformers.__version__, "torch": torch.__version__},
              "cases": cases}  # fmt: skip
    path = Path(__file__).parent / f"{name}.json"
    path.write_text(json.dumps(golden, separators=(",", ":")).replace('{"logits"', '\n{"logits"') + "\n")
    print(f"{path.stat().st_size} bytes; {count} cases; left out: {close} where rounding decides, {empty} where nothing is left, {refused} refused")


if __name__ == "__main__":
    make("filters", 5, 400, drawn, processed, kept)
