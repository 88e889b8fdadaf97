"""The figures of notebook 03: who looks at whom, what that is good for, and what a mask does."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from course_lib import plots
from course_lib.plots import as_numbers, means, supported

CHANCE = ("guessing", 0.25)  # four colours


def asks(pieces: Sequence[str], found: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> None:
    """The scores that a word gives in two sentences which differ in one word, and the weights they become.

    Args:
        pieces: of the first sentence.
        found: for the word of each sentence the scores and the weights, one for each piece.
    """
    (first, other), colours = found, (plots.ATTENTION, plots.SKY)
    scores, weights = (
        {word: as_numbers(parts[number]) for word, parts in found.items()} for number in (0, 1)
    )
    changed, moved = (~np.isclose(numbers[first], numbers[other], atol=1e-4) for numbers in (scores, weights))
    place = int(np.abs(scores[first] - scores[other]).argmax())
    said = f"{changed.sum()} of {len(pieces)} scores change, and {moved.sum()} weights; "
    said += "; ".join(
        f"“{word}” has the score {scores[word][place]:.1f} and gets {weights[word][place]:.0%}"
        for word in found
    )
    title = supported(
        "One score is another, and with it every weight",
        said,
        changed.sum() == 1 and changed[place],
        moved.all(),
    )
    fig, axes = plots.panels(2, title=title, size=(4.4, 4.0))
    names = [
        f"{first} / {other}" if number == place else plots.literal(piece)
        for number, piece in enumerate(pieces)
    ]
    places = np.arange(len(pieces))
    for ax, numbers, label in zip(axes, (scores, weights), ("score", "weight"), strict=True):
        for index, (word, colour) in enumerate(zip(found, colours, strict=True)):
            lies = places + 0.4 * index - 0.2
            bars = ax.barh(lies, numbers[word], 0.36, color=colour, label=f"with “{word}”")
            form = "{:.1f}" if label == "score" else "{:.0%}"
            ax.bar_label(bars, [form.format(number) for number in numbers[word]], padding=3, fontsize=8)
        ax.set_yticks(places, names)
        ax.invert_yaxis()
        ax.margins(x=0.16)
        ax.set(xlabel=f"{label} that “bark” gives")
        ax.axvline(0, color=plots.BLACK, linewidth=0.8)
        ax.spines[["top", "right"]].set_visible(False)
    axes[1].legend(frameon=False, loc="lower right")
    plots.show(fig, alt=f"Bars for each piece of a sentence, its score and its weight: {said}.")


def searches(
    words: Sequence[str], scores: Mapping[str, ArrayLike], expected: Mapping[str, str], n_shown: int = 10
) -> None:
    """Which words score highest where one word asks, in each of several heads.

    Args:
        words: that are scored.
        scores: by head, one for each word.
        expected: by head, a word that stands high in it, and in no other.
        n_shown: how many are drawn.
    """
    ranked = {head: np.argsort(-as_numbers(numbers)) for head, numbers in scores.items()}
    places = {
        (head, word): [words[i] for i in order].index(word) + 1
        for head, order in ranked.items()
        for word in expected.values()
    }
    said = "; ".join(f"in {head} “{word}” is number {place:,}" for (head, word), place in places.items())
    title = supported(
        "The same word asks different questions in different heads",
        said,
        all(place <= 20 if expected[head] == word else place > 100 for (head, word), place in places.items()),
    )
    fig, axes = plots.panels(len(scores), title=title, size=(4.4, 3.6))
    for ax, (head, order) in zip(axes, ranked.items(), strict=True):
        shown = order[:n_shown]
        tops = as_numbers(scores[head])[shown]
        colours = [plots.ATTENTION if words[i] == expected[head] else plots.KEY for i in shown]
        bars = ax.barh(np.arange(len(shown)), tops, color=colours, height=0.7)
        ax.bar_label(bars, fmt=" %.1f", fontsize=9)
        ax.set_yticks(np.arange(len(shown)), [plots.literal(words[i]) for i in shown])
        ax.invert_yaxis()
        ax.set(xlim=(0, tops.max() * 1.15), xlabel="score", title=f"“bark” asks in {head}")
        ax.spines[["top", "right"]].set_visible(False)
    tops_said = "; ".join(
        f"{head}: " + ", ".join(words[i] for i in order[:n_shown]) for head, order in ranked.items()
    )
    plots.show(fig, alt=f"Bars of the {n_shown} highest scores of {len(words):,}. {tops_said}. {said}.")


def products(query: ArrayLike, keys: Mapping[str, ArrayLike]) -> None:
    """A query and a key number by number: what each pair of numbers adds to the score.

    Args:
        query: its numbers.
        keys: by word, the first with the larger score.
    """
    terms = {word: as_numbers(query) * as_numbers(key) for word, key in keys.items()}
    sums = {word: float(parts.sum()) for word, parts in terms.items()}
    first, other = sums.values()
    said = "; ".join(
        f"with “{word}” {(parts > 0).sum()} of {len(parts)} are above 0, and they add up to {sums[word]:.1f}"
        for word, parts in terms.items()
    )
    named = list(sums)
    title = supported(
        f"A score is a sum: with “{named[0]}” it comes to about twice as much as with “{named[1]}”",
        said,
        1.6 < first / other < 2.4,
    )
    fig, axes = plots.panels(1, 2, title=title, size=(7.6, 1.9))
    low, high = min(map(np.min, terms.values())), max(map(np.max, terms.values()))
    for (ax,), (word, parts) in zip(axes, terms.items(), strict=True):
        colours = [plots.ATTENTION if part > 0 else plots.STREAM for part in parts]
        ax.bar(np.arange(len(parts)), parts, color=colours)
        ax.axhline(0, color=plots.BLACK, linewidth=0.8)
        ax.set(ylim=(low - 0.3, high + 0.3), ylabel="product", xticks=[])
        ax.text(0.01, 0.86, f"bark × {word}: together {sums[word]:.1f}", transform=ax.transAxes)
        ax.spines[["top", "right"]].set_visible(False)
    axes[-1][0].set_xlabel(f"the {len(parts)} numbers of query and key")
    plots.show(fig, alt=f"Bars, one for each product of a number of the query with one of the key: {said}.")


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


def mix(pieces: Sequence[str], weights: ArrayLike, values: ArrayLike) -> None:
    """What each piece hands over, times its weight, and the sum.

    Args:
        pieces: of the sentence.
        weights: one for each piece.
        values: one row for each piece.
    """
    shares, rows = as_numbers(weights), as_numbers(values)
    parts = shares[:, None] * rows
    mixed = parts.sum(0)
    alike = rows @ mixed / np.linalg.norm(rows, axis=1) / np.linalg.norm(mixed)
    best = int(shares.argmax())
    others = np.delete(alike, best).max()
    said = (
        f"“{pieces[best]}” has {shares[best]:.0%} of the weight; the mix has a cosine of {alike[best]:.2f} "
    )
    said += f"to its value, and of {others:.2f} at most to the others"
    title = supported(
        f"The mix is mostly what “{pieces[best]}” hands over",
        said,
        shares[best] > 0.5,
        alike[best] > 0.9 and others < 0.6,
    )
    names = [f"{share:.0%} of {piece}" for share, piece in zip(shares, pieces, strict=True)]
    fig = plots.heatmap(
        np.vstack([parts, mixed]),
        [*names, "the mix"],
        title=title,
        x=f"the {rows.shape[1]} numbers of a value",
        numbers=False,
        hue=plots.VALUE,
    )
    fig.axes[0].axhline(len(names) - 0.5, color=plots.BLACK, linewidth=2)
    plots.show(fig, alt=f"A map, one row for each piece and one for the mix: {said}.")


def translation(english: Sequence[str], german: Sequence[str], before: ArrayLike, after: ArrayLike) -> None:
    """At which English word a translator looks while it writes each German one, before and after training.

    Args:
        english: the words that it reads.
        german: the words that it writes, the last one a verb.
        before, after: (German, English).
    """
    maps = {"before training": as_numbers(before), "after training": as_numbers(after)}
    fresh, given = maps.values()
    earlier, last = given.argmax(1)[-2:]
    said = f"before training no word gets more than {fresh.max():.0%}; after it, for “{german[-1]}” it looks "
    said += f"most at “{english[last]}”, for “{german[-2]}” at “{english[earlier]}”"
    title = supported(
        f"It has learned where to look: for “{german[-1]}”, at the end, it jumps back",
        said,
        fresh.max() < 0.5,
        last < earlier,
    )
    fig, axes = plots.panels(2, title=title, size=(5.0, 3.6))
    for ax, (name, weights) in zip(axes, maps.items(), strict=True):
        plots.heatmap(weights, german, english, title=name, limits=(0.0, 1.0), hue=plots.ATTENTION, ax=ax)
        ax.set(xlabel="English word that it looks at")
    axes[0].set_ylabel("German word that it writes")
    plots.show(fig, alt=f"Two maps, German by English words: {said}, further to the left.")


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
        hue=plots.ATTENTION,
    )
    plots.show(fig, alt=f"A map of {len(pieces)} tokens, who looks by at whom: {said}.")


def late_mask(own: ArrayLike, late: ArrayLike, ends: Sequence[int] = (8, 16, 32, 64, 96)) -> None:
    """What a model loses over the place in a text, with its own mask and with zeros behind softmax.

    Args:
        own, late: in nats, one for each place.
        ends: where one stretch of places ends and the next begins.
    """
    losses = {"its own mask": as_numbers(own), "zeros behind softmax": as_numbers(late)}
    parts = {name: np.array([each.mean() for each in np.split(row, ends)]) for name, row in losses.items()}
    as_it_is, behind = parts.values()
    costs = behind - as_it_is
    bounds = [0, *ends, len(losses["its own mask"])]
    names = [f"{start + 1} to {end}" for start, end in pairwise(bounds)]
    said = "; ".join(
        f"places {names[at]}: {', '.join(f'{name} {row[at]:.2f}' for name, row in parts.items())}"
        for at in (0, -1)
    )
    title = supported(
        "Zeros behind softmax: the nearer to the beginning, the more they cost",
        said,
        bool((np.diff(costs) < 0.1).all()),
        costs[0] > costs[-1] + 2,
        costs[-1] > 0.2,
    )
    x = range(len(names))
    fig = plots.lines(
        {name: (x, row) for name, row in parts.items()}, title=title, x="places in the text", y="loss, nats"
    )
    fig.axes[0].set_xticks(x, names)
    fig.axes[0].set_ylim(bottom=0)
    plots.show(fig, alt=f"Two curves, the loss over the place in a text. {said}.")


def _shares(groups: Mapping[str, ArrayLike], title: str) -> Figure:
    """One dot for each run, beside what guessing gets."""
    y = "share of right answers"
    return plots.dots(groups, title=title, y=y, level=CHANCE, limits=(0.0, 1.05))
