"""What a killed run leaves behind: temporary folders, which the next run removes.

A run that ends in any other way removes its own.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "course-grading-"


class OwnFolder:
    """A temporary folder that is locked for as long as its process lives, however that ends.

    The lock is the kernel's (flock(2)): it goes with the process, and holds between containers that share a
    folder, where the number of a process says nothing.
    """

    def __init__(self) -> None:
        remove_folders()
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
            try:
                self._handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:  # another run took it for a left one
                continue
            fcntl.flock(self._handle, fcntl.LOCK_EX)
            if self.path.exists():  # else it was taken between the two
                return
            os.close(self._handle)

    def remove(self) -> None:
        """Remove the folder, and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._handle)


def remove_folders() -> None:
    """Remove our temporary folders whose processes were killed; never another user's."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # another user's, a file, or gone
            continue
        try:
            if os.fstat(handle).st_uid == os.geteuid():
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
        except OSError:  # its process lives, or this file system has no locks
            continue
        finally:
            os.close(handle)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process is here with this folder; go on where the file system has no locks."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
