"""The tasks of 02_patches: what their solutions promise, and the training at the end of `digit_reader`."""

import pytest
import torch
from task_cases import cases_of
from torch import nn

from course_lib import patches as library
from course_lib.checks import examine, find_task
from course_lib.concepts.c02_patches.answers.digit_reader import Reader
from course_lib.concepts.c02_patches.tasks import digit_reader
from course_lib.concepts.c02_patches.tasks.attention_cost import attention_cost
from course_lib.concepts.c02_patches.tasks.frames import frames
from course_lib.concepts.c02_patches.tasks.linear_to_convolution import linear_to_convolution
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


# ---------------------------------------------------------------------------------------- forbidden routines


def test_a_method_of_a_tensor_can_be_forbidden():
    result = examine(find_task("02_patches/frames"), lambda x, n, hop: x.unfold(-1, n, hop))
    assert result.problem.startswith("It calls torch.Tensor.unfold, which does the task for you")
