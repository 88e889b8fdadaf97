"""A pool of answers to the tasks on weights, written from the exercises' texts alone. See `pool`."""

import heapq
import math
from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from pool import Pool

from course_lib.pretrained import SMOLLM2_SYSTEM

POOL = Pool()
right, wrong = POOL.right, POOL.wrong


# ---------------------------------------------------------------------------------------------- mean pooling


@right("mean_pooling", "a product of the mask with what holds no NaN")
def _(vectors, mask):
    safe = torch.nan_to_num(vectors, nan=0.0, posinf=0.0, neginf=0.0)
    counts = torch.maximum(mask.sum(-1), torch.tensor(1))
    return (safe * mask[:, :, None]).sum(-2) / counts[:, None]


@right("mean_pooling", "a matrix product with weights")
def _(vectors, mask):
    clean = vectors.masked_fill(mask.logical_not()[..., None], 0)
    weights = F.normalize(mask.to(vectors), p=1, dim=1)
    return (weights[:, None] @ clean)[:, 0]


@right("mean_pooling", "tokens one after the other")
def _(vectors, mask):
    texts = []
    for i in range(len(vectors)):
        tokens = [vectors[i, t] for t in range(vectors.shape[1]) if mask[i, t]]
        texts.append(sum(tokens) / len(tokens) if tokens else vectors.new_zeros(vectors.shape[2]))
    return torch.stack(texts)


@right("mean_pooling", "only texts that have tokens are divided")
def _(vectors, mask):
    total = torch.where(mask.unsqueeze(2), vectors, torch.zeros_like(vectors)).sum(1)
    n = mask.sum(1)
    return torch.where(n[:, None] > 0, total / n.masked_fill(n == 0, 1)[:, None], total)


@wrong("mean_pooling", "NaN is mended after the sum")
def _(vectors, mask):
    return ((vectors * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).nan_to_num(0.0)


@wrong("mean_pooling", "the longest text's length for all")
def _(vectors, mask):
    total = vectors.masked_fill(~mask[..., None], 0).sum(1)
    return total / mask.sum(1).max().clamp(min=1)


@wrong("mean_pooling", "the root of the number")
def _(vectors, mask):
    total = vectors.masked_fill(~mask[..., None], 0).sum(1)
    return total / mask.sum(1, keepdim=True).clamp(min=1).sqrt()


@wrong("mean_pooling", "without the first and the last token, as special ones")
def _(vectors, mask):
    mask = mask.clone()
    mask[:, 0] = mask[:, -1] = False
    return vectors.masked_fill(~mask[..., None], 0).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


@wrong("mean_pooling", "all tokens of the batch in one row")
def _(vectors, mask):
    return vectors[mask].mean(0).expand(len(vectors), -1)


# ------------------------------------------------------------------------------------------ nearest passages


@right("nearest_passages", "heapq")
def _(query, passages, k):
    def cosine(p):
        lengths = float(p.square().sum().sqrt()), float(query.square().sum().sqrt())
        return 0.0 if 0 in lengths else float(torch.dot(p, query)) / lengths[0] / lengths[1]

    return heapq.nsmallest(k, range(len(passages)), key=lambda i: (-cosine(passages[i]), i))


@right("nearest_passages", "the lengths are at least a little")
def _(query, passages, k):
    lengths = passages.norm(dim=-1).clamp(min=1e-12)
    scores = torch.einsum("nd,d->n", passages, query) / lengths
    return torch.sort(-scores, stable=True).indices[:k]


@right("nearest_passages", "NumPy, stable, of the negated scores")
def _(query, passages, k):
    p, q = passages.numpy(), query.numpy()
    sizes = np.sqrt((p * p).sum(1))
    sizes[sizes == 0] = 1
    return np.argsort(-(p @ q) / sizes, kind="stable")[:k].tolist()


@right("nearest_passages", "counts who is better")
def _(query, passages, k):
    scores = F.cosine_similarity(passages, query.expand_as(passages), dim=1)
    n = len(scores)
    earlier = torch.arange(n)[None] < torch.arange(n)[:, None]
    better = (scores[None] > scores[:, None]) | ((scores[None] == scores[:, None]) & earlier)
    rank = better.sum(1)
    return [int((rank == i).nonzero()[0, 0]) for i in range(min(k, n))]


@wrong("nearest_passages", "only those above 0")
def _(query, passages, k):
    scores = F.cosine_similarity(passages, query[None], dim=1)
    order = scores.argsort(descending=True, stable=True)[:k]
    return order[scores[order] > 0]


@wrong("nearest_passages", "the query in units of its own length alone")
def _(query, passages, k):
    return (passages @ F.normalize(query, dim=0)).argsort(descending=True, stable=True)[:k]


@wrong("nearest_passages", "zeros count as -1")
def _(query, passages, k):
    lengths = passages.norm(dim=1)
    scores = torch.where(lengths > 0, passages @ query / lengths, -torch.inf)
    return scores.argsort(descending=True, stable=True)[:k]


@wrong("nearest_passages", "pairs of place and score")
def _(query, passages, k):
    scores = F.cosine_similarity(passages, query[None], dim=1)
    order = scores.argsort(descending=True, stable=True)[:k]
    return [(int(i), float(scores[i])) for i in order]


@wrong("nearest_passages", "the mean is taken away first")
def _(query, passages, k):
    p = passages - passages.mean(1, keepdim=True)
    return F.cosine_similarity(p, (query - query.mean())[None], dim=1).argsort(descending=True, stable=True)[
        :k
    ]


# --------------------------------------------------------------------------------------------- chat template


def checked(*texts):
    for text in texts:
        for sign in ("<|im_start|>", "<|im_end|>"):
            if text.find(sign) >= 0:
                raise ValueError(f"{sign} in {text}")


@right("chat_template", "a generator")
def _(turns, system=None):
    def pieces():
        for role, text in (("system", system if system is not None else SMOLLM2_SYSTEM), *turns):
            checked(text)
            yield from ("<|im_start|>", role, "\n", text, "<|im_end|>", "\n")
        yield "<|im_start|>assistant\n"

    return "".join(pieces())


@right("chat_template", "split by the signs, to see whether there are any")
def _(turns, system=None):
    if system is None:
        system = SMOLLM2_SYSTEM
    for text in [system] + [turn[1] for turn in turns]:
        if len(text.split("<|im_start|>")) + len(text.split("<|im_end|>")) != 2:
            raise ValueError("sign")
    prompt = "<|im_start|>system\n" + system + "<|im_end|>\n"
    for turn in turns:
        prompt = prompt + "<|im_start|>" + turn[0] + "\n" + turn[1] + "<|im_end|>\n"
    return prompt + "<|im_start|>assistant\n"


@right("chat_template", "counts the signs of the whole")
def _(turns, system=None):
    system = SMOLLM2_SYSTEM if system is None else system
    turns = [("system", system), *turns]
    text = "".join(f"<|im_start|>{role}\n{words}<|im_end|>\n" for role, words in turns)
    if text.count("<|im_start|>") > len(turns) or text.count("<|im_end|>") > len(turns):
        raise ValueError(text)
    return text + "<|im_start|>assistant\n"


@right("chat_template", "list of lines, UnicodeError is a ValueError too")
def _(turns, system=None):
    system = [SMOLLM2_SYSTEM, system][system is not None]
    lines = []
    for role, text in [("system", system), *turns]:
        if "<|im_start|>" in text or "<|im_end|>" in text:
            raise UnicodeError
        lines.extend([f"<|im_start|>{role}", f"{text}<|im_end|>"])
    lines.append("<|im_start|>assistant")
    return "\n".join(lines) + "\n"


def plainly(turns, system, turn="<|im_start|>{}\n{}<|im_end|>\n", end="<|im_start|>assistant\n"):
    turns = [("system", SMOLLM2_SYSTEM if system is None else system), *turns]
    checked(*(text for _, text in turns))
    return "".join(turn.format(role, text) for role, text in turns) + end


@wrong("chat_template", "Llama 2's form")
def _(turns, system=None):
    return plainly(turns, system, "[{}] {}\n", "[assistant] ")


@wrong("chat_template", "another sign at the end")
def _(turns, system=None):
    return plainly(turns, system, "<|im_start|>{}\n{}<|endoftext|>\n")


@wrong("chat_template", "a TypeError where a sign is")
def _(turns, system=None):
    try:
        return plainly(turns, system)
    except ValueError as error:
        raise TypeError("no signs") from error


@wrong("chat_template", "returns None where a sign is")
def _(turns, system=None):
    try:
        return plainly(turns, system)
    except ValueError:
        return None


@wrong("chat_template", "refuses whatever looks like a sign")
def _(turns, system=None):
    if any("<|" in text for _, text in turns):
        raise ValueError
    return plainly(turns, system)


@wrong("chat_template", "the model is to write the user's next turn")
def _(turns, system=None):
    return plainly(turns, system, end="<|im_start|>user\n")


# -------------------------------------------------------------------------------------------- rename weights

PARTS = {"ln_1": "attention_norm", "ln_2": "feed_forward_norm", "c_fc": "feed_forward.up_proj"}


def renamed(theirs, turn=lambda tensor: tensor.T, tables=lambda tensor: tensor, thirds=(0, 1, 2)):
    ours = OrderedDict()
    for name in theirs:
        words = name.split(".")
        if words[0] in ("wte", "wpe"):
            ours[{"t": "token", "p": "position"}[name[1]] + "_embedding.weight"] = tables(theirs[name])
        elif words[0] == "ln_f":
            ours[f"stack.final_norm.{words[1]}"] = theirs[name]
        elif words[-2] != "attn":
            tensor = theirs[name] if theirs[name].dim() == 1 else turn(theirs[name])
            here = f"stack.blocks.{int(words[1])}"
            if words[3] == "c_attn":
                pieces = tensor.reshape(3, -1, *tensor.shape[1:])
                for letter, third in zip("qkv", thirds, strict=True):
                    ours[f"{here}.attention.{letter}_proj.{words[-1]}"] = pieces[third]
                continue
            part = PARTS.get(words[2]) or PARTS.get(words[3])
            part = part or {"attn": "attention.out_proj", "mlp": "feed_forward.down_proj"}[words[2]]
            ours[f"{here}.{part}.{words[-1]}"] = tensor
    return ours


@right("rename_weights", "an OrderedDict, cut by reshape")
def _(theirs):
    return renamed(theirs)


@right("rename_weights", "copies that are contiguous")
def _(theirs):
    return {name: tensor.contiguous().clone() for name, tensor in renamed(theirs).items()}


@right("rename_weights", "permute in place of T")
def _(theirs):
    return dict(renamed(theirs, lambda tensor: tensor.permute(1, 0)))


@right("rename_weights", "einsum, names in reverse")
def _(theirs):
    return dict(reversed(renamed(theirs, lambda tensor: torch.einsum("io->oi", tensor)).items()))


@wrong("rename_weights", "turned twice")
def _(theirs):
    return {name: t.T if t.ndim == 2 and "blocks" in name else t for name, t in renamed(theirs).items()}


@wrong("rename_weights", "tables turned and matrices too")
def _(theirs):
    return renamed(theirs, tables=lambda tensor: tensor.T)


@wrong("rename_weights", "k, v, q")
def _(theirs):
    return renamed(theirs, thirds=(1, 2, 0))


@wrong("rename_weights", "turned round by flip")
def _(theirs):
    return renamed(theirs, lambda tensor: tensor.T.flip(0))


@wrong("rename_weights", "a prefix in front")
def _(theirs):
    return {f"model.{name}": tensor for name, tensor in renamed(theirs).items()}


@wrong("rename_weights", "scores scaled already")
def _(theirs):
    ours = renamed(theirs)
    scale = math.sqrt(len(ours["stack.final_norm.bias"]))
    return {name: tensor / scale if ".q_proj." in name else tensor for name, tensor in ours.items()}
