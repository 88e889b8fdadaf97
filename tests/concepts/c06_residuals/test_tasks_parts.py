"""The tasks of 06_residuals on the parts of a layer: what solutions promise, what is said of answers."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import blocks, maths
from course_lib.checks import examine, find_task
from course_lib.concepts.c06_residuals.tasks.gated_mlp import gated_mlp
from course_lib.concepts.c06_residuals.tasks.layer_norm import layer_norm
from course_lib.concepts.c06_residuals.tasks.mlp import mlp
from course_lib.concepts.c06_residuals.tasks.post_norm_block import post_norm_block
from course_lib.concepts.c06_residuals.tasks.pre_norm_block import pre_norm_block
from course_lib.concepts.c06_residuals.tasks.rms_norm import rms_norm

pytestmark = pytest.mark.usefixtures("own_errors")


def cases(task, n_seeds=5):
    """The inputs of every case, in float64."""
    for seed in range(n_seeds):
        for case in find_task(f"06_residuals/{task}").cases(np.random.default_rng(seed)):
            yield {
                name: value.double() if isinstance(value, torch.Tensor) else value
                for name, value in case.inputs.items()
            }


# ------------------------------------------------------------------------------------ references and inputs


def test_the_norms_are_torchs_and_those_of_the_loops():
    for given in cases("layer_norm"):
        x, weight, bias, eps = given.values()
        found = layer_norm(**given)
        torch.testing.assert_close(found, F.layer_norm(x, weight.shape, weight, bias, eps))
        by_loops = maths.layer_norm(x.numpy(), weight.numpy(), bias.numpy(), eps)
        torch.testing.assert_close(found, torch.from_numpy(by_loops))
    for given in cases("rms_norm"):
        x, weight, eps = given.values()
        found = rms_norm(**given)
        torch.testing.assert_close(found, F.rms_norm(x, weight.shape, weight, eps))
        torch.testing.assert_close(found, torch.from_numpy(maths.rms_norm(x.numpy(), weight.numpy(), eps)))


@pytest.mark.parametrize(("task", "activation"), [(mlp, "gelu"), (gated_mlp, "swiglu")])
def test_the_mlps_are_the_librarys(task, activation):
    for given in cases(task.__name__):
        x, *weights = given.values()
        d_ff, d_model = given["up"].shape
        layer = blocks.FeedForward(d_model, d_ff, activation=activation, bias=task is mlp).double()
        names = ("up_proj.weight", "up_proj.bias", "down_proj.weight", "down_proj.bias")
        if task is gated_mlp:
            names = ("gate_proj.weight", "up_proj.weight", "down_proj.weight")
        layer.load_state_dict(dict(zip(names, weights, strict=True)))
        torch.testing.assert_close(task(**given), layer(x))


class Module(nn.Module):
    """A function as a module, which may be given a mask and a cache."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, mask=None, cache=None):
        return self.function(x)


@pytest.mark.parametrize("task", [pre_norm_block, post_norm_block])
def test_the_layers_are_the_librarys(task):
    for given in cases(task.__name__):
        x, *functions = given.values()
        layer = blocks.TransformerBlock(*map(Module, functions), norm_first=task is pre_norm_block)
        torch.testing.assert_close(task(**given), layer(x))


def test_what_a_layer_is_given_shows_every_mistake():
    """Attention mixes the tokens, the MLP does not, and no two of the four functions do the same."""
    for given in cases("pre_norm_block"):
        x, *functions = given.values()
        results = [function(x) for function in functions]
        assert all((a - b).abs().max() > 0.1 for i, a in enumerate(results) for b in results[:i])
        assert all((y - x).abs().max() > 0.1 for y in results)
        if x.shape[1] > 1:
            x = given["norm_1"](x)  # far from 0, attention would look at one token alone
            other = x.clone()
            other[:, 0] = x[:, 0].flip(-1)
            attention, *alone = (function(other)[:, 1:] - function(x)[:, 1:] for function in functions)
            assert attention.abs().max() > 1e-3
            assert max(change.abs().max() for change in alone) < 1e-9


# ------------------------------------------------------------------------------------------- what is said


def problem(task, answer):
    return examine(find_task(f"06_residuals/{task}"), answer).problem


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("layer_norm", lambda x, weight, bias, eps: F.layer_norm(x, weight.shape, weight, bias, eps)),
        (
            "layer_norm",
            lambda x, weight, bias, eps: torch.native_layer_norm(x, weight.shape, weight, bias, eps)[0],
        ),
        ("rms_norm", lambda x, weight, eps: F.rms_norm(x, weight.shape, weight, eps)),
        ("pre_norm_block", lambda x, *given: blocks.TransformerBlock(*map(Module, given))(x)),
    ],
)
def test_what_is_ready_made_is_no_answer(task, answer):
    said = problem(task, answer)
    assert said.startswith("It calls ")
    assert said.endswith("which does the task for you: write the steps yourself.")


def test_digits_lost_to_float32_are_said():
    def answer(x, weight, eps):
        return rms_norm(x.float(), weight.float(), eps).to(x.dtype)

    assert problem("rms_norm", rms_norm) == ""
    assert problem("rms_norm", answer).startswith(
        "The result is right in its first digits only: x is float64"
    )


def test_other_wrong_values_in_float64_alone_are_not_taken_for_lost_digits():
    def answer(x, weight, eps):
        return rms_norm(x, weight, eps) * (1.01 if x.dtype == torch.float64 else 1)

    assert problem("rms_norm", answer) == "The result has the right shape but wrong values."
