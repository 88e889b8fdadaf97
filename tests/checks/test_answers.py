"""Every wrong answer is refused, a known mistake by its name; every correct one is accepted, at any seed."""

import math
import os
from itertools import pairwise

import answers_asking
import answers_by_hand
import answers_byte_pairs
import answers_chains
import answers_costs
import answers_depth
import answers_heads
import answers_images
import answers_in_torch
import answers_my_transformer
import answers_parts
import answers_places
import answers_recurrence
import answers_rotation
import answers_sound
import answers_warm_up
import answers_weights
import answers_word_vectors
import answers_writing
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from task_cases import VISIBLE, without_finale

from course_lib import probing
from course_lib.attention import scaled_dot_product_attention
from course_lib.blocks import TransformerStack
from course_lib.checks import examine, find_task, solution_source, task_names
from course_lib.checks.call import Call
from course_lib.decoder import GPT, GPTConfig
from course_lib.pretrained import SMOLLM2_SYSTEM

ANSWERS = (
    answers_warm_up,
    answers_byte_pairs,
    answers_word_vectors,
    answers_images,
    answers_sound,
    answers_by_hand,
    answers_in_torch,
    answers_heads,
    answers_costs,
    answers_places,
    answers_rotation,
    answers_parts,
    answers_depth,
    answers_asking,
    answers_writing,
    answers_recurrence,
    answers_chains,
    answers_weights,
    answers_my_transformer,
)
RIGHT = {task: answers for module in ANSWERS for task, answers in module.RIGHT.items()}
WRONG = {task: answers for module in ANSWERS for task, answers in module.WRONG.items()}

# So many seeds in every run. A new or changed task is tried at 300: COURSE_SEEDS=300 (all: ten minutes).
N_SEEDS = int(os.environ.get("COURSE_SEEDS", "5"))
# Wrong answers are tried at the check that a learner sees; where more seeds are asked for, at others too.
SEEDS_OF_WRONG = (VISIBLE, *range(100, 100 + N_SEEDS // 30))


@pytest.mark.parametrize(("task", "answer"), [(task, answer) for task in RIGHT for answer in RIGHT[task]])
def test_a_correct_answer_is_accepted(task, answer, accepts):
    # The real model is slow: the last answer meets it here, and ours where its notebook runs.
    accepts(task, answer, finale=answer is RIGHT[task][-1])


@pytest.mark.parametrize(
    ("task", "name", "answer"), [(task, name, answer) for task in WRONG for name, answer in WRONG[task]]
)
def test_a_wrong_answer_is_refused(task, name, answer, refuses):
    for seed in SEEDS_OF_WRONG:
        refuses(task, answer, name, seed)


@pytest.mark.parametrize("task", task_names())
def test_there_are_enough_answers(task):
    named = {name for name, _ in WRONG[task]} - {None}
    assert len(WRONG[task]) >= 10
    assert named == {misconception.name for misconception in find_task(task).misconceptions}
    assert len(named) >= 6
    assert len(RIGHT[task]) >= 4


# ----------------------------------------------------------------------------------------------- at any seed

# Whole models answer these, which is slow: a third of the seeds.
SLOW = {
    "06_residuals/logit_lens",
    "06_residuals/skip_layer",
    "06_residuals/identity_start",
    "06_residuals/depth_scaled_start",
    "08_rnn_comparison/recall_race",
}

# Four correct answers for each task, as different as they come and quick, run at all these seeds.
# Where none are named, these are the first four.
DIFFERENT = {
    "03_qkv/project": (1, 2, 3, 4),
    "03_qkv/scores": (0, 2, 3, 5),
    "03_qkv/softmax": (1, 2, 3, 5),
    "03_qkv/mix": (1, 2, 3, 4),
    "03_qkv/masked_weights": (1, 2, 3, 4),
    "03_qkv/attention": (1, 2, 3, 5),
    "03_qkv/cross_attention": (0, 1, 3, 4),
    "03_qkv/self_attention": (0, 2, 3, 4),
    "03_qkv/sees_later": (0, 1, 3, 4),
    "00_overview/linear_head": (1, 2, 3, 5),
    "00_overview/top_k": (1, 3, 4, 7),
}
FIRST_FOUR = (0, 1, 2, 3)

# Tasks whose solution calls the solutions of others.
BUILT_ON = {
    "03_qkv/real_model": ("attention",),
    "00_overview/sampler": ("temperature_softmax", "top_k"),
    "01_tokens/train_merges": ("count_pairs", "merge_pair"),
    "01_tokens/encode": ("merge_pair",),
    "01_tokens/tokenizer_at_work": ("encode",),
    "02_patches/digit_reader": ("patchify", "class_token_and_positions"),
    "07_mlm_vs_next_token/sampler_at_work": ("temperature", "top_p", "cached_step"),
    "04_multi_head/multi_head": ("split_heads", "join_heads"),
}


def our_solution(task):
    """The course's own answer, from the solution notebook."""
    names = {"math": math, "np": np, "torch": torch, "nn": torch.nn, "F": F, "pairwise": pairwise}
    names["TransformerStack"] = TransformerStack
    names["scaled_dot_product_attention"] = scaled_dot_product_attention
    names["probing"] = probing
    names |= {"GPT": GPT, "GPTConfig": GPTConfig, "SMOLLM2_SYSTEM": SMOLLM2_SYSTEM}
    for other in BUILT_ON.get(task, ()):
        names[other] = our_solution(f"{task.split('/')[0]}/{other}")
    known = set(names)
    exec(solution_source(task), names)
    return next(value for name, value in names.items() if name not in {*known, "__builtins__"})


def at_once(function, seconds):
    """As `call`, without a thread for each of 150,000 calls."""
    return Call(function())


@pytest.mark.parametrize("task", task_names())
def test_no_correct_answer_is_refused_at_any_seed(task, monkeypatch):
    monkeypatch.setattr("course_lib.checks.attempt.call", at_once)
    answers = [our_solution(task), *(RIGHT[task][i] for i in DIFFERENT.get(task, FIRST_FOUR))]
    for seed in range(N_SEEDS // 3 if task in SLOW else N_SEEDS):
        # At the check that a learner sees the others were tried above.
        for answer in answers[:1] if seed == VISIBLE else answers:
            result = examine(without_finale(task), answer, seed=seed)
            assert result.passed, f"seed {seed}, {answer}, {result.case}: {result.problem} {result.detail}"
