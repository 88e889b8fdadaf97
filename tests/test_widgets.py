"""What every explorer shares, without a browser; each one's own tests are in its concept's folder."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import course_lib
from course_lib import plots
from course_lib.widgets.explorer import Explorer, format_number
from course_lib.widgets.reading import readable

LIBRARY = Path(course_lib.__file__).parent
PAGES = sorted(path for path in LIBRARY.rglob("*") if path.suffix in (".js", ".css"))


class Short(Explorer):
    """The least explorer.

    Nothing more is said of it where it cannot be drawn.
    """

    _esm = "export default { render() {} };"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.0, "2"),
        (-0.5, "−0.5"),
        (1 / 3, "0.333"),
        (0.0, "0"),
        (-0.0, "0"),
        (4e-5, "4.00e−05"),
        (2.5e7, "2.50e+07"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b" a", "␣a"),
        (b"\r\n\t", "␍↵⇥"),
        ("é们".encode(), "é们"),
        (b"\xe2\x98", "⟨E2 98⟩"),
        (b" \xe2\x98", "␣⟨E2 98⟩"),
        (b"ab" + b"\x95\xff" + "é".encode(), "ab⟨95 FF⟩é"),
        ("\u200b".encode(), "⟨E2 80 8B⟩"),
        (b"\x00", "⟨00⟩"),
        ("ி".encode(), "◌ி"),
        ("é".encode(), "é"),
        (b"", ""),
    ],
)
def test_bytes_can_be_read(data: bytes, text: str) -> None:
    assert readable(data) == text


def test_an_explorer_brings_the_sentence_for_when_it_is_lost(monkeypatch) -> None:
    displayed = []
    monkeypatch.setattr("course_lib.widgets.explorer.display", lambda data, raw: displayed.append(data))
    explorer = Short()
    explorer._ipython_display_()
    shown, lost = displayed
    assert shown == explorer._repr_mimebundle_()[0]
    assert "Run All Above Selected Cell</b>, then run this cell" in lost["text/html"]
    assert lost["text/plain"] == ""


def test_where_it_cannot_be_drawn_an_explorer_says_what_it_is() -> None:
    assert Short()._repr_mimebundle_()[0]["text/plain"] == (
        "The least explorer. It comes alive in JupyterLab or in an exported page, where it also says as text "
        "what it shows."
    )


@pytest.mark.parametrize("path", PAGES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_pages_name_no_outside_address(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    # A widget's module is imported from the page itself.
    text = text.replace("import(URL.createObjectURL(", "")
    assert not re.search(r"https?:|(?<!:)//[a-z0-9-]+\.[a-z]|@import|\bimport\b|url\(", text)


@pytest.mark.parametrize(
    ("variable", "colour"),
    [
        ("query", plots.QUERY),
        ("key", plots.KEY),
        ("value", plots.VALUE),
        ("attention", plots.ATTENTION),
        ("mlp", plots.MLP),
        ("token", plots.SKY),
    ],
)
def test_pages_take_the_courses_colours(variable: str, colour: str) -> None:
    style = "".join(path.read_text(encoding="utf-8") for path in PAGES if path.suffix == ".css")
    assert re.findall(rf"--cx-{variable}: ([^;]+);", style) == [colour.lower()]
    assert f"var(--cx-{variable})" in style


OWN = [*LIBRARY.glob("concepts/*/explorer.css"), LIBRARY / "widgets" / "microscope" / "page.css"]


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.parent.name)
def test_an_explorers_rules_win_over_the_frames_whichever_comes_first(path: Path) -> None:
    roots = re.findall(r"^(\.[^{]+) {", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert [re.sub(r"\.[a-z]+$", ".own", root) for root in roots] == [".cx .ex.own"]


def test_import_is_light() -> None:
    code = (
        "import sys, course_lib.widgets as w; dir(w); print({'torch', 'anywidget', 'numpy'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
