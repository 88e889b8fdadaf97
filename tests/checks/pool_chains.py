"""A pool of answers to the tasks on chains, written from the exercises' texts alone. See `pool`."""

import collections
import functools
import math

import numpy as np
import torch
import torch.nn.functional as F
from pool import Pool
from torch import nn

from course_lib.attention import MultiHeadAttention
from course_lib.blocks import TransformerStack
from course_lib.decoder import GPT, GPTConfig, LlamaConfig

POOL = Pool()
right, wrong = POOL.right, POOL.wrong


# ---------------------------------------------------------------------------------------------- longest chain


@right("longest_chain", "a generator in place of a call")
def _(waits_for):
    known = {}

    def work(name):
        best = 0
        for other in waits_for[name]:
            if other not in known:
                yield other
            best = max(best, known[other])
        known[name] = best + 1

    for name in waits_for:
        running = [work(name)] if name not in known else []
        while running:
            needed = next(running[-1], None)
            if needed is None:
                running.pop()
            else:
                running.append(work(needed))
    return max(known.values())


@right("longest_chain", "leaves first: peel off what nobody waits for any more")
def _(waits_for):
    waiting = collections.Counter()
    for others in waits_for.values():
        waiting.update(set(others))
    front, rounds = [name for name in waits_for if not waiting[name]], 0
    while front:
        rounds += 1
        following = []
        for name in front:
            for other in set(waits_for[name]):
                waiting[other] -= 1
                if waiting[other] == 0:
                    following.append(other)
        front = following
    return rounds


@right("longest_chain", "memory filled along a path, deepest first")
def _(waits_for):
    depth, path = {}, list(waits_for)
    while path:
        name = path[-1]
        if name in depth:
            path.pop()
            continue
        open_ones = set(waits_for[name]) - depth.keys()
        if open_ones:
            path += open_ones
        else:
            depth[path.pop()] = 1 + max([0, *(depth[other] for other in waits_for[name])])
    return np.int64(max(depth.values()))


@right("longest_chain", "numbers in place of names, an array of lengths")
def _(waits_for):
    number = {name: i for i, name in enumerate(waits_for)}
    before = [[number[other] for other in set(others)] for others in waits_for.values()]
    after = [[] for _ in before]
    for i, others in enumerate(before):
        for j in others:
            after[j].append(i)
    left = np.array([len(others) for others in before])
    length = np.ones(len(before), int)
    ready = list(np.flatnonzero(left == 0))
    for i in ready:
        for j in after[i]:
            length[j] = max(length[j], length[i] + 1)
            left[j] -= 1
            if left[j] == 0:
                ready.append(j)
    return torch.tensor(length.max())


@wrong("longest_chain", "one operation's own list, followed by its first entry")
def _(waits_for):
    best = 0
    for name in waits_for:
        n, now = 1, name
        while waits_for[now]:
            now = waits_for[now][0]
            n += 1
        best = max(best, n)
    return best


@wrong("longest_chain", "breadth first from the inputs, the first visit counts")
def _(waits_for):
    level = {name: 1 for name, others in waits_for.items() if not others}
    queue = collections.deque(level)
    while queue:
        now = queue.popleft()
        for name, others in waits_for.items():
            if now in others and name not in level:
                level[name] = level[now] + 1
                queue.append(name)
    return max(level.values())


@wrong("longest_chain", "calls itself")
def _(waits_for):
    @functools.cache
    def f(name):
        return 1 + max((f(other) for other in waits_for[name]), default=0)

    return max(f(name) for name in waits_for)


@wrong("longest_chain", "inputs count nothing")
def _(waits_for):
    length = {name: 0 for name, others in waits_for.items() if not others}
    for _ in range(50):
        for name, others in waits_for.items():
            if others and all(other in length for other in others):
                length[name] = 1 + max(length[other] for other in others)
    return max(length.values())


@wrong("longest_chain", "gives up after 50 rounds")
def _(waits_for):
    length = dict.fromkeys(waits_for, 1)
    for _ in range(50):
        for name, others in waits_for.items():
            length[name] = 1 + max((length[other] for other in others), default=0)
    return max(length.values())


@wrong("longest_chain", "the names of the chain in place of its length")
def _(waits_for):
    return list(waits_for)


# -------------------------------------------------------------------------------------------------- truncated


@right("truncated_loss", "the state detached at the end of a piece")
def _(x, targets, w, u, k):
    h = torch.zeros(x.size(0), w.size(1)).to(x)
    total = h.new_tensor(0.0)
    for i in range(x.size(1)):
        h = torch.tanh(x[:, i, :] @ w + h @ u)
        total = total + torch.sum((h - targets[:, i, :]) ** 2)
        if (i + 1) % k == 0:
            h = h.detach()
    return total


@right("truncated_loss", "no state before the first token")
def _(x, targets, w, u, k):
    h, parts = None, []
    for t, (token, wanted) in enumerate(zip(x.transpose(0, 1), targets.transpose(0, 1), strict=True)):
        sums = token @ w
        if h is not None:
            sums = sums + (h.detach() if t % k == 0 else h) @ u
        h = sums.tanh()
        parts.append(F.mse_loss(h, wanted, reduction="sum"))
    return sum(parts)


@right("truncated_loss", "a function for a piece")
def _(x, targets, w, u, k):
    def piece(tokens, wanted, h):
        loss = 0
        for t in range(tokens.shape[1]):
            h = torch.tanh(torch.addmm(tokens[:, t] @ w, h, u))
            loss = loss + (wanted[:, t] - h).norm() ** 2
        return loss, h

    h, total = x.new_zeros(x.shape[0], w.shape[1]), 0
    for start in range(0, x.shape[1], k):
        loss, h = piece(x[:, start : start + k], targets[:, start : start + k], h.detach())
        total = total + loss
    return total


@right("truncated_loss", "states known in advance, without gradients")
def _(x, targets, w, u, k):
    with torch.no_grad():
        known = [x.new_zeros(len(x), len(u))]
        for t in range(x.shape[1]):
            known.append(torch.tanh(x[:, t] @ w + known[-1] @ u))
    total = 0.0
    h = known[0]
    for t in range(x.shape[1]):
        h = known[t] if t % k == 0 else h
        h = torch.tanh(x[:, t] @ w + h @ u)
        total = total + (h - targets[:, t]).pow(2).sum()
    return total


@wrong("truncated_loss", "the tokens are detached, not the state")
def _(x, targets, w, u, k):
    h, total = x.new_zeros(len(x), len(u)), 0.0
    for t in range(x.shape[1]):
        token = x[:, t].detach() if t % k == 0 else x[:, t]
        h = torch.tanh(token @ w + h @ u)
        total = total + (h - targets[:, t]).pow(2).sum()
    return total


@wrong("truncated_loss", "detach without keeping what it gives")
def _(x, targets, w, u, k):
    h, total = x.new_zeros(len(x), len(u)), 0.0
    for t in range(x.shape[1]):
        if t % k == 0:
            h.detach()
        h = torch.tanh(x[:, t] @ w + h @ u)
        total = total + (h - targets[:, t]).pow(2).sum()
    return total


@wrong("truncated_loss", "only the last k tokens have a gradient")
def _(x, targets, w, u, k):
    h, total = x.new_zeros(len(x), len(u)), 0.0
    for t in range(x.shape[1]):
        if t == x.shape[1] - k:
            h = h.detach()
        h = torch.tanh(x[:, t] @ w + h @ u)
        total = total + (h - targets[:, t]).pow(2).sum()
    return total


@wrong("truncated_loss", "backward on each piece, and a number comes back")
def _(x, targets, w, u, k):
    h, total = x.new_zeros(len(x), len(u)), 0.0
    for t in range(x.shape[1]):
        h = torch.tanh(x[:, t].detach() @ w.detach() + h @ u.detach())
        total += float((h - targets[:, t].detach()).pow(2).sum())
    return torch.tensor(total, dtype=x.dtype)


@wrong("truncated_loss", "a state of ones")
def _(x, targets, w, u, k):
    h, total = x.new_ones(len(x), len(u)), 0.0
    for t in range(x.shape[1]):
        h = torch.tanh(x[:, t] @ w + (h.detach() if t % k == 0 else h) @ u)
        total = total + (h - targets[:, t]).pow(2).sum()
    return total


@wrong("truncated_loss", "one loss for each text")
def _(x, targets, w, u, k):
    h, total = x.new_zeros(len(x), len(u)), 0.0
    for t in range(x.shape[1]):
        h = torch.tanh(x[:, t] @ w + (h.detach() if t % k == 0 else h) @ u)
        total = total + (h - targets[:, t]).pow(2).sum(-1)
    return total


# ------------------------------------------------------------------------------------------------ linear scan


@right("linear_scan", "matrices of two by two, multiplied in rounds")
def _(a, b):
    rows = torch.stack(
        [torch.stack([a, b], -1), torch.stack([torch.zeros_like(a), torch.ones_like(b)], -1)], -2
    )
    s = 1
    while s < a.shape[1]:
        rows = torch.cat([rows[:, :s], rows[:, s:] @ rows[:, :-s]], 1)
        s *= 2
    return rows[..., 0, 1]


@right("linear_scan", "filled up to a power of two, then up and down a tree")
def _(a, b):
    n = a.shape[1]
    rounds = math.ceil(math.log2(n)) if n > 1 else 0
    a = F.pad(a, (0, 0, 0, 2**rounds - n), value=1.0)
    b = F.pad(b, (0, 0, 0, 2**rounds - n))
    levels = [(a, b)]
    for _ in range(rounds):
        a, b = levels[-1]
        levels.append((a[:, 1::2] * a[:, ::2], a[:, 1::2] * b[:, ::2] + b[:, 1::2]))
    before = torch.zeros_like(b[:, :1])
    for a, b in reversed(levels[:-1]):
        before = torch.stack([before, a[:, ::2] * before + b[:, ::2]], 2).flatten(1, 2)
    a, b = levels[0]
    return (a * before + b)[:, :n]


@right("linear_scan", "calls itself on pairs")
def _(a, b):
    def solve(a, b):
        if a.shape[1] == 1:
            return b
        if a.shape[1] % 2:
            return solve(F.pad(a, (0, 0, 0, 1)), F.pad(b, (0, 0, 0, 1)))[:, :-1]
        later = solve(a[:, 0::2] * a[:, 1::2], b[:, 0::2] * a[:, 1::2] + b[:, 1::2])
        early = F.pad(later, (0, 0, 1, 0))[:, :-1] * a[:, 0::2] + b[:, 0::2]
        return torch.stack((early, later), dim=2).reshape(b.shape)

    return solve(a, b)


@right("linear_scan", "tokens first, in float64")
def _(a, b):
    x, y = a.double().movedim(1, 0), b.double().movedim(1, 0)
    for power in range(12):
        s = 1 << power
        if s >= len(x):
            break
        moved = torch.cat([y.new_zeros(s, *y.shape[1:]), y[:-s]])
        y = y + x * moved
        x = x * torch.cat([x.new_ones(s, *x.shape[1:]), x[:-s]])
    return y.movedim(0, 1).to(b.dtype)


@right("linear_scan", "halves joined: all that come later get the last state of those before")
def _(a, b):
    if a.shape[1] == 1:
        return b
    half = a.shape[1] // 2

    def both(a, b):
        if a.shape[1] == 1:
            return a, b
        m = a.shape[1] // 2
        a_left, h_left = both(a[:, :m], b[:, :m])
        a_right, h_right = both(a[:, m:], b[:, m:])
        return (
            torch.cat([a_left, a_right * a_left[:, -1:]], 1),
            torch.cat([h_left, h_right + a_right * h_left[:, -1:]], 1),
        )

    (_, left), (products, own) = both(a[:, :half], b[:, :half]), both(a[:, half:], b[:, half:])
    return torch.cat([left, own + products * left[:, -1:]], 1)


@wrong("linear_scan", "a small number is added before dividing")
def _(a, b):
    p = a.cumprod(1) + 1e-8
    return p * (b / p).cumsum(1)


@wrong("linear_scan", "a loop over lists of halves of the text")
def _(a, b):
    h, out = torch.zeros_like(b[:, 0]), torch.empty_like(b)
    for t, (x, y) in enumerate(zip(a.unbind(1), b.unbind(1), strict=True)):
        h = x * h + y
        out[:, t] = h
    return out


@wrong("linear_scan", "ten rounds, each with a shift of one")
def _(a, b):
    for _ in range(10):
        b = b + a * F.pad(b, (0, 0, 1, 0))[:, :-1]
    return b


@wrong("linear_scan", "a convolution with the first a")
def _(a, b):
    n = a.shape[1]
    back = (torch.arange(n)[:, None] - torch.arange(n)).clamp(min=0)
    return torch.einsum("ts,bsd->btd", (a[0, 0, 0] ** back).tril(), b)


@wrong("linear_scan", "the size of a through logarithms, the sign forgotten")
def _(a, b):
    p = a.abs().clamp(min=1e-30).log().cumsum(1).exp()
    return p * (b / p).cumsum(1)


@wrong("linear_scan", "a loop in NumPy")
def _(a, b):
    a, b = a.detach().numpy(), b.detach().numpy()
    out = np.zeros_like(b)
    for t in range(a.shape[1]):
        out[:, t] = b[:, t] + (a[:, t] * out[:, t - 1] if t else 0)
    return torch.from_numpy(out)


# ------------------------------------------------------------------------------------------------ recall race


@right("recall_race", "the library's stack, no positions")
def _(vocab_size):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(vocab_size, 24)
            self.stack = TransformerStack(24, 1, 3, 48, causal=True)

        def forward(self, ids):
            return self.stack(self.table(ids)) @ self.table.weight.T

    return Model()


@right("recall_race", "the library's attention, and nothing else")
def _(vocab_size):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(vocab_size, 32)
            self.attention = MultiHeadAttention(32, 4, causal=True)
            self.head = nn.Linear(32, vocab_size)

        def forward(self, ids):
            x = self.table(ids)
            return self.head(x + self.attention(x))

    return Model()


@right("recall_race", "GPT-2 in small")
def _(vocab_size):
    config = GPTConfig(vocab_size=vocab_size, max_seq_len=65, d_model=20, n_layers=2, n_heads=2)
    return GPT(config)


@right("recall_race", "Llama in small")
def _(vocab_size):
    config = LlamaConfig(vocab_size=vocab_size, max_seq_len=65, d_model=16, n_layers=2, n_heads=2)
    return GPT(config)


@right("recall_race", "branches of zero at the start")
def _(vocab_size):
    model = GPT(GPTConfig(vocab_size=vocab_size, max_seq_len=65, d_model=20, n_layers=1, n_heads=2))
    for block in model.stack.blocks:
        nn.init.zeros_(block.attention.out_proj.weight)
        nn.init.zeros_(block.feed_forward.down_proj.weight)
    return model


@wrong("recall_race", "a deep GPT")
def _(vocab_size):
    return GPT(GPTConfig(vocab_size=vocab_size, max_seq_len=65, d_model=32, n_layers=4, n_heads=4))


@wrong("recall_race", "torch's LSTM")
def _(vocab_size):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(vocab_size, 32)
            self.lstm = nn.LSTM(32, 32, batch_first=True)
            self.head = nn.Linear(32, vocab_size)

        def forward(self, ids):
            return self.head(self.lstm(self.table(ids))[0])

    return Model()


@wrong("recall_race", "convolutions over the last five tokens")
def _(vocab_size):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(vocab_size, 32)
            self.mix = nn.Conv1d(32, 32, 5)
            self.head = nn.Linear(32, vocab_size)

        def forward(self, ids):
            x = F.pad(self.table(ids).mT, (4, 0))
            return self.head(self.mix(x).mT.relu())

    return Model()


@wrong("recall_race", "an encoder")
def _(vocab_size):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(vocab_size, 24)
            self.stack = TransformerStack(24, 1, 3, 48, causal=False)

        def forward(self, ids):
            return self.stack(self.table(ids)) @ self.table.weight.T

    return Model()


@wrong("recall_race", "the class in place of a model")
def _(vocab_size):
    return GPT


@wrong("recall_race", "scores for the last place alone")
def _(vocab_size):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(vocab_size, 24)
            self.head = nn.Linear(24, vocab_size)

        def forward(self, ids):
            return self.head(self.table(ids).mean(1))

    return Model()
