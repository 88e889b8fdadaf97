"""The ledger in the book's dress: the pages that `course_lib.ledger` writes, as pages of Sphinx.

What they say comes from the ledger's own templates. Here headings become the book's, so that its sidebar
and search know them, their code is coloured, their links lead into the book, and each experiment begins with
what its docstring says.
"""

import html
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from course_lib import claims, ledger
from course_lib.ledger import EXPERIMENTS

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
STYLE = "ledger.css"
MAIN = re.compile(r"<main>\n(.*)</main>", re.DOTALL)
HEADING = re.compile(r'<h([12])(?: id="([^"]+)")?>(.*?)</h\1>')
CODE = re.compile(r'^<div class="wide" tabindex="0"><pre><code>(.*?)</code></pre></div>$', re.DOTALL | re.M)
CELL = re.compile(r'"[^"]*notebooks/(\w+)\.ipynb(?:#cell-id=([\w-]+))?"')
FENCE = "`````"
ASKS = "## What it asks\n"
COLOURS = """.course-ledger {
  --text: var(--pst-color-text-base);
  --page: var(--pst-color-background);
  --line: var(--pst-color-border);
  --link: var(--pst-color-link);
  --band: #d9f0e6;
  table { display: table; }
}
html[data-theme="dark"] .course-ledger { --band: #1f4a3b; }
"""


def anchor(cell: str) -> str:
    """Where a cell stands on its page."""
    return f"cell-{cell}"


def lay_ready(source: Path) -> None:
    """Write the pages into a folder of Sphinx's source: claims, lecture, and one for each experiment."""
    every = claims.load()
    with tempfile.TemporaryDirectory() as folder:
        ledger.write_pages(folder, ROOT / "notebooks")
        written = Path(folder)
        (source / EXPERIMENTS).mkdir()
        for name in ("claims", "lecture", *(f"{EXPERIMENTS}/{claim}" for claim in every)):
            page = as_page((written / f"{name}.html").read_text(encoding="utf-8"), "../" * name.count("/"))
            if name == "claims":
                page += _tree(sorted(every, key=lambda claim: ledger.seconds(every[claim].at)))
            elif name != "lecture":
                page = with_docstring(page, every[name.split("/")[1]])
            (source / f"{name}.md").write_text(page, encoding="utf-8")


def _tree(names: list[str]) -> str:
    """What the sidebar shows below the claims: a short name for each experiment."""
    lines = "\n".join(f"{name.replace('-', ' ')} <{EXPERIMENTS}/{name}>" for name in names)
    return f"\n```{{toctree}}\n:hidden:\n\n{lines}\n```\n"


def as_page(text: str, up: str) -> str:
    """One of the ledger's pages in Markdown: headings and code are the book's, the rest stays HTML.

    Args:
        text: the page.
        up: how to come from it to the book's top, such as "../".
    """
    found = MAIN.search(text)
    if found is None:
        raise ValueError(f"a page of the ledger has one <main>; got {text[:200]!r}")
    return "\n\n".join(_parts(CELL.sub(lambda cell: _address(cell, up), found[1]))) + "\n"


def _parts(body: str) -> Iterator[str]:
    end = 0
    for mark in sorted([*HEADING.finditer(body), *CODE.finditer(body)], key=re.Match.start):
        yield from _raw(body[end : mark.start()])
        end = mark.end()
        if mark.re is CODE:
            yield f"{FENCE}{{code-block}} python\n{html.unescape(mark[1])}\n{FENCE}"
            continue
        level, name, title = mark.groups()
        if name and name != re.sub(r"\W+", "-", title.lower()):  # else Sphinx gives it this name, too
            yield from _raw(f'<span id="{name}"></span>')
        yield f"{'#' * int(level)} {_markdown(title)}"
    yield from _raw(body[end:])


def _raw(body: str) -> Iterator[str]:
    if body.strip():
        yield f'{FENCE}{{raw}} html\n<div class="course-ledger">\n{body.strip()}\n</div>\n{FENCE}'


def _markdown(title: str) -> str:
    """A heading's HTML, which has text and links alone, in Markdown."""
    parts = re.split(r'<a href="([^"]+)">(.*?)</a>', title)
    for i in range(0, len(parts), 3):
        parts[i] = re.sub(r"([\\*_`$<\[])", r"\\\1", html.unescape(parts[i]))
        if i:
            parts[i - 2 : i] = [f"[{parts[i - 1]}]({html.unescape(parts[i - 2])})", ""]
    return "".join(parts)


def _address(cell: re.Match[str], up: str) -> str:
    return f'"{up}notebooks/{cell[1]}.html{f"#{anchor(cell[2])}" if cell[2] else ""}"'


def with_docstring(page: str, claim: claims.Claim) -> str:
    """The page of an experiment, before its first section what the function that measures says of itself."""
    if not claim.experiment:
        return page
    name = f"course_lib.concepts.c{claim.notebook}.experiments.{claim.experiment}"
    asks = f"{ASKS}\n```{{eval-rst}}\n.. autofunction:: {name}\n    :no-index:\n```\n\n"
    before, heading, after = page.partition("\n## ")
    return f"{before}\n{asks}{heading.lstrip()}{after}"


def setup(app: "Sphinx") -> dict[str, bool]:
    """The ledger's own style, for its parts of a page alone; the book has the colours."""

    def write(app: "Sphinx", error: Exception | None) -> None:
        if error is None:
            path = Path(app.outdir, "_static", STYLE)
            path.write_text(style(), encoding="utf-8")

    app.add_css_file(STYLE, priority=900)  # behind the book's
    app.connect("build-finished", write)
    return {"parallel_read_safe": True}


def style() -> str:
    """`ledger.css` for the ledger's parts of a page, in the colours of the theme."""
    text = (ROOT / "course_lib" / STYLE).read_text(encoding="utf-8")
    return f"{COLOURS}.course-ledger {{\n{text}}}\n"
