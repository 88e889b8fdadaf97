"""The experiments of notebook 01, from another seed and with something broken; what they are made of."""

import random
from dataclasses import replace
from statistics import mean

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from judged import judged

from course_lib import data, embeddings
from course_lib.bpe import BPETokenizer, byte_characters
from course_lib.claims import Label
from course_lib.concepts.c01_tokens import experiments
from course_lib.concepts.c01_tokens.experiments import (
    COMMON,
    OCCURS,
    LearnedEmbeddings,
    Twins,
    is_random_a_bad_start,
)
from course_lib.training import starts_of

SEED = 11


def shuffled(numbered):
    """The same words, in any company."""
    flat = [number for row in numbered for number in row]
    random.Random(SEED).shuffle(flat)
    rest = iter(flat)
    return [[next(rest) for _ in row] for row in numbered]


# ------------------------------------------------------------------------------------------ subwords


def test_subwords():
    found = experiments.subwords(SEED)
    assert judged("subwords", found) == (Label.TRUE, ["word_list"])
    # Each doubling gains most on texts like those that it was trained on.
    assert found.per_token["Python's modules"][-1] > found.shorter
    assert found.listed > 1.5


def without_some_bytes(text, size):
    """A vocabulary that lacks the bytes of all letters but the common ones."""
    tokens = BPETokenizer.train(text[:20_000], 296).tokens
    return BPETokenizer([token for token in tokens if token.isascii()], [])


@pytest.mark.parametrize(
    ("train", "number"),
    [
        (without_some_bytes, "lost"),
        (lambda text, size: BPETokenizer.train(text[:20_000].swapcase(), size), "same_merges"),
    ],
)
def test_who_drops_bytes_or_learns_other_merges_is_noticed(train, number):
    label, missed = judged("subwords", experiments.subwords(SEED, train=train))
    assert label == Label.WRONG
    assert number in missed


def test_the_obvious_trainer_counts_anew_and_takes_the_first_of_equals():
    assert experiments.obvious_merges("hug pug hugs", 2) == [("u", "g"), ("h", "ug")]
    assert experiments.obvious_merges("ba dc", 1) == [("b", "a")]


def test_a_smaller_tokenizer_is_the_one_that_less_training_gives():
    text = data.python_topics()["strings"]
    whole, part = BPETokenizer.train(text, 400), BPETokenizer.train(text, 307)
    assert experiments.smaller(whole, 307).merges == part.merges
    assert experiments.smaller(whole, 307).tokens == part.tokens


# ------------------------------------------------------------------------------------------ compounds


def test_compounds(smollm2):
    found = experiments.compounds(smollm2, SEED)
    label, missed = judged("compounds", found)
    assert label == Label.ONLY_IF
    assert set(missed) <= {"ahead"}  # whether it is ahead of the rival hangs by a point or two
    assert found.shares["rarest letter pair"][-1] > found.by_chance + 0.2


def test_a_tokenizer_that_does_not_heed_spaces_is_refused(smollm2):
    def train(text, size):
        return BPETokenizer.train(text[:100_000], size, pattern=r"(?s:.{1,60})")

    label, missed = judged("compounds", experiments.compounds(smollm2, SEED, train=train))
    assert label == Label.WRONG
    assert "across" in missed


def test_who_has_often_read_the_parts_is_surely_ahead_of_letter_pairs(smollm2):
    parts = [(word[:at], word[at:]) for word, at in data.compounds().items()]

    def train(text, size):
        return BPETokenizer.train(" ".join(f" {a} ({b})" for a, b in parts) * 50 + text[:20_000], size)

    missed = judged("compounds", experiments.compounds(smollm2, SEED, train=train)).missed
    assert "ahead" in missed
    assert set(missed) <= {"ahead", "exact"}  # nor does it cut them into smaller pieces


def test_cuts_are_counted_in_letters_behind_the_space():
    letters = BPETokenizer(list(byte_characters().values()), [])
    assert experiments.cuts(letters, "abc") == [1, 2]
    assert experiments.cuts(BPETokenizer.train(" rain rain bow rainy", 300), "rain") == []
    assert experiments.cuts(BPETokenizer.train(" rain rain (bow) (bow)", 300), "rainbow") == [4]


# ------------------------------------------------------------------------------------------ lookup


@pytest.mark.parametrize("real", [True, False], ids=["SmolLM2", "random"])
def test_lookup(smollm2, real):
    model, tokenizer = smollm2
    special = list(tokenizer.special_tokens.values())
    row = tokenizer.special_tokens["<file_sep>"]
    table = model.token_embedding.weight.detach() if real else torch.randn(len(special) + 500, 7)
    unit = F.normalize(table, dim=1)
    alike = unit @ unit[row] > 0.99
    alike[special] = False
    twins = int(alike.sum())
    times = table.unique(dim=0, return_counts=True)[1]
    ids = torch.tensor([3, 0, 3])
    difference = (F.embedding(ids, table[:5]) - F.one_hot(ids, 5).float() @ table[:5]).abs().max()
    copies = int(times[times > 1].sum())
    assert judged("lookup", difference=difference, twins=twins, copies=copies, elsewhere=0).label == (
        Label.ONLY_IF if real else Label.TRUE
    )


# ------------------------------------------------------------------------------------------ company


def test_company():
    found = experiments.company(SEED)
    assert judged("company", found) == (Label.ONLY_IF, [])
    assert (
        0.2 < found.counted[2] < 0.9
    )  # of words that occur 40 to 80 times neither hardly any nor nearly all


def test_vectors_that_know_no_company_find_no_twin():
    def count(numbered, size):
        return np.random.default_rng(SEED).normal(size=(size, 17))

    assert judged("company", experiments.company(SEED, n_words=5, count=count)) == (Label.WRONG, ["common"])


def test_where_shuffled_words_find_their_twin_nothing_was_tested():
    def count(numbered, size):  # it has peeped: each word and its twin get the same vector
        words = experiments.twins(SEED, 5).vocabulary.tokens
        rows = {word: i for i, word in enumerate(words)}
        return np.eye(size)[[rows.get(word.rstrip("*"), i) for i, word in enumerate(words)]]

    assert judged("company", experiments.company(SEED, n_words=5, count=count)).label == Label.NOT_TESTED


def test_a_twin_takes_half_of_the_places():
    made = experiments.twins(SEED, 3)
    assert [len(group) for group in made.groups] == [3] * len(OCCURS)
    (word, *_) = made.groups[-1]
    own, twin = (made.vocabulary.encode([name])[0] for name in (word, word + "*"))
    n_own, n_twin = (sum(row.count(number) for row in made.numbered) for number in (own, twin))
    assert n_own + n_twin == sum(words.count(word) for words in experiments.texts())
    assert 0.4 < n_own / (n_own + n_twin) < 0.6
    assert made.groups != experiments.twins(SEED + 1, 3).groups


def test_a_twin_is_found_where_it_is_the_nearest():
    vocabulary = data.Vocabulary([["a", "a*", "b", "b*"]], 6)
    made = Twins([["a", "b"], ["c", "a"]], vocabulary, [])
    vectors = np.array([[0, 0, 1], [0, 0, 1], [1, 0.1, 0], [1, 0, 0], [0.9, 0.2, 0], [0, 1, 0]])
    assert vocabulary.tokens[2:] == ["a", "a*", "b", "b*"]
    assert made.found(vectors) == (0.5, 0.5)  # nobody has a row for c


# ------------------------------------------------------------------------------------------ counting


def test_counting(minilm):
    found = experiments.counting(minilm, SEED)
    assert judged("counting", found) == (Label.TRUE, ["ahead", "spelling"])
    assert 0.4 < found.spelling < 0.7  # near chance for the pairs that nobody chose by their letters
    assert len(found.spelled[0]) > 400
    assert len(found.chosen[0]) == 24


def test_counts_of_shuffled_words_know_nothing(minilm):
    def count(numbered, size):
        return experiments.counted(shuffled(numbered), size)

    label, missed = judged("counting", experiments.counting(minilm, SEED, count=count))
    assert label == Label.WRONG
    assert {"related", "shared"} <= set(missed)


def test_logarithms_of_counts_are_not_ahead_of_themselves(minilm):
    def count(numbered, size):
        return np.log1p(embeddings.cooccurrence(numbered, size, window=2).toarray())

    found = experiments.counting(minilm, SEED, count=count)
    assert found.ahead == 0
    assert judged("counting", found).label == Label.NOT_ONLY_WAY


def test_a_partner_is_nearer_than_those_of_other_pairs():
    vectors = np.array([[1.0, 0], [2, 0.2], [0, 1], [3, 1], [1, 1]])
    assert experiments.nearer(vectors, [(0, 1), (2, 3), (4, 3)]) == (1.0, 0.5, 0.5)


def test_a_table_agrees_with_itself():
    table = np.random.default_rng(3).normal(size=(13, 7))
    assert experiments.agreement(table, 2 * table) == pytest.approx((1.0, 1.0))
    assert experiments.agreement(table, -table)[1] == pytest.approx(1.0)
    same, ranks = experiments.agreement(table, table[::-1])
    assert same < 0.8
    assert abs(ranks) < 0.5


@pytest.mark.parametrize("real", [True, False], ids=["MiniLM", "random"])
def test_downloaded(minilm, real):
    model, wordpiece = minilm
    table = model.token_embedding.weight.detach() if real else torch.zeros(len(wordpiece.tokens), 7)
    unit = F.normalize(table - table.mean(0), dim=1)
    coffee, tea, window = (unit[wordpiece.tokens.index(word)] for word in ("coffee", "tea", "window"))
    label, _ = judged("downloaded", rows=len(table), near=coffee @ tea - coffee @ window)
    assert label == (Label.TRUE if real else Label.WRONG)


# ------------------------------------------------------------------------------------------ learned


@pytest.fixture(scope="module")
def learning() -> LearnedEmbeddings:
    return experiments.learned_embeddings(SEED)


def test_learned_embeddings(learning):
    assert judged("learned-embeddings", learning) == (Label.NOT_ONLY_WAY, [])
    assert mean(learning.learned[:2]) < mean(learning.learned[COMMON:]) - 0.3


def test_a_network_that_is_not_trained_finds_no_twin():
    def learn(numbered, size, seed, steps):
        return experiments.learned(numbered, size, seed, steps=0)

    label, missed = judged("learned-embeddings", experiments.learned_embeddings(SEED, n_words=5, learn=learn))
    assert label == Label.WRONG
    assert {"common", "by_rule", "alike"} == set(missed)


def test_learning_follows_the_seed_and_leaves_torch_as_it_was():
    before = torch.get_rng_state()
    numbered = [[2, 3, 4, 5] * 20, [3, 5, 2] * 11]
    first, again, other = (experiments.learned(numbered, 7, seed, steps=2) for seed in (3, 3, 5))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


# ------------------------------------------------------------------------------------------ the start


@pytest.fixture(scope="module")
def starts(loaded_minilm):
    return experiments.random_or_pretrained(loaded_minilm, SEED, starts=4)


@pytest.fixture(scope="module")
def made(loaded_minilm):
    return experiments.written(loaded_minilm)


def test_random_or_pretrained(starts):
    label, missed = judged("random-or-pretrained", starts)
    assert label == Label.ONLY_IF
    assert set(missed) <= {"over_longer", "over_words"}  # for certain only with more starts
    assert all(len(curve) == 3 for curves in starts.curves.values() for curve in curves)
    assert starts.unknown > 0.5
    # What the notebook says beside it: with 16 reviews all know little; 64 are worth 256.
    by_table = {name: np.mean(curves, axis=0) for name, curves in starts.curves.items()}
    assert all(shares[0] < 0.68 for shares in by_table.values())
    assert abs(by_table["MiniLM's"][1] - by_table["random"][2]) < 0.08


def test_a_table_whose_words_are_mixed_up_gains_nothing(starts, made):
    """Against what the other tables gave: all else is as it was."""
    dice, curves = torch.Generator().manual_seed(SEED), []
    for start, (fewest, *_) in zip(starts_of(SEED, 4), starts.curves["MiniLM's"], strict=True):
        table = made.pretrained[torch.randperm(len(made.pretrained), generator=dice)]
        curves.append((fewest, *(experiments.right(made, table, start, n, 40) for n in (64, 256))))
    broken = replace(starts, curves=starts.curves | {"MiniLM's": tuple(curves)})
    label, missed = judged("random-or-pretrained", broken)
    assert label == Label.WRONG
    assert "gain" in missed


def test_each_table_has_its_best_rate_and_a_random_one_more_steps(loaded_minilm, made, monkeypatch):
    taken = []

    def right(made, table, start, n, steps, make, train):
        taken.append(steps)
        return train.keywords["rate"]

    monkeypatch.setattr(is_random_a_bad_start, "written", lambda minilm: made)
    monkeypatch.setattr(is_random_a_bad_start, "right", right)
    how = {"starts": 1, "steps": 2, "longer": 7, "rates": (0.1, 0.3, 0.2)}
    found = experiments.random_or_pretrained(loaded_minilm, SEED, **how)
    assert set(found.curves.values()) == {((0.3, 0.3, 0.3),)}
    assert found.longer == (0.3,)
    assert taken == [2] * 27 + [7] * 3


def test_where_counting_gives_as_good_a_table_no_rider_is_needed(starts):
    curves = starts.curves | {"counted": starts.curves["MiniLM's"]}
    assert judged("random-or-pretrained", replace(starts, curves=curves)).label != Label.ONLY_IF


def test_each_start_holds_out_other_reviews(made):
    learn, test = made.split(3, 64)
    assert len(learn) == 64
    assert len(test) == 192
    assert not set(learn.tolist()) & set(test.tolist())
    assert made.split(4, 64)[1].tolist() != test.tolist()
    tables = made.tables(3)
    assert {table.shape for table in tables.values()} == {made.pretrained.shape}
    own = sorted(made.counted)
    assert torch.equal(tables["counted"][own], torch.stack([made.counted[place] for place in own]))
    assert not torch.equal(tables["random"], made.tables(4)["random"])
    assert made.pretrained.std().item() == pytest.approx(0.5)


def test_a_reader_reads_no_padding():
    with torch.random.fork_rng():
        model = experiments.Reader(torch.randn(11, 64))
    ids = torch.tensor([[3, 7, 2]])
    torch.testing.assert_close(model(ids), model(F.pad(ids, (0, 2))))


# ------------------------------------------------------------------------------------------ real tokenizers


def test_the_price_of_a_language(smollm2):
    sentences = data.languages()
    price = {name: len(smollm2[1].encode(sentence)) for name, sentence in sentences.items()}
    assert max(price, key=price.get) == "Tamil"
    assert price["Tamil"] > 7 * price["English"]
    assert 2.8 < len(sentences["Tamil"].encode()) / len(sentences["English"].encode()) < 3


def test_what_real_tokenizers_keep(smollm2, minilm):
    ours, theirs = smollm2[1], minilm[1]
    assert len(ours.encode("HELLO")) > len(ours.encode("hello"))
    assert ours.pieces("12345") == list("12345")
    assert ours.decode(ours.encode("HELLO  喝")) == "HELLO  喝"
    assert theirs.encode("HÉLLO  ") == theirs.encode("hello")
    assert "[UNK]" in theirs.pieces("👩‍👩‍👧‍👦")


# ------------------------------------------------------------------------------------------ rows


def test_a_token_that_was_never_trained_is_mute_and_its_pieces_are_not(smollm2):
    tokenizer = smollm2[1]
    (ghost,) = tokenizer.encode("swigfaiss")
    assert experiments.silent(smollm2, [ghost]) == 1
    assert experiments.silent(smollm2, [tokenizer.encode("dentist")[-1]]) == 0
    assert experiments.answer(smollm2, 'Tell me a story about "swigfaiss".', 8) == 'The story of "'
    assert "<|im_end|>" in experiments.answer(smollm2, 'Tell me a story about "swigfaiss".', 8, stop=False)
    said = experiments.story_about(smollm2, [tokenizer.encode(piece)[0] for piece in ("Sw", "ig", "faiss")])
    assert len(said) > 20


def test_what_is_learned_next_are_other_words(smollm2):
    tokenizer = smollm2[1]
    tokens = [tokenizer.encode(piece)[0] for piece in ("swigfaiss", "swigfaiss", "Plane")]
    found = experiments.learned_next(tokenizer, tokens)
    assert len({*found, *tokens}) == 5
    assert all(tokenizer.decode([token]).isalpha() for token in found)


def test_an_own_way_to_cut_is_that_of_the_question_alone(smollm2):
    question = "What is the capital of France?"
    tokenizer = smollm2[1]
    own = experiments.answer(smollm2, question, 8, encode=tokenizer.encode)
    assert own == experiments.answer(smollm2, question, 8) == "The capital of France is Paris."
    letters = experiments.with_merges(tokenizer, 0)
    assert "Paris" not in experiments.answer(smollm2, question, 8, encode=letters.encode)


def test_a_tokenizer_with_fewer_merges_has_the_same_numbers(smollm2):
    tokenizer = smollm2[1]
    assert experiments.with_merges(tokenizer, 0).pieces("Paris 12") == [*"Paris 12"]
    whole = experiments.with_merges(tokenizer, len(tokenizer.merges))
    assert whole.encode("the berries, 12 🍓") == tokenizer.encode("the berries, 12 🍓")
    some = experiments.with_merges(tokenizer, 500)
    assert tokenizer.decode(some.encode("the berries")) == "the berries"


def test_words_as_bytes():
    assert experiments.as_bytes("a ré") == [["a"], ["Ġ", "r", "Ã", "©"]]


def test_a_table_is_kept_whatever_happens(smollm2):
    table = smollm2[0].token_embedding.weight
    before = table.detach()[:3].clone()

    def swap_and_fail():
        with experiments.table_kept(smollm2[0]) as rows:
            rows[[0, 1]] = rows[[1, 0]]
            assert not torch.equal(table[:3], before)
            raise KeyError("swapped")

    with pytest.raises(KeyError, match="swapped"):
        swap_and_fail()
    assert torch.equal(table[:3], before)


def test_the_chances_of_kinds_follow_the_sentence(smollm2):
    found = experiments.kinds(smollm2, "Berlin")
    assert [*found] == ["an animal", "a city", "food"]
    assert max(found, key=found.get) == "a city"
    assert sum(found.values()) < 1


class Smallest(torch.nn.Module):
    """As in the notebook's cell."""

    def __init__(self, n_tokens, d_model=64):
        super().__init__()
        self.rows = torch.nn.Parameter(0.02 * torch.randn(n_tokens, d_model))
        self.matrix = torch.nn.Linear(d_model, d_model)

    def forward(self, tokens):
        return self.matrix(self.rows[tokens]) @ self.rows.T


def test_rows_that_never_occur_fall_together():
    half = experiments.half_read()
    assert not {*half.never.tolist()} & {*half.pairs.flatten().tolist()}
    torch.manual_seed(SEED)
    net = Smallest(half.tokenizer.vocab_size)
    assert abs(experiments.alike(net.rows[half.never])) < 0.05
    experiments.next_words(net, half.pairs, steps=60, rate=0.005)
    assert experiments.alike(net.rows[half.never]) > 0.95


def test_alike_and_nearest():
    rows = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [0.0, 1.0]])
    assert experiments.alike(rows) == pytest.approx(2 / 6)
    assert experiments.nearest(rows, 0, torch.arange(4), 1) == [1]


def test_letters_can_be_read_from_rows(smollm2):
    read = experiments.letters_in_rows(smollm2, SEED)
    assert read.right["first"] > 0.7 > 0.3 > read.commonest["first"]
    assert read.right["third"] < 0.3
    assert read.n > 1000


def test_letters_in_sight_are_copied(smollm2):
    words = experiments.words_to_spell(smollm2[1], n=4)
    assert all(5 <= len(word) <= 8 for word in words)
    blind = experiments.spelled(smollm2, words)
    sighted = experiments.spelled(smollm2, words, in_sight=True)
    assert [*blind.said] == [*sighted.said] == words
    assert sighted.whole > blind.whole
    assert len(blind.places) == 4


def test_years_stand_in_order(minilm):
    found, rows, at = experiments.years(minilm)
    assert found == sorted(found)
    assert {1914, 1945} <= {*found}
    assert rows.shape == (len(found), 384)
    assert [minilm[1].tokens[i] for i in at] == [str(year) for year in found]
    by_row, by_number = experiments.years_apart(found, rows, at)
    assert by_row == 1 < by_number


@pytest.mark.parametrize(("where", "speaks"), [("read", True), ("written", False)])
def test_what_is_read_decides(smollm2, where, speaks):
    model, tokenizer = smollm2
    (ghost,), other = tokenizer.encode("swigfaiss"), tokenizer.encode(" dentist")[0]
    row = model.token_embedding.weight[other].detach()
    with experiments.row_lent(model, ghost, row, where=where):
        assert (experiments.silent(smollm2, [ghost]) == 0) == speaks
    assert experiments.silent(smollm2, [ghost]) == 1


def test_a_row_is_read_or_written(smollm2, own_errors):
    with (
        pytest.raises(ValueError, match='"read" or "written"; got \'said\''),
        experiments.row_lent(smollm2[0], 0, torch.zeros(576), where="said"),
    ):
        pass


def test_own_rows(smollm2, minilm):
    found = experiments.own_rows(smollm2, minilm)
    assert judged("lookup", found)[0] == Label.ONLY_IF
    assert found.difference == 0
