"""Run the experiments behind the lecture's claims from fresh seeds, keep what comes out, write the pages.

    python tools/claims.py                        # every run that is not on record yet: `make claims`
    python tools/claims.py linear-attention       # those of some claims
    python tools/claims.py --anew                 # all of them again

A run is on record in its concept's runs.jsonl as soon as it ends, whatever it found: who stops this and
starts it again goes on from there. A run counts as long as the experiments of its concept stay as they are,
or give the same numbers once their text has changed: then one run is made again, and the others stay. It
counts only for the bounds that stood when it was made; other bounds need seeds that they have not seen. What
no longer counts stays on record, with the reason.
"""

import argparse
import functools
import hashlib
import importlib
import inspect
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from course_lib import claims, ledger
from course_lib.claims import Claim, Run

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
FIRST = 101  # notebooks use 0, tests small ones
QUICK_S, MANY, FEW = 10.0, 20, 10  # a run that is quicker than this is made so many times, others fewer
WORKERS = 2


@dataclass(frozen=True)
class Job:
    """A run to be made."""

    claim: str
    seed: int | None


def folder(claim: Claim) -> Path:
    """Where a claim, its experiment and its runs stand."""
    return claims.CONCEPTS / f"c{claim.notebook}"


def source(claim: Claim) -> str:
    """Which version of the concept's experiments this is."""
    if not claim.experiment:
        return "notebook"
    text = b"".join(path.read_bytes() for path in claims.experiment_files(claim))
    return hashlib.sha256(text).hexdigest()[:12]


def experiment(claim: Claim) -> Callable[..., Any]:
    """The function that measures a claim's numbers."""
    module = importlib.import_module(f"course_lib.concepts.c{claim.notebook}.experiments")
    function: Callable[..., Any] = getattr(module, claim.experiment)
    return function


def counted(claim: Claim, on_record: Sequence[Run]) -> list[Run]:
    """The runs that still count."""
    now = source(claim)
    return [run for run in on_record if run.source == now and run.counts(claim)]


def first_seed(claim: Claim, found: Sequence[Run]) -> int:
    """The first seed that was not seen before the claim's bounds were written."""
    seen = [run.seed for run in found if run.seed is not None and run.bounds != claim.bounds]
    return FIRST + 100 * math.ceil(max(0, max(seen, default=0) - FIRST + 1) / 100)


def missing(claim: Claim, found: Sequence[Run], on_record: Sequence[Run]) -> list[Job]:
    """The runs of a claim that are not on record; of one that was never timed, the first.

    Args:
        claim: whose.
        found: all of its runs.
        on_record: those that count.
    """
    if "seed" not in inspect.signature(experiment(claim)).parameters:
        return [] if on_record else [Job(claim.id, None)]
    if not on_record:
        return [Job(claim.id, first_seed(claim, found))]
    n = MANY if statistics.median(run.took for run in on_record) < QUICK_S else FEW
    made = {run.seed for run in on_record}
    first = first_seed(claim, found)
    return [Job(claim.id, seed) for seed in range(first, first + n) if seed not in made]


@functools.cache
def model(name: str) -> tuple[Any, Any]:
    """A real model and its tokenizer, loaded once in each process."""
    from course_lib import pretrained

    loaded: tuple[Any, Any] = getattr(pretrained, f"load_{name}")()
    return loaded


def make(job: Job) -> Run:
    """Make a run."""
    import torch

    torch.set_num_threads(1)
    claim = claims.load()[job.claim]
    function = experiment(claim)
    given: dict[str, Any] = {
        name: model(name) for name in ("smollm2", "minilm") if name in inspect.signature(function).parameters
    }
    if job.seed is not None:
        given["seed"] = job.seed
    began = time.perf_counter()
    numbers = claims.judge(claim.id, function(**given)).numbers
    took = round(time.perf_counter() - began, 1)
    return Run(claim.id, numbers, date.today().isoformat(), source(claim), job.seed, took, claim.bounds)


def keep(claim: Claim, run: Run) -> list[Run]:
    """Put a run on record; return all runs of the claim that count now.

    Those of another version of the experiments are set aside, unless this one has given the numbers that it
    had given there, but for those of a clock: then only the text has changed, and they count. So is one that
    was made anew.
    """
    path = folder(claim) / claims.RUNS
    on_record = claims.read(path) if path.exists() else []
    earlier = [other for other in on_record if other.claim == claim.id]
    if any(other.seed == run.seed and _alike(claim, other, run) for other in earlier if not other.aside):
        earlier = [other if other.aside else replace(other, source=run.source) for other in earlier]
        earlier = [other for other in earlier if other.aside or other.seed != run.seed]
    own = [*(_set_aside(claim, other, run) for other in earlier), run]
    others = [other for other in on_record if other.claim != claim.id]
    claims.write(path, sorted([*others, *own], key=lambda run: (run.claim, run.seed or 0)))
    return counted(claim, own)


def _alike(claim: Claim, run: Run, other: Run) -> bool:
    """Whether two runs found the same, but for what a clock gave, and for last digits."""
    if run.numbers.keys() != other.numbers.keys():
        return False
    clock = {name for name, evidence in claim.evidence.items() if evidence.clock}
    pairs = ((run.numbers[name], n) for name, n in other.numbers.items() if name not in clock)
    return all(math.isclose(*pair, rel_tol=1e-5, abs_tol=1e-6) for pair in pairs)


def _set_aside(claim: Claim, other: Run, run: Run) -> Run:
    """An earlier run beside a new one, with the reason why it does not count any more, if there is one."""
    if other.aside:
        return other
    if other.bounds != claim.bounds:
        return replace(other, aside="other bounds")
    if other.source != run.source:
        return replace(other, aside="another version of the experiments")
    return replace(other, aside="made anew") if other.seed == run.seed else other


def take_over(record: Path) -> None:
    """Put on record what notebooks found for claims without an experiment."""
    for line in record.read_text(encoding="utf-8").splitlines():
        found = json.loads(line)
        claim = claims.load()[found["claim"]]
        if claim.evidence and not claim.experiment and set(found["evidence"]) == set(claim.evidence):
            numbers, today = found["evidence"], date.today().isoformat()
            keep(claim, Run(claim.id, numbers, today, "notebook", bounds=claim.bounds))


def cost(jobs: Sequence[Job], on_record: dict[str, list[Run]]) -> str:
    """What the runs will cost, by what such runs took."""
    took = {
        claim: statistics.median(run.took for run in found) for claim, found in on_record.items() if found
    }
    known = sum(took.get(job.claim, 0.0) for job in jobs) / WORKERS
    unknown = len({job.claim for job in jobs} - took.keys())
    said = f"{len(jobs)} runs to make; about {math.ceil(known / 60)} minutes on {WORKERS} cores"
    return f"{said}, and {unknown} experiments that were never timed." if unknown else f"{said}."


def make_runs(wanted: Sequence[Claim], anew: bool) -> None:
    """Make what is missing; a claim that was never timed is run once before its other runs are counted."""
    found = claims.runs()
    on_record = {claim.id: [] if anew else counted(claim, found.get(claim.id, [])) for claim in wanted}
    timed = {claim.id: found.get(claim.id, []) for claim in wanted}
    by_id = {claim.id: claim for claim in wanted}
    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        while jobs := [
            job for claim in wanted for job in missing(claim, found.get(claim.id, []), on_record[claim.id])
        ]:
            print(cost(jobs, timed), flush=True)
            waiting = [pool.submit(make, job) for job in jobs]
            for done in tqdm(as_completed(waiting), total=len(jobs), unit=" runs", disable=None):
                run = done.result()
                kept = keep(by_id[run.claim], run)
                on_record[run.claim] = [*on_record[run.claim], run] if anew else kept
                timed[run.claim] = on_record[run.claim]


def run_experiments(names: Sequence[str] = (), anew: bool = False) -> None:
    """Make the runs that are missing, say what came out, and write the pages.

    Args:
        names: of claims; all that have an experiment, if it is empty.
        anew: make all runs again.
    Raises: ValueError: there is no such claim.
    """
    known = claims.load()
    if unknown := set(names) - known.keys():
        raise ValueError(f"there is no claim {', '.join(sorted(unknown))}")
    wanted = [claim for claim in known.values() if claim.experiment and claim.id in (names or known)]
    make_runs(wanted, anew)
    BUILD.mkdir(exist_ok=True)
    pages = ledger.write_pages(BUILD, ROOT / "notebooks")
    found = claims.runs()
    for claim in wanted:
        entry = ledger.Entry.of(claim, found.get(claim.id, []))
        print(f"{claim.id:24} {entry.judgement.words}: {entry.reproduced()}")
    print("All claims:", *pages, sep="\n  ")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run the experiments behind the lecture's claims.")
    parser.add_argument("claims", nargs="*", help="ids; all that have an experiment, if none is named")
    parser.add_argument("--anew", action="store_true", help="make all runs again")
    asked = parser.parse_args()
    run_experiments(asked.claims, asked.anew)
