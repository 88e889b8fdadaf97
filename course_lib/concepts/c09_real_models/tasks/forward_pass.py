"""The whole model

What is left is the order of the parts. `ids` are T new tokens. `stored` has for each layer a pair (keys,
values) of the S tokens before them; when a text begins, S is 0. Return two things: the logits, which are the
scores of what follows each new token, and a list of the pairs as they are now. The numbers of the model come
by name:

| in `weights` | shape | |
|---|---|---|
| `"table"` | (V, D) | a vector for each token |
| `"layers"` | | for each layer a dictionary, with: |
| ... `"norm_1"`, `"norm_2"` | (D,) | the weight of the norm before attention, and before the MLP |
| ... `"q_proj"` | (H·K, D) | makes the queries of all heads |
| ... `"k_proj"`, `"v_proj"` | (G·K, D) | make the keys and the values |
| ... `"out_proj"` | (D, H·K) | takes the joined heads back to the stream |
| ... `"gate_proj"`, `"up_proj"` | (W, D) | widen, in the MLP |
| ... `"down_proj"` | (D, W) | narrows again |
| `"final_norm"` | (D,) | the weight of the norm after the last layer |
| `"eps"`, `"base"` | | two numbers, for the norms and the rotation |

**Before the layers.** The mask is (T, S + T): a new token may attend to all that is stored, to the new ones
before it, and to itself. Two new tokens after three stored ones have `[[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]`,
where 1 stands for True. `parts.embedding(ids, weights["table"])` makes the stream x, (B, T, D).

**In each layer**, one of `weights["layers"]`, `x = parts.block(x, attention, mlp, norm_1, norm_2)`. The block
calls `norm_1(y)` with one argument, but `parts.rms_norm` needs three. Fill in the others: `lambda y:
parts.rms_norm(y, layer["norm_1"], weights["eps"])` is a function of y alone. So are the other norm and the
MLP, which calls `parts.mlp(y, gate, up, down)`. `attention(y)` has four steps:

1. Three products make q, k and v, and each is cut into its heads. `y @ layer["q_proj"].mT` is (B, T, H·K):
   split the last axis into (H, K), then swap axes 1 and 2. k and v become (B, G, T, K). K is the size of the
   last axis of `stored[0][0]`, S that of the axis before.
2. Turn q and k, with `parts.rotation(q, S, weights["base"])`: the first new token stands at place S.
3. `parts.cache(k_cache, v_cache, k, v)` puts k and v behind those that this layer has stored. What it gives
   is the layer's new pair.
4. `parts.attention(q, keys, values, mask)` gives (B, H, T, K). Swap and join the heads again; `out_proj`
   makes the last product.

**After the layers** comes the final norm, then the same table again: `x @ weights["table"].mT`.

Hint: Begin with the mask. S is `stored[0][0].shape[2]`, and `torch.ones(T, S + T, dtype=torch.bool).tril(S)`
keeps in row i the stored tokens and the new ones 0 to i.

Hint: Then one layer's attention. `.unflatten(-1, (-1, K)).transpose(1, 2)` cuts into heads,
`.transpose(1, 2).flatten(2)` joins them. For the pairs begin with `pairs = list(stored)`; the attention of
layer i puts its own in `pairs[i]`.

Hint: Then the loop. Write `def one_layer(x, i, layer)`, with `attention(y)` inside, so that it sees the
layer's weights and its number. It returns what `parts.block` gives; the loop calls it for every layer.
"""

from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import between, draw, primes
from course_lib.checks.kinds import Case
from course_lib.checks.values import WrongForm, describe, numbers_of


def as_arrays(answer):
    """The logits, and the keys and the values of all layers, one array each.

    Raises: WrongForm: it is not made of these.
    """
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise WrongForm(f"It must return the logits and what is now stored; got {describe(answer)}.")
    logits, now = answer
    if not hasattr(now, "__len__"):
        raise WrongForm(f"What is now stored must be a list with a pair for each layer; got {describe(now)}.")
    pairs = [now] if len(now) == 2 and all(getattr(one, "ndim", 0) == 4 for one in now) else list(now)
    for pair in pairs:
        if not hasattr(pair, "__len__") or len(pair) != 2:
            raise WrongForm(f"What a layer stores must be a pair (keys, values); got {describe(pair)}.")
    arrays = {"logits": numbers_of(logits, tensor=True)}
    for name, several in zip(("stored keys", "stored values"), zip(*pairs, strict=True), strict=False):
        numbers = [numbers_of(one, tensor=True) for one in several]
        shapes = {one.shape for one in numbers}
        if len(shapes) > 1:
            raise WrongForm(f"The {name} of the layers have different shapes: {sorted(shapes)}.")
        arrays[name] = np.stack(numbers)
    return arrays


exercise = Exercise(
    level=4,
    minutes=25,
    section="The rule, in Python",
    results=("logits", "stored keys", "stored values"),
    read=as_arrays,
)


@exercise.solution
def forward_pass(ids, weights, parts, stored):
    """Read some tokens, after those whose keys and values are stored.

    Args:
        ids: (B, T), the new tokens.
        weights: all numbers of the model, by name.
        parts: the other parts, such as `parts.rms_norm`.
        stored: for each layer a pair (keys, values) of the tokens before, (B, G, S, K); S may be 0.
    Returns: the logits (B, T, V) of what follows each new token; the pairs of all tokens so far.
    """
    ### BEGIN SOLUTION
    n_stored, width = stored[0][0].shape[2:]
    # row i sees the stored tokens and the new ones 0 to i
    mask = torch.ones(ids.shape[1], n_stored + ids.shape[1], dtype=torch.bool).tril(n_stored)
    pairs = list(stored)

    def one_layer(x, i, layer):
        def attention(y):
            q = (y @ layer["q_proj"].mT).unflatten(-1, (-1, width)).transpose(1, 2)  # (B, H, T, K)
            k = (y @ layer["k_proj"].mT).unflatten(-1, (-1, width)).transpose(1, 2)  # (B, G, T, K)
            v = (y @ layer["v_proj"].mT).unflatten(-1, (-1, width)).transpose(1, 2)
            q = parts.rotation(q, n_stored, weights["base"])
            k = parts.rotation(k, n_stored, weights["base"])
            pairs[i] = parts.cache(*stored[i], k, v)
            mixed = parts.attention(q, *pairs[i], mask)  # (B, H, T, K)
            return mixed.transpose(1, 2).flatten(2) @ layer["out_proj"].mT

        return parts.block(
            x,
            attention,
            lambda y: parts.mlp(y, layer["gate_proj"], layer["up_proj"], layer["down_proj"]),
            lambda y: parts.rms_norm(y, layer["norm_1"], weights["eps"]),
            lambda y: parts.rms_norm(y, layer["norm_2"], weights["eps"]),
        )

    x = parts.embedding(ids, weights["table"])
    for i, layer in enumerate(weights["layers"]):
        x = one_layer(x, i, layer)
    return parts.rms_norm(x, weights["final_norm"], weights["eps"]) @ weights["table"].mT, pairs
    ### END SOLUTION


# --------------------------------------------------------------------------------------- a model to try it on


class Shapes(dict):
    """Tensors by name, and such dictionaries; shown by their shapes."""

    def __repr__(self):
        return f"{{{', '.join(f'{name!r}: {tuple(it.shape)}' for name, it in self.items())}}}"


class Numbers(dict):
    """The weights of a model; shown by their shapes."""

    def __repr__(self):
        shapes = Shapes(table=self["table"], final_norm=self["final_norm"])
        return f"{repr(shapes)[:-1]}, 'layers': {self['layers']}}}"


class Pairs(list):
    """Keys and values of the layers; shown by their shape."""

    def __repr__(self):
        return f"[(keys, values)] * {len(self)}, each of shape {tuple(self[0][0].shape)}"


def rows_of(token_ids, table):
    return table[token_ids]


def norm_of(x, weight, eps):
    return x * (x.pow(2).mean(-1, keepdim=True) + eps).rsqrt() * weight


def turned(x, start, base):
    places = torch.arange(start, start + x.shape[2])[:, None]
    angles = places / base ** (torch.arange(0, x.shape[3], 2) / x.shape[3])
    first, second = x[..., 0::2], x[..., 1::2]
    pair = first * angles.cos() - second * angles.sin(), first * angles.sin() + second * angles.cos()
    return torch.stack(pair, -1).flatten(-2)


def appended(k_cache, v_cache, k, v):
    return torch.cat([k_cache, k], 2), torch.cat([v_cache, v], 2)


def attended(q, k, v, mask):
    k, v = (it.repeat_interleave(q.shape[1] // k.shape[1], 1) for it in (k, v))
    scores = q @ k.mT / q.shape[-1] ** 0.5
    return scores.masked_fill(~mask, -torch.inf).softmax(-1) @ v


def bent(x, gate, up, down):
    return (F.silu(x @ gate.mT) * (x @ up.mT)) @ down.mT


def pre_norm_block(x, attention, mlp, norm_1, norm_2):
    x = x + attention(norm_1(x))
    return x + mlp(norm_2(x))


def post_norm_block(x, attention, mlp, norm_1, norm_2):
    x = norm_1(x + attention(x))
    return norm_2(x + mlp(x))


def given_parts(**others):
    """Simple ones; a report shows them by the name."""
    parts = {"embedding": rows_of, "rms_norm": norm_of, "rotation": turned, "cache": appended}
    parts |= {"attention": attended, "mlp": bent, "block": pre_norm_block}
    return SimpleNamespace(**parts | others, __name__="embedding, rms_norm, rotation, cache, ...")


@exercise.cases
def _(rng):
    def tensor(*shape, size=1.0):
        return torch.from_numpy(draw(rng, *shape, size=size))

    def inputs(b, t, s, g, sharing, k, n_layers, d, vocab=11, d_ff=5, parts=None):
        h = g * sharing

        def layer():
            shapes = {"q_proj": (h * k, d), "k_proj": (g * k, d), "v_proj": (g * k, d)}
            shapes |= {"out_proj": (d, h * k), "gate_proj": (d_ff, d), "up_proj": (d_ff, d)}
            shapes |= {"down_proj": (d, d_ff)}
            norms = Shapes(norm_1=1 + tensor(d, size=0.5), norm_2=1 + tensor(d, size=0.5))
            matrices = {name: tensor(*its, size=1.5 / its[1] ** 0.5) for name, its in shapes.items()}
            return Shapes(norms | matrices)

        weights = Numbers(
            table=tensor(vocab, d),
            layers=[layer() for _ in range(n_layers)],
            final_norm=1 + tensor(d, size=0.5),
            eps=0.1,
            base=float(between(rng, 5, 50)),
        )
        return {
            "ids": torch.from_numpy(rng.integers(vocab, size=(b, t))),
            "weights": weights,
            "parts": parts or given_parts(),
            "stored": Pairs((tensor(b, g, s, k), tensor(b, g, s, k)) for _ in range(n_layers)),
        }

    n_new, n_stored = primes(rng, 3, 5)
    return [
        Case("one layer, one head, two tokens", inputs(1, 2, 0, 1, 1, 2, 1, 3)),
        Case("one token after others", inputs(1, 1, 3, 1, 3, 2, 2, 5), catches="an axis of one lost"),
        Case(
            "several tokens after others",
            inputs(1, n_new, n_stored, 2, 1, 6, 3, 7),
            catches="always 10,000",
        ),
        Case("two texts", inputs(2, 3, 5, 1, 2, 2, 2, 7), catches="one text alone"),
        Case(
            "everything square",
            inputs(1, 2, 2, 2, 1, 2, 2, 4, vocab=4, d_ff=4),
            catches="the table the other way round",
        ),
        Case(
            "layers of another kind",
            inputs(1, 3, 2, 1, 2, 2, 2, 5, parts=given_parts(block=post_norm_block)),
            catches="additions of its own",
        ),
    ]


# ----------------------------------------------------------------------------------------- layers and stream

exercise.changed(
    "no final norm",
    "The norm after the last layer is missing: the logits are made of what it gives.",
    ('parts.rms_norm(x, weights["final_norm"], weights["eps"]) @', "x @"),
)
exercise.changed(
    "layers in reverse",
    "The layers are used from the last to the first: a text meets layer 0 first.",
    ('enumerate(weights["layers"])', 'reversed(list(enumerate(weights["layers"])))'),
)
exercise.changed(
    "the first layer's weights for all",
    'All layers have the weights of layer 0: layer i has `weights["layers"][i]`.',
    ("= one_layer(x, i, layer)", '= one_layer(x, i, weights["layers"][0])'),
)
exercise.changed(
    "the stream is not passed on",
    "Each layer reads the embedding, so only the last one counts: what a layer gives, the next one reads.",
    ("    for i, layer", "    x_0 = x\n    for i, layer"),
    ("= one_layer(x,", "= one_layer(x_0,"),
)
exercise.changed(
    "additions of its own",
    "The two additions are written out here: `parts.block` makes them, and another model has another block.",
    ("parts.block(", "pre_norm_block("),
)
exercise.changed(
    "norms exchanged",
    "The norms have changed places: norm_1 is attention's, norm_2 the MLP's.",
    ('"norm_1"', '"norm_"'),
    ('"norm_2"', '"norm_1"'),
    ('"norm_"', '"norm_2"'),
)
exercise.changed(
    "the first norm twice",
    'Both norms have the weights of norm_1: the MLP\'s are `layer["norm_2"]`.',
    ('layer["norm_2"]', 'layer["norm_1"]'),
)
exercise.changed(
    "the second norm twice",
    'Both norms have the weights of norm_2: attention\'s are `layer["norm_1"]`.',
    ('layer["norm_1"]', 'layer["norm_2"]'),
)
exercise.changed(
    "always the same eps",
    "",
    ('layer["norm_1"], weights["eps"]', 'layer["norm_1"], 1e-5'),
    ('layer["norm_2"], weights["eps"]', 'layer["norm_2"], 1e-5'),
    ('weights["final_norm"], weights["eps"]', 'weights["final_norm"], 1e-5'),
)
exercise.changed(
    "gate and up exchanged",
    "The MLP gets up in place of gate: its arguments are x, gate, up, down.",
    ('layer["gate_proj"], layer["up_proj"]', 'layer["up_proj"], layer["gate_proj"]'),
)

# ------------------------------------------------------------------------------------------- places and masks

QUERIES = '            q = parts.rotation(q, n_stored, weights["base"])\n'
KEYS = '            k = parts.rotation(k, n_stored, weights["base"])\n'

exercise.changed(
    "always from place 0",
    "The first new token always stands at place 0: S tokens are stored, so it stands at place S.",
    ("rotation(q, n_stored", "rotation(q, 0"),
    ("rotation(k, n_stored", "rotation(k, 0"),
)
exercise.changed(
    "keys from place 0",
    "The queries are turned from place S on, the keys from place 0: both belong to the same tokens.",
    ("rotation(k, n_stored", "rotation(k, 0"),
)
exercise.changed(
    "one place too far",
    "The first new token stands at place S + 1: the S stored ones have places 0 to S - 1, so it stands at S.",
    ("rotation(q, n_stored", "rotation(q, n_stored + 1"),
    ("rotation(k, n_stored", "rotation(k, n_stored + 1"),
)
exercise.changed(
    "queries from place 0",
    "The keys are turned from place S on, the queries from place 0: both belong to the same tokens.",
    ("rotation(q, n_stored", "rotation(q, 0"),
)
exercise.changed(
    "always 10,000",
    "",
    (QUERIES, QUERIES.replace('weights["base"]', "10_000.0")),
    (KEYS, KEYS.replace('weights["base"]', "10_000.0")),
)
exercise.changed(
    "values turned too",
    "The values are turned, too: only queries and keys are, since only they meet in a score.",
    (KEYS, KEYS + KEYS.replace("k", "v")),
)
exercise.changed(
    "nothing turned",
    "Queries and keys are not turned, so no token knows its place.",
    (QUERIES + KEYS, ""),
)
exercise.changed(
    "keys not turned",
    "The queries are turned, the keys are not: both are.",
    (KEYS, ""),
)
exercise.changed(
    "queries not turned",
    "The keys are turned, the queries are not: both are.",
    (QUERIES, ""),
)
exercise.changed(
    "turned after storing",
    "The keys were stored as they came, and all are turned from place 0 when they are used: what is stored "
    "here has been turned already. Turn the new keys, then store them.",
    (KEYS, ""),
    ("*pairs[i], mask", 'parts.rotation(pairs[i][0], 0, weights["base"]), pairs[i][1], mask'),
)
exercise.changed(
    "stored keys turned again",
    "All keys are turned, the stored ones once more: turn the new ones, then store them.",
    (KEYS, ""),
    (
        "mixed =",
        'pairs[i] = parts.rotation(pairs[i][0], 0, weights["base"]), pairs[i][1]\n            mixed =',
    ),
)
exercise.changed(
    "a mask from the first token on",
    "New token i sees the first i + 1 of all tokens: it comes after S others, so it sees S + i + 1. "
    "`tril(S)` moves the triangle.",
    (".tril(n_stored)", ".tril()"),
)
exercise.changed(
    "not itself",
    "A new token does not see itself: the mask is too strict by one.",
    (".tril(n_stored)", ".tril(n_stored - 1)"),
)
exercise.changed(
    "one ahead",
    "Each new token sees the next one too: the mask is too wide by one.",
    (".tril(n_stored)", ".tril(n_stored + 1)"),
)
exercise.changed(
    "mask upside down",
    "True and False are exchanged in the mask: True means that a token may attend.",
    (".tril(n_stored)", ".tril(n_stored).logical_not()"),
)
exercise.changed(
    "the new ones alone",
    "The new tokens attend to each other alone: keys and values are what `parts.cache` gives, the stored "
    "ones in front.",
    ("*pairs[i], mask", "k, v, mask"),
)
exercise.changed(
    "no mask",
    "The new tokens see those that come after them.",
    (".tril(n_stored)", ""),
)

# ------------------------------------------------------------------------------------------------- heads

QKV = ("q_proj", "k_proj", "v_proj")

exercise.changed(
    "queries and keys exchanged",
    "The queries are made by k_proj and the keys by q_proj.",
    ('q = (y @ layer["q_proj"]', 'q = (y @ layer["k_proj"]'),
    ('k = (y @ layer["k_proj"]', 'k = (y @ layer["q_proj"]'),
)
exercise.changed(
    "keys and values exchanged",
    "The keys are made by v_proj and the values by k_proj.",
    ('k = (y @ layer["k_proj"]', 'k = (y @ layer["v_proj"]'),
    ('v = (y @ layer["v_proj"]', 'v = (y @ layer["k_proj"]'),
)
exercise.changed(
    "keys in place of values",
    "The values are made by k_proj, as the keys are: v_proj makes them.",
    ('"v_proj"', '"k_proj"'),
)
exercise.changed(
    "heads split without a transpose",
    "The vectors were cut into heads by `view` or `reshape` alone, which mixes tokens with heads: first give "
    "each token two axes, (B, T, heads, K), then exchange tokens and heads.",
    *(
        (
            f'"{name}"].mT).unflatten(-1, (-1, width)).transpose(1, 2)',
            f'"{name}"].mT).reshape(y.shape[0], -1, y.shape[1], width)',
        )
        for name in QKV
    ),
)
exercise.changed(
    "queries split without a transpose",
    "Keys and values were cut rightly, but the queries by `view` or `reshape` alone, which mixes tokens with "
    "heads: first (B, T, heads, K), then exchange tokens and heads.",
    (
        '"q_proj"].mT).unflatten(-1, (-1, width)).transpose(1, 2)',
        '"q_proj"].mT).reshape(y.shape[0], -1, y.shape[1], width)',
    ),
)
exercise.changed(
    "heads split and joined without a transpose",
    "The vectors were cut into heads, and these joined, by `view` or `reshape` alone, which mixes tokens "
    "with heads: give each token two axes, (B, T, heads, K), then exchange tokens and heads, and back before "
    "you join.",
    *(
        (
            f'"{name}"].mT).unflatten(-1, (-1, width)).transpose(1, 2)',
            f'"{name}"].mT).reshape(y.shape[0], -1, y.shape[1], width)',
        )
        for name in QKV
    ),
    ("mixed.transpose(1, 2).flatten(2)", "mixed.reshape(y.shape[0], y.shape[1], -1)"),
)
exercise.changed(
    "tokens before heads",
    "The vectors were cut into heads, but the axes stayed (B, T, heads, K): attention needs the heads in "
    "front of the tokens, so swap axes 1 and 2.",
    *(
        (
            f'"{name}"].mT).unflatten(-1, (-1, width)).transpose(1, 2)',
            f'"{name}"].mT).unflatten(-1, (-1, width))',
        )
        for name in QKV
    ),
    ("mixed.transpose(1, 2).flatten(2)", "mixed.flatten(2)"),
)
exercise.changed(
    "heads interleaved",
    "The last axis was split into (K, heads), so that each head has numbers from all over the vector: a head "
    "has K neighbours, (heads, K).",
    *(
        (
            f'"{name}"].mT).unflatten(-1, (-1, width)).transpose(1, 2)',
            f'"{name}"].mT).unflatten(-1, (width, -1)).permute(0, 3, 1, 2)',
        )
        for name in QKV
    ),
)
exercise.changed(
    "heads joined as they stand",
    "The last two axes were joined, which are tokens and K: first bring the axis of the tokens in front of "
    "that of the heads.",
    ("mixed.transpose(1, 2).flatten(2)", "mixed.flatten(2)"),
)
exercise.changed(
    "heads joined without a transpose",
    "The heads were joined by `view` or `reshape` alone, which mixes tokens with heads: first bring the axis "
    "of the tokens in front of that of the heads.",
    ("mixed.transpose(1, 2).flatten(2)", "mixed.reshape(y.shape[0], y.shape[1], -1)"),
)
exercise.changed(
    "no out product",
    "The joined heads go to the stream as they are: out_proj comes between.",
    (' @ layer["out_proj"].mT', ""),
)
exercise.changed(
    "products the other way round",
    "The vectors were multiplied by a matrix as it is: it is (out, in), so write `y @ matrix.mT`. Where a "
    "matrix is square, its shape does not tell.",
    *((f'(y @ layer["{name}"].mT)', f'(y @ layer["{name}"])') for name in QKV),
    ('layer["out_proj"].mT', 'layer["out_proj"]'),
)

# --------------------------------------------------------------------------------------------- what is stored

exercise.changed(
    "only the last layer stored",
    "Only one layer's keys and values come back: each layer has a pair of its own.",
    (".mT, pairs", ".mT, pairs[-1:]"),
)
exercise.changed(
    "the last layer stored for all",
    "All layers got the last one's keys and values: each has a pair of its own.",
    (".mT, pairs", ".mT, [pairs[-1]] * len(pairs)"),
)
exercise.changed(
    "stored as it came",
    "What is stored came back without the new tokens.",
    (".mT, pairs", ".mT, stored"),
)
exercise.changed(
    "only the new ones stored",
    "Only the keys and values of the new tokens come back: they go behind those of the tokens before.",
    ("            mixed =", "            joined, pairs[i] = pairs[i], (k, v)\n            mixed ="),
    ("*pairs[i], mask", "*joined, mask"),
)
exercise.changed(
    "stored in layer 0 for all",
    "All layers go on from what layer 0 has stored: layer i has `stored[i]`.",
    ("*stored[i]", "*stored[0]"),
)
exercise.changed(
    "only the new ones seen",
    "The queries look at the keys of the new tokens alone: they see those that were stored, too.",
    ("*pairs[i], mask", "k, v, mask[:, n_stored:]"),
)

# ------------------------------------------------------------------------------------------------- logits

exercise.changed(
    "the table the other way round",
    "The final vectors were multiplied by the table as it is: it is (V, D), and V logits are wanted, so "
    "write `x @ table.mT`.",
    ('@ weights["table"].mT', '@ weights["table"]'),
)
exercise.changed(
    "only the last token",
    "Logits came back for the last token alone: each new token has its own.",
    ("return parts.rms_norm(x,", "return parts.rms_norm(x[:, -1:],"),
)
exercise.changed(
    "chances in place of logits",
    "A softmax was taken at the end: the sampler takes it, and needs the logits.",
    ("return parts.rms", "return torch.softmax(parts.rms"),
    ('weights["table"].mT, pairs', 'weights["table"].mT, -1), pairs'),
)
