"""Makes `generation.json`: what transformers' `generate` writes for a model folder with different versions
of generation_config.json.

    python tests/golden/make_generation.py

The folder is tests/fixtures/llama-untied-f32. A case replaces its generation_config.json (`null` removes
it) and changes fields of its config.json (`null` removes one). `swap` exchanges two rows of the head,
and so the two token ids: `2`, the default end token of LlamaConfig, then is an ordinary token that
greedy decoding chooses. Decoding is greedy in float32. `text` has no special tokens, and ends before the
end token or the stop string. `ignored` is written by hand: the fields that this engine ignores."""

import json
import shutil
import tempfile
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = Path(__file__).parent
BASE = HERE.parent / "fixtures" / "llama-untied-f32"
PROMPT = "Once upon a time there was a little cat, and it said"
SWAP = [2, 308]
PLAIN = "itA andmitasoiq apen thezfT"


def case(name, generation, ignored=(), config=None, swap=False, override=None, options=None):
    """`override` is for transformers only: it turns off what we do not support. `options` are ours; without
    `maxTokens` the file decides."""
    text = generation if generation is None or isinstance(generation, str) else json.dumps(generation)
    return {"name": name, "generation_config": text, "ignored": list(ignored), "config": config or {}, "swap": SWAP if swap else [], "prompt": PROMPT,
            "options": {"maxTokens": 16} if options is None else options, "override": override or {}}  # fmt: skip


OFF = {"num_beams": 1, "num_beam_groups": 1, "diversity_penalty": 0.0, "penalty_alpha": 0, "guidance_scale": 1.0, "token_healing": False,
       "watermarking_config": None, "num_return_sequences": 1, "no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0,
       "encoder_repetition_penalty": 1.0, "repetition_penalty": 1.0, "suppress_tokens": None, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0,
       "use_cache": True, "cache_implementation": "hybrid", "early_stopping": False, "length_penalty": 1.0, "output_scores": False,
       "transformers_version": "4.44.0", "pad_token_id": 0, "eos_token_id": 2}  # fmt: skip

CASES = [
    # Tokens that end a text.
    case("eos: absent in config, another in generation", {"eos_token_id": [319]}, config={"eos_token_id": None}, swap=True),
    case("eos: another in generation", {"eos_token_id": 319}, swap=True),
    case("eos: absent in generation", {}, swap=True),
    case("eos: null in generation", {"eos_token_id": None}, swap=True),
    case("eos: the same in both", {"eos_token_id": 2}, swap=True),
    case("eos: one of several", {"eos_token_id": [319, 311]}, swap=True),
    case("eos: of config alone", None, swap=True),
    case("eos: in no file", None, config={"eos_token_id": None}, swap=True),
    case("eos: -1 in generation", {"eos_token_id": -1}, swap=True),
    case("eos: -1 in config", None, config={"eos_token_id": -1}, swap=True),
    case("eos: a page of HTML for a file", "<!DOCTYPE html><title>Not found</title>", ["generation_config.json"], swap=True),
    case("eos: 2.0", '{"eos_token_id": 2.0}', swap=True),
    # Rules.
    case("stop_strings", {"stop_strings": ["e"], "do_sample": False}),
    case("stop_strings: one text", {"stop_strings": "an"}),
    case("suppress_tokens", {"suppress_tokens": list(range(300, 310)), "do_sample": False}),
    case("begin_suppress_tokens", {"begin_suppress_tokens": [308, 295]}),
    case("bad_words_ids", {"bad_words_ids": [[300]], "do_sample": False}),
    case("bad_words_ids: sequences", {"bad_words_ids": [[308, 295], [304, 274], [2]], "eos_token_id": 2}),
    case("no_repeat_ngram_size 1", {"no_repeat_ngram_size": 1, "do_sample": False}),
    case("no_repeat_ngram_size 2", {"no_repeat_ngram_size": 2}),
    case("encoder_no_repeat_ngram_size", {"encoder_no_repeat_ngram_size": 1}),
    case("encoder_repetition_penalty", {"encoder_repetition_penalty": 1.5}),
    case("repetition_penalty", {"repetition_penalty": 1.3}),
    case("sequence_bias", {"sequence_bias": [[[271], 6.0], [[308, 295], -9.0]]}),
    case("forced_eos_token_id", {"forced_eos_token_id": 2, "eos_token_id": 2}),
    case("forced_eos_token_id: no end of its own", {"forced_eos_token_id": [300]}),
    case("forced_bos_token_id: a long prompt", {"forced_bos_token_id": 305}),
    case("exponential_decay_length_penalty", {"exponential_decay_length_penalty": [4, 1.6], "eos_token_id": 311}),
    case("min_new_tokens", {"eos_token_id": [311, 2], "min_new_tokens": 9}, swap=True),
    case("min_length", {"eos_token_id": [311, 2], "min_length": 45}, swap=True),
    case("max_new_tokens", {"max_new_tokens": 7}, options={}),
    case("max_length", {"max_length": 44}, options={}),
    case("max_length: max_new_tokens goes before it", {"max_length": 44, "max_new_tokens": 5}, options={}),
    case("all that means off", OFF),
    # transformers 4 wrote defaults into config.json; they apply if there is no generation_config.json.
    case("config.json: defaults of generation", None, config={"no_repeat_ngram_size": 1, "max_length": 20}),
    case("config.json: not where there is generation_config.json", {"eos_token_id": 2}, config={"no_repeat_ngram_size": 1}),
    # Fields that are ignored.
    case("num_beams", {"num_beams": 2}, ["num_beams"], override={"num_beams": 1}),
    case("guidance_scale", {"guidance_scale": 1.5}, ["guidance_scale"], override={"guidance_scale": None}),
    case("penalty_alpha and dola_layers", {"penalty_alpha": 0.6, "top_k": 4, "dola_layers": "high"}, ["dola_layers", "penalty_alpha"],
         override={"penalty_alpha": None, "dola_layers": None}),  # fmt: skip
    case("unknown fields", {"chat_format": "chatml", "max_window_size": 24000}, ["chat_format", "max_window_size"]),
    # Odd values.
    case("top_k -1", {"top_k": -1}),
    case("top_k 50.0", '{"top_k": 50.0}'),
    case("temperature NaN", '{"temperature": NaN}', ["temperature"]),
    case("temperature Infinity", '{"temperature": Infinity, "top_p": 1e999}', ["temperature", "top_p"]),
    case("temperature as a text", {"temperature": "0.6"}),
    case("temperature as a list", {"temperature": [0.7]}, ["temperature"]),
    case("temperature below 0", {"temperature": -1}, ["temperature"]),
    case("a name twice", '{"top_k": 3, "no_repeat_ngram_size": 1, "no_repeat_ngram_size": 0}'),
    case("an empty file", "", ["generation_config.json"]),
    case("a pointer of LFS", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", ["generation_config.json"]),
    case("broken JSON", '{"no_repeat_ngram_size": 1', ["generation_config.json"]),
]


def folder_of(case, place):
    shutil.copytree(BASE, place)
    (place / "generation_config.json").unlink()
    if case["generation_config"] is not None:
        (place / "generation_config.json").write_text(case["generation_config"])
    config = json.loads((place / "config.json").read_text()) | case["config"]
    (place / "config.json").write_text(json.dumps({name: value for name, value in config.items() if value is not None}))
    if case["swap"]:
        weights = load_file(place / "model.safetensors")
        weights["lm_head.weight"][case["swap"]] = weights["lm_head.weight"][case["swap"][::-1]]
        save_file(weights, place / "model.safetensors", {"format": "pt"})


def continuation(tokenizer, prompt, out):
    """The text that tokens add to a prompt, with its leading space."""
    head = tokenizer.decode(prompt, skip_special_tokens=True)
    return tokenizer.decode(prompt + out, skip_special_tokens=True)[len(head):]


def written(case):
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch) / "model"
        folder_of(case, place)
        tokenizer = AutoTokenizer.from_pretrained(place)
        model = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32)
    ids = tokenizer(case["prompt"], return_tensors="pt").input_ids
    lengths = {"max_new_tokens": case["options"]["maxTokens"]} if "maxTokens" in case["options"] else {}
    out = model.generate(ids, do_sample=False, tokenizer=tokenizer, **lengths, **case["override"])[0, ids.shape[1]:].tolist()
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    is_end = bool(out) and out[-1] in ends
    text = continuation(tokenizer, ids[0].tolist(), out[:-1] if is_end else out)
    stops = model.generation_config.stop_strings or []
    found = [text.index(stop) for stop in ([stops] if isinstance(stops, str) else stops) if stop in text]
    return {"ids": out, "text": text[: min(found)] if found else text, "finish": "stop" if is_end or found else "length"}


def main():
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    results = [{name: value for name, value in case.items() if name != "override"} | written(case) for case in CASES]
    assert results[-1]["text"] == PLAIN, results[-1]
    versions = {"transformers": transformers.__version__, "tokenizers": __import__("tokenizers").__version__, "torch": torch.__version__}
    golden = {"made_by": "tests/golden/make_generation.py", "versions": versions, "cases": results}
    path = HERE / "generation.json"
    path.write_text(json.dumps(golden, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")
    print(f"{path.stat().st_size} bytes; {len(results)} cases")


if __name__ == "__main__":
    main()
