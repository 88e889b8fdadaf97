"""What the cells of notebook 09 build is the library's model, and what is broken in them is heard."""

import ast
import math
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from course_lib import checks, data
from course_lib.concepts.c09_real_models import experiments
from course_lib.gguf_file import read_gguf, unpack_q4_1
from course_lib.pretrained import chat_prompt, smollm2_path

QUESTION = "What is the capital of France?"
LINE = "The capital of France is"
LABELS = experiments.LABELS
PARTS = ("rule-norm", "rule-attention", "rule-attention-mix")
WHOLE = ("rule-all", "chat-write")


def run(known: dict[str, Any], *names: str) -> dict[str, Any]:
    """What cells of the notebook import, define and compute, without what they print."""
    notebook = nbformat.read(Path(__file__).parents[3] / "notebooks" / "09_real_models.ipynb", as_version=4)
    sources = {cell.id: cell.source for cell in notebook.cells}
    for name in names:
        cell = ast.parse(sources[name])
        cell.body = [each for each in cell.body if not isinstance(each, ast.Expr | ast.For)]
        exec(compile(cell, name, "exec"), known)  # the cells are ours
    return known


@pytest.fixture(scope="module")
def given(loaded_smollm2: tuple) -> dict[str, Any]:
    """What the cells know when the rule begins."""
    known = {"torch": torch, "F": torch.nn.functional, "tensors": read_gguf(smollm2_path()).tensors}
    known |= {
        "tokenizer": loaded_smollm2[1],
        "experiments": experiments,
        "chat_prompt": chat_prompt,
        "QUESTION": QUESTION,
    }
    return run(known, "bits-all", *PARTS)


def with_mlp(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch, *, keep_faults: bool) -> dict[str, Any]:
    """The notebook's model, its MLP not mended yet."""
    monkeypatch.setattr(checks, "try_it", partial(checks.try_it, keep_faults=keep_faults))
    return run(dict(given), "rule-mlp", *WHOLE)


@pytest.fixture(scope="module")
def lesson(given: dict[str, Any]) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return run(
            with_mlp(given, monkeypatch, keep_faults=False), "break-unmasked", "break-two", "break-parts"
        )


def test_a_page_of_python_is_the_librarys_model(lesson: dict[str, Any], smollm2: tuple) -> None:
    model, tokenizer = smollm2
    ids = tokenizer.encode(chat_prompt(QUESTION))
    theirs = model(torch.tensor([ids]))[0]
    torch.testing.assert_close(lesson["scores"](ids, lesson["weights"]), theirs, rtol=0, atol=1e-3)
    assert lesson["write"](chat_prompt(QUESTION)) == f"{experiments.answer(smollm2, QUESTION)}<|im_end|>"


def test_an_mlp_with_a_fault_changes_what_is_said_next(
    given: dict[str, Any], lesson: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = with_mlp(given, monkeypatch, keep_faults=True)
    said = [known["write"](LINE, n=2) for known in (lesson, broken)]
    assert said[0] == " Paris."
    assert "Paris" not in said[1]


def test_each_fault_moves_the_scores_and_only_the_missing_mask_lowers_the_loss(
    lesson: dict[str, Any],
) -> None:
    scores, weights, tokenizer = lesson["scores"], lesson["weights"], lesson["tokenizer"]
    ids = tokenizer.encode(LINE)
    plain, intact = scores(ids, weights), experiments.two_texts_nats(scores, weights, tokenizer)
    for name, fault in lesson["FAULTS"].items():
        assert (scores(ids, weights, **fault) - plain).abs().max() > 0.1, name
        loss = experiments.two_texts_nats(scores, weights, tokenizer, **fault)
        assert (loss < 0.5 * intact) if name == "no mask" else (loss > intact), name


def test_it_answers_does_not_mean_it_is_right(lesson: dict[str, Any]) -> None:
    """As the notebook's text says: this fault says Paris, and ends at once in the chat form."""
    turned = lesson["FAULTS"]["rotation of other pairs"]
    assert lesson["write"](LINE, n=2, **turned) == " Paris."
    assert lesson["write"](chat_prompt(QUESTION), n=2, **turned) == "<|im_end|>"


def test_a_block_of_the_file_becomes_32_numbers() -> None:
    unpack = run({}, "bits-unpack")["unpack"]
    blocks = np.random.default_rng(3).integers(0, 60, (7, 20), dtype=np.uint8)
    for block, right in zip(blocks, unpack_q4_1(blocks), strict=True):
        np.testing.assert_allclose(unpack(block.tobytes()), right, rtol=1e-5, atol=1e-6)


def test_four_bits_find_the_files_levels_and_five_do_not(lesson: dict[str, Any]) -> None:
    rounded = run({"torch": torch}, "fewer-round")["rounded"]
    weights = lesson["weights"]
    array = weights["blk.3.attn_k"]
    for bits, moves in {8: False, 4: False, 5: True, 3: True}.items():
        moved = (rounded(array, bits) - array).abs().max() > 1e-4
        assert bool(moved) is moves, bits
    assert len(rounded(array, 2)[0, :32].unique()) <= 4
    coarse = experiments.coarser(weights, rounded, 2)
    changed = {name for name, each in coarse.items() if not torch.equal(each, weights[name])}
    assert changed == {name for name in weights if name.startswith("blk.") and "norm" not in name}


def test_fewer_bits_cost_more_below_those_of_the_file(lesson: dict[str, Any]) -> None:
    rounded = run({"torch": torch}, "fewer-round")["rounded"]
    scores, weights, tokenizer = lesson["scores"], lesson["weights"], lesson["tokenizer"]
    whole, four, three = (
        experiments.manual_nats(scores, each, tokenizer, n_tokens=80)
        for each in (weights, *(experiments.coarser(weights, rounded, bits) for bits in (4, 3)))
    )
    assert abs(four - whole) < 0.01 < 1 < three - whole


def test_a_proposal_saves_passes_and_a_wrong_one_changes_nothing(
    lesson: dict[str, Any], smollm2: tuple
) -> None:
    prompt = chat_prompt("Repeat this: one, two, three, four, five.")
    right = experiments.written(smollm2, prompt, 8)

    def passes(proposal: Any) -> int:
        known = run(dict(lesson), "lookup-define")
        known["proposal"] = proposal or known["proposal"]
        ids = lesson["tokenizer"].encode(prompt)
        start, n = len(ids), 0
        while len(ids) < start + len(right):
            ids += known["checked"](ids)
            n += 1
        assert ids[start : start + len(right)] == right
        return n

    assert passes(None) < 0.7 * len(right)
    assert passes(lambda ids: [7, 7, 7]) == len(right)


def test_the_rule_has_as_many_lines_as_the_notebook_shows() -> None:
    assert experiments.n_lines(run, test_a_block_of_the_file_becomes_32_numbers) == 13


# ------------------------------------------------------------------------------------- the second sitting


def few_questions() -> tuple:
    """All questions, but of the sentences a quarter, and those that answer one."""
    sentences, asked = data.questions()
    kept = sorted({*range(0, len(sentences), 4), *(n for question in asked for n in question.right)})
    asked = [each._replace(right=tuple(map(kept.index, each.right))) for each in asked]
    return [sentences[n] for n in kept], asked


def test_a_search_that_forgets_its_vectors_finds_nothing(
    minilm: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentences, asked = few_questions()
    monkeypatch.setattr(data, "questions", lambda: (sentences, asked))
    vectors = experiments.embed(minilm, sentences)
    found = experiments.places_found(minilm, vectors)
    mixed = experiments.places_found(minilm, vectors.roll(7, 0))
    first_ten = [sum(each <= 10 for each in places["MiniLM"][0]) for places in (found, mixed)]
    assert first_ten[0] >= 10
    assert first_ten[1] <= 2
    assert found["TF-IDF"] == mixed["TF-IDF"]


def test_examples_are_read_once_for_all_reviews(smollm2: tuple) -> None:
    """A beginning that all rows share, kept in a cache, gives what the whole text gives."""
    model, tokenizer = smollm2
    first, then = tokenizer.encode("Review: It was good.\n\n"), tokenizer.encode("Review: No.")
    cache = experiments._read_once(model, first, 2, len(then))
    kept = model.stack(model.embed(torch.tensor([then, then]), cache), cache=cache)
    whole = model.stack(model.embed(torch.tensor([first + then])))[0, len(first) :]
    for row in kept:
        torch.testing.assert_close(row, whole, rtol=0, atol=1e-3)
    assert experiments._read_once(model, [], 2, 3) is None


def test_labels_hardly_matter_and_what_ranks_is_the_review(
    smollm2: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, exchanged = (experiments.ranked(smollm2, each, 10) for each in (LABELS, LABELS[::-1]))
    assert right > 0.8
    assert exchanged > 0.8
    monkeypatch.setattr(experiments, "LABELS", LABELS[::-1])
    assert experiments.ranked(smollm2, LABELS, 10) == pytest.approx(1 - right)


def test_places_beyond_training_follow_the_seed() -> None:
    before = torch.get_rng_state()
    one, again, other = (experiments.beyond(16, 48, 10, seed=seed) for seed in (3, 3, 5))
    assert torch.equal(torch.get_rng_state(), before)
    for kind, bits in one.items():
        assert bits.shape == (48,)
        assert torch.equal(bits, again[kind])
        assert not torch.equal(bits, other[kind])


def test_norms_are_timed_by_name() -> None:
    times = experiments.norm_times(7)
    assert len(times) == 4
    assert all(time > 0 for time in times.values())


def test_a_loss_is_that_of_the_next_tokens() -> None:
    page = torch.tensor(Few().encode(data.python_topics()["assert"]))

    def knows_all(ids: list[int], weights: Any) -> torch.Tensor:
        return 50 * one_hot(page[1 : len(ids) + 1], 50).float()

    def knows_nothing(ids: list[int], weights: Any) -> torch.Tensor:
        return torch.zeros(len(ids), 50)

    assert experiments.manual_nats(knows_all, {}, Few()) < 0.01
    for loss in (experiments.manual_nats, experiments.two_texts_nats):
        assert loss(knows_nothing, {}, Few()) == pytest.approx(math.log(50))


class Few:
    """A tokenizer of fifty tokens."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) % 50 for letter in text]
