"""What a layer is worth

How much worse does a model predict without one of its layers? Given a `GPT` of the library, token ids (B,
T) and the number of a layer, counted from 0, return by how much the loss grows when that layer is skipped:
the stream passes it by as it came. The loss is the mean cross-entropy, in nats, of every token after the
first of each sequence, scored at the token before it. The number is below 0 where the model predicts better
without the layer. The model is used again, so it must be as it was when your function returns.

Hint: Write the loss first: `model(ids)` are scores (B, T, V), those at token t are for token t + 1. So the
scores of which tokens belong to which ids?

Hint: `with probing.layers_skipped(model, [layer]): ...` skips a layer inside, and puts it back.

Hint: `F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())` is the mean loss. Compute it
with all layers and without one, and subtract.
"""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import probing
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import in_torch, primes
from course_lib.checks.kinds import Case, Property
from course_lib.checks.values import WrongForm, describe, numbers_of
from course_lib.concepts.c06_residuals.tasks.logit_lens import Model, built, state_of, text_inputs, traces
from course_lib.decoder import GPT

OTHER_MODE = -1  # of a model that is as it was but for its mode; 1 is as it was, and 0 is not


def right_increase(result, inputs):
    """For which layer the number is wrong, or the model was left changed."""
    if result.dtype.kind == "f":
        expected = skip_each(skip_layer)(inputs["model"], inputs["ids"])[0].numpy()
        layer = int(np.abs(result - expected).argmax())
        return (
            f"Without layer {layer} (counted from 0) the loss grows by {expected[layer]:.4g}, but your "
            f"function says {result[layer]:.4g}."
        )
    return (
        f"The increase is right, but after layer {np.argmin(result)} (counted from 0) was skipped the model "
        "is not what it was: take hooks away again, and put back what was exchanged."
    )


exercise = Exercise(
    level=3,
    minutes=15,
    section="Which layers can go",
    results=("increase of the loss", "whether the model is as it was"),
    properties=(Property("right increase", right_increase),),
    on_trust="that the model is left as it was",
)


@exercise.solution
def skip_layer(model, ids, layer):
    """By how much the loss grows when a layer is skipped.

    Args:
        model: a `GPT`.
        ids: (B, T), tokens.
        layer: counted from 0.
    Returns: the mean loss of all tokens after the first without the layer, minus that with all layers.
    """
    ### BEGIN SOLUTION
    targets = ids[:, 1:].flatten()

    def loss():
        with torch.no_grad():
            return F.cross_entropy(model(ids)[:, :-1].flatten(0, 1), targets)  # scores (B, T - 1, V)

    with_all = loss()
    with probing.layers_skipped(model, [layer]):
        return loss() - with_all
    ### END SOLUTION


@exercise.adapt
def skip_each(learner: Callable[[GPT, Tensor, int], Any]) -> Callable[[Model, Tensor], list[Tensor]]:
    """Let the learner's function skip each layer of one model, one after the other."""

    def answer(model: Model, ids: Tensor) -> list[Tensor]:
        gpt = copy.deepcopy(built(model))
        before = state_of(gpt)
        costs, untouched = [], []
        for layer in range(model.n_layers):
            costs.append(as_number(learner(gpt, ids, layer)))
            left = traces(gpt, before)
            if len(gpt.stack.blocks) != model.n_layers:  # the next number would mean another layer
                raise WrongForm(f"The model is not as it was before the call: {left}.")
            untouched.append(OTHER_MODE if left.endswith(" mode") else int(left == ""))
        return [torch.stack(costs), torch.tensor(untouched).int()]

    return answer


def as_number(cost: Any) -> Tensor:
    """What the learner's function gives, as a tensor without axes.

    Raises: WrongForm: it is no number.
    """
    number = numbers_of(cost, tensor=False)
    if number.size != 1:
        raise WrongForm(f"It must return one number for a layer, but got {describe(cost)}.")
    return torch.from_numpy(number.reshape(()).astype(float))


@exercise.cases
def _(rng):
    return in_torch(
        [
            Case("two layers, three tokens", text_inputs(rng, 2, "GPT-2", 1, 3)),
            Case(
                "three layers, as in Llama",
                text_inputs(rng, 3, "Llama", 1, 7),
                catches="all the others skipped",
            ),
            Case(
                "several sequences",
                text_inputs(rng, 2, "GPT-2", *primes(rng, 2, 5)),
                catches="sequences added up",
            ),
            Case(
                "a model in training mode",
                text_inputs(rng, 2, "Llama", 1, 5, training=True),
                catches="left in evaluation mode",
            ),
        ]
    )


# ------------------------------------------------------------------------------------------------- the loss

exercise.changed(
    "no shift",
    "The scores were compared with the tokens that they were made from: the scores at token t are for token "
    "t + 1.",
    ("ids[:, 1:].flatten()", "ids.flatten()"),
    ("model(ids)[:, :-1]", "model(ids)"),
)
exercise.changed(
    "the token before",
    "The scores were compared with the token before: the scores at token t are for token t + 1.",
    ("model(ids)[:, :-1]", "model(ids)[:, 1:]"),
    ("ids[:, 1:].flatten()", "ids[:, :-1].flatten()"),
)
exercise.changed(
    "sum instead of mean",
    "The losses of all tokens were added up: take their mean.",
    ("targets)", 'targets, reduction="sum")'),
)
exercise.changed(
    "sequences added up",
    "The means of the sequences were added up: take the mean over all tokens of all sequences.",
    (
        "F.cross_entropy(model(ids)[:, :-1].flatten(0, 1), targets)",
        "F.cross_entropy(model(ids)[:, :-1].flatten(0, 1), targets) * len(ids)",
    ),
)
exercise.changed(
    "perplexities",
    "These are perplexities, exp of the loss: return by how much the loss itself grows.",
    ("targets)", "targets).exp()"),
)
exercise.changed(
    "only the last token",
    "Only the last token of each sequence was scored: take the mean over all after the first.",
    ("ids[:, 1:]", "ids[:, -1:]"),
    ("model(ids)[:, :-1]", "model(ids)[:, -2:-1]"),
)


@exercise.mistake("bits")
def _(model, ids, layer):
    """This is the increase in bits: leave the natural logarithm, as `F.cross_entropy` has it."""
    return skip_layer(model, ids, layer) / math.log(2)


exercise.changed(
    "a softmax too many",
    "`F.cross_entropy` got probabilities: it takes the scores and does the softmax itself.",
    ("model(ids)[:, :-1]", "model(ids)[:, :-1].softmax(-1)"),
)


# ----------------------------------------------------------------------------------------- what is compared

exercise.changed(
    "the other sign",
    "The sign is the wrong way round: a layer that is missed makes the loss larger, which counts above 0.",
    ("loss() - with_all", "with_all - loss()"),
)
exercise.changed(
    "the loss itself",
    "This is the loss without the layer: subtract the loss with all layers.",
    ("loss() - with_all", "loss()"),
)
exercise.changed(
    "the ratio",
    "This is the loss without the layer, divided by that with all layers: subtract.",
    ("loss() - with_all", "loss() / with_all"),
)
exercise.changed(
    "as a share",
    "The increase was divided by the loss with all layers: return the increase itself.",
    ("loss() - with_all", "loss() / with_all - 1"),
)
exercise.changed(
    "the size of the difference",
    "The sign is lost: where a model predicts better without a layer, the increase is below 0.",
    ("loss() - with_all", "(loss() - with_all).abs()"),
)


# ------------------------------------------------------------------------------------------ what is skipped


@contextmanager
def silent(part: nn.Module) -> Iterator[None]:
    """Inside, a part of a model gives zeros."""
    hook = part.register_forward_hook(lambda part, args, output: torch.zeros_like(output))
    try:
        yield
    finally:
        hook.remove()


exercise.changed(
    "only attention skipped",
    "Only the layer's attention was left out: its MLP belongs to the layer too.",
    ("probing.layers_skipped(model, [layer])", "silent(model.stack.blocks[layer].attention)"),
)
exercise.changed(
    "only the MLP skipped",
    "Only the layer's MLP was left out: its attention belongs to the layer too.",
    ("probing.layers_skipped(model, [layer])", "silent(model.stack.blocks[layer].feed_forward)"),
)
exercise.changed(
    "the stream cut off",
    "The layer gives zeros, so what all layers before it wrote is lost: a skipped layer passes the stream "
    "on as it came.",
    ("probing.layers_skipped(model, [layer])", "silent(model.stack.blocks[layer])"),
)
exercise.changed(
    "counted from 1",
    "The layer before was skipped: layers are counted from 0.",
    ("[layer]", "[(layer - 1) % len(model.stack.blocks)]"),
)
exercise.changed(
    "all the others skipped",
    "All layers but this one were skipped: skip this one, the others stay.",
    ("[layer]", "[n for n in range(len(model.stack.blocks)) if n != layer]"),
)
exercise.changed(
    "all later layers too",
    "All layers from this one on were skipped: skip one, the others stay.",
    ("[layer]", "range(layer, len(model.stack.blocks))"),
)
exercise.changed(
    "all earlier layers too",
    "All layers up to this one were skipped: skip one, the others stay.",
    ("[layer]", "range(layer + 1)"),
)
exercise.changed(
    "not put back",
    "The layer was never put back: the next layer is then tried in a model that lacks this one.",
    (
        "with probing.layers_skipped(model, [layer]):\n        return",
        "model.stack.blocks[layer].forward = lambda x, **others: x\n    return",
    ),
)
exercise.changed(
    "left in evaluation mode",
    "A model that came in training mode was left in evaluation mode, which is what `model.eval()` does: "
    "leave it as it came. Ask `model.training` first, and put that back with `model.train(...)`.",
    ("with_all = loss()", "with_all = loss()\n    model.eval()"),
)
exercise.changed(
    "left in training mode",
    "A model that came in evaluation mode was left in training mode, which is what `model.train()` does: "
    "leave it as it came.",
    ("with_all = loss()", "with_all = loss()\n    model.train()"),
)
