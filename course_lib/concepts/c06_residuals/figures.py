"""The figures of notebook 06: what layers add, what keeps a deep stack together, what its stream says."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from course_lib import plots
from course_lib.plots import as_numbers, supported

NATS = "loss rises by, nats"


def layers_out(rises: ArrayLike) -> None:
    """What it costs to leave out one layer, each in turn.

    Args:
        rises: (layers, texts), in nats; two texts.
    """
    costs = as_numbers(rises)
    cheap, costly = np.all(costs < 0.5, axis=1), np.all(costs > 0.8, axis=1)
    said = (
        f"{cheap.sum()} of {len(costs)} layers cost less than 0.5 on both texts; more than 0.8 cost layers "
        f"{', '.join(str(layer) for layer in np.flatnonzero(costly))}"
    )
    title = supported(
        "Most layers can go, one at a time; the first two, the last two and one in the middle cost most",
        said,
        cheap.mean() > 0.6 and costly[:2].all() and costly[-2:].all(),
        costly[2:-2].sum() == 1,
    )
    fig, (ax,) = plots.panels(title=title, size=(8.4, 3.4))
    ax.bar(np.arange(len(costs)), costs[:, 0], color=plots.STREAM, label="a review")
    ax.plot(costs[:, 1], "o", color=plots.ORANGE, markersize=5, label="Python's manual")
    ax.axhline(0.5, color=plots.BLACK, linestyle=":", linewidth=1.2, label="half a nat")
    ax.set(xlabel="the layer left out", ylabel=NATS)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    plots.show(fig, alt=f"A bar and a dot for each layer: {said}.")


def before_and_after(before: ArrayLike, after: ArrayLike, learned: ArrayLike) -> None:
    """The numbers that a norm gets, what it makes of them, and what its learned scale and shift do then.

    Args:
        before: (tokens, width).
        after: normalised, without the learned part.
        learned: with it.
    """
    stages = {"before": before, "normalised": after, "with learned scale and shift": learned}
    of = {name: as_numbers(values) for name, values in stages.items()}
    outside = {name: float(((each < 0) | (each > 1)).mean()) for name, each in of.items()}
    said = ", ".join(f"{name} {share:.0%} outside of 0 to 1" for name, share in outside.items())
    normal = of["normalised"]
    title = supported(
        "Normalised: mean 0, variance 1, and most numbers outside of 0 to 1 (grey)",
        said,
        np.abs(normal.mean(-1)).max() < 1e-4 and np.abs(normal.var(-1) - 1).max() < 0.01,
        outside["normalised"] > 0.5 and outside["with learned scale and shift"] > 0.4,
    )
    fig, axes = plots.panels(3, title=title, size=(3.5, 2.9))
    for ax, (name, each) in zip(axes, of.items(), strict=True):
        ax.axvspan(0, 1, color="#D9D9D9", zorder=0)
        ax.hist(each.ravel(), bins=60, range=(-4, 4), color=plots.BLUE)
        ax.set_title(name, loc="left", fontsize=11)
        ax.set(xlabel="number in a token's vector", yticks=[])
        ax.spines[["top", "right", "left"]].set_visible(False)
    plots.show(fig, alt=f"Three histograms of the numbers in all tokens' vectors: {said}.")


def growth(sizes: Mapping[str, ArrayLike]) -> None:
    """How large the stream is behind each layer, before any training.

    Args:
        sizes: by kind (runs, layers): without norms, with pre-norm, with post-norm, and without norms from a
            smaller start.
    """
    of = {name: np.atleast_2d(as_numbers(runs)) for name, runs in sizes.items()}
    ends = {name: float(np.exp(np.log(runs[:, -1]).mean())) for name, runs in of.items()}
    said = ", ".join(f"{name} {end:,.3g}" for name, end in ends.items())
    none, pre, post, small = ends.values()
    explodes = none > 100 * pre and 3 < pre < 30 and abs(post - 1) < 0.05 and small < pre
    title = supported("Without norms or a small start the stream explodes", said, explodes)
    depth = np.arange(1, next(iter(of.values())).shape[1] + 1)
    fig = plots.lines(
        {name: (depth, runs) for name, runs in of.items()},
        title=title,
        x="layers",
        y="size of the stream",
        log_y=True,
    )
    plots.show(fig, alt=f"Curves over the layers. Size of the stream behind the last layer: {said}.")


def gradients(found: Mapping[str, ArrayLike], depths: Sequence[int]) -> None:
    """What reaches the first layer, before training.

    Args:
        found: by kind of stack, for each depth the gradient of the first layer over that of the last. The
            kinds: additions and norm, additions, norm, neither; neither, from a larger start.
        depths: how many layers.
    """
    of = {name: as_numbers(ratios) for name, ratios in found.items()}
    last = {name: float(ratios[-1]) for name, ratios in of.items()}
    said = f"at {depths[-1]} layers, " + ", ".join(f"{name} {ratio:.1g}" for name, ratio in last.items())
    both, additions, norm, neither, larger = last.values()
    title = supported(
        "Without additions and norms the gradient is lost on its way down",
        said,
        neither < 1e-6 and norm > 0.01 and min(both, additions) > 0.1,
        larger > 1e3 * neither,
    )
    fig = plots.lines(
        {name: (depths, ratios) for name, ratios in of.items()},
        title=title,
        x="layers",
        y="gradient, first layer over last",
        log_y=True,
    )
    _make_room(fig, 0)
    plots.show(fig, alt=f"Curves over the number of layers: {said}.")


def alike(cosines: Mapping[str, ArrayLike]) -> None:
    """What is left of the difference between tokens, layer by layer, before training.

    Args:
        cosines: by kind, the first four as in `gradients`, the mean cosine between tokens behind each layer.
    """
    of = {name: as_numbers(means) for name, means in cosines.items()}
    said = ", ".join(f"{name} {means[-1]:.2f}" for name, means in of.items())
    both, additions, norm, neither = (float(means[-1]) for means in of.values())
    title = supported(
        "Without additions, norms or not, all tokens soon point the same way",
        said,
        min(norm, neither) > 0.95 and max(both, additions) < 0.8,
    )
    fig = plots.lines(
        {name: (np.arange(len(means)), means) for name, means in of.items()},
        title=title,
        x="behind layer",
        y="mean cosine between tokens",
    )
    _make_room(fig, 2)
    plots.show(fig, alt=f"Curves over the layers. At the end {said}.")


def _make_room(fig: Figure, index: int) -> None:
    """Let a curve be seen that lies under another one."""
    fig.axes[0].lines[index].set(markersize=11, markerfacecolor="none")


def deep(trained: Mapping[int, Mapping[str, ArrayLike]], guessing: float) -> None:
    """The loss after training, for stacks with and without additions and norms.

    Args:
        trained: by number of layers, the few first, and by kind as in `gradients`: losses, one a run.
        guessing: the loss of guessing.
    """
    of = {n: {name: as_numbers(runs) for name, runs in kinds.items()} for n, kinds in trained.items()}
    said = "; ".join(
        f"{n} layers: " + ", ".join(f"{name} {runs.mean():.2f}" for name, runs in kinds.items())
        for n, kinds in of.items()
    )
    both, additions, norm, neither = list(of.values())[-1].values()
    title = supported(
        f"In these few steps {list(of)[-1]} layers learn with additions, norm or no norm, and not without",
        said,
        max(both.max(), additions.max()) < 0.2 < 1.5 < min(norm.min(), neither.min()),
    )
    fig, axes = plots.panels(len(of), title=title, size=(5.0, 3.4))
    for ax, (n, kinds) in zip(axes, of.items(), strict=True):
        plots.dots(
            {name.replace(" and ", "\nand "): runs for name, runs in kinds.items()},
            title=f"{n} layers",
            y="loss, nats",
            level=("guessing", guessing),
            limits=(-0.1, 1.15 * guessing),
            ax=ax,
        )
        ax.legend(frameon=False, loc="center left")
    plots.show(fig, alt=f"Dots, one for each training run. Mean loss, {said}; guessing {guessing:.2f}.")


def depth(much: Mapping[int, ArrayLike], little: Mapping[int, ArrayLike], memory: Mapping[int, int]) -> None:
    """How well models of several depths do for the same work, and what they keep.

    Args:
        much: by number of layers, the fewest first: bits for a character after much training, one a run.
        little: the same after little training.
        memory: bytes that are kept for the backward pass, by number of layers.
    """
    of = {"much training": much, "little training": little}
    runs = {
        name: (list(bits), np.stack([as_numbers(each) for each in bits.values()], 1))
        for name, bits in of.items()
    }
    means = {name: bits.mean(0) for name, (_, bits) in runs.items()}
    kept = [each / 2**20 for each in memory.values()]
    said = "; ".join(
        f"{name}: "
        + ", ".join(f"{n} layers {mean:.2f}" for n, mean in zip(of[name], means[name], strict=True))
        for name in of
    )
    said += f" bits; memory {', '.join(f'{each:.1f}' for each in kept)} MiB"
    (few, *_, many), (few_soon, *_, many_soon) = means.values()
    title = supported(
        "For the same work depth pays where training is long, not where it is short",
        said,
        many < few - 0.02 and many_soon > few_soon + 0.05,
        np.corrcoef(list(memory), kept)[0, 1] > 0.99,
    )
    fig, axes = plots.panels(2, title=title, size=(4.8, 3.4))
    plots.lines(runs, title="loss", x="layers", y="bits a character", ax=axes[0])
    plots.lines({"kept": (list(memory), kept)}, title="memory", x="layers", y="MiB kept", ax=axes[1])
    axes[1].set_ylim(bottom=0)
    plots.show(fig, alt=f"Two curves over the layers, and one of the memory: {said}.")


def branches(attention: ArrayLike, mlp: ArrayLike) -> None:
    """How much each attention and each MLP changes the stream.

    Args:
        attention: for each layer the length of what it adds over that of the stream.
        mlp: the same for the MLPs.
    """
    of = {"attention": as_numbers(attention), "MLP": as_numbers(mlp)}
    said = ", ".join(f"{name} {np.median(each):.2f} in the median layer" for name, each in of.items())
    first = float(max(each[0] for each in of.values()))
    small = np.concatenate([each[1:] for each in of.values()]) < 0.35
    title = supported(
        "Layer 0 writes a new vector; most later parts add a third of the stream or less",
        said,
        small.mean() > 0.85 and first > 2,
    )
    fig, (ax,) = plots.panels(title=title, size=(7.4, 3.3))
    for (name, each), colour, marker in zip(of.items(), (plots.ATTENTION, plots.MLP), "os", strict=True):
        ax.plot(each, marker=marker, color=colour, label=name)
    ax.axhline(1, color=plots.BLACK, linestyle=":", linewidth=1.2, label="as long as the stream")
    ax.set(xlabel="layer", ylabel="length added / length of stream", yscale="log")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    plots.show(fig, alt=f"Two curves over the layers: {said}; at layer 0 the larger is {first:.0f}.")


def lengths(norms: ArrayLike) -> None:
    """How long the stream's vectors are behind each layer.

    Args:
        norms: (layers, texts, tokens).
    """
    of = as_numbers(norms)
    first, others = of[:, :, 0].mean(1), of[:, :, 1:].reshape(len(of), -1)
    ratio = first / others.max(1)
    grown = int(np.argmax(ratio > 10))
    least = ratio[grown:-3].min(initial=ratio[grown])
    said = f"from layer {grown} on the first token's vector is {least:.0f} times as long as any"
    title = supported(
        f"Behind layer {grown} the first token's vector has outgrown all others", said, least > 10
    )
    fig, (ax,) = plots.panels(title=title, size=(6.8, 3.3))
    layers = np.arange(len(of))
    ax.plot(layers, first, "-o", color=plots.ORANGE, label="the first token")
    ax.plot(layers, np.median(others, 1), "--", color=plots.STREAM, label="others: median, lowest to highest")
    ax.fill_between(layers, others.min(1), others.max(1), color=plots.STREAM, alpha=0.2, linewidth=0)
    ax.set(xlabel="behind layer", ylabel="length", yscale="log")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    plots.show(fig, alt=f"Two curves over the layers: {said} other, the last three layers apart.")


def lens(right: Mapping[str, ArrayLike]) -> None:
    """How often the answer leads when the stream of a layer is read as if it were the last.

    Args:
        right: by way of reading (layers): as it is, with a fitted map, shifted and scaled number by number;
            the last two without the last layer, which needs neither.
    """
    of = {name: as_numbers(shares) for name, shares in right.items()}
    plain, fitted, scaled = of.values()
    said = ", ".join(f"{name} {_first_above(each)}" for name, each in of.items())
    title = supported(
        "A fitted map reads the answer layers before the end",
        said,
        (fitted > 0.5).sum() >= 3 and max(plain[:-3].max(), scaled[:-3].max()) < 0.25,
    )
    fig = plots.lines(
        {name: (np.arange(len(each)), 100 * each) for name, each in of.items()},
        title=title,
        x="behind layer",
        y="answer leads, %",
    )
    plots.show(fig, alt=f"Curves over the layers. The answer leads in more than half: {said}.")


def _first_above(shares: NDArray) -> str:
    layers = np.flatnonzero(shares > 0.5)
    return f"from layer {layers[0]} on" if len(layers) else "nowhere"


def capitals(rises: ArrayLike, leads: ArrayLike, among: ArrayLike) -> None:
    """What each layer is worth for two things, each layer left out in turn.

    Args:
        rises: (layers), by how much the loss on texts rises.
        leads: (layers), how often the capital asked for leads among all tokens.
        among: the same among the capitals alone.
    """
    cost, first, best = as_numbers(rises), as_numbers(leads), as_numbers(among)
    unknown = np.flatnonzero((cost < 0.2) & (best < 0.4))
    spared = np.flatnonzero((cost > 1) & (first > 0.6))
    said = (
        f"without layer {_listed(unknown)} a text loses nearly nothing, and the right capital is seldom "
        f"ahead even of the others; without layer {_listed(spared)} a text loses more than 1 nat and most "
        "capitals are named"
    )
    title = supported(
        f"A text can do without layer {_listed(unknown)}, capitals without layer {_listed(spared)}",
        said,
        len(unknown) > 0 and len(spared) > 0,
    )
    fig, axes = plots.panels(1, 3, title=title, size=(8.4, 1.8))
    rows = {"rise, nats": cost, "answer leads, %": 100 * first, "of the cities, %": 100 * best}
    for (ax,), (name, bars) in zip(axes, rows.items(), strict=True):
        painted = ax.bar(np.arange(len(bars)), bars, color=plots.STREAM)
        for layer in (*unknown, *spared):
            painted[layer].set_color(plots.ORANGE)
        ax.set_ylabel(name)
        ax.spines[["top", "right"]].set_visible(False)
    axes[-1, 0].set(xlabel="the layer left out")
    plots.show(fig, alt=f"Bars for each layer, in three rows: {said}.")


def _listed(layers: NDArray) -> str:
    return " and ".join(map(str, layers)) or "-"
