"""The experiments of notebook 06: what an MLP, norms and additions do, and how deep to go."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import geometric_mean, mean
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
import yaml
from torch import Generator, Tensor, nn

from course_lib import costs, probing
from course_lib.blocks import FeedForward, LayerNorm, TransformerBlock, TransformerStack, make_block
from course_lib.data import characters, python_topics, reviews, windows
from course_lib.decoder import GPT, GPTConfig
from course_lib.device import one_core, seeded
from course_lib.generation import generate
from course_lib.objectives import token_loss, token_losses
from course_lib.pretrained import sentence_embedding
from course_lib.training import TrainingConfig, bar, starts_of, train

Model = tuple[Any, Any]  # a real model and its tokenizer
GUESSING = math.log(8)  # the loss of guessing in the small task

# ---------------------------------------------------------------------- the small task


class Reverser(nn.Module):
    """Reads eight symbols, and names at each place the one that stands there when the row is read backwards.

    Args:
        n_layers: how many.
        norms: False: without any.
        options: see `TransformerStack`.
    """

    def __init__(self, n_layers: int, norms: bool = True, **options: Any) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(8, 32), nn.Linear(32, 8)
        self.places = nn.Parameter(torch.randn(8, 32))
        self.stack = TransformerStack(32, n_layers, 4, 64, **options)
        if not norms:
            self.stack.final_norm = nn.Identity()  # gives back what comes in
            for block in blocks_of(self):
                block.attention_norm = block.feed_forward_norm = nn.Identity()

    def forward(self, rows: Tensor) -> Tensor:
        """Scores of the eight symbols at each place (B, 8, 8)."""
        return self.head(self.stack(self.embedding(rows) + self.places))


def blocks_of(model: Any) -> list[Any]:
    """The layers of a model, as what they are."""
    return list(model.stack.blocks)


def fresh(seed: int, n_layers: int, **options: Any) -> Reverser:
    """A `Reverser` that has not learned yet, from PyTorch's own start."""
    with seeded(seed):
        return Reverser(n_layers, **options)


@one_core()
def learn(model: nn.Module, seed: int, steps: int = 80, rate: float = 0.01, additions: bool = True) -> float:
    """Train a `Reverser`, in place.

    Args:
        model: goes on from where it is.
        seed: of the rows it learns from, 32 a step.
        steps: how many.
        rate: the learning rate at its peak.
        additions: False: in training and in the test what a part gives replaces the stream.
    Returns: the loss on 256 rows that are the same for all, in nats; guessing costs ln 8 = 2.08.
    """
    random = Generator().manual_seed(seed)
    rows = (torch.randint(8, (32, 8), generator=random) for _ in range(steps))
    rates = TrainingConfig(steps, warmup_steps=min(20, steps), learning_rate=rate)
    with adding(model, additions):
        train(model, rows, reversing_loss, rates, progress=False)
        return _tested(model)


def reversing_loss(model: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """The mean loss of naming the symbols backwards, in nats."""
    return F.cross_entropy(model(rows).mT, rows.flip(1))


def new_rows() -> Tensor:
    """What every small model is tested on."""
    return torch.randint(8, (256, 8), generator=Generator().manual_seed(99))


@torch.no_grad()
def _tested(model: nn.Module) -> float:
    return reversing_loss(model, new_rows()).item()


def adding(model: nn.Module, additions: bool) -> Any:
    """Inside, what a part gives is added to the stream, or replaces it."""
    return nullcontext() if additions else probing.additions_off(model)


# ---------------------------------------------------------------------- what the learner has written

Layer = Callable[..., Tensor]  # (x, attention, mlp, norm_1, norm_2) -> x
Mlp = Callable[..., Tensor]  # (x, up, up_bias, down, down_bias) -> what is added
Norm = Callable[..., Tensor]  # (x, weight, bias, eps) -> the normalised x


@contextmanager
def running(
    model: nn.Module, layer: Layer | None = None, mlp: Mlp | None = None, layer_norm: Norm | None = None
) -> Iterator[None]:
    """Inside, all layers of a model compute with these functions; the weights are its own.

    Args:
        model: a real one, or a `Reverser`.
        layer: puts the parts together; None: the model's own does.
        mlp: for an MLP with two matrices and biases.
        layer_norm: in place of each `LayerNorm`.
    """
    with ExitStack() as changes:
        for kind, run, function in (
            (TransformerBlock, _run_layer, layer),
            (FeedForward, _run_mlp, mlp),
            (LayerNorm, _run_norm, layer_norm),
        ):
            if function is not None:
                changes.enter_context(probing.replaced(model, kind, partial(run, function)))
        yield


def _run_layer(layer: Layer, block: Any, x: Tensor, mask: Any = None, cache: Any = None) -> Tensor:
    attention = partial(block.attention, mask=mask, cache=cache)
    return layer(x, attention, block.feed_forward, block.attention_norm, block.feed_forward_norm)


def _run_mlp(mlp: Mlp, part: Any, x: Tensor) -> Tensor:
    return mlp(x, part.up_proj.weight, part.up_proj.bias, part.down_proj.weight, part.down_proj.bias)


def _run_norm(layer_norm: Norm, part: Any, x: Tensor) -> Tensor:
    return layer_norm(x, part.weight, part.bias, part.eps)


def post_norm(x: Tensor, attention: Any, mlp: Any, norm_1: Any, norm_2: Any) -> Tensor:
    """The first Transformer's layer: each sum is normalised."""
    x = norm_1(x + attention(x))
    return norm_2(x + mlp(x))


def against_torch(layer: Layer, mlp: Mlp, layer_norm: Norm) -> dict[str, float]:
    """By how much a layer differs from torch's own with the same weights, at most.

    Returns: with norms first ("pre") and last ("post", in the order of `post_norm`), and the less of the two
        where attention or the MLP gives zero.
    """
    with seeded(0):
        x = torch.randn(2, 7, 24, dtype=torch.float64)
        blocks = [make_block(24, 4, norm_first=first).double() for first in (True, False)]
    orders: list[Layer] = [layer, post_norm]
    off = []
    for block, order in zip(blocks, orders, strict=True):
        mix, think = block.attention, block.feed_forward
        theirs = _in_torch(block)(x)
        with running(block, mlp=mlp, layer_norm=layer_norm):
            for parts in ((mix, think), (torch.zeros_like, think), (mix, torch.zeros_like)):
                ours = order(x, *parts, block.attention_norm, block.feed_forward_norm)
                off.append((ours - theirs).abs().max().item())
    pre, pre_unmixed, pre_unthought, post, post_unmixed, post_unthought = off
    return {
        "pre": pre,
        "post": post,
        "no_attention": min(pre_unmixed, post_unmixed),
        "no_mlp": min(pre_unthought, post_unthought),
    }


def only_additions(layer: Layer, mlp: Mlp, layer_norm: Norm) -> dict[str, float]:
    """What is left of a layer where its parts give zero, and where nothing is added.

    Returns: how many numbers of the stream six layers change whose parts give zero ("moved"); by how much one
        layer differs from torch's ("added"), and with what its parts give in place of the sums ("bare").
    """
    with seeded(0):
        x = torch.randn(2, 7, 24, dtype=torch.float64)
        stack, block = TransformerStack(24, 6, 4).double(), make_block(24, 4).double()
    for name, weight in stack.named_parameters():
        if "out_proj" in name or "down_proj" in name:
            nn.init.zeros_(weight)
    with running(stack, layer, mlp, layer_norm), probing.recorded(stack) as passed:
        stack(x)
    with probing.additions_off(block):
        bare = (block(x) - _in_torch(block)(x)).abs().max().item()
    moved = (passed.streams[-1] != x).sum().item()
    return {"moved": moved, "added": against_torch(layer, mlp, layer_norm)["pre"], "bare": bare}


def _in_torch(block: Any) -> nn.Module:
    """PyTorch's own layer with the weights of ours."""
    theirs = nn.TransformerEncoderLayer(
        24, 4, 96, 0, F.gelu, batch_first=True, norm_first=block.norm_first, dtype=torch.float64
    )
    attention = block.attention
    three = attention.q_proj, attention.k_proj, attention.v_proj  # torch keeps these in one matrix
    ours = [torch.cat([part.weight for part in three]), torch.cat([part.bias for part in three])]
    for part in (attention.out_proj, block.feed_forward, block.attention_norm, block.feed_forward_norm):
        ours += part.parameters()
    for weight, own in zip(theirs.parameters(), ours, strict=True):
        weight.data.copy_(own.data)
    return theirs


@one_core()
def follow_a_curve(mlp: Mlp, wide: int = 32, steps: int = 400) -> tuple[Tensor, Tensor, Tensor]:
    """Let an MLP from one number to one learn a curve.

    Returns: places, the curve there, and what the MLP gives there in the end.
    """
    x = torch.linspace(-3, 3, 64)[:, None]
    wanted = torch.sin(2 * x) + 0.3 * x
    with seeded(0):
        up, down = nn.Linear(1, wide), nn.Linear(wide, 1)
    weights = up.weight, up.bias, down.weight, down.bias
    optimizer = torch.optim.Adam(weights, lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(mlp(x, *weights), wanted).backward()
        optimizer.step()
    return x[:, 0], wanted[:, 0], mlp(x, *weights).detach()[:, 0]


@one_core()
def sixteen(
    layers: Mapping[str, Layer], mlp: Mlp, layer_norm: Norm, *, seed: int = 0, n_layers: int = 16
) -> dict[str, list[float]]:
    """Train stacks of given layers, all from the same weights, on the same rows.

    Args:
        layers: by name, how the parts are put together.
        mlp, layer_norm: the parts; attention is the library's.
        seed: of weights and rows.
        n_layers: how many of each.
    Returns: by name the loss, step by step, in nats.
    """
    return {name: _trained(layer, mlp, layer_norm, seed, n_layers) for name, layer in bar([*layers.items()])}


def _trained(
    layer: Layer, mlp: Mlp, layer_norm: Norm, seed: int, n_layers: int, steps: int = 60
) -> list[float]:
    model = fresh(seed, n_layers)
    random = Generator().manual_seed(seed)
    rows = (torch.randint(8, (32, 8), generator=random) for _ in range(steps))
    rates = TrainingConfig(steps, warmup_steps=20, learning_rate=0.01)
    with running(model, layer, mlp, layer_norm):
        try:
            return train(model, rows, reversing_loss, rates, progress=False).losses
        except FloatingPointError:  # a layer with a mistake may explode
            return [_tested(model)]


# ---------------------------------------------------------------------- the real model on two texts


def two_texts(smollm2: Model) -> Tensor:
    """A review and a piece of Python's manual, 32 tokens each, on the model's device."""
    model, tokenizer = smollm2
    manual = "\n".join(python_topics().values())[200_000:200_200]
    texts = [_review_tokens(tokenizer)[:32], tokenizer.encode(manual)[:32]]
    return torch.tensor(texts, device=_device(model))


@torch.no_grad()
def text_losses(smollm2: Model, texts: Tensor) -> Tensor:
    """How much the next token surprises the model, in nats, a mean for each text."""
    costs_of = token_losses(smollm2[0](texts)[:, :-1], texts[:, 1:])
    return costs_of.view(len(texts), -1).mean(1).cpu()


@torch.no_grad()
def without_each(smollm2: Model, measure: Callable[[], Tensor]) -> Tensor:
    """What is measured when one layer is left out, each in turn.

    Args:
        smollm2: as all real models.
        measure: runs the model, always on the same input.
    Returns: (layers, ...).
    """
    model = smollm2[0]
    with probing.recorded(model) as seen:
        measure()
    found = []
    for layer in bar(range(len(blocks_of(model)))):
        below = seen.streams[max(0, layer - 1)]  # need not be computed again; layer 0 has none below
        with probing.resumed(model, layer, below), probing.layers_skipped(model, [layer]):
            found.append(measure())
    return torch.stack(found)


def layers_out(smollm2: Model) -> Tensor:
    """By how much the loss on `two_texts` rises without each layer, in nats: (layers, 2)."""
    texts = two_texts(smollm2)
    intact = text_losses(smollm2, texts)
    return without_each(smollm2, lambda: text_losses(smollm2, texts) - intact)


def writes(smollm2: Model, text: str = "Once upon a time, there was a", n_tokens: int = 10) -> str:
    """What the model makes of the beginning of a text, always taking the likeliest token."""
    model, tokenizer = smollm2
    ids = torch.tensor([tokenizer.encode(text)], device=_device(model))
    written = tokenizer.decode(generate(model, ids, n_tokens)[0].tolist())
    return written.replace("\n", "↵").replace("\xa0", "␣")  # what else could not be seen


@torch.no_grad()
def stream_after(smollm2: Model, layer: int) -> tuple[list[str], Tensor]:
    """The first tokens of the review, to read, and the stream's vectors after a layer, (tokens, width)."""
    model, tokenizer = smollm2
    ids = two_texts(smollm2)[:1, :16]
    with probing.recorded(model) as seen:
        model(ids)
    return [tokenizer.decode([token]).strip() for token in ids[0].tolist()], seen.streams[layer][0].cpu()


def _review_tokens(tokenizer: Any) -> list[int]:
    return tokenizer.encode(" ".join(review.text for part in reviews() for review in part))


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


# ---------------------------------------------------------------------- how wide is the MLP?

LEAST_OF_GELU = -0.17  # no GELU gives less


@dataclass(frozen=True)
class MlpShape:
    """What the MLPs of two real models look like, and what a GELU behind their second layer does.

    Args:
        widened: how many times as wide as its input MiniLM's MLP is.
        gated: the same of SmolLM2, whose MLP has a gate.
        counted: SmolLM2's weights over those of an MLP without a gate that widens by four.
        part: the MLP's share of the weights of MiniLM's layer.
        below: which share of what SmolLM2's MLPs add is less than any GELU gives.
        bent: by how many nats SmolLM2's loss rises with a GELU behind each MLP.
        losses: of small models that learn with one, one a start.
    """

    widened: float
    gated: float
    counted: float
    part: float
    below: float
    bent: float
    losses: tuple[float, ...]

    @property
    def trained(self) -> float:
        """The highest loss of a small model."""
        return max(self.losses)


def bent(mlp: FeedForward, x: Tensor) -> Tensor:
    """An MLP with a GELU behind its second layer, for `probing.replaced`."""
    return F.gelu(FeedForward.forward(mlp, x))


def mlp_shape(seed: int = 0, starts: int = 2, *, smollm2: Model, minilm: Model) -> MlpShape:
    """Does an MLP double the width, and does a GELU stand behind its second layer?

    Rival: a small model that has a GELU there while it learns.
    Equal for both: in SmolLM2 texts and weights; the small model learns what all others here do.
    Does not show: whether a large model would be as good with one.
    """
    widened, _, part = _shape(minilm[0])
    gated, counted, _ = _shape(smollm2[0])
    texts = two_texts(smollm2)
    with probing.recorded(smollm2[0]) as seen:
        intact = text_losses(smollm2, texts)
    with probing.replaced(smollm2[0], FeedForward, bent):
        rise = (text_losses(smollm2, texts) - intact).mean().item()
    below = (torch.stack(seen.feed_forward) < LEAST_OF_GELU).float().mean().item()
    losses = []
    for start in starts_of(seed, starts):
        model = fresh(start, 2)
        with probing.replaced(model, FeedForward, bent):
            losses.append(learn(model, start))
    return MlpShape(widened, gated, counted, part, below, rise, tuple(losses))


def _shape(model: Any) -> tuple[float, float, float]:
    """Of its MLP: width within over width; weights over those of four times the width; share of the layer."""
    block = blocks_of(model)[0]
    width, within = block.feed_forward.down_proj.weight.shape
    weights = _count(block.feed_forward)
    return within / width, weights / (8 * width**2), weights / _count(block)


def _count(part: nn.Module) -> int:
    return sum(weight.numel() for weight in part.parameters())


# ---------------------------------------------------------------------- what a norm does to the numbers


@dataclass(frozen=True)
class NormRange:
    """Where the numbers lie that a LayerNorm of MiniLM gives, and how small models learn with other ranges.

    Args:
        entered: what goes into the norm, (tokens, width).
        normalised: what comes out without the learned scale and shift.
        scaled: what comes out.
        losses: of small models, by norm: "LayerNorm", "-0.5 to 0.5" and "0 to 1".
        patient: the loss of the last after five times the steps.
    """

    entered: Tensor
    normalised: Tensor
    scaled: Tensor
    losses: Mapping[str, float]
    patient: float

    @property
    def centre(self) -> float:
        """How far from 0 a token's mean lies at most."""
        return self.normalised.mean(-1).abs().max().item()

    @property
    def variance(self) -> float:
        """The mean of the tokens' variances."""
        return self.normalised.var(-1, unbiased=False).mean().item()

    @property
    def outside(self) -> float:
        """Which share of the normalised numbers lies outside of 0 to 1."""
        return _outside(self.normalised)

    @property
    def negative(self) -> float:
        """Which share of them is below 0."""
        return (self.normalised < 0).float().mean().item()

    @property
    def learned(self) -> float:
        """Which share lies outside of 0 to 1 with the learned scale and shift."""
        return _outside(self.scaled)

    @property
    def quick(self) -> float:
        """By how many nats a small model with values from 0 to 1 is behind one with LayerNorm."""
        return self.losses["0 to 1"] - self.losses["LayerNorm"]

    @property
    def centred(self) -> float:
        """By how many nats it is behind one with as wide a range around 0."""
        return self.losses["0 to 1"] - self.losses["-0.5 to 0.5"]


class FromLeast(nn.Module):
    """Brings a token's numbers to a range as wide as 1, then scales and shifts them as LayerNorm does.

    Args:
        least: where the range begins.
        width: of the vectors.
    """

    def __init__(self, least: float, width: int = 32) -> None:
        super().__init__()
        self.least = least
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """The numbers, brought there."""
        low, high = x.aminmax(dim=-1, keepdim=True)
        return (self.least + (x - low) / (high - low)) * self.weight + self.bias


def norm_range(seed: int = 0, steps: int = 80, *, minilm: Model) -> NormRange:
    """Does normalisation bring the numbers to the range from 0 to 1, and could it?

    Rival: a norm that does bring them there, also with five times the training; one to
        as wide a range around 0.
    Equal for both: model, rows, steps, learning rate; each norm has a learned scale and shift.
    Does not show: whether a large model would learn with such a norm. One start.
    """
    model, wordpiece = minilm
    norm: Any = blocks_of(model)[3].attention_norm
    caught: list[Tensor] = []
    hook = norm.register_forward_hook(lambda part, args, out: caught.extend([args[0], out]))
    sentence_embedding(model, wordpiece, [reviews()[0][0].text])
    hook.remove()
    entered, scaled = (each[0].detach() for each in caught)
    plain = {name: torch.full_like(each, name == "weight") for name, each in norm.named_parameters()}
    normalised = torch.func.functional_call(norm, plain, entered)
    norms = {"LayerNorm": None, "-0.5 to 0.5": -0.5, "0 to 1": 0.0}
    models = {name: _ranged(fresh(seed, 2), least) for name, least in norms.items()}
    losses = {name: learn(small, seed, steps) for name, small in models.items()}
    patient = learn(models["0 to 1"], seed, 4 * steps)
    return NormRange(entered.cpu(), normalised.cpu(), scaled.cpu(), losses, patient)


def _ranged(model: Reverser, least: float | None) -> Reverser:
    if least is not None:
        for block in blocks_of(model):
            block.attention_norm, block.feed_forward_norm = FromLeast(least), FromLeast(least)
    return model


def _outside(values: Tensor) -> float:
    return ((values < 0) | (values > 1)).float().mean().item()


# ---------------------------------------------------------------------- when a stack needs a norm

NORMS: Mapping[str, Mapping[str, Any]] = {
    "no norm": {"norms": False},
    "pre-norm": {},
    "post-norm": {"norm_first": False},
    "no norm, smaller start": {"norms": False, "shrunk": True},
}


@dataclass(frozen=True)
class NormNeeded:
    """How the stream grows with depth before training, and what stacks with and without norms learn.

    Args:
        sizes: by kind of stack, see `NORMS`: the root mean square of the stream behind each layer, a list a
            start.
        losses: by kind, and "no norm, two layers": by learning rate the loss in nats. At .003 training takes
            three times as long.
    """

    sizes: Mapping[str, Sequence[Sequence[float]]]
    losses: Mapping[str, Mapping[float, float]]

    @property
    def factor(self) -> float:
        """By how many times the stream grows with a layer without norms, in the last three quarters."""
        n, grown = self._grown("no norm")
        return grown ** (1 / (n - n // 4))

    @property
    def root(self) -> float:
        """The power of the depth with which it grows with norms first."""
        n, grown = self._grown("pre-norm")
        return math.log(grown) / math.log(n / (n // 4))

    @property
    def small_start(self) -> float:
        """How many times as large it is behind the last layer as behind the first, from the smaller start."""
        curve = _typical(self.sizes["no norm, smaller start"])
        return curve[-1] / curve[0]

    @property
    def xavier(self) -> float:
        """The lowest loss of six layers without norms from Xavier's start."""
        return min(self.losses["no norm"].values())

    @property
    def shrunk(self) -> float:
        """The highest loss of two of them, and of six from the smaller start."""
        return max(self.losses["no norm, two layers"][0.01], self.losses["no norm, smaller start"][0.01])

    @property
    def fast(self) -> float:
        """How much higher a loss than pre-norm's the best of the others has at the high rate."""
        others = self.losses["no norm, smaller start"][0.03], self.losses["post-norm"][0.03]
        return min(others) - self.losses["pre-norm"][0.03]

    @property
    def gentle(self) -> float:
        """The loss with post-norm at the low rate."""
        return self.losses["post-norm"][0.003]

    def _grown(self, kind: str) -> tuple[int, float]:
        """The number of layers, and how many times as large the stream is at the end as at a quarter."""
        curve = _typical(self.sizes[kind])
        return len(curve), curve[-1] / curve[len(curve) // 4 - 1]


def _typical(curves: Sequence[Sequence[float]]) -> list[float]:
    return [geometric_mean(sizes) for sizes in zip(*curves, strict=True)]


def from_xavier(seed: int, n_layers: int, shrunk: bool = False, **options: Any) -> Reverser:
    """A `Reverser` that has not learned yet, from Glorot and Bengio's start (2010).

    Args:
        seed, n_layers, options: as for `fresh`.
        shrunk: divide matrices whose output is added by the root of the number of additions, as in GPT-2.
    """
    shrink = (2 * n_layers) ** -0.5 if shrunk else 1.0
    with seeded(seed):
        model = Reverser(n_layers, **options)
        for name, weight in model.stack.named_parameters():
            adds = name.endswith(("out_proj.weight", "down_proj.weight"))
            if weight.ndim > 1:
                nn.init.xavier_uniform_(weight, gain=shrink if adds else 1.0)
    return model


def norm_needed(
    seed: int = 0, starts: int = 2, n_layers: int = 32, trained_layers: int = 6, steps: int = 80
) -> NormNeeded:
    """Do values grow from layer to layer without norms, and does a stack then not learn?

    Rival: no norm, but a start in which what is added is smaller; two layers; three times the training at a
        lower rate.
    Equal for both: model, rows, steps; the start is Xavier's for all, shrunk for one.
    Does not show: how it is in large models. One start where it trains.

    Args:
        seed: of weights and rows.
        starts: of the untrained stacks.
        n_layers: of the untrained stacks, at least 4.
        trained_layers: of the stacks that learn.
        steps: of a training; three times as many at the lowest rate.
    """
    sizes = {
        kind: [_sizes(from_xavier(start, n_layers, **options)) for start in starts_of(seed, starts)]
        for kind, options in NORMS.items()
    }
    runs = [
        ("no norm", 0.01),
        ("no norm", 0.003),
        ("no norm, two layers", 0.01),
        ("no norm, smaller start", 0.01),
        ("no norm, smaller start", 0.03),
        ("post-norm", 0.003),
        ("post-norm", 0.03),
        ("pre-norm", 0.03),
    ]
    losses: dict[str, dict[float, float]] = {}
    for name, rate in bar(runs):
        kind, _, two = name.partition(", two")
        model = from_xavier(seed, 2 if two else trained_layers, **NORMS[kind])
        loss = learn(model, seed, 3 * steps if rate == 0.003 else steps, rate)
        losses.setdefault(name, {})[rate] = loss
    return NormNeeded(sizes, losses)


@torch.no_grad()
def _sizes(model: Reverser) -> list[float]:
    with probing.recorded(model) as passed:
        model(new_rows()[:16])
    return [stream.square().mean().sqrt().item() for stream in passed.streams]


# ---------------------------------------------------------------------- deep without additions

KINDS = {  # with additions, with norms
    "additions and norm": (True, True),
    "additions": (True, False),
    "norm": (False, True),
    "neither": (False, False),
}
XAVIER = "neither, Xavier's start"


class AtStart(NamedTuple):
    """What a stack looks like before training.

    Args:
        gradient: of the first layer's MLP, over that of the last.
        cosines: the mean cosine between the tokens of a row, behind each layer.
        queries: the length of the gradient of the last layer's query matrix.
    """

    gradient: float
    cosines: tuple[float, ...]
    queries: float


@dataclass(frozen=True)
class DeepNeedsResiduals:
    """What reaches the first layer, and what is learned, with and without additions.

    Args:
        before: by kind of stack, see `KINDS`, and from Xavier's start with neither: for each depth what it
            looks like before training.
        losses: by number of layers and by kind: the loss after training, one a start, in nats.
        slow: the lowest loss of the deeper stack with norms, without additions, trained three times as long.
        turned_before: of stacks without additions, by start: "attends to itself", "rotations", "both".
        turned_losses: theirs after training.
    """

    before: Mapping[str, Sequence[AtStart]]
    losses: Mapping[int, Mapping[str, tuple[float, ...]]]
    slow: float
    turned_before: Mapping[str, AtStart]
    turned_losses: Mapping[str, float]

    @property
    def gradients(self) -> Mapping[str, Sequence[float]]:
        """By kind, for each depth the gradient of the first layer over that of the last."""
        return {kind: [each.gradient for each in found] for kind, found in self.before.items()}

    @property
    def cosines(self) -> Mapping[str, Sequence[float]]:
        """By kind, the mean cosine between tokens behind each layer of the deepest stack."""
        return {kind: self.before[kind][-1].cosines for kind in KINDS}

    @property
    def whisper(self) -> float:
        """The gradient's share that reaches the first layer of the deepest stack with neither."""
        return self.gradients["neither"][-1]

    @property
    def carried(self) -> float:
        """The same with additions alone."""
        return self.gradients["additions"][-1]

    @property
    def other(self) -> float:
        """The least of it with norms alone, and from Xavier's start with neither."""
        return min(self.gradients["norm"][-1], self.gradients[XAVIER][-1])

    @property
    def alike(self) -> float:
        """How much higher the cosine between tokens is with norms alone than with additions as well."""
        return self.cosines["norm"][-1] - self.cosines["additions and norm"][-1]

    @property
    def queries(self) -> float:
        """The gradient of the last query matrix with norms alone, over that with additions as well."""
        return self.before["norm"][-1].queries / self.before["additions and norm"][-1].queries

    @property
    def bare(self) -> float:
        """The lowest loss of the deeper stack without additions."""
        deep = self.losses[max(self.losses)]
        return min(*deep["norm"], *deep["neither"], self.slow)

    @property
    def added(self) -> float:
        """Its highest loss with additions."""
        deep = self.losses[max(self.losses)]
        return max(*deep["additions and norm"], *deep["additions"])

    @property
    def turned(self) -> float:
        """Its loss without additions, from the start that turns and hardly mixes."""
        return self.turned_losses["both"]

    @property
    def half(self) -> float:
        """The lowest loss from one part of that start."""
        return min(self.turned_losses["attends to itself"], self.turned_losses["rotations"])


class Itself(nn.Module):
    """A learned number that is added to the score of each token with itself."""

    def __init__(self) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(4.0))

    def forward(self, q: Tensor, n_keys: int) -> Tensor:
        """What is added to all scores (T, T)."""
        return self.strength * torch.eye(n_keys)


def turning(seed: int, n_layers: int = 6, itself: bool = True, rotations: bool = True) -> Reverser:
    """A `Reverser` that learns without additions, as its start keeps the tokens apart.

    Args:
        seed: of the weights.
        n_layers: how many.
        itself: each token attends mostly to itself.
        rotations: all matrices but those of queries and keys are random rotations, mirrored or not, which
            keep lengths and angles. The MLP passes on what it gets, because gelu(x) - gelu(-x) = x.
    """
    options: dict[str, Any] = {"score_bias": Itself} if itself else {}
    with seeded(seed):
        model = Reverser(n_layers, **options)
        if rotations:
            _rotate(model)
    return model


@torch.no_grad()
def _rotate(model: Reverser) -> None:
    for block in blocks_of(model):
        mix, think, wide, narrow = block.attention, block.feed_forward, _turn(), _turn()
        starts = {mix.v_proj: _turn(), mix.out_proj: _turn(), think.up_proj: torch.cat([wide, -wide])}
        starts[think.down_proj] = torch.cat([narrow, -narrow], dim=1)
        for part, weight in starts.items():
            part.weight.copy_(weight)
            part.bias.zero_()


def _turn() -> Tensor:
    return torch.linalg.qr(torch.randn(32, 32))[0]


def at_start(model: Reverser, additions: bool) -> AtStart:
    """See `AtStart`."""
    with adding(model, additions), probing.recorded(model) as passed:
        reversing_loss(model, new_rows()).backward()
    first, *_, last = blocks_of(model)
    reaches, leaves = (block.feed_forward.up_proj.weight.grad.norm().item() for block in (first, last))
    queries = last.attention.q_proj.weight.grad.norm().item()
    return AtStart(reaches / leaves, tuple(map(_mean_cosine, passed.streams)), queries)


def _mean_cosine(stream: Tensor) -> float:
    directions = F.normalize(stream, dim=-1)
    cosines = directions @ directions.mT  # (B, T, T)
    n_tokens = cosines.shape[-1]
    return ((cosines.sum((1, 2)) - n_tokens).mean() / (n_tokens * (n_tokens - 1))).item()


def deep_needs_residuals(
    seed: int = 0,
    starts: int = 2,
    depths: Sequence[int] = (2, 4, 8, 16),
    trained_depths: Sequence[int] = (2, 6),
    steps: int = 80,
) -> DeepNeedsResiduals:
    """Do gradients get lost in a deep stack, and do additions carry them?

    Rival: norms alone; three times the training at a lower rate; a start of rotations in which each token
        attends mostly to itself, and each of its two halves.
    Equal for both: model, rows, steps and learning rate, but for the rivals, which get more steps.
    Does not show: how fast large models learn without additions. The rivals have one start.

    Args:
        seed: of weights and rows.
        starts: of each kind in the deepest that learns; others have one, for the figure alone.
        depths: how many layers before training.
        trained_depths: how many layers learn, the fewest first.
        steps: of a training; the rivals get half as many again, and three times as many.
    """
    before = {
        kind: [at_start(fresh(seed, depth, norms=norms), additions) for depth in depths]
        for kind, (additions, norms) in KINDS.items()
    }
    before[XAVIER] = [at_start(from_xavier(seed, depth, norms=False), False) for depth in depths]
    deep = trained_depths[-1]
    losses: dict[int, dict[str, tuple[float, ...]]] = {n: {} for n in trained_depths}
    for n, kind in bar([(n, kind) for n in trained_depths for kind in KINDS]):
        additions, norms = KINDS[kind]
        losses[n][kind] = tuple(
            learn(fresh(start, n, norms=norms), start, steps, additions=additions)
            for start in starts_of(seed, starts if n == deep else 1)
        )
    slow = learn(fresh(seed, deep), seed, 3 * steps, rate=0.003, additions=False)
    parts = {"attends to itself": (True, False), "rotations": (False, True), "both": (True, True)}
    turned_before = {name: at_start(turning(seed, deep, *of), False) for name, of in parts.items()}
    turned_losses = {
        name: learn(turning(seed, deep, *of), seed, steps * 3 // 2, rate=0.005, additions=False)
        for name, of in bar(parts.items())
    }
    return DeepNeedsResiduals(before, losses, slow, turned_before, turned_losses)


# ---------------------------------------------------------------------- the difference to add


@dataclass(frozen=True)
class LearnTheDifference:
    """What the layers of SmolLM2 add, and what it costs to leave one out.

    Args:
        attention: for each layer the length of what attention adds over that of the stream; the median over
            tokens, the first left out.
        mlp: the same for the MLP.
        layer: the same for both together.
        untrained: that of the median layer of a small stack that has learned nothing.
        rises: by how many nats the loss rises without each layer, on two texts: (layers, 2).
        bare: the same without any additions.
        losses: of two small layers that learned with and without additions.
        skipped: by how many nats they rise when the one or the other is left out.
    """

    attention: tuple[float, ...]
    mlp: tuple[float, ...]
    layer: tuple[float, ...]
    untrained: float
    rises: Tensor
    bare: float
    losses: Mapping[str, float]
    skipped: Mapping[str, tuple[float, ...]]

    @property
    def size(self) -> float:
        """By which share of its length the median layer changes the stream."""
        return torch.tensor(self.layer).median().item()

    @property
    def first(self) -> float:
        """What the first layer adds, over the length of what comes in."""
        return self.layer[0]

    @property
    def skip(self) -> float:
        """By how many nats the loss rises without the median layer."""
        return self.rises.mean(1).median().item()

    @property
    def worst(self) -> float:
        """The same without the one that costs most."""
        return self.rises.mean(1).max().item()

    @property
    def shared(self) -> float:
        """What a skipped layer costs two small ones that learned with additions."""
        return mean(self.skipped["with"])

    @property
    def chained(self) -> float:
        """What it costs two that learned without."""
        return mean(self.skipped["without"])


def learn_the_difference(
    seed: int = 0, steps: int = 300, *, smollm2: Model, rises: Tensor | None = None
) -> LearnTheDifference:
    """Do layers learn what is to be added, so that one can be missed?

    Rival: an untrained stack of 30 layers, for the size of what is added; two layers that learned the same
        task without additions, for one that is left out.
    Equal for both: model, rows, steps and learning rate of the small ones.
    Does not show: that a small difference is a sign of learning: an untrained layer adds as little. One
        start.

    Args:
        seed: of the small models.
        steps: of their training.
        smollm2: the model and its tokenizer.
        rises: what `layers_out` gave, if that is known.
    """
    if rises is None:
        rises = layers_out(smollm2)
    texts = two_texts(smollm2)
    with probing.recorded(smollm2[0]) as seen:
        intact = text_losses(smollm2, texts)
    with probing.additions_off(smollm2[0]):
        bare = (text_losses(smollm2, texts) - intact).mean().item()
    entered = torch.stack([smollm2[0].embed(texts).detach(), *seen.streams[:-1]])  # (layers, B, T, D)
    mixed, thought = torch.stack(seen.attention), torch.stack(seen.feed_forward)
    losses: dict[str, float] = {}
    skipped: dict[str, tuple[float, ...]] = {}
    for name, additions in {"with": True, "without": False}.items():
        model = fresh(seed, 2)
        losses[name] = learn(model, seed, steps, rate=0.005, additions=additions)
        skipped[name] = tuple(_without_layer(model, layer, additions) - losses[name] for layer in (0, 1))
    return LearnTheDifference(
        attention=_share(mixed, entered),
        mlp=_share(thought, entered + mixed),
        layer=_share(mixed + thought, entered),
        untrained=_untrained_share(seed),
        rises=rises,
        bare=bare,
        losses=losses,
        skipped=skipped,
    )


def _share(added: Tensor, to: Tensor) -> tuple[float, ...]:
    shares = (added.norm(dim=-1) / to.norm(dim=-1))[:, :, 1:].flatten(1)
    return tuple(shares.median(1).values.tolist())


@torch.no_grad()
def _untrained_share(seed: int) -> float:
    model = from_xavier(seed, 30)
    with probing.recorded(model) as passed:
        model(new_rows())
    streams = torch.stack(passed.streams)
    return torch.tensor(_share(streams.diff(dim=0), streams[:-1])).median().item()


def _without_layer(model: Reverser, layer: int, additions: bool) -> float:
    with adding(model, additions), probing.layers_skipped(model, [layer]):
        return _tested(model)


# ---------------------------------------------------------------------- the first token


@dataclass(frozen=True)
class FirstToken:
    """The one long vector in SmolLM2's stream, and what it is needed for.

    Args:
        lengths: of the stream's vectors behind each layer: (layers, texts, tokens).
        number: which entry of the first token's vector is the largest behind the layer that writes it.
        value: that entry.
        cuts: by where the layer may write: by how many nats the loss rises.
    """

    lengths: Tensor
    number: int
    value: float
    cuts: Mapping[str, float]


def first_token(smollm2: Model, layer: int = 11) -> FirstToken:
    """What does this layer write that the model cannot do without?

    Where it may not write, what entered it goes on.
    """
    model, texts = smollm2[0], two_texts(smollm2)
    with probing.recorded(model) as seen:
        intact = text_losses(smollm2, texts)
    vector = seen.streams[layer][0, 0]  # of the first text
    number = int(vector.abs().argmax())
    first, entry = torch.zeros(2, *seen.streams[layer][0].shape, dtype=torch.bool, device=texts.device)
    first[0], entry[0, number] = True, True
    writes_to = {
        "the other tokens only": ~first,
        f"the other tokens, and number {number} of the first": ~first | entry,
        "the first token only": first,
        f"everything but number {number} of the first": ~entry,
        f"everything but number {number} of token 5": ~entry.roll(5, 0),
    }
    cuts = {}
    for name, kept in writes_to.items():
        with _writing(model, layer, kept):
            cuts[name] = (text_losses(smollm2, texts) - intact).mean().item()
    lengths = torch.stack(seen.streams).norm(dim=-1).cpu()
    return FirstToken(lengths, number, vector[number].item(), cuts)


@contextmanager
def _writing(model: Any, layer: int, kept: Tensor) -> Iterator[None]:
    """Inside, this layer writes only where kept."""
    hook = blocks_of(model)[layer].register_forward_hook(
        lambda block, args, stream: torch.where(kept, stream, args[0])
    )
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def zeroed(weights: Tensor, row: int, column: int) -> Iterator[None]:
    """Inside, this one weight is 0."""
    kept = weights[row, column].item()
    weights.data[row, column] = 0
    try:
        yield
    finally:
        weights.data[row, column] = kept


def large_weights_off(smollm2: Model, weights: Tensor, n: int = 6) -> dict[tuple[int, int], float]:
    """By how many nats the loss rises where one of the largest weights of a matrix is 0, each in turn."""
    texts = two_texts(smollm2)
    intact = text_losses(smollm2, texts)
    found = {}
    for place in weights.detach().abs().flatten().topk(n).indices.tolist():
        row, column = divmod(place, weights.shape[1])
        with zeroed(weights, row, column):
            found[row, column] = (text_losses(smollm2, texts) - intact).mean().item()
    return found


# ---------------------------------------------------------------------- which layers a capital needs

CAPITALS = {
    "France": "Paris",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Germany": "Berlin",
    "Japan": "Tokyo",
    "Egypt": "Cairo",
    "Russia": "Moscow",
    "Greece": "Athens",
    "China": "Beijing",
    "Poland": "Warsaw",
    "Austria": "Vienna",
    "Norway": "Oslo",
}


@dataclass(frozen=True)
class Capitals:
    """Which layers SmolLM2 needs to finish "The capital of France is".

    Each share is of twelve capitals, twice: those that lead among all tokens, and among the twelve cities.

    Args:
        intact: the shares with all layers, (2,).
        knows: when one layer is left out, each in turn, (layers, 2).
    """

    intact: Tensor
    knows: Tensor


@torch.no_grad()
def capitals(smollm2: Model) -> Capitals:
    """Which layer can the answer not do without?"""
    model, _ = smollm2
    prompts, leading = _asked(smollm2)

    def named() -> Tensor:
        return leading(model.next_token_logits(prompts))

    return Capitals(named(), without_each(smollm2, named))


@dataclass(frozen=True)
class Lens:
    """From which layer on "The capital of France is" can be finished, by ways of reading a layer's stream.

    Args:
        shares: by way of reading, behind each layer, as those of `Capitals`, (layers, 2).
        maps: the fitted ones, one a layer, see `probing.fit_lens`.
    """

    shares: Mapping[str, Tensor]
    maps: Sequence[nn.Linear]


@torch.no_grad()
def lens(smollm2: Model) -> Lens:
    """From which layer on can the answer be read?

    Rival: to shift and scale each number of the stream, which does not mix them.
    Equal for both: the 846 tokens of reviews that the ways of reading are fitted to.
    Does not show: that the model itself uses the answer there.
    """
    model, tokenizer = smollm2
    prompts, leading = _asked(smollm2)
    with probing.recorded(model) as asked:
        model(prompts)
    lessons = torch.tensor(_review_tokens(tokenizer)[: 18 * 48], device=_device(model)).view(18, 48)
    with probing.recorded(model) as read:
        model.stack(model.embed(lessons))
    streams = [stream[:, 1:].flatten(0, 1) for stream in read.streams]  # without the first tokens
    maps = probing.fit_lens(streams)
    ends = [stream[:, -1] for stream in asked.streams]  # of each prompt the last token
    ways: dict[str, Sequence[Callable[[Tensor], Tensor]]] = {
        "as it is": [nn.Identity()] * len(ends),
        "fitted map": maps[:-1],  # the last layer needs none
        "shifted, scaled": [_shift_and_scale(stream, streams[-1]) for stream in streams[:-1]],
    }
    shares = {
        name: torch.stack(
            [leading(probing.logit_lens(model, fit(end))) for fit, end in zip(way, ends, strict=False)]
        )
        for name, way in ways.items()
    }
    return Lens(shares, maps)


def _asked(smollm2: Model) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The twelve prompts, and what says how often the right city leads, given the scores of what follows."""
    model, tokenizer = smollm2
    device = _device(model)
    prompts = torch.tensor(
        [tokenizer.encode(f"The capital of {name} is") for name in CAPITALS], device=device
    )
    answers = torch.tensor([tokenizer.encode(f" {city}")[0] for city in CAPITALS.values()], device=device)

    def leading(logits: Tensor) -> Tensor:
        places = torch.arange(len(answers), device=device)
        leads = torch.stack([logits.argmax(-1) == answers, logits[:, answers].argmax(-1) == places])
        return leads.float().mean(1).cpu()

    return prompts, leading


def _shift_and_scale(x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda stream: (stream - x.mean(0)) / x.std(0) * y.std(0) + y.mean(0)


# ---------------------------------------------------------------------- more layers

STORED_DEPTHS = Path(__file__).with_name("depths.yml")


@dataclass(frozen=True)
class MoreLayers:
    """How well decoders of several depths predict English text, after little and after much training.

    The numbers that are properties are differences in bits, the least over the starts; the work of a training
    is its steps times the layers.

    Args:
        bits: for a character of text that was not learned, by layers and steps, one a start.
        memory: by layers, the bytes that a step of training keeps.
    """

    bits: Mapping[tuple[int, int], tuple[float, ...]]
    memory: Mapping[int, int]

    @property
    def much(self) -> Mapping[int, tuple[float, ...]]:
        """Bits by layers, the fewest first, after the same much work."""
        return self._after(max(layers * steps for layers, steps in self.bits))

    @property
    def little(self) -> Mapping[int, tuple[float, ...]]:
        """The same after the same little work, of the fewest layers and the most."""
        deepest = max(layers for layers, _ in self.bits)
        return self._after(min(layers * steps for layers, steps in self.bits if layers == deepest))

    @property
    def helps(self) -> float:
        """By how much the deepest beats the shallowest after as many steps."""
        shallowest, *_, deepest = self.much
        steps = max(steps for layers, steps in self.bits if layers == deepest)
        return _least(self.bits[shallowest, steps], self.bits[deepest, steps])

    @property
    def longer(self) -> float:
        """By how much the deepest beats the shallowest after much work."""
        shallowest, *_, deepest = self.much
        return _least(self.much[shallowest], self.much[deepest])

    @property
    def between(self) -> float:
        """By how much the best depth between the two beats the deepest after much work."""
        _, *others, deepest = self.much
        return max(_least(self.much[deepest], self.much[each]) for each in others)

    @property
    def hurry(self) -> float:
        """By how much the shallowest beats the deepest after little work."""
        shallowest, *_, deepest = self.little
        return _least(self.little[deepest], self.little[shallowest])

    @property
    def bytes(self) -> float:
        """How many times the memory of half as many layers the deepest keeps."""
        deepest = max(self.memory)
        return self.memory[deepest] / self.memory[deepest // 2]

    def _after(self, work: int) -> Mapping[int, tuple[float, ...]]:
        return {layers: found for (layers, steps), found in self.bits.items() if layers * steps == work}


def _least(higher: Sequence[float], lower: Sequence[float]) -> float:
    return min(high - low for high, low in zip(higher, lower, strict=True))


def more_layers(
    seed: int = 0,
    depths: Sequence[int] = (1, 4, 8),
    work: int = 8000,
    little: int = 1280,
    starts: int = 3,
) -> MoreLayers:
    """Is it better to train more layers, or fewer of them for longer?

    Decoders of width 32 learn Python's manual by character. A quarter of an hour on one core; what came
    out is stored, see `stored_more_layers`.

    Rival: one layer that gets the steps which the work of the deepest pays for.
    Equal for both: text, width, batches, optimiser and learning rate; layers times steps, so that one layer,
        which has an embedding and a head as well, gets more seconds.
    Does not show: where the best depth lies in a large model.

    Args:
        seed: of weights and batches; another one means other starts, none of them the same.
        depths: how many layers, the fewest first.
        work: of the long training, layers times steps.
        little: of the short one.
        starts: how many.
    """
    shallow, deep = min(depths), max(depths)
    trainings = {(n, work // n) for n in depths} | {(n, little // n) for n in (shallow, deep)}
    trainings |= {(shallow, work // deep)}
    own = starts_of(seed, starts)
    runs = [(n, steps, start) for n, steps in sorted(trainings) for start in own]
    found: dict[tuple[int, int], list[float]] = {}
    for n, steps, start in bar(runs):
        found.setdefault((n, steps), []).append(_bits(n, steps, start))
    bits = {training: tuple(of_each) for training, of_each in found.items()}
    return MoreLayers(bits, {n: _memory(n) for n in (1, 2, 4, 8)})


def stored_more_layers() -> MoreLayers:
    """What `more_layers()` gave when `tools/store_depths.py` ran it; memory is counted anew."""
    stored = yaml.safe_load(STORED_DEPTHS.read_text("utf-8"))
    bits = {(run["layers"], run["steps"]): tuple(run["bits"]) for run in stored["runs"]}
    return MoreLayers(bits, {n: _memory(n) for n in (1, 2, 4, 8)})


def _decoder(n_layers: int, n_characters: int, seed: int) -> GPT:
    with seeded(seed):
        model = GPT(GPTConfig(n_characters, 32, 32, n_layers, 4, d_ff=64, positions="rotary", tied=False))
        nn.init.normal_(model.token_embedding.weight, std=0.5)
    return model


def _bits(n_layers: int, steps: int, seed: int) -> float:
    """Train a decoder, and count its bits for a character of text that is new to it."""
    table, known, unread = characters()
    pieces = next(windows(unread, 32, 128, Generator().manual_seed(99)))
    model = _decoder(n_layers, len(table), seed)
    texts = windows(known, 32, 16, Generator().manual_seed(seed))
    warm_up = min(20, steps)
    # Muon: an optimiser for matrices
    rates = TrainingConfig(steps, warm_up, learning_rate=0.01, muon_learning_rate=0.02)
    train(model, texts, _next_loss, rates, progress=False)
    with torch.no_grad():
        return _next_loss(model, pieces).item() / math.log(2)


def _memory(n_layers: int) -> int:
    table, known, _ = characters()
    model, rows = _decoder(n_layers, len(table), seed=0), known[: 16 * 33].view(16, 33).clone()
    return costs.bytes_kept(lambda: _next_loss(model, rows))


def _next_loss(model: nn.Module, rows: Tensor) -> Tensor:
    return token_loss(model(rows[:, :-1]), rows[:, 1:])
