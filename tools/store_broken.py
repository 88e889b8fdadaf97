"""Put each mistake that the exercises know into SmolLM2, one at a time, and store what it then says.

    python tools/store_broken.py            # the parts whose task has changed since; all ten take 15 minutes

The ten parts are those of the last exercise, My Transformer; a mistake is the wrong answer itself, as it
stands in the part's task. `book_broken` makes a page of it.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from course_lib import pretrained
from course_lib.bpe import BPETokenizer
from course_lib.checks import find_task, real_model
from course_lib.checks.call import call
from course_lib.checks.guard import clean_state
from course_lib.concepts.c09_real_models.capstone.parts import QUESTION, Lending, library_parts
from course_lib.concepts.c09_real_models.capstone.taking_along import PARTS
from course_lib.decoder import GPT

ROOT = Path(__file__).resolve().parent.parent
STORED = ROOT / "book" / "broken.json"
SAMPLER = "sampler"  # at temperature 0 most of its mistakes do nothing, so it draws
TEMPERATURE, TOP_P, SEED = 0.7, 0.9, 0
N_TOKENS = 16
SECONDS = 120  # by the clock, for one mistake


def digest(part: str) -> str:
    """Which mistakes of a part these are: its task's file, in one number."""
    folder, name = PARTS[part].task.split("/")
    path = ROOT / "course_lib" / "concepts" / f"c{folder}" / "tasks" / f"{name}.py"
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def said(
    model: GPT, tokenizer: BPETokenizer, parts: dict[str, Callable[..., Any]], drawn: bool
) -> dict[str, str]:
    """What the model says with these parts: {"says": a text}, or {"stops": the error}."""
    assembled = Lending(model, tokenizer, parts)
    generator = torch.Generator().manual_seed(SEED)
    how = (TEMPERATURE, TOP_P, generator) if drawn else (0.0, 1.0, None)

    def run() -> str:
        with clean_state():
            ids = assembled.encode(pretrained.chat_prompt(QUESTION))
            tokens = [token for token, _ in assembled.write(ids, N_TOKENS, *how)]
            return "".join(real_model.as_text(tokenizer, tokens))

    outcome = call(run, SECONDS)
    if outcome.value is not None:
        return {"says": outcome.value}
    if outcome.late:
        return {"stops": "it does not come to an end"}
    first, *_ = str(outcome.error).split("\n")
    return {"stops": f"{type(outcome.error).__name__}: {first}"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=STORED, help="the file to write to")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model, tokenizer = pretrained.load_smollm2(device=torch.device("cpu"))
    sound = library_parts(tokenizer)
    stored: dict[str, Any] = {}
    if arguments.out.exists():
        stored = json.loads(arguments.out.read_text(encoding="utf-8"))
    stored = {
        part: found for part, found in stored.items() if part in PARTS and found["digest"] == digest(part)
    }
    for part, its in PARTS.items():
        if part in stored:
            continue
        drawn = part == SAMPLER
        mistakes = {}
        for known in find_task(its.task).misconceptions:
            mistakes[known.name] = said(model, tokenizer, sound | {part: known.wrong}, drawn)
            print(part, known.name, mistakes[known.name], flush=True)
        whole = said(model, tokenizer, sound, drawn)["says"]
        stored[part] = {"sound": whole, "digest": digest(part), "mistakes": mistakes}
        ordered = {part: stored[part] for part in PARTS if part in stored}
        arguments.out.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
