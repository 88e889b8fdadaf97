"""Answers to mlp, as learners write them."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import blocks as library


def mlp_by_erf(x, up, up_bias, down, down_bias):
    h = torch.einsum("...d,fd->...f", x, up) + up_bias
    h = h * (1 + torch.erf(h / math.sqrt(2))) / 2
    return torch.einsum("...f,df->...d", h, down) + down_bias


def mlp_by_modules(x, up, up_bias, down, down_bias):
    f, d = up.shape
    layers = nn.Sequential(nn.Linear(d, f), nn.GELU(), nn.Linear(f, d))
    weights = {"0.weight": up, "0.bias": up_bias, "2.weight": down, "2.bias": down_bias}
    return torch.func.functional_call(layers, weights, x)


def mlp_by_neurons(x, up, up_bias, down, down_bias):
    """Every neuron reads the vector, and writes its column."""
    out = down_bias.expand(x.shape)
    for i in range(len(up)):
        out = out + F.gelu((x * up[i]).sum(-1, keepdim=True) + up_bias[i]) * down[:, i]
    return out


def mlp_by_normal(x, up, up_bias, down, down_bias):
    h = torch.matmul(x, up.t()).add(up_bias)
    return torch.matmul(h * torch.special.ndtr(h), down.t()).add(down_bias)


def mlp_with(act):
    return lambda x, up, up_bias, down, down_bias: F.linear(act(F.linear(x, up, up_bias)), down, down_bias)


def gelu_as_in_gpt2(h):
    return 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))


def mlp_by_library(x, up, up_bias, down, down_bias):
    module = library.FeedForward(up.shape[1], up.shape[0])
    weights = {"up_proj.weight": up, "up_proj.bias": up_bias}
    weights |= {"down_proj.weight": down, "down_proj.bias": down_bias}
    return torch.func.functional_call(module, weights, x)


RIGHT = [mlp_by_erf, mlp_by_neurons, mlp_by_modules, mlp_by_normal]
WRONG = [
    ("no activation", lambda x, u, bu, d, bd: x @ (d @ u).T + d @ bu + bd),
    ("GELU by tanh", mlp_with(gelu_as_in_gpt2)),
    (None, mlp_by_library),
]
