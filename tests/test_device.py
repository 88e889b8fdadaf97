"""The one module that knows about devices, tested without any of them."""

import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib.device import best_device, has_bfloat16, seed_everything, synchronize

ACCELERATORS = {"cuda": torch.cuda, "mps": torch.backends.mps, "xpu": torch.xpu}
ROOT = Path(__file__).parents[1]


@pytest.fixture
def machine(monkeypatch):
    """A machine that has the named accelerators."""
    monkeypatch.delenv("COURSE_DEVICE", raising=False)
    monkeypatch.delenv("LOCAL_RANK", raising=False)

    def pretend(*names, override=None):
        for name, module in ACCELERATORS.items():
            monkeypatch.setattr(module, "is_available", lambda name=name: name in names)
        if override is not None:
            monkeypatch.setenv("COURSE_DEVICE", override)

    return pretend


@pytest.mark.parametrize(
    ("names", "best"),
    [
        ((), "cpu"),
        (("cuda",), "cuda"),
        (("mps",), "mps"),
        (("xpu",), "xpu"),
        (("mps", "xpu"), "mps"),
        (("cuda", "xpu"), "cuda"),
        (("cuda", "mps", "xpu"), "cuda"),
    ],
)
def test_the_best_that_is_there(machine, names, best):
    machine(*names)
    assert best_device() == torch.device(best)


@pytest.mark.parametrize(("names", "best"), [(("cuda",), "cuda:3"), (("mps",), "mps"), ((), "cpu")])
def test_each_process_of_torchrun_gets_a_cuda_device_of_its_own(machine, monkeypatch, names, best):
    machine(*names)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert best_device() == torch.device(best)


@pytest.mark.parametrize(
    ("override", "chosen"),
    [("cpu", "cpu"), (" CPU ", "cpu"), ("xpu", "xpu"), ("cuda:1", "cuda:1"), ("", "cuda"), ("  ", "cuda")],
)
def test_the_override(machine, override, chosen):
    machine("cuda", "xpu", override=override)
    assert best_device() == torch.device(chosen)


@pytest.mark.parametrize("override", ["mps", "mps:0", "gpu", "0"])
def test_an_override_that_is_not_there(machine, override):
    machine("cuda", "xpu", override=override)
    message = f"COURSE_DEVICE='{override}' is not available here; choose from cuda, xpu, cpu"
    with pytest.raises(ValueError, match=message):
        best_device()


def draws(generator):
    return [
        random.random(),
        np.random.rand(),  # noqa: NPY002 (the global state is what is tested)
        torch.rand(()).item(),
        torch.rand((), generator=generator).item(),
    ]


def test_the_same_seed_gives_the_same_numbers():
    first, again, other = draws(seed_everything(7)), draws(seed_everything(7)), draws(seed_everything(8))
    assert first == again
    assert all(x != y for x, y in zip(first, other, strict=True))


@pytest.mark.parametrize("name", ["cuda", "mps", "xpu"])
def test_synchronize_waits_for_that_device_only(monkeypatch, name):
    calls = []
    for each in ACCELERATORS:
        monkeypatch.setattr(getattr(torch, each), "synchronize", lambda each=each: calls.append(each))
    synchronize(torch.device("cpu"))
    assert calls == []
    synchronize(torch.device(name))
    assert calls == [name]


def test_no_other_file_names_an_accelerator():
    files = [p for p in ROOT.joinpath("course_lib").rglob("*.py") if p.name != "device.py"]
    files += [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("solutions/**/*.ipynb")]
    assert len(files) > 10
    pattern = re.compile(r"""["'.](cuda|mps|xpu)\b""")
    assert [path.name for path in files if pattern.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    ("capabilities", "has"),
    [
        ({"avx2": True, "avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": True}, True),
        ({"neon": True, "bf16": True}, True),  # Arm
        ({"neon": True, "bf16": False, "sve_bf16": False}, False),
        ({"avx2": True, "avx512_f": True}, False),
    ],
)
def test_bfloat16_on_a_processor_that_says_what_it_can(monkeypatch, capabilities, has):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert has_bfloat16(torch.device("cpu")) is has


def test_bfloat16_on_an_older_torch_that_cannot_say(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert has_bfloat16(torch.device("cpu")) is False


@pytest.mark.parametrize("supported", [True, False])
def test_bfloat16_on_accelerators(monkeypatch, supported):
    asked = []
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation: (asked.append(including_emulation), supported)[1],
    )
    assert has_bfloat16(torch.device("cuda")) is supported
    assert asked == [False]  # emulated would be slower than float32
    assert has_bfloat16(torch.device("mps"))
    assert not has_bfloat16(torch.device("meta"))
