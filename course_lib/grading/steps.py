"""Our sandbox inside `nbgrader autograde` and formgrader's button, by the last lines of nbgrader_config.py.

nbgrader reads each notebook before it comes here, and names as an error one that it cannot read. The command
line of this package gives such a submission an outcome too, and is faster.
"""

import atexit
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_notebook
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets.log import get_logger

from course_lib.grading.intake.submission import Unreadable, read_bytes, read_cells
from course_lib.grading.results.gradebook import note, open_gradebook
from course_lib.grading.results.graded import cells_of, graded, release
from course_lib.grading.results.outcome import Outcome, must_be_right, one_line
from course_lib.grading.walls.engines import choose
from course_lib.grading.walls.sandbox import NoIsolation

Resources = dict[str, Any]

_kept = ExitStack()  # the graders, which live as long as nbgrader does
atexit.register(_kept.close)


@cache
def grader(source: Path) -> Any:
    """The grader of a source notebook, kept from one submission to the next.

    Raises: SystemExit: the source's own answers do not get all points.
    """
    from course_lib.grading.judging.judge import Grader  # here, because it brings torch

    made = _kept.enter_context(Grader(source))
    try:
        must_be_right(source, made.grade("the source", source))
    except ValueError as error:
        raise SystemExit(f"Nothing was graded. {error}") from None
    return made


def ready(*, assignment: str, student: str, notebooks: list[str]) -> None:
    """What nbgrader calls before it reads a student's notebooks: takes out those that it cannot or must not.

    A pipe would keep it waiting for ever, and a link leads to a file that is not the student's.

    Raises: SystemExit: submissions cannot be locked in here; with any other error nbgrader would go on.
    """
    try:
        choose()
    except NoIsolation as error:
        raise SystemExit(f"Nothing was graded. {error}") from None
    for name in list(notebooks):
        path = Path(name)
        try:
            if path.parent.is_symlink() or path.parent.parent.is_symlink():
                raise Unreadable("its folder is a link")
            read_cells(read_bytes(path))
        except Unreadable as error:
            get_logger().error("Left out: %s", one_line(f"{name}: {error}"))
            notebooks.remove(name)


class Empty(NbGraderPreprocessor):
    """Leaves nothing of a submission in the copy that nbgrader makes of it before grading.

    `Sandbox` reads the submission itself. nbgrader's own steps stop at a second cell of one name, at a mark
    that is no mark, and at text that is no Unicode.
    """

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        """Return an empty notebook."""
        return new_notebook(), resources


class Sandbox(NbGraderPreprocessor):
    """Grades the submission in the sandbox; nbgrader's next step reads the scores in its outputs.

    Takes the place of nbgrader's Execute. The test cells get the source that learners were given, so that
    feedback never shows a hidden test.
    """

    def preprocess(self, nb: NotebookNode, resources: Resources) -> tuple[NotebookNode, Resources]:
        """Grade one notebook; return it as it is shown after grading."""
        place, folders = resources["nbgrader"], self.folders()
        file = f"{place['notebook']}.ipynb"
        source = Path(folders.format_path(folders.source_directory, ".", place["assignment"])) / file
        submitted = folders.format_path(folders.submitted_directory, place["student"], place["assignment"])
        path = Path(submitted) / file
        outcome: Outcome = grader(source).grade(place["student"], path)
        self.log.info("%s, %s: %s. %s", place["student"], file, outcome.status, outcome.reason)
        shown, outcome = graded(release(source, self.config), cells_of(path), outcome)
        with closing(open_gradebook(place["db_url"], folders.course_id)) as book:
            note(book.db(), outcome)
            book.db().finish()
        return shown, resources

    def folders(self) -> CourseDirectory:
        """The folders of the course in which nbgrader runs."""
        converter = getattr(self.parent, "parent", None)
        return getattr(converter, "coursedir", None) or CourseDirectory(parent=self)
