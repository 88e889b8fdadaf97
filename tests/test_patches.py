"""Patches: against loops, strided convolutions, and torch's own way of cutting a sound."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_lib.patches import PatchEmbedding, frames, patchify, unpatchify

B, C, D, P = 2, 3, 13, 5
ROWS, COLUMNS = 7, 11  # patches: a rectangle, so that no transposition hides
H, W = ROWS * P, COLUMNS * P


def numbers(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_patchify_cuts_in_reading_order():
    images = numbers(B, C, H, W)
    patches = patchify(images, P)
    assert patches.shape == (B, ROWS * COLUMNS, C * P * P)
    for y in range(ROWS):
        for x in range(COLUMNS):
            square = images[:, :, y * P : (y + 1) * P, x * P : (x + 1) * P]
            assert torch.equal(patches[:, y * COLUMNS + x], square.reshape(B, -1))


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


def test_the_same_patches_fill_a_tall_and_a_wide_image():
    patches = torch.arange(6 * 4).reshape(1, 6, 4)
    wide, tall = unpatchify(patches, 2, (4, 6)), unpatchify(patches, 2, (6, 4))
    assert wide[0, 0].tolist()[:2] == [[0, 1, 4, 5, 8, 9], [2, 3, 6, 7, 10, 11]]
    assert tall[0, 0].tolist()[:2] == [[0, 1, 4, 5], [2, 3, 6, 7]]


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
    torch.testing.assert_close(ours(images), theirs, rtol=0, atol=1e-12)


def test_patch_embedding_gradients():
    ours = PatchEmbedding(2, 3, 5).double()
    parameters = [numbers(5, 12), numbers(5)]

    def embed(images, weight, bias):
        values = {"projection.weight": weight, "projection.bias": bias}
        return torch.func.functional_call(ours, values, (images,))

    inputs = [numbers(2, 3, 4, 6), *parameters]
    assert torch.autograd.gradcheck(embed, [x.requires_grad_() for x in inputs])


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
@pytest.mark.parametrize(("frame_length", "hop"), [(5, 2), (5, 5), (3, 7), (23, 1), (1, 1)])
def test_frames_equal_the_loop(lead, frame_length, hop):
    sound = numbers(*lead, 23)
    expected = [sound[..., start : start + frame_length] for start in range(0, 24 - frame_length, hop)]
    assert torch.equal(frames(sound, frame_length, hop), torch.stack(expected, dim=-2))
    assert torch.equal(frames(sound, frame_length, hop), sound.unfold(-1, frame_length, hop))


@pytest.mark.parametrize("hop", [32, 48, 128])
def test_windowed_frames_give_the_spectrogram(hop):
    sound, window = numbers(B, 1009), torch.hann_window(128, dtype=torch.float64)
    ours = torch.fft.rfft(frames(sound, 128, hop) * window)  # (B, N, frequencies)
    theirs = torch.stft(sound, 128, hop, window=window, center=False, return_complex=True)
    torch.testing.assert_close(ours, theirs.mT, rtol=0, atol=1e-12)


def test_a_linear_layer_on_frames_equals_a_strided_convolution():
    convolution, linear = nn.Conv1d(1, D, 7, stride=3).double(), nn.Linear(7, D).double()
    linear.load_state_dict({"weight": convolution.weight.flatten(1), "bias": convolution.bias})
    sound = numbers(B, 101)
    theirs = convolution(sound[:, None]).mT
    torch.testing.assert_close(linear(frames(sound, 7, 3)), theirs, rtol=0, atol=1e-12)


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
    with pytest.raises(ValueError, match=message):
        PatchEmbedding(5, C, D)(torch.zeros(B, C, height, width))


@pytest.mark.parametrize("patch_size", [0, -5])
def test_patches_without_size(own_errors, patch_size):
    with pytest.raises(
        ValueError, match=f"patches of {patch_size} x {patch_size} do not fill an image of 5 x"
    ):
        patchify(torch.zeros(B, C, 5, 10), patch_size)


@pytest.mark.parametrize(("n_patches", "width"), [(5, 12), (7, 12), (6, 13), (6, 3)])
def test_patches_that_do_not_fit_the_image(own_errors, n_patches, width):
    message = f"an image of this size has 6 patches of C x 2 x 2 numbers; got {n_patches} of {width}"
    with pytest.raises(ValueError, match=message):
        unpatchify(torch.zeros(B, n_patches, width), 2, (4, 6))


@pytest.mark.parametrize("shape", [(C, H, W), (H, W), (1, B, C, H, W)], ids=str)
def test_images_and_patches_without_a_batch(own_errors, shape):
    with pytest.raises(
        ValueError, match=r"^images must be \(batch, channels, height, width\); got \("
    ) as caught:
        patchify(torch.zeros(shape), P)
    assert str(caught.value).endswith(f"got {shape}")
    with pytest.raises(ValueError, match=r"^images must be \(batch, channels, height, width\); got \("):
        PatchEmbedding(P, C, D)(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"^patches must be \(batch, patches, width\); got \(6, 12\)$"):
        unpatchify(torch.zeros(6, 12), 2, (4, 6))


@pytest.mark.parametrize("channels", [1, 4])
def test_wrong_number_of_channels(own_errors, channels):
    with pytest.raises(ValueError, match=rf"images must have 3 channels \(axis 1\); got {channels}"):
        PatchEmbedding(P, C, D)(torch.zeros(B, channels, H, W))


def test_frames_that_do_not_fit_the_sound(own_errors):
    assert frames(torch.zeros(5), 5, 1).shape == (1, 5)
    with pytest.raises(ValueError, match=r"a frame of 6 samples is longer than the sound \(5\)"):
        frames(torch.zeros(2, 5), 6, 1)
    for frame_length, hop in [(3, 0), (3, -1), (0, 1)]:
        with pytest.raises(
            ValueError, match=f"frame_length and hop must be at least 1; got {frame_length} and {hop}"
        ):
            frames(torch.zeros(5), frame_length, hop)
