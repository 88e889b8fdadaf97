"""The token explorer without a browser: every number is the library's, every question is answered."""

import re

import pytest
from explorers import ask, keeps_the_frame

from course_lib.bpe import BPETokenizer, WordPiece
from course_lib.concepts.c01_tokens.explorer import NOT_REPLAYED, TokenExplorer
from course_lib.data import languages
from course_lib.widgets.reading import LONGEST_TEXT

CORPUS = "straw strawberry berry berries raw drawing bananas, ein Kaffee, café, café\n"
TEXT = "Strawberry  bananas:\ncafé ☕ 们"


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, BPETokenizer | WordPiece]:
    letters = [*"abcdefghijklmnopqrstuvwxyz", *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")]
    return {
        "ours": BPETokenizer.train(CORPUS, 283, ["<end>"]),
        "without ☕": BPETokenizer([*"abcdefghijklmnopqrstuvwxyz", "Ġ", "st"], [("s", "t")]),
        "pieces": WordPiece(["[UNK]", "[CLS]", "[SEP]", *letters, "straw", "##berry", ":", "cafe"]),
    }


def ids_of(cut: dict) -> list[int]:
    return [i for word in cut["words"] for i in word["steps"][-1]["ids"]]


TEXTS = [
    TEXT,
    "☕",
    "strawberry",
    "banana <end>x",
    " ",
    "\r\n\t",
    "קפה בבוקר",
    "ab" * 997,
    "straw berry " * 100,
    "ㄱ" * 99,
]


@pytest.mark.parametrize("text", TEXTS)
def test_every_token_is_the_librarys(tokenizers, text: str) -> None:
    explorer = TokenExplorer(tokenizers, text)
    assert explorer.text == text
    for name, tokenizer in tokenizers.items():
        cut = explorer.state["view"]["cuts"][name]
        ids = tokenizer.encode(text)
        assert ids_of(cut) == ids
        assert cut["summary"].startswith(f"{len(ids):,} token{'' if len(ids) == 1 else 's'}")
        if ids:
            of_token = f"{len(text) / len(ids):.1f} characters or {len(text.encode()) / len(ids):.1f} bytes"
            assert of_token in cut["summary"]


def test_replays_are_the_librarys_merges(tokenizers) -> None:
    ours = tokenizers["ours"]
    explorer = TokenExplorer({"ours": ours}, " strawberry bananas")
    for word, shown in zip(
        ours.words(explorer.text), explorer.state["view"]["cuts"]["ours"]["words"], strict=True
    ):
        steps = ours.merge_steps(word)
        assert [step["ids"] for step in shown["steps"]] == [ids for _, ids in steps]
        assert shown["steps"][0]["text"].startswith(f"Start: {len(word)} bytes")
        for n, (step, (rank, ids)) in enumerate(zip(shown["steps"][1:], steps[1:], strict=True), start=1):
            left, right = (part.replace("Ġ", "␣") for part in ours.merges[rank])
            said = f"Merge {n} of {len(steps) - 1}: {left} + {right} → {left}{right}"
            now = " | ".join(ours.tokens[i].replace("Ġ", "␣") for i in ids)
            assert step["text"].startswith(said)
            assert step["text"].endswith(f"rank {rank} of {len(ours.merges)}. Now: {now}")
            assert {ours.tokens[ids[place]] for place in step["new"]} == {"".join(ours.merges[rank])}


def test_a_merge_in_two_places_is_one_step() -> None:
    explorer = TokenExplorer({"toy": BPETokenizer(["a", "n", "an"], [("a", "n")])}, "anna")
    first, second = explorer.state["view"]["cuts"]["toy"]["words"][0]["steps"]
    assert (first["new"], second["new"]) == ([], [0])
    explorer.text = "ananan"
    assert explorer.state["view"]["cuts"]["toy"]["words"][0]["steps"][1] == {
        "text": "Merge 1 of 1: a + n → an in 3 places, rank 0 of 1. Now: an | an | an",
        "ids": [2, 2, 2],
        "rest": "",
        "new": [0, 1, 2],
    }


def test_longest_matches_are_replayed(tokenizers) -> None:
    explorer = TokenExplorer({"pieces": tokenizers["pieces"]}, "Strawberry 们")
    words = explorer.state["view"]["cuts"]["pieces"]["words"]
    assert [step["text"] for step in words[0]["steps"]] == [
        "Start: strawberry, of which nothing is cut yet.",
        "Match 1: straw is the longest token that fits at the start of strawberry. Left: berry.",
        "Match 2: ##berry is the longest token that fits at the start of berry. Nothing is left.",
    ]
    assert [(step["rest"], step["new"]) for step in words[0]["steps"]] == [
        ("strawberry", []),
        ("berry", [0]),
        ("", [1]),
    ]
    assert words[1]["lost"] == "们"
    assert words[1]["steps"][-1]["text"] == "No token fits at the start of 们: the whole word is lost, [UNK]."


def test_what_is_lost_is_told(tokenizers) -> None:
    cuts = TokenExplorer(tokenizers, TEXT).state["view"]["cuts"]
    assert cuts["ours"]["note"] == ""
    assert cuts["without ☕"]["note"] == "Some bytes are not in this vocabulary and were left out."
    assert cuts["pieces"]["note"] == "Words lost: 2 of 6. It reads: strawberry bananas : cafe ☕ 们"
    assert cuts["pieces"]["tokens"]["0"] == {"text": "[UNK]", "kind": "lost"}
    assert "[UNK] 0 (lost: 们)" in cuts["pieces"]["description"]
    too_long = TokenExplorer(tokenizers, "p" * 101).state["view"]["cuts"]["pieces"]
    assert (too_long["words"][0]["lost"], too_long["note"]) == ("…", "Words lost: 1 of 1. It reads: [UNK]")


def test_halves_of_characters_are_shown_as_bytes(tokenizers) -> None:
    cut = TokenExplorer(tokenizers, "☕").state["view"]["cuts"]["ours"]
    assert [cut["tokens"][str(i)] for i in ids_of(cut)] == [
        {"text": text, "kind": "bytes"} for text in ("⟨E2⟩", "⟨98⟩", "⟨95⟩")
    ]


def test_languages_are_counted_against_english(tokenizers) -> None:
    explorer = TokenExplorer(tokenizers)
    found = languages()
    assert list(explorer.sentences) == list(found)
    for language, sentence in found.items():
        explorer.language = language
        assert explorer.text == sentence
        for name, tokenizer in tokenizers.items():
            cut = explorer.sentences[language]["cuts"][name]
            n, english = len(tokenizer.encode(sentence)), len(tokenizer.encode(found["English"]))
            said = f" The English sentence has {english}: {n / english:.2f} times as many."
            assert cut["summary"].endswith(said) == (language != "English")
            assert len(ids_of(cut)) == n
            assert NOT_REPLAYED not in str(cut)
    explorer.text = "straw"
    assert (explorer.language, explorer.text) == ("", "straw")


@pytest.mark.parametrize(
    ("text", "direction"), [("a ק", "ltr"), ("1. קa", "rtl"), ("شاي", "rtl"), ("12", "ltr")]
)
def test_direction(tokenizers, text: str, direction: str) -> None:
    assert TokenExplorer(tokenizers, text).state["view"]["direction"] == direction


def test_rows_of_pieces_keep_their_order_in_sentences_of_the_other_direction() -> None:
    explorer = TokenExplorer({"bytes": BPETokenizer.train("קק", 257)}, "קק")
    start, merge = explorer.state["view"]["cuts"]["bytes"]["words"][0]["steps"]
    assert start["text"].endswith("⟨D7⟩ | ⟨A7⟩ | ⟨D7⟩ | ⟨A7⟩")
    assert merge["text"].endswith("Now: \u2068ק\u2069 | \u2068ק\u2069")


def test_long_texts_are_cut_whole_and_replayed_in_part(tokenizers) -> None:
    cut = TokenExplorer(tokenizers, "strawberry " * 150).state["view"]["cuts"]["ours"]
    replayed = [len(word["steps"]) > 1 for word in cut["words"]]
    assert replayed == sorted(replayed, reverse=True)
    assert 5 < sum(replayed) < 150
    assert cut["words"][-1]["steps"][0]["text"] == NOT_REPLAYED
    one_word = TokenExplorer(tokenizers, "a" * 101).state["view"]["cuts"]["ours"]["words"]
    assert [word["steps"][0]["text"] for word in one_word] == [NOT_REPLAYED]


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


def test_tokens_are_described(tokenizers) -> None:
    view = TokenExplorer(tokenizers, "straw ☕").state["view"]
    assert view["size"] == "7 characters, 9 bytes in UTF-8."
    said = {
        name: [cut["description"], *(step["text"] for word in cut["words"] for step in word["steps"])]
        for name, cut in view["cuts"].items()
    }
    assert said["pieces"] == [
        "pieces: 2 tokens: 3.5 characters or 4.5 bytes per token.\n"
        "Words lost: 1 of 2.\n"
        "straw 55 | [UNK] 0 (lost: ☕)",
        "Start: straw, of which nothing is cut yet.",
        "Match 1: straw is the longest token that fits at the start of straw. Nothing is left.",
        "Start: ☕, of which nothing is cut yet.",
        "No token fits at the start of ☕: the whole word is lost, [UNK].",
    ]
    assert said["without ☕"] == [
        "without ☕: 5 tokens: 1.4 characters or 1.8 bytes per token.\n"
        "Some bytes are not in this vocabulary and were left out.\n"
        "st 27 | r 17 | a 0 | w 22 | ␣ 26",
        "Start: 5 bytes, each a piece of its own: s | t | r | a | w",
        "Merge 1 of 1: s + t → st, rank 0 of 1. Now: st | r | a | w",
        "␣: nothing to merge.",
    ]


def test_it_keeps_the_frame(tokenizers) -> None:
    assert keeps_the_frame(TokenExplorer(tokenizers, TEXT))
