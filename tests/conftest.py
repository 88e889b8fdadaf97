"""What all tests share.

Every shape annotation of course_lib is enforced while testing and costs nothing in use. A call with bad input
is then stopped by the type checker before our own code can say what is wrong. A test of our own message
switches it off:

    def test_mask_dtype(own_errors):
        with pytest.raises(TypeError, match="mask must be bool"):
            attention_weights(q, k, mask=torch.ones(5, 7))

or for a whole file: `pytestmark = pytest.mark.usefixtures("own_errors")`.

`make test` runs two workers (pytest-xdist). A file's tests stay on one of them, so that what its fixtures
prepare is prepared once; the tests of exercise tasks ("[03_qkv/attention-...]"), in whatever files, are
spread over both, task by task: what their answers are compared with is prepared once too. What took longest
last time begins first. The real models are the session's: `smollm2` and `minilm`.
"""

import functools
import json
import os
import pkgutil
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType

os.environ.setdefault("MPLBACKEND", "Agg")  # figures without a screen
os.environ["COURSE_PROGRESS"] = "off"  # no test, nor what it starts, writes into a learner's file
os.environ["COURSE_FIGURES"] = "strict"  # a title that the numbers do not support is an error

import jaxtyping
import numpy as np
import pytest
import torch
from torch import nn

# Not in the checks of exercises: they name no shapes, and each of a million calls would prepare the functions
# within its function anew, which takes longer than all else.
LIBRARY = Path(__file__).parents[1] / "course_lib"
SECONDS = Path(__file__).parents[1] / "build" / "seconds.json"  # written by tools/run_checks.py
SHAPED = [f"course_lib.{part.name}" for part in pkgutil.iter_modules([LIBRARY]) if part.name != "checks"]
jaxtyping.install_import_hook(SHAPED, "beartype.beartype")

# Test tensors are tiny, and threads that wait for each other cost minutes on a busy machine.
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
    torch.manual_seed(0)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """What figures show, instead of showing it: each figure and its text."""
    shown: list[tuple] = []
    monkeypatch.setattr("course_lib.plots.show", lambda fig, *, alt: shown.append((fig, alt)))
    return shown


# ------------------------------------------------------------------------------------------ the claims

# For files whose own function `left_behind(seed, minilm, smollm2)` gives what a notebook's cells leave
# behind, all verdicts included, from this seed on. What they find is recorded for the ledger's pages, but for
# the numbers that the file's own NOT_RECORDED names, by claim.


@pytest.fixture(scope="module")
def real(request: pytest.FixtureRequest, loaded_minilm: tuple, loaded_smollm2: tuple) -> dict:
    """With the real models."""
    return measured(request.module, 11, lambda **_: loaded_minilm, lambda **_: loaded_smollm2)


@pytest.fixture(scope="module")
def without_models(request: pytest.FixtureRequest) -> dict:
    """As where the real models are not installed, and from another seed.

    The type checker, a sixth of the time, has seen the same cells with the real models.
    """
    from notebook_cells import no_model

    with shapes_unchecked():
        return measured(request.module, 21, no_model, no_model)


def measured(module: ModuleType, seed: int, minilm: Callable, smollm2: Callable) -> dict:
    """What a file's notebook leaves behind, its verdicts recorded."""
    from notebook_cells import recorded

    with recorded(seed, but=getattr(module, "NOT_RECORDED", None)):
        return module.left_behind(seed, minilm, smollm2)


@pytest.fixture(params=["real", "without_models"])
def names(request: pytest.FixtureRequest) -> dict:
    """A copy that a test may change; a function that should see the change is defined anew."""
    return {**request.getfixturevalue(request.param)}


@pytest.fixture
def real_names(real: dict) -> dict:
    """The same where a test needs the real models."""
    return {**real}


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


# ------------------------------------------------------------------------------------------ two workers


def scope(test: str) -> str:
    """What stays together on one worker: the tests of one task, or of one file."""
    task = re.search(r"\[(\d\d_\w+/\w+)", test)
    return task[1] if task else test.split("::")[0]


@functools.cache
def last_time() -> dict[str, float]:
    """What each file of tests took in the last run of `make test`."""
    return json.loads(SECONDS.read_text("utf-8")) if SECONDS.exists() else {}


def expected_s(scope: str) -> float:
    """How long what stays together may take; the tests of one task are soon over."""
    if not scope.endswith(".py"):
        return 0.0
    is_long = re.search("test_claims_|grading/test_(hostile|judge)", scope)
    return last_time().get(scope, 100.0 if is_long else 10.0)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from xdist.scheduler import LoadFileScheduling

    class ByFileOrTask(LoadFileScheduling):
        """The longest first: no worker waits at the end while the other begins a long file."""

        def _split_scope(self, nodeid: str) -> str:
            return scope(nodeid)

        def _assign_work_unit(self, node) -> None:
            self.workqueue.move_to_end(max(self.workqueue, key=expected_s), last=False)
            super()._assign_work_unit(node)

    return ByFileOrTask(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_terminal_summary(terminalreporter) -> None:
    """How many answers the checks of the exercises judged; here, because workers print no summary."""
    properties = [
        (name, value)
        for report in terminalreporter.stats.get("passed", [])
        if report.when == "call"
        for name, value in report.user_properties
    ]
    judged = Counter(value for name, value in properties if name == "answer")
    tasks = {value for name, value in properties if name == "task"}
    if judged:
        wrong = judged["named"] + judged["refused"]
        terminalreporter.write_line(
            f"exercises: {len(tasks)} tasks, {wrong} wrong answers refused ({judged['named']} by name), "
            f"{judged['right']} correct ones accepted"
        )
