"""The tasks of 05_positions on places: what references and layers promise, what is said of a short table."""

import numpy as np
import pytest
import torch
from task_cases import cases_of

from course_lib import positions as library
from course_lib.checks import examine, find_task
from course_lib.concepts.c05_positions.answers.learned_positions import left_to_torch
from course_lib.concepts.c05_positions.tasks.alibi_bias import alibi_bias
from course_lib.concepts.c05_positions.tasks.relative_index import relative_index
from course_lib.concepts.c05_positions.tasks.sinusoids import sinusoids
from course_lib.concepts.c05_positions.tasks.which_is_equivariant import (
    EQUIVARIANT,
    NOT_EQUIVARIANT,
    ROUNDING,
    adding,
    sum_of_sizes,
    which_is_equivariant,
)

pytestmark = pytest.mark.usefixtures("own_errors")

cases = cases_of("05_positions")

ROWS = np.arange(3).repeat(3).reshape(3, 3)
SEE_ORDER = {"adds places": adding(ROWS.T.copy()), **NOT_EQUIVARIANT}
LAYERS = {**EQUIVARIANT, **ROUNDING, "adds a number to each sequence": adding(ROWS), **SEE_ORDER}


def random_orders(n):
    """Many orders of n tokens, the same at each call."""
    generator = torch.Generator().manual_seed(0)
    return (torch.randperm(n, generator=generator) for _ in range(20))


# ------------------------------------------------------------------------------------------------- the layers


def test_of_every_layer_the_reference_says_what_it_is():
    for case in cases("which_is_equivariant", 50):
        found = which_is_equivariant(**case.inputs)
        expected = [layer.name not in SEE_ORDER for layer in case.inputs["layers"]]
        assert found == expected, case.name


def test_every_layer_is_tried_and_both_answers_come():
    for seed in range(5):
        given = find_task("05_positions/which_is_equivariant").cases(np.random.default_rng(seed))
        assert {layer.name for case in given for layer in case.inputs["layers"]} == set(LAYERS)
        answers = [which_is_equivariant(**case.inputs) for case in given]
        assert {answer for case in answers for answer in case} == {True, False}


def test_numbers_of_a_table_are_added_from_the_start_again_where_it_ends():
    x = torch.zeros(5, 7, 2)
    for table, expected in ((ROWS, [0, 1, 2, 0, 1]), (ROWS.T.copy(), [0, 1, 2, 0, 1, 2, 0])):
        y = adding(table)(x)
        y = y if table is ROWS else y.transpose(0, 1)
        assert y[:, 0, 0].tolist() == expected
        assert torch.equal(y, y[:, :1, :1].expand_as(y))


def test_layers_change_nothing_and_keep_shape_and_kind():
    for dtype in (torch.float32, torch.float64):
        x = torch.randn(2, 5, 3, dtype=dtype)
        before = x.clone()
        for name, layer in LAYERS.items():
            y = layer(x)
            assert (y.shape, y.dtype) == (x.shape, dtype), name
            assert torch.equal(x, before), name


def test_rounding_is_far_below_and_a_seen_order_far_above_what_counts_as_equal():
    """So that any sensible tolerance gives the right answer."""
    for case in cases("which_is_equivariant"):
        x = case.inputs["x"]
        for layer in case.inputs["layers"]:
            y = layer(x)
            pairs = [(layer(x[:, order]), y[:, order]) for order in random_orders(x.shape[1])]
            farthest = max(float((a - b).abs().max()) for a, b in pairs)
            if layer.name in SEE_ORDER:
                assert farthest > 0.1, (case.name, layer)
            else:
                assert all(torch.allclose(a, b) for a, b in pairs), (case.name, layer)


def test_a_sum_in_another_order_has_other_digits():
    """The sum is a chain of single additions, which every processor rounds alike."""
    for case in cases("which_is_equivariant"):
        x = case.inputs["x"]
        if case.name == "numbers that are rounded":
            assert not torch.equal(sum_of_sizes(x.flip(1)), sum_of_sizes(x).flip(1))


def test_who_tries_one_random_order_is_told_to_try_many():
    """Whether a second call gives another answer is up to chance; dropout is never spoken of."""

    def one_order(layers, x):
        order = torch.randperm(x.shape[1])
        return [torch.allclose(f(x[:, order]), f(x)[:, order], atol=1e-4) for f in layers]

    torch.manual_seed(0)
    said = [examine(find_task("05_positions/which_is_equivariant"), one_order).problem for _ in range(20)]
    assert "dropout" not in " ".join(said)
    assert sum("does it try too few random inputs or orders" in problem for problem in said) > 5


def test_a_layer_is_shown_by_its_name():
    result = examine(find_task("05_positions/which_is_equivariant"), lambda layers, x: [True] * len(layers))
    assert str(result.case.inputs["layers"]) in (
        "[scales each token alone, adds places]",
        "[adds places, scales each token alone]",
    )


# ------------------------------------------------------------------------------- references and the library


def test_waves_are_the_librarys():
    for case in cases("sinusoids", 1):
        n, d = case.inputs.values()
        torch.testing.assert_close(sinusoids(n, d).float(), library.sinusoidal(n, d), rtol=0, atol=1e-6 * n)


def test_added_rows_are_the_librarys_and_it_refuses_the_same():
    reference = find_task("05_positions/learned_positions").reference
    for case in cases("learned_positions"):
        x, table, start = case.inputs.values()
        layer = library.PositionEmbedding(*table.shape)
        layer.weight = torch.nn.Parameter(table)
        if start + x.shape[1] > len(table):
            assert reference(x, table, start).isnan().all()
            with pytest.raises(ValueError, match="positions go up to"):
                layer(x, start)
        else:
            torch.testing.assert_close(reference(x, table, start), layer(x, start))


def test_the_bias_is_the_librarys():
    for case in cases("alibi_bias"):
        h, t, s = case.inputs.values()
        expected = library.ALiBi(h)(torch.zeros(1, h, t, 1), s)
        torch.testing.assert_close(alibi_bias(h, t, s).float(), expected)


def test_rows_are_those_that_the_library_reads():
    """Each row of the table is its own number, so the scores say which row was read."""
    for case in cases("relative_index"):
        t, s, m = case.inputs.values()
        layer = library.RelativePositions(1, m)
        layer.weight = torch.nn.Parameter(torch.arange(2 * m + 1.0)[:, None])
        read = layer(torch.ones(1, 1, t, 1), s)[0, 0]
        torch.testing.assert_close(relative_index(t, s, m).float(), read)


# --------------------------------------------------------------------------------------------- what is said


def test_a_table_that_ends_too_early_is_said_with_its_numbers():
    result = examine(find_task("05_positions/learned_positions"), left_to_torch)
    assert result.case.name == "one row is left for three tokens"
    assert result.problem == (
        "The table has 7 rows, and 3 tokens from place 6 on need 9: it must raise a ValueError, but got an "
        "array of shape (2, 3, 5) (Tensor)."
    )


def test_an_index_that_is_no_whole_number_is_said():
    result = examine(
        find_task("05_positions/relative_index"), lambda t, s, m: relative_index(t, s, m).float()
    )
    assert result.problem == "An index is a whole number, but these are float32."


def test_waves_in_float32_are_right_and_in_float16_are_not():
    task = find_task("05_positions/sinusoids")
    assert examine(task, library.sinusoidal).problem.startswith("It calls course_lib.positions.sinusoidal")
    assert examine(task, lambda n, d: sinusoids(n, d).float()).passed
    rounded = examine(task, lambda n, d: sinusoids(n, d).half().float())
    assert "wrong values" in rounded.problem
