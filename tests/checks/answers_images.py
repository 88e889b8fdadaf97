"""Wrong and correct answers to the tasks of 02_patches on images, written as learners write them."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_lib import patches as library
from course_lib.blocks import TransformerStack

RIGHT, WRONG = {}, {}

# --------------------------------------------------------------------------------------------- split channels


def split_by_loop(image, places=(0, 1, 2), black=torch.zeros_like):
    pictures = []
    for c in range(3):
        picture = black(image)
        picture[places[c]] = image[c]
        pictures.append(picture)
    return pictures


def split_in_numpy(image):
    out = np.zeros((3, *image.shape), dtype=image.numpy().dtype)
    out[range(3), range(3)] = image.numpy()
    return torch.from_numpy(out)


def split_in_place(image):
    for c in range(3):
        image[c] = image[c] * 1
    image[1:] = 0
    return [image, image, image]


def split_taken_out(image):
    pictures = [image.clone() for _ in range(3)]
    for c in range(3):
        pictures[c][c] = 0
    return pictures


def split_same_tensor(image):
    pictures = [torch.zeros_like(image)] * 3
    for c in range(3):
        pictures[c][c] = image[c]
    return pictures


def split_last(image):
    pictures = [torch.zeros_like(image) for _ in range(3)]
    for c in range(3):
        pictures[c][..., c] = image[..., c]
    return pictures


def split_rows(image):
    pictures = [torch.zeros_like(image) for _ in range(3)]
    for c in range(3):
        pictures[c][:, c : c + 1] = image[:, c : c + 1]
    return pictures


RIGHT["02_patches/split_channels"] = [
    split_by_loop,
    split_in_numpy,
    lambda image: image * torch.eye(3, dtype=image.dtype)[:, :, None, None],
    lambda image: torch.einsum("ck,khw->ckhw", torch.eye(3, dtype=image.dtype), image),
    lambda image: tuple(F.pad(image[c : c + 1], (0, 0, 0, 0, c, 2 - c)) for c in range(3)),
    lambda image: torch.diag_embed(image.permute(1, 2, 0)).permute(2, 3, 0, 1),
    lambda image: [image.masked_fill((torch.arange(3) != c).reshape(3, 1, 1), 0) for c in range(3)],
]
WRONG["02_patches/split_channels"] = [
    ("the channels alone", lambda image: image),
    ("the channels alone", lambda image: image.unbind(0)),
    ("grey pictures", lambda image: [image[c].repeat(3, 1, 1) for c in range(3)]),
    ("the channel is taken out", split_taken_out),
    ("channels last", split_last),
    ("rows instead of channels", split_rows),
    ("blue first", lambda image: split_by_loop(image)[::-1]),
    ("white elsewhere", lambda image: split_by_loop(image, black=torch.ones_like)),
    ("one tensor three times", split_same_tensor),
    ("a third of the image", lambda image: (image / 3).expand(3, *image.shape)),
    ("always in the first channel", lambda image: split_by_loop(image, places=(0, 0, 0))),
    (None, split_in_place),
    (None, lambda image: image[:, None]),
    (None, lambda image: dict(zip("rgb", split_by_loop(image), strict=True))),
    (None, lambda image: [picture.numpy() for picture in split_by_loop(image)]),
    (None, lambda image: [torch.zeros_like(image) for _ in range(3)]),
    (None, lambda image: split_by_loop(image)[:2]),
    (None, lambda image: split_by_loop(image, places=(2, 1, 0))),
    (None, lambda image: [picture.half() for picture in split_by_loop(image)]),
]

# --------------------------------------------------------------------------------------------------- patchify


def patchify_by_loops(images, p, one=lambda patch: patch.permute(1, 2, 0).flatten(), down=True):
    _, _, height, width = images.shape
    rows = []
    for image in images:
        places = [(y, x) for y in range(0, height, p) for x in range(0, width, p)]
        if not down:
            places = [(y, x) for x in range(0, width, p) for y in range(0, height, p)]
        rows.append(torch.stack([one(image[:, y : y + p, x : x + p]) for y, x in places]))
    return torch.stack(rows)


def patchify_by_tensor_unfold(images, p):
    squares = images.unfold(2, p, p).unfold(3, p, p)  # (B, C, rows, columns, p, p)
    return squares.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)


def patchify_by_functional_unfold(images, p):
    b, c = images.shape[:2]
    columns = F.unfold(images.double(), p, stride=p).to(images.dtype)  # (B, C p p, N)
    return columns.mT.reshape(b, -1, c, p * p).mT.reshape(b, -1, p * p * c)


def patchify_in_numpy(images, p):
    x = np.moveaxis(images.numpy(), 1, -1)
    b, h, w, c = x.shape
    x = x.reshape(b, h // p, p, w // p, p, c).swapaxes(2, 3)
    return torch.tensor(x.reshape(b, -1, p * p * c))


def patchify_by_pixel_unshuffle(images, p):
    n, c = images.shape[:2]
    squares = F.pixel_unshuffle(images, p).reshape(n, c, p * p, -1)
    return torch.einsum("bckn->bnkc", squares).reshape(n, -1, p * p * c)


def patchify_by_index(images, p):
    """The place of every pixel is computed; one index does the rest."""
    _, c, height, width = images.shape
    n = torch.arange(height * width // p**2)[:, None]
    k = torch.arange(p * p * c)[None]
    y = n // (width // p) * p + k // (p * c)
    x = n % (width // p) * p + k // c % p
    return images[:, k % c, y, x]


def patchify_by_chunks(images, p):
    rows = [part.split(p, dim=3) for part in images.split(p, dim=2)]
    squares = [square.permute(0, 2, 3, 1).flatten(1) for row in rows for square in row]
    return torch.stack(squares, dim=1)


def patchify_permuted(*order, cut_apart=False):
    def patchify(images, p):
        b, c, h, w = images.shape
        sizes = (p, h // p, p, w // p) if cut_apart else (h // p, p, w // p, p)
        return images.reshape(b, c, *sizes).permute(order).reshape(b, h * w // p**2, -1)

    return patchify


def patchify_square(images, p):
    b, c, h, _ = images.shape
    n = h // p
    return torch.einsum("bcrpsq->brspqc", images.reshape(b, c, n, p, n, p)).reshape(b, n * n, -1)


def patchify_view(images, p):
    b, c, h, w = images.shape
    squares = images.view(b, c, h // p, p, w // p, p).permute(0, 2, 4, 3, 5, 1)
    return squares.reshape(b, h * w // p**2, -1)


def patchify_overlapping(images, p):
    places = [(y, x) for y in range(images.shape[2] - p + 1) for x in range(images.shape[3] - p + 1)]
    squares = [images[:, :, y : y + p, x : x + p].permute(0, 2, 3, 1).flatten(1) for y, x in places]
    return torch.stack(squares, 1)


def n_patches(images, p):
    return images.shape[2] * images.shape[3] // p**2


def library_reordered(images, p):
    rows = library.patchify(images, p)
    return rows.unflatten(2, (images.shape[1], -1)).mT.flatten(2)


RIGHT["02_patches/patchify"] = [
    patchify_by_loops,
    patchify_by_tensor_unfold,
    patchify_by_index,
    patchify_in_numpy,
    patchify_by_functional_unfold,
    patchify_by_pixel_unshuffle,
    patchify_by_chunks,
    patchify_view,
]
WRONG["02_patches/patchify"] = [
    ("a bare reshape", lambda x, p: x.reshape(len(x), n_patches(x, p), p * p * x.shape[1])),
    (
        "a bare reshape with the channels last",
        lambda x, p: x.movedim(1, 3).reshape(len(x), n_patches(x, p), -1),
    ),
    ("channels first", lambda x, p: patchify_by_loops(x, p, one=torch.flatten)),
    ("channels first", lambda x, p: F.unfold(x.double(), p, stride=p).mT.to(x.dtype)),
    ("patches column by column", lambda x, p: patchify_by_loops(x, p, down=False)),
    (
        "pixels column by column",
        lambda x, p: patchify_by_loops(x, p, one=lambda s: s.mT.movedim(0, 2).ravel()),
    ),
    ("rows and columns exchanged", lambda x, p: patchify_by_index(x.transpose(2, 3), p)),
    ("pixels far apart", patchify_permuted(0, 3, 5, 2, 4, 1, cut_apart=True)),
    ("a patch of each channel", lambda x, p: patchify_permuted(0, 1, 2, 4, 3, 5)(x, p)),
    ("overlapping patches", patchify_overlapping),
    ("images mixed", patchify_permuted(2, 4, 0, 3, 5, 1)),
    ("patches in columns", lambda x, p: patchify_by_chunks(x, p).transpose(1, 2)),
    ("as many columns as rows", patchify_square),
    ("channels first", library.patchify),
    (None, library_reordered),
    (None, lambda x, p: patchify_by_loops(x[:1], p)),
    (None, lambda x, p: patchify_by_loops(x, p).flatten(0, 1)),
    (None, lambda x, p: patchify_by_loops(x, p, one=lambda s: s.permute(1, 2, 0))),
    (None, lambda x, p: patchify_by_loops(x.flip(2), p)),
    (None, lambda x, p: patchify_by_loops(x, p).float().bfloat16()),
    (None, lambda x, p: patchify_by_loops(x / 255, p)),
    (None, lambda x, p: patchify_by_loops(x, p).numpy()),
    (None, lambda x, p: x),
]

# ------------------------------------------------------------------------------------------------- unpatchify


def unpatchify_by_loops(patches, p, height, width, place=lambda n, h, w: divmod(n, w), square=None):
    c = patches.shape[2] // p**2
    out = torch.zeros(len(patches), c, height, width, dtype=patches.dtype)
    for n in range(patches.shape[1]):
        y, x = place(n, height // p, width // p)
        one = (
            patches[:, n].reshape(-1, p, p, c).permute(0, 3, 1, 2)
            if square is None
            else square(patches[:, n])
        )
        out[:, :, y * p : y * p + p, x * p : x * p + p] = one
    return out


def unpatchify_by_cat(patches, p, height, width):
    columns = width // p
    squares = [row.reshape(-1, p, p, row.shape[1] // p**2) for row in patches.unbind(1)]
    lines = [torch.cat(squares[i : i + columns], 2) for i in range(0, len(squares), columns)]
    return torch.cat(lines, 1).permute(0, 3, 1, 2)


def unpatchify_by_einsum(patches, p, height, width):
    x = patches.unflatten(2, (p, p, -1)).unflatten(1, (height // p, width // p))
    return torch.einsum("brsyxc->bcrysx", x).flatten(4).flatten(2, 3)


def unpatchify_by_fold(patches, p, height, width):
    b, n, size = patches.shape
    columns = patches.double().reshape(b, n, p * p, -1).transpose(2, 3).reshape(b, n, size).mT
    return F.fold(columns, (height, width), p, stride=p).to(patches.dtype)


def unpatchify_by_index(patches, p, height, width):
    c = patches.shape[2] // p**2
    y = torch.arange(height)[None, :, None]
    x = torch.arange(width)[None, None]
    k = torch.arange(c)[:, None, None]
    return patches[:, y // p * (width // p) + x // p, (y % p * p + x % p) * c + k]


def unpatchify_in_numpy(patches, p, height, width):
    x = patches.numpy().reshape(len(patches), height // p, width // p, p, p, -1)
    x = x.transpose(0, 5, 1, 3, 2, 4)
    return torch.from_numpy(x.reshape(len(x), -1, height, width).copy())


def unpatchify_apart(patches, p, height, width):
    x = patches.reshape(len(patches), height // p, width // p, p, p, -1)
    return x.permute(0, 5, 3, 1, 4, 2).reshape(len(x), -1, height, width)


def unpatchify_channels(n_channels):
    def unpatchify(patches, p, height, width):
        x = patches.reshape(len(patches), height // p, width // p, p, p, n_channels)
        return torch.einsum("brsyxc->bcrysx", x).reshape(len(patches), n_channels, height, width)

    return unpatchify


def unpatchify_square(patches, p, height, width):
    n = int(math.sqrt(patches.shape[1]))
    x = patches.reshape(len(patches), n, n, p, p, -1)
    return torch.einsum("brsyxc->bcrysx", x).reshape(len(patches), -1, height, width)


def library_put_back(patches, p, height, width):
    rows = patches.unflatten(2, (p * p, -1)).mT.flatten(2)
    return library.unpatchify(rows, p, (height, width))


RIGHT["02_patches/unpatchify"] = [
    unpatchify_by_loops,
    unpatchify_by_cat,
    unpatchify_by_einsum,
    unpatchify_by_index,
    unpatchify_by_fold,
    unpatchify_in_numpy,
]
WRONG["02_patches/unpatchify"] = [
    ("a bare reshape", lambda x, p, h, w: x.reshape(len(x), x.shape[2] // p**2, h, w)),
    (
        "a bare reshape with the channels last",
        lambda x, p, h, w: x.reshape(len(x), h, w, x.shape[2] // p**2).movedim(-1, 1),
    ),
    (
        "channels first",
        lambda x, p, h, w: unpatchify_by_loops(
            x, p, h, w, square=lambda row: row.reshape(len(row), -1, p, p)
        ),
    ),
    (
        "patches column by column",
        lambda x, p, h, w: unpatchify_by_loops(x, p, h, w, place=lambda n, rows, _: divmod(n, rows)[::-1]),
    ),
    (
        "pixels column by column",
        lambda x, p, h, w: unpatchify_by_loops(
            x, p, h, w, square=lambda row: row.reshape(len(row), p, p, -1).permute(0, 3, 2, 1)
        ),
    ),
    ("pixels far apart", unpatchify_apart),
    ("height and width exchanged", lambda x, p, h, w: unpatchify_by_cat(x, p, w, h)),
    ("the image lies on its side", lambda x, p, h, w: unpatchify_by_index(x, p, h, w).transpose(2, 3)),
    ("channels at the end", lambda x, p, h, w: unpatchify_by_cat(x, p, h, w).movedim(1, 3)),
    ("always three channels", unpatchify_channels(3)),
    ("always one channel", unpatchify_channels(1)),
    ("as many columns as rows", unpatchify_square),
    (None, library_put_back),
    ("channels first", lambda x, p, h, w: library.unpatchify(x, p, (h, w))),
    (None, lambda x, p, h, w: unpatchify_by_loops(x.flip(1), p, h, w)),
    (None, lambda x, p, h, w: unpatchify_by_loops(x, p, h, w).half()),
    (None, lambda x, p, h, w: unpatchify_by_loops(x, p, h, w)[0]),
    (None, lambda x, p, h, w: unpatchify_by_loops(x, p, h, w).numpy()),
    (None, lambda x, p, h, w: unpatchify_by_loops(x.mul_(1.5) if x.is_floating_point() else x, p, h, w)),
    (None, lambda x, p, h, w: x),
]

# --------------------------------------------------------------------------------------------- attention cost


def cost_by_counting(height, width, p, heads):
    tokens = 1 + len([(y, x) for y in range(0, height, p) for x in range(0, width, p)])
    return [tokens, sum(tokens for _ in range(heads * tokens))]


def cost_by_shapes(height, width, p, heads):
    n_patches = library.patchify(torch.zeros(1, 1, height, width), p).shape[1]
    q = torch.empty(heads, n_patches + 1, 1, device="meta")
    return n_patches + 1, (q @ q.mT).numel()


def cost(tokens, scores):
    def attention_cost(height, width, p, heads):
        n = tokens(height, width, p)
        return n, scores(n, heads)

    return attention_cost


def grid(height, width, p):
    return (height // p) * (width // p) + 1


RIGHT["02_patches/attention_cost"] = [
    cost_by_counting,
    cost(lambda h, w, p: h * w / p**2 + 1, lambda n, heads: n * n * heads),
    lambda h, w, p, heads: np.array([grid(h, w, p), heads * grid(h, w, p) ** 2]),
    lambda h, w, p, heads: torch.tensor([grid(h, w, p), heads * grid(h, w, p) ** 2]),
    cost_by_shapes,
]
WRONG["02_patches/attention_cost"] = [
    ("no class token", cost(lambda h, w, p: h * w // p**2, lambda n, heads: heads * n * n)),
    ("a class token that is not compared", cost(grid, lambda n, heads: heads * (n - 1) ** 2)),
    ("one head only", cost(grid, lambda n, heads: n**2)),
    ("scores that grow with the length", cost(grid, lambda n, heads: n * heads)),
    ("each pair once", cost(grid, lambda n, heads: heads * sum(range(n + 1)))),
    ("not with itself", cost(grid, lambda n, heads: heads * (n**2 - n))),
    ("one side only", cost(lambda h, w, p: h * w // p + 1, lambda n, heads: heads * n**2)),
    ("pixels instead of patches", cost(lambda h, w, p: h * w + 1, lambda n, heads: heads * n**2)),
    ("a square image", cost(lambda h, w, p: (h // p) ** 2 + 1, lambda n, heads: heads * n**2)),
    (
        "a square image as wide as it is",
        cost(lambda h, w, p: (w // p) ** 2 + 1, lambda n, heads: heads * n**2),
    ),
    ("the heads squared", cost(grid, lambda n, heads: (n * heads) ** 2)),
    ("scores before tokens", lambda h, w, p, heads: cost_by_counting(h, w, p, heads)[::-1]),
    (None, cost(lambda h, w, p: h // p + w // p + 1, lambda n, heads: heads * n**2)),
    (None, cost(grid, lambda n, heads: n**2 / heads)),
    (None, cost(lambda h, w, p: grid(h, w, p) + 1, lambda n, heads: heads * n**2)),
    (None, cost(grid, lambda n, heads: 2 * heads * n**2)),
    (None, lambda h, w, p, heads: grid(h, w, p)),
    (None, lambda h, w, p, heads: None),
    (None, lambda h, w, p: (grid(h, w, p), grid(h, w, p) ** 2)),
]

# -------------------------------------------------------------------------------------- linear to convolution


def kernels_by_loops(weight, p):
    c = weight.shape[1] // p**2
    rows = []
    for row in weight:
        image = row.reshape(p, p, c)
        rows.append(torch.stack([image[:, :, k] for k in range(c)]))
    return torch.stack(rows)


def kernels_by_strides(weight, p):
    c = weight.shape[1] // p**2
    return torch.stack([weight[:, k::c] for k in range(c)], 1).unflatten(2, (p, p))


def kernels_by_index(weight, p):
    c = weight.shape[1] // p**2
    index = torch.arange(p * p * c).reshape(p, p, c).permute(2, 0, 1)
    return weight[:, index]


def kernels(weight, p, order=(0, 3, 1, 2)):
    return weight.reshape(len(weight), p, p, weight.shape[1] // p**2).permute(order)


RIGHT["02_patches/linear_to_convolution"] = [
    kernels_by_loops,
    kernels_by_strides,
    kernels_by_index,
    lambda w, p: torch.einsum("dyxc->dcyx", w.unflatten(1, (p, p, -1))),
    lambda w, p: w.reshape(len(w), p * p, -1).mT.reshape(len(w), -1, p, p),
    lambda w, p: kernels(w, p).contiguous(),
]
WRONG["02_patches/linear_to_convolution"] = [
    ("a bare reshape", lambda w, p: w.reshape(len(w), -1, p, p)),
    ("channels left at the end", lambda w, p: kernels(w, p, (0, 1, 2, 3))),
    ("rows and columns exchanged", lambda w, p: kernels(w, p, (0, 3, 2, 1))),
    ("a flipped kernel", lambda w, p: torch.rot90(kernels_by_loops(w, p), 2, (2, 3))),
    ("upside down", lambda w, p: kernels_by_strides(w, p).flip(-2)),
    ("mirrored", lambda w, p: kernels_by_strides(w, p).flip(-1)),
    ("channels before outputs", lambda w, p: kernels(w, p, (3, 0, 1, 2))),
    ("kernel first", lambda w, p: kernels(w, p, (1, 2, 3, 0))),
    ("columns of the weight", lambda w, p: kernels(w.T.reshape(len(w), -1), p)),
    ("the mean of a patch", lambda w, p: kernels_by_index(w, p) / p / p),
    ("channels exchanged with columns", lambda w, p: kernels(w, p).transpose(1, 2)),
    (None, lambda w, p: kernels(w, p).detach()),
    (None, lambda w, p: nn.Parameter(kernels(w, p))),
    (None, lambda w, p: w.reshape(len(w), p, p, 3).permute(0, 3, 1, 2)),
    (None, lambda w, p: kernels(w, p).flatten(1)),
    (None, lambda w, p: kernels(w, p).flip(1)),
    (None, lambda w, p: kernels(w, p).bfloat16()),
    (None, lambda w, p: kernels(w.mul_(2), p) if not w.requires_grad else kernels(2 * w, p)),
    (None, lambda w, p: w),
]

# ------------------------------------------------------------------------------------ class token, positions


def tokens_by_loop(patches, token, positions):
    out = []
    for image in patches:
        rows = [token + positions[0]]
        for i, patch in enumerate(image):
            rows.append(patch + positions[i + 1])
        out.append(torch.stack(rows))
    return torch.stack(out)


def tokens_in_place(patches, token, positions):
    b, n, d = patches.shape
    out = torch.empty(b, n + 1, d, dtype=patches.dtype)
    out[:, 0] = token + positions[0]
    out[:, 1:] = patches + positions[1 : n + 1]
    return out


def tokens_repeated(patches, token, positions):
    x = torch.cat([token.repeat(len(patches), 1).unsqueeze(1), patches], dim=1)
    return x + positions[None, : patches.size(1) + 1, :]


def tokens_by_padding(patches, token, positions):
    x = F.pad(patches, (0, 0, 1, 0))
    first = (torch.arange(x.shape[1]) == 0).to(x.dtype)
    return x + torch.outer(first, token) + positions.narrow(0, 0, x.shape[1])


def with_token(patches, token):
    return torch.cat([token.expand(len(patches), 1, -1), patches], 1)


def placed(x, positions):
    return x + positions[: x.shape[1]]


def tokens_new_parameters(patches, token, positions):
    token = nn.Parameter(token.repeat(len(patches), 1, 1))
    return placed(torch.cat([token, patches], 1), positions)


def tokens_first_image_only(patches, token, positions):
    x = torch.cat([torch.zeros_like(patches[:, :1]), patches], 1)
    x[0, 0] = token
    return placed(x, positions)


def tokens_added_to_the_input(patches, token, positions):
    if patches.requires_grad:
        return tokens_by_loop(patches, token, positions)
    patches += positions[1 : patches.shape[1] + 1]
    return torch.cat([(token + positions[0]).expand(len(patches), 1, -1), patches], 1)


RIGHT["02_patches/class_token_and_positions"] = [
    tokens_by_loop,
    tokens_in_place,
    tokens_repeated,
    tokens_by_padding,
    lambda x, t, p: torch.stack([torch.vstack([t, one]) for one in x]) + p[: x.shape[1] + 1],
]
WRONG["02_patches/class_token_and_positions"] = [
    (
        "the class token at the end",
        lambda x, t, p: placed(torch.cat([x, t.repeat(len(x), 1, 1)], 1), p),
    ),
    ("no class token", lambda x, t, p: placed(x, p)),
    ("no positions", lambda x, t, p: with_token(x, t)),
    ("positions for the patches alone", lambda x, t, p: with_token(placed(x, p), t)),
    ("a class token without a place", lambda x, t, p: with_token(x + p[1 : x.shape[1] + 1], t)),
    ("the last positions", lambda x, t, p: with_token(x, t) + p[-(x.shape[1] + 1) :]),
    ("positions backwards", lambda x, t, p: with_token(x, t) + p[torch.arange(x.shape[1], -1, -1)]),
    ("one position for each image", lambda x, t, p: with_token(x, t) + p[: len(x)].unsqueeze(1)),
    ("all positions", lambda x, t, p: with_token(x, t) + p),
    ("row 0 for every token", lambda x, t, p: with_token(x, t) + p[:1]),
    ("multiplied by its place", lambda x, t, p: with_token(x, t) * p[: x.shape[1] + 1]),
    ("the first patch replaced", lambda x, t, p: tokens_by_loop(x[:, 1:], t, p)),
    ("added to every patch", lambda x, t, p: placed(x + t, p)),
    ("the class token twice", lambda x, t, p: tokens_by_loop(x, 2 * t, p)),
    (None, tokens_new_parameters),
    (None, tokens_first_image_only),
    (None, tokens_added_to_the_input),
    (None, lambda x, t, p: tokens_by_loop(x, t.detach(), p)),
    (None, lambda x, t, p: tokens_by_loop(x, t, p.data)),
    (None, lambda x, t, p: tokens_by_loop(x, t, p).flatten(0, 1)),
    (None, lambda x, t, p: torch.cat([with_token(x, t), p[: x.shape[1] + 1].expand(len(x), -1, -1)], -1)),
    (None, lambda x, t, p: tokens_by_loop(x, t, p).detach().numpy()),
    (None, lambda x, t, p: tokens_by_loop(x, torch.zeros_like(t), p)),
]

# ----------------------------------------------------------------------------------------------- digit reader


class Reader(nn.Module):
    """What the correct and the wrong readers below have in common."""

    def __init__(self):
        super().__init__()
        self.patch_embedding = nn.Linear(4, 32)
        self.class_token = nn.Parameter(torch.randn(32) / 50)
        self.position_embedding = nn.Parameter(torch.randn(17, 32) / 50)
        self.stack = TransformerStack(32, n_layers=1, n_heads=4)
        self.head = nn.Linear(32, 10)

    def pixels(self, images):
        return images * 2 - 1

    def cut(self, images):
        return patchify_by_tensor_unfold(images, 2)

    def tokens(self, patches):
        return tokens_repeated(patches, self.class_token, self.position_embedding)

    def layers(self, x):
        return self.stack(x)

    def read(self, x):
        return self.head(x[:, 0])

    def forward(self, images):
        return self.read(self.layers(self.tokens(self.patch_embedding(self.cut(self.pixels(images))))))


def reader(name, **methods):
    return type(name, (Reader,), methods)


class ByConvolution(Reader):
    """The linear layer's weight as a kernel."""

    def forward(self, images):
        kernel = self.patch_embedding.weight.reshape(32, 1, 2, 2)
        x = F.conv2d(2 * images - 1, kernel, self.patch_embedding.bias, stride=2)
        return self.read(self.stack(self.tokens(x.flatten(2).mT)))


class ReadsFirst(Reader):
    """The head scores every token, then the class token's scores are taken."""

    def read(self, x):
        return self.head(x)[:, 0, :]


class WithBuffer(Reader):
    """A table of the places of all pixels; what is not learned is no parameter."""

    def __init__(self):
        super().__init__()
        places = library.patchify(torch.arange(64).reshape(1, 1, 8, 8), 2)[0]
        self.register_buffer("places", places, persistent=False)

    def cut(self, images):
        return images.flatten(1)[:, self.places]


class OtherNames(Reader):
    def __init__(self):
        super().__init__()
        self.projection = self.patch_embedding
        del self.patch_embedding


class PositionsOfPatches(Reader):
    def __init__(self):
        super().__init__()
        self.position_embedding = nn.Parameter(torch.zeros(16, 32))


class NoGradients(Reader):
    """Right scores, but nothing can be learned."""

    def forward(self, images):
        with torch.no_grad():
            return super().forward(images)


class Resized(Reader):
    """Always as many rows as in a training batch."""

    def cut(self, images):
        return patchify_by_tensor_unfold(images, 2)[:2]


RIGHT["02_patches/digit_reader"] = [
    Reader,
    ByConvolution,
    ReadsFirst,
    WithBuffer,
]
WRONG["02_patches/digit_reader"] = [
    ("pixels from 0 to 1", reader("Plain", pixels=lambda self, x: x)),
    ("pixels upside down", reader("Negative", pixels=lambda self, x: 1 - 2 * x)),
    ("pixels around 0", reader("Centred", pixels=lambda self, x: x - 0.5)),
    ("a bare reshape", reader("Reshape", cut=lambda self, x: x.reshape(-1, 16, 4))),
    ("patches column by column", reader("Columns", cut=lambda self, x: patchify_by_loops(x, 2, down=False))),
    ("rows and columns exchanged", reader("Side", cut=lambda self, x: patchify_by_loops(x.mT, 2))),
    ("the mean of all tokens", reader("Mean", read=lambda self, x: self.head(x).mean(1))),
    ("the last token", reader("Last", read=lambda self, x: self.head(x[:, -1]))),
    ("the first patch", reader("First", read=lambda self, x: self.head(x[:, 1]))),
    ("a score for every token", reader("Every", read=lambda self, x: self.head(x))),
    ("no positions", reader("Nowhere", tokens=lambda self, x: with_token(x, self.class_token))),
    (
        "the class token at the end",
        reader(
            "End",
            tokens=lambda self, x: (
                torch.cat([x, self.class_token.expand(len(x), 1, -1)], 1) + self.position_embedding
            ),
        ),
    ),
    ("no layers", reader("Shallow", layers=lambda self, x: x)),
    ("no last norm", reader("NoNorm", layers=lambda self, x: self.stack.blocks[0](x))),
    ("chances instead of scores", reader("Chances", read=lambda self, x: self.head(x[:, 0]).softmax(-1))),
    (None, OtherNames),
    (None, PositionsOfPatches),
    (None, NoGradients),
    (None, Resized),
    (None, reader("Digits", read=lambda self, x: self.head(x[:, 0]).argmax(-1))),
    (None, reader("Twice", layers=lambda self, x: self.stack(self.stack(x)))),
    (None, lambda: Reader()),
    (None, type("NoModule", (), {})),
]
