"""The figures of notebook 08: how far back memory and error reach, what waits for what, and what it costs."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from course_lib import plots
from course_lib.costs import Operation, exponent
from course_lib.plots import as_numbers, supported

LOWEST = 1e-45  # where the axis of the gradients ends


def name_kept(shares: Mapping[str, float]) -> None:
    """How probable a name is that was said before.

    Args:
        shares: by what lies between and what attention may see, in this order: little, the whole; little, the
            last tokens and the first; much, the whole; much, the last and the first.
    """
    said = ", ".join(f"{name} {share:.2%}" for name, share in shares.items()).replace("\n", " ")
    near, near_cut, far, far_cut = shares.values()
    title = supported(
        "The name is found far back, unless attention is kept from looking there",
        said,
        min(near, near_cut) > 0.1 and far > 0.2 and far_cut < 0.02,
    )
    fig = plots.bars(
        {name: 100 * share for name, share in shares.items()},
        [plots.ATTENTION, plots.STREAM] * 2,
        title=title,
        x="probability of the name, %",
        fmt="%.2g",
        end=100.0,
        size=(7.6, 2.9),
    )
    plots.show(fig, alt=f"Bars, probability of the name: {said}.")


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
    series = {name: (places, np.maximum(runs, LOWEST / 10)) for name, runs in of.items()}
    fig = plots.lines(
        series, title=title, x="distance, tokens", y="gradient, by that of the neighbour", log_y=True
    )
    (ax,) = fig.axes
    ax.set_ylim(LOWEST, 1000)
    fig.set_size_inches(7.4, 3.6)
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
    plots.show(fig, alt=f"Curves on a logarithmic axis, gradient over distance; {said}.")


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
        "One symbol comes through in all three; sixteen, after as much training, in the Transformer alone",
        said,
        min(rnn[:2].min(), lstm[:2].min(), transformer[:2].min()) > 0.8,
        max(rnn[3], lstm[3]) < 0.8 and transformer[2:].min() > 0.9,
    )
    fig = plots.grouped_bars(
        {name: [100 * share for share in each] for name, each in right.items()},
        ASKED,
        title=title,
        y="right, %",
        level=("guessing", 100 * chance),
        top=110.0,
    )
    plots.show(fig, alt=f"Bars, right answers: {said}; guessing {chance:.1%}.")


def graphs(recurrent: Sequence[Operation], attending: Sequence[Operation], n_tokens: int) -> None:
    """Two computations as autograd recorded them: what stands in one column can be done at the same time.

    Args:
        recurrent, attending: what `costs.operations` found.
        n_tokens: that both read.
    """
    longest = [operations[-1].depth for operations in (recurrent, attending)]
    said = f"{n_tokens} tokens: {len(recurrent)} operations in {longest[0]} steps, the recurrent network; "
    said += f"{len(attending)} in {longest[1]}, attention"
    title = supported(
        f"{n_tokens} tokens: one works in {longest[0]} steps, the other in {longest[1]}",
        said,
        longest[0] > longest[1] and len(attending) > longest[1],
    )
    fig, axes = plots.panels(1, 2, title=title, size=(8.0, 2.5))
    for ax, operations, name in zip(
        axes[:, 0], (recurrent, attending), ("recurrent", "attention"), strict=True
    ):
        _draw_graph(ax, operations)
        ax.set(title=name, xlabel="step at which an operation can be done", xlim=(0, max(longest) + 1))
    plots.show(fig, alt=f"Two graphs of operations, drawn step by step from the left. {said}.")


def _draw_graph(ax: plots.Axes, operations: Sequence[Operation]) -> None:
    """Dots by depth, lines to what each waits for, one longest way in front."""
    columns: dict[int, list[int]] = {}
    for number, operation in enumerate(operations):
        columns.setdefault(operation.depth, []).append(number)
    height = {}
    for column in columns.values():
        for place, number in enumerate(column):
            height[number] = (len(column) - 1) / 2 - place
    on_way = [len(operations) - 1]
    while operations[on_way[-1]].waits_for:
        on_way.append(max(operations[on_way[-1]].waits_for, key=lambda number: operations[number].depth))
    steps = set(pairwise(on_way))
    for number, operation in enumerate(operations):
        for other in operation.waits_for:
            front = (number, other) in steps
            ax.plot(
                [operations[other].depth, operation.depth],
                [height[other], height[number]],
                color=plots.VERMILION if front else "#BBBBBB",
                linewidth=2.4 if front else 0.8,
                zorder=2 if front else 1,
            )
    for number, operation in enumerate(operations):
        chosen = number in on_way
        colour, shape = (plots.VERMILION, "s") if chosen else (plots.BLUE, "o")
        ax.plot(operation.depth, height[number], shape, color=colour, markersize=5, zorder=3)
    ax.set_xticks(range(1, operations[-1].depth + 1))
    ax.set_yticks([])
    ax.spines[["top", "right", "left"]].set_visible(False)


def chains(lengths: Sequence[int], of: Mapping[str, Sequence[int]]) -> None:
    """The longest chain of operations over the number of tokens.

    Args:
        lengths: numbers of tokens.
        of: by model, in this order: RNN and LSTM as loops, the LSTM in one kernel, the Transformer when it
            reads, and when it writes (maybe at fewer lengths).
    """
    said = "; ".join(f"{name}: {each[0]} to {each[-1]}" for name, each in of.items())
    grows = {name: exponent(lengths[: len(each)], each) for name, each in of.items()}
    rnn, lstm, hidden, reading, writing = grows.values()
    title = supported(
        "The loops' chains grow with the text, the reading Transformer's does not, the writing one's does",
        said,
        min(rnn, lstm, writing) > 0.7 and max(abs(hidden), abs(reading)) < 0.01,
    )
    kernel = list(of)[2]
    series = {
        f"{name} (loop hidden)" if name == kernel else name: (lengths[: len(each)], each)
        for name, each in of.items()
    }
    fig = plots.lines(series, title=title, x="tokens", y="operations in a row", log_x=True, log_y=True)
    fig.set_size_inches(7.2, 3.8)
    fig.axes[0].legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
    plots.show(fig, alt=f"Curves, longest chain at {lengths[0]} to at most {lengths[-1]} tokens: {said}.")


def throughput(rates: Mapping[int, Mapping[str, Sequence[float]]], lengths: Sequence[int]) -> None:
    """How many tokens a second each trains on.

    Args:
        rates: by batch, small and large: by model, in this order: RNN and LSTM as loops, the LSTM in one
            kernel, the Transformer: tokens a second at each length.
        lengths: tokens in a sequence.
    """
    said = "; ".join(
        f"batch {batch}, {lengths[-1]} tokens: "
        + ", ".join(f"{name} {each[-1] / 1000:.0f}" for name, each in of.items())
        for batch, of in rates.items()
    )
    large = list(rates.values())[-1]
    _, _, kernel, transformer = large.values()
    title = supported(
        "On this processor the LSTM in one kernel gets through more than the Transformer",
        said,
        kernel[-1] > 1.5 * transformer[-1],
    )
    fig, axes = plots.panels(len(rates), title=title, size=(4.4, 3.5))
    top = 2 * max(max(each) for of in rates.values() for each in of.values())
    for ax, (batch, of) in zip(axes, rates.items(), strict=True):
        series = {name: (lengths, each) for name, each in of.items()}
        plots.lines(
            series,
            title=f"{batch} at once",
            x="tokens in a sequence",
            y="tokens a second",
            log_x=True,
            log_y=True,
            ax=ax,
        )
        ax.set(ylim=(500, top))
        ax.legend().remove()
    fig.legend(*axes[0].get_legend_handles_labels(), frameon=False, ncols=4, loc="outside lower center")
    plots.show(fig, alt=f"Curves, thousand tokens a second; {said}.")


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
    alone, together = ratios.values()
    title = supported(
        "The more weights, the less the LSTM in one kernel gains; with one text at a time it falls behind",
        said,
        together[0] > 1.1 and alone[-1] < 0.9,
        together[-1] < together[0],
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
    sizes = f"{weights[0]:,} to {weights[-1]:,} weights"
    plots.show(fig, alt=f"Curves, LSTM's tokens a second by the Transformer's at {sizes}: {said}.")


def learning(curves: Mapping[str, tuple[Sequence[int], ArrayLike, ArrayLike]]) -> None:
    """Bits for a held-out character, over characters read and over seconds.

    Args:
        curves: by model and optimiser, in this order: LSTM with AdamW, with Muon, Transformer with AdamW,
            with Muon: characters read, seconds, and bits (starts, points).
    """
    ends = {name: as_numbers(runs)[:, -1] for name, (_, _, runs) in curves.items()}
    seconds = [as_numbers(spent)[-1] for _, spent, _ in curves.values()]
    said = ", ".join(f"{name} {each.min():.2f} to {each.max():.2f}" for name, each in ends.items())
    lstm, lstm_muon, transformer, transformer_muon = ends.values()
    title = supported(
        "In the end the LSTM is ahead with either optimiser, by characters and by seconds",
        f"{said}; seconds {seconds}",
        lstm.max() < transformer.min() and lstm_muon.max() < transformer_muon.min(),
        max(seconds[:2]) < min(seconds[2:]),
    )
    fig, axes = plots.panels(2, title=title, size=(4.6, 3.7))
    for ax, place, x in zip(axes, (0, 1), ("characters read", "seconds"), strict=True):
        plots.lines(
            {name: (curve[place], curve[2]) for name, curve in curves.items()},
            title=f"over {x}",
            x=x,
            y="bits for a held-out character",
            log_x=True,
            ax=ax,
        )
        ax.legend().remove()
    fig.legend(*axes[0].get_legend_handles_labels(), frameon=False, ncols=4, loc="outside lower center")
    plots.show(fig, alt=f"Curves, bits for a held-out character, {len(lstm)} starts; at the end: {said}.")


def days(lengths: Sequence[int], of: Mapping[str, Sequence[float]], tokens: str) -> None:
    """How long reading takes by a model of a machine.

    Args:
        lengths: tokens in a sequence.
        of: recurrent network, then Transformer: days at each length.
        tokens: how many are read, in words.
    """
    said = "; ".join(f"{name}: {each[0]:.2g} to {each[-1]:.2g} days" for name, each in of.items())
    recurrent, attending = (as_numbers(each) for each in of.values())
    with np.errstate(divide="ignore", invalid="ignore"):  # where one takes no time the title says so
        ratio = float((recurrent / attending).max())
    longer = f"up to {ratio:.1f} times as long" if ratio > 1.1 else "no longer than the Transformer"
    title = supported(
        f"{tokens} tokens: the recurrent network takes {longer}, by this arithmetic",
        said,
        min(recurrent.min(), attending.min()) > 0,
    )
    fig = plots.lines(
        {name: (lengths, each) for name, each in of.items()},
        title=title,
        x="tokens in a sequence",
        y="days",
        log_x=True,
        log_y=True,
    )
    plots.show(
        fig, alt=f"Curves, days for {tokens} tokens at {lengths[0]} to {lengths[-1]} a sequence: {said}."
    )


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
        exponent(lengths, loop) > 0.9 and steps.max() - steps.min() < 1 and scan[-1] < loop[-1],
    )
    fig = plots.lines(
        {name: (lengths, each) for name, each in of.items()},
        title=title,
        x="tokens",
        y="operations in a row",
        log_x=True,
        log_y=True,
    )
    plots.show(fig, alt=f"Curves, longest chain at {lengths[0]} to {lengths[-1]} tokens: {said}.")
