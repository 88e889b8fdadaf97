"""Answers to rms_norm, as learners write them."""

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import blocks as library


def rms(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def rms_by_length(x, weight, eps):
    length = x.norm(dim=-1, keepdim=True)
    return weight * x / torch.sqrt(length**2 / x.size(-1) + eps)


def rms_by_vectors(x, weight, eps):
    flat = x.reshape(-1, x.shape[-1])
    rows = [row / (torch.dot(row, row) / len(row) + eps).sqrt() for row in flat]
    return torch.stack(rows).view(x.shape) * weight


def rms_by_variance(x, weight, eps):
    """The mean of squares from variance and mean."""
    variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    return x / (variance + mean.square() + eps).sqrt() * weight


def rms_ready_made(x, weight, eps):
    norm = nn.RMSNorm(x.shape[-1], eps=eps)
    return torch.func.functional_call(norm, {"weight": weight}, x)


def over_the_axis_of_weight(x, weight, eps):
    """Over the axis that is as long as weight, which need not be the last one."""
    mean_square = x.pow(2).mean(x.shape.index(len(weight)), keepdim=True)
    return x * (mean_square + eps).rsqrt() * weight


RIGHT = [rms, rms_by_length, rms_by_variance, rms_by_vectors]
WRONG = [
    ("D outside the root", lambda x, w, eps: x / (x.norm(dim=-1, keepdim=True) / x.shape[-1]) * w),
    ("sum of squares", lambda x, w, eps: F.normalize(x, dim=-1, eps=eps) * w),
    ("mean of sizes", lambda x, w, eps: x / (x.abs().mean(-1, keepdim=True) + eps) * w),
    (None, rms_ready_made),
    (None, lambda x, w, eps: F.rms_norm(x, w.shape, w, eps)),
    (None, lambda x, w, eps: torch.func.functional_call(library.RMSNorm(len(w), eps=eps), {"weight": w}, x)),
    ("the axis that is as long as weight", over_the_axis_of_weight),
    ("the largest number", lambda x, w, eps: x / x.abs().amax(-1, keepdim=True) * w),
]
