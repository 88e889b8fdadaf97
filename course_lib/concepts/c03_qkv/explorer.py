"""The attention stepper: from tokens or queries to a mix of values, every number traceable to its inputs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import traitlets
from numpy.typing import ArrayLike, NDArray

from course_lib import maths
from course_lib.widgets.explorer import Explorer, assets, format_number

# Title, formula, and what one number is called.
_STAGES = {
    "scores": ("Scores", "q · k", "score"),
    "scale": ("Scale", "scores / √{width}", "scaled"),
    "mask": ("Mask", "{mask}", "masked"),
    "softmax": ("Softmax", "each row sums to 1", "weight"),
    "mix": ("Mix", "weights · v", "output"),
}
_MASKS = {"off": "nothing forbidden", "causal": "no later tokens", "custom": "your choice"}
STAGES = tuple(_STAGES)
# Comes before the others where queries, keys and values are made from x.
PROJECT = "project"
MASKS = tuple(_MASKS)
# Every number has a sentence of its own that travels to the page; more are no longer checked by hand anyway.
LARGEST = 8

# Title, and what it is for: the words of the course.
_ROLES = {
    "x": ("Tokens x", "one vector for each token"),
    "w_q": ("W_Q", "makes the queries"),
    "w_k": ("W_K", "makes the keys"),
    "w_v": ("W_V", "makes the values"),
    "q": ("Queries q", "what each token looks for"),
    "k": ("Keys k", "what each token is found by"),
    "v": ("Values v", "what each token hands over"),
}
_MATRICES = {"q": "w_q", "k": "w_k", "v": "w_v"}
_FROM_X = ("x", *_MATRICES.values())

_ASSETS = assets(__file__)
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
        stage: the last stage drawn: "scores", "scale", "mask", "softmax" or "mix", or "project" if x is
            given; left out, the first.
    Raises: ValueError: names or numbers that do not fit together.
    Example:
        >>> stepper = AttentionStepper()
        >>> stepper.trace("scores", 2, 1)
        'score(it → cat) = 1·0.5 + 0·2 + 2·1 = 2.5'
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
        self._first = self._parts
        stages = self._stage_names()
        self._check_choice("mask", mask, MASKS)
        self._check_choice("stage", stages[0] if stage is None else stage, stages)
        self._show()
        self.mask, self.stage = mask, stages[0] if stage is None else stage

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

    def numbers(self, stage: str) -> NDArray[np.float64]:
        """The numbers of one of `STAGES` under the mask in use; forbidden pairs are -inf after "mask"."""
        self._check_choice("stage", stage, STAGES)
        return self._numbers(self.allowed())[stage]

    def trace(self, stage: str, row: int, column: int) -> str:
        """How one number comes about, as the page writes it; stage "q", "k" or "v" where they come from x."""
        projections = {made["name"]: made for made in self.state["projections"]}
        if stage in projections:
            return projections[stage]["traces"][row][column]
        self._check_choice("stage", stage, STAGES)
        return self.state["stages"][self.mask][STAGES.index(stage)]["traces"][row][column]

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
        """The page: one pair of the custom mask was allowed or forbidden."""
        allowed = self.allowed("custom")
        row, column = self._check_place(row, column, allowed.shape)
        allowed[row, column] = not allowed[row, column]
        self.update(custom_mask=allowed)

    def on_reset(self) -> None:
        """The page: back to the numbers and names it began with."""
        self._parts = self._first
        self._show()

    def _inputs(self) -> tuple[str, ...]:
        """The tables that a reader may change: all others follow from them."""
        return ("q", "k", "v") if self._parts["x"] is None else _FROM_X

    def _stage_names(self) -> tuple[str, ...]:
        return STAGES if self._parts["x"] is None else (PROJECT, *STAGES)

    def _show(self) -> None:
        tokens, key_tokens = self._row_names()
        self.show_state(
            tokens=tokens,
            key_tokens=key_tokens,
            self_attention=self._parts["key_tokens"] is None,
            input_names=[*self._inputs()],
            inputs={name: _input_texts(self._parts[name]) for name in self._inputs()},
            roles={name: {"title": title, "meaning": meaning} for name, (title, meaning) in _ROLES.items()},
            projections=[] if self._parts["x"] is None else [self._projection(name) for name in _MATRICES],
            stages={kind: self._stages(kind) for kind in MASKS},
        )

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

    def _numbers(self, allowed: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
        q, k, v = (self._parts[name] for name in "qkv")
        scores = q @ k.T
        scaled = scores / math.sqrt(q.shape[1])
        return {
            "scores": scores,
            "scale": scaled,
            "mask": np.where(allowed, scaled, -np.inf),
            "softmax": maths.attention_weights(q, k, allowed),
            "mix": maths.attention(q, k, v, allowed),
        }

    def _projection(self, name: str) -> dict[str, Any]:
        """Queries, keys or values as the page shows them where they are made from x."""
        title, meaning = _ROLES[name]
        x, weights, made = (self._parts[part] for part in ("x", _MATRICES[name], name))
        formula = f"x {_ROLES[_MATRICES[name]][0]}: {meaning}"
        rows = self._parts["tokens"]
        columns = [str(j + 1) for j in range(made.shape[1])]
        cells = [[_cell(number) for number in row] for row in made.tolist()]
        traces = [
            [
                f"{name}({row}, {column}) {_trace_product(x[t], weights[:, j])}"
                for j, column in enumerate(columns)
            ]
            for t, row in enumerate(rows)
        ]
        return _step(name, title, formula, rows, columns, cells, traces)

    def _stages(self, kind: str) -> list[dict[str, Any]]:
        """Everything the page shows of each stage, so that it never computes."""
        allowed = self.allowed(kind)
        numbers = self._numbers(allowed)
        return [self._stage(name, kind, numbers, allowed) for name in STAGES]

    def _stage(
        self,
        name: str,
        kind: str,
        numbers: Mapping[str, NDArray[np.float64]],
        allowed: NDArray[np.bool_],
    ) -> dict[str, Any]:
        title, template, word = _STAGES[name]
        formula = template.format(width=self._parts["q"].shape[1], mask=_MASKS[kind])
        rows, columns = self._row_names()
        arrow = " → "
        if name == "mix":
            columns = [str(j + 1) for j in range(self._parts["v"].shape[1])]
            arrow = ", "
        values = numbers[name].tolist()
        cells = [[_cell(x) for x in row] for row in values]
        traces = []
        for t, row in enumerate(rows):
            sentences = []
            for i, column in enumerate(columns):
                sentences.append(f"{word}({row}{arrow}{column}) {self._trace(name, t, i, numbers, allowed)}")
            traces.append(sentences)
        # JSON has no infinity.
        finite = [[x if math.isfinite(x) else None for x in row] for row in values]
        return {**_step(name, title, formula, rows, columns, cells, traces), "values": finite}

    def _trace(
        self,
        stage: str,
        row: int,
        column: int,
        numbers: Mapping[str, NDArray[np.float64]],
        allowed: NDArray[np.bool_],
    ) -> str:
        """How one number comes about, without its name."""
        q, k, v = (self._parts[name] for name in "qkv")
        if stage == "scores":
            return _trace_product(q[row], k[column])
        if stage == "scale":
            return _trace_scale(float(numbers["scores"][row, column]), q.shape[1])
        if stage == "mask":
            queries, keys = self._row_names()
            scaled = float(numbers["scale"][row, column])
            return _trace_mask(scaled, bool(allowed[row, column]), queries[row], keys[column])
        if stage == "softmax":
            return _trace_softmax(numbers["mask"][row], column)
        return _trace_mix(numbers["softmax"][row], v[:, column])

    def _row_names(self) -> tuple[list[str], list[str]]:
        """The names of the queries and of the keys."""
        return self._parts["tokens"], self._parts["key_tokens"] or self._parts["tokens"]


def _step(
    name: str,
    title: str,
    formula: str,
    rows: list[str],
    columns: list[str],
    cells: list[list[str]],
    traces: list[list[str]],
) -> dict[str, Any]:
    """One table as the page shows it."""
    return {
        "name": name,
        "title": title,
        "formula": formula,
        "columns": columns,
        "cells": cells,
        "traces": traces,
        "text": _table(f"{title} ({formula})", rows, columns, cells),
    }


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
            raise ValueError(f"A token needs a name of at least one visible character; got {name!r}.")
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
    if not cleaned:
        raise ValueError("Type a number such as 0.5; the field is empty.")
    try:
        value = float(cleaned)
    except ValueError:
        raise ValueError(f"Type a number such as 0.5; got {text!r}.") from None
    if not math.isfinite(value) or abs(value) >= 1e6:
        raise ValueError(f"Type a number below a million; got {text!r}.")
    return value


def _input_texts(matrix: NDArray[np.float64]) -> list[list[str]]:
    return [[_input_text(x) for x in row] for row in matrix.tolist()]


def _input_text(value: float) -> str:
    """The shortest text that reads back as the same number."""
    text = repr(value)
    return text.removesuffix(".0").replace("-", "−")


def _cell(value: float) -> str:
    return format_number(value) if math.isfinite(value) else "−∞"


def _factor(value: float) -> str:
    text = format_number(value)
    return f"({text})" if text.startswith("−") else text


def _equals(value: float) -> str:
    """ "= 2.5" where the printed digits are exact, "≈ 0.333" where they are rounded."""
    return f"{'=' if _has_three_digits(value) else '≈'} {format_number(value)}"


def _has_three_digits(value: float) -> bool:
    return abs(value - round(value, 3)) < 1e-12


def _products(left: NDArray[np.float64], right: NDArray[np.float64]) -> str:
    pairs = zip(left.tolist(), right.tolist(), strict=True)
    return " + ".join(f"{_factor(a)}·{_factor(b)}" for a, b in pairs)


def _trace_product(left: NDArray[np.float64], right: NDArray[np.float64]) -> str:
    # The numbers in the line may be rounded; then the line as written is rounded too.
    exact = all(_has_three_digits(number) for number in (*left.tolist(), *right.tolist()))
    return f"{'=' if exact else '≈'} {_products(left, right)} {_equals(float(left @ right))}"


def _trace_scale(score: float, width: int) -> str:
    return f"= {format_number(score)} / √{width} {_equals(score / math.sqrt(width))}"


def _trace_mask(scaled: float, allowed: bool, query: str, key: str) -> str:
    if allowed:
        return f"{_equals(scaled)}, unchanged: “{query}” may attend to “{key}”"
    return f"= −∞: “{query}” may not attend to “{key}”"


def _trace_softmax(masked: NDArray[np.float64], column: int) -> str:
    if not np.isfinite(masked).any():
        return "= 0: every key is forbidden, so the whole row is 0"
    shifted, note = masked, ""
    largest = float(np.max(masked))
    if largest > 10:
        # e^x has too many digits to read then; the ratio is the same after subtracting.
        shifted = masked - largest
        note = f" (largest score, {format_number(largest)}, subtracted from all)"
    terms = ["0" if math.isinf(x) else f"e^{_factor(x)}" for x in shifted.tolist()]
    powers = np.exp(shifted)
    above = float(powers[column])
    below = float(powers.sum())
    return (
        f"= {terms[column]} / ({' + '.join(terms)}) "
        f"≈ {format_number(above)} / {format_number(below)} {_equals(above / below)}{note}"
    )


def _trace_mix(weights: NDArray[np.float64], values: NDArray[np.float64]) -> str:
    # The weights in the line are rounded, so the line as written is rounded too.
    exact = all(_has_three_digits(x) for x in weights.tolist())
    return f"{'=' if exact else '≈'} {_products(weights, values)} {_equals(float(weights @ values))}"


def _table(title: str, rows: list[str], columns: list[str], cells: list[list[str]]) -> str:
    lines = [title]
    head = max(len(name) for name in rows)
    widths = [max(len(text) for text in texts) for texts in zip(columns, *cells, strict=True)]
    for name, texts in zip(["", *rows], [columns, *cells], strict=True):
        aligned = [f"  {text:>{width}}" for text, width in zip(texts, widths, strict=True)]
        lines.append(f"{name:<{head}}{''.join(aligned)}")
    return "\n".join(lines)
