"""Is the first token needed, at which most heads look, and are these heads?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from course_lib import probing
from course_lib.concepts.c04_multi_head.experiments.real_models import (
    Head,
    Model,
    by_lot,
    loss_without,
    pieces,
    ranked,
)
from course_lib.concepts.c04_multi_head.experiments.what_do_heads_look_at import HeadScores


@dataclass(frozen=True)
class FirstToken:
    """The loss on reviews, in nats a token, when the first token or who looks at it is missing.

    Args:
        intact: of the whole model.
        losses: without the "heads" that look most at the first token; without as many by "lot", one a draw;
            with the first "token" hidden; with "others" hidden, one a token.
    """

    intact: float
    losses: Mapping[str, tuple[float, ...]]


def first_token(
    smollm2: Model, scores: HeadScores, *, seed: int = 0, n_heads: int = 20, n_texts: int = 2
) -> FirstToken:
    """Is the first token needed, at which most heads look, and are these heads?

    Rival: as many heads drawn by lot; another token hidden from the same places.
    Does not show: whether the token is needed for what it says or as a place to put weight.

    Args:
        smollm2: the model and its tokenizer.
        scores: of its heads.
        seed: which reviews are read, and which heads are drawn.
        n_heads: how many are switched off.
        n_texts: how many pieces of reviews are read.
    """
    model, tokenizer = smollm2
    ids = pieces(tokenizer.encode, seed, held_out=True, n=n_texts, length=64)
    looking = scores.trained["the first token"]
    begin = 17  # from here on the token is hidden, and the loss counts

    def without(off: Sequence[Head]) -> float:
        return loss_without(model, off, ids, begin)

    def hidden(key: int) -> float:
        with probing.key_hidden(model, key, begin - 1):
            return without([])

    losses = {
        "heads": (without(ranked(looking)[:n_heads]),),
        "lot": tuple(without(by_lot(looking, 2 * seed + draw)[:n_heads]) for draw in range(2)),
        "token": (hidden(0),),
        "others": (hidden(1), hidden(8)),
    }
    return FirstToken(without([]), losses)
