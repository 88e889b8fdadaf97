"""A reader of digits

Build a Vision Transformer for digits of 8 x 8 pixels from your own parts. The pixels come as numbers from 0
to 1: bring them to -1 to 1 first. Cut patches of 2 x 2 pixels with your `patchify`, turn each into a
vector, put the class token and the positions in, run the layers, and let the head score the class token's
vector. The check loads weights by name and compares the scores. Then your reader learns, in a few seconds,
to read digits, and beside it one that cuts its tokens by a bare reshape. Which will read better? Below you
draw a digit of your own.

Hint: In `__init__`, after `super().__init__()`: two `nn.Linear`, two `nn.Parameter`, and
`TransformerStack(32, n_layers=1, n_heads=4)`, under the names that are asked for.

Hint: In `forward`, in this order: `2 * images - 1`, `patchify`, `patch_embedding`,
`class_token_and_positions`, `stack`, and `head` of token 0 of each image.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.blocks import TransformerStack
from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import backwards, in_torch
from course_lib.checks.kinds import Case
from course_lib.checks.modules import check_weights
from course_lib.checks.values import WrongForm
from course_lib.concepts.c02_patches.tasks.class_token_and_positions import class_token_and_positions
from course_lib.concepts.c02_patches.tasks.patchify import patchify

N_STEPS = 300
LEAST = 0.9  # The worst of 20 seeds gives 95 %, so a right reader is above this, whatever rounds where.


exercise = Exercise(
    level=4,
    minutes=25,
    section="A Vision Transformer",
    call="DigitReader()(images)",
    tensor=True,
    other_forms=False,
)


@exercise.solution
class DigitReader(nn.Module):
    """Ten scores for each image of 8 x 8 grey pixels.

    It holds `patch_embedding`, nn.Linear from 4 to 32 numbers; `class_token` and `position_embedding`,
    nn.Parameter of shapes (32,) and (17, 32), small random numbers at first; `stack`, one layer of
    TransformerStack with 4 heads; `head`, nn.Linear from 32 to 10.
    """

    def __init__(self):
        super().__init__()
        ### BEGIN SOLUTION
        self.patch_embedding = nn.Linear(4, 32)
        self.class_token = nn.Parameter(0.02 * torch.randn(32))
        self.position_embedding = nn.Parameter(0.02 * torch.randn(17, 32))
        self.stack = TransformerStack(32, n_layers=1, n_heads=4)
        self.head = nn.Linear(32, 10)
        ### END SOLUTION

    def forward(self, images):
        """(B, 1, 8, 8) in [0, 1] to (B, 10)."""
        ### BEGIN SOLUTION
        patches = self.patch_embedding(patchify(2 * images - 1, 2))
        x = class_token_and_positions(patches, self.class_token, self.position_embedding)
        return self.head(self.stack(x)[:, 0])
        ### END SOLUTION


@cache
def shapes() -> dict[str, tuple[int, ...]]:
    """Of the weights of a reader, by name; learners' code may see them, but not our reader."""
    stack = TransformerStack(32, n_layers=1, n_heads=4)
    return {
        "class_token": (32,),
        "position_embedding": (17, 32),
        "patch_embedding.weight": (32, 4),
        "patch_embedding.bias": (32,),
        **{f"stack.{name}": tuple(value.shape) for name, value in stack.named_parameters()},
        "head.weight": (10, 32),
        "head.bias": (10,),
    }


@cache
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


@exercise.adapt
def as_function(learner: Any) -> Callable[..., Tensor]:
    """Build the learner's reader, put the case's weights in by name, call it."""

    def read(images: Tensor, seed: int) -> Tensor:
        return loaded(learner(), weights_of(seed)).to(images.dtype)(images)

    return read


@exercise.cases
def _(rng):
    def inputs(b):
        images = rng.integers(0, 17, (b, 1, 8, 8)).astype(np.float32) / 16
        return {"images": images, "seed": int(rng.integers(1000))}

    stored = inputs(3)
    stored["images"] = backwards(stored["images"].astype(np.float64))
    return in_torch(
        [
            Case("one image", inputs(1)),
            Case("two images", inputs(2), gradients=True, catches="no gradients"),
            Case("float64, stored column by column", stored, catches="always two images"),
        ]
    )


def train_reader(
    reader: nn.Module, seed: int = 0, learning_rate: float = 3e-3, muon_learning_rate: float = 0.02
) -> float:
    """Train a reader on 1,437 handwritten digits, in place, in a few seconds.

    Args:
        reader: from images (B, 1, 8, 8) in [0, 1] to scores (B, 10).
        seed: draws the batches.
        learning_rate: as in `TrainingConfig`.
        muon_learning_rate: as there.
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
        learning_rate=learning_rate,
        weight_decay=0.05,
        muon_learning_rate=muon_learning_rate,
    )
    train(reader, batch, loss, config, progress=False)
    reader.eval()
    with torch.no_grad():
        return float((reader(test.inputs).argmax(-1) == test.targets).double().mean())


def start(seed: int) -> dict[str, Tensor]:
    """The weights that a training starts from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DigitReader().state_dict()


@exercise.finale
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
    other = train_reader(loaded(BareReshape(), start(0)))
    yield (
        f"The same model on a bare reshape, half rows of pixels instead of patches: {other:.1%}. As long "
        "as digits keep their place, the share of right answers is no test of how an image was cut."
    )


exercise.changed(
    "pixels from 0 to 1",
    "The pixels still go from 0 to 1: `2 * images - 1` goes from -1 to 1.",
    ("2 * images - 1", "images"),
)
exercise.changed(
    "pixels upside down",
    "Dark and light are exchanged: 0 becomes -1 and 1 stays 1.",
    ("2 * images - 1", "1 - 2 * images"),
)
exercise.changed(
    "pixels around 0",
    "The pixels go from -0.5 to 0.5: bring them to -1 to 1.",
    ("2 * images - 1", "images - 0.5"),
)


@exercise.mistake("a bare reshape")
class BareReshape(DigitReader):
    """The numbers of an image were only grouped as they lie in memory: a patch is a square of 2 x 2
    pixels.
    """

    def forward(self, images):
        patches = self.patch_embedding((2 * images - 1).reshape(-1, 16, 4))
        x = class_token_and_positions(patches, self.class_token, self.position_embedding)
        return self.head(self.stack(x)[:, 0])


exercise.changed(
    "patches column by column",
    "The patches come column by column: reading order goes along the first row of patches first.",
    (
        "patchify(2 * images - 1, 2)",
        "patchify(2 * images - 1, 2).reshape(-1, 4, 4, 4).transpose(1, 2).flatten(1, 2)",
    ),
)
exercise.changed(
    "pixels column by column",
    "Inside a patch the pixels come column by column: reading order goes along the first row first.",
    ("patchify(2 * images - 1, 2)", "patchify(2 * images - 1, 2)[..., [0, 2, 1, 3]]"),
)
exercise.changed(
    "rows and columns exchanged",
    "Rows and columns are exchanged: the last axis of an image goes along a row.",
    ("patchify(2 * images - 1, 2)", "patchify(2 * images.mT - 1, 2)"),
)
exercise.changed(
    "the mean of all tokens",
    "The head reads the mean of all tokens: it should read the class token, number 0.",
    ("self.stack(x)[:, 0]", "self.stack(x).mean(1)"),
)
exercise.changed(
    "the mean of the patches",
    "The head reads the mean of the patches: it should read the class token, number 0.",
    ("self.stack(x)[:, 0]", "self.stack(x)[:, 1:].mean(1)"),
)
exercise.changed(
    "the largest of all tokens",
    "The head reads the largest numbers of all tokens: it should read the class token, number 0.",
    ("self.stack(x)[:, 0]", "self.stack(x).amax(1)"),
)
exercise.changed(
    "the last token",
    "The head reads the last token: the class token is the first, number 0.",
    ("self.stack(x)[:, 0]", "self.stack(x)[:, -1]"),
)
exercise.changed(
    "the first patch",
    "The head reads token 1, the first patch: the class token is number 0.",
    ("self.stack(x)[:, 0]", "self.stack(x)[:, 1]"),
)
exercise.changed(
    "a score for every token",
    "The head scored every token: it should read the class token alone.",
    ("self.stack(x)[:, 0]", "self.stack(x)"),
)
exercise.changed(
    "no positions",
    "The positions are missing: without them the reader cannot know where a patch was.",
    ("self.class_token, self.position_embedding)", "self.class_token, 0 * self.position_embedding)"),
)
exercise.changed(
    "positions for the patches alone",
    "The positions were added before the class token was put in: the class token has row 0, and the first "
    "patch row 1.",
    (
        "class_token_and_positions(patches, self.class_token, self.position_embedding)",
        "class_token_and_positions(patches + self.position_embedding[:16], self.class_token, "
        "torch.zeros_like(self.position_embedding))",
    ),
)
exercise.changed(
    "a class token without a place",
    "The class token got no position: it has one too, row 0.",
    (
        "class_token_and_positions(patches, self.class_token, self.position_embedding)",
        "class_token_and_positions(patches + self.position_embedding[1:], self.class_token, "
        "torch.zeros_like(self.position_embedding))",
    ),
)
exercise.changed(
    "no class token",
    "The class token is missing, and the head reads the first patch: there is one more token than patches.",
    (
        "class_token_and_positions(patches, self.class_token, self.position_embedding)",
        "patches + self.position_embedding[:16]",
    ),
)
exercise.changed(
    "the class token at the end",
    "The class token was put after the patches, but token 0 was read.",
    (
        "class_token_and_positions(patches, self.class_token, self.position_embedding)",
        "torch.cat([patches, self.class_token.expand(len(images), 1, -1)], 1) + self.position_embedding",
    ),
)
exercise.changed(
    "no layers",
    "The layers are missing: the class token never looks at a patch, so all images get the same scores.",
    ("self.stack(x)[:, 0]", "x[:, 0]"),
)
exercise.changed(
    "no last norm",
    "The blocks were run without the norm that comes after them: call the stack itself.",
    ("self.stack(x)", "self.stack.blocks[0](x)"),
)
exercise.changed(
    "chances instead of scores",
    "These are chances: return the scores, since the loss takes the softmax itself.",
    ("self.head(self.stack(x)[:, 0])", "self.head(self.stack(x)[:, 0]).softmax(-1)"),
)
