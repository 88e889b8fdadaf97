"""The Transformer layer from its parts, and a stack of layers: vectors in, vectors out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.attention import KVCache, MultiHeadAttention

NormType = Literal["layer", "rms"]
PlainActivation = Literal["gelu", "gelu_tanh", "relu"]
Activation = Literal[PlainActivation, "swiglu"]


class TransformerBlock(nn.Module):
    """One layer: attention between the tokens, then an MLP on each; both add to the residual stream.

        x = x + attention(norm(x));  x = x + feed_forward(norm(x))      (pre: Radford et al. 2019)
        x = norm(x + attention(x));  x = norm(x + feed_forward(x))      (post: Vaswani et al. 2017, figure 1)

    Args:
        attention: called as attention(x, mask=mask, cache=cache), a `MultiHeadAttention` for instance; what
            else mixes tokens stands in `mixers`.
        feed_forward: called with each token's vector, see `FeedForward`.
        attention_norm: normalises what attention reads, or the sum that it leaves, see `LayerNorm`.
        feed_forward_norm: the same for the MLP.
        norm_first: True normalises what each part reads ("pre-norm"), False the sum that it leaves ("post").
    Example:
        >>> parts = MultiHeadAttention(6, 3), FeedForward(6, 24), LayerNorm(6), LayerNorm(6)
        >>> TransformerBlock(*parts)(torch.zeros(2, 5, 6)).shape
        torch.Size([2, 5, 6])
    """

    def __init__(
        self,
        attention: nn.Module,
        feed_forward: nn.Module,
        attention_norm: nn.Module,
        feed_forward_norm: nn.Module,
        *,
        norm_first: bool = True,
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.attention_norm = attention_norm
        self.attention = attention
        self.feed_forward_norm = feed_forward_norm
        self.feed_forward = feed_forward

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        mask: Bool[Tensor, "..."] | None = None,
        cache: KVCache | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Pass the stream on, with what attention and MLP add to it."""
        if self.norm_first:
            x = x + self.attention(self.attention_norm(x), mask=mask, cache=cache)
            return x + self.feed_forward(self.feed_forward_norm(x))
        x = self.attention_norm(x + self.attention(x, mask=mask, cache=cache))
        return self.feed_forward_norm(x + self.feed_forward(x))


class TransformerStack(nn.Module):
    """Layers on top of each other: as many vectors come out as went in, of the same width.

    With norm_first=True one more norm follows the last layer.

    Args:
        d_model: width of the vectors.
        n_layers: how many blocks.
        n_heads: see `make_block`, and so are all the others.
    Example:
        >>> TransformerStack(6, n_layers=2, n_heads=3)(torch.zeros(2, 5, 6)).shape
        torch.Size([2, 5, 6])
    """

    def __init__(
        self,
        d_model: int,
        n_layers: int,
        n_heads: int,
        d_ff: int | None = None,
        *,
        n_kv_heads: int | None = None,
        norm_first: bool = True,
        norm_type: NormType = "layer",
        norm_eps: float = 1e-5,
        activation: Activation = "gelu",
        bias: bool = True,
        causal: bool = False,
        rotary: nn.Module | None = None,
        score_bias: Callable[[], nn.Module] | None = None,
        mixer: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            make_block(
                d_model,
                n_heads,
                d_ff,
                n_kv_heads=n_kv_heads,
                norm_first=norm_first,
                norm_type=norm_type,
                norm_eps=norm_eps,
                activation=activation,
                bias=bias,
                causal=causal,
                rotary=rotary,
                score_bias=score_bias,
                mixer=mixer,
            )
            for _ in range(n_layers)
        )
        self.final_norm = make_norm(norm_type, d_model, norm_eps) if norm_first else nn.Identity()

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        mask: Bool[Tensor, "..."] | None = None,
        cache: Sequence[KVCache] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Run the layers.

        Args:
            x: the vectors.
            mask: True = may attend; broadcasts to (B, H, T, S).
            cache: one for each layer.
        Raises: ValueError: not one cache for each layer.
        """
        if cache is not None and len(cache) != len(self.blocks):
            raise ValueError(f"cache must have one entry per layer ({len(self.blocks)}); got {len(cache)}")
        for n, block in enumerate(self.blocks):
            x = block(x, mask=mask, cache=None if cache is None else cache[n])
        return self.final_norm(x)


def make_block(
    d_model: int,
    n_heads: int,
    d_ff: int | None = None,
    *,
    n_kv_heads: int | None = None,
    norm_first: bool = True,
    norm_type: NormType = "layer",
    norm_eps: float = 1e-5,
    activation: Activation = "gelu",
    bias: bool = True,
    causal: bool = False,
    rotary: nn.Module | None = None,
    score_bias: Callable[[], nn.Module] | None = None,
    mixer: Callable[[], nn.Module] | None = None,
) -> TransformerBlock:
    """One layer from plain arguments: makes the parts and puts them together.

    Args:
        d_model: width of the vectors.
        n_heads: see `MultiHeadAttention`, and so are n_kv_heads, causal and rotary.
        d_ff: width within the MLP; default: 4 d_model.
        norm_first: see `TransformerBlock`.
        norm_type: "layer" for `LayerNorm`, "rms" for `RMSNorm`.
        norm_eps: see `LayerNorm` and `RMSNorm`.
        activation: see `FeedForward`.
        bias: whether the matrices of attention and MLP add one.
        score_bias: makes the module that adds to the scores, see `MultiHeadAttention`.
        mixer: makes the module that takes attention's place, see `mixers`.
    Raises: ValueError: a setting that does not exist, or that a mixer cannot honour.
    Example:
        >>> make_block(6, 3)(torch.zeros(2, 5, 6)).shape
        torch.Size([2, 5, 6])
    """
    if mixer is None:
        attention: nn.Module = MultiHeadAttention(
            d_model,
            n_heads,
            n_kv_heads=n_kv_heads,
            bias=bias,
            causal=causal,
            rotary=rotary,
            score_bias=None if score_bias is None else score_bias(),
        )
    else:
        for_attention = {"rotary": rotary, "score_bias": score_bias, "n_kv_heads": n_kv_heads}
        attention = _make_mixer(mixer, causal, for_attention)
    d_ff = 4 * d_model if d_ff is None else d_ff
    return TransformerBlock(
        attention,
        FeedForward(d_model, d_ff, activation=activation, bias=bias),
        make_norm(norm_type, d_model, norm_eps),
        make_norm(norm_type, d_model, norm_eps),
        norm_first=norm_first,
    )


def _make_mixer(
    mixer: Callable[[], nn.Module], causal: bool, for_attention: Mapping[str, object]
) -> nn.Module:
    """The mixer, unless it would not do what is asked of the layer."""
    given = [name for name, value in for_attention.items() if value is not None]
    if given:
        raise ValueError(f"a mixer takes attention's place: it can be given no {given[0]}")
    module = mixer()
    if causal and not getattr(module, "causal", False):
        example = "mixer=lambda: LinearAttention(d_model, n_heads, causal=True)"
        name = type(module).__name__
        raise ValueError(f"causal=True needs a mixer that is causal, as {example}; got {name}")
    return module


def make_norm(norm_type: NormType, d_model: int, eps: float) -> nn.Module:
    """A `LayerNorm` or an `RMSNorm`, by name.

    Example:
        >>> make_norm("rms", 6, eps=1e-5)
        RMSNorm()
    """
    if norm_type == "layer":
        return LayerNorm(d_model, eps=eps)
    if norm_type == "rms":
        return RMSNorm(d_model, eps=eps)
    raise ValueError(f"norm_type must be 'layer' or 'rms'; got {norm_type!r}")


class LayerNorm(nn.Module):
    """Give every vector mean 0 and variance 1, then a learned scale and shift; see `maths.layer_norm`.

    Args:
        d_model: width of the vectors.
        eps: added to the variance, so that nothing is divided by 0.
    Example:
        >>> LayerNorm(2)(torch.tensor([3.0, 7.0])).round().tolist()
        [-1.0, 1.0]
    """

    def __init__(self, d_model: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model))

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class RMSNorm(nn.Module):
    """Divide every vector by its root mean square, then a learned scale; see `maths.rms_norm`.

    Args:
        d_model: width of the vectors.
        eps: added to the mean square, so that nothing is divided by 0.
    Example:
        >>> round(RMSNorm(2)(torch.tensor([1.0, 7.0]))[0].item(), 4)  # the root of the mean square is 5
        0.2
    """

    def __init__(self, d_model: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model))

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


def gelu_tanh(x: Tensor) -> Tensor:
    """The approximation of `gelu` with a tanh, as in GPT-2 (Hendrycks & Gimpel 2016, section 2).

    Example:
        >>> x = torch.tensor([-1.0, 0.0, 1.0])
        >>> bool((gelu_tanh(x) - F.gelu(x)).abs().max() < 0.001)
        True
    """
    return F.gelu(x, approximate="tanh")


ACTIVATIONS: dict[PlainActivation, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": gelu_tanh,
    "relu": F.relu,
}


class FeedForward(nn.Module):
    """The MLP of a layer: widen, bend, narrow; the same for every token.

        gelu, relu:  down(act(up(x)))                  (Vaswani et al. 2017, section 3.3)
        swiglu:      down(silu(gate(x)) * up(x))       (Shazeer 2020, equation 6)

    Args:
        d_model: width in and out.
        d_ff: width in between, usually 4 d_model.
        activation: "gelu", "gelu_tanh" (its approximation, as in GPT-2), "relu" or "swiglu".
        bias: whether the matrices add one.
    Raises: ValueError: another activation.
    Example:
        >>> FeedForward(6, 24, activation="swiglu")(torch.zeros(2, 5, 6)).shape
        torch.Size([2, 5, 6])
    """

    def __init__(
        self, d_model: int, d_ff: int, *, activation: Activation = "gelu", bias: bool = True
    ) -> None:
        super().__init__()
        check_activation(activation, get_args(Activation))
        self.activation = activation
        if activation == "swiglu":
            self.gate_proj = nn.Linear(d_model, d_ff, bias=bias)
        self.up_proj = nn.Linear(d_model, d_ff, bias=bias)
        self.down_proj = nn.Linear(d_ff, d_model, bias=bias)

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        if self.activation == "swiglu":
            hidden = F.silu(self.gate_proj(x)) * self.up_proj(x)
        else:
            hidden = ACTIVATIONS[self.activation](self.up_proj(x))
        return self.down_proj(hidden)


def check_activation(activation: str, known: Sequence[str]) -> None:
    """Stop at a name that is not among the known ones.

    Raises: ValueError: the name, and those that are known.
    Example:
        >>> check_activation("tanh", ["gelu", "relu"])
        Traceback (most recent call last):
            ...
        ValueError: activation must be gelu or relu; got 'tanh'
    """
    if activation not in known:
        names = ", ".join(known[:-1])
        raise ValueError(f"activation must be {names} or {known[-1]}; got {activation!r}")


def initialise(module: nn.Module, std: float = 0.02) -> None:
    """Tables and matrices from a normal distribution, biases 0, norms as they are (Devlin et al. 2019).

    Example:
        >>> layer = nn.Linear(50, 50)
        >>> initialise(layer)
        >>> layer.bias.abs().max().item(), layer.weight.std().item() < 0.03
        (0.0, True)
    """
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=std)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)


def cached_length(cache: Sequence[KVCache] | None) -> int:
    """How many tokens came before: what every layer's cache holds.

    Raises: ValueError: the layers hold unequal numbers, because a call was interrupted between two of them.
    Example:
        >>> cached_length([KVCache(1, 2, 5, 3), KVCache(1, 2, 5, 3)])
        0
    """
    if not cache:
        return 0
    lengths = [layer.length for layer in cache]
    shortest, longest = min(lengths), max(lengths)
    if shortest != longest:
        found = f"the layers' caches hold {shortest} to {longest} tokens"
        raise ValueError(f"{found}, because a call was interrupted: begin again with a new cache")
    return longest


@contextmanager
def undone_if_interrupted(cache: Sequence[KVCache] | None) -> Iterator[None]:
    """Inside, a call that does not come to its end leaves the caches as long as they were.

    Raises: ValueError: as `cached_length`.
    Example:
        >>> cache = [KVCache(1, 2, 5, 3)]
        >>> try:
        ...     with undone_if_interrupted(cache):
        ...         _ = cache[0].append(torch.zeros(1, 2, 4, 3), torch.zeros(1, 2, 4, 3))
        ...         raise KeyboardInterrupt
        ... except KeyboardInterrupt:
        ...     print(cache[0].length)
        0
    """
    before = cached_length(cache)
    try:
        yield
    except BaseException:  # a KeyboardInterrupt, too
        for layer in cache or ():
            layer.length = before
        raise


def check_ids(ids: Tensor, n_ids: int, max_seq_len: int | None = None) -> None:
    """Stop at what is no batch of token ids, at texts that are empty or too long, at ids outside the table.

    Args:
        ids: token ids, (B, T).
        n_ids: rows of the table.
        max_seq_len: how many tokens fit; None: nothing is asked of the length.
    Raises: ValueError: which shape, length or id, and what was expected.
    Example:
        >>> check_ids(torch.tensor([1, 2, 3]), n_ids=5)
        Traceback (most recent call last):
        ...
        ValueError: token ids must have two axes, (rows, tokens): ids[None] adds one; got shape (3,)
    """
    if not isinstance(ids, Tensor):
        raise ValueError(
            f"token ids must be a tensor, such as torch.tensor([ids]); got a {type(ids).__name__}"
        )
    if ids.ndim != 2:
        shape = tuple(ids.shape)
        raise ValueError(
            f"token ids must have two axes, (rows, tokens): ids[None] adds one; got shape {shape}"
        )
    if max_seq_len is not None and not 1 <= ids.shape[1] <= max_seq_len:
        raise ValueError(f"a sequence must have 1 to {max_seq_len} tokens; got {ids.shape[1]}")
    check_numbers(ids, n_ids, "token ids")


def check_numbers(numbers: Tensor, n_rows: int, what: str) -> None:
    """Stop at numbers of rows that a table does not have.

    Args:
        numbers: of any shape.
        n_rows: rows of the table.
        what: what the numbers are called in the message.
    Raises: ValueError: which number, and what was expected.
    Example:
        >>> check_numbers(torch.tensor([0, 7]), 5, "words")
        Traceback (most recent call last):
        ...
        ValueError: words run from 0 to 4; got 7
    """
    # Reading values makes an accelerator wait for them. CUDA stops by itself at a number without a row;
    # others (MPS, for one) would go on with whatever stands there.
    if numbers.is_cuda or numbers.is_meta or numbers.numel() == 0:
        return
    low, high = map(int, numbers.aminmax())
    if low < 0 or high >= n_rows:
        raise ValueError(f"{what} run from 0 to {n_rows - 1}; got {low if low < 0 else high}")
