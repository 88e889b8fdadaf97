"""Kinds whose notebook file is hostile: what is no notebook, and cells that are not where they were."""

import json
import os
from pathlib import Path

from hostile import NO_POINTS, OUR_ANSWERS, TASKS, ZEROS, Submission, notebook, raw_file, unreadable
from world import World

ALL = TASKS["attention_by_hand"]
NOT_RUN = {"status": ("unreadable",), "tasks": dict.fromkeys(ALL, "not run")}
SOFTMAX = OUR_ANSWERS["attention_by_hand"]["softmax"]
RELEASED = json.dumps(Submission().content)


def changed(**fields: object) -> str:
    """A solved notebook with other top-level fields."""
    return json.dumps({**Submission().content, **fields})


# ----------------------------------------------------------------------------------------- no notebook

unreadable("empty-file", "a file without a byte", "")
unreadable("half-a-file", "a notebook of which the upload broke off", RELEASED[: len(RELEASED) // 2])
unreadable("other-JSON", "JSON that is no notebook", "[1, 2, 3]")
unreadable("JSON-null", "JSON that is nothing", "null")
unreadable("nested-JSON", "a list in a list, a million levels deep", "[" * 10**6)
unreadable(
    "nested-metadata",
    "a notebook with metadata 100,000 levels deep",
    RELEASED[:-1] + ', "more": ' + '{"a":' * 10**5 + "1" + "}" * 10**5 + "}",
)
unreadable("not-UTF-8", "bytes that are no text", RELEASED.encode("utf-16") + b"\xff\xfe\xc3\x28")
unreadable("binary", "a picture named as a notebook", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 100)
unreadable("future-version", "a notebook of version 99", changed(nbformat=99))
unreadable("no-version", "a notebook that says no version", changed(nbformat="four"))
unreadable(
    "endless-number",
    "a version of 5,000 digits",
    RELEASED.replace('"nbformat": 4', '"nbformat": ' + "9" * 5000),
)
unreadable("cells-are-a-text", "cells that are no list", changed(cells="all of them"))


@raw_file(
    "cells-are-numbers",
    "cells that are no cells",
    status=("unreadable", "graded"),
    tasks=dict.fromkeys(ALL, ("not run", "missing")),
)
def _(world: World, path: Path) -> None:
    path.write_text(changed(cells=[1, None, "x", []]))


@raw_file(
    "old-version",
    "a notebook of version 3, as of 2014",
    status=("unreadable", "graded"),
    tasks=dict.fromkeys(ALL, ("not run", "missing", "right")),
)
def _(world: World, path: Path) -> None:
    cells = [
        {
            "cell_type": "code",
            "language": "python",
            "input": "".join(cell["source"]),
            "outputs": [],
            "metadata": cell["metadata"],
        }
        for cell in Submission().cells
        if cell["cell_type"] == "code"
    ]
    path.write_text(
        json.dumps(
            {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": cells}]}
        )
    )


@raw_file("half-a-gigabyte", "a file of 500 MB", **NOT_RUN)
def _(world: World, path: Path) -> None:
    path.write_text(RELEASED)
    os.truncate(path, 500 * 2**20)  # zeros that take no room on the disk, but would in memory


@raw_file("link-to-the-solution", "a link to the source in the place of a notebook", **NOT_RUN)
def _(world: World, path: Path) -> None:
    path.symlink_to(world.source / path.name)


@raw_file("link-to-another-submission", "a link to a classmate's notebook", **NOT_RUN)
def _(world: World, path: Path) -> None:
    path.symlink_to(world.other)


@raw_file("link-to-a-device", "a link to a device that never ends", **NOT_RUN)
def _(world: World, path: Path) -> None:
    path.symlink_to("/dev/zero")


@raw_file("link-to-itself", "a link to itself", **NOT_RUN)
def _(world: World, path: Path) -> None:
    path.symlink_to(path)


@raw_file("pipe", "a named pipe that nobody writes to", **NOT_RUN)
def _(world: World, path: Path) -> None:
    os.mkfifo(path)


@raw_file("folder", "a folder in the place of a notebook", **NOT_RUN)
def _(world: World, path: Path) -> None:
    path.mkdir()


@raw_file(
    "nothing-there",
    "no notebook at all",
    status=("unreadable", "not run"),
    tasks=dict.fromkeys(ALL, ("not run", "missing")),
)
def _(world: World, path: Path) -> None:
    pass


# ----------------------------------------------------------------------------------------------- cells


@notebook("duplicate-answer", "two cells answer one task; the last is right", reported="softmax")
def _(submission: Submission, world: World) -> None:
    cell = submission.cell("softmax-answer")
    submission.cells.insert(submission.cells.index(cell), {**cell, "id": "first", "source": ZEROS})


@notebook(
    "duplicate-answer-wrong",
    "two cells answer one task; the last is wrong",
    reported="softmax",
    tasks={"softmax": "wrong"},
)
def _(submission: Submission, world: World) -> None:
    cell = submission.cell("softmax-answer")
    submission.cells.insert(submission.cells.index(cell) + 1, {**cell, "id": "second", "source": ZEROS})


@notebook("duplicate-test", "a locked cell ten times", reported="test_softmax")
def _(submission: Submission, world: World) -> None:
    cell = submission.cell("softmax-test")
    for n in range(9):
        submission.cells.append({**cell, "id": f"copy-{n}"})


@notebook("same-cell-ids", "all cells have one id")
def _(submission: Submission, world: World) -> None:
    for cell in submission.cells:
        cell["id"] = "same"


@notebook("no-cell-ids", "an older editor: cells without ids")
def _(submission: Submission, world: World) -> None:
    submission.content["nbformat_minor"] = 2
    for cell in submission.cells:
        del cell["id"]


@notebook("missing-answer", "an answer's cell is gone", reported="softmax", tasks={"softmax": "missing"})
def _(submission: Submission, world: World) -> None:
    submission.cells.remove(submission.cell("softmax-answer"))


@notebook(
    "missing-test", "the test of a wrong answer is gone", reported="test_softmax", tasks={"softmax": "wrong"}
)
def _(submission: Submission, world: World) -> None:
    submission.answer("softmax", ZEROS)
    submission.cells.remove(submission.cell("softmax-test"))


@notebook(
    "all-tests-missing", "no test is left, two answers are wrong", tasks={"softmax": "wrong", "mix": "wrong"}
)
def _(submission: Submission, world: World) -> None:
    submission.answer("softmax", ZEROS)
    submission.answer("mix", "def mix(weights, v):\n    return v")
    submission.cells = [cell for cell in submission.cells if not cell["id"].endswith("-test")]


@notebook("no-cells", "a notebook without a cell", tasks=dict.fromkeys(ALL, "missing"))
def _(submission: Submission, world: World) -> None:
    submission.cells = []


@notebook(
    "edited-test",
    "a locked cell whose test was taken out",
    tasks={"softmax": "wrong"},
    reported="test_softmax",
)
def _(submission: Submission, world: World) -> None:
    submission.answer("softmax", ZEROS)
    submission.cell("softmax-test")["source"] = "print('all is well')"


@notebook("error-output-in-test", "a locked cell that writes to stderr, and says that it failed")
def _(submission: Submission, world: World) -> None:
    cell = submission.cell("softmax-test")
    cell["source"] += "\nimport sys\nprint('a warning', file=sys.stderr)"
    cell["outputs"] = [{"output_type": "error", "ename": "Wrong", "evalue": "it failed", "traceback": []}]


@notebook(
    "stored-outputs",
    "outputs that say all is right, as they would stand after a check",
    tasks={"softmax": "wrong"},
)
def _(submission: Submission, world: World) -> None:
    submission.answer("softmax", ZEROS)
    submission.cell("softmax-test")["outputs"] = [
        {"output_type": "stream", "name": "stdout", "text": ["Right.\n" * 10**6]}
    ]


@notebook("reversed-cells", "all cells in reversed order")
def _(submission: Submission, world: World) -> None:
    submission.cells.reverse()


@notebook("moved-answer", "an answer at the end of the notebook, after its test")
def _(submission: Submission, world: World) -> None:
    cell = submission.cell("softmax-answer")
    submission.cells.remove(cell)
    submission.cells.append(cell)


@notebook("renamed-answer", "an answer under another grade id", reported="softmax")
def _(submission: Submission, world: World) -> None:
    submission.cell("softmax-answer")["metadata"]["nbgrader"]["grade_id"] = "my_own"


@notebook(
    "look-alike-grade-id",
    "a letter of another alphabet in a grade id",
    reported="softmax",
    tasks={"softmax": "wrong"},
)
def _(submission: Submission, world: World) -> None:
    submission.answer("softmax", ZEROS)
    cell = submission.cell("softmax-answer")
    cell["id"], cell["metadata"]["nbgrader"]["grade_id"] = "mine", "s\u043eftmax"


@notebook("nested-source", "a cell whose lines are lists", reported="softmax", tasks={"softmax": "missing"})
def _(submission: Submission, world: World) -> None:
    submission.cell("softmax-answer")["source"] = [[line] for line in SOFTMAX.splitlines()]


@notebook("answer-in-its-output", "an answer where outputs are kept", tasks={"softmax": "wrong"})
def _(submission: Submission, world: World) -> None:
    output = {"output_type": "stream", "name": "stdout", "text": SOFTMAX}
    submission.cell("softmax-answer").update(source="", outputs=[output])


@raw_file("source-twice", "a cell that has a wrong source and behind it, by the same name, a right one")
def _(world: World, path: Path) -> None:
    submission = Submission()
    submission.answer("softmax", "THIS")
    text = json.dumps(submission.content)
    both = f'"source": {json.dumps(ZEROS)}, "source": {json.dumps(SOFTMAX)}'
    path.write_text(text.replace('"source": "THIS"', both))


@notebook("renamed-function", "a function by another name", tasks={"softmax": ("missing", "wrong")})
def _(submission: Submission, world: World) -> None:
    submission.answer("softmax", SOFTMAX.replace("def softmax", "def soft_max"))


@notebook(
    "changed-points", "a locked cell that says it is worth a thousand points", tasks={"softmax": "wrong"}
)
def _(submission: Submission, world: World) -> None:
    submission.answer("softmax", ZEROS)
    for cell in submission.cells:
        about = cell["metadata"].get("nbgrader", {})
        if about.get("grade"):
            about["points"] = 1000 if about["grade_id"] == "test_mix" else -5


@notebook(
    "points-that-are-none", "points without end, below zero, and by other names", tasks={"softmax": "wrong"}
)
def _(submission: Submission, world: World) -> None:
    submission.answer("softmax", ZEROS)
    for name, points in (("softmax", float("inf")), ("mix", float("nan")), ("project", -5)):
        about = submission.cell(f"{name}-test")["metadata"]["nbgrader"]
        about.update(points=points, max_points=99, score=99, manual_score=99, extra_credit=99, graded=True)
        about.update(schema_version=99, checksum="0" * 32)


@notebook(
    "points-for-an-answer", "an answer's cell that calls itself graded, and right", tasks={"softmax": "wrong"}
)
def _(submission: Submission, world: World) -> None:
    submission.answer("softmax", ZEROS)
    about = submission.cell("softmax-answer")["metadata"]["nbgrader"]
    about.update(grade=True, points=50, locked=True, score=50)


@notebook(
    "swapped-grade-ids",
    "the test of a wrong answer under the name of a right one's",
    tasks={"softmax": "wrong"},
)
def _(submission: Submission, world: World) -> None:
    submission.answer("softmax", ZEROS)
    one, other = (submission.cell(f"{name}-test")["metadata"]["nbgrader"] for name in ("softmax", "mix"))
    one["grade_id"], other["grade_id"] = other["grade_id"], one["grade_id"]


@notebook(
    "an-answer-as-a-test",
    "an answer's cell that calls itself another task's test",
    tasks={"softmax": ("missing", "right")},
)
def _(submission: Submission, world: World) -> None:
    submission.cell("softmax-answer")["metadata"]["nbgrader"].update(
        grade_id="test_mix", grade=True, solution=False, locked=True, points=1
    )


@notebook(
    "a-test-of-one's-own", "a new test worth 100 points, and a wrong answer", tasks={"softmax": "wrong"}
)
def _(submission: Submission, world: World) -> None:
    submission.answer("softmax", ZEROS)
    submission.extra("assert True", "mine", after="softmax-test")
    about = {
        **submission.cell("softmax-test")["metadata"]["nbgrader"],
        "grade_id": "test_more",
        "points": 100,
    }
    submission.cell("mine")["metadata"] = {"nbgrader": about}


@notebook("answer-as-text", "an answer in a Markdown cell", tasks={"softmax": "missing"})
def _(submission: Submission, world: World) -> None:
    cell = submission.cell("softmax-answer")
    cell["cell_type"] = "markdown"
    del cell["outputs"], cell["execution_count"]


@notebook("unlocked-tests", "locked cells that say they are not", tasks={"softmax": "wrong"})
def _(submission: Submission, world: World) -> None:
    submission.answer("softmax", ZEROS)
    for name in ALL:
        cell = submission.cell(f"{name.replace('_', '-')}-test")
        cell["metadata"]["nbgrader"].update(locked=False, grade=False, solution=True)
        cell["source"] = "pass"


@notebook("no-nbgrader-metadata", "a notebook of which an editor dropped the metadata")
def _(submission: Submission, world: World) -> None:
    for cell in submission.cells:
        cell["metadata"] = {}


@notebook(
    "strange-metadata",
    "metadata of the wrong types",
    status=("graded", "unreadable"),
    tasks=dict.fromkeys(ALL, ("right", "missing", "not run")),
)
def _(submission: Submission, world: World) -> None:
    for cell, nbgrader in zip(
        [submission.cell(f"{name.replace('_', '-')}-test") for name in ALL],
        (
            "yes",
            [1],
            {"grade_id": ["a"], "grade": "x"},
            {"grade_id": None, "points": {}},
            5,
            {"schema_version": "\ud800"},
        ),
        strict=True,
    ):
        cell["metadata"]["nbgrader"] = nbgrader
    submission.cell("setup")["metadata"] = {"nbgrader": {"grade_id": "../../../gradebook", "grade": True}}


@notebook("marks-in-an-answer", "the marks of hidden tests in an answer, to hide it or to cut it out")
def _(submission: Submission, world: World) -> None:
    marked = f"### BEGIN HIDDEN TESTS\n{SOFTMAX}\n### END HIDDEN TESTS\n### BEGIN SOLUTION\n### END SOLUTION"
    submission.answer("softmax", marked)


@notebook("other-kernel", "a notebook that asks for another language and its own start file")
def _(submission: Submission, world: World) -> None:
    submission.content["metadata"] = {
        "kernelspec": {"name": "../../bin/sh", "display_name": "shell", "language": "bash"},
        "language_info": {"name": "bash"},
    }


@notebook("a-thousand-cells", "a thousand cells more", tasks={})
def _(submission: Submission, world: World) -> None:
    for n in range(1000):
        submission.extra(f"x = {n}", f"more-{n}")


@notebook(
    "two-answers-in-one",
    "all answers in one cell, the others empty",
    tasks=dict.fromkeys(ALL, ("right", *NO_POINTS)),
)
def _(submission: Submission, world: World) -> None:
    together = "\n\n\n".join(submission.answer_of(name) for name in ALL)
    for name in ALL:
        submission.answer(name, together if name == "project" else "")
