"""The tasks of solutions/06_residuals/parts.ipynb: what they are tried on, and what is right.

Their words and the mistakes that learners make stand in 06_residuals.yml. The keyword-only arguments of a
reference are for these mistakes: each changes one thing.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from course_lib.checks.attention_in_torch import attend
from course_lib.checks.inputs import Rng, all_different, as_double, backwards, draw, in_torch, primes
from course_lib.checks.kinds import Case, Code, Property
from course_lib.checks.places import Layer
from course_lib.checks.values import is_double

Tensor = torch.Tensor
Array = np.ndarray
Axes = int | tuple[int, ...] | None
Function = Callable[[Tensor], Tensor]


def all_digits(reference: Callable[..., Tensor]) -> tuple[Property]:
    """What is computed in float32 keeps seven digits of a result in float64."""

    def broken(result: Array, inputs: Mapping[str, Any]) -> str:
        right = reference(**inputs).numpy()
        if not is_double(inputs) or not np.allclose(result, right, rtol=0, atol=1e-4):
            return ""
        return (
            "The result is right in its first digits only: x is float64, but something was computed in "
            "float32 on the way."
        )

    return (Property("all digits", broken),)


# ------------------------------------------------------------------------------------------- normalisation


def mean_of(x: Tensor, axes: Axes) -> Tensor:
    """The mean, ready to be taken away."""
    return x.mean(axes, keepdim=True)


def mean_square(x: Tensor, axes: Axes) -> Tensor:
    """The mean of the squares."""
    return mean_of(x * x, axes)


def variance(x: Tensor, axes: Axes) -> Tensor:
    """Mean of squares minus square of mean: of all ways this one rounds most, so all others are right."""
    return mean_square(x, axes) - mean_of(x, axes) ** 2


def root(square: Tensor, eps: float, d: int) -> Tensor:
    """What a norm divides by. Other functions of the same arguments are what learners write instead."""
    return (square + eps).sqrt()


def layer_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    eps: float,
    *,
    axes: Axes = -1,
    centre: Callable[[Tensor, Axes], Tensor] = mean_of,
    square: Callable[[Tensor, Axes], Tensor] = variance,
    divisor: Callable[[Tensor, float, int], Tensor] = root,
    join: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda y, weight, bias: y * weight + bias,
) -> Tensor:
    """Mean 0 and variance 1, then a learned scale and shift (Ba et al. 2016, equation 4)."""
    y = (x - centre(x, axes)) / divisor(square(x, axes), eps, x.shape[-1])
    return join(y, weight, bias)


def rms_norm(
    x: Tensor,
    weight: Tensor,
    eps: float,
    *,
    axes: Axes = -1,
    square: Callable[[Tensor, Axes], Tensor] = mean_square,
    divisor: Callable[[Tensor, float, int], Tensor] = root,
) -> Tensor:
    """Root mean square 1, then a learned scale (Zhang and Sennrich 2019, equation 4)."""
    return x / divisor(square(x, axes), eps, x.shape[-1]) * weight


def from_0_to_1(x: Tensor) -> Tensor:
    """The smallest number of each vector becomes 0, the largest 1."""
    low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
    return (x - low) / (high - low)


USUAL = 1e-6  # of numbers around 1 it changes the last digits only: whether eps is right shows elsewhere


def layer_norm_cases(rng: Rng) -> list[Case]:
    return norm_cases(rng, "weight", "bias")


def rms_norm_cases(rng: Rng) -> list[Case]:
    return norm_cases(rng, "weight")


def norm_cases(rng: Rng, *learned: str) -> list[Case]:
    """What a norm is tried on; `learned` are the vectors that it gets beside x."""

    def inputs(x: Array, eps: float = USUAL) -> dict[str, Any]:
        return {"x": x, **{name: draw(rng, x.shape[-1]) for name in learned}, "eps": eps}

    t, d = primes(rng, 5, 7)
    flat = draw(rng, 2, 3, 5)
    flat[0, 1], flat[1, 2] = 0.5, 0.0
    outlier = draw(rng, 2, 3, 13)
    outlier[:, 0, 7] = 1000
    return in_torch(
        [
            Case("one token of four numbers", inputs(all_different(rng, 4)), gradients=True),
            Case("two tokens", inputs(draw(rng, 2, 3))),
            Case("two sequences", inputs(draw(rng, 2, t, d)), gradients=True),
            Case("everything square", inputs(draw(rng, 5, 5, 5))),
            Case("more sequences than tokens", inputs(draw(rng, 7, 3, 11))),
            Case("four axes", inputs(draw(rng, 2, 3, 5, 7))),
            Case(
                "numbers as small as the root of eps", inputs(draw(rng, 2, 3, 11, size=1e-3)), gradients=True
            ),
            Case("a large eps", inputs(draw(rng, 3, 2, 5), eps=0.5)),
            Case("all numbers of a token are the same", inputs(flat, eps=1e-3)),
            Case("numbers far from 0", inputs(draw(rng, 2, 5, 7) + 10)),
            Case("one number far larger than the others, as in a real stream", inputs(outlier)),
            Case("vectors of one number", inputs(draw(rng, 2, 3, 1), eps=0.5)),
            Case("wide vectors", inputs(draw(rng, 3, 134))),
            Case("float64", as_double(inputs(draw(rng, 2, 3, 11), eps=0.5))),
            Case("stored column by column", inputs(backwards(draw(rng, 2, 5, 7)))),
        ]
    )


# ----------------------------------------------------------------------------------------------------- MLPs


def gelu(x: Tensor) -> Tensor:
    """In steps: below 0 the sum cancels, so that this way to write it rounds most, and all are right."""
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def mlp(
    x: Tensor,
    up: Tensor,
    up_bias: Tensor,
    down: Tensor,
    down_bias: Tensor,
    *,
    before: Function = lambda x: x,
    act: Function = gelu,
    after: Function = lambda y: y,
) -> Tensor:
    """Widen, bend, narrow (Vaswani et al. 2017, section 3.3)."""
    return after(act(before(x) @ up.mT + up_bias) @ down.mT + down_bias)


def gated_mlp(
    x: Tensor,
    gate: Tensor,
    up: Tensor,
    down: Tensor,
    *,
    act: Function = F.silu,
    join: Callable[[Tensor, Tensor], Tensor] = torch.mul,
    after: Function = lambda y: y,
) -> Tensor:
    """What is widened is let through by a gate, then narrowed (Shazeer 2020, equation 6)."""
    return after(join(act(x @ gate.mT), x @ up.mT) @ down.mT)


def tanh_gelu(x: Tensor) -> Tensor:
    """An approximation of GELU."""
    return F.gelu(x, approximate="tanh")


def mlp_cases(rng: Rng) -> list[Case]:
    def inputs(d: int, f: int) -> dict[str, Array]:
        up, down = matrix(rng, f, d), matrix(rng, d, f)
        return {"up": up, "up_bias": draw(rng, f), "down": down, "down_bias": draw(rng, d)}

    return wide_cases(rng, inputs)


def gated_mlp_cases(rng: Rng) -> list[Case]:
    def inputs(d: int, f: int) -> dict[str, Array]:
        return {"gate": matrix(rng, f, d), "up": matrix(rng, f, d), "down": matrix(rng, d, f)}

    return wide_cases(rng, inputs)


def matrix(rng: Rng, *shape: int) -> Array:
    """A matrix that neither shrinks nor blows up what it is multiplied with."""
    return draw(rng, *shape, size=1.5 / math.sqrt(shape[-1]))


def wide_cases(rng: Rng, weights: Callable[[int, int], dict[str, Array]]) -> list[Case]:
    """What an MLP is tried on; `weights` makes its matrices from D and F."""

    def inputs(*shape: int, f: int, size: float = 1.0) -> dict[str, Any]:
        return {"x": draw(rng, *shape, size=size), **weights(shape[-1], f)}

    t, d = primes(rng, 5, 7)
    stored = {name: backwards(x) if x.ndim > 1 else x for name, x in inputs(2, 5, 3, f=7).items()}
    return in_torch(
        [
            Case("one token of two numbers", inputs(2, f=3), gradients=True),
            Case("two tokens", inputs(2, 3, f=5)),
            Case("two sequences", inputs(2, t, d, f=13), gradients=True),
            Case("everything square", inputs(5, 5, 5, f=5)),
            Case("as wide inside as outside", inputs(2, 3, 7, f=7)),
            Case("narrower inside", inputs(3, 2, 7, f=5)),
            Case("four times as wide", inputs(3, 7, 5, f=20)),
            Case("large numbers", inputs(2, 3, 5, f=11, size=30)),
            Case("one number in a token", inputs(2, 3, 1, f=7)),
            Case("four axes", inputs(2, 3, 5, 7, f=11)),
            Case("float64", as_double(inputs(2, 3, 5, f=11))),
            Case("stored column by column", stored),
        ]
    )


# --------------------------------------------------------------------------------------------------- layers


def pre_norm_block(
    x: Tensor, attention: Function, mlp: Function, norm_1: Function, norm_2: Function
) -> Tensor:
    """Each part reads the normalised stream and adds to it (Radford et al. 2019, section 2.3)."""
    x = x + attention(norm_1(x))
    return x + mlp(norm_2(x))


def post_norm_block(
    x: Tensor, attention: Function, mlp: Function, norm_1: Function, norm_2: Function
) -> Tensor:
    """Each part reads the stream, and the sum is normalised (Vaswani et al. 2017, section 3.1)."""
    x = norm_1(x + attention(x))
    return norm_2(x + mlp(x))


def given_parts(rng: Rng, d: int) -> dict[str, Layer]:
    """Attention that mixes the tokens, an MLP, and two norms, each with weights of its own."""

    def vector() -> Tensor:
        return torch.from_numpy(draw(rng, d))

    matrices = [torch.from_numpy(matrix(rng, d, d)) for _ in range(5)]

    def norm() -> Function:
        weight, bias = 1 + vector() / 2, vector()
        return lambda x: F.layer_norm(x, (d,), weight.to(x.dtype), bias.to(x.dtype))

    def attention(x: Tensor) -> Tensor:
        return attend(*(x @ w.to(x.dtype) for w in matrices[:3]))

    def feed_forward(x: Tensor) -> Tensor:
        w_up, w_down = (w.to(x.dtype) for w in matrices[3:])
        return F.gelu(x @ w_up) @ w_down

    functions = {"attention": attention, "mlp": feed_forward, "norm_1": norm(), "norm_2": norm()}
    return {name: Layer(name, function) for name, function in functions.items()}


def block_cases(rng: Rng) -> list[Case]:
    def inputs(x: Array) -> dict[str, Any]:
        return {"x": x, **given_parts(rng, x.shape[-1])}

    t, d = primes(rng, 5, 7)
    return in_torch(
        [
            Case("two tokens of three numbers", inputs(draw(rng, 1, 2, 3)), gradients=True),
            Case("three tokens", inputs(draw(rng, 1, 3, 5))),
            Case("two sequences", inputs(draw(rng, 2, t, d)), gradients=True),
            Case("everything square", inputs(draw(rng, 5, 5, 5))),
            Case("one token", inputs(draw(rng, 3, 1, 7))),
            Case("large numbers", inputs(draw(rng, 2, 3, 11, size=10))),
            Case("far from 0", inputs(draw(rng, 2, 5, 7) + 10)),
            Case("float64", as_double(inputs(draw(rng, 2, 3, 7)))),
            Case("stored column by column", inputs(backwards(draw(rng, 2, 5, 7)))),
        ]
    )


TASKS = {
    "layer_norm": Code(
        reference=layer_norm, cases=layer_norm_cases, properties=all_digits(layer_norm), tensor=True
    ),
    "rms_norm": Code(reference=rms_norm, cases=rms_norm_cases, properties=all_digits(rms_norm), tensor=True),
    "mlp": Code(reference=mlp, cases=mlp_cases, properties=all_digits(mlp), tensor=True),
    "gated_mlp": Code(
        reference=gated_mlp, cases=gated_mlp_cases, properties=all_digits(gated_mlp), tensor=True
    ),
    "pre_norm_block": Code(reference=pre_norm_block, cases=block_cases, tensor=True),
    "post_norm_block": Code(reference=post_norm_block, cases=block_cases, tensor=True),
}
