"""Answers that learners would write, by people who had seen the texts of the exercises and not the checks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One answer.

    Args:
        task: such as "03_qkv/softmax".
        words: how it is written (a right answer), what is misunderstood (a wrong one).
        given: what the learner hands in.
        right: whether it has to be accepted.
        name: the known mistake that it is, where `words` leave no doubt.
    """

    task: str
    words: str
    given: Any
    right: bool
    name: str = ""


class Answers(list[Answer]):
    """The answers to one concept's tasks, with two decorators that add to them."""

    def __init__(self, concept: str) -> None:
        super().__init__()
        self.concept = concept

    def right(self, task: str, words: str) -> Callable[[Any], Any]:
        return self._add(task, words, right=True)

    def wrong(self, task: str, words: str, name: str = "") -> Callable[[Any], Any]:
        return self._add(task, words, right=False, name=name)

    def _add(self, task: str, words: str, **known: Any) -> Callable[[Any], Any]:
        def add(given: Any) -> Any:
            self.append(Answer(f"{self.concept}/{task}", words, given, **known))
            return given

        return add
