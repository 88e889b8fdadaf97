"""Wrong and correct answers to the tasks of 08_rnn_comparison on chains, as learners write them."""

import functools
import graphlib
import math
from collections import deque

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.decoder import GPT, GPTConfig
from course_lib.recurrent import RNN, RecurrentLM

RIGHT, WRONG = {}, {}

# ---------------------------------------------------------------------------------------------- longest chain


def by_counting(waits_for):
    """Those that wait for nothing first."""
    missing = {name: len(others) for name, others in waits_for.items()}
    after = {name: [] for name in waits_for}
    for name, others in waits_for.items():
        for other in others:
            after[other].append(name)
    length = dict.fromkeys(waits_for, 1)
    ready = deque(name for name in waits_for if not missing[name])
    while ready:
        name = ready.popleft()
        for later in after[name]:
            length[later] = max(length[later], length[name] + 1)
            missing[later] -= 1
            if not missing[later]:
                ready.append(later)
    return max(length.values())


def with_a_stack(waits_for):
    """As if it called itself."""
    length = {}
    for start in waits_for:
        stack = [start]
        while stack:
            unknown = [other for other in waits_for[stack[-1]] if other not in length]
            if unknown:
                stack.extend(unknown)
            else:
                name = stack.pop()
                length[name] = 1 + max((length[other] for other in waits_for[name]), default=0)
    return max(length.values())


def in_waves(waits_for):
    """As if there were a core for each operation: how often does one have to wait?"""
    missing = {name: set(others) for name, others in waits_for.items()}
    after = {name: set() for name in waits_for}
    for name, others in missing.items():
        for other in others:
            after[other].add(name)
    wave, n_waves = [name for name in missing if not missing[name]], 0
    while wave:
        n_waves += 1
        coming = set()
        for name in wave:
            for later in after[name]:
                missing[later].discard(name)
                if not missing[later]:
                    coming.add(later)
        wave = list(coming)
    return n_waves


def layer_by_layer(waits_for):
    """All that can be done at the same time are done, then the next."""
    left, rounds, done = dict(waits_for), 0, set()
    while left:
        ready = [name for name, others in left.items() if done.issuperset(others)]
        for name in ready:
            del left[name]
        done.update(ready)
        rounds += 1
    return rounds


def from_the_standard_library(waits_for):
    length = {}
    for name in graphlib.TopologicalSorter(waits_for).static_order():
        length[name] = max([length[other] for other in waits_for[name]], default=0) + 1
    return float(max(length.values()))


def until_nothing_changes(waits_for):
    length = dict.fromkeys(waits_for, 1)
    changed = True
    while changed:
        changed = False
        for name, others in waits_for.items():
            for other in others:
                if length[other] + 1 > length[name]:
                    length[name] = length[other] + 1
                    changed = True
    return max(length.values())


def lengths(waits_for, join=max):
    length = {}
    for name in graphlib.TopologicalSorter(waits_for).static_order():
        length[name] = 1 + join(length[other] for other in waits_for[name]) if waits_for[name] else 1
    return length


def calls_itself(waits_for):
    @functools.lru_cache(None)
    def length(name):
        return 1 + max([length(other) for other in waits_for[name]], default=0)

    return max(length(name) for name in waits_for)


def in_the_given_order(waits_for):
    length = {}
    for name, others in waits_for.items():
        length[name] = 1 + max((length.get(other, 0) for other in others), default=0)
    return max(length.values())


def all_before(waits_for):
    before = {}
    for name in graphlib.TopologicalSorter(waits_for).static_order():
        before[name] = {name}
        for other in waits_for[name]:
            before[name] |= before[other]
    return max(len(names) for names in before.values())


def sorts_the_lists(waits_for):
    """Right, and the caller's lists are in another order afterwards."""
    for others in waits_for.values():
        others.sort()
    return in_waves(waits_for)


RIGHT["08_rnn_comparison/longest_chain"] = [
    by_counting,
    with_a_stack,
    from_the_standard_library,
    in_waves,
    layer_by_layer,
    until_nothing_changes,
]
WRONG["08_rnn_comparison/longest_chain"] = [
    ("the shortest chain", lambda waits_for: max(lengths(waits_for, min).values())),
    ("links counted", lambda waits_for: in_waves(waits_for) - 1),
    ("all operations", lambda waits_for: len(set(waits_for))),
    ("all that come before", all_before),
    ("added up", lambda waits_for: max(lengths(waits_for, sum).values())),
    ("the first operation", lambda waits_for: lengths(waits_for)[min(waits_for, key=list(waits_for).index)]),
    ("the last operation", lambda waits_for: lengths(waits_for)[list(waits_for).pop()]),
    ("in the order of the dictionary", in_the_given_order),
    ("the longest list", lambda waits_for: max(len(others) for others in waits_for.values())),
    (
        "the longest list, and itself",
        lambda waits_for: max(len(others) + 1 for others in waits_for.values()),
    ),
    ("the number of inputs", lambda waits_for: list(waits_for.values()).count([])),
    ("too deep for Python", calls_itself),
    (None, sorts_the_lists),
    (None, lambda waits_for: in_waves(waits_for) + 1),
    (None, lambda waits_for: None),
    (None, lambda waits_for: list(lengths(waits_for).values())),
    (None, lambda waits_for: min(lengths(waits_for).values())),
    (None, lambda waits_for: 2 * in_waves(waits_for)),
]

# -------------------------------------------------------------------------------------------------- truncated


def loop_over_tokens(x, targets, w, u, k):
    h = torch.zeros(x.shape[0], u.shape[0], dtype=x.dtype)
    loss = 0
    for t in range(x.shape[1]):
        h = torch.tanh(x[:, t] @ w + (h.detach() if t % k == 0 else h) @ u)
        loss += ((h - targets[:, t]) ** 2).sum()
    return loss


def piece_by_piece(x, targets, w, u, k):
    h, losses = x.new_zeros(len(x), len(u)), []
    for piece, wanted in zip(x.split(k, dim=1), targets.split(k, dim=1), strict=True):
        h, states = h.detach(), []
        for token in piece.unbind(1):
            h = (token @ w + h @ u).tanh()
            states.append(h)
        losses.append(F.mse_loss(torch.stack(states, 1), wanted, reduction="sum"))
    return torch.stack(losses).sum()


def all_states_first(x, targets, w, u, k):
    from_x = torch.einsum("btd,dh->bth", x, w)
    h, states = torch.zeros_like(from_x[:, 0]), []
    for t, part in enumerate(from_x.split(1, 1)):
        if t and t % k == 0:
            h = h.clone().detach()
        h = torch.tanh(part.squeeze(1) + h.matmul(u))
        states.append(h)
    return (torch.stack(states, dim=1) - targets).pow(2).sum()


def by_torchs_layer(x, targets, w, u, k):
    """torch's own layer for each piece, from which the fused one is far away."""
    layer = nn.RNNCell(w.shape[0], w.shape[1], bias=False).to(x.dtype)
    del layer.weight_ih, layer.weight_hh
    h = x.new_zeros(x.shape[0], u.shape[1])
    loss = x.new_zeros(())
    for start in range(0, x.shape[1], k):
        h = h.data
        for t in range(start, min(start + k, x.shape[1])):
            layer.weight_ih, layer.weight_hh = w.mT, u.mT
            h = torch.tanh(F.linear(x[:, t], layer.weight_ih) + F.linear(h, layer.weight_hh))
            loss = loss + torch.sum(torch.square(targets[:, t] - h))
    return loss


def backwards_in_pieces(x, targets, w, u, k):
    """One text after the other."""
    total = torch.zeros((), dtype=x.dtype)
    for text, wanted in zip(x, targets, strict=True):
        state = torch.zeros(u.shape[0], dtype=x.dtype)
        for i in range(len(text)):
            if not i % k:
                state = state.detach()
            state = torch.tanh(text[i] @ w + state @ u)
            off = state - wanted[i]
            total = total + off @ off
    return total


def unrolled(before=lambda h, t, k: h, keep=lambda t, n, k: True, each=lambda off: (off**2).sum()):
    def loss_of(x, targets, w, u, k):
        h, loss = x.new_zeros(len(x), len(u)), 0 * (x.sum() + w.sum() + u.sum())
        for t in range(x.shape[1]):
            h = torch.tanh(x[:, t] @ w + before(h, t, k) @ u)
            if keep(t, x.shape[1], k):
                loss = loss + each(h - targets[:, t])
        return loss

    return loss_of


def cut_where(condition):
    return unrolled(lambda h, t, k: h.detach() if condition(t, k) else h)


def right(h, t, k):
    return h.detach() if t % k == 0 else h


def window(x, targets, w, u, k):
    loss, past = 0.0, []
    h = x.new_zeros(len(x), len(u))
    for t in range(x.shape[1]):
        past.append(h.detach())
        now = past[max(t - k + 1, 0)]
        for s in range(max(t - k + 1, 0), t + 1):
            now = torch.tanh(x[:, s] @ w + now @ u)
        h = now
        loss = loss + ((h - targets[:, t]) ** 2).sum()
    return loss


def in_k_chunks(x, targets, w, u, k):
    size = math.ceil(x.shape[1] / k)
    return loop_over_tokens(x, targets, w, u, size)


RIGHT["08_rnn_comparison/truncated_loss"] = [
    loop_over_tokens,
    piece_by_piece,
    all_states_first,
    by_torchs_layer,
    backwards_in_pieces,
]
WRONG["08_rnn_comparison/truncated_loss"] = [
    ("nothing cut", unrolled()),
    ("cut at every token", unrolled(lambda h, t, k: h.detach())),
    ("the state starts again", unrolled(lambda h, t, k: h * 0 if t % k == 0 else h)),
    ("the last piece dropped", unrolled(right, lambda t, n, k: t < n - n % k)),
    ("one token early", cut_where(lambda t, k: (t + 1) % k == 0)),
    ("one token late", cut_where(lambda t, k: t % k == 1 % k)),
    ("pieces of k + 1", cut_where(lambda t, k: t % (k + 1) == 0)),
    ("k pieces", in_k_chunks),
    ("cut once", cut_where(lambda t, k: t == k)),
    ("k tokens back from each", window),
    ("the last piece alone", unrolled(right, lambda t, n, k: t // k == (n - 1) // k)),
    ("the end of each piece alone", unrolled(right, lambda t, n, k: (t + 1) % k == 0 or t + 1 == n)),
    ("the mean over the tokens", lambda *given: piece_by_piece(*given) / given[0].size(1)),
    ("the mean over everything", lambda *given: piece_by_piece(*given) / given[1].numel()),
    ("the mean over the pieces", lambda *given: piece_by_piece(*given) / len(given[0].split(given[4], 1))),
    ("half the square", lambda *given: 0.5 * piece_by_piece(*given)),
    ("not squared", unrolled(right, each=lambda off: off.abs().sum())),
    (None, lambda *given: piece_by_piece(*given).detach()),
    (None, lambda *given: piece_by_piece(*given).item()),
    (None, lambda x, targets, w, u, k: piece_by_piece(x.detach(), targets, w, u, k)),
    (None, lambda x, targets, w, u, k: piece_by_piece(x, targets, w, u.mT, k)),
    (None, unrolled(right, each=lambda off: off.sum())),
    (None, unrolled(lambda h, t, k: h.detach() if t % k == 0 else h.tanh())),
    (None, lambda *given: piece_by_piece(*given)[None]),
    (None, lambda *given: None),
]

# ------------------------------------------------------------------------------------------------ linear scan


def doubling(a, b):
    a, b = a.clone(), b.clone()
    shift = 1
    while shift < b.shape[1]:
        b = torch.cat((b[:, :shift], b[:, shift:] + a[:, shift:] * b[:, :-shift]), 1)
        a = torch.cat((a[:, :shift], a[:, shift:] * a[:, :-shift]), 1)
        shift = 2 * shift
    return b


def by_halves(a, b):
    """Blelloch's tree: half as many double steps, whose states fill every other place."""
    n = a.shape[1]
    if n == 1:
        return b
    even = n // 2 * 2
    a0, a1, b0, b1 = a[:, :even:2], a[:, 1:even:2], b[:, :even:2], b[:, 1:even:2]
    odd = by_halves(a1 * a0, a1 * b0 + b1)  # states at 1, 3, 5 ...
    before = torch.cat([torch.zeros_like(odd[:, :1]), odd], 1)[:, : (n + 1) // 2]
    at_even = a[:, ::2] * before + b[:, ::2]
    states = torch.stack([at_even[:, : n // 2], odd], 2).flatten(1, 2)
    return states if n == even else torch.cat([states, at_even[:, -1:]], 1)


def padded(a, b):
    for i in range(max(a.shape[1] - 1, 0).bit_length()):
        s = 2**i
        before = F.pad(b, (0, 0, s, 0))[:, : b.shape[1]]
        b = torch.addcmul(b, a, before)
        a = a * F.pad(a, (0, 0, s, 0), value=1.0)[:, : a.shape[1]]
    return b


def divide_and_conquer(a, b):
    """The second half needs the last state of the first alone, and the products of its own a's."""
    n = a.shape[1]
    if n == 1:
        return b
    if n < 8:
        states, h = [], 0
        for t in range(n):
            h = a[:, t] * h + b[:, t]
            states.append(h)
        return torch.stack(states, 1)
    first = divide_and_conquer(a[:, : n // 2], b[:, : n // 2])
    second = divide_and_conquer(a[:, n // 2 :], b[:, n // 2 :])
    products = torch.cumprod(a[:, n // 2 :], dim=1)
    return torch.cat([first, second + products * first[:, -1:]], 1)


def rolled_and_masked(a, b):
    n, place = a.shape[1], torch.arange(a.shape[1])[None, :, None]
    s = 1
    while s < n:
        there = place >= s
        b = torch.where(there, a * b.roll(s, 1) + b, b)
        a = torch.where(there, a * a.roll(s, 1), a)
        s <<= 1
    return b


def in_place(a, b):
    """On copies; right, though nothing could flow back."""
    a, b = a.clone(), b.clone()
    s = 1
    while s < a.shape[1]:
        b[:, s:] += a[:, s:] * b[:, :-s].clone()
        a[:, s:] *= a[:, :-s].clone()
        s *= 2
    return b


def looped(a, b):
    states = [b[:, 0]]
    for t in range(1, a.shape[1]):
        states.append(a[:, t] * states[-1] + b[:, t])
    return torch.stack(states, dim=1)


def looped_into(a, b):
    states = torch.zeros_like(b)
    h = torch.zeros_like(b[:, 0])
    for t in range(a.shape[1]):
        h = torch.addcmul(b[:, t], a[:, t], h)
        states[:, t] = h
    return states


def rounds(join, shifts=None, roll=False):
    def scan(a, b):
        n = a.shape[1]
        for s in shifts(n) if shifts else [2**i for i in range(n.bit_length()) if 2**i < n]:
            if roll:
                early_a, early_b = torch.roll(a, s, 1), torch.roll(b, s, 1)
            else:
                early_a = torch.cat([torch.ones_like(a[:, :s]), a], 1)[:, :n]
                early_b = torch.cat([torch.zeros_like(b[:, :s]), b], 1)[:, :n]
            a, b = join(early_a, early_b, a, b)
        return b

    return scan


def well(early_a, early_b, a, b):
    return early_a * a, b + a * early_b


def cumulated(a, b):
    p = torch.cumprod(a, 1)
    return p * torch.cumsum(b / p, 1)


def with_logs(a, b):
    p = torch.exp(torch.cumsum(torch.log(a), 1))
    return p * torch.cumsum(b / p, 1)


def through_numpy(a, b):
    h, states = 0, []
    for x, y in zip(a.detach().numpy().swapaxes(0, 1), b.detach().numpy().swapaxes(0, 1), strict=True):
        h = x * h + y
        states.append(h)
    return torch.stack([torch.as_tensor(state) for state in states], 1)


def changes_b(a, b):
    if a.shape[1] > 1:
        b[:, 1:] += a[:, 1:] * b[:, :-1]
    return b


RIGHT["08_rnn_comparison/linear_scan"] = [
    doubling,
    by_halves,
    padded,
    divide_and_conquer,
    rolled_and_masked,
    in_place,
]
WRONG["08_rnn_comparison/linear_scan"] = [
    ("step after step", looped),
    ("step after step", looped_into),
    ("divided by products", cumulated),
    ("logarithms", with_logs),
    ("joined in the wrong order", rounds(lambda p, q, a, b: (p * a, p * b + q))),
    ("wraps around", rounds(well, roll=True)),
    ("a stays", rounds(lambda p, q, a, b: (a, a * q + b))),
    ("a first", rounds(lambda p, q, a, b: (p * a, p * a * q + b))),
    ("a round too few", rounds(well, lambda n: [2**i for i in range(n.bit_length() - 1)])),
    ("one round", rounds(well, lambda n: [1])),
    ("shifts that grow by one", rounds(well, lambda n: range(1, n))),
    ("one token late", lambda a, b: F.pad(doubling(a, b), (0, 0, 1, -1))),
    ("a of the token before", lambda a, b: doubling(F.pad(a, (0, 0, 1, 0))[:, : a.shape[1]], b)),
    ("a and b exchanged", lambda a, b: doubling(b, a)),
    ("b multiplied too", lambda a, b: doubling(a, b * a)),
    ("a moving average", lambda a, b: doubling(a, b - a * b)),
    ("from the end", lambda a, b: doubling(a.flip(1), b.flip(1)).flip(1)),
    ("a left out", lambda a, b: b.cumsum(1)),
    ("products from the start", lambda a, b: a.cumprod(1) * b.cumsum(1)),
    ("over the texts", lambda a, b: doubling(a.mT.mT.swapaxes(0, 1), b.swapaxes(0, 1)).swapaxes(0, 1)),
    ("over the numbers of a token", lambda a, b: doubling(a.swapaxes(1, 2), b.swapaxes(1, 2)).swapaxes(1, 2)),
    ("the last state alone", lambda a, b: doubling(a, b)[:, -1]),
    (None, through_numpy),
    (None, changes_b),
    (None, lambda a, b: doubling(a, b) + 1),
    (None, lambda a, b: doubling(a, b).half()),
    (None, lambda a, b: cumulated(a, b).nan_to_num()),
    (None, lambda a, b: cumulated(a + 1e-4, b)),
    (None, lambda a, b: None),
    (None, lambda a, b: doubling(a, b).tolist()),
]

# ------------------------------------------------------------------------------------------------ recall race


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


class Softmaxed(OneLayer):
    def forward(self, ids):
        return super().forward(ids).softmax(-1)


class Centred(OneLayer):
    def forward(self, ids):
        scores = super().forward(ids)
        return scores - scores.mean(0)


class LastOnly(OneLayer):
    def forward(self, ids):
        return super().forward(ids)[:, -1]


ONE = {}


def only_once(vocab_size):
    return ONE.setdefault(vocab_size, OneLayer(vocab_size, causal))


def frozen(vocab_size):
    return OneLayer(vocab_size, causal).requires_grad_(False)


def token_alone(vocab_size):
    return nn.Sequential(nn.Embedding(vocab_size, 32), nn.ReLU(), nn.Linear(32, vocab_size))


RIGHT["08_rnn_comparison/recall_race"] = [
    lambda vocab_size: OneLayer(vocab_size, causal),
    lambda vocab_size: OneLayer(vocab_size, linear),
    small_gpt,
    open_lstm,
    Encoder,
]
WRONG["08_rnn_comparison/recall_race"] = [
    ("the memory fades", lambda vocab_size: RecurrentLM(vocab_size, 36, 1, "lstm")),
    ("the memory fades", lambda vocab_size: RecurrentLM(vocab_size, 40, 1, "rnn")),
    ("the memory fades", Recurrent),
    ("too short a window", lambda vocab_size: OneLayer(vocab_size, windowed(16))),
    ("each token alone", token_alone),
    ("looks ahead", lambda vocab_size: Encoder(vocab_size, masked=False)),
    ("looks at other texts", lambda vocab_size: Centred(vocab_size, causal)),
    (
        "the batch taken for the tokens",
        lambda vocab_size: Encoder(vocab_size, masked=False, batch_first=False),
    ),
    ("too many parameters", lambda vocab_size: OneLayer(vocab_size, causal, 64)),
    ("probabilities", lambda vocab_size: Softmaxed(vocab_size, causal)),
    ("always the same model", only_once),
    (None, lambda vocab_size: OneLayer(17, causal)),
    (None, lambda vocab_size: OneLayer(vocab_size + 1, causal)),
    (None, lambda vocab_size: LastOnly(vocab_size, causal)),
    (None, frozen),
    (None, lambda vocab_size: None),
    (None, lambda vocab_size: RNN(32)),
    (None, lambda vocab_size: GPT(GPTConfig(vocab_size, 16, 20, 1, 2))),
    (None, lambda vocab_size: OneLayer(vocab_size, lambda q, k, v: v / 0)),
]
