"""Notebook 00 where the language model is not installed."""

import pytest
from notebook_cells import NotebookCells, no_model

from course_lib import pretrained


@pytest.mark.usefixtures("own_errors")
def test_it_goes_on_without_the_language_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(pretrained, "load_smollm2", no_model)
    cells, names = NotebookCells("00_overview"), {}
    for cell_id in cells:
        cells.run(cell_id, names)
        if cell_id == "model-define":  # from here on it is not needed
            break
    assert names["language_model"] is None
    assert "run: pip install" in capsys.readouterr().out
