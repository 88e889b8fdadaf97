"""The book: the course as a website, alive without a server and without a network.

    python tools/make_book.py                 # build/book/index.html
    python tools/make_book.py --with-model    # 98 MB more: the microscope's page then reads any text

Its pages are the notebooks after they have run (`tools/executed.py`), the exercises, parts of the README and
the ledger's pages. Sphinx writes them as book/conf.py says; tests/book_pages.py looks at each in a browser.
"""

import argparse
import ast
import html
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import book_broken
import book_glossary
import book_ledger
import book_recordings
import book_reference
import executed
import make_slides
import nbformat
import programs
from nbformat import NotebookNode

from course_lib import claims, pretrained
from course_lib.export import is_closed_bar
from course_lib.widgets import alone, microscope

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
SOURCE = ROOT / "build" / "book_source"
BUILD = ROOT / "build" / "book"
DOCTREES = ROOT / "build" / "doctrees"  # only Sphinx reads them
SLIDES = "slides"  # the folder of the decks
WIDGETS = ".widgets"  # what stands at the end of a page of this name
HEADING = re.compile(r"^#{1,6} ", re.MULTILINE)
QUESTION, OUTCOME = (
    re.compile(rf"^ *{name}\(\s*['\"]([^'\"]+)", re.MULTILINE) for name in ("predict", "outcome")
)
# Imports, and what is loaded; not what a reader shall read. What only who runs a notebook needs to know.
TRIED = re.compile(r"\btry_it\(")
CHECKED = "What the check says of it"
SET_UP = re.compile(r"(from|import) (?!.*^(def|class) )", re.MULTILINE | re.DOTALL)
RUNNING = re.compile(r" *\(Shift\+Enter [^)]*\)")
# README's table of the concepts; its links to what is no page.
CONCEPT = re.compile(r"^\| `(\d\d_\w+)` \| ([^|]+) \| ([^|]*?) ?\| ([^|]+) \|$", re.MULTILINE)
BESIDE = re.compile(
    r"\[([\w.-]+)\]\((?:\.\./)?(?:LICENSE|CONTRIBUTING|CHANGELOG|README|Containerfile)[^)]*\)"
)


def slug(title: str) -> str:
    """The anchor of a heading, as JupyterLab names it.

    Example:
        >>> slug("Queries, keys and values")
        'Queries,-keys-and-values'
    """
    return title.replace(" ", "-")


# ------------------------------------------------------------------------------------------------- the pages


def lesson(path: Path) -> NotebookNode:
    """A notebook that has run, as the book shows it; its verdicts can be linked to."""
    notebook = nbformat.read(path, as_version=4)
    judging = {cell for _, cell in claims.judging_cells(path)}
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    cells = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [alive(output) for output in cell.outputs if not is_closed_bar(output, notebook)]
            if cell is first and SET_UP.match(cell.source) and not cell.outputs:
                cell.metadata["tags"] = ["hide-input"]  # myst-nb folds it
            elif TRIED.search(cell.source) and cell.outputs:
                cell.metadata["tags"] = ["hide-output"]
                cell.metadata["mystnb"] = {f"code_prompt_{act}": CHECKED for act in ("show", "hide")}
            elif only_asks(cell.source):
                cell.metadata["tags"] = ["remove-input"]  # the question itself stands there
        else:
            cell.source = RUNNING.sub("", cell.source)
        place = text(f'<span id="{book_ledger.anchor(cell.id)}"></span>')
        cells += [place, cell] if cell.id in judging else [cell]
    notebook.cells = list(waiting(cells))
    return notebook


def only_asks(code: str) -> bool:
    """Whether code does nothing but ask for a prediction.

    Example:
        >>> only_asks('predict("moved", {"yes": 1, "no": 0})'), only_asks('n = 1; predict("moved", {})')
        (True, False)
    """
    called = [
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func)
        for node in ast.parse(code).body
    ]
    return set(called) == {"predict"}


def alive(output: NotebookNode) -> NotebookNode:
    """An output; a widget as what the page's loader looks for."""
    if alone.VIEW in output.get("data", {}):
        output.data = {"text/html": alone.data(alone.VIEW, output.data[alone.VIEW])}
    return output


def waiting(cells: Sequence[NotebookNode]) -> Iterator[NotebookNode]:
    """The cells; what follows a question, up to the next heading, waits for an answer: the page hides it.

    Where the result comes only behind that heading, it waits there, with what follows it.
    """
    n_open = 0
    asked: set[str] = set()  # questions whose result has not come yet
    late: set[str] = set()  # those of an earlier section
    for cell in cells:
        code = cell.source if cell.cell_type == "code" else ""
        for name in OUTCOME.findall(code):
            if name in late:
                yield text(waits(name))
                n_open += 1
            asked.discard(name)
            late.discard(name)
        heading = HEADING.search(cell.source) if n_open and not code else None
        if heading is None:
            yield cell
        else:
            comment = cell.source[: heading.start()].strip()
            yield text(f"{comment}\n\n{'</div>' * n_open}")
            yield text(cell.source[heading.start() :], attachments=cell.get("attachments", {}))
            n_open, asked, late = 0, set(), late | asked
        for name in QUESTION.findall(code):
            yield text(waits(name))
            n_open += 1
            asked.add(name)
    yield text("</div>" * n_open)


def waits(name: str) -> str:
    """Where what waits for an answer begins."""
    return f'<div class="course-waits" data-for="{name}">'


def text(source: str, **more: object) -> NotebookNode:
    """A cell of text."""
    return nbformat.v4.new_markdown_cell(source, **more)


def placed(notebook: NotebookNode, file: str, lecture: str, after: str, minutes: str) -> NotebookNode:
    """A lesson that says below its title where it belongs and how long it takes; its exercises follow it."""
    title, _, rest = notebook.cells[0].source.partition("\n")
    first, behind = minutes.split(" + ")
    parts = [
        f"Lecture {lecture}",
        f"after {after}" if after else "the first one",
        f"{first} minutes up to a place to stop, {behind} behind it",
        "[run it yourself](../run.md): two commands",
        f'<a href="{file}" download>the notebook</a>',
        f'<a href="../{SLIDES}/{Path(file).stem}.html">slides</a>',
    ]
    line = " · ".join(parts)
    exercises = f"```{{toctree}}\n:hidden:\n:glob:\n\n../exercises/{Path(file).stem}/*\n```"
    place = f"<div class='course-place'>\n\n{line}\n\n</div>"
    notebook.cells[0].source = "\n\n".join((title, exercises, place, rest))
    return notebook


def places() -> dict[str, tuple[str, str, str]]:
    """Of each lesson: its place in the lecture, the lessons before it, its minutes."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return {name: (lecture, after, minutes) for name, lecture, after, minutes in CONCEPT.findall(readme)}


def written_in(page: str) -> Path | None:
    """The file that a page comes from; of exercises the folder of their tasks; None if it has no file."""
    folder = page.rpartition("/")[0]
    if folder.startswith("exercises/"):
        return ROOT / "course_lib" / "concepts" / f"c{folder.removeprefix('exercises/')}" / "tasks"
    files = (
        ROOT / f"{page}.ipynb",
        ROOT / f"{page}.md",
        BOOK / f"{page}.ipynb",
        BOOK / "pages" / f"{page}.md",
    )
    return next((path for path in files if path.exists()), None)


def foot(page: str) -> str:
    """Where to change a page and to say what is wrong with it, if the host that builds the book tells it."""
    repository = os.environ.get("GITHUB_REPOSITORY")
    if not repository:
        return ""
    address = f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{repository}"
    links = {"Something wrong here? Say it": f"{address}/issues/new?title={quote(page, safe='')}"}
    path = written_in(page)
    if path is not None:
        act = "edit" if path.is_file() else "tree"
        links["Change this page"] = f"{address}/{act}/main/{path.relative_to(ROOT).as_posix()}"
    told = " · ".join(f'<a href="{html.escape(link)}">{text}</a>' for text, link in links.items())
    return f'<p class="course-place">{told}</p>'


# ------------------------------------------------------------------------------------------------ the folders


def lay_ready() -> None:
    """Put all pages where Sphinx finds them; notebooks that have not run, run now."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.copytree(BOOK / "pages", SOURCE)
    for path in SOURCE.glob("*.md"):
        path.write_text(path.read_text(encoding="utf-8").replace("](../../", "]("), encoding="utf-8")
    shutil.copytree(ROOT / "notebooks" / "images", SOURCE / "notebooks" / "images")
    (SOURCE / "workshop").mkdir()
    for name in ("README.md", "workshop/grading.md"):
        told = (ROOT / name).read_text(encoding="utf-8")
        (SOURCE / name).write_text(BESIDE.sub(r"\1", told), encoding="utf-8")
    for path in sorted((ROOT / "exercises").glob("*/*.ipynb")):
        write(nbformat.read(path, as_version=4), SOURCE / path.relative_to(ROOT))
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    *lessons, front, gallery = executed.all_executed(
        [*notebooks, BOOK / "index.ipynb", BOOK / "explorers.ipynb"]
    )
    for path in lessons:
        write(placed(lesson(path), path.name, *places()[path.stem]), SOURCE / "notebooks" / path.name)
    for path in (front, gallery):
        write(lesson(path), SOURCE / path.name)
    for pages in (book_broken, book_glossary, book_ledger, book_reference):
        pages.lay_ready(SOURCE)


def write(notebook: NotebookNode, path: Path) -> None:
    """A page, and beside it the state of its widgets. A line of its code may begin with a "!"."""
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    path.parent.mkdir(parents=True, exist_ok=True)
    state = notebook.metadata.pop("widgets", {}).get(alone.STATE)
    if state:
        keep_alive(state, path)
    nbformat.write(notebook, path)


def keep_alive(state: dict[str, Any], page: Path) -> None:
    """Lay beside a page what stands at its end: the state of its widgets, and what shows them."""
    up = f"{Path(os.path.relpath(SOURCE, page.parent)).as_posix()}/"
    end = book_recordings.beside(up) + alone.data(alone.STATE, state) + alone.loader()
    page.with_suffix(WIDGETS).write_text(end, encoding="utf-8")


def main() -> None:
    """Write the pages, and look at them."""
    parser = argparse.ArgumentParser(description="Write the book, and look at each page.")
    parser.add_argument("--with-model", action="store_true", help="put the chat model beside the microscope")
    model = pretrained.smollm2_path() if parser.parse_args().with_model else None
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    lay_ready()
    shutil.rmtree(BUILD, ignore_errors=True)
    sphinx = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-d", str(DOCTREES)]
    if subprocess.run([*sphinx, "-c", str(BOOK), str(SOURCE), str(BUILD)]).returncode != 0:
        sys.exit("Sphinx gives the reason above; its line numbers count cells.")
    book_recordings.write(BUILD)
    (BUILD / "microscope.html").write_text(microscope.page(model), encoding="utf-8")
    if model is not None:
        shutil.copy(model, BUILD)
    make_slides.write(BUILD / SLIDES, make_slides.decks())
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(path, BUILD / "notebooks")  # as it is offered below its title: without outputs
    print(BUILD / "index.html", flush=True)
    if programs.missing():
        programs.install()
    looks = [sys.executable, "-m", "pytest", "-q", str(ROOT / "tests" / "book_pages.py")]
    sys.exit(subprocess.run(looks, cwd=ROOT).returncode)


if __name__ == "__main__":
    main()
