"""What a check finds out beside a submission's code: results alone, or it is said to be taken on trust."""

import re
from pathlib import Path

from course_lib.checks import find_task, task_names
from course_lib.checks.kinds import Task

CHAPTER = (Path(__file__).parents[2] / "workshop" / "grading.md").read_text("utf-8")
TASKS = {name: find_task(name) for name in task_names()}
ADAPTED = {name for name, task in TASKS.items() if task.adapt is not Task.adapt}
# These call an answer in their own way, and what comes of it is the result: numbers that depend on the
# weights that a case puts in, or a sign for a ValueError.
RESULTS_ALONE = {
    "02_patches/digit_reader",
    "03_qkv/self_attention",
    "04_multi_head/multi_head",
    "05_positions/learned_positions",
    "09_real_models/chat_template",
}


def test_what_is_found_out_beside_an_answer_is_no_more_than_results_stays_outside_or_is_named():
    outside = {name for name, task in TASKS.items() if task.outside}
    on_trust = {name for name, task in TASKS.items() if task.on_trust}
    assert outside | on_trust | RESULTS_ALONE == ADAPTED
    assert len(ADAPTED) == len(outside) + len(on_trust) + len(RESULTS_ALONE)


def test_the_chapter_names_all_that_is_taken_on_trust():
    _, _, promised = CHAPTER.partition("## What is not promised")
    named = dict(re.findall(r"^  \| `(\w+/\w+)` \| (.+) \|$", promised, re.MULTILINE))
    assert named == {name: task.on_trust for name, task in TASKS.items() if task.on_trust}
