"""The data: the same in every run, honest about what is held out, with right answers and clear errors."""

import hashlib
import itertools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits, load_sample_image
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from course_lib import data, objectives
from course_lib.data import (
    CONTOURS,
    IGNORE,
    Examples,
    Review,
    Sentence,
    Translations,
    Vocabulary,
    batches,
    characters,
    cities,
    compounds,
    digits,
    docstrings,
    languages,
    order,
    pair_recall,
    photographs,
    python_sentences,
    python_topics,
    questions,
    reviews,
    sentences,
    sounds,
    split_by_document,
    three_back,
    translations,
    two_relations,
    windows,
)

Pair = tuple[list[str], list[str]]  # the words of a sentence in English and in German
TASKS = [pair_recall, order, two_relations, three_back]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="session")
def split() -> tuple[list[Sentence], list[Sentence]]:
    return python_sentences(n_words=11)


def test_the_texts_are_those_that_every_number_was_made_with() -> None:
    """As Python 3.11.7's `pydoc_data.topics` and its library's sources gave them."""
    texts = [list(python_topics().items()), list(docstrings().items())]
    digest = hashlib.sha256(json.dumps(texts).encode()).hexdigest()
    assert digest == "47733899f95523662ea388898f63081941ad04b530fec53a0b6d9c2eb7055908"


def test_no_text_of_the_running_python_is_read() -> None:
    """Each Python words its manual otherwise, and every number of the course rests on one wording."""
    folder = Path(data.__file__).parent.parent
    code = [path for name in ("course_lib", "notebooks", "solutions") for path in (folder / name).rglob("*")]
    code = [path for path in code if path.suffix in (".py", ".ipynb")]
    assert len(code) > 60
    readers = [path.name for path in code if re.search("pydoc_data[.a-z]* import", path.read_text("utf-8"))]
    assert readers == []


def test_sentences_are_prose() -> None:
    text = "A line\nthat goes on. Another one!\n\n>>> print('not prose')\n\nx | y | z | is no prose."
    text += "\n\nA rule ::= it."
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
    assert split_by_document(copies, n_words=7)[1] == []  # the last six words count too
    assert split_by_document(copies, n_words=6)[1] != []  # five shared words only: no copy


def test_a_special_token_in_the_text_has_one_number() -> None:
    texts = [["<cls>", "b", "<cls>", "a", "<unknown>", "b"], ["<cls>"]]
    vocabulary = Vocabulary(texts, size=5)
    assert vocabulary.tokens == ["<cls>", "<unknown>", "b", "a"]
    assert vocabulary.decode(vocabulary.encode(["<cls>", "a", "<unknown>", "z"])) == [
        *["<cls>", "a", "<unknown>", "<unknown>"]
    ]
    assert Vocabulary(texts, size=3).tokens == ["<cls>", "<unknown>", "b"]  # no place is lost to it


def test_vocabulary_numbers_by_frequency_then_alphabet() -> None:
    vocabulary = Vocabulary([["c", "b", "a"], ["b"]], size=4)
    assert vocabulary.tokens == ["<cls>", "<unknown>", "b", "a"]
    assert vocabulary.encode(["a", "c", "<cls>"]) == [3, 1, 0]
    assert vocabulary.decode([3, 1, 0]) == ["a", "<unknown>", "<cls>"]
    assert len(vocabulary) == 4


# ----------------------------------------------------------------------------------------------- random draws

DRAWS: dict[str, Callable[[torch.Generator | None], torch.Tensor]] = {
    "windows": lambda rng: next(windows(torch.arange(997), 3, 5, rng)),
    "batches": lambda rng: next(batches(torch.arange(23), batch_size=23, generator=rng))[0],
    "translations": lambda rng: translations(400, rng).held_out[1],
    "sounds": lambda rng: sounds(5, generator=rng).inputs,
    **{task.__name__: lambda rng, task=task: task(29, 5, 13, rng).inputs for task in TASKS},
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_draws_repeat_with_the_seed_only(draw: Callable[[torch.Generator | None], torch.Tensor]) -> None:
    state = torch.get_rng_state()
    generator = seeded()
    first = draw(generator)
    assert torch.equal(first, draw(seeded()))
    assert not torch.equal(first, draw(generator))
    assert not torch.equal(first, draw(seeded(1)))
    assert torch.equal(torch.get_rng_state(), state)  # everything came from the generator
    assert not torch.equal(draw(None), draw(None))


# --------------------------------------------------------------------------- characters, windows, batches


def test_characters_are_all_topics_by_default() -> None:
    table, train, held_out = characters()
    text = "\n".join(text for _, text in sorted(python_topics().items()))
    assert "".join(table[i] for i in torch.cat([train, held_out]).tolist()) == text
    assert len(held_out) == round(len(text) / 10)
    assert table == "".join(sorted(set(text)))
    assert train.dtype == torch.int64


@given(st.text(min_size=2), st.floats(0.01, 0.99))
def test_characters_come_back(text: str, share: float) -> None:
    n = round(len(text) * share)
    if 0 < n < len(text):
        table, train, held_out = characters(text, share)
        assert "".join(table[i] for i in train) == text[:-n]
        assert "".join(table[i] for i in held_out) == text[-n:]


def test_windows_are_pieces_of_the_text() -> None:
    ids = torch.arange(100, 113)
    stream = windows(ids, length=4, batch_size=7, generator=seeded())
    seen = list(itertools.islice(stream, 50))
    assert all(batch.shape == (7, 5) for batch in seen)
    # In the text 100, 101 ... a piece shows where it comes from: from every start, the last one included.
    pieces = {tuple(row) for batch in seen for row in batch.tolist()}
    assert pieces == {tuple(range(start, start + 5)) for start in range(100, 109)}


def test_batches_are_one_epoch_of_matching_rows() -> None:
    x = torch.arange(17)
    seen = list(batches(x, 10 * x[:, None], batch_size=5, generator=seeded()))
    assert [len(a) for a, _ in seen] == [5, 5, 5, 2]
    a, b = (torch.cat(parts) for parts in zip(*seen, strict=True))
    assert torch.equal(b[:, 0], 10 * a)
    assert sorted(a.tolist()) == x.tolist()
    assert a.tolist() != x.tolist()


def test_no_rows_are_no_batches() -> None:
    assert list(batches(torch.empty(0, 3), torch.empty(0), batch_size=5)) == []


# ------------------------------------------------------------------------------------------- made tasks


@pytest.mark.parametrize("batch_size", [1, 17, 64])
def test_order(batch_size: int) -> None:
    inputs, targets = order(batch_size, 7, 11, seeded())
    assert inputs.shape == targets.shape == (batch_size, 8)
    for x, y in zip(inputs.tolist(), targets.tolist(), strict=True):
        assert x[7] == 0
        assert x.count(1) == x.count(2) == 1
        assert all(3 <= token < 11 for token in x[:7] if token > 2)
        assert y == [IGNORE] * 7 + [1 if x.index(1) < x.index(2) else 2]
    half = (batch_size + 1) // 2
    twins = zip(inputs[:half].tolist(), inputs[half:].tolist(), strict=False)
    for i, (a, b) in enumerate(twins):
        assert sorted(a) == sorted(b)
        assert targets[i, -1] != targets[half + i, -1]


def test_order_puts_the_marks_everywhere() -> None:
    inputs, targets = order(2000, 5, 6, seeded())
    for mark in (1, 2):
        share = (inputs[:, :5] == mark).float().mean(0)
        assert (share - 0.2).abs().max() < 0.04
    assert (targets[:, -1] == 1).float().mean() == 0.5
    assert set(inputs[:, :5].flatten().tolist()) == {1, 2, 3, 4, 5}


def test_pair_recall() -> None:
    inputs, targets = pair_recall(211, 7, 13, seeded())
    assert inputs.shape == (211, 14, 2)
    assert targets.shape == (211, 14)
    for x, y in zip(inputs.tolist(), targets.tolist(), strict=True):
        value_of = dict(x[:7])
        assert sorted(value_of) == sorted(key for key, _ in x[7:]) == [1, 2, 3, 4, 5, 6, 7]
        assert y == [IGNORE] * 7 + [value_of[key] for key, _ in x[7:]]
        assert all(value == 0 for _, value in x[7:])
    assert set(targets[:, 7:].flatten().tolist()) == {8, 9, 10, 11, 12}
    places = (inputs[:, :7, 0, None] == inputs[:, None, 7:, 0]).float().mean(0)
    assert (places - 1 / 7).abs().max() < 0.12  # a key is asked anywhere, wherever its pair stood


def test_two_relations() -> None:
    inputs, targets = two_relations(211, 13, 7, seeded())
    assert inputs.shape == targets.shape == (211, 13)
    for x, y in zip(inputs.tolist(), targets.tolist(), strict=True):
        assert x[0] in (1, 2)
        assert x[-1] in (1, 2)
        assert y[0] == y[-1] == IGNORE
        for place in range(1, 12):
            before = next(token for token in reversed(x[:place]) if token in (1, 2))
            after = next(token for token in x[place + 1 :] if token in (1, 2))
            assert y[place] == {(1, 1): 0, (1, 2): 1, (2, 1): 2, (2, 2): 3}[before, after]
    assert set(inputs.flatten().tolist()) == {1, 2, 3, 4, 5, 6}
    assert 0.37 < (inputs[:, 1:-1] <= 2).float().mean() < 0.43
    shares = torch.stack([(targets[:, 1:-1] == answer).float().mean() for answer in range(4)])
    assert (shares - 0.25).abs().max() < 0.03


def test_three_back() -> None:
    inputs, targets = three_back(211, 13, 7, seeded())
    assert inputs.shape == targets.shape == (211, 13)
    for x, y in zip(inputs.tolist(), targets.tolist(), strict=True):
        assert y == [IGNORE, IGNORE, IGNORE, *x[:10]]
    shares = torch.stack([(inputs == symbol).float().mean() for symbol in range(1, 7)])
    assert shares.sum() == pytest.approx(1)
    assert (shares - 1 / 6).abs().max() < 0.03


@pytest.mark.parametrize("task", TASKS)
def test_what_tasks_ask_is_what_the_loss_counts(task: Callable[..., Examples]) -> None:
    inputs, targets = task(3, 5, 13, seeded())
    assert inputs.dtype == targets.dtype == torch.int64
    assert 0 <= inputs.min() <= inputs.max() < 13
    asked = targets != IGNORE
    assert asked.any(1).all()
    assert IGNORE == objectives.IGNORE
    logits = torch.randn(3, targets.shape[1], 13)
    counted = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    assert counted.allclose(F.cross_entropy(logits[asked], targets[asked]))


# ----------------------------------------------------------------------------------------------- images


def test_digits_are_scikit_learns() -> None:
    train, held_out = digits()
    assert (len(train.inputs), len(held_out.inputs)) == (1437, 360)
    pixels, labels = load_digits(return_X_y=True)
    theirs = sorted((*map(float, image), int(label)) for image, label in zip(pixels, labels, strict=True))
    images, classes = (torch.cat(parts) for parts in zip(train, held_out, strict=True))
    assert images.shape == (1797, 1, 8, 8)
    assert torch.equal(held_out.inputs, digits()[1].inputs)
    assert not torch.equal(held_out.inputs, digits(seed=1)[1].inputs)
    assert images.dtype == torch.float32
    assert classes.dtype == torch.int64
    ours = torch.cat([16 * images.flatten(1), classes[:, None]], 1)  # sixteenths are exact in float32
    assert sorted(map(tuple, ours.tolist())) == theirs
    assert (images.min(), images.max()) == (0, 1)


def test_no_digit_is_on_both_sides() -> None:
    train, held_out = ({tuple(x) for x in part.inputs.flatten(1).tolist()} for part in digits())
    assert len(train) + len(held_out) == 1797  # no image twice on one side either
    assert train.isdisjoint(held_out)


def test_every_digit_has_its_share_held_out() -> None:
    train, held_out = (part.targets.bincount(minlength=10) for part in digits(0.3))
    assert ((train + held_out) * 0.3 - held_out).abs().max() <= 1


def test_photographs_are_scikit_learns() -> None:
    found = photographs()
    assert list(found) == ["China", "Flower"]
    for name, image in found.items():
        theirs = load_sample_image(f"{name.lower()}.jpg")  # height, width, colour
        assert image.dtype == torch.float32
        assert np.array_equal((255 * image).round().byte().numpy(), np.moveaxis(theirs, 2, 0))
        assert 0 <= image.min() < image.max() <= 1


# ----------------------------------------------------------------------------------------- translations


@pytest.fixture(scope="module")
def drawn() -> Translations:
    return translations(4000, seeded())


def sentences_of(drawn: Translations, side: tuple[torch.Tensor, torch.Tensor]) -> list[Pair]:
    """The words in English and in German, without the marks for start and end."""
    languages = zip((drawn.english, drawn.german), side, strict=True)
    english, german = ([vocabulary.decode(row[row > 1]) for row in rows] for vocabulary, rows in languages)
    return list(zip(english, german, strict=True))


@pytest.fixture(scope="module")
def pairs(drawn: Translations) -> list[Pair]:
    return sentences_of(drawn, drawn.held_out) + sentences_of(drawn, drawn.train)


def test_no_pair_leaks(drawn: Translations, pairs: list[Pair]) -> None:
    assert 3900 < len(pairs) < 4000  # a few were drawn twice
    assert len(drawn.held_out[0]) == len(drawn.held_out[1]) == len(pairs) // 10
    for language in (0, 1):
        assert len({" ".join(pair[language]) for pair in pairs}) == len(pairs)


def test_there_are_as_many_sentences_as_is_said() -> None:
    grammar = yaml.safe_load((Path(data.__file__).parent / "english_german.yml").read_text(encoding="utf-8"))
    n = {name: len(entries) for name, entries in grammar.items()}
    of_a_thing = n["determiners"] * n["adjectives"] * n["things"]
    assert n["frames"] * n["verbs"] * n["determiners"] * n["persons"] * of_a_thing == 165_888


def test_pairs_come_in_random_order(drawn: Translations) -> None:
    for side in (drawn.train, drawn.held_out):
        starts = side[0][:, 0]
        assert (starts[1:] != starts[:-1]).float().mean() > 0.5  # sorted pairs would change eight times


# The declension of der and ein with an adjective, from a grammar book: nominative, accusative.
NOMINATIVE = {"the": {"m": "der", "f": "die", "n": "das"}, "a": {"m": "ein", "f": "eine", "n": "ein"}}
ACCUSATIVE = {"the": {**NOMINATIVE["the"], "m": "den"}, "a": {**NOMINATIVE["a"], "m": "einen"}}
ENDINGS = {"the": {"m": "en", "f": "e", "n": "e"}, "a": {"m": "en", "f": "e", "n": "es"}}  # accusative
NOUNS = {
    "m": "Mann Bruder Lehrer Bäcker Hut Tisch Schlüssel Brief",
    "f": "Frau Schwester Königin Lampe Tasche Uhr Gitarre",
    "n": "Kind Mädchen Buch Bild Fahrrad Boot",
}
GENDERS = {noun: gender for gender, nouns in NOUNS.items() for noun in nouns.split()}


def test_german_articles_and_adjectives_agree(pairs: list[Pair]) -> None:
    seen = set()
    for english, german in pairs:
        subject, thing = (place for place, word in enumerate(german) if word in GENDERS)
        first, second = (word for word in english if word in NOMINATIVE)
        assert german[subject - 1] == NOMINATIVE[first][GENDERS[german[subject]]], german
        gender = GENDERS[german[thing]]
        assert german[thing - 2] == ACCUSATIVE[second][gender], german
        stem = re.sub("(e|en|es)$", "", german[thing - 1])
        assert stem in ["neu", "rot", "blau", "grün", "schwarz", "klein", "schwer", "schön"]
        assert german[thing - 1] == stem + ENDINGS[second][gender], german
        seen |= {("subject", first, GENDERS[german[subject]]), ("object", second, gender)}
    assert len(seen) == 2 * 2 * 3


def test_german_verbs_stand_where_they_must(pairs: list[Pair]) -> None:
    helpers = {"hat", "wird", "kann"}
    forms = Counter()
    for english, german in pairs:
        subject, thing = (place for place, word in enumerate(german) if word in GENDERS)
        finite = [place for place, word in enumerate(german) if word in helpers]
        assert subject < thing
        if "dass" in german:  # the verb is last, after the object
            forms["last"] += 1
            assert german[:4] == ["wir", "wissen", ",", "dass"]
            assert finite == []
            assert thing == len(german) - 2
        elif german[-1] == "?":  # the finite verb is first
            forms["first"] += 1
            assert english[-1] == "?"
            assert finite == [0]
            assert thing == len(german) - 3
        else:  # the finite verb is second: after the subject, or before it if something else is first
            forms["second"] += 1
            second = 1 if german[0] in ("gestern", "bald") else 2
            assert second in (subject - 2, subject + 1)
            assert finite in ([], [second])
            assert len(german) - thing - 1 == len(finite)  # its other half is last
    assert min(forms["last"], forms["first"], forms["second"]) > 400


def test_german_says_what_the_english_says(pairs: list[Pair]) -> None:
    # A bicycle is always a Fahrrad, and nothing else is one: by hand.
    known = (
        "woman Frau child Kind teacher Lehrer queen Königin bicycle Fahrrad key Schlüssel clock Uhr "
        "yesterday gestern soon bald can kann know wissen has hat will wird"
    )
    words = known.split()
    for english, german in pairs:
        for word, translation in zip(words[::2], words[1::2], strict=True):
            assert (word in english) == (translation in german), (english, german)
        if "sold" in english or "sell" in english:
            assert {"verkaufte", "verkauft", "verkaufen"} & set(german)
        for past, translation in (("stole", "stahl"), ("saw", "sah"), ("lost", "verlor")):
            assert (past in english and "has" not in english) == (translation in german), (english, german)
        assert ("stolen" in english) == ("gestohlen" in german), (english, german)


def test_english_needs_no_an(pairs: list[Pair]) -> None:
    after_a = {b for english, _ in pairs for a, b in itertools.pairwise(english) if a == "a"}
    assert len(after_a) == 8 + 9  # adjectives and persons
    assert not [word for word in after_a if word[0] in "aeiou"]


def test_rows_of_words_are_ready_for_a_translator(drawn: Translations) -> None:
    end, start, unknown = range(3)
    for language, vocabulary in enumerate((drawn.english, drawn.german)):
        train, held_out = drawn.train[language], drawn.held_out[language]
        assert vocabulary.decode([end, start, unknown]) == ["<end>", "<start>", "<unknown>"]
        assert set(held_out.unique().tolist()) <= set(train.unique().tolist())  # training teaches every word
        for rows in (train, held_out):
            assert unknown not in rows
            assert ((rows[:, :-1] != end) | (rows[:, 1:] == end)).all()  # nothing follows the end
            assert (rows[:, 0] == start).all() if language else start not in rows
            assert (rows[:, -1] == end).all() if language else (rows[:, -1] != end).any()


# ----------------------------------------------------------------------------------------------- sounds


def spectra(waves: torch.Tensor) -> torch.Tensor:
    """Loudness by frequency of the three notes, (N, 3, 401): bins of 10 Hz."""
    return torch.fft.rfft(waves.view(-1, 3, 800)).abs()


def test_sounds_have_the_contour_of_their_class() -> None:
    waves, classes = sounds(400, noise=0.0, generator=seeded())
    assert waves.shape == (400, 2400)
    assert waves.dtype == torch.float32
    assert set(classes.tolist()) == {0, 1, 2, 3}
    # Pitch by autocorrelation: the shortest delay, from 1 / 800 to 1 / 182 s, at which a note repeats itself.
    notes = waves.view(400, 3, 800)
    delays = torch.arange(10, 45)
    alike = torch.stack([(notes[..., d:] * notes[..., :-d]).mean(-1) for d in delays.tolist()], -1)
    best = alike.amax(-1, keepdim=True)
    pitch = 8000 / delays[(alike > 0.9 * best).int().argmax(-1)]
    orders = torch.tensor(list(CONTOURS.values()))[classes]
    right = (pitch.argsort(1).argsort(1) == orders).all(1)
    assert right.float().mean() > 0.95


def test_the_notes_alone_do_not_tell_the_contour() -> None:
    waves, classes = sounds(1000, generator=seeded())
    notes = (1 + spectra(waves)).log()[..., 18:80]
    model = LogisticRegression(C=0.01, max_iter=2000)

    def score(features: torch.Tensor) -> float:
        return model.fit(features[:700], classes[:700]).score(features[700:], classes[700:])

    assert score(notes.mean(1)) < 0.35  # what a bag of frames keeps; chance is 0.25
    assert score(notes.flatten(1)) > 0.7


def test_pitches_and_steps_are_in_their_ranges() -> None:
    waves, classes = sounds(300, noise=0.0, generator=seeded())
    rising = waves[classes == 0].view(-1, 3, 800)
    spectrum = torch.fft.rfft(rising * torch.hann_window(800), n=8000).abs()[..., : 400 * 2]  # bins of 1 Hz
    fundamental = torch.stack([spectrum[..., 190:760].argmax(-1)], -1)[..., 0] + 190.0
    clear = ((fundamental[:, 0] < 410) & (fundamental.diff(dim=1) > 0).all(1)).nonzero()[:, 0]
    steps = 12 * (fundamental[:, 1:] / fundamental[:, :-1]).log2()[clear]
    inside = ((steps > 2.8) & (steps < 5.2)).float().mean()
    assert len(clear) > 20
    assert inside > 0.8


def test_sounds_stay_in_range_and_differ_in_loudness() -> None:
    waves, _ = sounds(200, noise=1.0, generator=seeded())
    assert waves.abs().max() == 1  # cut off
    quiet, _ = sounds(200, noise=0.0, generator=seeded())
    loudness = quiet.abs().amax(1)
    assert 0.19 < loudness.min() < 0.3
    assert 0.7 < loudness.max() < 0.81


def test_noise_is_beside_the_melody() -> None:
    (clean, classes), (noisy, same) = (sounds(50, noise, seeded()) for noise in (0.0, 0.1))
    assert torch.equal(classes, same)
    scale = clean.abs().amax(1, keepdim=True)
    assert ((noisy - clean) / scale).std().item() == pytest.approx(0.1, rel=0.03)


# ---------------------------------------------------------------------------------------------- reviews


def words_of(review: Review) -> list[str]:
    return re.findall(r"[a-z0-9'-]+", review.text.lower())


def test_reviews_are_balanced_on_both_sides() -> None:
    train, held_out = reviews()
    assert (len(train), len(held_out)) == (364, 84)
    for side in (train, held_out):
        counts = Counter((review.topic, review.positive) for review in side)
        assert len(counts) == 28  # 14 topics, two verdicts
        assert len(set(counts.values())) == 1


def test_reviews_are_sentences_of_8_to_30_words() -> None:
    for review in itertools.chain(*reviews()):
        assert 8 <= len(words_of(review)) <= 30, review.text
        assert review.text[0].isupper(), review.text
        assert review.text[-1] == ".", review.text
        assert review.text.isascii(), review.text


def test_no_review_resembles_another() -> None:
    sets = [set(words_of(review)) for review in itertools.chain(*reviews())]
    likeness = [len(a & b) / len(a | b) for a, b in itertools.combinations(sets, 2)]
    assert max(likeness) < 0.5
    runs = Counter(
        run for side in reviews() for r in side for run in {tuple(words_of(r)[i : i + 6]) for i in range(25)}
    )
    assert [run for run, count in runs.items() if len(run) == 6 and count > 1] == []


def test_verdicts_are_where_the_words_say_so() -> None:
    verdict = {review.text: review.positive for review in itertools.chain(*reviews())}
    assert verdict["Not bad at all for a film that was shot in eleven days with borrowed cameras."]
    assert not verdict["The alarm clock is wonderful as long as you do not need to wake up."]


def test_words_alone_tell_much_but_not_all() -> None:
    rows = [*itertools.chain(*reviews())]
    model = make_pipeline(CountVectorizer(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(7, shuffle=True, random_state=0)
    scores = cross_val_score(model, [r.text for r in rows], [r.positive for r in rows], cv=folds)
    assert 0.65 < scores.mean() < 0.9
    train, held_out = reviews()
    model.fit([r.text for r in train], [r.positive for r in train])
    assert 0.6 < model.score([r.text for r in held_out], [r.positive for r in held_out]) < 0.95


@pytest.mark.parametrize(
    "name",
    ["reviews.yml", "english_german.yml", "languages.yml", "compounds.yml", "cities.yml", "questions.yml"],
)
def test_what_we_wrote_says_its_licence(name: str) -> None:
    text = (Path(data.__file__).parent / name).read_text(encoding="utf-8")
    assert "# Licence: CC BY 4.0" in text


# -------------------------------------------------------------------------------------------- languages


def test_languages_are_many_and_in_many_scripts() -> None:
    found = languages()
    assert next(iter(found)) == "English"
    assert len(found) == len(set(found.values())) == 20
    letters = [unicodedata.name(letter) for text in found.values() for letter in text if letter.isalpha()]
    scripts = {name.split()[0] for name in letters}
    assert len(scripts) >= 10
    assert all(unicodedata.normalize("NFC", text) == text for text in found.values())


# -------------------------------------------------------------------------------------------- questions

SMALL = {"and", "are", "can", "for", "from", "how", "that", "the", "what", "when", "which", "will", "with"}


def stems(text: str) -> set[str]:
    return {word[:5] for word in re.findall("[a-z]{3,}", text.lower()) if word not in SMALL}


def test_questions_share_a_word_with_their_answers_or_do_not() -> None:
    texts, found = questions()
    for question in found:
        shared = [bool(stems(question.asks) & stems(texts[number])) for number in question.right]
        assert shared == [question.same_words] * len(question.right), question.asks


def test_questions_are_many_enough() -> None:
    texts, found = questions()
    assert len(texts) == 436
    assert len(found) == 25
    assert sum(question.same_words for question in found) >= 8
    assert sum(not question.same_words for question in found) >= 12
    assert all(1 <= len(question.right) <= 2 for question in found)


# -------------------------------------------------------------------------------------------- compounds


def test_compounds_are_two_words_each() -> None:
    found = compounds()
    assert 80 <= len(found) <= 100
    assert all(word.isalpha() and word.islower() and word.isascii() for word in found)
    assert all(2 < seam < len(word) - 2 for word, seam in found.items())
    assert (found["strawberry"], found["butterfly"]) == (5, 6)


def test_no_compound_is_listed_twice() -> None:
    text = (Path(data.__file__).parent / "compounds.yml").read_text(encoding="utf-8")
    assert len(re.findall(r"[a-z]+\|[a-z]+", text)) == len(compounds())


# -------------------------------------------------------------------------------------------- cities


def test_cities_lie_in_europe_and_no_two_in_one_place() -> None:
    found = cities()
    text = (Path(data.__file__).parent / "cities.yml").read_text(encoding="utf-8")
    assert len(re.findall(r"^[a-z]+: \[", text, flags=re.MULTILINE)) == len(found) == 68
    assert len(set(found.values())) == len(found)
    assert all(35 < latitude < 61 and -10 < longitude < 38 for latitude, longitude in found.values())
    assert found["lisbon"][1] < found["madrid"][1] < found["rome"][1] < found["istanbul"][1]
    assert found["seville"][0] < found["rome"][0] < found["berlin"][0] < found["oslo"][0]


# --------------------------------------------------------------------------------------- bad input


# Errors come with the call, not with the first batch.
@pytest.mark.parametrize(("call", "message"), [
    (lambda: sentences({"a": "Text."}, n_words=0), "a sentence has at least one word; n_words is 0"),
    (lambda: Vocabulary([["a"]], size=2),
     "a vocabulary with 2 special tokens needs a size above that; got 2"),
    (lambda: Vocabulary([["to"]], 5, special=("<pad>",)),
     "special must name '<unknown>', for words without a number; got ('<pad>',)"),
    (lambda: Vocabulary([["two"]], size=3).encode("Two words"),
     "encode needs a list of words, not one string: try 'Two words'.lower().split()"),
    (lambda: Vocabulary([["two"]], size=3).decode([2, 3, -1]),
     "the vocabulary has the numbers 0 to 2; got 3, -1"),
    (lambda: characters("", 0.1), "cannot hold out 0.1 of a text of 0 characters: a side is empty"),
    (lambda: characters("a", 0.1), "cannot hold out 0.1 of a text of 1 characters: a side is empty"),
    (lambda: characters("some text", -0.5), "cannot hold out -0.5 of a text of 9"),
    (lambda: characters("some text", 1.0), "cannot hold out 1.0 of a text of 9 characters"),
    (lambda: digits(0.0), "held_out must be a share above 0 and below 1; got 0.0"),
    (lambda: digits(1.0), "held_out must be a share above 0 and below 1; got 1.0"),
    (lambda: windows(torch.arange(7), length=0, batch_size=2), "length must be at least 1; got 0"),
    (lambda: windows(torch.arange(7), length=2, batch_size=0), "batch_size must be at least 1; got 0"),
    (lambda: windows(torch.arange(5), length=5, batch_size=2),
     "a window of 5 + 1 tokens does not fit into a text of 5"),
    (lambda: batches(torch.arange(7), batch_size=0), "batch_size must be at least 1; got 0"),
    (lambda: batches(torch.arange(7), torch.arange(5), batch_size=2),
     "batches needs tensors with equally many rows; got [5, 7]"),
    (lambda: batches(batch_size=2), "batches needs tensors with equally many rows; got []"),
    (lambda: translations(0), "n must be at least 1; got 0"),
    (lambda: sounds(0), "n must be at least 1; got 0"),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_bad_input(own_errors: None, call: Callable[[], object], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}"):
        call()


@pytest.mark.parametrize(
    ("task", "length", "vocab_size"),
    [(pair_recall, 1, 8), (order, 2, 4), (two_relations, 3, 4), (three_back, 4, 3)],
)
def test_the_smallest_tasks(task: Callable[..., Examples], length: int, vocab_size: int) -> None:
    """The smallest vocabulary at length 5: that of `pair_recall` grows with the length."""
    assert len(task(2, length, 13).inputs) == 2
    assert task(19, 5, vocab_size).inputs.max() < vocab_size
    for sizes, name, least in (
        ((0, 5, 13), "batch_size", 1),
        ((2, length - 1, 13), "length", length),
        ((2, 5, vocab_size - 1), "vocab_size", vocab_size),
    ):
        with pytest.raises(ValueError, match=f"^{name} must be at least {least}; got {least - 1}$"):
            task(*sizes)
