"""The experiments of notebook 04 from another seed; with a mechanism broken each finds something else."""

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import nbformat
import pytest
import torch
from judged import judged
from torch.utils.flop_counter import FlopCounterMode

from course_lib import probing
from course_lib.attention import MultiHeadAttention
from course_lib.claims import Label
from course_lib.concepts.c04_multi_head import experiments, figures
from course_lib.concepts.c04_multi_head.experiments import (
    can_linear_attention_replace_it,
    can_other_mixers_replace_it,
    is_one_head_enough,
)
from course_lib.data import Examples, order, pair_recall, two_relations
from course_lib.mixers import linear_attention

SEED = 11


def one_relation(*sizes: Any) -> Examples:
    """Asked is only for the mark before."""
    found = two_relations(*sizes)
    return found._replace(targets=torch.where(found.targets >= 0, found.targets // 2, found.targets))


def counted(calls: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Operations in place of seconds; of the fused kernel, which torch does not count, those of the first."""
    amounts = []
    for call in calls:
        with FlopCounterMode(display=False) as counter:
            call()
        amounts.append(counter.get_total_flops())
    return [[amount or amounts[0]] for amount in amounts]


@pytest.fixture(scope="module")
def scores(loaded_smollm2: tuple, loaded_minilm: tuple) -> experiments.HeadScores:
    return experiments.head_scores(loaded_smollm2, loaded_minilm, seed=SEED)


@pytest.fixture(scope="module")
def subject(loaded_smollm2: tuple) -> experiments.FoundHead:
    return experiments.subject_head(loaded_smollm2, seed=SEED)


@pytest.fixture(scope="module")
def heads(
    loaded_smollm2: tuple,
    loaded_minilm: tuple,
    scores: experiments.HeadScores,
    subject: experiments.FoundHead,
) -> experiments.Specialists:
    return experiments.specialists(loaded_smollm2, loaded_minilm, seed=SEED, scores=scores, verb=subject)


@pytest.fixture(scope="module")
def few() -> experiments.FewHeads:
    """Of one width, and without longer rows: these take too long for a test."""
    return experiments.few_heads(SEED, far=0, widths=(32,))


@pytest.fixture(scope="module")
def counts(loaded_smollm2: tuple) -> experiments.HeadCounts:
    return experiments.head_counts(loaded_smollm2, seed=SEED, length=10, widths=(32,))


# ---------------------------------------------------------------------- small models


def test_they_run_with_other_sizes_and_repeat_what_they_find(loaded_smollm2: tuple) -> None:
    for run in (
        partial(experiments.few_heads, length=5, far=7, widths=(8, 16), steps=2),
        partial(experiments.state_sizes, pairs=4, steps=2, longer=(1, 3)),
        partial(experiments.other_mixers, pairs=4, widths=(8, 16), starts=1, steps=2),
    ):
        assert run(seed=3) == run(seed=3)
        assert run(seed=3) != run(seed=4)


def test_models_that_have_learned_nothing_solve_no_task() -> None:
    for task, sizes in ((order, (6, 10)), (pair_recall, (24, 33)), (two_relations, (10, 20))):
        assert experiments.learned(task, *sizes, seed=31, steps=1, width=16)[0] < 0.62


# ---------------------------------------------------------------------- one head too few


def test_one_graph_too_few(few: experiments.FewHeads) -> None:
    found = replace(few, far=few.near)  # longer rows take too long for a test
    assert judged("one-graph-too-few", found).label == Label.ONLY_IF
    assert math.isnan(few.longer)


def test_both_count_at_their_best_width_and_rate() -> None:
    found = experiments.few_heads(SEED, length=5, far=7, steps=5, widths=(8, 16))
    for rows, length in ((found.near, 5), (found.far, 7)):
        for name, n_heads, steps in (("two heads", 2, 5), ("one head, three times the steps", 1, 15)):
            tried = experiments.tuned(length, n_heads, steps, (8, 16), (0.003, 0.01), SEED)
            assert set(tried) == {(8, 0.003), (8, 0.01), (16, 0.003), (16, 0.01)}
            assert rows[name] == max(tried.values()) > min(tried.values())
    assert found.longer == pytest.approx(
        100 * (found.far["two heads"] - found.far["one head, three times the steps"])
    )


def test_two_heads_divide_two_questions_between_them() -> None:
    looks = experiments.two_questions(MultiHeadAttention, 2, seed=SEED, starts=1).looks
    last, coming = looks["the last mark"], looks["the next mark"]
    assert last.index(max(last)) != coming.index(max(coming))
    assert min(max(last), max(coming)) > 0.4


def test_one_head_tells_two_marks_apart_by_unequal_weights() -> None:
    """Not by knowing both and tossing a coin, which would be right in 1 and in 1/2 of the cases."""
    one = experiments.two_questions(MultiHeadAttention, 1)
    same, different, equal = experiments.by_marks(one).values()
    together = [mean(pair) for pair in zip(same, different, strict=True)]
    assert together == pytest.approx(one.right, abs=0.05)
    assert max(same) < 0.9
    assert min(different) > 0.55
    assert mean(different) - mean(equal) > 0.2


def test_a_single_relation_is_not_too_much_for_one_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(is_one_head_enough, "two_relations", one_relation)
    label, missed = judged("one-graph-too-few", experiments.few_heads(SEED, far=7, steps=100, widths=(32,)))
    assert label == Label.WRONG
    assert {"gain", "longer"} <= set(missed)


def test_where_the_marks_stand() -> None:
    inputs, _ = two_relations(5, 10, 20, torch.Generator().manual_seed(7))
    last, coming = experiments.mark_places(inputs)
    for row in range(5):
        is_mark = (inputs[row] < 3).tolist()
        for t in range(1, 9):
            before = max(s for s in range(t) if is_mark[s])
            after = min(s for s in range(t + 1, 10) if is_mark[s])
            assert last[row, t].nonzero().tolist() == [[before]]
            assert coming[row, t].nonzero().tolist() == [[after]]


# ---------------------------------------------------------------------- what heads look at


def test_attention_graph(smollm2: tuple) -> None:
    assert judged("attention-graph", experiments.graphs(smollm2, seed=SEED)).label == Label.TRUE


def test_heads_with_random_weights_are_one_graph(smollm2: tuple) -> None:
    model, tokenizer = smollm2
    found = experiments.graphs((experiments.untrained(model, SEED), tokenizer), n_texts=2)
    assert judged("attention-graph", found) == (Label.WRONG, ["typical", "twins"])


def test_what_would_have_to_move() -> None:
    """Against a loop; what goes to the first token does not count."""
    weights = torch.rand(2, 3, 2, 5, 5).tril().softmax(-1).tril()
    found = experiments.moved(weights)
    heads = weights.flatten(1, 2)
    for a in range(6):
        for b in range(6):
            apart = []
            for text in heads:
                for t in range(2, 5):
                    one, other = (row / row.sum() for row in text[[a, b], t, 1 : t + 1])
                    apart.append((one - other).abs().sum().item() / 2)
            assert found[a, b].item() == pytest.approx(mean(apart), abs=1e-5)


def test_scores_are_means_over_what_is_related() -> None:
    back = experiments.distance(32)
    looks_back = (back == 1).float().expand(2, 3, 5, 32, 32).clone()
    looks_back[:, 1, 2] *= 0.5
    found = experiments.score(looks_back, back == 1)
    assert found.shape == (3, 5)
    assert found[1, 2] == 0.5
    assert found.sum() == 14.5
    assert not experiments.score(looks_back, back == 2).any()
    only_one = torch.zeros(2, 32, 32, dtype=torch.bool)
    only_one[1, 4, 3] = True  # tokens without a related one do not count
    assert experiments.score(looks_back, only_one)[0, 0] == 1


def test_the_first_token(smollm2: tuple, scores: experiments.HeadScores) -> None:
    """Large weights, heads that are missed no more than others, and a token that is needed."""
    sink = experiments.first_token(smollm2, scores, seed=SEED)
    cost = {name: mean(losses) - sink.intact for name, losses in sink.losses.items()}
    assert (scores.trained["the first token"] > 0.5).sum() > 135
    assert cost["heads"] < 1.5 * cost["lot"]
    assert cost["token"] > 1
    assert cost["others"] < 0.2


# ---------------------------------------------------------------------- who copies?


def test_heads_specialise(heads: experiments.Specialists) -> None:
    assert judged("heads-specialise", heads) == (Label.ONLY_IF, [])


def test_if_most_heads_had_a_place_that_has_a_name_nothing_would_limit_it(heads: experiments.Specialists):
    known = replace(
        heads.scores, trained={**heads.scores.trained, "the token before": torch.full((30, 9), 0.6)}
    )
    assert judged("heads-specialise", replace(heads, scores=known)) == (Label.TRUE, ["named"])


def test_random_weights_have_no_specialists(loaded_smollm2: tuple, loaded_minilm: tuple) -> None:
    model, tokenizer = loaded_smollm2
    untrained = experiments.untrained(model, SEED), tokenizer
    label, missed = judged("heads-specialise", experiments.specialists(untrained, loaded_minilm))
    assert label == Label.WRONG
    assert {"previous", "copy_off", "subject"} <= set(missed)


def test_heads_that_stay_on_cost_nothing(
    smollm2: tuple,
    minilm: tuple,
    scores: experiments.HeadScores,
    subject: experiments.FoundHead,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probing, "heads_off", lambda model, heads: nullcontext())
    found = experiments.specialists(smollm2, minilm, scores=scores, verb=subject)
    assert set(judged("heads-specialise", found).missed) == {"copy_off", "handed"}


def test_one_head_for_the_token_before_is_needed_most(heads: experiments.Specialists) -> None:
    assert set(heads.copying[:3]) == {(18, 6), (17, 3), (17, 4)}
    assert heads.needed == (16, 0)
    assert 0.3 < heads.taken < 0.72  # "about half" is the nearest answer
    assert heads.alone[16, 0] > heads.without[1]
    saved = heads.first_copy - heads.without[0]
    assert sorted(heads.alone.values())[-2] - heads.without[0] < 0.15 * saved


def test_most_heads_that_park_their_weight_copy(heads: experiments.Specialists) -> None:
    most = experiments.ranked(heads.scores.trained["the first token"])[:20]
    assert len(set(most) & set(heads.copying)) > 10


def test_the_others_are_of_the_same_layers_and_do_not_copy(heads: experiments.Specialists) -> None:
    ten = heads.copying[:10]
    assert sorted(layer for layer, _ in heads.others) == sorted(layer for layer, _ in ten)
    assert len(set(heads.others)) == 10
    assert not set(heads.others) & set(heads.copying)


REQUEST = "Repeat after me: Brelindor Vastquimmel sings."


def test_the_name_is_forgotten_without_copying_heads(heads: experiments.Specialists, smollm2: tuple) -> None:
    """As the notebook's text says: four heads, or the note-taker; not twenty at random, nor one of ten."""
    assert len({*heads.copying[:10]} & {*experiments.TEN}) >= 8  # another draw ranks them nearly the same
    assert {*experiments.TEN} <= {*heads.copying}
    name = "Brelindor Vastquimmel"
    assert name in experiments.answer(smollm2, REQUEST)
    assert name in experiments.answer(smollm2, REQUEST, off=experiments.TWENTY_AT_RANDOM)
    assert name not in experiments.answer(smollm2, REQUEST, off=[(16, 0)])
    assert all(name in experiments.answer(smollm2, REQUEST, off=[head]) for head in experiments.TEN)
    assert name in experiments.answer(smollm2, REQUEST, off=experiments.TEN[:3])
    assert "Vastquimmel" not in experiments.answer(smollm2, REQUEST, off=experiments.TEN[:4])
    assert experiments.answer(smollm2, REQUEST, off=experiments.TEN).startswith("Blessed, I am Bless")


# ---------------------------------------------------------------------- the lecture's own heads


def test_a_place_alone_is_right_in_half() -> None:
    for choices in (experiments.pronouns, experiments.subjects):
        for half in (0, 1):
            found = choices(half)
            assert sum(right < wrong for right, wrong in zip(found.right, found.wrong, strict=True)) == (
                len(found.texts) / 2
            )
    texts = [{*experiments.pronouns(half).texts} for half in (0, 1)]
    assert not texts[0] & texts[1]
    assert not {*experiments.subjects(0).texts} & {*experiments.subjects(1).texts}


def test_the_right_noun_is_the_one_that_is_meant() -> None:
    found = experiments.pronouns(0)
    for text, right, wrong in zip(found.texts, found.right, found.wrong, strict=True):
        words = text.split()
        pair = (words[right], words[wrong])
        assert (pair if words[found.asking] == "he" else pair[::-1]) in experiments.PEOPLE
    found = experiments.subjects(1)
    for text, right, wrong in zip(found.texts, found.right, found.wrong, strict=True):
        words = text.split()
        assert words[right].endswith("s") == (words[found.asking] == "are") != words[wrong].endswith("s")


def test_heads_for_pronouns_and_subjects(
    heads: experiments.Specialists, subject: experiments.FoundHead
) -> None:
    pronoun = heads.she
    assert pronoun.ranking[0] == (1, 3)
    assert pronoun.right > 0.95
    assert pronoun.fresh < 0.75
    assert subject.ranking[0] == (13, 8)
    assert subject.right > 0.9
    assert subject.fresh < 0.75


def test_the_verb_agrees_without_the_heads_that_look_at_its_subject(
    loaded_smollm2: tuple, subject: experiments.FoundHead
) -> None:
    """Not without half of all heads."""
    right = {name: mean(each) for name, each in experiments.agreement(loaded_smollm2, subject).items()}
    assert right["all heads on"] > 0.75
    assert right["all heads on"] - right["6 subject heads off"] < 0.1
    assert right["6 others off"] - right["6 subject heads off"] < 0.15
    half = replace(subject, ranking=tuple(sorted(subject.ranking)))
    model, tokenizer = loaded_smollm2
    with probing.heads_off(model, half.ranking[:135]):
        broken = experiments.agreement((model, tokenizer), subject, n_heads=1)
    assert broken["all heads on"][0] < 0.7


def test_the_verb_fails_without_two_dozen_heads_that_look_at_its_subject(
    loaded_smollm2: tuple, subject: experiments.FoundHead
) -> None:
    """As "Your turn" finds; not without as many others."""
    found = experiments.agreement(loaded_smollm2, subject, n_heads=24)
    assert mean(found["24 subject heads off"]) < 0.65
    assert mean(found["24 others off"]) > 0.7


@pytest.mark.parametrize("n_heads", [1, 53, 135])
def test_the_verb_without_any_number_of_heads_up_to_half(
    loaded_smollm2: tuple, subject: experiments.FoundHead, n_heads: int
) -> None:
    found = experiments.agreement(loaded_smollm2, subject, n_heads=n_heads)
    assert list(found) == ["all heads on", f"{n_heads} subject heads off", f"{n_heads} others off"]
    assert len(found[f"{n_heads} others off"]) == 3


@pytest.mark.parametrize("n_heads", [0, 136])
def test_as_many_others_must_be_left(
    loaded_smollm2: tuple, subject: experiments.FoundHead, n_heads: int, own_errors: None
) -> None:
    text = f"n_heads has to be 1 to 135, half of all, so that as many others are left; got {n_heads}"
    with pytest.raises(ValueError, match=text):
        experiments.agreement(loaded_smollm2, subject, n_heads=n_heads)


def test_others_are_of_the_same_layers_or_where_these_have_no_more_of_the_nearest() -> None:
    shuffled = [(4, 0), (2, 1), (0, 1), (3, 0), (2, 0), (3, 1), (0, 0), (4, 1)]
    assert experiments.others_of([(2, 0), (4, 1)], [(2, 0), (4, 1)], shuffled) == [(2, 1), (4, 0)]
    assert experiments.others_of([(2, 0), (2, 1)], [(2, 0), (2, 1)], shuffled) == [(3, 0), (3, 1)]
    spared = [(2, 0), *((layer, head) for layer in (2, 3, 4) for head in (0, 1))]
    assert experiments.others_of([(2, 0)], spared, shuffled) == [(0, 1)]  # far, but not to be spared
    everything = experiments.others_of([(2, 0)], shuffled, shuffled)
    assert everything == [(2, 1)]  # all are to be spared, and one has to be taken


# ---------------------------------------------------------------------- what the learner mends


def mixed_up(heads: torch.Tensor) -> torch.Tensor:
    """The notebook's first attempt."""
    n_rows, n_heads, n_tokens, d_head = heads.shape
    return heads.reshape(n_rows, n_tokens, n_heads * d_head)


def cells(*names: str) -> str:
    notebook = nbformat.read(Path(__file__).parents[3] / "notebooks" / "04_multi_head.ipynb", as_version=4)
    sources = {cell.id: cell.source for cell in notebook.cells}
    return "\n".join(sources[name] for name in names)


@pytest.fixture
def lesson(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Runs cells of the notebook; what figures are given is kept under "drawn"."""

    def run(known: dict[str, Any], *names: str) -> dict[str, Any]:
        known["drawn"] = []
        for name in ("one_or_two", "copying"):
            monkeypatch.setattr(figures, name, lambda numbers, *_: known["drawn"].append(numbers))
        exec(cells("open-load", *names), known)  # the cells are ours
        return known

    return run


def test_a_join_that_mixes_tokens_changes_the_next_figure(lesson: Callable[..., dict[str, Any]]) -> None:
    names = ("heads-shapes", "heads-naive", "heads-module", "two-predict", "two-run")

    def two_heads(join: Callable[[torch.Tensor], torch.Tensor]) -> float:
        known: dict[str, Any] = {"join": join}
        lesson(known, *names[:2])
        known["join"] = join
        lesson(known, *names[2:])
        return mean(known["drawn"][0]["two heads"])

    right = two_heads(lambda heads: heads.transpose(1, 2).flatten(2))
    assert right > 0.9
    assert two_heads(mixed_up) < right - 0.1


def test_a_join_that_mixes_tokens_speaks_in_the_real_model(smollm2: tuple) -> None:
    model, _ = smollm2
    question = "What is the capital of France?"
    said = []
    for join in (mixed_up, lambda heads: heads.transpose(1, 2).flatten(2)):
        with experiments.with_join(model, join):
            said.append(experiments.answer(smollm2, question))
    assert "Paris" not in said[0]
    assert said[1] == experiments.answer(smollm2, question)
    assert "Paris" in said[1]


def test_a_score_for_other_heads_changes_the_next_figure(
    lesson: Callable[..., dict[str, Any]], smollm2: tuple
) -> None:
    model, tokenizer = smollm2
    weights = probing.weights_of(model, tokenizer.encode("The children hear Brelindor and Brelindor"))

    def rise(offset: int) -> float:
        first = experiments.ranked(weights.diagonal(offset, dim1=-2, dim2=-1).mean(-1))[0]
        known = {"smollm2": model, "first": first, "our_list": experiments.TEN}
        (losses,) = lesson(known, "copy-list", "copy-losses", "copy-predict", "copy-run")["drawn"]
        return losses["your note-taker"] - losses["none"]

    assert rise(-1) > 4
    assert rise(0) < 1


def test_a_layer_of_the_learner_shows_where_it_looks() -> None:
    """The weights read from its queries and keys are those that the library's own layer mixes with."""
    ids, _ = two_relations(3, 10, 20, torch.Generator().manual_seed(SEED))
    model = experiments.Small(20, n_heads=2)
    with probing.weights_recorded(model) as recorded, torch.no_grad():
        model(ids)
    assert torch.allclose(experiments.first_weights(model, ids), recorded[0], atol=1e-6)
    wrapped = experiments.Small(20, mixer=lambda: experiments.Unmasked(MultiHeadAttention(32, 2)))
    assert experiments.first_weights(wrapped, ids).shape == (3, 2, 10, 10)


# ---------------------------------------------------------------------- how many heads


def test_head_count_free(counts: experiments.HeadCounts) -> None:
    assert judged("head-count-free", counts).label == Label.ONLY_IF


def test_one_relation_needs_no_second_head(loaded_smollm2: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = loaded_smollm2
    untrained = experiments.untrained(model, SEED), tokenizer  # no head of it is needed
    monkeypatch.setattr(is_one_head_enough, "two_relations", one_relation)
    found = experiments.head_counts(untrained, seed=SEED, length=10, widths=(32,))
    label, missed = judged("head-count-free", found)
    assert label == Label.WRONG
    assert {"second", "half"} <= set(missed)


def test_a_dial_says_how_the_loss_reacts(smollm2: tuple) -> None:
    """Turning a head down a little moves the loss by the gradient at its dial."""
    model, tokenizer = smollm2
    ids = experiments.pieces(tokenizer.encode, n=1, length=16)
    layer, head, step = 16, 0, 0.05
    projection = model.stack.blocks[layer].attention.out_proj

    def loss_at(dial: float) -> float:
        def turn(module: object, args: tuple) -> tuple:
            mix = args[0].unflatten(-1, (9, 64)).clone()
            mix[..., head, :] *= dial
            return (mix.flatten(-2),)

        hook = projection.register_forward_pre_hook(turn)
        try:
            return experiments.loss_without(model, [], ids)
        finally:
            hook.remove()

    slope = abs(loss_at(1 + step) - loss_at(1 - step)) / (2 * step)
    need = experiments.importance(model, ids)[layer, head].item()
    assert need == pytest.approx(slope, rel=0.1, abs=1e-4)


# ---------------------------------------------------------------------- what it costs


def test_quadratic(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = partial(experiments.longer_texts, clock=counted)
    found = measure()
    assert judged("quadratic", found).label == Label.ONLY_IF
    assert found.operations == pytest.approx(2)
    monkeypatch.setitem(experiments.WAYS, "fused", experiments.WAYS["explicit"])  # it stores the table
    assert judged("quadratic", measure((512, 1024))).missed == ["fused_memory"]
    monkeypatch.setitem(experiments.WAYS, "explicit", linear_attention)  # it makes none
    label, missed = judged("quadratic", measure((512, 1024)))
    assert label == Label.WRONG
    assert {"operations", "explicit_time", "explicit_memory"} <= set(missed)


# ---------------------------------------------------------------------- what can replace it


def test_linear_attention() -> None:
    assert judged("linear-attention", experiments.state_sizes(SEED)) == (Label.ONLY_IF, [])


def test_a_state_that_keeps_every_token_has_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(can_linear_attention_replace_it, "LinearAttention", MultiHeadAttention)
    found = experiments.state_sizes(SEED, pairs=6, steps=150, rates=(0.03,), longer=(50, 150))
    assert "short" in judged("linear-attention", found).missed


def test_states_and_attention_count_at_their_best_rate() -> None:
    measure = partial(experiments.state_sizes, SEED, pairs=3, steps=5, longer=(1, 3))
    found = measure(rates=(0.001, 0.03))
    assert found.narrow == max(found.small.values()) > min(found.small.values())
    assert found.softmax == max(found.attention.values()) > min(found.attention.values())
    one, other = (measure(rates=(rate,)).longer for rate in (0.001, 0.03))
    assert found.longer == {n: max(one[n], other[n]) for n in (1, 3)}
    assert one[3] != other[3]


def test_other_mixers() -> None:
    found = experiments.other_mixers(SEED, widths=(16,), rates=(0.01,))
    assert judged("other-mixers", found) == (Label.ONLY_IF, [])


def test_a_mixer_that_asks_what_a_token_says_looks_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(can_other_mixers_replace_it, "FourierMixing", partial(MultiHeadAttention, 16, 1))
    found = experiments.other_mixers(SEED, starts=1, pairs=6, widths=(16,))
    assert "waves_looked" in judged("other-mixers", found).missed


def test_the_mixers_count_at_their_best_width_and_rate() -> None:
    found = experiments.other_mixers(SEED, starts=1, pairs=3, steps=3)
    for name, best in (("Fourier", found.waves_looked), ("MLP over places", found.learned_looked)):
        assert set(found.tuned[name]) == {(16, 0.01), (16, 0.03), (64, 0.01), (64, 0.03)}
        assert best == max(found.tuned[name].values()) > min(found.tuned[name].values())


def test_the_models_are_left_as_they_were(heads: object, counts: object, smollm2: tuple) -> None:
    model = smollm2[0]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
