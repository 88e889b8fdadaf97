"""Right on the visible check alone gets no points: whatever it asks, hidden tests ask something else."""

import itertools
import pickle
import re
from collections.abc import Iterator
from types import CodeType, FunctionType

import numpy as np
import pytest
import torch
from task_cases import HIDDEN, VISIBLE, without_finale

from course_lib.checks import examine, find_task, task_names
from course_lib.checks.compare import all_agree
from course_lib.checks.engine import N_AGAIN, prepare
from course_lib.checks.kinds import Case
from course_lib.checks.values import close
from course_lib.grading.pipe.travel import packed, spec
from course_lib.grading.variant import reseed

TEST = "### BEGIN HIDDEN TESTS\nfor seed in (31, 57):\n### END HIDDEN TESTS"
SECRETS = ("pepper", "salt")
# Learners say of a layer what it is like; task -> its input.
JUDGED = {
    "03_qkv/sees_later": "attend",
    "05_positions/which_is_equivariant": "layers",
    "05_positions/depends_on_offset": "rotate",
}


def hidden_seeds(task: str) -> list[tuple[int, ...]]:
    """The seeds of a task in the solutions, and in variants of them."""
    variants = [re.findall(r"\d[\d_]+", reseed(TEST, f"{secret}\n{task}")) for secret in SECRETS]
    return [HIDDEN, *(tuple(map(int, seeds)) for seeds in variants)]


def all_cases(task: str, seed: int) -> list[Case]:
    """The cases of a task, those too that come again with other numbers."""
    first, again = (find_task(task).cases(np.random.default_rng(key)) for key in (seed, (seed, 1)))
    return [*first, *again[:N_AGAIN]]


def written(value: object, whole: bool) -> object:
    """Something that is equal for equal inputs.

    Args:
        value: an input, or some of them.
        whole: with the numbers of arrays; else with their shapes alone.
    """
    if isinstance(value, np.ndarray | torch.Tensor):
        array = np.asarray(value)
        return array.shape, array.dtype.str, array.tobytes() if whole else b""
    if isinstance(value, dict):
        return "dict", tuple((written(k, whole), written(v, whole)) for k, v in value.items())
    if isinstance(value, set | frozenset):
        return "set", tuple(sorted(map(repr, value)))
    if isinstance(value, list | tuple):
        return "list", tuple(written(item, whole) for item in value)
    if isinstance(value, FunctionType):
        closed = [cell.cell_contents for cell in value.__closure__ or ()]
        return written(value.__code__, whole), written(closed, whole)
    if isinstance(value, CodeType):
        return value.co_code, value.co_names, tuple(written(constant, whole) for constant in value.co_consts)
    if hasattr(value, "__dict__"):
        return type(value).__name__, written(vars(value), whole)
    return repr(value)


def looks_of(case: Case) -> object:
    """What the inputs look like in a sandbox."""
    # Pickling takes long and leaves arrays as they are.
    sent = [
        pickle.loads(packed(value))[0] if isinstance(value, list) or hasattr(value, "__dict__") else value
        for value in case.inputs.values()
    ]
    return written(sent, whole=False)


# ----------------------------------------------------------------------------------------------- in all tasks


@pytest.mark.parametrize("name", task_names())
def test_most_of_what_hidden_tests_ask_is_new(name):
    known = {written(case.inputs, whole=True) for case in all_cases(name, VISIBLE)}
    for seed in itertools.chain(*hidden_seeds(name)):
        asked = [written(case.inputs, whole=True) for case in all_cases(name, seed)]
        n_new = sum(inputs not in known for inputs in asked)
        assert 2 * n_new >= len(asked), f"seed {seed}: {n_new} of {len(asked)} cases are new"


@pytest.mark.parametrize("name", task_names())
def test_a_table_that_goes_by_what_inputs_look_like_is_refused(name):
    """By numbers, texts, the sizes of arrays, the names and the code of layers: some answer is wrong."""
    task = without_finale(name)
    table = {looks_of(prepared.case): prepared.right.parts for prepared in prepare(task, VISIBLE)}
    for seed in HIDDEN:
        answered = [
            all_agree(table.get(looks_of(case), {}), right.parts, right.slack)
            for case, right in ((prepared.case, prepared.right) for prepared in prepare(task, seed))
        ]
        assert not all(answered), f"seed {seed}"


@pytest.mark.parametrize(("name", "judged"), JUDGED.items())
def test_what_layers_look_like_does_not_tell_what_they_are(name, judged):
    """By code, numbers in it and the sizes of arrays: two layers differ in drawn numbers alone."""
    for seed in (VISIBLE, *itertools.chain(*hidden_seeds(name))):
        told = set()
        for prepared in prepare(without_finale(name), seed):
            layers, answers = prepared.case.inputs[judged], prepared.right.parts["result"].tolist()
            pairs = zip(layers, answers, strict=True) if type(layers) is list else [(layers, answers)]
            told |= {(written(pickle.loads(packed(layer)), whole=False), answer) for layer, answer in pairs}
        assert len({looks for looks, _ in told}) < len(told), f"seed {seed}: each look has one answer"


@pytest.mark.parametrize(("name", "judged"), JUDGED.items())
def test_no_layer_tells_a_sandbox_what_it_is(name, judged):
    told = set()
    for case in all_cases(name, VISIBLE):
        _, sent = pickle.loads(spec(find_task(name), case))
        assert sent.name == ""
        layers = sent.inputs[judged]
        for layer in layers if isinstance(layers, list) else [layers]:
            told.add(tuple(value for value in vars(layer).values() if isinstance(value, str | bool)))
    assert len(told) == 1


# ------------------------------------------------------------------------------- where sizes alone are given


def of_sizes(name: str) -> bool:
    """Whether what is right depends on a few whole numbers alone, none of them a seed."""
    given = [case.inputs for case in find_task(name).cases(np.random.default_rng(VISIBLE))]
    return all(isinstance(each, int) and key != "seed" for one in given for key, each in one.items())


OF_SIZES = list(filter(of_sizes, task_names()))


def corners(table: np.ndarray, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """The parts of this shape at the corners of a table that is at least as large."""
    if table.ndim == len(shape) and all(map(int.__ge__, table.shape, shape)):
        both = ([slice(None, n), slice(whole - n, None)] for whole, n in zip(table.shape, shape, strict=True))
        yield from (table[corner] for corner in itertools.product(*both))


@pytest.mark.parametrize("name", OF_SIZES)
def test_a_large_table_that_is_cut_to_size_is_refused(name):
    task = find_task(name)
    tables = [prepared.right.parts for prepared in prepare(task, VISIBLE)]
    for seeds in hidden_seeds(name):
        answered = [
            any(
                close(part, right, prepared.right.slack[short]).all()
                for parts in tables
                for part in corners(parts[short], right.shape)
            )
            for seed in seeds
            for prepared in prepare(task, seed)
            for short, right in prepared.right.parts.items()
        ]
        assert not all(answered), f"seeds {seeds}"


@pytest.mark.parametrize("name", OF_SIZES)
def test_who_knows_the_visible_answers_alone_passes_the_visible_check_alone(name):
    task = find_task(name)
    asked = [tuple(case.inputs.values()) for case in all_cases(name, VISIBLE)]
    table = {sizes: task.reference(*sizes) for sizes in asked}

    def answer(*sizes):
        return table.get(sizes, table[asked[0]])

    assert examine(task, answer, seed=VISIBLE).passed
    for seed in itertools.chain(*hidden_seeds(name)):
        assert not examine(task, answer, seed=seed).passed


def test_most_deviations_that_hidden_tests_ask_of_a_stack_are_new():
    name = "06_residuals/depth_scaled_start"

    def asked(seed):
        return [(case.inputs["stack"].n_layers, case.inputs["std"]) for case in all_cases(name, seed)]

    for seed in itertools.chain(*hidden_seeds(name)):
        n_new = sum(of_stack not in asked(VISIBLE) for of_stack in asked(seed))
        assert 2 * n_new >= len(asked(seed))
