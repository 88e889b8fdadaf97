"""The tasks of solutions/01_tokens/byte_pairs.ipynb: what they are tried on, and what is right.

Their words and the mistakes that learners make stand in 01_tokens.yml. The keyword-only arguments of a
reference are for these mistakes: each changes one thing. A token is a bytes object, a word a tuple of tokens.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

from course_lib.checks import forms, real_model
from course_lib.checks.inputs import Rng
from course_lib.checks.kinds import Case, Code
from course_lib.checks.values import WrongForm

Pair = tuple[bytes, bytes]
Words = Mapping[tuple[bytes, ...], int]  # how often each word occurs


def single(text: str) -> tuple[bytes, ...]:
    """A text as tokens of one byte."""
    return tuple(bytes([byte]) for byte in text.encode())


def letters(rng: Rng, n: int) -> list[str]:
    """Some letters of the alphabet, no two of them the same."""
    return [chr(ord("a") + i) for i in rng.permutation(26)[:n]]


def drawn(rng: Rng, alphabet: Sequence[str], *lengths: int) -> str:
    """A random word; its length is one of those given."""
    return "".join(rng.choice(alphabet, rng.choice(lengths)))


def drawn_words(rng: Rng, n: int, alphabet: Sequence[str], most: int) -> dict[tuple[bytes, ...], int]:
    """Random words of 2 to 5 letters, each occurring 1 to `most` times."""
    return {single(drawn(rng, alphabet, 2, 3, 5)): int(rng.integers(1, most + 1)) for _ in range(n)}


# ------------------------------------------------------------------------------------------------ count pairs


def count_pairs(
    words: Words, *, of: Callable[[tuple[bytes, ...]], Iterable[Any]] = pairwise
) -> dict[Any, int]:
    """How often each pair of neighbours occurs."""
    counts: Counter[Any] = Counter()
    for word, n in words.items():
        for pair in of(word):
            counts[pair] += n
    return counts


def pairs_without_overlap(word: tuple[bytes, ...]) -> list[Pair]:
    """The pairs of a word; of a run such as "aaa" the first two make a pair, the last two do not."""
    found: list[Pair] = []
    end = -1  # where the last pair of the same two ends
    for i, pair in enumerate(pairwise(word)):
        if i == end and pair == found[-1]:
            end = -1
            continue
        found.append(pair)
        end = i + 1
    return found


def count_pairs_cases(rng: Rng) -> list[Case]:
    a, b, c, d = letters(rng, 4)
    often, seldom = (int(n) for n in rng.permutation([2, 3, 5, 7])[:2])
    texts = {single(a + c + b): often, single(d + c + b): seldom}
    return [
        Case("two words", {"words": texts}),
        Case("a pair that comes twice in a word", {"words": {single(a + b + a + b): often}}),
        Case("a run of one letter", {"words": {single(4 * a): often, single(b + 3 * a): seldom}}),
        Case("a word of one token", {"words": {single(c): often, single(b + c): seldom}}),
        Case("tokens of several bytes", {"words": {((a + b).encode(), b"\xc3", b"\xbc"): often}}),
        Case("seven words", {"words": drawn_words(rng, 7, [a, b, c], 5)}),
        Case("no words", {"words": {}}),
    ]


# ------------------------------------------------------------------------------------------------- merge pair


def merge_pair(
    tokens: Sequence[bytes],
    pair: Pair,
    *,
    made: Callable[[bytes, bytes], list[Any]] = lambda left, right: [left + right],
    same: Callable[[Pair, Pair], bool] = lambda here, pair: here == pair,
    step: int = 2,
) -> list[Any]:
    """The tokens with one in the place of each pair, from the left."""
    merged: list[Any] = []
    i = 0
    while i < len(tokens):
        if i + 1 < len(tokens) and same((tokens[i], tokens[i + 1]), pair):
            merged += made(tokens[i], tokens[i + 1])
            i += step
        else:
            merged.append(tokens[i])
            i += 1
    return merged


def merge_from_the_right(tokens: Sequence[bytes], pair: Pair) -> list[bytes]:
    """As `merge_pair`, from the last token to the first."""
    merged = merge_pair(tokens[::-1], pair[::-1], made=lambda left, right: [right + left])
    return merged[::-1]


def merge_first_only(tokens: Sequence[bytes], pair: Pair) -> list[bytes]:
    """As `merge_pair`, at the first place of the pair alone."""
    i = next((i for i, here in enumerate(pairwise(tokens)) if here == tuple(pair)), None)
    return list(tokens) if i is None else [*tokens[:i], pair[0] + pair[1], *tokens[i + 2 :]]


def merge_pair_cases(rng: Rng) -> list[Case]:
    a, b, c, d = letters(rng, 4)

    def case(name: str, text: str, pair: str) -> Case:
        return Case(name, {"tokens": list(single(text)), "pair": single(pair)})

    long = [(a + b).encode(), c.encode(), a.encode(), (b + c).encode(), (a + b).encode(), c.encode()]
    return [
        case("one place", a + b + c + d, b + c),
        case("two places", a + b + c + a + b, a + b),
        case("three of the same in a row", 3 * a + b, a + a),
        case("five of the same in a row", c + 5 * a, a + a),
        case("the pair the other way round", b + a + c + a + b, a + b),
        Case("tokens of several bytes", {"tokens": long, "pair": (long[0], long[1])}),
        case("the pair is not there", a + c + b + d, a + b),
        case("one token", a, a + b),
        case("no tokens", "", a + b),
        case("a long text", drawn(rng, [a, b], 23), a + b),
    ]


# ----------------------------------------------------------------------------------------------- train merges


def by_number(counts: Mapping[Pair, int], numbers: Mapping[bytes, int]) -> Pair:
    """The most frequent pair; of equals the one whose left token was known first, then the right."""
    return min(counts, key=lambda pair: (-counts[pair], numbers[pair[0]], numbers[pair[1]]))


def train_merges(
    words: Words,
    n_merges: int,
    *,
    count: Callable[[Words], Mapping[Pair, int]] = count_pairs,
    best: Callable[[Mapping[Pair, int], Mapping[bytes, int]], Pair] = by_number,
    merge: Callable[[Sequence[bytes], Pair], list[bytes]] = merge_pair,
    enough: Callable[[Mapping[Pair, int]], bool] = bool,
) -> list[Pair]:
    """Count, merge the most frequent pair, start again."""
    numbers = {bytes([byte]): byte for byte in range(256)}
    merges: list[Pair] = []
    for _ in range(n_merges):
        counts = count(words)
        if not enough(counts):
            break
        pair = best(counts, numbers)
        merges.append(pair)
        numbers.setdefault(pair[0] + pair[1], len(numbers))
        words = {tuple(merge(word, pair)): n for word, n in words.items()}
    return merges


def first_seen(counts: Mapping[Pair, int], numbers: Mapping[bytes, int]) -> Pair:
    return max(counts, key=counts.__getitem__)


def by_alphabet(counts: Mapping[Pair, int], numbers: Mapping[bytes, int]) -> Pair:
    return min(counts, key=lambda pair: (-counts[pair], pair))


def largest_number(counts: Mapping[Pair, int], numbers: Mapping[bytes, int]) -> Pair:
    return max(counts, key=lambda pair: (counts[pair], numbers[pair[0]], numbers[pair[1]]))


def smallest_sum(counts: Mapping[Pair, int], numbers: Mapping[bytes, int]) -> Pair:
    return min(counts, key=lambda pair: (-counts[pair], numbers[pair[0]] + numbers[pair[1]]))


def across_words(words: Words) -> dict[Pair, int]:
    """The pairs of all words in a row, each as often as it occurs."""
    return Counter(pairwise(token for word, n in words.items() for _ in range(n) for token in word))


def all_different(answers: Sequence[Any]) -> bool:
    """Whether no two of some answers are equal."""
    return all(a != b for a, b in combinations(answers, 2))


def trainable(rng: Rng, n: int, alphabet: Sequence[str], most: int, n_merges: int) -> dict[str, Any]:
    """Random words on which the ways to choose among equals differ, and no two merges make the same token."""
    while True:
        words = drawn_words(rng, n, alphabet, most)
        ways = [
            train_merges(words, n_merges, best=way)
            for way in (by_number, first_seen, by_alphabet, largest_number, smallest_sum)
        ]
        if all_different(ways) and no_token_twice(ways[0]):
            return {"words": words, "n_merges": n_merges}


def no_token_twice(merges: Sequence[Pair]) -> bool:
    return len({left + right for left, right in merges}) == len(merges)


def train_merges_cases(rng: Rng) -> list[Case]:
    a, b, c, d = letters(rng, 4)
    few, many = rng.choice([[3, 5], [4, 7], [5, 8]]).tolist()
    hug = {single("hug"): 10, single("pug"): int(rng.integers(4, 6)), single("hugs"): int(rng.integers(2, 4))}
    run = {single(3 * a): few, single(b + c): many}
    german = {single("grün"): few, single("für"): many, single("über"): 2}
    return [
        Case("three words", {"words": hug, "n_merges": 3}),
        Case("pairs that are equally frequent", trainable(rng, 5, [a, b, c], 1, 5)),
        Case("a run of one letter", {"words": run, "n_merges": 2}),
        Case(
            "more merges than there are pairs", {"words": {single(a + b + c): 1, single(d): 2}, "n_merges": 7}
        ),
        Case("a pair that comes twice in a word", {"words": {single(2 * (c + d)): few}, "n_merges": 2}),
        Case("letters of two bytes", {"words": german, "n_merges": 4}),
        Case("seven words", trainable(rng, 7, [a, b, c, d], 3, 7)),
        Case("eleven words", trainable(rng, 11, [a, b, c], 5, 11)),
    ]


# ----------------------------------------------------------------------------------------------------- encode

Ranks = Mapping[Pair, int]  # 0 for the pair that was learned first


def encode(
    text: str,
    ranks: Ranks,
    *,
    start: Callable[[str], Sequence[bytes]] = single,
    choose: Callable[[list[Pair], Ranks], Pair] = lambda known, ranks: min(known, key=ranks.__getitem__),
    merge: Callable[[Sequence[bytes], Pair], list[bytes]] = merge_pair,
    rounds: int = 1000,
) -> list[bytes]:
    """Merge the pair that was learned first, until no learned pair is left."""
    tokens = list(start(text))
    for _ in range(rounds):
        known = [pair for pair in pairwise(tokens) if pair in ranks]
        if not known:
            break
        tokens = merge(tokens, choose(known, ranks))
    return tokens


def longest_pair(known: list[Pair], ranks: Ranks) -> Pair:
    return max(known, key=_length)


def _length(pair: Pair) -> int:
    return len(pair[0] + pair[1])


def commonest_pair(known: list[Pair], ranks: Ranks) -> Pair:
    return max(known, key=known.count)


def longest_token(text: str, ranks: Ranks) -> list[bytes]:
    """From the left the longest token of the vocabulary, again and again."""
    rest, tokens = text.encode(), []
    known = {left + right for left, right in ranks}
    while rest:
        end = next(end for end in range(len(rest), 0, -1) if end == 1 or rest[:end] in known)
        tokens.append(rest[:end])
        rest = rest[end:]
    return tokens


def one_pass(text: str, ranks: Ranks) -> list[bytes]:
    """Each byte joins the token before it where the two are a learned pair."""
    tokens: list[bytes] = []
    for byte in single(text):
        if tokens and (tokens[-1], byte) in ranks:
            tokens[-1] += byte
        else:
            tokens.append(byte)
    return tokens


def stops_at_a_gap(text: str, ranks: Ranks) -> list[bytes]:
    """One learned pair after the other, up to the first that is not there."""
    tokens = list(single(text))
    for pair in ranks:
        if pair not in pairwise(tokens):
            break
        tokens = merge_pair(tokens, pair)
    return tokens


WAYS = (  # to choose the next merge: the right one, then the others
    encode,
    longest_token,
    one_pass,
    lambda text, ranks: encode(text, ranks, choose=longest_pair),
    lambda text, ranks: encode(text, ranks, choose=lambda known, ranks: known[0]),
    lambda text, ranks: encode(text, ranks, choose=commonest_pair),
    lambda text, ranks: encode(text, ranks, choose=lambda known, ranks: min(known, key=_length)),
    lambda text, ranks: encode(text, ranks, choose=lambda known, ranks: max(known, key=ranks.__getitem__)),
)


def learned(words: Words, n_merges: int) -> dict[Pair, int]:
    return {pair: rank for rank, pair in enumerate(train_merges(words, n_merges))}


def encodable(rng: Rng, alphabet: Sequence[str], n_merges: int, length: int) -> dict[str, Any]:
    """A text and merges on which all ways to choose the next merge differ."""
    while True:
        ranks = learned(drawn_words(rng, 11, alphabet, 5), n_merges)
        text = drawn(rng, alphabet, length)
        if no_token_twice(list(ranks)) and all_different([way(text, ranks) for way in WAYS]):
            return {"text": text, "ranks": ranks}


def encode_cases(rng: Rng) -> list[Case]:
    a, b, c = letters(rng, 3)
    hug = {(b"u", b"g"): 0, (b"h", b"u"): 1, (b"h", b"ug"): 2, (b"p", b"ug"): 3}
    run: dict[Any, int] = {single(a + a): 0, single(a + b): 1, (a.encode(), (a + b).encode()): 2}
    half = {single("gr"): 0, (b"gr", b"\xc3"): 1, (b"\xbc", b"n"): 2, single("\N{CAT FACE}")[:2]: 3}
    return [
        Case("one word", {"text": str(rng.choice(["pugs", "spug", "pugpug"])), "ranks": hug}),
        Case("a short text", encodable(rng, [a, b], 17, 29)),
        Case("a run of one letter", {"text": 5 * a + b + 3 * a, "ranks": run}),
        Case("letters of several bytes", {"text": "grün \N{CAT FACE}", "ranks": half}),
        Case("nothing to merge", {"text": c + b + a, "ranks": {single(b + c): 0}}),
        Case("one byte", {"text": a, "ranks": run}),
        Case("a long text", encodable(rng, [a, b, c], 23, 41)),
        Case("an empty text", {"text": "", "ranks": hug}),
    ]


# ----------------------------------------------------------------------------------------------------- decode


def decode(
    tokens: Sequence[bytes], *, encoding: str = "utf-8", errors: str = "replace", between: bytes = b""
) -> str:
    """The text of some tokens."""
    return between.join(tokens).decode(encoding, errors)


def cut(rng: Rng, data: bytes, n: int) -> list[bytes]:
    """Bytes as n pieces, cut at random places."""
    places = [0, *sorted(int(i) for i in rng.permutation(len(data) - 1)[: n - 1] + 1), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def decode_cases(rng: Rng) -> list[Case]:
    a, b, c = (letter.encode() for letter in letters(rng, 3))
    two = str(rng.choice(list("äöüéñß"))).encode()
    four = str(rng.choice(list("\N{CAT FACE}\N{GRINNING FACE}\N{SNAKE}"))).encode()
    return [
        Case("plain letters", {"tokens": [a + b, b" " + c, a]}),
        Case("a letter of two bytes in two tokens", {"tokens": [a + two[:1], two[1:] + b]}),
        Case("an emoji in three tokens", {"tokens": [b, four[:1], four[1:3], four[3:], a]}),
        Case("half a letter at the end", {"tokens": [a, b + two[:1]]}),
        Case("a byte that never occurs in UTF-8", {"tokens": [a, bytes([int(rng.integers(0xF8, 256))]), b]}),
        Case("the second half of a letter alone", {"tokens": [two[1:], a, four[:3], c]}),
        Case("a sentence in many tokens", {"tokens": cut(rng, "für 猫 und \N{SNAKE}, grün!\n".encode(), 13)}),
        Case("no tokens", {"tokens": []}),
    ]


# ---------------------------------------------------------------------------------------------- longest match


def longest_match(
    word: str,
    vocab: set[str],
    *,
    looked_up: Callable[[str, int], str] = lambda piece, start: f"##{piece}" if start else piece,
    shown: Callable[[str], str] = lambda token: token,
    ends: Callable[[int, int], Iterable[int]] = lambda start, end: range(end, start, -1),
    unknown: Callable[[list[str], str], list[str]] = lambda tokens, rest: ["[UNK]"],
) -> list[str]:
    """From the left the longest piece that the vocabulary has, again and again."""
    tokens: list[str] = []
    start = 0
    while start < len(word):
        pieces = ((looked_up(word[start:end], start), end) for end in ends(start, len(word)))
        token, end = next(((piece, end) for piece, end in pieces if piece in vocab), ("", 0))
        if not token:
            return unknown(tokens, word[start:])
        tokens.append(shown(token))
        start = end
    return tokens


def unknown_letters(word: str, vocab: set[str]) -> list[str]:
    """As `longest_match`, with [UNK] for each letter that is in no piece."""
    tokens, start = [], 0
    while start < len(word):
        mark = "##" if start else ""
        ends = range(len(word), start, -1)
        end = next((end for end in ends if mark + word[start:end] in vocab), None)
        tokens.append("[UNK]" if end is None else mark + word[start:end])
        start = start + 1 if end is None else end
    return tokens


def going_back(word: str, vocab: set[str], start: int = 0) -> list[str]:
    """As `longest_match`, but where it cannot go on it tries a shorter piece before."""
    if start == len(word):
        return []
    for end in range(len(word), start, -1):
        piece = ("##" if start else "") + word[start:end]
        if piece in vocab:
            rest = going_back(word, vocab, end)
            if rest != ["[UNK]"]:
                return [piece, *rest]
    return ["[UNK]"]


def from_the_end(word: str, vocab: set[str]) -> list[str]:
    """From the right the longest piece that the vocabulary has."""
    tokens: list[str] = []
    end = len(word)
    while end:
        pieces = (("##" if start else "") + word[start:end] for start in range(end))
        piece = next((piece for piece in pieces if piece in vocab), None)
        if piece is None:
            return ["[UNK]"]
        tokens.insert(0, piece)
        end -= len(piece.removeprefix("##"))
    return tokens


def longest_match_cases(rng: Rng) -> list[Case]:
    a, b, c, d, e = letters(rng, 5)
    play = {"play", "p", "pl", "##a", "##ay", "##ing", "##in", "##i", "##g", "ing", "[UNK]"}
    trap = {a, a + b, f"##{c}", f"##{c + d}", f"##{b + c + d}", f"##{d}", f"##{c + d + e}", f"##{e}"}
    alone = {a + b, c + d + e, c, d, e, f"##{d}"}
    back = {a + b + c, a + b, f"##{c + d}", f"##{c}", f"##{e}"}
    every = {a, b, c, *(f"##{x}" for x in (a, b, c))}

    def pieces() -> set[str]:
        drawn_pieces = [drawn(rng, [a, b, c], 2, 3) for _ in range(11)]
        return every | {("##" if i % 2 else "") + piece for i, piece in enumerate(drawn_pieces)}

    return [
        Case("two pieces", {"word": str(rng.choice(["playing", "pling"])), "vocab": play}),
        Case("longer pieces further on", {"word": a + b + c + d + e, "vocab": trap}),
        Case("the whole word", {"word": a + b, "vocab": {a, f"##{b}", a + b, b}}),
        Case("a letter that is in no piece", {"word": a + b + e + c, "vocab": every}),
        Case("the first letter is in no piece", {"word": e + a + b, "vocab": every}),
        Case("pieces that only begin a word", {"word": a + b + c + d + e, "vocab": alone}),
        Case("two ways to cut", {"word": a + b + c, "vocab": {a, a + b, f"##{c}", f"##{b + c}"}}),
        Case("a longest piece that leads nowhere", {"word": a + b + c + d, "vocab": back}),
        Case("a long word", {"word": drawn(rng, [a, b, c], 17), "vocab": pieces()}),
        Case("a longer word", {"word": drawn(rng, [a, b, c], 29), "vocab": pieces()}),
    ]


# ------------------------------------------------------------------------------------------ tokenizer at work

QUESTION = "Which animal says 'meow'? Answer in one sentence."
TEXTS = (  # compared with the model's own tokenizer, token for token
    "How many r's are in strawberry?",
    "Grüße aus Zürich, naïve Façade!",
    "Привет, мир! 你好，世界 नमस्ते",
    "In 2024 it cost 1,234.50 euros.",
    "\N{CAT FACE}\N{CAT FACE} and \N{SNAKE}: for i in range(10):\n    print(i)\n",
)
N_TOKENS = 24


def tokenizer_at_work(
    words: Sequence[str],
    ranks: Ranks,
    ids: Mapping[bytes, int],
    special: Mapping[str, int],
    *,
    cut_word: Callable[..., Sequence[bytes]] = encode,
    **changes: Any,
) -> list[int]:
    """The ids of some words; special words stay whole."""
    found: list[int] = []
    for word in words:
        tokens = [] if word in special else cut_word(word, ranks, **changes)
        found += [special[word]] if word in special else [ids[token] for token in tokens]
    return found


def tokenizer_at_work_cases(rng: Rng) -> list[Case]:
    start, end = "<|start|>", "<|end|>"
    names = ["ug", "hug", " hug", "pu", "at", "cat", " cat", "th", "the", " the"]
    merges = [
        (left.encode(), right.encode())
        for left, right in (
            ("u", "g"),
            ("h", "ug"),
            (" ", "hug"),
            ("p", "u"),
            ("a", "t"),
            ("c", "at"),
            (" ", "cat"),
            ("t", "h"),
            ("th", "e"),
            (" ", "the"),
        )
    ]
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    tokens = [*single("abcdefghijklmnopqrstuvwxyz <|>?\n"), *(bytes([b]) for b in "ü\N{CAT FACE}".encode())]
    # The numbers are in no order, as in a real vocabulary: a rank is no id.
    numbers = [int(n) for n in rng.permutation(97)]
    every = [*tokens, *(name.encode() for name in names)]
    ids = dict(zip(every, numbers, strict=False))
    special = {start: numbers[-1], end: numbers[-2]}

    def case(name: str, *words: str) -> Case:
        return Case(name, {"words": list(words), "ranks": ranks, "ids": ids, "special": special})

    def one_word(name: str, text: str, ranks: Ranks) -> Case:
        tokens = [*single("".join(sorted(set(text)))), *(left + right for left, right in ranks)]
        known = {token: int(n) for token, n in zip(tokens, rng.permutation(97), strict=False)}
        return Case(name, {"words": [text], "ranks": ranks, "ids": known, "special": special})

    some = [str(word) for word in rng.choice([" the", " cat", " hug", " pug", "?", " that"], 11)]
    a, b = letters(rng, 2)
    run: dict[Any, int] = {single(a + a): 0, single(a + b): 1, (a.encode(), (a + b).encode()): 2}
    return [
        case("two words", "the", str(rng.choice([" cat", " hug"]))),
        case("a word that comes twice", "hug", " the", " hug", " the", " cat"),
        case("words that would merge across their border", "t", "he", "h", "ug"),
        case("special words", start, "the", " cat", end, "\n"),
        case("letters of several bytes", "cat", " für", " \N{CAT FACE}"),
        case("many words", "the", *some, end),
        one_word("a word in which the order of the merges tells", **encodable(rng, [a, b], 17, 29)),
        one_word("a run of one letter", 5 * a + b + 3 * a, run),
        case("no words"),
    ]


@real_model.with_smollm2("read your tokens")
def drives_smollm2(learner: Callable[..., Any], model: Any, tokenizer: Any) -> Iterator[str]:
    """Compare with the real model's tokenizer, then let the model answer a question cut by the learner."""
    from course_lib import pretrained  # here, because these tasks do not need torch

    ids_of = with_tables(learner, tokenizer)
    n_merges = len(tokenizer.merges)
    yield f"Your function with SmolLM2's {n_merges:,} merges, beside the model's own tokenizer:\n"
    for text in TEXTS:
        ids = ids_of(text)
        yield f"  {text.strip()!r}: the same {len(ids)} tokens\n"
    prompt = ids_of(pretrained.chat_prompt(QUESTION))
    yield f"\nSmolLM2 reads {len(prompt)} tokens, all of them yours. {QUESTION}\n"
    yield from _answer(model, tokenizer, prompt)
    yield "\n"


@functools.lru_cache(maxsize=4)
def tables_of(tokenizer: Any) -> tuple[dict[tuple[bytes, bytes], int], dict[bytes, int], dict[str, int]]:
    """A real tokenizer's ranks, ids and special words, as `tokenizer_at_work` gets them."""
    from course_lib.bpe import byte_characters

    byte_of = {character: byte for byte, character in byte_characters().items()}

    def as_bytes(token: str) -> bytes:
        return bytes(byte_of[character] for character in token)

    ranks = {(as_bytes(left), as_bytes(right)): rank for rank, (left, right) in enumerate(tokenizer.merges)}
    special = dict(tokenizer.special_tokens)
    ids = {as_bytes(token): i for i, token in enumerate(tokenizer.tokens) if token not in special}
    return ranks, ids, special


def with_tables(learner: Callable[..., Any], tokenizer: Any) -> Callable[[str], list[int]]:
    """The learner's function as one from text to ids, with the tables of a real tokenizer.

    Raises: WrongForm (when called): the ids are not the tokenizer's own.
    """
    tables = tables_of(tokenizer)

    def ids_of(text: str) -> list[int]:
        got = forms.contents(learner(tokenizer.words(text), *tables))["result"].item()
        expected = tokenizer.encode(text)
        if got != expected:
            raise WrongForm(f"With SmolLM2's merges {text!r} should be {expected}, but is {got}.")
        return expected

    return ids_of


def _answer(model: Any, tokenizer: Any, prompt: list[int]) -> Iterator[str]:
    """What the model writes, as it comes."""
    import torch

    from course_lib import generation

    ids = torch.tensor([prompt], device=next(model.parameters()).device)
    tokens = generation.new_tokens(model, ids, N_TOKENS, eos_id=tokenizer.special_tokens["<|im_end|>"])
    return real_model.as_text(tokenizer, (int(token.item()) for token in tokens))


TASKS = {
    "count_pairs": Code(reference=count_pairs, cases=count_pairs_cases, read=forms.counts),
    "merge_pair": Code(reference=merge_pair, cases=merge_pair_cases, read=forms.contents),
    "train_merges": Code(reference=train_merges, cases=train_merges_cases, read=forms.contents),
    "encode": Code(reference=encode, cases=encode_cases, read=forms.contents),
    "decode": Code(reference=decode, cases=decode_cases, read=forms.contents),
    "longest_match": Code(reference=longest_match, cases=longest_match_cases, read=forms.contents),
    "tokenizer_at_work": Code(
        reference=tokenizer_at_work,
        cases=tokenizer_at_work_cases,
        read=forms.contents,
        finale=drives_smollm2,
    ),
}
