"""Merge a pair

Put one token in the place of a pair, wherever it stands: from left to right, and no token is used twice. So
"aaa" with the pair (a, a) becomes "aa", "a".

Hint: Go through the tokens with a place `i`. By how much does `i` grow after a merge, and by how much
otherwise?

Hint: `while i < len(tokens):` if there is a next token and the two are the pair, append `pair[0] + pair[1]`
and add 2 to `i`. Else append `tokens[i]` and add 1.
"""

from course_lib.checks import forms
from course_lib.checks.exercise import Exercise
from course_lib.checks.kinds import Case
from course_lib.concepts.c01_tokens.tasks.count_pairs import letters, single

exercise = Exercise(
    level=2, minutes=8, section="Who decides which letters belong together?", read=forms.contents
)


@exercise.solution
def merge_pair(tokens, pair):
    """Put one token in the place of each pair, from the left.

    Args:
        tokens: a list of tokens; not to be changed.
        pair: (left, right).
    Returns: a list of tokens.
    """
    ### BEGIN SOLUTION
    merged = []
    i = 0
    while i < len(tokens):
        if tuple(tokens[i : i + 2]) == pair:
            merged.append(pair[0] + pair[1])
            i += 2
        else:
            merged.append(tokens[i])
            i += 1
    return merged
    ### END SOLUTION


@exercise.cases
def _(rng):
    a, b, c, d = letters(rng, 4)

    def case(name, text, pair, **more):
        return Case(name, {"tokens": list(single(text)), "pair": single(pair)}, **more)

    long = [(a + b).encode(), c.encode(), a.encode(), (b + c).encode(), (a + b).encode(), c.encode()]
    return [
        case("one place", a + b + c + d, b + c),
        case("five of the same in a row", c + 5 * a, a + a, catches="the token after the last one"),
        case("the pair the other way round", b + a + c + a + b, a + b, catches="pairs without order"),
        Case(
            "tokens of several bytes",
            {"tokens": long, "pair": (long[0], long[1])},
            catches="compared as text",
        ),
        case("the pair is not there", a + c + b + d, a + b, catches="an error where there is no place"),
        case("no tokens", "", a + b, catches="the first token taken for granted"),
    ]


exercise.changed(
    "the right half stays",
    "After a merge the right half of the pair comes once more: go on two places further, not one.",
    ("i += 2", "i += 1"),
)


@exercise.mistake("from right to left")
def from_the_right(tokens, pair):
    """Merged from the right: "aaa" should become "aa", "a", but it became "a", "aa"."""
    merged = list(tokens)
    for i in reversed(range(len(tokens) - 1)):
        if tuple(merged[i : i + 2]) == pair:
            merged[i : i + 2] = [pair[0] + pair[1]]
    return merged


@exercise.mistake("only the first place")
def at_the_first_place(tokens, pair):
    """Only the first place was merged: go on to the end."""
    for i in range(len(tokens)):
        if tuple(tokens[i : i + 2]) == pair:
            return [*tokens[:i], pair[0] + pair[1], *tokens[i + 2 :]]
    return list(tokens)


exercise.changed(
    "pairs without order",
    "(b, a) was merged too, though the pair is (a, b): the order counts.",
    ("== pair", "in (pair, pair[::-1])"),
    ("pair[0] + pair[1]", "tokens[i] + tokens[i + 1]"),
)
exercise.changed(
    "compared as text",
    'Two tokens were merged because their joined text is that of the pair. "ab" and "c" are another pair '
    'than "a" and "bc": compare the tokens.',
    ("tuple(tokens[i : i + 2]) == pair", "b''.join(tokens[i : i + 2]) == b''.join(pair)"),
)
exercise.changed(
    "a pair instead of a token",
    "The pair itself stands in the list: join its two tokens to one, `left + right`.",
    ("pair[0] + pair[1]", "pair"),
)
exercise.changed(
    "the last token is lost",
    "The last token is lost where it is not part of a pair: it has no neighbour, but it stays.",
    ("i < len(tokens)", "i < len(tokens) - 1"),
)
exercise.changed(
    "the right half stays, the last token is lost",
    "After a merge the right half of the pair comes once more, and the last token is lost: a `for` loop goes "
    "on one place after each step, and needs a neighbour each time. With `while` you choose how far to go.",
    ("i < len(tokens)", "i < len(tokens) - 1"),
    ("i += 2", "i += 1"),
)
exercise.changed(
    "the pair is taken out",
    "The pair was taken out, and nothing was put in its place.",
    ("merged.append(pair[0] + pair[1])", "pass"),
)
exercise.changed(
    "joined the wrong way round",
    "The right token stands before the left one: join them as left + right.",
    ("pair[0] + pair[1]", "pair[1] + pair[0]"),
)
exercise.changed(
    "the left half stays",
    "The left half of the pair stands before the merged token: it is part of it now.",
    ("merged.append(pair[0] + pair[1])", "merged += [pair[0], pair[0] + pair[1]]"),
)
exercise.changed(
    "nothing merged",
    "No place was found, and the tokens are as they were. Do you compare `tokens[i:i + 2]` with `pair`? The "
    "one is a list and the other a tuple, and these are never equal: `tuple(tokens[i:i + 2]) == pair`.",
    ("tuple(tokens[i : i + 2])", "tokens[i : i + 2]"),
)


@exercise.mistake("all in one")
def _(tokens, pair):
    """All tokens were joined to one: only the pair becomes one token."""
    return [b"".join(tokens)]
