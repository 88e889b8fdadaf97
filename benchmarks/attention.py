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
    fitted = [amounts[length] for length in lengths]
    slope, _ = np.polyfit(np.log(lengths), np.log(fitted), 1)
    return float(slope)


def attend(qkv: torch.Tensor, repeats: int, fused: bool) -> None:
    """Several calls: one short one could not be timed."""
    for _ in range(repeats):
        scaled_dot_product_attention(*qkv, fused=fused)


def times(length: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of one call in each round, by way."""
    qkv = inputs(length)
    repeats = max(1, 2048 // length)
    functions = [partial(attend, qkv, repeats, fused) for fused in WAYS.values()]
    seconds = alternate(functions, rounds)
    return {way: [x / repeats for x in of_way] for way, of_way in zip(WAYS, seconds, strict=True)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("".join(f"{name:>20}" for name in ("tokens", *WAYS)))
    seconds: dict[str, dict[int, list[float]]] = {way: {} for way in WAYS}
    memory: dict[str, dict[int, float]] = {way: {} for way in WAYS}
    for length in LENGTHS:
        line = f"{length:>20}"
        for way, of_way in times(length, arguments.rounds).items():
            seconds[way][length] = of_way
            memory[way][length] = peak_megabytes(length, WAYS[way])
            line += f"{statistics.median(of_way) * 1e3:8.2f} ms{memory[way][length]:6.1f} MB"
        print(line, flush=True)
    rows = []
    for way in WAYS:
        rounds = zip(*seconds[way].values(), strict=True)
        by_round = [dict(zip(LENGTHS, of_round, strict=True)) for of_round in rounds]
        rows.append(Row(f"exponent of time, {way}", [exponent(amounts) for amounts in by_round]))
    for way in WAYS:
        rows.append(Row(f"exponent of memory, {way}", [exponent(memory[way])]))
    longest = LENGTHS[-1]
    explicit, fused = (seconds[way][longest] for way in WAYS)
    rows.append(Row(f"seconds at {longest} tokens, explicit over fused", explicit, fused))
    return show("Explicit and fused attention", rows)


if __name__ == "__main__":
    sys.exit(main())
