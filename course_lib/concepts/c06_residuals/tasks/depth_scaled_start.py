"""Smaller, the deeper

GPT-2 starts less strictly: nothing is 0, but what adds to the stream starts smaller, the deeper the model
(Radford et al. 2019, section 2.3). `stack` is a `TransformerStack` of the library with L layers. Change its
start values in place. All matrices are drawn from a normal distribution with mean 0 and standard deviation
`std`, except for those whose results are added to the stream: `out_proj` of each attention and `down_proj`
of each MLP have standard deviation std / sqrt(2 L). Biases become 0, and norms stay as they are. Your
numbers are random, so the check measures their standard deviations, with room for chance.

Hint: So many branches add to the stream: two in each of the L layers. `len(stack.blocks)` is L.

Hint: `for name, parameter in stack.named_parameters():` goes through all there is. Matrices have two axes
(`parameter.ndim == 2`); what do the names of those end with that add to the stream?

Hint: `torch.nn.init.normal_(parameter, std=...)` draws new numbers in place, and `name.endswith(("a",
"b"))` asks for two endings at once.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib.blocks import TransformerStack
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import between, primes, repeatable
from course_lib.checks.kinds import Case, Property
from course_lib.concepts.c06_residuals.tasks.identity_start import Stack, built, check_stack

Array = np.ndarray

# A standard deviation that is measured on so many numbers is off by 0.6 %.
WIDTH = 128

SAME = 0.04  # as a share: seven times as much

MATRICES = ("q_proj", "k_proj", "v_proj", "out_proj", "gate_proj", "up_proj", "down_proj")

NORMAL, UNIFORM, OTHER = 1, 0, -1  # distributions, all with mean 0 but the last

# What is asked of a layer beside the standard deviations, in this order: 1 where it is so.
ASKED = (
    "the numbers of the matrices do not come from a normal distribution with mean 0",
    "the biases are not 0",
    "the norms were changed, which should stay as they are",
)


def kinds(stack: Stack) -> tuple[str, ...]:
    """The matrices of each of its layers."""
    return tuple(name for name in MATRICES if stack.activation == "swiglu" or name != "gate_proj")


def right_spread(result: Array, inputs: Mapping[str, Any]) -> str:
    """Which matrix has another standard deviation."""
    if result.dtype.kind != "f":
        return ""
    stack, std = inputs["stack"], inputs["std"]
    smaller = std / (2 * stack.n_layers) ** 0.5
    wanted = np.array([smaller if name in ("out_proj", "down_proj") else std for name in kinds(stack)])
    layer, kind = (int(i) for i in np.argwhere(np.abs(result / wanted - 1) > SAME / 2)[0])
    return (
        f"In layer {layer} (counted from 0) the numbers of {kinds(stack)[kind]} have a standard deviation of "
        f"about {result[layer, kind]:.2g}, expected {wanted[kind]:.2g}."
    )


def right_rest(result: Array, inputs: Mapping[str, Any]) -> str:
    """What else is wrong with a layer."""
    if result.dtype.kind != "i":
        return ""
    layer, which = (int(i) for i in np.argwhere(result != 1)[0])
    return f"The standard deviations are right, but in layer {layer} (counted from 0) {ASKED[which]}."


exercise = Exercise(
    level=2,
    minutes=12,
    section="Does a stack need norms?",
    results=("standard deviations", "what else counts"),
    properties=(Property("right spread", right_spread), Property("right rest", right_rest)),
    outside=True,
)


@exercise.solution
def depth_scaled_start(stack, std):
    """Draw the matrices of a stack in place; those that add to the stream start smaller, the deeper it is.

    Args:
        stack: a `TransformerStack` with L layers, `stack.blocks`.
        std: standard deviation of all matrices but `out_proj` and `down_proj`, which have std / sqrt(2 L).
    """
    ### BEGIN SOLUTION
    smaller = std / (2 * len(stack.blocks)) ** 0.5
    for name, parameter in stack.named_parameters():
        if name.endswith(("out_proj.weight", "down_proj.weight")):
            nn.init.normal_(parameter, std=smaller)
        elif parameter.ndim == 2:
            nn.init.normal_(parameter, std=std)
        elif name.endswith("proj.bias"):
            nn.init.zeros_(parameter)
    ### END SOLUTION


# ------------------------------------------------------------------------------------- what a start is like


@exercise.adapt
def measure_stack(learner: Callable[[TransformerStack, float], Any]) -> Callable[..., list[Array]]:
    """Let the learner's function change a stack, and measure what it did."""

    def changed(stack: Stack, std: float) -> list[Array]:
        given = copy.deepcopy(built(stack))
        with repeatable(stack.seed):
            learner(given, std)
        check_stack(given, stack)
        return measured(given, stack, std)

    return changed


def measured(stack: TransformerStack, plan: Stack, std: float) -> list[Array]:
    """The standard deviation of each matrix (L, n), and for each layer what `ASKED` names (L, 3).

    A standard deviation that is close to one that somebody may have meant counts as that one, so that results
    can be compared.
    """
    before = dict(built(plan).named_parameters())
    changed = [name for name, value in stack.named_parameters() if not torch.equal(value, before[name])]
    norms_changed = [name for name in changed if "norm" in name]
    stds, flags = [], []
    for layer, block in enumerate(stack.blocks):
        parts = {name.split(".")[-1]: part for name, part in block.named_modules()}
        weights = {name: parts[name].weight.detach().double() for name in kinds(plan)}
        meant = stds_meant(std, plan.n_layers, layer)
        stds.append([nearest(float(weight.square().mean().sqrt()), meant) for weight in weights.values()])
        biases = [parts[name].bias for name in weights if parts[name].bias is not None]
        norms_stay = not any(f"blocks.{layer}." in name or "final" in name for name in norms_changed)
        flags.append([min(map(distribution, weights.values())), not any(map(torch.any, biases)), norms_stay])
    return [np.array(stds), np.array(flags, dtype=int)]


def stds_meant(std: float, n_layers: int, layer: int) -> list[float]:
    """The right standard deviation of what adds to the stream, and those of known mistakes."""
    right = (2 * n_layers) ** 0.5
    divisors = [right, n_layers**0.5, 2 * n_layers, n_layers, 1 / right, 2 * n_layers**0.5]
    divisors += [(2 * (layer + 1)) ** 0.5, 1]
    meant = [std / divisor for divisor in divisors]
    return [*meant, std**2, std**2 / right, std**0.5, std**0.5 / right]


def nearest(value: float, meant: list[float]) -> float:
    """The one of some numbers that this is, as far as can be told, or itself."""
    return next((one for one in meant if abs(value / one - 1) < SAME), value)


def distribution(values: Tensor) -> int:
    """Which one these numbers come from, by their mean and the mean of their fourth powers."""
    square = values.square().mean()
    if values.mean().abs() > 0.1 * square.sqrt():
        return OTHER
    fourth = float(values.pow(4).mean() / square**2)  # of a normal distribution 3, of a uniform one 1.8
    if abs(fourth - 1.8) < 0.2:
        return UNIFORM
    return NORMAL if abs(fourth - 3) < 0.5 else OTHER


@exercise.cases
def _(rng):
    def inputs(n_layers, std, activation="gelu", bias=True, norm="layer"):
        seed = int(rng.integers(1000))
        return {"stack": Stack(n_layers, WIDTH, 4, WIDTH, activation, bias, norm, seed), "std": std}

    def std(low, high):
        return between(rng, 100 * low, 100 * high) / 100_000

    return [
        Case("two layers", inputs(2, 0.02)),
        Case(
            "as in SmolLM2",
            inputs(primes(rng, 3, 5)[0], std(40, 60), "swiglu", False, "rms"),
            catches="a bias taken for granted",
        ),
    ]


exercise.changed(
    "root of the layers",
    "This is std / sqrt(L): each layer has two branches that add to the stream, so there are 2 L of them.",
    ("(2 * len(stack.blocks)) ** 0.5", "len(stack.blocks) ** 0.5"),
)
exercise.changed(
    "no root",
    "This is std / (2 L): variances add up, not standard deviations, so divide by the root of 2 L.",
    (" ** 0.5", ""),
)
exercise.changed(
    "divided by the layers",
    "This is std / L: divide by the root of the number of branches, which is 2 L.",
    ("(2 * len(stack.blocks)) ** 0.5", "len(stack.blocks)"),
)
exercise.changed(
    "the root of L alone",
    "This is std / (2 sqrt(L)): the 2 stands below the root too, sqrt(2 L).",
    ("(2 * len(stack.blocks)) ** 0.5", "(2 * len(stack.blocks) ** 0.5)"),
)
exercise.changed(
    "multiplied",
    "What adds to the stream was multiplied by sqrt(2 L): it starts smaller, the deeper the stack.",
    ("std / (2", "std * (2"),
)


@exercise.mistake("by the place of the layer")
def _(stack, std):
    """Each layer is scaled by its own place in the stack: all are divided by the same number, sqrt(2 L)."""
    depth_scaled_start(stack, std)
    for place, block in enumerate(stack.blocks, start=1):
        for linear in (block.attention.out_proj, block.feed_forward.down_proj):
            nn.init.normal_(linear.weight, std=std / (2 * place) ** 0.5)


@exercise.mistake("only the last layer smaller")
def _(stack, std):
    """Only what the last layer adds starts smaller: all layers add to the stream."""
    depth_scaled_start(stack, std)
    for block in stack.blocks[:-1]:
        for linear in (block.attention.out_proj, block.feed_forward.down_proj):
            nn.init.normal_(linear.weight, std=std)


exercise.changed(
    "nothing smaller",
    "All matrices have the same standard deviation: those that add to the stream start smaller.",
    ("std=smaller", "std=std"),
)
exercise.changed(
    "all smaller",
    "All matrices were scaled: only `out_proj` and `down_proj` add to the stream, the others keep `std`.",
    ("std=std)", "std=smaller)"),
)
exercise.changed(
    "only attention smaller",
    "Only `out_proj` was scaled: the MLP's `down_proj` adds to the stream too.",
    (', "down_proj.weight"', ""),
)
exercise.changed(
    "only the MLP smaller",
    "Only `down_proj` was scaled: attention's `out_proj` adds to the stream too.",
    ('"out_proj.weight", ', ""),
)
exercise.changed(
    "the others smaller",
    "The matrices that read the stream were scaled: it is those that add to it, `out_proj` and `down_proj`.",
    ("smaller = std", "smaller, std = std, std"),
)


@exercise.mistake("the square of std")
def _(stack, std):
    """Everything was drawn with std squared: `normal_` takes the standard deviation, not the variance."""
    depth_scaled_start(stack, std**2)


@exercise.mistake("std for the variance")
def _(stack, std):
    """`std` was taken for the variance: it is the standard deviation, so draw no root from it."""
    depth_scaled_start(stack, std**0.5)


exercise.changed(
    "uniform",
    "The standard deviations are right, but the numbers come from a uniform distribution: take a normal one.",
    ("normal_(parameter, std=smaller)", "uniform_(parameter, -(3**0.5) * smaller, 3**0.5 * smaller)"),
    ("normal_(parameter, std=std)", "uniform_(parameter, -(3**0.5) * std, 3**0.5 * std)"),
)
exercise.changed(
    "biases left",
    "The matrices are right, but where the stack has biases, they are not 0.",
    ('\n        elif name.endswith("proj.bias"):\n            nn.init.zeros_(parameter)', ""),
)


@exercise.mistake("a bias taken for granted")
def _(stack, std):
    """Some stacks have no biases: `linear.bias` is None there, and cannot be filled. Ask first."""
    depth_scaled_start(stack, std)
    for linear in stack.modules():
        if isinstance(linear, nn.Linear):
            nn.init.zeros_(linear.bias)


exercise.changed(
    "biases and norms drawn",
    "Biases and norms were drawn as the matrices are: biases become 0, and norms stay as they are.",
    (
        'elif name.endswith("proj.bias"):\n            nn.init.zeros_(parameter)',
        "else:\n            nn.init.normal_(parameter, std=std)",
    ),
)
exercise.changed(
    "norms changed",
    "The matrices are right, but the norms were changed: leave their weights and their biases as they are.",
    ('elif name.endswith("proj.bias")', "else"),
)
