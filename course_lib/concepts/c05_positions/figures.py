"""The figures of notebook 05: what is lost without positions, ways to bring them in, what lies beyond."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_lib import plots
from course_lib.plots import as_numbers, means, supported


def sentences(texts: Sequence[str], as_it_is: ArrayLike, without: ArrayLike) -> None:
    """How alike a model finds the first sentence and each of the others.

    Args:
        texts: the first sentence, the same words in another order, then others.
        as_it_is: the cosine with each of the others.
        without: the same when nothing says where a word stands.
    """
    before, after = as_numbers(as_it_is), as_numbers(without)
    said = f"with positions {before[0]:.3f}, without {after[0]:.6f}"
    title = supported(
        "Without positions the two sentences have the same vector",
        said,
        before[0] < 0.999 and abs(after[0] - 1) < 1e-5,
    )
    fig, (ax,) = plots.panels(title=title, size=(6.8, 0.45 * len(texts) + 1.2))
    rows = np.arange(len(texts) - 1)[::-1]
    ax.plot(before, rows, "o", color=plots.BLUE, markersize=9, label="as it is")
    ax.plot(after, rows, "s", color=plots.ORANGE, markersize=6, label="without positions")
    ax.set_yticks(rows, [plots.literal(text) for text in texts[1:]])
    ax.set_xlabel(f"cosine with “{plots.literal(texts[0])}”")
    ax.set_xlim(right=1.02)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    plots.show(
        fig,
        alt=f"Two dots for each sentence. Cosine of {texts[0]} with {texts[1]}: {said}; with positions "
        f"the others have {', '.join(f'{cosine:.2f}' for cosine in before[1:])}.",
    )


def needs_order(right: Mapping[str, Mapping[str, ArrayLike]], chance: Mapping[str, float]) -> None:
    """What a reader gets right with and without positions, for each kind of data.

    Args:
        right: by kind of data shares of right answers, one a run: without positions, with them, and, where it
            was tried, without them after more training.
        chance: for each kind what guessing gets.
    """
    average = {kind: [as_numbers(runs).mean() for runs in groups.values()] for kind, groups in right.items()}
    said = "; ".join(f"{kind}: {means(groups)}" for kind, groups in right.items())
    bag = {kind: max([without, *more]) - chance[kind] for kind, (without, _, *more) in average.items()}
    others = [share for kind, share in bag.items() if kind != "image"]
    title = supported(
        "Without positions a picture keeps much, a sequence of symbols or notes nothing",
        said,
        all(have > max([without, *more]) + 0.1 for without, have, *more in average.values()),
        bag["image"] > 0.3 and max(others) < 0.1,
    )
    fig, axes = plots.panels(len(right), title=title, size=(3.6, 3.4))
    for ax, (kind, groups) in zip(axes, right.items(), strict=True):
        plots.dots(
            {each: 100 * as_numbers(runs) for each, runs in groups.items()},
            title=kind,
            y="right answers, %",
            level=("guessing", 100 * chance[kind]),
            limits=(0.0, 103.0),
            ax=ax,
        )
        ax.get_legend().set_visible(ax is axes[0])
    axes[0].legend(frameon=False, loc="lower right")  # away from the dots
    plots.show(fig, alt=f"Dots, one for each training run. Means, {said}.")


def places(table: ArrayLike) -> None:
    """The vector of each place: quick waves on the left, slow ones on the right.

    Args:
        table: (places, width).
    """
    rows = as_numbers(table)
    nearest = _nearest(rows)
    said = f"of {len(rows)} places the two most alike are {nearest:.2f} apart"
    title = supported("No two places have the same vector", said, nearest > 0.1)
    fig = plots.heatmap(rows, title=title, y="place", x="number in the vector")
    fig.set_size_inches(6.6, 4.0)
    fig.axes[0].set_xticks(np.arange(0, rows.shape[1], 4))
    fig.axes[0].set_yticks(np.arange(0, len(rows), 8))
    plots.show(
        fig,
        alt=f"A table of colours, a row for each place: the numbers on the left change from row to row, "
        f"those on the right hardly. Here {said}.",
    )


def products(tables: Mapping[str, ArrayLike], starts: Sequence[int], farthest: int) -> None:
    """The product of two places over their distance, for several first places.

    Args:
        tables: by name the products of all pairs of places (places, places); those of the first two depend on
            the distance only.
        starts: the first places.
        farthest: the largest distance.
    """
    curves = {
        name: np.stack([rows[start, start : start + farthest + 1] for start in starts])
        for name, rows in ((name, as_numbers(table)) for name, table in tables.items())
    }
    apart = {name: np.ptp(each, axis=0).max() / np.abs(each).max() for name, each in curves.items()}
    said = ", ".join(f"{name} {share:.0%}" for name, share in apart.items())
    same, other = list(apart)[:2], list(apart)[2:]
    title = supported(
        f"For {' and '.join(same)} the product depends on the distance alone, for others not",
        said,
        max(apart[name] for name in same) < 1e-4 and min(apart[name] for name in other) > 0.1,
    )
    fig, axes = plots.panels(len(curves), title=title, size=(3.1, 3.2))
    for ax, (name, each) in zip(axes, curves.items(), strict=True):
        series = {
            f"from place {start}": (range(farthest + 1), line)
            for start, line in zip(starts, each, strict=True)
        }
        plots.lines(series, title=name, x="distance", y="product", ax=ax)
        ax.get_legend().set_visible(ax is axes[0])
    plots.show(
        fig,
        alt=f"Curves of the product over the distance, one for each first place. They part by, as a share of "
        f"the largest product: {said}.",
    )


def scores(turned: ArrayLike, added: ArrayLike) -> None:
    """The scores of one and the same query and key at every pair of places.

    Args:
        turned: (queries, keys), where queries and keys are turned by their place.
        added: the same where the vector of the place is added to both.
    """
    of = {"turned": as_numbers(turned), "added": as_numbers(added)}
    uneven = {way: _along_diagonals(each) / np.ptp(each) for way, each in of.items()}
    said = ", ".join(f"{way} {share:.0%}" for way, share in uneven.items())
    title = supported(
        "Turned, the score depends on the distance only; added, on the places, too",
        said,
        uneven["turned"] < 1e-4 and uneven["added"] > 0.1,
    )
    fig, axes = plots.panels(2, title=title, size=(4.4, 3.6))
    for ax, (way, each) in zip(axes, of.items(), strict=True):
        low, high = each.min(), each.max()
        plots.heatmap(
            each,
            title=way,
            y="place of the query",
            x="place of the key",
            limits=(low, high),
            ax=ax,
            numbers=False,
        )
    plots.show(
        fig,
        alt=f"Two tables of scores. Along a diagonal, where the distance is the same, they differ by, as a "
        f"share of their range: {said}.",
    )


def biases(alibi: ArrayLike, index: ArrayLike) -> None:
    """What two schemes know of a pair of places: what one adds to the score, which row the other looks up.

    Args:
        alibi: (heads, queries, keys), minus a slope times the distance.
        index: (queries, keys), the row of a table.
    """
    heads, rows = as_numbers(alibi), as_numbers(index)
    uneven = max(_along_diagonals(each) for each in (*heads, rows))
    steep = [-head.min() for head in heads[:2]]
    said = f"along a diagonal their numbers differ by {uneven:.1g} at most; the farthest key loses "
    said += f"{steep[0]:.2g} in the first head and {steep[1]:.2g} in the second"
    title = supported(
        "Both know the distance only: ALiBi makes a number of it, the relative table a row",
        said,
        uneven < 1e-5 and steep[0] > 2 * steep[1],
    )
    fig, axes = plots.panels(3, title=title, size=(3.7, 3.2))
    panels = {
        "ALiBi, first head": heads[0],
        "ALiBi, second head": heads[1],
        "row of the relative table": rows,
    }
    for ax, (name, each) in zip(axes, panels.items(), strict=True):
        limits = (heads.min(), 0.0) if each.min() < 0 else (0.0, each.max())
        plots.heatmap(
            each,
            title=name,
            y="place of the query",
            x="place of the key",
            limits=limits,
            numbers=False,
            ax=ax,
        )
    plots.show(fig, alt=f"Three tables over queries and keys: {said}.")


def beyond(
    back: Mapping[str, ArrayLike], text: Mapping[str, ArrayLike], ends: Sequence[int], trained: int
) -> None:
    """How models do at places that they were trained on, and beyond.

    Args:
        back: by scheme the shares of right answers (runs, spans) in "three places ago".
        text: by scheme, some of them, the bits for a character (runs, spans) of real text.
        ends: where the spans end, in places; `back` may have fewer.
        trained: the length of training.
    """
    shares = {scheme: np.atleast_2d(as_numbers(runs)) for scheme, runs in back.items()}
    bits = {scheme: np.atleast_2d(as_numbers(spans)) for scheme, spans in text.items()}
    found = {scheme: runs[:, -1].mean() for scheme, runs in shares.items()}
    cost = {scheme: spans[:, -1].mean() for scheme, spans in bits.items()}
    said = f"three places ago, farthest span: {_last(shares, '{:.0%}')}; text: {_last(bits, '{:.2f}')} bits"
    title = supported(
        "Far out rotary is ahead of ALiBi in one task; in the other it is behind no positions at all",
        said,
        found["rotary"] > found["alibi"] + 0.1,
        cost["alibi"] < cost["none"] < cost["rotary"],
    )
    fig, axes = plots.panels(2, title=title, size=(4.9, 3.8))
    panels = (
        ("three places ago", shares, 100, "right answers, %"),
        ("English text", bits, 1, "bits a character (fewer is better)"),
    )
    for ax, (name, of_each, unit, label) in zip(axes, panels, strict=True):
        spans = len(next(iter(of_each.values()))[0])
        # The same look for a scheme in both panels: those that are missing are drawn as nothing.
        series = {
            scheme: (ends[:spans], unit * of_each.get(scheme, np.full((1, spans), np.nan)))
            for scheme in shares
        }
        plots.lines(series, title=name, x="places up to", y=label, log_x=True, ax=ax)
        ax.axvline(trained, color=plots.BLACK, linestyle=":", linewidth=1)
        ax.set_xticks(ends[:spans], ends[:spans])
        ax.minorticks_off()
        ax.get_legend().remove()
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    plots.show(
        fig,
        alt=f"Curves over the places, of which {trained} were trained. At {said}; lower is better for text.",
    )


def moved(losses: Mapping[str, ArrayLike]) -> None:
    """What a real model loses when its tokens stand elsewhere.

    Args:
        losses: in nats, one a text: intact, shifted, stretched a little; then what does harm, four times the
            distances among it.
    """
    of = {change: as_numbers(each) for change, each in losses.items()}
    intact, shifted, little, *_ = of.values()
    said = ", ".join(f"{change} {each.mean():.2f}" for change, each in of.items()).replace("\n", " ")
    rises = {change: float((each - intact).mean()) for change, each in of.items()}
    title = supported(
        "Where the tokens stand does not matter; four times as far apart breaks it",
        said,
        np.abs(shifted - intact).max() < 0.01 and abs((little - intact).mean()) < 0.1,
        min(list(rises.values())[3:]) > 0.1 and rises["four times"] == max(rises.values()),
    )
    fig = plots.dots(of, title=title, y="loss, nats")
    plots.show(fig, alt=f"Dots, one for each text. Mean loss: {said}.")


def _along_diagonals(table: NDArray) -> float:
    """By how much numbers differ at most that belong to the same distance."""
    height, width = table.shape
    return float(max(np.ptp(table.diagonal(offset)) for offset in range(1 - height, width)))


def _nearest(rows: NDArray) -> float:
    """How far the two most similar rows are apart."""
    apart = np.linalg.norm(rows[:, None] - rows, axis=-1)
    return float(apart[~np.eye(len(rows), dtype=bool)].min())


def _last(runs: Mapping[str, NDArray], form: str) -> str:
    return ", ".join(f"{scheme} {form.format(each[:, -1].mean())}" for scheme, each in runs.items())
