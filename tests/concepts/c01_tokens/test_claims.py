"""The claims of notebook 01: its own cells, with other seeds, against the evidence that judges them.

The tests run the notebook's cells, so that the two cannot drift apart. A counter-test shows where each
claim's evidence says no.
"""

import random

import numpy as np
import pytest
import torch
from notebook_cells import NotebookCells, no_model, recorded

from course_lib import pretrained
from course_lib.bpe import BPETokenizer
from course_lib.checks import examine, find_task

CELLS = NotebookCells("01_tokens")
run_cell, refused_by_cell = CELLS.run, CELLS.refuses
SEEDS = (11, 12)
# These train or write for seconds, or need what those leave behind.
LATER = {"open-count", "open-spell", "ghosts-run", "learned-run", "end-predictions"}
LATER |= {"start-run", "start-rivals", "start-verdict", "merges-naive", "ppmi-naive"}


@pytest.fixture(scope="module")
def base(loaded_smollm2: tuple, loaded_minilm: tuple) -> dict:
    """What the notebook's cells leave behind, on the CPU, but for those that a test runs by itself."""
    found: dict = {"__name__": "__main__"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DEVICE", "cpu")
        patch.setattr(pretrained, "load_smollm2", lambda **_: loaded_smollm2)
        patch.setattr(pretrained, "load_minilm", lambda **_: loaded_minilm)
        for cell_id in CELLS:
            if cell_id not in LATER:
                run_cell(cell_id, found)
    return found


@pytest.fixture
def names(base: dict) -> dict:
    """A copy that a test may change; a function that should see the change is defined anew."""
    return {**base}


# ------------------------------------------------------------------------------------ the opening


def test_it_cannot_count_or_spell(names: dict, capsys: pytest.CaptureFixture) -> None:
    CELLS.run_range("open-count", "open-spell", names)
    assert names["tokenizer"].pieces("strawberry") == ["st", "raw", "berry"]
    assert all(word.count(letter) == 3 for word, letter in names["WORDS"].items())
    assert names["right"] <= 2
    assert sum(map(bool, names["is_spelled"])) == 0
    capsys.readouterr()
    run_cell("open-pieces", names)
    # With the letters laid out, it does no better.
    laid_out = capsys.readouterr().out.split("How many times")[1:]
    assert len(laid_out) == 3
    assert not any("3 times" in answer or "three" in answer for answer in laid_out)


# --------------------------------------------------------------------------------------- subwords


def test_subwords(names: dict) -> None:
    for seed in SEEDS:
        run_cell("unseen-run", names, seed=("Random(0)", f"Random({seed})"))
        with recorded(seed):
            run_cell("unseen-verdict", names)
    # Each doubling gains most on texts like those that it was trained on.
    assert names["per_token"]["Python's modules"][-1] > names["per_token"]["reviews"][-1]
    # A tokenizer that drops what it does not know loses text.
    names["whole"] = BPETokenizer(names["whole"].tokens[:100], [])
    run_cell("unseen-run", names)
    assert refused_by_cell("unseen-verdict", names, "lost")
    names["checked"] = 79
    assert refused_by_cell("unseen-verdict", names, "same_merges")


@pytest.mark.parametrize("topic", ["classes", "operator-summary"])
def test_the_obvious_trainer_agrees_on_other_texts(names: dict, topic: str) -> None:
    text = names["topics"].get(topic) or names["topics"]["if"]
    slow = [pair for pair, _, _ in names["replay"](names["as_bytes"](text[:20_000]), 30)]
    assert slow == BPETokenizer.train(text[:20_000], 286).merges


def test_a_pair_of_berry_comes_first(names: dict) -> None:
    assert "".join(names["steps"][0][0]) in "berry"
    assert any("berry" in "".join(pair) for pair, _, _ in names["steps"][:10])


@pytest.mark.usefixtures("own_errors")
def test_the_naive_merge_is_refused_and_a_mended_one_accepted(names: dict) -> None:
    run_cell("merges-naive", names)
    task = find_task("01_tokens/merge_pair")
    assert not examine(task, names["merge_pair"]).passed
    assert examine(task, names["maths"].merge_pair).passed


# -------------------------------------------------------------------------------------- compounds


def test_compounds(names: dict) -> None:
    for seed in SEEDS:
        run_cell("compounds-predict", names, seed=("seed=0", f"seed={seed}"))
        run_cell("compounds-run", names)
        with recorded(seed):
            run_cell("compounds-real", names)
    # Random cuts are no match, nor is a tokenizer whose tokens go beyond a word.
    real = names["at_seam"]
    names["at_seam"] = dict.fromkeys(real, real["random"])
    assert refused_by_cell("compounds-real", names, "at_seam")
    names["at_seam"] = real
    names["blind"] = BPETokenizer.train(names["without"][:50_000], 2000, pattern=r"(?s:.{1,60})")
    assert refused_by_cell("compounds-real", names, "across")


@pytest.mark.parametrize("seed", SEEDS)
def test_compounds_on_half_of_the_text(names: dict, seed: int) -> None:
    lines = names["without"].split("\n")
    half = random.Random(seed).sample(lines, len(lines) // 2)
    names["blind"] = BPETokenizer.train("\n".join(half), 8192)
    run_cell("compounds-run", names)
    run_cell("compounds-real", names)
    assert names["at_seam"]["byte pairs"][-1] > names["at_seam"]["random"][-1] + 0.2


# ------------------------------------------------------------------------- languages, real tokenizers


def test_the_price_of_a_language(names: dict) -> None:
    assert max(names["price"].values()) > 7 * names["price"]["English"]
    assert max(names["price"], key=names["price"].get) == "Tamil"
    in_bytes = {name: len(sentence.encode()) for name, sentence in names["sentences"].items()}
    assert 2.8 < in_bytes["Tamil"] / in_bytes["English"] < 3


def test_what_real_tokenizers_keep(names: dict) -> None:
    smollm2, minilm = names["tokenizer"], names["wordpiece"]
    assert len(smollm2.encode("HELLO")) > len(smollm2.encode("hello"))
    assert smollm2.pieces("12345") == list("12345")
    assert smollm2.decode(smollm2.encode("HELLO  喝")) == "HELLO  喝"
    assert minilm.encode("HÉLLO  ") == minilm.encode("hello")
    assert "[UNK]" in minilm.pieces("👩‍👩‍👧‍👦")
    assert "👩‍👩‍👧‍👦".count("\u200d") == 3
    assert len("👩‍👩‍👧‍👦") == 7


def test_the_model_repeats_names_and_no_ghosts(names: dict) -> None:
    run_cell("ghosts-run", names)
    assert len(names["ghosts"]) >= 10
    assert names["n_repeated"]["twins"] <= 1
    assert names["n_repeated"]["learned last"] >= 3
    assert names["n_repeated"]["shortest rows"] >= 12
    shortest = {names["tokenizer"].decode([i]).strip() for i in names["shortest"]}
    assert {"John", "Michael", "David"} <= shortest


# ----------------------------------------------------------------------------------------- lookup


def test_lookup(names: dict) -> None:
    for seed in SEEDS:
        with recorded(seed):
            run_cell("lookup-run", names, seed=("manual_seed(0)", f"manual_seed({seed})"))
    names["table"] = torch.randn(100, 7)  # no two rows are equal
    assert refused_by_cell("lookup-run", names, "copies")


# -------------------------------------------------------------------------- company, names, learning


def judge_company_and_learning(names: dict, seed: int) -> None:
    with recorded(seed):
        run_cell("twins-run", names, seed=("seed=0", f"seed={seed}"))
        run_cell("twins-shuffle", names, seed=("Random(0)", f"Random({seed})"))
        run_cell("learned-run", names, seed=("seed=0", f"seed={seed}"))
    # Of words used 40 to 80 times neither nearly all nor hardly any; learned vectors are no better.
    assert 0.2 < names["by_counting"][2] < 0.9
    assert np.mean(names["by_learning"]) < np.mean(names["by_counting"])


def test_company_and_learning(names: dict) -> None:
    """From the other seed where the models are missing: `test_it_goes_on_without_the_models`."""
    judge_company_and_learning(names, SEEDS[0])


def test_words_without_company_are_refused(names: dict) -> None:
    names["numbered"] = names["shuffled"]
    names["by_counting"] = names["by_luck"]
    assert refused_by_cell("twins-shuffle", names, "common")
    names["figures"] = type("NoFigures", (), {"twins": staticmethod(lambda *_: None)})
    assert refused_by_cell("learned-run", names, "common")


@pytest.mark.parametrize("seed", SEEDS)
def test_counting(names: dict, seed: int) -> None:
    """On nine tenths of the sentences."""
    texts = names["texts"]
    names["texts"] = random.Random(seed).sample(texts, len(texts) * 9 // 10)
    with recorded(seed):
        CELLS.run_range("counted-run", "agree-run", names)
    assert names["related"] > names["related_raw"]
    assert names["same"] > 5 * names["chance"]


def test_counts_of_shuffled_words_are_refused(names: dict) -> None:
    flat = [word for words in names["texts"] for word in words]
    random.Random(SEEDS[0]).shuffle(flat)
    rest = iter(flat)
    names["texts"] = [[next(rest) for _ in words] for words in names["texts"]]
    CELLS.run_range("counted-run", "related-run", names)
    for missed in ("related", "shared"):
        assert refused_by_cell("agree-run", names, missed)


@pytest.mark.usefixtures("own_errors")
def test_the_naive_ppmi_is_refused_and_a_mended_one_accepted(names: dict) -> None:
    def mended(counts: np.ndarray) -> np.ndarray:
        joint = counts / counts.sum()
        by_chance = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
        met, result = counts > 0, np.zeros(counts.shape)
        result[met] = np.maximum(0, np.log(joint[met] / by_chance[met]))
        return result

    run_cell("merges-naive", names)
    run_cell("ppmi-naive", names)
    task = find_task("01_tokens/ppmi")
    assert not examine(task, names["ppmi"]).passed
    assert examine(task, mended).passed


def test_analogies_are_answered_by_the_own_words(names: dict) -> None:
    solved, questions = names["solved"], names["questions"]
    assert len(questions) == 30
    assert solved(own_words=True) <= 7
    assert solved() >= 20
    assert 8 <= solved(share=0) < solved() - 5
    unit, at = names["unit"], names["at"]
    nearest = [(unit @ (unit[at[c]] + unit[at[b]] - unit[at[a]])).argmax() for a, b, c, _ in questions]
    own = [names["words"][i] in question[:3] for i, question in zip(nearest, questions, strict=True)]
    assert sum(own) >= 24


# ------------------------------------------------------------------------------ random-or-pretrained


@pytest.fixture(scope="module", params=[range(11, 17), range(21, 27)], ids=str)
def started(request: pytest.FixtureRequest, base: dict) -> dict:
    """What the cells leave behind that start readers from three tables, the verdict included."""
    names = {**base}
    run_cell("start-tables", names)
    run_cell("start-run", names, seeds=("range(100, 106)", repr(request.param)))
    run_cell("start-rivals", names)
    with recorded(*request.param):
        run_cell("start-verdict", names)
    return names


def test_random_or_pretrained(started: dict) -> None:
    assert len(started["own_rows"]) < len(started["used"]) / 2
    # What the notebook says beside it: with 16 reviews all know little, and counting words lies in between.
    by_table = {name: runs.mean(0) for name, runs in started["curves"].items()}
    assert all(shares[0] < 0.68 for shares in by_table.values())
    words = started["words_alone"][1:].mean()
    assert by_table["random"][1:].mean() < words < by_table["MiniLM's"][1:].mean()
    assert abs(by_table["MiniLM's"][1] - by_table["random"][2]) < 0.08  # 64 reviews are worth 256


def test_a_table_whose_words_are_mixed_up_is_refused(started: dict) -> None:
    """Against what the other tables gave: all else is as it was."""
    names, most = {**started}, started["AMOUNTS"][-1]

    def mixed_up(seed: int) -> float:
        table = names["start_tables"](seed)["MiniLM's"]
        return names["right_after"](table[torch.randperm(len(table))], seed, most)

    curve = names["curves"]["MiniLM's"].copy()
    curve[:, -1] = [mixed_up(seed) for seed in names["SEEDS"]]
    names["curves"] = {**names["curves"], "MiniLM's": curve}
    assert refused_by_cell("start-verdict", names, "many")


# ---------------------------------------------------------------------------- what else it says


@pytest.mark.usefixtures("own_errors")
def test_it_goes_on_without_the_models(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(pretrained, "load_smollm2", no_model)
    found: dict = {"__name__": "__main__"}
    for cell_id in CELLS:
        if cell_id == "learned-run":
            judge_company_and_learning(found, SEEDS[1])
        elif cell_id not in {"twins-run", "twins-shuffle"}:  # which that runs too
            run_cell(cell_id, found)
    assert found["language_model"] is None
    told = capsys.readouterr().out
    assert "run: pip install" in told
    assert "→ true" in told
