"""Many submissions: on workers of this machine or of a Dask cluster, of which one is killed midway."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator

import dask
import deadly
import pytest
import small
from distributed import Client, LocalCluster

from course_lib.grading import batch
from course_lib.grading.batch import Settings, Work, grade_works, on_cluster
from course_lib.grading.engines import NONE
from course_lib.grading.outcome import Outcome, Status

TASK = "03_qkv/softmax"
WRONG = "def softmax(scores):\n    return scores"
N = 7  # submissions


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


def kill_one(pids: Callable[[], list[int]], outcomes: Iterator[tuple[Work, Outcome]]) -> list[Outcome]:
    """All outcomes; a worker is killed after the first, while others are being graded."""
    found = []
    for work, outcome in outcomes:
        assert outcome.student == work.student
        if not found:
            os.kill(pids()[0], signal.SIGKILL)
        found.append(outcome)
    return found


def assert_all_right(outcomes: list[Outcome]) -> None:
    """Every submission has one outcome, and its own."""
    came = sorted((outcome.student, outcome.status.value, outcome.score) for outcome in outcomes)
    assert came == [(f"s{i}", "graded", 0.0 if i % 3 else 2.0) for i in range(N)]


def local_workers() -> list[int]:
    return [process.pid for process in multiprocessing.active_children() if process.pid]


def test_a_worker_of_this_machine_is_killed_midway(works, engine):
    outcomes = grade_works(works, workers=2, settings=Settings(engine=engine))
    assert_all_right(kill_one(local_workers, outcomes))
    assert local_workers() == []


def test_a_worker_of_a_cluster_is_killed_midway(works, engine, monkeypatch):
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        folder = works[0].path.parent
        monkeypatch.chdir(folder)  # the workers run elsewhere
        relative = [
            Work(work.student, work.source.relative_to(folder), work.path.relative_to(folder))
            for work in works
        ]
        outcomes = on_cluster(relative, client, settings=Settings(engine=engine))
        assert_all_right(kill_one(lambda: list(client.run(os.getpid).values()), outcomes))


@pytest.fixture
def with_deadly(works: list[Work], monkeypatch: pytest.MonkeyPatch) -> list[Work]:
    """Submissions of which two kill their worker, whatever worker that is."""
    monkeypatch.setattr(batch, "grade_one", deadly.grade_one)
    bad = [Work(name, works[0].source, works[0].path) for name in ("deadly1", "deadly2")]
    return [works[0], bad[0], works[1], bad[1], *works[2:]]


def assert_only_deadly_are_given_up(works: list[Work], outcomes: list[Outcome], reason: str) -> None:
    assert sorted(outcome.student for outcome in outcomes) == sorted(work.student for work in works)
    for outcome in outcomes:
        died = outcome.student.startswith("deadly")
        assert outcome.status == (Status.NOT_RUN if died else Status.GRADED), outcome
        assert outcome.reason.startswith(reason if died else "")
        assert bool(outcome.reason) == died
        assert outcome.max_score == 2.0


def test_only_what_kills_its_worker_is_given_up(with_deadly):
    graded = grade_works(with_deadly, workers=2, settings=Settings(engine=NONE))  # nothing runs in it
    outcomes = [outcome for _, outcome in graded]
    assert_only_deadly_are_given_up(with_deadly, outcomes, "the grader's own process died with it twice")


def test_only_what_kills_its_worker_is_given_up_on_a_cluster(with_deadly):
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),  # else each kills four workers first
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        graded = on_cluster(with_deadly, client, settings=Settings(engine=NONE))
        outcomes = [outcome for _, outcome in graded]
    assert_only_deadly_are_given_up(with_deadly, outcomes, "the cluster gave it up: KilledWorker")
