"""The figures of notebook 04: what heads look at, who copies, what attention costs, what can replace it."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from course_lib import plots
from course_lib.plots import as_numbers, means, supported

_GAP = 2  # between the tiles of a sheet, in tokens


def name(pieces: Sequence[str], losses: Mapping[str, ArrayLike]) -> None:
    """What the pieces of a made-up name cost, when it comes first and when it comes again.

    Args:
        pieces: of the name.
        losses: for the first time and the second time, one number a piece, in nats.
    """
    first, second = (as_numbers(each)[1:] for each in losses.values())  # nobody can know that it begins
    said = f"after its first piece, a piece costs {first.mean():.1f}, then {second.mean():.1f}"
    title = supported(
        "The second time, the name is hardly a surprise after its first piece",
        said,
        second.max() < first.mean() / 2,
    )
    fig = _over_pieces(pieces, losses, title)
    plots.show(fig, alt=f"Two curves over the pieces {', '.join(pieces)}: {said}.")


def relations(right: Mapping[str, ArrayLike]) -> None:
    """What models with one set of weights get right, and with more.

    Args:
        right: shares of right answers, one a run: one head, two heads, and one head that is wider, trained
            longer, or in each of two layers.
    """
    shares = {each: as_numbers(runs) for each, runs in right.items()}
    said = means(shares)
    one, two, wide, patient, deep = (runs.mean() for runs in shares.values())
    title = supported(
        "A second head helps, more width hardly; a second layer or much more training do, too",
        said,
        two > one + 0.05 and wide - one < (two - one) / 2 and min(patient, deep) > max(one, wide),
    )
    fig = plots.dots(
        _in_percent(shares),
        title=title,
        y="right answers, %",
        level=("guessing", 25.0),
        limits=(0.0, 102.0),
    )
    fig.axes[0].legend(frameon=False, loc="lower right")  # away from the dots
    plots.show(fig, alt=f"Dots, one for each training run. Means: {said}; guessing 25%.")


def sheet(weights: ArrayLike) -> None:
    """Every head of a model on one sentence: a row of the sheet is a layer, a tile a head.

    Args:
        weights: (layers, heads, queries, keys).
    """
    tiles = as_numbers(weights)
    n_layers, n_heads, size, _ = tiles.shape
    flat = tiles.reshape(n_layers * n_heads, size, size)
    moved = _moved(flat)
    twins = int(((moved < 0.1).sum(1) > 1).sum())  # each is its own twin
    said = f"{twins} of {len(flat)} heads have a twin, which differs in less than a tenth of its weight"
    title = supported(
        f"{len(flat)} heads: most draw a picture of their own, some patterns come back",
        said,
        twins < len(flat) / 2,
    )
    step = size + _GAP
    page = np.full((n_heads * step - _GAP, n_layers * step - _GAP), np.nan)
    for layer, row in enumerate(tiles):
        for head, tile in enumerate(row):
            top, left = head * step, layer * step
            page[top : top + size, left : left + size] = tile
    fig, (ax,) = plots.panels(title=title, size=(10.5, 10.5 * n_heads / n_layers + 1))
    # The square root makes small weights visible.
    ax.imshow(np.ma.masked_invalid(np.sqrt(page)), cmap="Blues", vmin=0, vmax=1, interpolation="none")
    ax.set_xticks(np.arange(n_layers) * step + size / 2, range(n_layers))
    ax.set_yticks(np.arange(n_heads) * step + size / 2, range(n_heads))
    ax.set(xlabel="layer", ylabel="head")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    shape = f"{n_layers} columns of {n_heads} small maps, who looks (down) at whom (across)"
    plots.show(fig, alt=f"{shape}; {said}.")


def graphs(pieces: Sequence[str], heads: Mapping[str, ArrayLike]) -> None:
    """Some heads on one sentence as graphs: a line from each token to those that it looks at.

    Args:
        pieces: the tokens.
        heads: by name the weights (queries, keys).
    """
    tables = {each: as_numbers(weights) for each, weights in heads.items()}
    moved = _moved(np.stack(list(tables.values())))
    least = moved[~np.eye(len(tables), dtype=bool)].min()
    said = f"any two of them differ in {least:.0%} of their weight or more"
    title = supported("The same sentence, other graphs", said, least > 0.25)
    fig, axes = plots.panels(len(tables), title=title, size=(2.5, 4.2))
    height = np.arange(len(pieces))[::-1]
    for ax, (each, table) in zip(axes, tables.items(), strict=True):
        for query, row in enumerate(table):
            for key, weight in enumerate(row):
                if weight > 0.05:
                    ends = [height[query], height[key]]
                    ax.plot([0, 1], ends, color=plots.ATTENTION, alpha=float(min(1, weight)), linewidth=1.8)
        for place, piece in zip(height, pieces, strict=True):
            ax.text(-0.05, place, plots.literal(piece), ha="right", va="center", fontsize=8)
            ax.text(1.05, place, plots.literal(piece), ha="left", va="center", fontsize=8)
        ax.set(xlim=(-0.75, 1.75))
        ax.set_title(each, fontsize=10)
        ax.set_axis_off()
    names = ", ".join(tables).replace("\n", " ")
    plots.show(fig, alt=f"Lines from a column of tokens to another, for {names}; {said}.")


def specialists(trained: Mapping[str, ArrayLike], start: Mapping[str, ArrayLike]) -> None:
    """How much weight each head gives to a relation, the strongest first, and the most a random one gives.

    Args:
        trained, start: by relation the scores of trained heads and of random ones, from 0 to 1.
    """
    after = {each: np.sort(as_numbers(scores), axis=None)[::-1] for each, scores in trained.items()}
    before = {each: float(as_numbers(scores).max()) for each, scores in start.items()}
    said = ", ".join(
        f"{each} up to {after[each][0]:.0%} (random weights {before[each]:.0%})" for each in after
    )
    title = supported(
        "Training turns most heads to the first token and makes a few into specialists",
        said,
        all(after[each][0] > 2 * before[each] for each in after),
    )
    fig, axes = plots.panels(len(after), title=title, size=(3.3, 3.2))
    for ax, each in zip(axes, after, strict=True):
        series = {"trained": (np.arange(1, len(after[each]) + 1), after[each])}
        level = ("random weights, at most", before[each])
        plots.lines(
            series, title=each, x="heads, strongest first", y="share of the weight", level=level, ax=ax
        )
        ax.set_ylim(0, 1.02)
    plots.show(fig, alt=f"For each relation a falling curve over the heads: {said}.")


def silenced(losses: Mapping[str, ArrayLike], intact: float) -> None:
    """The loss without the heads that look most at the first token, and without the token.

    Args:
        losses: in nats: with these heads off; with as many drawn by lot off, one a draw; with the first token
            hidden; with another token hidden, one a token.
        intact: the loss of the whole model.
    """
    most, drawn, token, others = (as_numbers(each) for each in losses.values())
    labels = (
        "heads that look\nat it most, off",
        "as many heads\nby lot, off",
        "first token\nhidden",
        "another token\nhidden",
    )
    groups = dict(zip(labels, (most, drawn, token, others), strict=True))
    said = f"intact {intact:.2f}, " + ", ".join(
        f"{each} {draws.mean():.2f}" for each, draws in groups.items()
    )
    said = said.replace("\n", " ")
    title = supported(
        "The first token is needed; the heads that look at it most, no more than others",
        said,
        token.min() - intact > 3 * (max(most.max(), drawn.max(), others.max()) - intact),
        most.mean() - intact < 1.5 * (drawn.mean() - intact),
    )
    fig = plots.dots(
        groups,
        title=title,
        y="loss on reviews, nats",
        level=("all heads on", intact),
    )
    plots.show(fig, alt=f"Dots, one for each choice; loss: {said}.")


def copying(
    counts: Sequence[int],
    strongest: ArrayLike,
    others: ArrayLike,
    previous: float,
    beside: ArrayLike,
    first_copy: float,
) -> None:
    """What the repetition costs when copying heads are off.

    Args:
        counts: how many heads are off, from 0 on.
        strongest: the loss of the second copy without that many of the strongest copying heads.
        others: the same without as many others as the largest count, one a draw.
        previous: the same without a single head, which looks at the token before.
        beside: the same without others of its layer, each alone.
        first_copy: the loss when nothing is repeated yet.
    """
    without, drawn, mates = (as_numbers(each) for each in (strongest, others, beside))
    said = (
        f"without {counts[-1]} copying heads {without[-1]:.1f}, without {counts[-1]} others "
        f"{drawn.mean():.1f}, without one head for the token before {previous:.1f}, without another of its "
        f"layer {mates.mean():.1f}, intact {without[0]:.1f}"
    )
    title = supported(
        "A few heads copy; one that looks at the token before carries half of it",
        said,
        without[-1] - without[0] > 3 * (drawn.max() - without[0]),
        previous - without[0] > 3 * (max(drawn.max(), mates.max()) - without[0]),
    )
    fig = plots.lines(
        {"the strongest copying heads": (counts, without)},
        title=title,
        x="heads switched off",
        y="loss of the second copy, nats",
        level=("first copy", first_copy),
    )
    ax = fig.axes[0]
    ax.plot([counts[-1]] * len(drawn), drawn, "s", color=plots.ORANGE, label="others of the same layers")
    ax.plot([1], [previous], "*", color=plots.GREEN, markersize=14, label="one head for the token before")
    ax.plot(
        [1] * len(mates), mates, "^", color=plots.GREEN, markersize=4, label="two others of its layer, alone"
    )
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False, fontsize=8)
    plots.show(fig, alt=f"A curve over the number of heads off; loss of the second copy: {said}.")


def name_without(pieces: Sequence[str], losses: Mapping[str, ArrayLike]) -> None:
    """What the repeated name costs with some heads off.

    Args:
        pieces: of the name.
        losses: first of the whole model, then without copying heads, then without as many others.
    """
    costs = {each: as_numbers(numbers) for each, numbers in losses.items()}
    whole, without, others = (each[1:].mean() for each in list(costs.values())[:3])
    said = ", ".join(f"{each} {numbers[1:].mean():.1f}" for each, numbers in costs.items())
    much_more = without > others + 2 * abs(others - whole) + 0.5
    title = supported("Without copying heads the name costs much more", said, much_more)
    fig = _over_pieces(pieces, costs, title)
    plots.show(fig, alt=f"Curves over the pieces of the name; mean after the first piece: {said}.")


def head_counts(right: Mapping[int, ArrayLike]) -> None:
    """What a model of one width gets right, by how many heads the width is divided into.

    Args:
        right: for each number of heads the shares of right answers, one a run.
    """
    shares = {n: as_numbers(runs) for n, runs in right.items()}
    one, two, *more = (runs.mean() for runs in shares.values())
    said = means({f"{n} heads": runs for n, runs in shares.items()})
    gained = max(more) - two
    title = supported("The second head helps most", said, two - one > 0.05 and gained < (two - one) / 2)
    fig = plots.dots(
        {str(n): 100 * runs for n, runs in shares.items()},
        title=title,
        y="right answers, %",
        limits=(0.0, 102.0),
    )
    fig.axes[0].set_xlabel("heads, at the same width")
    plots.show(fig, alt=f"Dots, one for each training run. Means: {said}.")


def pruning(least: Mapping[int, float], drawn: ArrayLike, n_drawn: int) -> None:
    """By how much the loss rises when heads are switched off for good.

    Args:
        least: for each number of heads the rise, as a share, without the least important.
        drawn: the same without heads drawn by lot, one a draw.
        n_drawn: how many were drawn, a number for which `least` is known.
    """
    by_lot = as_numbers(drawn)
    said = ", ".join(f"without {n} {rise:+.0%}" for n, rise in least.items())
    said += f"; without {n_drawn} drawn by lot {by_lot.mean():+.0%}"
    title = supported(
        "A third of the heads costs little, if one knows which",
        said,
        least[min(least)] < 0.05 < least[max(least)],
        2 * least[n_drawn] < by_lot.mean(),
    )
    fig = plots.lines(
        {"the least important": (list(least), 100 * as_numbers(list(least.values())))},
        title=title,
        x="heads switched off",
        y="rise of the loss, %",
    )
    ax = fig.axes[0]
    ax.plot([n_drawn] * len(by_lot), 100 * by_lot, "s", color=plots.ORANGE, label="drawn by lot")
    ax.legend(frameon=False)
    plots.show(fig, alt=f"A curve over the number of heads off, and dots; the loss: {said}.")


def costs(tokens: Sequence[int], seconds: Mapping[str, ArrayLike], kept: Mapping[str, ArrayLike]) -> None:
    """What three ways to attend take, over the number of tokens.

    Args:
        tokens: how many.
        seconds: of one call, for "explicit", "fused" and "linear".
        kept: the same for the bytes that are kept for training.
    """
    longer = tokens[-1] / tokens[0]
    grown = {each: as_numbers(amounts)[-1] / as_numbers(amounts)[0] for each, amounts in kept.items()}
    slower = {each: as_numbers(amounts)[-1] / as_numbers(amounts)[0] for each, amounts in seconds.items()}
    times = ", ".join(f"{each} {number:.0f}" for each, number in slower.items())
    stored = ", ".join(f"{each} {number:.0f}" for each, number in grown.items())
    said = f"{longer:.0f} times as many tokens: times as long, {times}; times as many bytes, {stored}"
    title = supported(
        "Fused and linear attention keep memory linear; only linear attention keeps time linear, too",
        said,
        grown["fused"] < 1.2 * longer and grown["explicit"] > longer**1.7,
        slower["fused"] > longer**1.4 > slower["linear"],
    )
    fig, axes = plots.panels(2, title=title, size=(4.6, 3.4))
    panels = ((seconds, 1e3, "time", "milliseconds"), (kept, 2**-20, "kept for training", "MiB"))
    for ax, (of_each, unit, what, label) in zip(axes, panels, strict=True):
        series = {each: (tokens, unit * as_numbers(amounts)) for each, amounts in of_each.items()}
        plots.lines(series, title=what, x="tokens", y=label, log_x=True, log_y=True, ax=ax)
        ax.set_xticks(tokens, [f"{n:,}" for n in tokens])
        ax.minorticks_off()
    plots.show(fig, alt=f"Curves from {tokens[0]} to {tokens[-1]} tokens. {said}.")


def state_sizes(
    looked: Mapping[int, ArrayLike], parted: ArrayLike, fewer: ArrayLike, attention: ArrayLike
) -> None:
    """What linear attention looks up with sums of several sizes: shares of right answers, one a run.

    Args:
        looked: by width of a state.
        parted: with the largest one cut into 16 heads.
        fewer: with the smallest one and a third of the values.
        attention: what attention looks up at the smallest width.
    """
    small, large = min(looked), max(looked)
    states = {f"{size} x {size} numbers": as_numbers(looked[size]) for size in sorted(looked)}
    groups = {
        f"attention, width {small}": as_numbers(attention),
        **states,
        f"16 times {large // 16} x {large // 16} numbers": as_numbers(parted),
        f"{small} x {small}, fewer values": as_numbers(fewer),
    }
    softmax, smallest, *_, largest, cut, few = (runs.mean() for runs in groups.values())
    said = means(groups)
    title = supported(
        "Linear attention looks up as many values as its sums have room for",
        said,
        min(largest, few) > softmax - 0.1,
        smallest < largest - 0.2,
        cut < largest - 0.1,
    )
    fig = plots.dots(
        _in_percent(groups),
        title=title,
        y="right answers, %",
        level=("guessing", 12.5),
        limits=(0.0, 103.0),
    )
    plots.show(fig, alt=f"Dots, one for each training run. Means: {said}; guessing 12.5%.")


def mixers(right: Mapping[str, Mapping[str, ArrayLike]], chance: Mapping[str, float]) -> None:
    """What layers get right that mix tokens in other ways: a task that all solve, and one that tells.

    Args:
        right: for each of two tasks the shares of right answers by mixer, one a run; softmax comes first, a
            plain mean last.
        chance: for each task what guessing gets.
    """
    tables = {
        task: {each: as_numbers(runs) for each, runs in groups.items()} for task, groups in right.items()
    }
    easy, hard = tables.values()
    said = "; ".join(f"{task}: {means(groups)}" for task, groups in tables.items())
    softmax, *others = (runs.mean() for runs in hard.values())
    *mixed, plain = (runs.mean() for runs in easy.values())
    title = supported(
        "Which came first is easy for all, nearly for a plain mean; looking up is for attention",
        said,
        min(mixed) > 0.85 and plain > chance[next(iter(tables))] + 0.15,
        softmax > max(others) + 0.15,
    )
    fig, axes = plots.panels(2, title=title, size=(5.4, 3.4))
    for ax, (task, groups) in zip(axes, tables.items(), strict=True):
        plots.dots(
            _in_percent(groups),
            title=task,
            y="right answers, %",
            level=("guessing", 100 * chance[task]),
            limits=(0.0, 103.0),
            ax=ax,
        )
    plots.show(fig, alt=f"Dots, one for each training run. Means, {said}.")


def _over_pieces(pieces: Sequence[str], losses: Mapping[str, ArrayLike], title: str) -> Figure:
    """Curves of what each piece of a name costs."""
    series = {each: (range(len(pieces)), as_numbers(costs)) for each, costs in losses.items()}
    fig = plots.lines(series, title=title, x="piece of the name", y="loss, nats")
    ax = fig.axes[0]
    ax.set_xticks(range(len(pieces)), [plots.literal(piece.strip()) for piece in pieces])
    ax.set_ylim(bottom=0)
    return fig


def _in_percent(shares: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Percents for shares, under names that are narrow enough to stand side by side."""
    return {textwrap.fill(each, 14): 100 * runs for each, runs in shares.items()}


def _moved(heads: NDArray) -> NDArray:
    """What share of the weight would have to move to make one head another: (N, N) for (N, queries, keys)."""
    return np.stack([np.abs(heads - head).sum(-1).mean(-1) / 2 for head in heads])
