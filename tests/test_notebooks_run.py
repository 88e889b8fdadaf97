"""Every notebook runs from top to bottom, once, with the network cut; exported, it is alive without a kernel.

nbval runs it in a process of its own: the cut needs that, and it is without what the tests load. What its
cells show is kept, exported as a learner would, and opened in a browser. The grader runs the solutions:
`tests/grading/test_judge.py`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import executed
import nbformat
import pytest
from chromium import Watch, launched, watched
from nbformat import NotebookNode
from playwright.sync_api import Browser, expect

from course_lib import claims
from course_lib.widgets.alone import STATE, VIEW

ROOT = Path(__file__).parents[1]
# A notebook has 60 s on two cores of its own. Here it has one thread, and what counts is how long that keeps
# its core busy: no easier, and the same on a busy machine. The limit leaves room for slower processors.
LIMIT_S = 150

NOTEBOOKS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("notebooks/*.ipynb"))


def busy_s() -> float:
    """For how long the programs that this one started kept a core busy; 0 on Windows, which does not say."""
    times = os.times()
    return times.children_user + times.children_system


@dataclass
class Run:
    """One run of a notebook."""

    path: str
    folder: Path
    process: subprocess.CompletedProcess[str]
    took_s: float


@pytest.fixture(scope="module", params=NOTEBOOKS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Each notebook, run once for all tests."""
    folder = tmp_path_factory.mktemp(Path(request.param).stem)
    before = busy_s()
    process = executed.run(ROOT / request.param, folder)
    if process.returncode == 0:
        executed.keep(ROOT / request.param, folder)
    return Run(request.param, folder, process, busy_s() - before)


def test_it_runs_in_time_and_judges_each_of_its_claims_once(run, record_property):
    path, took = run.path, run.took_s
    assert run.process.returncode == 0, run.process.stdout + run.process.stderr
    record = run.folder / "claims.jsonl"
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


def export(folder: Path) -> Path:
    """The page of the notebook that ran in a folder, as a learner writes it."""
    shutil.copytree(ROOT / "notebooks" / "images", folder / "images")
    defaults = {"PYTHONPATH": str(ROOT), "JUPYTER_CONFIG_PATH": str(ROOT / "tools" / "jupyter")}
    command = [sys.executable, "-m", "nbconvert", "--to", "html", executed.KEPT]
    subprocess.run(command, cwd=folder, env={**os.environ, **defaults}, check=True, capture_output=True)
    return (folder / executed.KEPT).with_suffix(".html")


def shown(notebook: NotebookNode) -> list[str]:
    """The kinds of the widgets that a notebook shows, in their order."""
    saved = notebook.metadata.widgets[STATE].state
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    views = [output.data[VIEW].model_id for output in outputs if VIEW in output.get("data", {})]
    return [saved[view].model_name for view in views if view in saved]


def formulas(notebook: NotebookNode) -> int:
    """How many formulas the text of a notebook has."""
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    text = re.sub(r"```.*?```|`[^`]*`", "", "\n\n".join(texts), flags=re.DOTALL)
    return len(re.findall(r"(\$\$?).+?\1", text, re.DOTALL))


# Each answer of each question is chosen in turn: what its outcome says each time.
CHOOSE = """() => [...document.querySelectorAll("[role=radiogroup].course-answers")].map(group =>
    [...group.querySelectorAll("input")].map(input => {
        input.click();
        const box = document.querySelector(`.course-outcome[data-asked="${input.name}"]`);
        return [input.parentElement.textContent, box?.textContent];
    })
)"""


def test_its_exported_page_is_alive_without_a_kernel_and_without_a_network(run, browser):
    notebook = nbformat.read(run.folder / executed.KEPT, as_version=4)
    kinds, asked = shown(notebook), []
    address = export(run.folder).as_uri()
    watch = Watch()
    with watched(browser, watch) as context:
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.goto(address)
        explorers = page.locator("section.cx")
        expect(explorers).to_have_count(kinds.count("AnyModel"))
        for explorer in explorers.all():
            expect(explorer).to_have_attribute("aria-label", re.compile(r"\w"))
            expect(explorer.locator(".cx-body")).to_contain_text(re.compile(r"\w"))
            expect(explorer.locator(".cx-text")).to_contain_text(re.compile(r"\w"))
            expect(explorer.get_by_role("alert")).to_be_empty()
        expect(page.locator(".course-answers")).to_have_count(kinds.count("RadioButtonsModel"))
        # A question that was asked is there to be answered, and one of its answers is right.
        expect(page.locator(".course-outcome[data-asked]")).to_have_count(kinds.count("RadioButtonsModel"))
        for question in page.evaluate(CHOOSE):
            told = [(said[:1], said[1:].partition(". The result: ")[0]) for _, said in question]
            assert [said for _, said in told] == [f" You said: {answer}" for answer, _ in question]
            assert sorted(mark for mark, _ in told) == sorted("✓" + "✗" * (len(question) - 1))
        texts = page.locator("math").all_text_contents()
        assert len(texts) == formulas(notebook)
        assert [text for text in texts if not text.strip() or re.search(r"[\\$&]", text)] == []
        assert not re.search(r"\d+%\|", page.locator("main").inner_text()), "a bar that was taken away"
        watch.check()
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [address]


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
    run = executed.run(path, tmp_path)
    assert run.returncode == 0, run.stdout
    assert (tmp_path / "runs").read_text() == "x"
    assert (tmp_path / "claims.jsonl").read_text() == "judged"


def test_a_cell_that_raises_and_a_title_that_the_numbers_do_not_show_fail_and_are_named(tmp_path):
    figure = "from course_lib.plots import supported; supported('Most are right', 'one is right', False)"
    run = executed.run(write_notebook(tmp_path / "bad.ipynb", "1 + 1", "1 / 0", figure, "2 + 2"), tmp_path)
    assert run.returncode == 1
    assert "2 failed, 2 passed" in run.stdout
    for said in ("Cell 1", "ZeroDivisionError", "Cell 2", "Unsupported"):
        assert said in run.stdout
