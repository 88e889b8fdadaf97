"""Your rotation in a real model

Cosines and sines do not depend on the tokens, so a real model makes them once. Build `rotate_pairs` as a
layer that does so. `__init__` makes the cosines and sines of all places from 0 to max_seq_len - 1 and keeps
them with `self.register_buffer`, so that they move with the model to its device. There is nothing to train,
so the layer has no parameters. `forward(x, start=0)` turns x (B, H, T, K), whose first token stands at
place `start`, by the rows that it needs. Tables in float32 will do here. The check first tries the layer on
small tensors. Then all layers of SmolLM2 turn their queries and keys with it, and the model answers a
question as it did before.

Hint: The angles are those of `rotate_pairs`, for places 0 to max_seq_len - 1: a table (max_seq_len, d_head
/ 2).

Hint: `forward` takes T rows of each table, from row `start` on: `self.cos[start : start + T]`.

Hint: `self.register_buffer("cos", angles.cos(), persistent=False)` keeps a table as `self.cos`, and leaves
it out of the files in which weights are saved.
"""

from contextlib import contextmanager

import torch
from torch import nn

from course_lib.checks import real_model
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import draw, in_torch, primes
from course_lib.checks.kinds import Case, Property
from course_lib.checks.modules import check_weights
from course_lib.concepts.c05_positions.tasks.rotate_pairs import WRONGLY_TURNED, same_lengths

exercise = Exercise(
    level=4,
    minutes=20,
    section="A clock hand",
    call="Rotation(d_head, max_seq_len, base)(x, start)",
    forbidden=(
        "course_lib.positions.apply_rotary",
        "course_lib.positions.RotaryEmbedding.forward",
    ),
    tensor=True,
    properties=(Property("same lengths", same_lengths),),
    other_forms=False,  # of a result in float64, tables in float32 leave seven digits
    on_trust="that the layer has no parameters",
)


@exercise.solution
class Rotation(nn.Module):
    """`rotate_pairs` as a layer that makes its cosines and sines once.

    Args:
        d_head: K, numbers in a head; even.
        max_seq_len: how many places the tables have.
        base: see `rotate_pairs`.
    """

    def __init__(self, d_head, max_seq_len, base):
        super().__init__()
        ### BEGIN SOLUTION
        exponents = torch.arange(0, d_head, 2) / d_head
        angles = torch.arange(max_seq_len)[:, None] / base**exponents  # (max_seq_len, K / 2)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        ### END SOLUTION

    def forward(self, x, start=0):
        """Turn x (B, H, T, K), whose first token stands at place start."""
        ### BEGIN SOLUTION
        rows = slice(start, start + x.shape[-2])
        cos, sin = self.cos[rows], self.sin[rows]
        left, right = x[..., 0::2], x[..., 1::2]
        turned = [left * cos - right * sin, left * sin + right * cos]
        return torch.stack(turned, dim=-1).flatten(-2)
        ### END SOLUTION


@exercise.adapt
def as_function(learner):
    """Build the learner's layer, call it; `before` is what it is called with first: it must not matter."""

    def layer(x, start, base, max_seq_len, before=None):
        module = learner(x.shape[-1], max_seq_len, base)
        check_weights(module, {}, "layer")
        if before is not None:
            module(*before)
        return module(x, start) if start else module(x)

    return layer


@exercise.cases
def _(rng):
    def inputs(*shape, start=0, base=10.0, max_seq_len=17):
        return {"x": draw(rng, *shape), "start": start, "base": base, "max_seq_len": max_seq_len}

    def called_before(n_tokens, begin, *shape, start):
        first = torch.from_numpy(draw(rng, *shape[:2], n_tokens, shape[3]))
        return {**inputs(*shape, start=start), "before": (first, begin)}

    b, h, t = primes(rng, 2, 3, 5)
    return in_torch(
        [
            Case("one pair, two heads, three tokens", inputs(1, 2, 3, 2)),
            Case("everything square", inputs(4, 4, 4, 4, start=3), catches="tokens on axis 1"),
            Case(
                "two sequences",
                inputs(b, h, t, 14, start=7, base=10000.0),
                gradients=True,
                catches="no graph",
            ),
            Case(
                "as many tokens as places",
                inputs(1, 2, 11, 6, base=100.0, max_seq_len=11),
                catches="one row too few",
            ),
            Case(
                "the same layer, called with five tokens before",
                called_before(5, 0, 1, 2, 3, 4, start=5),
                catches="the table of the first call",
            ),
            Case(
                "one new token",
                inputs(2, 3, 1, 6, start=11, base=100.0, max_seq_len=13),
                catches="an axis of one lost",
            ),
        ]
    )


@contextmanager
def turned_by(model, rotate):
    """Inside, every layer of a `GPT` turns its queries and keys with rotate(x, start).

    Gives: the start of every call so far, a list that grows.
    """
    starts = []

    def instead(module, args, output):
        starts.append(args[1])
        return rotate(*args)

    hook = model.rotary.register_forward_hook(instead)  # all layers share this module
    try:
        yield starts
    finally:
        hook.remove()


@exercise.finale
@real_model.with_smollm2("answer with your rotation")
def turns_smollm2(learner, model, tokenizer):
    """Let SmolLM2 answer with the learner's rotation; compare with its own."""
    rotary, n_layers = model.rotary, len(model.stack.blocks)
    layer = learner(rotary.d_head, rotary.max_seq_len, rotary.base).to(rotary.cos.device)
    return real_model.answers_alike(
        model,
        tokenizer,
        "your rotation",
        lambda: turned_by(model, layer),
        f"Its heads have {rotary.d_head} numbers, and there are {rotary.max_seq_len:,} places.",
        lambda starts: (
            f"In {n_layers} layers your rotation was called {len(starts)} times, for places up to "
            f"{max(starts)}."
        ),
    )


for name, changes in WRONGLY_TURNED.items():
    exercise.changed(name, "", *changes)


# ------------------------------------------------------------------------------------------- by which angle

exercise.changed("half the exponent", "", ("torch.arange(0, d_head, 2)", "torch.arange(d_head // 2)"))
exercise.changed("twice the exponent", "", (" / d_head", " / (d_head // 2)"))
exercise.changed(
    "an angle for each number",
    "",
    ("torch.arange(0, d_head, 2)", "torch.arange(d_head)"),
    (
        "turned = [left * cos - right * sin, left * sin + right * cos]",
        "quarter = torch.stack([-right, left], dim=-1).flatten(-2)",
    ),
    ("torch.stack(turned, dim=-1).flatten(-2)", "x * cos + quarter * sin"),
)
exercise.changed(
    "divided by the number of places",
    "The exponent was divided by the number of places: it is 2i/K, K being the numbers in a head.",
    (" / d_head", " / max_seq_len"),
)
exercise.changed(
    "brackets of the exponent forgotten", "", ("/ base**exponents", "/ base ** (exponents * d_head) / d_head")
)
exercise.changed("pairs counted from 1", "", ("torch.arange(0, d_head, 2)", "torch.arange(2, d_head + 2, 2)"))
exercise.changed("one angle for all pairs", "", (" / base**exponents", ""))
exercise.changed("the slow pairs first", "", ("base**exponents", "base ** exponents.flip(0)"))
exercise.changed("start ignored", "", ("slice(start, start + x.shape[-2])", "slice(x.shape[-2])"))
exercise.changed("counted from 1", "", ("torch.arange(max_seq_len)", "torch.arange(1, max_seq_len + 1)"))
exercise.changed(
    "one place too early",
    "",
    ("torch.arange(max_seq_len)[:, None]", "torch.arange(-1, max_seq_len - 1)[:, None]"),
)
exercise.changed("places up to T", "", ("slice(start, start + x.shape[-2])", "slice(start, x.shape[-2])"))
exercise.changed(
    "cosine and sine exchanged",
    "",
    ("cos, sin = self.cos[rows], self.sin[rows]", "sin, cos = self.cos[rows], self.sin[rows]"),
)
exercise.changed(
    "turned by degrees",
    "",
    ('"cos", angles.cos()', '"cos", angles.deg2rad().cos()'),
    ('"sin", angles.sin()', '"sin", angles.deg2rad().sin()'),
)
exercise.changed(
    "all tokens in one place", "", ("slice(start, start + x.shape[-2])", "slice(start, start + 1)")
)
exercise.changed(
    "places along the heads",
    "",
    ("x.shape[-2])", "x.shape[1])"),
    ("self.cos[rows], self.sin[rows]", "self.cos[rows, None], self.sin[rows, None]"),
)
exercise.changed(
    "tokens on axis 1",
    "",
    (
        "self.cos[rows], self.sin[rows]",
        "(table[rows].view(1, x.shape[1], 1, x.shape[-1] // 2) for table in (self.cos, self.sin))",
    ),
)
exercise.changed(
    "an axis for the heads behind the places",
    "",
    ("self.cos[rows], self.sin[rows]", "self.cos[rows, None], self.sin[rows, None]"),
)
exercise.changed("always 10,000", "", ("base**exponents", "10_000**exponents"))

# ------------------------------------------------------------------------------------------- which table

exercise.changed(
    "the table of the first call",
    "The layer keeps the cosines and sines of its first call, and uses them for other places: take the rows "
    "from `start` on in every call.",
    (
        "rows = slice(start, start + x.shape[-2])",
        'self.rows = rows = getattr(self, "rows", slice(start, start + x.shape[-2]))',
    ),
)


@exercise.mistake("counts on by itself")
class _(Rotation):
    """The layer goes on counting where its last call ended: the place of the first token is `start`."""

    end = 0

    def forward(self, x, start=0):
        start, self.end = self.end, self.end + x.shape[-2]
        return super().forward(x, start)


exercise.changed(
    "one row too few",
    "The tables have no row for the last place: places 0 to max_seq_len - 1 need max_seq_len rows.",
    ("torch.arange(max_seq_len)", "torch.arange(max_seq_len - 1)"),
)
exercise.changed(
    "the whole table",
    "Cosines and sines of all places were used: take T rows, from row `start` on.",
    ("rows = slice(start, start + x.shape[-2])", "rows = slice(None)"),
)
exercise.changed(
    "the last rows of the table",
    "The last T rows of the table are used: take T rows from row `start` on.",
    ("slice(start, start + x.shape[-2])", "slice(-x.shape[-2], None)"),
)
exercise.changed(
    "the base for the number of places",
    "The table's length was taken for the base: it is the third argument of `__init__`.",
    ("base**exponents", "max_seq_len**exponents"),
)
