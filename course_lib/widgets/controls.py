"""A function under control: it runs again with each change, and what it prints or draws stands below.

    @control(question=Text("What if?", continuous_update=False))
    def search(question):
        print(...)

Differs: from `ipywidgets.interact`, whose output is a widget of its own. Programs that run a notebook through
nbclient (nbconvert, web books) now and then wait for such a widget without end: 4 of 60 cells in one run.
"""

import html
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipywidgets import ValueWidget

Shown = Callable[..., Any]


def control(**controls: "ValueWidget") -> Callable[[Shown], Shown]:
    """Make a decorator that shows the controls and runs the function, now and after each change.

    Args:
        controls: for each argument of the function a widget with a value; its name is written beside it.
    """
    from IPython.display import display
    from ipywidgets import HTML, VBox

    def decorate(function: Shown) -> Shown:
        below = HTML()

        def run(_: Any = None) -> None:
            below.value = _shown_by(function, {name: widget.value for name, widget in controls.items()})

        for name, widget in controls.items():
            widget.description = widget.description or name.replace("_", " ")
            widget.observe(run, "value")
        run()
        display(VBox([*controls.values(), below]))
        return function

    return decorate


def _shown_by(function: Shown, arguments: dict[str, Any]) -> str:
    """What a function prints and draws, as HTML; an error in one line."""
    from IPython.utils.capture import capture_output

    said = ""
    with capture_output() as captured:
        try:
            function(**arguments)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
    drawn = [output.data.get("text/html", "") for output in captured.outputs]
    printed = html.escape(captured.stdout + said)
    return "".join([f"<pre style='white-space:pre-wrap'>{printed}</pre>" if printed else "", *drawn])
