"""What Python gives the positions explorer: two small tables, sizes, choices that exist."""

import json
import math
import re

import numpy as np
import pytest
import torch
from explorers import keeps_the_frame, unpacked

from course_lib.concepts.c05_positions.explorer import MOST_PLACES, WIDEST, PositionsExplorer
from course_lib.positions import PositionEmbedding, RelativePositions, sinusoidal

N_PLACES, TRAINED, N_HEADS = 19, 11, 3
D_MODEL = 6


@pytest.fixture
def table() -> torch.Tensor:
    """Vectors of places, more than are shown."""
    return torch.randn(N_PLACES + 4, D_MODEL, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def positions(table: torch.Tensor) -> PositionsExplorer:
    return PositionsExplorer(N_PLACES, D_MODEL, TRAINED, n_heads=N_HEADS, learned=table)


def sent_table(explorer: PositionsExplorer) -> np.ndarray:
    rows = unpacked(explorer.tables["learned"], np.int16) * explorer.tables["unit"]
    return rows.reshape(explorer.state["n_places"], -1)


def test_the_learned_table_is_the_one_that_was_given(
    positions: PositionsExplorer, table: torch.Tensor
) -> None:
    np.testing.assert_allclose(sent_table(positions), table[:N_PLACES], atol=6e-5)
    assert positions.state["isGiven"]
    for size in (1e-6, 1e6):  # as exact, however large its numbers are
        scaled = PositionsExplorer(N_PLACES, D_MODEL, learned=table * size, trained=3)
        np.testing.assert_allclose(sent_table(scaled), table[:N_PLACES] * size, atol=6e-5 * size)


def test_without_a_table_an_untrained_one_is_sent() -> None:
    state = torch.random.get_rng_state()
    explorer = PositionsExplorer()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not explorer.state["isGiven"]
    torch.manual_seed(0)
    np.testing.assert_allclose(sent_table(explorer), PositionEmbedding(64, 32).weight.detach(), atol=2e-6)


def test_relative_scores_are_the_librarys(positions: PositionsExplorer) -> None:
    torch.manual_seed(0)
    relative = RelativePositions(D_MODEL, TRAINED - 1)  # no farther distance occurs in training
    queries = torch.randn(N_HEADS, D_MODEL)
    expected = (queries @ relative.weight.T / math.sqrt(D_MODEL)).detach()
    assert positions.state["farthest"] == TRAINED - 1
    sent = unpacked(positions.tables["relative"], np.float32).reshape(N_HEADS, -1)
    np.testing.assert_allclose(sent, expected, atol=1e-6)


def test_it_opens_on_what_teaches_most(table: torch.Tensor) -> None:
    def opened(*sizes: int, **options: torch.Tensor) -> tuple[str, str]:
        explorer = PositionsExplorer(*sizes, **options)
        return explorer.left, explorer.right

    assert opened(19, 6, 19, learned=table) == ("sinusoidal", "learned")
    assert opened(19, 6, 11, learned=table) == ("sinusoidal", "learned")
    assert opened(19, 6, 19) == ("sinusoidal", "learned")
    assert opened(19, 6, 11) == ("sinusoidal", "rotary")


def test_the_smallest_and_the_largest_positions_can_be_sent() -> None:
    least = PositionsExplorer(1, 2, 1, n_heads=1)
    assert (least.query, least.key, least.pair) == (0, 0, 0)
    most = PositionsExplorer(MOST_PLACES, WIDEST, 512, n_heads=64, learned=sinusoidal(512, WIDEST))
    assert len(json.dumps(most.get_state())) < 1_300_000
    assert len(json.dumps(PositionsExplorer().tables)) < 8_000
    assert (sent_table(PositionsExplorer(3, 4, 3, learned=torch.zeros(3, 4))) == 0).all()


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ((0,), {}, f"max_seq_len must be a whole number from 1 to {MOST_PLACES}; got 0."),
        ((8.0,), {}, "max_seq_len must be a whole number from 1 to 512; got 8.0."),
        ((MOST_PLACES + 1,), {}, "got 513."),
        ((8, WIDEST + 2), {}, f"d_model must be a whole number from 1 to {WIDEST}; got 770."),
        ((8, 5, 3), {}, "d_model must be even, because coordinates turn in pairs; got 5."),
        ((8, 6, 9), {}, "trained must be a whole number from 1 to 8; got 9."),
        ((8, 6, 0), {}, "trained must be a whole number from 1 to 8; got 0."),
        ((8, 6, 3), {"n_heads": 0}, "n_heads must be a whole number from 1 to 64; got 0."),
        ((8, 6, 3), {"n_heads": True}, "n_heads must be a whole number from 1 to 64; got True."),
        (
            (8, 6, 3),
            {"learned": torch.zeros(8, 4)},
            "learned must have at least 8 rows (max_seq_len) of width 6 (d_model); got 8 of 4.",
        ),
        ((8, 6, 3), {"learned": torch.zeros(7, 6)}, "of width 6 (d_model); got 7 of 6."),
        ((8, 6, 3), {"learned": torch.zeros(1, 8, 6)}, "must be a tensor (places, d_model); got (1, 8, 6)."),
        ((8, 6, 3), {"learned": [[0.0] * 6] * 8}, "learned must be a tensor (places, d_model); got list."),
        ((8, 6, 3), {"learned": torch.full((8, 6), math.inf)}, "finite numbers; got infinity or NaN."),
        ((8, 6, 3), {"learned": torch.full((8, 6), math.nan)}, "finite numbers; got infinity or NaN."),
    ],
)
def test_bad_positions(sizes: tuple, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        PositionsExplorer(*sizes, **options)


@pytest.mark.usefixtures("own_errors")
@pytest.mark.parametrize(
    ("name", "value", "most"),
    [("query", N_PLACES, 18), ("key", -1, 18), ("pair", 3, 2), ("head", 3, 2)],
)
def test_only_places_pairs_and_heads_that_exist_are_chosen(
    positions: PositionsExplorer, name: str, value: int, most: int
) -> None:
    before = getattr(positions, name)
    with pytest.raises(ValueError, match=f"{name} must be from 0 to {most}; got {value}"):
        setattr(positions, name, value)
    assert getattr(positions, name) == before


def test_it_keeps_the_frame() -> None:
    assert keeps_the_frame(PositionsExplorer(), "schemes", "explorer")
