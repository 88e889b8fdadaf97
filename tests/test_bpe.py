"""Our tokenizer against Hugging Face's `tokenizers` and OpenAI's `tiktoken`, on every kind of Unicode."""

import json
import random
import sys
import unicodedata
from pydoc_data.topics import topics

import gguf
import pytest
import tiktoken
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers, trainers

from course_lib.bpe import BPETokenizer, byte_characters
from course_lib.pretrained import smollm2_path

SPACES = [
    " ",
    "  ",
    "     ",
    "\n",
    "\n\n",
    "\r\n",
    "\t",
    "\t \n",
    "\u00a0",
    "\u2003 ",
    "\u3000",
    "\u2028",
    "\x0b",
    "\x85",
]
EMOJI = ["😀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇫🇷", "1️⃣", "❤️", "🧑🏿‍🚀"]
ENGLISH = [
    "don't", "I'll've", "WE'RE", "'tis", "it's's", "x=3.14159", "'''doc'''", "--flag",
    "http://a.b/c?d=%20", "<|", "|>", "½kg", "x²"
]  # fmt: skip


def varied_text(seed, n_characters, special_tokens=()):
    """Random words in every script, digits, controls, emoji, English and code, with every white space."""
    rng = random.Random(seed)
    assigned = [
        c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) not in ("Cn", "Co", "Cs")
    ]
    kinds = {kind: [c for c in assigned if unicodedata.category(c)[0] == kind] for kind in "MNPSZC"}
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
    fields = gguf.GGUFReader(smollm2_path()).fields
    tokens, merges, kinds = (
        fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "merges", "token_type")
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
    """A small GPT-2-style vocabulary, learned by `tokenizers` from Python's manual: ours and theirs."""
    theirs = tokenizers.Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=997, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    theirs.train_from_iterator(topics.values(), trainer)
    model = json.loads(theirs.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    return BPETokenizer(tokens, map(tuple, model["merges"])), theirs


def test_smollm2_ids_on_varied_unicode(smollm2):
    ours, theirs = smollm2
    assert len(ours.special_tokens) == 17
    parts = varied_text(0, 110_000, ours.special_tokens)
    assert len("".join(parts)) >= 100_000
    assert_same_ids(ours.encode, lambda text: theirs.encode(text).ids, parts)


def test_smollm2_decodes_as_hugging_face(smollm2):
    ours, theirs = smollm2
    theirs.decoder = tokenizers.decoders.ByteLevel()
    for part in varied_text(1, 3_000):
        ids = theirs.encode(part).ids
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=False)


def test_smollm2_round_trip(smollm2):
    text = "".join(topics.values())[:30_000] + "Grüße, 你好, Привет, שלום, 👩‍👩‍👧‍👦<|im_start|>2024\n"
    assert smollm2[0].decode(smollm2[0].encode(text)) == text


def test_gpt2_style_ids_equal_tokenizers(trained):
    ours, theirs = trained
    assert ours.vocab_size == 997
    assert_same_ids(ours.encode, lambda text: theirs.encode(text).ids, varied_text(2, 30_000))


def test_gpt2_style_ids_equal_tiktoken(trained):
    ours = trained[0]
    byte_of = {character: byte for byte, character in byte_characters().items()}
    ranks = {bytes(byte_of[c] for c in token): i for i, token in enumerate(ours.tokens)}
    # tiktoken's own GPT-2 expression (tiktoken_ext/openai_public.py)
    pattern = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
    theirs = tiktoken.Encoding("manual", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    assert_same_ids(ours.encode, theirs.encode_ordinary, varied_text(3, 30_000))


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


def test_digits_are_split_only_where_asked():
    tokens = ["1", "2", "12"]
    assert BPETokenizer(tokens, [("1", "2")]).encode("12") == [2]
    assert BPETokenizer(tokens, [("1", "2")], split_digits=True).encode("12") == [0, 1]


def test_white_space_leaves_one_space_to_the_word(trained):
    words = trained[0]._words.findall("a  b\n\n c'll 12!?")
    assert words == ["a", " ", " b", "\n\n", " c", "'ll", " 12", "!?"]
    assert "".join(words) == "a  b\n\n c'll 12!?"


def test_half_a_character_decodes_to_a_replacement(trained):
    first_byte, second_byte = (trained[0].tokens.index(byte_characters()[byte]) for byte in "é".encode())
    assert trained[0].decode([first_byte, second_byte]) == "é"
    assert trained[0].decode([first_byte]) == "\ufffd"


# ---------------------------------------------------------------------------------------------- bad input


@pytest.fixture
def toy():
    return BPETokenizer(["a", "b"], [])


def test_empty_text(toy):
    with pytest.raises(ValueError, match="encodes at least one character; got an empty string"):
        toy.encode("")


@pytest.mark.parametrize(
    ("bad", "kind"), [(7, "int: 7"), (None, "NoneType: None"), (b"ab", "bytes: b'ab'"), (["a"], "list")]
)
def test_not_a_string(toy, own_errors, bad, kind):
    with pytest.raises(TypeError, match=f"encodes a string; got {kind}"):
        toy.encode(bad)


def test_lone_surrogate(toy):
    with pytest.raises(ValueError, match=r"encodes valid Unicode; got a lone surrogate: '\\ud800'"):
        toy.encode("\ud800")


@pytest.mark.parametrize("bad", [-1, 2, 10**9])
def test_id_outside_the_vocabulary(toy, bad):
    with pytest.raises(ValueError, match=f"token id {bad} is outside the vocabulary; ids run from 0 to 1"):
        toy.decode([0, bad])


def test_merge_without_its_token():
    with pytest.raises(ValueError, match="merge 1 makes 'bb', which is not in the vocabulary"):
        BPETokenizer(["a", "b", "aa"], [("a", "a"), ("b", "b")])
