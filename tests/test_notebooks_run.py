"""Every notebook runs from top to bottom, once, with the network cut.

nbval runs it in a process of its own: the cut needs that, and it is without what the tests load. The grader
runs the solutions: `tests/grading/test_judge.py`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import offline
import pytest

from course_lib import claims

ROOT = Path(__file__).parents[1]
# A notebook has 60 s on two cores of its own. Here it has one thread, and what counts is how long that keeps
# its core busy: no easier, and the same on a busy machine. The limit leaves room for slower processors. The
# last number is by the clock: a notebook that runs into it hangs.
LIMIT_S, HANGS_S = 150, 900
# One plugin of pytest, not all that are installed: to load them takes longer than some notebooks.
NBVAL = ("-p", "nbval.plugin", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider")


NOTEBOOKS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("notebooks/*.ipynb"))


def as_a_learner() -> dict[str, str]:
    """The variables of the environment, without those that the tests add for themselves."""
    own = {"MPLBACKEND", *(name for name in os.environ if name.startswith("PYTEST_"))}
    return {name: value for name, value in os.environ.items() if name not in own}


def run_notebook(path: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a notebook, each of its cells as a test; what its verdicts find is recorded in the folder."""
    command, environment = offline.cut([sys.executable, "-m", "pytest", "-q", *NBVAL, path], folder)
    own = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COURSE_LEDGER": str(folder / "claims.jsonl")}
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**as_a_learner(), **environment, **own},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=HANGS_S,
    )


def busy_s() -> float:
    """For how long the programs that this one started kept a core busy; 0 on Windows, which does not say."""
    times = os.times()
    return times.children_user + times.children_system


@pytest.mark.parametrize("path", NOTEBOOKS)
def test_it_runs_in_time_and_judges_each_of_its_claims_once(path, tmp_path, record_property):
    before = busy_s()
    run = run_notebook(ROOT / path, tmp_path)
    took = busy_s() - before
    assert run.returncode == 0, run.stdout + run.stderr
    record = tmp_path / "claims.jsonl"
    judged = [json.loads(line) for line in record.read_text("utf-8").splitlines()] if record.exists() else []
    own = [claim for claim in claims.load().values() if path == f"notebooks/{claim.notebook}.ipynb"]
    assert sorted(one["claim"] for one in judged) == sorted(claim.id for claim in own)
    runs = claims.runs()
    records = {claim.id: claims.Record.of(claim, runs.get(claim.id, [])) for claim in own}
    known = {claim: {record.label, *record.labels} for claim, record in records.items()}
    labels = {one["claim"]: one["label"] for one in judged}
    assert {claim: label for claim, label in labels.items() if label not in known[claim]} == {}, known
    assert took <= LIMIT_S, f"{path} took {took:.0f} s of one core, limit {LIMIT_S} s"
    record_property(path, took)
    if "COURSE_LEDGER_OF_NOTEBOOKS" in os.environ:
        with open(os.environ["COURSE_LEDGER_OF_NOTEBOOKS"], "a", encoding="utf-8") as pages:
            pages.write(record.read_text("utf-8") if judged else "")


def write_notebook(path: Path, *cells: str) -> Path:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    return path


REACHES_OUT = """
import os, socket
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
except TimeoutError:
    raise
except OSError:
    answer = "refused"
assert answer == "refused"
"""


def test_a_notebook_runs_once_with_the_network_cut_on_one_thread_and_as_for_a_learner(tmp_path):
    path = write_notebook(
        tmp_path / "good.ipynb",
        REACHES_OUT,
        f"open({str(tmp_path / 'runs')!r}, 'a').write('x')",
        "open(os.environ['COURSE_LEDGER'], 'a').write('judged')",
        "assert os.environ['OMP_NUM_THREADS'] == '1'",
        "assert 'inline' in os.environ['MPLBACKEND']",
    )
    run = run_notebook(path, tmp_path)
    assert run.returncode == 0, run.stdout
    assert (tmp_path / "runs").read_text() == "x"
    assert (tmp_path / "claims.jsonl").read_text() == "judged"


def test_a_cell_that_raises_and_a_title_that_the_numbers_do_not_show_fail_and_are_named(tmp_path):
    figure = "from course_lib.plots import supported; supported('Most are right', 'one is right', False)"
    run = run_notebook(write_notebook(tmp_path / "bad.ipynb", "1 + 1", "1 / 0", figure, "2 + 2"), tmp_path)
    assert run.returncode == 1
    assert "2 failed, 2 passed" in run.stdout
    for said in ("Cell 1", "ZeroDivisionError", "Cell 2", "Unsupported"):
        assert said in run.stdout
