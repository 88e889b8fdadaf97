"""The attention stepper: attention on a few tokens, step by step, in numbers that one can check by hand."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import traitlets
from numpy.typing import ArrayLike, NDArray

from course_lib import maths
from course_lib.widgets.explorer import Explorer, assets

STAGES = ("scores", "scale", "mask", "softmax", "mix")
# Comes before the others where queries, keys and values are made from x.
PROJECT = "project"
MASKS = ("off", "causal", "custom")
LARGEST = 8  # rows and columns: more are no longer checked by hand
_MATRICES = {"q": "w_q", "k": "w_k", "v": "w_v"}
_FROM_X = ("x", *_MATRICES.values())
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)

_ASSETS = assets(__file__, "attend", "parts", "steps", "explorer")
_EXAMPLE: dict[str, Any] = {
    "tokens": ["the", "cat", "it"],
    "q": [[1, 0, 0], [0, 1, 1], [1, 0, 2]],
    "k": [[1, 0, 0], [0.5, 2, 1], [0, 1, 0.5]],
    "v": [[1, 0, 0.5], [0, 2, 1], [-1, 1, 0]],
}


class AttentionStepper(Explorer):
    """Step through attention on an example small enough to check by hand.

    A query says what a token looks for, a key what it is found by, a value what it hands over.

        project: q = x w_q, k = x w_k, v = x w_v, if x is given
        scores = q k^T;  scale: / sqrt(K);  mask: forbidden = -inf;  softmax: weights;  mix: weights v

    Args:
        tokens: one name per query.
        q, k, v: (T, K), (S, K) and (S, D); at most 8 rows and columns.
        x, w_q, w_k, w_v: in place of q, k and v: (T, C), (C, K), (C, K) and (C, D). The first step then shows
            how they make q, k and v.
        key_tokens: one name per key; left out, the queries' tokens: self-attention.
        mask: "off", "causal" or "custom".
        custom_mask: (T, S), True = may attend; left out, everything is allowed.
        stage: the step that is shown: "scores", "scale", "mask", "softmax" or "mix", or "project" if x is
            given; left out, the first.
    Raises: ValueError: names or numbers that do not fit together.
    Example:
        >>> AttentionStepper().numbers("scores").tolist()
        [[1.0, 0.5, 0.0], [0.0, 3.0, 1.5], [1.0, 2.5, 1.0]]
    """

    _esm = _ASSETS["esm"]
    _css = _ASSETS["css"]

    stage = traitlets.Enum((PROJECT, *STAGES), "scores").tag(sync=True)
    mask = traitlets.Enum(MASKS, "off").tag(sync=True)

    def __init__(
        self,
        tokens: Sequence[str] | None = None,
        q: ArrayLike | None = None,
        k: ArrayLike | None = None,
        v: ArrayLike | None = None,
        *,
        x: ArrayLike | None = None,
        w_q: ArrayLike | None = None,
        w_k: ArrayLike | None = None,
        w_v: ArrayLike | None = None,
        key_tokens: Sequence[str] | None = None,
        mask: str = "off",
        custom_mask: ArrayLike | None = None,
        stage: str | None = None,
    ) -> None:
        super().__init__()
        given = _given(
            {"tokens": tokens, "q": q, "k": k, "v": v},
            {"x": x, "w_q": w_q, "w_k": w_k, "w_v": w_v},
            key_tokens,
        )
        self._parts: dict[str, Any] = _checked(
            {**given, "key_tokens": key_tokens, "custom_mask": custom_mask}
        )
        stages = STAGES if self._parts["x"] is None else (PROJECT, *STAGES)
        self._check_choice("mask", mask, MASKS)
        self._check_choice("stage", stages[0] if stage is None else stage, stages)
        self._first = (self._parts, mask)
        self.mask, self.stage = mask, stages[0] if stage is None else stage
        self._show()

    def update(self, **changes: Any) -> None:
        """Replace some of tokens, key_tokens, q, k, v and custom_mask at once, and recompute.

        Where q, k and v are made from x, replace x, w_q, w_k and w_v instead.

        Raises: ValueError: the new whole does not fit together; nothing is changed then.
        """
        known = ("tokens", "key_tokens", *self._inputs(), "custom_mask")
        unknown = [name for name in changes if name not in known]
        if unknown:
            raise ValueError(f"AttentionStepper has no {unknown[0]!r} to set; it has {', '.join(known)}.")
        self._parts = _checked({**self._parts, **changes})
        self._show()

    @property
    def q(self) -> NDArray[np.float64]:
        """The queries, (T, K); a copy."""
        return self._parts["q"].copy()

    @property
    def k(self) -> NDArray[np.float64]:
        """The keys, (S, K); a copy."""
        return self._parts["k"].copy()

    @property
    def v(self) -> NDArray[np.float64]:
        """The values, (S, D); a copy."""
        return self._parts["v"].copy()

    def allowed(self, mask: str | None = None) -> NDArray[np.bool_]:
        """The mask in use, or the one named: (T, S), True = may attend."""
        n_queries, n_keys = len(self._parts["q"]), len(self._parts["k"])
        kind = self.mask if mask is None else mask
        if kind == "causal":
            # As `causal_mask` in `attention`, which would need torch: the last query stands at the last key.
            return np.tri(n_queries, n_keys, k=n_keys - n_queries, dtype=bool)
        if kind == "custom" and self._parts["custom_mask"] is not None:
            return self._parts["custom_mask"].copy()
        return np.ones((n_queries, n_keys), dtype=bool)

    def numbers(self, stage: str) -> maths.Array:
        """The numbers of one of `STAGES` under the mask in use; forbidden pairs are -inf after "mask"."""
        self._check_choice("stage", stage, STAGES)
        q, k, v, allowed = self._parts["q"], self._parts["k"], self._parts["v"], self.allowed()
        if stage == "softmax":
            return maths.attention_weights(q, k, allowed)
        if stage == "mix":
            return maths.attention(q, k, v, allowed)
        scores = q @ k.T
        if stage == "scores":
            return scores
        scaled = scores / math.sqrt(q.shape[1])
        return scaled if stage == "scale" else np.where(allowed, scaled, -np.inf)

    def on_edit(self, array: str, row: int, column: int, text: str) -> None:
        """The page: one number of an input table was typed."""
        self._check_choice("array", array, self._inputs())
        changed = self._parts[array].copy()
        row, column = self._check_place(row, column, changed.shape)
        changed[row, column] = _number(text)
        self.update(**{array: changed})

    def on_name(self, side: str, row: int, text: str) -> None:
        """The page: one token was renamed."""
        self._check_choice("side", side, ("tokens", "key_tokens"))
        names = list(self._parts[side] or self._parts["tokens"])
        row, _ = self._check_place(row, 0, (len(names), 1))
        names[row] = text
        self.update(**{side: names})

    def on_toggle(self, row: int, column: int) -> None:
        """The page: one pair was allowed or forbidden; what else the mask in use says stays."""
        allowed = self.allowed()
        row, column = self._check_place(row, column, allowed.shape)
        allowed[row, column] = not allowed[row, column]
        self._parts = {**self._parts, "custom_mask": allowed}
        self.on_mask("custom")

    def on_mask(self, choice: str) -> None:
        """The page: another mask was chosen."""
        self._check_choice("mask", choice, MASKS)
        self.mask = choice
        self._show()

    def on_reset(self) -> None:
        """The page: back to the numbers, the names and the mask it began with."""
        self._parts, self.mask = self._first
        self._show()

    def _inputs(self) -> tuple[str, ...]:
        """The tables that a reader may change: all others follow from them."""
        return ("q", "k", "v") if self._parts["x"] is None else _FROM_X

    @traitlets.observe("mask")
    def _show(self, _: Any = None) -> None:
        first, first_mask = self._first
        self.show_state(
            **self._given_by(self._parts),
            first={**self._given_by(first), "mask": first_mask},
            **{name: self._parts[name].tolist() for name in "qkv"},
            allowed=self.allowed().tolist(),
            **{stage: self.numbers(stage).tolist() for stage in STAGES if stage != "mask"},
        )

    def _given_by(self, parts: Mapping[str, Any]) -> dict[str, Any]:
        """What a reader may change, as JSON: all that the page needs to go on without Python."""
        custom = parts["custom_mask"]
        return {
            "tokens": parts["tokens"],
            "key_tokens": parts["key_tokens"],
            "inputs": {name: parts[name].tolist() for name in self._inputs()},
            "custom_mask": None if custom is None else custom.tolist(),
        }

    @staticmethod
    def _check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}.")

    @staticmethod
    def _check_place(row: Any, column: Any, shape: tuple[int, ...]) -> tuple[int, int]:
        for name, value, size in (("row", row, shape[0]), ("column", column, shape[1])):
            if type(value) is not int or not 0 <= value < size:
                raise ValueError(f"{name} must be a whole number from 0 to {size - 1}; got {value!r}.")
        return row, column


def _given(direct: dict[str, Any], from_x: dict[str, Any], key_tokens: Any) -> dict[str, Any]:
    """The inputs of a new stepper: those given, with None for those that are not needed, or the example."""
    if any(value is not None for value in from_x.values()):
        both = [name for name in ("q", "k", "v") if direct[name] is not None]
        if both:
            raise ValueError(f"{both[0]} comes from x here: give q, k and v, or x, w_q, w_k and w_v.")
        wanted = {"tokens": direct["tokens"], **from_x}
    elif key_tokens is None and all(value is None for value in direct.values()):
        return {**_EXAMPLE, **from_x}
    else:
        wanted = direct
    missing = [name for name, value in wanted.items() if value is None]
    if missing:
        *names, last = wanted
        raise ValueError(
            f"Give {', '.join(names)} and {last} together, or none; missing: {', '.join(missing)}."
        )
    return {**direct, **from_x}


def _checked(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The parts in the form in which they are kept, if they fit together."""
    tokens = _names("tokens", parts["tokens"])
    key_tokens = None if parts["key_tokens"] is None else _names("key_tokens", parts["key_tokens"])
    if parts["x"] is None:
        made = {name: _matrix(name, parts[name]) for name in "qkv"}
    else:
        made = _projected(parts, tokens, key_tokens)
    q, k, v = (made[name] for name in "qkv")
    if q.shape[1] != k.shape[1]:
        raise ValueError(f"q and k must have the same width: q has {q.shape[1]}, k has {k.shape[1]}.")
    if len(k) != len(v):
        raise ValueError(f"k and v must have one row per key: k has {len(k)} rows, v has {len(v)}.")
    _check_one_name_per_row("q", q, "tokens", tokens)
    if key_tokens is None:
        _check_one_name_per_row("k", k, "tokens", tokens)
    else:
        _check_one_name_per_row("k", k, "key_tokens", key_tokens)
    custom = _mask(parts["custom_mask"], (len(q), len(k)))
    return {**parts, **made, "tokens": tokens, "key_tokens": key_tokens, "custom_mask": custom}


def _projected(
    parts: Mapping[str, Any], tokens: list[str], key_tokens: list[str] | None
) -> dict[str, NDArray[np.float64]]:
    """x and its matrices in the form in which they are kept, and the q, k and v that they make."""
    if key_tokens is not None:
        raise ValueError("x makes queries, keys and values of the same tokens: leave out key_tokens.")
    made = {name: _matrix(name, parts[name]) for name in _FROM_X}
    x = made["x"]
    _check_one_name_per_row("x", x, "tokens", tokens)
    for name, matrix in _MATRICES.items():
        if len(made[matrix]) != x.shape[1]:
            raise ValueError(
                f"{matrix} must have one row per column of x: x has {x.shape[1]} columns, {matrix} has "
                f"{len(made[matrix])} rows. (A Linear's weight is stored the other way: give its transpose.)"
            )
        made[name] = x @ made[matrix]
    if made["w_q"].shape[1] != made["w_k"].shape[1]:
        widths = f"w_q has {made['w_q'].shape[1]}, w_k has {made['w_k'].shape[1]}"
        raise ValueError(f"w_q and w_k must have the same number of columns: {widths}.")
    return made


def _check_one_name_per_row(name: str, rows: NDArray[np.float64], label: str, names: list[str]) -> None:
    if len(rows) != len(names):
        raise ValueError(
            f"{name} must have one row per token: {name} has {len(rows)} rows, "
            f"{label} has {len(names)} names."
        )


def _mask(mask: Any, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    if mask is None:
        return None
    mask = np.array(mask)
    if mask.dtype != bool or mask.shape != shape:
        raise ValueError(
            f"custom_mask must be boolean of shape {shape}, True = may attend; "
            f"got {mask.dtype} of shape {mask.shape}."
        )
    return mask


def _names(label: str, names: Any) -> list[str]:
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise ValueError(f"{label} must be a list of names; got {names!r}.")
    if not 1 <= len(names) <= LARGEST:
        raise ValueError(f"{label} must hold 1 to {LARGEST} names; got {len(names)}.")
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"A token needs a name of at least one visible character; got “{name}”.")
    return [name.strip() for name in names]


def _matrix(label: str, numbers: Any) -> NDArray[np.float64]:
    try:
        matrix = np.array(numbers, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"{label} must be rows of numbers, all of one length; got {numbers!r}.") from None
    if matrix.ndim != 2 or not all(1 <= size <= LARGEST for size in matrix.shape):
        raise ValueError(
            f"{label} must be a table of 1 to {LARGEST} rows and columns; got shape {matrix.shape}."
        )
    if not np.isfinite(matrix).all() or np.abs(matrix).max() >= 1e6:
        raise ValueError(f"{label} must hold numbers below a million; got {matrix.tolist()}.")
    return matrix


def _number(text: Any) -> float:
    cleaned = str(text).strip().replace("−", "-").replace(",", ".")
    if not _NUMBER.fullmatch(cleaned):
        raise ValueError(f"Type a number such as 0.5; got “{text!s:.20}”.")
    value = float(cleaned)
    if abs(value) >= 1e6:
        raise ValueError(f"Type a number below a million; got “{text!s:.20}”.")
    return value
