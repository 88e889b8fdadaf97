"""From scores to text: choosing the next token, one after the other."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.blocks import check_ids
from course_lib.bpe import BPETokenizer
from course_lib.decoder import GPT, GPTConfig


def next_token_probabilities(
    logits: Float[Tensor, "... V"],
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, "... V"]:
    """Turn scores into the probabilities to draw the next token from.

    The temperature comes first, then top-k, then top-p; what is left is scaled to sum to 1.

    Args:
        logits: scores.
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


def new_tokens(
    model: GPT,
    ids: Int[Tensor, "B T"],
    max_new_tokens: int,
    *,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    eos_id: int | None = None,
    generator: torch.Generator | None = None,
    use_cache: bool = True,
) -> Iterator[Int[Tensor, " B"]]:
    """Write on: one new token for each row at a time, as soon as it is chosen.

    Args:
        ids: the prompts, all of one length, at least one token.
        max_new_tokens: how many tokens are written at most.
        temperature: see `next_token_probabilities`, and so are top_k and top_p; 0 takes the likeliest.
        eos_id: a row that has written this token goes on writing only it; the end is when all rows have.
        generator: for repeatable draws.
        use_cache: False computes everything anew for each token: slower, same tokens where no two scores tie.
            With packed weights that holds below `packed.MANY` tokens at once, see `packed.PackedLinear`.
    Raises: ValueError: no prompt, an empty prompt, a setting out of range, too many tokens, scores that are
        NaN or infinite.
    Example:
        >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=1, n_heads=2))
        >>> [token.shape for token in new_tokens(model, torch.tensor([[1, 2]]), 3)]
        [torch.Size([1]), torch.Size([1]), torch.Size([1])]
    """
    _check_settings(temperature, top_k, top_p)
    _check_lengths(ids, max_new_tokens, model.config)

    # A function of its own, so that what is wrong above is said before the first token is asked for.
    @torch.inference_mode()
    def write() -> Iterator[Tensor]:
        n_rows, n_prompt = ids.shape
        cache = model.new_cache(n_rows, _n_read(n_prompt, max_new_tokens)) if use_cache else []
        finished = torch.zeros(n_rows, dtype=torch.bool, device=ids.device)
        unread = ids
        for _ in range(max_new_tokens):
            # Without layers there are no caches, and nothing counts the tokens read.
            logits = model.next_token_logits(unread, cache or None)  # (B, V)
            if temperature == 0:
                token = _likeliest(logits)[1].squeeze(1)
            else:
                p = next_token_probabilities(logits, temperature=temperature, top_k=top_k, top_p=top_p)
                token = torch.multinomial(p, 1, generator=generator).squeeze(1)
            if eos_id is not None:
                token = token.masked_fill(finished, eos_id)
                finished = finished | (token == eos_id)
            yield token
            if eos_id is not None and finished.all():
                return
            unread = token[:, None] if cache else torch.cat([unread, token[:, None]], dim=1)

    return write()


def generate(
    model: GPT,
    ids: Int[Tensor, "B T"],
    max_new_tokens: int,
    *,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    eos_id: int | None = None,
    generator: torch.Generator | None = None,
    use_cache: bool = True,
) -> Int[Tensor, "B more"]:
    """The prompts with what the model writes after them; the arguments are those of `new_tokens`.

    Example:
        >>> model = GPT(GPTConfig(7, 5, d_model=4, n_layers=1, n_heads=2))
        >>> generate(model, torch.tensor([[1, 2]]), 3).shape
        torch.Size([1, 5])
    """
    new = new_tokens(
        model,
        ids,
        max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        eos_id=eos_id,
        generator=generator,
        use_cache=use_cache,
    )
    return torch.cat([ids, *(token[:, None] for token in new)], dim=1)


def continuation(
    model: GPT, tokenizer: BPETokenizer, text: str, max_new_tokens: int, eos_id: int | None = None
) -> str:
    """What a model writes behind a text, the likeliest token each time.

    Args:
        model: the model.
        tokenizer: its own.
        text: what it reads.
        max_new_tokens: how many tokens it writes, at most.
        eos_id: the token that ends the text; it is no part of it. None: nothing ends it.

    Example:
        >>> letters = BPETokenizer([*"abc"], [])
        >>> model = GPT(GPTConfig(3, 5, d_model=4, n_layers=1, n_heads=2))
        >>> len(continuation(model, letters, "ab", 3))
        3
    """
    ids = torch.tensor([tokenizer.encode(text)], device=next(model.parameters()).device)
    new = generate(model, ids, max_new_tokens, eos_id=eos_id)[0, ids.shape[1] :].tolist()
    return tokenizer.decode(new[:-1] if new and new[-1] == eos_id else new)


def _check_lengths(ids: Tensor, max_new_tokens: int, config: GPTConfig) -> None:
    check_ids(ids, config.vocab_size)
    n_rows, n_prompt = ids.shape
    if n_rows == 0:
        raise ValueError("there must be at least one prompt; got an empty batch")
    if n_prompt == 0:
        raise ValueError("the prompt needs at least one token; got none")
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens must be 0 or more; got {max_new_tokens}")
    total = _n_read(n_prompt, max_new_tokens)
    if total > config.max_seq_len:
        need = f"to read {n_prompt} and write {max_new_tokens} takes {total}"
        raise ValueError(f"the context holds {config.max_seq_len} tokens; {need}")


def _n_read(n_prompt: int, max_new_tokens: int) -> int:
    """How many tokens a model reads: the last one is written and never read."""
    return n_prompt + max(0, max_new_tokens - 1)


def _check_settings(temperature: float, top_k: int | None, top_p: float | None) -> None:
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature must be a number from 0 on; got {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1; got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1; got {top_p}")


def _likeliest(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The best score of each row and where it stands. Raises: ValueError: it is NaN or infinite."""
    highest, places = logits.max(-1, keepdim=True)
    scores = highest.flatten().tolist()
    if not all(map(math.isfinite, scores)):
        raise ValueError(f"the model's best scores must be finite; got {scores[:5]}")
    return highest, places
