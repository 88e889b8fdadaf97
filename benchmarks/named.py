"""Plausible answers to the exercises: which wrong ones the checks refuse, and which they call by name.

    python benchmarks/named.py [concepts]

The answers stand in `plausible/`, written by people who had read the exercises and not the checks. That a
wrong answer is refused is the least. A learner is helped where the check says which mistake it is.
"""

import argparse
import importlib
import random
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from plausible import Answer

from course_lib.checks import Result, examine, find_task

HERE = Path(__file__).parent
MODULES = sorted(file.stem for file in (HERE / "plausible").glob("c[0-9]*.py"))
# Of all wrong answers; of those whose words say which known mistake they are. Just below what was measured.
NAMED, NAMED_RIGHTLY = 0.59, 0.98
SECONDS = 120.0  # for each call: a busy machine refuses nothing


@dataclass(frozen=True)
class Judged:
    """An answer and what the check says of it."""

    answer: Answer
    result: Result

    @property
    def problem(self) -> str:
        """What the check should not have done; nothing where all is well."""
        answer, passed, name = self.answer, self.result.passed, self.result.misconception
        what = f"{answer.task}, {answer.words}"
        if answer.right and not passed:
            return f"refused, although right: {what}: {self.result.problem}"
        if passed and not answer.right:
            return f"accepted, although wrong: {what}"
        if answer.name and name != answer.name:
            return f"{f'called {name!r}' if name else 'not named'}: {what}: it is {answer.name!r}"
        return ""


@dataclass(frozen=True)
class Row:
    """The counts of some answers."""

    judged: Sequence[Judged]

    @property
    def wrong(self) -> list[Judged]:
        return [one for one in self.judged if not one.answer.right]

    @property
    def refused(self) -> int:
        return sum(not one.result.passed for one in self.wrong)

    @property
    def named(self) -> int:
        return sum(bool(one.result.misconception) for one in self.wrong)

    @property
    def known(self) -> int:
        """How many say which known mistake they are."""
        return sum(bool(one.answer.name) for one in self.wrong)

    @property
    def named_rightly(self) -> int:
        return sum(bool(one.answer.name) and not one.problem for one in self.wrong)

    @property
    def right(self) -> int:
        return len(self.judged) - len(self.wrong)

    @property
    def accepted(self) -> int:
        return sum(one.answer.right and one.result.passed for one in self.judged)

    @property
    def missed(self) -> list[str]:
        """The bars that these answers do not meet."""
        shares = {
            "refused": (self.refused, len(self.wrong), 1.0),
            "named": (self.named, len(self.wrong), NAMED),
            "named rightly": (self.named_rightly, self.known, NAMED_RIGHTLY),
            "accepted": (self.accepted, self.right, 1.0),
        }
        return [
            f"{what}: {n} of {of}, the bar is {bar:.0%}"
            for what, (n, of, bar) in shares.items()
            if n < bar * of
        ]

    def __str__(self) -> str:
        wrong = len(self.wrong)
        return (
            f"{wrong:>6}{self.refused:>9}{self.named:>7} ({self.named / wrong:>4.0%})"
            f"{self.named_rightly:>9} of {self.known:<4}{self.right:>5}{self.accepted:>10}"
        )


def judge(answer: Answer) -> Judged:
    """Examine an answer, without the real model at the task's end, whatever the machine and chance."""
    random.seed(0)
    torch.manual_seed(0)
    return Judged(answer, examine(find_task(answer.task), answer.given, seconds=SECONDS, finale=False))


def main() -> int:
    """Print the table. Returns the exit code: 1 where a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("concepts", nargs="*", default=MODULES, help=f"of {', '.join(MODULES)}")
    modules = parser.parse_args().concepts
    warnings.filterwarnings("ignore", category=RuntimeWarning)  # some answers overflow
    print(f"{'':<24}{'wrong':>6}{'refused':>9}{'named':>14}{'rightly':>12}{'right':>9}{'accepted':>10}")
    judged: list[Judged] = []
    for module in modules:
        row = Row([judge(answer) for answer in importlib.import_module(f"plausible.{module}").of])
        print(f"{module:<24}{row}", flush=True)
        judged += row.judged
    whole = Row(judged)
    print(f"{'all':<24}{whole}")
    for one in judged:
        if one.problem:
            print(one.problem)
    for missed in whole.missed:
        print(f"MISSED: {missed}")
    return bool(whole.missed)


if __name__ == "__main__":
    sys.exit(main())
