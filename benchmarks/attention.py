"""Explicit, fused and linear attention, from 128 to 8,192 tokens: seconds, bytes kept, and how both grow.

The explicit form keeps the T x S weights for the backward pass, the fused kernel never does. Both compute
T x S scores, so both take time that grows with the square of the length. Linear attention computes no score.
Times and bytes are taken as notebook 04 takes them, and so are the exponents: from 512 tokens on, where the
fixed cost of a call no longer counts.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from functools import partial

import torch
from common import Row, show

from course_lib.attention import scaled_dot_product_attention
from course_lib.costs import alternate, bytes_kept, exponent
from course_lib.mixers import linear_attention

LENGTHS = [128, 256, 512, 1024, 2048, 4096, 8192]
FITTED_FROM = 512
HEADS, D_HEAD = 2, 64
WAYS: dict[str, Callable[..., torch.Tensor]] = {
    "explicit": partial(scaled_dot_product_attention, fused=False),
    "fused": scaled_dot_product_attention,
    "linear": linear_attention,
}


def calls(length: int) -> list[Callable[[], torch.Tensor]]:
    """One forward pass in each way, on the same queries, keys and values."""
    qkv = torch.randn(3, 1, HEADS, length, D_HEAD, requires_grad=True)
    return [partial(way, *qkv) for way in WAYS.values()]


def repeated(function: Callable[[], object], times: int) -> None:
    """Several calls: one short one could not be timed."""
    for _ in range(times):
        function()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    seconds: dict[str, list[list[float]]] = {way: [] for way in WAYS}  # by length, then by round
    kept: dict[str, list[int]] = {way: [] for way in WAYS}
    print("".join(f"{name:>20}" for name in ("tokens", *WAYS)))
    for length in LENGTHS:
        functions = calls(length)
        times = max(1, 2048 // length)
        taken = alternate([partial(repeated, each, times) for each in functions], arguments.rounds)
        line = f"{length:>20}"
        for way, function, rounds in zip(WAYS, functions, taken, strict=True):
            seconds[way].append([each / times for each in rounds])
            kept[way].append(bytes_kept(function))
            line += f"{statistics.median(seconds[way][-1]) * 1e3:8.2f} ms{kept[way][-1] / 2**20:6.1f} MB"
        print(line, flush=True)
    first = LENGTHS.index(FITTED_FROM)
    fitted = LENGTHS[first:]
    rows = []
    for way in WAYS:
        by_round = zip(*seconds[way][first:], strict=True)
        rows.append(Row(f"exponent of time, {way}", [exponent(fitted, amounts) for amounts in by_round]))
    for way in WAYS:
        rows.append(Row(f"exponent of bytes kept, {way}", [exponent(fitted, kept[way][first:])]))
    explicit, fused = seconds["explicit"][-1], seconds["fused"][-1]
    rows.append(Row(f"seconds at {LENGTHS[-1]} tokens, explicit over fused", explicit, fused))
    return show("Explicit, fused and linear attention", rows)


if __name__ == "__main__":
    sys.exit(main())
