"""Sentence pairs without leaks

The first BERT was also asked whether the second of two sentences is the one that follows the first.
`documents` is a list of documents, each a list of sentences, and no sentence occurs twice. Make one pair
for each sentence that has a next one in its document: (first, second, is next). By chance, for each pair
alone and half of the time, the second is the next sentence and the label True. Otherwise the second is any
sentence of *another* document, and the label is False. Every sentence of every other document may be drawn.
Return the list of pairs. `rng` is a `random.Random`: take all your random numbers from it. The check draws
thousands of pairs and says what they have in common. (Devlin et al. 2019, section 3.1.)

Hint: Go through the documents with `enumerate`, and in each through the places 0 to len(document) - 2. At
each, toss a coin: `rng.random() < 0.5`.

Hint: For the other half you need all sentences of all documents but this one in a list. Compare the
documents' numbers, and `rng.choice(others)` draws one of them.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from course_lib.checks.call import each
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import primes
from course_lib.checks.kinds import Case
from course_lib.checks.values import Parts, WrongForm, boxed, describe

Report = dict[str, str]  # what was looked at -> what was found

SKIPPED = "not looked at"
FIXED = "always the same, whatever the seed"


class Lines(Report):
    """A report that is shown one line for each entry."""

    def __repr__(self) -> str:
        return "".join(f"\n    {what}: {found}" for what, found in self.items())


def as_lines(report: Report) -> Parts:
    """A report as the result of an answer."""
    return {"result": boxed(Lines(report))}


exercise = Exercise(
    level=3,
    minutes=15,
    section="Do two sentences belong together?",
    forbidden=("course_lib.objectives.sentence_pairs",),
    read=as_lines,
    seconds=20.0,
    outside=True,
)


@exercise.solution
def sentence_pairs(documents, rng):
    """A pair for each sentence that has a next one: half of the time with it, else with one from elsewhere.

    Args:
        documents: a list of documents, each a list of sentences (texts).
        rng: a random.Random, from which all random numbers come.
    Returns: a list of (first, second, is next).
    """
    ### BEGIN SOLUTION
    pairs = []
    for number, document in enumerate(documents):
        others = [sentence for i, other in enumerate(documents) if i != number for sentence in other]
        for first, following in pairwise(document):
            is_next = rng.random() < 0.5
            second = following if is_next else rng.choice(others)
            pairs.append((first, second, is_next))
    return pairs
    ### END SOLUTION


# ----------------------------------------------------------------------- what random answers have in common


@dataclass(frozen=True, repr=False)
class Seed:
    """Of the generator that the learner's function gets."""

    number: int

    def __repr__(self) -> str:
        return f"a generator with the seed {self.number}"


def source(first: Any, again: Any, other: Any, nothing: Any) -> str:
    """Where random numbers come from, by what two calls with one seed gave, and one with another.

    Args:
        nothing: what is the same whatever was drawn, because there was nothing to choose.
    """
    if first == nothing:
        return "the generator"
    if first != again:
        return "not the generator: with the same seed something else comes"
    return FIXED if first == other else "the generator"


def nearest(value: float, known: Iterable[float], room: float) -> float:
    """The one of some numbers that is closest, or the value itself where that is too far."""
    best = min(known, key=lambda number: abs(number - value))
    return best if abs(best - value) < room else value


def percent(share: float) -> str:
    """A share in words."""
    return f"{100 * share:.3g} %"


# --------------------------------------------------------------------------------------- what the pairs are

Documents = list[list[str]]
Pair = tuple[str, str, bool]

N_PAIRS = 2000  # so many are drawn in each case, and more

N_AGAIN = 30  # so many draws are repeated with the same seed, and with another

BY_CHANCE = "by chance for each pair"

# How labels are made that say nothing of the sentences.
GIVEN_AWAY = ("the same in every draw", "in turn")

HALF = 0.07  # a right share of 2,000 labels is off by less: six standard deviations


@exercise.adapt
def report_of_pairs(learner: Callable[..., Any]) -> Callable[..., Report]:
    """Let a function make pairs, again and again, and report what it made."""

    def report(documents: Documents, rng: Seed) -> Report:
        before = [list(document) for document in documents]
        right = [(*pair, True) for document in before for pair in pairwise(document)]
        n_draws = math.ceil(N_PAIRS / max(len(right), 1))
        known = {sentence for document in before for sentence in document}

        def drawn(seed: int, n: int, first: Documents | None = None) -> list[list[Pair]]:
            generator = random.Random(seed)
            # A copy for each, so that what one call changes does not meet the next.
            given = [[list(document) for document in before] for _ in range(n)]
            given[0] = first or given[0]
            answers = each(learner, ((one, generator) for one in given))
            return [triples(answer, known) for answer in answers]

        draws = drawn(rng.number, n_draws, documents)
        again, other = (drawn(rng.number + more, N_AGAIN) for more in (0, 1))
        found = {"numbers drawn from": source(draws[:N_AGAIN], again, other, N_AGAIN * [right])}
        rest = pairing(before, draws)
        return found | (dict.fromkeys(rest, SKIPPED) if FIXED in found.values() else rest)

    return report


def triples(answer: Any, known: Collection[str]) -> list[Pair]:
    """The pairs of an answer.

    Raises: WrongForm: it is no list of (first, second, is next) with sentences of the documents.
    """
    try:
        pairs = [(first, second, bool(label)) for first, second, label in answer]
    except (TypeError, ValueError, RuntimeError):
        raise WrongForm(
            f"It must return a list of triples (first, second, is next), but got {describe(answer)}."
        ) from None
    strange = [s for pair in pairs for s in pair[:2] if not isinstance(s, str) or s not in known]
    if strange:
        raise WrongForm(f"A pair contains {describe(strange[0])}, which is no sentence of the documents.")
    return pairs


def pairing(documents: Documents, draws: Sequence[Sequence[Pair]]) -> Report:
    """What the pairs of many draws have in common, in words."""
    place = {s: (d, n) for d, document in enumerate(documents) for n, s in enumerate(document)}
    pairs = [pair for one in draws for pair in one]
    of_label = {label: [(a, b) for a, b, k in pairs if k == label] for label in (True, False)}
    labels = how_labelled(draws, place)
    share = len(of_label[True]) / max(len(pairs), 1)
    return {
        "first sentences": first_sentences(documents, draws),
        "labelled True": kinds_of(of_label[True], place),
        "labelled False": kinds_of(of_label[False], place),
        "labels": labels,
        "share of True": SKIPPED if labels != BY_CHANCE else percent(nearest(share, (0, 0.5, 1), HALF)),
        "sentences put in": SKIPPED if labels in GIVEN_AWAY else how_drawn(documents, draws, place),
    }


def first_sentences(documents: Documents, draws: Sequence[Sequence[Pair]]) -> str:
    """Which sentences come first in pairs."""
    counted = [Counter(first for first, _, _ in pairs) for pairs in draws]
    wanted = Counter(s for document in documents for s in document[:-1])
    if all(counts == wanted for counts in counted):
        return "each that has a next one, once"
    found: Counter[str] = sum(counted, Counter())
    if any(document[-1] in found for document in documents):
        return "also the last of a document, which has no next one"
    if not any(document[0] in found for document in documents):
        return "never the first of a document"
    return "some more than once" if set(found) == set(wanted) else "not each that has a next one"


def kinds_of(pairs: Iterable[tuple[str, str]], place: Mapping[str, tuple[int, int]]) -> str:
    """What the second sentences are to the first ones."""

    def kind(first: str, second: str) -> str:
        (d, n), (e, m) = place[first], place[second]
        if d != e:
            return "other document"
        return {n + 1: "next", n: "itself", n - 1: "previous"}.get(m, "same document")

    return " or ".join(sorted({kind(*pair) for pair in pairs})) or "nothing"


def how_labelled(draws: Sequence[Sequence[Pair]], place: Mapping[str, tuple[int, int]]) -> str:
    """Whether each pair's label is a matter of chance."""
    if len({tuple(label for *_, label in pairs) for pairs in draws}) == 1:
        return "the same in every draw"
    if all(label != following for pairs in draws for (*_, label), (*_, following) in pairwise(pairs)):
        return "in turn"
    together = [{(place[a][0], label) for a, _, label in pairs} for pairs in draws]
    alone = [len({place[a][0] for a, _, _ in pairs}) for pairs in draws]
    return "the same for a whole document" if list(map(len, together)) == alone else BY_CHANCE


def how_drawn(
    documents: Documents, draws: Sequence[Sequence[Pair]], place: Mapping[str, tuple[int, int]]
) -> str:
    """Which sentences are put in the place of the next."""
    seen = [(i, place[a][0], b) for i, pairs in enumerate(draws) for a, b, label in pairs if not label]
    if not seen:
        return "none"
    from_document = {d for _, d, _ in seen}
    put_in = {(d, b) for _, d, b in seen}
    if len(put_in) == len(from_document):
        return "always the same"
    if len({(i, d, b) for i, d, b in seen}) == len({(i, d) for i, d, _ in seen}):
        return "one for all pairs of a document"
    if all(place[b][1] == 0 for _, b in put_in):
        return "only the first of a document"
    if len(documents) > 2 and len({(d, place[b][0]) for d, b in put_in}) == len(from_document):
        return "always from the same document"
    return "any" if {b for _, b in put_in} == set(place) else "never some of them"


@exercise.cases
def _(rng):
    def inputs(*lengths):
        names = [chr(ord("A") + i) for i in rng.permutation(26)]
        documents = [
            [f"{name}{n + 1}" for n in range(length)] for name, length in zip(names, lengths, strict=False)
        ]
        return {"documents": documents, "rng": Seed(int(rng.integers(10_000)))}

    return [
        Case("two documents of three sentences", inputs(3, 3)),
        Case(
            "a document of one sentence",
            inputs(1, *primes(rng, 3, 5, 7)),
            catches="that sentence never put in",
        ),
    ]


# ------------------------------------------------------------------------------------------- what is put in

exercise.changed(
    "any sentence at all",
    "What is put in comes from the whole text: now and then it is the next sentence and labelled False, or "
    "one of the same document. Draw from the other documents.",
    (" if i != number", ""),
)
exercise.changed(
    "any but the next",
    "What is put in may come from the same document: draw it from another one, as the task says.",
    (" if i != number", ""),
    ("rng.choice(others)", "rng.choice([other for other in others if other not in (first, following)])"),
)
exercise.changed(
    "from the same document",
    "What is put in comes from the same document: draw it from another one.",
    (
        "rng.choice(others)",
        "rng.choice([other for other in document if other not in (first, following)] or [first])",
    ),
)


@exercise.mistake("across the border")
def _(documents, rng):
    """The last sentence of a document was paired with the first of the next, and labelled True: they do not
    follow each other. The last sentence has no pair.
    """
    document_of = {sentence: i for i, document in enumerate(documents) for sentence in document}
    pairs = []
    for first, following in pairwise(document_of):
        is_next = rng.random() < 0.5
        others = [sentence for sentence, i in document_of.items() if i != document_of[first]]
        pairs.append((first, following if is_next else rng.choice(others), is_next))
    return pairs


exercise.changed(
    "always the same",
    "Always the same sentence is put in: a model would know it by heart and never compare two sentences. "
    "Draw another one each time.",
    ("rng.choice(others)", "others[0]"),
)
exercise.changed(
    "one for a whole document",
    "One sentence is drawn for all pairs of a document: draw one for each pair.",
    ("for sentence in other]", "for sentence in other]\n        drawn = rng.choice(others)"),
    ("else rng.choice(others)", "else drawn"),
)
exercise.changed(
    "only first sentences put in",
    "Only the first sentences of documents are put in, and one can tell them without looking at the other "
    "of the pair: draw from all sentences of the other documents.",
    ("for sentence in other]", "for sentence in other[:1]]"),
)
exercise.changed(
    "from the next document",
    "What is put in always comes from the document that follows: draw from all the others.",
    ("i != number", "i == (number + 1) % len(documents)"),
)


# ---------------------------------------------------------------------------- which pairs, and their labels

exercise.changed(
    "first sentences left out",
    "The first sentence of a document is never the first of a pair: it has a next one too.",
    ("pairwise(document)", "pairwise(document[1:])"),
)
exercise.changed(
    "every second sentence",
    "Only every second sentence begins a pair: each one that has a next does, so pairs overlap.",
    ("pairwise(document)", "list(pairwise(document))[::2]"),
)
exercise.changed(
    "in turn",
    "The labels are the same in every draw, such as True and False in turn: their place in the list gives "
    "them away. Toss a coin for each pair.",
    ("rng.random() < 0.5", "len(pairs) % 2 == 0"),
)
exercise.changed(
    "in turn, from a coin on",
    "Chance decides the first label alone, then True and False come in turn, so each label gives the next "
    "one away. Toss a coin for each pair.",
    ("rng.random() < 0.5", "not pairs[-1][2] if pairs else rng.random() < 0.5"),
)
exercise.changed(
    "one coin for a document",
    "All pairs of a document have the same label: toss a coin for each pair.",
    ("            is_next = rng.random() < 0.5\n", ""),
    ("for sentence in other]", "for sentence in other]\n        is_next = rng.random() < 0.5"),
)
exercise.changed(
    "always next",
    "All labels are True: half of the pairs should be no neighbours.",
    ("rng.random() < 0.5", "True"),
)
exercise.changed(
    "never next",
    "All labels are False: half of the pairs should be neighbours.",
    ("rng.random() < 0.5", "False"),
)
exercise.changed(
    "both for each sentence",
    "There are two pairs for each sentence, one of each kind: make one, and let chance decide which.",
    (
        "pairs.append((first, second, is_next))",
        "pairs += [(first, following, True), (first, rng.choice(others), False)]",
    ),
)
exercise.changed(
    "order exchanged",
    "The pairs labelled False are neighbours the other way round, which is another task (ALBERT's): put in "
    "a sentence of another document.",
    (
        "second = following if is_next else rng.choice(others)",
        "first, second = (first, following) if is_next else (following, first)",
    ),
)
exercise.changed(
    "labels upside down",
    "The labels are upside down: True is for the next sentence.",
    ("second, is_next", "second, not is_next"),
)


@exercise.mistake("not the generator")
def _(documents, rng):
    """With the same seed other pairs come: some of your random numbers do not come from `rng`. `rng.random()`
    and `rng.choice(a_list)` do.
    """
    return sentence_pairs(documents, random.Random())


@exercise.mistake("a seed of its own")
def _(documents, rng):
    """Whatever the seed, the same pairs come: the function sets a seed of its own. Every round over the texts
    would show the same pairs.
    """
    return sentence_pairs(documents, random.Random(0))
