"""Makes the reference values of this folder: published GGUF files, read by transformers and gguf.

    python tests/golden/real/make_real.py FOLDER    # the one that `node scripts/real.mjs` fills

`smollm2.json` has the same parts as the other golden files (see ../make_golden.py). transformers dequantises
the GGUF file to f32 and computes in f32. `text` is the perplexity that it finds in
tests/data/plain_english.txt.

`gemma3.json` has numbers of a file with five kinds of tensors, dequantised by gguf: sums over every tensor,
and some rows of one tensor of each kind; and the ids of some texts, by transformers."""

import json
import math
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(HERE.parent))

import gguf  # noqa: E402
import make_golden  # noqa: E402
import numpy  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from tokenizers import pre_tokenizers  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"
GEMMA3 = "gemma-3-270m-q4_k_m.gguf"
WINDOW = 512  # tokens that are read from an empty cache, as `fireside quality` does by default
COLS = 256  # of a row: one block of the K formats

PROMPTS = [
    "The capital of France is",
    "A canal lock has two pairs of gates. When a boat wants to go up, the keeper",
    "def fibonacci(n):\n    ",
    "In 1969, 2 men walked on the Moon: ",
]
CHATS = [
    ["What is the capital of France?", "And how many people live there?"],
    ["Write one sentence about the sea.", "Thank you!"],
    ["Why is the sky blue?"],
    ["Zoë saw 雪 and 3 \U0001f525. Which languages did she need?"],
]
TEXTS = [
    "The capital of France is Paris.",
    "  two  spaces,\n\n\ta tab and 1,234.5 numbers",
    "Zoë saw 雪 \U0001f525!",
    "don't, I'LL; <b>tags</b> <start_of_turn> 𝔘nicode",
    "",
]


class GgufReference(make_golden.Reference):
    """A GGUF file: its tokenizer, and the model in f32 and in f64."""

    def __init__(self, folder, name):
        load = lambda dtype: AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=dtype, attn_implementation="eager").eval()
        self.model, self.exact = load(torch.float32), load(torch.float64)
        self.config = self.model.config
        self.tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
        self.raw = self.tokenizer.backend_tokenizer
        # The file says `smollm`, and transformers 5.24 does not split digits for it, as the published
        # tokenizer.json does.
        self.raw.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), self.raw.pre_tokenizer])
        self.eos = [self.config.eos_token_id]

    def perplexity(self, text):
        """exp of the mean surprise at each token but the first of each window, and how many these are."""
        ids = self.raw.encode(text).ids
        surprise, count = 0.0, 0
        for start in range(0, len(ids), WINDOW):
            window = ids[start : start + WINDOW]
            logs = self.model(torch.tensor([window]), use_cache=False).logits[0].double().log_softmax(dim=-1)
            surprise -= logs[range(len(window) - 1), window[1:]].sum().item()
            count += len(window) - 1
        return {"tokens": len(ids), "positions": count, "perplexity": math.exp(surprise / count)}


def sample(logits):
    """Fewer than the other golden files have: every 256th logit and the best 8."""
    top = [[int(id), make_golden.number(value)] for value, id in zip(*(part.tolist() for part in logits.topk(8)), strict=True)]
    return {"max_abs": make_golden.number(logits.abs().max().item()), "stride": 256,
            "values": [make_golden.number(v) for v in logits[::256].tolist()], "top": top}  # fmt: skip


def write(name, golden):
    text = json.dumps(golden, ensure_ascii=False, separators=(",", ":"))
    for word in ('{"prompt"', '{"turns"', '{"name"', '{"tensor"'):
        text = text.replace(word, "\n" + word)
    (HERE / name).write_text(text + "\n")
    print(f"{name}: {(HERE / name).stat().st_size} bytes", flush=True)


def smollm2(folder):
    make_golden.sample = sample
    reference = GgufReference(folder, SMOLLM2)
    cases = [reference.case(prompt, 48) for prompt in PROMPTS]
    chats = [{"turns": reference.chat(turns, 64)} for turns in CHATS]
    text = reference.perplexity((ROOT / "tests/data/plain_english.txt").read_text())
    write("smollm2.json", {"model": SMOLLM2, "made_by": "tests/golden/real/make_real.py, float32 on a CPU", "versions": versions(),
                           "vocab": reference.config.vocab_size, "hidden": reference.config.hidden_size, "eos": reference.eos, "text": text,
                           "cases": cases, "chats": chats})  # fmt: skip
    margins = [margin for case in cases for margin in case["greedy"]["margins"]]
    print(f"{len(margins)} greedy tokens, smallest margin {min(margins):.1e}; noise {max(case['noise'] for case in cases):.1e}; {text}")


def gemma3(folder):
    tensors = gguf.GGUFReader(folder / GEMMA3).tensors
    sums, rows, seen = [], [], set()
    for tensor in tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        kind, wide = tensor.tensor_type.name, values.astype(numpy.float64)
        sums.append({"name": tensor.name, "kind": kind, "shape": list(values.shape), "sum": wide.sum(), "magnitude": numpy.abs(wide).sum()})
        if values.ndim == 2 and kind not in seen:
            seen.add(kind)
            for row in (0, len(values) // 2 + 1, len(values) - 1):
                numbers = [make_golden.number(value) for value in values[row][-COLS:].tolist()]
                rows.append({"tensor": tensor.name, "kind": kind, "row": row, "col": values.shape[1] - len(numbers), "values": numbers})
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=GEMMA3)
    texts = [{"text": text, "ids": tokenizer(text)["input_ids"]} for text in TEXTS]
    write("gemma3.json", {"model": GEMMA3, "made_by": "tests/golden/real/make_real.py", "versions": versions(), "texts": texts, "rows": rows,
                          "tensors": sums})  # fmt: skip
    print(f"rows of {sorted(seen)}")


def versions():
    return make_golden.versions() | {"gguf": __import__("importlib.metadata").metadata.version("gguf")}


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(2)
    torch.set_grad_enabled(False)
    folder = Path(sys.argv[1])
    for make in (smollm2, gemma3):
        if make.__name__ in (sys.argv[2:] or ["smollm2", "gemma3"]):
            make(folder)
