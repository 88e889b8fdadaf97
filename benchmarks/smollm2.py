"""SmolLM2-135M in our classes against `transformers`: tokens per second, and how soon it can answer.

Both read the same file, compute in float32 with a cache and write the same tokens greedily. Rounds
alternate, and each round gives one ratio. Exits with 1 where a bar is missed.
"""

import argparse
import contextlib
import io
import subprocess
import sys
import warnings

import torch
from common import Row, alternate, show

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


def compare_loading(rounds: int) -> list[list[float]]:
    """Seconds until ready, ours and theirs, round by round."""
    seconds: tuple[list[float], list[float]] = ([], [])
    scripts = [
        lambda: seconds[0].append(load_seconds(LOAD_OURS)),
        lambda: seconds[1].append(load_seconds(LOAD_THEIRS)),
    ]
    alternate(scripts, rounds, warm_up=0)  # each script times itself: starting Python does not count
    return list(seconds)


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
        Row(
            "SmolLM2: seconds until ready, times transformers",
            *compare_loading(arguments.load_rounds),
            LOAD_BAR,
            at_least=False,
        ),
    ]
    return show("A real chat model", rows)


if __name__ == "__main__":
    sys.exit(main())
