"""The figures of notebook 03: who looks at whom, what that is good for, and what scaling does."""

from collections.abc import Mapping, Sequence
from string import ascii_lowercase

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from course_lib import plots
from course_lib.plots import as_numbers, means, supported

CHANCE = ("guessing", 0.25)  # four colours


def looks(sentences: Mapping[str, tuple[Sequence[str], ArrayLike]], who: str = "bark") -> None:
    """What share of its attention a word gives to each word of its sentence.

    Args:
        sentences: for each sentence the word that decides, the pieces, and the share that each piece gets.
        who: the word that looks.
    """
    given = {word: as_numbers(shares) for word, (_, shares) in sentences.items()}
    decides = {word: given[word][pieces.index(word)] for word, (pieces, _) in sentences.items()}
    equal = {word: 1 / len(pieces) for word, (pieces, _) in sentences.items()}
    said = "; ".join(
        f"{word} gets {share:.0%}, an equal share is {equal[word]:.0%}" for word, share in decides.items()
    )
    title = supported(
        f'In each sentence "{who}" gives the deciding word more than an equal share',
        said,
        all(share > equal[word] for word, share in decides.items()),
    )
    fig, axes = plots.panels(len(sentences), title=title, size=(4.4, 3.2))
    for ax, (deciding, (pieces, _)) in zip(axes, sentences.items(), strict=True):
        shares = given[deciding]
        colours = [plots.ATTENTION if piece == deciding else plots.STREAM for piece in pieces]
        places = np.arange(len(pieces))[::-1]
        ax.barh(places, shares, color=colours, height=0.7)
        ax.set_yticks(places, [plots.literal(piece) for piece in pieces])
        for place, number in zip(places, shares, strict=True):
            ax.text(number + 0.005, place, f"{number:.0%}", va="center", fontsize=9)
        ax.axvline(equal[deciding], color=plots.BLACK, linestyle=":", linewidth=1.2, label="an equal share")
        ax.set(xlim=(0, shares.max() * 1.2), xlabel=f'share of the attention of "{who}"')
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, loc="lower right")
    plots.show(fig, alt=f"Bars, one for each word of a sentence: {said}.")


def mixers(right: Mapping[str, ArrayLike]) -> None:
    """What three ways of mixing get right.

    Args:
        right: the share of right answers of each run, for "MLPs alone", "an average" and "attention".
    """
    alone, average, attention = (
        as_numbers(right[name]) for name in ("MLPs alone", "an average", "attention")
    )
    title = supported(
        "MLPs alone guess, an average counts, attention chooses",
        f"MLPs alone get up to {alone.max():.0%} right, an average {average.min():.0%} or more, attention "
        f"{attention.min():.0%} or more",
        alone.max() < 0.3,
        average.min() > alone.max() + 0.05,
        attention.min() > average.max() + 0.2,
    )
    alt = f"Dots, one for each run; mean share of right answers: {means(right)}."
    plots.show(_shares(right, title), alt=alt)


def links(moved: Mapping[str, ArrayLike]) -> None:
    """Which outputs move when a token is changed.

    Args:
        moved: for "MLP" and "attention" how far each output (row) moved when each token (column) was changed.
    """
    mlp, attention = (as_numbers(moved[name]) for name in ("MLP", "attention"))
    others = ~np.eye(len(mlp), dtype=bool)
    farthest, least = mlp[others].max(initial=0), attention.min()
    said = f"outputs of the MLP move by up to {farthest:.2g} with another token, of attention by at least "
    said += f"{least:.2g}"
    title = supported("The MLP links no token to another, attention all", said, farthest == 0 and least > 0)
    fig, axes = plots.panels(2, title=title, size=(4.0, 3.4))
    for ax, (name, matrix) in zip(axes, moved.items(), strict=True):
        names = range(len(mlp))
        plots.heatmap(
            matrix, names, names, title=name, y="output of token", x="token that was changed", ax=ax
        )
    plots.show(fig, alt=f"Two maps, output by changed token: {said}.")


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
    title = supported(
        "The mix is each colour times its weight, added up",
        f"the mix is {away:.2g} away from the weighted sum; the weights are {shares.round(3).tolist()}",
        away < 1e-6,
        shares.min() >= 0 and abs(shares.sum() - 1) < 1e-6,
    )
    fig, (ax,) = plots.panels(title=title, size=(6.4, 2.6))
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
    low, high = scaled.min(), scaled.max()
    said = f"raw variance grows {growth:.0f} times; divided, it goes from {low:.2f} to {high:.2f}"
    title = supported(
        "Raw scores spread as keys get longer; divided ones keep their size",
        f"keys grow {ratio:.0f} times, {said}",
        0.5 * ratio < growth < 2 * ratio,
        low > 0.8 and high < 1.25,
    )
    fig = plots.lines(
        {"raw": (widths, raw), "divided by the square root": (widths, scaled)},
        title=title,
        x="numbers in a key",
        y="variance of the scores",
        log_x=True,
        log_y=True,
    )
    plots.show(fig, alt=f"Curves over the length of a key: {said}.")


def scaling(right: Mapping[str, Sequence[float]], rates: Sequence[float]) -> None:
    """What training reaches at several learning rates, by what scores are divided by.

    Args:
        right: the share of right answers at each rate, not divided, divided by the root, then other ways.
        rates: learning rates, from a small one up.
    """
    said = "; ".join(
        f"{name} " + ", ".join(f"{share:.0%}" for share in shares) for name, shares in right.items()
    )
    undivided, root, *others = (as_numbers(shares) for shares in right.values())
    title = supported(
        "Divided by the root, scores bear larger steps; its two rivals bear larger ones still",
        f"at learning rates of {', '.join(f'{rate:g}' for rate in rates)}: {said}",
        min(undivided[0], root[0], root[1]) > 0.9 and root[1] > undivided[1] + 0.1,
        all(shares.min() > 0.9 and shares[-1] > root[-1] + 0.1 for shares in others),
    )
    fig = plots.grouped_bars(
        {name: [100 * share for share in shares] for name, shares in right.items()},
        [f"learning rate {rate:g}" for rate in rates],
        title=title,
        y="right, %",
        level=(CHANCE[0], 100 * CHANCE[1]),
        top=115.0,
        n_columns=5,
    )
    plots.show(fig, alt=f"Bars, right answers at three learning rates, from small to large: {said}.")


def cross(right: Mapping[str, ArrayLike]) -> None:
    """Whether a model can read the list.

    Args:
        right: the share of right answers of each run: first without the list, then the list averaged, then
            read by attention, in one or more ways.
    """
    blind, averaged, *readers = (as_numbers(runs) for runs in right.values())
    least = min(float(runs.min()) for runs in readers)
    title = supported(
        "Who reads the list can answer, in one sequence or in two",
        f"without the list up to {blind.max():.0%} are right, averaged {averaged.max():.0%}, read "
        f"{least:.0%} or more",
        blind.max() < 0.3,
        averaged.max() + 0.2 < least,
    )
    alt = f"Dots, one for each run; mean share of right answers: {means(right)}."
    plots.show(_shares(right, title), alt=alt)


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
    title = f"For “{german[-1]}”, at the end, the writer jumps back"
    fig = plots.heatmap(
        given,
        german,
        english,
        title=supported(title, seen, last < before),
        y="German word that it writes",
        x="English word that it looks at",
        limits=(0.0, 1.0),
    )
    plots.show(fig, alt=f"A map, German by English words: {seen}, further to the right.")


def learned(before: Sequence[ArrayLike], after: Sequence[ArrayLike], colours: Sequence[str]) -> None:
    """Who looks at whom in one list, before and after training.

    Args:
        before, after: letters and colours of the list, letters asked for, and weights (questions, entries).
        colours: their names.
    """
    letters, kinds, asked = (as_numbers(part).astype(int) for part in before[:3])
    maps = {"before training": as_numbers(before[3]), "after training": as_numbers(after[3])}
    own = asked[:, None] == letters
    most, least = maps["before training"][own].max(), maps["after training"][own].min()
    said = f"at the own letter {most:.0%} at most, then {least:.0%} or more"
    title = supported("Training teaches each question to find its own letter", said, most < 0.5 < least)
    rows = [f"{ascii_lowercase[letter]}?" for letter in asked]
    columns = [f"{ascii_lowercase[i]} {colours[j]}" for i, j in zip(letters, kinds, strict=True)]
    fig, axes = plots.panels(2, title=title, size=(5.0, 2.9))
    for ax, (name, weights) in zip(axes, maps.items(), strict=True):
        plots.heatmap(weights, rows, columns, title=name, limits=(0.0, 1.0), ax=ax)
    plots.show(fig, alt=f"Two maps, question by entry: {said}.")


def glances(pieces: Sequence[str], weights: ArrayLike) -> None:
    """Who looks at whom in a model that writes, as a mean over its layers and heads.

    Args:
        pieces: the text's tokens.
        weights: (queries, keys).
    """
    given = as_numbers(weights)
    ahead = given[np.triu_indices(len(pieces), 1)]
    others = given[1:]
    most_at_first = int((others.argmax(1) == 0).sum())
    said = f"the first token gets {others[:, 0].mean():.0%} on average and the largest share of "
    said += (
        f"{most_at_first} of {len(others)} others; the most that looks ahead is {ahead.max(initial=0):.2f}"
    )
    title = supported(
        "On average everyone looks most at the first token, and nobody looks ahead",
        said,
        most_at_first == len(others) and not ahead.any(),
    )
    fig = plots.heatmap(
        given,
        pieces,
        pieces,
        title=title,
        y="who looks",
        x="at whom",
        limits=(0.0, 1.0),
        numbers=False,
    )
    plots.show(fig, alt=f"A map of {len(pieces)} tokens, who looks by at whom: {said}.")


def _shares(groups: Mapping[str, ArrayLike], title: str) -> Figure:
    """One dot for each run, beside what guessing gets."""
    y = "share of right answers"
    return plots.dots(groups, title=title, y=y, level=CHANCE, limits=(0.0, 1.05))
