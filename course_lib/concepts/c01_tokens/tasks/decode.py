"""Tokens to text

Turn tokens back into text. A token may hold half a letter, and the bytes of all tokens together need not be
valid UTF-8, because a model may choose any token. Bytes that are no valid UTF-8 become the replacement
character �, as Python's own decoding does it.

Hint: Two tokens may hold one half of a letter each. What must happen before anything is decoded?

Hint: `b''.join(tokens)` joins bytes objects. Then look at the argument `errors` of `bytes.decode`.
"""

from itertools import pairwise

import numpy as np

from course_lib.checks import forms
from course_lib.checks.exercise import Exercise
from course_lib.checks.kinds import Case
from course_lib.concepts.c01_tokens.tasks.count_pairs import letters

exercise = Exercise(level=1, minutes=5, section="A new text", read=forms.contents)


@exercise.solution
def decode(tokens):
    """The text of some tokens.

    Args:
        tokens: a list of bytes objects; together they need not be valid UTF-8.
    Returns: a str.
    """
    ### BEGIN SOLUTION
    return b"".join(tokens).decode("utf-8", errors="replace")
    ### END SOLUTION


def cut(rng, text, n):
    """A text as n pieces, cut at random places."""
    places = [0, *sorted(int(i) for i in rng.permutation(len(text) - 1)[: n - 1] + 1), len(text)]
    return [text[start:end] for start, end in pairwise(places)]


@exercise.cases
def _(rng):
    a, b, c = (letter.encode() for letter in letters(rng, 3))
    two = str(rng.choice(list("äöüéñß"))).encode()
    four = str(rng.choice(list("\N{CAT FACE}\N{GRINNING FACE}\N{SNAKE}"))).encode()
    return [
        Case("plain letters", {"tokens": [a + b, b" " + c, a]}),
        Case(
            "a letter of two bytes in two tokens",
            {"tokens": [a + two[:1], two[1:] + b]},
            catches="each token alone, with question marks",
        ),
        Case(
            "the second half of a letter alone",
            {"tokens": [two[1:], a, four[:3], c]},
            catches="a replacement for each byte",
        ),
        Case(
            "a sentence in many tokens",
            {"tokens": [piece.encode() for piece in cut(rng, "für 猫 und \N{SNAKE}, grün!\n", 13)]},
            catches="white space taken off",
        ),
        Case(
            "an emoji in three tokens",
            {"tokens": [b, four[:1], four[1:3], four[3:], a]},
            catches="two tokens looked at together",
        ),
        Case(
            "half a letter at the end",
            {"tokens": [a, b + two[:1]]},
            catches="a decoder that still waits for the other half",
        ),
        Case(
            "bytes that never occur in UTF-8",
            {"tokens": [a, rng.integers(0xF8, 256, size=2, dtype=np.uint8).tobytes(), b]},
            catches="one replacement for all that stand together",
        ),
        Case("no tokens", {"tokens": []}, catches="reduce without a beginning"),
    ]


@exercise.mistake("each token alone")
def _(tokens):
    """Each token was decoded alone, so a letter that is cut in two is lost: join all bytes first."""
    return "".join(decode([token]) for token in tokens)


@exercise.mistake("each token alone, halves left out")
def _(tokens):
    """Each token was decoded alone, and what is no letter on its own was left out: join all bytes first, and
    let the replacement character � stand for what is none then.
    """
    return "".join(token.decode(errors="ignore") for token in tokens)


exercise.changed(
    "invalid bytes left out",
    "Bytes that are no letter were left out: the replacement character � should stand there.",
    ("replace", "ignore"),
)
exercise.changed(
    "invalid bytes are an error",
    "Bytes that are no valid UTF-8 stop it: `decode` has an argument for what it does with errors.",
    ("replace", "strict"),
)
exercise.changed(
    "one letter for each byte",
    "Every byte became a letter (that is Latin-1): in UTF-8 a letter may take up to four bytes.",
    ("utf-8", "latin-1"),
)
exercise.changed(
    "spaces between the tokens",
    "There are spaces between the tokens: a token carries its own space.",
    ('b"".join', 'b" ".join'),
)


@exercise.mistake("question marks")
def _(tokens):
    """Invalid bytes became question marks: the replacement character � was asked for."""
    return decode(tokens).replace("�", "?")


exercise.changed(
    "bytes as codes",
    r"Invalid bytes are shown as codes such as \xff: the replacement character � was asked for.",
    ("replace", "backslashreplace"),
)
exercise.changed(
    "ASCII",
    "This is ASCII, which knows no letter beyond z: the bytes are UTF-8.",
    ("utf-8", "ascii"),
)


@exercise.mistake("invalid tokens left out")
def _(tokens):
    """Tokens that are not valid on their own were left out: join all bytes before you decode."""
    texts = [decode([token]) for token in tokens]
    return "".join(text for text in texts if "�" not in text)


@exercise.mistake("bytes instead of text")
def _(tokens):
    """These are the joined bytes: decode them to a text."""
    return b"".join(tokens)


@exercise.mistake("the look of bytes")
def _(tokens):
    """`str(token)` shows how a bytes object is written, with its b and quotes:
    `token.decode()` gives the text.
    """
    return "".join(str(token) for token in tokens)


@exercise.mistake("the look of the joined bytes")
def _(tokens):
    """`str` of a bytes object shows how it is written, with its b and quotes: `decode` gives the text."""
    return str(b"".join(tokens))


@exercise.mistake("a list of texts")
def _(tokens):
    """This is a list: join it to one text."""
    return list(decode(tokens))
