"""Choose a base for a length

A model turns its queries and keys. Its heads have K numbers, so K/2 hands: hand i, counted from 0, turns by
1 / base^(2i/K) from place to place, in radians. It was trained on texts of `trained` places. Over these,
quick hands went round and round, and have stood at every angle. A slow hand never made a whole round: it has
only come as far as trained / base^(2i/K), and every angle beyond is new to the model.

Now texts of `length` places shall be read. With a larger base all hands but hand 0 get slower. Return the
smallest base with which *no* hand that never made a whole round in training comes farther, over `length`
places, than it came in training. Hands that did make a whole round do not count. Where the old base will do,
return it. `trained` is at least 7, so hand 0 has gone round.

Hint: Write it for one slow hand first. Its angle over `length` places is length / new^(2i/K). When is that no
more than trained / base^(2i/K)? Solve for `new`.

Hint: Each slow hand asks for a base of its own: base * (length / trained)^(K / 2i). One base has to do for
all of them. Which hand asks for the largest?

Hint: Hand i is slow if trained / base^(2i/K) is less than 2 pi. If there is none, or if the text is no longer
than those of training, the old base will do.
"""

import torch

from course_lib.checks import real_model
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import between, primes
from course_lib.checks.kinds import Case
from course_lib.concepts.c05_positions.tasks.rotation_at_work import turned_by
from course_lib.generation import new_tokens
from course_lib.positions import apply_rotary, rotary_at
from course_lib.pretrained import chat_prompt

NAME = "Olbrandis Kewtimole"
JUMP = 1000  # places between the request and its answer
LONGER = 16_384  # what SmolLM2, trained on 8,192 places, shall read

exercise = Exercise(level=3, minutes=15, section="Two remedies", other_forms=False)


@exercise.solution
def base_for_length(length, trained, base, d_head):
    """The smallest base with which no slow hand meets an angle that is new to it.

    Args:
        length: places of the texts that shall be read.
        trained: places of those that the model was trained on, at least 7.
        base: the one it was trained with.
        d_head: K, numbers in a head; even.
    Returns: the new base, a number.
    """
    ### BEGIN SOLUTION
    n_hands, times = d_head // 2, length / trained
    for hand in range(1, n_hands):
        reached = trained / base ** (hand / n_hands)
        if reached < 2 * torch.pi and times > 1:
            return base * times ** (n_hands / hand)  # the quickest of the slow asks for most
    return float(base)
    ### END SOLUTION


def reached(trained, base, n_hands):
    """The angle that each hand came to in training, in whole rounds."""
    return [trained / base ** (hand / n_hands) / (2 * torch.pi) for hand in range(n_hands)]


@exercise.cases
def _(rng):
    def inputs(n_hands, base, times, least=100):
        """Some hands have gone round and some have not, none of them nearly."""
        while True:
            trained = between(rng, least, 20_000)
            rounds = [trained / base ** (hand / n_hands) / (2 * torch.pi) for hand in range(n_hands)]
            slow = [hand for hand in range(n_hands) if rounds[hand] < 1]
            if slow and 2 < slow[0] < n_hands - 1 and min(abs(each - 1) for each in rounds) > 0.03:
                return given(round(times * trained), trained, base, n_hands)

    def given(length, trained, base, n_hands):
        return {"length": length, "trained": trained, "base": base, "d_head": 2 * n_hands}

    n_hands, short = primes(rng, 11, 13, 17)[0], between(rng, 700, 1200)
    return [
        Case("twice as long", inputs(8, 10_000, 2)),
        Case("half as long again", inputs(n_hands, 500_000, 1.5), catches="whole times"),
        Case(
            "hands as in SmolLM2",
            inputs(32, 100_000, between(rng, 3, 6), least=3000),
            catches="sixteen hands",
        ),
        Case(
            "every hand has gone round",
            given(between(rng, 5000, 9000), between(rng, 1100, 2000), between(rng, 90, 110), 5),
            catches="no slow hand",
        ),
        Case(
            "a shorter text",
            given(between(rng, 100, 400), between(rng, 500, 900), 10_000, n_hands),
            catches="smaller for a shorter text",
        ),
        Case(
            "one slow hand",
            given(between(rng, 2, 5) * short, short, 10_000, 4),
            catches="two slow hands at least",
        ),
    ]


# ----------------------------------------------------------------------------------------- over a jump


@exercise.finale
@real_model.with_smollm2("repeat a name over a jump of 1,000 places, with your base")
def reads_over_a_jump(learner, model, tokenizer):
    """Let SmolLM2 repeat a name whose request lies far back, with its own base and with the learner's."""
    rotary = model.rotary
    base = float(learner(LONGER, rotary.max_seq_len, rotary.base, rotary.d_head))
    request = chat_prompt(f"Repeat after me: {NAME} sings.")
    ids = torch.tensor([tokenizer.encode(request)], device=rotary.cos.device)
    begin = len(tokenizer.encode(request.split("<|im_start|>assistant")[0]))
    yield f"Repeat after me: {NAME} sings. (The answer begins {JUMP:,} places further on.)"
    for whose, own in (("with its own base", rotary.base), ("with yours", base)):
        yield f"\n{whose}, {own:,.0f}: "
        with turned_by(model, over_a_jump(rotary.d_head, own, begin)):
            yield from answer(model, tokenizer, ids)


def over_a_jump(d_head, base, begin):
    """Turns x (B, H, T, K) as if all tokens from `begin` on stood JUMP places further."""

    def rotate(x, start=0):
        places = torch.arange(start, start + x.shape[-2], device=x.device).float()
        cos, sin = rotary_at(places + JUMP * (places >= begin), d_head, base)
        return apply_rotary(x, cos, sin, interleaved=True)

    return rotate


def answer(model, tokenizer, ids):
    """The first tokens of what the model answers: as many as the name has with *sings* and a full stop."""
    n = len(tokenizer.encode(f"{NAME} sings."))
    end = tokenizer.special_tokens["<|im_end|>"]
    tokens = new_tokens(model, ids, n, eos_id=end)
    return real_model.as_text(tokenizer, (int(token.item()) for token in tokens))


# ----------------------------------------------------------------------------------------- which hand

exercise.changed(
    "the slowest hand alone",
    "Only the slowest hand was asked. It asks for least: hands that are a little quicker, and never made a "
    "whole round either, come farther with this base than they came in training. Ask all slow hands, and "
    "take the largest base.",
    ("range(1, n_hands)", "range(n_hands - 1, 0, -1)"),
)
exercise.changed(
    "all hands but the first",
    "Quick hands were asked, too. They have gone round in training and know every angle: only hands with "
    "less than 2 pi count.",
    ("reached < 2 * torch.pi and times > 1", "times > 1"),
)
exercise.changed(
    "less than one radian",
    "A hand counts as slow only if it turned by less than 1. A whole round is 2 pi.",
    ("2 * torch.pi and", "1 and"),
)
exercise.changed(
    "less than half a round",
    "A hand counts as slow only if it made less than half a round: a whole one is 2 pi.",
    ("2 * torch.pi and", "torch.pi and"),
)
exercise.changed(
    "in degrees",
    "The angle was compared with 360: it is in radians, so a whole round is 2 pi.",
    ("2 * torch.pi and", "360 and"),
)
exercise.changed(
    "rounds over the new length",
    "Whether a hand made a whole round was asked over `length` places: what is known comes from training, "
    "`trained` places.",
    ("reached = trained /", "reached = length /"),
)
exercise.changed(
    "the last that went round",
    "The hand that was asked has just made a whole round in training, so it knows every angle: ask the next, "
    "slower one.",
    ("times ** (n_hands / hand)", "times ** (n_hands / max(hand - 1, 1))"),
)

# ----------------------------------------------------------------------------------------- which base

exercise.changed(
    "as many times as the length",
    "The base was multiplied by length / trained. A hand gets slower by that factor to the power of 2i/K "
    "only, which is less: solve length / new^(2i/K) = trained / base^(2i/K) for new.",
    ("times ** (n_hands / hand)", "times"),
)
exercise.changed(
    "whole times",
    "`length // trained` leaves out what is more than a whole number of times: divide with `/`.",
    ("length / trained", "length // trained"),
)
exercise.changed(
    "the exponent upside down",
    "length / trained was raised to the power of 2i/K. From new^(2i/K) one comes to new with the power of "
    "K/2i.",
    ("times ** (n_hands / hand)", "times ** (hand / n_hands)"),
)
exercise.changed(
    "a smaller base",
    "The base was divided, so all hands get quicker and come farther still: a larger one makes them slower.",
    ("base * times", "base / times"),
)
exercise.changed(
    "the factor alone",
    "This is by how much the base must be multiplied: return the new base.",
    ("base * times", "times"),
    ("float(base)", "1.0"),
)
exercise.changed(
    "smaller for a shorter text",
    "For a text that is shorter than those of training the base became smaller. The old one will do.",
    (" and times > 1", ""),
)
exercise.changed(
    "the speed of the hand",
    "This is a hand's base to the power of 2i/K, the inverse of its speed: take it to the power of K/2i.",
    ("base * times ** (n_hands / hand)", "base ** (hand / n_hands) * times"),
)


@exercise.mistake("the old base")
def _(length, trained, base, d_head):
    """This is the old base in every case, though some hands are slow and the text is longer: is no hand taken
    for slow? Hand i is, if trained / base^(2i/K) is less than 2 pi.
    """
    return base
