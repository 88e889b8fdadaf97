"""Answers to gradient_over_distance, as learners write them."""

import torch


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


def fading(step=lambda slopes, u: slopes[:, None] * u, norm=torch.linalg.matrix_norm):
    """An answer with one thing exchanged."""

    def answer(x_part, u):
        product, found = None, []
        for h in reversed(read_all(x_part, u)[1:]):
            matrix = step(1 - h**2, u)
            product = matrix if product is None else product @ matrix
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


right_norms = fading()


RIGHT = [
    norms_by_matrices,
    norms_by_hooks,
    norms_forwards,
    norms_by_jacobian,
    norms_of_an_input_that_asks_for_gradients,
]
WRONG = [
    ("columns scaled", fading(step=lambda slopes, u: u @ slopes.diag())),
    ("by the sums", of_the_inputs),
    ("the sum of the last state", of_one_sum),
    (None, lambda x_part, u: right_norms(x_part, u).log10()),
    (None, lambda x_part, u: right_norms(x_part, u).cumprod(0)),
    ("axes of 1 dropped", fading(norm=lambda matrix: torch.linalg.matrix_norm(matrix.squeeze()))),
]
