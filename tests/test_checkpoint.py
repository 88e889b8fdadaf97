"""What a checkpoint's file holds, and how it is written; test_training.py has what a training makes of it."""

import os

import torch
from safetensors.torch import load_file
from torch import nn

from course_lib import checkpoint
from course_lib.checkpoint import Checkpoint, History
from course_lib.training import TrainingConfig

CONFIG = TrainingConfig(5)
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
DTYPES += [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]


class Tensors(nn.Module):
    """A buffer of each kind and shape; some lie in memory column by column, and some have no numbers."""

    def __init__(self, seed):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        for dtype in DTYPES:
            for shape in ((), (0,), (7,), (2, 3, 5), (2, 0, 3)):
                tensor = (100 * torch.randn(shape, generator=generator)).to(dtype)
                name = f"{dtype}{shape}".replace(".", " ")
                self.register_buffer(name, tensor, persistent=dtype != torch.bool)
                self.register_buffer(f"{name}, turned", tensor.clone().movedim(0, -1) if shape else None)


def file_of(path, seed=0, n=3):
    """A checkpoint after n steps."""
    history = History([0.1 * (seed + step) for step in range(n)], [1 / (3 + step) for step in range(n)])
    return Checkpoint(path, Tensors(seed), [], CONFIG, history)


def assert_equal(ours, theirs):
    ours, theirs = dict(ours.named_buffers()), dict(theirs.named_buffers())
    assert len(ours) == len(theirs) == 90
    for name, tensor in ours.items():
        assert tensor.dtype == theirs[name].dtype
        assert torch.equal(tensor, theirs[name]), name


def test_everything_comes_back_to_the_bit(tmp_path):
    random_states = [torch.Generator().manual_seed(seed).get_state() for seed in (1, 2)]
    saved = file_of(tmp_path / "a.st")
    saved.save(random_states)
    other = file_of(tmp_path / "a.st", seed=1, n=0)
    restored = other.restore()
    assert_equal(other.model, saved.model)
    assert other.history == saved.history
    assert len(restored) == 2
    for ours, theirs in zip(restored, random_states, strict=True):
        assert torch.equal(ours, theirs)
    assert os.listdir(tmp_path) == ["a.st"]


def test_safetensors_reads_it(tmp_path):
    saved = file_of(tmp_path / "a.st")
    saved.save([])
    theirs = load_file(tmp_path / "a.st")
    ours = dict(saved.model.named_buffers())
    assert theirs.keys() == ours.keys() | {"history/losses", "history/learning_rates"}
    assert all(torch.equal(theirs[name], tensor) for name, tensor in ours.items())


def test_nothing_is_written_twice_and_nothing_without_a_path(tmp_path, monkeypatch):
    saved = file_of(tmp_path / "a.st")
    saved.save([])
    without = file_of(None)
    monkeypatch.setattr(checkpoint, "save_file", None)
    saved.save([])
    without.save([])
    assert without.restore() == []
    assert (saved.what_is_kept, without.what_is_kept) == (
        f"{tmp_path / 'a.st'} keeps the state after 3 steps",
        "no checkpoint was kept",
    )


def test_two_writers_on_one_path_leave_a_whole_file(tmp_path, monkeypatch):
    """The second writes all of its own while the first is at the last word of its."""
    one, two = file_of(tmp_path / "a.st", seed=1), file_of(tmp_path / "a.st", seed=2)
    replace = os.replace

    def second_first(source, path):
        monkeypatch.setattr(os, "replace", replace)
        two.save([])
        replace(source, path)

    monkeypatch.setattr(os, "replace", second_first)
    one.save([])
    read = file_of(tmp_path / "a.st", n=0)
    read.restore()
    assert_equal(read.model, one.model)
    assert os.listdir(tmp_path) == ["a.st"]
