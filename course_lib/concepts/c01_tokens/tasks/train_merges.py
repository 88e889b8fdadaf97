"""Learn a vocabulary

Learn merges: count all pairs, merge the most frequent one in every word, start again with the counts of the
new words. Stop after `n_merges`, or earlier when no pair is left. Of equally frequent pairs take the one
whose left token has the smallest number, and if that is the same, the smallest number on the right. The 256
bytes have the numbers 0 to 255, and each merge makes the next number: 256, 257 and so on. Use your
`count_pairs` and your `merge_pair`.

Hint: Keep a dictionary from each token to its number. It begins with `{bytes([i]): i for i in range(256)}`,
and each merge adds one token.

Hint: `min(counts, key=lambda pair: (-counts[pair], numbers[pair[0]], numbers[pair[1]]))` finds the pair:
the highest count first, then the smallest numbers.

Hint: After each merge make the words anew: `{tuple(merge_pair(list(word), pair)): n for word, n in
words.items()}`. Before it, leave the loop where there are no counts.
"""

from course_lib.checks import forms
from course_lib.checks.exercise import Exercise
from course_lib.checks.kinds import Case
from course_lib.concepts.c01_tokens.tasks.count_pairs import (  # noqa: F401  names that stand in changes
    across_words,
    count_pairs,
    drawn_words,
    letters,
    once_in_each_word,
    single,
    without_overlap,
)
from course_lib.concepts.c01_tokens.tasks.merge_pair import (  # noqa: F401
    at_the_first_place,
    from_the_right,
    merge_pair,
)

exercise = Exercise(
    level=3, minutes=15, section="Who decides which letters belong together?", read=forms.contents
)


@exercise.solution
def train_merges(words, n_merges):
    """Learn which pairs to merge.

    Args:
        words: {word: how often it occurs}; a word is a tuple of single bytes; not to be changed.
        n_merges: how many pairs to learn; fewer where no pair is left.
    Returns: a list of pairs (left, right), in the order of learning.
    """
    ### BEGIN SOLUTION
    numbers = {bytes([i]): i for i in range(256)}
    merges = []
    while len(merges) < n_merges:
        counts = count_pairs(words)
        if not counts:
            break
        pair = min(counts, key=lambda p: (-counts[p], numbers[p[0]], numbers[p[1]]))
        merges.append(pair)
        numbers[pair[0] + pair[1]] = len(numbers)
        words = {tuple(merge_pair(list(word), pair)): n for word, n in words.items()}
    return merges
    ### END SOLUTION


def no_token_twice(merges):
    return len({left + right for left, right in merges}) == len(merges)


def trainable(rng, n, alphabet, most, n_merges):
    """Random words on which these ways and those among equals differ, and no two merges make one token."""
    while True:
        words = drawn_words(rng, n, alphabet, most)
        of_runs = (run_from_the_right, runs_without_overlap)
        among_equals = (first_seen, by_alphabet, largest_numbers, right_first, left_alone)
        ways = [way(words, n_merges) for way in (train_merges, *among_equals, *of_runs)]
        if all(ways.count(merges) == 1 for merges in ways) and no_token_twice(ways[0]):
            return {"words": words, "n_merges": n_merges}


@exercise.cases
def _(rng):
    a, b, c, d = letters(rng, 4)
    few, many = rng.choice([[3, 5], [4, 7], [5, 8]]).tolist()
    hug = {single("hug"): 10, single("pug"): int(rng.integers(4, 6)), single("hugs"): int(rng.integers(2, 4))}
    twice = {single(2 * (c + d)): few, single(a + b): many}
    german = {single("grün"): few, single("für"): many, single("über"): 2}
    return [
        Case("three words", {"words": hug, "n_merges": 3}),
        Case(
            "pairs that are equally frequent",
            trainable(rng, 7, [a, b, c], 1, 5),
            catches="of equals the right token first",
        ),
        Case(
            "more merges than there are pairs",
            {"words": {single(a + b + c): 1, single(d): 2}, "n_merges": 7},
            catches="does not stop",
        ),
        Case(
            "a pair that comes twice in a word",
            {"words": twice, "n_merges": 3},
            catches="a pair once in each word",
        ),
        Case("letters of two bytes", {"words": german, "n_merges": 4}, catches="tokens turned into text"),
    ]


# ---------------------------------------------------------------------------------------- which pair is taken


@exercise.mistake("each word once")
def _(words, n_merges):
    """Every word counts once: a word that occurs 5 times adds 5 to each of its pairs."""
    return train_merges(dict.fromkeys(words, 1), n_merges)


first_seen = exercise.changed(
    "of equals the one seen first",
    "Of equally frequent pairs the first in the dictionary was taken, as `max` does. Take the one with the "
    "smallest numbers.",
    ("min(counts, key=lambda p: (-counts[p], numbers[p[0]], numbers[p[1]]))", "max(counts, key=counts.get)"),
)
by_alphabet = exercise.changed(
    "of equals by the alphabet",
    "Of equally frequent pairs the first by the alphabet was taken. Tokens have numbers: a merged token "
    "comes after all bytes, whatever its letters are.",
    ("numbers[p[0]], numbers[p[1]]", "p"),
)
largest_numbers = exercise.changed(
    "of equals the largest numbers",
    "Of equally frequent pairs the one with the largest numbers was taken: take the smallest.",
    ("min(counts, key=lambda p: (-counts[p]", "max(counts, key=lambda p: (counts[p]"),
)


right_first = exercise.changed(
    "of equals the right token first",
    "Of equally frequent pairs the one whose right token has the smallest number was taken: compare the left "
    "tokens first.",
    ("numbers[p[0]], numbers[p[1]]", "numbers[p[1]], numbers[p[0]]"),
)
left_alone = exercise.changed(
    "of equals the left token alone",
    "Equally frequent pairs with the same left token were left to chance: then the smallest number on the "
    "right decides.",
    ("numbers[p[0]], numbers[p[1]]", "numbers[p[0]]"),
)


@exercise.mistake("counted only once")
def _(words, n_merges):
    """The pairs were counted once, at the start: count again after every merge, in the merged words."""
    counts = count_pairs(words)
    return sorted(counts, key=lambda pair: (-counts[pair], pair))[:n_merges]


exercise.changed(
    "pairs across words",
    "Pairs were counted across the border of two words: only neighbours within a word count.",
    ("count_pairs(words)", "across_words(words)"),
)
runs_without_overlap = exercise.changed(
    "runs without overlap",
    'In a run such as "aaa" the pair (a, a) was counted once: its places overlap, and both count.',
    ("count_pairs(words)", "without_overlap(words)"),
)

exercise.changed(
    "a pair once in each word",
    "A pair that comes twice in a word was counted once: all its places count.",
    ("count_pairs(words)", "once_in_each_word(words)"),
)

# --------------------------------------------------------------------------------------- when it stops

exercise.changed(
    "stops at a count of 1",
    "It stops where the best pair occurs only once: it should go on until no pair is left.",
    ("if not counts", "if max(counts.values(), default=0) < 2"),
)
exercise.changed(
    "does not stop",
    "When every word is one token there is no pair left to take: leave the loop then.",
    ("if not counts", "if False"),
)
exercise.changed(
    "tokens instead of pairs",
    "These are the merged tokens: return the pairs (left, right) that made them.",
    ("merges.append(pair)", "merges.append(pair[0] + pair[1])"),
)
exercise.changed(
    "nothing merged",
    "The same pair comes again and again, because the words stay as they are. Is the result of `merge_pair` "
    "kept? And in it, a list such as `tokens[i:i + 2]` never equals a tuple such as `pair`.",
    ("tuple(merge_pair(list(word), pair))", "word"),
)
exercise.changed(
    "the rarest pair",
    "The rarest pair was merged: take the most frequent one.",
    ("-counts[p]", "counts[p]"),
)
run_from_the_right = exercise.changed(
    "from right to left", "", ("merge_pair(list(word), pair)", "from_the_right(word, pair)")
)
exercise.changed(
    "only the first place in a word",
    "Only the first place of a pair in each word was merged: merge all of them.",
    ("merge_pair(list(word), pair)", "at_the_first_place(word, pair)"),
)
