"""What all tests share.

Shape annotations are enforced while testing (pyproject.toml: `--jaxtyping-packages`). A call with bad input
is then stopped by the type checker before our own code can say what is wrong. A test of our own message
switches it off:

    def test_mask_dtype(own_errors):
        with pytest.raises(TypeError, match="mask must be bool"):
            attention_weights(q, k, mask=torch.ones(5, 7))

or for a whole file: `pytestmark = pytest.mark.usefixtures("own_errors")`.
"""

import os
import random
from collections.abc import Iterator

os.environ.setdefault("MPLBACKEND", "Agg")  # figures without a screen
os.environ["COURSE_PROGRESS"] = "off"  # no test, nor what it starts, writes into a learner's file

import jaxtyping
import numpy as np
import pytest
import torch

# Test tensors are tiny, and threads that wait for each other cost minutes on a busy machine.
torch.set_num_threads(1)


@pytest.fixture
def own_errors() -> Iterator[None]:
    """Run one test as a user does: without the type checker, so that our own errors are seen."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """Every test starts from the same random numbers, alone or after others."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 (libraries that still read the global state)
    torch.manual_seed(0)


# The real models, loaded once however many tests use them.


@pytest.fixture(scope="session")
def smollm2():
    """SmolLM2 in our classes, and its tokenizer."""
    from course_lib.pretrained import load_smollm2

    return load_smollm2(device=torch.device("cpu"))


@pytest.fixture(scope="session")
def minilm():
    """MiniLM in our classes, and its tokenizer."""
    from course_lib.pretrained import load_minilm

    return load_minilm(device=torch.device("cpu"))


@pytest.fixture(scope="session")
def smollm2_reader():
    """SmolLM2's file, read by the package `gguf`, which takes two seconds."""
    import gguf

    from course_lib.pretrained import smollm2_path

    return gguf.GGUFReader(smollm2_path())
