"""Cut a text

Cut a text into tokens with merges that were learned before; the whole text counts as one word here. It
starts as its UTF-8 bytes. Of all neighbours that are a learned pair, merge the pair that was learned first
(the one of the lowest rank), and look again, until none is left. Your `merge_pair` helps.

Hint: `[bytes([byte]) for byte in text.encode()]` are the tokens to begin with.

Hint: In a loop: collect the neighbours that are in `ranks`. Where there are none, return. Else take the one
with the lowest rank, `min(known, key=ranks.get)`, and merge it.
"""

import re
from itertools import pairwise

from course_lib.checks import forms
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import between
from course_lib.checks.kinds import Case
from course_lib.concepts.c01_tokens.tasks.count_pairs import drawn, drawn_words, letters, single
from course_lib.concepts.c01_tokens.tasks.merge_pair import from_the_right, merge_pair
from course_lib.concepts.c01_tokens.tasks.train_merges import no_token_twice, train_merges

exercise = Exercise(level=3, minutes=12, section="A new text", read=forms.contents)


@exercise.solution
def encode(text, ranks):
    """Cut a text into tokens.

    Args:
        text: a str; any Unicode.
        ranks: {(left, right): rank} of the learned pairs, in the order of learning: 0, 1, 2 and so on.
    Returns: a list of tokens.
    """
    ### BEGIN SOLUTION
    tokens = [bytes([byte]) for byte in text.encode()]
    while True:
        known = [pair for pair in pairwise(tokens) if pair in ranks]
        if not known:
            return tokens
        tokens = merge_pair(tokens, min(known, key=ranks.get))
    ### END SOLUTION


def encodable(rng, alphabet, n_merges, length):
    """A text and merges on which all ways to choose the next merge differ."""
    while True:
        merges = train_merges(drawn_words(rng, 11, alphabet, 5), n_merges)
        ranks = {pair: rank for rank, pair in enumerate(merges)}
        text = drawn(rng, alphabet, length)
        ways = [way(text, ranks) for way in (encode, *OTHER_WAYS)]
        if no_token_twice(merges) and all(ways.count(tokens) == 1 for tokens in ways):
            return {"text": text, "ranks": ranks}


@exercise.cases
def _(rng):
    a, b = letters(rng, 2)
    hug = {(b"u", b"g"): 0, (b"h", b"u"): 1, (b"h", b"ug"): 2, (b"p", b"ug"): 3}
    half = {single("gr"): 0, (b"gr", b"\xc3"): 1, (b"\xbc", b"n"): 2, single("\N{CAT FACE}")[:2]: 3}
    space = {single(f"{a} "): 0, (f"{a} ".encode(), b.encode()): 1, single(f" {b}"): 2}
    return [
        Case("one word", {"text": str(rng.choice(["pugs", "spug", "pugpug"])), "ranks": hug}),
        Case("a short text", encodable(rng, [a, b], 17, 29), catches="the longest pair first"),
        Case(
            "letters of several bytes",
            {"text": " ".join(["grün \N{CAT FACE}"] * between(rng, 2, 20)), "ranks": half},
            catches="characters instead of bytes",
        ),
        Case("words", {"text": f"{b}{a} {b} {b}", "ranks": space}, catches="words cut apart"),
        Case("an empty text", {"text": "", "ranks": hug}, catches="an empty token"),
    ]


# -------------------------------------------------------------------------------------- which pair comes next

longest_first = exercise.changed(
    "the longest pair first",
    "",
    ("min(known, key=ranks.get)", "max(known, key=lambda pair: len(pair[0] + pair[1]))"),
)
shortest_first = exercise.changed(
    "the shortest pair first",
    "The pair that makes the shortest token was merged first: it is the one that was learned first.",
    ("min(known, key=ranks.get)", "min(known, key=lambda pair: len(pair[0] + pair[1]))"),
)
leftmost_first = exercise.changed("the leftmost pair first", "", ("min(known, key=ranks.get)", "known[0]"))
rightmost_first = exercise.changed("the rightmost pair first", "", ("min(known, key=ranks.get)", "known[-1]"))
commonest_first = exercise.changed(
    "the commonest pair first", "", ("min(known, key=ranks.get)", "max(known, key=known.count)")
)
last_first = exercise.changed(
    "the pair learned last", "", ("min(known, key=ranks.get)", "max(known, key=ranks.get)")
)


@exercise.mistake("the longest token from the left")
def longest_token(text, ranks):
    rest, tokens = text.encode(), []
    known = {left + right for left, right in ranks}
    while rest:
        end = len(rest)
        while end > 1 and rest[:end] not in known:
            end -= 1
        tokens.append(rest[:end])
        rest = rest[end:]
    return tokens


@exercise.mistake("one pass from the left")
def one_pass(text, ranks):
    tokens = []
    for byte in single(text):
        if tokens and (tokens[-1], byte) in ranks:
            tokens[-1] += byte
        else:
            tokens.append(byte)
    return tokens


# ------------------------------------------------------------------------------------------ how it is merged

one_merge = exercise.changed("one merge only", "", ("tokens = merge_pair", "return merge_pair"))
characters = exercise.changed(
    "characters instead of bytes",
    "",
    ("bytes([byte]) for byte in text.encode()", "letter.encode() for letter in text"),
)


@exercise.mistake("numbers instead of bytes")
def _(text, ranks):
    """These are numbers: going through a bytes object gives whole numbers. `bytes([number])` makes a token of
    one.
    """
    return list(text.encode())


exercise.changed(
    "rank 0 taken for none",
    "The pair of rank 0 is never merged: 0 counts as false. Ask whether the pair is `in ranks`.",
    ("if pair in ranks", "if ranks.get(pair)"),
)


@exercise.mistake("words cut apart")
def _(text, ranks):
    """The text was cut into words, and each on its own: the whole text counts as one word here, so a pair may
    hold a space.
    """
    return [token for word in re.findall(r"\s+|\S+", text) for token in encode(word, ranks)]


@exercise.mistake("spaces lost")
def _(text, ranks):
    """The text was split at its spaces, and they are lost: the whole text counts as one word here, and a
    space is a byte like any other.
    """
    return [token for word in text.split() for token in encode(word, ranks)]


@exercise.mistake("stops at a gap")
def _(text, ranks):
    """It stopped at the first learned pair that is not in the text: later pairs may be there."""
    tokens = list(single(text))
    for pair in ranks:
        if pair not in pairwise(tokens):
            break
        tokens = merge_pair(tokens, pair)
    return tokens


@exercise.mistake("from right to left")
def from_right_to_left(text, ranks):
    tokens = list(single(text))
    for pair in ranks:
        tokens = from_the_right(tokens, pair)
    return tokens


@exercise.mistake("nothing merged")
def _(text, ranks):
    """Nothing was merged: these are the bytes. Do you compare a list such as `tokens[i:i + 2]` with a pair? A
    pair is a tuple, and no list equals a tuple.
    """
    return list(single(text))


@exercise.mistake("ranks instead of tokens")
def _(text, ranks):
    """These are ranks: return the tokens, as bytes objects."""
    made = {left + right: rank for (left, right), rank in ranks.items()}
    return [made.get(token, token) for token in encode(text, ranks)]


OTHER_WAYS = (
    longest_first,
    leftmost_first,
    rightmost_first,
    commonest_first,
    last_first,
    longest_token,
    one_pass,
    from_right_to_left,
    shortest_first,
)
