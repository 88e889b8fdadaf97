"""A pool of answers to the tasks on a layer's parts, written from the exercises' texts alone. See `pool`."""

import functools
import math

import torch
import torch.nn.functional as F
from pool import Pool
from torch import nn

POOL = Pool()
right, wrong, either = POOL.right, POOL.wrong, POOL.either
BLOCKS = ("pre_norm_block", "post_norm_block")
MLPS = ("mlp", "gated_mlp")


# ------------------------------------------------------------------------------------------------- layer norm


@right("layer_norm", "std_mean, squared again")
def _(x, weight, bias, eps):
    std, mean = torch.std_mean(x, dim=-1, correction=0, keepdim=True)
    scale = 1 / torch.sqrt(std * std + eps)
    return (x - mean) * scale * weight + bias


@either(
    "layer_norm", "batch norm with a channel for each vector, which torch refuses for vectors of one number"
)
def _(x, weight, bias, eps):
    rows = x.reshape(1, -1, x.shape[-1])
    return F.batch_norm(rows, None, None, training=True, eps=eps).reshape(x.shape) * weight + bias


@right("layer_norm", "unsqueeze instead of keepdim")
def _(x, weight, bias, eps):
    d = x.size(-1)
    mean = (x.sum(-1) / d).unsqueeze(-1)
    squares = (x - mean).pow(2).sum(-1) / d
    return weight * ((x - mean) / (squares + eps).pow(0.5).unsqueeze(-1)) + bias


@right("layer_norm", "vmap over the vectors")
def _(x, weight, bias, eps):
    def one(row):
        y = row - row.mean()
        return y / torch.sqrt(y.dot(y) / y.numel() + eps) * weight + bias

    return torch.vmap(one)(x.reshape(-1, x.shape[-1])).reshape(x.shape)


@right("layer_norm", "var with D - 1, corrected")
def _(x, weight, bias, eps):
    d = x.shape[-1]
    variance = x.var(-1, keepdim=True, correction=min(1, d - 1)) * max(d - 1, 1) / d
    return (x - x.mean(dim=-1, keepdim=True)).div(variance.add(eps).sqrt()).mul(weight).add(bias)


@right("layer_norm", "the weight through a diagonal matrix")
def _(x, weight, bias, eps):
    mean = torch.mean(x, -1, True)
    variance = torch.mean((x - mean) ** 2, -1, True)
    return F.linear((x - mean) / torch.sqrt(variance + eps), torch.diag(weight), bias)


@wrong("layer_norm", "torch's std as it is, eps behind it")
def _(x, weight, bias, eps):
    return weight * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + eps) + bias


@wrong("layer_norm", "torch's var as it is")
def _(x, weight, bias, eps):
    return weight * (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True) + eps) + bias


@wrong("layer_norm", "divided first, the old mean taken away after")
def _(x, weight, bias, eps):
    spread = torch.sqrt(x.var(-1, keepdim=True, correction=0) + eps)
    return (x / spread - x.mean(-1, keepdim=True)) * weight + bias


@wrong("layer_norm", "axis 1, because in a batch that is where tokens are")
def _(x, weight, bias, eps):
    mean = x.mean(1, keepdim=True)
    return (x - mean) / torch.sqrt(((x - mean) ** 2).mean(1, keepdim=True) + eps) * weight + bias


@wrong("layer_norm", "no scale and no shift")
def _(x, weight, bias, eps):
    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True, correction=0) + eps)


@wrong("layer_norm", "distances summed up without squares")
def _(x, weight, bias, eps):
    y = x - x.mean(-1, keepdim=True)
    return y / torch.sqrt(y.mean(-1, keepdim=True) + eps) * weight + bias


@wrong("layer_norm", "F.normalize of the centred vector")
def _(x, weight, bias, eps):
    return F.normalize(x - x.mean(-1, keepdim=True), dim=-1, eps=eps) * weight + bias


@wrong("layer_norm", "eps added to x")
def _(x, weight, bias, eps):
    x = x + eps
    return (x - x.mean(-1, keepdim=True)) / x.var(-1, keepdim=True, correction=0).sqrt() * weight + bias


@wrong("layer_norm", "eps added twice")
def _(x, weight, bias, eps):
    variance = x.var(-1, keepdim=True, correction=0) + eps
    return (x - x.mean(-1, keepdim=True)) / (torch.sqrt(variance) + eps) * weight + bias


@wrong("layer_norm", "the median")
def _(x, weight, bias, eps):
    y = x - x.median(-1, keepdim=True).values
    return y / torch.sqrt((y**2).mean(-1, keepdim=True) + eps) * weight + bias


@wrong("layer_norm", "a new LayerNorm with weights of its own")
def _(x, weight, bias, eps):
    return nn.LayerNorm(x.shape[-1], eps=eps).to(x.dtype)(x)


@wrong("layer_norm", "the ready-made one")
def _(x, weight, bias, eps):
    return torch.layer_norm(x, [x.shape[-1]], weight, bias, eps)


@wrong("layer_norm", "the ready-made one below that")
def _(x, weight, bias, eps):
    return torch.native_layer_norm(x, [x.shape[-1]], weight, bias, eps)[0]


@wrong("layer_norm", "numbers through the data attribute")
def _(x, weight, bias, eps):
    y = x.data - x.data.mean(-1, keepdim=True)
    return y / torch.sqrt((y**2).mean(-1, keepdim=True) + eps) * weight + bias


# --------------------------------------------------------------------------------------------------- RMS norm


@right("rms_norm", "one step a line")
def _(x, weight, eps):
    squares = x * x
    mean = squares.mean(dim=-1, keepdim=True)
    root = (mean + eps).sqrt()
    return weight * (x / root)


@right("rms_norm", "as in Llama's code, in float64 instead of float32")
def _(x, weight, eps):
    wide = x.to(torch.float64)
    wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
    return weight * wide.to(x.dtype)


@right("rms_norm", "the diagonal of a product")
def _(x, weight, eps):
    rows = x.reshape(-1, x.shape[-1])
    squares = (rows @ rows.T).diagonal() / rows.shape[1]
    return ((rows / (squares + eps).sqrt()[:, None]) * weight).reshape(x.shape)


@right("rms_norm", "F.normalize with room for eps: a vector that is longer by sqrt(D eps)")
def _(x, weight, eps):
    d = x.shape[-1]
    extra = torch.full_like(x[..., :1], math.sqrt(d * eps))
    return F.normalize(torch.cat([x, extra], -1), dim=-1)[..., :d] * math.sqrt(d) * weight


@right("rms_norm", "layer norm of the vector and its negative")
def _(x, weight, eps):
    both = torch.cat([x, -x], -1)
    variance = both.var(-1, keepdim=True, correction=0)
    return (both / torch.sqrt(variance + eps))[..., : x.shape[-1]] * weight


@wrong("rms_norm", "norm divided by D instead of its root")
def _(x, weight, eps):
    return x / (x.norm(dim=-1, keepdim=True) / x.shape[-1] + eps) * weight


@wrong("rms_norm", "the root of the mean of absolute values")
def _(x, weight, eps):
    return x / torch.sqrt(x.abs().mean(-1, keepdim=True) + eps) * weight


@wrong("rms_norm", "no keepdim")
def _(x, weight, eps):
    return x / torch.sqrt(x.pow(2).mean(-1) + eps) * weight


@wrong("rms_norm", "axis 1")
def _(x, weight, eps):
    return x / torch.sqrt(x.pow(2).mean(1, keepdim=True) + eps) * weight


@wrong("rms_norm", "rsqrt taken for sqrt")
def _(x, weight, eps):
    return x / torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


@wrong("rms_norm", "eps as the least that the root may be")
def _(x, weight, eps):
    return x / x.pow(2).mean(-1, keepdim=True).sqrt().clamp(min=eps) * weight


@wrong("rms_norm", "half precision on the way")
def _(x, weight, eps):
    y = x.bfloat16()
    return (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype) * weight


@wrong("rms_norm", "the weight divides")
def _(x, weight, eps):
    return x / (torch.sqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight)


@wrong("rms_norm", "the ready-made one")
def _(x, weight, eps):
    return torch.rms_norm(x, [x.shape[-1]], weight, eps)


@either("rms_norm", "as in Llama's code: always float32 on the way")
def _(x, weight, eps):
    y = x.float()
    return weight * (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)


# ------------------------------------------------------------------------------------------------------- MLPs


@right("mlp", "addmm on flat rows")
def _(x, up, up_bias, down, down_bias):
    rows = x.reshape(-1, x.shape[-1])
    hidden = F.gelu(torch.addmm(up_bias, rows, up.T))
    return torch.addmm(down_bias, hidden, down.T).reshape(x.shape)


@right("mlp", "two Linear modules, weights put in")
def _(x, up, up_bias, down, down_bias):
    first, second = nn.Linear(*reversed(up.shape)), nn.Linear(*reversed(down.shape))
    h = torch.func.functional_call(first, {"weight": up, "bias": up_bias}, x)
    return torch.func.functional_call(second, {"weight": down, "bias": down_bias}, nn.functional.gelu(h))


@right("mlp", "matrix times column")
def _(x, up, up_bias, down, down_bias):
    h = (up @ x.unsqueeze(-1)).squeeze(-1) + up_bias
    return (down @ F.gelu(h, approximate="none").unsqueeze(-1)).squeeze(-1) + down_bias


@right("mlp", "the bias as one more column")
def _(x, up, up_bias, down, down_bias):
    def with_one(y):
        return torch.cat([y, torch.ones_like(y[..., :1])], -1)

    h = F.gelu(with_one(x) @ torch.cat([up, up_bias[:, None]], 1).T)
    return with_one(h) @ torch.cat([down, down_bias[:, None]], 1).T


@right("mlp", "GELU by erfc")
def _(x, up, up_bias, down, down_bias):
    h = torch.tensordot(x, up, dims=([-1], [1])) + up_bias
    return torch.tensordot(h * 0.5 * torch.erfc(-h * 2**-0.5), down, dims=([-1], [1])) + down_bias


@wrong("mlp", "as drawn in the lecture: two matrices, then GELU")
def _(x, up, up_bias, down, down_bias):
    h = F.linear(x, up, up_bias)
    return F.gelu(F.linear(h, down, down_bias))


@wrong("mlp", "a whole residual layer")
def _(x, up, up_bias, down, down_bias):
    return x + F.linear(F.gelu(F.linear(x, up, up_bias)), down, down_bias)


@wrong("mlp", "normalised first")
def _(x, up, up_bias, down, down_bias):
    x = F.layer_norm(x, x.shape[-1:])
    return F.linear(F.gelu(F.linear(x, up, up_bias)), down, down_bias)


@wrong("mlp", "GELU without the half")
def _(x, up, up_bias, down, down_bias):
    h = F.linear(x, up, up_bias)
    return F.linear(h * (1 + torch.erf(h / math.sqrt(2))), down, down_bias)


@wrong("mlp", "erf without the root of 2")
def _(x, up, up_bias, down, down_bias):
    h = F.linear(x, up, up_bias)
    return F.linear(h * (1 + torch.erf(h)) / 2, down, down_bias)


@wrong("mlp", "GELU without its factor: the probability alone")
def _(x, up, up_bias, down, down_bias):
    return F.linear(torch.special.ndtr(F.linear(x, up, up_bias)), down, down_bias)


@wrong("mlp", "ReLU and GELU")
def _(x, up, up_bias, down, down_bias):
    return F.linear(F.gelu(F.linear(x, up, up_bias).relu()), down, down_bias)


@wrong("mlp", "the mean over the tokens goes through")
def _(x, up, up_bias, down, down_bias):
    x = x.mean(-2, keepdim=True).expand_as(x)
    return F.linear(F.gelu(F.linear(x, up, up_bias)), down, down_bias)


@wrong("mlp", "the tanh version by torch's keyword")
def _(x, up, up_bias, down, down_bias):
    return F.linear(F.gelu(F.linear(x, up, up_bias), approximate="tanh"), down, down_bias)


@wrong("mlp", "new matrices")
def _(x, up, up_bias, down, down_bias):
    return nn.Linear(len(up), len(down))(F.gelu(nn.Linear(len(down), len(up))(x.float()))).to(x.dtype)


@right("gated_mlp", "torch.mul and matmul")
def _(x, gate, up, down):
    gated = torch.mul(nn.functional.silu(torch.matmul(x, gate.t())), torch.matmul(x, up.t()))
    return torch.matmul(gated, down.t())


@right("gated_mlp", "bias-free Linear modules")
def _(x, gate, up, down):
    def run(weight, y):
        module = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=y.dtype)
        return torch.func.functional_call(module, {"weight": weight}, y)

    return run(down, nn.SiLU()(run(gate, x)) * run(up, x))


@right("gated_mlp", "the sigmoid by tanh")
def _(x, gate, up, down):
    g = x @ gate.mT
    return (g * (1 + torch.tanh(g / 2)) / 2 * (x @ up.mT)) @ down.mT


@right("gated_mlp", "one row at a time")
def _(x, gate, up, down):
    rows = [down @ (F.silu(gate @ row) * (up @ row)) for row in x.reshape(-1, x.shape[-1])]
    return torch.stack(rows).reshape(x.shape)


@right("gated_mlp", "x as it is, and the gate's sigmoid on the product")
def _(x, gate, up, down):
    g, u = x @ gate.mT, x @ up.mT
    return torch.einsum("...f,df->...d", torch.sigmoid(g) * u * g, down)


@wrong("gated_mlp", "names in the order of the file: gate, up, down read as up, gate, down")
def _(x, up, gate, down):
    return (F.silu(x @ gate.mT) * (x @ up.mT)) @ down.mT


@wrong("gated_mlp", "a gate between 0 and 1")
def _(x, gate, up, down):
    return (torch.sigmoid(x @ gate.mT) * (x @ up.mT)) @ down.mT


@wrong("gated_mlp", "SiLU with minus: x sigmoid(-x)")
def _(x, gate, up, down):
    g = x @ gate.mT
    return (g * torch.sigmoid(-g) * (x @ up.mT)) @ down.mT


@wrong("gated_mlp", "log-sigmoid")
def _(x, gate, up, down):
    return (F.logsigmoid(x @ gate.mT) * (x @ up.mT)) @ down.mT


@wrong("gated_mlp", "precedence: * before @")
def _(x, gate, up, down):
    return F.silu(x @ gate.mT) * x @ up.mT @ down.mT


@wrong("gated_mlp", "one after the other")
def _(x, gate, up, down):
    return (x @ up.mT) * F.silu((x @ up.mT) @ down.mT @ gate.mT) @ down.mT


@wrong("gated_mlp", "the gate holds back, 1 - gate")
def _(x, gate, up, down):
    return ((1 - F.silu(x @ gate.mT)) * (x @ up.mT)) @ down.mT


@wrong("gated_mlp", "the gate lets through or not")
def _(x, gate, up, down):
    return ((x @ gate.mT > 0) * (x @ up.mT)) @ down.mT


@wrong("gated_mlp", "hardswish, which looks like SiLU")
def _(x, gate, up, down):
    return (F.hardswish(x @ gate.mT) * (x @ up.mT)) @ down.mT


@wrong(MLPS, "x as it came")
def _(x, *weights):
    return x


# ----------------------------------------------------------------------------------------------------- layers


def block(first, second):
    """From h, part and norm of each half to the next h."""

    def answer(x, attention, mlp, norm_1, norm_2):
        return second(first(x, attention, norm_1), mlp, norm_2)

    return answer


def pre(x, part, norm):
    return x + part(norm(x))


def post(x, part, norm):
    return norm(x + part(x))


@right("pre_norm_block", "names for every step")
def _(x, attention, mlp, norm_1, norm_2):
    residual = x
    hidden = norm_1(x)
    hidden = attention(hidden)
    hidden = residual + hidden
    residual = hidden
    hidden = norm_2(hidden)
    hidden = mlp(hidden)
    return residual + hidden


@right("pre_norm_block", "reduce")
def _(x, attention, mlp, norm_1, norm_2):
    return functools.reduce(lambda h, pair: pair[0](pair[1](h)) + h, [(attention, norm_1), (mlp, norm_2)], x)


@right("pre_norm_block", "what is added is kept, and summed at the end")
def _(x, attention, mlp, norm_1, norm_2):
    added = [attention(norm_1(x))]
    added.append(mlp(norm_2(x + added[0])))
    return x + sum(added)


@right("pre_norm_block", "a helper within")
def _(x, attention, mlp, norm_1, norm_2):
    def residual(h, f):
        return h + f(h)

    return residual(residual(x, lambda h: attention(norm_1(h))), lambda h: mlp(norm_2(h)))


@right("pre_norm_block", "+= on a copy, parts in a dictionary")
def _(x, attention, mlp, norm_1, norm_2):
    stream = x + 0
    for norm, part in {norm_1: attention, norm_2: mlp}.items():
        stream = torch.add(stream, part(norm(stream)))
    return stream


@right("post_norm_block", "names for every step")
def _(x, attention, mlp, norm_1, norm_2):
    attended = attention(x)
    added = x + attended
    x = norm_1(added)
    wide = mlp(x)
    added = x + wide
    x = norm_2(added)
    return x


@right("post_norm_block", "reduce")
def _(x, attention, mlp, norm_1, norm_2):
    return functools.reduce(lambda h, pair: pair[1](pair[0](h) + h), [(attention, norm_1), (mlp, norm_2)], x)


@right("post_norm_block", "inside out")
def _(x, attention, mlp, norm_1, norm_2):
    return norm_2((h := norm_1(attention(x) + x)) + mlp(h))


@right("post_norm_block", "a layer as a module")
def _(x, attention, mlp, norm_1, norm_2):
    class Layer(nn.Module):
        def forward(self, x):
            x = norm_1(x.add(attention(x)))
            return norm_2(x.add(mlp(x)))

    return Layer()(x)


@wrong("pre_norm_block", "the last sum without x")
def _(x, attention, mlp, norm_1, norm_2):
    a = attention(norm_1(x))
    return a + mlp(norm_2(x + a))


@wrong("pre_norm_block", "x overwritten by its norm")
def _(x, attention, mlp, norm_1, norm_2):
    x = norm_1(x)
    x = x + attention(x)
    x = norm_2(x)
    return x + mlp(x)


@wrong("pre_norm_block", "the second norm forgotten")
def _(x, attention, mlp, norm_1, norm_2):
    x = x + attention(norm_1(x))
    return x + mlp(x)


@wrong("pre_norm_block", "x read and written by both")
def _(x, attention, mlp, norm_1, norm_2):
    a, m = attention(norm_1(x)), mlp(norm_2(x))
    return x + a + m


@wrong("pre_norm_block", "the parts in a row")
def _(x, attention, mlp, norm_1, norm_2):
    return nn.Sequential(*map(_as_module, (norm_1, attention, norm_2, mlp)))(x)


@wrong("pre_norm_block", "the norm outside the part")
def _(x, attention, mlp, norm_1, norm_2):
    x = x + norm_1(attention(x))
    return x + norm_2(mlp(x))


@wrong("pre_norm_block", "x added in place")
def _(x, attention, mlp, norm_1, norm_2):
    with torch.no_grad():
        x += attention(norm_1(x))
    return x + mlp(norm_2(x))


@wrong("post_norm_block", "norm before the addition")
def _(x, attention, mlp, norm_1, norm_2):
    x = x + norm_1(attention(x))
    return x + norm_2(mlp(x))


@wrong("post_norm_block", "as in the task before")
def _(x, attention, mlp, norm_1, norm_2):
    return pre(pre(x, attention, norm_1), mlp, norm_2)


@wrong("post_norm_block", "as in the task before, and normalised at the end")
def _(x, attention, mlp, norm_1, norm_2):
    return norm_2(pre(x, attention, norm_1) + mlp(pre(x, attention, norm_1)))


@wrong("post_norm_block", "the MLP reads the sum before its norm")
def _(x, attention, mlp, norm_1, norm_2):
    h = x + attention(x)
    return norm_2(norm_1(h) + mlp(h))


@wrong("post_norm_block", "normalised once more than needed")
def _(x, attention, mlp, norm_1, norm_2):
    h = norm_1(x + attention(x))
    return norm_2(norm_2(h + mlp(h)))


@wrong("post_norm_block", "no second norm")
def _(x, attention, mlp, norm_1, norm_2):
    h = norm_1(x + attention(x))
    return h + mlp(h)


@wrong(BLOCKS, "multiplied instead of added")
def _(x, attention, mlp, norm_1, norm_2):
    h = norm_1(x * attention(x))
    return norm_2(h * mlp(h))


@wrong(BLOCKS, "the second half left out")
def _(x, attention, mlp, norm_1, norm_2):
    return x + attention(norm_1(x))


@wrong(BLOCKS, "a mean instead of a sum")
def _(x, attention, mlp, norm_1, norm_2):
    h = (x + attention(norm_1(x))) / 2
    return (h + mlp(norm_2(h))) / 2


@wrong(BLOCKS, "pre-norm, then post-norm")
def _(x, attention, mlp, norm_1, norm_2):
    return block(pre, post)(x, attention, mlp, norm_1, norm_2)


@wrong(BLOCKS, "post-norm, then pre-norm")
def _(x, attention, mlp, norm_1, norm_2):
    return block(post, pre)(x, attention, mlp, norm_1, norm_2)


@wrong(BLOCKS, "attention twice")
def _(x, attention, mlp, norm_1, norm_2):
    x = x + attention(norm_1(x))
    x = x + attention(norm_1(x))
    return x + mlp(norm_2(x))


@wrong(BLOCKS, "a norm of one's own")
def _(x, attention, mlp, norm_1, norm_2):
    x = x + attention(F.layer_norm(x, x.shape[-1:]))
    return x + mlp(F.layer_norm(x, x.shape[-1:]))


@wrong(BLOCKS, "a list of two results")
def _(x, attention, mlp, norm_1, norm_2):
    h = x + attention(norm_1(x))
    return [h, h + mlp(norm_2(h))]


def _as_module(function):
    module = nn.Module()
    module.forward = function
    return module
