"""What a learner has passed: one small file for each user, on this machine only.

    progress()                 what is passed and what is left, concept by concept
    progress("03_qkv")         one line about one concept
    progress(forget=True)      delete the file

A passed `check` keeps the task's name and the day in progress.json, in the user's data folder. Nothing is
sent anywhere. COURSE_PROGRESS names another folder; COURSE_PROGRESS=off (graders, tests) keeps nothing.
"""

import datetime
import html
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import platformdirs

from course_lib.checks import tasks
from course_lib.checks.show import show

FILE = "progress.json"
PATIENCE_S = 2.0  # another kernel holds the lock for milliseconds


def progress(concept: str | None = None, *, forget: bool = False) -> None:
    """Show what you have passed and what is left.

    Args:
        concept: such as "03_qkv", for one line about it; without it a table of all.
        forget: delete the file, and with it all that was kept.
    Raises:
        ValueError: there is no such concept.
    """
    if concept is not None and concept not in tasks.concepts():
        raise ValueError(
            f"there is no concept {concept!r} with tasks; there are {', '.join(tasks.concepts())}"
        )
    place = folder()
    if place is None:
        _say("" if concept else "Progress is not kept here: COURSE_PROGRESS is off.")
        return
    try:
        with _locked(place):
            if forget:
                _forget(place)
            done, notice = _read(place)
    except OSError as error:
        done, notice = {}, f"The file of your progress cannot be read: {error}"
    if forget:
        _say(notice or f"Your progress is forgotten: nothing of it is left in {place}.")
    elif concept is not None:
        _say(_joined(_line(concept, done), notice))
    else:
        show(_table_as_text(done, notice, place), _table_as_html(done, notice, place))


def passed(task: str) -> str:
    """Keep that a task was passed.

    Returns: one line about what is left in its concept; empty where nothing is kept.
    """
    place = folder()
    if place is None:
        return ""
    try:
        with _locked(place):
            done, notice = _read(place)
            if task not in done:
                done = {**done, task: datetime.date.today().isoformat()}
                _write(place, done)
    except OSError as error:  # a full disk is no reason to lose a pass
        return f"This could not be added to your progress: {error}"
    return _joined(_line(task.split("/")[0], done), notice)


def folder() -> Path | None:
    """Where the file is, whether or not it is there yet; None where nothing is kept."""
    named = os.environ.get("COURSE_PROGRESS", "")
    if named.lower() == "off":
        return None
    if named:
        return Path(named).expanduser()
    return platformdirs.user_data_path("transformer-course", appauthor=False)


# --------------------------------------------------------------------------------------------------- the file


def _read(place: Path) -> tuple[dict[str, str], str]:
    """What was passed, by task, on which day; and a sentence where the file was damaged and set aside."""
    path = place / FILE
    if not path.exists():
        return {}, ""
    done = _parse(path.read_bytes())
    if done is not None:
        return done, ""
    names = (place / f"progress.damaged{number}.json" for number in itertools.count(1))
    aside = next(name for name in names if not name.exists())
    os.replace(path, aside)
    return {}, f"The file of your progress was damaged. It is kept as {aside}, and a new one begins."


def _parse(content: bytes) -> dict[str, str] | None:
    try:
        done = json.loads(content)["passed"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(done, dict) or not all(isinstance(day, str) for day in done.values()):
        return None
    return done


def _write(place: Path, done: Mapping[str, str]) -> None:
    """Write a new file, then let it take the old one's place: a crash on the way leaves the old one."""
    new = place / f"{FILE}.new"
    with new.open("w", encoding="utf-8") as file:
        json.dump({"passed": done}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, place / FILE)


def _forget(place: Path) -> None:
    for path in place.glob("progress*.json*"):  # what was set aside too
        path.unlink()


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Let one kernel at a time read and write. It waits a little, never for ever."""
    place.mkdir(parents=True, exist_ok=True)
    with (place / "progress.lock").open("a") as file:
        deadline = time.monotonic() + PATIENCE_S
        while not _try_lock(file) and time.monotonic() < deadline:
            time.sleep(0.01)
        yield  # closing the file gives the lock back


def _try_lock(file: IO[str]) -> bool:
    try:
        lock(file)
    except (BlockingIOError, PermissionError):  # another kernel has it; the second is Windows's word for it
        return False
    except OSError:  # a file system without locks: go on, the new file still comes in one piece
        return True
    return True


def lock(file: IO[Any]) -> None:
    """Lock a file until it is closed, or its process ends.

    Raises: OSError: another process has locked it, or the file system has no locks.
    """
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


# ---------------------------------------------------------------------------------------------------- showing


def _line(concept: str, done: Mapping[str, str]) -> str:
    words = tasks.words(concept)
    left = [task for name, task in words.items() if name not in done]
    if not left:
        return f"{concept}: all {len(words)} tasks passed."
    title = left[0].title
    title = title if title.endswith("?") else f"{title}."
    return f"{concept}: {len(words) - len(left)} of {len(words)} tasks passed. Next: {title}"


def _heading(concept: str, done: Mapping[str, str]) -> str:
    words = tasks.words(concept)
    minutes = sum(task.minutes for name, task in words.items() if name not in done)
    n_passed = sum(name in done for name in words)
    return f"{concept}: {n_passed} of {len(words)} passed" + (f", {minutes} minutes left" if minutes else "")


def _rows(concept: str, done: Mapping[str, str]) -> list[tuple[str, str, str, str]]:
    """For each task its mark, title, notebook, and the day it was passed or what it will take."""
    rows = []
    for name, task in tasks.words(concept).items():
        home = f"exercises/{concept}/{task.notebook}.ipynb"
        if name in done:
            rows.append(("✓", task.title, home, f"passed on {done[name]}"))
        else:
            rows.append(("", task.title, home, f"left: level {task.level}, {task.minutes} minutes"))
    return rows


def _table_as_text(done: Mapping[str, str], notice: str, place: Path) -> str:
    lines = []
    for concept in tasks.concepts():
        rows = _rows(concept, done)
        width = max(len(title) for _, title, _, _ in rows)
        lines.append(_heading(concept, done))
        lines += [f"  {mark:1} {title:{width}}  {state}" for mark, title, _, state in rows]
    return "\n".join([*lines, _joined(notice, _closing(place))])


def _table_as_html(done: Mapping[str, str], notice: str, place: Path) -> str:
    parts = []
    for concept in tasks.concepts():
        parts.append(f'<tr><th scope="rowgroup" colspan="4">{html.escape(_heading(concept, done))}</th></tr>')
        for row in _rows(concept, done):
            parts.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>")
    caption = html.escape(_joined(notice, _closing(place)))
    style = "text-align: left; caption-side: bottom"
    return f'<table style="{style}"><caption>{caption}</caption>{"".join(parts)}</table>'


def _closing(place: Path) -> str:
    return f"Kept in {place / FILE}, nowhere else; progress(forget=True) deletes it."


def _say(sentence: str) -> None:
    if sentence:
        show(sentence, f"<p>{html.escape(sentence)}</p>")


def _joined(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)
