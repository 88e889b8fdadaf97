"""Answers to layer_norm, as learners write them."""

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import blocks as library


def by_var_mean(x, weight, bias, eps):
    variance, mean = torch.var_mean(x, dim=-1, unbiased=False, keepdim=True)
    return torch.addcmul(bias, (x - mean) * torch.rsqrt(variance + eps), weight)


def by_mean_of_squares(x, weight, bias, eps):
    """Mean of squares minus square of the mean."""
    mean = x.mean(-1, keepdim=True)
    variance = (x**2).mean(-1, keepdim=True) - mean**2
    return (x - mean) / (variance + eps).sqrt() * weight + bias


def by_vectors(x, weight, bias, eps):
    """One vector after the other, in Python's own sums."""
    rows = []
    for row in x.reshape(-1, x.shape[-1]):
        mean = sum(row) / len(row)
        variance = sum((number - mean) ** 2 for number in row) / len(row)
        rows.append(torch.stack([(number - mean) / torch.sqrt(variance + eps) for number in row]))
    return torch.stack(rows).reshape(x.shape) * weight + bias


def by_matrix(x, weight, bias, eps):
    """Taking the mean away is a projection."""
    d = x.shape[-1]
    centred = x @ (torch.eye(d, dtype=x.dtype) - 1 / d)
    return centred / (centred.square().sum(-1, keepdim=True) / d + eps).sqrt() * weight + bias


def by_std(x, weight, bias, eps):
    """The root of the squared standard deviation: its gradient is finite only where numbers differ."""
    squared = torch.linalg.vector_norm(x - x.mean(-1, keepdim=True), dim=-1, keepdim=True) ** 2
    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(squared / x.shape[-1] + eps) * weight + bias


def by_group_norm(x, weight, bias, eps):
    return F.group_norm(x.reshape(-1, x.shape[-1]), 1, weight, bias, eps).reshape(x.shape)


def mean_of_distances(x, weight, bias, eps):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.abs().mean(-1, keepdim=True) + eps) * weight + bias


def ready_made(x, weight, bias, eps):
    norm = nn.LayerNorm(x.shape[-1], eps=eps)
    return torch.func.functional_call(norm, {"weight": weight, "bias": bias}, x)


def library_layer(x, weight, bias, eps):
    norm = library.LayerNorm(x.shape[-1], eps=eps)
    return torch.func.functional_call(norm, {"weight": weight, "bias": bias}, x)


def constant_statistics(x, weight, bias, eps):
    """As if mean and variance were no functions of x."""
    with torch.no_grad():
        mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, correction=0)
    return (x - mean) / torch.sqrt(variance + eps) * weight + bias


def over_the_axis_of_weight(x, weight, bias, eps):
    """Over the axis that is as long as weight, which need not be the last one."""
    axis = x.shape.index(len(weight))
    centred = x - x.mean(axis, keepdim=True)
    return centred / (centred.square().mean(axis, keepdim=True) + eps).sqrt() * weight + bias


RIGHT = [by_var_mean, by_mean_of_squares, by_matrix, by_vectors, by_std, by_group_norm]
WRONG = [
    (
        "always the same eps",
        lambda x, w, b, eps: F.group_norm(x.reshape(-1, len(w)), 1, w, b).reshape(x.shape),
    ),
    ("mean of distances", mean_of_distances),
    ("length 1", lambda x, w, b, eps: F.normalize(x, dim=-1) * w + b),
    (None, ready_made),
    (None, library_layer),
    (None, lambda x, w, b, eps: F.layer_norm(x, w.shape, w, b, eps)),
    (None, constant_statistics),
    ("the axis that is as long as weight", over_the_axis_of_weight),
]
