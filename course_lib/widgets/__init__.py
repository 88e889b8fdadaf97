"""What stands live in a notebook: predictions, controls, and the frame of every explorer.

    predict, outcome   commit to an answer, and see it beside the result; `predictions` counts those that held
    at_hand            a real model; where it is not installed, a sentence, and the notebook goes on
    control            run a function again with each change of a slider or a text
    explorer           the frame: one state, questions of the page and their answers
    alone              all of these on a page that has no kernel
    reading            how explorers read a text, and write what a model would say next
    microscope         the explorer that several lessons use, in files of its own

A concept's explorer is a small live figure, driven by mouse or keyboard: `explorer.py`, `explorer.js` and
`explorer.css` in its folder. How to write the next one (that of `c03_qkv` is the pattern):

1. Python decides. Subclass `explorer.Explorer`; compute everything that is shown with floors 0 to 2, and put
   it into the one synced dictionary `state`. One dictionary means one message, so the page never draws half
   of an update, and a page exported without a kernel has all it needs. What stands in an order is sent as a
   list: a saved notebook sorts the keys of its dictionaries. The first line of the class's docstring says in
   one sentence what there is to see: it stands where no widget can be drawn.
2. Each thing a reader may ask for is a method `on_<kind>(self, **fields)`. It checks its input and raises
   ValueError with one sentence; `Explorer` shows the sentence and keeps the last good state.
3. JavaScript displays. `explorer.js` ends with `export default { render };`, for its function
   `render({ model, el })`. The helpers of the frame's `explorer.js` are in scope and its styles are there,
   because `assets(__file__)` puts those files in front. Build the DOM once, then change text and attributes
   only. `frame()` gives the outer box, the message line and `ask(kind, fields)`, which says so when Python
   still computes or nobody answers.
4. Reachable by keyboard: native controls, or `grid()` for one tab stop and arrow keys. A label on every
   control, a second carrier beside each colour, and in the frame's `text` the same content as text, anew
   with each change. A sentence is written once: by Python into the state, or by the page, where it follows
   from choices that an exported page can make.
5. Tests: the state against the library in the concept's folder below tests/concepts; both themes, the
   keyboard and the text in tests/browser.
"""

from course_lib.widgets.controls import control
from course_lib.widgets.models import at_hand
from course_lib.widgets.prediction import outcome, predict, predictions

__all__ = ["at_hand", "control", "outcome", "predict", "predictions"]
