"""The experiment of notebook 09, from another seed and with something broken; what it is made of."""

from dataclasses import replace

import pytest
import torch
from judged import judged
from torch import Tensor, nn

from course_lib import data
from course_lib.claims import Label
from course_lib.concepts.c09_real_models import experiments
from course_lib.concepts.c09_real_models.experiments import (
    ALONE,
    GUESSING,
    ORDERS,
    OWN,
    PATIENT,
    RIVAL,
    SHARED,
    AnyData,
    Kind,
)

SEED = 11
FEWER = {"pictures": 100, "sounds": 110, "reviews": 40}  # steps than in the notebook: they are enough


@pytest.fixture(scope="module")
def found(loaded_minilm: tuple) -> AnyData:
    return experiments.any_data(loaded_minilm, SEED, starts=1, steps=FEWER)


@pytest.fixture(scope="module")
def kinds(loaded_minilm: tuple) -> dict[str, Kind]:
    return experiments.kinds(loaded_minilm, SEED)


def given_as(found: AnyData, name: str, other: str) -> AnyData:
    """Where one reader stands in another's place."""
    return replace(found, shares={kind: {**of, name: of[other]} for kind, of in found.shares.items()})


def test_any_data(found: AnyData) -> None:
    assert judged("any-data", found) == (Label.NOT_ONLY_WAY, [])


def test_vectors_that_are_alone_need_more_steps(found: AnyData) -> None:
    """With as many they name fewer melodies; with more they serve, too."""
    assert "mixing" in judged("any-data", given_as(found, SHARED, ALONE)).missed
    assert judged("any-data", given_as(found, SHARED, PATIENT)) == (Label.NOT_ONLY_WAY, [])
    assert judged("any-data", given_as(found, PATIENT, GUESSING)).missed == ["alone"]


def test_one_that_never_learned_names_nothing(found: AnyData, kinds: dict[str, Kind]) -> None:
    """So it is the training, and not the head or the input layer's start; and sharing it has a price."""
    stack = experiments.new_stack()
    shares = {
        name: {
            **found.shares[name],
            SHARED: (experiments.right(experiments.Reader(*kind.shape, stack), kind),),
        }
        for name, kind in kinds.items()
    }
    label, missed = judged("any-data", replace(found, shares=shares))
    assert label == Label.WRONG
    assert set(missed) == {"text", "image", "audio", "price", "mixing"}


def test_where_no_other_method_keeps_up_it_is_the_only_way(found: AnyData, kinds: dict[str, Kind]) -> None:
    """Rivals that get the vectors of other lists have nothing to go by."""
    mixed = {name: kind._replace(x=kind.x.flip(0), texts=()) for name, kind in kinds.items()}
    lost = {name: (max(experiments.rivals(kind).values()),) for name, kind in mixed.items()}
    shares = {name: {**of, RIVAL: lost[name], PATIENT: of[GUESSING]} for name, of in found.shares.items()}
    assert judged("any-data", replace(found, shares=shares)).label == Label.TRUE


def test_the_order_counts_for_pictures_and_sounds_not_for_reviews(found: AnyData) -> None:
    for kind, of in found.means.items():
        lost = of[SHARED] - of[ORDERS]
        assert (lost < 0.15) if kind == "reviews" else (lost > 0.25), kind


def test_readers_differ_in_their_input_layer_and_head_alone(found: AnyData) -> None:
    assert len({id(reader.stack) for reader in found.together.values()}) == 1
    assert len({id(reader.stack) for reader in found.own.values()}) == 3


class Nothing(nn.Module):
    """In the stack's place."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x


def test_without_its_stack_a_reader_hardly_tells_melodies(found: AnyData, kinds: dict[str, Kind]) -> None:
    reader = experiments.Reader(*kinds["sounds"].shape, Nothing())
    experiments.learn({"sounds": reader}, kinds)
    assert experiments.right(reader, kinds["sounds"]) < 0.5 < 0.8 < found.means["sounds"][OWN]


def test_padding_changes_nothing(found: AnyData, kinds: dict[str, Kind]) -> None:
    x, mask, *_ = kinds["reviews"]
    row = mask.sum(1).argmin()
    n = mask[row].sum()
    assert n < x.shape[1]
    changed = x[row : row + 1].clone()
    changed[:, n:] = 7.0
    with torch.no_grad():
        one, other = (
            found.together["reviews"](each, mask[row : row + 1]) for each in (x[row][None], changed)
        )
    torch.testing.assert_close(one, other)


def test_what_is_known_is_standard_and_reviews_need_minilm(kinds: dict[str, Kind]) -> None:
    for kind in kinds.values():
        known = kind.x[: kind.n_known]
        assert known.mean().abs() < 1e-4
        assert known.mean((0, 1)).abs().max() < 1e-3
        assert len(kind.x) == len(kind.mask) == len(kind.y)
    assert len(kinds["reviews"].texts) == 448
    without = experiments.kinds(None, SEED)
    assert list(without) == ["pictures", "sounds"]
    assert torch.equal(without["sounds"].x, kinds["sounds"].x)
    assert not torch.equal(without["sounds"].x, experiments.kinds(None, SEED + 1)["sounds"].x)


def test_without_minilm_it_follows_the_seed_and_leaves_torch_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(experiments, "rivals", lambda kind: {"none": 0.0})
    sounds = data.sounds
    monkeypatch.setattr(data, "sounds", lambda n, **how: sounds(90, **how))
    before, few = torch.get_rng_state(), {"pictures": 2, "sounds": 1}
    one, again, other = (experiments.any_data(None, seed, starts=2, steps=few) for seed in (3, 3, 5))
    assert torch.equal(torch.get_rng_state(), before)
    assert one.shares == again.shares != other.shares
    assert all(len(each) == 2 for of in one.shares.values() for each in of.values())
    assert one.tried == {"pictures": {"none": 0.0}, "sounds": {"none": 0.0}}


def test_the_patient_rival_has_three_times_the_steps_unless_it_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(experiments, "rivals", lambda kind: {"none": 0.0})
    given: list[tuple[bool, int]] = []

    def learn(readers: dict, kinds: dict, seed: int, *, steps: dict) -> None:
        given.extend((reader.alone, steps[name]) for name, reader in readers.items())

    monkeypatch.setattr(experiments, "learn", learn)
    few = {"pictures": 2, "sounds": 1}
    whole = experiments.any_data(None, 3, starts=1, steps=few)
    assert [steps for alone, steps in given if alone] == [2, 1, 6, 3]
    without = experiments.any_data(None, 3, starts=1, steps=few, patient=False)
    assert len(given) == 8 + 6
    for kind, of in whole.shares.items():
        assert of == {PATIENT: of[PATIENT]} | without.shares[kind]
