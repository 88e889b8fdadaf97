"""The tasks of solutions/06_residuals/depth.ipynb: what they are tried on, and what is right.

Their words and the mistakes that learners make stand in 06_residuals.yml. The keyword-only arguments of a
reference are for these mistakes: each changes one thing.
"""

import copy
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import probing
from course_lib.blocks import Activation, LayerNorm, NormType, RMSNorm, TransformerBlock, TransformerStack
from course_lib.checks import real_model
from course_lib.checks.inputs import Rng, as_double, backwards, between, draw, in_torch, primes, repeatable
from course_lib.checks.kinds import Case, Code, Property
from course_lib.checks.modules import check_weights
from course_lib.checks.parts import gated_mlp, rms_norm
from course_lib.checks.values import WrongForm, describe, numbers_of
from course_lib.decoder import GPT, GPTConfig, LlamaConfig

Tensor = torch.Tensor
Array = np.ndarray


# -------------------------------------------------------------------------------------------- identity start


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

    def __call__(self) -> TransformerStack:
        """Build it."""
        with repeatable(self.seed):
            return TransformerStack(
                self.d_model,
                self.n_layers,
                self.n_heads,
                self.d_ff,
                norm_type=self.norm_type,
                activation=self.activation,
                bias=self.bias,
            )

    def __repr__(self) -> str:
        biases = "with biases" if self.bias else "no biases"
        return f"{self.n_layers} layers of width {self.d_model}, {self.activation}, {biases}"


# Built once for each case, which the references and known mistakes read; who changes it gets a copy.
built = functools.lru_cache(maxsize=16)(lambda plan: plan())


def fresh(plan: Any) -> Any:
    """A `Stack` or a `Model`, built for somebody who may change it."""
    return copy.deepcopy(built(plan))


ADD = ("out_proj", "down_proj")  # the last matrix of each branch: what it gives is added to the stream


def blocks_of(model: nn.Module) -> list[TransformerBlock]:
    """The layers, the first one first."""
    return [part for part in model.modules() if isinstance(part, TransformerBlock)]


def linears(model: nn.Module) -> dict[str, nn.Linear]:
    """The matrices, by name."""
    return {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear)}


def last_matrices(stack: TransformerStack) -> list[nn.Linear]:
    """What gives the sums that are added to the stream, two of each layer."""
    return [part for name, part in linears(stack).items() if name.endswith(ADD)]


def first_matrices(stack: TransformerStack) -> list[nn.Linear]:
    """All others."""
    return [part for name, part in linears(stack).items() if not name.endswith(ADD)]


def norms(stack: nn.Module) -> list[nn.Module]:
    """The norms of all layers, and the last one."""
    return [part for part in stack.modules() if isinstance(part, LayerNorm | RMSNorm)]


def values_of(parts: Iterable[nn.Module], *names: str) -> list[Tensor]:
    """The parameters of these names, of all parts that have one."""
    found = (getattr(part, name, None) for part in parts for name in names or ("weight", "bias"))
    return [value for value in found if value is not None]


def fill_zeros(values: Iterable[Tensor]) -> None:
    """Zeros, in place."""
    for value in values:
        nn.init.zeros_(value)


def zeros(stack: TransformerStack) -> None:
    """In the last matrix of each branch and its bias."""
    fill_zeros(values_of(last_matrices(stack)))


def last_are_identities(stack: TransformerStack) -> None:
    """What attention and MLP computed is added as it is."""
    for weight in values_of(last_matrices(stack), "weight"):
        nn.init.eye_(weight)


# Where learners put zeros by mistake.
STARTS: dict[str, Callable[[TransformerStack], None]] = {
    "attention": lambda stack: fill_zeros(values_of(last_matrices(stack)[::2])),
    "MLP": lambda stack: fill_zeros(values_of(last_matrices(stack)[1::2])),
    "weights": lambda stack: fill_zeros(values_of(last_matrices(stack), "weight")),
    "biases": lambda stack: fill_zeros(values_of(last_matrices(stack), "bias")),
    "first matrices": lambda stack: fill_zeros(values_of(first_matrices(stack))),
    "all matrices": lambda stack: fill_zeros(values_of(linears(stack).values())),
    "norms": lambda stack: fill_zeros(values_of(norms(stack), "weight")),
    "first layer": lambda stack: fill_zeros(values_of(last_matrices(stack)[:2])),
    "last layer": lambda stack: fill_zeros(values_of(last_matrices(stack)[-2:])),
    "nowhere": lambda stack: None,
}


@functools.lru_cache(maxsize=256)
def identity_start(stack: Stack, *, start: Callable[[TransformerStack], None] = zeros) -> tuple[Array, Array]:
    """What each branch adds to the stream, and whether it can learn."""
    changed = fresh(stack)
    start(changed)
    return added_and_learning(changed, stack)


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


STEP = 0.1  # of gradient descent
DEPENDS = 1e-10  # in float64 a branch that gives all tokens the same differs from this by a factor of 10^5


def added_and_learning(stack: TransformerStack, plan: Stack) -> tuple[Array, Array]:
    """What attention and MLP of each layer add (L, 2, B, T, D); whether they learn to look at the token.

    Raises: WrongForm: as `check_stack`.
    """
    check_stack(stack, plan)
    stack = stack.double()
    generator = torch.Generator().manual_seed(plan.seed)
    x = torch.randn(2, 5, plan.d_model, dtype=torch.float64, generator=generator)
    goal = torch.randn(x.shape, dtype=torch.float64, generator=generator)
    added, learns = [], []
    for block in blocks_of(stack):
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


def change_stack(learner: Callable[[TransformerStack], Any]) -> Callable[[Stack], tuple[Array, Array]]:
    """Let the learner's function change a stack, and look at what it does then."""

    def changed(stack: Stack) -> tuple[Array, Array]:
        given = fresh(stack)
        with repeatable(stack.seed):
            learner(given)
        return added_and_learning(given, stack)

    return changed


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


def identity_start_cases(rng: Rng) -> list[Case]:
    def inputs(n_layers: int, d_model: int, n_heads: int, d_ff: int, **options: Any) -> dict[str, Any]:
        options = {"activation": "gelu", "bias": True, "seed": int(rng.integers(1000)), **options}
        return {"stack": Stack(n_layers, d_model, n_heads, d_ff, **options)}

    return [
        Case("two layers", inputs(2, 6, 2, 5)),
        Case("two layers without biases", inputs(2, 6, 2, 5, bias=False)),
        Case("a gated MLP", inputs(2, 6, 3, 7, activation="swiglu")),
        Case("as in SmolLM2", inputs(3, 6, 3, 7, activation="swiglu", bias=False, norm_type="rms")),
        Case("all matrices square", inputs(2, 6, 2, 6)),
        Case("all matrices square, no biases", inputs(2, 6, 2, 6, activation="swiglu", bias=False)),
        Case("one layer", inputs(1, 10, 5, 7)),
        Case("five layers", inputs(5, 6, 3, 11, norm_type="rms")),
    ]


# ---------------------------------------------------------------------------------------- depth-scaled start

# A standard deviation that is measured on so many numbers is off by 0.6 %.
WIDTH = 128
SAME = 0.04  # as a share: seven times as much

MATRICES = ("q_proj", "k_proj", "v_proj", "out_proj", "gate_proj", "up_proj", "down_proj")


def kinds(stack: Stack) -> tuple[str, ...]:
    """The matrices of each of its layers."""
    return tuple(name for name in MATRICES if stack.activation == "swiglu" or name != "gate_proj")


def root_of_branches(n_layers: int, layer: int) -> float:
    """sqrt(2 L): so many branches add to the stream."""
    return math.sqrt(2 * n_layers)


NORMAL, UNIFORM, OTHER = 1, 0, -1  # distributions, all with mean 0 but the last

# What is asked of a layer beside the standard deviations, in this order: 1 where it is so.
ASKED = (
    "the numbers of the matrices do not come from a normal distribution with mean 0",
    "the biases are not 0",
    "the norms were changed, which should stay as they are",
)


def depth_scaled_start(
    stack: Stack,
    std: float,
    *,
    scaled: tuple[str, ...] = ADD,
    divisor: Callable[[int, int], float] = root_of_branches,
    rest: float = 1.0,
    rest_is: tuple[int, int, int] = (NORMAL, 1, 1),
) -> list[Array]:
    """The standard deviation of each matrix (L, n), and for each layer what `ASKED` names.

    Args:
        scaled: the matrices that start smaller.
        divisor: from n_layers and the layer to how much smaller.
        rest: what the others are divided by.
        rest_is: as in `ASKED`.
    """
    stds = [
        [std / (divisor(stack.n_layers, layer) if name in scaled else rest) for name in kinds(stack)]
        for layer in range(stack.n_layers)
    ]
    return [np.array(stds), np.tile(rest_is, (stack.n_layers, 1))]


# What known mistakes divide by, beside the right one.
DIVISORS: dict[str, Callable[[int, int], float]] = {
    "sqrt(L)": lambda n_layers, layer: math.sqrt(n_layers),
    "2 L": lambda n_layers, layer: 2 * n_layers,
    "L": lambda n_layers, layer: n_layers,
    "1 / sqrt(2 L)": lambda n_layers, layer: 1 / math.sqrt(2 * n_layers),
    "2 sqrt(L)": lambda n_layers, layer: 2 * math.sqrt(n_layers),
    "sqrt of its place": lambda n_layers, layer: math.sqrt(2 * (layer + 1)),
    "1": lambda n_layers, layer: 1.0,
}


def measured(stack: TransformerStack, plan: Stack, std: float) -> list[Array]:
    """As `depth_scaled_start`, of a stack with random weights.

    A standard deviation that is close to one that somebody may have meant counts as that one, so that results
    can be compared.
    """
    start = built(plan)
    check_stack(stack, plan)
    stds, flags = [], []
    last_norm_stays = all(map(torch.equal, values_of([stack.final_norm]), values_of([start.final_norm])))
    for layer, (block, before) in enumerate(zip(blocks_of(stack), blocks_of(start), strict=True)):
        found = {name.split(".")[-1]: part for name, part in linears(block).items()}
        weights = {name: part.weight.detach().double() for name, part in found.items()}
        meant = [std / divisor(plan.n_layers, layer) for divisor in (root_of_branches, *DIVISORS.values())]
        for other in (std * std, math.sqrt(std)):
            meant += [other, other / root_of_branches(plan.n_layers, layer)]
        stds.append([nearest(float(weights[name].square().mean().sqrt()), meant) for name in kinds(plan)])
        no_bias = not any(bool(bias.any()) for bias in values_of(found.values(), "bias"))
        norms_stay = all(map(torch.equal, values_of(norms(block)), values_of(norms(before))))
        flags.append([min(map(distribution, weights.values())), no_bias, norms_stay and last_norm_stays])
    return [np.array(stds), np.array(flags, dtype=int)]


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


def measure_stack(learner: Callable[[TransformerStack, float], Any]) -> Callable[..., list[Array]]:
    """Let the learner's function change a stack, and measure what it did."""

    def changed(stack: Stack, std: float) -> list[Array]:
        given = fresh(stack)
        with repeatable(stack.seed):
            learner(given, std)
        return measured(given, stack, std)

    return changed


def right_spread(result: Array, inputs: Mapping[str, Any]) -> str:
    """Which matrix has another standard deviation."""
    if result.dtype.kind != "f":
        return ""
    stack, std = inputs["stack"], inputs["std"]
    wanted = depth_scaled_start(stack, std)[0]
    layer, kind = (int(i) for i in np.argwhere(np.abs(result / wanted - 1) > SAME / 2)[0])
    return (
        f"In layer {layer} (counted from 0) the numbers of {kinds(stack)[kind]} have a standard deviation of "
        f"about {result[layer, kind]:.2g}, expected {wanted[layer, kind]:.2g}."
    )


def right_rest(result: Array, inputs: Mapping[str, Any]) -> str:
    """What else is wrong with a layer."""
    if result.dtype.kind != "i":
        return ""
    layer, which = (int(i) for i in np.argwhere(result != 1)[0])
    return f"The standard deviations are right, but in layer {layer} (counted from 0) {ASKED[which]}."


def depth_scaled_start_cases(rng: Rng) -> list[Case]:
    def inputs(n_layers: int, std: float, **options: Any) -> dict[str, Any]:
        options = {"activation": "gelu", "bias": True, "seed": int(rng.integers(1000)), **options}
        return {"stack": Stack(n_layers, WIDTH, 4, WIDTH, **options), "std": std}

    def std(low: int, high: int) -> float:
        return between(rng, low, high) / 1000

    return [
        Case("two layers", inputs(2, 0.02)),
        Case("three layers without biases", inputs(3, std(10, 60), bias=False)),
        Case("a gated MLP", inputs(3, std(70, 110), activation="swiglu")),
        Case("as in SmolLM2", inputs(5, std(40, 60), activation="swiglu", bias=False, norm_type="rms")),
        Case("one layer", inputs(1, std(200, 350))),
        Case("several layers", inputs(between(rng, 4, 7), std(4, 9))),
    ]


# ------------------------------------------------------------------------------------------------ logit lens


@dataclass(frozen=True, repr=False)
class Model:
    """A small GPT to be built, with weights of a size to be noticed; the same ones in each build.

    In float64, so that whoever is right is so to many digits.
    """

    n_layers: int
    style: str
    tied: bool = False
    seed: int = 0

    def __call__(self) -> GPT:
        """Build it."""
        family = {"GPT-2": GPTConfig, "Llama": LlamaConfig}[self.style]
        sizes: dict[str, Any] = {"vocab_size": 17, "max_seq_len": 13, "d_model": 12, "n_heads": 3, "d_ff": 19}
        model = GPT(family(**sizes, n_layers=self.n_layers, tied=self.tied)).eval()
        generator = torch.Generator().manual_seed(self.seed)
        for name, value in model.named_parameters():
            size = 1 / math.sqrt(value.shape[-1]) if value.ndim > 1 else 0.3
            mean = float(value.ndim == 1 and name.endswith("weight"))  # the scales of norms
            nn.init.normal_(value, mean, size, generator=generator)
        return model.double()

    def __repr__(self) -> str:
        head = "the embedding table as head" if self.tied else "a head of its own"
        return f"a GPT of {self.n_layers} layers, {self.style} style, {head}"


Rows = tuple[tuple[int, ...], ...]


def rows_of(ids: Tensor) -> Rows:
    """Tokens as something that a cache can know."""
    return tuple(map(tuple, ids.tolist()))


@functools.lru_cache(maxsize=64)
def record_of(model: Model, rows: Rows) -> probing.Record:
    """What its layers compute."""
    with torch.no_grad(), probing.recorded(built(model)) as seen:
        built(model)(torch.tensor(rows))
    return seen


def streams_of(model: GPT, ids: Tensor, seen: probing.Record) -> list[Tensor]:
    """The stream as each layer leaves it."""
    return seen.streams


def what_each_adds(model: GPT, ids: Tensor, seen: probing.Record) -> list[Tensor]:
    """By how much each layer changes the stream."""
    before = [model.embed(ids), *seen.streams[:-1]]
    return [after - stream for stream, after in zip(before, seen.streams, strict=True)]


def read_by_head(model: GPT, stream: Tensor, layer: int) -> Tensor:
    """What the last norm and the head make of a stream."""
    return model.lm_head(model.stack.final_norm(stream))


def by_embedding(model: GPT, stream: Tensor, layer: int) -> Tensor:
    """As if the embedding table were the head."""
    return model.stack.final_norm(stream) @ model.token_embedding.weight.mT


def by_own_norm(model: GPT, stream: Tensor, layer: int) -> Tensor:
    """With the norm of the same layer's MLP in place of the last one."""
    return model.lm_head(blocks_of(model)[layer].feed_forward_norm(stream))


def by_next_norm(model: GPT, stream: Tensor, layer: int) -> Tensor:
    """With the norm that reads this stream in the model."""
    norms = [block.attention_norm for block in blocks_of(model)]
    return model.lm_head([*norms[1:], model.stack.final_norm][layer](stream))


def by_bare_norm(model: GPT, stream: Tensor, layer: int) -> Tensor:
    """With a norm that has no weights."""
    norm = model.stack.final_norm
    shift = getattr(norm, "bias", None)
    bare = norm(stream) if shift is None else norm(stream) - shift
    return model.lm_head(bare / norm.weight)


def logit_lens(
    model: Model,
    ids: Tensor,
    *,
    streams: Callable[[GPT, Tensor, probing.Record], list[Tensor]] = streams_of,
    read: Callable[[GPT, Tensor, int], Tensor] = read_by_head,
) -> Tensor:
    """For each layer the scores that the model would give, were that layer its last: (L, B, T, V)."""
    gpt = built(model)
    with torch.no_grad():
        chosen = streams(gpt, ids, record_of(model, rows_of(ids)))
        return torch.stack([read(gpt, stream, layer) for layer, stream in enumerate(chosen)])


def traces(model: GPT, plan: Model) -> str:
    """Where a model is no longer what it was built as, or nothing."""
    if len(model.stack.blocks) != plan.n_layers:
        return f"{len(model.stack.blocks)} of its {plan.n_layers} layers are left"
    for name, part in model.named_modules():
        if part._forward_hooks or part._forward_pre_hooks:
            return f"a hook is left on {name or 'it'}"
        if "forward" in vars(part):
            return f"the forward of {name or 'the model'} is another one"
        if part.training:
            return f"{name or 'it'} is in training mode"
    before = built(plan).state_dict()
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    return f"{changed[0]} has other numbers" if changed else ""


def read_model(learner: Callable[[GPT, Tensor], Any]) -> Callable[[Model, Tensor], Any]:
    """Give the learner's function the model itself, and look at what it leaves behind."""

    def answer(model: Model, ids: Tensor) -> Any:
        gpt = fresh(model)
        result = learner(gpt, ids)
        left = traces(gpt, model)
        if left:
            raise WrongForm(f"The model is not as it was before the call: {left}.")
        return result

    return answer


def draw_ids(rng: Rng, n_rows: int, n_tokens: int) -> Array:
    """Random tokens of a `Model`; no token follows itself."""
    steps = rng.integers(1, 17, (n_rows, n_tokens))
    return steps.cumsum(1) % 17


def ends_as_the_model(result: Array, inputs: Mapping[str, Any]) -> str:
    """The last of the scores are the model's own."""
    own = scores_of(inputs["model"], rows_of(inputs["ids"]), None, 0).numpy()
    if np.allclose(result[-1], own, rtol=0, atol=1e-3):
        return ""
    return "The last of the L should be the scores of the model itself, which they are not."


def text_inputs(rng: Rng, n_layers: int, style: str, b: int, t: int, *, tied: bool = False) -> dict[str, Any]:
    """A model and tokens for it."""
    return {
        "model": Model(n_layers, style, tied=tied, seed=int(rng.integers(1000))),
        "ids": draw_ids(rng, b, t),
    }


def logit_lens_cases(rng: Rng) -> list[Case]:
    inputs = partial(text_inputs, rng)
    b, t = primes(rng, 3, 5)
    return in_torch(
        [
            Case("two layers, three tokens", inputs(2, "GPT-2", 1, 3)),
            Case("as in SmolLM2", inputs(3, "Llama", 1, 5, tied=True)),
            Case("as in GPT-2", inputs(3, "GPT-2", 1, 5, tied=True)),
            Case("two sequences", inputs(3, "Llama", 2, 7)),
            Case("as many layers as sequences and tokens", inputs(3, "GPT-2", 3, 3)),
            Case("five layers", inputs(5, "Llama", b, t)),
            Case("one layer", inputs(1, "GPT-2", 2, 5)),
            Case("one token", inputs(2, "Llama", 3, 1)),
        ]
    )


# ------------------------------------------------------------------------------------------------ skip layer


def next_token_loss(logits: Tensor, ids: Tensor) -> Tensor:
    """The mean loss of each token after the first, from the scores at the token before it."""
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def own_token_loss(logits: Tensor, ids: Tensor) -> Tensor:
    """Scores are compared with the token that they were made from."""
    return F.cross_entropy(logits.flatten(0, 1), ids.flatten())


def previous_token_loss(logits: Tensor, ids: Tensor) -> Tensor:
    """Scores are compared with the token before."""
    return F.cross_entropy(logits[:, 1:].flatten(0, 1), ids[:, :-1].flatten())


@contextmanager
def given_instead(parts: Iterable[nn.Module], instead: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside, parts give something else than they computed."""
    hooks = [part.register_forward_hook(lambda part, args, output: instead(output)) for part in parts]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def without_attention(model: GPT, layer: int) -> Any:
    """The layer's attention adds nothing."""
    return given_instead([blocks_of(model)[layer].attention], torch.zeros_like)


def without_mlp(model: GPT, layer: int) -> Any:
    """The layer's MLP adds nothing."""
    return given_instead([blocks_of(model)[layer].feed_forward], torch.zeros_like)


def stream_of_zeros(model: GPT, layer: int) -> Any:
    """Nothing leaves the layer."""
    return given_instead([blocks_of(model)[layer]], torch.zeros_like)


def skipped(model: GPT, layer: int) -> Any:
    """The layer passes the stream on as it came."""
    return probing.layers_skipped(model, [layer])


def previous_layer_skipped(model: GPT, layer: int) -> Any:
    """As if layers were counted from 1: number 0 is then the last one, as in a list."""
    return probing.layers_skipped(model, [(layer - 1) % model.config.n_layers])


def later_layers_skipped(model: GPT, layer: int) -> Any:
    """This one, and all after it."""
    return probing.layers_skipped(model, range(layer, model.config.n_layers))


def earlier_layers_skipped(model: GPT, layer: int) -> Any:
    """This one, and all before it."""
    return probing.layers_skipped(model, range(layer + 1))


@functools.lru_cache(maxsize=1024)
def scores_of(model: Model, rows: Rows, skip: Callable[[GPT, int], Any] | None, layer: int) -> Tensor:
    """The scores of a model without a layer; with all where skip is None."""
    with torch.no_grad(), skip(built(model), layer) if skip else nullcontext():
        return built(model)(torch.tensor(rows))


def increase(with_all: Tensor, without: Tensor) -> Tensor:
    """By how much the loss is larger."""
    return without - with_all


def skip_layer(
    model: Model,
    ids: Tensor,
    *,
    skip: Callable[[GPT, int], Any] = skipped,
    loss: Callable[[Tensor, Tensor], Tensor] = next_token_loss,
    compare: Callable[[Tensor, Tensor], Tensor] = increase,
) -> list[Tensor]:
    """For each layer by how much the loss grows without it, and whether the model is left as it was."""
    rows, layers = rows_of(ids), range(model.n_layers)
    with_all = loss(scores_of(model, rows, None, 0), ids)
    costs = [compare(with_all, loss(scores_of(model, rows, skip, layer), ids)) for layer in layers]
    return [torch.stack(costs), torch.ones(model.n_layers, dtype=torch.int64)]


def never_put_back(model: Model, ids: Tensor) -> list[Tensor]:
    """Layers that were skipped stay so: each is compared with the model that the one before has left."""
    costs, _ = skip_layer(model, ids, skip=earlier_layers_skipped)
    return [torch.cat([costs[:1], costs.diff()]), torch.zeros(model.n_layers, dtype=torch.int64)]


def skip_each(learner: Callable[[GPT, Tensor, int], Any]) -> Callable[[Model, Tensor], list[Tensor]]:
    """Let the learner's function skip each layer of one model, one after the other."""

    def answer(model: Model, ids: Tensor) -> list[Tensor]:
        gpt = fresh(model)
        costs, untouched = [], []
        for layer in range(model.n_layers):
            costs.append(as_number(learner(gpt, ids, layer)))
            left = traces(gpt, model)
            if len(gpt.stack.blocks) != model.n_layers:  # the next number would mean another layer
                raise WrongForm(f"The model is not as it was before the call: {left}.")
            untouched.append(left == "")
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


def right_increase(result: Array, inputs: Mapping[str, Any]) -> str:
    """For which layer the number is wrong, or the model was left changed."""
    if result.dtype.kind == "f":
        expected = skip_layer(inputs["model"], inputs["ids"])[0].numpy()
        layer = int(np.abs(result - expected).argmax())
        return (
            f"Without layer {layer} (counted from 0) the loss grows by {expected[layer]:.4g}, but your "
            f"function says {result[layer]:.4g}."
        )
    return (
        f"The increase is right, but after layer {np.argmin(result)} (counted from 0) was skipped the model "
        "is not what it was: take hooks away again, and put back what was exchanged."
    )


def skip_layer_cases(rng: Rng) -> list[Case]:
    inputs = partial(text_inputs, rng)
    b, t = primes(rng, 3, 5)
    return in_torch(
        [
            Case("two layers, three tokens", inputs(2, "GPT-2", 1, 3)),
            Case("as in SmolLM2", inputs(3, "Llama", 1, 7, tied=True)),
            Case("as in GPT-2", inputs(3, "GPT-2", 1, 5, tied=True)),
            Case("two sequences", inputs(3, "Llama", 2, 7)),
            Case("five layers", inputs(5, "GPT-2", b, t)),
            Case("one layer", inputs(1, "Llama", 2, 5)),
            Case("two tokens", inputs(2, "GPT-2", 3, 2)),
        ]
    )


# --------------------------------------------------------------------------------------------- block at work


class Mixer:
    """Attention's place in a case: something between the tokens that every answer calls in the same way."""

    __name__ = "a causal mean of tanh(x)"

    def __call__(self, x: Tensor) -> Tensor:
        """Each token gets the mean of what those up to it have, bent."""
        n_tokens = x.shape[1]
        return torch.tanh(2 * x).cumsum(1) / torch.arange(1, n_tokens + 1, dtype=x.dtype)[:, None]


Branch = Callable[[Tensor], Tensor]


def pre_norm(x: Tensor, branch: Branch, norm: Branch) -> Tensor:
    """What is added is made from the normalised stream."""
    return x + branch(norm(x))


def block(
    x: Tensor,
    attention: Branch,
    attention_scale: Tensor,
    mlp_scale: Tensor,
    gate: Tensor,
    up: Tensor,
    down: Tensor,
    eps: float,
    *,
    norm: Callable[[Tensor, Tensor, float], Tensor] = rms_norm,
    mlp: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = gated_mlp,
    first: Callable[[Tensor, Branch, Branch], Tensor] = pre_norm,
    second: Callable[[Tensor, Branch, Branch], Tensor] = pre_norm,
    order: Callable[[Tensor, Branch, Branch], Tensor] = lambda x, mix, think: think(mix(x)),
) -> Tensor:
    """A layer as SmolLM2 has it."""

    def mix(x: Tensor) -> Tensor:
        return first(x, attention, lambda x: norm(x, attention_scale, eps))

    def think(x: Tensor) -> Tensor:
        return second(x, lambda x: mlp(x, gate, up, down), lambda x: norm(x, mlp_scale, eps))

    return order(x, mix, think)


def post_norm(x: Tensor, branch: Branch, norm: Branch) -> Tensor:
    """The sum is normalised."""
    return norm(x + branch(x))


def branch_normed(x: Tensor, branch: Branch, norm: Branch) -> Tensor:
    """What is added is normalised."""
    return x + norm(branch(x))


def not_added(x: Tensor, branch: Branch, norm: Branch) -> Tensor:
    """What the branch gives replaces the stream."""
    return branch(norm(x))


def not_normed(x: Tensor, branch: Branch, norm: Branch) -> Tensor:
    """The branch reads the stream as it is."""
    return x + branch(x)


def normed_stream(x: Tensor, branch: Branch, norm: Branch) -> Tensor:
    """The branch is added to what it has read."""
    x = norm(x)
    return x + branch(x)


def block_cases(rng: Rng) -> list[Case]:
    def inputs(b: int, t: int, d: int, f: int, eps: float = 1e-5, size: float = 1.0) -> dict[str, Any]:
        return {
            # Not around 0, so that it shows whether the mean was taken off.
            "x": draw(rng, b, t, d, size=size) + np.float32(size / 2),
            "attention": Mixer(),
            "attention_scale": 1 + draw(rng, d, size=0.5),
            "mlp_scale": 1 + draw(rng, d, size=0.5),
            "gate": draw(rng, f, d),
            "up": draw(rng, f, d),
            "down": draw(rng, d, f),
            "eps": eps,
        }

    stored = inputs(2, 3, 5, 7)
    stored |= {name: backwards(stored[name]) for name in ("x", "gate", "up", "down")}
    b, t = primes(rng, 3, 5)
    return in_torch(
        [
            Case("one token", inputs(1, 1, 3, 2), gradients=True),
            Case("three tokens", inputs(1, 3, 2, 3)),
            Case("everything square", inputs(3, 3, 3, 3)),
            Case("two sequences", inputs(2, 3, 5, 11), gradients=True),
            Case("a large eps", inputs(1, 3, 5, 7, eps=0.5)),
            Case("a small stream", inputs(1, 2, 5, 7, size=1e-3)),
            Case("a large stream", inputs(2, 3, 5, 7, size=100.0)),
            Case("wider", inputs(b, t, 11, 29)),
            Case("float64", as_double(inputs(2, t, 7, 13))),
            Case("stored column by column", stored),
        ]
    )


@contextmanager
def layers_by(model: Any, layer: Callable[..., Tensor]) -> Iterator[list[int]]:
    """Inside, a function computes every layer of SmolLM2: it gets what the task `block_at_work` names.

    Gives: how many tokens it was called with each time, a list that grows.
    """
    calls: list[int] = []

    def instead(block: Any) -> Callable[..., Tensor]:
        mlp = block.feed_forward
        scales = block.attention_norm.weight, block.feed_forward_norm.weight
        matrices = mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight

        def forward(x: Tensor, mask: Any = None, cache: Any = None) -> Tensor:
            calls.append(x.shape[1])
            attention = partial(block.attention, mask=mask, cache=cache)
            return layer(x, attention, *scales, *matrices, block.attention_norm.eps)

        return forward

    blocks = model.stack.blocks
    try:
        for block in blocks:
            vars(block)["forward"] = instead(block)  # comes before the method of its class
        yield calls
    finally:
        for block in blocks:
            vars(block).pop("forward", None)


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


TASKS = {
    "identity_start": Code(
        reference=identity_start,
        cases=identity_start_cases,
        properties=(Property("adds nothing", adds_nothing), Property("can learn", can_learn)),
        results=("what each branch adds", "whether it can learn"),
        adapt=change_stack,
        outside=True,
    ),
    "depth_scaled_start": Code(
        reference=depth_scaled_start,
        cases=depth_scaled_start_cases,
        properties=(Property("right spread", right_spread), Property("right rest", right_rest)),
        results=("standard deviations", "what else counts"),
        adapt=measure_stack,
        outside=True,
    ),
    "logit_lens": Code(
        reference=logit_lens,
        cases=logit_lens_cases,
        properties=(Property("ends as the model", ends_as_the_model),),
        adapt=read_model,
    ),
    "skip_layer": Code(
        reference=skip_layer,
        cases=skip_layer_cases,
        properties=(Property("right increase", right_increase),),
        results=("increase of the loss", "whether the model is as it was"),
        adapt=skip_each,
    ),
    "block_at_work": Code(reference=block, cases=block_cases, tensor=True, finale=builds_smollm2),
}
