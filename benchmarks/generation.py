"""Writing 255 tokens greedily, from 1, on one thread: with a cache against without, and against HF's GPT-2.

Both models have the same weights, passed on by `gpt2_from_hf`, and write the same tokens: that is checked
first. Hugging Face's `generate` uses its cache and torch's fused attention.
"""

import argparse
import sys
import warnings

import torch
from common import Row, gpt2, show

from course_lib.costs import alternate
from course_lib.generation import generate
from course_lib.pretrained import gpt2_from_hf

# layers, heads, width, context, vocabulary
SHAPES = {"a": (4, 4, 128, 256, 65), "c": (6, 6, 384, 256, 512)}
# times without cache, times Hugging Face: at least
BARS = {"a": (4, 1.5), "c": (5, 1)}


def measure(name: str, rounds: int) -> list[Row]:
    """The rows of one shape."""
    n_new = SHAPES[name][3] - 1
    theirs = gpt2(*SHAPES[name]).eval()
    for parameter in theirs.parameters():
        if parameter.ndim > 1:  # larger than before training, so that the text is not one token over and over
            torch.nn.init.normal_(parameter, std=0.2)
    ours = gpt2_from_hf(theirs.state_dict(), theirs.config.to_dict())
    ids = torch.tensor([[1]])
    settings = {"max_new_tokens": n_new, "min_new_tokens": n_new, "do_sample": False, "use_cache": True}
    writers = [
        lambda: generate(ours, ids, n_new),
        lambda: generate(ours, ids, n_new, use_cache=False),
        lambda: theirs.generate(ids, attention_mask=torch.ones_like(ids), **settings),
    ]
    texts = [write() for write in writers]
    if len(texts[0].unique()) < 10 or not all(torch.equal(text, texts[0]) for text in texts):
        raise SystemExit("The models do not write the same tokens, so their speeds cannot be compared.")
    cached, whole, hugging = ([n_new / s for s in of_one] for of_one in alternate(writers, rounds))
    bars = BARS[name]
    return [
        Row(f"{name}: with cache, times without", cached, whole, bars[0]),
        Row(f"{name}: with cache, times Hugging Face GPT-2 (sdpa)", cached, hugging, bars[1]),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shapes", nargs="*", default=list(SHAPES), help="some of a, c")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    warnings.simplefilter("ignore")  # transformers', about its own settings
    rows = [row for name in arguments.shapes for row in measure(name, arguments.rounds)]
    return show("Generation, tokens a second", rows)


if __name__ == "__main__":
    sys.exit(main())
