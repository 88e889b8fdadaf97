"""Answers to logit_lens, as learners write them."""

import torch
import torch.nn.functional as F

from course_lib import probing
from course_lib.blocks import RMSNorm


def by_record(model, ids):
    with probing.recorded(model) as seen:
        model(ids)
    return torch.stack([model.lm_head(model.stack.final_norm(stream)) for stream in seen.streams])


@torch.no_grad()
def by_running(model, ids):
    """Layer after layer, without any hook."""
    x = model.embed(ids)
    rows = []
    for block in model.stack.blocks:
        x = block(x)
        rows.append(model.lm_head(model.stack.final_norm(x)))
    return torch.stack(rows)


def put_back(model, ids):
    """In evaluation mode, and then in the one that the model came in."""
    training = model.training
    model.eval()
    try:
        return by_record(model, ids)
    finally:
        model.train(training)


def by_hooks(model, ids):
    streams = []
    handles = [
        block.register_forward_hook(lambda block, args, output: streams.append(output))
        for block in model.stack.blocks
    ]
    try:
        with torch.inference_mode():
            model(ids)
            return model.lm_head(model.stack.final_norm(torch.stack(streams)))
    finally:
        for handle in handles:
            handle.remove()


def by_fewer_layers(model, ids):
    rows = []
    for n in range(1, model.config.n_layers + 1):
        with probing.layers_reordered(model, range(n)):
            rows.append(model(ids).detach())
    return torch.stack(rows)


def by_sums(model, ids):
    """The stream from what the branches add."""
    with torch.no_grad(), probing.recorded(model) as seen:
        model(ids)
        x = model.embed(ids)
        rows = []
        for mixed, thought in zip(seen.attention, seen.feed_forward, strict=True):
            x = x + mixed + thought
            rows.append(F.linear(model.stack.final_norm(x), model.lm_head.weight))
    return torch.stack(rows, dim=0)


@torch.no_grad()
def bare(model, ids):
    norm = model.stack.final_norm
    with probing.recorded(model) as seen:
        model(ids)
        x = torch.stack(seen.streams)
        if isinstance(norm, RMSNorm):
            return model.lm_head(x * (x.pow(2).mean(-1, keepdim=True) + norm.eps).rsqrt())
        return model.lm_head(F.layer_norm(x, x.shape[-1:], eps=norm.eps))


@torch.no_grad()
def by_the_library(model, ids):
    with probing.recorded(model) as seen:
        model(ids)
    return torch.stack([probing.logit_lens(model, stream) for stream in seen.streams])


def with_a_hook_left(model, ids):
    model.stack.blocks[0].register_forward_hook(lambda block, args, output: None)
    return by_record(model, ids)


def in_training_mode(model, ids):
    model.train()
    return by_record(model, ids)


def one_model_after_the_other(model, ids):
    """Layers are taken away, and not put back."""
    rows = [model(ids)]
    while len(model.stack.blocks) > 1:
        del model.stack.blocks[-1]
        rows.insert(0, model(ids))
    return torch.stack(rows).detach()


RIGHT = [put_back, by_hooks, by_sums, by_fewer_layers, by_running]
WRONG = [
    ("a norm without its weights", bare),
    (None, with_a_hook_left),
    ("left in training mode", in_training_mode),
    ("left in evaluation mode", lambda model, ids: by_running(model.eval(), ids)),
    (None, one_model_after_the_other),
    ("layers behind the sequences", lambda model, ids: torch.stack(list(by_running(model, ids)), 1)),
    (None, by_the_library),
]
