"""The claims of notebook 07: its own cells, with other seeds, against the evidence that judges them.

The tests run the notebook's cells, so that the two cannot drift apart. A counter-test shows where each
claim's evidence says no: something takes the mechanism away, or a number says the opposite.
"""

import math
from collections.abc import Callable

import pytest
import torch
from notebook_cells import NotebookCells

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


# ---------------------------------------------------------------------- one side, both sides


def test_another_end_makes_another_word(real_names: dict) -> None:
    cake, other = real_names["cake"], real_names["other"]
    assert real_names["before"][cake] < 0.01
    assert real_names["both"][cake] == real_names["both"].max() > 0.3
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
    for name, values, evidence in (
        ("masks only", (3.4, 1.0, 4.0), "unasked"),
        ("none exchanged", (3.4, 0.5, 4.5), "trust"),
        ("80, 10, 10", (4.4, 1.4, 4.3), "toll"),
    ):
        names["known_there"] = known | {name: values}
        assert refused_by_cell("why-verdict", names, evidence)
    names["known_there"] = known


@pytest.mark.parametrize(("choose", "hide"), [(0.15, 1.0), (0.4, 0.5)])
def test_a_recipe_hides_so_many_of_those_it_asks(names: dict, choose: float, hide: float) -> None:
    """A model that writes down what it reads, and is sure of what stood there before."""
    read, rows = [], names["rows"][:700, 1:]

    def model(ids: torch.Tensor) -> torch.Tensor:
        read.append(ids)
        return 100 * torch.nn.functional.one_hot(rows, 98).float()

    assert names["recipe"](choose, hide)(model, rows).item() == pytest.approx(0, abs=1e-6)
    hidden = read[0] == readers.MASK_ID
    assert torch.equal(read[0][~hidden], rows[~hidden])
    assert hidden.float().mean() == pytest.approx(choose * hide, abs=0.01)


def test_seldom_asks_of_15_percent(names: dict) -> None:
    """What comes next is a surprise of 1 nat at one character, and none elsewhere."""
    ids = torch.randint(90, (500, 33))
    losses = [names["seldom"](lambda inputs: torch.randn(*inputs.shape, 98), ids) for _ in range(2)]
    assert losses[0] != losses[1]

    def knows(inputs: torch.Tensor) -> torch.Tensor:
        return 100 * torch.nn.functional.one_hot(ids[:, 1:], 98).float()

    assert names["seldom"](knows, ids).item() == pytest.approx(0, abs=1e-6)


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
        ("counts, both", right["both sides"] - 0.2, "over"),
        ("unigram", 0.6, "unigram"),
        ("bigram", 0.6, "bigram"),
    ):
        names["right"] = right | {name: share}
        assert refused_by_cell("head-verdict", names, evidence)


def test_what_is_counted(names: dict) -> None:
    """The shares of what stands behind two characters, counted in the text itself."""
    text, pieces = names["text"][5:-5], names["pieces"]
    sure = torch.zeros(len(pieces), readers.MASK_ID)
    table = names["counted"]([-2, -1], sure)
    row = 7
    left = readers.decode(pieces[row, readers.GAP - 2 : readers.GAP])
    found = [text[n + 2] for n in range(len(text) - 2) if text[n : n + 2] == left]
    weight = len(set(found))
    for character in set(found):
        share = found.count(character) / (len(found) + weight)
        assert table[row, readers.encode(character)[0]].item() == pytest.approx(share, abs=0.01)
    torch.testing.assert_close(names["shares"]["counts, both"].sum(1), torch.ones(len(pieces)))


def test_no_middle_of_a_piece_is_in_the_training_text(names: dict) -> None:
    assert len(names["pieces"]) == 200
    assert not [p for p in names["pieces"] if readers.decode(p[15:47]) in names["text"]]
    assert len(names["candidates"]) == 300


def test_trying_is_scoring_the_whole_window(names: dict) -> None:
    model, piece = names["before_reader"], names["pieces"][3:4]
    window, scores = piece[:, 15:47].clone(), []
    for character in range(readers.MASK_ID):
        window[:, 16] = character
        with torch.no_grad():
            scores.append(-31 * token_loss(model(window[:, :-1]), window[:, 1:]))
    expected = -torch.stack(scores).log_softmax(0)[piece[0, readers.GAP]]
    torch.testing.assert_close(names["by_trying"](model, piece, [15])[0][0], expected, atol=1e-3, rtol=1e-3)


# ---------------------------------------------------------------------- do two sentences belong together?


def test_sentence_pairs(real_names: dict) -> None:
    names = real_names
    for name, value, evidence in (
        ("by_token", 0.1, "blind"),
        ("apart", [0.5, 0.3, 0.5], "told"),
        ("by_words", [0.5, 0.5, 0.5], "overlap"),
        ("apart", [0.9, 0.9, 0.5], "same"),
        ("within", [0.9, 0.9, 0.5], "own"),
        ("apart", [0.9, 0.7, 0.9], "reversed"),
        ("ordered", [0.5, 0.5, 0.9], "ordered"),
    ):
        kept, names[name] = names[name], value
        assert refused_by_cell("pairs-verdict", names, evidence)
        names[name] = kept


def test_what_is_drawn(names: dict) -> None:
    learned, tested = ({each[0].document for each in names[part]} for part in ("learned", "tested"))
    assert not learned & tested
    assert len(names["test"]) == 130
    for first, following, elsewhere, same in names["test"]:
        assert first.document == following.document == same.document != elsewhere.document
        assert same not in (first, following)
        assert f"{first.text} {following.text}" in names["prose"][first.document]


def test_a_head_on_shuffled_answers_tells_nothing(real_names: dict) -> None:
    names = real_names
    odd = (torch.arange(len(names["a"])) % 2 == 0)[:, None]
    good, bad = (torch.where(odd, names[one], names[two]) for one, two in ("bc", "cb"))
    head = names["head"]((names["a"], good), (names["a"], bad))
    assert names["judged"](head)["another document"] < 0.75


def test_long_words_alone_tell_no_more(names: dict) -> None:
    """As the notebook's answer says."""
    told = {}
    for letters in (1, 6):
        one, other = ([names["shared"](n, row, letters) for row in names["test"]] for n in (1, 2))
        told[letters] = names["ahead"](torch.tensor(one), torch.tensor(other))
    assert told[6] < told[1] + 0.05


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
    (earlier, last, _), (earlier_lifted, last_lifted, _) = real_names["whole"], real_names["lifted"]
    assert earlier_lifted < earlier - 1
    assert last_lifted > last + 0.5


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


def test_what_counts_as_a_word(names: dict) -> None:
    assert names["real"](["abcd these the qzxv value abcd"]) == pytest.approx(2 / 3)


def test_counts_write_what_stood_in_the_text(names: dict) -> None:
    text = names["text"]
    rows = names["by_counts"](3)
    assert [len(row) for row in rows] == [48] * 64
    assert sum(row[n : n + 4] in text for row in rows for n in range(45)) / (64 * 45) > 0.99


def test_encoder_or_decoder(real_names: dict) -> None:
    names = real_names
    live, wrote, probes, rivals = (names[name] for name in ("live", "wrote", "probes", "rivals"))
    before = live["before"]
    rounds = wrote | {"both sides, twice gone over": wrote["before"]}
    for name, value, evidence in (
        ("asked", {"before": 2048, "both sides": 2048}, "asked"),
        ("live", live | {"both sides": [loss + 0.1 for loss in before]}, "early"),
        ("live", live | {names["SELDOM"]: before}, "answers"),
        ("late", -names["late"], "late"),
        ("rivals", rivals | {"before, trying, 15 later": rivals["both sides, one pass"]}, "tried"),
        ("wrote", wrote | {"before": 0.6}, "decoder_writes"),
        ("wrote", rounds, "behind"),
        ("wrote", wrote | {"counts of three": 0.05}, "scraps"),
        ("probes", probes | {"SmolLM2": probes["words"]}, "decoder_told"),
        ("probes", probes | {"MiniLM": probes["SmolLM2"]}, "ahead"),
        ("probes", probes | {"words": probes["SmolLM2"]}, "words"),
    ):
        kept, names[name] = names[name], value
        run_cell("both-sums", names)
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
