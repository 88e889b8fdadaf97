"""The figures of notebook 04: what heads look at, who copies, what attention costs, what can replace it."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from course_lib import plots
from course_lib.figures import supported

_GAP = 2  # between the tiles of a sheet, in tokens


def name(pieces: Sequence[str], losses: Mapping[str, ArrayLike]) -> None:
    """What the pieces of a made-up name cost, when it comes first and when it comes again.

    Args:
        pieces: of the name.
        losses: for the first time and the second time, one number a piece, in nats.
    """
    first, second = (_numbers(each)[1:] for each in losses.values())  # nobody can know that it begins
    said = f"after its first piece, a piece costs {first.mean():.1f}, then {second.mean():.1f}"
    supported(bool(second.max() < first.mean() / 2), said)
    fig = plots.lines(
        {each: (range(len(pieces)), _numbers(costs)) for each, costs in losses.items()},
        title="The second time, the name is hardly a surprise after its first piece",
        x="piece of the name",
        y="loss, nats",
    )
    _name_pieces(fig.axes[0], pieces)
    plots.show(fig, alt=f"Two curves over the pieces {', '.join(pieces)}: {said}.")


def relations(right: Mapping[str, ArrayLike]) -> None:
    """What models with one set of weights get right, and with more.

    Args:
        right: shares of right answers, one a run; first one head, last one head in two layers, and in
            between two heads and rivals that have one head.
    """
    shares = {each: _numbers(runs) for each, runs in right.items()}
    said = _means(shares)
    one, *others, deep = shares.values()
    two, *rivals = others
    weak = max(runs.mean() for runs in (one, *rivals))
    supported(bool(two.mean() > one.mean() + 0.05 and min(two.mean(), deep.mean()) > weak), said)
    fig = plots.dots(
        {each: 100 * runs for each, runs in shares.items()},
        title="One head falls short, however wide; a second head helps, and so does a second layer",
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
    tiles = _numbers(weights)
    n_layers, n_heads, size, _ = tiles.shape
    flat = tiles.reshape(n_layers * n_heads, size, size)
    moved = _moved(flat)
    alike = float((moved < 0.1).mean())
    said = (
        f"two heads differ in {moved.mean():.0%} of their weight on average, {alike:.1%} in less than a tenth"
    )
    supported(alike < 0.05, said)
    step = size + _GAP
    page = np.full((n_heads * step - _GAP, n_layers * step - _GAP), np.nan)
    for layer, row in enumerate(tiles):
        for head, tile in enumerate(row):
            top, left = head * step, layer * step
            page[top : top + size, left : left + size] = tile
    fig, (ax,) = plots.panels(
        title=f"{len(flat)} heads, and hardly two of them draw the same picture",
        size=(10.5, 10.5 * n_heads / n_layers + 1),
    )
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
    tables = {each: _numbers(weights) for each, weights in heads.items()}
    least = _moved(np.stack(list(tables.values()))).min()
    said = f"any two of them differ in {least:.0%} of their weight or more"
    supported(bool(least > 0.25), said)
    fig, axes = plots.panels(len(tables), title="The same sentence, other graphs", size=(2.5, 4.2))
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
    """How much weight each head gives to a relation, after training and before, the strongest first.

    Args:
        trained, start: by relation the score of every head, from 0 to 1.
    """
    after = {each: np.sort(_numbers(scores), axis=None)[::-1] for each, scores in trained.items()}
    before = {each: np.sort(_numbers(scores), axis=None)[::-1] for each, scores in start.items()}
    said = ", ".join(
        f"{each} up to {after[each][0]:.0%} (before training {before[each][0]:.0%})" for each in after
    )
    supported(all(after[each][0] > 2 * before[each][0] for each in after), said)
    title = "Training makes a few heads into specialists; at the start all are alike"
    fig, axes = plots.panels(len(after), title=title, size=(3.3, 3.2))
    for ax, each in zip(axes, after, strict=True):
        places = np.arange(1, len(after[each]) + 1)
        series = {"trained": (places, after[each]), "before training": (places, before[each])}
        plots.lines(series, title=each, x="heads, strongest first", y="share of the weight", ax=ax)
        ax.set_ylim(0, 1.02)
    plots.show(fig, alt=f"For each relation two falling curves over the heads: {said}.")


def silenced(losses: Mapping[str, ArrayLike], intact: float) -> None:
    """The loss with heads off: those that look most at the first token, some by lot, those that look least.

    Args:
        losses: in nats, one a draw.
        intact: the loss of the whole model.
    """
    groups = {each: _numbers(draws) for each, draws in losses.items()}
    most, drawn, least = groups.values()
    said = ", ".join(f"{each} {draws.mean():.2f}" for each, draws in groups.items())
    said = f"intact {intact:.2f}, {said}"
    supported(bool(most.max() < drawn.max() and most.max() - intact < (least.min() - intact) / 3), said)
    fig = plots.dots(
        groups,
        title="The heads that look most at the first token are hardly missed",
        y="loss on reviews, nats",
        level=("all heads on", intact),
    )
    plots.show(fig, alt=f"Dots, one for each choice of heads; loss: {said}.")


def copying(
    counts: Sequence[int], strongest: ArrayLike, others: ArrayLike, previous: float, first_copy: float
) -> None:
    """What the repetition costs when copying heads are off.

    Args:
        counts: how many heads are off, from 0 on.
        strongest: the loss of the second copy without that many of the strongest copying heads.
        others: the same without as many others as the largest count, one a draw.
        previous: the same without a single head, which looks at the token before.
        first_copy: the loss when nothing is repeated yet.
    """
    without, drawn = _numbers(strongest), _numbers(others)
    said = (
        f"without {counts[-1]} copying heads {without[-1]:.1f}, without {counts[-1]} others "
        f"{drawn.mean():.1f}, without the one head {previous:.1f}, intact {without[0]:.1f}"
    )
    supported(bool(without[-1] - without[0] > 3 * (drawn.max() - without[0])), said)
    supported(bool(previous > drawn.max()), said)
    fig = plots.lines(
        {"the strongest copying heads": (counts, without)},
        title="A few heads copy, and they need one that looks at the token before",
        x="heads switched off",
        y="loss of the second copy, nats",
        level=("first copy", first_copy),
    )
    ax = fig.axes[0]
    ax.plot([counts[-1]] * len(drawn), drawn, "s", color=plots.ORANGE, label="others of the same layers")
    ax.plot([1], [previous], "*", color=plots.GREEN, markersize=14, label="one head for the token before")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False, fontsize=8)
    plots.show(fig, alt=f"A rising curve over the number of heads off; loss of the second copy: {said}.")


def name_without(pieces: Sequence[str], losses: Mapping[str, ArrayLike]) -> None:
    """What the repeated name costs with some heads off.

    Args:
        pieces: of the name.
        losses: first of the whole model, then without copying heads, then without as many others.
    """
    costs = {each: _numbers(numbers) for each, numbers in losses.items()}
    whole, without, others = (each[1:].mean() for each in list(costs.values())[:3])
    said = ", ".join(f"{each} {numbers[1:].mean():.1f}" for each, numbers in costs.items())
    supported(bool(without > others + 2 * abs(others - whole) + 0.5), said)
    fig = plots.lines(
        {each: (range(len(pieces)), numbers) for each, numbers in costs.items()},
        title="Without copying heads the name is forgotten",
        x="piece of the name",
        y="loss, nats",
    )
    _name_pieces(fig.axes[0], pieces)
    plots.show(fig, alt=f"Curves over the pieces of the name; mean after the first piece: {said}.")


def head_counts(right: Mapping[int, ArrayLike]) -> None:
    """What a model of one width gets right, by how many heads the width is divided into.

    Args:
        right: for each number of heads the shares of right answers, one a run.
    """
    shares = {n: _numbers(runs) for n, runs in right.items()}
    one, two, *more = (runs.mean() for runs in shares.values())
    said = _means({f"{n} heads": runs for n, runs in shares.items()})
    gained = max(more) - two
    supported(bool(two - one > 0.05 and gained < (two - one) / 2), said)
    fig = plots.dots(
        {str(n): 100 * runs for n, runs in shares.items()},
        title="The second head helps most",
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
    by_lot = _numbers(drawn)
    said = ", ".join(f"without {n} {rise:+.0%}" for n, rise in least.items())
    said += f"; without {n_drawn} drawn by lot {by_lot.mean():+.0%}"
    supported(least[min(least)] < 0.05 < least[max(least)], said)
    supported(bool(2 * least[n_drawn] < by_lot.mean()), said)
    fig = plots.lines(
        {"the least important": (list(least), 100 * _numbers(list(least.values())))},
        title="Many heads are hardly missed, if one knows which",
        x="heads switched off",
        y="rise of the loss, %",
    )
    ax = fig.axes[0]
    ax.plot([n_drawn] * len(by_lot), 100 * by_lot, "s", color=plots.ORANGE, label="drawn by lot")
    ax.legend(frameon=False)
    plots.show(fig, alt=f"A rising curve over the number of heads off, and dots above it; the loss: {said}.")


def costs(tokens: Sequence[int], seconds: Mapping[str, ArrayLike], kept: Mapping[str, ArrayLike]) -> None:
    """What three ways to attend take, over the number of tokens.

    Args:
        tokens: how many.
        seconds: of one call, for "explicit", "fused" and "linear".
        kept: the same for the bytes that are kept for training.
    """
    longer = tokens[-1] / tokens[0]
    grown = {each: _numbers(amounts)[-1] / _numbers(amounts)[0] for each, amounts in kept.items()}
    slower = {each: _numbers(amounts)[-1] / _numbers(amounts)[0] for each, amounts in seconds.items()}
    times = ", ".join(f"{each} {number:.0f}" for each, number in slower.items())
    stored = ", ".join(f"{each} {number:.0f}" for each, number in grown.items())
    said = f"{longer:.0f} times as many tokens: times as long, {times}; times as many bytes, {stored}"
    supported(bool(grown["fused"] < 1.2 * longer and grown["explicit"] > longer**1.7), said)
    supported(bool(slower["fused"] > longer**1.4 > slower["linear"]), said)
    title = "Fused attention saves memory, but its time keeps the square; linear attention saves both"
    fig, axes = plots.panels(2, title=title, size=(4.6, 3.4))
    panels = ((seconds, 1e3, "time", "milliseconds"), (kept, 2**-20, "kept for training", "MiB"))
    for ax, (of_each, unit, what, label) in zip(axes, panels, strict=True):
        series = {each: (tokens, unit * _numbers(amounts)) for each, amounts in of_each.items()}
        plots.lines(series, title=what, x="tokens", y=label, log_x=True, log_y=True, ax=ax)
        ax.set_xticks(tokens, [f"{n:,}" for n in tokens])
        ax.minorticks_off()
    plots.show(fig, alt=f"Curves from {tokens[0]} to {tokens[-1]} tokens. {said}.")


def mixers(right: Mapping[str, Mapping[str, ArrayLike]], chance: Mapping[str, float]) -> None:
    """What layers get right that mix tokens in other ways: a task that all solve, and one that tells.

    Args:
        right: for each of two tasks the shares of right answers by mixer, one a run; softmax comes first.
        chance: for each task what guessing gets.
    """
    tables = {task: {each: _numbers(runs) for each, runs in groups.items()} for task, groups in right.items()}
    easy, hard = tables.values()
    said = "; ".join(f"{task}: {_means(groups)}" for task, groups in tables.items())
    softmax, *others = (runs.mean() for runs in hard.values())
    supported(bool(min(runs.mean() for runs in easy.values()) > 0.85), said)
    supported(bool(softmax > max(others) + 0.15), said)
    title = "All of them tell which came first; looking up is what attention does best"
    fig, axes = plots.panels(2, title=title, size=(5.4, 3.4))
    for ax, (task, groups) in zip(axes, tables.items(), strict=True):
        plots.dots(
            {each: 100 * runs for each, runs in groups.items()},
            title=task,
            y="right answers, %",
            level=("guessing", 100 * chance[task]),
            limits=(0.0, 103.0),
            ax=ax,
        )
    plots.show(fig, alt=f"Dots, one for each training run. Means, {said}.")


def _name_pieces(ax: Axes, pieces: Sequence[str]) -> None:
    ax.set_xticks(range(len(pieces)), [plots.literal(piece.strip()) for piece in pieces])
    ax.set_ylim(bottom=0)


def _moved(heads: NDArray) -> NDArray:
    """For each pair of heads (N, queries, keys) what share of the weight would have to move."""
    pairs = [np.abs(heads[i + 1 :] - head).sum(-1).mean(-1) / 2 for i, head in enumerate(heads[:-1])]
    return np.concatenate(pairs)


def _numbers(values: ArrayLike) -> NDArray:
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values, dtype=float)


def _means(groups: Mapping[str, ArrayLike]) -> str:
    means = [f"{each} {_numbers(runs).mean():.0%}".replace("\n", " ") for each, runs in groups.items()]
    return ", ".join(means)
