"""The figures of notebook 08: how far back memory and error reach, what waits for what, and what it costs."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import ArrayLike

from course_lib import plots
from course_lib.costs import exponent
from course_lib.plots import as_numbers, supported

LOWEST = 1e-48  # where the axis of the gradients ends
COLOURS = {  # by what the name of a curve holds; the last one counts
    "RNN": plots.BLUE,
    "LSTM": plots.ORANGE,
    "Transformer": plots.GREEN,
    "look back": plots.ATTENTION,
    "0.9": plots.BLACK,
}


def _name_ends(fig: plots.Figure) -> None:
    """Each curve in its network's colour, its name at the right end, apart where two would touch."""
    (ax,) = fig.axes
    for name, colour in COLOURS.items():
        for line in ax.lines:
            if name in str(line.get_label()):
                line.set_color(colour)
    ax.set(xlim=ax.get_xlim(), ylim=ax.get_ylim())  # as they are: nothing may move afterwards
    ends = [(line.get_transform().transform(np.array(line.get_xydata())[-1]), line) for line in ax.lines]
    lowest = 0.0
    for end, line in sorted(ends, key=lambda each: float(each[0][1])):
        x, y = ax.transAxes.inverted().transform(end)
        y = max(float(y), lowest)
        lowest = y + 0.075
        ax.annotate(
            str(line.get_label()),
            (x, y),
            xycoords="axes fraction",
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    if legend := ax.get_legend():
        legend.remove()


def fading(gradients: ArrayLike) -> None:
    """How much of a push at an RNN's last token arrives at earlier ones, before any training.

    Args:
        gradients: its length at distance 1, 2 and so on, by that at distance 1.
    """
    middle = as_numbers(gradients)
    places = np.arange(1, len(middle) + 1)
    said = f"at distance {places[-1]} {middle[-1]:.0e}"
    title = supported(
        "In an RNN as PyTorch starts it, every step back loses a part of what is left",
        said,
        middle[-1] < 1e-20,
    )
    series = {
        "this RNN": (places, np.maximum(middle, LOWEST / 10)),
        "0.9 a step": (places, 0.9 ** (places - 1)),
    }
    _over_distance(series, title, f"Curves on a logarithmic axis, gradient over distance; {said}.")


def _over_distance(
    series: Mapping[str, tuple[ArrayLike, ArrayLike]], title: str, alt: str, pale: Sequence[str] = ()
) -> None:
    fig = plots.lines(
        series,
        title=title,
        x="words back from the last one",
        y="gradient, as a share\nof the nearest word's",
        log_y=True,
    )
    (ax,) = fig.axes
    ax.set_ylim(LOWEST, 1000)
    fig.set_size_inches(7.4, 3.6)
    _name_ends(fig)
    for line in ax.lines:
        if line.get_label() in pale:
            line.set_alpha(0.4)
    plots.show(fig, alt=alt)


def gated(gradients: Mapping[str, ArrayLike]) -> None:
    """The same of an RNN and of an LSTM, its forget gate half open and open.

    Args:
        gradients: by model, in this order, as for `fading`.
    """
    of = {name: np.atleast_2d(as_numbers(runs)) for name, runs in gradients.items()}
    rnn, half, opened = (np.median(runs, 0) for runs in of.values())
    ends = zip(of, (rnn[-1], half[-1], opened[-1]), strict=True)
    said = f"at distance {len(rnn)}: " + ", ".join(f"{name} {end:.0e}" for name, end in ends)
    title = supported(
        "Where the forget gate stands open, what comes back does not fade",
        said,
        opened.min() > 0.1 and half[-1] < 1e-10,
        half[-1] > rnn[-1],
    )
    places = np.arange(1, len(rnn) + 1)
    middles = zip(of, (rnn, half, opened), strict=True)
    series = {name: (places, np.maximum(each, LOWEST / 10)) for name, each in middles}
    _over_distance(series, title, f"Curves on a logarithmic axis, gradient over distance; {said}.")


def repeated(lengths: Sequence[int], shares: Mapping[str, Sequence[float]], chance: float) -> None:
    """Who repeats how many symbols.

    Args:
        lengths: symbols to repeat, from few to many.
        shares: of RNNs and of LSTMs through one vector, and maybe of RNNs with a look back: the share of
            right ones at each length.
        chance: what guessing gets.
    """
    said = "; ".join(
        f"{name}: " + ", ".join(f"{share:.0%} of {n}" for n, share in zip(lengths, each, strict=True))
        for name, each in shares.items()
    )
    rnn, lstm, *look = (as_numbers(each) for each in shares.values())
    falls = (rnn[0] > 0.9 and rnn[-1] < 0.3, lstm[0] > 0.9 and rnn[-1] + 0.1 < lstm[-1] < 0.8)
    fails, most = lengths[int(np.argmax(rnn < 0.3))], lengths[-1]
    title = (
        supported(
            "With a look back, plain RNNs repeat the longest as well as the shortest",
            said,
            *falls,
            look[0].min() > 0.9,
        )
        if look
        else supported(
            f"Through one vector: the RNN fails at {fails} symbols, the LSTM gets {lstm[-1]:.0%} of {most}",
            said,
            *falls,
        )
    )
    fig = plots.lines(
        {name: (lengths, 100 * as_numbers(each)) for name, each in shares.items()},
        title=title,
        x="symbols to repeat",
        y="right, %",
        level=("guessing", 100 * chance),
    )
    (ax,) = fig.axes
    ax.set(ylim=(0, 105), xticks=lengths)
    fig.set_size_inches(7.4, 3.3)
    _name_ends(fig)
    for line in ax.lines[:2] if look else ():  # as before
        line.set(color="#999999", alpha=0.6)
    plots.show(fig, alt=f"Curves, right answers: {said}; guessing {chance:.1%}.")


def looked(weights: ArrayLike, said: Sequence[int]) -> None:
    """Which of the reader's states is seen at each symbol that is written; a ring where it first looks aside.

    Args:
        weights: (written, read); each row sums to 1.
        said: the symbols that were read.
    """
    weights = as_numbers(weights)
    places = np.abs(weights.argmax(1) - np.arange(len(weights)))
    own = float(np.diag(weights).mean())
    told = f"on average {own:.2f} of the weight lies on the state of the same place"
    title = supported(
        "For each symbol that it writes, it looks where that was read",
        told,
        own > 0.7,
        (places > 1).mean() < 0.2,
    )
    names = [str(symbol) for symbol in said]
    fig = plots.heatmap(
        weights,
        names,
        names,
        title=title,
        x="symbols that were read",
        y="symbols to write",
        limits=(0.0, 1.0),
        numbers=False,
        hue=plots.ATTENTION,
    )
    ax = fig.axes[0]
    if scale := ax.images[0].colorbar:
        scale.remove()
    beside = np.argwhere((weights > 0.01) & ~np.eye(len(weights), dtype=bool))
    ring = ""
    if 0 < len(beside) <= len(weights):  # where it looks everywhere, a ring says nothing
        row, column = beside[0]  # the topmost
        ax.plot(column, row, "o", markersize=17, markerfacecolor="none", markeredgecolor=plots.BLACK)
        ring = f" A ring at row {row + 1}, column {column + 1}, which has {weights[row, column]:.2f}."
    fig.set_size_inches(5.6, 4.9)
    plots.show(fig, alt=f"A matrix of weights, a row for each symbol that is written; {told}.{ring}")


def reach(gradients: Mapping[str, ArrayLike]) -> None:
    """How much of the error at the last token arrives at earlier ones, before any training.

    Args:
        gradients: by model, in this order: RNN as PyTorch starts it and with a start for long memories, LSTM
            as PyTorch starts it and with one for long memories, Transformer; for each (starts, distances):
            the length of the gradient at distance 1, 2 and so on, divided by that at distance 1.
    """
    of = {name: np.atleast_2d(as_numbers(runs)) for name, runs in gradients.items()}
    farthest = next(iter(of.values())).shape[1]
    middle = {name: np.median(runs, 0) for name, runs in of.items()}
    said = f"at distance {farthest}: " + ", ".join(f"{name} {each[-1]:.0e}" for name, each in middle.items())
    rnn, identity, lstm, opened, transformer = middle.values()
    title = supported(
        "As PyTorch starts them, RNN and LSTM lose the error; other starts keep it, and so does attention",
        said,
        max(rnn[-1], lstm[-1]) < 1e-6 and min(identity.min(), opened.min()) > 0.003,
        transformer.min() > 0.2 and transformer.max() < 5,
    )
    places = np.arange(1, farthest + 1)
    series = {name: (places, np.maximum(each, LOWEST / 10)) for name, each in middle.items()}
    alt = f"Curves on a logarithmic axis, gradient over distance; {said}."
    _over_distance(series, title, alt, pale=[*middle][:3:2])


ASKED = ("one symbol, 8 back", "one symbol, 128 back", "4 symbols again", "16 symbols again")


def recalled(right: Mapping[str, Sequence[float]], chance: float) -> None:
    """Who names one symbol from far back, and who says all of them again.

    Args:
        right: by model, in this order: RNN, LSTM, Transformer: the share of right answers to each of `ASKED`.
        chance: what guessing gets.
    """
    said = "; ".join(
        f"{name}: " + ", ".join(f"{share:.0%} {asked}" for share, asked in zip(each, ASKED, strict=True))
        for name, each in right.items()
    )
    rnn, lstm, transformer = (as_numbers(each) for each in right.values())
    title = supported(
        "One symbol comes through in all three; of sixteen, here only the Transformer repeats all",
        said,
        min(rnn[:2].min(), lstm[:2].min(), transformer[:2].min()) > 0.8,
        max(rnn[3], lstm[3]) < 0.8 and transformer[2:].min() > 0.9,
    )
    fig = plots.grouped_bars(
        {name: [100 * each[1], 100 * each[3]] for name, each in right.items()},
        [ASKED[1], ASKED[3]],
        title=title,
        y="right, %",
        level=("guessing", 100 * chance),
        top=110.0,
    )
    (legend,), (ax,) = fig.legends, fig.axes
    legend.remove()
    for name, bars in zip(right, ax.containers, strict=True):
        for bar in bars:
            x = bar.get_x() + bar.get_width() / 2
            paper = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
            ax.text(x, 5, name, ha="center", va="center", fontsize=9, bbox=paper)
    ax.annotate("guessing", (1, 100 * chance), xycoords=("axes fraction", "data"), va="center", fontsize=9)
    plots.show(fig, alt=f"Bars, right answers: {said}; guessing {chance:.1%}.")


def chains(lengths: Sequence[int], of: Mapping[str, Sequence[int]]) -> None:
    """The longest chain of operations over the number of tokens.

    Args:
        lengths: numbers of tokens.
        of: by model, in this order: RNN and LSTM as loops, the Transformer when it reads, and when it writes
            (maybe at fewer lengths).
    """
    said = "; ".join(f"{name}: {each[0]} to {each[-1]}" for name, each in of.items())
    grows = {name: exponent(lengths[: len(each)], each) for name, each in of.items()}
    rnn, lstm, reading, writing = grows.values()
    title = supported(
        "The loops' chains grow with the text, the reading Transformer's does not, the writing one's does",
        said,
        min(rnn, lstm, writing) > 0.7 and abs(reading) < 0.01,
    )
    fig = plots.lines(
        {name: (lengths[: len(each)], each) for name, each in of.items()},
        title=title,
        x="tokens",
        y="operations in a row",
        log_x=True,
        log_y=True,
    )
    fig.set_size_inches(7.4, 3.8)
    _name_ends(fig)
    plots.show(fig, alt=f"Curves, longest chain at {lengths[0]} to at most {lengths[-1]} tokens: {said}.")


def widths(weights: Sequence[int], rates: Mapping[int, Mapping[str, Sequence[float]]]) -> None:
    """How many tokens the LSTM gets through while the Transformer gets through one.

    Args:
        weights: of the models, from few to many.
        rates: by batch, small and large: of LSTM and Transformer, in this order: tokens a second.
    """
    ratios = {
        f"{batch} at once": as_numbers(lstm) / as_numbers(transformer)
        for batch, (lstm, transformer) in ((batch, of.values()) for batch, of in rates.items())
    }
    said = "; ".join(f"{name} {each[0]:.1f} to {each[-1]:.1f}" for name, each in ratios.items())
    *_, many = ratios  # one text at a time differs from processor to processor too much for a title
    title = supported(
        f"With {many}, the small LSTM is ahead; with more weights the lead shrinks",
        said,
        ratios[many][0] > max(1.1, ratios[many][-1]),
    )
    fig = plots.lines(
        {name: (weights, each) for name, each in ratios.items()},
        title=title,
        x="weights",
        y="LSTM's tokens by Transformer's",
        log_x=True,
        log_y=True,
        level=("as many", 1.0),
    )
    (ax,) = fig.axes
    ax.set_ylim(bottom=min(0.45, ax.get_ylim()[0]))
    ax.yaxis.set_major_locator(LogLocator(base=2.0))
    ax.yaxis.set_major_formatter(lambda x, _: f"{x:g}" if x >= 1 else f"1/{1 / x:g}")
    ax.yaxis.set_minor_locator(NullLocator())
    fig.set_size_inches(7.0, 3.6)
    _name_ends(fig)
    sizes = f"{weights[0]:,} to {weights[-1]:,} weights"
    plots.show(fig, alt=f"Curves, LSTM's tokens a second by the Transformer's at {sizes}: {said}.")


def scanned(lengths: Sequence[int], of: Mapping[str, Sequence[int]]) -> None:
    """The longest chain of a linear recurrence, as a loop and as a scan.

    Args:
        lengths: tokens.
        of: loop, scan: the longest chain at each length.
    """
    loop, scan = (as_numbers(each) for each in of.values())
    said = "; ".join(f"{name}: {each[0]} to {each[-1]}" for name, each in of.items())
    steps = np.diff(scan) / np.diff(np.log2(lengths))
    title = supported(
        f"Twice the tokens: twice the loop, {steps.mean():.0f} more operations in a row for the scan",
        said,
        exponent(lengths, loop) > 0.9 and np.ptp(steps) < 1 and scan[-1] < loop[-1],
    )
    fig = plots.lines(
        {name: (lengths, each) for name, each in of.items()},
        title=title,
        x="tokens",
        y="operations in a row",
        log_x=True,
        log_y=True,
    )
    _name_ends(fig)
    plots.show(fig, alt=f"Curves, longest chain at {lengths[0]} to {lengths[-1]} tokens: {said}.")
