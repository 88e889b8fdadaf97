"""The figures of notebook 09: what is in the file, what breaks it, and what other models do."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from course_lib import plots
from course_lib.plots import as_numbers, supported

FIRST = 10  # how many of the best are looked at


def numbers_in_file(counts: Mapping[str, int]) -> None:
    """Where the numbers of a model lie.

    Args:
        counts: by part, the MLPs first: how many.
    """
    whole = sum(counts.values())
    said = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    mlps, *others = counts.values()
    title = supported(
        "More than half of the numbers lie in the MLPs", said, mlps > whole / 2, mlps > 2 * max(others)
    )
    colours = [plots.MLP, plots.BLUE, plots.ATTENTION, plots.STREAM]
    fig = plots.bars(
        {name: count / 1e6 for name, count in counts.items()},
        [colours[n % 4] for n in range(len(counts))],
        title=title,
        x="million numbers",
        fmt="%.2f",
        end=1.15 * max(counts.values()) / 1e6,
        size=(7.6, 2.5),
    )
    plots.show(fig, alt=f"Bars, numbers in each part: {said}.")


def found(places: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> None:
    """How often the right sentence is among the first.

    Args:
        places: by method, MiniLM first: of the right sentence, from 1 on, for questions that share no word
            with it, then for those that do.
    """
    among = {
        name: [int((as_numbers(side) <= FIRST).sum()) for side in sides] for name, sides in places.items()
    }
    n_other, n_same = (len(as_numbers(side)) for side in next(iter(places.values())))
    said = "; ".join(
        f"{name} {other} of {n_other} in other words, {same} of {n_same} in the same"
        for name, (other, same) in among.items()
    )
    (minilm, _), *rivals = among.values()
    title = supported(
        "In the same words counting is enough, in others MiniLM finds more",
        said,
        minilm > 0.3 * n_other and minilm > 1.8 * max(other for other, _ in rivals),
        min(same for _, same in among.values()) > 0.7 * n_same,
    )
    sides = zip(
        ("other words", "the same words"), (n_other, n_same), zip(*among.values(), strict=True), strict=True
    )
    shares = {
        f"{name}, {words}": 100 * n_found / n_asked
        for words, n_asked, right in sides
        for name, n_found in zip(among, right, strict=True)
    }
    fig = plots.bars(
        shares,
        [plots.BLUE, *[plots.STREAM] * len(rivals)] * 2,
        title=title,
        x=f"answers among the first {FIRST}, %",
        fmt="%.0f",
        end=112,
        size=(7.6, 3.2),
    )
    plots.show(fig, alt=f"Bars, questions whose answer is among the first {FIRST}: {said}.")


def kinds(right: Mapping[str, Mapping[str, float]]) -> None:
    """One stack for all kinds of input, a stack for each, and others.

    Args:
        right: by kind of input the share of right answers by reader, in this order: one stack for all, its
            own stack, the one stack with the vectors in another order, one in which each vector is alone, the
            best rival, guessing.
    """
    names = list(next(iter(right.values())))
    said = "; ".join(
        f"{kind}: " + ", ".join(f"{name} {share:.0%}" for name, share in of.items())
        for kind, of in right.items()
    )
    serves = [
        min(shared, own) > guess + 0.1 and rival > shared
        for shared, own, _, _, rival, guess in map(dict.values, map(dict, right.values()))
    ]
    title = supported("One stack does all three; the best older method does better on each", said, *serves)
    shared, own, _, alone, rival, _ = names
    fig, (ax,) = plots.panels(title=title, size=(7.6, 3.0))
    colours = (plots.BLUE, plots.MLP, plots.STREAM, plots.VERMILION)
    for name, colour, marker in zip((shared, own, alone, rival), colours, "osx*", strict=True):
        ax.scatter(
            [100 * of[name] for of in right.values()], list(right), s=70, c=colour, marker=marker, label=name
        )
    ax.invert_yaxis()
    ax.margins(y=0.25)
    ax.grid(axis="x", alpha=0.3)
    ax.set(xlabel="right, %")
    fig.legend(frameon=False, ncols=4, loc="outside lower center")
    plots.show(fig, alt=f"Points, right answers: {said}.")


def beyond(bits: Mapping[str, ArrayLike], n_known: int) -> None:
    """What places cost on which a model was not trained.

    Args:
        bits: by kind of positions, "learned" and "rotary": at each place.
        n_known: how many places were trained.
    """
    of = {name: as_numbers(each) * np.log(2) for name, each in bits.items()}  # in nats
    first = {name: each[n_known // 2 : n_known - 1].mean() for name, each in of.items()}
    after = {name: each[n_known : 2 * n_known].mean() for name, each in of.items()}
    said = "; ".join(
        f"{name}: {first[name]:.1f} nats on the last trained places, {after[name]:.1f} on as many new ones"
        for name in of
    )
    title = supported(
        "Beyond trained places a table fails at once, rotation by and by",
        said,
        after["learned"] - first["learned"] > 1.4 * (after["rotary"] - first["rotary"]) > 0,
        after["learned"] > first["learned"] + 0.5,
    )
    smooth = {name: np.convolve(each, np.ones(5) / 5, "valid") for name, each in of.items()}
    curves = {name: (np.arange(2, 2 + len(each)), each) for name, each in smooth.items()}
    fig = plots.lines(curves, title=title, x="place", y="nats a character, mean of 5 places")
    (ax,) = fig.axes
    if legend := ax.get_legend():
        legend.remove()
    for line, (name, each) in zip(ax.lines, smooth.items(), strict=True):
        seen = each[n_known : 2 * n_known]
        above = seen.mean() > np.mean([other[n_known:].mean() for other in smooth.values()])
        height, side = (seen.max(), "bottom") if above else (seen.min(), "top")
        colour = line.get_color()
        ax.text(1.75 * n_known, height, name, color=colour, va=side, ha="center", weight="bold")
    ax.axvline(n_known, color=plots.STREAM, linestyle=":")
    ax.text(n_known + 1, ax.get_ylim()[0], " not trained", va="bottom", color=plots.STREAM)
    fig.set_size_inches(7.0, 3.6)
    plots.show(fig, alt=f"Two curves over the place: {said}.")


def broken(rows: Mapping[str, tuple[float, str]]) -> None:
    """A model with one part broken at a time: its loss, and what it writes.

    Args:
        rows: by what is changed, the intact model first and the one without its mask last: nats a token, and
            the text that it writes.
    """
    said = "; ".join(f"{name}: {loss:.1f} nats, writes {text!r}" for name, (loss, text) in rows.items())
    losses = {name: loss for name, (loss, _) in rows.items()}
    *others, unmasked = losses
    title = supported(
        "The lowest loss belongs to the model without its mask, which writes nonsense",
        said,
        losses[unmasked] < 0.7 * min(losses[name] for name in others),
        "Paris" in rows[others[0]][1] and "Paris" not in rows[unmasked][1],
    )
    colours = dict.fromkeys(rows, plots.STREAM) | {next(iter(rows)): plots.BLUE, [*rows][-1]: plots.VERMILION}
    order = sorted(losses, key=losses.__getitem__)
    end = 1.75 * max(losses.values())
    fig = plots.bars(
        {name: losses[name] for name in order},
        [colours[name] for name in order],
        title=title,
        x="nats a token",
        fmt="%.1f",
        end=end,
        size=(8.4, 4.6),
    )
    (ax,) = fig.axes
    ax.set_xticks(range(0, int(max(losses.values())) + 1, 2))
    ax.spines["bottom"].set_bounds(0, max(losses.values()))
    ax.text(0.68 * end, -0.75, "what it writes", va="center", fontsize=9, color=plots.STREAM)
    for place, name in enumerate(order):
        words = " ".join(rows[name][1].split())
        quoted = f"“{words}”" if words.strip("_") else "(underscores)" if words else "(line breaks)"
        ax.text(0.68 * end, place, plots.literal(quoted), va="center")
    plots.show(fig, alt=f"Bars, each with a text beside it: {said}.")
