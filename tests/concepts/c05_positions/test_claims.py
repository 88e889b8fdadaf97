"""The claims of notebook 05: its own cells, with other seeds, against the evidence that judges them.

The tests run the notebook's cells, so that the two cannot drift apart. A counter-test shows where each
claim's evidence says no: something takes the mechanism away, or a number says the opposite.
"""

from collections.abc import Callable

import torch
from notebook_cells import NotebookCells

from course_lib import probing
from course_lib.blocks import make_block
from course_lib.positions import PositionEmbedding

CELLS = NotebookCells("05_positions")
run_cell, refused_by_cell = CELLS.run, CELLS.refuses
NOT_HERE = {"explore"}  # the explorer has tests of its own, as the checks have
CHECK = 'try_it("05_positions/which_is_equivariant", which_is_equivariant)'


def left_behind(seed: int, minilm: Callable, smollm2: Callable) -> dict:
    """What the notebook's cells leave behind, all verdicts included, where models start from this seed."""
    changes = {
        "set-naive": {"check": (CHECK, "")},
        "set-run": {"seed": ("manual_seed(0)", f"manual_seed({seed})")},
        "order-draw": {"seed": ("manual_seed(0)", f"manual_seed({seed})")},
        "order-right": {"seeds": ("SEEDS = range(2)", f"SEEDS = [{seed}]")},
        "house-rivals": {"seed": ("manual_seed(3)", f"manual_seed({seed})")},
        "clock-scores": {"seed": ("manual_seed(1)", f"manual_seed({seed})")},
        "which-patient": {"seed": ("seed=0", f"seed={seed}")},
    }
    return CELLS.run_all(changes, NOT_HERE, minilm=minilm, smollm2=smollm2)


# ---------------------------------------------------------------------- who bit whom


def test_the_sentences_are_one_and_the_same(real_names: dict) -> None:
    as_it_is, without = real_names["as_it_is"], real_names["without"]
    assert 0.9 < as_it_is[0] < 0.995
    assert abs(without[0] - 1) < 1e-5
    assert abs(without[1] - without[2]) < 1e-5  # and so are the two with "was bitten by"
    assert as_it_is[2] > as_it_is[1]  # the one that says the same is not the nearer one


# ---------------------------------------------------------------------- a set


def test_a_set(names: dict) -> None:
    off = names["off"]
    for layer, evidence in (("attention", "mixed"), ("MLP", "mlp"), ("a whole layer", "layer")):
        names["off"] = off | {layer: off["convolution"]}
        assert refused_by_cell("set-verdict", names, evidence)
    names["off"] = off | {"MLP over places": 0.0}
    assert refused_by_cell("set-verdict", names, "over_places")


def test_a_classifier_with_positions_is_refused(names: dict) -> None:
    class WithPlaces(names["Reader"]):
        def __init__(self, *sizes: int, positions: bool) -> None:
            super().__init__(*sizes, positions=True)

    names["Reader"] = WithPlaces
    run_cell("set-answer", names)
    assert refused_by_cell("set-verdict", names, "answer")


def test_a_reader_behind_a_mask_that_learns_no_order_is_refused(names: dict) -> None:
    names["masked"] = names["masked"] | {"text": names["by_kind"]["text"]["without\npositions"]}
    assert refused_by_cell("set-verdict", names, "learned")


def test_without_its_mask_the_layer_is_refused_as_one_that_breaks_the_symmetry(names: dict) -> None:
    names["make_block"] = lambda width, heads, causal: make_block(width, heads)
    assert refused_by_cell("set-verdict", names, "masked")


def test_the_naive_check_is_fooled_and_the_mended_one_is_not(names: dict) -> None:
    """A layer that looks to the left and to the right alike passes when all is reversed."""
    moves, x = names["moves"], names["x"]

    def both_sides(x: torch.Tensor) -> torch.Tensor:
        return x + x.roll(1, dims=1) + x.roll(-1, dims=1)

    assert names["which_is_equivariant"]([both_sides], x) == [True]
    assert any(moves(both_sides, x, torch.randperm(7)) > 1e-4 for _ in range(30))


# ---------------------------------------------------------------------- does it matter?


def test_order_matters(names: dict) -> None:
    assert len(names["by_kind"]["text"]["with"]) == 1  # the other seeds are used
    mean = names["mean"]
    for kind, (without, have), evidence in (
        ("text", (0.55, 1.0), "text"),  # a bag tells which came first
        ("text", (0.5, 0.7), "text_with"),
        ("sound", (0.6, 0.99), "sound"),
        ("sound", (0.25, 0.5), "sound_with"),
        ("image", (0.9, 0.92), "image"),  # a bag of patches is as good
        ("image", (0.65, 0.7), "image_gain"),
    ):
        names["mean"] = mean | {kind: [without, have]}
        assert refused_by_cell("order-verdict", names, evidence)
    names["mean"], names["patient"] = mean, [mean["image"][1]]
    assert refused_by_cell("order-verdict", names, "image_patient")


def test_the_melodies_are_the_same_bag(without_models: dict) -> None:
    """Their spectra in another order, drawn anew for each: then positions do not help either."""
    (known, labels), (new, answers) = without_models["DATA"]["sound"]

    def scrambled(x: torch.Tensor) -> torch.Tensor:
        places = torch.rand(x.shape[:2]).argsort(1)
        return x.gather(1, places[..., None].expand_as(x))

    names = {**without_models, "DATA": {"sound": ((scrambled(known), labels), (scrambled(new), answers))}}
    run_cell("order-right", names)
    assert names["right"]("sound", seeds=[31])[0] < 0.4


# ---------------------------------------------------------------------- the reader gets a mask


def test_a_mask_tells_what_came_first(names: dict) -> None:
    assert min(names["masked"]["text"]) > 0.9
    assert min(names["masked"]["sound"]) > 0.8
    assert max(names["by_kind"]["text"]["without\npositions"]) == 0.5


def test_equal_tokens_learn_nothing_from_a_mask(names: dict) -> None:
    def spread(tokens: torch.Tensor, causal: bool) -> float:
        return float(names["first_weights"](tokens, causal=causal).rsplit(" ", 1)[1])

    assert spread(names["equal"], True) < 1e-12
    assert spread(names["fronted"], True) > 0.01
    assert spread(names["fronted"], False) < 1e-12


# ---------------------------------------------------------------------- house numbers


def test_house_numbers(names: dict) -> None:
    own, products = names["own"], names["PRODUCTS"]
    names["own"] = own[torch.arange(64) // 2]  # two to a house
    assert refused_by_cell("house-verdict", names, "nearest")
    names["own"] = own
    for other in (torch.eye(64).double(), torch.ones(64, 64).double()):  # nothing is near; all is
        names["PRODUCTS"] = products | {"waves": other}
        assert refused_by_cell("house-verdict", names, "near")
    louder = own * torch.arange(64)[:, None]
    for name, evidence, other in (
        ("waves", "waves", louder @ louder.T),
        ("one-hot", "one_hot", products["binary digits"]),
        ("binary digits", "digits", products["waves"]),
        ("waves behind matrices", "behind", products["waves"]),
    ):
        names["PRODUCTS"] = products | {name: other}
        assert refused_by_cell("house-verdict", names, evidence)
    names["PRODUCTS"] = products
    names["shift_error"] = (names["waves"](64, 32)[:-5] - names["waves"](64, 32)[5:]).abs().max()
    assert refused_by_cell("house-verdict", names, "shift")


def test_a_step_is_one_matrix_forth_and_back(names: dict) -> None:
    there, back = names["further"](7, 12), names["further"](-7, 12)
    torch.testing.assert_close(there @ back, torch.eye(12))
    table = names["waves"](40, 12)
    torch.testing.assert_close(table[:-7] @ there, table[7:], atol=1e-4, rtol=0)
    torch.testing.assert_close(table[7:] @ back, table[:-7], atol=1e-4, rtol=0)


def test_a_learned_table_starts_where_the_cache_ends(names: dict) -> None:
    ours, library = names["Places"](13, 6), PositionEmbedding(13, 6)
    library.load_state_dict(ours.state_dict())
    x = torch.randn(2, 5, 6)
    torch.testing.assert_close(ours(x, start=3), library(x, start=3))
    assert not torch.equal(ours(x, start=3), ours(x))


# ---------------------------------------------------------------------- a clock hand


def test_the_score_depends_on_the_distance_only(names: dict) -> None:
    turn = names["turn"]
    query, key = torch.randn(2, 1, 12)
    at = {t: (turn(query, start=t), turn(key, start=t + 4)) for t in (0, 3, 17)}
    products = [(left * right).sum().item() for left, right in at.values()]
    assert max(products) - min(products) < 1e-4
    other = (at[0][0] * at[3][1]).sum().item()
    assert abs(other - products[0]) > 1e-3


def test_pairs_of_halves_are_the_same_once_the_rows_are_reordered(names: dict) -> None:
    all_scores, w_query, w_key = (names[name] for name in ("all_scores", "w_query", "w_key"))
    assert (all_scores(w_query, w_key, False) - all_scores(w_query, w_key, True)).abs().max() > 0.1


# ---------------------------------------------------------------------- which way?


def test_rule_or_learned(names: dict) -> None:
    back, text, rivals, middle, last = (names[n] for n in ("back", "text", "rivals", "middle", "last"))
    names["back"] = back | {"learned": [[0.5, 0.13, 0.13]]}  # not even learned
    assert refused_by_cell("which-verdict", names, "trained")
    names["back"] = back
    names["last"] = last | {"learned": 1.0}  # a table that goes on
    assert refused_by_cell("which-verdict", names, "untrained")
    names["last"], names["middle"] = last, middle | {"sinusoidal": middle["learned"]}
    assert refused_by_cell("which-verdict", names, "rule")
    names["middle"] = middle
    names["last"] = last | {"relative": rivals["alibi, patient"][2]}
    assert refused_by_cell("which-verdict", names, "back_gap")
    names["last"], names["rivals"] = last, rivals | {"learned, random starts": back["learned"][0]}
    assert refused_by_cell("which-verdict", names, "everywhere")
    names["rivals"] = rivals
    for scheme, evidence, cost in (
        ("alibi", "bears", text["none"]),
        ("rotary", "unmet", text["none"]),
        ("alibi", "windowed", [0.5]),
    ):
        names["text"] = text | {scheme: cost}
        assert refused_by_cell("which-verdict", names, evidence)


def test_models_that_have_learned_nothing_find_nothing(without_models: dict) -> None:
    start = without_models["decoder"]("relative", 9, seed=31)
    assert max(without_models["back_right"](start)) < 0.3


def test_within_the_window_no_distance_is_new(without_models: dict) -> None:
    rivals = without_models["rivals"]
    assert min(rivals["rotary, window"]) > 0.9
    seen = without_models["BAND"].tril()[40].nonzero().flatten()  # the causal mask cuts off what comes later
    assert seen.tolist() == list(range(9, 41))


# ---------------------------------------------------------------------- in a real model


def test_only_distances_count(real_names: dict) -> None:
    losses = {name: each.mean() for name, each in real_names["losses"].items()}
    intact = losses.pop("intact")
    assert abs(losses.pop("1,000\nfurther") - intact) < 0.01
    assert abs(losses.pop("one and\na half") - intact) < 0.1
    assert min(losses.values()) > intact + 0.05
    assert losses["four times"] > intact + 1


def test_pairs_mixed_up_are_easily_missed(real_names: dict) -> None:
    assert real_names["smollm2"].rotary.interleaved  # put back
    assert 0.3 < real_names["mixed"] < 2


def test_a_window_needs_the_first_token(real_names: dict) -> None:
    """And not just any token from afar."""
    assert real_names["cut"] > 0.6
    assert real_names["kept"][0] < 0.4
    assert real_names["kept"][20] > 0.6


def test_the_models_are_left_as_they_were(real: dict, smollm2: tuple, minilm: tuple) -> None:
    for model, _ in (smollm2, minilm):
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    with probing.positions_changed(smollm2[0], lambda t: t):
        torch.testing.assert_close(real["text_losses"](), real["losses"]["intact"])
