"""A submission is data that may lie: what is read of it, and what is run and tested, in which order."""

import json
import os
import re

import pytest
from small import answer, cell, checked, locked

from course_lib.grading.intake import submission
from course_lib.grading.intake.names import names_used
from course_lib.grading.intake.submission import (
    MOST_BYTES,
    Run,
    Unreadable,
    hidden,
    plan,
    read_bytes,
    read_cells,
    released,
)

# ---------------------------------------------------------------------------------------------------- reading


def content(cells, **more):
    """A notebook file with these cells."""
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **more}).encode()


def test_a_name_that_nobody_can_read_is_none():
    long = cell("x" * 10**6, "1", grade_id="y" * 10**6, solution=True)
    (found,) = read_cells(content([long]))
    assert (found.id, found.grade_id) == ("cell-0", "")


def test_a_file_is_read(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_bytes(b"content")
    assert read_bytes(path) == b"content"


def too_large(path):
    with open(path, "wb") as file:
        file.truncate(500 * 2**20)  # without taking any room


def link(path):
    target = path.with_name("elsewhere")
    target.write_bytes(b"secret")
    path.symlink_to(target)


STRANGE = {
    "nothing": (lambda path: None, "cannot be read: No such file or directory"),
    "a large file": (too_large, "has 500 MB; at most 20 are read"),
    "a link": (link, "cannot be read: it is a link"),
    "a link to a device": (lambda path: path.symlink_to("/dev/zero"), "it is a link"),
    "a link to itself": (lambda path: path.symlink_to(path), "it is a link"),
    "a folder": (lambda path: path.mkdir(), "is no plain file"),
    "a pipe": (os.mkfifo, "is no plain file"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_plain_file_is_not_read(tmp_path, kind):
    make, problem = STRANGE[kind]
    make(tmp_path / "a.ipynb")
    with pytest.raises(Unreadable, match=re.escape(problem)):
        read_bytes(tmp_path / "a.ipynb")


def test_a_device_is_not_read():
    with pytest.raises(Unreadable, match="urandom is no plain file"):
        read_bytes(submission.Path("/dev/urandom"))


def test_a_socket_is_not_read(tmp_path):
    import socket

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "a.ipynb"))
        with pytest.raises(Unreadable, match=r"a\.ipynb cannot be read"):
            read_bytes(tmp_path / "a.ipynb")


def test_a_file_that_grows_while_it_is_read_is_cut_off(tmp_path, monkeypatch):
    path = tmp_path / "a.ipynb"
    path.write_bytes(b"x" * 100)
    monkeypatch.setattr(submission, "MOST_BYTES", 99)
    with pytest.raises(Unreadable, match="at most"):
        read_bytes(path)
    assert MOST_BYTES == 20 * 2**20


BROKEN = {
    "empty": (b"", "no JSON"),
    "cut off": (content([])[:-9], "no JSON"),
    "not UTF-8": (content([]).replace(b"cells", b"c\xffells"), "no JSON"),
    "UTF-16": (content([]).decode().encode("utf-16"), "no JSON"),
    "deep": (b"[" * 100_000, "nested too deeply"),
    "deep within cells": (b'{"nbformat": 4, "cells": ' + b"[" * 100_000, "nested too deeply"),
    "a list": (b"[]", "no notebook"),
    "a number": (b"3", "no notebook"),
    "a number of 5000 digits": (b"9" * 5000, "no JSON"),
    "without cells": (b'{"nbformat": 4}', "a notebook without a list of cells"),
    "with cells that are none": (b'{"cells": {}, "nbformat": 4}', "a notebook without a list of cells"),
    "cells by name": (b'{"cells": {}}', "no notebook"),
    "of version 3": (
        b'{"nbformat": 3, "worksheets": []}',
        "a notebook of version 3, and version 4 is needed",
    ),
    "of version 5": (content([], nbformat=5), "a notebook of version 5, and version 4 is needed"),
    "of version '4'": (content([], nbformat="4"), "a notebook of version '4', and version 4 is needed"),
    "of no version": (b'{"cells": []}', "a notebook of version None, and version 4 is needed"),
    "of a strange version": (content([], nbformat=["x" * 999]), "version ['xxxxxxxxxxxxxxxxx"),
    "too many parts": (
        b'{"cells": [' + b"[]," * 1_000_000 + b"0]}",
        "has 2,000,002 parts; at most 2,000,000",
    ),
    "too many cells": (content([{}] * 2001), "has 2,001 cells; at most 2,000 are read"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_notebook_is_unreadable_in_a_sentence(kind):
    broken, problem = BROKEN[kind]
    with pytest.raises(Unreadable, match=re.escape(problem)) as raised:
        read_cells(broken)
    assert len(str(raised.value)) < 120


def test_cells_are_read_whatever_else_is_in_the_file():
    strange = [None, 3, "code", [], {}, {"cell_type": "sql"}, {"cell_type": ["code"]}, {"cell_type": {}}]
    strange += [{"cell_type": "code", "source": bad} for bad in (3, None, {}, [1], ["a", None], [["a"]])]
    good = {"cell_type": "code", "id": "a", "source": "x = 1"}
    cells = read_cells(content([*strange, good]))
    assert [(one.id, one.kind, one.source) for one in cells] == [("a", "code", "x = 1")]


def test_lines_a_mark_at_the_beginning_and_no_source_are_read():
    cells = [{"cell_type": "code", "source": ["x = 1\n", "y = 2"]}, {"cell_type": "raw"}]
    found = read_cells("\ufeff".encode() + content(cells))
    assert [(one.id, one.source) for one in found] == [("cell-0", "x = 1\ny = 2"), ("cell-1", "")]


@pytest.mark.parametrize("metadata", [None, 3, [], {"nbgrader": 3}, {"nbgrader": []}, {"nbgrader": None}, {}])
def test_marks_that_are_none_are_no_marks(metadata):
    one = read_cells(content([{"cell_type": "code", "source": "", "metadata": metadata}]))[0]
    assert (one.grade_id, one.solution, one.grade, one.points) == ("", False, False, 0.0)


@pytest.mark.parametrize("strange", [3, None, [], {}, "x", True, 1e400, -5, 10**400], ids=range(9))
def test_marks_of_strange_types_are_read_as_none_of_theirs(strange):
    marks = {"grade_id": strange, "solution": strange, "grade": strange, "points": strange}
    one = read_cells(content([{"cell_type": "code", "id": strange, "metadata": {"nbgrader": marks}}]))[0]
    wanted = strange if isinstance(strange, str) else ""
    assert (one.id, one.grade_id) == (wanted or "cell-0", wanted)
    assert (one.solution, one.grade) == (strange is True, strange is True)
    assert isinstance(one.points, float)


# --------------------------------------------------------------------------------------------------- planning

SOURCE = [
    cell("title", "# Two tasks", "markdown"),
    cell("setup", "import numpy as np\nfrom course_lib.checks import check"),
    cell("data", "table = np.eye(3)"),
    answer("one", "def one(): return 1"),
    locked("one", checked("03_qkv/softmax", "one")),
    cell("story", "print(table)"),
    answer("two", "def two(): return 2"),
    locked("two", checked("03_qkv/mix", "two")),
    cell("real", "model = load()\nmodel(two)"),
    cell("words", "Because.", "markdown", grade_id="words", solution=True, grade=True, points=2),
]
SUBMITTED = [
    {**one, "source": released(one["source"]).replace("return", "return 10 *")}
    if one["id"].endswith("-answer")
    else {**one, "source": released(one["source"])}
    for one in SOURCE
]


def planned(cells):
    """The plan of a submission."""
    return plan(read_cells(content(SOURCE)), cells, used_in)


def used_in(cell):
    """What the sandbox says."""
    return names_used(cell.source)


def steps(cells):
    """What is done with a submission, in short, and what is reported."""
    made = planned(read_cells(content(cells)))
    said = [
        step.cell.id if isinstance(step, Run) else f"{step.cell.grade_id}{' (missing)' * step.missing}"
        for step in made.steps
    ]
    return said, list(made.reports)


def changed(**by_id):
    """The submission with other cells: None takes one out, a list takes its place, a text is its source."""
    found = []
    for one in SUBMITTED:
        new = by_id.get(one["id"].replace("-", "_"), one)
        if isinstance(new, str):
            new = {**one, "source": new}
        found += new if isinstance(new, list) else [new] if new else []
    return found


def at(name):
    return next(one for one in SUBMITTED if one["id"] == name)


PLAIN = ["setup", "data", "one-answer", "test_one", "two-answer", "test_two"]


def test_cells_run_and_are_tested_in_their_order_without_demonstrations():
    assert steps(SUBMITTED) == (PLAIN, [])


def test_what_was_not_changed_runs_where_something_uses_its_names():
    cells = changed(two_answer="def two(): return model")
    assert steps(cells)[0] == [*PLAIN, "real"]


def test_words_in_a_text_cell_use_no_names():
    assert steps([*SUBMITTED, cell("mine", "model", "markdown")])[0] == PLAIN


def test_a_changed_cell_of_the_source_runs():
    assert steps(changed(story="print(table + 1)"))[0] == [*PLAIN[:4], "story", *PLAIN[4:]]


def test_the_test_is_the_sources():
    made = planned(read_cells(content(changed(one_test="check('x', right)"))))
    tests = [step.cell.source for step in made.steps if not isinstance(step, Run)]
    assert tests == [checked("03_qkv/softmax", "one"), checked("03_qkv/mix", "two")]


def test_an_edited_test_is_reported():
    said = ["the locked cell 'test_one' differs from the source's, which counts"]
    assert steps(changed(one_test="pass")) == (PLAIN, said)


def test_a_test_that_kept_its_hidden_tests_is_not_edited():
    assert steps(changed(one_test=SOURCE[4]["source"])) == (PLAIN, [])


def test_a_deleted_test_comes_at_the_end():
    said = ["the cell 'test_one' is missing and was put back"]
    assert steps(changed(one_test=None)) == (
        ["setup", "data", "one-answer", "two-answer", "test_two", "test_one"],
        said,
    )


def test_a_deleted_answer_is_missing():
    wanted = ["setup", "data", "two-answer", "test_two", "test_one (missing)"]
    assert steps(changed(one_answer=None)) == (wanted, ["the cell 'one' is missing"])


def test_a_deleted_set_up_is_put_back_before_everything():
    assert steps(changed(setup=None, data=None)) == (PLAIN, [])


def test_an_empty_notebook_has_all_tests_missing():
    wanted = ["setup", "data", "test_one (missing)", "test_two (missing)"]
    said = ["one", "two", "words"]
    put_back = ["test_one", "test_two"]
    reports = [f"the cell {name!r} is missing" for name in said]
    reports += [f"the cell {name!r} is missing and was put back" for name in put_back]
    assert steps([]) == (wanted, reports)


def test_a_helper_of_ones_own_runs_at_its_place():
    helper = cell("mine", "def helper(): return 3")
    assert steps(changed(one_answer=[at("one-answer"), helper]))[0] == [*PLAIN[:3], "mine", *PLAIN[3:]]


def test_a_test_before_its_answer_waits_for_the_end():
    cells = changed(one_answer=[at("one-test"), at("one-answer")], one_test=None)
    wanted = ["setup", "data", "one-answer", "two-answer", "test_two", "test_one"]
    assert steps(cells) == (wanted, ["the cells stand in another order than in the source"])


def test_moved_tasks_are_tested_where_they_stand():
    cells = [at(name) for name in ("title", "setup", "data", "two-answer", "two-test", "one-answer")]
    cells += [at(name) for name in ("one-test", "words")]
    wanted = ["setup", "data", "two-answer", "test_two", "one-answer", "test_one"]
    assert steps(cells) == (wanted, ["the cells stand in another order than in the source"])


def test_of_doubled_answers_each_runs_and_the_test_sees_the_one_before_it():
    cells = changed(
        one_answer=[at("one-answer"), at("one-answer")], two_test=[at("two-test"), at("two-answer")]
    )
    wanted = ["setup", "data", "one-answer", "one-answer", "test_one", "two-answer", "test_two", "two-answer"]
    reports = ["the cell 'one' is there 2 times", "the cell 'two' is there 2 times"]
    assert steps(cells) == (wanted, reports)


def test_of_doubled_tests_the_first_behind_the_answer_counts():
    cells = changed(one_answer=[at("one-test"), at("one-answer")], one_test=[at("one-test"), at("one-test")])
    said, reports = steps(cells)
    assert said == PLAIN
    assert "the cell 'test_one' is there 3 times" in reports


def test_marks_that_were_lost_are_found_by_the_cells_id():
    """As in editors that throw metadata away."""
    bare = [{**one, "metadata": {}} for one in SUBMITTED]
    said, reports = steps(bare)
    assert said == PLAIN
    assert reports == [
        f"the marks of the cell {name!r} were changed; the source's count"
        for name in ("one", "test_one", "two", "test_two", "words")
    ]


def test_ids_that_were_lost_do_not_matter_where_marks_are_there():
    """As in notebooks of format 4.4, which have none."""
    without = [{key: value for key, value in one.items() if key != "id"} for one in SUBMITTED]
    made = planned(read_cells(content(without)))
    tests = [(step.cell.grade_id, step.missing) for step in made.steps if not isinstance(step, Run)]
    assert tests == [("test_one", False), ("test_two", False)]


def test_a_renamed_mark_is_found_by_the_cells_id():
    renamed = {**at("one-answer"), "metadata": {"nbgrader": {"grade_id": "ones", "solution": True}}}
    said, reports = steps(changed(one_answer=[renamed]))
    assert (said, reports) == (PLAIN, ["the marks of the cell 'one' were changed; the source's count"])


def test_points_of_the_submission_do_not_count():
    more = {**at("one-test")}
    more["metadata"] = {"nbgrader": {**more["metadata"]["nbgrader"], "points": 1000}}
    made = planned(read_cells(content(changed(one_test=[more]))))
    assert [step.cell.points for step in made.steps if not isinstance(step, Run)] == [1.0, 1.0]


def test_an_answer_as_a_text_cell_does_not_run():
    text = {**at("one-answer"), "cell_type": "markdown"}
    said, _ = steps(changed(one_answer=[text]))
    assert said == ["setup", "data", "two-answer", "test_two", "test_one (missing)"]


def test_a_test_as_a_text_cell_is_run_as_the_sources():
    text = {**at("one-test"), "cell_type": "markdown"}
    assert steps(changed(one_test=[text]))[0] == PLAIN


def test_what_is_no_python_does_not_stop_the_plan():
    cells = changed(one_answer="def one(:", story="%%bash\nls\0", two_answer="(" * 5000)
    assert steps(cells)[0] == [*PLAIN[:4], "story", *PLAIN[4:]]


@pytest.mark.parametrize("name", ["test_one", "words", "setup"])
def test_a_cell_that_calls_itself_something_else_takes_no_place_away(name):
    """A cell of one's own with the mark of a test, or with the id of another cell."""
    own = cell(name, "print(1)", grade_id=name, solution=True)
    said, _ = steps([own, *SUBMITTED])
    assert [step for step in said if step.startswith("test_")] == ["test_one", "test_two"]
    assert "(missing)" not in "".join(said)


# -------------------------------------------------------------------------------------------- read-only cells

HELPER = cell("helper", "def helper(): return data", grade_id="helper", locked=True)
WITH_HELPER = [
    cell("data", "data = 3"),
    HELPER,
    answer("one", "one = helper()"),
    cell("more", "def more(): return 1"),
    cell("most", "def most(): return more()"),
    answer("two", "two = most()"),
    locked("two", "two"),
]


def codes(cells):
    made = plan(read_cells(content(WITH_HELPER)), read_cells(content(cells)), used_in)
    return [step.cell.source for step in made.steps if isinstance(step, Run)], list(made.reports)


def test_a_read_only_cell_runs_as_it_stands_in_the_source():
    edited = [{**HELPER, "source": "def helper(): return 0"} if one is HELPER else one for one in WITH_HELPER]
    whole, _ = codes(WITH_HELPER)
    assert codes(edited) == (whole, ["the locked cell 'helper' differs from the source's, which counts"])


def test_a_read_only_cell_that_was_deleted_runs_all_the_same():
    assert sorted(codes([one for one in WITH_HELPER if one is not HELPER])[0]) == sorted(
        codes(WITH_HELPER)[0]
    )


def test_what_a_cell_of_the_source_uses_of_those_before_it_runs_too():
    ran, _ = codes(WITH_HELPER)
    assert (
        ran.index("def more(): return 1") < ran.index("def most(): return more()") < ran.index("two = most()")
    )


# ----------------------------------------------------------------------------------------------- hidden tests


def test_a_cell_parts_into_what_is_released_and_what_is_hidden():
    whole = "a\n### BEGIN HIDDEN TESTS\nb\n### END HIDDEN TESTS\nc\n### BEGIN HIDDEN TESTS\nd"
    assert released(whole) == "a\nc"
    assert hidden(whole).split("\n")[1::2] == ["b", "### BEGIN HIDDEN TESTS"]
    assert hidden(whole).split("\n")[-1] == "d"
    assert (released("a\nb"), hidden("a\nb")) == ("a\nb", "")


def test_names_are_found_in_python_with_magics_and_not_in_what_is_none():
    assert names_used("%matplotlib inline\n!ls\nx = f(y)") == {"f", "y"}
    assert names_used("f(:") == set()
    assert names_used("(" * 5000) == set()


@pytest.mark.parametrize(
    "line",
    [
        "%time x = f(y)",
        "files = !ls\nf(y)",
        "a, b = !ls {f}\nf(y)",
        "here = %pwd\nf(y)",
        "!pip install \\\n  einops \\\n  tqdm\nf(y)",
        "?f\nf(y)",
        "np.mean??\nf(y)",
        "if f:\n    !ls\ny",
        "%%time\nf(y)",
    ],
)
def test_a_line_of_ipythons_hides_no_name_of_its_cell(line):
    assert names_used(line) == {"f", "y"}


def test_names_are_found_beside_what_python_warns_of():
    assert names_used("x = '\\d'\ny") == {"y"}


def test_a_name_too_long_for_any_page_is_none():
    marks = {"grade_id": "g" * 10**6, "solution": True}
    one, other = read_cells(
        content(
            [
                {"cell_type": "code", "source": "", "id": "x" * 10**6, "metadata": {"nbgrader": marks}},
                {
                    "cell_type": "code",
                    "source": "",
                    "id": "x" * 64,
                    "metadata": {"nbgrader": {"grade_id": "g" * 128}},
                },
            ]
        )
    )
    assert (one.id, one.grade_id, one.solution) == ("cell-0", "", True)
    assert (other.id, other.grade_id) == ("x" * 64, "g" * 128)


@pytest.mark.parametrize(
    "strange", [None, 3, [], {"a": 3}, {"a": {"image/png": 3}}, {"a": {"image/svg+xml": "x"}}]
)
def test_of_what_was_pasted_into_a_cell_only_pictures_are_kept(strange):
    kept = {"b": {"image/png": ["x", "y"]}, "c": {"text/plain": "a", "image/jpeg": "z"}}
    pasted = {**strange, **kept} if isinstance(strange, dict) else strange
    one = read_cells(content([{"cell_type": "markdown", "source": "", "attachments": pasted}]))[0]
    assert one.pictures == ({"b": "xy", "c": "z"} if isinstance(strange, dict) else {})
