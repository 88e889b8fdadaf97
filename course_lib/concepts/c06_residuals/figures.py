"""The figures of notebook 06: what layers add, what keeps a deep stack together, what its stream says."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from course_lib import plots
from course_lib.plots import as_numbers, supported

NATS = "loss rises by, nats"


def layers_out(rises: ArrayLike) -> None:
    """What it costs to leave out one layer, each in turn.

    Args:
        rises: (layers), of the loss, in nats.
    """
    costs = as_numbers(rises)
    costly = np.sort(np.argsort(costs)[-5:])
    cheap, last = costs < 0.5, len(costs) - 1
    said = (
        f"{cheap.sum()} of {len(costs)} layers cost less than 0.5; the five that cost most are layers "
        f"{', '.join(map(str, costly))}"
    )
    title = supported(
        f"On this review {cheap.sum()} of {len(costs)} layers can go, one at a time",
        said,
        cheap.mean() > 0.6 and costs[costly].min() > 0.5,
        list(np.delete(costly, 2)) == [0, 1, last - 1, last],
    )
    fig, (ax,) = plots.panels(title=title, size=(8.4, 3.4))
    ax.bar(np.arange(len(costs)), costs, color=np.where(cheap, plots.STREAM, plots.ORANGE))
    ax.axhline(0.5, color=plots.BLACK, linestyle=":", linewidth=1.2)
    middle = len(costs) / 2 - 2.4  # right of the one that costs much
    line = (middle, 0.5)
    ax.annotate("half a nat (orange: more)", line, (0, 5), textcoords="offset points", fontsize=10)
    ax.axhline(0, color=plots.BLACK, linewidth=0.8)
    ax.set(xlabel="the layer left out", ylabel=NATS)
    _layers_named(ax, len(costs))
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    plots.show(fig, alt=f"A bar for each layer: {said}.")


def _layers_named(ax: Axes, n_layers: int) -> None:
    """Every fifth layer, and the last: no tick where no layer is."""
    ax.set_xticks(sorted({*range(0, n_layers, 5), n_layers - 1}))


def normalised(numbers: ArrayLike) -> None:
    """The numbers that a norm gives.

    Args:
        numbers: (tokens, width), without the learned scale and shift.
    """
    of = as_numbers(numbers)
    outside = float(((of < 0) | (of > 1)).mean())
    said = f"{outside:.0%} of the normalised numbers lie outside of 0 to 1"
    title = supported(
        f"{outside:.0%} of the numbers lie outside of 0 to 1 (grey)",
        said,
        np.abs(of.mean(-1)).max() < 1e-4 and np.abs(of.var(-1) - 1).max() < 0.01,
        outside > 0.5,
    )
    fig, (ax,) = plots.panels(title=title, size=(6.0, 2.9))
    ax.axvspan(0, 1, color="#D9D9D9", zorder=0)
    ax.hist(of.ravel(), bins=60, range=(-4, 4), color=plots.BLUE)
    ax.set(xlabel="number in a token's vector, normalised", yticks=[])
    ax.spines[["top", "right", "left"]].set_visible(False)
    plots.show(fig, alt=f"A histogram of the numbers in all tokens' vectors: {said}.")


def growth(sizes: Mapping[str, ArrayLike]) -> None:
    """How large the stream is after each layer, before any training.

    Args:
        sizes: by kind (runs, layers): without norms, with pre-norm, with post-norm, and without norms from a
            smaller start.
    """
    of = {name: np.atleast_2d(as_numbers(runs)) for name, runs in sizes.items()}
    ends = {name: float(np.exp(np.log(runs[:, -1]).mean())) for name, runs in of.items()}
    said = ", ".join(f"{name} {end:,.3g}" for name, end in ends.items())
    none, pre, post, small = ends.values()
    explodes = none > 100 * pre and 3 < pre < 30 and abs(post - 1) < 0.05 and small < pre
    title = supported("With neither norms nor a small start the stream explodes", said, explodes)
    depth = np.arange(1, next(iter(of.values())).shape[1] + 1)
    fig = plots.lines(
        {name: (depth, runs) for name, runs in of.items()},
        title=title,
        x="layers",
        y="typical number in the stream\n(root mean square)",
        log_y=True,
    )
    _named_at_their_ends(fig)
    plots.show(fig, alt=f"Curves over the layers. Size of the stream after the last layer: {said}.")


def whisper(found: Mapping[str, ArrayLike]) -> None:
    """How much a change in what each layer gives would move the loss, before training.

    Args:
        found: by what happens to that which a layer gives, it replaces the stream or is added: for each layer
            the gradient over that of the last.
    """
    of = {name: as_numbers(ratios) for name, ratios in found.items()}
    replaced, added = of.values()
    said = ", ".join(f"where it {name} {ratios[0]:.0e}" for name, ratios in of.items())
    title = supported(
        "The whisper dies on its way back; with additions it arrives",
        f"of the last layer's gradient the first gets {said}",
        replaced[0] < 1e-6,
        added.min() > 0.3,
    )
    fig, (ax,) = plots.panels(title=title, size=(7.4, 3.4))
    layers = np.arange(len(replaced))
    for (name, ratios), style, colour in zip(
        of.items(), ("--s", "-o"), (plots.ORANGE, plots.BLUE), strict=True
    ):
        ax.plot(layers, ratios, style, color=colour)
        middle = len(layers) // 2
        at, where = (middle, ratios[middle]), (8, -16)
        ax.annotate(f"what a layer gives {name}", at, where, textcoords="offset points", color=colour)
    ax.set(
        xlabel="layer (the loss comes after the last)",
        ylabel="gradient of what it gives\n(of the last layer: 1)",
        yscale="log",
    )
    ax.set_yticks(10.0 ** np.arange(0, np.log10(max(replaced.min(), 1e-30)), -5))
    ax.spines[["top", "right"]].set_visible(False)
    plots.show(fig, alt=f"Two curves over the layers. Of the last layer's gradient the first gets {said}.")


def curve(places: ArrayLike, wanted: ArrayLike, drawn: ArrayLike) -> None:
    """A curve, and what an MLP from one number to one has made of it.

    Args:
        places: on the x axis.
        wanted: the curve there.
        drawn: what the MLP gives there after training.
    """
    x, curve, own = as_numbers(places), as_numbers(wanted), as_numbers(drawn)
    missed = float(((own - curve) ** 2).mean() / curve.var())
    said = f"the MLP misses {missed:.1%} of the curve's variance"
    title = supported("With a bend between its matrices an MLP follows a curve", said, missed < 0.05)
    fig, (ax,) = plots.panels(title=title, size=(6.4, 3.0))
    ax.plot(x, curve, "o", color=plots.STREAM, alpha=0.4, markersize=6, label="the curve to learn")
    ax.plot(
        x, np.polyval(np.polyfit(x, curve, 1), x), "--", color=plots.BLUE, label="the best without a bend"
    )
    ax.plot(x, own, color=plots.MLP, linewidth=3, label="what the MLP gives")
    ax.set(xlabel="what comes in", ylabel="what comes out")
    ax.spines[["top", "right"]].set_visible(False)
    fig.legend(frameon=False, ncols=3, loc="outside lower center")
    plots.show(fig, alt=f"Dots on a curve with several turns, and a line: {said}.")


def sizes(tokens: Sequence[str], before: ArrayLike, after: ArrayLike) -> None:
    """How long the tokens' vectors are before a norm and after it.

    Args:
        tokens: to read.
        before, after: (tokens, width).
    """
    lengths = [np.linalg.norm(as_numbers(vectors), axis=-1) for vectors in (before, after)]
    long, same = lengths
    said = (
        f"before, the longest is {long.max() / long.min():.0f} times as long as the shortest; "
        f"after it, {same.max() / same.min():.1f} times"
    )
    title = supported(
        "Long or short before, all tokens have one length after the norm",
        said,
        long.max() > 5 * long.min(),
        same.max() < 1.01 * same.min(),
    )
    fig, (ax,) = plots.panels(title=title, size=(8.4, 3.4))
    places = np.arange(len(tokens))
    ax.plot(places, long, "o", color=plots.ORANGE, markersize=8, label="before the norm")
    ax.plot(places, same, "s", color=plots.BLUE, markersize=7, label="after it")
    ax.set(yscale="log", ylabel="length of the vector", ylim=(min(10, same.min() / 2), 2 * long.max()))
    ax.set_xticks(places, [plots.literal(token) for token in tokens], rotation=45, ha="right")
    ax.spines[["top", "right"]].set_visible(False)
    fig.legend(frameon=False, ncols=2, loc="outside lower center")
    plots.show(fig, alt=f"Two dots for each token: {said}.")


def learned(losses: Mapping[str, Sequence[float]], guessing: float) -> None:
    """How the loss falls, or does not, while stacks learn.

    Args:
        losses: by name, step by step; first the stack with additions, then that without.
        guessing: the loss of guessing.
    """
    of = {name: as_numbers(each) for name, each in losses.items()}
    ends = {name: float(each[-5:].mean()) for name, each in of.items()}
    said = ", ".join(f"{name} {end:.2f}" for name, end in ends.items())
    with_additions, without = ends.values()
    title = supported(
        f"Sixteen layers learn with additions; without, not in these {len(next(iter(of.values())))} steps",
        said,
        with_additions < 0.3 < 0.9 * guessing < without,
    )
    fig, (ax,) = plots.panels(title=title, size=(7.0, 3.4))
    for (name, each), style, colour in zip(of.items(), ("-", "--"), (plots.BLUE, plots.ORANGE), strict=True):
        ax.plot(each, style, color=colour, linewidth=2.5)
        at = (len(each) - 1, each[-1])
        ax.annotate(plots.literal(name), at, (-64, 6), textcoords="offset points", color=colour)
    ax.axhline(guessing, color=plots.BLACK, linestyle=":", linewidth=1.2)
    ax.annotate("guessing", (0.6 * len(each), guessing), (0, -14), textcoords="offset points")
    ax.set(xlabel="step of training", ylabel="loss, nats", ylim=(-0.1, 1.35 * guessing))
    ax.spines[["top", "right"]].set_visible(False)
    plots.show(fig, alt=f"Two curves over the steps. In the end: {said}; guessing {guessing:.2f}.")


def alike(cosines: Mapping[str, ArrayLike]) -> None:
    """What is left of the difference between tokens, layer by layer, before training.

    Args:
        cosines: by name, as in `learned`: the mean cosine between tokens after each layer.
    """
    of = {name: as_numbers(means) for name, means in cosines.items()}
    said = ", ".join(f"{name} {means[-1]:.2f}" for name, means in of.items())
    with_additions, without = of.values()
    title = supported(
        "Without additions all tokens are nearly the same after a layer or two",
        said,
        without[1:].min() > 0.95,
        with_additions[-1] < 0.8,
    )
    fig, (ax,) = plots.panels(title=title, size=(7.0, 3.2))
    for (name, means), style, colour in zip(
        of.items(), ("-o", "--s"), (plots.BLUE, plots.ORANGE), strict=True
    ):
        ax.plot(means, style, color=colour)
        at = (len(means) - 1, means[-1])
        ax.annotate(plots.literal(name), at, (8, -4), textcoords="offset points", color=colour)
    ax.set(xlabel="after layer", ylabel="likeness (mean cosine)", ylim=(0, 1.08))
    ax.spines[["top", "right"]].set_visible(False)
    plots.show(fig, alt=f"Two curves over the layers. After the last: {said}.")


def deep(trained: Mapping[int, Mapping[str, ArrayLike]], guessing: float) -> None:
    """The loss after training, for stacks with and without additions and norms.

    Args:
        trained: by number of layers, the few first, and by kind: losses, one a run. The kinds: additions and
            norm, additions, norm, neither.
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
            title=f"{n} layers" if len(of) > 1 else "after training",
            y="loss, nats",
            limits=(-0.1, 1.25 * guessing),
            ax=ax,
        )
        ax.axhline(guessing, color=plots.BLACK, linestyle=":", linewidth=1.2)
        ax.annotate("guessing", (-0.5, 1.03 * guessing))
    plots.show(fig, alt=f"Dots, one for each training run. Mean loss, {said}; guessing {guessing:.2f}.")


def depth(
    much: Mapping[int, ArrayLike], little: Mapping[int, ArrayLike], wider: Mapping[int, ArrayLike]
) -> None:
    """How well models of several depths do for the same work, and wider ones with as many weights.

    Args:
        much: by number of layers, the fewest first: bits for a character after much training, one a run.
        little: the same after little training.
        wider: the same of those of as many weights as the deepest, the most layers first.
    """
    of = {
        f"{name}:\n{n} layer" + "s" * (n > 1): as_numbers(bits)
        for name, found in {"little work": little, "much work": much, "as many weights": wider}.items()
        for n, bits in found.items()
    }
    said = ", ".join(f"{name} {bits.mean():.2f}".replace("\n", " ") for name, bits in of.items())
    few, many, few_soon, many_soon = (
        as_numbers(found[n]).mean() for found in (much, little) for n in (min(found), max(found))
    )
    title = supported(
        "One layer wins when work is little, four when it is much; two wide ones do as well as eight",
        f"{said} bits",
        all(n in much for n in (1, 4)) and min(much, key=lambda n: as_numbers(much[n]).mean()) == 4,
        many < few - 0.02 and many_soon > few_soon + 0.05,
        2 in wider and bool(as_numbers(wider[2]).mean() <= many + 0.02),
    )
    fig = plots.dots(of, title=title, y="bits a character")
    plots.show(fig, alt=f"Dots, one for each start. On average: {said} bits for a character.")


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
    ax.axhline(1 / 3, color=plots.BLACK, linestyle=":", linewidth=1.2)
    ax.set(xlabel="layer", ylabel="length of what is added,\nthe stream's length: 1", yscale="log")
    ax.set_yticks([0.1, 1 / 3, 1, 10], ["0.1", "a third", "1", "10"])
    _layers_named(ax, len(of["MLP"]))
    ax.spines[["top", "right"]].set_visible(False)
    fig.legend(frameon=False, ncols=2, loc="outside lower center")
    plots.show(fig, alt=f"Two curves over the layers: {said}; at layer 0 the larger is {first:.0f}.")


def lengths(norms: ArrayLike, hump: str = "") -> None:
    """How long the stream's vectors are after each layer.

    Args:
        norms: (layers, texts, tokens).
        hump: which other token is long in early layers.
    """
    of = as_numbers(norms)
    first, others = of[:, :, 0].mean(1), of[:, :, 1:].reshape(len(of), -1)
    ratio = first / others.max(1)
    grown = int(np.argmax(ratio > 10))
    least = ratio[grown:-3].min(initial=ratio[grown])
    said = f"from layer {grown} on the first token's vector is {least:.0f} times as long as any"
    title = supported(
        f"After layer {grown} the first token's vector has outgrown all others", said, least > 10
    )
    fig, (ax,) = plots.panels(title=title, size=(6.8, 3.3))
    layers = np.arange(len(of))
    ax.plot(layers, first, "-o", color=plots.ORANGE)
    ax.plot(layers, np.median(others, 1), "--", color=plots.STREAM)
    middle = len(of) // 2
    ax.annotate(
        "the first token", (middle, first[middle]), (0, -16), textcoords="offset points", color=plots.ORANGE
    )
    if hump:
        ax.annotate(
            f'also "{plots.literal(hump)}"',
            (5, others[5].max()),
            (0, 10),
            textcoords="offset points",
            color=plots.STREAM,
            ha="center",
        )
    at = (middle, others[middle].min())
    ax.annotate("all others, and their median", at, (0, -16), textcoords="offset points", color=plots.STREAM)
    ax.fill_between(layers, others.min(1), others.max(1), color=plots.STREAM, alpha=0.2, linewidth=0)
    ax.set(xlabel="after layer", ylabel="length", yscale="log")
    _layers_named(ax, len(of))
    ax.spines[["top", "right"]].set_visible(False)
    plots.show(fig, alt=f"Two curves over the layers: {said} other, the last three layers apart.")


def _named_at_their_ends(fig: Figure) -> None:
    """Each curve's name beside its end, in its colour, in place of a legend."""
    (ax,) = fig.axes
    inside = ax.get_legend()
    if inside:
        inside.remove()
    fig.draw_without_rendering()  # now the axes know their limits
    height, last = -1.0, max(np.asarray(line.get_xdata()).max() for line in ax.lines)
    ends = [(ax.transData.transform((last, np.asarray(line.get_ydata())[-1]))[1], line) for line in ax.lines]
    for end, line in sorted(ends, key=lambda pair: pair[0]):
        height = max(ax.transAxes.inverted().transform((0, end))[1], height + 0.09)  # none covers another
        at = (1.02, height)
        ax.annotate(str(line.get_label()), at, xycoords="axes fraction", va="center", color=line.get_color())


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
        x="after layer",
        y="answer leads, %",
    )
    _named_at_their_ends(fig)
    plots.show(fig, alt=f"Curves over the layers. The answer leads in more than half: {said}.")


def capitals(rises: ArrayLike, best: ArrayLike, intact: float) -> None:
    """What each layer is worth for two things, each layer left out in turn.

    Args:
        rises: (layers), by how much the loss on texts rises.
        best: (layers), how often the right capital gets the highest score of twelve.
        intact: the same with no layer left out.
    """
    cost, right = as_numbers(rises), as_numbers(best)
    unknown = np.flatnonzero((cost < 0.2) & (right < 0.4))
    spared = np.flatnonzero((cost > 1) & (right > 0.8))
    said = (
        f"without {_listed(unknown)} a text loses nearly nothing, and the right capital is seldom "
        f"ahead of the others; without {_listed(spared)} a text loses more than 1 nat and most "
        "capitals are known"
    )
    title = supported(
        f"A text can do without {_listed(unknown)}, capitals without {_listed(spared)}",
        said,
        len(unknown) > 0 and len(spared) > 0,
    )
    fig, axes = plots.panels(1, 2, title=title, size=(8.4, 2.2))
    rows = {NATS: cost, "right city leads the\ntwelve, % of prompts": 100 * right}
    for (ax,), (name, bars), level in zip(axes, rows.items(), (0, 100 * intact), strict=True):
        ax.axhline(level, color=plots.GREEN, linewidth=1.5)
        painted = ax.bar(np.arange(len(bars)), bars, color=plots.STREAM)
        for layer in (*unknown, *spared):
            painted[layer].set_color(plots.ORANGE)
        ax.set_ylabel(name, fontsize=9)
        _layers_named(ax, len(bars))
        ax.spines[["top", "right"]].set_visible(False)
    axes[-1, 0].set(xlabel="the layer left out (green: none)")
    plots.show(fig, alt=f"Bars for each layer, in two rows: {said}.")


def _listed(layers: NDArray) -> str:
    numbers = " and ".join(map(str, layers)) or "-"
    return f"layers {numbers}" if len(layers) > 1 else f"layer {numbers}"


def _first_above(shares: NDArray) -> str:
    layers = np.flatnonzero(shares > 0.5)
    return f"from layer {layers[0]} on" if len(layers) else "nowhere"
