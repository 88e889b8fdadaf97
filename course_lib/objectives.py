"""What a model is asked: the masked tokens, whether two sentences belong together, the next token."""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

IGNORE = -100  # the target where nothing is asked, as in torch


def mask_tokens(
    ids: Int[Tensor, "*shape"],
    mask_id: int,
    vocab_size: int,
    *,
    special_ids: Iterable[int],
    fraction: float = 0.15,
    generator: Generator | None = None,
) -> tuple[Int[Tensor, "*shape"], Int[Tensor, "*shape"]]:
    """Choose tokens by chance: 80 % become the mask, 10 % any token, 10 % stay (Devlin et al. 2019, task 1).

    Args:
        ids: tokens.
        mask_id: the mask.
        vocab_size: any token is one of so many.
        special_ids: padding and the like, which are never chosen; neither is a mask that is there already.
        fraction: how many of the other tokens are chosen.
        generator: to draw from; None: torch's own.
    Returns: inputs; targets: the token where one was chosen, else `IGNORE`.
    Raises: ValueError: a fraction outside (0, 1), a mask outside the vocabulary.
    Example:
        >>> ids = torch.tensor([[5, 6, 7, 8]])
        >>> inputs, targets = mask_tokens(ids, 3, 9, special_ids=[5], fraction=0.99)
        >>> targets[0, 0].item() == IGNORE, inputs[0, 0].item()  # a special one
        (True, 5)
    """
    if not 0 < fraction < 1 or not 0 <= mask_id < vocab_size:
        raise ValueError(f"need 0 < fraction < 1, 0 <= mask_id < {vocab_size}; got {fraction}, {mask_id}")
    special = torch.isin(ids, torch.tensor([mask_id, *special_ids], device=ids.device))
    dice = torch.rand(ids.shape, generator=generator, device=ids.device)
    dice = dice.masked_fill(special, 1.0)
    any_token = torch.randint(vocab_size, ids.shape, generator=generator, device=ids.device, dtype=ids.dtype)
    # From 0 to fraction: first 80 % mask, then 10 % any token, then 10 % as they were.
    inputs = torch.where(dice < 0.9 * fraction, any_token, ids)
    inputs = inputs.masked_fill(dice < 0.8 * fraction, mask_id)
    targets = ids.masked_fill(dice >= fraction, IGNORE)
    return inputs, targets


def sentence_pairs(documents: Sequence[Sequence], *, generator: Generator | None = None) -> list[tuple]:
    """Each sentence with the next or, half of the time, any of another document (Devlin et al. 2019, task 2).

    Args:
        documents: each is a sequence of sentences, in order; a sentence may be anything.
        generator: to draw from; None: torch's own.
    Returns: (first, second, is next); `BERT.next_sentence_logits` has class 0 for next, 1 for not.
    Raises: ValueError: fewer than two documents, or than two sentences in one of them.
    Example:
        >>> pairs = sentence_pairs([["a", "b", "c"], ["x", "y"]])
        >>> [first for first, second, is_next in pairs]
        ['a', 'b', 'x']
        >>> {second for first, second, is_next in pairs if is_next} <= {"b", "c", "y"}
        True
    """
    lengths = [len(document) for document in documents]
    if len(documents) < 2 or min(lengths) < 2:
        raise ValueError(f"need two documents, two sentences in each; got {lengths}")
    sentences = [sentence for document in documents for sentence in document]
    pairs = []
    start = 0
    for document in documents:
        n_pairs = len(document) - 1
        is_next = torch.rand(n_pairs, generator=generator) < 0.5
        # A place among the sentences of the others: those behind this document lie its length further on.
        places = torch.randint(len(sentences) - len(document), (n_pairs,), generator=generator)
        places[places >= start] += len(document)
        for n in range(n_pairs):
            second = document[n + 1] if is_next[n] else sentences[places[n]]
            pairs.append((document[n], second, bool(is_next[n])))
        start += len(document)
    return pairs


def pack_pair(
    first: Sequence[int],
    second: Sequence[int],
    max_seq_len: int,
    *,
    cls_id: int,
    sep_id: int,
    pad_id: int,
) -> tuple[Int[Tensor, " T"], Int[Tensor, " T"], Bool[Tensor, " T"]]:
    """Write [CLS] first [SEP] second [SEP] and padding; if too long, the longer sentence loses its end.

    Args:
        first: its tokens.
        second: its tokens.
        max_seq_len: length of what is returned.
        cls_id: [CLS].
        sep_id: [SEP].
        pad_id: padding.
    Returns: ids; segments: 1 for second and its [SEP], else 0; mask: True = real token.
    Raises: ValueError: no room for one token of each.
    Example:
        >>> ids, segments, mask = pack_pair([7, 8], [9], 7, cls_id=1, sep_id=2, pad_id=0)
        >>> ids.tolist(), segments.tolist(), mask.sum().item()
        ([1, 7, 8, 2, 9, 2, 0], [0, 0, 0, 0, 1, 1, 0], 6)
    """
    room = max_seq_len - 3
    if room < 2:
        raise ValueError(f"a pair needs room for [CLS], two [SEP] and two tokens; got {max_seq_len} places")
    second = second[: max(room // 2, room - len(first))]
    first = first[: room - len(second)]
    left = [cls_id, *first, sep_id]
    right = [*second, sep_id]
    n_tokens = len(left) + len(right)
    n_padding = max_seq_len - n_tokens
    ids = torch.tensor(left + right + [pad_id] * n_padding)
    segments = torch.tensor([0] * len(left) + [1] * len(right) + [0] * n_padding)
    mask = torch.arange(max_seq_len) < n_tokens
    return ids, segments, mask


def shift(ids: Int[Tensor, "B T"]) -> tuple[Int[Tensor, "B T-1"], Int[Tensor, "B T-1"]]:
    """Ask each token for the next one: inputs without the last token, targets without the first.

    Args:
        ids: tokens.
    Returns: inputs; targets.
    Raises: ValueError: fewer than two tokens, or other axes.
    Example:
        >>> inputs, targets = shift(torch.tensor([[5, 3, 8]]))
        >>> inputs.tolist(), targets.tolist()
        ([[5, 3]], [[3, 8]])
    """
    if ids.ndim != 2:
        shape = tuple(ids.shape)
        raise ValueError(f"ids must have two axes, (rows, tokens): ids[None] adds one; got shape {shape}")
    if ids.shape[1] < 2:
        raise ValueError(f"the next token needs sequences of at least 2; got {ids.shape[1]}")
    return ids[:, :-1], ids[:, 1:]


def token_losses(logits: Float[Tensor, "*shape V"], targets: Int[Tensor, "*shape"]) -> Float[Tensor, " n"]:
    """The surprise, in nats, at each target that is not `IGNORE`; see `maths.cross_entropy`.

    Args:
        logits: a score for each token.
        targets: the right token, or `IGNORE`.
    Returns: in order, all in one row; in float32 where the logits have 16 bits.
    Raises: ValueError: shapes that do not fit; targets that are no whole numbers.
    Example:
        >>> token_losses(torch.zeros(3, 2), torch.tensor([1, IGNORE, 0]))  # one of two: log 2
        tensor([0.6931, 0.6931])
    """
    targets = _checked(targets, logits)
    return _cross_entropy(logits, targets, "none")[targets != IGNORE]


def token_loss(logits: Float[Tensor, "*shape V"], targets: Int[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """The mean of `token_losses`: torch's `cross_entropy`; but 0, as its gradient, where nothing is asked.

    Args:
        logits: as for `token_losses`.
        targets: as for `token_losses`.
    Returns: in nats.
    Raises: ValueError: as `token_losses`.
    Example:
        >>> token_loss(torch.zeros(3, 2), torch.tensor([1, IGNORE, 0]))
        tensor(0.6931)
    """
    targets = _checked(targets, logits)
    n_asked = (targets != IGNORE).sum()
    return _cross_entropy(logits, targets, "sum") / n_asked.clamp(min=1)


def _checked(targets: Tensor, logits: Tensor) -> Tensor:
    """All targets in one row, in the type that torch's `cross_entropy` wants."""
    if logits.shape[:-1] != targets.shape:
        expected = tuple(logits.shape[:-1])
        raise ValueError(
            f"targets must be {expected}, one for each row of scores; got {tuple(targets.shape)}"
        )
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise ValueError(f"targets must be whole numbers; got {targets.dtype}")
    return targets.flatten().long()


def _cross_entropy(logits: Tensor, targets: Tensor, reduction: str) -> Tensor:
    rows = logits.reshape(-1, logits.shape[-1])
    if rows.itemsize < 4:  # sums of 16-bit numbers are soon too rough, or too large for them
        rows = rows.float()
    return F.cross_entropy(rows, targets, ignore_index=IGNORE, reduction=reduction)
