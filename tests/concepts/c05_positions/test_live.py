"""What notebook 05 does to its models, in the cells and in `live`: clocks that are set, tables, jumps."""

from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch

from course_lib import probing
from course_lib.attention import scaled_dot_product_attention
from course_lib.checks import check, examine, find_task, try_it
from course_lib.checks.show import CheckFailed
from course_lib.concepts.c05_positions import live
from course_lib.decoder import GPT, GPTConfig, LlamaConfig
from course_lib.positions import sinusoidal
from course_lib.pretrained import chat_prompt

NOTEBOOK = Path(__file__).parents[3] / "notebooks" / "05_positions.ipynb"
REQUEST = "Repeat after me: Olbrandis Kewtimole sings."
SPEEDS = {
    "waves": ("torch.ones(d // 2)", "10000 ** (-torch.arange(0, d, 2) / d)"),
    "rotate": (
        "torch.ones(x.shape[-1] // 2)",
        "base ** (-torch.arange(0, x.shape[-1], 2) / x.shape[-1])",
    ),
}


def cell(name: str) -> str:
    sources = {each.id: each.source for each in nbformat.read(NOTEBOOK, as_version=4).cells}
    return sources[name]


def written(function: str, *, mended: bool = True) -> Any:
    """What a learner has in the cell: the attempt, or with the line that stands under *One way*."""
    source, (attempt, right) = cell(f"{function}-naive"), SPEEDS[function]
    assert source.count(attempt) == 1
    assert right in cell(f"{function}-turn")
    known: dict[str, Any] = {"torch": torch, "live": live, "try_it": lambda task, learner: learner}
    exec(source.replace(attempt, right) if mended else source, known)  # the cells are ours
    return known[function]


def small(**other: Any) -> GPT:
    return GPT(LlamaConfig(11, 31, d_model=24, n_layers=2, n_heads=3, **other))


# ------------------------------------------------------------------------------------------ what is asked


@pytest.mark.parametrize("function", SPEEDS)
def test_the_attempt_has_its_mistake_named_and_the_way_that_is_told_is_right(function: str) -> None:
    task = live.asked(function)
    wrong = examine(task, written(function, mended=False))
    assert wrong.misconception in {"one speed for all hands", "one angle for all pairs"}
    assert task.call in {"waves(places, d)", "rotate(x, places, base)"}
    for seed in range(3):
        assert examine(task, written(function), seed=seed).problem == ""
        for case in task.cases(np.random.default_rng(seed)):
            right = task.reference(**case.inputs)
            torch.testing.assert_close(task.answer(**case.inputs), right, rtol=0, atol=1e-4)


@pytest.mark.parametrize("function", SPEEDS)
def test_every_known_mistake_is_refused_in_the_notebooks_form(function: str) -> None:
    task = live.asked(function)
    passed = [known.name for known in task.misconceptions if examine(task, known.wrong).passed]
    assert passed == []


@pytest.mark.parametrize(("function", "exercise"), [("waves", "sinusoids"), ("rotate", "rotate_pairs")])
def test_what_stands_in_the_notebook_is_no_answer_to_the_exercise(function: str, exercise: str) -> None:
    task = find_task(f"05_positions/{exercise}")
    assert not examine(task, written(function)).passed
    with pytest.raises(CheckFailed):
        check(f"05_positions/{exercise}", written(function))


def test_until_it_is_mended_the_courses_own_runs_for_any_places(capsys: pytest.CaptureFixture[str]) -> None:
    places = torch.tensor([3.5, -1.0, 0.0, 100.0, 7.0])
    for function, given in (("waves", (places, 8)), ("rotate", (torch.randn(2, 3, 5, 8), places))):
        own = try_it(live.asked(function), written(function, mended=False))
        assert own is getattr(live, function)
        torch.testing.assert_close(own(*given), written(function)(*given), rtol=0, atol=1e-5)
    assert "the course's own runs" in capsys.readouterr().out
    torch.testing.assert_close(live.waves(torch.arange(13), 6), sinusoidal(13, 6))


def test_nothing_else_is_asked() -> None:
    with pytest.raises(ValueError, match="asks for waves and for rotate; got 'turn'"):
        live.asked("turn")


# ------------------------------------------------------------------------------------------ clocks


def test_a_place_set_back_by_the_learner_is_the_clock_of_the_beginning(smollm2: tuple) -> None:
    model, tokenizer = smollm2
    known = {"torch": torch, "live": live, "smollm2": model, "rotate": written("rotate")}
    exec(cell("set-define"), known)
    ids = torch.tensor([tokenizer.encode(REQUEST)])
    with torch.no_grad():
        before = model(ids)
        with live.place_set(model, [(16, 0)], by=-1):
            at_first = model(ids)
        with known["clock_of_16_0"](-1):
            at_last = model(ids)
        torch.testing.assert_close(at_last, at_first, rtol=0, atol=1e-3)
        assert (at_first - before).abs().max() > 0.1
        torch.testing.assert_close(model(ids), before, rtol=0, atol=0)


def test_what_is_left_out_when_the_clock_is_wrong(smollm2: tuple) -> None:
    said = {}
    for by in (0, -1, 1):
        with live.place_set(smollm2[0], [(16, 0)], by):
            said[by] = live.says(smollm2, REQUEST)
    assert said[0] == "Olbrandis Kewtimole sings."
    assert said[-1] == "Olbrand Ktim sings."
    assert said[1].startswith("Ol Ol Ol Ol")
    became = [live.became(said[0], each) for each in said.values()]
    assert became == ["the same", "something is left out", "something else"]


def test_words_that_come_twice() -> None:
    assert live.became("One, two.", "One, two. One, two.") == "something comes twice"
    assert live.became("One, two.", "One, two, three.") == "something else"


def test_a_head_asks_from_where_its_clock_says() -> None:
    model, ids = small(), torch.tensor([[3, 1, 4, 1, 5, 9, 2]])
    with torch.no_grad(), live.place_set(model, [(0, 1), (0, 2), (1, 0)], by=2):
        with pytest.raises(ValueError, match="shows no weights"):
            probing.weights_of(model, ids[0])
        turned = model(ids)
    assert not torch.allclose(turned, model(ids), atol=1e-4)
    assert all(block.attention.attend is scaled_dot_product_attention for block in model.stack.blocks)
    with live.place_set(model, [(0, 1)], by=0):
        torch.testing.assert_close(model(ids), model(ids))


def test_layers_and_clocks_that_there_are_not_are_said() -> None:
    with (
        pytest.raises(ValueError, match="layer must be from 0 to 1; got 2"),
        live.attending(small(), 2, scaled_dot_product_attention),
    ):
        pass
    learned = GPT(GPTConfig(11, 31, d_model=24, n_layers=2, n_heads=3))
    with (
        pytest.raises(ValueError, match="GPT does not turn its queries and keys"),
        live.place_set(learned, [(0, 0)], 1),
    ):
        pass


def test_all_layers_turn_with_the_learners_function() -> None:
    model, ids = small(), torch.tensor([[3, 1, 4, 1, 5, 9, 2]])
    with torch.no_grad():
        own = model(ids)
        with live.turned_by(model, written("rotate")):
            torch.testing.assert_close(model(ids), own, rtol=0, atol=1e-6)
        with live.turned_by(model, written("rotate"), lambda t: t + 1000):
            torch.testing.assert_close(model(ids), own, rtol=0, atol=1e-6)
        with live.turned_by(model, written("rotate"), lambda t: 4 * t):
            assert (model(ids) - own).abs().max() > 1e-4
        with live.turned_by(model, written("rotate"), base=2.0):
            assert (model(ids) - own).abs().max() > 1e-5
        torch.testing.assert_close(model(ids), own, rtol=0, atol=0)


def test_a_new_token_stands_behind_those_that_are_kept() -> None:
    model, ids = small(), torch.tensor([[3, 1, 4, 1, 5, 9, 2]])
    with torch.no_grad(), live.turned_by(model, written("rotate"), lambda t: t + 9 * (t >= 5)):
        cache = model.new_cache(1, 7)
        parts = [model(ids[:, :4], cache), model(ids[:, 4:], cache)]
        torch.testing.assert_close(torch.cat(parts, 1), model(ids), rtol=0, atol=1e-5)


def test_cards_lie_anyhow_and_numbers_count(smollm2: tuple) -> None:
    model, tokenizer = smollm2
    ids = torch.tensor(tokenizer.encode("He went from Paris to London. Now he is in"))
    places, order = torch.arange(len(ids)), torch.randperm(len(ids))
    in_order = live.next_word(smollm2, ids, places)
    with torch.no_grad():
        torch.testing.assert_close(in_order, model(ids[None])[0, -1].softmax(-1), rtol=0, atol=1e-4)
    torch.testing.assert_close(
        live.next_word(smollm2, ids[order], places[order]), in_order, rtol=0, atol=1e-4
    )
    assert live.likeliest(smollm2, in_order, 1) == "'London' 17%"
    assert all(block.attention.causal for block in model.stack.blocks)
    one, other = (tokenizer.encode(name)[0] for name in (" Paris", " London"))
    at, then = ids.tolist().index(one), ids.tolist().index(other)
    words, numbers = ids.clone(), places.clone()
    words[[at, then]], numbers[[at, then]] = ids[[then, at]], places[[then, at]]
    exchanged = live.next_word(smollm2, ids, numbers)
    torch.testing.assert_close(exchanged, live.next_word(smollm2, words, places), rtol=0, atol=1e-4)
    assert exchanged[one] > 0.1 > in_order[one]


# ------------------------------------------------------------------------------------------ MiniLM's table


def test_a_table_of_places_is_added_and_taken_out_again(minilm: tuple) -> None:
    reader, _ = minilm
    table = reader.position_embedding.weight.detach()
    before, after = live.looks(minilm)
    assert before > 0.99
    assert 0.6 < after < 0.8
    found = live.at_work(minilm, {"own": table, "nowhere": table.mean(0).expand_as(table)})
    assert found["own"] == pytest.approx((before, after, 1), abs=1e-5)
    assert max(found["nowhere"][:2]) < 0.1
    assert found["nowhere"][2] < 0.9
    with pytest.raises(ValueError, match=r"shape \(512, 384\), a row for each place; got \(511, 384\)"):
        live.at_work(minilm, {"too short": table[1:]})


def test_sentences_that_are_moved_on_stay_nearly_the_same(minilm: tuple) -> None:
    here, near, far = live.moved_on(minilm, (0, 1, 300)).values()
    assert here == pytest.approx(1, abs=1e-5)
    assert 0.99 < near < 1 - 1e-4
    assert far < 0.85


# ------------------------------------------------------------------------------------------ copies and jumps


def test_what_is_expected_next_moves_with_the_clock(smollm2: tuple) -> None:
    for by in (0, -1):
        with live.place_set(smollm2[0], [(16, 0)], by):
            assert np.argmin(live.copied(smollm2[0], seeds=(7,))) == 1 - by


def test_the_second_half_alone_is_asked_for_with_other_angles(smollm2: tuple) -> None:
    model, _ = smollm2
    texts = live.pieces_of_reviews(smollm2, n=2, length=14)
    assert texts.shape == (2, 14)
    speeds = 100_000 ** (-torch.arange(32).double() / 32)
    angles = torch.arange(14)[:, None] * speeds
    with torch.no_grad():
        chances = model(texts).log_softmax(-1)
        asked = -chances[:, 7:-1].gather(-1, texts[:, 8:, None]).mean().item()
    assert live.second_half(model, texts, angles) == pytest.approx(asked, abs=1e-4)
    assert live.second_half(model, texts, angles + speeds, begin=7) == pytest.approx(asked, abs=1e-3)
    assert live.second_half(model, texts, 0 * angles) > asked + 0.1
    with pytest.raises(ValueError, match=r"a row for each of 14 tokens; got shape \(13, 32\)"):
        live.second_half(model, texts, angles[1:])
    assert live.page_of_manual(smollm2, length=17).shape == (1, 17)


def test_the_answer_begins_where_the_turn_of_the_assistant_does(smollm2: tuple) -> None:
    _, tokenizer = smollm2
    n = live.tokens_before_the_answer(smollm2, REQUEST)
    pieces = tokenizer.pieces(chat_prompt(REQUEST))
    assert "".join(pieces[n:]) == "<|im_start|>assistant\n"


def test_how_it_goes_on_is_one_line(smollm2: tuple) -> None:
    said = live.goes_on(smollm2, "One, two, three, four,")
    assert said == "One, two, three, four, five, six, seven, eight, and nine, respectively."


def test_the_course_has_the_task_in_the_notebooks_form_once() -> None:
    assert live.asked("waves") is live.asked("waves")
    assert partial(live.asked, "rotate")().name == "05_positions/rotate_pairs"


def turning(rounds: tuple[float, ...], places: int = 211, width: int = 23) -> torch.Tensor:
    """Rows in which hands turn, each in two of the width's directions, which stand askew."""
    angles = torch.arange(places).double()[:, None] * 2 * torch.pi / torch.tensor(rounds).double()
    pairs = torch.stack([angles.cos(), angles.sin()], dim=-1).flatten(-2)  # (places, 2 hands)
    draw = torch.Generator().manual_seed(5)
    askew = torch.linalg.qr(torch.randn(width, width, generator=draw).double()).Q[: 2 * len(rounds)]
    return pairs @ askew + 3


def test_hands_are_found_where_there_are_some() -> None:
    found = live.hands_in(turning((31.0, 7.0)), n_directions=4)
    assert found.rounds == pytest.approx([7, 31], rel=1e-3)
    assert found.missed < 1e-4
    assert found.directions.shape == (4, 23)
    rows = turning((31.0, 7.0))
    lies = (rows - rows.mean(0)) @ found.planes[0].T  # (places, 2): where each lies on the quick hand's sheet
    assert lies[7:].numpy() == pytest.approx(lies[:-7].numpy(), abs=1e-2)
    assert lies.norm(dim=1).std() < 0.05 * lies.norm(dim=1).mean()


def test_what_only_grows_has_no_hand_and_too_few_rows_are_said() -> None:
    grows = 1.3 ** torch.arange(41).double()[:, None] * torch.tensor([1.0, -2.0, 0.5]).double()
    assert live.hands_in(grows, n_directions=1).rounds == []
    with pytest.raises(ValueError, match=r"more rows than that; got 16"):
        live.hands_in(torch.randn(16, 23))


def test_a_table_keeps_what_lies_in_its_directions_alone() -> None:
    table = torch.randn(43, 7, generator=torch.Generator().manual_seed(2)).double()
    kept = live.only(table, torch.tensor([[2.0, 0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0]]))
    assert torch.equal(kept[0], table[0])
    torch.testing.assert_close(kept[1:, :2], table[1:, :2])
    torch.testing.assert_close(kept[1:, 2:], table[1:, 2:].mean(0).expand(42, -1))


def test_the_largest_directions_and_the_next() -> None:
    table = torch.randn(211, 5, generator=torch.Generator().manual_seed(3)).double() * torch.tensor(
        [1.0, 9.0, 3.0, 0.1, 27.0]
    )
    table[0] = 1e6  # the first mark's, which does not count
    first = live.largest(table, 1)
    assert first[0].abs().argmax() == 4
    assert live.largest(table, 1, besides=first)[0].abs().argmax() == 1
    assert live.share(table[1:], live.largest(table, 2)) > 0.98
    assert live.share(table[1:], torch.eye(5)[3:4]) < 0.001
    assert live.share(table[1:], torch.eye(5)) == pytest.approx(1)
