"""Collecting from nbgrader's exchange folder, where every learner may write.

nbgrader takes a submission's word for whose it is: with `nbgrader submit --student=ada` anybody hands in as
ada, and the newest one counts. It also follows links, so that a link to the solutions would be collected as
an answer. This collects what its owner handed in, and of that only files. In nbgrader_config.py:

    c.ExchangeFactory.collect = "course_lib.grading.exchange.Collect"

Owners are those of the file system. Where all learners are one user to it, as in some hubs whose servers are
containers, nothing can be told apart: there `c.ExchangeCollect.check_owner = False` says so.
"""

import fnmatch
import os
import pwd
import shutil
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from nbgrader.exchange.default import ExchangeCollect

from course_lib.grading.results.outcome import one_line

Wanted = Callable[[str, int], bool]
PIECE = 1 << 20  # bytes that are copied at a time
MOST_NAMES = 10_000  # of files and folders of one submission; an empty file takes room too
DEEPEST = 50  # folders in folders
MOST_SAID = 10  # of what is left out of one submission


def owner_of(path: str | Path) -> str:
    """The name of the user who owns a file, a folder or a link itself; "user 1234" where it has no name."""
    number = os.lstat(path).st_uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


class Collect(ExchangeCollect):
    """nbgrader's collecting, without what somebody else handed in, and without links, pipes and devices."""

    src_records: list[dict[str, Any]]

    def _path_to_record(self, path: str) -> dict[str, Any]:
        """What a folder's name says, and why it is refused, if it is.

        A refused one gets a user of its own, so that it never competes with the real one's.
        """
        try:
            record: dict[str, Any] = super()._path_to_record(path)
        except (ValueError, OverflowError):
            name, no_time = os.path.basename(path), "its name holds no time"
            return {"username": path, "filename": name, "timestamp": datetime.min, "refused": no_time}
        owner = owner_of(path)
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            record["refused"] = "it is no folder"
        elif not record["username"]:
            record["refused"] = "its name holds no student"
        elif self.check_owner and owner != record["username"]:
            record["refused"] = f"it is owned by {owner}, not by {record['username']}"
        if "refused" in record:
            record["username"] = path
        return record

    def init_src(self) -> None:
        """Find the newest submission of each user; name those that are refused."""
        super().init_src()
        for record in self.src_records:
            if "refused" in record:
                self.log.error("Not collected: %s", one_line(f"{record['filename']}: {record['refused']}"))
        self.src_records = [record for record in self.src_records if "refused" not in record]

    def do_copy(self, src: str, dest: str, log: Any = None) -> None:
        """Copy the files of a submission; one that cannot be copied is named, and the others go on."""
        try:
            skipped = copy_files(Path(src), Path(dest), self._wanted, 1000 * self.coursedir.max_dir_size)
        except (OSError, ValueError) as error:
            self.log.error("Not collected: %s", one_line(f"{src}: {error}"))
            shutil.rmtree(dest, ignore_errors=True)
            return
        for name in skipped[:MOST_SAID]:
            self.log.warning("Left out of %s", one_line(f"{src}: {name}"))
        if len(skipped) > MOST_SAID:
            self.log.warning("Left out of %s: and %d more", one_line(src), len(skipped) - MOST_SAID)

    def _wanted(self, name: str, size: int) -> bool:
        """Whether the course's settings want a file."""
        folders = self.coursedir
        ignored = any(fnmatch.fnmatch(name, pattern) for pattern in folders.ignore)
        included = any(fnmatch.fnmatch(name, pattern) for pattern in folders.include)
        return included and not ignored and size <= 1000 * folders.max_file_size


def copy_files(src: Path, dest: Path, wanted: Wanted, max_bytes: int) -> list[str]:
    """Copy a folder that somebody else owns and may be changing: its files, no links, pipes or devices.

    Args:
        wanted: Takes a name and a size in bytes, says whether to copy such a file.
        max_bytes: Of all files together.
    Returns: What was left out, by its name within the folder.
    Raises:
        OSError: something cannot be read or written.
        ValueError: the files are more than `max_bytes`, or too many, or in too many folders in folders.
    """
    skipped = []
    n_names = 0
    for folder, names, files, handle in os.fwalk(src, follow_symlinks=False):
        within = Path(folder).relative_to(src)
        n_names += len(names) + len(files)
        if n_names > MOST_NAMES:
            raise ValueError(f"it has more than {MOST_NAMES:,} files and folders")
        if len(within.parts) > DEEPEST:
            raise ValueError(f"its folders stand more than {DEEPEST} deep in each other")
        names[:] = [name for name in names if wanted(name, 0)]
        (dest / within).mkdir(parents=True, exist_ok=True)
        owner = os.fstat(handle).st_uid
        for name in files:
            size = _copy_file(handle, name, owner, dest / within / name, wanted, max_bytes)
            max_bytes -= size or 0
            if size is None:
                skipped.append(str(within / name))
    return skipped


def _copy_file(folder: int, name: str, owner: int, dest: Path, wanted: Wanted, max_bytes: int) -> int | None:
    """Copy one file of an open folder; return its size in bytes, or None where it is left out."""
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:  # a link, a socket, a device without its driver
        return None
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        # A file of another owner came here as a hard link.
        if not stat.S_ISREG(status.st_mode) or status.st_uid != owner or not wanted(name, status.st_size):
            return None
        if status.st_size > max_bytes:
            raise ValueError(f"its files are larger than max_dir_size; {name} has {status.st_size:,} bytes")
        with open(dest, "xb") as copy:
            left = status.st_size
            while left > 0 and (piece := file.read(min(PIECE, left))):
                copy.write(piece)
                left -= len(piece)
    return status.st_size
