"""Stands in for `batch.grade_one` in workers: some students' work kills them."""

import dataclasses
import os
import signal

from course_lib.grading.batch import Settings, Work
from course_lib.grading.judge import not_run
from course_lib.grading.outcome import Outcome, Status


def grade_one(work: Work, settings: Settings) -> Outcome:
    """Kill this process where the student's name says so."""
    if work.student.startswith("deadly"):
        os.kill(os.getpid(), signal.SIGKILL)
    return dataclasses.replace(not_run(work.student, work.source, ""), status=Status.GRADED)
