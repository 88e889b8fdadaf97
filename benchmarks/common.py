"""What the benchmarks share: alternating rounds, ratios within a round, and one table.

A figure of one machine means little elsewhere, so a row is a ratio of two things measured in turn: in every
round each runs once, who goes first alternates, and the median of the rounds' ratios is what counts.
"""

import multiprocessing
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch
from torch import nn


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        what: what was measured.
        ours, theirs: the figure of each round, in one unit. Without theirs the figure itself faces the bar.
        bar: what has to be reached; None: shown, not judged.
        at_least: whether the bar is a floor or a ceiling.
    """

    what: str
    ours: Sequence[float]
    theirs: Sequence[float] | None = None
    bar: float | None = None
    at_least: bool = True

    @property
    def figures(self) -> list[float]:
        """Each round's ratio, or our figure where there is nothing to compare with."""
        if self.theirs is None:
            return list(self.ours)
        return [a / b for a, b in zip(self.ours, self.theirs, strict=True)]

    @property
    def met(self) -> bool:
        """Whether the median meets the bar."""
        middle = statistics.median(self.figures)
        if self.bar is None:
            return True
        if self.at_least:
            return middle >= self.bar
        return middle <= self.bar

    def __str__(self) -> str:
        ours = f"{statistics.median(self.ours):.3g}"
        theirs = f"{statistics.median(self.theirs):.3g}" if self.theirs else ""
        figures = self.figures
        figure = f"{statistics.median(figures):.3g} ({min(figures):.3g} to {max(figures):.3g})"
        bar = verdict = ""
        if self.bar is not None:
            bar = f"{'>=' if self.at_least else '<='} {self.bar:g}"
            verdict = "met" if self.met else "MISSED"
        return f"{self.what:<52}{ours:>9}{theirs:>9}{figure:>26}{bar:>9}  {verdict}".rstrip()


class Apart:
    """A function in a process of its own: one thread, and nobody else's memory to work in.

    Args:
        make, args: make(*args), called there, gives the function; what it returns for its own comes back.
    """

    def __init__(self, make: Callable[..., Callable[[], object]], *args: object) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, there = context.Pipe()
        process = context.Process(target=_serve, args=(there, make, *args), daemon=True)
        process.start()
        there.close()  # so that a process that dies is noticed
        self.pipe.recv()  # it is ready

    def __call__(self, *args: object) -> object:
        self.pipe.send(args)
        return self.pipe.recv()


def _serve(pipe: Connection, make: Callable[..., Callable[[], object]], *args: object) -> None:
    torch.set_num_threads(1)
    function = make(*args)
    pipe.send("ready")
    while True:
        try:
            own = pipe.recv()
        except EOFError:  # the other side has finished
            return
        pipe.send(function(*own))


def gpt2(n_layers: int, n_heads: int, d_model: int, length: int, vocab_size: int) -> nn.Module:
    """A GPT-2 of this size in `transformers`, on torch's fused attention, without dropout, weights random."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=vocab_size,
        n_positions=length,
        n_embd=d_model,
        n_layer=n_layers,
        n_head=n_heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        attn_implementation="sdpa",
    )
    return GPT2LMHeadModel(config)


def show(title: str, rows: Sequence[Row]) -> int:
    """Print the table.

    Returns: the exit code: 1 where a bar is missed.
    """
    print(f"{title} ({torch.get_num_threads()} thread(s), torch {torch.__version__})")
    print(f"{'':<52}{'ours':>9}{'theirs':>9}{'ratio or figure (spread)':>26}{'bar':>9}")
    for row in rows:
        print(row, flush=True)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    cores = os.cpu_count() or 1
    if load > 1.5 * cores:
        print(f"Other programs were busy (load {load:.1f} on {cores} cores): run this alone.")
    return 0 if all(row.met for row in rows) else 1
