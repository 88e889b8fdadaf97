"""Answers to rnn_with_padding, as learners write them."""

import torch
import torch.nn.functional as F
from torch import nn


def step_by_linear(x, h, w, u, b):
    return torch.tanh(F.linear(x, w, b) + F.linear(h, u))


def step_by_einsum(x, h, w, u, b):
    return (torch.einsum("bi,di->bd", x, w) + torch.einsum("be,de->bd", h, u) + b).tanh()


def step_by_one_matrix(x, h, w, u, b):
    """Token and state side by side, as in many books."""
    return torch.tanh(torch.cat([x, h], 1) @ torch.cat([w, u], 1).t() + b[None])


def step_by_cell(x, h, w, u, b):
    return torch.rnn_tanh_cell(x, h, w, u, b, torch.zeros_like(b))


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


def padded_into_zeros(x, lengths, w, u, b):
    """Only the rows that still read are computed, and their results put in their places."""
    h = x.new_zeros(x.shape[0], w.shape[0])
    outputs = x.new_zeros(*x.shape[:2], w.shape[0])
    for t in range(x.shape[1]):
        rows = (lengths > t).nonzero()[:, 0]
        if len(rows) == 0:
            break
        new = step_by_linear(x[rows, t], h[rows], w, u, b)
        h = h.index_copy(0, rows, new)
        outputs[rows, t] = new
    return outputs, h


def padded_then_gathered(x, lengths, w, u, b):
    """Read everything; then mask, and take each row's last state, with zeros in front of all."""
    states = [x.new_zeros(len(x), len(b))]
    for token in x.unbind(1):
        states.append(step_by_one_matrix(token, states[-1], w, u, b))
    table = torch.stack(states, 1)  # (B, T + 1, D)
    last = table[torch.arange(len(x)), lengths]
    padding = torch.arange(x.shape[1]) >= lengths[:, None]
    return table[:, 1:].masked_fill(padding[..., None], 0.0), last


def padded_on_copies(x, lengths, w, u, b):
    """In place, on copies."""
    outputs = torch.zeros(x.shape[0], x.shape[1], len(b), dtype=x.dtype)
    h = outputs[:, 0].clone()
    for t in range(x.shape[1]):
        ends = lengths <= t
        new = step_by_einsum(x[:, t], h, w, u, b)
        kept = new.clone()
        kept[ends] = h[ends]
        outputs[:, t] = kept.masked_fill(ends[:, None], 0)
        h = kept
    return [outputs, h]


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
    end=lambda h, outputs, lengths: h,
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
        outputs = torch.stack(outputs, 1)
        return outputs, end(h, outputs, lengths)

    return answer


def start_forgotten_between_rows(x, lengths, w, u, b):
    """The start stands outside of the loop over the rows."""
    h = x.new_zeros(len(b))
    outputs, ends = x.new_zeros(*x.shape[:2], len(b)), []
    for i, n in enumerate(lengths.tolist()):
        for t in range(n):
            h = torch.tanh(w @ x[i, t] + u @ h + b)
            outputs[i, t] = h
        ends.append(h)
    return outputs, torch.stack(ends)


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


def zeroed_input(x, lengths, w, u, b):
    x[torch.arange(x.shape[1]) >= lengths[:, None]] = 0
    return padded_row_by_row(x, lengths, w, u, b)


def up_to_the_longest(x, lengths, w, u, b):
    n = int(lengths.max())
    outputs, last = padding()(x[:, :n], lengths, w, u, b)
    return F.pad(outputs, (0, 0, 0, x.shape[1] - n)), last


def not_padded_again(x, lengths, w, u, b):
    """As pad_packed_sequence does it."""
    outputs, last = padding()(x, lengths, w, u, b)
    return outputs[:, : lengths.max()], last


def stacked_in_front(x, lengths, w, u, b):
    """torch.stack puts the new axis in front, unless it is told otherwise."""
    outputs, last = padding()(x, lengths, w, u, b)
    return torch.stack(outputs.unbind(1)), last


RIGHT = [
    padded_row_by_row,
    padded_by_products,
    padded_into_zeros,
    padded_then_gathered,
    padded_on_copies,
    padded_sorted,
    padding(),
]
WRONG = [
    ("padding as zeros", cleared_first),
    ("zeros at the end", padding(keep=lambda new, h, reads: new * reads)),
    ("padding known by its zeros", padding(reads=lambda x, lengths, t: x[:, t].abs().sum(-1) > 0)),
    ("one state for all rows", start_forgotten_between_rows),
    ("columns before rows", stacked_in_front),
    (None, packed),
    (None, up_to_the_longest),
    (None, not_padded_again),
    (None, padding(reads=lambda x, lengths, t: (lengths > t) & (x[:, t] != 0).any(-1))),
    (None, lambda x, lengths, *given: padding()(x, lengths.clamp(min=1), *given)),
    (None, overwritten_state),
    (None, zeroed_input),
    (None, padding(step=step_by_cell)),
    (None, lambda *given: padding()(*given)[0]),
    (None, lambda *given: [part.detach() for part in padding()(*given)]),
    (None, padding(step=lambda x, h, w, u, b: x @ w.T + h @ u.T + b)),
    (None, padding(end=lambda h, outputs, lengths: outputs.sum(1))),
    (None, padding(end=lambda h, outputs, lengths: outputs.mean(1))),
    (None, padding(end=lambda h, outputs, lengths: h[:, None])),
    (None, lambda x, lengths, *given: padding()(x.flip(1), lengths, *given)),
    (None, lambda x, lengths, *given: padding()(x.roll(1, 0), lengths, *given)),
    (None, lambda x, lengths, *given: padding()(x, lengths.sort().values, *given)),
]
