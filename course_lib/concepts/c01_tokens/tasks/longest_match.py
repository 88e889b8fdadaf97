"""The longest match

WordPiece, the tokenizer of BERT, cuts a word from the left: the longest piece that is in the vocabulary,
then the longest at the beginning of the rest, and so on. A piece that continues a word is written with `##`
before it, in the vocabulary and in the answer. Where no piece fits, the whole word becomes `["[UNK]"]`. It
never goes back to try a shorter piece.

Hint: Where the rest begins at `start`, try `word[start:end]` for `end` from the end of the word down to
start + 1.

Hint: From the second piece on, look up (and append) `'##' + word[start:end]`.

Hint: Return `['[UNK]']` as soon as no `end` fits. A `for` loop with an `else` says exactly that.
"""

from course_lib.checks import forms
from course_lib.checks.exercise import Exercise
from course_lib.checks.kinds import Case
from course_lib.concepts.c01_tokens.tasks.count_pairs import drawn, letters

exercise = Exercise(level=3, minutes=12, section="Not letters, but tokens", read=forms.contents)


@exercise.solution
def longest_match(word, vocab):
    """Cut a word as WordPiece does.

    Args:
        word: a str of at least one letter.
        vocab: a set of pieces; those that continue a word begin with "##".
    Returns: a list of pieces, or ["[UNK]"].
    """
    ### BEGIN SOLUTION
    pieces = []
    start = 0
    while start < len(word):
        mark = "##" if pieces else ""
        for end in range(len(word), start, -1):
            if mark + word[start:end] in vocab:
                break
        else:
            return ["[UNK]"]
        pieces.append(mark + word[start:end])
        start = end
    return pieces
    ### END SOLUTION


@exercise.cases
def _(rng):
    a, b, c, d, e = letters(rng, 5)
    play = {"play", "p", "pl", "##a", "##ay", "##ing", "##in", "##i", "##g", "ing", "[UNK]"}
    alone = {a + b, c + d + e, c, d, e, f"##{d}"}
    back = {a + b + c, a + b, f"##{c + d}", f"##{c}", f"##{e}"}
    every = {a, b, c, *(f"##{x}" for x in (a, b, c))}
    while True:
        longer = [drawn(rng, [a, b, c], 2, 3) for _ in range(11)]
        many = {*every, *longer[::2], *(f"##{piece}" for piece in longer[1::2])}
        long = drawn(rng, [a, b, c], 29)
        ways = [way(long, many) for way in (longest_match, from_the_end, fewest, longest_anywhere)]
        if all(ways.count(pieces) == 1 for pieces in ways):
            break
    return [
        Case("two pieces", {"word": str(rng.choice(["playing", "pling"])), "vocab": play}),
        Case(
            "a longest piece that leads nowhere",
            {"word": a + b + c + d, "vocab": back},
            catches="goes back",
        ),
        Case(
            "the first letter is in no piece",
            {"word": e + a + b, "vocab": every},
            catches="the first piece taken for granted",
        ),
        Case(
            "pieces that only begin a word",
            {"word": a + b + c + d + e, "vocab": alone},
            catches="pieces of both kinds",
        ),
        Case(
            "two ways to cut",
            {"word": a + b + c, "vocab": {a, a + b, f"##{c}", f"##{b + c}"}},
            catches="two pieces at most",
        ),
        Case(
            "a long word",
            {"word": long, "vocab": many},
            catches="the first two pieces alone",
        ),
    ]


# ---------------------------------------------------------------------------------------------- the marks

exercise.changed(
    "looked up without the mark",
    "Pieces were looked up without `##`: a piece inside a word is another one than a piece that begins it.",
    ('"##" if pieces else ""', '""'),
)
exercise.changed(
    "marked in the answer alone",
    "Pieces are marked with `##` in the answer, but were looked up without it: look up the piece with its "
    "mark.",
    ("if mark + word[start:end] in vocab", "if word[start:end] in vocab"),
)
exercise.changed(
    "the first piece marked too",
    "The first piece was looked up with `##` too: it begins the word, so it has no mark.",
    ('"##" if pieces else ""', '"##"'),
)
exercise.changed(
    "without marks in the answer",
    "The pieces are the right ones, but those that continue a word lack their `##`.",
    ("pieces.append(mark + word[start:end])", "pieces.append(word[start:end])"),
)

# ------------------------------------------------------------------------------------- which piece is taken

exercise.changed(
    "the shortest match",
    "The shortest piece was taken each time: begin with the longest.",
    ("range(len(word), start, -1)", "range(start + 1, len(word) + 1)"),
)
exercise.changed(
    "unknown rest",
    "Only the rest became [UNK]: where one place fits no piece, the whole word is [UNK].",
    ('return ["[UNK]"]', 'return [*pieces, "[UNK]"]'),
)
exercise.changed(
    "unknown letters",
    "One letter became [UNK], and it went on behind it: the whole word is [UNK].",
    ('return ["[UNK]"]', 'pieces.append("[UNK]"); start += 1; continue'),
)
exercise.changed(
    "unknown letters are dropped",
    "A letter that begins no piece was left out: the whole word is [UNK].",
    ('return ["[UNK]"]', "start += 1; continue"),
)
exercise.changed(
    "the rest is dropped",
    "Where no piece fits it returns what it has so far: the whole word becomes [UNK].",
    ('return ["[UNK]"]', "return pieces"),
)


@exercise.mistake("goes back")
def goes_back(word, vocab, mark=""):
    """It went back and tried a shorter piece: a clever search, but WordPiece never does it.
    The word is [UNK].
    """
    if not word:
        return []
    for end in range(len(word), 0, -1):
        if mark + word[:end] in vocab:
            rest = goes_back(word[end:], vocab, "##")
            if rest != ["[UNK]"]:
                return [mark + word[:end], *rest]
    return ["[UNK]"]


@exercise.mistake("from the end")
def from_the_end(word, vocab):
    """The word was cut from the right: begin at its first letter."""
    pieces = []
    while word:
        for start in range(len(word)):
            piece = "##" + word[start:] if start else word
            if piece in vocab:
                break
        else:
            return ["[UNK]"]
        pieces.insert(0, piece)
        word = word[:start]
    return pieces


@exercise.mistake("as few pieces as possible")
def fewest(word, vocab):
    """The word was cut into as few pieces as possible: a clever search, but WordPiece takes the longest piece
    at the beginning of the rest, whatever comes behind it.
    """
    best = {0: []}
    for end in range(1, len(word) + 1):
        found = []
        for start in range(end):
            piece = "##" * (start > 0) + word[start:end]
            if start in best and piece in vocab:
                found.append([*best[start], piece])
        if found:
            best[end] = min(found, key=len)
    return best.get(len(word), ["[UNK]"])


@exercise.mistake("the longest piece anywhere")
def longest_anywhere(word, vocab, inside=False):
    """The longest piece was looked for in the whole word, then in what is left on both sides: begin at the
    first letter, and take the longest piece that stands there.
    """
    if not word:
        return []
    for n in range(len(word), 0, -1):
        for start in range(len(word) - n + 1):
            end = start + n
            piece = "##" * (inside or start > 0) + word[start:end]
            if piece in vocab:
                left = longest_anywhere(word[:start], vocab, inside)
                pieces = [*left, piece, *longest_anywhere(word[end:], vocab, True)]
                return ["[UNK]"] if "[UNK]" in pieces else pieces
    return ["[UNK]"]


exercise.changed(
    "pieces of both kinds",
    "Inside the word a piece without `##` was taken, too: there only marked pieces count.",
    ("if mark + word[start:end] in vocab", "if {mark + word[start:end], word[start:end]} & vocab"),
)
exercise.changed(
    "one letter short",
    "The piece that reaches to the end of the word is never tried: `range` stops before its end.",
    ("range(len(word), start, -1)", "range(len(word) - 1, start, -1)"),
)
exercise.changed(
    "the last letter alone is not tried",
    "A piece of one letter is never tried: let `end` go down to start + 1.",
    ("range(len(word), start, -1)", "range(len(word), start + 1, -1)"),
)
