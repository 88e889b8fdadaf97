"""Answers to identity_start, as learners write them."""

import torch
from torch import nn


def by_blocks(stack):
    for block in stack.blocks:
        for linear in (block.attention.out_proj, block.feed_forward.down_proj):
            nn.init.zeros_(linear.weight)
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)


@torch.no_grad()
def by_state(stack):
    state = stack.state_dict()
    last = {n: torch.zeros_like(v) for n, v in state.items() if n.split(".")[-2] in ("out_proj", "down_proj")}
    stack.load_state_dict(state | last)


def by_new_parameters(stack):
    for block in stack.blocks:
        for module, name in ((block.attention, "out_proj"), (block.feed_forward, "down_proj")):
            old = getattr(module, name)
            new = nn.Linear(old.in_features, old.out_features, bias=old.bias is not None)
            for parameter in new.parameters():
                parameter.data = torch.zeros_like(parameter)
            setattr(module, name, new)


def redrawn(stack):
    """All other matrices are drawn anew."""
    for name, parameter in stack.named_parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.02)
        if name.endswith(("out_proj.weight", "down_proj.weight", "proj.bias")):
            nn.init.constant_(parameter, 0)


@torch.no_grad()
def at_the_other_end(stack):
    """Values and what the gate is multiplied by are 0: no gradient is lost in either branch."""
    for block in stack.blocks:
        mlp = block.feed_forward
        for linear in (block.attention.v_proj, mlp.up_proj, block.attention.out_proj, mlp.down_proj):
            if linear in (block.attention.v_proj, mlp.up_proj):
                linear.weight.mul_(0)
            if linear.bias is not None:
                linear.bias.mul_(0)


def zeroing(*endings):
    """All parameters whose names end like that."""

    def answer(stack):
        for name, parameter in stack.named_parameters():
            if name.endswith(endings):
                nn.init.zeros_(parameter)

    return answer


def tiny(stack):
    for name, parameter in stack.named_parameters():
        if name.endswith(("out_proj.weight", "down_proj.weight")):
            nn.init.normal_(parameter, std=1e-4)
        elif "out_proj" in name or "down_proj" in name:
            nn.init.zeros_(parameter)


def frozen(stack):
    by_blocks(stack)
    for name, parameter in stack.named_parameters():
        if "out_proj" in name or "down_proj" in name:
            parameter.requires_grad_(False)


def without_parts(stack):
    for block in stack.blocks:
        block.attention = nn.Identity()


def all_parameters(stack):
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.zero_()


def last_norm_only(stack):
    nn.init.zeros_(stack.final_norm.weight)


def known_by_its_width(stack):
    """Of the MLP what gives as many numbers as the stream has, which others may, too."""
    for block in stack.blocks:
        out = block.attention.out_proj
        for linear in (out, *block.feed_forward.children()):
            if isinstance(linear, nn.Linear) and linear.out_features == out.out_features:
                for parameter in linear.parameters():
                    nn.init.zeros_(parameter)


RIGHT = [at_the_other_end, redrawn, by_new_parameters, by_state]
WRONG = [
    ("everything", all_parameters),
    ("nothing changed", last_norm_only),
    (None, tiny),
    (None, frozen),
    (None, without_parts),
    ("the MLP's last matrix known by its width", known_by_its_width),
    ("up for down", zeroing("out_proj.weight", "out_proj.bias", "up_proj.weight", "up_proj.bias")),
    ("everything but the biases", zeroing("weight")),
]
