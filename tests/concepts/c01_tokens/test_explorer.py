"""The token explorer without a browser: ids and steps are the library's, every question is answered."""

import base64
import json
import re
import zlib
from itertools import accumulate

import pytest
from explorers import ask, keeps_the_frame

from course_lib.bpe import BPETokenizer, WordPiece
from course_lib.concepts.c01_tokens.explorer import PARTS, TokenExplorer, cut, packed_vocabulary
from course_lib.data import languages
from course_lib.widgets.reading import LONGEST_TEXT

CORPUS = "straw strawberry berry berries raw drawing bananas, ein Kaffee, café, café\n"
TEXT = "Strawberry  bananas:\ncafé ☕ 们"
TEXTS = [TEXT, "☕", "banana <end>x [UNK]", " ", "\r\n\t", "קפה בבוקר", "ab" * 997, "p" * 101, "ㄱ" * 99]


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, BPETokenizer | WordPiece]:
    letters = [*"abcdefghijklmnopqrstuvwxyz", *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]
    return {
        "ours": BPETokenizer.train(CORPUS, 283, ["<end>"]),
        "without ☕": BPETokenizer([*"abcdefghijklmnopqrstuvwxyz", "Ġ", "st"], [("s", "t")]),
        "pieces": WordPiece(["[UNK]", "[CLS]", "[SEP]", *letters, "straw", "##berry", ":", "cafe"]),
    }


@pytest.mark.parametrize("text", TEXTS)
def test_every_token_is_the_librarys(tokenizers, text: str) -> None:
    explorer = TokenExplorer(tokenizers, text)
    assert explorer.text == explorer.state["view"]["text"] == text
    for name, tokenizer in tokenizers.items():
        found = explorer.state["view"]["cuts"][name]
        assert [word for word, _, _ in found] == tokenizer.words(text)
        assert [i for _, ids, _ in found for i in ids] == tokenizer.encode(text)


def test_the_way_is_the_librarys_merges(tokenizers) -> None:
    ours = tokenizers["ours"]
    for word, ids, way in cut(ours, " strawberry bananas<end>"):
        steps = ours.merge_steps(word)
        assert (ids, way) == (steps[-1][1], [rank for rank, _ in steps[1:]])
    assert way == []  # a special token
    (word,) = cut(BPETokenizer(["a", "n", "an"], [("a", "n")]), "ananan")
    assert word == ["ananan", [2, 2, 2], [0]]  # in three places, but once


def test_the_way_is_the_librarys_matches(tokenizers) -> None:
    pieces = tokenizers["pieces"]
    names = {name: i for i, name in enumerate(pieces.tokens)}
    straw, berry, unknown = names["straw"], names["##berry"], names["[UNK]"]
    assert cut(pieces, "Strawberry straw! 们 [UNK] " + "p" * 101) == [
        ["strawberry", [straw, berry], [straw, berry]],
        ["straw", [straw], [straw]],
        ["!", [unknown], []],
        ["们", [unknown], []],
        ["[UNK]", [unknown], []],
        ["[UNK]", [unknown], []],
    ]
    # What fitted before nothing fitted any more.
    assert cut(WordPiece(["[UNK]", "[CLS]", "[SEP]", "play"]), "played") == [["played", [0], [3]]]


def test_the_page_gets_whole_vocabularies(tokenizers) -> None:
    def unpacked(tokenizer):
        return json.loads(zlib.decompress(base64.b64decode(packed_vocabulary(tokenizer))))

    ours = unpacked(tokenizers["ours"])
    made = [ours["tokens"][i] for i in accumulate(ours["steps"])]
    merges = [(token[:n], token[n:]) for token, n in zip(made, ours["lengths"], strict=True)]
    assert merges == tokenizers["ours"].merges
    assert (ours["tokens"], ours["special"]) == (tokenizers["ours"].tokens, {"<end>": 0})
    assert (ours["digits"], ours["isKnown"]) == (False, True)
    other = unpacked(BPETokenizer(["a", "b"], [], split_digits=True, pattern=r"\w+"))
    assert (other["digits"], other["isKnown"]) == (True, False)
    assert unpacked(tokenizers["pieces"])["tokens"] == tokenizers["pieces"].tokens


def test_all_languages_are_cut(tokenizers) -> None:
    explorer = TokenExplorer(tokenizers)
    assert [name for name, _ in explorer.sentences] == list(languages())
    for name, view in explorer.sentences:
        explorer.language = name
        assert explorer.text == view["text"] == languages()[name]
        assert view["cuts"] == {each: cut(tokenizer, view["text"]) for each, tokenizer in tokenizers.items()}
    explorer.text = "straw"
    assert (explorer.language, explorer.text) == ("", "straw")


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The text is empty: type at least one character."),
        ("a" * (LONGEST_TEXT + 1), "The text has 2,001 characters, the explorer takes 2,000: shorten it."),
        (3, "The text must be a string; got int."),
        ("\ud800", "got a lone surrogate"),
    ],
)
def test_a_bad_text_to_cut(tokenizers, text: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        TokenExplorer(tokenizers, text)
    explorer = TokenExplorer(tokenizers)
    explorer.language = "German"
    before = explorer.state
    assert message in ask(explorer, "text", text=text)
    assert explorer.state["view"] == before["view"]
    assert explorer.language == "German"
    assert ask(explorer, "text", text="straw") == ""
    assert explorer.text == "straw"


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "tokenizers must be a mapping of one to four, by name; got {}."),
        ("ours", "tokenizers must be a mapping of one to four"),
        ({"ours": "bpe"}, "tokenizers must map names to BPETokenizer or WordPiece; got 'ours': str."),
    ],
)
def test_bad_tokenizers(given: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        TokenExplorer(given)


def test_the_first_two_tokenizers_are_shown(tokenizers) -> None:
    explorer = TokenExplorer(tokenizers)
    assert explorer.shown == ["ours", "without ☕"]
    explorer.shown = ["pieces", "ours"]
    with pytest.raises(
        ValueError, match=re.escape("shown must be 2 of ['ours', 'without ☕', 'pieces']; got")
    ):
        explorer.shown = ["theirs", "ours"]
    with pytest.raises(ValueError, match="shown must be 2 of"):
        explorer.shown = ["ours"]
    with pytest.raises(ValueError, match=r"language must be '' or one of .*; got 'Klingon'"):
        explorer.language = "Klingon"
    assert (explorer.shown, explorer.language) == (["pieces", "ours"], "")
    assert TokenExplorer({"ours": tokenizers["ours"]}).shown == ["ours"]


def test_it_keeps_the_frame(tokenizers) -> None:
    explorer = TokenExplorer(tokenizers, TEXT)
    explorer.on_text("straw")
    assert explorer._esm.index("class BytePairs") < explorer._esm.index("class WordPieces")
    assert keeps_the_frame(explorer, "../../widgets/bpe", *PARTS)
