"""The figures of notebook 04: what heads look at, who copies, what attention costs, what can replace it."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_lib import plots
from course_lib.concepts.c04_multi_head.experiments import FoundHead, Head, StateSizes
from course_lib.plots import as_numbers, means, supported


def one_or_two(right: Mapping[str, ArrayLike]) -> None:
    """What a layer answers with all its width in one head, and cut into two.

    Args:
        right: shares of right answers, one a run: first with one head, then with two.
    """
    shares = {each: as_numbers(runs) for each, runs in right.items()}
    one, two = (runs.mean() for runs in shares.values())
    said = means(shares)
    title = supported("After the same 150 steps, two heads get more right", said, two > one + 0.05)
    fig = plots.dots(
        _in_percent(shares),
        title=title,
        y="right answers, %",
        limits=(0.0, 102.0),
        size=(5.6, 3.2),
    )
    ax = fig.axes[0]
    for height, means_what in ((25, "guessing"), (50, "one of both questions known, the other guessed")):
        ax.axhline(height, color="#888888", linestyle=":", zorder=0)
        ax.text(0.5, height + 2, means_what, ha="center", fontsize=9, color="#444444")
    plots.show(
        fig, alt=f"Dots, one for each training run. Means: {said}; guessing 25%, one answer known 50%."
    )


def relations(right: Mapping[str, float]) -> None:
    """What models with one set of weights get right, and with more.

    Args:
        right: shares of right answers: one head, two heads, and one head that is trained three times and ten
            times as long, or stands in each of two layers.
    """
    shares = {each: as_numbers([share]) for each, share in right.items()}
    said = means(shares)
    one, two, tuned, patient, deep = right.values()
    title = supported(
        "One head needs more than three times the steps of two, or a second layer",
        said,
        two > one + 0.05 and two > tuned + 0.02,
        min(patient, deep) > two - 0.03,
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


def graphs(pieces: Sequence[str], weights: ArrayLike, heads: Mapping[str, Head]) -> None:
    """Some heads on one sentence as graphs: a line from each token to those that it looks at.

    Args:
        pieces: the tokens.
        weights: of all heads: (layers, heads, queries, keys).
        heads: those that are drawn, by name.
    """
    tables = {
        f"{layer}.{head}: {name}": as_numbers(weights)[layer, head] for name, (layer, head) in heads.items()
    }
    moved = _moved(np.stack(list(tables.values())))
    least = moved[~np.eye(len(tables), dtype=bool)].min()
    said = f"any two of them differ in {least:.0%} of their weight or more"
    title = supported("One sentence, three heads, three habits", said, least > 0.25)
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
        for side, role in ((-0.05, "looks"), (1.05, "looked at")):
            ax.text(side, len(pieces), role, ha="center", fontsize=8, color="#666666")
        ax.set(xlim=(-0.75, 1.75))
        ax.set_title(each, fontsize=10, pad=14)
        ax.set_axis_off()
    names = ", ".join(tables)
    plots.show(fig, alt=f"Lines from a column of tokens to another, for {names}; {said}.")


def specialists(trained: Mapping[str, ArrayLike], start: Mapping[str, ArrayLike]) -> None:
    """How much weight each head gives to a relation, the strongest first, and the most a random one gives.

    Args:
        trained, start: by relation the scores of trained heads and of random ones, from 0 to 1; the first two
            are drawn, of which the second is the first token.
    """
    shown = list(trained)[:2]
    after = {each: np.sort(as_numbers(trained[each]), axis=None)[::-1] for each in shown}
    before = {each: float(as_numbers(start[each]).max()) for each in shown}
    said = ", ".join(
        f"{each} up to {after[each][0]:.0%} (random weights {before[each]:.0%})" for each in after
    )
    title = supported(
        "Training turns most heads to the first token and makes a few into specialists",
        said,
        all(after[each][0] > 2 * before[each] for each in after),
        float(np.median(after[shown[1]])) > 0.5,
    )
    fig, axes = plots.panels(len(after), title=title, size=(3.3, 3.2))
    for ax, each in zip(axes, after, strict=True):
        series = {"trained": (np.arange(1, len(after[each]) + 1), after[each])}
        plots.lines(series, title=each, x="heads, strongest first", y="share of the weight", ax=ax)
        ax.axhline(before[each], color="#444444", linestyle=":", label="highest of any untrained head")
        ax.set_ylim(0, 1.02)
    fig.legend(*axes[-1].get_legend_handles_labels(), frameon=False, ncols=2, loc="outside lower center")
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
        "as many heads\nat random, off",
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


def copying(losses: Mapping[str, float], first_copy: float) -> None:
    """What the second copy costs with some heads off: a bar for each choice.

    Args:
        losses: by what is off, in nats: nothing; another head, the strongest copying head and the note-taker,
            each alone; heads at random, and the copying heads together.
        first_copy: the loss where nothing is repeated yet.
    """
    each = {name: float(loss) for name, loss in losses.items()}
    intact, other, strongest, note_taker, drawn, together = each.values()
    said = ", ".join(f"{name} {loss:.1f}" for name, loss in each.items())
    title = supported(
        "The note-taker alone costs more than the strongest copying head",
        said,
        note_taker > strongest,
        note_taker - intact > 3 * (max(other, drawn) - intact),
        together > note_taker,
    )
    fig, (ax,) = plots.panels(title=title, size=(7.6, 3.6))
    heights = (0, 1.4, 2.4, 3.4, 4.8, 5.8)  # nothing, one head, several
    grey = "#999999"
    colours = (grey, grey, plots.ATTENTION, plots.GREEN, grey, plots.ATTENTION)
    ax.bar_label(ax.barh(heights, list(each.values()), color=colours), fmt=" %.1f")
    ax.axvspan(intact, float(first_copy), color=plots.GREEN, alpha=0.12, linewidth=0, zorder=0)
    ax.text((intact + first_copy) / 2, -0.8, "what repeating saves", ha="center", fontsize=9)
    ax.set_yticks(heights, list(each))
    ax.set(xlabel="loss of the second copy, nats", ylabel="switched off", ylim=(6.4, -1.4))
    ax.spines[["top", "right"]].set_visible(False)
    plots.show(fig, alt=f"Bars, the loss of the second copy: {said}; of the first {first_copy:.1f}.")


def nouns(found: Mapping[str, FoundHead]) -> None:
    """How often the best head looks more at the noun that is meant, on words that it was not chosen on.

    Args:
        found: by what is asked.
    """
    said = "; ".join(
        f"{asked} {each.right:.0%}, random weights {each.fresh:.0%}" for asked, each in found.items()
    )
    title = supported(
        "One head looks at the noun that she can mean, another at the subject",
        said,
        all(each.right > 0.85 and each.right > each.fresh + 0.2 for each in found.values()),
    )
    fig, (ax,) = plots.panels(title=title, size=(7.6, 3.4))
    places = np.arange(len(found))
    groups = {
        "the best head": ([each.right for each in found.values()], plots.ATTENTION),
        "of random weights": ([each.fresh for each in found.values()], "#777777"),
    }
    for side, (what, (shares, colour)) in zip((-0.17, 0.17), groups.items(), strict=True):
        bars = ax.bar(places + side, 100 * as_numbers(shares), 0.32, color=colour, label=what)
        ax.bar_label(bars, fmt="%.0f", fontweight="bold")
    ax.axhline(50, color="#444444", linestyle=":", label="a coin")
    names = [f"{asked}\nhead {each.ranking[0][0]}.{each.ranking[0][1]}" for asked, each in found.items()]
    ax.set_xticks(places, names)
    ax.set(ylabel="right in new sentences, %", ylim=(0, 112))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    plots.show(fig, alt=f"Bars, in how many new sentences a head looks more at the right noun. {said}.")


def agreement(right: Mapping[str, ArrayLike]) -> None:
    """How often the number of the verb is right, with all heads on, without subject heads, without others.

    Args:
        right: shares of sentences, one a draw, in this order.
    """
    shares = {each: as_numbers(draws) for each, draws in right.items()}
    whole, without, others = (draws.mean() for draws in shares.values())
    _, off, _ = shares
    said = means(shares)
    title = supported(
        f"With {off}, the verb agrees about as often",
        said,
        whole - without < 0.15,
        others - without < 0.15,
        without > 0.6,
    )
    fig = plots.dots(
        _in_percent(shares),
        title=title,
        y="right verb, %",
        level=("guessing", 50.0),
        limits=(0.0, 102.0),
        size=(6.4, 3.2),
    )
    fig.axes[0].legend(frameon=False, loc="lower right")
    plots.show(fig, alt=f"Dots, one for each choice of heads. The verb is right in: {said}.")


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
        ax.get_legend().remove()
        for each, (xs, ys) in series.items():  # the lines of time end close to each other
            side = "bottom" if each == "explicit" else "top"
            ax.annotate(f" {each}", (xs[-1], ys[-1]), va=side, fontsize=9, annotation_clip=False)
    plots.show(fig, alt=f"Curves from {tokens[0]} to {tokens[-1]} tokens. {said}.")


def summaries(states: StateSizes) -> None:
    """What linear attention looks up, by the size of its summary and by its steps: a bar for each.

    Args:
        states: what was measured.
    """
    steps = {n: share for n, share in states.longer.items() if n in (min(states.longer), max(states.longer))}
    shares = {
        "8 x 8 numbers": states.narrow,
        **{f"16 x 16 numbers, {n:,} steps": share for n, share in steps.items()},
        "64 x 64 numbers": states.wide,
        "softmax attention, 8 wide": states.softmax,
    }
    said = ", ".join(f"{each} {share:.0%}" for each, share in shares.items())
    title = supported(
        "Of 24 pairs, a larger summary recalls more, and so does longer training",
        said,
        states.narrow < states.late - 0.1,
        states.early < states.late - 0.1,
        states.wide > states.narrow + 0.3,
        states.softmax > states.narrow + 0.3,
    )
    grey, linear = "#999999", plots.ATTENTION
    fig = plots.bars(
        {each: 100 * share for each, share in shares.items()},
        (linear, linear, linear, linear, grey),
        title=title,
        x="looked up right, %",
        end=112,
        size=(7.6, 3.3),
    )
    ax = fig.axes[0]
    ax.axvline(12.5, color="#444444", linestyle=":")
    ax.text(13.5, -0.5, "guessing", va="bottom", fontsize=9)
    plots.show(fig, alt=f"Bars, the share looked up right: {said}; guessing 12.5%.")


def mixers(first: Mapping[str, ArrayLike], looked: Mapping[str, ArrayLike]) -> None:
    """What layers get right that mix tokens in other ways: a task that all solve, and one that tells.

    Args:
        first: which of two marks came first, shares of right answers by mixer, one a run; attention comes
            first, a plain mean last.
        looked: the same of one of eight values to look up.
    """
    right = {"which came first": first, "looking up": looked}
    chance = {"which came first": 1 / 2, "looking up": 1 / 8}
    tables = {
        task: {each: as_numbers(runs) for each, runs in groups.items()} for task, groups in right.items()
    }
    easy, hard = tables.values()
    said = "; ".join(f"{task}: {means(groups)}" for task, groups in tables.items())
    softmax, *others = (runs.mean() for runs in hard.values())
    *mixed, plain = (runs.mean() for runs in easy.values())
    title = supported(
        "All can tell which came first; only attention looks up",
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


def _in_percent(shares: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Percents for shares, under names that are narrow enough to stand side by side."""
    return {textwrap.fill(each, 14): 100 * runs for each, runs in shares.items()}


def _moved(heads: NDArray) -> NDArray:
    """What share of the weight would have to move to make one head another: (N, N) for (N, queries, keys)."""
    return np.stack([np.abs(heads - head).sum(-1).mean(-1) / 2 for head in heads])
