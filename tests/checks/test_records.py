"""What was passed is kept in one file for each user: whole, once, theirs, and only when they want it."""

import html
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import platformdirs
import pytest
from nbgrader.preprocessors import Execute
from traitlets.config.loader import PyFileConfigLoader

from course_lib.checks import CheckFailed, check, records, task_names, tasks

ROOT = Path(__file__).resolve().parents[2]
WORDS = tasks.words("03_qkv")
QKV = list(WORDS)
N = len(QKV)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder for progress, which is not there yet."""
    place = tmp_path / "data" / "course"
    monkeypatch.setenv("COURSE_PROGRESS", str(place))
    return place


def kept(place):
    return json.loads((place / records.FILE).read_text(encoding="utf-8"))["passed"]


def files(place):
    return sorted(path.name for path in place.iterdir() if path.name != "progress.lock")


# --------------------------------------------------------------------------------------------- keeping


def test_tests_keep_nothing(capsys):
    assert records.folder() is None
    assert records.passed(QKV[0]) == ""
    records.progress("03_qkv")
    assert capsys.readouterr().out == ""
    records.progress()
    assert capsys.readouterr().out == "Progress is not kept here: COURSE_PROGRESS is off.\n"


def test_without_the_variable_the_file_is_in_the_users_data_folder(monkeypatch):
    monkeypatch.delenv("COURSE_PROGRESS")
    assert records.folder() == platformdirs.user_data_path("transformer-course", appauthor=False)
    monkeypatch.setenv("COURSE_PROGRESS", "~/here")
    assert records.folder() == Path.home() / "here"


def test_a_pass_is_kept_and_says_what_is_next(place):
    assert records.passed(QKV[1]) == f"03_qkv: 1 of {N} tasks passed. Next: Queries, keys and values."
    assert records.passed(QKV[0]) == f"03_qkv: 2 of {N} tasks passed. Next: Softmax."
    assert list(kept(place)) == [QKV[1], QKV[0]]
    assert files(place) == [records.FILE]


def test_the_last_pass_of_a_concept_says_so(place):
    lines = [records.passed(name) for name in QKV]
    assert lines[-1] == f"03_qkv: all {N} tasks passed."


def test_the_day_of_the_first_pass_stays(place):
    place.mkdir(parents=True)
    (place / records.FILE).write_text(json.dumps({"passed": {QKV[2]: "2024-02-29"}}))
    records.passed(QKV[2])
    assert kept(place) == {QKV[2]: "2024-02-29"}


def test_a_task_that_was_renamed_is_kept_and_not_counted(place):
    place.mkdir(parents=True)
    (place / records.FILE).write_text(json.dumps({"passed": {"03_qkv/gone": "2024-02-29"}}))
    assert records.passed(QKV[0]).startswith(f"03_qkv: 1 of {N}")
    assert "03_qkv/gone" in kept(place)


def test_two_kernels_at_once_lose_nothing(place):
    code = (
        "import sys\n"
        "from course_lib.checks import records\n"
        "sys.stdin.readline()\n"
        "for i in range(23):\n"
        "    records.passed(f'03_qkv/{sys.argv[1]}{i}')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    kernels = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, env=environment, text=True)
        for name in ("a", "b", "c")
    ]
    for kernel in kernels:
        kernel.stdin.write("go\n")
        kernel.stdin.flush()
    for kernel in kernels:
        kernel.communicate()
        assert kernel.returncode == 0
    assert set(kept(place)) == {f"03_qkv/{name}{i}" for name in "abc" for i in range(23)}
    assert files(place) == [records.FILE]


def test_a_lock_that_never_comes_is_not_waited_for(place, monkeypatch):
    monkeypatch.setattr(records, "PATIENCE_S", 0.05)
    monkeypatch.setattr(records, "_try_lock", lambda file: False)
    assert records.passed(QKV[0]).startswith(f"03_qkv: 1 of {N}")


def test_a_crash_while_writing_leaves_the_old_file(place, monkeypatch):
    records.passed(QKV[0])
    before = (place / records.FILE).read_bytes()

    def crash(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(records.os, "fsync", crash)
    line = records.passed(QKV[1])
    assert line == "This could not be added to your progress: no space left on device"
    assert (place / records.FILE).read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[1, 2]", b'{"passed": ["a"]}', b'{"passed": {"a": 1}}', b'{"other": {}}'],
)
def test_a_damaged_file_is_set_aside_with_a_sentence(place, content):
    place.mkdir(parents=True)
    (place / records.FILE).write_bytes(content)
    line = records.passed(QKV[0])
    aside = place / "progress.damaged1.json"
    assert f"was damaged. It is kept as {aside}, and a new one begins." in line
    assert line.startswith(f"03_qkv: 1 of {N} tasks passed.")
    assert aside.read_bytes() == content
    assert list(kept(place)) == [QKV[0]]


def test_a_second_damaged_file_does_not_replace_the_first(place, capsys):
    place.mkdir(parents=True)
    for content in (b"first", b"second"):
        (place / records.FILE).write_bytes(content)
        records.progress()
        assert "was damaged" in capsys.readouterr().out
    assert (place / "progress.damaged1.json").read_bytes() == b"first"
    assert (place / "progress.damaged2.json").read_bytes() == b"second"


def test_a_place_where_nothing_can_be_kept_costs_no_pass(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "file" / "below"))
    assert records.passed(QKV[0]).startswith("This could not be added to your progress: ")
    records.progress("03_qkv")
    assert "The file of your progress cannot be read: " in capsys.readouterr().out


# ------------------------------------------------------------------------------------------ with a check


def mix(weights, v):
    return weights @ v


def test_a_passed_check_is_kept_and_one_line_says_what_is_next(place, capsys):
    check("03_qkv/mix", mix)
    green, line = capsys.readouterr().out.splitlines()
    assert green.startswith("✓ Mixing the values: right on all ")
    assert line == f"03_qkv: 1 of {N} tasks passed. Next: Queries, keys and values."
    assert list(kept(place)) == ["03_qkv/mix"]


def test_a_failed_check_is_not_kept(place):
    with pytest.raises(CheckFailed):
        check("03_qkv/mix", lambda weights, v: v)
    assert list(place.glob("*")) == []


def test_where_nothing_is_kept_a_passed_check_shows_its_green_line_only(capsys):
    check("03_qkv/mix", mix)
    assert len(capsys.readouterr().out.splitlines()) == 1


# --------------------------------------------------------------------------------------------- showing


def test_one_line_about_a_concept(place, capsys):
    records.progress("03_qkv")
    assert capsys.readouterr().out == f"03_qkv: 0 of {N} tasks passed. Next: Queries, keys and values.\n"
    records.progress("05_positions")
    assert capsys.readouterr().out.endswith(" Next: Which layers see an order?\n")


def test_the_table_lists_every_task(place, capsys):
    records.passed(QKV[1])
    records.progress()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(task_names()) + len(tasks.concepts()) + 1
    minutes = sum(task.minutes for name, task in WORDS.items() if name != QKV[1])
    start = lines.index(f"03_qkv: 1 of {N} passed, {minutes} minutes left")
    assert " ".join(lines[start + 1].split()) == "Queries, keys and values left: level 1, 5 minutes"
    assert lines[start + 2].split()[:4] == ["✓", "Scores", "passed", "on"]
    assert lines[-1] == f"Kept in {place / records.FILE}, nowhere else; progress(forget=True) deletes it."


def test_a_notebook_gets_a_table_with_headings(place):
    place.mkdir(parents=True)
    markup = records._table_as_html({QKV[0]: "2025-01-31"}, "<b>", place)
    assert markup.count("<tr>") == len(task_names()) + len(tasks.concepts())
    assert f'<th scope="rowgroup" colspan="4">03_qkv: 1 of {N} passed, ' in markup
    assert "<td>exercises/03_qkv/attention_by_hand.ipynb</td><td>passed on 2025-01-31</td>" in markup
    assert html.escape("<b>") in markup
    assert "<b>" not in markup


def test_forgetting_leaves_nothing(place, capsys):
    place.mkdir(parents=True)
    (place / records.FILE).write_bytes(b"damaged")
    records.passed(QKV[0])
    records.progress(forget=True)
    assert capsys.readouterr().out == f"Your progress is forgotten: nothing of it is left in {place}.\n"
    assert files(place) == []
    records.progress("03_qkv")
    assert f"0 of {N}" in capsys.readouterr().out


def test_an_unknown_concept_is_refused(place):
    with pytest.raises(
        ValueError, match=r"there is no concept '3_qkv' with tasks; there are 00_overview, .*03_qkv"
    ):
        records.progress("3_qkv")


# --------------------------------------------------------------------------------------------- grading


def test_a_grader_keeps_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path))
    config = PyFileConfigLoader(str(ROOT / "nbgrader_config.py")).load_config()
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("import os; print(os.environ['COURSE_PROGRESS'])")]
    )
    graded, _ = Execute(config=config).preprocess(notebook, {"metadata": {"path": str(tmp_path)}})
    assert graded.cells[0].outputs[0].text == "off\n"
