"""A pool of answers to the tasks on depth, written from the exercises' texts alone. See `pool`."""

import contextlib
import math

import numpy as np
import torch
import torch.nn.functional as F
from pool import Pool
from torch import nn

from course_lib import probing

POOL = Pool()
right, wrong = POOL.right, POOL.wrong


# --------------------------------------------------------------------------------------------- identity start


@right("identity_start", "get_submodule by path")
def _(stack):
    for n in range(len(stack.blocks)):
        for path in ("attention.out_proj", "feed_forward.down_proj"):
            for parameter in stack.get_submodule(f"blocks.{n}.{path}").parameters():
                torch.nn.init.zeros_(parameter)


@right("identity_start", "multiply by zero under no_grad")
@torch.no_grad()
def _(stack):
    for block in stack.blocks:
        for part in (block.attention.out_proj, block.feed_forward.down_proj):
            part.weight *= 0
            if part.bias is not None:
                part.bias *= 0


@right("identity_start", "values silenced, not the output matrix; the MLP at its end")
def _(stack):
    for block in stack.blocks:
        for part in (block.attention.v_proj, block.feed_forward.down_proj):
            nn.init.zeros_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        if block.attention.out_proj.bias is not None:
            nn.init.zeros_(block.attention.out_proj.bias)


@right("identity_start", "new parameter objects")
def _(stack):
    for block in stack.blocks:
        for part in (block.attention.out_proj, block.feed_forward.down_proj):
            part.weight = nn.Parameter(torch.zeros(part.weight.shape))
            if part.bias is not None:
                part.register_parameter("bias", nn.Parameter(torch.zeros(len(part.bias))))


@right("identity_start", "zeros as a normal distribution without spread")
def _(stack):
    for name, parameter in stack.named_parameters():
        if any(last in name for last in ("out_proj", "down_proj")):
            nn.init.normal_(parameter, 0.0, 0.0)


@wrong("identity_start", "the last norm's weights are 0")
def _(stack):
    nn.init.zeros_(stack.final_norm.weight)


@wrong("identity_start", "up_proj for down_proj")
def _(stack):
    for block in stack.blocks:
        for part in (block.attention.out_proj, block.feed_forward.up_proj):
            nn.init.zeros_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


@wrong("identity_start", "blocks replaced by nn.Identity")
def _(stack):
    stack.blocks = nn.ModuleList(nn.Identity() for _ in stack.blocks)


@wrong("identity_start", "forward replaced by the identity")
def _(stack):
    for block in stack.blocks:
        block.forward = lambda x, mask=None, cache=None: x


@wrong("identity_start", "zero gain of xavier, biases stay")
def _(stack):
    for block in stack.blocks:
        nn.init.xavier_uniform_(block.attention.out_proj.weight, gain=0.0)
        nn.init.xavier_uniform_(block.feed_forward.down_proj.weight, gain=0.0)


@wrong("identity_start", "assigns to a local name")
def _(stack):
    for block in stack.blocks:
        weight = block.attention.out_proj.weight
        weight = torch.zeros_like(weight)


@wrong("identity_start", "all but the biases of the whole stack are 0")
def _(stack):
    for name, parameter in stack.named_parameters():
        if name.endswith("weight"):
            nn.init.zeros_(parameter)


# ---------------------------------------------------------------------------------------- depth-scaled start


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


@right("depth_scaled_start", "apply, then divide")
@torch.no_grad()
def _(stack, std):
    def draw(module):
        if type(module) is nn.Linear:
            module.weight.normal_(std=std)
            if module.bias is not None:
                module.bias.zero_()

    stack.apply(draw)
    for block in stack.blocks:
        block.attention.out_proj.weight.div_(math.sqrt(2 * len(stack.blocks)))
        block.feed_forward.down_proj.weight.div_(math.sqrt(2 * len(stack.blocks)))


@right("depth_scaled_start", "torch.normal and copy_")
def _(stack, std):
    n = sum(1 for _ in stack.blocks)
    with torch.no_grad():
        for path, module in stack.named_modules():
            if not isinstance(module, nn.Linear):
                continue
            last = path.rsplit(".", 1)[-1]
            spread = std / (n + n) ** 0.5 if last in {"out_proj", "down_proj"} else std
            module.weight.copy_(torch.normal(0.0, spread, module.weight.shape))
            if module.bias is not None:
                module.bias.copy_(torch.zeros_like(module.bias))


@wrong("depth_scaled_start", "a root of half the layers")
def _(stack, std):
    _draw(stack, std, std / math.sqrt(len(stack.blocks) / 2))


@wrong("depth_scaled_start", "the root of 2, times L")
def _(stack, std):
    _draw(stack, std, std / (math.sqrt(2) * len(stack.blocks)))


@wrong("depth_scaled_start", "L counts attention and MLP already, and is doubled")
def _(stack, std):
    _draw(stack, std, std / math.sqrt(4 * len(stack.blocks)))


@wrong("depth_scaled_start", "minus for divided")
def _(stack, std):
    _draw(stack, std, abs(std - math.sqrt(2 * len(stack.blocks))))


@wrong("depth_scaled_start", "biases drawn too")
def _(stack, std):
    _draw(stack, std, std / math.sqrt(2 * len(stack.blocks)))
    for parameter in stack.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, std=std)


@wrong("depth_scaled_start", "mean std, by a missing keyword")
def _(stack, std):
    for parameter in stack.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std)


@wrong("depth_scaled_start", "only the last layer's matrices are smaller")
def _(stack, std):
    _draw(stack, std, std)
    _draw(stack.blocks[-1], std, std / math.sqrt(2 * len(stack.blocks)))


def _draw(module, std, smaller):
    for name, parameter in module.named_parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=smaller if "out_proj" in name or "down_proj" in name else std)
        elif name.endswith("_proj.bias"):
            nn.init.zeros_(parameter)


# ------------------------------------------------------------------------------------------------ logit lens


@right("logit_lens", "all streams at once")
def _(model, ids):
    with probing.recorded(model) as seen:
        model(ids)
    return model.lm_head(model.stack.final_norm(torch.stack(seen.streams)))


@right("logit_lens", "a pre-hook of the next part")
def _(model, ids):
    kept = []
    parts = [*model.stack.blocks[1:], model.stack.final_norm]
    hooks = [part.register_forward_pre_hook(lambda part, args: kept.append(args[0])) for part in parts]
    with contextlib.ExitStack() as stack:
        for hook in hooks:
            stack.callback(hook.remove)
        model(ids)
    return torch.cat([model.lm_head(model.stack.final_norm(x))[None] for x in kept])


@right("logit_lens", "filled row by row, layers called by hand")
def _(model, ids):
    out = torch.zeros(len(model.stack.blocks), *ids.shape, model.config.vocab_size)
    x = model.embed(ids)
    for row, block in enumerate(model.stack.blocks):
        x = block(x)
        out[row] = model.stack.final_norm(x) @ model.lm_head.weight.T
    return out.detach()


@right("logit_lens", "resumed: no, a stack with fewer layers")
def _(model, ids):
    blocks = model.stack.blocks
    rows = []
    try:
        for n in range(1, len(blocks) + 1):
            model.stack.blocks = blocks[:n]
            rows.append(model(ids))
    finally:
        model.stack.blocks = blocks
    return torch.stack(rows)


@right("logit_lens", "sequence after sequence")
def _(model, ids):
    rows = []
    for one in ids:
        with torch.no_grad(), probing.recorded(model) as seen:
            model(one[None])
        rows.append(torch.stack([model.lm_head(model.stack.final_norm(x[0])) for x in seen.streams]))
    return torch.stack(rows, dim=1)


def _streams(model, ids):
    with probing.recorded(model) as seen:
        model(ids)
    return seen.streams


@wrong("logit_lens", "minus the mean over the vocabulary")
def _(model, ids):
    scores = torch.stack([model.lm_head(model.stack.final_norm(x)) for x in _streams(model, ids)])
    return scores - scores.mean(-1, keepdim=True)


@wrong("logit_lens", "layers after the batch")
def _(model, ids):
    return torch.stack([model.lm_head(model.stack.final_norm(x)) for x in _streams(model, ids)], dim=1)


@wrong("logit_lens", "norm after the head")
def _(model, ids):
    return torch.stack([F.layer_norm(model.lm_head(x), (17,)) for x in _streams(model, ids)])


@wrong("logit_lens", "the stream plus what attention adds")
def _(model, ids):
    with probing.recorded(model) as seen:
        model(ids)
    added = [x + a for x, a in zip(seen.streams, seen.attention, strict=True)]
    return torch.stack([model.lm_head(model.stack.final_norm(x)) for x in added])


@wrong("logit_lens", "only the last layer")
def _(model, ids):
    return model(ids)[None]


@wrong("logit_lens", "the first norm of all")
def _(model, ids):
    norm = model.stack.blocks[0].attention_norm
    return torch.stack([model.lm_head(norm(x)) for x in _streams(model, ids)])


@wrong("logit_lens", "a list")
def _(model, ids):
    return [model.lm_head(x)[:, :1] for x in _streams(model, ids)]


# ------------------------------------------------------------------------------------------------ skip layer


def _loss(model, ids):
    with torch.no_grad():
        return F.cross_entropy(model(ids)[:, :-1].transpose(1, 2), ids[:, 1:])


@right("skip_layer", "classes as the second axis")
def _(model, ids, layer):
    base = _loss(model, ids)
    with probing.layers_skipped(model, [layer]):
        return float(_loss(model, ids) - base)


@right("skip_layer", "nll_loss of log_softmax, everything in inference mode")
@torch.inference_mode()
def _(model, ids, layer):
    def loss():
        log_p = torch.log_softmax(model(ids), dim=-1)[:, :-1]
        return F.nll_loss(log_p.flatten(0, 1), ids[:, 1:].flatten())

    a = loss()
    with probing.layers_skipped(model, (layer,)):
        b = loss()
    return b - a


@right("skip_layer", "the block exchanged for a module that passes on")
def _(model, ids, layer):
    class Pass(nn.Module):
        def forward(self, x, mask=None, cache=None):
            return x

    base = _loss(model, ids).item()
    block = model.stack.blocks[layer]
    model.stack.blocks[layer] = Pass()
    try:
        return _loss(model, ids).item() - base
    finally:
        model.stack.blocks[layer] = block


@right("skip_layer", "both branches silenced by hooks")
def _(model, ids, layer):
    base = _loss(model, ids)
    block = model.stack.blocks[layer]
    hooks = [
        part.register_forward_hook(lambda part, args, output: output * 0)
        for part in (block.attention, block.feed_forward)
    ]
    without = _loss(model, ids)
    [hook.remove() for hook in hooks]
    return (without - base).numpy()


@right("skip_layer", "losses of each sequence, in NumPy")
def _(model, ids, layer):
    def losses():
        scores = model(ids).detach().numpy()[:, :-1]
        shifted = scores - scores.max(-1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
        return -np.take_along_axis(log_p, ids.numpy()[:, 1:, None], -1).mean()

    base = losses()
    with probing.layers_skipped(model, [layer]):
        return losses() - base


@wrong("skip_layer", "the model without all other layers")
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


@wrong("skip_layer", "accuracy for loss")
def _(model, ids, layer):
    def share():
        return (model(ids)[:, :-1].argmax(-1) == ids[:, 1:]).double().mean()

    base = share()
    with probing.layers_skipped(model, [layer]):
        return base - share()


@wrong("skip_layer", "perplexities")
def _(model, ids, layer):
    base = _loss(model, ids).exp()
    with probing.layers_skipped(model, [layer]):
        return _loss(model, ids).exp() - base


@wrong("skip_layer", "the block is gone for good")
def _(model, ids, layer):
    base = _loss(model, ids)
    del model.stack.blocks[layer]
    return _loss(model, ids) - base


@wrong("skip_layer", "a loss for each token")
def _(model, ids, layer):
    def losses():
        return F.cross_entropy(model(ids)[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")

    base = losses()
    with probing.layers_skipped(model, [layer]):
        return losses() - base


@wrong("skip_layer", "two layers exchanged")
def _(model, ids, layer):
    order = list(range(len(model.stack.blocks)))
    order[0], order[layer] = order[layer], order[0]
    base = _loss(model, ids)
    with probing.layers_reordered(model, order):
        return _loss(model, ids) - base


# --------------------------------------------------------------------------------------------- block at work


def _norm(x, scale, eps):
    return scale * x / torch.sqrt(torch.mean(x**2, dim=-1, keepdim=True) + eps)


@right("block_at_work", "named steps")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    mixed = attention(_norm(x, attention_scale, eps))
    stream = x + mixed
    read = _norm(stream, mlp_scale, eps)
    g = read @ gate.transpose(0, 1)
    hidden = g * torch.sigmoid(g) * (read @ up.transpose(0, 1))
    return stream + hidden @ down.transpose(0, 1)


@right("block_at_work", "F.linear and F.silu")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    x = x + attention(_norm(x, attention_scale, eps))
    y = _norm(x, mlp_scale, eps)
    return x + F.linear(F.silu(F.linear(y, gate)) * F.linear(y, up), down)


@right("block_at_work", "the square root of the width taken apart")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    def norm(y, scale):
        length = (y.square().sum(-1, keepdim=True) + y.shape[-1] * eps).sqrt()
        return y * math.sqrt(y.shape[-1]) / length * scale

    x = attention(norm(x, attention_scale)) + x
    y = norm(x, mlp_scale).transpose(1, 2)
    wide = F.silu(gate @ y) * (up @ y)
    return x + (down @ wide).transpose(1, 2)


@right("block_at_work", "tokens as rows of one matrix")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    x = x + attention(_norm(x, attention_scale, eps))
    rows = x.reshape(-1, x.shape[-1])
    y = _norm(rows, mlp_scale, eps)
    wide = torch.mul(F.silu(y.mm(gate.t())), y.mm(up.t()))
    return torch.addmm(rows, wide, down.t()).reshape(x.shape)


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


@wrong("block_at_work", "1 + scale, as in Gemma")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    x = x + attention(_norm(x, 1 + attention_scale, eps))
    y = _norm(x, 1 + mlp_scale, eps)
    return x + (F.silu(y @ gate.T) * (y @ up.T)) @ down.T


@wrong("block_at_work", "attention twice")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    for scale in (attention_scale, mlp_scale):
        x = x + attention(_norm(x, scale, eps))
    return x


@wrong("block_at_work", "the addition of x twice")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    y = x + attention(_norm(x, attention_scale, eps))
    z = _norm(y, mlp_scale, eps)
    return x + y + (F.silu(z @ gate.T) * (z @ up.T)) @ down.T


@wrong("block_at_work", "the MLP added to x, attention forgotten on the way")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    y = x + attention(_norm(x, attention_scale, eps))
    z = _norm(y, mlp_scale, eps)
    return x + (F.silu(z @ gate.T) * (z @ up.T)) @ down.T


@wrong("block_at_work", "the tanh approximation of GELU")
def _(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    x = x + attention(_norm(x, attention_scale, eps))
    y = _norm(x, mlp_scale, eps)
    return x + (F.gelu(y @ gate.T, approximate="tanh") * (y @ up.T)) @ down.T
