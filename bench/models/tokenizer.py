"""A tokenizer for random weights, with one word per token, and the prompts of every length."""

import json

import numpy as np
from tokenizers import Tokenizer

LENGTHS = (16, 128, 256, 512, 2048)
STORY = "Once upon a time there was a little boat on a big blue lake. The boat liked to play with the ducks and the wind. "


def write_words(path, vocab):
    """Token 7 is the word w7. The first three are the unknown token and the beginning and end of a text."""
    words = {"<unk>": 0, "<s>": 1, "</s>": 2, **{f"▁w{token}": token for token in range(3, vocab)}}
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    special = [{"id": token, "content": word, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
               for word, token in list(words.items())[:3]]
    path.write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None, "pre_tokenizer": metaspace,
        "post_processor": None, "decoder": metaspace, "model": {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"},
    }, ensure_ascii=False))


def write_prompts(path, tokenizer_path, config, published):
    """{length: {text, ids}} for the lengths that leave room in the context. Every prompt is a prefix of the
    longest."""
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    draw = np.random.Generator(np.random.SFC64(2))
    words = " ".join(f"w{token}" for token in draw.integers(3, config["vocab_size"], max(LENGTHS)))
    prompts = {}
    for length in (length for length in LENGTHS if length < config["max_position_embeddings"]):
        if published:
            text = STORY * 100
            text = text[:tokenizer.encode(text).offsets[length - 1][1]]
        else:
            text = " ".join(words.split(" ")[:length])
        ids = tokenizer.encode(text).ids
        assert len(ids) == length, (length, len(ids))
        prompts[length] = {"text": text, "ids": ids}
    path.write_text(json.dumps(prompts))
