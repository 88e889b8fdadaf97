"""A pool of answers to the tasks of 02_patches, written from the texts of the exercises alone. See `pool`."""

import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F
from pool import Pool
from torch import nn

from course_lib.blocks import TransformerStack

POOL = Pool()
right, wrong, either = POOL.right, POOL.wrong, POOL.either


# --------------------------------------------------------------------------------------------- split channels


@right("split_channels", "clone, then the other two set to 0")
def _(image):
    red, green, blue = image.clone(), image.clone(), image.clone()
    red[1:] = 0
    green[0] = green[2] = 0
    blue[:2] = 0
    return red, green, blue


@right("split_channels", "stacked by hand with matrices of zeros")
def _(image):
    r, g, b = image
    o = torch.zeros_like(r)
    return [torch.stack([r, o, o]), torch.stack([o, g, o]), torch.stack([o, o, b])]


@right("split_channels", "one tensor, filled by an index")
def _(image):
    out = image.new_zeros((3, 3, *image.shape[1:]))
    i = torch.arange(3)
    out[i, i] = image
    return out


@right("split_channels", "the image minus the other two channels")
def _(image):
    def without(*channels):
        taken = image.clone()
        taken[list(channels)] = 0
        return taken

    return without(1, 2), without(0, 2), without(0, 1)


@wrong("split_channels", "one matrix for each channel")
def _(image):
    return image[0], image[1], image[2]


@wrong("split_channels", "a batch axis before each channel")
def _(image):
    return image[0:1], image[1:2], image[2:3]


@wrong("split_channels", "the image repeated")
def _(image):
    return image.unsqueeze(0).repeat(3, 1, 1, 1)


@wrong("split_channels", "a colour missing from each")
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


@right("patchify", "a table of zeros, filled patch by patch")
def _(images, patch_size):
    b, c, h, w = images.shape
    out = torch.zeros(b, (h // patch_size) * (w // patch_size), patch_size**2 * c, dtype=images.dtype)
    n = 0
    for top in range(0, h, patch_size):
        for left in range(0, w, patch_size):
            square = images[:, :, top : top + patch_size, left : left + patch_size]
            out[:, n] = square.permute(0, 2, 3, 1).reshape(b, -1)
            n += 1
    return out


@right("patchify", "channels last first of all, then two swaps")
def _(images, patch_size):
    x = images.permute(0, 2, 3, 1)
    b, h, w, c = x.shape
    x = x.reshape(b, h // patch_size, patch_size, w // patch_size, patch_size, c).transpose(2, 3)
    return x.reshape(b, -1, patch_size * patch_size * c)


@right("patchify", "torch.chunk twice")
def _(images, patch_size):
    found = []
    for band in torch.chunk(images, images.shape[2] // patch_size, dim=2):
        for square in torch.chunk(band, images.shape[3] // patch_size, dim=3):
            found.append(square.movedim(1, 3).flatten(1))
    return torch.stack(found).transpose(0, 1)


@right("patchify", "pixel by pixel, with Python numbers")
def _(images, patch_size):
    p = patch_size
    b, c, h, w = images.shape
    rows = []
    for i in range(b):
        for top, left in itertools.product(range(0, h, p), range(0, w, p)):
            for y, x, k in itertools.product(range(p), range(p), range(c)):
                rows.append(images[i, k, top + y, left + x].item())
    return torch.tensor(rows, dtype=images.dtype).reshape(b, -1, p * p * c)


@right("patchify", "einsum on named axes")
def _(images, patch_size):
    p = patch_size
    b, c, h, w = images.shape
    x = images.view(b, c, h // p, p, w // p, p)
    return torch.einsum("bcrisj->brsijc", x).reshape(b, (h // p) * (w // p), -1)


@wrong("patchify", "view")
def _(images, patch_size):
    b, c = images.shape[:2]
    return images.reshape(b, -1, patch_size * patch_size * c)


@wrong("patchify", "F.unfold, transposed: channel by channel")
def _(images, patch_size):
    return F.unfold(images.float(), patch_size, stride=patch_size).transpose(1, 2)


@wrong("patchify", "loops with columns outside")
def _(images, patch_size):
    p = patch_size
    h, w = images.shape[2:]
    squares = [images[:, :, y : y + p, x : x + p] for x in range(0, w, p) for y in range(0, h, p)]
    return torch.stack([square.permute(0, 2, 3, 1).flatten(1) for square in squares], 1)


@wrong("patchify", "unfold twice, the axis of channels forgotten")
def _(images, patch_size):
    x = images.unfold(2, patch_size, patch_size).unfold(3, patch_size, patch_size)
    return x.reshape(len(images), -1, patch_size**2 * images.shape[1])


@wrong("patchify", "the first image only")
def _(images, patch_size):
    x = images[0].unfold(1, patch_size, patch_size).unfold(2, patch_size, patch_size)
    return x.permute(1, 2, 3, 4, 0).flatten(2).flatten(0, 1)


# ------------------------------------------------------------------------------------------------- unpatchify


@right("unpatchify", "an empty image, filled patch by patch")
def _(patches, patch_size, height, width):
    b, n, size = patches.shape
    c = size // patch_size**2
    image = torch.zeros(b, c, height, width, dtype=patches.dtype)
    per_row = width // patch_size
    for i in range(n):
        top, left = i // per_row * patch_size, i % per_row * patch_size
        square = patches[:, i].reshape(b, patch_size, patch_size, c).permute(0, 3, 1, 2)
        image[:, :, top : top + patch_size, left : left + patch_size] = square
    return image


@right("unpatchify", "the reshape of patchify backwards, channels last")
def _(patches, patch_size, height, width):
    p, b = patch_size, patches.shape[0]
    x = patches.reshape(b, height // p, width // p, p, p, -1).transpose(2, 3)
    return x.reshape(b, height, width, -1).permute(0, 3, 1, 2)


@right("unpatchify", "concatenated squares, then bands")
def _(patches, patch_size, height, width):
    p, b = patch_size, len(patches)
    squares = iter(patches.reshape(b, -1, p, p, patches.shape[2] // p**2).movedim(4, 2).unbind(1))
    bands = [torch.cat([next(squares) for _ in range(width // p)], -1) for _ in range(height // p)]
    return torch.cat(bands, -2)


@right("unpatchify", "pixel_shuffle, after the channels moved")
def _(patches, patch_size, height, width):
    p, b = patch_size, len(patches)
    grid = patches.reshape(b, height // p, width // p, p * p, -1).permute(0, 4, 3, 1, 2).flatten(1, 2)
    return F.pixel_shuffle(grid, p)


@wrong("unpatchify", "reshape to the shape that is asked for")
def _(patches, patch_size, height, width):
    return patches.reshape(len(patches), -1, height, width)


@wrong("unpatchify", "F.fold on the rows as they are")
def _(patches, patch_size, height, width):
    return F.fold(patches.float().mT, (height, width), patch_size, stride=patch_size)


@wrong("unpatchify", "as many columns as rows")
def _(patches, patch_size, height, width):
    n = int(patches.shape[1] ** 0.5)
    x = patches.reshape(len(patches), n, n, patch_size, patch_size, -1).permute(0, 5, 1, 3, 2, 4)
    return x.reshape(len(patches), -1, n * patch_size, n * patch_size)


@wrong("unpatchify", "width before height")
def _(patches, patch_size, height, width):
    p = patch_size
    x = patches.reshape(len(patches), width // p, height // p, p, p, -1).permute(0, 5, 1, 3, 2, 4)
    return x.reshape(len(patches), -1, height, width)


@wrong("unpatchify", "grey images only")
def _(patches, patch_size, height, width):
    p = patch_size
    x = patches.reshape(len(patches), height // p, width // p, p, p)
    return x.transpose(2, 3).reshape(len(patches), 1, height, width)


# --------------------------------------------------------------------------------------------- attention cost


@right("attention_cost", "step by step")
def _(height, width, patch_size, n_heads):
    rows = height // patch_size
    columns = width // patch_size
    tokens = 1 + rows * columns
    return tokens, n_heads * tokens * tokens


@right("attention_cost", "areas, rounded")
def _(height, width, patch_size, n_heads):
    n = round(height * width / (patch_size * patch_size)) + 1
    return (n, pow(n, 2) * n_heads)


@right("attention_cost", "math.prod")
def _(height, width, patch_size, n_heads):
    n = math.prod(side // patch_size for side in (height, width)) + 1
    return n, math.prod((n_heads, n, n))


@right("attention_cost", "NumPy's whole numbers")
def _(height, width, patch_size, n_heads):
    n = np.int64(height) // patch_size * (np.int64(width) // patch_size) + 1
    return n, n_heads * np.square(n)


@wrong("attention_cost", "patches alone")
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


@wrong("attention_cost", "a class token for each head")
def _(height, width, patch_size, n_heads):
    n = height * width // patch_size**2 + n_heads
    return n, n_heads * n**2


@wrong("attention_cost", "strings")
def _(height, width, patch_size, n_heads):
    n = height * width // patch_size**2 + 1
    return f"{n} tokens", f"{n_heads * n**2} scores"


# -------------------------------------------------------------------------------------- linear to convolution


@right("linear_to_convolution", "view and movedim")
def _(weight, patch_size):
    c = weight.shape[1] // (patch_size * patch_size)
    return weight.reshape(-1, patch_size, patch_size, c).movedim(-1, 1)


@right("linear_to_convolution", "an empty kernel, filled number by number")
def _(weight, patch_size):
    d, size = weight.shape
    c = size // patch_size**2
    kernel = weight.new_zeros(d, c, patch_size, patch_size)
    for y, x, k in itertools.product(range(patch_size), range(patch_size), range(c)):
        kernel[:, k, y, x] = weight[:, (y * patch_size + x) * c + k]
    return kernel


@right("linear_to_convolution", "two transpositions")
def _(weight, patch_size):
    kernel = weight.unflatten(1, (patch_size, patch_size, -1))
    return kernel.transpose(3, 2).transpose(2, 1)


@right("linear_to_convolution", "every C-th column")
def _(weight, patch_size):
    c = weight.shape[1] // patch_size**2
    return torch.stack([weight[:, k::c].reshape(-1, patch_size, patch_size) for k in range(c)], dim=1)


@wrong("linear_to_convolution", "reshape alone")
def _(weight, patch_size):
    return weight.reshape(weight.shape[0], -1, patch_size, patch_size)


@wrong("linear_to_convolution", "the axes reversed")
def _(weight, patch_size):
    return weight.reshape(len(weight), patch_size, patch_size, -1).permute(0, 3, 2, 1)


@wrong("linear_to_convolution", "weight transposed first")
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


# ------------------------------------------------------------------------------------ class token, positions


@right("class_token_and_positions", "repeat, cat, a slice")
def _(patches, class_token, positions):
    b, n, d = patches.shape
    cls = class_token.reshape(1, 1, d).repeat(b, 1, 1)
    return torch.cat((cls, patches), dim=1) + positions[: n + 1].unsqueeze(0)


@right("class_token_and_positions", "each gets its place before they are joined")
def _(patches, class_token, positions):
    n = patches.shape[1]
    first = (class_token + positions[0]).expand(patches.shape[0], 1, patches.shape[2])
    return torch.hstack([first, patches + positions[1 : n + 1]])


@right("class_token_and_positions", "F.embedding of the places")
def _(patches, class_token, positions):
    x = torch.cat([class_token.expand(len(patches), 1, -1), patches], 1)
    return x + F.embedding(torch.arange(x.shape[1]), positions)


@right("class_token_and_positions", "ones times the class token")
def _(patches, class_token, positions):
    ones = torch.ones(patches.shape[0], 1, 1, dtype=patches.dtype)
    tokens = torch.cat([ones * class_token, patches], dim=-2)
    return tokens.add(positions[: tokens.shape[-2]])


@wrong("class_token_and_positions", "positions before the class token")
def _(patches, class_token, positions):
    x = patches + positions[: patches.shape[1]]
    return torch.cat([class_token.expand(len(x), 1, -1), x], 1)


@wrong("class_token_and_positions", "no slice")
def _(patches, class_token, positions):
    return torch.cat([class_token.expand(len(patches), 1, -1), patches], 1) + positions


@wrong("class_token_and_positions", "torch.tensor cuts the graph")
def _(patches, class_token, positions):
    cls = torch.tensor(class_token.tolist(), dtype=patches.dtype).expand(len(patches), 1, -1)
    return torch.cat([cls, patches], 1) + positions[: patches.shape[1] + 1]


@wrong("class_token_and_positions", "a token of zeros")
def _(patches, class_token, positions):
    return F.pad(patches, (0, 0, 1, 0)) + positions[: patches.shape[1] + 1]


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


@right("digit_reader", "one reshape and one permute")
class _(Base):
    def squares(self, images):
        return images.reshape(-1, 4, 2, 4, 2).permute(0, 1, 3, 2, 4).reshape(-1, 16, 4)


@right("digit_reader", "F.unfold: with one channel the order is the same")
class _(Base):
    def squares(self, images):
        return F.unfold(images, 2, stride=2).transpose(1, 2)


@right("digit_reader", "pixels centred by (x - 0.5) / 0.5, unbind to read")
class _(Base):
    def forward(self, images):
        scaled = (images - 0.5) / 0.5
        first, *_ = self.stack(self.embed((scaled + 1) / 2)).unbind(1)
        return self.head(first)


@wrong("digit_reader", "a plain reshape of the image")
class _(Base):
    def squares(self, images):
        return images.reshape(len(images), 16, 4)


@wrong("digit_reader", "reads the last token")
class _(Base):
    def forward(self, images):
        return self.head(self.stack(self.embed(images))[:, -1])


@wrong("digit_reader", "pixels as they come")
class _(Base):
    def embed(self, images):
        return super().embed((images + 1) / 2)


@wrong("digit_reader", "an argmax")
class _(Base):
    def forward(self, images):
        return super().forward(images).argmax(1)


@wrong("digit_reader", "another name for the positions")
class _(Base):
    def __init__(self):
        super().__init__()
        self.positions = self.position_embedding
        del self.position_embedding

    def embed(self, images):
        return self.patch_embedding(self.squares(images))


# ----------------------------------------------------------------------------------------------------- frames


@right("frames", "range of starts")
def _(sound, frame_length, hop):
    starts = range(0, sound.shape[-1] - frame_length + 1, hop)
    return torch.stack([sound[..., s : s + frame_length] for s in starts], dim=-2)


@right("frames", "gather by a table of places")
def _(sound, frame_length, hop):
    n = 1 + (sound.shape[-1] - frame_length) // hop
    places = torch.stack([torch.arange(frame_length) + i * hop for i in range(n)])
    return sound.index_select(-1, places.flatten()).unflatten(-1, (n, frame_length))


@right("frames", "an empty table, filled frame by frame")
def _(sound, frame_length, hop):
    n = (sound.shape[-1] - frame_length) // hop + 1
    out = torch.empty(*sound.shape[:-1], n, frame_length, dtype=sound.dtype)
    for i in range(n):
        out[..., i, :] = sound[..., i * hop : i * hop + frame_length]
    return out


@right("frames", "torch.narrow in a while loop")
def _(sound, frame_length, hop):
    found, begin = [], 0
    while begin <= sound.shape[-1] - frame_length:
        found.append(sound.narrow(-1, begin, frame_length).unsqueeze(-2))
        begin += hop
    return torch.cat(found, -2)


@wrong("frames", "split and the rest dropped")
def _(sound, frame_length, hop):
    return torch.stack(sound.split(frame_length, -1)[: sound.shape[-1] // frame_length], -2)


@wrong("frames", "one frame too few")
def _(sound, frame_length, hop):
    n = max((sound.shape[-1] - frame_length) // hop, 1)
    return torch.stack([sound[..., i * hop : i * hop + frame_length] for i in range(n)], -2)


@wrong("frames", "samples of one sound only")
def _(sound, frame_length, hop):
    starts = range(0, len(sound) - frame_length + 1, hop)
    return torch.stack([sound[s : s + frame_length] for s in starts])


@wrong("frames", "a list of frames")
def _(sound, frame_length, hop):
    return [sound[..., s : s + frame_length] for s in range(0, sound.shape[-1] - frame_length + 1, hop)]


@wrong("frames", "by the routine that is not to be used")
def _(sound, frame_length, hop):
    return sound.unfold(dimension=-1, size=frame_length, step=hop)


# ----------------------------------------------------------------------------------------------- log spectrum


@right("log_spectrum", "the window by its formula")
def _(frames, floor):
    length = frames.shape[-1]
    n = torch.arange(length, dtype=frames.dtype)
    window = 0.5 - 0.5 * torch.cos(2 * torch.pi * n / length)
    return torch.log(floor + torch.abs(torch.fft.rfft(window * frames)))


@right("log_spectrum", "torch.hann_window and hypot")
def _(frames, floor):
    window = torch.hann_window(frames.shape[-1]).to(frames)
    spectrum = torch.fft.rfft(frames * window, dim=-1)
    return (torch.hypot(spectrum.real, spectrum.imag) + floor).log()


@right("log_spectrum", "scipy's periodic window")
def _(frames, floor):
    from scipy.signal import get_window

    window = torch.tensor(get_window("hann", frames.shape[-1]), dtype=frames.dtype)
    return torch.log(torch.fft.rfft(frames * window).abs() + floor)


@right("log_spectrum", "logarithm of the power, halved")
def _(frames, floor):
    spectrum = torch.fft.rfft(frames * torch.hann_window(frames.shape[-1], dtype=frames.dtype))
    return torch.log((spectrum.abs() + floor) ** 2) / 2


@wrong("log_spectrum", "np.hanning")
def _(frames, floor):
    window = torch.tensor(np.hanning(frames.shape[-1]), dtype=frames.dtype)
    return torch.log(floor + torch.fft.rfft(frames * window).abs())


@wrong("log_spectrum", "log of the square")
def _(frames, floor):
    spectrum = torch.fft.rfft(frames * torch.hann_window(frames.shape[-1], dtype=frames.dtype))
    return torch.log(spectrum.abs() ** 2 + floor)


@wrong("log_spectrum", "the whole Fourier transform")
def _(frames, floor):
    spectrum = torch.fft.fft(frames * torch.hann_window(frames.shape[-1], dtype=frames.dtype))
    return torch.log(spectrum.abs() + floor)


@wrong("log_spectrum", "no window, clamp")
def _(frames, floor):
    return torch.fft.rfft(frames).abs().clamp(min=floor).log()


@wrong("log_spectrum", "a complex logarithm")
def _(frames, floor):
    return torch.log(torch.fft.rfft(frames * torch.hann_window(frames.shape[-1], dtype=frames.dtype)) + floor)
