"""A task is one file: what it may hold, and what is said where it holds something else."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from course_lib.checks import examine, find_task, often, task_names, tasks
from course_lib.checks.exercise import TaskError, answer_cell, read_words, without_marks

GOOD = '''"""Double

Twice
as much.

Hint: Add.

Hint: `x + x`
does it.
"""

from course_lib.checks.exercise import Exercise
from course_lib.checks.kinds import Case

exercise = Exercise(level=1, minutes=2, section="Sums")


@exercise.solution
def double(x):
    """Twice x."""
    ### BEGIN SOLUTION
    two = 2
    return two * x
    ### END SOLUTION


# What it is tried on.
@exercise.cases
def _(rng):
    return [Case("a row", {"x": rng.standard_normal(3)})]


exercise.changed("half", "This is half of it.", ("two = 2", "two = 1 / 2"))


@exercise.mistake("squared")
def _(x):
    """This is
    the square.
    """
    return x * x


@exercise.mistake("overflow")
def _(x):
    return x + np.inf
'''


@pytest.fixture
def read(tmp_path):
    """The task of a file, after some changes to its text."""

    def make(*changes):
        text = GOOD
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / f"double_{len(list(tmp_path.iterdir()))}.py"  # each is read once
        path.write_text(text)
        words = read_words("00_toys/double", path, "toys")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        module.np = np
        spec.loader.exec_module(module)
        return module.exercise.task(words), answer_cell(path)

    yield make
    for name in [name for name in sys.modules if name.startswith("double_")]:
        del sys.modules[name]


def test_words_solution_and_mistakes_come_from_one_file(read):
    task, answer = read()
    assert (task.title, task.level, task.minutes, task.section) == ("Double", 1, 2, "Sums")
    assert (task.text, task.hints, task.call) == ("Twice as much.", ("Add.", "`x + x` does it."), "double(x)")
    assert answer.startswith("def double(x):")
    assert answer.endswith("    return two * x\n    ### END SOLUTION")
    assert examine(task, lambda x: x + x).passed
    for wrong, name, said in [
        (lambda x: x / 2, "half", "This is half of it."),
        (np.square, "squared", "This is the square."),
        (lambda x: x + np.inf, "overflow", often.SAYS["overflow"]),
        (lambda x: x, "", "The result has the right shape but wrong values."),
    ]:
        result = examine(task, wrong)
        assert result.misconception == name
        assert result.problem.startswith(said)


@pytest.mark.parametrize("end", "\x0b\x0c\x1c\x1d\x1e")
def test_a_form_feed_does_not_end_a_line(read, end):
    """For Python; `str.splitlines` splits there."""
    above, within = ("from course", f"# one{end}two\nfrom course"), ("two = 2", f"two = 2  # one{end}two")
    assert read(above)[1] == read()[1]
    assert without_marks(read(within)[1]).endswith(f"    two = 2  # one{end}two\n    return two * x")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([("minutes=2, ", "")], "line 15: the exercise lacks minutes"),
        ([("level=1", "level=7")], "line 15: the level is 1 to 4; got 7"),
        ([('section="Sums"', "section=str(3)")], "line 15: write 'section' out, since it is read without"),
        ([("Hint: ", "")], "line 1: a docstring with a title, a text and a hint is expected"),
        ([("exercise = Exercise", "task = Exercise")], "`exercise = Exercise(...)` is expected"),
        ([("@exercise.solution\n", "")], "a function or class marked @exercise.solution is expected"),
        ([("    ### END SOLUTION\n", "")], "line 19: mark what to leave out by ### BEGIN SOLUTION and"),
        ([("@exercise.cases\n", "")], "task '00_toys/double' has no function marked @exercise.cases"),
        ([('"squared"', '"half"')], "task '00_toys/double' has a mistake 'half' already"),
        ([('"overflow"', '"shifted"')], "the mistake 'shifted' of task '00_toys/double' says nothing"),
        (
            [("minutes=2", 'minutes=2, forbidden=("numpy.doubled",)')],
            "task '00_toys/double' forbids 'numpy.doubled', which does not exist",
        ),
        (
            [('("two = 2",', '("three",')],
            "the mistake 'half' changes 'three', which stands 0 times in the solution",
        ),
        ([("Twice\nas much.", "Twice\nas much.'''\n\"\"\"")], "this is not Python"),
    ],
)
def test_a_mistake_in_a_task_file_is_said_with_its_place(read, changes, said):
    with pytest.raises(TaskError) as error:
        read(*changes)
    assert said in str(error.value)


def test_an_unknown_setting_is_refused(read):
    with pytest.raises(TypeError, match="minuets"):
        read(("minutes=2", "minutes=2, minuets=2"))


# ---------------------------------------------------------------------------------------- the tasks there are


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course with one concept, whose notebook has one task."""
    folder = tmp_path / "c00_toys/tasks"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text('NOTEBOOKS = ("toys",)\n')
    (folder / "toys.md").write_text("<!-- title -->\n# Toys\n\n<!-- task: double -->\n")
    (folder / "double.py").write_text(GOOD)
    monkeypatch.setattr(tasks, "FOLDER", tmp_path)
    for known in (tasks.concepts, tasks.notebooks, tasks.words):
        known.cache_clear()
    yield folder
    for known in (tasks.concepts, tasks.notebooks, tasks.words):
        known.cache_clear()


def test_tasks_come_in_the_order_of_their_notebooks(course):
    (course / "triple.py").write_text(GOOD)
    (course / "toys.md").write_text("<!-- task: triple -->\n\n<!-- task: double -->\n")
    assert tasks.concepts() == ("00_toys",)
    assert list(tasks.words("00_toys")) == ["00_toys/triple", "00_toys/double"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("triple.py", GOOD, "c00_toys/tasks/triple.py stands in no notebook"),
        ("toys.md", "<!-- task: double -->\n<!-- task: half -->\n", "there is no tasks/half.py"),
        ("toys.md", "<!-- task: double -->\n<!-- task: double -->\n", "'double' stands in toys.md already"),
        ("__init__.py", "", "NOTEBOOKS, a tuple of names, is expected"),
    ],
)
def test_a_task_that_is_lost_is_named(course, name, text, said):
    (course / name).write_text(text)
    with pytest.raises(TaskError) as error:
        tasks.words("00_toys")
    assert said in str(error.value)


def test_everything_that_is_often_said_is_said():
    used = {known.name for name in task_names() for known in find_task(name).misconceptions}
    assert set(often.SAYS) <= used


def test_names_and_words_need_no_python_of_the_tasks_and_a_numpy_task_no_torch():
    code = (
        "import sys\n"
        "from course_lib.checks import examine, find_task, task_names, tasks\n"
        "task_names(), tasks.words('03_qkv')\n"
        "assert not any(name.startswith('course_lib.concepts') for name in sys.modules)\n"
        "task = find_task('03_qkv/mix')\n"
        "assert examine(task, lambda weights, v: weights @ v).passed\n"
        "assert examine(task, lambda weights, v: weights.mT @ v).misconception\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
