"""The one module that knows about devices, tested without any of them."""

import ctypes
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from course_lib.device import best_device, has_bfloat16, keep_memory, one_core

ROOT = Path(__file__).parents[1]


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many accelerators of a kind, as torch sees them."""
    monkeypatch.delenv("COURSE_DEVICE", raising=False)

    def pretend(kind, n_devices, override=None):
        def current(check_available=False):
            if not n_devices:  # as in torch 2.6; newer versions return None, or a device that is not there
                raise RuntimeError("Cannot access accelerator device when none is available.")
            return torch.device(kind)

        monkeypatch.setattr(torch.accelerator, "device_count", lambda: n_devices)
        monkeypatch.setattr(torch.accelerator, "current_accelerator", current)
        if override is not None:
            monkeypatch.setenv("COURSE_DEVICE", override)

    return pretend


@pytest.mark.parametrize(
    ("kind", "n_devices", "best"),
    [("cuda", 0, "cpu"), ("cuda", 1, "cuda"), ("cuda", 3, "cuda"), ("mps", 1, "mps"), ("xpu", 2, "xpu")],
)
def test_the_best_that_is_there(machine, kind, n_devices, best):
    machine(kind, n_devices)
    assert best_device() == torch.device(best)


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


RESIDENT = """
import resource
import torch
from course_lib.device import keep_memory

def megabytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6

def work():
    tensors = [torch.ones(size) for size in 30 * [500_000] + 10 * [20_000_000]]  # 60 MB and 800 MB
    held = torch.ones(1000)  # lies behind them, so that the heap cannot shrink from its end
    del tensors
    return held

held = [work()]
start = megabytes()
with keep_memory():
    held.append(work())
    inside = megabytes() - start
after = megabytes() - start
held.append(work())
print(inside, after, megabytes() - start)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such setting")
def test_memory_is_kept_inside_and_given_back_at_the_end():
    done = subprocess.run([sys.executable, "-c", RESIDENT], capture_output=True, text=True, check=True)
    inside, after, later = map(float, done.stdout.split())
    assert inside > 700
    assert after < 60
    assert later < 100


def test_a_c_library_without_this_setting_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    with keep_memory():
        assert torch.ones(3).sum() == 3
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "CDLL", None)
    with keep_memory():
        assert torch.ones(3).sum() == 3


@one_core()
def stopped() -> None:
    raise RuntimeError(f"stopped on {torch.get_num_threads()} core")


def test_one_core_inside_and_as_many_as_before_behind_an_error():
    torch.set_num_threads(2)
    try:
        with pytest.raises(RuntimeError, match="stopped on 1 core"):
            stopped()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
