"""Answers to recall_race, as learners write them."""

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.decoder import GPT, GPTConfig
from course_lib.recurrent import RecurrentLM


class OneLayer(nn.Module):
    """Attention and nothing else; `mix` makes weights from scores."""

    def __init__(self, vocab_size, mix, width=32):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.head = nn.Linear(width, vocab_size)
        self.mix = mix

    def forward(self, ids):
        x = self.embed(ids)
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return self.head(x + self.out(self.mix(q, k, v)))


def causal(q, k, v):
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def linear(q, k, v):
    weights = ((F.elu(q) + 1) @ (F.elu(k) + 1).mT).tril()
    return weights / weights.sum(-1, keepdim=True) @ v


def windowed(n):
    def mix(q, k, v):
        near = torch.ones(q.shape[1], q.shape[1], dtype=torch.bool).tril().triu(1 - n)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=near)

    return mix


def small_gpt(vocab_size):
    return GPT(GPTConfig(vocab_size, 65, 20, 1, 2, positions="rotary"))


class Encoder(nn.Module):
    """torch's own layer, with learned places."""

    def __init__(self, vocab_size, masked=True, batch_first=True):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, 24)
        self.place = nn.Embedding(65, 24)
        self.layer = nn.TransformerEncoderLayer(24, 2, 48, 0.0, batch_first=batch_first, norm_first=True)
        self.head = nn.Linear(24, vocab_size)
        self.masked = masked

    def forward(self, ids):
        n = ids.shape[1 if self.layer.self_attn.batch_first else 0]
        x = self.embed(ids) + self.place(torch.arange(ids.shape[1]))
        mask = nn.Transformer.generate_square_subsequent_mask(n) if self.masked else None
        return self.head(self.layer(x, mask, is_causal=False))


def open_lstm(vocab_size):
    """It wins too: its forget gate begins at 0.95."""
    model = RecurrentLM(vocab_size, 36, 1, "lstm")
    with torch.no_grad():
        model.cell.bias_hh_l0[36:72] += 3
    return model


class Recurrent(nn.Module):
    def __init__(self, vocab_size, kind=nn.GRU):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, 32)
        self.cell = kind(32, 32, batch_first=True)
        self.head = nn.Linear(32, vocab_size)

    def forward(self, ids):
        return self.head(self.cell(self.embed(ids))[0])


def frozen(vocab_size):
    return OneLayer(vocab_size, causal).requires_grad_(False)


RIGHT = [
    lambda vocab_size: OneLayer(vocab_size, causal),
    lambda vocab_size: OneLayer(vocab_size, linear),
    small_gpt,
    open_lstm,
    Encoder,
]
WRONG = [
    ("the memory fades", lambda vocab_size: RecurrentLM(vocab_size, 40, 1, "rnn")),
    ("the memory fades", Recurrent),
    ("too short a window", lambda vocab_size: OneLayer(vocab_size, windowed(16))),
    ("looks ahead", lambda vocab_size: Encoder(vocab_size, masked=False)),
    (
        "the batch taken for the tokens",
        lambda vocab_size: Encoder(vocab_size, masked=False, batch_first=False),
    ),
    ("always 17 tokens", lambda vocab_size: OneLayer(17, causal)),
    (None, frozen),
    (None, lambda vocab_size: OneLayer(vocab_size, lambda q, k, v: v / 0)),
]
