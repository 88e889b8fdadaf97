"""What notebooks ask for every day and a grader does not have: a sentence says so, and the cell goes on.

A shell line, a package, a file, the network: whoever wrote the notebook had them, and an answer that does not
need them shall not suffer. This is no wall. The same is said with every engine.
"""

import bdb
import dis
import functools
import multiprocessing.synchronize
import os
import re
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.text import LSString, SList

from course_lib.checks.attempt import said_by
from course_lib.checks.call import own_line

WHEN = "while answers are graded"
INSTALLERS = ("conda", "mamba", "micromamba", "pip", "uv")
WATCHERS = ("debug", "prun", "time")  # what only looks at the code below it

# What Python says that it is about to do (its "audit events") -> what is raised instead.
REFUSED: dict[str, tuple[type[Exception], str]] = {
    "builtins.input": (EOFError, f"nobody types an answer {WHEN}"),
    "socket.getaddrinfo": (PermissionError, f"there is no network {WHEN}"),
    "subprocess.Popen": (PermissionError, f"no other program runs {WHEN}"),
}
# What a statement raises that asks for a file, a program, the network, a package or a person.
ABSENT = (OSError, ImportError, EOFError, bdb.BdbQuit)
GPU = r"CUDA|NVIDIA|\bmps\b"  # is in the words where there is none


def say(what: str, more: str = "") -> None:
    """Say in the cell's output that something does nothing."""
    sys.stdout.write(f"{what[:200].strip()} does nothing {WHEN}{more and ': ' + more[:200].rstrip('.')}.\n")


class ConfinedShell(InteractiveShell):
    """IPython without what is around it on a learner's own machine."""

    left_out: frozenset[str] = frozenset()  # names that statements would have bound that did not run

    def system(self, cmd: str) -> None:
        """`!ls`, `%ls`."""
        say(f"!{cmd}")

    system_piped = system_raw = system

    def getoutput(self, cmd: str, split: bool = True, depth: int = 0) -> Any:
        """`x = !ls`, `!!ls`: what a command shows is empty."""
        say(f"!{cmd}")
        return SList() if split else LSString()

    def run_line_magic(self, magic_name: str, line: str, _stack_depth: int = 1) -> Any:
        """A magic that fails costs nothing else."""
        whole = f"%{magic_name} {line}"
        if magic_name in INSTALLERS:
            return say(whole)
        if "InlineBackend.figure_format" in whole:
            return say(whole, "figures are PNG pictures")
        try:
            return super().run_line_magic(magic_name, _once(magic_name, line), _stack_depth + 1)
        except Exception as error:
            return say(whole, said_by(error))

    def run_cell_magic(self, magic_name: str, line: str, cell: str) -> Any:
        """As above; the code below a magic that is not there runs without it."""
        if magic_name in WATCHERS or self.find_cell_magic(magic_name) is None:
            say(f"%%{magic_name}", "the code below it runs without it")
            self.run_cell(cell)
            return None
        try:
            return super().run_cell_magic(magic_name, _once(magic_name, line), cell)
        except Exception as error:
            return say(f"%%{magic_name}", said_by(error))

    def enable_matplotlib(self, gui: str | None = None) -> Any:
        """Figures are pictures, whatever was asked for."""
        if gui not in (None, "inline"):
            say(f"%matplotlib {gui}", "figures are pictures")
        return super().enable_matplotlib("inline")

    async def run_code(self, code_obj: CodeType, result: Any = None, *, async_: bool = False) -> bool:
        """Run a statement of a cell; say whether the cell ends with it.

        One that asks for what is not there is left out, and so is one that uses what that would have bound.
        """
        speak_in_torch()
        ends: bool = await super().run_code(code_obj, result, async_=async_)
        error = getattr(result, "error_in_exec", None) if ends else None
        if error is None or not self.asks_for_the_absent(error):
            return ends
        steps = dis.get_instructions(code_obj)
        self.left_out |= {step.argval for step in steps if step.opname == "STORE_NAME"}
        why = said_by(error)[:200] or type(error).__name__
        sys.stdout.write(f"Left out {WHEN}, {own_line(error) or 'a line'}: {why}\n")
        return False

    def asks_for_the_absent(self, error: BaseException | None) -> bool:
        """Whether a statement that ends with this error is left out."""
        if isinstance(error, NameError):
            return error.name in self.left_out
        return isinstance(error, ABSENT) or (error is not None and bool(re.search(GPU, said_by(error))))

    def showtraceback(self, *values: Any, **named: Any) -> None:
        """Show an error, but for one of which a sentence is said."""
        if not (named.get("running_compiled_code") and self.asks_for_the_absent(sys.exception())):
            super().showtraceback(*values, **named)


def _once(magic_name: str, line: str) -> str:
    """What a magic is given: `timeit` shall not take seconds where nobody asks for a number of times."""
    asks = re.match(r"\s*-\w*[nr]", line)
    return f"-n 1 -r 1 {line}" if magic_name == "timeit" and not asks else line


# --------------------------------------------------------------------------------- in Python and its packages


def speak() -> None:
    """From now on what is not there says so, in this process and in all that are forked from it."""
    sys.addaudithook(_refuse)
    sys.breakpointhook = lambda *values, **named: say("breakpoint()")
    os.system = _no_command
    lock: Any = multiprocessing.synchronize.SemLock
    lock.__init__ = _no_processes


def speak_in_torch() -> None:
    """The same of torch, as soon as it is there."""
    torch: Any = sys.modules.get("torch")
    if getattr(torch, "compile", _uncompiled) is not _uncompiled:
        torch.compile = _uncompiled
        torch.set_num_interop_threads = lambda number: say(f"torch.set_num_interop_threads({number})")
        loader = torch.utils.data.DataLoader
        loader.__init__ = _without_workers(loader.__init__)


def _refuse(event: str, values: tuple[Any, ...]) -> None:
    if event in REFUSED:
        kind, words = REFUSED[event]
        raise kind(words)


def _no_command(command: Any) -> int:
    say(f"os.system({command!r})")
    return 0


def _no_processes(*values: Any, **named: Any) -> None:
    raise PermissionError(f"multiprocessing does not work {WHEN}")


def _uncompiled(model: Any = None, **options: Any) -> Any:
    say("torch.compile", "the code runs as it is")
    return (lambda function: function) if model is None else model


def _without_workers(make: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(make)
    def made(self: Any, *values: Any, **named: Any) -> None:
        make(self, *values, **named)
        if self.num_workers:
            say(f"num_workers={self.num_workers}", "one process loads the data")
            self.num_workers = self.timeout = 0

    return made
