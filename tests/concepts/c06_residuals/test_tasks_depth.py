"""The tasks of 06_residuals on depth: what their solutions promise, what is said, and the reward's end."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from task_cases import cases_of
from torch import nn

from course_lib import pretrained, probing
from course_lib.blocks import FeedForward, RMSNorm, TransformerBlock
from course_lib.checks import WrongForm, examine, find_task, real_model
from course_lib.concepts.c06_residuals.answers.block_at_work import narrow_only, plainly
from course_lib.concepts.c06_residuals.answers.depth_scaled_start import as_asked
from course_lib.concepts.c06_residuals.answers.identity_start import by_blocks, zeroing
from course_lib.concepts.c06_residuals.answers.logit_lens import by_running
from course_lib.concepts.c06_residuals.answers.skip_layer import by_skipped, deleted, useless_hook_left
from course_lib.concepts.c06_residuals.tasks.block_at_work import Mixer, block, layers_by
from course_lib.concepts.c06_residuals.tasks.depth_scaled_start import (
    NORMAL,
    OTHER,
    SAME,
    UNIFORM,
    WIDTH,
    distribution,
    measured,
    stds_meant,
)
from course_lib.concepts.c06_residuals.tasks.identity_start import Stack, built, identity_start
from course_lib.concepts.c06_residuals.tasks.logit_lens import Model, logit_lens, read_model
from course_lib.concepts.c06_residuals.tasks.logit_lens import built as built_model
from course_lib.concepts.c06_residuals.tasks.skip_layer import OTHER_MODE, skip_each, skip_layer
from course_lib.decoder import GPT, GPTConfig

pytestmark = pytest.mark.usefixtures("own_errors")

WORK = "06_residuals/block_at_work"


cases = cases_of("06_residuals", 3)


# ------------------------------------------------------------------------------------ references and inputs


def test_a_stack_that_starts_as_nothing_is_its_last_norm():
    """The whole stack, not branch by branch; and as it comes it is not."""
    for case in cases("identity_start"):
        stack = copy.deepcopy(built(case.inputs["stack"]))
        x = torch.randn(2, 3, case.inputs["stack"].d_model)
        assert not torch.allclose(stack(x), stack.final_norm(x))
        identity_start(stack)
        assert torch.equal(stack(x), stack.final_norm(x))


def test_what_can_learn_learns_and_what_is_dead_stays_dead():
    """A hundred steps of training tell the same as the check's one."""
    plan = Stack(2, 6, 2, 5, "swiglu", bias=False)
    mistakes = {known.name: known.wrong for known in find_task("06_residuals/identity_start").misconceptions}
    for start, learns in ((identity_start, True), (mistakes["everything"], False)):
        stack = copy.deepcopy(built(plan))
        start(stack)
        optimiser = torch.optim.SGD(stack.parameters(), lr=0.1)
        x, goal = torch.randn(2, 4, 5, 6)
        for _ in range(100):
            optimiser.zero_grad()
            (stack(x) - goal).square().mean().backward()
            optimiser.step()
        last = [
            w
            for name, w in stack.named_parameters()
            if name.endswith(("out_proj.weight", "down_proj.weight"))
        ]
        assert [bool(weight.any()) for weight in last] == [learns] * 4


def test_the_librarys_gpt_starts_as_the_task_asks():
    config = GPTConfig(vocab_size=7, max_seq_len=5, d_model=WIDTH, n_heads=4, d_ff=WIDTH, n_layers=3)
    plan = Stack(3, WIDTH, 4, WIDTH, "gelu_tanh", bias=True)
    stds, flags = measured(GPT(config).stack, plan, 0.02)
    smaller = 0.02 / 6**0.5
    np.testing.assert_allclose(stds, 3 * [[0.02, 0.02, 0.02, smaller, 0.02, smaller]], rtol=1e-12)
    np.testing.assert_array_equal(flags, 3 * [[NORMAL, 1, 1]])


@pytest.mark.parametrize("seed", range(5))
def test_distributions_are_told_apart(seed):
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(WIDTH, WIDTH, generator=generator)
    uniform = torch.rand(WIDTH, WIDTH, generator=generator)
    assert distribution(3 * normal) == NORMAL
    assert distribution(uniform - 0.5) == UNIFORM
    assert distribution(uniform) == OTHER
    assert distribution(normal.sign()) == OTHER
    assert distribution(normal + 1) == OTHER


def test_standard_deviations_that_mistakes_give_lie_apart():
    """Each known mistake differs from what is right by more than chance, in a stack where it can show."""
    for case in cases("depth_scaled_start", n_seeds=1):
        stack = case.inputs["stack"]
        right, *others = stds_meant(case.inputs["std"], stack.n_layers, 0)
        for other in others:
            ratio = other / right
            assert abs(ratio - 1) < 1e-9 or abs(np.log(ratio)) > 2 * SAME, (case.name, other)


@pytest.mark.parametrize("task", ["logit_lens", "skip_layer"])
def test_a_model_is_read_as_by_the_library(task):
    for case in cases(task):
        plan, ids = case.inputs["model"], case.inputs["ids"]
        model = built_model(plan)
        with torch.no_grad(), probing.recorded(model) as seen:
            own = model(ids)
        if task == "logit_lens":
            rows = read_model(logit_lens)(plan, ids)
            torch.testing.assert_close(rows[-1], own)
            torch.testing.assert_close(rows[0], probing.logit_lens(model, seen.streams[0]))
        else:
            expected = [by_skipped(model, ids, layer) for layer in range(plan.n_layers)]
            torch.testing.assert_close(skip_each(skip_layer)(plan, ids)[0], torch.stack(expected))


def test_models_are_the_same_each_time_and_nobody_changes_them_for_others():
    plan = Model(2, "Llama", seed=3)
    one, other = built_model.__wrapped__(plan), built_model.__wrapped__(plan)
    assert all(map(torch.equal, one.parameters(), other.parameters()))
    with pytest.raises(WrongForm, match=r"lm_head\.weight has other numbers"):
        read_model(lambda model, ids: nn.init.zeros_(model.lm_head.weight))(plan, torch.tensor([[1, 2]]))
    assert bool(built_model(plan).lm_head.weight.any())


def test_a_block_is_that_of_the_library():
    class Attention(Mixer, nn.Module):
        def forward(self, x, mask=None, cache=None):
            return Mixer.__call__(self, x)

        __call__ = nn.Module.__call__

    for case in cases("block_at_work"):
        x, _, attention_scale, mlp_scale, gate, up, down, eps = case.inputs.values()
        f, d = gate.shape
        norms = RMSNorm(d, eps=eps), RMSNorm(d, eps=eps)
        layer = TransformerBlock(Attention(), FeedForward(d, f, activation="swiglu", bias=False), *norms)
        weights = {
            "attention_norm.weight": attention_scale,
            "feed_forward_norm.weight": mlp_scale,
            "feed_forward.gate_proj.weight": gate,
            "feed_forward.up_proj.weight": up,
            "feed_forward.down_proj.weight": down,
        }
        expected = torch.func.functional_call(layer.to(x.dtype), weights, x)
        torch.testing.assert_close(block(*case.inputs.values()), expected, rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------------------------------- what is said


def problem(task, answer):
    return examine(replace(find_task(f"06_residuals/{task}"), finale=None), answer).problem


def test_what_is_small_but_not_0_is_said():
    def answer(stack):
        by_blocks(stack)
        nn.init.normal_(stack.blocks[1].feed_forward.down_proj.weight, std=1e-3)

    said = problem("identity_start", answer)
    assert said.startswith("In layer 1 (counted from 0) the MLP adds up to 0.00")
    assert said.endswith("a layer that gives back what it gets adds exactly 0.")


def test_a_dead_branch_is_said():
    def answer(stack):
        by_blocks(stack)
        zeroing("v_proj.weight", "v_proj.bias")(stack.blocks[-1])

    assert problem("identity_start", answer) == (
        "Each layer gives back what it gets, but in layer 1 (counted from 0) attention is dead: after a step "
        "of gradient descent it still gives all tokens the same."
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda stack: stack.final_norm.weight.requires_grad_(False), "'final_norm.weight' is frozen"),
        (lambda stack: stack.double(), "'blocks.0.attention_norm.weight' is in torch.float64 now"),
    ],
)
@pytest.mark.parametrize(
    ("task", "answer"), [("identity_start", by_blocks), ("depth_scaled_start", as_asked)]
)
def test_a_stack_that_is_no_longer_the_same_kind_is_said(task, answer, change, said):
    def changed(stack, *given):
        answer(stack, *given)
        change(stack)

    assert problem(task, answer) == ""
    assert said in problem(task, changed)


def test_another_standard_deviation_is_said():
    def answer(stack, std):
        as_asked(stack, std)
        for layer in stack.blocks:
            nn.init.normal_(layer.attention.out_proj.weight, std=0.8 * std)
            nn.init.normal_(layer.feed_forward.down_proj.weight, std=0.8 * std)

    said = problem("depth_scaled_start", answer)
    assert said == (
        "In layer 0 (counted from 0) the numbers of out_proj have a standard deviation of about 0.016, "
        "expected 0.01."
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda stack: nn.init.ones_(stack.blocks[1].attention.q_proj.bias), "the biases are not 0"),
        (
            lambda stack: nn.init.ones_(stack.blocks[1].attention_norm.bias),
            "the norms were changed, which should stay as they",
        ),
        (
            lambda stack: nn.init.constant_(stack.blocks[1].attention.q_proj.weight, 0.02),
            "the numbers of the matrices do not come from a normal distribution with mean 0",
        ),
    ],
)
def test_what_else_is_wrong_with_a_start_is_said(change, said):
    def answer(stack, std):
        as_asked(stack, std)
        change(stack)

    task = find_task("06_residuals/depth_scaled_start")
    first = replace(task, cases=lambda rng: task.cases(rng)[:1])
    assert f"in layer 1 (counted from 0) {said}" in examine(first, answer).problem


def test_scores_that_do_not_end_as_the_model_are_said():
    last = "The last of the L should be the scores of the model itself, which they are not."
    assert problem("logit_lens", lambda model, ids: 1.1 * by_running(model, ids)) == last

    def only_the_last(model, ids):
        return by_running(model, ids) * torch.arange(1 - model.config.n_layers, 1)[:, None, None, None].exp()

    assert problem("logit_lens", only_the_last) == "The result has the right shape but wrong values."


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            lambda model, ids: (zeroing("lm_head.weight")(model), by_running(model, ids))[1],
            "lm_head.weight has",
        ),
        (
            lambda model, ids: (model.register_forward_hook(print), by_running(model, ids))[1],
            "a hook is left on it",
        ),
    ],
)
def test_what_a_reader_leaves_behind_is_said(answer, said):
    assert problem("logit_lens", answer).startswith(f"The model is not as it was before the call: {said}")


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("read", [read_model(by_running), skip_each(by_skipped)])
def test_a_model_may_come_in_either_mode(read, training):
    plan, ids = Model(2, "GPT-2", seed=5, training=training), torch.tensor([[1, 2, 3]])
    other = replace(plan, training=not training)
    assert all(map(torch.equal, read(plan, ids), read(other, ids)))  # and nothing is left behind


@pytest.mark.parametrize(
    ("training", "said"),
    [
        (True, "it came in training mode and is in evaluation mode"),
        (False, "it came in evaluation mode and is in training mode"),
    ],
)
def test_a_model_left_in_another_mode_is_said(training, said):
    plan, ids = Model(2, "Llama", seed=5, training=training), torch.tensor([[1, 2, 3]])
    with pytest.raises(WrongForm, match=said):
        read_model(lambda model, ids: by_running(model.train(not training), ids))(plan, ids)
    _, as_it_was = skip_each(lambda model, *given: by_skipped(model.train(not training), *given))(plan, ids)
    assert as_it_was.tolist() == [OTHER_MODE, OTHER_MODE]


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("logit_lens", lambda model, ids: by_running(model.eval(), ids)),
        ("skip_layer", lambda model, *given: by_skipped(model.eval(), *given)),
    ],
)
def test_a_model_put_into_evaluation_mode_is_not_as_it_was(task, answer):
    assert problem(task, answer).startswith(
        "A model that came in training mode was left in evaluation mode, which is what `model.eval()` does"
    )


def test_a_wrong_increase_is_said_and_what_is_left_behind():
    said = problem("skip_layer", lambda *given: 2 * by_skipped(*given))
    assert said.startswith("Without layer ")
    assert "(counted from 0) the loss grows by " in said
    left = problem("skip_layer", useless_hook_left)
    assert left.startswith(
        "The increase is right, but after layer 0 (counted from 0) was skipped the model is"
    )
    gone = problem("skip_layer", deleted)
    assert gone == "The model is not as it was before the call: 1 of its 2 layers are left."


# ------------------------------------------------------------------------------------------------ the reward


@pytest.fixture
def finale(smollm2_at_hand):
    """The report of a check that ends in the model which other tests use too."""
    return lambda learner: examine(find_task(WORK), learner)


def own_forwards(model):
    return [name for name, part in model.named_modules() if "forward" in vars(part)]


def test_smollm2_answers_as_before_with_the_learners_layers(finale, smollm2):
    result = finale(plainly)
    assert result.problem == ""
    question, before, after, told = result.detail.split("\n")
    assert question == "What is the capital of France?"
    assert before == "SmolLM2: The capital of France is Paris."
    assert after == "with your layer: The capital of France is Paris."
    n_tokens = len(smollm2[1].encode("The capital of France is Paris.<|im_end|>"))
    assert f"Your layer took the place of all 30 and was called {30 * n_tokens} times." in told
    assert own_forwards(smollm2[0]) == []


def test_the_answer_is_written_by_the_learners_layers(smollm2):
    """Were the new tokens left to NumPy, which looks at no forward, the model would answer as ever."""
    model, tokenizer = smollm2
    ids = torch.tensor([tokenizer.encode(pretrained.chat_prompt(real_model.QUESTION))])

    def right_for_the_prompt(x, *given):
        return plainly(x, *given) if x.shape[1] > 1 else x

    with layers_by(model, right_for_the_prompt) as calls:
        written = "".join(real_model.answer(model, tokenizer, ids))
    assert calls[:31] == [ids.shape[1]] * 30 + [1]
    assert "Paris" not in written
    assert "Paris" in "".join(real_model.answer(model, tokenizer, ids))


def test_a_layer_that_is_wrong_in_the_model_alone_is_refused_and_taken_out(finale, smollm2):
    said = finale(narrow_only).problem
    assert said.startswith("In the real model a score is off by ")
    assert said.endswith("Its stream has 576 numbers for each token.")
    assert own_forwards(smollm2[0]) == []


def test_a_layer_that_fails_in_the_model_is_taken_out(finale, smollm2):
    def wide_fails(x, *given):
        if x.shape[-1] > 100:
            raise WrongForm("too wide")
        return plainly(x, *given)

    assert finale(wide_fails).problem == "too wide"
    assert own_forwards(smollm2[0]) == []
