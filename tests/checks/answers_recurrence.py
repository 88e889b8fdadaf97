"""Wrong and correct answers to the tasks of 08_rnn_comparison on recurrence, as learners write them."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import recurrent

RIGHT, WRONG = {}, {}

# -------------------------------------------------------------------------------------------------- RNN step


def step_by_linear(x, h, w, u, b):
    return torch.tanh(F.linear(x, w, b) + F.linear(h, u))


def step_by_einsum(x, h, w, u, b):
    return (torch.einsum("bi,di->bd", x, w) + torch.einsum("be,de->bd", h, u) + b).tanh()


def step_row_by_row(x, h, w, u, b):
    return torch.stack([torch.tanh(w @ token + u @ state + b) for token, state in zip(x, h, strict=True)])


def step_by_one_matrix(x, h, w, u, b):
    """Token and state side by side, as in many books."""
    return torch.tanh(torch.cat([x, h], 1) @ torch.cat([w, u], 1).t() + b[None])


def step_in_columns(x, h, w, u, b):
    """Texts as columns, and tanh by a sigmoid."""
    sums = w @ x.T + u @ h.T + b[:, None]
    return (2 * torch.sigmoid(2 * sums) - 1).T


def step_by_sums(x, h, w, u, b):
    sums = (x[:, None, :] * w).sum(-1)
    sums += (h[:, None, :] * u).sum(-1)
    sums += b
    return sums.tanh_()


def step_in_double(x, h, w, u, b):
    sums = torch.addmm(b.double(), x.double(), w.double().mT).addmm(h.double(), u.double().mT)
    return torch.tanh(sums).to(x.dtype)


def step_by_cell(x, h, w, u, b):
    return torch.rnn_tanh_cell(x, h, w, u, b, torch.zeros_like(b))


def step_by_module(x, h, w, u, b):
    cell = nn.RNNCell(w.shape[1], w.shape[0], dtype=x.dtype)
    parameters = {"weight_ih": w, "weight_hh": u, "bias_ih": b, "bias_hh": torch.zeros_like(b)}
    return torch.func.functional_call(cell, parameters, (x, h))


def step_by_library(x, h, w, u, b):
    def step(sums, h):
        return (sums.tanh(),)

    outputs, _ = recurrent.unroll(step, x[:, None], (h[None],), [[w, u, b, 0 * b]])
    return outputs[:, 0]


def stepping(tanh=torch.tanh, w_side=lambda w: w.T, u_side=lambda u: u.T):
    """An answer with one thing exchanged."""
    return lambda x, h, w, u, b: tanh(x @ w_side(w) + h @ u_side(u) + b)


def tanh_by_exp(sums):
    return (torch.exp(2 * sums) - 1) / (torch.exp(2 * sums) + 1)


def tanh_of_the_book(sums):
    return (torch.exp(sums) - torch.exp(-sums)) / (torch.exp(sums) + torch.exp(-sums))


def step_in_place(x, h, w, u, b):
    h.copy_(step_by_linear(x, h, w, u, b))
    return h


RIGHT["08_rnn_comparison/rnn_step"] = [
    step_by_linear,
    step_by_einsum,
    step_by_one_matrix,
    step_in_columns,
    step_row_by_row,
    step_by_sums,
    step_in_double,
]
WRONG["08_rnn_comparison/rnn_step"] = [
    ("no tanh", stepping(lambda sums: sums)),
    ("a sigmoid", stepping(torch.sigmoid)),
    ("negative numbers cut", stepping(lambda sums: sums.clamp(min=0))),
    ("overflow", stepping(tanh_of_the_book)),
    ("overflow", stepping(lambda sums: torch.sinh(sums) / torch.cosh(sums))),
    ("overflow on one side", stepping(tanh_by_exp)),
    ("the state not read", lambda x, h, w, u, b: F.linear(x, w, b).tanh() + 0 * h @ u),
    ("the state not read", lambda x, h, w, u, b: torch.tanh(x @ w.T + b) + 0 * (h.sum() + u.sum())),
    ("the token not read", lambda x, h, w, u, b: torch.tanh(h @ u.T + b) + 0 * (x.sum() + w.sum())),
    ("no bias", lambda x, h, w, u, b: torch.tanh(x @ w.T + h @ u.T) + 0 * b),
    ("h U instead of U h", stepping(u_side=lambda u: u)),
    ("x W instead of W x", stepping(w_side=lambda w: w)),
    ("both on the wrong side", stepping(w_side=lambda w: w, u_side=lambda u: u)),
    ("the state outside of tanh", lambda x, h, w, u, b: torch.tanh(x @ w.T + b) + h @ u.T),
    ("b outside of tanh", lambda x, h, w, u, b: torch.tanh(x @ w.T + h @ u.T) + b),
    ("each part its own tanh", lambda x, h, w, u, b: torch.tanh(x @ w.T) + torch.tanh(h @ u.T + b)),
    ("added to the state", lambda x, h, w, u, b: h + torch.tanh(x @ w.T + h @ u.T + b)),
    (None, step_in_place),
    (None, step_by_cell),
    (None, step_by_module),
    (None, step_by_library),
    (None, lambda *given: step_by_linear(*given).detach()),
    (None, lambda *given: torch.tensor(step_by_linear(*given).tolist())),
    (None, lambda *given: step_by_linear(*given).mT),
    (None, lambda *given: step_by_linear(*given)[0]),
    (None, lambda *given: (step_by_linear(*given), given[1])),
    (None, lambda x, h, w, u, b: torch.tanh((x @ w.T) * (h @ u.T) + b)),
    (None, lambda x, h, w, u, b: torch.tanh((x @ w.T + h @ u.T + b) / 2)),
    (None, lambda x, h, w, u, b: torch.tanh(x @ w.T + torch.tanh(h) @ u.T + b)),
    (None, lambda x, h, w, u, b: torch.tanh(x @ w.T + b + h.mean(0) @ u.T)),
]

# ------------------------------------------------------------------------------------------ RNN with padding


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
    output=lambda new, h, before, reads: torch.where(reads, new, 0),
    end=lambda h, outputs, lengths: h,
    step=step_by_linear,
):
    """An answer with one thing exchanged."""

    def answer(x, lengths, w, u, b):
        h = x.new_zeros(len(x), len(b))
        outputs = []
        for t in range(x.shape[1]):
            now = reads(x, lengths, t)[:, None]
            before, new = h, step(x[:, t], h, w, u, b)
            h = keep(new, h, now)
            outputs.append(output(new, h, before, now))
        outputs = torch.stack(outputs, 1)
        return outputs, end(h, outputs, lengths)

    return answer


def gathered_at_minus_one(x, lengths, w, u, b):
    states = padding(reads=lambda x, lengths, t: lengths > -1)(x, lengths, w, u, b)[0]
    outputs = states * (torch.arange(x.shape[1]) < lengths[:, None])[..., None]
    index = (lengths - 1)[:, None, None] % x.shape[1]
    return outputs, states.gather(1, index.expand(-1, 1, states.shape[-1]))[:, 0]


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
    states, last = padding(reads=lambda x, lengths, t: lengths > -1)(
        x.masked_fill(~mask[..., None], 0), lengths, w, u, b
    )
    return states * mask[..., None], last


def packed(x, lengths, w, u, b):
    """nn.RNN does it."""
    network = nn.RNN(w.shape[1], w.shape[0], batch_first=True, dtype=x.dtype)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    parameters = dict(zip(names, (w, u, b, 0 * b), strict=True))
    outputs, _ = torch.func.functional_call(network, parameters, (x,))
    padded = padding(reads=lambda x, lengths, t: lengths > t)(x, lengths, w, u, b)
    return torch.where((torch.arange(x.shape[1]) < lengths[:, None])[..., None], outputs, 0), padded[1]


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


def stacked_in_front(x, lengths, w, u, b):
    """torch.stack puts the new axis in front, unless it is told otherwise."""
    outputs, last = padding()(x, lengths, w, u, b)
    return torch.stack(outputs.unbind(1)), last


everything_read = padding(reads=lambda x, lengths, t: lengths > -1)

RIGHT["08_rnn_comparison/rnn_with_padding"] = [
    padded_row_by_row,
    padded_by_products,
    padded_into_zeros,
    padded_then_gathered,
    padded_on_copies,
    padded_sorted,
    padding(),
]
WRONG["08_rnn_comparison/rnn_with_padding"] = [
    ("lengths ignored", everything_read),
    ("the state reads padding", padding(keep=lambda new, h, reads: new)),
    ("padding as zeros", cleared_first),
    ("zeros at the end", padding(end=lambda h, outputs, lengths: outputs[:, -1])),
    ("zeros at the end", padding(keep=lambda new, h, reads: new * reads)),
    ("outputs not zeroed", padding(output=lambda new, h, before, reads: h)),
    ("outputs of padding", lambda *given: (everything_read(*given)[0], padding()(*given)[1])),
    ("one token too few", padding(reads=lambda x, lengths, t: lengths - 1 > t)),
    ("one token too many", padding(reads=lambda x, lengths, t: lengths >= t)),
    ("the longest decides", padding(reads=lambda x, lengths, t: (lengths > -1) & bool(t < lengths.max()))),
    ("the shortest decides", padding(reads=lambda x, lengths, t: (lengths > -1) & bool(t < lengths.min()))),
    ("padding known by its zeros", padding(reads=lambda x, lengths, t: x[:, t].abs().sum(-1) > 0)),
    ("padding in front", padding(reads=lambda x, lengths, t: x.shape[1] - t <= lengths)),
    ("only padding read", padding(reads=lambda x, lengths, t: lengths <= t)),
    ("an empty row read from its end", gathered_at_minus_one),
    ("one state for all rows", start_forgotten_between_rows),
    (
        "the state before the token",
        padding(output=lambda new, h, before, reads: torch.where(reads, before, 0)),
    ),
    (
        "the state not handed on",
        padding(step=lambda x, h, w, u, b: torch.tanh(x @ w.T + b) + 0 * h @ u),
    ),
    ("h U instead of U h", padding(step=stepping(u_side=lambda u: u))),
    ("columns before rows", stacked_in_front),
    ("results exchanged", lambda *given: padding()(*given)[::-1]),
    (None, packed),
    (None, overwritten_state),
    (None, zeroed_input),
    (None, padding(step=step_by_cell)),
    (None, lambda *given: padding()(*given)[0]),
    (None, lambda *given: [part.detach() for part in padding()(*given)]),
    (None, padding(step=stepping(lambda sums: sums))),
    (None, padding(end=lambda h, outputs, lengths: outputs.sum(1))),
    (None, padding(end=lambda h, outputs, lengths: outputs.mean(1))),
    (None, padding(end=lambda h, outputs, lengths: h[:, None])),
    (None, lambda x, lengths, *given: padding()(x.flip(1), lengths, *given)),
    (None, lambda x, lengths, *given: padding()(x.roll(1, 0), lengths, *given)),
    (None, lambda x, lengths, *given: padding()(x, lengths.sort().values, *given)),
]

# ------------------------------------------------------------------------------------------------- LSTM step


def lstm_by_linear(x, h, c, w, u, b):
    gates = F.linear(x, w, b) + F.linear(h, u)
    i, f, g, o = torch.split(gates, c.shape[1], dim=1)
    new = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(new), new


def lstm_gate_by_gate(x, h, c, w, u, b):
    n = h.shape[-1]

    def sums(k):
        rows = slice(k * n, (k + 1) * n)
        return x @ w[rows].T + h @ u[rows].T + b[rows]

    cell = torch.sigmoid(sums(1)).mul(c).add(torch.sigmoid(sums(0)).mul(torch.tanh(sums(2))))
    return torch.sigmoid(sums(3)).mul(torch.tanh(cell)), cell


def lstm_by_einsum(x, h, c, w, u, b):
    d = c.shape[1]
    sums = torch.einsum("bi,kdi->kbd", x, w.reshape(4, d, -1)) + torch.einsum(
        "be,kde->kbd", h, u.reshape(4, d, d)
    )
    sums = sums + b.reshape(4, 1, d)
    i, f, o = (sums[k].sigmoid() for k in (0, 1, 3))
    cell = torch.addcmul(i * sums[2].tanh(), f, c)
    return [o * cell.tanh(), cell]


def lstm_by_exponentials(x, h, c, w, u, b):
    """Sigmoids by hand; 1 / (1 + inf) is 0."""
    together = torch.cat([x, h], -1) @ torch.cat([w, u], -1).mT + b
    n = c.size(-1)
    i, f, o = (1 / (1 + torch.exp(-together[:, k * n : k * n + n])) for k in (0, 1, 3))
    cell = f * c + i * torch.tanh(together[:, 2 * n : 3 * n])
    return o * torch.tanh(cell), cell


def lstm_text_by_text(x, h, c, w, u, b):
    rows = []
    for token, state, memory in zip(x, h, c, strict=True):
        i, f, g, o = (w @ token + u @ state + b).view(4, -1)
        now = memory * f.sigmoid()
        now = now + g.tanh() * i.sigmoid()
        rows.append((now.tanh() * o.sigmoid(), now))
    outputs, cells = zip(*rows, strict=True)
    return torch.stack(outputs), torch.stack(cells)


def lstm_by_tanh(x, h, c, w, u, b):
    """A sigmoid is a tanh of half, moved; in place, on copies."""
    sums = (x @ w.mT + h @ u.mT + b).reshape(len(x), 4, -1)
    half = (torch.tanh(sums[:, [0, 1, 3]] / 2) + 1) / 2
    cell = c.clone()
    cell = cell * half[:, 1]
    cell += half[:, 0] * sums[:, 2].tanh()
    return cell.tanh() * half[:, 2], cell


def lstm_by_cell(x, h, c, w, u, b):
    return torch.lstm_cell(x, (h, c), w, u, b, torch.zeros_like(b))


def lstm_by_library(x, h, c, w, u, b):
    return recurrent.LSTM.step(None, x @ w.mT + h @ u.mT + b, h, c)


def remembering(
    order=(0, 1, 2, 3),
    blocks=lambda sums: sums.chunk(4, -1),
    gate=torch.sigmoid,
    new=torch.tanh,
    cell=lambda c, i, f, g: f * c + i * g,
    shown=lambda now, before: now.tanh(),
):
    """An answer with one thing exchanged; `order` says where i, f, g and o are looked for."""

    def answer(x, h, c, w, u, b):
        parts = blocks(x @ w.T + h @ u.T + b)
        i, f, g, o = (parts[place] for place in order)
        now = cell(c, gate(i), gate(f), new(g))
        return gate(o) * shown(now, c), now

    return answer


def lstm_in_place(x, h, c, w, u, b):
    i, f, g, o = (x @ w.mT + h @ u.mT + b).chunk(4, -1)
    c *= f.sigmoid()
    c += i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def as_blocks(sums):
    return sums.view(len(sums), -1, 4).unbind(-1)


right_lstm = remembering()

RIGHT["08_rnn_comparison/lstm_step"] = [
    lstm_by_linear,
    lstm_gate_by_gate,
    lstm_by_einsum,
    lstm_by_exponentials,
    lstm_text_by_text,
    lstm_by_tanh,
]
WRONG["08_rnn_comparison/lstm_step"] = [
    ("i and f exchanged", remembering((1, 0, 2, 3))),
    ("i and f exchanged", remembering(cell=lambda c, i, f, g: i * c + f * g)),
    ("g and o exchanged", remembering((0, 1, 3, 2))),
    ("i and o exchanged", remembering((3, 1, 2, 0))),
    ("order f, i, o, g", remembering((1, 0, 3, 2))),
    ("gates interleaved", remembering(blocks=as_blocks)),
    ("gates interleaved", remembering(blocks=lambda sums: [sums[:, k::4] for k in range(4)])),
    ("o times c", remembering(shown=lambda now, before: now)),
    ("o times the old cell", remembering(shown=lambda now, before: before.tanh())),
    ("a sigmoid for g", remembering(new=torch.sigmoid)),
    ("g as it is", remembering(new=lambda g: g)),
    ("tanh for the gates", remembering(gate=torch.tanh)),
    ("gates as they are", remembering(gate=lambda sums: sums)),
    ("nothing forgotten", remembering(cell=lambda c, i, f, g: c + i * g)),
    ("everything forgotten", remembering(cell=lambda c, i, f, g: i * g + 0 * c)),
    ("everything let in", remembering(cell=lambda c, i, f, g: f * c + g)),
    ("what f forgets", remembering(cell=lambda c, i, f, g: c - f * c + i * g)),
    ("one gate for both", remembering(cell=lambda c, i, f, g: torch.lerp(g, c, f))),
    ("sums read from the cell", lambda x, h, c, w, u, b: right_lstm(x, c, c, w, u, b)),
    ("h not read", lambda x, h, c, w, u, b: right_lstm(x, torch.zeros_like(h), c, w, u, b)),
    ("no bias", lambda x, h, c, w, u, b: right_lstm(x, h, c, w, u, torch.zeros_like(b))),
    ("c before h", lambda *given: right_lstm(*given)[::-1]),
    (None, lstm_by_cell),
    (None, lstm_by_library),
    (None, lstm_in_place),
    (None, lambda *given: right_lstm(*given)[0]),
    (None, lambda *given: torch.cat(right_lstm(*given), -1)),
    (None, lambda *given: [part.detach() for part in right_lstm(*given)]),
    (None, lambda *given: (*right_lstm(*given), None)),
    (None, remembering((2, 1, 0, 3))),
    (None, remembering(new=torch.relu)),
    (None, remembering(shown=lambda now, before: now.sigmoid())),
    (None, remembering(gate=lambda sums: (sums > 0).to(sums.dtype))),
    (None, lambda x, h, c, w, u, b: right_lstm(x, h, c.tanh(), w, u, b)),
    (None, remembering(cell=lambda c, i, f, g: f * c.tanh() + i * g)),
]

# ------------------------------------------------------------------------------------ gradient over distance


def read_all(x_part, u):
    h, states = x_part.new_zeros(len(u)), []
    for row in x_part:
        h = torch.tanh(row + u @ h)
        states.append(h)
    return states


def norms_by_matrices(x_part, u):
    states = read_all(x_part, u)
    matrix, found = None, []
    for h in states[:0:-1]:
        step = torch.diag(1 - h.square()) @ u
        matrix = step if matrix is None else matrix @ step
        found.append(torch.linalg.norm(matrix))
    return torch.stack(found)


def norms_by_autograd(x_part, u):
    """Every state is kept in the graph; one pass back for each number of the last."""
    states, h = [], torch.zeros_like(x_part[0], requires_grad=True)
    for row in x_part:
        h = torch.tanh(row + u @ h)
        states.append(h)
    squares = torch.zeros(len(states) - 1, dtype=x_part.dtype)
    for number in h:
        rows = torch.autograd.grad(number, states[:-1], retain_graph=True)
        squares += torch.stack([(row**2).sum() for row in rows])
    return squares.sqrt().flip(0)


def norms_of_an_input_that_asks_for_gradients(x_part, u):
    """x_part_t moves h_t with its slope, which is taken out again."""
    x_part.requires_grad_()
    states = read_all(x_part, u)
    rows = [torch.autograd.grad(number, x_part, retain_graph=True)[0] for number in states[-1]]
    matrices = torch.stack(rows) / (1 - torch.stack(states) ** 2)  # (D, T, D)
    return list(torch.linalg.vector_norm(matrices, dim=(0, 2))[:-1].flip(0))


def norms_by_jacobian(x_part, u):
    """torch's Jacobian of what follows a state."""
    states = read_all(x_part, u)

    def rest(h, t):
        for row in x_part[t + 1 :]:
            h = torch.tanh(row + u @ h)
        return h

    found = []
    for t in reversed(range(len(states) - 1)):
        matrix = torch.autograd.functional.jacobian(lambda h, t=t: rest(h, t), states[t])
        found.append(matrix.norm())
    return torch.stack(found)


def norms_forwards(x_part, u):
    """All derivatives are carried along from left to right."""
    matrices, h = [], torch.zeros_like(x_part[0])
    for t, row in enumerate(x_part):
        h = torch.tanh(row + torch.mv(u, h))
        slopes = (1 - h) * (1 + h)
        matrices = [slopes[:, None] * (u @ matrix) for matrix in matrices]
        if t < len(x_part) - 1:
            matrices.append(torch.eye(len(u), dtype=u.dtype))
    return [float(matrix.pow(2).sum() ** 0.5) for matrix in reversed(matrices)]


def norms_by_numpy(x_part, u):
    """Transposed throughout: the norm is the same."""
    rows, weights = x_part.numpy().astype(float), u.numpy().astype(float)
    h, slopes = np.zeros(len(weights)), []
    for row in rows:
        h = np.tanh(row + h @ weights.T)
        slopes.append(1 / np.cosh(np.arctanh(h)) ** 2)
    product, found = np.eye(len(weights)), []
    for slope in slopes[:0:-1]:
        product = (weights.T * slope) @ product
        found.append(math.sqrt((product**2).sum()))
    return np.array(found)


def norms_by_hooks(x_part, u):
    """One copy of the state for each number of it, so that one pass back is enough."""
    n = len(u)
    h = x_part.new_zeros(n, n, requires_grad=True)
    states = []
    for row in x_part:
        h = torch.tanh(row + h @ u.mT)
        h.retain_grad()
        states.append(h)
    states[-1].diagonal().sum().backward()
    return torch.tensor([state.grad.norm().item() for state in states[-2::-1]], dtype=x_part.dtype)


def fading(
    states=read_all,
    slope=lambda h: 1 - h**2,
    step=lambda slopes, u: slopes[:, None] * u,
    used=lambda states: states[1:],
    chain=lambda product, step: product @ step,
    norm=torch.linalg.matrix_norm,
):
    """An answer with one thing exchanged."""

    def answer(x_part, u):
        product, found = None, []
        for h in reversed(used(states(x_part, u))):
            matrix = step(slope(h), u)
            product = matrix if product is None else chain(product, matrix)
            found.append(norm(product))
        return torch.stack(found)

    return answer


def of_one_sum(x_part, u):
    """`.sum().backward()`."""
    start = torch.zeros_like(x_part[0], requires_grad=True)
    h, states = start, []
    for row in x_part:
        h = torch.tanh(row + u @ h)
        h.retain_grad()
        states.append(h)
    h.sum().backward()
    return torch.stack([state.grad.norm() for state in states[-2::-1]])


def of_the_inputs(x_part, u):
    def last(rows):
        return read_all(rows, u)[-1]

    matrix = torch.autograd.functional.jacobian(last, x_part)  # (D, T, D)
    return matrix.pow(2).sum((0, 2)).sqrt()[:-1].flip(0)


def multiplied_norms(x_part, u):
    found, total = [], 1.0
    for h in read_all(x_part, u)[:0:-1]:
        total = total * ((1 - h**2)[:, None] * u).norm()
        found.append(total)
    return torch.stack(found)


right_norms = fading()

RIGHT["08_rnn_comparison/gradient_over_distance"] = [
    norms_by_matrices,
    norms_by_hooks,
    norms_forwards,
    norms_by_numpy,
    norms_by_autograd,
    norms_by_jacobian,
    norms_of_an_input_that_asks_for_gradients,
]
WRONG["08_rnn_comparison/gradient_over_distance"] = [
    ("no slope", fading(slope=torch.ones_like)),
    ("1 - h", fading(slope=lambda h: 1 - h)),
    ("tanh twice", fading(slope=lambda h: 1 - h.tanh().square())),
    ("columns scaled", fading(step=lambda slopes, u: slopes * u)),
    ("columns scaled", fading(step=lambda slopes, u: u @ slopes.diag())),
    ("the state that goes in", fading(used=lambda states: states[:-1])),
    ("U turned in each step", fading(step=lambda slopes, u: slopes.diag() @ u.T)),
    ("h U instead of U h", lambda x_part, u: right_norms(x_part, u.T)),
    ("only the states with h U", fading(states=lambda x_part, u: read_all(x_part, u.T))),
    ("states without a past", fading(states=lambda x_part, u: list(x_part.tanh()))),
    ("the wrong order", fading(chain=lambda product, step: step @ product)),
    ("number by number", fading(chain=lambda product, step: product * step)),
    ("norms multiplied", multiplied_norms),
    ("each step alone", fading(chain=lambda product, step: step)),
    ("the farthest first", lambda x_part, u: right_norms(x_part, u).flip(0)),
    ("distance 0 too", lambda x_part, u: torch.cat([torch.eye(len(u)).norm()[None], right_norms(x_part, u)])),
    ("h_0 too", fading(used=lambda states: states)),
    ("by the sums", of_the_inputs),
    ("the sum of the last state", of_one_sum),
    ("another norm", fading(norm=lambda matrix: torch.linalg.svdvals(matrix)[0])),
    ("no root", fading(norm=lambda matrix: matrix.square().sum())),
    (None, lambda x_part, u: right_norms(x_part, u).log10()),
    (None, lambda x_part, u: right_norms(x_part, u)[:-1]),
    (None, lambda x_part, u: right_norms(x_part, u)[None]),
    (None, lambda x_part, u: right_norms(x_part.float(), u.float())),
    (None, lambda x_part, u: right_norms(x_part, u) / right_norms(x_part, u)[0]),
    (None, lambda x_part, u: right_norms(x_part, u).cumprod(0)),
    (None, lambda x_part, u: None),
    (None, fading(norm=lambda matrix: matrix.abs().sum())),
    (None, fading(norm=lambda matrix: matrix.abs().max())),
    (None, fading(norm=lambda matrix: matrix.diagonal().norm())),
    (None, fading(slope=lambda h: 1 + h**2)),
    (None, fading(slope=lambda h: h * (1 - h))),
    (None, fading(norm=lambda matrix: matrix.norm() / len(matrix))),
    (None, lambda x_part, u: u.mul_(1.0 - 1e-3) is u and right_norms(x_part, u)),
]
