"""The claims of notebook 06: its own cells, with other seeds, against the evidence that judges them.

The tests run the notebook's cells, so that the two cannot drift apart. A counter-test shows where each
claim's evidence says no: something takes the mechanism away, or a number says the opposite.
"""

import math
from collections.abc import Callable

import pytest
import torch
from notebook_cells import NotebookCells
from torch import nn

from course_lib import probing

CELLS = NotebookCells("06_residuals")
run_cell, refused_by_cell = CELLS.run, CELLS.refuses
NOT_HERE = {"explore"}  # the explorer has tests of its own, as the checks have
CHECK = 'try_it("06_residuals/layer_norm", layer_norm)'


def left_behind(seed: int, minilm: Callable, smollm2: Callable) -> dict:
    """What the notebook's cells leave behind, all verdicts included, where models start from this seed."""
    changes = {
        "parts-naive": {"check": (CHECK, "")},
        "parts-norm-equal": {"seed": ("manual_seed(0)", f"manual_seed({seed})")},
        "shape-verdict": {"seeds": ("SEEDS = range(2)", f"SEEDS = [{seed}]")},
    }
    return CELLS.run_all(changes, NOT_HERE, minilm=minilm, smollm2=smollm2)


# ---------------------------------------------------------------------- which layers can go


def test_the_costly_layers_are_the_same_on_both_texts(real_names: dict) -> None:
    rises = real_names["rises"]
    assert ((rises < 0.5).sum(0) >= 20).all()
    assert {tuple(sorted(text.topk(5).indices.tolist())) for text in rises.T} == {(0, 1, 11, 28, 29)}


def test_they_are_not_free_together(real_names: dict) -> None:
    with probing.layers_skipped(real_names["smollm2"], range(2, 28, 2)):
        together = real_names["losses"](real_names["texts"]) - real_names["intact"]
    assert together.min() > 3


# ---------------------------------------------------------------------- the layer from its parts


def test_two_sublayers(names: dict) -> None:
    off = names["off"]
    for kind, name, other, evidence in (
        ("pre", "whole", 0.1, "pre"),
        ("post", "whole", 0.1, "post"),
        ("pre", "no attention", 0.0, "no_attention"),
        ("post", "no MLP", 0.0, "no_mlp"),
    ):
        names["off"] = off | {(kind, name): other}
        assert refused_by_cell("parts-verdict", names, evidence)


def test_norms_in_the_wrong_place_are_refused(names: dict) -> None:
    """Torch's layer normalises the sum, ours what is read."""
    make_block = names["make_block"]
    names["in_torch"] = _torch_layer_of_the_other_kind(names["in_torch"])
    names["make_block"] = make_block
    run_cell("parts-equal", names)
    assert refused_by_cell("parts-verdict", names, "pre")


def _torch_layer_of_the_other_kind(in_torch: object) -> object:
    def other(block: nn.Module) -> nn.Module:
        layer = in_torch(block)
        layer.norm_first = not layer.norm_first
        return layer

    return other


def test_residual_add(names: dict) -> None:
    """With numbers in place of zeros the stream is not left alone."""
    with pytest.raises(Exception, match="moved came as"):
        run_cell("parts-identity", names, zeros=("nn.init.zeros_(part.weight)", "nn.init.ones_(part.weight)"))
    with pytest.raises(Exception, match="bare came as"):
        run_cell("parts-identity", names, off=("probing.additions_off(block)", "torch.no_grad()"))
    names["off"] = names["off"] | {("pre", "whole"): 1.0}
    assert refused_by_cell("parts-identity", names, "added")


def test_the_mended_norm_is_the_librarys(names: dict) -> None:
    x, weight, bias = torch.randn(2, 7, 11), torch.randn(11), torch.randn(11)
    mended = names["normed"](x, 1e-5) * weight + bias
    torch.testing.assert_close(mended, nn.functional.layer_norm(x, (11,), weight, bias))
    naive = names["layer_norm"](x, weight, bias, 1e-5)
    assert (naive - mended).abs().max() > 0.01


# ---------------------------------------------------------------------- how wide is the MLP?


def test_mlp_shape(real_names: dict) -> None:
    names, shape, seeds = real_names, real_names["shape"], ("SEEDS = range(2)", "SEEDS = [11]")
    names["learn"] = lambda *args, **kwargs: 0.0  # so that the number at hand alone decides
    (times, weights, share), (gated, all_weights, rest) = shape.values()

    def refused(evidence: str) -> bool:
        with pytest.raises(Exception, match=f"{evidence} came as"):
            run_cell("shape-verdict", names, seeds=seeds)
        return True

    for minilm, smollm2, evidence in (
        ((2.0, weights, share), (gated, all_weights, rest), "widened"),  # twice as wide, as was said
        ((times, weights, share), (4.0, all_weights, rest), "gated"),
        ((times, weights, share), (gated, 1.5, rest), "counted"),
        ((times, weights, 0.3), (gated, all_weights, rest), "part"),
    ):
        names["shape"] = {"MiniLM": minilm, "SmolLM2": smollm2}
        assert refused(evidence)
    names["shape"], names["bent"] = shape, 0.1
    assert refused("bent")
    names["bent"], names["below"] = 13.0, 0.05
    assert refused("sign")


def test_a_model_that_cannot_learn_behind_its_activation_is_refused(real_names: dict) -> None:
    real_names["learn"] = lambda *args, **kwargs: math.log(8)
    with pytest.raises(Exception, match="trained came as"):
        run_cell("shape-verdict", real_names, seeds=("SEEDS = range(2)", "SEEDS = [11]"))


# ---------------------------------------------------------------------- what normalisation does


def test_norm_range(real_names: dict) -> None:
    names, after, learned = real_names, real_names["after"], real_names["learned"]
    for changed, evidence in (
        (after + 0.5, "centre"),
        (after * 0.5, "variance"),
        (after.sigmoid(), "outside"),
        (after.abs(), "negative"),
    ):
        names["after"] = changed
        assert refused_by_cell("norm-range-verdict", names, evidence)
    names["after"], names["learned"] = after, learned.sigmoid()
    assert refused_by_cell("norm-range-verdict", names, "learned")
    names["learned"] = learned
    for lost, control, evidence in (
        ((0.0, 0.0), -0.5, "quick"),
        ((1.9, 1.9), 0.0, "patient"),
        ((1.9, 0.0), 1.8, "centred"),
    ):
        names["ranges"], names["patient_range"] = {0: lost[0], -0.5: control}, lost[1]
        assert refused_by_cell("norm-range-verdict", names, evidence)


@pytest.mark.parametrize("least", [0, -0.5])
def test_a_norm_to_a_range_is_one(without_models: dict, least: float) -> None:
    brought = without_models["FromLeast"](least)(torch.randn(2, 7, 32))
    assert (brought.amin(-1) == least).all()
    torch.testing.assert_close(brought.amax(-1), torch.full((2, 7), least + 1.0))


def test_norm_needed(names: dict) -> None:
    grown, rates = names["grown"], names["rates"]
    for kind, other, evidence in (
        ("no norm", "post-norm", "factor"),
        ("pre-norm", "no norm", "root"),
        ("pre-norm", "post-norm", "root"),
        ("no norm, smaller start", "no norm", "small_start"),
    ):
        names["grown"] = grown | {kind: grown[other]}
        assert refused_by_cell("grow-verdict", names, evidence)
    names["grown"] = grown
    for change, evidence in (
        ({"no norm": [0.0, 0.0]}, "xavier"),
        ({"no norm, smaller start": rates["no norm"]}, "shrunk"),
        ({"no norm, smaller start": rates["pre-norm"]}, "fast"),
        ({"post-norm": rates["pre-norm"]}, "fast"),
    ):
        names["rates"] = rates | change
        assert refused_by_cell("grow-verdict", names, evidence)
    names["rates"], names["shallow"] = rates, math.log(8)
    assert refused_by_cell("grow-verdict", names, "shrunk")
    names["shallow"], patient = 0.0, names["patient"]
    for name, lost, evidence in (("no norm", 0.0, "xavier"), ("post-norm", 2.0, "gentle")):
        names["patient"] = patient | {name: lost}
        assert refused_by_cell("grow-verdict", names, evidence)


# ---------------------------------------------------------------------- deep without additions


def test_deep_needs_residuals(names: dict) -> None:
    arrives, trained, without = names["arrives"], names["trained"], names["without"]
    for kind, other, evidence in (
        ("neither", "norm", "whisper"),
        ("additions", "neither", "carried"),
        ("norm", "neither", "other"),
        ("norm", "additions", "alike"),
        ("additions and norm", "neither", "alike"),
    ):
        names["arrives"] = arrives | {kind: arrives[other]}
        assert refused_by_cell("deep-verdict", names, evidence)
    (ratio, cosines, _), (_, _, with_both) = arrives["norm"][-1], arrives["additions and norm"][-1]
    names["arrives"] = arrives | {"norm": [(ratio, cosines, with_both)]}
    assert refused_by_cell("deep-verdict", names, "queries")
    names["arrives"] = arrives
    for kind, other, evidence in (("norm", "additions", "bare"), ("additions", "norm", "added")):
        names["trained"] = {6: trained[6] | {kind: trained[6][other]}}
        assert refused_by_cell("deep-verdict", names, evidence)
    names["trained"] = trained
    for kind, lost, evidence in (("both", 2.0, "turned"), ("rotations", 0.0, "half")):
        names["without"] = without | {kind: lost}
        assert refused_by_cell("deep-verdict", names, evidence)
    names["without"], names["slow"] = without, 0.0  # patience does without additions
    assert refused_by_cell("deep-verdict", names, "bare")


def test_the_rotating_start_keeps_lengths_and_angles(without_models: dict) -> None:
    """Without norms, and with all weight on itself."""
    fresh, new = without_models["fresh"], without_models["NEW"][:5]
    model = without_models["rotating"](fresh(31, 3, norms=False, score_bias=without_models["Itself"]))
    for block in model.stack.blocks:
        nn.init.constant_(block.attention.score_bias.strength, 1e4)
    with torch.no_grad(), probing.additions_off(model), probing.recorded(model) as passed:
        model(new)
        entered, left = model.embedding(new) + model.places, passed.streams[-1]
    torch.testing.assert_close(left @ left.mT, entered @ entered.mT, atol=1e-3, rtol=1e-3)
    assert (left - entered).abs().max() > 0.1


@pytest.mark.usefixtures("own_errors")
def test_sixteen_layers_need_a_lower_rate(without_models: dict) -> None:
    """As the answer to "Your turn" says."""
    learn, both = without_models["learn"], without_models["rivals"]["both"]
    assert learn(both(16), 31, 300, rate=0.003, additions=False) < 0.5


def test_the_task_is_to_read_backwards(without_models: dict) -> None:
    rows = torch.tensor([[0, 1, 2, 3, 4, 5, 6, 7]])

    def perfect(rows: torch.Tensor) -> torch.Tensor:
        return 100.0 * nn.functional.one_hot(rows.flip(1), 8)

    assert without_models["loss"](perfect, rows) < 1e-6
    assert without_models["loss"](lambda rows: torch.zeros(1, 8, 8), rows) == pytest.approx(math.log(8))


def test_more_layers(names: dict) -> None:
    same_steps, memory, seconds = names["same_steps"], names["memory"], names["seconds"]
    names["same_steps"] = same_steps | {1: same_steps[8]}
    assert refused_by_cell("more-verdict", names, "helps")
    names["same_steps"], names["longer"] = same_steps, same_steps[8]
    assert refused_by_cell("more-verdict", names, "spent")
    names["longer"], names["memory"] = same_steps[8] - 0.3, memory | {8: 4 * memory[4]}
    assert refused_by_cell("more-verdict", names, "bytes")
    names["memory"], names["seconds"] = memory, seconds | {8: seconds[1]}
    assert refused_by_cell("more-verdict", names, "slower")


# ---------------------------------------------------------------------- the stream of a real model


def test_learn_the_difference(real_names: dict) -> None:
    names, layer_share, alone, skips = (
        real_names,
        real_names["layer_share"],
        real_names["alone"],
        real_names["skips"],
    )
    names["layer_share"] = 10 * layer_share
    assert refused_by_cell("stream-verdict", names, "size")
    names["layer_share"] = layer_share.clamp(max=1)
    assert refused_by_cell("stream-verdict", names, "first")
    names["layer_share"], names["alone"] = layer_share, alone + 1
    assert refused_by_cell("stream-verdict", names, "skip")
    names["alone"] = alone.clamp(max=0.1)
    assert refused_by_cell("stream-verdict", names, "worst")
    names["alone"], names["bare_rise"] = alone, 0.1
    assert refused_by_cell("stream-verdict", names, "bare")
    names["bare_rise"] = 8.0
    for way, evidence in (("without", "shared"), ("with", "chained")):
        names["skips"] = {"with": skips[way], "without": skips[way]}
        assert refused_by_cell("stream-verdict", names, evidence)


def test_layer_11_is_needed_for_one_number_of_one_token(real_names: dict) -> None:
    assert real_names["largest"] == 507
    not_first, but_number, only_first, not_number, elsewhere = real_names["cuts"].values()
    assert not_first == pytest.approx(real_names["alone"][11].item(), abs=0.4)
    assert max(abs(but_number), only_first, elsewhere) < 0.5
    assert not_number > 4


def test_the_other_long_tokens_are_the(real_names: dict) -> None:
    tokens, lengths = real_names["texts"][:, 1:], real_names["seen"].streams[5][:, 1:].norm(dim=-1)
    long = tokens[lengths > 500].tolist()
    assert len(long) > 0
    assert {real_names["tokenizer"].decode([token]) for token in long} == {" the"}


def test_layer_11_writes_it(real_names: dict) -> None:
    before, after = (real_names["seen"].streams[layer][:, 0, 507].abs() for layer in (10, 11))
    assert (after > 50 * before).all()


# ---------------------------------------------------------------------- what a layer would say


def test_the_answer_is_there_before_the_end(real_names: dict) -> None:
    plain, fitted, scaled = (shares[:, 0] for shares in real_names["lens"].values())
    assert plain[:-1].max() < 0.1
    assert scaled.max() < 0.4
    assert fitted[26:].min() > 0.5
    assert fitted[:20].max() < 0.1


def test_the_map_knows_the_city_from_layer_23_on(real_names: dict) -> None:
    among = real_names["lens"]["fitted map"][:, 1]
    assert among[:23].max() < 0.4
    assert among[23:].min() > 0.5


def test_the_capitals_need_a_layer_that_the_texts_do_not(real_names: dict) -> None:
    (leads, among), alone = real_names["knows"].T, real_names["alone"]
    assert max(among[23], alone[23]) < 0.3
    assert min(leads[28], alone[28] / 2) > 0.6
    for layer in (8, 21, 24):  # it begins otherwise, and still knows
        assert leads[layer] < 0.3
        assert among[layer] > 0.7


def test_no_capital_is_cut_in_pieces(real_names: dict) -> None:
    encode, cities = real_names["tokenizer"].encode, real_names["cities"]
    assert len(cities) == 12
    assert all(len(encode(f" {city}")) == 1 for city in cities)


def test_the_models_are_left_as_they_were(real: dict, smollm2: tuple, minilm: tuple) -> None:
    for model, _ in (smollm2, minilm):
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    torch.testing.assert_close(real["losses"](real["texts"]), real["intact"])
