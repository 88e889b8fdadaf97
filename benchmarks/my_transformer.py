"""SmolLM2 computed by ten functions of a learner's against the library's own torch path: tokens per second.

    python benchmarks/my_transformer.py

The ten functions are those of solutions/09_real_models/my_transformer.ipynb, written to be read. Both have
read the same prompt and write token by token with a cache, in torch and float32. Rounds alternate, and each
round gives one ratio. Exits with 1 where the bar is missed.
"""

import argparse
import sys
from pathlib import Path

import torch
from common import Row, show

from course_lib.concepts.c09_real_models.capstone import take_along
from course_lib.concepts.c09_real_models.capstone.parts import Assembled
from course_lib.costs import alternate
from course_lib.pretrained import chat_prompt, load_smollm2

BAR = 0.8  # the ten functions' tokens per second, as a multiple of the library's: at least
QUESTION = "Explain in a few sentences how a Transformer reads a text."
SOLUTION = Path(__file__).parents[1] / "solutions/09_real_models/my_transformer.ipynb"


@torch.inference_mode()
def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=11, help="rounds (default: %(default)s)")
    parser.add_argument("--new-tokens", type=int, default=16, help="tokens per round (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="threads that torch may use (default: its own choice)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    model, tokenizer = load_smollm2(device=torch.device("cpu"))
    mine = Assembled(model, tokenizer, take_along(SOLUTION))
    prompt = tokenizer.encode(chat_prompt(QUESTION))
    n_new = arguments.new_tokens

    logits, stored = mine.read(prompt)
    cache = model.new_cache(capacity=len(prompt) + (arguments.rounds + 1) * n_new)
    logits_of_library = model(torch.tensor([prompt]), cache)

    def by_ten_functions() -> None:
        nonlocal logits, stored
        for _ in range(n_new):
            logits, stored = mine.read([int(logits[-1].argmax())], stored)

    def by_library() -> None:
        nonlocal logits_of_library
        for _ in range(n_new):
            logits_of_library = model(logits_of_library[:, -1:].argmax(-1), cache)

    seconds = alternate([by_ten_functions, by_library], arguments.rounds, warm_up=1)
    speeds = [[n_new / taken for taken in of_one] for of_one in seconds]
    return show("A learner's Transformer", [Row("ten functions: tokens per second", *speeds, BAR)])


if __name__ == "__main__":
    sys.exit(main())
