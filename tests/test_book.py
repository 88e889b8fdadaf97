"""How notebooks that have run become pages of the book; the pages themselves are looked at by `make book`."""

import re

import executed
import make_book
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_lib.widgets.alone import STATE, VIEW


def sources(*cells: nbformat.NotebookNode) -> list[str]:
    return [cell.source for cell in make_book.waiting(cells)]


def test_what_follows_a_question_waits_up_to_the_next_heading() -> None:
    found = sources(
        new_markdown_cell("# Title\n\nHow many?"),
        new_code_cell('predict("many", {"one": 1, "two": 2})'),
        new_code_cell('outcome("many", 1)'),
        new_markdown_cell("One. And here?"),
        new_code_cell("predict(\n    'here', {'yes': True, 'no': False})"),
        new_markdown_cell("Yes.\n\n## Next\n\nGoes on."),
        new_code_cell("1 + 1"),
    )
    assert found == [
        "# Title\n\nHow many?",
        'predict("many", {"one": 1, "two": 2})',
        '<div class="course-waits" data-for="many">',
        'outcome("many", 1)',
        "One. And here?",
        "predict(\n    'here', {'yes': True, 'no': False})",
        '<div class="course-waits" data-for="here">',
        "Yes.\n\n</div></div>",
        "## Next\n\nGoes on.",
        "1 + 1",
        "",
    ]


def test_a_result_behind_the_next_heading_waits_there() -> None:
    found = sources(
        new_code_cell('predict("a", {"x": 1, "y": 2})'),
        new_markdown_cell("## Next"),
        new_code_cell("1 + 1"),
        new_code_cell('if True:\n    outcome("a", 1)'),
        new_markdown_cell("So it was."),
        new_markdown_cell("## Then"),
    )
    assert found[1:] == [
        '<div class="course-waits" data-for="a">',
        "\n\n</div>",
        "## Next",
        "1 + 1",
        '<div class="course-waits" data-for="a">',
        'if True:\n    outcome("a", 1)',
        "So it was.",
        "\n\n</div>",
        "## Then",
        "",
    ]


def test_what_is_open_at_the_end_is_closed() -> None:
    question = new_code_cell('predict("a", {"x": 1, "y": 2})')
    assert sources(question, new_code_cell("# no heading"))[-1] == "</div>"


def test_a_lesson_keeps_its_widgets_and_what_judges_can_be_linked_to(tmp_path) -> None:
    view = {"model_id": "w", "version_major": 2, "version_minor": 0}
    gone = {VIEW: {"model_id": "gone"}, "text/plain": "  0%| | 0/2"}
    outputs = [
        new_output("display_data", {VIEW: view, "text/plain": "W()"}),
        new_output("display_data", gone),
    ]
    cell = new_code_cell('verdict("residual-stream", found)', id="judged", outputs=outputs)
    notebook = new_notebook(cells=[new_markdown_cell("# Title"), cell])
    notebook.metadata["widgets"] = {STATE: {"state": {"w": {"state": {}}}}}
    nbformat.write(notebook, tmp_path / "a.ipynb")
    lesson = make_book.lesson(tmp_path / "a.ipynb")
    assert '<span id="cell-judged"></span>' in [cell.source for cell in lesson.cells]
    (shown,) = [output for cell in lesson.cells for output in cell.get("outputs", [])]
    assert '"model_id":"w"' in shown.data["text/html"]
    make_book.write(
        make_book.placed(lesson, "01_a.ipynb", "0:47 words", "00", "10 + 20"), tmp_path / "page.ipynb"
    )
    page = nbformat.read(tmp_path / "page.ipynb", as_version=4)
    assert page.cells[0].source.startswith("# Title\n")
    assert (
        "Lecture 0:47 words · after 00 · 10 minutes up to a place to stop, 20 behind it · "
        in page.cells[0].source
    )
    assert "widgets" not in page.metadata
    assert STATE in (tmp_path / f"page{make_book.WIDGETS}").read_text("utf-8")


@pytest.mark.parametrize(
    ("told", "links"),
    [
        ('<a href="../../../notebooks/03_qkv.ipynb#cell-id=x-run">', ["03_qkv#x-run"]),
        ('<a href="../../notebooks/01_tokens.ipynb">', ["01_tokens#"]),
        ('<a href="https://example.org/notebooks">', []),
    ],
)
def test_the_ledgers_links_are_found(told: str, links: list[str]) -> None:
    assert [f"{found[1]}#{found[2] or ''}" for found in make_book.CELL.finditer(told)] == links


@pytest.mark.parametrize(
    ("source", "is_folded"),
    [
        ("import torch\n\ntorch.set_num_threads(1)", True),
        ("from torch import nn\n\n\nclass Layer(nn.Module):\n    pass", False),
        ("import torch\n\n\ndef causal(model):\n    model.causal = True", False),
        ("causal = True\nimport torch", False),
    ],
)
def test_only_imports_are_folded_and_only_at_the_top(source: str, is_folded: bool, tmp_path) -> None:
    cells = [
        new_markdown_cell("# A (Shift+Enter runs a cell.)"),
        new_code_cell(source),
        new_code_cell(source),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "a.ipynb")
    title, first, second, _ = make_book.lesson(tmp_path / "a.ipynb").cells
    assert title.source == "# A"
    assert (first.metadata.get("tags") == ["hide-input"]) == is_folded
    assert "tags" not in second.metadata


def test_every_concept_of_the_readme_has_its_place() -> None:
    places = make_book.places()
    assert list(places) == sorted(path.stem for path in (make_book.ROOT / "notebooks").glob("*.ipynb"))
    numbers = [name[:2] for name in places]
    for number, (lecture, after, minutes) in zip(numbers, places.values(), strict=True):
        assert re.match(r"\d+:\d\d", lecture)
        assert re.fullmatch(r"\d+ \+ \d+", minutes)
        named = re.findall(r"\d\d", after)
        assert set(named) <= set(numbers[: numbers.index(number)])
        assert named or number == "00"
    assert make_book.BESIDE.sub(r"\1", "see [LICENSE](LICENSE), [a](b.md)") == "see LICENSE, [a](b.md)"


def test_a_page_leads_to_its_file_where_the_host_has_one(monkeypatch) -> None:
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    assert make_book.foot("run") == ""
    monkeypatch.setenv("GITHUB_REPOSITORY", "somebody/course")
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://host.example")
    for page, end in (
        ("notebooks/03_qkv", "/edit/main/notebooks/03_qkv.ipynb"),
        ("index", "/edit/main/book/index.ipynb"),
        ("run", "/edit/main/book/pages/run.md"),
        ("workshop/grading", "/edit/main/workshop/grading.md"),
        ("exercises/03_qkv/attention_by_hand", "/tree/main/course_lib/concepts/c03_qkv/tasks"),
    ):
        assert f'href="https://host.example/somebody/course{end}"' in make_book.foot(page)
        assert (make_book.ROOT / end.split("/main/")[1]).exists()
    made = make_book.foot("genindex")
    assert "Change this page" not in made
    assert "/issues/new?title=genindex" in made


def test_a_notebook_that_has_run_runs_again_only_when_something_changed(tmp_path, monkeypatch) -> None:
    path, runs = executed.ROOT / "notebooks" / "a.ipynb", []
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / executed.KEPT).write_text("shown")
    digests = ["one"]
    monkeypatch.setattr(executed, "FOLDER", tmp_path / "kept")
    monkeypatch.setattr(executed, "digest", lambda path: digests[-1])

    def run(path, folder):
        runs.append(path)
        (folder / executed.KEPT).write_text(f"run {len(runs)}")
        return executed.subprocess.CompletedProcess([], int(digests[-1] == "broken"), "said", "")

    monkeypatch.setattr(executed, "run", run)
    kept = executed.keep(path, folder)
    assert executed.executed(path) == kept
    assert (runs, kept.read_text()) == ([], "shown")
    digests.append("two")
    assert executed.executed(path).read_text() == "run 1"
    assert executed.executed(path).read_text() == "run 1"
    digests.append("broken")
    with pytest.raises(RuntimeError, match=r"a\.ipynb does not run:\s+said"):
        executed.executed(path)


def test_what_a_notebook_shows_depends_on_itself_and_the_library(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(executed, "ROOT", tmp_path)
    for name in ("course_lib/a.py", "notebooks/a.ipynb", "notebooks/b.ipynb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    path = tmp_path / "notebooks" / "a.ipynb"
    before = executed.digest(path)
    (tmp_path / "notebooks" / "b.ipynb").write_text("2")
    assert executed.digest(path) == before
    (tmp_path / "course_lib" / "a.py").write_text("2")
    assert executed.digest(path) != before
