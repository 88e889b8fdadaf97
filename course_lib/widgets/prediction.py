"""Commit to an answer before you run on, and see beside the result what you said.

    predict("places", {"50 %: a coin": 0.5, "about 65 %": 0.65, "above 80 %": 0.85})
    outcome("places", accuracy, "{:.0%}")
    predictions()

The choices live in the kernel's memory: nothing is stored, and who chooses nothing is not held up. An
exported page has no kernel: an outcome brings along what it says of each answer, and `alone.js` shows it.
"""

import html
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any

from course_lib.claims import spaced

if TYPE_CHECKING:
    from ipywidgets import RadioButtons


@dataclass
class Question:
    """One prediction of this run of the notebook."""

    answers: Mapping[str, Any]
    buttons: "RadioButtons"
    result: str = ""  # as shown, once it is there
    nearest: str = ""  # the answer that the result supports
    said: str | None = None  # what was chosen when the result came

    @property
    def held(self) -> bool:
        """Whether the result supports what was chosen."""
        return self.said == self.nearest

    def told(self) -> dict[str, str | bool]:
        """What is said of what was chosen, beside the result and at the end, and in which colour."""
        from course_lib import plots

        if self.said is None:
            text = f"The result: {self.result}. (You made no prediction.)"
            return {"text": text, "colour": plots.SKY}
        mark = "✓" if self.held else "✗"
        return {
            "text": f"{mark} You said: {self.said}. The result: {self.result}.",
            "colour": plots.GREEN if self.held else plots.ORANGE,
            "held": self.held,
        }


_questions: dict[str, Question] = {}


def predict(name: str, answers: Mapping[str, Any]) -> "RadioButtons":
    """The possible answers to the question above the cell, none chosen: commit yourself before you run on.

    Args:
        name: by which `outcome` finds the choice. A cell that runs again asks again.
        answers: each answer as it is shown, and the result for which it is right: a number, a text or a bool.
    Raises: ValueError: fewer than two answers, or two for the same result.
    """
    from ipywidgets import RadioButtons

    if len(answers) < 2 or len(set(answers.values())) < len(answers):
        raise ValueError(
            f"a prediction needs two answers or more, for different results; got {dict(answers)}"
        )
    buttons = RadioButtons(options=list(answers), value=None, layout={"width": "max-content"})
    _questions[name] = Question(answers, buttons)
    return buttons


def outcome(name: str, result: Any, form: str = "{}") -> None:
    """Show what came out beside what you said: right if yours is the answer nearest to the result.

    Args:
        name: that of the question.
        result: a number where the answers are numbers, else equal to one of them.
        form: how the result is shown, such as "{:.0%}".
    Raises: ValueError: no such question, or no answer fits the result.
    """
    question = _questions.get(name)
    if question is None:
        known = ", ".join(_questions) or "none"
        raise ValueError(f"no prediction {name!r} was asked for in this run; there are: {known}")
    question.nearest = _nearest(question.answers, result)
    # What was found is said in the words in which it was asked for, not by the name that it has in the cell.
    question.result = question.nearest if isinstance(result, str) else spaced(form.format(result))
    question.said = question.buttons.value
    _show(_Outcome(name, question))


def predictions() -> None:
    """How many of your predictions held in this run of the notebook, and which did not."""
    _show(_Summary(dict(_questions)))


def _nearest(answers: Mapping[str, Any], result: Any) -> str:
    for answer, value in answers.items():
        if _is_number(value) and _is_number(result):
            continue
        if value == result:
            return answer
    numbers = {answer: value for answer, value in answers.items() if _is_number(value)}
    if not numbers or not _is_number(result) or not math.isfinite(result):
        raise ValueError(f"the result {result!r} fits none of the answers {dict(answers)}")
    return min(numbers, key=lambda answer: abs(numbers[answer] - result))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)  # NumPy's bool is no Real


class _Outcome:
    def __init__(self, name: str, question: Question) -> None:
        self.name = name
        self.question = replace(question)  # as it is now

    def __repr__(self) -> str:
        return str(self.question.told()["text"])

    def _repr_html_(self) -> str:
        question = self.question
        says = {answer: replace(question, said=answer).told() for answer in question.answers}
        asked = {"asked": question.buttons.model_id, "name": self.name, "says": json.dumps(says)}
        data = "".join(f" data-{key}='{html.escape(value)}'" for key, value in asked.items())
        colour = question.told()["colour"]
        return (
            f"<div class='course-outcome'{data} style='border-left:.4em solid {colour};padding:.3em 1em'>"
            f"{html.escape(repr(self))}</div>"
        )


class _Summary:
    def __init__(self, questions: Mapping[str, Question]) -> None:
        self.made = {name: q for name, q in questions.items() if q.said is not None and q.result}

    def __repr__(self) -> str:
        if not self.made:
            return "You made no predictions in this run. A guess, right or wrong, makes the result stick."
        held = sum(question.held for question in self.made.values())
        made = f"{len(self.made)} prediction" + "s" * (len(self.made) > 1)
        told = [str(question.told()["text"]) for question in self.made.values()]
        return "\n".join([f"You made {made}; {held} held.", *told])

    def _repr_html_(self) -> str:
        first, *rest = repr(self).split("\n")
        items = "".join(f"<li style='list-style:none'>{html.escape(line)}</li>" for line in rest)
        return (
            "<div class='course-outcome course-predictions'>"
            f"<p><strong>{html.escape(first)}</strong></p><ul>{items}</ul></div>"
        )


def _show(thing: object) -> None:
    from IPython.display import display

    display(thing)
