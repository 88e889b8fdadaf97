"""What each layer would say

Every layer writes into the same stream that the head reads at the end, so the head can read it earlier.
Given a `GPT` of the library and token ids (B, T), return the scores of every token that the model would
give if its first layer were its last, if its second were, and so on: (L, B, T, V) for L layers. What leaves
the last layer goes through `model.stack.final_norm` and then through `model.lm_head`; here, what leaves
each layer does. So the last of the L are the model's own scores. Leave the model as it was. (nostalgebraist
2020.)

Hint: `with probing.recorded(model) as seen: model(ids)` runs the model, and `seen.streams` is then a list
with the stream as each layer leaves it. (`from course_lib import probing` stands above.)

Hint: `model.lm_head(model.stack.final_norm(stream))` are the scores that one stream would give.

Hint: `torch.stack` makes one tensor from a list of L tensors, with the new axis in front.
"""

import copy
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import probing
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import in_torch, primes
from course_lib.checks.kinds import Case, Property
from course_lib.checks.values import WrongForm
from course_lib.decoder import GPT, GPTConfig, LlamaConfig


def ends_as_the_model(result, inputs):
    """The last of the scores are the model's own."""
    own = built(inputs["model"])(inputs["ids"]).detach().numpy()
    if np.allclose(result[-1], own, rtol=0, atol=1e-3):
        return ""
    return "The last of the L should be the scores of the model itself, which they are not."


exercise = Exercise(
    level=3,
    minutes=15,
    section="A layer reads, and adds",
    forbidden=("course_lib.probing.logit_lens",),
    properties=(Property("ends as the model", ends_as_the_model),),
    on_trust="that the model is left as it was",
)


@exercise.solution
def logit_lens(model, ids):
    """For each layer the scores that the model would give if it were the last.

    Args:
        model: a `GPT`.
        ids: (B, T), tokens.
    Returns: (L, B, T, V); the last of the L are the model's own scores.
    """
    ### BEGIN SOLUTION
    with torch.no_grad(), probing.recorded(model) as seen:
        model(ids)
        return torch.stack([model.lm_head(model.stack.final_norm(stream)) for stream in seen.streams])
    ### END SOLUTION


# --------------------------------------------------------------------------------------------- small models


@dataclass(frozen=True, repr=False)
class Model:
    """A small GPT to be built."""

    n_layers: int
    style: str
    seed: int
    training: bool = False  # the mode that it comes in; without dropout its scores are the same

    def __repr__(self) -> str:
        mode = ", in training mode" if self.training else ""
        return f"a GPT of {self.n_layers} layers, {self.style} style, a head of its own{mode}"


@functools.lru_cache(maxsize=16)
def built(plan: Model) -> GPT:
    """A small GPT with weights of a size to be noticed. It is shared: who changes it takes a copy.

    In float64, so that whoever is right is so to many digits.
    """
    family = {"GPT-2": GPTConfig, "Llama": LlamaConfig}[plan.style]
    sizes: dict[str, Any] = {"vocab_size": 17, "max_seq_len": 13, "d_model": 12, "n_heads": 3, "d_ff": 19}
    model = GPT(family(**sizes, n_layers=plan.n_layers, tied=False)).train(plan.training)
    generator = torch.Generator().manual_seed(plan.seed)
    for name, value in model.named_parameters():
        size = 1 / math.sqrt(value.shape[-1]) if value.ndim > 1 else 0.3
        mean = float(value.ndim == 1 and name.endswith("weight"))  # the scales of norms
        nn.init.normal_(value, mean, size, generator=generator)
    return model.double()


@dataclass(frozen=True)
class State:
    """What a model was: a copy of its numbers, and the parts that were in training mode, by name."""

    numbers: dict[str, np.ndarray]
    training: set[str]


def state_of(model: GPT) -> State:
    numbers = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    return State(numbers, {name for name, part in model.named_modules() if part.training})


def traces(model: GPT, before: State) -> str:
    """Where a model is no longer what it was, or nothing.

    Args:
        before: its `state_of` then.
    """
    state = state_of(model)
    if len(state.numbers) < len(before.numbers):
        return f"{len(model.stack.blocks)} of its {model.config.n_layers} layers are left"
    for name, part in model.named_modules():
        if part._forward_hooks or part._forward_pre_hooks:
            return f"a hook is left on {name or 'it'}"
        if "forward" in vars(part):
            return f"the forward of {name or 'the model'} is another one"
    changed = [
        name for name, value in state.numbers.items() if not np.array_equal(value, before.numbers[name])
    ]
    if changed:
        return f"{changed[0]} has other numbers"
    return other_mode(state, before)


def other_mode(now: State, before: State) -> str:
    """The first part that came in another mode, or nothing."""
    parts = sorted(now.training ^ before.training)
    if not parts:
        return ""
    came, is_now = ("training", "evaluation") if parts[0] in before.training else ("evaluation", "training")
    return f"{parts[0] or 'it'} came in {came} mode and is in {is_now} mode"


@exercise.adapt
def read_model(learner: Callable[[GPT, Tensor], Any]) -> Callable[[Model, Tensor], Any]:
    """Give the learner's function the model itself, and look at what it leaves behind."""

    def answer(model: Model, ids: Tensor) -> Any:
        gpt = copy.deepcopy(built(model))
        before = state_of(gpt)
        result = learner(gpt, ids)
        left = traces(gpt, before)
        if left:
            raise WrongForm(f"The model is not as it was before the call: {left}.")
        return result

    return answer


def text_inputs(
    rng: np.random.Generator, n_layers: int, style: str, b: int, t: int, training: bool = False
) -> dict[str, Any]:
    """A model, and random tokens for it of which none follows itself."""
    ids = rng.integers(1, 17, (b, t)).cumsum(1) % 17
    return {"model": Model(n_layers, style, int(rng.integers(1000)), training), "ids": ids}


@exercise.cases
def _(rng):
    return in_torch(
        [
            Case("two layers, three tokens", text_inputs(rng, 2, "GPT-2", 1, 3)),
            Case(
                "several sequences",
                text_inputs(rng, 2, "Llama", *primes(rng, 3, 5)),
                catches="a bare reshape",
            ),
            Case(
                "a model in training mode",
                text_inputs(rng, 3, "GPT-2", 1, 2, training=True),
                catches="left in evaluation mode",
            ),
        ]
    )


# ------------------------------------------------------------------------------------- how a stream is read

exercise.changed(
    "no norm",
    "The head read the streams as they are: before the head comes `model.stack.final_norm`.",
    ("model.stack.final_norm(stream)", "stream"),
)
exercise.changed(
    "each layer's own norm",
    "Each stream went through a norm of its own layer, which reads for the MLP: the head always reads "
    "behind `model.stack.final_norm`.",
    ("model.stack.final_norm(stream)", "block.feed_forward_norm(stream)"),
    ("for stream in seen.streams", "for block, stream in zip(model.stack.blocks, seen.streams, strict=True)"),
)


exercise.changed(
    "the first norm of all",
    "Each stream went through the first norm of the model, that of the first layer's attention: the head "
    "always reads behind `model.stack.final_norm`.",
    ("model.stack.final_norm(stream)", "model.stack.blocks[0].attention_norm(stream)"),
)


@exercise.mistake("the norm of the next layer")
def _(model, ids):
    """Each stream went through the norm that reads it in the model, that of the next layer's attention: the
    head always reads behind `model.stack.final_norm`.
    """
    norms = [*(block.attention_norm for block in model.stack.blocks[1:]), model.stack.final_norm]
    with torch.no_grad(), probing.recorded(model) as seen:
        model(ids)
        return torch.stack([model.lm_head(norm(x)) for norm, x in zip(norms, seen.streams, strict=True)])


@exercise.mistake("a norm without its weights")
def _(model, ids):
    """The streams were normalised, but the norm's own weights are missing: call `model.stack.final_norm`
    itself.
    """
    norm = model.stack.final_norm
    with torch.no_grad(), probing.recorded(model) as seen:
        model(ids)
        bare = (norm(torch.stack(seen.streams)) - getattr(norm, "bias", 0)) / norm.weight
        return model.lm_head(bare)


exercise.changed(
    "the embedding table as head",
    "The scores were made with the embedding table. Some models share it with the head, others do not: "
    "`model.lm_head` is right for both.",
    (
        "model.lm_head(model.stack.final_norm(stream))",
        "model.stack.final_norm(stream) @ model.token_embedding.weight.T",
    ),
)


# --------------------------------------------------------------------------------------------- what is read

exercise.changed(
    "embeddings counted",
    "What enters the first layer was read too: there are L results, one for what leaves each layer.",
    ("seen.streams", "[model.embed(ids), *seen.streams]"),
)
exercise.changed(
    "what enters each layer",
    "What enters each layer was read: what leaves it counts, so that the last result is that of the model "
    "itself.",
    ("seen.streams", "[model.embed(ids), *seen.streams[:-1]]"),
)
exercise.changed(
    "last layer missing",
    "The last layer is missing: there are L results, and the last is that of the model itself.",
    ("seen.streams", "seen.streams[:-1]"),
)
exercise.changed(
    "what attention adds",
    "What attention adds was read: read the stream itself, to which all layers so far have added.",
    ("seen.streams", "seen.attention"),
)
exercise.changed(
    "what the MLP adds",
    "What the MLP adds was read: read the stream itself, to which all layers so far have added.",
    ("seen.streams", "seen.feed_forward"),
)
exercise.changed(
    "what each layer adds",
    "What each layer adds was read: read the stream itself, to which all layers so far have added.",
    ("seen.streams", "map(torch.add, seen.attention, seen.feed_forward)"),
)


# ----------------------------------------------------------------------------------------- what is returned


@exercise.mistake("the last layer first")
def _(model, ids):
    """The layers come backwards: the first result is that of the first layer."""
    return logit_lens(model, ids).flip(0)


@exercise.mistake("layers behind the sequences")
def _(model, ids):
    """The layers are the second axis: the result is (L, B, T, V), and `torch.stack` puts them in front."""
    return logit_lens(model, ids).transpose(0, 1)


@exercise.mistake("a bare reshape")
def _(model, ids):
    """The layers were put one behind the other along the tokens, and `reshape` or `view` gave that the right
    shape with the numbers of other sequences: `torch.stack` makes a new axis, in front.
    """
    scores = logit_lens(model, ids)
    return torch.cat(list(scores), dim=1).reshape(scores.shape)


@exercise.mistake("only the last token")
def _(model, ids):
    """Only the last token was read: the result is (L, B, T, V), for every token."""
    return logit_lens(model, ids)[:, :, -1]


@exercise.mistake("the likeliest token")
def _(model, ids):
    """These are the likeliest tokens: return the scores of all, (L, B, T, V)."""
    return logit_lens(model, ids).argmax(-1)


@exercise.mistake("probabilities")
def _(model, ids):
    """These are probabilities: return the scores as the head gives them, without a softmax."""
    return logit_lens(model, ids).softmax(-1)


@exercise.mistake("logarithms of probabilities")
def _(model, ids):
    """These are logarithms of probabilities: return the scores as the head gives them."""
    return logit_lens(model, ids).log_softmax(-1)


# -------------------------------------------------------------------------------------- what is left behind

exercise.changed(
    "left in evaluation mode",
    "A model that came in training mode was left in evaluation mode, which is what `model.eval()` does: "
    "leave it as it came. Ask `model.training` first, and put that back with `model.train(...)`.",
    ("with torch.no_grad(), probing", "model.eval()\n    with torch.no_grad(), probing"),
)
exercise.changed(
    "left in training mode",
    "A model that came in evaluation mode was left in training mode, which is what `model.train()` does: "
    "leave it as it came.",
    ("with torch.no_grad(), probing", "model.train()\n    with torch.no_grad(), probing"),
)
