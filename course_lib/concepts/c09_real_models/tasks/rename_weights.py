"""Somebody else's weights

A published model is a file of tensors by name, and the names are never yours. `theirs` is a dictionary in
GPT-2's way, for any number of layers, one at least. Return a dictionary of the same tensors by our names:

| theirs | ours |
|---|---|
| `wte.weight` | `token_embedding.weight` |
| `wpe.weight` | `position_embedding.weight` |
| `h.I.ln_1.*` | `stack.blocks.I.attention_norm.*` |
| `h.I.attn.c_attn.*` | `stack.blocks.I.attention.q_proj.*`, `...k_proj.*`, `...v_proj.*` |
| `h.I.attn.c_proj.*` | `stack.blocks.I.attention.out_proj.*` |
| `h.I.ln_2.*` | `stack.blocks.I.feed_forward_norm.*` |
| `h.I.mlp.c_fc.*` | `stack.blocks.I.feed_forward.up_proj.*` |
| `h.I.mlp.c_proj.*` | `stack.blocks.I.feed_forward.down_proj.*` |
| `ln_f.*` | `stack.final_norm.*` |

`I` is the number of a layer, from 0 on, and `*` is `weight` or `bias`. Three things differ beside the
names. The matrices inside the layers are stored as (in, out), ours as (out, in), so each is to be
transposed; the two tables of embeddings are the same in both. `c_attn` holds q, k and v in one, of width 3
D: first all columns of q, then those of k, then those of v, and its bias likewise. And `h.I.attn.bias` and
`h.I.attn.masked_bias` are no weights but a mask that they keep, so they are left out. The names come in any
order.

Hint: Cut a name such as `h.10.attn.c_attn.weight` at its dots: which pieces are the layer, the module, and
weight or bias? A dictionary can then translate the module.

Hint: `name.rpartition(".")` cuts off the last piece, `module.split(".", 2)` the first two. What is in your
dictionary tells weights from buffers; being inside a layer and having two axes tells which are transposed.

Hint: First transpose: c_attn's weight is then (3 D, D), its bias (3 D), and `tensor.chunk(3)` cuts both
into q, k and v, which `zip("qkv", ...)` names.
"""

from collections.abc import Mapping

import numpy as np
import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import all_different, primes
from course_lib.checks.kinds import Case, Property
from course_lib.checks.values import WrongForm, boxed, describe, numbers_of

SHAPES, NUMBERS = "The table of shapes", "The numbers"


def as_tensors(answer):
    """A dictionary of tensors as two parts: the shapes by name, and all numbers in the order of the names.

    Raises: WrongForm: it is none.
    """
    if answer is None:
        raise WrongForm("It returns None: is the `return` missing?")
    if not isinstance(answer, Mapping) or not all(isinstance(name, str) for name in answer):
        raise WrongForm(f"It must return a dictionary from names to tensors, but got {describe(answer)}.")
    arrays = {}
    for name in sorted(answer):
        try:
            arrays[name] = numbers_of(answer[name], tensor=False)
        except WrongForm:
            raise WrongForm(f"{name!r} should hold a tensor, but holds {describe(answer[name])}.") from None
    shapes = {name: array.shape for name, array in arrays.items()}
    numbers = np.concatenate([np.zeros(0), *(array.ravel() for array in arrays.values())])
    # All numbers of a checkpoint here are whole, and nothing is computed with them: no room for rounding.
    whole = np.isfinite(numbers).all() and (numbers == numbers.round()).all()
    return {SHAPES: boxed(shapes), NUMBERS: numbers.astype(int) if whole else numbers}


def first_wrong_tensor(result, inputs):
    """Which tensor has other numbers; the shapes are right by then."""
    right = rename_weights(inputs["theirs"])
    begin = 0
    for name in sorted(right):
        wanted = right[name].double().numpy()
        came = result[begin : begin + wanted.size].reshape(wanted.shape)
        begin += wanted.size
        if np.array_equal(came, wanted):
            continue
        if wanted.ndim == 2 and wanted.shape[0] == wanted.shape[1] and np.array_equal(came.T, wanted):
            return f"{name!r} is transposed: it is square, so its shape does not tell."
        home = [other for other in right if np.array_equal(right[other].double().numpy(), came)]
        if home:
            return f"{name!r} holds the numbers that belong to {home[0]!r}."
        return f"{name!r} has the right shape but other numbers."
    return ""


exercise = Exercise(
    level=3,
    minutes=25,
    section="What is in the file",
    forbidden=("course_lib.pretrained.gpt2_from_hf",),
    results=(SHAPES, NUMBERS),
    read=as_tensors,
    properties=(Property("first wrong tensor", first_wrong_tensor),),
)


@exercise.solution
def rename_weights(theirs):
    """A checkpoint in GPT-2's way by our names.

    Args:
        theirs: tensors by name, matrices inside the layers as (in, out).
    Returns: tensors by our names, matrices as (out, in), without buffers.
    """
    ### BEGIN SOLUTION
    names = {
        "wte": "token_embedding",
        "wpe": "position_embedding",
        "ln_1": "attention_norm",
        "attn.c_proj": "attention.out_proj",
        "ln_2": "feed_forward_norm",
        "mlp.c_fc": "feed_forward.up_proj",
        "mlp.c_proj": "feed_forward.down_proj",
        "ln_f": "stack.final_norm",
    }
    ours = {}
    for name, tensor in theirs.items():
        module, _, kind = name.rpartition(".")  # "h.10.ln_1" and "weight"
        where = ""
        if module.startswith("h."):
            _, layer, module = module.split(".", 2)
            where = f"stack.blocks.{layer}."
            if tensor.ndim == 2:
                tensor = tensor.T
        if module == "attn.c_attn":
            for part, piece in zip("qkv", tensor.chunk(3), strict=True):
                ours[f"{where}attention.{part}_proj.{kind}"] = piece
        elif module in names:
            ours[f"{where}{names[module]}.{kind}"] = tensor
    return ours
    ### END SOLUTION


class Checkpoint(dict):
    """Tensors by name; shown by their shapes."""

    def __deepcopy__(self, memo):
        return Checkpoint({name: tensor.clone() for name, tensor in self.items()})

    def __repr__(self):
        return f"{{{', '.join(f'{name!r}: {tuple(tensor.shape)}' for name, tensor in self.items())}}}"


@exercise.cases
def _(rng):
    def inputs(n_layers, d, d_ff, vocab, places, buffers=True, shuffled=False):
        """A checkpoint in which no number comes twice."""
        shapes = {"wte.weight": (vocab, d), "wpe.weight": (places, d)}
        for layer in range(n_layers):
            inside = {"ln_1": (d,), "attn.c_attn": (d, 3 * d), "attn.c_proj": (d, d), "ln_2": (d,)}
            inside |= {"mlp.c_fc": (d, d_ff), "mlp.c_proj": (d_ff, d)}
            for module, shape in inside.items():
                shapes[f"h.{layer}.{module}.weight"] = shape
                shapes[f"h.{layer}.{module}.bias"] = shape[-1:]
            if buffers:
                shapes[f"h.{layer}.attn.bias"] = (1, 1, places, places)
                shapes[f"h.{layer}.attn.masked_bias"] = ()
        shapes |= {"ln_f.weight": (d,), "ln_f.bias": (d,)}
        if shuffled:
            shapes = dict(list(shapes.items())[i] for i in rng.permutation(len(shapes)))
        sizes = [int(np.prod(shape)) for shape in shapes.values()]
        pieces = np.split(all_different(rng, sum(sizes)), np.cumsum(sizes)[:-1])
        theirs = Checkpoint()
        for (name, shape), piece in zip(shapes.items(), pieces, strict=True):
            array = (
                np.tri(places, dtype=bool)[None, None]
                if name.endswith(".attn.bias")
                else piece.reshape(shape)
            )
            theirs[name] = torch.from_numpy(array.copy())
        return {"theirs": theirs}

    return [
        Case("one layer", inputs(1, *primes(rng, 2, 3, 5, 7))),
        Case("no buffers", inputs(1, 5, 7, 3, 2, buffers=False), catches="buffers taken for granted"),
        Case(
            "the names in no order", inputs(3, 5, 3, 2, 7, shuffled=True), catches="the tables by their place"
        ),
        Case("everything square", inputs(1, 3, 3, 3, 3), catches="told apart by shape"),
        Case("eleven layers", inputs(11, *primes(rng, 2, 3, 5, 7)), catches="one digit"),
    ]


# ----------------------------------------------------------------------------------------- what is transposed

exercise.changed(
    "nothing transposed",
    "The matrices are still (in, out): transpose those inside the layers.",
    ("            if tensor.ndim == 2:\n                tensor = tensor.T\n", ""),
    ("chunk(3)", "chunk(3, dim=-1)"),
)
exercise.changed(
    "a bare reshape",
    "The matrices have the right shapes, but `reshape` leaves the numbers in their order: a transpose, `.T`, "
    "exchanges the axes.",
    ("tensor = tensor.T", "tensor = tensor.reshape(tensor.shape[::-1])"),
)
exercise.changed(
    "square ones as they were",
    "The matrices of the attention are not transposed. They are square, so their shapes do not tell, but "
    "they are stored as (in, out) like the others.",
    ("tensor.ndim == 2", 'tensor.ndim == 2 and "attn" not in module'),
    ("chunk(3)", "chunk(3, dim=-1)"),
)
exercise.changed(
    "out_proj as it was",
    "`out_proj` is not transposed: it is square, so its shape does not tell, but it is stored as (in, out) "
    "too.",
    ("tensor.ndim == 2", 'tensor.ndim == 2 and module != "attn.c_proj"'),
)
exercise.changed(
    "q, k and v as they were",
    "q, k and v are cut rightly, but not transposed: they are square, so their shapes do not tell.",
    ("tensor.ndim == 2", 'tensor.ndim == 2 and module != "attn.c_attn"'),
    ("chunk(3)", "chunk(3, dim=-1)"),
)
exercise.changed(
    "the MLP as it was",
    "The matrices of the MLP are not transposed: all matrices inside the layers are stored as (in, out).",
    ("tensor.ndim == 2", 'tensor.ndim == 2 and "mlp" not in module'),
)
exercise.changed(
    "tables transposed",
    "The tables of embeddings are transposed too: a row is a token's vector in both, so only matrices "
    "inside the layers are turned.",
    (
        "            if tensor.ndim == 2:\n                tensor",
        "        if tensor.ndim == 2:\n            tensor",
    ),
)

# --------------------------------------------------------------------------------------- c_attn, cut in three

exercise.changed(
    "q and k exchanged",
    "q and k are exchanged: in `c_attn` q comes first, then k, then v.",
    ('zip("qkv"', 'zip("kqv"'),
)
exercise.changed(
    "k and v exchanged",
    "k and v are exchanged: in `c_attn` q comes first, then k, then v.",
    ('zip("qkv"', 'zip("qvk"'),
)
exercise.changed(
    "v first",
    "q, k and v come in the order v, k, q: in `c_attn` q comes first, then k, then v.",
    ('zip("qkv"', 'zip("vkq"'),
)
exercise.changed(
    "every third",
    "Every third column of `c_attn` was taken for q: all columns of q stand side by side, then those of k, "
    "then those of v.",
    ("tensor.chunk(3)", "[tensor[0::3], tensor[1::3], tensor[2::3]]"),
)
exercise.changed(
    "the whole bias for each",
    "q, k and v each have the whole bias of `c_attn`: it is cut in three like the matrix.",
    ("= piece", '= piece if kind == "weight" else tensor'),
)

# ------------------------------------------------------------------------------ what is left out, what is not

exercise.changed(
    "no bias of q, k and v",
    "The biases of q, k and v are missing: `c_attn` has one too, cut in three like the matrix. If you leave "
    'out what ends with "attn.bias", so does `c_attn.bias`.',
    (
        "        module, _, kind",
        '        if name.endswith("attn.bias"):\n            continue\n        module, _, kind',
    ),
)
exercise.changed(
    "no biases",
    "The biases are missing: every module inside the layers has one, and so has the last norm.",
    ('        where = ""\n', '        where = ""\n        if kind == "bias":\n            continue\n'),
)
exercise.changed(
    "buffers kept",
    "`attn.bias` and `attn.masked_bias` are there: they are no weights, so leave them out.",
    ('"ln_f": "stack.final_norm"', '"ln_f": "stack.final_norm",\n        "attn": "attention"'),
)

# ------------------------------------------------------------------------------------------- layers and names

exercise.changed(
    "one digit",
    "Of the layer's number only the first digit was read, so layer 10 lands on layer 1: cut the name at its "
    "dots.",
    ("{layer}", "{layer[0]}"),
)
exercise.changed(
    "layers counted from 1",
    "The layers are counted from 1: they keep their numbers, from 0 on.",
    ("{layer}", "{int(layer) + 1}"),
)
exercise.changed(
    "the first layer alone",
    "Only layer 0 is there: the number of layers is whatever the names say.",
    (
        '            where = f"stack',
        '            if layer != "0":\n                continue\n            where = f"stack',
    ),
)
exercise.changed(
    "norms exchanged",
    "The two norms of a layer are exchanged: `ln_1` stands before the attention, `ln_2` before the MLP.",
    ('"ln_1": "attention_norm"', '"ln_1": "feed_forward_norm"'),
    ('"ln_2": "feed_forward_norm"', '"ln_2": "attention_norm"'),
)
exercise.changed(
    "up and down exchanged",
    "The two matrices of the MLP are exchanged: `c_fc` is `up_proj`, `c_proj` is `down_proj`.",
    ('"mlp.c_fc": "feed_forward.up_proj"', '"mlp.c_fc": "feed_forward.down_proj"'),
    ('"mlp.c_proj": "feed_forward.down_proj"', '"mlp.c_proj": "feed_forward.up_proj"'),
)
exercise.changed(
    "one name for both c_proj",
    "`mlp.c_proj` is called out_proj: in the attention `c_proj` is `out_proj`, in the MLP it is `down_proj`.",
    ("feed_forward.down_proj", "feed_forward.out_proj"),
)
exercise.changed(
    "tables exchanged",
    "The two tables are exchanged: `wte` holds the tokens, `wpe` the places.",
    ('"wte": "token', '"wte": "position'),
    ('"wpe": "position', '"wpe": "token'),
)
exercise.changed(
    "no last norm",
    "The last norm is missing: `ln_f` and the two tables stand outside the layers.",
    ('        "ln_f": "stack.final_norm",\n', ""),
)
exercise.changed(
    "no tables",
    "The tables of embeddings are missing: they and the last norm stand outside the layers.",
    ('        "wte": "token_embedding",\n        "wpe": "position_embedding",\n', ""),
)
