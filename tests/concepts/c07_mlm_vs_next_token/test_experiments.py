"""The experiments of notebook 07, from another seed and with something broken; what they are made of."""

from copy import deepcopy
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from judged import judged
from torch import nn

from course_lib import probing, readers
from course_lib.attention import MultiHeadAttention
from course_lib.claims import Label
from course_lib.concepts.c07_mlm_vs_next_token import experiments
from course_lib.concepts.c07_mlm_vs_next_token.experiments import (
    BEFORE,
    BOTH,
    COUNTS_BOTH,
    LEFT,
    MASKS,
    MINILM,
    ONE_PASS,
    RECIPE,
    SMOLLM2,
    TRYING,
    WORDS,
    EncoderOrDecoder,
    Mask15,
    MlmHead,
)
from course_lib.encoder import BERT
from course_lib.objectives import IGNORE, mask_tokens, token_loss

SEED = 11


# ------------------------------------------------------------------------------------------ mask-15


@pytest.fixture(scope="module")
def masked() -> Mask15:
    return experiments.mask_15(SEED, starts=1, steps=70)


def test_mask_15(masked):
    assert judged("mask-15", masked) == (Label.ONLY_IF, [])


def all_hidden(ids, mask_id, vocab_size, **options):
    _, targets = mask_tokens(ids, mask_id, vocab_size, **options)
    return ids.masked_fill(targets != IGNORE, mask_id), targets


def also_special(ids, mask_id, vocab_size, *, special_ids, **options):
    return mask_tokens(ids, mask_id, vocab_size, special_ids=[], **options)


@pytest.mark.parametrize(
    ("mask", "label", "numbers"),
    [
        (all_hidden, Label.TRUE, ["masks", "swapped", "kept"]),
        (also_special, Label.WRONG, ["spared"]),
        (partial(mask_tokens, fraction=0.4), Label.WRONG, ["rate"]),
    ],
)
def test_another_recipe_gets_another_label(masked, mask, label, numbers):
    assert judged("mask-15", replace(masked, **vars(experiments.rates(SEED, mask=mask)))) == (label, numbers)


@pytest.mark.parametrize(
    ("training", "given", "numbers"),
    [
        (MASKS, RECIPE, ["unasked"]),
        (LEFT, RECIPE, ["trust"]),
    ],
)
def test_another_training_in_its_place_is_noticed(masked, training, given, numbers):
    changed = replace(masked, bits={**masked.bits, training: masked.bits[given]})
    assert judged("mask-15", changed).missed == numbers


def behind(bits, by=1.0):
    """The same readers, that need so many bits more at the gap."""
    return tuple((gap + by, *others) for gap, *others in bits)


@pytest.mark.parametrize(("rival", "number"), [("3 %", "fewer"), ("75 %", "more")])
def test_a_rival_that_does_not_come_level_is_noticed(masked, rival, number):
    changed = replace(masked, bits={**masked.bits, rival: behind(masked.bits[rival])})
    assert judged("mask-15", changed).missed == [number]


def test_a_recipe_that_pays_at_the_gap_is_noticed(masked):
    changed = replace(masked, bits={**masked.bits, RECIPE: behind(masked.bits[RECIPE])})
    assert {"fewer", "more", "toll"} <= set(judged("mask-15", changed).missed)


@pytest.mark.parametrize(("choose", "hide"), [(0.15, 1.0), (0.4, 0.5)])
def test_a_recipe_hides_so_many_of_those_it_asks(choose, hide):
    """A model that writes down what it reads, and is sure of what stood there before."""
    read, ids = [], torch.randint(90, (700, 50))

    def model(inputs):
        read.append(inputs)
        return 100 * nn.functional.one_hot(ids, 98).float()

    assert experiments.recipe(choose, hide)(model, ids).item() == pytest.approx(0, abs=1e-6)
    hidden = read[0] == readers.MASK_ID
    assert torch.equal(read[0][~hidden], ids[~hidden])
    assert hidden.float().mean() == pytest.approx(choose * hide, abs=0.01)


def test_mask_15_of_other_sizes_follows_the_seed_and_leaves_torch_as_it_was():
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    found = experiments.mask_15(3, starts=1, steps=1)
    assert found == experiments.mask_15(3, starts=1, steps=1) != experiments.mask_15(5, starts=2, steps=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


# ------------------------------------------------------------------------------------------ two readers learn


def test_both_begin_from_the_same_weights():
    one, two = (readers.make_reader(causal=causal, seed=5) for causal in (True, False))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_seldom_asks_of_15_percent():
    """Nothing is known of a tenth of the places: a tenth of those that are asked cost log 98."""
    ids = torch.randint(90, (500, 33))

    def knows(inputs):
        logits = 100 * nn.functional.one_hot(ids[:, 1:], 98).float()
        logits[:, :3] = 0
        return logits

    n_asked = []

    def counts(inputs):
        logits = torch.zeros(*inputs.shape, 98, requires_grad=True)
        n_asked.append(logits)
        return logits

    assert experiments.seldom(knows, ids).item() == pytest.approx(3 / 32 * np.log(98), abs=0.1)
    experiments.seldom(counts, ids).backward()
    assert n_asked[0].grad.any(-1).float().mean().item() == pytest.approx(0.15, abs=0.01)


def test_who_is_asked_seldom_is_measured_after_each_of_the_steps():
    found = experiments.asked_seldom(3, steps=(1, 2))
    assert len(found) == 2
    assert found == experiments.asked_seldom(3, steps=(1, 2))


# ------------------------------------------------------------------------------------------ mlm-head


@pytest.fixture(scope="module")
def head() -> MlmHead:
    return experiments.mlm_head(SEED)


def test_mlm_head(head):
    assert judged("mlm-head", head) == (Label.ONLY_IF, [])


def test_a_head_with_a_bend_and_a_reader_that_has_learned_nothing_are_noticed(head):
    bent = deepcopy(readers.load_readers()[1])
    bent.lm_head = nn.Sequential(nn.GELU(), bent.lm_head)
    label, missed = judged("mlm-head", experiments.mlm_head(SEED, n=30, reader=bent))
    assert label == Label.WRONG
    assert "off" in missed
    young = readers.make_reader(causal=False, seed=1)
    assert "accuracy" in judged("mlm-head", experiments.mlm_head(SEED, n=30, reader=young)).missed


def test_where_berts_head_is_linear_nothing_is_limited(head, monkeypatch):
    monkeypatch.setattr(BERT, "mlm_logits", lambda bert, hidden: hidden @ bert.token_embedding.weight.T)
    bent = experiments.mlm_head(SEED, n=10).bent
    assert judged("mlm-head", replace(head, bent=bent)) == (Label.NOT_ONLY_WAY, ["bent"])


def test_weak_counts_are_no_rival_and_strong_ones_make_it_no_test(head):
    def with_counts(way, given):
        shares = {**head.gaps.shares, way: head.gaps.shares[given]}
        return judged("mlm-head", replace(head, gaps=replace(head.gaps, shares=shares)))

    assert with_counts(COUNTS_BOTH, "bigram").missed == ["counts"]
    assert with_counts("bigram", COUNTS_BOTH).label == Label.NOT_TESTED


def test_what_is_counted():
    """The shares of what stands behind two characters, counted in the text itself."""
    text, pieces = experiments.known_text()[5:-5], experiments.held_out(SEED)
    table = experiments.counted(pieces[7:8], [-2, -1], torch.zeros(1, readers.MASK_ID))
    left = readers.decode(pieces[7, readers.GAP - 2 : readers.GAP])
    found = [text[n + 2] for n in range(len(text) - 2) if text[n : n + 2] == left]
    weight = len(set(found))
    for character in set(found):
        share = found.count(character) / (len(found) + weight)
        assert table[0, readers.encode(character)[0]].item() == pytest.approx(share, abs=0.01)


def test_no_middle_of_a_piece_is_in_the_training_text(head):
    pieces = experiments.held_out(SEED)
    assert len(pieces) == 200
    assert not [p for p in pieces if readers.decode(p[15:47]) in experiments.known_text()]
    for share in head.gaps.shares.values():
        torch.testing.assert_close(share.sum(1), torch.ones(200))


# ------------------------------------------------------------------------------------------ both kinds


@pytest.fixture(scope="module")
def kinds(head, loaded_smollm2, loaded_minilm) -> EncoderOrDecoder:
    probed = experiments.probes(loaded_smollm2, loaded_minilm, SEED, cuts=1)
    return EncoderOrDecoder(head.gaps, experiments.by_trying(SEED), experiments.writing(SEED), probed)


def test_encoder_or_decoder(kinds):
    label, missed = judged("encoder-or-decoder", kinds)
    assert label == Label.NOT_ONLY_WAY
    assert set(missed) <= {"tried"}  # some 0.3 bits, as wide as the interval


def test_without_both_rivals_it_is_true(kinds):
    """A decoder whose vectors know no more than words, and that does not try."""
    one_pass = replace(kinds.trying, shares={TRYING.format(15): kinds.filled.shares[ONE_PASS]})
    weak = replace(kinds, trying=one_pass, probed={**kinds.probed, SMOLLM2: kinds.probed[WORDS]})
    assert judged("encoder-or-decoder", weak).label == Label.TRUE


def test_readers_that_have_learned_nothing_write_no_words(kinds):
    young = readers.make_reader(causal=True, seed=1)
    texts = experiments.writing(SEED, n=16, before=young)
    label, missed = judged("encoder-or-decoder", replace(kinds, texts=texts))
    assert label == Label.WRONG
    assert {"decoder_writes", "behind"} <= set(missed)


@pytest.mark.parametrize(
    ("part", "name", "given", "numbers"),
    [
        ("probed", MINILM, WORDS, {"encoder_told"}),
        ("texts", BOTH, BEFORE, {"behind", "scraps"}),
        ("texts", "counts of 3", BOTH, {"scraps"}),
    ],
)
def test_another_in_its_place_is_noticed(kinds, part, name, given, numbers):
    found = getattr(kinds, part)
    changed = replace(kinds, **{part: {**found, name: found[given]}})
    assert numbers <= set(judged("encoder-or-decoder", changed).missed)


def test_an_encoder_that_tells_no_more_than_words_counted_is_noticed(kinds):
    untold = replace(kinds, probed={**kinds.probed, MINILM: kinds.probed[WORDS]})
    label, missed = judged("encoder-or-decoder", untold)
    assert label == Label.WRONG
    assert "encoder_told" in missed


def test_a_lead_is_noticed(kinds):
    right = np.ones_like(kinds.probed[MINILM])
    ahead = replace(kinds, probed={**kinds.probed, MINILM: right})
    assert "lead" in judged("encoder-or-decoder", ahead).missed


def test_trying_is_scoring_the_whole_window():
    model, piece, scores = readers.load_readers()[0], experiments.held_out(SEED, 1), []
    window = piece[:, 15:47].clone()
    for character in range(readers.MASK_ID):
        window[:, 16] = character
        with torch.no_grad():
            scores.append(-31 * token_loss(model(window[:, :-1]), window[:, 1:]))
    expected = torch.stack(scores).softmax(0)
    found = experiments.by_trying(SEED, n=1, laters=[15]).shares[TRYING.format(15)][0]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


def test_what_counts_as_a_word():
    assert experiments.real(["abcd these the qzxv value abcd"]) == pytest.approx(2 / 3)


def test_counts_write_what_stood_in_the_text():
    text = experiments.by_counts(3, "the value of", torch.Generator().manual_seed(1))
    assert len(text) == 12 + 48
    assert all(text[n : n + 4] in experiments.known_text() for n in range(9, 56))


def test_the_probed_vectors_are_those_of_the_first_six_layers(smollm2, minilm):
    texts = ["The food was cold.", "A book that I shall read again."]
    for model, rows in (
        (smollm2[0], [smollm2[1].encode(text) for text in texts]),
        (minilm[0], [minilm[1].frame(text)[0] for text in texts]),
    ):
        with probing.recorded(model) as seen, torch.no_grad():
            model(torch.tensor([rows[0]]))  # alone, without padding
        stream = seen.streams[5][0]
        whole, mean = experiments.after_each_layer(model, rows)[[5, 11], 0]
        torch.testing.assert_close(
            torch.tensor(whole), stream[0 if model is minilm[0] else -1], atol=1e-2, rtol=1e-3
        )
        torch.testing.assert_close(torch.tensor(mean), stream[1:].mean(0), atol=1e-2, rtol=1e-3)


def test_a_probe_finds_nothing_in_vectors_without_an_answer_and_takes_the_best_of_all():
    random = np.random.default_rng(0)
    answers = np.arange(300) % 2 == 0
    empty, full = random.normal(size=(300, 5)), random.normal(size=(300, 5))
    full[:, 0] += 4 * answers
    probe = experiments.LogisticRegression()
    assert experiments.told([(probe, empty)] * 3, answers, 0).mean() == pytest.approx(0.5, abs=0.1)
    assert experiments.told([(probe, empty), (probe, full)], answers, 0).mean() > 0.9


# ------------------------------------------------------------------------------------------ sentence-pairs


def test_what_is_drawn():
    lesson, test = experiments.pairs(SEED)
    assert not {row[0].document for row in lesson} & {row[0].document for row in test}
    assert len(lesson) + len(test) == 684
    prose = {name: " ".join(document.split()) for name, document in experiments.python_topics().items()}
    for first, following, elsewhere, same in test:
        assert first.document == following.document == same.document != elsewhere.document
        assert same not in (first, following)
        assert f"{first.text} {following.text}" in prose[first.document]


def test_vectors_that_know_nothing_tell_nothing(monkeypatch):
    random = torch.Generator().manual_seed(1)
    monkeypatch.setattr(
        experiments, "sentence_embedding", lambda *given: torch.randn(len(given[2]), 20, generator=random)
    )
    told = experiments.sentence_pairs((None, None), SEED)
    for way, of in told.items():
        if way != "shared words":
            assert all(abs(right.mean() - 0.5) < 0.12 for right in of.values())
    assert told["shared words"]["another document"].mean() > 0.65
    assert set(told["shared words"]["exchanged"]) == {0.5}


def test_long_words_alone_tell_no_more():
    """As the notebook's answer says."""
    rows = experiments.pairs(SEED)[1]
    every, long = (experiments.by_shared_words(rows, n)["another document"].mean() for n in (1, 6))
    assert long < every + 0.05


# ------------------------------------------------------------------------------------------ causal


def moved(model: nn.Module) -> float:
    """The share of earlier outputs that a changed last character changes, as the notebook counts it."""
    ids = experiments.held_out(SEED)[:5, :32]
    other = ids.clone()
    other[:, -1] = (other[:, -1] + 1) % readers.MASK_ID
    with torch.no_grad():
        return (model(ids) != model(other))[:, :-1].any(-1).float().mean().item()


def test_causal():
    before, both, _ = readers.load_readers()
    rest = {"control": moved(both), "differing": 0, "saved": 15.8, "asked": 0.14}
    assert judged("causal", moved=moved(before), **rest).label == Label.ONLY_IF
    assert judged("causal", moved=moved(before), **rest | {"asked": 0.01}).label == Label.TRUE
    for layer in before.modules():
        if isinstance(layer, MultiHeadAttention):
            layer.causal = False
    assert judged("causal", moved=moved(before), **rest).label == Label.WRONG
    assert judged("causal", moved=0, **rest | {"control": 0}).label == Label.NOT_TESTED
