"""A stack that starts as nothing

A stack as deep as you like can start as if it had no layers. `stack` is a `TransformerStack` of the library
with pre-norm layers. Change its start values in place so that each layer gives back exactly what it gets.
It must still be able to learn: after one step of gradient descent, what attention adds and what the MLP
adds should depend on the token, in every layer. Some stacks have biases and some have none, and the MLP may
be gated.

Hint: A pre-norm layer gives back what it gets when its two branches add 0. Which matrix of a branch has the
last word? Print the stack to see the names of its parts.

Hint: Branches are sums of products: where two factors of a product are 0, no gradient reaches either of
them. So how many matrices of a branch may be 0?

Hint: `for block in stack.blocks:` gives the layers. `torch.nn.init.zeros_(linear.weight)` fills a matrix
with zeros in place; `linear.bias` may be None.
"""

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from course_lib.blocks import Activation, NormType, TransformerBlock, TransformerStack
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import repeatable
from course_lib.checks.kinds import Case, Property
from course_lib.checks.modules import check_weights
from course_lib.checks.values import WrongForm

Array = np.ndarray

STEP = 0.1  # of gradient descent

DEPENDS = 1e-10  # in float64 a branch that gives all tokens the same differs from this by a factor of 10^5

BRANCHES = ("attention", "the MLP")


def adds_nothing(result: Array, inputs: Mapping[str, Any]) -> str:
    """Which branch adds something."""
    if result.dtype.kind != "f":
        return ""
    sizes = np.abs(result).max((2, 3, 4))
    layer, branch = (int(i) for i in np.argwhere(sizes)[0])
    return (
        f"In layer {layer} (counted from 0) {BRANCHES[branch]} adds up to {sizes[layer, branch]:.2g} to the "
        "stream: a layer that gives back what it gets adds exactly 0."
    )


def can_learn(result: Array, inputs: Mapping[str, Any]) -> str:
    """Which branch is dead."""
    if result.dtype.kind != "i":
        return ""
    layer, branch = (int(i) for i in np.argwhere(result == 0)[0])
    return (
        f"Each layer gives back what it gets, but in layer {layer} (counted from 0) {BRANCHES[branch]} is "
        "dead: after a step of gradient descent it still gives all tokens the same."
    )


exercise = Exercise(
    level=2,
    minutes=10,
    section="Is a part's input really added to its output?",
    results=("what each branch adds", "whether it can learn"),
    properties=(Property("adds nothing", adds_nothing), Property("can learn", can_learn)),
    outside=True,
)


@exercise.solution
def identity_start(stack):
    """Change a stack in place, so that each layer gives back what it gets and can still learn.

    Args:
        stack: a `TransformerStack` with pre-norm layers, `stack.blocks`. Each has `attention` and
            `feed_forward`.
    """
    ### BEGIN SOLUTION
    for block in stack.blocks:
        for linear in (block.attention.out_proj, block.feed_forward.down_proj):
            nn.init.zeros_(linear.weight)
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)
    ### END SOLUTION


# --------------------------------------------------------------------------------------------------- stacks


@dataclass(frozen=True, repr=False)
class Stack:
    """A stack of layers to be built, always with the same weights."""

    n_layers: int
    d_model: int
    n_heads: int
    d_ff: int
    activation: Activation
    bias: bool
    norm_type: NormType = "layer"
    seed: int = 0

    def __repr__(self) -> str:
        biases = "with biases" if self.bias else "no biases"
        return f"{self.n_layers} layers of width {self.d_model}, {self.activation}, {biases}"


@functools.lru_cache(maxsize=16)
def built(plan: Stack) -> TransformerStack:
    """A stack as it comes. It is shared: who changes it takes a copy."""
    with repeatable(plan.seed):
        return TransformerStack(
            plan.d_model,
            plan.n_layers,
            plan.n_heads,
            plan.d_ff,
            norm_type=plan.norm_type,
            activation=plan.activation,
            bias=plan.bias,
        )


def check_stack(stack: TransformerStack, plan: Stack) -> None:
    """Stop at a stack that is not the one that was given, but for its numbers.

    Raises: WrongForm: other weights, in other numbers, or weights that cannot learn.
    """
    check_weights(stack, dict(built(plan).named_parameters()), "stack")
    for name, value in stack.named_parameters():
        if not value.requires_grad:
            raise WrongForm(f"The weight {name!r} is frozen (requires_grad is False): it could not learn.")
        if value.dtype != torch.float32:
            raise WrongForm(f"The weight {name!r} is in {value.dtype} now: it was in torch.float32.")


# ---------------------------------------------------------------------------------------- what a start does


@exercise.adapt
def change_stack(learner: Callable[[TransformerStack], Any]) -> Callable[[Stack], tuple[Array, Array]]:
    """Let the learner's function change a stack, and look at what it does then."""

    def changed(stack: Stack) -> tuple[Array, Array]:
        given = copy.deepcopy(built(stack))
        with repeatable(stack.seed):
            learner(given)
        check_stack(given, stack)
        return added_and_learning(given.double(), stack)

    return changed


def added_and_learning(stack: TransformerStack, plan: Stack) -> tuple[Array, Array]:
    """What attention and MLP of each layer add (L, 2, B, T, D); whether they learn to look at the token."""
    generator = torch.Generator().manual_seed(plan.seed)
    x = torch.randn(2, 5, plan.d_model, dtype=torch.float64, generator=generator)
    goal = torch.randn(x.shape, dtype=torch.float64, generator=generator)
    added, learns = [], []
    for block in cast(list[TransformerBlock], stack.blocks):
        before = branches(block, x)
        weights = list(block.parameters())
        gradients = torch.autograd.grad((before * goal).sum(), weights, allow_unused=True)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                if gradient is not None:
                    weight.sub_(gradient, alpha=STEP)
            after = branches(block, x)
        added.append(before.detach())
        learns.append((after.amax((1, 2)) - after.amin((1, 2))).amax(-1) > DEPENDS)
    return torch.stack(added).numpy(), torch.stack(learns).numpy().astype(int)


def branches(block: TransformerBlock, x: Tensor) -> Tensor:
    """What attention and MLP of a layer add to the stream x: (2, B, T, D)."""
    parts = (block.attention, block.attention_norm), (block.feed_forward, block.feed_forward_norm)
    return torch.stack([branch(norm(x)) for branch, norm in parts])


@exercise.cases
def _(rng):
    def inputs(n_layers, d_model, n_heads, d_ff, activation="gelu", bias=True, norm="layer"):
        seed = int(rng.integers(1000))
        return {"stack": Stack(n_layers, d_model, n_heads, d_ff, activation, bias, norm, seed)}

    return [
        Case("two layers", inputs(2, 6, 2, 5)),
        Case(
            "as in SmolLM2",
            inputs(3, 6, 3, 7, "swiglu", bias=False, norm="rms"),
            catches="a bias taken for granted",
        ),
        Case(
            "all matrices square",
            inputs(2, 6, 2, 6, "swiglu"),
            catches="the MLP's last matrix known by its width",
        ),
    ]


exercise.changed(
    "only attention",
    "Only what attention adds is 0: the MLP is the second branch of each layer, and adds to the stream too.",
    ("(block.attention.out_proj, block.feed_forward.down_proj)", "(block.attention.out_proj,)"),
)
exercise.changed(
    "only the MLP",
    "Only what the MLP adds is 0: attention is the first branch of each layer, and adds to the stream too.",
    ("(block.attention.out_proj, block.feed_forward.down_proj)", "(block.feed_forward.down_proj,)"),
)
exercise.changed(
    "biases forgotten",
    "The matrices are 0, but where the stack has biases, those behind them are still added to the stream.",
    ("\n            if linear.bias is not None:\n                nn.init.zeros_(linear.bias)", ""),
)
exercise.changed(
    "a bias taken for granted",
    "Some stacks have no biases: `linear.bias` is None there, and cannot be filled. Ask first.",
    ("            if linear.bias is not None:\n                nn", "            nn"),
)
exercise.changed(
    "up for down",
    "`up_proj` is 0 where `down_proj` should be: it makes the wide vector, and a bias of `down_proj` is "
    "still added. Look for the matrix with the last word.",
    ("block.feed_forward.down_proj", "block.feed_forward.up_proj"),
)
exercise.changed(
    "only the biases",
    "Only biases were set to 0: the matrices before them still add to the stream.",
    ("nn.init.zeros_(linear.weight)", ""),
)


@exercise.mistake("the first matrices")
def _(stack):
    """The matrices that read the stream are 0. The ones behind them still have a bias to add, and in a gated
    MLP two factors of a product are 0, so that no gradient reaches either. Look for the matrix with the last
    word.
    """
    for name, parameter in stack.named_parameters():
        if "proj" in name and "out_proj" not in name and "down_proj" not in name:
            nn.init.zeros_(parameter)


@exercise.mistake("everything")
def _(stack):
    """Each layer gives back what it gets, but it is dead: with all its matrices 0, the gradient of each is a
    product with 0. Leave something for the gradient to pass through.
    """
    for name, parameter in stack.named_parameters():
        if "proj" in name:
            nn.init.zeros_(parameter)


@exercise.mistake("everything but the biases")
def _(stack):
    """All that is called a weight is 0, but biases are still added to the stream; and with all its matrices 0
    a branch is dead. Look for the matrix with the last word, and its bias.
    """
    for name, parameter in stack.named_parameters():
        if name.endswith("weight"):
            nn.init.zeros_(parameter)


@exercise.mistake("the norms")
def _(stack):
    """The weights of the norms are 0, so attention and MLP read zeros. Biases are still added, and a gated
    MLP that reads zeros gets no gradient. Think of the other end of the branch.
    """
    for name, parameter in stack.named_parameters():
        if name.endswith("norm.weight"):
            nn.init.zeros_(parameter)


@exercise.mistake("identity matrices")
def _(stack):
    """The last matrices are identities, so what attention and MLP computed is added as it is. The layer is to
    be the identity, not its matrices: what is added should be 0.
    """
    for block in stack.blocks:
        nn.init.eye_(block.attention.out_proj.weight)
        nn.init.eye_(block.feed_forward.down_proj.weight)


exercise.changed(
    "only the first layer",
    "Only the first layer gives back what it gets: go through all of `stack.blocks`.",
    ("in stack.blocks:", "in stack.blocks[:1]:"),
)
exercise.changed(
    "only the last layer",
    "Only the last layer gives back what it gets: go through all of `stack.blocks`.",
    ("in stack.blocks:", "in stack.blocks[-1:]:"),
)


@exercise.mistake("nothing changed")
def _(stack):
    """The start values are as they came. Change them in place: a copy, or what you return, is not
    looked at.
    """
    identity_start(copy.deepcopy(stack))
