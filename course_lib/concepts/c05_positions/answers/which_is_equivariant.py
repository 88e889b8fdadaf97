"""Answers to which_is_equivariant, as learners write them."""

import itertools

import torch


def alike(a, b):
    return torch.allclose(a, b, atol=1e-4)


def shuffles(n):
    return [torch.randperm(n) for _ in range(20)]


def tried(layers, x, orders=shuffles, equal=alike):
    return [all(equal(f(x[:, order]), f(x)[:, order]) for order in orders(x.shape[1])) for f in layers]


def every_order(layers, x):
    found = []
    for f in layers:
        right = True
        for order in itertools.permutations(range(x.shape[1])):
            if (f(x[:, list(order)]) - f(x)[:, list(order)]).abs().max() > 1e-4:
                right = False
        found.append(right)
    return found


def two_exchanged(n):
    """Any two tokens: all other orders are made of these."""
    for i, j in itertools.combinations(range(n), 2):
        order = torch.arange(n)
        order[i], order[j] = j, i
        yield order


def put_back(layers, x):
    """Exchange, apply, exchange back."""
    found = []
    for f in layers:
        orders = shuffles(x.shape[1])
        found.append(all(alike(f(x[:, order])[:, order.argsort()], f(x)) for order in orders))
    return found


def by_matrices(layers, x):
    """Each order as a matrix."""
    eye = torch.eye(x.shape[1], dtype=x.dtype)
    swaps = [eye[order] for order in shuffles(x.shape[1])]
    return [bool(max((f(p @ x) - p @ f(x)).abs().amax() for p in swaps) < 1e-4) for f in layers]


def on_other_numbers(layers, x):
    """Not on x itself, but on random numbers of its shape."""
    return tried(layers, torch.randn_like(x))


def any_order(layers, x):
    orders = itertools.permutations(range(x.shape[1]))
    orders = [list(order) for order in orders]
    return [any(alike(f(x[:, order]), f(x)[:, order]) for order in orders) for f in layers]


def the_same_tokens(layers, x):
    """Whether the same numbers come out, in whatever order."""
    return tried(layers, x, equal=lambda a, b: alike(a.sort(1).values, b.sort(1).values))


RIGHT = [
    put_back,
    by_matrices,
    every_order,
    on_other_numbers,
    lambda layers, x: [torch.tensor(int(right)) for right in tried(layers, x)],
]
WRONG = [
    (
        "only rolling",
        lambda layers, x: tried(layers, x, lambda n: [torch.arange(n).roll(i) for i in range(n)]),
    ),
    (
        "only larger numbers count",
        lambda layers, x: tried(layers, x, two_exchanged, equal=lambda a, b: bool(torch.all(a - b < 1e-4))),
    ),
    ("yes to all", any_order),
    ("the same tokens in any order", the_same_tokens),
    (None, lambda layers, x: tried(layers, x)[:-1]),
    (None, lambda layers, x: tried(layers, x)[::-1]),
    (None, lambda layers, x: tried(layers, torch.ones_like(x))),
    (
        "no list for one layer",
        lambda layers, x: tried(layers, x) if layers[1:] else tried(layers, x)[0],
    ),
]
