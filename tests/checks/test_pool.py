"""Answers by people who had not seen the checks: right ones are accepted, wrong ones refused."""

import pool_asking
import pool_by_hand
import pool_chains
import pool_depth
import pool_heads
import pool_in_torch
import pool_my_transformer
import pool_parts
import pool_patches
import pool_places
import pool_recurrence
import pool_rotation
import pool_second
import pool_tokens
import pool_weights
import pool_writing
import pytest
from task_cases import VISIBLE, without_finale

from course_lib.checks import examine, task_names

POOLS = {
    "01_tokens": pool_tokens.POOL,
    "02_patches": pool_patches.POOL,
    "03_qkv": [*pool_by_hand.POOL, *pool_in_torch.POOL, *pool_second.POOL],
    "04_multi_head": pool_heads.POOL,
    "05_positions": [*pool_places.POOL, *pool_rotation.POOL],
    "06_residuals": [*pool_parts.POOL, *pool_depth.POOL],
    "07_mlm_vs_next_token": [*pool_asking.POOL, *pool_writing.POOL],
    "08_rnn_comparison": [*pool_recurrence.POOL, *pool_chains.POOL],
    "09_real_models": [*pool_weights.POOL, *pool_my_transformer.POOL],
}
# Concept -> right and wrong answers to each task, at least.
ENOUGH = {
    "01_tokens": (4, 5),
    "02_patches": (4, 5),
    "03_qkv": (6, 12),
    "04_multi_head": (4, 5),
    "05_positions": (4, 5),
    "06_residuals": (4, 5),
    "07_mlm_vs_next_token": (4, 5),
    "08_rnn_comparison": (4, 5),
    "09_real_models": (4, 5),
}
# The real model is slow, and the answers of 03 are those of `attention`.
TASKS = [name for name in task_names() if name.split("/")[0] in POOLS and name != "03_qkv/real_model"]


def judged(name, verdict):
    """What the check says of the answers to a task that are safe to run here, and how many there must be."""
    concept, short = name.split("/")
    answers = [one for one in POOLS[concept] if (one.task, one.verdict, one.harm) == (short, verdict, "")]
    assert len(answers) >= ENOUGH[concept][verdict == "wrong"]
    return {one.words: examine(without_finale(name), one.given, seed=VISIBLE) for one in answers}


@pytest.mark.parametrize("name", TASKS)
def test_right_answers_of_the_pool_are_accepted(name):
    results = judged(name, "right")
    assert {words: result.problem for words, result in results.items() if not result.passed} == {}


@pytest.mark.filterwarnings("ignore:overflow encountered", "ignore:invalid value encountered")
@pytest.mark.filterwarnings("ignore:divide by zero encountered", "ignore:nothing to attend to")
@pytest.mark.parametrize("name", TASKS)
def test_wrong_answers_of_the_pool_are_refused(name):
    results = judged(name, "wrong")
    assert [words for words, result in results.items() if result.passed] == []
    assert all(result.problem for result in results.values())
