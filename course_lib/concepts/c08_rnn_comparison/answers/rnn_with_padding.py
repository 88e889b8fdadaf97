"""Answers to rnn_with_padding, as learners write them."""

import torch
import torch.nn.functional as F
from torch import nn

from course_lib.concepts.c08_rnn_comparison.answers.rnn_step import step_by_cell, step_by_one_matrix


def step_by_linear(x, h, w, u, b):
    return torch.tanh(F.linear(x, w, b) + F.linear(h, u))


def padded_row_by_row(x, lengths, w, u, b):
    outputs, ends = [], []
    for row, n in zip(x, lengths.tolist(), strict=True):
        h = torch.zeros(len(b), dtype=x.dtype)
        states = []
        for token in row[:n]:
            h = torch.tanh(w @ token + u @ h + b)
            states.append(h)
        states += [torch.zeros_like(h)] * (len(row) - n)
        outputs.append(torch.stack(states))
        ends.append(h)
    return torch.stack(outputs), torch.stack(ends)


def padded_by_products(x, lengths, w, u, b):
    """1 and 0 instead of a condition."""
    batch, n_columns, _ = x.shape
    mask = (torch.arange(n_columns).expand(batch, -1) < lengths.unsqueeze(1)).to(x.dtype)
    h = x.new_zeros(batch, u.shape[0])
    from_x = x @ w.mT + b
    outputs = []
    for t in range(n_columns):
        m = mask[:, t : t + 1]
        h = m * torch.tanh(from_x[:, t] + h @ u.mT) + (1 - m) * h
        outputs.append(m * h)
    return torch.stack(outputs, dim=1), h


def padded_then_gathered(x, lengths, w, u, b):
    """Read everything; then mask, and take each row's last state, with zeros in front of all."""
    states = [x.new_zeros(len(x), len(b))]
    for token in x.unbind(1):
        states.append(step_by_one_matrix(token, states[-1], w, u, b))
    table = torch.stack(states, 1)  # (B, T + 1, D)
    last = table[torch.arange(len(x)), lengths]
    padding = torch.arange(x.shape[1]) >= lengths[:, None]
    return table[:, 1:].masked_fill(padding[..., None], 0.0), last


def padded_sorted(x, lengths, w, u, b):
    """The longest first, so that those that read are always the first ones."""
    order = lengths.argsort(descending=True)
    back = order.argsort()
    h = x.new_zeros(len(x), len(b))
    outputs = []
    for t in range(x.shape[1]):
        n = int((lengths > t).sum())
        new = step_by_linear(x[order[:n], t], h[:n], w, u, b)
        h = torch.cat([new, h[n:]])
        outputs.append(F.pad(new, (0, 0, 0, len(x) - n)))
    return torch.stack(outputs, 1)[back], h[back]


def padding(
    reads=lambda x, lengths, t: lengths > t,
    keep=lambda new, h, reads: torch.where(reads, new, h),
    step=step_by_linear,
):
    """An answer with one thing exchanged."""

    def answer(x, lengths, w, u, b):
        h = x.new_zeros(len(x), len(b))
        outputs = []
        for t in range(x.shape[1]):
            now = reads(x, lengths, t)[:, None]
            new = step(x[:, t], h, w, u, b)
            h = keep(new, h, now)
            outputs.append(torch.where(now, new, 0))
        return torch.stack(outputs, 1), h

    return answer


def cleared_first(x, lengths, w, u, b):
    """Padding is set to 0 before everything is read."""
    mask = torch.arange(x.shape[1]) < lengths[:, None]
    states, last = padding()(x * mask[..., None], torch.full_like(lengths, x.shape[1]), w, u, b)
    return states * mask[..., None], last


def packed(x, lengths, w, u, b):
    """nn.RNN does it."""
    network = nn.RNN(w.shape[1], w.shape[0], batch_first=True, dtype=x.dtype)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    parameters = dict(zip(names, (w, u, b, 0 * b), strict=True))
    outputs, _ = torch.func.functional_call(network, parameters, (x,))
    _, last = padding()(x, lengths, w, u, b)
    return torch.where((torch.arange(x.shape[1]) < lengths[:, None])[..., None], outputs, 0), last


def overwritten_state(x, lengths, w, u, b):
    """In place, where the graph still needs what was there."""
    h = x.new_zeros(len(x), len(b))
    outputs = []
    for t in range(x.shape[1]):
        new = step_by_linear(x[:, t], h, w, u, b)
        h[lengths > t] = new[lengths > t]
        outputs.append(new * (lengths > t)[:, None])
    return torch.stack(outputs, 1), h


def up_to_the_longest(x, lengths, w, u, b):
    n = int(lengths.max())
    outputs, last = padding()(x[:, :n], lengths, w, u, b)
    return F.pad(outputs, (0, 0, 0, x.shape[1] - n)), last


RIGHT = [
    padded_row_by_row,
    padded_by_products,
    padded_then_gathered,
    padded_sorted,
    padding(),
]
WRONG = [
    ("padding as zeros", cleared_first),
    ("zeros at the end", padding(keep=lambda new, h, reads: new * reads)),
    ("padding known by its zeros", padding(reads=lambda x, lengths, t: x[:, t].abs().sum(-1) > 0)),
    (None, packed),
    ("a stack of no outputs", up_to_the_longest),
    ("zeros taken for padding", padding(reads=lambda x, lengths, t: (lengths > t) & (x[:, t] != 0).any(-1))),
    (None, lambda x, lengths, *given: padding()(x, lengths.clamp(min=1), *given)),
    (None, overwritten_state),
    (None, padding(step=step_by_cell)),
    (None, padding(step=lambda x, h, w, u, b: x @ w.T + h @ u.T + b)),
]
