"""What a teacher's own test sees of a submission: values, and stand-ins for what cannot travel.

Numbers, texts, lists, arrays and tensors come as they are, and are compared here. For a function, a class, an
instance, a module or a generator there is a stand-in: what is done with it is done in the sandbox, and what
comes back is a value or a stand-in again. An expected number is never sent there to be compared: a stand-in
is called with plain values only where the source's own answers give one too, and `==`, `<` or `-` between it
and a plain value are asked for only where they define its class.
"""

import builtins
import functools
import inspect
import io
import itertools
import sys
import time
import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from course_lib.checks.attempt import Failure, Reported
from course_lib.grading.intake.given import Given
from course_lib.grading.intake.names import definition
from course_lib.grading.pipe import asked
from course_lib.grading.pipe.calls import LATE, Asked, TimeOver, call_there, error_class
from course_lib.grading.pipe.identity import Identities
from course_lib.grading.pipe.travel import Addressed

# Special attributes that may be read; Python and NumPy look for many others by themselves.
READ = {
    f"__{name}__"
    for name in (
        *("doc", "name", "qualname", "module", "dict", "code", "defaults", "kwdefaults", "annotations"),
        *("self", "func", "closure"),
    )
}
# What is one of these comes as a value, so nothing that stands for it can be one.
VALUES = {f"builtins.{name}" for name in ("int", "float", "complex", "bool", "str", "bytes", "list", "tuple")}
VALUES |= {"builtins.dict", "builtins.set", "builtins.frozenset", "numpy.ndarray", "torch.Tensor"}
# Who is given what is expected can say that it is the same.
COMPARES = ("equal", "equals", "allclose", "isclose", "eq", "array_equal", "array_equiv")


# -------------------------------------------------------------------------------------------------- stand-ins


class StandIn(Addressed):
    """Stands for something in the sandbox.

    Args:
        far: who asks there.
        address: how it is found there: its name with the test that asks, or a number.
        path: how the test came to it: "Vector", "Vector.unit", "Vector()".
        kinds: its class and those that this is made from.
        bases: of a class, itself and those that it is made from.
    """

    __slots__ = ("_address", "_bases", "_far", "_kinds", "_path")

    def __init__(
        self,
        far: "Far",
        address: Any,
        path: str,
        kinds: Sequence[str] = (),
        bases: Sequence[str] = (),
    ) -> None:
        given = {"far": far, "address": address, "path": path, "kinds": kinds, "bases": bases}
        for key, value in given.items():
            object.__setattr__(self, f"_{key}", value)

    def __getattribute__(self, name: str) -> Any:
        far = object.__getattribute__(self, "_far")
        if name == "__class__":
            return known(object.__getattribute__(self, "_kinds"))[0]
        if name == "__bases__":
            return known(object.__getattribute__(self, "_bases"))[:1]
        if name == "__signature__":
            return signature(far.ask(asked.parameters, self))
        if name.startswith("__") and name.endswith("__") and name not in READ:
            return object.__getattribute__(self, name)
        if object.__getattribute__(self, "_kinds")[:1] == ["builtins.module"]:
            module = object.__getattribute__(self, "_path")
            raise TypeError(f"the test should import {module} itself: only an answer does")
        return far.ask(getattr, self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__getattribute__(self, "_far").ask(setattr, self, name, value)

    def __delattr__(self, name: str) -> None:
        object.__getattribute__(self, "_far").ask(delattr, self, name)

    def __instancecheck__(self, thing: Any) -> bool:
        return object.__getattribute__(self, "_far").ask(isinstance, thing, self) is True

    def __subclasscheck__(self, thing: Any) -> bool:
        return object.__getattribute__(self, "_far").ask(issubclass, thing, self) is True

    def __str__(self) -> str:
        return str(object.__getattribute__(self, "_far").ask(str, self))

    def __repr__(self) -> str:
        return str(object.__getattribute__(self, "_far").ask(repr, self))

    def __hash__(self) -> int:
        return hash(object.__getattribute__(self, "_far").ask(hash, self))


def part(stand_in: StandIn, name: str) -> Any:
    """What is known here of a stand-in: its far, address, path, kinds, bases."""
    return object.__getattribute__(stand_in, f"_{name}")


def is_stand_in(value: Any) -> bool:
    """Whether something is a stand-in, without asking it."""
    return issubclass(type(value), StandIn)


def _call(self: StandIn, *values: Any, **named: Any) -> Any:
    if not all(map(is_stand_in, (*values, *named.values()))):
        part(self, "far").must_permit_call(part(self, "path"))
    return part(self, "far").ask(self, *values, **named)


def _alone(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *values: part(self, "far").ask(function, self, *values)


def _with_another(function: Callable[..., Any], turned: bool = False) -> Callable[..., Any]:
    def operator(self: StandIn, other: Any) -> Any:
        if not is_stand_in(other) and not part(self, "far").takes_plain(function, part(self, "path")):
            return NotImplemented
        return part(self, "far").ask(function, *((other, self) if turned else (self, other)))

    return operator


FORWARDED: dict[str, Callable[..., Any]] = {
    "__call__": _call,
    **{name: _alone(function) for name, function in asked.ALONE.items()},
    **{name: _with_another(function) for name, function in asked.WITH_ANOTHER.items()},
    **{
        f"__r{name[2:]}": _with_another(function, turned=True)
        for name, function in asked.WITH_ANOTHER.items()
        if name.strip("_") not in asked.COMPARED
    },
}


@functools.lru_cache(maxsize=256)
def kind_with(special: frozenset[str]) -> type[StandIn]:
    """The class of stand-ins for things whose own class has these special methods."""
    methods = {name: FORWARDED[name] for name in sorted(special)}
    return type("StandIn", (StandIn,), {"__slots__": (), "__hash__": StandIn.__hash__, **methods})


def known(kinds: Sequence[str]) -> tuple[type, ...]:
    """The classes of these names that are there already: nothing is imported because of a name."""
    found = []
    for kind in kinds:
        module, _, name = kind.rpartition(".")
        there = getattr(sys.modules.get(module), "__dict__", {}).get(name)
        if module == "builtins":
            there = there or of_types.get(name)
        if isinstance(there, type) and kind not in VALUES and not issubclass(there, arrays()):
            found.append(there)
    return (*found, object)


def arrays() -> tuple[type, ...]:
    """What libraries that compare look into, as soon as it is of one of these classes."""
    torch = sys.modules.get("torch")
    return (np.ndarray,) if torch is None else (np.ndarray, torch.Tensor)


of_types = {one.__name__: one for one in vars(types).values() if isinstance(one, type)}


def signature(told: Any) -> inspect.Signature:
    """What a function takes, as `asked.parameters` tells it.

    Raises: ValueError: it tells something else.
    """
    try:
        return inspect.Signature(
            [
                inspect.Parameter(
                    name,
                    inspect._ParameterKind(kind),
                    default=default if has_one else inspect.Parameter.empty,
                )
                for name, kind, has_one, default in told
            ]
        )
    except TypeError:
        raise ValueError("no signature found") from None


# ------------------------------------------------------------------------------------------------ one test


def attached(far: "Far", values: Any, result: StandIn, leaves: StandIn, given: Sequence[Any]) -> Any:
    """Numbers whose gradients are those of a result in the sandbox.

    Args:
        far: asks there.
        values: the numbers of the result.
        result: stands for it.
        leaves: stands for what became of the tensors that were given, there.
        given: these tensors.
    """
    import torch  # as above

    class Through(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *_: Any) -> Any:
            return values

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            found = far.ask(asked.gradients, result, leaves, gradients[0])
            fits = type(found) is list and len(found) == len(given)
            if not (fits and all(map(_fits, found, given))):
                raise TypeError("the gradients do not fit")
            return (None, *found)

    return Through.apply(torch.zeros((), requires_grad=True), *given)


def _fits(gradient: Any, tensor: Any) -> bool:
    if gradient is None:
        return True
    is_tensor = type(gradient) is type(tensor.data)
    return is_tensor and (gradient.shape, gradient.dtype) == (tensor.shape, tensor.dtype)


def path_of(function: Any, values: Sequence[Any]) -> str:
    """How a test comes to what a function gives: by which names, calls and operators."""
    if is_stand_in(function):
        return f"{part(function, 'path')}()"
    path = next((part(value, "path") for value in values if is_stand_in(value)), "")
    if function is getattr:
        return f"{path}.{values[1]}"
    return path if function is asked.itself else f"{function.__name__}({path})"


class Far:
    """Asks in the sandbox what a test wants to know.

    Args:
        child: where.
        place: the test.
        given: which names are whose.
        cells: the code of those that have run before the test.
        most: bytes of all that a part of the test asks for.
        expected: for what the source's own answers give as stand-ins, by its path, whether they define it or
            its class; and which operators take plain values. None where these answers run themselves.
    """

    def __init__(
        self,
        child: Asked,
        place: str,
        given: Given,
        cells: Sequence[str],
        most: int,
        expected: dict[str, bool] | None,
    ) -> None:
        self.child = child
        self.place = place
        self.seconds = 0.0
        self.most = self.room = most
        self.given = given
        self.cells = cells
        self.seen: dict[str, bool] = {}
        self.is_source = expected is None
        self.expected = self.seen if expected is None else expected
        self.path = ""  # of what is asked for
        self.leaves: list[Any] = []  # the tensors with gradients among what is given
        self.late = False
        self.errors: dict[str, type] = {}
        self.identities = Identities(itertools.count(-time.monotonic_ns()))  # no other test has these
        self.fetched: dict[str, Any] = {}  # values that the next question may change
        self.names: dict[str, Any] = {}

    def begin(self, seconds: float) -> None:
        """Go on, with so much time for all that is asked, and new room."""
        self.seconds, self.room = seconds, self.most

    def must_have_room(self, size: int) -> None:
        """Count the bytes that came: a test may ask without end, for a generator that never ends.

        Raises: Reported: they are too many.
        """
        self.room -= size
        if self.room < 0:
            raise Reported(
                Failure("MemoryError", f"It gives more than {self.most:,} bytes.", wrong_form=True)
            )

    def ask(self, function: Any, *values: Any, **named: Any) -> Any:
        """What a function gives, one of a submission's or one of Python's.

        Raises:
            Reported: there was an error; it is of the same kind too.
        """
        if self.seconds <= 0:  # many quick questions take long too
            self.late = True
            raise Reported(LATE)
        if function is not asked.itself:
            self.forget()
        self.path = path_of(function, values)
        given = {id(value): value for value in (*values, *named.values()) if not is_stand_in(value)}
        self.leaves = [one for one in given.values() if getattr(one, "requires_grad", False) is True]
        start = time.monotonic()
        try:
            answers, _ = call_there(self.child, function, [(values, named)], self.seconds, maker=self)
            return answers[0]
        except TimeOver:
            self.late = True
            raise Reported(LATE) from None
        except StopIteration as error:
            if function is next:
                raise
            # What goes through calls of an answer, `all(map(...))` for instance, would end in peace.
            raise RuntimeError(f"StopIteration: {error}") from None
        finally:
            self.seconds -= time.monotonic() - start

    def forget(self) -> None:
        """Let go of values that the next call may change, but for those that the test has replaced itself."""
        for name, value in self.fetched.items():
            if self.names.get(name) is value:
                del self.names[name]
        self.fetched.clear()

    def named(self, name: str) -> StandIn:
        """Stands for what has a name in a submission, whatever that is."""
        return kind_with(frozenset(["__call__"]))(self, (self.place, name), name)

    def fetch(self, name: str) -> Any:
        """What has a name in a submission.

        Raises: KeyError: nothing.
        """
        try:
            found = self.ask(asked.itself, self.named(name))
        except NameError:
            raise KeyError(name) from None
        if is_stand_in(found):
            object.__setattr__(found, "_address", (self.place, name))
        elif not isinstance(found, type):
            self.fetched[name] = found
        return found

    def made(self, told: dict[str, Any]) -> Any:
        """What stands for a thing that a child tells of, which may tell anything.

        Raises: TypeError, KeyError: it tells something else.
        """
        kinds, bases = ([str(kind)[:200] for kind in told[key][:100]] for key in ("kinds", "bases"))
        if "builtins.Exception" in bases:
            return error_class(bases, self.errors)
        if "value" in told and not self.is_source and self.path not in self.expected:
            return told["value"]  # of a class made from list, where the source has a list
        if "tensor" in told:
            return self.tensor(told, "torch.nn.parameter.Parameter" in kinds)
        self.seen[self.path] = self.seen.get(self.path, True) and told["own"] is True
        special = frozenset(told["has"]).intersection(FORWARDED)
        return kind_with(special)(self, int(told["number"]), self.path, kinds, bases)

    def tensor(self, told: dict[str, Any], is_parameter: bool) -> Any:
        """A tensor with gradients: they go on in the sandbox from here, and come back.

        Raises: TypeError, KeyError, ValueError: no tensor is told of.
        """
        import torch  # here, because not every test needs it

        values, gradient = told["tensor"], told["gradient"]
        if not (isinstance(values, torch.Tensor) and values.is_floating_point()):
            raise TypeError("a tensor of floats is expected")
        if told["is_leaf"] is True:
            leaf = torch.nn.Parameter(values) if is_parameter else values.requires_grad_()
            if not _fits(gradient, leaf):
                raise TypeError("the gradient does not fit")
            leaf.grad = gradient
            return leaf
        result, leaves = (StandIn(self, int(told[key]), self.path) for key in ("number", "leaves"))
        return attached(self, values, result, leaves, self.leaves)

    def takes_plain(self, function: Any, path: str) -> bool:
        """Whether an operator takes plain values: as for the source's own answers, which define the class."""
        use = f"{function.__name__}({path}, a value)"
        if self.is_source and self.seen.get(path):
            self.seen[use] = True
        return self.expected.get(use, False)

    def must_permit_call(self, path: str) -> None:
        """Refuse to give values to something that is none in the source: they may be what is expected.

        Raises: TypeError.
        """
        name = path.split(".")[-1]
        compares = name in COMPARES or name.startswith("assert")
        if path in self.given.imported:
            raise TypeError(f"the test should import {path} itself: only an answer does")
        if path not in self.expected or (compares and not self.expected[path]):
            raise TypeError(f"{path} should be a value that can be compared here")

    def source_of(self, thing: Any) -> str:
        """As `inspect.getsource`: of a learner's function or class from the cells that were run."""
        if not is_stand_in(thing):
            return _getsource(thing)
        names = part(thing, "path").split(".")
        for code in reversed(self.cells):
            found = definition(code, names)
            if found:
                return found
        raise OSError("could not get source code")

    def open(self, file: Any, mode: str = "r", **how: Any) -> io.StringIO:
        """As `open` of a text to be read: all files are those of the sandbox.

        Raises: ValueError: it is to be opened for something else.
        """
        if mode not in ("r", "rt"):
            raise ValueError(f"a test can read texts that a submission has written; the mode is {mode!r}")
        return io.StringIO(self.ask(asked.text_of, file))


_getsource = inspect.getsource


class Names(dict[str, Any]):
    """The names of a test: looked up where they are used for the first time.

    Args:
        far: who asks in the sandbox.
        checked: names that the test gives to `check`, which examines whatever they are.
    """

    def __init__(self, far: Far, checked: set[str]) -> None:
        super().__init__(__name__="test", open=far.open)
        self.far = far
        self.checked = checked
        self.done: set[int] = set()  # statements of the source
        far.names = self

    def __missing__(self, name: str) -> Any:
        given = self.far.given
        if name in self.checked:
            found = self[name] = self.far.named(name)
            return found
        if name not in given.learners:
            for key in (name, "*"):
                self._run(key)
                if name in self:
                    return self[name]
            if hasattr(builtins, name):
                raise KeyError(name)
        found = self.far.fetch(name)
        self[name] = found
        return found

    def _run(self, name: str) -> None:
        """Run the statements of the source that bind a name, each once."""
        for statement in self.far.given.statements.get(name, ()):
            if id(statement) not in self.done:
                self.done.add(id(statement))
                exec(statement, self)
