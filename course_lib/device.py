"""The one place that knows about devices."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def best_device() -> torch.device:
    """The accelerator that torch finds (CUDA, Apple's MPS, Intel's XPU ...), else the CPU.

    `COURSE_DEVICE=cpu` (or another, "cuda:1" say) overrides.

    Raises: ValueError: the override names a device that this machine does not have.
    Example:
        >>> torch.ones(2, device=best_device()).tolist()
        [1.0, 1.0]
    """
    names = [*_accelerators(), "cpu"]
    name = os.environ.get("COURSE_DEVICE", "").strip().lower() or names[0]
    if name not in names:
        raise ValueError(f"COURSE_DEVICE={name!r} is not available here; choose from {', '.join(names)}")
    return torch.device(name)


def _accelerators() -> list[str]:
    """The one kind of accelerator that this build of torch knows, then each of them by number."""
    n_devices = torch.accelerator.device_count()
    accelerator = torch.accelerator.current_accelerator() if n_devices else None  # torch 2.6 raises at 0
    if accelerator is None:
        return []
    return [accelerator.type, *(f"{accelerator.type}:{n}" for n in range(n_devices))]


@contextmanager
def one_core() -> Iterator[None]:
    """Inside, torch uses one core: to share tiny matrices out takes longer than the work.

    Example:
        >>> with one_core():
        ...     print(torch.get_num_threads())
        1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def keep_memory() -> Iterator[None]:
    """Inside, this process keeps the memory that it frees; at the end it gives it back.

    Linux's C library would give it back at once, and clear every page again for the next tensor, step after
    step: a tenth of the time of a training, and more.

    Example:
        >>> with keep_memory():
        ...     print(torch.ones(3).sum().item())
        3.0
    """
    if sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"):  # as in musl, another C library
        yield
        return
    library = ctypes.CDLL(None)
    trim_threshold, mmap_threshold, mmap_max = -1, -3, -4  # mallopt(3)
    library.mallopt(trim_threshold, 2**31 - 1)  # the heap shrinks only when so many bytes at its end are free
    library.mallopt(mmap_max, 0)  # and everything lies in it, large blocks too
    try:
        yield
    finally:
        # Once set, these no longer adapt. Here are the values to which they would have grown by themselves.
        library.mallopt(mmap_threshold, 2**25)
        library.mallopt(trim_threshold, 2**26)
        library.mallopt(mmap_max, 2**16)
        library.malloc_trim(0)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies matrices in bfloat16 by itself: only then is mixed precision quicker.

    Args:
        device: of which kind is enough.
    Example:
        >>> has_bfloat16(torch.device("mps")), has_bfloat16(torch.device("meta"))
        (True, False)
    """
    if device.type == "cpu":
        # Older versions of torch cannot say; float32 is always right.
        capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16", "sve_bf16", "bf16"))
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type in ("mps", "xpu")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within, torch's own random numbers on the CPU come from a seed; then they go on as before.

    Example:
        >>> with seeded(0):
        ...     first = torch.rand(2)
        >>> with seeded(0):
        ...     torch.equal(first, torch.rand(2))
        True
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
