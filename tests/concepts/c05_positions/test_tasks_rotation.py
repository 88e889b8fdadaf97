"""The tasks of 05_positions on rotation: what their solutions promise, and the reward's end."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from task_cases import cases_of

from course_lib import pretrained
from course_lib.attention import MultiHeadAttention
from course_lib.checks import WrongForm, examine, find_task, real_model
from course_lib.concepts.c05_positions.answers.depends_on_offset import scores
from course_lib.concepts.c05_positions.answers.rotation_at_work import OnlyNarrow, Tables
from course_lib.concepts.c05_positions.tasks.base_for_length import base_for_length
from course_lib.concepts.c05_positions.tasks.depends_on_offset import Placing, depends_on_offset
from course_lib.concepts.c05_positions.tasks.rotate_pairs import rotate_pairs
from course_lib.concepts.c05_positions.tasks.rotation_at_work import turned_by
from course_lib.concepts.c05_positions.tasks.to_interleaved import to_interleaved
from course_lib.positions import RotaryEmbedding, apply_rotary, rotary_at

pytestmark = pytest.mark.usefixtures("own_errors")

WORK = "05_positions/rotation_at_work"


cases = cases_of("05_positions")

# Known by how they are made, not by trying.
OFFSET_ALONE = {
    "neighbours turned, as in the paper",
    "left as it is",
    "the sign changes from place to place",
    "the numbers pushed round in a circle",
    "one pair turned, in which the key is 0",
}
LIMIT = 1e-3  # of two products that count as equal; the words say so


# ------------------------------------------------------------------------------------ references and inputs


@pytest.mark.parametrize("task", ["rotate_pairs", "rotation_at_work"])
def test_pairs_are_turned_as_by_the_library(task):
    for case in cases(task):
        x, start, base = (case.inputs[name] for name in ("x", "start", "base"))
        places = torch.arange(start, start + x.shape[2]).float()
        expected = apply_rotary(x, *rotary_at(places, x.shape[-1], base), interleaved=True)
        result = rotate_pairs(x, start, base)
        torch.testing.assert_close(result, expected, atol=1e-4, rtol=0, check_dtype=False)


def test_a_converted_layer_gives_the_same_scores_with_neighbours():
    """What the task's text promises, in the library's layer; the wrong order does not give them."""
    torch.manual_seed(0)
    x = torch.randn(2, 5, 30)
    theirs, ours = (
        MultiHeadAttention(30, 3, bias=False, rotary=RotaryEmbedding(10, 7, interleaved=interleaved))
        for interleaved in (False, True)
    )
    for change, same in ((to_interleaved, True), (to_halves, False)):
        ours.load_state_dict(theirs.state_dict())
        for projection in (ours.q_proj, ours.k_proj):
            projection.weight.data = change(projection.weight.data, 3)
        assert torch.allclose(ours(x), theirs(x), atol=1e-6) == same


def to_halves(weight, n_heads):
    """The way back."""
    return weight.unflatten(0, (n_heads, -1, 2)).transpose(1, 2).flatten(0, 2)


@pytest.mark.parametrize("seed", range(30))
def test_every_way_shows_whether_the_offset_alone_counts(seed):
    """Rounding stays far below the limit that the text names, and what is wrong lies far above it."""
    for case in find_task("05_positions/depends_on_offset").cases(np.random.default_rng(seed)):
        rotate, q, k, n = case.inputs.values()
        table = scores(rotate, q, k, n)
        moved = float((table[1:, 1:] - table[:-1, :-1]).abs().max())
        spread = max(float(np.ptp(table.diagonal(offset).numpy())) for offset in range(1 - n, n))
        assert depends_on_offset(rotate, q, k, n) is (case.name in OFFSET_ALONE)
        if case.name in OFFSET_ALONE:
            assert spread < LIMIT / 10, case.name
        else:
            assert moved > 100 * LIMIT, case.name


def test_there_are_as_many_ways_of_each_kind():
    kinds = [case.name in OFFSET_ALONE for case in cases("depends_on_offset", n_seeds=1)]
    assert abs(sum(kinds) - len(kinds) / 2) <= 1


@pytest.mark.parametrize("place", [-1, 11])
def test_a_place_that_there_is_not_is_said(place):
    rotate = Placing("left as it is", torch.eye(2).expand(11, 2, 2).double())
    with pytest.raises(ValueError, match=f"places go from 0 to 10; got {place}"):
        rotate(torch.ones(2), place)


def comes_farther(base, length, trained, old, d_head):
    """Whether a hand that never made a whole round in training comes farther than it came there."""
    exponents = [2 * hand / d_head for hand in range(d_head // 2)]
    slow = [each for each in exponents if trained / old**each < 2 * math.pi]
    return any(length / base**each > trained / old**each * (1 + 1e-9) for each in slow)


def test_with_the_base_no_slow_hand_comes_farther_and_with_a_smaller_one_it_does():
    for case in cases("base_for_length", 20):
        given = tuple(case.inputs.values())
        old = case.inputs["base"]
        base = base_for_length(*given)
        assert base >= old
        assert not comes_farther(base, *given)
        if base > old:
            assert comes_farther(max(0.999 * base, old), *given), case.name


# ------------------------------------------------------------------------------------------- what is said


def problem(task, answer):
    return examine(replace(find_task(f"05_positions/{task}"), finale=None), answer).problem


def test_digits_lost_to_float32_are_said():
    def answer(x, start, base):
        places = torch.arange(start, start + x.shape[2]).float()
        return apply_rotary(x, *rotary_at(places, x.shape[3], base), interleaved=True)

    assert problem("rotate_pairs", rotate_pairs) == ""
    task = replace(find_task("05_positions/rotate_pairs"), forbidden=())
    assert examine(task, answer).problem.startswith(
        "The result is right in its first digits only: x is float"
    )


def test_lengths_that_change_are_said():
    said = problem("rotate_pairs", lambda x, start, base: 2 * rotate_pairs(x, start, base))
    assert said.startswith("The token at [0, 0, 0] has length ")
    assert said.endswith("turning keeps lengths.")


@pytest.mark.parametrize("task", ["rotate_pairs", "rotation_at_work"])
def test_the_librarys_rotation_is_no_answer(task):
    class Ours(RotaryEmbedding):
        def __init__(self, d_head, max_seq_len, base):
            super().__init__(d_head, max_seq_len, base=base)

    def answer(x, start, base):
        return Ours(x.shape[3], 128, base)(x, start)

    said = problem(task, answer if task == "rotate_pairs" else Ours)
    assert said.startswith("It calls course_lib.positions.")


# ------------------------------------------------------------------------------------------------ the reward


@pytest.fixture
def finale(smollm2_at_hand):
    """The report of a check that ends in the model which other tests use too."""
    return lambda learner: examine(find_task(WORK), learner)


def test_smollm2_answers_as_before_with_the_learners_rotation(finale, smollm2):
    result = finale(Tables)
    assert result.problem == ""
    question, before, after, told = result.detail.split("\n")
    assert question == "What is the capital of France?"
    assert before == "SmolLM2: The capital of France is Paris."
    assert after == "with your rotation: The capital of France is Paris."
    n_tokens = len(smollm2[1].encode("The capital of France is Paris.<|im_end|>"))
    assert f"In 30 layers your rotation was called {60 * n_tokens} times" in told
    assert not smollm2[0].rotary._forward_hooks


def test_the_answer_is_written_by_the_learners_rotation(smollm2):
    """Were the new tokens left to NumPy, which looks at no hooks, the model would answer as ever."""
    model, tokenizer = smollm2
    ids = torch.tensor([tokenizer.encode(pretrained.chat_prompt(real_model.QUESTION))])
    layer = Tables(64, 8192, model.rotary.base)
    with turned_by(model, lambda x, start: layer(x, 0)):  # the prompt is turned rightly
        written = "".join(real_model.answer(model, tokenizer, ids))
    assert "Paris" not in written
    assert "Paris" in "".join(real_model.answer(model, tokenizer, ids))


def test_a_rotation_that_is_wrong_in_the_model_alone_is_refused_and_taken_out(finale, smollm2):
    said = finale(OnlyNarrow).problem
    assert said.startswith("In the real model a score is off by ")
    assert said.endswith("Its heads have 64 numbers, and there are 8,192 places.")
    assert not smollm2[0].rotary._forward_hooks


def test_a_rotation_that_fails_in_the_model_is_taken_out(finale, smollm2):
    class Short(Tables):
        def forward(self, x, start=0):
            if x.shape[-1] > 32:
                raise WrongForm("too wide")
            return super().forward(x, start)

    assert finale(Short).problem == "too wide"
    assert not smollm2[0].rotary._forward_hooks


def test_the_second_half_of_a_text_is_read_after_the_first(smollm2):
    model, tokenizer = smollm2
    ids = torch.tensor([tokenizer.encode("One text that is read in two parts.")])
    layer = Tables(64, 8192, model.rotary.base)
    with torch.no_grad(), turned_by(model, layer) as starts:
        scores = real_model.in_two_parts(model, ids)
    assert starts == [0] * 60 + [ids.shape[1] // 2] * 60
    with torch.no_grad():
        torch.testing.assert_close(scores, model(ids), atol=1e-2, rtol=0)


def test_smollm2_repeats_a_name_over_a_jump_with_the_learners_base(smollm2_at_hand):
    result = examine(find_task("05_positions/base_for_length"), base_for_length)
    assert result.problem == ""
    request, own, yours = result.detail.split("\n")
    assert (
        request == "Repeat after me: Olbrandis Kewtimole sings. (The answer begins 1,000 places further on.)"
    )
    assert own.startswith("with its own base, 100,000: ")
    assert "Kewtimole" not in own
    assert yours == "with yours, 303,143: Olbrandis Kewtimole sings."
