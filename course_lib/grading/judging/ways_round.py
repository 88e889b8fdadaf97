"""What a teacher should look at where answers pass: names with which code can mislead a check.

Whether a forbidden routine is called or an input is changed is seen inside the sandbox alone, and code that
runs there can switch that off. No list of such names is ever complete, so no points depend on this one. Words
are read, not Python: IPython runs more than Python does, and no code is too long or too deep for that.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from course_lib.grading.walls.share import CHECKS

WAYS = {
    # built in, and modules: what reaches into others' code, or works where nobody watches
    *("exec", "eval", "globals", "vars", "setattr", "__import__", "builtins", "importlib"),
    *("threading", "_thread", "concurrent", "multiprocessing", "subprocess", "ctypes", "gc"),
    *(
        "unittest.mock",
        "sys.modules",
        "sys._getframe",
        "sys._current_frames",
        "sys.settrace",
        "sys.setprofile",
    ),
    *("inspect.stack", "inspect.currentframe", "os.fork", "os.system", "os.popen"),
    *("torch._C", "torch.jit", "torch.overrides", "torch.library", "course_lib.grading"),
    *("torch._decomp", "torch._prims", "torch._refs"),  # routines again, written in Python
    *(
        f"course_lib.checks.{name}" for name in CHECKS if name != "real_model"
    ),  # some notebooks import that one
    # of whatever they are
    *("._C", ".DisableTorchFunction", ".DisableTorchFunctionSubclass", ".f_back", ".tb_frame"),
    *("%run", "type.__setattr__", ".get_ipython", ".InteractiveShell", ".user_ns", ".user_module"),
    *(".__globals__", ".__builtins__", ".__dict__", ".__code__", ".__subclasses__", ".__del__"),
}
COMPUTED = "getattr with a computed name"
DEEPEST = 3  # names in one of them, at most
MOST = 9  # that are told of one cell
LONGEST = 60  # characters of a name
IMPORT = re.compile(r"(?:^|;)[ \t]*(?:from[ \t]+([\w.]+)[ \t]+)?import[ \t]+([^;\n#]*)", re.MULTILINE)
ASSIGNED = re.compile(r"(?:^|[;:])[ \t]*([A-Za-z_]\w*(?:\.\w+)+)[ \t]*=(?!=)", re.MULTILINE)
RUN = re.compile(r"^[ \t]*(%run)\b", re.MULTILINE)
GETATTR = re.compile(r"(?<![\w.])getattr[ \t]*\(")
WITH_A_NAME = re.compile(r"""(?<![\w.])(getattr)[ \t]*\(([^,()]{0,99}),[ \t]*(["'])(\w+)\3[ \t]*[,)]""")


def ways_round(code: str, imported: Iterable[str]) -> list[str]:
    """What some code names of `WAYS`, and what it puts into things that were imported.

    Args:
        code: a cell.
        imported: names that other cells import.

    Example:
        >>> ways_round("import sys as s\\ns.modules['torch'].relu = 3\\nnp.exp = eval('f')", ["np"])
        ['eval', 'np.exp = ...', 'sys.modules']
    """
    own = dict(_imported(code))
    code = WITH_A_NAME.sub(r"\2.\4 ", code)
    words = {*own.values(), *RUN.findall(code), *(_whole(word, own) for word in re.findall(r"[\w.]+", code))}
    found = {place.strip(".") for word in words for place in _places(word) if place in WAYS}
    roots = {*imported, *own}
    assigned = {name for name in ASSIGNED.findall(code) if name.partition(".")[0] in roots}
    found |= {f"{_whole(name, own)[:LONGEST]} = ..." for name in assigned}
    if GETATTR.search(code):
        found.add(COMPUTED)
    return sorted(found)[:MOST]


def _imported(code: str) -> Iterator[tuple[str, str]]:
    """The names that some code imports, and what each of them stands for."""
    for module, names in IMPORT.findall(code):
        for item in names.strip("() \t\\").split(","):
            name, _, other = (part.strip() for part in item.partition(" as "))
            yield other or name, f"{module}.{name}" if module else name


def _whole(word: str, own: Mapping[str, str]) -> str:
    """A dotted name without the other name that its beginning was given."""
    first, dot, rest = word.partition(".")
    return f"{own.get(first, first)}{dot}{rest}"


def _places(word: str) -> Iterator[str]:
    """The beginnings of a dotted name, and each of its parts as that of anything."""
    parts = word.split(".")
    yield from (".".join(parts[: n + 1]) for n in range(DEEPEST))
    yield from (f".{part}" for part in parts)
