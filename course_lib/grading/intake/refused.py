"""What a teacher's own test cannot do where it runs: said when the source is graded, before all others.

The test and the answers run in different processes. What it replaces in its own is never met by an answer,
what its functions note down stays with the answer, and what it runs for a student could say that all is
right.
"""

import ast
from collections.abc import Collection, Iterator

from course_lib.grading.intake.names import names_bound, nodes_of

# What would run a text or bytes of a student's, who could then say anything.
RUNS = ("eval", "exec", "compile", "pickle", "cloudpickle", "dill", "marshal", "shelve")
# What measures the process of the test alone, and what holds there alone.
MEASURES = (
    "process_time",
    "thread_time",
    "getrusage",
    "tracemalloc",
    "cache_info",
    "catch_warnings",
    "assertNoLogs",
)
SETS = ("setrecursionlimit", "addaudithook", "set_default_dtype")
STRICT = ("raise", "error")  # as in `np.errstate(all="raise")`, `simplefilter("error")`
MEMORY = ("shares_memory", "may_share_memory", "data_ptr")
FILLS = ("append", "extend", "insert", "add", "update", "setdefault", "pop", "remove", "clear")


def refused(code: str, imported: Collection[str]) -> str:
    """Why a test cannot run, in one sentence; "" where it can.

    Args:
        code: the test.
        imported: names that the source's cells import.

    Example:
        >>> refused("assert eval(formula) == 6", [])
        'It would run what a student wrote, by `eval`: compare values, or call a function.'
    """
    nodes = list(nodes_of(code))
    imports = (node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))
    modules = set(imported).union(*map(names_bound, imports))
    handed = {
        arg.id
        for node in nodes
        if isinstance(node, ast.Call)
        for arg in node.args
        if isinstance(arg, ast.Name)
    }
    said = (said for node in nodes for said in _said(node, modules, handed))
    return next(said, "")


def _said(node: ast.AST, imported: Collection[str], handed: Collection[str]) -> Iterator[str]:
    for name in _names(node):
        if name in RUNS:
            yield f"It would run what a student wrote, by `{name}`: compare values, or call a function."
    if isinstance(node, ast.Attribute | ast.Name) and _last(node) in MEMORY:
        what = _last(node)
        yield f"Arrays come as copies, which `{what}` cannot know: change one, and look at the other."
    if isinstance(node, ast.Attribute | ast.Name) and _last(node) in MEASURES:
        yield f"`{_last(node)}` sees the test's own process, where no answer runs: compare values instead."
    for name in _set(node):
        yield f"What `{name}` sets holds where the test runs, and no answer does: compare values instead."
    for place in _replaced(node, imported):
        short = place.rpartition(".")[2]
        instead = f"`assert {short!r} not in inspect.getsource(f)`"
        yield f"It replaces `{place}` where no answer meets it: read the answer's code instead, {instead}."
    for name in _noted(node, handed):
        yield f"What is noted in `{name}` stays with the answer: let the answer return it instead."


def _names(node: ast.AST) -> Iterator[str]:
    """Names that are read, and modules from which something is imported."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        yield node.id
    if isinstance(node, ast.ImportFrom):
        yield (node.module or "").partition(".")[0]


def _set(node: ast.AST) -> Iterator[str]:
    """What is called to set something of a process."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        is_strict = any(isinstance(value, ast.Constant) and value.value in STRICT for value in given)
        strict = ("errstate", "seterr", "simplefilter", "filterwarnings")
        if _last(node.func) in SETS or (_last(node.func) in strict and is_strict):
            yield _last(node.func)


def _replaced(node: ast.AST, imported: Collection[str]) -> Iterator[str]:
    """Names in modules that a statement or a patch puts something else into."""
    if isinstance(node, ast.Assign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            is_module = ast.unparse(target).startswith("sys.modules[")
            if is_module or (isinstance(target, ast.Attribute) and _root(target) in imported):
                yield ast.unparse(target)
    if not (isinstance(node, ast.Call) and node.args):
        return
    first, called = node.args[0], ast.unparse(node.func).split(".")
    if called[-1] == "patch" and isinstance(first, ast.Constant) and isinstance(first.value, str):
        yield first.value
    is_patched = called[-2:] in (["patch", "object"], ["patch", "dict"], ["monkeypatch", "setattr"])
    if (is_patched or called == ["setattr"]) and _root(first) in imported:
        names = [arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant)]
        yield ".".join([ast.unparse(first), *map(str, names)])


def _noted(node: ast.AST, handed: Collection[str]) -> Iterator[str]:
    """Names in which functions note something that are handed to an answer, or whose objects are."""
    if isinstance(node, ast.Lambda) or (isinstance(node, ast.FunctionDef) and node.name in handed):
        yield from _filled(node, but=_own(node))
        calls = [call for call in ast.walk(node) if isinstance(call, ast.Call) and call.args]
        counters = {_root(call.args[0]) for call in calls if ast.unparse(call.func) == "next"}
        yield from sorted(counters - _own(node) - {""})
    if isinstance(node, ast.ClassDef):
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and method.name not in ("__init__", "__post_init__"):
                yield from _filled(method, but=_own(method) - {"self", "cls"})


def _own(function: ast.FunctionDef | ast.Lambda) -> set[str]:
    """The names of a function's own."""
    body = function.body if isinstance(function.body, list) else [function.body]
    return {arg.arg for arg in ast.walk(function.args) if isinstance(arg, ast.arg)}.union(
        *map(names_bound, body)
    )


def _filled(function: ast.FunctionDef | ast.Lambda, but: Collection[str]) -> Iterator[str]:
    """Names into which a function puts something."""
    for node in ast.walk(function):
        if isinstance(node, ast.Global | ast.Nonlocal):
            yield from node.names
        root = ""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in FILLS:
            root = _root(node.func)
        elif isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
            root = _root(node)
        if root and root not in but:
            yield root


def _root(node: ast.AST) -> str:
    """The name in front of all dots and brackets, or within `type(...)`; "" where there is none."""
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
        elif isinstance(node, ast.Call) and node.args and ast.unparse(node.func) == "type":
            node = node.args[0]
        else:
            return ""
    return node.id


def _last(node: ast.Attribute | ast.Name) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id
