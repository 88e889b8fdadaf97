"""What all tests share.

Every shape annotation of course_lib is enforced while testing and costs nothing in use. A call with bad input
is then stopped by the type checker before our own code can say what is wrong. A test of our own message
switches it off:

    def test_mask_dtype(own_errors):
        with pytest.raises(TypeError, match="mask must be bool"):
            attention_weights(q, k, mask=torch.ones(5, 7))

or for a whole file: `pytestmark = pytest.mark.usefixtures("own_errors")`.

`make test` runs three workers (pytest-xdist). A file's tests stay on one of them, so that what its fixtures
prepare is prepared once; the tests of exercise tasks ("[03_qkv/attention-...]"), in whatever files, are
spread over all, task by task: what their answers are compared with is prepared once too. Files begin in the
order in which tools/run_checks.py names them. The real models are the session's: `smollm2` and `minilm`.
"""

import gc
import os
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")  # figures without a screen
os.environ["COURSE_PROGRESS"] = "off"  # no test, nor what it starts, writes into a learner's file
os.environ["COURSE_FIGURES"] = "strict"  # a title that the numbers do not support is an error
# nbgrader calls a program of this environment by its name.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
# Tests are small, and threads that wait for each other's core cost minutes.
os.environ |= dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)

import jaxtyping
import numpy as np
import pytest
import torch
from torch import nn

# Only where shapes are named: each of a million calls would prepare the functions within its function anew,
# which takes longer than all else.
LIBRARY = Path(__file__).parents[1] / "course_lib"
SHAPED = [
    ".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts)
    for path in sorted(LIBRARY.rglob("*.py"))
    if "from jaxtyping import" in path.read_text("utf-8")
]
jaxtyping.install_import_hook(SHAPED, "beartype.beartype")

torch.set_num_threads(1)


@pytest.fixture
def own_errors() -> Iterator[None]:
    """Run one test as a user does: without the type checker, so that our own errors are seen."""
    with shapes_unchecked():
        yield


@pytest.fixture(scope="session")
def as_a_user() -> Callable[[], AbstractContextManager[None]]:
    """The same for a part of a test or of a fixture: `with as_a_user(): ...`."""
    return shapes_unchecked


@contextmanager
def shapes_unchecked() -> Iterator[None]:
    """Within, course_lib runs as a user runs it: without the type checker."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", before)


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """Every test starts from the same random numbers, alone or after others."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 (libraries that still read the global state)
    torch.default_generator.manual_seed(0)  # torch.manual_seed writes down who called it: half a millisecond


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """What figures show, instead of showing it: each figure and its text."""
    shown: list[tuple] = []
    monkeypatch.setattr("course_lib.plots.show", lambda fig, *, alt: shown.append((fig, alt)))
    return shown


# ------------------------------------------------------------------------------------------ the real models


@pytest.fixture(scope="session")
def loaded_smollm2() -> tuple:
    """Loaded once per worker; tests take `smollm2`."""
    from course_lib.pretrained import load_smollm2

    return load_smollm2(device=torch.device("cpu"))


@pytest.fixture(scope="session")
def loaded_minilm() -> tuple:
    """Loaded once per worker; tests take `minilm`."""
    from course_lib.pretrained import load_minilm

    return load_minilm(device=torch.device("cpu"))


@pytest.fixture
def smollm2(loaded_smollm2) -> Iterator[tuple]:
    """SmolLM2 and its tokenizer. Others use them too: a test that leaves the model changed fails."""
    before = state(loaded_smollm2[0])
    yield loaded_smollm2
    assert state(loaded_smollm2[0]) == before, "the test changed the model that other tests use"


@pytest.fixture
def minilm(loaded_minilm) -> Iterator[tuple]:
    """MiniLM and its tokenizer. Others use them too: a test that leaves the model changed fails."""
    before = state(loaded_minilm[0])
    yield loaded_minilm
    assert state(loaded_minilm[0]) == before, "the test changed the model that other tests use"


def state(model: nn.Module) -> list[tuple]:
    """What tells whether a model was changed, without reading its numbers.

    torch counts how often a tensor was written to.
    """
    modules = [
        (name, type(module), module.training, len(module._forward_hooks), len(module._forward_pre_hooks))
        for name, module in model.named_modules()
    ]
    tensors = [
        (name, id(tensor), tensor._version, tensor.requires_grad, tensor.grad is None)
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]
    ]
    return [*modules, *tensors]


@pytest.fixture(scope="session")
def smollm2_reader():
    """SmolLM2's file, read by the package `gguf`, which takes two seconds."""
    import gguf

    from course_lib.pretrained import smollm2_path

    return gguf.GGUFReader(smollm2_path())


@pytest.fixture
def smollm2_at_hand(smollm2, monkeypatch):
    """A check that ends in SmolLM2 gets the one that other tests use too."""
    from course_lib.checks import real_model

    monkeypatch.setattr(real_model, "smollm2", lambda: smollm2)


@pytest.fixture
def minilm_at_hand(minilm, monkeypatch):
    """As `smollm2_at_hand`."""
    from course_lib.checks import real_model

    monkeypatch.setattr(real_model, "minilm", lambda: minilm)


def not_installed(name):
    """What loads a model where it is not installed."""

    from course_lib.pretrained import MissingModelError

    def load():
        raise MissingModelError(f"{name} is not installed; from the course folder run: this")

    return load


@pytest.fixture
def smollm2_missing(monkeypatch):
    """As where SmolLM2 is not installed."""
    from course_lib.checks import real_model

    monkeypatch.setattr(real_model, "smollm2", not_installed("SmolLM2"))


@pytest.fixture
def minilm_missing(monkeypatch):
    """As where MiniLM is not installed."""
    from course_lib.checks import real_model

    monkeypatch.setattr(real_model, "minilm", not_installed("MiniLM"))


# ------------------------------------------------------------------------------------------ workers


def scope(test: str) -> str:
    """What stays together on one worker: the tests in a browser, of a task, of a notebook, or of a file."""
    task = re.search(r"\[(\d\d_\w+/\w+)", test)
    notebook = re.search(r"\[notebooks/.*", test)
    file = test.split("::")[0]
    if test.startswith("tests/browser/"):
        return "tests/browser"
    return file + notebook[0] if notebook else task[1] if task else file


SCHEDULER = pytest.StashKey()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadFileScheduling

    class ByScope(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return scope(nodeid)

        def left(self) -> list[str]:
            """The tests that did not run to their end, in order."""
            assigned = [unit for units in self.assigned_work.values() for unit in units.values()]
            units = [*assigned, *self.workqueue.values()]
            return [test for unit in units for test, has_run in unit.items() if not has_run]

    config.stash[SCHEDULER] = ByScope(config, log)
    return config.stash[SCHEDULER]


# ------------------------------------------------------------------------------------------ what is said last

# Here, because workers print no summary.

KINDS = {
    "style": "test_style|test_examples",
    "notebooks": "test_notebooks_run",
    "claims": "test_claims|test_experiments",
    "browser": "browser/",
    "exercises": "checks/|test_exercises",
    "grading": "grading/",
}


def kind(test: str) -> str:
    """As what a test is counted."""
    file = test.split("::")[0]
    return next((name for name, places in KINDS.items() if re.search(places, file)), "library and rest")


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config) -> None:
    """What did not run, what each kind of test took, and what the checks of the exercises judged."""
    left = config.stash[SCHEDULER].left() if SCHEDULER in config.stash else []
    if left:
        files = Counter(test.split("::")[0] for test in left)
        terminalreporter.write_line("Left out (`make test` runs it):")
        for file, number in files.items():
            terminalreporter.write_line(f"  {number:4} tests of {file}")
    count, seconds = Counter(), Counter()
    for report in (report for some in terminalreporter.stats.values() for report in some):
        if isinstance(report, pytest.TestReport):
            count[kind(report.nodeid)] += report.when == "call"
            seconds[kind(report.nodeid)] += report.duration
    for name, took in seconds.most_common():
        terminalreporter.write_line(f"{name:<17}{count[name]:5} tests{took:7.0f} s of one worker")
    for line in told(terminalreporter.stats.get("passed", [])):
        terminalreporter.write_line(line)


def told(passed: list[pytest.TestReport]) -> Iterator[str]:
    """What tests say of themselves: how long a notebook kept a core busy, how an answer was judged."""
    properties = [item for report in passed if report.when == "call" for item in report.user_properties]
    busy = [(float(value), name) for name, value in properties if name.endswith(".ipynb")]
    for seconds, name in sorted(busy, reverse=True):
        yield f"{seconds:5.0f} s of one core  {name}{'  over the budget of 60 s' if seconds > 60 else ''}"
    judged = Counter(value for name, value in properties if name == "answer")
    tasks = {value for name, value in properties if name == "task"}
    if judged:
        yield (
            f"exercises: {len(tasks)} tasks, {judged['named'] + judged['refused']} wrong answers refused "
            f"({judged['named']} by name), {judged['right']} correct ones accepted"
        )


def pytest_sessionfinish(session, exitstatus) -> None:
    """A run that is interrupted, as `make check` is in the end, says what the tests say that have ended."""
    if exitstatus == pytest.ExitCode.INTERRUPTED:
        stats = session.config.pluginmanager.get_plugin("terminalreporter").stats
        if session.testsfailed:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        elif not stats.get("passed"):
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is imported and collected stays: Python need not look through it again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


# ------------------------------------------------------------------------------------------ one task


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--task my_task`: of the tests of tasks those of this one; the tests that name no task run, too."""
    parser.addoption("--task", action="append", default=[], help="with or without its concept; also twice")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what tests other tasks than those that are asked for."""
    asked = config.getoption("--task")
    if asked:
        named = {item: re.search(r"\[(\d\d_\w+)/(\w+)", item.nodeid) for item in items}
        out = [
            item
            for item, task in named.items()
            if task and not {task[2], f"{task[1]}/{task[2]}"} & set(asked)
        ]
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in set(out)]
