"""The positions explorer without a browser: every number is the library's, every question is answered."""

import json
import math
import re

import numpy as np
import pytest
import torch
from explorers import keeps_the_frame, unpacked

from course_lib.concepts.c05_positions.explorer import (
    LARGEST,
    MOST_PLACES,
    SCHEMES,
    WIDEST,
    PositionsExplorer,
)
from course_lib.positions import ALiBi, RelativePositions, RotaryEmbedding, sinusoidal

N_PLACES, TRAINED, N_HEADS = 19, 11, 3
D_MODEL = 6


@pytest.fixture
def table() -> torch.Tensor:
    """Vectors of places, more than are shown."""
    return torch.randn(N_PLACES + 4, D_MODEL, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def positions(table: torch.Tensor) -> PositionsExplorer:
    return PositionsExplorer(N_PLACES, D_MODEL, TRAINED, n_heads=N_HEADS, learned=table)


def shown_products(explorer: PositionsExplorer, scheme: str) -> np.ndarray:
    """Of each head, query and key, as the page reads them."""
    view, places = explorer.views[scheme], np.arange(N_PLACES)
    products = unpacked(view["products"], np.int32) / 10_000
    if view["is_offset_only"]:
        offsets = places - places[:, None] + N_PLACES - 1
        return products.reshape(-1, 2 * N_PLACES - 1)[:, offsets]
    return products.reshape(-1, N_PLACES, N_PLACES)


def library_product(scheme: str, query: int, key: int, head: int, table: torch.Tensor) -> float:
    """From the library's own classes, one pair of places at a time."""
    if scheme == "sinusoidal":
        return (sinusoidal(N_PLACES, D_MODEL)[query] @ sinusoidal(N_PLACES, D_MODEL)[key]).item()
    if scheme == "learned":
        return (table[query] @ table[key]).item()
    rotary, ones = RotaryEmbedding(D_MODEL, N_PLACES), torch.ones(1, 1, 1, D_MODEL)
    if scheme == "rotary":
        return (rotary(ones, start=query) * rotary(ones, start=key)).mean().item()
    return -ALiBi(N_HEADS).slopes[head].item() * abs(key - query)


@pytest.mark.parametrize("scheme", ["sinusoidal", "learned", "rotary", "ALiBi"])
def test_every_product_of_places_is_the_librarys(
    positions: PositionsExplorer, table: torch.Tensor, scheme: str
) -> None:
    expected = [
        [
            [library_product(scheme, query, key, head, table) for key in range(N_PLACES)]
            for query in range(N_PLACES)
        ]
        for head in range(N_HEADS if scheme == "ALiBi" else 1)
    ]
    np.testing.assert_allclose(shown_products(positions, scheme), expected, rtol=0, atol=6e-5)


def test_relative_positions_are_the_librarys(positions: PositionsExplorer) -> None:
    torch.manual_seed(0)
    relative = RelativePositions(D_MODEL, TRAINED - 1)  # no farther distance occurs in training
    queries = torch.randn(1, N_HEADS, 1, D_MODEL)
    shown = shown_products(positions, "relative")
    for head in range(N_HEADS):
        scores = (relative.weight @ queries[0, head, 0] / math.sqrt(D_MODEL)).tolist()
        for query, key in ((0, 0), (7, 5), (5, 7), (0, 10), (10, 0), (1, 18), (18, 1), (0, 18)):
            row = min(max(key - query, 1 - TRAINED), TRAINED - 1) + TRAINED - 1
            assert shown[head, query, key] == pytest.approx(scores[row], abs=6e-5)


def test_patterns_of_places_are_the_librarys(positions: PositionsExplorer, table: torch.Tensor) -> None:
    for scheme, expected in (
        ("sinusoidal", sinusoidal(N_PLACES, D_MODEL)),
        ("learned", table[:N_PLACES]),
        ("rotary", RotaryEmbedding(D_MODEL, N_PLACES).cos),
    ):
        view = positions.views[scheme]
        shares = unpacked(view["table"], np.int16).reshape(N_PLACES, view["columns"]) / 30_000
        strongest = expected.abs().quantile(0.99)  # one large number must not hide all others
        np.testing.assert_allclose(shares, (expected / strongest).clamp(-1, 1), atol=2e-5)
        assert view["strongest"] == pytest.approx(10_000 * strongest.item(), abs=0.6)


def test_hands_turn_as_the_library_turns(positions: PositionsExplorer) -> None:
    steps = [math.degrees(10_000 ** (-2 * pair / D_MODEL)) for pair in range(D_MODEL // 2)]
    for scheme in SCHEMES:
        expected = steps if scheme in ("sinusoidal", "rotary") else []
        assert positions.views[scheme]["steps"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_depends_on_the_offset_alone_is_told(positions: PositionsExplorer, scheme: str) -> None:
    products, seen = shown_products(positions, scheme)[0], {}
    for query in range(N_PLACES):
        for key in range(N_PLACES):
            seen.setdefault(key - query, set()).add(products[query, key])
    is_offset_only = all(len(products) == 1 for products in seen.values())
    is_symmetric = is_offset_only and all(seen[offset] == seen[-offset] for offset in seen)
    view = positions.views[scheme]
    assert view["is_offset_only"] == is_offset_only
    if is_offset_only:
        assert f"depends on the {'distance' if is_symmetric else 'offset'} alone" in view["dependence"]


def test_dependence_is_computed_and_not_typed() -> None:
    waves = sinusoidal(N_PLACES, D_MODEL)
    mixed = waves[torch.randperm(N_PLACES, generator=torch.Generator().manual_seed(0))]
    for learned, is_offset_only in (
        (waves, True),
        (mixed, False),
        (torch.ones(N_PLACES, D_MODEL), True),
        (None, False),
    ):
        view = PositionsExplorer(N_PLACES, D_MODEL, TRAINED, learned=learned).views["learned"]
        assert view["is_offset_only"] == is_offset_only
        if is_offset_only:
            assert view["dependence"].startswith("It depends on the distance alone")


def test_schemes_are_described() -> None:
    views = PositionsExplorer(8, 4, 5, n_heads=2, learned=torch.eye(8)[:, :4]).views
    assert views["sinusoidal"]["text"] == (
        "Sinusoidal: a fixed vector of 4 sines and cosines for each of 8 places, added to the vector of the "
        "token. Each pair of them is a hand that turns, quick ones first."
    )
    assert views["sinusoidal"]["dependence"] == (
        "It depends on the distance alone: it stays if both move on, and if they change places."
    )
    assert views["learned"]["beyond"][0] == (
        "No training has reached such a row: it is still random, as it was at the start."
    )
    assert views["ALiBi"]["beyond"] == [
        "Their distance occurred in training, and nothing else counts in the score: nothing new.",
        "Their distance is longer than any in training, and the same straight line goes on downwards.",
    ]
    assert views["relative"]["beyond"][1] == (
        "Their distance is longer than any in training, but it counts as 4: nothing new."
    )
    assert views["rotary"]["beyond"][1].endswith(
        "1 of the 2 pairs were never half a turn apart there: long ones turn them to angles that are new."
    )


def test_without_a_table_the_untrained_one_says_so() -> None:
    explorer = PositionsExplorer()
    state = torch.random.get_rng_state()
    assert PositionsExplorer().views == explorer.views
    assert torch.equal(torch.random.get_rng_state(), state)
    told = explorer.views["learned"]["text"]
    assert "No table was given, so these are the random numbers of an untrained one." in told


def test_the_smallest_and_the_largest_positions_can_be_shown() -> None:
    least = PositionsExplorer(1, 2, 1, n_heads=1)
    assert (least.query, least.key, least.pair) == (0, 0, 0)
    assert all(len(unpacked(view["products"], np.int32)) == 1 for view in least.views.values())
    most = PositionsExplorer(MOST_PLACES, 384, 512, learned=sinusoidal(512, 384) + torch.eye(512, 384))
    assert len(json.dumps(most.get_state())) < 3_000_000
    assert len(json.dumps(PositionsExplorer().views)) < 60_000


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
        ((8, 6, 3), {"learned": torch.full((8, 6), 11.0)}, f"from -{LARGEST} to {LARGEST}; got 11.0."),
        ((8, 6, 3), {"learned": torch.full((8, 6), math.nan)}, "from -10 to 10; got nan."),
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
    assert keeps_the_frame(PositionsExplorer())
