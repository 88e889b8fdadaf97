"""What a teacher's own test sees of a submission: values, and stand-ins for what cannot travel.

Numbers, texts, lists, arrays and tensors come as they are, and are compared here. For a function, a class, an
instance, a module or a generator there is a stand-in: what is done with it is done in the sandbox, and what
comes back is a value or a stand-in again. An expected number is never sent there to be compared: a stand-in
is called with plain values only where the source's own answers give one too, and `==`, `<` or `-` between it
and a plain value are asked for only where they define its class.
"""

import builtins
import copy
import copyreg
import functools
import inspect
import itertools
import operator
import re
import sys
import time
import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from course_lib.checks.attempt import Reported
from course_lib.grading.intake.given import Given, Statement
from course_lib.grading.intake.names import definition, is_in_doubt
from course_lib.grading.pipe import asked
from course_lib.grading.pipe.calls import LATE, Asked, TimeOver, call_there, error_class
from course_lib.grading.pipe.identity import Identities
from course_lib.grading.pipe.states import seeded
from course_lib.grading.pipe.surroundings import Surroundings
from course_lib.grading.pipe.travel import Addressed

# Special attributes that may be read; Python and NumPy look for many others by themselves.
READ = {
    f"__{name}__"
    for name in (
        *("doc", "name", "qualname", "module", "dict", "code", "defaults", "kwdefaults", "annotations"),
        *("self", "func", "closure", "dataclass_fields"),
    )
}
# What is one of these comes as a value, so nothing that stands for it can be one.
VALUES = {f"builtins.{name}" for name in ("int", "float", "complex", "bool", "str", "bytes", "list", "tuple")}
VALUES |= {"builtins.dict", "builtins.set", "builtins.frozenset", "numpy.ndarray", "torch.Tensor"}
# What a dictionary shows of itself, made again from what it holds.
VIEWS: dict[str, Callable[[list[Any]], Any]] = {
    "builtins.dict_keys": lambda held: dict.fromkeys(held).keys(),
    "builtins.dict_items": lambda held: dict(held).items(),
    "builtins.dict_values": lambda held: dict(enumerate(held)).values(),
}
MOST_WAYS = 9  # to one thing
# Who is given what is expected can say that it is the same.
COMPARES = ("equal", "equals", "allclose", "isclose", "eq", "array_equal", "array_equiv")


# -------------------------------------------------------------------------------------------------- stand-ins


class StandIn(Addressed):
    """Stands for something in the sandbox.

    Args:
        far: who asks there.
        address: how it is found there: its name with the test that asks, or a number.
        paths: the ways in which the test came to it: "Vector", "Vector.unit", "Vector()".
        kinds: its class and those that this is made from.
        bases: of a class, itself and those that it is made from.
    """

    __slots__ = ("_address", "_bases", "_far", "_kinds", "_paths")

    def __init__(
        self,
        far: "Far",
        address: Any,
        paths: Sequence[str],
        kinds: Sequence[str] = (),
        bases: Sequence[str] = (),
    ) -> None:
        given = {"far": far, "address": address, "paths": list(paths), "kinds": kinds, "bases": bases}
        for key, value in given.items():
            object.__setattr__(self, f"_{key}", value)

    def __getattribute__(self, name: str) -> Any:
        far = object.__getattribute__(self, "_far")
        if name == "__class__":
            return far.known(object.__getattribute__(self, "_kinds"))[0]
        if name == "__bases__":
            return far.known(object.__getattribute__(self, "_bases"))[:1]
        if name == "__signature__":
            return signature(far.ask(asked.parameters, self))
        if name.startswith("__") and name.endswith("__") and name not in READ:
            return object.__getattribute__(self, name)
        if object.__getattribute__(self, "_kinds")[:1] == ["builtins.module"]:
            module, *_ = object.__getattribute__(self, "_paths")
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

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        raise TypeError(
            "a test cannot make a class from an answer's: let the answer define it, or a plain cell"
        )

    def __str__(self) -> str:
        return str(object.__getattribute__(self, "_far").ask(str, self))

    def __repr__(self) -> str:
        return str(object.__getattribute__(self, "_far").ask(repr, self))

    def __hash__(self) -> int:
        return hash(object.__getattribute__(self, "_far").ask(hash, self))

    def __copy__(self) -> Any:
        return object.__getattribute__(self, "_far").ask(copy.copy, self)

    def __deepcopy__(self, memo: Any) -> Any:
        return object.__getattribute__(self, "_far").ask(copy.deepcopy, self)


def part(stand_in: StandIn, name: str) -> Any:
    """What is known here of a stand-in: its far, address, paths, kinds, bases."""
    return object.__getattribute__(stand_in, f"_{name}")


def is_stand_in(value: Any) -> bool:
    """Whether something is a stand-in, without asking it."""
    return issubclass(type(value), StandIn)


def _call(self: StandIn, *values: Any, **named: Any) -> Any:
    if not all(map(is_stand_in, (*values, *named.values()))):
        part(self, "far").must_permit_call(part(self, "paths"))
    return part(self, "far").ask(self, *values, **named)


def _alone(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *values: part(self, "far").ask(function, self, *values)


def _with_another(function: Callable[..., Any], turned: bool = False) -> Callable[..., Any]:
    def asks(self: StandIn, other: Any) -> Any:
        if not is_stand_in(other) and not part(self, "far").takes_plain(function, part(self, "paths")):
            return _compared_here(function, self, other)
        return part(self, "far").ask(function, *((other, self) if turned else (self, other)))

    return asks


def _compared_here(function: Callable[..., Any], thing: StandIn, other: Any) -> Any:
    """What can be said without telling the thing what it is compared with: by what it holds."""
    kind = VIEWS.get((part(thing, "kinds") or [""])[0])
    if kind is None and function is not operator.contains:
        return NotImplemented
    held = part(thing, "far").ask(list, thing)
    return function(kind(held) if kind else held, other)


def _exit(self: StandIn, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> Any:
    """What an own context says to an error: to one of Python's that it is made from."""
    pythons = [one for one in (kind.__mro__ if kind else ()) if one.__module__ == "builtins"]
    return part(self, "far").ask(asked.leave, self, pythons[0] if pythons else None, str(error))


FORWARDED: dict[str, Callable[..., Any]] = {
    "__call__": _call,
    "__enter__": _alone(asked.enter),
    "__exit__": _exit,
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


def of_own_class(value: Any, kind: str) -> Any:
    """A value as one of a class of that name, which is made from the value's."""
    name = re.sub(r"\W", "_", kind.rpartition(".")[2])[:100]
    made: Any = type(name, (type(value),), {})
    return value.as_subclass(made) if hasattr(value, "as_subclass") else made(value)


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


def paths_of(function: Any, values: Sequence[Any]) -> list[str]:
    """The ways in which a test comes to what a function gives: by which names, calls and operators."""
    if is_stand_in(function):
        return [f"{path}()" for path in part(function, "paths")]
    paths = next((part(value, "paths") for value in values if is_stand_in(value)), [""])
    if function is getattr:
        return [f"{path}.{values[1]}" for path in paths]
    return paths if function is asked.itself else [f"{function.__name__}({path})" for path in paths]


class Far:
    """Asks in the sandbox what a test wants to know.

    Args:
        child: where.
        place: the test.
        given: which names are whose.
        cells: the code of those that have run before the test.
        expected: for what the source's own answers give as stand-ins, by its path, whether they define it or
            its class; and which operators take plain values. None where these answers run themselves.
    """

    def __init__(
        self,
        child: Asked,
        place: str,
        given: Given,
        cells: Sequence[str],
        expected: dict[str, bool] | None,
    ) -> None:
        self.child = child
        self.place = place
        self.seconds = 0.0
        self.given = given
        self.cells = cells
        self.seen: dict[str, bool] = {}
        self.is_source = expected is None
        self.expected = self.seen if expected is None else expected
        self.paths: list[str] = []  # of what is asked for
        self.stand_ins: dict[int, StandIn] = {}  # what is the same thing there is one here
        self.parameters: dict[int, Any] = {}
        self.learning: list[Any] = []  # the tensors with gradients among what is given
        self.late = False
        self.errors: dict[str, type] = {}
        self.surroundings = Surroundings()
        self.identities = Identities(itertools.count(-time.monotonic_ns()))  # no other test has these
        self.noted: set[str] = set()
        self.fetched: dict[str, Any] = {}  # values that the next question may change
        self.names: dict[str, Any] = {}

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
        self.paths = paths_of(function, values)
        given = {id(value): value for value in (*values, *named.values()) if not is_stand_in(value)}
        self.learning = [one for one in given.values() if getattr(one, "requires_grad", False) is True]
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
            if self.paths[0].endswith(".send()"):
                raise TypeError("a test cannot run a coroutine: let a function of the answer do it") from None
            raise RuntimeError(f"StopIteration: {error}") from None
        finally:
            self.seconds -= time.monotonic() - start

    def forget(self) -> None:
        """Let go of values that the next call may change, but for those that the test has replaced itself."""
        for name, value in self.fetched.items():
            if dict.get(self.names, name) is value:
                del self.names[name]
        self.fetched.clear()

    def named(self, name: str) -> StandIn:
        """Stands for what has a name in a submission, whatever that is."""
        return kind_with(frozenset(["__call__"]))(self, (self.place, name), [name])

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

    def note(self, what: str) -> None:
        """See `wire.Maker`."""
        self.noted.add(what)

    def blind(self) -> list[str]:
        """What the test did not see as it is, see `BLIND`."""
        copies = {"copies"} if self.identities.are_too_many else set()
        return [*self.noted, *self.surroundings.stays, *copies]

    def made(self, told: dict[str, Any]) -> Any:
        """What stands for a thing that a child tells of, which may tell anything.

        Raises: TypeError, KeyError: it tells something else.
        """
        kinds, bases = ([str(kind)[:200] for kind in told[key][:100]] for key in ("kinds", "bases"))
        if "builtins.Exception" in bases:
            return error_class(bases, self.errors)
        is_expected = self.is_source or any(path in self.expected for path in self.paths)
        is_made_from_plain = "value" in told and not is_expected  # from list, where the source has a list
        if is_made_from_plain:
            self.note("class")
        if "tensor" in told:
            return self.tensor(told, "torch.nn.parameter.Parameter" in kinds)
        if is_made_from_plain:
            return of_own_class(told["value"], kinds[0])
        for path in self.paths:
            self.seen[path] = self.seen.get(path, True) and told["own"] is True
        number, special = int(told["number"]), frozenset(told["has"]).intersection(FORWARDED)
        same = self.stand_ins.get(number) if is_expected else None
        if same is None:
            made = kind_with(special)(self, number, self.paths, kinds, bases)
            return self.stand_ins.setdefault(number, made) if is_expected else made
        ways = part(same, "paths")
        ways += [path for path in self.paths if path not in ways][: MOST_WAYS - len(ways)]
        return same

    def tensor(self, told: dict[str, Any], is_parameter: bool) -> Any:
        """A tensor with gradients: they go on in the sandbox from here, and come back.

        Raises: TypeError, KeyError, ValueError: no tensor is told of.
        """
        import torch  # here, because not every test needs it

        values, gradient = told["tensor"], told["gradient"]
        if not (isinstance(values, torch.Tensor) and values.is_floating_point()):
            raise TypeError("a tensor of floats is expected")
        if told["is_leaf"] is True:
            leaf = self.parameters.get(told["number"])
            if leaf is None or not _fits(values, leaf):
                leaf = torch.nn.Parameter(values) if is_parameter else values.requires_grad_()
                self.parameters[told["number"]] = leaf
            elif not torch.equal(leaf.detach(), values):
                leaf.data.copy_(values)
            if not _fits(gradient, leaf):
                raise TypeError("the gradient does not fit")
            leaf.grad = gradient
            return leaf
        result, leaves = (StandIn(self, int(told[key]), self.paths) for key in ("number", "leaves"))
        copies = [one for one in self.learning if not self.identities.has(one)]
        return attached(self, values, result, leaves, [*self.identities.leaves(), *copies])

    def takes_plain(self, function: Any, paths: Sequence[str]) -> bool:
        """Whether an operator takes plain values: as for the source's own answers, which define the class."""
        uses = {path: f"{function.__name__}({path}, a value)" for path in paths}
        if self.is_source:
            self.seen |= {use: True for path, use in uses.items() if self.seen.get(path)}
        return any(self.expected.get(use, False) for use in uses.values())

    def must_permit_call(self, paths: Sequence[str]) -> None:
        """Refuse to give values to something that is none in the source: they may be what is expected.

        Raises: TypeError.
        """
        if paths[0] in self.given.imported:
            raise TypeError(f"the test should import {paths[0]} itself: only an answer does")
        if not any(map(self._is_callable, paths)):
            raise TypeError(f"{paths[0]} should be a value that can be compared here")

    def _is_callable(self, path: str) -> bool:
        """Whether something may be given values; what compares, only if the source defines it."""
        name = path.split(".")[-1]
        compares = name in COMPARES or name.startswith("assert")
        return path in self.expected and (self.expected[path] or not compares)

    def type_of(self, thing: StandIn) -> Any:
        """Its class, or what stands for that."""
        kind, *_ = part(thing, "kinds") or [""]
        found, *_ = self.known([kind])
        return self.ask(type, thing) if found is object else found

    def known(self, kinds: Sequence[str]) -> tuple[type, ...]:
        """See `known`; of a notebook's own classes those that the source gives the test."""
        own: list[Any] = [dict.get(self.names, kind.removeprefix("__main__.")) for kind in kinds]
        return (*(one for one in own if issubclass(type(one), type)), *known(kinds))

    def source_of(self, thing: Any) -> str:
        """As `inspect.getsource`: of a learner's function or class from the cells that were run."""
        if not is_stand_in(thing):
            return _getsource(thing)
        names = part(thing, "paths")[0].split(".")
        found = definition(self.cells, names)
        if not found:
            raise OSError("could not get source code")
        if is_in_doubt(self.cells, names):
            self.note("code")
        return found


_getsource = inspect.getsource


class _Kind(type):
    """What `type` is in a test: of what stands for a thing in the sandbox it gives that thing's class."""

    def __call__(cls, *values: Any, **named: Any) -> Any:
        if len(values) == 1 and is_stand_in(values[0]):
            return part(values[0], "far").type_of(values[0])
        if len(values) == 1 and isinstance(values[0], Reported):
            return vars(type(values[0])).get("stands_for", type(values[0]))
        return (super().__call__ if cls is not Type else type)(*values, **named)

    def __instancecheck__(cls, thing: Any) -> bool:
        return isinstance(thing, type) if cls is Type else super().__instancecheck__(thing)


class Type(type, metaclass=_Kind):
    """See `_Kind`."""


def _plain(kind: Any) -> Any:
    """How it goes to an answer, with a class of the test's that asks for types: as `type`."""
    return type, (type,)


copyreg.pickle(_Kind, _plain)


class Names(dict[str, Any]):
    """The names of a test: looked up where they are used for the first time.

    Args:
        far: who asks in the sandbox.
        checked: names that the test gives to `check`, which examines whatever they are.
    """

    def __init__(self, far: Far, checked: set[str]) -> None:
        super().__init__(__name__="test", type=Type)
        self.far = far
        self.checked = checked
        self.done: set[Statement] = set()
        far.names = self

    def __contains__(self, name: object) -> bool:
        """Whether there is such a name, `"n" in globals()`; also if nothing was asked of it so far."""
        return self.get(name, self) is not self

    def get(self, name: Any, default: Any = None) -> Any:
        """As that of a dictionary."""
        if str(name).startswith("__"):  # cloudpickle looks for some
            return super().get(name, default)
        try:
            return self[name]
        except KeyError:
            return default

    def __missing__(self, name: str) -> Any:
        given = self.far.given
        if name in self.checked:
            found = self[name] = self.far.named(name)
            return found
        if name not in given.learners:
            for key in (name, "*"):
                self._run(key)
                if super().__contains__(name):
                    return self[name]
            if hasattr(builtins, name):
                raise KeyError(name)
        found = self.far.fetch(name)
        self[name] = found
        return found

    def _run(self, name: str) -> None:
        """Run the statements of the source that bind a name, each once."""
        for statement in self.far.given.statements.get(name, ()):
            if statement not in self.done:
                self.done.add(statement)
                with seeded(statement.seed):
                    exec(statement.code, self)
