"""What goes through the pipe between a grader and the code that it grades: plain values, arrays, no pickle.

A frame is two lengths, a JSON text, and raw bytes. The other side is hostile: every length, type and size is
checked before it is believed, and what does not fit raises `WireError`.
"""

import builtins
import json
import math
import re
import socket
import struct
import sys
import time
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from course_lib.checks.values import Refused, describe
from course_lib.grading.pipe.identity import MOST, Identities, has_identity, held, is_odd, numbers_of

LENGTHS = struct.Struct(">QQ")
MOST_JSON = 8 * 2**20  # bytes
MOST_RAW = 256 * 2**20
AHEAD = 2**16  # bytes that are read or written together with others
MOST_ITEMS = 1_000_000  # of all lists, sets and dictionaries in one value
MOST_HASHED = (
    10_000  # of sets and dictionaries: numbers of one hash, each compared with all others, take days
)
MOST_BITS = 10_000  # of a whole number: json refuses what has more than 4300 digits
DEEPEST = 50  # levels of lists in lists
DTYPES = {
    np.dtype(name).str: np.dtype(name)
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    )
}
SEQUENCES: dict[str, Any] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": deque,
}
# Of these a teacher's test gets what they are made from; elsewhere they do not travel.
EXACT: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    Decimal: lambda it: (str(it),),
    Fraction: lambda it: (it.numerator, it.denominator),
    date: lambda it: (it.year, it.month, it.day),
    datetime: lambda it: (it.year, it.month, it.day, it.hour, it.minute, it.second, it.microsecond),
    timedelta: lambda it: (it.days, it.seconds, it.microseconds),
    range: lambda it: (it.start, it.stop, it.step),
    type(Path()): lambda it: (str(it),),
    np.str_: lambda it: (str(it),),
    type(...): lambda it: (),
    type: lambda it: (it.__name__,),
}
# Python's own that no module has under their names.
NAMELESS = {*EXACT, *(one for one in vars(types).values() if isinstance(one, type))}
FACTORIES: dict[str, Any] = {kind.__name__: kind for kind in (int, float, str, list, dict, set)}
EXACT_BY_NAME: dict[str, Any] = {kind.__name__: kind for kind in EXACT}
EXACT_BY_NAME["type"] = {one.__name__: one for one in vars(builtins).values() if isinstance(one, type)}.get

# What a child may answer to each question: one of these fields, which exclude each other, and with it what
# stands behind it. A flag that is not up is left out.
ANSWERS: dict[str, dict[str, tuple[str, ...]]] = {
    "names": {"used": ("mentioned",)},
    "run": {"outputs": ("lost", "late")},
    "try": {
        "missing": (),
        "late": ("printed", "line", "forbidden"),
        "failure": ("printed", "forbidden"),
        "got": ("printed", "forbidden", "changed", "after"),
    },
    "given": {"rewritten": ("moved",)},
    "call": {
        "missing": (),
        "late": (),
        "failure": ("kinds", "printed", "contents", "about", "around", "complained"),
        "values": ("printed", "forbidden", "around", "complained"),
    },
}
# Of their fields; all others are dictionaries, as `encode` makes them.
TYPES: dict[str, type] = {
    **dict.fromkeys(("used", "mentioned", "outputs", "kinds", "rewritten", "moved"), list),
    "lost": int,
    "late": bool,
    **dict.fromkeys(("missing", "printed", "complained", "line", "forbidden", "changed"), str),
}


class WireError(Exception):
    """What came is no frame, or holds what no frame may hold."""


class Late(Exception):
    """Nothing came in time."""


class Foreign:
    """Stands for something that does not travel: an object of a learner's own class. It equals nothing."""

    def __init__(self, words: str) -> None:
        self.words = words

    def __repr__(self) -> str:
        return self.words


# --------------------------------------------------------------------------------------------------- frames


def send(pipe: socket.socket, header: Any, raw: bytes | bytearray | memoryview = b"") -> None:
    """Send one frame; `header` is what JSON can hold."""
    text = json.dumps(header).encode()
    start = LENGTHS.pack(len(text), len(raw)) + text
    if len(raw) <= AHEAD:
        pipe.sendall(start + raw)
    else:
        pipe.sendall(start)
        pipe.sendall(raw)


def receive(
    pipe: socket.socket, seconds: float | None = None, ahead: bytearray | None = None
) -> tuple[Any, bytes]:
    """The next frame: its header and its raw bytes.

    Args:
        pipe: where it comes from.
        seconds: how long to wait for it.
        ahead: keeps what was read of the frames that follow; without it nothing of them is read.
    Raises:
        WireError: the other side has ended, or what came is no frame.
        Late: it is not there in time.
    """
    end = None if seconds is None else time.monotonic() + seconds
    n_json, n_raw = LENGTHS.unpack(_exactly(pipe, LENGTHS.size, end, ahead))
    if n_json > MOST_JSON or n_raw > MOST_RAW:
        raise WireError(f"a frame of {n_json} and {n_raw} bytes is announced")
    text, raw = _exactly(pipe, n_json, end, ahead), _exactly(pipe, n_raw, end, ahead)
    try:
        return json.loads(text), raw
    except (ValueError, RecursionError):
        raise WireError("the header of a frame is not JSON") from None


def check_answer(question: str, answer: dict[str, Any]) -> None:
    """Check that a child's answer has one of the forms that `ANSWERS` allows.

    Raises: WireError: it has none, or more than one at once.
    """
    forms = ANSWERS[question].items()
    if not any(answer.keys() - beside == {form} for form, beside in forms):
        raise WireError(f"an answer to {question!r} in a form that it cannot have")
    for name, value in answer.items():
        if type(value) is not TYPES.get(name, dict) or value is False:
            raise WireError(f"{name} is of type {type(value).__name__}")


def _exactly(pipe: socket.socket, n: int, end: float | None, ahead: bytearray | None) -> bytes:
    parts = bytearray() if ahead is None else ahead
    while len(parts) < n:
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            raise Late
        pipe.settimeout(left)
        try:
            part = pipe.recv(min(n - len(parts) + (0 if ahead is None else AHEAD), 2**20))
        except TimeoutError:
            raise Late from None
        except OSError:
            raise WireError("the connection broke") from None
        if not part:
            raise WireError("the other side has ended")
        parts += part
    taken = bytes(parts[:n])
    del parts[:n]
    return taken


# --------------------------------------------------------------------------------------------------- values


class Keeper(Protocol):
    """Knows what stays here, and which value is which."""

    identities: Identities  # of what the other side has, too

    def keep(self, thing: Any, raw: bytearray) -> dict[str, Any]:
        """Keep a thing; how it is found again."""


def encode(value: Any, raw: bytearray, keeper: Keeper | None = None) -> Any:
    """A value as JSON; the numbers of its arrays are appended to `raw`.

    What cannot travel becomes a `Foreign` with its description. With a keeper, that stays here, as do a
    tensor with gradients and what is of a notebook's own class; and values keep their identity.
    """
    if keeper is None:
        return _encoded(value, raw, None)
    known = keeper.identities
    if known.has(value):
        return {"is": "again", "no": known.number_by_id[id(value)]}
    is_other = isinstance(value, np.ndarray) and type(value) is not np.ndarray  # a matrix, for instance
    if is_own(type(value)) or _has_gradients(value) or is_other:
        return keeper.keep(value, raw)
    if _is_exact(value):
        return {"is": "exact", "kind": type(value).__name__, "from": [*EXACT[type(value)](value)]}
    if not has_identity(value):
        return _encoded(value, raw, keeper)
    if len(known.values) > 2 * MOST:  # the test's process forgets some, and says which
        return {**_encoded(value, raw, keeper), "is_copy": True}
    number = known.number(value)
    told = _encoded(value, raw, keeper)
    if told["is"] == "kept":
        known.forget(number)
        return told
    is_copy = {"is_copy": True} if is_odd(value) else {}
    return {**told, **_part_of_another(value, number, known), **is_copy, "no": number}


def is_own(kind: type) -> bool:
    """Whether a class is a submission's: none that stands in a module under its name."""
    stands = vars(sys.modules.get(str(kind.__module__), sys)).get(kind.__name__) is kind
    return kind.__module__ == "__main__" or not (stands or kind in NAMELESS)


def _is_exact(value: Any) -> bool:
    """Whether a value is what it is made from; of classes, those that are built in."""
    is_other = isinstance(value, type) and value.__module__ != "builtins"
    return type(value) in EXACT and not is_other and getattr(value, "tzinfo", None) is None


def encode_changed(raw: bytearray, keeper: Keeper) -> Any:
    """What has changed in values that the other side has: for each its number, and what it holds now."""
    known, told = keeper.identities, []
    for number in known.changed():
        value = known.values[number]
        is_other = getattr(value, "is_leaf", True) is not True  # a tensor that comes from others now
        content = _foreign(value) if is_other else _encoded(held(value), raw, keeper)
        if _has_gradients(value) or getattr(value, "grad", None) is not None:
            gradient = None if value.grad is None else _tensor(value.grad, raw)
            content |= {"learns": value.requires_grad, "gradient": gradient}
        told.append({"is": "tuple", "of": [number, content]})
    return {"is": "list", "of": told}


def _part_of_another(value: Any, own: int, known: Identities) -> dict[str, Any]:
    """Where the numbers of an array or a tensor lie in another one that the other side has."""
    numbers = numbers_of(value)
    if numbers is None or numbers.dtype == object:
        return {}
    start = numbers.__array_interface__["data"][0]
    for number, other in known.values.items():
        whole = numbers_of(other)
        if number == own or whole is None or not np.may_share_memory(whole, numbers):
            continue
        at = start - whole.__array_interface__["data"][0]
        if whole.flags.forc and at >= 0:
            return {"in": number, "offset": at, "strides": list(numbers.strides)}
    return {}


def _encoded(value: Any, raw: bytearray, keeper: Keeper | None) -> Any:
    if isinstance(value, np.generic):
        if keeper is not None and value.dtype.str in DTYPES:
            return {"is": "scalar", "of": _array(np.asarray(value), raw)}
        value = float(value) if value.dtype.kind == "f" else value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return _simple(value)
    if type(value) in (bytes, bytearray, complex):
        return _bytes_or_complex(value, keeper)
    for kind, sequence in SEQUENCES.items():
        if isinstance(value, sequence):  # named tuples too
            more = {"most": value.maxlen} if kind == "deque" else {}
            return {"is": kind, "of": [encode(item, raw, keeper) for item in value], **more}
    if isinstance(value, dict):
        pairs = [[encode(k, raw, keeper), encode(v, raw, keeper)] for k, v in value.items()]
        return {"is": "dict", "of": pairs, **_kind_of_dictionary(value, keeper)}
    if isinstance(value, Refused):
        return {"is": "refused", "words": value.words}
    told = _numbers(value, raw)
    return keeper.keep(value, raw) if keeper is not None and told["is"] == "foreign" else told


def _bytes_or_complex(value: Any, keeper: Keeper | None) -> dict[str, Any]:
    if type(value) is complex:
        return {"is": "complex", "of": [value.real, value.imag]}
    return {"is": "bytes" if type(value) is bytes or keeper is None else "bytearray", "hex": value.hex()}


def _kind_of_dictionary(value: dict[Any, Any], keeper: Keeper | None) -> dict[str, str]:
    """What a test has to know of it; checks compare all as plain ones."""
    if keeper is None:
        return {}
    if type(value) is defaultdict:
        factory = getattr(value.default_factory, "__name__", "")
        return {"as": "defaultdict", "factory": factory} if factory in FACTORIES else {}
    return {"as": type(value).__name__} if type(value) in (Counter, OrderedDict) else {}


def _has_gradients(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor) and value.requires_grad


def _numbers(value: Any, raw: bytearray) -> Any:
    if isinstance(value, np.ndarray):
        return _array(value, raw)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return _tensor(value, raw)
    return _foreign(value)


def _simple(value: Any) -> Any:
    """None, a truth, a number or a text; of a class made from one of these what it is at its core."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int.__int__(value) if int.bit_length(value) <= MOST_BITS else _foreign(value)
    return value


def _array(value: np.ndarray, raw: bytearray) -> Any:
    if value.dtype == object and value.shape == ():
        return {"is": "box", "of": encode(value.item(), raw)}
    if value.dtype.kind == "f" and value.dtype.itemsize > 8:
        value = value.astype(np.float64)  # more digits than are ever compared
    value = value.astype(value.dtype.newbyteorder("="), copy=False)
    if value.dtype.str not in DTYPES:
        return _foreign(value)
    start = len(raw)
    raw += np.ascontiguousarray(value).tobytes()
    return {"is": "array", "dtype": value.dtype.str, "shape": list(value.shape), "at": start}


def _tensor(value: Any, raw: bytearray) -> Any:
    try:
        return {"is": "tensor", "of": _array(value.detach().cpu().numpy(), raw)}
    except (TypeError, RuntimeError):  # a dtype that NumPy lacks, a tensor without numbers
        return _foreign(value)


def _foreign(value: Any) -> Any:
    try:
        words = describe(value)[:200]
    except Exception:  # its shape is none, or its own words fail
        words = type(value).__name__
    return {"is": "foreign", "kind": type(value).__name__, "words": words}


class Maker(Protocol):
    """Makes what stands for things that were kept, and knows which value is which."""

    identities: Identities

    def made(self, told: dict[str, Any]) -> Any:
        """What stands for a thing that a child tells of."""

    def note(self, what: str) -> None:
        """Note that the test does not see something as it is."""


def decode(value: Any, raw: bytes, maker: Maker | None = None) -> Any:
    """The value that `encode` made, in Python's, NumPy's and torch's own types.

    Args:
        value: what `encode` gave.
        raw: the numbers of its arrays.
        maker: makes what stands for a thing that was kept; without it there may be none.
    Raises: WireError: it is not what `encode` makes.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    try:
        return _Decoder(raw, maker).value(value, 0)
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise WireError(f"a value is not what it says: {type(error).__name__}") from None


class _Decoder:
    def __init__(self, raw: bytes, maker: Maker | None) -> None:
        self.raw = raw
        self.maker = maker
        self.bytes_left = len(raw)  # arrays that share bytes would be many times as large as what came
        self.items_left = MOST_ITEMS
        self.hashed_left = MOST_HASHED

    def value(self, it: Any, depth: int) -> Any:
        if it is None or type(it) in (bool, int, float, str):
            return it
        if depth > DEEPEST or type(it) is not dict:
            raise WireError("a value is nested too deeply, or of no known kind")
        if self.maker is not None and "is_copy" in it:
            self.maker.note("copies")
        if self.maker is None or "no" not in it:
            return self.content(it, depth)
        known, number = self.maker.identities, it["no"]
        if type(number) is not int:
            raise WireError("a number is expected")
        if it["is"] == "again":
            if number not in known.values:
                raise WireError("something within holds itself, or is not there")
            return known.values[number]
        value = self.content(it, depth)
        if "in" in it:
            view = self.view(value, known.values.get(it["in"]), it)
            if view is value:
                self.maker.note("copies")
            value = view
        known.keep(value, number)
        return value

    def content(self, it: dict[str, Any], depth: int) -> Any:
        kind = it["is"]
        if kind in SEQUENCES:
            items = self.items(it["of"], hashed="set" in kind)
            values = [self.value(item, depth + 1) for item in items]
            return deque(values, it["most"]) if kind == "deque" else SEQUENCES[kind](values)
        if kind == "dict":
            pairs = (self.items(pair) for pair in self.items(it["of"], hashed=True))
            plain = {self.value(k, depth + 1): self.value(v, depth + 1) for k, v in pairs}
            return _dictionary(plain, it)
        return self.single(kind, it, depth)

    def single(self, kind: Any, it: dict[str, Any], depth: int) -> Any:
        if kind in ("array", "scalar"):
            return self.array(it) if kind == "array" else self.array(it["of"])[()]
        if kind == "tensor":
            return self.tensor(it, depth)
        if kind == "box":
            box = np.empty((), dtype=object)
            box[()] = self.value(it["of"], depth + 1)
            return box
        if kind in ("bytes", "bytearray"):
            return (bytes if kind == "bytes" else bytearray).fromhex(it["hex"])
        if kind == "complex":
            return complex(*map(float, it["of"]))
        if kind == "refused":
            return Refused(_text(it["words"]))
        if kind == "exact" and self.maker is not None:
            return EXACT_BY_NAME[it["kind"]](*it["from"])
        if kind == "kept" and self.maker is not None:
            numbers: dict[str, Any] = {
                key: self.value(it[key], depth + 1) for key in ("value", "tensor", "gradient") if key in it
            }
            return self.maker.made({**it, **numbers})
        if kind == "foreign":
            name = re.sub(r"\W", "_", _text(it["kind"]))[:40] or "object"
            return type(name, (Foreign,), {})(_text(it["words"])[:200])
        raise WireError("a value of an unknown kind")

    def tensor(self, it: dict[str, Any], depth: int) -> Any:
        import torch  # here, because it is slow to import and not every answer needs it

        tensor = torch.from_numpy(self.array(it["of"]))
        if self.maker is not None and "learns" in it:
            tensor.requires_grad_(it["learns"] is True).grad = self.value(it["gradient"], depth + 1)
        return tensor

    def items(self, items: Any, hashed: bool = False) -> list[Any]:
        if type(items) is not list:
            raise WireError("a list is expected")
        self.hashed_left -= len(items) * hashed
        if self.hashed_left < 0:
            raise WireError(f"more than {MOST_HASHED:,} items of sets and dictionaries in one value")
        self.items_left -= len(items)
        if self.items_left < 0:
            raise WireError(f"more than {MOST_ITEMS:,} items in one value")
        return items

    def view(self, value: Any, other: Any, it: dict[str, Any]) -> Any:
        """An array or a tensor as a part of another that is here; NumPy looks whether it lies within."""
        whole, numbers = numbers_of(other), numbers_of(value)
        if whole is None or numbers is None or not whole.flags.forc:
            return value
        memory = whole if whole.flags.c_contiguous else whole.T
        view = np.ndarray(numbers.shape, numbers.dtype, memory, it["offset"], it["strides"])
        return view if type(value) is np.ndarray else sys.modules["torch"].from_numpy(view)

    def array(self, it: dict[str, Any]) -> np.ndarray:
        dtype, shape, start = DTYPES[it["dtype"]], it["shape"], it["at"]
        if type(start) is not int or start < 0 or type(shape) is not list or len(shape) > 32:
            raise WireError("an array without a place or a shape")
        if not all(type(n) is int and 0 <= n < 2**40 for n in shape):
            raise WireError("an array of an impossible shape")
        n_bytes = math.prod(shape) * dtype.itemsize
        self.bytes_left -= n_bytes
        if start + n_bytes > len(self.raw) or self.bytes_left < 0:
            raise WireError("an array is longer than the bytes that came")
        numbers = np.frombuffer(self.raw, dtype, count=math.prod(shape), offset=start)
        return numbers.reshape(shape).copy()


def _dictionary(plain: dict[Any, Any], it: dict[str, Any]) -> dict[Any, Any]:
    kind = it.get("as")
    if kind == "defaultdict":
        return defaultdict(FACTORIES[it["factory"]], plain)
    return Counter(plain) if kind == "Counter" else OrderedDict(plain) if kind == "OrderedDict" else plain


def _text(value: Any) -> str:
    if type(value) is not str:
        raise WireError("a text is expected")
    return value
