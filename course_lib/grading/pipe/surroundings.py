"""What a test and the answers that it calls share beside values: files, and random numbers.

Each has a folder of its own, and with each question and each answer goes what has changed in it. Where the
test sets a seed, the answer draws from there on; what an answer does to its generators never comes back, so
it cannot know what the test draws next. What else it changes, in its process, stays there and is noted.
"""

import contextlib
import decimal
import os
import pickle
import random
import shutil
import stat
import sys
import zlib
from collections.abc import Iterator
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
    """Those of this process."""

    def __init__(self) -> None:
        self.own: set[str] = set()  # files that the other side never changes
        self.place = os.getcwd()
        self.files, self.others = _look(self.place)
        self.drawn = b""  # the states of generators that both know
        self.stays: set[str] = set()  # what the other side has changed for itself alone

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

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Within, it is noted what an answer changes of its process."""
        before = _process()
        try:
            yield
        finally:
            self.stays = {"process"} if _process() != before else set()

    def answered(self) -> dict[str, Any]:
        """What a submission's process tells with its answer."""
        has_drawn = pickle.dumps([state_of(one, None) for one in draws()]) != self.drawn
        others = self.others
        files = self._changed()
        stays = self.stays | ({"files"} if self.others != others else set())
        return {"files": files, "has_drawn": has_drawn, "stays": list(stays)}

    def take_answer(self, files: Files, has_drawn: bool, stays: list[str]) -> None:
        """What came of that; generators go on from another place, so that a seed set again is seen."""
        self._write(files)
        self.stays.update(map(str, stays))
        if has_drawn:
            random.random()
            np.random.seed(np.random.randint(2**31))  # noqa: NPY002
            if "torch" in sys.modules:
                sys.modules["torch"].rand(())
            self.drawn = pickle.dumps([state_of(one, None) for one in draws()])

    def _changed(self) -> Files:
        """The files that have changed since this was asked, or since the other side changed them."""
        (now, self.others), room = _look(self.place), MOST
        files: Files = dict.fromkeys(self.files.keys() - now.keys())
        for name, seen in now.items():
            if self.files.get(name) != seen and seen[1] <= room:
                room -= seen[1]
                files[name] = np.fromfile(os.path.join(self.place, name), np.uint8)
        self.files = now
        return files

    def _write(self, files: Files) -> None:
        """Write what the other side has changed, which may say anything."""
        for name, content in files.items():
            parts = PurePosixPath(name).parts
            if not parts or parts[0] == "/" or ".." in parts or "/".join(parts) in self.own:
                continue
            with contextlib.suppress(OSError, ValueError):
                path = Path(self.place, name)
                if content is None:
                    path.unlink()
                else:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(np.asarray(content, np.uint8).tobytes())
        if files:
            self.files, self.others = _look(self.place)


def _look(place: str) -> tuple[dict[str, Seen], set[str]]:
    """What tells of each file whether it has changed; and all that is no plain file: links, empty folders."""
    found: dict[str, Seen] = {}
    others = set()
    for folder, inner, names in os.walk(place):
        if folder != place and not (inner or names):
            others.add(folder)
        for path in (Path(folder, name) for name in (*inner, *names)):
            with contextlib.suppress(OSError):
                state = path.lstat()
                is_file = stat.S_ISREG(state.st_mode)
                if is_file:
                    code = zlib.crc32(path.read_bytes()) if state.st_size <= SMALL else 0
                    found[str(path.relative_to(place))] = state.st_ctime_ns, state.st_size, code
                if state.st_nlink > 1 if is_file else not stat.S_ISDIR(state.st_mode):
                    others.add(str(path))
    return found, others


def _process() -> list[Any]:
    """What a process has besides: its folder, its environment, the settings of Python, NumPy and torch."""
    torch = sys.modules.get("torch")
    found: list[Any] = [dict(os.environ), list(sys.path), sys.getrecursionlimit(), decimal.getcontext().prec]
    found += [np.geterr(), np.get_printoptions()]
    found += [str(torch.get_default_dtype()), torch.is_grad_enabled()] if torch else ["torch.float32", True]
    with contextlib.suppress(OSError):  # the folder may be gone
        found.append(os.getcwd())
    return found


def bring() -> None:
    """Copy the files that the source brings into the working folder."""
    place = Path(__file__).parents[3] / BESIDE
    if place.is_dir():
        shutil.copytree(place, ".", dirs_exist_ok=True)
