"""Tasks as data: what a task file may hold, and what is said where it holds something else."""

import subprocess
import sys

import numpy as np
import pytest

from course_lib.checks import Case, Code, examine, find_task, task_names, tasks

GOOD = """
toys:
  double:
    title: Double
    level: 1
    minutes: 2
    section: Sums
    call: double(x)
    text: Twice as much.
    hints: [Add.]
    misconceptions:
      - half
      - name: squared
        says: This is the square.
        wrong: x * x
      - name: shifted
        says: "This is 2 more."
        wrong: |
          more = 2
          return x + more
"""
SHARED = """
half:
  says: This is half of it.
  wrong: answer(factor=0.5)
"""


def double(x, *, factor=2):
    return factor * x


CODE = Code(reference=double, cases=lambda rng: [Case("a row", {"x": rng.standard_normal(3)})])


@pytest.fixture
def read(tmp_path):
    """The task of a file with one task, after some change to its text."""

    def make(*change, shared=SHARED):
        text = GOOD.replace(*change) if change else GOOD
        if change:
            assert text != GOOD
        (tmp_path / "00_toys.yml").write_text(text)
        (tmp_path / "shared.yml").write_text(shared)
        known = tasks.read_shared(tmp_path / "shared.yml")
        entries = tasks.read_entries("00_toys", tmp_path / "00_toys.yml", known)
        return tasks.build(entries["00_toys/double"], CODE, {"np": np})

    return make


def test_a_misconception_is_three_lines_or_a_shared_name(read):
    task = read()
    assert (task.title, task.level, task.minutes, task.hints) == ("Double", 1, 2, ("Add.",))
    assert examine(task, lambda x: x + x).passed
    for answer, name in [
        (lambda x: x / 2, "half"),
        (np.square, "squared"),
        (lambda x: x - -2, "shifted"),
        (lambda x: x, ""),
    ]:
        assert examine(task, answer).misconception == name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("minutes: 2", "minuets: 2"),
            "00_toys.yml, line 6: task '00_toys/double' has an unknown field 'minuets'; known are title,",
        ),
        (("    minutes: 2\n", ""), "00_toys.yml, line 3: task '00_toys/double' lacks minutes"),
        (("level: 1", "level: 7"), "00_toys.yml, line 5: the level of '00_toys/double' is 1 to 4; got 7"),
        (
            ("minutes: 2", "minutes: two"),
            "line 6: 'minutes' of task '00_toys/double' must be a number; got 'two'",
        ),
        (
            ("hints: [Add.]", "hints: []"),
            "line 10: 'hints' of task '00_toys/double' must be a list; got '[]'",
        ),
        (("hints: [Add.]", "hints: [1]"), "line 10: the hints of '00_toys/double' must be texts; got [1]"),
        (
            ("      - half\n", "      - hlaf\n"),
            "00_toys.yml, line 11: task '00_toys/double' names 'hlaf', which shared.yml lacks; it has half",
        ),
        (
            ("wrong: x * x", "wrong: x **"),
            "line 13: the misconception 'squared' of task '00_toys/double' does not compile: invalid syntax",
        ),
        (
            ("wrong: x * x", "wrong: x * y"),
            "line 13: the misconception 'squared' of task '00_toys/double' uses 'y'; its arguments are x",
        ),
        (
            ("return x + more", "x = x + more"),
            "line 16: the misconception 'shifted' of task '00_toys/double' returns",
        ),
        (
            ("name: shifted", "name: squared"),
            "00_toys.yml, line 16: task '00_toys/double' has a misconception 'squared' already",
        ),
        (
            ("        says: This is the square.\n", ""),
            "00_toys.yml, line 13: a misconception of '00_toys/double' lacks says",
        ),
        (("level: 1", "title: Twice"), "00_toys.yml, line 5: 'title' stands in line 4 already"),
        (("level: 1", "level: [1"), "00_toys.yml, line 6: this is not YAML"),
        (
            (GOOD, "three words only"),
            "00_toys.yml: names and their fields are expected, but got 'three words only'",
        ),
    ],
)
def test_a_mistake_in_a_task_file_is_said_with_its_line(read, change, said):
    with pytest.raises(tasks.TaskError) as error:
        read(*change)
    assert said in str(error.value)


def test_a_mistake_in_the_shared_file_is_said_with_its_line(read):
    with pytest.raises(tasks.TaskError, match=r"shared.yml, line 2: the misconception 'half' lacks wrong"):
        read(shared="\nhalf:\n  says: This is half of it.\n")


def test_a_task_without_its_python_is_named(tmp_path):
    (tmp_path / "00_toys.yml").write_text(GOOD.replace("      - half\n", ""))
    entry = tasks.read_entries("00_toys", tmp_path / "00_toys.yml", {})["00_toys/double"]
    with pytest.raises(
        tasks.TaskError, match=r"has words but no entry in TASKS of course_lib/checks/toys.py"
    ):
        tasks.build(entry, None, {})


def test_the_same_name_twice_is_refused(tmp_path):
    shared = tmp_path / "shared.yml"
    shared.write_text(SHARED)
    (tmp_path / "00_toys.yml").write_text(GOOD + GOOD.replace("toys:", "others:"))
    with pytest.raises(tasks.TaskError, match="line 23: there is a task 'double' already"):
        tasks.read_entries("00_toys", tmp_path / "00_toys.yml", tasks.read_shared(shared))


@pytest.mark.parametrize("name", task_names())
def test_every_task_is_built(name):
    assert find_task(name).name == name


def test_every_shared_misconception_is_used():
    used = {known.name for name in task_names() for known in find_task(name).misconceptions}
    assert set(tasks._shared()) <= used


def test_names_and_words_need_no_python_of_the_tasks_and_a_numpy_task_no_torch():
    code = (
        "import sys\n"
        "from course_lib.checks import examine, find_task, task_names, tasks\n"
        "task_names(), tasks.words('03_qkv')\n"
        "assert not any(name.startswith('course_lib.checks.attention') for name in sys.modules)\n"
        "task = find_task('03_qkv/mix')\n"
        "assert examine(task, lambda weights, v: weights @ v).passed\n"
        "assert examine(task, lambda weights, v: weights.mT @ v).misconception\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
