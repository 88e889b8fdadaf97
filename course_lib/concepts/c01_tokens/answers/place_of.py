"""Answers to place_of, as learners write them."""

import numpy as np
import torch


def one_matrix(rows, places, row, ridge):
    """D x D equations."""
    x, y = rows - rows.mean(0), places - places.mean(0)
    matrix = np.linalg.inv(x.T @ x + ridge * np.eye(x.shape[1])) @ x.T @ y
    return (row - rows.mean(0)) @ matrix + places.mean(0)


def a_free_constant(rows, places, row, ridge):
    """A column of ones, on which there is no ridge, in place of all means."""
    x = np.column_stack([rows.astype(float), np.ones(len(rows))])
    held = np.diag([ridge] * rows.shape[1] + [0])
    return np.append(row, 1) @ np.linalg.solve(x.T @ x + held, x.T @ places)


def by_torch(rows, places, row, ridge):
    rows, places, row = (torch.tensor(x, dtype=torch.float64) for x in (rows, places, row))
    x, d = rows - rows.mean(0, keepdim=True), row - rows.mean(0)
    left = torch.linalg.cholesky(x @ x.mT + ridge * torch.eye(len(x), dtype=x.dtype))
    return places.mean(0) + torch.cholesky_solve(x @ d[:, None], left).mT[0] @ places


def by_elimination(rows, places, row, ridge):
    """Lists and loops."""
    n = len(rows)
    mean = [sum(float(x) for x in column) / n for column in rows.T]
    known = [[float(x) - m for x, m in zip(each, mean, strict=True)] for each in rows]
    unknown = [float(x) - m for x, m in zip(row, mean, strict=True)]
    table = [[dot(a, b) for b in known] + [dot(a, unknown)] for a in known]
    for i in range(n):
        table[i][i] += ridge
    for i in range(n):
        for j in range(n):
            if i != j:
                share = table[j][i] / table[i][i]
                table[j] = [a - share * b for a, b in zip(table[j], table[i], strict=True)]
    votes = [table[i][n] / table[i][i] for i in range(n)]
    return [sum(places[:, c]) / n + dot(votes, places[:, c]) for c in range(2)]


def dot(a, b):
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def by_singular_values(rows, places, row, ridge):
    x = rows - rows.mean(axis=0)
    u, s, v = np.linalg.svd(x, full_matrices=False)
    matrix = v.T * (s / (s**2 + ridge)) @ u.T @ places
    return places.mean(axis=0) + (row - rows.mean(axis=0)) @ matrix


def rows_below(rows, places, row, ridge):
    """Least squares in which D more rows ask each weight to be 0."""
    middle, d = places.mean(0), rows.shape[1]
    left = np.vstack([rows - rows.mean(0), ridge**0.5 * np.eye(d)])
    right = np.vstack([places - middle, np.zeros((d, 2))])
    return middle + (row - rows.mean(0)) @ np.linalg.lstsq(left, right, rcond=None)[0]


def a_value_for_each_city(rows, places, row, ridge):
    """Fails where there are fewer singular values than cities."""
    x = rows - rows.mean(0)
    u, s, _ = np.linalg.svd(x)
    votes = u @ ((u.T @ (x @ (row - rows.mean(0)))) / (s**2 + ridge))
    return places.mean(0) + votes @ places


def a_value_for_each_number(rows, places, row, ridge):
    """Fails where there are fewer singular values than numbers in a row."""
    x = rows - rows.mean(0)
    _, s, v = np.linalg.svd(x)
    return places.mean(0) + (row - rows.mean(0)) @ v.T @ ((v @ x.T @ places) / (s**2 + ridge)[:, None])


def of_one_spread(rows, places, row, ridge):
    """Places are centred, brought to one spread, and back."""
    spread = places.std(axis=0)
    standard = (places - places.mean(axis=0)) / spread
    return one_matrix(rows, standard, row, ridge) * spread + places.mean(axis=0)


def root_forgotten(rows, places, row, ridge):
    return rows_below(rows, places, row, ridge**2)


RIGHT = [one_matrix, a_free_constant, by_torch, by_elimination, by_singular_values, rows_below]
WRONG = [
    ("a singular value for each city", a_value_for_each_city),
    ("a singular value for each number", a_value_for_each_number),
    ("divided by a spread of 0", of_one_spread),
    ("ridge squared", root_forgotten),
    (
        "ridge left out",
        lambda x, y, row, ridge: y.mean(0) + (row - x.mean(0)) @ np.linalg.pinv(x - x.mean(0), 1e-4) @ y,
    ),
    ("latitude and longitude exchanged", lambda *given: one_matrix(*given)[::-1]),
    (None, lambda rows, places, row, ridge: one_matrix(rows, places, row, 2 * ridge)),
    (None, lambda rows, places, row, ridge: one_matrix(rows, places, row, 1.0)),
]
