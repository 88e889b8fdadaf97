"""The first thing that is wrong with a learner's numbers, in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib.checks.kinds import Case, Task, Wanted
from course_lib.checks.values import Parts, Refused, agree, close, describe, is_double, named

FORMS: dict[type, str] = {
    list: "return a list",
    dict: "return a dictionary",
    str: "return a text (str)",
    Refused: "raise a ValueError",
}
NOTHING = object()  # equal to no entry of an answer


@dataclass(frozen=True)
class Finding:
    """What is wrong, and the values that show it."""

    problem: str
    detail: str = ""


def all_agree(got: Parts, wanted: Parts, slack: Mapping[str, float]) -> bool:
    """Whether every part of `wanted` came, with the same shape and kind of number, up to rounding."""
    return all(
        name in got
        and (got[name].dtype == bool) == (wanted[name].dtype == bool)
        and agree(got[name], wanted[name], slack[name])
        for name in wanted
    )


def first_difference(task: Task, case: Case, wanted: Wanted, got: Parts) -> Finding | None:
    """The first way in which what came is not what was wanted; None where all is well."""
    for name, expected in wanted.parts.items():
        if name not in got:
            return Finding(
                f"No {name} arrives: .detach(), .item(), .data and NumPy cut the graph that training needs."
            )
        value, label = got[name], _label(name)
        found = _wrong_contents(label, expected, value) or (
            _wrong_form(label, task.tensor, case, expected, value)
            or _not_finite(name, label, expected, value)
            or _wrong_values(task, case, name, label, expected, value, wanted.slack[name])
        )
        if found:
            return found
    return None


def _label(name: str) -> str:
    if name == "result":
        return "The result"
    return f"The {name}" if "gradient" in name else name


def _wrong_form(
    label: str, tensor: bool, case: Case, expected: np.ndarray, value: np.ndarray
) -> Finding | None:
    if value.shape != expected.shape:
        return Finding(f"{label} has shape {value.shape}, expected {expected.shape}.")
    if value.dtype == object != expected.dtype:
        return Finding(f"It must return numbers, but got {describe(value.item())}.")
    if (expected.dtype == bool) != (value.dtype == bool):
        return Finding(f"{label} has dtype {value.dtype}, expected {expected.dtype}.")
    wanted = "float64" if is_double(case.inputs) else "float32"
    if value.dtype.kind == "f" and np.finfo(value.dtype).eps > 2 * np.finfo(wanted).eps:
        return Finding(
            f"{label} has dtype {value.dtype} although the inputs are {wanted}: digits are lost on the way. "
            "Create new arrays with the dtype of the input."
        )
    if tensor and value.dtype.kind == "f" and value.dtype != wanted:
        return Finding(f"{label} has dtype {value.dtype}, expected {wanted}, as the inputs have.")
    return None


def _wrong_contents(label: str, expected: np.ndarray, value: np.ndarray) -> Finding | None:
    """What is wrong with a list, a dictionary or a text."""
    if expected.dtype != object or agree(value, expected, 0):
        return None
    wanted: Any = expected.item()
    came: Any = value.item() if value.shape == () else value
    if type(wanted) is not type(came):
        return Finding(f"It must {FORMS[type(wanted)]}, but got {describe(came)}.")
    problem = f"{label} has the right length but is not what was expected."
    if len(wanted) != len(came):
        problem = f"{label} has length {len(came)}, expected {len(wanted)}."
    if isinstance(wanted, dict) and wanted.keys() == came.keys():
        n_wrong = sum(wanted[place] != came[place] for place in wanted)
        problem = f"{label} is not what was expected in {n_wrong} of {len(wanted)} entries."
    if not isinstance(wanted, dict):
        wanted, came = dict(enumerate(wanted)), dict(enumerate(came))
    pairs = ((place, wanted.get(place, NOTHING), came.get(place, NOTHING)) for place in [*wanted, *came])
    where, one, other = next((place, one, other) for place, one, other in pairs if one != other)
    return Finding(problem, f"First difference at {where!r}: expected {_entry(one)}, got {_entry(other)}.")


def _entry(value: Any) -> str:
    return "nothing" if value is NOTHING else named(value)


def _not_finite(name: str, label: str, expected: np.ndarray, value: np.ndarray) -> Finding | None:
    if value.dtype.kind != "f":
        return None
    bad = ~np.isfinite(value) & np.isfinite(expected)
    if not bad.any():
        return None
    where = _first(bad)
    problem = f"{label} contains {value[where]} where a number is expected."
    if "gradient" in name:
        problem = (
            f"The results are right, but the {name} contains {value[where]}. nan_to_num and where mend what "
            "comes out, not what flows back: let no NaN or infinity arise. Fill with the lowest finite "
            "number, not with -inf."
        )
    return Finding(problem, _values_at(name, where, expected, value))


def _wrong_values(
    task: Task, case: Case, name: str, label: str, expected: np.ndarray, value: np.ndarray, slack: float
) -> Finding | None:
    if agree(value, expected, slack):
        return None
    where = _first(~close(value, expected, slack))
    detail = _values_at(name, where, expected, value)
    if expected.dtype == bool:
        return _wrong_truth(label, where, expected, value, detail)
    if "gradient" in name:
        return Finding(
            f"The results are right, but the {name} is not: is something detached or rounded on the way?",
            detail,
        )
    properties = task.properties if name in task.results else ()
    broken = next(filter(None, (p.broken(value, case.inputs) for p in properties)), "")
    if not where:
        wanted, came = _apart(expected[()], value[()])
        return Finding(broken or f"{label} is {came}, expected {wanted}.")
    return Finding(broken or f"{label} has the right shape but wrong values.", detail)


def _wrong_truth(
    label: str, where: tuple[int, ...], expected: np.ndarray, value: np.ndarray, detail: str
) -> Finding:
    if not where:
        return Finding(f"It says {bool(value)} where {bool(expected)} is right.")
    n_wrong = int((value != expected).sum())
    return Finding(f"{label} is wrong in {n_wrong} of {value.size} places.", detail)


def _first(wrong: Any) -> tuple[int, ...]:
    """The first place where something is wrong."""
    return tuple(int(i) for i in np.argwhere(wrong)[0])


def _values_at(name: str, where: tuple[int, ...], expected: np.ndarray, got: np.ndarray) -> str:
    place = ("" if name == "result" else f"in {name} ") + (f"at {list(where)}" if where else "")
    place = f"{place.strip()}: " if place else ""
    wanted, came = expected[where], got[where]
    if expected.dtype == bool:
        return f"First difference {place}expected {bool(wanted)}, got {bool(came)}."
    wanted, came = _apart(wanted, came)
    return f"First difference {place}expected {wanted}, got {came}."


def _apart(wanted: Any, came: Any) -> tuple[str, str]:
    """Two numbers with as many digits as it takes to tell them apart, whole ones with all of theirs."""
    formats = ["d"] if all(number.dtype.kind in "iu" for number in (wanted, came)) else [".6g", ".12g"]
    written = [(format(wanted, digits), format(came, digits)) for digits in formats]
    return next((pair for pair in written if pair[0] != pair[1]), written[-1])
