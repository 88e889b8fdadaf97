"""The tasks of 02_patches: what their solutions promise, and the training at the end of `digit_reader`."""

import re

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.image import grid_to_graph
from sklearn.metrics.pairwise import cosine_similarity
from task_cases import cases_of
from torch import nn

from course_lib import patches as library
from course_lib.checks import examine, find_task
from course_lib.concepts.c02_patches.answers.digit_reader import Reader
from course_lib.concepts.c02_patches.answers.neighbours_alike import by_numbers
from course_lib.concepts.c02_patches.tasks import digit_reader
from course_lib.concepts.c02_patches.tasks.attention_cost import attention_cost
from course_lib.concepts.c02_patches.tasks.frames import frames
from course_lib.concepts.c02_patches.tasks.linear_to_convolution import linear_to_convolution
from course_lib.concepts.c02_patches.tasks.neighbours_alike import (
    SHAPES,
    TileReader,
    made,
    named,
    neighbours_alike,
    row,
)
from course_lib.concepts.c02_patches.tasks.patchify import patchify
from course_lib.concepts.c02_patches.tasks.split_channels import split_channels
from course_lib.concepts.c02_patches.tasks.unpatchify import unpatchify
from course_lib.encoder import ViT, ViTConfig

pytestmark = pytest.mark.usefixtures("own_errors")
cases = cases_of("02_patches")


def channels_first(rows, n_channels):
    """The library's order within a patch, from that of the exercises."""
    return rows.unflatten(2, (-1, n_channels)).mT.flatten(2)


# ------------------------------------------------------------------------------------ references and inputs


def test_the_three_pictures_sum_to_the_image():
    for case in cases("split_channels"):
        image = case.inputs["image"]
        assert torch.equal(torch.stack(split_channels(image)).sum(0).to(image.dtype), image)


def test_patches_are_the_librarys_with_the_channels_moved():
    for case in cases("patchify"):
        given, p = case.inputs.values()
        rows = patchify(given, p)
        assert torch.equal(channels_first(rows, given.shape[1]), library.patchify(given, p))


def test_unpatchify_is_the_way_back():
    for case in cases("patchify"):
        given, p = case.inputs.values()
        assert torch.equal(unpatchify(patchify(given, p), p, *given.shape[2:]), given)


def test_the_convolution_gives_the_vectors_of_the_linear_layer():
    for case in cases("linear_to_convolution"):
        weight, p = case.inputs.values()
        weight = weight.double()
        given = torch.randn(2, weight.shape[1] // p**2, 3 * p, 2 * p, dtype=weight.dtype)
        kernel = linear_to_convolution(weight, p)
        vectors = nn.functional.conv2d(given, kernel, stride=p).flatten(2).mT
        torch.testing.assert_close(vectors, patchify(given, p) @ weight.mT)


def test_neighbours_are_those_of_scikit_learns_grid():
    for case in cases("neighbours_alike"):
        matrix, tiles = case.inputs.values()
        cosines = cosine_similarity(matrix.double() - matrix.double().mean(0))
        for (height, width), mean in zip(tiles, neighbours_alike(matrix.double(), tiles), strict=True):
            edges = grid_to_graph(height, width).toarray().astype(bool) & ~np.eye(len(matrix), dtype=bool)
            assert mean.item() == pytest.approx(cosines[edges].mean(), abs=1e-9)


def test_the_cost_is_that_of_the_library():
    for case in cases("attention_cost"):
        height, width, p, n_heads = case.inputs.values()
        model = ViT(ViTConfig((height, width), p, 1, 2, d_model=2, n_layers=1, n_heads=1))
        n_tokens = model.position_embedding.shape[1]
        assert attention_cost(height, width, p, n_heads) == (n_tokens, n_heads * n_tokens**2)


def test_the_reader_is_the_librarys_vision_transformer():
    config = ViTConfig((8, 8), 2, 1, 10, d_model=32, n_layers=1, n_heads=4, norm_eps=1e-5)
    model = ViT(config).double()
    weights = digit_reader.weights_of(3)
    names = {"patch_embedding.projection." + end: f"patch_embedding.{end}" for end in ("weight", "bias")}
    state = {
        name: weights[names.get(name, name)].reshape(value.shape)
        for name, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    given = torch.rand(5, 1, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(find_task("02_patches/digit_reader").reference(given, 3), model(2 * given - 1))


def test_frames_are_the_librarys():
    for case in cases("frames"):
        assert torch.equal(frames(**case.inputs), library.frames(*case.inputs.values()))


# ------------------------------------------------------------------------------------------------- the reward


@pytest.fixture
def quick(monkeypatch):
    """A training of one step: what it gives is of no interest here."""
    monkeypatch.setattr(digit_reader, "N_STEPS", 1)
    monkeypatch.setattr(digit_reader, "LEAST", 0.0)


def test_both_readers_say_what_they_read(quick):
    pieces = []
    assert examine(find_task("02_patches/digit_reader"), Reader, hear=pieces.append).passed
    said = "".join(pieces)
    assert "% of 360 others" in said
    assert "on a bare reshape" in said


def test_the_training_begins_with_the_same_weights_whatever_the_learners_are(quick):
    class Ones(Reader):
        def __init__(self):
            super().__init__()
            for parameter in self.parameters():
                nn.init.ones_(parameter)

    task = find_task("02_patches/digit_reader")
    said = examine(task, Ones).detail
    assert said.startswith("Your reader learns")
    assert said == examine(task, Reader).detail


def test_the_first_weights_leave_the_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    digit_reader.start(0)
    assert torch.equal(torch.rand(3), expected)


def test_a_reader_that_has_not_learned_is_refused(monkeypatch):
    monkeypatch.setattr(digit_reader, "N_STEPS", 3)
    result = examine(find_task("02_patches/digit_reader"), Reader)
    assert "of the other digits, expected at least 90%" in result.problem


def test_weights_of_another_shape_are_named():
    class Wide(Reader):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(32, 11)

    problem = examine(find_task("02_patches/digit_reader"), Wide).problem
    assert problem == "The weights differ at 'head.bias': the reader should hold (10,), but holds (11,)."
    no_module = examine(find_task("02_patches/digit_reader"), type("Plain", (), {})).problem
    assert no_module.startswith("The class must be a torch.nn.Module; it makes ")


# ------------------------------------------------------------------------------- readers of other pieces


def tried(learner, **options):
    return examine(find_task("02_patches/neighbours_alike"), learner, **options)


def test_each_reader_is_in_the_table_with_what_it_reads_and_the_name_that_its_matrix_gets(quick):
    pieces = []
    assert tried(by_numbers, hear=pieces.append).passed
    said = "".join(pieces)
    assert len(pieces) == 8
    rows = re.findall(r"^(\S.*?) +([\d.]+%)? +(-?\d.\d\d) +(-?\d.\d\d) +(-?\d.\d\d)   (\d x \d)$", said, re.M)
    assert [(what, bool(share)) for what, share, *_ in rows] == [
        *[("4 x 4", True), ("2 x 8", True), ("8 x 2", True)],
        *[("pixels shuffled", True), ("nothing yet", False)],
    ]
    for _, _, *means, name in rows:
        of_shape = dict(zip(("4 x 4", "2 x 8", "8 x 2"), map(float, means), strict=True))
        assert of_shape[name] == max(of_shape.values())
    n_right = sum(what == name for what, *_, name in rows[:3])
    assert f"Your function names {n_right} of 3 rightly" in said


def test_a_trained_matrix_remembers_from_which_pieces_it_learned():
    """With 20 starts each of three readers was named; another machine rounds otherwise."""
    pieces = []
    assert tried(by_numbers, hear=pieces.append).passed
    said = "".join(pieces)
    assert int(re.search(r"names (\d) of 3 rightly", said)[1]) >= 2
    shares = re.search(r"between (\S+)% and (\S+)%", said).groups()
    assert min(map(float, shares)) > 90


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda means: means + 0.001, "With a reader's matrix (16, 32) your function gives ["),
        (lambda means: means[None], "With a reader's matrix (16, 32) your function gives [["),
        (
            lambda means: means * torch.nan,
            "With a reader's matrix (16, 32) your function gives [nan nan nan], ",
        ),
        (lambda means: None, "It returns None"),
    ],
)
def test_a_function_that_is_wrong_for_a_readers_matrix_alone_is_refused(quick, wrong, said):
    def answer(matrix, tiles):
        right = by_numbers(matrix, tiles)
        return right if matrix.shape[1] != 32 else wrong(right)

    assert tried(answer).problem.startswith(said)


def test_a_function_cannot_change_the_matrix_of_a_reader_or_the_shapes(quick):
    def answer(matrix, tiles):
        right = by_numbers(matrix, tiles)
        if matrix.shape[1] == 32:
            matrix.zero_()
            tiles.clear()
        return right

    assert tried(answer).detail == tried(by_numbers).detail


@pytest.mark.parametrize("tile", SHAPES)
def test_a_tile_holds_its_pixels_line_by_line(tile):
    height, width = tile
    picture = torch.arange(64).reshape(1, 1, 8, 8)
    found = TileReader(tile).cut(picture)[0]
    corners = [(y, x) for y in range(0, 8, height) for x in range(0, 8, width)]
    for piece, (y, x) in zip(found, corners, strict=True):
        assert torch.equal(piece, picture[0, 0, y : y + height, x : x + width].flatten())


def test_two_whole_lines_are_a_bare_reshape():
    picture = torch.arange(64).reshape(1, 1, 8, 8)
    assert torch.equal(TileReader((2, 8)).cut(picture), picture.reshape(1, 4, 16))


def test_pixels_are_shuffled_before_the_cut_in_the_same_way_for_each_picture():
    pictures = torch.stack([torch.arange(64), 100 + torch.arange(64)]).reshape(2, 1, 8, 8)
    one, other = made((4, 4), 0, shuffled=True).cut(pictures)
    assert torch.equal(one + 100, other)
    assert one.flatten().sort()[0].tolist() == list(range(64))
    assert not torch.equal(one, TileReader((4, 4)).cut(pictures)[0])


def test_a_reader_has_a_start_of_its_own_and_leaves_the_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (made((4, 4), seed).matrix for seed in (0, 0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == (16, 32)


def test_the_largest_mean_names_the_shape():
    assert named(np.array([0.1, 0.3, -0.5])) == (2, 8)
    assert row("8 x 2", "97.0%", np.array([0.1, -0.3, 0.25])) == (
        "8 x 2                  97.0%    0.10   -0.30    0.25   8 x 2\n"
    )


# ---------------------------------------------------------------------------------------- forbidden routines


def test_a_method_of_a_tensor_can_be_forbidden():
    result = examine(find_task("02_patches/frames"), lambda x, n, hop: x.unfold(-1, n, hop))
    assert result.problem.startswith("It calls torch.Tensor.unfold, which does the task for you")
