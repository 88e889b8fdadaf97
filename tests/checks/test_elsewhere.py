"""The check engine serves any course: copied out, it judges another's task, and needs no torch for it."""

import shutil
import subprocess
import sys
from pathlib import Path

from course_lib import checks

ENGINE = (
    *("attempt", "call", "compare", "engine", "exercise", "forms", "guard", "inputs", "kinds"),
    *("modules", "often", "rounding", "values"),
)
TASK = '''"""The mean

The sum of all numbers, divided by how many there are.

Hint: `len(x)`.
"""

from statistics_course.exercise import Exercise
from statistics_course.kinds import Case

exercise = Exercise(level=1, minutes=2, section="Means")


@exercise.solution
def mean(x):
    """The mean of some numbers."""
    ### BEGIN SOLUTION
    return x.sum() / len(x)
    ### END SOLUTION


@exercise.cases
def _(rng):
    return [Case("five numbers", {"x": rng.standard_normal(5)}), Case("two", {"x": rng.standard_normal(2)})]


exercise.changed("one too few", "Divide by how many there are, not by one less.", ("len(x)", "(len(x) - 1)"))
'''
JUDGE = """
import sys
from pathlib import Path
from statistics_course.engine import examine
from statistics_course.exercise import read_words
from statistics_course.tasks import mean
import numpy as np

task = mean.exercise.task(read_words("means/mean", Path(mean.__file__), "means"))
assert task.hints == ("`len(x)`.",)
assert examine(task, np.mean).passed
assert examine(task, lambda x: x.sum() / (x.size - 1)).misconception == "one too few"
assert not examine(task, np.median).passed
assert not [name for name in sys.modules if name.split(".")[0] in ("course_lib", "torch")]
"""


def test_the_engine_judges_another_courses_task(tmp_path):
    course = tmp_path / "statistics_course"
    (course / "tasks").mkdir(parents=True)
    for name in ENGINE:
        shutil.copy(Path(checks.__file__).with_name(f"{name}.py"), course)
        module = course / f"{name}.py"
        module.write_text(module.read_text("utf-8").replace("course_lib.checks", course.name), "utf-8")
    (course / "tasks/mean.py").write_text(TASK, "utf-8")
    command = [sys.executable, "-c", JUDGE]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
