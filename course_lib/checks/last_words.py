"""A check that never came to its end: the learner's code may have killed the kernel.

While a check runs, a small file in the learner's folder holds the task's name. Its kernel keeps it locked: a
later check that finds it there without a lock knows that the kernel is gone, and which task it was.
"""

import contextlib
import secrets
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from course_lib.checks import records


def unfinished() -> str:
    """A sentence about a check that never came to its end, where there is one; else nothing. Said once."""
    place = records.folder()
    notes = sorted(place.glob("checking*.txt")) if place else []
    task = next(filter(None, map(_left_behind, notes)), "")
    if not task:
        return ""
    return (
        f"The last check, of {task:.60}, did not come to its end: its kernel died or was stopped. If you did "
        "not stop it, your function did: torch and NumPy can be brought to read memory that is not theirs."
    )


def _left_behind(note: Path) -> str:
    """What a note says whose kernel is gone, and delete it; nothing where the kernel is still at work."""
    task = ""
    with contextlib.suppress(OSError):
        with note.open("r+", encoding="utf-8", errors="replace") as file:
            records.lock(file)
            task = file.read()
            file.truncate(0)  # another kernel may have opened it too
        note.unlink(missing_ok=True)
    return task


@contextlib.contextmanager
def noted(task: str) -> Iterator[None]:
    """Keep a note as long as a check of the task runs."""
    place = records.folder()
    if place is None:
        yield
        return
    note = place / f"checking-{secrets.token_hex(8)}.txt"
    file: FileIO | None = None
    with contextlib.suppress(OSError):  # a full disk is no reason not to check, nor is one without locks
        place.mkdir(parents=True, exist_ok=True)
        file = note.open("xb", buffering=0)
        records.lock(file)
        file.write(task.encode())
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if file:
                file.truncate(0)  # before its lock is gone: an empty note is nobody's death
                file.close()
            note.unlink(missing_ok=True)
