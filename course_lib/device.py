"""The one place that knows about devices, and about seeds."""

import ctypes
import os
import random
import sys
from functools import cache

import numpy as np
import torch

_ACCELERATORS = {
    "cuda": lambda: torch.cuda.is_available(),
    "mps": lambda: torch.backends.mps.is_available(),
    "xpu": lambda: torch.xpu.is_available(),
}


def best_device() -> torch.device:
    """CUDA, else MPS (Apple), else XPU (Intel), else the CPU; `COURSE_DEVICE=cpu` (or another) overrides.

    Of several CUDA devices torchrun's processes get one each.
    Raises: ValueError: the override names a device that this machine does not have.
    """
    available = [name for name, is_available in _ACCELERATORS.items() if is_available()] + ["cpu"]
    wanted = os.environ.get("COURSE_DEVICE", "").strip().lower()
    if not wanted:
        several = available[0] == "cuda" and "LOCAL_RANK" in os.environ
        return torch.device(f"cuda:{os.environ['LOCAL_RANK']}" if several else available[0])
    if wanted.split(":")[0] not in available:
        names = ", ".join(available)
        raise ValueError(f"COURSE_DEVICE={wanted!r} is not available here; choose from {names}")
    return torch.device(wanted)


def seed_everything(seed: int) -> torch.Generator:
    """Seed Python, NumPy and torch; returns a CPU generator with the same seed for what takes one."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (libraries that still read the global state)
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was given: call this before reading a clock."""
    if device.type in _ACCELERATORS:
        getattr(torch, device.type).synchronize()


@cache
def keep_memory() -> None:
    """Let this process keep what it frees for the next tensor, where Linux's C library would give it back and
    then clear every page again, step after step: a tenth of the time of a training, and more.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", lambda setting, value: 0)  # musl has none
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: shrink only after so many bytes
        mallopt(-4, 0)  # M_MMAP_MAX: how many blocks may lie apart


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies matrices in bfloat16 by itself: only then is mixed precision quicker."""
    if device.type == "cpu":
        # Older versions of torch cannot say; float32 is always right.
        capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "sve_bf16", "bf16"))
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type in ("mps", "xpu")
