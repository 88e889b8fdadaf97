"""The experiments of notebook 06 from another seed, and where their evidence says no."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
import torch
import torch.nn.functional as F
from judged import judged
from torch import nn

from course_lib import probing
from course_lib.blocks import FeedForward
from course_lib.claims import Label
from course_lib.concepts.c06_residuals import experiments, figures
from course_lib.concepts.c06_residuals.experiments import CAPITALS, XAVIER, FromLeast
from course_lib.concepts.c06_residuals.tasks.layer_norm import layer_norm
from course_lib.concepts.c06_residuals.tasks.mlp import mlp
from course_lib.concepts.c06_residuals.tasks.pre_norm_block import pre_norm_block
from course_lib.decoder import GPT, LlamaConfig
from course_lib.encoder import BERT, BERTConfig
from course_lib.plots import Unsupported

SEED = 11


# ---------------------------------------------------------------------- the small task


def test_the_task_is_to_read_backwards():
    rows = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7]])

    def perfect(rows):
        return 100.0 * nn.functional.one_hot(rows.flip(1), 8)

    assert experiments.reversing_loss(perfect, rows) < 1e-6
    blind = experiments.reversing_loss(lambda rows: torch.zeros(1, 8, 8), rows)
    assert blind == pytest.approx(experiments.GUESSING)


def test_every_random_number_comes_from_the_seed():
    def found(seed):
        needed = experiments.norm_needed(seed, starts=1, n_layers=8, trained_layers=2, steps=3)
        deep = experiments.deep_needs_residuals(seed, 1, depths=(2, 3), trained_depths=(2, 3), steps=2)
        return needed, deep

    first = found(5)
    torch.manual_seed(1)  # what others draw changes nothing
    assert found(5) == first
    for one, other in zip(found(6), first, strict=True):
        assert one.losses != other.losses


# ---------------------------------------------------------------------- what the learner has written


def chain(x, attention, mlp, norm_1, norm_2):
    return mlp(norm_2(attention(norm_1(x))))


def straight(x, up, up_bias, down, down_bias):
    return (x @ up.mT + up_bias) @ down.mT + down_bias


def all_together(x, weight, bias, eps):
    centred = x - x.mean()
    return centred / ((centred**2).mean() + eps).sqrt() * weight + bias


def test_the_solutions_are_torchs_layer_and_what_is_broken_is_not():
    whole = experiments.against_torch(pre_norm_block, mlp, layer_norm)
    assert judged("two-sublayers", **whole) == (Label.TRUE, [])
    for broken in ((chain, mlp, layer_norm), (pre_norm_block, straight, layer_norm)):
        assert judged("two-sublayers", **experiments.against_torch(*broken)).missed
    assert judged("two-sublayers", **experiments.against_torch(pre_norm_block, mlp, all_together)).missed


def test_only_additions_are_left_where_parts_give_zero():
    ours = experiments.only_additions(pre_norm_block, mlp, layer_norm)
    assert judged("residual-add", **ours) == (Label.TRUE, [])
    broken = experiments.only_additions(chain, mlp, layer_norm)
    assert {"moved", "added"} <= set(judged("residual-add", **broken).missed)


def test_a_broken_part_changes_what_the_notebook_draws(monkeypatch):
    """As in its cells: whoever breaks a part on purpose sees another figure."""
    monkeypatch.setenv("COURSE_FIGURES", "strict")
    figures.curve(*experiments.follow_a_curve(mlp))
    with pytest.raises(Unsupported, match="the MLP misses"):
        figures.curve(*experiments.follow_a_curve(straight))
    stream = torch.randn(3, 576) * torch.tensor([[1.0], [2.0], [30.0]])
    ones, zeros = torch.ones(576), torch.zeros(576)
    figures.sizes("abc", stream, layer_norm(stream, ones, zeros, 1e-5))
    with pytest.raises(Unsupported, match="as long as"):
        figures.sizes("abc", stream, all_together(stream, ones, zeros, 1e-5))


@pytest.fixture(scope="module")
def losses():
    return experiments.sixteen({"layer": pre_norm_block, "chain": chain}, mlp, layer_norm, seed=SEED)


def test_sixteen_layers_learn_and_sixteen_of_a_chain_do_not(losses):
    assert losses["layer"][-1] < 0.2 < 1.9 < losses["chain"][-1]


def test_the_sixteen_run_on_the_parts_that_they_are_given(losses):
    def flat(x, weight, bias, eps):
        return 0 * x + bias

    for parts in ((straight, layer_norm), (mlp, flat)):
        (broken,) = experiments.sixteen({"layer": pre_norm_block}, *parts, seed=SEED, n_layers=2).values()
        assert broken[0] != losses["layer"][0]
    assert broken[-1] > 1.5  # after this norm all tokens are alike


def test_layers_that_explode_still_give_numbers():
    def doubling(x, attention, mlp, norm_1, norm_2):
        return 1e30 * x * x

    (broken,) = experiments.sixteen({"layer": doubling}, mlp, layer_norm, n_layers=4).values()
    assert len(broken) > 0


@pytest.fixture(scope="module")
def cells():
    """The functions that the notebook defines in its cells to measure with."""
    notebook = Path(__file__).parents[3] / "notebooks" / "06_residuals.ipynb"
    found = {"torch": torch, "F": F, "experiments": experiments}
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code" and cell.source.startswith(("def there_and_back", "def likeness")):
            exec(cell.source.split("\n\n\n")[0], found)
    return found


def test_the_whisper_dies_and_additions_carry_it(cells):
    found = {}
    for additions in (True, False):
        stack = experiments.fresh(SEED, 16, norms=False)
        with experiments.adding(stack, additions):
            _, found[additions] = cells["there_and_back"](stack)
    assert found[False][0] < 1e-15
    assert 0.5 < min(found[True]) < max(found[True]) < 5
    assert found[True][-1] == found[False][-1] == 1


def test_with_norms_a_gradient_arrives_and_without_additions_tokens_become_alike(cells):
    gradients, alike = {}, {}
    for layer in (pre_norm_block, chain):
        stack = experiments.fresh(SEED, 16)
        with experiments.running(stack, layer, mlp, layer_norm):
            given, gradients[layer] = cells["there_and_back"](stack)
        alike[layer] = [cells["likeness"](x) for x in given]
    assert 0.01 < gradients[chain][0] < 0.5 < gradients[pre_norm_block][0] < 2
    assert alike[pre_norm_block][-1] < 0.7 < 0.99 < min(alike[chain][1:])


def test_a_real_model_runs_on_the_layer(smollm2):
    texts = experiments.two_texts(smollm2)
    intact = experiments.text_losses(smollm2, texts)
    with experiments.running(smollm2[0], pre_norm_block):
        torch.testing.assert_close(experiments.text_losses(smollm2, texts), intact)
        mended = experiments.writes(smollm2)
    with experiments.running(smollm2[0], chain):
        assert (experiments.text_losses(smollm2, texts) - intact).min() > 4
        assert experiments.writes(smollm2) != mended
    assert experiments.writes(smollm2) == mended  # put back


def test_no_other_weight_is_missed_as_this_one(smollm2):
    weights = smollm2[0].stack.blocks[11].feed_forward.down_proj.weight
    kept = weights.clone()
    found = experiments.large_weights_off(smollm2, weights)
    torch.testing.assert_close(weights, kept, rtol=0, atol=0)  # put back
    assert found.pop((507, 1229)) > 1.2
    assert max(map(abs, found.values())) < 0.6


# ---------------------------------------------------------------------- how wide is the MLP?


def test_mlp_shape(smollm2, minilm):
    found = experiments.mlp_shape(SEED, smollm2=smollm2, minilm=minilm)
    assert judged("mlp-shape", found) == (Label.WRONG, ["widened", "below"])


def test_a_model_of_twice_the_width_with_a_gelu_behind_is_as_the_lecture_says(smollm2):
    narrow = BERT(BERTConfig(vocab_size=5, max_seq_len=3, d_model=6, n_layers=1, n_heads=2, d_ff=12))
    with probing.replaced(smollm2[0], FeedForward, experiments.bent):
        found = experiments.mlp_shape(SEED, starts=1, smollm2=smollm2, minilm=(narrow, None))
    label, missed = judged("mlp-shape", found)
    assert label == Label.TRUE
    assert "bent" in missed  # a GELU behind it is nothing new to this model


# ---------------------------------------------------------------------- what a norm does to the numbers


def test_norm_range(minilm):
    found = experiments.norm_range(SEED, minilm=minilm)
    assert judged("norm-range", found) == (Label.WRONG, ["outside", "negative"])


def test_a_norm_that_brings_values_to_0_to_1_is_as_the_lecture_says(minilm):
    changed = deepcopy(minilm[0])
    changed.stack.blocks[3].attention_norm = FromLeast(0, width=384)
    label, missed = judged("norm-range", experiments.norm_range(SEED, steps=2, minilm=(changed, minilm[1])))
    assert label == Label.TRUE
    assert {"centre", "variance", "patient"} <= set(missed)


@pytest.mark.parametrize("least", [0, -0.5])
def test_a_norm_to_a_range_is_one(least):
    brought = FromLeast(least)(torch.randn(2, 7, 32))
    assert (brought.amin(-1) == least).all()
    torch.testing.assert_close(brought.amax(-1), torch.full((2, 7), least + 1.0))


# ---------------------------------------------------------------------- when a stack needs a norm


@pytest.fixture(scope="module")
def needed():
    return experiments.norm_needed(SEED, starts=1)


def test_norm_needed(needed):
    assert judged("norm-needed", needed) == (Label.ONLY_IF, [])


@pytest.mark.parametrize(
    ("kind", "other", "label", "number"),
    [
        ("no norm", "pre-norm", Label.WRONG, "factor"),  # it has norms
        ("no norm, smaller start", "no norm", Label.NOT_ONLY_WAY, "small_start"),  # it is not smaller
        ("pre-norm", "post-norm", Label.ONLY_IF, "root"),
    ],
)
def test_other_stacks_grow_otherwise(needed, kind, other, label, number):
    found = replace(needed, sizes={**needed.sizes, kind: needed.sizes[other]})
    assert judged("norm-needed", found) == (label, [number])


@pytest.mark.parametrize(
    ("kind", "other", "label", "number"),
    [
        ("no norm", "no norm, smaller start", Label.ONLY_IF, "xavier"),
        ("no norm, smaller start", "no norm, two layers", Label.ONLY_IF, "fast"),
        ("post-norm", "pre-norm", Label.ONLY_IF, "fast"),
    ],
)
def test_stacks_that_learn_what_they_should_not_are_seen(needed, kind, other, label, number):
    """One learns at all rates as the other does."""
    best = min(needed.losses[other].values())
    losses = {**needed.losses, kind: dict.fromkeys(needed.losses[kind], best)}
    assert judged("norm-needed", replace(needed, losses=losses)) == (label, [number])


# ---------------------------------------------------------------------- deep without additions


@pytest.fixture(scope="module")
def deep():
    return experiments.deep_needs_residuals(SEED, starts=1)


def test_deep_needs_residuals(deep):
    assert judged("deep-needs-residuals", deep) == (Label.NOT_ONLY_WAY, [])


@pytest.mark.parametrize(
    ("kind", "other", "number"),
    [
        ("neither", "norm", "whisper"),
        ("additions", "neither", "carried"),
        (XAVIER, "neither", "other"),
        ("norm", "additions", "alike"),
        ("norm", "additions and norm", "queries"),
    ],
)
def test_other_stacks_look_otherwise_before_training(deep, kind, other, number):
    found = replace(deep, before={**deep.before, kind: deep.before[other]})
    label, missed = judged("deep-needs-residuals", found)
    assert number in missed
    if number in ("whisper", "carried"):
        assert label == Label.WRONG


@pytest.mark.parametrize(
    ("kind", "other", "number"), [("norm", "additions", "bare"), ("additions", "norm", "added")]
)
def test_additions_decide(deep, kind, other, number):
    """Given to the stack without, or taken from the one with them."""
    found = replace(deep, losses={6: {**deep.losses[6], kind: deep.losses[6][other]}})
    assert judged("deep-needs-residuals", found) == (Label.WRONG, [number])


def test_without_a_start_that_learns_additions_are_the_only_way(deep):
    half = deep.turned_losses["rotations"]
    found = replace(deep, turned_losses={**deep.turned_losses, "both": half})
    assert judged("deep-needs-residuals", found).label == Label.TRUE


def test_the_rotating_start_keeps_lengths_and_angles():
    """Without norms, and with all weight on itself."""
    model, new = experiments.turning(31, n_layers=3), experiments.new_rows()[:5]
    model.stack.final_norm = nn.Identity()
    for block in model.stack.blocks:
        block.attention_norm = block.feed_forward_norm = nn.Identity()
        nn.init.constant_(block.attention.score_bias.strength, 1e4)
    with torch.no_grad(), probing.additions_off(model), probing.recorded(model) as passed:
        model(new)
        entered, left = model.embedding(new) + model.places, passed.streams[-1]
    torch.testing.assert_close(left @ left.mT, entered @ entered.mT, atol=1e-3, rtol=1e-3)
    assert (left - entered).abs().max() > 0.1


def test_sixteen_layers_need_a_lower_rate():
    """As the answer to "Your turn" says."""
    both = experiments.turning(31, n_layers=16)
    assert experiments.learn(both, 31, 300, rate=0.003, additions=False) < 0.5


# ---------------------------------------------------------------------- more layers


def test_more_layers():
    assert judged("more-layers", experiments.stored_more_layers()) == (Label.ONLY_IF, [])


def test_wider_layers_that_learn_less_are_seen():
    depth = experiments.stored_more_layers()
    bits = depth.bits | {(2, 64, 1000): depth.much[1], (1, 96, 3000): depth.little[1]}
    assert judged("more-layers", replace(depth, bits=bits)).missed == ["wide", "single"]


def test_eight_layers_that_learn_too_shortly_are_not_better_and_give_what_is_stored():
    """The first of the stored starts, with little work alone."""
    found = experiments.more_layers(101, depths=(1, 2, 8), work=1280, little=1280, starts=1)
    label, missed = judged("more-layers", found)
    assert label == Label.WRONG
    assert "longer" in missed
    assert "hurry" not in missed
    assert found.bits[8, 32, 160][0] == pytest.approx(
        experiments.stored_more_layers().bits[8, 32, 160][0], abs=0.1
    )


# ---------------------------------------------------------------------- the stream of a real model


@pytest.fixture(scope="module")
def difference(loaded_smollm2):
    return experiments.learn_the_difference(SEED, smollm2=loaded_smollm2)


def test_learn_the_difference(difference):
    assert judged("learn-the-difference", difference) == (Label.ONLY_IF, [])


def test_layers_that_have_learned_nothing_are_not_missed(smollm2):
    untrained = GPT(LlamaConfig(smollm2[0].config.vocab_size, 32, d_model=8, n_layers=5, n_heads=2))
    found = experiments.learn_the_difference(SEED, steps=2, smollm2=(untrained, smollm2[1]))
    label, missed = judged("learn-the-difference", found)
    assert label == Label.WRONG
    assert {"chained", "bare", "worst"} <= set(missed)


@pytest.mark.parametrize(("way", "number"), [("without", "shared"), ("with", "chained")])
def test_additions_make_a_layer_spare(difference, way, number):
    alike = replace(difference, skipped=dict.fromkeys(("with", "without"), difference.skipped[way]))
    assert judged("learn-the-difference", alike).missed == [number]


def test_the_costly_layers_are_the_same_on_both_texts(difference):
    rises = difference.rises
    assert ((rises < 0.5).sum(0) >= 20).all()
    assert {tuple(sorted(text.topk(5).indices.tolist())) for text in rises.T} == {(0, 1, 11, 28, 29)}


def test_they_are_not_free_together(smollm2):
    texts = experiments.two_texts(smollm2)
    intact = experiments.text_losses(smollm2, texts)
    with probing.layers_skipped(smollm2[0], range(2, 28, 2)):
        together = experiments.text_losses(smollm2, texts) - intact
    assert together.min() > 3


# ---------------------------------------------------------------------- the first token


@pytest.fixture(scope="module")
def first(loaded_smollm2):
    return experiments.first_token(loaded_smollm2)


def test_layer_11_is_needed_for_one_number_of_one_token(first, difference):
    assert first.number == 507
    not_first, but_number, only_first, not_number, elsewhere = first.cuts.values()
    assert not_first == pytest.approx(difference.rises[11].mean().item(), abs=0.4)
    assert max(abs(but_number), only_first, elsewhere) < 0.5
    assert not_number > 4


def test_the_other_long_tokens_are_the(first, smollm2):
    tokens, lengths = experiments.two_texts(smollm2)[:, 1:], first.lengths[5, :, 1:]
    long = tokens[lengths > 500].tolist()
    assert len(long) > 0
    assert {smollm2[1].decode([token]) for token in long} == {" the"}


def test_layer_11_writes_it(first):
    before, after = first.lengths[[10, 11], :, 0]
    assert (after > 50 * before).all()


# ---------------------------------------------------------------------- which layers a capital needs


@pytest.fixture(scope="module")
def asked(loaded_smollm2):
    return experiments.capitals(loaded_smollm2)


@pytest.fixture(scope="module")
def lens(loaded_smollm2):
    return experiments.lens(loaded_smollm2)


def test_the_answer_is_there_before_the_end(lens):
    plain, fitted, scaled = (shares[:, 0] for shares in lens.shares.values())
    assert plain[:-1].max() < 0.1
    assert scaled.max() < 0.4
    assert fitted[26:].min() > 0.5
    assert fitted[:20].max() < 0.1


def test_the_map_knows_the_city_from_layer_23_on(lens):
    among = lens.shares["fitted map"][:, 1]
    assert among[:23].max() < 0.4
    assert among[23:].min() > 0.5


def test_the_capitals_need_a_layer_that_the_texts_do_not(asked, difference):
    (leads, among), alone = asked.knows.T, difference.rises.mean(1)
    assert asked.intact[1] > 0.9
    assert max(among[23], alone[23]) < 0.3
    assert min(leads[28], alone[28] / 2) > 0.6
    for layer in (8, 21, 24):  # it begins otherwise, and still knows
        assert leads[layer] < 0.3
        assert among[layer] > 0.7


def test_no_capital_is_cut_in_pieces(smollm2):
    assert len(CAPITALS) == 12
    assert all(len(smollm2[1].encode(f" {city}")) == 1 for city in CAPITALS.values())
