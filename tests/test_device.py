"""The one module that knows about devices, tested without any of them."""

import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib.device import best_device, has_bfloat16, seed_everything, synchronize

ROOT = Path(__file__).parents[1]


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many accelerators of a kind, as torch sees them."""
    monkeypatch.delenv("COURSE_DEVICE", raising=False)
    monkeypatch.delenv("LOCAL_RANK", raising=False)

    def pretend(kind, n_devices, override=None, rank=None):
        def current(check_available=False):
            if not n_devices:  # as in torch 2.6; newer versions return None, or a device that is not there
                raise RuntimeError("Cannot access accelerator device when none is available.")
            return torch.device(kind)

        monkeypatch.setattr(torch.accelerator, "device_count", lambda: n_devices)
        monkeypatch.setattr(torch.accelerator, "current_accelerator", current)
        if override is not None:
            monkeypatch.setenv("COURSE_DEVICE", override)
        if rank is not None:
            monkeypatch.setenv("LOCAL_RANK", str(rank))

    return pretend


@pytest.mark.parametrize(
    ("kind", "n_devices", "best"),
    [("cuda", 0, "cpu"), ("cuda", 1, "cuda"), ("cuda", 3, "cuda"), ("mps", 1, "mps"), ("xpu", 2, "xpu")],
)
def test_the_best_that_is_there(machine, kind, n_devices, best):
    machine(kind, n_devices)
    assert best_device() == torch.device(best)


@pytest.mark.parametrize(
    ("kind", "n_devices", "override", "best"),
    [
        ("cuda", 5, None, "cuda:3"),
        ("xpu", 5, None, "xpu:3"),
        ("cuda", 1, None, "cuda"),  # each process sees its own only
        ("mps", 1, None, "mps"),
        ("cuda", 0, None, "cpu"),
        ("cuda", 5, "cuda", "cuda:3"),
        ("cuda", 5, "cuda:1", "cuda:1"),
        ("cuda", 5, "cpu", "cpu"),
    ],
)
def test_each_process_of_torchrun_gets_an_accelerator_of_its_own(machine, kind, n_devices, override, best):
    machine(kind, n_devices, override, rank=3)
    assert best_device() == torch.device(best)


def test_more_processes_than_accelerators(machine):
    machine("cuda", 2, rank=2)
    with pytest.raises(ValueError, match=r"^LOCAL_RANK=2, but this machine has only cuda:0, cuda:1$"):
        best_device()


@pytest.mark.parametrize(
    ("override", "chosen"),
    [("cpu", "cpu"), (" CPU ", "cpu"), ("xpu", "xpu"), ("xpu:1", "xpu:1"), ("", "xpu"), ("  ", "xpu")],
)
def test_the_override(machine, override, chosen):
    machine("xpu", 2, override)
    assert best_device() == torch.device(chosen)


@pytest.mark.parametrize("override", ["mps", "mps:0", "gpu", "0", "cuda:2", "cuda:7", "cuda:-1"])
def test_an_override_that_is_not_there(machine, override):
    machine("cuda", 2, override)
    message = f"^COURSE_DEVICE='{override}' is not available here; choose from cuda, cuda:0, cuda:1, cpu$"
    with pytest.raises(ValueError, match=message):
        best_device()


def test_an_override_where_there_is_no_accelerator(machine):
    machine("cuda", 0, "cuda")
    with pytest.raises(ValueError, match=r"^COURSE_DEVICE='cuda' is not available here; choose from cpu$"):
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


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps", "xpu:2"])
def test_synchronize_waits_for_that_device_only(machine, monkeypatch, name):
    calls, device = [], torch.device(name)
    monkeypatch.setattr(torch.accelerator, "synchronize", calls.append)
    machine(device.type, 3)
    for other in ("cpu", "meta"):
        synchronize(torch.device(other))
    assert calls == []
    synchronize(device)
    assert calls == [device]
    machine(device.type, 0)
    synchronize(torch.device("cpu"))
    assert calls == [device]


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
