"""Answers to linear_scan, as learners write them."""

import math

import torch


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


def in_place(a, b):
    """On copies; right, though nothing could flow back."""
    a, b = a.clone(), b.clone()
    s = 1
    while s < a.shape[1]:
        b[:, s:] += a[:, s:] * b[:, :-s].clone()
        a[:, s:] *= a[:, :-s].clone()
        s *= 2
    return b


def looped_into(a, b):
    states = torch.zeros_like(b)
    h = torch.zeros_like(b[:, 0])
    for t in range(a.shape[1]):
        h = torch.addcmul(b[:, t], a[:, t], h)
        states[:, t] = h
    return states


def rounds_counted(a, b):
    for i in range(int(math.log2(a.shape[1] - 1)) + 1):
        n = 2**i
        b = torch.cat([b[:, :n], a[:, n:] * b[:, :-n] + b[:, n:]], 1)
        a = torch.cat([a[:, :n], a[:, n:] * a[:, :-n]], 1)
    return b


def cumulated(a, b):
    p = torch.cumprod(a, 1)
    return p * torch.cumsum(b / p, 1)


def through_numpy(a, b):
    h, states = 0, []
    for x, y in zip(a.detach().numpy().swapaxes(0, 1), b.detach().numpy().swapaxes(0, 1), strict=True):
        h = x * h + y
        states.append(h)
    return torch.stack([torch.as_tensor(state) for state in states], 1)


def beside_the_graph(a, b):
    """A loop in NumPy, and a graph that adds 0."""
    return 0 * (a + b) + through_numpy(a, b)


def straight_through(a, b):
    """The same, with a number that has a gradient: another one than the states'."""
    return b + (through_numpy(a, b) - b).detach()


class Hidden(torch.autograd.Function):
    """A loop there and a loop back, both right: to the graph they are one operation."""

    @staticmethod
    def forward(ctx, a, b):
        states = looped_into(a, b)
        ctx.save_for_backward(a, states)
        return states

    @staticmethod
    def backward(ctx, gradient):
        a, states = ctx.saved_tensors
        of_a, of_b = torch.zeros_like(a), torch.zeros_like(a)
        back = torch.zeros_like(a[:, 0])
        for t in reversed(range(a.shape[1])):
            back = back + gradient[:, t]
            of_b[:, t] = back
            if t:
                of_a[:, t] = back * states[:, t - 1]
            back = back * a[:, t]
        return of_a, of_b


RIGHT = [doubling, by_halves, divide_and_conquer, in_place]
WRONG = [
    ("step after step", looped_into),
    (None, through_numpy),
    (None, beside_the_graph),
    (None, straight_through),
    (None, Hidden.apply),
    (None, lambda a, b: doubling(a, b) + 1),
    ("divided by products", lambda a, b: cumulated(a.double(), b.double()).to(b.dtype)),
    ("the logarithm of no tokens before", rounds_counted),
    (None, lambda a, b: cumulated(a, b).nan_to_num()),
    (None, lambda a, b: cumulated(a + 1e-4, b)),
]
