"""Wrong and correct answers to the tasks of 06_residuals on depth, written as learners write them."""

import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import probing
from course_lib.blocks import FeedForward, RMSNorm

RIGHT, WRONG = {}, {}

# --------------------------------------------------------------------------------------------- identity start


def by_blocks(stack):
    for block in stack.blocks:
        for linear in (block.attention.out_proj, block.feed_forward.down_proj):
            nn.init.zeros_(linear.weight)
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)


def by_names(stack):
    for name, parameter in stack.named_parameters():
        if "out_proj" in name or "down_proj" in name:
            parameter.data.zero_()


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


def by_apply(stack):
    def zero(module):
        for name in ("out_proj", "down_proj"):
            if isinstance(getattr(module, name, None), nn.Linear):
                with torch.no_grad():
                    for parameter in getattr(module, name).parameters():
                        parameter.copy_(0 * parameter)

    stack.apply(zero)


def zeroing(*endings):
    """All parameters whose names end like that."""

    def answer(stack):
        for name, parameter in stack.named_parameters():
            if name.endswith(endings):
                nn.init.zeros_(parameter)

    return answer


def of_layers(layers):
    def answer(stack):
        for block in stack.blocks[layers]:
            zeroing("out_proj.weight", "out_proj.bias", "down_proj.weight", "down_proj.bias")(block)

    return answer


def eye(stack):
    for block in stack.blocks:
        nn.init.eye_(block.attention.out_proj.weight)
        nn.init.eye_(block.feed_forward.down_proj.weight)


def on_a_copy(stack):
    changed = copy.deepcopy(stack)
    by_blocks(changed)
    return changed


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


def only_branch_weights(stack):
    """All matrices 0, norms and biases as they were; then the biases too."""
    zeroing("proj.weight", "proj.bias")(stack)


def all_parameters(stack):
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.zero_()


def in_place_without_no_grad(stack):
    for block in stack.blocks:
        block.attention.out_proj.weight.zero_()


def last_norm_only(stack):
    nn.init.zeros_(stack.final_norm.weight)


RIGHT["06_residuals/identity_start"] = [
    by_blocks,
    at_the_other_end,
    redrawn,
    by_new_parameters,
    by_names,
    by_state,
    by_apply,
]
FIRST = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
WRONG["06_residuals/identity_start"] = [
    ("only attention", zeroing("out_proj.weight", "out_proj.bias")),
    ("only the MLP", zeroing("down_proj.weight", "down_proj.bias")),
    ("biases forgotten", zeroing("out_proj.weight", "down_proj.weight")),
    ("only the biases", zeroing("out_proj.bias", "down_proj.bias")),
    ("the first matrices", zeroing(*(f"{name}.{kind}" for name in FIRST for kind in ("weight", "bias")))),
    ("everything", only_branch_weights),
    ("everything", all_parameters),
    ("the norms", zeroing("norm.weight")),
    ("identity matrices", eye),
    ("only the first layer", of_layers(slice(0, 1))),
    ("only the last layer", of_layers(slice(-1, None))),
    ("nothing changed", on_a_copy),
    ("nothing changed", last_norm_only),
    (None, tiny),
    (None, frozen),
    (None, without_parts),
    (None, in_place_without_no_grad),
    (None, zeroing("out_proj.weight", "out_proj.bias", "up_proj.weight", "up_proj.bias")),
    (None, zeroing("weight")),
    (None, lambda stack: [nn.init.zeros_(block.weight) for block in stack.blocks]),
]

# ---------------------------------------------------------------------------------------- depth-scaled start


def by_endings(stack, std):
    for name, parameter in stack.named_parameters():
        if name.endswith("bias") and "norm" not in name:
            nn.init.zeros_(parameter)
        elif name.endswith(("out_proj.weight", "down_proj.weight")):
            nn.init.normal_(parameter, mean=0.0, std=std / math.sqrt(2 * len(stack.blocks)))
        elif parameter.dim() == 2:
            nn.init.normal_(parameter, mean=0.0, std=std)


def in_two_passes(stack, std):
    """First all alike, then the last ones divided."""
    for module in stack.modules():
        if isinstance(module, nn.Linear):
            module.weight.data.normal_(0, std)
            if module.bias is not None:
                module.bias.data.fill_(0)
    for block in stack.blocks:
        for linear in (block.attention.out_proj, block.feed_forward.down_proj):
            linear.weight.data /= (2 * len(stack.blocks)) ** 0.5


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


def as_asked(stack, std, *, smaller=("out_proj", "down_proj"), size=None, draw=None, biases=True, norms=None):
    """With what mistakes change. size: from L, the layer and std to that of the smaller matrices."""
    draw = draw or (lambda weight, std: nn.init.normal_(weight, std=std))
    depth = len(stack.blocks)
    for layer, block in enumerate(stack.blocks):
        for name, module in block.named_modules():
            if isinstance(module, nn.Linear):
                small = (size or (lambda depth, layer, std: std / math.sqrt(2 * depth)))(depth, layer, std)
                draw(module.weight, small if name.endswith(smaller) else std)
                if biases and module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif norms and hasattr(module, "eps"):
                norms(module.weight)


def mistaken(**changes):
    return lambda stack, std: as_asked(stack, std, **changes)


def with_std(change):
    return lambda stack, std: as_asked(stack, change(std))


def uniform(weight, std):
    nn.init.uniform_(weight, -std * 3**0.5, std * 3**0.5)


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


def divided_by_root(divisor):
    return mistaken(size=lambda depth, layer, std: std / divisor(depth, layer))


RIGHT["06_residuals/depth_scaled_start"] = [
    by_endings,
    in_two_passes,
    by_randn,
    truncated,
    by_state_dict,
    as_asked,
]
WRONG["06_residuals/depth_scaled_start"] = [
    ("root of the layers", divided_by_root(lambda depth, layer: depth**0.5)),
    ("no root", divided_by_root(lambda depth, layer: 2 * depth)),
    ("divided by the layers", divided_by_root(lambda depth, layer: depth)),
    ("the root of L alone", divided_by_root(lambda depth, layer: 2 * math.sqrt(depth))),
    ("multiplied", divided_by_root(lambda depth, layer: (2 * depth) ** -0.5)),
    ("by the place of the layer", divided_by_root(lambda depth, layer: math.sqrt(2 * (layer + 1)))),
    ("nothing smaller", mistaken(size=lambda depth, layer, std: std)),
    ("all smaller", mistaken(smaller=("proj",))),
    ("only attention smaller", mistaken(smaller=("out_proj",))),
    ("only the MLP smaller", mistaken(smaller=("down_proj",))),
    ("the others smaller", mistaken(smaller=FIRST)),
    ("the square of std", with_std(lambda std: std**2)),
    ("std for the variance", with_std(math.sqrt)),
    ("uniform", mistaken(draw=uniform)),
    ("biases left", mistaken(biases=False)),
    ("norms changed", mistaken(norms=nn.init.zeros_)),
    ("norms changed", mistaken(norms=lambda weight: nn.init.normal_(weight, 1, 0.02))),
    (None, everything_normal),
    (None, only_divided),
    (None, mistaken(draw=nn.init.constant_)),
    (None, mistaken(draw=lambda weight, std: nn.init.xavier_normal_(weight))),
    (None, mistaken(draw=lambda weight, std: nn.init.uniform_(weight, -std, std))),
    (None, divided_by_root(lambda depth, layer: math.sqrt(2 * depth + 2))),
    (None, lambda stack, std: as_asked(copy.deepcopy(stack), std)),
    (None, lambda stack, std: as_asked(stack.half(), std)),
    (None, lambda stack, std: as_asked(stack.encoder, std)),
]

# ------------------------------------------------------------------------------------------------ logit lens


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


def by_skipping(model, ids):
    """The whole model, with all later layers skipped."""
    rows = []
    for n in range(len(model.stack.blocks)):
        with torch.no_grad(), probing.layers_skipped(model, range(n + 1, len(model.stack.blocks))):
            rows.append(model(ids))
    return torch.stack(rows)


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


def by_numpy(model, ids):
    return by_record(model, ids).detach().numpy()


def recording(read, streams=lambda seen, model, ids: seen.streams):
    """Right but for how, or what, is read."""

    def answer(model, ids):
        with torch.no_grad(), probing.recorded(model) as seen:
            model(ids)
            found = streams(seen, model, ids)
            return torch.stack([read(model, stream, n) for n, stream in enumerate(found)])

    return answer


def reads(model, stream, n):
    return model.lm_head(model.stack.final_norm(stream))


def what_enters(seen, model, ids):
    return (
        [model.token_embedding(ids), *seen.streams][:-1]
        if model.position_embedding is None
        else [
            model.position_embedding(model.token_embedding(ids)),
            *seen.streams[:-1],
        ]
    )


def bare(model, stream, n):
    norm = model.stack.final_norm
    if isinstance(norm, RMSNorm):
        return model.lm_head(stream * (stream.pow(2).mean(-1, keepdim=True) + norm.eps).rsqrt())
    return model.lm_head(F.layer_norm(stream, stream.shape[-1:], eps=norm.eps))


def next_norm(model, stream, n):
    later = (
        model.stack.blocks[n + 1].attention_norm
        if n + 1 < len(model.stack.blocks)
        else model.stack.final_norm
    )
    return model.lm_head(later(stream))


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


RIGHT["06_residuals/logit_lens"] = [
    by_running,
    by_skipping,
    by_hooks,
    by_sums,
    by_record,
    by_fewer_layers,
    by_numpy,
]
WRONG["06_residuals/logit_lens"] = [
    ("no norm", recording(lambda model, stream, n: model.lm_head(stream))),
    (
        "each layer's own norm",
        recording(lambda model, x, n: model.lm_head(model.stack.blocks[n].feed_forward_norm(x))),
    ),
    ("the norm of the next layer", recording(next_norm)),
    ("a norm without its weights", recording(bare)),
    (
        "the embedding table as head",
        recording(lambda model, x, n: model.stack.final_norm(x) @ model.token_embedding.weight.T),
    ),
    ("embeddings counted", recording(reads, lambda seen, model, ids: [model.embed(ids), *seen.streams])),
    ("what enters each layer", recording(reads, what_enters)),
    ("last layer missing", lambda model, ids: by_running(model, ids)[:-1]),
    ("what attention adds", recording(reads, lambda seen, model, ids: seen.attention)),
    ("what the MLP adds", recording(reads, lambda seen, model, ids: seen.feed_forward)),
    (
        "what each layer adds",
        recording(reads, lambda seen, *_: list(map(torch.add, seen.attention, seen.feed_forward))),
    ),
    ("the last layer first", lambda model, ids: by_running(model, ids).flip(0)),
    ("only the last token", recording(lambda model, x, n: reads(model, x[:, -1], n))),
    ("the likeliest token", lambda model, ids: by_running(model, ids).argmax(-1)),
    ("probabilities", lambda model, ids: by_running(model, ids).softmax(-1)),
    ("logarithms of probabilities", lambda model, ids: F.log_softmax(by_running(model, ids), dim=-1)),
    (None, with_a_hook_left),
    (None, in_training_mode),
    (None, one_model_after_the_other),
    (None, lambda model, ids: model(ids)),
    (None, lambda model, ids: by_running(model, ids).transpose(0, 1)),
    (None, recording(lambda model, x, n: reads(model, model.stack.final_norm(x), n))),
    (None, lambda model, ids: by_running(model, ids).mean(2)),
    (None, lambda model, ids: by_running(model, ids).half()),
    (
        None,
        lambda model, ids: torch.stack(
            [probing.logit_lens(model, block_gives) for block_gives in recorded_streams(model, ids)]
        ),
    ),
]


def recorded_streams(model, ids):
    with probing.recorded(model) as seen:
        model(ids)
    return seen.streams


# ------------------------------------------------------------------------------------------------ skip layer


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


def by_probabilities(model, ids, layer):
    """Token after token, from logarithms of probabilities."""

    def mean_loss(logits):
        chosen = logits.log_softmax(-1)[:, :-1].gather(2, ids[:, 1:, None])
        return -chosen.mean().item()

    with_all = mean_loss(model(ids))
    others = [n for n in range(len(model.stack.blocks)) if n != layer]
    with probing.layers_reordered(model, others):
        return mean_loss(model(ids)) - with_all


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


def comparing(compare, loss=loss_of):
    def answer(model, ids, layer):
        before = loss(model, ids)
        with probing.layers_skipped(model, [layer]):
            return compare(before, loss(model, ids))

    return answer


def grows(before, after):
    return after - before


def with_loss(loss):
    """Loss: from scores and ids."""
    return comparing(grows, lambda model, ids: loss(model(ids).detach(), ids))


def skipping(layers):
    """Layers: which ones are skipped, from the number and L."""

    def answer(model, ids, layer):
        before = loss_of(model, ids)
        with probing.layers_skipped(model, layers(layer, len(model.stack.blocks))):
            return loss_of(model, ids) - before

    return answer


def silencing(part):
    """Part: from a block to what gives zeros."""

    def answer(model, ids, layer):
        before = loss_of(model, ids)
        hook = part(model.stack.blocks[layer]).register_forward_hook(lambda m, args, output: 0 * output)
        after = loss_of(model, ids)
        hook.remove()
        return after - before

    return answer


def never_back(model, ids, layer):
    before = loss_of(model, ids)
    model.stack.blocks[layer].forward = lambda x, **others: x
    return loss_of(model, ids) - before


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


def flat(logits, ids):
    return F.cross_entropy(logits.flatten(0, 1), ids.flatten())


RIGHT["06_residuals/skip_layer"] = [
    by_own_hook,
    by_probabilities,
    by_copy,
    by_running_the_rest,
    by_skipped,
    by_forward,
]
WRONG["06_residuals/skip_layer"] = [
    ("no shift", with_loss(flat)),
    ("the token before", with_loss(lambda logits, ids: flat(logits[:, 1:], ids[:, :-1]))),
    (
        "sum instead of mean",
        with_loss(
            lambda x, ids: F.cross_entropy(x[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="sum")
        ),
    ),
    ("only the last token", with_loss(lambda logits, ids: F.cross_entropy(logits[:, -2], ids[:, -1]))),
    ("bits", lambda model, ids, layer: by_skipped(model, ids, layer) / math.log(2)),
    ("a softmax too many", with_loss(lambda x, ids: flat(x[:, :-1].softmax(-1), ids[:, 1:]))),
    ("the other sign", comparing(lambda before, after: before - after)),
    ("the loss itself", comparing(lambda before, after: after)),
    ("the ratio", comparing(lambda before, after: after / before)),
    ("as a share", comparing(lambda before, after: (after - before) / before)),
    ("the size of the difference", comparing(lambda before, after: (after - before).abs())),
    ("only attention skipped", silencing(lambda block: block.attention)),
    ("only the MLP skipped", silencing(lambda block: block.feed_forward)),
    ("the stream cut off", silencing(lambda block: block)),
    ("counted from 1", skipping(lambda layer, count: [(layer - 1) % count])),
    ("all later layers too", skipping(lambda layer, count: range(layer, count))),
    ("all earlier layers too", skipping(lambda layer, count: range(layer + 1))),
    ("not put back", never_back),
    ("not put back", hook_stays),
    (None, deleted),
    (None, useless_hook_left),
    ("not put back", weights_zeroed),
    (None, comparing(lambda before, after: None)),
    (None, comparing(lambda before, after: [before, after])),
    (None, comparing(lambda before, after: 0.0)),
    (None, with_loss(lambda logits, ids: flat(logits[:, :-1], ids[:, 1:]).exp())),
    (None, skipping(lambda layer, count: [layer + 1])),
    (None, lambda model, ids, layer: by_skipped(model.train(), ids, layer)),
]

# --------------------------------------------------------------------------------------------- block at work


def rms(x, scale, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * scale


def swiglu(x, gate, up, down):
    return (F.silu(x @ gate.T) * (x @ up.T)) @ down.T


def plainly(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    x = x + attention(rms(x, attention_scale, eps))
    return x + swiglu(rms(x, mlp_scale, eps), gate, up, down)


def by_einsum(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    def norm(y, scale):
        return torch.einsum(
            "btd,bt,d->btd", y, (torch.einsum("btd,btd->bt", y, y) / y.size(2) + eps) ** -0.5, scale
        )

    after = attention(norm(x, attention_scale)) + x
    y = norm(after, mlp_scale)
    wide = torch.einsum("btd,fd->btf", y, gate)
    return after + torch.einsum(
        "btf,btf,btf,df->btd", wide, torch.sigmoid(wide), torch.einsum("btd,fd->btf", y, up), down
    )


def by_linear(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    def norm(y, scale):
        size = torch.sqrt(eps + (y * y).sum(-1) / y.shape[-1])
        return scale * (y / size.unsqueeze(-1))

    x = torch.add(x, attention(norm(x, attention_scale)))
    y = norm(x, mlp_scale)
    wide, plain = F.linear(y, torch.cat([gate, up])).chunk(2, -1)
    return torch.add(x, F.linear(wide / (1 + torch.exp(-wide)) * plain, down))


def scales_folded(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    """The second scale is multiplied into the matrices."""

    def norm(y):
        return y / y.square().mean(dim=-1, keepdim=True).add(eps).sqrt()

    x = x + attention(norm(x) * attention_scale)
    y = norm(x)
    return x + swiglu(y, gate * mlp_scale, up * mlp_scale, down)


def token_by_token(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    def norm(y, scale):
        return y / (torch.linalg.vector_norm(y) ** 2 / len(y) + eps) ** 0.5 * scale

    def each(f, y):
        return torch.stack([torch.stack([f(token) for token in row]) for row in y])

    x = x + attention(each(lambda token: norm(token, attention_scale), x))

    def mlp(token):
        y = norm(token, mlp_scale)
        return token + down @ (F.silu(gate @ y) * (up @ y))

    return each(mlp, x)


def with_modules(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    """Matrices put into modules of torch by a functional call."""

    class Norm(nn.Module):
        def forward(self, y, scale):
            return y.div(y.pow(2).mean(2, keepdim=True).add(eps).pow(0.5)).mul(scale)

    norm, silu = Norm(), nn.SiLU()
    widen = nn.Linear(gate.shape[1], gate.shape[0], bias=False)
    x = x + attention(norm(x, attention_scale))
    y = norm(x, mlp_scale)
    gated = silu(torch.func.functional_call(widen, {"weight": gate}, y))
    return x + (gated * torch.func.functional_call(widen, {"weight": up}, y)).matmul(down.t())


def built(norm=rms, mlp=swiglu, attend=None, think=None):
    """The layer with what mistakes change: a branch is a function of x, the branch and the norm."""

    def add(x, branch, norm):
        return x + branch(norm(x))

    def answer(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
        x = (attend or add)(x, attention, lambda y: norm(y, attention_scale, eps))
        return (think or add)(x, lambda y: mlp(y, gate, up, down), lambda y: norm(y, mlp_scale, eps))

    return answer


def both(way):
    return built(attend=way, think=way)


def hidden(formula):
    return built(mlp=lambda x, gate, up, down: formula(x @ gate.T, x @ up.T) @ down.T)


def parallel(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    return x + attention(rms(x, attention_scale, eps)) + swiglu(rms(x, mlp_scale, eps), gate, up, down)


def mlp_first(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    x = x + swiglu(rms(x, mlp_scale, eps), gate, up, down)
    return x + attention(rms(x, attention_scale, eps))


def onto_normed(x, branch, norm):
    y = norm(x)
    return y + branch(y)


def layer_norm(x, scale, eps):
    return F.layer_norm(x, x.shape[-1:], weight=scale, eps=eps)


def in_place(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    x += attention(rms(x, attention_scale, eps))
    x += swiglu(rms(x, mlp_scale, eps), gate, up, down)
    return x


def without_graph(*given):
    with torch.no_grad():
        return plainly(*given)


def narrow_only(x, *given):
    """Right on the small inputs, wrong in the model, whose stream is wider."""
    return plainly(x, *given) if x.shape[-1] < 100 else x


def ready_norm(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    x = x + attention(F.rms_norm(x, x.shape[-1:], attention_scale, eps))
    return x + swiglu(F.rms_norm(x, x.shape[-1:], mlp_scale, eps), gate, up, down)


def ready_mlp(x, attention, attention_scale, mlp_scale, gate, up, down, eps):
    mlp = FeedForward(x.shape[-1], len(gate), activation="swiglu", bias=False)
    weights = {"gate_proj.weight": gate, "up_proj.weight": up, "down_proj.weight": down}
    x = x + attention(rms(x, attention_scale, eps))
    return x + torch.func.functional_call(mlp, weights, rms(x, mlp_scale, eps))


def of_arguments(change):
    """The right layer, its arguments exchanged."""
    return lambda *given: plainly(*change(*given))


RIGHT["06_residuals/block_at_work"] = [
    plainly,
    by_einsum,
    by_linear,
    scales_folded,
    with_modules,
    token_by_token,
]
WRONG["06_residuals/block_at_work"] = [
    ("LayerNorm for RMSNorm", built(norm=layer_norm)),
    ("GELU for SiLU", hidden(lambda a, b: F.gelu(a) * b)),
    ("ReLU for SiLU", hidden(lambda a, b: F.relu(a) * b)),
    ("sigmoid for SiLU", hidden(lambda a, b: torch.sigmoid(a) * b)),
    ("nothing bent", hidden(lambda a, b: a * b)),
    ("no gate", hidden(lambda a, b: F.silu(b))),
    ("gate without up", hidden(lambda a, b: F.silu(a))),
    ("gate and up exchanged", hidden(lambda a, b: a * F.silu(b))),
    ("gate and up added", hidden(lambda a, b: F.silu(a) + b)),
    ("post-norm", both(lambda x, branch, norm: norm(x + branch(x)))),
    ("branches normalised", both(lambda x, branch, norm: x + norm(branch(x)))),
    ("additions left out", both(lambda x, branch, norm: branch(norm(x)))),
    ("attention not added", built(attend=lambda x, branch, norm: branch(norm(x)))),
    ("MLP not added", built(think=lambda x, branch, norm: branch(norm(x)))),
    ("the normalised stream goes on", both(onto_normed)),
    ("attention without a norm", built(attend=lambda x, branch, norm: x + branch(x))),
    ("MLP without a norm", built(think=lambda x, branch, norm: x + branch(x))),
    ("no attention", built(attend=lambda x, branch, norm: x)),
    ("no MLP", built(think=lambda x, branch, norm: x)),
    ("both at once", parallel),
    ("the MLP first", mlp_first),
    ("scales exchanged", of_arguments(lambda x, a, one, two, *rest: (x, a, two, one, *rest))),
    ("one scale for both", of_arguments(lambda x, a, one, two, *rest: (x, a, one, one, *rest))),
    ("no scale", built(norm=lambda x, scale, eps: rms(x, 1, eps))),
    (
        "eps outside the root",
        built(norm=lambda x, s, eps: x / (x.pow(2).mean(-1, keepdim=True).sqrt() + eps) * s),
    ),
    ("no eps", built(norm=lambda x, scale, eps: rms(x, scale, 0))),
    (
        "sum instead of mean",
        built(norm=lambda x, s, eps: x / (x.pow(2).sum(-1, keepdim=True) + eps).sqrt() * s),
    ),
    ("no root", built(norm=lambda x, s, eps: x / (x.pow(2).mean(-1, keepdim=True) + eps) * s)),
    (
        "mean over the tokens",
        built(norm=lambda x, s, eps: x * (x.pow(2).mean(1, keepdim=True) + eps).rsqrt() * s),
    ),
    ("one mean for all", built(norm=lambda x, s, eps: x * (x.pow(2).mean() + eps).rsqrt() * s)),
    ("matrices transposed", built(mlp=lambda x, gate, up, down: (F.silu(x @ gate) * (x @ up)) @ down)),
    (None, in_place),
    (None, without_graph),
    (None, narrow_only),
    (None, ready_norm),
    (None, ready_mlp),
    (None, hidden(lambda a, b: F.silu(a * b))),
    (None, lambda x, *given: plainly(x, *given) - x),
    (None, lambda *given: plainly(*given).half()),
    (None, lambda *given: plainly(*given).detach().numpy()),
    (None, lambda x, *given: x),
    (None, lambda *given: None),
]
