"""What goes to a child holds how to call an answer, and nothing of what is right."""

import functools
import gc
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from course_lib.checks import find_task, task_names, tasks
from course_lib.checks.engine import prepare
from course_lib.grading.judging.judge import Grader
from course_lib.grading.pipe.travel import Specs, packed, spec
from course_lib.grading.walls import share

pytestmark = pytest.mark.usefixtures("own_errors")
SOURCES = sorted((Path(__file__).resolve().parents[2] / "solutions").glob("*/*.ipynb"))
CHECKS = ("course_lib.checks", "course_lib.concepts")
Code = tuple[bytes, int, str]  # what tells a function from others, also after its journey


def identity(code: CodeType) -> Code:
    return code.co_code, code.co_firstlineno, code.co_name


def with_inner(code: CodeType) -> Iterator[CodeType]:
    """A function's code and that of the functions within it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from with_inner(constant)


def plain(function: Any) -> Any:
    """A function without what is around it."""
    while hasattr(function, "__wrapped__") or isinstance(function, MethodType):
        function = getattr(function, "__wrapped__", None) or function.__func__
    return function


def codes_in(value: Any) -> set[Code]:
    """The code of all functions that a value leads to, but of those that were imported."""
    seen: set[int] = set()
    found: set[Code] = set()
    waiting = [value]
    while waiting:
        it = waiting.pop()
        if id(it) in seen or isinstance(it, ModuleType | str | bytes | int | float) or imported(it):
            continue
        seen.add(id(it))
        if isinstance(it, CodeType):
            found.add(identity(it))
        waiting += gc.get_referents(it)
    return found


def imported(it: Any) -> bool:
    """Whether something came by the name of its module."""
    if isinstance(it, type):
        return not it.__module__.startswith(CHECKS)
    return isinstance(it, FunctionType) and it.__globals__ is vars(sys.modules.get(it.__module__, object))


def used_by(function: Any, found: dict[Code, str]) -> dict[Code, str]:
    """The code of a function, and of all of the checks' that it uses."""
    function = plain(function)
    if isinstance(function, functools.partial):
        for part in (function.func, *function.args, *function.keywords.values()):
            used_by(part, found)
    elif isinstance(function, type) and function.__module__.startswith(CHECKS):
        for value in [value for base in function.__mro__[:-1] for value in vars(base).values()]:
            used_by(getattr(value, "__func__", getattr(value, "fget", value)), found)
    elif isinstance(function, FunctionType) and (function.__module__ or "").startswith(CHECKS):
        if identity(function.__code__) in found:
            return found
        found[identity(function.__code__)] = function.__name__
        for value in names_of(function):
            used_by(value, found)
    return found


def names_of(function: FunctionType) -> Iterator[Any]:
    """What a function's code may call."""
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    yield from (cell.cell_contents for cell in function.__closure__ or ())
    for code in with_inner(function.__code__):
        yield from (function.__globals__.get(name) for name in code.co_names)


@functools.cache
def sent(name: str) -> tuple[set[Code], list[str]]:
    """What goes to a child for a task's cases: code, and parts of what is right whose numbers were found."""
    task = find_task(name)
    codes: set[Code] = set()
    told: list[str] = []
    for prepared in prepare(task, 0):
        raw, inputs = spec(task, prepared.case), packed(prepared.case.inputs)
        codes |= codes_in(pickle.loads(raw))
        for part, numbers in prepared.right.parts.items():
            if any(as_bytes in raw and as_bytes not in inputs for as_bytes in written(numbers)):
                told.append(f"{prepared.case.name}: {part}")
    return codes, told


def written(numbers: np.ndarray) -> Iterator[bytes]:
    """An array as it may stand in a pickle; nothing for so few numbers that they stand anywhere."""
    if numbers.dtype.kind in "fi" and len(set(numbers.ravel().tolist())) > 2:
        with np.errstate(invalid="ignore"):
            yield from (numbers.astype(kind).tobytes() for kind in ("f8", "f4", "i8"))


@pytest.mark.parametrize("name", task_names())
def test_neither_solution_nor_reference_goes_to_a_child(name):
    exercise = tasks.exercise(name)
    used = used_by(exercise.answer, {})
    if exercise.other_reference is not None:
        used_by(exercise.other_reference, used)
    assert used, "nothing of the solution was found: this test looks in the wrong place"
    assert {called for code, called in used.items() if code in sent(name)[0]} == set()


@pytest.mark.parametrize("name", task_names())
def test_no_known_mistake_goes_to_a_child(name):
    for mistake in find_task(name).misconceptions:
        wrong = plain(mistake.wrong)
        own = vars(wrong).values() if isinstance(wrong, type) else [wrong]
        codes = {identity(it.__code__) for it in map(plain, own) if isinstance(it, FunctionType)}
        assert codes, mistake.name
        assert codes & sent(name)[0] == set(), mistake.name


@pytest.mark.parametrize("name", task_names())
def test_no_expected_number_goes_to_a_child(name):
    assert sent(name)[1] == []


def test_what_is_looked_for_would_be_found():
    """A pickle of a whole task holds its reference, its known mistakes and their code."""
    task = find_task("03_qkv/softmax")
    right = prepare(task, 0)[-1].right.parts["result"]
    raw = packed(task, right)
    assert used_by(task.reference, {}).keys() <= codes_in(pickle.loads(raw))
    assert any(as_bytes in raw for as_bytes in written(right))


TENSORS = {
    "plain": torch.arange(6.0).reshape(2, 3),
    "scalar": torch.tensor(3.5, dtype=torch.float64),
    "empty": torch.zeros(0, 3),
    "whole numbers": torch.arange(5),
    "truths": torch.tensor([True, False]),
    "transposed": torch.arange(6.0).reshape(2, 3).T,
    "a part": torch.arange(6.0)[2:4],
    "repeated": torch.ones(1, 3).expand(4, 3),
    "bfloat16": torch.ones(3, dtype=torch.bfloat16),
    "complex": torch.tensor([1 + 2j]).conj(),
    "asks for gradients": torch.ones(3, requires_grad=True),
    "a parameter": torch.nn.Parameter(torch.ones(3)),
}


@pytest.mark.parametrize("kind", TENSORS)
def test_a_tensor_arrives_as_it_was(kind):
    sent = TENSORS[kind]
    ((came, again),) = pickle.loads(packed((sent, sent)))
    assert type(came) is type(sent)
    assert came is again
    assert torch.equal(came.resolve_conj(), sent.resolve_conj())
    for what in ("dtype", "shape", "requires_grad"):
        assert getattr(came, what) == getattr(sent, what)
    assert came.stride() == sent.stride()


def test_a_case_is_packed_once():
    specs, task = Specs(), find_task("03_qkv/softmax")
    case = prepare(task, 0)[0].case
    assert specs.of(task, case) is specs.of(task, case)
    assert specs.of(task, prepare(task, 31)[0].case) != specs.of(task, case)


# ------------------------------------------------------------------------------------------------- the share


@pytest.fixture(scope="module", params=SOURCES, ids=lambda path: path.stem)
def shared(request, tmp_path_factory) -> tuple[Path, Path]:
    """A notebook of the source, and the copy of the course that its submissions may import."""
    folder = tmp_path_factory.mktemp("share")
    share.make_share(folder, Grader(request.param)._needs()["imported"], {})
    return request.param, folder / "course_lib"


def test_the_share_has_no_check_no_solution_and_no_verdict(shared):
    _, package = shared
    there = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    checks = {name for name in there if name.startswith("checks/")}
    grading = {name for name in there if name.startswith("grading/")}
    assert checks == {"checks/__init__.py", *(f"checks/{name}.py" for name in share.CHECKS)}
    rooms = ("results", "intake", "judging", "pipe", "walls")
    assert {name.split("/")[1] for name in grading} == {"__init__.py", *rooms}
    known = {
        path.stem for name in grading for path in [Path(name)] if path.parent.stem not in ("pipe", "walls")
    }
    assert known == {"__init__", "names", "absent", "child", "zygote"}
    assert "checks/__init__.py" in there
    assert not [name for name in there if name.endswith((".ipynb", ".pyc"))]
    assert not [name for name in there if name.startswith("ledger")]
    assert not [name for name in there if name.endswith(("figures.py", "claims.yml"))]


def test_the_checks_in_the_share_know_no_task(shared):
    _, package = shared
    text = "".join(path.read_text() for path in (package / "checks").glob("*.py"))
    assert "TASKS" not in text
    assert "misconceptions=" not in text
    for place, code in share.STUBS.items():
        assert (package / place).read_text() == code


def test_what_numpy_notebooks_ask_for_is_not_in_their_share(shared):
    """There the whole course would be an answer."""
    source, package = shared
    modules = {path.stem for path in package.glob("*.py")}
    text = source.read_text()
    if "import torch" not in text and "course_lib." not in text.replace("course_lib.checks", ""):
        assert modules == {"__init__"}


def test_the_share_can_be_read_by_anybody_and_written_by_nobody_else(shared):
    _, package = shared
    for path in [package, *package.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)
