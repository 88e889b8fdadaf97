"""The positions explorer: two of five schemes side by side, and what is left of two places in a score."""

from typing import Any

import numpy as np
import torch
import traitlets
from torch import Tensor

from course_lib.decoder import MAX_DISTANCE
from course_lib.device import seeded
from course_lib.positions import PositionEmbedding, RelativePositions
from course_lib.widgets.explorer import Explorer, assets, packed

SINUSOIDAL, LEARNED, ROTARY, ALIBI, RELATIVE = SCHEMES = (
    "sinusoidal",
    "learned",
    "rotary",
    "ALiBi",
    "relative",
)
MOST_PLACES = 512
WIDEST = 768
MOST_HEADS = 64
SEED = 0  # of what no training has changed
INK = 32_000  # the largest number of the learned table, as it travels

_ASSETS = assets(__file__, "schemes", "explorer")


class PositionsExplorer(Explorer):
    """Compare how positions reach a model: what a place gets, a score over distance, hands that turn.

    Args:
        max_seq_len: how many places are shown, at most MOST_PLACES.
        d_model: width of the vectors, even; for schemes inside attention that of a head.
        trained: how many of the places a training is supposed to have had; the others are marked.
        n_heads: how many heads ALiBi and relative positions have.
        learned: a table of position vectors (max_seq_len or more, d_model), such as a model's own; without
            one an untrained table is shown.
    Raises: ValueError: sizes or a table that cannot be shown.
    """

    _esm = _ASSETS["esm"]
    _css = _ASSETS["css"]
    # All that follows from these the page computes, with or without a kernel.
    left = traitlets.Enum(SCHEMES, SINUSOIDAL).tag(sync=True)
    right = traitlets.Enum(SCHEMES, LEARNED).tag(sync=True)
    pairs = traitlets.Bool(False).tag(sync=True)  # show each place with each, and not what each place gets
    query = traitlets.Int(0).tag(sync=True)  # its place, counted from 0
    key = traitlets.Int(0).tag(sync=True)
    pair = traitlets.Int(0).tag(sync=True)  # of coordinates: the hand whose wave is drawn
    head = traitlets.Int(0).tag(sync=True)
    parts = traitlets.Bool(False).tag(sync=True)  # show below the curves how a score comes about
    # What no formula gives: the learned table, and a relative score for each head and offset.
    tables = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        max_seq_len: int = 64,
        d_model: int = 32,
        trained: int = 32,
        *,
        n_heads: int = 4,
        learned: Tensor | None = None,
    ) -> None:
        super().__init__()
        n, width = _checked("max_seq_len", max_seq_len, MOST_PLACES), _checked("d_model", d_model, WIDEST)
        trained, n_heads = _checked("trained", trained, n), _checked("n_heads", n_heads, MOST_HEADS)
        if width % 2:
            raise ValueError(f"d_model must be even, because coordinates turn in pairs; got {width}.")
        self._limits = {"query": n, "key": n, "pair": width // 2, "head": n_heads}
        table = _untrained(n, width) if learned is None else _given(learned, n, width)
        largest = table.abs().max().item() or 1.0
        farthest = min(MAX_DISTANCE, trained - 1)
        self.tables = {
            "learned": packed((table * (INK / largest)).round(), np.int16),
            "unit": largest / INK,
            "relative": packed(_relative(width, farthest, n_heads), np.float32),
        }
        sizes = {"n_places": n, "d_model": width, "trained": trained, "n_heads": n_heads}
        self.show_state(**sizes, farthest=farthest, isGiven=learned is not None, error="")
        # Where all places are trained, two tables; beyond, a table and what asks for the distance alone.
        self.right = LEARNED if learned is not None or trained == n else ROTARY
        self.query, self.key = n // 3, n // 5

    @traitlets.validate("query", "key", "pair", "head")
    def _check_choice(self, proposal: Any) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        if not 0 <= value < self._limits[name]:
            raise ValueError(f"{name} must be from 0 to {self._limits[name] - 1}; got {value}.")
        return value


def _untrained(n: int, width: int) -> Tensor:
    with seeded(SEED):
        return PositionEmbedding(n, width).weight.detach()


def _given(learned: Any, n: int, width: int) -> Tensor:
    if not isinstance(learned, Tensor) or learned.ndim != 2:
        shape = tuple(learned.shape) if isinstance(learned, Tensor) else type(learned).__name__
        raise ValueError(f"learned must be a tensor (places, d_model); got {shape}.")
    if learned.shape[1] != width or len(learned) < n:
        raise ValueError(
            f"learned must have at least {n} rows (max_seq_len) of width {width} (d_model); "
            f"got {len(learned)} of {learned.shape[1]}."
        )
    table = learned.detach().cpu().double()[:n]
    if not table.isfinite().all():
        raise ValueError("learned must hold finite numbers; got infinity or NaN.")
    return table


def _relative(width: int, farthest: int, n_heads: int) -> Tensor:
    """What each head adds at the offsets from -farthest to farthest: (n_heads, 2 * farthest + 1)."""
    n = 2 * farthest + 1
    with seeded(SEED), torch.no_grad():
        relative = RelativePositions(width, farthest)
        queries = torch.randn(1, n_heads, 1, width)  # each head asks with its own
        return relative(queries.expand(-1, -1, n, -1), n)[0, :, farthest]


def _checked(name: str, value: Any, most: int) -> int:
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most}; got {value!r}.")
    return value
