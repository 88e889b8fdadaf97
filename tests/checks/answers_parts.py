"""Wrong and correct answers to the tasks of 06_residuals on the parts of a layer, as learners write them."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import blocks as library

RIGHT, WRONG = {}, {}

# ------------------------------------------------------------------------------------------------- layer norm


def by_var(x, weight, bias, eps):
    return (x - x.mean(-1, keepdim=True)) / (
        x.var(-1, keepdim=True, correction=0) + eps
    ) ** 0.5 * weight + bias


def by_var_mean(x, weight, bias, eps):
    variance, mean = torch.var_mean(x, dim=-1, unbiased=False, keepdim=True)
    return torch.addcmul(bias, (x - mean) * torch.rsqrt(variance + eps), weight)


def by_mean_of_squares(x, weight, bias, eps):
    """Mean of squares minus square of the mean."""
    mean = x.mean(-1, keepdim=True)
    variance = (x**2).mean(-1, keepdim=True) - mean**2
    return (x - mean) / (variance + eps).sqrt() * weight + bias


def by_einsum(x, weight, bias, eps):
    mean = torch.einsum("...d->...", x)[..., None] / x.shape[-1]
    y = x - mean
    variance = torch.einsum("...d,...d->...", y, y).unsqueeze(-1) / x.shape[-1]
    return torch.einsum("...d,d->...d", y / (variance + eps).sqrt(), weight) + bias


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


def layer(mean=lambda x: x.mean(-1, keepdim=True), spread=None, end=lambda y, w, b: y * w + b):
    """Another mean, another divisor (from x, the centred x and eps), another end."""

    def answer(x, weight, bias, eps):
        centred = x - mean(x)
        by = (
            torch.sqrt(x.var(-1, keepdim=True, correction=0) + eps)
            if spread is None
            else spread(x, centred, eps)
        )
        return end(centred / by, weight, bias)

    return answer


def layer_over(*axes):
    def answer(x, weight, bias, eps):
        mean = x.mean(axes, keepdim=True)
        return (x - mean) / torch.sqrt(x.var(axes, keepdim=True, unbiased=False) + eps) * weight + bias

    return answer


def layer_over_all(x, weight, bias, eps):
    return (x - x.mean()) / torch.sqrt(x.var(unbiased=False) + eps) * weight + bias


def sample_variance(x, weight, bias, eps):
    y = x - x.mean(-1, keepdim=True)
    return y / torch.sqrt((y**2).sum(-1, keepdim=True) / (x.shape[-1] - 1) + eps) * weight + bias


def min_max(x, weight, bias, eps):
    low, high = x.min(-1, keepdim=True).values, x.max(-1, keepdim=True).values
    return (x - low) / (high - low) * weight + bias


def layer_in_place(x, weight, bias, eps):
    x -= x.mean(-1, keepdim=True)
    return x / torch.sqrt((x**2).mean(-1, keepdim=True) + eps) * weight + bias


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


RIGHT["06_residuals/layer_norm"] = [
    by_var_mean,
    by_mean_of_squares,
    by_einsum,
    by_matrix,
    by_var,
    by_vectors,
    by_std,
    by_group_norm,
    lambda x, w, b, eps: by_var(x.double(), w, b, eps).to(x.dtype),
]
WRONG["06_residuals/layer_norm"] = [
    ("normalised over the tokens", layer_over(-2)),
    ("normalised over the first axis", layer_over(0)),
    ("normalised over axis 1", layer_over(1)),
    ("normalised over tokens and sequences", layer_over(0, 1)),
    ("each sequence normalised as a whole", layer_over(-2, -1)),
    ("all numbers normalised together", layer_over_all),
    ("eps outside the root", layer(spread=lambda x, y, eps: x.std(-1, keepdim=True, correction=0) + eps)),
    ("no eps", layer(spread=lambda x, y, eps: x.std(-1, keepdim=True, correction=0))),
    ("always the same eps", lambda x, w, b, eps: by_var(x, w, b, 1e-5)),
    (
        "always the same eps",
        lambda x, w, b, eps: F.group_norm(x.reshape(-1, len(w)), 1, w, b).reshape(x.shape),
    ),
    (
        "eps as a floor",
        layer(spread=lambda x, y, eps: torch.clamp(x.std(-1, keepdim=True, correction=0), min=eps)),
    ),
    (
        "D outside the root",
        layer(spread=lambda x, y, eps: ((y**2).sum(-1, keepdim=True) + eps) ** 0.5 / y.shape[-1]),
    ),
    ("no root", layer(spread=lambda x, y, eps: x.var(-1, keepdim=True, correction=0) + eps)),
    ("sum of squares", layer(spread=lambda x, y, eps: ((y**2).sum(-1, keepdim=True) + eps) ** 0.5)),
    ("mean of distances", layer(spread=lambda x, y, eps: y.abs().mean(-1, keepdim=True) + eps)),
    (
        "multiplied by the spread",
        layer(spread=lambda x, y, eps: 1 / (x.var(-1, keepdim=True, correction=0) + eps).sqrt()),
    ),
    ("weighted before", lambda x, w, b, eps: by_var(w * x, torch.ones_like(w), b, eps)),
    ("weight left out", layer(end=lambda y, w, b: y + b)),
    ("one more than the weight", lambda x, w, b, eps: by_var(x, w + 1, b, eps)),
    ("divided by D - 1", sample_variance),
    ("only the mean taken away", lambda x, w, b, eps: (x - x.mean(-1, keepdim=True)) * w + b),
    ("the mean stays", lambda x, w, b, eps: x / (x.var(-1, keepdim=True, correction=0) + eps).sqrt() * w + b),
    ("RMS norm", lambda x, w, b, eps: x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * w + b),
    (
        "the squares of x as it came",
        layer(spread=lambda x, y, eps: (x.square().mean(-1, keepdim=True) + eps).sqrt()),
    ),
    ("brought to 0 to 1", min_max),
    ("length 1", lambda x, w, b, eps: F.normalize(x, dim=-1) * w + b),
    ("bias left out", layer(end=lambda y, w, b: y * w)),
    ("neither weight nor bias", layer(end=lambda y, w, b: y)),
    ("bias multiplied too", layer(end=lambda y, w, b: w * (y + b))),
    ("weight and bias exchanged", layer(end=lambda y, w, b: y * b + w)),
    ("weight and bias before", lambda x, w, b, eps: by_var(w * x + b, torch.ones_like(w), 0 * b, eps)),
    (None, layer_in_place),
    (None, ready_made),
    (None, library_layer),
    (None, lambda x, w, b, eps: F.layer_norm(x, w.shape, w, b, eps)),
    (None, constant_statistics),
    (None, lambda x, w, b, eps: by_var(x, w, b, eps).detach()),
    (None, lambda x, w, b, eps: by_var(x.float(), w.float(), b.float(), eps)),
    ("eps squared", lambda x, w, b, eps: by_var(x, w, b, eps**2)),
    (
        "axis not kept",
        lambda x, w, b, eps: (x - x.mean(-1)) / (x.var(-1, unbiased=False) + eps).sqrt() * w + b,
    ),
    (None, lambda x, w, b, eps: x.softmax(-1) * w + b),
    (None, lambda x, w, b, eps: by_var(x, w, b, eps).clamp(0, 1)),
    (None, lambda x, w, b, eps: x),
    (None, lambda x, w, b, eps: None),
]

# --------------------------------------------------------------------------------------------------- RMS norm


def rms(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def rms_by_length(x, weight, eps):
    length = x.norm(dim=-1, keepdim=True)
    return weight * x / torch.sqrt(length**2 / x.size(-1) + eps)


def rms_by_einsum(x, weight, eps):
    mean_square = torch.einsum("...i,...i->...", x, x) / x.shape[-1]
    return torch.einsum("...i,...,i->...i", x, (mean_square + eps) ** -0.5, weight)


def rms_by_vectors(x, weight, eps):
    flat = x.reshape(-1, x.shape[-1])
    rows = [row / (torch.dot(row, row) / len(row) + eps).sqrt() for row in flat]
    return torch.stack(rows).view(x.shape) * weight


def rms_by_variance(x, weight, eps):
    """The mean of squares from variance and mean."""
    variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    return x / (variance + mean.square() + eps).sqrt() * weight


def rms_with(spread, end=torch.mul):
    return lambda x, weight, eps: end(x / spread(x, eps), weight)


def rms_over(*axes):
    return rms_with(lambda x, eps: x.pow(2).mean(axes, keepdim=True).add(eps).sqrt())


def rms_ready_made(x, weight, eps):
    norm = nn.RMSNorm(x.shape[-1], eps=eps)
    return torch.func.functional_call(norm, {"weight": weight}, x)


def rms_in_place(x, weight, eps):
    x /= torch.sqrt(x.pow(2).mean(-1, keepdim=True) + eps)
    return x * weight


def rms_weight_in_place(x, weight, eps):
    weight /= 1
    weight *= 2
    return rms(x, weight, eps) / 2


RIGHT["06_residuals/rms_norm"] = [
    rms,
    rms_by_length,
    rms_by_einsum,
    rms_by_variance,
    rms_by_vectors,
    lambda x, w, eps: rms(x.double(), w.double(), eps).to(x.dtype),
]
WRONG["06_residuals/rms_norm"] = [
    ("normalised over the tokens", rms_over(-2)),
    ("normalised over the first axis", rms_over(0)),
    ("normalised over axis 1", rms_over(1)),
    ("normalised over tokens and sequences", rms_over(0, 1)),
    ("each sequence normalised as a whole", rms_over(-2, -1)),
    ("all numbers normalised together", rms_with(lambda x, eps: (x.pow(2).mean() + eps).sqrt())),
    ("eps outside the root", rms_with(lambda x, eps: x.pow(2).mean(-1, keepdim=True).sqrt() + eps)),
    ("no eps", rms_with(lambda x, eps: x.pow(2).mean(-1, keepdim=True).sqrt())),
    ("always the same eps", lambda x, w, eps: rms(x, w, 1e-5)),
    ("eps squared", lambda x, w, eps: rms(x, w, eps * eps)),
    ("eps as a floor", rms_with(lambda x, eps: x.pow(2).mean(-1, keepdim=True).sqrt().clamp(eps))),
    ("D outside the root", rms_with(lambda x, eps: x.norm(dim=-1, keepdim=True) / x.shape[-1])),
    ("no root", rms_with(lambda x, eps: x.pow(2).mean(-1, keepdim=True) + eps)),
    ("sum of squares", rms_with(lambda x, eps: (x.pow(2).sum(-1, keepdim=True) + eps).sqrt())),
    ("sum of squares", lambda x, w, eps: F.normalize(x, dim=-1, eps=eps) * w),
    ("mean of sizes", rms_with(lambda x, eps: x.abs().mean(-1, keepdim=True) + eps)),
    (
        "multiplied by the spread",
        lambda x, w, eps: x * torch.sqrt(x.square().mean(-1, keepdim=True) + eps) * w,
    ),
    ("weighted before", lambda x, w, eps: rms(x * w, torch.ones_like(w), eps)),
    (
        "weight left out",
        rms_with(lambda x, eps: (x.pow(2).mean(-1, keepdim=True) + eps).sqrt(), lambda y, w: y),
    ),
    ("one more than the weight", lambda x, w, eps: rms(x, 1 + w, eps)),
    ("the mean taken away", lambda x, w, eps: by_var(x, w, torch.zeros_like(w), eps)),
    ("the standard deviation", rms_with(lambda x, eps: (x.var(-1, keepdim=True, correction=0) + eps).sqrt())),
    ("squared mean", rms_with(lambda x, eps: (x.mean(-1, keepdim=True) ** 2 + eps).sqrt())),
    ("weight added", rms_with(lambda x, eps: (x.pow(2).mean(-1, keepdim=True) + eps).sqrt(), torch.add)),
    (None, rms_in_place),
    (None, rms_weight_in_place),
    (None, rms_ready_made),
    (None, lambda x, w, eps: F.rms_norm(x, w.shape, w, eps)),
    (None, lambda x, w, eps: torch.func.functional_call(library.RMSNorm(len(w), eps=eps), {"weight": w}, x)),
    (None, lambda x, w, eps: rms(x, w, eps).detach()),
    (None, lambda x, w, eps: rms(x.half(), w, eps).to(x.dtype)),
    (None, lambda x, w, eps: rms(x.float(), w.float(), eps)),
    ("axis not kept", lambda x, w, eps: x * torch.rsqrt(x.pow(2).mean(-1) + eps) * w),
    (None, lambda x, w, eps: x / math.sqrt(x.shape[-1]) * w),
    (None, lambda x, w, eps: x / x.abs().amax(-1, keepdim=True) * w),
]

# ------------------------------------------------------------------------------------------------------- MLPs


def mlp_by_linear(x, up, up_bias, down, down_bias):
    return F.linear(F.gelu(F.linear(x, up, up_bias)), down, down_bias)


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


def mlp_by_columns(x, up, up_bias, down, down_bias):
    flat = x.reshape(-1, x.shape[-1]).T
    h = F.gelu(up @ flat + up_bias[:, None])
    return (down @ h + down_bias[:, None]).T.reshape(x.shape)


def mlp_with(act, after=lambda y: y, before=lambda x: x):
    def answer(x, up, up_bias, down, down_bias):
        return after(F.linear(act(F.linear(before(x), up, up_bias)), down, down_bias))

    return answer


def same(x):
    return x


def quick_gelu(h):
    return h * torch.sigmoid(1.702 * h)


def gelu_as_in_gpt2(h):
    return 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))


def mlp_by_library(x, up, up_bias, down, down_bias):
    module = library.FeedForward(up.shape[1], up.shape[0])
    weights = {"up_proj.weight": up, "up_proj.bias": up_bias}
    weights |= {"down_proj.weight": down, "down_proj.bias": down_bias}
    return torch.func.functional_call(module, weights, x)


def mlp_with_own_weights(x, up, up_bias, down, down_bias):
    f, d = up.shape
    return nn.Sequential(nn.Linear(d, f), nn.GELU(), nn.Linear(f, d)).to(x.dtype)(x)


RIGHT["06_residuals/mlp"] = [
    mlp_by_linear,
    mlp_by_erf,
    mlp_by_neurons,
    mlp_by_columns,
    mlp_by_modules,
    mlp_by_normal,
]
WRONG["06_residuals/mlp"] = [
    ("GELU behind the second matrix", mlp_with(same, after=F.gelu)),
    ("GELU behind both matrices", mlp_with(F.gelu, after=F.gelu)),
    ("no activation", lambda x, u, bu, d, bd: F.linear(F.linear(x, u, bu), d, bd)),
    ("no activation", lambda x, u, bu, d, bd: x @ (d @ u).T + d @ bu + bd),
    ("GELU in front", mlp_with(same, before=F.gelu)),
    ("GELU in front too", mlp_with(F.gelu, before=F.gelu)),
    ("ReLU", mlp_with(F.relu)),
    ("SiLU", mlp_with(lambda h: h * h.sigmoid())),
    ("sigmoid", mlp_with(lambda h: 1 / (1 + torch.exp(-h)))),
    ("tanh", mlp_with(torch.tanh)),
    ("softmax", mlp_with(lambda h: F.softmax(h, dim=-1))),
    ("GELU by tanh", mlp_with(gelu_as_in_gpt2)),
    ("GELU by tanh", mlp_with(nn.GELU(approximate="tanh"))),
    ("GELU by a sigmoid", mlp_with(quick_gelu)),
    ("first bias left out", lambda x, u, bu, d, bd: F.linear(F.gelu(F.linear(x, u)), d, bd)),
    ("second bias left out", lambda x, u, bu, d, bd: F.linear(F.gelu(F.linear(x, u, bu)), d)),
    ("both biases left out", lambda x, u, bu, d, bd: F.gelu(x @ u.T) @ d.T),
    ("first bias behind the GELU", lambda x, u, bu, d, bd: F.linear(F.gelu(x @ u.T) + bu, d, bd)),
    ("x added", lambda x, *weights: x + mlp_by_linear(x, *weights)),
    ("matrices exchanged", lambda x, u, bu, d, bd: F.gelu(x @ d + bu) @ u + bd),
    ("transposed", lambda x, u, bu, d, bd: F.gelu(x @ u + bu) @ d + bd),
    ("transposed", lambda x, u, bu, d, bd: F.linear(F.gelu(F.linear(x, u.T, bu)), d.T, bd)),
    (None, mlp_by_library),
    (None, mlp_with_own_weights),
    (None, mlp_with(F.leaky_relu)),
    (None, mlp_with(F.elu)),
    (None, mlp_with(F.softplus)),
    (None, mlp_with(lambda h: F.dropout(F.gelu(h), 0.5))),
    (None, lambda x, *weights: mlp_by_linear(x, *weights).detach()),
    (None, lambda x, u, bu, d, bd: F.linear(x, u, bu)),
    (None, lambda x, u, bu, d, bd: F.gelu(F.linear(x, u, bu))),
    (None, lambda x, u, bu, d, bd: F.linear(F.gelu(u @ x + bu), d, bd)),
    (None, lambda x, *weights: mlp_by_linear(x, *weights).relu()),
    (None, lambda x, *weights: mlp_by_linear(x.float(), *(w.float() for w in weights))),
    (None, lambda x, u, bu, d, bd: F.linear(F.gelu(F.linear(x, u, bu)).round(decimals=2), d, bd)),
    (None, lambda x, u, bu, d, bd: F.linear(F.gelu(F.linear(x, u, bu / 2)), d, bd)),
]


def gated_by_linear(x, gate, up, down):
    return F.linear(F.silu(F.linear(x, gate)) * F.linear(x, up), down)


def gated_by_sigmoid(x, gate, up, down):
    g = x @ gate.T
    return (x @ up.T * g * torch.sigmoid(g)) @ down.T


def gated_by_einsum(x, gate, up, down):
    g = torch.einsum("...d,fd->...f", x, gate)
    g = g / (1 + torch.exp(-g))
    return torch.einsum("...f,...d,fd,ef->...e", g, x, up, down)


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


RIGHT["06_residuals/gated_mlp"] = [
    gated_by_linear,
    gated_by_sigmoid,
    gated_by_einsum,
    gated_by_one_matrix,
    gated_by_neurons,
    gated_by_glu,
]
WRONG["06_residuals/gated_mlp"] = [
    ("gate and up exchanged", gated_with(lambda g, h: g * F.silu(h))),
    ("no SiLU", gated_with(lambda g, h: g * h)),
    ("sigmoid", gated_with(lambda g, h: torch.sigmoid(g) * h)),
    ("sigmoid", lambda x, g, u, d: F.glu(torch.cat([x @ u.T, x @ g.T], -1)) @ d.T),
    ("GELU", gated_with(lambda g, h: F.gelu(g) * h)),
    ("GELU by tanh", gated_with(lambda g, h: gelu_as_in_gpt2(g) * h)),
    ("ReLU", gated_with(lambda g, h: g.clamp(min=0) * h)),
    ("tanh", gated_with(lambda g, h: g.tanh() * h)),
    ("softmax", gated_with(lambda g, h: g.softmax(-1) * h)),
    ("added", gated_with(lambda g, h: F.silu(g) + h)),
    ("SiLU on the product", gated_with(lambda g, h: F.silu(g * h))),
    ("SiLU on both", gated_with(lambda g, h: F.silu(g) * F.silu(h))),
    ("SiLU behind down", lambda x, g, u, d: F.silu(((x @ g.T) * (x @ u.T)) @ d.T)),
    ("SiLU behind down too", lambda *given: F.silu(gated_by_linear(*given))),
    ("gate left out", gated_with(lambda g, h: F.silu(h))),
    ("up left out", gated_with(lambda g, h: F.silu(g))),
    ("narrowed before", lambda x, g, u, d: F.linear(F.silu(x @ g.T), d) * F.linear(x @ u.T, d)),
    ("x added", lambda x, *weights: gated_by_linear(x, *weights) + x),
    ("transposed", lambda x, g, u, d: (F.silu(x @ g) * (x @ u)) @ d),
    (None, gated_by_library),
    (None, gated_with(lambda g, h: F.silu(g) + F.silu(h))),
    (None, gated_with(lambda g, h: quick_gelu(g) * h)),
    (None, gated_with(lambda g, h: g)),
    (None, gated_with(lambda g, h: (1 - g.sigmoid()) * h)),
    (None, lambda x, g, u, d: gated_by_linear(x, g, u, d).detach()),
    (None, lambda x, g, u, d: F.silu(x @ g.T) * (x @ u.T)),
    (None, lambda x, g, u, d: F.silu(x @ g.T) * x @ u.T @ d.T),
    (None, lambda *given: gated_by_linear(*(one.float() for one in given))),
    (None, lambda x, g, u, d: (F.silu(x @ g.T) @ (x @ u.T)) @ d.T),
]

# ----------------------------------------------------------------------------------------------------- layers


def pre_in_two_lines(x, attention, mlp, norm_1, norm_2):
    h = x + attention(norm_1(x))
    return h + mlp(norm_2(h))


def pre_by_loop(x, attention, mlp, norm_1, norm_2):
    for part, norm in ((attention, norm_1), (mlp, norm_2)):
        x = x + part(norm(x))
    return x


def pre_in_place(x, attention, mlp, norm_1, norm_2):
    stream = x.clone()
    stream += attention(norm_1(x))
    return stream.add(mlp(norm_2(stream)))


def pre_by_nesting(x, attention, mlp, norm_1, norm_2):
    """All written out, so that attention is called twice."""
    return x + attention(norm_1(x)) + mlp(norm_2(x + attention(norm_1(x))))


def pre_by_sequence(x, attention, mlp, norm_1, norm_2):
    """One sequence after the other."""
    return torch.cat([pre_in_two_lines(one, attention, mlp, norm_1, norm_2) for one in x.split(1)])


class Residual(nn.Module):
    """What reads, and is added."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = parts

    def forward(self, x):
        y = x
        for part in self.parts:
            y = part(y)
        return torch.add(x, y)


def pre_by_modules(x, attention, mlp, norm_1, norm_2):
    return nn.Sequential(Residual(norm_1, attention), Residual(norm_2, mlp))(x)


def pre_by_library(x, attention, mlp, norm_1, norm_2):
    def with_mask(x, mask=None, cache=None):
        return attention(x)

    return library.TransformerBlock(with_mask, mlp, norm_1, norm_2)(x)


def pre_by_added_place(x, attention, mlp, norm_1, norm_2):
    x += attention(norm_1(x))
    x += mlp(norm_2(x))
    return x


def pre_then(first, second):
    """From x to the stream after attention, and from that (and x) to the result."""

    def answer(x, attention, mlp, norm_1, norm_2):
        return second(first(x, attention, norm_1), mlp, norm_2, x)

    return answer


def read(x, part, norm, start=None):
    return x + part(norm(x))


def post(x, part, norm, start=None):
    return norm(x + part(x))


RIGHT["06_residuals/pre_norm_block"] = [
    pre_in_two_lines,
    pre_by_loop,
    pre_in_place,
    pre_by_nesting,
    pre_by_modules,
    pre_by_sequence,
]
WRONG["06_residuals/pre_norm_block"] = [
    ("post-norm", pre_then(post, post)),
    ("attention not added", pre_then(lambda x, part, norm: part(norm(x)), read)),
    ("MLP not added", pre_then(read, lambda h, part, norm, x: part(norm(h)))),
    ("nothing added", lambda x, attention, mlp, norm_1, norm_2: mlp(norm_2(attention(norm_1(x))))),
    (
        "one addition around both",
        pre_then(lambda x, part, norm: part(norm(x)), lambda h, part, norm, x: part(norm(h)) + x),
    ),
    (
        "attention added to the normalised stream",
        pre_then(lambda x, part, norm: norm(x) + part(norm(x)), read),
    ),
    (
        "MLP added to the normalised stream",
        pre_then(read, lambda h, part, norm, x: norm(h) + part(norm(h))),
    ),
    (
        "both added to the normalised stream",
        pre_then(
            lambda x, part, norm: norm(x) + part(norm(x)), lambda h, part, norm, x: norm(h) + part(norm(h))
        ),
    ),
    ("in parallel", pre_then(read, lambda h, part, norm, x: h + part(norm(x)))),
    ("what attention adds is lost", pre_then(read, lambda h, part, norm, x: x + part(norm(h)))),
    ("x left out of the sum", lambda x, a, m, n, o: a(n(x)) + m(o(a(n(x)) + x))),
    ("x added twice", lambda x, *parts: x + pre_by_loop(x, *parts)),
    ("the first norm twice", lambda x, a, m, n, o: pre_by_loop(x, a, m, n, n)),
    ("the second norm twice", lambda x, a, m, n, o: pre_by_loop(x, a, m, o, o)),
    ("norms exchanged", lambda x, a, m, n, o: pre_by_loop(x, a, m, o, n)),
    ("MLP first", lambda x, a, m, n, o: pre_by_loop(x, m, a, o, n)),
    ("MLP first, with the first norm", lambda x, a, m, n, o: pre_by_loop(x, m, a, n, o)),
    ("no norms", pre_then(lambda x, part, norm: x + part(x), lambda h, part, norm, x: h + part(h))),
    ("no first norm", pre_then(lambda x, part, norm: x + part(x), read)),
    ("no second norm", pre_then(read, lambda h, part, norm, x: h + part(h))),
    ("normalised at the end too", pre_then(read, lambda h, part, norm, x: norm(h + part(norm(h))))),
    (
        "results normalised",
        pre_then(lambda x, part, norm: x + norm(part(x)), lambda h, part, norm, x: h + norm(part(h))),
    ),
    (None, pre_by_added_place),
    (None, pre_by_library),
    (None, pre_then(post, read)),
    (None, pre_then(read, post)),
    (None, pre_then(lambda x, part, norm: x - part(norm(x)), read)),
    (None, pre_then(lambda x, part, norm: (x + part(norm(x))) / 2, read)),
    (None, lambda x, *parts: pre_by_loop(x, *parts).detach()),
    (None, lambda x, *parts: pre_by_loop(pre_by_loop(x, *parts), *parts)),
    (None, lambda x, *parts: pre_by_loop(x.transpose(1, 2), *parts).transpose(1, 2)),
    (None, lambda x, *parts: pre_by_loop(x.flatten(0, 1), *parts).view_as(x)),
    (None, lambda x, *parts: x),
]


def post_in_two_lines(x, attention, mlp, norm_1, norm_2):
    h = norm_1(x + attention(x))
    return norm_2(h + mlp(h))


def post_by_loop(x, attention, mlp, norm_1, norm_2):
    for part, norm in [(attention, norm_1), (mlp, norm_2)]:
        x = norm(x + part(x))
    return x


def post_by_modules(x, attention, mlp, norm_1, norm_2):
    first, second = Residual(attention), Residual(mlp)
    return norm_2(second(norm_1(first(x))))


def post_by_nesting(x, attention, mlp, norm_1, norm_2):
    return norm_2(norm_1(x + attention(x)) + mlp(norm_1(x + attention(x))))


def post_by_sequence(x, *parts):
    return torch.stack([post_in_two_lines(one, *parts) for one in x])


def post_by_sums(x, attention, mlp, norm_1, norm_2):
    h = norm_1(torch.stack([x, attention(x)]).sum(0))
    return norm_2(torch.stack([h, mlp(h)]).sum(0))


def post_by_library(x, attention, mlp, norm_1, norm_2):
    def with_mask(x, mask=None, cache=None):
        return attention(x)

    return library.TransformerBlock(with_mask, mlp, norm_1, norm_2, norm_first=False)(x)


def post_in_place(x, attention, mlp, norm_1, norm_2):
    x += attention(x)
    return norm_2(norm_1(x) + mlp(norm_1(x)))


RIGHT["06_residuals/post_norm_block"] = [
    post_in_two_lines,
    post_by_loop,
    post_by_sums,
    post_by_nesting,
    post_by_modules,
    post_by_sequence,
]
WRONG["06_residuals/post_norm_block"] = [
    ("pre-norm", pre_in_two_lines),
    ("attention not added", pre_then(lambda x, part, norm: norm(part(x)), post)),
    ("MLP not added", pre_then(post, lambda h, part, norm, x: norm(part(h)))),
    ("nothing added", lambda x, attention, mlp, norm_1, norm_2: norm_2(mlp(norm_1(attention(x))))),
    (
        "one addition around both",
        pre_then(lambda x, part, norm: norm(part(x)), lambda h, part, norm, x: norm(part(h) + x)),
    ),
    (
        "only the results normalised",
        pre_then(lambda x, part, norm: x + norm(part(x)), lambda h, part, norm, x: h + norm(part(h))),
    ),
    (
        "MLP added to the sum before its norm",
        lambda x, a, m, n, o: o(x + a(x) + m(n(x + a(x)))),
    ),
    ("in parallel", pre_then(post, lambda h, part, norm, x: norm(h + part(x)))),
    ("MLP reads the sum before its norm", lambda x, a, m, n, o: o(n(x + a(x)) + m(x + a(x)))),
    ("one sum, one norm", lambda x, a, m, n, o: o(m(x) + a(x) + x)),
    ("what attention adds is lost", pre_then(post, lambda h, part, norm, x: norm(x + part(h)))),
    ("the first norm twice", lambda x, a, m, n, o: post_by_loop(x, a, m, n, n)),
    ("the second norm twice", lambda x, a, m, n, o: post_by_loop(x, a, m, o, o)),
    ("norms exchanged", lambda x, a, m, n, o: post_by_loop(x, a, m, o, n)),
    ("MLP first", lambda x, a, m, n, o: post_by_loop(x, m, a, o, n)),
    ("MLP first, with the first norm", lambda x, a, m, n, o: post_by_loop(x, m, a, n, o)),
    ("no norms", pre_then(lambda x, part, norm: x + part(x), lambda h, part, norm, x: h + part(h))),
    ("no first norm", pre_then(lambda x, part, norm: x + part(x), post)),
    ("no second norm", pre_then(post, lambda h, part, norm, x: h + part(h))),
    (
        "normalised before too",
        pre_then(
            lambda x, part, norm: norm(x + part(norm(x))), lambda h, part, norm, x: norm(h + part(norm(h)))
        ),
    ),
    (None, post_in_place),
    (None, post_by_library),
    (None, pre_then(read, post)),
    (None, pre_then(post, read)),
    (None, pre_then(lambda x, part, norm: norm(x) + part(x), post)),
    (None, lambda x, *parts: post_by_loop(x, *parts).detach()),
    (None, lambda x, *parts: post_by_loop(post_by_loop(x, *parts), *parts)),
    (None, lambda x, *parts: post_by_loop(x.flatten(0, 1), *parts).view_as(x)),
    (None, lambda x, *parts: x + post_by_loop(x, *parts)),
    (None, lambda x, a, m, n, o: F.layer_norm(x + a(x), x.shape[-1:])),
]
