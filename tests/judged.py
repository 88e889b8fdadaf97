"""What is said of a claim where an experiment found these numbers; for the tests of experiments."""

from typing import Any, NamedTuple

from course_lib.claims import Label, judge


class Judged(NamedTuple):
    """Its label, and the numbers that are outside of their bounds."""

    label: Label
    missed: list[str]


def judged(claim: str, found: Any = None, /, **numbers: Any) -> Judged:
    """As `claims.judge`."""
    judgement = judge(claim, found, **numbers)
    return Judged(judgement.label, judgement.claim.missed(judgement.numbers))
