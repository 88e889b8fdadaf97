"""Do heads become specialists? Who copies, who takes notes for it, and what does it cost without them?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

import torch
from torch import Tensor, nn

from course_lib import probing
from course_lib.concepts.c04_multi_head.experiments.real_models import (
    Head,
    Model,
    Reading,
    by_lot,
    distance,
    others_of,
    pieces,
    ranked,
    score,
    weights_of,
)
from course_lib.concepts.c04_multi_head.experiments.what_do_heads_look_at import HeadScores, head_scores
from course_lib.concepts.c04_multi_head.experiments.who_looks_at_the_subject import (
    FoundHead,
    pronoun_head,
    subject_head,
)
from course_lib.objectives import token_loss
from course_lib.training import bar


@dataclass(frozen=True)
class Specialists:
    """What heads of trained models are for: what they look at, and what it costs when they are off.

    Args:
        scores: what they look at.
        copying: those of SmolLM2 that look at what followed the first time, the strongest first.
        without: the loss of a repetition in nats a token: all heads on, the strongest off, ten off.
        others: as many others of the same layers, drawn by lot.
        drawn: the loss without them, and without a second draw.
        alone: the same without a head that looks at the token before, by head.
        first_copy: the loss when nothing is repeated yet.
        given: what each of five copying heads gives to the token that followed, with the head for the token
            before on, with it off, and with another of its layer off, by name, in this order.
        specific: what the ten copying heads cost on reviews, in nats a token.
        she: MiniLM's head for the noun that a pronoun can mean.
        verb: SmolLM2's head for the subject of a verb.
    """

    scores: HeadScores
    copying: tuple[Head, ...]
    without: tuple[float, ...]
    others: tuple[Head, ...]
    drawn: tuple[float, ...]
    alone: Mapping[Head, float]
    first_copy: float
    given: Mapping[str, tuple[float, ...]]
    specific: float
    she: FoundHead
    verb: FoundHead

    @property
    def fresh(self) -> float:
        """The most that a head with random weights gives to the token before."""
        return self.scores.fresh["the token before"].max().item()

    @property
    def previous(self) -> float:
        """The most that a trained one gives to it."""
        return self.scores.trained["the token before"].max().item()

    @property
    def same_token(self) -> float:
        """What the best head for it gives to each earlier place of the same token."""
        return self.scores.trained["the same token"].max().item()

    @property
    def over_others(self) -> float:
        """How many times as much that is as what other tokens give to these places."""
        return self.same_token / self.scores.by_others

    @property
    def pronoun(self) -> float:
        """In how many new sentences the best head for it looks more at the noun that a pronoun can mean."""
        return self.she.right

    @property
    def pronoun_fresh(self) -> float:
        """The same of the best with random weights."""
        return self.she.fresh

    @property
    def subject(self) -> float:
        """In how many the best head for it looks from a verb more at its subject."""
        return self.verb.right

    @property
    def subject_fresh(self) -> float:
        """The same of the best with random weights."""
        return self.verb.fresh

    @property
    def parked(self) -> float:
        """Which share of SmolLM2's heads gives more than half of its weight to the first token."""
        return (self.scores.trained["the first token"] > 0.5).float().mean().item()

    @property
    def named(self) -> float:
        """Which share of them gives as much to the token before, or to places of the same token."""
        places = torch.stack([self.scores.trained[f"the {name}"] for name in ("token before", "same token")])
        return (places.amax(0) > 0.5).float().mean().item()

    @property
    def copy_off(self) -> float:
        """By how many nats a repetition costs more without the copying heads."""
        return self.without[-1] - self.without[0]

    @property
    def lot(self) -> float:
        """By how many without as many others."""
        return mean(self.drawn) - self.without[0]

    @property
    def needed(self) -> Head:
        """The head for the token before that is missed most."""
        return max(self.alone, key=lambda head: self.alone[head])

    @property
    def taken(self) -> float:
        """The share of what repetition saves that this head takes away."""
        return (self.alone[self.needed] - self.without[0]) / (self.first_copy - self.without[0])

    @property
    def handed(self) -> float:
        """The share of their weight on the target that copying heads keep without it; without any, 1."""
        on, off, _ = self.given.values()
        return sum(off) / sum(on) if on else 1.0


def specialists(
    smollm2: Model,
    minilm: Model,
    *,
    seed: int = 0,
    scores: HeadScores | None = None,
    she: FoundHead | None = None,
    verb: FoundHead | None = None,
    n_rows: int = 2,
    half: int = 40,
) -> Specialists:
    """Do heads come to do different things, and does it matter that they do?

    Rival: a model of the same shape with random weights, and its best head; the same places asked by other
        tokens; as many other heads of the same layers switched off.
    Equal for both: texts, rows and places; the number of heads that are off, and their layers.
    Does not show: whether heads for pronouns and subjects are needed; for the verb, `agreement` asks that.

    Args:
        smollm2, minilm: models and their tokenizers.
        seed: which reviews are read, the random weights, the tokens that are repeated, and what is drawn.
        scores, she, verb: what `head_scores`, `pronoun_head`, `subject_head` found, if they have been called.
        n_rows, half: rows of tokens drawn by lot, and how many there are before they come again.
    """
    scores = scores or head_scores(smollm2, minilm, seed=seed)
    (model, tokenizer), random = smollm2, torch.Generator().manual_seed(seed)
    once, other = torch.randint(1000, 40000, (2, n_rows, half), generator=random)
    twice, never = torch.cat([once, once], 1), torch.cat([once, other], 1)
    copying = copying_heads(model, twice, never)
    ten = copying[:10]
    previous = scores.trained["the token before"]

    reading = Reading(model, twice)

    def repeated(*off: Head) -> float:
        return reading.loss(off, half)

    alone = {head: repeated(head) for head in bar(ranked(previous)[:3])}
    needed = max(alone, key=lambda head: alone[head])
    mate = others_of([needed], [needed], by_lot(previous, seed))
    drawn = [others_of(ten, copying, by_lot(previous, 2 * seed + draw)) for draw in range(2)]
    unread = Reading(model, pieces(tokenizer.encode, seed, held_out=True, n=3, length=64))
    return Specialists(
        scores=scores,
        copying=tuple(copying),
        without=(repeated(), repeated(*ten[:1]), repeated(*ten)),
        others=tuple(drawn[0]),
        drawn=tuple(repeated(*off) for off in drawn),
        alone=alone,
        first_copy=token_loss(reading.scores()[:, : half - 1], reading.ids[:, 1:half]).item(),
        given={
            "note-taker on": given_to_targets(model, twice, copying[:5], []),
            "note-taker off": given_to_targets(model, twice, copying[:5], [needed]),
            "note-taker on, its neighbour off": given_to_targets(model, twice, copying[:5], mate),
        },
        specific=unread.loss(ten) - unread.loss(),
        she=she or pronoun_head(minilm, seed=seed),
        verb=verb or subject_head(smollm2, seed=seed),
    )


def copying_heads(model: nn.Module, twice: Tensor, never: Tensor) -> list[Head]:
    """The heads that look at what followed the first time, the strongest first.

    They give it five times an equal share, and five times what they give it where nothing is repeated.

    Args:
        model: called with token ids.
        twice: rows whose second half is the first again.
        never: rows of the same length that repeat nothing.
    """
    half = twice.shape[1] // 2
    found, control = (score(weights_of(model, rows), _targets(half)) for rows in (twice, never))
    equal = (1 / (torch.arange(half, 2 * half) + 1)).mean()
    return [head for head in ranked(found) if found[head] > 5 * max(control[head], equal)]


def given_to_targets(
    model: nn.Module, twice: Tensor, heads: Sequence[Head], off: Sequence[Head]
) -> tuple[float, ...]:
    """What each of these heads gives to the token that followed the first time, while others are off."""
    with probing.heads_off(model, off):
        given = score(weights_of(model, twice), _targets(twice.shape[1] // 2))
    return tuple(given[head].item() for head in heads)


def _targets(half: int) -> Tensor:
    """For each token of a repetition the one after its first occurrence: (2 half, 2 half)."""
    after = distance(2 * half) == half - 1
    after[half - 1] = False  # the first copy's last token: nothing is repeated yet
    return after


# The ten strongest copying heads of SmolLM2, as `copying_heads` finds them; and twenty others, drawn once.
TEN: tuple[Head, ...] = (
    *((18, 6), (17, 3), (17, 4), (18, 7), (23, 2)),
    *((23, 7), (20, 6), (17, 5), (24, 4), (23, 1)),
)
TWENTY_AT_RANDOM = tuple(by_lot(torch.zeros(30, 9), 1)[:20])
