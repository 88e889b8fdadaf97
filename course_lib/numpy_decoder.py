"""A `GPT` one token at a time in NumPy: torch needs longer to start a small operation than to do it."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.special import erf, expit
from torch import Tensor, nn

from course_lib.attention import KVCache, MultiHeadAttention
from course_lib.blocks import FeedForward, LayerNorm, RMSNorm, TransformerBlock, TransformerStack, check_ids
from course_lib.decoder import GPT
from course_lib.positions import PositionEmbedding, RotaryEmbedding

Array = NDArray[np.floating]
Function = Callable[[Array], Array]
Decoder = Callable[[Tensor, Sequence[KVCache]], Tensor]
_PARTS = {  # what may stand where: a block's name is its number
    GPT: "", TransformerStack: "stack", nn.ModuleList: "blocks", TransformerBlock: "",
    MultiHeadAttention: "attention", FeedForward: "feed_forward", nn.Identity: "pattern",
    LayerNorm: "attention_norm feed_forward_norm norm", RMSNorm: "attention_norm feed_forward_norm norm",
    nn.Embedding: "token_embedding", PositionEmbedding: "position_embedding", RotaryEmbedding: "rotary",
    nn.Linear: "q_proj k_proj v_proj out_proj up_proj gate_proj down_proj lm_head",
}  # fmt: skip
_ACTIVATIONS: dict[str, Function] = {
    "gelu": lambda x: x * (0.5 + 0.5 * erf(0.5**0.5 * x)),
    "gelu_tanh": lambda x: x * (0.5 + 0.5 * np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * (x * x * x)))),
    "relu": lambda x: np.maximum(x, 0.0),
    "swiglu": lambda x: x * expit(x),
}


def numpy_decoder(model: nn.Module) -> Decoder | None:
    """`GPT.next_token_logits` for one new token in each row, with the model's weights and caches.
    Returns: a function of ids (B, 1) and caches, whose scores equal the model's to rounding; None off the CPU
        or float32, and where a part is not ours, was changed or has a hook (later hooks go unnoticed).
    """
    kinds, named = {(p.device.type, p.dtype) for p in model.parameters()}, model.named_modules()
    if not isinstance(model, GPT) or kinds != {("cpu", torch.float32)} or not all(
        name.rpartition(".")[2].rstrip("0123456789") in _PARTS.get(type(part), "-").split(" ")
        and "forward" not in vars(part) and getattr(part, "attend", None) is None
        and not part._forward_hooks and not part._forward_pre_hooks for name, part in named
    ):  # fmt: skip
        return None
    tokens, positions = _array(model.token_embedding.weight), model.position_embedding
    places, layers = None if positions is None else _array(positions.weight), cast(Any, model.stack.blocks)
    blocks = [
        (_norm(layer.attention_norm), _attention(layer.attention),
         _norm(layer.feed_forward_norm), _feed_forward(layer.feed_forward)) for layer in layers
    ]  # fmt: skip
    last_norm, head = _norm(model.stack.norm), _linear(model.lm_head)

    @np.errstate(all="ignore")  # who reads the scores finds what is not finite
    def next_token_logits(ids: Int[Tensor, "B 1"], caches: Sequence[KVCache]) -> Float[Tensor, "B V"]:
        check_ids(ids, len(tokens))
        x = tokens[ids.numpy()[:, 0]]  # (B, D)
        if places is not None:
            x = x + places[caches[0].length]
        for (norm, attention, next_norm, feed_forward), cache in zip(blocks, caches, strict=True):
            x = x + attention(norm(x), cache)
            x = x + feed_forward(next_norm(x))
        return torch.from_numpy(head(last_norm(x)))

    return next_token_logits


def _array(tensor: Tensor) -> Array:
    return tensor.detach().numpy()


def _linear(*layers: nn.Linear) -> Function:
    """One product for all of them, side by side."""
    w, *more = (_array(layer.weight) for layer in layers)
    w = (np.concatenate([w, *more]) if more else w).T
    biases = [_array(layer.bias) for layer in layers if layer.bias is not None]
    b = np.concatenate(biases) if biases else None
    return (lambda x: x @ w) if b is None else (lambda x: x @ w + b)


def _norm(layer: Any) -> Function:
    w, mean = _array(layer.weight), np.full((len(layer.weight), 1), 1 / len(layer.weight), np.float32)
    rms_norm: Function = lambda x: x / np.sqrt((x * x) @ mean + layer.eps) * w  # noqa: E731
    if isinstance(layer, RMSNorm):
        return rms_norm
    b = 0.0 if layer.bias is None else _array(layer.bias)
    return lambda x: rms_norm(x - x @ mean) + b  # a product with 1 / D is quicker than x.mean()


def _attention(layer: MultiHeadAttention) -> Callable[[Array, KVCache], Array]:
    project, out_proj = _linear(layer.q_proj, layer.k_proj, layer.v_proj), _linear(layer.out_proj)
    turn, n_kv, d_head, scale = _turn(layer.rotary), layer.n_kv_heads, layer.d_head, layer.d_head**-0.5

    def attend(x: Array, cache: KVCache) -> Array:
        t, end = cache.room(len(x), 1)
        keys, values = _array(cache.keys), _array(cache.values)  # (B, H_kv, capacity, K)
        qkv = project(x).reshape(len(x), -1, d_head)  # (B, H + 2 H_kv, K)
        qk = turn(qkv[:, :-n_kv], t)
        keys[:, :, t], values[:, :, t], cache.length = qk[:, -n_kv:], qkv[:, -n_kv:], end
        q = scale * qk[:, :-n_kv].reshape(len(x), n_kv, -1, d_head)  # (B, H_kv, H / H_kv, K)
        scores = q @ keys[:, :, :end].swapaxes(2, 3)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mix = weights @ values[:, :, :end] / np.add.reduce(weights, -1, keepdims=True)
        return out_proj(mix.reshape(len(x), -1))

    return attend


def _turn(layer: Any) -> Callable[[Array, int], Array]:
    if layer is None:
        return lambda x, t: x
    wave = _array(layer.cos) + 1j * _array(layer.sin)  # times a complex number: turned by its angle
    if layer.interleaved:
        return lambda x, t: (x.view(wave.dtype) * wave[t]).view(x.dtype)
    as_pairs: Function = lambda x: x[..., : x.shape[-1] // 2] + 1j * x[..., x.shape[-1] // 2 :]  # noqa: E731
    return lambda x, t: np.concatenate([(z := as_pairs(x) * wave[t]).real, z.imag], axis=-1)


def _feed_forward(layer: FeedForward) -> Function:
    up, down, activation = _linear(layer.up_proj), _linear(layer.down_proj), _ACTIVATIONS[layer.activation]
    if layer.activation != "swiglu":
        return lambda x: down(activation(up(x)))
    gate = _linear(layer.gate_proj)
    return lambda x: down(activation(gate(x)) * up(x))
