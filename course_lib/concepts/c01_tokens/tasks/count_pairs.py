"""Count the pairs

Byte-pair encoding asks again and again which two neighbours occur together most often. Count them: a word
that occurs 5 times has each of its pairs 5 times. Neighbours may overlap, so "aaa" holds the pair (a, a)
twice. The last token of one word and the first of the next are no neighbours.

Hint: `pairwise(word)` from itertools gives the pairs of neighbours of one word, as `zip(word, word[1:])`
does.

Hint: Go through `words.items()`, and through the pairs of each word; add the word's count to the pair's.
`counts[pair] = counts.get(pair, 0) + n` also works for a pair that is new.
"""

from collections import Counter
from itertools import pairwise

from course_lib.checks import forms
from course_lib.checks.exercise import Exercise
from course_lib.checks.kinds import Case

exercise = Exercise(
    level=1, minutes=6, section="Who decides which letters belong together?", read=forms.counts
)


@exercise.solution
def count_pairs(words):
    """How often each pair of neighbours occurs.

    Args:
        words: {word: how often it occurs}; a word is a tuple of tokens, such as (b"h", b"u", b"g").
    Returns: {(left, right): how often}; pairs that do not occur are left out, or 0.
    """
    ### BEGIN SOLUTION
    counts = {}
    for word, n in words.items():
        for pair in pairwise(word):
            counts[pair] = counts.get(pair, 0) + n
    return counts
    ### END SOLUTION


def single(text):
    """A text as tokens of one byte."""
    return tuple(bytes([byte]) for byte in text.encode())


def letters(rng, n):
    """Some letters of the alphabet, no two of them the same."""
    return [chr(ord("a") + i) for i in rng.permutation(26)[:n]]


def drawn(rng, alphabet, *lengths):
    """A random word; its length is one of those given."""
    return "".join(rng.choice(alphabet, rng.choice(lengths)))


def drawn_words(rng, n, alphabet, most):
    """Random words of 2 to 5 letters, each occurring 1 to `most` times."""
    return {single(drawn(rng, alphabet, 2, 3, 5)): int(rng.integers(1, most + 1)) for _ in range(n)}


@exercise.cases
def _(rng):
    a, b, c, d = letters(rng, 4)
    often, seldom = (int(n) for n in rng.permutation([2, 3, 5, 7])[:2])
    texts = {single(a + c + b): often, single(d + c + b): seldom}
    return [
        Case("two words", {"words": texts}),
        Case(
            "a run of one letter",
            {"words": {single(4 * a): often, single(b + 3 * a): seldom}},
            catches="runs without overlap",
        ),
        Case(
            "a word of one token",
            {"words": {single(c): often, single(b + c): 1}},
            catches="the first pair taken for granted",
        ),
        Case(
            "tokens of several bytes",
            {"words": {((a + b).encode(), b"\xc3", b"\xbc"): often}},
            catches="pairs of single bytes",
        ),
        Case("no words", {"words": {}}, catches="a sum without a beginning"),
    ]


@exercise.mistake("each word once")
def _(words):
    """The counts of the words are not used: a word that occurs 5 times adds 5 to each of its pairs."""
    return count_pairs(dict.fromkeys(words, 1))


@exercise.mistake("pairs across words")
def across_words(words):
    """The words were joined: the end of one word and the beginning of the next make no pair."""
    return Counter(pairwise(token for word, n in words.items() for _ in range(n) for token in word))


exercise.changed(
    "pairs without order",
    "(a, b) and (b, a) were counted as one: a pair has a left and a right token.",
    ("in pairwise(word)", "in (tuple(sorted(pair)) for pair in pairwise(word))"),
)


@exercise.mistake("runs without overlap")
def without_overlap(words):
    """In a run such as "aaa" the pair (a, a) was counted once: its places overlap, and both count."""
    counts = Counter()
    for word, n in words.items():
        last = None
        for pair in pairwise(word):
            if pair == last:
                last = None
            else:
                counts[pair] += n
                last = pair
    return counts


once_in_each_word = exercise.changed(
    "a pair once in each word",
    "A pair that comes twice in a word was counted once: go through all its places, not through a set.",
    ("pairwise(word)", "set(pairwise(word))"),
)
exercise.changed(
    "every second pair",
    "The words were cut into pairs side by side: after the first token the second begins a pair too.",
    ("pairwise(word)", "zip(word[::2], word[1::2])"),
)
exercise.changed(
    "the last pair is missing",
    "The last pair of each word is missing: a word of n tokens has n - 1 pairs.",
    ("pairwise(word)", "pairwise(word[:-1])"),
)
exercise.changed(
    "the first pair is missing",
    "The first pair of each word is missing: begin at its first token.",
    ("pairwise(word)", "pairwise(word[1:])"),
)


@exercise.mistake("only the first word")
def _(words):
    """Only the first word was counted: does the `return` stand in the loop?"""
    first = next(iter(words))
    return count_pairs({first: words[first]})


exercise.changed(
    "numbers instead of tokens",
    "These are pairs of numbers: going through a bytes object gives whole numbers. Go through the tokens.",
    ("pairwise(word)", "pairwise(b''.join(word))"),
)
exercise.changed(
    "right before left",
    "The pairs are the wrong way round: the left token comes first.",
    ("in pairwise(word)", "in ((right, left) for left, right in pairwise(word))"),
)
exercise.changed(
    "joined tokens",
    'The keys are joined tokens. A key is the pair (left, right): "ab" and "c" make the same text as "a" and '
    '"bc", but they are another pair.',
    ("in pairwise(word)", "in (left + right for left, right in pairwise(word))"),
)
exercise.changed(
    "single tokens",
    "These are counts of single tokens: count pairs of neighbours.",
    ("pairwise(word)", "word"),
)
exercise.changed(
    "any two tokens",
    "Any two tokens of a word were counted: only neighbours make a pair.",
    ("pairwise(word)", "[(left, right) for i, left in enumerate(word) for right in word[i + 1 :]]"),
)
exercise.changed(
    "the end meets the beginning",
    "The last token of a word was paired with its first: index -1 is the last token. Begin at the second.",
    ("pairwise(word)", "[(word[i - 1], word[i]) for i in range(len(word))]"),
)
exercise.changed(
    "set instead of added",
    "A pair has the count of the last word that holds it: add the counts of all words (+= instead of =).",
    ("counts.get(pair, 0) + n", "n"),
)
