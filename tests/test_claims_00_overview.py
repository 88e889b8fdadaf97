"""The claims of notebook 00: its own cells, with other seeds, against the criteria that judge it.

The tests run the notebook's definitions, so that the two cannot drift apart. A counter-test shows where each
criterion says no.
"""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from course_lib import pretrained
from course_lib.claims import ClaimError, load

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "00_overview.ipynb"
CELLS = {
    cell["id"]: "".join(cell["source"])
    for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    if cell["cell_type"] == "code"
}
DEFINITIONS = (
    "imports data-load count-define model-numbers model-examples model-define model-forward shape-sweep "
    "train-define train-accuracy layers-define count-run layers-probe tasks-define tasks-train tasks-score "
    "tasks-baseline"
)
SEEDS = (11, 12)


def run_cell(cell_id: str, names: dict) -> None:
    exec(compile(CELLS[cell_id], cell_id, "exec"), names)


def judge(claim: str, **evidence: object) -> None:
    load()[claim].judge(evidence)


def refused(claim: str, missed: str, **evidence: object) -> bool:
    with pytest.raises(ClaimError, match=rf"is not supported: .*{missed} came as"):
        judge(claim, **evidence)
    return True


@pytest.fixture(scope="module")
def notebook() -> SimpleNamespace:
    """The notebook's functions, models and data, on the CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DEVICE", "cpu")
        names: dict = {"__name__": "__main__"}
        for cell_id in DEFINITIONS.split():
            run_cell(cell_id, names)
    return SimpleNamespace(**names, names=names)


def trained(notebook: SimpleNamespace, seed: int, steps: int, *args: object, **sizes: int) -> nn.Module:
    torch.manual_seed(seed)
    model = notebook.Classifier(*args, **sizes)
    model.losses = notebook.train(model, seed, steps)
    return model


@pytest.fixture(scope="module")
def models(notebook: SimpleNamespace) -> list[nn.Module]:
    return [trained(notebook, seed, 200) for seed in SEEDS]


# ------------------------------------------------------------------------------- same-shape-out


def shape_evidence(keeps_shape: Callable[..., bool]) -> dict[str, float]:
    cases = [
        (n, t, 4 * d, c)
        for n in (1, 2, 3)
        for t in (1, 2, 7, 31)
        for d in (1, 3, 7, 11, 13)
        for c in (False, True)
    ]
    return {"cases": len(cases), "kept_share": sum(keeps_shape(*case) for case in cases) / len(cases)}


def test_same_shape_out(notebook: SimpleNamespace) -> None:
    judge("same-shape-out", **shape_evidence(notebook.keeps_shape))


def test_a_shortening_body_is_refused() -> None:
    def convolution_keeps_shape(n_texts: int, length: int, d_model: int, _: bool) -> bool:
        vectors = torch.randn(n_texts, d_model, length)
        return nn.Conv1d(d_model, d_model, kernel_size=min(2, length))(vectors).shape == vectors.shape

    assert refused("same-shape-out", "kept_share", **shape_evidence(convolution_keeps_shape))


# ------------------------------------------------------------------------ training-updates-both


def training_evidence(
    notebook: SimpleNamespace, models: list[nn.Module], others: list[nn.Module]
) -> dict[str, float]:
    moved = dict(notebook.names, models=models)
    run_cell("train-moved", moved)
    torch.manual_seed(SEEDS[0])
    moved["start"] = notebook.Classifier()  # the cell's own start belongs to the notebook's seed
    return {
        "loss_ratio": max(sum(model.losses[-20:]) / sum(model.losses[:20]) for model in models),
        "head_moved": moved["moved"]("head"),
        "body_moved": moved["moved"]("body"),
        "worst_all_trained": min(map(notebook.accuracy, models)),
        "gain_over_head_only": min(map(notebook.accuracy, models)) - max(map(notebook.accuracy, others)),
    }


@pytest.fixture(scope="module")
def head_only(notebook: SimpleNamespace) -> list[nn.Module]:
    found = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        model = notebook.Classifier()
        model.requires_grad_(False).head.requires_grad_(True)
        model.losses = notebook.train(model, seed, 200)
        found.append(model)
    return found


def test_training_updates_both(
    notebook: SimpleNamespace, models: list[nn.Module], head_only: list[nn.Module]
) -> None:
    judge("training-updates-both", **training_evidence(notebook, models, head_only))


def test_training_the_head_alone_is_refused(notebook: SimpleNamespace, head_only: list[nn.Module]) -> None:
    evidence = training_evidence(notebook, head_only, head_only)
    assert evidence["body_moved"] == 0
    assert evidence["head_moved"] > 0
    for missed in ("body_moved", "worst_all_trained", "gain_over_head_only"):
        assert refused("training-updates-both", missed, **evidence)


# ----------------------------------------------------------------------------- better-and-better


def layer_evidence(notebook: SimpleNamespace, models: list[nn.Module]) -> dict[str, float]:
    learn, learn_labels = notebook.examples(notebook.train_ids[::8])
    test, test_labels = notebook.examples(notebook.held_out_ids)
    rows = []
    for model in models:
        stages = zip(
            notebook.after_each_layer(model, learn), notebook.after_each_layer(model, test), strict=True
        )
        rows.append([notebook.probe(a[:, -1], learn_labels, b[:, -1], test_labels) for a, b in stages])
    at_cls = torch.tensor(rows)
    return {
        "before_first_layer": at_cls[:, 0].max(),
        "after_first_layer": at_cls[:, 1].min(),
        "after_last_layer": at_cls[:, -1].min(),
        "rise_behind_first_layer": (at_cls[:, -1] - at_cls[:, 1]).mean(),
    }


def test_better_and_better(notebook: SimpleNamespace, models: list[nn.Module]) -> None:
    judge("better-and-better", **layer_evidence(notebook, models))


def test_untrained_layers_do_not_help(notebook: SimpleNamespace) -> None:
    torch.manual_seed(11)
    evidence = layer_evidence(notebook, [notebook.Classifier()])
    for missed in ("after_first_layer", "after_last_layer"):
        assert refused("better-and-better", missed, **evidence)


# ----------------------------------------------------------------------------------- linear-head


def line_evidence(head: nn.Module, answers: nn.Module) -> dict[str, float]:
    """The line of `head`, drawn through points that `answers` has called."""
    points = torch.randn(997, 2)
    names = {"torch": torch, "head": head, "test_points": points, "called": answers(points).argmax(1)}
    run_cell("line-side", names)
    share = names["called"].float().mean().item()
    return {
        "points": len(points),
        "wrong_side": names["wrong_side"],
        "share_right": 0.8,  # these points have no label: only the line is judged here
        "rarer_answer": min(share, 1 - share),
    }


@pytest.fixture
def centred_head() -> nn.Module:
    """A random head whose line runs through the middle of the points, far from none of them."""
    head = nn.Linear(2, 2)
    nn.init.constant_(head.bias, 0.1)
    return head


def test_linear_head(centred_head: nn.Module) -> None:
    judge("linear-head", **line_evidence(centred_head, centred_head))


def test_a_head_with_a_bend_is_refused(centred_head: nn.Module) -> None:
    bent = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        bent[0].weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        bent[0].bias.fill_(-0.7)
        bent[2].weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))  # "1" on both sides, "0" in the middle
    assert refused("linear-head", "wrong_side", **line_evidence(centred_head, bent))


# ------------------------------------------------------------------------------------- cls-token


def place_evidence(notebook: SimpleNamespace, *, causal: bool) -> dict[str, float]:
    """As in the notebook; causal=False leaves the mask out where the notebook has one."""
    share = {
        (mask, place): notebook.accuracy(trained(notebook, 11, 80, place, mask, d_model=32, n_layers=2))
        for mask in {False, causal}
        for place in ("start", "end", "mean")
    }
    return {
        "open_worst_place": min(share[False, place] for place in ("start", "end", "mean")),
        "open_start_against_end": share[False, "end"] - share[False, "start"],
        "causal_end": share[causal, "end"],
        "causal_start": share[causal, "start"],
    }


def test_cls_token(notebook: SimpleNamespace) -> None:
    judge("cls-token", **place_evidence(notebook, causal=True))


def test_without_a_causal_mask_the_start_reads_all(notebook: SimpleNamespace) -> None:
    assert refused("cls-token", "causal_start", **place_evidence(notebook, causal=False))


# ------------------------------------------------------------------------------------ many-tasks


def tasks_evidence(notebook: SimpleNamespace, weight: float) -> dict[str, float]:
    model, next_word = notebook.train_both(SEEDS[0], 300, weight)
    return {
        "worst_direction": notebook.accuracy(model),
        "next_word_against_commonest": notebook.next_word_score(model, next_word) / notebook.always,
    }


def test_many_tasks(notebook: SimpleNamespace) -> None:
    both, one = tasks_evidence(notebook, weight=1), tasks_evidence(notebook, weight=0)
    judge("many-tasks", **both)
    assert refused("many-tasks", "next_word_against_commonest", **one)
    assert both["worst_direction"] > one["worst_direction"]  # as the notebook says: the second task helps


# ---------------------------------------------------------------------------- what else it says


def test_counting_words_cannot_tell(notebook: SimpleNamespace) -> None:
    assert notebook.counting.score(*notebook.as_text(notebook.held_out_sentences)) == 0.5


def test_it_goes_on_without_the_language_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def missing() -> None:
        raise pretrained.MissingModelError("run: pip install")

    monkeypatch.setattr(pretrained, "load_smollm2", missing)
    names: dict = {}
    for cell_id in CELLS:
        if cell_id in ("imports", "predict") or cell_id.startswith("real-"):
            run_cell(cell_id, names)
    assert names["language_model"] is None
    assert "run: pip install" in capsys.readouterr().out
