"""Tasks as data: the words and the known mistakes of every task stand in one YAML file per concept.

03_qkv.yml             first level: exercise notebooks, second level: their tasks
shared.yml             mistakes that more than one task knows by name
attention_by_hand.py   what cannot be words: inputs, references, adapters; imported when asked for
"""

import ast
import builtins
import difflib
import functools
import importlib
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from course_lib.checks.kinds import Code, Misconception, Task, Words

FOLDER = Path(__file__).parent
SHARED = "shared.yml"

# Field of a task -> the type that it must have.
_REQUIRED = {
    "title": str,
    "level": int,
    "minutes": int,
    "section": str,
    "call": str,
    "text": str,
    "hints": list,
    "misconceptions": list,
}
_OPTIONAL = {"forbidden": list}
_MISCONCEPTION = {"name": str, "says": str, "wrong": str}
_LEVELS = range(1, 5)


class TaskError(ValueError):
    """A task file cannot be used; the message says where and why."""


class Block(dict):
    """A mapping of a YAML file that knows in which line each of its keys stands."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[str, int] = {}

    def at(self, key: str) -> str:
        """The place of a key, for messages."""
        return f"{self.file}, line {self.lines[key]}"


@dataclass(frozen=True)
class Written:
    """A misconception as it stands in the file."""

    name: str
    says: str
    wrong: str
    at: str  # file and line


@dataclass(frozen=True)
class Entry:
    """A task as it stands in the file."""

    words: Words
    misconceptions: tuple[Written, ...]


# ---------------------------------------------------------------------------------------------------- reading


@functools.cache
def concepts() -> tuple[str, ...]:
    """The concepts that have tasks, in the order of the course."""
    return tuple(sorted(path.stem for path in FOLDER.glob("[0-9][0-9]_*.yml")))


@functools.cache
def entries(concept: str) -> Mapping[str, Entry]:
    """The tasks of a concept by name, in the order of the file; imports none of their Python.

    Raises: TaskError: the file is not what it should be.
    """
    return read_entries(concept, FOLDER / f"{concept}.yml", _shared())


@functools.cache
def words(concept: str) -> Mapping[str, Words]:
    """What a learner reads about each task of a concept, by the task's name, in the order of the file."""
    return {name: entry.words for name, entry in entries(concept).items()}


@functools.cache
def task(name: str) -> Task:
    """A whole task: its words, its Python, and its misconceptions as functions."""
    concept, short = name.split("/")
    entry = entries(concept)[name]
    module = importlib.import_module(f"course_lib.checks.{entry.words.notebook}")
    return build(entry, module.TASKS.get(short), vars(module))


@functools.cache
def _shared() -> Mapping[str, Written]:
    return read_shared(FOLDER / SHARED)


def read_shared(path: Path) -> dict[str, Written]:
    """The mistakes of `shared.yml` by name."""
    blocks = read_yaml(path)
    return {name: _written({"name": name, **block}, blocks.at(name)) for name, block in blocks.items()}


def read_entries(concept: str, path: Path, shared: Mapping[str, Written]) -> dict[str, Entry]:
    """The tasks of one file by name."""
    found: dict[str, Entry] = {}
    for notebook, tasks in read_yaml(path).items():
        for short, block in tasks.items():
            name = f"{concept}/{short}"
            if name in found:
                raise TaskError(f"{tasks.at(short)}: there is a task {short!r} already")
            found[name] = _entry(name, notebook, block, tasks.at(short), shared)
    return found


def read_yaml(path: Path) -> Block:
    """A YAML file, with the lines of its keys.

    Raises: TaskError: not YAML, not a mapping, or a key that stands twice.
    """
    loader = _Loader(path.read_text(encoding="utf-8"))
    loader.name = path.name
    try:
        block = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise TaskError(f"{path.name}, line {line}: this is not YAML: {error.problem}") from None
    finally:
        loader.dispose()
    if not isinstance(block, Block):
        raise TaskError(f"{path.name}: names and their fields are expected, but got {block!r:.60}")
    return block


class _Loader(yaml.SafeLoader):
    """Makes a `Block` of every mapping."""


def _block(loader: _Loader, node: yaml.MappingNode) -> Block:
    block = Block(loader.name)
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node)
        line = key_node.start_mark.line + 1
        if key in block:
            raise TaskError(f"{block.file}, line {line}: {key!r} stands in line {block.lines[key]} already")
        block.lines[key] = line
        block[key] = loader.construct_object(value_node, deep=True)
    return block


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _block)


# --------------------------------------------------------------------------------------------------- checking


def _entry(name: str, notebook: str, block: Any, at: str, shared: Mapping[str, Written]) -> Entry:
    _check_fields(f"task {name!r}", block, at, _REQUIRED, _OPTIONAL)
    if block["level"] not in _LEVELS:
        raise TaskError(f"{block.at('level')}: the level of {name!r} is 1 to 4; got {block['level']}")
    for field in ("hints", "forbidden"):
        if not all(isinstance(text, str) for text in block.get(field, [])):
            raise TaskError(f"{block.at(field)}: the {field} of {name!r} must be texts; got {block[field]}")
    known: dict[str, Written] = {}
    for item in block["misconceptions"]:
        written = _misconception(name, item, block, shared)
        if written.name in known:
            raise TaskError(f"{written.at}: task {name!r} has a misconception {written.name!r} already")
        known[written.name] = written
    said = Words(
        name=name,
        notebook=notebook,
        title=block["title"],
        level=block["level"],
        minutes=block["minutes"],
        section=block["section"],
        call=block["call"],
        text=block["text"].strip(),
        hints=tuple(block["hints"]),
        forbidden=tuple(block.get("forbidden", [])),
    )
    return Entry(said, tuple(known.values()))


def _misconception(name: str, item: Any, block: Block, shared: Mapping[str, Written]) -> Written:
    if isinstance(item, str):
        if item not in shared:
            near = ", ".join(difflib.get_close_matches(item, shared)) or ", ".join(shared)
            at = block.at("misconceptions")
            raise TaskError(f"{at}: task {name!r} names {item!r}, which {SHARED} lacks; it has {near}")
        return shared[item]
    at = item.at("name") if isinstance(item, Block) and "name" in item else block.at("misconceptions")
    _check_fields(f"a misconception of {name!r}", item, at, _MISCONCEPTION, {})
    return _written(item, at)


def _written(block: Mapping[str, str], at: str) -> Written:
    _check_fields(f"the misconception {block.get('name')!r}", block, at, _MISCONCEPTION, {})
    return Written(block["name"], block["says"].strip(), block["wrong"].strip(), at)


def _check_fields(
    what: str, block: Any, at: str, required: Mapping[str, type], optional: Mapping[str, type]
) -> None:
    """Raise a TaskError unless `block` has all required fields, no unknown one, and each of its type."""
    if not isinstance(block, Mapping):
        raise TaskError(f"{at}: {what} needs the fields {', '.join(required)}; got {block!r:.60}")
    known = {**required, **optional}
    for field, value in block.items():
        here = block.at(field) if isinstance(block, Block) else at
        if field not in known:
            raise TaskError(f"{here}: {what} has an unknown field {field!r}; known are {', '.join(known)}")
        if not isinstance(value, known[field]) or not value:
            kind = {str: "text", int: "number", list: "list"}[known[field]]
            raise TaskError(f"{here}: {field!r} of {what} must be a {kind}; got {str(value)!r:.60}")
    missing = [field for field in required if field not in block]
    if missing:
        raise TaskError(f"{at}: {what} lacks {', '.join(missing)}")


# --------------------------------------------------------------------------------------------------- building


def build(entry: Entry, code: Code | None, namespace: Mapping[str, Any]) -> Task:
    """The task that can be checked.

    Args:
        entry: its words.
        code: its Python.
        namespace: the names that a misconception's code may use beside the task's arguments.
    Raises: TaskError: there is no such Python, or a misconception's code cannot be used.
    """
    if code is None:
        home = f"course_lib/checks/{entry.words.notebook}.py"
        raise TaskError(f"task {entry.words.name!r} has words but no entry in TASKS of {home}")
    known = tuple(
        Misconception(written.name, written.says, _function(entry.words.name, written, code, namespace))
        for written in entry.misconceptions
    )
    return Task(**vars(entry.words), **vars(code), misconceptions=known)


def _function(task: str, written: Written, code: Code, namespace: Mapping[str, Any]) -> Callable[..., Any]:
    """The code of a misconception as a function of the task's arguments."""
    signature = inspect.signature(code.reference)
    arguments = [name for name, p in signature.parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    where = f"{written.at}: the misconception {written.name!r} of task {task!r}"
    try:
        source = _source(written.wrong, arguments)
        tree = ast.parse(source)
    except SyntaxError as error:
        raise TaskError(f"{where} does not compile: {error.msg}: {(error.text or '').strip()}") from None
    unknown = _unknown_names(tree, {*arguments, "answer", *namespace, *vars(builtins)})
    if unknown:
        raise TaskError(f"{where} uses {unknown[0]!r}; its arguments are {', '.join(arguments)}")
    if not any(isinstance(node, ast.Return) for node in ast.walk(tree)):
        raise TaskError(f"{where} returns nothing: end it with `return`")
    scope = dict(namespace)
    exec(compile(tree, written.at, "exec"), scope)
    body = scope["wrong"]

    def wrong(*given: Any) -> Any:
        bound = signature.bind(*given)
        bound.apply_defaults()
        values = {name: bound.arguments[name] for name in arguments}
        return body(answer=functools.partial(code.reference, **values), **values)

    return wrong


def _source(wrong: str, arguments: list[str]) -> str:
    """A function whose body is an expression or some lines of code."""
    try:
        ast.parse(wrong, mode="eval")
        lines = f"return (\n{wrong}\n)"
    except SyntaxError:
        lines = wrong
    return f"def wrong(answer, {', '.join(arguments)}):\n{textwrap.indent(lines, '    ')}"


def _unknown_names(tree: ast.AST, known: set[str]) -> list[str]:
    nodes = list(ast.walk(tree))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    own = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    return [node.id for node in names if node.id not in known | own]
