"""The figures of notebook 01: what tokens save and cost, how rows move, what counted vectors know."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from course_lib import plots
from course_lib.plots import as_numbers, supported


def arrows(rows: Mapping[str, tuple[float, float]], first: str, second: str) -> None:
    """Rows of two numbers as arrows in the plane.

    Args:
        rows: by the name of the token.
        first, second: what the two numbers say.
    """
    said = _most_alike(rows)
    fig, (ax,) = plots.panels(title=said, size=(4.6, 4.2))
    for index, (name, row) in enumerate(rows.items()):
        _arrow(ax, name, np.zeros(2), as_numbers(row), plots.PALETTE[index % len(plots.PALETTE)])
    _cross(ax, list(rows.values()))
    ax.set(xlabel=first, ylabel=second)
    where = ", ".join(f"{name} to ({x:g}, {y:g})" for name, (x, y) in rows.items())
    plots.show(fig, alt=f"Arrows from the middle: {where}; {said}.")


def pulled(ways: Mapping[str, ArrayLike], h: Mapping[str, ArrayLike], never: str) -> None:
    """How rows of two numbers move while a model learns what comes next.

    Args:
        ways: by token, the row at each step, (steps, 2).
        h: by the token before, what the rows are compared with, (2,).
        never: the token that never comes; of the others the first two come after the same one.
    """
    rows = {name: as_numbers(way)[-1] for name, way in ways.items()}
    one, other, *_ = rows
    away = {name: _cosine(rows[never], as_numbers(each)) for name, each in h.items()}
    alike = _cosine(rows[one], rows[other])
    said = f"{one} and {other} {alike:.2f}; {never} and " + ", ".join(f"{k} {v:.2f}" for k, v in away.items())
    title = supported(
        f"Who is pulled to the same h becomes alike; {never} is only pushed",
        f"cosines: {said}",
        alike > 0.95 and max(away.values()) < -0.5,
    )
    fig, (ax,) = plots.panels(title=title, size=(5.6, 4.6))
    for name, each in h.items():
        _arrow(ax, f"h of {name}", np.zeros(2), as_numbers(each), plots.STREAM, dashed=True)
    for index, (name, way) in enumerate(ways.items()):
        colour, places = plots.PALETTE[index % len(plots.PALETTE)], as_numbers(way)
        ax.plot(*places.T, color=colour, linewidth=1, marker=".", markersize=3)
        _arrow(ax, name, np.zeros(2), rows[name], colour)
    _cross(ax, [*rows.values(), *h.values()])
    plots.show(fig, alt=f"Rows as arrows, with their ways, and the two h. Cosines: {said}.")


def _arrow(ax: Axes, name: str, start: NDArray, end: NDArray, colour: str, *, dashed: bool = False) -> None:
    """An arrow with its name beyond its point."""
    style = {"arrowstyle": "->", "color": colour, "linewidth": 2, "linestyle": "--" if dashed else "-"}
    ax.annotate("", tuple(end), tuple(start), arrowprops=style)
    x, y = end + 0.06 * np.abs(end).max() * np.sign(end)
    is_near = any(
        np.abs(np.subtract(text.get_position(), (x, y))).max() < 0.3 for text in ax.texts if text.get_text()
    )
    label = plots.literal(name)
    ax.text(
        x,
        y,
        f"\n{label}" if is_near else label,
        color=colour,
        ha="left" if x > 0 else "right",
        va="bottom" if y > 0 else "top",
    )


def _cross(ax: Axes, ends: Sequence[ArrayLike]) -> None:
    """Both axes through the middle, all ends and their names in view, both on one scale."""
    reached = np.stack([np.zeros(2), *map(as_numbers, ends)])
    lowest, highest = reached.min(0), reached.max(0)
    (left, bottom), (right, top) = (
        lowest - 0.35 * max(highest - lowest),
        highest + 0.35 * max(highest - lowest),
    )
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    ax.axhline(0, color=plots.STREAM, linewidth=0.8, zorder=0)
    ax.axvline(0, color=plots.STREAM, linewidth=0.8, zorder=0)


def _cosine(one: NDArray, other: NDArray) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def _marks(marked: Sequence[int]) -> str:
    return f" Marked are the columns {', '.join(map(str, marked))}." if marked else ""


def _most_alike(rows: Mapping[str, ArrayLike]) -> str:
    """Which two rows point most nearly the same way."""
    pairs = {
        (one, other): _cosine(as_numbers(rows[one]), as_numbers(rows[other]))
        for one, other in combinations(rows, 2)
    }
    one, other = max(pairs, key=lambda pair: pairs[pair])
    return f"{one} and {other} are most alike, cosine {pairs[one, other]:.2f}"


def strips(rows: Mapping[str, ArrayLike], shown: int = 64, marked: Sequence[int] = ()) -> None:
    """Some rows of a table as strips of colour, a cell for each number.

    Args:
        rows: by the name of the token, (D,) each.
        shown: how many of their numbers.
        marked: columns with a mark above.
    """
    table, names, said = np.asarray([as_numbers(row) for row in rows.values()]), list(rows), _most_alike(rows)
    fig, (ax,) = plots.panels(title=said, size=(7.6, 0.42 * len(names) + 0.5))
    most = float(np.abs(table[:, :shown]).max())
    ax.imshow(table[:, :shown], cmap="PuOr", vmin=-most, vmax=most, aspect="auto")
    ax.set_yticks(range(len(names)), [plots.literal(name) for name in names])
    ax.set_xticks([])
    for line in range(1, len(names)):
        ax.axhline(line - 0.5, color="white", linewidth=4)
    ax.plot(marked, [-0.75] * len(marked), "v", color=plots.BLACK, markersize=7, clip_on=False)
    ax.set_ylim(len(names) - 0.5, -0.5)
    plots.show(
        fig, alt=f"A strip of {shown} coloured cells for each of {', '.join(names)}: {said}.{_marks(marked)}"
    )


def prices(n_tokens: Mapping[str, int], n_bytes: Mapping[str, int]) -> None:
    """Tokens for the same sentence in many languages, the cheapest on top.

    Args:
        n_tokens: by language, English among them.
        n_bytes: the same for bytes.
    """
    cheapest = sorted(n_tokens, key=lambda name: n_tokens[name])
    english, dearest = n_tokens["English"], cheapest[-1]
    times = n_tokens[dearest] / english
    said = ", ".join(f"{name} {n_tokens[name]}" for name in cheapest)
    title = supported(
        f"The same sentence takes {times:.1f} times as many tokens in {dearest} as it does in English",
        said,
        english == min(n_tokens.values()),
        times > 3,
    )
    fig, (ax,) = plots.panels(title=title, size=(6.4, 5.6))
    places = np.arange(len(cheapest))[::-1]
    counts = [n_tokens[name] for name in cheapest]
    ax.barh(places, counts, color=plots.BLUE, height=0.7, label="tokens")
    ax.plot([n_bytes[name] for name in cheapest], places, "x", color=plots.VERMILION, label="bytes")
    for place, count in zip(places, counts, strict=True):
        ax.text(count - 1, place, str(count), va="center", ha="right", color="white", fontsize=9)
    ax.set_yticks(places, cheapest)
    ax.set(xlabel="tokens (bars) and bytes (crosses) for one sentence", ylim=(-0.7, len(cheapest) - 0.3))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="upper right")
    plots.show(fig, alt=f"A bar for each language, tokens for one sentence: {said}. Crosses show the bytes.")


def twins(occurrences: Sequence[int], shares: Mapping[str, ArrayLike]) -> None:
    """How many words find their twin, over how often they occur.

    Args:
        occurrences: the least number of occurrences in each group.
        shares: for each way, the share of words in each group; the last is the rival.
    """
    *ways, rival = ((name, np.asarray(share, dtype=float)) for name, share in shares.items())
    said = "; ".join(f"{name} from {share[0]:.0%} to {share[-1]:.0%}" for name, share in (*ways, rival))
    title = supported(
        "A word finds its twin once it occurs often enough",
        said,
        all(share[-2:].mean() > share[:2].mean() + 0.3 for _, share in ways),
        rival[1].max() < 0.2,
    )
    fig = plots.lines(
        {name: (occurrences, 100 * share) for name, share in (*ways, rival)},
        title=title,
        x="how often the word occurs, at least",
        y="words whose nearest is their twin, %",
        log_x=True,
    )
    fig.axes[0].set_ylim(-4, 104)
    _name_sizes(fig.axes[0], occurrences)
    plots.show(fig, alt=f"Curves, from words that occur {occurrences[0]} times to the commonest: {said}.")


def word_map(vectors: ArrayLike, groups: Mapping[str, str]) -> None:
    """Words in the plane in which their vectors spread most.

    Args:
        vectors: one for each word.
        groups: of each word its kind.
    """
    unit = np.asarray(vectors, dtype=float)
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    words, kinds = list(groups), np.array(list(groups.values()))
    near = (unit @ unit.T - 2 * np.eye(len(unit))).argmax(1)
    same = float((kinds[near] == kinds).mean())
    title = supported(
        "Words of one kind mostly lie together",
        f"the nearest word is of the same kind for {same:.0%}",
        same > 0.7,
    )
    centred = unit - unit.mean(0)
    points = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    fig = plots.scatter(
        points,
        kinds,
        title=title,
        x="direction in which they spread most",
        y="and second most",
    )
    fig.set_size_inches(6.4, 4.6)
    _label(fig, words, points)
    kept = {kind: ", ".join(word for word in words if groups[word] == kind) for kind in groups.values()}
    said = "; ".join(f"{kind}: {of_kind}" for kind, of_kind in kept.items())
    alt = f"{len(words)} words as points; for {same:.0%} the nearest is of their kind. {said}."
    plots.show(fig, alt=alt)


def falling(cosines: Sequence[Sequence[float]]) -> None:
    """How alike the rows of tokens are, step by step.

    Args:
        cosines: at each step the mean cosine of rows that never occur, and of those that occur often.
    """
    never, often = np.asarray(cosines, dtype=float).T
    ends = {"never": (never[0], never.max(), never[-1]), "often": (often[0], often.max(), often[-1])}
    said = "; ".join(f"{name} {', '.join(f'{n:.2f}' for n in each)}" for name, each in ends.items())
    title = supported(
        "All rows fall together; then those that occur part again",
        said,
        never[-1] > 0.95,
        often.max() > 0.7,
        often[-1] < 0.5,
    )
    steps = np.arange(len(never))
    curves = {"tokens that never occur": (steps, never), "tokens that occur often": (steps, often)}
    fig = plots.lines(curves, title=title, x="steps of training", y="mean cosine of two rows")
    fig.axes[0].set_ylim(-0.05, 1.05)
    plots.show(fig, alt=f"Two curves, the mean cosine of two rows at the start, at most, at the end: {said}.")


def years(found: Sequence[int], points: ArrayLike) -> None:
    """Years as points in the plane in which their rows spread most.

    Args:
        found: the years.
        points: (N, 2).
    """
    along, across = np.asarray(points, dtype=float).T
    r = float(np.corrcoef(along, found)[0, 1])
    along, r = (along, r) if r > 0 else (-along, -r)  # later years to the right
    title = supported(
        "The years lie along a line, nearly in their order",
        f"the first direction and the year: correlation {r:.2f}",
        r > 0.85,
    )
    fig, (ax,) = plots.panels(title=title, size=(6.8, 4.2))
    drawn = ax.scatter(along, across, c=found, cmap="viridis", s=14)
    for year in (1700, 1750, 1800, 1850, 1900, 1914, 1945, 1969, 2000, 2021):
        if year in found:
            at = list(found).index(year)
            ax.annotate(
                str(year), (along[at], across[at]), xytext=(4, 4), textcoords="offset points", fontsize=9
            )
    fig.colorbar(drawn, ax=ax, label="year")
    ax.set(xlabel="direction in which the rows spread most", ylabel="and second most")
    ax.spines[["top", "right"]].set_visible(False)
    alt = f"{len(list(found))} years as points; correlation of the first direction and the year: {r:.2f}."
    plots.show(fig, alt=alt)


def letters(right: Mapping[str, float], commonest: Mapping[str, float]) -> None:
    """How often a letter can be read from a row, by its place in the word.

    Args:
        right: the share of words for each place.
        commonest: the same if one always says the commonest letter there.
    """
    said = ", ".join(f"{place} {share:.0%} and {commonest[place]:.0%}" for place, share in right.items())
    title = supported(
        "The first letter can be read from most rows, the third hardly",
        said,
        right["first"] > 0.7,
        right["third"] < commonest["third"] + 0.05,
    )
    fig = plots.grouped_bars(
        {
            "read from the row": [100 * share for share in right.values()],
            "always the commonest letter": [100 * commonest[place] for place in right],
        },
        [f"{place} letter" for place in right],
        title=title,
        y="words, %",
    )
    plots.show(fig, alt=f"Bars for each place, read from the row and guessed: {said}.")


def _name_sizes(ax: Axes, sizes: Sequence[int]) -> None:
    """Each size in full, instead of powers of ten."""
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.minorticks_off()


def _label(fig: Figure, words: Sequence[str], points: NDArray) -> None:
    """A word beside each point, on a side where no other word stands already."""
    taken: list[tuple[float, float, float]] = []  # left end, height on the page and width, in points
    fig.draw_without_rendering()  # from here on it is known where the points lie
    (ax,) = fig.axes
    for word, point in zip(words, points, strict=True):
        x, y = (ax.transData.transform(point) * 72 / fig.dpi).tolist()
        width = 5.5 * len(word)
        sides = [(4.0, 3.0), (4.0, -10.0), (-4.0 - width, 3.0), (-4.0 - width, -10.0)]
        free = [side for side in sides if not any(_meet(x + side[0], y + side[1], width, *t) for t in taken)]
        across, up = (free or sides)[0]
        taken.append((x + across, y + up, width))
        ax.annotate(word, point, xytext=(across, up), textcoords="offset points", fontsize=9)


def _meet(x: float, y: float, width: float, other_x: float, other_y: float, other_width: float) -> bool:
    """Whether two words in small print overlap."""
    return x < other_x + other_width and other_x < x + width and abs(y - other_y) < 10
