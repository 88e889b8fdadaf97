"""The tasks of solutions/02_patches/images.ipynb: what they are tried on, and what is right.

Their words and the mistakes that learners make stand in 02_patches.yml. The keyword-only arguments of a
reference are for these mistakes: each changes one thing.
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.blocks import TransformerStack, initialise
from course_lib.checks.inputs import Rng, all_different, as_double, backwards, draw, in_torch, primes
from course_lib.checks.kinds import Case, Code
from course_lib.checks.modules import check_weights
from course_lib.checks.values import WrongForm

Tensor = torch.Tensor
Array = np.ndarray


def stored_last(images: Array) -> Array:
    """The same images, stored with the channels last, as files of pictures are read: not contiguous."""
    return np.moveaxis(np.moveaxis(images, -3, -1).copy(), -1, -3)


# --------------------------------------------------------------------------------------------- split channels


def split_channels(
    image: Tensor,
    *,
    axis: int = 0,
    kept: Callable[[Tensor], Tensor] = lambda mask: mask,
    elsewhere: float = 0,
) -> list[Tensor]:
    """Three pictures: each has one channel of the image, and is black elsewhere."""
    other = torch.full((), elsewhere, dtype=image.dtype)
    places = torch.arange(image.shape[axis])
    shape = [-1 if i == axis else 1 for i in range(3)]
    return [torch.where(kept(places == c).reshape(shape), image, other) for c in range(3)]


def split_channels_cases(rng: Rng) -> list[Case]:
    def image(height: int, width: int) -> dict[str, Array]:
        return {"image": all_different(rng, 3, height, width)}

    whole = rng.integers(2, 256, (3, *primes(rng, 5, 7))).astype(np.uint8)
    return in_torch(
        [
            Case("three rows, five columns", image(3, 5)),
            Case("as many rows and columns as channels", image(3, 3)),
            Case("another picture", image(*primes(rng, 5, 7))),
            Case("whole numbers from 0 to 255", {"image": whole}),
            Case("float64", as_double(image(*primes(rng, 3, 5)))),
            Case("channels stored last", {"image": stored_last(image(5, 7)["image"])}),
            Case("one row", image(1, 5)),
        ]
    )


# --------------------------------------------------------------------------------------------------- patchify

# Axes of cut images, (B, C, rows, p, columns, p), in the order of a right answer.
IN_ORDER = (0, 2, 4, 3, 5, 1)


def cut(images: Tensor, patch_size: int) -> Tensor:
    """(B, C, rows, p, columns, p)."""
    n_images, n_channels, height, width = images.shape
    rows, columns = height // patch_size, width // patch_size
    return images.reshape(n_images, n_channels, rows, patch_size, columns, patch_size)


def cut_apart(images: Tensor, patch_size: int) -> Tensor:
    """As `cut`, but the pixels of a patch lie far from each other."""
    n_images, n_channels, height, width = images.shape
    rows, columns = height // patch_size, width // patch_size
    apart = images.reshape(n_images, n_channels, patch_size, rows, patch_size, columns)
    return apart.permute(0, 1, 3, 2, 5, 4)


def patchify(
    images: Tensor,
    patch_size: int,
    *,
    squares: Callable[[Tensor, int], Tensor] = cut,
    order: tuple[int, ...] = IN_ORDER,
) -> Tensor:
    """One row for each patch, in reading order; inside it row, column, channel."""
    n_patches = images[0, 0].numel() // patch_size**2
    return squares(images, patch_size).permute(order).reshape(len(images), n_patches, -1)


def overlapping(images: Tensor, patch_size: int) -> Tensor:
    """A patch at every pixel."""
    squares = images.unfold(2, patch_size, 1).unfold(3, patch_size, 1)
    return squares.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)


def only_square(images: Tensor, patch_size: int) -> Tensor:
    """As `cut`, with as many columns as rows."""
    rows = images.shape[2] // patch_size
    return images.reshape(*images.shape[:2], rows, patch_size, rows, patch_size)


def grids(rng: Rng) -> dict[str, tuple[int, ...]]:
    """Images, channels, rows and columns of patches, patch size: small first, then distinct primes."""
    return {
        "one grey image of 4 x 4 pixels": (1, 1, 2, 2, 2),
        "a coloured image": (1, 3, 2, 3, 2),
        "two images": (2, 3, 3, 2, 3),
        "as many rows as columns": (3, 3, 3, 3, 2),
        "five channels": (2, 5, *primes(rng, 2, 7), 3),
        "one patch fills the image": (2, 3, 1, 1, 5),
        "each pixel is a patch": (2, 3, *primes(rng, 3, 5), 1),
    }


def patchify_cases(rng: Rng) -> list[Case]:
    def images(*sizes: int) -> dict[str, Any]:
        b, c, rows, columns, p = sizes
        return {"images": all_different(rng, b, c, rows * p, columns * p), "patch_size": p}

    rows, columns = primes(rng, 2, 5)
    whole = images(2, 3, rows, columns, 2)
    whole["images"] = rng.integers(0, 256, whole["images"].shape).astype(np.uint8)
    across, last = images(1, 5, 3, 2, 2), images(2, 3, 2, 3, 3)
    across["images"], last["images"] = backwards(across["images"]), stored_last(last["images"])
    return in_torch(
        [
            *(Case(name, images(*sizes)) for name, sizes in grids(rng).items()),
            Case("whole numbers from 0 to 255", whole),
            Case("float64", as_double(images(2, 1, 3, 5, 2))),
            Case("stored column by column", across),
            Case("channels stored last", last),
        ]
    )


# ------------------------------------------------------------------------------------------------- unpatchify


def unpatchify(
    patches: Tensor,
    patch_size: int,
    height: int,
    width: int,
    *,
    inside: tuple[int, int, int] = (3, 4, 5),
    apart: bool = False,
    square: bool = False,
) -> Tensor:
    """The images that `patchify` has cut. `inside`: which axes are the row, the column and the channel."""
    p, n_images = patch_size, len(patches)
    rows, columns = height // p, width // p
    if square:
        rows = columns = math.isqrt(patches.shape[1])
    sizes = dict(zip(inside, (p, p, -1), strict=True))
    squares = patches.reshape(n_images, rows, columns, *(sizes[axis] for axis in (3, 4, 5)))
    row, column, channel = inside
    order = (0, channel, row, 1, column, 2) if apart else (0, channel, 1, row, 2, column)
    return squares.permute(order).reshape(n_images, -1, height, width)


def unpatchify_cases(rng: Rng) -> list[Case]:
    def patches(*sizes: int) -> dict[str, Any]:
        b, c, rows, columns, p = sizes
        cut_up = all_different(rng, b, rows * columns, p * p * c)
        return {"patches": cut_up, "patch_size": p, "height": rows * p, "width": columns * p}

    rows, columns = primes(rng, 2, 5)
    whole, stored = patches(2, 3, rows, columns, 2), patches(2, 5, 3, 2, 2)
    whole["patches"] = rng.integers(0, 256, whole["patches"].shape).astype(np.uint8)
    stored["patches"] = backwards(stored["patches"])
    return in_torch(
        [
            *(Case(name, patches(*sizes)) for name, sizes in grids(rng).items()),
            Case("whole numbers from 0 to 255", whole),
            Case("float64", as_double(patches(2, 1, 3, 5, 2))),
            Case("stored column by column", stored),
        ]
    )


# --------------------------------------------------------------------------------------------- attention cost


def attention_cost(
    height: int,
    width: int,
    patch_size: int,
    n_heads: int,
    *,
    n_class_tokens: int = 1,
    scores: Callable[[float, int], float] = lambda n_tokens, n_heads: n_heads * n_tokens**2,
) -> tuple[float, float]:
    """How many tokens an image becomes, and how many scores one layer of attention computes for them."""
    n_tokens = height * width / patch_size**2 + n_class_tokens
    return n_tokens, scores(n_tokens, n_heads)


def attention_cost_cases(rng: Rng) -> list[Case]:
    def sizes(*given: int) -> dict[str, int]:
        rows, columns, p, n_heads = given
        return {"height": rows * p, "width": columns * p, "patch_size": p, "n_heads": n_heads}

    def some() -> list[int]:
        return primes(rng, 2, 3, 5, 7, 11, 13, 17, 19)

    side, *square = some()[:3]
    low, high, *others = sorted(some()[:2]) + some()[:2]
    return [
        Case("4 x 6 pixels", sizes(2, 3, 2, 3)),
        Case("a square image", sizes(side, side, *square)),
        Case("224 x 224 pixels, as the first Vision Transformer", sizes(14, 14, 16, 12)),
        Case("wide", sizes(low, high, *others)),
        Case("high", sizes(high, low, *some()[:2])),
        Case("one head", sizes(*some()[:3], 1)),
        Case("each pixel is a token", sizes(*some()[:2], 1, 3)),
        Case("one patch fills the image", sizes(1, 1, *some()[:2])),
    ]


# -------------------------------------------------------------------------------------- linear to convolution


def linear_to_convolution(
    weight: Tensor,
    patch_size: int,
    *,
    inside: tuple[int, int, int] = (1, 2, 3),
    out: tuple[int, ...] = (0, 1, 2, 3),
    flip: tuple[int, ...] = (),
) -> Tensor:
    """A convolution's weight; `inside`: which axes of a row of `weight` are row, column and channel."""
    sizes = dict(zip(inside, (patch_size, patch_size, weight.shape[1] // patch_size**2), strict=True))
    squares = weight.reshape(len(weight), *(sizes[axis] for axis in (1, 2, 3)))
    row, column, channel = inside
    return squares.permute(0, channel, row, column).flip(flip).permute(out)


def linear_to_convolution_cases(rng: Rng) -> list[Case]:
    def weight(*sizes: int) -> dict[str, Any]:
        d, c, p = sizes
        return {"weight": all_different(rng, d, p * p * c), "patch_size": p}

    stored = weight(5, 3, 2)
    stored["weight"] = backwards(stored["weight"])
    return in_torch(
        [
            Case("one channel", weight(2, 1, 2)),
            Case("two numbers, three channels", weight(2, 3, 2)),
            Case("everything square", weight(3, 3, 3), gradients=True),
            Case("five channels", weight(*primes(rng, 7, 5), 3)),
            Case("patches of one pixel", weight(5, 3, 1)),
            Case("one number", weight(1, *primes(rng, 3, 2))),
            Case("float64", as_double(weight(*primes(rng, 3, 7), 2))),
            Case("stored column by column", stored),
        ]
    )


# ------------------------------------------------------------------------------------ class token, positions


def class_token_and_positions(
    patches: Tensor,
    class_token: Tensor,
    positions: Tensor,
    *,
    join: Callable[[Tensor, Tensor], Tensor] = lambda token, patches: torch.cat([token, patches], 1),
    add: Callable[[Tensor, Tensor], Tensor] = lambda x, positions: x + positions[: x.shape[1]],
) -> Tensor:
    """The class token before the patches of every image, and to each its position."""
    return add(join(class_token.expand(len(patches), 1, -1), patches), positions)


def class_token_and_positions_cases(rng: Rng) -> list[Case]:
    def inputs(*sizes: int, spare: int = 0) -> dict[str, Array]:
        b, n, d = sizes
        return {
            "patches": draw(rng, b, n, d),
            "class_token": draw(rng, d),
            "positions": draw(rng, n + 1 + spare, d),
        }

    stored = {name: x if x.ndim < 2 else backwards(x) for name, x in inputs(2, 7, 5, spare=3).items()}
    return in_torch(
        [
            Case("one image, two patches", inputs(1, 2, 3)),
            Case("two images", inputs(2, 3, 5), gradients=True),
            Case("more positions than tokens", inputs(3, 2, 5, spare=3), gradients=True),
            Case("as many images as tokens", inputs(5, 4, 3)),
            Case("everything square", inputs(3, 3, 3, spare=2)),
            Case("many patches", inputs(*primes(rng, 2, 11, 7), spare=5)),
            Case("one patch", inputs(2, 1, 3, spare=1)),
            Case("float64", as_double(inputs(2, *primes(rng, 3, 5), spare=2))),
            Case("stored column by column", stored),
        ]
    )


# ----------------------------------------------------------------------------------------------- digit reader

PATCH_SIZE, D_MODEL, N_HEADS, N_LAYERS, N_CLASSES = 2, 32, 4, 1, 10
N_PATCHES = (8 // PATCH_SIZE) ** 2
N_STEPS = 300
# The worst of 20 seeds gives 95 %, so a right reader is above this, whatever rounds where.
LEAST = 0.9


class ReaderParts(nn.Module):
    """The layers of a reader, without what is done with them: learners' code may see their sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embedding = nn.Linear(PATCH_SIZE**2, D_MODEL)
        self.class_token = nn.Parameter(torch.zeros(D_MODEL))
        self.position_embedding = nn.Parameter(torch.empty(N_PATCHES + 1, D_MODEL))
        self.stack = TransformerStack(D_MODEL, N_LAYERS, N_HEADS)
        self.head = nn.Linear(D_MODEL, N_CLASSES)
        initialise(self)


class DigitReader(ReaderParts):
    """A Vision Transformer for grey images of 8 x 8 pixels, with what mistakes change."""

    def forward(
        self,
        images: Tensor,
        *,
        centred: Callable[[Tensor], Tensor] = lambda images: 2 * images - 1,
        cut_up: Callable[[Tensor, int], Tensor] = patchify,
        joined: Callable[[Tensor, Tensor, Tensor], Tensor] = class_token_and_positions,
        layers: Callable[[nn.Module, Tensor], Tensor] = lambda stack, x: stack(x),
        read: Callable[[Tensor], Tensor] = lambda x: x[:, 0],
    ) -> Tensor:
        patches = self.patch_embedding(cut_up(centred(images), PATCH_SIZE))
        x = joined(patches, self.class_token, self.position_embedding)
        return self.head(read(layers(self.stack, x)))


@functools.cache
def our_reader() -> DigitReader:
    """Built once: a check needs it a hundred times, each time with other weights."""
    return DigitReader()


@functools.cache
def shapes() -> dict[str, torch.Size]:
    """Of the weights of a reader, by name."""
    return {name: value.shape for name, value in ReaderParts().named_parameters()}


@functools.lru_cache(maxsize=16)
def weights_of(seed: int) -> dict[str, Tensor]:
    """Random weights of a reader, all of a size to be noticed."""
    generator = torch.Generator().manual_seed(seed)
    sizes = {name: 1.0 if len(shape) < 2 or "position" in name else 0.3 for name, shape in shapes().items()}
    return {name: sizes[name] * torch.randn(shape, generator=generator) for name, shape in shapes().items()}


def loaded(module: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """A reader with these weights, by name.

    Raises: WrongForm: it is no module, or holds other weights.
    """
    check_weights(module, weights, "reader")
    module.load_state_dict(dict(weights), strict=False)
    return module


def digit_reader(images: Tensor, seed: int, **changes: Any) -> Tensor:
    """Scores of the ten digits; `seed` draws the weights."""
    weights = {name: value.to(images.dtype) for name, value in weights_of(seed).items()}
    return torch.func.functional_call(our_reader(), weights, (images,), changes)


def token_at_the_end(patches: Tensor, class_token: Tensor, positions: Tensor) -> Tensor:
    """The class token after the patches."""

    def join(token: Tensor, patches: Tensor) -> Tensor:
        return torch.cat([patches, token], 1)

    return class_token_and_positions(patches, class_token, positions, join=join)


def without_last_norm(stack: nn.Module, x: Tensor) -> Tensor:
    """The blocks of a stack, without the norm after them."""
    return nn.Sequential(*stack.get_submodule("blocks").children())(x)


def as_function(learner: Any) -> Callable[..., Tensor]:
    """Build the learner's reader, put the case's weights in by name, call it."""

    def read(images: Tensor, seed: int) -> Tensor:
        return loaded(learner(), weights_of(seed)).to(images.dtype)(images)

    return read


def digit_reader_cases(rng: Rng) -> list[Case]:
    def inputs(b: int) -> dict[str, Any]:
        images = rng.integers(0, 17, (b, 1, 8, 8)).astype(np.float32) / 16
        return {"images": images, "seed": int(rng.integers(1000))}

    stored = inputs(3)
    stored["images"] = backwards(stored["images"].astype(np.float64))
    return in_torch(
        [
            Case("one image", inputs(1)),
            Case("two images", inputs(2), gradients=True),
            Case("float64, stored column by column", stored),
        ]
    )


def train_reader(reader: nn.Module, seed: int = 0) -> float:
    """Train a reader on 1,437 handwritten digits, in place, in a few seconds.

    Args:
        reader: from images (B, 1, 8, 8) in [0, 1] to scores (B, 10).
        seed: draws the batches.
    Returns: the share of 360 other digits that it reads rightly.
    """
    from course_lib.data import digits  # here, because only the finale needs data and training
    from course_lib.training import TrainingConfig, train

    learn, test = digits()
    generator = torch.Generator().manual_seed(seed)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(learn.targets), (64,), generator=generator)
        return learn.inputs[rows], learn.targets[rows]

    def loss(model: Any, pair: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(model(pair[0]), pair[1])

    config = TrainingConfig(
        steps=N_STEPS,
        warmup_steps=N_STEPS // 10,
        learning_rate=3e-3,
        weight_decay=0.05,
        muon_learning_rate=0.02,
    )
    train(reader, batch, loss, config, progress=False)
    reader.eval()
    with torch.no_grad():
        return float((reader(test.inputs).argmax(-1) == test.targets).double().mean())


class Reshaped(DigitReader):
    """A reader that reads a bare reshape: half rows of pixels instead of patches."""

    def forward(self, images: Tensor, **changes: Any) -> Tensor:
        return super().forward(images, cut_up=lambda x, p: x.reshape(len(x), N_PATCHES, p * p))


def start(seed: int) -> dict[str, Tensor]:
    """The weights that a training starts from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DigitReader().state_dict()


def reads_digits(learner: Callable[[], nn.Module]) -> Iterator[str]:
    """Train the learner's reader, then one that cuts by a bare reshape."""
    yield f"Your reader learns from 1,437 handwritten digits, {N_STEPS} steps ...\n"
    right = train_reader(loaded(learner(), start(0)))
    if not right >= LEAST:
        raise WrongForm(
            f"After training it reads {right:.1%} of the other digits, expected at least {LEAST:.0%}: do "
            "gradients reach all its weights?"
        )
    yield f"It reads {right:.1%} of 360 others rightly.\n"
    other = train_reader(loaded(Reshaped(), start(0)))
    yield (
        f"The same model on a bare reshape, half rows of pixels instead of patches: {other:.1%}. So the "
        "share of right answers is no test of how an image was cut."
    )


TASKS = {
    "split_channels": Code(
        reference=split_channels,
        cases=split_channels_cases,
        results=("the red picture", "the green picture", "the blue picture"),
        tensor=True,
    ),
    "patchify": Code(reference=patchify, cases=patchify_cases, tensor=True),
    "unpatchify": Code(reference=unpatchify, cases=unpatchify_cases, tensor=True),
    "attention_cost": Code(
        reference=attention_cost, cases=attention_cost_cases, results=("tokens", "scores")
    ),
    "linear_to_convolution": Code(
        reference=linear_to_convolution, cases=linear_to_convolution_cases, tensor=True
    ),
    "class_token_and_positions": Code(
        reference=class_token_and_positions, cases=class_token_and_positions_cases, tensor=True
    ),
    "digit_reader": Code(
        reference=digit_reader,
        cases=digit_reader_cases,
        tensor=True,
        takes="class",
        adapt=as_function,
        finale=reads_digits,
    ),
}
