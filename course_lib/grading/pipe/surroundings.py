"""What a test and the answers that it calls share beside values: files, and random numbers.

Each has a folder of its own, and with each question and each answer goes what has changed in it. Where the
test sets a seed, the answer draws from there on; what an answer does to its generators never comes back, so
it cannot know what the test draws next.
"""

import contextlib
import os
import pickle
import random
import shutil
import sys
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from course_lib.grading.pipe.states import draws, restore, state_of
from course_lib.grading.walls.share import BESIDE

SMALL = 2**16  # bytes; of larger files a new time or size says that they have changed
MOST = 32 * 2**20  # bytes of files that travel at once

Seen = tuple[int, int, int]
Files = dict[str, np.ndarray | None]  # the bytes of each; None: it is there no more
Told = tuple[list[Any] | None, Files]


class Surroundings:
    """Those of this process; files whose names begin with a dot are its own."""

    def __init__(self) -> None:
        self.own: set[str] = set()  # files that the other side never changes
        self.files = _look()
        self.drawn = b""  # the states of generators that both know

    def told(self) -> Told:
        """What a test's process tells with a question: generators, if the test has drawn or set a seed."""
        states = [state_of(one, None) for one in draws()]
        is_known = pickle.dumps(states) == self.drawn
        self.drawn = pickle.dumps(states)
        return None if is_known else states, self._changed()

    def take(self, told: Told) -> None:
        """What came of it, in a submission's process."""
        states, files = told
        for generator, state in zip(draws(), states or (), strict=False):
            restore(generator, state)
        self.drawn = pickle.dumps([state_of(one, None) for one in draws()])
        self._write(files)

    def answered(self) -> dict[str, Any]:
        """What a submission's process tells with its answer."""
        has_drawn = pickle.dumps([state_of(one, None) for one in draws()]) != self.drawn
        return {"files": self._changed(), "has_drawn": has_drawn}

    def take_answer(self, files: Files, has_drawn: bool) -> None:
        """What came of that; generators go on from another place, so that a seed set again is seen."""
        self._write(files)
        if has_drawn:
            random.random()
            np.random.random()  # noqa: NPY002
            if "torch" in sys.modules:
                sys.modules["torch"].rand(())
            self.drawn = pickle.dumps([state_of(one, None) for one in draws()])

    def _changed(self) -> Files:
        """The files that have changed since this was asked, or since the other side changed them."""
        now, room = _look(), MOST
        files: Files = dict.fromkeys(self.files.keys() - now.keys())
        for name, seen in now.items():
            if self.files.get(name) != seen and seen[1] <= room:
                room -= seen[1]
                files[name] = np.fromfile(name, np.uint8)
        self.files = now
        return files

    def _write(self, files: Files) -> None:
        """Write what the other side has changed, which may say anything."""
        for name, content in files.items():
            parts = PurePosixPath(name).parts
            is_ours = "/".join(parts) in self.own or any(part.startswith(".") for part in parts)
            if not parts or parts[0] == "/" or is_ours:
                continue
            with contextlib.suppress(OSError, ValueError):
                if content is None:
                    os.unlink(name)
                else:
                    Path(name).parent.mkdir(parents=True, exist_ok=True)
                    Path(name).write_bytes(np.asarray(content, np.uint8).tobytes())
        if files:
            self.files = _look()


def _look() -> dict[str, Seen]:
    """What tells of each file whether it has changed."""
    found = {}
    for folder, inner, names in os.walk("."):
        inner[:] = [name for name in inner if not name.startswith(".")]
        for name in names:
            path = os.path.normpath(os.path.join(folder, name))
            if not name.startswith(".") and os.path.isfile(path) and not os.path.islink(path):
                with contextlib.suppress(OSError):
                    found[path] = _seen(path)
    return found


def _seen(path: str) -> Seen:
    state = os.stat(path)
    code = zlib.crc32(Path(path).read_bytes()) if state.st_size <= SMALL else 0
    return state.st_mtime_ns, state.st_size, code


def bring() -> None:
    """Copy the files that the source brings into the working folder."""
    place = Path(__file__).parents[3] / BESIDE
    if place.is_dir():
        shutil.copytree(place, ".", dirs_exist_ok=True)
