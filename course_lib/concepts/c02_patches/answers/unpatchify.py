"""Answers to unpatchify, as learners write them."""

import torch
import torch.nn.functional as F

from course_lib import patches as library


def unpatchify_by_loops(patches, p, height, width):
    c = patches.shape[2] // p**2
    out = torch.zeros(len(patches), c, height, width, dtype=patches.dtype)
    for n in range(patches.shape[1]):
        y, x = divmod(n, width // p)
        out[:, :, y * p : y * p + p, x * p : x * p + p] = (
            patches[:, n].reshape(-1, p, p, c).permute(0, 3, 1, 2)
        )
    return out


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


def library_put_back(patches, p, height, width):
    rows = patches.unflatten(2, (p * p, -1)).mT.flatten(2)
    return library.unpatchify(rows, p, (height, width))


def fold_put_back(patches, p, height, width):
    """F.fold has the library's order, and takes floats alone."""
    columns = patches.unflatten(2, (p * p, -1)).mT.flatten(2).mT
    return F.fold(columns, (height, width), p, stride=p)


RIGHT = [unpatchify_by_loops, unpatchify_by_einsum, unpatchify_by_index, unpatchify_by_fold]
WRONG = [
    (None, library_put_back),
    ("always patches of 2 x 2 pixels", lambda x, p, h, w: unpatchify_by_loops(x, 2, h, w)),
    ("a convolution of floats", fold_put_back),
    ("channels first", lambda x, p, h, w: library.unpatchify(x, p, (h, w))),
]
