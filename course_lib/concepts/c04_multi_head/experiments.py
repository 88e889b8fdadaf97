"""The experiments of notebook 04: what heads are for, what attention costs, and what can take its place."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from statistics import mean
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from course_lib import costs, probing
from course_lib.attention import MultiHeadAttention, attention_weights, scaled_dot_product_attention
from course_lib.blocks import TransformerStack, make_block
from course_lib.data import IGNORE, Examples, order, pair_recall, reviews, two_relations
from course_lib.decoder import GPT
from course_lib.device import one_core, seeded
from course_lib.encoder import BERT
from course_lib.generation import generate
from course_lib.mixers import FourierMixing, LinearAttention, MLPMixing, linear_attention
from course_lib.objectives import token_loss
from course_lib.positions import PositionEmbedding
from course_lib.pretrained import chat_prompt
from course_lib.training import TrainingConfig, bar, starts_of, train

Head = tuple[int, int]  # a layer and a head, both from 0
Model = tuple[Any, Any]  # a real model and its tokenizer
Task = Callable[..., Examples]
Mixer = Callable[[], nn.Module] | None  # makes what takes attention's place; None: attention

# ---------------------------------------------------------------------- small models, trained here


class Small(nn.Module):
    """A Transformer for symbols: a table, fixed positions, layers, and an answer at each place.

    Args:
        n_symbols: how many kinds of symbols.
        n_heads, width, n_layers: its sizes; the MLP is twice as wide.
        options: see `TransformerStack`.
    """

    def __init__(
        self, n_symbols: int, n_heads: int = 1, width: int = 32, n_layers: int = 1, **options: Any
    ) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(n_symbols, width), nn.Linear(width, n_symbols)
        nn.init.normal_(self.embedding.weight, std=0.5)
        self.positions = PositionEmbedding(128, width, learned=False)
        self.stack = TransformerStack(width, n_layers, n_heads, 2 * width, **options)

    def forward(self, ids: Tensor) -> Tensor:
        """Scores of all symbols at each place; where a token is two symbols, their vectors are added."""
        x = self.embedding(ids.reshape(*ids.shape[:2], -1)).sum(2)
        return self.head(self.stack(self.positions(x)))


@one_core()
def trained(
    task: Task, *sizes: int, seed: int = 0, steps: int = 150, rows: int = 64, **options: Any
) -> tuple[Small, float]:
    """Train a small model, and ask it what it has not met.

    Args:
        task: a function of `course_lib.data` that draws rows: (how many, *sizes, generator).
        sizes: of the task; the last is the number of symbols.
        seed: of weights and rows.
        steps: of training.
        rows: in each step.
        options: see `Small`.
    Returns: the model, and its share of right answers to 400 new rows.
    """
    with seeded(seed):
        model = Small(sizes[-1], **options)
    random = torch.Generator().manual_seed(seed)
    inputs, targets = task(400, *sizes, random)
    rates = TrainingConfig(steps, learning_rate=0.01, muon_learning_rate=0.04)
    train(model, lambda step: task(rows, *sizes, random), _loss, rates, progress=False)
    with torch.no_grad():
        right = (model(inputs).argmax(-1) == targets)[targets != IGNORE]
    return model, right.float().mean().item()


def learned(task: Task, *sizes: int, seed: int = 0, starts: int = 1, **how: Any) -> tuple[float, ...]:
    """The share of right answers of small models, one for each random start; see `trained`.

    Args:
        seed: another seed means other starts, none of them the same.
        starts: how many.
    """
    return tuple(trained(task, *sizes, seed=start, **how)[1] for start in starts_of(seed, starts))


def _loss(model: nn.Module, batch: Examples) -> Tensor:
    return token_loss(model(batch.inputs), batch.targets)


# ---------------------------------------------------------------------- one head too few


@dataclass(frozen=True)
class FewHeads:
    """What models with one head and with two get right where each symbol asks for two others.

    Args:
        right: by model the shares of right answers, one a start.
        extra: how many parameters two heads have more than one.
    """

    right: Mapping[str, tuple[float, ...]]
    extra: int

    @property
    def single(self) -> float:
        """The share of right answers with one head."""
        return mean(self.right["one head"])

    @property
    def gain(self) -> float:
        """How many points more two heads get."""
        return self._ahead_of("one head")

    @property
    def over_wide(self) -> float:
        """How many points more they get than one of twice the width."""
        return self._ahead_of("one head, twice the width")

    @property
    def patient(self) -> float:
        """How many points more they get than one after `patience` times as many steps."""
        return self._ahead_of("one head, more steps")

    @property
    def deep(self) -> float:
        """How many points more they get than one in each of two layers."""
        return self._ahead_of("one head in two layers")

    def _ahead_of(self, rival: str) -> float:
        return 100 * (mean(self.right["two heads"]) - mean(self.right[rival]))


def few_heads(
    seed: int = 0, starts: int = 2, length: int = 10, steps: int = 150, width: int = 32, patience: int = 10
) -> FewHeads:
    """Are two relations too many for one head?

    Rival: one head with another advantage: twice the width, ten times the steps, or a second layer.
    Equal for both: layer, width, parameters, rows, steps, rates, starts.
    Does not show: what heads do in a large model, or with more than two relations.

    Args:
        seed: of weights and rows.
        starts: how many of each model are trained; of the one with more steps, one.
        length: symbols in a row.
        steps: of training.
        width: of the vectors.
        patience: how many times as many steps the patient one gets.
    """
    rivals: dict[str, dict[str, int]] = {
        "one head": {},
        "two heads": {"n_heads": 2},
        "one head, twice the width": {"width": 2 * width},
        "one head, more steps": {"steps": patience * steps, "starts": 1},
        "one head in two layers": {"n_layers": 2},
    }
    usual = {"width": width, "steps": steps, "starts": starts}
    right = {
        name: learned(two_relations, length, 20, seed=seed, **usual | advantage)
        for name, advantage in bar(rivals.items())
    }
    one, two = (sum(p.numel() for p in Small(20, n, width).parameters()) for n in (1, 2))
    return FewHeads(right, two - one)


def marks_seen(model: Small, length: int, seed: int = 0) -> dict[str, tuple[float, ...]]:
    """What share of its weight each head of the first layer gives to the last mark, and to the next one."""
    inputs, _ = two_relations(200, length, 20, torch.Generator().manual_seed(seed))
    weights = first_weights(model, inputs)
    asking = slice(1, -1)  # the ends are not asked
    return {
        name: tuple((weights * mark[:, None])[:, :, asking].sum(-1).mean((0, 2)).tolist())
        for name, mark in zip(("the last mark", "the next mark"), mark_places(inputs), strict=True)
    }


@torch.no_grad()
def first_weights(model: Small, ids: Tensor) -> Tensor:
    """The attention weights of the first layer, which may be a learner's: (rows, heads, T, T).

    Args:
        model: its first layer has `d_head`, `q_proj` and `k_proj`.
        ids: (rows, T).
    """
    layer: Any = model.stack.blocks[0].attention
    parts: list[Tensor] = []  # queries and keys
    hooks = [
        part.register_forward_hook(lambda _, args, output: parts.append(output))
        for part in (layer.q_proj, layer.k_proj)
    ]
    try:
        model(ids)
    finally:
        for hook in hooks:
            hook.remove()
    q, k = (part.unflatten(-1, (-1, layer.d_head)).transpose(1, 2) for part in parts)
    return attention_weights(q, k)


@dataclass(frozen=True)
class TwoQuestions:
    """What small models answer that are asked for two marks, with a layer of the learner's.

    Args:
        right: the shares of right answers, one a start.
        looks: of the first start, for the last mark and for the next one, what each head gives to it.
        models: one a start.
    """

    right: tuple[float, ...]
    looks: Mapping[str, tuple[float, ...]]
    models: tuple[Small, ...]


def two_questions(
    layer: Callable[[int, int], nn.Module], n_heads: int, *, seed: int = 0, starts: int = 2
) -> TwoQuestions:
    """Train a layer to answer two questions at once.

    Args:
        layer: makes one from a width and a number of heads; it is called with nothing but vectors.
        n_heads: how many it is to have.
        seed: of weights and rows.
        starts: how many models are trained.
    """
    runs = [
        trained(two_relations, 10, 20, seed=start, mixer=lambda: Unmasked(layer(32, n_heads)))
        for start in starts_of(seed, starts)
    ]
    return TwoQuestions(
        right=tuple(right for _, right in runs),
        looks=marks_seen(runs[0][0], 10, seed),
        models=tuple(model for model, _ in runs),
    )


def by_marks(found: TwoQuestions, *, seed: int = 1) -> dict[str, tuple[float, ...]]:
    """What models with one head get right, by whether the two marks are the same, one number a start.

    And what they get right of different marks if their head gives both the same weight, the mean of the two.

    Args:
        found: by `two_questions`, with one head.
        seed: of the rows.
    """
    inputs, targets = two_relations(1000, 10, 20, torch.Generator().manual_seed(seed))
    same, different = (targets == 0) | (targets == 3), (targets == 1) | (targets == 2)

    def right(answer: Callable[[Small, Tensor], Tensor], asked: Tensor) -> tuple[float, ...]:
        answers = [answer(model, inputs).argmax(-1) for model in found.models]
        return tuple((each == targets)[asked].float().mean().item() for each in answers)

    return {
        "twice the same mark": right(Small.__call__, same),
        "two different marks": right(Small.__call__, different),
        "two different marks, with equal weights": right(evened, different),
    }


@torch.no_grad()
def evened(model: Small, ids: Tensor) -> Tensor:
    """What a model with one head says if the last mark and the next one get the mean of their weights."""
    layer: Any = model.stack.blocks[0].attention
    weights, marks = first_weights(model, ids)[:, 0], torch.stack(mark_places(ids)).any(0)
    even = torch.where(marks, (weights * marks).sum(-1, keepdim=True) / 2, weights)
    values: list[Tensor] = []
    hooks = [
        layer.v_proj.register_forward_hook(lambda _, args, output: values.append(output)),
        layer.out_proj.register_forward_pre_hook(lambda _, args: (even @ values[0],)),
    ]
    try:
        scores: Tensor = model(ids)
    finally:
        for hook in hooks:
            hook.remove()
    return scores


class Unmasked(nn.Module):
    """A layer that knows nothing of masks and caches, in a block that has none for it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def __getattr__(self, name: str) -> Any:
        own = super().__getattr__
        return own(name) if name == "layer" or name.startswith("_") else getattr(own("layer"), name)

    def forward(self, x: Tensor, **_: Any) -> Tensor:
        """(B, T, D)."""
        return self.layer(x)


def mark_places(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """For each symbol where the last mark before it stands, and where the next one after it: (rows, T, T)."""
    mark, place = inputs < 3, torch.arange(inputs.shape[1])
    so_far, behind = mark.cumsum(1), place[:, None] - place
    last = (behind > 0) & (so_far[:, None] == (so_far - 1 * mark)[:, :, None])
    coming = (behind < 0) & (so_far[:, None] == so_far[:, :, None] + 1)
    return last & mark[:, None], coming & mark[:, None]


# ---------------------------------------------------------------------- what heads look at


@dataclass(frozen=True)
class Graphs:
    """How much the heads of a model differ as graphs over the tokens of several texts.

    Args:
        row_error: by how much the weights that a token gives miss 1, at most.
        moved: for each two heads the share of their weight that would have to move to make one the other; the
            first token, where heads park their weight, is left out, and the rest of each row adds up to 1.
        random: the same for heads with random weights.
    """

    row_error: float
    moved: Tensor
    random: Tensor

    @property
    def typical(self) -> float:
        """The share that two heads differ in, on average."""
        return _without_itself(self.moved).mean().item()

    @property
    def fresh(self) -> float:
        """The same with random weights."""
        return _without_itself(self.random).mean().item()

    @property
    def twins(self) -> float:
        """The share of heads that have another which differs in less than a tenth."""
        return (_without_itself(self.moved).amin(1) < 0.1).float().mean().item()


def graphs(smollm2: Model, *, seed: int = 0, n_texts: int = 20, length: int = 24) -> Graphs:
    """Is each head another graph over the tokens?

    Rival: a model of the same shape with random weights.
    Equal for both: texts, places, and the first token, which is left out.
    Does not show: whether the differences matter; for that, heads are switched off.

    Args:
        smollm2: the model and its tokenizer.
        seed: which reviews are read, and the random weights.
        n_texts, length: how many pieces of reviews, and tokens in each.
    """
    model, tokenizer = smollm2
    ids = pieces(tokenizer.encode, seed, n=n_texts, length=length)
    weights = weights_of(model, ids)
    return Graphs(
        row_error=(weights.sum(-1) - 1).abs().max().item(),
        moved=moved(weights),
        random=moved(weights_of(untrained(model, seed), ids)),
    )


def untrained(model: Any, seed: int) -> GPT:
    """The first two layers of a `GPT` with random weights: 18 heads of SmolLM2's are enough to see."""
    with seeded(seed):
        return GPT(replace(model.config, n_layers=2))


def moved(weights: Tensor) -> Tensor:
    """What share of its weight would have to move to make one head another: (N, N), see `Graphs`.

    Args:
        weights: as `weights_of` gives them.
    """
    heads = weights[..., 2:, 1:].flatten(1, 2).transpose(0, 1)  # the second token would see itself alone
    heads = heads / heads.sum(-1, keepdim=True).clamp(min=1e-12)
    n_rows = heads[0, ..., 0].numel()
    rows = heads.flatten(1)
    return torch.cdist(rows, rows, p=1) / (2 * n_rows)


def _without_itself(table: Tensor) -> Tensor:
    """The table without its diagonal: (N, N - 1)."""
    return table[~torch.eye(len(table), dtype=torch.bool)].view(len(table), -1)


@dataclass(frozen=True)
class HeadScores:
    """What heads give to related tokens, averaged over texts: from 0 to 1.

    Args:
        trained: by relation the mean weight of each head (layers, heads).
        fresh: the same with random weights.
        others: what other tokens give to the places where earlier ones of the same token stand.
        n_pairs: how many pairs of the same token there are.
    """

    trained: Mapping[str, Tensor]
    fresh: Mapping[str, Tensor]
    others: Tensor
    n_pairs: int

    @property
    def by_others(self) -> float:
        """What other tokens give to the places where the best head for the same token looks."""
        return self.others.flatten()[self.trained["the same token"].argmax()].item()


def head_scores(
    smollm2: Model, minilm: Model, *, seed: int = 0, n_texts: int = 10, length: int = 32
) -> HeadScores:
    """What do heads of trained models look at, and heads with random weights?

    Args:
        smollm2, minilm: models and their tokenizers; MiniLM is asked for the token after, which it may see.
        seed: which reviews are read, and the random weights.
        n_texts, length: how many pieces of reviews, and tokens in each.
    """
    (model, tokenizer), (reader, wordpiece) = smollm2, minilm
    with seeded(seed):
        random_reader = BERT(reader.config)
    ids = pieces(tokenizer.encode, seed, n=n_texts, length=length)
    back = distance(length)
    same = (ids[:, :, None] == ids[:, None]) & (back > 0)
    asked_by_others = same.any(1)[:, None] & (back > 0) & ~same  # the same places
    related = {
        "the token before": back == 1,
        "the first token": (back > 0) & (torch.arange(length) == 0),
        "the same token": same,
    }
    begin, end = wordpiece.frame("")[0]  # the marks around a text
    inner = pieces(wordpiece.encode, seed, n=n_texts, length=length - 2)
    framed = F.pad(F.pad(inner, (1, 0), value=begin), (0, 1), value=end)

    def scores_of(weights: Tensor, encoder: nn.Module) -> dict[str, Tensor]:
        scores = {name: score(weights, where) for name, where in related.items()}
        return scores | {"the token after (MiniLM)": score(weights_of(encoder, framed), back == -1)}

    weights = weights_of(model, ids)
    return HeadScores(
        trained=scores_of(weights, reader),
        fresh=scores_of(weights_of(untrained(model, seed), ids), random_reader),
        others=score(weights, asked_by_others),
        n_pairs=int(same.sum()),
    )


def pieces(
    encode: Callable[[str], Sequence[int]], seed: int = 0, *, held_out: bool = False, n: int, length: int
) -> Tensor:
    """Reviews as tokens, one after the other, cut into pieces: (n, length).

    Args:
        encode: a tokenizer's.
        seed: which fifth of the reviews is taken.
        held_out: from those that are kept back.
        n, length: how many pieces, and tokens in each.
    """
    ids = [i for review in reviews()[held_out][seed % 5 :: 5] for i in encode(" " + review.text)]
    return torch.tensor(ids[: n * length]).view(n, length)


@torch.no_grad()
def weights_of(model: nn.Module, texts: Tensor) -> Tensor:
    """The attention weights of every head in several texts: text, layer, head, who looks, at whom."""
    # What the model would say at each place costs a fifth of a pass, and is not asked for here.
    read = model.next_token_logits if isinstance(model, GPT) else model
    with probing.weights_recorded(model) as layers:
        read(texts.to(next(model.parameters()).device))
    return torch.stack(layers, 1).cpu()


def distance(length: int) -> Tensor:
    """How far the key (across) stands behind the query (down)."""
    place = torch.arange(length)
    return place[:, None] - place


def score(weights: Tensor, related: Tensor) -> Tensor:
    """The mean weight of each head over all related pairs of a token and one that it may look at.

    Args:
        weights: as `weights_of` gives them.
        related: which pairs are meant, (T, T) for all texts or (texts, T, T).
    Returns: (layers, heads).
    """
    related = related.expand(len(weights), -1, -1)
    return (weights * related[:, None, None]).sum((0, 3, 4)) / related.sum()


def ranked(scores: Tensor) -> list[Head]:
    """All heads, the one with the highest score first.

    Example:
        >>> ranked(torch.tensor([[0.1, 0.3], [0.2, 0.0]]))
        [(0, 1), (1, 0), (0, 0), (1, 1)]
    """
    return [divmod(i, scores.shape[1]) for i in scores.flatten().argsort(descending=True).tolist()]


def by_lot(scores: Tensor, seed: int) -> list[Head]:
    """The same heads, shuffled."""
    return ranked(torch.rand(scores.shape, generator=torch.Generator().manual_seed(seed)))


@torch.no_grad()
def loss_without(model: nn.Module, off: Sequence[Head], ids: Tensor, begin: int = 1) -> float:
    """The loss of a model with some heads off, in nats a token.

    Args:
        model: called with token ids.
        off: the heads that give nothing.
        ids: (rows, tokens).
        begin: the first token whose loss counts.
    """
    ids = ids.to(next(model.parameters()).device)
    with probing.heads_off(model, off):
        return token_loss(model(ids)[:, begin - 1 : -1], ids[:, begin:]).item()


class Reading:
    """Texts that a model has read. With heads off, only the layers from the first of them on run again.

    Args:
        model: a `GPT`.
        ids: (rows, tokens).
    """

    @torch.no_grad()
    def __init__(self, model: Any, ids: Tensor) -> None:
        self.model, self.ids = model, ids.to(next(model.parameters()).device)
        # What enters each layer, and what leaves the last.
        self.streams: list[Tensor] = [model.embed(self.ids)]
        for block in model.stack.blocks:
            self.streams.append(block(self.streams[-1]))

    @torch.no_grad()
    def scores(self, off: Sequence[Head] = (), begin: int = 0) -> Tensor:
        """What the model says at each place from `begin` on with some heads off: (rows, places, V)."""
        blocks = self.model.stack.blocks
        lowest = min((layer for layer, _ in off), default=len(blocks))
        x = self.streams[lowest]
        with probing.heads_off(self.model, off):
            for block in blocks[lowest:]:
                x = block(x)
        scores: Tensor = self.model.lm_head(self.model.stack.final_norm(x[:, begin:]))
        return scores

    def loss(self, off: Sequence[Head] = (), begin: int = 1) -> float:
        """As `loss_without`."""
        return token_loss(self.scores(off, begin - 1)[:, :-1], self.ids[:, begin:]).item()


@dataclass(frozen=True)
class FirstToken:
    """The loss on reviews, in nats a token, when the first token or who looks at it is missing.

    Args:
        intact: of the whole model.
        losses: without the "heads" that look most at the first token; without as many by "lot", one a draw;
            with the first "token" hidden; with "others" hidden, one a token.
    """

    intact: float
    losses: Mapping[str, tuple[float, ...]]


def first_token(
    smollm2: Model, scores: HeadScores, *, seed: int = 0, n_heads: int = 20, n_texts: int = 2
) -> FirstToken:
    """Is the first token needed, at which most heads look, and are these heads?

    Rival: as many heads drawn by lot; another token hidden from the same places.
    Does not show: whether the token is needed for what it says or as a place to put weight.

    Args:
        smollm2: the model and its tokenizer.
        scores: of its heads.
        seed: which reviews are read, and which heads are drawn.
        n_heads: how many are switched off.
        n_texts: how many pieces of reviews are read.
    """
    model, tokenizer = smollm2
    ids = pieces(tokenizer.encode, seed, held_out=True, n=n_texts, length=64)
    looking = scores.trained["the first token"]
    begin = 17  # from here on the token is hidden, and the loss counts

    def without(off: Sequence[Head]) -> float:
        return loss_without(model, off, ids, begin)

    def hidden(key: int) -> float:
        with probing.key_hidden(model, key, begin - 1):
            return without([])

    losses = {
        "heads": (without(ranked(looking)[:n_heads]),),
        "lot": tuple(without(by_lot(looking, 2 * seed + draw)[:n_heads]) for draw in range(2)),
        "token": (hidden(0),),
        "others": (hidden(1), hidden(8)),
    }
    return FirstToken(without([]), losses)


# ---------------------------------------------------------------------- who copies?


@dataclass(frozen=True)
class Specialists:
    """What heads of trained models are for: what they look at, and what it costs when they are off.

    Args:
        scores: what they look at.
        copying: those of SmolLM2 that look at what followed the first time, the strongest first.
        without: the loss of a repetition in nats a token: all heads on, the strongest off, ten off.
        others: as many others of the same layers, drawn by lot.
        drawn: the loss without them, and without a second draw.
        alone: the same without a head that looks at the token before, by head.
        first_copy: the loss when nothing is repeated yet.
        given: what each of five copying heads gives to the token that followed, with the head for the token
            before on, with it off, and with another of its layer off, by name, in this order.
        specific: what the ten copying heads cost on reviews, in nats a token.
    """

    scores: HeadScores
    copying: tuple[Head, ...]
    without: tuple[float, ...]
    others: tuple[Head, ...]
    drawn: tuple[float, ...]
    alone: Mapping[Head, float]
    first_copy: float
    given: Mapping[str, tuple[float, ...]]
    specific: float

    @property
    def fresh(self) -> float:
        """The most that a head with random weights gives to the token before."""
        return self.scores.fresh["the token before"].max().item()

    @property
    def previous(self) -> float:
        """The most that a trained one gives to it."""
        return self.scores.trained["the token before"].max().item()

    @property
    def same_token(self) -> float:
        """What the best head for it gives to each earlier place of the same token."""
        return self.scores.trained["the same token"].max().item()

    @property
    def over_others(self) -> float:
        """How many times as much that is as what other tokens give to these places."""
        return self.same_token / self.scores.by_others

    @property
    def copy_off(self) -> float:
        """By how many nats a repetition costs more without the copying heads."""
        return self.without[-1] - self.without[0]

    @property
    def lot(self) -> float:
        """By how many without as many others."""
        return mean(self.drawn) - self.without[0]

    @property
    def needed(self) -> Head:
        """The head for the token before that is missed most."""
        return max(self.alone, key=lambda head: self.alone[head])

    @property
    def taken(self) -> float:
        """The share of what repetition saves that this head takes away."""
        return (self.alone[self.needed] - self.without[0]) / (self.first_copy - self.without[0])

    @property
    def handed(self) -> float:
        """The share of their weight on the target that copying heads keep without it; without any, 1."""
        on, off, _ = self.given.values()
        return sum(off) / sum(on) if on else 1.0


def specialists(
    smollm2: Model,
    minilm: Model,
    *,
    seed: int = 0,
    scores: HeadScores | None = None,
    n_rows: int = 2,
    half: int = 40,
) -> Specialists:
    """Do heads come to do different things, and does it matter that they do?

    Rival: a model of the same shape with random weights; the same places asked by other tokens; as many other
        heads of the same layers switched off.
    Equal for both: texts, rows and places; the number of heads that are off, and their layers.
    Does not show: heads for the subject of a sentence or for what a pronoun means.

    Args:
        smollm2, minilm: models and their tokenizers.
        seed: which reviews are read, the random weights, the tokens that are repeated, and what is drawn.
        scores: what `head_scores` found, if it has been called.
        n_rows, half: rows of tokens drawn by lot, and how many there are before they come again.
    """
    scores = scores or head_scores(smollm2, minilm, seed=seed)
    (model, tokenizer), random = smollm2, torch.Generator().manual_seed(seed)
    once, other = torch.randint(1000, 40000, (2, n_rows, half), generator=random)
    twice, never = torch.cat([once, once], 1), torch.cat([once, other], 1)
    copying = copying_heads(model, twice, never)
    ten = copying[:10]
    previous = scores.trained["the token before"]

    reading = Reading(model, twice)

    def repeated(*off: Head) -> float:
        return reading.loss(off, half)

    alone = {head: repeated(head) for head in bar(ranked(previous)[:3])}
    needed = max(alone, key=lambda head: alone[head])
    mate = others_of([needed], [needed], by_lot(previous, seed))
    drawn = [others_of(ten, copying, by_lot(previous, 2 * seed + draw)) for draw in range(2)]
    unread = Reading(model, pieces(tokenizer.encode, seed, held_out=True, n=3, length=64))
    return Specialists(
        scores=scores,
        copying=tuple(copying),
        without=(repeated(), repeated(*ten[:1]), repeated(*ten)),
        others=tuple(drawn[0]),
        drawn=tuple(repeated(*off) for off in drawn),
        alone=alone,
        first_copy=token_loss(reading.scores()[:, : half - 1], reading.ids[:, 1:half]).item(),
        given={
            "note-taker on": given_to_targets(model, twice, copying[:5], []),
            "note-taker off": given_to_targets(model, twice, copying[:5], [needed]),
            "note-taker on, its neighbour off": given_to_targets(model, twice, copying[:5], mate),
        },
        specific=unread.loss(ten) - unread.loss(),
    )


def copying_heads(model: nn.Module, twice: Tensor, never: Tensor) -> list[Head]:
    """The heads that look at what followed the first time, the strongest first.

    They give it five times an equal share, and five times what they give it where nothing is repeated.

    Args:
        model: called with token ids.
        twice: rows whose second half is the first again.
        never: rows of the same length that repeat nothing.
    """
    half = twice.shape[1] // 2
    found, control = (score(weights_of(model, rows), _targets(half)) for rows in (twice, never))
    equal = (1 / (torch.arange(half, 2 * half) + 1)).mean()
    return [head for head in ranked(found) if found[head] > 5 * max(control[head], equal)]


def given_to_targets(
    model: nn.Module, twice: Tensor, heads: Sequence[Head], off: Sequence[Head]
) -> tuple[float, ...]:
    """What each of these heads gives to the token that followed the first time, while others are off."""
    with probing.heads_off(model, off):
        given = score(weights_of(model, twice), _targets(twice.shape[1] // 2))
    return tuple(given[head].item() for head in heads)


def _targets(half: int) -> Tensor:
    """For each token of a repetition the one after its first occurrence: (2 half, 2 half)."""
    after = distance(2 * half) == half - 1
    after[half - 1] = False  # the first copy's last token: nothing is repeated yet
    return after


def others_of(off: Sequence[Head], spared: Sequence[Head], shuffled: Sequence[Head]) -> list[Head]:
    """As many heads of the same layers, the first in a shuffled list that are not to be spared.

    Where a layer has no more of these, one of the nearest that has; where none has, one to be spared.

    Args:
        off: at most half of all heads; none of them is taken.
        spared: taken last.
        shuffled: all heads.
    """
    chosen: list[Head] = []
    for layer, _ in off:
        free = [head for head in shuffled if head not in (*off, *chosen)]
        chosen.append(min(free, key=lambda head: (head in spared, abs(head[0] - layer))))
    return chosen


# The ten strongest copying heads of SmolLM2, as `copying_heads` finds them; and twenty others, drawn once.
TEN: tuple[Head, ...] = (
    *((18, 6), (17, 3), (17, 4), (18, 7), (23, 2)),
    *((23, 7), (20, 6), (17, 5), (24, 4), (23, 1)),
)
TWENTY_AT_RANDOM = tuple(by_lot(torch.zeros(30, 9), 1)[:20])


def answer(smollm2: Model, question: str, *, off: Sequence[Head] = (), n_tokens: int = 10) -> str:
    """What the chat model answers with some heads off.

    Args:
        smollm2: the model and its tokenizer.
        question: what it is asked.
        off: the heads that give nothing.
        n_tokens: of the answer, at most.
    """
    model, tokenizer = smollm2
    ids = torch.tensor([tokenizer.encode(chat_prompt(question))], device=next(model.parameters()).device)
    with probing.heads_off(model, off):
        written = generate(model, ids, n_tokens)[0, ids.shape[1] :]
    return tokenizer.decode(written.tolist()).split("<|im_end|>")[0]


@contextmanager
def with_join(model: nn.Module, join: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Inside, every attention layer of a model puts its heads side by side by this function.

    Args:
        model: with at least one `MultiHeadAttention`.
        join: (B, H, T, K) to (B, T, H K).
    """

    def forward(layer: Any, x: Tensor, context: None = None, mask: Any = None, cache: Any = None) -> Tensor:
        q, k, v = layer.project(x, x, 0 if cache is None else cache.length)
        if cache is not None:
            k, v = cache.append(k, v)
        return layer.out_proj(join(layer.attend(q, k, v, mask, causal=layer.causal)))

    with probing.replaced(model, MultiHeadAttention, forward):
        yield


# ---------------------------------------------------------------------- the lecture's own heads

PEOPLE = (
    *(("king", "queen"), ("man", "woman"), ("boy", "girl"), ("father", "mother")),
    *(("brother", "sister"), ("uncle", "aunt"), ("husband", "wife"), ("son", "daughter")),
    *(("prince", "princess"), ("waiter", "waitress"), ("actor", "actress"), ("lord", "lady")),
)
CLAUSES = (
    "The {} thanked the {} because {} was kind.",
    "The {} met the {} when {} came home.",
    "The {} saw the {} before {} sat down.",
    "The {} called the {} after {} woke up.",
)
THINGS = (
    *(("dog", "dogs"), ("cat", "cats"), ("boy", "boys"), ("girl", "girls"), ("king", "kings")),
    *(("book", "books"), ("car", "cars"), ("tree", "trees"), ("house", "houses"), ("door", "doors")),
    *(("bird", "birds"), ("horse", "horses"), ("chair", "chairs"), ("table", "tables"), ("box", "boxes")),
    ("key", "keys"),
)
PLACES = (("near", "now"), ("behind", "today"), ("under", "here"), ("above", "often"))


@dataclass(frozen=True)
class Choices:
    """Sentences in which one token should look at one of two nouns.

    Args:
        texts: the sentences, all of the same number of words.
        asking: the place of the token that looks, counted in words.
        right, wrong: for each sentence the place of the noun that is meant, and of the other.
    """

    texts: tuple[str, ...]
    asking: int
    right: tuple[int, ...]
    wrong: tuple[int, ...]


def pronouns(half: int) -> Choices:
    """A man, a woman, and *he* or *she*: whom does it mean? Half of the people, half of the sentences."""
    found = [
        (clause.format(*people, pronoun), *places)
        for clause in CLAUSES[half::2]
        for he, she in PEOPLE[half::2]
        for people in ((he, she), (she, he))
        for pronoun, places in zip(
            ("he", "she"), ((1, 4), (4, 1))[:: 1 if people[0] == he else -1], strict=True
        )
    ]
    texts, right, wrong = zip(*found, strict=True)
    return Choices(texts, 6, right, wrong)


def subjects(half: int, *, first: bool | None = None) -> Choices:
    """Two nouns, one of them the subject, the other of another number: which does the verb belong to?

    Args:
        half: which half of the nouns and of the prepositions.
        first: only sentences in which the subject comes first, or last; left out, both.
    """
    nouns = THINGS[half::2]
    found = []
    for place, when in PLACES[half::2]:
        for here, there in zip(nouns, (*nouns[1:], nouns[0]), strict=True):
            for is_many, verb in enumerate(("is", "are")):
                subject, other = here[is_many], there[1 - is_many]
                if first is not False:
                    found.append((f" {when} the {subject} {place} the {other} {verb}", 2, 5))
                if first is not True:
                    found.append((f" {place} the {other} {when} the {subject} {verb}", 5, 2))
    texts, right, wrong = zip(*found, strict=True)
    return Choices(texts, 6, right, wrong)


@dataclass(frozen=True)
class FoundHead:
    """A head chosen on one half of the words and sentences, tried on the other half.

    Args:
        ranking: all heads, the one that looks at the right noun most, on the first half, first.
        right: in how many of the other half's sentences the first of them looks more at the right noun.
        fresh: the same of the best head of random weights, chosen in the same way.
    """

    ranking: tuple[Head, ...]
    right: float
    fresh: float


def pronoun_head(minilm: Model, *, seed: int = 0) -> FoundHead:
    """Is there a head that looks from a pronoun at the one it means?

    Rival: the best of as many heads with random weights, chosen in the same way.
    Equal for both: sentences; each noun stands first as often as second, so a place alone is right in half.
    Does not show: pronouns that take more than *he* and *she* to understand.

    Args:
        minilm: the model and its tokenizer.
        seed: of the random weights.
    """
    model, tokenizer = minilm
    with seeded(seed):
        random = BERT(model.config)
    return found_head(model, random, lambda text: tokenizer.frame(text)[0], pronouns, shift=1)


def subject_head(smollm2: Model, *, seed: int = 0) -> FoundHead:
    """Is there a head that looks from a verb at its subject, and not at a noun beside it?

    Rival: the best of 90 heads with random weights, in ten layers, chosen in the same way.
    Equal for both: sentences; the subject stands first as often as last, so a place alone is right in half.
    Does not show: sentences of another form. The verb is there to be read, and its number tells the subject.

    Args:
        smollm2: the model and its tokenizer.
        seed: of the random weights.
    """
    model, tokenizer = smollm2
    with seeded(seed):
        random = GPT(replace(model.config, n_layers=10))
    return found_head(model, random, tokenizer.encode, subjects)


def found_head(
    model: nn.Module,
    random: nn.Module,
    encode: Callable[[str], Sequence[int]],
    choices: Callable[[int], Choices],
    shift: int = 0,
) -> FoundHead:
    """The head that chooses best on one half, tried on the other, and the same with random weights.

    Args:
        model, random: with trained and with random weights.
        encode: a tokenizer's; each word must be one token.
        choices: gives the first and the second half.
        shift: how many tokens stand before the first word.
    """
    ranking = ranked(preference(model, encode, choices(0), shift).mean(0))
    by_luck = ranked(preference(random, encode, choices(0), shift).mean(0))
    tried = [preference(each, encode, choices(1), shift) > 0.5 for each in (model, random)]
    right, fresh = (
        each[:, layer, head].float().mean().item()
        for each, (layer, head) in zip(tried, (ranking[0], by_luck[0]), strict=True)
    )
    return FoundHead(tuple(ranking), right, fresh)


def preference(
    model: nn.Module, encode: Callable[[str], Sequence[int]], choices: Choices, shift: int = 0
) -> Tensor:
    """Of what a head gives to both nouns, the share that the right one gets: (sentences, layers, heads)."""
    ids = torch.tensor([encode(text) for text in choices.texts])
    weights = weights_of(model, ids)[..., choices.asking + shift, :]
    rows = torch.arange(len(ids))
    right, wrong = (
        weights[rows, :, :, torch.tensor(places) + shift] for places in (choices.right, choices.wrong)
    )
    return right / (right + wrong)


def agreement(
    smollm2: Model, found: FoundHead, *, n_heads: int = 6, seed: int = 0
) -> dict[str, tuple[float, ...]]:
    """Is the number of the verb still right without the heads that look at the subject?

    Rival: as many other heads of the same layers, or of the nearest where these have too few; three draws.
    Does not show: longer sentences.

    Args:
        smollm2: the model and its tokenizer.
        found: what `subject_head` found.
        n_heads: how many are switched off, the best ones.
        seed: which others are drawn.
    Returns: in how many sentences with another noun before the verb the right one of *is* and *are* is the
        more probable, one number a draw.
    Raises: ValueError: too many heads to leave as many others, or none.
    """
    model, tokenizer = smollm2
    half = len(found.ranking) // 2
    if not 1 <= n_heads <= half:
        raise ValueError(
            f"n_heads has to be 1 to {half}, half of all, so that as many others are left; got {n_heads}"
        )
    best = found.ranking[:n_heads]
    drawn = [
        others_of(
            best,
            found.ranking[: 3 * n_heads],
            by_lot(torch.zeros(model.config.n_layers, model.config.n_heads), 3 * seed + draw),
        )
        for draw in range(3)
    ]
    ids = torch.tensor([tokenizer.encode(text) for text in subjects(1, first=True).texts])
    verbs = torch.tensor([tokenizer.encode(verb)[0] for verb in (" is", " are")])
    reading = Reading(model, ids[:, :-1])

    def right(off: Sequence[Head]) -> float:
        scores = reading.scores(off, begin=ids.shape[1] - 2)[:, -1].cpu()
        return (verbs[scores[:, verbs].argmax(-1)] == ids[:, -1]).float().mean().item()

    return {
        "all heads on": (right([]),),
        f"{n_heads} subject heads off": (right(best),),
        f"{n_heads} others off": tuple(right(off) for off in drawn),
    }


# ---------------------------------------------------------------------- how many heads


@dataclass(frozen=True)
class HeadCounts:
    """What more heads bring, and what fewer cost.

    Args:
        right: by number of heads the shares of right answers of small models of one width, one a start.
        kept: by number of heads the bytes kept for training, with the table of weights and fused.
        least: SmolLM2's heads, the least important first.
        rise: by how much its loss rises, as a share, without so many of them.
        drawn: the same for `n_drawn` drawn by lot, one a draw.
        n_drawn: how many are drawn.
    """

    right: Mapping[int, tuple[float, ...]]
    kept: Mapping[int, tuple[int, int]]
    least: tuple[Head, ...]
    rise: Mapping[int, float]
    drawn: tuple[float, ...]
    n_drawn: int

    @property
    def second(self) -> float:
        """How many points more two heads get than one."""
        return 100 * (mean(self.right[2]) - mean(self.right[1]))

    @property
    def further(self) -> float:
        """What six more heads bring, as a share of what the second brought."""
        return (mean(self.right[8]) - mean(self.right[2])) / (mean(self.right[2]) - mean(self.right[1]))

    @property
    def with_table(self) -> float:
        """How many times the bytes of one head eight keep, with the table of weights."""
        return self.kept[8][0] / self.kept[1][0]

    @property
    def fused(self) -> float:
        """The same where the table is never stored."""
        return self.kept[8][1] / self.kept[1][1]

    @property
    def unneeded(self) -> float:
        """The rise of the loss, as a share, without a third of the heads, the least important ones."""
        return self.rise[self.n_drawn]

    @property
    def lot(self) -> float:
        """How many times as much it rises without as many drawn by lot."""
        return mean(self.drawn) / self.unneeded

    @property
    def half(self) -> float:
        """The rise without more than half of the heads, the least important ones."""
        return self.rise[max(self.rise)]


def head_counts(
    smollm2: Model,
    *,
    seed: int = 0,
    few: FewHeads | None = None,
    starts: int = 2,
    length: int = 10,
    steps: int = 150,
    draws: int = 3,
) -> HeadCounts:
    """Are more heads better, and is memory the limit?

    Rival: two heads, which have as many parameters as eight; heads of the trained model drawn by lot.
    Equal for both: width and parameters, rows, steps, rates, starts; the number of heads that are off.
    Does not show: how many heads a task with more relations could use.

    Args:
        smollm2: the model and its tokenizer.
        seed: of weights and rows, which reviews are read, and what is drawn.
        few: what `few_heads` found, if it has been called with the same sizes.
        starts: how many small models are trained for each number of heads.
        length, steps: as for `few_heads`.
        draws: how often heads of the trained model are drawn by lot.
    """
    right = {1: few.right["one head"], 2: few.right["two heads"]} if few else {}
    for n in bar([n for n in (1, 2, 4, 8) if n not in right]):
        right[n] = learned(two_relations, length, 20, seed=seed, starts=starts, steps=steps, n_heads=n)
    model, tokenizer = smollm2
    need = importance(model, pieces(tokenizer.encode, seed, n=4, length=64))
    least, third = ranked(need)[::-1], need.numel() // 3
    unread = Reading(model, pieces(tokenizer.encode, seed, held_out=True, n=3, length=64))
    intact = unread.loss()

    def rise(off: Sequence[Head]) -> float:
        return unread.loss(off) / intact - 1

    return HeadCounts(
        right=right,
        kept={n: (bytes_of_heads(n, fused=False), bytes_of_heads(n, fused=True)) for n in right},
        least=tuple(least),
        rise={n: rise(least[:n]) for n in (third, third * 5 // 3)},
        drawn=tuple(rise(by_lot(need, 3 * seed + draw)[:third]) for draw in range(draws)),
        n_drawn=third,
    )


def importance(model: Any, ids: Tensor) -> Tensor:
    """How strongly the loss reacts when a head's dial, a factor that stands at 1, is turned.

    The absolute gradient at the dial, summed over texts      (Michel et al. 2019, equation 2)

    Args:
        model: a `GPT`.
        ids: (texts, tokens).
    Returns: (layers, heads).
    """
    ids = ids.to(next(model.parameters()).device)
    layers = [block.attention for block in model.stack.blocks]
    mixes: list[Tensor] = []  # what the heads of each layer gather, side by side
    hooks = [
        layer.out_proj.register_forward_pre_hook(lambda _, x: mixes.append(x[0].requires_grad_()))
        for layer in layers
    ]
    try:
        loss = token_loss(model(ids)[:, :-1], ids[:, 1:])
    finally:
        for hook in hooks:
            hook.remove()
    gradients = torch.autograd.grad(loss, mixes)
    dials = [
        (mix * gradient).unflatten(-1, (layer.n_heads, layer.d_head)).sum((1, 3))
        for layer, mix, gradient in zip(layers, mixes, gradients, strict=True)
    ]
    return torch.stack(dials).abs().sum(1).detach()


def bytes_of_heads(n_heads: int, *, fused: bool) -> int:
    """The bytes kept for training by attention over 512 tokens, with a width of 64 divided among heads."""
    q, k, v = torch.zeros(3, 1, n_heads, 512, 64 // n_heads, requires_grad=True)
    return costs.bytes_kept(lambda: scaled_dot_product_attention(q, k, v, fused=fused))


# ---------------------------------------------------------------------- what attention costs

WAYS: dict[str, Callable[..., Tensor]] = {
    "explicit": partial(scaled_dot_product_attention, fused=False),
    "fused": scaled_dot_product_attention,
    "linear": linear_attention,
}


@dataclass(frozen=True)
class LongerTexts:
    """What attention takes as texts get longer, one number a length.

    The properties are powers of the length: with 2, twice the tokens take four times as much.

    Args:
        lengths: in tokens.
        seconds: of one call, by way to attend, on this machine.
        kept: bytes kept for training, by way to attend.
        multiplied: multiplications and additions in products of matrices: with the table of weights, and in a
            whole layer of SmolLM2's size.
    """

    lengths: tuple[int, ...]
    seconds: Mapping[str, tuple[float, ...]]
    kept: Mapping[str, tuple[int, ...]]
    multiplied: Mapping[str, tuple[int, ...]]

    @property
    def operations(self) -> float:
        """Of the multiplications of attention."""
        return _power(self.lengths, self.multiplied["explicit"])

    @property
    def explicit_time(self) -> float:
        """Of the seconds with the table."""
        return _power(self.lengths, self.seconds["explicit"])

    @property
    def fused_time(self) -> float:
        """Of the seconds without it."""
        return _power(self.lengths, self.seconds["fused"])

    @property
    def explicit_memory(self) -> float:
        """Of the bytes with the table."""
        return _power(self.lengths, self.kept["explicit"])

    @property
    def fused_memory(self) -> float:
        """Of the bytes without it."""
        return _power(self.lengths, self.kept["fused"])

    @property
    def whole_layer(self) -> float:
        """Of the multiplications of a whole layer."""
        return _power(self.lengths, self.multiplied["layer"])


def longer_texts(
    lengths: Sequence[int] = (512, 1024, 2048),
    *,
    rounds: int = 9,
    clock: Callable[..., list[list[float]]] = costs.alternate,
) -> LongerTexts:
    """Do twice the tokens take four times the time and memory?

    Rival: the fused kernel, which never stores the table of weights; a whole layer, with its matrices.
    Equal for both: queries, keys and values; one head of width 64; each way is timed in turn.
    Does not show: other processors; lengths at which the table no longer fits.

    Args:
        lengths: in tokens; below 512 other work hides what grows.
        rounds: how often each way is timed; the fastest round counts, which is the least disturbed.
        clock: takes the functions and the rounds, gives the seconds of each round of each.
    """
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    kept: dict[str, list[int]] = {way: [] for way in WAYS}
    multiplied: dict[str, list[int]] = {"explicit": [], "layer": []}
    layer = make_block(
        576, 9, 1536, n_kv_heads=3, norm_type="rms", activation="swiglu", causal=True, bias=False
    )
    for length in bar(lengths):
        qkv = torch.ones(3, 1, 1, length, 64, requires_grad=True)
        calls = {way: partial(attend, *qkv) for way, attend in WAYS.items()}
        for way, taken in zip(WAYS, clock(list(calls.values()), rounds), strict=True):
            seconds[way].append(min(taken))
            kept[way].append(costs.bytes_kept(calls[way]))
        multiplied["explicit"].append(multiplications(calls["explicit"]))
        multiplied["layer"].append(multiplications(partial(layer, torch.ones(1, length, 576))))
    return LongerTexts(
        lengths=tuple(lengths),
        seconds={way: tuple(each) for way, each in seconds.items()},
        kept={way: tuple(each) for way, each in kept.items()},
        multiplied={what: tuple(each) for what, each in multiplied.items()},
    )


def _power(lengths: Sequence[int], amounts: Sequence[float]) -> float:
    """The power of the length with which something grows."""
    return costs.exponent(list(lengths), list(amounts))


@torch.no_grad()
def multiplications(call: Callable[[], object]) -> int:
    """How many multiplications and additions a call needs for its products of matrices, counted by torch."""
    # Kernels differ in what they store, not in what they multiply: torch counts where it sees the products.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


# ---------------------------------------------------------------------- what can replace it


@dataclass(frozen=True)
class StateSizes:
    """What linear attention gets right, and what it takes as texts get longer.

    Shares of right answers, one a start. A head's state is the sum of k^T v over all keys: as many numbers
    as the square of its width.

    Args:
        first: which of two marks came first.
        looked: by width, with one head, what linear attention looks up.
        fewer: the same of a third of the values, at the smallest width.
        parted: of all, at the largest width, in 16 heads.
        longer: at the smallest width, with three times as many steps.
        attention: what attention looks up at the smallest width.
        lengths: in tokens.
        multiplied: multiplications and additions in products of matrices, one a length.
        kept: bytes kept for training, one a length.
    """

    first: tuple[float, ...]
    looked: Mapping[int, tuple[float, ...]]
    fewer: tuple[float, ...]
    parted: tuple[float, ...]
    longer: tuple[float, ...]
    attention: tuple[float, ...]
    lengths: tuple[int, ...]
    multiplied: tuple[int, ...]
    kept: tuple[int, ...]

    @property
    def operations(self) -> float:
        """The power of the length with which multiplications grow."""
        return _power(self.lengths, self.multiplied)

    @property
    def memory(self) -> float:
        """The power with which what is kept for training grows."""
        return _power(self.lengths, self.kept)

    @property
    def order(self) -> float:
        """The share of rows in which it tells which mark came first."""
        return mean(self.first)

    @property
    def wide(self) -> float:
        """What it looks up with the largest state."""
        return mean(self.looked[max(self.looked)])

    @property
    def narrow(self) -> float:
        """What it looks up with the smallest."""
        return mean(self.looked[min(self.looked)])

    @property
    def short(self) -> float:
        """How many points fewer that is than attention looks up."""
        return 100 * (self.softmax - self.narrow)

    @property
    def few(self) -> float:
        """What the smallest state looks up of a third of the values."""
        return mean(self.fewer)

    @property
    def apart(self) -> float:
        """How many points the largest state loses where it is 16 small ones."""
        return 100 * (self.wide - mean(self.parted))

    @property
    def patient(self) -> float:
        """What the smallest looks up after three times as many steps."""
        return mean(self.longer)

    @property
    def softmax(self) -> float:
        """What attention looks up at the smallest width."""
        return mean(self.attention)


def state_sizes(
    seed: int = 0,
    starts: int = 2,
    pairs: int = 24,
    widths: Sequence[int] = (16, 32, 64),
    steps: int = 150,
    rows: int = 64,
    lengths: Sequence[int] = (512, 1024, 2048),
) -> StateSizes:
    """Does linear attention do what attention does, at a cost that grows with the length?

    Rival: attention in the same layer; linear attention with three times as many steps, or with fewer values.
    Equal for both: layer, width, rows, steps, rates, starts; 16 heads have as many weights as one.
    Does not show: what a large model loses, or linear attention that also forgets.

    Args:
        seed: of weights and rows.
        starts: how many of each model are trained; of those with 16 heads and with more steps, one.
        pairs: how many values there are to look up.
        widths: of the vectors.
        steps: of training.
        rows: in each step.
        lengths: in tokens, for what it takes.
    """

    def looked(width: int, n_heads: int = 1, **how: Any) -> tuple[float, ...]:
        usual = {"pairs": pairs, "width": width, "steps": steps, "seed": seed, "starts": starts, "rows": rows}
        return look_up(partial(LinearAttention, width, n_heads), **usual | how)

    smallest, largest = min(widths), max(widths)
    sums = [partial(linear_attention, *torch.ones(3, 1, 1, n, 64, requires_grad=True)) for n in lengths]
    return StateSizes(
        first=which_first(partial(LinearAttention, smallest, 1), seed, starts, smallest, steps, rows),
        looked={width: looked(width) for width in bar(widths)},
        fewer=looked(smallest, pairs=pairs // 3),
        parted=looked(largest, n_heads=16, starts=1),
        longer=looked(smallest, starts=1, steps=3 * steps),
        attention=look_up(None, pairs, width=smallest, steps=steps, rows=rows, seed=seed, starts=starts),
        lengths=tuple(lengths),
        multiplied=tuple(multiplications(call) for call in sums),
        kept=tuple(costs.bytes_kept(call) for call in sums),
    )


@dataclass(frozen=True)
class OtherMixers:
    """What layers get right that mix tokens in other ways: shares of right answers, one a start.

    Args:
        first: by mixer, which of two marks came first.
        looked: by mixer, 24 values to look up.
        longer: the same for the MLP over places, with three times as many steps.
    """

    first: Mapping[str, tuple[float, ...]]
    looked: Mapping[str, tuple[float, ...]]
    longer: tuple[float, ...]

    @property
    def waves(self) -> float:
        """How often Fourier mixing tells which came first."""
        return mean(self.first["Fourier"])

    @property
    def learned(self) -> float:
        """How often an MLP over places does."""
        return mean(self.first["MLP over places"])

    @property
    def plain(self) -> float:
        """How often the plain mean does."""
        return mean(self.first["plain mean"])

    @property
    def waves_looked(self) -> float:
        """What Fourier mixing looks up."""
        return mean(self.looked["Fourier"])

    @property
    def learned_looked(self) -> float:
        """What the MLP over places looks up."""
        return mean(self.looked["MLP over places"])

    @property
    def patient(self) -> float:
        """What it looks up after three times as many steps."""
        return mean(self.longer)

    @property
    def softmax(self) -> float:
        """What attention looks up."""
        return mean(self.looked["attention"])


def other_mixers(
    seed: int = 0,
    starts: int = 2,
    pairs: int = 24,
    width: int = 16,
    steps: int = 150,
    rows: int = 64,
    states: StateSizes | None = None,
) -> OtherMixers:
    """Can something that never asks what a token says take attention's place?

    Rival: attention in the same layer; the plain mean of all tokens; the MLP with three times as many steps.
    Equal for both: layer, width, rows, steps, rates, starts.
    Does not show: large models, in which such layers are many and wide.

    Args:
        seed: of weights and rows.
        starts: how many of each model are trained; of the one with more steps, one.
        pairs: how many values there are to look up.
        width: of the vectors.
        steps: of training.
        rows: in each step.
        states: what `state_sizes` found with the same sizes, if it has been called: attention's share.
    """

    def looked(mixer: Mixer, **how: int) -> tuple[float, ...]:
        usual = {"width": width, "steps": steps, "seed": seed, "starts": starts, "rows": rows}
        return look_up(mixer, pairs, **usual | how)

    def mixers(n_tokens: int) -> dict[str, Mixer]:
        places = partial(MLPMixing, n_tokens, 64)
        return {"attention": None, "MLP over places": places, "Fourier": FourierMixing, "plain mean": Mean}

    marks, values = mixers(7), mixers(2 * pairs)
    known = {"attention": states.attention} if states else {}
    return OtherMixers(
        first={name: which_first(mixer, seed, starts, width, steps, rows) for name, mixer in marks.items()},
        looked={name: known.get(name) or looked(mixer) for name, mixer in bar(values.items())},
        longer=looked(values["MLP over places"], steps=3 * steps, starts=1),
    )


def which_first(mixer: Mixer, seed: int, starts: int, width: int, steps: int, rows: int) -> tuple[float, ...]:
    """Which of two marks came first? Shares of right answers with this in attention's place."""
    how = {"steps": max(1, 2 * steps // 3), "rows": rows, "width": width, "mixer": mixer}
    return learned(order, 6, 10, seed=seed, starts=starts, **how)


def look_up(
    mixer: Mixer,
    pairs: int = 24,
    *,
    width: int = 16,
    steps: int = 150,
    rows: int = 64,
    seed: int = 0,
    starts: int = 1,
) -> tuple[float, ...]:
    """What value, of eight, did each key come with? Shares of right answers with this in attention's place.

    Args:
        mixer: makes what mixes vectors of this width; None: attention.
        pairs: how many keys with a value there are in a row.
        width, steps, rows, seed, starts: of the models, see `learned`.
    """
    how = {"width": width, "steps": steps, "rows": rows, "mixer": mixer}
    return learned(pair_recall, pairs, pairs + 9, seed=seed, starts=starts, **how)


class Mean(nn.Module):
    """Gives each token the plain mean of all."""

    def forward(self, x: Tensor, **_: Any) -> Tensor:
        """(B, T, D)."""
        return x.mean(1, keepdim=True).expand_as(x)
