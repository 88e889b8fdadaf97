"""Answers to digit_reader, as learners write them."""

import torch
import torch.nn.functional as F
from torch import nn

from course_lib import patches as library
from course_lib.blocks import TransformerStack
from course_lib.concepts.c02_patches.answers.class_token_and_positions import tokens_repeated
from course_lib.concepts.c02_patches.answers.patchify import patchify_by_tensor_unfold


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


class Resized(Reader):
    """Always as many rows as in a training batch."""

    def cut(self, images):
        return patchify_by_tensor_unfold(images, 2)[:2]


RIGHT = [Reader, ByConvolution, ReadsFirst, WithBuffer]
WRONG = [
    (None, OtherNames),
    (None, PositionsOfPatches),
    ("always two images", Resized),
    ("no gradients", reader("Detached", layers=lambda self, x: self.stack(x.detach()))),
    (None, lambda: Reader()),
    (None, type("NoModule", (), {})),
]
