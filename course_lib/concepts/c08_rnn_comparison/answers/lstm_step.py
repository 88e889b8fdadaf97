"""Answers to lstm_step, as learners write them."""

import torch

from course_lib import recurrent


def lstm_gate_by_gate(x, h, c, w, u, b):
    n = h.shape[-1]

    def sums(k):
        rows = slice(k * n, (k + 1) * n)
        return x @ w[rows].T + h @ u[rows].T + b[rows]

    cell = torch.sigmoid(sums(1)).mul(c).add(torch.sigmoid(sums(0)).mul(torch.tanh(sums(2))))
    return torch.sigmoid(sums(3)).mul(torch.tanh(cell)), cell


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
    blocks=lambda sums: sums.chunk(4, -1),
    gate=torch.sigmoid,
    new=torch.tanh,
    cell=lambda c, i, f, g: f * c + i * g,
):
    """An answer with one thing exchanged."""

    def answer(x, h, c, w, u, b):
        i, f, g, o = blocks(x @ w.T + h @ u.T + b)
        now = cell(c, gate(i), gate(f), new(g))
        return gate(o) * now.tanh(), now

    return answer


RIGHT = [lstm_gate_by_gate, lstm_by_exponentials, lstm_text_by_text, lstm_by_tanh]
WRONG = [
    ("i and f exchanged", remembering(cell=lambda c, i, f, g: i * c + f * g)),
    ("gates interleaved", remembering(blocks=lambda sums: [sums[:, k::4] for k in range(4)])),
    (None, lstm_by_cell),
    (None, lstm_by_library),
    ("overflow", remembering(gate=lambda sums: sums.exp() / (1 + sums.exp()))),
    ("a bare reshape", remembering(blocks=lambda sums: sums.view(4, len(sums), -1))),
    (None, remembering(new=torch.relu)),
]
