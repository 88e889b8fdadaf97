"""The figures of notebook 02: drawn where the numbers support the title, refused where they do not."""

import numpy as np
import pytest
import torch
from drawing import draws, refuses

from course_lib.concepts.c02_patches import figures
from course_lib.patches import patchify


@pytest.fixture
def picture() -> torch.Tensor:
    return torch.rand(3, 6, 10, generator=torch.Generator().manual_seed(5))


def test_cut(drawn, picture):
    lists = {"one": picture.reshape(15, 12), "two": patchify(picture[None], 2)[0]}
    assert draws(drawn, figures.cut, picture, lists, 2, says="the tiles of two give the picture")
    tiles = drawn[0][0].axes[2].images[0].get_array()
    assert np.allclose(tiles[3:5, 6:8], picture[:, 2:4, 4:6].permute(1, 2, 0))  # one pixel of gap


def test_cut_refused(drawn, picture):
    right, wrong = patchify(picture[None], 2)[0], picture.reshape(15, 12)
    assert refuses(drawn, figures.cut, picture, {"one": wrong, "two": wrong.flip(0)}, 2)
    assert refuses(drawn, figures.cut, picture, {"one": right, "two": right}, 2)


def test_channels(drawn, picture):
    inside = (slice(1, 4), slice(2, 7))
    coloured = picture.clone()
    coloured[:, *inside] = torch.tensor([0.9, 0.5, 0.25])[:, None, None]
    assert draws(drawn, figures.channels, coloured, inside, says="red is 0.90, green 0.50, blue 0.25")
    assert refuses([], figures.channels, coloured.flip(0), inside)


def test_exchanged(drawn, picture):
    assert draws(drawn, figures.exchanged, picture, picture.flip(0), says="channels exchanged")
    assert refuses([], figures.exchanged, picture, picture[[1, 0, 2]])


def test_photograph(drawn, picture):
    figures.photograph(picture, "mine")
    assert drawn[0][1] == "A picture: mine."


SIZES = (128, 256, 512, 1024)


def test_costs(drawn):
    seconds = {"table": [1, 4, 16, 62.0], "fused": [2, 6, 22, 90.0]}
    kept = {"table": [1, 3.9, 15, 60.0], "fused": [1, 2, 4, 8.0]}
    says = "times as long, table 16, fused 15; times as many bytes, table 15, fused 4."
    assert draws(drawn, figures.costs, SIZES, seconds, kept, says=says)
    lines = {line.get_label(): line.get_ydata() for line in drawn[0][0].axes[0].lines}
    assert lines["number of vectors, squared"].tolist() == [1, 4, 16, 64]
    assert lines["fused"][-1] == 45


def test_costs_refused(drawn):
    seconds = {"table": [1, 4, 16, 62.0], "fused": [1, 2, 4, 8.0]}
    assert refuses(drawn, figures.costs, SIZES, seconds, seconds)


def test_cuts(drawn):
    right = {"squares": [0.94, 0.96], "rows": [0.96, 0.97], "reshape": [0.93, 0.94]}
    assert draws(drawn, figures.cuts, right, ("nearest", 0.98), says="squares 95%, rows 96%")


def test_cuts_refused(drawn):
    right = {"squares": [0.94, 0.96], "rows": [0.96, 0.97], "reshape": [0.7, 0.9]}
    assert refuses(drawn, figures.cuts, right, ("nearest", 0.98))


def test_scrambled(drawn):
    right = {"with": ([0.95, 0.94], [0.1, 0.12]), "without": ([0.66, 0.64], [0.66, 0.64])}
    assert draws(drawn, figures.scrambled, right, says="with, scrambled 11 %, without, whole 65 %")


@pytest.mark.parametrize(
    "right",
    [
        {"with": ([0.95, 0.94], [0.6, 0.5]), "without": ([0.66, 0.64], [0.66, 0.64])},
        {"with": ([0.95, 0.94], [0.1, 0.12]), "without": ([0.66, 0.64], [0.5, 0.64])},
    ],
    ids=["hardly disturbed", "order matters without positions"],
)
def test_scrambled_refused(drawn, right):
    assert refuses(drawn, figures.scrambled, right)


def test_covered(drawn):
    falls = torch.tensor([[0.1, 0.75, -0.1, 0.0], [0.625, 0.0, 0.2, 0.3]])
    images = torch.rand(2, 1, 6, 6)
    assert draws(drawn, figures.covered, images, falls, 3, says="costs 0.75, 0.62")
    below = [
        ax.images[0].get_array() for ax in drawn[0][0].axes if ax.get_title(loc="left").startswith("fall")
    ]
    assert below[0].tolist() == [[pytest.approx(0.1), 0.75], [0, 0]]
    assert refuses([], figures.covered, images, falls.clamp(max=0.4), 3)


def test_filters(drawn):
    before = torch.randn(7, 4, generator=torch.Generator().manual_seed(2))
    moved = before + 2 * torch.randn(7, 4, generator=torch.Generator().manual_seed(3))
    assert draws(drawn, figures.filters, before, moved, says="7 small squares of weights")
    assert refuses([], figures.filters, before, 2 * before)  # larger, but the same
    assert refuses([], figures.filters, before, 0.5 * moved)  # others, but no larger


def spectra_with_steps(*at: int) -> torch.Tensor:
    """Two melodies of 24 frames and 60 pitches, whose notes begin at these frames."""
    spectra = 0.01 * torch.rand(2, 24, 60, generator=torch.Generator().manual_seed(4))
    for number, start in enumerate((0, *at)):
        spectra[:, start:, 7 * number] += 1
    return spectra


def test_melodies(drawn):
    names = ["rise", "fall"]
    says = "change most at 0.08 s and 0.16 s"
    assert draws(drawn, figures.melodies, spectra_with_steps(8, 16), names, 3, 40.0, 0.01, says=says)
    assert [ax.get_ylabel() for ax in drawn[0][0].axes] == ["pitch, Hz"] * 2
    assert refuses([], figures.melodies, spectra_with_steps(3, 16), names, 3, 40.0, 0.01)


def test_heard(drawn):
    right = {"spectra": [0.99, 0.97], "raw": [0.6, 0.8]}
    assert draws(
        drawn, figures.heard, right, ("one matrix", 0.99), says="spectra 98%, raw 70%; one matrix 99%"
    )
    assert refuses([], figures.heard, {"spectra": [0.9, 0.9], "raw": [0.88, 0.89]}, ("one matrix", 0.99))


def test_backwards(drawn):
    names = ["rise", "fall", "peak", "dip"]
    swaps = np.eye(4)[[1, 0, 2, 3]]
    stays = np.eye(4)
    assert draws(
        drawn, figures.backwards, [swaps, 0.9 * swaps + 0.1 * stays], names, says="as a fall in 95%, a fall"
    )
    assert refuses([], figures.backwards, [swaps, stays], names)
