'''A task as it is written: one Python file, from which everything else about the task is made.

    """Split a width into heads.                  the title

    Each head works on its own piece ...          the text, in Markdown

    Hint: First give each vector two axes ...     one or more; the first gives least away
    """

    exercise = Exercise(level=1, minutes=6, section="Split, attend, join")

    @exercise.solution                            the answer cell: what stands between BEGIN and END SOLUTION
    def split_heads(x, n_heads): ...              is left for the learner to write

    @exercise.cases                               what it is tried on; inputs come from a generator
    def _(rng): ...

    @exercise.mistake("a bare reshape")           a wrong answer, and what is said to who has written it
    def _(x, n_heads): ...

    exercise.changed("the last head first", "The heads come in the wrong order ...", ("old", "new"))

What is right is what the solution gives. Words are read without running the file.
'''

import ast
import functools
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from course_lib.checks.kinds import Misconception, Property, Task, Words
from course_lib.checks.often import SAYS
from course_lib.checks.values import Parts

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
LEVELS = range(1, 5)


class TaskError(ValueError):
    """A task file cannot be used; the message says where and why."""


class Exercise:
    """What a file says of its task.

    Args:
        level: 1 fill one line, 2 a few lines, 3 a function with traps, 4 build it.
        minutes: of an honest beginner.
        section: of the concept's notebook.
        call: how the check calls it, for messages, where that is not plain from the solution's signature.
        forbidden: routines that would do the whole task, by their dotted names.
        results: more than one name: the function returns that many arrays.
        read: for answers that are no arrays, see `forms`.
        properties: what is true of every right result.
        tensor: the result must be a torch tensor, so that gradients can flow.
        seconds: for each call.
        outside: `adapt` reports facts that could be forged where a submission's code runs; so a grader keeps
            it outside, and plain values go in and come back.
        on_trust: what `adapt` finds out beside the results, in words, where it cannot stay outside.
        other_forms: try a case in float64, and one that is stored column by column, too.
    """

    def __init__(
        self,
        *,
        level: int,
        minutes: int,
        section: str,
        call: str = "",
        forbidden: tuple[str, ...] = (),
        results: tuple[str, ...] = ("result",),
        read: Callable[[Any], Parts] | None = None,
        properties: tuple[Property, ...] = (),
        tensor: bool = False,
        seconds: float = 5.0,
        outside: bool = False,
        on_trust: str = "",
        other_forms: bool = True,
    ) -> None:
        self._code: dict[str, Any] = {
            "results": results,
            "read": read,
            "properties": properties,
            "tensor": tensor,
            "seconds": seconds,
            "outside": outside,
            "on_trust": on_trust,
            "other_forms": other_forms,
        }
        self.answer: Any = None  # our solution
        self.other_reference: Callable[..., Any] | None = None
        self._mistakes: list[tuple[str, str, Callable[[], Any]]] = []  # name, words, how to make it

    # ------------------------------------------------------------------------------------------- decorators

    def solution(self, answer: T) -> T:
        """The function or class that a learner should write."""
        self.answer = answer
        return answer

    def reference(self, function: F) -> F:
        """Another way to what is right, where the solution is not the best to compare with."""
        self.other_reference = function
        return function

    def cases(self, function: F) -> F:
        """What it is tried on: from a NumPy generator to a list of `Case`."""
        self._code["cases"] = function
        return function

    def adapt(self, function: F) -> F:
        """From what the learner hands in to a function of a case's inputs."""
        self._code["adapt"] = function
        return function

    def finale(self, function: F) -> F:
        """Runs with the learner's answer when all cases have passed; yields what to show, text by text."""
        self._code["finale"] = function
        return function

    def mistake(self, name: str) -> Callable[[T], T]:
        """A wrong answer with a name, short, as one would call it in class.

        Its docstring is what is said; `often` has what many tasks say.
        """

        def add(wrong: T) -> T:
            self._mistakes.append((name, wrong.__doc__ or "", lambda: wrong))
            return wrong

        return add

    def changed(self, name: str, says: str, *changes: tuple[str, str]) -> Callable[..., Any]:
        """A mistake that is the solution but for some words.

        Args:
            name: as of `mistake`.
            says: what is said; empty: what `often` has for that name.
            changes: (old, new); each old text stands in the solution once.
        Returns: the wrong answer, for cases that must show it, and for tasks that use this one.
        """
        made = functools.cache(lambda: self._with(name, changes))
        self._mistakes.append((name, says, made))
        return lambda *args: made()(*args)

    # --------------------------------------------------------------------------------------------- building

    def task(self, words: Words) -> Task:
        """The task that can be checked.

        Raises: TaskError: something is missing, stands twice, does not exist or does not fit the solution.
        """
        if self.answer is None or "cases" not in self._code:
            lacks = "solution" if self.answer is None else "cases"
            raise TaskError(f"task {words.name!r} has no function marked @exercise.{lacks}")
        for routine in words.forbidden:
            try:
                pkgutil.resolve_name(routine)
            except (AttributeError, ImportError):
                raise TaskError(f"task {words.name!r} forbids {routine!r}, which does not exist") from None
        known = {}
        for name, says, make in self._mistakes:
            if name in known:
                raise TaskError(f"task {words.name!r} has a mistake {name!r} already")
            hint = " ".join((says or SAYS.get(name, "")).split())
            if not hint:
                raise TaskError(f"the mistake {name!r} of task {words.name!r} says nothing to the learner")
            known[name] = Misconception(name, hint, make())
        return Task(
            **vars(words),
            **self._code,
            reference=self.other_reference or self._code.get("adapt", lambda own: own)(self.answer),
            takes="class" if inspect.isclass(self.answer) else "function",
            misconceptions=tuple(known.values()),
            answer=self.answer,
        )

    def _with(self, name: str, changes: tuple[tuple[str, str], ...]) -> Any:
        """The solution with some words exchanged."""
        module = sys.modules[self.answer.__module__]
        source = without_marks(answer_cell(Path(str(module.__file__))))
        for old, new in changes:
            if source.count(old) != 1:
                raise TaskError(
                    f"the mistake {name!r} changes {old!r}, which stands {source.count(old)} times in the "
                    f"solution of {module.__name__}; expected once"
                )
            source = source.replace(old, new)
        scope = dict(vars(module))
        exec(compile(source, f"<{name}>", "exec"), scope)
        return scope[self.answer.__name__]


# ---------------------------------------------------------------------------------------------------- reading


def read_words(name: str, path: Path, notebook: str) -> Words:
    """What a learner reads about a task, from its file, which is not run.

    Raises: TaskError: the file has no such words; the message says where.
    """
    tree = _parsed(path)
    title, _, rest = (ast.get_docstring(tree) or "").partition("\n")
    text, *hints = re.split(r"^Hint: ", rest.strip(), flags=re.MULTILINE)
    if not title or not text or not hints:
        raise TaskError(f"{path.name}, line 1: a docstring with a title, a text and a hint is expected")
    call = _exercise_of(tree, path)
    fields: dict[str, Any] = {}
    for key in call.keywords:
        if key.arg in ("level", "minutes", "section", "call", "forbidden"):
            try:
                fields[key.arg] = ast.literal_eval(key.value)
            except ValueError:
                line = f"{path.name}, line {key.value.lineno}"
                raise TaskError(f"{line}: write {key.arg!r} out, since it is read without running") from None
    where = f"{path.name}, line {call.lineno}"
    if missing := [field for field in ("level", "minutes", "section") if not fields.get(field)]:
        raise TaskError(f"{where}: the exercise lacks {', '.join(missing)}")
    if fields["level"] not in LEVELS:
        raise TaskError(f"{where}: the level is 1 to 4; got {fields['level']!r}")
    fields.setdefault("call", _call_of(_solution_of(tree, path)))
    return Words(
        name=name,
        notebook=notebook,
        title=title,
        text=_unwrapped(text),
        hints=tuple(_unwrapped(hint) for hint in hints),
        **fields,
    )


def answer_cell(path: Path) -> str:
    """The solution of a task file with its marks, as the answer cell of its notebook has it.

    Raises: TaskError: there is none, or nothing is marked in it.
    """
    source = path.read_text(encoding="utf-8")
    node = _solution_of(_parsed(path), path)
    lines = source.split("\n")  # as Python counts them: `splitlines` splits at a form feed, too
    following = (other for other in _parsed(path).body if other.lineno > (node.end_lineno or 0))
    end = min((_first_line(other) for other in following), default=len(lines) + 1) - 1
    marks = [number for number in range(node.lineno, end + 1) if lines[number - 1].strip() == END]
    if not marks:
        raise TaskError(f"{path.name}, line {node.lineno}: mark what to leave out by {BEGIN} and {END}")
    return "\n".join(lines[node.lineno - 1 : max(marks[-1], node.end_lineno or 0)])


def without_marks(answer: str) -> str:
    """An answer cell as plain Python."""
    return "\n".join(line for line in answer.split("\n") if line.strip() not in (BEGIN, END))


def _unwrapped(text: str) -> str:
    """Each paragraph in one line; lists, tables and code keep theirs."""
    paragraphs = text.strip().split("\n\n")
    plain = [
        not re.search(r"^(- |\d+\. |[|>]|```|    )", paragraph, re.MULTILINE) for paragraph in paragraphs
    ]
    return "\n\n".join(
        " ".join(paragraph.split("\n")) if is_plain else paragraph
        for paragraph, is_plain in zip(paragraphs, plain, strict=True)
    )


@functools.lru_cache(maxsize=256)
def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_text(encoding="utf-8"), str(path))
    except SyntaxError as error:
        raise TaskError(f"{path.name}, line {error.lineno}: this is not Python: {error.msg}") from None


def _exercise_of(tree: ast.Module, path: Path) -> ast.Call:
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name("exercise")], value=ast.Call() as call):
                return call
    raise TaskError(f"{path.name}: `exercise = Exercise(...)` is expected")


def _solution_of(tree: ast.Module, path: Path) -> ast.FunctionDef | ast.ClassDef:
    defined = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    for node in defined:
        if any(ast.unparse(mark) == "exercise.solution" for mark in node.decorator_list):
            return node
    raise TaskError(f"{path.name}: a function or class marked @exercise.solution is expected")


def _first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(mark.lineno for mark in getattr(node, "decorator_list", []))])


def _call_of(node: ast.FunctionDef | ast.ClassDef) -> str:
    return f"{node.name}({ast.unparse(node.args)})" if isinstance(node, ast.FunctionDef) else node.name
