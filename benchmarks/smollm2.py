"""SmolLM2-135M in our classes against `transformers`: tokens per second, and how soon it can answer.

    python benchmarks/smollm2.py

Both read the same file, compute in float32 with a cache and write the same tokens greedily. Rounds
alternate, and each round gives one ratio. Then our model writes with the packed weights of the file, as for
a chat, beside float32 in `transformers` and, where `llama-cpp-python` is installed, beside llama.cpp: on one
thread and on two, after a prompt of 40 tokens and of 400, each in a process of its own. It also says what
packed weights take: memory, time to load, and loss on the manual that the course carries.

Loading is timed in a fresh process for each contender, twice: the first load of a process, in which imports
and caches are still to be made, and the second. Nothing is kept on disk between the two, so the first load on
a new machine differs from a later one only by what the disk takes. Exits with 1 where a bar is missed.
"""

import argparse
import contextlib
import importlib.util
import io
import itertools
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from common import Apart, Row, show

from course_lib.costs import alternate
from course_lib.packed import why_not

SPEED_BAR = 1.0  # our tokens per second, as a multiple of theirs: at least
LOAD_BAR = 0.5  # our loading time, as a multiple of theirs: at most
FIRST_LOAD_BAR, SECOND_LOAD_BAR = 3.5, 2.0  # our loading time in seconds: at most
PACKED_BAR = 1.8  # our tokens per second with packed weights, as a multiple of float32's in theirs: at least
MEMORY_BAR = 400  # MB resident in a process that chats with packed weights, above torch's own: at most
PACKED_LOAD_BAR = 0.5  # seconds of its second load: at most
LOSS_BAR = 0.01  # nats a token by which their loss differs from float32's: at most
N_PACKED = 32  # tokens written in a round
N_READ = 2000  # tokens whose loss is compared
QUESTION = "Explain in a few sentences how a Transformer reads a text."

# Each in a fresh process: time from the call, with the libraries imported, to a model that can answer.
LOAD_OURS = """
import sys, time, torch
from course_lib.pretrained import load_smollm2
for _ in range(2):
    start = time.perf_counter()
    model, tokenizer = load_smollm2(device=torch.device("cpu"), weights=sys.argv[1])
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
# The most memory that is resident, in MB: with torch imported, and in the end.
# (On Linux not by getrusage, which begins there with the most that the process had which started this one.)
CHAT = """
import pathlib, re, resource, sys, torch
status = pathlib.Path("/proc/self/status")
def most():
    if status.exists():
        return int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text())[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # on a Mac in bytes
print(most())
from course_lib.generation import generate
from course_lib.pretrained import chat_prompt, load_smollm2
model, tokenizer = load_smollm2(device=torch.device("cpu"), weights="packed")
generate(model, torch.tensor([tokenizer.encode(chat_prompt(sys.argv[1]))]), 64)
print(most())
"""


def two_figures(script: str, *arguments: str) -> tuple[float, float]:
    """Run a script that prints two numbers, such as the seconds of its first load and of its second."""
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
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


Timed = Callable[[Sequence[int]], tuple[float, float]]  # a prompt -> seconds to read it, tokens per second


def timed(write: Callable[[list[int]], Iterator[object]]) -> Timed:
    """What a writer of one token after the other takes: the first token tells how long it has read."""

    def run(ids: Sequence[int]) -> tuple[float, float]:
        began = time.perf_counter()
        tokens = write(list(ids))
        next(tokens)
        first = time.perf_counter()
        n_more = sum(1 for _ in tokens)
        return first - began, n_more / (time.perf_counter() - first)

    return run


def ours_packed(n_threads: int) -> Timed:
    """Our model with the weights of the file."""
    from course_lib.generation import new_tokens
    from course_lib.pretrained import load_smollm2

    torch.set_num_threads(n_threads)
    model, _ = load_smollm2(device=torch.device("cpu"), weights="packed")
    return timed(lambda ids: new_tokens(model, torch.tensor([ids]), N_PACKED))


def theirs_float32(n_threads: int) -> Timed:
    """transformers, one token after the other."""
    from transformers import AutoModelForCausalLM

    from course_lib.pretrained import smollm2_path

    torch.set_num_threads(n_threads)
    path = smollm2_path()
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
        model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)

    @torch.inference_mode()
    def write(ids: list[int]) -> Iterator[object]:
        unread, cache = torch.tensor([ids]), None
        for _ in range(N_PACKED):
            out = model(unread, past_key_values=cache, use_cache=True)
            cache, unread = out.past_key_values, out.logits[:, -1:].argmax(-1)
            yield unread

    return timed(write)


def llama_cpp(n_threads: int) -> Timed:
    """llama.cpp."""
    from course_lib.pretrained import smollm2_path

    options: dict[str, Any] = {"n_ctx": 1024, "n_threads": n_threads, "n_threads_batch": n_threads}
    optional = importlib.import_module("llama_cpp")  # installed or not: no dependency of the course
    model = optional.Llama(str(smollm2_path()), verbose=False, **options)
    return timed(lambda ids: itertools.islice(model.generate(ids, temp=0.0, reset=True), N_PACKED))


def compare_packed(rounds: int) -> list[Row]:
    """Our packed weights against float32 in transformers, and against llama.cpp."""
    from course_lib.pretrained import load_smollm2

    rivals = {"transformers": theirs_float32}
    if importlib.util.find_spec("llama_cpp") is None:
        print("llama.cpp is left out: pip install llama-cpp-python (it compiles for minutes).")
    else:
        rivals["llama.cpp"] = llama_cpp
    _, tokenizer = load_smollm2(device=torch.device("cpu"), weights="packed")
    text = tokenizer.encode(Path(__file__).read_text("utf-8"))
    rows = []
    for n_threads in (1, 2):
        run = {name: Apart(make, n_threads) for name, make in {"ours": ours_packed, **rivals}.items()}
        for n_prompt in (40, 400):
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in run}
            for n in range(rounds + 1):
                ids = text[10 * n : 10 * n + n_prompt]  # another text each time: nobody remembers it
                for name in list(run)[:: -1 if n % 2 else 1]:
                    figures = run[name](ids)
                    found[name] += [figures] if n else []  # the first round warms up
            where = f"{n_threads} thread(s), prompt of {n_prompt}"
            our_reading, our_writing = zip(*found["ours"], strict=True)
            for name in rivals:
                reading, writing = zip(*found[name], strict=True)
                bar = PACKED_BAR if name == "transformers" else None
                rows.append(Row(f"packed: tokens/s, times {name}, {where}", our_writing, writing, bar))
                rows.append(Row(f"packed: seconds to read, times {name}, {where}", our_reading, reading))
    return rows


def cost_of_packed(rounds: int) -> list[Row]:
    """What packed weights take in memory and to load, and how far their loss is from float32's."""
    from course_lib.data import python_topics
    from course_lib.packed import MANY
    from course_lib.pretrained import load_smollm2

    memory = [two_figures(CHAT, QUESTION) for _ in range(rounds)]
    seconds = [two_figures(LOAD_OURS, "packed")[1] for _ in range(rounds)]
    losses = []
    for weights in ("packed", "float32"):
        model, tokenizer = load_smollm2(device=torch.device("cpu"), weights=weights)
        ids = torch.tensor(tokenizer.encode("\n".join(python_topics().values())[: 10 * N_READ])[:N_READ])
        cache = model.new_cache()
        with torch.inference_mode():  # in pieces that are short enough for the product with packed weights
            logits = torch.cat([model(piece[None], cache)[0] for piece in ids.split(MANY - 1)])
        losses.append(torch.nn.functional.cross_entropy(logits[:-1], ids[1:]).item())
    more = [chatting - alone for alone, chatting in memory]
    lost = [abs(losses[0] - losses[1])]
    print(f"Loss on {N_READ} tokens: {losses[0]:.4f} packed, {losses[1]:.4f} in float32.")
    return [
        Row("packed: MB of a process that chats, above torch", more, bar=MEMORY_BAR, at_least=False),
        Row("packed: second load, seconds until ready", seconds, bar=PACKED_LOAD_BAR, at_least=False),
        Row("packed: loss, nats from that of float32", lost, bar=LOSS_BAR, at_least=False),
    ]


def compare_loading(rounds: int) -> list[Row]:
    """Seconds until ready, ours and theirs, first and second load."""
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    # Each script times itself: starting Python does not count.
    alternate(
        [
            lambda: ours.append(two_figures(LOAD_OURS, "float32")),
            lambda: theirs.append(two_figures(LOAD_THEIRS)),
        ],
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
        "--packed-rounds", type=int, default=7, help="of packed weights (default: %(default)s)"
    )
    parser.add_argument("--load-rounds", type=int, default=3, help="rounds of loading (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="threads that torch may use (default: its own choice)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")  # transformers', about its own settings
    reason = why_not(torch.device("cpu"))
    if reason is not None:
        print(f"Packed weights are left out: {reason}.")
    rows = [
        Row(
            "SmolLM2: tokens per second, times transformers",
            *compare_speed(arguments.rounds, arguments.new_tokens),
            SPEED_BAR,
        ),
        *([] if reason else compare_packed(arguments.packed_rounds)),
        *([] if reason else cost_of_packed(arguments.load_rounds)),
        *compare_loading(arguments.load_rounds),
    ]
    return show("A real chat model", rows)


if __name__ == "__main__":
    sys.exit(main())
