"""The tasks on writing: what their solutions promise, what is said, the reward's end."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from task_cases import cases_of
from tensors import OnDevice

from course_lib import pretrained
from course_lib.attention import MultiHeadAttention, scaled_dot_product_attention
from course_lib.checks import WrongForm, examine, find_task, real_model
from course_lib.concepts.c07_mlm_vs_next_token.answers.cached_step import stored_then_attended
from course_lib.concepts.c07_mlm_vs_next_token.answers.sampler_at_work import (
    drawn_by_itself,
    plainly,
    probabilities,
    writing,
)
from course_lib.concepts.c07_mlm_vs_next_token.answers.temperature import shifted
from course_lib.concepts.c07_mlm_vs_next_token.answers.top_p import through_scores
from course_lib.concepts.c07_mlm_vs_next_token.tasks.cached_step import cached_step
from course_lib.concepts.c07_mlm_vs_next_token.tasks.sampler_at_work import (
    N_LIKELIEST,
    QUESTION,
    VOCABULARY,
    Draw,
    Reader,
    Small,
    _off,
    _written,
    reads_on,
    write,
)
from course_lib.concepts.c07_mlm_vs_next_token.tasks.temperature import temperature
from course_lib.concepts.c07_mlm_vs_next_token.tasks.top_p import top_p
from course_lib.generation import next_token_probabilities

pytestmark = pytest.mark.usefixtures("own_errors")

WORK = "07_mlm_vs_next_token/sampler_at_work"


cases = cases_of("07_mlm_vs_next_token", 3)


# ------------------------------------------------------------------------------------ references and inputs


def test_temperature_is_the_librarys():
    for case in cases("temperature"):
        logits, t = case.inputs.values()
        expected = next_token_probabilities(logits.double(), temperature=t)
        torch.testing.assert_close(temperature(logits.double(), t), expected, rtol=1e-9, atol=1e-9)


def test_top_p_is_the_librarys_and_keeps_the_fewest():
    for case in cases("top_p"):
        chances, p = case.inputs["probabilities"].double(), case.inputs["p"]
        kept = top_p(chances, p)
        expected = next_token_probabilities(chances.log(), top_p=p)
        torch.testing.assert_close(kept, expected, rtol=1e-6, atol=1e-6)
        left = chances.where(kept > 0, 0)
        assert (left.sum(-1) >= p - 1e-6).all()
        if p < 1:
            without_last = left.sum(-1) - left.where(left > 0, torch.inf).amin(-1)
            assert (without_last < p).all()


@pytest.mark.parametrize("n_new", [1, 3])
def test_a_cached_step_is_what_attention_gives_without_a_cache(n_new):
    """The library's layer with all tokens at once; the task's function with the first five already stored."""
    layer = MultiHeadAttention(6, 2, causal=True).double()
    x = torch.randn(3, 5 + n_new, 6, dtype=torch.float64)
    q, k, v = (layer._split(project(x)) for project in (layer.q_proj, layer.k_proj, layer.v_proj))
    new, old = slice(5, None), slice(None, 5)
    mix, keys, values = cached_step(q[:, :, new], k[:, :, new], v[:, :, new], k[:, :, old], v[:, :, old])
    expected = layer(x)[:, new]
    torch.testing.assert_close(layer.out_proj(mix.transpose(1, 2).flatten(2)), expected)
    assert torch.equal(keys, k)
    assert torch.equal(values, v)


@pytest.mark.parametrize("n_first", [1, 4, 6])
def test_the_small_model_reads_on_as_if_it_read_all_at_once(n_first):
    model, ids = Small(2, seed=3), torch.tensor([3, 1, 4, 1, 5, 9, 2])
    expected, kept = model(ids, None, cached_step)
    _, stored = model(ids[:n_first], None, cached_step)
    scores, grown = model(ids[n_first:], stored, cached_step)
    torch.testing.assert_close(scores, expected)
    torch.testing.assert_close(grown, kept)


def test_a_draw_is_as_likely_as_the_probabilities_say():
    reader = Reader(Small(1, seed=0))
    reader([1], None, cached_step)
    chances = torch.zeros(VOCABULARY)
    chances[[2, 5, 11]] = torch.tensor([0.5, 0.3, 0.2])
    draw = Draw(reader, seed=0)
    drawn = np.bincount([draw(chances) for _ in range(2000)], minlength=VOCABULARY) / 2000
    np.testing.assert_allclose(drawn, chances, atol=0.05)  # 4 standard deviations are 0.045
    assert set(np.flatnonzero(drawn)) == {2, 5, 11}


# ------------------------------------------------------------------------------------------- what is said


def problem(task, answer):
    return examine(replace(find_task(f"07_mlm_vs_next_token/{task}"), finale=None), answer).problem


def test_a_likeliest_token_that_is_not_alone_at_zero_is_said():
    said = problem("temperature", lambda logits, t: shifted(logits, max(t, 0.1)))
    assert said.startswith("At t = 0 the likeliest token gets 1, but here it gets 0.")


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("temperature", lambda logits, t: next_token_probabilities(logits, temperature=t)),
        ("top_p", through_scores),
    ],
)
def test_the_librarys_own_sampler_is_forbidden(task, answer):
    assert problem(task, answer).startswith("It calls course_lib.generation.next_token_probabilities")


def test_rows_that_do_not_sum_to_1_are_said():
    said = problem("temperature", lambda logits, t: 0.9 * shifted(logits, t))
    assert said == "The probabilities of the row sum to 0.9, expected 1."


def test_a_wrong_number_of_tokens_is_said():
    def two_of_each(probabilities, p):
        kept = probabilities * (probabilities >= probabilities.topk(2).values[..., 1:])
        return kept / kept.sum(-1, keepdim=True)

    said = problem("top_p", two_of_each)
    assert said.startswith("In ")
    assert "tokens are left, expected" in said


def test_new_keys_in_the_wrong_place_are_said():
    def answer(q, k, v, k_cache, v_cache):
        mix, keys, values = stored_then_attended(q, k, v, k_cache, v_cache)
        return mix, keys.roll(1, -2), values

    assert problem("cached_step", answer).startswith("What was stored before no longer stands first")


def reading(first=list, unread=lambda written: written[-1:], keep=lambda stored: stored):
    """Right but for what is read first, what is read then, and what is kept of what was read."""

    def answer(read, draw, ids, n_new, t, p):
        new, stored, written = first(ids), None, []
        for _ in range(n_new):
            scores, stored = read(new, stored, stored_then_attended)
            stored = keep(stored)
            written.append(draw(probabilities(scores, t, p)))
            new = unread(written)
        return written

    return answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (reading(unread=lambda written: written[-1:] * 2), "For token 2 it reads 2 tokens, expected 1"),
        (drawn_by_itself, "It should draw 2 tokens, one with each call of `draw`; it drew 0."),
        (reading(first=lambda ids: []), "`read` takes tokens, at least one whole number; got []"),
        (reading(first=lambda ids: "text"), "`read` takes tokens, at least one whole number; got 'text'"),
        (reading(keep=list), "`read` takes what it gave before as its second argument"),
        (
            writing(attend=lambda *given: stored_then_attended(*given)[0]),
            "`cached_step` should give three tensors; it gave",
        ),
        (
            writing(choose=lambda scores, t, p: scores[:3]),
            "`draw` takes a probability for each of the 17 scores",
        ),
        (
            writing(choose=lambda scores, t, p: 0 * scores),
            "`draw` takes probabilities that sum to 1; these sum to 0.",
        ),
        (lambda read, draw, *given: [draw([1.0])], "`draw` was called before anything was read."),
    ],
)
def test_what_read_and_draw_cannot_take_is_said(answer, said):
    assert problem("sampler_at_work", answer).startswith(said)


# ------------------------------------------------------------------------------------------------ the reward


@pytest.fixture
def finale(smollm2_at_hand, monkeypatch):
    """The report of a check that ends in the model which other tests use too, after a few words."""
    monkeypatch.setattr("course_lib.concepts.c07_mlm_vs_next_token.tasks.sampler_at_work.N_TOKENS", 9)
    return lambda learner: examine(find_task(WORK), learner)


def attends_by_itself(model):
    return all(block.attention.attend is scaled_dot_product_attention for block in model.stack.blocks)


def test_smollm2_writes_as_before_with_the_learners_cache_and_sampler(finale, smollm2):
    model, tokenizer = smollm2
    result = finale(plainly)
    assert result.problem == ""
    question, before, after, told, _, story, cut, uncut, saved = result.detail.rstrip("\n").split("\n", 8)
    assert question == real_model.QUESTION
    assert before == "SmolLM2: The capital of France is Paris."
    assert after == "with your cache, t = 0: The capital of France is Paris."
    n_ids = len(tokenizer.encode(pretrained.chat_prompt(real_model.QUESTION)))
    n_new = len(tokenizer.encode("The capital of France is Paris.<|im_end|>"))
    few, many = n_ids + n_new - 1, sum(range(n_ids, n_ids + n_new))
    assert f"called {30 * n_new} times. {few} tokens passed through the model; without a cache {many}" in told
    assert f"{many / few:.1f} times as many" in told
    assert story.startswith(QUESTION)
    assert cut.removeprefix("t = 1.5, p = 0.9: ") != uncut.removeprefix("t = 1.5, p = 1: ")
    assert saved.startswith("For each text ")
    assert attends_by_itself(model)


def test_what_is_drawn_is_the_same_each_time_and_stays_below_the_cut(smollm2):
    model, tokenizer = smollm2
    ids = tokenizer.encode(pretrained.chat_prompt(QUESTION))
    _, draw = _written(plainly, model, ids, 4, 1.5, 0.5)
    assert draw.drawn == _written(write, model, ids, 4, 1.5, 0.5)[1].drawn
    for scores, token in zip(draw.scores, draw.drawn, strict=True):
        likeliest = scores.topk(N_LIKELIEST).values
        likelier = ((likeliest - likeliest[0]) / 1.5).softmax(-1)[likeliest > scores[token]]
        assert likelier.sum() < 0.5


def test_scores_are_compared_where_the_device_has_no_float64(monkeypatch):
    def read(model, ids, stored, attend):
        return torch.randn(N_LIKELIEST + 11).as_subclass(OnDevice), ()

    monkeypatch.setattr("course_lib.concepts.c07_mlm_vs_next_token.tasks.sampler_at_work.reads_on", read)
    assert len(_written(write, None, [3, 5], 4, 1.5, 0.5)[1].drawn) == 4


def narrow_only(q, k, v, k_cache, v_cache):
    """Right for the small model alone."""
    if q.shape[-1] > 10:
        return stored_then_attended(0.9 * q, k, v, k_cache, v_cache)
    return stored_then_attended(q, k, v, k_cache, v_cache)


def test_a_step_that_is_wrong_in_the_model_alone_is_refused_and_taken_out(finale, smollm2):
    said = finale(writing(attend=narrow_only)).problem
    assert said.startswith(("In the real model a score is off by ", "In the real model your function writes"))
    assert attends_by_itself(smollm2[0])


def test_scores_that_are_off_are_said(smollm2):
    model, tokenizer = smollm2
    ids = tokenizer.encode(real_model.QUESTION)
    reader = Reader(partial(reads_on, model))
    scores, _ = reader(ids, None, cached_step)
    draw = Draw(reader, seed=0)
    draw(scores.softmax(-1))
    off, largest = _off(model, ids, draw)
    assert off < 1e-4 * largest
    draw.scores[0] = draw.scores[0] + 0.01 * largest
    with pytest.raises(WrongForm, match="In the real model a score is off by"):
        _off(model, ids, draw)


def test_a_sampler_that_is_wrong_in_the_model_alone_is_refused(finale):
    def for_few(scores, t, p):
        return probabilities(scores, t, p) if len(scores) < 100 else scores.softmax(-1)

    assert finale(writing(choose=for_few)).problem == (
        "From the real model's scores your function makes other probabilities than ours."
    )


def test_a_step_that_fails_in_the_model_is_taken_out(finale, smollm2):
    def wide_fails(q, k, v, k_cache, v_cache):
        if q.shape[-1] > 10:
            raise WrongForm("too wide")
        return stored_then_attended(q, k, v, k_cache, v_cache)

    assert finale(writing(attend=wide_fails)).problem == "too wide"
    assert attends_by_itself(smollm2[0])
