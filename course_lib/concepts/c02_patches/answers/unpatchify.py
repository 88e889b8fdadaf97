"""Answers to unpatchify, as learners write them."""

import math

import torch
import torch.nn.functional as F

from course_lib import patches as library


def unpatchify_by_loops(patches, p, height, width, place=lambda n, h, w: divmod(n, w), square=None):
    c = patches.shape[2] // p**2
    out = torch.zeros(len(patches), c, height, width, dtype=patches.dtype)
    for n in range(patches.shape[1]):
        y, x = place(n, height // p, width // p)
        one = (
            patches[:, n].reshape(-1, p, p, c).permute(0, 3, 1, 2)
            if square is None
            else square(patches[:, n])
        )
        out[:, :, y * p : y * p + p, x * p : x * p + p] = one
    return out


def unpatchify_by_cat(patches, p, height, width):
    columns = width // p
    squares = [row.reshape(-1, p, p, row.shape[1] // p**2) for row in patches.unbind(1)]
    lines = [torch.cat(squares[i : i + columns], 2) for i in range(0, len(squares), columns)]
    return torch.cat(lines, 1).permute(0, 3, 1, 2)


def unpatchify_by_einsum(patches, p, height, width):
    x = patches.unflatten(2, (p, p, -1)).unflatten(1, (height // p, width // p))
    return torch.einsum("brsyxc->bcrysx", x).flatten(4).flatten(2, 3)


def unpatchify_by_fold(patches, p, height, width):
    b, n, size = patches.shape
    columns = patches.double().reshape(b, n, p * p, -1).transpose(2, 3).reshape(b, n, size).mT
    return F.fold(columns, (height, width), p, stride=p).to(patches.dtype)


def unpatchify_by_index(patches, p, height, width):
    c = patches.shape[2] // p**2
    y = torch.arange(height)[None, :, None]
    x = torch.arange(width)[None, None]
    k = torch.arange(c)[:, None, None]
    return patches[:, y // p * (width // p) + x // p, (y % p * p + x % p) * c + k]


def unpatchify_in_numpy(patches, p, height, width):
    x = patches.numpy().reshape(len(patches), height // p, width // p, p, p, -1)
    x = x.transpose(0, 5, 1, 3, 2, 4)
    return torch.from_numpy(x.reshape(len(x), -1, height, width).copy())


def unpatchify_apart(patches, p, height, width):
    x = patches.reshape(len(patches), height // p, width // p, p, p, -1)
    return x.permute(0, 5, 3, 1, 4, 2).reshape(len(x), -1, height, width)


def unpatchify_square(patches, p, height, width):
    n = int(math.sqrt(patches.shape[1]))
    x = patches.reshape(len(patches), n, n, p, p, -1)
    return torch.einsum("brsyxc->bcrysx", x).reshape(len(patches), -1, height, width)


def library_put_back(patches, p, height, width):
    rows = patches.unflatten(2, (p * p, -1)).mT.flatten(2)
    return library.unpatchify(rows, p, (height, width))


RIGHT = [
    unpatchify_by_loops,
    unpatchify_by_cat,
    unpatchify_by_einsum,
    unpatchify_by_index,
    unpatchify_by_fold,
    unpatchify_in_numpy,
]
WRONG = [
    ("pixels far apart", unpatchify_apart),
    ("as many columns as rows", unpatchify_square),
    (None, library_put_back),
    ("channels first", lambda x, p, h, w: library.unpatchify(x, p, (h, w))),
    (None, lambda x, p, h, w: unpatchify_by_loops(x.flip(1), p, h, w)),
    (None, lambda x, p, h, w: unpatchify_by_loops(x, p, h, w).half()),
    (None, lambda x, p, h, w: unpatchify_by_loops(x, p, h, w)[0]),
    (None, lambda x, p, h, w: unpatchify_by_loops(x, p, h, w).numpy()),
    (None, lambda x, p, h, w: unpatchify_by_loops(x.mul_(1.5) if x.is_floating_point() else x, p, h, w)),
    (None, lambda x, p, h, w: x),
]
