"""How a check's finding looks: as text, as HTML, and as the error that costs the points."""

import html
import re
import sys
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from course_lib.checks.compare import NOTHING
from course_lib.checks.kinds import Result
from course_lib.checks.values import equal, named

LONG = 600  # characters of a list or a text that a person reads; above it the beginning is shown
WHOLE, FEW = 20, 6  # entries of a dictionary that is shown whole, and of one that is longer
MANY_LINES = 14  # of inputs and results; so many are folded away in a notebook
CORNERS = 3  # numbers at each end of an axis, where not all are shown
WIDTH = 100  # of a line below a cell
SMALL = 64  # numbers of one array that a person reads; above it those at its corners are shown


class CheckFailed(AssertionError):
    """Raised by `check`. In a notebook it shows one line: the full report stands above it already."""

    def __init__(self, result: Result) -> None:
        super().__init__(as_text(result))
        self.result = result

    def _render_traceback_(self) -> list[str]:  # IPython asks for this instead of printing our stack
        name = f" ({self.result.misconception})" if self.result.misconception else ""
        return [f"{self.result.task.name}: not solved yet{name}."]


class NotWrittenYet(CheckFailed, NotImplementedError):
    """The learner's function is still the stub."""


def as_text(result: Result) -> str:
    """The report as plain text."""
    return "\n".join([without_marks(_headline(result)), *_lines(result)])


def as_html(result: Result) -> str:
    """The report as HTML. Colours come from JupyterLab's theme; words carry the meaning without them."""
    colour = "var(--jp-success-color1, #2e7d32)" if result.passed else "var(--jp-warn-color1, #b25000)"
    style = "margin: 0.5em 0 0; white-space: pre-wrap; font-family: var(--jp-code-font-family, monospace)"
    first, _, rest = "\n".join(_lines(result)).partition("\n\n")
    if result.passed or rest.count("\n") < MANY_LINES:
        first, rest = "\n".join(_lines(result)), ""
    body = f'<pre style="{style}">{html.escape(first)}</pre>' if first else ""
    if rest:
        numbers = f'<pre style="{style}">{html.escape(rest)}</pre>'
        body += f"<details><summary>The numbers</summary>{numbers}</details>"
    return (
        f'<div role="status" style="border-left: 4px solid {colour}; padding: 0.3em 0.8em">'
        f"<strong>{with_code(_headline(result))}</strong>{body}</div>"
    )


def as_markup(text: str) -> str:
    """Lines as HTML, as printed ones look; a long one goes on below, and no word is cut in two."""
    style = (
        "margin: 0; padding-left: var(--jp-code-padding, 5px); white-space: pre-wrap; word-break: normal; "
        "overflow-wrap: anywhere; font-family: var(--jp-code-font-family, monospace); "
        "font-size: var(--jp-code-font-size, 13px); line-height: var(--jp-code-line-height, 1.3)"
    )
    return f'<pre style="{style}">{html.escape(text)}</pre>'


def fitting(line: str) -> str:
    """A line for the text below a cell, in several where it is long: Jupyter would cut it within a word.

    Example:
        >>> print(fitting("    " + "a word " * 15))
            a word a word a word a word a word a word a word a word a word a word a word a word a word a
            word a word
    """
    indent = line[: len(line) - len(line.lstrip())]
    lines = textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_long_words=False)
    return "\n".join(lines)


def with_code(text: str) -> str:
    """A text as HTML; what stands between backticks is code.

    Example:
        >>> with_code("`a < b` is a list")
        '<code>a &lt; b</code> is a list'
    """
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))


def without_marks(text: str) -> str:
    """A text for a terminal: code is not marked.

    Example:
        >>> without_marks("`a < b` is a list")
        'a < b is a list'
    """
    return re.sub("`([^`]+)`", r"\1", text)


def listener() -> Callable[[str], None]:
    """What writes a text under this cell, at once. To be made before a check takes stdout away."""
    out = sys.stdout

    def hear(text: str) -> None:
        out.write(text)
        out.flush()

    return hear


def show(text: str, markup: str) -> None:
    """Display HTML in a notebook, print text elsewhere."""
    if in_notebook():
        from IPython.display import display

        display({"text/html": markup, "text/plain": text}, raw=True)
    else:
        print(text)  # noqa: T201 (a terminal has no other display)


def in_notebook() -> bool:
    """Whether IPython runs us: it then shows what is displayed, and asks errors how they want to look."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


def _headline(result: Result) -> str:
    if result.passed:
        return f"✓ {result.task.title}: right on all {result.n_cases} kinds of input."
    return f"✗ {result.task.title}: {result.problem}"


def _lines(result: Result) -> list[str]:
    lines = [result.detail] if result.detail else []
    if result.passed or result.not_written:
        return lines
    if result.case is not None:
        lines += ["", f"Input: {result.case.name}", *_listed(result.case.inputs)]
    if result.expected is not None and result.got is not None:
        names = [name for name in result.expected if "gradient" not in name or "gradient" in result.problem]
        expected, got = result.labels
        lines += ["", f"{expected}:", *_listed({n: result.expected[n] for n in names}, result.got)]
        came = {n: result.got[n] for n in names if n in result.got}
        lines += ["", f"{got}:", *_listed(came, result.expected)]
    if result.printed:
        lines += ["", "Your code printed:", result.printed]
    return lines


def _listed(values: Mapping[str, Any], others: Mapping[str, Any] | None = None) -> list[str]:
    """A line for each value. `others` are those of the same names with which they are compared."""
    lines = []
    for name, value in values.items():
        if not hasattr(value, "shape"):
            lines.append(f"  {name} = {_written(value)}")
            continue
        array = np.asarray(value.detach() if hasattr(value, "detach") else value)
        if array.shape == () and array.dtype != object:
            lines.append(f"  {name} = {array.item()}")
            continue
        if array.dtype == object:
            lines.append(f"  {name} = {_written(array.item(), _opened((others or {}).get(name)))}")
            continue
        head = f"  {name} {array.shape}"
        numbers = np.array2string(
            array,
            precision=4,
            suppress_small=True,
            threshold=SMALL,
            edgeitems=CORNERS if array.ndim < 3 else 1,
            prefix=" " * (len(head) + 3),
        )
        lines.append(f"{head} = {numbers}")
    return lines


def _opened(box: Any) -> Any:
    """What stands in a box (see `values.boxed`); None of anything else."""
    return box.item() if isinstance(box, np.ndarray) and box.shape == () else None


def _written(value: Any, other: Any = None) -> str:
    """A value as a person reads it; of a long dictionary a few entries, if it can be those that differ."""
    if not isinstance(value, dict) or len(value) <= (FEW if isinstance(other, dict) else WHOLE):
        return named(value, LONG)
    differ = [
        key for key in value if isinstance(other, dict) and not equal(value[key], other.get(key, NOTHING))
    ]
    chosen = differ or list(value)
    text = named({key: value[key] for key in chosen[:FEW]}, LONG)
    more = f" and {len(chosen) - FEW} more" if len(chosen) > FEW else ""
    return f"{text}{more}" + (f" (what differs, of {len(value)} entries)" if differ else "")
