"""A training in one file: what `training.train` writes, and goes on from to the bit."""

import json
import os
import tempfile
from dataclasses import dataclass, field, is_dataclass
from itertools import chain
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn


@dataclass
class History:
    """The loss and the learning rate (AdamW's) of every step so far.

    Args:
        losses: a number for each step.
        learning_rates: a number for each step.
    Example:
        >>> History([2.5, 1.5], [0.1, 0.05]).losses[-1]
        1.5
    """

    losses: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)


@dataclass
class Checkpoint:
    """All that a training changes, and the file that keeps it.

    `train` restores it once, before the first step, and saves it after every so many steps.

    Args:
        path: a safetensors file; its folder is made. None: nothing is written and nothing restored.
        model: its parameters and buffers are kept.
        optimizers: their averages are kept.
        config: of the training, a dataclass. Only a training with an equal config, and with a model of the
            same kind, `model.config` and shapes, may go on from the file.
        history: is kept, and says how many steps are done.
    Raises: ValueError: the path is a folder; the model cannot be kept, or a config not compared. OSError: the
        file cannot be written. All that is found out here, before the first step.
    Example:
        >>> done, history = History([2.5, 1.5], [0.1, 0.05]), History()
        >>> model, optimizers, config = nn.Linear(2, 1), [], done  # any dataclass will do as config
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "run.safetensors"
        ...     Checkpoint(path, model, optimizers, config, done).save(random_states=[])
        ...     Checkpoint(path, model, optimizers, config, history).restore()
        []
        >>> history.losses
        [2.5, 1.5]
    """

    path: Path | None
    model: nn.Module
    optimizers: list[torch.optim.Optimizer]
    config: object
    history: History
    saved: int = field(default=0, init=False)  # steps in the file

    def __post_init__(self) -> None:
        if self.path is None:
            return
        if self.path.is_dir():
            raise ValueError(f"checkpoint must be a file; {self.path} is a folder")
        self.settings = _settings(self.model, self.config)
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._try_to_write(self.path.parent)

    def _try_to_write(self, folder: Path) -> None:
        """Write what there is now into a folder of its own, which is removed again."""
        with tempfile.TemporaryDirectory(dir=folder) as trial:
            try:
                _write(Path(trial) / "trial", self._tensors([]), self.settings)
            except (KeyError, RuntimeError, ValueError) as error:  # what safetensors says of a tensor
                raise ValueError(f"a checkpoint cannot hold this model: {error}") from error

    @property
    def what_is_kept(self) -> str:
        """What is left when training fails, in words.

        Example:
            >>> Checkpoint(None, nn.Linear(2, 1), [], History(), History()).what_is_kept
            'no checkpoint was kept'
        """
        if self.saved:
            return f"{self.path} keeps the state after {self.saved} steps"
        return "no checkpoint was kept"

    def save(self, random_states: list[Tensor]) -> None:
        """Write the file, if there are steps that it does not have.

        Args:
            random_states: of the random generators, before the next batch is drawn.
        """
        step = len(self.history.losses)
        if self.path is not None and step != self.saved:
            _write(self.path, self._tensors(random_states), self.settings)
            self.saved = step

    def _tensors(self, random_states: list[Tensor]) -> dict[str, Tensor]:
        """What goes into the file; "optimizer/1/2/exp_avg" is optimizer 1's average for its parameter 2."""
        tensors = _model_tensors(self.model)
        for k, optimizer in enumerate(self.optimizers):
            for i, averages in optimizer.state_dict()["state"].items():
                for key, average in averages.items():
                    tensors[f"optimizer/{k}/{i}/{key}"] = average
        for name, numbers in vars(self.history).items():
            tensors[f"history/{name}"] = torch.tensor(numbers, dtype=torch.float64)
        for n, state in enumerate(random_states):
            tensors[f"random/{n}"] = state
        return tensors

    def restore(self) -> list[Tensor]:
        """Read the file, if there is one, into the model, the optimizers and the history.

        Returns: the states of the random generators, for the caller to set; none where there is no file.
        Raises: ValueError: the file is damaged, or of another set-up; then nothing has been changed.
        """
        if self.path is None or not self.path.exists():
            return []
        tensors, settings = _read(self.path)
        self._refuse_other(settings)
        for name, tensor in _model_tensors(self.model).items():
            tensor.copy_(tensors[name])
        for k, optimizer in enumerate(self.optimizers):
            state: dict[int, dict[str, Tensor]] = {}
            for name in tensors:
                if name.startswith(f"optimizer/{k}/"):
                    _, _, i, key = name.split("/")
                    state.setdefault(int(i), {})[key] = tensors[name].clone()  # theirs is the file's memory
            optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
        for name, numbers in vars(self.history).items():
            numbers[:] = tensors[f"history/{name}"].tolist()
        self.saved = len(self.history.losses)
        return [tensors[name] for name in sorted(tensors) if name.startswith("random/")]

    def _refuse_other(self, settings: dict[str, str]) -> None:
        differ = []
        for name in settings | self.settings:
            there = settings.get(name)
            here = self.settings.get(name)
            if there != here:
                differ.append(f"{name}: {there} there, {here} here")
        if differ:
            raise ValueError(f"{self.path} is a checkpoint of another set-up: {'; '.join(differ)}")


def _model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, tied ones once; also the buffers that `state_dict` leaves out."""
    named = chain(model.named_parameters(), model.named_buffers())
    return {name: tensor.detach() for name, tensor in named}


def _settings(model: nn.Module, config: object) -> dict[str, str]:
    """What two trainings must have in common if one goes on from the other, as texts to compare."""
    settings = {"model": type(model).__name__}
    configs = {"model.config": getattr(model, "config", None), "config": config}
    for owner, fields in configs.items():
        for name, value in getattr(fields, "__dict__", {}).items():
            try:
                settings[f"{owner}.{name}"] = json.dumps(value, default=_plain)
            except (TypeError, ValueError) as error:
                raise ValueError(f"a checkpoint cannot compare {owner}.{name}: {error}") from error
    for name, tensor in _model_tensors(model).items():
        settings[name] = f"{tuple(tensor.shape)} {tensor.dtype}"
    return settings


def _plain(value: object) -> object:
    """Something that JSON can write, the same in every process."""
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if is_dataclass(value):
        return vars(value)
    if " at 0x" in str(value):
        raise TypeError(f"{value} has another address in another process")
    return str(value)


def _write(path: Path, tensors: dict[str, Tensor], settings: dict[str, str]) -> None:
    """Write a safetensors file with settings in its header, in a folder of its own beside path.

    Complete, it takes the place of the one that is there: a crash on the way leaves the old one.
    """
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.") as folder:
        new = Path(folder) / path.name
        save_file(tensors, new, {"settings": json.dumps(settings)})
        with new.open("rb+") as file:
            os.fsync(file.fileno())  # all of it is on the disk before it gets the name
        os.replace(new, path)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the settings that `_write` was given."""
    try:
        with safe_open(path, "pt") as file:
            settings = json.loads(file.metadata()["settings"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is damaged, or no checkpoint of `train`: {error}") from error
    return tensors, settings
