"""Bits for a character

Two models with different tokens cannot be compared by their loss for a token, because one token may stand
for a letter and another for a word. What they share is the text, so the surprise is shared out among its
characters. `tokens` are the texts of T tokens, and `losses` (T - 1) is the surprise in nats at each of them
but the first, which nobody asked for. Return the sum of the losses in bits, divided by the number of
characters of the tokens that were asked. One bit is ln 2 = 0.693 nats. Characters are counted as Python
counts them, so ü is one.

Hint: How many bits is a surprise of 0.693 nats? And one of 2 times 0.693?

Hint: `len(text)` counts the characters of a text, and `tokens[1:]` are all that were asked for.
"""

import math

import numpy as np

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import in_torch
from course_lib.checks.kinds import Case

PLAIN = ("The", " cat", " read", "s", " a", " book", ".", " It", "'s")
WORDS = (*PLAIN, " über", " naïve", " Käse", "™", " “", "日本")

exercise = Exercise(
    level=2,
    minutes=8,
    section="The same body, twice",
    other_forms=False,  # one number comes back, which may be in float32 whatever the losses are in
)


@exercise.solution
def bits_per_character(losses, tokens):
    """The surprise at a text, in bits for each of its characters.

    Args:
        losses: (T - 1), the surprise in nats at each token but the first.
        tokens: a list of T texts, what each token stands for.
    Returns: a number.
    """
    ### BEGIN SOLUTION
    n_characters = sum(len(token) for token in tokens[1:])
    return losses.sum() / math.log(2) / n_characters
    ### END SOLUTION


@exercise.cases
def _(rng):
    def inputs(n, words=WORDS):
        """Tokens of which no two mistakes count the same."""
        while True:
            tokens = [str(rng.choice(words)) for _ in range(n)]
            text, asked = "".join(tokens), "".join(tokens[1:])
            no_spaces = text.replace(" ", "")
            counts = [len(asked), len(text), len("".join(tokens[:-1])), n - 1, n]
            counts += [len(no_spaces), len(text.split()), len(" ".join(tokens[1:]))]
            if words is WORDS:
                counts.append(len(asked.encode()))
            if len(set(counts)) == len(counts):
                losses = rng.uniform(0.5, 6, n - 1).round(2).astype(np.float32)
                return {"losses": losses, "tokens": tokens}

    return in_torch(
        [
            Case("a few tokens, plain letters", inputs(7, PLAIN)),
            Case("letters of two bytes and three", inputs(23), catches="bytes"),
        ]
    )


exercise.changed(
    "nats",
    "These are nats: a bit is ln 2 of them, so divide by ln 2.",
    (" / math.log(2)", ""),
)
exercise.changed(
    "multiplied by ln 2",
    "The nats were multiplied by ln 2: they are divided, because a bit is less than a nat and more of them "
    "are needed.",
    ("/ math.log(2)", "* math.log(2)"),
)
exercise.changed(
    "decimal digits",
    "This is in decimal digits, divided by ln 10: a bit is ln 2 nats.",
    ("math.log(2)", "math.log(10)"),
)


exercise.changed(
    "0.693",
    "ln 2 was rounded to 0.693: `math.log(2)` has all its digits.",
    ("math.log(2)", "0.693"),
)


@exercise.mistake("bits per token")
def _(losses, tokens):
    """These are bits per token: divide by the number of characters."""
    return losses.mean() / math.log(2)


exercise.changed(
    "bits per token, the first too",
    "The sum was divided by the number of tokens, the first one too: divide by the number of characters of "
    "those that were asked.",
    ("/ n_characters", "/ len(tokens)"),
)
exercise.changed(
    "no sum",
    "There is a number for each token: sum up the losses.",
    ("losses.sum()", "losses"),
)


@exercise.mistake("nats per token")
def _(losses, tokens):
    """This is the mean loss of a token, in nats: divide the sum by ln 2 and by the number of characters."""
    return losses.mean()


exercise.changed(
    "mean by characters",
    "The mean of the losses was divided by the number of characters: take the sum.",
    ("losses.sum()", "losses.mean()"),
)


@exercise.mistake("perplexity")
def _(losses, tokens):
    """This is the perplexity of a token, exp of the mean loss: bits per character is asked for."""
    return losses.mean().exp()


@exercise.mistake("perplexity of a character")
def _(losses, tokens):
    """This is 2 to the power of the bits per character: return the bits."""
    return 2 ** bits_per_character(losses, tokens)


exercise.changed(
    "bytes",
    "The bytes were counted: ü has two of them but is one character. `len(text)` counts characters.",
    ("len(token)", "len(token.encode())"),
)
exercise.changed(
    "joined by spaces",
    "A space was counted between any two tokens: tokens bring their own spaces, so nothing comes between "
    "them.",
    ("    return", "    n_characters += len(tokens) - 2\n    return"),
)
exercise.changed(
    "first token counted",
    "The characters of the first token were counted too: nobody asked for it, and it has no loss.",
    ("tokens[1:]", "tokens"),
)
exercise.changed(
    "last token left out",
    "The characters of the last token were left out: it is the first that has no loss.",
    ("tokens[1:]", "tokens[:-1]"),
)
exercise.changed(
    "spaces not counted",
    "Spaces were left out: they are characters too, which the model has to foresee.",
    ("len(token)", "len(token.strip())"),
)


@exercise.mistake("words")
def _(losses, tokens):
    """The sum was divided by the number of words: divide by the characters."""
    return losses.sum() / math.log(2) / len("".join(tokens[1:]).split())


@exercise.mistake("mean of ratios")
def _(losses, tokens):
    """Each loss was divided by the characters of its token, and the mean taken: short tokens count too much.
    Divide sum by sum.
    """
    lengths = losses.new_tensor([len(token) for token in tokens[1:]])
    return (losses / lengths).mean() / math.log(2)


exercise.changed(
    "log2 of the losses",
    "The logarithm of each loss was taken: a loss is a logarithm already, and only its unit changes, by "
    "division.",
    ("losses.sum() / math.log(2)", "losses.log2().sum()"),
)


@exercise.mistake("characters per bit")
def _(losses, tokens):
    """This is characters per bit: divide the bits by the characters."""
    return 1 / bits_per_character(losses, tokens)
