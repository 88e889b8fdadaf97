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


def test_line(drawn):
    sheet = torch.arange(4.0).reshape(1, 2, 2) / 4
    figures.line("A {} and {}", sheet, 1 - sheet)
    fig, alt = drawn[0]
    assert alt == "A line: A [a picture] and [a picture]"
    assert [ax.texts[0].get_text() for ax in fig.axes if ax.texts] == ["A", "and", ""]
    assert fig.axes[1].images[0].get_array().tolist() == [[1, 0.75], [0.5, 0.25]]  # ink is dark


def test_nearness(drawn):
    cosines = torch.full((2, 10), 0.5)
    cosines[0, 3], cosines[1, 7] = 0.875, 0.625
    figures.nearness([torch.rand(1, 8, 8)] * 2, cosines)
    fig, alt = drawn[0]
    assert alt.endswith("nearest to 3 (0.88), nearest to 7 (0.62).")
    assert [bar.get_height() for bar in fig.axes[1].patches] == [0.5] * 3 + [0.875] + [0.5] * 6


def test_moved(drawn):
    places, sheets = ["as it is", "left", "right"], torch.rand(3, 1, 8, 8)
    assert draws(drawn, figures.moved, sheets, places, torch.tensor([8, 4, 1]), says="as it is 8, left 4")
    assert refuses([], figures.moved, sheets, places, torch.tensor([8, 4, 8]))


def sheets_and_cuts(order):
    """A sheet of 8 x 8 with a digit, and the same moved by a square; three ways to cut it."""
    sheet = -torch.ones(1, 1, 8, 8)
    sheet[0, 0, 1:6, :3] = torch.rand(5, 3, generator=torch.Generator().manual_seed(1))
    return torch.cat([sheet, sheet.roll(4, dims=3)]), {
        "squares": lambda x: patchify(x, 4),
        "rows": lambda x: x.flatten(1, 2),
        "anywhere": lambda x: x.flatten(1)[:, order].unflatten(1, (4, 16)),
    }


def test_pieces(drawn):
    order = torch.randperm(64, generator=torch.Generator().manual_seed(2))
    sheets, cuts = sheets_and_cuts(order)
    assert draws(drawn, figures.pieces, sheets, cuts, says="squares 2 of 2, rows 0 of 5, anywhere 0 of 4")
    squares = patchify(torch.arange(64).reshape(1, 1, 8, 8), 4).flatten()
    assert refuses([], figures.pieces, *sheets_and_cuts(squares))  # these are squares, too


def test_cuts(drawn):
    right = {"squares": [0.78, 0.82], "rows": [0.66, 0.7], "anywhere": [0.14, 0.16]}
    assert draws(drawn, figures.cuts, right, ("convolutions", 0.98), says="squares 80%, rows 68%")
    assert refuses([], figures.cuts, right | {"rows": [0.81, 0.83]}, ("convolutions", 0.98))
    assert refuses([], figures.cuts, right | {"squares": [0.5, 0.52]}, ("convolutions", 0.98))


def test_covered(drawn):
    read = [str(n % 3) for n in range(16)]
    figures.covered(torch.rand(1, 8, 8), read)
    fig, _ = drawn[0]
    assert fig.get_suptitle() == "Read under paper: 3 different answers"
    written = {text.get_position(): text.get_text() for text in fig.axes[1].texts}
    assert written[4.5, 2.5] == read[6]  # the second row, the third column


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
