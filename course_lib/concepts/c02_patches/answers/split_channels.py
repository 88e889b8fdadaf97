"""Answers to split_channels, as learners write them."""

import numpy as np
import torch
import torch.nn.functional as F


def split_by_loop(image, places=(0, 1, 2), black=torch.zeros_like):
    pictures = []
    for c in range(3):
        picture = black(image)
        picture[places[c]] = image[c]
        pictures.append(picture)
    return pictures


def split_in_numpy(image):
    out = np.zeros((3, *image.shape), dtype=image.numpy().dtype)
    out[range(3), range(3)] = image.numpy()
    return torch.from_numpy(out)


def split_in_place(image):
    for c in range(3):
        image[c] = image[c] * 1
    image[1:] = 0
    return [image, image, image]


def split_taken_out(image):
    pictures = [image.clone() for _ in range(3)]
    for c in range(3):
        pictures[c][c] = 0
    return pictures


def split_same_tensor(image):
    pictures = [torch.zeros_like(image)] * 3
    for c in range(3):
        pictures[c][c] = image[c]
    return pictures


def split_last(image):
    pictures = [torch.zeros_like(image) for _ in range(3)]
    for c in range(3):
        pictures[c][..., c] = image[..., c]
    return pictures


def split_rows(image):
    pictures = [torch.zeros_like(image) for _ in range(3)]
    for c in range(3):
        pictures[c][:, c : c + 1] = image[:, c : c + 1]
    return pictures


RIGHT = [
    split_by_loop,
    split_in_numpy,
    lambda image: image * torch.eye(3, dtype=image.dtype)[:, :, None, None],
    lambda image: torch.einsum("ck,khw->ckhw", torch.eye(3, dtype=image.dtype), image),
    lambda image: tuple(F.pad(image[c : c + 1], (0, 0, 0, 0, c, 2 - c)) for c in range(3)),
    lambda image: torch.diag_embed(image.permute(1, 2, 0)).permute(2, 3, 0, 1),
    lambda image: [image.masked_fill((torch.arange(3) != c).reshape(3, 1, 1), 0) for c in range(3)],
]
WRONG = [
    ("the channels alone", lambda image: image.unbind(0)),
    ("the channel is taken out", split_taken_out),
    ("channels last", split_last),
    ("rows instead of channels", split_rows),
    ("one tensor three times", split_same_tensor),
    (None, split_in_place),
    (None, lambda image: image[:, None]),
    (None, lambda image: dict(zip("rgb", split_by_loop(image), strict=True))),
    (None, lambda image: [picture.numpy() for picture in split_by_loop(image)]),
    (None, lambda image: [torch.zeros_like(image) for _ in range(3)]),
    (None, lambda image: split_by_loop(image)[:2]),
    (None, lambda image: split_by_loop(image, places=(2, 1, 0))),
    (None, lambda image: [picture.half() for picture in split_by_loop(image)]),
]
