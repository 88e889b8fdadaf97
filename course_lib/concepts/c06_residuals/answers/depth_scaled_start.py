"""Answers to depth_scaled_start, as learners write them."""

import math

import torch
from torch import nn


@torch.no_grad()
def by_randn(stack, std):
    depth = len(list(stack.blocks))
    for block in stack.blocks:
        for part in (block.attention, block.feed_forward):
            for name, linear in part.named_children():
                if not isinstance(linear, nn.Linear):
                    continue
                size = std * (2 * depth) ** -0.5 if name in ("out_proj", "down_proj") else std
                linear.weight.copy_(torch.randn_like(linear.weight) * size)
                for bias in [] if linear.bias is None else [linear.bias]:
                    bias.mul_(0)


def truncated(stack, std):
    """A normal distribution whose far ends are cut off, four standard deviations out."""
    depth = len(stack.blocks)
    for name, module in stack.named_modules():
        if isinstance(module, nn.Linear):
            size = std / math.sqrt(depth + depth) if name.endswith(("out_proj", "down_proj")) else std
            nn.init.trunc_normal_(module.weight, 0, size, -4 * size, 4 * size)
            if module.bias is not None:
                nn.init.constant_(module.bias, 0)


def by_state_dict(stack, std):
    state = stack.state_dict()
    n = sum(name.endswith("down_proj.weight") for name in state)
    new = {}
    for name, value in state.items():
        if value.ndim == 2:
            shrink = (2 * n) ** 0.5 if name.split(".")[-2] in {"out_proj", "down_proj"} else 1
            new[name] = torch.empty_like(value).normal_(0, std / shrink)
        elif "proj" in name:
            new[name] = torch.zeros_like(value)
    stack.load_state_dict(new, strict=False)


def as_asked(stack, std, draw=lambda weight, std: nn.init.normal_(weight, std=std)):
    for name, module in stack.named_modules():
        if isinstance(module, nn.Linear):
            smaller = name.endswith(("out_proj", "down_proj"))
            draw(module.weight, std / math.sqrt(2 * len(stack.blocks)) if smaller else std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def drawn_by(draw):
    return lambda stack, std: as_asked(stack, std, draw)


def last_norm_redrawn(stack, std):
    as_asked(stack, std)
    nn.init.normal_(stack.final_norm.weight, 1, 0.02)


def one_layer_too_many(stack, std):
    as_asked(stack, std)
    n_layers = len(stack.blocks)
    for name, parameter in stack.named_parameters():
        if name.endswith(("out_proj.weight", "down_proj.weight")):
            parameter.data *= math.sqrt(n_layers / (n_layers + 1))


def everything_normal(stack, std):
    as_asked(stack, std)
    for parameter in stack.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, std=std)


def only_divided(stack, std):
    with torch.no_grad():
        for block in stack.blocks:
            for linear in (block.attention.out_proj, block.feed_forward.down_proj):
                linear.weight /= math.sqrt(2 * len(stack.blocks))


RIGHT = [by_randn, truncated, by_state_dict, as_asked]
WRONG = [
    ("norms changed", last_norm_redrawn),
    ("biases and norms drawn", everything_normal),
    (None, only_divided),
    (None, drawn_by(nn.init.constant_)),
    (None, drawn_by(lambda weight, std: nn.init.xavier_normal_(weight))),
    (None, drawn_by(lambda weight, std: nn.init.uniform_(weight, -std, std))),
    (None, one_layer_too_many),
    (None, lambda stack, std: as_asked(stack.half(), std)),
]
