"""What some code names, binds and defines: read as Python, never run."""

import ast
import re
import sys
import textwrap
import warnings
from collections.abc import Iterator, Sequence


def _tree(code: str) -> ast.Module | None:
    """Some Python code as Python reads it; None where it is no Python."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(python_of(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def nodes_of(code: str) -> Iterator[ast.AST]:
    """The parts of some Python code."""
    tree = _tree(code)
    return ast.walk(tree) if tree else iter(())


def names_used(code: str) -> set[str]:
    """The names that some code reads; none where it is no Python (magics are lines of their own).

    No size bounds how long Python's parser takes: the code of a student is read in the sandbox alone.
    """
    tree = _tree(code)
    return names_read(tree) if tree else set()


def names_read(tree: ast.AST) -> set[str]:
    """The names that parts of some code read."""
    nodes = ast.walk(tree)
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def names_mentioned(code: str) -> set[str]:
    """All names in some code, as attributes and as texts too, that its own definitions do not explain."""
    found: set[str] = set()
    own: set[str] = set()
    for node in nodes_of(code):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found.add(node.value)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            own.add(node.name)
    return found - own


def bound_in(code: str) -> set[str]:
    """The names that some code of the source binds at its top level."""
    tree = _tree(code)
    return names_bound(tree) if tree else set()


def names_bound(node: ast.AST) -> set[str]:
    """The names that a statement binds outside itself; "*" for an import of all."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name, *_bound_from_inside(node)}
    if isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        return _bound_from_inside(node)
    own: set[str | None] = {getattr(node, "name", None), getattr(node, "rest", None)}  # match, except
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        own = {node.id}
    return {name for name in own if name}.union(*map(names_bound, ast.iter_child_nodes(node)))


def _bound_from_inside(node: ast.AST) -> set[str]:
    """Names outside that a function, a class or a comprehension binds: `global x`, `[x := 1 for ...]`."""
    inner = list(ast.walk(node))
    found = {name for one in inner if isinstance(one, ast.Global) for name in one.names}
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        found |= {one.target.id for one in inner if isinstance(one, ast.NamedExpr)}
    return found


def names_checked(code: str) -> set[str]:
    """The names that some code gives to `check`."""
    return {
        value.id
        for node in nodes_of(code)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "check"
        for value in node.args
        if isinstance(value, ast.Name)
    }


def definition(cells: Sequence[str], names: Sequence[str]) -> str:
    """The code that defines a function or class, or with several names what is within one.

    "" where none does, or it comes from elsewhere, from a file that an answer has written for instance.

    Where several statements of the last cell that does define it, it is all of them: which one counts in the
    end, only running it shows. With them comes what they take over from elsewhere: `f = g`, `@g`, `A.f = g`.

    Example:
        >>> definition(["class A:\\n    def f(self): pass"], ["A", "f"])
        'def f(self): pass'
    """
    found: dict[str, None] = {}
    waiting, asked = [(tuple(names), False)], set()
    while waiting:
        name, is_taken_over = waiting.pop(0)
        if name in asked:
            continue
        asked.add(name)
        for code, node in _defining(cells, name):
            if isinstance(node, ast.Import | ast.ImportFrom) and not is_taken_over:
                return ""
            text = textwrap.dedent(ast.get_source_segment(code, node, padded=True) or "")
            found[text] = None
            others = names_read(node) if is_taken_over else _taken_over(node, name[0])
            waiting += [((other,), True) for other in sorted(others)]
    return "\n".join(found)


def is_in_doubt(cells: Sequence[str], names: Sequence[str]) -> bool:
    """Whether what has a name may be something else than its code in `definition` says.

    More than one statement binds it, or none that is plainly made for that; the class around it is made over;
    or something puts what it likes under that name, in a class or from within a function.

    Example:
        >>> is_in_doubt(["def f(): pass\\nf = g"], ["f"])
        True
    """
    for n in range(1, len(names) + 1):
        is_around = n < len(names)
        found = [node for _, node in _defining(cells, names[:n]) if not _adds_to(node, names[n - 1])]
        if len(found) > 1 or not all(_is_plain(node, names[n - 1], is_around) for node in found):
            return True
        own = [node for node in found if isinstance(node, ast.ClassDef)]
        makers = [maker for node in own for maker in (*node.decorator_list, *node.keywords)]
        if any(_is_own(cells, name) for maker in makers for name in names_read(maker)):
            return True
    nodes = [node for code in cells for node in nodes_of(code)]
    if len(names) == 1:
        return any(isinstance(node, ast.Global) and names[0] in node.names for node in nodes)
    return any(_puts_under(node, names[-1]) for node in nodes)


def _adds_to(node: ast.stmt, name: str) -> bool:
    """Whether it is one more part of a property of that name: `@f.setter`."""
    makers = [ast.unparse(maker) for maker in getattr(node, "decorator_list", [])]
    return any(maker in (f"{name}.setter", f"{name}.getter", f"{name}.deleter") for maker in makers)


def _is_plain(node: ast.stmt, name: str, is_around: bool) -> bool:
    """Whether a statement is plainly made to bind a name; around others, only a class is."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name == name and (isinstance(node, ast.ClassDef) or not is_around)
    return isinstance(node, ast.Assign | ast.AnnAssign | ast.Import | ast.ImportFrom) and not is_around


def _is_own(cells: Sequence[str], name: str) -> bool:
    """Whether some code has made what has a name, which it does not import."""
    return any(not isinstance(node, ast.Import | ast.ImportFrom) for _, node in _defining(cells, [name]))


def _puts_under(node: ast.AST, name: str) -> bool:
    """Whether a part of some code puts something under a name: `c.f = g`, `d["f"] = g`."""
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "__setattr__":
        return any(isinstance(value, ast.Constant) and value.value == name for value in node.args)
    key = getattr(node, "slice", None)  # of `d["f"]`
    put = [getattr(node, "attr", None), getattr(key, "value", None)]
    return isinstance(getattr(node, "ctx", None), ast.Store) and name in put


def _defining(cells: Sequence[str], names: Sequence[str]) -> list[tuple[str, ast.stmt]]:
    """The statements of the last cell in which there are some, and those of all cells that change a class."""
    found: list[tuple[str, ast.stmt]] = []
    for code in reversed(cells):
        tree = _tree(code)
        body: Sequence[ast.AST] = [tree] if tree and not found else []
        for name in names:
            within = [node for one in body for node in ast.iter_child_nodes(one)]
            body = [node for node in within if isinstance(node, ast.stmt) and _may_bind(node, name)]
        found += [(python_of(code), node) for node in body if isinstance(node, ast.stmt)]
        put = [node for node in (tree.body if tree else []) if _puts_into(node, names[0])]
        found += [(python_of(code), node) for node in put]
    return found


def _may_bind(node: ast.stmt, name: str) -> bool:
    """Whether a statement binds a name, or may: by an import of all from a file of an answer's."""
    bound = names_bound(node)
    module = (getattr(node, "module", None) or "").partition(".")[0]
    return name in bound or ("*" in bound and module not in (*sys.stdlib_module_names, *sys.modules))


def _puts_into(node: ast.stmt, name: str) -> bool:
    """Whether a statement sets an attribute of what has a name."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    attributes = [target for target in targets if isinstance(target, ast.Attribute)]
    return any(isinstance(one.value, ast.Name) and one.value.id == name for one in attributes)


def _taken_over(node: ast.stmt, name: str) -> set[str]:
    """The names of what a statement makes its own: of an assignment, and of decorators."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name:
        return set().union(*map(names_read, node.decorator_list))
    return names_read(node)


def is_python(code: str) -> bool:
    """Whether some code can be read."""
    return _tree(code) is not None


# Lines of IPython's: a statement below a watch, `x = !ls` and `%magic`, which may go on below, `name?`.
WATCHED = re.compile(r"^([ \t]*)%(?:time|timeit|prun)\s", re.MULTILINE)
MAGIC = re.compile(r"^([ \t]*)(?:\w[\w, ]*=[ \t]*)?[%!](?:.*\\\n)*.*", re.MULTILINE)
HELP = re.compile(r"^([ \t]*)(?:\?+[\w.*]+|[\w.*]+\?+)[ \t]*$", re.MULTILINE)


def python_of(code: str) -> str:
    """The code without shell lines and magics, but for the statements that some of them run."""
    for lines, instead in ((WATCHED, r"\1"), (MAGIC, r"\1pass"), (HELP, r"\1pass")):
        code = lines.sub(instead, code)
    return code
