"""Experiments on a model: read what a real forward pass computes, or disturb it a while.

Everything goes through the model's own forward, by hooks that are always taken away again, also after an
error. The models of this library and any other that is built with `MultiHeadAttention` can be probed.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import skip_init

from course_lib.attention import (
    MultiHeadAttention,
    attention_weights,
    for_each_head,
    scaled_dot_product_attention,
)
from course_lib.blocks import FeedForward, TransformerBlock, TransformerStack
from course_lib.decoder import GPT
from course_lib.packed import PackedAttention, PackedFeedForward
from course_lib.positions import PositionEmbedding, RotaryEmbedding, rotary_at

Part = TypeVar("Part", bound=nn.Module)


@contextmanager
def weights_recorded(model: nn.Module) -> Iterator[list[Float[Tensor, "B H T S"]]]:
    """Inside, every call of an attention layer puts its weights into the list, in the order of the calls.

        with weights_recorded(model) as seen:
            model(ids)

    Args:
        model: with at least one `MultiHeadAttention`.
    Raises: ValueError: it has none.
    Example:
        >>> from course_lib.decoder import GPTConfig
        >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=2, n_heads=2))
        >>> with weights_recorded(model) as seen:
        ...     _ = model(torch.tensor([[1, 2, 3]]))
        >>> len(seen), seen[0].shape
        (2, torch.Size([1, 2, 3, 3]))
    """
    seen: list[Tensor] = []
    with weights_changed(model, lambda weights: seen.append(weights.detach())):
        yield seen


@contextmanager
def weights_changed(model: nn.Module, change: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """Inside, every attention layer mixes with what `change` makes of its weights.

        def only_near(weights):
            return weights.triu(-64)

        with weights_changed(model, only_near):
            model(ids)

    Inside one another they work in turn, the outer one first.

    Args:
        model: with at least one `MultiHeadAttention`.
        change: gets the weights (B, H, T, S), gives others of the same shape, or None: it only looks.
    Raises: ValueError: it has none, or one that mixes by a function of somebody else, which shows no weights.
    Example:
        >>> from course_lib.decoder import GPTConfig
        >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=2, n_heads=2))
        >>> with weights_changed(model, torch.zeros_like), weights_recorded(model) as seen:
        ...     _ = model(torch.tensor([[1, 2, 3]]))
        >>> seen[0].sum().item()
        0.0
    """
    layers = _attentions(model)
    before = [layer.attend for layer in layers]
    for layer in layers:
        if layer.attend is not scaled_dot_product_attention and not isinstance(layer.attend, _ByWeights):
            raise ValueError("another function mixes, which shows no weights: use_attention(None) removes it")
    for layer, attend in zip(layers, before, strict=True):
        earlier = attend.changes if isinstance(attend, _ByWeights) else ()
        layer.attend = _ByWeights((*earlier, change))
    try:
        yield
    finally:
        for layer, attend in zip(layers, before, strict=True):
            layer.attend = attend


@dataclass(frozen=True)
class _ByWeights:
    """Attention in two steps, so that the weights between them can be seen and changed."""

    changes: tuple[Callable[[Tensor], Tensor | None], ...]

    def __call__(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None = None,
        *,
        causal: bool = False,
        bias: Tensor | None = None,
    ) -> Tensor:
        weights = attention_weights(q, k, mask, causal=causal, bias=bias)  # (B, H, T, S)
        for change in self.changes:
            changed = change(weights)
            weights = weights if changed is None else changed
        return weights @ for_each_head(q, v)


@torch.no_grad()
def weights_of(model: nn.Module, ids: Sequence[int] | Tensor) -> Float[Tensor, "L H T S"]:
    """Who looks at whom in one text: the weights of every layer and head, from one forward pass.

    Args:
        model: called with token ids, a GPT or a BERT for instance.
        ids: one text's tokens, without a batch axis.
    Returns: layers, heads, queries, keys, on the CPU; each row sums to 1.
    Raises: ValueError: no attention in the model, or ids with more than one axis.
    Example:
        >>> from course_lib.decoder import GPTConfig
        >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=2, n_heads=2))
        >>> weights_of(model, [1, 2, 3]).shape
        torch.Size([2, 2, 3, 3])
    """
    row = torch.as_tensor(ids)
    if row.ndim != 1:
        raise ValueError(f"ids must be the tokens of one text, one axis; got shape {tuple(row.shape)}")
    device = next(model.parameters()).device
    with weights_recorded(model) as seen:
        model(row[None].to(device))
    return torch.stack([weights[0] for weights in seen]).cpu()


@contextmanager
def scores_scaled(model: nn.Module, factor: float) -> Iterator[None]:
    """Inside, every score comes out `factor` times as large.

    `scores_scaled(model, d_head**-0.5)` divides by K where attention divides by its root;
    `scores_scaled(model, d_head**0.5)` leaves the division out. What is added to the scores without asking
    the query (`positions.ALiBi`) keeps its size.

    Args:
        model: with at least one `MultiHeadAttention`.
        factor: 1 changes nothing.
    Raises: ValueError: it has none; its weights are packed.
    Example:
        >>> from course_lib.decoder import GPTConfig
        >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=2, n_heads=2))
        >>> with scores_scaled(model, 0.0), weights_recorded(model) as seen:
        ...     _ = model(torch.tensor([[1, 2, 3]]))
        >>> seen[0][0, 0, 1].tolist()  # all scores are 0, so the second token takes half of each it sees
        [0.5, 0.5, 0.0]
    """

    def scale(module: nn.Module, args: Any, queries: Tensor) -> Tensor:
        return queries * factor

    layers = _attentions(model)
    if not all(hasattr(layer, "q_proj") for layer in layers):
        raise ValueError("packed weights keep queries together with keys; load the model in float32")
    with _hooked([layer.q_proj for layer in layers], scale):
        yield


@dataclass(frozen=True)
class Record:
    """What each layer of a model computed, one entry per layer and call, in the order of the calls.

    Args:
        weights: the attention weights (B, H, T, S).
        streams: the residual stream (B, T, D) as each layer leaves it.
        attention: what each attention gives, which is added to the stream (B, T, D).
        feed_forward: the same for each MLP.
    Example: see `recorded`.
    """

    weights: list[Tensor]
    streams: list[Tensor] = field(default_factory=list)
    attention: list[Tensor] = field(default_factory=list)
    feed_forward: list[Tensor] = field(default_factory=list)


@contextmanager
def recorded(model: nn.Module) -> Iterator[Record]:
    """Inside, every call of a layer puts what it computes into the record.

        with recorded(model) as seen:
            model(ids)
        seen.streams[-1]  # what leaves the last layer

    Args:
        model: with at least one `TransformerBlock`.
    Raises: ValueError: it has none, or its blocks have something else in attention's place.
    Example:
        >>> from course_lib.decoder import GPTConfig
        >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=2, n_heads=2))
        >>> with recorded(model) as seen:
        ...     _ = model(torch.tensor([[1, 2, 3]]))
        >>> len(seen.streams), seen.streams[-1].shape
        (2, torch.Size([1, 3, 4]))
    """
    blocks = _blocks(model)
    with weights_recorded(model) as weights, ExitStack() as hooks:
        record = Record(weights)
        hooks.enter_context(_hooked(blocks, _keeper(record.streams)))
        hooks.enter_context(_hooked([block.attention for block in blocks], _keeper(record.attention)))
        hooks.enter_context(_hooked([block.feed_forward for block in blocks], _keeper(record.feed_forward)))
        yield record


@dataclass(frozen=True)
class Parts:
    """Every step of one layer on one text, as the model's own forward pass computed it.

    With norm_first=True: middle = stream + attention, output = middle + feed_forward. With False both sums
    are normalised.

    Args:
        stream: what enters the layer (T, D).
        attention_input: what attention reads (T, D): the stream, normalised with norm_first=True.
        q: queries (H, T, K), not yet turned by their positions.
        k: keys (H_kv, T, K), not yet turned either.
        v: values (H_kv, T, K).
        turned_q: queries as they meet the keys (H, T, K); the same as q where nothing is turned.
        turned_k: keys as they meet the queries (H_kv, T, K).
        products: q k^T of each query with each key (H, T, T).
        scores: what the softmax reads (H, T, T), before any mask: products / sqrt(K), and what positions add.
        weights: the attention weights (H, T, T).
        mix: weights v, for each head (H, T, K).
        attention: what attention adds (T, D).
        middle: the stream between attention and MLP (T, D).
        mlp_input: what the MLP reads (T, D).
        gate: what the gate lets through (T, F); None in an MLP without one.
        up: the widened vector, before activation or gate (T, F).
        hidden: what is narrowed again (T, F).
        feed_forward: what the MLP adds (T, D).
        output: the stream that leaves the layer (T, D).
    Example: see `parts_of`.
    """

    stream: Tensor
    attention_input: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    turned_q: Tensor
    turned_k: Tensor
    products: Tensor
    scores: Tensor
    weights: Tensor
    mix: Tensor
    attention: Tensor
    middle: Tensor
    mlp_input: Tensor
    gate: Tensor | None
    up: Tensor
    hidden: Tensor
    feed_forward: Tensor
    output: Tensor


def parts_of(model: nn.Module, ids: Sequence[int] | Tensor, layer: int) -> Parts:
    """What one layer computes on one text, step by step, from one forward pass.

    Args:
        model: called with token ids, a `GPT` or a `BERT` for instance, of the blocks of this library.
        ids: one text's tokens, without a batch axis.
        layer: counted from 0.
    Raises: ValueError: ids with more than one axis; a layer that the model does not have, or one with another
        mixer or MLP than `MultiHeadAttention` and `FeedForward`.
    Example:
        >>> from course_lib.decoder import GPTConfig
        >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=2, n_heads=2))
        >>> parts_of(model, [1, 2, 3], layer=1).hidden.shape
        torch.Size([3, 16])
    """
    _check_index("layer", layer, len(_blocks(model)))
    return all_parts_of(model, ids, [layer])[0]


@torch.no_grad()
def all_parts_of(
    model: nn.Module, ids: Sequence[int] | Tensor, layers: Sequence[int] | None = None
) -> list[Parts]:
    """What several layers compute on one text, from one forward pass; by default all of them.

    Args: see `parts_of`.
    Raises: ValueError: see `parts_of`.
    Example:
        >>> from course_lib.decoder import GPTConfig
        >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=2, n_heads=2))
        >>> first, second = all_parts_of(model, [1, 2, 3])
        >>> torch.equal(first.output, second.stream)
        True
    """
    row = torch.as_tensor(ids)
    if row.ndim != 1:
        raise ValueError(f"ids must be the tokens of one text, one axis; got shape {tuple(row.shape)}")
    blocks = _blocks(model)
    chosen = range(len(blocks)) if layers is None else layers
    for layer in chosen:
        attention, mlp = blocks[layer].attention, blocks[layer].feed_forward
        if not isinstance(attention, MultiHeadAttention) or not isinstance(
            mlp, FeedForward | PackedFeedForward
        ):
            found = f"{type(attention).__name__} and {type(mlp).__name__}"
            raise ValueError(f"layer {layer} must have MultiHeadAttention and FeedForward; it has {found}")
    # All layers by the way that makes weights, so that the numbers are those of `recorded` to the last digit.
    with weights_recorded(model) as weights, ExitStack() as hooks:
        calls = [hooks.enter_context(_calls_kept(blocks[layer])) for layer in chosen]
        model(row[None].to(next(model.parameters()).device))
    order: list[nn.Module] = [*_attentions(model)]
    return [
        _parts(blocks[layer], kept, weights[order.index(blocks[layer].attention)][0])
        for layer, kept in zip(chosen, calls, strict=True)
    ]


def _parts(
    block: TransformerBlock, calls: Mapping[str, tuple[tuple[Any, ...], Tensor]], weights: Tensor
) -> Parts:
    """The parts of one layer, from what each of its modules was called with and gave."""
    attention: Any = block.attention

    def cut(x: Tensor) -> Tensor:
        return x[0].unflatten(-1, (-1, attention.d_head)).transpose(0, 1)  # (T, H K) -> (H, T, K)

    took = {part: inputs[0] for part, (inputs, _) in calls.items() if inputs}
    gave = {part: output for part, (_, output) in calls.items()}
    if isinstance(attention, PackedAttention):
        sizes = [attention.n_heads, attention.n_kv_heads, attention.n_kv_heads]
        q, k, v = cut(gave["attention.qkv_proj"].float()).split(sizes)
        gate: Tensor | None
        gate, up = gave["feed_forward.gate_up_proj"].float().chunk(2, dim=-1)
    else:
        q, k, v = (cut(gave[f"attention.{part}_proj"]) for part in "qkv")
        gate, up = gave.get("feed_forward.gate_proj"), gave["feed_forward.up_proj"]
    gated = None if gate is None else F.silu(gate[0])
    turned_q, turned_k = q, k
    if attention.rotary is not None:
        turned_q, turned_k = attention.rotary(q[None])[0], attention.rotary(k[None])[0]
    keys = turned_k.repeat_interleave(attention.n_heads // attention.n_kv_heads, dim=0)
    products = turned_q @ keys.mT
    scores = products * attention.d_head**-0.5
    if attention.score_bias is not None:
        scores = (scores[None] + attention.score_bias(turned_q[None], q.shape[1]))[0]
    is_pre = block.norm_first
    return Parts(
        stream=took[""][0],
        attention_input=took["attention"][0],
        q=q,
        k=k,
        v=v,
        turned_q=turned_q,
        turned_k=turned_k,
        products=products,
        scores=scores,
        weights=weights,
        mix=cut(took["attention.out_proj"]),
        attention=gave["attention"][0],
        middle=(took if is_pre else gave)["feed_forward_norm" if is_pre else "attention_norm"][0],
        mlp_input=took["feed_forward"][0],
        gate=gated,
        up=up[0],
        hidden=took["feed_forward.down_proj"][0],
        feed_forward=gave["feed_forward"][0],
        output=gave[""][0],
    )


@contextmanager
def heads_off(model: nn.Module, heads: Iterable[tuple[int, int]]) -> Iterator[None]:
    """Inside, these heads give nothing: zeros take the place of what they mix.

        with heads_off(model, [(18, 6), (17, 3)]):
            model(ids)

    Args:
        model: with at least one `MultiHeadAttention`.
        heads: pairs of layer and head, counted from 0; query heads, where key heads are shared.
    Raises: ValueError: no attention in the model; a layer or a head that it does not have.
    Example:
        >>> from course_lib.decoder import GPTConfig
        >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=2, n_heads=2))
        >>> before = model(torch.tensor([[1, 2, 3]]))
        >>> with heads_off(model, [(0, 0), (1, 1)]):
        ...     torch.equal(model(torch.tensor([[1, 2, 3]])), before)
        False
    """
    layers = _attentions(model)
    off = defaultdict(list)
    for layer, head in heads:
        _check_index("layer", layer, len(layers))
        _check_index(f"head of layer {layer}", head, layers[layer].n_heads)
        off[layer].append(head)

    with ExitStack() as hooks:
        for layer, own in off.items():
            hooks.enter_context(_without(layers[layer], own))
        yield


@contextmanager
def key_hidden(model: nn.Module, key: int, begin: int = 0) -> Iterator[None]:
    """Inside, queries give nothing to one key, as if it were masked; the rest of each row still sums to 1.

    Args:
        model: with at least one `MultiHeadAttention`.
        key: its place, counted from 0.
        begin: the first query of a call that it is hidden from.
    Raises: ValueError: no attention in the model; a place below 0.
    Example:
        >>> from course_lib.decoder import GPTConfig
        >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=2, n_heads=2))
        >>> with key_hidden(model, 0), weights_recorded(model) as seen:
        ...     _ = model(torch.tensor([[1, 2, 3]]))
        >>> seen[0][0, 0, 1].tolist()
        [0.0, 1.0, 0.0]
    """
    if key < 0 or begin < 0:
        raise ValueError(f"key and begin are places, counted from 0; got {key} and {begin}")

    def hide(weights: Tensor) -> Tensor:
        weights = weights.clone()
        weights[..., begin:, key] = 0.0
        totals = weights.sum(-1, keepdim=True)
        return weights / totals.masked_fill(totals == 0, 1.0)  # a query that saw nothing else gets zeros

    with weights_changed(model, hide):
        yield


@contextmanager
def layers_skipped(model: nn.Module, layers: Iterable[int]) -> Iterator[None]:
    """Inside, these layers pass the residual stream on as it came.

    Args:
        model: with at least one `TransformerBlock`.
        layers: counted from 0.
    Raises: ValueError: no block in the model; a layer that it does not have.
    Example:
        >>> from course_lib.decoder import GPTConfig
        >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=2, n_heads=2))
        >>> with layers_skipped(model, [0, 1]), recorded(model) as seen:
        ...     _ = model(torch.tensor([[1, 2, 3]]))
        >>> torch.equal(seen.streams[-1], model.embed(torch.tensor([[1, 2, 3]])))
        True
    """
    blocks = _blocks(model)
    chosen = list(layers)
    for layer in chosen:
        _check_index("layer", layer, len(blocks))

    def pass_on(block: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return args[0]

    with _hooked([blocks[layer] for layer in chosen], pass_on):
        yield


@contextmanager
def layers_reordered(model: nn.Module, order: Sequence[int]) -> Iterator[None]:
    """Inside, the layers run in this order: what stood at place order[i] runs as number i.

        with layers_reordered(model, [1, 0, *range(2, 30)]):  # the first two exchanged
            model(ids)

    Args:
        model: with one `TransformerStack`.
        order: layers, counted from 0, each at most once; those that are not named do not run.
    Raises: ValueError: no stack or more than one; a layer that it does not have, or one named twice.
    Example:
        >>> from course_lib.decoder import GPTConfig
        >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=2, n_heads=2))
        >>> with layers_reordered(model, [1, 0]):
        ...     model(torch.tensor([[1, 2, 3]])).shape
        torch.Size([1, 3, 7])
    """
    stack = _stack(model)
    blocks = stack.blocks
    for layer in order:
        _check_index("layer", layer, len(blocks))
    if len(set(order)) < len(order):
        raise ValueError(f"each layer can run once; got {list(order)}")
    stack.blocks = nn.ModuleList(blocks[layer] for layer in order)
    try:
        yield
    finally:
        stack.blocks = blocks


@contextmanager
def additions_off(model: nn.Module) -> Iterator[None]:
    """Inside, what attention and MLP give replaces the residual stream instead of being added to it.

    Args:
        model: with at least one `TransformerBlock` with norm_first=True.
    Raises: ValueError: it has none, or normalises the sums.
    Example:
        >>> from course_lib.decoder import GPTConfig
        >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=2, n_heads=2))
        >>> with recorded(model) as seen, additions_off(model):
        ...     _ = model(torch.tensor([[1, 2, 3]]))
        >>> torch.allclose(seen.streams[-1], seen.feed_forward[-1], atol=1e-6)
        True
    """
    blocks = _blocks(model)
    if any(not block.norm_first for block in blocks):
        raise ValueError("the sums are normalised (norm_first=False), so they cannot be left out")
    with ExitStack() as hooks:
        for block in blocks:
            hooks.enter_context(_without_additions(block))
        yield


@torch.no_grad()
def logit_lens(model: GPT, stream: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
    """What the model would say if this residual stream were its last (nostalgebraist 2020, the logit lens).

    Args:
        model: whose norm and head read the stream.
        stream: as a layer leaves it, see `Record.streams`.
    Returns: logits; of the last layer's stream those of the model itself.
    Example:
        >>> from course_lib.decoder import GPTConfig
        >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=2, n_heads=2))
        >>> with recorded(model) as seen:
        ...     logits = model(torch.tensor([[1, 2, 3]]))
        >>> torch.equal(logit_lens(model, seen.streams[-1]), logits)
        True
    """
    return model.lm_head(model.stack.final_norm(stream))


@torch.no_grad()
def fit_lens(streams: Sequence[Float[Tensor, "N D"]], ridge: float = 1e-3) -> list[nn.Linear]:
    """For each layer the map that brings its stream nearest to the last layer's, over the same tokens.

        W = argmin |(X - mean) W^T - (Y - mean)|^2 + ridge s |W|^2, s the mean of |column of X - mean|^2

    Read with `logit_lens(model, maps[layer](stream))`. The tuned lens (Belrose et al. 2023) trains such maps
    on what the model then says.

    Args:
        streams: of at least two tokens, see `Record.streams`; leave out the first token of each text, whose
            entries outweigh all others in some models.
        ridge: above 0.
    Raises: ValueError: shapes that differ or have other axes, fewer than two tokens, a ridge that is not
        above 0.
    Example:
        >>> x = torch.randn(50, 3, dtype=torch.float64)
        >>> first, last = fit_lens([2 * x, x], ridge=1e-9)
        >>> torch.allclose(first(2 * x), x)
        True
    """
    shapes = {tuple(stream.shape) for stream in streams}
    if len(shapes) != 1 or streams[0].ndim != 2 or streams[0].shape[0] < 2 or not ridge > 0:
        got = f"got shapes {sorted(shapes)}, ridge {ridge}"
        raise ValueError(
            f"need streams of one shape, (tokens, width), at least two tokens, ridge above 0; {got}"
        )
    target = streams[-1].cpu().double()  # some accelerators have no float64
    centred_target = target - target.mean(0)
    maps = []
    for stream in streams:
        x = stream.cpu().double()
        centred = x - x.mean(0)
        gram = centred.mT @ centred
        gram.diagonal().add_(ridge * gram.diagonal().mean())
        weight = torch.linalg.solve(gram, centred.mT @ centred_target).mT
        lens = skip_init(nn.Linear, x.shape[1], x.shape[1], device=stream.device, dtype=stream.dtype)
        lens.weight.copy_(weight)
        lens.bias.copy_(target.mean(0) - weight @ x.mean(0))
        maps.append(lens.requires_grad_(False))
    return maps


@contextmanager
def resumed(model: nn.Module, layer: int, stream: Float[Tensor, "B T D"]) -> Iterator[None]:
    """Inside, layers below this one do not run: it gets the stream that they left in an earlier pass.

        with recorded(model) as seen:
            model(ids)
        with heads_off(model, [(18, 6)]), resumed(model, 18, seen.streams[17]):
            model(ids)  # as without `resumed`, and sooner

    Args:
        model: with at least one `TransformerBlock`.
        layer: the first that runs, counted from 0.
        stream: what enters it, see `Record.streams`; not looked at where layer is 0.
    Raises: ValueError: no block in the model; a layer that it does not have.
    Example:
        >>> from course_lib.decoder import GPTConfig
        >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=2, n_heads=2))
        >>> with recorded(model) as seen:
        ...     logits = model(torch.tensor([[1, 2, 3]]))
        >>> with resumed(model, 1, seen.streams[0]):
        ...     torch.equal(model(torch.tensor([[1, 2, 3]])), logits)
        True
    """
    blocks = _blocks(model)
    _check_index("layer", layer, len(blocks))

    def recall(*args: Any, **kwargs: Any) -> Tensor:
        return stream

    with _forward_set(dict.fromkeys(blocks[:layer], recall)):
        yield


@contextmanager
def replaced(model: nn.Module, kind: type[Part], forward: Callable[..., Tensor]) -> Iterator[None]:
    """Inside, every part of a kind computes something else.

        def unscaled(norm, x):
            return x * norm.weight

        with replaced(model, RMSNorm, unscaled):
            model(ids)

    Args:
        model: with at least one such part.
        kind: the class of the parts.
        forward: called as forward(part, ...) with what the part is called with.
    Raises: ValueError: it has none.
    Example:
        >>> from course_lib.decoder import GPTConfig
        >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=2, n_heads=2))
        >>> with replaced(model, FeedForward, lambda mlp, x: 0 * x), recorded(model) as seen:
        ...     _ = model(torch.tensor([[1, 2, 3]]))
        >>> seen.feed_forward[0].abs().sum().item()
        0.0
    """
    with _forward_set({part: partial(forward, part) for part in _all_of(model, kind)}):
        yield


@contextmanager
def positions_changed(
    model: nn.Module, change: Callable[[Float[Tensor, " T"]], Float[Tensor, " T"]]
) -> Iterator[None]:
    """Inside, queries and keys are turned as if their tokens stood elsewhere.

        with positions_changed(model, lambda t: t + 1000):  # shifted
        with positions_changed(model, lambda t: t / 2):  # squeezed to half the distances
        with positions_changed(model, lambda t: 0 * t):  # everything in one place: not turned at all

    Args:
        model: with at least one `RotaryEmbedding`.
        change: gets the positions 0, 1, 2, ... of the whole context, gives as many others, which need not be
            whole numbers.
    Raises: ValueError: nothing is turned in this model; not one position for each.
    Example:
        >>> from course_lib.decoder import LlamaConfig
        >>> model = GPT(LlamaConfig(7, 5, d_model=4, n_layers=2, n_heads=2))
        >>> logits = model(torch.tensor([[1, 2, 3]]))
        >>> with positions_changed(model, lambda t: t + 2):  # distances are the same
        ...     torch.allclose(model(torch.tensor([[1, 2, 3]])), logits, atol=1e-5)
        True
    """
    rotaries = _all_of(model, RotaryEmbedding)
    kept = [(rotary, rotary.cos, rotary.sin) for rotary in rotaries]
    try:
        for rotary in rotaries:
            count = rotary.max_seq_len
            changed = change(torch.arange(count, dtype=torch.float32, device=rotary.cos.device))
            if changed.shape != (count,):
                raise ValueError(f"change must give {count} positions; got shape {tuple(changed.shape)}")
            cos, sin = rotary_at(changed.float(), rotary.d_head, rotary.base)
            rotary.cos, rotary.sin = cos.to(rotary.cos), sin.to(rotary.sin)
        yield
    finally:
        for rotary, cos, sin in kept:
            rotary.cos, rotary.sin = cos, sin


@contextmanager
def positions_averaged(model: nn.Module) -> Iterator[None]:
    """Inside, every token gets the same position vector, the mean of all: nothing says where it stands.

    Args:
        model: with at least one `PositionEmbedding`.
    Raises: ValueError: no position vectors are added in this model.
    Example:
        >>> from course_lib.decoder import GPTConfig
        >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=2, n_heads=2))
        >>> with positions_averaged(model):
        ...     x = model.embed(torch.tensor([[1, 1]]))
        >>> torch.equal(x[0, 0], x[0, 1])
        True
    """

    def add_mean(module: PositionEmbedding, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return args[0] + module.weight.mean(0)

    with _hooked(_all_of(model, PositionEmbedding), add_mean):
        yield


def _attentions(model: nn.Module) -> list[MultiHeadAttention]:
    return _all_of(model, MultiHeadAttention)


def _blocks(model: nn.Module) -> list[TransformerBlock]:
    return _all_of(model, TransformerBlock)


def _stack(model: nn.Module) -> TransformerStack:
    stacks = _all_of(model, TransformerStack)
    if len(stacks) > 1:
        raise ValueError(f"{type(model).__name__} has {len(stacks)} stacks of layers: which one is meant?")
    return stacks[0]


def _all_of(model: nn.Module, kind: type[Part]) -> list[Part]:
    found = [module for module in model.modules() if isinstance(module, kind)]
    if not found:
        raise ValueError(f"{type(model).__name__} has no {kind.__name__} to look into")
    return found


def _check_index(what: str, index: int, count: int) -> None:
    if not 0 <= index < count:
        raise ValueError(f"there is no {what} {index}: they run from 0 to {count - 1}")


def _keeper(kept: list[Tensor]) -> Callable[..., None]:
    """A hook that keeps what a module gives."""

    def keep(module: nn.Module, args: Any, output: Tensor) -> None:
        kept.append(output.detach())

    return keep


@contextmanager
def _calls_kept(module: nn.Module) -> Iterator[dict[str, tuple[tuple[Any, ...], Tensor]]]:
    """Inside, what the module and every part of it was called with last, and what it gave, by name."""
    calls: dict[str, tuple[tuple[Any, ...], Tensor]] = {}
    names = {part: name for name, part in module.named_modules()}

    def keep(part: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        calls[names[part]] = (inputs, output)

    with _hooked([*names], keep):
        yield calls


@contextmanager
def _without(layer: MultiHeadAttention, heads: Sequence[int]) -> Iterator[None]:
    # Before the last projection: the same as weights of zero, and the fused kernel or a learner's own
    # attention stays in its place.
    keep = torch.ones(layer.n_heads, layer.d_head)
    keep[list(heads)] = 0.0

    def silence(module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        return (args[0] * keep.flatten().to(args[0]),)

    handle = layer.out_proj.register_forward_pre_hook(silence)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _without_additions(block: TransformerBlock) -> Iterator[None]:
    # What the block is going to add a branch to is taken off the branch before.
    stream: list[Tensor] = []

    def enter(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        stream[:] = [args[0]]

    def replace(module: nn.Module, args: Any, branch: Tensor) -> Tensor:
        before, stream[:] = stream[0], [branch]
        return branch - before

    handles = [
        block.register_forward_pre_hook(enter),
        block.attention.register_forward_hook(replace),
        block.feed_forward.register_forward_hook(replace),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _forward_set(forwards: Mapping[nn.Module, Callable[..., Tensor]]) -> Iterator[None]:
    """Inside, each module computes by its own function, which comes before the method of its class."""
    before = {module: vars(module).get("forward") for module in forwards}
    try:
        for module, forward in forwards.items():
            vars(module)["forward"] = forward
        yield
    finally:
        for module, own in before.items():
            if own is None:
                vars(module).pop("forward", None)
            else:
                vars(module)["forward"] = own


@contextmanager
def _hooked(modules: Sequence[nn.Module], hook: Callable[..., Any]) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
