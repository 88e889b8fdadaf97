"""A teacher is told of code that could go round the checks, and not of everyday code."""

import json
import time
from pathlib import Path

import pytest

from course_lib.grading.judging.ways_round import COMPUTED, MOST, ways_round

ROOT = Path(__file__).resolve().parents[2]
IMPORTED = ["np", "torch", "F"]  # by the cell that comes first

ATTACKS = {
    "with torch._C.DisableTorchFunction():\n    pass": ["DisableTorchFunction", "_C", "torch._C"],
    "from torch._C import DisableTorchFunctionSubclass as quiet": [
        "DisableTorchFunctionSubclass",
        "_C",
        "torch._C",
    ],
    "import torch as t\nt._C._nn.linear": ["_C", "torch._C"],
    "off = getattr(torch, '_C')": ["_C", "torch._C"],
    "i = getattr(sys, 'modules').get('x')": ["sys.modules"],
    "off = getattr(torch, '_' + 'C')": [COMPUTED],
    "off = getattr(torch, name)": [COMPUTED],
    "@torch.jit.script\ndef f(x):\n    return x": ["torch.jit"],
    "from torch import _refs\n_refs.native_layer_norm": ["torch._refs"],
    "import torch\ntorch._decomp.decomposition_table": ["torch._decomp"],
    "from threading import Thread\nThread(target=f).start()": ["threading"],
    "from concurrent.futures import ThreadPoolExecutor": ["concurrent"],
    "import multiprocessing as mp": ["multiprocessing"],
    "import sys\nsys.modules['course_lib']": ["sys.modules"],
    "import sys as s; s.modules.clear()": ["sys.modules"],
    "from sys import modules": ["sys.modules"],
    "from sys import (settrace as a, version)": ["sys.settrace"],
    "import gc, math\ngc.get_objects()": ["gc"],
    "import ctypes": ["ctypes"],
    "from course_lib.checks import attempt": ["course_lib.checks.attempt"],
    "import course_lib.checks.attempt as a\na.same = lambda *x: True": [
        "course_lib.checks.attempt",
        "course_lib.checks.attempt.same = ...",
    ],
    "import course_lib.checks as c\nc.guard.Guard = None": [
        "course_lib.checks.guard",
        "course_lib.checks.guard.Guard = ...",
    ],
    "import course_lib.grading.judging.child": ["course_lib.grading"],
    "check.__globals__['x'] = 3": ["__globals__"],
    "exec('x = 3')": ["exec"],
    "get_ipython().user_ns['f'] = g": ["get_ipython", "user_ns"],
    "from IPython import get_ipython as g\ng().push({'f': 3})": ["get_ipython"],
    "type.__setattr__(A, 'f', g)": ["type.__setattr__"],
    "x = 3\n%run -i own.py": ["%run"],
    "from IPython.core.interactiveshell import InteractiveShell as S": ["InteractiveShell"],
    "eval ('x')": ["eval"],
    "np.ascontiguousarray = f": ["np.ascontiguousarray = ..."],
    "def f(): torch.Tensor.detach = f": ["torch.Tensor.detach = ..."],
    "x = !ls\nsys.modules.clear()": ["sys.modules"],  # no Python, and IPython runs it
}
EVERYDAY = [
    "from course_lib.checks import check, hint, try_it\nfrom course_lib.checks.real_model import smollm2",
    "import sys\nprint(sys.version)",
    "model.eval()\nfor module in model.modules(): print(module)",
    "self.q_proj = layer.weight.data = q\nnp.exp(x) == y\nf(np=3)",
    "getattr(module, 'weight', None)",
    "re.compile('x')\ntorch.compile(f)\nplt.rcParams['figure.dpi'] = 100",
    "%matplotlib inline\n!pip install numpy",
    "",
]


@pytest.mark.parametrize("code", ATTACKS)
def test_what_could_mislead_a_check_is_named(code):
    assert ways_round(code, IMPORTED) == ATTACKS[code]


@pytest.mark.parametrize("code", EVERYDAY)
def test_everyday_code_is_not_spoken_of(code):
    assert ways_round(code, IMPORTED) == []


def test_nothing_is_said_of_what_the_course_gives_out():
    for path in sorted([*ROOT.glob("exercises/*/*.ipynb"), *ROOT.glob("solutions/*/*.ipynb")]):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        codes = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        found = {code: ways_round(code, IMPORTED) for code in codes if "globals()" not in code}
        assert {code: ways for code, ways in found.items() if ways} == {}


LONG = (
    "a" + ".b" * 99_999,
    "getattr(" * 30_000,
    "np.x =" * 40_000,
    "\n \t" * 90_000,
    "import a as b;" * 20_000,
)


@pytest.mark.parametrize("code", LONG, ids=range(len(LONG)))
def test_a_long_cell_is_read_in_a_moment(code):
    start = time.process_time()
    assert len(ways_round(code, IMPORTED)) <= MOST
    assert time.process_time() - start < 20  # where time grew with the square, it would be minutes
