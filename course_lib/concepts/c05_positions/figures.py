"""The figures of notebook 05: what is lost without positions, clocks, what lies beyond the trained places."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from numpy.typing import ArrayLike, NDArray

from course_lib import plots
from course_lib.plots import as_numbers, supported


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


# ------------------------------------------------------------------------------------------- clocks

_HANDS = (plots.BLUE, plots.VERMILION, plots.GREEN, plots.PINK, plots.SKY)


def faces(of: Mapping[str, ArrayLike], places: Sequence[int]) -> None:
    """Clocks with one hand and with two, at some places, the first of which all others are compared with.

    Args:
        of: by name the speeds of the hands, in radians a place: one quick hand; the same and a slow one.
        places: 0, its neighbour, and one that the quick hand takes for 0.
    """
    speeds = {name: as_numbers(each) for name, each in of.items()}
    angles = {name: np.outer(np.asarray(places) - places[0], each) for name, each in speeds.items()}
    near = {name: np.cos(each).mean(1) for name, each in angles.items()}
    one, two = near.values()
    said = "; ".join(
        f"{name}: {', '.join(f'{t} {c:.2f}' for t, c in zip(places, each, strict=True))}"
        for name, each in near.items()
    )
    title = supported(
        f"One hand takes {places[-1]} for {places[0]}; a second, slower one tells them apart",
        said,
        one[-1] > 0.99,
        two[-1] < two[1],
    )
    fig, rows = plots.panels(len(places), len(of), title=title, size=(1.75, 1.95))
    for axes, (name, turned) in zip(rows, angles.items(), strict=True):
        for ax, place, hands, cosine in zip(axes, places, turned, near[name], strict=True):
            _face(ax)
            for hand, angle in enumerate(hands):
                length = (0.92, 0.55)[hand % 2]
                ax.plot(
                    [0, length * np.sin(angle)],
                    [0, length * np.cos(angle)],
                    color=_HANDS[hand % len(_HANDS)],
                    linewidth=(3, 6)[hand % 2],
                    solid_capstyle="round",
                )
            ax.set_title(f"place {place}", fontsize=10)
            ax.set_xlabel(f"like place {places[0]}: {cosine:.2f}", fontsize=10)
        axes[0].set_ylabel(plots.literal(name), fontsize=11)
    plots.show(
        fig,
        alt=f"Rows of clock faces, one for each place, with one hand and with two. How alike each is to the "
        f"first, {said}.",
    )


def comes_back(cosines: ArrayLike, farthest: int = 24) -> None:
    """How alike the vectors of two places are, over their distance.

    Args:
        cosines: of all pairs of places (places, places).
        farthest: the largest distance that is drawn.
    """
    table = as_numbers(cosines)
    curve = np.array([table.diagonal(distance).mean() for distance in range(farthest + 1)])
    said = ", ".join(f"{distance} {curve[distance]:.2f}" for distance in (1, 2, 3, 4, 6, 8, 9, 12))
    title = supported(
        "Six places away the vectors are more alike again than three places away",
        said,
        curve[6] > curve[3] + 0.1,
        curve[12] > curve[9] + 0.1,
        curve[1] > curve[6],
    )
    fig = plots.lines(
        {"mean": (range(farthest + 1), curve)},
        title=title,
        x="places apart",
        y="cosine",
    )
    fig.axes[0].set_xticks(range(0, farthest + 1, 3))
    plots.show(fig, alt=f"A curve that falls in waves. Mean cosine by distance: {said}.")


def hands(points: Sequence[ArrayLike], rounds: Sequence[float], marks: int = 12) -> None:
    """What a table of places looks like in the planes that it turns in: a clock face for each.

    Args:
        points: for each plane where each place lies in it, (places, 2).
        rounds: how many places a round takes in each.
        marks: about how many places are named on a face; of the quickest hand these are two rounds.
    """
    said = "a round takes " + ", ".join(f"{each:.3g}" for each in rounds) + " places"
    circles = [as_numbers(each) for each in points]
    many = {2: "Two", 3: "Three", 4: "Four", 5: "Five"}.get(len(rounds), str(len(rounds)))
    title = supported(
        f"{many} clock hands, each some three times as slow as the one before",
        said,
        len(rounds) == 5,
        all(2.5 < slow / quick < 4 for quick, slow in pairwise(rounds)),
        all(_roundness(each) < 0.4 for each in circles),
    )
    columns = min(3, max(len(circles), 1))
    lines = -(-len(circles) // columns) or 1
    fig, axes = plots.panels(columns, lines, title=title, size=(2.6, 2.85))
    drawn = np.asarray(axes).ravel()
    for ax in drawn[len(circles) :]:
        ax.set_axis_off()
    for ax, each, places in zip(drawn, circles, rounds, strict=False):
        _face(ax)
        step = max(1, round(places / marks))
        last = min(len(each), marks if places < marks else round(0.85 * places))
        # Place 1 on top, and clockwise, as clocks go.
        turned = each[:, 0] + 1j * each[:, 1]
        turned = turned / turned[0]
        clockwise = turned.imag[min(round(places / 4), len(each) - 1)] < 0
        angle = np.angle(turned) * (-1 if clockwise else 1)
        radius = np.linalg.norm(each, axis=1) / np.linalg.norm(each, axis=1).mean()
        x, y = radius * np.sin(angle), radius * np.cos(angle)
        ax.plot(x[:last], y[:last], "-", color=plots.SKY, linewidth=1.2)
        for place in range(0, last, step):
            ax.plot(x[place], y[place], "o", color=plots.BLUE, markersize=4)
            ax.text(1.22 * x[place], 1.22 * y[place], str(place + 1), ha="center", va="center", fontsize=9)
        ax.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6))
        ax.set_xlabel(f"a round: {places:.3g} places", fontsize=10.5)
    plots.show(
        fig,
        alt=f"Clock faces on which the places are marked where their vectors lie: {said}. Each time they go "
        "round in a circle, in order.",
    )


def enough(given: Mapping[str, tuple[float, float, float]]) -> None:
    """What a model does with a part of its table of places.

    Args:
        given: by what is left of the table: what head 0.2 gives to the token before, head 1.8 to the next,
            and how alike its sentences' vectors are to those of the whole table. The first is the whole
            table, then come all hands alone, the quick ones, the slow ones, and as many directions by chance.
    """
    whole, alone, quick, slow, chance = given.values()
    said = "; ".join(f"{name}: {a:.2f}, {b:.2f}, {c:.3f}" for name, (a, b, c) in given.items())
    title = supported(
        "With the hands alone the heads still find the neighbour; with the slow ones alone they do not",
        said,
        alone[0] > 0.95 * whole[0] and alone[1] > 0.8 * whole[1],
        quick[0] > 0.9 * whole[0] and quick[1] > 0.5 * whole[1],
        all(other[0] < 0.2 and other[1] < 0.1 for other in (slow, chance)),
    )
    fig, axes = plots.panels(2, title=title, size=(4.4, 0.42 * len(given) + 1.1))
    names = [plots.literal(name) for name in given]
    for number, (ax, head) in enumerate(
        zip(axes, ("head 0.2, to the one before", "head 1.8, to the next"), strict=True)
    ):
        painted = ax.barh(names, [each[number] for each in given.values()], color=plots.ATTENTION)
        ax.bar_label(painted, fmt=" %.2f")
        ax.invert_yaxis()
        ax.set(xlim=(0, 1.2), xlabel="mean weight")
        ax.set_title(head, loc="left", fontsize=11)
        ax.spines[["top", "right"]].set_visible(False)
        if number:
            ax.set_yticklabels([])
    plots.show(fig, alt=f"Bars. Weight of head 0.2, of head 1.8, cosine of the sentences: {said}.")


def by_distance(weights: Mapping[int, ArrayLike], farthest: int = 16) -> None:
    """How far back a head looks when only some of its hands turn.

    Args:
        weights: by how many hands turn, quickest first, the weights (queries, keys): none, one, two, all.
        farthest: the largest distance that is drawn.
    """
    curves = {n: _looks(each, farthest) for n, each in weights.items()}
    said = "; ".join(
        f"{n} hands: " + ", ".join(f"{d} back {curve[d]:.2f}" for d in (1, 7, 14))
        for n, curve in curves.items()
    )
    none, one, two, *_, whole = curves.values()
    title = supported(
        "The quick hand alone looks 1, 7 and 14 back; slower hands leave only the one before",
        said,
        none.max() < 0.1,
        min(one[7], one[14]) > 0.1 and one[1] > 0.2,
        max(two[7], two[14]) < 0.05 and two[1] > 0.5,
        whole[1] > 0.6,
    )
    fig, axes = plots.panels(len(curves), title=title, size=(2.35, 2.7))
    for number, (ax, (n, curve)) in enumerate(zip(axes, curves.items(), strict=True)):
        ax.bar(range(farthest), curve, color=plots.ATTENTION)
        ax.set(ylim=(0, 0.85), xlabel="places back")
        ax.set_xticks([0, 1, 7, 14])
        name = {0: "no hand turns", 1: "the quick one"}.get(n, f"{n} hands")
        ax.set_title(name, loc="left", fontsize=11)
        ax.spines[["top", "right"]].set_visible(False)
        if number:
            ax.set_yticklabels([])
    axes[0].set_ylabel("mean weight")
    plots.show(
        fig, alt=f"Bars of the mean weight over the distance, a picture for each number of hands. {said}."
    )


def follows_the_clock(losses: Mapping[int, Sequence[float]]) -> None:
    """Which token a model expects in the second copy of a row, by how its head's clock is set.

    Args:
        losses: by places that the clock is set on: the loss of the token itself, of the next one, and so on.
    """
    table = np.array([list(each) for each in losses.values()])
    least = table.argmin(1)
    expected = [1 - by for by in losses]  # one back is the right way: by 0 the next follows
    names = ("itself", "the next", "next but one", "the third")[: table.shape[1]]
    said = "; ".join(
        f"set on by {by:+d}: {names[place]} {row[place]:.1f} nats"
        if by
        else f"as it is: {names[place]} {row[place]:.1f} nats"
        for by, place, row in zip(losses, least, table, strict=True)
    )
    title = supported(
        "What the model expects moves with the clock of one head",
        f"least loss, {said}",
        list(least) == expected,
        *((np.sort(row)[1] - row.min()) > 1 for row in table),
    )
    rows = [f"set {by:+d}".replace("-", "−") if by else "as it is" for by in losses]
    fig, (ax,) = plots.panels(title=title, size=(6.8, 3.5))
    plots.heatmap(
        table,
        rows,
        names,
        title="loss, nats: small where the token is expected",
        y="the clock of 16.0",
        x="token of the first copy",
        ax=ax,
    )
    plots.show(fig, alt=f"A table of losses whose smallest numbers lie on a diagonal. The least: {said}.")


def mends(losses: Mapping[str, Mapping[int, float]], alone: float) -> None:
    """What a jump in the places costs, as it is and with two mends.

    Args:
        losses: by way ("as it is" first, then one or more divisions of the places, a larger base last) and by
            jump the loss.
        alone: the loss with nothing before the jump.
    """
    as_it_is, *divided, larger = losses.values()
    near, *_, far = as_it_is
    said = "; ".join(
        f"{name}: " + ", ".join(f"{jump:,} {loss:.2f}" for jump, loss in each.items())
        for name, each in losses.items()
    )
    title = supported(
        "A larger base mends far places and leaves near ones alone; divided places blur these",
        said,
        as_it_is[far] > alone + 1,
        larger[far] < as_it_is[far] - 1 and larger[near] < as_it_is[near] + 0.1,
        all(each[near] > as_it_is[near] + 0.5 and each[far] > larger[far] + 0.3 for each in divided),
    )
    table = np.array([list(each.values()) for each in losses.values()])
    jumps = [f"{jump:,} places" if jump else "no jump" for jump in as_it_is]
    fig, (ax,) = plots.panels(title=title, size=(6.8, 0.6 * len(table) + 1.4))
    plots.heatmap(
        table, list(losses), jumps, title="loss, nats", x="the second half stands further by", ax=ax
    )
    plots.show(fig, alt=f"A table of losses by jump; with nothing to look at it is {alone:.2f}. {said}.")


def _face(ax: Axes) -> None:
    """An empty clock face."""
    ax.set_aspect("equal")
    ax.add_patch(Circle((0, 0), 1, facecolor="#F7F7F7", edgecolor=plots.STREAM, linewidth=1.2, zorder=0))
    ax.set(xlim=(-1.12, 1.12), ylim=(-1.12, 1.12), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _roundness(points: NDArray) -> float:
    """By how much points are nearer or farther from the middle than on average, as a share."""
    radii = np.linalg.norm(points, axis=1)
    return float(radii.std() / radii.mean())


def _looks(weights: ArrayLike, farthest: int) -> NDArray:
    """The mean weight at each distance back; the first query, which sees itself alone, is left out."""
    table = as_numbers(weights)
    return np.array([table.diagonal(-distance)[1:].mean() for distance in range(farthest)])
