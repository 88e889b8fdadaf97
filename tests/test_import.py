"""`import course_lib` is instant, and the library never needs what only teachers need."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import course_lib

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "numpy", "matplotlib", "IPython", "ipywidgets", "jupyterlab", "nbgrader", "sklearn", "gguf")


def loaded_after(code: str) -> set[str]:
    """The top-level modules that a fresh Python has loaded after running `code`."""
    report = "import sys, json; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(run.stdout.splitlines()[-1]))


def seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    return time.perf_counter() - start


def test_import_takes_at_most_a_tenth_of_a_second():
    pairs = [(seconds("import course_lib"), seconds("pass")) for _ in range(7)]
    # Alternating, and the median: another program on the machine slows both sides of a pair.
    extra = statistics.median(ours - bare for ours, bare in pairs)
    assert extra <= 0.1, f"`import course_lib` takes {extra:.3f} s more than `pass`, allowed are 0.1 s"


def test_import_loads_nothing_heavy():
    assert loaded_after("import course_lib") & set(HEAVY) == set()


def test_submodules_come_when_first_used():
    assert "numpy" in loaded_after("import course_lib; course_lib.maths.softmax([0.0, 1.0])")


def test_the_library_never_loads_what_only_teachers_need():
    # import-linter reads our source; this looks at what happens, the imports of dependencies included.
    # `export` is called by nbconvert, which loads notebook wherever it finds it.
    code = "import course_lib\nfor name in {*course_lib._SUBMODULES} - {'export'}: getattr(course_lib, name)"
    assert loaded_after(code) & {"jupyterlab", "notebook", "nbgrader"} == set()


def test_every_module_is_offered():
    parts = [path for path in (ROOT / "course_lib").iterdir() if path.suffix == ".py" or path.is_dir()]
    names = {path.stem for path in parts if not path.name.startswith("_")}
    assert set(course_lib._SUBMODULES) == names
    assert names <= set(dir(course_lib))
