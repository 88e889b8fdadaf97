"""Images and sound as tokens: equal pieces, then one linear map for all of them."""

from jaxtyping import Float, Shaped
from torch import Tensor, nn


def patchify(
    images: Shaped[Tensor, "B C height width"],
    patch_size: int,
) -> Shaped[Tensor, "B N CPP"]:
    """Cut images into squares of p = patch_size pixels, in reading order.

        row y (W / p) + x = images[:, :, y p : (y + 1) p, x p : (x + 1) p], flattened
        (Dosovitskiy et al. 2021, section 3.1)

    Args:
        images: any kind of number.
        patch_size: their height and width in pixels.
    Returns: one row per patch.
    Raises: ValueError: images without four axes; squares of this size do not fill the image.
    Example:
        >>> patchify(Tensor([[[[0, 1, 2, 3], [4, 5, 6, 7]]]]), 2).tolist()
        [[[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0]]]

    Differs: the paper leaves the order within a patch open; ours is a Conv2d weight's: C, row, column.
    """
    if images.ndim != 4:
        raise ValueError(f"images must be (batch, channels, height, width); got {tuple(images.shape)}")
    height, width = images.shape[2:]
    rows, columns = _grid(height, width, patch_size)
    squares = images.unflatten(3, (columns, patch_size))
    squares = squares.unflatten(2, (rows, patch_size))  # (B, C, rows, p, columns, p)
    squares = squares.permute(0, 2, 4, 1, 3, 5)  # (B, rows, columns, C, p, p)
    return squares.flatten(3).flatten(1, 2)


def unpatchify(
    patches: Shaped[Tensor, "B N CPP"],
    patch_size: int,
    image_size: tuple[int, int],
) -> Shaped[Tensor, "B C height width"]:
    """Put the squares of `patchify` back together: its exact inverse.

    Args:
        patches: one row per patch.
        patch_size: their height and width in pixels.
        image_size: height and width in pixels, because 6 squares may be 2 x 3 or 3 x 2.
    Returns: the images.
    Raises: ValueError: patches without three axes; squares of this size do not fill the image; another number
        or width of patches.
    Example:
        >>> unpatchify(Tensor([[[0, 1, 4, 5], [2, 3, 6, 7]]]), 2, (2, 4)).tolist()
        [[[[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]]]]
    """
    if patches.ndim != 3:
        raise ValueError(f"patches must be (batch, patches, width); got {tuple(patches.shape)}")
    rows, columns = _grid(*image_size, patch_size)
    n_patches, width = patches.shape[1:]
    n_channels, rest = divmod(width, patch_size**2)
    if n_patches != rows * columns or rest:
        expected = f"{rows * columns} patches of C x {patch_size} x {patch_size} numbers"
        raise ValueError(f"an image of this size has {expected}; got {n_patches} of {width}")
    squares = patches.unflatten(2, (n_channels, patch_size, patch_size))
    squares = squares.unflatten(1, (rows, columns))  # (B, rows, columns, C, p, p)
    squares = squares.permute(0, 3, 1, 4, 2, 5)  # (B, C, rows, p, columns, p)
    return squares.flatten(4).flatten(2, 3)


class PatchEmbedding(nn.Module):
    """Each patch times one learned matrix, as a Conv2d with kernel = stride = patch_size does.

    `projection.weight` is `conv.weight.flatten(1)`. For sound, `nn.Linear` on `frames` is all it takes.

    Args:
        patch_size: height and width of a patch in pixels.
        n_channels: 1 for grey images, 3 for coloured ones.
        d_model: width of the vectors that come out.
    Example:
        >>> PatchEmbedding(patch_size=2, n_channels=3, d_model=5)(Tensor(1, 3, 4, 6)).shape
        torch.Size([1, 6, 5])
    """

    def __init__(self, patch_size: int, n_channels: int, d_model: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.n_channels = n_channels
        self.projection = nn.Linear(n_channels * patch_size**2, d_model)

    def forward(self, images: Float[Tensor, "B C height width"]) -> Float[Tensor, "B N D"]:
        """One vector per patch.

        Raises: ValueError: as `patchify`; another number of channels.
        """
        patches = patchify(images, self.patch_size)
        if images.shape[1] != self.n_channels:
            raise ValueError(f"images must have {self.n_channels} channels (axis 1); got {images.shape[1]}")
        return self.projection(patches)


def frames(
    sound: Shaped[Tensor, "*lead samples"],
    frame_length: int,
    hop: int,
) -> Shaped[Tensor, "*lead N L"]:
    """Pieces of a sound, one every `hop` samples.

        frame n = sound[n hop : n hop + frame_length]

    Args:
        sound: one row of samples, or several.
        frame_length, hop: in samples.
    Returns: a view, one row per frame; samples at the end that fill no whole frame are left out.
    Raises: ValueError: a frame longer than the sound; a length or hop below 1.
    Example:
        >>> frames(Tensor([0, 1, 2, 3, 4, 5]), frame_length=3, hop=2).tolist()
        [[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]]
    """
    if hop < 1 or frame_length < 1:
        raise ValueError(f"frame_length and hop must be at least 1; got {frame_length} and {hop}")
    if frame_length > sound.shape[-1]:
        raise ValueError(f"a frame of {frame_length} samples is longer than the sound ({sound.shape[-1]})")
    return sound.unfold(-1, frame_length, hop)


def _grid(height: int, width: int, patch_size: int) -> tuple[int, int]:
    if min(height, width, patch_size) < 1 or height % patch_size or width % patch_size:
        raise ValueError(f"patches of {patch_size} x {patch_size} do not fill an image of {height} x {width}")
    return height // patch_size, width // patch_size
