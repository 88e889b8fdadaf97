"""Are there heads for pronouns and for subjects, the lecture's own, and is the verb wrong without them?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from course_lib.concepts.c04_multi_head.experiments.real_models import (
    Head,
    Model,
    Reading,
    by_lot,
    others_of,
    ranked,
    weights_of,
)
from course_lib.decoder import GPT
from course_lib.device import seeded
from course_lib.encoder import BERT

PEOPLE = (
    *(("king", "queen"), ("man", "woman"), ("boy", "girl"), ("father", "mother")),
    *(("brother", "sister"), ("uncle", "aunt"), ("husband", "wife"), ("son", "daughter")),
    *(("prince", "princess"), ("waiter", "waitress"), ("actor", "actress"), ("lord", "lady")),
)
CLAUSES = (
    "The {} thanked the {} because {} was kind.",
    "The {} met the {} when {} came home.",
    "The {} saw the {} before {} sat down.",
    "The {} called the {} after {} woke up.",
)
THINGS = (
    *(("dog", "dogs"), ("cat", "cats"), ("boy", "boys"), ("girl", "girls"), ("king", "kings")),
    *(("book", "books"), ("car", "cars"), ("tree", "trees"), ("house", "houses"), ("door", "doors")),
    *(("bird", "birds"), ("horse", "horses"), ("chair", "chairs"), ("table", "tables"), ("box", "boxes")),
    ("key", "keys"),
)
PLACES = (("near", "now"), ("behind", "today"), ("under", "here"), ("above", "often"))


@dataclass(frozen=True)
class Choices:
    """Sentences in which one token should look at one of two nouns.

    Args:
        texts: the sentences, all of the same number of words.
        asking: the place of the token that looks, counted in words.
        right, wrong: for each sentence the place of the noun that is meant, and of the other.
    """

    texts: tuple[str, ...]
    asking: int
    right: tuple[int, ...]
    wrong: tuple[int, ...]


def pronouns(half: int) -> Choices:
    """A man, a woman, and *he* or *she*: whom does it mean? Half of the people, half of the sentences."""
    found = [
        (clause.format(*people, pronoun), *places)
        for clause in CLAUSES[half::2]
        for he, she in PEOPLE[half::2]
        for people in ((he, she), (she, he))
        for pronoun, places in zip(
            ("he", "she"), ((1, 4), (4, 1))[:: 1 if people[0] == he else -1], strict=True
        )
    ]
    texts, right, wrong = zip(*found, strict=True)
    return Choices(texts, 6, right, wrong)


def subjects(half: int, *, first: bool | None = None) -> Choices:
    """Two nouns, one of them the subject, the other of another number: which does the verb belong to?

    Args:
        half: which half of the nouns and of the prepositions.
        first: only sentences in which the subject comes first, or last; left out, both.
    """
    nouns = THINGS[half::2]
    found = []
    for place, when in PLACES[half::2]:
        for here, there in zip(nouns, (*nouns[1:], nouns[0]), strict=True):
            for is_many, verb in enumerate(("is", "are")):
                subject, other = here[is_many], there[1 - is_many]
                if first is not False:
                    found.append((f" {when} the {subject} {place} the {other} {verb}", 2, 5))
                if first is not True:
                    found.append((f" {place} the {other} {when} the {subject} {verb}", 5, 2))
    texts, right, wrong = zip(*found, strict=True)
    return Choices(texts, 6, right, wrong)


@dataclass(frozen=True)
class FoundHead:
    """A head chosen on one half of the words and sentences, tried on the other half.

    Args:
        ranking: all heads, the one that looks at the right noun most, on the first half, first.
        right: in how many of the other half's sentences the first of them looks more at the right noun.
        fresh: the same of the best head of random weights, chosen in the same way.
    """

    ranking: tuple[Head, ...]
    right: float
    fresh: float


def pronoun_head(minilm: Model, *, seed: int = 0) -> FoundHead:
    """Is there a head that looks from a pronoun at the one it means?

    Rival: the best of as many heads with random weights, chosen in the same way.
    Equal for both: sentences; each noun stands first as often as second, so a place alone is right in half.
    Does not show: pronouns that take more than *he* and *she* to understand.

    Args:
        minilm: the model and its tokenizer.
        seed: of the random weights.
    """
    model, tokenizer = minilm
    with seeded(seed):
        random = BERT(model.config)
    return found_head(model, random, lambda text: tokenizer.frame(text)[0], pronouns, shift=1)


def subject_head(smollm2: Model, *, seed: int = 0) -> FoundHead:
    """Is there a head that looks from a verb at its subject, and not at a noun beside it?

    Rival: the best of 90 heads with random weights, in ten layers, chosen in the same way.
    Equal for both: sentences; the subject stands first as often as last, so a place alone is right in half.
    Does not show: sentences of another form. The verb is there to be read, and its number tells the subject.

    Args:
        smollm2: the model and its tokenizer.
        seed: of the random weights.
    """
    model, tokenizer = smollm2
    with seeded(seed):
        random = GPT(replace(model.config, n_layers=10))
    return found_head(model, random, tokenizer.encode, subjects)


def found_head(
    model: nn.Module,
    random: nn.Module,
    encode: Callable[[str], Sequence[int]],
    choices: Callable[[int], Choices],
    shift: int = 0,
) -> FoundHead:
    """The head that chooses best on one half, tried on the other, and the same with random weights.

    Args:
        model, random: with trained and with random weights.
        encode: a tokenizer's; each word must be one token.
        choices: gives the first and the second half.
        shift: how many tokens stand before the first word.
    """
    ranking = ranked(preference(model, encode, choices(0), shift).mean(0))
    by_luck = ranked(preference(random, encode, choices(0), shift).mean(0))
    tried = [preference(each, encode, choices(1), shift) > 0.5 for each in (model, random)]
    right, fresh = (
        each[:, layer, head].float().mean().item()
        for each, (layer, head) in zip(tried, (ranking[0], by_luck[0]), strict=True)
    )
    return FoundHead(tuple(ranking), right, fresh)


def preference(
    model: nn.Module, encode: Callable[[str], Sequence[int]], choices: Choices, shift: int = 0
) -> Tensor:
    """Of what a head gives to both nouns, the share that the right one gets: (sentences, layers, heads)."""
    ids = torch.tensor([encode(text) for text in choices.texts])
    weights = weights_of(model, ids)[..., choices.asking + shift, :]
    rows = torch.arange(len(ids))
    right, wrong = (
        weights[rows, :, :, torch.tensor(places) + shift] for places in (choices.right, choices.wrong)
    )
    return right / (right + wrong)


def agreement(
    smollm2: Model, found: FoundHead, *, n_heads: int = 6, seed: int = 0
) -> dict[str, tuple[float, ...]]:
    """Is the number of the verb still right without the heads that look at the subject?

    Rival: as many other heads of the same layers, or of the nearest where these have too few; three draws.
    Does not show: longer sentences.

    Args:
        smollm2: the model and its tokenizer.
        found: what `subject_head` found.
        n_heads: how many are switched off, the best ones.
        seed: which others are drawn.
    Returns: in how many sentences with another noun before the verb the right one of *is* and *are* is the
        more probable, one number a draw.
    Raises: ValueError: too many heads to leave as many others, or none.
    """
    model, tokenizer = smollm2
    half = len(found.ranking) // 2
    if not 1 <= n_heads <= half:
        raise ValueError(
            f"n_heads has to be 1 to {half}, half of all, so that as many others are left; got {n_heads}"
        )
    best = found.ranking[:n_heads]
    drawn = [
        others_of(
            best,
            found.ranking[: 3 * n_heads],
            by_lot(torch.zeros(model.config.n_layers, model.config.n_heads), 3 * seed + draw),
        )
        for draw in range(3)
    ]
    ids = torch.tensor([tokenizer.encode(text) for text in subjects(1, first=True).texts])
    verbs = torch.tensor([tokenizer.encode(verb)[0] for verb in (" is", " are")])
    reading = Reading(model, ids[:, :-1])

    def right(off: Sequence[Head]) -> float:
        scores = reading.scores(off, begin=ids.shape[1] - 2)[:, -1].cpu()
        return (verbs[scores[:, verbs].argmax(-1)] == ids[:, -1]).float().mean().item()

    return {
        "all heads on": (right([]),),
        f"{n_heads} subject heads off": (right(best),),
        f"{n_heads} others off": tuple(right(off) for off in drawn),
    }
