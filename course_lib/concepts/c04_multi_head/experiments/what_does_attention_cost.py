"""Do twice the tokens take four times the time and memory?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from course_lib import costs
from course_lib.attention import scaled_dot_product_attention
from course_lib.blocks import make_block
from course_lib.mixers import linear_attention
from course_lib.training import bar

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
        return power(self.lengths, self.multiplied["explicit"])

    @property
    def explicit_time(self) -> float:
        """Of the seconds with the table."""
        return power(self.lengths, self.seconds["explicit"])

    @property
    def fused_time(self) -> float:
        """Of the seconds without it."""
        return power(self.lengths, self.seconds["fused"])

    @property
    def explicit_memory(self) -> float:
        """Of the bytes with the table."""
        return power(self.lengths, self.kept["explicit"])

    @property
    def fused_memory(self) -> float:
        """Of the bytes without it."""
        return power(self.lengths, self.kept["fused"])

    @property
    def whole_layer(self) -> float:
        """Of the multiplications of a whole layer."""
        return power(self.lengths, self.multiplied["layer"])


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


def power(lengths: Sequence[int], amounts: Sequence[float]) -> float:
    """The power of the length with which something grows."""
    return costs.exponent(list(lengths), list(amounts))


@torch.no_grad()
def multiplications(call: Callable[[], object]) -> int:
    """How many multiplications and additions a call needs for its products of matrices, counted by torch."""
    # Kernels differ in what they store, not in what they multiply: torch counts where it sees the products.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()
