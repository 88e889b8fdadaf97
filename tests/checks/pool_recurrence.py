"""A pool of answers to the tasks on recurrence, written from the exercises' texts alone. See `pool`."""

import functools
import math

import torch
import torch.nn.functional as F
from pool import Pool
from torch import nn

POOL = Pool()
right, wrong = POOL.right, POOL.wrong


# -------------------------------------------------------------------------------------------------- RNN step


@right("rnn_step", "baddbmm over texts as a batch of columns")
def _(x, h, w, u, b):
    n = len(x)
    columns = torch.baddbmm(b[None, :, None].expand(n, -1, 1), w.expand(n, -1, -1), x[:, :, None])
    return torch.tanh(columns + u.expand(n, -1, -1) @ h[:, :, None]).squeeze(2)


@right("rnn_step", "two layers of torch.nn.functional and hardly anything else")
def _(x, h, w, u, b):
    return nn.Tanh()(F.linear(x, w) + F.linear(h, u, b))


@right("rnn_step", "vmap over texts")
def _(x, h, w, u, b):
    return torch.vmap(lambda token, state: torch.tanh(torch.mv(w, token) + torch.mv(u, state) + b))(x, h)


@right("rnn_step", "unit by unit")
def _(x, h, w, u, b):
    units = [torch.tanh((x * w[d]).sum(1) + (h * u[d]).sum(1) + b[d]) for d in range(len(b))]
    return torch.stack(units, dim=1)


@right("rnn_step", "tensordot, and tanh with the sign taken out")
def _(x, h, w, u, b):
    sums = torch.tensordot(x, w, dims=([1], [1])) + torch.tensordot(h, u, dims=([1], [1])) + b
    small = torch.exp(-2 * sums.abs())
    return sums.sign() * (1 - small) / (1 + small)


@wrong("rnn_step", "the bias is scaled by the state")
def _(x, h, w, u, b):
    return torch.tanh(x @ w.mT + (h + b) @ u.mT)


@wrong("rnn_step", "softmax makes the state")
def _(x, h, w, u, b):
    return torch.softmax(x @ w.mT + h @ u.mT + b, dim=-1)


@wrong("rnn_step", "hardtanh, because it is quicker")
def _(x, h, w, u, b):
    return F.hardtanh(x @ w.mT + h @ u.mT + b)


@wrong("rnn_step", "tanh of a mean of the two")
def _(x, h, w, u, b):
    return torch.tanh((x @ w.mT + h @ u.mT) / 2 + b)


@wrong("rnn_step", "half of the old state is kept")
def _(x, h, w, u, b):
    return 0.5 * h + 0.5 * torch.tanh(x @ w.mT + h @ u.mT + b)


@wrong("rnn_step", "clamped sums, so that nothing overflows")
def _(x, h, w, u, b):
    return torch.tanh((x @ w.mT + h @ u.mT + b).clamp(-1, 1))


# ------------------------------------------------------------------------------------------ RNN with padding


def step(x, h, w, u, b):
    return torch.tanh(x @ w.mT + h @ u.mT + b)


@right("rnn_with_padding", "groups of texts of one length")
def _(x, lengths, w, u, b):
    outputs, last = x.new_zeros(*x.shape[:2], len(b)), x.new_zeros(len(x), len(b))
    for n in set(lengths.tolist()):
        rows = torch.nonzero(lengths == n).flatten()
        h = x.new_zeros(len(rows), len(b))
        states = []
        for t in range(n):
            h = step(x[rows, t], h, w, u, b)
            states.append(h)
        last = last.index_put((rows,), h)
        if states:
            outputs[rows, :n] = torch.stack(states, 1)
    return outputs, last


@right("rnn_with_padding", "functools.reduce, and lerp between the old and the new state")
def _(x, lengths, w, u, b):
    masks = (torch.arange(x.shape[1])[:, None] < lengths).to(x.dtype).unsqueeze(-1)  # (T, B, 1)

    def go_on(states, column):
        token, mask = column
        return [*states, torch.lerp(states[-1], step(token, states[-1], w, u, b), mask)]

    columns = zip(x.transpose(0, 1), masks, strict=True)
    states = functools.reduce(go_on, columns, [x.new_zeros(len(x), len(b))])
    return (torch.stack(states[1:]) * masks).transpose(0, 1), states[-1]


@right("rnn_with_padding", "the last state as a sum with one 1 in it")
def _(x, lengths, w, u, b):
    h, states = x.new_zeros(len(x), len(b)), []
    for t in range(x.size(1)):
        h = step(x[:, t, :], h, w, u, b)
        states.append(h)
    states = torch.stack(states, dim=1)
    places = torch.arange(1, x.size(1) + 1)
    ends = (places == lengths[:, None]).to(x.dtype)  # of an empty row nothing is 1
    true = (places <= lengths[:, None]).to(x.dtype)
    return states * true[:, :, None], torch.einsum("bt,btd->bd", ends, states)


@right("rnn_with_padding", "a list of lists, stacked at the end")
def _(x, lengths, w, u, b):
    table = []
    last = []
    for i in range(x.shape[0]):
        h = torch.zeros_like(b)
        line = []
        for t in range(x.shape[1]):
            if t < int(lengths[i]):
                h = torch.tanh(torch.matmul(w, x[i][t]) + torch.matmul(u, h) + b)
                line.append(h)
            else:
                line.append(torch.zeros_like(b))
        table.append(torch.stack(line))
        last.append(h)
    return (torch.stack(table), torch.stack(last))


@right("rnn_with_padding", "W x of all tokens at once, in place into a new tensor")
def _(x, lengths, w, u, b):
    sums = F.linear(x, w, b)
    states = torch.zeros(x.shape[0], x.shape[1] + 1, b.shape[0], dtype=x.dtype)
    states = list(states.unbind(1))
    for t in range(x.shape[1]):
        active = lengths.gt(t)
        new = torch.tanh(sums[:, t] + F.linear(states[t], u))
        states[t + 1] = torch.where(active.view(-1, 1), new, states[t])
    outputs = torch.stack(states[1:], 1)
    outputs = outputs.masked_fill(torch.arange(x.shape[1]).ge(lengths.view(-1, 1)).unsqueeze(2), 0.0)
    return outputs, states[-1]


@wrong("rnn_with_padding", "the last output that is not zero in any number, by its sum")
def _(x, lengths, w, u, b):
    h, outputs = x.new_zeros(len(x), len(b)), []
    for t in range(x.shape[1]):
        h = step(x[:, t], h, w, u, b) * (t < lengths)[:, None]
        outputs.append(h)
    outputs = torch.stack(outputs, 1)
    return outputs, outputs.sum(1)


@wrong("rnn_with_padding", "the state is halved at padding, so that it fades")
def _(x, lengths, w, u, b):
    h, outputs = x.new_zeros(len(x), len(b)), []
    for t in range(x.shape[1]):
        reads = (t < lengths)[:, None]
        h = torch.where(reads, step(x[:, t], h, w, u, b), h / 2)
        outputs.append(h * reads)
    return torch.stack(outputs, 1), h


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


@wrong("rnn_with_padding", "NaN stands for padding")
def _(x, lengths, w, u, b):
    h, outputs = x.new_zeros(len(x), len(b)), []
    for t in range(x.shape[1]):
        reads = (t < lengths)[:, None]
        new = step(x[:, t], h, w, u, b)
        h = torch.where(reads, new, h)
        outputs.append(torch.where(reads, new, math.nan))
    return torch.stack(outputs, 1), h


@wrong("rnn_with_padding", "the start is ones")
def _(x, lengths, w, u, b):
    h, outputs = x.new_ones(len(x), len(b)), []
    for t in range(x.shape[1]):
        reads = (t < lengths)[:, None]
        h = torch.where(reads, step(x[:, t], h, w, u, b), h)
        outputs.append(h * reads)
    return torch.stack(outputs, 1), h


# ------------------------------------------------------------------------------------------------- LSTM step


@right("lstm_step", "a dictionary of gates")
def _(x, h, c, w, u, b):
    size = h.shape[1]
    gates = {}
    for place, name in enumerate("ifgo"):
        part = slice(place * size, place * size + size)
        sums = F.linear(x, w[part], b[part]) + F.linear(h, u[part])
        gates[name] = torch.tanh(sums) if name == "g" else torch.sigmoid(sums)
    c = gates["f"] * c + gates["i"] * gates["g"]
    return gates["o"] * torch.tanh(c), c


@right("lstm_step", "tensor_split at three places, in columns")
def _(x, h, c, w, u, b):
    sums = w @ x.T + u @ h.T + b.unsqueeze(1)
    d = c.shape[-1]
    i, f, g, o = torch.tensor_split(sums, (d, 2 * d, 3 * d), dim=0)
    cell = torch.sigmoid(f) * c.T + torch.sigmoid(i) * torch.tanh(g)
    return (torch.sigmoid(o) * torch.tanh(cell)).T, cell.T


@right("lstm_step", "logsigmoid and exp")
def _(x, h, c, w, u, b):
    i, f, g, o = (F.linear(x, w, b) + F.linear(h, u)).unflatten(-1, (4, -1)).unbind(1)
    cell = F.logsigmoid(f).exp() * c + F.logsigmoid(i).exp() * g.tanh()
    return F.logsigmoid(o).exp() * cell.tanh(), cell


@right("lstm_step", "GLU lets in, and softmax of two is a sigmoid")
def _(x, h, c, w, u, b):
    d = h.size(1)
    sums = x @ w.mT + h @ u.mT + b
    f, o = (
        torch.stack([sums[:, k * d : (k + 1) * d], torch.zeros_like(c)]).softmax(dim=0)[0] for k in (1, 3)
    )
    let_in = F.glu(torch.cat([sums[:, 2 * d : 3 * d].tanh(), sums[:, :d]], dim=1), dim=1)
    new_c = f * c + let_in
    return o * torch.tanh(new_c), new_c


@right("lstm_step", "vmap")
def _(x, h, c, w, u, b):
    def one(x, h, c):
        i, f, g, o = torch.chunk(torch.mv(w, x) + torch.mv(u, h) + b, 4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    return torch.vmap(one)(x, h, c)


def mixed(x, h, c, w, u, b):
    return (x @ w.mT + h @ u.mT + b).chunk(4, dim=-1)


@wrong("lstm_step", "the forget gate sees h of the new step only")
def _(x, h, c, w, u, b):
    i, f, g, o = mixed(x, h, c, w, u, b)
    c = i.sigmoid() * g.tanh() + c
    c = f.sigmoid() * c
    return o.sigmoid() * c.tanh(), c


@wrong("lstm_step", "the old output is kept beside the new one")
def _(x, h, c, w, u, b):
    i, f, g, o = mixed(x, h, c, w, u, b)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return h + o.sigmoid() * c.tanh(), c


@wrong("lstm_step", "a forget bias of 1 is added")
def _(x, h, c, w, u, b):
    i, f, g, o = mixed(x, h, c, w, u, b)
    c = (f + 1).sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@wrong("lstm_step", "peepholes: the output gate looks at the cell")
def _(x, h, c, w, u, b):
    i, f, g, o = mixed(x, h, c, w, u, b)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return (o + c).sigmoid() * c.tanh(), c


@wrong("lstm_step", "tanh of the cell is returned as the cell")
def _(x, h, c, w, u, b):
    i, f, g, o = mixed(x, h, c, w, u, b)
    c = (f.sigmoid() * c + i.sigmoid() * g.tanh()).tanh()
    return o.sigmoid() * c, c


@wrong("lstm_step", "hard gates, as on small chips")
def _(x, h, c, w, u, b):
    i, f, g, o = mixed(x, h, c, w, u, b)
    c = F.hardsigmoid(f) * c + F.hardsigmoid(i) * g.tanh()
    return F.hardsigmoid(o) * c.tanh(), c


# ------------------------------------------------------------------------------------ gradient over distance


def run(x_part, u):
    h, states = torch.zeros_like(x_part[0]), []
    for row in x_part:
        h = torch.tanh(row + torch.mv(u, h))
        states.append(h)
    return torch.stack(states)


@right("gradient_over_distance", "a recursion")
def _(x_part, u):
    states = run(x_part, u)

    def back(t):
        """The derivatives of h_T by h_t, for all from T - 1 down to t."""
        one = (1 - states[t + 1] ** 2).diag() @ u
        later = back(t + 1) if t + 2 < len(states) else []
        return [*later, later[-1] @ one if later else one]

    return torch.stack([matrix.norm() for matrix in back(0)])


@right("gradient_over_distance", "chain_matmul of ever longer lists")
def _(x_part, u):
    steps = torch.diag_embed(1 - run(x_part, u)[1:].square()) @ u
    norms = []
    for distance in range(1, len(steps) + 1):
        some = steps[-distance:].flip(0)
        product = torch.linalg.multi_dot(list(some)) if distance > 1 else some[0]
        norms.append(product.square().sum().sqrt())
    return torch.stack(norms)


@right("gradient_over_distance", "jacrev by a disturbance of each state")
def _(x_part, u):
    def last(disturbed):
        h = torch.zeros_like(x_part[0])
        for row, moved in zip(x_part, disturbed, strict=True):
            h = torch.tanh(row + u @ h) + moved
        return h

    matrix = torch.func.jacrev(last)(torch.zeros_like(x_part))  # (D, T, D)
    return torch.linalg.vector_norm(matrix, dim=(0, 2))[:-1].flip(0)


@right("gradient_over_distance", "one row vector for each number, carried back by hand")
def _(x_part, u):
    states = run(x_part, u)
    total = torch.zeros(len(states) - 1, dtype=x_part.dtype)
    for k in range(len(u)):
        row = torch.zeros_like(x_part[0])
        row[k] = 1
        for distance, h in enumerate(states[1:].flip(0)):
            row = (row * (1 - h * h)) @ u
            total[distance] += (row * row).sum()
    return total**0.5


@right("gradient_over_distance", "forward derivatives, jvp by hand, in float64 and rounded at the end")
def _(x_part, u):
    rows, weights = x_part.double(), u.double()
    n_steps, d = rows.shape
    tangents = torch.zeros(n_steps, d, d, dtype=torch.float64)
    h = torch.zeros(d, dtype=torch.float64)
    for t in range(n_steps):
        h = torch.tanh(rows[t] + weights @ h)
        tangents = (1 - h**2)[:, None] * (weights @ tangents)
        tangents[t] = torch.eye(d, dtype=torch.float64)
    return tangents[:-1].flatten(1).norm(dim=1).flip(0).to(x_part.dtype)


@wrong("gradient_over_distance", "differences with a step of 0.1")
def _(x_part, u):
    states, step = run(x_part, u), 0.1
    norms = []
    for t in range(len(states) - 2, -1, -1):
        columns = []
        for j in range(len(u)):
            h = states[t].clone()
            h[j] += step
            for row in x_part[t + 1 :]:
                h = torch.tanh(row + u @ h)
            columns.append((h - states[-1]) / step)
        norms.append(torch.stack(columns).norm())
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


@wrong("gradient_over_distance", "slopes of the mean state")
def _(x_part, u):
    mean = (1 - run(x_part, u)[1:] ** 2).mean(0)[:, None] * u
    return torch.stack([torch.linalg.matrix_power(mean, n).norm() for n in range(1, len(x_part))])


@wrong("gradient_over_distance", "nothing below 1e-8")
def _(x_part, u):
    product, norms = torch.eye(len(u), dtype=u.dtype), []
    for h in run(x_part, u)[1:].flip(0):
        product = product @ ((1 - h**2)[:, None] * u)
        norms.append(product.norm().clamp(min=1e-8))
    return torch.stack(norms)


@wrong("gradient_over_distance", "in float32, whatever comes")
def _(x_part, u):
    product, norms = torch.eye(len(u)), []
    for h in run(x_part.float(), u.float())[1:].flip(0):
        product = product @ ((1 - h**2)[:, None] * u.float())
        norms.append(product.norm())
    return torch.stack(norms)
