"""Writes held_out.json: texts that the models were not trained on, for tests/quantised.rs.

    cargo build --release && python tests/golden/make_held_out.py

For the bundled models these are the held-out documents of models/train, with special tokens written out,
except those that begin and end a document. For the published story model there are no such documents. It
gets stories that it generates itself in f32, at temperature 1 without filters."""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "models" / "train"))

import chat_grammar  # noqa: E402
import story_grammar  # noqa: E402


def text(document):
    return document if isinstance(document, str) else "".join(piece for piece, _ in document)


def tell(seed):
    """A story of the model in ../shared/models/story."""
    options = "--dtype f32 --threads 1 --temperature 1 --top-k 0 --top-p 1 --repetition-penalty 1 --max-tokens 260"
    model = ["--model", "../shared/models/story", "--seed", str(seed)]
    command = ["target/release/fireside", "generate", "Once upon a time", *model, *options.split()]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=HERE.parents[1]).stdout.strip()


held_out = {
    "story": [text(document) for document in story_grammar.held_out(24)],
    "shared-story": [tell(seed) for seed in range(1, 13)],
    "chat": [text(document) for document in chat_grammar.held_out(16)],
}
(HERE / "held_out.json").write_text(json.dumps(held_out, indent=1, ensure_ascii=False) + "\n")
