"""What goes through the pipe: every value arrives as it was, and every lie is refused as one."""

import ast
import inspect
import json
import math
import socket
import struct
import threading
import time
from collections import Counter
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from course_lib.checks.values import Refused
from course_lib.grading.judging import session
from course_lib.grading.pipe import wire
from course_lib.grading.pipe.wire import Foreign, Late, WireError

pytestmark = pytest.mark.usefixtures("own_errors")


def sent_and_received(value):
    """A value after its way through the pipe."""
    raw = bytearray()
    header = wire.encode(value, raw)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=wire.send, args=(ours, header, raw))  # a pipe holds little
        sender.start()
        came, blob = wire.receive(theirs, 10.0)
        sender.join()
    return wire.decode(came, blob)


def same(a, b):
    """Whether two values are equal in every type, shape and bit; NaN is NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return same(a.detach().numpy(), b.detach().numpy())
    if isinstance(a, np.ndarray) and a.dtype == object:
        return a.shape == b.shape == () and same(a.item(), b.item())
    if isinstance(a, np.ndarray):
        return (a.dtype, a.shape) == (b.dtype, b.shape) and a.tobytes() == b.tobytes()
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a), list(b)) and same(list(a.values()), list(b.values()))
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b) or (a != a and b != b)
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    return a == b


# ------------------------------------------------------------------------------------------------ round trips

DTYPES = list(wire.DTYPES.values())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 5), (2, 0, 3), (2, 3, 5)])
def test_arrays_and_tensors_of_every_kind_arrive(dtype, shape):
    array = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    assert same(sent_and_received(array), array)
    assert same(sent_and_received(torch.from_numpy(array)), torch.from_numpy(array))


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, 0, -1, 10**300, "", "ä ✓ \0 \ud800", 0.5, -0.0, math.inf, math.nan),
        *(2 - 3j, complex(math.nan, -0.0), b"", b"a\0\xff", [], (), {}, set(), frozenset()),
        *([1, (2.0, "3"), [None]], {"a": [1], 2: (3,), None: {True}}, {1, "a", (2, 3)}, frozenset({b"x"})),
        *({"b": 1, "a": 2}, [np.arange(3), np.zeros((2, 0))], {"w": torch.ones(2, 3)}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_plain_values_arrive(value):
    assert same(sent_and_received(value), value)


@pytest.mark.parametrize("content", [["a", ("b", 2)], {"a": 2}, "text", b"bytes", None, {1, 2}])
def test_a_box_arrives_with_what_is_in_it(content):
    box = np.empty((), dtype=object)
    box[()] = content
    assert same(sent_and_received(box), box)


def test_a_refusal_arrives():
    came = sent_and_received(Refused("too long"))
    assert (type(came), came.words) == (Refused, "too long")


def test_nothing_of_an_array_is_shared_with_what_came():
    array = sent_and_received(np.arange(3.0))
    array[0] = 7  # the bytes of a frame cannot be written to
    assert array.tolist() == [7, 1, 2]


class Colour(IntEnum):
    RED = 3


class Pair(NamedTuple):
    first: int
    second: str


class Word(str):
    """A text of a learner's own class."""

    def __eq__(self, other):
        return True

    __hash__ = str.__hash__


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.int64(-3), -3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (Word("a"), "a"),
        (Colour.RED, 3),
        (bytearray(b"ab"), b"ab"),
        (Counter("aab"), {"a": 2, "b": 1}),
        (Pair(1, "b"), (1, "b")),
        (torch.ones(2, 3).shape, (2, 3)),
        (np.arange(3, dtype=">i4"), np.arange(3, dtype="<i4")),
        (np.arange(3, dtype=np.longdouble), np.arange(3, dtype=np.float64)),
        (np.arange(6).reshape(2, 3).T, np.array([[0, 3], [1, 4], [2, 5]])),
        (torch.ones(2, requires_grad=True), torch.ones(2)),
        (torch.nn.Parameter(torch.ones(2)), torch.ones(2)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_written_in_another_way_arrives_in_the_plain_one(value, arrives):
    assert same(sent_and_received(value), arrives)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.ones(2, dtype=torch.bfloat16), "an array of shape (2,) (Tensor)"),
        (np.array(["a", "b"]), "an array of shape (2,) (ndarray)"),
        (np.array([None, 1]), "an array of shape (2,) (ndarray)"),
        (range(3), "range(0, 3) (range)"),
        (10**5000, "an object of type int"),
        (len, "<built-in function len> (builtin_function_or_method)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_travel_arrives_as_its_description(value, words):
    came = sent_and_received([value])[0]
    assert isinstance(came, Foreign)
    assert repr(came) == words
    assert type(came).__name__ == type(value).__name__
    assert came != sent_and_received([value])[0]  # it equals nothing


numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=True) | st.booleans() | st.none()
texts = st.text(st.characters(), max_size=7)
keys = numbers.filter(lambda key: key == key) | texts | st.binary(max_size=5)
plain_arrays = arrays.arrays(
    st.sampled_from(DTYPES), arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
)
values = st.recursive(
    numbers | texts | st.binary(max_size=7) | st.complex_numbers() | plain_arrays,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
        | st.sets(keys, max_size=3)
        | st.frozensets(keys, max_size=3)
    ),
    max_leaves=13,
)


def decoded(value):
    """A value after encoding, JSON and decoding."""
    raw = bytearray()
    header = json.loads(json.dumps(wire.encode(value, raw)))
    return wire.decode(header, bytes(raw))


class Broken:
    shape = 3

    def __repr__(self):
        raise ValueError("no words")


@pytest.mark.parametrize("thing", [np, Broken()], ids=["a module", "an object without words"])
def test_what_cannot_be_described_arrives_as_something_foreign(thing):
    assert isinstance(sent_and_received(thing), Foreign)


@settings(deadline=None, max_examples=200)
@given(values)
def test_any_nested_value_arrives(value):
    assert same(decoded(value), value)


# ------------------------------------------------------------------------------------------------------- lies

RAW = bytes(16)


def an_array(**lies):
    return {"is": "array", "dtype": "<f8", "shape": [2], "at": 0, **lies}


def nested(depth):
    value = 1
    for _ in range(depth):
        value = {"is": "list", "of": [value]}
    return value


NUMBERS = [None, True, -1, 0.5, math.nan, math.inf, 2**70, "0", [0], {}]
LIES = {
    **{f"dtype {lie!r}": an_array(dtype=lie) for lie in ["|O", ">f8", "<f16", "<U1", "V8", [], None, 8, {}]},
    **{f"place {lie!r}": an_array(at=lie) for lie in [*NUMBERS, 1, 8, 16]},
    **{f"shape [{lie!r}]": an_array(shape=[lie]) for lie in NUMBERS},
    **{f"shape {lie!r}": an_array(shape=lie) for lie in [None, 2, "2", {}, [3], [2, 2], [2, "x"]]},
    "an empty array of more than fits": an_array(shape=[0, 2**39, 2**39]),
    "an empty array behind the end": an_array(shape=[0], at=17),
    "33 axes": an_array(shape=[1] * 33),
    **{f"only {field}": {"is": "array", field: an_array()[field]} for field in ("dtype", "shape", "at")},
    "no kind": {},
    **{f"of kind {kind!r}": {"is": kind, "of": []} for kind in [None, 1, "", "pickle", "object", [], {}]},
    **{f"a bare {type(it).__name__}": it for it in ([], [1])},
    **{
        f"a {kind} of {of!r}": {"is": kind, "of": of}
        for kind in ("list", "tuple", "set", "frozenset", "dict")
        for of in (None, 1, "ab", {}, [[]], [{}])
    },
    **{f"a {kind} without contents": {"is": kind} for kind in (*wire.SEQUENCES, "dict", "box", "tensor")},
    "a set of lists": {"is": "set", "of": [{"is": "list", "of": []}]},
    "a list as a key": {"is": "dict", "of": [[{"is": "list", "of": []}, 2]]},
    **{f"a dict of {n} at a time": {"is": "dict", "of": [[1] * n]} for n in (0, 1, 3)},
    **{f"a tensor of {of!r}": {"is": "tensor", "of": of} for of in (None, 3, "", [], {})},
    "a tensor of a lie": {"is": "tensor", "of": an_array(shape=[3])},
    "a box of a bare list": {"is": "box", "of": [1]},
    **{f"bytes of {lie!r}": {"is": "bytes", "hex": lie} for lie in (None, 3, "0", "xx", [])},
    **{f"complex {of!r}": {"is": "complex", "of": of} for of in (None, 1, [1, 2, 3], [10**400, 1], ["x", 1])},
    **{f"refused with {lie!r}": {"is": "refused", "words": lie} for lie in (None, 3, [], {})},
    **{f"foreign {lie!r}": {"is": "foreign", "kind": lie, "words": "x"} for lie in (None, 3, [])},
    **{f"foreign with {lie!r}": {"is": "foreign", "kind": "x", "words": lie} for lie in (None, 3, [])},
    "too deep": nested(wire.DEEPEST + 2),
    "deeper than Python goes": nested(5000),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_a_value_is_refused(lie):
    with pytest.raises(WireError):
        wire.decode(LIES[lie], RAW)


@settings(deadline=None, max_examples=300)
@given(
    st.recursive(
        numbers | texts | st.sampled_from(["array", "list", "dict", "<f8", "box", "tensor", "foreign"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["is", "of", "dtype", "shape", "at", "words", "kind", "hex"]), inner
            )
        ),
        max_leaves=17,
    )
)
def test_whatever_comes_is_a_value_or_refused(header):
    try:
        wire.decode(header, RAW)
    except WireError:
        return


def test_arrays_that_share_their_bytes_are_refused():
    """Otherwise a frame of some megabytes would become as many terabytes."""
    whole = np.zeros(2).tobytes()
    twice = {"is": "list", "of": [an_array(), an_array()]}
    with pytest.raises(WireError, match="longer than the bytes"):
        wire.decode(twice, whole)


def test_more_items_than_there_may_be_are_refused(monkeypatch):
    monkeypatch.setattr(wire, "MOST_ITEMS", 20)
    ten = {"is": "list", "of": [1] * 10}
    assert wire.decode({"is": "list", "of": [ten]}, b"") == [[1] * 10]
    with pytest.raises(WireError, match="more than 20 items"):
        wire.decode({"is": "list", "of": [ten, ten]}, b"")


@pytest.mark.parametrize("kind", ["set", "dict"])
def test_numbers_that_all_have_one_hash_cost_little_time(kind):
    """A set compares each with all others: 100,000 of them would take an hour."""
    colliding = [n * (2**61 - 1) for n in range(100_000)]
    of = [[n, 0] for n in colliding] if kind == "dict" else colliding
    start = time.monotonic()
    with pytest.raises(WireError, match="items of sets and dictionaries"):
        wire.decode({"is": kind, "of": of}, b"")
    assert time.monotonic() - start < 5


# ----------------------------------------------------------------------------------------------------- frames


@pytest.fixture(params=[False, True], ids=["exactly", "ahead"])
def ahead(request):
    """What keeps the beginning of the next frame, where more than one is read at once."""
    return bytearray() if request.param else None


@pytest.fixture
def pipe():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (struct.pack(">QQ", wire.MOST_JSON + 1, 0), "is announced"),
        (struct.pack(">QQ", 0, wire.MOST_RAW + 1), "is announced"),
        (struct.pack(">QQ", 2**64 - 1, 2**64 - 1), "is announced"),
        (struct.pack(">QQ", 3, 0) + b"{]}", "not JSON"),
        (struct.pack(">QQ", 0, 0), "not JSON"),
        (struct.pack(">QQ", 2, 0) + b"\xff\xfe", "not JSON"),
        (struct.pack(">QQ", 5000, 0) + b"9" * 5000, "not JSON"),  # more digits than Python reads
        (struct.pack(">QQ", 100_000, 0) + b"[" * 100_000, "not JSON"),
        (struct.pack(">QQ", 2, 5) + b"{}abc", "the other side has ended"),
        (struct.pack(">QQ", 9, 0) + b"{}", "the other side has ended"),
        (b"GET / HTTP/1.1\r\n\r\n", "is announced"),
        (b"short", "the other side has ended"),
        (b"", "the other side has ended"),
    ],
    ids=range(13),
)
def test_what_is_no_frame_is_refused(pipe, ahead, frame, problem):
    ours, theirs = pipe
    ours.sendall(frame)
    ours.close()
    with pytest.raises(WireError, match=problem):
        wire.receive(theirs, 5.0, ahead)


def test_frames_come_one_after_the_other(pipe, ahead):
    ours, theirs = pipe
    frames = [({"n": 1}, b"abc"), ([2], b""), (["more than is read ahead"], b"x" * 5 * wire.AHEAD), ([], b"")]

    def send():
        for header, raw in frames:
            wire.send(ours, header, raw)

    sender = threading.Thread(target=send)
    sender.start()
    assert [wire.receive(theirs, 10.0, ahead) for _ in frames] == frames
    sender.join()


@pytest.mark.parametrize("begun", [b"", b"\0" * 15, struct.pack(">QQ", 2, 3) + b"{}ab"])
def test_what_does_not_come_is_late(pipe, ahead, begun):
    ours, theirs = pipe
    ours.sendall(begun)
    start = time.monotonic()
    with pytest.raises(Late):
        wire.receive(theirs, 0.1, ahead)
    assert 0.1 <= time.monotonic() - start < 2


def test_a_byte_now_and_then_does_not_put_the_end_off(pipe, ahead):
    ours, theirs = pipe
    ended = threading.Event()

    def drip():
        ours.sendall(struct.pack(">QQ", 10_000, 0))
        while not ended.wait(0.02):
            ours.sendall(b" ")

    dripping = threading.Thread(target=drip)
    dripping.start()
    start = time.monotonic()
    with pytest.raises(Late):
        wire.receive(theirs, 0.3, ahead)
    ended.set()
    dripping.join()
    assert time.monotonic() - start < 2


def test_a_connection_that_breaks_is_refused(pipe):
    ours, theirs = pipe
    theirs.sendall(b"never read")
    ours.close()
    with pytest.raises(WireError, match="the connection broke"):
        wire.receive(theirs, 1.0)


@pytest.mark.parametrize("module", [wire, session])
def test_nothing_that_a_child_says_is_unpickled(module):
    names = {
        node.attr if isinstance(node, ast.Attribute) else node.id
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Attribute | ast.Name)
    }
    readers = {
        "loads",
        "load",
        "Unpickler",
        "eval",
        "exec",
        "marshal",
        "allow_pickle",
        "frombuffer",
        "literal_eval",
    }
    allowed = {"wire": {"loads", "frombuffer"}, "session": set()}[module.__name__.rpartition(".")[2]]
    assert names & readers == allowed


def test_only_json_is_loaded():
    calls = [
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(inspect.getsource(wire)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "loads"
    ]
    assert calls == ["json.loads"]
