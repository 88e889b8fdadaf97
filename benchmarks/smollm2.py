"""SmolLM2-135M in our classes against `transformers`: tokens per second, and how soon it can answer.

Both read the same file, compute in float32 with a cache and write the same tokens greedily. Rounds
alternate, and each round gives one ratio; the medians are printed with their spread. Exits with 1 where a
bar is missed.
"""

import argparse
import contextlib
import io
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings

import torch

SPEED_BAR = 1.0  # our tokens per second, as a multiple of theirs: at least
LOAD_BAR = 1.5  # our loading time, as a multiple of theirs: at most
QUESTION = "Explain in a few sentences how a Transformer reads a text."

# Each in a fresh process: time from the call, with the libraries imported, to a model that can answer.
LOAD_OURS = """
import time, torch
from course_lib.pretrained import chat_prompt, load_smollm2
start = time.perf_counter()
model, tokenizer = load_smollm2(device=torch.device("cpu"))
with torch.inference_mode():
    model.next_token_logits(torch.tensor([tokenizer.encode("Attention is all you")]))
print(time.perf_counter() - start)
"""
LOAD_THEIRS = """
import time, torch
from transformers import AutoModelForCausalLM
from course_lib.pretrained import smollm2_path
path = smollm2_path()
start = time.perf_counter()
AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
print(time.perf_counter() - start)
"""


def load_seconds(script: str) -> float:
    """Run a script that prints its seconds last."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.split()[-1])


def compare_speed(rounds: int, n_new: int) -> tuple[list[float], list[float]]:
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
    speeds: tuple[list[float], list[float]] = ([], [])
    for n in range(rounds):
        # Who goes first alternates too, so that a busy moment does not always hit the same one.
        for side in (0, 1) if n % 2 == 0 else (1, 0):
            start = time.perf_counter()
            (write_ours, write_theirs)[side]()
            speeds[side].append(n_new / (time.perf_counter() - start))
    return speeds


def compare_loading(rounds: int) -> tuple[list[float], list[float]]:
    """Seconds until ready, ours and theirs, round by round."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for n in range(rounds):
        for side in (0, 1) if n % 2 == 0 else (1, 0):
            seconds[side].append(load_seconds((LOAD_OURS, LOAD_THEIRS)[side]))
    return seconds


def report(name: str, ours: list[float], theirs: list[float], bar: float, *, at_least: bool) -> bool:
    """Print one row; say whether the median of the ratios meets its bar."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    ratio = statistics.median(ratios)
    met = ratio >= bar if at_least else ratio <= bar
    spread = f"{ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    print(
        f"{name:<24}{statistics.median(ours):>8.2f}{statistics.median(theirs):>14.2f}{spread:>24}"
        f"{'>=' if at_least else '<=':>6} {bar:<5}{'met' if met else 'MISSED'}"
    )
    return met


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
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, float32")
    print(f"{'':<24}{'ours':>8}{'transformers':>14}{'ratio (spread)':>24}{'bar':>9}")
    speed = compare_speed(arguments.rounds, arguments.new_tokens)
    met = [report("tokens per second", *speed, SPEED_BAR, at_least=True)]
    met.append(
        report("seconds until ready", *compare_loading(arguments.load_rounds), LOAD_BAR, at_least=False)
    )
    load, cores = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0, os.cpu_count() or 1
    if load > 1.5 * cores:
        print(f"Other programs were busy (load {load:.1f} on {cores} cores): --threads 1 suffers less.")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
