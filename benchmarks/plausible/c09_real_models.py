"""Plausible answers to the tasks of 09_real_models, written from the texts of the exercises alone."""

import math
from collections import OrderedDict

import torch
import torch.nn.functional as F

from course_lib.pretrained import SMOLLM2_SYSTEM
from plausible import Answers

of = Answers("09_real_models")
right, wrong = of.right, of.wrong

# ----------------------------------------------------------------------------------------------- mean pooling


@right("mean_pooling", "a product of the mask with what holds no NaN")
def _(vectors, mask):
    safe = torch.nan_to_num(vectors, nan=0.0, posinf=0.0, neginf=0.0)
    counts = torch.maximum(mask.sum(-1), torch.tensor(1))
    return (safe * mask[:, :, None]).sum(-2) / counts[:, None]


@wrong("mean_pooling", "NaN is mended after the sum")
def _(vectors, mask):
    return ((vectors * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).nan_to_num(0.0)


@wrong("mean_pooling", "the longest text's length for all")
def _(vectors, mask):
    total = vectors.masked_fill(~mask[..., None], 0).sum(1)
    return total / mask.sum(1).max().clamp(min=1)


@wrong("mean_pooling", "without the first and the last token, as special ones")
def _(vectors, mask):
    mask = mask.clone()
    mask[:, 0] = mask[:, -1] = False
    return vectors.masked_fill(~mask[..., None], 0).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


@wrong("mean_pooling", "all tokens of the batch in one row")
def _(vectors, mask):
    return vectors[mask].mean(0).expand(len(vectors), -1)


# ------------------------------------------------------------------------------------------- nearest passages


@right("nearest_passages", "the lengths are at least a little")
def _(query, passages, k):
    lengths = passages.norm(dim=-1).clamp(min=1e-12)
    scores = torch.einsum("nd,d->n", passages, query) / lengths
    return torch.sort(-scores, stable=True).indices[:k]


@wrong("nearest_passages", "only those above 0")
def _(query, passages, k):
    scores = F.cosine_similarity(passages, query[None], dim=1)
    order = scores.argsort(descending=True, stable=True)[:k]
    return order[scores[order] > 0]


@wrong("nearest_passages", "the query in units of its own length alone", "dot products")
def _(query, passages, k):
    return (passages @ F.normalize(query, dim=0)).argsort(descending=True, stable=True)[:k]


# ---------------------------------------------------------------------------------------------- chat template


@right("chat_template", "counts the signs of the whole")
def _(turns, system=None):
    system = SMOLLM2_SYSTEM if system is None else system
    turns = [("system", system), *turns]
    text = "".join(f"<|im_start|>{role}\n{words}<|im_end|>\n" for role, words in turns)
    if text.count("<|im_start|>") > len(turns) or text.count("<|im_end|>") > len(turns):
        raise ValueError(text)
    return text + "<|im_start|>assistant\n"


def checked(*texts):
    for text in texts:
        for sign in ("<|im_start|>", "<|im_end|>"):
            if text.find(sign) >= 0:
                raise ValueError(f"{sign} in {text}")


def plainly(turns, system, turn="<|im_start|>{}\n{}<|im_end|>\n", end="<|im_start|>assistant\n"):
    turns = [("system", SMOLLM2_SYSTEM if system is None else system), *turns]
    checked(*(text for _, text in turns))
    return "".join(turn.format(role, text) for role, text in turns) + end


@wrong("chat_template", "Llama 2's form")
def _(turns, system=None):
    return plainly(turns, system, "[{}] {}\n", "[assistant] ")


@wrong("chat_template", "returns None where a sign is")
def _(turns, system=None):
    try:
        return plainly(turns, system)
    except ValueError:
        return None


@wrong("chat_template", "the model is to write the user's next turn")
def _(turns, system=None):
    return plainly(turns, system, end="<|im_start|>user\n")


# --------------------------------------------------------------------------------------------- rename weights


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


@wrong("rename_weights", "turned twice", "nothing transposed")
def _(theirs):
    return {name: t.T if t.ndim == 2 and "blocks" in name else t for name, t in renamed(theirs).items()}


@wrong("rename_weights", "k, v, q")
def _(theirs):
    return renamed(theirs, thirds=(1, 2, 0))


# ----------------------------------------------------------------------------------------------- extend cache


@right("extend_cache", "concat under its other name, along -2")
def _(k_cache, v_cache, k, v):
    return [torch.concat(pair, axis=-2) for pair in ((k_cache, k), (v_cache, v))]


@wrong("extend_cache", "hstack, which joins the second axis", "joined along the heads")
def _(k_cache, v_cache, k, v):
    return torch.hstack([k_cache, k]), torch.hstack([v_cache, v])


@wrong("extend_cache", "only the first new token is added")
def _(k_cache, v_cache, k, v):
    return torch.cat([k_cache, k[:, :, :1]], 2), torch.cat([v_cache, v[:, :, :1]], 2)


@wrong("extend_cache", "the last stored token is overwritten")
def _(k_cache, v_cache, k, v):
    return torch.cat([k_cache[:, :, :-1], k], 2), torch.cat([v_cache[:, :, :-1], v], 2)


@wrong("extend_cache", "the attention is returned too")
def _(k_cache, v_cache, k, v):
    keys, values = torch.cat([k_cache, k], 2), torch.cat([v_cache, v], 2)
    return (k @ keys.mT).softmax(-1) @ values, keys, values


# ------------------------------------------------------------------------------------------ grouped attention


@right("grouped_attention", "a list of the head that each query head uses")
def _(q, k, v, mask):
    heads, groups = q.size(1), k.size(1)
    uses = [h * groups // heads for h in range(heads)]
    scores = torch.einsum("bhtk,bhsk->bhts", q, k[:, uses]) / math.sqrt(q.size(-1))
    return torch.einsum("bhts,bhsk->bhtk", scores.masked_fill(mask == 0, -math.inf).softmax(3), v[:, uses])


@wrong("grouped_attention", "the mask is added as 0 and 1")
def _(q, k, v, mask):
    n = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(n, 1), v.repeat_interleave(n, 1)
    return (q @ k.mT / q.shape[-1] ** 0.5 + mask).softmax(-1) @ v


@wrong("grouped_attention", "values of the group are summed up")
def _(q, k, v, mask):
    n = q.shape[1] // k.shape[1]
    scores = q @ k.repeat_interleave(n, 1).mT / q.shape[-1] ** 0.5
    weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
    return weights @ v.sum(1, keepdim=True).expand(-1, q.shape[1], -1, -1)


@wrong("grouped_attention", "minus five instead of minus infinity")
def _(q, k, v, mask):
    n = q.shape[1] // k.shape[1]
    scores = q @ k.repeat_interleave(n, 1).mT / q.shape[-1] ** 0.5
    return scores.masked_fill(~mask, -5.0).softmax(-1) @ v.repeat_interleave(n, 1)


@wrong("grouped_attention", "scaled by the root of D, all heads together")
def _(q, k, v, mask):
    n = q.shape[1] // k.shape[1]
    scores = q @ k.repeat_interleave(n, 1).mT / (q.shape[-1] * q.shape[1]) ** 0.5
    return scores.masked_fill(~mask, -torch.inf).softmax(-1) @ v.repeat_interleave(n, 1)


# ----------------------------------------------------------------------------------------- next probabilities


def heated(logits, t):
    moved = logits - logits.max(dim=-1, keepdim=True).values
    return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits) if not t else (moved / t).softmax(-1)


@right("next_probabilities", "from the least likely on, what may go")
def _(logits, t, p):
    chances = heated(logits, t)
    up, places = chances.sort(-1)
    left = up.flip(-1).cumsum(-1).flip(-1) - up  # what the likelier ones have
    up = up * (left < p)
    return torch.empty_like(up).scatter_(-1, places, up / up.sum(-1, keepdim=True))


@wrong("next_probabilities", "the temperature once more on what is left")
def _(logits, t, p):
    chances = heated(logits, t)
    kept = chances.masked_fill(chances < chances.amax(-1, keepdim=True) * (1 - p), 0)
    return kept / kept.sum(-1, keepdim=True)


@wrong("next_probabilities", "a softmax of the probabilities that are left")
def _(logits, t, p):
    return heated(logits, t).softmax(-1)


@wrong("next_probabilities", "a token, drawn")
def _(logits, t, p):
    return torch.multinomial(heated(logits, t).reshape(-1, logits.shape[-1]), 1)


@wrong("next_probabilities", "the two numbers exchanged")
def _(logits, t, p):
    chances = heated(logits, p)
    up, places = chances.sort(-1, descending=True)
    up = up * (up.cumsum(-1) - up < t)
    return torch.empty_like(up).scatter_(-1, places, up / up.sum(-1, keepdim=True))
