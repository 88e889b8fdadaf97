"""The claims of notebook 03: its own cells, with other seeds, against the evidence that judges it.

The tests run the notebook's cells, so that the two cannot drift apart; a counter-test shows where each claim
would have been refused.
"""

from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from notebook_cells import NotebookCells, as_on_record, recorded
from torch import Tensor, nn

from course_lib import claims, maths, probing
from course_lib.attention import MultiHeadAttention, scaled_dot_product_attention
from course_lib.blocks import FeedForward
from course_lib.claims import load, verdict

CELLS = NotebookCells("03_qkv")
REAL_MODELS = ("minilm", "bark", "hidden", "real", "broken")
NOT_HERE = ("stepper", "end")  # what is only shown
SEEDS = (11, 12)


def judge(claim: str, **evidence: object) -> None:
    with recorded(*SEEDS):
        verdict(claim, **evidence)
    assert as_on_record(claim, claims.judge(claim, **evidence).numbers)


def refused(claim: str, missed: str, **evidence: object) -> bool:
    judgement = claims.judge(claim, **evidence)
    return missed in judgement.claim.missed(judgement.numbers)


@pytest.fixture(scope="module")
def notebook() -> Iterator[SimpleNamespace]:
    """What the notebook's cells leave behind, on the CPU and with other seeds; `judged` has its evidence."""
    judged: dict[str, dict] = {}
    names: dict = {"__name__": "__main__", "device": torch.device("cpu"), "probing": probing}
    threads = torch.get_num_threads()
    for cell_id, source in CELLS.items():
        if cell_id.startswith(REAL_MODELS) or cell_id in NOT_HERE:
            continue
        # The checks have tests of their own.
        source = "\n".join(line for line in source.splitlines() if "try_it(" not in line)
        source = source.replace("default_rng(0)", "default_rng(11)").replace(
            "manual_seed(0)", "manual_seed(11)"
        )
        source = source.replace("SEEDS = range(3)", f"SEEDS = {SEEDS}")
        exec(compile(source, cell_id, "exec"), names)
        if cell_id == "imports":
            names["verdict"] = lambda claim, **evidence: judged.update({claim: evidence})
    yield SimpleNamespace(**names, judged=judged)
    torch.set_num_threads(threads)


@pytest.fixture
def other(notebook: SimpleNamespace) -> Callable[..., dict]:
    """The evidence of a claim, with some of it replaced."""
    return lambda claim, **changes: {**notebook.judged[claim], **changes}


def test_the_other_seeds_are_used(notebook):
    assert notebook.SEEDS == SEEDS
    assert len(notebook.mixed["attention"]) == len(SEEDS)


# ---------------------------------------------------------------------- why the MLP is not enough


def others_linked(notebook: SimpleNamespace, layer: nn.Module) -> Tensor:
    return (notebook.links(layer)[~torch.eye(5, dtype=torch.bool)] > 0).sum()


def test_per_token_mlp(notebook, other):
    judge("per-token-mlp", **notebook.judged["per-token-mlp"])
    attention = others_linked(notebook, MultiHeadAttention(8, 1))
    assert refused("per-token-mlp", "linked", **other("per-token-mlp", linked=attention))


def test_mlp_blind(notebook, other):
    judge("mlp-blind", **notebook.judged["mlp-blind"])
    chooses = np.mean(notebook.mixed["attention"])
    assert refused("mlp-blind", "by_averaging", **other("mlp-blind", by_averaging=chooses))


def test_mlp_blind_would_notice_questions_that_the_letter_alone_answers(notebook, other, monkeypatch):
    def fixed_colours(n: int, random: torch.Generator) -> tuple[Tensor, ...]:
        letters, _, asked, _ = lookup(n, random)
        return letters, letters % 4, asked, asked % 4

    lookup = notebook.lookup
    monkeypatch.setitem(notebook.trained.__globals__, "lookup", fixed_colours)
    seen = notebook.accuracy(notebook.trained(lambda: notebook.Reader(FeedForward(32, 64)), SEEDS[0]))
    assert refused("mlp-blind", "mlps_alone", **other("mlp-blind", mlps_alone=seen))


def test_a_wide_average_gets_there_in_the_end(notebook):
    """As the notebook says: 98 to 99 % at width 128 after 3,000 steps (seeds 0, 1 and 11)."""

    def make():
        return notebook.Reader(notebook.Average(128), 128)

    assert notebook.accuracy(notebook.trained(make, SEEDS[0], steps=3000, rate=0.003)) > 0.95


def test_mlp_parallel(notebook):
    """All at once or one by one; for attention it is not the same."""
    judge("mlp-parallel", **notebook.judged["mlp-parallel"])
    attention, tokens = MultiHeadAttention(64, 1).requires_grad_(False), notebook.many
    alone = torch.cat([attention(token[None])[0] for token in tokens.split(1)])
    assert refused("mlp-parallel", "difference", difference=(attention(tokens[None])[0] - alone).abs().max())


def test_information_flow(notebook):
    judge("information-flow", **notebook.judged["information-flow"])
    one_way = others_linked(notebook, MultiHeadAttention(8, 1, causal=True))
    assert one_way == 10
    assert refused("information-flow", "linked", linked=one_way)


# ---------------------------------------------------------------------- from a query to the mix


def test_softmax_importance(notebook, other):
    judge("softmax-importance", **notebook.judged["softmax-importance"])
    scores = np.random.default_rng(11).normal(scale=3, size=(1000, 7))
    over_queries = np.abs(maths.softmax(scores, axis=0).sum(-1) - 1).max()
    assert refused("softmax-importance", "row_error", **other("softmax-importance", row_error=over_queries))
    assert refused("softmax-importance", "down_sum", **other("softmax-importance", down_sum=101))


def test_weighted_sum(notebook):
    judge("weighted-sum", **notebook.judged["weighted-sum"])
    parts = [torch.tensor(part) for part in (notebook.query[None], notebook.keys, notebook.values)]
    divided = np.abs(scaled_dot_product_attention(*parts)[0].numpy() - notebook.mix).max()
    assert refused("weighted-sum", "difference", difference=divided)


def test_mixing_weights(notebook, other):
    judge("mixing-weights", **notebook.judged["mixing-weights"])
    plain = notebook.scores / notebook.scores.sum()
    assert refused("mixing-weights", "least", **other("mixing-weights", least=plain.min()))
    powers = np.exp(notebook.scores)
    assert refused("mixing-weights", "row_error", **other("mixing-weights", row_error=abs(powers.sum() - 1)))


def test_dot_products(notebook):
    judge("dot-products", **notebook.judged["dot-products"])
    q, k, new_key = notebook.q, notebook.k, notebook.new_key
    itself_only = ((q * new_key).sum(-1) != (q * k).sum(-1)).sum()
    assert refused("dot-products", "moved", moved=itself_only)


def test_multiplication_order(notebook, other):
    judge("multiplication-order", **notebook.judged["multiplication-order"])
    square, x = notebook.W_q[:3], notebook.k
    not_turned = np.abs((square @ x.T).T - x @ square).max()
    assert refused("multiplication-order", "column", **other("multiplication-order", column=not_turned))
    assert refused("multiplication-order", "linear", **other("multiplication-order", linear=not_turned))


def test_three_projections(notebook, other):
    judge("three-projections", **notebook.judged["three-projections"])
    loops = notebook.attention_loops(notebook.q, notebook.k, notebook.v)
    one_map = np.abs(notebook.attention_matrices(notebook.q, notebook.q, notebook.v) - loops).max()
    assert refused("three-projections", "torch_off", **other("three-projections", torch_off=one_map))
    assert refused("three-projections", "layer_off", **other("three-projections", layer_off=one_map))


def growth(notebook: SimpleNamespace, power: float) -> float:
    scores = [[ask @ key.T / len(key[0]) ** power for ask, key in row] for row in notebook.draws]
    variance = np.array([[each.var() for each in row] for row in scores]).mean(0)
    return np.polyfit(np.log(notebook.widths), np.log(variance), 1)[0]


def test_sqrt_scaling(notebook, other):
    judge("sqrt-scaling", **notebook.judged["sqrt-scaling"])
    assert growth(notebook, 0.5) == pytest.approx(notebook.judged["sqrt-scaling"]["divided_growth"])
    for power in (0.25, 1.0):
        assert refused(
            "sqrt-scaling", "divided_growth", **other("sqrt-scaling", divided_growth=growth(notebook, power))
        )
    with_small_steps = np.mean(notebook.divided[128]) - np.mean(notebook.gentle)
    assert refused("sqrt-scaling", "wide_gain", **other("sqrt-scaling", wide_gain=with_small_steps))


# ---------------------------------------------------------------------- self and cross


def test_self_versus_cross(notebook, other, monkeypatch):
    judge("self-versus-cross", **notebook.judged["self-versus-cross"])
    lookup = notebook.lookup

    def another_list(n: int, random: torch.Generator) -> tuple[Tensor, ...]:
        letters, colours, asked, answers = lookup(n, random)
        return letters, colours.roll(1, dims=0), asked, answers

    model = notebook.trained(notebook.Asker, SEEDS[0])
    monkeypatch.setitem(notebook.trained.__globals__, "lookup", another_list)
    misled = notebook.accuracy(model)
    assert refused("self-versus-cross", "from_list", **other("self-versus-cross", from_list=misled))


def test_cross_attention_gives_one_output_per_query(notebook):
    letters, colours, asked, _ = notebook.lookup(2, torch.Generator().manual_seed(0))
    assert notebook.Asker()(letters, colours, asked).shape == (2, 3, 4)
    assert notebook.Asker()(letters[:, :5], colours[:, :5], asked).shape == (2, 3, 4)


# ---------------------------------------------------------------------- the original of 2017


@pytest.fixture(scope="module", params=SEEDS)
def translated(request: pytest.FixtureRequest, notebook: SimpleNamespace) -> SimpleNamespace:
    """What the cells about the translator leave behind."""
    names = dict(vars(notebook))
    for cell in ("original-train", "original-run"):
        seed = ("manual_seed(0)", f"manual_seed({request.param})")
        exec(compile(CELLS[cell].replace(*seed), cell, "exec"), names)
    return SimpleNamespace(**names)


def test_the_translator_gets_new_sentences_right_word_for_word(translated):
    right = (translated.written == translated.target[:, 1:]).all(1).float().mean()
    assert right > 0.95
    assert 5200 < len(translated.pairs[0]) < 5400  # as the notebook says


def test_without_the_sentence_it_cannot_know_the_words(translated):
    """Neither when the English is hidden, nor when it is that of another."""
    answers = translated.target[:, 1:]
    assert len({tuple(row) for row in translated.blind.tolist()}) == 1
    assert (translated.blind == answers[:, : translated.blind.shape[1]]).all(1).float().mean() < 0.01
    others = translated.source.roll(1, dims=0)
    written = translated.translator.translate(
        others, bos_id=1, eos_id=0, max_new_tokens=11, source_mask=others > 0
    )
    assert (written == answers).all(1).float().mean() < 0.01


def test_at_the_verb_the_writer_looks_back(translated):
    """In each sentence of the form "... has sold a ... letter", to the third or fourth English word."""
    source, target = translated.source, translated.target
    (has,) = translated.english.encode(["has"])
    with torch.no_grad(), probing.weights_recorded(translated.translator) as seen:
        translated.translator(source, target[:, :-1], source > 0)
    weights = seen[-1].mean(1)[(source == has).any(1)]
    assert len(weights) > 50
    thing, verb = weights[:, 5], weights[:, 6]
    assert (verb.argmax(-1) < thing.argmax(-1)).float().mean() > 0.9
    assert verb[:, 2:4].sum(-1).mean() > 2 * thing[:, 2:4].sum(-1).mean()
    assert verb[:, 2:4].sum(-1).mean() > 0.5


def test_shared_and_learned(notebook, other):
    judge("shared-and-learned", **notebook.judged["shared-and-learned"])
    untrained = notebook.before[notebook.own].mean()
    assert refused("shared-and-learned", "own_after", **other("shared-and-learned", own_after=untrained))
    neither = min(notebook.learns["neither"])
    assert refused(
        "shared-and-learned", "only_matrices", **other("shared-and-learned", only_matrices=neither)
    )
    assert refused("shared-and-learned", "only_vectors", **other("shared-and-learned", only_vectors=neither))


def test_shared_and_learned_holds_what_it_says_it_holds(notebook):
    start = notebook.trained(partial(notebook.fixed), SEEDS[0], steps=0)
    for learned, held in notebook.held.items():
        model = notebook.models[learned][0]
        for name in notebook.MATRICES + notebook.VECTORS:
            weight = f"{name}.weight"
            stayed = torch.equal(model.get_parameter(weight), start.get_parameter(weight))
            assert stayed == (name in held), f"{learned}: {name}"


def test_every_claim_of_the_notebook_is_tested_here():
    own = {claim.id for claim in load().values() if claim.notebook == "03_qkv"}
    tested = {name.removeprefix("test_").replace("_", "-") for name in globals() if name.startswith("test_")}
    assert own <= tested
    assert len(own) == 13
