"""What do heads of trained models look at, and heads with random weights?"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.concepts.c04_multi_head.experiments.real_models import (
    Model,
    distance,
    pieces,
    score,
    untrained,
    weights_of,
)
from course_lib.device import seeded
from course_lib.encoder import BERT


@dataclass(frozen=True)
class HeadScores:
    """What heads give to related tokens, averaged over texts: from 0 to 1.

    Args:
        trained: by relation the mean weight of each head (layers, heads).
        fresh: the same with random weights.
        others: what other tokens give to the places where earlier ones of the same token stand.
        n_pairs: how many pairs of the same token there are.
    """

    trained: Mapping[str, Tensor]
    fresh: Mapping[str, Tensor]
    others: Tensor
    n_pairs: int

    @property
    def by_others(self) -> float:
        """What other tokens give to the places where the best head for the same token looks."""
        return self.others.flatten()[self.trained["the same token"].argmax()].item()


def head_scores(
    smollm2: Model, minilm: Model, *, seed: int = 0, n_texts: int = 10, length: int = 32
) -> HeadScores:
    """What do heads of trained models look at, and heads with random weights?

    Args:
        smollm2, minilm: models and their tokenizers; MiniLM is asked for the token after, which it may see.
        seed: which reviews are read, and the random weights.
        n_texts, length: how many pieces of reviews, and tokens in each.
    """
    (model, tokenizer), (reader, wordpiece) = smollm2, minilm
    with seeded(seed):
        random_reader = BERT(reader.config)
    ids = pieces(tokenizer.encode, seed, n=n_texts, length=length)
    back = distance(length)
    same = (ids[:, :, None] == ids[:, None]) & (back > 0)
    asked_by_others = same.any(1)[:, None] & (back > 0) & ~same  # the same places
    related = {
        "the token before": back == 1,
        "the first token": (back > 0) & (torch.arange(length) == 0),
        "the same token": same,
    }
    begin, end = wordpiece.frame("")[0]  # the marks around a text
    inner = pieces(wordpiece.encode, seed, n=n_texts, length=length - 2)
    framed = F.pad(F.pad(inner, (1, 0), value=begin), (0, 1), value=end)

    def scores_of(weights: Tensor, encoder: nn.Module) -> dict[str, Tensor]:
        scores = {name: score(weights, where) for name, where in related.items()}
        return scores | {"the token after (MiniLM)": score(weights_of(encoder, framed), back == -1)}

    weights = weights_of(model, ids)
    return HeadScores(
        trained=scores_of(weights, reader),
        fresh=scores_of(weights_of(untrained(model, seed), ids), random_reader),
        others=score(weights, asked_by_others),
        n_pairs=int(same.sum()),
    )
