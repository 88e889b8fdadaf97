"""Grade many submissions: on all cores, or on the machines of a Dask cluster; every one gets an outcome."""

import multiprocessing
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

from course_lib.grading.engines import Engine, choose
from course_lib.grading.judge import Grader, not_run
from course_lib.grading.leftovers import remove_folders
from course_lib.grading.outcome import Outcome
from course_lib.grading.sandbox import Limits
from course_lib.grading.session import Seconds

MOST_KEPT = 4  # graders of one worker, each with a process of its own
MOST_CRASHES = 2  # of a worker with the same submission, before that one is given up


@dataclass(frozen=True)
class Work:
    """One notebook of one student."""

    student: str
    source: Path
    path: Path


@dataclass(frozen=True)
class Settings:
    """How to grade."""

    engine: Engine | None = None  # without one, the best that this machine has
    limits: Limits = field(default_factory=Limits)
    seconds: Seconds = field(default_factory=Seconds)


def grade_all(
    source: Path,
    submissions: Sequence[tuple[str, Path]],
    *,
    workers: int | None = None,
    settings: Settings | None = None,
) -> Iterator[Outcome]:
    """Grade submissions of one notebook; outcomes come as they are ready.

    Args:
        source: the teacher's notebook.
        submissions: students with their notebooks.
        workers: processes side by side, as many as cores if not given.
        settings: how to grade.
    Raises: NoIsolation: this machine cannot lock submissions in; the message says what to do.
    """
    works = [Work(student, source, path) for student, path in submissions]
    for _, outcome in grade_works(works, workers=workers, settings=settings):
        yield outcome


def grade_works(
    works: Sequence[Work], *, workers: int | None = None, settings: Settings | None = None
) -> Iterator[tuple[Work, Outcome]]:
    """Grade any notebooks on this machine; a worker that dies costs nothing but its time.

    Raises: NoIsolation: as `grade_all`.
    """
    remove_folders()  # also where nothing is left to grade
    settings = settings or Settings()
    if settings.engine is None:  # tried once, not in each worker
        settings = replace(settings, engine=choose())
    waiting = list(reversed(works))
    crashes: dict[Work, int] = {}
    n_workers = min(workers or os.cpu_count() or 1, len(works))
    while waiting:
        running: dict[Future[Outcome], Work] = {}
        with _pool(n_workers) as pool:
            try:
                while waiting or running:
                    while waiting and len(running) < n_workers:
                        work = waiting.pop()
                        running[pool.submit(grade_one, work, settings)] = work
                    ended, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in ended:
                        outcome = future.result()
                        yield running.pop(future), outcome
            except BrokenProcessPool:
                yield from _given_up(list(running.values()), crashes, waiting)


def _pool(n_workers: int) -> ProcessPoolExecutor:
    # Not forked: a fork of a process that has threads may hang.
    return ProcessPoolExecutor(n_workers, multiprocessing.get_context("spawn"), initializer=_end_with_parent)


def _given_up(
    lost: list[Work], crashes: dict[Work, int], waiting: list[Work]
) -> Iterator[tuple[Work, Outcome]]:
    """Put work back that was lost with its worker, or give it up where that happens again and again."""
    for work in lost:
        crashes[work] = crashes.get(work, 0) + 1
        if crashes[work] >= MOST_CRASHES:
            yield work, not_run(work.student, work.source, "the grader's own process died with it twice")
        else:
            waiting.append(work)


def on_cluster(
    works: Sequence[Work], client: Any, *, settings: Settings | None = None
) -> Iterator[tuple[Work, Outcome]]:
    """Grade notebooks on the workers of a Dask cluster; work of a worker that is lost is done by another.

    Args:
        works: with paths that every worker can read, in a shared folder.
        client: a `dask.distributed.Client`.
        settings: how to grade.
    """
    from distributed import as_completed  # here, because one machine needs no cluster

    settings = settings or Settings()
    futures = {client.submit(grade_one, work, settings, pure=False, retries=2): work for work in works}
    for future in as_completed(futures):
        work = futures[future]
        try:
            outcome = future.result()
        except Exception as error:  # its worker died again and again
            outcome = not_run(work.student, work.source, f"the cluster gave it up: {type(error).__name__}")
        yield work, outcome
        future.release()


# --------------------------------------------------------------------------------------------- in each worker

_kept: dict[tuple[Path, int, Settings], Grader] = {}
_one_at_a_time = threading.Lock()  # a Dask worker may have several threads


def grade_one(work: Work, settings: Settings) -> Outcome:
    """Grade one notebook in this process, with the grader of the one before where it is the same."""
    with _one_at_a_time:
        return _grader(work.source, work.source.stat().st_mtime_ns, settings).grade(work.student, work.path)


def _grader(source: Path, changed: int, settings: Settings) -> Grader:
    """The grader of a notebook, kept with those of a few others."""
    key = (source, changed, settings)
    if not _kept:  # a process of a pool ends without atexit, but not without this
        Finalize(None, _close, exitpriority=1)
    if key not in _kept:
        while len(_kept) >= MOST_KEPT:
            _kept.pop(next(iter(_kept))).close()
        _kept[key] = Grader(source, engine=settings.engine, limits=settings.limits, seconds=settings.seconds)
    return _kept[key]


def _close() -> None:
    """End all graders of this process."""
    while _kept:
        _kept.popitem()[1].close()


def _end_with_parent() -> None:
    """A worker must not outlive the batch, however that ends."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def by_student(works: Iterable[Work]) -> dict[str, list[Work]]:
    """Work by whose it is."""
    found: dict[str, list[Work]] = {}
    for work in works:
        found.setdefault(work.student, []).append(work)
    return found
