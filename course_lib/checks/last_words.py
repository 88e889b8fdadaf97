"""A check that never came to its end: the learner's code may have killed the kernel.

While a check runs, a small file in the learner's folder holds the task's name. The next check that finds it
there knows which task it was.
"""

import contextlib
from collections.abc import Iterator

from course_lib.checks import records

FILE = "checking.txt"


def unfinished() -> str:
    """A sentence about the last check, where it never came to its end; else nothing. It is said once."""
    place = records.folder()
    if place is None:
        return ""
    try:
        task = (place / FILE).read_text(encoding="utf-8")
        (place / FILE).unlink()
    except (OSError, UnicodeDecodeError):  # there is none
        return ""
    return (
        f"The last check, of {task:.60}, did not come to its end: its kernel died or was stopped. If you did "
        "not stop it, your function did: torch and NumPy can be brought to read memory that is not theirs."
    )


@contextlib.contextmanager
def noted(task: str) -> Iterator[None]:
    """Keep a note as long as a check of the task runs."""
    place = records.folder()
    if place is None:
        yield
        return
    with contextlib.suppress(OSError):  # a full disk is no reason not to check
        place.mkdir(parents=True, exist_ok=True)
        (place / FILE).write_text(task, encoding="utf-8")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            (place / FILE).unlink(missing_ok=True)
