"""How the pool of answers is written down: answers by people who had not seen the checks.

The answers stand in `pool_by_hand` and `pool_in_torch`, written from the texts of the exercises alone. Each
says how it is written, or what its author misunderstood.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

ATTENTIONS = ("attention", "real_model")  # two tasks with the same arguments: most answers fit both


@dataclass(frozen=True)
class Answer:
    """One answer.

    Args:
        task: the task's name without its concept.
        words: how it is written (a right answer), what is misunderstood (a wrong one).
        given: what the learner hands in.
        verdict: "right", "wrong", or "either" where the task's text leaves it open: a check may take it or
            refuse it, it may only not give it a wrong name.
        harm: "" for an answer that is safe to run; "ends" when it may end its process, "hangs" when it never
            returns.
    """

    task: str
    words: str
    given: Any
    verdict: str
    harm: str = ""


class Pool(list[Answer]):
    """A list of answers with three decorators that add to it."""

    def _add(self, verdict: str, tasks: tuple[str, ...], words: str, harm: str = "") -> Callable[[Any], Any]:
        def add(given: Any) -> Any:
            self.extend(Answer(task, words, given, verdict, harm) for task in tasks)
            return given

        return add

    def right(self, tasks: str | tuple[str, ...], words: str) -> Callable[[Any], Any]:
        return self._add("right", _tuple(tasks), words)

    def wrong(self, tasks: str | tuple[str, ...], words: str, harm: str = "") -> Callable[[Any], Any]:
        return self._add("wrong", _tuple(tasks), words, harm)

    def either(self, tasks: str | tuple[str, ...], words: str) -> Callable[[Any], Any]:
        return self._add("either", _tuple(tasks), words)


def _tuple(tasks: str | tuple[str, ...]) -> tuple[str, ...]:
    return (tasks,) if isinstance(tasks, str) else tasks
