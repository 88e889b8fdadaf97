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
    Raises: ValueError: no GGUF file, one that was cut off or damaged, or a version that we do not know.
    Example:
        >>> from course_lib.pretrained import smollm2_path
        >>> metadata, tensors = read_gguf(smollm2_path())
        >>> metadata["llama.block_count"], tensors["blk.29.attn_q.weight"].shape
        (30, (576, 576))
    """
    cursor = _Cursor(np.memmap(path, mode="r").data)
    try:
        magic, version = bytes(cursor.take(4)), cursor.number("I")
        if magic != b"GGUF" or version not in (2, 3):
            raise ValueError(f"it begins with {magic!r}, version {version}; expected b'GGUF', version 2 or 3")
        n_tensors, n_values = cursor.number("Q"), cursor.number("Q")
        metadata: dict[str, Any] = {}
        for _ in range(n_values):
            (name,) = cursor.strings(1)
            metadata[name] = cursor.value(cursor.number("I"))
        table = [cursor.table_entry() for _ in range(n_tensors)]
    except KeyError as error:
        raise ValueError(f"a value of unknown kind {error}") from error
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1:
        raise ValueError(f"the tensors begin at a multiple of general.alignment; it is {alignment!r}")
    start = cursor.position + -cursor.position % alignment
    tensors: dict[str, PackedTensor] = {}
    for name, shape, packing, offset in table:
        block_size, block_bytes = gguf.GGML_QUANT_SIZES[packing]
        n_bytes = math.prod(shape) // block_size * block_bytes
        cursor.position = start + offset
        tensors[name] = PackedTensor(shape, packing, np.asarray(cursor.take(n_bytes)))
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
    """Reads the bytes of a file from the front."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.position = 0

    def take(self, n_bytes: int) -> memoryview:
        """The next bytes. Raises ValueError where the file ends before them."""
        start, self.position = self.position, self.position + n_bytes
        if self.position > len(self.data):
            raise ValueError(f"it should have {self.position:,} bytes or more")
        return self.data[start : self.position]

    def number(self, code: str) -> Any:
        """One number; the code says which kind, as for `struct`."""
        (number,) = struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))
        return number

    def strings(self, n: int) -> list[str]:
        """So many strings, each as its length and its bytes; in one loop, as a vocabulary has 98,000."""
        found: list[str] = []
        data, position = self.data, self.position
        for _ in range(n):
            position += 8
            if position > len(data):
                break
            (n_bytes,) = _LENGTH.unpack_from(data, position - 8)
            position += n_bytes
            if position > len(data):
                break
            found.append(data[position - n_bytes : position].tobytes().decode())
        self.position = position
        self.take(0)  # raises an error where the file ends before
        return found

    def value(self, kind: int) -> Any:
        """A number, a string, or a list of such."""
        if kind == _STRING:
            return self.strings(1)[0]
        if kind != _ARRAY:
            return self.number(_FORMATS[kind])
        kind, length = self.number("I"), self.number("Q")
        if kind == _STRING:
            return self.strings(length)
        if kind == _ARRAY:
            return [self.value(kind) for _ in range(length)]
        code = _FORMATS[kind]
        return list(struct.unpack(f"<{length}{code}", self.take(length * struct.calcsize("<" + code))))

    def table_entry(self) -> tuple[str, tuple[int, ...], gguf.GGMLQuantizationType, int]:
        """A tensor's name, shape, packing and place; the file has the last axis of the shape first."""
        (name,) = self.strings(1)
        sizes = [self.number("Q") for _ in range(self.number("I"))]
        packing = gguf.GGMLQuantizationType(self.number("I"))
        return name, tuple(reversed(sizes)), packing, self.number("Q")
