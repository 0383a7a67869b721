"""Trains a byte-fallback BPE tokenizer, Llama style, and writes it as Hugging Face files.

    python models/train/tokenizer.py story            # the recipe models/train/story_grammar.py -> models/story

A recipe is a module `<name>_grammar.py` in this folder. This script reads these parts of it (train.py reads the rest):

    TOKENIZER = dict(               # the keyword arguments of train_tokenizer() below
        vocab_size=2048,
        special_tokens=["<unk>", "<s>", "</s>"],  # ids 0, 1, 2, ... in this order
        unk="<unk>", bos="<s>", eos="</s>",       # bos may be None; pad is unk unless given
        add_bos=True,               # encoding begins with bos (post-processor), as Llama does
        prefix_space=True,          # "Once" is encoded as "▁Once", as Llama does; False: adds nothing (and no Strip)
        digits_apart=False,         # True: every digit is a separate token, never merged with a space
        chat_template=None,         # Jinja text, goes into tokenizer_config.json
    )
    documents(seed)                 # endless iterator of documents: str, or a list of (text, loss weight)

The idea: text is cut into words (a leading space belongs to its word and is written "▁"), runs of punctuation and
digits; merges never cross these borders. A character outside the alphabet becomes its UTF-8 bytes <0x00>..<0xFF>, so
every text round-trips (except for the character "▁" itself, which is a space to every tokenizer of this kind).
"""

import argparse
import importlib
import json
import string
import sys
from itertools import islice
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing

MODELS = Path(__file__).resolve().parent.parent


def recipe(name):
    """The module `<name>_grammar` beside this file."""
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    return importlib.import_module(f"{name}_grammar")


def plain(document):
    """A document's text, whatever its loss weights."""
    return document if isinstance(document, str) else "".join(text for text, _ in document)


def cut(digits_apart):
    """The borders of pre-tokenization: words and punctuation, each with its space; digits; single spaces."""
    digits = r"\p{N}" if digits_apart else r"▁?\p{N}+"
    return Regex(rf"▁?[\p{{L}}\p{{M}}]+(?:'\p{{L}}+)?|{digits}|▁?[^\p{{L}}\p{{M}}\p{{N}}▁\s]+|\s|▁")


def train_tokenizer(
    texts,
    out,
    *,
    vocab_size,
    special_tokens,
    unk,
    bos,
    eos,
    pad=None,
    add_bos=True,
    prefix_space=True,
    digits_apart=False,
    chat_template=None,
    model_max_length=512,
):
    """Trains on `texts` (strings without special tokens) and writes tokenizer.json and its two companions to `out`."""
    spaces = normalizers.Replace(" ", "▁")
    tokenizer = Tokenizer(models.BPE(unk_token=unk, byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), spaces]) if prefix_space else spaces
    tokenizer.pre_tokenizer = pre_tokenizers.Split(cut(digits_apart), "isolated")
    alphabet = list(string.ascii_letters + string.digits + string.punctuation + "\n▁")
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 256, min_frequency=2, initial_alphabet=alphabet, limit_alphabet=len(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)

    # The byte tokens go between the special tokens and the alphabet, where Llama has them.
    learnt = json.loads(tokenizer.to_str())
    words = sorted(learnt["model"]["vocab"], key=learnt["model"]["vocab"].get)
    names = special_tokens + [f"<0x{byte:02X}>" for byte in range(256)] + words
    names = names[:vocab_size]  # drops the rarest merges, as many as there are special tokens
    vocab = {name: index for index, name in enumerate(names)}
    merges = [tuple(pair) for pair in learnt["model"]["merges"] if "".join(pair) in vocab]
    tokenizer.model = models.BPE(vocab=vocab, merges=merges, unk_token=unk, byte_fallback=True, fuse_unk=True)
    tokenizer.add_special_tokens(special_tokens)
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(steps + [decoders.Strip(" ", 1, 0)] if prefix_space else steps)
    if add_bos:
        tokenizer.post_processor = TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, vocab[bos])]
        )

    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    named = {"bos_token": bos, "eos_token": eos, "unk_token": unk, "pad_token": pad or unk}
    named = {key: value for key, value in named.items() if value is not None}
    added = {
        str(vocab[token]): dict(content=token, lstrip=False, normalized=False, rstrip=False, single_word=False, special=True)
        for token in special_tokens
    }
    config = dict(
        tokenizer_class="PreTrainedTokenizerFast",
        added_tokens_decoder=added,
        add_bos_token=add_bos,
        add_eos_token=False,
        clean_up_tokenization_spaces=False,
        model_max_length=model_max_length,
        model_input_names=["input_ids", "attention_mask"],  # otherwise generate(**tokenizer(text)) fails on token_type_ids
        **named,
    )
    if chat_template:
        config["chat_template"] = chat_template
    write_json(out / "tokenizer_config.json", config)
    write_json(out / "special_tokens_map.json", named)
    check_round_trip(out)
    return tokenizer


def check_round_trip(folder):
    """Checks that the files, as transformers loads them, reproduce every text, including characters outside
    the alphabet."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    for text in ["Once upon a time", " two  spaces ", "it's 12:30!\n\nYes.", "你好，世界", "🐉 é ñ \u200d", "a\tb", "<0x41>", ""]:
        ids = tokenizer.encode(text)
        got = tokenizer.decode(ids, skip_special_tokens=True)
        assert got == text, f"{text!r} came back as {got!r} ({ids})"


def write_json(path, value):
    """JSON as Hugging Face writes it: two spaces, UTF-8, a newline at the end."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main():
    """The command line; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--out", type=Path, help="default: models/<recipe>")
    parser.add_argument("--documents", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    module = recipe(args.recipe)
    out = args.out or MODELS / args.recipe
    special = module.TOKENIZER["special_tokens"]

    def texts():
        for document in islice(module.documents(args.seed), args.documents):
            text = plain(document)
            for token in special:
                text = text.replace(token, "\n")
            yield text

    tokenizer = train_tokenizer(texts(), out, **module.TOKENIZER)
    sample = next(module.documents(args.seed + 1))
    ids = tokenizer.encode(plain(sample)).ids
    print(f"{tokenizer.get_vocab_size()} entries; {len(plain(sample))} characters are {len(ids)} tokens")
    print(" ".join(tokenizer.id_to_token(i) for i in ids[:80]))


if __name__ == "__main__":
    main()
