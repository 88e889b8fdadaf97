"""The claims of notebook 00: its own cells, with other seeds, against the evidence that judges them.

The tests run the notebook's cells, so that the two cannot drift apart. A counter-test shows where each
claim's evidence says no.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from notebook_cells import NotebookCells, no_model, recorded
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from torch import nn

from course_lib import pretrained
from course_lib.checks import examine, find_task
from course_lib.claims import ClaimError, load
from course_lib.decoder import GPT, LlamaConfig

CELLS = NotebookCells("00_overview")
run_cell, refused_by_cell = CELLS.run, CELLS.refuses
DEFINITIONS = (
    "open-load explorer softmax-naive sure-figure shape-define reviews-load count-predict count-define "
    "count-run layers-define layers-probe cut-define data-load pairs-predict pairs-run model-examples "
    "model-define train-define train-accuracy"
)
SEEDS = (11, 12)


def refused(claim: str, missed: str, **evidence: object) -> bool:
    with pytest.raises(ClaimError, match=rf"is not supported: .*{missed} came as"):
        load()[claim].judge(evidence)
    return True


@pytest.fixture(scope="module")
def definitions() -> dict:
    """The notebook's functions and data, on the CPU and without the language model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DEVICE", "cpu")
        patch.setattr(pretrained, "load_smollm2", no_model)
        names: dict = {"__name__": "__main__"}
        for cell_id in DEFINITIONS.split():
            run_cell(cell_id, names)
    return names


@pytest.fixture
def notebook(definitions: dict) -> dict:
    """A copy that a test may change."""
    return {**definitions}


@pytest.fixture(scope="module")
def reviews_read(definitions: dict, loaded_smollm2: tuple) -> dict:
    """What the language model makes of the reviews, layer by layer."""
    names = with_model(definitions, loaded_smollm2)
    run_cell("layers-read", names)
    return {name: names[name] for name in ("last", "mean")}


@pytest.fixture
def with_reviews(definitions: dict, smollm2: tuple, reviews_read: dict) -> dict:
    return {**with_model(definitions, smollm2), **reviews_read}


def with_model(definitions: dict, model_and_tokenizer: tuple) -> dict:
    """As a notebook that has the model: its functions look names up where they were defined."""
    names: dict = {"__name__": "__main__"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DEVICE", "cpu")
        patch.setattr(pretrained, "load_smollm2", lambda **_: model_and_tokenizer)
        run_cell("open-load", names)
    for name, value in definitions.items():
        names.setdefault(name, value)
    for cell_id in ("layers-define", "layers-probe", "cut-define"):
        run_cell(cell_id, names)
    return names


# ------------------------------------------------------------------------------- same-shape-out


def shape_evidence(keeps_shape: Callable[..., bool]) -> dict[str, float]:
    cases = [
        (n, t, 4 * d) for n in (1, 2, 3) for t in (1, 2, 7, 31) for d in (1, 3, 7, 9, 11, 13, 15, 17, 19)
    ]
    return {"cases": len(cases), "kept_share": np.mean([keeps_shape(*case) for case in cases])}


def test_same_shape_out(notebook: dict) -> None:
    assert load()["same-shape-out"].judge(shape_evidence(notebook["keeps_shape"]))["kept_share"] == 1


def test_a_shortening_body_is_refused() -> None:
    def convolution_keeps_shape(n_texts: int, length: int, d_model: int) -> bool:
        vectors = torch.randn(n_texts, d_model, length)
        return nn.Conv1d(d_model, d_model, kernel_size=min(2, length))(vectors).shape == vectors.shape

    assert refused("same-shape-out", "kept_share", **shape_evidence(convolution_keeps_shape))


# ----------------------------------------------------------------------------- better-and-better


def probed(names: dict) -> dict:
    """The names with what the notebook measures after each layer, for other ways to cut the reviews."""
    found = {**names}
    for name in ("last", "mean"):
        found[f"at_{name}"] = names["probe"](names[name], names["positive"], SEEDS)
    found["by_depth"] = found["at_last"].mean(0)
    return found


def test_better_and_better(with_reviews: dict) -> None:
    with recorded(*SEEDS):
        run_cell("layers-verdict", probed(with_reviews))
    names = probed(with_reviews)
    run_cell("layers-predict", names)
    run_cell("layers-figure", names)
    # What the notebook says beside it.
    assert names["at_last"][:, 0].max() < 0.55  # a full stop, before it has read anything
    mean = names["at_mean"].mean(0)
    assert abs(mean[0] - names["counted"]) < 0.08  # the mean of the words' vectors is a count of words
    assert mean[3] - mean[6] > 0.03  # and loses towards the end


def test_layers_that_do_nothing_are_refused(with_reviews: dict) -> None:
    words = {name: np.repeat(with_reviews["mean"][:, :1], 7, axis=1) for name in ("last", "mean")}
    assert refused_by_cell("layers-verdict", probed({**with_reviews, **words}), "middle")


def test_untrained_layers_are_refused(with_reviews: dict) -> None:
    sizes = {"vocab_size": 49152, "max_seq_len": 100, "d_model": 48, "n_layers": 30, "n_heads": 4}
    names = {**with_reviews}
    names["language_model"] = GPT(LlamaConfig(**sizes))
    for cell_id in ("layers-define", "layers-read", "layers-probe"):
        run_cell(cell_id, names)
    for missed in ("middle", "peak", "gain"):
        assert refused_by_cell("layers-verdict", probed(names), missed)


# ----------------------------------------------------------------------------------- linear-head


@pytest.mark.parametrize("fifth", [1, 2])
def test_linear_head(with_reviews: dict, fifth: int) -> None:
    run_cell("cut-define", with_reviews, held=("% 5 == 0", f"% 5 == {fifth}"))
    run_cell("cut-verdict", with_reviews)
    run_cell("cut-figure", with_reviews)
    assert with_reviews["wrong_side"] == 0


def test_a_head_with_bends_is_refused(with_reviews: dict) -> None:
    vectors, positive, held = with_reviews["last"][:, 3], with_reviews["positive"], with_reviews["held"]
    run_cell("cut-verdict", with_reviews)
    called = KNeighborsClassifier(3).fit(vectors[~held], positive[~held]).predict(vectors[held])
    wrong_side = ((with_reviews["scaled"] @ with_reviews["w"] + with_reviews["b"] > 0) != called).sum()
    assert refused("linear-head", "wrong_side", asked=len(called), wrong_side=wrong_side, right=0.8)


# ------------------------------------------------------------------------------------ many-tasks


@pytest.mark.parametrize("seed", SEEDS)
def test_many_tasks(with_reviews: dict, seed: int) -> None:
    names = probed(with_reviews)
    run_cell("tasks-topic", names, seed=("topics, 0)", f"topics, {seed})"))
    with recorded(seed):
        run_cell("tasks-verdict", names)
    assert names["topic"] > 3 / 14


def test_each_label_is_read_best_at_another_depth(with_reviews: dict) -> None:
    """The topic after the last layer (48 %; after layer 15 22 %), sentiment half way up already."""
    names = probed(with_reviews)
    topics = np.array([review.topic for review in names["found"]])
    half_way, at_the_end = (names["held_out"](names["head"], names["last"][:, d], topics, 0) for d in (3, 6))
    assert at_the_end > half_way + 0.1
    assert names["by_depth"][3] > names["by_depth"][6] - 0.03


def test_vectors_that_have_read_nothing_are_refused(with_reviews: dict) -> None:
    with_reviews["last"] = np.repeat(with_reviews["last"][:, :1], 7, axis=1)
    names = probed(with_reviews)
    run_cell("tasks-topic", names)
    for missed in ("sentiment_gain", "topic_gain"):
        assert refused_by_cell("tasks-verdict", names, missed)


# ------------------------------------------------------------------------ training-updates-both


def test_training_updates_both(notebook: dict) -> None:
    run_cell("parts-predict", notebook)
    run_cell("parts-run", notebook, seeds=("(0, 1)", str(SEEDS)))
    run_cell("parts-figure", notebook)
    with recorded(*SEEDS):
        run_cell("parts-verdict", notebook)
    # A random body that is not trained around for longer is no match.
    notebook["longer"] = notebook["parts"]["the body"]
    assert refused_by_cell("parts-verdict", notebook, "late")


def test_the_full_model_would_have_gone_on(notebook: dict) -> None:
    """To about 81 %, as the notebook says, while the one around a random body caught up."""
    accuracies = [notebook["trained"](seed, steps=450) for seed in SEEDS]
    assert 0.78 < np.mean(accuracies) < 0.85


def test_frozen_parts_stay_and_the_others_learn(notebook: dict) -> None:
    torch.manual_seed(SEEDS[0])
    start = notebook["Classifier"]().state_dict()
    kept, train = [], notebook["train"]

    def kept_and_trained(model: nn.Module, seed: int, steps: int) -> None:
        kept.append(model)
        train(model, seed, steps)

    notebook["train"] = kept_and_trained
    run_cell("train-accuracy", notebook)
    notebook["trained"](SEEDS[0], steps=2, frozen=("body",))
    (model,) = kept
    moved = {name for name, now in model.state_dict().items() if not torch.equal(start[name], now)}
    assert moved == {name for name in start if not name.startswith("body.")}


def test_training_that_does_not_learn_is_refused(notebook: dict) -> None:
    short = notebook["trained"](SEEDS[0], steps=0)
    notebook["parts"] = {name: [short] for name in ("nothing", "the head", "the body", "tables and body")}
    notebook["longer"] = [short]
    for missed in ("full", "no_body", "late"):
        assert refused_by_cell("parts-verdict", notebook, missed)


# ------------------------------------------------------------------------------------- cls-token


def test_cls_token(notebook: dict) -> None:
    run_cell("cls-predict", notebook)
    run_cell("cls-run", notebook, seeds=("(0, 1)", str(SEEDS)))
    run_cell("cls-figure", notebook)
    with recorded(*SEEDS):
        run_cell("cls-verdict", notebook)
    # Without a mask where the notebook has one, the start reads all.
    notebook["average"] = {(c, place): notebook["average"][False, place] for c, place in notebook["average"]}
    assert refused_by_cell("cls-verdict", notebook, "causal_start")


# ---------------------------------------------------------------------------- what else it says


def test_counting_pairs_tells_the_direction_and_counting_words_does_not(notebook: dict) -> None:
    learn, test = (notebook["as_text"](notebook[name]) for name in ("train_sentences", "test_sentences"))
    words = make_pipeline(CountVectorizer(), LogisticRegression(C=0.1)).fit(*learn)
    assert words.score(*test) == 0.5
    assert notebook["pairs"].score(*test) > 0.95


def test_it_writes_about_a_king_that_there_never_was(
    definitions: dict, smollm2: tuple, capsys: pytest.CaptureFixture
) -> None:
    run_cell("open-write", with_model(definitions, smollm2))
    written = capsys.readouterr().out
    assert written.startswith("The first king of the Moon was ")
    assert len(written.split()) > 20


@pytest.mark.usefixtures("own_errors")
def test_the_naive_softmax_is_refused_and_a_mended_one_accepted(notebook: dict) -> None:
    def mended(logits: np.ndarray, temperature: float) -> np.ndarray:
        divided = logits / temperature
        powers = np.exp(divided - divided.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)

    task = find_task("00_overview/temperature_softmax")
    assert not examine(task, notebook["temperature_softmax"]).passed
    assert examine(task, mended).passed
    four = np.array([2.0, 1.0, 0.0, -1.0])
    np.testing.assert_allclose(notebook["temperature_softmax"](four, 1.0), mended(four, 1.0))


@pytest.mark.usefixtures("own_errors")
def test_it_goes_on_without_the_language_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(pretrained, "load_smollm2", no_model)
    names: dict = {}
    for cell_id in CELLS:
        run_cell(cell_id, names)
        if cell_id == "model-define":  # from here on it is not needed
            break
    assert names["language_model"] is None
    assert "run: pip install" in capsys.readouterr().out
