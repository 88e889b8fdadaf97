"""What changed since the main branch, and which tests can notice.

A test file is nearest to a change when it carries its name, next when it names it or imports the module, and
the further, the more modules lie between: `grimp` knows who imports whom.
"""

import ast
import functools
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import grimp

LIBRARY = "course_lib"
BRANCHES = ("origin/main", "main")
STYLE, PROJECT = "tests/test_style.py", "tests/test_project.py"  # about the project as a whole
NOTEBOOKS = "tests/test_notebooks_run.py"  # runs all of them, or one by its name
JUDGES = [f"tests/checks/test_{name}.py" for name in ("answers", "fairness", "hidden")]  # of answers to tasks
JUDGE = "tests/grading/test_judge.py"  # grades all solutions, or one by its name
CONCEPT = re.compile(r"\d\d_[a-z_]+(?=[/.])")
# What a notebook imports for its exercises and its explorer changes no verdict.
BESIDE_CLAIMS = re.compile(r"\.(checks|widgets|tasks|answers|explorer)\b")


def git(root: Path, *arguments: str) -> str | None:
    """What git answers; None: it could not."""
    if shutil.which("git") is None:
        return None
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
            # Data belongs to the module of its name beside it, or else to those that name the file; if there
            # are none, to the package that it lies in.
            users = [
                user
                for user in (root / LIBRARY).rglob("*.py")
                if path.name in user.read_text(encoding="utf-8")
            ]
            if (root / path.with_suffix(".py")).exists():
                users = [root / path.with_suffix(".py")]
            found |= {module_name(user.relative_to(root)) for user in users} or {".".join(path.parent.parts)}
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


def concept_of(path: Path) -> str:
    """The concept of a file: 03_qkv for all in a folder c03_qkv and for its notebook; "": none."""
    found = CONCEPT.search(path.as_posix())
    return found[0] if found else ""


def is_named_after(test: Path, changed: Path) -> bool:
    """Whether a test file carries the name of a changed file, of its top folder or of its concept."""
    if concept_of(test):
        return concept_of(test) == concept_of(changed)
    names = {changed.stem.strip("_")}
    if changed.parts[0] not in (LIBRARY, "tests"):
        names.add(changed.parts[0])
    return any(f"_{name}_" in f"_{test.stem}_" for name in names)


def near(test: Path, source: str, changed: Path) -> int | None:
    """How near a test file is to a changed file by what it is called and what it says; None: not at all."""
    if test == changed or is_named_after(test, changed):
        return 0
    if concept_of(changed) and f".c{concept_of(changed)}" in source:
        return 1
    if changed.name == "conftest.py":
        return 1 if changed.parent in test.parents else None
    if changed.suffix == ".py" and changed.parts[0] != LIBRARY:
        imports = imported_names(source)
        return 1 if changed.stem in imports or f'"{changed.stem}"' in source else None
    says = changed.name in source or (changed.suffix == ".ipynb" and '"*.ipynb"' in source)
    return 1 if says and changed.parts[0] != LIBRARY else None


def reach(root: Path, changed: list[str]) -> list[str]:
    """What pytest is to run for a list of changed files: those first that a change most likely breaks."""
    steps_to: dict[str, int] = {}
    away = distances(library_graph(), library_modules(root, changed))
    sources = test_sources(root)
    for test, source in sources.items():
        if not test.name.startswith("test_") or test == Path(NOTEBOOKS):
            continue
        steps = [near(test, source, Path(name)) for name in changed]
        steps += [away[name] + 1 for name in imports_of(root, test, sources) if name in away]
        known = [step for step in steps if step is not None]
        if known:
            steps_to[test.as_posix()] = min(known)
    steps_to[STYLE] = -1  # always, and first
    if changed:
        steps_to.setdefault(PROJECT, 1)
    if any(name.startswith(f"{LIBRARY}/") and name.endswith(".py") for name in changed):
        steps_to["tests/test_examples.py"] = 0
    if any(name.startswith(("solutions/", "exercises/")) or "/tasks/" in name for name in changed):
        steps_to["tests/test_exercises.py"] = 0
    if tasks(changed):
        steps_to |= dict.fromkeys(JUDGES, 0)
    for name in changed:
        if re.match("(notebooks|solutions)/.*ipynb$", name) and (root / name).is_file():
            steps_to[notebook_run(name)] = 0
    return sorted(steps_to, key=lambda test: (steps_to[test], test))


def tasks(changed: Iterable[str]) -> list[str]:
    """The tasks whose file, or whose answers, changed, where nothing else did that other tasks rest on."""
    inside = [name for name in changed if name.startswith(f"{LIBRARY}/") and name.endswith(".py")]
    found = [re.search(r"/concepts/c(\w+)/(?:tasks|answers)/((?!__)\w+)\.py$", name) for name in inside]
    return sorted({f"{one[1]}/{one[2]}" for one in found if one}) if all(found) else []


def notebook_run(path: str) -> str:
    """The test that runs one notebook, or grades one solution."""
    if path.startswith("solutions/"):
        name = "-".join(Path(path).with_suffix("").parts[-2:])
        return f"{JUDGE}::test_solutions_get_all_points_and_releases_none[{name}]"
    return f"{NOTEBOOKS}::test_it_runs_in_time_and_judges_each_of_its_claims_once[{path}]"


def claims_tests(root: Path) -> list[str]:
    """The tests that run experiments from other seeds."""
    return [
        test.relative_to(root).as_posix() for test in sorted((root / "tests").rglob("test_experiments.py"))
    ]


def claims_reached(root: Path, changed: list[str]) -> list[str]:
    """Those of these tests of which something changed: the claims' bounds, or what they import."""
    graph, sources = library_graph(), test_sources(root)
    found = []
    for test in claims_tests(root):
        concept = CONCEPT.search(test)
        assert concept is not None, f"{test} names no concept"
        # What belongs to another concept says nothing here.
        own = [name for name in changed if (other := CONCEPT.search(name)) is None or other[0] == concept[0]]
        imports = {
            name
            for name in imports_of(root, Path(test), sources) & graph.modules
            if not BESIDE_CLAIMS.search(name)
        }
        imports |= {name for module in imports for name in graph.find_upstream_modules(module)}
        by_hand = {test, f"{LIBRARY}/concepts/c{concept[0]}/claims.yml", "tests/conftest.py"}
        if by_hand & set(own) or imports & library_modules(root, own):
            found.append(test)
    return found


def library_graph() -> grimp.ImportGraph:
    """Which module of the library imports which."""
    return grimp.build_graph(LIBRARY, cache_dir=None)


def test_sources(root: Path) -> dict[Path, str]:
    """What every file in tests says, by its relative path."""
    paths = sorted((root / "tests").rglob("*.py"))
    return {path.relative_to(root): path.read_text(encoding="utf-8") for path in paths}


def imports_of(root: Path, test: Path, sources: Mapping[Path, str]) -> frozenset[str]:
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
