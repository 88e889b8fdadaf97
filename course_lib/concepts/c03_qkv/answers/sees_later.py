"""Answers to sees_later, as learners write them."""

import numpy as np
import torch


def by_gradient(attend, x):
    jacobian = torch.autograd.functional.jacobian(attend, x)  # (T, D, T, D)
    strength = jacobian.abs().sum((1, 3))
    return bool((strength.triu(1) > 1e-6).any())


def by_cutting(attend, x):
    y = attend(x)
    return any(not torch.allclose(attend(x[:t]), y[:t], atol=1e-5) for t in range(1, len(x)))


def replaced(attend, x, numbers, first=1):
    y = attend(x)
    for t in range(first, len(x)):
        other = torch.cat([x[:t], numbers(x[t:])])
        if not torch.allclose(attend(other)[:t], y[:t], atol=1e-5):
            return True
    return False


def pair_by_pair(attend, x):
    for later in range(len(x)):
        other = torch.cat([x[:later], torch.randn(1, x.shape[1], dtype=x.dtype), x[later + 1 :]])
        moved = (attend(other) - attend(x)).abs().amax(-1)
        if (moved[:later] > 1e-5).any():
            return True
    return False


def by_tiny_change(attend, x):
    for t in range(1, len(x)):
        other = x.clone()
        other[t:] += 1e-6
        if not torch.allclose(attend(other)[:t], attend(x)[:t], atol=1e-5):
            return True
    return False


def by_code(attend, x, of_times):
    """Knows each layer by its code, and those with drawn times by what it takes all of them for."""
    cells = [str(cell.cell_contents) for cell in attend.function.__closure__ or ()]
    return of_times if any("delayed" in cell for cell in cells) else by_cutting(attend, x)


RIGHT = [
    lambda attend, x: replaced(attend, x, torch.randn_like),
    by_gradient,
    by_cutting,
    pair_by_pair,
    lambda attend, x: np.bool_(by_cutting(attend, x)),
]
WRONG = [
    ("counts any change", lambda attend, x: True),
    ("nothing is changed", by_tiny_change),
    ("the second token is never changed", lambda attend, x: replaced(attend, x, torch.randn_like, first=2)),
    (
        "the order is turned round",
        lambda attend, x: not torch.allclose(attend(x)[:-1], attend(x.flip(0)).flip(0)[:-1], atol=1e-5),
    ),
    ("takes times for a look ahead", lambda attend, x: by_code(attend, x, of_times=True)),
    ("takes times for causal", lambda attend, x: by_code(attend, x, of_times=False)),
]
