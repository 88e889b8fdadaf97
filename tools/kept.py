"""pytest with nbval, which keeps what a notebook's cells show, and its widgets, as JupyterLab saves them.

    python tools/kept.py --nbval-lax --keep=FILE NOTEBOOK

nbval alone runs the cells and lets go of what they show.
"""

import json
import sys
from pathlib import Path

import nbformat
import pytest
from nbval import plugin

STATE = "application/vnd.jupyter.widget-state+json"
ASK = """
import json, sys
if "ipywidgets" in sys.modules:
    with open({path!r}, "w", encoding="utf-8") as file:
        json.dump(sys.modules["ipywidgets"].Widget.get_manager_state(), file)
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep", help="the notebook with what its cells showed is written into this file")


def pytest_configure(config: pytest.Config) -> None:
    # It would put all that a cell prints in front of its figures, in order to compare.
    plugin.coalesce_streams = lambda outputs: outputs


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """After the last cell, while the kernel still lives."""
    if nextitem is None and isinstance(item, plugin.IPyNbCell):
        keep(item.session.items, Path(item.config.getoption("--keep")))


def keep(cells: list[plugin.IPyNbCell], path: Path) -> None:
    """Write the notebook of these cells."""
    file = cells[0].parent
    for number, each in enumerate(cells, start=1):
        each.cell.outputs = each.test_outputs or []
        each.cell.execution_count = number
        for output in each.cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = number
    saved = path.with_suffix(".json")
    if file.kernel.is_alive():
        file.kernel.await_reply(file.kernel.execute_cell_input(ASK.format(path=str(saved))), timeout=60)
    if saved.exists():
        file.nb.metadata["widgets"] = {STATE: json.loads(saved.read_text("utf-8"))}
    nbformat.write(file.nb, path)


if __name__ == "__main__":
    sys.exit(pytest.main(plugins=[plugin, sys.modules["__main__"]]))
