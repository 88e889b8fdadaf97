"""Plausible answers to the tasks of 02_patches, written from the texts of the exercises alone."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.blocks import TransformerStack
from plausible import Answers

of = Answers("02_patches")
right, wrong = of.right, of.wrong

# --------------------------------------------------------------------------------------------- split channels


@right("split_channels", "stacked by hand with matrices of zeros")
def _(image):
    r, g, b = image
    o = torch.zeros_like(r)
    return [torch.stack([r, o, o]), torch.stack([o, g, o]), torch.stack([o, o, b])]


@wrong("split_channels", "one matrix for each channel", "the channels alone")
def _(image):
    return image[0], image[1], image[2]


@wrong("split_channels", "a batch axis before each channel")
def _(image):
    return image[0:1], image[1:2], image[2:3]


@wrong("split_channels", "a colour missing from each", "the channel is taken out")
def _(image):
    result = image.repeat(3, 1, 1, 1)
    for i in range(3):
        result[i, i] = 0
    return result


@wrong("split_channels", "zeros made once, outside the loop")
def _(image):
    out, picture = [], torch.zeros_like(image)
    for i in range(3):
        picture[i] = image[i]
        out.append(picture.clone())
    return out


# --------------------------------------------------------------------------------------------------- patchify


@right("patchify", "channels last first of all, then two swaps")
def _(images, patch_size):
    x = images.permute(0, 2, 3, 1)
    b, h, w, c = x.shape
    x = x.reshape(b, h // patch_size, patch_size, w // patch_size, patch_size, c).transpose(2, 3)
    return x.reshape(b, -1, patch_size * patch_size * c)


@wrong("patchify", "view", "a bare reshape")
def _(images, patch_size):
    b, c = images.shape[:2]
    return images.reshape(b, -1, patch_size * patch_size * c)


@wrong("patchify", "F.unfold, transposed: channel by channel", "channels first")
def _(images, patch_size):
    return F.unfold(images.float(), patch_size, stride=patch_size).transpose(1, 2)


@wrong("patchify", "loops with columns outside", "patches column by column")
def _(images, patch_size):
    p = patch_size
    h, w = images.shape[2:]
    squares = [images[:, :, y : y + p, x : x + p] for x in range(0, w, p) for y in range(0, h, p)]
    return torch.stack([square.permute(0, 2, 3, 1).flatten(1) for square in squares], 1)


@wrong("patchify", "unfold twice, the axis of channels forgotten", "a patch of each channel")
def _(images, patch_size):
    x = images.unfold(2, patch_size, patch_size).unfold(3, patch_size, patch_size)
    return x.reshape(len(images), -1, patch_size**2 * images.shape[1])


# ------------------------------------------------------------------------------------------------- unpatchify


@right("unpatchify", "the reshape of patchify backwards, channels last")
def _(patches, patch_size, height, width):
    p, b = patch_size, patches.shape[0]
    x = patches.reshape(b, height // p, width // p, p, p, -1).transpose(2, 3)
    return x.reshape(b, height, width, -1).permute(0, 3, 1, 2)


@wrong("unpatchify", "reshape to the shape that is asked for", "a bare reshape")
def _(patches, patch_size, height, width):
    return patches.reshape(len(patches), -1, height, width)


@wrong("unpatchify", "F.fold on the rows as they are", "channels first")
def _(patches, patch_size, height, width):
    return F.fold(patches.float().mT, (height, width), patch_size, stride=patch_size)


@wrong("unpatchify", "as many columns as rows", "as many columns as rows")
def _(patches, patch_size, height, width):
    n = int(patches.shape[1] ** 0.5)
    x = patches.reshape(len(patches), n, n, patch_size, patch_size, -1).permute(0, 5, 1, 3, 2, 4)
    return x.reshape(len(patches), -1, n * patch_size, n * patch_size)


@wrong("unpatchify", "width before height", "rows and columns of the grid exchanged")
def _(patches, patch_size, height, width):
    p = patch_size
    x = patches.reshape(len(patches), width // p, height // p, p, p, -1).permute(0, 5, 1, 3, 2, 4)
    return x.reshape(len(patches), -1, height, width)


# --------------------------------------------------------------------------------------------- attention cost


@right("attention_cost", "areas, rounded")
def _(height, width, patch_size, n_heads):
    n = round(height * width / (patch_size * patch_size)) + 1
    return (n, pow(n, 2) * n_heads)


@wrong("attention_cost", "patches alone", "no class token")
def _(height, width, patch_size, n_heads):
    n = height * width // patch_size**2
    return n, n_heads * n**2


@wrong("attention_cost", "queries, keys and values: three times")
def _(height, width, patch_size, n_heads):
    n = height * width // patch_size**2 + 1
    return n, 3 * n_heads * n**2


@wrong("attention_cost", "the heads share the scores")
def _(height, width, patch_size, n_heads):
    n = height * width // patch_size**2 + 1
    return n, n**2 // n_heads


# -------------------------------------------------------------------------------------- linear to convolution


@right("linear_to_convolution", "view and movedim")
def _(weight, patch_size):
    c = weight.shape[1] // (patch_size * patch_size)
    return weight.reshape(-1, patch_size, patch_size, c).movedim(-1, 1)


@wrong("linear_to_convolution", "reshape alone", "a bare reshape")
def _(weight, patch_size):
    return weight.reshape(weight.shape[0], -1, patch_size, patch_size)


@wrong("linear_to_convolution", "weight transposed first", "channels before outputs")
def _(weight, patch_size):
    return weight.T.reshape(patch_size, patch_size, -1, len(weight)).permute(2, 3, 0, 1)


@wrong("linear_to_convolution", "a new parameter")
def _(weight, patch_size):
    kernel = weight.reshape(len(weight), patch_size, patch_size, -1).permute(0, 3, 1, 2)
    return nn.Parameter(kernel.clone())


@wrong("linear_to_convolution", "a convolution instead of its weight")
def _(weight, patch_size):
    c = weight.shape[1] // patch_size**2
    return nn.Conv2d(c, len(weight), patch_size, stride=patch_size)


# ---------------------------------------------------------------------------------- class token and positions


@right("class_token_and_positions", "F.embedding of the places")
def _(patches, class_token, positions):
    x = torch.cat([class_token.expand(len(patches), 1, -1), patches], 1)
    return x + F.embedding(torch.arange(x.shape[1]), positions)


@wrong("class_token_and_positions", "positions before the class token", "positions for the patches alone")
def _(patches, class_token, positions):
    x = patches + positions[: patches.shape[1]]
    return torch.cat([class_token.expand(len(x), 1, -1), x], 1)


@wrong("class_token_and_positions", "no slice", "all positions")
def _(patches, class_token, positions):
    return torch.cat([class_token.expand(len(patches), 1, -1), patches], 1) + positions


@wrong("class_token_and_positions", "torch.tensor cuts the graph")
def _(patches, class_token, positions):
    cls = torch.tensor(class_token.tolist(), dtype=patches.dtype).expand(len(patches), 1, -1)
    return torch.cat([cls, patches], 1) + positions[: patches.shape[1] + 1]


@wrong("class_token_and_positions", "along the wrong axis")
def _(patches, class_token, positions):
    x = torch.cat([class_token.expand(1, patches.shape[1], -1), patches], 0)
    return x + positions[: patches.shape[1]]


# ----------------------------------------------------------------------------------------------- digit reader


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch_embedding = nn.Linear(4, 32)
        self.class_token = nn.Parameter(torch.randn(32) * 0.01)
        self.position_embedding = nn.Parameter(torch.randn(17, 32) * 0.01)
        self.stack = TransformerStack(32, 1, 4)
        self.head = nn.Linear(32, 10)

    def squares(self, images):
        rows = [images[:, 0, y : y + 2, x : x + 2] for y in range(0, 8, 2) for x in range(0, 8, 2)]
        return torch.stack(rows, 1).flatten(2)

    def embed(self, images):
        x = self.patch_embedding(self.squares(images * 2 - 1))
        x = torch.cat([self.class_token.expand(len(x), 1, 32), x], 1)
        return x + self.position_embedding

    def forward(self, images):
        return self.head(self.stack(self.embed(images))[:, 0])


@right("digit_reader", "squares by slices")
class _(Base):
    pass


@wrong("digit_reader", "a plain reshape of the image", "a bare reshape")
class _(Base):
    def squares(self, images):
        return images.reshape(len(images), 16, 4)


@wrong("digit_reader", "reads the last token", "the last token")
class _(Base):
    def forward(self, images):
        return self.head(self.stack(self.embed(images))[:, -1])


@wrong("digit_reader", "pixels as they come", "pixels from 0 to 1")
class _(Base):
    def embed(self, images):
        return super().embed((images + 1) / 2)


@wrong("digit_reader", "an argmax")
class _(Base):
    def forward(self, images):
        return super().forward(images).argmax(1)


# ----------------------------------------------------------------------------------------------------- frames


@right("frames", "range of starts")
def _(sound, frame_length, hop):
    starts = range(0, sound.shape[-1] - frame_length + 1, hop)
    return torch.stack([sound[..., s : s + frame_length] for s in starts], dim=-2)


@wrong("frames", "split and the rest dropped", "side by side")
def _(sound, frame_length, hop):
    return torch.stack(sound.split(frame_length, -1)[: sound.shape[-1] // frame_length], -2)


@wrong("frames", "one frame too few", "the last frame is missing")
def _(sound, frame_length, hop):
    n = max((sound.shape[-1] - frame_length) // hop, 1)
    return torch.stack([sound[..., i * hop : i * hop + frame_length] for i in range(n)], -2)


@wrong("frames", "a list of frames")
def _(sound, frame_length, hop):
    return [sound[..., s : s + frame_length] for s in range(0, sound.shape[-1] - frame_length + 1, hop)]


# ----------------------------------------------------------------------------------------------- log spectrum


@right("log_spectrum", "logarithm of the power, halved")
def _(frames, floor):
    spectrum = torch.fft.rfft(frames * torch.hann_window(frames.shape[-1], dtype=frames.dtype))
    return torch.log((spectrum.abs() + floor) ** 2) / 2


@wrong("log_spectrum", "np.hanning", "a symmetric window")
def _(frames, floor):
    window = torch.tensor(np.hanning(frames.shape[-1]), dtype=frames.dtype)
    return torch.log(floor + torch.fft.rfft(frames * window).abs())


@wrong("log_spectrum", "log of the square", "the power instead of the size")
def _(frames, floor):
    spectrum = torch.fft.rfft(frames * torch.hann_window(frames.shape[-1], dtype=frames.dtype))
    return torch.log(spectrum.abs() ** 2 + floor)


@wrong("log_spectrum", "the whole Fourier transform", "mirrored pitches")
def _(frames, floor):
    spectrum = torch.fft.fft(frames * torch.hann_window(frames.shape[-1], dtype=frames.dtype))
    return torch.log(spectrum.abs() + floor)


@wrong("log_spectrum", "no window, clamp")
def _(frames, floor):
    return torch.fft.rfft(frames).abs().clamp(min=floor).log()
