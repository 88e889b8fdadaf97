"""Grade many submissions, on all cores; every one gets an outcome."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from multiprocessing.util import Finalize
from pathlib import Path

from course_lib.grading.intake.handed_in import Work
from course_lib.grading.judging.judge import CannotStart, Grader, failed, not_run
from course_lib.grading.judging.session import Seconds
from course_lib.grading.results.outcome import Outcome
from course_lib.grading.walls.engines import Engine, choose
from course_lib.grading.walls.leftovers import remove_folders
from course_lib.grading.walls.sandbox import Limits

AHEAD = 2  # for each worker: one that it grades, and one that waits while the last is written down
MOST_KEPT = 4  # graders of one worker, each with a process of its own


@dataclass(frozen=True)
class Settings:
    """How to grade."""

    engine: Engine | None = None  # without one, the best that this machine has
    limits: Limits = field(default_factory=Limits)
    seconds: Seconds = field(default_factory=Seconds)


def grade_works(
    works: Sequence[Work], *, workers: int | None = None, settings: Settings | None = None
) -> Iterator[tuple[Work, Outcome]]:
    """Grade any notebooks on this machine; outcomes come as they are ready.

    What goes wrong in a worker costs that work alone.

    Args:
        works: what to grade.
        workers: processes side by side, as many as cores if not given.
        settings: how to grade.
    Raises:
        NoIsolation: this machine cannot lock submissions in; the message says what to do.
        CannotStart: the process that submissions are forked from cannot be started.
    """
    remove_folders()  # also where nothing is left to grade
    settings = settings or Settings()
    if settings.engine is None:  # tried once, not in each worker
        settings = replace(settings, engine=choose())
    waiting = list(reversed(works))
    n_workers = min(workers or os.cpu_count() or 1, len(works))
    while waiting:
        lost = yield from _graded(waiting, n_workers, settings)
        for work in lost:  # one of them may have ended its worker: each again, in a worker of its own
            if (yield from _graded([work], 1, settings)):
                yield work, not_run(work.student, work.source, "the grader's own process died with it twice")


def _graded(
    waiting: list[Work], n_workers: int, settings: Settings
) -> Generator[tuple[Work, Outcome], None, list[Work]]:
    """Grade what is waiting, from the end of the list, until all is done or a worker is of no use any more.

    Returns: what was lost with a worker, also what its neighbours had, which end with it.
    Raises: CannotStart: the only worker can start nothing. Beside others it may be for want of memory.
    """
    running: dict[Future[Outcome], Work] = {}
    # Not forked: a fork of a process that has threads may hang.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, spawn, initializer=_start) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < AHEAD * n_workers:
                    with _ctrl_c_waits():
                        future = pool.submit(grade_one, waiting[-1], settings)
                    running[future] = waiting.pop()  # not before it is submitted: that may fail
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    outcome = _outcome(future, running[future])
                    yield running.pop(future), outcome
        except BrokenProcessPool:
            pass
        except CannotStart:
            pool.shutdown(cancel_futures=True)
            if n_workers == 1:
                raise
    return list(running.values())


def _outcome(future: Future[Outcome], work: Work) -> Outcome:
    """What came of a work; what a worker raised, or could not send, costs that work alone.

    Raises: BrokenProcessPool, CannotStart, KeyboardInterrupt: these are not about the work.
    """
    try:
        return future.result()
    except (BrokenProcessPool, CannotStart, KeyboardInterrupt):
        raise
    except BaseException as error:  # a SystemExit too: it is the worker's, not ours
        return not_run(work.student, work.source, failed(error))


@contextlib.contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Hold Ctrl-C back: a worker that is just being started would answer it with a traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# --------------------------------------------------------------------------------------------- in each worker

_kept: dict[tuple[Path, int, Settings], Grader] = {}
_one_at_a_time = threading.Lock()  # an executor may have several threads in this process


def grade_one(work: Work, settings: Settings) -> Outcome:
    """Grade one notebook in this process, with the grader of the one before where it is the same.

    It may run on any executor of `concurrent.futures`, on other machines too: there the paths have to be
    absolute, on a disk that all of them have.
    """
    with _one_at_a_time:
        return _grader(work.source, settings).grade(work.student, work.path)


def _grader(source: Path, settings: Settings) -> Grader:
    """The grader of a notebook, kept with those of a few others."""
    key = (source, source.stat().st_mtime_ns, settings)
    if not _kept:  # a process of a pool ends without atexit, but not without this
        Finalize(None, _close, exitpriority=1)
    if key not in _kept:
        while len(_kept) >= MOST_KEPT:
            _kept.pop(next(iter(_kept))).close()
        _kept[key] = Grader(source, engine=settings.engine, limits=settings.limits, seconds=settings.seconds)
    return _kept[key]


def _stop(*_: object) -> None:
    """End at once after Ctrl-C, without a traceback; the batch says how to go on."""
    try:
        _close()
    finally:
        os._exit(1)


def _close() -> None:
    """End all graders of this process."""
    while _kept:
        _kept.popitem()[1].close()


def _start() -> None:
    """A worker must not outlive the batch, however that ends."""
    signal.signal(signal.SIGINT, _stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
