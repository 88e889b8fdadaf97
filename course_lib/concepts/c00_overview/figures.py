"""The figures of notebook 00: what a model expects, where an answer takes shape, what training does."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from course_lib import plots
from course_lib.plots import as_numbers, supported

Number = float | np.floating[Any]
Head = tuple[ArrayLike, ArrayLike, Number]  # vectors, w, b
GUESSING = ("guessing", 50.0)  # two answers, equally often right


def temperatures(tokens: Sequence[str], probabilities: Mapping[float, ArrayLike]) -> None:
    """Bars for a few tokens, a panel for each temperature.

    Args:
        tokens: what they are, the likeliest first.
        probabilities: for each temperature, in rising order, one probability for each token.
    """
    rows = {temperature: as_numbers(shares) for temperature, shares in probabilities.items()}
    first = [float(shares[0]) for shares in rows.values()]
    falling = all(low > high for low, high in pairwise(first))
    said = ", ".join(
        f"{share:.0%} at {temperature:g}" for temperature, share in zip(rows, first, strict=True)
    )
    title = supported(
        "The higher the temperature, the less the likeliest token gets",
        f"the first token has {said}",
        falling and list(rows) == sorted(rows),
    )
    fig, axes = plots.panels(len(rows), title=title, size=(2.7, 2.7))
    names = [plots.literal(token.replace(" ", "␣")) for token in tokens]
    for ax, (temperature, shares) in zip(axes, rows.items(), strict=True):
        ax.barh(names[::-1], 100 * shares[::-1], color=plots.BLUE)
        ax.set(title=f"temperature {temperature:g}", xlabel="probability, %", xlim=(0, 100))
        ax.spines[["top", "right"]].set_visible(False)
    for ax in axes[1:]:
        ax.set_yticklabels([])
    plots.show(fig, alt=f"Bars for {len(tokens)} tokens. The first, {tokens[0]!r}, has {said}.")


def layers(passed: Sequence[int], shares: Mapping[str, ArrayLike], counting: float) -> None:
    """Accuracy of a linear probe over the layers passed, beside that of a count of words.

    Args:
        passed: how many layers, in rising order.
        shares: for each way to read the vectors, (repetitions, depths); the first decides about the title.
        counting: what the count of words reaches.
    """
    means = {name: as_numbers(runs).mean(0).tolist() for name, runs in shares.items()}
    said = "; ".join(
        f"{name} {mean[0]:.0%} after {passed[0]} layers, at most {max(mean):.0%} (after "
        f"{passed[mean.index(max(mean))]}), {mean[-1]:.0%} after {passed[-1]}"
        for name, mean in means.items()
    )
    said += f"; counting words {counting:.0%}"
    first, *_ = means.values()
    middle = len(first) // 2
    above_counting = first[middle] > float(counting) + 0.05
    jumps = first[middle] - first[middle - 1] > 0.04  # from below the middle to the middle
    levels_off = abs(first[-1] - first[middle]) < 0.04
    title = supported(
        "The answer takes shape in the middle, and then no further", said, jumps, levels_off, above_counting
    )
    fig = plots.lines(
        {name: (passed, 100 * as_numbers(runs)) for name, runs in shares.items()},
        title=title,
        x="layers passed",
        y="held-out accuracy, %",
        level=("counting words", 100 * counting),
    )
    plots.show(fig, alt=f"Curves over the layers: {said}.")


def cuts(labels: ArrayLike, *, words: Head, layer_15: Head) -> None:
    """Vectors seen along the surface on which a head is undecided, so that it is a vertical line.

    Args:
        labels: what the N points are; those that come later in the alphabet belong to the right of the line.
        words: vectors (N, D) and head, w (D,) and b, before the first layer; undecided where v . w + b = 0.
        layer_15: the same behind layer 15.
    """
    heads = {"mean, before the first layer": words, "last token, after layer 15": layer_15}
    names = np.asarray(labels)
    left, right = np.unique(names)
    pictures = {name: _along(*head) for name, head in heads.items()}
    shares = {
        name: float(((points[:, 0] > 0) == (names == right)).mean()) for name, points in pictures.items()
    }
    said = ", ".join(f"{name}: {share:.0%} on their side" for name, share in shares.items())
    worse, better = shares.values()
    title = supported(
        "After the middle layers one straight cut nearly does", said, better > worse + 0.03, better > 0.8
    )
    across, vertical = "distance from the head's surface", (np.array([1.0, 0.0]), 0.0)
    fig, axes = plots.panels(len(pictures), title=title, size=(4.0, 3.3))
    for ax, (name, points) in zip(axes, pictures.items(), strict=True):
        plots.scatter(points, names, title=name, x=across, y="place along it", line=vertical, ax=ax)
    _one_legend(fig, axes)
    plots.show(fig, alt=f"Points called {left} and {right} beside a vertical line; {said}.")


def parts(shares: Mapping[str, ArrayLike], longer: Mapping[str, ArrayLike]) -> None:
    """Accuracies by what stays random while the rest is trained.

    Args:
        shares: the models' accuracies if these stay random, in this order: nothing, the head, the body, and
            both the tables and the body.
        longer: those after three times the steps: nothing, and the body.
    """
    groups = {**shares, **{f"{name}, 3 times the steps": runs for name, runs in longer.items()}}
    nothing, head, body, below, _, late = (float(as_numbers(runs).mean()) for runs in groups.values())
    said = ", ".join(f"{name} {as_numbers(runs).mean():.1%}" for name, runs in groups.items())
    title = supported(
        "A random head costs nothing, a random body costs time",
        said,
        head > nothing - 0.04 and body < nothing - 0.06 and below < 0.56 and late > body + 0.06,
    )
    in_lines = {name.replace(" and ", "\nand ").replace(", ", ",\n"): runs for name, runs in groups.items()}
    fig = plots.dots(
        {name: 100 * as_numbers(runs) for name, runs in in_lines.items()},
        title=title,
        y="held-out accuracy, %",
        level=GUESSING,
        limits=(45.0, 90.0),
    )
    fig.axes[0].set_xlabel("what stays random")
    plots.show(fig, alt=f"Dots, one a model, by what stays random: {said}.")


def places(shares: Mapping[tuple[bool, str], ArrayLike]) -> None:
    """Accuracies by the place where the head reads, without and with a causal mask.

    Args:
        shares: the models' accuracies for each (causal, place).
    """
    means = {key: float(as_numbers(runs).mean()) for key, runs in shares.items()}
    said = ", ".join(
        f"{'causal' if causal else 'open'} {place} {mean:.0%}" for (causal, place), mean in means.items()
    )
    others = min(mean for key, mean in means.items() if key != (True, "start"))
    blind = abs(means[True, "start"] - 0.5) < 0.01 and others > 0.6
    title = supported("Under a causal mask the start knows nothing", said, blind)
    fig, axes = plots.panels(2, title=title, size=(4.2, 3.2))
    for ax, causal, name in zip(axes, (False, True), ("every token sees all", "causal mask"), strict=True):
        groups = {place: 100 * as_numbers(runs) for (mask, place), runs in shares.items() if mask == causal}
        y = "held-out accuracy, %"
        plots.dots(groups, title=name, y=y, level=GUESSING, limits=(40.0, 90.0), ax=ax)
    plots.show(fig, alt=f"Dots, one a model, by body and place: {said}.")


def _along(vectors: ArrayLike, w: ArrayLike, b: Number) -> NDArray:
    """For each vector its distance from the surface v . w + b = 0, and where it lies along it.

    Along the surface the direction is the one in which the vectors spread most.
    """
    points, normal = as_numbers(vectors), as_numbers(w)
    length = np.linalg.norm(normal)
    distance = (points @ normal + float(b)) / length
    rest = points - np.outer(distance, normal / length)
    rest -= rest.mean(0)
    _, _, directions = np.linalg.svd(rest, full_matrices=False)
    return np.column_stack([distance, rest @ directions[0]])


def _one_legend(fig: Figure, axes: NDArray) -> None:
    """One for all panels, below them."""
    handles, names = axes[0].get_legend_handles_labels()
    for ax in axes:
        ax.get_legend().remove()
    fig.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
