"""The one place that knows about devices, and about seeds."""

import ctypes
import os
import random
import sys
from functools import cache

import numpy as np
import torch


def best_device() -> torch.device:
    """The accelerator that torch finds (CUDA, Apple's MPS, Intel's XPU ...), else the CPU.

    `COURSE_DEVICE=cpu` (or another) overrides. Of several accelerators torchrun's processes get one each,
    unless the override has a number.

    Raises:
        ValueError: the override names a device that this machine does not have, or torchrun started more
            processes than there are accelerators.
    """
    accelerators = _accelerators()
    kinds = [device.type for device in accelerators[:1]]
    names = [*kinds, *map(str, accelerators), "cpu"]
    name = os.environ.get("COURSE_DEVICE", "").strip().lower() or names[0]
    if name not in names:
        raise ValueError(f"COURSE_DEVICE={name!r} is not available here; choose from {', '.join(names)}")
    if name in kinds and len(accelerators) > 1 and "LOCAL_RANK" in os.environ:
        return _own(accelerators, int(os.environ["LOCAL_RANK"]))
    return torch.device(name)


def _accelerators() -> list[torch.device]:
    """Every accelerator of this machine, of the one kind that this build of torch knows."""
    n_devices = torch.accelerator.device_count()
    accelerator = torch.accelerator.current_accelerator() if n_devices else None  # torch 2.6 raises at 0
    if accelerator is None:
        return []
    return [torch.device(accelerator.type, n) for n in range(n_devices)]


def _own(accelerators: list[torch.device], rank: int) -> torch.device:
    """The accelerator of this one of torchrun's processes."""
    if rank >= len(accelerators):
        raise ValueError(f"LOCAL_RANK={rank}, but this machine has only {', '.join(map(str, accelerators))}")
    return accelerators[rank]


def seed_everything(seed: int) -> torch.Generator:
    """Seed Python, NumPy and torch.

    Returns:
        a CPU generator with the same seed, for what takes one
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (libraries that still read the global state)
    torch.manual_seed(seed)
    return torch.Generator().manual_seed(seed)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was given: call this before reading a clock."""
    if any(device.type == accelerator.type for accelerator in _accelerators()):
        torch.accelerator.synchronize(device)


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
