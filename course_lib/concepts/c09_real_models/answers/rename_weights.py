"""Answers to rename_weights, as learners write them."""

import re

import torch
from torch import nn

from course_lib.pretrained import gpt2_from_hf

TABLE = [
    (r"^wte\.", "token_embedding."),
    (r"^wpe\.", "position_embedding."),
    (r"^ln_f\.", "stack.final_norm."),
    (r"\.ln_1\.", ".attention_norm."),
    (r"\.ln_2\.", ".feed_forward_norm."),
    (r"\.attn\.c_proj\.", ".attention.out_proj."),
    (r"\.mlp\.c_fc\.", ".feed_forward.up_proj."),
    (r"\.mlp\.c_proj\.", ".feed_forward.down_proj."),
    (r"^h\.", "stack.blocks."),
]


def by_a_table_of_patterns(theirs):
    ours = {}
    for name, tensor in theirs.items():
        if re.search(r"\.attn\.(masked_)?bias$", name):
            continue
        new = name
        for pattern, replacement in TABLE:
            new = re.sub(pattern, replacement, new)
        if name.startswith("h.") and tensor.dim() == 2:
            tensor = tensor.transpose(0, 1).contiguous()
        if ".attn.c_attn." in new:
            q, k, v = tensor.split(len(tensor) // 3)
            for letter, piece in (("q", q), ("k", k), ("v", v)):
                ours[new.replace(".attn.c_attn.", f".attention.{letter}_proj.")] = piece
        else:
            ours[new] = tensor
    return ours


def layer_by_layer(theirs):
    """Asks for what it needs, by name; what it does not ask for is left out."""
    ours = {"token_embedding.weight": theirs["wte.weight"], "position_embedding.weight": theirs["wpe.weight"]}
    i = 0
    while f"h.{i}.ln_1.weight" in theirs:
        there, here = f"h.{i}.", f"stack.blocks.{i}."
        for kind in ("weight", "bias"):
            d = theirs["ln_f.weight"].numel()
            whole = theirs[f"{there}attn.c_attn.{kind}"]
            for j, part in enumerate(("q_proj", "k_proj", "v_proj")):
                piece = whole[..., j * d : (j + 1) * d]
                ours[f"{here}attention.{part}.{kind}"] = piece.T if kind == "weight" else piece
            ours[f"{here}attention_norm.{kind}"] = theirs[f"{there}ln_1.{kind}"]
            ours[f"{here}feed_forward_norm.{kind}"] = theirs[f"{there}ln_2.{kind}"]
        for module, name in (
            ("attention.out_proj", "attn.c_proj"),
            ("feed_forward.up_proj", "mlp.c_fc"),
            ("feed_forward.down_proj", "mlp.c_proj"),
        ):
            ours[f"{here}{module}.weight"] = theirs[f"{there}{name}.weight"].t()
            ours[f"{here}{module}.bias"] = theirs[f"{there}{name}.bias"].clone()
        i += 1
    return {
        **ours,
        "stack.final_norm.weight": theirs["ln_f.weight"],
        "stack.final_norm.bias": theirs["ln_f.bias"],
    }


def as_parameters(theirs):
    """With parameters as values, sorted by name."""
    return {name: nn.Parameter(tensor) for name, tensor in sorted(by_a_table_of_patterns(theirs).items())}


def in_numpy(theirs):
    return {name: tensor.numpy().copy() for name, tensor in layer_by_layer(theirs).items()}


def by_our_library(theirs):
    """Right, but the library's."""
    d = theirs["ln_f.weight"].numel()
    layers = {name.split(".")[1] for name in theirs if name.startswith("h.")}
    config = {"model_type": "gpt2", "n_embd": d, "n_head": 1, "n_layer": len(layers)}
    config |= {"n_positions": len(theirs["wpe.weight"]), "vocab_size": len(theirs["wte.weight"])}
    config |= {"n_inner": theirs["h.0.mlp.c_fc.bias"].numel(), "activation_function": "gelu_new"}
    config |= {"layer_norm_epsilon": 1e-5, "tie_word_embeddings": True}
    return dict(gpt2_from_hf(theirs, config).named_parameters())


def after(change):
    """Right, but for what is then done to each (name, tensor): another pair, or None to drop it."""

    def answer(theirs):
        pairs = (change(name, tensor) for name, tensor in layer_by_layer(theirs).items())
        return dict(pair for pair in pairs if pair)

    return answer


def renamed(*pairs):
    def change(name, tensor):
        for old, new in pairs:
            if old in name:
                return name.replace(old, new), tensor
        return name, tensor

    return after(change)


def before(change):
    """Right, of a checkpoint in which some tensors were changed."""
    return lambda theirs: layer_by_layer(
        {name: change(tensor) if ".c_attn." in name else tensor for name, tensor in theirs.items()}
    )


def buffers_taken_out(theirs):
    rest = dict(theirs)
    for name in theirs:
        if name.endswith("ln_1.weight"):
            del rest[name.replace("ln_1.weight", "attn.bias")]
    return layer_by_layer(rest)


def told_by_shape(theirs):
    """The one of the two c_proj that is square is the attention's."""
    ours = layer_by_layer(theirs)
    for name in [name for name in ours if name.endswith("down_proj.weight")]:
        if ours[name].shape[0] == ours[name].shape[1]:
            ours[name.replace("feed_forward.down_proj", "attention.out_proj")] = ours.pop(name)
    return ours


def tables_first(theirs):
    """The first two tensors are taken for the tables, whatever their names."""
    ours = layer_by_layer(theirs)
    ours["token_embedding.weight"], ours["position_embedding.weight"] = list(theirs.values())[:2]
    return ours


def up_to_the_largest_number(theirs):
    n_layers = 1 + max(int(name.split(".")[1]) for name in theirs if name.startswith("h."))
    layers = tuple(f"h.{i}." for i in range(n_layers))
    return layer_by_layer(
        {name: theirs[name] for name in theirs if name[:2] != "h." or name.startswith(layers)}
    )


def thirds(*order):
    return lambda whole: torch.cat([whole.chunk(3, -1)[i] for i in order], -1)


RIGHT = [by_a_table_of_patterns, layer_by_layer, as_parameters, in_numpy, up_to_the_largest_number]
WRONG = [
    ("q and k exchanged", renamed(("q_proj", "k_proj"), ("k_proj", "q_proj"))),
    (None, by_our_library),
    ("buffers taken for granted", buffers_taken_out),
    ("the tables by their place", tables_first),
    ("told apart by shape", told_by_shape),
    (None, lambda theirs: list(layer_by_layer(theirs).items())),
    (None, lambda theirs: dict.fromkeys(layer_by_layer(theirs), "a tensor")),
    ("k and v exchanged", before(thirds(0, 2, 1))),
]
