"""Plausible answers to the tasks of 06_residuals, written from the texts of the exercises alone."""

import functools
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import probing
from plausible import Answers

of = Answers("06_residuals")
right, wrong = of.right, of.wrong

# ------------------------------------------------------------------------------------------------- layer norm


@right("layer_norm", "std_mean, squared again")
def _(x, weight, bias, eps):
    std, mean = torch.std_mean(x, dim=-1, correction=0, keepdim=True)
    scale = 1 / torch.sqrt(std * std + eps)
    return (x - mean) * scale * weight + bias


@wrong("layer_norm", "torch's std as it is, eps behind it", "divided by D - 1")
def _(x, weight, bias, eps):
    return weight * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + eps) + bias


@wrong("layer_norm", "torch's var as it is", "divided by D - 1")
def _(x, weight, bias, eps):
    return weight * (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True) + eps) + bias


@wrong("layer_norm", "axis 1, because in a batch that is where tokens are", "normalised over axis 1")
def _(x, weight, bias, eps):
    mean = x.mean(1, keepdim=True)
    return (x - mean) / torch.sqrt(((x - mean) ** 2).mean(1, keepdim=True) + eps) * weight + bias


@wrong("layer_norm", "no scale and no shift", "neither weight nor bias")
def _(x, weight, bias, eps):
    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True, correction=0) + eps)


# --------------------------------------------------------------------------------------------------- rms norm


@right("rms_norm", "as in Llama's code, in float64 instead of float32")
def _(x, weight, eps):
    wide = x.to(torch.float64)
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    return weight * wide.to(x.dtype)


@wrong("rms_norm", "norm divided by D instead of its root", "D outside the root")
def _(x, weight, eps):
    return x / (x.norm(dim=-1, keepdim=True) / x.shape[-1] + eps) * weight


@wrong("rms_norm", "no keepdim", "axis not kept")
def _(x, weight, eps):
    return x / torch.sqrt(x.pow(2).mean(-1) + eps) * weight


@wrong("rms_norm", "axis 1", "normalised over axis 1")
def _(x, weight, eps):
    return x / torch.sqrt(x.pow(2).mean(1, keepdim=True) + eps) * weight


@wrong("rms_norm", "rsqrt taken for sqrt", "multiplied by the spread")
def _(x, weight, eps):
    return x / torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


# -------------------------------------------------------------------------------------------------------- mlp


@right("mlp", "matrix times column")
def _(x, up, up_bias, down, down_bias):
    h = (up @ x.unsqueeze(-1)).squeeze(-1) + up_bias
    return (down @ F.gelu(h, approximate="none").unsqueeze(-1)).squeeze(-1) + down_bias


@wrong("mlp", "as drawn in the lecture: two matrices, then GELU", "GELU behind the second matrix")
def _(x, up, up_bias, down, down_bias):
    h = F.linear(x, up, up_bias)
    return F.gelu(F.linear(h, down, down_bias))


@wrong("mlp", "a whole residual layer", "x added")
def _(x, up, up_bias, down, down_bias):
    return x + F.linear(F.gelu(F.linear(x, up, up_bias)), down, down_bias)


@wrong("mlp", "the tanh version by torch's keyword", "GELU by tanh")
def _(x, up, up_bias, down, down_bias):
    return F.linear(F.gelu(F.linear(x, up, up_bias), approximate="tanh"), down, down_bias)


@wrong("mlp", "new matrices")
def _(x, up, up_bias, down, down_bias):
    return nn.Linear(len(up), len(down))(F.gelu(nn.Linear(len(down), len(up))(x.float()))).to(x.dtype)


# -------------------------------------------------------------------------------------------------- gated mlp


@right("gated_mlp", "torch.mul and matmul")
def _(x, gate, up, down):
    gated = torch.mul(nn.functional.silu(torch.matmul(x, gate.t())), torch.matmul(x, up.t()))
    return torch.matmul(gated, down.t())


@wrong(
    "gated_mlp",
    "names in the order of the file: gate, up, down read as up, gate, down",
    "gate and up exchanged",
)
def _(x, up, gate, down):
    return (F.silu(x @ gate.mT) * (x @ up.mT)) @ down.mT


@wrong("gated_mlp", "a gate between 0 and 1", "sigmoid")
def _(x, gate, up, down):
    return (torch.sigmoid(x @ gate.mT) * (x @ up.mT)) @ down.mT


@wrong("gated_mlp", "precedence: * before @", "brackets forgotten")
def _(x, gate, up, down):
    return F.silu(x @ gate.mT) * x @ up.mT @ down.mT


@wrong("gated_mlp", "one after the other")
def _(x, gate, up, down):
    return (x @ up.mT) * F.silu((x @ up.mT) @ down.mT @ gate.mT) @ down.mT


# --------------------------------------------------------------------------------------------- pre norm block


@right("pre_norm_block", "reduce")
def _(x, attention, mlp, norm_1, norm_2):
    return functools.reduce(lambda h, pair: pair[0](pair[1](h)) + h, [(attention, norm_1), (mlp, norm_2)], x)


@wrong("pre_norm_block", "the last sum without x", "x left out of the sum")
def _(x, attention, mlp, norm_1, norm_2):
    a = attention(norm_1(x))
    return a + mlp(norm_2(x + a))


@wrong("pre_norm_block", "the second norm forgotten", "no second norm")
def _(x, attention, mlp, norm_1, norm_2):
    x = x + attention(norm_1(x))
    return x + mlp(x)


@wrong("pre_norm_block", "x read and written by both", "in parallel")
def _(x, attention, mlp, norm_1, norm_2):
    a, m = attention(norm_1(x)), mlp(norm_2(x))
    return x + a + m


def _as_module(function):
    module = nn.Module()
    module.forward = function
    return module


@wrong("pre_norm_block", "the parts in a row", "nothing added")
def _(x, attention, mlp, norm_1, norm_2):
    return nn.Sequential(*map(_as_module, (norm_1, attention, norm_2, mlp)))(x)


# -------------------------------------------------------------------------------------------- post norm block


@right("post_norm_block", "reduce")
def _(x, attention, mlp, norm_1, norm_2):
    return functools.reduce(lambda h, pair: pair[1](pair[0](h) + h), [(attention, norm_1), (mlp, norm_2)], x)


@wrong("post_norm_block", "norm before the addition", "only the results normalised")
def _(x, attention, mlp, norm_1, norm_2):
    x = x + norm_1(attention(x))
    return x + norm_2(mlp(x))


def pre(x, part, norm):
    return x + part(norm(x))


@wrong("post_norm_block", "as in the task before", "pre-norm")
def _(x, attention, mlp, norm_1, norm_2):
    return pre(pre(x, attention, norm_1), mlp, norm_2)


@wrong("post_norm_block", "the MLP reads the sum before its norm", "MLP reads the sum before its norm")
def _(x, attention, mlp, norm_1, norm_2):
    h = x + attention(x)
    return norm_2(norm_1(h) + mlp(h))


@wrong("post_norm_block", "no second norm", "no second norm")
def _(x, attention, mlp, norm_1, norm_2):
    h = norm_1(x + attention(x))
    return h + mlp(h)


# --------------------------------------------------------------------------------------------- identity start


@right("identity_start", "get_submodule by path")
def _(stack):
    for n in range(len(stack.blocks)):
        for path in ("attention.out_proj", "feed_forward.down_proj"):
            for parameter in stack.get_submodule(f"blocks.{n}.{path}").parameters():
                torch.nn.init.zeros_(parameter)


@right("identity_start", "zeros as a normal distribution without spread")
def _(stack):
    for name, parameter in stack.named_parameters():
        if any(last in name for last in ("out_proj", "down_proj")):
            nn.init.normal_(parameter, 0.0, 0.0)


@wrong("identity_start", "up_proj for down_proj", "up for down")
def _(stack):
    for block in stack.blocks:
        for part in (block.attention.out_proj, block.feed_forward.up_proj):
            nn.init.zeros_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


@wrong("identity_start", "zero gain of xavier, biases stay", "biases forgotten")
def _(stack):
    for block in stack.blocks:
        nn.init.xavier_uniform_(block.attention.out_proj.weight, gain=0.0)
        nn.init.xavier_uniform_(block.feed_forward.down_proj.weight, gain=0.0)


@wrong("identity_start", "assigns to a local name", "nothing changed")
def _(stack):
    for block in stack.blocks:
        weight = block.attention.out_proj.weight
        weight = torch.zeros_like(weight)


@wrong("identity_start", "all but the biases of the whole stack are 0", "everything but the biases")
def _(stack):
    for name, parameter in stack.named_parameters():
        if name.endswith("weight"):
            nn.init.zeros_(parameter)


# ----------------------------------------------------------------------------------------- depth scaled start


@right("depth_scaled_start", "the library's initialise, then the smaller ones again")
def _(stack, std):
    from course_lib.blocks import initialise

    scales = {n: p.detach().clone() for n, p in stack.named_parameters() if "norm" in n}
    initialise(stack, std)
    for name, parameter in stack.named_parameters():
        if name in scales:
            parameter.data = scales[name]
        if name.split(".")[-2] in ("out_proj", "down_proj") and parameter.ndim > 1:
            nn.init.normal_(parameter, std=std / math.sqrt(len(stack.blocks) * 2))


@right("depth_scaled_start", "NumPy's generator")
def _(stack, std):
    rng = np.random.default_rng(5)
    for name, parameter in stack.named_parameters():
        if parameter.ndim == 2:
            size = std * (2 * len(stack.blocks)) ** -0.5 if "out_" in name or "down_" in name else std
            parameter.data = torch.from_numpy(rng.normal(0, size, parameter.shape)).float()
        elif "norm" not in name:
            parameter.data = torch.zeros(parameter.shape)


def _draw(module, std, smaller):
    for name, parameter in module.named_parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=smaller if "out_proj" in name or "down_proj" in name else std)
        elif name.endswith("_proj.bias"):
            nn.init.zeros_(parameter)


@wrong("depth_scaled_start", "L counts attention and MLP already, and is doubled", "the root of L alone")
def _(stack, std):
    _draw(stack, std, std / math.sqrt(4 * len(stack.blocks)))


@wrong("depth_scaled_start", "biases drawn too", "biases and norms drawn")
def _(stack, std):
    _draw(stack, std, std / math.sqrt(2 * len(stack.blocks)))
    for parameter in stack.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, std=std)


@wrong("depth_scaled_start", "only the last layer's matrices are smaller", "only the last layer smaller")
def _(stack, std):
    _draw(stack, std, std)
    _draw(stack.blocks[-1], std, std / math.sqrt(2 * len(stack.blocks)))


# ------------------------------------------------------------------------------------------------- logit lens


@right("logit_lens", "all streams at once")
def _(model, ids):
    with probing.recorded(model) as seen:
        model(ids)
    return model.lm_head(model.stack.final_norm(torch.stack(seen.streams)))


def _streams(model, ids):
    with probing.recorded(model) as seen:
        model(ids)
    return seen.streams


@wrong("logit_lens", "layers after the batch", "layers behind the sequences")
def _(model, ids):
    return torch.stack([model.lm_head(model.stack.final_norm(x)) for x in _streams(model, ids)], dim=1)


@wrong("logit_lens", "norm after the head")
def _(model, ids):
    return torch.stack([F.layer_norm(model.lm_head(x), (17,)) for x in _streams(model, ids)])


@wrong("logit_lens", "the first norm of all", "the first norm of all")
def _(model, ids):
    norm = model.stack.blocks[0].attention_norm
    return torch.stack([model.lm_head(norm(x)) for x in _streams(model, ids)])


@wrong("logit_lens", "a list")
def _(model, ids):
    return [model.lm_head(x)[:, :1] for x in _streams(model, ids)]


# ------------------------------------------------------------------------------------------------- skip layer


def _loss(model, ids):
    with torch.no_grad():
        return F.cross_entropy(model(ids)[:, :-1].transpose(1, 2), ids[:, 1:])


@right("skip_layer", "classes as the second axis")
def _(model, ids, layer):
    base = _loss(model, ids)
    with probing.layers_skipped(model, [layer]):
        return float(_loss(model, ids) - base)


@wrong("skip_layer", "the model without all other layers", "all the others skipped")
def _(model, ids, layer):
    base = _loss(model, ids)
    others = [n for n in range(len(model.stack.blocks)) if n != layer]
    with probing.layers_skipped(model, others):
        return _loss(model, ids) - base


@wrong("skip_layer", "the mean of each sequence, added up")
def _(model, ids, layer):
    base = _loss(model, ids)
    with probing.layers_skipped(model, [layer]):
        return (_loss(model, ids) - base) * (len(ids) + 1)


@wrong("skip_layer", "perplexities", "perplexities")
def _(model, ids, layer):
    base = _loss(model, ids).exp()
    with probing.layers_skipped(model, [layer]):
        return _loss(model, ids).exp() - base


@wrong("skip_layer", "the block is gone for good")
def _(model, ids, layer):
    base = _loss(model, ids)
    del model.stack.blocks[layer]
    return _loss(model, ids) - base


# ---------------------------------------------------------------------------------------------- block at work


def _norm(x, scale, eps):
    return scale * x / torch.sqrt(torch.mean(x**2, dim=-1, keepdim=True) + eps)


@right("block_at_work", "F.linear and F.silu")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    x = x + attention(_norm(x, attention_scale, eps))
    y = _norm(x, mlp_scale, eps)
    return x + F.linear(F.silu(F.linear(y, gate)) * F.linear(y, up), down)


@wrong("block_at_work", "the norm is shared: computed once, before attention")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    y = _norm(x, attention_scale, eps)
    x = x + attention(y)
    return x + (F.silu(y @ gate.T) * (y @ up.T)) @ down.T


@wrong("block_at_work", "down(silu(gate) + up) without the product")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    x = x + attention(_norm(x, attention_scale, eps))
    y = _norm(x, mlp_scale, eps)
    return x + F.silu(y @ (gate + up).T) @ down.T


@wrong("block_at_work", "the MLP added to x, attention forgotten on the way", "what attention adds is lost")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    y = x + attention(_norm(x, attention_scale, eps))
    z = _norm(y, mlp_scale, eps)
    return x + (F.silu(z @ gate.T) * (z @ up.T)) @ down.T
