"""Notebooks go on where the language models are not installed."""

import json
from pathlib import Path

import pytest

from course_lib import pretrained
from course_lib.pretrained import MissingModelError

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
# Cells that need no model and take long, with those that show what they found.
LONG = {
    "00_overview": {f"{name}-{cell}" for name in ("parts", "cls") for cell in ("run", "figure", "verdict")},
    "01_tokens": {"twins-run", "twins-shuffle", "learned-run"},
}


def no_model(**_: object) -> None:
    raise MissingModelError("run: pip install")


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize("notebook", LONG)
def test_a_notebook_goes_on(monkeypatch, capsys, notebook):
    monkeypatch.setattr(pretrained, "load_smollm2", no_model)
    names = {"__name__": "__main__"}
    for cell in json.loads((NOTEBOOKS / f"{notebook}.ipynb").read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code" and cell["id"] not in LONG[notebook]:
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    assert names["language_model"] is None
    assert "run: pip install" in capsys.readouterr().out
