"""What stands live in a notebook: predictions, controls, and the frame of every explorer.

    predict, outcome   commit to an answer, and see it beside the result; `predictions` counts those that held
    at_hand            a real model; where it is not installed, a sentence, and the notebook goes on
    control            run a function again with each change of a slider or a text
    explorer           the frame: one state, questions of the page and their answers
    alone              all of these on a page that has no kernel
    reading            how explorers read a text, and write what a model would say next
    microscope         the explorer that several lessons use, in files of its own

A concept's explorer is a small live figure, driven by mouse or keyboard: `explorer.py`, `explorer.js` and
`explorer.css` in its folder. How to write the next one (that of `c08_rnn_comparison` is the shortest):

1. Figure first: one computed sentence, which is headline and control at once, above a figure of one height;
   choices on top in one row, the manual folded. `Instrument` of the frame's `explorer.js` builds that page.
   Not above 620 pixels at 1,000 wide, nothing beside the page at 320; no text below 12 pixels.
2. Python is the judge of every number. What it computes stands in the one synced dictionary `state`: one
   message, so the page never draws half of an update, and a saved notebook has all it needs. What stands in
   an order is sent as a list: a saved notebook sorts the keys of its dictionaries. The first line of the
   class's docstring says in one sentence what there is to see: it stands where no widget can be drawn.
3. Each thing a reader may ask for is a method `on_<kind>(self, **fields)`. It checks its input and raises
   ValueError with one sentence; `Explorer` shows the sentence and keeps the last good state.
4. Where no kernel is there, the page answers by itself: `frame({ ..., answers })` has a function of the same
   name for each kind that JavaScript can answer, and tests compare it with Python's. What a page computes
   anyway, Python need not send.
5. `explorer.js` ends with `export default { render };`, for its function `render({ model, el })`. The helpers
   of the frame are in scope, because `assets(__file__, ...)` joins the files. Build the DOM once, then change
   text and attributes only.
6. Reachable by keyboard: native controls, or one tab stop and arrow keys. A label on every control, a second
   carrier beside each colour, and in the frame's `text` the same content as text, anew with each change.
7. Tests: the state against the library in the concept's folder below tests/concepts; the page in
   tests/browser, on a page of its own; in JupyterLab only what needs it: a kernel that answers, keys, themes.
"""

from course_lib.widgets.controls import control
from course_lib.widgets.models import at_hand
from course_lib.widgets.prediction import outcome, predict, predictions

__all__ = ["at_hand", "control", "outcome", "predict", "predictions"]
