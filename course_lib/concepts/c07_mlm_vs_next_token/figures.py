"""The figures of notebook 07: a gap read from both sides, who fills it, two readers, draws, surprise."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from course_lib import plots
from course_lib.plots import as_numbers, supported

BITS = "surprise at the gap, bits"


def from_both_sides(tried: Sequence[str], before: ArrayLike, after: ArrayLike) -> None:
    """What is expected in the gap by what stands before it, and of what was tried by the whole sentence.

    Args:
        tried: what was tried in the gap.
        before: the share of each, by what stands before the gap, among all tokens.
        after: the share of each among those tried, by the whole sentence.
    """
    left, both = as_numbers(before), as_numbers(after)
    shown = [*np.argsort(-left)[:3], *np.argsort(-both)[:4]]
    shown = list(dict.fromkeys(shown))
    said = ", ".join(f"{tried[n].strip()} {left[n]:.1%} and {both[n]:.0%}" for n in shown)
    first = tried[int(both.argmax())].strip()
    title = supported(
        f"The right side decides: {first}",
        said,
        both.max() > 0.3 and left[both.argmax()] < 0.05 and both[left.argmax()] < 0.05,
    )
    fig, (ax,) = plots.panels(title=title, size=(7.2, 3.0))
    width, places = 0.4, np.arange(len(shown))
    ax.bar(places - width / 2, 100 * left[shown], width, color=plots.SKY, label="left side only", hatch="//")
    ax.bar(
        places + width / 2, 100 * both[shown], width, color=plots.BLUE, label="the whole sentence, by trying"
    )
    ax.set_xticks(places, [plots.literal(tried[n].strip()) for n in shown])
    ax.set(ylabel="share in the gap, %", ylim=(0, max(60, 110 * both.max())))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    plots.show(fig, alt=f"Bars for each word, from the left and by the whole sentence: {said}.")


def asked(filler: ArrayLike, rival: ArrayLike, n: int) -> None:
    """How a model learns to fill gaps, and a rival that keeps its mask does not.

    Args:
        filler: (times, 4): steps, hidden tokens that were asked for, gaps filled rightly, and gaps with the
            right word among five.
        rival: the same.
        n: how many gaps there are.
    """
    ours, other = as_numbers(filler), as_numbers(rival)
    enough = int(np.argmax(ours[:, 3] > n / 2))
    said = (
        f"of {n} gaps with the right word among five {ours[0, 3]:.0f} at first, {ours[enough, 3]:.0f} after "
        f"{ours[enough, 1]:,.0f} hidden tokens, {ours[-1, 3]:.0f} after {ours[-1, 1]:,.0f}; with the mask "
        f"kept {other[0, 3]:.0f} at first, {other[:, 3].max():.0f} at most"
    )
    title = supported(
        "Asked for hidden tokens, the same body fills gaps; with its mask kept it does not",
        said,
        enough > 0 and ours[-1, 3] > 1.5 * other[:, 3].max() and other[-1, 3] < other[0, 3] + n / 10,
    )
    fig, (ax,) = plots.panels(title=title, size=(7.2, 3.4))
    for curve, colour, name in ((ours, plots.BLUE, "mask lifted"), (other, plots.SKY, "mask kept")):
        ax.plot(curve[:, 1], curve[:, 3], "o-", color=colour, label=f"{name}: among five")
        ax.plot(curve[:, 1], curve[:, 2], "s--", color=colour, label=f"{name}: the first", markersize=4)
    ax.set(xlabel="hidden tokens asked for", ylabel=f"gaps with the right word, of {n}", ylim=(0, n))
    ax.set_xscale("symlog", linthresh=300)
    ticks = [0, 300, 1000, 3000, 10000, 30000]
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.set_xlim(-20, 40000)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="upper left", ncols=2)
    plots.show(fig, alt=f"Curves of a training: {said}.")


def contest(filled: Mapping[str, Sequence[int]], n: int) -> None:
    """Who fills gaps best.

    Args:
        filled: by way, from the left, by trying, the filler, the filler and the writer together: the gaps
            that are filled rightly, and those with the right word among five.
        n: how many gaps there are.
    """
    said = "; ".join(f"{way} {first}, among five {five}" for way, (first, five) in filled.items())
    left, trying, filler, judged = (first for first, _ in filled.values())
    title = supported(
        "One proposes, the other judges: together they fill most gaps",
        said,
        judged > max(filler, trying) + n / 10 and min(filler, trying) > left,
    )
    fig, (ax,) = plots.panels(title=title, size=(7.6, 3.2))
    names = [way.replace(", ", ",\n") for way in filled]
    for place, (first, five) in enumerate(filled.values()):
        ax.barh(place, five, color=plots.SKY, alpha=0.35)
        ax.barh(place, first, color=plots.BLUE)
        ax.text(first - 0.4, place, f"{first}", ha="right", va="center", color="white", fontweight="bold")
        ax.text(five + 0.4, place, f"{five} among five", va="center")
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set(xlabel=f"gaps with the right word, of {n} (stored)", xlim=(0, n))
    ax.spines[["top", "right"]].set_visible(False)
    plots.show(fig, alt=f"Bars, gaps of {n} with the right word: {said}.")


def surprises(found: Mapping[str, float]) -> None:
    """How surprising a model finds texts that it did not write, and its own at rising temperatures.

    Args:
        found: bits a token, first of the texts that it did not write, then of its own: near 0, at 1, above.
    """
    said = ", ".join(f"{name} {each:.1f}" for name, each in found.items())
    others, *own = found.values()
    title = supported(
        "Near 0 hardly a surprise, at 1 about as much as in the reviews, above it far more",
        said,
        own == sorted(own) and own[0] < others / 2,
        abs(own[-2] - others) < 1 and own[-1] > others + 3,
    )
    colours = [plots.STREAM] + [plots.ORANGE] * len(own)
    fig = plots.bars(
        found, colours, title=title, x="surprise to SmolLM2, bits a token", fmt="%.1f", size=(7.2, 2.8)
    )
    plots.show(fig, alt=f"Bars, bits a token: {said}.")


def curves(
    steps: Sequence[int],
    stored: Mapping[str, ArrayLike],
    live_steps: Sequence[int],
    seldom: ArrayLike,
) -> None:
    """Two readers learn: one starts faster, the other ends better.

    Args:
        steps: after which the stored readers were measured.
        stored: by kind, before and both, (runs, steps): bits for the gap.
        live_steps: after which a reader of the first kind was measured that is asked as seldom as the second.
        seldom: its bits.
    """
    before, both = (as_numbers(runs) for runs in stored.values())
    new, at = as_numbers(seldom), list(steps).index(live_steps[-1])
    crossing = int(np.argmax(both.max(0) < before.min(0)))
    said = (
        f"stored runs: after {steps[0]} steps {before[:, 0].mean():.2f} and {both[:, 0].mean():.2f} bits, "
        f"after {steps[-1]} {before[:, -1].mean():.2f} and {both[:, -1].mean():.2f}; this run, asked as "
        f"seldom, after {live_steps[-1]} {new[-1]:.2f}, where they need {before[:, at].mean():.2f} and "
        f"{both[:, at].mean():.2f}"
    )
    title = supported(
        f"One side is learned faster; from {steps[crossing]} steps on, two are better",
        said,
        before[:, 0].max() < both[:, 0].min() and new[-1] > before[:, at].max() + 0.1,
        crossing > 0 and (both[:, crossing:].max(0) < before[:, crossing:].min(0)).all(),
    )
    fig = plots.lines(
        {"before (stored)": (steps, before), "both sides (stored)": (steps, both)},
        title=title,
        x="steps",
        y=BITS,
        log_x=True,
    )
    (ax,) = fig.axes
    seldom_too = "before, asked at 15 % (this run)"
    ax.plot(live_steps, new, "^", color=plots.GREEN, markersize=10, markerfacecolor="none", label=seldom_too)
    ax.legend(frameon=False)
    plots.show(fig, alt=f"Two curves, three stored runs each, and points of this run: {said}.")


def nothing_hidden(found: Mapping[str, ArrayLike]) -> None:
    """What three trainings know of a place where nothing is hidden.

    Args:
        found: by training, masks only, then masks and some left, then some exchanged as well, for each start:
            bits at the hidden gap, where the right character stands, and where a wrong one stands.
    """
    means = {name: as_numbers(starts).mean(0) for name, starts in found.items()}
    (gap_masks, right_masks, _), (gap_left, right_left, wrong_left), (gap, right, wrong) = means.values()
    said = "; ".join(
        f"{name}: hidden {each[0]:.2f}, right {each[1]:.2f}, wrong {each[2]:.2f}"
        for name, each in means.items()
    )
    title = supported(
        "Masks only: blind to what stands there; none exchanged: blind trust in it",
        said,
        right_masks > 2.5 > right_left and wrong_left > wrong + 1 > right + 2,
        max(gap_masks, gap_left, gap) - min(gap_masks, gap_left, gap) < 0.6,
    )
    fig, (ax,) = plots.panels(title=title, size=(7.2, 3.4))
    rows, width = np.arange(3), 0.27
    looks = ((plots.SKY, "//"), (plots.ORANGE, ".."), (plots.BLUE, None))
    for shift, (name, each), (colour, hatch) in zip((-1, 0, 1), means.items(), looks, strict=True):
        painted = ax.bar(rows + shift * width, list(each), width, color=colour, hatch=hatch, label=name)
        ax.bar_label(painted, fmt="%.1f")
    ax.set_xticks(rows, ["hidden", "the right one stands there", "a wrong one stands there"])
    ax.set(ylabel="surprise, bits", ylim=(0, 1.1 * wrong_left))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="upper left")
    plots.show(fig, alt=f"Bars, surprise in bits: {said}.")


def drawn(words: Sequence[str], of: Mapping[float, tuple[ArrayLike, ArrayLike]]) -> None:
    """What the temperature makes of a few shares, and how often each word is drawn by them.

    Args:
        words: the likeliest first.
        of: by temperature, rising: the share of each word, and how often it was drawn.
    """
    found = {t: (as_numbers(shares), as_numbers(counts)) for t, (shares, counts) in of.items()}
    shares = np.stack([each for each, _ in found.values()])  # (temperatures, words)
    rates = np.stack([counts / counts.sum() for _, counts in found.values()])
    said = "; ".join(
        f"temperature {t:g}: "
        + ", ".join(
            f"{word} {share:.1%}, drawn {count:.0f} times"
            for word, share, count in zip(words, *both, strict=True)
        )
        for t, both in found.items()
    )
    title = supported(
        "Each comes about as often as its share says; heat makes shares more alike",
        said,
        np.abs(rates - shares).max() < 0.05,
        (np.diff(shares[:, 0]) < 0).all() and (np.diff(shares[:, -1]) > 0).all(),
    )
    fig, axes = plots.panels(len(found), title=title, size=(3.0, 2.9))
    places = np.arange(len(words))
    for ax, t, share, rate in zip(axes, found, shares, rates, strict=True):
        painted = ax.bar(places, 100 * share, color=plots.BLUE, alpha=0.8, label="share")
        ax.bar_label(painted, fmt="%.1f", padding=7)
        ax.plot(places, 100 * rate, "D", color=plots.ORANGE, markersize=6, label="drawn")
        ax.set_xticks(places, [plots.literal(word) for word in words], rotation=40)
        ax.set(ylabel="%", title=f"temperature {t:g}", ylim=(0, 118 * shares.max()))
        ax.spines[["top", "right"]].set_visible(False)
    axes[-1].legend(frameon=False)
    plots.show(fig, alt=f"Bars for shares, diamonds for what was drawn: {said}.")


def writing(real: Mapping[str, float]) -> None:
    """How many of the words that each wrote are real ones.

    Args:
        real: by writer, in this order: the text itself, the reader of what came before, the reader of both
            sides, the same after going over its text again, counts of three characters, counts of five.
    """
    said = ", ".join(f"{name} {share:.0%}" for name, share in real.items()).replace("\n", " ")
    text, before, both, again, three, five = real.values()
    title = supported(
        "The causal reader writes words, the other fewer than counts of three",
        said,
        max(both, again) < three < before < min(five, text) + 0.1 and before > 0.65,
    )
    colours = [plots.STREAM, plots.SKY, plots.BLUE, plots.BLUE, plots.STREAM, plots.STREAM]
    fig = plots.bars(
        {name: 100 * share for name, share in real.items()},
        colours,
        title=title,
        x="real words, % of those with four letters or more",
        end=108.0,
        size=(8.2, 3.2),
    )
    plots.show(fig, alt=f"Bars, real words: {said}.")
