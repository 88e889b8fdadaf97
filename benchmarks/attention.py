"""Explicit against fused attention, from 128 to 8,192 tokens: seconds, memory, and how both grow.

The explicit form stores the T x S weights, the fused kernel never does. Both compute T x S scores, so both
take time that grows with the square of the length. An exponent is the slope of a straight line through the
logarithms, from 1,024 tokens on, where the fixed cost of a call no longer counts.
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from common import Row, alternate, show
from torch.profiler import ProfilerActivity, profile

from course_lib.attention import scaled_dot_product_attention

LENGTHS = [128, 256, 512, 1024, 2048, 4096, 8192]
FITTED_FROM = 1024
HEADS, D_HEAD = 2, 64
WAYS = {"explicit": False, "fused": True}


def inputs(length: int) -> torch.Tensor:
    """Queries, keys and values."""
    return torch.randn(3, 1, HEADS, length, D_HEAD)


def peak_megabytes(length: int, fused: bool) -> float:
    """The most that torch's allocator held at once during one call, inputs aside."""
    qkv = inputs(length)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        scaled_dot_product_attention(*qkv, fused=fused)
    with tempfile.TemporaryDirectory() as folder:
        record.export_chrome_trace(f"{folder}/trace.json")
        events = json.loads(Path(folder, "trace.json").read_text())["traceEvents"]
    allocations = sorted((e["ts"], e["args"]["Bytes"]) for e in events if e["name"] == "[memory]")
    return max(itertools.accumulate(size for _, size in allocations)) / 2**20


def exponent(amounts: dict[int, float]) -> float:
    """The power of the length with which amounts grow."""
    lengths = [length for length in amounts if length >= FITTED_FROM]
    return float(np.polyfit(np.log(lengths), np.log([amounts[length] for length in lengths]), 1)[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    seconds: dict[str, list[dict[int, float]]] = {way: [{} for _ in range(arguments.rounds)] for way in WAYS}
    memory: dict[str, dict[int, float]] = {way: {} for way in WAYS}
    for length in LENGTHS:
        qkv, repeats = inputs(length), max(1, 2048 // length)

        def many(fused: bool, qkv: torch.Tensor = qkv, repeats: int = repeats) -> None:
            for _ in range(repeats):
                scaled_dot_product_attention(*qkv, fused=fused)

        times = alternate([partial(many, fused) for fused in WAYS.values()], arguments.rounds)
        for (way, fused), of_way in zip(WAYS.items(), times, strict=True):
            memory[way][length] = peak_megabytes(length, fused)
            for of_round, time in zip(seconds[way], of_way, strict=True):
                of_round[length] = time / repeats
    print(f"{'tokens':>8}{'explicit':>20}{'fused':>20}")
    for length in LENGTHS:
        cells = [
            f"{statistics.median(r[length] for r in seconds[way]) * 1e3:8.2f} ms{memory[way][length]:8.1f} MB"
            for way in WAYS
        ]
        print(f"{length:>8}{cells[0]:>20}{cells[1]:>20}")
    rows = [Row(f"exponent of time, {way}", [exponent(r) for r in seconds[way]]) for way in WAYS]
    rows += [Row(f"exponent of memory, {way}", [exponent(memory[way])]) for way in WAYS]
    rows.append(
        Row(
            f"seconds at {LENGTHS[-1]} tokens, explicit over fused",
            *([r[LENGTHS[-1]] for r in seconds[way]] for way in WAYS),
        )
    )
    return show("Explicit and fused attention", rows)


if __name__ == "__main__":
    sys.exit(main())
