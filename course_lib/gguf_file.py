"""What a GGUF file holds: the configuration, the vocabulary and the weights of one model.

In this order: the letters GGUF, three numbers, named values, a table of the tensors, and their bytes
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). Nothing is read that nobody asks for, and the
weights of a tensor are unpacked all at once: SmolLM2's header takes the package `gguf` two seconds.
"""

import math
import struct
from pathlib import Path
from typing import Any, NamedTuple

import gguf
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Bytes = NDArray[np.uint8]

# What follows the number that stands before each value: these for `struct`, a string, or an array.
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LENGTH = struct.Struct("<Q")
_DEEPEST = 8  # arrays in arrays; llama.cpp reads none at all
_MOST_AXES = 4  # ggml's


class PackedTensor(NamedTuple):
    """A tensor as it lies in the file: its shape, how its weights are packed, and its bytes."""

    shape: tuple[int, ...]
    packing: gguf.GGMLQuantizationType
    data: Bytes

    def unpack(self) -> Tensor:
        """The weights in float32, in memory of their own.

        Raises: ValueError: a packing that nobody here can read.
        Example:
            >>> two_numbers = np.array([0.5, -3.0], np.float32).view(np.uint8)
            >>> PackedTensor((2,), gguf.GGMLQuantizationType.F32, two_numbers).unpack()
            tensor([ 0.5000, -3.0000])
        """
        if self.packing.name == "Q4_1":
            return unpack_q4_1(self.data.reshape(-1, 20)).reshape(self.shape)
        if self.packing.name == "Q8_0":
            return unpack_q8_0(self.data.reshape(-1, 34)).reshape(self.shape)
        try:
            return torch.tensor(gguf.dequantize(self.data, self.packing)).reshape(self.shape)
        except NotImplementedError:
            raise ValueError(f"the weights are packed as {self.packing.name}: no reader here") from None


class GGUFFile(NamedTuple):
    """Values by name, such as "llama.block_count", and tensors by name.

    Example: see `read_gguf`.
    """

    metadata: dict[str, Any]
    tensors: dict[str, PackedTensor]


def read_gguf(path: Path) -> GGUFFile:
    """The values of a file, and where its tensors lie; those are not read yet.

    Args:
        path: of a whole model, such as `pretrained.smollm2_path()`.
    Raises: ValueError: no GGUF file, one that was cut off or damaged, and where, or a version that we do not
        know. Before memory is taken, the file must be long enough for what its numbers say.
    Example:
        >>> from course_lib.pretrained import smollm2_path
        >>> metadata, tensors = read_gguf(smollm2_path())
        >>> metadata["llama.block_count"], tensors["blk.29.attn_q.weight"].shape
        (30, (576, 576))
    """
    cursor = _Cursor(np.memmap(path, mode="r").data)
    magic, version = bytes(cursor.take(4)), cursor.number("I")
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError(f"it begins with {magic!r}, version {version}; expected b'GGUF', version 2 or 3")
    n_tensors, n_values = cursor.count("tensors", 32), cursor.count("values", 13)
    metadata: dict[str, Any] = {}
    for _ in range(n_values):
        (name,) = cursor.strings(1)
        metadata[name] = cursor.value(cursor.number("I"))
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1:
        raise ValueError(f"the tensors begin at a multiple of general.alignment; it is {alignment!r}")
    table: list[tuple[str, tuple[int, ...], gguf.GGMLQuantizationType, int]] = []
    end = 0
    for _ in range(n_tensors):
        begin = end + -end % alignment  # one after the other, as llama.cpp wants them, too
        name, shape, packing, n_bytes = cursor.table_entry(begin)
        table.append((name, shape, packing, n_bytes))
        end = begin + n_bytes
    tensors: dict[str, PackedTensor] = {}
    for name, shape, packing, n_bytes in table:
        cursor.position += -cursor.position % alignment
        tensors[name] = PackedTensor(shape, packing, np.asarray(cursor.take(n_bytes, f"tensor {name!r:.60}")))
    return GGUFFile(metadata, tensors)


def unpack_q4_1(blocks: Bytes) -> Tensor:
    """Weights from blocks of 32 that share a scale and an offset; each has 4 bits, two share a byte.

        weight = scale * number + offset, number = 0 ... 15

    Args:
        blocks: (N, 20): scale and offset in float16, then 16 bytes. Their lower halves are the first 16
            numbers, their upper halves the last.
    Returns: (N, 32)
    Example:
        >>> two = np.array([0.5, -1.0], np.float16).view(np.uint8)  # scale and offset
        >>> unpack_q4_1(np.append(two, [0x42] * 16).astype(np.uint8)[None])[0, [0, 16]].tolist()  # 2 and 4
        [0.0, 1.0]
    """
    scale, offset = torch.from_numpy(blocks[:, :4].copy().view(np.float16)).float().split(1, dim=1)
    halves = torch.from_numpy(blocks[:, 4:].copy())
    numbers = torch.cat([halves & 15, halves >> 4], dim=1).float()
    return numbers.mul_(scale).add_(offset)  # in place, as memory costs time, too


def unpack_q8_0(blocks: Bytes) -> Tensor:
    """Weights from blocks of 32 that share a scale; each has a byte with a sign.

        weight = scale * number, number = -128 ... 127

    Args:
        blocks: (N, 34): the scale in float16, then the 32 numbers.
    Returns: (N, 32)
    Example:
        >>> scale = np.array([0.5], np.float16).view(np.uint8)
        >>> unpack_q8_0(np.append(scale, [255] * 32).astype(np.uint8)[None])[0, 0].item()  # 255 is -1
        -0.5
    """
    scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    weights = torch.empty(len(blocks), 32)
    np.multiply(blocks[:, 2:].view(np.int8), scale, out=weights.numpy())
    return weights


class _Cursor:
    """Reads the bytes of a file from the front. What cannot be is a ValueError, which says where."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.position = 0

    def damaged(self, what: str) -> ValueError:
        """The error that says what is wrong here."""
        return ValueError(f"at byte {self.position:,}: {what}")

    def need(self, n_bytes: int, what: str) -> None:
        """Stop where the file ends before so many bytes."""
        left = max(0, len(self.data) - self.position)
        if n_bytes > left:
            raise self.damaged(f"{what} would take {n_bytes:,} bytes or more; {left:,} are left")

    def take(self, n_bytes: int, what: str = "a number") -> memoryview:
        """The next bytes."""
        self.need(n_bytes, what)
        start, self.position = self.position, self.position + n_bytes
        return self.data[start : self.position]

    def number(self, code: str) -> Any:
        """One number; the code says which kind, as for `struct`."""
        (number,) = struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))
        return number

    def count(self, what: str, n_bytes: int) -> int:
        """How many of them follow, each of so many bytes or more."""
        n = self.number("Q")
        self.need(n * n_bytes, f"{n:,} {what}")
        return n

    def strings(self, n: int) -> list[str]:
        """So many strings, each as its length and its bytes; in one loop, as a vocabulary has 98,000."""
        found: list[str] = []
        data, position, end = self.data, self.position, len(self.data)
        for _ in range(n):
            begin = position + 8
            if begin > end:
                break
            (n_bytes,) = _LENGTH.unpack_from(data, position)
            if begin + n_bytes > end:
                break
            try:
                found.append(data[begin : begin + n_bytes].tobytes().decode())
            except UnicodeDecodeError:
                self.position = begin
                raise self.damaged("a string that is no UTF-8") from None
            position = begin + n_bytes
        self.position = position
        if len(found) < n:
            self.take(self.number("Q"), "a string")  # says where the file ends
        return found

    def value(self, kind: int, depth: int = 0) -> Any:
        """A number, a string, or a list of such."""
        if kind == _STRING:
            return self.strings(1)[0]
        if kind != _ARRAY:
            return self.number(self.format(kind))
        if depth == _DEEPEST:
            raise self.damaged(f"arrays in arrays, more than {_DEEPEST} deep")
        kind = self.number("I")
        if kind == _STRING:
            return self.strings(self.count("strings", 8))
        if kind == _ARRAY:
            return [self.value(kind, depth + 1) for _ in range(self.count("arrays", 12))]
        code = "<" + self.format(kind)
        n_bytes = struct.calcsize(code)
        return np.frombuffer(self.take(self.count("numbers", n_bytes) * n_bytes), code).tolist()

    def format(self, kind: int) -> str:
        """What `struct` calls this kind of number."""
        if kind not in _FORMATS:
            raise self.damaged(f"a value of unknown kind {kind}")
        return _FORMATS[kind]

    def table_entry(self, begin: int) -> tuple[str, tuple[int, ...], gguf.GGMLQuantizationType, int]:
        """A tensor's name, shape, packing and size in bytes; the file has the last axis of the shape first.

        Args:
            begin: where it must lie, counted from the first tensor.
        """
        (name,) = self.strings(1)
        what = f"tensor {name!r:.60}"
        n_axes = self.number("I")
        if not 1 <= n_axes <= _MOST_AXES:
            raise self.damaged(f"{what} has {n_axes} axes; expected 1 to {_MOST_AXES}")
        shape = tuple(reversed([self.number("Q") for _ in range(n_axes)]))
        kind, offset = self.number("I"), self.number("Q")
        if kind not in gguf.GGML_QUANT_SIZES:
            raise self.damaged(f"{what} is packed in an unknown way, {kind}")
        packing = gguf.GGMLQuantizationType(kind)
        block_size, block_bytes = gguf.GGML_QUANT_SIZES[packing]
        if 0 in shape or shape[-1] % block_size:
            expected = f"sizes from 1 on, the last a multiple of {block_size}"
            raise self.damaged(f"{what} has shape {shape}; expected {expected}")
        if offset != begin:
            raise self.damaged(f"{what} begins at {offset:,}; expected {begin:,}")
        n_bytes = math.prod(shape) // block_size * block_bytes
        self.need(n_bytes, what)
        return name, shape, packing, n_bytes
