"""Answers to patchify, as learners write them."""

import numpy as np
import torch
import torch.nn.functional as F

from course_lib import patches as library


def patchify_by_loops(images, p, one=lambda patch: patch.permute(1, 2, 0).flatten(), down=True):
    _, _, height, width = images.shape
    rows = []
    for image in images:
        places = [(y, x) for y in range(0, height, p) for x in range(0, width, p)]
        if not down:
            places = [(y, x) for x in range(0, width, p) for y in range(0, height, p)]
        rows.append(torch.stack([one(image[:, y : y + p, x : x + p]) for y, x in places]))
    return torch.stack(rows)


def patchify_by_tensor_unfold(images, p):
    squares = images.unfold(2, p, p).unfold(3, p, p)  # (B, C, rows, columns, p, p)
    return squares.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)


def patchify_by_functional_unfold(images, p):
    b, c = images.shape[:2]
    columns = F.unfold(images.double(), p, stride=p).to(images.dtype)  # (B, C p p, N)
    return columns.mT.reshape(b, -1, c, p * p).mT.reshape(b, -1, p * p * c)


def patchify_in_numpy(images, p):
    x = np.moveaxis(images.numpy(), 1, -1)
    b, h, w, c = x.shape
    x = x.reshape(b, h // p, p, w // p, p, c).swapaxes(2, 3)
    return torch.tensor(x.reshape(b, -1, p * p * c))


def patchify_by_pixel_unshuffle(images, p):
    n, c = images.shape[:2]
    squares = F.pixel_unshuffle(images, p).reshape(n, c, p * p, -1)
    return torch.einsum("bckn->bnkc", squares).reshape(n, -1, p * p * c)


def patchify_by_index(images, p):
    """The place of every pixel is computed; one index does the rest."""
    _, c, height, width = images.shape
    n = torch.arange(height * width // p**2)[:, None]
    k = torch.arange(p * p * c)[None]
    y = n // (width // p) * p + k // (p * c)
    x = n % (width // p) * p + k // c % p
    return images[:, k % c, y, x]


def patchify_by_chunks(images, p):
    rows = [part.split(p, dim=3) for part in images.split(p, dim=2)]
    squares = [square.permute(0, 2, 3, 1).flatten(1) for row in rows for square in row]
    return torch.stack(squares, dim=1)


def patchify_square(images, p):
    b, c, h, _ = images.shape
    n = h // p
    return torch.einsum("bcrpsq->brspqc", images.reshape(b, c, n, p, n, p)).reshape(b, n * n, -1)


def patchify_view(images, p):
    b, c, h, w = images.shape
    squares = images.view(b, c, h // p, p, w // p, p).permute(0, 2, 4, 3, 5, 1)
    return squares.reshape(b, h * w // p**2, -1)


def patchify_overlapping(images, p):
    places = [(y, x) for y in range(images.shape[2] - p + 1) for x in range(images.shape[3] - p + 1)]
    squares = [images[:, :, y : y + p, x : x + p].permute(0, 2, 3, 1).flatten(1) for y, x in places]
    return torch.stack(squares, 1)


def library_reordered(images, p):
    rows = library.patchify(images, p)
    return rows.unflatten(2, (images.shape[1], -1)).mT.flatten(2)


RIGHT = [
    patchify_by_loops,
    patchify_by_tensor_unfold,
    patchify_by_index,
    patchify_in_numpy,
    patchify_by_functional_unfold,
    patchify_by_pixel_unshuffle,
    patchify_by_chunks,
    patchify_view,
]
WRONG = [
    ("channels first", lambda x, p: F.unfold(x.double(), p, stride=p).mT.to(x.dtype)),
    ("overlapping patches", patchify_overlapping),
    ("as many columns as rows", patchify_square),
    ("channels first", library.patchify),
    (None, library_reordered),
    (None, lambda x, p: patchify_by_loops(x[:1], p)),
    (None, lambda x, p: patchify_by_loops(x, p).flatten(0, 1)),
    (None, lambda x, p: patchify_by_loops(x, p, one=lambda s: s.permute(1, 2, 0))),
    (None, lambda x, p: patchify_by_loops(x.flip(2), p)),
    (None, lambda x, p: patchify_by_loops(x, p).float().bfloat16()),
    (None, lambda x, p: patchify_by_loops(x / 255, p)),
    (None, lambda x, p: patchify_by_loops(x, p).numpy()),
    (None, lambda x, p: x),
]
