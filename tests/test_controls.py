"""What a function under control prints and draws stands below it, now and after each change."""

import matplotlib.pyplot as plt
import pytest
from ipywidgets import HTML, IntSlider, Text

from course_lib import plots
from course_lib.widgets import control


@pytest.fixture
def displayed(monkeypatch):
    """The boxes that are displayed, in place of displaying them."""
    boxes = []
    monkeypatch.setattr("IPython.display.display", boxes.append)
    return boxes


def below(boxes):
    (box,) = boxes
    assert isinstance(box.children[-1], HTML)
    return box.children[-1]


def test_it_runs_now_and_after_each_change(displayed, capsys):
    @control(n=IntSlider(2, 0, 9), of_what=Text("a < b"))
    def show(n, of_what):
        print(n, of_what)

    n, words, shown = displayed[0].children
    assert "2 a &lt; b" in shown.value
    n.value = 7
    assert "7 a &lt; b" in shown.value
    assert "2 a" not in shown.value
    words.value = "c"
    assert "7 c" in shown.value
    assert (n.description, words.description) == ("n", "of what")
    assert capsys.readouterr().out == ""  # nothing stands in the wrong place


def test_the_function_stays_what_it_was(displayed):
    @control(n=IntSlider(2))
    def double(n):
        return 2 * n

    assert double(21) == 42


def test_a_figure_stands_below_with_its_text(monkeypatch):
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.instance()  # what a figure is displayed by
    boxes = []
    monkeypatch.setattr("ipywidgets.VBox", lambda children: boxes.append(children) or children)

    @control(n=IntSlider(2))
    def draw(n):
        fig, ax = plt.subplots()
        ax.plot([n])
        plots.show(fig, alt=f"A line at {n}.")

    assert 'alt="A line at 2."' in boxes[0][-1].value


def test_an_error_is_one_line(displayed):
    @control(n=IntSlider(0))
    def divide(n):
        return 1 / n

    assert "ZeroDivisionError: division by zero" in below(displayed).value


def test_a_notebook_with_a_control_runs_to_its_end(tmp_path):
    """Where `ipywidgets.interact` stood, one cell in fifteen was waited for without end."""
    import nbformat
    from nbclient import NotebookClient

    cell = (
        "from ipywidgets import Text\nfrom course_lib.widgets import control\n\n"
        "@control(words=Text('so'))\ndef show(words):\n    print(words)\n"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for _ in range(30)])
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert all(len(cell.outputs) == 1 for cell in notebook.cells)
