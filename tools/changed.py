"""What changed since the main branch, and which tests can notice.

A test file is nearest to a change when it carries its name, next when it names it or imports the module, and
the further, the more modules lie between: `grimp` knows who imports whom.
"""

import ast
import functools
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grimp

LIBRARY = "course_lib"
BRANCHES = ("origin/main", "main")
READ_EVERY_FILE = ("tests/test_project.py",)  # tests about the project as a whole


@dataclass
class Reach:
    """What a change reaches: relative paths."""

    tests: dict[str, int] = field(default_factory=dict)  # test file: how far the change is away
    notebooks: list[str] = field(default_factory=list)  # those that changed themselves
    modules: list[str] = field(default_factory=list)  # the library's files that changed
    exercises: bool = False  # solutions/ or exercises/ changed

    def nearest_first(self) -> list[str]:
        """The test files, those first that a change most likely breaks."""
        return sorted(self.tests, key=lambda path: (self.tests[path], path))


def git(root: Path, *arguments: str) -> str | None:
    """What git answers; None: it could not."""
    command = ["git", *arguments]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, encoding="utf-8")
    return run.stdout if run.returncode == 0 else None


def base(root: Path) -> str:
    """The commit where the present work left the main branch.

    Raises:
        RuntimeError: there is no main branch to compare with.
    """
    for branch in BRANCHES:
        found = git(root, "merge-base", "HEAD", branch)
        if found:
            return found.strip()
    raise RuntimeError(f"git knows none of the branches {', '.join(BRANCHES)} here: nothing to compare with")


def changed_files(root: Path, since: str) -> list[str]:
    """The files that differ from a commit, uncommitted and new ones included."""
    tracked = git(root, "diff", "--name-only", "--no-renames", "-z", since) or ""
    new = git(root, "ls-files", "--others", "--exclude-standard", "-z") or ""
    return sorted(set((tracked + new).split("\0")) - {""})


@functools.cache  # one helper is imported by many tests
def imported_names(source: str) -> frozenset[str]:
    """Every dotted name that a file imports: `from a import b` gives both `a` and `a.b`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def module_name(path: Path) -> str:
    """course_lib/checks/engine.py is course_lib.checks.engine, an __init__.py is its folder."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def library_modules(root: Path, changed: Iterable[str]) -> set[str]:
    """The library's modules whose code or data changed."""
    found = set()
    for name in changed:
        path = Path(name)
        if path.parts[0] != LIBRARY:
            continue
        if path.suffix == ".py":
            found.add(module_name(path))
        else:
            # Data belongs to the modules that name the file; if none does, to the package that it lies in.
            users = {
                module_name(user.relative_to(root))
                for user in (root / LIBRARY).rglob("*.py")
                if path.name in user.read_text(encoding="utf-8")
            }
            found |= users or {".".join(path.parent.parts)}
    return found


def distances(graph: grimp.ImportGraph, changed: Iterable[str]) -> dict[str, int]:
    """How many imports lie between each module and the nearest changed one."""
    away = dict.fromkeys(changed, 0)
    edge = list(away)
    while edge:
        module = edge.pop(0)
        users: set[str] = set()
        if module in graph.modules:
            users |= graph.find_modules_that_directly_import(module)
        parent = module.rpartition(".")[0]
        if parent not in ("", LIBRARY):
            users.add(parent)  # a package may load its modules by name, which no import shows
        for user in sorted(users - away.keys()):
            away[user] = away[module] + 1
            edge.append(user)
    return away


def is_named_after(test: Path, changed: Path) -> bool:
    """Whether a test file carries the name of a changed file, or of its top folder."""
    names = {changed.stem.strip("_")}
    if changed.parts[0] not in (LIBRARY, "tests"):
        names.add(changed.parts[0])
    return any(f"_{name}_" in f"_{test.stem}_" for name in names)


def near(test: Path, source: str, changed: Path) -> int | None:
    """How near a test file is to a changed file by what it is called and what it says; None: not at all."""
    if test == changed or is_named_after(test, changed):
        return 0
    if changed.name == "conftest.py":
        return 1 if changed.parent in test.parents else None
    if changed.suffix == ".py" and changed.parts[0] != LIBRARY:
        imports = imported_names(source)
        return 1 if changed.stem in imports or f'"{changed.stem}"' in source else None
    says = changed.name in source or (changed.suffix == ".ipynb" and '"*.ipynb"' in source)
    return 1 if says and changed.parts[0] != LIBRARY else None


def reach(root: Path, changed: list[str]) -> Reach:
    """Which tests, notebooks and modules a list of changed files reaches."""
    there = [name for name in changed if (root / name).is_file()]
    folders = {Path(name).parts[0] for name in changed}
    found = Reach(
        notebooks=[
            name
            for name in there
            if name.endswith(".ipynb") and name.startswith(("notebooks/", "solutions/"))
        ],
        modules=[name for name in there if name.startswith(f"{LIBRARY}/") and name.endswith(".py")],
        exercises=bool(folders & {"solutions", "exercises"}),
    )
    away = distances(grimp.build_graph(LIBRARY, cache_dir=None), library_modules(root, changed))
    sources = {
        path.relative_to(root): path.read_text(encoding="utf-8") for path in (root / "tests").rglob("*.py")
    }
    # The answers that tests/checks tries are modules of their own: a change there reaches who imports them.
    for test, source in sources.items():
        if not test.name.startswith("test_"):
            continue
        steps = [near(test, source, Path(name)) for name in changed]
        steps += [away[name] + 1 for name in imports_of(test, sources) if name in away]
        steps += [1] if changed and test.as_posix() in READ_EVERY_FILE else []
        known = [step for step in steps if step is not None]
        if known:
            found.tests[test.as_posix()] = min(known)
    return found


def imports_of(test: Path, sources: Mapping[Path, str]) -> frozenset[str]:
    """What a test file imports, itself, through its helper modules or through the conftest of its own folder.

    Not through tests/conftest.py, which offers every module's models to all.
    """
    names = imported_names(sources[test])
    for path, source in sources.items():
        beside = (
            path.name == "conftest.py" and path.parent == test.parent and path != Path("tests/conftest.py")
        )
        if path.stem in names or beside:
            names |= imported_names(source)
    return names
