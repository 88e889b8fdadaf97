"""The claims of notebook 02: its own cells, with other seeds, against the evidence that judges them.

The tests run the notebook's cells, so that the two cannot drift apart. A counter-test shows where each
claim's evidence says no.
"""

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from notebook_cells import NotebookCells, recorded

from course_lib.checks import examine, find_task
from course_lib.patches import patchify

CELLS = NotebookCells("02_patches")
run_cell, refused_by_cell = CELLS.run, CELLS.refuses
SEEDS = (range(11, 14), range(21, 24))
NAIVE = {"ways-naive", "frames-naive"}


@pytest.fixture(scope="module", params=SEEDS, ids=str)
def base(request: pytest.FixtureRequest, as_a_user: Callable) -> dict:
    """What the notebook's cells leave behind, all verdicts included, where readers start from other seeds.

    The type checker looks at the first of the two.
    """
    found: dict = {"__name__": "__main__"}
    others = {
        "cuts-predict": ("range(3)", str(request.param)),
        "sound-listen": ("seed(0)", f"seed({request.param[0]})"),
    }
    with recorded(*request.param), nullcontext() if request.param == SEEDS[0] else as_a_user():
        for cell_id in CELLS:
            if cell_id not in NAIVE:
                run_cell(cell_id, found, **({"seeds": others[cell_id]} if cell_id in others else {}))
    return found


@pytest.fixture
def names(base: dict) -> dict:
    """A copy that a test may change; a function that should see the change is defined anew."""
    return {**base}


def mean(shares: list[float]) -> float:
    return sum(shares) / len(shares)


# ------------------------------------------------------------------------------ pictures as vectors


def test_the_opening(names: dict) -> None:
    photo, lists = names["photo"], names["lists"]
    assert names["good"] == ["the second"]
    assert lists["the second"].equal(patchify(photo[None], 32)[0])
    # The first row of the other: not quite five lines of red.
    assert lists["the first"][0].equal(photo[0].flatten()[: 3 * 32 * 32])
    assert 4.5 < 3 * 32 * 32 / photo.shape[2] < 5
    assert lists["the first"].sort().values.sum() == pytest.approx(lists["the second"].sum().item())


def test_three_matrices(names: dict) -> None:
    names["blue"], names["red"] = names["red"], names["blue"]
    assert refused_by_cell("channels-verdict", names, "difference")


def test_same_linear_map(names: dict) -> None:
    run_cell("ways-equal", names, seed=("manual_seed(0)", "manual_seed(7)"))
    run_cell("ways-verdict", names)
    # A convolution whose windows hold the weights channels last is another map, and a bare reshape no cut.
    run_cell(
        "ways-equal",
        names,
        windows=("weight.reshape(64, 3, 32, 32)", "weight.reshape(64, 32, 32, 3).permute(0, 3, 1, 2)"),
    )
    assert refused_by_cell("ways-verdict", names, "by_convolution")
    names["patchify_loop"] = lambda images, size: images.reshape(len(images), -1, images.shape[1] * size**2)
    assert refused_by_cell("ways-verdict", names, "by_loop")


def test_too_many_vectors(names: dict) -> None:
    # Time that grows like the number of vectors would be 4 times as long; and readers that cannot use rows.
    for way in ("with a table", "fused"):
        assert names["times"][way][-1] > 5 * names["times"][way][-3]
    real = names["times"]
    names["times"] = real | {"fused": [1, 2, 4, 8]}
    assert refused_by_cell("many-verdict", names, "fused_slower")
    names["times"] = real
    names["by_cut"] = names["by_cut"] | {"rows": [0.5, 0.6, 0.7]}
    assert refused_by_cell("many-verdict", names, "by_rows")


def test_the_bytes_that_are_kept_are_counted(names: dict) -> None:
    kept = names["kept"]
    assert kept(64, fused=False) >= 4 * 64 * 64  # the table
    assert kept(512, fused=True) < 4 * 512 * 512
    assert kept(512, fused=True) == pytest.approx(8 * kept(64, fused=True), rel=0.05)


# -------------------------------------------------------------------------------- readers of digits


def test_any_pieces_do(names: dict) -> None:
    by_cut = {name: mean(shares) for name, shares in names["by_cut"].items()}
    assert all(share > 0.9 for share in by_cut.values())
    assert by_cut["bare reshape"] > by_cut["squares"] - 0.02
    assert min(names["linear"], names["nearest"]) > by_cut["squares"] - 0.01


def test_the_reader_is_the_librarys(names: dict) -> None:
    assert names["difference"] < 1e-4
    turned = names["weights"]["position_embedding"].flip(1)
    reader = names["Reader"](16, 4, 10)
    reader.load_state_dict(names["weights"] | {"position_embedding": turned})
    pieces = patchify(names["unseen"], 2)
    assert (reader(pieces) - names["vit"](names["unseen"])).abs().max() > 1e-4


def test_positions(names: dict) -> None:
    within = {name: mean(shares) for name, shares in names["in_order"].items()}
    without = {name: mean(shares) for name, shares in names["out_of_order"].items()}
    assert without["with positions"] < 0.3
    assert 0.5 < within["without positions"] < within["with positions"] - 0.15
    for reader in names["blind"]:
        scores, others = reader(names["whole"]), reader(names["scrambled"])
        assert torch.allclose(scores, others, atol=1e-3)


def test_where_it_looks(names: dict) -> None:
    share = (names["fragile"].sum() / names["is_right"].sum()).item()
    assert 0.3 < share < 0.72  # "about half" is the nearest answer
    assert names["same_patch"] < 0.5
    assert 0.3 < names["in_three"] < 0.9  # ink is a part of it
    # Paper on paper changes nothing.
    empty = names["ink"] == 0
    assert names["falls"][empty].abs().max() < 1e-5


def test_trained_together(names: dict) -> None:
    assert -0.25 < names["change"] / 100 < 0.1
    real = names["filters"]
    names["filters"] = names["start_filters"]  # nothing was learned
    assert refused_by_cell("frozen-verdict", names, "moved")
    names["filters"] = real
    names["change"] = -11.0  # training it was needed
    assert refused_by_cell("frozen-verdict", names, "never")
    names["change"], names["one_number"] = 0.0, names["never"]  # one number is enough
    assert refused_by_cell("frozen-verdict", names, "narrow")


def test_a_frozen_layer_stays_as_it_is(names: dict) -> None:
    for change in ("frozen", "squeezed"):
        kept = []
        reader = names["trained"](
            names["seen"]["squares"],
            names["labels"],
            seed=5,
            steps=31,
            change=lambda reader, how=names[change], kept=kept: (
                how(reader),
                kept.append(reader.embedding.weight.detach().clone()),
            ),
        )
        assert reader.embedding.weight.equal(kept[0])
    assert torch.linalg.matrix_rank(kept[0]) == 1


# --------------------------------------------------------------------------------------------- sound


def test_vectors_first(names: dict) -> None:
    heard = {name: mean(shares) for name, shares in names["heard"].items()}
    assert heard["raw samples"] < heard["spectra"] - 0.1
    assert names["by_matrix"] > heard["spectra"] - 0.02
    # Readers that have learned nothing.
    real = names["heard"]
    untrained = names["Reader"](*names["spectra"].shape[1:], n_classes=4)
    new = names["standard"](names["spectra_unheard"], names["spectra"])
    share = names["right"]([untrained], new, names["unheard"].targets)[0]
    names["heard"] = real | {"spectra": [share] * 3}
    assert refused_by_cell("sound-verdict", names, "heard")
    names["heard"], names["longer"] = real, names["right"]([untrained], new, names["unheard"].targets)[0]
    assert refused_by_cell("sound-verdict", names, "longer")


def test_time_reversed(names: dict) -> None:
    tables = torch.stack(names["tables"])
    assert tables[:, 0, 1].mean() > 0.6
    assert tables[:, 1, 0].mean() > 0.6
    # Backwards, a peak begins at the middle pitch, as no melody does.
    contours = list(names["CONTOURS"].values())
    assert all(contour[0] != 1 for contour in contours)
    assert contours[2][::-1] not in contours
    # On what they were trained for, the readers agree.
    new = names["standard"](names["spectra_unheard"], names["spectra"])
    said = [names["answers"](reader, new) for reader in names["listeners"]["spectra"]]
    assert np.mean([(said[0] == other).float().mean() for other in said[1:]]) > 0.7


# --------------------------------------------------------------------------------- the learner's turn


@pytest.mark.usefixtures("own_errors")
def test_the_naive_cuts_are_refused_and_mended_ones_accepted(names: dict) -> None:
    def patchify_fast(images, patch_size):
        rows, columns = images.shape[2] // patch_size, images.shape[3] // patch_size
        blocks = images.unflatten(3, (columns, patch_size)).unflatten(2, (rows, patch_size))
        return blocks.permute(0, 2, 4, 3, 5, 1).reshape(len(images), rows * columns, -1)

    def frames(sound, frame_length, hop):
        starts = range(0, sound.shape[-1] - frame_length + 1, hop)
        return torch.stack([sound[..., s : s + frame_length] for s in starts], dim=-2)

    for cell_id, mended in (("ways-naive", patchify_fast), ("frames-naive", frames)):
        run_cell(cell_id, names)
        task = find_task("02_patches/patchify" if mended is patchify_fast else "02_patches/frames")
        assert not examine(task, names[mended.__name__]).passed
        assert examine(task, mended).passed
