"""The examples in the library's docstrings give what stands below them."""

import ast
import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def examples() -> dict[str, str]:
    """The docstrings that hold examples, by their file and line."""
    found = {}
    for path in sorted((ROOT / "course_lib").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)) if ">>> " in source else ():
            text = ast.get_docstring(node) if isinstance(node, DOCUMENTED) else None
            if text and ">>> " in text:
                found[f"{path.relative_to(ROOT).as_posix()}:{getattr(node, 'lineno', 1)}"] = text
    return found


EXAMPLES = examples()


@pytest.mark.parametrize(("place", "text"), EXAMPLES.items(), ids=EXAMPLES)
def test_an_example_gives_what_stands_below_it(place, text, own_errors, monkeypatch):
    monkeypatch.delenv("COURSE_FIGURES")  # as a learner runs it
    file, _, line = place.partition(":")
    name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    names = dict(vars(importlib.import_module(name)))
    example = doctest.DocTestParser().get_doctest(text, names, name, file, int(line))
    said: list[str] = []
    assert doctest.DocTestRunner(verbose=False).run(example, out=said.append).failed == 0, "".join(said)


# What learners read: floors 0 to 2.
READ = sorted(
    path
    for path in (ROOT / "course_lib").glob("*.py")
    if path.stem not in ("__init__", "claims", "ledger", "plots")
)
SHOWN_ELSEWHERE = {
    "packed.PackedLinear": "needs torch's own product, which some processors lack; in a model: `load_gguf`",
    "packed.PackedAttention": "stands only in a model that `pack` has made",
    "packed.PackedFeedForward": "stands only in a model that `pack` has made",
    "packed.PackedHead": "stands only in a model that `pack` has made",
    "packed.pack": "needs all matrices of a file: `load_gguf`",
    "pretrained.MissingModelError": "an error",
    "pretrained.gpt2_from_hf": "needs the tensors of a model that the course does not bring",
    "pretrained.bert_from_hf": "needs all tensors of a file: `load_minilm`",
}


def public(body: list[ast.stmt]) -> list[ast.FunctionDef | ast.ClassDef]:
    return [
        node
        for node in body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]


def without_example(source: str) -> list[str]:
    """The public functions, classes and methods that show no example, nor name one who does.

    A class is shown by a method's example, a method by its class's, `forward` by a call.
    """
    tops = public(ast.parse(source).body)
    shown = {node.name for node in tops if ">>> " in (ast.get_docstring(node) or "")}

    def lacks(node: ast.FunctionDef | ast.ClassDef) -> bool:
        text = ast.get_docstring(node) or ""
        elsewhere = re.search(r"^Example: see `(\w+)`\.$", text, re.MULTILINE)
        return ">>> " not in text and (elsewhere is None or elsewhere[1] not in shown)

    missing = []
    for node in tops:
        methods = public(node.body) if isinstance(node, ast.ClassDef) else []
        if lacks(node) and all(map(lacks, methods)):
            missing.append(node.name)
        of_class = ast.get_docstring(node) or ""
        missing += [
            f"{node.name}.{method.name}"
            for method in methods
            if lacks(method) and method.name != "forward" and f".{method.name}(" not in of_class
        ]
    return missing


def test_what_learners_read_has_examples():
    missing = [f"{path.stem}.{name}" for path in READ for name in without_example(path.read_text("utf-8"))]
    asked = [name for name in missing if ".".join(name.split(".")[:2]) not in SHOWN_ELSEWHERE]
    assert asked == [], "an example, `Example: see ...`, or a reason in SHOWN_ELSEWHERE"
    assert SHOWN_ELSEWHERE.keys() <= set(missing), "shown by now, or no longer there"


def test_a_missing_example_is_found():
    def source(of_class: str, of_method: str, of_function: str) -> str:
        return (
            f'class Model:\n    """One.\n\n    {of_class}"""\n'
            f'    def forward(self):\n        """Two."""\n'
            f'    def write(self):\n        """Three.\n\n        {of_method}"""\n'
            f'def load():\n    """Four.\n\n    {of_function}"""\n'
        )

    assert without_example(source("", "", "")) == ["Model", "Model.write", "load"]
    assert without_example(source(">>> Model()", "", "Example: see `Model`.")) == ["Model.write"]
    assert without_example(source(">>> Model().write()", "", ">>> load()")) == []
    assert without_example(source("", ">>> Model().write()", "Example: see `save`.")) == ["load"]
