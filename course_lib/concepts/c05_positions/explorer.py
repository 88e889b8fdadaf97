"""The positions explorer: what a place is to a model, in five schemes, and what is left of it in a score."""

from typing import Any

import numpy as np
import torch
import traitlets
from torch import Tensor

from course_lib.decoder import MAX_DISTANCE
from course_lib.device import seeded
from course_lib.positions import (
    ALiBi,
    PositionEmbedding,
    RelativePositions,
    apply_rotary,
    rotary_at,
    rotary_table,
    sinusoidal,
)
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
LARGEST = 10  # number of a table
SEED = 0  # of what no training has changed
SAME = 1e-4  # products that are no farther apart, as a share of the largest, differ by rounding only
UNITS = 10_000  # products travel in ten-thousandths
INK = 30_000  # the strongest colour of a table
MOST_TOLD_APART = 0.99  # share of a table's numbers below the strongest colour
ABOUT = (
    "A query stands at one place and a key at another; the contents of both are the same, so that only the "
    "places make a difference. Click on the pattern for another query, with Shift for another key; where "
    "keys stand to the right, one click chooses both. Click on the curve for a key at that distance. "
    "Keyboard, on Query or Key: arrows go to the next place, with Shift both go together. No kernel is "
    "needed."
)

_ASSETS = assets(__file__)


class PositionsExplorer(Explorer):
    """Compare how positions reach a model: the pattern of a scheme, a score over distance, hands that turn.

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
    # Choices of the page, which an exported page can make without Python.
    scheme = traitlets.Enum(SCHEMES, SINUSOIDAL).tag(sync=True)
    query = traitlets.Int(0).tag(sync=True)  # its place, counted from 0
    key = traitlets.Int(0).tag(sync=True)
    pair = traitlets.Int(0).tag(sync=True)  # of coordinates: the hand that is drawn
    head = traitlets.Int(0).tag(sync=True)
    # All that is shown of each scheme, by name.
    views = traitlets.Dict().tag(sync=True)

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
        trained = _checked("trained", trained, n)
        if width % 2:
            raise ValueError(f"d_model must be even, because coordinates turn in pairs; got {width}.")
        self._limits = {"query": n, "key": n, "pair": width // 2, "head": _checked("n_heads", n_heads, 64)}
        self.views = {
            SINUSOIDAL: _sinusoidal(n, width),
            LEARNED: _learned(n, width, learned),
            ROTARY: _rotary(n, width, trained),
            ALIBI: _alibi(n, n_heads),
            RELATIVE: _relative(n, width, trained, n_heads),
        }
        self.show_state(about=ABOUT, schemes=[*SCHEMES], n_places=n, trained=trained, error="")
        self.query, self.key, self.pair = n // 3, n // 5, min(2, width // 2 - 1)

    @traitlets.validate("query", "key", "pair", "head")
    def _check_choice(self, proposal: Any) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        if not 0 <= value < self._limits[name]:
            raise ValueError(f"{name} must be from 0 to {self._limits[name] - 1}; got {value}.")
        return value


def _sinusoidal(n: int, width: int) -> dict[str, Any]:
    table = sinusoidal(n, width)
    new = "The formula has a vector there too, but a model trained on the others has never met it."
    return _view(
        table @ table.T,
        label="sinusoidal, added to the vectors",
        text=(
            f"Sinusoidal: a fixed vector of {width} sines and cosines for each of {n} places, added to the "
            "vector of the token. Each pair of them is a hand that turns, quick ones first."
        ),
        product="Product of both position vectors",
        pattern="Vectors: places down, pairs to the right",
        table=table,
        steps=_steps(width),
        beyond=[new, new],
    )


def _learned(n: int, width: int, given: Tensor | None) -> dict[str, Any]:
    if given is None:
        with seeded(SEED):
            table = PositionEmbedding(n, width).weight.detach()
        origin = "No table was given, so these are the random numbers of an untrained one."
    else:
        if not isinstance(given, Tensor) or given.ndim != 2:
            shape = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise ValueError(f"learned must be a tensor (places, d_model); got {shape}.")
        if given.shape[1] != width or len(given) < n:
            raise ValueError(
                f"learned must have at least {n} rows (max_seq_len) of width {width} (d_model); "
                f"got {len(given)} of {given.shape[1]}."
            )
        table = given.detach().cpu().float()[:n]
        largest = table.abs().max().item()
        if not largest <= LARGEST:  # `not` catches NaN, too
            raise ValueError(f"learned must hold numbers from {-LARGEST} to {LARGEST}; got {largest}.")
        origin = "This is the table that was given."
    new = "No training has reached such a row: it is still random, as it was at the start."
    return _view(
        table @ table.T,
        label="learned, added to the vectors",
        text=(
            f"Learned: a row of {width} numbers for each of {n} places, parameters like any other, added to "
            f"the vector of the token. {origin}"
        ),
        product="Product of both position vectors",
        pattern="Vectors: places down, numbers to the right",
        table=table,
        beyond=[new, new],
    )


def _rotary(n: int, width: int, trained: int) -> dict[str, Any]:
    cos, sin = rotary_table(width, n)
    turned = apply_rotary(torch.ones(n, width), cos, sin, interleaved=True)
    slow = sum((trained - 1) * step < 180 for step in _steps(width))
    never = f"{slow} of the {width // 2} pairs were never half a turn apart there: long ones turn them to"
    return _view(
        turned @ turned.T / width,
        label="rotary, turns queries and keys",
        text=(
            f"Rotary: nothing is added. Each pair of the {width} numbers of a query or a key is a hand, "
            f"turned by its place, quick ones first. Shown for {n} places."
        ),
        product="Mean cosine of the angles",
        pattern="Cosines: places down, pairs to the right",
        table=cos,
        steps=_steps(width),
        beyond=[
            _SEEN_DISTANCE,
            "Their distance is longer than any in training. "
            + (f"{never} angles that are new." if slow else "But each pair was half a turn apart there too."),
        ],
    )


def _alibi(n: int, n_heads: int) -> dict[str, Any]:
    alibi = ALiBi(n_heads)
    return _view(
        alibi(torch.zeros(1, n_heads, n, 1), n),
        label="ALiBi, added to the scores",
        text=(
            "ALiBi: no vectors. The score of a key is lowered by its distance times the slope of the head. "
            f"Shown for {n} × {n} scores."
        ),
        product="Added to the score",
        pattern="Added: queries down, keys to the right",
        beyond=[
            _SEEN_DISTANCE,
            "Their distance is longer than any in training, and the same straight line goes on downwards.",
        ],
    )


def _relative(n: int, width: int, trained: int, n_heads: int) -> dict[str, Any]:
    farthest = min(MAX_DISTANCE, trained - 1)
    with seeded(SEED):
        relative = RelativePositions(width, farthest)
        queries = torch.randn(1, n_heads, 1, width)  # each head asks with its own
    with torch.no_grad():
        bias = relative(queries.expand(-1, -1, n, -1), n)[0]
    return _view(
        bias,
        label="relative, added to the scores",
        text=(
            "Relative: a learned vector for each distance, with which the query is compared; what is farther "
            f"than {farthest} counts as {farthest}. Shown for {n} × {n} scores. The vectors are untrained, "
            "random: look at what is equal, not at what is large."
        ),
        product="Added to the score",
        pattern="Added: queries down, keys to the right",
        beyond=[
            _SEEN_DISTANCE,
            f"Their distance is longer than any in training, but it counts as {farthest}: nothing new.",
        ],
    )


_SEEN_DISTANCE = "Their distance occurred in training, and nothing else counts in the score: nothing new."


def _view(
    products: Tensor,
    *,
    label: str,
    text: str,
    product: str,
    pattern: str,
    beyond: list[str],
    table: Tensor | None = None,
    steps: list[float] | None = None,
) -> dict[str, Any]:
    """All that is shown of one scheme.

    Args:
        products: of each query's place with each key's, (n, n), or (H, n, n) for what heads add to scores.
        label, text: the scheme, in short and in a few sentences.
        product: what a product is called.
        pattern: what the pattern shows, and in which direction.
        beyond: what is new where a place lies beyond training, two sentences: at a distance that occurred
            there, at a longer one.
        table: the pattern of a scheme that has a row for each place; for others the products are the pattern.
        steps: by how many degrees each pair turns from place to place.
    """
    n_heads = len(products) if products.ndim == 3 else 0
    products = products.detach().double().reshape(-1, *products.shape[-2:])
    n = products.shape[-1]
    means = torch.stack([products.diagonal(offset, 1, 2).mean(1) for offset in range(1 - n, n)], 1)
    offsets = torch.arange(n) - torch.arange(n)[:, None]
    spread = (products - means[:, offsets + n - 1]).abs().max()
    largest = products.abs().max()
    is_offset_only = bool(spread <= SAME * largest)
    is_symmetric = bool((means - means.flip(1)).abs().max() <= SAME * largest)
    sent = (UNITS * (means if is_offset_only else products)).round()
    n_columns = 0 if table is None else table.shape[1]
    # Not the largest: one number of MiniLM's table is ten times as large as nearly all others.
    strongest = 1.0 if table is None else max(table.abs().quantile(MOST_TOLD_APART).item(), 1e-4)
    shares = torch.zeros(0) if table is None else (table / strongest).clamp(-1, 1)
    return {
        "label": label,
        "text": text,
        "product": product,
        "pattern": pattern,
        "beyond": beyond,
        "n_heads": n_heads,
        "steps": steps or [],
        # One for each offset of the key where the offset decides alone, else one for each two places.
        "products": packed(sent, np.int32),
        "is_offset_only": is_offset_only,
        "dependence": (
            "It depends on the distance alone: it stays if both move on, and if they change places."
            if is_symmetric
            else "It depends on the offset alone: it stays if both move on, but not if they change places."
        ),
        "ends": [int(sent.min()), int(sent.max())],
        "columns": n_columns,
        "per_pair": n_columns // len(steps) if steps else 0,
        "table": packed((INK * shares).round(), np.int16),
        "strongest": round(UNITS * strongest),
    }


def _steps(width: int) -> list[float]:
    """Degrees by which each pair turns from one place to the next."""
    cos, sin = rotary_at(torch.ones(1), width)
    return torch.atan2(sin[0].double(), cos[0].double()).rad2deg().tolist()


def _checked(name: str, value: Any, most: int) -> int:
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"{name} must be a whole number from 1 to {most}; got {value!r}.")
    return value
