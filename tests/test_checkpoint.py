"""What a checkpoint's file holds: read by safetensors itself, and told from every other by its checksum.

What a training makes of it is in test_training.py.
"""

import json
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file

from course_lib import checkpoint
from course_lib.checkpoint import checksum, raw, verified_text, write

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
WHOLES = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
SHAPES = [(), (0,), (1,), (7,), (3, 5), (2, 0, 3), (2, 3, 5)]


def a_tensor(shape, dtype, turned=False, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tensor = (100 * torch.randn(shape, generator=generator)).to(dtype)
    return tensor.movedim(0, -1) if turned and shape else tensor


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(SHAPES), st.sampled_from(FLOATS + WHOLES), st.booleans()), max_size=7),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=13),
)
def test_safetensors_reads_what_was_written(tmp_path_factory, kinds, about):
    file = tmp_path_factory.mktemp("written") / "a.safetensors"
    tensors = {f"optimizer/{n}/é": a_tensor(*kind, seed=n) for n, kind in enumerate(kinds)}
    write(file, tensors, about)
    theirs = load_file(file)
    assert theirs.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert theirs[name].dtype == tensor.dtype
        assert theirs[name].shape == tensor.shape
        assert torch.equal(theirs[name], tensor)
    with safe_open(file, "pt") as opened:
        assert opened.metadata()["about"] == about
    assert verified_text(file) == about
    content = file.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    for name, tensor in tensors.items():  # each number lies at a multiple of its size
        assert (start + header[name]["data_offsets"][0]) % tensor.element_size() == 0
    assert os.listdir(file.parent) == [file.name]


def test_bytes_without_a_copy_where_they_lie_in_order():
    tensor = torch.arange(15.0).view(3, 5)
    view = raw(tensor)
    assert bytes(view) == tensor.numpy().tobytes()
    tensor[0, 0] = 7.0
    assert bytes(view) == tensor.numpy().tobytes()
    assert bytes(raw(tensor.T)) == tensor.numpy().T.tobytes()


def test_anything_else_has_another_checksum():
    tensors = [("a", torch.arange(6.0)), ("b", torch.ones(6))]
    others = [
        [("a", torch.arange(6.0).view(2, 3)), ("b", torch.ones(6))],
        [("a", torch.ones(6)), ("b", torch.arange(6.0))],
        [("a", torch.arange(6.0)), ("c", torch.ones(6))],
        [("a", torch.arange(6.0)), ("b", torch.ones(6).view(torch.int32))],
        [("a", torch.arange(6.0))],
    ]
    sums = {checksum(tensors, "about"), checksum(tensors, "abouT"), *(checksum(o, "about") for o in others)}
    assert len(sums) == 2 + len(others)
    assert checksum([(name, x.clone()) for name, x in tensors], "about") == checksum(tensors, "about")


def test_one_tensor_at_a_time(tmp_path, monkeypatch):
    """None is held while the next is written."""
    held = []

    def watched(tensor):
        held.append(tensor.clone())
        return raw(tensor)

    monkeypatch.setattr(checkpoint, "raw", watched)
    write(tmp_path / "a", {"a": torch.ones(3), "b": torch.ones(5)}, "about")
    assert [len(tensor) for tensor in held] == [3, 5, 3, 5]


@pytest.mark.parametrize("damage", ["name", "bit", "short", "about"])
def test_damage_is_found(tmp_path, damage):
    file = tmp_path / "a.safetensors"
    write(file, {"weight": torch.ones(3), "velocity": torch.zeros(3)}, "about")
    content = bytearray(file.read_bytes())
    if damage == "name":
        content = content.replace(b'"weight"', b'"weighs"')
    if damage == "bit":
        content[-1] ^= 1
    if damage == "short":
        content = content[:-1]
    if damage == "about":
        content = content.replace(b'"about": "about"', b'"about": "abort"')
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.safetensors is damaged, or no checkpoint of `train`: "):
        verified_text(file)
