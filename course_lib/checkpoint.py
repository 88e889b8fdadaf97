"""A training in one file: what `training.train` writes, and goes on from to the bit."""

import json
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


@dataclass
class History:
    """The loss and the learning rate (AdamW's) of every step."""

    losses: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)

    @contextmanager
    def carried_by_errors(self) -> Iterator[None]:
        """An exception that leaves this block has the history with it, as its attribute `history`."""
        try:
            yield
        except BaseException as error:  # an interrupt too
            error.history = self  # type: ignore[attr-defined]
            raise


@dataclass
class Checkpoint:
    """All that a training changes, and the file that keeps it: weights, the optimizers' averages, history.

    Without a path nothing is written and nothing restored.

    Args:
        path: a safetensors file. Its folder is made.
        every: write after so many steps.
        config: of the training; see `describe`.
        writes: False: another process does.
    Raises:
        ValueError: `every` below 1, a path that is a folder, a tensor of a type that the file cannot hold;
        OSError: the file cannot be written.
    """

    path: Path | None
    every: int
    model: nn.Module
    optimizers: list[torch.optim.Optimizer]
    config: object
    history: History
    writes: bool = True
    saved: int = field(default=0, init=False)  # steps in the file

    def __post_init__(self) -> None:
        """Refuse before the first step what would fail after it."""
        if self.every < 1:
            raise ValueError(f"checkpoint_every must be at least 1; got {self.every}")
        if self.path is None:
            return
        if self.path.is_dir():
            raise ValueError(f"checkpoint must be a file; {self.path} is a folder")
        for name, tensor in model_tensors(self.model).items():
            if tensor.dtype not in _DTYPES:
                raise ValueError(f"a checkpoint cannot hold {name}, which is {tensor.dtype}")
        if self.writes and not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _replacement(self.path):
                pass  # only to see that the folder can be written

    @property
    def what_is_kept(self) -> str:
        """What is left when training fails, in words."""
        if self.saved:
            return f"{self.path} keeps the state after {self.saved} steps"
        return "no checkpoint was kept"

    def save_when_due(self, random_state: Tensor) -> None:
        """Write the file if a multiple of `every` steps is done."""
        if len(self.history.losses) % self.every == 0:
            self.save(random_state)

    def save(self, random_state: Tensor) -> None:
        """Write the file, if there are steps that it does not have.

        Args:
            random_state: of torch's generator, before the next batch is drawn.
        """
        step = len(self.history.losses)
        if self.path is None or step == self.saved:
            return
        if self.writes:
            tensors = model_tensors(self.model) | optimizer_tensors(self.optimizers)
            tensors["random/cpu"] = random_state
            set_up = describe(self.model, self.config)
            write(self.path, tensors, json.dumps([set_up, vars(self.history)]))
        self.saved = step

    def restore(self) -> Tensor:
        """Read the file into the model, the optimizers and the history.

        Returns:
            the random state to go on with: that of the file or, where there is none, the present one
        Raises:
            ValueError: the file is damaged, or of another set-up; then nothing has been changed.
        """
        if self.path is None or not self.path.exists():
            return torch.get_rng_state()
        set_up, history = json.loads(verified_text(self.path))
        self._refuse_another(set_up)
        with safe_open(self.path, "pt") as file, torch.no_grad():
            for name, tensor in model_tensors(self.model).items():
                tensor.copy_(file.get_tensor(name))
            names = [name for name in file.keys() if name.startswith("optimizer/")]  # noqa: SIM118
            restore_optimizers(self.optimizers, {name: file.get_tensor(name) for name in names})
            random_state = file.get_tensor("random/cpu").clone()
        self.history.losses[:] = history["losses"]
        self.history.learning_rates[:] = history["learning_rates"]
        self.saved = len(self.history.losses)
        return random_state

    def _refuse_another(self, there: dict[str, str]) -> None:
        here = describe(self.model, self.config)
        names = [name for name in there | here if there.get(name) != here.get(name)]
        if names:
            differ = "; ".join(f"{name}: {there.get(name)} there, {here.get(name)} here" for name in names)
            raise ValueError(f"{self.path} is a checkpoint of another set-up: {differ}")


def describe(model: nn.Module, config: object) -> dict[str, str]:
    """What two trainings have to share: kind, settings and shapes of the model, settings of the training.

    The number of steps too: it shapes the learning rate.
    """
    settings: dict[str, Any] = {"model": type(model).__name__}
    settings |= getattr(getattr(model, "config", None), "__dict__", {})
    settings |= vars(config)
    for name, tensor in model_tensors(model).items():
        settings[name] = f"{tuple(tensor.shape)} {tensor.dtype}"
    return {name: str(value) for name, value in settings.items()}


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, in the model's own memory; tied ones once.

    Unlike `state_dict` with the buffers that it leaves out: a training may change them too.
    """
    named = chain(model.named_parameters(), model.named_buffers())
    return {name: tensor.detach() for name, tensor in named}


def optimizer_tensors(optimizers: Iterable[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """The optimizers' averages: "optimizer/1/2/exp_avg" is that of optimizer 1 for its parameter 2."""
    tensors = {}
    for k, optimizer in enumerate(optimizers):
        for i, averages in optimizer.state_dict()["state"].items():
            for key, tensor in averages.items():
                tensors[f"optimizer/{k}/{i}/{key}"] = tensor
    return tensors


def restore_optimizers(optimizers: Iterable[torch.optim.Optimizer], tensors: dict[str, Tensor]) -> None:
    """Give optimizers copies of what `optimizer_tensors` found."""
    for k, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            _, owner, i, key = name.split("/")
            if int(owner) == k:
                state.setdefault(int(i), {})[key] = tensor.clone()
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def write(path: Path, tensors: dict[str, Tensor], about: str) -> None:
    """Write a safetensors file one tensor at a time: it takes the memory of the largest at most.

    Complete, it takes the place of the one that is there: a crash on the way leaves the old one.

    Args:
        about: a text that goes into its metadata.
    """
    # Wide types first: a number has to lie at a multiple of its size.
    tensors = dict(sorted(tensors.items(), key=lambda item: -item[1].element_size()))
    metadata = {"about": about, "crc32": str(checksum(sorted(tensors.items()), about))}
    header: dict[str, Any] = {"__metadata__": metadata}
    start = 0
    for name, tensor in tensors.items():
        end = start + tensor.nbytes
        dtype = _DTYPES[tensor.dtype]
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [start, end]}
        start = end
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with _replacement(path) as new:
        with new.open("wb") as file:
            file.write(len(head).to_bytes(8, "little"))
            file.write(head)
            for tensor in tensors.values():
                file.write(raw(tensor))
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)


@contextmanager
def _replacement(path: Path) -> Iterator[Path]:
    """A new file beside the one at path, gone at the end if it is still there."""
    new = path.with_name(path.name + ".new")
    new.touch()
    try:
        yield new
    finally:
        new.unlink(missing_ok=True)


def verified_text(path: Path) -> str:
    """The text that `write` was given, once all of the file has been found to be what was written.

    Raises:
        ValueError: the file is not what `write` wrote.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            tensors = ((name, file.get_tensor(name)) for name in sorted(file.keys()))
            if int(metadata["crc32"]) != checksum(tensors, metadata["about"]):
                raise ValueError("its checksum is wrong")
            return metadata["about"]
    except (SafetensorError, TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is damaged, or no checkpoint of `train`: {error}") from error


def checksum(tensors: Iterable[tuple[str, Tensor]], about: str) -> int:
    """One number for a text and named tensors: another name, type, shape or bit gives another number."""
    total = zlib.crc32(about.encode())
    for name, tensor in tensors:
        label = f"{name} {tensor.dtype} {tuple(tensor.shape)}"
        total = zlib.crc32(label.encode(), total)
        total = zlib.crc32(raw(tensor), total)
    return total


def raw(tensor: Tensor) -> memoryview:
    """The bytes of a tensor, row by row; of one that lies on the CPU in this order, without a copy."""
    rows = tensor.detach().cpu().contiguous()
    return rows.flatten().view(torch.uint8).numpy().data
