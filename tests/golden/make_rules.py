"""Makes `rules.json`: the result of the rules over tokens and sequences, and of the filters top-h, epsilon
and eta, on a row of logits.

    python tests/golden/make_rules.py

Like `make_filters.py`, which has the other settings: the processors are those that `generate` of
transformers would use for a GenerationConfig (`_get_logits_processor`), on float64 scores. The prompt is
what `generate` of a decoder-only model passes as the encoder's ids. A case is skipped if it leaves no
token, or if rounding could decide about a token."""

import math

import torch
from make_filters import MODEL, Penalties, eighth, make
from transformers import GenerationConfig

THEIRS = {"minTokens": "min_new_tokens", "temperature": "temperature", "topK": "top_k", "topP": "top_p", "minP": "min_p", "typicalP": "typical_p",
          "repetitionPenalty": "repetition_penalty", "noRepeatNgramSize": "no_repeat_ngram_size",
          "encoderNoRepeatNgramSize": "encoder_no_repeat_ngram_size", "encoderRepetitionPenalty": "encoder_repetition_penalty",
          "badWordsIds": "bad_words_ids", "sequenceBias": "sequence_bias", "suppressTokens": "suppress_tokens",
          "beginSuppressTokens": "begin_suppress_tokens", "forcedBosTokenId": "forced_bos_token_id", "forcedEosTokenId": "forced_eos_token_id",
          "exponentialDecayLengthPenalty": "exponential_decay_length_penalty", "topH": "top_h", "epsilonCutoff": "epsilon_cutoff",
          "etaCutoff": "eta_cutoff"}  # fmt: skip
SAMPLED = {"temperature", "top_k", "top_p", "min_p", "typical_p", "top_h", "epsilon_cutoff", "eta_cutoff"}


def processed(case):
    """The scores from which `generate` would draw, or take the largest."""
    settings = case["settings"]
    sampled = settings["temperature"] > 0
    theirs = {name: settings[ours] for ours, name in THEIRS.items() if ours in settings and (sampled or name not in SAMPLED)}
    config = GenerationConfig(do_sample=sampled, **({"top_k": 0} | theirs if sampled else theirs))
    config._eos_token_tensor = torch.tensor(case["ends"])
    config.max_length = len(case["prompt"]) + settings.get("maxTokens", 512)
    own = [Penalties(case["generated"], settings.get("frequencyPenalty", 0.0), settings.get("presencePenalty", 0.0))]
    prompt = torch.tensor([case["prompt"]], dtype=torch.long)
    processors = MODEL._get_logits_processor(config, input_ids_seq_length=len(case["prompt"]), encoder_input_ids=prompt, logits_processor=own)
    scores = torch.tensor([[-math.inf if logit is None else logit for logit in case["logits"]]], dtype=torch.float64)
    return processors(torch.tensor([case["prompt"] + case["generated"]], dtype=torch.long), scores)[0]


def kept(case, nudge):
    """How many tokens each score leaves, with every bound moved slightly."""
    settings = dict(case["settings"])
    for name in ("topP", "minP", "typicalP", "topH", "epsilonCutoff", "etaCutoff"):
        if name in settings:
            settings[name] = min(1.0, max(1e-6, settings[name] * (1 + nudge)))
    return sorted(score for score in processed(case | {"settings": settings}).tolist() if score > -math.inf)


def drawn(chance):
    """A random case."""
    vocab = chance.choice([2, 3, 7, 7, 20, 20, 20, 60, 60, 150])
    spread = chance.choice([1, 3, 8])
    logits = [None if vocab > 3 and chance.random() < 0.1 else eighth(chance, -spread, spread) for _ in range(vocab)]
    few = chance.choice([vocab, min(vocab, 4)])  # with few tokens, sequences repeat
    tokens = lambda least, most: [chance.randrange(few) for _ in range(chance.randint(least, most))]  # noqa: E731
    prompt, generated = tokens(1, chance.choice([1, 8])), tokens(0, 8)
    text = prompt + generated
    sequence = lambda: text[len(text) - chance.randint(0, 2):] + [chance.randrange(vocab)] if chance.random() < 0.6 else tokens(1, 3)  # noqa: E731
    settings = {"temperature": chance.choice([0.0, 0.25, 0.5, 1.0, 1.0, 1.5, 4.0])}
    some = {
        "noRepeatNgramSize": lambda: chance.choice([1, 2, 2, 3, 9]),
        "encoderNoRepeatNgramSize": lambda: chance.choice([1, 2, 2, 3, 9]),
        "encoderRepetitionPenalty": lambda: chance.choice([0.5, 2.0, 4.0]),
        "badWordsIds": lambda: [sequence() for _ in range(chance.randint(1, 4))],
        "sequenceBias": lambda: [[sequence(), eighth(chance, -8, 8)] for _ in range(chance.randint(1, 4))],
        "suppressTokens": lambda: tokens(1, 3),
        "beginSuppressTokens": lambda: tokens(1, 3),
        "forcedBosTokenId": lambda: chance.randrange(vocab),
        "forcedEosTokenId": lambda: chance.choice([chance.randrange(vocab), tokens(1, 2)]),
        "exponentialDecayLengthPenalty": lambda: [chance.randint(0, 8), chance.choice([0.5, 1.25, 1.5, 2.0])],
        "topH": lambda: chance.choice([0.05, 0.3, 0.5, 0.8, 0.99]),
        "epsilonCutoff": lambda: chance.choice([0.001, 0.02, 0.1, 0.4, 0.9]),
        "etaCutoff": lambda: chance.choice([0.001, 0.02, 0.1, 0.4, 0.9]),
        "topK": lambda: chance.choice([1, 2, 5, 19, 100]),
        "topP": lambda: chance.choice([0.3, 0.5, 0.8, 0.95]),
        "minP": lambda: chance.choice([0.001, 0.02, 0.1, 0.5]),
        "typicalP": lambda: chance.choice([0.2, 0.5, 0.9]),
        "repetitionPenalty": lambda: chance.choice([0.5, 2.0]),
        "frequencyPenalty": lambda: eighth(chance, -2, 2),
        "presencePenalty": lambda: eighth(chance, -2, 2),
        "minTokens": lambda: chance.choice([1, 2, 5]),
        "maxTokens": lambda: len(generated) + chance.choice([1, 1, 2, 9]),
    }
    often = chance.choice([0.1, 0.2, 0.4])
    settings |= {name: value() for name, value in some.items() if chance.random() < often}
    if settings.get("maxTokens", 512) < settings.get("minTokens", 0):
        del settings["minTokens"]
    ends = [token for token in range(vocab) if chance.random() < 0.1] or [vocab - 1]
    return {"logits": logits, "prompt": prompt, "generated": generated, "ends": ends, "settings": settings}


if __name__ == "__main__":
    make("rules", 8, 300, drawn, processed, kept)
