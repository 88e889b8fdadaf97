"""Every example in the docstrings of floors 0 to 2 is run, with none left out."""

import doctest
import importlib
import inspect

import pytest

MODULES = [
    "maths",
    "bpe",
    "attention",
    "positions",
    "blocks",
    "decoder",
    "device",
    "data",
    "generation",
    "pretrained",
]


def examples(module):
    """What `doctest` finds, also where a type checker wraps the functions (which it would skip by itself)."""
    finder, name = doctest.DocTestFinder(recurse=True), module.__name__
    found = doctest.DocTestParser().get_doctest(module.__doc__ or "", dict(vars(module)), name, None, None)
    yield found
    for key, member in list(vars(module).items()):
        if getattr(member, "__module__", None) == name and (
            inspect.isroutine(member) or inspect.isclass(member)
        ):
            yield from finder.find(member, f"{name}.{key}", module=False, globs=dict(vars(module)))


@pytest.mark.parametrize("name", ["course_lib", *(f"course_lib.{name}" for name in MODULES)])
def test_examples(name):
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner()
    report = []
    for example in examples(module):
        runner.run(example, out=report.append)
    assert runner.failures == 0, "".join(report)
    assert runner.tries == inspect.getsource(module).count(">>> ")
