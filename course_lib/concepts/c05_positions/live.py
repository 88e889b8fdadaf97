"""What notebook 05 does to its two models and asks of them; what it is about, stands in the notebook itself.

Not among the experiments: no claim rests on it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import probing
from course_lib.attention import MultiHeadAttention, scaled_dot_product_attention
from course_lib.checks import Case, Misconception, Task, find_task
from course_lib.data import python_topics, questions, reviews
from course_lib.decoder import GPT
from course_lib.encoder import BERT
from course_lib.generation import continuation
from course_lib.objectives import token_losses
from course_lib.positions import RotaryEmbedding, apply_rotary, rotary_at
from course_lib.pretrained import chat_prompt, sentence_embedding

Model = tuple[Any, Any]  # a real model and its tokenizer
Head = tuple[int, int]  # layer and head, counted from 0
Rotate = Callable[..., Tensor]  # rotate(x, places, base), as the notebook writes it
END = "<|im_end|>"
N_ALIKE = 20  # questions whose vectors are compared
TEXTS = (
    "the small dog bit the old man near the river and ran away before anybody could help him",
    "a reader has to know where each word stands or it can not tell who did what to whom today",
)
STORY = (
    "The teacher read a long story to the children, and when she had finished they asked her to read it "
    "once more from the beginning."
)

# ------------------------------------------------------------------------------------------- SmolLM2 speaks


def says(chat: Model, request: str, n_tokens: int = 14) -> str:
    """What the chat model answers, the likeliest token each time.

    Args:
        chat: the model and its tokenizer.
        request: what it is asked.
        n_tokens: of the answer, at most.
    """
    return continuation(*chat, chat_prompt(request), n_tokens, chat[1].special_tokens[END])


def goes_on(chat: Model, text: str, n_tokens: int = 14) -> str:
    """How the model goes on with a text, the text included, on one line."""
    return " ".join((text + continuation(*chat, text, n_tokens, chat[1].special_tokens[END])).split())


def tokens_before_the_answer(chat: Model, request: str) -> int:
    """How many tokens stand before the turn of the one who answers."""
    before, _ = chat_prompt(request).split("<|im_start|>assistant")
    return len(chat[1].encode(before))


def became(asked: str, said: str) -> str:
    """What became of words that were to be repeated, whether they begin with a capital or not.

    Example:
        >>> became("One, two.", "one, two."), became("One, two.", "One two.")
        ('the same', 'something is left out')
    """
    wanted, got = asked.strip().lower(), said.strip().lower()
    if got == wanted:
        return "the same"
    if _is_part(got, wanted):
        return "something is left out"
    comes_twice = _is_part(wanted, got) and set(got.split()) <= set(wanted.split())
    return "something comes twice" if comes_twice else "something else"


def _is_part(short: str, long: str) -> bool:
    """Whether all letters of one stand in the other, in order."""
    letters = iter(long)
    return all(letter in letters for letter in short)


# ------------------------------------------------------------------------------------------- other clocks


@contextmanager
def place_set(model: GPT, heads: Iterable[Head], by: float) -> Iterator[None]:
    """Inside, these heads ask as if each token stood `by` places further (-1: one further back).

    The notebook writes the same by hand in its finale.

    Args:
        model: one that turns its queries and keys.
        heads: pairs of layer and head.
        by: places, which need not be whole.
    """
    numbers: dict[int, list[int]] = {}
    for layer, head in heads:
        numbers.setdefault(layer, []).append(head)
    with ExitStack() as changes:
        for layer, own in numbers.items():
            cos, sin = rotary_at(torch.tensor([float(by)]), _rotary(model).d_head, _rotary(model).base)
            changes.enter_context(attending(model, layer, _asking(own, cos, sin)))
        yield


def _asking(heads: Sequence[int], cos: Tensor, sin: Tensor) -> Callable[..., Tensor]:
    def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, **how: Any) -> Tensor:
        q = q.clone()
        turn = cos.to(q).expand(q.shape[2], -1), sin.to(q).expand(q.shape[2], -1)
        for head in heads:
            q[:, head] = apply_rotary(q[:, head], *turn, interleaved=True)
        return scaled_dot_product_attention(q, k, v, mask, **how)

    return attend


@contextmanager
def attending(model: nn.Module, layer: int, attend: Callable[..., Tensor]) -> Iterator[None]:
    """Inside, one layer mixes with attend(q, k, v, mask, causal=..., bias=...); queries come turned.

    Raises: ValueError: there is no such layer.
    """
    layers = [part for part in model.modules() if isinstance(part, MultiHeadAttention)]
    if not 0 <= layer < len(layers):
        raise ValueError(f"layer must be from 0 to {len(layers) - 1}; got {layer}")
    before = layers[layer].attend
    layers[layer].attend = attend
    try:
        yield
    finally:
        layers[layer].attend = before


@contextmanager
def turned_by(
    model: GPT, rotate: Rotate, moved: Callable[[Tensor], Tensor] | None = None, base: float | None = None
) -> Iterator[None]:
    """Inside, every layer turns its queries and keys with rotate(x, places, base).

    Args:
        model: one that turns its queries and keys.
        rotate: the notebook's.
        moved: from the places 0, 1, 2, ... to others, which need not be whole; None: as they are.
        base: another than the model's own.
    """
    own = _rotary(model).base if base is None else base

    def forward(rotary: RotaryEmbedding, x: Tensor, start: int = 0) -> Tensor:
        places = torch.arange(start, start + x.shape[-2], device=x.device).to(x.dtype)
        return rotate(x, places if moved is None else moved(places), own)

    with probing.replaced(model, RotaryEmbedding, forward):
        yield


@torch.no_grad()
def next_word(chat: Model, ids: Tensor, places: Tensor) -> Tensor:
    """The chance of each token to follow, where token n stands at places[n]: (V,).

    Who may see whom goes by these places, too. What is asked is what follows the last of them, wherever that
    token lies in the row.

    Args:
        chat: the model and its tokenizer.
        ids: (T,).
        places: (T,), whole numbers.
    """
    model, _ = chat
    n = len(ids)

    def elsewhere(context: Tensor) -> Tensor:
        return torch.cat([places.to(context), context[n:]])

    layers = [part for part in model.modules() if isinstance(part, MultiHeadAttention)]
    with probing.positions_changed(model, elsewhere):
        for layer in layers:
            layer.causal = False
        try:
            mask = (places <= places[:, None]).to(_device(model))
            hidden = model.stack(model.embed(ids[None].to(_device(model))), mask=mask)
        finally:
            for layer in layers:
                layer.causal = True
    chances: Tensor = model.lm_head(hidden)[0, places.argmax()].softmax(-1).cpu()
    return chances


def likeliest(chat: Model, chances: Tensor, n: int = 3) -> str:
    """The n likeliest tokens with their chances, for a line of text."""
    _, tokenizer = chat
    best = chances.topk(n)
    return ", ".join(
        f"{tokenizer.decode([token]).strip()!r} {chance:.0%}"
        for token, chance in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    )


# ------------------------------------------------------------------------------------------- MiniLM's table


@dataclass(frozen=True)
class Hands:
    """The clock hands of a table of places.

    Args:
        rounds: how many places a round takes, the quickest hand first.
        planes: for each hand the two directions in which it turns, (2, D).
        directions: in which places differ most; the planes lie in them, (n, D).
        missed: of the steps from row to row the share that one matrix for all of them does not make.
    """

    rounds: list[float]
    planes: list[Tensor]
    directions: Tensor
    missed: float


def hands_in(table: Tensor, n_directions: int = 16) -> Hands:
    """One matrix that takes each row to the next, and the planes in which it turns.

        rows[t] @ step = rows[t + 1], by least squares for all t at once

    The matrix knows only the directions in which rows differ most (one for all would fit nearly anything). Of
    its eigenvalues those are kept that turn and do not shrink: their size is 1, give or take 0.05.

    Args:
        table: a row for each place, (places, D).
        n_directions: how many of the D directions are kept.
    Raises: ValueError: no more rows than directions.
    """
    if len(table) <= n_directions:
        raise ValueError(f"for {n_directions} directions it takes more rows than that; got {len(table)}")
    rows = (table - table.mean(0)).double()
    directions = torch.linalg.svd(rows, full_matrices=False).Vh[:n_directions]
    x = rows @ directions.T
    step = torch.linalg.lstsq(x[:-1], x[1:]).solution
    missed = (x[:-1] @ step - x[1:]).square().sum() / x[1:].square().sum()
    values, vectors = torch.linalg.eig(step)
    turns = [i for i, value in enumerate(values) if value.imag > 1e-3 and abs(value.abs() - 1) < 0.05]
    turns.sort(key=lambda i: -values[i].angle().item())
    return Hands(
        rounds=[2 * torch.pi / values[i].angle().item() for i in turns],
        planes=[torch.stack([vectors[:, i].real, vectors[:, i].imag]) @ directions for i in turns],
        directions=directions,
        missed=missed.item(),
    )


def only(table: Tensor, directions: Tensor) -> Tensor:
    """The table with places that differ in these directions alone; row 0, of the first mark, stays.

    Args:
        table: (512, D).
        directions: (n, D), at any angle to each other.
    """
    places = table[1:].double()
    basis = torch.linalg.qr(directions.double().T).Q
    kept = places.mean(0) + (places - places.mean(0)) @ basis @ basis.T
    return torch.cat([table[:1].double(), kept])


def largest(table: Tensor, n: int, besides: Tensor | None = None) -> Tensor:
    """The n directions in which places differ most, (n, D).

    Args:
        table: (512, D); row 0, of the first mark, does not count.
        n: how many.
        besides: directions (m, D) that do not count; None: all do.
    """
    rows = table[1:].double()
    rows = rows - rows.mean(0)
    if besides is not None:
        basis = torch.linalg.qr(besides.double().T).Q
        rows = rows - rows @ basis @ basis.T
    return torch.linalg.svd(rows, full_matrices=False).Vh[:n]


def share(vectors: Tensor, directions: Tensor) -> float:
    """Which share of what vectors (N, D) differ by lies in these directions (n, D)."""
    differ = (vectors - vectors.mean(0)).double()
    basis = torch.linalg.qr(directions.double().T).Q
    return ((differ @ basis).square().sum() / differ.square().sum()).item()


@contextmanager
def rows_set(reader: BERT, table: Tensor) -> Iterator[None]:
    """Inside, the reader's vectors of the places are these, (512, 384).

    Raises: ValueError: another shape than its own table has.
    """
    own = reader.position_embedding
    if table.shape != own.weight.shape:
        raise ValueError(
            f"the table must have shape {tuple(own.weight.shape)}, a row for each place; "
            f"got {tuple(table.shape)}"
        )
    rows = table.detach().to(own.weight)

    def add(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return args[0] + rows[: args[0].shape[-2]]

    hook = own.register_forward_hook(add)
    try:
        yield
    finally:
        hook.remove()


@torch.no_grad()
def looks(minilm: Model, table: Tensor | None = None) -> tuple[float, float]:
    """What two heads give to a neighbour, on average over two sentences, without the marks at both ends.

    Args:
        minilm: the model and its tokenizer.
        table: vectors of the places in place of its own.
    Returns: 0.2 to the token before, 1.8 to the next.
    """
    reader, tokenizer = minilm
    with ExitStack() as changes:
        if table is not None:
            changes.enter_context(rows_set(reader, table))
        weights = [probing.weights_of(reader, tokenizer.frame(text)[0]) for text in TEXTS]
    before = [each[0, 2].diagonal(-1)[1:-1].mean().item() for each in weights]
    after = [each[1, 8].diagonal(1)[1:-1].mean().item() for each in weights]
    return sum(before) / len(before), sum(after) / len(after)


@torch.no_grad()
def at_work(minilm: Model, tables: Mapping[str, Tensor]) -> dict[str, tuple[float, float, float]]:
    """What the model does with other vectors of the places.

    Args:
        minilm: the model and its tokenizer.
        tables: by name, each (512, 384).
    Returns: for each what `looks` says, and the mean cosine of twenty questions' vectors with those that its
        own table makes.
    """
    texts = questions()[0][:N_ALIKE]
    own = sentence_embedding(*minilm, texts)
    found = {}
    for name, table in tables.items():
        with rows_set(minilm[0], table):
            changed = sentence_embedding(*minilm, texts)
        found[name] = (*looks(minilm, table), (own * changed).sum(1).mean().item())
    return found


@torch.no_grad()
def moved_on(minilm: Model, steps: Sequence[int]) -> dict[int, float]:
    """By step the mean cosine of twenty questions with the same so far moved on; the first mark stays."""
    table = minilm[0].position_embedding.weight.detach()
    rows = torch.arange(len(table))
    texts = questions()[0][:N_ALIKE]
    own = sentence_embedding(*minilm, texts)
    found = {}
    for by in steps:
        with rows_set(minilm[0], table[torch.where(rows > 0, (rows + by).clamp(max=len(table) - 1), rows)]):
            found[by] = (own * sentence_embedding(*minilm, texts)).sum(1).mean().item()
    return found


# ------------------------------------------------------------------------------------------- rows said twice


@torch.no_grad()
def copied(model: GPT, seeds: Sequence[int] = (0, 1), n: int = 40, ahead: int = 4) -> list[float]:
    """Rows of random tokens, said twice: the loss in the second copy of the token itself, the next and so on.

    Args:
        model: what reads them.
        seeds: one for each row.
        n: tokens in a row.
        ahead: how many tokens are tried.
    Returns: nats, `ahead` of them; small where the model expects that token.
    """
    draws = [torch.Generator().manual_seed(seed) for seed in seeds]
    vocab = model.token_embedding.num_embeddings
    rows = torch.stack([torch.randint(vocab, (n,), generator=draw) for draw in draws])
    twice = rows.repeat(1, 2).to(_device(model))
    at = torch.arange(n + 1, 2 * n - 2 - ahead, device=twice.device)
    chances = model(twice).log_softmax(-1)[:, at]
    return [-chances.gather(-1, twice[:, at - n + k, None]).mean().item() for k in range(ahead)]


# ------------------------------------------------------------------------------------------- far apart


def pieces_of_reviews(chat: Model, n: int = 4, length: int = 64) -> Tensor:
    """Reviews as tokens, one after the other, cut into pieces (n, length)."""
    text = " ".join(review.text for half in reviews() for review in half)
    return torch.tensor(chat[1].encode(text)[: n * length], device=_device(chat[0])).view(n, length)


def page_of_manual(chat: Model, begin: int = 20_000, length: int = 1024) -> Tensor:
    """Tokens of Python's manual (1, length), from that character on."""
    text = "\n".join(python_topics().values())[begin : begin + 6 * length]
    return torch.tensor(chat[1].encode(text)[:length], device=_device(chat[0]))[None]


@contextmanager
def angles_set(model: GPT, angles: Tensor) -> Iterator[None]:
    """Inside, token n turns its queries and keys by angles[n], (T, K/2)."""
    rotary = _rotary(model)
    kept = rotary.cos, rotary.sin
    rotary.cos, rotary.sin = angles.cos().to(kept[0]), angles.sin().to(kept[1])
    try:
        yield
    finally:
        rotary.cos, rotary.sin = kept


@torch.no_grad()
def second_half(model: GPT, texts: Tensor, angles: Tensor, begin: int | None = None) -> float:
    """The loss of the second half of each text, in nats a token, when it is read with other angles.

    Args:
        model: one that turns its queries and keys.
        texts: (B, T).
        angles: by which each token's hands are turned, (T, K/2).
        begin: the first token that is asked for what follows; by default in the middle.
    Raises: ValueError: not one row of angles for each token.
    """
    n = texts.shape[1]
    if angles.shape[0] != n:
        raise ValueError(f"angles need a row for each of {n} tokens; got shape {tuple(angles.shape)}")
    with angles_set(model, angles):
        losses = token_losses(model(texts)[:, :-1], texts[:, 1:]).view(len(texts), -1)
    return losses[:, n // 2 if begin is None else begin :].mean().item()


def _rotary(model: GPT) -> RotaryEmbedding:
    if model.rotary is None:
        raise ValueError(
            f"{type(model).__name__} does not turn its queries and keys: it has no clocks to set"
        )
    return model.rotary


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


# ------------------------------------------------------------------------------------------- what is asked


@cache
def asked(function: str) -> Task:
    """A task in the notebook's form, for `try_it`: places come as a tensor, one for each token.

    What an exercise asks has other arguments, so that what stands in the notebook is no answer to it.

    Args:
        function: "waves", of the task sinusoids, or "rotate", of rotate_pairs.
    Raises: ValueError: another one.
    """
    own: Callable[..., Tensor]
    to: Callable[..., dict[str, Any]]
    if function == "waves":
        task, call = find_task("05_positions/sinusoids"), "waves(places, d)"
        own, to, back = waves, _of_waves, _to_waves
    elif function == "rotate":
        task, call = find_task("05_positions/rotate_pairs"), "rotate(x, places, base)"
        own, to, back = rotate, _of_rotate, _to_rotate
    else:
        raise ValueError(f"the notebook asks for waves and for rotate; got {function!r}")

    def cases(random: np.random.Generator) -> list[Case]:
        # In float32 alone: how angles keep more digits, the exercise asks.
        single = [case for case in task.cases(random) if not _is_double(case)]
        return [replace(case, inputs=to(**case.inputs)) for case in single]

    def other(mistake: Misconception) -> Misconception:
        return replace(mistake, wrong=back(mistake.wrong))

    return replace(
        task,
        call=call,
        cases=cases,
        reference=back(task.reference),
        answer=own,
        misconceptions=tuple(map(other, task.misconceptions)),
        properties=(),
        other_forms=False,
    )


def waves(places: Tensor, d: int) -> Tensor:
    """The notebook's function, as the course has it: sines and cosines for any places (T,), (T, d)."""
    cos, sin = rotary_at(places.float(), d)
    return torch.stack([sin, cos], dim=-1).flatten(-2)


def rotate(x: Tensor, places: Tensor, base: float = 100_000) -> Tensor:
    """The notebook's function, as the course has it: x (..., T, K), turned by any places (T,)."""
    cos, sin = rotary_at(places.float(), x.shape[-1], float(base))
    return apply_rotary(x, cos.to(x.dtype), sin.to(x.dtype), interleaved=True)


def _is_double(case: Case) -> bool:
    return any(getattr(value, "dtype", None) == torch.float64 for value in case.inputs.values())


def _of_waves(n: int, d: int) -> dict[str, Any]:
    return {"places": torch.arange(n), "d": d}


def _to_waves(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda places, d: function(len(places), d)


def _of_rotate(x: Tensor, start: int, base: float) -> dict[str, Any]:
    return {"x": x, "places": torch.arange(start, start + x.shape[-2]), "base": base}


def _to_rotate(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda x, places, base: function(x, int(places[0]), base)
