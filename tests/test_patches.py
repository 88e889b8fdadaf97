"""Patches: against torch's own way of cutting images and strided convolutions; frames against a loop."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensors import assert_close, numbers
from torch import nn

from course_lib.patches import PatchEmbedding, frames, patchify, unpatchify

B, C, D, P = 2, 3, 13, 5
ROWS, COLUMNS = 7, 11  # patches: a rectangle, so that no transposition hides
H, W = ROWS * P, COLUMNS * P


def test_patchify_equals_unfold():
    images = numbers(B, C, H, W)
    assert torch.equal(patchify(images, P), nn.functional.unfold(images, P, stride=P).mT)


@settings(deadline=None)
@given(
    st.integers(0, 3),
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(1, 4),
    st.sampled_from([torch.uint8, torch.float32, torch.bool]),
)
def test_unpatchify_is_the_inverse(b, c, rows, columns, p, dtype):
    images = torch.randint(256, (b, c, rows * p, columns * p)).to(dtype)
    patches = patchify(images, p)
    assert patches.shape == (b, rows * columns, c * p * p)
    assert patches.dtype == dtype
    again = unpatchify(patches, p, (rows * p, columns * p))
    assert torch.equal(again, images)
    assert torch.equal(patchify(again, p), patches)


@pytest.mark.parametrize(("height", "width"), [(H, W), (W, H), (P, P)])
def test_patch_embedding_equals_a_strided_convolution(height, width):
    convolution = nn.Conv2d(C, D, kernel_size=P, stride=P).double()
    ours = PatchEmbedding(P, C, D).double()
    ours.load_state_dict(
        {
            "projection.weight": convolution.weight.flatten(1),
            "projection.bias": convolution.bias,
        }
    )
    images = numbers(B, C, height, width)
    theirs = convolution(images).flatten(2).mT  # (B, N, D)
    assert_close(ours(images), theirs)


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
@pytest.mark.parametrize(("frame_length", "hop"), [(5, 2), (5, 5), (3, 7), (23, 1), (1, 1)])
def test_frames_equal_the_loop(lead, frame_length, hop):
    sound = numbers(*lead, 23)
    expected = [sound[..., start : start + frame_length] for start in range(0, 24 - frame_length, hop)]
    assert torch.equal(frames(sound, frame_length, hop), torch.stack(expected, dim=-2))


def test_nothing_is_made_on_another_device():
    """The meta device stands for an accelerator."""
    images, sound = torch.empty(B, C, H, W, device="meta"), torch.empty(101, device="meta")
    assert PatchEmbedding(P, C, D).to("meta")(images).is_meta
    assert unpatchify(patchify(images, P), P, (H, W)).is_meta
    assert frames(sound, 7, 3).is_meta


# ------------------------------------------------------------------------------------------ errors for humans


@pytest.mark.parametrize(("height", "width"), [(9, 10), (10, 9), (4, 5), (0, 5), (5, 0)])
def test_images_that_patches_do_not_fill(own_errors, height, width):
    message = f"patches of 5 x 5 do not fill an image of {height} x {width}"
    with pytest.raises(ValueError, match=message):
        patchify(torch.zeros(B, C, height, width), 5)
    with pytest.raises(ValueError, match=message):
        unpatchify(torch.zeros(B, 2, 75), 5, (height, width))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: patchify(torch.zeros(B, C, 5, 10), 0), "patches of 0 x 0 do not fill an image of 5 x"),
        (lambda: patchify(torch.zeros(B, C, 5, 10), -5), "patches of -5 x -5 do not fill an image of 5 x"),
        (lambda: patchify(torch.zeros(C, H, W), P), r"^images must be \(batch, .*; got \(3, 35, 55\)$"),
        (lambda: patchify(torch.zeros(1, B, C, H, W), P), r"images must be .*; got \(1, 2, 3, 35, 55\)$"),
        (lambda: PatchEmbedding(P, C, D)(torch.zeros(C, H, W)), r"images must be .*; got \(3, 35, 55\)$"),
        (lambda: PatchEmbedding(P, C, D)(torch.zeros(B, 4, H, W)), r"have 3 channels \(axis 1\); got 4"),
        (lambda: unpatchify(torch.zeros(6, 12), 2, (4, 6)), r"patches must be \(batch, .*; got \(6, 12\)$"),
        (lambda: unpatchify(torch.zeros(B, 5, 12), 2, (4, 6)), "has 6 patches of C x 2 x 2 .* got 5 of 12"),
        (lambda: unpatchify(torch.zeros(B, 6, 13), 2, (4, 6)), "has 6 patches of C x 2 x 2 .* got 6 of 13"),
        (lambda: unpatchify(torch.zeros(B, 6, 3), 2, (4, 6)), "has 6 patches of C x 2 x 2 .* got 6 of 3"),
        (lambda: frames(torch.zeros(2, 5), 6, 1), r"a frame of 6 samples is longer than the sound \(5\)"),
        (lambda: frames(torch.zeros(5), 3, 0), "frame_length and hop must be at least 1; got 3 and 0"),
        (lambda: frames(torch.zeros(5), 0, 1), "frame_length and hop must be at least 1; got 0 and 1"),
    ],
)
def test_what_cannot_be_cut(own_errors, call, message):
    with pytest.raises(ValueError, match=message):
        call()
