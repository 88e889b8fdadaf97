"""The claims of notebook 07: its own cells, with other seeds, against the evidence that judges them.

The tests run the notebook's cells, so that the two cannot drift apart. A counter-test shows where each
claim's evidence says no: something takes the mechanism away, or a number says the opposite.
"""

import math
from collections.abc import Callable

import pytest
import torch
from notebook_cells import NotebookCells, no_model

from course_lib import probing, readers
from course_lib.attention import MultiHeadAttention
from course_lib.objectives import IGNORE, token_loss

CELLS = NotebookCells("07_mlm_vs_next_token")
run_cell, refused_by_cell = CELLS.run, CELLS.refuses
NOT_HERE = {"settings-explore", "explore"}  # the explorers have tests of their own, as the checks have
MASKED_LOSS = 'try_it("07_mlm_vs_next_token/masked_loss", masked_loss)'
TOP_P = 'try_it("07_mlm_vs_next_token/top_p", top_p)'


def left_behind(seed: int, minilm: Callable, smollm2: Callable) -> dict:
    """What the notebook's cells leave behind, all verdicts included, from this seed on."""
    changes = {
        "mask-run": {"seed": ("SEED = 0", f"SEED = {seed}")},
        "loss-naive": {"check": (MASKED_LOSS, "")},
        "settings-naive": {"check": (TOP_P, "")},
    }
    return CELLS.run_all(changes, NOT_HERE, minilm=minilm, smollm2=smollm2)


@pytest.fixture(scope="module")
def real(loaded_minilm: tuple, loaded_smollm2: tuple) -> dict:
    """With the real models."""
    return left_behind(11, lambda **_: loaded_minilm, lambda **_: loaded_smollm2)


@pytest.fixture(scope="module")
def without_models() -> dict:
    """As where the real models are not installed, and from other seeds again."""
    return left_behind(21, no_model, no_model)


@pytest.fixture
def real_names(real: dict) -> dict:
    return dict(real)


@pytest.fixture(params=["real", "without_models"])
def names(request: pytest.FixtureRequest) -> dict:
    return dict(request.getfixturevalue(request.param))


# ---------------------------------------------------------------------- one side, both sides


def test_another_end_makes_another_word(real_names: dict) -> None:
    cake, other = real_names["cake"], real_names["other"]
    assert real_names["before"][cake] < 0.01
    assert real_names["both"][cake] > 0.9
    assert other[cake] < 0.1


# ---------------------------------------------------------------------- hide and ask


def test_mask_15(names: dict) -> None:
    for instead, evidence in (
        ("special_ids=[PAD], fraction=0.8", "rate"),
        ("special_ids=[]", "spared"),
    ):
        run_cell("mask-run", names, change=("special_ids=[PAD]", instead))
        run_cell("mask-rates", names, shown=('outcome("masked", ', "print("), form=(', "{:.1%}")', ")"))
        assert refused_by_cell("why-verdict", names, evidence)
    run_cell("mask-run", names)
    run_cell("mask-rates", names)
    known = names["known_there"]
    for masks, mixed, evidence in (((2.8, 1.0), (2.8, 1.0), "unasked"), ((2.8, 3.5), (3.5, 1.0), "toll")):
        names["known_there"] = {"masks only": masks, "80, 10, 10 %": mixed}
        assert refused_by_cell("why-verdict", names, evidence)
    names["known_there"] = known


def test_masks_only_is_not_the_recipe(names: dict) -> None:
    """Every chosen character hidden: the shares of the chosen say so."""
    only, rows = names["masks_only"], names["rows"]
    inputs, targets = only(rows, readers.MASK_ID, generator=torch.Generator().manual_seed(3))
    chosen = targets != IGNORE
    assert ((inputs == readers.MASK_ID) == chosen).all()
    assert chosen.float().mean() == pytest.approx(0.15, abs=0.01)
    names["hidden"], names["parts"] = chosen, {"exchanged": chosen & ~chosen, "left": chosen & ~chosen}
    names["chosen"] = chosen
    names["ordinary"] = torch.ones_like(chosen)
    assert refused_by_cell("why-verdict", names, "masks")


def test_the_recipe_is_back_in_its_place(names: dict) -> None:
    assert readers.mask_tokens is names["recipe"]


def test_the_mended_loss_is_the_librarys(names: dict) -> None:
    logits, targets = torch.randn(2, 7, 11), torch.randint(11, (2, 7))
    targets[0, :5] = IGNORE
    naive = names["masked_loss"](logits, targets)
    asked = (targets != IGNORE).sum()
    assert (naive * targets.numel() / asked).item() == pytest.approx(token_loss(logits, targets).item())
    assert abs(naive - token_loss(logits, targets)) > 0.1


# ---------------------------------------------------------------------- the same body, twice


def test_both_begin_from_the_same_weights() -> None:
    one, two = (readers.make_reader(causal=causal, seed=5) for causal in (True, False))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert readers.is_causal(one)
    assert not readers.is_causal(two)


def test_mlm_head(names: dict) -> None:
    bends, right = names["bends"], names["right"]
    for name, value, evidence in (("reader", 0.3, "off"), ("BERT", 0.0, "bent")):
        names["bends"] = bends | {name: value}
        assert refused_by_cell("head-verdict", names, evidence)
    names["bends"] = bends
    for name, share, evidence in (
        ("both sides", right["bigram"], "accuracy"),
        ("counts, both", right["both sides"], "over"),
        ("unigram", 0.6, "unigram"),
        ("bigram", 0.6, "bigram"),
    ):
        names["right"] = right | {name: share}
        assert refused_by_cell("head-verdict", names, evidence)


def test_what_is_counted(names: dict) -> None:
    """The share of a character behind another one, counted in the text itself."""
    text, table = readers.decode(names["known"]), names["counted"]([-1], names["shares"]["unigram"], 1e-6)
    rows = readers.decode(names["pieces"][:, readers.GAP - 1])
    row = rows.index("e")
    share = text.count("e ") / text.count("e")
    assert table[row, readers.encode(" ")[0]].item() == pytest.approx(share, abs=0.002)
    torch.testing.assert_close(table.sum(1), torch.ones(len(table)))


def test_trying_is_scoring_the_whole_window(names: dict) -> None:
    model, piece = names["before_reader"], names["pieces"][3:4]
    window, scores = piece[:, 15:47].clone(), []
    for character in range(readers.MASK_ID):
        window[:, 16] = character
        with torch.no_grad():
            scores.append(-31 * token_loss(model(window[:, :-1]), window[:, 1:]))
    expected = -torch.stack(scores).log_softmax(0)[piece[0, readers.GAP]]
    torch.testing.assert_close(names["by_trying"](model, piece)[0], expected, atol=1e-3, rtol=1e-3)


# ---------------------------------------------------------------------- do two sentences belong together?


def test_sentence_pairs(real_names: dict) -> None:
    names = real_names
    for name, value, evidence in (
        ("by_token", 0.1, "blind"),
        ("trained", [0.5, 0.3, 0.5], "told"),
        ("by_words", [0.5, 0.5, 0.5], "overlap"),
        ("trained", [0.9, 0.9, 0.5], "same"),
        ("trained", [0.9, 0.6, 0.9], "reversed"),
        ("ordered", [0.5, 0.5, 0.9], "ordered"),
    ):
        kept, names[name] = names[name], value
        assert refused_by_cell("pairs-verdict", names, evidence)
        names[name] = kept


def test_no_document_is_in_training_and_test(names: dict) -> None:
    learned, tested = ({each[0].document for each in names[part]} for part in ("learned", "tested"))
    assert not learned & tested
    for first, following, elsewhere, same in names["draw"](names["tested"], 30):
        assert first.document == following.document == same.document != elsewhere.document
        assert same not in (first, following)


def test_a_head_on_shuffled_answers_tells_nothing(real_names: dict) -> None:
    names = real_names
    odd = torch.arange(len(names["a"])) % 2 == 0
    good, bad = (
        torch.where(odd[:, None], one, two)
        for one, two in ((names["b"], names["c"]), (names["c"], names["b"]))
    )
    told = names["judged"](names["head"]([(names["a"], good)], [(names["a"], bad)]))
    assert told["another document"] < 0.75


# ---------------------------------------------------------------------- what came before


def test_causal(names: dict) -> None:
    ends = names["ends"]
    for name, value, evidence in (
        ("ends", {"before": 0.01, "both sides": 1.0}, "moved"),
        ("ends", {"before": 0.0, "both sides": 0.0}, "control"),
        ("others", 1, "differing"),
        ("saved", 1.0, "saved"),
    ):
        kept, names[name] = names[name], value
        assert refused_by_cell("causal-verdict", names, evidence)
        names[name] = kept
    assert names["changed"](names["both_reader"], names["pieces"][:7, :32]) == pytest.approx(
        ends["both sides"], abs=0.1
    )


def test_the_mask_is_what_makes_it_causal(names: dict) -> None:
    model, ids = readers.make_reader(causal=True, seed=3), names["pieces"][:5, :32]
    assert names["changed"](model, ids) == 0
    names["causal"](model, False)
    assert names["changed"](model, ids) > 0.5


def test_smollm2_has_its_mask_again(real_names: dict) -> None:
    layers = [m for m in real_names["smollm2"].modules() if isinstance(m, MultiHeadAttention)]
    assert all(layer.causal for layer in layers)
    assert not any(block._forward_hooks for block in real_names["smollm2"].stack.blocks)
    assert real_names["lifted"] < real_names["whole"] - 1


def test_the_cache_saves_what_was_counted(names: dict) -> None:
    """Without it 4 + 5 + ... + 31 characters pass, with it 4 and 27 more."""
    assert names["saved"] == pytest.approx(sum(range(4, 32)) / 31)


# ---------------------------------------------------------------------- how a model writes


def test_the_mended_top_p_is_the_librarys(names: dict) -> None:
    shares = torch.tensor([[0.15, 0.5, 0.05, 0.3]])
    ordered, places = shares.sort(descending=True)
    kept = ordered * (ordered.cumsum(-1) - ordered < 0.7)
    mended = torch.zeros_like(shares).scatter(-1, places, kept / kept.sum())
    torch.testing.assert_close(mended, torch.tensor([[0.0, 0.625, 0.0, 0.375]]))
    torch.testing.assert_close(mended, names["next_token_probabilities"](shares.log(), top_p=0.7))
    torch.testing.assert_close(names["top_p"](shares, 0.7), torch.tensor([[0.0, 1.0, 0.0, 0.0]]))


def test_who_writes(names: dict) -> None:
    wrote = names["wrote"]
    assert wrote["the text itself"] > 0.9
    assert wrote["before"] > max(wrote["both sides"], wrote["both sides, twice gone over"]) + 0.1
    assert wrote["both sides"] > wrote["counts of two"] - 0.1


def test_what_counts_as_a_word(names: dict) -> None:
    rows = readers.encode("ab the qzx of cd")[None]
    assert names["real"](rows) == pytest.approx(2 / 3)


def test_encoder_or_decoder(real_names: dict) -> None:
    names = real_names
    live, wrote, probes, rivals = (names[name] for name in ("live", "wrote", "probes", "rivals"))
    both, before = live["both sides"], live["before"]
    for name, value, evidence in (
        ("asked", {"before": 2048, "both sides": 2048}, "asked"),
        ("live", {"before": both, "both sides": before}, "early"),
        ("late", -names["late"], "late"),
        ("rivals", rivals | {"before, 96 passes": rivals["before, one pass"]}, "tried"),
        ("wrote", wrote | {"before": wrote["both sides"]}, "decoder_writes"),
        ("wrote", wrote | {"both sides": wrote["before"]}, "encoder_writes"),
        ("probes", probes | {"SmolLM2": probes["words"]}, "SmolLM2"),
        ("probes", probes | {"MiniLM": [0.5] * 3}, "MiniLM"),
        ("probes", probes | {"words": probes["SmolLM2"]}, "words"),
    ):
        kept, names[name] = names[name], value
        assert refused_by_cell("both-verdict", names, evidence)
        names[name] = kept


def test_the_probe_finds_nothing_in_shuffled_answers(real_names: dict) -> None:
    names, lesson = real_names, real_names["lessons"][0]
    random = torch.Generator().manual_seed(1)
    names["positive"] = names["positive"][torch.randperm(len(names["positive"]), generator=random)]
    run_cell("both-probe", names)  # its function reads the answers of these names
    assert names["probe"](names["found"]["SmolLM2"], lesson) < 0.75


def test_the_probed_vector_is_that_of_layer_15(real_names: dict) -> None:
    texts = ["The food was cold.", "A book that I shall read again."]
    ids = real_names["tokenizer"].encode(texts[1])
    with probing.recorded(real_names["smollm2"]) as seen, torch.no_grad():
        real_names["smollm2"](torch.tensor([ids]))
    alone = real_names["vectors_of_reviews"](texts)[1]
    torch.testing.assert_close(alone, seen.streams[14][0, -1], atol=1e-2, rtol=1e-3)
    assert math.isfinite(alone.sum().item())
