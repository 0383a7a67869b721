"""Makes the reference values of this folder with transformers, in float32 on the CPU.

    python tests/golden/make_golden.py           # all models; a name or several: only those

For each tiny checkpoint of `tests/fixtures`, for the bundled models, and for `../shared/models/story` if
it exists, it writes a file `NAME.json`. For several prompts the file has the ids, the logits of the last
position, a greedy completion with its margins, and its text. For a chat model it has whole chats, turn
by turn. 16-bit weights are widened to f32 when they are read; nothing else is rounded.

The margin of a step is the distance of the best logit from the second, relative to the step's largest
magnitude. If it is below the bound for comparing logits, another correct program may choose the other
token, and a comparison stops. Every completion is computed twice, step by step with a cache and in one
pass without, and the two must agree. `sampling.json` has the result of temperature, top-k, top-p, min-p
and repetition penalty on a row of logits: the probabilities from which transformers would draw.

`noise` is the largest difference from the same computation with float64 matrices, on the same scale: the
error of the reference itself."""

import json
import sys
from pathlib import Path

import safetensors
import tokenizers
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedTokenizerFast

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BOUND = 1e-4  # to which logits are compared, relative to the largest
FULL_VOCAB = 512  # up to this size all logits are written, above it every 16th and the top 32
GREEDY_STEPS = 120

LONG = (
    "Once upon a time there was a little boat. It lived at the edge of a small lake, and every day it watched the sun go up and the sun go down. "
    "One day a girl came to the lake with her dog"
)
FIXTURE_PROMPTS = ["Once upon a time there was a little cat, and it said", "t", LONG, "Zoë saw 雪 \U0001f525!\n\n  two  spaces"]
STORY_PROMPTS = ["Once upon a time", "Tom and Lily went to the park. They saw a big", LONG, "The dragon was sad because"]
CHATS = [
    ["Hello!", "My name is Ada.", "What is my name?"],
    ["My favourite colour is green.", "What is 2 + 3?", "What is my favourite colour?"],
    ["I have a dog called Max.", "What is my dog called?"],
    ["What is the capital of France?", "Thank you!"],
    ["Hi, I am Tom.", "I have a cat called Luna and my favourite colour is blue.", "What is 7 + 1?", "What is my cat called?", "And who am I?"],
    ["Who are you?", "What can you do?", "How many legs does a spider have?", "Good night!"],
]
SETTINGS = [
    {},
    {"temperature": 0.7},
    {"top_k": 5},
    {"top_p": 0.8},
    {"min_p": 0.1},
    {"repetition_penalty": 1.5},
    {"temperature": 2.0, "top_k": 20, "top_p": 0.9, "min_p": 0.02, "repetition_penalty": 1.2},
    {"temperature": 0.5, "top_k": 3, "top_p": 0.99},
    {"temperature": 1.5, "top_p": 0.5, "repetition_penalty": 0.8},
    {"temperature": 2.5, "min_p": 0.3, "top_k": 15},
]


class Reference:
    """A model folder, its tokenizer, and the model in f32 and in f64."""

    def __init__(self, folder):
        config = AutoConfig.from_pretrained(folder)
        load = lambda dtype: AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=dtype, attn_implementation="eager").eval()
        self.config, self.model, self.exact = config, load(torch.float32), load(torch.float64)
        # Uses tokenizer.json unchanged. AutoTokenizer of transformers 5 may choose a class by `model_type`
        # and build another tokenizer from the vocabulary.
        self.raw = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        eos = json.loads((folder / "generation_config.json").read_text())["eos_token_id"]
        self.eos = eos if isinstance(eos, list) else [eos]

    def logits(self, ids):
        """(positions, vocab) of one pass without a cache, and its distance from the same in f64."""
        logits = self.model(torch.tensor([ids]), use_cache=False).logits[0]
        exact = self.exact(torch.tensor([ids]), use_cache=False).logits[0]
        return logits, ((logits - exact).abs().max() / exact.abs().max()).item()

    def greedy(self, ids, steps, beyond):
        """Up to `steps` tokens, including the end token, chosen one by one with a cache; continues `beyond`
        it on request."""
        cache, step, tokens = None, ids, []
        while len(tokens) < steps:
            out = self.model(torch.tensor([step]), past_key_values=cache, use_cache=True)
            cache, token = out.past_key_values, int(out.logits[0, -1].argmax())
            tokens.append(token)
            step = [token]
            if token in self.eos and not beyond:
                break
        return tokens

    def continuation(self, ids, steps, beyond=False):
        """Greedy tokens after `ids`, with margins. `told` of them come before an end token, and only they
        make the text."""
        tokens = self.greedy(ids, steps, beyond)
        logits, noise = self.logits(ids + tokens)
        steps = logits[len(ids) - 1 : -1]
        best, second = steps.topk(2).values.T
        margins = ((best - second) / steps.abs().amax(dim=-1)).tolist()
        for token, again, margin in zip(tokens, steps.argmax(dim=-1).tolist(), margins, strict=True):
            assert token == again or margin < BOUND, "transformers with a cache and without disagree"
        ends = [at for at, token in enumerate(tokens) if token in self.eos]
        told, finish = (ends[0], "stop") if ends else (len(tokens), "length")
        rounded = [float(f"{margin:.3g}") for margin in margins]
        return {"tokens": tokens, "margins": rounded, "told": told, "finish": finish, "text": self.text(ids, tokens[:told])}, logits, noise

    def text(self, ids, tokens):
        """The text that `tokens` add to that of `ids`. A tokenizer would drop the leading space of tokens
        that it decodes alone.

        None if the bytes are not UTF-8, because their text then depends on where it is cut."""
        head = self.raw.decode(ids, skip_special_tokens=True)
        whole = self.raw.decode(ids + tokens, skip_special_tokens=True)
        return whole[len(head) :] if whole.startswith(head) and "\ufffd" not in whole else None

    def case(self, prompt, steps):
        ids = self.raw.encode(prompt).ids
        greedy, logits, noise = self.continuation(ids, steps, beyond=True)
        return {"prompt": prompt, "ids": ids, "logits": sample(logits[len(ids) - 1]), "greedy": greedy, "after": sample(logits[-1]),
                "noise": float(f"{noise:.1e}")}  # fmt: skip

    def chat(self, turns, steps):
        """Answers each user turn greedily. The answers enter the history as text."""
        messages, answers = [], []
        for turn in turns:
            messages.append({"role": "user", "content": turn})
            rendered = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            ids = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
            assert ids == self.raw.encode(rendered, add_special_tokens=False).ids
            answer, _, _ = self.continuation(ids, steps)
            if answer["text"] is None:
                break
            answers.append({"user": turn, "ids": ids, "rendered": rendered, **answer})
            messages.append({"role": "assistant", "content": answer["text"]})
        return answers


def number(value):
    """Nine digits, which distinguish any two f32 values."""
    return float(f"{value:.9g}")


def sample(logits):
    """The logits of one position: `values` are those of the ids 0, stride, 2 stride...; `top` has [id,
    value] pairs, best first."""
    stride = 1 if len(logits) <= FULL_VOCAB else 16
    top = [] if stride == 1 else [[int(id), number(value)] for value, id in zip(*(part.tolist() for part in logits.topk(32)), strict=True)]
    return {"max_abs": number(logits.abs().max().item()), "stride": stride, "values": [number(v) for v in logits[::stride].tolist()], "top": top}


def models():
    """Name -> (folder, prompts, chats)."""
    found = {}
    for folder in sorted((HERE.parent / "fixtures").iterdir()):
        if (folder / "config.json").exists() and not folder.name.startswith("mlx-"):  # make_mlx.py
            chats = CHATS[:1] if has_template(folder) else []
            found[folder.name] = (folder, FIXTURE_PROMPTS, chats)
    found["shared-story"] = (ROOT.parent / "shared/models/story", STORY_PROMPTS, [])
    found["story"] = (ROOT / "models/story", STORY_PROMPTS, [])
    found["chat"] = (ROOT / "models/chat", ["Once upon a time", "Hello"], CHATS)
    return found


def has_template(folder):
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    return "chat_template" in settings or (folder / "chat_template.jinja").exists()


def versions():
    return {"torch": torch.__version__, "transformers": transformers.__version__, "tokenizers": tokenizers.__version__,
            "safetensors": safetensors.__version__}  # fmt: skip


def make(name, folder, prompts, chats):
    reference = Reference(folder)
    vocab, hidden = reference.config.vocab_size, reference.config.hidden_size
    cases = [reference.case(prompt, GREEDY_STEPS) for prompt in prompts]
    # Long enough for the answers of the bundled model. A random model never ends by itself.
    dialogues = [reference.chat(turns, 24 if vocab <= FULL_VOCAB else 100) for turns in chats]
    golden = {"model": name, "made_by": "tests/golden/make_golden.py, float32 on a CPU", "versions": versions(), "vocab": vocab, "hidden": hidden,
              "eos": reference.eos, "cases": cases, "chats": [{"turns": turns} for turns in dialogues if turns]}  # fmt: skip
    lines = json.dumps(golden, ensure_ascii=False, separators=(",", ":")).replace('{"prompt"', '\n{"prompt"').replace('{"turns"', '\n{"turns"')
    path = HERE / f"{name}.json"
    path.write_text(lines + "\n")
    margins = [margin for case in cases for margin in case["greedy"]["margins"]]
    close = sum(margin < BOUND for margin in margins)
    noise = max(case["noise"] for case in cases)
    print(f"{name:22} {path.stat().st_size:7} bytes; {len(margins)} greedy tokens, {close} with a margin below {BOUND}, smallest {min(margins):.1e};"
          f" noise {noise:.1e}", flush=True)  # fmt: skip


def sampling():
    """The probabilities after the processors of `generate`, in its order."""
    generator = torch.Generator().manual_seed(5)
    logits = 3 * torch.randn(40, generator=generator)
    text = [0, 0, 17, int(logits.argmax()), int(logits.argmin())]  # seen twice, once, likely, unlikely
    cases = []
    for settings in SETTINGS:
        config = GenerationConfig(do_sample=True, **({"temperature": 1.0, "top_k": 0} | settings))
        # The processors that `generate` would use; the model only provides the method.
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", vocab_size=40, hidden_size=8, intermediate_size=8,
                                                                      num_hidden_layers=1, num_attention_heads=1))  # fmt: skip
        processors = model._get_logits_processor(config, input_ids_seq_length=len(text))
        warped = processors(torch.tensor([text]), logits[None].clone())[0]
        cases.append({"settings": settings, "probabilities": [number(value) for value in warped.double().softmax(dim=-1).tolist()]})
    golden = {"made_by": "tests/golden/make_golden.py", "versions": versions(), "text": text, "logits": [number(v) for v in logits.tolist()],
              "cases": cases}  # fmt: skip
    path = HERE / "sampling.json"
    path.write_text(json.dumps(golden, separators=(",", ":")).replace('{"settings"', '\n{"settings"') + "\n")
    print(f"{'sampling':22} {path.stat().st_size:7} bytes; {len(cases)} settings")


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    found = models()
    for name in sys.argv[1:] or ["sampling", *found]:
        if name == "sampling":
            sampling()
            continue
        folder, prompts, chats = found[name]
        if (folder / "model.safetensors").exists() or (folder / "model.safetensors.index.json").exists():
            make(name, folder, prompts, chats)
        else:
            print(f"{name:22} left as it is: no model in {folder}")
