"""Is each head another graph over the tokens?"""

from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.concepts.c04_multi_head.experiments.real_models import Model, pieces, untrained, weights_of


@dataclass(frozen=True)
class Graphs:
    """How much the heads of a model differ as graphs over the tokens of several texts.

    Args:
        row_error: by how much the weights that a token gives miss 1, at most.
        moved: for each two heads the share of their weight that would have to move to make one the other; the
            first token, where heads park their weight, is left out, and the rest of each row adds up to 1.
        random: the same for heads with random weights.
    """

    row_error: float
    moved: Tensor
    random: Tensor

    @property
    def typical(self) -> float:
        """The share that two heads differ in, on average."""
        return _without_itself(self.moved).mean().item()

    @property
    def fresh(self) -> float:
        """The same with random weights."""
        return _without_itself(self.random).mean().item()

    @property
    def twins(self) -> float:
        """The share of heads that have another which differs in less than a tenth."""
        return (_without_itself(self.moved).amin(1) < 0.1).float().mean().item()


def graphs(smollm2: Model, *, seed: int = 0, n_texts: int = 20, length: int = 24) -> Graphs:
    """Is each head another graph over the tokens?

    Rival: a model of the same shape with random weights.
    Equal for both: texts, places, and the first token, which is left out.
    Does not show: whether the differences matter; for that, heads are switched off.

    Args:
        smollm2: the model and its tokenizer.
        seed: which reviews are read, and the random weights.
        n_texts, length: how many pieces of reviews, and tokens in each.
    """
    model, tokenizer = smollm2
    ids = pieces(tokenizer.encode, seed, n=n_texts, length=length)
    weights = weights_of(model, ids)
    return Graphs(
        row_error=(weights.sum(-1) - 1).abs().max().item(),
        moved=moved(weights),
        random=moved(weights_of(untrained(model, seed), ids)),
    )


def moved(weights: Tensor) -> Tensor:
    """What share of its weight would have to move to make one head another: (N, N), see `Graphs`.

    Args:
        weights: as `weights_of` gives them.
    """
    heads = weights[..., 2:, 1:].flatten(1, 2).transpose(0, 1)  # the second token would see itself alone
    heads = heads / heads.sum(-1, keepdim=True).clamp(min=1e-12)
    n_rows = heads[0, ..., 0].numel()
    rows = heads.flatten(1)
    return torch.cdist(rows, rows, p=1) / (2 * n_rows)


def _without_itself(table: Tensor) -> Tensor:
    """The table without its diagonal: (N, N - 1)."""
    return table[~torch.eye(len(table), dtype=torch.bool)].view(len(table), -1)
