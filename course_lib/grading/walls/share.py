"""The copy of the course that a submission may import: what its notebook needs, and no check, no reference.

Modules come by what the source notebook imports, with all that those import in turn. What is not among them
is not there: an answer that calls the library instead of doing the task stops with a sentence that says so.
"""

import ast
import pickletools
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

PACKAGE = "course_lib"
BESIDE = "beside"  # next to it, what stands beside the source
COURSE = Path(__file__).resolve().parents[2]
ANSWERS = {"tasks", "answers", "capstone"}  # of a concept
CHECKS = ("attempt", "call", "guard", "kinds", "real_model", "values")  # how to try; nothing of what is right
INSIDE = (  # what of the grader is needed in there; nothing of it knows a test
    *("__init__", "*/__init__", "pipe/*", "walls/*"),
    *("intake/names", "judging/absent", "judging/child", "judging/zygote"),
)
# What stands in for modules that know answers, where a notebook calls them outside of its answers.
STUBS = {
    "checks/__init__.py": '''"""Stands in for the checks: the grader does the checking."""


def check(*values, **named):
    """Nothing."""


try_it = hint = solution = progress = check
''',
    "concepts/c09_real_models/capstone.py": '''"""Stands in for the capstone while answers are graded."""


def take_along(*values, **named):
    """Nothing to take along."""
    return type("Nothing", (dict,), {"earlier": {}})()


def assemble(*values, **named):
    """The model is not assembled while answers are graded."""
    raise RuntimeError("assemble does not run while answers are graded.")
''',
}


def make_share(folder: Path, imported: Iterable[str] | None, beside: Mapping[str, Path]) -> None:
    """Write the copy into an empty folder.

    Args:
        folder: gets the package.
        imported: modules of the course that submissions may import, such as "course_lib.attention"; None: all
            of the course, for tests.
        beside: files that stand beside the source, by their names there.
    """
    package = folder / PACKAGE
    for name, path in beside.items():
        (folder / BESIDE / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / BESIDE / name)
    if imported is None:
        shutil.copytree(COURSE, package, ignore=shutil.ignore_patterns("__pycache__"))
        _readable(folder)
        return
    inside = [*(f"checks/{name}.py" for name in CHECKS), *(f"grading/{name}.py" for name in INSIDE)]
    paths = [path for name in needed({PACKAGE, *imported}) for path in files_of(name)]
    paths += [path for path in COURSE.iterdir() if path.suffix in (".yml", ".safetensors")]
    for path in [*paths, *(path for pattern in inside for path in COURSE.glob(pattern))]:
        target = package / path.relative_to(COURSE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    for place, code in STUBS.items():
        (package / place).parent.mkdir(parents=True, exist_ok=True)
        (package / place).write_text(code, encoding="utf-8")
    _readable(folder)


def _readable(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


def files_of(module: str) -> list[Path]:
    """The file of a module of the course and what is named like it beside it; of a package its own alone."""
    path = COURSE.joinpath(*module.split(".")[1:])
    return [path / "__init__.py"] if path.is_dir() else sorted(path.parent.glob(f"{path.name}.*"))


def needed(modules: Iterable[str]) -> set[str]:
    """Modules of the course and all that they import of it, in functions too; what knows answers apart."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = _module(waiting.pop())
        if name and name not in found and not knows_answers(name):
            found.add(name)
            waiting.append(name.rpartition(".")[0])  # a package is imported before what lies in it
            for path in files_of(name):
                if path.suffix == ".py":
                    waiting += imports_of(path.read_text(encoding="utf-8"))
    return found


def knows_answers(module: str) -> bool:
    """Whether a module of the course belongs to the checks, to the grader, or to the tasks of a concept."""
    parts = module.split(".")[1:]
    return parts[:1] in (["checks"], ["grading"]) or (parts[:1] == ["concepts"] and bool({*parts} & ANSWERS))


def _module(name: str) -> str:
    """The module or package of a dotted name: course_lib.bpe for course_lib.bpe.WordPiece."""
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return ""
    path = COURSE.joinpath(*parts[1:])
    is_there = path.is_dir() or path.with_suffix(".py").exists()
    return name if is_there else _module(name.rpartition(".")[0])


def imports_of(code: str) -> Iterator[str]:
    """The modules of the course that some code imports, by their dotted names.

    Example:
        >>> list(imports_of("from course_lib import data, plots"))
        ['course_lib.data', 'course_lib.plots']
    """
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith(PACKAGE))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules_in(pickled: bytes) -> set[str]:
    """The modules of the course that a pickle will import."""
    texts = (value for _, value, _ in pickletools.genops(pickled) if isinstance(value, str))
    return {text.split(" ")[0] for text in texts if text.startswith(f"{PACKAGE}.")}
