"""The notebook after grading: whole, ours where it is ours, and harmless."""

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import course_folder
import nbformat
import pytest
from course_folder import outcome
from nbconvert.filters.markdown import markdown2html
from nbformat import NotebookNode
from nbgrader import utils
from small import cell

from course_lib.grading.results.graded import (
    Released,
    cells_of,
    grade_id,
    graded,
    release,
    settings,
    verdict,
    write,
)
from course_lib.grading.results.outcome import CellOutput, Outcome, Status, TaskOutcome
from course_lib.grading.results.rendering import Room, TooMuch

SCRIPT = "<script>alert(1)</script>"
PNG = course_folder.PNG


@pytest.fixture
def released(tmp_path: Path) -> Released:
    course = course_folder.course(tmp_path)
    return release(course / "solutions" / "03_qkv" / "by_hand.ipynb", settings(course))


def shown(
    released: Released, cells: list[dict[str, Any]], folder: Path, result: Outcome | None = None
) -> nbformat.NotebookNode:
    """The notebook after grading of cells that are first written to a file."""
    path = course_folder.write(folder / "handed_in.ipynb", cells)
    notebook, _ = graded(released, cells_of(path), result or outcome())
    nbformat.validate(notebook)
    return notebook


def ids(notebook: nbformat.NotebookNode) -> list[str]:
    return [made.id for made in notebook.cells]


def test_an_outcome_comes_back_from_its_json() -> None:
    late = outcome(status=Status.TIMED_OUT, reason="timed out in task mix", reports=("twice",))
    assert Outcome.from_json(late.to_json()) == late
    assert Outcome.from_json(late.to_json()).status is Status.TIMED_OUT
    assert late.score == 2
    assert late.max_score == 6


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"status": "happy"}'])
def test_another_json_is_no_outcome(text: str) -> None:
    with pytest.raises(ValueError, match="an outcome was expected, as `to_json` writes it; got"):
        Outcome.from_json(text)


def test_learners_get_no_solution_and_no_hidden_test(released: Released) -> None:
    text = json.dumps(released.shown)
    assert "raise NotImplementedError" in text
    assert "seed" not in text
    assert "Because." not in text
    assert "seed" in json.dumps(released.saved)  # the grade book has them, as nbgrader's own
    assert released.tests_of == {"softmax": ["test_softmax"], "mix": ["test_mix"], "words": ["words"]}


def test_answers_tests_and_outputs_stand_together(released: Released, tmp_path: Path) -> None:
    notebook = shown(released, course_folder.answers(), tmp_path)
    by_id = {made.id: made for made in notebook.cells}
    assert ids(notebook) == ids(released.shown)
    assert by_id["softmax-answer"].source == "def softmax(x):\n    return x"
    assert by_id["why"].source == "<div><p>Because of the sum.</p></div>"
    assert by_id["setup"].outputs[0].text == "hello"
    right, wrong = by_id["softmax-test"].outputs, by_id["mix-test"].outputs
    look = '<div class="alert alert-{}"><strong>{}.</strong> {} points from the tests</div>'
    assert [output.data["text/html"] for output in right] == [look.format("success", "✓ Right", "2 of 2")]
    assert wrong[0].data["text/html"] == look.format("danger", "✗ Wrong", "0 of 1")
    assert wrong[1].text == "Expected <3>, got:\n  [4] *x*\n"


def test_locked_cells_marks_and_points_are_ours(released: Released, tmp_path: Path) -> None:
    cells = course_folder.answers()
    cells[3]["source"] = "pass"
    cells[3]["metadata"]["nbgrader"].update(points=99, locked=False, solution=True)
    cells[3]["metadata"]["evil"] = SCRIPT
    notebook = shown(released, cells, tmp_path)
    assert notebook.cells[3].source == 'check("03_qkv/softmax", softmax)'
    assert notebook.cells[3].metadata == released.shown.cells[3].metadata


def test_of_two_cells_the_last_counts(released: Released, tmp_path: Path) -> None:
    cells = course_folder.answers()
    again = {**cells[2], "source": "def softmax(x):\n    return 2"}
    notebook = shown(released, [*cells, again], tmp_path)
    marked = [made.source for made in notebook.cells if grade_id(made) == "softmax"]
    assert marked == ["def softmax(x):\n    return 2"]
    assert notebook.cells[2].source == "def softmax(x):\n    return x"
    assert len(set(ids(notebook))) == len(cells) + 1


@pytest.mark.parametrize("lost", [["softmax-test"], ["softmax-answer", "softmax-test"], ["why"], []])
def test_missing_cells_are_put_back_where_they_were(
    released: Released, tmp_path: Path, lost: list[str]
) -> None:
    cells = [made for made in course_folder.answers() if made["id"] not in lost]
    notebook = shown(released, cells, tmp_path)
    names = [grade_id(made) for made in notebook.cells if grade_id(made)]
    assert names == ["softmax", "test_softmax", "mix", "test_mix", "words"]
    test = next(made for made in notebook.cells if grade_id(made) == "test_softmax")
    assert "✓ Right." in test.outputs[0].data["text/html"]


def test_a_missing_answer_is_put_back_below_the_words_before_it(released: Released, tmp_path: Path) -> None:
    at = [made.id for made in released.shown.cells].index("mix-answer")
    words = nbformat.v4.new_markdown_cell("## Mix", id="mix-words")
    source = NotebookNode(cells=[*released.shown.cells[:at], words, *released.shown.cells[at:]], metadata={})
    cells = course_folder.answers()
    cells[at] = cell("mix-words", "## Mix", "markdown")
    notebook = shown(dataclasses.replace(released, shown=source), cells, tmp_path)
    assert ids(notebook) == ids(source)


def test_lost_marks_are_found_by_the_id(released: Released, tmp_path: Path) -> None:
    cells = course_folder.answers()
    cells[2]["metadata"] = {}
    notebook = shown(released, cells, tmp_path)
    assert grade_id(notebook.cells[2]) == "softmax"
    assert notebook.cells[2].source == "def softmax(x):\n    return x"


def test_reason_and_reports_come_first(released: Released, tmp_path: Path) -> None:
    result = outcome(reason="timed out in task mix", reports=(f"the cell {SCRIPT} is there twice",))
    notebook = shown(released, course_folder.answers(), tmp_path, result)
    assert notebook.cells[0].source == f"    timed out in task mix\n    the cell {SCRIPT} is there twice"


@pytest.mark.parametrize("content", ["", "{", "[[" * 50_000, '{"cells": 5}', "pipe", "link", "folder"])
def test_what_is_no_notebook_has_no_cells(released: Released, tmp_path: Path, content: str) -> None:
    path = tmp_path / "handed_in.ipynb"
    if content == "pipe":
        os.mkfifo(path)
    elif content == "link":
        path.symlink_to(tmp_path / "solutions" / "03_qkv" / "by_hand.ipynb")
    elif content == "folder":
        path.mkdir()
    else:
        path.write_text(content)
    assert cells_of(path) == []
    notebook, _ = graded(released, cells_of(path), course_folder.unreadable("ada"))
    assert [made.source for made in notebook.cells[1:]] == [made.source for made in released.shown.cells]
    assert notebook.cells[0].source == "    the file is no JSON"


def test_hostile_ids_and_texts_become_harmless(released: Released, tmp_path: Path) -> None:
    cells = course_folder.answers()
    cells[1]["id"] = f'x" onload="{SCRIPT}'
    cells[2]["source"] = "print('\ud800')"
    del cells[4]["id"]
    cells += [cell("title", "again", "markdown"), cell("title-2", "and again", "markdown")]
    notebook = shown(released, cells, tmp_path)
    assert notebook.cells[2].source == "print('?')"
    assert SCRIPT not in json.dumps(notebook)
    json.dumps(notebook, ensure_ascii=False).encode()  # nothing in it that UTF-8 cannot write


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (f"a {SCRIPT}", "a &lt;script&gt;alert(1)&lt;/script&gt;"),
        ("`a < b` and **c**", "<code>a &lt; b</code> and <strong>c</strong>"),
        ("[a](https://example.org)", '<a href="https://example.org">a</a>'),
        ("[a](javascript:alert(1)) **b**", "<a>a</a> <strong>b</strong>"),
        ("[a](javascript:alert(1)) <u>b</u>", "<a>a</a> &lt;u&gt;b&lt;/u&gt;"),
        ("[a](&#106;avascript:alert(1))", "<a>a</a>"),
        ("[a][b] and b\n\n[b]: JavaScript:alert(1)", "<a>a</a> and b"),
        (
            "![a](https://example.org/who_reads_this.png) b",
            "<em>[picture a: it stands outside the notebook]</em> b",
        ),
        ("<b class='alert' id='x' onclick='alert(1)'>a</b>", "<b>a</b>"),
        ("a\\\n\n<pre>b\n\n[c](javascript:alert(1))</pre>", None),
    ],
)
def test_words_of_a_learner_run_nothing_and_lose_only_what_is_unsafe(
    released: Released, tmp_path: Path, source: str, expected: str | None
) -> None:
    notebook = shown(released, [cell("own", source, "markdown")], tmp_path)
    own = next(made for made in notebook.cells if made.id == "own")
    page = markdown2html(own.source).strip()  # as nbgrader does
    assert "javascript:" not in re.sub("<pre>.*</pre>", "", page, flags=re.DOTALL)
    assert expected is None or page == f"<div><p>{expected}</p></div>"


OUTPUTS = [
    ({"output_type": "display_data", "data": {"text/html": f"<b>x</b>{SCRIPT}"}}, "<b>x</b>&lt;script&gt;"),
    ({"output_type": "display_data", "data": {"text/html": ["<b>", "x</b>"]}}, "<b>x</b>"),
    ({"output_type": "display_data", "data": {"text/html": "<table><th>x"}}, "<table><tr><td>x</td>"),
    ({"output_type": "display_data", "data": {"text/markdown": "[a](javascript:b)"}}, "<p><a>a</a></p>"),
    ({"output_type": "display_data", "data": {"application/javascript": "alert(1)"}}, None),
    ({"output_type": "display_data", "data": {"image/svg+xml": "<svg onload='alert(1)'/>"}}, None),
    (
        {"output_type": "display_data", "data": {"image/png": 'x" onerror="alert(1)'}},
        "it is not written in base64",
    ),
    (
        {"output_type": "display_data", "data": {"image/png": "aGVsbG8="}},
        "it is no PNG or JPEG that can be shown",
    ),
    (
        {"output_type": "execute_result", "data": {"image/png": PNG + "\n"}, "metadata": {"a": SCRIPT}},
        f'"image/png": "{PNG}"',
    ),
    ({"output_type": "stream", "name": 'x" onload="alert(1)', "text": ["a", "b"]}, '"stdout", "text": "ab"'),
    ({"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["1", "2"]}, '["1", "2"]'),
    ({"output_type": "surprise"}, None),
    ({}, None),
    ({"output_type": "display_data", "data": 5}, None),
]


@pytest.mark.parametrize(
    ("text", "left_out"),
    [("line\n" * 60_000, "59,801 lines"), ("x" * 50_000, "30,011 characters"), ("line\n" * 199, None)],
)
@pytest.mark.parametrize("kind", ["stream", "execute_result"])
def test_the_middle_of_a_long_output_is_left_out(
    released: Released, tmp_path: Path, kind: str, text: str, left_out: str | None
) -> None:
    text = f"first {text} last"
    output = {"output_type": kind, "name": "stdout", "text": text, "data": {"text/plain": text}}
    result = outcome(cells=(CellOutput("setup", (output,)),))
    made = shown(released, course_folder.answers(), tmp_path, result).cells[1].outputs[0]
    found = made.text if kind == "stream" else made.data["text/plain"]
    assert found.startswith("first ")
    assert found.endswith(" last")
    assert (found == text) if left_out is None else (f"[{left_out} are left out here]" in found)
    assert len(found) < 21_000
    assert found.count("\n") <= 200


@pytest.mark.parametrize(("output", "expected"), OUTPUTS)
def test_outputs_show_and_run_nothing(
    released: Released, tmp_path: Path, output: dict[str, Any], expected: str | None
) -> None:
    result = outcome(cells=(CellOutput("setup", (output,)),))
    notebook = shown(released, course_folder.answers(), tmp_path, result)
    outputs = next(made for made in notebook.cells if made.id == "setup").outputs
    assert bool(outputs) == (expected is not None)
    text = json.dumps(outputs)
    assert (expected or "") in text
    assert SCRIPT not in text
    assert "alert(1)'" not in text


@pytest.mark.parametrize("points", [0.0, 0.5, 1.25, 3.0])
def test_nbgrader_reads_the_points_from_the_output(released: Released, points: float) -> None:
    made = TaskOutcome("test_softmax", "", points, 3.0, "wrong", "7.5")
    test = released.shown.cells[3]
    test.metadata.nbgrader.points = 3
    test.outputs = verdict(made)
    assert utils.determine_grade(test) == (points, 3)
    assert "7.5" in test.outputs[1].text


def test_a_source_that_nbgrader_refuses_is_refused(tmp_path: Path) -> None:
    cells = course_folder.source()
    path = course_folder.write(tmp_path / "by_hand.ipynb", [*cells, {**cells[2], "id": "again"}])
    with pytest.raises(ValueError, match=r"nbgrader does not accept .*by_hand.ipynb: Duplicate grade id"):
        release(path)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "file.txt"
    write(path, "first")
    monkeypatch.setattr(os, "replace", lambda *_: 1 / 0)  # the machine stops
    with pytest.raises(ZeroDivisionError):
        write(path, "second")
    assert path.read_text() == "first"


def test_an_outcome_is_not_changed_by_showing_it(released: Released, tmp_path: Path) -> None:
    output = {"output_type": "display_data", "data": {"text/html": SCRIPT}}
    result = outcome(cells=(CellOutput("setup", (output,)),))
    before = dataclasses.asdict(result)
    shown(released, course_folder.answers(), tmp_path, result)
    assert dataclasses.asdict(result) == before


HINT = "## Mix\n\n<details><summary>Hint</summary>\n\nThink.\n\n</details>"


def with_words(released: Released, source: str, **more: Any) -> Released:
    """The same notebook with a cell of words by the teacher at its beginning."""
    words = nbformat.from_dict({"cell_type": "markdown", "id": "w", "metadata": {}, "source": source, **more})
    notebook = NotebookNode(cells=[words, *released.shown.cells], metadata={}, nbformat=4)
    return dataclasses.replace(released, shown=notebook)


def page_of(notebook: nbformat.NotebookNode, name: str) -> str:
    """A cell of words as nbgrader shows it."""
    return markdown2html(next(made.source for made in notebook.cells if made.id == name)).replace(
        "&#10;", "\n"
    )


@pytest.mark.parametrize("name", ["own", "why"])
def test_a_pasted_picture_is_shown_in_words_and_in_answers(
    released: Released, tmp_path: Path, name: str
) -> None:
    text = "See ![image.png](attachment:image.png) and ![b](attachment:lost.png)"
    pasted = {
        "source": text,
        "attachments": {"image.png": {"image/png": PNG}, "x": [], "y": {"image/gif": "a"}},
    }
    cells = [*course_folder.answers(), cell("own", "", "markdown")]
    cells = [{**made, **pasted} if made["id"] == name else made for made in cells]
    page = page_of(shown(released, cells, tmp_path), name)
    assert f'<img alt="image.png" src="data:image/png;base64,{PNG}">' in page
    assert "<em>[picture b: it is not in the notebook, or neither PNG nor JPEG]</em>" in page


@pytest.mark.parametrize("is_there", [True, False])
def test_a_picture_of_the_teacher_is_shown(released: Released, tmp_path: Path, is_there: bool) -> None:
    attachments = {"a.png": {"image/png": PNG}}
    source = with_words(released, "![a](attachment:a.png)", attachments=attachments)
    words = {**cell("w", "![a](attachment:a.png)", "markdown"), "attachments": attachments}
    cells = [words, *course_folder.answers()] if is_there else []
    page = page_of(shown(source, cells, tmp_path), "w")
    assert f'src="data:image/png;base64,{PNG}"' in page


def test_hints_of_the_teacher_are_open(released: Released, tmp_path: Path) -> None:
    cells = [cell("w", HINT, "markdown"), *course_folder.answers()]
    for handed_in in (cells, [cell("w", HINT + " **I see.**", "markdown"), *cells[1:]]):
        page = page_of(shown(with_words(released, HINT), handed_in, tmp_path), "w")
        assert re.search(r"<details open>\s*<summary>Hint</summary>\s*<p>Think.</p>\s*</details>", page)


def test_what_is_too_much_to_render_is_shown_as_it_was_typed_and_said(
    released: Released, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def render(room: Room, kind: str, text: str, **more: Any) -> str:
        raise TooMuch("it takes too long")

    monkeypatch.setattr(Room, "render", render)
    code, words = "x = 1  # first\n" + "a." * 9_000, "first **a** " + " " * 9_000 + "b"
    cells = [*course_folder.answers(), cell("own", words, "markdown"), cell("code", code)]
    printed = CellOutput("setup", ({"output_type": "display_data", "data": {"text/html": "<b>"}},))
    path = course_folder.write(tmp_path / "handed_in.ipynb", cells)
    notebook, told = graded(released, cells_of(path), outcome(cells=(printed,)))
    typed = "is shown as it was typed, a long one without its middle: it takes too long"
    assert set(told.reports) == {
        f"A text {typed}",
        f"Code {typed}",
        "An output is left out: it takes too long",
    }
    by_id = {made.id: made for made in notebook.cells}
    assert "<pre><code>[A text is shown as it was typed" in markdown2html(by_id["own"].source)
    assert "first **a** " in by_id["own"].source
    assert by_id["code"].source.startswith(f"# [Code {typed}]\nx = 1  # first\na.a.")
    assert "\n# [16,0" in by_id["code"].source
    assert "[An output is left out" in by_id["setup"].outputs[0].data["text/html"]
    assert all(len(made.source) < 2_500 for made in notebook.cells)
    assert all(note in by_id["grading"].source for note in told.reports)


def test_where_there_is_no_room_texts_are_left_out_and_that_is_said(
    released: Released, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Room, "is_left", False)
    cells = [*course_folder.answers(), cell("code", "a." * 9_000)]
    path = course_folder.write(tmp_path / "handed_in.ipynb", cells)
    notebook, told = graded(released, cells_of(path), outcome())
    why = "is left out: the notebook is too long to show all of it"
    assert told.reports == (f"A text {why}", f"Code {why}")
    by_id = {made.id: made for made in notebook.cells}
    assert by_id["why"].source == f"    [A text {why}]"
    assert by_id["code"].source == f"# [Code {why}]"
    assert by_id["mix-answer"].source == "def mix(x):\n    return x"  # a short one is no trouble


def test_much_code_is_tried_before_others_colour_it(
    released: Released, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []
    monkeypatch.setattr(Room, "render", lambda room, kind, text, **more: tried.append(text) or text)
    cells = [cell(f"own-{i}", f"x = {i}\n" + "a." * 600) for i in range(60)]
    notebook = shown(released, [*cells, cell("long", "x = 1\n" * 999)], tmp_path)
    assert len(tried) > 10
    assert tried[-1] == "x = 1\n" * 999
    assert {made.source for made in notebook.cells} >= {made["source"] for made in cells}


def test_an_error_is_shortened_like_any_output(released: Released, tmp_path: Path) -> None:
    error = {"output_type": "error", "ename": "E" * 9_999, "evalue": "v" * 9_999, "traceback": ["x"] * 9_999}
    result = outcome(cells=(CellOutput("setup", (error,)),))
    made = shown(released, course_folder.answers(), tmp_path, result).cells[1].outputs[0]
    assert (len(made.ename), len(made.evalue), len(made.traceback)) == (100, 1000, 201)


@pytest.mark.parametrize("error", [RecursionError("too deep"), MemoryError(), KeyError("x" * 999)])
def test_whatever_goes_wrong_with_a_page_is_said_with_the_students_name(
    released: Released, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(Room, "render", Mock(side_effect=error))
    cells = cells_of(course_folder.write(tmp_path / "handed_in.ipynb", course_folder.answers()))
    notebook, told = graded(released, cells, outcome("bob"))
    (note,) = told.reports
    assert note.startswith(f"what bob handed in cannot be shown; its points stand ({type(error).__name__}")
    assert len(note) < 300
    assert (told.tasks, told.status) == (outcome().tasks, outcome().status)
    assert [made.source for made in notebook.cells[1:]] == [made.source for made in released.shown.cells]
    assert note in notebook.cells[0].source
