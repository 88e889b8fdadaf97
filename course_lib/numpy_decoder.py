"""A `GPT` one token at a time in NumPy: torch needs longer to start a small operation than to do it.

`NumpyGPT` is the model once more. `Scorer` chooses which of the two scores a token.
"""

import warnings
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from course_lib.attention import KVCache, MultiHeadAttention
from course_lib.blocks import ACTIVATIONS, RMSNorm, TransformerBlock, cached_length, check_ids
from course_lib.decoder import GPT

Array = NDArray[np.floating]
Caches = Sequence[KVCache]  # one per layer

# As a share of the largest score. Rounding alone changes the scores of a float32 model by about 1e-6 of it.
# In SmolLM2 leaving out the least important of 270 heads changes them by 4e-3, a norm_eps ten times as large
# by 7e-4.
TOLERANCE = 1e-4


def as_arrays(module: nn.Module) -> SimpleNamespace:
    """A module's weights (as arrays, of the same memory), settings and parts, under their names."""
    settings = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    copy = SimpleNamespace(**settings, kind=type(module))
    for name, tensor in {**module._parameters, **module._buffers}.items():
        setattr(copy, name, None if tensor is None else tensor.detach().numpy())
    for name, part in module._modules.items():
        setattr(copy, name, None if part is None else as_arrays(part))
    return copy


class NumpyGPT:
    """The forward pass of `GPT` for one new token in each row.

    Each method is the forward pass of one part: `block` that of `TransformerBlock`, `attention` that of
    `MultiHeadAttention`, and so on. It gets the part's weights from `as_arrays`, and x without the axis of
    positions, (B, D), because there is only one.

    Args:
        model: on a CPU, in float32. Its weights are shared, so that changes in place count at once.
    Differs: hooks, another attention and score biases are not looked at; `Scorer` does that.
    """

    def __init__(self, model: GPT) -> None:
        self.config = model.config
        self.token_embedding = as_arrays(model.token_embedding)
        self.position_embedding = None
        if model.position_embedding is not None:
            self.position_embedding = as_arrays(model.position_embedding)
        self.blocks = [as_arrays(block) for block in model.stack.blocks]
        self.last_norm = as_arrays(model.stack.norm)
        self.lm_head = as_arrays(model.lm_head)
        d_model = self.config.d_model
        self.averaging = np.full((d_model, 1), 1 / d_model, np.float32)
        self.turns: Any = None
        if model.rotary is not None:
            rotary = as_arrays(model.rotary)
            self.turns = rotary.cos + 1j * rotary.sin  # (T, K / 2), for all layers

    @np.errstate(all="ignore")  # no warnings: who reads the scores stops at what is not finite
    def next_token_logits(self, ids: Int[Tensor, "B 1"], caches: Caches) -> Float[Tensor, "B V"]:
        """Score what follows the new token.

        Args:
            ids: the newest token of each row.
            caches: what `GPT.new_cache` gave; the new token is added to it.
        Raises:
            ValueError: as `GPT.next_token_logits` does.
        """
        x = self.embed(ids, caches)
        for block, cache in zip(self.blocks, caches, strict=True):
            x = self.block(block, x, cache)
        x = self.norm(self.last_norm, x)
        return torch.from_numpy(self.linear(self.lm_head, x))

    def embed(self, ids: Tensor, caches: Caches) -> Array:
        """The vectors that enter the first layer."""
        start = cached_length(caches)
        if start >= self.config.max_seq_len:
            raise ValueError(f"the context holds {self.config.max_seq_len} tokens; got {start + 1}")
        check_ids(ids, self.config.vocab_size)
        x = self.token_embedding.weight[ids.numpy()[:, 0]]
        if self.position_embedding is not None:
            x = x + self.position_embedding.weight[start]
        return x

    def block(self, block: Any, x: Array, cache: KVCache) -> Array:
        """Pass the stream on, with what attention and MLP add to it."""
        if block.norm == "pre":
            x = x + self.attention(block.attention, self.norm(block.attention_norm, x), cache)
            return x + self.feed_forward(block.feed_forward, self.norm(block.feed_forward_norm, x))
        x = self.norm(block.attention_norm, x + self.attention(block.attention, x, cache))
        return self.norm(block.feed_forward_norm, x + self.feed_forward(block.feed_forward, x))

    def attention(self, attention: Any, x: Array, cache: KVCache) -> Array:
        """Let the new token gather from itself and from what the cache holds."""
        start, end = cache.room(len(x), 1)
        q = self.linear(attention.q_proj, x).reshape(len(x), -1, attention.d_head)  # (B, H, K)
        k = self.linear(attention.k_proj, x).reshape(len(x), -1, attention.d_head)  # (B, H_kv, K)
        v = self.linear(attention.v_proj, x).reshape(len(x), -1, attention.d_head)
        if attention.rotary is not None:
            q = self.rotate(attention.rotary, q, start)
            k = self.rotate(attention.rotary, k, start)
        # `detach`, because a prompt that was read with gradients leaves them on the cache.
        keys = cache.keys.detach().numpy()  # (B, H_kv, capacity, K)
        values = cache.values.detach().numpy()
        keys[:, :, start] = k
        values[:, :, start] = v
        cache.length = end
        # Queries that share a key head become rows of one matrix: the keys need not be repeated.
        grouped = q.reshape(len(x), attention.n_kv_heads, -1, attention.d_head)  # (B, H_kv, H / H_kv, K)
        scores = (attention.d_head**-0.5 * grouped) @ keys[:, :, :end].swapaxes(2, 3)
        mix = self.softmax(scores) @ values[:, :, :end]
        return self.linear(attention.out_proj, mix.reshape(len(x), -1))

    def rotate(self, rotary: Any, x: Array, position: int) -> Array:
        """Turn each pair of coordinates by its angle: as one complex number, times cos + i sin."""
        if rotary.interleaved:
            return (x.view(np.complex64) * self.turns[position]).view(np.float32)
        half = x.shape[-1] // 2
        turned = (x[..., :half] + 1j * x[..., half:]) * self.turns[position]
        return np.concatenate([turned.real, turned.imag], axis=-1)

    def softmax(self, scores: Array) -> Array:
        """Weights that sum to 1 along the last axis."""
        # The methods `scores.max` and `powers.sum` take twice as long to start.
        powers = np.exp(scores - np.maximum.reduce(scores, -1, keepdims=True))
        return powers / np.add.reduce(powers, -1, keepdims=True)

    def feed_forward(self, mlp: Any, x: Array) -> Array:
        """Widen, bend, narrow."""
        if mlp.activation == "swiglu":
            gate = self.activate(F.silu, self.linear(mlp.gate_proj, x))
            return self.linear(mlp.down_proj, gate * self.linear(mlp.up_proj, x))
        activation = ACTIVATIONS[mlp.activation]
        return self.linear(mlp.down_proj, self.activate(activation, self.linear(mlp.up_proj, x)))

    def activate(self, activation: Any, x: Array) -> Array:
        """Bend with torch's function: NumPy has no erf, and one call of torch is as quick as six of NumPy."""
        return activation(torch.from_numpy(x)).numpy()

    def norm(self, norm: Any, x: Array) -> Array:
        """A `LayerNorm` or an `RMSNorm`."""
        if norm.kind is RMSNorm:
            return x / np.sqrt(self.mean(x * x) + norm.eps) * norm.weight
        x = x - self.mean(x)
        x = x / np.sqrt(self.mean(x * x) + norm.eps) * norm.weight
        return x if norm.bias is None else x + norm.bias

    def mean(self, x: Array) -> Array:
        """The mean of each vector; a product with 1 / D is quicker than x.mean()."""
        return x.dot(self.averaging)

    def linear(self, linear: Any, x: Array) -> Array:
        """x W^T + b; `dot` starts quicker than `@`."""
        y = x.dot(linear.weight.T)
        return y if linear.bias is None else y + linear.bias


def equal_to_rounding(scores: Tensor, expected: Tensor) -> bool:
    """Whether no score is off by more than TOLERANCE of the largest; what is not finite has to be equal."""
    if scores.shape != expected.shape or scores.dtype != expected.dtype:
        return False
    # In NumPy, because torch's threads would still be waiting for work when NumPy scores the next token.
    found, wanted = scores.detach().numpy(), expected.detach().numpy()
    largest = np.abs(wanted).max(where=np.isfinite(wanted), initial=0.0)
    return np.allclose(found, wanted, rtol=0.0, atol=TOLERANCE * largest, equal_nan=True)


class Scorer:
    """Scores of the next token: by NumPy once it has scored one token as torch does, else by torch.

    torch reads the prompt. Its last token is scored by NumPy too: where the two differ by more than rounding,
    or NumPy cannot read a part of the model, torch goes on, and one warning says so.

    Known beforehand to be for torch, so without a warning: models that are not exactly a `GPT`, not on a CPU
    or not in float32; a part with a hook, or with a `forward` set on it; another attention, a mixer, a score
    bias. Hooks, `attend` and score biases are looked for before every token.

    Not noticed, because looking would cost what NumPy saves: a difference that shows on later tokens only;
    other changes of a model while it writes; a class whose `forward` was replaced by one that only watches.

    Args:
        model: torch scores with it in eval mode; parts in training mode are so again afterwards.
    """

    def __init__(self, model: GPT) -> None:
        self.model = model
        self.parts = list(model.modules())
        self.attentions = [part for part in self.parts if isinstance(part, MultiHeadAttention)]
        # Kept, because these dictionaries stay the same ones when hooks come and go.
        self.hooks = [torch_module._global_forward_hooks, torch_module._global_forward_pre_hooks]
        for part in self.parts:
            self.hooks += [part._forward_hooks, part._forward_pre_hooks]
        self.numpy_may_write = self._is_ordinary()
        self.numpy_gpt: NumpyGPT | None = None  # set once both have scored a token alike

    def next_token_logits(self, ids: Int[Tensor, "B T"], caches: Caches | None) -> Float[Tensor, "B V"]:
        """As `GPT.next_token_logits`."""
        if caches is None or not self._is_for_numpy():
            return self.by_torch(ids, caches)
        if self.numpy_gpt is not None and ids.shape[1] == 1:
            return self.numpy_gpt.next_token_logits(ids, caches)
        if cached_length(caches) + ids.shape[1] == 1:
            # A first token attends to itself alone, unrotated: to compare here would prove nothing.
            return self.by_torch(ids, caches)
        return self.by_both(ids, caches)

    def by_torch(self, ids: Tensor, caches: Caches | None) -> Tensor:
        """The model's own scores, in eval mode."""
        in_training = [part for part in self.parts if part.training]
        for part in in_training:
            part.training = False
        try:
            return self.model.next_token_logits(ids, caches)
        finally:
            for part in in_training:
                part.training = True

    def by_both(self, ids: Tensor, caches: Caches) -> Tensor:
        """torch's scores; whether NumPy's are equal decides who writes from here on."""
        scores = self.by_torch(ids, caches)
        newest = cached_length(caches) - 1
        entries = [entry.detach()[:, :, newest] for cache in caches for entry in (cache.keys, cache.values)]
        of_torch = [entry.clone() for entry in entries]
        numpy_gpt = numpy_scores = None
        problem = "the two score a token differently"
        try:
            for cache in caches:
                cache.length = newest
            numpy_gpt = NumpyGPT(self.model)
            numpy_scores = numpy_gpt.next_token_logits(ids[:, -1:], caches)
        except Exception as error:  # a part that is not ours may fail in any way
            problem = f"NumPy fails with {type(error).__name__}: {error}"
        finally:  # what the cache holds is torch's
            for entry, kept in zip(entries, of_torch, strict=True):
                entry.copy_(kept)
            for cache in caches:
                cache.length = newest + 1
        if numpy_scores is not None and equal_to_rounding(numpy_scores, scores):
            self.numpy_gpt = numpy_gpt
        else:
            self.numpy_may_write = False
            warnings.warn(
                f"a part of this model is not what NumpyGPT expects ({problem}): torch writes, more slowly",
                stacklevel=2,
            )
        return scores

    def _is_ordinary(self) -> bool:
        kinds = {(parameter.device.type, parameter.dtype) for parameter in self.model.parameters()}
        blocks = [part for part in self.parts if isinstance(part, TransformerBlock)]
        return (
            type(self.model) is GPT
            and kinds == {("cpu", torch.float32)}
            and all(type(block.attention) is MultiHeadAttention for block in blocks)
            and not any(vars(self.model).keys() & {"embed", "next_token_logits"})
            and all(type(attention.pattern) is nn.Identity for attention in self.attentions)
            and not any("forward" in vars(part) for part in self.parts)
        )

    def _is_for_numpy(self) -> bool:
        return self.numpy_may_write and not any(self.hooks) and not any(map(_is_other, self.attentions))


def _is_other(attention: MultiHeadAttention) -> bool:
    """Whether it mixes in another way than by its queries, keys and values alone."""
    return attention.attend is not None or attention.score_bias is not None
