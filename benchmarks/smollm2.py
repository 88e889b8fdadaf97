"""SmolLM2-135M in our classes against `transformers`: tokens per second, and how soon it can answer.

    python benchmarks/smollm2.py

Both read the same file, compute in float32 with a cache and write the same tokens greedily. Rounds
alternate, and each round gives one ratio. With packed weights our model is also held against llama.cpp, on
one thread and on two, after a prompt of 40 tokens and of 400, where `llama-cpp-python` is installed.

Loading is timed in a fresh process for each contender, twice: the first load of a process, in which imports
and caches are still to be made, and the second. Nothing is kept on disk between the two, so the first load on
a new machine differs from a later one only by what the disk takes. Exits with 1 where a bar is missed.
"""

import argparse
import contextlib
import io
import itertools
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pydoc_data import topics
from typing import Any

import torch
from common import Row, show

from course_lib.costs import alternate

try:
    import llama_cpp
except ImportError:
    llama_cpp = None

SPEED_BAR = 1.0  # our tokens per second, as a multiple of theirs: at least
LOAD_BAR = 0.5  # our loading time, as a multiple of theirs: at most
LLAMA_CPP_BAR = 0.75  # our tokens per second with packed weights, as a multiple of llama.cpp's: at least
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


def ours_packed(model: Any, ids: list[int], n_new: int) -> Iterator[object]:
    """A word at a time, so that reading the prompt can be timed apart."""
    from course_lib.generation import stream

    return stream(model, torch.tensor([ids]), n_new)


def their_float32(model: Any, ids: list[int], n_new: int) -> Iterator[object]:
    """The same by transformers."""
    unread, cache = torch.tensor([ids]), None
    for _ in range(n_new):
        with torch.inference_mode():
            out = model(unread, past_key_values=cache, use_cache=True)
        cache, unread = out.past_key_values, out.logits[:, -1:].argmax(-1)
        yield unread


def llama_cpp_writes(model: Any, ids: list[int], n_new: int) -> Iterator[object]:
    """The same by llama.cpp."""
    return itertools.islice(model.generate(ids, temp=0.0, reset=True), n_new)


def prompt_and_writing(start: Callable[[], Iterator[object]]) -> tuple[float, float]:
    """Seconds until the first new token, and tokens per second from then on."""
    began = time.perf_counter()
    tokens = start()
    next(tokens)
    first = time.perf_counter()
    n_more = sum(1 for _ in tokens)
    return first - began, n_more / (time.perf_counter() - first)


def compare_packed(rounds: int, n_new: int) -> list[Row]:
    """Our packed weights against llama.cpp's and against float32 in transformers."""
    from transformers import AutoModelForCausalLM

    from course_lib.packed import why_not
    from course_lib.pretrained import load_smollm2, smollm2_path

    reason = why_not(torch.device("cpu"))
    if reason is not None:
        print(f"Packed weights are left out: {reason}.")
        return []
    path = smollm2_path()
    model, tokenizer = load_smollm2(device=torch.device("cpu"), weights="packed")
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
        theirs = AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32
        ).eval()
    text = tokenizer.encode("\n".join(value for value in topics.topics.values()))
    rows = []
    threads_before = torch.get_num_threads()
    for n_threads, n_prompt in itertools.product((1, 2), (40, 400)):
        torch.set_num_threads(n_threads)
        rivals = {"ours": partial(ours_packed, model), "transformers": partial(their_float32, theirs)}
        if llama_cpp is not None:
            settings = {"n_threads": n_threads, "n_threads_batch": n_threads, "n_ctx": 1024, "verbose": False}
            rivals["llama.cpp"] = partial(llama_cpp_writes, llama_cpp.Llama(str(path), **settings))
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in rivals}
        for n in range(-1, rounds):  # one round to warm up
            ids = text[(n + 1) * n_prompt : (n + 2) * n_prompt]  # another text each time: nobody remembers it
            for name in list(rivals)[:: -1 if n % 2 else 1]:
                pair = prompt_and_writing(partial(rivals[name], ids, n_new))
                found[name] += [pair] if n >= 0 else []
        where = f"{n_threads} thread{'s' * (n_threads > 1)}, prompt of {n_prompt}"
        for name in list(rivals)[1:]:
            bar = LLAMA_CPP_BAR if name == "llama.cpp" else SPEED_BAR
            our_reading, our_writing = zip(*found["ours"], strict=True)
            reading, writing = zip(*found[name], strict=True)
            rows.append(Row(f"packed: tokens per second, times {name}, {where}", our_writing, writing, bar))
            rows.append(Row(f"packed: seconds to read, times {name}, {where}", our_reading, reading))
    torch.set_num_threads(threads_before)
    return rows


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
    parser.add_argument(
        "--packed-rounds", type=int, default=7, help="rounds with packed weights (default: %(default)s)"
    )
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
        *compare_packed(arguments.packed_rounds, 24),
        *compare_loading(arguments.load_rounds),
    ]
    print(f"Load of the machine: {os.getloadavg()[0]:.1f}.")
    if llama_cpp is None:
        print("llama.cpp is left out: pip install llama-cpp-python (it compiles for minutes).")
    return show("A real chat model", rows)


if __name__ == "__main__":
    sys.exit(main())
