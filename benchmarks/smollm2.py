"""SmolLM2-135M in our classes against `transformers`: tokens per second, and how soon it can answer.

    python benchmarks/smollm2.py

Both read the same file, compute in float32 with a cache and write the same tokens greedily. Rounds
alternate, and each round gives one ratio. Loading is timed in a fresh process for each contender, twice:
the first load of a process, in which imports and caches are still to be made, and the second. Nothing is
kept on disk between the two, so the first load on a new machine differs from a later one only by what the
disk takes. Exits with 1 where a bar is missed.
"""

import argparse
import contextlib
import io
import subprocess
import sys
import warnings

import torch
from common import Row, show

from course_lib.costs import alternate

SPEED_BAR = 1.0  # our tokens per second, as a multiple of theirs: at least
LOAD_BAR = 0.5  # our loading time, as a multiple of theirs: at most
FIRST_LOAD_BAR, SECOND_LOAD_BAR = 3.5, 2.0  # our loading time in seconds: at most
QUESTION = "Explain in a few sentences how a Transformer reads a text."

# Each in a fresh process: time from the call, with the libraries imported, to a model that can answer.
LOAD_OURS = """
import time, torch
from course_lib.pretrained import load_smollm2
for _ in range(2):
    start = time.perf_counter()
    model, tokenizer = load_smollm2(device=torch.device("cpu"))
    with torch.inference_mode():
        model.next_token_logits(torch.tensor([tokenizer.encode("Attention is all you")]))
    print(time.perf_counter() - start)
    del model, tokenizer
"""
LOAD_THEIRS = """
import time, torch
from transformers import AutoModelForCausalLM
from course_lib.pretrained import smollm2_path
path = smollm2_path()
for _ in range(2):
    start = time.perf_counter()
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    print(time.perf_counter() - start)
    del model
"""


def load_seconds(script: str) -> tuple[float, float]:
    """Run a script that prints the seconds of its first load and of its second."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    first, second = done.stdout.split()[-2:]
    return float(first), float(second)


def compare_speed(rounds: int, n_new: int) -> list[list[float]]:
    """Tokens per second, ours and theirs, round by round."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    from course_lib.generation import generate
    from course_lib.pretrained import chat_prompt, load_smollm2, smollm2_path

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    path = smollm2_path()
    model, tokenizer = load_smollm2(device=torch.device("cpu"))
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
        theirs = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32
        ).eval()
    ids = torch.tensor([tokenizer.encode(chat_prompt(QUESTION))])

    def write_ours() -> torch.Tensor:
        return generate(model, ids, n_new)

    def write_theirs() -> torch.Tensor:
        return theirs.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=n_new,
            min_new_tokens=n_new,
            do_sample=False,
            use_cache=True,
            pad_token_id=0,
        )

    if not torch.equal(
        write_ours()[:, : ids.shape[1] + 8], write_theirs()[:, : ids.shape[1] + 8]
    ):  # warms both up
        raise SystemExit("The two models do not write the same tokens, so their speeds cannot be compared.")
    return [
        [n_new / seconds for seconds in of_one]
        for of_one in alternate([write_ours, write_theirs], rounds, warm_up=0)
    ]


def compare_loading(rounds: int) -> list[Row]:
    """Seconds until ready, ours and theirs, first and second load."""
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    # Each script times itself: starting Python does not count.
    alternate(
        [lambda: ours.append(load_seconds(LOAD_OURS)), lambda: theirs.append(load_seconds(LOAD_THEIRS))],
        rounds,
        warm_up=0,
    )
    rows = []
    bars = {"first": FIRST_LOAD_BAR, "second": SECOND_LOAD_BAR}
    for i, (which, bar) in enumerate(bars.items()):
        mine, other = [pair[i] for pair in ours], [pair[i] for pair in theirs]
        rows.append(Row(f"SmolLM2: {which} load, times transformers", mine, other, LOAD_BAR, at_least=False))
        rows.append(Row(f"SmolLM2: {which} load, seconds until ready", mine, bar=bar, at_least=False))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=21, help="rounds of writing (default: %(default)s)")
    parser.add_argument("--new-tokens", type=int, default=16, help="tokens per round (default: %(default)s)")
    parser.add_argument("--load-rounds", type=int, default=3, help="rounds of loading (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="threads that torch may use (default: its own choice)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")  # transformers', about its own settings
    rows = [
        Row(
            "SmolLM2: tokens per second, times transformers",
            *compare_speed(arguments.rounds, arguments.new_tokens),
            SPEED_BAR,
        ),
        *compare_loading(arguments.load_rounds),
    ]
    return show("A real chat model", rows)


if __name__ == "__main__":
    sys.exit(main())
