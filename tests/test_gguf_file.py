"""Our reader of GGUF files against the package `gguf`, which also writes the small ones."""

import functools
import struct
import tracemalloc

import gguf
import numpy as np
import pytest
import small_gguf
import torch

from course_lib.gguf_file import read_gguf
from course_lib.pretrained import smollm2_path

VALUES = {
    "add_uint8": 251,
    "add_int8": -127,
    "add_uint16": 65_521,
    "add_int16": -32_749,
    "add_uint32": 4_294_967_291,
    "add_int32": -2_147_483_629,
    "add_float32": 0.375,
    "add_bool": True,
    "add_string": "naïve 四 😀",
    "add_uint64": 2**63 + 29,
    "add_int64": -(2**62) - 31,
    "add_float64": 0.1,
}
ARRAYS = {
    "strings": ["a", "", "Ġ四", "<|end|>"],
    "numbers": [2, -3, 5, 7, -11],
    "reals": [0.5, -0.25, 3.0],
    "bools": [True, False, True],
    "one": ["x"],
}


def write(path, tensors=(), *, values=True, alignment=None):
    """A file with every kind of value, and tensors as (name, packed, packing)."""
    writer = gguf.GGUFWriter(path, "llama")
    if alignment is not None:
        writer.add_custom_alignment(alignment)
    if values:
        for method, value in VALUES.items():
            getattr(writer, method)(f"test.{method}", value)
        for name, value in ARRAYS.items():
            writer.add_array(f"test.{name}", value)
    for name, packed, packing in tensors:
        writer.add_tensor(name, packed, raw_dtype=packing)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def numbers(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def test_every_kind_of_value(tmp_path):
    metadata, tensors = read_gguf(write(tmp_path / "values.gguf"))
    assert tensors == {}
    assert metadata.pop("general.architecture") == "llama"
    assert metadata == {f"test.{name}": value for name, value in {**VALUES, **ARRAYS}.items()}
    for name, value in VALUES.items():
        assert type(metadata[f"test.{name}"]) is type(value), name


PACKINGS = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]


@pytest.mark.parametrize("alignment", [None, 64])
def test_tensors_of_every_packing_that_gguf_writes(tmp_path, alignment):
    written = []
    for i, name in enumerate(PACKINGS):
        packing = gguf.GGMLQuantizationType[name]
        written.append((name, gguf.quantize(numbers(3 + i, 5, 96), packing), packing))
    path = write(tmp_path / "tensors.gguf", written, alignment=alignment)
    tensors = read_gguf(path).tensors
    assert list(tensors) == PACKINGS
    for i, (name, packed, packing) in enumerate(written):
        weights = tensors[name].unpack()
        assert (weights.shape, weights.dtype) == ((3 + i, 5, 96), torch.float32), name
        assert np.array_equal(weights, gguf.dequantize(packed, packing)), name
        weights.zero_()  # they are ours, not the file's
        assert np.array_equal(tensors[name].unpack(), gguf.dequantize(packed, packing)), name
    assert path.read_bytes() == write(tmp_path / "again.gguf", written, alignment=alignment).read_bytes()


def test_shapes_of_one_axis_and_of_none_too_many(tmp_path):
    path = write(tmp_path / "shapes.gguf", [("one", numbers(7), None), ("four", numbers(2, 3, 5, 7), None)])
    tensors = read_gguf(path).tensors
    for name, shape in (("one", (7,)), ("four", (2, 3, 5, 7))):
        assert tensors[name].shape == shape
        assert np.array_equal(tensors[name].unpack(), numbers(*shape)), name


def test_a_packing_that_nobody_reads(tmp_path):
    packing = gguf.GGMLQuantizationType.Q8_1
    path = write(tmp_path / "rare.gguf", [("t", np.zeros((3, 40), np.uint8), packing)])
    tensor = read_gguf(path).tensors["t"]
    assert tensor.shape == (3, 32)
    with pytest.raises(ValueError, match=r"^the weights are packed as Q8_1: no reader here$"):
        tensor.unpack()


def test_smollm2_bit_by_bit(smollm2_reader):
    metadata, tensors = read_gguf(smollm2_path())
    theirs = {name: f.contents() for name, f in smollm2_reader.fields.items() if not name.startswith("GGUF.")}
    assert metadata == theirs
    assert len(metadata["tokenizer.ggml.merges"]) > 48_000
    assert list(tensors) == [tensor.name for tensor in smollm2_reader.tensors]
    for tensor in smollm2_reader.tensors:
        weights = gguf.dequantize(tensor.data, tensor.tensor_type)
        assert np.array_equal(tensors[tensor.name].unpack(), weights), tensor.name


# ---------------------------------------------------------------------------------------------- damaged files


OURS = ("at byte ", "it begins with ", "the tensors begin at ", "the weights are packed as ")


@pytest.fixture
def small(tmp_path):
    """A small file as bytes, and how to read other bytes."""
    path = write(tmp_path / "small.gguf", [("a", numbers(3, 5), None), ("b", numbers(2), None)])

    def read(content):
        (tmp_path / "other.gguf").write_bytes(content)
        return read_gguf(tmp_path / "other.gguf")

    return path.read_bytes(), read


def test_a_file_that_was_cut_off_anywhere(small):
    content, read = small
    whole = read(content)
    n_needed = content.rindex(whole.tensors["b"].unpack().numpy().tobytes()) + 8  # zeros may follow
    assert read(content[:n_needed]).metadata == whole.metadata
    for length in [*range(0, n_needed, 7), n_needed - 1]:
        message = r"^at byte [\d,]+: .+ would take [\d,]+ bytes or more; [\d,]+ are left$|empty file"
        with pytest.raises(ValueError, match=message):
            read(content[:length])


def refuses(read):
    """Whether an error says what is wrong with a file; any but our own goes on."""
    try:
        read()
    except ValueError as error:
        if not str(error).startswith(OURS):
            raise
        return True
    return False


def test_a_damaged_byte_gives_no_foreign_error(small):
    """It may go unnoticed here (the hash of a published file is there to notice)."""
    content, read = small
    refused = 0
    for place in range(content.index(numbers(3, 5).tobytes())):
        damaged = bytearray(content)
        damaged[place] = (9, 255)[place % 2]
        refused += refuses(functools.partial(read, bytes(damaged)))
    assert refused > 199


def test_damaged_headers_of_a_model(tmp_path):
    """What is read has all its weights, in no more memory than a few times the file."""
    shapes = small_gguf.shapes(5, 12, 13) | dict.fromkeys(small_gguf.NORMS, (12,))
    tensors = {name: numbers(*shape) for name, shape in shapes.items()}
    tokens = ["a", "b", "<end>", "c", "ab"]
    path = small_gguf.write(tmp_path / "a.gguf", tensors, tokens=tokens, d_model=12, d_ff=13)
    content = path.read_bytes()
    n_header = content.index(tensors["token_embd"].tobytes())

    def read():
        for tensor in read_gguf(path).tensors.values():
            assert tensor.unpack().shape == tensor.shape

    rng = np.random.default_rng(0)
    refused = 0
    for n in range(499):
        damaged = bytearray(content)
        for place in rng.integers(n_header, size=1 + n % 3):
            damaged[place] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        tracemalloc.start()
        refused += refuses(read)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20 * len(content)
    assert 199 < refused < 480


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, b"GGML", r"it begins with b'GGML', version 3; expected b'GGUF', version 2 or 3"),
        (4, struct.pack("<I", 1), r"it begins with b'GGUF', version 1; expected b'GGUF', version 2 or 3"),
        (4, struct.pack(">I", 3), r"it begins with b'GGUF', version 50331648; expected"),
    ],
)
def test_another_beginning(small, place, value, message):
    content, read = small
    with pytest.raises(ValueError, match=message):
        read(content[:place] + value + content[place + len(value) :])


def test_a_kind_of_value_that_nobody_knows(small):
    content, read = small
    place = content.index(b"test.add_uint8") + len("test.add_uint8")
    with pytest.raises(ValueError, match=rf"^at byte {place + 4}: a value of unknown kind 13$"):
        read(content[:place] + struct.pack("<I", 13) + content[place + 4 :])


@pytest.mark.parametrize(
    ("after", "skipped", "value", "message"),
    [
        (b"GGUF", 4, 2**61 + 1, r"^at byte 16: 2,305,843,009,213,693,953 tensors would take [\d,]+ bytes or"),
        (b"GGUF", 12, 2**61 + 1, r"^at byte 24: 2,305,843,009,213,693,953 values would take [\d,]+ bytes or"),
        (
            b"test.strings",
            8,
            997,
            r"^at byte [\d,]+: 997 strings would take 7,976 bytes or more; [\d,]+ are l",
        ),
        (
            b"test.strings",
            16,
            99_991,
            r"^at byte [\d,]+: a string would take 99,991 bytes or more; [\d,]+ are",
        ),
        (
            b"test.numbers",
            8,
            997,
            r"^at byte [\d,]+: 997 numbers would take 3,988 bytes or more; [\d,]+ are l",
        ),
        (b"test.add_string", 12, 2**63 - 1, r"^at byte [\d,]+: a string that is no UTF-8$"),
    ],
)
def test_more_than_the_file_can_hold(small, after, skipped, value, message):
    content, read = small
    place = content.index(after) + len(after) + skipped
    with pytest.raises(ValueError, match=message):
        read(content[:place] + struct.pack("<Q", value) + content[place + 8 :])


@pytest.mark.parametrize("depth", [1, 8, 9, 3_001])
def test_arrays_in_arrays(small, depth):
    content, read = small
    name = b"test.one"
    place = content.index(name) + len(name)
    within = struct.pack("<IQ", 9, 1) * (depth - 1) + struct.pack("<IQB", 0, 1, 251)
    end = place + 4 + 12 + 9  # ["x"] stands there
    nested = content[:place] + struct.pack("<I", 9) + within + content[end:]
    if depth > 8:
        with pytest.raises(ValueError, match=r"^at byte [\d,]+: arrays in arrays, more than 8 deep$"):
            read(nested)
    else:
        found = read(nested).metadata["test.one"]
        for _ in range(depth):
            (found,) = found
        assert found == 251


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_axes": 5}, "tensor 'a' has 5 axes; expected 1 to 4"),
        ({"n_axes": 0}, "tensor 'a' has 0 axes; expected 1 to 4"),
        ({"width": 0}, r"tensor 'a' has shape \(3, 0\); expected sizes from 1 on, the last a multiple of 1"),
        (
            {"packing": 3},
            r"tensor 'a' has shape \(3, 5\); expected sizes from 1 on, the last a multiple of 32",
        ),
        ({"packing": 997}, "tensor 'a' is packed in an unknown way, 997"),
        ({"offset": 32}, "tensor 'a' begins at 32; expected 0"),
        ({"width": 2**40}, r"tensor 'a' would take 13,194,139,533,312 bytes or more; [\d,]+ are left"),
    ],
)
def test_a_damaged_line_of_the_table(small, changes, message):
    content, read = small
    line = {"n_axes": 2, "width": 5, "height": 3, "packing": 0, "offset": 0}
    before, after = (struct.pack("<IQQIQ", *values.values()) for values in (line, line | changes))
    assert content.count(before) == 1
    with pytest.raises(ValueError, match=rf"^at byte [\d,]+: {message}"):
        read(content.replace(before, after))


def test_an_alignment_of_0(tmp_path):
    path = write(tmp_path / "aligned.gguf", alignment=64)
    content = path.read_bytes()
    place = content.index(b"general.alignment") + len("general.alignment") + 4
    path.write_bytes(content[:place] + bytes(4) + content[place + 4 :])
    with pytest.raises(ValueError, match=r"^the tensors begin at a multiple of general.alignment; it is 0$"):
        read_gguf(path)
