"""How Sphinx makes the book of the pages that tools/make_book.py has laid ready."""

import sys
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from make_book import WIDGETS, foot, places  # noqa: E402

from course_lib.export import formula  # noqa: E402

project = "Transformers, one experiment per claim"
author = "the course's founders"
html_title = project
extensions = ["myst_nb", "book_ledger", "book_reference"]
exclude_patterns = ["README.md"]  # parts of it are pages

# The pages have run: see tools/executed.py.
nb_execution_mode = "off"
nb_merge_streams = True
nb_code_prompt_show = "Set-up"
nb_code_prompt_hide = "Set-up"
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 4
myst_heading_slug_func = "make_book.slug"  # links name headings as JupyterLab does

html_theme = "sphinx_book_theme"
html_static_path = ["static"]
html_css_files = ["book.css"]
html_js_files = ["book.js"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_copyright = False
html_theme_options = {
    "show_toc_level": 2,
    "show_navbar_depth": 1,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "navigation_with_keys": False,
}
html_sidebars = {"index": []}
html_context = {"default_mode": "auto"}


def inline(translator: HTML5Translator, node: nodes.math) -> None:
    """A formula within a line."""
    translator.body.append(formula(node.astext(), "inline"))
    raise nodes.SkipNode


def block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """A formula of its own."""
    translator.body.append(formula(node.astext(), "block"))
    raise nodes.SkipNode


def add_loader(app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """What shows explorers and predictions, at the end of a page that has some."""
    widgets = Path(app.srcdir, page).with_suffix(WIDGETS)
    if widgets.exists():
        context["body"] += widgets.read_text(encoding="utf-8")


def say_minutes(app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """How long the lessons before and after a page take, beside their titles."""
    minutes = {name: place[-1] for name, place in places().items()}
    for beside in filter(None, (context.get("prev"), context.get("next"))):
        name = Path(beside["link"]).stem
        if name in minutes:
            beside["title"] += f" · {minutes[name]} minutes"


def add_foot(app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """Where to change a page, and where to say what is wrong with it."""
    if doctree is not None:
        context["body"] += foot(page)


def setup(app: Sphinx) -> None:
    """Formulas without a script, and the loader."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    for add in (say_minutes, add_foot, add_loader):
        app.connect("html-page-context", add)
