"""Answers to gated_mlp, as learners write them."""

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import blocks as library


def quick_gelu(h):
    return h * torch.sigmoid(1.702 * h)


def gated_by_sigmoid(x, gate, up, down):
    g = x @ gate.T
    return (x @ up.T * g * torch.sigmoid(g)) @ down.T


def gated_by_one_matrix(x, gate, up, down):
    """Both matrices in one, as where speed matters."""
    g, h = F.linear(x, torch.cat([gate, up])).chunk(2, dim=-1)
    return F.linear(nn.SiLU()(g) * h, down)


def gated_by_neurons(x, gate, up, down):
    out = torch.zeros_like(x)
    for g, u, d in zip(gate, up, down.T, strict=True):
        s = (x * g).sum(-1, keepdim=True)
        out = out + s * s.sigmoid() * (x * u).sum(-1, keepdim=True) * d
    return out


def gated_by_glu(x, gate, up, down):
    """torch's gated unit multiplies by a sigmoid; the other factor of the SiLU comes by hand."""
    g = x @ gate.mT
    return F.glu(torch.cat([g * (x @ up.mT), g], -1), dim=-1) @ down.mT


def gated_with(join):
    """Another way to make one wide vector of what `gate` and `up` make."""
    return lambda x, gate, up, down: F.linear(join(F.linear(x, gate), F.linear(x, up)), down)


def gated_by_library(x, gate, up, down):
    module = library.FeedForward(up.shape[1], up.shape[0], activation="swiglu", bias=False)
    weights = {"gate_proj.weight": gate, "up_proj.weight": up, "down_proj.weight": down}
    return torch.func.functional_call(module, weights, x)


RIGHT = [gated_by_sigmoid, gated_by_one_matrix, gated_by_neurons, gated_by_glu]
WRONG = [
    ("sigmoid", lambda x, g, u, d: F.glu(torch.cat([x @ u.T, x @ g.T], -1)) @ d.T),
    (None, gated_by_library),
    ("GELU by a sigmoid", gated_with(lambda g, h: quick_gelu(g) * h)),
    ("a SiLU by hand that overflows", gated_with(lambda g, h: g * g.exp() / (1 + g.exp()) * h)),
]
