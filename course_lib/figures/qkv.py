"""The figures of notebook 03: who looks at whom, what that is good for, and what scaling does."""

from collections.abc import Mapping, Sequence
from string import ascii_lowercase

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from course_lib import plots
from course_lib.figures import as_numbers, means, supported

CHANCE = ("guessing", 0.25)  # four colours


def looks(sentences: Mapping[str, tuple[Sequence[str], ArrayLike]], who: str = "bark") -> None:
    """What share of its attention a word gives to each word of its sentence.

    Args:
        sentences: for each sentence the word that decides, the pieces, and the share that each piece gets.
        who: the word that looks.
    """
    fig, axes = plots.panels(
        len(sentences),
        title=f'In each sentence "{who}" gives the deciding word more than an equal share',
        size=(4.4, 3.2),
    )
    told = []
    for ax, (deciding, (pieces, given)) in zip(axes, sentences.items(), strict=True):
        shares = as_numbers(given)
        share, equal = shares[pieces.index(deciding)], 1 / len(pieces)
        supported(bool(share > equal), f"{deciding!r} gets {share:.3f}; an equal share is {equal:.3f}")
        colours = [plots.ATTENTION if piece == deciding else plots.STREAM for piece in pieces]
        places = np.arange(len(pieces))[::-1]
        ax.barh(places, shares, color=colours, height=0.7)
        ax.set_yticks(places, [plots.literal(piece) for piece in pieces])
        for place, number in zip(places, shares, strict=True):
            ax.text(number + 0.005, place, f"{number:.0%}", va="center", fontsize=9)
        ax.axvline(equal, color=plots.BLACK, linestyle=":", linewidth=1.2, label="an equal share")
        ax.set(xlim=(0, shares.max() * 1.2), xlabel=f'share of the attention of "{who}"')
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, loc="lower right")
        told.append(f"{deciding} gets {share:.0%}")
    plots.show(fig, alt=f"Bars, one for each word of a sentence: {', '.join(told)}.")


def mixers(right: Mapping[str, ArrayLike]) -> None:
    """What three ways of mixing get right.

    Args:
        right: the share of right answers of each run, for "MLPs alone", "an average" and "attention".
    """
    alone, average, attention = (
        as_numbers(right[name]) for name in ("MLPs alone", "an average", "attention")
    )
    supported(bool(alone.max() < 0.3), f"MLPs alone get up to {alone.max():.0%} right")
    supported(bool(average.min() > alone.max() + 0.05), f"an average gets {average.min():.0%} right")
    supported(bool(attention.min() > average.max() + 0.2), f"attention gets {attention.min():.0%} right")
    plots.show(
        _shares(right, "MLPs alone guess, an average counts, attention chooses"),
        alt=f"Dots, one for each run; mean share of right answers: {means(right)}.",
    )


def links(moved: Mapping[str, ArrayLike]) -> None:
    """Which outputs move when a token is changed.

    Args:
        moved: for "MLP" and "attention" how far each output (row) moved when each token (column) was changed.
    """
    mlp, attention = (as_numbers(moved[name]) for name in ("MLP", "attention"))
    others = ~np.eye(len(mlp), dtype=bool)
    supported(not mlp[others].any(), "an output of the MLP moved with another token")
    supported(bool(attention.min() > 0), "an output of attention did not move")
    fig, axes = plots.panels(2, title="The MLP links no token to another, attention all", size=(4.0, 3.4))
    for ax, (name, matrix) in zip(axes, moved.items(), strict=True):
        names = range(len(mlp))
        plots.heatmap(
            matrix, names, names, title=name, y="output of token", x="token that was changed", ax=ax
        )
    plots.show(
        fig, alt="Two maps, output by changed token. MLP: only the diagonal is filled. Attention: all."
    )


def mix(names: Sequence[str], values: ArrayLike, weights: ArrayLike, mixed: ArrayLike) -> None:
    """Values that are colours of light, each as wide as its weight, and the colour of their mix.

    Args:
        names: one for each value.
        values: (N, 3), red, green and blue from 0 to 1.
        weights: how much of each.
        mixed: the mix.
    """
    colours, shares, result = as_numbers(values), as_numbers(weights), as_numbers(mixed)
    away = np.abs(shares @ colours - result).max()
    supported(bool(away < 1e-6), f"the mix is {away:.2g} away from the weighted sum")
    supported(
        bool(shares.min() >= 0 and abs(shares.sum() - 1) < 1e-6),
        f"the weights are {shares.round(3).tolist()}",
    )
    fig, (ax,) = plots.panels(title="The mix is each colour times its weight, added up", size=(6.4, 2.6))
    left = 0.0
    for name, colour, share in zip(names, colours, shares, strict=True):
        ax.add_patch(Rectangle((left, 1.1), share, 0.8, facecolor=colour, edgecolor=plots.BLACK))
        if share > 0.12:
            label = f"{name}\n{share:.2f}"
            ink = "white" if np.dot((0.21, 0.72, 0.07), colour) < 0.4 else "black"
            ax.text(left + share / 2, 1.5, plots.literal(label), ha="center", va="center", color=ink)
        left += share
    shown = ", ".join(f"{number:.2f}" for number in result)
    ax.add_patch(Rectangle((0, 0), 1, 0.8, facecolor=result.clip(0, 1), edgecolor=plots.BLACK))
    ink = "white" if np.dot((0.21, 0.72, 0.07), result) < 0.4 else "black"
    ax.text(0.5, 0.4, f"mix: red, green, blue = {shown}", ha="center", va="center", color=ink)
    ax.set(xlim=(0, 1), ylim=(0, 1.95), xlabel="weight")
    ax.set_yticks([])
    ax.spines[["top", "right", "left"]].set_visible(False)
    parts = [f"{name} {share:.2f}" for name, share in zip(names, shares, strict=True)]
    plots.show(
        fig, alt=f"A bar of colours as wide as their weights ({', '.join(parts)}); below it the mix, {shown}."
    )


def scores_grow(widths: Sequence[int], raw: ArrayLike, scaled: ArrayLike) -> None:
    """The variance of scores over the width of a key.

    Args:
        widths: numbers in a key.
        raw, scaled: (runs, widths).
    """
    raw, scaled = as_numbers(raw), as_numbers(scaled)
    growth, ratio = raw[:, -1].mean() / raw[:, 0].mean(), widths[-1] / widths[0]
    supported(
        bool(0.5 * ratio < growth < 2 * ratio),
        f"raw variance grew {growth:.0f} times, keys {ratio:.0f} times",
    )
    low, high = scaled.min(), scaled.max()
    supported(bool(low > 0.8 and high < 1.25), f"scaled variance goes from {low:.2f} to {high:.2f}")
    fig = plots.lines(
        {"raw": (widths, raw), "divided by the square root": (widths, scaled)},
        title="Raw scores spread as keys get longer; divided ones keep their size",
        x="numbers in a key",
        y="variance of the scores",
        log_x=True,
        log_y=True,
    )
    alt = f"Curves over the length of a key. Raw variance rises {growth:.0f} times; divided, it stays near 1."
    plots.show(fig, alt=alt)


def scaling(undivided: Mapping[int, ArrayLike], divided: Mapping[int, ArrayLike], gentle: ArrayLike) -> None:
    """What training reaches with and without the division, narrow and wide.

    Args:
        undivided, divided: the share of right answers of each run, for each width.
        gentle: the widest undivided one again, with smaller steps.
    """
    narrow, wide = min(divided), max(divided)
    runs = {width: (as_numbers(undivided[width]), as_numbers(divided[width])) for width in (narrow, wide)}
    closest = abs(runs[narrow][0].mean() - runs[narrow][1].mean())
    supported(bool(closest < 0.05), f"at width {narrow} the two differ by {closest:.2f}")
    gap = runs[wide][1].mean() - runs[wide][0].mean()
    supported(bool(gap > 0.1), f"at width {wide} the division gains {gap:.2f}")
    groups = {}
    for width in (narrow, wide):
        groups[f"{width},\nundivided"], groups[f"{width},\ndivided"] = runs[width]
    groups[f"{wide}, undivided,\nsmaller steps"] = as_numbers(gentle)
    fig = _shares(groups, "The division makes no difference to narrow keys, and a large one to wide keys")
    fig.axes[0].set_xlabel("numbers in a key, and whether scores are divided")
    plots.show(
        fig, alt=f"Dots, one for each run; mean share of right answers at width {means(groups, '; ')}."
    )


def cross(right: Mapping[str, ArrayLike]) -> None:
    """Whether a model can read the list.

    Args:
        right: the share of right answers of each run: first without the list, then the list averaged, then
            read by attention, in one or more ways.
    """
    blind, averaged, *readers = (as_numbers(runs) for runs in right.values())
    least = min(float(runs.min()) for runs in readers)
    supported(bool(blind.max() < 0.3), f"without the list {blind.max():.0%} are right")
    supported(
        bool(averaged.max() + 0.2 < least),
        f"averaged up to {averaged.max():.0%} are right, read {least:.0%} or more",
    )
    plots.show(
        _shares(right, "Who reads the list can answer, in one sequence or in two"),
        alt=f"Dots, one for each run; mean share of right answers: {means(right)}.",
    )


def translation(english: Sequence[str], german: Sequence[str], weights: ArrayLike) -> None:
    """At which English word a translator looks while it writes each German one.

    Args:
        english: the words that it reads.
        german: the words that it writes, the last one a verb.
        weights: (German, English).
    """
    given = as_numbers(weights)
    before, last = given.argmax(1)[-2:]
    seen = f"for {german[-1]!r} it looks most at {english[last]!r}, for {german[-2]!r} at {english[before]!r}"
    supported(bool(last < before), seen)
    fig = plots.heatmap(
        given,
        german,
        english,
        title=f'For "{german[-1]}", at the end, the writer jumps back',
        y="German word that it writes",
        x="English word that it looks at",
        limits=(0.0, 1.0),
    )
    plots.show(fig, alt=f"A map, German by English words: {seen}, further to the right.")


def learned(inputs: Sequence[ArrayLike], before: ArrayLike, after: ArrayLike, colours: Sequence[str]) -> None:
    """The weights of the first example, before and after training.

    Args:
        inputs: letters and colours of the list, and letters asked for, each (N, ...).
        before, after: (N, questions, entries).
        colours: their names.
    """
    letters, kinds, asked = (as_numbers(part)[0].astype(int) for part in inputs)
    own = asked[:, None] == letters
    maps = {"before training": as_numbers(before)[0], "after training": as_numbers(after)[0]}
    most = maps["before training"][own].max()
    supported(bool(most < 0.5), f"before training a question already gives {most:.0%} to its letter")
    least = maps["after training"][own].min()
    supported(bool(least > 0.5), f"after training a question gives {least:.0%} to its letter")
    rows = [f"{ascii_lowercase[letter]}?" for letter in asked]
    columns = [f"{ascii_lowercase[i]} {colours[j]}" for i, j in zip(letters, kinds, strict=True)]
    fig, axes = plots.panels(
        2, title="Training teaches each question to find its own letter", size=(5.0, 2.9)
    )
    for ax, (name, weights) in zip(axes, maps.items(), strict=True):
        plots.heatmap(weights, rows, columns, title=name, limits=(0.0, 1.0), ax=ax)
    plots.show(
        fig,
        alt=f"Two maps, question by entry. At the own letter: {most:.0%} at most, then {least:.0%} or more.",
    )


def glances(pieces: Sequence[str], weights: ArrayLike) -> None:
    """Who looks at whom in a model that writes, as a mean over its layers and heads.

    Args:
        pieces: the text's tokens.
        weights: (queries, keys).
    """
    given = as_numbers(weights)
    ahead = given[np.triu_indices(len(pieces), 1)]
    supported(not ahead.any(), f"some look ahead, with up to {ahead.max(initial=0):.2f}")
    others = given[1:]
    first_gets_most = bool((others.argmax(1) == 0).all())
    supported(first_gets_most, "not every token gives its largest share to the first")
    fig = plots.heatmap(
        given,
        pieces,
        pieces,
        title="On average everyone looks most at the first token, and nobody looks ahead",
        y="who looks",
        x="at whom",
        limits=(0.0, 1.0),
        numbers=False,
    )
    share = f"the first token gets {others[:, 0].mean():.0%} on average"
    plots.show(fig, alt=f"A map of {len(pieces)} tokens, empty above the diagonal; {share}.")


def _shares(groups: Mapping[str, ArrayLike], title: str) -> Figure:
    """One dot for each run, beside what guessing gets."""
    y = "share of right answers"
    return plots.dots(groups, title=title, y=y, level=CHANCE, limits=(0.0, 1.05))
