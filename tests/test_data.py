"""Real text: the same in every run, honest about what is held out, and clear about what is missing."""

import subprocess
import sys
from pathlib import Path

import pytest

from course_lib import data
from course_lib.data import (
    MissingTextError,
    Sentence,
    Vocabulary,
    docstrings,
    python_sentences,
    python_topics,
    sentences,
    split_by_document,
)


@pytest.fixture(scope="module")
def split() -> tuple[list[Sentence], list[Sentence]]:
    return python_sentences(n_words=11)


def test_there_is_enough_text() -> None:
    assert sum(map(len, python_topics().values())) > 300_000
    assert sum(map(len, docstrings().values())) > 700_000


def test_docstrings_are_found_at_every_level(tmp_path: Path) -> None:
    method = '    async def f(self):\n        """Method."""\n        "no docstring"\n'
    (tmp_path / "one.py").write_text('"""Module."""\nclass A:\n    """Class."""\n' + method, encoding="utf-8")
    (tmp_path / "two.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "json" / "test").mkdir(parents=True)
    (tmp_path / "json" / "decoder.py").write_text('"""Decoder."""\n', encoding="utf-8")
    (tmp_path / "json" / "test" / "test_it.py").write_text('"""Left out."""\n', encoding="utf-8")
    assert docstrings(tmp_path) == {
        "json/decoder.py": "Decoder.",
        "one.py": "Module.\n\nClass.\n\nMethod.",
    }


def test_sentences_are_prose() -> None:
    text = "A line\nthat goes on. Another one!\n\n>>> print('not prose')\n\nx | y | z | is no prose either."
    assert [sentence.text for sentence in sentences({"a": text}, n_words=2)] == [
        "A line that goes on.",
        "Another one!",
    ]


def test_sentences_with_the_same_beginning_are_kept_once() -> None:
    found = sentences({"a": "The cat sat down.", "b": "The cat sat up. The dog sat."}, n_words=3)
    assert [(sentence.text, sentence.document) for sentence in found] == [
        ("The cat sat down.", "a"),
        ("The dog sat.", "b"),
    ]


def test_a_document_is_never_on_both_sides(split: tuple[list[Sentence], list[Sentence]]) -> None:
    train, held_out = split
    assert len(train) > 3000
    assert 0.1 < len(held_out) / len(train) < 0.5
    assert {s.document for s in train}.isdisjoint(s.document for s in held_out)
    assert min(len(s.words) for s in train + held_out) >= 11


def test_nothing_leaks_into_the_held_out_part(split: tuple[list[Sentence], list[Sentence]]) -> None:
    train, held_out = split
    runs = {s.words[i : i + 6] for s in train for i in range(6)}  # 6 runs of 6 words in 11 words
    assert not [s.text for s in held_out if any(s.words[i : i + 6] in runs for i in range(6))]


def test_a_copied_held_out_sentence_is_dropped() -> None:
    words = ("one", "two", "three", "four", "five", "six", "seven")
    names = [f"document {number}" for number in range(50)]
    copies = [Sentence("", (name, *words), name) for name in names]
    train, held_out = split_by_document(copies, n_words=8)
    assert len(train) > 25
    assert held_out == []
    assert split_by_document(copies, n_words=6)[1] != []  # five shared words only: no copy


def test_the_split_does_not_depend_on_the_run() -> None:
    code = (
        "from course_lib.data import Vocabulary, sentences, split_by_document; "
        "documents = {f'document {n}': f'Number {n} is here. Nothing else is.' for n in range(40)}; "
        "train, held_out = split_by_document(sentences(documents, 3), 3); "
        "print([s.text for s in held_out], Vocabulary([s.words for s in train], 9).tokens)"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(data.__file__).parents[1])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert "<unknown>" in runs[0]


def test_vocabulary_numbers_by_frequency_then_alphabet() -> None:
    vocabulary = Vocabulary([["c", "b", "a"], ["b"]], size=4)
    assert vocabulary.tokens == ["<cls>", "<unknown>", "b", "a"]
    assert vocabulary.encode(["a", "c", "<cls>"]) == [3, 1, 0]
    assert vocabulary.decode([3, 1, 0]) == ["a", "<unknown>", "<cls>"]
    assert len(vocabulary) == 4


def test_data_needs_no_torch() -> None:
    code = "import sys, course_lib.data; sys.exit('torch' in sys.modules)"
    subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(Path(data.__file__).parents[1])}, check=True
    )


# --------------------------------------------------------------------------------------- bad input


def test_missing_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    python_topics.cache_clear()
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(MissingTextError, match=r"comes without pydoc_data\.topics.* install"):
        python_topics()


def test_missing_sources(tmp_path: Path) -> None:
    with pytest.raises(MissingTextError, match=r"no docstring found in .*without the source"):
        docstrings(tmp_path)


def test_sentences_need_words() -> None:
    with pytest.raises(ValueError, match="at least one word; n_words is 0"):
        sentences({"a": "Text."}, n_words=0)


def test_vocabulary_too_small() -> None:
    with pytest.raises(ValueError, match="2 special tokens needs a size above that; got 2"):
        Vocabulary([["a"]], size=2)


def test_encode_wants_a_list(own_errors: None) -> None:
    with pytest.raises(TypeError, match=r"a list of words, not one string: try 'Two words'"):
        Vocabulary([["two"]], size=3).encode("Two words")


def test_decode_outside_the_vocabulary() -> None:
    with pytest.raises(ValueError, match="numbers 0 to 2; got 3, -1"):
        Vocabulary([["two"]], size=3).decode([2, 3, -1])
