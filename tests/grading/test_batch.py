"""Many submissions on workers of which one is killed midway."""

import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import deadly
import pytest
import small

from course_lib.grading import batch
from course_lib.grading.batch import Settings, Work, grade_works
from course_lib.grading.judging import session
from course_lib.grading.judging.judge import CannotStart, Grader
from course_lib.grading.results.outcome import Status
from course_lib.grading.walls.engines import NONE

TASK = "03_qkv/softmax"
WRONG = "def softmax(scores):\n    return scores"
N = 7  # submissions
IN_NOTHING = Settings(engine=NONE)  # no code of a submission runs


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> list[Work]:
    """Submissions of one task; every third is right."""
    folder = tmp_path_factory.mktemp("batch")
    setup = small.cell("setup", "import numpy as np")
    test = small.locked("softmax", small.checked(TASK, "softmax"), 2.0)
    source = small.write(
        folder / "source" / "small.ipynb", [setup, small.answer("softmax", small.right(TASK)), test]
    )
    made = []
    for i in range(N):
        cells = [setup, small.answer("softmax", WRONG if i % 3 else small.right(TASK)), test]
        made.append(Work(f"s{i}", source, small.write(folder / f"s{i}.ipynb", cells)))
    return made


def local_workers() -> list[int]:
    return [process.pid for process in multiprocessing.active_children() if process.pid]


def test_a_worker_is_killed_midway(works, engine):
    """Every submission has one outcome, and its own."""
    found = []
    for work, outcome in grade_works(works, workers=2, settings=Settings(engine=engine)):
        assert outcome.student == work.student
        if not found:
            os.kill(local_workers()[0], signal.SIGKILL)
        found.append((outcome.student, outcome.status, outcome.score))
    assert sorted(found) == [(f"s{i}", Status.GRADED, 0.0 if i % 3 else 2.0) for i in range(N)]
    assert local_workers() == []


@pytest.fixture
def with_deadly(works: list[Work], monkeypatch: pytest.MonkeyPatch) -> list[Work]:
    """Submissions of which two kill their worker, whatever worker that is."""
    monkeypatch.setattr(batch, "grade_one", deadly.grade_one)
    bad = [Work(name, works[0].source, works[0].path) for name in ("deadly1", "deadly2")]
    return [works[0], bad[0], works[1], bad[1], *works[2:]]


def test_only_what_kills_its_worker_is_given_up(with_deadly):
    outcomes = [outcome for _, outcome in grade_works(with_deadly, workers=2, settings=IN_NOTHING)]
    assert sorted(outcome.student for outcome in outcomes) == sorted(work.student for work in with_deadly)
    for outcome in outcomes:
        died = outcome.student.startswith("deadly")
        assert outcome.status == (Status.NOT_RUN if died else Status.GRADED), outcome
        assert outcome.reason == ("the grader's own process died with it twice" if died else "")
        assert outcome.max_score == 2.0


GONE_WRONG = {
    "deep": "the grader failed: RecursionError: too deep",
    "large": "the grader failed: MemoryError",
    "exit": "the grader failed: SystemExit: 3",
    "nested": "the grader failed: RecursionError: maximum recursion depth",
    "unsendable": "the grader failed: PicklingError",
    "odd": "the grader's own process died with it twice",  # it cannot be read where it arrives
}


def test_what_goes_wrong_in_a_worker_costs_that_work_alone(works, monkeypatch):
    monkeypatch.setattr(batch, "grade_one", deadly.grade_one)
    bad = [Work(kind, works[0].source, works[0].path) for kind in GONE_WRONG]
    outcomes = [o for _, o in grade_works([works[0], *bad, works[1]], workers=2, settings=IN_NOTHING)]
    came = {outcome.student: (outcome.status, outcome.reason) for outcome in outcomes}
    for kind, reason in GONE_WRONG.items():
        status, said = came.pop(kind)
        assert status == Status.NOT_RUN
        assert said.startswith(reason)
    assert came == {work.student: (Status.GRADED, "") for work in works[:2]}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_process_that_cannot_start_is_told_once(works, monkeypatch, workers):
    monkeypatch.setattr(batch, "grade_one", deadly.grade_one)
    many = [Work(f"unstartable{i}", works[0].source, works[0].path) for i in range(20)]
    with pytest.raises(CannotStart, match=r"small\.ipynb cannot start: no torch"):
        list(grade_works(many, workers=workers, settings=IN_NOTHING))


NEEDS = {"imported": set(), "beside": {}, "modules": ["no_such_module"], "specs": []}


def test_why_it_cannot_start_is_said_and_not_of_a_student(works, engine, monkeypatch):
    monkeypatch.setattr(Grader, "_needs", lambda _: NEEDS)
    with (
        Grader(works[0].source, engine=engine) as grader,
        pytest.raises(CannotStart, match=r"small\.ipynb cannot start: .*No module named 'no_such_module'"),
    ):
        grader.grade("ada", works[0].path)


def test_why_it_cannot_start_is_said_where_it_takes_its_time_to_end(works, engine, monkeypatch):
    monkeypatch.setattr(session, "GRACE_S", 0.0)
    monkeypatch.setattr(Grader, "_needs", lambda _: NEEDS)
    with (
        Grader(works[0].source, engine=engine) as grader,
        pytest.raises(CannotStart, match=r"small\.ipynb cannot start: .*No module named 'no_such_module'"),
    ):
        grader.grade("ada", works[0].path)


def test_a_start_that_takes_too_long_is_said(works, engine, monkeypatch):
    monkeypatch.setattr(session, "START_S", 0.01)
    with (
        Grader(works[0].source, engine=engine) as grader,
        pytest.raises(CannotStart, match=r"it was not ready within 0\.01 s"),
    ):
        grader.grade("ada", works[0].path)


def test_in_threads_each_waits_for_the_others_and_a_test_that_never_ends_is_late(works, engine, tmp_path):
    """As on an executor of another library: its tasks do not run in the main thread."""
    test = small.locked("f", "for _ in range(f(3)):\n    pass", 2.0)
    source = small.write(tmp_path / "source.ipynb", [small.answer("f", "def f(x): return x"), test])
    endless = small.write(tmp_path / "ada.ipynb", [small.answer("f", "def f(x): return 10**18"), test])
    hasty = Settings(engine=engine, seconds=session.Seconds(in_all=5.0))
    every = [Work("ada", source, endless), *works]
    try:
        with ThreadPoolExecutor(3) as pool:
            ada, *others = pool.map(batch.grade_one, every, [hasty, *[Settings(engine=engine)] * N])
    finally:
        batch._close()
    assert (ada.status, ada.reason) == (Status.TIMED_OUT, "timed out in task 'f'")
    assert [outcome.score for outcome in others] == [0.0 if i % 3 else 2.0 for i in range(N)]


def test_a_teachers_test_that_python_cannot_interrupt_ends_with_its_process(engine, tmp_path):
    test = small.locked("f", "assert sum(range(f(3))) > 0", 2.0)
    source = small.write(tmp_path / "source.ipynb", [small.answer("f", "def f(x): return x"), test])
    endless = small.write(tmp_path / "ada.ipynb", [small.answer("f", "def f(x): return 10**18"), test])
    hasty = Settings(engine=engine, seconds=session.Seconds(in_all=5.0))
    try:
        ada, bob = [
            batch.grade_one(Work(name, source, path), hasty)
            for name, path in (("ada", endless), ("bob", source))
        ]
    finally:
        batch._close()
    assert (ada.status, ada.reason) == (Status.TIMED_OUT, "timed out in task 'f'")
    assert (bob.status, bob.score) == (Status.GRADED, 2.0)
