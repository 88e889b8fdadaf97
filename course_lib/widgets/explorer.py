"""What every explorer shares: the one synced state, the questions of the page and their answers."""

import base64
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from IPython.display import display
from numpy.typing import ArrayLike

# JupyterLab saves with a notebook what its kernel knows at that moment. An explorer that was not saved is
# "Error displaying widget: model not found" when the notebook is opened again. This stands in its place.
LOST = """<p class="cx-forgotten" hidden>Python no longer knows this explorer. To have it back, choose
<b>Run › Run All Above Selected Cell</b>, then run this cell.</p>
<style>
.jp-OutputArea .cx-forgotten { display: block; }
.jp-OutputArea:has(.cx-forgotten) .jp-OutputArea-output.jupyter-widgets { display: none; }
.jp-OutputArea:not(:has(.jp-OutputArea-output.jupyter-widgets)) .jp-OutputArea-child:has(.cx-forgotten) {
  display: none;
}
</style>"""
ALIVE = "It comes alive in JupyterLab or in an exported page, where it also says as text what it shows."


def assets(module: str, *parts: str, shared: Sequence[str] = ()) -> dict[str, str]:
    """The JavaScript module and the style sheet of one explorer: the frame's files, then its own.

    A widget's module reaches the page as one text that cannot import its neighbours; joining files is all the
    building there is. On a page with several explorers one frame's rules come after another's own, so an
    explorer's rules name its frame, too (`.cx .ex.clock`), and then win in any order.

    Args:
        module: the explorer's `__file__`.
        parts: its files, without `.js` and `.css`, in their order; they stand beside it. Default: one, of the
            same name.
        shared: files that stand beside the frame's, and come after them.
    """
    here = Path(__file__)
    own = [Path(module).with_name(part) for part in parts or [Path(module).stem]]
    joined = {}
    for kind, ending in {"esm": ".js", "css": ".css"}.items():
        files = [part.with_suffix(ending) for part in (here, *map(here.with_name, shared), *own)]
        joined[kind] = "\n".join(file.read_text(encoding="utf-8") for file in files if file.exists())
    return joined


class Explorer(anywidget.AnyWidget):
    """A widget whose page only displays `state` and asks Python for changes.

    The page sends `{"request": id, "kind": "edit", ...}`; `on_edit` is called with the other fields. The
    new state carries `answered: id`, by which the page knows that somebody is there, and `error`: one
    sentence or "".
    """

    state = traitlets.Dict().tag(sync=True)
    # A question that must not overtake choices which the page still holds back: a message would.
    asked = traitlets.Dict().tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self.on_msg(self._receive)

    def show_state(self, **changes: Any) -> None:
        """Put changes into `state` in one message to the page."""
        self.state = {**self.state, **changes}

    def _ipython_display_(self) -> None:
        display(self._repr_mimebundle_()[0], raw=True)
        display({"text/html": LOST, "text/plain": ""}, raw=True)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(**kwargs)
        # Where no widget can be drawn (a terminal, a page without JavaScript), this stands in.
        if isinstance(bundle, tuple):
            summary, *_ = str(inspect.getdoc(type(self))).splitlines()
            bundle[0]["text/plain"] = f"{summary} {ALIVE}"
        return bundle

    @traitlets.observe("asked")
    def _receive_asked(self, change: Any) -> None:
        self._receive(self, change["new"])

    def _receive(self, _: Any, content: Any, buffers: Any = None) -> None:
        if not isinstance(content, Mapping) or not isinstance(content.get("request"), str):
            return
        fields = {name: value for name, value in content.items() if name not in ("request", "kind")}
        kind = content.get("kind")
        # The page must not reach any other method of the widget.
        handler = getattr(self, f"on_{kind}", None) if isinstance(kind, str) and kind.isalpha() else None
        answer: dict[str, Any] = {"answered": content["request"], "error": ""}
        with self.hold_sync():
            try:
                if handler is None or kind == "msg":
                    raise ValueError(f"{type(self).__name__} cannot answer {kind!r}.")
                handler(**fields)
            except ValueError as error:
                answer["error"] = str(error)
            except Exception as error:
                # The page would wait for ever; the traceback still goes to the log.
                answer["error"] = f"Python stopped with {type(error).__name__}: {error}"
                raise
            finally:
                self.show_state(**answer)


def packed(numbers: ArrayLike, kind: type[np.number]) -> str:
    """Numbers as bytes in base64: shorter than a list, and JSON for a page that is exported.

    Example:
        >>> packed([1, 256], np.uint16)
        'AQAAAQ=='
    """
    return base64.b64encode(np.asarray(numbers).astype(np.dtype(kind).newbyteorder("<")).tobytes()).decode()


def format_number(value: float) -> str:
    """At most three decimals, no trailing zeros, a true minus sign; powers of ten where that says too little.

    Example:
        >>> format_number(-0.5), format_number(1 / 3), format_number(2e-7)
        ('−0.5', '0.333', '2.00e−07')
    """
    if abs(value) < 1e-12:
        # What rounding leaves of a difference of equal numbers, and a negative zero.
        return "0"
    if not 5e-4 <= abs(value) < 1e6:
        text = f"{value:.2e}"
    else:
        text = f"{value:.3f}".rstrip("0").rstrip(".")
    return text.replace("-", "−")
