"""Grade submissions of the exercises.

python -m course_lib.grading autograde 03_qkv          in an nbgrader course folder, after `nbgrader collect`
python -m course_lib.grading folder SOURCE SUBMISSIONS OUT      without nbgrader: notebooks in, pages out
python -m course_lib.grading variant SOURCE OUT        hidden tests anew, from a secret
python -m course_lib.grading doctor                    which isolation this machine offers
"""

import argparse
import gc
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from course_lib.grading import batch
from course_lib.grading.intake.handed_in import Work
from course_lib.grading.judging import judge
from course_lib.grading.results.outcome import Outcome, one_line
from course_lib.grading.walls import engines, sandbox

if TYPE_CHECKING:
    from course_lib.grading import assignments

ALL_RIGHTS = "--students-may-read-and-change-everything-here"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command."""
    chosen = parser().parse_args(arguments)
    try:
        chosen.run(chosen)
    except (ValueError, sandbox.NoIsolation) as error:
        sys.exit(f"Nothing was graded. {error}" if chosen.grades else str(error))
    except KeyboardInterrupt:
        if getattr(chosen, "again", False):
            sys.exit("Stopped. What was graded is kept. The same command starts anew, because of --again.")
        sys.exit("Stopped. The same command goes on from here." if chosen.grades else "Stopped.")
    except (OSError, judge.CannotStart) as error:  # no right to write, no room
        sys.exit(f"Stopped. {error}\nWhat was graded before is kept." if chosen.grades else str(error))


def parser() -> argparse.ArgumentParser:
    """What the commands take."""
    whole = argparse.ArgumentParser(
        prog="python -m course_lib.grading",
        description="Grade submissions of the exercises.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    grade = commands.add_parser("autograde", help="grade what nbgrader has collected, into its grade book")
    grade.add_argument("assignment", help="such as 03_qkv")
    grade.add_argument(
        "--course", type=Path, default=Path(), help="nbgrader's course folder, if not this one"
    )
    grade.add_argument("--student", action="append", default=[], help="only this one; may be repeated")
    grade.add_argument("--again", action="store_true", help="also what has not changed since it was graded")
    grade.set_defaults(run=run_autograde, grades=True)
    folder = commands.add_parser("folder", help="grade a folder of notebooks: a table and pages come out")
    folder.add_argument("source", type=Path, help="the notebook with solutions and hidden tests, or a folder")
    folder.add_argument("submissions", type=Path, help="with STUDENT.ipynb or STUDENT/NOTEBOOK.ipynb")
    folder.add_argument("out", type=Path, help="for grades.csv, summary.txt and feedback/")
    folder.set_defaults(run=run_folder, grades=True)
    for command in (grade, folder):
        command.add_argument("--workers", type=int, help="processes side by side, if not as many as cores")
        command.add_argument("--engine", help="the kind of isolation, if not the best: see doctor")
        command.add_argument(
            ALL_RIGHTS,
            dest="unsafe",
            action="store_true",
            help="grade without isolation: code of submissions then has all your rights",
        )
    new = commands.add_parser("variant", help="the same tasks with hidden tests from a secret")
    new.add_argument("source", type=Path, help="folder with the notebooks of the source")
    new.add_argument("out", type=Path, help="folder to write")
    new.add_argument("--secret", help="any text; the same gives the same tests; drawn anew if not given")
    new.set_defaults(run=run_variant, grades=False)
    doctor = commands.add_parser("doctor", help="say which isolation this machine offers")
    doctor.set_defaults(run=run_doctor, grades=False)
    return whole


# --------------------------------------------------------------------------------------------- the commands


def run_autograde(chosen: argparse.Namespace) -> None:
    """Grade into nbgrader's grade book."""
    from course_lib.grading import assignments  # here, because nbgrader is slow to import

    gc.freeze()  # all of that stays: else Python looks through it again and again
    done = assignments.autograde(
        chosen.course, chosen.assignment, runner(chosen), students=chosen.student, again=chosen.again
    )
    tell(done)


def run_folder(chosen: argparse.Namespace) -> None:
    """Grade a folder.

    Raises: ValueError: this is done in a folder in which students' files are.
    """
    from course_lib.grading import assignments  # as above

    if Path.cwd().is_relative_to(chosen.submissions.resolve()):
        raise ValueError(
            f"start the command outside {chosen.submissions.resolve()}: Python takes modules from the folder "
            "that it is started in, and a student's folder may have the name of one"
        )
    done = assignments.grade_folder(chosen.source, chosen.submissions, chosen.out, runner(chosen))
    tell(done)
    say(f"Written: {chosen.out}/grades.csv, summary.txt and feedback/")


def run_variant(chosen: argparse.Namespace) -> None:
    """Write a variant."""
    from course_lib.grading.variant import variant  # as above

    made = variant(chosen.source, chosen.out, chosen.secret)
    say(f"{len(made.changed)} tests have other hidden seeds in {chosen.out}")
    if made.kept:
        say(f"These have no hidden seed and are as they were: {', '.join(made.kept)}")
    say(f"The secret, for the same variant again: {made.secret}")


def run_doctor(chosen: argparse.Namespace) -> None:
    """Say what this machine offers."""
    say(engines.doctor())


def runner(chosen: argparse.Namespace) -> "assignments.Run":
    """What grades, by the options of a command, and shows how far it is."""
    settings = batch.Settings(engine=engines.choose("none" if chosen.unsafe else chosen.engine))

    def run(works: Sequence[Work]) -> Generator[tuple[Work, Outcome], None, None]:
        graded = batch.grade_works(works, workers=chosen.workers, settings=settings)
        yield from tqdm(graded, total=len(works), unit=" notebooks", disable=None)

    return run


def tell(done: "assignments.Done") -> None:
    """The summary."""
    from course_lib.grading import reports  # as above

    say(f"{done.n_new} graded now, {len(done.outcomes) - done.n_new} before")
    say(reports.summary(done.outcomes).rstrip())
    for note in done.notes:
        say(one_line(note))


def say(text: str) -> None:
    """One line or more for the terminal, with escapes for letters that it does not have."""
    encoding = sys.stdout.encoding
    sys.stdout.write(f"{text}\n".encode(encoding, "backslashreplace").decode(encoding))


if __name__ == "__main__":
    main()
