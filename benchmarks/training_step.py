"""One training step (forward, backward, AdamW) on one thread, against torch's encoder, nanoGPT and GPT-2.

All have the same size, read the same tokens, compute in float32 without dropout and are stepped by the same
fused AdamW. Each peer meets ours with the peer's own activation: the exact GELU of torch's encoder and of
nanoGPT's recipe, the approximate one of Hugging Face's GPT-2. The recipe is a decoder as many write it by
hand: one linear layer for queries, keys and values, `nn.GELU`, torch's fused attention, the embedding table
as output layer. The share, which depends on the processor and is not judged, is that of a large matrix
product's speed: the operations of all matrix products in a step, by torch's own counter, per second. The
readable form is the same model with attention as the notebooks show it: the weights first, then the mix. Each
runs in a process of its own as its user runs it: ours keeps its memory, as `training.train` lets it; the
peers have the C library's defaults.
"""

import argparse
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import torch
import torch.nn.functional as F
from common import Apart, Row, gpt2, show
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from course_lib.attention import scaled_dot_product_attention
from course_lib.costs import alternate
from course_lib.decoder import GPT, GPTConfig
from course_lib.device import keep_memory

# layers, heads, width, tokens, batch, vocabulary
SHAPES = {"a": (4, 4, 128, 64, 12, 65), "b": (6, 6, 192, 128, 16, 512), "c": (6, 6, 384, 256, 8, 512)}
# times torch's encoder, times nanoGPT's recipe, times Hugging Face: at least
BARS = {"a": (1.03, 1.0, 1.2), "b": (1.03, 1.0, 1.2), "c": (1.00, 1.0, 1.12)}
AS_TRAIN = ExitStack()  # `training.train` keeps its memory, and so does the process of ours, to its end


class TorchGPT(nn.Module):
    """A decoder as a user of torch would write it, on `nn.TransformerEncoder`."""

    def __init__(self, n_layers: int, n_heads: int, d_model: int, length: int, vocab_size: int) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocab_size, d_model), nn.Embedding(length, d_model)
        layer = nn.TransformerEncoderLayer(
            d_model, n_heads, 4 * d_model, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(
            layer, n_layers, norm=nn.LayerNorm(d_model), enable_nested_tensor=False
        )
        self.head = nn.Linear(d_model, vocab_size, bias=False)
        self.head.weight = self.tokens.weight
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length), persistent=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.tokens(ids) + self.places.weight
        return self.head(self.encoder(x, mask=self.mask, is_causal=True))


class HandmadeBlock(nn.Module):
    """One layer of nanoGPT's recipe."""

    def __init__(self, n_heads: int, d_model: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.first_norm, self.second_norm = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.qkv, self.out = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.mlp = nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.GELU(), nn.Linear(4 * d_model, d_model))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.first_norm(x))
        return x + self.mlp(self.second_norm(x))

    def attention(self, x: torch.Tensor) -> torch.Tensor:
        b, t, d = x.shape
        q, k, v = (
            part.view(b, t, self.n_heads, d // self.n_heads).transpose(1, 2)
            for part in self.qkv(x).split(d, dim=2)
        )
        mix = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mix.transpose(1, 2).reshape(b, t, d))


class HandmadeGPT(nn.Module):
    """A decoder by nanoGPT's recipe."""

    def __init__(self, n_layers: int, n_heads: int, d_model: int, length: int, vocab_size: int) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocab_size, d_model), nn.Embedding(length, d_model)
        self.blocks = nn.ModuleList(HandmadeBlock(n_heads, d_model) for _ in range(n_layers))
        self.norm = nn.LayerNorm(d_model)
        self.head = nn.Linear(d_model, vocab_size, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def stepper(
    model: nn.Module, logits: Callable[[torch.Tensor], torch.Tensor], ids: torch.Tensor
) -> Callable[[], None]:
    """One training step of a model, as a function without arguments."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        loss = F.cross_entropy(logits(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def contender(name: str, kind: str) -> Callable[[], None]:
    """A training step of one shape: "ours" (exact GELU), "ours tanh", "readable", "torch", "nano", "hf"."""
    n_layers, n_heads, d_model, length, batch, vocab_size = SHAPES[name]
    torch.manual_seed(0)
    ids, sizes = torch.randint(0, vocab_size, (batch, length + 1)), (n_layers, n_heads, d_model, length)
    if kind == "torch":
        torchs = TorchGPT(*sizes, vocab_size)
        return stepper(torchs, torchs, ids)
    if kind == "nano":
        handmade = HandmadeGPT(*sizes, vocab_size)
        return stepper(handmade, handmade, ids)
    if kind == "hf":
        theirs = gpt2(*sizes, vocab_size)
        return stepper(theirs, lambda x: theirs(x, use_cache=False).logits, ids)
    AS_TRAIN.enter_context(keep_memory())
    options = dict(zip(("n_layers", "n_heads", "d_model", "max_seq_len"), sizes, strict=True))
    activation = "gelu_tanh" if kind == "ours tanh" else "gelu"
    ours = GPT(GPTConfig(**options, vocab_size=vocab_size, activation=activation))
    if kind == "readable":
        ours.use_attention(partial(scaled_dot_product_attention, fused=False))
    return stepper(ours, ours, ids)


def repeated(name: str, kind: str, times: int) -> Callable[[], None]:
    """A contender's step, so many times over."""
    step = contender(name, kind)

    def steps() -> None:
        for _ in range(times):
            step()

    return steps


def measure(name: str, rounds: int) -> list[Row]:
    """The rows of one shape."""
    step = contender(name, "ours")
    with FlopCounterMode(display=False) as counter:
        step()
    operations = counter.get_total_flops()
    repeats = max(1, round(2e10 / operations))
    factors = torch.randn(2, 1024, 1024)
    products = max(1, round(repeats * operations / (2 * 1024**3) / 3))
    kinds = ("ours", "torch", "nano", "ours tanh", "hf", "readable")
    steps = [Apart(repeated, name, kind, repeats) for kind in kinds]
    seconds = alternate([*steps, lambda: [torch.mm(*factors) for _ in range(products)]], rounds)
    ours, torch_encoder, nano, ours_tanh, hugging, slow = (
        [repeats * operations / s / 1e9 for s in of_one] for of_one in seconds[:-1]
    )
    peaks = [products * 2 * 1024**3 / s / 1e9 for s in seconds[-1]]
    bars = BARS[name]
    return [
        Row(f"{name}: step, times torch.nn.TransformerEncoder", ours, torch_encoder, bars[0]),
        Row(f"{name}: step, times nanoGPT's recipe", ours, nano, bars[1]),
        Row(f"{name}: step, times Hugging Face GPT-2 (sdpa)", ours_tanh, hugging, bars[2]),
        Row(f"{name}: share of the matrix-multiplication speed", ours, peaks),
        Row(f"{name}: fast form, times the readable form", ours, slow, 1.35, at_least=False),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shapes", nargs="*", default=list(SHAPES), help="some of a, b, c")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for name in arguments.shapes for row in measure(name, arguments.rounds)]
    return show("Training step, speeds in billions of operations a second", rows)


if __name__ == "__main__":
    sys.exit(main())
