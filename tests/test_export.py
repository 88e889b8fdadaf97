"""What `jupyter nbconvert` is told, and what it is not: the page itself is looked at in a browser."""

from pathlib import Path

import nbformat
import pytest
from nbconvert.exporters import HTMLExporter, SlidesExporter
from traitlets.config import Config, PyFileConfigLoader

from course_lib import export
from course_lib.grading import reports
from course_lib.widgets import alone

DEFAULTS = Path(__file__).parents[1] / "tools" / "jupyter"
CONFIGS = ["jupyter_nbconvert_config.py", "jupyter_server_config.py"]


def settings(name: str) -> Config:
    return PyFileConfigLoader(name, path=str(DEFAULTS)).load_config()


def page(config: Config, exporter: type[HTMLExporter] = HTMLExporter) -> str:
    """The page of a short notebook."""
    bar = nbformat.v4.new_output(
        "display_data", {alone.VIEW: {"model_id": "closed"}, "text/plain": "runs:   0%|          | 0/2"}
    )
    lost = nbformat.v4.new_output(
        "display_data", {alone.VIEW: {"model_id": "lost"}, "text/plain": "An explorer. It comes alive."}
    )
    cells = [
        nbformat.v4.new_markdown_cell("$x$ and ![a picture](images/mlp.svg)"),
        nbformat.v4.new_code_cell("run()", outputs=[bar, lost]),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"widgets": {alone.STATE: {"state": {}}}})
    resources = {"metadata": {"path": str(DEFAULTS.parents[1] / "notebooks")}}
    return exporter(config=config).from_notebook_node(notebook, resources)[0]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_page_is_one_file_that_loads_nothing(name):
    text = page(settings(name))
    assert text.count("<script") == 2  # the state and what shows it
    assert "https://" not in text.partition("<body")[2]
    assert 'src="data:image/svg+xml;base64,' in text
    assert "<mi>x</mi></mrow></math>" in text


def test_of_a_widget_that_is_gone_a_page_shows_its_words_but_no_bar():
    text = page(settings(CONFIGS[0]))
    assert "An explorer. It comes alive." in text
    assert "0%|" not in text


def test_who_asks_for_another_template_gets_it():
    config = settings(CONFIGS[0])
    assert "reveal.js" in page(config, SlidesExporter)
    config.TemplateExporter.template_name = "classic"  # as --template=classic does
    assert "tex2jax" in page(config)
    assert reports._exporter().template_name == "basic"


@pytest.mark.parametrize(
    "tex", [r"\unheard{x}", r"\begin{gathered} a &= b \end{gathered}", "{", "_", r"\left("]
)
def test_what_cannot_be_drawn_stands_as_it_is_written(tex):
    assert export.formula(tex, "inline") == f"<code>{tex.replace('&', '&amp;')}</code>"


@pytest.mark.parametrize(
    ("tex", "parts"),
    [
        ("x < y", ["<mi>x</mi>", "<mo>&#x0003C;</mo>", "<mi>y</mi>"]),
        (r"\begin{aligned} a &= b \\ c &= d \end{aligned}", ["<mtable", "</mtr><mtr>", "<mi>d</mi>"]),
        (
            r"\text{of } \sqrt{d_k}",
            ["<mtext>of&#x000A0;</mtext>", "<msqrt>", "<msub><mi>d</mi><mi>k</mi></msub>"],
        ),
        (r"\{x\}", ["&#x0007B;"]),
    ],
)
def test_formulas_are_drawn(tex, parts):
    shown = export.formula(tex, "block")
    assert shown.startswith('<span class="course-formula"><math')
    assert [part for part in parts if part not in shown] == []


def test_a_formula_is_no_markup():
    assert export.formula(r"\unheard{<b>}", "inline") == r"<code>\unheard{&lt;b&gt;}</code>"
