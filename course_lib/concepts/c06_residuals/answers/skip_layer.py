"""Answers to skip_layer, as learners write them."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import probing


@torch.no_grad()
def loss_of(model, ids):
    logits = model(ids)
    return F.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))


def by_skipped(model, ids, layer):
    before = loss_of(model, ids)
    with probing.layers_skipped(model, [layer]):
        after = loss_of(model, ids)
    return after - before


def by_own_hook(model, ids, layer):
    before = loss_of(model, ids).item()
    handle = model.stack.blocks[layer].register_forward_hook(lambda block, args, output: args[0])
    try:
        return loss_of(model, ids).item() - before
    finally:
        handle.remove()


def by_copy(model, ids, layer):
    lacking = copy.deepcopy(model)
    del lacking.stack.blocks[layer]
    return loss_of(lacking, ids) - loss_of(model, ids)


def by_running_the_rest(model, ids, layer):
    def loss(skip=None):
        x = model.embed(ids)
        for n, block in enumerate(model.stack.blocks):
            if n != skip:
                x = block(x)
        logits = model.lm_head(model.stack.final_norm(x))
        total = 0.0
        for b in range(len(ids)):
            for t in range(ids.shape[1] - 1):
                total = total + logits[b, t].logsumexp(-1) - logits[b, t, ids[b, t + 1]]
        return total / (len(ids) * (ids.shape[1] - 1))

    return (loss(layer) - loss()).detach().numpy()


def by_forward(model, ids, layer):
    block = model.stack.blocks[layer]
    with_all = loss_of(model, ids)
    block.forward = lambda x, mask=None, cache=None: x
    without = loss_of(model, ids)
    del block.forward
    return without - with_all


def hook_stays(model, ids, layer):
    before = loss_of(model, ids)
    model.stack.blocks[layer].register_forward_hook(lambda block, args, output: args[0])
    return loss_of(model, ids) - before


def deleted(model, ids, layer):
    before = loss_of(model, ids)
    model.stack.blocks = nn.ModuleList(b for n, b in enumerate(model.stack.blocks) if n != layer)
    return loss_of(model, ids) - before


def useless_hook_left(model, ids, layer):
    model.stack.register_forward_hook(lambda *given: None)
    return by_skipped(model, ids, layer)


def weights_zeroed(model, ids, layer):
    """The right number, from a layer that is destroyed."""
    result = by_skipped(model, ids, layer)
    for parameter in model.stack.blocks[layer].parameters():
        parameter.data.zero_()
    return result


def sequences_added(model, ids, layer):
    return sum(by_skipped(model, sequence[None], layer) for sequence in ids)


RIGHT = [by_own_hook, by_copy, by_running_the_rest, by_forward]
WRONG = [
    ("not put back", hook_stays),
    ("not put back", weights_zeroed),
    (None, deleted),
    (None, useless_hook_left),
    (None, lambda model, ids, layer: [loss_of(model, ids), by_skipped(model, ids, layer)]),
    (None, lambda model, ids, layer: 0.0),
    ("left in training mode", lambda model, ids, layer: by_skipped(model.train(), ids, layer)),
    ("left in evaluation mode", lambda model, ids, layer: by_skipped(model.eval(), ids, layer)),
    ("sequences added up", sequences_added),
]
