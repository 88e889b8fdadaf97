"""Answers to the tasks on weights: correct ones that differ, and wrong ones with the name of the mistake."""

import re

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.pretrained import SMOLLM2_SYSTEM, gpt2_from_hf

RIGHT, WRONG = {}, {}

# ---------------------------------------------------------------------------------------------- mean pooling


def chosen_then_divided(vectors, mask):
    total = vectors.masked_fill(~mask.unsqueeze(-1), 0).sum(dim=1)
    return total / mask.sum(dim=1).clamp(min=1).unsqueeze(-1)


def text_by_text(vectors, mask):
    rows = []
    for numbers, is_token in zip(vectors, mask, strict=True):
        tokens = numbers[is_token]
        rows.append(tokens.mean(0) if len(tokens) else numbers.new_zeros(numbers.shape[-1]))
    return torch.stack(rows)


def as_a_product(vectors, mask):
    """Weights that sum to 1, times the vectors."""
    weights = mask.to(vectors.dtype)
    weights = weights / weights.sum(1, keepdim=True).clamp(min=1)
    return torch.einsum("bt,btd->bd", weights, torch.where(mask[..., None], vectors, torch.zeros(())))


def by_nanmean(vectors, mask):
    return vectors.where(mask[..., None], torch.nan).nanmean(1).nan_to_num(0.0)


def place_by_place(vectors, mask):
    total, count = torch.zeros_like(vectors[:, 0]), torch.zeros(len(vectors), 1)
    for t in range(vectors.shape[1]):
        here = mask[:, t, None]
        total = total + torch.where(here, vectors[:, t], torch.zeros_like(total))
        count = count + here
    return torch.where(count > 0, total / count.clamp(min=1.0), torch.zeros_like(total))


def added_by_index(vectors, mask):
    rows, _ = mask.nonzero(as_tuple=True)
    total = torch.zeros_like(vectors[:, 0]).index_add(0, rows, vectors[mask])
    return total / torch.bincount(rows, minlength=len(mask)).clamp(min=1)[:, None]


def pooled(divide):
    return lambda vectors, mask: divide(vectors.masked_fill(~mask[..., None], 0).sum(1), mask)


def in_place(vectors, mask):
    vectors[~mask] = 0
    return vectors.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


RIGHT["09_real_models/mean_pooling"] = [
    chosen_then_divided,
    text_by_text,
    as_a_product,
    added_by_index,
    by_nanmean,
    place_by_place,
]
WRONG["09_real_models/mean_pooling"] = [
    ("mean over all places", lambda vectors, mask: vectors.mean(dim=1)),
    ("mean over all places", lambda vectors, mask: vectors.sum(1) / vectors.size(1)),
    ("divided by all places", pooled(lambda total, mask: total / mask.shape[-1])),
    ("divided by all places", lambda vectors, mask: vectors.where(mask[..., None], 0.0).mean(1)),
    ("sum", pooled(lambda total, mask: total)),
    (
        "the largest",
        lambda vectors, mask: vectors.masked_fill(~mask[..., None], -torch.inf).max(dim=1).values,
    ),
    ("the first place", lambda vectors, mask: vectors[:, 0, :]),
    (
        "the last token",
        lambda vectors, mask: vectors.gather(
            1, (mask.sum(1) - 1).remainder(mask.shape[1])[:, None, None].expand(-1, 1, vectors.shape[-1])
        ).squeeze(1),
    ),
    ("mask upside down", lambda vectors, mask: chosen_then_divided(vectors, mask.logical_not())),
    (
        "padding times zero",
        lambda vectors, mask: (vectors * mask.unsqueeze(-1)).sum(1) / mask.sum(1, True).clamp(min=1),
    ),
    (
        "padding times zero",
        lambda vectors, mask: (
            torch.einsum("btd,bt->bd", vectors, mask.to(vectors.dtype))
            / mask.sum(1, keepdim=True).clamp(min=1)
        ),
    ),
    ("zero over zero", pooled(lambda total, mask: total / mask.sum(1)[:, None])),
    ("one too many", pooled(lambda total, mask: total / (1 + mask.sum(1))[:, None])),
    ("one count for all", pooled(lambda total, mask: total / mask.sum().clamp(min=1))),
    (
        "the first places",
        lambda vectors, mask: torch.stack(
            [row[: int(n)].sum(0) / max(int(n), 1) for row, n in zip(vectors, mask.sum(1), strict=True)]
        ),
    ),
    (
        "zeros taken for padding",
        lambda vectors, mask: chosen_then_divided(vectors, vectors.abs().sum(-1) != 0),
    ),
    (
        "one vector for the batch",
        lambda vectors, mask: vectors[mask].sum(0) / max(int(mask.sum()), 1),
    ),
    ("mean over the numbers", lambda vectors, mask: vectors.masked_fill(~mask[..., None], 0).mean(2)),
    ("scaled to length 1", lambda vectors, mask: F.normalize(chosen_then_divided(vectors, mask), dim=1)),
    (None, in_place),
    (None, pooled(lambda total, mask: total / (mask.sum(1, keepdim=True) + 1e-3))),
    (None, lambda vectors, mask: chosen_then_divided(vectors, mask).half()),
    (None, lambda vectors, mask: chosen_then_divided(vectors, mask).detach()),
    (None, lambda vectors, mask: vectors.masked_fill(~mask[..., None], 0).median(1).values),
]

# ------------------------------------------------------------------------------------------ nearest passages


def by_cosine_similarity(query, passages, k):
    scores = F.cosine_similarity(query[None], passages, dim=-1)
    return torch.argsort(scores, descending=True, stable=True)[:k]


def directions_first(query, passages, k):
    scores = F.normalize(passages, dim=-1) @ F.normalize(query, dim=0)
    return scores.sort(dim=0, descending=True, stable=True)[1][: min(k, len(passages))]


def python_sorts(query, passages, k):
    def score(place):
        p = passages[place]
        size = float(p.norm() * query.norm())
        return float(p @ query) / size if size else 0.0

    scores = [score(place) for place in range(len(passages))]
    return sorted(range(len(passages)), key=lambda place: -scores[place])[:k]


def by_numpy(query, passages, k):
    q, p = query.numpy().astype(np.float64), passages.numpy().astype(np.float64)
    sizes = np.linalg.norm(p, axis=1) * np.linalg.norm(q)
    scores = np.divide(p @ q, sizes, out=np.zeros(len(p)), where=sizes > 0)
    return np.lexsort((np.arange(len(p)), -scores))[:k]


def one_after_the_other(query, passages, k):
    """The best of what is left, k times; argmax gives the first of those that tie."""
    sizes = passages.norm(dim=1)
    scores = (passages @ query) / sizes.where(sizes > 0, 1.0)
    if not query.any():
        scores = torch.zeros_like(scores)
    found = []
    for _ in range(min(k, len(passages))):
        found.append(int(np.argmax(scores.numpy())))
        scores[found[-1]] = -torch.inf
    return tuple(found)


def with_lists(query, passages, k):
    lengths = [sum(x * x for x in row) ** 0.5 or 1.0 for row in passages.tolist()]
    dots = [sum(x * y for x, y in zip(row, query.tolist(), strict=True)) for row in passages.tolist()]
    pairs = sorted((-dot / length, i) for i, (dot, length) in enumerate(zip(dots, lengths, strict=True)))
    return torch.tensor([i for _, i in pairs[:k]])


def cosine(query, passages):
    sizes = passages.norm(dim=-1) * query.norm()
    return (passages @ query / sizes).nan_to_num(0.0)


def ranked(scores):
    return lambda query, passages, k: scores(query, passages).sort(descending=True, stable=True).indices[:k]


def by_exchanges(query, passages, k):
    """The best of the rest changes places with the first of the rest, who may so pass an equal."""
    scores = cosine(query, passages).tolist()
    places = list(range(len(scores)))
    for i in range(len(places)):
        best = max(range(i, len(places)), key=lambda j: scores[places[j]])
        places[i], places[best] = places[best], places[i]
    return places[:k]


def groups_of_equals(query, passages, k):
    """The places of each score, the highest score first."""
    groups = {}
    for place, score in enumerate(cosine(query, passages).tolist()):
        groups.setdefault(score, []).append(place)
    return [place for score in sorted(groups, reverse=True) for place in groups[score]][:k]


RIGHT["09_real_models/nearest_passages"] = [
    by_cosine_similarity,
    directions_first,
    python_sorts,
    by_numpy,
    one_after_the_other,
    with_lists,
    groups_of_equals,
]
WRONG["09_real_models/nearest_passages"] = [
    ("dot products", ranked(lambda query, passages: passages @ query)),
    ("dot products", ranked(lambda query, passages: (passages * query).sum(-1))),
    ("distances", ranked(lambda query, passages: -(passages - query).norm(dim=-1))),
    ("distances", ranked(lambda query, passages: -torch.cdist(query[None], passages)[0])),
    (
        "divided by the square",
        ranked(lambda query, passages: ((passages @ query) / passages.pow(2).sum(1)).nan_to_num(0.0)),
    ),
    ("multiplied by the length", ranked(lambda query, passages: passages @ query * passages.norm(dim=1))),
    (
        "divided by the sum of the sizes",
        ranked(lambda query, passages: F.normalize(passages, p=1.0, dim=1) @ query),
    ),
    ("columns of length 1", ranked(lambda query, passages: F.normalize(passages, dim=0) @ query)),
    ("either way", ranked(lambda query, passages: cosine(query, passages).abs())),
    (
        "zero over zero",
        ranked(lambda query, passages: passages @ query / (passages.norm(dim=-1) * query.norm())),
    ),
    ("the worst first", lambda query, passages, k: cosine(query, passages).argsort(stable=True)[:k]),
    ("the best last", lambda query, passages, k: python_sorts(query, passages, k)[::-1]),
    ("in the order of places", lambda query, passages, k: sorted(python_sorts(query, passages, k))),
    (
        "ties the other way round",
        lambda query, passages, k: cosine(query, passages).argsort(stable=True).flip(0)[:k],
    ),
    ("the best left out", lambda query, passages, k: python_sorts(query, passages, k + 1)[1:]),
    ("all places", lambda query, passages, k: python_sorts(query, passages, len(passages))),
    ("the best alone", lambda query, passages, k: cosine(query, passages).argmax()),
    ("scores", lambda query, passages, k: cosine(query, passages).sort(descending=True).values[:k]),
    (None, lambda query, passages, k: cosine(query, passages).topk(k).indices),
    (None, lambda query, passages, k: cosine(query, passages).topk(min(k, len(passages))).indices),
    (None, lambda query, passages, k: np.argsort(-cosine(query, passages).numpy())[:k]),
    (None, by_exchanges),
    (None, lambda query, passages, k: python_sorts(query, passages, k - 1)),
    (None, lambda query, passages, k: [place + 1 for place in python_sorts(query, passages, k)]),
    (
        None,
        ranked(
            lambda query, passages: -(F.normalize(passages, dim=-1) - F.normalize(query, dim=0)).norm(dim=-1)
        ),
    ),
    (None, lambda query, passages, k: [by_cosine_similarity(query, passages, 1)[0]] * min(k, len(passages))),
    (None, lambda query, passages, k: by_cosine_similarity(query, passages.div_(2), k)),
]

# --------------------------------------------------------------------------------------------- chat template


def refuse(*texts):
    if any(sign in text for text in texts for sign in ("<|im_start|>", "<|im_end|>")):
        raise ValueError("no signs, please")


def turn(role, text):
    return f"<|im_start|>{role}\n{text}<|im_end|>\n"


def one_loop(turns, system=None):
    out = []
    for role, text in [("system", SMOLLM2_SYSTEM if system is None else system), *turns]:
        refuse(text)
        out.append(turn(role, text))
    return "".join([*out, "<|im_start|>assistant\n"])


def by_regex(turns, system=None):
    if system is None:
        system = SMOLLM2_SYSTEM
    if re.search(r"<\|im_(start|end)\|>", "\0".join([system, *(text for _, text in turns)])):
        raise ValueError
    lines = ["<|im_start|>system", system + "<|im_end|>"]
    for role, text in turns:
        lines += ["<|im_start|>" + role, text + "<|im_end|>"]
    return "\n".join([*lines, "<|im_start|>assistant", ""])


def backwards(turns, system=None):
    """The last turn first, recursively."""
    if turns:
        *before, (role, text) = turns
        refuse(text)
        head = backwards(before, system)
        return head.removesuffix("<|im_start|>assistant\n") + turn(role, text) + "<|im_start|>assistant\n"
    system = SMOLLM2_SYSTEM if system is None else system
    refuse(system)
    return turn("system", system) + "<|im_start|>assistant\n"


def with_own_error(turns, system=None):
    class SignError(ValueError):
        pass

    told = {None: SMOLLM2_SYSTEM}.get(system, system)
    for text in (told, *[text for _, text in turns]):
        if text.count("<|im_end|>") + text.count("<|im_start|>") > 0:
            raise SignError(text)
    form = "<|im_start|>%s\n%s<|im_end|>\n"
    whole = form * (len(turns) + 1) % tuple(sum(map(tuple, turns), ("system", told)))
    return whole + "<|im_start|>assistant\n"


def templated(
    say=turn,
    end="<|im_start|>assistant\n",
    arrange=lambda system, turns: [("system", system), *turns],
    default=lambda system: SMOLLM2_SYSTEM if system is None else system,
    watched=lambda system, turns: [system, *(text for _, text in turns)],
    watch=refuse,
):
    def answer(turns, system=None):
        watch(*watched(default(system), turns))
        return "".join(say(role, text) for role, text in arrange(default(system), turns)) + end

    return answer


def in_front_of_questions(system, turns):
    parts = []
    for role, text in turns:
        if role == "user":
            parts.append(("system", system))
        parts.append((role, text))
    return parts


def refuse_only(sign):
    def watch(*texts):
        if sign in "\n".join(texts):
            raise ValueError(sign)

    return watch


def nothing(*texts):
    pass


def cleaned(role, text):
    return turn(role, re.sub(r"<\|im_(start|end)\|>", "", text))


SWAPPED = {"user": "assistant", "assistant": "user", "system": "system"}


def without_none(turns, system=None):
    return templated(arrange=lambda told, turns: [*([] if system is None else [("system", system)]), *turns])(
        turns, system
    )


RIGHT["09_real_models/chat_template"] = [one_loop, by_regex, backwards, with_own_error]
WRONG["09_real_models/chat_template"] = [
    ("no line break after a turn", templated(lambda role, text: f"<|im_start|>{role}\n{text}<|im_end|>")),
    (
        "a line break before the end",
        templated(lambda role, text: f"<|im_start|>{role}\n{text}\n<|im_end|>\n"),
    ),
    ("a blank line between turns", templated(lambda role, text: f"{turn(role, text)}\n")),
    ("role and text in one line", templated(lambda role, text: f"<|im_start|>{role} {text}<|im_end|>\n")),
    (
        "a space after the sign",
        templated(lambda role, text: f"<|im_start|> {role}\n{text}<|im_end|>\n", "<|im_start|> assistant\n"),
    ),
    ("no opening", templated(end="")),
    ("no line break at the end", templated(end="<|im_start|>assistant")),
    ("the answer closed", templated(end="<|im_start|>assistant\n<|im_end|>\n")),
    ("no system prompt", templated(arrange=lambda system, turns: turns)),
    ("none without a system prompt", without_none),
    ("None written out", templated(default=lambda system: f"{system}")),
    ("an empty prompt replaced", templated(default=lambda system: system if system else SMOLLM2_SYSTEM)),
    ("system prompt last", templated(arrange=lambda system, turns: [*turns, ("system", system)])),
    ("system prompt each time", templated(arrange=in_front_of_questions)),
    ("roles exchanged", templated(lambda role, text: turn(SWAPPED[role], text))),
    ("always the user", templated(lambda role, text: turn("system" if role == "system" else "user", text))),
    ("the last turn alone", templated(arrange=lambda system, turns: [("system", system), *turns[-1:]])),
    ("texts stripped", templated(lambda role, text: turn(role, text.strip()))),
    ("signs let through", templated(watch=nothing)),
    ("signs taken out", templated(cleaned, watch=nothing)),
    ("only the end looked for", templated(watch=refuse_only("<|im_end|>"))),
    ("only the start looked for", templated(watch=refuse_only("<|im_start|>"))),
    ("system prompt not looked at", templated(watched=lambda system, turns: [text for _, text in turns])),
    (
        "only questions looked at",
        templated(watched=lambda system, turns: [text for role, text in turns if role == "user"]),
    ),
    (
        "only the last turn looked at",
        templated(watched=lambda system, turns: [turns[-1][1]] if turns else []),
    ),
    (None, lambda turns, system=None: None),
    (None, lambda turns, system=None: one_loop(turns, system).encode()),
    (None, lambda turns, system=None: one_loop(turns, system).split("\n")),
    (None, templated(lambda role, text: f"{role}: {text}\n", "assistant:")),
    (None, templated(watch=lambda *texts: [int(text) for text in texts if "<|" in text])),
]

# -------------------------------------------------------------------------------------------- rename weights

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


def by_match(theirs):
    def translated(name, tensor):
        match name.split("."):
            case ["wte", kind]:
                yield f"token_embedding.{kind}", tensor
            case ["wpe", kind]:
                yield f"position_embedding.{kind}", tensor
            case ["ln_f", kind]:
                yield f"stack.final_norm.{kind}", tensor
            case ["h", layer, ("ln_1" | "ln_2") as norm, kind]:
                part = "attention" if norm == "ln_1" else "feed_forward"
                yield f"stack.blocks.{layer}.{part}_norm.{kind}", tensor
            case ["h", layer, "attn", "c_attn", kind]:
                pieces = tensor.reshape(*tensor.shape[:-1], 3, -1)
                for j, part in enumerate("qkv"):
                    piece = pieces[..., j, :]
                    yield (
                        f"stack.blocks.{layer}.attention.{part}_proj.{kind}",
                        piece.mT if piece.ndim > 1 else piece,
                    )
            case ["h", layer, ("attn" | "mlp") as side, module, kind]:
                home = {"attn": "attention.out_proj", "c_fc": "feed_forward.up_proj"}
                home = home.get(side) or home.get(module) or "feed_forward.down_proj"
                yield f"stack.blocks.{layer}.{home}.{kind}", tensor.mT if tensor.ndim > 1 else tensor

    return dict(pair for name, tensor in theirs.items() for pair in translated(name, tensor))


def as_parameters(theirs):
    """With parameters as values, sorted by name."""
    return {name: nn.Parameter(tensor) for name, tensor in sorted(by_match(theirs).items())}


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


def turned(*parts):
    pattern = re.compile(rf"({'|'.join(parts)})\.weight$")
    return after(lambda name, tensor: (name, tensor.T if pattern.search(name) else tensor))


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


def whole_biases(theirs):
    ours = layer_by_layer(theirs)
    for name in ours:
        layer = re.fullmatch(r"stack\.blocks\.(\d+)\.attention\.[qkv]_proj\.bias", name)
        if layer:
            ours[name] = theirs[f"h.{layer[1]}.attn.c_attn.bias"]
    return ours


def and_buffers(theirs):
    ours = layer_by_layer(theirs)
    for name, tensor in theirs.items():
        if name.endswith((".attn.bias", ".attn.masked_bias")):
            ours[name.replace("h.", "stack.blocks.").replace(".attn.", ".attention.")] = tensor
    return ours


def as_stored(theirs):
    """Cut along the last axis, nothing turned."""
    return turned("q_proj", "k_proj", "v_proj", "out_proj", "up_proj", "down_proj")(theirs)


def first_digit(name, tensor):
    return re.sub(r"blocks\.(\d)\d*", r"blocks.\1", name), tensor


def one_later(name, tensor):
    return re.sub(r"blocks\.(\d+)", lambda found: f"blocks.{int(found[1]) + 1}", name), tensor


def changing_theirs(theirs):
    for name in [name for name in theirs if name.endswith((".attn.bias", ".attn.masked_bias"))]:
        del theirs[name]
    return layer_by_layer(theirs)


def rows_cut(theirs):
    """c_attn cut along its rows, then turned."""
    ours = layer_by_layer(theirs)
    for name in theirs:
        if name.endswith("c_attn.weight"):
            for part, piece in zip("qkv", theirs[name].chunk(3), strict=False):
                ours[f"stack.blocks.{name.split('.')[1]}.attention.{part}_proj.weight"] = piece.T
    return ours


def thirds(*order):
    return lambda whole: torch.cat([whole.chunk(3, -1)[i] for i in order], -1)


RIGHT["09_real_models/rename_weights"] = [
    by_a_table_of_patterns,
    layer_by_layer,
    by_match,
    as_parameters,
    in_numpy,
]
WRONG["09_real_models/rename_weights"] = [
    ("nothing transposed", as_stored),
    ("square ones as they were", turned("q_proj", "k_proj", "v_proj", "out_proj")),
    ("out_proj as it was", turned("out_proj")),
    ("q, k and v as they were", turned("[qkv]_proj")),
    ("the MLP as it was", turned("up_proj", "down_proj")),
    ("tables transposed", turned("embedding")),
    ("q and k exchanged", before(thirds(1, 0, 2))),
    ("q and k exchanged", renamed(("q_proj", "k_proj"), ("k_proj", "q_proj"))),
    ("v first", before(thirds(2, 1, 0))),
    ("every third", before(lambda whole: torch.cat([whole[..., i::3] for i in range(3)], -1))),
    ("the whole bias for each", whole_biases),
    (
        "no bias of q, k and v",
        after(lambda name, tensor: None if re.search("[qkv]_proj.bias", name) else (name, tensor)),
    ),
    ("no biases", after(lambda name, tensor: None if name.endswith("bias") else (name, tensor))),
    ("buffers kept", and_buffers),
    ("one digit", after(first_digit)),
    ("layers counted from 1", after(one_later)),
    (
        "the first layer alone",
        after(lambda name, tensor: None if re.search(r"blocks\.[1-9]", name) else (name, tensor)),
    ),
    (
        "norms exchanged",
        renamed(("attention_norm", "feed_forward_norm"), ("feed_forward_norm", "attention_norm")),
    ),
    ("up and down exchanged", renamed(("up_proj", "down_proj"), ("down_proj", "up_proj"))),
    ("one name for both c_proj", renamed(("down_proj", "out_proj"))),
    ("no tables", after(lambda name, tensor: None if "embedding" in name else (name, tensor))),
    (None, by_our_library),
    (None, changing_theirs),
    (None, rows_cut),
    (None, lambda theirs: list(layer_by_layer(theirs).items())),
    (None, lambda theirs: dict.fromkeys(layer_by_layer(theirs), "a tensor")),
    (None, before(thirds(0, 2, 1))),
    (None, renamed(("stack.final_norm", "norm"))),
]
