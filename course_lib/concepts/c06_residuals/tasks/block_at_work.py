"""Your layer in a real model

Write a whole layer of SmolLM2: an RMS norm, a gated MLP and two additions. `attention` is a function from
(B, T, D) to (B, T, D), which is given. The layer is pre-norm: x becomes x plus what attention makes of the
normalised x, then x plus what the MLP makes of the normalised x. The norm divides each token by the root of
the mean of its squares, to which `eps` is added below the root, and multiplies it by a scale (D),
`attention_scale` or `mlp_scale`. The MLP is W_down (SiLU(W_gate x) * (W_up x)) with SiLU(z) = z sigmoid(z);
gate and up are (W, D) and down is (D, W), as `nn.Linear` keeps them, without biases. The check first tries
the layer on small tensors. Then it takes the place of all 30 layers of SmolLM2, and the model answers a
question as it did before.

Hint: Write three short functions: a norm, an MLP, and the layer in two lines. Which of the two scales
belongs to which line?

Hint: `(x.pow(2).mean(-1, keepdim=True) + eps).rsqrt()` is what each token is multiplied by.

Hint: A matrix (W, D) of `nn.Linear` widens a token by `x @ gate.T`. `F.silu` is the SiLU, and only the gate
goes through it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.checks import real_model
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch, primes
from course_lib.checks.kinds import Case
from course_lib.concepts.c06_residuals.tasks.gated_mlp import gated_mlp
from course_lib.concepts.c06_residuals.tasks.rms_norm import rms_norm

exercise = Exercise(
    level=4,
    minutes=25,
    section="Your layer",
    forbidden=(
        "torch.nn.functional.rms_norm",
        "course_lib.blocks.FeedForward.forward",
        "course_lib.blocks.TransformerBlock.forward",
    ),
    tensor=True,
)


@exercise.solution
def block(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    """A layer of SmolLM2: RMS norm, attention, addition, RMS norm, gated MLP, addition.

    Args:
        x: (B, T, D), the stream.
        attention: a function from (B, T, D) to (B, T, D).
        attention_scale: (D,), of the norm before attention.
        mlp_scale: (D,), of the norm before the MLP.
        gate: (W, D), as are the weights of `nn.Linear`, and so is up.
        down: (D, W).
        eps: added to the mean of the squares.
    Returns: (B, T, D).
    """
    ### BEGIN SOLUTION
    y = x * (x.pow(2).mean(-1, keepdim=True) + eps).rsqrt() * attention_scale
    x = x + attention(y)
    y = x * (x.pow(2).mean(-1, keepdim=True) + eps).rsqrt() * mlp_scale
    return x + (F.silu(y @ gate.T) * (y @ up.T)) @ down.T  # (B, T, W), then (B, T, D)
    ### END SOLUTION


class Mixer:
    """Attention's place in a case: something between the tokens that every answer calls in the same way."""

    __name__ = "a causal mean of tanh(x)"

    def __call__(self, x: Tensor) -> Tensor:
        """Each token gets the mean of what those up to it have, bent."""
        n_tokens = x.shape[1]
        return torch.tanh(2 * x).cumsum(1) / torch.arange(1, n_tokens + 1, dtype=x.dtype)[:, None]


@exercise.cases
def _(rng):
    def inputs(b, t, d, f):
        x = draw(rng, b, t, d) + np.float32(0.5)  # not around 0: it shows whether the mean was taken off
        x[:, 0] *= np.float32(0.1)  # far below eps, for who takes eps for the least that something may be
        return {
            "x": x,
            "attention": Mixer(),
            "attention_scale": 1 + draw(rng, d, size=0.5),
            "mlp_scale": 1 + draw(rng, d, size=0.5),
            "gate": draw(rng, f, d),
            "up": draw(rng, f, d),
            "down": draw(rng, d, f),
            "eps": 0.2,
        }

    return in_torch(
        [
            Case("one token", inputs(1, 1, 3, 2)),
            Case("everything square", inputs(3, 3, 3, 3), catches="matrices transposed"),
            Case(
                "two sequences",
                inputs(2, *primes(rng, 3, 5), 11),
                gradients=True,
                catches="no graph",
            ),
        ]
    )


# ------------------------------------------------------------------------------------------ in a real model


@contextmanager
def layers_by(model: Any, layer: Callable[..., Tensor]) -> Iterator[list[int]]:
    """Inside, a function computes every layer of SmolLM2: it gets what the task `block_at_work` names.

    Gives: how many tokens it was called with each time, a list that grows.
    """
    calls: list[int] = []

    def instead(own: Any) -> Callable[..., Tensor]:
        mlp = own.feed_forward
        scales = own.attention_norm.weight, own.feed_forward_norm.weight
        matrices = mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight

        def forward(x: Tensor, mask: Any = None, cache: Any = None) -> Tensor:
            calls.append(x.shape[1])
            attention = partial(own.attention, mask=mask, cache=cache)
            return layer(x, attention, *scales, *matrices, own.attention_norm.eps)

        return forward

    try:
        for own in model.stack.blocks:
            vars(own)["forward"] = instead(own)  # comes before the method of its class
        yield calls
    finally:
        for own in model.stack.blocks:
            vars(own).pop("forward", None)


@exercise.finale
@real_model.with_smollm2("answer with your layer")
def builds_smollm2(learner: Callable[..., Tensor], model: Any, tokenizer: Any) -> Iterator[str]:
    """Let SmolLM2 answer with the learner's layer in place of each of its own; compare with its own."""
    return real_model.answers_alike(
        model,
        tokenizer,
        "your layer",
        lambda: layers_by(model, learner),
        f"Its stream has {model.config.d_model} numbers for each token.",
        lambda calls: (
            f"Your layer took the place of all {len(model.stack.blocks)} and was called {len(calls)} times."
        ),
    )


# --------------------------------------------------------------------------- how it normalises, and the MLP


def both_norms(normalised: str) -> list[tuple[str, str]]:
    """The changes of the two lines that normalise."""
    rightly = "x * (x.pow(2).mean(-1, keepdim=True) + eps).rsqrt()"
    scales = "attention_scale", "mlp_scale"
    return [(f"{rightly} * {scale}", f"{normalised} * {scale}") for scale in scales]


exercise.changed(
    "LayerNorm for RMSNorm",
    "The mean was taken off before the norm, as LayerNorm does: an RMS norm only divides.",
    *both_norms("F.layer_norm(x, x.shape[-1:], eps=eps)"),
)
exercise.changed(
    "GELU for SiLU",
    "The gate goes through a GELU: this model has learned with SiLU, z sigmoid(z).",
    ("F.silu", "F.gelu"),
)
exercise.changed(
    "ReLU for SiLU",
    "The gate goes through a ReLU: this model has learned with SiLU, z sigmoid(z).",
    ("F.silu", "F.relu"),
)
exercise.changed(
    "sigmoid for SiLU",
    "The gate goes through a sigmoid alone: SiLU is z sigmoid(z).",
    ("F.silu", "torch.sigmoid"),
)
exercise.changed(
    "nothing bent",
    "The gate is multiplied as it is: it goes through SiLU, z sigmoid(z).",
    ("F.silu(y @ gate.T)", "(y @ gate.T)"),
)
exercise.changed(
    "no gate",
    "The MLP has no gate: SiLU(W_up x) is missing a factor. The gate goes through SiLU, W_up x is "
    "multiplied by it.",
    ("F.silu(y @ gate.T) * (y @ up.T)", "F.silu(y @ up.T)"),
)
exercise.changed(
    "gate without up",
    "SiLU(W_gate x) was narrowed as it is: multiply it by W_up x first.",
    ("F.silu(y @ gate.T) * (y @ up.T)", "F.silu(y @ gate.T)"),
)
exercise.changed(
    "gate and up exchanged",
    "W_up x goes through SiLU, and the gate is plain: it is the other way round.",
    ("F.silu(y @ gate.T) * (y @ up.T)", "(y @ gate.T) * F.silu(y @ up.T)"),
)
exercise.changed(
    "SiLU on the product",
    "The product went through SiLU: only W_gate x does, before it is multiplied.",
    ("F.silu(y @ gate.T) * (y @ up.T)", "F.silu((y @ gate.T) * (y @ up.T))"),
)
exercise.changed(
    "SiLU on both",
    "Both wide vectors went through SiLU: only W_gate x does.",
    ("* (y @ up.T)", "* F.silu(y @ up.T)"),
)
exercise.changed(
    "gate and up added",
    "SiLU(W_gate x) and W_up x were added: multiply them.",
    ("F.silu(y @ gate.T) * (y @ up.T)", "F.silu(y @ gate.T) + (y @ up.T)"),
)


# --------------------------------------------------------------------------------- what is added, and where


@exercise.mistake("post-norm")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    """The sums were normalised: here the norm comes before attention and MLP, and the stream stays as
    it is.
    """
    x = rms_norm(x + attention(x), attention_scale, eps)
    return rms_norm(x + gated_mlp(x, gate, up, down), mlp_scale, eps)


@exercise.mistake("branches normalised")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    """What attention and MLP give was normalised: the norm comes before them."""
    x = x + rms_norm(attention(x), attention_scale, eps)
    return x + rms_norm(gated_mlp(x, gate, up, down), mlp_scale, eps)


exercise.changed(
    "additions left out",
    "Nothing is added to the stream: what attention and MLP give takes its place.",
    ("x + attention(y)", "attention(y)"),
    ("return x + ", "return "),
)
exercise.changed(
    "attention not added",
    "What attention gives takes the place of the stream: add it to x.",
    ("x + attention(y)", "attention(y)"),
)
exercise.changed(
    "MLP not added",
    "What the MLP gives takes the place of the stream: add it to x.",
    ("return x + ", "return "),
)
exercise.changed(
    "the normalised stream goes on",
    "Attention and MLP are added to the normalised x: add them to x as it came.",
    ("x + attention(y)", "y + attention(y)"),
    ("return x + ", "return y + "),
)
exercise.changed(
    "attention without a norm",
    "Attention reads the stream as it is: normalise it first.",
    ("attention(y)", "attention(x)"),
)
exercise.changed(
    "MLP without a norm",
    "The MLP reads the stream as it is: normalise it first.",
    ("x * (x.pow(2).mean(-1, keepdim=True) + eps).rsqrt() * mlp_scale", "x"),
)
exercise.changed(
    "no attention",
    "The attention was never used: the layer adds it before the MLP.",
    ("x = x + attention(y)", ""),
)
exercise.changed(
    "no MLP",
    "The MLP was never used: the layer adds it after attention.",
    ("return x + (F.silu(y @ gate.T) * (y @ up.T)) @ down.T", "return x"),
)
exercise.changed(
    "what attention adds is lost",
    "What the MLP gives is added to x as it came: add it to the stream, which already holds what "
    "attention gave.",
    ("x = x + attention(y)", "first, x = x, x + attention(y)"),
    ("return x + ", "return first + "),
)
exercise.changed(
    "both at once",
    "The MLP reads the stream from before attention: it reads what attention has added to.",
    ("x = x + attention(y)", "mixed = attention(y)"),
    ("return x + ", "return x + mixed + "),
)


@exercise.mistake("the MLP first")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    """The MLP comes before attention: attention is first."""
    x = x + gated_mlp(rms_norm(x, mlp_scale, eps), gate, up, down)
    return x + attention(rms_norm(x, attention_scale, eps))


# ----------------------------------------------------------------------------------------------- which norm


@exercise.mistake("scales exchanged")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    """The two scales are exchanged: attention reads with `attention_scale`, the MLP with `mlp_scale`."""
    return block(x, attention, mlp_scale, attention_scale, gate, up, down, eps)


exercise.changed(
    "one scale for both",
    "Both norms have `attention_scale`: the MLP reads with `mlp_scale`.",
    ("rsqrt() * mlp_scale", "rsqrt() * attention_scale"),
)
exercise.changed(
    "no scale",
    "The normalised tokens are not multiplied by their scale.",
    (" * attention_scale", ""),
    (" * mlp_scale", ""),
)
exercise.changed(
    "eps outside the root",
    "`eps` is added to the root: it is added to the mean of the squares, below the root.",
    *both_norms("x / (x.pow(2).mean(-1, keepdim=True).sqrt() + eps)"),
)


@exercise.mistake("no eps")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    """`eps` is not used: it is added to the mean of the squares, below the root."""
    return block(x, attention, attention_scale, mlp_scale, gate, up, down, 0.0)


exercise.changed(
    "eps as a floor",
    "",
    *both_norms("x / x.pow(2).mean(-1, keepdim=True).sqrt().clamp(min=eps)"),
)
exercise.changed(
    "the mean of squares at least eps",
    "",
    *both_norms("x * x.pow(2).mean(-1, keepdim=True).clamp(min=eps).rsqrt()"),
)


@exercise.mistake("eps squared")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    return block(x, attention, attention_scale, mlp_scale, gate, up, down, eps**2)


@exercise.mistake("always the same eps")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    return block(x, attention, attention_scale, mlp_scale, gate, up, down, 1e-5)


exercise.changed(
    "each sequence normalised as a whole",
    "",
    *both_norms("x * (x.pow(2).mean((-2, -1), keepdim=True) + eps).rsqrt()"),
)
exercise.changed(
    "axis not kept",
    "The mean of the squares has lost its axis, so that it does not fit x, or fits along another axis: keep "
    "it with `keepdim=True`.",
    *both_norms("x * (x.pow(2).mean(-1) + eps).rsqrt()"),
)
exercise.changed(
    "multiplied by the root",
    "The tokens are multiplied by the root of the mean of their squares: divide by it, as `rsqrt` does.",
    *both_norms("x * (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()"),
)


@exercise.mistake("one more than the weight")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    """The numbers are multiplied by 1 + scale. Some models store their scales so (Gemma), here the scale is
    the factor itself.
    """
    return block(x, attention, 1 + attention_scale, 1 + mlp_scale, gate, up, down, eps)


exercise.changed(
    "sum instead of mean",
    "The squares were added up, so each token has length 1: take their mean.",
    *both_norms("x * (x.pow(2).sum(-1, keepdim=True) + eps).rsqrt()"),
)
exercise.changed(
    "no root",
    "Tokens are divided by the mean of their squares: by its root.",
    *both_norms("x / (x.pow(2).mean(-1, keepdim=True) + eps)"),
)
exercise.changed(
    "mean over the tokens",
    "The mean of the squares was taken over the tokens: each token has its own, over its D numbers.",
    *both_norms("x * (x.pow(2).mean(1, keepdim=True) + eps).rsqrt()"),
)
exercise.changed(
    "one mean for all",
    "The mean of the squares was taken over all tokens at once: each token has its own, over its D numbers.",
    *both_norms("x * (x.pow(2).mean() + eps).rsqrt()"),
)


exercise.changed(
    "reshaped instead of transposed",
    "`reshape` or `view` gave the matrices the shape that fits, but left the numbers in their order: `.mT` "
    "or `.T` exchanges rows and columns.",
    ("gate.T", "gate.reshape(gate.T.shape)"),
    ("up.T", "up.reshape(up.T.shape)"),
    ("down.T", "down.reshape(down.T.shape)"),
)
exercise.changed(
    "the wide matrices transposed",
    "This is `y @ gate` and `y @ up`: `nn.Linear` computes y @ W.T.",
    ("gate.T", "gate"),
    ("up.T", "up"),
)
exercise.changed(
    "the last matrix transposed", "This is `h @ down`: `nn.Linear` computes h @ W.T.", ("down.T", "down")
)


@exercise.mistake("matrices transposed")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    """The matrices are the wrong way round: `nn.Linear` computes x @ W.T."""
    return block(x, attention, attention_scale, mlp_scale, gate.mT, up.mT, down.mT, eps)
