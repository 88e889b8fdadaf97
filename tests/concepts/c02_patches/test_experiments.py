"""The experiments of notebook 02, from another seed and with something broken; what they are made of."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from judged import judged
from torch import nn

from course_lib.claims import Label
from course_lib.concepts.c02_patches import experiments
from course_lib.concepts.c02_patches.experiments import Reader, Readers, which_pieces
from course_lib.data import Examples, digits
from course_lib.encoder import ViT, ViTConfig
from course_lib.mixers import linear_attention
from course_lib.patches import patchify

SEED = 11


def quiet(power):
    """A clock by which attention takes as long as so many vectors to this power, however busy the machine."""

    def clock(calls, rounds):
        return [[1e-6 * call.args[0].shape[-2] ** power] * rounds for call in calls]

    return clock


@pytest.fixture(scope="module")
def trained() -> Readers:
    return experiments.read_digits(SEED, starts=2)


# ------------------------------------------------------------------------------------------ too-many-vectors


def test_too_many_vectors(trained):
    price = experiments.price(clock=quiet(2))
    rows = experiments.read_digits(SEED, experiments.rows, starts=2)
    assert judged("too-many-vectors", experiments.TooManyVectors(price, trained, rows)) == (Label.ONLY_IF, [])
    # A rival that sees half of the digit is none.
    half = experiments.read_digits(SEED, lambda images: images[:, 0, :3], starts=2)
    found = experiments.TooManyVectors(price, trained, half)
    assert judged("too-many-vectors", found) == (Label.TRUE, ["by_rows"])


def test_vectors_that_are_not_compared_with_each_other_cost_as_many_times_as_they_are(trained):
    price = experiments.price(attend=lambda q, k, v, fused: linear_attention(q, k, v), clock=quiet(1))
    found = experiments.TooManyVectors(price, trained, trained)
    label, missed = judged("too-many-vectors", found)
    assert label == Label.WRONG
    assert set(missed) == {"operations", "kept", "slower", "fused_slower"}
    assert found.operations == pytest.approx(4, rel=0.01)


def test_the_price_is_counted():
    found = experiments.price((64, 128, 256), rounds=2)
    assert found.multiplied == tuple(2 * 2 * n * n * 32 for n in found.n_vectors)  # q k and weights v
    assert all(kept >= 4 * n * n for n, kept in zip(found.n_vectors, found.kept["with a table"], strict=True))
    assert found.kept["fused"][-1] == pytest.approx(4 * found.kept["fused"][0], rel=0.05)
    assert all(taken > 0 for of in found.seconds.values() for taken in of)


# ------------------------------------------------------------------------------------------ trained-together


@pytest.fixture(scope="module")
def together(trained) -> experiments.TrainedTogether:
    return experiments.trained_together(SEED, trained=trained, starts=2)


def test_trained_together(together):
    assert judged("trained-together", together) == (Label.NOT_ONLY_WAY, [])


def test_a_patch_layer_that_no_gradient_reaches_is_not_trained(together):
    assert judged("trained-together", replace(together, trained=together.frozen)) == (Label.WRONG, ["moved"])


def test_where_a_random_layer_lets_too_little_through_it_has_to_be_trained(together):
    assert judged("trained-together", replace(together, frozen=together.narrowed)) == (Label.TRUE, ["never"])


def test_where_one_number_is_enough_it_is_not_tested(together):
    assert judged("trained-together", replace(together, narrowed=together.frozen)).label == Label.NOT_TESTED


def test_a_frozen_layer_stays_as_it_is_and_a_narrow_one_has_rank_1(together):
    for readers in (together.frozen, together.narrowed):
        for before, after in zip(readers.untrained, readers.models, strict=True):
            assert torch.equal(before.embedding.weight, after.embedding.weight)
            assert not torch.equal(before.head.weight, after.head.weight)
    assert torch.linalg.matrix_rank(together.narrowed.models[0].embedding.weight) == 1
    assert torch.linalg.matrix_rank(together.frozen.models[0].embedding.weight) == 4


def test_rivals_learn_for_longer(monkeypatch):
    taken = []

    def read_digits(seed=0, cut=experiments.squares, *, steps, desc):
        taken.append((desc, steps))

    monkeypatch.setattr(which_pieces, "read_digits", read_digits)
    experiments.too_many_vectors(SEED, steps=2, longer=7, price=lambda: None)
    assert taken == [("squares", 2), ("rows", 7)]


def test_a_frozen_layer_has_more_steps(monkeypatch):
    taken = {}
    monkeypatch.setattr(
        which_pieces, "read_digits", lambda seed, *, steps, desc, **how: taken.update({desc: steps})
    )
    experiments.trained_together(SEED, steps=2, longer=7)
    assert taken == {"trained": 2, "frozen": 7, "one number": 2}


# ------------------------------------------------------------------------------------------ vectors-first


@pytest.fixture(scope="module")
def hearing() -> experiments.VectorsFirst:
    return experiments.vectors_first(SEED, starts=1, longer=200)


def test_vectors_first(hearing):
    label, missed = judged("vectors-first", hearing)
    assert label == Label.TRUE
    assert set(missed) <= {"longer", "gained"}  # here raw samples had no more steps


def test_where_the_choice_makes_no_difference_the_statement_is_wrong(hearing):
    assert judged("vectors-first", replace(hearing, samples=hearing.spectra)).label == Label.WRONG


def test_spectra_that_say_nothing_of_the_pitch_are_no_choice(hearing):
    def loudness(pieces):
        return pieces.square().mean(-1, keepdim=True).expand(-1, -1, 5)

    deaf = experiments.vectors_first(SEED, spectrum=loudness, starts=1, steps=40, longer=1)
    label, missed = judged(
        "vectors-first", replace(hearing, spectra=deaf.spectra, one_matrix=deaf.one_matrix)
    )
    assert label == Label.WRONG
    assert {"heard", "one_matrix"} <= set(missed)


def test_who_catches_up_in_the_end_needed_only_time(hearing):
    assert judged("vectors-first", replace(hearing, patient=hearing.spectra)).label == Label.ONLY_IF


# ------------------------------------------------------------------------------------------ the reader


def test_the_reader_is_the_librarys():
    vit = ViT(ViTConfig((8, 8), 2, 1, 10, d_model=32, n_layers=1, n_heads=4, d_ff=64, norm_eps=1e-5))
    weights = {
        name.replace("patch_embedding.projection", "embedding"): w for name, w in vit.state_dict().items()
    }
    reader = Reader(n_vectors=16, width=4, n_classes=10)
    reader.load_state_dict(weights)
    images = digits()[1].inputs
    torch.testing.assert_close(reader(patchify(images, 2)), vit(images), rtol=0, atol=1e-4)
    weights["position_embedding"] = weights["position_embedding"].flip(1)
    reader.load_state_dict(weights)
    assert (reader(patchify(images, 2)) - vit(images)).abs().max() > 1e-4


def test_wrong_cuts_are_read_as_well(trained):
    bare = experiments.read_digits(SEED, lambda images: images.reshape(len(images), 16, 4), starts=1)
    assert bare.share > trained.share - 0.04


def test_order_means_nothing_to_a_reader_without_positions(trained):
    blind = experiments.read_digits(SEED, starts=1, change=without_positions).models[0]
    test = digits(seed=SEED)[1]
    whole = patchify(2 * test.inputs - 1, 2)
    scrambled = whole[:, torch.randperm(16, generator=torch.Generator().manual_seed(1))]
    torch.testing.assert_close(blind(whole), blind(scrambled), rtol=0, atol=1e-3)
    assert 0.5 < experiments.share(blind, whole, test.targets) < trained.share - 0.15


def without_positions(reader):
    reader.position_embedding.requires_grad_(False).zero_()


# ------------------------------------------------------------------------------------------ digits that move


def test_digits_on_sheets():
    known, new = experiments.moving_digits(seed=3, copies=2)
    learn, test = digits(seed=3)
    assert known.inputs.shape == (2 * len(learn.targets), 1, 16, 16)
    assert new.targets.equal(test.targets.repeat(4))
    ink = (known.inputs + 1).sum((1, 2, 3)) / 2
    torch.testing.assert_close(ink, learn.inputs.sum((1, 2, 3)).repeat(2))
    inked = known.inputs[:, 0] > -1
    for lines in (inked.any(1), inked.any(2)):  # they stand everywhere
        assert lines.any(0).all()
        assert lines.sum(1).max() <= 8


def test_two_digits_on_a_sheet():
    known, new, right = experiments.two_digits(seed=3, n=300)
    assert known.inputs.shape == (300, 1, 16, 16)
    assert len(new.targets) == len(right) == 1000
    assert 0.05 < (new.targets == right).float().mean() < 0.15
    for half, labels in ((new.inputs[..., :8], new.targets), (new.inputs[..., 8:], right)):
        zeros, ones = ((half[labels == digit] + 1).sum() / (labels == digit).sum() for digit in (0, 1))
        assert abs(zeros - ones) > 0  # each label is that of its own half
        by_label = [((half[labels == digit] + 1).sum((1, 2, 3)) / 2).mean().item() for digit in range(10)]
        assert min(by_label) > 5


def test_squares_are_read_where_they_move_and_scattered_pixels_are_not():
    """As the lesson says, from another start and after half of its steps."""
    known, new = experiments.moving_digits(SEED)
    order = torch.randperm(256, generator=torch.Generator().manual_seed(87))
    cuts = {
        "squares": lambda x: patchify(x, 4),
        "anywhere": lambda x: x.flatten(1)[:, order].unflatten(1, (16, 16)),
    }
    found = {
        name: experiments.train_readers(
            *(experiments.cut_up(part, cut) for part in (known, new)), SEED, starts=1, steps=300
        ).share
        for name, cut in cuts.items()
    }
    assert found["anywhere"] < 0.3 < 0.4 < found["squares"]


def test_training_follows_the_seed_and_leaves_torch_as_it_was():
    random = torch.Generator().manual_seed(3)
    examples = Examples(torch.randn(23, 5, 7, generator=random), torch.arange(23) % 3)
    before = torch.get_rng_state()
    run = partial(experiments.train_readers, examples, examples, starts=2, steps=2)
    one, again, other = run(seed=3), run(seed=3), run(seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.models[1].head.weight, again.models[1].head.weight)
    assert not torch.equal(one.models[0].head.weight, one.models[1].head.weight)
    assert not torch.equal(one.models[0].head.weight, other.models[0].head.weight)
    assert experiments.share(lambda x: nn.functional.one_hot(examples.targets), *examples) == 1


# ------------------------------------------------------------------------------------------ the others


def test_three_matrices():
    assert judged("three-matrices", channels=3, difference=0.0, digit=1).label == Label.ONLY_IF
    assert judged("three-matrices", channels=3, difference=0.0, digit=3).label == Label.TRUE
    assert judged("three-matrices", channels=3, difference=0.1, digit=1).label == Label.WRONG


def test_same_linear_map():
    """Patch by patch it is a convolution with this stride, but not one whose windows are stored otherwise."""
    images, weight = torch.randn(2, 3, 15, 10), torch.randn(7, 75)
    mapped = patchify(images, 5) @ weight.T
    same, other = weight.reshape(7, 3, 5, 5), weight.reshape(7, 5, 5, 3).permute(0, 3, 1, 2)
    for windows, label in ((same, Label.TRUE), (other, Label.WRONG)):
        convolved = nn.functional.conv2d(images, windows, stride=5).flatten(2).mT
        off = (mapped - convolved).abs().max() / 10
        found = judged("same-linear-map", by_loop=0, rebuilt=0, told=1, by_convolution=off)
        assert found.label == label
