"""What a model is asked: the masked tokens, whether two sentences belong together, the next token."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor, nn

IGNORE = -100  # the target where nothing is asked, as in torch


def mask_tokens(
    ids: Int[Tensor, "*shape"], mask_id: int, vocab_size: int, *, special_ids: Iterable[int],
    fraction: float = 0.15, generator: Generator | None = None,
) -> tuple[Int[Tensor, "*shape"], Int[Tensor, "*shape"]]:  # fmt: skip
    """Choose tokens by chance: 80 % become the mask, 10 % any token, 10 % stay (Devlin et al. 2019, task 1).
    Args: special_ids: padding and the like, which are never chosen; neither is a mask that is there already.
    Returns: inputs; targets: the token where one was chosen, else `IGNORE`.
    Raises: ValueError: a fraction outside (0, 1), a mask outside the vocabulary.
    """
    if not 0 < fraction < 1 or not 0 <= mask_id < vocab_size:
        raise ValueError(f"need 0 < fraction < 1, 0 <= mask_id < {vocab_size}; got {fraction}, {mask_id}")
    special = torch.isin(ids, torch.tensor([mask_id, *special_ids], device=ids.device))
    dice = torch.rand(ids.shape, generator=generator, device=ids.device).masked_fill(special, 1.0)
    any_token = torch.randint(vocab_size, ids.shape, generator=generator, device=ids.device, dtype=ids.dtype)
    inputs = ids.where(dice >= 0.9 * fraction, any_token).masked_fill(dice < 0.8 * fraction, mask_id)
    return inputs, ids.masked_fill(dice >= fraction, IGNORE)


def sentence_pairs(documents: Sequence[Sequence], *, generator: Generator | None = None) -> list[tuple]:
    """Each sentence with the next or, half of the time, any of another document (Devlin et al. 2019, task 2).
    Returns: (first, second, is next); `BERT.next_sentence_logits` has class 0 for next, 1 for not.
    Raises: ValueError: fewer than two documents, or than two sentences in one of them.
    """
    if min(map(len, [documents, *documents])) < 2:
        raise ValueError(f"need two documents, two sentences in each; got {[len(d) for d in documents]}")
    pairs = []
    for document in documents:
        elsewhere = [sentence for other in documents if other is not document for sentence in other]
        draws = torch.randint(-len(elsewhere), len(elsewhere), (len(document) - 1,), generator=generator)
        for first, second, draw in zip(document[:-1], document[1:], draws.tolist(), strict=True):
            pairs.append((first, second if draw >= 0 else elsewhere[draw], draw >= 0))  # -1: the last
    return pairs


def pack_pair(
    first: Sequence[int], second: Sequence[int], max_seq_len: int, *, cls_id: int, sep_id: int, pad_id: int
) -> tuple[Int[Tensor, " T"], Int[Tensor, " T"], Bool[Tensor, " T"]]:
    """Write [CLS] first [SEP] second [SEP] and padding; if too long, the longer sentence loses its end.
    Returns: ids; segments: 1 for second and its [SEP], else 0; mask: True = real token.
    Raises: ValueError: no room for one token of each.
    """
    if (room := max_seq_len - 3) < 2:
        raise ValueError(f"a pair needs room for [CLS], two [SEP] and two tokens; got {max_seq_len} places")
    second = second[: max(room // 2, room - len(first))]
    left, right = [cls_id, *first[: room - len(second)], sep_id], [*second, sep_id]
    padding = [pad_id] * (max_seq_len - len(left) - len(right))
    segments = torch.tensor([0] * len(left) + [1] * len(right) + [0] * len(padding))
    return torch.tensor(left + right + padding), segments, torch.arange(max_seq_len) < len(left + right)


def shift(ids: Int[Tensor, "B T"]) -> tuple[Int[Tensor, "B T-1"], Int[Tensor, "B T-1"]]:
    """Ask each token for the next one: inputs without the last token, targets without the first."""
    if ids.shape[1] < 2:
        raise ValueError(f"the next token needs sequences of at least 2; got {ids.shape[1]}")
    return ids[:, :-1], ids[:, 1:]


def token_losses(logits: Float[Tensor, "*shape V"], targets: Int[Tensor, "*shape"]) -> Float[Tensor, " n"]:
    """The surprise, in nats, at each target that is not `IGNORE`; see `maths.cross_entropy`."""
    targets = targets.flatten()
    return nn.functional.cross_entropy(logits.flatten(0, -2), targets, reduction="none")[targets != IGNORE]


def token_loss(logits: Float[Tensor, "*shape V"], targets: Int[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """The mean of `token_losses`; where nothing is asked it is 0, and so is its gradient."""
    return token_losses(logits, targets).sum() / (targets != IGNORE).sum().clamp(min=1)
