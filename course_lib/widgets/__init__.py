"""Explorers: small live figures in a notebook, driven by mouse or keyboard.

    AttentionStepper   attention from q, k and v, or from x on: an example small enough to check by hand
    TokenExplorer      how tokenizers cut a text, each word replayed merge by merge, 20 languages counted
    HeadsExplorer      all heads of a model on one sheet, one enlarged, any of them switched off
    GapExplorer        a token is hidden: what models put there, from one side, from both, by trying
    ClockExplorer      a recurrent network and a Transformer tick by tick: who waits for whom, and how long
    FlowExplorer       a whole model with a text running through it, down to the numbers of each part
    DepthExplorer      down the layers of a decoder: what each adds, what a lens reads, what goes without it
    PatchExplorer      a picture, a file's or one that is drawn, cut into tokens down to its numbers
    PositionsExplorer  how places reach a model, in five schemes: patterns, scores over distance, hands
    NextWord           a language model's next token, before and after temperature, top-k and top-p
    control            run a function again with each change of a slider or a text
    predict, outcome   commit to an answer, and see it beside the result; `predictions` counts those that held

How to write the next one (`attention_stepper` is the pattern):

1. Python decides. Subclass `explorer.Explorer`; compute everything that is shown, numbers and sentences
   alike, with floors 0 to 2, and put it into the one synced dictionary `state`. One dictionary means one
   message, so the page never draws half of an update, and a page exported without a kernel has all it needs.
   What stands in an order is sent as a list: a saved notebook sorts the keys of its dictionaries.
2. Each thing a reader may ask for is a method `on_<kind>(self, **fields)`. It checks its input and raises
   ValueError with one sentence; `Explorer` shows the sentence and keeps the last good state.
3. JavaScript displays. Write `<name>.js` beside the Python file with
   `export default { render({ model, el }) { ... } }`; the helpers of `explorer.js` are in scope, because
   `explorer.assets("<name>")` puts that file in front. Build the DOM once, then change text and attributes
   only. `frame()` gives the outer box, the message line and `ask(kind, fields)`, which says so when Python
   still computes or nobody answers.
4. Reachable by keyboard: native controls, or `grid()` for one tab stop and arrow keys. A label on every
   control, a second carrier beside each colour, and `describe()` in Python for the same content as text.
5. Tests: the state against the library in tests/test_widgets.py, both themes and the keyboard in
   tests/browser.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from course_lib.widgets.attention_stepper import AttentionStepper
    from course_lib.widgets.clock_explorer import ClockExplorer
    from course_lib.widgets.controls import control
    from course_lib.widgets.depth_explorer import DepthExplorer
    from course_lib.widgets.flow_explorer import FlowExplorer
    from course_lib.widgets.gap_explorer import Characters, GapExplorer
    from course_lib.widgets.heads_explorer import HeadsExplorer
    from course_lib.widgets.next_word import NextWord
    from course_lib.widgets.patch_explorer import PatchExplorer
    from course_lib.widgets.positions_explorer import PositionsExplorer
    from course_lib.widgets.prediction import outcome, predict, predictions
    from course_lib.widgets.token_explorer import TokenExplorer

__all__ = [
    "AttentionStepper",
    "Characters",
    "ClockExplorer",
    "DepthExplorer",
    "FlowExplorer",
    "GapExplorer",
    "HeadsExplorer",
    "NextWord",
    "PatchExplorer",
    "PositionsExplorer",
    "TokenExplorer",
    "control",
    "outcome",
    "predict",
    "predictions",
]

_HOMES = {
    "AttentionStepper": "attention_stepper",
    "Characters": "gap_explorer",
    "ClockExplorer": "clock_explorer",
    "DepthExplorer": "depth_explorer",
    "FlowExplorer": "flow_explorer",
    "GapExplorer": "gap_explorer",
    "HeadsExplorer": "heads_explorer",
    "NextWord": "next_word",
    "PatchExplorer": "patch_explorer",
    "PositionsExplorer": "positions_explorer",
    "TokenExplorer": "token_explorer",
    "control": "controls",
    "outcome": "prediction",
    "predict": "prediction",
    "predictions": "prediction",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"course_lib.widgets has no {name!r}; it has {', '.join(_HOMES)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
