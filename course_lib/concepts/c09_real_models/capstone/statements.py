"""The statements of a notebook or a file: which make a name, and what runs when a function is taken along.

    statements = statements_of(path, "06_residuals/parts.ipynb", problems)
    some, names = needed_for(statements, {"rms_norm": 3}, "rms_norm")  # the fourth one defines it

Nothing runs here.
"""

import ast
import dis
import io
import json
import linecache
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What may run when a part is taken, besides loops and branches of such statements.
COMING = ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign
COMING |= ast.AugAssign | ast.Pass | ast.Raise
# Methods by which a constant is filled; torch's end in "_".
CHANGING = {"append", "extend", "insert", "update", "setdefault", "add", "sort", "reverse", "fill"}
# What code reads unasked: a class the first, an annotation the others (the last one since Python 3.14).
PYTHONS = {"__name__", "__annotations__", "__conditional_annotations__"}


@dataclass(frozen=True)
class Statement:
    """A statement of a file."""

    tree: Any
    file: str  # under which its lines stand in `linecache`
    comes: bool  # it does nothing but import, define and assign
    defines: frozenset[str]
    changes: frozenset[str]  # what was defined before, or may have been: `N += 1`; "*": any name
    needs: frozenset[str]

    @property
    def head(self) -> str:
        """Its first line."""
        return ast.unparse(self.tree).split("\n")[0]


def _statement(tree: ast.stmt, file: str) -> Statement:
    """Raises: SyntaxError: it can be parsed, but not run."""
    if not _comes(tree):
        return Statement(tree, file, False, frozenset(), frozenset(_changes(tree)), frozenset())
    code = compile(ast.Module([tree], []), file, "exec")
    defines, again = defined_by(tree), {"*"}
    if isinstance(tree, ast.Assign | ast.AnnAssign):
        again |= _read_by(code)  # N = N + 1
    changes = _changes(tree) - defines | defines & again
    return Statement(
        tree, file, True, frozenset(defines - again), frozenset(changes), frozenset(_globals_of(code))
    )


def statements_of(path: Path, origin: str, problems: list[str]) -> list[Statement]:
    """What stands in a file, in its order.

    Args:
        path: a notebook or a Python file.
        origin: what the file is called in messages.
        problems: grows by a sentence for each cell that cannot be read.
    """
    found = []
    try:
        cells = _cells(path)
    except (OSError, ValueError, KeyError, TypeError) as error:  # ValueError: no JSON, or no UTF-8
        problems.append(f"{origin} cannot be read: {type(error).__name__}: {error}")
        return []
    for number, code in enumerate(cells, start=1):
        where = f"{origin}, cell {number}" if path.suffix == ".ipynb" else origin
        try:
            tree, code = _parsed(code, where, path.suffix)
            file = lines_kept(where, code)
            found += [_statement(statement, file) for statement in tree.body]
        except SyntaxError as error:
            problems.append(f"{where} is left out: {error.msg}, line {error.lineno}")
        except ValueError as error:
            problems.append(f"{where} is left out: {error}")
    return found


def lines_kept(where: str, code: str) -> str:
    """A file's name under which Python, in an error, and `save` find these lines.

    Two readings of a cell that was changed in between have two names, and so have two copies of a notebook.
    """
    # The parser's lines: `splitlines` splits at a form feed and at five others, too.
    lines, file, n = list(io.StringIO(code, newline=None)), f"<{where}>", 1
    while linecache.getlines(file) not in ([], lines):
        n += 1
        file = f"<{where}, reading {n}>"
    linecache.cache[file] = (len(code), None, lines, file)
    return file


def _cells(path: Path) -> list[str]:
    """The code of a file, of a notebook cell by cell."""
    text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte order mark
    if path.suffix == ".py":
        return [text]
    return ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]


def _parsed(code: str, where: str, suffix: str) -> tuple[ast.Module, str]:
    """A cell or a file, and its code as Python."""
    try:
        return ast.parse(code, f"<{where}>"), code
    except SyntaxError:
        if suffix == ".py":
            raise
    code = _without_magics(code)
    return ast.parse(code, f"<{where}>"), code


def _without_magics(code: str) -> str:
    """A cell as Python: `y = !ls` becomes a call of IPython, and the cells of other languages nothing."""
    from IPython.core.inputtransformer2 import TransformerManager

    if code.lstrip().startswith("%%"):
        head, _, rest = code.lstrip().partition("\n")
        code = f"\n{rest}" if head.split()[0] in ("%%time", "%%timeit", "%%capture") else ""
    return TransformerManager().transform_cell(code)


def _comes(tree: ast.AST) -> bool:
    """Whether a statement only imports, defines and assigns; such loops and branches too."""
    inner = [line for line in ast.iter_child_nodes(tree) if isinstance(line, ast.stmt | ast.ExceptHandler)]
    if isinstance(tree, ast.For | ast.While | ast.If | ast.With | ast.Try | ast.ExceptHandler):
        return all(map(_comes, inner))
    if isinstance(tree, ast.Expr):
        called = tree.value.func if isinstance(tree.value, ast.Call) else None
        name = called.attr if isinstance(called, ast.Attribute) else ""
        return name in CHANGING or name.endswith("_")
    return isinstance(tree, COMING)


def _changes(tree: ast.stmt) -> set[str]:
    """What a statement writes into: of `T[i] = 1` the T, of a loop or a branch all that it makes too."""
    changed: set[str] = set()
    if isinstance(tree, ast.FunctionDef | ast.ClassDef):
        return changed
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef):
            changed |= defined_by(node)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _comes(node):
            changed |= _root(node.value.func)
        elif isinstance(getattr(node, "ctx", None), ast.Store):
            changed |= _root(node)
    return changed


def _root(node: ast.AST) -> set[str]:
    """Of `T.rows[i]` the T."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()


def defined_by(tree: ast.AST) -> set[str]:
    """The names that a statement makes, whatever was there before; none where it does more than to define."""
    if isinstance(tree, ast.FunctionDef | ast.ClassDef):
        return {tree.name}
    if isinstance(tree, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in tree.names}
    if isinstance(tree, ast.Assign | ast.AnnAssign):
        targets = tree.targets if isinstance(tree, ast.Assign) else [tree.target]
        names = [node for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
        return {node.id for node in names if isinstance(node.ctx, ast.Store)}
    return set()


def needs_of(tree: ast.stmt) -> set[str]:
    """The names of its file that a statement reads. The compiler knows which are local.

    Raises: SyntaxError: it can be parsed, but not run.
    """
    return _globals_of(compile(ast.Module([tree], []), "<needs>", "exec"))


def _globals_of(code: types.CodeType) -> set[str]:
    inner = (_globals_of(inner) for inner in code.co_consts if isinstance(inner, types.CodeType))
    return _read_by(code).union(*inner) - PYTHONS


def _read_by(code: types.CodeType) -> set[str]:
    reading = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
    return {one.argval for one in dis.get_instructions(code) if one.opname in reading}


def needed_for(
    statements: list[Statement], defined: Mapping[str, int], name: str
) -> tuple[list[Statement], set[str]]:
    """What makes a name and all that it needs, in the order of the file; and these names."""
    chosen: set[int] = set()
    names, open_ends = set(), [name]
    while open_ends:
        name = open_ends.pop()
        if name in names:
            continue
        names.add(name)
        for number in _makers(statements, defined.get(name, -1), name):
            chosen.add(number)
            open_ends += statements[number].needs
        if name not in defined:
            open_ends.append("*")
    return [statements[number] for number in sorted(chosen)], names - {"*"}


def _makers(statements: list[Statement], first: int, name: str) -> list[int]:
    """The statement that makes a name, at place `first` (-1: none), and those behind it that change it."""
    changers = [i for i, one in enumerate(statements) if i > first and name in one.changes]
    if first < 0:
        return changers
    if isinstance(statements[first].tree, ast.Import | ast.ImportFrom):
        # Only a branch makes another of it: `torch.nn.init.zeros_(x)` does not change torch.
        changers = [i for i in changers if isinstance(statements[i].tree, ast.If | ast.Try)]
    return [first, *changers]


def is_stub(tree: ast.stmt) -> bool:
    """Whether it is a function that only says that it is not written."""
    if not isinstance(tree, ast.FunctionDef):
        return False
    last = tree.body[-1]
    what = last.exc if isinstance(last, ast.Raise) else None
    name = what.func if isinstance(what, ast.Call) else what
    is_raise = isinstance(name, ast.Name) and name.id == "NotImplementedError"
    return is_raise and all(isinstance(line, ast.Expr) for line in tree.body[:-1])
