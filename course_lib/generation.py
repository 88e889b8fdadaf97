"""From scores to text: choosing the next token, one after the other."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.decoder import GPT
from course_lib.numpy_decoder import numpy_decoder


def next_token_probabilities(
    logits: Float[Tensor, "... V"], *,
    temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None,
) -> Float[Tensor, "... V"]:  # fmt: skip
    """Turn scores into the probabilities to draw the next token from.

    The temperature comes first, then top-k, then top-p; what is left is scaled to sum to 1.
    Args:
        temperature: scores are divided by it: below 1 the likely gets likelier, 0 takes the likeliest alone.
        top_k: keep the k likeliest tokens, and those that tie with the last of them.
        top_p: keep the fewest likeliest tokens that together have at least this probability
            (Holtzman et al. 2020, nucleus sampling).
    Returns: probabilities that sum to 1.
    Raises: ValueError: a setting out of range; scores that are NaN or infinite.
    Example:
        >>> next_token_probabilities(torch.tensor([0.0, 1.0, 2.0]), temperature=0.0).tolist()
        [0.0, 0.0, 1.0]
    """
    _check_settings(temperature, top_k, top_p)
    highest, likeliest = _likeliest(logits)
    if temperature == 0:
        return torch.zeros_like(logits).scatter(-1, likeliest, 1.0)
    # Subtracting the largest score first keeps tiny temperatures from overflowing.
    scores = (logits - highest) / max(temperature, torch.finfo(logits.dtype).tiny)
    if top_k is not None and top_k < logits.shape[-1]:
        scores = scores.masked_fill(scores < scores.topk(top_k).values[..., -1:], -torch.inf)
    if top_p is not None and top_p < 1:
        ascending, places = scores.sort(dim=-1)
        # The unlikely go as long as what stays has top_p, and the likeliest never goes.
        goes = ascending.softmax(-1).cumsum(-1) <= 1 - top_p
        goes[..., -1] = False
        scores = scores.masked_fill(goes.scatter(-1, places, goes), -torch.inf)
    return scores.softmax(-1)


@torch.inference_mode()
def stream(
    model: GPT, ids: Int[Tensor, "B T"], max_new_tokens: int, *,
    temperature: float = 0.0, top_k: int | None = None, top_p: float | None = None,
    eos_id: int | None = None, generator: torch.Generator | None = None, use_cache: bool = True,
) -> Iterator[Int[Tensor, " B"]]:  # fmt: skip
    """Write on: one new token for each row at a time; on a CPU `numpy_decoder` does it, if it can.
    Args:
        ids: the prompts, all of one length, at least one token.
        temperature, top_k, top_p: see `next_token_probabilities`; temperature 0 is greedy.
        eos_id: a row that has written this token goes on writing only it; the end is when all rows have.
        generator: for repeatable draws.
        use_cache: False computes everything anew for each token: slower, same tokens.
    Raises: ValueError: an empty prompt, a setting out of range, too many tokens, NaN or infinite scores.
    """
    _check_settings(temperature, top_k, top_p)
    if ids.shape[1] == 0:
        raise ValueError("the prompt needs at least one token; got none")
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens must be 0 or more; got {max_new_tokens}")
    total = ids.shape[1] + max_new_tokens
    if total > (limit := model.config.max_seq_len):
        need = f"a prompt of {ids.shape[1]} and {max_new_tokens} new ones need {total}"
        raise ValueError(f"the context holds {limit} tokens; {need}")
    cache = model.new_cache(ids.shape[0], total) if use_cache else None
    finished = torch.zeros(ids.shape[0], dtype=torch.bool, device=ids.device)
    new = ids
    score: Callable[..., Tensor] = model.next_token_logits
    next_score = (numpy_decoder(model) if use_cache else None) or score
    for _ in range(max_new_tokens):
        logits = score(new if use_cache else ids, cache)  # (B, V)
        if temperature == 0:
            token = _likeliest(logits)[1].squeeze(1)
        else:
            p = next_token_probabilities(logits, temperature=temperature, top_k=top_k, top_p=top_p)
            token = torch.multinomial(p, 1, generator=generator)[:, 0]
        if eos_id is not None:
            token = token.masked_fill(finished, eos_id)
            finished = finished | (token == eos_id)
        yield token
        if eos_id is not None and bool(finished.all()):
            return
        new, score = token.unsqueeze(1), next_score
        ids = ids if use_cache else torch.cat([ids, new], dim=1)


def generate(
    model: GPT, ids: Int[Tensor, "B T"], max_new_tokens: int, **settings: Any
) -> Int[Tensor, "B more"]:
    """The prompts with what the model writes after them; settings (temperature ...) are those of `stream`."""
    new = (token.unsqueeze(1) for token in stream(model, ids, max_new_tokens, **settings))
    return torch.cat([ids, *new], dim=1)


def _check_settings(temperature: float, top_k: int | None, top_p: float | None) -> None:
    if not temperature >= 0:
        raise ValueError(f"temperature must be 0 or more; got {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1; got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1; got {top_p}")


def _likeliest(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The best score of each row and where it stands; NaN and infinity, wherever they are, show in it."""
    highest, places = logits.max(-1, keepdim=True)
    if not all(map(math.isfinite, scores := highest.flatten().tolist())):
        raise ValueError(f"the model's best scores must be finite; got {scores[:5]}")
    return highest, places
