"""Experiments on a model: read the attention weights of a real forward pass, or disturb the scores a while.

Everything goes through the model's own forward, by hooks that are always taken away again, also after an
error. The models of this library and any other that is built with `MultiHeadAttention` can be probed.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.attention import MultiHeadAttention


@contextmanager
def weights_recorded(model: nn.Module) -> Iterator[list[Float[Tensor, "B H T S"]]]:
    """Inside, every call of an attention layer puts its weights into the list, in the order of the calls.

        with weights_recorded(model) as seen:
            model(ids)

    Args:
        model: with at least one `MultiHeadAttention`.
    Raises: ValueError: it has none.
    """
    seen: list[Tensor] = []

    def keep(module: nn.Module, args: Any, weights: Tensor) -> None:
        seen.append(weights.detach())

    with _hooked([layer.pattern for layer in _attentions(model)], keep):
        yield seen


@torch.no_grad()
def attention_weights(model: nn.Module, ids: Sequence[int] | Tensor) -> Float[Tensor, "L H T S"]:
    """Who looks at whom in one text: the weights of every layer and head, from one forward pass.

    Args:
        model: called with token ids, a GPT or a BERT for instance.
        ids: one text's tokens, without a batch axis.
    Returns: layers, heads, queries, keys, on the CPU; each row sums to 1.
    Raises: ValueError: no attention in the model, or ids with more than one axis.
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
    Raises: ValueError: it has none.
    """

    def scale(module: nn.Module, args: Any, queries: Tensor) -> Tensor:
        return queries * factor

    with _hooked([layer.q_proj for layer in _attentions(model)], scale):
        yield


def _attentions(model: nn.Module) -> list[MultiHeadAttention]:
    layers = [module for module in model.modules() if isinstance(module, MultiHeadAttention)]
    if not layers:
        raise ValueError(f"{type(model).__name__} has no MultiHeadAttention to look into")
    return layers


@contextmanager
def _hooked(modules: Sequence[nn.Module], hook: Callable[..., Any]) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
