"""Answers to patchify, as learners write them."""

import torch
import torch.nn.functional as F

from course_lib import patches as library


def patchify_by_loops(images, p):
    _, _, height, width = images.shape
    rows = []
    for image in images:
        places = [(y, x) for y in range(0, height, p) for x in range(0, width, p)]
        patches = [image[:, y : y + p, x : x + p] for y, x in places]
        rows.append(torch.stack([patch.permute(1, 2, 0).flatten() for patch in patches]))
    return torch.stack(rows)


def patchify_by_tensor_unfold(images, p):
    squares = images.unfold(2, p, p).unfold(3, p, p)  # (B, C, rows, columns, p, p)
    return squares.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)


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


def patchify_view(images, p):
    b, c, h, w = images.shape
    squares = images.view(b, c, h // p, p, w // p, p).permute(0, 2, 4, 3, 5, 1)
    return squares.reshape(b, h * w // p**2, -1)


def library_reordered(images, p):
    rows = library.patchify(images, p)
    return rows.unflatten(2, (images.shape[1], -1)).mT.flatten(2)


def unfold_reordered(images, p):
    """F.unfold has the library's order, and takes floats alone."""
    rows = F.unfold(images, p, stride=p).mT
    return rows.unflatten(2, (images.shape[1], -1)).mT.flatten(2)


RIGHT = [
    patchify_by_loops,
    patchify_by_tensor_unfold,
    patchify_by_index,
    patchify_by_pixel_unshuffle,
    patchify_view,
]
WRONG = [
    ("channels first", lambda x, p: F.unfold(x.double(), p, stride=p).mT.to(x.dtype)),
    ("channels first", library.patchify),
    (None, library_reordered),
    ("always patches of 2 x 2 pixels", lambda x, p: patchify_by_loops(x, 2)),
    ("a convolution of floats", unfold_reordered),
]
