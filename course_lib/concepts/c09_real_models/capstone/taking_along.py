"""The learner's own functions from their notebooks or from a file, and back into one file.

    mine = take_along()                      from all notebooks of exercises/
    mine = take_along("my_chat.py")          from a file
    assemble(mine, rms_norm=rms_norm)

Of a file only those imports, definitions and assignments run that the parts need.
"""

import ast
import builtins
import functools
import inspect
import linecache
import math
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.checks import tasks
from course_lib.checks.show import as_markup, show
from course_lib.concepts.c09_real_models.capstone.statements import (
    Statement,
    defined_by,
    is_stub,
    needed_for,
    needs_of,
    statements_of,
)

ROOT = Path(__file__).resolve().parents[4]  # the copy of the course that this library stands in
CAPSTONE = "09_real_models/my_transformer.ipynb"
IMPORTS = ("import ", "from ")
TAKEN_FROM = "taken from "  # begins the `__name__` in which what was taken along runs


@dataclass(frozen=True)
class Part:
    """A part of the model, and the task that asks for it."""

    task: str

    @property
    def call(self) -> str:
        """How the task calls it, such as `rms_norm(x, weight, eps)`."""
        return tasks.words(self.task.split("/")[0])[self.task].call

    @property
    def function(self) -> str:
        """What the function is called."""
        return self.call.split("(")[0]

    @property
    def arguments(self) -> list[str]:
        """What it takes, in order."""
        return self.call.split("(")[1].split(")")[0].split(", ")

    def may_stand_in(self, path: Path) -> bool:
        """Whether a file may have it: a Python file, or the notebook of its task."""
        notebook = tasks.words(self.task.split("/")[0])[self.task].notebook
        return path.suffix == ".py" or path.stem == notebook


# In the order in which a text passes through them.
PARTS = {
    "tokenizer": Part("01_tokens/tokenizer_at_work"),
    "embedding": Part("00_overview/vectors_in_out"),
    "rms_norm": Part("06_residuals/rms_norm"),
    "rotation": Part("05_positions/rotate_pairs"),
    "cache": Part("09_real_models/extend_cache"),
    "attention": Part("09_real_models/grouped_attention"),
    "mlp": Part("06_residuals/gated_mlp"),
    "block": Part("06_residuals/pre_norm_block"),
    "forward": Part("09_real_models/forward_pass"),
    "sampler": Part("09_real_models/next_probabilities"),
}
# What a part may call, as the words of its task say.
EARLIER = (
    Part("01_tokens/encode"),
    Part("03_qkv/attention"),
    Part("04_multi_head/split_heads"),
    Part("04_multi_head/join_heads"),
    Part("07_mlm_vs_next_token/temperature"),
    Part("07_mlm_vs_next_token/top_p"),
)
# Beside the model: what a conversation looks like, and how tokens are read.
HELPERS = {"chat_form": Part("09_real_models/chat_template"), "decoding": Part("01_tokens/decode")}
COURSES = "(The course's.)"  # ends the comment above a function that is not the learner's


# ----------------------------------------------------------------------------------------------- taking along


class Taken(Mapping[str, Callable[..., Any]]):
    """Parts by name, and the functions of earlier tasks that they may call."""

    def __init__(self) -> None:
        # All three by the name of a function.
        self._found: dict[str, Callable[..., Any]] = {}
        self.origins: dict[str, str] = {}
        self.passed_over: dict[str, str] = {}  # why a candidate was not taken
        self.problems: list[str] = []

    def add(self, name: str, function: Callable[..., Any], origin: str) -> None:
        """Keep a function; a later one takes the place of an earlier one."""
        self._found[name], self.origins[name] = function, origin

    def __getitem__(self, part: str) -> Callable[..., Any]:
        return self._found[PARTS[part].function]

    def __iter__(self) -> Iterator[str]:
        return (part for part, its in PARTS.items() if its.function in self._found)

    def __len__(self) -> int:
        return len(list(iter(self)))

    @property
    def earlier(self) -> dict[str, Callable[..., Any]]:
        """By its name each function of an earlier task that a part may call, and that is written."""
        names = [its.function for its in EARLIER]
        return {name: self._found[name] for name in names if name in self._found}

    @property
    def helpers(self) -> dict[str, Callable[..., Any]]:
        """What is written for the chat beside the parts, by the names in `HELPERS`."""
        return {
            name: self._found[its.function] for name, its in HELPERS.items() if its.function in self._found
        }

    def source(self, name: str) -> str:
        """The code of a function and of all that it needs, to be pasted into a cell.

        Args:
            name: of a part, or of a function: "tokenizer" and "tokenizer_at_work" are the same.
        Raises: ValueError: it was not found.
        """
        function = PARTS[name].function if name in self else name
        if function not in self._found:
            raise ValueError(f"{name!r} was not found; found were {', '.join(self._found) or 'no parts'}")
        return source_of({function: self._found[function]})

    def __str__(self) -> str:
        lines = [f"{len(self)} of {len(PARTS)} parts found."]
        missing = []
        for part, its in PARTS.items():
            name = its.function
            if part in self:
                lines.append(f"  {part}: {name} of {self.origins[name]}")
            elif name in self.passed_over:
                lines.append(f"  {part}: no {name} yet ({self.passed_over[name]})")
            else:
                missing.append(name)
        if missing:
            lines.append(f"Not written yet: {', '.join(missing)}.")
        if self.earlier:
            lines.append(f"Earlier functions that they may call: {', '.join(self.earlier)}.")
        if self.helpers:
            beside = ", ".join(HELPERS[name].function for name in self.helpers)
            lines.append(f"For the chat: {beside}.")
        return "\n".join([*lines, *self.problems])


_at_work: list[Taken] = []  # of a call that runs the cells of a notebook: there may be a call among them


def take_along(*paths: str | Path, into: dict[str, Any] | None = None) -> Taken:
    """Find the parts in notebooks or Python files by the names of their functions; show what was found.

    Args:
        paths: .ipynb or .py files, the later ones first in rank; default: all notebooks of exercises/.
        into: gets the functions of earlier tasks that a part may call; `globals()` are a notebook's names.
    Raises: ValueError: a path that does not exist, or of another kind.
    """
    taken = _at_work[-1] if _at_work else _taken(paths)
    if into is not None:
        into |= taken.earlier
    return taken


def _taken(paths: Sequence[str | Path]) -> Taken:
    taken = Taken()
    for path in map(Path, paths) if paths else _notebooks():
        if path.suffix not in (".ipynb", ".py") or not path.is_file():
            raise ValueError(f"parts are taken from notebooks (.ipynb) and Python files; got {str(path)!r}")
        _at_work.append(taken)
        try:
            _take(path, taken)
        finally:
            _at_work.pop()
    show(str(taken), as_markup(str(taken)))
    return taken


def _notebooks() -> list[Path]:
    """The learner's notebooks, the capstone last."""
    folder = ROOT / "exercises"
    paths = sorted(folder.glob("[0-9][0-9]_*/*.ipynb"))
    return sorted(paths, key=lambda path: path == folder / CAPSTONE)


def _take(path: Path, taken: Taken) -> None:
    """Add what one file has."""
    origin = "/".join(path.resolve().parts[-2:])
    statements = statements_of(path, origin, taken.problems)
    # A stub takes no function's place, wherever it stands.
    ranked = sorted(enumerate(statements), key=lambda one: not is_stub(one[1].tree))
    defined = {name: number for number, statement in ranked for name in statement.defines}
    others = (its for its in (*EARLIER, *HELPERS.values()) if its.may_stand_in(path))
    for its in (*others, *PARTS.values()):
        name = its.function
        number = defined.get(name)
        if number is None or is_stub(statements[number].tree) or _is_the_courses(statements[number]):
            continue
        why = _unfit(statements, defined, its)
        if why:
            taken.passed_over[name] = f"that of {origin} {why}"
            continue
        function = _made(name, statements, defined, origin, taken)
        if function is not None:
            taken.add(name, function, origin)


def _is_the_courses(statement: Statement) -> bool:
    """Whether a program of `save` says so, in the comment above."""
    above = linecache.getline(statement.file, statement.tree.lineno - 1)
    return above.startswith("#") and above.rstrip().endswith(COURSES)


def _made(
    function: str, statements: list[Statement], defined: Mapping[str, int], origin: str, taken: Taken
) -> Any:
    """Run what makes a function and all that it needs; None where that fails."""
    needed, names = needed_for(statements, defined, function)
    scope: dict[str, Any] = {"__name__": f"{TAKEN_FROM}{origin}"}
    # What is not made in this file comes from an earlier one; nothing of the kernel does.
    scope |= {name: it for name, it in taken.earlier.items() if name in names and name not in defined}
    for one in needed:
        if not one.comes:
            changed = ", ".join(sorted(names & one.changes))
            taken.problems.append(
                f"{function} of {origin} comes without `{one.head}`, which changes {changed}: only "
                "imports, definitions and assignments come along"
            )
            names -= one.changes
    try:
        for one in needed:
            if one.comes:
                exec(compile(ast.Module([one.tree], []), one.file, "exec"), scope)
    except Exception as error:
        taken.problems.append(f"{function} of {origin} cannot be used: {type(error).__name__}: {error}")
        return None
    missing = sorted(names - set(scope) - set(dir(builtins)))
    if missing:
        taken.problems.append(f"{function} of {origin} needs {', '.join(missing)}: not found there")
    return scope[function]


def _unfit(statements: list[Statement], defined: Mapping[str, int], part: Part) -> str:
    """Why what goes by the name of a part cannot be it; nothing where it can."""
    name, seen = part.function, set()
    while name in defined and name not in seen:  # rms_norm = my_norm
        seen.add(name)
        tree = statements[defined[name]].tree
        made = tree.value if isinstance(tree, ast.Assign | ast.AnnAssign) else tree
        if isinstance(made, ast.FunctionDef | ast.Lambda):
            fits = _fits(made.args, part)
            return "" if fits else f"takes ({ast.unparse(made.args)}), asked for is {part.call}"
        name = made.id if isinstance(made, ast.Name) else ""
    return "is not made by `def`, by `lambda`, or as another name of such a function"


def _fits(arguments: ast.arguments, part: Part) -> bool:
    """Whether it takes as many arguments as the part: another task may ask for the same name."""
    most = len(arguments.posonlyargs + arguments.args)
    least = most - len(arguments.defaults)
    n = len(part.arguments)
    named_only = None in arguments.kw_defaults  # and without a default
    return least <= n and (n <= most or bool(arguments.vararg)) and not named_only


# ----------------------------------------------------------------------------------------------------- saving


def source_of(functions: Mapping[str, Any]) -> str:
    """The code of some functions and of all that they need: imports first, then constants and definitions.

    Args:
        functions: by the names that they get.
    Raises: ValueError: see `MyModel.save`.
    """
    pieces = pieces_of(functions)
    imports = [code for code in pieces.values() if code.startswith(IMPORTS)]
    others = [code for code in pieces.values() if code not in imports]
    return "\n\n\n".join(["\n".join(sorted(dict.fromkeys(imports))), *others]).strip()


def pieces_of(functions: Mapping[str, Any]) -> dict[str, str]:
    """The code of some functions and of all that they need, by names, in an order in which it can run.

    Raises: ValueError: see `MyModel.save`.
    """
    pieces: dict[str, str] = {}
    for name, learner in functions.items():
        original = _undecorated(learner)
        if not isinstance(original, types.FunctionType):
            raise ValueError(f"{name} cannot be saved: it must be a function of a notebook or a file")
        _collect(name, learner, original.__globals__, pieces)
    return pieces


def code_of(part: str, learner: Any) -> str:
    """The code of a part and of all that it needs; empty where it may change while its code does not.

    So it is where it needs what no code shows, such as a tensor, or a module of the learner's own.
    """
    try:
        code = source_of({PARTS[part].function: learner})
    except ValueError:
        return ""
    modules = {line.split()[1].split(".")[0] for line in code.split("\n") if line.startswith(IMPORTS)}
    return code if modules <= {"torch", "numpy", "course_lib", *sys.stdlib_module_names} else ""


def _collect(name: str, value: Any, scope: Mapping[str, Any], pieces: dict[str, str]) -> None:
    """Add the code that makes `name`, and before it all that this code needs."""
    original = _undecorated(value)
    if isinstance(original, types.FunctionType) and str(original.__module__).startswith(TAKEN_FROM):
        scope = original.__globals__  # those of another notebook
    code, needs = _code_of(name, value, scope)
    if name in pieces:
        if pieces[name] != code:
            raise ValueError(
                f"two parts use {name!r} for two different things: give one of them another name"
            )
        return
    pieces[name] = code  # here already: functions may call each other
    for needed in sorted(needs):
        if needed in scope and not (hasattr(builtins, needed) and scope[needed] is getattr(builtins, needed)):
            _collect(needed, scope[needed], scope, pieces)
    del pieces[name]  # and now at its place, behind what it needs
    pieces[name] = code


def _code_of(name: str, value: Any, scope: Mapping[str, Any]) -> tuple[str, set[str]]:
    """The code that makes a name, and the names that it reads."""
    if isinstance(value, types.ModuleType):
        return (f"import {name}" if value.__name__ == name else f"import {value.__name__} as {name}"), set()
    original = _undecorated(value)
    home = getattr(original, "__module__", None)
    if isinstance(original, types.FunctionType | type) and home == scope.get("__name__"):
        tree, code = _definition(original)
        named = defined_by(tree)
        if name not in named:  # rms_norm = my_norm
            code = f"{code}\n\n\n{name} = {min(named)}"
        return code, needs_of(tree) - named
    own = getattr(value, "__name__", "")
    if getattr(sys.modules.get(str(home)), own, None) is value and home != "__main__":
        return f"from {home} import {own}" + ("" if own == name else f" as {name}"), set()
    if isinstance(value, float) and not math.isfinite(value):
        return f'{name} = float("{value}")', set()
    if isinstance(
        value, int | float | str | bytes | tuple | list | dict | set | types.NoneType
    ) and _is_literal(value):
        return f"{name} = {_literal(value)}", set()
    kind = type(value).__name__
    raise ValueError(f"{name!r} cannot be saved, because it is a {kind}: make it within the function")


def _undecorated(value: Any) -> Any:
    """The function below its decorators, of `@torch.no_grad()` for instance."""
    return inspect.unwrap(value) if callable(value) else value


def _literal(value: Any) -> str:
    """As a formatter writes it."""
    text = repr(value)
    plain = isinstance(value, str) and '"' not in text and "\\" not in text
    return f'"{value}"' if plain else text


def _is_literal(value: Any) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, TypeError, SyntaxError, RuntimeError):
        return False


def _definition(value: Any) -> tuple[Any, str]:
    """The definition of a function or a class, as it stands in its cell or file."""
    functions = [value] if isinstance(value, types.FunctionType) else list(vars(value).values())
    function = next((inspect.unwrap(f) for f in functions if isinstance(f, types.FunctionType)), None)
    lines = (
        [] if function is None else linecache.getlines(function.__code__.co_filename, function.__globals__)
    )
    first = 0 if function is None else function.__code__.co_firstlineno
    try:
        body = _statements("".join(lines))
    except SyntaxError:
        body = []
    for tree in body if "." not in value.__qualname__ else []:
        if _makes(tree, value.__name__):
            start = min([tree.lineno, *(one.lineno for one in getattr(tree, "decorator_list", []))])
            if start <= first <= (tree.end_lineno or 0):
                return tree, "".join(lines[start - 1 : tree.end_lineno]).rstrip()
    raise ValueError(f"{value.__name__!r} cannot be saved: {_why_not_found(value, function)}")


@functools.lru_cache(maxsize=64)  # one cell or file holds many functions, each of which is asked for often
def _statements(code: str) -> list[ast.stmt]:
    """What stands in a cell or a file, to be read only."""
    return ast.parse(code).body


def _why_not_found(value: Any, function: Any) -> str:
    """Why the code of a function or a class is not at hand."""
    file = function.__code__.co_filename if function else "<string>"
    if file == "<timed exec>":
        return (
            "its cell begins with %%time, which keeps no code; run the cell without it, then assemble again"
        )
    # A data class has methods that `dataclass` wrote as a string, and since Python 3.13 one of its own file.
    if isinstance(value, type) and file in ("<string>", dataclass.__code__.co_filename):
        return "it is a class without methods, whose code Python does not find; constants will be found"
    outer, _, inner = value.__qualname__.rpartition(".<locals>.")
    if outer:
        return (
            f"it is not defined at the top of a cell or a file, but within {outer!r}; where that decorates "
            f"a function, write @functools.wraps(function) above `def {inner}`"
        )
    return "it is not defined at the top of a cell or a file"


def _makes(tree: ast.stmt, name: str) -> bool:
    """Whether a statement defines what goes by this name; what a lambda makes has none of its own."""
    if isinstance(tree, ast.Assign | ast.AnnAssign):
        targets = tree.targets if isinstance(tree, ast.Assign) else [tree.target]
        names = all(isinstance(target, ast.Name) for target in targets)
        return names and isinstance(tree.value, ast.Lambda) and name == "<lambda>"
    return isinstance(tree, ast.FunctionDef | ast.ClassDef) and name == tree.name
