"""A right answer gets its points, however it is written.

The answers stand in unusual.txt. "=== TASK: what is unusual" begins one, "---" a cell of it: above or below
the answer's own, or last, below the test. ANSWER is the name that the test asks for. A cell of text begins
with "#md".
"""

import re
from collections import Counter
from pathlib import Path

import pytest
from small import answer, cell, checked, locked, write

from course_lib.grading.judging.judge import Grader
from course_lib.grading.judging.session import Seconds

pytestmark = pytest.mark.usefixtures("own_errors")
SETUP = "import numpy as np\nimport torch\nfrom torch import nn"
TABS = "def ANSWER(q, k):\n\td = q.shape[-1]\n\treturn q @ k.swapaxes(-1, -2) / np.sqrt(d)\n"


def pool():
    """Task, words, and cells, each with its place."""
    text = (Path(__file__).parent / "unusual.txt").read_text(encoding="utf-8")
    text += f"=== 03_qkv/scores: tabs\n{TABS}"
    text += "=== 03_qkv/scores: line ends of Windows\n" + TABS.replace("\n", "\r\n")
    for part in text.split("=== ")[1:]:
        head, _, rest = part.partition("\n")
        task, _, words = head.partition(": ")
        cells = re.split(r"^--- (\w+)\n", rest, flags=re.MULTILINE)
        places = ["answer", *cells[1::2]]
        yield task, words, [pair for pair in zip(places, cells[::2], strict=True) if pair[1]]


POOL = list(pool())


def submitted(n):
    """The cells of an answer and of its test, with a name of its own."""
    task, _, cells = POOL[n]
    name = f"answer_{n}"
    test = locked(name, checked(task, name))
    for i, (place, code) in enumerate(cells):
        code = code.replace("ANSWER", name)
        kind = "markdown" if code.startswith("#md") else "code"
        if place == "last":
            yield test
        yield answer(name, code) if place == "answer" else cell(f"{place}-{i}-{n}", code, kind)
    if place != "last":
        yield test


@pytest.fixture(scope="module")
def outcome(engine, tmp_path_factory):
    """All of them in one notebook, graded."""
    folder = tmp_path_factory.mktemp("unusual")
    asked = [cell("setup", SETUP)]
    for n, (task, *_) in enumerate(POOL):
        stub = answer(f"answer_{n}", f"def answer_{n}(): raise NotImplementedError")
        asked += [stub, locked(f"answer_{n}", checked(task, f"answer_{n}"))]
    source = write(folder / "source" / "unusual.ipynb", asked)
    given = [cell("setup", SETUP), *(part for n in range(len(POOL)) for part in submitted(n))]
    with Grader(source, engine=engine, seconds=Seconds(in_all=900.0)) as grader:
        return grader.grade("ada", write(folder / "ada" / "unusual.ipynb", given))


def test_the_pool_is_large_and_no_style_is_there_twice():
    assert len(POOL) >= 72
    assert len({task for task, *_ in POOL}) >= 15
    assert Counter(words for _, words, _ in POOL).most_common(1)[0][1] == 1


def test_an_unusual_style_costs_no_points(outcome):
    lost = [
        (*one[:2], task.status, task.sentence)
        for one, task in zip(POOL, outcome.tasks, strict=True)
        if task.points < task.max_points
    ]
    assert lost == []
    assert (outcome.status, outcome.reason) == ("graded", "")
    assert all(report.endswith("which could mislead a check: look at it") for report in outcome.reports)
    assert len(outcome.reports) < len(POOL) / 10
