"""The experiments of notebook 05 from another seed; with a mechanism broken each finds something else."""

import math
from collections.abc import Iterable
from dataclasses import replace

import pytest
import torch
from judged import Judged, judged
from torch import Tensor, nn

from course_lib import probing
from course_lib.attention import MultiHeadAttention
from course_lib.blocks import FeedForward, make_block
from course_lib.claims import Label
from course_lib.concepts.c05_positions import experiments
from course_lib.concepts.c05_positions.experiments import PATIENT, WITH, WITHOUT
from course_lib.data import Examples
from course_lib.decoder import GPT
from course_lib.mixers import MLPMixing
from course_lib.positions import PositionEmbedding, sinusoidal
from course_lib.pretrained import sentence_embedding

SEED = 11


# ---------------------------------------------------------------------- a set


def a_set(**changed: nn.Module) -> Judged:
    """The claim judged with layers of random weights, some of them exchanged."""
    x, order = torch.randn(2, 7, 24, dtype=torch.float64), torch.tensor([3, 0, 6, 1, 5, 2, 4])
    layers = {
        "mixed": MultiHeadAttention(24, 4),
        "mlp": FeedForward(24, 96),
        "layer": make_block(24, 4),
        "over_places": MLPMixing(7, 24),
        "masked": make_block(24, 4, causal=True),
        "answer": experiments.Reader(24, 5, positions=False),
    } | changed
    off = {}
    for name, layer in layers.items():
        shuffled, straight = layer.double()(x[:, order]), layer(x)
        straight = straight if name == "answer" else straight[:, order]
        off[name] = (shuffled - straight).abs().max().item()
    return judged("a-set", **off, learned=1.0)


def test_a_set() -> None:
    assert a_set().label == Label.ONLY_IF
    assert a_set(masked=make_block(24, 4)).label == Label.TRUE
    for name in ("mixed", "mlp", "layer"):
        assert a_set(**{name: make_block(24, 4, causal=True)}) == (Label.WRONG, [name])
    assert a_set(answer=experiments.Reader(24, 5)).missed == ["answer"]
    assert a_set(over_places=FeedForward(24, 96)).label == Label.NOT_TESTED


# ---------------------------------------------------------------------- does order matter?


@pytest.fixture(scope="module")
def readers() -> experiments.WithoutPositions:
    return experiments.without_positions(SEED)


def with_changed(
    found: experiments.WithoutPositions, kind: str, reader: str, shares: tuple[float, ...]
) -> Judged:
    right = found.right | {kind: {**found.right[kind], reader: shares}}
    return judged("order-matters", replace(found, right=right))


def scrambled(kind: str) -> list[Examples]:
    """Each row in an order of its own."""
    random = torch.Generator().manual_seed(SEED)

    def mixed(x: Tensor) -> Tensor:
        places = torch.rand(x.shape[:2], generator=random).argsort(1)
        return x.gather(1, places[..., None].expand_as(x))

    return [Examples(mixed(x), names) for x, names in experiments.examples(kind, SEED)]


def test_they_run_with_other_sizes_and_repeat_what_they_find() -> None:
    for run, sizes in ((experiments.without_positions, {}), (experiments.beyond_training, {"trained": 8})):
        found = run(seed=3, starts=1, steps=2, **sizes)
        assert found == run(seed=3, starts=1, steps=2, **sizes)
        assert found != run(seed=4, starts=1, steps=2, **sizes)


def test_order_matters(readers: experiments.WithoutPositions) -> None:
    assert judged("order-matters", readers).label == Label.ONLY_IF
    counts = {name: len(shares) for of in readers.right.values() for name, shares in of.items()}
    assert counts == {WITHOUT: 2, WITH: 2, PATIENT: 1}


def test_what_those_without_positions_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three times the steps of those with them, two widths, two rates. A lesson can leave them out."""
    given: list[tuple[str, int, int, float]] = []

    def learn(model: nn.Module, batches: object, loss: object, steps: int, rate: float = 0.01) -> None:
        given.append((f"{len(model.stack.blocks)} layers", model.head.in_features, steps, rate))

    monkeypatch.setattr(experiments, "_learn", learn)
    short = experiments.without_positions(3, 1, 7, patient=False)
    assert [steps for _, _, steps, _ in given] == [7, 7, 21, 21, 7, 7]
    given.clear()
    assert {kind: [*of][:-1] for kind, of in experiments.without_positions(3, 1, 7).right.items()} == {
        kind: [*of] for kind, of in short.right.items()
    }
    digits = [each for each in given if each[2] == 63]
    assert digits == [
        ("3 layers", 32, 63, 0.01),
        ("3 layers", 64, 63, 0.005),
        ("4 layers", 32, 63, 0.005),
        ("4 layers", 64, 63, 0.01),
    ]


def test_a_mask_gives_the_rival_the_order(readers: experiments.WithoutPositions) -> None:
    masked = experiments.reading("text", seed=SEED, starts=1, positions=False, causal=True)
    assert masked[0] > 0.9
    assert with_changed(readers, "text", WITHOUT, masked) == (Label.WRONG, ["text"])


@pytest.mark.parametrize(("kind", "number"), [("sound", "sound_with"), ("image", "image_gain")])
def test_where_the_order_says_nothing_positions_do_not_help(
    readers: experiments.WithoutPositions, kind: str, number: str
) -> None:
    label, missed = with_changed(readers, kind, WITH, experiments.read(*scrambled(kind), seed=SEED, starts=1))
    assert label == Label.WRONG
    assert number in missed


def test_a_bag_that_is_as_good_says_no(readers: experiments.WithoutPositions) -> None:
    assert with_changed(readers, "image", PATIENT, readers.right["image"][WITH]).missed == ["image_gain"]


def test_a_kind_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="kind must be one of text, image, sound; got 'film'"):
        experiments.examples("film")


# ---------------------------------------------------------------------- house numbers


def house_numbers(own: Tensor) -> Judged:
    """The claim judged with these vectors of 64 places."""
    matrices = torch.randn(2, 32, 32, generator=torch.Generator().manual_seed(SEED)).double() / 32**0.5
    digits = (torch.arange(64)[:, None] >> torch.arange(6) & 1).double()
    products = {
        "waves": own @ own.T,
        "one_hot": torch.eye(64).double(),
        "digits": digits @ digits.T,
        "behind": own @ matrices[0] @ (own @ matrices[1]).T,
    }
    step = torch.linalg.lstsq(own[:-5], own[5:]).solution
    return judged(
        "house-numbers",
        nearest=torch.cdist(own, own).fill_diagonal_(torch.inf).min(),
        shift=(own[:-5] @ step - own[5:]).abs().max(),
        near=products["waves"][0, 1] / products["waves"][0, 0],
        **{name: parting(each) for name, each in products.items()},
    )


def parting(products: Tensor) -> float:
    """By how much products of places at the same distance differ, as a share of the largest."""
    diagonals = [products.diagonal(distance) for distance in range(33)]
    return float(max(each.max() - each.min() for each in diagonals) / products.abs().max())


def test_house_numbers() -> None:
    own = sinusoidal(64, 32).double()
    assert house_numbers(own).label == Label.NOT_ONLY_WAY
    assert house_numbers(own[torch.arange(64) // 2]).missed == ["nearest", "shift", "near", "waves"]
    learned = PositionEmbedding(64, 32).weight.detach().double()
    assert {"shift", "near", "waves"} <= set(house_numbers(learned).missed)


# ---------------------------------------------------------------------- beyond training


@pytest.fixture(scope="module")
def beyond() -> experiments.BeyondTraining:
    return experiments.beyond_training(SEED)


def with_back(found: experiments.BeyondTraining, **right: experiments.Runs) -> Judged:
    back = replace(found.back, right={**found.back.right, **right})
    return judged("rule-or-learned", replace(found, back=back))


def test_rule_or_learned(beyond: experiments.BeyondTraining) -> None:
    assert judged("rule-or-learned", beyond) == (Label.ONLY_IF, [])
    runs = [*beyond.back.right.values(), *beyond.text.bits.values(), beyond.text.longer]
    assert {len(each) for each in runs} == {2}


def test_a_table_that_is_trained_everywhere_has_no_such_limit(beyond: experiments.BeyondTraining) -> None:
    label, missed = with_back(beyond, learned=beyond.back.rivals[experiments.ANYWHERE])
    assert label == Label.TRUE  # and the rule has no advantage
    assert {"untrained", "rule"} <= set(missed)


def test_without_positions_schemes_are_worth_nothing(beyond: experiments.BeyondTraining) -> None:
    none = beyond.back.right["none"]
    assert with_back(beyond, relative=none) == (Label.WRONG, ["trained", "relative"])
    text = replace(beyond.text, bits={**beyond.text.bits, "alibi": beyond.text.longer})
    assert judged("rule-or-learned", replace(beyond, text=text)).missed == ["bears"]


def test_three_layers_without_positions_need_more_steps(beyond: experiments.BeyondTraining) -> None:
    few = {experiments.UNPLACED: beyond.back.right["none"], experiments.LONGER: beyond.back.right["alibi"]}
    back = replace(beyond.back, rivals=beyond.back.rivals | few)
    found = judged("rule-or-learned", replace(beyond, back=back))
    assert found == (Label.ONLY_IF, ["patient", "alibi"])


def test_what_no_positions_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three layers: five times the steps, each width with each rate. A lesson can leave them out."""
    given: list[tuple[int, int, float]] = []

    def learn(model: GPT, batches: Iterable[object], loss: object, steps: int, rate: float = 0.01) -> None:
        given.append((steps, model.config.d_model, rate))

    monkeypatch.setattr(experiments, "_learn", learn)
    assert experiments.UNPLACED not in experiments.three_places_ago(3, 1, 7, 8, patient=False).rivals
    without = len(given)
    experiments.three_places_ago(3, 1, 7, 8)
    assert given[2 * without :] == [(35, 32, 0.005), (35, 32, 0.01), (35, 64, 0.005), (35, 64, 0.01)]
    given.clear()
    assert len(experiments.english_text(3, 1, 7, 8).longer) == 1
    assert [steps for steps, _, _ in given] == [7, 7, 7, 21]
    assert experiments.english_text(3, 1, 7, 8, patient=False).longer == ()


def test_without_its_window_rotary_is_not_cured(beyond: experiments.BeyondTraining) -> None:
    text = replace(beyond.text, windowed=beyond.text.bits)
    assert judged("rule-or-learned", replace(beyond, text=text)).missed == ["windowed"]


def test_models_that_have_learned_nothing_find_nothing() -> None:
    label, missed = judged("rule-or-learned", experiments.beyond_training(31, starts=1, steps=1, trained=16))
    assert label == Label.WRONG
    assert {"trained", "within"} <= set(missed)


def test_a_model_that_scores_all_characters_alike_costs_their_number_in_bits() -> None:
    model = experiments.learn_text("none", steps=1, length=8)
    nn.init.zeros_(model.lm_head.weight)
    assert experiments.bits(model, length=8) == pytest.approx([math.log2(model.config.vocab_size)] * 4)


def test_a_window_hides_what_is_farther_back() -> None:
    model = experiments.decoder("rotary", 9, SEED, n_heads=2, n_layers=1, max_seq_len=12)
    ids = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8]])
    other = ids.clone()
    other[0, 2] = 7
    moved = (experiments.scores(model, ids, 3) - experiments.scores(model, other, 3)).abs().amax(-1)[0]
    assert (moved > 1e-6).nonzero().flatten().tolist() == [2, 3, 4]
    whole = (experiments.scores(model, ids) - experiments.scores(model, other)).abs().amax(-1)[0]
    assert (whole > 1e-6).nonzero().flatten().tolist() == [2, 3, 4, 5, 6, 7]


# ---------------------------------------------------------------------- real models


def test_the_sentences_are_one_and_the_same(minilm: tuple) -> None:
    texts = ["The dog bit the man.", "The man bit the dog.", "A man was bitten by a dog."]
    texts += ["A dog was bitten by a man."]

    def cosines() -> Tensor:
        vectors = sentence_embedding(*minilm, texts)
        return vectors[1:] @ vectors[0]

    with torch.no_grad():
        as_it_is = cosines()
        with probing.positions_averaged(minilm[0]):
            without = cosines()
    assert 0.9 < as_it_is[0] < 0.995
    assert abs(without[0] - 1) < 1e-5
    assert abs(without[1] - without[2]) < 1e-5  # and so are the two with "was bitten by"
    assert as_it_is[2] > as_it_is[1]  # the one that says the same is not the nearer one


def test_only_distances_count(smollm2: tuple) -> None:
    changes = {
        "intact": lambda t: t,
        "further": lambda t: t + 1000,
        "one and a half": lambda t: 1.5 * t,
        "half": lambda t: t / 2,
        "four times": lambda t: 4 * t,
    }
    losses = experiments.moved(smollm2, changes)
    assert abs(experiments.rise(losses, "further")) < 0.01
    assert abs(experiments.rise(losses, "one and a half")) < 0.1
    assert 0.05 < experiments.rise(losses, "half") < 1 < experiments.rise(losses, "four times")


def test_pairs_mixed_up_are_easily_missed(smollm2: tuple) -> None:
    rotary = smollm2[0].rotary
    losses = {"intact": experiments.text_losses(smollm2, n=2)}
    rotary.interleaved = False
    losses["mixed"] = experiments.text_losses(smollm2, n=2)
    rotary.interleaved = True
    assert 0.3 < experiments.rise(losses, "mixed") < 2


def test_a_window_needs_the_first_token(smollm2: tuple) -> None:
    """And not just any token from afar."""
    narrow = experiments.narrow_window(smollm2)
    assert narrow.cut > 0.6
    assert narrow.kept[0] < 0.4
    assert narrow.kept[20] > 0.6
