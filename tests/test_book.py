"""How notebooks that have run become pages of the book; the pages themselves are looked at by `make book`."""

import ast
import json
import re

import book_broken
import book_glossary
import book_ledger
import book_recordings
import book_reference
import executed
import make_book
import nbformat
import pytest
import store_broken
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_lib import attention, claims, maths
from course_lib.checks import find_task
from course_lib.widgets.alone import STATE, VIEW
from course_lib.widgets.microscope import recordings


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
    assert [f"{found[1]}#{found[2] or ''}" for found in book_ledger.CELL.finditer(told)] == links


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


DOCSTRING = """How far *he* is from |m| * 2, see `softmax` and `a b`s.

    A = softmax(q k^T)      (Vaswani et al. 2017, equation 1)

1. First
   goes on.
2. Second.

Args:
    x: a number.
    low, high: its ends,
        both of them.
Returns: what `x` is.
Raises: ValueError: none.
Does not show: what it
    cannot.
Example:
    >>> 1 + 1
    2

Goes on."""
RST = r"""How far *he* is from \|m\| \* 2, see :py:obj:`softmax <course_lib.maths.softmax>` and ``a b``\ s.

.. code-block:: text

    A = softmax(q k^T)      (Vaswani et al. 2017, equation 1)

1. First
   goes on.
2. Second.

Args:
    x: a number.
    low, high: its ends,
        both of them.

:Returns: what ``x`` is.

:raises ValueError: none.

:Does not show: what it
    cannot.

Example:
    >>> 1 + 1
    2

Goes on."""


def test_a_docstring_of_ours_becomes_fields_code_and_links() -> None:
    found = "\n".join(book_reference.as_rst(DOCSTRING.split("\n"), maths.__name__))
    assert re.sub(r"\n{3,}", "\n\n", found).strip() == RST


def test_all_that_docstrings_call_a_section_is_one() -> None:
    unknown = set()
    for path in (make_book.ROOT / "course_lib").rglob("*.py"):
        if book_reference.NO_PAGE & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
                continue
            # A short label, and all below it set in.
            said = ast.get_docstring(node) or ""
            labels = re.findall(r"^([A-Z][a-z]+(?: \w+){0,2}):\n    \S", said, re.MULTILINE)
            unknown |= {label for label in labels if not book_reference.FIELD.match(f"{label}:")}
    assert unknown == {"Args", "Attributes"}  # napoleon's own


def test_a_name_is_that_of_the_module_which_it_comes_from() -> None:
    whole = book_reference.whole_name
    assert whole("query_positions", attention.__name__) == "course_lib.positions.query_positions"
    assert whole("KVCache.append", "course_lib.attention") == "course_lib.attention.KVCache.append"
    assert whole("attention", "course_lib.maths") == "course_lib.attention"
    assert whole("Tensor", "course_lib.attention") == whole("no such name", "course_lib.attention") == ""


def test_every_public_module_has_its_place_in_the_order_of_the_imports(tmp_path) -> None:
    pages = book_reference.pages()
    shown = [module for modules in pages.values() for module in modules]
    assert len(shown) == len(set(shown))
    public = {
        book_reference.dotted(path)
        for path in (make_book.ROOT / "course_lib").rglob("*.py")
        if not book_reference.NO_PAGE & set(path.parts)
    }
    assert public - set(shown) == {"course_lib", "course_lib.concepts"}
    names = list(pages)
    assert names.index("maths") < names.index("attention") < names.index("decoder") < names.index("c03_qkv")
    book_reference.lay_ready(tmp_path)
    assert {path.stem for path in (tmp_path / "reference").iterdir()} == {*names, "index"}
    assert ".. automodule:: course_lib.attention\n" in (tmp_path / "reference" / "attention.md").read_text()


LEDGERS = """<html>
<main>
<h1>A head_1 looks at &lt;code&gt; &amp; more</h1>
<p><a href="../claims.html#a">found</a> <a href="../../../notebooks/03_qkv.ipynb#cell-id=x-run">there</a>
</p><h2>Runs</h2>
<p>one</p>
<h2 id="aside">Asides at <a href="https://example.org/&t=1">0:47</a></h2>
<h2 id="the-code">The code</h2>
<div class="wide" tabindex="0"><pre><code>if 1 &lt; 2:

    &#34;yes&#34;</code></pre></div>
</main>
</html>"""


def test_a_page_of_the_ledger_becomes_one_of_the_book() -> None:
    page = book_ledger.as_page(LEDGERS, "../")
    assert [line for line in page.split("\n") if line.startswith("#")] == [
        r"# A head\_1 looks at \<code> & more",
        "## Runs",
        "## Asides at [0:47](https://example.org/&t=1)",
        "## The code",
    ]
    assert 'href="../notebooks/03_qkv.html#cell-x-run"' in page
    assert 'href="../claims.html#a"' in page
    assert page.index('<span id="aside"></span>') < page.index("## Asides")
    assert 'id="the-code"' not in page
    assert '{code-block} python\nif 1 < 2:\n\n    "yes"\n`````' in page
    with pytest.raises(ValueError, match="has one <main>; got '<p>'"):
        book_ledger.as_page("<p>", "")


def test_each_experiment_says_first_what_its_function_says(tmp_path) -> None:
    book_ledger.lay_ready(tmp_path)
    every = claims.load()
    assert {path.stem for path in (tmp_path / "experiments").iterdir()} == set(every)
    claim = next(claim for claim in every.values() if claim.experiment and claim.evidence)
    page = (tmp_path / "experiments" / f"{claim.id}.md").read_text(encoding="utf-8")
    name = f"course_lib.concepts.c{claim.notebook}.experiments.{claim.experiment}"
    titles = re.findall("^## (.+)$", page, re.MULTILINE)
    assert titles[0] == "What it asks"
    assert "The code" in titles
    assert f".. autofunction:: {name}" in page.split("\n## ")[1]
    tree = (tmp_path / "claims.md").read_text(encoding="utf-8").split("{toctree}")[1]
    assert sorted(re.findall(r"<experiments/(.+)>", tree)) == sorted(every)


def test_the_ledgers_style_keeps_to_the_ledgers_parts() -> None:
    colours, _, rest = book_ledger.style().rpartition("html[data-theme")
    assert re.findall(r"^(\S[^{]*) \{", colours, re.MULTILINE) == [".course-ledger"]
    assert rest.count("{") == rest.count("}")
    assert ".course-ledger {\n/* The ledger" in rest


def test_the_glossary_has_each_term_once_and_a_heading_for_each() -> None:
    terms = book_glossary.terms()
    names = [term.term.lower() for term in terms]
    assert len(names) == len(set(names)) > 60
    headings = {
        path.stem: set(re.findall(r"^#{1,4} (.+)$", "\n".join(cell.source for cell in cells), re.MULTILINE))
        for path in (make_book.ROOT / "notebooks").glob("*.ipynb")
        if (cells := [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"])
    }
    for term in terms:
        lesson, heading = term.lesson.split("#", 1)
        assert heading in headings[lesson], term.term
    assert all(term.says.endswith(".") for term in terms)


def test_the_glossary_has_every_row_of_the_readmes_other_names(tmp_path) -> None:
    (tmp_path / "glossary.md").write_text("# Glossary\n\nthe table", encoding="utf-8")
    book_glossary.lay_ready(tmp_path)
    page = (tmp_path / "glossary.md").read_text(encoding="utf-8")
    for ours, elsewhere in book_glossary.other_names().items():
        assert f"In code: {ours}; elsewhere: {elsewhere}." in page
    assert page.endswith("the table")
    with pytest.raises(ValueError, match=r"README's table has 'no_such'; got \[\]"):
        book_glossary.row_of("no_such")


def test_every_mistake_of_the_parts_has_spoken() -> None:
    stored = json.loads(store_broken.STORED.read_text(encoding="utf-8"))
    assert list(stored) == list(store_broken.PARTS)
    for part, found in stored.items():
        assert found["digest"] == store_broken.digest(part), "run tools/store_broken.py"
        known = [each.name for each in find_task(store_broken.PARTS[part].task).misconceptions]
        assert list(found["mistakes"]) == known


def test_a_broken_model_says_what_is_stored(smollm2) -> None:
    model, tokenizer = smollm2
    found = json.loads(store_broken.STORED.read_text(encoding="utf-8"))["cache"]["mistakes"]
    broken = find_task(store_broken.PARTS["cache"].task).misconceptions[0]
    parts = store_broken.library_parts(tokenizer) | {"cache": broken.wrong}
    assert store_broken.said(model, tokenizer, parts, drawn=False) == found[broken.name]


def test_the_gallery_shows_all_that_changes(tmp_path) -> None:
    book_broken.lay_ready(tmp_path)
    page = (tmp_path / "broken.md").read_text(encoding="utf-8")
    stored = json.loads(store_broken.STORED.read_text(encoding="utf-8"))
    assert page.count("\n## ") == len(stored)
    for found in stored.values():
        for name, each in found["mistakes"].items():
            assert (book_broken.said(each) if each.get("says") != found["sound"] else name) in page


def test_every_explorer_is_in_the_gallery() -> None:
    gallery = nbformat.read(make_book.BOOK / "explorers.ipynb", as_version=4)
    code = "\n".join(cell.source for cell in gallery.cells if cell.cell_type == "code")
    own = [path.parent.name for path in (make_book.ROOT / "course_lib" / "concepts").glob("*/explorer.py")]
    assert re.findall(r"from course_lib\.concepts\.(\w+)\.explorer import", code) == sorted(own)
    assert "import Microscope" in code


def test_each_recording_of_the_microscope_is_a_script_that_pages_find(tmp_path) -> None:
    book_recordings.write(tmp_path)
    said = book_recordings.beside("../")
    files = json.loads(
        re.findall(r'<script type="application/json" id="course-recordings">(.+)</script>', said)[0]
    )
    assert list(files) == [each["text"] for each in recordings()]
    for recording, file in zip(recordings(), files.values(), strict=True):
        told = (tmp_path / "notebooks" / file).resolve().read_text(encoding="utf-8")
        name, _, value = told.removeprefix("(globalThis.courseRecordings ??= {})[").partition("] = ")
        assert json.loads(name) == recording["text"]
        assert json.loads(value.removesuffix(";\n")) == recording
