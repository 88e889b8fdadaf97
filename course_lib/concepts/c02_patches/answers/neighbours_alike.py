"""Answers to neighbours_alike, as learners write them."""

import numpy as np
import torch
import torch.nn.functional as F


def directions(matrix):
    """The rows without their mean, of length 1."""
    return F.normalize(matrix - matrix.mean(0, keepdim=True), dim=1)


def by_numbers(matrix, tiles):
    """Loops over lines and places; a row is found by its number."""
    rows = directions(matrix)
    found = []
    for height, width in tiles:
        dots = []
        for line in range(height):
            for place in range(width):
                i = line * width + place
                if place + 1 < width:
                    dots.append(rows[i] @ rows[i + 1])
                if line + 1 < height:
                    dots.append(rows[i] @ rows[i + width])
        found.append(sum(dots) / len(dots))
    return torch.stack(found)


def by_places(matrix, tiles):
    """All pairs, of which those count whose places are one step apart; each pair comes twice."""
    rows = directions(matrix)
    cosines = rows @ rows.mT
    found = torch.empty(len(tiles), dtype=matrix.dtype)
    numbers = torch.arange(len(matrix))
    for k, (_, width) in enumerate(tiles):
        line, place = numbers // width, numbers % width
        steps = (line[:, None] - line).abs() + (place[:, None] - place).abs()
        found[k] = cosines[steps == 1].mean()
    return found


def by_diagonals(matrix, tiles):
    """Neighbours stand on two diagonals of the cosines; pairs across the end of a line are left out."""
    rows = directions(matrix)
    cosines = torch.einsum("id,jd->ij", rows, rows)
    found = []
    for _, width in tiles:
        inside = (torch.arange(len(rows) - 1) + 1) % width != 0
        right, below = cosines.diagonal(1)[inside], cosines.diagonal(width)
        found.append((right.sum() + below.sum()) / (len(right) + len(below)))
    return torch.stack(found)


def by_a_product(matrix, tiles):
    """Which pixels are neighbours as a matrix, made of who is next in a line and in a column."""

    def next_to(n):
        return torch.diag(torch.ones(n - 1, dtype=matrix.dtype), 1)

    rows = directions(matrix)
    means = []
    for height, width in tiles:
        beside = torch.kron(torch.eye(height, dtype=matrix.dtype), next_to(width))
        beside = beside + torch.kron(next_to(height), torch.eye(width, dtype=matrix.dtype))
        means.append((beside * (rows @ rows.mT)).sum() / beside.sum())
    return torch.stack(means)


def by_numpy(matrix, tiles):
    x = matrix.numpy() - matrix.numpy().mean(axis=0)
    x = x / np.sqrt((x**2).sum(axis=1))[:, None]
    found = []
    for shape in tiles:
        tile = x.reshape(*shape, -1)
        dots = [(tile[:, 1:] * tile[:, :-1]).sum(2).ravel(), (tile[1:] * tile[:-1]).sum(2).ravel()]
        found.append(np.concatenate(dots).mean())
    return torch.tensor(np.array(found))


def by_cosine_similarity(matrix, tiles):
    """Numbers laid out as the pixels lie, and torch's own cosine."""
    centred = matrix - matrix.mean(0)
    found = []
    for height, width in tiles:
        numbers = torch.arange(len(matrix)).view(height, width)
        first = torch.cat([numbers[:, :-1].flatten(), numbers[:-1].flatten()])
        second = torch.cat([numbers[:, 1:].flatten(), numbers[1:].flatten()])
        found.append(F.cosine_similarity(centred[first], centred[second]).mean())
    return torch.stack(found)


def weighted_means(matrix, tiles):
    """Fails where a tile has one line or one column: the mean of nothing is no number."""
    rows = directions(matrix)
    found = []
    for height, width in tiles:
        tile = rows.unflatten(0, (height, width))
        right, below = (tile[:, :-1] * tile[:, 1:]).sum(-1), (tile[:-1] * tile[1:]).sum(-1)
        dots = right.mean() * right.numel() + below.mean() * below.numel()
        found.append(dots / (right.numel() + below.numel()))
    return torch.stack(found)


def of_columns(matrix, tiles):
    """For a matrix as `nn.Linear` keeps it."""
    columns = directions(matrix.T)
    means = []
    for height, width in tiles:
        tile = columns.reshape(height, width, len(matrix))
        dots = torch.einsum("hwd,hwd->hw", tile[:, 1:], tile[:, :-1]).sum()
        dots = dots + torch.einsum("hwd,hwd->hw", tile[1:], tile[:-1]).sum()
        means.append(dots / (height * (width - 1) + width * (height - 1)))
    return torch.stack(means)


def lines_by_height(matrix, tiles):
    """Lines and places are both counted by the height."""
    return by_places(matrix, [(width, height) for height, width in tiles])


def mixed_numbers(matrix, tiles):
    """The line by the height, the place by the width."""
    rows, numbers = directions(matrix), torch.arange(len(matrix))
    found = []
    for height, width in tiles:
        line, place = numbers // height, numbers % width
        steps = (line[:, None] - line).abs() + (place[:, None] - place).abs()
        found.append((rows @ rows.mT)[steps == 1].mean())
    return torch.stack(found)


def next_numbers(matrix, tiles):
    """Numbers i and i + 1 everywhere, i and i + width."""
    rows = directions(matrix)
    cosines = rows @ rows.mT
    return torch.stack([torch.cat([cosines.diagonal(1), cosines.diagonal(w)]).mean() for _, w in tiles])


def within_a_step(matrix, tiles):
    """All pairs whose places differ by at most 1, corners among them."""
    rows, numbers = directions(matrix), torch.arange(len(matrix))
    found = []
    for _, width in tiles:
        line, place = numbers // width, numbers % width
        steps = torch.maximum((line[:, None] - line).abs(), (place[:, None] - place).abs())
        found.append((rows @ rows.mT)[steps == 1].mean())
    return torch.stack(found)


def at_most_one_step(matrix, tiles):
    """Pixels no more than one step apart: each is its own neighbour, and the pairs come twice."""
    rows, numbers = directions(matrix), torch.arange(len(matrix))
    found = []
    for _, width in tiles:
        line, place = numbers // width, numbers % width
        steps = (line[:, None] - line).abs() + (place[:, None] - place).abs()
        found.append((rows @ rows.mT)[steps <= 1].mean())
    return torch.stack(found)


def correlations(matrix, tiles):
    """torch takes each row's own mean off."""
    table, numbers = torch.corrcoef(matrix), torch.arange(len(matrix))
    found = []
    for _, width in tiles:
        line, place = numbers // width, numbers % width
        steps = (line[:, None] - line).abs() + (place[:, None] - place).abs()
        found.append(table[steps == 1].mean())
    return torch.stack(found)


RIGHT = [by_numbers, by_places, by_diagonals, by_a_product, by_numpy, by_cosine_similarity]
WRONG = [
    ("a mean of no neighbours", weighted_means),
    ("a single tile without its axis", lambda matrix, tiles: by_places(matrix, tiles).squeeze()),
    ("columns in place of rows", of_columns),
    ("height and width exchanged", lines_by_height),
    ("the end of a line beside the next", next_numbers),
    ("corners too", within_a_step),
    ("each row's own mean", correlations),
    ("each row's own mean as well", lambda matrix, tiles: correlations(matrix - matrix.mean(0), tiles)),
    (None, lambda matrix, tiles: by_diagonals(matrix.mT, tiles)),
    (None, at_most_one_step),
    (None, mixed_numbers),
    (None, lambda matrix, tiles: torch.tensor(tiles[by_places(matrix, tiles).argmax()])),
    (None, lambda matrix, tiles: by_places(matrix, tiles)[-1]),
]
