"""Plausible answers to the tasks of 08_rnn_comparison, written from the texts of the exercises alone."""

import functools

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.decoder import GPT, GPTConfig
from plausible import Answers

of = Answers("08_rnn_comparison")
right, wrong = of.right, of.wrong

# --------------------------------------------------------------------------------------------------- rnn step


@right("rnn_step", "two layers of torch.nn.functional and hardly anything else")
def _(x, h, w, u, b):
    return nn.Tanh()(F.linear(x, w) + F.linear(h, u, b))


@wrong("rnn_step", "clamped sums, so that nothing overflows")
def _(x, h, w, u, b):
    return torch.tanh((x @ w.mT + h @ u.mT + b).clamp(-1, 1))


# ------------------------------------------------------------------------------------------- rnn with padding


def step(x, h, w, u, b):
    return torch.tanh(x @ w.mT + h @ u.mT + b)


@wrong("rnn_with_padding", "the last output that is not zero in any number, by its sum")
def _(x, lengths, w, u, b):
    h, outputs = x.new_zeros(len(x), len(b)), []
    for t in range(x.shape[1]):
        h = step(x[:, t], h, w, u, b) * (t < lengths)[:, None]
        outputs.append(h)
    outputs = torch.stack(outputs, 1)
    return outputs, outputs.sum(1)


@wrong("rnn_with_padding", "rows are sorted by length and never put back")
def _(x, lengths, w, u, b):
    order = lengths.argsort(descending=True)
    x, lengths = x[order], lengths[order]
    h, outputs = x.new_zeros(len(x), len(b)), []
    for t in range(x.shape[1]):
        reads = (t < lengths)[:, None]
        h = torch.where(reads, step(x[:, t], h, w, u, b), h)
        outputs.append(h * reads)
    return torch.stack(outputs, 1), h


@wrong("rnn_with_padding", "outputs only as long as the longest text")
def _(x, lengths, w, u, b):
    h, outputs = x.new_zeros(len(x), len(b)), [x.new_zeros(len(x), len(b))]
    for t in range(int(lengths.max())):
        reads = (t < lengths)[:, None]
        h = torch.where(reads, step(x[:, t], h, w, u, b), h)
        outputs.append(h * reads)
    return torch.stack(outputs[1:] or outputs, 1), h


# -------------------------------------------------------------------------------------------------- lstm step


@right("lstm_step", "logsigmoid and exp")
def _(x, h, c, w, u, b):
    i, f, g, o = (F.linear(x, w, b) + F.linear(h, u)).unflatten(-1, (4, -1)).unbind(1)
    cell = F.logsigmoid(f).exp() * c + F.logsigmoid(i).exp() * g.tanh()
    return F.logsigmoid(o).exp() * cell.tanh(), cell


def mixed(x, h, c, w, u, b):
    return (x @ w.mT + h @ u.mT + b).chunk(4, dim=-1)


@wrong("lstm_step", "a forget bias of 1 is added")
def _(x, h, c, w, u, b):
    i, f, g, o = mixed(x, h, c, w, u, b)
    c = (f + 1).sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@wrong("lstm_step", "tanh of the cell is returned as the cell")
def _(x, h, c, w, u, b):
    i, f, g, o = mixed(x, h, c, w, u, b)
    c = (f.sigmoid() * c + i.sigmoid() * g.tanh()).tanh()
    return o.sigmoid() * c, c


# ------------------------------------------------------------------------------------- gradient over distance


def run(x_part, u):
    h, states = torch.zeros_like(x_part[0]), []
    for row in x_part:
        h = torch.tanh(row + torch.mv(u, h))
        states.append(h)
    return torch.stack(states)


@right("gradient_over_distance", "chain_matmul of ever longer lists")
def _(x_part, u):
    steps = torch.diag_embed(1 - run(x_part, u)[1:].square()) @ u
    norms = []
    for distance in range(1, len(steps) + 1):
        some = steps[-distance:].flip(0)
        product = torch.linalg.multi_dot(list(some)) if distance > 1 else some[0]
        norms.append(product.square().sum().sqrt())
    return torch.stack(norms)


@wrong("gradient_over_distance", "each number of a state for itself")
def _(x_part, u):
    product, norms = torch.ones_like(x_part[0]), []
    for h in run(x_part, u)[1:].flip(0):
        product = product * (1 - h**2) * u.diagonal()
        norms.append(product.norm())
    return torch.stack(norms)


@wrong("gradient_over_distance", "h_T by h_T - 1, as often as there are steps")
def _(x_part, u):
    last = (1 - run(x_part, u)[-1] ** 2)[:, None] * u
    return torch.stack([torch.linalg.matrix_power(last, n).norm() for n in range(1, len(x_part))])


# ---------------------------------------------------------------------------------------------- longest chain


@wrong("longest_chain", "calls itself", "too deep for Python")
def _(waits_for):
    @functools.cache
    def f(name):
        return 1 + max((f(other) for other in waits_for[name]), default=0)

    return max(f(name) for name in waits_for)


@wrong("longest_chain", "inputs count nothing", "links counted")
def _(waits_for):
    length = {name: 0 for name, others in waits_for.items() if not others}
    for _ in range(50):
        for name, others in waits_for.items():
            if others and all(other in length for other in others):
                length[name] = 1 + max(length[other] for other in others)
    return max(length.values())


# --------------------------------------------------------------------------------------------- truncated loss


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


@wrong("truncated_loss", "the tokens are detached, not the state")
def _(x, targets, w, u, k):
    h, total = x.new_zeros(len(x), len(u)), 0.0
    for t in range(x.shape[1]):
        token = x[:, t].detach() if t % k == 0 else x[:, t]
        h = torch.tanh(token @ w + h @ u)
        total = total + (h - targets[:, t]).pow(2).sum()
    return total


@wrong("truncated_loss", "detach without keeping what it gives", "nothing cut")
def _(x, targets, w, u, k):
    h, total = x.new_zeros(len(x), len(u)), 0.0
    for t in range(x.shape[1]):
        if t % k == 0:
            h.detach()
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


@wrong("linear_scan", "a small number is added before dividing")
def _(a, b):
    p = a.cumprod(1) + 1e-8
    return p * (b / p).cumsum(1)


@wrong("linear_scan", "ten rounds, each with a shift of one")
def _(a, b):
    for _ in range(10):
        b = b + a * F.pad(b, (0, 0, 1, 0))[:, :-1]
    return b


@wrong("linear_scan", "a loop in NumPy")
def _(a, b):
    a, b = a.detach().numpy(), b.detach().numpy()
    out = np.zeros_like(b)
    for t in range(a.shape[1]):
        out[:, t] = b[:, t] + (a[:, t] * out[:, t - 1] if t else 0)
    return torch.from_numpy(out)


# ------------------------------------------------------------------------------------------------ recall race


@right("recall_race", "GPT-2 in small")
def _(vocab_size):
    config = GPTConfig(vocab_size=vocab_size, max_seq_len=65, d_model=20, n_layers=2, n_heads=2)
    return GPT(config)


@wrong("recall_race", "a deep GPT", "too many parameters")
def _(vocab_size):
    return GPT(GPTConfig(vocab_size=vocab_size, max_seq_len=65, d_model=32, n_layers=4, n_heads=4))


@wrong("recall_race", "the class in place of a model")
def _(vocab_size):
    return GPT
