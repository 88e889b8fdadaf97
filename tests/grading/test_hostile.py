"""Every kind of hostile submission gets the grade it must get, and touches nothing.

The kinds stand in `kinds_*.py`. All of them are graded in one batch, with honest submissions between them.
Those that can be tried without harm are run without a sandbox too, where each must succeed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from every_kind import KINDS, Batch, differences, run_batch
from hostile import Kind, by_name
from world import ASSIGNMENT, World, run_plainly

from course_lib.grading.walls.engines import engines

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandbox needs Linux")
HERE = Path(__file__).parent
IN_PLAIN = [kind.name for kind in KINDS if kind.in_plain]


@pytest.fixture(scope="module")
def batch() -> Batch:
    """All kinds, graded once."""
    if not engines():
        pytest.skip("this machine cannot lock submissions in")
    return run_batch(KINDS)


@pytest.mark.parametrize("name", [kind.name for kind in KINDS])
def test_a_kind_gets_its_grade_and_reads_nothing(batch, name):
    assert batch.findings(by_name(name)) == []


def test_the_batch_comes_to_its_end(batch):
    assert batch.error == ""


def test_nothing_was_touched(batch):
    assert batch.touched == []


def test_honest_submissions_between_hostile_ones_get_all_their_points(batch):
    honest = {name: outcome for name, outcome in batch.outcomes.items() if name.startswith("honest")}
    assert len(honest) >= 14
    for name, outcome in honest.items():
        kind = Kind("honest", "nothing", lambda world, path: None, notebook=outcome["notebook"])
        assert differences(kind, outcome) == [], name


@pytest.fixture(scope="module")
def in_plain() -> Iterator[dict[str, list[str]]]:
    """What the attacks do that need a sandbox, where there is none; and what an honest submission does."""
    with ExitStack() as stack:
        jobs = []
        for name in ("correct", *IN_PLAIN):
            world = stack.enter_context(World())
            path = world.submitted / name / ASSIGNMENT / "attention_by_hand.ipynb"
            path.parent.mkdir(parents=True)
            by_name(name).make(world, path)
            world.settle()
            jobs.append((world, Path(path)))
        yield dict(zip(("correct", *IN_PLAIN), run_plainly(jobs), strict=True))


@pytest.mark.parametrize("name", IN_PLAIN)
def test_an_attack_succeeds_where_there_is_no_sandbox(in_plain, name):
    assert in_plain[name], "an attack that cannot succeed proves nothing"


def test_an_honest_submission_does_no_harm_without_a_sandbox(in_plain):
    assert in_plain["correct"] == []


@pytest.mark.parametrize(("engine", "who"), [("bubblewrap", "root"), ("namespaces", "user")])
def test_no_attack_succeeds_with_the_other_engine_or_as_an_ordinary_user(engine, who):
    if engine not in [working.name for working in engines()]:
        pytest.skip(f"{engine} does not work on this machine")
    command = [sys.executable, str(HERE / "every_kind.py"), engine]
    if who == "user" and os.geteuid() == 0:
        command = [sys.executable, str(HERE / "as_somebody.py"), "user", "--", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    if who == "user" and "NoIsolation" in found["error"]:
        pytest.skip("on this machine only root can lock submissions in")
    assert found.pop("n_graded") > len(IN_PLAIN)
    assert found == {"wrong": {}, "touched": [], "error": ""}, found
