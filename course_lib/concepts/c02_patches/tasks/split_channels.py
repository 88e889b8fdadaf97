"""Three pictures in one

Take a coloured image apart into a red, a green and a blue picture. Each is a coloured image of the same
shape, which keeps one channel and is black (0) in the other two. So the sum of the three is the image
again. Return them in this order, as a list, a tuple or one tensor.

Hint: For the red picture: make an image of zeros, `torch.zeros_like(image)`, and copy channel 0 into its
channel 0.

Hint: Make a new image of zeros for each of the three: `[zeros] * 3` is the same tensor three times.
"""

import torch

from course_lib.checks.exercise import Exercise
from course_lib.checks.inputs import all_different, in_torch
from course_lib.checks.kinds import Case

exercise = Exercise(
    level=1,
    minutes=5,
    section="Three matrices",
    results=("the red picture", "the green picture", "the blue picture"),
    tensor=True,
)


@exercise.solution
def split_channels(image):
    """A red, a green and a blue picture, whose sum is the image.

    Args:
        image: (3, height, width): red, green, blue; floats or whole numbers; not to be changed.
    Returns: three tensors of the image's shape and dtype.
    """
    ### BEGIN SOLUTION
    pictures = []
    for channel in range(3):
        picture = torch.zeros_like(image)
        picture[channel] = image[channel]
        pictures.append(picture)
    return pictures
    ### END SOLUTION


@exercise.cases
def _(rng):
    def image(height, width):
        return {"image": all_different(rng, 3, height, width)}

    return in_torch(
        [
            Case("two rows, five columns", image(2, 5)),
            Case("as many rows and columns as channels", image(3, 3), catches="channels last"),
        ]
    )


@exercise.mistake("the channels alone")
def _(image):
    """Each channel came alone, as one matrix: a picture has three channels, two of which are black here."""
    return list(image)


@exercise.mistake("grey pictures")
def _(image):
    """Each picture has its channel three times, which looks grey: keep it in its own place, and black in
    the other two.
    """
    return [channel.expand(3, -1, -1) for channel in image]


@exercise.mistake("the channel is taken out")
def _(image):
    """Each picture lacks its channel and keeps the other two: it is the other way round."""
    return [image - picture for picture in split_channels(image)]


exercise.changed(
    "channels last",
    "The last axis was taken for the channels: in torch the channel is the first axis of an image, as in "
    "`image[0]`.",
    ("picture[channel] = image[channel]", "picture[..., channel] = image[..., channel]"),
)
exercise.changed(
    "rows instead of channels",
    "Rows were kept instead of channels: the channel is the first axis, `image[c]`, not `image[:, c]`.",
    ("picture[channel] = image[channel]", "picture[:, channel] = image[:, channel]"),
)


@exercise.mistake("blue first")
def _(image):
    """The pictures come in the order blue, green, red: red comes first."""
    return split_channels(image)[::-1]


exercise.changed(
    "white elsewhere",
    "The other channels are 1, which is full light: black is 0.",
    ("zeros_like", "ones_like"),
)


@exercise.mistake("one tensor three times")
def _(image):
    """All three pictures have all channels. Is it one tensor three times, as `[zeros] * 3` gives? Each
    picture needs its own.
    """
    return [image, image, image]


@exercise.mistake("the channels before stay")
def _(image):
    """Each picture keeps the channels before its own, too: the image of zeros was made once, before the loop.
    Make a new one for each.
    """
    pictures = split_channels(image)
    return [sum(pictures[: channel + 1]) for channel in range(3)]


@exercise.mistake("a third of the image")
def _(image):
    """Each picture is a third of the image: the sum is right, but no channel is on its own."""
    return [image / 3] * 3


exercise.changed(
    "always in the first channel",
    "Every channel was put into the place of red: channel c stays in place c.",
    ("picture[channel] = image[channel]", "picture[0] = image[channel]"),
)
