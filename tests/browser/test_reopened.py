"""A notebook that is closed and opened again later, when its kernel is gone."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from playwright.sync_api import expect

TITLE = "Attention, step by step"
CELLS = (
    "from course_lib.concepts.c03_qkv.explorer import AttentionStepper\nAttentionStepper()",
    "from course_lib.widgets import predict\npredict('a coin', {'heads': 1, 'tails': 2})",
)
LOST = "Python no longer knows this explorer. To have it back, choose Run › Run All Above Selected Cell"


def reopen(desk) -> None:
    """The next day: JupyterLab has been closed, so a new kernel stands behind the notebook."""
    desk.close()
    desk.lab.shut_kernels_down()
    desk.open("shown.ipynb")


def test_an_explorer_comes_back_with_its_notebook_and_then_says_how(desk, tmp_path: Path) -> None:
    explorer = desk.shown(TITLE, *CELLS)
    lost = desk.page.get_by_text(LOST)
    expect(lost).to_be_hidden()
    explorer.get_by_role("tab", name="5 Mix").click()
    explorer.get_by_label("Mask", exact=True).select_option("causal")
    desk.page.get_by_label("tails").check()
    desk.answered(explorer)
    desk.save()
    shutil.copy(desk.lab.folder / "shown.ipynb", tmp_path / "committed.ipynb")

    desk.watch.expected = {"Error: widget model not found"}
    # Where a kernel starts slowly, JupyterLab's widget manager may give up before it has read the file.
    for _ in range(5):
        reopen(desk)
        expect(explorer.or_(lost.filter(visible=True))).to_be_visible()
        if explorer.is_visible():
            break
    expect(explorer.get_by_role("tab", name="5 Mix")).to_have_attribute("aria-selected", "true")
    expect(explorer.get_by_label("Mask", exact=True)).to_have_value("causal")
    expect(desk.page.get_by_label("tails")).to_be_checked()
    expect(lost).to_be_hidden()
    # Nobody answers any more, so the page does.
    field = explorer.get_by_label("v of the, number 1")
    field.fill("2")
    field.press("Enter")
    expect(explorer.get_by_role("status")).to_contain_text("·2 + ")
    expect(explorer.get_by_role("alert")).to_be_empty()

    # JupyterLab saves what its kernel knows, and so forgets on the next save what it has brought back.
    desk.save()
    reopen(desk)
    expect(lost).to_be_visible()
    desk.run_all()
    expect(explorer).to_be_visible()
    expect(lost).to_be_hidden()

    # What is saved with a notebook does not get into a commit.
    committed = tmp_path / "committed.ipynb"
    assert "widgets" in nbformat.read(committed, as_version=4).metadata
    subprocess.run([sys.executable, "-m", "nbstripout", "--keep-id", committed], check=True)
    stripped = nbformat.read(committed, as_version=4)
    assert "widgets" not in stripped.metadata
    assert [cell.outputs for cell in stripped.cells] == [[], []]
