"""Notebooks go on where the language models are not installed."""

import ast
import json
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from course_lib import pretrained
from course_lib.pretrained import MissingModelError
from course_lib.widgets import at_hand
from course_lib.widgets.models import NotInstalled, made_by, read_by

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
# Cells that need no model and take long, with those that show what they found.
LONG = {
    "00_overview": {f"{name}-{cell}" for name in ("parts", "cls") for cell in ("run", "figure", "verdict")},
    "01_tokens": {
        *("twins-define", "twins-figure", "learned-run", "learned-figure"),
        *("company-verdict", "related-run", "related-verdict"),
    },
    "02_patches": {
        *("moving-train", "moving-convolutions", "bag-run", "left-run", "left-exchange"),
    },
}
# A model that is not there, and the name whose lack is told.
MISSED = {
    "00_overview": ("language_model", "language_model"),
    "01_tokens": ("model", "chat"),
    "02_patches": ("model", "chat"),
}


def no_model(**_: object) -> None:
    raise MissingModelError("SmolLM2 is not installed; run: this.")


@pytest.fixture
def shell():
    """What runs a notebook's cells."""
    InteractiveShell.clear_instance()  # another test's
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def code_cells(notebook: Path) -> dict[str, str]:
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    return {cell["id"]: "".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"}


def ran(shell, code: str) -> bool:
    return shell.run_cell(code).success


def test_a_model_that_is_installed():
    assert at_hand(lambda **names: names, device="cpu") == {"device": "cpu"}


def test_outside_a_notebook(monkeypatch):
    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: None)
    with pytest.raises(MissingModelError, match="SmolLM2 is not installed"):
        at_hand(no_model)


def test_cells_that_need_it_are_left_out(shell, capsys):
    shell.user_ns.update(at_hand=at_hand, load=no_model)
    assert ran(shell, "model, tokenizer = at_hand(load)")
    assert capsys.readouterr().out == (
        "SmolLM2 is not installed; run: this. Cells that need it are left out.\n"
    )
    cells = {
        "import math\nwords = tokenizer.encode('a')\nn, (m, *k) = 1, words\n": "tokenizer",
        "def write(n):\n    return [model(x) for x in range(n)]": "model",
        "print(m)": "m",
        "if True:\n    said = write(3)": "write",
        "found = {'a': lambda: said}": "said",
    }
    for code, name in cells.items():
        assert ran(shell, code)
        assert capsys.readouterr().out == f"Left out: there is no {name} here.\n"


@pytest.mark.parametrize(
    ("code", "made"),
    [
        ("with f() as a, g() as (b, *c), h() as x.y:\n    d = 1", "a b c d"),
        ("if x:\n    a = 1\nelif y:\n    b = 1\nelse:\n    c = 1", "a b c"),
        ("try:\n    a = 1\nexcept x as b:\n    c = 1\nelse:\n    d = 1\nfinally:\n    e = 1", "a b c d e"),
        ("try:\n    a = 1\nexcept* x:\n    b = 1", "a b"),
        ("for a, (b, *c) in x:\n    d = 1\nelse:\n    e = 1", "a b c d e"),
        ("for x.y in z:\n    pass", ""),
        ("while (a := f()):\n    b = 1\nelse:\n    c = 1", "a b c"),
        (
            "match x:\n    case [a, *b] | {'k': a, **b}:\n        c = 1\n    case y.z as d:\n        pass",
            "a b c d",
        ),
        ("f(a := 1, x == 2)", "a"),
        ("f((a := x) for x in y)", "a"),
        ("a = b = 1", "a b"),
        ("a: int = 1", "a"),
        ("a += 1", "a"),
        ("x[y] = x.z = 1\n", ""),
        ("x[y] += 1\n", ""),
        ("del x, y[z], (u, v)", ""),
        ("import a.x, y.z as b", "a b"),
        ("from x import a, y as b", "a b"),
        ("from x import *", ""),
        ("def a(x):\n    y = 1", "a"),
        ("def a():\n    global b, y\n    b = y", "a b"),
        ("async def a():\n    async with x as y:\n        z = await y", "a"),
        ("class a(x):\n    global b\n    b = y = 1\n    def z(self):\n        pass", "a b"),
        ("a = lambda x: x", "a"),
        ("a = [x for x in y]", "a"),
        ("a = {x for x in y}", "a"),
        ("a = {x: z for x, z in y}", "a"),
        ("a = [[z for z in x] for x in y for w in x], (x for x in y)", "a"),
        ("a = [b := x for x in y]", "a b"),
    ],
)
def test_what_a_statement_makes(code, made):
    (statement,) = ast.parse(code).body
    before = ast.dump(statement)
    assert made_by(statement) == set(made.split())
    assert ast.dump(statement) == before


@pytest.mark.parametrize(
    ("code", "read"),
    [
        ("a = [x for x in b if x.y]", "b"),
        ("a = {x: f(y) for x, y in b}", "b f"),
        ("a = {x for x in [b for b in c]}", "c"),
        ("a = {x for b in c for x in b}, b", "b c"),
        ("a = lambda x: x + b", "b"),
        ("a += b", "a b"),
        ("a[b] = c", "a b c"),
        ("for x in a:\n    b += x", "a b"),
        ("if a:\n    b = 0\n    b += 1", "a"),
        ("with a as b:\n    b(c)", "a c"),
        ("try:\n    a()\nexcept b as c:\n    d(c)", "a b d"),
        ("match a:\n    case [b, *c] if d:\n        e(b, c)", "a d e"),
        ("del a, b[c]", "b c"),
        ("def f(x, y=a):\n    z = x + b\n    return f(z)", "a b"),
        ("def f():\n    global a\n    a += 1", "a"),
        ("class A(a):\n    b = c\n    d = b", "a c"),
        ("async def f():\n    return [await a(x) async for x in b]", "a b"),
    ],
)
def test_what_a_statement_reads(code, read):
    assert read_by(ast.parse(code).body[0]) == set(read.split())


def test_what_a_cell_makes_on_any_way_is_left_out_with_it(shell, capsys):
    shell.user_ns.update(at_hand=at_hand, load=no_model)
    assert ran(shell, "model = at_hand(load)")
    assert ran(shell, "try:\n    import never_there\nexcept ImportError:\n    n = model")
    assert ran(shell, "def f():\n    global m\n    m = n")
    capsys.readouterr()
    for code, name in {
        "f()": "f",
        "print(m)": "m",
        "k = 1\nfor i in [1]:\n    k += m": "m",
        "k += 1": "k",
    }.items():
        assert ran(shell, code)
        assert capsys.readouterr().out == f"Left out: there is no {name} here.\n"


def test_after_a_cell_that_python_refuses_others_are_left_out(shell, capsys):
    shell.user_ns.update(at_hand=at_hand, load=no_model)
    assert ran(shell, "model = at_hand(load)")
    assert not ran(shell, "def f(x, x):\n    return model")
    assert "duplicate argument 'x' in function definition" in capsys.readouterr().out
    assert ran(shell, "print(model.x)")
    assert capsys.readouterr().out == "Left out: there is no model here.\n"


def test_other_cells_run(shell, capsys):
    shell.user_ns.update(at_hand=at_hand, load=no_model)
    assert ran(shell, "model, tokenizer = at_hand(load)")
    assert ran(shell, "import math\nx = model.x\n")
    for code in (
        "print(math.floor(4.5))",
        "for x in [4]:\n    pass\nprint(x)",
        "def write(model):\n    return model\nprint(write(4))",
        "print([model for model in [4]][0])",
        "words = [4]\nprint(words[0])",
        "from types import SimpleNamespace as model\nprint(model(x=4).x)",
    ):
        capsys.readouterr()
        assert ran(shell, code)
        assert capsys.readouterr().out == "4\n", code


def test_once_it_is_installed_the_cells_run(shell, capsys):
    shell.user_ns.update(at_hand=at_hand, load=no_model)
    cells = ("model, tokenizer = at_hand(load)", "n = model + 1", "print(n)")
    assert all(ran(shell, code) for code in cells)
    assert "Left out: there is no n here." in capsys.readouterr().out
    shell.user_ns["load"] = lambda: (3, "tokenizer")
    assert all(ran(shell, code) for code in cells)
    assert capsys.readouterr().out == "4\n"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_cell_that_loads_a_model_does_not_use_it(notebook):
    for code in code_cells(notebook).values():
        loaded: set[str] = set()
        for statement in ast.parse(code).body:
            if "at_hand" in read_by(statement):
                loaded |= made_by(statement)
            elif loaded & read_by(statement):
                parts = {"smollm2, tokenizer = chat", "model, tokenizer = chat"}
                assert ast.unparse(statement) in parts  # taken apart
                loaded |= made_by(statement)


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize("notebook", LONG)
def test_a_notebook_goes_on(monkeypatch, capsys, shell, notebook):
    monkeypatch.setattr(pretrained, "load_smollm2", no_model)
    monkeypatch.setattr(pretrained, "load_minilm", no_model)
    (path,) = (path for path in NOTEBOOKS if path.stem == notebook)
    for name, code in code_cells(path).items():
        assert name in LONG[notebook] or ran(shell, code), name
    model, first_missed = MISSED[notebook]
    assert isinstance(shell.user_ns[model], NotInstalled)
    assert f"Left out: there is no {first_missed} here." in capsys.readouterr().out
