"""A task that ends in a real model is right without it, too, and one sentence says what is missing."""

import importlib
import re

import pytest

from course_lib.checks import examine, find_task, task_names

pytestmark = pytest.mark.usefixtures("own_errors", "smollm2_missing", "minilm_missing")
# They end in a training, or with what is drawn here.
TRAINED = (
    "02_patches/digit_reader",
    "02_patches/neighbours_alike",
    "07_mlm_vs_next_token/recipe_of",
    "08_rnn_comparison/recall_race",
)
TASKS = [name for name in task_names() if find_task(name).finale and name not in TRAINED]


@pytest.mark.parametrize("task", TASKS)
def test_one_sentence_says_what_is_missing(task):
    right = importlib.import_module("course_lib.concepts.c{}.answers.{}".format(*task.split("/"))).RIGHT
    result = examine(find_task(task), right[0])
    assert result.passed
    assert re.fullmatch(
        r"Here (SmolLM2|MiniLM) would .+, but it is missing: \1 is not installed; "
        r"from the course folder run: this",
        result.detail,
    )
