"""A notebook as one page that is alive without a kernel and without a network.

    jupyter nbconvert --to html notebooks/03_qkv.ipynb

By the defaults of the course (tools/jupyter) nbconvert finds our template `lab` before its own. Ours is the
same without what that loads from the net: `course_lib.widgets.alone` shows the widgets, formulas are MathML,
pictures lie within the page.
"""

import re
from html import escape
from typing import Any

from latex2mathml.converter import convert
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

from course_lib.widgets import alone


class Alone:
    """For the template: how it writes Markdown, and what shows the widgets.

    Args:
        options: those that nbconvert gives to any preprocessor.
    """

    def __init__(self, **options: Any) -> None: ...

    def __call__(
        self, notebook: NotebookNode, resources: dict[str, Any]
    ) -> tuple[NotebookNode, dict[str, Any]]:
        path = resources.get("metadata", {}).get("path", "")

        def markdown(cell: NotebookNode) -> str:
            attachments = cell.get("attachments", {})
            renderer = Renderer(escape=False, embed_images=True, path=path, attachments=attachments)
            return MarkdownWithMath(renderer=renderer).render(cell.source)

        resources["course"] = {"markdown": markdown, "loader": alone.loader()}
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = [output for output in cell.outputs if not is_closed_bar(output, notebook)]
        return notebook, resources


def is_closed_bar(output: NotebookNode, notebook: NotebookNode) -> bool:
    """Whether an output is a progress bar that was taken away: its text would stand there, at 0 %."""
    data = output.get("data", {})
    saved = notebook.metadata.get("widgets", {}).get(alone.STATE, {}).get("state", {})
    return (
        alone.VIEW in data
        and data[alone.VIEW]["model_id"] not in saved
        and "%|" in data.get("text/plain", "")
    )


class Renderer(IPythonRenderer):
    """nbconvert's HTML of Markdown, with formulas that browsers draw by themselves."""

    def _html_embed_images(self, html: str) -> str:
        # nbconvert's own closes <details>, which ends in a later block. Our pictures are written in Markdown.
        return html

    def inline_math(self, body: str) -> str:
        return formula(body, "inline")

    def block_math(self, body: str) -> str:
        return formula(body, "block")

    def latex_environment(self, name: str, body: str) -> str:
        return formula(f"\\begin{{{name}}}{body}\\end{{{name}}}", "block")


def formula(tex: str, display: str) -> str:
    r"""A formula as MathML; as it is written, where that cannot be said in MathML.

    Args:
        tex: without the dollars around it.
        display: "inline" or "block".
    Example:
        >>> formula("d", "inline")
        '<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><mrow><mi>d</mi></mrow></math>'
        >>> formula(r"\unheard{d}", "inline")
        '<code>\\unheard{d}</code>'
    """
    tex = tex.strip()
    try:
        found = convert(re.sub(r"\\(begin|end)\{aligned\}", r"\\\1{align*}", tex), display=display)
    except Exception:  # whatever the library says of what is no formula
        found = "\\"
    # A command or a mark that it does not know stands in its answer as it is.
    if re.search(r"\\|&(?!#x\w+;)", found):
        found = f"<code>{escape(tex)}</code>"
    return f'<span class="course-formula">{found}</span>' if display == "block" else found
